//! Azure `OpenAI`: the dialect of [`super::openai`] at deployments' addresses, with the header `api-key`.

use super::openai;
use super::request::{ChatRequest, Prepared};
use super::types::{Endpoint, Outgoing};
use crate::error::Result;

/// [`super::address`] has put the deployment into the base where it belongs there.
pub(super) fn chat_path(_endpoint: &Endpoint) -> String {
    openai::CHAT.to_owned()
}

pub(super) fn embeddings_path(_endpoint: &Endpoint) -> String {
    openai::EMBEDDINGS.to_owned()
}

/// The request for one chat completion.
pub fn chat(endpoint: &Endpoint, request: &ChatRequest, stream: bool) -> Result<Prepared> {
    openai::chat(endpoint, request, stream)
}

/// The request for the embeddings of `texts`.
pub fn embeddings(endpoint: &Endpoint, texts: &[&str], dimensions: Option<usize>, base64: bool) -> Result<Outgoing> {
    openai::embeddings(endpoint, texts, dimensions, base64)
}
