//! From a place to a connection.

use crate::error::{Error, Result};

use super::place::Place;
use super::store::Store;
use super::{postgres, sqlite};

/// Connects, and makes the tables where they are missing (`create`: and the file).
pub(super) fn connect(place: &Place, create: bool, guarded: bool) -> Result<Box<dyn Store>> {
    match place {
        Place::Memory => Err(Error::value("memory has no connection")),
        Place::Sqlite(path) => Ok(Box::new(sqlite::Sqlite::open(place, path, create, guarded)?)),
        Place::Postgres(options) => Ok(Box::new(postgres::Postgres::open(place, options)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::COLUMNS;
    use super::*;

    /// Names and the rest of each column of `calls` in a schema.
    fn columns(schema: &str) -> Vec<String> {
        let lines = schema.lines().skip_while(|line| !line.contains("TABLE IF NOT EXISTS calls")).skip(1);
        lines.take_while(|line| *line != ");").map(|line| line.trim().trim_end_matches(',').to_owned()).collect()
    }

    #[test]
    fn both_schemas_have_the_columns() {
        let (sqlite, postgres) = (columns(sqlite::SCHEMA), columns(postgres::SCHEMA));
        for schema in [&sqlite, &postgres] {
            let names: Vec<_> = schema.iter().filter_map(|line| line.split_whitespace().next()).collect();
            assert_eq!(names, COLUMNS);
        }
        let translated =
            |line: &str| line.replace("INTEGER", "BIGINT").replace("REAL", "DOUBLE PRECISION").replace("BLOB", "BYTEA");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        for (sqlite, postgres) in sqlite.iter().zip(&postgres) {
            assert_eq!(words(&translated(sqlite)), words(postgres));
        }
    }
}
