//! The dialect of `OpenAI` and everything compatible: chat completions, their streams, embeddings.
//!
//! Pure functions. A request is the caller's bytes, changed where the endpoint takes it otherwise
//! ([`super::adapt`]); an answer is looked at ([`glance`]) and handed on unchanged, or mended ([`mend`]) where it is not
//! quite in `OpenAI`'s shape.

mod answer;
mod embeddings;
mod failures;
mod glance;
mod headers;
mod mend;
mod stream;
mod usage;

use super::adapt::{self, Adapted};
use super::capabilities;
use super::request::{ChatRequest, Prepared, Reading};
use super::types::{Endpoint, Outgoing, ReadStream};
use crate::error::Result;

pub use self::answer::read_answer;
pub(super) use self::answer::usage_of;
pub(super) use self::embeddings::EMBEDDINGS;
pub use self::embeddings::{embeddings, read_embeddings};
pub(crate) use self::glance::Text;
pub use self::stream::Reader;

pub(super) const CHAT: &str = "chat/completions";

/// The request for one chat completion: the caller's own bytes, but for the model and what the endpoint takes otherwise.
pub fn chat(endpoint: &Endpoint, request: &ChatRequest, stream: bool) -> Result<Prepared> {
    let Adapted { body, reading, dropped, times } =
        adapt::adapt(endpoint, &capabilities::of(endpoint), request.bytes(), stream)?;
    let headers = headers::headers(endpoint, if stream { "text/event-stream" } else { "application/json" })?;
    Ok(Prepared { outgoing: Outgoing { url: endpoint.url(CHAT), headers, body }, reading, dropped, times })
}

/// A reader for one stream.
pub fn reader(reading: &Reading) -> Box<dyn ReadStream> {
    Box::new(Reader::new(reading))
}

#[cfg(test)]
mod tests;
