//! Powers of ten of many numbers at once.

use std::sync::LazyLock;

use super::lanes;

/// Binary digits of a decimal one.
const LOG2_10: f64 = std::f64::consts::LOG2_10;

/// Replaces each `x` by `10^((x - reference) * scale)`.
///
/// To 1e-14 relative, and 0 below 2^-1020. The exponents must not be positive; those that are give 1. Every processor
/// gives the same bits.
pub(crate) fn powers_of_ten(numbers: &mut [f64], reference: f64, scale: f64) {
    // SAFETY: the function was chosen for this processor.
    unsafe { BEST(numbers, reference, scale * LOG2_10) }
}

type Powers = unsafe fn(&mut [f64], f64, f64);

static BEST: LazyLock<Powers> = LazyLock::new(|| versions(lanes::BEST.name));

/// See [`super::settle`].
#[cfg(feature = "python")]
pub(super) fn settle() {
    LazyLock::force(&BEST);
}

fn versions(name: &str) -> Powers {
    match name {
        #[cfg(target_arch = "x86_64")]
        "avx512" => avx512,
        #[cfg(target_arch = "x86_64")]
        "avx2" => avx2,
        _ => plain,
    }
}

#[inline(always)]
#[expect(clippy::inline_always, reason = "it is compiled anew for each processor")]
fn all(numbers: &mut [f64], reference: f64, scale: f64) {
    for x in numbers {
        *x = exp2((*x - reference) * scale);
    }
}

unsafe fn plain(numbers: &mut [f64], reference: f64, scale: f64) {
    all(numbers, reference, scale);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn avx512(numbers: &mut [f64], reference: f64, scale: f64) {
    all(numbers, reference, scale);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
unsafe fn avx2(numbers: &mut [f64], reference: f64, scale: f64) {
    all(numbers, reference, scale);
}

/// 2^y for y up to 0: the whole part becomes the exponent's bits, the rest a Taylor series around 0.
///
/// Its first missing term is below 1e-15. Multiplications and additions only, so compilers turn a loop of it into vectors
/// and all of them round alike.
#[inline(always)]
fn exp2(y: f64) -> f64 {
    /// Added to a number below 2^51, it leaves the nearest whole number in the lowest bits.
    const SHIFTER: f64 = 6_755_399_441_055_744.0;
    /// Coefficients of e^x, from the highest power down.
    const SERIES: [f64; 13] = [
        1.0 / 479_001_600.0,
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let bounded = y.clamp(-1021.0, 0.0);
    let shifted = bounded + SHIFTER;
    let x = (bounded - (shifted - SHIFTER)) * std::f64::consts::LN_2;
    let mut sum = SERIES[0];
    for coefficient in &SERIES[1..] {
        sum = sum * x + coefficient;
    }
    let power = sum * f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    if y < -1020.0 { 0.0 } else { power }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_are_those_of_the_standard_library() {
        let exponents: Vec<f64> = (0..40_000).map(|i| -f64::from(i) * 0.00757).collect();
        let mut found = exponents.clone();
        powers_of_ten(&mut found, 0.0, 1.0);
        for (x, found) in exponents.iter().zip(&found) {
            assert!((found / 10_f64.powf(*x) - 1.0).abs() < 2e-13, "{x}: {found}");
        }
        assert_eq!(found[0], 1.0);
        let mut shifted: Vec<f64> = exponents.iter().map(|x| x * 0.25 + 3.0).collect();
        powers_of_ten(&mut shifted, 3.0, 4.0);
        assert!(shifted.iter().zip(&found).all(|(a, b)| (a / b - 1.0).abs() < 1e-11));
    }

    #[test]
    fn the_edges_are_zero_and_one() {
        let mut edges = [0.0, -0.0, 1e-300, 5.0, -400.0, f64::NEG_INFINITY, f64::MIN, f64::MAX, -307.0];
        powers_of_ten(&mut edges, 0.0, 1.0);
        assert_eq!(edges[..8], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
        assert!((edges[8] / 1e-307 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn every_processor_gives_the_same_bits() {
        let start: Vec<f64> = (0..1003).map(|i| (f64::from(i) * 0.37).sin() - 1.0).collect();
        let mut expected = start.clone();
        // SAFETY: needs nothing of the processor.
        unsafe { plain(&mut expected, 0.0, 40.0) };
        for kernels in lanes::available() {
            let mut found = start.clone();
            // SAFETY: available on this processor.
            unsafe { versions(kernels.name)(&mut found, 0.0, 40.0) };
            assert_eq!(found, expected, "{}", kernels.name);
        }
    }
}
