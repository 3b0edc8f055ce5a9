//! The last decisions: calls of the book, with the reasons this process remembers, and requests that came to no call.

use serde_json::{Value, json};

use super::About;
use super::seen::{Ring, Seen};
use crate::error::Result;
use crate::ledger::{Filter, Row};

/// So many are shown.
const SHOWN: usize = 60;

/// A text is shown so far, in characters.
const LONGEST_TEXT: usize = 400;

/// As JSON, the latest first. Money is in dollars, times are milliseconds since 1970.
pub(super) fn made(about: &About, ring: &Ring, texts: bool) -> Result<Value> {
    let seen = ring.all();
    let rows = match &about.ledger {
        Some(ledger) => ledger.recent(&Filter { bare: !texts, ..Filter::default() }, SHOWN as u32)?,
        None => Vec::new(),
    };
    let told = told(&rows, &seen, about.ledger.is_some());
    Ok(json!({"texts": about.texts(), "decisions": told}))
}

fn told(rows: &[Row], seen: &[Seen], has_book: bool) -> Vec<Value> {
    // The book has the calls of others, too; what came to no call is here alone.
    let uncalled = seen.iter().filter(|seen| !has_book || !seen.called).map(|seen| (seen.at, of_seen(seen)));
    let called = rows.iter().map(|row| (row.ts, of_row(row, reason(row, seen))));
    let mut all: Vec<(i64, Value)> = called.chain(uncalled).collect();
    all.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    all.truncate(SHOWN);
    all.into_iter().map(|(_, value)| value).collect()
}

/// What was seen of a call. The book does not know our id of it; but where the same was asked for with the same win rate and
/// the same model came out of it, the reason was the same.
fn reason<'a>(row: &Row, seen: &'a [Seen]) -> Option<&'a Seen> {
    let bits = |win_rate: Option<f64>| win_rate.map(f64::to_bits);
    seen.iter().rev().find(|seen| {
        seen.called
            && seen.requested == row.requested
            && bits(seen.win_rate) == bits(row.win_rate)
            && (seen.model.as_deref() == Some(&row.model) || row.win_rate.is_some())
            && seen.at <= row.ts
    })
}

fn dollars(picodollars: Option<i64>) -> Option<f64> {
    picodollars.map(|pico| pico as f64 / 1e12)
}

fn of_row(row: &Row, seen: Option<&Seen>) -> Value {
    let text = |text: &String| text.chars().take(LONGEST_TEXT).collect::<String>();
    json!({
        "at": row.ts / 1000,
        "requested": row.requested,
        "model": row.model,
        "tier": row.tier,
        "router": row.router,
        "win_rate": row.win_rate,
        "thresholds": row.threshold.map(|one| vec![one]).or_else(|| seen.map(|seen| seen.thresholds.clone())),
        "holdout": row.holdout,
        "outcome": row.outcome.name(),
        "error": row.error,
        "cost": dollars(row.cost),
        "router_cost": dollars(row.router_cost),
        "saved": row.saved().map(|pico| pico as f64 / 1e12),
        "total_ms": row.total_ms,
        "attempts": row.attempts,
        "estimated": row.estimated,
        "tokens": [row.prompt_tokens, row.completion_tokens],
        "signs": row.signs,
        "task": row.task,
        "key": row.key,
        "reason": seen.and_then(|seen| seen.reason.as_ref()),
        "notes": seen.map(|seen| &seen.notes),
        "text": row.text.as_ref().map(text),
    })
}

/// Refused by us; what a provider or a router could not do has failed.
fn outcome(seen: &Seen) -> &'static str {
    match &seen.error {
        None => "ok",
        Some(_) if seen.refused => "refused",
        Some(_) => "failed",
    }
}

fn of_seen(seen: &Seen) -> Value {
    json!({
        "at": seen.at / 1000,
        "id": seen.id,
        "path": seen.path,
        "status": seen.status,
        "requested": seen.requested,
        "model": seen.model,
        "tier": seen.tier,
        "router": seen.router,
        "win_rate": seen.win_rate,
        "thresholds": seen.thresholds,
        "outcome": outcome(seen),
        "error": seen.error,
        "total_ms": seen.total_ms,
        "key": seen.key,
        "reason": seen.reason,
        "notes": seen.notes,
    })
}
