//! The book in memory: all sums, and the last calls.

use std::collections::{HashMap, VecDeque};

use super::row::Row;
use super::score::{DRAWN, Names, Score, Scored};
use super::signs::Signs;
use super::spend::{Filter, Groups};

/// This many calls are remembered one by one.
pub const REMEMBERED: usize = 10_000;

/// Sums of all calls, and the last of them.
#[derive(Debug, Default)]
pub(super) struct Memory {
    all: Groups,
    last: VecDeque<Row>,
    /// Of the last calls, in the order they came.
    scores: HashMap<i64, Vec<Score>>,
    forgotten: u64,
}

impl Memory {
    pub(super) fn add(&mut self, rows: impl IntoIterator<Item = Row>) {
        for row in rows {
            self.all.add_sums(&row);
            if self.last.len() == REMEMBERED {
                if let Some(oldest) = self.last.pop_front() {
                    self.scores.remove(&oldest.id);
                }
                self.forgotten += 1;
            }
            self.last.push_back(row);
        }
    }

    /// Marks answers after which the user asked again.
    pub(super) fn mark(&mut self, ids: &[i64]) {
        for id in ids {
            if let Some(row) = self.last.iter_mut().rev().find(|row| row.id == *id) {
                let signs = row.signs.as_deref().map_or(Signs::NONE, Signs::listed);
                row.signs = Some(signs.and(Signs::ASKED_AGAIN).list());
            }
        }
    }

    /// Enters scores of the last calls.
    pub(super) fn score(&mut self, scores: &[Score]) {
        for score in scores {
            if self.has(score.call) {
                self.scores.entry(score.call).or_default().push(score.clone());
            }
        }
    }

    /// Whether a call is among the last ones.
    pub(super) fn has(&self, id: i64) -> bool {
        self.place(id).is_some()
    }

    /// Ids are given in order.
    fn place(&self, id: i64) -> Option<usize> {
        self.last.binary_search_by_key(&id, |row| row.id).ok()
    }

    /// The key a call was made with; `None` where the call is not among the last ones.
    #[expect(clippy::option_option, reason = "a call that is not there, and one without a key")]
    pub(super) fn key(&self, id: i64) -> Option<Option<String>> {
        self.last.get(self.place(id)?).map(|row| row.key.clone())
    }

    /// The scores of the calls that a filter takes, by their calls.
    pub(super) fn scored(&self, filter: &Filter) -> Vec<Scored> {
        let mut names = Names::default();
        let mut found = Vec::new();
        for row in self.last.iter().filter(|row| filter.takes(row)) {
            let scores = self.scores.get(&row.id).into_iter().flatten();
            found.extend(scores.map(|score| Scored::of(row, score, &mut names)));
        }
        found
    }

    /// With which probability a call was drawn for a shadow.
    pub(super) fn drawn(&self, id: i64) -> Option<f64> {
        let drawn = self.scores.get(&id)?.iter().rev().find(|score| score.source == DRAWN);
        drawn.and_then(|score| score.probability)
    }

    /// How many calls are no longer remembered one by one.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// How many calls of the time that is asked about may be forgotten: they are older than those remembered.
    pub(super) fn missing(&self, filter: &Filter) -> u64 {
        let reaches_back = self.last.front().is_none_or(|first| filter.since_us.is_none_or(|since| since < first.ts));
        if reaches_back { self.forgotten } else { 0 }
    }

    /// Sums of the calls a filter takes, and how many it could not look at: what happened when is known of the last
    /// calls only. Latencies are always those of the last calls.
    pub(super) fn groups(&self, filter: &Filter) -> (Groups, u64) {
        let rows = || self.last.iter().filter(|row| filter.takes(row));
        if let Some(mut groups) = self.all.filtered(filter) {
            rows().for_each(|row| groups.add_times(row));
            return (groups, 0);
        }
        let mut groups = Groups::default();
        rows().for_each(|row| groups.add(row));
        (groups, self.missing(filter))
    }

    /// The last calls a filter takes, by their time.
    pub(super) fn rows(&self, filter: &Filter) -> Vec<Row> {
        let mut rows: Vec<_> = self.last.iter().filter(|row| filter.takes(row)).cloned().collect();
        rows.sort_by_key(|row| (row.ts, row.id));
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::super::row::Keep;
    use super::super::row::tests::record;
    use super::*;

    #[test]
    fn sums_know_all_calls_and_times_the_last() {
        let mut memory = Memory::default();
        let extra = 5;
        memory.add(
            (0..REMEMBERED as i64 + extra)
                .map(|n| Row::new(n, Record { ts_us: n, total_us: n * 1000, ..record("m") }, Keep::None)),
        );
        let (groups, forgotten) = memory.groups(&Filter::default());
        let summary = groups.summary();
        assert_eq!((summary.all.calls, forgotten), (REMEMBERED as u64 + 5, 0));
        assert_eq!(summary.total_ms.unwrap().n, REMEMBERED as u64);
        let since = |ts| memory.groups(&Filter { since_us: Some(ts), ..Filter::default() });
        assert_eq!((since(3).0.summary().all.calls, since(3).1), (REMEMBERED as u64, 5));
        assert_eq!((since(10_000).0.summary().all.calls, since(10_000).1), (5, 0));
        assert_eq!(memory.rows(&Filter { until_us: Some(7), ..Filter::default() }).len(), 2);
    }
}
