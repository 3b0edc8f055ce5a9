//! Which of two is better, asked after every request: arms by a stable hash, and a test that may be looked at at any time.
//!
//! The k-th score of one arm is set against the k-th of the other (or against the mean of several, where the arms are not of
//! one size). If both are equally good, these differences are 0 on average, whatever the scores look like and in whatever
//! order the arms come, so a bet on them is worth 20 with a probability of 1/20 at most, ever.

use std::collections::HashSet;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::{Error, Result};
use crate::math::betting::tally::Tally;
use crate::math::betting::{Claim, Wager, log_mean_exp};

/// The most scores of the larger arm that are set against one of the smaller.
const MOST: f64 = 20.0;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arm {
    /// The first.
    A,
    /// The second.
    B,
}

/// The arm of a key: the same in every process and version. `split` is the part of the keys that goes to B.
pub fn arm(salt: &str, key: &str, split: f64) -> Arm {
    let mut hash = Xxh3::new();
    hash.update(&(salt.len() as u64).to_le_bytes());
    hash.update(salt.as_bytes());
    hash.update(key.as_bytes());
    let place = (hash.digest() >> 11) as f64 / (1_u64 << 53) as f64;
    if place < split { Arm::B } else { Arm::A }
}

/// A test of two arms whose scores are in 0..=1.
#[derive(Debug, Clone)]
pub struct Trial {
    confidence: f64,
    /// Scores of A and of B in one difference.
    block: [usize; 2],
    waiting: [Vec<f64>; 2],
    n: [u64; 2],
    sums: [f64; 2],
    /// Against "B is not better" and "A is not better".
    bets: [Wager; 2],
    differences: Tally,
    seen: HashSet<u64>,
    winner: Option<(Arm, u64)>,
}

impl Trial {
    /// A test at `confidence`, of arms that get `1 - split` and `split` of the keys.
    pub fn new(split: f64, confidence: f64) -> Result<Self> {
        for (name, value) in [("split", split), ("confidence", confidence)] {
            if !(value > 0.0 && value < 1.0) {
                return Err(Error::value(format!("{name}: expected a number inside of 0..1, found {value}")));
            }
        }
        let bet = |claim| Wager::new(claim, 0.0, -1.0, 1.0);
        Ok(Self {
            confidence,
            block: block(split),
            waiting: [Vec::new(), Vec::new()],
            n: [0; 2],
            sums: [0.0; 2],
            bets: [bet(Claim::AtMost)?, bet(Claim::AtLeast)?],
            differences: Tally::new(-1.0, 1.0)?,
            seen: HashSet::new(),
            winner: None,
        })
    }

    /// Takes in a score. Of each key the first counts: what one user thinks of ten answers is not ten opinions. Returns
    /// whether it counted.
    pub fn observe(&mut self, arm: Arm, score: f64, key: Option<&str>) -> Result<bool> {
        if !(0.0..=1.0).contains(&score) {
            return Err(Error::value(format!("score: expected a number between 0 and 1, found {score}")));
        }
        if let Some(key) = key
            && !self.seen.insert(xxh3_64(key.as_bytes()))
        {
            return Ok(false);
        }
        let place = arm as usize;
        self.n[place] += 1;
        self.sums[place] += score;
        self.waiting[place].push(score);
        if self.waiting.iter().zip(self.block).all(|(waiting, needed)| waiting.len() >= needed) {
            let mut mean = [0.0; 2];
            for ((mean, waiting), needed) in mean.iter_mut().zip(&mut self.waiting).zip(self.block) {
                *mean = waiting.drain(..needed).sum::<f64>() / needed as f64;
            }
            let difference = (mean[1] - mean[0]).clamp(-1.0, 1.0);
            self.differences.push(difference)?;
            for bet in &mut self.bets {
                bet.push(difference)?;
            }
            if self.winner.is_none() && self.log_e() >= -(1.0 - self.confidence).ln() {
                let arm = if self.bets[0].log_e() > self.bets[1].log_e() { Arm::B } else { Arm::A };
                self.winner = Some((arm, self.n[0] + self.n[1]));
            }
        }
        Ok(true)
    }

    /// ln of the evidence that the two differ: half of the money says that B is better, half that A is.
    pub fn log_e(&self) -> f64 {
        log_mean_exp(&[self.bets[0].log_e(), self.bets[1].log_e()])
    }

    /// The winner, and after how many scores it was one; what was decided stays so.
    pub fn winner(&self) -> Option<(Arm, u64)> {
        self.winner
    }

    /// Scores of A and B.
    pub fn n(&self) -> [u64; 2] {
        self.n
    }

    /// Mean scores of A and B; NaN where there is none.
    pub fn means(&self) -> [f64; 2] {
        [self.sums[0] / self.n[0] as f64, self.sums[1] / self.n[1] as f64]
    }

    /// The interval of B - A, valid at any time.
    pub fn interval(&self) -> (f64, f64) {
        self.differences.interval(self.confidence)
    }
}

/// Scores of A and of B that make one difference.
fn block(split: f64) -> [usize; 2] {
    let (more, swap) = if split <= 0.5 { ((1.0 - split) / split, false) } else { (split / (1.0 - split), true) };
    let more = more.round().clamp(1.0, MOST) as usize;
    if swap { [1, more] } else { [more, 1] }
}

/// Scores of both arms together that find a difference of `effect` with probability `power`, if A's mean is `baseline`.
///
/// For scores of 0 and 1, which vary most; a test that may be looked at at any time needs about twice the number of one
/// that is looked at once. The wealth of the best stake grows by `effect²/2v` a difference of variance v, and has to pay
/// for the level and for not knowing the stake.
pub fn required_n(effect: f64, baseline: f64, power: f64, split: f64, confidence: f64) -> Result<u64> {
    /// ln of what is lost by spreading the money over all stakes; found by simulation.
    const SPREAD: f64 = 1.5;
    let inside = |name: &str, value: f64| {
        let fine = value > 0.0 && value < 1.0;
        fine.then_some(())
            .ok_or_else(|| Error::value(format!("{name}: expected a number inside of 0..1, found {value}")))
    };
    inside("power", power)?;
    inside("split", split)?;
    inside("confidence", confidence)?;
    inside("effect", effect.abs())?;
    let other = baseline + effect;
    if !(0.0..=1.0).contains(&baseline) || !(0.0..=1.0).contains(&other) {
        return Err(Error::value(format!(
            "baseline: expected a mean score that stays between 0 and 1 with the effect, found {baseline} and {other}"
        )));
    }
    let [a, b] = block(split);
    let variance = baseline * (1.0 - baseline) / a as f64 + other * (1.0 - other) / b as f64;
    let z = normal_quantile(power);
    let wealth = (2.0 / (1.0 - confidence)).ln() + SPREAD;
    let root = z + (z * z + 2.0 * wealth).sqrt();
    // However little it varies, no bet wins more than twice its money at once.
    let differences = (variance / (effect * effect) * root * root).max(wealth / (2.0 * effect.abs()).min(1.0).ln_1p());
    Ok(differences.ceil() as u64 * (a + b) as u64)
}

/// Where the normal distribution reaches `p`.
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (-6.0, 6.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if normal(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// The normal distribution, by Marsaglia's series (2004).
fn normal(z: f64) -> f64 {
    let (mut term, mut sum) = (z, z);
    for i in 1..200 {
        term *= z * z / f64::from(2 * i + 1);
        sum += term;
    }
    0.5 + sum * (-z * z / 2.0).exp() / std::f64::consts::TAU.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64, i: u64) -> f64 {
        (xxh3_64(&[seed.to_le_bytes(), i.to_le_bytes()].concat()) >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[test]
    fn arms_follow_the_split_and_never_change() {
        let share = |salt: &str, split| {
            let b = (0..10_000).filter(|user| arm(salt, &format!("user {user}"), split) == Arm::B).count();
            b as f64 / 10_000.0
        };
        for split in [0.1, 0.5, 0.9] {
            assert!((share("x", split) - split).abs() < 0.02, "{split}");
        }
        let told: Vec<Arm> = ["ann", "bob", "eve", "joe"].map(|user| arm("test", user, 0.5)).to_vec();
        assert_eq!(told, [Arm::A, Arm::A, Arm::A, Arm::B]);
    }

    /// Looked at after every score, with unequal arms: 300 trials at the level 0.05; more than 27 have a chance of 0.002.
    #[test]
    fn equal_arms_have_a_winner_once_in_twenty_at_most() {
        for split in [0.5, 0.2] {
            let won = (0..300)
                .filter(|&seed| {
                    let mut trial = Trial::new(split, 0.95).unwrap();
                    for i in 0..2_000 {
                        let arm = if drawn(seed, 2 * i) < split { Arm::B } else { Arm::A };
                        trial.observe(arm, f64::from(drawn(seed, 2 * i + 1) < 0.7), None).unwrap();
                    }
                    trial.winner().is_some()
                })
                .count();
            assert!(won <= 27, "{split}: {won}");
        }
    }

    #[test]
    fn the_required_number_is_enough() {
        for (baseline, effect, split) in [(0.6, 0.2, 0.5), (0.9, -0.15, 0.25)] {
            let n = required_n(effect, baseline, 0.8, split, 0.95).unwrap();
            let found = (0..200)
                .filter(|&seed| {
                    let mut trial = Trial::new(split, 0.95).unwrap();
                    for i in 0..n {
                        let arm = if drawn(seed, 2 * i) < split { Arm::B } else { Arm::A };
                        let mean = if arm == Arm::B { baseline + effect } else { baseline };
                        trial.observe(arm, f64::from(drawn(seed, 2 * i + 1) < mean), None).unwrap();
                    }
                    trial.winner().map(|(arm, _)| arm) == Some(if effect > 0.0 { Arm::B } else { Arm::A })
                })
                .count();
            // 0.8 of 200, less three standard deviations.
            assert!(found >= 143, "{baseline} {effect}: {found} of 200 at {n}");
        }
    }

    #[test]
    fn a_key_counts_once() {
        let mut trial = Trial::new(0.5, 0.95).unwrap();
        assert!(trial.observe(Arm::A, 1.0, Some("ann")).unwrap());
        assert!(!trial.observe(Arm::A, 1.0, Some("ann")).unwrap());
        assert!(trial.observe(Arm::A, 1.0, None).unwrap());
        assert_eq!(trial.n(), [2, 0]);
        assert!(trial.observe(Arm::A, 1.5, None).is_err());
    }

    #[test]
    fn normal_quantiles_are_known() {
        for (p, z) in [(0.5, 0.0), (0.8, 0.841_621), (0.975, 1.959_964), (0.01, -2.326_348)] {
            assert!((normal_quantile(p) - z).abs() < 1e-5, "{p}");
        }
    }
}
