//! What travels between the engine and a dialect.

use std::fmt;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::HeaderMap;
use secrecy::SecretString;

use super::Dialect;
pub use crate::error::Answer;

/// Where a request goes and who pays: one model at one provider.
///
/// `Debug` shows everything but the key, the extra headers and the query.
#[derive(Clone)]
pub struct Endpoint {
    /// Provider name as in the table, e.g. `openai`, also for a name without a known prefix at an `api_base`.
    pub provider: &'static str,
    /// The protocol spoken there.
    pub dialect: Dialect,
    /// Base URL, without a trailing slash; may carry a query that every request keeps.
    pub base: Url,
    /// The key, where the endpoint needs one.
    pub key: Option<SecretString>,
    /// Model id as it is sent.
    pub model: String,
    /// Headers added to every request (organization, the caller's own); they win over the dialect's.
    pub headers: HeaderMap,
}

impl Endpoint {
    /// `{base}/{path}`, keeping the base's query.
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        let joined = format!("{}/{path}", url.path().trim_end_matches('/'));
        url.set_path(&joined);
        url
    }

    /// The base URL without its query, fit to be shown.
    pub fn shown_base(&self) -> String {
        let mut url = self.base.clone();
        url.set_query(None);
        url.to_string()
    }

    /// `{base}/{path}` without the query, fit to be shown.
    pub fn shown_url(&self, path: &str) -> String {
        let mut url = self.url(path);
        url.set_query(None);
        url.to_string()
    }

    /// `host:port` for messages.
    pub fn host(&self) -> String {
        let host = self.base.host_str().unwrap_or("?");
        self.base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("provider", &self.provider)
            .field("model", &self.model)
            .field("base", &self.shown_base())
            .field("key", &if self.key.is_some() { "set" } else { "none" })
            .finish_non_exhaustive()
    }
}

/// A request as it goes out. Cloning is cheap: a retry sends the same bytes.
#[derive(Clone)]
pub struct Outgoing {
    /// Full URL.
    pub url: Url,
    /// All headers; the key is marked sensitive.
    pub headers: HeaderMap,
    /// JSON.
    pub body: Bytes,
}

/// One chunk of a stream, in `OpenAI`'s shape.
#[derive(Debug)]
pub struct Chunk {
    /// Its JSON.
    pub data: Bytes,
    /// The usage, in the one chunk that has it.
    pub usage: Option<Usage>,
}

/// Tokens of one answer, in `OpenAI`'s counting: cached tokens are a part of the prompt's, reasoning a part of the
/// completion's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The whole prompt.
    pub prompt_tokens: u64,
    /// The whole completion, hidden reasoning included.
    pub completion_tokens: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached_tokens: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Completion tokens spent on hidden reasoning.
    pub reasoning_tokens: u64,
}
