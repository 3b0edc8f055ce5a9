//! The dialect of `Google`'s `generateContent`, spoken from and to `OpenAI`'s shape.
//!
//! - [`request`]: parameters, schemas, tools; [`contents`]: the conversation.
//! - [`answer`] and [`stream`]: what came back, read by [`said`].
//! - [`model`]: what differs between models. [`signed`]: signatures of thoughts, from one turn to the next.

mod answer;
mod embeddings;
mod errors;
mod model;
mod said;
mod signed;
mod stream;

use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;

use super::request::{ChatRequest, Prepared};
use super::types::Endpoint;
use crate::error::{Error, Kind, Result};

pub use answer::read_answer;
pub use embeddings::{MOST_TEXTS, embeddings, read_embeddings};
pub use stream::reader;

/// The request for one chat completion.
pub fn chat(_endpoint: &Endpoint, _request: &ChatRequest, _stream: bool) -> Result<Prepared> {
    Err(Error::new(Kind::Unsupported, "Gemini's generateContent is not spoken by this version"))
}

pub(super) fn chat_path(endpoint: &Endpoint, stream: bool) -> String {
    path(endpoint, if stream { "streamGenerateContent" } else { "generateContent" })
}

pub(super) fn embeddings_path(endpoint: &Endpoint) -> String {
    path(endpoint, "batchEmbedContents")
}

/// `models/NAME`; a tuned model has another collection's name in front of its own.
fn resource(endpoint: &Endpoint) -> String {
    let id = endpoint.model.as_str();
    let named = ["models/", "tunedModels/"].iter().any(|collection| id.starts_with(collection));
    if named { id.to_owned() } else { format!("models/{id}") }
}

/// Where `method` of the model is, below the base URL, which may name the protocol's version already.
fn path(endpoint: &Endpoint, method: &str) -> String {
    let last = endpoint.base.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let versioned = last.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let version = endpoint.api_version.as_deref().filter(|version| !version.is_empty()).unwrap_or("v1beta");
    let resource = resource(endpoint);
    if versioned { format!("{resource}:{method}") } else { format!("{version}/{resource}:{method}") }
}

fn url(endpoint: &Endpoint, method: &str) -> Url {
    endpoint.url(&path(endpoint, method))
}

/// The key goes in a header: in the query it would reach every log.
fn headers(endpoint: &Endpoint, accept: &'static str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(4 + endpoint.headers.len());
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(key) = &endpoint.key {
        let mut value = HeaderValue::try_from(key.expose_secret())
            .map_err(|_| Error::value("the API key holds a line break or another character that cannot be sent"))?;
        value.set_sensitive(true);
        headers.insert("x-goog-api-key", value);
    }
    for (name, value) in &endpoint.headers {
        headers.insert(name, value.clone());
    }
    Ok(headers)
}

#[cfg(test)]
mod tests;
