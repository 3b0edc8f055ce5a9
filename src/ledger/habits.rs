//! How long a model's answers are, and how much of its prompts was cached: what its part in a forecast rests on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};

use crate::math::quantile;

use super::record::Outcome;
use super::row::Row;

/// Below this many answers no quantiles are given.
const FEWEST: usize = 20;
/// This many of the last answers count.
const REMEMBERED: usize = 1000;
/// Steps between quantiles.
const STEPS: usize = 100;
/// More models than that are not followed: names come from callers.
const MODELS: usize = 1000;

/// What is known of a model's own answers, to forecast what it would have made of a prompt another model answered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Habits {
    /// Quantiles of its completion tokens, from the least (0) to the most (1), evenly spaced; empty below 20 answers.
    pub completion_quantiles: Vec<f64>,
    /// The mean cached share of its prompts.
    pub cached_share: Option<f64>,
    /// Answers seen.
    pub answers: u64,
}

impl Habits {
    /// The mean of its answers' tokens; `None` below 20 answers.
    pub fn mean_completion(&self) -> Option<f64> {
        let quantiles = &self.completion_quantiles;
        (!quantiles.is_empty()).then(|| quantiles.iter().sum::<f64>() / quantiles.len() as f64)
    }
}

#[derive(Debug, Default)]
struct Seen {
    completions: VecDeque<i64>,
    /// Prompt and cached tokens of the same answers.
    prompts: VecDeque<(i64, i64)>,
    answers: u64,
}

impl Seen {
    fn add(&mut self, row: &Row) {
        if self.completions.len() == REMEMBERED {
            self.completions.pop_front();
            self.prompts.pop_front();
        }
        self.completions.push_back(row.completion_tokens);
        self.prompts.push_back((row.prompt_tokens, row.cached_tokens));
        self.answers += 1;
    }

    fn habits(&self) -> Habits {
        let mut sorted: Vec<f64> = self.completions.iter().map(|&tokens| tokens as f64).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let quantiles = (0..=STEPS).map(|step| quantile::linear(&sorted, step as f64 / STEPS as f64));
        let shares = self.prompts.iter().filter(|(prompt, _)| *prompt > 0);
        let shares: Vec<f64> =
            shares.map(|&(prompt, cached)| (cached as f64 / prompt as f64).clamp(0.0, 1.0)).collect();
        Habits {
            completion_quantiles: if sorted.len() < FEWEST { Vec::new() } else { quantiles.collect() },
            cached_share: (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64),
            answers: self.answers,
        }
    }
}

/// The habits of all models: learned by the writer, read on the way of a call.
#[derive(Debug, Default)]
pub(super) struct Learned(RwLock<HashMap<String, Arc<Habits>>>);

impl Learned {
    pub(super) fn get(&self, model: &str) -> Option<Arc<Habits>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(model).cloned()
    }

    fn set(&self, model: String, habits: Habits) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(model, Arc::new(habits));
    }
}

/// The writer's side of a [`Learned`].
#[derive(Debug, Default)]
pub(super) struct Learner(HashMap<String, Seen>);

impl Learner {
    /// Learns from rows, oldest first, and enters what changed.
    pub(super) fn learn(&mut self, rows: &[Row], learned: &Learned) {
        let mut changed = HashSet::new();
        // An estimate says nothing about a model, a part of an answer little.
        let whole = |row: &&Row| matches!(row.outcome, Outcome::Ok | Outcome::Shadow) && row.error.is_none();
        for row in rows.iter().filter(whole).filter(|row| !row.estimated) {
            if !self.0.contains_key(&row.model) {
                if self.0.len() == MODELS {
                    continue;
                }
                self.0.insert(row.model.clone(), Seen::default());
            }
            if let Some(seen) = self.0.get_mut(&row.model) {
                seen.add(row);
                changed.insert(&row.model);
            }
        }
        for model in changed {
            if let Some(seen) = self.0.get(model) {
                learned.set(model.clone(), seen.habits());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::super::row::Keep;
    use super::super::row::tests::record;
    use super::*;
    use crate::pricing::Usage;

    fn rows(completions: impl IntoIterator<Item = u64>) -> Vec<Row> {
        let usage =
            |completion_tokens| Usage { prompt_tokens: 100, completion_tokens, cached_tokens: 25, ..Usage::default() };
        let record = |tokens| Record { usage: usage(tokens), ..record("m") };
        completions.into_iter().map(|tokens| Row::new(0, record(tokens), Keep::None)).collect()
    }

    #[test]
    fn quantiles_come_with_twenty_answers_and_follow_the_last_thousand() {
        let (book, mut learner) = (Learned::default(), Learner::default());
        learner.learn(&rows(1..20), &book);
        let few = book.get("m").unwrap();
        assert_eq!((few.completion_quantiles.len(), few.answers, few.cached_share), (0, 19, Some(0.25)));
        learner.learn(&rows([101]), &book);
        let enough = book.get("m").unwrap();
        assert_eq!((enough.completion_quantiles[0], enough.completion_quantiles[100]), (1.0, 101.0));
        learner.learn(&rows(vec![7; 1000]), &book);
        let later = book.get("m").unwrap();
        assert!(later.completion_quantiles.iter().all(|&tokens| tokens == 7.0));
        assert_eq!(later.answers, 1020);
        assert!(book.get("other").is_none());
    }

    #[test]
    fn estimates_and_broken_answers_teach_nothing() {
        let (book, mut learner) = (Learned::default(), Learner::default());
        let mut odd = rows(vec![1; 30]);
        for row in &mut odd {
            row.estimated = true;
        }
        learner.learn(&odd, &book);
        let mut cut = rows(vec![1; 30]);
        for row in &mut cut {
            row.outcome = Outcome::Cancelled;
        }
        learner.learn(&cut, &book);
        assert!(book.get("m").is_none());
    }
}
