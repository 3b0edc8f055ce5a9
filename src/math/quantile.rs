//! Quantiles by linear interpolation, as numpy and pandas compute them, to the bit.

/// The `q`-quantile of ascending values as numpy's `quantile` gives it; `q` in 0..=1. NaN without values.
///
/// Between the two values around the place `(n - 1) q` it is reckoned from the nearer one.
pub fn linear(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    if q.is_nan() {
        return f64::NAN;
    }
    let place = last as f64 * q.clamp(0.0, 1.0);
    let below = place.floor();
    let part = place - below;
    // A product can round up to `last`, but not beyond it.
    let index = below as usize;
    let (a, b) = (sorted[index.min(last)], sorted[(index + 1).min(last)]);
    let step = b - a;
    if part >= 0.5 { b - step * (1.0 - part) } else { a + step * part }
}

/// The `q`-quantile as pandas 2 gives it, which takes `q` through percent; pandas 3 is [`linear`].
///
/// They differ by a unit in the last place of `q` for some of them, such as 0.07.
pub fn pandas2(sorted: &[f64], q: f64) -> f64 {
    linear(sorted, (q * 100.0) / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_ends_are_values_and_nothing_has_none() {
        let values = [0.1, 0.2, 0.7];
        assert_eq!((linear(&values, 0.0), linear(&values, 1.0)), (0.1, 0.7));
        assert_eq!(linear(&[0.4], 0.3), 0.4);
        assert!(linear(&[], 0.5).is_nan() && linear(&values, f64::NAN).is_nan());
    }

    #[test]
    fn percent_moves_some_fractions() {
        let q = 1.0 - 0.07;
        assert_ne!(q, (q * 100.0) / 100.0);
        let values: Vec<f64> = (0..5000).map(|i| f64::from(i) / 7.0).collect();
        assert_ne!(linear(&values, q), pandas2(&values, q));
    }

    proptest! {
        #[test]
        fn it_stays_between_the_values_and_rises(
            mut values in prop::collection::vec(0.0..=1.0, 1..50), a in 0.0..=1.0, b in 0.0..=1.0,
        ) {
            values.sort_by(f64::total_cmp);
            let (low, high): (f64, f64) = if a < b { (a, b) } else { (b, a) };
            let (x, y) = (pandas2(&values, low), pandas2(&values, high));
            prop_assert!(x <= y + 1e-15);
            prop_assert!(values[0] <= x && y <= values[values.len() - 1]);
        }
    }
}
