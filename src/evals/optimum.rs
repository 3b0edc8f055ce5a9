//! The best that any router could do: strong calls go where they gain most, and nowhere else.

use super::curve::Pair;

/// Rows in the order in which the optimum sends them to the strong model.
#[derive(Debug, Clone)]
pub struct Optimum {
    /// Rows with a gain, largest first.
    order: Vec<u32>,
    gains: Vec<f64>,
    rows: usize,
}

impl Optimum {
    /// The optimum for the scores of a pair.
    pub fn new(scores: &Pair) -> Self {
        let rows = scores.strong.len().min(scores.weak.len());
        let gain = |row: u32| scores.strong[row as usize] - scores.weak[row as usize];
        let mut order: Vec<u32> = (0..rows as u32).filter(|&row| gain(row) > 0.0).collect();
        order.sort_by(|&a, &b| gain(b).total_cmp(&gain(a)));
        let gains = order.iter().map(|&row| gain(row)).collect();
        Self { order, gains, rows }
    }

    /// Quality when at most the given fractions of the rows go to the strong model; fractions rise, `weak` is the weak
    /// model's score. Calls may be divided, as in `RouteLLM`'s curve for MMLU and GSM8K.
    pub fn quality(&self, weak: f64, fractions: &[f64]) -> Vec<f64> {
        self.walk(weak, fractions, |_| 1)
    }

    /// The same when row `r` occurs `counts[r]` times.
    pub(super) fn resampled(&self, weak: f64, fractions: &[f64], counts: &[u32]) -> Vec<f64> {
        self.walk(weak, fractions, |row| counts[row as usize])
    }

    fn walk(&self, weak: f64, fractions: &[f64], count: impl Fn(u32) -> u32) -> Vec<f64> {
        let n = self.rows as f64;
        let mut rows = self.order.iter().map(|&row| f64::from(count(row))).zip(&self.gains).peekable();
        let (mut calls, mut sum) = (0.0, 0.0);
        let mut out = Vec::with_capacity(fractions.len());
        for &fraction in fractions {
            let allowed = n * fraction;
            while let Some(&(count, gain)) = rows.peek() {
                if calls + count > allowed {
                    break;
                }
                calls += count;
                sum += count * gain;
                rows.next();
            }
            let part = rows.peek().map_or(0.0, |&(_, gain)| (allowed - calls).max(0.0) * gain);
            out.push(weak + (sum + part) / n);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_first_and_never_a_loss() {
        let scores = Pair { strong: vec![1.0, 0.0, 1.0, 5.0], weak: vec![0.0, 3.0, 1.0, 1.0] };
        let optimum = Optimum::new(&scores);
        let quality = optimum.quality(1.25, &[0.0, 0.125, 0.25, 0.5, 1.0]);
        assert_eq!(quality, [1.25, 1.75, 2.25, 2.5, 2.5]);
        assert_eq!(optimum.resampled(1.25, &[0.25, 1.0], &[0, 0, 0, 4]), [2.25, 5.25]);
    }
}
