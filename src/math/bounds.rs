//! P-values for "the mean of losses in 0..=1 is above so much", at a fixed sample size and exact at every one.

use super::binomial;

/// The probability of a mean as small as this one, or smaller, if the true mean of `n` losses in 0..=1 were `mean`:
/// Hoeffding's bound or Bentkus's, whichever is less (Bates et al. 2021, arXiv:2101.02703).
///
/// `sum` is the losses' sum. Not above 1.
pub fn hoeffding_bentkus(sum: f64, n: u64, mean: f64) -> f64 {
    if n == 0 || mean <= 0.0 {
        return 1.0;
    }
    let observed = (sum / n as f64).clamp(0.0, 1.0);
    if observed >= mean {
        return 1.0;
    }
    if mean >= 1.0 {
        return 0.0;
    }
    let hoeffding = (-(n as f64) * divergence(observed, mean)).exp();
    // A sum that only rounding put above a whole number counts as that number.
    let bentkus = 1.0_f64.exp() * binomial::at_most((sum - 1e-9).ceil().max(0.0) as u64, n, mean);
    hoeffding.min(bentkus).min(1.0)
}

/// The Kullback-Leibler divergence of a coin with probability `p` from one with `q`, in nats.
fn divergence(p: f64, q: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(p, q) + part(1.0 - p, 1.0 - q)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(hoeffding_bentkus(0.0, 0, 0.1), 1.0);
        assert_eq!(hoeffding_bentkus(10.0, 100, 0.1), 1.0);
        assert_eq!(hoeffding_bentkus(0.0, 100, 1.0), 0.0);
        // No loss at all: (1 - m)^n, which both bounds have, Bentkus's e-fold.
        assert!((hoeffding_bentkus(0.0, 100, 0.05) / 0.95_f64.powi(100) - 1.0).abs() < 1e-12);
        // scipy: min(exp(-1000 * kl(.03, .05)), e * binom.cdf(30, 1000, .05)), the second of them.
        let found = hoeffding_bentkus(30.0, 1000, 0.05);
        assert!((found - 0.003_471_430_513_793_329).abs() < 1e-12, "{found}");
    }

    proptest! {
        #[test]
        fn more_loss_is_less_evidence(sum in 0.0..50.0, more in 0.0..10.0, n in 60_u64..500, mean in 0.01..0.99) {
            let (one, two) = (hoeffding_bentkus(sum, n, mean), hoeffding_bentkus(sum + more, n, mean));
            prop_assert!((0.0..=1.0).contains(&one) && one <= two + 1e-12, "{} {}", one, two);
        }

        #[test]
        fn a_coin_is_judged_as_strictly_as_exactly(k in 0_u64..60, n in 60_u64..300, mean in 0.01..0.99) {
            prop_assert!(hoeffding_bentkus(k as f64, n, mean) >= binomial::at_most(k, n, mean) - 1e-12);
        }
    }
}
