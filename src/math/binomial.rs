//! The exact interval of a proportion (Clopper and Pearson 1934), by the inverse of the incomplete beta function.

use std::f64::consts::TAU;

/// The two-sided interval of the probability behind `successes` of `trials`, at `confidence` in 0..1.
///
/// It covers the true probability at least as often as it says, whatever the numbers; good to 1e-10 up to ten million
/// trials. `successes` beyond `trials` count as all of them; without trials nothing is known: `(0, 1)`.
pub fn interval(successes: u64, trials: u64, confidence: f64) -> (f64, f64) {
    let successes = successes.min(trials);
    let tail = (1.0 - confidence.clamp(0.0, 1.0)) / 2.0;
    let lower = |successes: u64| match successes {
        0 => 0.0,
        _ => beta_inverse(successes as f64, (trials - successes) as f64 + 1.0, tail),
    };
    (lower(successes), 1.0 - lower(trials - successes))
}

/// The upper end of the one-sided interval: a probability above it would give so few successes with `delta` at most.
pub fn upper(successes: u64, trials: u64, delta: f64) -> f64 {
    // The search takes tails up to 1/2; a smaller promise than that is not asked for.
    interval(successes, trials, 1.0 - 2.0 * delta.clamp(0.0, 0.5)).1
}

/// The probability of at most `successes` of `trials`, each with probability `p` in 0..=1.
pub fn at_most(successes: u64, trials: u64, p: f64) -> f64 {
    if successes >= trials || p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    beta((trials - successes) as f64, successes as f64 + 1.0, 1.0 - p).0
}

/// Where the regularised incomplete beta function of `a` and `b`, both at least 1, takes the value `p` of at most 1/2.
fn beta_inverse(a: f64, b: f64, p: f64) -> f64 {
    const ROUNDS: usize = 200;
    if p <= 0.0 {
        return 0.0;
    }
    let mean = a / (a + b);
    let (mut low, mut high) = (0.0, 1.0);
    // A normal deviation is near enough to begin with; the logarithm is concave, so Newton's steps soon hit.
    let deviation = (mean * (1.0 - mean) / (a + b + 1.0)).sqrt();
    let mut x = mean - deviation * (-2.0 * (2.0 * p).ln()).max(0.0).sqrt();
    if x <= low {
        x = mean * p.powf(1.0 / a);
    }
    for _ in 0..ROUNDS {
        let (value, slope) = beta(a, b, x);
        if value < p {
            low = x;
        } else {
            high = x;
        }
        let mut next = x - (value / p).ln() * value / slope;
        if !(next > low && next < high) {
            next = f64::midpoint(low, high);
        }
        if (next - x).abs() <= 1e-15 * x || next == low || next == high {
            return next;
        }
        x = next;
    }
    x
}

/// The regularised incomplete beta function at `x`, and its derivative.
fn beta(a: f64, b: f64, x: f64) -> (f64, f64) {
    let front = front(a, b, x);
    let value = if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    };
    (value, front / (x * (1.0 - x)))
}

/// `x^a (1-x)^b / B(a, b)`, by the distance from the mean, so that large terms do not cancel.
fn front(a: f64, b: f64, x: f64) -> f64 {
    let n = a + b;
    let away = x - a / n;
    let exponent = a * (away * n / a).ln_1p() + b * (-away * n / b).ln_1p();
    let corrections = stirling(n) - stirling(a) - stirling(b);
    (a / TAU * (b / n)).sqrt() * (exponent + corrections).exp()
}

/// By how much `ln Γ(z)` exceeds Stirling's `(z - 1/2) ln z - z + ln(2π)/2`, for `z` of at least 1.
fn stirling(z: f64) -> f64 {
    // Below, each step up costs one logarithm.
    const LARGE: f64 = 16.0;
    let (mut z, mut shift) = (z, 0.0);
    while z < LARGE {
        // stirling(z) - stirling(z + 1)
        shift += (z + 0.5) * (1.0 / z).ln_1p() - 1.0;
        z += 1.0;
    }
    let w = 1.0 / (z * z);
    let series = 1.0 / 12.0 - w * (1.0 / 360.0 - w * (1.0 / 1260.0 - w * (1.0 / 1680.0 - w / 1188.0)));
    shift + series / z
}

/// The continued fraction of the incomplete beta function, by Lentz's method; it takes about `sqrt(a + b)` steps.
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    const STEPS: usize = 1_000_000;
    let safe = |value: f64| if value.abs() < TINY { TINY } else { value };
    // Ratios of successive numerators, and of successive denominators upside down.
    let mut above = 1.0;
    let mut below = 1.0 / safe(1.0 - (a + b) * x / (a + 1.0));
    let mut value = below;
    for step in 1..STEPS {
        let step = step as f64;
        let twice = a + 2.0 * step;
        let even = step * (b - step) * x / ((twice - 1.0) * twice);
        let odd = -(a + step) * (a + b + step) * x / (twice * (twice + 1.0));
        for term in [even, odd] {
            below = 1.0 / safe(1.0 + term * below);
            above = safe(1.0 + term / above);
            value *= below * above;
        }
        if (below * above - 1.0).abs() < 1e-16 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The probability of at least `k` of `n`, added up term by term.
    fn at_least(k: u64, n: u64, p: f64) -> f64 {
        let mut term =
            (0..k).fold(1.0, |term, i| term * (n - i) as f64 / (i + 1) as f64 * p) * (1.0 - p).powi((n - k) as i32);
        let mut sum = 0.0;
        for i in k..=n {
            sum += term;
            term *= (n - i) as f64 / (i + 1) as f64 * p / (1.0 - p);
        }
        sum
    }

    #[test]
    fn the_ends_are_known_in_closed_form() {
        for n in [1, 2, 10, 1_000, 10_000_000_u64] {
            let (low, high) = interval(0, n, 0.95);
            assert_eq!(low, 0.0);
            let exact = -(0.025_f64.ln() / n as f64).exp_m1();
            assert!((high - exact).abs() < 1e-12, "{n}: {high} {exact}");
            let (low, high) = interval(n, n, 0.95);
            assert_eq!(high, 1.0);
            assert!((low - (0.025_f64.ln() / n as f64).exp()).abs() < 1e-12, "{n}");
        }
        assert_eq!(interval(0, 0, 0.95), (0.0, 1.0));
    }

    #[test]
    #[expect(clippy::unreadable_literal, reason = "as scipy 1.17 prints them")]
    fn it_agrees_with_scipy() {
        for (k, n, confidence, low, high) in [
            (3, 10, 0.95, 0.0667395111777345, 0.6524528500599973),
            (1, 1000, 0.95, 2.5317487491294065e-05, 0.005558924279826672),
            (1477, 5000, 0.95, 0.2827768205930761, 0.3082624558721123),
            (30_000, 100_000, 0.99, 0.29627186410262796, 0.30374719735112354),
            (12, 123_456, 0.95, 5.022595612081298e-05, 0.0001697837630900396),
            (1, 10_000_000, 0.95, 2.5317807952240324e-09, 5.571642116990813e-07),
            (3_000_000, 10_000_000, 0.95, 0.29971598216542433, 0.3002841336338419),
            (5_000_000, 10_000_000, 0.999, 0.49947967219521905, 0.500520327804781),
            (9_999_999, 10_000_000, 0.9, 0.999999525613637, 0.9999999948706706),
            (6, 7, 0.5, 0.6592897856986362, 0.9597356097887026),
        ] {
            let (a, b) = interval(k, n, confidence);
            assert!((a - low).abs() < 1e-12 && (b - high).abs() < 1e-12, "{k}/{n}: {a} {b}, expected {low} {high}");
        }
    }

    proptest! {
        #[test]
        fn the_bounds_leave_the_asked_tails(n in 1_u64..60, k in 0_u64..60, confidence in 0.5..0.999) {
            let k = k.min(n);
            let (low, high) = interval(k, n, confidence);
            let tail = (1.0 - confidence) / 2.0;
            if k > 0 {
                prop_assert!((at_least(k, n, low) - tail).abs() < 1e-12);
            }
            if k < n {
                prop_assert!((1.0 - at_least(k + 1, n, high) - tail).abs() < 1e-12);
            }
            prop_assert!(low <= k as f64 / n as f64 && k as f64 / n as f64 <= high);
            prop_assert!((upper(k, n, tail) - high).abs() < 1e-12);
        }

        #[test]
        fn tails_add_up(n in 1_u64..60, k in 0_u64..60, p in 0.001..0.999) {
            let k = k.min(n);
            let above = if k < n { at_least(k + 1, n, p) } else { 0.0 };
            prop_assert!((at_most(k, n, p) + above - 1.0).abs() < 1e-12);
        }
    }
}
