//! The sums of a picture made by a database.

use super::super::score::DRAWN;
use super::super::store::COLUMNS;

/// When the oldest call began of so many that are looked at, where there are more of them.
pub(in crate::ledger) const CUT: &str =
    "SELECT ts FROM calls WHERE ts >= $1 AND ts < $2 ORDER BY ts DESC LIMIT 1 OFFSET $3";

/// How many calls there are in a span.
pub(in crate::ledger) const COUNT: &str = "SELECT COUNT(*) FROM calls WHERE ts >= $1 AND ts < $2";

/// How many calls there are at all, counted so far.
pub(in crate::ledger) const AT_ALL: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM calls LIMIT $1) AS some";

/// Where more than one call in so many is in the span, reading all in their order is quicker than finding each.
pub(in crate::ledger) const ONE_IN: i64 = 4;

/// Both databases take this for a number of their doubles.
const COST: &str = "CAST(cost AS DOUBLE PRECISION)";
const ROUTING: &str = "CAST(router_cost AS DOUBLE PRECISION)";
const BASELINE: &str = "CAST(baseline AS DOUBLE PRECISION)";
/// A model asked for by name has no cost of routing.
const SAVING: &str = "(CAST(baseline AS DOUBLE PRECISION) - CAST(cost AS DOUBLE PRECISION) - CASE WHEN router IS NULL \
     THEN COALESCE(CAST(router_cost AS DOUBLE PRECISION), 0.0) ELSE CAST(router_cost AS DOUBLE PRECISION) END)";

/// The sum of an expression, zero of none.
fn sum(expression: &str) -> String {
    format!("COALESCE(SUM({expression}), 0.0)")
}

/// The statement for the slices: from when on and until when calls are taken, the width, and the begin of the span are
/// bound in order.
pub(in crate::ledger) fn slices(scan: &str) -> String {
    let whole = format!("({COST} + {ROUTING})");
    let columns = [
        "COUNT(*)".to_owned(),
        "COUNT(cost)".to_owned(),
        sum(COST),
        sum(ROUTING),
        format!("COUNT({whole})"),
        sum(&whole),
        sum(&format!("{whole} * {whole}")),
        sum(&format!("{COST} * {COST}")),
        format!("COUNT({SAVING})"),
        sum(&format!("CASE WHEN {SAVING} IS NOT NULL THEN {BASELINE} END")),
        sum(SAVING),
        sum("CAST(prompt_tokens AS DOUBLE PRECISION)"),
        sum("CAST(completion_tokens AS DOUBLE PRECISION)"),
    ];
    format!(
        "SELECT (ts - $4) / $3, model, router, outcome, holdout, {} FROM calls{scan} WHERE ts >= $1 AND ts < $2 \
         GROUP BY 1, 2, 3, 4, 5",
        columns.join(", ")
    )
}

/// The bin of a win rate, by the database's own way to round down `$`. As [`Adding`](super::Adding) does it.
pub(in crate::ledger) fn bin(hundredths: &str) -> String {
    let number = hundredths.replace('$', "win_rate * 100 + 0.000001");
    format!("CASE WHEN win_rate >= 1 THEN 100 WHEN win_rate < 0 THEN 0 ELSE {number} END")
}

/// The statement for the bins; `bin` as [`bin`] gives it.
pub(in crate::ledger) fn bins(bin: &str, scan: &str) -> String {
    let both = |of: &str| sum(&format!("CASE WHEN cost IS NOT NULL AND baseline IS NOT NULL THEN {of} END"));
    format!(
        "SELECT router, {bin}, model, COUNT(*), COUNT(cost), {}, COUNT({COST} + {BASELINE}), {}, {} FROM calls{scan} \
         WHERE ts >= $1 AND ts < $2 AND router IS NOT NULL AND win_rate IS NOT NULL AND outcome IN ('ok', 'cancelled') \
         GROUP BY 1, 2, 3",
        sum(COST),
        both(COST),
        both(BASELINE)
    )
}

/// The statement for the scores; `order` as in [`select_scored`](super::super::store::select_scored). Whoever gave a score
/// unasked was not drawn.
pub(in crate::ledger) fn judged(bin: &str, order: &str) -> String {
    format!(
        "SELECT source, scored, own, task, router, bin, COUNT(*), {}, {}, {} FROM (SELECT o.source AS source, \
         COALESCE(o.model, c.model) AS scored, CAST(CASE WHEN COALESCE(o.model, c.model) = c.model THEN 1 ELSE 0 END AS BIGINT) AS own, \
         c.task AS task, c.router AS router, {bin} AS bin, o.score AS score, \
         1.0 / COALESCE(NULLIF(o.probability, 0.0), 1.0) AS weight, ROW_NUMBER() OVER (PARTITION BY o.call_id, o.source, \
         COALESCE(o.model, c.model) ORDER BY o.ts DESC, o.{order} DESC) AS place FROM outcomes o CROSS JOIN calls c \
         WHERE c.id = o.call_id AND c.ts >= $1 AND c.ts < $2 AND o.source <> '{DRAWN}') AS latest WHERE place = 1 \
         GROUP BY source, scored, own, task, router, bin",
        sum("weight"),
        sum("weight * weight"),
        sum("weight * score")
    )
}

/// The statement that reads the last calls; the filter's four values and the number are bound in order.
pub(in crate::ledger) fn recent(bare: bool) -> String {
    let column = |column: &'static str| match column {
        "features" => "NULL",
        "text" if bare => "NULL",
        column => column,
    };
    format!(
        "SELECT {} FROM calls WHERE ts >= $1 AND ts < $2 AND ($3 IS NULL OR router = $3) AND ($4 IS NULL OR model = $4) \
         ORDER BY ts DESC, id DESC LIMIT $5",
        COLUMNS.map(column).join(", ")
    )
}

/// Implements [`Pictures`](super::asked::Pictures) beside [`implement_store`](super::super::store::implement_store), with what that makes. `hundredths`:
/// how the database rounds down a number of hundredths. `scan`: how it is told not to use an index, where it does not see by
/// itself when that is better.
macro_rules! implement_pictures {
    (
        $name:ty,
        row: $row:ty,
        read: $read:literal,
        order: $order:literal,
        hundredths: $hundredths:literal,
        scan: $scan:expr
    ) => {
        impl $name {
            #[inline(never)]
            fn slice_of(row: &$row) -> Result<$crate::ledger::picture::Slice, sqlx::Error> {
                const PICO: f64 = 1e-12;
                let number = |column: usize| row.try_get::<f64, _>(column);
                Ok($crate::ledger::picture::Slice {
                    index: row.try_get(0)?,
                    model: row.try_get(1)?,
                    router: row.try_get(2)?,
                    outcome: $crate::ledger::record::Outcome::named(row.try_get::<&str, _>(3)?),
                    holdout: row.try_get::<i64, _>(4)? != 0,
                    figures: $crate::ledger::picture::Figures {
                        n: row.try_get(5)?,
                        priced: row.try_get(6)?,
                        cost: number(7)? * PICO,
                        router_cost: number(8)? * PICO,
                        whole: row.try_get(9)?,
                        whole_cost: number(10)? * PICO,
                        whole_squares: number(11)? * PICO * PICO,
                        squares: number(12)? * PICO * PICO,
                        compared: row.try_get(13)?,
                        baseline: number(14)? * PICO,
                        saved: number(15)? * PICO,
                        prompt_tokens: number(16)?,
                        completion_tokens: number(17)?,
                    },
                })
            }

            #[inline(never)]
            fn bin_of(row: &$row) -> Result<$crate::ledger::picture::Bin, sqlx::Error> {
                const PICO: f64 = 1e-12;
                Ok($crate::ledger::picture::Bin {
                    router: row.try_get(0)?,
                    index: row.try_get(1)?,
                    model: row.try_get(2)?,
                    n: row.try_get(3)?,
                    priced: row.try_get(4)?,
                    cost: row.try_get::<f64, _>(5)? * PICO,
                    compared: row.try_get(6)?,
                    compared_cost: row.try_get::<f64, _>(7)? * PICO,
                    baseline: row.try_get::<f64, _>(8)? * PICO,
                })
            }

            #[inline(never)]
            fn judged_of(row: &$row) -> Result<$crate::ledger::picture::Judged, sqlx::Error> {
                Ok($crate::ledger::picture::Judged {
                    source: row.try_get(0)?,
                    model: row.try_get(1)?,
                    own: row.try_get::<i64, _>(2)? != 0,
                    task: row.try_get(3)?,
                    router: row.try_get(4)?,
                    index: row.try_get(5)?,
                    scores: $crate::ledger::picture::Weighted {
                        n: row.try_get(6)?,
                        weight: row.try_get(7)?,
                        squares: row.try_get(8)?,
                        score: row.try_get(9)?,
                    },
                })
            }
        }

        impl $crate::ledger::picture::asked::Pictures for $name {
            fn picture(
                &mut self,
                span: $crate::ledger::picture::Span,
                most: u32,
            ) -> $crate::error::Result<$crate::ledger::picture::Picture> {
                use $crate::ledger::picture::{self, read};

                const SCAN: Option<&str> = $scan;
                let connection = &mut self.connection;
                let work = async {
                    // One moment for all questions.
                    let mut transaction = connection.begin_with($read).await?;
                    let cut = sqlx::query(read::CUT).bind(span.since).bind(span.until).bind(i64::from(most));
                    let cut: Option<i64> =
                        cut.fetch_optional(&mut *transaction).await?.map(|row| row.try_get(0)).transpose()?;
                    // Of those that began in that microsecond some are beyond the number.
                    let cut = cut.map(|cut| cut + 1);
                    let begin = cut.unwrap_or(span.since);
                    let mut scan = "";
                    if let Some(hint) = SCAN {
                        let query = sqlx::query_scalar::<_, i64>(read::COUNT).bind(begin).bind(span.until);
                        let enough = query.fetch_one(&mut *transaction).await?.saturating_mul(read::ONE_IN);
                        let query = sqlx::query_scalar::<_, i64>(read::AT_ALL).bind(enough);
                        if query.fetch_one(&mut *transaction).await? < enough {
                            scan = hint;
                        }
                    }
                    let query = sqlx::query(AssertSqlSafe(read::slices(scan))).bind(begin).bind(span.until);
                    let slices = query.bind(span.width).bind(span.since).fetch_all(&mut *transaction).await?;
                    let query = sqlx::query(AssertSqlSafe(read::bins(&read::bin($hundredths), scan)))
                        .bind(begin)
                        .bind(span.until);
                    let bins = query.fetch_all(&mut *transaction).await?;
                    let query = sqlx::query(AssertSqlSafe(read::judged(&read::bin($hundredths), $order)))
                        .bind(begin)
                        .bind(span.until);
                    let judged = query.fetch_all(&mut *transaction).await?;
                    transaction.commit().await?;
                    Ok(picture::Picture {
                        slices: slices.iter().map(Self::slice_of).collect::<Result<_, _>>()?,
                        bins: bins.iter().map(Self::bin_of).collect::<Result<_, _>>()?,
                        judged: judged.iter().map(Self::judged_of).collect::<Result<_, _>>()?,
                        cut,
                        forgotten: 0,
                    })
                };
                // A question about a million calls takes longer than others.
                let limited = async { tokio::time::timeout(6 * PATIENCE, work).await };
                match self.runtime.block_on(limited) {
                    Ok(found) => found.map_err(|error| self.place.failed("it could not be read", &error)),
                    Err(_) => Err(self.place.silent("it could not be read")),
                }
            }

            fn recent(&mut self, filter: &Filter, most: u32) -> $crate::error::Result<Vec<Row>> {
                use $crate::ledger::picture::read;

                let connection = &mut self.connection;
                Self::ask(&self.place, &self.runtime, async {
                    let query = sqlx::query(AssertSqlSafe(read::recent(filter.bare)));
                    let query =
                        query.bind(filter.since_us.unwrap_or(i64::MIN)).bind(filter.until_us.unwrap_or(i64::MAX));
                    let query = query.bind(filter.router.as_deref()).bind(filter.model.as_deref());
                    let rows = query.bind(i64::from(most)).fetch_all(connection).await?;
                    rows.iter().map(Self::call).collect()
                })
            }
        }
    };
}

pub(in crate::ledger) use implement_pictures;
