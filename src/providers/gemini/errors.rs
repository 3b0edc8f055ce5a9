//! What went wrong, as `Google` tells it: `{"error": {"code", "message", "status", "details"}}`, alone or as the only
//! element of a list.

use bytes::Bytes;
use serde_json::Value;

use crate::error::{Answer, Error, Kind};
use crate::providers::http::refused;
use crate::providers::numbers;
use crate::providers::types::Endpoint;

/// The error object of an answer, of a stream's event, or of a list that holds one.
pub(super) fn told(body: &Value) -> Option<&Value> {
    let body = match body {
        Value::Array(list) => list.first()?,
        body => body,
    };
    body.get("error").filter(|error| !error.is_null())
}

/// An error told under status 200: it gets the status its code or name says. One that says none gets 502 and is not
/// tried again, since nobody knows whether that could help.
pub(super) fn inside(endpoint: &Endpoint, error: &Value, headers: &[(String, String)]) -> Error {
    let known = status(error);
    // As an object, whatever it came in: that is where everybody looks for the message.
    let body = numbers::write(&serde_json::json!({ "error": error }));
    let answer = Answer { status: known.unwrap_or(502), headers: headers.to_vec(), body: Bytes::from(body) };
    let error = refused(endpoint, answer);
    if known.is_some() { error } else { error.settled() }
}

/// Something that is not of the protocol.
pub(super) fn odd(endpoint: &Endpoint, what: &str) -> Error {
    Error::new(Kind::Protocol, format!("{} {what}", endpoint.host()))
}

fn status(error: &Value) -> Option<u16> {
    let code = error.get("code");
    let number = code.and_then(|code| code.as_u64().or_else(|| code.as_str()?.trim().parse().ok()));
    if let Some(number) = number.filter(|number| (400..600).contains(number)) {
        return Some(number as u16);
    }
    Some(match error.get("status")?.as_str()? {
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => 400,
        "UNAUTHENTICATED" => 401,
        "PERMISSION_DENIED" => 403,
        "NOT_FOUND" => 404,
        "ABORTED" | "ALREADY_EXISTS" => 409,
        "RESOURCE_EXHAUSTED" => 429,
        "CANCELLED" => 499,
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" => 500,
        "UNIMPLEMENTED" => 501,
        "UNAVAILABLE" => 503,
        "DEADLINE_EXCEEDED" => 504,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::super::tests::endpoint;
    use super::*;

    #[test]
    fn an_error_gets_the_status_it_names() {
        for (error, status, again) in [
            (json!({"code": 429, "status": "RESOURCE_EXHAUSTED"}), 429, true),
            (json!({"code": "503"}), 503, true),
            (json!({"code": 8, "status": "RESOURCE_EXHAUSTED"}), 429, true),
            (json!({"status": "INVALID_ARGUMENT"}), 400, false),
            (json!({"status": "UNAVAILABLE"}), 503, true),
            (json!({"status": "NEWER_THAN_US"}), 502, false),
            (json!("just text"), 502, false),
        ] {
            let found = inside(&endpoint("gemini-2.5-flash"), &error, &[]);
            assert_eq!(found.answer().unwrap().status, status, "{error}");
            assert_eq!(found.is_retryable(), again, "{error}");
        }
    }

    #[test]
    fn found_in_every_wrapping_and_without_the_key() {
        let error = json!({"error": {"code": 400, "message": "API key AIza-secret-1234567 not valid"}});
        assert_eq!(told(&json!([error])), told(&error));
        for nothing in [json!({"error": null}), json!([]), json!({"candidates": []}), json!(3)] {
            assert_eq!(told(&nothing), None, "{nothing}");
        }
        let found = inside(&endpoint("gemini-2.5-flash"), told(&error).unwrap(), &[]);
        assert_eq!(found.message(), "gemini answered with status 400: API key [key] not valid");
        assert!(!String::from_utf8_lossy(&found.answer().unwrap().body).contains("secret"));
    }
}
