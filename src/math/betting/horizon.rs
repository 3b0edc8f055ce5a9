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
