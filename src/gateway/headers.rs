//! What an answer's headers say of the decision and of its cost.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use rust_decimal::Decimal;

use super::deciding::Decided;
use crate::engine::plan::{Account, Instead};
use crate::error::Error;
use crate::policy::Pass;

/// Our id of the request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Asks for the object `ferroute` in the answer, as `{"ferroute": {"explain": true}}` does.
pub(super) const EXPLAIN: HeaderName = HeaderName::from_static("x-ferroute-explain");
const MODEL: HeaderName = HeaderName::from_static("x-ferroute-model");
const ROUTER: HeaderName = HeaderName::from_static("x-ferroute-router");
const WIN_RATE: HeaderName = HeaderName::from_static("x-ferroute-win-rate");
const THRESHOLD: HeaderName = HeaderName::from_static("x-ferroute-threshold");
const TIER: HeaderName = HeaderName::from_static("x-ferroute-tier");
const CLAMP: HeaderName = HeaderName::from_static("x-ferroute-clamp");
const NOTE: HeaderName = HeaderName::from_static("x-ferroute-note");
const COST: HeaderName = HeaderName::from_static("x-ferroute-cost-usd");
const SAVED: HeaderName = HeaderName::from_static("x-ferroute-saved-usd");

/// The longest note in a header; the whole of it is in the object `ferroute`.
const SHOWN: usize = 200;

/// Adds what was decided; `instead` answered in the place of the chosen model.
pub(super) fn decision(headers: &mut HeaderMap, decided: &Decided, instead: Option<&Instead>) {
    let model = instead.map_or(decided.target.name.as_str(), |instead| instead.model.as_str());
    put(headers, MODEL, model);
    let tier = instead.and_then(|instead| instead.tier.as_deref()).or(decided.tier.as_deref());
    if let Some(tier) = tier {
        put(headers, TIER, tier);
    }
    if let Some(router) = &decided.router {
        put(headers, ROUTER, router);
    }
    if let Some(win_rate) = decided.win_rate {
        put(headers, WIN_RATE, &win_rate.to_string());
    }
    match decided.thresholds[..] {
        [] => {}
        [one] => put(headers, THRESHOLD, &one.to_string()),
        ref several => {
            let texts: Vec<String> = several.iter().map(f64::to_string).collect();
            put(headers, THRESHOLD, &texts.join(","));
        }
    }
    if let Some(note) = decided.notes.first() {
        let short: String = note.chars().take(SHOWN).collect();
        put(headers, NOTE, &short);
    }
}

/// Adds how the caller's limits stand, in `OpenAI`'s words, and the limit in tokens that a budget has given the answer.
pub(super) fn limits(headers: &mut HeaderMap, pass: &Pass, clamp: Option<u64>) {
    if let Some(clamp) = clamp {
        headers.insert(CLAMP, HeaderValue::from(clamp));
    }
    for (name, value) in pass.headers() {
        put(headers, HeaderName::from_static(name), &value);
    }
}

/// Adds what it came to.
pub(super) fn account(headers: &mut HeaderMap, account: &Account) {
    money(headers, COST, account.cost);
    money(headers, SAVED, account.saved);
    left_out(headers, account);
}

/// Adds to the note which parameters the model was not told.
fn left_out(headers: &mut HeaderMap, account: &Account) {
    let is_plain = |name: &&str| name.bytes().all(|byte| byte.is_ascii_graphic());
    let names: Vec<&str> = account.dropped.iter().map(|each| each.parameter.as_str()).filter(is_plain).collect();
    if names.is_empty() {
        return;
    }
    let before = headers.get(NOTE).and_then(|note| note.to_str().ok()).map(|note| format!("{note}; "));
    let note = format!("{}not sent as given: {}", before.unwrap_or_default(), names.join(", "));
    let short: String = note.chars().take(SHOWN).collect();
    put(headers, NOTE, &short);
}

/// Adds what a call that failed came to.
pub(super) fn spent(headers: &mut HeaderMap, error: &Error) {
    if let Some(spent) = error.spent() {
        money(headers, COST, spent.cost);
    }
}

/// An amount that is not known has no header: it is not zero.
fn money(headers: &mut HeaderMap, name: HeaderName, amount: Option<Decimal>) {
    if let Some(amount) = amount {
        put(headers, name, &amount.normalize().to_string());
    }
}

/// Whether the caller asks for the object `ferroute` by header.
pub(super) fn explains(headers: &HeaderMap) -> bool {
    headers.get(EXPLAIN).is_some_and(|value| value == "1" || value == "true")
}

/// A text that no header can hold is left out: it is in the object `ferroute`.
pub(super) fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_cost_is_not_zero() {
        let mut headers = HeaderMap::new();
        account(&mut headers, &Account { saved: Some(Decimal::new(-2500, 6)), ..Account::default() });
        assert!(headers.get(COST).is_none());
        assert_eq!(headers.get(SAVED).unwrap(), "-0.0025");
    }

    #[test]
    fn parameters_that_were_left_out_are_noted() {
        let dropped = |name: &str| crate::providers::Dropped { parameter: name.to_owned(), why: String::new() };
        let told = Account { dropped: vec![dropped("top_k"), dropped("a\nb"), dropped("seed")], ..Account::default() };
        let mut headers = HeaderMap::new();
        account(&mut headers, &told);
        assert_eq!(headers.get(NOTE).unwrap(), "not sent as given: top_k, seed");
        put(&mut headers, NOTE, "moved");
        account(&mut headers, &told);
        assert_eq!(headers.get(NOTE).unwrap(), "moved; not sent as given: top_k, seed");
    }

    #[test]
    fn what_no_header_can_hold_is_left_out() {
        let mut headers = HeaderMap::new();
        put(&mut headers, NOTE, "one\nx-other: two");
        assert!(headers.is_empty());
    }
}
