//! How large the sum of means can be behind a sum of numbers, whatever the means do.
//!
//! The mean of each number may depend on all that came before and change at any time. The bound is valid at all times
//! together: `exp(λ Σ(mean - x) - ψ(λ) Σ(x - guess)²)` with `ψ(λ) = -ln(1 - λ) - λ` is on average 1 at most for numbers
//! in -1..=1 and guesses in 0..=1 that are made beforehand (Fan, Grama and Liu 2015; Howard et al. 2021,
//! arXiv:1810.08240), so a mixture over λ reaches 1/δ with probability δ at most.

use super::log_mean_exp;

/// How many λ share the wealth: 0.9 and downwards, each 0.6 of the one before.
const RATES: usize = 10;

/// Numbers in -1..=1, and what is known of the sum of their means.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Total {
    sum: f64,
    /// Squared distances from the guesses.
    spread: f64,
    n: u64,
}

impl Total {
    /// Sees one number. One beyond -1..=1 counts as the end of it.
    pub fn push(&mut self, x: f64) {
        let x = x.clamp(-1.0, 1.0);
        let guess = (self.sum / self.n.max(1) as f64).clamp(0.0, 1.0);
        self.spread += (x - guess) * (x - guess);
        self.sum += x;
        self.n += 1;
    }

    /// Sees a number that is known to be 0 beforehand, as its mean is.
    pub fn rest(&mut self) {
        self.n += 1;
    }

    /// The sum of the numbers.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// How many.
    pub fn n(&self) -> u64 {
        self.n
    }

    /// Whether the sum of the means is below `most`: with probability 1 - `delta` every yes is right, at all times.
    pub fn is_below(&self, most: f64, delta: f64) -> bool {
        let room = most - self.sum;
        room > 0.0 && self.log_e(room) >= -delta.ln()
    }

    /// A bound of the sum of the means.
    pub fn at_most(&self, delta: f64) -> f64 {
        let (mut low, mut high) = (0.0, 1.0);
        while self.log_e(high) < -delta.ln() {
            (low, high) = (high, 2.0 * high);
        }
        for _ in 0..50 {
            let middle = f64::midpoint(low, high);
            if self.log_e(middle) < -delta.ln() {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.sum + high
    }

    /// ln of the wealth if the means together were above the numbers by `room`.
    fn log_e(&self, room: f64) -> f64 {
        let mut logs = [0.0; RATES];
        let mut rate = 0.9_f64;
        for log in &mut logs {
            *log = rate * room + ((-rate).ln_1p() + rate) * self.spread;
            rate *= 0.6;
        }
        log_mean_exp(&logs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bound_is_where_the_answer_turns() {
        let mut total = Total::default();
        for i in 0..1_000 {
            total.push(if i % 10 == 0 { 1.0 } else { 0.0 });
        }
        let bound = total.at_most(0.05);
        assert!(total.is_below(bound + 1e-6, 0.05) && !total.is_below(bound - 1e-6, 0.05));
        assert!((100.0..150.0).contains(&bound), "{bound}");
    }

    proptest! {
        /// The wealth on two numbers whose second mean depends on the first is 1 at most, exactly averaged.
        #[test]
        fn no_world_makes_it_richer(means in prop::array::uniform3(-1.0..=1.0_f64), rate in 0..10_i32) {
            let rate = 0.9 * 0.6_f64.powi(rate);
            let mut expected = 0.0;
            for (first, second) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
                let later = if first < 0.0 { means[1] } else { means[2] };
                let chance = |x: f64, mean: f64| f64::midpoint(1.0, x * mean);
                let mut total = Total::default();
                total.push(first);
                total.push(second);
                let above = means[0] + later - total.sum();
                let log = rate * above + ((-rate).ln_1p() + rate) * total.spread;
                expected += chance(first, means[0]) * chance(second, later) * log.exp();
            }
            prop_assert!(expected <= 1.0 + 1e-9, "{expected}");
        }
    }
}
