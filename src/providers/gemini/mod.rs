//! The dialect of `Google`'s `generateContent`, spoken from and to `OpenAI`'s shape.
//!
//! - [`request`]: parameters and schemas; [`tools`]; [`contents`]: the conversation.
//! - [`answer`] and [`stream`]: what came back, read by [`said`].
//! - [`model`]: what differs between models. [`signed`] and [`runs`]: signatures of thoughts, from one turn to the
//!   next.

mod answer;
mod contents;
mod embeddings;
mod errors;
mod fields;
mod model;
mod request;
mod runs;
mod said;
mod signed;
mod stream;
mod tools;

use reqwest::Url;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;

use super::prefix::secret_value;
use super::types::Endpoint;
use super::types::Terse;
use crate::error::Result;

use model::{Model, Thinking};

pub use answer::read_answer;
pub use embeddings::{MOST_TEXTS, embeddings, read_embeddings};
pub use request::chat;
pub use stream::reader;

/// `Google`'s own server.
const HOST: &str = "generativelanguage.googleapis.com";

/// How the model is brought to answer in a word.
pub(super) fn terse(endpoint: &Endpoint) -> Terse {
    let model = Model::of(&endpoint.model);
    let effort = match model.thinking {
        Thinking::Fixed => None,
        Thinking::Budget { .. } => Some("none"),
        Thinking::Levels => Some("minimal"),
    };
    Terse {
        effort,
        thinks: matches!(model.thinking, Thinking::Budget { least: 1.. } | Thinking::Levels),
        // Later ones are meant to be asked at their own temperature, and may go round in circles below it.
        cold: !model.third,
        schema: !named(endpoint).1.starts_with("gemma"),
    }
}

pub(super) fn chat_path(endpoint: &Endpoint, stream: bool) -> String {
    path(endpoint, if stream { "streamGenerateContent" } else { "generateContent" })
}

pub(super) fn embeddings_path(endpoint: &Endpoint) -> String {
    path(endpoint, "batchEmbedContents")
}

/// Collection and name of the model: a tuned one is in a collection of its own.
fn named(endpoint: &Endpoint) -> (&str, &str) {
    let id = endpoint.model.as_str();
    id.split_once('/')
        .filter(|(collection, _)| matches!(*collection, "models" | "tunedModels"))
        .unwrap_or(("models", id))
}

/// `models/NAME`, as it stands in a body.
fn resource(endpoint: &Endpoint) -> String {
    let (collection, name) = named(endpoint);
    format!("{collection}/{name}")
}

/// `name` as one segment of a path, whatever is in it: a name must not lead to another path or method.
fn segment(name: &str) -> String {
    let escaped = name.bytes().map(|byte| {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@');
        if plain { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    });
    escaped.collect()
}

/// Where `method` of the model is, below the base URL, which may name the protocol's version already.
fn path(endpoint: &Endpoint, method: &str) -> String {
    let last = endpoint.base.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let versioned = last.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let version = endpoint.api_version.as_deref().filter(|version| !version.is_empty()).unwrap_or("v1beta");
    let (collection, name) = named(endpoint);
    let called = format!("{collection}/{}:{method}", segment(name));
    if versioned { called } else { format!("{version}/{called}") }
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
        headers.insert("x-goog-api-key", secret_value(key.expose_secret())?);
    }
    for (name, value) in &endpoint.headers {
        headers.insert(name, value.clone());
    }
    Ok(headers)
}

#[cfg(test)]
mod request_tests;
#[cfg(test)]
mod tests;
