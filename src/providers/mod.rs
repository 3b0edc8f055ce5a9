//! Talking to providers: who they are, what they are sent, what came back.
//!
//! - [`prefix`] and [`table`]: from a model string (`openai/gpt-5.5`, `groq/...`) to an [`Endpoint`].
//! - one file for each dialect ([`openai`]): pure functions from a request to [`types::Outgoing`] and from bytes to
//!   what they say. A new dialect is a file here and an arm in [`Dialect`]; nothing else knows them apart.
//! - [`capabilities`], `adapt`, `messages`, [`needs`]: a request in `OpenAI`'s shape changed to what one model takes, or
//!   refused for what it lacks. What changes nothing is not parsed.
//! - [`terse`]: how a model is brought to answer in a word.
//! - [`http`], [`sse`], [`halves`], [`retry`], [`secrets`]: the wire. Only [`http`] opens sockets.

mod adapt;
mod address;
pub mod anthropic;
pub mod azure;
pub mod body;
pub mod capabilities;
pub mod conversation;
pub mod demand;
pub mod embeddings_asked;
pub mod failures;
mod family;
#[doc(hidden)]
pub mod fuzz;
pub mod gemini;
pub mod halves;
pub mod http;
pub mod ids;
mod marks;
mod messages;
pub mod needs;
pub(crate) mod numbers;
pub mod openai;
mod plain;
pub mod prefix;
mod refusal;
pub mod request;
pub mod response;
pub mod retry;
pub mod secrets;
pub mod signatures;
pub mod sse;
pub mod table;
pub mod terse;
#[cfg(test)]
mod testing;
pub mod types;

pub use crate::process;
pub use http::{Http, Limits};
pub(crate) use openai::Text;
pub use prefix::{Asked, resolve};
pub use request::{ChatRequest, Dropped, Prepared, Reading};
pub use types::{Answer, Chunk, Completion, Embedded, Endpoint, Outgoing, ReadStream, Usage};

use crate::error::Result;

/// The protocol an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// `OpenAI`'s Chat Completions and Embeddings, and everything compatible with them.
    OpenAi,
    /// The same, at Azure's addresses and with its header.
    Azure,
    /// `Anthropic`'s Messages.
    Anthropic,
    /// `Google`'s `generateContent`.
    Gemini,
}

impl Dialect {
    /// Where completions are asked for, below the base URL.
    pub fn chat_path(self, endpoint: &Endpoint, stream: bool) -> String {
        match self {
            Self::OpenAi => openai::CHAT.to_owned(),
            Self::Azure => azure::chat_path(endpoint),
            Self::Anthropic => anthropic::chat_path(endpoint),
            Self::Gemini => gemini::chat_path(endpoint, stream),
        }
    }

    /// Where embeddings are asked for, below the base URL.
    pub fn embeddings_path(self, endpoint: &Endpoint) -> String {
        match self {
            Self::OpenAi | Self::Anthropic => openai::EMBEDDINGS.to_owned(),
            Self::Azure => azure::embeddings_path(endpoint),
            Self::Gemini => gemini::embeddings_path(endpoint),
        }
    }

    /// The request for one chat completion.
    pub fn chat(self, endpoint: &Endpoint, request: &ChatRequest, stream: bool) -> Result<Prepared> {
        needs::check(endpoint, request)?;
        match self {
            Self::OpenAi => openai::chat(endpoint, request, stream),
            Self::Azure => azure::chat(endpoint, request, stream),
            Self::Anthropic => anthropic::chat(endpoint, request, stream),
            Self::Gemini => gemini::chat(endpoint, request, stream),
        }
    }

    /// A complete answer in `OpenAI`'s shape; an error object inside status 200 is an error here.
    pub fn read_answer(self, endpoint: &Endpoint, reading: &Reading, mut answer: Answer) -> Result<Completion> {
        if let Some(mended) = halves::mended(&answer.body) {
            answer.body = mended;
            // It says how long the body was.
            answer.headers.retain(|(name, _)| name != "content-length");
        }
        match self {
            Self::OpenAi | Self::Azure => openai::read_answer(endpoint, reading, answer),
            Self::Anthropic => anthropic::read_answer(endpoint, reading, answer),
            Self::Gemini => gemini::read_answer(endpoint, reading, answer),
        }
    }

    /// A reader for one stream.
    pub fn reader(self, reading: &Reading) -> Box<dyn ReadStream> {
        match self {
            Self::OpenAi | Self::Azure => openai::reader(reading),
            Self::Anthropic => anthropic::reader(reading),
            Self::Gemini => gemini::reader(reading),
        }
    }

    /// How many texts one request for embeddings may hold.
    pub fn most_embeddings(self) -> usize {
        if self == Self::Gemini { gemini::MOST_TEXTS } else { usize::MAX }
    }

    /// The request for the embeddings of `texts`; `base64` asks for that form.
    pub fn embeddings(
        self,
        endpoint: &Endpoint,
        texts: &[&str],
        dimensions: Option<usize>,
        base64: bool,
    ) -> Result<Outgoing> {
        match self {
            Self::OpenAi => openai::embeddings(endpoint, texts, dimensions, base64),
            Self::Azure => azure::embeddings(endpoint, texts, dimensions, base64),
            Self::Anthropic => Err(anthropic::no_embeddings()),
            Self::Gemini => gemini::embeddings(endpoint, texts, dimensions),
        }
    }

    /// The `count` vectors of an embeddings answer, in the order of the request.
    pub fn read_embeddings(self, endpoint: &Endpoint, answer: &Answer, count: usize) -> Result<Embedded> {
        match self {
            Self::OpenAi | Self::Azure => openai::read_embeddings(endpoint, answer, count),
            Self::Anthropic => Err(anthropic::no_embeddings()),
            Self::Gemini => gemini::read_embeddings(endpoint, answer, count),
        }
    }
}
