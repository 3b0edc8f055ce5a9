//! Talking to providers: who they are, what they are sent, what came back.
//!
//! - [`prefix`] and [`table`]: from a model string (`openai/gpt-5`, `groq/...`) to an [`Endpoint`].
//! - one file for each dialect ([`openai`]): pure functions from a request to [`types::Outgoing`] and from bytes to
//!   what they say. A new dialect is a file here and an arm in [`Dialect`]; nothing else knows them apart.
//! - [`http`], [`sse`], [`retry`]: the wire. Only [`http`] opens sockets.

pub mod body;
pub mod http;
pub mod openai;
pub mod prefix;
pub mod process;
pub mod retry;
pub mod sse;
pub mod table;
pub mod types;

use bytes::Bytes;

pub use http::Http;
pub use prefix::{Asked, resolve};
pub use types::{Answer, Endpoint, Outgoing, Usage};

use crate::error::Result;

/// The protocol an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// `OpenAI`'s Chat Completions and Embeddings, and everything compatible with them.
    OpenAi,
}

impl Dialect {
    /// The request for one chat completion; `body` is the caller's JSON object in `OpenAI`'s shape.
    pub fn chat(self, endpoint: &Endpoint, body: &[u8], stream: bool) -> Result<Outgoing> {
        match self {
            Self::OpenAi => openai::chat(endpoint, body, stream),
        }
    }

    /// What a complete answer says about itself; an error object inside status 200 is an error here.
    pub fn read_answer(self, endpoint: &Endpoint, answer: &Answer) -> Result<Option<Usage>> {
        match self {
            Self::OpenAi => openai::read_answer(endpoint, answer),
        }
    }

    /// What one event of a stream means.
    pub fn read_event(self, endpoint: &Endpoint, data: Bytes) -> Result<openai::Event> {
        match self {
            Self::OpenAi => openai::read_event(endpoint, data),
        }
    }
}
