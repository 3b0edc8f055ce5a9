//! Azure `OpenAI`: the dialect of [`super::openai`] at deployments' addresses, with the header `api-key`.

use super::request::{ChatRequest, Prepared};
use super::types::{Endpoint, Outgoing};
use crate::error::{Error, Kind, Result};

fn not_yet() -> Error {
    Error::new(Kind::Unsupported, "Azure's addresses are not known to this version")
}

pub(super) fn chat_path(endpoint: &Endpoint) -> String {
    format!("openai/deployments/{}/chat/completions", endpoint.model)
}

pub(super) fn embeddings_path(endpoint: &Endpoint) -> String {
    format!("openai/deployments/{}/embeddings", endpoint.model)
}

/// The request for one chat completion.
pub fn chat(_endpoint: &Endpoint, _request: &ChatRequest, _stream: bool) -> Result<Prepared> {
    Err(not_yet())
}

/// The request for the embeddings of `texts`.
pub fn embeddings(
    _endpoint: &Endpoint,
    _texts: &[&str],
    _dimensions: Option<usize>,
    _base64: bool,
) -> Result<Outgoing> {
    Err(not_yet())
}
