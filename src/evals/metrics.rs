//! `RouteLLM`'s figures of a curve, and the share of strong calls at a given quality.

use super::interp::interp;

/// Points of a curve by rising percentage of strong calls.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    percent: Vec<f64>,
    quality: Vec<f64>,
}

/// The figures of one curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Area under quality over the share of strong calls, in the scores' unit.
    pub auc: f64,
    /// Average performance gap recovered: 0 is the weak model's area, 1 the strong one's.
    pub apgr: f64,
    /// Call-performance thresholds: percent of strong calls at each fraction of the gap asked for.
    pub cpt: Vec<f64>,
}

impl Points {
    /// Points in any order; only as many as both have. A percentage of NaN leaves its point out.
    pub fn new(percent: &[f64], quality: &[f64]) -> Self {
        let points = percent.iter().copied().zip(quality.iter().copied());
        let mut points: Vec<_> = points.filter(|point| !point.0.is_nan()).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (percent, quality) = points.into_iter().unzip();
        Self { percent, quality }
    }

    /// AUC, APGR and the call percentages at `fractions` of the gap between `weak` and `strong`, the models' scores.
    ///
    /// Where the gap or the range of percentages is empty the APGR is NaN or infinite.
    pub fn figures(&self, weak: f64, strong: f64, fractions: &[f64]) -> Figures {
        let auc = self.area(|quality| quality);
        let (low, high) = (self.area(|_| weak), self.area(|_| strong));
        let at = |fraction: &f64| interp(fraction * (strong - weak) + weak, &self.quality, &self.percent);
        Figures { auc, apgr: (auc - low) / (high - low), cpt: fractions.iter().map(at).collect() }
    }

    /// Trapezoids over the share.
    fn area(&self, height: impl Fn(f64) -> f64) -> f64 {
        let two = |x: &[f64], y: &[f64]| (x[1] / 100.0 - x[0] / 100.0) * (height(y[1]) + height(y[0])) / 2.0;
        self.percent.windows(2).zip(self.quality.windows(2)).map(|(x, y)| two(x, y)).sum()
    }

    /// The least percentage at which the line through the points reaches `quality`; NaN if it never does.
    pub fn percent_at(&self, quality: f64) -> f64 {
        if self.quality.first().is_some_and(|&first| first >= quality) {
            return self.percent[0];
        }
        let crossing = self.quality.windows(2).position(|two| two[0] < quality && quality <= two[1]);
        let Some(i) = crossing else { return f64::NAN };
        let part = (quality - self.quality[i]) / (self.quality[i + 1] - self.quality[i]);
        self.percent[i] + (self.percent[i + 1] - self.percent[i]) * part
    }

    /// The line through the points at a percentage, held at both ends; NaN without points.
    pub fn quality_at(&self, percent: f64) -> f64 {
        let right = self.percent.partition_point(|&p| p < percent);
        let (Some(&first), Some(&last)) = (self.quality.first(), self.quality.last()) else { return f64::NAN };
        if right == 0 {
            return first;
        }
        if right == self.percent.len() {
            return last;
        }
        let (x, y) = (&self.percent[right - 1..=right], &self.quality[right - 1..=right]);
        y[0] + (y[1] - y[0]) * (percent - x[0]) / (x[1] - x[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_line_is_random_routing() {
        let points = Points::new(&[100.0, 0.0, 50.0], &[9.0, 8.0, 8.5]);
        let figures = points.figures(8.0, 9.0, &[0.2, 0.5, 0.8]);
        assert!((figures.auc - 8.5).abs() < 1e-12);
        assert!((figures.apgr - 0.5).abs() < 1e-12);
        for (found, wanted) in figures.cpt.iter().zip([20.0, 50.0, 80.0]) {
            assert!((found - wanted).abs() < 1e-9, "{found}");
        }
        assert!((points.percent_at(8.25) - 25.0).abs() < 1e-9);
        assert!((points.quality_at(25.0) - 8.25).abs() < 1e-9);
    }

    #[test]
    fn quality_that_is_never_reached() {
        let points = Points::new(&[0.0, 100.0], &[1.0, 2.0]);
        assert!(points.percent_at(2.5).is_nan());
        assert_eq!(points.percent_at(0.5), 0.0);
        assert_eq!(points.percent_at(2.0), 100.0);
        assert!(Points::new(&[], &[]).percent_at(1.0).is_nan());
        assert!(Points::new(&[], &[]).quality_at(1.0).is_nan());
    }

    #[test]
    fn the_first_crossing_counts() {
        let points = Points::new(&[0.0, 10.0, 20.0, 100.0], &[1.0, 3.0, 2.0, 4.0]);
        assert_eq!(points.percent_at(2.0), 5.0);
        assert_eq!(points.percent_at(3.5), 80.0);
    }
}
