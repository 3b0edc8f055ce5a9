//! Errors told under status 200: inside an answer, or as an event of a stream.

use bytes::Bytes;
use serde_json::Value;

use crate::error::{Answer, Error, Kind};
use crate::providers::http::refused;
use crate::providers::types::Endpoint;

/// The error object in `body`, which is an answer or an event, if it is one.
pub(super) fn told(body: &Value) -> Option<&Value> {
    let error = body.get("error").filter(|error| error.is_object());
    if body.get("type").and_then(Value::as_str) == Some("error") { error.or(Some(body)) } else { error }
}

/// An error told under status 200, with the status that its type has elsewhere. One of an unknown type gets 502 and
/// is not tried again, since nobody knows whether that could help.
pub(super) fn inner(endpoint: &Endpoint, error: &Value, headers: &[(String, String)], body: &Bytes) -> Error {
    let status = error.get("type").and_then(Value::as_str).and_then(status);
    let answer = Answer { status: status.unwrap_or(502), headers: headers.to_vec(), body: body.clone() };
    let error = refused(endpoint, answer);
    if status.is_some() { error } else { error.settled() }
}

/// The status of an error type.
fn status(kind: &str) -> Option<u16> {
    Some(match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "conflict_error" => 409,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "api_error" => 500,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => return None,
    })
}

/// Something that is not of the protocol.
pub(super) fn not_of_protocol(endpoint: &Endpoint, what: &str, bytes: usize) -> Error {
    Error::new(Kind::Protocol, format!("{} {what} ({bytes} bytes)", endpoint.host()))
}
