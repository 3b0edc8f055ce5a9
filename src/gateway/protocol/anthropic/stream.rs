//! From the chunks of a completion to the events of a message.
//!
//! Blocks come one after the other: one is closed before the next is opened. The one exception is a block of thoughts, whose
//! proof the engine tells last of all, since clients of `OpenAI`'s protocol could not join it otherwise: it stays open
//! until then.

use bytes::BytesMut;
use serde_json::{Map, Value, json};

use super::super::said::{self, Tokens};
use super::answer;

/// Where one stream stands.
pub(super) struct Events {
    thinks: bool,
    begun: bool,
    /// How many blocks have been opened.
    blocks: u64,
    open: Option<Open>,
    /// Blocks of thoughts that wait for their proof, with their text.
    unproven: Vec<(u64, String)>,
    calls: Vec<Call>,
    stop: Option<&'static str>,
    refused: bool,
    tokens: Tokens,
    /// What the server tells of its decision.
    ferroute: Option<Value>,
}

/// The block that is being told.
#[derive(Clone, Copy)]
enum Open {
    Text(u64),
    Thought(u64),
    /// And its place in `calls`.
    Call(u64, usize),
}

/// A call, whose pieces may come while another one is told.
struct Call {
    index: Value,
    id: String,
    name: String,
    arguments: String,
    /// How much of the arguments is told; `None` before its block is opened.
    told: Option<usize>,
    closed: bool,
}

impl Events {
    /// Of a stream whose caller wants to see thoughts that nothing proves, or not.
    pub fn new(thinks: bool) -> Self {
        Self {
            thinks,
            begun: false,
            blocks: 0,
            open: None,
            unproven: Vec::new(),
            calls: Vec::new(),
            stop: None,
            refused: false,
            tokens: Tokens::default(),
            ferroute: None,
        }
    }

    pub fn thinks(&self) -> bool {
        self.thinks
    }

    /// One chunk.
    pub fn chunk(&mut self, chunk: &[u8], out: &mut BytesMut) {
        let mut body = said::object(chunk);
        self.begin(&body, out);
        if let Some(tokens) = Tokens::of(&body) {
            self.tokens = tokens;
        }
        if let Some((choice, said)) = said::choice(&body) {
            if let Some(thought) = said::reasoning(said).filter(|_| self.thinks) {
                self.thought(thought, out);
            }
            for name in ["content", "refusal"] {
                if let Some(text) = said::text(said, name) {
                    self.refused |= name == "refusal";
                    self.text(text, out);
                }
            }
            for call in said::calls(said) {
                self.call(call, out);
            }
            if let Some(blocks) = said.get("thinking_blocks").and_then(Value::as_array) {
                self.proofs(blocks, out);
            }
            if choice.get("finish_reason").is_some_and(Value::is_string) {
                self.stop = Some(answer::stop_reason(choice, self.refused));
            }
        }
        if let Some(told) = body.shift_remove("ferroute") {
            self.ferroute = Some(told);
        }
    }

    /// The events a message ends with.
    pub fn end(&mut self, out: &mut BytesMut) {
        self.begin(&Map::new(), out);
        self.close(out);
        self.rest_of_calls(out);
        for (index, _) in std::mem::take(&mut self.unproven) {
            stop(index, out);
        }
        let mut delta = json!({
            "type": "message_delta",
            "delta": {"stop_reason": self.stop.unwrap_or("end_turn"), "stop_sequence": null},
            "usage": answer::usage(self.tokens),
        });
        if let (Some(delta), Some(told)) = (delta.as_object_mut(), self.ferroute.take()) {
            delta.insert("ferroute".to_owned(), told);
        }
        said::event(out, "message_delta", &delta);
        said::event(out, "message_stop", &json!({"type": "message_stop"}));
    }

    fn begin(&mut self, body: &Map<String, Value>, out: &mut BytesMut) {
        if self.begun {
            return;
        }
        self.begun = true;
        let mut message = answer::head(body);
        message.insert("content".to_owned(), json!([]));
        message.insert("stop_reason".to_owned(), Value::Null);
        message.insert("stop_sequence".to_owned(), Value::Null);
        // Nobody knows them yet: those of `message_delta` replace them.
        message.insert("usage".to_owned(), answer::usage(Tokens::default()));
        said::event(out, "message_start", &json!({"type": "message_start", "message": message}));
        said::event(out, "ping", &json!({"type": "ping"}));
    }

    fn start(&mut self, block: &Value, out: &mut BytesMut) -> u64 {
        let index = self.blocks;
        self.blocks += 1;
        let event = json!({"type": "content_block_start", "index": index, "content_block": block});
        said::event(out, "content_block_start", &event);
        index
    }

    fn text(&mut self, text: &str, out: &mut BytesMut) {
        let index = if let Some(Open::Text(index)) = self.open {
            index
        } else {
            self.close(out);
            let index = self.start(&json!({"type": "text", "text": ""}), out);
            self.open = Some(Open::Text(index));
            index
        };
        delta(index, &json!({"type": "text_delta", "text": text}), out);
    }

    fn thought(&mut self, text: &str, out: &mut BytesMut) {
        let index = if let Some(Open::Thought(index)) = self.open {
            index
        } else {
            self.close(out);
            let index = self.start(&json!({"type": "thinking", "thinking": "", "signature": ""}), out);
            self.unproven.push((index, String::new()));
            self.open = Some(Open::Thought(index));
            index
        };
        if let Some((_, so_far)) = self.unproven.last_mut() {
            so_far.push_str(text);
        }
        delta(index, &json!({"type": "thinking_delta", "thinking": text}), out);
    }

    /// Closes the block that is being told; one of thoughts waits.
    fn close(&mut self, out: &mut BytesMut) {
        match self.open.take() {
            Some(Open::Text(index)) => stop(index, out),
            Some(Open::Call(index, at)) => {
                self.calls[at].closed = true;
                stop(index, out);
            }
            Some(Open::Thought(_)) | None => {}
        }
    }

    /// A piece of a call. While the arguments of another are not whole, this one waits.
    fn call(&mut self, piece: &Map<String, Value>, out: &mut BytesMut) {
        let index = piece.get("index").cloned().unwrap_or_default();
        let known = self.calls.iter().position(|call| call.index == index);
        let at = known.unwrap_or_else(|| {
            let (id, name, arguments) = Default::default();
            self.calls.push(Call { index, id, name, arguments, told: None, closed: false });
            self.calls.len() - 1
        });
        let (name, arguments) = said::called(piece);
        let call = &mut self.calls[at];
        if call.id.is_empty() {
            said::text(piece, "id").unwrap_or_default().clone_into(&mut call.id);
        }
        call.name.push_str(name);
        call.arguments.push_str(arguments);
        let busy = match self.open {
            Some(Open::Call(_, current)) => current != at && !is_json(&self.calls[current].arguments),
            _ => false,
        };
        // Of a call that is closed, nothing more can be told.
        if !busy && !self.calls[at].closed && !self.calls[at].name.is_empty() {
            self.tell(at, out);
        }
    }

    /// Tells what has come of a call and is not told.
    fn tell(&mut self, at: usize, out: &mut BytesMut) {
        let index = match self.open {
            Some(Open::Call(index, current)) if current == at => index,
            _ => {
                self.close(out);
                let Call { id, name, .. } = &self.calls[at];
                let block = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                let index = self.start(&block, out);
                self.open = Some(Open::Call(index, at));
                index
            }
        };
        let call = &mut self.calls[at];
        let told = call.told.unwrap_or(0);
        let piece = &call.arguments[told..];
        if !piece.is_empty() {
            delta(index, &json!({"type": "input_json_delta", "partial_json": piece}), out);
        }
        call.told = Some(call.arguments.len());
    }

    /// Tells the calls that had to wait.
    fn rest_of_calls(&mut self, out: &mut BytesMut) {
        for at in 0..self.calls.len() {
            if !self.calls[at].closed {
                self.tell(at, out);
                self.close(out);
            }
        }
    }

    /// The proofs of the thoughts told, and thoughts that were not told because they are not for reading.
    fn proofs(&mut self, blocks: &[Value], out: &mut BytesMut) {
        self.close(out);
        let mut unproven = std::mem::take(&mut self.unproven).into_iter().peekable();
        for block in blocks {
            let field = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
            let signature = json!({"type": "signature_delta", "signature": field("signature")});
            if block["type"] == "thinking" && unproven.peek().is_some_and(|(_, text)| text == field("thinking")) {
                if let Some((index, _)) = unproven.next() {
                    delta(index, &signature, out);
                    stop(index, out);
                }
            } else if block["type"] == "redacted_thinking" {
                let index = self.start(&json!({"type": "redacted_thinking", "data": field("data")}), out);
                stop(index, out);
            } else if !self.thinks || field("thinking").is_empty() {
                let index = self.start(&json!({"type": "thinking", "thinking": "", "signature": ""}), out);
                if !field("thinking").is_empty() {
                    delta(index, &json!({"type": "thinking_delta", "thinking": field("thinking")}), out);
                }
                delta(index, &signature, out);
                stop(index, out);
            }
        }
        // What was told in other pieces than it was signed in stays without a proof: it is for reading only.
        for (index, _) in unproven {
            stop(index, out);
        }
    }
}

fn delta(index: u64, delta: &Value, out: &mut BytesMut) {
    said::event(out, "content_block_delta", &json!({"type": "content_block_delta", "index": index, "delta": delta}));
}

fn stop(index: u64, out: &mut BytesMut) {
    said::event(out, "content_block_stop", &json!({"type": "content_block_stop", "index": index}));
}

/// Whether the pieces so far are whole.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}
