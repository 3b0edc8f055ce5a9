//! One chat completion: make the request, send it, try again where that can help, look at the answer.
//!
//! What an answer cost will be settled here, where usage and endpoint are both known; a chain of fallbacks will be a
//! list of endpoints in place of one.

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::providers::http::Opened;
use crate::providers::retry::{DEFAULT_RETRIES, with_retries};
use crate::providers::{Answer, ChatRequest, Completion, Endpoint, Http, Usage};

use super::stream::Stream;

/// How long an answer may take when the caller says nothing, as in the `openai` client.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// How a call behaves.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// For one attempt: until the whole answer is there; for a stream, until it begins and for each silence
    /// of its connection. `None` waits forever.
    pub timeout: Option<Duration>,
    /// How often a failed attempt is repeated.
    pub retries: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Some(DEFAULT_TIMEOUT), retries: DEFAULT_RETRIES }
    }
}

/// A completion.
#[derive(Debug)]
pub struct Answered {
    /// Status, headers and body, unchanged.
    pub answer: Answer,
    /// Tokens, where the provider tells them.
    pub usage: Option<Usage>,
    /// How many requests were sent for it.
    pub attempts: u32,
}

/// One completion; `body` is the caller's JSON object in `OpenAI`'s shape.
pub async fn chat(http: &Http, endpoint: &Endpoint, body: &[u8], options: Options) -> Result<Answered> {
    let prepared = endpoint.dialect.chat(endpoint, &ChatRequest::new(body.to_vec()), false)?;
    let send = || async {
        let answer = http.send(endpoint, &prepared.outgoing, options.timeout).await?;
        endpoint.dialect.read_answer(endpoint, &prepared.reading, answer)
    };
    let (Completion { answer, usage }, attempts) = with_retries(options.retries, send).await?;
    Ok(Answered { answer, usage, attempts })
}

/// One completion as a stream of chunks; must run inside a tokio runtime, which then reads it.
pub async fn stream(http: &Http, endpoint: &Endpoint, body: &[u8], options: Options) -> Result<Stream> {
    let prepared = endpoint.dialect.chat(endpoint, &ChatRequest::new(body.to_vec()), true)?;
    let open = || async {
        match http.open(endpoint, &prepared.outgoing, options.timeout).await? {
            Opened::Stream(response) => Ok(response),
            Opened::Whole(answer) => {
                endpoint.dialect.read_answer(endpoint, &prepared.reading, answer)?;
                Err(Error::new(
                    Kind::Protocol,
                    format!("{} answered with one JSON document where a stream was asked for", endpoint.host()),
                ))
            }
        }
    };
    let (response, attempts) = with_retries(options.retries, open).await?;
    Ok(Stream::start(endpoint.clone(), prepared.reading, response, options.timeout, attempts))
}

/// A time limit in seconds as callers give it; infinity is none.
///
/// # Errors
/// [`Kind::Value`] unless it is above zero.
pub fn time_limit(seconds: f64) -> Result<Option<Duration>> {
    if seconds == f64::INFINITY {
        return Ok(None);
    }
    let positive = seconds > 0.0;
    match Duration::try_from_secs_f64(seconds) {
        Ok(limit) if positive => Ok(Some(limit)),
        _ => Err(Error::value(format!("`timeout` must be a number of seconds above 0, found {seconds}"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn time_limits() {
        for wrong in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY, 1e300] {
            assert_eq!(time_limit(wrong).unwrap_err().kind(), Kind::Value, "{wrong}");
        }
        assert_eq!(time_limit(f64::INFINITY).unwrap(), None);
        assert_eq!(time_limit(0.5).unwrap(), Some(Duration::from_millis(500)));
    }
}
