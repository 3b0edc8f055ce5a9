//! `OpenAI`'s Responses, without their memory: every request has to bring its whole conversation.
//!
//! What would need a store (`previous_response_id`, `conversation`, `background`, stored prompts and items) or tools that run
//! at `OpenAI`'s is refused by name. `store` is taken and not done: answers say `"store": false`.

mod answer;
mod input;
mod request;
mod stream;

use bytes::{Bytes, BytesMut};
use serde_json::{Map, Value};

use super::openai::OpenAi;
use super::{Inbound, Protocol, Reply, json};
use crate::error::{Error, Result};

/// The protocol.
#[derive(Debug, Clone, Copy)]
pub struct Responses;

impl Protocol for Responses {
    fn name(&self) -> &'static str {
        "responses"
    }

    fn read(&self, body: Bytes) -> Result<Inbound> {
        let request::Read { body, model, stream, said, echo } = request::read(json::object(&body)?)?;
        let reply = Box::new(Items(stream::Events::new(answer::Frame::new(echo))));
        let body = json::written(body);
        Ok(Inbound { body, model, stream, extras: said.extras, explain: said.explain, reply })
    }

    fn failure(&self, status: u16, error: &Error) -> Bytes {
        OpenAi.failure(status, error)
    }
}

/// What an answer repeats of its request.
type Echo = Map<String, Value>;

/// Answers as a response or its events.
struct Items(stream::Events);

impl Reply for Items {
    fn whole(&mut self, answer: Bytes) -> Result<Bytes> {
        answer::response(&answer, self.0.frame())
    }

    fn chunk(&mut self, chunk: &[u8], out: &mut BytesMut) {
        self.0.chunk(chunk, out);
    }

    fn end(&mut self, out: &mut BytesMut) {
        self.0.end(out);
    }

    fn broken(&mut self, error: &Error, out: &mut BytesMut) {
        self.0.broken(error, out);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
