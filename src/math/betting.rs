//! Evidence about a mean, gathered by betting (Waudby-Smith and Ramdas 2024, arXiv:2010.09686).
//!
//! A gambler starts with 1 and bets against a claim such as "the mean loss is at most 0.05". If the claim is true, no way
//! of betting makes him richer on average, so by Ville's inequality his wealth ever reaches 1/δ with probability δ at most,
//! **however often and whenever somebody looks**. Wealth of 20 is therefore evidence at the level 0.05.
//!
//! How much to stake is not known beforehand, so the wealth is spread evenly over [`BETS`] stakes, each a fixed fraction of
//! the largest that cannot go bankrupt. One stake's wealth is a product over the numbers seen: it does not depend on their
//! order, and what two gamblers saw of different numbers multiplies ([`Wager::merge`]).
//!
//! The numbers need to be bounded, and each one's mean, given what came before, must obey the claim: draws of one
//! population do, and so does any stream while the claim is true at every step. Nothing else is assumed.
//!
//! - [`Wager`] bets against one claim and forgets the numbers: drift, audits, A/B tests, ramps.
//! - [`change::Change`] finds a claim that breaks at a time nobody knows.
//! - [`total::Total`] bounds a sum of means that may change all the time.
//! - [`tally::Tally`] keeps the numbers, coarsely, and gives an interval of the mean that is valid at any time.
//! - [`horizon::Bets`] are for a sample whose size is fixed beforehand: they need fewer numbers.

pub mod change;
pub mod horizon;
pub mod tally;
pub mod total;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Stakes that share the wealth: the largest is [`LARGEST`], each next one half of it, down to a thousandth.
///
/// The wealth of the best of them is at most ln [`BETS`] = 2.4 ahead of the mixture's on the log scale, and one within
/// a factor of 1.42 of the best grows at 8/9 of its rate or more.
pub const BETS: usize = 11;

/// The largest stake as a fraction of the one that could lose everything at once.
pub const LARGEST: f64 = 0.98;

/// The claim that is bet against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Claim {
    /// The mean is at most so much: large numbers are evidence against it.
    AtMost,
    /// The mean is at least so much: small numbers are evidence against it.
    AtLeast,
}

/// A bet against a claim about the mean of numbers in `low..=high`, and what it has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Wager {
    claim: Claim,
    mean: f64,
    low: f64,
    high: f64,
    /// ln of each stake's wealth, the largest stake first.
    logs: [f64; BETS],
    peak: f64,
    n: u64,
}

impl Wager {
    /// A bet against "the mean of numbers in `low..=high` is at most (or at least) `mean`".
    ///
    /// `mean` must lie inside of the range: a claim about its end is either no claim or refuted by one number.
    pub fn new(claim: Claim, mean: f64, low: f64, high: f64) -> Result<Self> {
        checked_range(low, high)?;
        if !(low < mean && mean < high) {
            return Err(Error::value(format!("mean: expected a number inside of {low}..{high}, found {mean}")));
        }
        Ok(Self { claim, mean, low, high, logs: [0.0; BETS], peak: 0.0, n: 0 })
    }

    /// Sees one number.
    pub fn push(&mut self, x: f64) -> Result<()> {
        checked(x, self.low, self.high)?;
        let unit = surprise(self.claim, self.mean, self.low, self.high, x);
        for (log, stake) in self.logs.iter_mut().zip(stakes()) {
            *log += (stake * unit).ln_1p();
        }
        self.n += 1;
        self.peak = self.peak.max(self.log_e());
        Ok(())
    }

    /// Adds what another gambler saw, who bet against the same claim on numbers this one has not seen.
    ///
    /// The peak is that of this bet, the other's counted as one step.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        let about = |wager: &Self| (wager.claim, wager.mean, wager.low, wager.high);
        if about(self) != about(other) {
            let [one, two] = [about(self), about(other)].map(|about| format!("{about:?}"));
            return Err(Error::value(format!("expected a bet against the same claim, {one}; found {two}")));
        }
        for (log, more) in self.logs.iter_mut().zip(other.logs) {
            *log += more;
        }
        self.n += other.n;
        self.peak = self.peak.max(self.log_e());
        Ok(())
    }

    /// ln of the wealth now: above 0 speaks against the claim.
    pub fn log_e(&self) -> f64 {
        log_mean_exp(&self.logs)
    }

    /// The wealth now: 20 is evidence at the level 1/20.
    pub fn e_value(&self) -> f64 {
        self.log_e().exp()
    }

    /// ln of the largest wealth so far, 0 at least: by Ville's inequality the largest counts as well as the last.
    pub fn log_peak(&self) -> f64 {
        self.peak
    }

    /// Whether the claim is refuted at the level `delta`, by the largest wealth so far.
    pub fn refutes(&self, delta: f64) -> bool {
        self.peak >= -delta.ln()
    }

    /// Numbers seen.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// The claim that is bet against.
    pub fn claim(&self) -> Claim {
        self.claim
    }

    /// What is claimed of the mean.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The ends of the range.
    pub fn range(&self) -> (f64, f64) {
        (self.low, self.high)
    }
}

/// The stakes, as fractions of the largest possible one.
fn stakes() -> impl Iterator<Item = f64> {
    std::iter::successors(Some(LARGEST), |stake| Some(stake / 2.0)).take(BETS)
}

/// What a stake of 1, the largest possible, wins on `x`: -1 or more, and 0 or less on average where the claim is true.
fn surprise(claim: Claim, mean: f64, low: f64, high: f64, x: f64) -> f64 {
    match claim {
        Claim::AtMost => (x - mean) / (mean - low),
        Claim::AtLeast => (mean - x) / (high - mean),
    }
}

/// ln of the mean of numbers given by their logarithms.
pub(crate) fn log_mean_exp(logs: &[f64]) -> f64 {
    let top = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if top == f64::NEG_INFINITY {
        return top;
    }
    let sum: f64 = logs.iter().map(|log| (log - top).exp()).sum();
    top + (sum / logs.len() as f64).ln()
}

fn checked_range(low: f64, high: f64) -> Result<()> {
    if low.is_finite() && high.is_finite() && low < high {
        return Ok(());
    }
    Err(Error::value(format!("expected a range whose lower end is below its upper one, found {low} and {high}")))
}

fn checked(x: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&x) {
        return Ok(());
    }
    Err(Error::value(format!("expected a number in {low}..={high}, found {x}")))
}

/// How a wager is written: numbers as the shortest texts that read back to the same bits, which JSON's own need not.
#[derive(Serialize, Deserialize)]
struct Written {
    claim: Claim,
    mean: String,
    low: String,
    high: String,
    logs: Vec<String>,
    peak: String,
    n: u64,
}

impl From<Wager> for Written {
    fn from(wager: Wager) -> Self {
        let text = |number: f64| format!("{number:?}");
        Self {
            claim: wager.claim,
            mean: text(wager.mean),
            low: text(wager.low),
            high: text(wager.high),
            logs: wager.logs.into_iter().map(text).collect(),
            peak: text(wager.peak),
            n: wager.n,
        }
    }
}

impl TryFrom<Written> for Wager {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        let number = |text: &String| {
            let read = text.parse::<f64>().ok().filter(|number| !number.is_nan());
            read.ok_or_else(|| Error::value(format!("expected a number in a saved bet, found {text:?}")))
        };
        let mut wager =
            Self::new(written.claim, number(&written.mean)?, number(&written.low)?, number(&written.high)?)?;
        let logs = written.logs.iter().map(number).collect::<Result<Vec<_>>>()?;
        wager.logs = <[f64; BETS]>::try_from(logs)
            .map_err(|logs| Error::value(format!("expected {BETS} stakes in a saved bet, found {}", logs.len())))?;
        wager.peak = number(&written.peak)?;
        wager.n = written.n;
        Ok(wager)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The mean wealth after `n` draws of three values, over all sequences.
    fn expected(claim: Claim, mean: f64, values: [f64; 3], chances: [f64; 3], n: u32) -> f64 {
        let mut sum = 0.0;
        for sequence in 0..3_usize.pow(n) {
            let mut wager = Wager::new(claim, mean, -1.0, 1.0).unwrap();
            let mut chance = 1.0;
            for place in 0..n {
                let which = sequence / 3_usize.pow(place) % 3;
                chance *= chances[which];
                wager.push(values[which]).unwrap();
            }
            sum += chance * wager.e_value();
        }
        sum
    }

    #[test]
    fn a_true_claim_makes_nobody_richer() {
        let (values, chances) = ([-1.0, 0.25, 1.0], [0.3, 0.4, 0.3]);
        let mean = 0.1;
        for claim in [Claim::AtMost, Claim::AtLeast] {
            let fair = expected(claim, mean, values, chances, 6);
            assert!((fair - 1.0).abs() < 1e-12, "{claim:?}: {fair}");
        }
        assert!(expected(Claim::AtMost, 0.2, values, chances, 6) < 1.0);
        assert!(expected(Claim::AtMost, 0.0, values, chances, 6) > 1.0);
        assert!(expected(Claim::AtLeast, 0.0, values, chances, 6) < 1.0);
        assert!(expected(Claim::AtLeast, 0.2, values, chances, 6) > 1.0);
    }

    #[test]
    fn a_false_claim_is_refuted() {
        let mut wager = Wager::new(Claim::AtMost, 0.05, -1.0, 1.0).unwrap();
        for i in 0..400 {
            wager.push(if i % 5 == 0 { 1.0 } else { 0.0 }).unwrap();
        }
        assert!(wager.refutes(0.001));
        assert_eq!(wager.n(), 400);
        // The largest wealth is kept when it is lost again.
        let peak = wager.log_peak();
        for _ in 0..400 {
            wager.push(-1.0).unwrap();
        }
        assert!(wager.log_e() < 0.0 && wager.log_peak() == peak && wager.refutes(0.001));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let new = |mean, low, high| Wager::new(Claim::AtMost, mean, low, high);
        for (mean, low, high) in
            [(0.0, 0.0, 1.0), (1.0, 0.0, 1.0), (f64::NAN, 0.0, 1.0), (0.5, 1.0, 0.0), (0.5, 0.0, f64::INFINITY)]
        {
            assert!(new(mean, low, high).is_err());
        }
        let mut wager = new(0.5, 0.0, 1.0).unwrap();
        for x in [-0.1, 1.1, f64::NAN] {
            assert!(wager.push(x).is_err());
        }
        assert_eq!(wager, new(0.5, 0.0, 1.0).unwrap());
        assert!(wager.merge(&new(0.4, 0.0, 1.0).unwrap()).is_err());
    }

    #[test]
    fn damaged_bets_are_refused() {
        let good = serde_json::to_value(Wager::new(Claim::AtMost, 0.5, 0.0, 1.0).unwrap()).unwrap();
        for (name, value) in [("logs", "[]"), ("peak", "\"NaN\""), ("mean", "\"2\""), ("low", "\"x\""), ("n", "-1")] {
            let mut bad = good.clone();
            bad[name] = serde_json::from_str(value).unwrap();
            assert!(serde_json::from_value::<Wager>(bad).is_err(), "{name}");
        }
        assert!(serde_json::from_value::<Wager>(good).is_ok());
    }

    proptest! {
        #[test]
        fn order_and_halves_change_nothing(mut numbers in prop::collection::vec(-1.0..=1.0, 1..60), at in 0_usize..60) {
            let all = |numbers: &[f64]| {
                let mut wager = Wager::new(Claim::AtLeast, 0.1, -1.0, 1.0).unwrap();
                for &x in numbers {
                    wager.push(x).unwrap();
                }
                wager
            };
            let whole = all(&numbers);
            let (one, two) = numbers.split_at(at.min(numbers.len()));
            let mut halves = all(one);
            halves.merge(&all(two)).unwrap();
            prop_assert!((halves.log_e() - whole.log_e()).abs() < 1e-9);
            prop_assert_eq!(halves.n(), whole.n());
            numbers.reverse();
            prop_assert!((all(&numbers).log_e() - whole.log_e()).abs() < 1e-9);
        }

        #[test]
        fn a_saved_bet_is_the_same_bet(numbers in prop::collection::vec(0.0..=1.0, 0..40), mean in 0.01..0.99) {
            let mut wager = Wager::new(Claim::AtMost, mean, 0.0, 1.0).unwrap();
            for &x in &numbers {
                wager.push(x).unwrap();
            }
            let text = serde_json::to_string(&wager).unwrap();
            prop_assert_eq!(serde_json::from_str::<Wager>(&text).unwrap(), wager);
        }
    }
}
