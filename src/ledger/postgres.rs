//! The book in a `PostgreSQL` database.

use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row as _};
use tokio::runtime::Runtime;
use tokio::time::timeout;

use crate::error::Result;

use super::picture::read::implement_pictures;
use super::place::Place;
use super::row::Row;
use super::score::{Names, Score, Scored, Wanted};
use super::spend::Filter;
use super::store::{self, CHUNKS, PATIENCE, Refusal, Store, VERSION, implement_store};

pub(super) const SCHEMA: &str = include_str!("postgres.sql");

/// Makes the tables once, however many processes come at the same time: two that create a table that is missing would
/// fail, so they take turns under a lock of this number (the bytes of `ferroute`).
const TURN: i64 = 0x6665_7272_6f75_7465;
/// The comment on the table begins so, and ends with its version. Unlike a row of a table it can be read by everybody.
const SAYS: &str = "ferroute ledger, version ";

/// Binds a row to a query, in the order of [`store::COLUMNS`].
macro_rules! bind_row {
    ($query:expr, $row:expr) => {{
        let row = $row;
        $query
            .bind(row.id)
            .bind(row.ts)
            .bind(row.key.as_deref())
            .bind(row.session.as_deref())
            .bind(row.router.as_deref())
            .bind(row.requested.as_deref())
            .bind(row.model.as_str())
            .bind(row.tier.as_deref())
            .bind(row.win_rate)
            .bind(row.threshold)
            .bind(i64::from(row.holdout))
            .bind(row.prompt_tokens)
            .bind(row.completion_tokens)
            .bind(row.cached_tokens)
            .bind(row.cache_write_tokens)
            .bind(row.reasoning_tokens)
            .bind(i64::from(row.estimated))
            .bind(row.cost)
            .bind(row.router_cost)
            .bind(row.baseline)
            .bind(row.ttft_ms)
            .bind(row.total_ms)
            .bind(row.outcome.name())
            .bind(row.error.as_deref())
            .bind(row.attempts)
            .bind(row.features.as_deref())
            .bind(row.text.as_deref())
            .bind(row.price_version.as_str())
            .bind(row.task.as_deref())
            .bind(row.tags.as_deref())
            .bind(row.signs.as_deref())
            .bind(row.response.as_deref())
    }};
}

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
            let found = version(&mut connection).await?;
            if found < VERSION {
                let mut transaction = connection.begin().await?;
                sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(TURN).execute(&mut *transaction).await?;
                // Somebody else may have had the turn before.
                if version(&mut transaction).await? < VERSION {
                    made(&mut transaction).await?;
                }
                transaction.commit().await?;
            }
            Ok::<_, sqlx::Error>((connection, found))
        };
        let opened = runtime.block_on(async { timeout(2 * PATIENCE, work).await });
        let (connection, found) = opened
            .map_err(|_| place.silent("it could not be opened"))?
            .map_err(|error| place.failed("it could not be opened", &error))?;
        if found > VERSION {
            return Err(place.refused("it could not be opened", &store::too_new(found)));
        }
        Ok(Self { place: place.clone(), runtime, connection, inserts: CHUNKS.map(store::insert) })
    }

    fn write_rows(&mut self, rows: &[Row]) -> Result<(), Refusal> {
        const WHAT: &str = "calls could not be written";
        let (connection, inserts) = (&mut self.connection, &self.inserts);
        let work = async {
            let mut transaction = connection.begin().await?;
            let mut left = rows;
            while let Some((which, size)) = store::chunk(left.len()) {
                let (now, later) = left.split_at(size);
                let mut query = sqlx::query(AssertSqlSafe(inserts[which].clone()));
                for row in now {
                    query = bind_row!(query, row);
                }
                query.execute(&mut *transaction).await?;
                left = later;
            }
            transaction.commit().await
        };
        let error = match self.runtime.block_on(async { tokio::time::timeout(2 * PATIENCE, work).await }) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error,
            Err(_) => return Err(Refusal::Unavailable(self.place.silent(WHAT))),
        };
        let refused = is_told(&error, is_about_rows);
        let error = self.place.failed(WHAT, &error);
        Err(if refused { Refusal::Rows(error) } else { Refusal::Unavailable(error) })
    }

    fn mark_rows(&mut self, ids: &[i64]) -> Result<(), Refusal> {
        let connection = &mut self.connection;
        let work = async {
            let mut transaction = connection.begin().await?;
            for id in ids {
                sqlx::query(store::MARK).bind(id).execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        Self::beside(&self.place, &self.runtime, "answers could not be marked", work)
    }

    /// Writes something that goes with the calls. A role that may add calls need not be one that may do this, too (class
    /// 42): then it is left, and does not keep the calls from being written.
    fn beside(
        place: &Place,
        runtime: &Runtime,
        what: &str,
        work: impl Future<Output = std::result::Result<(), sqlx::Error>>,
    ) -> Result<(), Refusal> {
        match runtime.block_on(async { tokio::time::timeout(2 * PATIENCE, work).await }) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if is_told(&error, |code| is_about_rows(code) || code.starts_with("42")) => {
                Err(Refusal::Rows(place.failed(what, &error)))
            }
            Ok(Err(error)) => Err(Refusal::Unavailable(place.failed(what, &error))),
            Err(_) => Err(Refusal::Unavailable(place.silent(what))),
        }
    }

    fn score_answers(&mut self, scores: &[Score]) -> Result<(), Refusal> {
        let connection = &mut self.connection;
        let work = async {
            let mut transaction = connection.begin().await?;
            for score in scores {
                let query = sqlx::query(store::SCORE).bind(score.call).bind(&score.source).bind(score.score);
                let query = query.bind(score.probability).bind(score.ts).bind(score.model.as_deref());
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        Self::beside(&self.place, &self.runtime, "outcomes could not be written", work)
    }

    fn leave(self) {
        let Self { runtime, connection, .. } = self;
        let _closed = runtime.block_on(async { timeout(PATIENCE, connection.close()).await });
    }
}

implement_pictures!(
    Postgres,
    row: sqlx::postgres::PgRow,
    read: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    order: "ctid",
    hundredths: "CAST(FLOOR($) AS BIGINT)",
    scan: None
);

implement_store!(
    Postgres,
    row: sqlx::postgres::PgRow,
    // One moment for both questions.
    read: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    order: "ctid",
    {
        fn mark(&mut self, ids: &[i64]) -> Result<(), Refusal> {
            self.mark_rows(ids)
        }

        fn score(&mut self, scores: &[Score]) -> Result<(), Refusal> {
            self.score_answers(scores)
        }
    }
);

/// Which version the tables are of: 0 where there are none, 1 where they do not say.
async fn version(connection: &mut PgConnection) -> std::result::Result<i64, sqlx::Error> {
    let tables = "SELECT to_regclass('calls') IS NOT NULL AND to_regclass('outcomes') IS NOT NULL";
    if !sqlx::query_scalar::<_, bool>(tables).fetch_one(&mut *connection).await? {
        return Ok(0);
    }
    let comment = "SELECT obj_description(to_regclass('calls'), 'pg_class')";
    let said = sqlx::query_scalar::<_, Option<String>>(comment).fetch_one(connection).await?;
    let number = said.as_deref().and_then(|said| said.strip_prefix(SAYS)?.trim().parse().ok());
    Ok(number.unwrap_or(1))
}

/// Adds the columns that the tables of an earlier version lack, and makes what is missing.
async fn made(connection: &mut PgConnection) -> std::result::Result<(), sqlx::Error> {
    for (table, column) in store::ADDED {
        let add = format!("ALTER TABLE IF EXISTS {table} ADD COLUMN IF NOT EXISTS {column} TEXT");
        connection.execute(AssertSqlSafe(add)).await?;
    }
    connection.execute(sqlx::raw_sql(SCHEMA)).await?;
    connection.execute(AssertSqlSafe(format!("COMMENT ON TABLE calls IS '{SAYS}{VERSION}'"))).await?;
    Ok(())
}

/// Whether the server has told a code of some kind.
fn is_told(error: &sqlx::Error, is: impl Fn(&str) -> bool) -> bool {
    matches!(error, sqlx::Error::Database(told) if told.code().is_some_and(|code| is(&code)))
}

/// Classes of SQLSTATE: 22 is data that does not fit, 23 a constraint.
fn is_about_rows(code: &str) -> bool {
    code.starts_with("22") || code.starts_with("23")
}
