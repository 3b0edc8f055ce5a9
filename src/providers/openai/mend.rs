//! Answers and chunks that are not quite in `OpenAI`'s shape, brought into it.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::usage::Mended;
use crate::providers::request::Reading;

/// `OpenAI`'s word for a reason to stop; `None` for its own words and for no word at all.
///
/// A word that nobody knows is `stop`: the native one is kept beside it.
pub(super) fn reason(native: &str) -> Option<&'static str> {
    match native {
        "" | "stop" | "length" | "tool_calls" | "content_filter" | "function_call" => return None,
        _ => {}
    }
    Some(match native.to_ascii_lowercase().as_str() {
        "model_length" | "max_tokens" | "max_length" | "length" | "model_context_window_exceeded" => "length",
        "tool_use" | "tool_call" | "tool_calls" => "tool_calls",
        "function_call" => "function_call",
        "content_filter" | "content_filtered" | "safety" | "refusal" | "sensitive" => "content_filter",
        // `eos`, and words for an end that nothing else describes.
        _ => "stop",
    })
}

/// Words that mean no more than `stop`, so that nothing is lost with them.
fn is_plain(native: &str) -> bool {
    matches!(
        native.to_ascii_lowercase().as_str(),
        "eos" | "eos_token" | "stop" | "end_turn" | "stop_sequence" | "complete"
    )
}

/// A complete answer; `None` when it cannot be read.
pub(super) fn answer(body: &[u8], reading: &Reading, counts: Option<Mended>) -> Option<Bytes> {
    rewritten(body, counts, |choice| {
        mend(choice, "message", reading);
    })
}

/// A chunk; as [`answer`]. Calls without an index get the one that `index` tells of their id.
pub(super) fn chunk(
    data: &[u8],
    reading: &Reading,
    counts: Option<Mended>,
    mut index: impl FnMut(u64, Option<&str>) -> u64,
) -> Option<Bytes> {
    rewritten(data, counts, |choice| {
        let at = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let calls = choice.get_mut("delta").and_then(|delta| delta.get_mut("tool_calls")).and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten().filter_map(Value::as_object_mut) {
            if !call.get("index").is_some_and(Value::is_u64) {
                let number = index(at, call.get("id").and_then(Value::as_str));
                call.insert("index".into(), number.into());
            }
        }
        mend(choice, "delta", reading);
    })
}

fn rewritten(body: &[u8], counts: Option<Mended>, change: impl FnMut(&mut Map<String, Value>)) -> Option<Bytes> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    if let Some(choices) = value.get_mut("choices").and_then(Value::as_array_mut) {
        choices.iter_mut().filter_map(Value::as_object_mut).for_each(change);
    }
    if let (Some(counts), Some(Value::Object(usage))) = (counts, value.get_mut("usage")) {
        if let Some(cached) = counts.cached {
            let details = usage.entry("prompt_tokens_details").or_insert_with(|| json!({}));
            if !details.is_object() {
                *details = json!({});
            }
            details["cached_tokens"] = cached.into();
        }
        if let Some(completion) = counts.completion {
            usage.insert("completion_tokens".into(), completion.into());
        }
    }
    serde_json::to_vec(&value).ok().map(Bytes::from)
}

fn mend(choice: &mut Map<String, Value>, message: &str, reading: &Reading) {
    if let Some(native) = choice.get("finish_reason").and_then(Value::as_str).map(str::to_owned)
        && let Some(word) = reason(&native)
    {
        choice.insert("finish_reason".into(), word.into());
        if !is_plain(&native) && !choice.contains_key("native_finish_reason") {
            choice.insert("native_finish_reason".into(), native.into());
        }
    }
    if let Some(Value::Object(fields)) = choice.get_mut(message) {
        one_text(fields);
        if reading.legacy_functions {
            older(fields);
        }
    }
    if reading.legacy_functions && choice.get("finish_reason").and_then(Value::as_str) == Some("tool_calls") {
        choice.insert("finish_reason".into(), "function_call".into());
    }
}

/// Content as a list of parts (Mistral, when it thinks) as a text, and its thoughts as `reasoning_content`.
fn one_text(fields: &mut Map<String, Value>) {
    let Some(Value::Array(parts)) = fields.get("content") else { return };
    let (mut text, mut thoughts) = (String::new(), String::new());
    for part in parts {
        match part.get("type").and_then(Value::as_str) {
            Some("thinking") => match part.get("thinking") {
                Some(Value::String(thought)) => thoughts.push_str(thought),
                Some(Value::Array(inner)) => inner.iter().for_each(|part| thoughts.push_str(text_of(part))),
                _ => {}
            },
            _ => text.push_str(text_of(part)),
        }
    }
    let content = if text.is_empty() && !thoughts.is_empty() { Value::Null } else { text.into() };
    fields.insert("content".into(), content);
    if !thoughts.is_empty() {
        fields.insert("reasoning_content".into(), thoughts.into());
    }
}

fn text_of(part: &Value) -> &str {
    part.as_str().or_else(|| part.get("text")?.as_str()).unwrap_or_default()
}

/// The first call in the form before `tools`, which knows no more than one.
fn older(fields: &mut Map<String, Value>) {
    let Some(Value::Array(calls)) = fields.shift_remove("tool_calls") else { return };
    let is_first = |call: &&Value| call.get("index").and_then(Value::as_u64).unwrap_or(0) == 0;
    if let Some(function) = calls.iter().find(is_first).and_then(|call| call.get("function")) {
        let mut call = json!({});
        for name in ["name", "arguments"] {
            if let Some(part) = function.get(name).filter(|part| part.is_string()) {
                call[name] = part.clone();
            }
        }
        fields.insert("function_call".into(), call);
    }
}
