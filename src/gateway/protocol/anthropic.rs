//! Anthropic's Messages, as their clients speak it: brought into `OpenAI`'s shape, and answers brought back.
//!
//! What both shapes know is translated; what only Anthropic knows (`thinking`, `top_k`, `mcp_servers`, ...) goes on under its
//! own name, for models of theirs, and is left out for others. The other direction is
//! [`providers::anthropic`](crate::providers::anthropic).

mod answer;
mod content;
mod request;
mod stream;

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value, json};

use super::{Inbound, Protocol, Reply, failing, json};
use crate::error::{Error, Result};
use crate::text::view::View;

/// The protocol.
#[derive(Debug, Clone, Copy)]
pub struct Anthropic;

impl Protocol for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn id_header(&self) -> Option<&'static str> {
        Some("request-id")
    }

    fn read(&self, body: Bytes) -> Result<Inbound> {
        let request::Read { body, model, stream, said, thinks } = request::read(json::object(&body)?, true)?;
        let reply = Box::new(Messages(stream::Events::new(thinks)));
        let body = json::written(body);
        Ok(Inbound { body, model, stream, extras: said.extras, explain: said.explain, reply })
    }

    fn failure(&self, status: u16, error: &Error) -> Bytes {
        failure(status, error).to_string().into()
    }

    fn failure_of(&self, status: u16, error: &Error, id: Option<&str>) -> Bytes {
        let mut told = failure(status, error);
        told["request_id"] = id.into();
        told.to_string().into()
    }
}

/// The answer to `/v1/messages/count_tokens`: how many tokens the prompt of `body` has, **as an estimate** that no model is
/// asked for. It is the figure that filters and rules reckon with.
///
/// # Errors
/// As for a message, but that `max_tokens` may be missing.
pub fn count_tokens(body: &[u8]) -> Result<Bytes> {
    let read = request::read(json::object(body)?, false)?;
    let tokens = View::of_body(&read.body).prompt_tokens();
    Ok(json!({"input_tokens": tokens}).to_string().into())
}

/// An error in Anthropic's shape; a provider's own words, where it has told some.
fn failure(status: u16, error: &Error) -> Value {
    let told = failing::told(error).unwrap_or_default();
    let said = told.get("message").and_then(Value::as_str).unwrap_or_else(|| failing::message(error));
    let code = failing::code(error);
    let mut inner = Map::new();
    inner.insert("type".to_owned(), kind(status).into());
    inner.insert("message".to_owned(), said.into());
    if let Some(code) = code {
        inner.insert("code".to_owned(), code.into());
    }
    json!({"type": "error", "error": inner, "request_id": null})
}

/// Anthropic's word for the kind of error.
fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// Answers as a message or its events.
struct Messages(stream::Events);

impl Reply for Messages {
    fn whole(&mut self, answer: Bytes) -> Result<Bytes> {
        answer::message(&answer, self.0.thinks())
    }

    fn chunk(&mut self, chunk: &[u8], out: &mut BytesMut) {
        self.0.chunk(chunk, out);
    }

    fn end(&mut self, out: &mut BytesMut) {
        self.0.end(out);
    }

    fn broken(&mut self, error: &Error, out: &mut BytesMut) {
        super::said::event(out, "error", &failure(error.http_status(), error));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
