//! From a completion to a response, and what its stream needs of that too.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::said::{self, Tokens};
use super::Echo;
use crate::error::{Error, Kind, Result};

/// The longest id of a provider's that is taken over.
const LONGEST_ID: usize = 200;

/// What all versions of one response share.
pub(super) struct Frame {
    id: String,
    created: u64,
    echo: Echo,
}

/// Why a response is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    /// With the reason.
    Incomplete(&'static str),
    Failed,
}

impl Status {
    /// Of a choice that has ended.
    pub fn of(choice: &Map<String, Value>) -> Self {
        match said::text(choice, "finish_reason") {
            Some("length") => Self::Incomplete("max_output_tokens"),
            Some("content_filter") => Self::Incomplete("content_filter"),
            _ => Self::Completed,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete(_) => "incomplete",
            Self::Failed => "failed",
        }
    }
}

impl Frame {
    pub fn new(echo: Echo) -> Self {
        Self { id: said::id("resp"), created: now(), echo }
    }

    /// The id is the provider's, so that what is said of the answer later finds its call.
    pub fn named_after(&mut self, body: &Map<String, Value>) {
        let is_fit = |id: &&str| id.len() <= LONGEST_ID && id.bytes().all(|byte| byte.is_ascii_graphic());
        if let Some(id) = said::text(body, "id").filter(is_fit) {
            self.id = if id.starts_with("resp_") { id.to_owned() } else { format!("resp_{id}") };
        }
    }

    /// The response in one of its states.
    pub fn response(
        &self,
        status: Status,
        model: &str,
        output: Vec<Value>,
        tokens: Option<Tokens>,
    ) -> Map<String, Value> {
        let mut made = Map::new();
        let mut set = |name: &str, value: Value| made.insert(name.to_owned(), value);
        set("id", self.id.as_str().into());
        set("object", "response".into());
        set("created_at", self.created.into());
        set("status", status.name().into());
        set("completed_at", if status == Status::Completed { now().into() } else { Value::Null });
        set("background", false.into());
        set("error", Value::Null);
        let reason = if let Status::Incomplete(reason) = status { json!({"reason": reason}) } else { Value::Null };
        set("incomplete_details", reason);
        set("model", model.into());
        set("output", Value::Array(output));
        set("previous_response_id", Value::Null);
        set("store", false.into());
        set("truncation", "disabled".into());
        set("usage", tokens.map_or(Value::Null, usage));
        for (name, value) in [
            ("instructions", Value::Null),
            ("max_output_tokens", Value::Null),
            ("metadata", json!({})),
            ("parallel_tool_calls", true.into()),
            ("reasoning", json!({"effort": null, "summary": null})),
            ("temperature", Value::Null),
            ("text", json!({"format": {"type": "text"}})),
            ("tool_choice", "auto".into()),
            ("tools", json!([])),
            ("top_p", Value::Null),
        ] {
            set(name, value);
        }
        for (name, value) in self.echo.iter().filter(|(_, value)| !value.is_null()) {
            set(name, value.clone());
        }
        made
    }
}

/// The response that a completion is.
pub(super) fn response(completion: &[u8], frame: &mut Frame) -> Result<Bytes> {
    let body = said::object(completion);
    frame.named_after(&body);
    let (choice, said) = said::choice(&body).ok_or_else(|| Error::new(Kind::Protocol, "the answer has no choice"))?;
    let status = Status::of(choice);
    let mut output = Vec::new();
    if let Some(thought) = said::reasoning(said) {
        output.push(reasoning(&said::id("rs"), thought));
    }
    let logprobs = choice.get("logprobs").and_then(|probs| probs.get("content")).cloned();
    let texts = said::text(said, "content").map(|text| text_part(text, logprobs.as_ref()));
    let refusals = said::text(said, "refusal").map(refusal_part);
    let content: Vec<Value> = texts.into_iter().chain(refusals).collect();
    let calls: Vec<Value> = said::calls(said).map(whole_call).collect();
    if !content.is_empty() || calls.is_empty() {
        output.push(message(&said::id("msg"), &content, status));
    }
    output.extend(calls);
    let model = said::text(&body, "model").unwrap_or_default();
    let made = frame.response(status, model, output, Tokens::of(&body));
    Ok(Value::Object(made).to_string().into())
}

/// A message item.
pub(super) fn message(id: &str, content: &[Value], status: Status) -> Value {
    json!({"id": id, "type": "message", "status": status.name(), "role": "assistant", "content": content})
}

pub(super) fn text_part(text: &str, logprobs: Option<&Value>) -> Value {
    let logprobs = logprobs.filter(|list| list.is_array()).cloned().unwrap_or_else(|| json!([]));
    json!({"type": "output_text", "annotations": [], "logprobs": logprobs, "text": text})
}

pub(super) fn refusal_part(refusal: &str) -> Value {
    json!({"type": "refusal", "refusal": refusal})
}

/// What the model thought, for reading.
pub(super) fn reasoning(id: &str, text: &str) -> Value {
    json!({"id": id, "type": "reasoning", "status": "completed", "summary": [{"type": "summary_text", "text": text}]})
}

fn whole_call(given: &Map<String, Value>) -> Value {
    let (name, arguments) = said::called(given);
    let custom = given.contains_key("custom");
    let id = said::id(if custom { "ctc" } else { "fc" });
    call(custom, &id, said::text(given, "id").unwrap_or_default(), name, arguments, Status::Completed)
}

/// A call's item.
pub(super) fn call(custom: bool, id: &str, call_id: &str, name: &str, said: &str, status: Status) -> Value {
    let (kind, field) = if custom { ("custom_tool_call", "input") } else { ("function_call", "arguments") };
    json!({"id": id, "type": kind, "status": status.name(), "call_id": call_id, "name": name, field: said})
}

fn usage(tokens: Tokens) -> Value {
    json!({
        "input_tokens": tokens.prompt,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": tokens.written},
        "output_tokens": tokens.completion,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.prompt.saturating_add(tokens.completion),
    })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
