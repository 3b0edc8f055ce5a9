//! How long the models of this process take to begin their answers, for hedging and for the filter of slow models: only
//! recent calls, in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::health::identity;
use crate::error::Result;
use crate::providers::Endpoint;
use crate::providers::process::PerProcess;

/// Calls remembered for each endpoint.
const REMEMBERED: usize = 128;
/// With fewer than these nobody knows what is late.
const ENOUGH: usize = 10;
/// Nothing is late before this.
const LEAST: Duration = Duration::from_millis(10);
/// What was measured longer ago says nothing about the next call: who is skipped for it is tried again.
const FRESH: Duration = Duration::from_mins(1);
/// Endpoints remembered.
const MOST: usize = 1024;

#[derive(Default)]
struct Times {
    recent: Vec<Duration>,
    next: usize,
    last: Option<Instant>,
}

impl Times {
    fn add(&mut self, time: Duration) {
        self.last = Some(Instant::now());
        if self.recent.len() < REMEMBERED {
            self.recent.push(time);
        } else {
            self.recent[self.next] = time;
            self.next = (self.next + 1) % REMEMBERED;
        }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        self.last.is_some_and(|last| now.saturating_duration_since(last) < FRESH)
    }

    /// The 95th percentile, the next larger time of those seen.
    fn p95(&self) -> Option<Duration> {
        if self.recent.len() < ENOUGH {
            return None;
        }
        let mut sorted = self.recent.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * 95).div_ceil(100) - 1;
        Some(sorted[rank].max(LEAST))
    }
}

type Known = Mutex<HashMap<(u128, bool), Times>>;

static TIMES: PerProcess<Known> = PerProcess::new();

fn times() -> Result<&'static Known> {
    TIMES.get_or_try_init(|| Ok(Known::default()))
}

/// Remembers how long a call took: a stream until its first content, else the whole answer.
pub(super) fn add(endpoint: &Endpoint, stream: bool, time: Duration) {
    let Ok(times) = times() else { return };
    let mut known = times.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (identity(endpoint), stream);
    if known.len() >= MOST && !known.contains_key(&key) {
        known.clear();
    }
    known.entry(key).or_default().add(time);
}

/// From when on an answer is late: the 95th percentile of the recent ones; `None` while too few are known.
pub(super) fn late_after(endpoint: &Endpoint, stream: bool) -> Option<Duration> {
    let known = times().ok()?.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(&(identity(endpoint), stream))?.p95()
}

/// How long an answer is expected to take: [`late_after`], where a call of the last minute is among those known.
pub(crate) fn expected(endpoint: &Endpoint, stream: bool) -> Option<Duration> {
    let known = times().ok()?.lock().unwrap_or_else(PoisonError::into_inner);
    known.get(&(identity(endpoint), stream)).filter(|times| times.is_fresh(Instant::now()))?.p95()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn late_is_what_one_in_twenty_are() {
        let mut times = Times::default();
        for milliseconds in 1..=9 {
            times.add(Duration::from_millis(milliseconds * 100));
        }
        assert_eq!(times.p95(), None);
        for milliseconds in 10..=100 {
            times.add(Duration::from_millis(milliseconds * 100));
        }
        assert_eq!(times.p95().unwrap(), Duration::from_millis(9500));
        // Old times are forgotten.
        for _ in 0..REMEMBERED {
            times.add(Duration::from_millis(1));
        }
        assert_eq!(times.p95().unwrap(), LEAST);
        assert_eq!(times.recent.len(), REMEMBERED);
    }

    #[test]
    fn old_times_expect_nothing() {
        let now = Instant::now();
        let mut times = Times::default();
        assert!(!times.is_fresh(now));
        times.add(LEAST);
        assert!(times.is_fresh(now + FRESH / 2));
        assert!(!times.is_fresh(now + FRESH * 2));
    }
}
