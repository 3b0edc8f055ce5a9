//! Evidence that a claim has stopped being true, at a time nobody knows.
//!
//! A gambler who has lost for a year needs a year to win it back. So a part of the wealth is held back for every later
//! start: a new gambler sits down every [`BLOCK`] numbers, with a part of the money that was set aside for him at the
//! beginning. Their wealth together is still a bet that starts with 1, so it reaches 1/δ with probability δ at most while
//! the claim holds, **for ever**; and a claim that breaks after j blocks is found with a delay that grows by ln j only.
//!
//! All gamblers of one stake win and lose in step, so one number a stake holds them all, however many there are: the
//! recursion of Shiryaev (1963), with prior weights and bets in the place of likelihoods.

use super::{BETS, Claim, checked, checked_range, log_mean_exp, stakes, surprise};
use crate::error::{Error, Result};

/// Numbers between two starts.
pub const BLOCK: u64 = 32;

/// A bet against "the mean is at most (or at least) so much, at every time".
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    claim: Claim,
    mean: f64,
    low: f64,
    high: f64,
    /// The part that the gambler of the beginning gets; the rest is for later starts.
    first: f64,
    /// ln of each stake's wealth, of all gamblers that have started.
    logs: [f64; BETS],
    /// For each stake the wealthiest gambler: his ln wealth, and at which number he started.
    leaders: [(f64, u64); BETS],
    n: u64,
}

impl Change {
    /// A bet on numbers in `low..=high`; `first`, in 0..1, is the part of the money that is bet from the beginning on.
    ///
    /// Much of it finds a claim that was false from the start; little of it one that breaks later.
    pub fn new(claim: Claim, mean: f64, low: f64, high: f64, first: f64) -> Result<Self> {
        checked_range(low, high)?;
        if !(low < mean && mean < high) {
            return Err(Error::value(format!("mean: expected a number inside of {low}..{high}, found {mean}")));
        }
        if !(0.0..1.0).contains(&first) {
            return Err(Error::value(format!("first: expected a part of 0 to below 1, found {first}")));
        }
        let nobody = (f64::NEG_INFINITY, 0);
        let logs = [f64::NEG_INFINITY; BETS];
        Ok(Self { claim, mean, low, high, first, logs, leaders: [nobody; BETS], n: 0 })
    }

    /// Sees one number.
    pub fn push(&mut self, x: f64) -> Result<()> {
        checked(x, self.low, self.high)?;
        if self.n.is_multiple_of(BLOCK) {
            self.sit_down();
        }
        let unit = surprise(self.claim, self.mean, self.low, self.high, x);
        for ((log, leader), stake) in self.logs.iter_mut().zip(&mut self.leaders).zip(stakes()) {
            let won = (stake * unit).ln_1p();
            *log += won;
            leader.0 += won;
        }
        self.n += 1;
        Ok(())
    }

    fn sit_down(&mut self) {
        let log = self.log_weight(self.n).max(f64::MIN);
        for (wealth, leader) in self.logs.iter_mut().zip(&mut self.leaders) {
            let top = wealth.max(log);
            *wealth = top + ((*wealth - top).exp() + (log - top).exp()).ln();
            if log >= leader.0 {
                *leader = (log, self.n);
            }
        }
    }

    /// ln of the part that the gambler gets who starts after so many numbers.
    ///
    /// The j-th start gets `1/log2(j + 1) - 1/log2(j + 2)`, which falls little faster than 1/j, and all of them get 1.
    fn log_weight(&self, start: u64) -> f64 {
        let block = (start / BLOCK) as f64;
        let later = (1.0 - self.first).ln() + part(block).ln();
        if start < BLOCK { (self.first + later.exp()).ln() } else { later }
    }

    /// ln of the wealth now, with what is set aside for later starts.
    pub fn log_e(&self) -> f64 {
        let started = self.n.div_ceil(BLOCK) as f64;
        let kept = (1.0 - self.first) * aside(started) + if self.n == 0 { self.first } else { 0.0 };
        let won = log_mean_exp(&self.logs);
        let top = won.max(0.0);
        top + ((won - top).exp() + kept * (-top).exp()).ln()
    }

    /// Whether the claim is refuted at the level `delta` now.
    pub fn refutes(&self, delta: f64) -> bool {
        self.log_e() >= -delta.ln()
    }

    /// After how many numbers the claim seems to have broken: where the wealthiest gambler sat down.
    pub fn since(&self) -> u64 {
        let first = (f64::NEG_INFINITY, 0);
        self.leaders.iter().copied().fold(first, |best, leader| if leader.0 > best.0 { leader } else { best }).1
    }

    /// Numbers seen.
    pub fn n(&self) -> u64 {
        self.n
    }
}

/// What is kept for the starts after the first `blocks` of them.
pub(crate) fn aside(blocks: f64) -> f64 {
    1.0 / (blocks + 2.0).log2()
}

/// The part of the start after so many blocks.
pub(crate) fn part(block: f64) -> f64 {
    aside(block) - aside(block + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(first: f64) -> Change {
        Change::new(Claim::AtMost, 0.05, -1.0, 1.0, first).unwrap()
    }

    #[test]
    fn the_parts_come_to_one() {
        for first in [0.0, 0.8] {
            let bet = change(first);
            let given: f64 = (0..100_000).map(|block| bet.log_weight(block * BLOCK).exp()).sum();
            let left = (1.0 - first) * aside(100_000.0);
            assert!((given + left - 1.0).abs() < 1e-9, "{first}: {given} {left}");
            assert!(bet.log_e().abs() < 1e-12);
        }
    }

    /// One number a stake stands for all gamblers: the same wealth as of a list of them.
    #[test]
    fn it_is_the_sum_over_all_starts() {
        let numbers: Vec<f64> = (0..200_u32).map(|i| f64::from(i * 7 % 11) / 5.0 - 1.0).collect();
        let mut bet = change(0.3);
        for &x in &numbers {
            bet.push(x).unwrap();
        }
        let wealth = |start: usize| {
            let logs: Vec<f64> = stakes()
                .map(|stake| {
                    let won = |&x: &f64| (stake * surprise(Claim::AtMost, 0.05, -1.0, 1.0, x)).ln_1p();
                    numbers[start..].iter().map(won).sum()
                })
                .collect();
            log_mean_exp(&logs).exp()
        };
        let started: Vec<usize> = (0..numbers.len()).step_by(BLOCK as usize).collect();
        let all: f64 = started.iter().map(|&start| bet.log_weight(start as u64).exp() * wealth(start)).sum();
        let kept = 0.7 * aside(started.len() as f64);
        assert!((bet.log_e() - (all + kept).ln()).abs() < 1e-9);
    }

    /// In expectation over all sequences of a true claim the wealth stays 1.
    #[test]
    fn a_true_claim_makes_nobody_richer() {
        let values = [(-1.0, 0.475), (1.0, 0.525)];
        let mut sum = 0.0;
        for sequence in 0_u32..1 << 10 {
            let (mut bet, mut chance) = (change(0.5), 1.0);
            for place in 0..10 {
                let (x, each) = values[(sequence >> place & 1) as usize];
                bet.push(x).unwrap();
                chance *= each;
            }
            sum += chance * bet.log_e().exp();
        }
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
    }

    #[test]
    fn a_break_after_a_long_good_time_is_found_and_dated() {
        let mut bet = change(0.0);
        for _ in 0..20_000 {
            bet.push(0.0).unwrap();
        }
        assert!(!bet.refutes(0.05));
        let mut delay = 0;
        while !bet.refutes(0.05) {
            bet.push(if delay % 4 == 0 { 1.0 } else { 0.0 }).unwrap();
            delay += 1;
        }
        assert!(delay < 200, "{delay}");
        assert!(bet.since().abs_diff(20_000) <= 2 * BLOCK, "{}", bet.since());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        assert!(Change::new(Claim::AtMost, 1.0, -1.0, 1.0, 0.0).is_err());
        assert!(Change::new(Claim::AtMost, 0.0, -1.0, 1.0, 1.0).is_err());
        assert!(change(0.0).push(f64::NAN).is_err());
    }
}
