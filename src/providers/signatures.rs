//! What proves a model's thoughts, kept from its answer until the caller repeats the call.
//!
//! Anthropic wants its signed thinking blocks back in a loop of tool calls, Gemini its thought signatures. Both travel
//! in fields of the message, but callers that rebuild messages from the fields they know lose them. So each process
//! keeps those of its last calls, within bounds, found again by the call itself: its id alone would not do, since some
//! servers number the calls of every answer from zero.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use xxhash_rust::xxh3::Xxh3;

use super::process::PerProcess;

/// Proofs that are remembered.
const MOST: usize = 16_384;
/// Bytes of what is remembered for them.
const MOST_BYTES: usize = 32 << 20;

/// A call, as it was handed to the caller and comes back from him.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u128);

/// The key of the call `id` of function `name` with `arguments`; `of` is the family whose proof it is (`anthropic`).
pub fn key(of: &str, id: &str, name: &str, arguments: &str) -> Key {
    // Some callers write the arguments anew.
    let read: Option<Value> = serde_json::from_str(arguments).ok();
    let arguments = read.map_or_else(|| arguments.trim().to_owned(), |read| read.to_string());
    let mut hash = Xxh3::new();
    for part in [of, id, name, &arguments] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    Key(hash.digest128())
}

/// What is kept for a call.
#[derive(Debug, Clone, PartialEq)]
pub enum Proof {
    /// Anthropic's thinking blocks of the whole message; empty when the model called without thinking.
    Blocks(Arc<[Value]>),
    /// Gemini's signature of the call.
    Thought(Arc<str>),
}

impl Proof {
    fn size(&self) -> usize {
        let text = |block: &Value, name: &str| block.get(name).and_then(Value::as_str).map_or(0, str::len);
        match self {
            Self::Blocks(blocks) => blocks
                .iter()
                .map(|block| {
                    let order = block.get("order").and_then(Value::as_array).map_or(0, Vec::len);
                    let texts = ["thinking", "signature", "data"].map(|name| text(block, name) + 64);
                    64 * order + texts.iter().sum::<usize>()
                })
                .sum(),
            Self::Thought(signature) => signature.len(),
        }
    }
}

#[derive(Default)]
struct Kept {
    proofs: HashMap<Key, Proof>,
    /// Oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

impl Kept {
    fn keep(&mut self, key: Key, proof: Proof) {
        let size = proof.size();
        if size > MOST_BYTES {
            return;
        }
        self.bytes += size;
        match self.proofs.insert(key, proof) {
            Some(before) => self.bytes -= before.size(),
            None => self.order.push_back(key),
        }
        while self.order.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.proofs.remove(&oldest).map_or(0, |proof| proof.size());
        }
    }
}

static KEPT: PerProcess<Mutex<Kept>> = PerProcess::new();

fn with<T>(work: impl FnOnce(&mut Kept) -> T) -> T {
    let Ok(kept) = KEPT.get_or_try_init(|| Ok::<_, Infallible>(Mutex::default()));
    work(&mut kept.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Remembers `proof` for a call.
pub fn keep(key: Key, proof: Proof) {
    with(|kept| kept.keep(key, proof));
}

/// What was kept for a call, if it still is.
pub fn kept(key: Key) -> Option<Proof> {
    with(|kept| kept.proofs.get(&key).cloned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_found_by_all_of_it() {
        let thought = |text: &str| Proof::Thought(text.into());
        keep(key("t", "call_0", "look", r#"{"q":"owl"}"#), thought("s1"));
        keep(key("t", "call_0", "look", r#"{"q":"fox"}"#), thought("s2"));
        assert_eq!(kept(key("t", "call_0", "look", r#"{ "q": "owl" }"#)), Some(thought("s1")));
        assert_eq!(kept(key("t", "call_0", "look", r#"{"q":"fox"}"#)), Some(thought("s2")));
        assert_eq!(kept(key("u", "call_0", "look", r#"{"q":"fox"}"#)), None);
        assert_eq!(kept(key("t", "call_1", "look", r#"{"q":"fox"}"#)), None);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut all = Kept::default();
        for i in 0..3 * MOST {
            all.keep(key("t", &i.to_string(), "f", "{}"), Proof::Thought("x".into()));
        }
        assert_eq!((all.proofs.len(), all.order.len(), all.bytes), (MOST, MOST, MOST));
        let large: Arc<str> = "x".repeat(MOST_BYTES / 2).into();
        for i in 0..5 {
            all.keep(key("large", &i.to_string(), "f", "{}"), Proof::Thought(Arc::clone(&large)));
        }
        assert!(all.bytes <= MOST_BYTES && all.proofs.len() == 2);
        // The same call twice counts once.
        let before = all.bytes;
        all.keep(key("large", "4", "f", "{}"), Proof::Thought(large));
        assert_eq!((all.bytes, all.proofs.len(), all.order.len()), (before, 2, 2));
    }
}
