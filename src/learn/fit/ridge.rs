//! One target: Bayesian linear regression, averaged over how much the features and the shipped head explain.
//!
//! The model of a target is `y = c + alpha * logit + row . w + noise`, with normal priors on `alpha` and `w`. Two things
//! are not known beforehand: which part of the variance the row explains ([`SHARES`]), and how far the shipped head's
//! logit is to be trusted ([`Trust`]). Each pair of settings has a closed solution and a marginal likelihood (`MacKay` 1992,
//! Bayesian Interpolation); the solutions are averaged with it as the weight. After one eigendecomposition of the rows'
//! products every setting costs as much as a dot product, and so does another target or a shuffled one.

use super::sums::{Sums, Target};
use crate::error::Result;
use crate::math::eigen::{Eigen, dot};
use crate::routers::fitted::Line;

/// Parts of the target's variance that the row may explain, each as likely as the next beforehand.
const SHARES: [f64; 11] = [0.001, 0.00186, 0.003_47, 0.006_46, 0.012, 0.0224, 0.0416, 0.0775, 0.144, 0.269, 0.5];

/// A prior of the logit's factor: mean, deviation, and how likely it is beforehand.
pub(super) type Belief = (f64, f64, f64);

/// How far the shipped head is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// For the difference between a strong and a weak model, which it was trained on.
    Difference,
    /// For other targets: it may say something, in either direction.
    Either,
    /// Not at all.
    None,
}

impl Trust {
    /// Measured on data sets the head had not seen (`docs/fit.md`): often worth nothing, rarely worth its full word.
    fn beliefs(self) -> &'static [Belief] {
        match self {
            Self::Difference => &[(0.0, 0.02, 0.4), (0.1, 0.05, 0.2), (0.3, 0.1, 0.2), (0.6, 0.2, 0.2)],
            Self::Either => &[(0.0, 0.02, 0.5), (0.0, 0.2, 0.5)],
            Self::None => &[(0.0, 0.0, 1.0)],
        }
    }
}

/// The rows of a regression, decomposed.
#[derive(Debug)]
pub(super) struct Spectrum {
    count: f64,
    means: Vec<f64>,
    logit_mean: f64,
    /// Of the centred products of the rows.
    eigen: Eigen,
    /// Centred products of rows and logits, along the eigenvectors; and of the logits with themselves.
    along: Vec<f64>,
    logits: f64,
}

impl Spectrum {
    pub(super) fn of(sums: &Sums) -> Result<Self> {
        let across = sums.totals.len();
        let width = across - 1;
        let count = sums.count.max(1.0);
        let centred = |i: usize, j: usize| sums.products[i * across + j] - sums.totals[i] * sums.totals[j] / count;
        let mut matrix = Vec::with_capacity(width * width);
        for i in 0..width {
            matrix.extend((0..width).map(|j| centred(i, j)));
        }
        let eigen = Eigen::of(matrix, width)?;
        let beside: Vec<f64> = (0..width).map(|i| centred(i, width)).collect();
        let along = eigen.along(&beside);
        let means: Vec<f64> = sums.totals.iter().map(|total| total / count).collect();
        let logits = centred(width, width).max(0.0);
        let logit_mean = means[width];
        Ok(Self { count, means: means[..width].to_vec(), logit_mean, eigen, along, logits })
    }

    /// The averaged solution for a target over the same rows.
    pub(super) fn line(&self, target: &Target, trust: Trust) -> Line {
        let width = self.means.len();
        let (mean, n) = (target.total / self.count, self.count);
        let square = (target.square - target.total * mean).max(0.0);
        let variance = square / n;
        let mut line = Line::zero(width);
        line.intercept = mean;
        if variance.is_nan() || variance <= 1e-12 || n < 2.0 {
            return line;
        }
        let centred: Vec<f64> =
            target.products[..width].iter().zip(&self.means).map(|(xy, x)| xy - x * target.total).collect();
        let with_logit = target.products[width] - self.logit_mean * target.total;
        let b = self.eigen.along(&centred);
        let (alpha, coordinates) = self.averaged(&b, square, with_logit, variance, trust);
        line.alpha = alpha;
        line.weights = self.eigen.back(&coordinates);
        line.intercept = mean - alpha * self.logit_mean - dot(&line.weights, &self.means);
        line
    }

    /// Factor of the logit and coordinates of the weights, averaged over all settings.
    fn averaged(&self, b: &[f64], square: f64, with_logit: f64, variance: f64, trust: Trust) -> (f64, Vec<f64>) {
        let values: Vec<f64> = self.eigen.values.iter().map(|value| value.max(0.0)).collect();
        // Log evidence, factor, shrinkage of the setting.
        let mut settings: Vec<(f64, f64, f64)> = Vec::new();
        for share in SHARES {
            let noise = (1.0 - share) * variance;
            let penalty = noise / (share * variance);
            let (mut log_det, mut explained, mut both, mut logits) = (0.0, 0.0, 0.0, 0.0);
            for ((value, b), g) in values.iter().zip(b).zip(&self.along) {
                let whole = value + penalty;
                log_det += (whole / penalty).ln();
                explained += b * b / whole;
                both += g * b / whole;
                logits += g * g / whole;
            }
            let plain = (square - explained) / noise + log_det + self.count * noise.ln();
            let information = (self.logits - logits).max(0.0) / noise;
            let pull = (with_logit - both) / noise;
            for &(centre, deviation, likely) in trust.beliefs() {
                if deviation == 0.0 {
                    settings.push((likely.ln() - 0.5 * plain, 0.0, penalty));
                    continue;
                }
                let prior = 1.0 / (deviation * deviation);
                let precision = information + prior;
                let alpha = (pull + centre * prior) / precision;
                let with = centre * centre * prior - alpha * alpha * precision + (precision / prior).ln();
                settings.push((likely.ln() - 0.5 * (plain + with), alpha, penalty));
            }
        }
        let best = settings.iter().map(|setting| setting.0).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = settings.iter().map(|setting| (setting.0 - best).exp()).sum();
        let mut mean_alpha = 0.0;
        let mut coordinates = vec![0.0; b.len()];
        for (evidence, alpha, penalty) in settings {
            let weight = (evidence - best).exp() / total;
            mean_alpha += weight * alpha;
            if weight > 1e-12 {
                for ((slot, value), (b, g)) in coordinates.iter_mut().zip(&values).zip(b.iter().zip(&self.along)) {
                    *slot += weight * (b - alpha * g) / (value + penalty);
                }
            }
        }
        (mean_alpha, coordinates)
    }
}
