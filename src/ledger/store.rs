//! What the writer and the reader need of a database, and the statements both databases take.

use std::time::Duration;

use crate::error::Error;

use super::picture::asked::Pictures;
use super::row::Row;
use super::score::{Names, Score, Scored, Wanted};
use super::spend::Filter;

/// A database takes this long to answer, or it does not answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Why rows were not written.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Others are writing. The connection is as good as before.
    Busy(Error),
    /// The database is not to be had, or not now: the same rows may be written later, by another connection.
    Unavailable(Error),
    /// It does not take these rows.
    Rows(Error),
}

/// A connection. Its methods block; they have a runtime of their own, so they must not be called inside another.
pub(super) trait Store: Pictures {
    /// Writes rows, all or none. A row that is there already stays as it is, so a write of doubtful end may be repeated.
    fn write(&mut self, rows: &[Row]) -> Result<(), Refusal>;

    /// Shows the rows a filter takes, by their time, then says which of `ids` were there at that moment.
    fn read(&mut self, filter: &Filter, ids: &[i64], visit: &mut dyn FnMut(Row)) -> Result<Vec<i64>, Error>;

    /// The last whole answers, oldest first.
    fn last(&mut self, n: u32) -> Result<Vec<Row>, Error>;

    /// Whether a process has used this number for its rows.
    fn used(&mut self, node: u32) -> Result<bool, Error>;

    /// Enters the features of rows that were written without them, where the store takes such rows.
    fn fill(&mut self, _features: &[(i64, Vec<u8>)]) -> Result<(), Refusal> {
        Ok(())
    }

    /// Marks answers after which the user asked again; as often as one likes.
    fn mark(&mut self, ids: &[i64]) -> Result<(), Refusal>;

    /// Enters scores of answers. One that is entered twice counts once, so this may be repeated.
    fn score(&mut self, scores: &[Score]) -> Result<(), Refusal>;

    /// Shows the scores of the calls a filter takes, as they came, then gives the calls of `ids` that are there.
    fn scored(
        &mut self,
        filter: &Filter,
        ids: &[i64],
        names: &mut Names,
        visit: &mut dyn FnMut(Scored),
    ) -> Result<Vec<Row>, Error>;

    /// The call that is meant.
    fn find(&mut self, wanted: &Wanted) -> Result<Option<i64>, Error>;

    /// With which probability a call was drawn for a shadow, as [`score::DRAWN`](super::score::DRAWN) notes it.
    fn drawn(&mut self, call: i64) -> Result<Option<f64>, Error>;

    /// The key a call was made with; `None` where there is no such call.
    #[expect(clippy::option_option, reason = "a call that is not there, and one without a key")]
    fn key(&mut self, call: i64) -> Result<Option<Option<String>>, Error>;

    /// Whether what it is connected to is no longer what its name means.
    fn is_gone(&self) -> bool {
        false
    }

    /// Says good-bye.
    fn close(self: Box<Self>);
}

/// The columns of `calls`, in the order they are bound and read.
pub(super) const COLUMNS: [&str; 32] = [
    "id",
    "ts",
    "key",
    "session",
    "router",
    "requested",
    "model",
    "tier",
    "win_rate",
    "threshold",
    "holdout",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "estimated",
    "cost",
    "router_cost",
    "baseline",
    "ttft_ms",
    "total_ms",
    "outcome",
    "error",
    "attempts",
    "features",
    "text",
    "price_version",
    "task",
    "tags",
    "signs",
    "response",
];

/// What is kept in the store to tell how its tables look: 1 had no `task`, `tags` and `signs`, 2 neither `response` nor
/// the outcomes' `model`.
pub(super) const VERSION: i64 = 3;

/// The columns that versions have added, all of them texts, by their table.
pub(super) const ADDED: [(&str, &str); 5] =
    [("calls", "task"), ("calls", "tags"), ("calls", "signs"), ("calls", "response"), ("outcomes", "model")];

/// A store whose tables nobody knows yet.
pub(super) fn too_new(version: i64) -> String {
    format!(
        "a later version of ferroute made it (its tables are {version}, this one knows {VERSION}): install that version"
    )
}

/// The statement by which an answer is marked as one after which the user asked again.
pub(super) const MARK: &str = "UPDATE calls SET signs = CASE WHEN coalesce(signs, '') = '' THEN 'asked_again' \
     ELSE signs || ',asked_again' END WHERE id = $1 AND (signs IS NULL OR signs NOT LIKE '%asked_again')";

/// Rows of one statement: what is left of a batch goes in smaller ones, so that few statements are ever prepared.
pub(super) const CHUNKS: [usize; 3] = [64, 8, 1];

/// The statement that inserts so many rows.
pub(super) fn insert(rows: usize) -> String {
    let width = COLUMNS.len();
    let values: Vec<String> = (0..rows)
        .map(|row| {
            let numbers: Vec<String> = (1..=width).map(|column| format!("${}", row * width + column)).collect();
            format!("({})", numbers.join(", "))
        })
        .collect();
    format!("INSERT INTO calls ({}) VALUES {} ON CONFLICT (id) DO NOTHING", COLUMNS.join(", "), values.join(", "))
}

/// The largest chunk that `left` rows fill, with its place in [`CHUNKS`].
pub(super) fn chunk(left: usize) -> Option<(usize, usize)> {
    CHUNKS.into_iter().enumerate().find(|&(_, size)| size <= left)
}

/// The statement that reads what a filter takes, its four values bound in order; `bare`: see [`Filter::bare`].
pub(super) fn select(bare: bool) -> String {
    // No condition on the time would keep the index from being used.
    format!(
        "SELECT {} FROM calls WHERE ts >= $1 AND ts < $2 AND ($3 IS NULL OR router = $3) \
         AND ($4 IS NULL OR model = $4) ORDER BY ts, id",
        COLUMNS.map(|column| read(column, bare)).join(", ")
    )
}

/// A column as it is read: nothing in the place of what is long and not wanted.
fn read(column: &str, bare: bool) -> &str {
    if bare && matches!(column, "features" | "text") { "NULL" } else { column }
}

/// The statement that reads the last whole answers, newest first.
pub(super) fn select_last() -> String {
    format!(
        "SELECT {} FROM calls WHERE outcome IN ('ok', 'shadow') AND estimated = 0 AND error IS NULL ORDER BY ts DESC, id DESC LIMIT $1",
        COLUMNS.join(", ")
    )
}

/// The statement that enters a score.
pub(super) const SCORE: &str =
    "INSERT INTO outcomes (call_id, source, score, probability, ts, model) VALUES ($1, $2, $3, $4, $5, $6)";

/// The statement that reads the scores of what a filter takes, its four values bound in order; `order`: the name of the
/// column that tells in which order they came; `bare`: see [`Filter::bare`]. Scores are fewer than calls, so it begins with
/// them.
pub(super) fn select_scored(order: &str, bare: bool) -> String {
    let calls = SCORED.map(|column| match read(column, bare) {
        "NULL" => "NULL".to_owned(),
        column => format!("c.{column}"),
    });
    let calls = calls.join(", ");
    format!(
        "SELECT {calls}, o.ts, o.source, o.score, o.probability, o.model FROM outcomes o CROSS JOIN calls c \
         WHERE c.id = o.call_id AND c.ts >= $1 AND c.ts < $2 AND ($3 IS NULL OR c.router = $3) \
         AND ($4 IS NULL OR c.model = $4) ORDER BY o.{order}"
    )
}

/// What a score tells of its call, in the order it is read.
const SCORED: [&str; 15] = [
    "id",
    "ts",
    "session",
    "router",
    "requested",
    "model",
    "tier",
    "win_rate",
    "threshold",
    "holdout",
    "cost",
    "features",
    "text",
    "task",
    "tags",
];

/// The statement that reads one call.
pub(super) fn select_one() -> String {
    format!("SELECT {} FROM calls WHERE id = $1", COLUMNS.join(", "))
}

/// The last call whose answer has an id, and was handed on, of those that began by some time.
pub(super) const BY_RESPONSE: &str = "SELECT id FROM calls WHERE response = $1 AND ts <= $2 \
     AND outcome IN ('ok', 'cancelled') ORDER BY ts DESC, id DESC LIMIT 1";

/// With which probability a call was drawn.
pub(super) const PROBABILITY: &str = "SELECT probability FROM outcomes WHERE call_id = $1 AND source = $2 \
     ORDER BY ts DESC LIMIT 1";

/// The key of a call.
pub(super) const KEY: &str = "SELECT key FROM calls WHERE id = $1";

/// Whether an id is there.
pub(super) const HAS: &str = "SELECT id FROM calls WHERE id = $1";

/// Whether an id between two is there.
pub(super) const USED: &str = "SELECT id FROM calls WHERE id >= $1 AND id <= $2 LIMIT 1";

/// The first and last id of a process.
pub(super) fn ids_of(node: u32) -> (i64, i64) {
    let first = i64::from(node) << 32;
    (first, first | 0xffff_ffff)
}

/// Implements [`Store`] for a type with the fields `place`, `runtime` and `connection` and the methods `write_rows` and
/// `leave`; with what it has of its own. `row`: what its queries give; `read`: how a transaction begins that only reads;
/// `order`: see [`select_scored`].
macro_rules! implement_store {
    ($name:ty, row: $row:ty, read: $read:literal, order: $order:literal, { $($own:item)* }) => {
        impl $name {
            /// Reads a call. Those who read are long enough without it.
            #[inline(never)]
            fn call(row: &$row) -> Result<Row, sqlx::Error> {
                Ok($crate::ledger::row::Row {
                    id: row.try_get(0)?,
                    ts: row.try_get(1)?,
                    key: row.try_get(2)?,
                    session: row.try_get(3)?,
                    router: row.try_get(4)?,
                    requested: row.try_get(5)?,
                    model: row.try_get(6)?,
                    tier: row.try_get(7)?,
                    win_rate: row.try_get(8)?,
                    threshold: row.try_get(9)?,
                    holdout: row.try_get::<i64, _>(10)? != 0,
                    prompt_tokens: row.try_get(11)?,
                    completion_tokens: row.try_get(12)?,
                    cached_tokens: row.try_get(13)?,
                    cache_write_tokens: row.try_get(14)?,
                    reasoning_tokens: row.try_get(15)?,
                    estimated: row.try_get::<i64, _>(16)? != 0,
                    cost: row.try_get(17)?,
                    router_cost: row.try_get(18)?,
                    baseline: row.try_get(19)?,
                    ttft_ms: row.try_get(20)?,
                    total_ms: row.try_get(21)?,
                    outcome: $crate::ledger::record::Outcome::named(&row.try_get::<String, _>(22)?),
                    error: row.try_get(23)?,
                    attempts: row.try_get(24)?,
                    features: row.try_get(25)?,
                    text: row.try_get(26)?,
                    price_version: row.try_get(27)?,
                    task: row.try_get(28)?,
                    tags: row.try_get(29)?,
                    signs: row.try_get(30)?,
                    response: row.try_get(31)?,
                })
            }

            /// Reads a score, see [`store::select_scored`].
            #[inline(never)]
            fn score_of(row: &$row, names: &mut Names) -> Result<Scored, sqlx::Error> {
                let model = names.shared(row.try_get::<&str, _>(5)?);
                let scored = row.try_get::<Option<&str>, _>(19)?.map_or_else(|| model.clone(), |name| names.shared(name));
                Ok($crate::ledger::score::Scored {
                    call: row.try_get(0)?,
                    ts: row.try_get(1)?,
                    session: row.try_get::<Option<&str>, _>(2)?.map(Into::into),
                    router: names.maybe(row.try_get(3)?),
                    requested: names.maybe(row.try_get(4)?),
                    model,
                    tier: names.maybe(row.try_get(6)?),
                    win_rate: row.try_get(7)?,
                    threshold: row.try_get(8)?,
                    holdout: row.try_get::<i64, _>(9)? != 0,
                    cost: row.try_get(10)?,
                    features: row.try_get::<Option<&[u8]>, _>(11)?.map(Into::into),
                    text: row.try_get::<Option<&str>, _>(12)?.map(Into::into),
                    task: names.maybe(row.try_get(13)?),
                    tags: names.maybe(row.try_get(14)?),
                    scored_ts: row.try_get(15)?,
                    source: names.shared(row.try_get(16)?),
                    score: row.try_get(17)?,
                    probability: row.try_get(18)?,
                    scored,
                })
            }

            /// Runs a question to its end, for a limited time.
            fn ask<T>(
                place: &Place,
                runtime: &tokio::runtime::Runtime,
                work: impl Future<Output = Result<T, sqlx::Error>>,
            ) -> $crate::error::Result<T> {
                const WHAT: &str = "it could not be read";
                match runtime.block_on(async { tokio::time::timeout(2 * PATIENCE, work).await }) {
                    Ok(answer) => answer.map_err(|error| place.failed(WHAT, &error)),
                    Err(_) => Err(place.silent(WHAT)),
                }
            }
        }

        impl Store for $name {
            fn write(&mut self, rows: &[Row]) -> Result<(), Refusal> {
                self.write_rows(rows)
            }

            $($own)*

            fn read(
                &mut self,
                filter: &Filter,
                ids: &[i64],
                visit: &mut dyn FnMut(Row),
            ) -> $crate::error::Result<Vec<i64>> {
                const WHAT: &str = "it could not be read";
                let connection = &mut self.connection;
                let work = async {
                    let mut transaction = connection.begin_with($read).await?;
                    let query = sqlx::query(AssertSqlSafe(store::select(filter.bare)));
                    let query =
                        query.bind(filter.since_us.unwrap_or(i64::MIN)).bind(filter.until_us.unwrap_or(i64::MAX));
                    let query = query.bind(filter.router.as_deref()).bind(filter.model.as_deref());
                    let mut rows = query.fetch(&mut *transaction);
                    // As long as rows come, there may be any number of them.
                    while let Some(row) = match tokio::time::timeout(6 * PATIENCE, rows.try_next()).await {
                        Ok(row) => row?,
                        Err(_) => return Ok(None),
                    } {
                        visit(Self::call(&row)?);
                    }
                    drop(rows);
                    let mut there = Vec::new();
                    for &id in ids {
                        if sqlx::query(store::HAS).bind(id).fetch_optional(&mut *transaction).await?.is_some() {
                            there.push(id);
                        }
                    }
                    transaction.commit().await?;
                    Ok(Some(there))
                };
                let read = self.runtime.block_on(work).map_err(|error| self.place.failed(WHAT, &error))?;
                read.ok_or_else(|| self.place.silent(WHAT))
            }

            fn scored(
                &mut self,
                filter: &Filter,
                ids: &[i64],
                names: &mut Names,
                visit: &mut dyn FnMut(Scored),
            ) -> $crate::error::Result<Vec<Row>> {
                const WHAT: &str = "it could not be read";
                let connection = &mut self.connection;
                let work = async {
                    let mut transaction = connection.begin_with($read).await?;
                    let query = sqlx::query(AssertSqlSafe(store::select_scored($order, filter.bare)));
                    let query =
                        query.bind(filter.since_us.unwrap_or(i64::MIN)).bind(filter.until_us.unwrap_or(i64::MAX));
                    let query = query.bind(filter.router.as_deref()).bind(filter.model.as_deref());
                    let mut rows = query.fetch(&mut *transaction);
                    while let Some(row) = match tokio::time::timeout(6 * PATIENCE, rows.try_next()).await {
                        Ok(row) => row?,
                        Err(_) => return Ok(None),
                    } {
                        visit(Self::score_of(&row, names)?);
                    }
                    drop(rows);
                    let mut calls = Vec::new();
                    for &id in ids {
                        let query = sqlx::query(AssertSqlSafe(store::select_one())).bind(id);
                        if let Some(row) = query.fetch_optional(&mut *transaction).await? {
                            calls.push(Self::call(&row)?);
                        }
                    }
                    transaction.commit().await?;
                    Ok(Some(calls))
                };
                let read = self.runtime.block_on(work).map_err(|error| self.place.failed(WHAT, &error))?;
                read.ok_or_else(|| self.place.silent(WHAT))
            }

            fn find(&mut self, wanted: &Wanted) -> $crate::error::Result<Option<i64>> {
                let connection = &mut self.connection;
                Self::ask(&self.place, &self.runtime, async {
                    let query = match wanted {
                        Wanted::Response(response, by) => {
                            sqlx::query(store::BY_RESPONSE).bind(response.as_str()).bind(by.unwrap_or(i64::MAX))
                        }
                        Wanted::Call(id) => sqlx::query(store::HAS).bind(*id),
                    };
                    query.fetch_optional(connection).await?.map(|row| row.try_get(0)).transpose()
                })
            }

            fn drawn(&mut self, call: i64) -> $crate::error::Result<Option<f64>> {
                let connection = &mut self.connection;
                Self::ask(&self.place, &self.runtime, async {
                    let query = sqlx::query(store::PROBABILITY).bind(call).bind($crate::ledger::score::DRAWN);
                    Ok(query.fetch_optional(connection).await?.map(|row| row.try_get(0)).transpose()?.flatten())
                })
            }

            fn key(&mut self, call: i64) -> $crate::error::Result<Option<Option<String>>> {
                let connection = &mut self.connection;
                Self::ask(&self.place, &self.runtime, async {
                    let query = sqlx::query(store::KEY).bind(call);
                    query.fetch_optional(connection).await?.map(|row| row.try_get(0)).transpose()
                })
            }

            fn last(&mut self, n: u32) -> $crate::error::Result<Vec<Row>> {
                let connection = &mut self.connection;
                Self::ask(&self.place, &self.runtime, async {
                    let query = sqlx::query(AssertSqlSafe(store::select_last())).bind(i64::from(n));
                    let rows = query.fetch_all(connection).await?;
                    rows.iter().rev().map(Self::call).collect()
                })
            }

            fn used(&mut self, node: u32) -> $crate::error::Result<bool> {
                let (first, last) = store::ids_of(node);
                let connection = &mut self.connection;
                Self::ask(&self.place, &self.runtime, async {
                    let query = sqlx::query(store::USED).bind(first).bind(last);
                    Ok(query.fetch_optional(connection).await?.is_some())
                })
            }

            fn close(self: Box<Self>) {
                self.leave();
            }
        }
    };
}

pub(super) use implement_store;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_fill_every_number_of_rows() {
        let (mut left, mut taken) = (64 + 2 * 8 + 3, Vec::new());
        while let Some((_, size)) = chunk(left) {
            taken.push(size);
            left -= size;
        }
        assert_eq!(taken, [64, 8, 8, 1, 1, 1]);
        assert!(insert(2).ends_with("$63, $64) ON CONFLICT (id) DO NOTHING"));
    }

    #[test]
    fn ids_of_a_process_are_positive_and_its_own() {
        assert_eq!(ids_of(0), (0, 0xffff_ffff));
        assert_eq!(ids_of(0x7fff_ffff).1, i64::MAX);
        assert_eq!(ids_of(1).0, ids_of(0).1 + 1);
    }
}
