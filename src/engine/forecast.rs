//! What the baseline would have used for a request that another model answered.

use crate::ledger::Habits;
use crate::pricing::Usage;

/// What the baseline would have used for the same request, and whether its length is forecast.
pub(super) fn forecast(usage: &Usage, own: Option<&Habits>, baseline: Option<&Habits>, whole: bool) -> (Usage, bool) {
    let mut made = Usage { billed: None, cache_write_1h_tokens: 0, ..*usage };
    if let Some(share) = baseline.and_then(|habits| habits.cached_share) {
        made.cached_tokens = (usage.prompt_tokens as f64 * share.clamp(0.0, 1.0)).round() as u64;
        made.cache_write_tokens = 0;
    }
    // The rank of an answer that was cut off says nothing.
    let (Some(own), Some(other)) = (own.and_then(lengths), baseline.and_then(lengths)) else { return (made, false) };
    if !whole {
        return (made, false);
    }
    let length = at_rank(other, rank(own, usage.completion_tokens as f64)).max(0.0).round() as u64;
    made.completion_tokens = length;
    made.reasoning_tokens = made.reasoning_tokens.min(length);
    (made, true)
}

/// The quantiles of a model's lengths, where enough answers are known.
fn lengths(habits: &Habits) -> Option<&[f64]> {
    Some(&habits.completion_quantiles[..]).filter(|quantiles| quantiles.len() > 1)
}

/// The rank in 0..=1 of `value` among evenly spaced quantiles; the middle of those that equal it.
fn rank(quantiles: &[f64], value: f64) -> f64 {
    let last = (quantiles.len() - 1) as f64;
    let below = quantiles.partition_point(|&quantile| quantile < value);
    let not_above = quantiles.partition_point(|&quantile| quantile <= value);
    if not_above > below {
        return (below + not_above - 1) as f64 / 2.0 / last;
    }
    let (Some(lower), Some(upper)) = (below.checked_sub(1).and_then(|at| quantiles.get(at)), quantiles.get(below))
    else {
        return if below == 0 { 0.0 } else { 1.0 };
    };
    ((below - 1) as f64 + (value - lower) / (upper - lower)) / last
}

/// The value of a rank in 0..=1 among evenly spaced quantiles.
fn at_rank(quantiles: &[f64], rank: f64) -> f64 {
    let at = rank * (quantiles.len() - 1) as f64;
    let lower = (at.floor() as usize).min(quantiles.len() - 1);
    let upper = (lower + 1).min(quantiles.len() - 1);
    quantiles[lower] + (quantiles[upper] - quantiles[lower]) * (at - lower as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn habits(lengths: &[f64], cached_share: Option<f64>) -> Habits {
        Habits { completion_quantiles: lengths.to_vec(), cached_share, answers: 100 }
    }

    #[test]
    fn lengths_are_mapped_by_rank() {
        let (weak, strong) = (habits(&[10.0, 20.0, 40.0], None), habits(&[100.0, 300.0, 900.0], Some(0.5)));
        let used =
            |completion_tokens| Usage { prompt_tokens: 1000, completion_tokens, cached_tokens: 7, ..Usage::default() };
        let length = |tokens| forecast(&used(tokens), Some(&weak), Some(&strong), true).0.completion_tokens;
        assert_eq!([length(10), length(15), length(20), length(30), length(40)], [100, 200, 300, 600, 900]);
        assert_eq!([length(1), length(1000)], [100, 900]);
        let (made, forecast_made) = forecast(&used(15), Some(&weak), Some(&strong), true);
        assert!(forecast_made && made.cached_tokens == 500);
        // Without the lengths of both, and for what was cut off, the same length.
        for (own, other, whole) in
            [(None, Some(&strong), true), (Some(&weak), None, true), (Some(&weak), Some(&strong), false)]
        {
            let (made, forecast_made) = forecast(&used(15), own, other, whole);
            assert!(!forecast_made && made.completion_tokens == 15);
        }
        assert_eq!(forecast(&used(15), None, None, true).0.cached_tokens, 7);
    }

    proptest! {
        #[test]
        fn ranks_are_ranks(mut quantiles in prop::collection::vec(0.0..1e6_f64, 2..40), value in 0.0..1e6_f64) {
            quantiles.sort_by(f64::total_cmp);
            let found = rank(&quantiles, value);
            prop_assert!((0.0..=1.0).contains(&found));
            let back = at_rank(&quantiles, found);
            let bounded = value.clamp(quantiles[0], quantiles[quantiles.len() - 1]);
            prop_assert!((back - bounded).abs() <= 1e-6 * (1.0 + bounded), "{} {} {}", value, found, back);
        }
    }
}
