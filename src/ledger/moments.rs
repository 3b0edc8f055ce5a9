//! Mean and spread of costs as they come, and the difference of two means with its interval.

/// Number, mean and sum of squared deviations.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Moments {
    /// How many values.
    pub n: u64,
    /// Their mean.
    pub mean: f64,
    squares: f64,
}

impl Moments {
    /// Of values known by their number, their sum and the sum of their squares, which a database can tell.
    pub fn of_sums(n: i64, sum: f64, squares: f64) -> Self {
        let n = n.max(0) as u64;
        let mean = if n == 0 { 0.0 } else { sum / n as f64 };
        Self { n, mean, squares: (squares - sum * mean).max(0.0) }
    }

    /// Adds a value (Welford's update).
    pub fn add(&mut self, value: f64) {
        self.n += 1;
        let away = value - self.mean;
        self.mean += away / self.n as f64;
        self.squares += away * (value - self.mean);
    }

    /// Adds to a sum without adding a value: to the cost of all calls what belongs to none of its own.
    fn shifted(self, sum: f64) -> Self {
        Self { mean: if self.n == 0 { self.mean } else { self.mean + sum / self.n as f64 }, ..self }
    }

    /// Adds the values of another (Chan's formula).
    pub fn merge(&mut self, other: &Self) {
        if other.n == 0 {
            return;
        }
        let (n, m) = (self.n as f64, other.n as f64);
        let away = other.mean - self.mean;
        self.squares += other.squares + away * away * n * m / (n + m);
        self.mean += away * m / (n + m);
        self.n += other.n;
    }

    /// The variance of the mean; needs two values.
    fn variance_of_mean(&self) -> Option<f64> {
        let n = self.n as f64;
        (self.n >= 2).then(|| self.squares / (n - 1.0) / n)
    }
}

/// Costs in dollars of one router's calls: routed as usual, and sent to the strong model by lot.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sides {
    /// Cost of call and routing together.
    pub routed: Moments,
    /// Cost of the call alone: without a router, none would have been asked.
    pub held: Moments,
    /// Cost of the losers of hedged calls, which are no calls of their own.
    pub extra: f64,
}

impl Sides {
    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.routed.merge(&other.routed);
        self.held.merge(&other.held);
        self.extra += other.extra;
    }
}

/// A saving that was measured: routed calls against calls that went to the strong model by lot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Dollars saved on all routed calls; negative is a loss.
    pub saved: f64,
    /// The 95 % interval of [`saved`](Self::saved).
    pub interval: (f64, f64),
    /// What all routed calls would have cost at the strong model.
    pub baseline: f64,
    /// Calls sent by lot.
    pub held: u64,
    /// Calls routed as usual, by the same routers.
    pub routed: u64,
}

/// Below this many calls sent by lot nothing is said: a few calls say little of what a dear one costs.
pub const FEWEST_HELD: u64 = 10;

/// The measured saving of several routers, each against its own calls by lot; `None` with too few of them.
pub fn measure<'a>(routers: impl IntoIterator<Item = &'a Sides>) -> Option<Measured> {
    let mut found = Measured { saved: 0.0, interval: (0.0, 0.0), baseline: 0.0, held: 0, routed: 0 };
    let (mut variance, mut weights) = (0.0, 0.0);
    for sides in routers {
        let (routed, held) = (sides.routed.shifted(sides.extra), sides.held);
        let (Some(of_routed), Some(of_held)) = (routed.variance_of_mean(), held.variance_of_mean()) else { continue };
        let n = routed.n as f64;
        found.saved += n * (held.mean - routed.mean);
        found.baseline += n * held.mean;
        found.held += held.n;
        found.routed += routed.n;
        for (of_mean, count) in [(of_routed, routed.n), (of_held, held.n)] {
            let part = n * n * of_mean;
            variance += part;
            weights += part * part / (count - 1) as f64;
        }
    }
    if found.held < FEWEST_HELD {
        return None;
    }
    // Welch's degrees of freedom; with no spread at all the interval is a point.
    let freedom = if weights > 0.0 { variance * variance / weights } else { f64::INFINITY };
    let half = student_975(freedom) * variance.sqrt();
    found.interval = (found.saved - half, found.saved + half);
    Some(found)
}

/// The 97.5 % quantile of Student's t, by its expansion around the normal quantile (Abramowitz and Stegun, 26.7.5);
/// within 1 % from 3 degrees of freedom on.
fn student_975(freedom: f64) -> f64 {
    const Z: f64 = 1.959_963_984_540_054;
    let v = freedom.max(3.0);
    let power = |n: i32| Z.powi(n);
    Z + (power(3) + Z) / (4.0 * v)
        + (5.0 * power(5) + 16.0 * power(3) + 3.0 * Z) / (96.0 * v * v)
        + (3.0 * power(7) + 19.0 * power(5) + 17.0 * power(3) - 15.0 * Z) / (384.0 * v * v * v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f64]) -> Moments {
        let mut moments = Moments::default();
        for &value in values {
            moments.add(value);
        }
        moments
    }

    proptest! {
        #[test]
        fn merged_is_as_if_added_one_by_one(a in prop::collection::vec(-1e3..1e3f64, 0..20),
                                            b in prop::collection::vec(-1e3..1e3f64, 0..20)) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let whole = of(&[&a[..], &b].concat());
            prop_assert_eq!(merged.n, whole.n);
            prop_assert!((merged.mean - whole.mean).abs() < 1e-9);
            prop_assert!((merged.squares - whole.squares).abs() < 1e-6 * (1.0 + whole.squares));
            let all = || a.iter().chain(&b);
            let summed = Moments::of_sums(all().count() as i64, all().sum(), all().map(|value| value * value).sum());
            prop_assert_eq!(summed.n, whole.n);
            prop_assert!((summed.mean - whole.mean).abs() < 1e-9);
            prop_assert!((summed.squares - whole.squares).abs() < 1e-6 * (1.0 + whole.squares));
        }
    }

    #[test]
    fn quantiles_of_student() {
        // From tables of the distribution.
        for (freedom, expected) in [(3.0, 3.182), (5.0, 2.571), (10.0, 2.228), (30.0, 2.042), (f64::INFINITY, 1.960)] {
            assert!((student_975(freedom) / expected - 1.0).abs() < 0.01, "{freedom}");
        }
    }

    #[test]
    fn the_interval_is_welchs() {
        let held = of(&[2.0, 4.0, 3.0, 5.0, 3.0, 4.0, 2.0, 5.0, 4.0, 3.0]);
        let routed = of(&[1.0, 2.0, 1.0, 2.0]);
        let found = measure([&Sides { routed, held, extra: 0.0 }]).unwrap();
        assert_eq!((found.held, found.routed), (10, 4));
        assert!((found.saved - 8.0).abs() < 1e-12, "four calls at 3.5 - 1.5");
        // Variances of the means: 1.1667 / 10 and 0.3333 / 4; Welch's degrees of freedom 10.56, t = 2.2120 (by scipy).
        let half = 4.0 * (1.166_667_f64 / 10.0 + 0.333_333 / 4.0).sqrt() * 2.2120;
        assert!((found.interval.1 - found.saved - half).abs() < 0.01 * half, "{found:?}");
        assert!(measure([&Sides { routed, held: of(&[1.0; 9]), extra: 0.0 }]).is_none());
        let dearer = measure([&Sides { routed, held, extra: 4.0 }]).unwrap();
        assert!((dearer.saved - 4.0).abs() < 1e-12, "the losers' 4 dollars count");
    }
}
