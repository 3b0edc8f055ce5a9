//! Errors told under status 200, in an answer or in the middle of a stream.

use bytes::Bytes;
use serde_json::Value;

use crate::error::{Answer, Error};
use crate::providers::http::refused;
use crate::providers::types::Endpoint;

/// The error gets the status its code or type names. One that names none gets 502 and is not tried again, since nobody
/// knows whether that could help.
pub(super) fn told(endpoint: &Endpoint, error: &Value, headers: &[(String, String)], body: &Bytes) -> Error {
    let named = ["code", "status", "type"].iter().find_map(|name| status(error.get(name)?));
    let answer = Answer { status: named.unwrap_or(502), headers: headers.to_vec(), body: body.clone() };
    let error = refused(endpoint, answer);
    if named.is_some() { error } else { error.settled() }
}

fn status(code: &Value) -> Option<u16> {
    let number = code.as_u64().or_else(|| code.as_str()?.trim().parse().ok());
    if let Some(number) = number {
        return (400..600).contains(&number).then_some(number as u16);
    }
    match code.as_str()?.to_ascii_lowercase().as_str() {
        "invalid_request_error" | "invalid_request" | "context_length_exceeded" | "content_filter" => Some(400),
        "authentication_error" | "invalid_api_key" => Some(401),
        "permission_error" | "permission_denied" => Some(403),
        "not_found_error" | "model_not_found" => Some(404),
        "insufficient_quota" => Some(429),
        limit if limit.starts_with("rate_limit") => Some(429),
        "server_error" | "internal_server_error" | "internal_error" | "api_error" => Some(500),
        "overloaded_error" | "overloaded" => Some(503),
        "timeout_error" | "timeout" => Some(504),
        _ => None,
    }
}
