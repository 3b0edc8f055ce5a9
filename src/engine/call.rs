//! One chat completion: whom to ask, how often, and what it came to.
//!
//! ```text
//! chat, stream -> rungs (escalate) -> endpoints (walk) -> n side by side (many) -> tries at one endpoint
//!              -> one request, or two (hedge)
//! ```
//!
//! [`Ask`] is what differs between a whole answer and a stream: the innermost step. Everything around it is the same,
//! and everything that is sent is counted by the call's [`Tally`], from which its account is made (`settle`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Again, Error, Kind, Result, Spent};
use crate::math::waiting;
use crate::providers::retry::DEFAULT_RETRIES;
use crate::providers::{Answer, ChatRequest, Completion, Http, Usage};

use super::ask::{Ask, Place};
use super::ending::Ending;
use super::escalate::walk;
use super::plan::{Account, Plan};
use super::settle::Entry;
use super::signs::Verdict;
use super::stream::{Opening, Stream};
use super::{estimate, many, signs};

/// How long an answer may take when the caller says nothing, as in the `openai` client.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(10);

/// Time limit and retries of a request that is not a completion.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// For one attempt, until the whole answer is there. `None` waits forever.
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
    /// Status and headers as received; the body in `OpenAI`'s shape.
    pub answer: Answer,
    /// What it came to.
    pub account: Account,
}

/// One completion; the request is the caller's JSON object in `OpenAI`'s shape.
///
/// # Errors
/// [`Kind::Value`] and [`Kind::Unsupported`] for a request that cannot be made of it; else the last failure, with the
/// address that was called ([`Error::url`]).
///
/// The call begins here, not when the future is first polled: one that is dropped before that is entered as well.
pub fn chat(http: &Http, plan: Plan, request: Arc<ChatRequest>) -> impl Future<Output = Result<Answered>> + Send {
    whole(http, Entry::begin(plan, request))
}

async fn whole(http: &Http, mut entry: Entry) -> Result<Answered> {
    match walk(&entry, &Whole { http }).await {
        Ok((endpoint, done)) => {
            let account = entry.answered(&Ending { endpoint, ..Whole::ending(&done) });
            Ok(Answered { answer: done.answer, account })
        }
        Err(error) => Err(spent(entry, error)),
    }
}

/// One completion as a stream of chunks; must run inside a tokio runtime, which then reads it.
///
/// It is handed over with its first content, or a second after its first event: what fails before that is tried again.
pub fn stream(http: &Http, plan: Plan, request: Arc<ChatRequest>) -> impl Future<Output = Result<Stream>> + Send {
    begun(http, Entry::begin(plan, request))
}

async fn begun(http: &Http, entry: Entry) -> Result<Stream> {
    match walk(&entry, &Opening { http }).await {
        Ok((endpoint, begun)) => Ok(Stream::start(begun, endpoint, entry)),
        Err(error) => Err(spent(entry, error)),
    }
}

/// Settles the account of a call that got no answer, and tells it with the error.
fn spent(mut entry: Entry, error: Error) -> Error {
    let account = match error.kind() {
        Kind::Cancelled => entry.left(),
        _ => entry.failed(&error, &Ending::default()),
    };
    let Account { attempts, cost, router_cost, saved, notes, .. } = account;
    error.with_spent(Spent { attempts, cost, router_cost, saved, notes })
}

struct Whole<'a> {
    http: &'a Http,
}

/// A whole answer and the tokens of each request it is made of.
struct Done {
    answer: Answer,
    usages: Vec<Usage>,
    id: Option<Box<str>>,
    requests: u32,
    here: Instant,
    verdict: Verdict,
}

impl Ask for Whole<'_> {
    type Done = Done;
    const STREAM: bool = false;

    async fn ask(&self, place: &Place<'_>) -> Result<Done> {
        let (endpoint, prepared) = (place.endpoint(), place.prepared);
        let answer = self.http.send(endpoint, &prepared.outgoing, &place.limits()).await?;
        let read = endpoint.dialect.read_answer(endpoint, &prepared.reading, answer);
        let Completion { answer, usage, id } = read.map_err(|error| error.worth(Again::Once))?;
        let usages = usage.into_iter().collect();
        Ok(Done { answer, usages, id, requests: 1, here: Instant::now(), verdict: Verdict::default() })
    }

    fn usage(done: &Done) -> Option<Usage> {
        done.usages.first().copied()
    }

    fn merge(&self, _place: &Place<'_>, parts: Vec<Done>) -> Result<Done> {
        let known = parts.iter().all(|part| !part.usages.is_empty());
        let usages = if known { parts.iter().flat_map(|part| part.usages.clone()).collect() } else { Vec::new() };
        let requests = parts.len() as u32;
        let id = parts.first().and_then(|part| part.id.clone());
        let answers = parts.into_iter().map(|part| part.answer).collect();
        let answer = many::merged(answers)?;
        Ok(Done { answer, usages, id, requests, here: Instant::now(), verdict: Verdict::default() })
    }

    fn judge(&self, entry: &Entry, done: &mut Done) {
        done.verdict = signs::of_answer(entry.request(), &done.answer.body, entry.plan().looks());
    }

    fn ending(done: &Done) -> Ending {
        let made_chars = if done.usages.is_empty() { estimate::answer_chars(&done.answer.body) } else { 0 };
        Ending {
            requests: done.requests,
            usages: done.usages.clone(),
            complete: true,
            made_chars,
            first_content: Some(done.here),
            id: done.id.clone(),
            verdict: done.verdict,
            ..Ending::default()
        }
    }

    fn answer(done: &Done) -> Option<&Answer> {
        Some(&done.answer)
    }
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
    match waiting::seconds(seconds) {
        Some(limit) if positive => Ok(Some(limit)),
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
