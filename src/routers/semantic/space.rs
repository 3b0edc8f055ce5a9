//! Where texts are compared: the mean of ordinary texts, and the one direction they differ in most, are taken out.
//!
//! Embeddings of all texts point much the same way, so a plain cosine calls everything similar. Without what they share
//! (Mu and Viswanath 2018, arXiv:1702.01417, with one direction) unrelated texts are near 0. `docs/semantic.md` has what
//! that brings.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::text::featuriser::{Featuriser, kept};
use crate::text::table::DIM;

static ORDINARY: &str = include_str!("../../../data/everyday.jsonl");

/// Of the ordinary texts, each so many is taken where embedding them costs money.
const EVERY: usize = 8;
/// Rounds of the search for the direction; it stands still long before.
const ROUNDS: usize = 200;
/// Shorter than this, a vector has no direction to speak of.
const TINY: f64 = 1e-9;

#[derive(Deserialize)]
struct Line {
    prompt: String,
}

/// What is taken out of a vector, and where the ordinary texts lie then.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    mean: Vec<f64>,
    direction: Vec<f64>,
    ordinary: Vec<f32>,
}

/// Texts that belong to no route in particular: greetings, trivia, school questions, code. 129 of the package's prompts.
pub fn ordinary_texts() -> Result<Vec<String>> {
    Ok(lines()?.into_iter().step_by(EVERY).collect())
}

fn lines() -> Result<Vec<String>> {
    let read = |line| serde_json::from_str::<Line>(line).map(|line| line.prompt);
    let lines: Result<_, _> = ORDINARY.lines().map(read).collect();
    lines.map_err(|error| Error::new(Kind::Checkpoint, format!("the embedded prompts are damaged: {error}")))
}

impl Space {
    /// The space of the embedded table, made on first use (a few milliseconds).
    pub fn local() -> Result<&'static Arc<Self>> {
        static SHARED: OnceLock<Result<Arc<Space>>> = OnceLock::new();
        kept(SHARED.get_or_init(|| {
            let featuriser = Featuriser::shared()?;
            let vectors: Vec<f64> =
                lines()?.iter().flat_map(|text| featuriser.embedding(text).map(f64::from)).collect();
            Self::new(&vectors, DIM).map(Arc::new)
        }))
    }

    /// The space of an embedder, from its vectors of ordinary texts, C order.
    ///
    /// # Errors
    /// [`Kind::Value`] when there is none, or a number is not finite.
    pub fn new(vectors: &[f64], width: usize) -> Result<Self> {
        if width == 0 || vectors.len() < width {
            return Err(Error::value("expected vectors of ordinary texts, found none"));
        }
        let mut rows: Vec<f64> = Vec::with_capacity(vectors.len());
        for vector in vectors.chunks_exact(width) {
            check_finite(vector)?;
            // One without a direction says nothing of what the others share.
            rows.extend(unit(vector.to_vec()).unwrap_or_default());
        }
        let count = (rows.len() / width).max(1) as f64;
        let mut mean = vec![0.0; width];
        for row in rows.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(mean, x)| *mean += x / count);
        }
        for row in rows.chunks_exact_mut(width) {
            row.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean);
        }
        let direction = main_direction(&rows, width);
        let mut space = Self { mean, direction, ordinary: Vec::new() };
        let placed = vectors.chunks_exact(width).filter_map(|vector| space.place(vector)).flatten();
        space.ordinary = placed.map(|x| x as f32).collect();
        Ok(space)
    }

    /// Numbers in a vector.
    pub fn width(&self) -> usize {
        self.mean.len()
    }

    /// The ordinary texts in this space, vectors of length 1.
    pub fn ordinary(&self) -> impl Iterator<Item = &[f32]> {
        self.ordinary.chunks_exact(self.width())
    }

    /// A finite vector of [`width`](Self::width) numbers without what all texts share, of length 1; `None` when nothing is
    /// left.
    pub fn place(&self, vector: &[f64]) -> Option<Vec<f64>> {
        let mut placed = unit(vector.to_vec())?;
        placed.iter_mut().zip(&self.mean).for_each(|(x, mean)| *x -= mean);
        let along = dot(&placed, &self.direction);
        placed.iter_mut().zip(&self.direction).for_each(|(x, direction)| *x -= along * direction);
        unit(placed)
    }
}

/// The direction of largest variance of centred rows, by power iteration; zeros where they do not vary.
fn main_direction(rows: &[f64], width: usize) -> Vec<f64> {
    let longest = rows.chunks_exact(width).max_by(|a, b| dot(a, a).total_cmp(&dot(b, b)));
    let Some(mut direction) = longest.and_then(|row| unit(row.to_vec())) else { return vec![0.0; width] };
    for _ in 0..ROUNDS {
        let mut next = vec![0.0; width];
        for row in rows.chunks_exact(width) {
            let along = dot(row, &direction);
            next.iter_mut().zip(row).for_each(|(next, x)| *next += along * x);
        }
        let Some(next) = unit(next) else { break };
        let still = 1.0 - dot(&next, &direction) < 1e-12;
        direction = next;
        if still {
            break;
        }
    }
    direction
}

/// Refuses NaN and infinity.
pub(super) fn check_finite(vector: &[f64]) -> Result<()> {
    match vector.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(Error::value(format!("expected a vector of finite numbers, found {} at {at}", vector[at]))),
        None => Ok(()),
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Scaled to length 1.
fn unit(mut vector: Vec<f64>) -> Option<Vec<f64>> {
    // By the largest first, so that squares neither overflow nor vanish.
    let largest = vector.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    if !(TINY..f64::INFINITY).contains(&largest) {
        return None;
    }
    vector.iter_mut().for_each(|x| *x /= largest);
    let length = dot(&vector, &vector).sqrt();
    vector.iter_mut().for_each(|x| *x /= length);
    Some(vector)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_all_share_is_gone() {
        // Everything points along the first axis and varies along the second; the third tells texts apart.
        let vectors: Vec<f64> =
            (0..40).flat_map(|i| [5.0, f64::from(i % 5) - 2.0, f64::from(i % 2) * 0.2 - 0.1]).collect();
        let space = Space::new(&vectors, 3).unwrap();
        assert!(space.direction[1].abs() > 0.99, "{:?}", space.direction);
        let (up, down) = (space.place(&[5.0, 1.0, 0.3]).unwrap(), space.place(&[5.0, -2.0, -0.3]).unwrap());
        assert!(dot(&up, &down) < -0.9, "{up:?} {down:?}");
        assert_eq!(space.ordinary().count(), 40);
    }

    #[test]
    fn what_cannot_be_placed_is_told() {
        let space = Space::new(&[1.0, 0.0, 0.0, 1.0], 2).unwrap();
        assert_eq!(space.place(&[0.0, 0.0]), None);
        assert_eq!(Space::new(&[], 2).unwrap_err().kind(), Kind::Value);
        assert!(Space::new(&[1.0, f64::NAN], 2).unwrap_err().message().contains("NaN at 1"));
        // One text, and nothing else: nothing to tell apart by.
        assert_eq!(Space::new(&[1.0, 2.0], 2).unwrap().place(&[1.0, 2.0]), None);
    }

    #[test]
    fn ordinary_texts_are_there() {
        assert_eq!((ordinary_texts().unwrap().len(), lines().unwrap().len()), (129, 1027));
        assert_eq!(Space::local().unwrap().width(), DIM);
    }

    proptest! {
        #[test]
        fn a_placed_vector_has_length_one(numbers in prop::collection::vec(-1e300..1e300f64, DIM)) {
            let placed = Space::local().unwrap().place(&numbers);
            prop_assert!(placed.is_none_or(|placed| (dot(&placed, &placed) - 1.0).abs() < 1e-9));
        }
    }
}
