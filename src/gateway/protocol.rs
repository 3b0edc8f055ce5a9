//! How callers speak: three protocols, one shape inside.

pub mod anthropic;
mod extras;
mod failing;
mod json;
pub mod openai;
pub mod responses;
mod said;

use bytes::{Bytes, BytesMut};

use super::deciding::Extras;
use crate::error::{Error, Result};

/// A caller's request in `OpenAI`'s shape, and how he is to be answered.
pub struct Inbound {
    /// The chat completion, without the object `ferroute`.
    pub body: Bytes,
    /// The model string.
    pub model: String,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// What was said in the object `ferroute`.
    pub extras: Extras,
    /// `{"explain": true}` was said there: the answer has an object `ferroute` that tells the decision and its cost.
    pub explain: bool,
    /// Makes the caller's shape of the answer.
    pub reply: Box<dyn Reply>,
}

/// Answers in the caller's shape; made for one request.
pub trait Reply: Send {
    /// A whole answer.
    fn whole(&mut self, answer: Bytes) -> Result<Bytes>;

    /// One chunk of a stream: adds the events that it is, with their framing, to `out`. The last one may have a member
    /// `ferroute`, which is handed on in the caller's shape.
    fn chunk(&mut self, chunk: &[u8], out: &mut BytesMut);

    /// The stream has ended well: adds what the protocol ends with.
    fn end(&mut self, out: &mut BytesMut);

    /// The stream has broken: adds what tells the caller so.
    fn broken(&mut self, error: &Error, out: &mut BytesMut);
}

/// A protocol that callers speak.
pub trait Protocol: Send + Sync {
    /// What it is called in logs and metrics.
    fn name(&self) -> &'static str;

    /// The header in which its clients look for the id of a request, where that is another than `x-request-id`.
    fn id_header(&self) -> Option<&'static str> {
        None
    }

    /// Reads a request.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) and its like for one that cannot be understood, naming the place.
    fn read(&self, body: Bytes) -> Result<Inbound>;

    /// The body of an error answer with this status.
    fn failure(&self, status: u16, error: &Error) -> Bytes;

    /// The same for the request with this id, where the protocol has a place for it.
    fn failure_of(&self, status: u16, error: &Error, _id: Option<&str>) -> Bytes {
        self.failure(status, error)
    }
}
