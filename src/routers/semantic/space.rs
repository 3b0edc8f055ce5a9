//! Where texts are compared: the mean of ordinary texts is taken out, and the directions they differ in most are damped.
//!
//! Embeddings of all texts point much the same way, so a plain cosine calls everything similar (Mu and Viswanath 2018,
//! arXiv:1702.01417). Here unrelated texts are near 0. A direction of variance v is shortened to sqrt(s / (v + s)) of its
//! length, s being three times the mean variance: whitening, as far as so few texts can tell. `docs/semantic.md` has what
//! that brings.

use std::sync::{Arc, OnceLock};

use serde::Deserialize;

use crate::error::{Error, Kind, Result};
use crate::text::featuriser::{Featuriser, kept};
use crate::text::table::DIM;

static ORDINARY: &str = include_str!("../../../data/everyday.jsonl");

/// Of the ordinary texts, each so many is taken where embedding them costs money.
const EVERY: usize = 8;
/// Directions that are damped.
const DIRECTIONS: usize = 16;
/// Rounds of the search for each; most stand still long before.
const ROUNDS: usize = 100;
/// A direction varies much when it does more than so many times the mean.
const MUCH: f64 = 3.0;
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
    damped: Vec<Damped>,
    ordinary: Vec<f32>,
}

/// A direction of length 1, and the part of it that is taken out.
#[derive(Debug, Clone, PartialEq)]
struct Damped {
    direction: Vec<f64>,
    part: f64,
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
        let damped = damped(&rows, width);
        let mut space = Self { mean, damped, ordinary: Vec::new() };
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
        for Damped { direction, part } in &self.damped {
            let out = part * dot(&placed, direction);
            placed.iter_mut().zip(direction).for_each(|(x, direction)| *x -= out * direction);
        }
        unit(placed)
    }
}

/// The directions of largest variance of centred rows, by power iteration, each without those before it.
fn damped(rows: &[f64], width: usize) -> Vec<Damped> {
    let count = rows.len() / width;
    let mean_variance = dot(rows, rows) / (count.max(1) * width) as f64;
    let products = Products::new(rows, width);
    // The longest row has a part in a direction that matters.
    let longest = rows.chunks_exact(width).max_by(|a, b| dot(a, a).total_cmp(&dot(b, b)));
    let mut found: Vec<Damped> = Vec::new();
    while found.len() < DIRECTIONS.min(width) {
        let without = |mut vector: Vec<f64>| {
            for Damped { direction, .. } in &found {
                let along = dot(&vector, direction);
                vector.iter_mut().zip(direction).for_each(|(x, direction)| *x -= along * direction);
            }
            unit(vector)
        };
        let start = longest.and_then(|row| without(row.to_vec()));
        let Some(mut direction) = start.or_else(|| without(vec![1.0; width])) else { break };
        let mut variance = 0.0;
        for _ in 0..ROUNDS {
            let next = products.times(&direction);
            variance = dot(&next, &direction) / count as f64;
            let Some(next) = without(next) else { break };
            let still = 1.0 - dot(&next, &direction) < 1e-10;
            direction = next;
            if still {
                break;
            }
        }
        if variance <= TINY * mean_variance || !variance.is_normal() {
            break;
        }
        let part = 1.0 - (MUCH * mean_variance / (variance + MUCH * mean_variance)).sqrt();
        found.push(Damped { direction, part });
    }
    found
}

/// Multiplies with the rows' products of every column with every other, which few columns are worth keeping for.
enum Products<'a> {
    Kept(Vec<f64>, usize),
    Rows(&'a [f64], usize),
}

impl<'a> Products<'a> {
    fn new(rows: &'a [f64], width: usize) -> Self {
        if rows.len() < width * width {
            return Self::Rows(rows, width);
        }
        let mut kept = vec![0.0; width * width];
        for row in rows.chunks_exact(width) {
            for (line, &x) in kept.chunks_exact_mut(width).zip(row) {
                line.iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
            }
        }
        Self::Kept(kept, width)
    }

    fn times(&self, vector: &[f64]) -> Vec<f64> {
        match *self {
            Self::Kept(ref kept, width) => kept.chunks_exact(width).map(|line| dot(line, vector)).collect(),
            Self::Rows(rows, width) => {
                let mut sum = vec![0.0; width];
                for row in rows.chunks_exact(width) {
                    let along = dot(row, vector);
                    sum.iter_mut().zip(row).for_each(|(sum, x)| *sum += along * x);
                }
                sum
            }
        }
    }
}

/// Refuses NaN and infinity.
pub(super) fn check_finite(vector: &[f64]) -> Result<()> {
    match vector.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(Error::value(format!("expected a vector of finite numbers, found {} at {at}", vector[at]))),
        None => Ok(()),
    }
}

/// In one fixed order, eight sums side by side.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, after) = a.as_chunks::<8>();
    let (b, beyond) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for (sum, (x, y)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += x * y;
        }
    }
    sums.iter().sum::<f64>() + after.iter().zip(beyond).map(|(x, y)| x * y).sum::<f64>()
}

/// Scaled to length 1.
pub(super) fn unit(mut vector: Vec<f64>) -> Option<Vec<f64>> {
    // By the largest first, so that squares neither overflow nor vanish.
    let largest = vector.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    if !(TINY..f64::INFINITY).contains(&largest) {
        return None;
    }
    for x in &mut vector {
        *x /= largest;
    }
    let length = dot(&vector, &vector).sqrt();
    for x in &mut vector {
        *x /= length;
    }
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
        assert!(space.damped[0].direction[1].abs() > 0.99, "{:?}", space.damped);
        assert!(space.damped[0].part > 0.2 && space.damped.iter().skip(1).all(|next| next.part < 0.1));
        let cosine = |a: &[f64], b: &[f64]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let (a, b) = ([5.0, 1.0, 0.8], [5.0, -1.0, -0.8]);
        let placed = dot(&space.place(&a).unwrap(), &space.place(&b).unwrap());
        assert!(cosine(&a, &b) > 0.8 && placed < -0.9, "{placed}");
        assert_eq!(space.ordinary().count(), 40);
    }

    #[test]
    fn directions_are_those_of_a_known_covariance() {
        // Along each axis +x and -x alone, so the axes are the directions and x * x / 20 the variances.
        let mut vectors = Vec::new();
        for axis in 0..10 {
            for sign in [1.0, -1.0] {
                let mut row = vec![0.0; 10];
                row[axis] = sign * (10 - axis) as f64;
                vectors.extend(row);
            }
        }
        let found = damped(&vectors, 10);
        assert_eq!(found.len(), 10);
        let mean: f64 = (1..=10).map(|x| f64::from(x * x) / 10.0 / 10.0).sum();
        for (axis, Damped { direction, part }) in found.iter().enumerate() {
            assert!((direction[axis].abs() - 1.0).abs() < 1e-3, "{axis}: {direction:?}");
            let variance = ((10 - axis) * (10 - axis)) as f64 / 10.0;
            let expected = 1.0 - (3.0 * mean / (variance + 3.0 * mean)).sqrt();
            assert!((part - expected).abs() < 1e-3, "{axis}: {part} {expected}");
        }
        // Kept products and rows say the same.
        let vector: Vec<f64> = (0..10).map(f64::from).collect();
        let (kept, rows) = (Products::new(&vectors, 10), Products::Rows(&vectors, 10));
        assert!(matches!(kept, Products::Kept(..)));
        assert_eq!(kept.times(&vector), rows.times(&vector));
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
