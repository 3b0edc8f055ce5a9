//! What travels between the engine and a dialect.

use std::fmt;
use std::ops::ControlFlow;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::HeaderMap;
use secrecy::SecretString;

use super::Dialect;
use super::table::{PROVIDERS, Provider};
pub use crate::error::Answer;
use crate::error::Result;
pub use crate::pricing::Usage;

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
    /// The name the caller used (`azure/my-deployment`): in the ledger, and what prices are looked up by.
    pub name: String,
    /// The model behind a name that says nothing (an Azure deployment): goes before the name for prices and abilities.
    pub base_model: Option<String>,
    /// The provider's protocol version, where the caller chose one.
    pub api_version: Option<String>,
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

    /// Whether it is asked at its provider's own host.
    pub fn at_home(&self) -> bool {
        let of = |provider: &&Provider| provider.names.contains(&self.provider);
        let home = PROVIDERS.iter().find(of).and_then(|provider| provider.base);
        self.base.host_str().is_some_and(|host| home.is_some_and(|home| home.contains(host)))
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

/// What to ask of one model, in `OpenAI`'s words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terse {
    /// `reasoning_effort`.
    pub effort: Option<&'static str>,
    /// It thinks all the same, or may, and needs room for that.
    pub thinks: bool,
    /// It takes `temperature` 0.
    pub cold: bool,
    /// It is held to a JSON schema.
    pub schema: bool,
}

/// One chunk of a stream, in `OpenAI`'s shape.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Its JSON.
    pub data: Bytes,
    /// Whether it carries anything of the answer (text, reasoning, a tool call): from then on nothing is repeated.
    pub content: bool,
    /// Whether it says why a choice ended.
    pub ends: bool,
    /// Made for our own account: the caller did not ask for it and does not get it.
    pub hidden: bool,
}

/// A complete answer, in `OpenAI`'s shape.
#[derive(Debug)]
pub struct Completion {
    /// Status and headers as received; the body is the provider's own bytes where they already have that shape.
    pub answer: Answer,
    /// Tokens, where the provider tells them.
    pub usage: Option<Usage>,
    /// The provider's id of it, where it tells one: what [`answer`](Self::answer) has under `id`.
    pub id: Option<Box<str>>,
}

/// Makes chunks in `OpenAI`'s shape of the events of one stream, and knows where it stands.
pub trait ReadStream: Send {
    /// Reads the data of one event and adds its chunks to `out`; breaks at the end mark.
    ///
    /// # Errors
    /// [`Kind::Protocol`](crate::Kind::Protocol) for an event that is none, [`Kind::Status`](crate::Kind::Status) for
    /// an error that comes after status 200.
    fn read(&mut self, endpoint: &Endpoint, data: Bytes, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>>;

    /// Called once when the response has ended without an end mark but is complete: chunks still owed to the caller.
    fn finish(&mut self, _endpoint: &Endpoint, _out: &mut Vec<Chunk>) {}

    /// Whether nothing is missing should the stream end here, without an end mark.
    fn is_complete(&self) -> bool;

    /// The last usage told.
    fn usage(&self) -> Option<Usage>;

    /// The provider's id of the answer, where it has told one: what the chunks have under `id`.
    fn id(&self) -> Option<&str>;

    /// The text of the first choice so far.
    fn text(&self) -> &str;

    /// Characters of everything made so far (text, reasoning, arguments, all choices), to estimate tokens from.
    fn made_chars(&self) -> usize;
}

/// Embeddings of several texts, and what they cost.
#[derive(Debug)]
pub struct Embedded {
    /// One vector for each text, in their order, all of one length.
    pub rows: Vec<Vec<f32>>,
    /// Tokens, where the provider tells them.
    pub prompt_tokens: Option<u64>,
}
