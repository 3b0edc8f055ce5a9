//! From a complete message to an answer in `OpenAI`'s shape, and what a stream needs of that too.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::order::{self, Order};
use super::{errors, thoughts};
use crate::error::{Error, Result};
use crate::pricing::ServiceTier;
use crate::providers::numbers;
use crate::providers::request::Reading;
use crate::providers::types::{Answer, Completion, Endpoint, Usage};

/// A complete answer in `OpenAI`'s shape.
///
/// # Errors
/// [`Kind::Protocol`](crate::Kind::Protocol) for what is no message, [`Kind::Status`](crate::Kind::Status) for an error
/// told under status 200.
pub(super) fn read(endpoint: &Endpoint, reading: &Reading, answer: Answer) -> Result<Completion> {
    let size = answer.body.len();
    let body: Value = numbers::read_within(&answer.body, "input")
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| errors::not_of_protocol(endpoint, "answered with something that is not a JSON object", size))?;
    let content = body.get("content").and_then(Value::as_array);
    let Some(content) = content else {
        return Err(match errors::told(&body) {
            Some(error) => errors::inner(endpoint, error, &answer.headers, &answer.body),
            None => errors::not_of_protocol(endpoint, "answered with an object that has no `content`", size),
        });
    };
    let mut said = Said::default();
    for block in content {
        said.add(block, reading);
    }
    said.keep(endpoint, reading);
    let stop = body.get("stop_reason").and_then(Value::as_str);
    let usage = body.get("usage").and_then(Value::as_object);
    let mut choice = Map::new();
    choice.insert("index".to_owned(), 0.into());
    choice.insert("finish_reason".to_owned(), finish_reason(stop, !said.calls.is_empty(), reading).into());
    choice.insert("native_finish_reason".to_owned(), stop.into());
    choice.insert("logprobs".to_owned(), Value::Null);
    choice.insert("message".to_owned(), said.message(reading));
    let mut made = Map::new();
    let id = body.get("id").and_then(Value::as_str);
    made.insert("id".to_owned(), id.unwrap_or("msg").into());
    made.insert("object".to_owned(), "chat.completion".into());
    made.insert("created".to_owned(), now().into());
    made.insert("model".to_owned(), body.get("model").and_then(Value::as_str).unwrap_or(&endpoint.model).into());
    if let Some(tier) = usage.and_then(tier_name) {
        made.insert("service_tier".to_owned(), tier.into());
    }
    made.insert("choices".to_owned(), json!([choice]));
    let usage = usage.map(tokens);
    made.insert("usage".to_owned(), usage.map_or(Value::Null, |usage| usage_json(&usage)));
    let bytes = serde_json::to_vec(&made).map_err(|e| Error::value(format!("the answer: {e}")))?;
    Ok(Completion { answer: Answer { body: Bytes::from(bytes), ..answer }, usage, id: id.map(Into::into) })
}

/// A call as it is handed out.
#[derive(Debug)]
pub(super) struct MadeCall {
    pub id: String,
    pub name: String,
    pub arguments: String,
}

/// What a message says.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub text: String,
    pub reasoning: String,
    /// Whole thinking blocks, as received.
    pub thoughts: Vec<Value>,
    pub calls: Vec<MadeCall>,
    /// What came after what.
    pub order: Order,
    /// There was a block of text, an empty one perhaps.
    has_text: bool,
}

impl Said {
    fn add(&mut self, block: &Value, reading: &Reading) {
        let field = |name: &str| block.get(name).and_then(Value::as_str);
        match field("type") {
            Some("text") => {
                self.has_text = true;
                self.say(field("text").unwrap_or_default());
            }
            Some("thinking") => {
                self.reasoning.push_str(field("thinking").unwrap_or_default());
                self.thought(thoughts::clean(block));
            }
            Some("redacted_thinking") => self.thought(thoughts::clean(block)),
            Some("tool_use") => {
                let name = field("name").unwrap_or_default();
                let arguments = input(block.get("input"));
                if reading.schema_tool.as_deref() == Some(name) {
                    self.has_text = true;
                    self.say(&arguments);
                } else {
                    let id = field("id").map_or_else(|| format!("call_{}", self.calls.len()), str::to_owned);
                    self.call(MadeCall { id, name: name.to_owned(), arguments });
                }
            }
            // Tools that ran at Anthropic's, and whatever comes next.
            _ => {}
        }
    }

    /// Adds text.
    pub(super) fn say(&mut self, text: &str) {
        self.order.text(text);
        self.text.push_str(text);
    }

    /// Adds a whole thinking block.
    pub(super) fn thought(&mut self, block: Value) {
        self.order.thought();
        self.thoughts.push(block);
    }

    /// Adds a call.
    pub(super) fn call(&mut self, call: MadeCall) {
        self.order.call();
        self.calls.push(call);
    }

    /// The thinking blocks as they are handed out: with the order of the message where that is not the usual one.
    pub(super) fn thinking_blocks(&self) -> Vec<Value> {
        let mut blocks = self.thoughts.clone();
        if let (Some(Value::Object(first)), Some(order)) = (blocks.first_mut(), self.order.shown()) {
            first.insert(order::FIELD.to_owned(), order);
        }
        blocks
    }

    /// Remembers the thoughts for the calls they led to.
    pub(super) fn keep(&self, endpoint: &Endpoint, reading: &Reading) {
        if !reading.legacy_functions && !self.calls.is_empty() || !self.thoughts.is_empty() {
            let calls = self.calls.iter().map(|call| (&*call.id, &*call.name, &*call.arguments));
            thoughts::keep(&self.thinking_blocks(), calls, &endpoint.model);
        }
    }

    fn message(&self, reading: &Reading) -> Value {
        let mut message = Map::new();
        message.insert("role".to_owned(), "assistant".into());
        let content = (self.has_text || self.calls.is_empty()).then_some(&*self.text);
        message.insert("content".to_owned(), content.into());
        message.insert("refusal".to_owned(), Value::Null);
        if !self.reasoning.is_empty() {
            message.insert("reasoning_content".to_owned(), self.reasoning.as_str().into());
        }
        if !self.thoughts.is_empty() {
            message.insert("thinking_blocks".to_owned(), self.thinking_blocks().into());
        }
        let function = |call: &MadeCall| json!({"name": call.name, "arguments": call.arguments});
        match self.calls.first() {
            None => {}
            Some(first) if reading.legacy_functions => {
                message.insert("function_call".to_owned(), function(first));
            }
            Some(_) => {
                let calls = self.calls.iter();
                let calls = calls.map(|call| json!({"id": call.id, "type": "function", "function": function(call)}));
                message.insert("tool_calls".to_owned(), calls.collect());
            }
        }
        Value::Object(message)
    }
}

/// A tool's input as text; none at all is an empty object.
pub(super) fn input(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(value) => numbers::write(value),
    }
}

/// `OpenAI`'s word for why the answer ended; `calls` says whether it holds calls of real tools.
pub(super) fn finish_reason(stop: Option<&str>, calls: bool, reading: &Reading) -> &'static str {
    match stop {
        Some("max_tokens" | "model_context_window_exceeded") => "length",
        Some("refusal") => "content_filter",
        Some("tool_use") | None if calls => {
            if reading.legacy_functions {
                "function_call"
            } else {
                "tool_calls"
            }
        }
        // Unknown reasons too: the native one stands beside it.
        _ => "stop",
    }
}

/// A count as providers write them; what is none counts nothing.
fn count(of: &Map<String, Value>, name: &str) -> Option<u64> {
    let value = of.get(name)?;
    let whole = value.as_u64().or_else(|| value.as_f64().filter(|count| *count >= 0.0).map(|count| count as u64));
    whole.filter(|count| *count <= Usage::MOST)
}

/// Tokens in `OpenAI`'s counting: theirs leave the cached ones out of the prompt.
pub(super) fn tokens(usage: &Map<String, Value>) -> Usage {
    let inner = |part: &str, name: &str| usage.get(part).and_then(Value::as_object).and_then(|part| count(part, name));
    let cached = count(usage, "cache_read_input_tokens").unwrap_or(0);
    let hour = inner("cache_creation", "ephemeral_1h_input_tokens").unwrap_or(0);
    let minutes = inner("cache_creation", "ephemeral_5m_input_tokens").unwrap_or(0);
    let written = count(usage, "cache_creation_input_tokens").unwrap_or_else(|| hour.saturating_add(minutes));
    let plain = count(usage, "input_tokens").unwrap_or(0);
    let completion = count(usage, "output_tokens").unwrap_or(0);
    let thinking = inner("output_tokens_details", "thinking_tokens").unwrap_or(0);
    let word = |name: &str| usage.get(name).and_then(Value::as_str);
    let fast = word("speed").filter(|speed| *speed == "fast");
    let usage = Usage {
        prompt_tokens: plain.saturating_add(cached).saturating_add(written),
        completion_tokens: completion,
        cached_tokens: cached,
        cache_write_tokens: written,
        cache_write_1h_tokens: hour,
        reasoning_tokens: thinking,
        tier: fast.or(word("service_tier")).and_then(ServiceTier::named).unwrap_or_default(),
        ..Usage::default()
    };
    usage.bounded()
}

/// `OpenAI`'s name of the tier, where it has one.
fn tier_name(usage: &Map<String, Value>) -> Option<&'static str> {
    match usage.get("service_tier")?.as_str()? {
        "standard" => Some("default"),
        "priority" => Some("priority"),
        _ => None,
    }
}

/// `usage` in `OpenAI`'s shape.
pub(super) fn usage_json(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens.saturating_add(usage.completion_tokens),
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": usage.cache_write_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    })
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
