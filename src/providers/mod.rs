//! Talking to providers: who they are, what they are sent, what came back.
//!
//! - [`prefix`] and [`table`]: from a model string (`openai/gpt-5`, `groq/...`) to an [`Endpoint`].
//! - one file for each dialect ([`openai`]): pure functions from a request to [`types::Outgoing`] and from bytes to
//!   what they say. A new dialect is a file here and an arm in [`Dialect`]; nothing else knows them apart.
//! - [`http`], [`sse`], [`retry`], [`secrets`]: the wire. Only [`http`] opens sockets.

pub mod body;
pub mod http;
pub mod openai;
pub mod prefix;
pub mod process;
pub mod retry;
pub mod secrets;
pub mod sse;
pub mod table;
pub mod types;

use std::ops::ControlFlow;

use bytes::Bytes;

pub use http::Http;
pub use prefix::{Asked, resolve};
pub use types::{Answer, Chunk, Endpoint, Outgoing, Usage};

use crate::error::Result;

/// The protocol an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dialect {
    /// `OpenAI`'s Chat Completions and Embeddings, and everything compatible with them.
    OpenAi,
}

impl Dialect {
    /// Where completions are asked for, below the base URL.
    pub fn chat_path(self) -> &'static str {
        match self {
            Self::OpenAi => openai::CHAT,
        }
    }

    /// Where embeddings are asked for, below the base URL.
    pub fn embeddings_path(self) -> &'static str {
        match self {
            Self::OpenAi => openai::EMBEDDINGS,
        }
    }

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

    /// A reader for one stream.
    pub fn reader(self) -> StreamReader {
        match self {
            Self::OpenAi => StreamReader::OpenAi(openai::Reader::default()),
        }
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
        }
    }

    /// The `count` vectors of an embeddings answer, in the order of the request.
    pub fn read_embeddings(self, endpoint: &Endpoint, answer: &Answer, count: usize) -> Result<Vec<Vec<f32>>> {
        match self {
            Self::OpenAi => openai::read_embeddings(endpoint, answer, count),
        }
    }
}

/// Makes chunks in `OpenAI`'s shape of the events of one stream, and knows where it stands.
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamReader {
    /// Of [`Dialect::OpenAi`].
    OpenAi(openai::Reader),
}

impl StreamReader {
    /// Reads the data of one event and adds its chunks to `out`; breaks at the end mark.
    pub fn read(&mut self, endpoint: &Endpoint, data: Bytes, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        match self {
            Self::OpenAi(reader) => reader.read(endpoint, data, out),
        }
    }

    /// Whether nothing is missing should the stream end here, without an end mark.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::OpenAi(reader) => reader.is_complete(),
        }
    }
}
