//! An answer that is kept for a while, so that many who look cost no more than one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::error::{Error, Kind, Result};

/// An answer is good for so long,
const FRESH: Duration = Duration::from_secs(2);
/// and for so many times what it took to make: a page that is looked at all day takes a twentieth of a processor at most.
const TIMES: u32 = 20;

/// The place of one answer. Copies are the same place.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf(Arc<Place>);

#[derive(Debug, Default)]
struct Place {
    kept: Mutex<Option<Kept>>,
    /// Raised where what is kept is no longer true.
    version: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    /// A failure is kept as well: a store that does not answer is not asked all the time.
    answer: Result<Bytes>,
    until: Instant,
    version: u64,
}

impl Shelf {
    /// What is here; where it is too old, what `make` makes, on a thread that may wait. Whoever comes meanwhile waits for
    /// the same, and it is made to its end though nobody waits any more.
    pub(super) async fn get(&self, make: impl FnOnce() -> Result<Value> + Send + 'static) -> Result<Bytes> {
        let place = Arc::clone(&self.0);
        tokio::spawn(async move { place.kept_or(make).await }).await.unwrap_or_else(|_| Err(broken()))
    }

    /// Forgets what is kept.
    pub(super) fn empty(&self) {
        self.0.version.fetch_add(1, Ordering::Relaxed);
    }
}

impl Place {
    async fn kept_or(&self, make: impl FnOnce() -> Result<Value> + Send + 'static) -> Result<Bytes> {
        let mut kept = self.kept.lock().await;
        let version = self.version.load(Ordering::Relaxed);
        if let Some(kept) = kept.as_ref().filter(|kept| kept.version == version && Instant::now() < kept.until) {
            return kept.answer.clone();
        }
        let begun = Instant::now();
        let asked = tokio::task::spawn_blocking(move || Ok(Bytes::from(make()?.to_string()))).await;
        let answer = asked.unwrap_or_else(|_| Err(broken()));
        let until = Instant::now() + FRESH.max(begun.elapsed() * TIMES);
        *kept = Some(Kept { answer: answer.clone(), until, version });
        answer
    }
}

fn broken() -> Error {
    Error::new(Kind::Io, "the figures could not be made")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]
mod tests {
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[test]
    fn many_who_look_are_one_question() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (shelf, made) = (Shelf::default(), Arc::new(AtomicU32::new(0)));
        let ask = || {
            let made = Arc::clone(&made);
            shelf.get(move || {
                std::thread::sleep(Duration::from_millis(30));
                Ok(made.fetch_add(1, Ordering::SeqCst).into())
            })
        };
        runtime.block_on(async {
            let all = futures_util::future::join_all((0..20).map(|_| ask())).await;
            assert!(all.iter().all(|answer| answer.as_ref().unwrap() == "0"));
            shelf.empty();
            assert_eq!(ask().await.unwrap(), "1", "what is no longer true is not shown");
            assert_eq!(ask().await.unwrap(), "1");
        });
    }

    #[test]
    fn a_failure_is_an_answer_and_a_panic_is_a_failure() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let shelf = Shelf::default();
            let error = shelf.get(|| Err(Error::new(Kind::Io, "no disk"))).await.unwrap_err();
            assert_eq!(error.message(), "no disk");
            let error = shelf.get(|| Ok(Value::Null)).await.unwrap_err();
            assert_eq!(error.message(), "no disk", "the store is left in peace for a while");
            let error = Shelf::default().get(|| panic!("of a test")).await.unwrap_err();
            assert_eq!(error.message(), "the figures could not be made");
        });
    }
}
