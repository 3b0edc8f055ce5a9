//! `RouteLLM`'s similarity-weighted ranking (Ong et al. 2024, arXiv:2406.18665).
//!
//! A query weighs the battles by how similar their prompts are to it; with these weights the tiers of models get new
//! ratings, and the win rate is that of the strong model's tier over the weak model's.
//!
//! One pass over the stored embeddings gives the similarities. The fit then needs one sum of weights for each kind of
//! battle (pair of tiers and outcome), of which there are a few hundred, so it costs microseconds however many battles
//! there are. Weights matter up to a common factor only, so they are made relative to the largest: none overflows.

mod battles;
mod index;
mod tiers;
mod weights;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

pub use battles::{Battles, SHORTEST_PROMPT, first_turn_length};
pub use index::hash_of_file;
pub use tiers::tiers;
pub use weights::weightings;

use crate::data::matrix::{Matrix, Numbers};
use crate::error::{Error, Kind, Result};
use crate::math::newton::{Comparisons, Winner};
use crate::math::rows::Rows;
use crate::math::similarity::{BLOCK, Queries, Scaled, tiles, wide};
use crate::math::threads;
use weights::{Sums, extremes, relative_weights};

/// Points of Elo for a factor of ten in the odds.
pub const SCALE: f64 = 400.0;

/// Rating of a coefficient of 0.
pub const INITIAL: f64 = 1000.0;

/// The model whose rating anchors the others, where it is among them, and that rating.
pub const ANCHOR: (&str, f64) = ("llama-2-70b-chat", 1082.0);

/// Below so many stored numbers, or battles, a batch is computed in f64, too: rounding would not average out.
const SMALL: usize = 1 << 20;
const FEW: usize = 2_048;

/// A batch in f32 keeps its digits where the norms are of these sizes; else all is computed in f64.
const USUAL_NORMS: std::ops::RangeInclusive<f64> = 1e-30..=1e30;

/// Queries in a block, and bytes that their products may take.
const BLOCK_QUERIES: usize = 48;
const BLOCK_BYTES: usize = 64 << 20;

/// Where the largest similarity is closer to zero, the exponents magnify the error of f32: such a query goes in f64.
const NEAR_ZERO: f64 = 0.05;

/// Products in f32 that are closer to the largest one may be the largest: they are made again in f64, so many at most.
const NEAR_LARGEST: f64 = 1e-5;
const CANDIDATES: usize = 16;

/// Battles, their models' ratings and tiers, and the embeddings of their prompts.
#[derive(Debug)]
pub struct SwRanking {
    battles: Battles,
    /// Of each model.
    ratings: Vec<f64>,
    /// Of each model.
    tiers: Vec<u32>,
    num_tiers: usize,
    numbers: Numbers,
    cols: usize,
    /// Norm of each row, and one over it.
    norms: Vec<f64>,
    scales: Vec<f64>,
    /// The tiers there are, ascending; the fit knows them by their places.
    used: Vec<u32>,
    /// The kind of each battle.
    kinds: Vec<u32>,
    /// Places of the two tiers, and who won.
    outcomes: Vec<(u32, u32, Winner)>,
    /// Ratings with equal weights, from which the fit of a query begins.
    start: Vec<f64>,
}

impl SwRanking {
    /// Rates the models, cuts the ratings into `num_tiers`, and prepares the sums. `assigned` gives the tier of every
    /// model instead, by name.
    ///
    /// # Errors
    /// `Kind::Value` when there is not one embedding for each battle that is kept, when an embedding is all zeros, or
    /// there is no battle; `Kind::Name` for a model without an assigned tier.
    pub fn new(
        battles: Battles,
        matrix: Matrix,
        num_tiers: usize,
        assigned: Option<&HashMap<String, u32>>,
    ) -> Result<Self> {
        if let Some(error) = Self::mismatch(&battles, &matrix) {
            return Err(error);
        }
        if battles.is_empty() {
            return Err(Error::value(format!("expected battles, found none of {} that can be kept", battles.total)));
        }
        if num_tiers == 0 {
            return Err(Error::value("num_tiers: expected at least 1, found 0"));
        }
        let ratings = model_ratings(&battles)?;
        let tiers = match assigned {
            Some(assigned) => battles
                .labels
                .iter()
                .map(|label| {
                    let missing = || Error::new(Kind::Name, format!("model2tier has no tier for the model '{label}'"));
                    assigned.get(label).copied().ok_or_else(missing)
                })
                .collect::<Result<Vec<_>>>()?,
            None => cut(&ratings, num_tiers)?,
        };
        Self::prepare(battles, ratings, tiers, num_tiers, matrix)
    }

    /// What is wrong when there is not one embedding for each battle that is kept.
    pub fn mismatch(battles: &Battles, matrix: &Matrix) -> Option<Error> {
        (matrix.norms.len() != battles.len()).then(|| {
            Error::value(format!(
                "expected one embedding for each battle that is kept, found {} embeddings for {} battles ({} before \
                 those with a prompt of less than {SHORTEST_PROMPT} characters were left out)",
                matrix.norms.len(),
                battles.len(),
                battles.total
            ))
        })
    }

    fn prepare(battles: Battles, ratings: Vec<f64>, tiers: Vec<u32>, num_tiers: usize, matrix: Matrix) -> Result<Self> {
        let scales: Vec<f64> = matrix.norms.iter().map(|norm| 1.0 / norm).collect();
        if let Some(row) = scales.iter().position(|scale| !scale.is_finite()) {
            return Err(Error::value(format!(
                "embedding {} is all zeros (or next to it): it has no direction, so nothing is similar to it",
                row + 1
            )));
        }
        let mut used = tiers.clone();
        used.sort_unstable();
        used.dedup();
        let places: Vec<u32> = tiers.iter().map(|tier| used.binary_search(tier).unwrap_or_default() as u32).collect();
        let mut numbers = HashMap::new();
        let mut outcomes = Vec::new();
        let sides = battles.a.iter().zip(&battles.b).zip(&battles.winners);
        let kinds = sides.map(|((&a, &b), &winner)| {
            let outcome = (places[a as usize], places[b as usize], winner);
            *numbers.entry(outcome).or_insert_with(|| {
                outcomes.push(outcome);
                outcomes.len() as u32 - 1
            })
        });
        let kinds = kinds.collect();
        let Matrix { numbers, norms, cols } = matrix;
        let start = Vec::new();
        let mut new =
            Self { battles, ratings, tiers, num_tiers, numbers, cols, norms, scales, used, kinds, outcomes, start };
        let mut sums = Sums::new(new.outcomes.len());
        sums.add(&new.kinds, &vec![1.0; new.kinds.len()]);
        new.start = new.fit(&sums)?;
        Ok(new)
    }

    /// Number of battles.
    pub fn len(&self) -> usize {
        self.battles.len()
    }

    /// Whether there are no battles; there always are.
    pub fn is_empty(&self) -> bool {
        self.battles.is_empty()
    }

    /// Numbers in an embedding.
    pub fn dim(&self) -> usize {
        self.cols
    }

    /// The battles that are kept.
    pub fn battles(&self) -> &Battles {
        &self.battles
    }

    /// Rating of each model, in the order of the battles' labels.
    pub fn ratings(&self) -> &[f64] {
        &self.ratings
    }

    /// Tier of each model.
    pub fn tiers(&self) -> &[u32] {
        &self.tiers
    }

    /// The number of tiers asked for.
    pub fn num_tiers(&self) -> usize {
        self.num_tiers
    }

    /// The tiers that have models, ascending.
    pub fn used_tiers(&self) -> &[u32] {
        &self.used
    }

    /// The stored embeddings, `[len, dim]`, C order.
    pub fn embeddings(&self) -> &[f32] {
        self.numbers.values()
    }

    fn stored(&self) -> Result<Scaled<'_>> {
        let damaged = || Error::new(Kind::Checkpoint, "the stored embeddings do not have the shape they should");
        Scaled::new(self.numbers.values(), self.cols, &self.scales).ok_or_else(damaged)
    }

    /// Cosine similarity of row `row` of `queries` with every battle.
    ///
    /// # Errors
    /// `Kind::Value` for another width, a NaN, an infinity, or zeros only.
    pub fn similarities(&self, queries: &Rows, row: usize, threads: usize) -> Result<Vec<f64>> {
        let query = self.unit(queries, row)?;
        let mut found = vec![0.0; self.len()];
        wide(self.stored()?, &query, threads, &mut found);
        Ok(found)
    }

    /// Ratings of [`SwRanking::used_tiers`], in Elo, for one embedding.
    pub fn tier_ratings(&self, queries: &Rows, row: usize, threads: usize) -> Result<Vec<f64>> {
        Ok(in_elo(&self.exact(queries, row, threads)?))
    }

    /// As [`SwRanking::tier_ratings`], for weights of the battles that were found in another way.
    ///
    /// # Errors
    /// `Kind::Value` when there is not one weight for each battle, one is negative, NaN or infinite, or all are 0.
    pub fn tier_ratings_of_weights(&self, weights: &[f64]) -> Result<Vec<f64>> {
        Ok(in_elo(&self.of_weights(weights)?))
    }

    /// Win rate of a model of tier `strong` over one of tier `weak`, for one embedding.
    ///
    /// # Errors
    /// As [`SwRanking::similarities`], and `Kind::Name` for a tier without models.
    pub fn win_rate(&self, queries: &Rows, row: usize, tiers: (u32, u32), threads: usize) -> Result<f64> {
        let (strong, weak) = self.places(tiers)?;
        let ratings = self.exact(queries, row, threads)?;
        Ok(win_rate(ratings[strong] - ratings[weak]))
    }

    /// As [`SwRanking::win_rate`], for weights as in [`SwRanking::tier_ratings_of_weights`].
    pub fn win_rate_of_weights(&self, weights: &[f64], tiers: (u32, u32)) -> Result<f64> {
        let (strong, weak) = self.places(tiers)?;
        let ratings = self.of_weights(weights)?;
        Ok(win_rate(ratings[strong] - ratings[weak]))
    }

    /// Win rates of many embeddings, by products of matrices in f32: within 1e-7 of [`SwRanking::win_rate`].
    ///
    /// # Errors
    /// As [`SwRanking::win_rate`]; the first bad row is named.
    pub fn win_rates(&self, queries: &Rows, tiers: (u32, u32), threads: usize) -> Result<Vec<f64>> {
        let places = self.places(tiers)?;
        self.check_width(queries)?;
        let mut rates = Vec::new();
        rates.try_reserve_exact(queries.len()).map_err(|_| Error::value("the result does not fit into memory"))?;
        rates.resize(queries.len(), 0.0);
        let small = self.numbers.values().len() < SMALL || self.len() < FEW || queries.len() == 1;
        if small || !self.norms.iter().all(|norm| USUAL_NORMS.contains(norm)) {
            let (outer, inner) = if queries.len() > 1 { (threads, 1) } else { (1, threads) };
            each(&mut rates, outer, |row| {
                let ratings = self.exact(queries, row, inner)?;
                Ok(win_rate(ratings[places.0] - ratings[places.1]))
            })?;
            return Ok(rates);
        }
        let fitting = BLOCK_BYTES / (size_of::<f64>() * self.len());
        let step = fitting.clamp(4, BLOCK_QUERIES) / 4 * 4;
        let mut products = vec![0.0; self.len() * step.min(queries.len())];
        for (block, rates) in rates.chunks_mut(step).enumerate() {
            let first = block * step;
            let mut units = Vec::with_capacity(rates.len() * self.cols);
            for row in first..first + rates.len() {
                units.extend(self.unit(queries, row)?);
            }
            let count = rates.len();
            let products = &mut products[..self.len() * count];
            tiles(self.stored()?, &Queries::new(&units, self.cols), threads, products);
            let products = &*products;
            each(rates, threads, |query| {
                let unit = &units[query * self.cols..(query + 1) * self.cols];
                let lines = products.chunks(BLOCK * count).map(|block| {
                    let rows = block.len() / count;
                    &block[query * rows..(query + 1) * rows]
                });
                let ratings = match self.blocked(unit, lines)? {
                    Some(ratings) => ratings,
                    None => self.exact(queries, first + query, 1)?,
                };
                Ok(win_rate(ratings[places.0] - ratings[places.1]))
            })?;
        }
        Ok(rates)
    }

    /// The fit for similarities that come in lines; None when they need more digits than f32 products have.
    fn blocked<'a>(&self, unit: &[f64], lines: impl Iterator<Item = &'a [f64]> + Clone) -> Result<Option<Vec<f64>>> {
        let (mut largest, mut smallest) = (f64::NEG_INFINITY, f64::INFINITY);
        for line in lines.clone() {
            let (high, low) = extremes(line);
            (largest, smallest) = (largest.max(high), smallest.min(low));
        }
        let Some(largest) = self.largest(unit, lines.clone(), largest) else { return Ok(None) };
        let mut sums = Sums::new(self.outcomes.len());
        let mut weights = [0.0; BLOCK];
        let mut first = 0;
        for line in lines {
            let weights = &mut weights[..line.len()];
            weights.copy_from_slice(line);
            relative_weights(weights, largest, smallest);
            sums.add(&self.kinds[first..first + line.len()], weights);
            first += line.len();
        }
        self.fit(&sums).map(Some)
    }

    /// The largest similarity in f64: all exponents are divided by it, so its error would not average out.
    fn largest<'a>(&self, unit: &[f64], lines: impl Iterator<Item = &'a [f64]>, about: f64) -> Option<f64> {
        if about.abs() < NEAR_ZERO {
            return None;
        }
        let stored = self.stored().ok()?;
        let (mut first, mut found) = (0, Vec::with_capacity(CANDIDATES));
        for line in lines {
            let near = line.iter().enumerate().filter(|(_, product)| **product >= about - NEAR_LARGEST);
            found.extend(near.map(|(at, product)| (first + at, *product)));
            first += line.len();
        }
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        let exact = found.iter().take(CANDIDATES).map(|&(row, _)| {
            let products = stored.row(row).iter().zip(unit).map(|(&a, b)| f64::from(a) * b);
            products.sum::<f64>() * stored.scale(row)
        });
        exact.reduce(f64::max)
    }

    /// Ratings of the tiers in units of the logit, all in f64.
    fn exact(&self, queries: &Rows, row: usize, threads: usize) -> Result<Vec<f64>> {
        let mut weights = self.similarities(queries, row, threads)?;
        let (largest, smallest) = extremes(&weights);
        relative_weights(&mut weights, largest, smallest);
        let mut sums = Sums::new(self.outcomes.len());
        sums.add(&self.kinds, &weights);
        self.fit(&sums)
    }

    fn of_weights(&self, weights: &[f64]) -> Result<Vec<f64>> {
        if weights.len() != self.len() {
            return Err(Error::value(format!(
                "expected a weight for each of the {} battles, found {}",
                self.len(),
                weights.len()
            )));
        }
        if let Some(row) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            return Err(Error::value(format!(
                "weights must be finite and not negative; that of battle {row} is {}",
                weights[row]
            )));
        }
        let largest = weights.iter().copied().fold(0.0, f64::max);
        if largest == 0.0 {
            return Err(Error::value("weights of all battles are 0; at least one must count"));
        }
        let relative: Vec<f64> = weights.iter().map(|weight| weight / largest).collect();
        let mut sums = Sums::new(self.outcomes.len());
        sums.add(&self.kinds, &relative);
        self.fit(&sums)
    }

    fn fit(&self, sums: &Sums) -> Result<Vec<f64>> {
        let mut comparisons = Comparisons::new(self.used.len())?;
        for (&(a, b, winner), weight) in self.outcomes.iter().zip(sums.totals()) {
            comparisons.battle(a as usize, b as usize, winner, weight);
        }
        comparisons.fit((!self.start.is_empty()).then_some(&self.start))
    }

    /// Where the fit keeps a strong and a weak tier.
    fn places(&self, (strong, weak): (u32, u32)) -> Result<(usize, usize)> {
        let place = |tier: u32| {
            let missing = |_| Error::new(Kind::Name, format!("no model is in tier {tier}; tiers are {:?}", self.used));
            self.used.binary_search(&tier).map_err(missing)
        };
        Ok((place(strong)?, place(weak)?))
    }

    fn check_width(&self, queries: &Rows) -> Result<()> {
        if queries.cols() == self.cols {
            return Ok(());
        }
        Err(Error::value(format!(
            "expected embeddings of {} numbers, as those of the battles, found {}: were they made by another embedding \
             model?",
            self.cols,
            queries.cols()
        )))
    }

    /// A query divided by its norm.
    fn unit(&self, queries: &Rows, row: usize) -> Result<Vec<f64>> {
        self.check_width(queries)?;
        let wrong = |what: String| Err(Error::value(format!("row {row} {what}")));
        if row >= queries.len() {
            return wrong(format!("of a matrix that has {}", queries.len()));
        }
        let mut query: Vec<f64> = (0..self.cols).map(|col| queries.value(row, col)).collect();
        if let Some(col) = query.iter().position(|x| !x.is_finite()) {
            let what = if query[col].is_nan() { "NaN" } else { "an infinity" };
            return wrong(format!("holds {what} (in column {col}); all numbers must be finite"));
        }
        // Divided first by the largest, so that no square overflows or vanishes.
        let largest = query.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
        if largest == 0.0 {
            return wrong("is all zeros: it has no direction, so it is similar to nothing".to_owned());
        }
        for x in &mut query {
            *x /= largest;
        }
        let norm = query.iter().map(|x| x * x).sum::<f64>().sqrt();
        for x in &mut query {
            *x /= norm;
        }
        Ok(query)
    }
}

/// Fills each slot by its index, on several threads; of errors the one of the first slot counts.
fn each(slots: &mut [f64], threads: usize, work: impl Fn(usize) -> Result<f64> + Sync) -> Result<()> {
    let count = slots.len();
    let slots = Mutex::new(slots.iter_mut().enumerate());
    let failed = Mutex::new(None::<(usize, Error)>);
    threads::share(threads.min(count), || {
        loop {
            let next = slots.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, slot)) = next else { break };
            match work(index) {
                Ok(value) => *slot = value,
                Err(error) => {
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                        *failed = Some((index, error));
                    }
                    break;
                }
            }
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

fn model_ratings(battles: &Battles) -> Result<Vec<f64>> {
    let mut comparisons = Comparisons::new(battles.labels.len())?;
    for ((&a, &b), &winner) in battles.a.iter().zip(&battles.b).zip(&battles.winners) {
        comparisons.battle(a as usize, b as usize, winner, 1.0);
    }
    let mut ratings = in_elo(&comparisons.fit(None)?);
    anchor(&battles.labels, &mut ratings);
    Ok(ratings)
}

/// Shifts all ratings so that [`ANCHOR`] has its own.
pub fn anchor(labels: &[String], ratings: &mut [f64]) {
    if let Some(at) = labels.iter().position(|label| label == ANCHOR.0) {
        let shift = ANCHOR.1 - ratings[at];
        for rating in ratings {
            *rating += shift;
        }
    }
}

/// The order of ratings from the best down; of equal ones the first is first.
pub fn descending(ratings: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..ratings.len()).collect();
    order.sort_by(|&i, &j| ratings[j].total_cmp(&ratings[i]));
    order
}

/// The tier of each rating, in any order.
fn cut(ratings: &[f64], num_tiers: usize) -> Result<Vec<u32>> {
    let order = descending(ratings);
    let sorted: Vec<f64> = order.iter().map(|&i| ratings[i]).collect();
    let mut found = vec![0; ratings.len()];
    for (&label, tier) in order.iter().zip(tiers(&sorted, num_tiers)?) {
        found[label] = u32::try_from(tier).map_err(|_| Error::value("num_tiers: expected less than 2^32"))?;
    }
    Ok(found)
}

/// Logits as Elo.
fn in_elo(logits: &[f64]) -> Vec<f64> {
    logits.iter().map(|x| SCALE * (x / std::f64::consts::LN_10) + INITIAL).collect()
}

/// Of a rating that is better by `difference`, in units of the logit.
fn win_rate(difference: f64) -> f64 {
    1.0 - 1.0 / (1.0 + difference.exp())
}

#[cfg(test)]
mod tests;
