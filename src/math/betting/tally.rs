//! Numbers kept as counts, and the interval of their mean that is valid at any time.
//!
//! Of numbers in a range the place among 10,000 equal cells is kept: bounded memory, and exact for scores with up to four
//! decimals. A number between two marks counts as the lower one where the mean is bounded from below, and as the upper
//! one where it is bounded from above, so the interval only grows by it, by a ten-thousandth of the range at most.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{BETS, Claim, checked, checked_range, log_mean_exp, stakes, surprise};
use crate::error::{Error, Result};

/// Cells of the range.
const CELLS: f64 = 10_000.0;

/// How far from a mark a number may lie and still be on it: what is left of rounding in sums of scores.
const NEAR: f64 = 1e-7;

/// Halvings of the range that find an end of the interval.
const HALVINGS: usize = 40;

/// Numbers in `low..=high`, counted by their place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Tally {
    low: f64,
    high: f64,
    /// Twice the mark for a number on it, and one more for one above it: how many.
    counts: BTreeMap<u32, u64>,
    n: u64,
}

impl Tally {
    /// No numbers yet, of a range.
    pub fn new(low: f64, high: f64) -> Result<Self> {
        checked_range(low, high)?;
        Ok(Self { low, high, counts: BTreeMap::new(), n: 0 })
    }

    /// Counts one number.
    pub fn push(&mut self, x: f64) -> Result<()> {
        checked(x, self.low, self.high)?;
        let place = (x - self.low) / (self.high - self.low) * CELLS;
        let near = place.round();
        let key = if (place - near).abs() <= NEAR { 2.0 * near } else { 2.0 * place.floor() + 1.0 };
        *self.counts.entry(key as u32).or_default() += 1;
        self.n += 1;
        Ok(())
    }

    /// Adds another count of the same range.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if (self.low, self.high) != (other.low, other.high) {
            let (low, high) = (other.low, other.high);
            return Err(Error::value(format!(
                "expected counts of the range {}..={}, found {low}..={high}",
                self.low, self.high
            )));
        }
        for (&key, &count) in &other.counts {
            *self.counts.entry(key).or_default() += count;
        }
        self.n += other.n;
        Ok(())
    }

    /// How many.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Their mean, good to a ten-thousandth of the range; NaN where there are none.
    pub fn mean(&self) -> f64 {
        let half = |key: u32| self.value(f64::from(key) / 2.0);
        let sum: f64 = self.counts.iter().map(|(&key, &count)| half(key) * count as f64).sum();
        sum / self.n as f64
    }

    /// ln of the wealth of a [`Wager`](super::Wager) against a claim about the mean, which may be chosen afterwards.
    ///
    /// A claim about an end of the range, or beyond, gives 0 where it says nothing, and infinity where a number in the
    /// range refutes it.
    pub fn log_e(&self, claim: Claim, mean: f64) -> f64 {
        let (idle, absurd) = match claim {
            Claim::AtMost => (mean >= self.high, mean <= self.low),
            Claim::AtLeast => (mean <= self.low, mean >= self.high),
        };
        if idle || absurd {
            return if absurd && self.n > 0 { f64::INFINITY } else { 0.0 };
        }
        let mut logs = [0.0; BETS];
        for (&key, &count) in &self.counts {
            let mark = match claim {
                Claim::AtMost => key / 2,
                Claim::AtLeast => key.div_ceil(2),
            };
            let unit = surprise(claim, mean, self.low, self.high, self.value(f64::from(mark)));
            for (log, stake) in logs.iter_mut().zip(stakes()) {
                *log += (stake * unit).ln_1p() * count as f64;
            }
        }
        log_mean_exp(&logs)
    }

    /// The means that are not refuted, at `confidence` in 0..1: with that probability the true mean lies inside of every
    /// interval that is ever asked for, so intersections of them are valid as well.
    pub fn interval(&self, confidence: f64) -> (f64, f64) {
        let limit = -((1.0 - confidence) / 2.0).ln();
        // The wealth against "at most m" falls with m, that against "at least m" rises with it.
        let end = |claim: Claim| {
            let (mut low, mut high) = (self.low, self.high);
            for _ in 0..HALVINGS {
                let middle = f64::midpoint(low, high);
                if (self.log_e(claim, middle) >= limit) == (claim == Claim::AtMost) {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            if claim == Claim::AtMost { low } else { high }
        };
        if self.n == 0 {
            return (self.low, self.high);
        }
        (end(Claim::AtMost), end(Claim::AtLeast))
    }

    fn value(&self, mark: f64) -> f64 {
        (self.low + (self.high - self.low) * (mark / CELLS)).clamp(self.low, self.high)
    }
}

/// How a tally is written.
#[derive(Serialize, Deserialize)]
struct Written {
    low: String,
    high: String,
    counts: Vec<(u32, u64)>,
}

impl From<Tally> for Written {
    fn from(tally: Tally) -> Self {
        let text = |number: f64| format!("{number:?}");
        Self { low: text(tally.low), high: text(tally.high), counts: tally.counts.into_iter().collect() }
    }
}

impl TryFrom<Written> for Tally {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let number = |text: &String| {
            text.parse().map_err(|_| Error::value(format!("expected a number in saved counts, found {text:?}")))
        };
        let mut tally = Self::new(number(&written.low)?, number(&written.high)?)?;
        for (key, count) in written.counts {
            let n = tally.n.checked_add(count).filter(|_| f64::from(key) <= 2.0 * CELLS);
            tally.n = n.ok_or_else(|| Error::value(format!("expected counts of marks, found {count} of {key}")))?;
            *tally.counts.entry(key).or_default() += count;
        }
        Ok(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Wager;
    use super::*;
    use proptest::prelude::*;

    fn tally(numbers: &[f64], low: f64, high: f64) -> Tally {
        let mut tally = Tally::new(low, high).unwrap();
        for &x in numbers {
            tally.push(x).unwrap();
        }
        tally
    }

    #[test]
    fn without_numbers_nothing_is_known() {
        assert_eq!(tally(&[], -1.0, 1.0).interval(0.95), (-1.0, 1.0));
        let one = tally(&[0.5], 0.0, 1.0).interval(0.95);
        assert!(one.0 < 0.05 && one.1 > 0.95, "{one:?}");
    }

    #[test]
    fn intervals_shrink_and_can_be_joined() {
        let few: Vec<f64> = (0..100).map(|i| f64::from(u8::from(i % 4 == 0))).collect();
        let mut many = tally(&few, 0.0, 1.0);
        let (low, high) = many.interval(0.95);
        for _ in 0..99 {
            many.merge(&tally(&few, 0.0, 1.0)).unwrap();
        }
        let (lower, higher) = many.interval(0.95);
        assert!(low < lower && lower < 0.25 && 0.25 < higher && higher < high);
        assert!(higher - lower < 0.035 && high - low > 0.2, "{low} {lower} {higher} {high}");
        assert_eq!((many.n(), many.mean()), (10_000, 0.25));
        assert!(many.merge(&tally(&[], 0.0, 2.0)).is_err());
    }

    #[test]
    fn damaged_counts_are_refused() {
        for text in [
            r#"{"low":"0","high":"1","counts":[[20001,1]]}"#,
            r#"{"low":"1","high":"0","counts":[]}"#,
            r#"{"low":"NaN","high":"1","counts":[]}"#,
            r#"{"low":"0","high":"1","counts":[[0,18446744073709551615],[1,1]]}"#,
        ] {
            assert!(serde_json::from_str::<Tally>(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_is_a_wager_on_the_marks(tenths in prop::collection::vec(-10..=10, 1..60), mean in -0.9..0.9) {
            let numbers: Vec<f64> = tenths.iter().map(|&tenth| f64::from(tenth) / 10.0).collect();
            let counted = tally(&numbers, -1.0, 1.0);
            for claim in [Claim::AtMost, Claim::AtLeast] {
                let mut wager = Wager::new(claim, mean, -1.0, 1.0).unwrap();
                for &x in &numbers {
                    wager.push(x).unwrap();
                }
                prop_assert!((wager.log_e() - counted.log_e(claim, mean)).abs() < 1e-9);
            }
        }

        #[test]
        fn rounding_only_widens(numbers in prop::collection::vec(-1.0..=1.0, 1..60), mean in -0.9..0.9) {
            let counted = tally(&numbers, -1.0, 1.0);
            for claim in [Claim::AtMost, Claim::AtLeast] {
                let mut wager = Wager::new(claim, mean, -1.0, 1.0).unwrap();
                for &x in &numbers {
                    wager.push(x).unwrap();
                }
                prop_assert!(counted.log_e(claim, mean) <= wager.log_e() + 1e-9);
            }
            let (low, high) = counted.interval(0.9);
            prop_assert!(low <= counted.mean() && counted.mean() <= high);
            let limit = -0.05_f64.ln();
            prop_assert!(low == -1.0 || (counted.log_e(Claim::AtMost, low) - limit).abs() < 1e-3);
            prop_assert!(high == 1.0 || (counted.log_e(Claim::AtLeast, high) - limit).abs() < 1e-3);
        }

        #[test]
        fn a_saved_tally_is_the_same(numbers in prop::collection::vec(0.0..=1.0, 0..40)) {
            let counted = tally(&numbers, 0.0, 1.0);
            let text = serde_json::to_string(&counted).unwrap();
            prop_assert_eq!(serde_json::from_str::<Tally>(&text).unwrap(), counted);
        }
    }
}
