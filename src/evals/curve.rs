//! What a router's win rates buy: quality, cost and strong calls at each of its thresholds.

use crate::error::{Error, Result};
use crate::math::quantile::linear;
use crate::routing::python_float::repr;

/// Most thresholds that are asked for at once.
pub const MOST_RESULTS: usize = 100_000;

/// An error where that many intervals between thresholds cannot be had.
pub fn checked_results(results: usize) -> Result<()> {
    if results == 0 || results > MOST_RESULTS {
        return Err(Error::value(format!("num_results: expected 1 to {MOST_RESULTS}, found {results}")));
    }
    Ok(())
}

/// One number for each row and model: a score, or what the call costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// When the strong model answers.
    pub strong: Vec<f64>,
    /// When the weak model answers.
    pub weak: Vec<f64>,
}

/// What is known of the rows: scores first, then whatever else is averaged along (costs).
#[derive(Debug, Clone, PartialEq)]
pub struct Outcomes {
    rows: usize,
    pairs: Vec<Pair>,
}

impl Outcomes {
    /// The first pair are the scores.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) when there is no row, lengths differ, or a number is not finite.
    pub fn new(pairs: Vec<Pair>) -> Result<Self> {
        let rows = pairs.first().map_or(0, |pair| pair.strong.len());
        if rows == 0 {
            return Err(Error::value("expected at least one row of scores, found none"));
        }
        for (index, pair) in pairs.iter().enumerate() {
            for (side, values) in [("strong", &pair.strong), ("weak", &pair.weak)] {
                let what = format!("{side} {}", if index == 0 { "scores" } else { "costs" });
                if values.len() != rows {
                    let found = values.len();
                    return Err(Error::value(format!("expected {rows} {what}, one for each row, found {found}")));
                }
                finite(&what, values)?;
            }
        }
        Ok(Self { rows, pairs })
    }

    /// Number of rows, at least one.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Scores, then costs.
    pub fn pairs(&self) -> &[Pair] {
        &self.pairs
    }

    /// `[strong, weak]` sums of each pair.
    pub fn sums(&self) -> Vec<[f64; 2]> {
        let sum = |values: &[f64]| values.iter().sum();
        self.pairs.iter().map(|pair| [sum(&pair.strong), sum(&pair.weak)]).collect()
    }
}

/// An error that names the first number which is none.
fn finite(what: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|value| !value.is_finite()) {
        Some(row) => Err(Error::value(format!("expected finite {what}, found {} in row {row}", repr(values[row])))),
        None => Ok(()),
    }
}

/// The points of one router. Point 0 sends every row to the strong model, the last one none.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Rising; rows with a win rate of at least the threshold are strong, at the last point only those above it.
    pub thresholds: Vec<f64>,
    /// Strong rows at each point.
    pub strong: Vec<u64>,
    /// For each pair of the outcomes the mean at each point.
    pub means: Vec<Vec<f64>>,
}

impl Curve {
    /// Fails, with pandas' words, where two thresholds are equal: the router has too few distinct win rates.
    pub fn distinct(&self) -> Result<()> {
        // pandas lets a single interval pass.
        let t = &self.thresholds;
        if t.len() == 2 || t.windows(2).all(|two| two[0] != two[1]) {
            return Ok(());
        }
        let shown: Vec<_> = t.iter().take(100).map(|&t| repr(t)).collect();
        let more = if t.len() > 100 { ", ..." } else { "" };
        Err(Error::value(format!(
            "Bin edges must be unique: Index([{}{more}], dtype='float64').\nThe router has too few distinct win rates \
             for {} different thresholds; on_ties=\"merge\" leaves the repeated points out",
            shown.join(", "),
            t.len()
        )))
    }
}

impl Curve {
    /// Whether point `k` has the threshold and the rows of the one before: many win rates are equal there.
    pub fn repeats(&self, k: usize) -> bool {
        k > 0 && self.thresholds[k] == self.thresholds[k - 1] && self.strong[k] == self.strong[k - 1]
    }
}

/// Where the thresholds of a number of intervals lie among `rows` sorted win rates.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    /// Position below and part of the way to the next, for each threshold.
    at: Vec<(usize, f64)>,
    rows: usize,
}

impl Grid {
    pub(super) fn new(rows: usize, results: usize) -> Result<Self> {
        checked_results(results)?;
        let step = 1.0 / results as f64;
        let at = (0..=results).map(|k| position(rows, if k == results { 1.0 } else { k as f64 * step })).collect();
        Ok(Self { at, rows })
    }

    pub(super) fn points(&self) -> usize {
        self.at.len()
    }
}

/// Linear quantile as pandas 2.2 places it: the index below, and how far the value lies towards the next.
fn position(rows: usize, q: f64) -> (usize, f64) {
    let virtual_index = (rows - 1) as f64 * ((q * 100.0) / 100.0);
    let below = virtual_index.floor();
    (below as usize, virtual_index - below)
}

/// Rows in the order of a router's win rates, ready to be walked many times.
#[derive(Debug, Clone)]
pub struct Ranked {
    /// Rising.
    rates: Vec<f64>,
    /// The row that each rate belongs to.
    order: Vec<u32>,
    /// For each pair: what the row adds when the weak model answers in the strong one's place.
    steps: Vec<Vec<f64>>,
}

impl Ranked {
    /// Sorts the rows by `win_rates`.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) when the number of win rates is not that of the rows, or one is not finite.
    pub fn new(win_rates: &[f64], outcomes: &Outcomes) -> Result<Self> {
        let rows = outcomes.rows();
        if win_rates.len() != rows {
            return Err(Error::value(format!(
                "expected {rows} win rates, one for each row of scores, found {}",
                win_rates.len()
            )));
        }
        finite("win rates", win_rates)?;
        let count = u32::try_from(rows).map_err(|_| Error::value(format!("{rows} rows are too many to evaluate")))?;
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_by(|&a, &b| win_rates[a as usize].total_cmp(&win_rates[b as usize]));
        let rates = order.iter().map(|&row| win_rates[row as usize]).collect();
        let step =
            |pair: &Pair| order.iter().map(|&row| row as usize).map(|row| pair.weak[row] - pair.strong[row]).collect();
        let steps = outcomes.pairs().iter().map(step).collect();
        Ok(Self { rates, order, steps })
    }

    /// The points at `results` + 1 thresholds, the quantiles of the win rates at 0, 1/results, .. 1.
    ///
    /// Equal thresholds give equal points; [`Curve::distinct`] objects to them.
    pub fn curve(&self, outcomes: &Outcomes, results: usize) -> Result<Curve> {
        let grid = Grid::new(self.rates.len(), results)?;
        Ok(self.walk(&grid, &outcomes.sums(), |_| 1))
    }

    /// The points when row `r` occurs `counts[r]` times; the counts add up to the number of rows.
    pub(super) fn resampled(&self, grid: &Grid, totals: &[[f64; 2]], counts: &[u32]) -> Curve {
        self.walk(grid, totals, |row| counts[row as usize])
    }

    /// Sums are divided once, so that those of whole and half marks give the mean that any other order gives: numpy's
    /// interpolation takes another segment where an accuracy misses a target by the last bit.
    fn walk(&self, grid: &Grid, totals: &[[f64; 2]], count: impl Fn(u32) -> u32) -> Curve {
        let thresholds = self.thresholds(grid, &count);
        let (points, rows) = (grid.points(), grid.rows as f64);
        let mut strong = vec![0; points];
        let mut out: Vec<Vec<f64>> = totals.iter().map(|total| vec![total[1] / rows; points]).collect();
        let (mut seen, mut next) = (0u64, 0);
        let mut sums = vec![0.0; self.steps.len()];
        // The last point keeps what it was made with: no strong call, the weak model's mean.
        let upper = &thresholds[..points - 1];
        for (index, (&rate, &row)) in self.rates.iter().zip(&self.order).enumerate() {
            while next < upper.len() && rate >= upper[next] {
                strong[next] = grid.rows as u64 - seen;
                for ((out, total), sum) in out.iter_mut().zip(totals).zip(&sums) {
                    out[next] = (total[0] + sum) / rows;
                }
                next += 1;
            }
            let count = count(row);
            seen += u64::from(count);
            for (sum, steps) in sums.iter_mut().zip(&self.steps) {
                *sum += f64::from(count) * steps[index];
            }
        }
        Curve { thresholds, strong, means: out }
    }

    fn thresholds(&self, grid: &Grid, count: &impl Fn(u32) -> u32) -> Vec<f64> {
        let last = grid.rows - 1;
        let points = grid.points();
        let (mut low, mut high) = (vec![0.0; points], vec![0.0; points]);
        let (mut next_low, mut next_high, mut seen) = (0, 0, 0usize);
        for (&rate, &row) in self.rates.iter().zip(&self.order) {
            seen += count(row) as usize;
            while next_low < points && grid.at[next_low].0 < seen {
                low[next_low] = rate;
                next_low += 1;
            }
            while next_high < points && (grid.at[next_high].0 + 1).min(last) < seen {
                high[next_high] = rate;
                next_high += 1;
            }
        }
        // Between two values the quantile's arithmetic is that of the whole column.
        low.iter().zip(&high).zip(&grid.at).map(|((&low, &high), &(_, part))| linear(&[low, high], part)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcomes(strong: &[f64], weak: &[f64]) -> Outcomes {
        Outcomes::new(vec![Pair { strong: strong.to_vec(), weak: weak.to_vec() }]).unwrap()
    }

    #[test]
    fn one_row_has_its_own_threshold_everywhere() {
        let outcomes = outcomes(&[3.0], &[1.0]);
        let curve = Ranked::new(&[0.4], &outcomes).unwrap().curve(&outcomes, 2).unwrap();
        assert_eq!(curve.thresholds, [0.4; 3]);
        assert_eq!(curve.strong, [1, 1, 0]);
        assert_eq!(curve.means, [vec![3.0, 3.0, 1.0]]);
        assert!(curve.distinct().unwrap_err().message().starts_with("Bin edges must be unique: Index([0.4, 0.4, 0.4]"));
    }

    #[test]
    fn a_single_interval_may_have_equal_ends() {
        let outcomes = outcomes(&[1.0, 1.0], &[0.0, 0.0]);
        Ranked::new(&[0.5, 0.5], &outcomes).unwrap().curve(&outcomes, 1).unwrap().distinct().unwrap();
    }

    #[test]
    fn bad_rows_are_named() {
        let good = outcomes(&[1.0, 1.0], &[0.0, 0.0]);
        let text = |error: Error| error.message().to_owned();
        assert!(text(Ranked::new(&[0.5], &good).unwrap_err()).contains("expected 2 win rates"));
        assert!(text(Ranked::new(&[0.5, f64::NAN], &good).unwrap_err()).contains("nan in row 1"));
        let pair = |strong: &[f64], weak: &[f64]| Pair { strong: strong.to_vec(), weak: weak.to_vec() };
        assert!(text(Outcomes::new(vec![pair(&[], &[])]).unwrap_err()).contains("at least one row"));
        assert!(text(Outcomes::new(vec![pair(&[1.0], &[])]).unwrap_err()).contains("expected 1 weak scores"));
        let costs = vec![pair(&[1.0], &[1.0]), pair(&[1.0], &[f64::INFINITY])];
        assert!(text(Outcomes::new(costs).unwrap_err()).contains("weak costs, found inf in row 0"));
        let ranked = Ranked::new(&[0.1, 0.2], &good).unwrap();
        assert!(text(ranked.curve(&good, 0).unwrap_err()).contains("num_results"));
    }

    proptest! {
        #[test]
        fn whole_and_half_marks_are_exact(
            rows in prop::collection::vec((0..20u32, 0..20u32, 0..20u32), 1..60), results in 1..15usize
        ) {
            let rates: Vec<f64> = rows.iter().map(|row| f64::from(row.0)).collect();
            let (strong, weak): (Vec<_>, Vec<_>) =
                rows.iter().map(|row| (f64::from(row.1) / 2.0, f64::from(row.2) / 2.0)).unzip();
            let outcomes = outcomes(&strong, &weak);
            let curve = Ranked::new(&rates, &outcomes).unwrap().curve(&outcomes, results).unwrap();
            for (k, &threshold) in curve.thresholds.iter().enumerate() {
                let is_strong = |rate: f64| if k == results { rate > threshold } else { rate >= threshold };
                let chosen = (0..rates.len()).map(|i| if is_strong(rates[i]) { strong[i] } else { weak[i] });
                prop_assert_eq!(curve.means[0][k], chosen.sum::<f64>() / rates.len() as f64);
            }
        }

        #[test]
        fn points_are_what_routing_row_by_row_gives(
            rows in prop::collection::vec((0..20u32, -5.0..5.0f64, -5.0..5.0f64), 1..60), results in 1..15usize
        ) {
            let rates: Vec<f64> = rows.iter().map(|row| f64::from(row.0) / 20.0).collect();
            let (strong, weak): (Vec<_>, Vec<_>) = rows.iter().map(|row| (row.1, row.2)).unzip();
            let outcomes = outcomes(&strong, &weak);
            let curve = Ranked::new(&rates, &outcomes).unwrap().curve(&outcomes, results).unwrap();
            let mut sorted = rates.clone();
            sorted.sort_by(f64::total_cmp);
            for (k, &threshold) in curve.thresholds.iter().enumerate() {
                let q = if k == results { 1.0 } else { k as f64 * (1.0 / results as f64) };
                prop_assert_eq!(threshold, crate::math::quantile::pandas2(&sorted, q));
                let is_strong = |rate: f64| if k == results { rate > threshold } else { rate >= threshold };
                let chosen: Vec<bool> = rates.iter().map(|&rate| is_strong(rate)).collect();
                let sum: f64 = chosen.iter().enumerate().map(|(i, &s)| if s { strong[i] } else { weak[i] }).sum();
                prop_assert_eq!(curve.strong[k], chosen.iter().filter(|&&s| s).count() as u64);
                prop_assert!((curve.means[0][k] - sum / rates.len() as f64).abs() < 1e-9);
            }
        }

        #[test]
        fn counts_are_the_rows_repeated(
            rows in prop::collection::vec((0.0..1.0f64, -5.0..5.0f64, -5.0..5.0f64), 1..30),
            draws in prop::collection::vec(0..1000usize, 30), results in 1..12usize
        ) {
            let n = rows.len();
            let mut counts = vec![0u32; n];
            draws[..n].iter().for_each(|draw| counts[draw % n] += 1);
            let picked: Vec<_> = (0..n).flat_map(|r| (0..counts[r]).map(move |_| r)).map(|r| rows[r]).collect();
            let split = |rows: &[(f64, f64, f64)]| {
                let rates: Vec<f64> = rows.iter().map(|row| row.0).collect();
                let (strong, weak): (Vec<_>, Vec<_>) = rows.iter().map(|row| (row.1, row.2)).unzip();
                (rates, outcomes(&strong, &weak))
            };
            let (rates, all) = split(&rows);
            let (picked_rates, drawn) = split(&picked);
            let grid = Grid::new(n, results).unwrap();
            let weighted = Ranked::new(&rates, &all).unwrap().resampled(&grid, &drawn.sums(), &counts);
            let repeated = Ranked::new(&picked_rates, &drawn).unwrap().curve(&drawn, results).unwrap();
            prop_assert_eq!(&weighted.thresholds, &repeated.thresholds);
            prop_assert_eq!(&weighted.strong, &repeated.strong);
            for (a, b) in weighted.means[0].iter().zip(&repeated.means[0]) {
                prop_assert!((a - b).abs() < 1e-9);
            }
        }
    }
}
