//! The last requests as they were seen: the reasons of decisions, which no book has, and those that came to no call.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::microseconds;
use crate::gateway::event::Event;
use crate::gateway::seeing;

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
    /// What kind of failure it was; the words of providers and routers may repeat the prompt.
    pub(super) error: Option<String>,
    /// It was we who said no.
    pub(super) refused: bool,
    pub(super) total_ms: f64,
}

/// A reason or a note without the words of an exception, of which only the class is kept.
fn without_words(text: &str) -> String {
    const FAILED: &str = " failed (";
    let class = text.find(FAILED).map(|at| at + FAILED.len());
    match class.and_then(|from| text[from..].find(": ").map(|length| from + length)) {
        Some(end) => format!("{})", &text[..end]),
        None => text.to_owned(),
    }
}

/// The last of them.
#[derive(Debug, Default)]
pub(super) struct Ring(Mutex<VecDeque<Seen>>);

impl Ring {
    pub(super) fn push(&self, event: &Event<'_>) {
        // What asks for no model tells nothing of decisions, and whoever tries addresses must not push them out.
        if !event.path.starts_with("/v1/") {
            return;
        }
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
            reason: decided.map(|decided| without_words(&decided.reason)),
            notes: decided
                .map(|decided| decided.notes.iter().map(|note| without_words(note)).collect())
                .unwrap_or_default(),
            called: event.account.is_some() || event.error.is_some_and(|error| error.spent().is_some()),
            refused: event
                .error
                .is_some_and(|error| error.why_denied().is_some() || (event.status < 500 && error.spent().is_none())),
            error: event.error.map(|error| seeing::kind(error).into_owned()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_exception_says_is_left_out() {
        let reason = "strong, because router 'mine' failed (ValueError: cannot read: my (secret) prompt)";
        assert_eq!(without_words(reason), "strong, because router 'mine' failed (ValueError)");
        let note = "router 'mine' failed (KeyError: 'x'), so 'random' was asked";
        assert_eq!(without_words(note), "router 'mine' failed (KeyError)");
        for plain in ["win rate 0.4 is below the threshold", "it failed (twice)"] {
            assert_eq!(without_words(plain), plain);
        }
    }
}
