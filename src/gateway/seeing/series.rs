//! Numbers that grow: counters, histograms, and sets of them by their labels. All of it is atomics behind one read lock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use xxhash_rust::xxh3::Xxh3;

/// What stands for all labels of a set that is full.
pub(super) const OTHER: &str = "other";
/// Sets have at most so many members: a scrape stays small, whatever is configured.
const MOST: usize = 512;

/// A count. It wraps where 64 bits are full, which Prometheus takes for a restart.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A sum of dollars, in picodollars: 64 bits hold nine million dollars, and it may fall.
#[derive(Debug, Default)]
pub(super) struct Dollars(AtomicI64);

impl Dollars {
    pub(super) fn add(&self, amount: Decimal) {
        let pico = (amount * Decimal::from(1_000_000_000_000_u64)).round().to_i64();
        // No call costs more than that; one that claims to is left out of a picture, not out of the book.
        self.0.fetch_add(pico.unwrap_or(0), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64 / 1e12
    }
}

/// How often a value was at most each of its bounds.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [f64],
    /// One more than `bounds`: what is above all of them. Not cumulative.
    counts: Box<[AtomicU64]>,
    /// In billionths.
    sum: AtomicU64,
}

/// Of a whole request, in seconds.
pub(super) const LONG: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];
/// Of what we add to it, in seconds.
pub(super) const SHORT: &[f64] =
    &[0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0];
/// Of a win rate.
pub(super) const RATES: &[f64] =
    &[0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0];

impl Histogram {
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Counts a value; one that is no number or below zero is none.
    pub(super) fn observe(&self, value: f64) {
        if value.is_nan() || value < 0.0 {
            return;
        }
        let at = self.bounds.partition_point(|bound| *bound < value);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add((value * 1e9) as u64, Ordering::Relaxed);
    }

    pub(super) fn took(&self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    /// Bounds with how often a value was at most that, the last of them infinity; then the sum.
    pub(super) fn read(&self) -> (Vec<(f64, u64)>, f64) {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let mut below = 0;
        let add = |(bound, count): (f64, &AtomicU64)| {
            below += count.load(Ordering::Relaxed);
            (bound, below)
        };
        (bounds.zip(&self.counts).map(add).collect(), self.sum.load(Ordering::Relaxed) as f64 / 1e9)
    }
}

/// One member of a set.
#[derive(Debug)]
pub(super) struct Labelled<T, const N: usize> {
    pub(super) labels: [Box<str>; N],
    pub(super) of: T,
}

/// The members of a set that has `N` labels.
#[derive(Debug)]
pub(super) struct Set<T, const N: usize> {
    known: RwLock<HashMap<u128, Arc<Labelled<T, N>>>>,
}

impl<T, const N: usize> Default for Set<T, N> {
    fn default() -> Self {
        Self { known: RwLock::default() }
    }
}

impl<T, const N: usize> Set<T, N> {
    /// The member with these labels, made where it is missing; of a full set the one for all others.
    pub(super) fn at(&self, labels: [&str; N], make: impl FnOnce() -> T) -> Arc<Labelled<T, N>> {
        let key = key_of(&labels);
        if let Some(member) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Arc::clone(member);
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let (key, labels) = if known.len() < MOST || known.contains_key(&key) {
            (key, labels)
        } else {
            (key_of(&[OTHER; N]), [OTHER; N])
        };
        let member =
            known.entry(key).or_insert_with(|| Arc::new(Labelled { labels: labels.map(Box::from), of: make() }));
        Arc::clone(member)
    }

    /// All members, by their labels.
    pub(super) fn all(&self) -> Vec<Arc<Labelled<T, N>>> {
        let mut all: Vec<_> =
            self.known.read().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all
    }
}

/// Identifies labels; 128 bits do not meet by chance.
fn key_of(labels: &[&str]) -> u128 {
    let mut hash = Xxh3::new();
    for label in labels {
        hash.update(label.as_bytes());
        hash.update(&[0xff]);
    }
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_a_bound_is_within_it() {
        let histogram = Histogram::new(RATES);
        for value in [0.05, 0.050_001, 1.0, 1.5, -1.0, f64::NAN] {
            histogram.observe(value);
        }
        let (counts, sum) = histogram.read();
        assert_eq!(counts[0], (0.05, 1));
        assert_eq!(counts[1], (0.1, 2));
        assert_eq!(counts[19], (1.0, 3));
        assert_eq!(counts[20], (f64::INFINITY, 4));
        assert!((sum - 2.600_001).abs() < 1e-8);
    }

    #[test]
    fn a_full_set_counts_the_rest_together() {
        let set = Set::<Counter, 2>::default();
        for number in 0..MOST + 100 {
            set.at(["model", &number.to_string()], Counter::default).of.add(1);
        }
        let all = set.all();
        assert_eq!(all.len(), MOST + 1);
        let rest = all.iter().find(|member| *member.labels[0] == *OTHER).map(|member| member.of.get());
        assert_eq!(rest, Some(100));
        // Those that were there before are still told apart.
        assert_eq!(set.at(["model", "3"], Counter::default).of.get(), 1);
    }

    #[test]
    fn labels_do_not_run_into_each_other() {
        let set = Set::<Counter, 2>::default();
        set.at(["ab", "c"], Counter::default).of.add(1);
        assert_eq!(set.at(["a", "bc"], Counter::default).of.get(), 0);
    }

    #[test]
    fn dollars_are_exact_to_a_picodollar_and_may_fall() {
        let sum = Dollars::default();
        for _ in 0..1_000_000 {
            sum.add(Decimal::new(1, 12));
        }
        assert_eq!(sum.get(), 1e-6);
        sum.add(Decimal::new(-3, 6));
        assert_eq!(sum.get(), -2e-6);
    }
}
