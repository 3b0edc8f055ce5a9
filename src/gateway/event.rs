//! What is told of each request once it is over: to metrics, traces, logs and the page.

use std::time::{Duration, SystemTime};

use super::deciding::Decided;
use crate::engine::plan::Account;
use crate::error::Error;
use crate::policy::Caller;

/// A request from its first byte to the last of its answer. No prompt, no answer, no secret.
#[derive(Debug)]
pub struct Event<'a> {
    /// When it came.
    pub at: SystemTime,
    /// Our id of it, which the answer's `x-request-id` has as well.
    pub id: &'a str,
    /// `openai`, `anthropic`, `responses`.
    pub protocol: &'static str,
    /// The path's pattern.
    pub path: &'static str,
    /// Who asked.
    pub caller: &'a Caller,
    /// The decision, where it came to one.
    pub decided: Option<&'a Decided>,
    /// What the call came to, where there was one that ended well or was left.
    pub account: Option<&'a Account>,
    /// Why it failed.
    pub error: Option<&'a Error>,
    /// HTTP status of the answer.
    pub status: u16,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// The caller left before the end.
    pub cancelled: bool,
    /// Ours: all but the time in which a provider was waited for.
    pub overhead: Duration,
    /// All of it.
    pub total: Duration,
    /// The caller's `traceparent` header.
    pub traceparent: Option<&'a str>,
}

/// Somebody who is told. It is called on the path of the request: it counts and queues, and waits for nobody.
pub trait Observer: Send + Sync {
    /// A request is over.
    fn seen(&self, event: &Event<'_>);
}
