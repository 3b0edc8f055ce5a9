//! The dialect of `Anthropic`'s Messages, spoken from and to `OpenAI`'s shape.

use super::request::{ChatRequest, Prepared, Reading};
use super::types::{Answer, Completion, Endpoint, ReadStream};
use crate::error::{Error, Kind, Result};

fn not_yet() -> Error {
    Error::new(Kind::Unsupported, "Anthropic's Messages are not spoken by this version")
}

/// `Anthropic` has no embeddings.
pub fn no_embeddings() -> Error {
    Error::new(Kind::Unsupported, "Anthropic has no embeddings: give the embedder a model of another provider")
}

pub(super) fn chat_path(_endpoint: &Endpoint) -> String {
    "v1/messages".to_owned()
}

/// The request for one chat completion.
pub fn chat(_endpoint: &Endpoint, _request: &ChatRequest, _stream: bool) -> Result<Prepared> {
    Err(not_yet())
}

/// A complete answer in `OpenAI`'s shape.
pub fn read_answer(_endpoint: &Endpoint, _reading: &Reading, _answer: Answer) -> Result<Completion> {
    Err(not_yet())
}

/// A reader for one stream.
pub fn reader(reading: &Reading) -> Box<dyn ReadStream> {
    super::openai::reader(reading)
}
