//! Thresholds from labelled examples: for each route in turn the best of all thresholds there are, until none moves.
//!
//! What is best: the mean F1 over the routes with examples and over "none", of the decisions that the thresholds lead to
//! together. Between two scores every threshold is as good as another: the present one stays if it lies there, else it is
//! the middle; of several such gaps the nearest to the present one counts.

use super::winner;

/// More rounds than it ever takes.
const ROUNDS: usize = 20;

/// What a route, or "none", got right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Judged {
    /// Examples of it.
    pub examples: usize,
    /// Texts that were sent there.
    pub sent: usize,
    /// Its examples among them.
    pub right: usize,
}

impl Judged {
    /// The harmonic mean of precision and recall.
    fn f1(self) -> f64 {
        if self.right == 0 { 0.0 } else { 2.0 * self.right as f64 / (self.examples + self.sent) as f64 }
    }
}

/// How the thresholds decide labelled texts: each route, then "none".
///
/// # Arguments
/// * `scores` - Similarities, `[texts, routes]` in C order.
/// * `labels` - The right route of each text.
pub fn judge(scores: &[f64], labels: &[Option<usize>], thresholds: &[f64]) -> Vec<Judged> {
    let none = thresholds.len();
    let mut judged = vec![Judged::default(); none + 1];
    for (scores, label) in scores.chunks_exact(none.max(1)).zip(labels) {
        let (label, sent) = (label.unwrap_or(none), winner(scores, thresholds).unwrap_or(none));
        judged[label].examples += 1;
        judged[sent].sent += 1;
        judged[label].right += usize::from(label == sent);
    }
    judged
}

/// Moves each threshold of a route that has examples to where it is best; the others stay.
pub fn fit(scores: &[f64], labels: &[Option<usize>], thresholds: &mut [f64]) {
    for _ in 0..ROUNDS {
        let before = thresholds.to_vec();
        for route in 0..thresholds.len() {
            if labels.contains(&Some(route)) {
                thresholds[route] = best(scores, labels, thresholds, route);
            }
        }
        if before == thresholds {
            break;
        }
    }
}

/// The best threshold of one route while the others stand.
fn best(scores: &[f64], labels: &[Option<usize>], thresholds: &[f64], route: usize) -> f64 {
    let none = thresholds.len();
    let present = thresholds[route];
    let mut shut = thresholds.to_vec();
    shut[route] = f64::INFINITY;
    let mut judged = judge(scores, labels, &shut);
    // Texts it would take from the others or from none, highest score first.
    let mut takes: Vec<(f64, usize, usize)> = Vec::new();
    for (scores, label) in scores.chunks_exact(none).zip(labels) {
        let other = winner(scores, &shut);
        let beats = other
            .is_none_or(|other| scores[route] > scores[other] || (scores[route] == scores[other] && route < other));
        if beats {
            takes.push((scores[route], label.unwrap_or(none), other.unwrap_or(none)));
        }
    }
    takes.sort_by(|a, b| b.0.total_cmp(&a.0));
    let Some(&(highest, ..)) = takes.first() else { return present };
    let mut found = Best { present, mean: f64::NEG_INFINITY, distance: 0.0, threshold: present };
    // Beyond a similarity of 1 there is nothing, so its own end has no middle.
    found.offer(&judged, highest, if highest < 1.0 { 1.0 } else { highest.next_up() });
    for (at, &(score, label, other)) in takes.iter().enumerate() {
        judged[other].sent -= 1;
        judged[other].right -= usize::from(label == other);
        judged[route].sent += 1;
        judged[route].right += usize::from(label == route);
        let next = takes.get(at + 1).map_or(-1.0, |take| take.0);
        if next < score {
            found.offer(&judged, next, score);
        }
    }
    found.threshold
}

struct Best {
    present: f64,
    mean: f64,
    distance: f64,
    threshold: f64,
}

impl Best {
    /// Every threshold above `low`, up to and with `high`, leads to these decisions.
    fn offer(&mut self, judged: &[Judged], low: f64, high: f64) {
        let mean: f64 = judged.iter().filter(|of| of.examples > 0).map(|of| of.f1()).sum();
        let inside = self.present > low && self.present <= high;
        let middle = low + (high - low) / 2.0;
        // Two neighbours have no middle.
        let nearby = if middle > low { middle } else { high };
        let threshold = if inside { self.present } else { nearby };
        let distance = (threshold - self.present).abs();
        if mean > self.mean || (mean == self.mean && distance < self.distance) {
            (self.mean, self.distance, self.threshold) = (mean, distance, threshold);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mean_f1(judged: &[Judged]) -> f64 {
        judged.iter().filter(|of| of.examples > 0).map(|of| of.f1()).sum()
    }

    #[test]
    fn the_gap_between_right_and_wrong_is_found() {
        let scores = [0.9, 0.1, 0.8, 0.2, 0.4, 0.3, 0.1, 0.7, 0.2, 0.6, 0.1, 0.2];
        let labels = [Some(0), Some(0), None, Some(1), Some(1), None];
        let mut thresholds = [0.0, 0.95];
        fit(&scores, &labels, &mut thresholds);
        assert!(thresholds[0] > 0.4 && thresholds[0] <= 0.8, "{thresholds:?}");
        assert!(thresholds[1] > 0.3 && thresholds[1] <= 0.6, "{thresholds:?}");
        let judged = judge(&scores, &labels, &thresholds);
        assert_eq!(judged.iter().map(|of| of.right).collect::<Vec<_>>(), [2, 2, 2]);
    }

    #[test]
    fn a_threshold_that_is_right_already_stays() {
        let (scores, labels) = ([0.9, 0.2], [Some(0), None]);
        let mut thresholds = [0.31];
        fit(&scores, &labels, &mut thresholds);
        assert_eq!(thresholds, [0.31]);
    }

    #[test]
    fn a_route_without_examples_is_left_alone() {
        let mut thresholds = [0.5, 0.123];
        fit(&[0.9, 0.2, 0.1, 0.2], &[Some(0), None], &mut thresholds);
        assert_eq!(thresholds[1], 0.123);
    }

    proptest! {
        // One route: no threshold at all is better than the one found.
        #[test]
        fn no_threshold_is_better(
            examples in prop::collection::vec((0u8..20, any::<bool>()), 1..40), start in -1.0..1.0f64,
        ) {
            let scores: Vec<f64> = examples.iter().map(|(score, _)| f64::from(*score) / 20.0).collect();
            let labels: Vec<Option<usize>> = examples.iter().map(|(_, own)| own.then_some(0)).collect();
            let mut fitted = [start];
            fit(&scores, &labels, &mut fitted);
            if labels.contains(&Some(0)) {
                let reached = mean_f1(&judge(&scores, &labels, &fitted));
                for step in -1..=41 {
                    let other = [f64::from(step) / 40.0];
                    prop_assert!(mean_f1(&judge(&scores, &labels, &other)) <= reached + 1e-12);
                }
            }
        }

        // Several: it never gets worse, and once more changes nothing.
        #[test]
        fn fitting_only_helps(
            examples in prop::collection::vec((prop::array::uniform3(0u8..50), 0usize..4), 1..40),
        ) {
            let scores: Vec<f64> = examples.iter().flat_map(|(row, _)| row.map(|x| f64::from(x) / 50.0)).collect();
            let labels: Vec<Option<usize>> = examples.iter().map(|(_, label)| (*label < 3).then_some(*label)).collect();
            let start = [0.4; 3];
            let mut fitted = start;
            fit(&scores, &labels, &mut fitted);
            let (before, after) = (judge(&scores, &labels, &start), judge(&scores, &labels, &fitted));
            prop_assert!(mean_f1(&after) >= mean_f1(&before) - 1e-12);
            let mut again = fitted;
            fit(&scores, &labels, &mut again);
            prop_assert_eq!(again, fitted);
        }
    }
}
