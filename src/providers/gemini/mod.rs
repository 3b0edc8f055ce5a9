//! The dialect of `Google`'s `generateContent`, spoken from and to `OpenAI`'s shape.

use super::request::{ChatRequest, Prepared, Reading};
use super::types::{Answer, Completion, Embedded, Endpoint, Outgoing, ReadStream};
use crate::error::{Error, Kind, Result};

fn not_yet() -> Error {
    Error::new(Kind::Unsupported, "Gemini's generateContent is not spoken by this version")
}

pub(super) fn chat_path(endpoint: &Endpoint, stream: bool) -> String {
    let method = if stream { "streamGenerateContent" } else { "generateContent" };
    format!("v1beta/models/{}:{method}", endpoint.model)
}

pub(super) fn embeddings_path(endpoint: &Endpoint) -> String {
    format!("v1beta/models/{}:batchEmbedContents", endpoint.model)
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

/// The request for the embeddings of `texts`.
pub fn embeddings(_endpoint: &Endpoint, _texts: &[&str], _dimensions: Option<usize>) -> Result<Outgoing> {
    Err(not_yet())
}

/// The vectors of an embeddings answer.
pub fn read_embeddings(_endpoint: &Endpoint, _answer: &Answer, _count: usize) -> Result<Embedded> {
    Err(not_yet())
}
