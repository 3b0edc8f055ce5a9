//! From similarities to weights of battles, and their sums.

use crate::math::powers::powers_of_ten;

/// Weights of battles of given similarities: `10 * 10^(s / max s)`, as `RouteLLM` defines them. They may overflow.
pub fn weightings(similarities: &[f64]) -> Vec<f64> {
    let largest = similarities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    similarities.iter().map(|s| 10.0 * 10_f64.powf(s / largest)).collect()
}

/// Turns similarities into weights relative to the largest of them.
///
/// With a largest similarity of zero (no more, no less) the limit from above is taken: only the most similar count.
pub(super) fn relative_weights(similarities: &mut [f64], largest: f64, smallest: f64) {
    let scale = 1.0 / largest;
    if !scale.is_finite() {
        for s in similarities {
            *s = f64::from(u8::from(*s >= largest));
        }
        return;
    }
    // With nothing but negative similarities the least similar weighs most.
    let reference = if largest > 0.0 { largest } else { smallest };
    powers_of_ten(similarities, reference, scale);
}

/// Largest and smallest.
pub(super) fn extremes(numbers: &[f64]) -> (f64, f64) {
    let (mut high, mut low) = ([f64::NEG_INFINITY; 8], [f64::INFINITY; 8]);
    let (chunks, rest) = numbers.as_chunks::<8>();
    for chunk in chunks {
        for ((high, low), &x) in high.iter_mut().zip(&mut low).zip(chunk) {
            *high = if x > *high { x } else { *high };
            *low = if x < *low { x } else { *low };
        }
    }
    let largest = high.iter().chain(rest).copied().fold(f64::NEG_INFINITY, f64::max);
    (largest, low.iter().chain(rest).copied().fold(f64::INFINITY, f64::min))
}

/// A sum of weights for each kind of battle; four of each, because a sum waits for the one before it.
pub(super) struct Sums(Vec<[f64; 4]>);

impl Sums {
    pub(super) fn new(kinds: usize) -> Self {
        Self(vec![[0.0; 4]; kinds])
    }

    pub(super) fn add(&mut self, kinds: &[u32], weights: &[f64]) {
        for (kinds, weights) in kinds.chunks(4).zip(weights.chunks(4)) {
            for (lane, (&kind, &weight)) in kinds.iter().zip(weights).enumerate() {
                self.0[kind as usize][lane] += weight;
            }
        }
    }

    pub(super) fn totals(&self) -> impl Iterator<Item = f64> {
        self.0.iter().map(|sums| (sums[0] + sums[1]) + (sums[2] + sums[3]))
    }
}
