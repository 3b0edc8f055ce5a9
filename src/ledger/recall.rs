//! Which call's answer a user was not content with: the one before it in a conversation or session.
//!
//! A request with the history of its conversation finds the earlier call by the user's turn and the answer it holds; one of
//! a session that the caller names, by the session's last call. Only calls of this process are remembered, the last of them,
//! as hashes; of sessions the last turn's text.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::text::again::nearly_same;

use super::record::{Outcome, Record};

/// So many exchanges, and so many sessions, are remembered.
const REMEMBERED: usize = 10_000;

/// A call as far as it matters to the next one.
#[derive(Debug, Clone, Copy)]
struct Earlier {
    id: i64,
    /// Microseconds since 1970: a call that began before was made beside it, not after it.
    ended_us: i64,
}

/// The last calls of this process.
#[derive(Debug, Default)]
pub(super) struct Recall {
    exchanges: Last<u64, Earlier>,
    sessions: Last<u64, (Earlier, Arc<str>)>,
}

impl Recall {
    /// Remembers a call, and says whose answer its user was not content with.
    pub(super) fn seen(&mut self, id: i64, record: &Record) -> Option<i64> {
        if record.outcome != Outcome::Ok {
            return None;
        }
        let session = record.session.as_deref().map(|session| hash(&[record.key.as_deref().unwrap_or(""), session]));
        let found = self.found(session, record).filter(|earlier| earlier.ended_us <= record.ts_us);
        let this = Earlier { id, ended_us: record.ts_us.saturating_add(record.total_us) };
        if let Some(exchange) = record.asked.exchange {
            self.exchanges.keep(exchange, this);
        }
        if let (Some(session), Some(turn)) = (session, &record.asked.turn) {
            self.sessions.keep(session, (this, Arc::clone(turn)));
        }
        found.map(|earlier| earlier.id)
    }

    fn found(&self, session: Option<u64>, record: &Record) -> Option<Earlier> {
        let asked = &record.asked;
        if let Some(earlier) = asked.again.and_then(|exchange| self.exchanges.get(&exchange)) {
            return Some(*earlier);
        }
        let (earlier, turn) = self.sessions.get(&session?)?;
        nearly_same(turn, asked.turn.as_ref()?).then_some(*earlier)
    }
}

/// What identifies an answer.
pub fn answer(text: &str) -> u64 {
    xxh3_64(text.trim().as_bytes())
}

/// What identifies an exchange: the user's turn and the [`answer`] to it.
pub fn exchange(turn: &str, answer: u64) -> u64 {
    xxh3_64_with_seed(turn.trim().as_bytes(), answer)
}

fn hash(parts: &[&str]) -> u64 {
    let mut hash = Xxh3::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update(&[0xff]);
    }
    hash.digest()
}

/// The calls whose answers were handed on last, by the ids their providers gave them. Some servers give the same id again
/// and again.
#[derive(Debug, Default)]
pub(super) struct Answered(Last<u64, Vec<(i64, i64)>>);

/// So many calls are remembered whose answers have the same id.
const ALIKE: usize = 16;

impl Answered {
    /// Remembers a call that began at `ts`, microseconds since 1970.
    pub(super) fn keep(&mut self, response: &str, ts: i64, id: i64) {
        let key = xxh3_64(response.as_bytes());
        match self.0.0.get_mut(&key) {
            Some(calls) => {
                if calls.len() == ALIKE {
                    calls.remove(0);
                }
                calls.push((ts, id));
            }
            None => self.0.keep(key, vec![(ts, id)]),
        }
    }

    /// The last call with that id, of those that began by some time.
    pub(super) fn find(&self, response: &str, by: Option<i64>) -> Option<i64> {
        let calls = self.0.get(&xxh3_64(response.as_bytes()))?;
        calls.iter().rev().find(|(ts, _)| by.is_none_or(|by| *ts <= by)).map(|(_, id)| *id)
    }
}

/// The values that were kept last, by their keys.
#[derive(Debug)]
struct Last<K, V>(HashMap<K, V>, VecDeque<K>);

impl<K, V> Default for Last<K, V> {
    fn default() -> Self {
        Self(HashMap::new(), VecDeque::new())
    }
}

impl<K: Copy + Eq + Hash, V> Last<K, V> {
    fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    fn keep(&mut self, key: K, value: V) {
        if self.0.insert(key, value).is_some() {
            return;
        }
        self.1.push_back(key);
        if self.1.len() > REMEMBERED
            && let Some(oldest) = self.1.pop_front()
        {
            self.0.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Asked;
    use super::super::row::tests::record;
    use super::*;

    const TURN: &str = "What is the capital of Australia?";

    fn at(second: i64, asked: Asked) -> Record {
        Record { ts_us: second * 1_000_000, total_us: 500_000, asked, ..record("m") }
    }

    fn in_session(second: i64, session: &str, turn: &str) -> Record {
        Record { session: Some(session.into()), ..at(second, Asked { turn: Some(turn.into()), ..Asked::default() }) }
    }

    #[test]
    fn a_conversation_finds_the_call_by_its_exchange() {
        let mut recall = Recall::default();
        let exchange = |text: &str| Some(exchange(TURN, answer(text)));
        let first = |answer| Asked { exchange: exchange(answer), ..Asked::default() };
        let again = |answer| Asked { again: exchange(answer), ..Asked::default() };
        assert_eq!(recall.seen(1, &at(1, first("Sydney"))), None);
        assert_eq!(recall.seen(2, &at(2, first("Canberra"))), None);
        assert_eq!(recall.seen(3, &at(3, again(" Sydney\n"))), Some(1));
        assert_eq!(recall.seen(4, &at(4, again("Perth"))), None);
        assert_eq!(recall.seen(5, &Record { outcome: Outcome::Failed, ..at(5, again("Sydney")) }), None);
    }

    #[test]
    fn a_session_finds_its_last_call() {
        let mut recall = Recall::default();
        assert_eq!(recall.seen(1, &in_session(1, "a", TURN)), None);
        assert_eq!(recall.seen(2, &in_session(2, "b", TURN)), None);
        assert_eq!(recall.seen(3, &in_session(3, "a", "No, what is the capital of Australia?")), Some(1));
        assert_eq!(recall.seen(4, &in_session(4, "a", "Which rivers flow through Canberra?")), None);
        assert_eq!(recall.seen(5, &in_session(5, "a", TURN)), None, "not the last one");
        let other_key = Record { key: Some("k".into()), ..in_session(6, "a", TURN) };
        assert_eq!(recall.seen(6, &other_key), None);
    }

    #[test]
    fn a_call_beside_another_does_not_follow_it() {
        let mut recall = Recall::default();
        let mut long = in_session(1, "a", TURN);
        long.total_us = 3_000_000;
        assert_eq!(recall.seen(1, &long), None);
        assert_eq!(recall.seen(2, &in_session(2, "a", TURN)), None);
    }

    #[test]
    fn an_id_that_comes_again_means_the_last_call_or_the_last_by_some_time() {
        let mut answered = Answered::default();
        (0..20).for_each(|n| answered.keep("same", 10 * n, n));
        answered.keep("other", 5, 100);
        assert_eq!((answered.find("same", None), answered.find("other", None)), (Some(19), Some(100)));
        assert_eq!((answered.find("same", Some(184)), answered.find("same", Some(180))), (Some(18), Some(18)));
        assert_eq!((answered.find("same", Some(30)), answered.find("none", None)), (None, None), "too many since");
    }

    #[test]
    fn memory_is_bounded() {
        let mut last = Last::default();
        for key in 0..3 * REMEMBERED {
            last.keep(key, ());
            last.keep(key, ());
        }
        assert_eq!((last.0.len(), last.1.len()), (REMEMBERED, REMEMBERED));
        assert!(last.0.contains_key(&(3 * REMEMBERED - 1)) && !last.0.contains_key(&0));
    }
}
