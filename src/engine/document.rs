//! A whole answer where a stream was asked for, as the chunks it would have come in.
//!
//! Servers that cannot stream, and proxies that collect a stream, answer so. The answer is paid for, so it is handed on.

use std::ops::ControlFlow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::estimate;
use crate::error::Result;
use crate::providers::{Chunk, Completion, Endpoint, ReadStream, Usage};

/// The reader of a stream whose chunks are all there: nothing comes any more.
pub(super) struct Document {
    usage: Option<Usage>,
    id: Option<Box<str>>,
    text: String,
    made_chars: usize,
}

/// The chunks of a completion in `OpenAI`'s shape, and the reader that goes with them; `None` without a choice.
///
/// For each choice one with all it says and one with the reason to stop, then one with the usage, for the caller's eyes
/// where he asked for it.
pub(super) fn chunks(completion: &Completion, usage_asked: bool) -> Option<(Document, Vec<Chunk>)> {
    let body = &completion.answer.body;
    let Ok(Value::Object(mut head)) = serde_json::from_slice(body) else { return None };
    let usage = head.remove("usage").filter(Value::is_object);
    let Some(Value::Array(choices)) = head.remove("choices").filter(|choices| *choices != json!([])) else {
        return None;
    };
    head.insert("object".to_owned(), "chat.completion.chunk".into());
    let mut text = None;
    let mut made = Vec::new();
    for (at, choice) in choices.into_iter().enumerate() {
        let Value::Object(mut choice) = choice else { continue };
        let index = choice.get("index").cloned().filter(Value::is_u64).unwrap_or_else(|| at.into());
        let mut delta = match choice.remove("message") {
            Some(Value::Object(message)) => message,
            _ => Map::new(),
        };
        number(&mut delta);
        let said = delta.get("content").and_then(Value::as_str).unwrap_or_default();
        text.get_or_insert_with(|| said.to_owned());
        let logprobs = choice.remove("logprobs").unwrap_or_default();
        let says = json!({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": null});
        made.push(Chunk { data: written(&head, json!([says]), None), content: true, ..Chunk::default() });
        choice.insert("index".to_owned(), index);
        choice.insert("delta".to_owned(), json!({}));
        choice.entry("finish_reason").or_insert(Value::Null);
        made.push(Chunk { data: written(&head, json!([choice]), None), ends: true, ..Chunk::default() });
    }
    if let Some(usage) = usage {
        made.push(Chunk { data: written(&head, json!([]), Some(usage)), hidden: !usage_asked, ..Chunk::default() });
    }
    let text = text.unwrap_or_default();
    Some((
        Document { usage: completion.usage, id: completion.id.clone(), text, made_chars: estimate::answer_chars(body) },
        made,
    ))
}

/// Calls in chunks are told apart by an index.
fn number(delta: &mut Map<String, Value>) {
    let calls = delta.get_mut("tool_calls").and_then(Value::as_array_mut);
    for (at, call) in calls.into_iter().flatten().enumerate() {
        if let Some(call) = call.as_object_mut() {
            call.insert("index".to_owned(), at.into());
        }
    }
}

fn written(head: &Map<String, Value>, choices: Value, usage: Option<Value>) -> Bytes {
    let mut body = head.clone();
    body.insert("choices".to_owned(), choices);
    if let Some(usage) = usage {
        body.insert("usage".to_owned(), usage);
    }
    Value::Object(body).to_string().into()
}

impl ReadStream for Document {
    fn read(&mut self, _: &Endpoint, _: Bytes, _: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Break(()))
    }

    fn is_complete(&self) -> bool {
        true
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn made_chars(&self) -> usize {
        self.made_chars
    }
}
