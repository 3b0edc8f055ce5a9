//! What answers in `OpenAI`'s shape say, for the protocols that say it otherwise.

use serde_json::{Map, Value};

/// Tokens of an answer, in `OpenAI`'s counting: cached and written ones are part of the prompt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub prompt: u64,
    pub completion: u64,
    pub cached: u64,
    pub written: u64,
    pub reasoning: u64,
}

impl Tokens {
    /// Those of an answer or a chunk, where it tells them.
    pub fn of(body: &Map<String, Value>) -> Option<Self> {
        let usage = body.get("usage").filter(|usage| usage.is_object())?;
        let count = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
        Some(Self {
            prompt: count("/prompt_tokens"),
            completion: count("/completion_tokens"),
            cached: count("/prompt_tokens_details/cached_tokens"),
            written: count("/prompt_tokens_details/cache_write_tokens"),
            reasoning: count("/completion_tokens_details/reasoning_tokens"),
        })
    }
}

type Object = Map<String, Value>;

/// The first choice of an answer or a chunk: what it says, and why it ends.
pub(super) fn choice(body: &Object) -> Option<(&Object, &Object)> {
    let choices = body.get("choices")?.as_array()?;
    let first = |choice: &&Value| choice.get("index").is_none_or(|index| *index == 0);
    let choice = choices.iter().find(first)?.as_object()?;
    let said = choice.get("delta").or_else(|| choice.get("message"))?.as_object()?;
    Some((choice, said))
}

/// A text that is there and not empty.
pub(super) fn text<'a>(of: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    of.get(name)?.as_str().filter(|text| !text.is_empty())
}

/// What the model thought, in either spelling.
pub(super) fn reasoning(said: &Map<String, Value>) -> Option<&str> {
    text(said, "reasoning_content").or_else(|| text(said, "reasoning"))
}

/// The calls in it.
pub(super) fn calls(said: &Map<String, Value>) -> impl Iterator<Item = &Map<String, Value>> {
    said.get("tool_calls").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_object)
}

/// Name and arguments of a call, those of a custom one its input; empty where nothing is said.
pub(super) fn called(call: &Map<String, Value>) -> (&str, &str) {
    let (inner, arguments) = match call.get("custom").and_then(Value::as_object) {
        Some(custom) => (Some(custom), "input"),
        None => (call.get("function").and_then(Value::as_object), "arguments"),
    };
    let field = |name| inner.and_then(|inner| text(inner, name)).unwrap_or_default();
    (field("name"), field(arguments))
}

/// An object of JSON bytes; empty for what is none, since what the engine hands on is one.
pub(super) fn object(json: &[u8]) -> Map<String, Value> {
    match serde_json::from_slice(json) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// Adds a named server-sent event.
pub(super) fn event(out: &mut bytes::BytesMut, name: &str, data: &Value) {
    for piece in ["event: ", name, "\ndata: ", &data.to_string(), "\n\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
}

/// A new id: the prefix and 128 random bits.
pub(super) fn id(prefix: &str) -> String {
    let half = || getrandom::u64().unwrap_or_default();
    format!("{prefix}_{:016x}{:016x}", half(), half())
}
