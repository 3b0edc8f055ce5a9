//! Answers that show a sign of failure, by rung and kind of task.

use std::collections::BTreeMap;

use crate::math::binomial;

use super::record::Outcome;
use super::row::Row;
use super::signs::Signs;

/// Of the intervals.
const CONFIDENCE: f64 = 0.95;

/// The calls of one rung and kind of task.
#[derive(Debug, Clone, PartialEq)]
pub struct OfRung {
    /// Name of the rung; `None` where there are two models only.
    pub tier: Option<String>,
    /// The model, under the caller's name for it, where there is no rung; of a rung, the one called most.
    pub model: String,
    /// Kind of task, where the caller has told it.
    pub task: Option<String>,
    /// How often it failed, and by what.
    pub counts: Counts,
}

/// Answers and their signs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Counts {
    /// Answers that were looked at.
    pub calls: u64,
    /// Of these, with a sign.
    pub failed: u64,
    /// Of these, where the next rung was asked.
    pub escalated: u64,
    /// Answers with each sign, in the order of [`Signs::NAMES`]; one answer may show several.
    pub signs: [u64; Signs::NAMES.len()],
    /// Calls that got no answer from the provider, beside the others.
    pub errors: u64,
}

impl Counts {
    fn add(&mut self, row: &Row) {
        self.errors += u64::from(row.outcome == Outcome::Failed);
        let (Some(list), Outcome::Ok | Outcome::Escalated) = (&row.signs, row.outcome) else { return };
        let signs = Signs::listed(list);
        let escalated = row.outcome == Outcome::Escalated;
        self.calls += 1;
        // What a callable of the caller's has seen has no name.
        self.failed += u64::from(!signs.is_none() || escalated);
        self.escalated += u64::from(escalated);
        for (count, (_, sign)) in self.signs.iter_mut().zip(Signs::NAMES) {
            *count += u64::from(signs.has(sign));
        }
    }

    fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.failed += other.failed;
        self.escalated += other.escalated;
        self.errors += other.errors;
        for (count, more) in self.signs.iter_mut().zip(other.signs) {
            *count += more;
        }
    }

    /// The interval of the rate of failures (Clopper and Pearson, 95 %).
    pub fn interval(&self) -> (f64, f64) {
        binomial::interval(self.failed, self.calls, CONFIDENCE)
    }
}

/// Counts by rung and task, as rows come in.
#[derive(Debug, Default)]
pub(super) struct Groups(BTreeMap<(Option<String>, Option<String>), BTreeMap<String, Counts>>);

impl Groups {
    pub(super) fn add(&mut self, row: &Row) {
        if matches!(row.outcome, Outcome::Ok | Outcome::Escalated | Outcome::Failed) {
            let models = self.0.entry((row.tier.clone(), row.task.clone())).or_default();
            models.entry(row.model.clone()).or_default().add(row);
        }
    }

    /// The groups with calls, those that failed most often first.
    pub(super) fn groups(self) -> Vec<OfRung> {
        let mut out = Vec::new();
        for ((tier, task), models) in self.0 {
            if tier.is_none() {
                let line = |(model, counts)| OfRung { tier: None, model, task: task.clone(), counts };
                out.extend(models.into_iter().map(line));
                continue;
            }
            let mut whole = Counts::default();
            for counts in models.values() {
                whole.merge(counts);
            }
            let busiest = models.into_iter().max_by_key(|(_, counts)| counts.calls + counts.errors);
            let model = busiest.map(|(model, _)| model).unwrap_or_default();
            out.push(OfRung { tier, model, task, counts: whole });
        }
        out.retain(|line| line.counts.calls + line.counts.errors > 0);
        out.sort_by(|a, b| b.counts.failed.cmp(&a.counts.failed).then_with(|| b.counts.calls.cmp(&a.counts.calls)));
        out
    }
}

/// What failed.
#[derive(Debug, Clone, Default)]
pub struct Failures {
    /// A line for each rung and kind of task, those with most failures first.
    pub groups: Vec<OfRung>,
    /// Calls that memory has forgotten, and which were not looked at.
    pub forgotten: u64,
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::super::row::Keep;
    use super::super::row::tests::record;
    use super::*;

    fn groups(records: Vec<Record>) -> Vec<OfRung> {
        let mut groups = Groups::default();
        for record in records {
            groups.add(&Row::new(0, record, Keep::None));
        }
        groups.groups()
    }

    #[test]
    fn rungs_hold_their_models_and_pairs_have_a_line_each() {
        let on =
            |tier: &str, model: &str, signs| Record { tier: Some(tier.into()), signs: Some(signs), ..record(model) };
        let both = Signs::EMPTY.and(Signs::TRUNCATED);
        let found = groups(vec![
            on("cheap", "a", both),
            Record { outcome: Outcome::Escalated, ..on("cheap", "b", Signs::REFUSAL) },
            on("cheap", "a", Signs::NONE),
            Record { task: Some("coding".into()), ..on("cheap", "a", Signs::NONE) },
            Record { signs: Some(Signs::NONE), ..record("a") },
            Record { signs: Some(Signs::EMPTY), ..record("b") },
            Record { outcome: Outcome::Failed, ..record("c") },
            // Nobody has looked at these.
            record("d"),
            Record { outcome: Outcome::Hedged, ..record("e") },
            Record { outcome: Outcome::Cancelled, ..record("e") },
        ]);
        let first = &found[0];
        assert_eq!((first.tier.as_deref(), first.model.as_str(), &first.task), (Some("cheap"), "a", &None));
        assert_eq!((first.counts.calls, first.counts.failed, first.counts.escalated), (3, 2, 1));
        assert_eq!(first.counts.signs, [1, 1, 1, 0, 0, 0, 0]);
        let lines: Vec<_> = found[1..]
            .iter()
            .map(|line| (line.model.as_str(), line.task.is_some(), line.counts.calls, line.counts.failed))
            .collect();
        assert_eq!(lines, [("b", false, 1, 1), ("a", false, 1, 0), ("a", true, 1, 0), ("c", false, 0, 0)]);
        assert_eq!(found[4].counts.errors, 1);
        let (low, high) = first.counts.interval();
        assert!(low > 0.09 && low < 0.1 && high > 0.99 && high < 1.0, "{low} {high}");
    }
}
