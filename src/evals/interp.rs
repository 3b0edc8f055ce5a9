//! One-dimensional linear interpolation as `numpy.interp` does it, on abscissae that need not rise.
//!
//! Accuracies along a curve go up and down, and the call percentages that `RouteLLM` prints are interpolated over
//! them all the same. Which segment is taken then depends on numpy's search, so the search is part of the figure.

/// Entries ahead of the first guess that numpy looks at before it bisects everything.
const AHEAD: usize = 8;

/// `numpy.interp(x, xp, fp)` for one `x`; NaN for NaN.
///
/// `xp` and `fp` have the same length; without points the result is NaN.
pub fn interp(x: f64, xp: &[f64], fp: &[f64]) -> f64 {
    let n = xp.len().min(fp.len());
    if n == 0 || x.is_nan() {
        return f64::NAN;
    }
    if x > xp[n - 1] {
        return fp[n - 1];
    }
    if x < xp[0] {
        return fp[0];
    }
    let j = segment(x, &xp[..n]);
    if j + 1 >= n || xp[j] == x {
        return fp[j.min(n - 1)];
    }
    let slope = (fp[j + 1] - fp[j]) / (xp[j + 1] - xp[j]);
    let value = slope * (x - xp[j]) + fp[j];
    if !value.is_nan() {
        return value;
    }
    // An infinite step from the left may be finite from the right.
    let value = slope * (x - xp[j + 1]) + fp[j + 1];
    if value.is_nan() && fp[j] == fp[j + 1] { fp[j] } else { value }
}

/// The index numpy settles on; `xp[0] <= x <= xp[n - 1]` holds already.
fn segment(x: f64, xp: &[f64]) -> usize {
    let n = xp.len();
    if n <= 4 {
        // The scan stops at the first entry that is larger.
        return (1..n).find(|&i| x < xp[i]).unwrap_or(n) - 1;
    }
    // Every call begins at a guess of 1 and tries its neighbours.
    if x < xp[1] {
        return 0;
    }
    if x < xp[2] {
        return 1;
    }
    if x < xp[3] {
        return 2;
    }
    let far = 1 + AHEAD;
    let mut low = 3;
    let mut high = if n > far + 1 && x < xp[far] { far } else { n };
    while low < high {
        let middle = low + (high - low) / 2;
        if x >= xp[middle] {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_are_held() {
        let (xp, fp) = ([1.0, 2.0, 3.0], [10.0, 20.0, 40.0]);
        assert_eq!(interp(0.0, &xp, &fp), 10.0);
        assert_eq!(interp(9.0, &xp, &fp), 40.0);
        assert_eq!(interp(2.5, &xp, &fp), 30.0);
        assert_eq!(interp(3.0, &xp, &fp), 40.0);
        assert!(interp(f64::NAN, &xp, &fp).is_nan());
        assert_eq!(interp(5.0, &[5.0], &[7.0]), 7.0);
        assert!(interp(5.0, &[], &[]).is_nan());
    }

    #[test]
    fn a_last_entry_below_the_target_ends_the_search() {
        assert_eq!(interp(5.0, &[1.0, 9.0, 4.0], &[0.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn golden_cases_of_numpy() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/eval/interp_cases.json");
        let cases: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let numbers = |value: &serde_json::Value| -> Vec<f64> {
            value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
        };
        let cases = cases.as_array().unwrap();
        assert_eq!(cases.len(), 120);
        for case in cases {
            let found = interp(case["x"].as_f64().unwrap(), &numbers(&case["xp"]), &numbers(&case["fp"]));
            let wanted = case["result"].as_f64().unwrap();
            assert!((found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0), "{found} {wanted} {case}");
        }
    }

    proptest! {
        #[test]
        fn on_rising_points_it_is_the_line_between_neighbours(
            mut xp in prop::collection::vec(-1e3..1e3f64, 1..40), at in 0.0..1.0f64, seed in 0u64..99
        ) {
            xp.sort_by(f64::total_cmp);
            xp.dedup();
            let fp: Vec<f64> = (0..xp.len() as u64).map(|i| ((i * 7919 + seed) % 101) as f64).collect();
            let x = xp[0] + (xp[xp.len() - 1] - xp[0]) * at;
            let right = xp.partition_point(|&p| p <= x).min(xp.len() - 1).max(1);
            if xp.len() > 1 {
                let (a, b) = (xp[right - 1], xp[right]);
                let line = fp[right - 1] + (fp[right] - fp[right - 1]) * (x - a) / (b - a);
                prop_assert!((interp(x, &xp, &fp) - line).abs() < 1e-6);
            }
        }

        #[test]
        fn it_never_panics(
            xp in prop::collection::vec(prop::num::f64::ANY, 0..30), fp in prop::collection::vec(prop::num::f64::ANY, 0..30),
            x in prop::num::f64::ANY
        ) {
            interp(x, &xp, &fp);
        }
    }
}
