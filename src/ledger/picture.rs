//! What a page shows of a stretch of time: sums by slice of time, by win rate and by score.
//!
//! Unlike [`Ledger::spend`](super::Ledger::spend), which adds up in 128 bits to the last picodollar, these sums are made by
//! the database and in floating point: a page may be looked at all day over a million calls. They are good to fifteen
//! digits, for charts and not for bills. Where there are too many calls only the latest are looked at, and [`Picture::cut`]
//! says so.

mod add;
mod ask;
pub(super) mod asked;
pub(super) mod read;

pub use add::Adding;

use super::moments::{self, Measured, Moments, Sides};
use super::record::Outcome;
use super::row::Row;

/// So many calls are looked at within a second or two.
pub const MOST: u32 = 1_000_000;

/// Win rates are counted in bins of a hundredth; one of exactly 1 has the last bin to itself.
pub const BINS: usize = 101;

/// A stretch of time in equal slices; all in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its begin, since 1970.
    pub since: i64,
    /// Its end, which is not in it.
    pub until: i64,
    /// Length of a slice, above 0.
    pub width: i64,
}

/// Sums over calls. Money is in dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Figures {
    /// How many rows.
    pub n: i64,
    /// Of these, with a cost.
    pub priced: i64,
    /// Cost of the models.
    pub cost: f64,
    /// Cost of choosing them.
    pub router_cost: f64,
    /// Rows with both costs known.
    pub whole: i64,
    /// Of these, both together.
    pub whole_cost: f64,
    /// And its squares.
    pub whole_squares: f64,
    /// Squares of the cost of the models.
    pub squares: f64,
    /// Rows with an estimated saving, as [`Row::saved`] has it.
    pub compared: i64,
    /// Of these, what the baseline would have cost.
    pub baseline: f64,
    /// Of these, what was saved.
    pub saved: f64,
    /// Tokens of the prompts.
    pub prompt_tokens: f64,
    /// Tokens of the answers.
    pub completion_tokens: f64,
}

impl Figures {
    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.priced += other.priced;
        self.cost += other.cost;
        self.router_cost += other.router_cost;
        self.whole += other.whole;
        self.whole_cost += other.whole_cost;
        self.whole_squares += other.whole_squares;
        self.squares += other.squares;
        self.compared += other.compared;
        self.baseline += other.baseline;
        self.saved += other.saved;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

/// The calls of a slice that have the same model, router and end.
#[derive(Debug, Clone, PartialEq)]
pub struct Slice {
    /// Which slice of the span, from 0.
    pub index: i64,
    /// Who answered.
    pub model: String,
    /// Who chose; `None` where a model was asked for by name.
    pub router: Option<String>,
    /// How they ended.
    pub outcome: Outcome,
    /// Sent to the strong model by lot.
    pub holdout: bool,
    /// What they came to.
    pub figures: Figures,
}

/// Answered calls of one router with nearly the same win rate. Money is in dollars.
#[derive(Debug, Clone, PartialEq)]
pub struct Bin {
    /// Who chose.
    pub router: String,
    /// Hundredths of the win rate.
    pub index: i64,
    /// Who answered.
    pub model: String,
    /// How many.
    pub n: i64,
    /// Of these, with a cost.
    pub priced: i64,
    /// Their cost.
    pub cost: f64,
    /// Of these, with a cost and a baseline.
    pub compared: i64,
    /// Cost of those.
    pub compared_cost: f64,
    /// Baseline of those.
    pub baseline: f64,
}

/// Scores of one source of a model's answers, weighted by one over the probability with which they were drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Judged {
    /// Whose scores they are.
    pub source: String,
    /// Whose answers.
    pub model: String,
    /// Whether they were handed on; else asked beside another answer, to compare with it.
    pub own: bool,
    /// Kind of task, where callers say it.
    pub task: Option<String>,
    /// Who chose the model that was called.
    pub router: Option<String>,
    /// Hundredths of the win rate, where there is one.
    pub index: Option<i64>,
    /// The weighted scores.
    pub scores: Weighted,
}

/// Scores with weights.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weighted {
    /// How many.
    pub n: i64,
    /// Sum of weights.
    pub weight: f64,
    /// Of their squares.
    pub squares: f64,
    /// Of weight times score.
    pub score: f64,
}

impl Weighted {
    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.n += other.n;
        self.weight += other.weight;
        self.squares += other.squares;
        self.score += other.score;
    }

    /// The mean score, 0..1; `None` without any.
    pub fn mean(&self) -> Option<f64> {
        (self.n > 0 && self.weight > 0.0).then(|| (self.score / self.weight).clamp(0.0, 1.0))
    }

    /// What the scores are worth as a sample of equal weights (Kish 1965).
    pub fn effective(&self) -> f64 {
        if self.squares > 0.0 { self.weight * self.weight / self.squares } else { 0.0 }
    }

    /// The 95 % interval of the mean: that of a share, which no scores in 0..1 with this mean spread more than.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let (mean, whole) = (self.mean()?, self.effective().floor().max(1.0));
        let bound = |passed: f64| crate::math::binomial::interval(passed as u64, whole as u64, 0.95);
        Some((bound((mean * whole).floor()).0, bound((mean * whole).ceil()).1))
    }
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Picture {
    /// Sums by time.
    pub slices: Vec<Slice>,
    /// Sums by win rate.
    pub bins: Vec<Bin>,
    /// Scores.
    pub judged: Vec<Judged>,
    /// From when on calls were looked at, where there were too many; microseconds since 1970.
    pub cut: Option<i64>,
    /// Calls too old to be known by their time: memory keeps the last ones only.
    pub forgotten: u64,
}

/// The saving measured on calls by lot, of all these slices; `None` with too few such calls.
pub fn measured<'a>(slices: impl IntoIterator<Item = &'a Slice>) -> Option<Measured> {
    let mut routers = std::collections::BTreeMap::<&str, Sides>::new();
    for slice in slices {
        let Some(router) = slice.router.as_deref() else { continue };
        let (sides, of) = (routers.entry(router).or_default(), &slice.figures);
        match slice.outcome {
            Outcome::Shadow => {}
            beside if beside.is_beside() => sides.extra += of.cost,
            _ if slice.holdout => sides.held.merge(&Moments::of_sums(of.priced, of.cost, of.squares)),
            _ => sides.routed.merge(&Moments::of_sums(of.whole, of.whole_cost, of.whole_squares)),
        }
    }
    moments::measure(routers.values().filter(|sides| sides.held.n > 0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn rare_draws_make_the_interval_wider() {
        let even = Weighted { n: 100, weight: 100.0, squares: 100.0, score: 90.0 };
        let (low, high) = even.interval().unwrap();
        assert_eq!((even.mean(), even.effective()), (Some(0.9), 100.0));
        assert!(low < 0.83 && 0.82 < low && high > 0.94 && high < 0.96, "{low} {high}");
        let uneven = Weighted { squares: 400.0, ..even };
        let (wide_low, wide_high) = uneven.interval().unwrap();
        assert!(wide_low < low && wide_high > high && uneven.effective() == 25.0);
        assert_eq!(Weighted::default().interval(), None);
        // Ten good ones do not prove that all are.
        let good = Weighted { n: 10, weight: 10.0, squares: 10.0, score: 10.0 };
        assert!(good.interval().unwrap().0 < 0.7);
    }
}
