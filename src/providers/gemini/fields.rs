//! Fields of `Google`'s JSON, in which anything may stand.

use serde_json::Value;

/// A field that is text.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}
