//! What is sent for one call, counted while it runs.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::ending::Ending;
use crate::error::Error;
use crate::pricing::Usage;
use crate::providers::Dropped;

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
    /// Answers after which the next rung was asked, in their order.
    pub escalated: Vec<(Escalated, u32)>,
    pub notes: Vec<String>,
    pub dropped: Vec<Dropped>,
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

/// An answer after which the next rung was asked.
pub(super) struct Escalated {
    pub ending: Ending,
    /// When its rung was asked.
    pub since: Instant,
    pub took: Duration,
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

    /// The loser of a hedge, which is about to be dropped.
    pub(super) fn hedged(&self, endpoint: usize, took: Duration) {
        self.rest().hedged.push(Hedged { endpoint, took });
    }

    /// An answer that is not handed on, since the next rung is asked; with the requests sent until then.
    pub(super) fn escalated(&self, escalated: Escalated) {
        let attempts = self.attempts();
        self.rest().escalated.push((escalated, attempts));
    }

    /// The last of them is handed on after all.
    pub(super) fn stands(&self) {
        self.rest().escalated.pop();
    }

    pub(super) fn note(&self, note: String) {
        self.rest().notes.push(note);
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
