//! How things stand: budgets, what is being tried out, the configuration and what became of its last reload.

use std::sync::PoisonError;
use std::time::SystemTime;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{Page, microseconds};
use crate::error::Result;

/// A budget, as the page shows it. US dollars.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// Whose, in words: `key ci`, `team legal`, `everybody`.
    pub name: String,
    /// What may be spent in the period.
    pub limit: Decimal,
    /// What was.
    pub spent: Decimal,
    /// What calls under way have set aside.
    pub reserved: Decimal,
    /// `day` or `month`.
    pub period: String,
    /// When the period ends.
    pub renews: SystemTime,
}

/// What is being tried out, as a JSON list of objects with `name`, `kind`, `state`, `threshold`, `said` and `figures` (pairs
/// of a name and a number or a word). Asked every few seconds at most, by a thread that may wait.
pub type Experiments = dyn Fn() -> Result<String> + Send + Sync;

/// All of it as JSON. Money as decimal strings, times in milliseconds since 1970.
pub(super) fn made(page: &Page) -> Value {
    let about = page.about.load_full();
    let times = page.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let milliseconds = |time| microseconds(time) / 1000;
    let experiments = about.experiments.as_ref().map(|experiments| {
        let list = experiments().map(|text| serde_json::from_str::<Value>(&text).unwrap_or(Value::Null));
        list.unwrap_or_else(|error| json!({"error": error.message()}))
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now": milliseconds(SystemTime::now()),
        "started": milliseconds(page.started),
        "budgets": page.budgets.get().map(|budgets| budgets().iter().map(budget).collect::<Value>()),
        "experiments": experiments,
        "config": {
            "file": about.config,
            "loaded": milliseconds(times.loaded),
            "reloads": times.reloads,
            "refused": times.refused.map(|(at, why)| json!({"at": milliseconds(at), "why": why})),
            "ledger": about.ledger.as_ref().map(|ledger| ledger.shown_url()),
            "in_memory": about.ledger.as_ref().is_some_and(|ledger| ledger.is_in_memory()),
            "texts": about.texts(),
            "keys": about.keys,
            "routers": about.routers,
            "models": about.models,
            "rungs": about.rungs.iter().map(|rung| json!({"tier": rung.tier, "model": rung.model})).collect::<Value>(),
        },
    })
}

fn budget(of: &Budget) -> Value {
    json!({
        "name": of.name,
        "limit": of.limit.to_string(),
        "spent": of.spent.to_string(),
        "reserved": of.reserved.to_string(),
        "period": of.period,
        "renews": microseconds(of.renews) / 1000,
    })
}
