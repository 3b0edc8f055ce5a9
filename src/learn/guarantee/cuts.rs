//! The thresholds that are tested, in their order, without a look at the labels or at how the scores lie.
//!
//! The order is fixed beforehand: every number from the safe end on. Between two neighbouring scores of the sample the
//! test of a threshold does not change, so only as many tests are made as there are scores; the scores say where the
//! result changes, not which thresholds are tried. A list made of the same sample's quantiles would not be fixed.

/// Up to how many rows every number is a threshold; of more rows, numbers of [`BITS`] significant bits.
const EVERY: usize = 2_000;

/// Steps of a ten-thousandth where scores are in the middle, and finer ones near 0.
const BITS: u32 = 12;

/// Scores as the thresholds see them: rounded down to the nearest one.
pub(super) fn floored(win_rates: &[f64]) -> Vec<f64> {
    let rough = |rate: f64| f64::from_bits(rate.to_bits() >> (52 - BITS) << (52 - BITS));
    // Rounding of float32 may have left a score outside of 0..=1, and a negative zero has another sign.
    let inside = win_rates.iter().map(|rate| if *rate > 0.0 { rate.min(1.0) } else { 0.0 });
    if win_rates.len() <= EVERY { inside.collect() } else { inside.map(rough).collect() }
}

/// The distinct scores, ascending: a row is below the threshold after `cut` if its score is at most `cut`.
pub(super) fn distinct(floored: &[f64]) -> Vec<f64> {
    let mut cuts = floored.to_vec();
    cuts.sort_unstable_by(f64::total_cmp);
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_scores_stay_and_many_are_rounded_down() {
        assert_eq!(floored(&[0.3, -1e-7, 1.0 + 1e-7, -0.0]), [0.3, 0.0, 1.0, 0.0]);
        let many: Vec<f64> = (0..=EVERY).map(|i| i as f64 / EVERY as f64).collect();
        let rough = floored(&many);
        for (rough, fine) in rough.iter().zip(&many) {
            assert!(rough <= fine && fine - rough <= fine / 4096.0, "{rough} {fine}");
        }
        assert_eq!(rough[EVERY], 1.0);
        assert_eq!(distinct(&[0.5, 0.25, 0.5]), [0.25, 0.5]);
    }
}
