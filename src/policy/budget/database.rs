//! The tables of budgets, in the ledger's database by a connection apart.
//!
//! It blocks, so it belongs to a thread of its own. Statements are written once: both databases take them. The ledger's
//! guard against a second copy of `SQLite` is not taken again: closing its files would take the ledger's own locks away.

use std::time::{Duration, Instant};

use futures_util::TryFutureExt;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Column, ConnectOptions, Connection as _, Row as _, TypeInfo, ValueRef};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::error::{Error, Kind, Result};
use crate::ledger::place::Place;

const SCHEMA: &str = include_str!("schema.sql");
/// What `budget_tables` says of tables like these.
const VERSION: i64 = 1;
/// One that does not answer for so long is down: calls wait for it.
const PATIENCE: Duration = Duration::from_secs(3);
/// Two that make the tables at once take turns under a lock of this number (the bytes of `budgets`).
const TURN: i64 = 0x0062_7564_6765_7473;
const WHAT: &str = "budgets cannot be had";

/// What is bound to a statement, and what a row is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Integer(Option<i64>),
    Text(Option<String>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(Some(value))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

/// A row.
#[derive(Debug)]
pub(super) struct Cells(Vec<Value>);

impl Cells {
    /// The number in a column; 0 where there is none.
    pub(super) fn number(&self, column: usize) -> i64 {
        match self.0.get(column) {
            Some(Value::Integer(Some(number))) => *number,
            _ => 0,
        }
    }

    /// The text in a column; empty where there is none.
    pub(super) fn text(&self, column: usize) -> &str {
        match self.0.get(column) {
            Some(Value::Text(Some(text))) => text,
            _ => "",
        }
    }
}

enum Connection {
    Sqlite(Box<SqliteConnection>),
    Postgres(Box<PgConnection>),
}

/// A connection. After an error it is of no more use: nobody knows what state it is in.
pub(super) struct Database {
    place: Place,
    runtime: Runtime,
    connection: Connection,
}

/// Binds values and collects rows; the two kinds of connection have no type in common.
macro_rules! rows {
    ($connection:expr, $sql:expr, $values:expr, $cell:ident) => {{
        let mut query = sqlx::query(AssertSqlSafe($sql.to_owned()));
        for value in $values {
            query = match value {
                Value::Integer(number) => query.bind(*number),
                Value::Text(text) => query.bind(text.clone()),
            };
        }
        let rows = query.fetch_all(&mut **$connection).await?;
        rows.iter()
            .map(|row| (0..row.columns().len()).map(|at| $cell(row, at)).collect::<Result<_, _>>().map(Cells))
            .collect::<Result<Vec<_>, sqlx::Error>>()
    }};
}

impl Database {
    /// Connects, and makes the tables where they are missing.
    ///
    /// # Errors
    /// [`Kind::Io`] where it cannot be had, or holds the tables of a later version.
    pub(super) fn open(place: &Place) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(Kind::Io, format!("no runtime for the budgets' connection: {error}")))?;
        let connection = match place {
            Place::Memory => return Err(Error::value("memory has no connection")),
            Place::Sqlite(path) => {
                let options = SqliteConnectOptions::new()
                    .filename(path)
                    .create_if_missing(true)
                    .busy_timeout(PATIENCE)
                    .journal_mode(SqliteJournalMode::Wal)
                    .synchronous(SqliteSynchronous::Normal)
                    .thread_name(|_| "ferroute-sqlite".into())
                    .disable_statement_logging();
                let connection = opened(&runtime, &options).map_err(|error| place.failed(WHAT, &error))?;
                Connection::Sqlite(Box::new(connection))
            }
            Place::Postgres(options) => {
                let connection = runtime.block_on(reached(place, options))?;
                Connection::Postgres(Box::new(connection))
            }
        };
        let mut database = Self { place: place.clone(), runtime, connection };
        database.make()?;
        Ok(database)
    }

    fn make(&mut self) -> Result<()> {
        let mut found = self.version()?;
        if found < VERSION {
            self.transaction(|database| {
                if database.is_postgres() {
                    database.run("SELECT pg_advisory_xact_lock($1)", &[TURN.into()])?;
                }
                // Somebody else may have had the turn before.
                found = database.version()?;
                if found == 0 {
                    database.script(SCHEMA)?;
                    database.run("INSERT INTO budget_tables (version) VALUES ($1)", &[VERSION.into()])?;
                    found = VERSION;
                }
                Ok(())
            })?;
        }
        if found > VERSION {
            let said = format!("a later version of ferroute made its tables ({found}, this one knows {VERSION})");
            return Err(self.place.refused(WHAT, &said));
        }
        Ok(())
    }

    /// The version of the tables; 0 where there are none.
    fn version(&mut self) -> Result<i64> {
        let there = if self.is_postgres() {
            "SELECT count(*) FROM pg_class WHERE oid = to_regclass('budget_tables')"
        } else {
            "SELECT count(*) FROM sqlite_master WHERE name = 'budget_tables'"
        };
        let there = self.rows(there, &[])?.first().is_some_and(|row| row.number(0) > 0);
        if !there {
            return Ok(0);
        }
        let version = self.rows("SELECT max(version) FROM budget_tables", &[])?;
        Ok(version.first().map_or(0, |row| row.number(0)))
    }

    pub(super) fn is_postgres(&self) -> bool {
        matches!(self.connection, Connection::Postgres(_))
    }

    /// Does something as one transaction: all of it, or nothing.
    ///
    /// # Errors
    /// What `work` failed with; [`Kind::Io`] where it could not be ended: then nobody knows whether it was done.
    pub(super) fn transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let begin = if self.is_postgres() { "BEGIN" } else { "BEGIN IMMEDIATE" };
        self.run(begin, &[])?;
        match work(self) {
            Ok(done) => self.run("COMMIT", &[]).map(|()| done),
            Err(error) => {
                let _ = self.run("ROLLBACK", &[]);
                Err(error)
            }
        }
    }

    /// Runs a statement.
    pub(super) fn run(&mut self, sql: &str, values: &[Value]) -> Result<()> {
        self.rows(sql, values).map(drop)
    }

    /// Runs a statement; the rows it gives.
    pub(super) fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Cells>> {
        let Self { place, runtime, connection, .. } = self;
        let work = async {
            match connection {
                Connection::Sqlite(connection) => rows!(connection, sql, values, of_sqlite),
                Connection::Postgres(connection) => rows!(connection, sql, values, of_postgres),
            }
        };
        match runtime.block_on(async { timeout(2 * PATIENCE, work).await }) {
            Ok(rows) => rows.map_err(|error| place.failed(WHAT, &error)),
            Err(_) => Err(place.silent(WHAT)),
        }
    }

    /// Runs several statements that bind nothing.
    fn script(&mut self, sql: &'static str) -> Result<()> {
        let Self { place, runtime, connection, .. } = self;
        let done = runtime.block_on(async {
            match connection {
                Connection::Sqlite(connection) => sqlx::raw_sql(sql).execute(&mut **connection).await.map(drop),
                Connection::Postgres(connection) => sqlx::raw_sql(sql).execute(&mut **connection).await.map(drop),
            }
        });
        done.map_err(|error| place.failed(WHAT, &error))
    }

    /// Says good-bye.
    pub(super) fn close(self) {
        let Self { runtime, connection, .. } = self;
        // Whatever it says: everything was committed.
        let _closed = runtime.block_on(async {
            timeout(PATIENCE, async {
                match connection {
                    Connection::Sqlite(connection) => connection.close().await,
                    Connection::Postgres(connection) => connection.close().await,
                }
            })
            .await
        });
    }
}

/// Opens a file. Changing the mode of a new one does not wait by itself while another process does the same.
fn opened(runtime: &Runtime, options: &SqliteConnectOptions) -> std::result::Result<SqliteConnection, sqlx::Error> {
    let begun = Instant::now();
    loop {
        match runtime.block_on(options.connect()) {
            Err(error) if is_busy(&error) && begun.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

/// Primary result codes (the lower byte): `SQLITE_BUSY` 5, `SQLITE_LOCKED` 6.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
    code.is_some_and(|code| matches!(code & 0xff, 5 | 6))
}

async fn reached(place: &Place, options: &PgConnectOptions) -> Result<PgConnection> {
    let options = options.clone().disable_statement_logging();
    let connected = timeout(PATIENCE, options.connect().map_err(|error| place.failed(WHAT, &error)));
    connected.await.map_err(|_| place.silent(WHAT))?
}

fn of_sqlite(row: &SqliteRow, at: usize) -> std::result::Result<Value, sqlx::Error> {
    let is_text = row.try_get_raw(at)?.type_info().name() == "TEXT";
    Ok(if is_text { Value::Text(row.try_get(at)?) } else { Value::Integer(row.try_get(at)?) })
}

fn of_postgres(row: &PgRow, at: usize) -> std::result::Result<Value, sqlx::Error> {
    Ok(match row.column(at).type_info().name() {
        "TEXT" => Value::Text(row.try_get(at)?),
        // What a lock gives back.
        "VOID" => Value::Integer(None),
        _ => Value::Integer(row.try_get(at)?),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn tables_are_made_once_and_later_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::parse(&format!("sqlite:///{}", folder.path().join("a.db").display())).unwrap();
        let mut first = Database::open(&place).unwrap();
        let mut second = Database::open(&place).unwrap();
        let insert = "INSERT INTO budgets (id, starts, ends, most, spent, wanted) VALUES ($1, 1, 2, 3, 4, 5)";
        first.run(insert, &["it".into()]).unwrap();
        let rows = second.rows("SELECT id, most, NULL FROM budgets WHERE starts = $1", &[1.into()]).unwrap();
        assert_eq!((rows.len(), rows[0].text(0), rows[0].number(1), rows[0].number(2)), (1, "it", 3, 0));
        // What fails inside is not done.
        let refused = second.transaction(|database| {
            database.run("DELETE FROM budgets", &[])?;
            database.run("DELETE FROM nowhere", &[])
        });
        assert_eq!(refused.unwrap_err().kind(), Kind::Io);
        assert_eq!(first.rows("SELECT id FROM budgets", &[]).unwrap().len(), 1);
        first.run("UPDATE budget_tables SET version = 99", &[]).unwrap();
        first.close();
        let error = Database::open(&place).err().unwrap();
        assert!(error.message().contains("a later version of ferroute"), "{error}");
    }
}
