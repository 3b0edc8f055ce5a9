//! How often the router was right, as far as scores of answers say so.
//!
//! Two shares, for each source of scores by itself, since a judge is not a user: of the calls that went to the weak model,
//! those whose answer was good enough; of the calls that went to the strong model, those that the weak one would have
//! answered well enough, which only its answers beside them can tell (`Outcome::Shadow`).
//!
//! Calls are weighted by one over the probability with which they were drawn to be scored. Where that is the same for all,
//! the interval is exact (Clopper and Pearson). Else it is theirs for the number of calls of equal weight that would leave
//! the same uncertainty, as Korn and Graubard (1998) take it: by the spread of the weights alone (Kish 1965) or with what
//! was scored, whichever is less, and rounded so that the interval becomes wider.

use std::collections::BTreeMap;

use crate::math::binomial;

use super::score::Scored;

/// Of the intervals.
const CONFIDENCE: f64 = 0.95;

/// What one source says.
#[derive(Debug, Clone, PartialEq)]
pub struct Accuracy {
    /// Whose scores they are.
    pub source: String,
    /// Of the calls routed to the weak model, those whose answer passes; `None` without any.
    pub weak: Option<Rate>,
    /// Of the calls routed to the strong model, those that the weak model's answer passes for; `None` without any.
    pub strong: Option<Rate>,
    /// Scores of routed calls of which cannot be said where they were routed, or whose answer was scored; or which somebody
    /// else answered than they were routed to.
    pub unplaced: u64,
}

/// A share of calls.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Calls with a score.
    pub n: u64,
    /// What they are worth as a sample of equal weights; `n` where they have equal weights.
    pub effective: f64,
    /// The weighted share of those that pass.
    pub share: f64,
    /// Its 95 % interval.
    pub interval: (f64, f64),
}

/// Sums of weights.
#[derive(Debug, Default)]
struct Sums {
    n: u64,
    passed: u64,
    weight: f64,
    squares: f64,
    /// The same of those that pass.
    good: f64,
    good_squares: f64,
    first: Option<f64>,
    /// Whether one's weight differs from the first's.
    mixed: bool,
}

impl Sums {
    fn add(&mut self, passes: bool, probability: Option<f64>) {
        // Whoever gave a score unasked was not drawn.
        let weight = 1.0 / probability.unwrap_or(1.0);
        self.n += 1;
        self.passed += u64::from(passes);
        self.weight += weight;
        self.squares += weight * weight;
        if passes {
            self.good += weight;
            self.good_squares += weight * weight;
        }
        self.mixed |= *self.first.get_or_insert(weight) != weight;
    }

    fn rate(&self) -> Option<Rate> {
        if self.n == 0 {
            return None;
        }
        if !self.mixed {
            let (n, passed) = (self.n as f64, self.passed as f64);
            let interval = binomial::interval(self.passed, self.n, CONFIDENCE);
            return Some(Rate { n: self.n, effective: n, share: passed / n, interval });
        }
        let (share, whole) = (self.good / self.weight, self.weight * self.weight);
        // The squared deviations from the share, of those that pass and of the others.
        let bad = 1.0 - share;
        let spread = self.good_squares * bad * bad + (self.squares - self.good_squares) * share * share;
        let by_weights = whole / self.squares;
        let effective = if spread > 0.0 { by_weights.min(share * bad * whole / spread) } else { by_weights };
        let whole = effective.floor().max(1.0);
        let bound = |passed: f64| binomial::interval(passed as u64, whole as u64, CONFIDENCE);
        let interval = (bound((share * whole).floor()).0, bound((share * whole).ceil()).1);
        Some(Rate { n: self.n, effective, share, interval })
    }
}

/// What each source says, those that know best first.
///
/// * `scores`: of each call, source and model one, as [`Ledger::scored`](super::Ledger::scored) gives them.
/// * `passing`: a score of at least this much is good enough.
/// * `strong`, `weak`: names of the strong and the weak model, of a ladder those of its ends. The win rate and the threshold
///   say where a call was routed; where they are not known (of a share), who answered says so. Left out is a call that
///   another model answered than it was routed to, as after an escalation, or that one between the ends answered; and of
///   a strong-routed call every answer that is not known to be the weak model's.
///
/// Calls of models asked for by name and calls sent by lot say nothing about a router.
pub fn measure(scores: &[Scored], passing: f64, strong: Option<&str>, weak: Option<&str>) -> Vec<Accuracy> {
    let weak_name = weak;
    let mut sources = BTreeMap::<(u8, &str), (Sums, Sums, u64)>::new();
    for scored in scores.iter().filter(|scored| scored.router.is_some() && !scored.holdout) {
        let (weak, other, unplaced) = sources.entry((rank(&scored.source), &scored.source)).or_default();
        let passes = scored.score >= passing;
        let own = scored.scored == scored.model;
        match went_strong(scored, strong, weak_name) {
            Some(false) if own => weak.add(passes, scored.probability),
            Some(true) if !own && weak_name == Some(&*scored.scored) => other.add(passes, scored.probability),
            Some(true) if own => {}
            // The strong model's answer beside the weak one's says nothing of the choice.
            Some(false) if strong.is_none_or(|strong| *scored.scored == *strong) => {}
            Some(_) | None => *unplaced += 1,
        }
    }
    let of = |((_, source), (weak, strong, unplaced)): ((u8, &str), (Sums, Sums, u64))| Accuracy {
        source: source.to_owned(),
        weak: weak.rate(),
        strong: strong.rate(),
        unplaced,
    };
    sources.into_iter().map(of).collect()
}

fn went_strong(scored: &Scored, strong: Option<&str>, weak: Option<&str>) -> Option<bool> {
    let routed = scored.win_rate.zip(scored.threshold).map(|(win_rate, threshold)| win_rate >= threshold);
    let is = |name: Option<&str>| name.map(|name| *scored.model == *name);
    let answered = match (is(strong), is(weak)) {
        (Some(true), _) => Some(true),
        (_, Some(true)) => Some(false),
        // One between the ends, or one that stood in.
        (Some(false), Some(false)) => return None,
        // Of a ladder, who is not at one end is not therefore at the other.
        _ if scored.tier.is_some() => return None,
        (Some(false), None) => Some(false),
        (None, Some(false)) => Some(true),
        (None, None) => None,
    };
    if routed.is_some() && answered.is_some() && routed != answered { None } else { routed.or(answered) }
}

/// The place of a source of scores among others: what is checked goes before what is said, and people before models.
pub fn rank(source: &str) -> u8 {
    match source {
        "gold" => 0,
        "user" => 1,
        "feedback" => 2,
        judge if judge == "judge" || judge.starts_with("judge:") => 4,
        _ => 3,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::record::Record;
    use super::super::row::tests::record;
    use super::super::row::{Keep, Row};
    use super::super::score::{Names, Score};
    use super::*;

    /// A score of a call that went to the weak model, or to the strong one.
    fn scored(went: &str, of: &str, score: f64, source: &str, probability: Option<f64>) -> Scored {
        let win_rate = Some(if went == "strong" { 0.75 } else { 0.25 });
        let row = Row::new(0, Record { win_rate, ..record(went) }, Keep::None);
        let (source, model) = (source.to_owned(), Some(of.to_owned()));
        Scored::of(&row, &Score { call: 0, ts: 0, source, score, probability, model }, &mut Names::default())
    }

    #[test]
    fn each_side_is_scored_by_the_weak_models_answers() {
        let scores = [
            scored("weak", "weak", 1.0, "user", None),
            scored("weak", "weak", 0.5, "user", None),
            scored("weak", "weak", 0.4, "user", None),
            scored("weak", "strong", 0.0, "user", None),
            scored("strong", "strong", 0.0, "user", None),
            scored("strong", "weak", 1.0, "user", None),
            scored("strong", "weak", 0.0, "judge:a", Some(0.1)),
            Scored { holdout: true, ..scored("strong", "weak", 0.0, "user", None) },
            Scored { router: None, ..scored("weak", "weak", 0.0, "user", None) },
        ];
        let found = measure(&scores, 0.5, None, Some("weak"));
        assert_eq!(found.iter().map(|each| each.source.as_str()).collect::<Vec<_>>(), ["user", "judge:a"]);
        let weak = found[0].weak.unwrap();
        assert_eq!((weak.n, weak.effective, weak.share), (3, 3.0, 2.0 / 3.0));
        assert_eq!(weak.interval, binomial::interval(2, 3, CONFIDENCE));
        assert_eq!((found[0].strong.unwrap().n, found[0].strong.unwrap().share), (1, 1.0));
        assert_eq!((found[1].weak, found[1].strong.unwrap().share), (None, 0.0));
        let by_name = measure(&scores, 0.5, Some("strong"), Some("weak"));
        assert_eq!(by_name, found);
        let alone = measure(&scores, 0.5, None, None);
        assert_eq!((alone[0].weak, alone[0].strong, alone[0].unplaced), (found[0].weak, None, 1));
    }

    #[test]
    fn what_cannot_be_placed_is_counted() {
        let lost = Scored { threshold: None, ..scored("weak", "weak", 1.0, "gold", None) };
        let escalated = Scored { win_rate: Some(0.25), ..scored("strong", "strong", 1.0, "gold", None) };
        let scores = [lost, escalated];
        let found = measure(&scores[..1], 0.5, None, None);
        assert_eq!((found[0].weak, found[0].unplaced), (None, 1));
        let found = measure(&scores, 0.5, Some("strong"), None);
        assert_eq!((found[0].weak.unwrap().n, found[0].strong, found[0].unplaced), (1, None, 1));
    }

    #[test]
    fn only_the_weak_models_answer_counts_for_it() {
        let scores = ["weak", "provider-weak", "middle"].map(|of| scored("strong", of, 1.0, "user", None));
        let found = measure(&scores, 0.5, Some("strong"), Some("weak"));
        assert_eq!((found[0].strong.unwrap().n, found[0].unplaced), (1, 2));
    }

    #[test]
    fn on_a_ladder_the_middle_is_neither() {
        let rung = |went: &str| {
            let tier = Some(went.into());
            Scored { tier, threshold: None, ..scored(went, went, 1.0, "user", None) }
        };
        let scores = ["weak", "middle", "middle", "strong"].map(rung);
        let found = measure(&scores, 0.5, Some("strong"), Some("weak"));
        assert_eq!((found[0].weak.unwrap().n, found[0].strong, found[0].unplaced), (1, None, 2));
        assert_eq!(measure(&scores, 0.5, Some("strong"), None)[0].weak, None);
    }

    #[test]
    fn a_call_that_was_drawn_rarely_stands_for_many() {
        let often = |score| scored("weak", "weak", score, "judge:a", Some(0.5));
        let rarely = |score| scored("weak", "weak", score, "judge:a", Some(0.1));
        let scores: Vec<_> = (0..40).map(|n| if n < 20 { often(1.0) } else { rarely(f64::from(n % 2)) }).collect();
        let rate = measure(&scores, 0.5, None, None)[0].weak.unwrap();
        // 20 of weight 2, all good; 20 of weight 10, half of them.
        let share = 140.0 / 240.0;
        assert!((rate.share - share).abs() < 1e-12);
        let spread = 1080.0 * (1.0 - share) * (1.0 - share) + 1000.0 * share * share;
        let effective = share * (1.0 - share) * 240.0 * 240.0 / spread;
        assert!((rate.effective - effective).abs() < 1e-9 && effective < 240.0 * 240.0 / 2080.0, "{effective}");
        assert_eq!(rate.n, 40);
        let (low, high) = (binomial::interval(15, 26, CONFIDENCE).0, binomial::interval(16, 26, CONFIDENCE).1);
        assert_eq!((rate.effective.floor(), rate.interval), (26.0, (low, high)));
        let equal: Vec<_> = scores.iter().map(|each| Scored { probability: Some(0.3), ..each.clone() }).collect();
        let rate = measure(&equal, 0.5, None, None)[0].weak.unwrap();
        assert_eq!((rate.effective, rate.interval), (40.0, binomial::interval(30, 40, CONFIDENCE)));
    }

    #[test]
    fn weighted_intervals_cover() {
        // Calls of two kinds, drawn with 0.02 and 0.2, of which other shares pass: 0.05 of the intervals may miss the share
        // of all calls, and of 2,000 at most 139 then do with probability 0.9999.
        let mut state = 0x5eed_u64;
        let mut uniform = || {
            // SplitMix64 (Steele, Lea and Flood 2014).
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
        };
        for [first, second] in [[0.6, 0.9], [0.9, 0.6], [0.5, 0.98]] {
            let missed = (0..2000).filter(|_| {
                let mut sums = Sums::default();
                for _ in 0..3000 {
                    let (probability, passing) = if uniform() < 0.5 { (0.02, first) } else { (0.2, second) };
                    if uniform() < probability {
                        sums.add(uniform() < passing, Some(probability));
                    }
                }
                let (low, high) = sums.rate().unwrap().interval;
                !(low..=high).contains(&(f64::midpoint(first, second)))
            });
            let missed = missed.count();
            assert!(missed < 140, "{missed} of 2000 miss at {first} and {second}");
        }
    }
}
