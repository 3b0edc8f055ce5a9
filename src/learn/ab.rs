//! Which of two is better, asked after every request: arms by a stable hash, and a test that may be looked at at any time.
//!
//! Each score y counts as `z = (y - c) / q` where B gave it, a part q of all, and as `-(y - c) / (1 - q)` where A did; c is
//! what was to be expected by the scores before. The lot that chose the arm knows nothing of the request, so the mean of z,
//! given all that came before, is the difference of B and A **at that moment**: 0 if they are equally good, however both
//! change over time. A bet on these numbers is then worth 20 with a probability of 1/20 at most, ever. Differences of
//! scores that were paired as they came would not do: where the arms are not of one size, or by chance get ahead of each
//! other, the pairs drift apart in time, and a trend that both share looks like a difference.

use std::collections::HashSet;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::error::{Error, Result};
use crate::math::betting::total::Total;
use crate::math::betting::{Claim, LARGEST, Wager, log_mean_exp};

/// Scores of an arm that its expected one is a mean of, about: what came long before says little of now.
const REMEMBERED: f64 = 500.0;

/// How sure it has to be that scores do not come at the split before no winner is named for it.
const SKEW: f64 = 1e-3;

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
    split: f64,
    confidence: f64,
    /// No z is farther from 0.
    reach: f64,
    /// What is expected of A and of B.
    expected: [f64; 2],
    n: [u64; 2],
    sums: [f64; 2],
    /// Against "B is not better" and "A is not better".
    bets: [Wager; 2],
    /// Against "at most, and at least, that part of the scores is B's".
    parts: [Wager; 2],
    /// z and -z, in parts of the reach.
    totals: [Total; 2],
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
        let reach = reach(split);
        let pair = |mean, low, high| -> Result<[Wager; 2]> {
            Ok([Wager::new(Claim::AtMost, mean, low, high)?, Wager::new(Claim::AtLeast, mean, low, high)?])
        };
        Ok(Self {
            split,
            confidence,
            reach,
            expected: [0.5; 2],
            n: [0; 2],
            sums: [0.0; 2],
            bets: pair(0.0, -reach, reach)?,
            parts: pair(split, 0.0, 1.0)?,
            totals: [Total::default(); 2],
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
        // z varies least around what the smaller arm's scores are, mostly.
        let around = self.split.mul_add(self.expected[0], (1.0 - self.split) * self.expected[1]).clamp(0.0, 1.0);
        let z = match arm {
            Arm::A => (around - score) / (1.0 - self.split),
            Arm::B => (score - around) / self.split,
        }
        .clamp(-self.reach, self.reach);
        for bet in &mut self.bets {
            bet.push(z)?;
        }
        for part in &mut self.parts {
            part.push(if arm == Arm::B { 1.0 } else { 0.0 })?;
        }
        self.totals[0].push(z / self.reach);
        self.totals[1].push(-z / self.reach);
        let place = arm as usize;
        self.n[place] += 1;
        self.sums[place] += score;
        // The half of the beginning counts as one score.
        self.expected[place] += (score - self.expected[place]) / ((self.n[place] + 1) as f64).min(REMEMBERED);
        if self.winner.is_none() && self.log_e() >= -(1.0 - self.confidence).ln() && !self.is_skewed() {
            let arm = if self.bets[0].log_e() > self.bets[1].log_e() { Arm::B } else { Arm::A };
            self.winner = Some((arm, self.n[0] + self.n[1]));
        }
        Ok(true)
    }

    /// ln of the evidence that the two differ: half of the money says that B is better, half that A is.
    pub fn log_e(&self) -> f64 {
        log_mean_exp(&[self.bets[0].log_e(), self.bets[1].log_e()])
    }

    /// Whether the arms certainly get other parts of the scores than the split says. Then who is scored depends on the
    /// arm, or the keys are not those of [`arm`], and nothing can be said.
    pub fn is_skewed(&self) -> bool {
        log_mean_exp(&[self.parts[0].log_e(), self.parts[1].log_e()]) >= -SKEW.ln()
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

    /// The interval of B - A, as a mean over the time so far, valid at any time.
    pub fn interval(&self) -> (f64, f64) {
        let n = self.totals[0].n();
        if n == 0 {
            return (-1.0, 1.0);
        }
        let end = |total: &Total| (total.at_most((1.0 - self.confidence) / 2.0) * self.reach / n as f64).min(1.0);
        (-end(&self.totals[1]), end(&self.totals[0]))
    }
}

/// The most that one score can count.
fn reach(split: f64) -> f64 {
    1.0 / split.min(1.0 - split)
}

/// Scores of both arms together that find a difference of `effect` with probability `power`, if A's mean is `baseline`.
///
/// For scores of 0 and 1, which vary most; a test that may be looked at at any time needs about twice the number of one
/// that is looked at once. The best stake's wealth has to pay for the level and for not knowing the stake.
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
    let around = split.mul_add(baseline, (1.0 - split) * other);
    let sign = effect.signum();
    // What each outcome counts, for the one who bets on the side that is right, and how often it comes.
    let outcomes = [
        (-(1.0 - around) / (1.0 - split), (1.0 - split) * baseline),
        (around / (1.0 - split), (1.0 - split) * (1.0 - baseline)),
        ((1.0 - around) / split, split * other),
        (-around / split, split * (1.0 - other)),
    ];
    let grows = |stake: f64| {
        let mean = |of: &dyn Fn(f64) -> f64| {
            outcomes.iter().map(|(z, part)| part * of((stake * sign * z).ln_1p())).sum::<f64>()
        };
        let rate = mean(&|won| won);
        (rate, (mean(&|won| won * won) - rate * rate).max(0.0).sqrt())
    };
    let stakes = (0..100).map(|i| LARGEST / reach(split) * 0.5_f64.powf(f64::from(i) / 4.0));
    let (rate, spread) = stakes.map(grows).fold((0.0, 0.0), |best, one| if one.0 > best.0 { one } else { best });
    let (z, wealth) = (normal_quantile(power), (2.0 / (1.0 - confidence)).ln() + SPREAD);
    // As many as bring `rate` a score, less `z` standard deviations of `spread` each, to that wealth.
    let root = (z * spread + (z * spread).mul_add(z * spread, 4.0 * rate * wealth).sqrt()) / (2.0 * rate);
    Ok((root * root).ceil() as u64)
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

    /// Both arms change alike, at once or slowly, up or down: 150 trials of 10; more than 17 have a chance of 0.001.
    #[test]
    fn what_both_share_is_no_difference() {
        let trends: [fn(f64) -> f64; 3] =
            [|time| if time < 0.5 { 0.85 } else { 0.6 }, |time| 0.9 - 0.3 * time, |time| 0.4 + 0.5 * time];
        for split in [0.03, 0.2, 0.3, 0.4, 0.45, 0.5, 0.8] {
            for mean in trends {
                let won = (0..150)
                    .filter(|&seed| {
                        let mut trial = Trial::new(split, 0.95).unwrap();
                        for i in 0..3_000 {
                            let arm = if drawn(seed, 2 * i) < split { Arm::B } else { Arm::A };
                            let score = f64::from(drawn(seed, 2 * i + 1) < mean(i as f64 / 3_000.0));
                            trial.observe(arm, score, None).unwrap();
                        }
                        trial.winner().is_some()
                    })
                    .count();
                assert!(won <= 17, "{split}: {won}");
            }
        }
    }

    #[test]
    fn scores_that_do_not_come_at_the_split_have_no_winner() {
        let mut trial = Trial::new(0.5, 0.95).unwrap();
        for i in 0..2_000 {
            let arm = if drawn(3, 2 * i) < 0.3 { Arm::B } else { Arm::A };
            let mean = if arm == Arm::B { 0.1 } else { 0.9 };
            trial.observe(arm, f64::from(i > 200 && drawn(3, 2 * i + 1) < mean), None).unwrap();
        }
        assert!(trial.is_skewed() && trial.winner().is_none());
        assert!(trial.log_e() > 20_f64.ln());
    }

    #[test]
    fn the_interval_holds_the_mean_difference_over_time() {
        let missed = (0..100)
            .filter(|&seed| {
                let (mut trial, mut sum) = (Trial::new(0.3, 0.9).unwrap(), 0.0);
                (0..1_500).any(|i| {
                    let (base, effect) = if i < 700 { (0.8, -0.2) } else { (0.5, 0.3) };
                    sum += effect;
                    let arm = if drawn(seed, 2 * i) < 0.3 { Arm::B } else { Arm::A };
                    let mean = if arm == Arm::B { base + effect } else { base };
                    trial.observe(arm, f64::from(drawn(seed, 2 * i + 1) < mean), None).unwrap();
                    let (low, high) = if i % 50 == 49 { trial.interval() } else { (-1.0, 1.0) };
                    let now = sum / (i + 1) as f64;
                    !(low..=high).contains(&now)
                })
            })
            .count();
        // 100 runs at the level 0.1: more than 21 have a chance of 0.0005.
        assert!(missed <= 21, "{missed}");
    }

    #[test]
    fn the_required_number_is_enough() {
        for (baseline, effect, split) in [(0.6, 0.2, 0.5), (0.9, -0.15, 0.25), (0.7, 0.2, 0.05), (0.5, 0.3, 0.9)] {
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
