//! From the chunks of a completion to the events of a response.
//!
//! Items come one after the other, each with its beginning, its pieces and its end; calls whose pieces come by turns are told
//! by turns, since every event says which item it is of.

use bytes::BytesMut;
use serde_json::{Map, Value, json};

use super::super::openai;
use super::super::said::{self, Tokens};
use super::answer::{self, Frame, Status};
use crate::error::Error;

/// Where one stream stands.
pub(super) struct Events {
    frame: Frame,
    begun: bool,
    /// Number of the next event.
    number: u64,
    model: String,
    /// In the order of their beginning; `None` for one that has not ended.
    output: Vec<Option<Value>>,
    /// The item of text or thought that is being told.
    open: Option<Open>,
    calls: Vec<Call>,
    status: Status,
    tokens: Option<Tokens>,
    /// What the server tells of its decision.
    ferroute: Option<Value>,
}

struct Open {
    kind: Kind,
    id: String,
    at: usize,
    text: String,
    /// Parts that have ended.
    parts: Vec<Value>,
}

/// What is told in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Refusal,
    Thought,
}

#[expect(clippy::struct_field_names, reason = "the names of the file and the wire")]
struct Call {
    index: Value,
    custom: bool,
    id: String,
    call_id: String,
    name: String,
    said: String,
    /// Its place in the output, once it has begun.
    at: Option<usize>,
}

impl Events {
    pub fn new(frame: Frame) -> Self {
        Self {
            frame,
            begun: false,
            number: 0,
            model: String::new(),
            output: Vec::new(),
            open: None,
            calls: Vec::new(),
            status: Status::Completed,
            tokens: None,
            ferroute: None,
        }
    }

    pub fn frame(&mut self) -> &mut Frame {
        &mut self.frame
    }

    /// One chunk.
    pub fn chunk(&mut self, chunk: &[u8], out: &mut BytesMut) {
        let mut body = said::object(chunk);
        if self.model.is_empty() {
            said::text(&body, "model").unwrap_or_default().clone_into(&mut self.model);
        }
        if !self.begun {
            self.frame.named_after(&body);
        }
        self.begin(out);
        self.tokens = Tokens::of(&body).or(self.tokens);
        if let Some((choice, said)) = said::choice(&body) {
            if let Some(thought) = said::reasoning(said) {
                self.piece(Kind::Thought, thought, out);
            }
            if let Some(text) = said::text(said, "content") {
                self.piece(Kind::Text, text, out);
            }
            if let Some(refusal) = said::text(said, "refusal") {
                self.piece(Kind::Refusal, refusal, out);
            }
            for call in said::calls(said) {
                self.call(call, out);
            }
            if choice.get("finish_reason").is_some_and(Value::is_string) {
                self.status = Status::of(choice);
            }
        }
        if let Some(told) = body.shift_remove("ferroute") {
            self.ferroute = Some(told);
        }
    }

    /// The events a response ends with.
    pub fn end(&mut self, out: &mut BytesMut) {
        self.begin(out);
        self.close(out);
        for at in 0..self.calls.len() {
            self.end_call(at, out);
        }
        if self.output.is_empty() {
            self.open(Kind::Text, out);
            self.close(out);
        }
        let name = match self.status {
            Status::Incomplete(_) => "response.incomplete",
            _ => "response.completed",
        };
        let mut response = self.response(self.status);
        if let Some(told) = self.ferroute.take() {
            response.insert("ferroute".to_owned(), told);
        }
        self.event(name, json!({"response": response}), out);
    }

    /// The event of a stream that has broken. Clients raise it.
    pub fn broken(&mut self, error: &Error, out: &mut BytesMut) {
        self.begin(out);
        let told = openai::told(error.http_status(), error);
        let mut response = self.response(Status::Failed);
        response.insert("error".to_owned(), json!({"code": "server_error", "message": told["message"]}));
        self.event("response.failed", json!({"response": response}), out);
        self.event("error", json!({"error": told}), out);
    }

    fn response(&self, status: Status) -> Map<String, Value> {
        let output = self.output.iter().flatten().cloned().collect();
        self.frame.response(status, &self.model, output, self.tokens)
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if !self.begun {
            self.begun = true;
            for name in ["response.created", "response.in_progress"] {
                let response = self.response(Status::InProgress);
                self.event(name, json!({"response": response}), out);
            }
        }
    }

    fn event(&mut self, name: &str, mut data: Value, out: &mut BytesMut) {
        if let Some(data) = data.as_object_mut() {
            data.insert("type".to_owned(), name.into());
            data.insert("sequence_number".to_owned(), self.number.into());
        }
        self.number += 1;
        said::event(out, name, &data);
    }

    fn add(&mut self, item: &Value, out: &mut BytesMut) -> usize {
        let at = self.output.len();
        self.output.push(None);
        self.event("response.output_item.added", json!({"output_index": at, "item": item}), out);
        at
    }

    fn done(&mut self, at: usize, item: Value, out: &mut BytesMut) {
        self.event("response.output_item.done", json!({"output_index": at, "item": item}), out);
        self.output[at] = Some(item);
    }

    /// A piece of text, of a refusal or of a thought.
    fn piece(&mut self, kind: Kind, text: &str, out: &mut BytesMut) {
        match &self.open {
            Some(open) if open.kind == kind => {}
            // Text and refusal are parts of one message.
            Some(open) if open.kind != Kind::Thought && kind != Kind::Thought => self.next_part(kind, out),
            _ => {
                self.close(out);
                self.open(kind, out);
            }
        }
        let Some(open) = &mut self.open else { return };
        open.text.push_str(text);
        let (name, data) = (kind.event("delta"), open.place(json!({"delta": text})));
        self.event(name, data, out);
    }

    fn open(&mut self, kind: Kind, out: &mut BytesMut) {
        let thought = kind == Kind::Thought;
        let id = said::id(if thought { "rs" } else { "msg" });
        let item = if thought {
            json!({"id": id, "type": "reasoning", "status": "in_progress", "summary": []})
        } else {
            answer::message(&id, &[], Status::InProgress)
        };
        let at = self.add(&item, out);
        self.open = Some(Open { kind, id, at, text: String::new(), parts: Vec::new() });
        self.begin_part(out);
    }

    fn begin_part(&mut self, out: &mut BytesMut) {
        let Some(open) = &self.open else { return };
        let (name, data) = (open.kind.part("added"), open.place(json!({"part": open.kind.made("")})));
        self.event(name, data, out);
    }

    fn end_part(&mut self, out: &mut BytesMut) {
        let Some(open) = &mut self.open else { return };
        let field = if open.kind == Kind::Refusal { "refusal" } else { "text" };
        let part = open.kind.made(&open.text);
        let (name, data) = (open.kind.event("done"), open.place(json!({field: open.text})));
        let (ended, whole) = (open.kind.part("done"), open.place(json!({"part": part})));
        open.text.clear();
        open.parts.push(part);
        self.event(name, data, out);
        self.event(ended, whole, out);
    }

    fn next_part(&mut self, kind: Kind, out: &mut BytesMut) {
        self.end_part(out);
        if let Some(open) = &mut self.open {
            open.kind = kind;
        }
        self.begin_part(out);
    }

    /// Ends the item of text or thought that is being told.
    fn close(&mut self, out: &mut BytesMut) {
        self.end_part(out);
        let Some(Open { kind, id, at, parts, .. }) = self.open.take() else { return };
        let item = if kind == Kind::Thought {
            json!({"id": id, "type": "reasoning", "status": "completed", "summary": parts})
        } else {
            answer::message(&id, &parts, Status::Completed)
        };
        self.done(at, item, out);
    }

    fn call(&mut self, piece: &Map<String, Value>, out: &mut BytesMut) {
        let index = piece.get("index").cloned().unwrap_or_default();
        let known = self.calls.iter().position(|call| call.index == index);
        let at = known.unwrap_or_else(|| {
            let custom = piece.contains_key("custom");
            let (call_id, name, said) = Default::default();
            let id = said::id(if custom { "ctc" } else { "fc" });
            self.calls.push(Call { index, custom, id, call_id, name, said, at: None });
            self.calls.len() - 1
        });
        let (name, said) = said::called(piece);
        let call = &mut self.calls[at];
        if call.call_id.is_empty() {
            said::text(piece, "id").unwrap_or_default().clone_into(&mut call.call_id);
        }
        call.name.push_str(name);
        if call.at.is_some() {
            call.said.push_str(said);
            self.delta(at, said, out);
        } else if call.name.is_empty() {
            // Its beginning tells its name.
            call.said.push_str(said);
        } else {
            let before = std::mem::take(&mut call.said) + said;
            self.begin_call(at, out);
            self.calls[at].said.clone_from(&before);
            self.delta(at, &before, out);
        }
    }

    fn begin_call(&mut self, at: usize, out: &mut BytesMut) {
        self.close(out);
        let call = &self.calls[at];
        let item = answer::call(call.custom, &call.id, &call.call_id, &call.name, "", Status::InProgress);
        let place = self.add(&item, out);
        self.calls[at].at = Some(place);
    }

    fn delta(&mut self, at: usize, said: &str, out: &mut BytesMut) {
        if said.is_empty() {
            return;
        }
        let call = &self.calls[at];
        let name = if call.custom {
            "response.custom_tool_call_input.delta"
        } else {
            "response.function_call_arguments.delta"
        };
        let data = json!({"item_id": call.id, "output_index": call.at, "delta": said});
        self.event(name, data, out);
    }

    fn end_call(&mut self, at: usize, out: &mut BytesMut) {
        if self.calls[at].at.is_none() {
            self.begin_call(at, out);
            let before = self.calls[at].said.clone();
            self.delta(at, &before, out);
        }
        let Call { custom, id, call_id, name, said, at, .. } = &self.calls[at];
        let Some(at) = *at else { return };
        let (event, data) = if *custom {
            ("response.custom_tool_call_input.done", json!({"item_id": id, "output_index": at, "input": said}))
        } else {
            let data = json!({"item_id": id, "output_index": at, "name": name, "arguments": said});
            ("response.function_call_arguments.done", data)
        };
        let item = answer::call(*custom, id, call_id, name, said, Status::Completed);
        self.event(event, data, out);
        self.done(at, item, out);
    }
}

impl Open {
    /// `data` with the place of the part.
    fn place(&self, mut data: Value) -> Value {
        if let Some(fields) = data.as_object_mut() {
            fields.insert("item_id".to_owned(), self.id.as_str().into());
            fields.insert("output_index".to_owned(), self.at.into());
            let index = if self.kind == Kind::Thought { "summary_index" } else { "content_index" };
            fields.insert(index.to_owned(), self.parts.len().into());
            if self.kind == Kind::Text && !fields.contains_key("part") {
                fields.insert("logprobs".to_owned(), json!([]));
            }
        }
        data
    }
}

impl Kind {
    fn event(self, what: &str) -> &'static str {
        match (self, what) {
            (Self::Text, "delta") => "response.output_text.delta",
            (Self::Text, _) => "response.output_text.done",
            (Self::Refusal, "delta") => "response.refusal.delta",
            (Self::Refusal, _) => "response.refusal.done",
            (Self::Thought, "delta") => "response.reasoning_summary_text.delta",
            (Self::Thought, _) => "response.reasoning_summary_text.done",
        }
    }

    fn part(self, what: &str) -> &'static str {
        match (self, what) {
            (Self::Thought, "added") => "response.reasoning_summary_part.added",
            (Self::Thought, _) => "response.reasoning_summary_part.done",
            (_, "added") => "response.content_part.added",
            _ => "response.content_part.done",
        }
    }

    fn made(self, text: &str) -> Value {
        match self {
            Self::Text => answer::text_part(text, None),
            Self::Refusal => answer::refusal_part(text),
            Self::Thought => json!({"type": "summary_text", "text": text}),
        }
    }
}
