//! Regret, whose sum only grows with the threshold: counted exactly for scores of 0 and 1 (Clopper and Pearson), else by
//! the bounds of Hoeffding and Bentkus. Neither depends on an order.

use super::game::Game;
use crate::math::{binomial, bounds};

/// Halvings that find the bound.
const HALVINGS: usize = 40;

/// How many cuts, which ascend, pass before the first fails.
pub(super) fn passed(game: &Game, cuts: &[f64], most: f64) -> usize {
    let n = game.rates.len() as u64;
    let exact = is_counted(game);
    let mut rows: Vec<(f64, f64)> = game.rates.iter().copied().zip(game.below.iter().copied()).collect();
    rows.sort_unstable_by(|one, two| one.0.total_cmp(&two.0));
    let (mut rows, mut sum, mut tested) = (rows.into_iter().peekable(), 0.0, f64::NAN);
    for (index, &cut) in cuts.iter().enumerate() {
        while let Some((_, loss)) = rows.next_if(|&(rate, _)| rate <= cut) {
            sum += loss;
        }
        // A test that has passed need not be made again.
        if sum != tested && !is_small(sum, n, most, game.delta, exact) {
            return index;
        }
        tested = sum;
    }
    cuts.len()
}

/// The least mean that is refuted at a cut.
pub(super) fn bound(game: &Game, cut: f64) -> f64 {
    let n = game.rates.len() as u64;
    let rows = game.rates.iter().zip(&game.below);
    let sum: f64 = rows.filter(|&(&rate, _)| rate <= cut).map(|(_, &loss)| loss).sum();
    if is_counted(game) {
        return binomial::upper(sum as u64, n, game.delta);
    }
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = f64::midpoint(low, high);
        if is_small(sum, n, middle, game.delta, false) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

/// Whether "the mean is `mean` or more" is refuted.
fn is_small(sum: f64, n: u64, mean: f64, delta: f64, exact: bool) -> bool {
    let chance = if exact { binomial::at_most(sum as u64, n, mean) } else { bounds::hoeffding_bentkus(sum, n, mean) };
    n > 0 && mean > 0.0 && chance <= delta
}

/// Whether answers are graded as right or wrong. That is a property of the grading, known before the labels; it is read
/// off them here.
fn is_counted(game: &Game) -> bool {
    game.below.iter().all(|&loss| loss == 0.0 || loss == 1.0)
}
