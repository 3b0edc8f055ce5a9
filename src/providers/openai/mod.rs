//! The dialect of `OpenAI` and everything compatible: chat completions, their streams, embeddings.
//!
//! Pure functions. A request is the caller's bytes, changed where the endpoint takes it otherwise
//! ([`super::adapt`]); an answer is looked at ([`glance`]) and handed on unchanged, or mended ([`mend`]) where it is not
//! quite in `OpenAI`'s shape.

mod embeddings;
mod failures;
mod glance;
mod mend;
mod stream;
mod usage;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;

use self::glance::Glance;
use super::adapt::{self, Adapted};
use super::prefix::{bearer, secret_value};
use super::request::{ChatRequest, Prepared, Reading};
use super::types::{Answer, Completion, Endpoint, Outgoing, ReadStream, Usage};
use super::{Dialect, capabilities};
use crate::error::{Error, Kind, Result};

pub use self::embeddings::{embeddings, read_embeddings};
pub use self::stream::Reader;

pub(super) const CHAT: &str = "chat/completions";
pub(super) const EMBEDDINGS: &str = "embeddings";

/// The request for one chat completion: the caller's own bytes, but for the model and what the endpoint takes otherwise.
pub fn chat(endpoint: &Endpoint, request: &ChatRequest, stream: bool) -> Result<Prepared> {
    let Adapted { body, reading, dropped, times } =
        adapt::adapt(endpoint, &capabilities::of(endpoint), request.bytes(), stream)?;
    let headers = headers(endpoint, if stream { "text/event-stream" } else { "application/json" })?;
    Ok(Prepared { outgoing: Outgoing { url: endpoint.url(CHAT), headers, body }, reading, dropped, times })
}

fn headers(endpoint: &Endpoint, accept: &'static str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(4 + endpoint.headers.len());
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match &endpoint.key {
        Some(key) if endpoint.dialect == Dialect::Azure => {
            headers.insert("api-key", secret_value(key.expose_secret())?);
        }
        Some(key) => {
            headers.insert(AUTHORIZATION, bearer(key)?);
        }
        None => {}
    }
    headers.extend(endpoint.headers.clone());
    Ok(headers)
}

/// A complete answer and its usage.
///
/// # Errors
/// [`Kind::Protocol`] when it is not JSON; [`Kind::Status`] when status 200 carries an error instead of choices.
pub fn read_answer(endpoint: &Endpoint, reading: &Reading, mut answer: Answer) -> Result<Completion> {
    let (usage, odd, counts) = {
        let glance = looked_at(endpoint, &answer)?;
        let provider = endpoint.provider;
        (glance.usage(provider), glance.is_odd(reading), glance.odd_usage(provider))
    };
    if (odd || counts.is_some())
        && let Some(mended) = mend::answer(&answer.body, reading, counts)
    {
        answer.body = mended;
        // It says how long the body was.
        answer.headers.retain(|(name, _)| name != "content-length");
    }
    Ok(Completion { answer, usage })
}

/// The usage of an answer.
fn usage_of(endpoint: &Endpoint, answer: &Answer) -> Result<Option<Usage>> {
    Ok(looked_at(endpoint, answer)?.usage(endpoint.provider))
}

fn looked_at<'a>(endpoint: &Endpoint, answer: &'a Answer) -> Result<Glance<'a>> {
    let glance = Glance::at(&answer.body).ok_or_else(|| {
        let what = format!(
            "{} answered with something that is not a JSON object ({} bytes)",
            endpoint.host(),
            answer.body.len()
        );
        Error::new(Kind::Protocol, what)
    })?;
    match glance.failure() {
        Some(error) => Err(failures::told(endpoint, &error, &answer.headers, &answer.body)),
        None => Ok(glance),
    }
}

/// A reader for one stream.
pub fn reader(reading: &Reading) -> Box<dyn ReadStream> {
    Box::new(Reader::new(reading))
}

#[cfg(test)]
mod tests;
