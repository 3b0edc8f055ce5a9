//! The limit that an answer gets where its caller gives none.
//!
//! Without one a call may cost as much as the longest answer its model can give, and a budget would have to set that aside.

use super::worst::Worst;
use crate::ledger::{Habits, Ledger};

/// Tokens while little is known of a model's answers.
const USUAL: u64 = 4096;
/// Answers from which on its 99th percentile counts.
const ENOUGH: u64 = 100;
/// The part of what is left that one call may take.
const PART: i64 = 64;
/// With less than this no provider answers at all.
const LEAST: u64 = 16;

/// Tokens of an answer, hidden reasoning included: twice what 99 of 100 answers of its model have, but no more than a 64th
/// of the money that is left pays for, nor than the model gives.
pub(super) fn limit(worst: &Worst, usual: u64, left: i64) -> u64 {
    let affordable = worst.affordable(left / PART).unwrap_or(u64::MAX);
    usual.min(affordable).min(worst.longest.unwrap_or(u64::MAX)).max(LEAST)
}

/// Twice the 99th percentile of a model's answers; 4,096 while fewer than 100 are known.
pub(super) fn usual(ledger: Option<&Ledger>, model: &str) -> u64 {
    ledger.and_then(|ledger| ledger.habits(model)).map_or(USUAL, |habits| usual_of(&habits))
}

fn usual_of(habits: &Habits) -> u64 {
    let quantiles = &habits.completion_quantiles;
    let Some(last) = quantiles.len().checked_sub(1).filter(|_| habits.answers >= ENOUGH) else { return USUAL };
    let at = (last as f64 * 0.99).ceil() as usize;
    (2.0 * quantiles[at.min(last)]).ceil() as u64
}

#[cfg(test)]
mod tests {
    use rust_decimal::Decimal;

    use super::*;

    fn worst(prompt: i64, token: i64, longest: Option<u64>) -> Worst {
        Worst { prompt: prompt.into(), token: token.into(), longest }
    }

    #[test]
    fn the_least_of_habit_money_and_model() {
        assert_eq!(limit(&worst(0, 1, None), 4096, i64::MAX), 4096);
        assert_eq!(limit(&worst(0, 1, Some(2048)), 4096, i64::MAX), 2048);
        assert_eq!(limit(&worst(36, 2, None), 4096, 64 * 1000), 482);
        // Where it pays for no answer at all, the least is tried.
        assert_eq!(limit(&worst(2000, 2, None), 4096, 64 * 1000), LEAST);
        assert_eq!(limit(&worst(0, 1, None), 4096, -5), LEAST);
        let free = Worst { prompt: Decimal::ZERO, token: Decimal::ZERO, longest: None };
        assert_eq!(limit(&free, 4096, 0), 4096);
    }

    #[test]
    fn habits_count_from_a_hundred_answers_on() {
        let quantiles: Vec<f64> = (0..=100).map(f64::from).collect();
        let habits = |answers| Habits { completion_quantiles: quantiles.clone(), answers, ..Habits::default() };
        assert_eq!((usual_of(&habits(99)), usual_of(&habits(100))), (USUAL, 198));
        assert_eq!(usual_of(&Habits { answers: 500, ..Habits::default() }), USUAL);
        assert_eq!(usual(None, "m"), USUAL);
    }
}
