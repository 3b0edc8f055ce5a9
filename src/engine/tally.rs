//! What is sent for one call, counted while it runs.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ending::Ending;
use crate::error::Error;
use crate::pricing::Usage;
use crate::providers::Dropped;
use crate::text::one_line::one_line;

/// The count of one call.
pub(super) struct Tally {
    start: Instant,
    attempts: AtomicU32,
    /// The endpoint asked last.
    asked: AtomicUsize,
    rest: Mutex<Rest>,
}

#[derive(Default)]
pub(super) struct Rest {
    /// Requests that may be on the bill although they gave no answer, or one that was thrown away.
    pub lost: Vec<Lost>,
    pub hedged: Vec<Hedged>,
    /// What was done beside the answer that is handed on, in its order.
    pub beside: Vec<Beside>,
    /// The answer there is, while its caller judges it.
    held: Option<Ending>,
    pub notes: Vec<String>,
    pub dropped: Vec<Dropped>,
    /// An answer was thrown away of which the provider has not said what it came to.
    pub untold: bool,
}

pub(super) struct Lost {
    pub endpoint: usize,
    /// Its tokens, where they are known.
    pub usage: Option<Usage>,
    /// Given up by us while it ran.
    pub dropped: bool,
}

/// The loser of a hedge.
pub(super) struct Hedged {
    pub endpoint: usize,
    pub took: Duration,
}

/// A rung that was asked and whose answer is not handed on.
pub(super) struct Beside {
    pub end: End,
    /// When it was asked.
    pub since: Instant,
    pub took: Duration,
    /// Requests sent to it.
    pub attempts: u32,
}

/// What came of it.
pub(super) enum End {
    /// An answer, after which the next rung was asked.
    Escalated(Ending),
    /// None.
    Vain { endpoint: usize, error: Error, lost: Vec<Lost> },
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            attempts: AtomicU32::new(0),
            asked: AtomicUsize::new(0),
            rest: Mutex::new(Rest::default()),
        }
    }

    /// When the call began.
    pub(super) fn start(&self) -> Instant {
        self.start
    }

    /// Counts a request that is sent now.
    pub(super) fn sent(&self, endpoint: usize) -> Sent<'_> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        self.asked.store(endpoint, Ordering::Relaxed);
        Sent { tally: self, endpoint, over: false }
    }

    /// A request that may be on the bill without having served for anything.
    pub(super) fn lost(&self, endpoint: usize, usage: Option<Usage>) {
        self.rest().lost.push(Lost { endpoint, usage, dropped: false });
    }

    /// An answer is thrown away of which the provider has not said what it came to.
    pub(super) fn untold(&self) {
        self.rest().untold = true;
    }

    /// The loser of a hedge, which is about to be dropped.
    pub(super) fn hedged(&self, endpoint: usize, took: Duration) {
        self.rest().hedged.push(Hedged { endpoint, took });
    }

    /// An answer that is not handed on, since the next rung is asked.
    pub(super) fn escalated(&self, ending: Ending, since: Instant) {
        let mut rest = self.rest();
        let attempts = self.since_last(&rest);
        rest.beside.push(Beside { end: End::Escalated(ending), since, took: since.elapsed(), attempts });
    }

    /// The last of them is handed on after all.
    pub(super) fn stands(&self) {
        let mut rest = self.rest();
        if let Some(at) = rest.beside.iter().rposition(|each| matches!(each.end, End::Escalated(_))) {
            rest.beside.remove(at);
        }
    }

    /// A rung that gave no answer, with what it may have cost; one that was not even sent a request is none.
    pub(super) fn in_vain(&self, endpoint: usize, error: Error, since: Instant) {
        let mut rest = self.rest();
        let attempts = self.since_last(&rest);
        if attempts == 0 {
            return;
        }
        let Rest { lost, hedged, .. } = &mut *rest;
        // The losers of hedges have records of their own.
        let is_hedged = |lost: &Lost| lost.dropped && hedged.iter().any(|hedged| hedged.endpoint == endpoint);
        let lost = lost.extract_if(.., |lost| lost.endpoint == endpoint && !is_hedged(lost)).collect();
        rest.beside.push(Beside { end: End::Vain { endpoint, error, lost }, since, took: since.elapsed(), attempts });
    }

    /// Requests sent since the last of them was asked.
    fn since_last(&self, rest: &Rest) -> u32 {
        let before: u32 = rest.beside.iter().map(|each| each.attempts).sum();
        self.attempts().saturating_sub(before)
    }

    /// Keeps how far an answer has come while its caller judges it, so that it is accounted if he leaves.
    pub(super) fn hold(&self, ending: Option<Ending>) {
        self.rest().held = ending;
    }

    /// The answer that was kept, which is then forgotten here.
    pub(super) fn held(&self) -> Option<Ending> {
        self.rest().held.take()
    }

    /// Leaves a note, which may quote a provider.
    pub(super) fn note(&self, note: &str) {
        self.rest().notes.push(one_line(note).into_owned());
    }

    /// What the endpoint asked last does not take.
    pub(super) fn dropped(&self, dropped: Vec<Dropped>) {
        self.rest().dropped = dropped;
    }

    /// Requests sent.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    /// The endpoint asked last.
    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// All that was noted, which is then forgotten here.
    pub(super) fn take(&self) -> Rest {
        std::mem::take(&mut *self.rest())
    }

    /// Requests sent, parameters left out and notes.
    pub(super) fn so_far(&self) -> (u32, Vec<Dropped>, Vec<String>) {
        let rest = self.rest();
        (self.attempts.load(Ordering::Relaxed), rest.dropped.clone(), rest.notes.clone())
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request on its way; dropped before it is over, it is one that was given up.
pub(super) struct Sent<'a> {
    tally: &'a Tally,
    endpoint: usize,
    over: bool,
}

impl Sent<'_> {
    pub(super) fn over(mut self, failed: Option<&Error>) {
        self.over = true;
        if let Some(error) = failed.filter(|error| error.is_lost()) {
            let told = error.partial().filter(|partial| !partial.estimated).and_then(|partial| partial.tokens);
            let usage = told.map(|(prompt_tokens, completion_tokens)| Usage {
                prompt_tokens,
                completion_tokens,
                ..Usage::default()
            });
            self.tally.lost(self.endpoint, usage);
        }
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.tally.rest().lost.push(Lost { endpoint: self.endpoint, usage: None, dropped: true });
        }
    }
}
