//! A budget's no, in words for whoever is refused.

use std::time::Duration;

use rust_decimal::Decimal;

use super::period;
use super::slot::Short;
use crate::error::{Denied, Error};
use crate::policy::rules::{AtLimit, Period, Who};
use crate::pricing::from_pico;

/// A no, and what is to happen then.
#[derive(Debug)]
pub struct Refused {
    /// What the caller is told.
    pub error: Error,
    /// Whether a weaker model may be asked instead.
    pub at_limit: AtLimit,
}

/// That `short` is why a call is not paid for, in a budget of `who` for `span`.
pub(super) fn denied(short: &Short, who: &Who, span: Period, now: i64) -> Error {
    if short.unknown {
        let denied = Denied { status: 503, code: "budget_unavailable", retry_after: Some(Duration::from_secs(2)) };
        let said =
            "the database of budgets cannot be had, and what was lent to this server before is spent or set aside";
        return Error::denied(denied, format!("{}: {said}", named(who)));
    }
    let ends = short.slot.span.1;
    let wait = Duration::from_secs((ends - now).max(1) as u64);
    let denied = Denied { status: 429, code: "budget_exceeded", retry_after: Some(wait) };
    let money = &short.money;
    let every = match span {
        Period::Day => "a day",
        Period::Month => "a month",
    };
    let reserved = money.reserved.saturating_add(money.lease.others.max(0));
    let said = format!(
        "{} (${} {every}) cannot pay for this call: ${} are spent, ${} are set aside for calls under way, and this one may \
         cost ${}; it is renewed at {}",
        named(who),
        dollars(money.limit),
        dollars(money.all_spent()),
        dollars(reserved),
        dollars(short.needed),
        period::shown(ends),
    );
    Error::denied(denied, said)
}

/// That a call under a budget has to say how long its answer may be.
pub(super) fn no_limit(who: &Who) -> Error {
    let denied = Denied { status: 400, code: "output_limit_required", retry_after: None };
    let said = "wants to know what a call may cost at most: give `max_completion_tokens` (or `max_tokens`)";
    Error::denied(denied, format!("{} {said}", named(who)))
}

/// `the budget of team "a" for the model "m"`.
pub(super) fn named(who: &Who) -> String {
    let mut parts = Vec::new();
    for (name, value) in [("key", &who.key), ("team", &who.team)] {
        if let Some(value) = value {
            parts.push(format!("{name} {value:?}"));
        }
    }
    let whose = if parts.is_empty() { "everybody".to_owned() } else { parts.join(" and ") };
    let model = who.model.as_ref().map_or_else(String::new, |model| format!(" for the model {model:?}"));
    format!("the budget of {whose}{model}")
}

/// US dollars with six digits at most, rounded away from nothing: what is there is never shown as nothing.
fn dollars(pico: i64) -> Decimal {
    let strategy = rust_decimal::RoundingStrategy::AwayFromZero;
    from_pico(pico).round_dp_with_strategy(6, strategy).normalize()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::slot::Slot;
    use super::*;

    #[test]
    fn a_refusal_says_whose_how_much_and_until_when() {
        let who = Who { team: Some("legal".into()), ..Who::default() };
        let slot = Arc::new(Slot::alone("t".into(), (1_795_737_600, 1_795_824_000), 0, 5_000_000_000_000));
        let mut money = slot.money().clone();
        (money.spent, money.reserved) = (4_980_000_000_000, 10_000_000_000);
        let short = Short { slot, money, needed: 57_300_000_001, unknown: false };
        let error = denied(&short, &who, Period::Day, 1_795_797_600);
        assert_eq!(
            error.message(),
            "the budget of team \"legal\" ($5 a day) cannot pay for this call: $4.98 are spent, $0.01 are set aside for \
             calls under way, and this one may cost $0.057301; it is renewed at 2026-11-28T00:00:00Z"
        );
        let why = error.why_denied().map(|why| (why.status, why.code, why.retry_after));
        assert_eq!(why, Some((429, "budget_exceeded", Some(Duration::from_mins(440)))));
        let down = denied(&Short { unknown: true, ..short }, &Who::default(), Period::Day, 0);
        assert_eq!(down.http_status(), 503);
        assert!(down.message().starts_with("the budget of everybody: the database"), "{down}");
    }

    #[test]
    fn budgets_are_named() {
        let who = Who { key: Some("k1".into()), team: Some("t".into()), model: Some("gpt-5.5".into()) };
        assert_eq!(named(&who), "the budget of key \"k1\" and team \"t\" for the model \"gpt-5.5\"");
    }
}
