//! The last requests as they were seen: the reasons of decisions, which no book has, and those that came to no call.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::microseconds;
use crate::gateway::event::Event;

/// This many are remembered.
const REMEMBERED: usize = 200;

/// A request, without its prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    /// Microseconds since 1970.
    pub(super) at: i64,
    pub(super) id: String,
    pub(super) status: u16,
    pub(super) path: &'static str,
    /// Name or id of the key.
    pub(super) key: Option<String>,
    pub(super) requested: Option<String>,
    pub(super) model: Option<String>,
    pub(super) tier: Option<String>,
    pub(super) router: Option<String>,
    pub(super) win_rate: Option<f64>,
    pub(super) thresholds: Vec<f64>,
    pub(super) reason: Option<String>,
    pub(super) notes: Vec<String>,
    /// The call was made, so a book has it.
    pub(super) called: bool,
    pub(super) error: Option<String>,
    pub(super) total_ms: f64,
}

/// The last of them.
#[derive(Debug, Default)]
pub(super) struct Ring(Mutex<VecDeque<Seen>>);

impl Ring {
    pub(super) fn push(&self, event: &Event<'_>) {
        let decided = event.decided;
        let key = event.caller.key.as_ref();
        let seen = Seen {
            at: microseconds(event.at),
            id: event.id.to_owned(),
            status: event.status,
            path: event.path,
            key: key.map(|key| if key.name.is_empty() { key.id.clone() } else { key.name.clone() }),
            requested: decided.map(|decided| decided.requested.clone()),
            model: decided.map(|decided| decided.target.name.clone()),
            tier: decided.and_then(|decided| decided.tier.clone()),
            router: decided.and_then(|decided| decided.router.clone()),
            win_rate: decided.and_then(|decided| decided.win_rate),
            thresholds: decided.map(|decided| decided.thresholds.clone()).unwrap_or_default(),
            reason: decided.map(|decided| decided.reason.clone()),
            notes: decided.map(|decided| decided.notes.clone()).unwrap_or_default(),
            called: event.account.is_some(),
            error: event.error.map(|error| error.message().to_owned()),
            total_ms: event.total.as_secs_f64() * 1000.0,
        };
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == REMEMBERED {
            ring.pop_front();
        }
        ring.push_back(seen);
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> Vec<Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
