//! The book in a `PostgreSQL` database.

use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row as _};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::error::Result;

use super::place::Place;
use super::row::Row;
use super::spend::Filter;
use super::store::{self, CHUNKS, PATIENCE, Refusal, Store, bind_row, implement_store, read_row};

pub(super) const SCHEMA: &str = include_str!("postgres.sql");

/// Makes the tables once, however many processes come at the same time: two that create a table that is missing would
/// fail, so they take turns under a lock of this number (the bytes of `ferroute`).
const TURN: i64 = 0x6665_7272_6f75_7465;

/// A connection to a server.
pub(super) struct Postgres {
    place: Place,
    runtime: Runtime,
    connection: PgConnection,
    inserts: [String; CHUNKS.len()],
}

impl Postgres {
    pub(super) fn open(place: &Place, options: &PgConnectOptions) -> Result<Self> {
        let runtime = super::sqlite::runtime()?;
        let options = options.clone().disable_statement_logging();
        let work = async {
            let mut connection = options.connect().await?;
            // A role that may only write into tables made for it is enough.
            let tables = "SELECT to_regclass('calls') IS NOT NULL AND to_regclass('outcomes') IS NOT NULL";
            if !sqlx::query_scalar::<_, bool>(tables).fetch_one(&mut connection).await? {
                let mut transaction = connection.begin().await?;
                sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(&mut *transaction).await?;
                transaction.execute(sqlx::raw_sql(SCHEMA)).await?;
                transaction.commit().await?;
            }
            Ok::<_, sqlx::Error>(connection)
        };
        let opened = runtime.block_on(async { timeout(2 * PATIENCE, work).await });
        let connection = opened
            .map_err(|_| place.silent("it could not be opened"))?
            .map_err(|error| place.failed("it could not be opened", &error))?;
        Ok(Self { place: place.clone(), runtime, connection, inserts: CHUNKS.map(store::insert) })
    }

    fn leave(self) {
        let Self { runtime, connection, .. } = self;
        let _closed = runtime.block_on(async { timeout(PATIENCE, connection.close()).await });
    }
}

implement_store!(
    Postgres,
    write: "BEGIN",
    // One moment for both questions.
    read: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    about_rows: is_about_rows,
    outlives_failures: false
);

/// Classes of SQLSTATE: 22 is data that does not fit, 23 a constraint.
fn is_about_rows(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("23")
}
