//! The highest threshold whose loss of quality is bounded, and the certificate's numbers.
//!
//! A row is a prompt of which the scores of both models are known. At a threshold `t` the weak model answers the rows
//! whose win rate is below `t`, and the loss is what the strong model would have scored more. Thresholds are tested from
//! the safest upward, each at the whole level δ, until one fails ("fixed-sequence Learn-then-Test", Angelopoulos et al.
//! 2021, arXiv:2110.01052): to certify one that loses too much, the first such threshold of the sequence must pass its
//! test, which has probability δ at most. That the loss grows with the threshold is not assumed.
//!
//! What is assumed: rows are independent draws of the traffic for which the threshold is meant, or a random sample of it.

mod budget;
mod counted;
mod cuts;
mod game;
#[cfg(test)]
mod tests;

pub use budget::{Afforded, Prices, afford};

use super::noise::Key;
use crate::error::{Error, Result};
use crate::math::betting::horizon::{ABREAST, Row};
use game::{Game, Judged};

/// Up to how many true labels regret is bounded by them alone: counted exactly they say more than with a judge's help.
const COUNTED: usize = 1_000;

/// What is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// The mean over all traffic of strong - weak where the weak model answers: prompts it does better offset others.
    Net,
    /// The same without credit for prompts where the weak model does better.
    Regret,
    /// The mean of strong - weak over the prompts the weak model answers, given how many they are.
    WeakRouted,
}

/// The labelled rows.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Win rates, 0..=1 up to rounding.
    pub win_rates: &'a [f64],
    /// The strong model's scores, 0..=1.
    pub strong: &'a [f64],
    /// The weak model's scores, 0..=1.
    pub weak: &'a [f64],
    /// True scores `(strong, weak)` where the others are a judge's; NaN where they are not known. The rows that have them
    /// must be a random choice.
    pub gold: Option<(&'a [f64], &'a [f64])>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// What is bounded.
    pub risk: Risk,
    /// The most that may be lost, 0..1, over the rows' own population.
    pub most: f64,
    /// The probability with which the bound may fail, above 0 and at most 1/2.
    pub delta: f64,
    /// The safest threshold tested, chosen without a look at these rows: below it there should be rows enough for a mean
    /// of their own. Only for [`Risk::WeakRouted`], which without one sets rows aside to find it ([`first_share`]).
    pub start: Option<f64>,
    /// No threshold above it is considered, 0..=1.
    pub ceiling: f64,
    /// Draws the order of betting.
    pub seed: u64,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The highest certified threshold that sends a row to the weak model; none where nothing is certified.
    pub threshold: Option<f64>,
    /// The mean loss seen at the threshold (0 where there is none): of the true scores where only they count.
    pub loss: f64,
    /// The upper confidence bound of the loss at the threshold: [`Terms::most`], unless all thresholds passed. Then the
    /// threshold was not chosen by the labels, and what its own test says is a bound as well.
    pub bound: f64,
    /// Rows whose truth is known.
    pub n: usize,
    /// Rows of which only a judge's opinion is known.
    pub judged: usize,
    /// The rows of `n` that are below the threshold.
    pub below: usize,
    /// The next threshold's loss, which could not be bounded; none where all were certified.
    pub failed: Option<f64>,
}

/// The highest threshold with a bounded loss.
pub fn certify(rows: &Rows, terms: &Terms) -> Result<Found> {
    checked(rows, terms)?;
    let low = if terms.risk == Risk::Regret { 0.0 } else { -1.0 };
    let (game, start) = arranged(rows, terms, low);
    let cuts = sequence(&game, start, terms.ceiling);
    let is_counted = terms.risk == Risk::Regret && game.judged.is_none();
    let passed = if is_counted { counted::passed(&game, &cuts, terms.most) } else { passed(&game, &cuts, terms.most) };
    let n = game.rates.len();
    let judged = game.judged.as_ref().map_or(0, |judged| judged.rates.len());
    let failed = cuts.get(passed).map(|&cut| game.mean(cut));
    let last = passed.checked_sub(1).map(|last| cuts[last]).filter(|&cut| game.up_to(cut) > 0);
    let Some(cut) = last else {
        return Ok(Found { threshold: None, loss: 0.0, bound: 0.0, n, judged, below: 0, failed });
    };
    let bound = match failed {
        Some(_) => terms.most,
        None if is_counted => counted::bound(&game, cut).min(terms.most),
        None => bound(&game, cut, terms.most),
    };
    // The same rows are below up to the next score, and no threshold is above the ceiling.
    let threshold = cuts.get(passed).copied().unwrap_or(terms.ceiling);
    Ok(Found { threshold: Some(threshold), loss: game.mean(cut), bound, n, judged, below: game.up_to(cut), failed })
}

/// The share of the traffic below the first threshold whose mean is tested among the weak-routed.
///
/// Fewer rows say too little to go on from, more may already lose too much. A fifth did well for several sizes and
/// bounds; at least there must be twice the rows which, all without loss, would pass.
pub fn first_share(rows: usize, most: f64, delta: f64) -> f64 {
    let least = 2.0 * delta.ln() / (-most).ln_1p() / rows as f64;
    least.clamp(0.2, 0.5)
}

/// The rows in the order of betting, and the first threshold.
fn arranged(rows: &Rows, terms: &Terms, low: f64) -> (Game, f64) {
    let regret = terms.risk == Risk::Regret;
    let loss = |strong: f64, weak: f64| if regret { (strong - weak).max(0.0) } else { strong - weak };
    let rates = cuts::floored(rows.win_rates);
    let opinion = |row: usize| loss(rows.strong[row], rows.weak[row]);
    let mut order = Key::new(terms.seed).shuffled(rates.len());
    let start = match (terms.risk, terms.start) {
        (Risk::WeakRouted, Some(start)) => start,
        (Risk::WeakRouted, None) => {
            let aside = set_aside(&mut order, rows);
            let share = first_share(order.len(), terms.most, terms.delta);
            quantile(&aside.iter().map(|&row| rates[row]).collect::<Vec<_>>(), share)
        }
        _ => 0.0,
    };
    let judged = rows.gold.and_then(|(strong, weak)| {
        let others: Vec<usize> = order.iter().copied().filter(|&row| is_unknown(strong[row], weak[row])).collect();
        order.retain(|&row| !is_unknown(strong[row], weak[row]));
        let is_of_use = !(regret && order.len() < COUNTED);
        is_of_use.then(|| Judged {
            own: order.iter().map(|&row| opinion(row)).collect(),
            rates: others.iter().map(|&row| rates[row]).collect(),
            opinions: others.iter().map(|&row| opinion(row)).collect(),
        })
    });
    let truth = |row: usize| rows.gold.map_or_else(|| opinion(row), |(strong, weak)| loss(strong[row], weak[row]));
    let game = Game {
        rates: order.iter().map(|&row| rates[row]).collect(),
        below: order.iter().map(|&row| truth(row)).collect(),
        above: vec![0.0; order.len()],
        low,
        high: 1.0,
        among_below: terms.risk == Risk::WeakRouted,
        delta: terms.delta,
        judged,
    };
    (game, start)
}

/// Rows whose scores may be looked at, because nothing else of them will be: a tenth and 100 at most, none with known
/// truth where others are there.
fn set_aside(order: &mut Vec<usize>, rows: &Rows) -> Vec<usize> {
    const MOST: usize = 100;
    let wanted = (order.len() / 10).clamp(1, MOST);
    let is_spare = |row: usize| rows.gold.is_none_or(|(strong, weak)| is_unknown(strong[row], weak[row]));
    let spare: Vec<usize> = order.iter().copied().filter(|&row| is_spare(row)).take(wanted).collect();
    let aside = if spare.len() == wanted { spare } else { order[..wanted].to_vec() };
    order.retain(|row| !aside.contains(row));
    aside
}

/// The number below which about `share` of the numbers lie; 0 of none.
fn quantile(numbers: &[f64], share: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let at = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(at.min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

fn is_unknown(strong: f64, weak: f64) -> bool {
    strong.is_nan() || weak.is_nan()
}

/// The scores after which the tested thresholds lie, in their order. The first stands for the starting threshold itself.
fn sequence(game: &Game, start: f64, ceiling: f64) -> Vec<f64> {
    let mut all = cuts::distinct(&game.rates);
    all.retain(|&cut| cut < ceiling);
    let before = all.partition_point(|&cut| cut < start);
    let mut tested = vec![before.checked_sub(1).map_or(-1.0, |last| all[last])];
    tested.extend_from_slice(&all[before..]);
    tested
}

/// How many cuts pass before the first fails.
fn passed(game: &Game, cuts: &[f64], most: f64) -> usize {
    if most >= game.high {
        return cuts.len();
    }
    let means = [most; ABREAST];
    for (batch, chunk) in cuts.chunks(ABREAST).enumerate() {
        let row: Row = std::array::from_fn(|i| chunk[i.min(chunk.len() - 1)]);
        let refuted = game.refuted(&row, &means);
        if let Some(failed) = refuted[..chunk.len()].iter().position(|refuted| !refuted) {
            return batch * ABREAST + failed;
        }
    }
    cuts.len()
}

/// The least mean that is refuted, found by asking for [`ABREAST`] at once; `most` if that is at the range's end.
fn bound(game: &Game, cut: f64, most: f64) -> f64 {
    const ROUNDS: usize = 5;
    if most >= game.high {
        return most;
    }
    let (mut low, mut high) = (game.mean(cut).clamp(game.low, most), most);
    for _ in 0..ROUNDS {
        let step = (high - low) / (ABREAST + 1) as f64;
        if step <= 0.0 {
            break;
        }
        let means: Row = std::array::from_fn(|i| low + step * (i + 1) as f64);
        let refuted = game.refuted(&[cut; ABREAST], &means);
        // Down from the top as long as they are refuted: what is below a mean that stands, stands.
        match refuted.iter().rposition(|refuted| !refuted) {
            None => high = means[0],
            Some(stands) => {
                low = means[stands];
                high = means.get(stands + 1).copied().unwrap_or(high);
            }
        }
    }
    high
}

impl Game {
    /// The mean over the rows whose truth is known, at a cut; 0 over none.
    fn mean(&self, cut: f64) -> f64 {
        let (mut sum, mut count) = (0.0, 0usize);
        for ((&rate, &below), &above) in self.rates.iter().zip(&self.below).zip(&self.above) {
            if rate <= cut {
                sum += below;
                count += 1;
            } else if !self.among_below {
                sum += above;
                count += 1;
            }
        }
        if count == 0 { 0.0 } else { sum / count as f64 }
    }
}

fn checked(rows: &Rows, terms: &Terms) -> Result<()> {
    let n = rows.win_rates.len();
    let columns = [("strong_scores", rows.strong), ("weak_scores", rows.weak)];
    let gold = rows.gold.map(|(strong, weak)| [("gold: strong", strong), ("gold: weak", weak)]);
    for (name, values) in columns.iter().chain(gold.iter().flatten()) {
        if values.len() != n {
            return Err(Error::value(format!(
                "{name}: expected {n} scores, as many as win rates; found {}",
                values.len()
            )));
        }
    }
    wins(rows.win_rates)?;
    for (name, values) in columns {
        scores(name, values, false)?;
    }
    for (name, values) in gold.iter().flatten() {
        scores(name, values, true)?;
    }
    if !(0.0..=1.0).contains(&terms.most) {
        return Err(Error::value(format!("max_quality_loss: expected a number between 0 and 1, found {}", terms.most)));
    }
    if !(terms.delta > 0.0 && terms.delta <= 0.5) {
        return Err(Error::value(format!("confidence: expected 0.5 to below 1, found {}", 1.0 - terms.delta)));
    }
    Ok(())
}

/// Win rates in 0..=1, up to what rounding to float32 leaves.
fn wins(rates: &[f64]) -> Result<()> {
    const ROUNDING: f64 = 1e-6;
    if rates.is_empty() {
        return Err(Error::value("win_rates: expected at least one labelled row, found none"));
    }
    let bad = rates.iter().position(|rate| !(-ROUNDING..=1.0 + ROUNDING).contains(rate));
    bad.map_or(Ok(()), |row| {
        Err(Error::value(format!("win_rates: expected numbers between 0 and 1, found {} in row {row}", rates[row])))
    })
}

/// Scores in 0..=1; NaN only where it stands for "not known".
fn scores(name: &str, values: &[f64], unknown: bool) -> Result<()> {
    let bad = values.iter().position(|score| !((0.0..=1.0).contains(score) || unknown && score.is_nan()));
    bad.map_or(Ok(()), |row| {
        Err(Error::value(format!("{name}: expected scores between 0 and 1, found {} in row {row}", values[row])))
    })
}
