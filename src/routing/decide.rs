//! The decision, written once: the Python Controller and every later face call this.

use super::python_float::repr;

/// Which of the sides answers, counted from the weakest, and why, in words a person can check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Place of the side: 0 is the weakest.
    pub index: usize,
    /// One sentence.
    pub reason: String,
}

/// The side that a win rate reaches: one further for each cut with `win_rate >= cut`.
///
/// With one cut and two sides that is `RouteLLM`'s rule, strong when `win_rate >= threshold`. `cuts` must not fall, and
/// `sides` has one name more than there are cuts. A win rate that is not a number goes to the weakest, as in `RouteLLM`.
pub fn by_thresholds(win_rate: f64, cuts: &[f64], sides: &[&str]) -> Choice {
    if win_rate.is_nan() {
        return not_a_number(sides);
    }
    let index = cuts.partition_point(|cut| win_rate >= *cut);
    let (below, above) = (index.checked_sub(1).map(|at| cuts[at]), cuts.get(index).copied());
    let nearest =
        [below, above].into_iter().flatten().min_by(|a, b| (win_rate - a).abs().total_cmp(&(win_rate - b).abs()));
    let shown = shown(win_rate, nearest.unwrap_or(f64::INFINITY));
    let side = side(sides, index);
    let reason = match (below, above) {
        (Some(cut), Some(next)) => format!("win rate {shown} >= {} and < {}: {side}", repr(cut), repr(next)),
        (Some(cut), None) => format!("win rate {shown} >= threshold {}: {side}", repr(cut)),
        (None, Some(cut)) => format!("win rate {shown} < threshold {}: {side}", repr(cut)),
        (None, None) => format!("win rate {shown}: {side}"),
    };
    Choice { index, reason }
}

/// The weakest side, for a win rate that is none.
pub(super) fn not_a_number(sides: &[&str]) -> Choice {
    Choice { index: 0, reason: format!("win rate is not a number: {}", side(sides, 0)) }
}

pub(super) fn side<'a>(sides: &[&'a str], index: usize) -> &'a str {
    sides.get(index).copied().unwrap_or_default()
}

/// Four decimals, unless that would hide on which side of `border` the value lies.
pub(super) fn shown(value: f64, border: f64) -> String {
    if (value - border).abs() < 1e-4 { repr(value) } else { format!("{value:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIDES: [&str; 2] = ["weak model", "strong model"];

    fn strong(win_rate: f64, threshold: f64) -> bool {
        by_thresholds(win_rate, &[threshold], &SIDES).index == 1
    }

    #[test]
    fn boundary_goes_to_the_strong_model() {
        assert!(strong(0.5, 0.5));
        assert!(!strong(0.5, 0.500_000_000_000_000_1));
        assert!(!strong(f64::NAN, 0.0));
        let reason = |win_rate| by_thresholds(win_rate, &[0.5], &SIDES).reason;
        assert_eq!(reason(0.612_345), "win rate 0.6123 >= threshold 0.5: strong model");
        assert_eq!(reason(0.499_99), "win rate 0.49999 < threshold 0.5: weak model");
        assert_eq!(reason(f64::NAN), "win rate is not a number: weak model");
    }

    #[test]
    fn each_cut_that_is_reached_is_a_rung_up() {
        let sides = ["cheap", "mid", "expensive"];
        let choice = |win_rate| by_thresholds(win_rate, &[0.3, 0.7], &sides);
        assert_eq!([0.0, 0.3, 0.69, 0.7, 1.0].map(|win_rate| choice(win_rate).index), [0, 1, 1, 2, 2]);
        assert_eq!(choice(0.2).reason, "win rate 0.2000 < threshold 0.3: cheap");
        assert_eq!(choice(0.5).reason, "win rate 0.5000 >= 0.3 and < 0.7: mid");
        assert_eq!(choice(0.699_99).reason, "win rate 0.69999 >= 0.3 and < 0.7: mid");
        assert_eq!(choice(0.9).reason, "win rate 0.9000 >= threshold 0.7: expensive");
        // Equal cuts leave the rung between them out.
        assert_eq!(by_thresholds(0.5, &[0.5, 0.5], &sides).index, 2);
    }

    proptest! {
        #[test]
        fn higher_cuts_never_lead_higher(
            win_rate in 0.0..=1.0,
            mut low in prop::collection::vec(0.0..=1.0, 1..6),
            raised in prop::collection::vec(0.0..=0.5, 6),
        ) {
            low.sort_by(f64::total_cmp);
            let mut high: Vec<f64> = low.iter().zip(raised).map(|(cut, more)| cut + more).collect();
            high.sort_by(f64::total_cmp);
            let sides = vec!["side"; low.len() + 1];
            prop_assert!(by_thresholds(win_rate, &low, &sides).index >= by_thresholds(win_rate, &high, &sides).index);
        }

        #[test]
        fn a_higher_win_rate_never_leads_lower(
            a in 0.0..=1.0, b in 0.0..=1.0, mut cuts in prop::collection::vec(0.0..=1.0, 1..6),
        ) {
            cuts.sort_by(f64::total_cmp);
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            let sides = vec!["side"; cuts.len() + 1];
            prop_assert!(by_thresholds(low, &cuts, &sides).index <= by_thresholds(high, &cuts, &sides).index);
        }
    }
}
