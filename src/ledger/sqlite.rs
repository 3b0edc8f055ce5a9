//! The book in an `SQLite` file.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row as _};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Kind};

use super::guard::Guard;
use super::pen::{Pen, Refused};
use super::picture::read::implement_pictures;
use super::place::Place;
use super::row::Row;
use super::score::{Names, Score, Scored, Wanted};
use super::spend::Filter;
use super::store::{self, PATIENCE, Refusal, Store, VERSION, implement_store};

pub(super) const SCHEMA: &str = include_str!("sqlite.sql");

/// A connection to a file, in write-ahead mode: readers do not wait for the writer, nor it for them.
pub(super) struct Sqlite {
    place: Place,
    runtime: Runtime,
    connection: SqliteConnection,
    /// Of a connection that writes, with the file it writes to.
    pen: Option<(Pen, Identity)>,
    path: PathBuf,
    /// Declared last, so that it is dropped after the connection.
    guard: Option<Guard>,
}

impl Sqlite {
    pub(super) fn open(place: &Place, path: &Path, create: bool, guarded: bool) -> crate::error::Result<Self> {
        if !create && !path.exists() {
            return Err(Error::new(Kind::Missing, format!("ledger: there is no file {}", path.display())));
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(create)
            .busy_timeout(PATIENCE)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit is in the system's hands at once; the disk is waited for when the log is folded in.
            .synchronous(SqliteSynchronous::Normal)
            .thread_name(|_| "ferroute-sqlite".into())
            .disable_statement_logging();
        let runtime = runtime()?;
        let begun = Instant::now();
        let connection = loop {
            match runtime.block_on(async {
                let mut connection = options.connect().await?;
                let found: i64 = sqlx::query_scalar("PRAGMA user_version").fetch_one(&mut connection).await?;
                if found < VERSION {
                    made(&mut connection).await?;
                }
                Ok::<_, sqlx::Error>((connection, found))
            }) {
                Ok((_, found)) if found > VERSION => {
                    return Err(place.refused("it could not be opened", &store::too_new(found)));
                }
                Ok((connection, _)) => break connection,
                // Changing the mode of a new file does not wait by itself while another process does the same.
                Err(error) if is_busy(&error) && begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(place.failed("it could not be opened", &error)),
            }
        };
        let guard = guarded.then(|| Guard::take(&std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())));
        let told = |refused: Refused| place.refused("it could not be opened", &refused.message);
        let pen = if guarded { Some((Pen::open(path).map_err(told)?, identity(path))) } else { None };
        Ok(Self { place: place.clone(), runtime, connection, pen, path: path.to_owned(), guard })
    }

    fn write_rows(&mut self, rows: &[Row]) -> Result<(), Refusal> {
        self.written(|pen| pen.write(rows))
    }

    fn written(&mut self, work: impl FnOnce(&mut Pen) -> Result<(), Refused>) -> Result<(), Refusal> {
        let Some((pen, _)) = &mut self.pen else {
            return Err(Refusal::Unavailable(
                self.place.refused("calls could not be written", "it is open for reading"),
            ));
        };
        work(pen).map_err(|refused| {
            let error = self.place.refused("calls could not be written", &refused.message);
            if refused.is_busy() {
                Refusal::Busy(error)
            } else if refused.is_about_rows() {
                Refusal::Rows(error)
            } else {
                Refusal::Unavailable(error)
            }
        })
    }

    fn leave(self) {
        let Self { runtime, connection, pen, guard, .. } = self;
        // Not the last connection, so nothing is folded in yet.
        drop(pen);
        if let Some(guard) = &guard {
            guard.release();
        }
        // Whatever it says: everything was committed.
        let _closed = runtime.block_on(async { tokio::time::timeout(PATIENCE, connection.close()).await });
        drop(guard);
    }
}

implement_store!(
    Sqlite,
    row: sqlx::sqlite::SqliteRow,
    read: "BEGIN",
    order: "rowid",
    {
        fn mark(&mut self, ids: &[i64]) -> Result<(), Refusal> {
            self.written(|pen| pen.mark(ids))
        }

        fn fill(&mut self, features: &[(i64, Vec<u8>)]) -> Result<(), Refusal> {
            self.written(|pen| pen.fill(features))
        }

        fn score(&mut self, scores: &[Score]) -> Result<(), Refusal> {
            self.written(|pen| pen.score(scores))
        }

        fn is_gone(&self) -> bool {
            self.pen.as_ref().is_some_and(|(_, file)| *file != identity(&self.path))
        }
    }
);

implement_pictures!(
    Sqlite,
    row: sqlx::sqlite::SqliteRow,
    read: "BEGIN",
    order: "rowid",
    hundredths: "CAST($ AS INTEGER)",
    scan: Some(" NOT INDEXED")
);

/// Adds the columns that the tables of an earlier version lack, and makes what is missing.
///
/// All or nothing, and one process at a time: the others wait for the transaction and then find the version.
async fn made(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for (table, column) in store::ADDED {
        // A table that is missing has no columns at all.
        let lacks = "SELECT count(*) > 0 AND sum(name = $2) = 0 FROM pragma_table_info($1)";
        let lacks = sqlx::query_scalar::<_, Option<bool>>(lacks).bind(table).bind(column);
        if lacks.fetch_one(&mut *transaction).await? == Some(true) {
            let add = format!("ALTER TABLE {table} ADD COLUMN {column} TEXT");
            transaction.execute(AssertSqlSafe(add)).await?;
        }
    }
    transaction.execute(SCHEMA).await?;
    transaction.execute(AssertSqlSafe(format!("PRAGMA user_version = {VERSION}"))).await?;
    transaction.commit().await
}

/// What tells a file from another of the same name; `None` where there is no such file.
type Identity = Option<(u64, u64)>;

#[cfg(unix)]
fn identity(path: &Path) -> Identity {
    use std::os::unix::fs::MetadataExt;

    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Identity {
    path.exists().then_some((0, 0))
}

/// A runtime for one connection, driven by the thread that uses it.
pub(super) fn runtime() -> crate::error::Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Io, format!("ledger: no runtime for its connection: {error}")))
}

/// Primary result codes (the lower byte): `SQLITE_BUSY` 5, `SQLITE_LOCKED` 6.
fn is_busy(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(told) if told.code().is_some_and(|code| matches!(primary(&code), Some(5 | 6))))
}

fn primary(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().map(|code| code & 0xff)
}
