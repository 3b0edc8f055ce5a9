//! The decision, written once: the Python Controller and every later face call this.

use super::python_float::repr;

/// Which side answers, and why, in words a person can check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Whether the strong model answers.
    pub strong: bool,
    /// One sentence.
    pub reason: String,
}

/// Strong when `win_rate >= threshold`; a win rate that is not a number goes to the weak model, as in `RouteLLM`.
pub fn by_threshold(win_rate: f64, threshold: f64) -> Choice {
    let strong = win_rate >= threshold;
    let reason = if win_rate.is_nan() {
        "win rate is not a number: weak model".to_owned()
    } else {
        let (sign, side) = if strong { (">=", "strong") } else { ("<", "weak") };
        format!("win rate {} {sign} threshold {}: {side} model", shown(win_rate, threshold), repr(threshold))
    };
    Choice { strong, reason }
}

/// Four decimals, unless that would hide on which side of `border` the value lies.
pub(super) fn shown(value: f64, border: f64) -> String {
    if (value - border).abs() < 1e-4 { repr(value) } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn boundary_goes_to_the_strong_model() {
        assert!(by_threshold(0.5, 0.5).strong);
        assert!(!by_threshold(0.5, 0.500_000_000_000_000_1).strong);
        assert!(!by_threshold(f64::NAN, 0.0).strong);
        assert_eq!(by_threshold(0.612_345, 0.5).reason, "win rate 0.6123 >= threshold 0.5: strong model");
        assert_eq!(by_threshold(0.499_99, 0.5).reason, "win rate 0.49999 < threshold 0.5: weak model");
    }

    proptest! {
        #[test]
        fn a_higher_threshold_never_turns_weak_into_strong(win_rate in 0.0..=1.0, a in 0.0..=1.0, b in 0.0..=1.0) {
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(by_threshold(win_rate, low).strong || !by_threshold(win_rate, high).strong);
        }
    }
}
