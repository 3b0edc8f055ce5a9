//! Fitting a router on outcomes: what each of several models scored on prompts.
//!
//! Everything is Bayesian linear regression on one standardised row of features a prompt (`routers::fitted::Recipe`):
//!
//! - [`sums`]: the sums of products a regression needs, made once and shared by all targets and folds;
//! - [`ridge`]: one target. How strong the penalty is, and how far the shipped head is trusted, is not chosen but
//!   averaged over, each setting weighted by how well it explains the labels (its evidence). So with few labels the
//!   fit is the shipped head, and with many it is the labels'; no setting is ever picked by luck;
//! - [`heads`]: several models with a shared low-rank part, and the difference of the two that are routed between;
//! - [`crossfit`]: the same for rows that were held out, and what shuffled labels give;
//! - [`shuffles`]: those labels;
//! - [`folds`]: which rows are held out together;
//! - [`added`]: one more model on top of a finished fit.

pub mod added;
pub mod crossfit;
pub mod folds;
pub mod heads;
mod ridge;
mod shuffles;
mod sums;

use crate::error::{Error, Result};
use crate::math::threads::share;
use crate::routers::fitted::{MOST_MODELS, Recipe};

/// Rows that a task takes at a time.
const BATCH: usize = 1_024;
/// The most numbers in a design: 4 GiB of f32.
const MOST_NUMBERS: usize = 1 << 30;

/// The rows of all prompts, and the shipped head's logit of each.
#[derive(Debug)]
pub struct Design {
    recipe: Recipe,
    /// `[n, width + 1]`: the row, then the logit.
    rows: Vec<f32>,
    threads: usize,
}

impl Design {
    /// From raw features `[n, raw]` (an embedding of `width` numbers, then the lexical ones) and logits `[n]`.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) where the sizes do not fit or a number is not finite.
    pub fn new(raw: &[f32], width: usize, logits: &[f64], threads: usize) -> Result<Self> {
        Self::with(Recipe::of(raw, width)?, raw, logits, threads)
    }

    /// The same with a recipe that there is already.
    pub fn with(recipe: Recipe, raw: &[f32], logits: &[f64], threads: usize) -> Result<Self> {
        let n = logits.len();
        if raw.len() != n * recipe.raw() {
            return Err(Error::value(format!(
                "expected [{n}, {}] features, found {} numbers",
                recipe.raw(),
                raw.len()
            )));
        }
        if let Some(place) = raw.iter().position(|value| !value.is_finite()) {
            let (row, column) = (place / recipe.raw(), place % recipe.raw());
            return Err(Error::value(format!("expected finite features, found {} at [{row}, {column}]", raw[place])));
        }
        if let Some(row) = logits.iter().position(|value| !value.is_finite()) {
            return Err(Error::value(format!("expected finite logits, found {} in row {row}", logits[row])));
        }
        let across = recipe.len() + 1;
        if n.checked_mul(across).is_none_or(|size| size > MOST_NUMBERS) {
            return Err(Error::value(format!("{n} prompts of {across} numbers are too many to fit at once")));
        }
        let mut rows = vec![0.0; n * across];
        let work = std::sync::Mutex::new(
            rows.chunks_mut(BATCH * across).zip(raw.chunks(BATCH * recipe.raw())).zip(logits.chunks(BATCH)),
        );
        let next = || work.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
        share(threads.min(n.div_ceil(BATCH)), || {
            while let Some(((rows, raw), logits)) = next() {
                let all = rows.chunks_exact_mut(across).zip(raw.chunks_exact(recipe.raw())).zip(logits);
                for ((row, raw), &logit) in all {
                    recipe.fill(raw, &mut row[..across - 1]);
                    row[across - 1] = logit as f32;
                }
            }
        });
        Ok(Self { recipe, rows, threads })
    }

    /// Number of prompts.
    pub fn count(&self) -> usize {
        self.rows.len() / self.across()
    }

    /// How features become rows.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Numbers of a row without the logit.
    pub fn width(&self) -> usize {
        self.recipe.len()
    }

    /// The row of a prompt without its logit.
    pub fn row(&self, i: usize) -> &[f32] {
        let across = self.across();
        &self.rows[i * across..(i + 1) * across - 1]
    }

    fn across(&self) -> usize {
        self.recipe.len() + 1
    }

    fn whole(&self, i: usize) -> &[f32] {
        let across = self.across();
        &self.rows[i * across..(i + 1) * across]
    }
}

/// What the models scored, `[n, models]`, 0..=1, NaN where it is not known.
#[derive(Debug, Clone)]
pub struct Outcomes {
    models: usize,
    values: Vec<f64>,
}

impl Outcomes {
    /// Of so many models.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for fewer than two models, a number outside of 0..=1, or a model of which
    /// nothing is known.
    pub fn new(values: Vec<f64>, models: usize) -> Result<Self> {
        if !(2..=MOST_MODELS).contains(&models) {
            return Err(Error::value(format!("expected 2 to {MOST_MODELS} models, found {models}")));
        }
        if values.is_empty() || !values.len().is_multiple_of(models) {
            return Err(Error::value(format!("expected outcomes [n, {models}], found {} numbers", values.len())));
        }
        if let Some(place) = values.iter().position(|v| !v.is_nan() && !(0.0..=1.0).contains(v)) {
            let (row, model) = (place / models, place % models);
            let found = values[place];
            return Err(Error::value(format!(
                "outcomes: expected numbers in 0..=1, or NaN where unknown, found {found} in row {row} of model {model}"
            )));
        }
        let found = Self { models, values };
        if let Some(model) = (0..models).find(|&model| (0..found.count()).all(|row| found.at(row, model).is_nan())) {
            return Err(Error::value(format!("outcomes: nothing is known of model {model}: every row is NaN")));
        }
        Ok(found)
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.values.len() / self.models
    }

    /// Number of models.
    pub fn models(&self) -> usize {
        self.models
    }

    /// What a model scored on a prompt.
    pub fn at(&self, row: usize, model: usize) -> f64 {
        self.values[row * self.models + model]
    }

    /// The rows, of those given, on which a model's score is known.
    fn known(&self, rows: &[u32], model: usize) -> Vec<u32> {
        rows.iter().copied().filter(|&row| !self.at(row as usize, model).is_nan()).collect()
    }

    /// Mean of a model's known scores in these rows; over all rows where none is known.
    fn mean(&self, rows: &[u32], model: usize) -> f64 {
        let mean = |known: &[u32]| {
            known.iter().map(|&row| self.at(row as usize, model)).sum::<f64>() / known.len().max(1) as f64
        };
        let known = self.known(rows, model);
        if known.is_empty() { 0.5 } else { mean(&known) }
    }
}

/// The two models that are routed between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Place of the strong one.
    pub strong: usize,
    /// Place of the weak one.
    pub weak: usize,
}

#[cfg(test)]
mod tests;
