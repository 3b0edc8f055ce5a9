//! What the tests of this room share.

use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};

/// Numbers in -1..1 without a pattern that a wrong index could hide in.
pub(super) fn noise(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// GELU in f64.
pub(super) fn gelu(x: f64) -> f64 {
    x * tail(-x / SQRT_2)
}

/// `erfc(z) / 2`: a series for small numbers, a continued fraction for large ones.
fn tail(z: f64) -> f64 {
    if z.abs() < 2.5 {
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while f64::abs(term) > 1e-18 {
            n += 1.0;
            term *= -z * z / n;
            sum += term / (2.0 * n + 1.0);
        }
        return 0.5 - sum * FRAC_2_SQRT_PI / 2.0;
    }
    let a = z.abs();
    let fraction = (1..=60).rev().fold(a, |below, k| a + f64::from(k) / 2.0 / below);
    let upper = (-a * a).exp() / fraction * FRAC_2_SQRT_PI / 4.0;
    if z > 0.0 { upper } else { 1.0 - upper }
}
