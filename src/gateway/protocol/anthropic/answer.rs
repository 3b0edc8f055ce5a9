//! From a completion to a message.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::said::{self, Tokens};
use crate::error::{Error, Kind, Result};
use crate::providers::numbers;

/// The message that a completion is; `thinks` says whether the caller wants to see thoughts that nothing proves.
pub(super) fn message(completion: &[u8], thinks: bool) -> Result<Bytes> {
    let body = said::object(completion);
    let (choice, said) = said::choice(&body).ok_or_else(|| Error::new(Kind::Protocol, "the answer has no choice"))?;
    let refused = said::text(said, "refusal");
    let mut message = head(&body);
    message.insert("content".to_owned(), Value::Array(blocks(said, refused, thinks)));
    message.insert("stop_reason".to_owned(), stop_reason(choice, refused.is_some()).into());
    message.insert("stop_sequence".to_owned(), Value::Null);
    message.insert("usage".to_owned(), usage(Tokens::of(&body).unwrap_or_default()));
    Ok(numbers::write(&Value::Object(message)).into())
}

/// Id, type, role and model, as a message begins.
pub(super) fn head(body: &Map<String, Value>) -> Map<String, Value> {
    let id = said::text(body, "id").unwrap_or("unknown");
    let id = if id.starts_with("msg_") { id.to_owned() } else { format!("msg_{id}") };
    let mut head = Map::new();
    head.insert("id".to_owned(), id.into());
    head.insert("type".to_owned(), "message".into());
    head.insert("role".to_owned(), "assistant".into());
    head.insert("model".to_owned(), said::text(body, "model").unwrap_or_default().into());
    head
}

/// Thoughts, text and calls, in the order the model made them where that is told.
fn blocks(said: &Map<String, Value>, refused: Option<&str>, thinks: bool) -> Vec<Value> {
    let mut thoughts: Vec<Value> = said.get("thinking_blocks").and_then(Value::as_array).cloned().unwrap_or_default();
    let order = thoughts.first_mut().and_then(|first| first.as_object_mut()?.shift_remove("order"));
    if let Some(reasoning) = said::reasoning(said).filter(|_| thoughts.is_empty() && thinks) {
        thoughts.push(json!({"type": "thinking", "thinking": reasoning, "signature": ""}));
    }
    let text = said::text(said, "content").or(refused);
    let calls: Vec<Value> = said::calls(said).map(call).collect();
    if let Some(blocks) = order.as_ref().and_then(|order| in_order(order, &thoughts, text.unwrap_or_default(), &calls))
    {
        return blocks;
    }
    let mut blocks = thoughts;
    blocks.extend(text.map(text_block));
    blocks.extend(calls);
    if blocks.is_empty() {
        blocks.push(text_block(""));
    }
    blocks
}

fn text_block(text: &str) -> Value {
    json!({"type": "text", "text": text})
}

fn call(call: &Map<String, Value>) -> Value {
    let (name, arguments) = said::called(call);
    json!({"type": "tool_use", "id": said::text(call, "id"), "name": name, "input": input(arguments)})
}

/// Arguments as an object: nothing is an empty one, and what is none is kept as text, as the other direction has it.
fn input(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return json!({});
    }
    match numbers::read(arguments) {
        Ok(Value::Null) => json!({}),
        Ok(input @ Value::Object(_)) => input,
        _ => json!({"arguments": arguments}),
    }
}

/// The blocks in the order that is told; `None` where it does not fit them.
fn in_order(order: &Value, thoughts: &[Value], text: &str, calls: &[Value]) -> Option<Vec<Value>> {
    let (mut thoughts, mut calls, mut text) = (thoughts.iter(), calls.iter(), text);
    let mut blocks = Vec::new();
    for step in order.as_array()? {
        blocks.push(match step {
            Value::String(kind) if kind == "thinking" => thoughts.next()?.clone(),
            Value::String(_) => calls.next()?.clone(),
            chars => {
                let chars = usize::try_from(chars.as_u64()?).ok()?;
                let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
                let (piece, rest) = text.split_at(end);
                text = rest;
                text_block(piece)
            }
        });
    }
    (text.is_empty() && thoughts.next().is_none() && calls.next().is_none()).then_some(blocks)
}

/// Why the answer ended, in Anthropic's words: theirs where it is told.
pub(super) fn stop_reason(choice: &Map<String, Value>, refused: bool) -> &'static str {
    const NATIVE: [&str; 7] = [
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "pause_turn",
        "refusal",
        "model_context_window_exceeded",
    ];
    let native = said::text(choice, "native_finish_reason");
    if let Some(native) = native.and_then(|native| NATIVE.into_iter().find(|known| *known == native)) {
        return native;
    }
    match said::text(choice, "finish_reason") {
        Some("length") => "max_tokens",
        Some("tool_calls" | "function_call") => "tool_use",
        Some("content_filter") => "refusal",
        _ if refused => "refusal",
        _ => "end_turn",
    }
}

/// Tokens in Anthropic's counting: the cached ones are not among the input.
pub(super) fn usage(tokens: Tokens) -> Value {
    let apart = tokens.cached.saturating_add(tokens.written);
    let mut usage = json!({
        "input_tokens": tokens.prompt.saturating_sub(apart),
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "output_tokens": tokens.completion,
    });
    if let Some(usage) = usage.as_object_mut().filter(|_| tokens.reasoning > 0) {
        usage.insert("output_tokens_details".to_owned(), json!({"thinking_tokens": tokens.reasoning}));
    }
    usage
}
