//! Share caps: at most so many of any 1,000 consecutive decisions go to a model, and those are spent on the highest win rates.
//!
//! Two things are at work. The promise is kept by a ring of the last 999 decisions: with this one they are 1,000, and where the
//! allowance is in the ring already, the answer is no. That alone would serve whoever comes first. So before it stands a threshold
//! that adapts: a decision passes if its win rate ranks among the top `share` of the last 999 decisions, in which those that did not
//! want the model rank lowest.
//!
//! A rank alone would lag behind traffic that changes, and leave the achieved share to chance. So the wanted share is held by a
//! credit: each decision adds its part, each call takes one, and what is in it moves the threshold. The ring then rarely has to say
//! no to a high win rate. Where few want the model, nobody is refused: the credit does not grow beyond a small burst, and while not
//! even half of the allowance was wanted, every decision passes that wants it.
//!
//! The alternative, which spends within the next decisions what the ring will have room for, is simpler, but it repeats for ever
//! whatever unevenness the traffic once had, and serves those who come first after a pause.

use std::collections::VecDeque;

use xxhash_rust::xxh3::xxh3_64;

/// The promise is about so many consecutive decisions.
pub const WINDOW: usize = 1_000;
/// A deviation of the achieved share is worked off within about so many decisions.
const HORIZON: f64 = 40.0;

/// Why a model is not to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Capped {
    /// The allowance of the last decisions is spent.
    Spent,
    /// It is kept for higher win rates.
    Kept,
}

/// A share as whole calls, and what follows from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// Calls in a window.
    most: usize,
    /// The part of the decisions that is aimed at: a little less, so that the ring rarely has the last word.
    aim: f64,
    /// What the credit holds at most where few want the model.
    burst: f64,
}

impl Allowance {
    pub(super) fn new(share: f64) -> Self {
        let most = (share.clamp(0.0, 1.0) * WINDOW as f64 + 1e-9).floor();
        let part = most / WINDOW as f64;
        // One and a half standard deviations of the calls in a window, which the credit leaves to chance.
        let margin = (1.5 * (part * (1.0 - part) * HORIZON).sqrt()).min(most / 2.0);
        Self { most: most as usize, aim: (most - margin) / WINDOW as f64, burst: 80.0 * part }
    }
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    score: Option<f64>,
    wanted: bool,
    passed: bool,
}

/// The last decisions under one cap.
#[derive(Debug, Default)]
pub(super) struct Ring {
    seen: VecDeque<Seen>,
    passed: usize,
    wanted: usize,
    /// Win rates of those that wanted it, ascending.
    scores: Vec<f64>,
    credit: Option<f64>,
    count: u64,
}

impl Ring {
    /// Whether a decision that wants the model may have it. A win rate that nobody knows is given a rank by lot among those who
    /// wanted it.
    pub(super) fn verdict(&self, allowance: Allowance, win_rate: Option<f64>) -> Result<(), Capped> {
        if self.passed >= allowance.most {
            return Err(Capped::Spent);
        }
        if 2 * (self.wanted + 1) <= allowance.most || allowance.most == WINDOW {
            return Ok(());
        }
        let reached = allowance.aim + self.credit.unwrap_or(allowance.burst) / HORIZON;
        if self.rank(win_rate) >= 1.0 - reached { Ok(()) } else { Err(Capped::Kept) }
    }

    /// Enters a decision; says which it is, for [`take_back`](Self::take_back).
    pub(super) fn enter(&mut self, allowance: Allowance, wanted: bool, win_rate: Option<f64>, passed: bool) -> u64 {
        self.count += 1;
        let score = win_rate.filter(|rate| wanted && !rate.is_nan());
        let credit = self.credit.get_or_insert(allowance.burst);
        // What the ring refuses must not be made up for later.
        if !wanted || passed || self.passed < allowance.most {
            *credit += allowance.aim;
        }
        if passed {
            *credit -= 1.0;
        }
        self.seen.push_back(Seen { score, wanted, passed });
        self.passed += usize::from(passed);
        self.wanted += usize::from(wanted);
        if let Some(score) = score {
            let at = self.scores.partition_point(|other| *other < score);
            self.scores.insert(at, score);
        }
        if self.seen.len() >= WINDOW
            && let Some(leaving) = self.seen.pop_front()
        {
            self.passed -= usize::from(leaving.passed);
            self.wanted -= usize::from(leaving.wanted);
            if let Some(score) = leaving.score {
                let at = self.scores.partition_point(|other| *other < score);
                self.scores.remove(at);
            }
        }
        let few = self.wanted as f64 <= allowance.aim * (WINDOW - 1) as f64;
        *credit = credit.min(if few { allowance.burst } else { HORIZON });
        self.count
    }

    /// The decision did not get the model in the end, for other reasons; `wanted`: it was its first choice all the same.
    ///
    /// The other way round there is none: what was not entered as passed has no room kept for it.
    pub(super) fn take_back(&mut self, decision: u64, wanted: bool) {
        let first = self.count + 1 - self.seen.len() as u64;
        let at = decision.checked_sub(first).and_then(|at| usize::try_from(at).ok());
        let Some(seen) = at.and_then(|at| self.seen.get_mut(at)) else { return };
        if seen.passed {
            seen.passed = false;
            self.passed -= 1;
            self.credit = self.credit.map(|credit| credit + 1.0);
        }
        if seen.wanted && !wanted {
            seen.wanted = false;
            self.wanted -= 1;
            if let Some(score) = seen.score.take() {
                let at = self.scores.partition_point(|other| *other < score);
                self.scores.remove(at);
            }
        }
    }

    /// Decisions in the ring, and how many of them got the model.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.seen.len(), self.passed)
    }

    /// Where a win rate ranks among the last decisions, 0..=1. Decisions that were not made yet count as such that did not want the
    /// model; equal win rates are told apart by lot.
    fn rank(&self, win_rate: Option<f64>) -> f64 {
        let all = (WINDOW - 1) as f64;
        // A lot that tests can foresee.
        let lot = (xxh3_64(&self.count.to_le_bytes()) >> 11) as f64 / (1_u64 << 53) as f64;
        let Some(score) = win_rate.filter(|rate| !rate.is_nan()) else {
            return (all - self.wanted as f64 * (1.0 - lot)) / all;
        };
        let below = self.scores.partition_point(|other| *other < score);
        let equal = self.scores[below..].partition_point(|other| *other <= score);
        (all - self.scores.len() as f64 + below as f64 + lot * equal as f64) / all
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Evenly spread numbers that are the same in every run.
    fn lot(seed: u64, at: usize) -> f64 {
        (xxh3_64(&[seed.to_le_bytes(), (at as u64).to_le_bytes()].concat()) >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[derive(Debug)]
    struct Came {
        /// Part of all decisions.
        share: f64,
        /// Most in any window.
        most: usize,
        /// Part of those that wanted it.
        served: f64,
        mean: f64,
        mean_wanted: f64,
    }

    fn run(share: f64, n: usize, mut traffic: impl FnMut(usize) -> (bool, Option<f64>)) -> Came {
        let allowance = Allowance::new(share);
        let mut ring = Ring::default();
        let mut passed = Vec::new();
        let (mut wanted, mut sum, mut sum_wanted, mut most, mut within) = (0, 0.0, 0.0, 0, 0);
        for at in 0..n {
            let (wants, score) = traffic(at);
            let yes = wants && ring.verdict(allowance, score).is_ok();
            ring.enter(allowance, wants, score, yes);
            passed.push(yes);
            within += usize::from(yes);
            if at >= WINDOW {
                within -= usize::from(passed[at - WINDOW]);
            }
            most = most.max(within);
            wanted += usize::from(wants);
            sum += if yes { score.unwrap_or_default() } else { 0.0 };
            sum_wanted += if wants { score.unwrap_or_default() } else { 0.0 };
        }
        let served = passed.iter().filter(|&&yes| yes).count();
        assert!(most <= (share * WINDOW as f64 + 1e-9) as usize, "{most} of 1,000 for {share}");
        Came {
            share: served as f64 / n as f64,
            most,
            served: served as f64 / f64::from(wanted as u32),
            mean: sum / served as f64,
            mean_wanted: sum_wanted / f64::from(wanted as u32),
        }
    }

    #[test]
    fn a_fifth_is_a_fifth_and_has_the_highest_win_rates() {
        for (seed, demand) in [(1, 1.0), (2, 0.8), (3, 0.5), (4, 0.3), (5, 0.25), (6, 0.22)] {
            let came = run(0.2, 10_000, |at| {
                let score = lot(seed, at);
                (score >= 1.0 - demand, Some(score))
            });
            assert!((0.19..=0.2).contains(&came.share), "{demand}: {came:?}");
            // The best fifth has a mean of 0.9, a random one of all requests 0.5, of those that want it `1 - demand / 2`.
            assert!(came.mean > came.mean_wanted && came.mean > 0.87, "{demand}: {came:?}");
            assert_eq!(came.most, 200, "{demand}: the allowance is used");
        }
    }

    #[test]
    fn whatever_win_rates_look_like() {
        type Shape = fn(f64) -> f64;
        let shapes: [(&str, Shape); 4] = [
            ("squeezed", |x| 0.57 + 0.01 * x * x),
            ("four values", |x| (x * 4.0).floor() / 4.0),
            ("one value", |_| 0.5),
            ("mostly one", |x| if x < 0.9 { 0.5 } else { x }),
        ];
        for (what, shape) in shapes {
            let came = run(0.2, 10_000, |at| (lot(9, at) > 0.3, Some(shape(lot(9, at)))));
            assert!((0.19..=0.2).contains(&came.share), "{what}: {came:?}");
            assert!(came.mean >= came.mean_wanted, "{what}: {came:?}");
        }
    }

    // Where win rates rise for hundreds of decisions, the allowance is gone before the highest come, and some of it with it.
    #[test]
    fn however_they_drift() {
        type Traffic = fn(usize) -> (bool, Option<f64>);
        let kinds: [(&str, Traffic, f64); 6] = [
            ("rising", |at| (lot(11, at) < 0.5, Some(at as f64 / 1e4)), 0.19),
            ("falling", |at| (lot(11, at) < 0.5, Some(1.0 - at as f64 / 1e4)), 0.19),
            ("falling, all want it", |at| (true, Some(1.0 - at as f64 / 1e4)), 0.185),
            ("low, then high", |at| (true, Some(lot(12, at) / 2.0 + f64::from(at % 1_000 >= 500) / 2.0)), 0.19),
            ("high, then low", |at| (true, Some(lot(13, at) / 2.0 + f64::from(at % 1_000 < 500) / 2.0)), 0.19),
            ("waves", |at| (true, Some(lot(14, at) * 0.5 + 0.25 * (at as f64 / 300.0).sin())), 0.17),
        ];
        for (what, traffic, least) in kinds {
            let came = run(0.2, 10_000, traffic);
            assert!((least..=0.2).contains(&came.share), "{what}: {came:?}");
        }
    }

    #[test]
    fn fewer_needy_requests_leave_it_unused_and_none_is_refused() {
        for demand in [0.05, 0.1, 0.15] {
            let came = run(0.2, 10_000, |at| (lot(21, at) >= 1.0 - demand, Some(lot(21, at))));
            assert_eq!(came.served, 1.0, "{demand}: {came:?}");
            let by_name = run(0.2, 10_000, |at| (lot(22, at) < demand, None));
            assert_eq!(by_name.served, 1.0, "{demand}: {by_name:?}");
        }
        let burst = run(0.2, 10_000, |at| (at % 1_000 < 100, Some(lot(23, at))));
        assert_eq!(burst.served, 1.0, "half of the allowance at once: {burst:?}");
    }

    #[test]
    fn calls_without_a_win_rate_share_it_evenly() {
        let came = run(0.2, 10_000, |_| (true, None));
        assert!((0.19..=0.2).contains(&came.share), "{came:?}");
        let mixed = run(0.2, 10_000, |at| (true, (at % 2 == 0).then(|| lot(31, at))));
        assert!((0.19..=0.2).contains(&mixed.share), "{mixed:?}");
    }

    #[test]
    fn other_shares_too() {
        for (share, least) in [(0.01, 0.008), (0.05, 0.045), (0.5, 0.485), (0.8, 0.785), (0.99, 0.98)] {
            let came = run(share, 20_000, |at| (true, Some(lot(41, at))));
            assert!((least..=share).contains(&came.share), "{share}: {came:?}");
        }
        assert_eq!(run(1.0, 3_000, |at| (true, Some(lot(42, at)))).share, 1.0);
        assert_eq!(run(0.0, 3_000, |at| (true, Some(lot(43, at)))).share, 0.0);
    }

    #[test]
    fn what_is_taken_back_was_never_there() {
        let allowance = Allowance::new(0.2);
        let (mut ring, mut plain) = (Ring::default(), Ring::default());
        for at in 0..3_000 {
            let score = Some(lot(61, at));
            // Of a later choice that was not needed, and of a first choice that somebody else refused.
            let first = at % 3 == 0;
            let entered = ring.enter(allowance, true, score, ring.verdict(allowance, score).is_ok());
            ring.take_back(entered, first);
            plain.enter(allowance, first, score.filter(|_| first), false);
            assert_eq!(ring.counts(), plain.counts());
            assert_eq!((ring.wanted, &ring.scores), (plain.wanted, &plain.scores));
        }
        assert_eq!(ring.counts(), (999, 0));
        // One that has left the ring is left alone.
        ring.take_back(1, false);
        ring.take_back(u64::MAX, false);
        assert_eq!(ring.counts(), (999, 0));
    }

    #[test]
    fn not_a_number_ranks_by_lot_and_leaves_no_trace() {
        let came = run(0.2, 3_000, |_| (true, Some(f64::NAN)));
        assert!(came.share > 0.15, "{came:?}");
        let mut ring = Ring::default();
        ring.enter(Allowance::new(0.2), true, Some(f64::NAN), true);
        assert!(ring.scores.is_empty());
    }

    proptest! {
        // `run` itself asserts the promise for every window.
        #[test]
        fn no_window_exceeds_it_whatever_comes(
            share in 0.0..=1.0,
            pieces in prop::collection::vec((0.0..=1.0, 0.0..=1.0, 0.0..=1.0, 1_usize..1_500, prop::bool::ANY), 1..6),
        ) {
            let lengths: Vec<usize> = pieces.iter().map(|piece| piece.3).collect();
            let n = lengths.iter().sum();
            _ = run(share, n, |at| {
                let mut left = at;
                let piece = lengths.iter().position(|&length| if left < length { true } else { left -= length; false });
                let (demand, low, width, _, named) = pieces[piece.unwrap_or(0)];
                (lot(51, at) < demand, (!named).then(|| low + width * lot(52, at)))
            });
        }
    }
}
