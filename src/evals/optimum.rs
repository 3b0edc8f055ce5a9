//! The best that any router could do: strong calls go where they gain most, and nowhere else.

use super::curve::Pair;

/// Steps of equal width that a curve has at least.
const STEPS: usize = 100;

/// Most changes of the gain that a curve has points at.
const MOST_LEVELS: usize = 200;

/// Rows in the order in which the optimum sends them to the strong model.
#[derive(Debug, Clone)]
pub struct Optimum {
    /// Rows with a gain, largest first.
    order: Vec<u32>,
    gains: Vec<f64>,
    /// Rows of the order up to each change of the gain, where the curve has a kink; if these are too many only the
    /// last, from where on there is no gain.
    levels: Vec<usize>,
    rows: usize,
}

impl Optimum {
    /// The optimum for the scores of a pair.
    pub fn new(scores: &Pair) -> Self {
        let rows = scores.strong.len().min(scores.weak.len());
        let gain = |row: u32| scores.strong[row as usize] - scores.weak[row as usize];
        let mut order: Vec<u32> = (0..rows as u32).filter(|&row| gain(row) > 0.0).collect();
        order.sort_by(|&a, &b| gain(b).total_cmp(&gain(a)));
        let gains: Vec<f64> = order.iter().map(|&row| gain(row)).collect();
        let mut levels: Vec<usize> = (1..gains.len()).filter(|&at| gains[at - 1] > gains[at]).collect();
        if levels.len() >= MOST_LEVELS {
            levels.clear();
        }
        levels.push(gains.len());
        Self { order, gains, levels, rows }
    }

    /// Quality when at most the given fractions of the rows go to the strong model; fractions rise, `weak` is the sum
    /// of the weak model's scores. Calls may be divided, as in `RouteLLM`'s curve for MMLU and GSM8K.
    pub fn quality(&self, weak: f64, fractions: &[f64]) -> Vec<f64> {
        self.walk(weak, fractions, |_| 1)
    }

    /// Points of [`Optimum::curve`] for `results` intervals between thresholds.
    pub fn points(&self, results: usize) -> usize {
        results.max(STEPS) + 1 + self.levels.len()
    }

    /// Fractions and quality of the whole curve, rising: at equal steps, of which there are `results` or 100, and at
    /// its kinks, between which it is straight.
    pub fn curve(&self, weak: f64, results: usize) -> (Vec<f64>, Vec<f64>) {
        self.whole(weak, results, |_| 1)
    }

    /// The same when row `r` occurs `counts[r]` times.
    pub(super) fn resampled(&self, weak: f64, results: usize, counts: &[u32]) -> (Vec<f64>, Vec<f64>) {
        self.whole(weak, results, |row| counts[row as usize])
    }

    fn whole(&self, weak: f64, results: usize, count: impl Fn(u32) -> u32) -> (Vec<f64>, Vec<f64>) {
        let steps = results.max(STEPS);
        let mut fractions: Vec<f64> = (0..=steps).map(|k| k as f64 / steps as f64).collect();
        let (mut at, mut calls) = (0, 0.0);
        for &level in &self.levels {
            calls += self.order[at..level].iter().map(|&row| f64::from(count(row))).sum::<f64>();
            at = level;
            fractions.push(calls / self.rows as f64);
        }
        fractions.sort_by(f64::total_cmp);
        let quality = self.walk(weak, &fractions, count);
        (fractions, quality)
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
            out.push((weak + sum + part) / n);
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
        let quality = optimum.quality(5.0, &[0.0, 0.125, 0.25, 0.5, 1.0]);
        assert_eq!(quality, [1.25, 1.75, 2.25, 2.5, 2.5]);
        let (fractions, quality) = optimum.resampled(5.0, 10, &[0, 0, 0, 4]);
        assert_eq!((fractions.len(), fractions[25], quality[25], quality[102]), (103, 0.25, 2.25, 5.25));
    }

    #[test]
    fn the_curve_has_its_kinks() {
        // 3 rows of 7 gain 2, one gains 1: at 3/7 and 4/7 of the calls.
        let scores = Pair { strong: vec![2.0, 2.0, 0.0, 2.0, 1.0, 0.0, 0.0], weak: vec![0.0; 7] };
        let optimum = Optimum::new(&scores);
        let (fractions, quality) = optimum.curve(0.0, 10);
        assert_eq!((fractions.len(), optimum.points(10), optimum.points(250)), (103, 103, 253));
        for (calls, sum) in [(3.0, 6.0), (4.0, 7.0)] {
            let at = fractions.iter().position(|&fraction| fraction == calls / 7.0).unwrap();
            assert!((quality[at] - sum / 7.0).abs() < 1e-12);
        }
        // Many levels: equal steps, and the end of the gains.
        let many = Pair { strong: (0..1000).map(f64::from).collect(), weak: vec![0.0; 1000] };
        assert_eq!(Optimum::new(&many).points(10), 102);
        let none = Pair { strong: vec![0.0], weak: vec![1.0] };
        assert_eq!(Optimum::new(&none).curve(1.0, 1).1, vec![1.0; 102]);
    }
}
