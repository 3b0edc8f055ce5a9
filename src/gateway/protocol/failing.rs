//! What an error says to a caller, before it has the shape of his protocol.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Error, Kind};

/// The parameter of the request that is wrong, as the caller calls it. Travels with the error.
#[derive(Debug, Clone)]
struct Param(String);

/// An error about the parameter `param`.
pub(super) fn bad(param: impl fmt::Display, message: impl Into<String>) -> Error {
    Error::value(message).with_raised(Param(param.to_string()))
}

/// The parameter that `error` is about.
pub(super) fn param(error: &Error) -> Option<&str> {
    error.raised::<Param>().map(|Param(name)| name.as_str())
}

/// An error of JSON that does not parse, without a word of what it holds.
pub(super) fn not_json(error: &serde_json::Error) -> Error {
    if error.is_data() {
        return Error::value("the request body must be a JSON object");
    }
    Error::value(format!("the request body must be one JSON object: {error}"))
}

/// The error object of a provider's answer, where it has one with a message.
pub(super) fn told(error: &Error) -> Option<Map<String, Value>> {
    let mut body: Value = serde_json::from_slice(&error.answer()?.body).ok()?;
    match body.get_mut("error")?.take() {
        Value::Object(told) if told.get("message").is_some_and(Value::is_string) => Some(told),
        _ => None,
    }
}

/// A word for programs, as `OpenAI` has them under `code`.
pub(super) fn code(error: &Error) -> Option<&'static str> {
    if let Some(denied) = error.why_denied() {
        return Some(denied.code);
    }
    match error.kind() {
        Kind::Name => Some("model_not_found"),
        Kind::Unsupported => Some("unsupported_by_model"),
        Kind::Connection => Some("provider_unreachable"),
        Kind::Timeout => Some("provider_timeout"),
        Kind::Protocol => Some("provider_answer_broken"),
        _ => None,
    }
}

/// What to say. What went wrong inside the server itself is for its log, not for callers.
pub(super) fn message(error: &Error) -> &str {
    match error.kind() {
        Kind::Missing | Kind::Io | Kind::Checkpoint => "the server could not answer; its log says why",
        _ => error.message(),
    }
}
