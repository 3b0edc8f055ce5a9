//! The dialect of `Anthropic`'s Messages, spoken from and to `OpenAI`'s shape.
//!
//! [`models`] knows what each Claude takes; `request`, with `messages`, `tools`, `schema`, `thoughts` and `order`, makes what is
//! sent; `answer` and `stream` read what comes back.

mod answer;
mod errors;
mod messages;
pub mod models;
mod order;
mod request;
mod schema;
mod stream;
mod thoughts;
mod tools;

use super::request::{ChatRequest, Prepared, Reading};
use super::types::Terse;
use super::types::{Answer, Completion, Endpoint, ReadStream};
use crate::error::{Error, Kind, Result};
use crate::pricing::Table;
use models::{Off, Rules};

/// Whose proofs of thinking these are.
const FAMILY: &str = "anthropic";

/// `Anthropic` has no embeddings.
pub fn no_embeddings() -> Error {
    Error::new(Kind::Unsupported, "Anthropic has no embeddings: give the embedder a model of another provider")
}

pub(super) fn chat_path(endpoint: &Endpoint) -> String {
    let versioned = endpoint.base.path().trim_end_matches('/').ends_with("/v1");
    if versioned { "messages" } else { "v1/messages" }.to_owned()
}

/// The longest answer of a model, where it is known.
fn longest_answer(endpoint: &Endpoint) -> Option<u64> {
    let names = [endpoint.base_model.as_deref(), Some(&endpoint.name), Some(&endpoint.model)];
    let known = names.into_iter().flatten().find_map(|name| Table::shared().facts(name)?.max_output);
    known.or_else(|| names.into_iter().flatten().find_map(models::longest_of_old))
}

/// How the model is brought to answer in a word.
pub(super) fn terse(endpoint: &Endpoint) -> Terse {
    let rules = Rules::of(endpoint);
    let effort = match rules.off {
        Off::Never => Some("low"),
        Off::Disabled if rules.thinks_unasked => Some("none"),
        Off::Disabled | Off::Unasked => None,
    };
    Terse { effort, thinks: rules.off == Off::Never, cold: rules.sampling, schema: rules.schema }
}

/// The request for one chat completion.
///
/// # Errors
/// [`Kind::Value`] for a request that is not in `OpenAI`'s shape, with the place; [`Kind::Unsupported`] for what no
/// Claude takes, such as audio.
pub fn chat(endpoint: &Endpoint, request: &ChatRequest, stream: bool) -> Result<Prepared> {
    request::chat(endpoint, request, stream)
}

/// A complete answer in `OpenAI`'s shape.
///
/// # Errors
/// [`Kind::Protocol`] for what is no message, [`Kind::Status`] for an error told under status 200.
pub fn read_answer(endpoint: &Endpoint, reading: &Reading, answer: Answer) -> Result<Completion> {
    answer::read(endpoint, reading, answer)
}

/// A reader for one stream.
pub fn reader(reading: &Reading) -> Box<dyn ReadStream> {
    Box::new(stream::Reader::new(reading))
}

#[cfg(test)]
mod tests;
