//! Where a book is kept, as its URL says.

use std::path::{Path, PathBuf};

use sqlx::postgres::PgConnectOptions;

use crate::error::{Error, Kind, Result};

/// Where a book is kept.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    Memory,
    Sqlite(PathBuf),
    Postgres(Box<PgConnectOptions>),
}

impl Place {
    /// Reads `memory:`, `sqlite:///path` or `postgresql://user@host/database`.
    ///
    /// # Errors
    /// [`Kind::Value`] for another form.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        if matches!(url, "memory:" | "memory://" | "sqlite:" | "sqlite://" | "sqlite::memory:" | "sqlite:///:memory:") {
            return Ok(Self::Memory);
        }
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = file(path, &|path| path.is_dir());
            // The program may change its folder before the file is opened again.
            return Ok(Self::Sqlite(std::path::absolute(&path).unwrap_or(path)));
        }
        let scheme = url.split("://").next().unwrap_or_default();
        // SQLAlchemy's users write a driver behind the name.
        if url.contains("://") && matches!(scheme.split('+').next(), Some("postgresql" | "postgres")) {
            let url = format!("postgresql{}", &url[scheme.len()..]);
            // What the parser says may quote the URL, and with it the password.
            let options = url.parse::<PgConnectOptions>().map_err(|_| {
                Error::value("ledger: expected postgresql://user:password@host:port/database, found another form")
            })?;
            return Ok(Self::Postgres(Box::new(options.application_name("ferroute"))));
        }
        let found = if url.contains("://") { format!("{scheme}://...") } else { url.to_owned() };
        Err(Error::value(format!(
            "ledger: expected `memory:`, `sqlite:///path.db` or `postgresql://host/database`, found `{found}`"
        )))
    }

    /// The place without a password.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Memory => "memory:".into(),
            Self::Sqlite(path) => format!("sqlite:///{}", path.display()),
            Self::Postgres(options) => format!(
                "postgresql://{}@{}:{}/{}",
                options.get_username(),
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_else(|| options.get_username())
            ),
        }
    }

    /// The same for every way to write the place; `None` for memory, which is nobody else's.
    pub(crate) fn identity(&self) -> Option<String> {
        match self {
            Self::Memory => None,
            Self::Sqlite(path) => {
                let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
                let folder = std::fs::canonicalize(folder.unwrap_or_else(|| Path::new("."))).ok();
                let same = folder.and_then(|folder| Some(folder.join(path.file_name()?)));
                // A link to a file is that file, once it is there.
                let same = std::fs::canonicalize(path).ok().or(same);
                Some(same.unwrap_or_else(|| path.clone()).display().to_string())
            }
            Self::Postgres(_) => Some(self.shown()),
        }
    }

    /// What opening it failed with, as an error that names it.
    pub(crate) fn failed(&self, what: &str, error: &sqlx::Error) -> Error {
        self.refused(what, &reason(error))
    }

    /// The same from the database's own words.
    pub(crate) fn refused(&self, what: &str, why: &str) -> Error {
        Error::new(Kind::Io, format!("ledger {}: {what}: {why}", self.shown()))
    }

    /// That it does not answer in time, as an error that names it.
    pub(crate) fn silent(&self, what: &str) -> Error {
        Error::new(Kind::Io, format!("ledger {}: {what}: it does not answer", self.shown()))
    }
}

/// What the database said, without the layers around it.
fn reason(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        other => other.to_string(),
    }
}

/// The file that `sqlite:` and this name. Three slashes before a relative path and four before an absolute one are
/// `SQLAlchemy`'s; three before an absolute path, everybody else's. Where both could be meant, the folder that is there
/// decides, and `SQLAlchemy`'s reading goes first.
fn file(path: &str, is_folder: &dyn Fn(&Path) -> bool) -> PathBuf {
    let Some(path) = path.strip_prefix("//") else { return PathBuf::from(path) };
    let Some(relative) = path.strip_prefix('/') else { return PathBuf::from(path) };
    if relative.starts_with('/') {
        return PathBuf::from(relative);
    }
    let there =
        |path: &str| Path::new(path).parent().is_some_and(|folder| folder.as_os_str().is_empty() || is_folder(folder));
    PathBuf::from(if !there(relative) && there(path) { path } else { relative })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_path_are_understood() {
        let folders = ["/tmp", "/tmp/a", "data", "/"];
        let is_folder = |path: &Path| folders.iter().any(|folder| Path::new(folder) == path);
        for (url, expected) in [
            ("///path.db", "path.db"),
            ("////tmp/a/x.db", "/tmp/a/x.db"),
            ("///tmp/a/x.db", "/tmp/a/x.db"),
            ("///data/x.db", "data/x.db"),
            ("//path.db", "path.db"),
            ("path.db", "path.db"),
            ("///nowhere/x.db", "nowhere/x.db"),
        ] {
            assert_eq!(file(url, &is_folder), PathBuf::from(expected), "sqlite:{url}");
        }
    }

    #[test]
    fn passwords_are_never_shown() {
        for url in [
            "postgresql://me:hunter2@db.example:5433/calls",
            "postgres://me:hunter2@db.example:5433/calls",
            "postgresql+psycopg://me:hunter2@db.example:5433/calls",
        ] {
            let place = Place::parse(url).unwrap();
            assert_eq!(place.shown(), "postgresql://me@db.example:5433/calls");
        }
        for wrong in ["mysql://me:hunter2@host/calls", "postgresql://me:hunter2@host:port/calls"] {
            let error = Place::parse(wrong).unwrap_err();
            assert_eq!(error.kind(), Kind::Value);
            assert!(!error.message().contains("hunter2"), "{error}");
        }
    }
}
