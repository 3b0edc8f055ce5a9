//! The lowest threshold whose mean cost is bounded, and the best of those that are.
//!
//! The same sequence of tests as for quality, the other way round: from the cheapest threshold, all calls weak, downward;
//! or from all calls strong upward where the weak model is the dearer one. What is bounded is the mean cost of a call; the quality of the threshold that is chosen is what the rows show.

use super::game::Game;
use super::{Key, cuts, scores, wins};
use crate::error::{Error, Result};

/// What each row's call costs by either model, in one currency; finite and not below 0.
#[derive(Debug, Clone, Copy)]
pub struct Prices<'a> {
    /// By the strong model.
    pub strong: &'a [f64],
    /// By the weak model.
    pub weak: &'a [f64],
    /// No call costs more.
    pub cap: f64,
    /// Testing begins with all calls strong. That must not be read off the rows.
    pub weak_is_dearer: bool,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Afforded {
    /// The threshold of the best mean score among those whose cost is bounded, 0 for all strong; none where none is.
    pub threshold: Option<f64>,
    /// The mean cost seen at the threshold; where there is none, at the first that was tested.
    pub cost: f64,
    /// The mean score seen at the same.
    pub score: f64,
    /// Rows below the threshold.
    pub below: usize,
}

/// The best threshold at a mean cost of at most `budget`, with probability `1 - delta`.
///
/// `quality` holds the strong and the weak model's scores.
pub fn afford(
    win_rates: &[f64],
    quality: (&[f64], &[f64]),
    prices: &Prices,
    budget: f64,
    delta: f64,
    seed: u64,
) -> Result<Afforded> {
    let n = win_rates.len();
    checked(win_rates, quality, prices, budget, delta)?;
    let (rates, order) = (cuts::floored(win_rates), Key::new(seed).shuffled(n));
    let arranged = |values: &[f64]| order.iter().map(|&row| values[row]).collect::<Vec<f64>>();
    let game = Game {
        rates: arranged(&rates),
        below: arranged(prices.weak),
        above: arranged(prices.strong),
        low: 0.0,
        high: prices.cap,
        among_below: false,
        delta,
        judged: None,
    };
    let scored = Game { below: arranged(quality.1), above: arranged(quality.0), high: 1.0, ..game.clone() };
    // Rows up to a cut are weak; at the highest threshold, 1, those with a score of 1 are not.
    let mut tested = cuts::distinct(&rates);
    tested.retain(|&cut| cut < 1.0);
    tested.insert(0, -1.0);
    if !prices.weak_is_dearer {
        tested.reverse();
    }
    let passed = passed(&game, &tested, budget);
    let best = (0..passed).max_by(|&one, &two| {
        // Of equal ones the cheaper, which comes first.
        scored.mean(tested[one]).total_cmp(&scored.mean(tested[two])).then(two.cmp(&one))
    });
    let at = best.unwrap_or(0);
    let cut = tested[at];
    // Rows from the next score up are strong.
    let above = if prices.weak_is_dearer { tested.get(at + 1) } else { at.checked_sub(1).map(|next| &tested[next]) };
    let threshold = if cut < 0.0 { 0.0 } else { above.copied().unwrap_or(1.0) };
    Ok(Afforded {
        threshold: best.map(|_| threshold),
        cost: game.mean(cut),
        score: scored.mean(cut),
        below: game.up_to(cut),
    })
}

fn passed(game: &Game, cuts: &[f64], budget: f64) -> usize {
    if budget <= game.low {
        return 0;
    }
    super::passed(game, cuts, budget)
}

fn checked(win_rates: &[f64], quality: (&[f64], &[f64]), prices: &Prices, budget: f64, delta: f64) -> Result<()> {
    let n = win_rates.len();
    wins(win_rates)?;
    let columns = [
        ("strong_scores", quality.0),
        ("weak_scores", quality.1),
        ("strong_costs", prices.strong),
        ("weak_costs", prices.weak),
    ];
    for (name, values) in columns {
        if values.len() != n {
            let message = format!("{name}: expected {n} numbers, as many as win rates; found {}", values.len());
            return Err(Error::value(message));
        }
    }
    for (name, values) in &columns[..2] {
        scores(name, values, false)?;
    }
    if !(prices.cap.is_finite() && prices.cap > 0.0) {
        return Err(Error::value(format!("max_cost: expected a cost above 0, found {}", prices.cap)));
    }
    for (name, values) in &columns[2..] {
        if let Some(row) = values.iter().position(|cost| !(0.0..=prices.cap).contains(cost)) {
            let (found, cap) = (values[row], prices.cap);
            return Err(Error::value(format!(
                "{name}: expected costs between 0 and {cap}, found {found} in row {row}"
            )));
        }
    }
    if !(budget.is_finite() && budget >= 0.0) {
        return Err(Error::value(format!("max_mean_cost: expected a cost of 0 or more, found {budget}")));
    }
    if !(delta > 0.0 && delta <= 0.5) {
        return Err(Error::value(format!("confidence: expected 0.5 to below 1, found {}", 1.0 - delta)));
    }
    Ok(())
}
