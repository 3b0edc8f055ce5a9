//! The sums of a picture made here, of a book in memory: what `read` leaves to a database.

use std::collections::BTreeMap;

use super::super::record::Outcome;
use super::super::row::Row;
use super::super::score::Scored;
use super::{BINS, Bin, Figures, Judged, Picture, Slice, Span, Weighted};

/// Whose scores are added up together: in the order of the columns of [`read`](super::read).
type Group = (String, String, bool, Option<String>, Option<String>, Option<i64>);

/// Adds up calls and scores.
#[derive(Debug)]
pub struct Adding {
    span: Span,
    slices: BTreeMap<(i64, String, Option<String>, &'static str, bool), Figures>,
    bins: BTreeMap<(String, i64, String), Bin>,
    judged: BTreeMap<Group, Weighted>,
}

impl Adding {
    /// Nothing yet.
    pub fn new(span: Span) -> Self {
        Self { span, slices: BTreeMap::new(), bins: BTreeMap::new(), judged: BTreeMap::new() }
    }

    /// Adds a call of the span.
    pub fn call(&mut self, row: &Row) {
        let index = (row.ts - self.span.since) / self.span.width;
        let key = (index, row.model.clone(), row.router.clone(), row.outcome.name(), row.holdout);
        let figures = self.slices.entry(key).or_default();
        let (cost, routing) = (row.cost.map(dollars), row.router_cost.map(dollars));
        let whole = cost.zip(routing).map(|(cost, routing)| cost + routing);
        figures.n += 1;
        figures.priced += i64::from(cost.is_some());
        figures.cost += cost.unwrap_or(0.0);
        figures.squares += cost.map_or(0.0, |cost| cost * cost);
        figures.router_cost += routing.unwrap_or(0.0);
        figures.whole += i64::from(whole.is_some());
        figures.whole_cost += whole.unwrap_or(0.0);
        figures.whole_squares += whole.map_or(0.0, |whole| whole * whole);
        if let Some(saved) = row.saved() {
            figures.compared += 1;
            figures.baseline += row.baseline.map_or(0.0, dollars);
            figures.saved += saved as f64 / 1e12;
        }
        figures.prompt_tokens += row.prompt_tokens as f64;
        figures.completion_tokens += row.completion_tokens as f64;
        self.binned(row);
    }

    fn binned(&mut self, row: &Row) {
        let (Some(router), Some(win_rate)) = (&row.router, row.win_rate) else { return };
        if !matches!(row.outcome, Outcome::Ok | Outcome::Cancelled) {
            return;
        }
        let key = (router.clone(), hundredths(win_rate), row.model.clone());
        let bin = self.bins.entry(key.clone()).or_insert_with(|| Bin {
            router: key.0,
            index: key.1,
            model: key.2,
            n: 0,
            priced: 0,
            cost: 0.0,
            compared: 0,
            compared_cost: 0.0,
            baseline: 0.0,
        });
        bin.n += 1;
        if let Some(cost) = row.cost.map(dollars) {
            bin.priced += 1;
            bin.cost += cost;
            if let Some(baseline) = row.baseline.map(dollars) {
                bin.compared += 1;
                bin.compared_cost += cost;
                bin.baseline += baseline;
            }
        }
    }

    /// Adds a score; of the same call, source and model only the latest may come.
    pub fn score(&mut self, scored: &Scored) {
        let text = |text: &Option<std::sync::Arc<str>>| text.as_deref().map(str::to_owned);
        let own = scored.scored == scored.model;
        let index = scored.win_rate.map(hundredths);
        let key = (
            scored.source.to_string(),
            scored.scored.to_string(),
            own,
            text(&scored.task),
            text(&scored.router),
            index,
        );
        let weight = 1.0 / scored.probability.filter(|drawn| *drawn > 0.0).unwrap_or(1.0);
        self.judged.entry(key).or_default().merge(&Weighted {
            n: 1,
            weight,
            squares: weight * weight,
            score: weight * scored.score,
        });
    }

    /// What it comes to.
    pub fn picture(self) -> Picture {
        let slice = |((index, model, router, outcome, holdout), figures)| Slice {
            index,
            model,
            router,
            outcome: Outcome::named(outcome),
            holdout,
            figures,
        };
        let judged = |((source, model, own, task, router, index), scores)| Judged {
            source,
            model,
            own,
            task,
            router,
            index,
            scores,
        };
        Picture {
            slices: self.slices.into_iter().map(slice).collect(),
            bins: self.bins.into_values().collect(),
            judged: self.judged.into_iter().map(judged).collect(),
            cut: None,
            forgotten: 0,
        }
    }
}

fn dollars(picodollars: i64) -> f64 {
    picodollars as f64 / 1e12
}

/// The bin of a win rate. A threshold of 0.29 has to meet the bin of 0.29, which times 100 is a little less than 29.
fn hundredths(win_rate: f64) -> i64 {
    ((win_rate * 100.0 + 1e-6).floor() as i64).clamp(0, BINS as i64 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_meets_the_bin_of_its_number() {
        for number in 0..=100 {
            assert_eq!(hundredths(f64::from(number) / 100.0), i64::from(number));
        }
        assert_eq!((hundredths(0.2899), hundredths(0.999), hundredths(1.5), hundredths(-0.2)), (28, 99, 100, 0));
    }
}
