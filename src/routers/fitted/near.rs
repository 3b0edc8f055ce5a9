//! Nearest neighbours: a model's score on the most similar prompts it was fitted on, with a guard against chance.

/// Rows and what the models scored on them.
#[derive(Debug, Clone, PartialEq)]
pub struct Neighbours {
    width: usize,
    models: usize,
    /// How many neighbours count.
    pub k: usize,
    /// Standard errors within which a difference to the mean counts as none.
    pub guard: f64,
    /// `[n, width]`.
    pub(crate) rows: Vec<f32>,
    /// `[n, models]`, each a known number.
    pub(crate) outcomes: Vec<f32>,
    /// Mean of each model over all rows.
    means: Vec<f64>,
}

impl Neighbours {
    /// Of rows `[n, width]` and outcomes `[n, models]`.
    pub fn new(width: usize, models: usize, k: usize, guard: f64, rows: Vec<f32>, outcomes: Vec<f32>) -> Self {
        let n = (outcomes.len() / models.max(1)).max(1) as f64;
        let mut means = vec![0.0; models];
        for row in outcomes.chunks_exact(models.max(1)) {
            means.iter_mut().zip(row).for_each(|(mean, &value)| *mean += f64::from(value) / n);
        }
        Self { width, models, k, guard, rows, outcomes, means }
    }

    /// Numbers of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Writes the score of each model for a row.
    ///
    /// A model's neighbours speak with the part of their difference to its mean over all rows that chance does not
    /// explain: with `z` standard errors of a difference, `max(0, 1 - (guard / z)^2)` of it.
    pub fn fill(&self, row: &[f32], scores: &mut [f64]) {
        let near = self.nearest(row);
        let outcome = |i: usize, model: usize| f64::from(self.outcomes[i * self.models + model]);
        scores.copy_from_slice(&self.means);
        let count = near.len() as f64;
        if near.len() < 2 {
            return;
        }
        // Differences between models are what routing is about: they are tested, not each model by itself, so the
        // neighbours' common difficulty does not hide who is ahead.
        let common = |i: usize| (0..self.models).map(|m| outcome(i, m)).sum::<f64>() / self.models as f64;
        let middle = self.means.iter().sum::<f64>() / self.models as f64;
        let guarded = |values: &[f64], mean: f64| {
            let found = values.iter().sum::<f64>() / count;
            let square = values.iter().map(|v| (v - found) * (v - found)).sum::<f64>() / (count - 1.0);
            // As if one more neighbour stood a whole point aside: equal neighbours are no certainty.
            let error = ((square * (count - 1.0) + 0.25) / count / count).sqrt();
            let z = (found - mean) / error;
            (found - mean) * (1.0 - (self.guard / z).powi(2)).max(0.0)
        };
        let shared: Vec<f64> = near.iter().map(|&i| common(i)).collect();
        let shift = guarded(&shared, middle);
        for (model, score) in scores.iter_mut().enumerate() {
            let values: Vec<f64> = near.iter().zip(&shared).map(|(&i, shared)| outcome(i, model) - shared).collect();
            *score += shift + guarded(&values, self.means[model] - middle);
        }
    }

    /// The `k` rows of smallest distance; of equal ones the first.
    fn nearest(&self, row: &[f32]) -> Vec<usize> {
        let mut found: Vec<(f32, usize)> = self
            .rows
            .chunks_exact(self.width.max(1))
            .enumerate()
            .map(|(i, other)| (row.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f32>(), i))
            .collect();
        let k = self.k.min(found.len());
        if k == 0 {
            return Vec::new();
        }
        let order = |a: &(f32, usize), b: &(f32, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
        found.select_nth_unstable_by(k - 1, order);
        found.truncate(k);
        found.sort_by(order);
        found.into_iter().map(|(_, i)| i).collect()
    }
}
