//! The trained half of the router: a logistic regression, read from `data/local/head.json`.

use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::text::featuriser::Features;
use crate::text::lexical;
use crate::text::table::DIM;

/// The file as `scripts/train_local.py` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    bias: f64,
    embedding: Vec<f64>,
    lexical: Vec<Weight>,
    quantiles: Vec<f64>,
    card: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    name: String,
    weight: f64,
    mean: f64,
}

/// Weights on the raw features: the standardisation of training is folded in.
#[derive(Debug, Clone)]
pub(super) struct Head {
    bias: f64,
    embedding: [f64; DIM],
    lexical: [f64; lexical::COUNT],
    means: [f64; lexical::COUNT],
    pub(super) quantiles: Vec<f64>,
    pub(super) card: String,
}

impl Head {
    pub(super) fn from_bytes(file: &[u8]) -> Result<Self> {
        let file: File = serde_json::from_slice(file).map_err(damaged)?;
        if file.format != 1 {
            return Err(damaged(format!("expected format 1, found {}", file.format)));
        }
        let found: Vec<&str> = file.lexical.iter().map(|entry| entry.name.as_str()).collect();
        if found != lexical::NAMES {
            return Err(damaged(format!("expected the lexical features {:?}, found {found:?}", lexical::NAMES)));
        }
        let embedding = <[f64; DIM]>::try_from(file.embedding)
            .map_err(|found| damaged(format!("expected {DIM} embedding weights, found {}", found.len())))?;
        let (mut lexical, mut means) = ([0.0; lexical::COUNT], [0.0; lexical::COUNT]);
        for (entry, (weight, mean)) in file.lexical.iter().zip(lexical.iter_mut().zip(&mut means)) {
            (*weight, *mean) = (entry.weight, entry.mean);
        }
        let mut numbers = [file.bias].into_iter().chain(embedding).chain(lexical).chain(means);
        if numbers.any(|number| number.abs() > 1e6) {
            return Err(damaged("a weight is larger than 1e6"));
        }
        let quantiles = file.quantiles;
        if quantiles.is_empty() || !quantiles.is_sorted() || quantiles.iter().any(|q| !(0.0..=1.0).contains(q)) {
            return Err(damaged("the quantiles are not a rising list within 0..=1"));
        }
        Ok(Self { bias: file.bias, embedding, lexical, means, quantiles, card: file.card.to_string() })
    }

    pub(super) fn score(&self, features: &Features) -> f64 {
        let logit = self.bias + dot(&self.embedding, &features.embedding) + dot(&self.lexical, &features.lexical);
        1.0 / (1.0 + (-logit).exp())
    }

    /// The term of an embedding, or of a part of one.
    pub(super) fn embedding_term(&self, embedding: &[f32; DIM]) -> f64 {
        dot(&self.embedding, embedding)
    }

    /// The term of each lexical feature, counted from its mean in training.
    pub(super) fn lexical_terms(&self, features: &[f32; lexical::COUNT]) -> [f64; lexical::COUNT] {
        std::array::from_fn(|i| self.lexical[i] * (f64::from(features[i]) - self.means[i]))
    }

    /// What [`lexical_terms`](Self::lexical_terms) leaves out: the logit where every lexical feature is at its mean.
    pub(super) fn base_logit(&self) -> f64 {
        self.bias + self.lexical.iter().zip(&self.means).map(|(weight, mean)| weight * mean).sum::<f64>()
    }
}

fn dot(weights: &[f64], features: &[f32]) -> f64 {
    weights.iter().zip(features).map(|(weight, &feature)| weight * f64::from(feature)).sum()
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Checkpoint, format!("the head of the embedded router is damaged: {what}"))
}
