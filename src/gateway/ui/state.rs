//! How things stand: budgets, what is being tried out, the configuration and what became of its last reload.

use std::sync::PoisonError;
use std::time::SystemTime;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{Page, microseconds};
use crate::error::Result;
use crate::policy::budget::BudgetState;
use crate::policy::rules::{Period, Who};
use crate::policy::{CapState, LimitState};

/// Everything that callers may come up against.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// Money.
    pub budgets: Vec<Budget>,
    /// Shares of models.
    pub caps: Vec<CapState>,
    /// Rates, and places for requests at the same time.
    pub limits: Vec<LimitState>,
}

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
    pub period: &'static str,
    /// When the period ends, in milliseconds since 1970.
    pub renews: i64,
}

impl Budget {
    /// How a policy's budget stands.
    pub fn of(state: &BudgetState) -> Self {
        Self {
            name: named(&state.who),
            limit: state.limit,
            spent: state.spent,
            reserved: state.reserved,
            period: match state.period {
                Period::Day => "day",
                Period::Month => "month",
            },
            renews: state.ends.saturating_mul(1000),
        }
    }
}

/// Whose it is, in words.
fn named(who: &Who) -> String {
    let pairs = [("key", &who.key), ("team", &who.team), ("model", &who.model)];
    let said: Vec<String> =
        pairs.into_iter().filter_map(|(what, name)| Some(format!("{what} {}", name.as_ref()?))).collect();
    if said.is_empty() { "everybody".to_owned() } else { said.join(", ") }
}

/// What is being tried out, as a JSON list of objects with `name`, `kind`, `state`, `threshold`, `said` and `figures` (pairs
/// of a name and a number or a word). Asked every few seconds at most, by a thread that may wait.
pub type Experiments = dyn Fn() -> Result<String> + Send + Sync;

/// All of it as JSON. Money as decimal strings, times in milliseconds since 1970.
pub(super) fn made(page: &Page) -> Value {
    let about = page.about.load_full();
    let times = page.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let standing = page.standing.get().map(|standing| standing()).unwrap_or_default();
    let milliseconds = |time| microseconds(time) / 1000;
    let experiments = about.experiments.as_ref().map(|experiments| {
        let list = experiments().map(|text| serde_json::from_str::<Value>(&text).unwrap_or(Value::Null));
        list.unwrap_or_else(|error| json!({"error": error.message()}))
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now": milliseconds(SystemTime::now()),
        "started": milliseconds(page.started),
        "budgets": standing.budgets.iter().map(budget).collect::<Value>(),
        "caps": standing.caps.iter().map(cap).collect::<Value>(),
        "limits": standing.limits.iter().map(limit).collect::<Value>(),
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
        "renews": of.renews,
    })
}

fn cap(of: &CapState) -> Value {
    json!({"name": named(&of.who), "model": of.model, "most": of.most, "seen": of.seen, "taken": of.strong})
}

fn limit(of: &LimitState) -> Value {
    json!({
        "name": named(&of.who),
        "kind": of.kind,
        "limit": of.limit,
        "per": of.per.map(|per| per.as_secs()),
        "remaining": of.remaining,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::About;
    use super::*;

    #[test]
    fn budgets_are_told_to_the_last_digit() {
        let page = Page::new(About::default());
        assert_eq!(made(&page)["budgets"], json!([]));
        let dollars = |text: &str| text.parse::<Decimal>().unwrap();
        let state = BudgetState {
            who: Who { team: Some("legal".into()), model: Some("gpt-5.5".into()), ..Who::default() },
            period: Period::Day,
            limit: dollars("5"),
            spent: dollars("1.000000000001"),
            reserved: dollars("0.25"),
            left: dollars("3.749999999999"),
            ends: 1_800_000_000,
        };
        let who = Who { key: Some("ci".into()), ..Who::default() };
        let cap = CapState { who: who.clone(), model: "gpt-5.5".into(), most: 0.2, seen: 999, strong: 150 };
        let per = Some(std::time::Duration::from_mins(1));
        let limit = LimitState { who, kind: "requests", limit: 100, per, remaining: 40 };
        page.show_standing(Box::new(move || Standing {
            budgets: vec![Budget::of(&state)],
            caps: vec![cap.clone()],
            limits: vec![limit.clone()],
        }));
        let all = made(&page);
        assert_eq!(
            all["caps"][0],
            json!({"name": "key ci", "model": "gpt-5.5", "most": 0.2, "seen": 999, "taken": 150})
        );
        assert_eq!((&all["limits"][0]["per"], &all["limits"][0]["remaining"]), (&json!(60), &json!(40)));
        let told = &all["budgets"][0];
        assert_eq!((&told["name"], &told["spent"]), (&json!("team legal, model gpt-5.5"), &json!("1.000000000001")));
        assert_eq!((&told["period"], &told["renews"]), (&json!("day"), &json!(1_800_000_000_000_i64)));
        assert_eq!(named(&Who::default()), "everybody");
    }

    #[test]
    fn what_python_says_is_not_trusted_to_be_json() {
        let about = |text: &'static str| About {
            experiments: Some(std::sync::Arc::new(move || Ok(text.to_owned()))),
            ..About::default()
        };
        assert_eq!(made(&Page::new(about(r#"[{"name":"a"}]"#)))["experiments"][0]["name"], "a");
        assert!(made(&Page::new(about("nonsense")))["experiments"].is_null());
    }

    #[test]
    fn a_refused_reload_is_told_until_one_is_taken() {
        let page = Page::new(About::default());
        page.refused("line 7");
        assert_eq!(made(&page)["config"]["refused"]["why"], "line 7");
        page.renew(About { config: Some("gateway.yaml".into()), ..About::default() });
        let config = &made(&page)["config"];
        assert_eq!((&config["refused"], &config["reloads"]), (&Value::Null, &json!(1)));
    }
}
