//! Bodies of the fuzz targets: whatever a server sends, reading it gives an answer or an error, and what it gives holds
//! together. They are here because some of what they look at is private.

use std::ops::ControlFlow;

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use reqwest::Url;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::sse::Events;
use super::{Answer, Dialect, Endpoint, Reading};

/// Providers whose answers are adapted, besides `OpenAI` itself.
const COMPATIBLE: [&str; 8] =
    ["openai", "mistral", "groq", "deepseek", "xai", "openrouter", "together_ai", "perplexity"];

/// Server-sent events: split at any bytes, they are the same events, or the same failure.
///
/// The first byte says how large the pieces are.
///
/// # Panics
/// When they are not.
pub fn sse(data: &[u8]) {
    let Some((&size, text)) = data.split_first() else { return };
    let size = usize::from(size % 31) + 1;
    assert_eq!(events(text, size), events(text, text.len().max(1)), "pieces of {size} bytes");
}

/// The events of `text` in pieces of `size` bytes, and whether it ended well.
fn events(text: &[u8], size: usize) -> (Vec<Bytes>, bool) {
    let pieces: Vec<_> = text.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    let mut events = Events::new(stream::iter(pieces));
    let mut all = Vec::new();
    loop {
        // All pieces are there, so that nothing is ever waited for.
        match events.next().now_or_never() {
            Some(Ok(Some(data))) => all.push(data),
            Some(Ok(None)) => return (all, true),
            Some(Err(_)) | None => return (all, false),
        }
    }
}

/// Answers of `dialect`, whole and streamed: never a panic, and what is made of them is in `OpenAI`'s shape.
///
/// The first byte holds flags (bit 0: a stream, an event a line; bit 1: its usage was asked for; bit 2: a schema's tool;
/// bit 3: the legacy form; the rest: the provider).
///
/// # Panics
/// When it is not.
pub fn answers(dialect: Dialect, data: &[u8]) {
    let Some((&flags, body)) = data.split_first() else { return };
    let Ok(base) = Url::parse("http://127.0.0.1:9/v1") else { return };
    let endpoint = Endpoint {
        provider: match dialect {
            Dialect::Anthropic => "anthropic",
            Dialect::Gemini => "gemini",
            Dialect::OpenAi | Dialect::Azure => COMPATIBLE[usize::from(flags >> 4) % COMPATIBLE.len()],
        },
        dialect,
        base,
        key: None,
        model: "m".to_owned(),
        name: "m".to_owned(),
        base_model: None,
        api_version: None,
        headers: HeaderMap::new(),
    };
    let reading = Reading {
        usage_asked: flags & 2 != 0,
        schema_tool: (flags & 4 != 0).then(|| "answer".to_owned()),
        legacy_functions: flags & 8 != 0,
        ..Reading::default()
    };
    if flags & 1 == 0 { whole(&endpoint, &reading, body) } else { streamed(&endpoint, &reading, body) }
}

fn whole(endpoint: &Endpoint, reading: &Reading, body: &[u8]) {
    let answer = Answer { status: 200, headers: Vec::new(), body: Bytes::copy_from_slice(body) };
    let Ok(completion) = endpoint.dialect.read_answer(endpoint, reading, answer) else { return };
    if let (Dialect::Anthropic, Some(usage)) = (endpoint.dialect, &completion.usage) {
        let parts = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
        holds(parts <= usage.prompt_tokens, "what was cached is part of the prompt");
    }
    if !translated(endpoint.dialect) {
        return;
    }
    let value = object(&completion.answer.body);
    let choices = value["choices"].as_array().map_or(&[][..], Vec::as_slice);
    holds(!choices.is_empty(), "an answer has a choice");
    for choice in choices {
        holds(
            choice["message"].is_object() && choice["finish_reason"].is_string(),
            "a choice has a message and a reason",
        );
        for call in choice["message"]["tool_calls"].as_array().into_iter().flatten() {
            let function = &call["function"];
            let whole = call["id"].is_string() && function["name"].is_string() && function["arguments"].is_string();
            holds(whole, "a call has an id, a name and arguments");
        }
    }
}

fn streamed(endpoint: &Endpoint, reading: &Reading, body: &[u8]) {
    let mut reader = endpoint.dialect.reader(reading);
    let mut text = String::new();
    let mut chunks = Vec::new();
    for line in body.split(|&byte| byte == b'\n').filter(|line| !line.is_empty() && std::str::from_utf8(line).is_ok()) {
        match reader.read(endpoint, Bytes::copy_from_slice(line), &mut chunks) {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) | Err(_) => break,
        }
    }
    if reader.is_complete() {
        reader.finish(endpoint, &mut chunks);
    }
    for chunk in &chunks {
        if !translated(endpoint.dialect) {
            break;
        }
        let value = object(&chunk.data);
        holds(value["choices"].is_array(), "a chunk has choices");
        for choice in value["choices"].as_array().into_iter().flatten().filter(|choice| choice["index"] == 0) {
            text.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        }
    }
    if translated(endpoint.dialect) {
        holds(text == reader.text(), "the text so far is that of the chunks");
    }
    holds(reader.made_chars() >= reader.text().chars().count(), "the text is part of what was made");
}

/// Whether the dialect makes the answer's shape itself; the others hand on what came.
fn translated(dialect: Dialect) -> bool {
    matches!(dialect, Dialect::Anthropic | Dialect::Gemini)
}

fn object(bytes: &[u8]) -> Value {
    let value = serde_json::from_slice(bytes).unwrap_or_default();
    holds(Value::is_object(&value), "what is made is a JSON object");
    value
}

fn holds(condition: bool, what: &str) {
    assert!(condition, "does not hold: {what}");
}
