//! The table of keys, in the database of the ledger.
//!
//! Beside it is one row that counts the changes: who serves with these keys asks for that number, and reads the table only where it
//! has moved. The tables of the ledger have a version of their own; these are added without it, so that programs of earlier
//! versions go on writing their calls.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row as _};
use tokio::runtime::{Builder, Runtime};

use super::record::{Record, Shown};
use crate::error::{Error, Kind, Result};
use crate::ledger::place::Place;
use crate::policy::secret::Digest;

/// A database takes this long to answer, or it does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Whoever makes the tables in `PostgreSQL` takes turns under a lock of this number (the bytes of `frkeys`).
const TURN: i64 = 0x6672_6b65_7973;

const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, hash {bytes} NOT NULL UNIQUE, name TEXT NOT NULL, team TEXT, \
     scopes TEXT NOT NULL, models TEXT, budget TEXT, requests TEXT, tokens TEXT, concurrency BIGINT, at_limit TEXT NOT NULL, \
     created BIGINT NOT NULL, expires BIGINT, revoked BIGINT)",
    "CREATE TABLE IF NOT EXISTS keys_state (id BIGINT PRIMARY KEY, version BIGINT NOT NULL, changes BIGINT NOT NULL)",
    "INSERT INTO keys_state (id, version, changes) VALUES (1, 1, 0) ON CONFLICT (id) DO NOTHING",
];
const STATE: &str = "SELECT version, changes FROM keys_state WHERE id = 1";
const ALL: &str = "SELECT id, hash, name, team, scopes, models, budget, requests, tokens, concurrency, at_limit, created, \
     expires, revoked FROM keys ORDER BY created, id";
const INSERT: &str = "INSERT INTO keys (id, hash, name, team, scopes, models, budget, requests, tokens, concurrency, \
     at_limit, created, expires, revoked) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const REVOKE: &str = "UPDATE keys SET revoked = $2 WHERE id = $1 AND revoked IS NULL";
const CHANGED: &str = "UPDATE keys_state SET changes = changes + 1 WHERE id = 1";
/// The tables as this version knows them.
const VERSION: i64 = 1;

/// A connection. Its methods block, and must not be called inside a runtime.
pub(super) struct Database {
    place: Place,
    create: bool,
    runtime: Runtime,
    link: Option<Link>,
    /// Keys of a ledger in memory.
    memory: Vec<Record>,
    memory_changes: i64,
}

enum Link {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// What is changed.
pub(super) enum Change {
    Add(Box<Record>),
    Revoke(String, i64),
}

impl Database {
    pub(super) fn open(place: Place, create: bool) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(Kind::Io, format!("keys: no runtime for their connection: {error}")))?;
        let mut database = Self { place, create, runtime, link: None, memory: Vec::new(), memory_changes: 0 };
        database.linked()?;
        Ok(database)
    }

    /// How often the keys have been changed.
    pub(super) fn changes(&mut self) -> Result<i64> {
        if matches!(self.place, Place::Memory) {
            return Ok(self.memory_changes);
        }
        self.work("keys could not be read", |link| {
            Box::pin(async move {
                match link {
                    Link::Sqlite(connection) => on_sqlite::state(connection).await,
                    Link::Postgres(connection) => on_postgres::state(connection).await,
                }
                .map(|(_, changes)| changes)
            })
        })
    }

    /// All keys, oldest first.
    pub(super) fn all(&mut self) -> Result<Vec<Record>> {
        if matches!(self.place, Place::Memory) {
            return Ok(self.memory.clone());
        }
        self.work("keys could not be read", |link| {
            Box::pin(async move {
                match link {
                    Link::Sqlite(connection) => on_sqlite::all(connection).await,
                    Link::Postgres(connection) => on_postgres::all(connection).await,
                }
            })
        })
    }

    /// Makes a change; says whether there was something to change.
    pub(super) fn change(&mut self, change: Change) -> Result<bool> {
        if matches!(self.place, Place::Memory) {
            self.memory_changes += 1;
            match change {
                Change::Add(record) => self.memory.push(*record),
                Change::Revoke(id, at) => {
                    let found = self.memory.iter_mut().find(|key| key.shown.id == id && key.shown.revoked.is_none());
                    let Some(found) = found else { return Ok(false) };
                    found.shown.revoked = Some(at);
                }
            }
            return Ok(true);
        }
        self.work("the key could not be written", move |link| {
            Box::pin(async move {
                match link {
                    Link::Sqlite(connection) => on_sqlite::change(connection, &change).await,
                    Link::Postgres(connection) => on_postgres::change(connection, &change).await,
                }
            })
        })
    }

    pub(super) fn shown(&self) -> String {
        self.place.shown()
    }

    /// Asks the database, which is connected to anew where the connection has broken.
    fn work<'s, T>(
        &'s mut self,
        what: &str,
        work: impl for<'a> FnOnce(&'a mut Link) -> futures_util::future::LocalBoxFuture<'a, Result<T, sqlx::Error>> + 's,
    ) -> Result<T> {
        self.linked()?;
        let Some(link) = self.link.as_mut() else {
            return Err(self.place.silent(what));
        };
        let answer = self.runtime.block_on(async { tokio::time::timeout(2 * PATIENCE, work(link)).await });
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                // What the database itself says leaves the connection as good as before.
                if !matches!(error, sqlx::Error::Database(_)) || matches!(self.link, Some(Link::Postgres(_))) {
                    self.link = None;
                }
                Err(self.place.failed(what, &error))
            }
            Err(_) => {
                self.link = None;
                Err(self.place.silent(what))
            }
        }
    }

    /// Connects, where it is not connected.
    fn linked(&mut self) -> Result<()> {
        const WHAT: &str = "keys could not be opened";
        if self.link.is_some() {
            return Ok(());
        }
        let (runtime, create) = (&self.runtime, self.create);
        let opened = match &self.place {
            Place::Memory => return Ok(()),
            Place::Sqlite(path) => {
                if !create && !path.exists() {
                    return Err(Error::new(Kind::Missing, format!("keys: there is no file {}", path.display())));
                }
                let begun = Instant::now();
                loop {
                    let opened =
                        runtime.block_on(async { tokio::time::timeout(2 * PATIENCE, sqlite(path, create)).await });
                    match opened {
                        // Changing the mode of a new file does not wait by itself while another process does the same.
                        Ok(Err(error)) if is_busy(&error) && begun.elapsed() < PATIENCE => {
                            std::thread::sleep(Duration::from_millis(5));
                        }
                        other => break other.map(|opened| opened.map(|(link, found)| (Link::Sqlite(link), found))),
                    }
                }
            }
            Place::Postgres(options) => {
                let opened = runtime.block_on(async { tokio::time::timeout(2 * PATIENCE, postgres(options)).await });
                opened.map(|opened| opened.map(|(link, found)| (Link::Postgres(link), found)))
            }
        };
        let (link, found) =
            opened.map_err(|_| self.place.silent(WHAT))?.map_err(|error| self.place.failed(WHAT, &error))?;
        if found > VERSION {
            let why = format!(
                "a later version of ferroute made them (version {found}, this one knows {VERSION}): install that version"
            );
            return Err(self.place.refused(WHAT, &why));
        }
        self.link = Some(link);
        Ok(())
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let Some(link) = self.link.take() else { return };
        let work = async {
            match link {
                Link::Sqlite(connection) => connection.close().await,
                Link::Postgres(connection) => connection.close().await,
            }
        };
        // Whatever it says: everything was committed.
        let _closed = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, work).await });
    }
}

async fn sqlite(path: &Path, create: bool) -> Result<(SqliteConnection, i64), sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(create)
        .busy_timeout(PATIENCE)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .thread_name(|_| "ferroute-sqlite".into())
        .disable_statement_logging();
    let mut connection = options.connect().await?;
    if let Ok((found, _)) = on_sqlite::state(&mut connection).await {
        return Ok((connection, found));
    }
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for statement in TABLES {
        transaction.execute(AssertSqlSafe(statement.replace("{bytes}", "BLOB"))).await?;
    }
    transaction.commit().await?;
    let (found, _) = on_sqlite::state(&mut connection).await?;
    Ok((connection, found))
}

async fn postgres(options: &PgConnectOptions) -> Result<(PgConnection, i64), sqlx::Error> {
    let mut connection = options.clone().disable_statement_logging().connect().await?;
    // A role that may not make tables is enough where they are.
    if let Ok((found, _)) = on_postgres::state(&mut connection).await {
        return Ok((connection, found));
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(&mut *transaction).await?;
    for statement in TABLES {
        transaction.execute(AssertSqlSafe(statement.replace("{bytes}", "BYTEA"))).await?;
    }
    transaction.commit().await?;
    let (found, _) = on_postgres::state(&mut connection).await?;
    Ok((connection, found))
}

/// `SQLITE_BUSY` 5, `SQLITE_LOCKED` 6, in the lower byte of the code.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = match error {
        sqlx::Error::Database(told) => told.code().and_then(|code| code.parse::<u32>().ok()),
        _ => None,
    };
    matches!(code.map(|code| code & 0xff), Some(5 | 6))
}

/// The questions, which both databases are asked in the same words.
macro_rules! questions {
    ($name:ident, $connection:ty, $row:ty, $begin:literal) => {
        mod $name {
            use super::*;

            pub(super) async fn state(connection: &mut $connection) -> Result<(i64, i64), sqlx::Error> {
                let row = sqlx::query(STATE).fetch_one(&mut *connection).await?;
                Ok((row.try_get(0)?, row.try_get(1)?))
            }

            pub(super) async fn all(connection: &mut $connection) -> Result<Vec<Record>, sqlx::Error> {
                let rows = sqlx::query(ALL).fetch_all(&mut *connection).await?;
                rows.iter().map(record).collect()
            }

            fn record(row: &$row) -> Result<Record, sqlx::Error> {
                let hash: Vec<u8> = row.try_get(1)?;
                let digest =
                    Digest::kept(&hash).ok_or_else(|| sqlx::Error::Decode("a hash is not of 32 bytes".into()))?;
                let scopes: String = row.try_get(4)?;
                let models: Option<String> = row.try_get(5)?;
                let shown = Shown {
                    id: row.try_get(0)?,
                    name: row.try_get(2)?,
                    team: row.try_get(3)?,
                    scopes: scopes.split(',').map(str::to_owned).collect(),
                    models: models.map(|list| list.lines().map(str::to_owned).collect()),
                    budget: row.try_get(6)?,
                    requests: row.try_get(7)?,
                    tokens: row.try_get(8)?,
                    concurrency: row.try_get(9)?,
                    at_limit: row.try_get(10)?,
                    created: row.try_get(11)?,
                    expires: row.try_get(12)?,
                    revoked: row.try_get(13)?,
                };
                Ok(Record { digest, shown })
            }

            pub(super) async fn change(connection: &mut $connection, change: &Change) -> Result<bool, sqlx::Error> {
                let mut transaction = connection.begin_with($begin).await?;
                let done = match change {
                    Change::Add(record) => {
                        let shown = &record.shown;
                        let query = sqlx::query(INSERT).bind(&shown.id).bind(&record.digest.bytes()[..]);
                        let query = query.bind(&shown.name).bind(&shown.team).bind(shown.scopes.join(","));
                        let query = query.bind(shown.models.as_ref().map(|list| list.join("\n")));
                        let query = query.bind(&shown.budget).bind(&shown.requests).bind(&shown.tokens);
                        let query = query.bind(shown.concurrency).bind(&shown.at_limit).bind(shown.created);
                        query.bind(shown.expires).bind(shown.revoked).execute(&mut *transaction).await?
                    }
                    Change::Revoke(id, at) => sqlx::query(REVOKE).bind(id).bind(at).execute(&mut *transaction).await?,
                };
                sqlx::query(CHANGED).execute(&mut *transaction).await?;
                transaction.commit().await?;
                Ok(done.rows_affected() > 0)
            }
        }
    };
}

questions!(on_sqlite, SqliteConnection, sqlx::sqlite::SqliteRow, "BEGIN IMMEDIATE");
questions!(on_postgres, PgConnection, sqlx::postgres::PgRow, "BEGIN");
