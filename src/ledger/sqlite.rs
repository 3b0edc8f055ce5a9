//! The book in an `SQLite` file.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row as _};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Kind, Result};

use super::guard::Guard;
use super::place::Place;
use super::row::Row;
use super::spend::Filter;
use super::store::{self, CHUNKS, PATIENCE, Refusal, Store, bind_row, implement_store, read_row};

pub(super) const SCHEMA: &str = include_str!("sqlite.sql");

/// A connection to a file, in write-ahead mode: readers do not wait for the writer, nor it for them.
pub(super) struct Sqlite {
    place: Place,
    runtime: Runtime,
    connection: SqliteConnection,
    inserts: [String; CHUNKS.len()],
    /// Declared last, so that it is dropped after the connection.
    guard: Option<Guard>,
}

impl Sqlite {
    pub(super) fn open(place: &Place, path: &Path, create: bool, guarded: bool) -> Result<Self> {
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
                connection.execute(SCHEMA).await?;
                Ok::<_, sqlx::Error>(connection)
            }) {
                Ok(connection) => break connection,
                // Changing the mode of a new file does not wait by itself while another process does the same.
                Err(error) if is_busy(&error) && begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(place.failed("it could not be opened", &error)),
            }
        };
        let guard = guarded.then(|| Guard::take(&std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())));
        Ok(Self { place: place.clone(), runtime, connection, inserts: CHUNKS.map(store::insert), guard })
    }

    fn leave(self) {
        let Self { runtime, connection, guard, .. } = self;
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
    write: "BEGIN IMMEDIATE",
    read: "BEGIN",
    about_rows: is_about_rows,
    // A file that was busy or full is the same file later.
    outlives_failures: true
);

/// A runtime for one connection, driven by the thread that uses it.
pub(super) fn runtime() -> Result<Runtime> {
    Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::new(Kind::Io, format!("ledger: no runtime for its connection: {error}")))
}

/// Primary result codes (the lower byte): `SQLITE_BUSY` 5, `SQLITE_LOCKED` 6.
fn is_busy(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(told) if told.code().is_some_and(|code| matches!(primary(&code), Some(5 | 6))))
}

/// `SQLITE_TOOBIG` 18, `SQLITE_CONSTRAINT` 19, `SQLITE_MISMATCH` 20.
fn is_about_rows(code: &str) -> bool {
    matches!(primary(code), Some(18..=20))
}

fn primary(code: &str) -> Option<u32> {
    code.parse::<u32>().ok().map(|code| code & 0xff)
}
