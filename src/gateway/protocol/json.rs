//! Bodies of the protocols that are brought into `OpenAI`'s shape: read whole, taken apart without copies.

use std::fmt;

use serde_json::{Map, Value};

use super::failing::{bad, not_json};
use crate::error::{Error, Result};
use crate::providers::{halves, numbers};

/// The object in `body`; long numbers below a field called `input` are marked texts, which [`numbers::write`] undoes.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) when it is not one JSON object.
pub(super) fn object(body: &[u8]) -> Result<Map<String, Value>> {
    let mended = halves::mended(body);
    match numbers::read_within(mended.as_deref().unwrap_or(body), "input") {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(Error::value("the request body must be a JSON object")),
        Err(error) => Err(not_json(&error)),
    }
}

/// Takes a member out; null is the same as nothing.
pub(super) fn take(object: &mut Map<String, Value>, name: &str) -> Option<Value> {
    object.shift_remove(name).filter(|value| !value.is_null())
}

/// Takes a text out.
pub(super) fn take_text(object: &mut Map<String, Value>, name: &str, at: impl fmt::Display) -> Result<Option<String>> {
    match take(object, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(must_be(name, at, "a string")),
    }
}

/// Takes a text out that has to be there.
pub(super) fn need_text(object: &mut Map<String, Value>, name: &str, at: impl fmt::Display) -> Result<String> {
    take_text(object, name, &at)?.ok_or_else(|| must_be(name, at, "a string"))
}

/// Takes a list out; none is an empty one.
pub(super) fn take_list(object: &mut Map<String, Value>, name: &str, at: impl fmt::Display) -> Result<Vec<Value>> {
    match take(object, name) {
        None => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(must_be(name, at, "a list")),
    }
}

/// Takes an object out; none is an empty one.
pub(super) fn take_object(
    object: &mut Map<String, Value>,
    name: &str,
    at: impl fmt::Display,
) -> Result<Map<String, Value>> {
    match take(object, name) {
        None => Ok(Map::new()),
        Some(Value::Object(inner)) => Ok(inner),
        Some(_) => Err(must_be(name, at, "an object")),
    }
}

/// Takes a yes or no out.
pub(super) fn take_flag(object: &mut Map<String, Value>, name: &str) -> Result<Option<bool>> {
    match take(object, name) {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(_) => Err(must_be(name, "", "true or false")),
    }
}

/// The error of a member that is not what it has to be; `at` is where its object stands, nothing for the body itself.
pub(super) fn must_be(name: &str, at: impl fmt::Display, what: impl fmt::Display) -> Error {
    let at = at.to_string();
    let place = if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    bad(&place, format!("`{place}` must be {what}"))
}

/// `object` as JSON.
pub(super) fn written(object: Map<String, Value>) -> bytes::Bytes {
    numbers::write(&Value::Object(object)).into()
}

/// The beginning of a text of the caller's, for a message: names and types, never content.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
