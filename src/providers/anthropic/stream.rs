//! From the events of a stream to chunks in `OpenAI`'s shape.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::answer::{self, MadeCall, Said};
use super::errors;
use crate::error::Result;
use crate::providers::numbers;
use crate::providers::request::Reading;
use crate::providers::types::{Chunk, Endpoint, ReadStream, Usage};

/// More open blocks than this are no answer.
const MOST_BLOCKS: usize = 1 << 16;

/// Reads one stream.
pub(super) struct Reader {
    reading: Reading,
    /// Id, model and time, as every chunk repeats them.
    head: Option<String>,
    id: Option<Box<str>>,
    open: BTreeMap<u64, Block>,
    said: Said,
    /// As told so far: what comes later replaces it, field by field.
    usage: Map<String, Value>,
    stop: Option<String>,
    /// The chunk with the reason to stop has been made.
    ended: bool,
    chars: usize,
}

/// A block that has begun.
enum Block {
    Text,
    /// Index in `said.calls`, and the input told at its beginning.
    Call(usize, Option<Value>),
    /// The tool that stands for a schema; its input is the content.
    Answer {
        started: bool,
        input: Option<Value>,
    },
    Thinking {
        text: String,
        signature: String,
    },
    Redacted(Value),
    /// Of a kind that says nothing to the caller.
    Other,
}

impl Reader {
    pub(super) fn new(reading: &Reading) -> Self {
        Self {
            reading: reading.clone(),
            head: None,
            id: None,
            open: BTreeMap::new(),
            said: Said::default(),
            usage: Map::new(),
            stop: None,
            ended: false,
            chars: 0,
        }
    }

    fn begin(&mut self, endpoint: &Endpoint, message: Option<&Value>, out: &mut Vec<Chunk>) {
        if self.head.is_some() {
            return;
        }
        let field = |name: &str| message.and_then(|message| message.get(name)?.as_str());
        self.id = field("id").map(Into::into);
        let id = Value::from(field("id").unwrap_or("msg"));
        let model = Value::from(field("model").unwrap_or(&endpoint.model));
        let created = answer::now();
        self.head = Some(format!(
            r#"{{"id":{id},"object":"chat.completion.chunk","created":{created},"model":{model},"choices":["#
        ));
        out.push(self.chunk(&json!({"role": "assistant", "content": ""}), None));
    }

    /// A chunk with one choice.
    fn chunk(&self, delta: &Value, finish: Option<&str>) -> Chunk {
        let head = self.head.as_deref().unwrap_or_default();
        let reason = finish.map_or_else(
            || r#""finish_reason":null"#.to_owned(),
            |finish| {
                format!(r#""finish_reason":"{finish}","native_finish_reason":{}"#, Value::from(self.stop.as_deref()))
            },
        );
        let data = format!(r#"{head}{{"index":0,"delta":{delta},"logprobs":null,{reason}}}]}}"#);
        Chunk { data: Bytes::from(data), ends: finish.is_some(), ..Chunk::default() }
    }

    fn content(&mut self, delta: &Value, said: &str, out: &mut Vec<Chunk>) {
        self.chars += said.chars().count();
        out.push(Chunk { content: true, ..self.chunk(delta, None) });
    }

    fn text_piece(&mut self, text: &str, out: &mut Vec<Chunk>) {
        if !text.is_empty() {
            self.said.say(text);
            self.content(&json!({"content": text}), text, out);
        }
    }

    fn arguments(&mut self, index: usize, piece: &str, out: &mut Vec<Chunk>) {
        let Some(call) = self.said.calls.get_mut(index).filter(|_| !piece.is_empty()) else { return };
        call.arguments.push_str(piece);
        let delta = if self.reading.legacy_functions {
            if index > 0 {
                return;
            }
            json!({"function_call": {"arguments": piece}})
        } else {
            json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
        };
        self.content(&delta, piece, out);
    }

    fn start_block(&mut self, index: u64, block: &Value, out: &mut Vec<Chunk>) {
        let field = |name: &str| block.get(name).and_then(Value::as_str);
        let begun = match field("type") {
            Some("text") => {
                self.text_piece(field("text").unwrap_or_default(), out);
                Block::Text
            }
            Some("thinking") => {
                let text = field("thinking").unwrap_or_default().to_owned();
                self.thought_piece(&text, out);
                Block::Thinking { text, signature: field("signature").unwrap_or_default().to_owned() }
            }
            Some("redacted_thinking") => Block::Redacted(super::thoughts::clean(block)),
            Some("tool_use") => {
                let name = field("name").unwrap_or_default();
                let input =
                    block.get("input").filter(|input| input.as_object().is_some_and(|fields| !fields.is_empty()));
                if self.reading.schema_tool.as_deref() == Some(name) {
                    Block::Answer { started: false, input: input.cloned() }
                } else {
                    Block::Call(self.start_call(field("id"), name, out), input.cloned())
                }
            }
            _ => Block::Other,
        };
        if self.open.len() < MOST_BLOCKS {
            self.open.insert(index, begun);
        }
    }

    fn start_call(&mut self, id: Option<&str>, name: &str, out: &mut Vec<Chunk>) -> usize {
        let index = self.said.calls.len();
        let id = id.map_or_else(|| format!("call_{index}"), str::to_owned);
        let delta = if self.reading.legacy_functions {
            json!({"function_call": {"name": name, "arguments": ""}})
        } else {
            let function = json!({"name": name, "arguments": ""});
            json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": function}]})
        };
        self.said.call(MadeCall { id, name: name.to_owned(), arguments: String::new() });
        if index == 0 || !self.reading.legacy_functions {
            self.content(&delta, name, out);
        }
        index
    }

    fn thought_piece(&mut self, text: &str, out: &mut Vec<Chunk>) {
        if !text.is_empty() {
            self.said.reasoning.push_str(text);
            self.content(&json!({"reasoning_content": text}), text, out);
        }
    }

    fn delta(&mut self, index: u64, delta: &Value, out: &mut Vec<Chunk>) {
        let field = |name: &str| delta.get(name).and_then(Value::as_str).unwrap_or_default();
        match field("type") {
            "text_delta" => self.text_piece(field("text"), out),
            "input_json_delta" => {
                let piece = field("partial_json");
                match self.open.get_mut(&index) {
                    Some(Block::Call(call, _)) => {
                        let call = *call;
                        self.arguments(call, piece, out);
                    }
                    Some(Block::Answer { started, .. }) => {
                        *started |= !piece.is_empty();
                        self.text_piece(piece, out);
                    }
                    _ => {}
                }
            }
            "thinking_delta" => {
                if let Some(Block::Thinking { text, .. }) = self.open.get_mut(&index) {
                    text.push_str(field("thinking"));
                }
                self.thought_piece(field("thinking"), out);
            }
            "signature_delta" => {
                if let Some(Block::Thinking { signature, .. }) = self.open.get_mut(&index) {
                    signature.push_str(field("signature"));
                }
            }
            _ => {}
        }
    }

    fn end_block(&mut self, index: u64, out: &mut Vec<Chunk>) {
        match self.open.remove(&index) {
            Some(Block::Call(call, input)) => {
                // No fragment at all: the input was told at once, or there is none.
                if self.said.calls.get(call).is_some_and(|call| call.arguments.is_empty()) {
                    self.arguments(call, &answer::input(input.as_ref().or(Some(&json!({})))), out);
                }
            }
            Some(Block::Answer { started: false, input }) => {
                self.text_piece(&answer::input(input.as_ref()), out);
            }
            Some(Block::Thinking { text, signature }) => {
                let block = if signature.is_empty() {
                    json!({"type": "thinking", "thinking": text})
                } else {
                    json!({"type": "thinking", "thinking": text, "signature": signature})
                };
                self.said.thought(block);
            }
            Some(Block::Redacted(block)) => self.said.thought(block),
            Some(Block::Text | Block::Other | Block::Answer { .. }) | None => {}
        }
    }

    /// The chunks at the end: proofs of thoughts, the reason, the usage.
    fn end(&mut self, endpoint: &Endpoint, out: &mut Vec<Chunk>) {
        if self.ended {
            return;
        }
        self.begin(endpoint, None, out);
        while let Some((&index, _)) = self.open.first_key_value() {
            self.end_block(index, out);
        }
        self.ended = true;
        self.said.keep(endpoint, &self.reading);
        if !self.said.thoughts.is_empty() {
            // All at once: a client that joins deltas field by field would not know how to join the blocks of a list.
            out.push(self.chunk(&json!({"thinking_blocks": self.said.thinking_blocks()}), None));
        }
        let reason = answer::finish_reason(self.stop.as_deref(), !self.said.calls.is_empty(), &self.reading);
        out.push(self.chunk(&json!({}), Some(reason)));
        if let Some(usage) = self.usage() {
            let head = self.head.as_deref().unwrap_or_default();
            let data = format!(r#"{head}],"usage":{}}}"#, answer::usage_json(&usage));
            out.push(Chunk { data: Bytes::from(data), hidden: !self.reading.usage_asked, ..Chunk::default() });
        }
    }

    fn tell_usage(&mut self, usage: Option<&Value>) {
        for (name, value) in usage.and_then(Value::as_object).into_iter().flatten() {
            if !value.is_null() {
                self.usage.insert(name.clone(), value.clone());
            }
        }
    }
}

impl ReadStream for Reader {
    fn read(&mut self, endpoint: &Endpoint, data: Bytes, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        if data.trim_ascii() == b"[DONE]" && self.stop.is_some() {
            // Not of this protocol, but some servers that speak it end with it.
            self.end(endpoint, out);
            return Ok(ControlFlow::Break(()));
        }
        let event: Value = numbers::read_within(&data, "input")
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| errors::not_of_protocol(endpoint, "sent an event that is not a JSON object", data.len()))?;
        if let Some(error) = errors::told(&event) {
            return Err(errors::inner(endpoint, error, &[], &data));
        }
        let index = event.get("index").and_then(Value::as_u64).unwrap_or(0);
        let kind = event.get("type").and_then(Value::as_str);
        if self.stop.is_some() && kind != Some("message_stop") {
            // The message has said that this was all.
            self.tell_usage(event.get("usage"));
            return Ok(ControlFlow::Continue(()));
        }
        match kind {
            Some("message_start") => {
                let message = event.get("message");
                self.tell_usage(message.and_then(|message| message.get("usage")));
                self.begin(endpoint, message, out);
            }
            Some("content_block_start") => {
                self.begin(endpoint, None, out);
                if let Some(block) = event.get("content_block") {
                    self.start_block(index, block, out);
                }
            }
            Some("content_block_delta") => {
                self.begin(endpoint, None, out);
                if let Some(delta) = event.get("delta") {
                    self.delta(index, delta, out);
                }
            }
            Some("content_block_stop") => self.end_block(index, out),
            Some("message_delta") => {
                self.tell_usage(event.get("usage"));
                if let Some(stop) = event.get("delta").and_then(|delta| delta.get("stop_reason")?.as_str()) {
                    // Told to the caller with the end mark, without which the stream was cut.
                    self.stop = Some(stop.to_owned());
                }
            }
            Some("message_stop") => {
                if self.head.is_none() {
                    return Err(errors::not_of_protocol(endpoint, "ended the stream before a message", data.len()));
                }
                self.end(endpoint, out);
                return Ok(ControlFlow::Break(()));
            }
            // Pings, and whatever comes next.
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    fn is_complete(&self) -> bool {
        self.ended
    }

    fn usage(&self) -> Option<Usage> {
        (!self.usage.is_empty()).then(|| answer::tokens(&self.usage))
    }

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn text(&self) -> &str {
        &self.said.text
    }

    fn made_chars(&self) -> usize {
        self.chars
    }
}
