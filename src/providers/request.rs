//! The caller's request: its bytes, and what they spell, read only when somebody needs it.

use std::sync::OnceLock;

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::pricing::ServiceTier;

/// A chat completion as the caller asks for it: one JSON object in `OpenAI`'s shape.
#[derive(Debug)]
pub struct ChatRequest {
    bytes: Bytes,
    object: OnceLock<Map<String, Value>>,
}

impl ChatRequest {
    /// Of a body; it is not read yet.
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self { bytes: bytes.into(), object: OnceLock::new() }
    }

    /// The body as it came.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The body as an object, read once.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) when it is not one JSON object.
    pub fn object(&self) -> Result<&Map<String, Value>> {
        if let Some(object) = self.object.get() {
            return Ok(object);
        }
        let read = serde_json::from_slice(&self.bytes)
            .map_err(|e| Error::value(format!("the request body must be one JSON object: {e}")))?;
        Ok(self.object.get_or_init(|| read))
    }
}

/// A request made for one endpoint, what reading its answer needs to know, and what could not be passed on.
pub struct Prepared {
    /// What is sent.
    pub outgoing: super::Outgoing,
    /// For the reader of the answer.
    pub reading: Reading,
    /// Parameters the endpoint does not take, left out: reported, and an error under `strict`.
    pub dropped: Vec<Dropped>,
    /// How often it is sent, side by side, to get the `n` answers asked for from a model that gives one at a time.
    pub times: u32,
}

/// What the reader of an answer must know of the request.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// The caller asked for the usage chunk of a stream (`stream_options.include_usage`); otherwise it is kept from him.
    pub usage_asked: bool,
    /// The forced tool that stands for a JSON schema where the model knows none: its input is the content.
    pub schema_tool: Option<String>,
    /// The caller uses `functions` and `function_call`, the forms before `tools`.
    pub legacy_functions: bool,
    /// Functions whose name the provider does not take: the name sent, and the caller's.
    pub renamed: Vec<(String, String)>,
    /// The class of service asked for: the one that was used, unless the answer says otherwise (Gemini).
    pub tier: ServiceTier,
}

/// A parameter that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Its name in the caller's request, e.g. `logprobs`.
    pub parameter: String,
    /// Why, and what happens instead.
    pub why: String,
}
