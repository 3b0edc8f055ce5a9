//! A router fitted on somebody's own outcomes: what each model is expected to score on a prompt, and who wins.
//!
//! Only the scoring is here; `learn::fit` makes the numbers. A prompt becomes a row of standardised features
//! ([`Recipe`]), and each model is a line over that row and the shipped head's logit ([`Line`]), or the mean of the
//! nearest rows it was fitted on ([`near`]).

mod file;
pub mod near;

use std::cell::RefCell;

use crate::error::{Error, Result};
use crate::math::eigen::dot;
use crate::routers::local::LocalModel;
use crate::text::featuriser::for_each_row;
use crate::text::lexical;
use crate::text::table::DIM;

pub use file::{About, Fitted};
use near::Neighbours;

/// The most models one file holds.
pub const MOST_MODELS: usize = 1_000;
/// The most numbers of an embedding after its projection.
pub const MOST_WIDTH: usize = 4_096;

/// How much an embedding counts beside the lexical features: all of it together as much as 16 of them.
const EMBEDDING: f32 = 4.0;
/// How much a feature times the text's shortness counts beside the feature itself.
const IF_SHORT: f32 = 0.5;
/// Standard deviations after which a feature says no more: rare marks would otherwise drown the others.
const CLIP: f32 = 2.0;
/// No embedding has more numbers.
const WIDEST: usize = 1 << 16;

/// From raw features (an embedding, then the lexical ones) to a standardised row.
///
/// The row holds every feature and then every feature times the text's shortness, each centred, divided by its
/// deviation, clipped, and weighted so that the row's mean square is about 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    width: usize,
    pub(crate) means: Vec<f32>,
    /// One over the deviation; 0 where the feature does not vary.
    pub(crate) factors: Vec<f32>,
    weights: Vec<f32>,
}

impl Recipe {
    /// For embeddings of `width` numbers, with the statistics of each number of the row.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) where their number does not fit `width`.
    pub fn new(width: usize, means: Vec<f32>, factors: Vec<f32>) -> Result<Self> {
        let base = width + lexical::COUNT;
        if width > MOST_WIDTH || means.len() != 2 * base || factors.len() != 2 * base {
            let (means, factors) = (means.len(), factors.len());
            return Err(Error::value(format!(
                "an embedding of {width} numbers needs {} means and factors, found {means} and {factors}",
                2 * base
            )));
        }
        let plain = |i: usize| {
            let embedding = if i % base < width { EMBEDDING / (width as f32).sqrt() } else { 1.0 };
            if i < base { embedding } else { embedding * IF_SHORT }
        };
        let weights: Vec<f32> = (0..2 * base).map(plain).collect();
        let norm = weights.iter().map(|w| w * w).sum::<f32>().sqrt();
        Ok(Self { width, means, factors, weights: weights.iter().map(|w| w / norm).collect() })
    }

    /// The statistics of raw features, `[n, raw]`: each feature's mean and deviation, alone and times shortness.
    ///
    /// # Errors
    /// `Kind::Value` where no row is that wide.
    pub fn of(raw: &[f32], width: usize) -> Result<Self> {
        if width > raw.len().max(WIDEST) {
            return Err(Error::value(format!(
                "expected rows of {width} numbers and more, found {} numbers",
                raw.len()
            )));
        }
        let base = width + lexical::COUNT;
        let n = (raw.len() / base).max(1) as f64;
        let (mut sums, mut squares) = (vec![0.0_f64; 2 * base], vec![0.0_f64; 2 * base]);
        for row in raw.chunks_exact(base) {
            let short = row[width + lexical::SHORTNESS];
            for (i, &value) in row.iter().enumerate() {
                for (place, value) in [(i, value), (base + i, value * short)] {
                    sums[place] += f64::from(value);
                    squares[place] += f64::from(value) * f64::from(value);
                }
            }
        }
        let factor = |(sum, square): (&f64, &f64)| {
            let mean = sum / n;
            let variance = square / n - mean * mean;
            // Rounding leaves something of a feature that never varies.
            if variance > 1e-9 * (1.0 + mean * mean) { (1.0 / variance.sqrt()) as f32 } else { 0.0 }
        };
        let factors = sums.iter().zip(&squares).map(factor).collect();
        Self::new(width, sums.iter().map(|sum| (sum / n) as f32).collect(), factors)
    }

    /// Numbers of an embedding.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Raw features of a text: the embedding and the lexical ones.
    pub fn raw(&self) -> usize {
        self.means.len() / 2
    }

    /// Numbers of a row.
    pub fn len(&self) -> usize {
        self.means.len()
    }

    /// Never: there are always lexical features.
    pub fn is_empty(&self) -> bool {
        self.means.is_empty()
    }

    /// Writes the row of a text's raw features.
    pub fn fill(&self, raw: &[f32], row: &mut [f32]) {
        let short = raw.get(self.width + lexical::SHORTNESS).copied().unwrap_or_default();
        let (alone, times) = row.split_at_mut(raw.len().min(row.len()));
        alone.copy_from_slice(&raw[..alone.len()]);
        times.iter_mut().zip(raw).for_each(|(slot, value)| *slot = value * short);
        let ways = self.means.iter().zip(&self.factors).zip(&self.weights);
        for (slot, ((mean, factor), weight)) in row.iter_mut().zip(ways) {
            *slot = ((*slot - mean) * factor).clamp(-CLIP, CLIP) * weight;
        }
    }
}

/// A model's expected score as a sum: an intercept, the shipped head's logit, and a row of features.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Line {
    /// What does not depend on the prompt.
    pub intercept: f64,
    /// Of the logit.
    pub alpha: f64,
    /// Of each number of the row.
    pub weights: Vec<f64>,
}

impl Line {
    /// Of `width` weights, all 0.
    pub fn zero(width: usize) -> Self {
        Self { intercept: 0.0, alpha: 0.0, weights: vec![0.0; width] }
    }

    /// Its value for a row and a logit.
    pub fn value(&self, row: &[f64], logit: f64) -> f64 {
        self.intercept + self.alpha * logit + dot(&self.weights, row)
    }

    /// Rounds every number to single precision.
    fn round(&mut self) {
        for value in [&mut self.intercept, &mut self.alpha].into_iter().chain(&mut self.weights) {
            *value = f64::from(*value as f32);
        }
    }

    /// This line and `factor` times another.
    pub fn add(&mut self, factor: f64, other: &Self) {
        self.intercept += factor * other.intercept;
        self.alpha += factor * other.alpha;
        crate::math::eigen::add(&mut self.weights, factor, &other.weights);
    }
}

/// How rows become scores.
#[derive(Debug, Clone, PartialEq)]
pub enum Scorer {
    /// A line for each model, and the shared ones they were made with.
    Heads {
        /// One for each model.
        lines: Vec<Line>,
        /// What all models have in common; a new model is fitted with them.
        latents: Vec<Line>,
    },
    /// The rows that were fitted on.
    Neighbours(Neighbours),
}

/// An embedding of the user's, brought to the width of a recipe.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Taken away first, `[given]`.
    pub centre: Vec<f32>,
    /// `[width, given]`.
    pub rows: Vec<f32>,
}

impl Projection {
    fn fill(&self, embedding: &[f32], out: &mut [f32]) {
        for (slot, row) in out.iter_mut().zip(self.rows.chunks_exact(self.centre.len().max(1))) {
            let values = embedding.iter().zip(&self.centre).zip(row);
            *slot = values.map(|((value, centre), weight)| f64::from((value - centre) * weight)).sum::<f64>() as f32;
        }
    }
}

/// What the scorer needs of a text. Kept by each thread, so that nothing is allocated for the next one.
#[derive(Debug, Default)]
struct Read {
    raw: Vec<f32>,
    row: Vec<f32>,
    wide: Vec<f64>,
    scores: Vec<f64>,
    logit: f64,
}

thread_local! {
    static READ: RefCell<Read> = RefCell::default();
}

/// A term of a win rate; positive ones speak for the strong model.
#[derive(Debug, Clone, PartialEq)]
pub struct Term {
    /// A lexical feature's name; `wording` for the whole embedding, `router local` for the shipped head.
    pub name: &'static str,
    /// Its part, in units of the logit around a win rate of one half. A feature is counted from its mean.
    pub part: f64,
}

impl Fitted {
    /// Expected score of each model on one text, not yet cut to 0..=1; `embedding` where the fit had the user's.
    pub fn scores(&self, text: &str, embedding: Option<&[f32]>) -> Result<Vec<f64>> {
        let mut out = vec![0.0; self.models().len()];
        self.fill(text, self.checked(embedding)?, &mut out)?;
        Ok(out)
    }

    /// The strong model's win rate for one text.
    pub fn win_rate_of(&self, text: &str, embedding: Option<&[f32]>) -> Result<f64> {
        let embedding = self.checked(embedding)?;
        READ.with_borrow_mut(|read| {
            self.read(read, text, embedding)?;
            match self.scorer() {
                // Of many models only two are routed between.
                Scorer::Heads { lines, .. } => {
                    let ahead = lines[self.strong()].value(&read.wide, read.logit)
                        - lines[self.weak()].value(&read.wide, read.logit);
                    Ok(win_rate(ahead))
                }
                Scorer::Neighbours(near) => {
                    read.scores.resize(self.models().len(), 0.0);
                    near.fill(&read.row, &mut read.scores);
                    Ok(self.win_rate(&read.scores))
                }
            }
        })
    }

    /// The terms of a text's win rate, largest first; none where neighbours decide.
    pub fn explain(&self, text: &str, embedding: Option<&[f32]>) -> Result<Vec<Term>> {
        let Scorer::Heads { lines, .. } = self.scorer() else { return Ok(Vec::new()) };
        let (embedding, width, base) = (self.checked(embedding)?, self.recipe().width(), self.recipe().raw());
        let (strong, weak) = (&lines[self.strong()], &lines[self.weak()]);
        let mut terms = READ.with_borrow_mut(|read| {
            self.read(read, text, embedding)?;
            // A win rate moves by half of a difference of scores, and the logit by four times a win rate near a half.
            let part = |i: usize| 2.0 * (strong.weights[i] - weak.weights[i]) * read.wide[i];
            let both = |i: usize| part(i) + part(base + i);
            let head = Term { name: "router local", part: 2.0 * (strong.alpha - weak.alpha) * read.logit };
            let wording = Term { name: "wording", part: (0..width).map(both).sum() };
            let named = lexical::NAMES.into_iter().enumerate();
            let lexical = named.map(|(i, name)| Term { name, part: both(width + i) });
            Ok::<_, Error>(lexical.chain([head, wording]).collect::<Vec<_>>())
        })?;
        terms.retain(|term| term.part != 0.0);
        terms.sort_by(|a, b| b.part.abs().total_cmp(&a.part.abs()).then_with(|| a.name.cmp(b.name)));
        Ok(terms)
    }

    /// [`scores`](Self::scores) of each text, row after row, on up to `threads` threads.
    pub fn scores_batch<T: AsRef<str> + Sync>(
        &self,
        texts: &[T],
        embeddings: Option<&[f32]>,
        threads: usize,
    ) -> Result<Vec<f64>> {
        let given = self.embedding_width();
        if let Some(width) = given {
            let found = embeddings.map(<[f32]>::len);
            if found != Some(width * texts.len()) {
                return Err(Error::value(format!(
                    "this router was fitted with embeddings of {width} numbers: expected [{}, {width}], found {}",
                    texts.len(),
                    found.map_or("none".to_owned(), |found| format!("{found} numbers"))
                )));
            }
        } else if embeddings.is_some() {
            return Err(Error::value("this router was fitted without embeddings of yours, and takes none"));
        }
        let models = self.models().len();
        let mut out = vec![0.0; texts.len() * models];
        LocalModel::shared()?;
        let rows: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(i, text)| (text, given.and_then(|width| embeddings?.get(i * width..(i + 1) * width))))
            .collect();
        for_each_row(&rows, &mut out, models, threads, |(text, embedding), scores| {
            // The head was read above, which is all that can fail.
            let _ = self.fill(text.as_ref(), *embedding, scores);
        });
        Ok(out)
    }

    /// The strong model's win rate from the scores of all models: half of what it is ahead, above a half.
    pub fn win_rate(&self, scores: &[f64]) -> f64 {
        let at = |model: usize| scores.get(model).copied().unwrap_or_default();
        win_rate(at(self.strong()) - at(self.weak()))
    }

    /// Embeddings `[n, given]` of the user's as the recipe takes them, `[n, width]`.
    pub fn projected(&self, embeddings: &[f32], given: usize) -> Result<Vec<f32>> {
        if self.embedding_width() != Some(given) {
            let wanted = self.embedding_width().map_or("none".to_owned(), |width| format!("{width} numbers each"));
            return Err(Error::value(format!("expected embeddings of {wanted}, found {given} numbers each")));
        }
        let Some(projection) = self.projection() else { return Ok(embeddings.to_vec()) };
        let width = self.recipe().width();
        let mut out = vec![0.0; embeddings.len() / given.max(1) * width];
        for (slots, embedding) in out.chunks_exact_mut(width.max(1)).zip(embeddings.chunks_exact(given.max(1))) {
            projection.fill(embedding, slots);
        }
        Ok(out)
    }

    fn checked<'e>(&self, embedding: Option<&'e [f32]>) -> Result<Option<&'e [f32]>> {
        match (self.embedding_width(), embedding) {
            (None, None) => Ok(None),
            (Some(width), Some(embedding)) if embedding.len() == width => Ok(Some(embedding)),
            (Some(width), found) => {
                let found = found.map_or("none".to_owned(), |found| found.len().to_string());
                Err(Error::value(format!("this router needs an embedding of {width} numbers, found {found}")))
            }
            (None, Some(_)) => Err(Error::value("this router was fitted without embeddings of yours, and takes none")),
        }
    }

    fn fill(&self, text: &str, embedding: Option<&[f32]>, scores: &mut [f64]) -> Result<()> {
        READ.with_borrow_mut(|read| {
            self.read(read, text, embedding)?;
            match self.scorer() {
                Scorer::Heads { lines, .. } => {
                    scores.iter_mut().zip(lines).for_each(|(score, line)| *score = line.value(&read.wide, read.logit));
                }
                Scorer::Neighbours(near) => near.fill(&read.row, scores),
            }
            Ok(())
        })
    }

    fn read(&self, read: &mut Read, text: &str, embedding: Option<&[f32]>) -> Result<()> {
        let local = LocalModel::shared()?;
        let features = local.featuriser().features(text);
        let recipe = self.recipe();
        read.logit = local.logit_of(&features);
        read.raw.resize(recipe.raw(), 0.0);
        let (head, tail) = read.raw.split_at_mut(recipe.width());
        match (self.projection(), embedding) {
            (Some(projection), Some(embedding)) => projection.fill(embedding, head),
            (None, Some(embedding)) => head.copy_from_slice(embedding),
            _ => head.copy_from_slice(&features.embedding[..DIM.min(head.len())]),
        }
        tail.copy_from_slice(&features.lexical);
        read.row.resize(recipe.len(), 0.0);
        recipe.fill(&read.raw, &mut read.row);
        read.wide.clear();
        read.wide.extend(read.row.iter().map(|&value| f64::from(value)));
        Ok(())
    }
}

/// Half of what the strong model is ahead, above a half.
fn win_rate(ahead: f64) -> f64 {
    (0.5 * (1.0 + ahead)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests;
