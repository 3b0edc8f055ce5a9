//! So many requests or tokens in a time, and so many at once.
//!
//! A rate is a bucket: full at first, it fills again evenly. `100/minute` lets a hundred through at once and then one every 0.6
//! seconds, so that a caller who comes evenly is never refused, and one who comes in a burst waits for his share only.
//!
//! Requests are counted when they come. Of tokens nobody knows the number before the answer, and setting aside all that an answer
//! may have would turn away real callers for tokens nobody uses. So an estimate is taken, from the length of the body and from what
//! bodies of such a length have come to before, and put right at the end: a bucket may then owe tokens, and lets nobody through
//! until it is above nothing again. In the long run exactly the rate goes through; for a moment it may be exceeded by what the
//! estimates of the requests in flight lack.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::rules::Rate;

/// Seconds since some moment of this process. Buckets outlive what they are looked up in, so the moment is one for all.
pub(super) fn now() -> f64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed().as_secs_f64()
}

/// What is left of a rate.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy)]
struct State {
    /// May be below zero.
    left: f64,
    /// When that was so.
    at: f64,
    /// What a request came to, as a multiple of the first guess.
    factor: f64,
}

/// A bucket as a caller may be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Told {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// Until it is full.
    pub(super) reset: Duration,
}

impl Bucket {
    pub(super) fn new(rate: Rate) -> Self {
        let state = State { left: rate.count as f64, at: now(), factor: 1.0 };
        Self { rate, state: Mutex::new(state) }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes `n`, or says how long it is until they are there. More than the whole rate is taken from a full bucket, so that a large
    /// request waits longest and is not refused for ever.
    pub(super) fn take(&self, now: f64, n: f64) -> Result<(), Duration> {
        let mut state = self.filled(now);
        let wanted = n.min(self.rate.count as f64);
        // Sums of fractions of a second end a hair below whole numbers.
        let lacks = wanted - state.left - 1e-6;
        if lacks > 0.0 {
            return Err(Duration::from_secs_f64(lacks / self.speed()));
        }
        state.left -= n;
        Ok(())
    }

    /// Takes what a request of this first guess is likely to come to; says how much that was.
    pub(super) fn take_estimate(&self, now: f64, guess: f64) -> Result<f64, Duration> {
        let factor = self.filled(now).factor;
        let estimate = guess * factor;
        self.take(now, estimate).map(|()| estimate)
    }

    /// Puts an estimate right.
    pub(super) fn settle(&self, now: f64, guess: f64, estimate: f64, actual: f64) {
        let mut state = self.filled(now);
        state.left = (state.left + estimate - actual).min(self.rate.count as f64);
        if guess > 0.0 && actual > 0.0 {
            state.factor = (state.factor + 0.1 * (actual / guess - state.factor)).clamp(0.05, 1_000.0);
        }
    }

    /// Gives back what was taken for nothing.
    pub(super) fn give(&self, n: f64) {
        let mut state = self.filled(now());
        state.left = (state.left + n).min(self.rate.count as f64);
    }

    pub(super) fn told(&self, now: f64) -> Told {
        let state = self.filled(now);
        let limit = self.rate.count;
        let lacks = (limit as f64 - state.left).max(0.0);
        let remaining = (state.left + 1e-6).max(0.0) as u64;
        Told { limit, remaining, reset: Duration::from_secs_f64(lacks / self.speed()) }
    }

    fn speed(&self) -> f64 {
        self.rate.count as f64 / self.rate.per.as_secs_f64()
    }

    fn filled(&self, now: f64) -> std::sync::MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Threads read the clock before they have the lock.
        if now > state.at {
            state.left = (state.left + (now - state.at) * self.speed()).min(self.rate.count as f64);
            state.at = now;
        }
        state
    }
}

/// Places for requests at the same time.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) most: u32,
    used: Arc<AtomicU32>,
}

impl Slots {
    pub(super) fn new(most: u32) -> Self {
        Self { most, used: Arc::default() }
    }

    /// The same places, but so many: those that are taken stay taken.
    pub(super) fn resized(&self, most: u32) -> Self {
        Self { most, used: Arc::clone(&self.used) }
    }

    pub(super) fn take(&self) -> Option<Slot> {
        let taken =
            self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| (used < self.most).then(|| used + 1));
        taken.ok().map(|_| Slot(Arc::clone(&self.used)))
    }

    pub(super) fn used(&self) -> u32 {
        self.used.load(Ordering::Acquire)
    }
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicU32>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn bucket(count: u64, seconds: u64) -> Bucket {
        let bucket = Bucket::new(Rate { count, per: Duration::from_secs(seconds) });
        bucket.state.lock().unwrap().at = 0.0;
        bucket
    }

    #[test]
    fn a_rate_goes_through_at_once_and_then_evenly() {
        for (count, seconds) in [(1, 1), (7, 1), (100, 60), (3, 86_400), (333_333, 3_600)] {
            let bucket = bucket(count, seconds);
            assert!((0..count).all(|_| bucket.take(0.0, 1.0).is_ok()), "{count} in {seconds} s");
            let wait = bucket.take(0.0, 1.0).unwrap_err().as_secs_f64();
            let due = seconds as f64 / count as f64;
            assert!((wait - due).abs() < due * 0.01 + 1e-5, "{wait} {due}");
            assert!(bucket.take(due * 0.9, 1.0).is_err());
            assert!(bucket.take(due * 1.01, 1.0).is_ok());
            assert!(bucket.take(due * 1.02, 1.0).is_err());
        }
    }

    #[test]
    fn a_caller_who_comes_evenly_is_never_refused() {
        let bucket = bucket(100, 60);
        assert!((0..10_000).all(|n| bucket.take(f64::from(n) * 0.6, 1.0).is_ok()));
    }

    #[test]
    fn tokens_that_were_not_foreseen_are_owed() {
        let bucket = bucket(1_000, 60);
        let estimate = bucket.take_estimate(0.0, 100.0).unwrap();
        assert_eq!(estimate, 100.0);
        bucket.settle(6.0, 100.0, estimate, 1_500.0);
        let wait = bucket.take(6.0, 1.0).unwrap_err().as_secs_f64();
        // Full again after six seconds, and then 1,400 more are gone.
        assert!((wait - 401.0 / 1_000.0 * 60.0).abs() < 1e-3, "{wait}");
        // Next time it is foreseen, a tenth of the way.
        assert!((bucket.state.lock().unwrap().factor - 2.4).abs() < 1e-9);
    }

    #[test]
    fn what_was_not_used_is_free_again() {
        let bucket = bucket(1_000, 3_600);
        let estimate = bucket.take_estimate(0.0, 900.0).unwrap();
        assert!(bucket.take(0.0, 200.0).is_err());
        bucket.settle(0.0, 900.0, estimate, 0.0);
        assert!(bucket.take(0.0, 990.0).is_ok());
        bucket.give(1e9);
        assert_eq!(bucket.told(0.0).remaining, 1_000, "never more than there is");
    }

    #[test]
    fn a_request_larger_than_the_rate_needs_a_full_bucket() {
        let bucket = bucket(100, 10);
        assert!(bucket.take(0.0, 250.0).is_ok());
        let wait = bucket.take(0.0, 1.0).unwrap_err();
        assert!((wait.as_secs_f64() - 15.1).abs() < 0.01, "{wait:?}");
        assert_eq!(bucket.told(0.0), Told { limit: 100, remaining: 0, reset: Duration::from_secs(25) });
    }

    #[test]
    fn never_more_at_once_however_many_come_together() {
        let slots = Slots::new(8);
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..16 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        if let Some(slot) = slots.take() {
                            most.fetch_max(slots.used(), Ordering::AcqRel);
                            drop(slot);
                        }
                    }
                });
            }
        });
        assert!(most.load(Ordering::Acquire) <= 8);
        assert_eq!(slots.used(), 0);
        let held: Vec<_> = (0..8).map_while(|_| slots.take()).collect();
        assert_eq!(held.len(), 8);
        assert!(slots.take().is_none());
    }
}
