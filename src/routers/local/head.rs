//! The trained half of the router: a logistic regression, read from `data/local/head.json`.

use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::text::featuriser::Features;
use crate::text::lexical;
use crate::text::table::DIM;

/// No weight of a sound file comes near it.
const LARGEST: f64 = 1e6;

/// The file as `scripts/train_local.py` writes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u32,
    bias: f64,
    embedding: Vec<f64>,
    embedding_if_short: Vec<f64>,
    lexical: Vec<Weight>,
    quantiles: Vec<f64>,
    card: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weight {
    name: String,
    always: f64,
    if_short: f64,
    mean: f64,
}

/// One weight for each feature.
#[derive(Debug, Clone)]
struct Weights {
    embedding: [f64; DIM],
    lexical: [f64; lexical::COUNT],
}

impl Weights {
    fn dot(&self, features: &Features) -> f64 {
        dot(&self.embedding, &features.embedding) + dot(&self.lexical, &features.lexical)
    }
}

/// Weights on the raw features, the standardisation of training folded in. A feature's weight is `always`, plus
/// `if_short` times the text's shortness: what marks a short request as hard says little inside a long exam question.
#[derive(Debug, Clone)]
pub(super) struct Head {
    bias: f64,
    always: Weights,
    if_short: Weights,
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
        let lexical = |part: fn(&Weight) -> f64| std::array::from_fn(|i| file.lexical.get(i).map_or(0.0, part));
        let (always, if_short, means) = (lexical(|w| w.always), lexical(|w| w.if_short), lexical(|w| w.mean));
        let always = Weights { embedding: embedding(&file.embedding)?, lexical: always };
        let if_short = Weights { embedding: embedding(&file.embedding_if_short)?, lexical: if_short };
        let groups: [&[f64]; 6] =
            [&[file.bias], &always.embedding, &always.lexical, &if_short.embedding, &if_short.lexical, &means];
        if groups.into_iter().flatten().any(|number| number.abs() > LARGEST) {
            return Err(damaged(format!("a weight is larger than {LARGEST}")));
        }
        let quantiles = file.quantiles;
        if quantiles.is_empty() || !quantiles.is_sorted() || quantiles.iter().any(|q| !(0.0..=1.0).contains(q)) {
            return Err(damaged("the quantiles are not a rising list within 0..=1"));
        }
        Ok(Self { bias: file.bias, always, if_short, means, quantiles, card: file.card.to_string() })
    }

    pub(super) fn score(&self, features: &Features) -> f64 {
        1.0 / (1.0 + (-self.logit(features)).exp())
    }

    pub(super) fn logit(&self, features: &Features) -> f64 {
        let mut logit = self.bias + self.always.dot(features);
        let short = shortness(features);
        if short > 0.0 {
            logit += short * self.if_short.dot(features);
        }
        logit
    }

    /// The term of a part of an embedding, in a text with these features.
    pub(super) fn embedding_term(&self, part: &[f32; DIM], features: &Features) -> f64 {
        dot(&self.always.embedding, part) + shortness(features) * dot(&self.if_short.embedding, part)
    }

    /// The term of each lexical feature, counted from its mean in training.
    pub(super) fn lexical_terms(&self, features: &Features) -> [f64; lexical::COUNT] {
        let short = shortness(features);
        std::array::from_fn(|i| {
            let weight = self.always.lexical[i] + short * self.if_short.lexical[i];
            weight * (f64::from(features.lexical[i]) - self.means[i])
        })
    }

    /// What the other terms leave out: the same for every text, and what being short adds.
    pub(super) fn base_terms(&self, features: &Features) -> [(&'static str, f64); 2] {
        let at_means = |weights: &Weights| weights.lexical.iter().zip(&self.means).map(|(w, m)| w * m).sum::<f64>();
        [
            ("base", self.bias + at_means(&self.always)),
            ("short request", shortness(features) * at_means(&self.if_short)),
        ]
    }
}

fn shortness(features: &Features) -> f64 {
    f64::from(features.lexical[lexical::SHORTNESS])
}

fn embedding(weights: &[f64]) -> Result<[f64; DIM]> {
    let wrong = |_| damaged(format!("expected {DIM} embedding weights, found {}", weights.len()));
    weights.try_into().map_err(wrong)
}

fn dot(weights: &[f64], features: &[f32]) -> f64 {
    weights.iter().zip(features).map(|(weight, &feature)| weight * f64::from(feature)).sum()
}

fn damaged(what: impl std::fmt::Display) -> Error {
    Error::new(Kind::Checkpoint, format!("the head of the embedded router is damaged: {what}"))
}
