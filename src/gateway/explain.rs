//! The object `ferroute` of an answer, for callers who ask for it: the decision and what it came to.

use bytes::{BufMut, Bytes, BytesMut};
use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::deciding::Decided;
use crate::engine::plan::Account;

/// The decision alone, as `/v1/decision` answers.
pub(super) fn decision(decided: &Decided) -> Map<String, Value> {
    let mut told = Map::new();
    let mut put = |name: &str, value: Value| told.insert(name.to_owned(), value);
    put("model", decided.target.name.as_str().into());
    put("tier", decided.tier.clone().into());
    put("router", decided.router.clone().into());
    put("requested", decided.requested.as_str().into());
    put("win_rate", decided.win_rate.into());
    let several = |numbers: &[f64]| match numbers {
        [] => Value::Null,
        [one] => (*one).into(),
        several => several.into(),
    };
    put("threshold", several(&decided.thresholds));
    put("share", several(&decided.shares));
    put("reason", decided.reason.as_str().into());
    put("notes", decided.notes.as_slice().into());
    put("warmup", decided.warmup.into());
    put("holdout", decided.holdout.into());
    put("router_cost_usd", money(decided.router_cost));
    put("routing_us", (decided.took.as_micros() as u64).into());
    told
}

/// The whole object, as JSON; what is not known is null.
pub(super) fn object(id: &str, decided: &Decided, account: Option<&Account>) -> Vec<u8> {
    let mut told = decision(decided);
    told.insert("request_id".to_owned(), id.into());
    if let Some(account) = account {
        if let Some(instead) = &account.instead {
            told.insert("model".to_owned(), instead.model.as_str().into());
            if instead.tier.is_some() {
                told.insert("tier".to_owned(), instead.tier.clone().into());
            }
        }
        told.insert("cost_usd".to_owned(), money(account.cost));
        told.insert("router_cost_usd".to_owned(), money(account.router_cost));
        told.insert("saved_usd".to_owned(), money(account.saved));
        told.insert("attempts".to_owned(), account.attempts.into());
        told.insert("estimated".to_owned(), account.estimated.into());
        let dropped = account.dropped.iter().map(|each| format!("`{}`: {}", each.parameter, each.why));
        let notes: Vec<String> = decided.notes.iter().chain(&account.notes).cloned().chain(dropped).collect();
        told.insert("notes".to_owned(), notes.into());
    }
    Value::Object(told).to_string().into_bytes()
}

/// An amount as a number, which is what Python's face has too.
fn money(amount: Option<Decimal>) -> Value {
    use rust_decimal::prelude::ToPrimitive;
    amount.and_then(|amount| amount.to_f64()).into()
}

/// `answer`, a JSON object, with a member `ferroute` at its end; every other byte stays as it is.
pub(super) fn into(answer: &Bytes, object: &[u8]) -> Bytes {
    let trimmed = answer.trim_ascii_end();
    let Some(open) = trimmed.strip_suffix(b"}") else { return answer.clone() };
    let open = open.trim_ascii_end();
    let mut out = BytesMut::with_capacity(open.len() + object.len() + 14);
    out.put_slice(open);
    if !open.ends_with(b"{") {
        out.put_u8(b',');
    }
    out.put_slice(b"\"ferroute\":");
    out.put_slice(object);
    out.put_u8(b'}');
    out.freeze()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn only_a_member_is_added() {
        let with = |answer: &'static str| into(&Bytes::from_static(answer.as_bytes()), b"{\"a\":1}");
        assert_eq!(with("{\"x\": 1.50 }\n"), "{\"x\": 1.50,\"ferroute\":{\"a\":1}}");
        assert_eq!(with("{ }"), "{\"ferroute\":{\"a\":1}}");
        assert_eq!(with("[1]"), "[1]");
    }
}
