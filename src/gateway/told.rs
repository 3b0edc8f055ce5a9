//! One request from its first byte to its last, so that the observers hear of it whatever becomes of it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, HeaderValue};
use tokio::sync::watch;

use super::deciding::Decided;
use super::event::Event;
use super::ids::request_id;
use super::seeing::Open;
use super::state::Gateway;
use crate::engine::plan::Account;
use crate::error::{Denied, Error};
use crate::policy::{Caller, Pass};
use crate::providers::ChatRequest;
use crate::providers::demand::Demand;

/// The status of a request whose caller has left before there was one.
const LEFT: u16 = 499;

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
    /// What was sent to a provider.
    pub sent: Option<Arc<ChatRequest>>,
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
            status: LEFT,
            stream: false,
            pass: Pass::default(),
            clamp: None,
            sent: None,
            left_out: Vec::new(),
        }
    }

    /// The same, of a request that has begun at this time.
    pub(super) fn since(mut self, (at, start): (SystemTime, Instant)) -> Self {
        (self.at, self.start) = (at, start);
        self
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
        self.remember();
    }

    /// The caller may say something of the answer by our id of his request.
    fn remember(&self) {
        if let Some(response) = self.account.as_ref().and_then(|account| account.response.as_deref()) {
            self.gateway.shown().keep(&self.id, response);
        }
    }

    /// Tells when streams are to end.
    pub(super) fn when_cut(&self) -> watch::Receiver<bool> {
        self.gateway.when_cut()
    }

    /// Counts what it came to against limits of tokens.
    fn count_tokens(&mut self) {
        // What was given up or lost is answered all the same, and nobody says how long the answer was.
        let broke = self.error.as_ref().is_some_and(Error::is_lost);
        let untold = self.account.as_ref().is_none_or(|account| account.estimated);
        if let Some(sent) = self.sent.take().filter(|_| untold && (broke || !self.over)) {
            let demand = Demand::of(&sent).unwrap_or_default();
            self.pass.abandoned(demand.output, demand.answers);
            return;
        }
        match (&self.account, &self.error) {
            (Some(account), _) => {
                if let Some(usage) = &account.usage {
                    self.pass.spent(usage.prompt_tokens.saturating_add(usage.completion_tokens));
                }
            }
            // It may have been answered unheard: what was estimated stands.
            (None, Some(error)) if error.is_lost() => {}
            // A provider that fails has used nothing that anybody knows of.
            (None, Some(_)) => self.pass.spent(0),
            (None, None) => {}
        }
    }

    /// It has failed.
    pub(super) fn failed(&mut self, status: u16, error: &Error) {
        self.error = Some(error.clone());
        self.over(status);
    }
}

/// Why a request ended that had not ended when the server did.
fn stopped() -> Error {
    let denied = Denied { status: 503, code: "server_stopped", retry_after: None };
    Error::denied(denied, "the server was stopped before the request had ended")
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.over {
            self.remember();
        }
        self.count_tokens();
        let observers = self.gateway.observers();
        if observers.is_empty() {
            return;
        }
        let panicked = !self.over && std::thread::panicking();
        let cut = !self.over && !panicked && self.gateway.is_cut();
        if cut {
            // It is we who leave, not the caller.
            self.error = Some(stopped());
            if self.status == LEFT {
                self.status = 503;
            }
        }
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
            cancelled: !self.over && !panicked && !cut,
            overhead: total.saturating_sub(self.waited),
            total,
            traceparent: self.traceparent.as_deref(),
        };
        for observer in observers {
            observer.seen(&event);
        }
    }
}
