//! One request from its first byte to its last, so that the observers hear of it whatever becomes of it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, HeaderValue};

use super::deciding::Decided;
use super::event::Event;
use super::ids::request_id;
use super::seeing::Open;
use super::state::Gateway;
use crate::engine::plan::Account;
use crate::error::Error;
use crate::policy::{Caller, Pass};

/// What is known of a request so far. It is told when this is dropped: a caller who leaves drops it with everything else.
pub(super) struct Told {
    gateway: Arc<Gateway>,
    at: SystemTime,
    start: Instant,
    /// How long a provider was waited for, or a caller who reads slowly.
    waited: Duration,
    over: bool,
    pub protocol: &'static str,
    path: &'static str,
    traceparent: Option<String>,
    _open: Option<Open>,
    /// Our id of it.
    pub id: String,
    pub caller: Caller,
    pub decided: Option<Decided>,
    pub account: Option<Account>,
    pub error: Option<Error>,
    pub status: u16,
    pub stream: bool,
    /// The places it holds under rates and limits, until it is over.
    pub pass: Pass,
    /// The limit that a budget has given the answer, in tokens.
    pub clamp: Option<u64>,
    /// What was not asked and why, for a caller whose call fails.
    pub left_out: Vec<String>,
}

impl Told {
    pub(super) fn begin(
        gateway: &Arc<Gateway>,
        protocol: &'static str,
        path: &'static str,
        headers: &HeaderMap,
    ) -> Self {
        let traceparent = headers.get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self {
            gateway: Arc::clone(gateway),
            at: SystemTime::now(),
            start: Instant::now(),
            waited: Duration::ZERO,
            over: false,
            protocol,
            path,
            traceparent,
            _open: gateway.seeing().and_then(|seeing| seeing.entered()),
            id: request_id(),
            caller: Caller::default(),
            decided: None,
            account: None,
            error: None,
            status: 499,
            stream: false,
            pass: Pass::default(),
            clamp: None,
            left_out: Vec::new(),
        }
    }

    /// The `traceparent` header for the provider.
    pub(super) fn onward(&self) -> Option<HeaderValue> {
        self.gateway.seeing()?.onward(&self.id, self.traceparent.as_deref())
    }

    /// Since `from` somebody else was waited for.
    pub(super) fn waited_since(&mut self, from: Instant) {
        self.waited += from.elapsed();
    }

    /// It ends here: what is dropped before this was left by its caller.
    pub(super) fn over(&mut self, status: u16) {
        self.status = status;
        self.over = true;
    }

    /// It has failed.
    pub(super) fn failed(&mut self, status: u16, error: &Error) {
        self.error = Some(error.clone());
        self.over(status);
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        match (&self.account, &self.error) {
            (Some(account), _) => {
                if let Some(usage) = &account.usage {
                    self.pass.spent(usage.prompt_tokens + usage.completion_tokens);
                }
            }
            // A provider that fails has used nothing that anybody knows of.
            (None, Some(_)) => self.pass.spent(0),
            (None, None) => {}
        }
        let observers = self.gateway.observers();
        if observers.is_empty() {
            return;
        }
        let panicked = !self.over && std::thread::panicking();
        let total = self.start.elapsed();
        let event = Event {
            at: self.at,
            id: &self.id,
            protocol: self.protocol,
            path: self.path,
            caller: &self.caller,
            decided: self.decided.as_ref(),
            account: self.account.as_ref(),
            error: self.error.as_ref(),
            status: if panicked { 500 } else { self.status },
            stream: self.stream,
            cancelled: !self.over && !panicked,
            overhead: total.saturating_sub(self.waited),
            total,
            traceparent: self.traceparent.as_deref(),
        };
        for observer in observers {
            observer.seen(&event);
        }
    }
}
