//! The share form: strong for the asked part of the traffic, whatever the router's scores look like.
//!
//! Scores of a router are a ranking, seldom probabilities, so a fixed threshold gives one share on one kind of
//! traffic and another on the next. Here a score is ranked among the last ones of the same traffic instead.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64;

use super::decide::{Choice, not_a_number, shown, side};
use super::model_name::{percent, percents};

/// Scores that are remembered.
pub const WINDOW: usize = 1_000;
/// Below this many own scores a decision is called a warm-up: its share is not to be relied on yet.
pub const WARM: usize = 100;

/// The last scores of one router in one Controller, and pseudo-scores that stand in while there are few.
#[derive(Debug, Clone, Default)]
pub struct ShareWindow {
    /// Own scores, oldest first.
    recent: VecDeque<f64>,
    /// Pseudo-scores in the order they leave, last first.
    pseudo: Vec<f64>,
    /// All of them, ascending.
    sorted: Vec<f64>,
}

impl ShareWindow {
    /// A window that starts with `pseudo` scores, which count like own ones; each own score takes the place of one.
    /// NaN are left out, and so is what exceeds [`WINDOW`].
    pub fn new(pseudo: impl IntoIterator<Item = f64>) -> Self {
        let mut pseudo: Vec<f64> = pseudo.into_iter().filter(|score| !score.is_nan()).take(WINDOW).collect();
        pseudo.sort_by(f64::total_cmp);
        let sorted = pseudo.clone();
        // They leave in a scattered order: from one end, what is left would be a biased sample.
        let mut order: Vec<usize> = (0..pseudo.len()).collect();
        order.sort_by_key(|at| xxh3_64(&at.to_le_bytes()));
        Self { recent: VecDeque::new(), pseudo: order.into_iter().map(|at| pseudo[at]).collect(), sorted }
    }

    /// How many own scores it holds, at most [`WINDOW`].
    pub fn own(&self) -> usize {
        self.recent.len()
    }

    /// Whether fewer than [`WARM`] own scores have been seen.
    pub fn warmup(&self) -> bool {
        self.own() < WARM
    }

    /// Remembers a score; a pseudo-score leaves for it while there are any, then the oldest one of a full window.
    pub fn push(&mut self, score: f64) {
        if score.is_nan() {
            return;
        }
        let leaving = self.pseudo.pop().or_else(|| if self.own() == WINDOW { self.recent.pop_front() } else { None });
        if let Some(leaving) = leaving {
            let at = self.sorted.partition_point(|other| *other < leaving);
            self.sorted.remove(at);
        }
        self.recent.push_back(score);
        let at = self.sorted.partition_point(|other| *other < score);
        self.sorted.insert(at, score);
    }

    /// Where `score` ranks among the remembered ones, 0..=1; `tie` in 0..1 places it among equal ones.
    ///
    /// An empty window ranks everything 0.5.
    pub fn rank(&self, score: f64, tie: f64) -> f64 {
        if self.sorted.is_empty() {
            return 0.5;
        }
        let below = self.sorted.partition_point(|other| *other < score);
        let equal = self.sorted[below..].partition_point(|other| *other <= score);
        (below as f64 + tie * equal as f64) / self.sorted.len() as f64
    }

    /// Where the score of a prompt ranks; equal scores are told apart by a hash of the prompt, so the same prompt always
    /// gets the same answer and a router with few distinct scores still gives the asked share.
    pub fn rank_of(&self, win_rate: f64, prompt: &str) -> f64 {
        self.rank(win_rate, tie(prompt))
    }

    /// The side for a score that has this `rank`: one further for each of `shares` in whose part of the traffic it is.
    ///
    /// `shares` must not rise: the first is the part above the weakest side, the last the part on the strongest. 0 is
    /// none of the traffic, 1 all of it. `sides` has one name more than there are shares.
    pub fn decide(&self, win_rate: f64, rank: f64, shares: &[f64], sides: &[&str]) -> Choice {
        if win_rate.is_nan() {
            return not_a_number(sides);
        }
        let index = shares.partition_point(|share| *share > 0.0 && rank >= 1.0 - share);
        let border = |at: usize| shares.get(at).map(|share| 1.0 - share);
        let (below, above) = (index.checked_sub(1).and_then(border), border(index));
        let nearest = [below, above].into_iter().flatten().min_by(|a, b| (rank - a).abs().total_cmp(&(rank - b).abs()));
        let round = |border: f64| (border * 1e10).round() / 1e10;
        let sign = match (below, above) {
            (Some(below), Some(above)) => format!(">= {} and < {}", round(below), round(above)),
            (Some(below), None) => format!(">= {}", round(below)),
            (None, Some(above)) => format!("< {}", round(above)),
            (None, None) => String::new(),
        };
        let asked = match shares {
            [share] => format!("a share of {}", percent(*share)),
            shares => format!("shares of {}", percents(shares)),
        };
        let place = match (self.pseudo.len(), self.own()) {
            (0, 0) => "in the middle, for want of earlier scores".to_owned(),
            (0, own) => format!("among the last {own} scores"),
            (pseudo, 0) => format!("among {pseudo} reference scores"),
            (pseudo, own) => format!("among the last {own} scores and {pseudo} reference scores"),
        };
        let reason = format!(
            "win rate {win_rate:.4} ranks {} {place}, {sign} for {asked}: {}",
            shown(rank, nearest.unwrap_or(f64::INFINITY)),
            side(sides, index),
        );
        Choice { index, reason }
    }
}

/// A number in 0..1 that depends on the prompt alone.
fn tie(prompt: &str) -> f64 {
    (xxh3_64(prompt.as_bytes()) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIDES: [&str; 2] = ["weak model", "strong model"];

    fn index(window: &ShareWindow, score: f64, shares: &[f64], prompt: &str) -> usize {
        let sides = vec!["side"; shares.len() + 1];
        window.decide(score, window.rank_of(score, prompt), shares, &sides).index
    }

    fn strong(window: &ShareWindow, score: f64, share: f64, prompt: &str) -> bool {
        index(window, score, &[share], prompt) == 1
    }

    fn served(scores: impl Iterator<Item = f64>, share: f64) -> (usize, usize) {
        let mut window = ShareWindow::default();
        let (mut strong, mut all) = (0, 0);
        for (i, score) in scores.enumerate() {
            if !window.warmup() {
                strong += usize::from(super::tests::strong(&window, score, share, &format!("prompt {i}")));
                all += 1;
            }
            window.push(score);
        }
        (strong, all)
    }

    #[test]
    fn the_share_comes_out_whatever_the_scores_look_like() {
        let spread = (0..20_000_u64).map(|i| tie(&format!("score {i}")));
        for (scores, what) in [
            (Box::new(spread.clone()) as Box<dyn Iterator<Item = f64>>, "uniform"),
            (Box::new(spread.clone().map(|x| 0.57 + 0.08 * x * x)), "squeezed"),
            (Box::new(spread.clone().map(|x| (x * 4.0).floor() / 4.0)), "four values"),
            (Box::new(spread.map(|_| 0.5)), "one value"),
        ] {
            let (strong, all) = served(scores, 0.3);
            let share = strong as f64 / all as f64;
            // Binomial deviation at n = 19,900 is 0.0032; the window adds the error of its own quantile, 0.0145 a
            // thousand scores, averaged over twenty windows.
            assert!((share - 0.3).abs() < 0.015, "{what}: {share}");
        }
    }

    #[test]
    fn shares_of_a_ladder_come_out_rung_by_rung() {
        let mut window = ShareWindow::default();
        let mut counts = [0_u32; 4];
        for i in 0..20_000_u64 {
            let score = 0.4 + 0.2 * tie(&format!("score {i}"));
            if !window.warmup() {
                counts[index(&window, score, &[0.6, 0.3, 0.1], &format!("prompt {i}"))] += 1;
            }
            window.push(score);
        }
        let total = f64::from(counts.iter().sum::<u32>());
        for (count, share) in counts.into_iter().zip([0.4, 0.3, 0.2, 0.1]) {
            // As above: 0.0035 of the sample and at most 0.0155 of each border, over twenty windows.
            assert!((f64::from(count) / total - share).abs() < 0.015, "{counts:?}");
        }
    }

    #[test]
    fn reasons_say_the_rank_and_the_borders() {
        let window = ShareWindow::new((0..100).map(|i| f64::from(i) / 100.0));
        let reason = |shares: &[f64], sides: &[&str]| window.decide(0.5, 0.505, shares, sides).reason;
        assert_eq!(
            reason(&[0.3], &SIDES),
            "win rate 0.5000 ranks 0.5050 among 100 reference scores, < 0.7 for a share of 30%: weak model"
        );
        assert_eq!(
            reason(&[0.6, 0.15], &["cheap", "mid", "expensive"]),
            "win rate 0.5000 ranks 0.5050 among 100 reference scores, >= 0.4 and < 0.85 for shares of 60%,15%: mid"
        );
    }

    #[test]
    fn an_empty_window_ranks_in_the_middle() {
        let window = ShareWindow::default();
        assert!(strong(&window, 0.1, 0.5, "x"));
        assert!(!strong(&window, 0.9, 0.49, "x"));
        assert!(window.warmup());
    }

    #[test]
    fn pseudo_scores_leave_first_and_then_the_oldest() {
        let mut window = ShareWindow::new((0..100).map(|i| f64::from(i) / 100.0));
        assert!((window.rank(0.5, 0.0) - 0.5).abs() < 1e-12);
        for i in 0..50 {
            window.push(2.0 + f64::from(i));
        }
        assert_eq!((window.own(), window.pseudo.len(), window.sorted.len()), (50, 50, 100));
        let mean = window.pseudo.iter().sum::<f64>() / 50.0;
        assert!((mean - 0.495).abs() < 0.1, "those left are a fair sample of all: {mean}");
        for i in 50..WINDOW + 10 {
            window.push(2.0 + i as f64);
        }
        assert_eq!((window.own(), window.pseudo.len(), window.sorted.len()), (WINDOW, 0, WINDOW));
        assert!(window.sorted.is_sorted());
        assert!(!window.sorted.contains(&11.0) && window.sorted.contains(&12.0));
    }

    #[test]
    fn pseudo_scores_of_other_traffic_do_no_harm_once_warm() {
        let mut window = ShareWindow::new((0..100).map(|i| 0.5 + f64::from(i) / 1_000.0));
        let mut sent = 0;
        for i in 0..1_100 {
            // All of it below every pseudo-score.
            let score = 0.2 + 0.1 * tie(&format!("score {i}"));
            sent += usize::from(i >= 100 && strong(&window, score, 0.3, "p"));
            window.push(score);
        }
        assert!((250..350).contains(&sent), "{sent} of 1,000");
    }

    #[test]
    fn nan_goes_to_the_weak_model_and_leaves_no_trace() {
        let mut window = ShareWindow::new([f64::NAN]);
        window.push(f64::NAN);
        assert_eq!(window.own(), 0);
        assert!(!strong(&window, f64::NAN, 1.0, "x"));
    }

    proptest! {
        #[test]
        fn the_ends_hold_and_a_larger_share_never_loses_a_strong_call(
            scores in prop::collection::vec(0.0..=1.0, 0..200), score in 0.0..=1.0, a in 0.0..=1.0, b in 0.0..=1.0,
        ) {
            let mut window = ShareWindow::default();
            for score in scores {
                window.push(score);
            }
            let (low, high) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(!strong(&window, score, low, "p") || strong(&window, score, high, "p"));
            prop_assert!(strong(&window, score, 1.0, "p"));
            prop_assert!(!strong(&window, score, 0.0, "p"));
            // Two shares are two single ones.
            let both = usize::from(strong(&window, score, high, "p")) + usize::from(strong(&window, score, low, "p"));
            prop_assert_eq!(index(&window, score, &[high, low], "p"), both);
        }
    }
}
