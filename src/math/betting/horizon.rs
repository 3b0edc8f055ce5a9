//! Betting on a sample whose size is fixed beforehand.
//!
//! A gambler who may bet `n` times, and only wants to know whether he gets from 1 to 1/δ, does best to play as a trader
//! who hedges an option that pays 1/δ if the sum ends on the right side and nothing otherwise. With as many small steps
//! as there are numbers, the price of that option at any time is the chance of the right side, so his stake is its slope:
//! large while the goal is far and time is short, next to nothing once the goal is safe. Where the sample is large this
//! finds what the test with the normal approximation finds; but it is a bet, so its error is at most δ for every sample
//! size and every distribution in the range. Bets towards a target are due to Voráček and Orabona (2025,
//! arXiv:2505.22422); bets on a mean to Waudby-Smith and Ramdas (2024, arXiv:2010.09686).
//!
//! The result depends on the order of the numbers, which therefore must not depend on them: the caller draws it.
//! [`ABREAST`] bets run side by side, since one alone would mostly wait for its own square roots.

/// Bets that run side by side.
pub const ABREAST: usize = 8;

/// One number for each bet.
pub type Row<T = f64> = [T; ABREAST];

/// What is aimed at, as a multiple of the goal: a hedge misses by a little, to either side.
const AIM: f64 = 1.2;

/// The largest stake as a fraction of the one that could lose everything at once.
const LARGEST: f64 = 0.95;

/// How many numbers the first guess of the variance counts for.
const GUESSED: f64 = 15.0;

/// A normal density's top.
const TOP: f64 = 0.398_942_280_401_432_7;

/// Bets from 1 to 1/δ within given numbers of steps.
#[derive(Debug, Clone)]
pub struct Bets {
    /// Wealth as a part of the goal.
    part: Row,
    left: Row,
    guess: Row,
    seen: Row,
    sum: Row,
    squares: Row,
}

impl Bets {
    /// Bets of at most `steps` numbers each, at the level `delta`.
    ///
    /// `guess` is a first guess of the variance of what they win, above 0; it matters little, and not to validity.
    pub fn new(delta: f64, steps: Row, guess: Row) -> Self {
        let none = [0.0; ABREAST];
        Self { part: [delta; ABREAST], left: steps, guess, seen: none, sum: none, squares: none }
    }

    /// One step: what a stake of 1 wins, and the least it could have won, which is below 0.
    ///
    /// Where the claim is true, `wins` is 0 or less on average. A bet without a number in this step passes: `plays`.
    #[inline]
    pub fn push(&mut self, wins: &Row, least: &Row, plays: &Row<bool>) {
        for i in 0..ABREAST {
            let (seen, sum) = (self.seen[i], self.sum[i]);
            // Sums of nothing are 0, so the first mean may be divided by 1.
            let spread = (self.squares[i] - sum * (sum / seen.max(1.0))).max(0.0);
            let variance = (GUESSED * self.guess[i] + spread) / (GUESSED + seen);
            let chance = self.part[i] / AIM;
            let slope = slope(chance) / (chance * (variance * self.left[i].max(1.0)).sqrt());
            let stake = slope.min(-LARGEST / least[i]);
            // Who has reached the goal stops.
            let active = plays[i] && self.part[i] < 1.0;
            let factor = if active { 1.0 + stake * wins[i] } else { 1.0 };
            self.part[i] *= factor;
            let one = if plays[i] { 1.0 } else { 0.0 };
            self.left[i] -= one;
            self.seen[i] += one;
            self.sum[i] += one * wins[i];
            self.squares[i] += one * wins[i] * wins[i];
        }
    }

    /// Whether nothing is left to win.
    pub fn have_all_won(&self) -> bool {
        self.part.iter().all(|&part| part >= 1.0)
    }

    /// Which bets have reached their goal: the claims they were against are refuted.
    pub fn won(&self) -> Row<bool> {
        self.part.map(|part| part >= 1.0)
    }
}

/// The normal density at the quantile of `chance`, to a few per cent where it matters: square roots and products only, so
/// every processor stakes the same.
fn slope(chance: f64) -> f64 {
    let root = (4.0 * chance * (1.0 - chance)).max(0.0).sqrt();
    let fourth = root.sqrt();
    TOP * root * fourth * fourth.sqrt().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The mean wealth after all sequences of `steps` draws of three values, as a part of what there was.
    fn expected(values: [f64; 3], chances: [f64; 3], steps: u32) -> f64 {
        let mut sum = 0.0;
        for sequence in 0..3_usize.pow(steps) {
            let mut bets = Bets::new(0.05, [f64::from(steps); ABREAST], [0.1; ABREAST]);
            let mut chance = 1.0;
            for place in 0..steps {
                let which = sequence / 3_usize.pow(place) % 3;
                chance *= chances[which];
                bets.push(&[values[which]; ABREAST], &[-1.2; ABREAST], &[true; ABREAST]);
            }
            assert!(bets.part.iter().all(|&part| part == bets.part[0] && part >= 0.0));
            sum += chance * bets.part[0];
        }
        sum / 0.05
    }

    #[test]
    fn a_fair_game_makes_nobody_richer() {
        // 0.25 * 1.2 - 0.25 * 1.2 = 0, with stakes that follow what was seen, and stop at the goal.
        let fair = expected([-1.2, 0.0, 1.2], [0.25, 0.5, 0.25], 8);
        assert!((fair - 1.0).abs() < 1e-12, "{fair}");
        assert!(expected([-1.2, 0.0, 1.2], [0.3, 0.5, 0.2], 8) < 1.0);
        assert!(expected([-1.2, 0.0, 1.2], [0.2, 0.5, 0.3], 8) > 1.0);
    }

    #[test]
    fn the_goal_is_reached_as_soon_as_it_can_be() {
        // A sure win of 0.05 a step with a stake of 0.95 / 0.95 at most: 1.05 to the power of n reaches 20 at 62.
        let play = |n: usize| {
            let mut bets = Bets::new(0.05, [n as f64; ABREAST], [0.05; ABREAST]);
            (0..n).for_each(|_| bets.push(&[0.05; ABREAST], &[-0.95; ABREAST], &[true; ABREAST]));
            bets
        };
        assert!(play(62).have_all_won() && !play(61).have_all_won());
    }

    #[test]
    fn who_does_not_play_stays_as_he_is() {
        let plays = std::array::from_fn(|i| i % 2 == 0);
        let mut bets = Bets::new(0.05, [100.0; ABREAST], [0.05; ABREAST]);
        (0..100).for_each(|_| bets.push(&[0.05; ABREAST], &[-0.95; ABREAST], &plays));
        assert_eq!(bets.won(), plays);
        assert!(!bets.have_all_won());
        assert_eq!(bets.part[1], 0.05);
    }

    proptest! {
        #[test]
        fn nobody_goes_bankrupt(wins in prop::collection::vec(-0.9..=1.1, 1..200), guess in 1e-6..1.0) {
            let mut bets = Bets::new(0.01, [wins.len() as f64; ABREAST], [guess; ABREAST]);
            for &one in &wins {
                bets.push(&[one; ABREAST], &[-0.9; ABREAST], &[true; ABREAST]);
                prop_assert!(bets.part.iter().all(|&part| part > 0.0 && part.is_finite()));
            }
        }

        #[test]
        fn slopes_are_those_of_the_normal_distribution(z in -3.0..0.97) {
            // The chance of less than z, by Simpson's rule from far below.
            let density = |x: f64| TOP * (-x * x / 2.0).exp();
            let (from, steps) = (-9.0, 2_000);
            let width = (z - from) / f64::from(steps);
            let at = |i: i32| density(from + width * f64::from(i)) * [2.0, 4.0][i as usize % 2];
            let chance = ((1..steps).map(at).sum::<f64>() + density(from) + density(z)) * width / 3.0;
            prop_assert!((slope(chance) / density(z) - 1.0).abs() < 0.4, "{} {}", slope(chance), density(z));
        }
    }
}
