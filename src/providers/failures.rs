//! Which failures are worth another try, here or elsewhere: a list of yeses, everything else is no.
//!
//! | failure | here again | at another endpoint |
//! |---|---|---|
//! | no connection, a reset, a timeout | yes | yes |
//! | 408, 409, 425, 429, 498, 500, 502, 503, 504, 520 to 524, 529 | yes | yes |
//! | a quota, budget or credit that is used up | no | yes, at once |
//! | status 200 with an error inside (but for a key or a quota), without an answer or no JSON | once | yes |
//! | 401, 402, 403, 404, 501, 505 and other 5xx | no | yes |
//! | a prompt longer than the model takes | no | yes |
//! | any other 4xx | no | no |
//!
//! A provider's `x-should-retry` goes before the statuses, but not before a quota that is used up.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::refusal::{asked_wait, details, told};
use crate::error::{Again, Answer, Error, Kind};

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Send it again, after the wait that the provider asks for, if it does.
    Again(Option<Duration>),
    /// Send it again, but only once.
    Once,
    /// Not again here; another endpoint may take it.
    Elsewhere,
    /// The request itself is wrong, or was answered.
    Final,
}

/// What to do about `error`.
pub fn verdict(error: &Error) -> Verdict {
    judged(error, SystemTime::now())
}

/// Whether another endpoint may do better.
pub fn may_move(error: &Error) -> bool {
    error.kind() == Kind::Unsupported || verdict(error) != Verdict::Final
}

/// Whether the failure speaks against the endpoint, and not against the request.
pub fn blames_endpoint(error: &Error) -> bool {
    match error.kind() {
        Kind::Connection | Kind::Timeout | Kind::Protocol => true,
        Kind::Status => {
            let blamed = |answer| status(error, answer, SystemTime::now()) != Verdict::Final;
            error.answer().is_some_and(blamed) && !is_too_long(error)
        }
        _ => false,
    }
}

fn judged(error: &Error, now: SystemTime) -> Verdict {
    let usual = match (error.kind(), error.answer()) {
        (Kind::Connection | Kind::Timeout, _) => Verdict::Again(None),
        (Kind::Protocol, _) => Verdict::Elsewhere,
        (Kind::Status, Some(answer)) => status(error, answer, now),
        _ => return Verdict::Final,
    };
    match (error.again(), usual) {
        (Again::Usual, usual) => usual,
        // A wrong key stays wrong and what is used up stays used up, under status 200 too.
        (Again::Once, Verdict::Elsewhere) if error.answer().is_some_and(is_locked) => Verdict::Elsewhere,
        (Again::Once, _) => Verdict::Once,
        (Again::Never, Verdict::Final) => Verdict::Final,
        (Again::Never, _) => Verdict::Elsewhere,
    }
}

fn status(error: &Error, answer: &Answer, now: SystemTime) -> Verdict {
    if is_used_up(answer) {
        return Verdict::Elsewhere;
    }
    match answer.status {
        _ if error.is_yes() => Verdict::Again(asked_wait(answer, now)),
        401..=404 | 408 | 409 | 425 | 429 | 498 | 500..=599 => Verdict::Elsewhere,
        400 if is_bad_key(answer) => Verdict::Elsewhere,
        400 | 413 | 422 if is_too_long(error) => Verdict::Elsewhere,
        _ => Verdict::Final,
    }
}

/// Whether a key, a quota or a credit is what an error inside status 200 is about: no endpoint forgets those.
fn is_locked(answer: &Answer) -> bool {
    matches!(answer.status, 401..=403) || is_used_up(answer) || is_bad_key(answer)
}

/// Whether an answer says that a quota, a budget or a credit is used up, which waiting does not change.
fn is_used_up(answer: &Answer) -> bool {
    const CODES: [&str; 11] = [
        "insufficient_quota",
        "insufficient_credit",
        "insufficient_balance",
        "insufficient_funds",
        "credit_balance",
        "billing",
        "spend_limit",
        "spending_limit",
        "per_day",
        "quota_exceeded",
        "budget_exceeded",
    ];
    // The codes of these are those of ordinary limits.
    const WORDS: [&str; 4] = ["spend_limit", "spending_limit", "spending_cap", "credit_balance"];
    if !(400..600).contains(&answer.status) {
        return false;
    }
    let Some(error) = told(&answer.body) else { return false };
    let says = |text: &str, words: &[&str]| {
        let text = text.to_ascii_lowercase().replace(['-', ' '], "_");
        words.iter().any(|word| text.contains(word))
    };
    let field = |name: &str| error.get(name).and_then(Value::as_str);
    // Some tell the code alone: `{"error": "insufficient_quota"}`.
    let alone = error.as_str().filter(|text| !text.contains(' '));
    let mut codes = ["code", "type", "status"].into_iter().filter_map(field).chain(alone);
    codes.any(|code| says(code, &CODES))
        || field("message").or(error.as_str()).is_some_and(|message| {
            matches!(answer.status, 400 | 402 | 403 | 429) && says(message, &WORDS)
                // "on requests per day (RPD)", under the code of an ordinary limit.
                || answer.status == 429 && says(message, &["per_day"])
        })
        || details(&error).any(is_daily)
}

/// Whether a detail of Google's names a quota that comes back only with the next day.
fn is_daily(detail: &Value) -> bool {
    let ids = |violation: &Value| {
        ["quotaId", "quotaMetric", "subject"].into_iter().any(|name| {
            violation.get(name).and_then(Value::as_str).is_some_and(|id| {
                let id = id.to_ascii_lowercase();
                ["perday", "per_day", "daily"].iter().any(|word| id.contains(word))
            })
        })
    };
    detail.get("violations").and_then(Value::as_array).into_iter().flatten().any(ids)
        || detail.get("metadata").is_some_and(|metadata| {
            ["quota_limit", "quotaId"].into_iter().any(|name| {
                metadata
                    .get(name)
                    .and_then(Value::as_str)
                    .is_some_and(|id| id.to_ascii_lowercase().replace('_', "").contains("perday"))
            })
        })
}

/// Google refuses a wrong key with status 400.
fn is_bad_key(answer: &Answer) -> bool {
    told(&answer.body)
        .is_some_and(|error| details(&error).any(|detail| detail.get("reason").is_some_and(|r| r == "API_KEY_INVALID")))
}

/// Whether a refusal says that the prompt is longer than the model takes. Providers have no common code for it.
pub fn is_too_long(error: &Error) -> bool {
    const SAYS: [&str; 9] = [
        "context_length_exceeded",
        "maximum context length",
        "context length exceeded",
        "prompt is too long",
        "input is too long",
        "input token count",
        "context window",
        "maximum prompt length",
        "reduce the length of the messages",
    ];
    let Some(answer) = error.answer().filter(|answer| matches!(answer.status, 400 | 413 | 422)) else { return false };
    let body = String::from_utf8_lossy(&answer.body).to_lowercase();
    SAYS.iter().any(|words| body.contains(words))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn failed(status: u16, headers: &[(&str, &str)], body: &str) -> Error {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Error::status("", Answer { status, headers, body: Bytes::from(body.to_owned()) })
    }

    #[test]
    fn statuses() {
        for status in [408, 409, 425, 429, 498, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529] {
            assert_eq!(verdict(&failed(status, &[], "")), Verdict::Again(None), "{status}");
        }
        for status in [401, 402, 403, 404, 501, 505, 507, 530] {
            assert_eq!(verdict(&failed(status, &[], "")), Verdict::Elsewhere, "{status}");
        }
        for status in [301, 307, 400, 405, 406, 410, 413, 415, 418, 422, 451] {
            assert_eq!(verdict(&failed(status, &[], "{}")), Verdict::Final, "{status}");
        }
        assert_eq!(verdict(&failed(400, &[("x-should-retry", "true")], "")), Verdict::Again(None));
        assert_eq!(verdict(&failed(503, &[("x-should-retry", "false")], "")), Verdict::Elsewhere);
        assert_eq!(verdict(&failed(429, &[("x-should-retry", "false")], "")), Verdict::Elsewhere);
        for kind in [Kind::Value, Kind::Type, Kind::Unsupported, Kind::Cancelled, Kind::Io] {
            assert_eq!(verdict(&Error::new(kind, "")), Verdict::Final);
        }
        assert!(may_move(&Error::new(Kind::Unsupported, "")) && !may_move(&Error::value("")));
    }

    #[test]
    fn what_is_used_up_does_not_clear_by_waiting() {
        let day = r#"{"error":{"code":429,"message":"quota","status":"RESOURCE_EXHAUSTED","details":[
            {"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[
                {"quotaId":"GenerateRequestsPerMinutePerProjectPerModel"},
                {"quotaId":"GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"21s"}]}}"#;
        for (status, body) in [
            (429, r#"{"error":{"message":"no","type":"insufficient_quota","code":"insufficient_quota"}}"#),
            (429, r#"{"error":{"message":"no","code":"credit_balance_exhausted"}}"#),
            (429, r#"{"error":{"message":"no","type":"billing_hard_limit_reached"}}"#),
            (402, r#"{"type":"error","error":{"type":"billing_error","message":"no"}}"#),
            (429, r#"{"type":"error","error":{"type":"rate_limit_error","message":"over your monthly spend limit"}}"#),
            (429, r#"{"type":"error","error":{"type":"spend-limit","message":""}}"#),
            (
                400,
                r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
            ),
            (403, r#"{"error":{"code":"insufficient_balance"}}"#),
            (429, r#"{"error":"insufficient_quota"}"#),
            (429, r#"{"error":{"message":"no","code":"quota_exceeded"}}"#),
            (429, r#"{"error":{"message":"no","type":"budget_exceeded"}}"#),
            (
                429,
                r#"{"error":{"message":"Rate limit reached on requests per day (RPD): Limit 200, Used 200","type":"requests","code":"rate_limit_exceeded"}}"#,
            ),
            (429, day),
            (429, &format!("[{day}]")),
        ] {
            for headers in [&[][..], &[("retry-after", "1")], &[("x-should-retry", "true")]] {
                assert_eq!(verdict(&failed(status, headers, body)), Verdict::Elsewhere, "{body}");
            }
            assert_eq!(verdict(&failed(status, &[], body).worth(Again::Once)), Verdict::Elsewhere, "{body}");
        }
        let ordinary = r#"{"error":{"message":"Rate limit reached, see https://x/account/billing","type":"tokens","code":"rate_limit_exceeded"}}"#;
        assert_eq!(verdict(&failed(429, &[], ordinary)), Verdict::Again(None));
        for ordinary in
            [r#"{"error":"slow down, see /billing"}"#, r#"{"error":{"message":"requests per minute (RPM)"}}"#]
        {
            assert_eq!(verdict(&failed(429, &[], ordinary)), Verdict::Again(None), "{ordinary}");
        }
    }

    #[test]
    fn the_wait_that_google_names() {
        let minute = r#"{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","details":[
            {"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"21.5s"}]}}"#;
        let wait = Some(Duration::from_millis(21_500));
        assert_eq!(verdict(&failed(429, &[], minute)), Verdict::Again(wait));
        assert_eq!(verdict(&failed(503, &[], &format!("[{minute}]"))), Verdict::Again(wait));
        assert_eq!(
            verdict(&failed(429, &[("retry-after", "2")], minute)),
            Verdict::Again(Some(Duration::from_secs(2)))
        );
        for nonsense in ["-1s", "s", "21", "1e400s", "NaNs"] {
            let body = minute.replace("21.5s", nonsense);
            assert_eq!(verdict(&failed(429, &[], &body)), Verdict::Again(None), "{nonsense}");
        }
    }

    #[test]
    fn refusals_that_another_endpoint_may_not_share() {
        let key = r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
        assert_eq!(verdict(&failed(400, &[], key)), Verdict::Elsewhere);
        let long = failed(400, &[], r#"{"error":{"code":"context_length_exceeded"}}"#);
        assert!(verdict(&long) == Verdict::Elsewhere && is_too_long(&long) && !blames_endpoint(&long));
        assert!(is_too_long(&failed(
            400,
            &[],
            r#"{"error":{"message":"prompt is too long: 250000 tokens > 200000"}}"#
        )));
        assert!(blames_endpoint(&failed(500, &[], "")) && !blames_endpoint(&failed(400, &[], "")));
    }

    #[test]
    fn an_error_under_status_200_is_worth_one_more_try() {
        let inside = |status, body| verdict(&failed(status, &[], body).worth(Again::Once));
        assert_eq!(inside(502, ""), Verdict::Once);
        assert_eq!(inside(429, ""), Verdict::Once);
        assert_eq!(inside(529, ""), Verdict::Once);
        for said_no in [400, 404, 413, 422, 501] {
            assert_eq!(inside(said_no, ""), Verdict::Once, "{said_no}");
        }
        for locked in [401, 402, 403] {
            assert_eq!(inside(locked, ""), Verdict::Elsewhere, "{locked}");
        }
        let no_key = r#"{"error":{"code":400,"details":[{"reason":"API_KEY_INVALID"}]}}"#;
        assert_eq!(inside(400, no_key), Verdict::Elsewhere);
        assert!(!blames_endpoint(&failed(400, &[], "").worth(Again::Once)));
        assert!(blames_endpoint(&failed(502, &[], "").worth(Again::Once)));
        assert_eq!(verdict(&Error::new(Kind::Protocol, "").worth(Again::Once)), Verdict::Once);
        assert_eq!(verdict(&Error::new(Kind::Protocol, "")), Verdict::Elsewhere);
        assert_eq!(verdict(&Error::new(Kind::Timeout, "").settled()), Verdict::Elsewhere);
    }
}
