//! The stream of `streamGenerateContent?alt=sse`: each event has the shape of an answer, and there is no end mark.
//!
//! Why a candidate ended is handed on only when the stream has ended: some servers tell a reason with every event,
//! and whether it was a call of a function is certain only then.

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::super::numbers;
use super::super::request::Reading;
use super::super::types::{Chunk, Endpoint, ReadStream, Usage};
use super::answer::head;
use super::errors;
use super::runs::Runs;
use super::said::{Said, Told, blocked, ended, logprobs, put_reason, usage};
use crate::error::Result;

/// A reader for one stream.
pub fn reader(reading: &Reading) -> Box<dyn ReadStream> {
    Box::new(Reader::of(reading))
}

#[derive(Debug, Default)]
pub(super) struct Reader {
    reading: Reading,
    /// What every chunk begins with; empty until the first event.
    head: Map<String, Value>,
    choices: BTreeMap<u64, Choice>,
    /// Why the prompt was refused.
    blocked: Option<String>,
    told: Option<Told>,
    text: String,
    chars: usize,
    /// The last chunks have been made.
    closed: bool,
}

/// How far one choice is.
#[derive(Debug, Default)]
struct Choice {
    begun: bool,
    calls: usize,
    /// Of those calls.
    ids: HashSet<String>,
    /// The parts so far.
    runs: Runs,
    /// `Google`'s reason.
    ended: Option<String>,
}

impl Reader {
    pub(super) fn of(reading: &Reading) -> Self {
        Self { reading: reading.clone(), ..Self::default() }
    }

    fn event(&mut self, endpoint: &Endpoint, body: &Value, out: &mut Vec<Chunk>) -> Result<()> {
        if let Some(error) = errors::told(body) {
            return Err(errors::inside(endpoint, error, &[]));
        }
        if !body.is_object() {
            return Err(errors::odd(endpoint, "sent an event that is not a JSON object"));
        }
        if self.head.is_empty() {
            self.head = head(body, endpoint, "chat.completion.chunk");
        }
        // Counts are of the whole answer so far: the last ones hold.
        self.told = usage(body, &self.reading).or(self.told.take());
        if let Some(reason) = blocked(body) {
            self.blocked = Some(reason.to_owned());
        }
        let candidates = body.get("candidates").and_then(Value::as_array);
        for (at, candidate) in candidates.into_iter().flatten().enumerate() {
            let index = candidate.get("index").and_then(Value::as_u64).unwrap_or(at as u64);
            self.candidate(index, candidate, out);
        }
        Ok(())
    }

    fn candidate(&mut self, index: u64, candidate: &Value, out: &mut Vec<Chunk>) {
        let choice = self.choices.entry(index).or_default();
        let said = Said::by(candidate, &self.reading, &mut choice.ids, &mut choice.runs);
        self.chars += said.chars();
        if index == 0 {
            self.text.push_str(&said.text);
        }
        if let Some(reason) = ended(candidate) {
            choice.ended = Some(reason.to_owned());
        }
        if said.is_empty() {
            return;
        }
        let mut delta = Map::new();
        if !choice.begun {
            delta.insert("role".into(), "assistant".into());
        }
        if !said.text.is_empty() || !choice.begun {
            delta.insert("content".into(), said.text.as_str().into());
        }
        said.fill(&mut delta, Some(choice.calls), self.reading.legacy_functions);
        choice.begun = true;
        choice.calls += said.calls.len();
        let choice = json!({"index": index, "delta": delta, "logprobs": logprobs(candidate), "finish_reason": null});
        out.push(self.chunk(vec![choice], true, false));
    }

    fn chunk(&self, choices: Vec<Value>, content: bool, ends: bool) -> Chunk {
        let mut shown = self.head.clone();
        shown.insert("choices".into(), choices.into());
        Chunk { data: Bytes::from(Value::Object(shown).to_string()), content, ends, hidden: false }
    }

    /// The reasons and the usage, once.
    fn close(&mut self, endpoint: &Endpoint, out: &mut Vec<Chunk>) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        if self.head.is_empty() {
            self.head = head(&Value::Null, endpoint, "chat.completion.chunk");
        }
        if let Some(reason) = self.blocked.as_deref().filter(|_| self.choices.is_empty()) {
            let delta = json!({"role": "assistant", "content": ""});
            let choice = json!({
                "index": 0, "delta": delta, "logprobs": null,
                "finish_reason": "content_filter", "native_finish_reason": reason,
            });
            out.push(self.chunk(vec![choice], false, true));
        }
        for (index, choice) in &self.choices {
            let mut delta = if choice.begun { json!({}) } else { json!({"role": "assistant", "content": ""}) };
            // Once and whole: a client that joins deltas would not know how to join signatures.
            if let Some(extra) = choice.runs.extra(self.reading.legacy_functions) {
                delta["extra_content"] = extra;
            }
            let mut shown = Map::new();
            shown.insert("index".into(), (*index).into());
            shown.insert("delta".into(), delta);
            shown.insert("logprobs".into(), Value::Null);
            put_reason(
                &mut shown,
                choice.ended.as_deref().unwrap_or("STOP"),
                choice.calls > 0,
                self.reading.legacy_functions,
            );
            out.push(self.chunk(vec![shown.into()], false, true));
        }
        if let Some(told) = self.told.as_ref().filter(|_| self.reading.usage_asked) {
            let mut shown = self.head.clone();
            shown.insert("choices".into(), json!([]));
            shown.insert("usage".into(), told.shown.clone());
            out.push(Chunk { data: Bytes::from(Value::Object(shown).to_string()), ..Chunk::default() });
        }
    }
}

impl ReadStream for Reader {
    fn read(&mut self, endpoint: &Endpoint, data: Bytes, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        if data.trim_ascii() == b"[DONE]" {
            // Not part of the protocol; some gateways add it.
            if self.choices.is_empty() && self.blocked.is_none() {
                return Err(errors::odd(endpoint, "ended the stream without a candidate in it"));
            }
            self.close(endpoint, out);
            return Ok(ControlFlow::Break(()));
        }
        let body: Value = numbers::read_within(&data, "args")
            .map_err(|_| errors::odd(endpoint, &format!("sent an event that is not JSON ({} bytes)", data.len())))?;
        match &body {
            Value::Array(list) => list.iter().try_for_each(|body| self.event(endpoint, body, out))?,
            body => self.event(endpoint, body, out)?,
        }
        Ok(ControlFlow::Continue(()))
    }

    fn finish(&mut self, endpoint: &Endpoint, out: &mut Vec<Chunk>) {
        self.close(endpoint, out);
    }

    /// Whether every candidate has said why it ended, or the prompt was refused.
    fn is_complete(&self) -> bool {
        if self.choices.is_empty() {
            return self.blocked.is_some();
        }
        self.choices.values().all(|choice| choice.ended.is_some())
    }

    fn usage(&self) -> Option<Usage> {
        self.told.as_ref().map(|told| told.usage)
    }

    fn id(&self) -> Option<&str> {
        self.head.get("id").and_then(Value::as_str)
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn made_chars(&self) -> usize {
        self.chars
    }
}
