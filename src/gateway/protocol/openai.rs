//! `OpenAI`'s Chat Completions: the shape inside, so the caller's bytes go on as they are.
//!
//! A request is read once, no further than is needed to route it: what the fields hold is the model's business. Two things are
//! taken out, by bytes: the reserved object `ferroute`, and fields that are null, which `RouteLLM` dropped as well and
//! some servers refuse.

mod head;

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};

use self::head::Head;
use super::failing::{self, bad};
use super::{Inbound, Protocol, Reply, extras};
use crate::error::{Error, Kind, Result};
use crate::providers::body::Fields;
use crate::providers::halves;

/// The protocol.
#[derive(Debug, Clone, Copy)]
pub struct OpenAi;

impl Protocol for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn read(&self, body: Bytes) -> Result<Inbound> {
        let body = halves::mended(&body).unwrap_or(body);
        let head = Head::read(&body)?;
        let extras::Said { extras, explain } = extras::read(&head.ferroute)?;
        let model = head.model.get().filter(|model| !model.is_empty());
        let model = model.ok_or_else(|| bad("model", "`model` must be a string: a router or a model"))?.to_owned();
        head.messages.check()?;
        let stream = match head.stream {
            Value::Null => false,
            Value::Bool(stream) => stream,
            _ => return Err(bad("stream", "`stream` must be true or false")),
        };
        let leave_out = head.nulls || head.extras;
        drop(head);
        let body = if leave_out {
            Fields::read(&body)?.without(|name, value| name == extras::NAME || value == b"null")
        } else {
            body
        };
        Ok(Inbound { body, model, stream, extras, explain, reply: Box::new(Plain) })
    }

    fn failure(&self, status: u16, error: &Error) -> Bytes {
        let mut body = Map::new();
        if error.kind() == Kind::Routing {
            // `RouteLLM`'s own keys, beside what every client of `OpenAI`'s reads.
            body.insert("object".to_owned(), "error".into());
            body.insert("message".to_owned(), error.message().into());
        }
        body.insert("error".to_owned(), Value::Object(told(status, error)));
        Value::Object(body).to_string().into()
    }
}

/// The error object; a provider's own, where it has told one.
pub(super) fn told(status: u16, error: &Error) -> Map<String, Value> {
    let mut told = failing::told(error).unwrap_or_default();
    if told.is_empty() {
        told.insert("message".to_owned(), failing::message(error).into());
        told.insert("param".to_owned(), failing::param(error).into());
        told.insert("code".to_owned(), failing::code(error).into());
    }
    for name in ["param", "code"] {
        told.entry(name).or_insert(Value::Null);
    }
    told.entry("type").or_insert_with(|| kind(status, failing::code(error)).into());
    told
}

/// `OpenAI`'s word for the kind of error.
fn kind(status: u16, code: Option<&str>) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        429 if code.is_some_and(|code| code.contains("budget")) => "insufficient_quota",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// The answer as it is.
struct Plain;

impl Reply for Plain {
    fn whole(&mut self, answer: Bytes) -> Result<Bytes> {
        Ok(answer)
    }

    fn chunk(&mut self, chunk: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\n\n");
    }

    fn end(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    fn broken(&mut self, error: &Error, out: &mut BytesMut) {
        let told = json!({"error": told(error.http_status(), error)});
        self.chunk(told.to_string().as_bytes(), out);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
