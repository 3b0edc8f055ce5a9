//! A decision taken apart: what each rung would cost, which would have come next, and what would have changed it.
//!
//! [`explain`] is told what was decided on ([`Asked`]) and gives an [`Explained`], which serialises to JSON with money as
//! decimal text. It looks at prices and nothing else, and decides nothing: [`crossings`] asks the rule of
//! [`decide`](super::decide) backwards.

mod crossings;
#[cfg(test)]
mod tests;

use rust_decimal::Decimal;
use rust_decimal::prelude::FromPrimitive;
use serde::Serialize;

use super::ladder::{limits, nearest};
use crate::pricing::{Amounts, Moment, ServiceTier, Table, Unit};

/// A rung, or a model beside the ladder.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rung {
    /// Its name; `None` for a model beside the ladder.
    pub name: Option<String>,
    /// Its model; `None` where that is no longer known.
    pub model: Option<String>,
    /// Names its price is looked up by, first one first.
    pub priced_as: Vec<String>,
    /// Why it could not serve the request.
    pub barred: Option<String>,
    /// Tokens its answer is expected to have.
    pub answer_tokens: Option<f64>,
}

/// What a router weighed beside its verdict: a route with its similarity, a label with its probability.
#[derive(Debug, Clone, PartialEq)]
pub struct Weighed {
    /// Its name.
    pub name: String,
    /// How much speaks for it.
    pub score: f64,
    /// From which score on it counts, where it has a border of its own.
    pub threshold: Option<f64>,
    /// The rung it stands for.
    pub rung: Option<usize>,
}

/// The router's word.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Word {
    /// A win rate against thresholds, ascending.
    WinRate {
        /// As the router gave it.
        value: f64,
        /// One for each step.
        cuts: Vec<f64>,
    },
    /// A rank among recent scores against shares, cumulative and falling.
    Rank {
        /// 0..=1.
        value: f64,
        /// One for each step.
        shares: Vec<f64>,
    },
    /// A verdict that names a rung.
    Named {
        /// The label it rests on; `None` where nothing was near enough.
        label: Option<String>,
        /// Best first.
        weighed: Vec<Weighed>,
    },
    /// Nothing that could be measured.
    #[default]
    Silent,
}

/// A decision, with what it was made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    /// From weakest to strongest, then models beside the ladder.
    pub rungs: Vec<Rung>,
    /// How many of them are the ladder.
    pub ladder: usize,
    /// The rungs that the steps of the word lead to, one more than steps: two thresholds on a ladder of three lead to
    /// `[0, 1, 2]`, and a single one leads to `[0, 2]`.
    pub reach: Vec<usize>,
    /// The router's word.
    pub word: Word,
    /// The rung the word led to, before filters.
    pub wanted: Option<usize>,
    /// The rung it went to.
    pub chosen: Option<usize>,
    /// Why it did not go where the word led, for a reason that is in no rung: the lot, or a conversation that stays.
    pub held: Option<String>,
    /// No rung below this one.
    pub floor: Option<usize>,
    /// No rung above this one.
    pub ceiling: Option<usize>,
    /// Tokens of the request, told or estimated.
    pub prompt_tokens: Option<u64>,
    /// The day prices are looked up for; `None` is now.
    pub at: Option<Moment>,
}

/// What became of a rung.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The request goes there.
    Chosen,
    /// It would have come next.
    RunnerUp,
    /// It cannot serve the request, or a rule forbids it.
    Skipped,
    /// It could have been chosen.
    Open,
}

/// One rung of an [`Explained`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Name of the rung.
    pub rung: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// US dollars for a million tokens of a prompt as long as this one; `None` is unknown, never free.
    pub input_per_million: Option<String>,
    /// US dollars for a million tokens of answer.
    pub output_per_million: Option<String>,
    /// Tokens of answer that the next field assumes.
    pub answer_tokens: Option<f64>,
    /// US dollars that this request is expected to cost there.
    pub expected_cost_usd: Option<String>,
    /// What became of it.
    pub mark: Mark,
    /// Why it was skipped.
    pub why: Option<String>,
}

/// The rung that would have come next.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunnerUp {
    /// Its name.
    pub rung: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// By how much it lost: in win rate, rank or score; `None` where it was the router's word.
    pub by: Option<f64>,
    /// What this is measured in: `win rate`, `rank`, `score` or `word`.
    pub of: &'static str,
    /// US dollars by which the request would have been dearer there; negative is cheaper.
    pub dearer_usd: Option<String>,
    /// All of it in a sentence.
    pub sentence: String,
}

/// Something that would have led to another rung, all else being equal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// The rung it would have led to.
    pub rung: Option<String>,
    /// Its model.
    pub model: Option<String>,
    /// The nearest thresholds that lead there; empty in other forms.
    pub thresholds: Vec<f64>,
    /// The nearest shares that lead there; empty in other forms.
    pub shares: Vec<f64>,
    /// In words.
    pub sentence: String,
}

/// A decision, explained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explained {
    /// All rungs, weakest first, then a model beside the ladder.
    pub candidates: Vec<Candidate>,
    /// Tokens of the request.
    pub prompt_tokens: Option<u64>,
    /// What would have come next; `None` where nothing could, or nothing was measured.
    pub runner_up: Option<RunnerUp>,
    /// What would have changed it.
    pub changes: Vec<Change>,
    /// Versions of the price data.
    pub prices: String,
}

impl Asked {
    /// What the rung is called in a sentence.
    fn called(&self, rung: usize) -> &str {
        let rung = self.rungs.get(rung);
        rung.and_then(|rung| rung.name.as_deref().or(rung.model.as_deref())).unwrap_or("another model")
    }

    /// Why the rung could not have been chosen.
    fn shut(&self, rung: usize) -> Option<String> {
        if let Some(why) = self.rungs.get(rung).and_then(|rung| rung.barred.clone()) {
            return Some(why);
        }
        match (self.floor, self.ceiling) {
            (Some(floor), _) if rung < floor => Some(format!("below the floor {}", self.called(floor))),
            (_, Some(ceiling)) if rung > ceiling => Some(format!("above the ceiling {}", self.called(ceiling))),
            _ => None,
        }
    }

    /// Where a wish for a rung ends: within floor and ceiling, past those that cannot serve. The rule of the ladder.
    fn settled(&self, wanted: usize) -> Option<usize> {
        let top = self.ladder.checked_sub(1)?;
        let barred: Vec<_> = self.rungs.iter().take(self.ladder).map(|rung| rung.barred.clone()).collect();
        let (low, high) = limits(top, self.floor, self.ceiling);
        nearest(top, wanted.clamp(low, high), low, high, &barred)
    }
}

/// Takes a decision apart, at the prices of `table`.
pub fn explain(asked: &Asked, table: &Table) -> Explained {
    let mut candidates: Vec<_> = (0..asked.rungs.len()).map(|rung| candidate(asked, rung, table)).collect();
    let crossings = crossings::of(asked);
    let nearest = crossings.iter().min_by(|a, b| a.by.unwrap_or(0.0).total_cmp(&b.by.unwrap_or(0.0)));
    let runner_up = nearest.map(|next| {
        if let Some(candidate) = candidates.get_mut(next.rung) {
            candidate.mark = Mark::RunnerUp;
        }
        let dearer = asked.chosen.and_then(|chosen| {
            Some(cost(asked, next.rung, table)?.checked_sub(cost(asked, chosen, table)?)?.normalize().to_string())
        });
        let rung = &asked.rungs[next.rung];
        RunnerUp {
            rung: rung.name.clone(),
            model: rung.model.clone(),
            by: next.by,
            of: next.of,
            dearer_usd: dearer,
            sentence: next.runner_up.clone(),
        }
    });
    let changes = crossings
        .into_iter()
        .filter_map(|crossing| {
            let rung = &asked.rungs[crossing.rung];
            Some(Change {
                rung: rung.name.clone(),
                model: rung.model.clone(),
                sentence: crossing.change?,
                thresholds: crossing.thresholds,
                shares: crossing.shares,
            })
        })
        .collect();
    Explained { candidates, prompt_tokens: asked.prompt_tokens, runner_up, changes, prices: table.version().to_owned() }
}

fn candidate(asked: &Asked, at: usize, table: &Table) -> Candidate {
    let rung = &asked.rungs[at];
    let price = table.price(&names(rung), ServiceTier::Standard, asked.at);
    let prompt = Decimal::from(asked.prompt_tokens.unwrap_or(0));
    let rate = |unit| Some(price.as_ref()?.rates.get(unit)?.at(prompt).normalize().to_string());
    let why = asked.shut(at);
    let mark = match &why {
        _ if asked.chosen == Some(at) => Mark::Chosen,
        Some(_) => Mark::Skipped,
        None => Mark::Open,
    };
    Candidate {
        rung: rung.name.clone(),
        model: rung.model.clone(),
        input_per_million: rate(Unit::Input),
        output_per_million: rate(Unit::Output),
        answer_tokens: rung.answer_tokens,
        expected_cost_usd: cost(asked, at, table).map(|cost| cost.to_string()),
        mark,
        why: why.filter(|_| mark == Mark::Skipped),
    }
}

fn names(rung: &Rung) -> Vec<&str> {
    rung.priced_as.iter().map(String::as_str).collect()
}

/// US dollars that the request is expected to cost on a rung.
fn cost(asked: &Asked, rung: usize, table: &Table) -> Option<Decimal> {
    let rung = asked.rungs.get(rung)?;
    let amounts = Amounts {
        prompt: asked.prompt_tokens?.into(),
        completion: Decimal::from_f64(rung.answer_tokens?.max(0.0))?.round_dp(2),
        ..Amounts::default()
    };
    Some(table.cost_of(&names(rung), &amounts, ServiceTier::Standard, asked.at)?.total.normalize())
}
