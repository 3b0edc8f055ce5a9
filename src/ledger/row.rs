//! A call as it is stored.

use std::sync::Arc;

use crate::text::featuriser::Featuriser;

use super::features;
use super::record::{Outcome, Record};
use super::signs::Signs;

/// What of the routed text is stored with a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Keep {
    /// Nothing.
    None,
    /// Its [`features`], which are not anonymous but not the text either.
    #[default]
    Features,
    /// Its features and the text itself.
    Text,
}

/// Longer names and messages are cut: they come from callers and providers.
const LONGEST_NAME: usize = 500;
/// Half an object is none: tags that take more are left out.
const LONGEST_TAGS: usize = 4000;

/// One line of the table `calls`; what is not explained here is as in [`Record`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the fields of `Record`, under the names of the columns")]
pub struct Row {
    /// The process's number in the upper 31 bits, its count in the lower 32.
    pub id: i64,
    /// Microseconds since 1970.
    pub ts: i64,
    pub key: Option<String>,
    pub session: Option<String>,
    pub router: Option<String>,
    pub requested: Option<String>,
    pub model: String,
    pub tier: Option<String>,
    pub win_rate: Option<f64>,
    pub threshold: Option<f64>,
    pub holdout: bool,
    pub prompt_tokens: i64,
    pub completion_tokens: i64,
    pub cached_tokens: i64,
    pub cache_write_tokens: i64,
    pub reasoning_tokens: i64,
    pub estimated: bool,
    /// Picodollars, as the next two.
    pub cost: Option<i64>,
    pub router_cost: Option<i64>,
    pub baseline: Option<i64>,
    /// Milliseconds.
    pub ttft_ms: Option<f64>,
    /// Milliseconds.
    pub total_ms: f64,
    pub outcome: Outcome,
    pub error: Option<String>,
    pub attempts: i64,
    /// As [`features::pack`] gives them.
    pub features: Option<Vec<u8>>,
    pub text: Option<String>,
    pub price_version: String,
    pub task: Option<String>,
    /// A JSON object.
    pub tags: Option<String>,
    /// As [`Signs::list`](super::Signs::list) gives them.
    pub signs: Option<String>,
    pub response: Option<String>,
}

impl Row {
    /// The stored form of a record; reads the text's features, which takes some microseconds, or 0.3 ms for a long one.
    pub fn new(id: i64, record: Record, keep: Keep) -> Self {
        let (mut row, text) = Self::without_features(id, record, keep);
        row.features = text.and_then(|text| features_of(&text));
        row
    }

    /// The same without features, with the text they are to be read from.
    pub(super) fn without_features(id: i64, record: Record, keep: Keep) -> (Self, Option<Arc<str>>) {
        let text = record.text.filter(|_| keep != Keep::None);
        let usage = record.usage;
        let kept = text.as_deref().filter(|_| keep == Keep::Text).map(|text| without_nul(text.to_owned()));
        let row = Self {
            id,
            ts: record.ts_us,
            key: record.key.map(name),
            session: record.session.map(name),
            router: record.router.map(name),
            requested: record.requested.map(name),
            model: name(record.model),
            tier: record.tier.map(name),
            win_rate: record.win_rate.filter(|rate| rate.is_finite()),
            threshold: record.threshold.filter(|threshold| threshold.is_finite()),
            holdout: record.holdout,
            prompt_tokens: tokens(usage.prompt_tokens),
            completion_tokens: tokens(usage.completion_tokens),
            cached_tokens: tokens(usage.cached_tokens),
            cache_write_tokens: tokens(usage.cache_write_tokens),
            reasoning_tokens: tokens(usage.reasoning_tokens),
            estimated: record.estimated,
            cost: record.cost,
            router_cost: record.router_cost,
            baseline: record.baseline,
            ttft_ms: record.ttft_us.map(milliseconds),
            total_ms: milliseconds(record.total_us),
            outcome: record.outcome,
            error: record.error.map(name),
            attempts: i64::from(record.attempts),
            features: None,
            text: kept,
            price_version: name(record.price_version),
            task: record.task.map(name),
            tags: record.tags.filter(|tags| tags.len() <= LONGEST_TAGS).map(without_nul),
            signs: record.signs.map(Signs::list),
            response: record.response.filter(|id| !id.is_empty()).map(name),
        };
        (row, text)
    }

    /// What was saved by the estimate: negative is a loss, `None` without all three amounts. A model asked for by name
    /// has no cost of routing.
    pub fn saved(&self) -> Option<i128> {
        let routing = if self.router.is_none() { self.router_cost.or(Some(0)) } else { self.router_cost };
        Some(i128::from(self.baseline?) - i128::from(self.cost?) - i128::from(routing?))
    }
}

/// The features of a text as they are stored.
pub(super) fn features_of(text: &str) -> Option<Vec<u8>> {
    Some(features::pack(&Featuriser::shared().ok()?.features(text)))
}

fn tokens(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn milliseconds(microseconds: i64) -> f64 {
    microseconds as f64 / 1000.0
}

/// A text `PostgreSQL` takes, too: it has no NUL.
fn without_nul(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text }
}

/// A name as it is stored.
pub(super) fn name(text: String) -> String {
    let mut text = without_nul(text);
    if text.len() > LONGEST_NAME {
        text.truncate(text.floor_char_boundary(LONGEST_NAME));
    }
    text
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::record::Asked;
    use super::*;
    use crate::pricing::Usage;

    /// A call of ten prompt and five completion tokens at one dollar.
    pub(in crate::ledger) fn record(model: &str) -> Record {
        Record {
            ts_us: 1_700_000_000_000_000,
            key: None,
            session: None,
            router: Some("mf".into()),
            requested: Some("router-mf-0.5".into()),
            model: model.into(),
            tier: None,
            win_rate: Some(0.25),
            threshold: Some(0.5),
            holdout: false,
            usage: Usage { prompt_tokens: 10, completion_tokens: 5, ..Usage::default() },
            estimated: false,
            cost: Some(1_000_000_000_000),
            router_cost: Some(0),
            baseline: Some(3_000_000_000_000),
            ttft_us: Some(1500),
            total_us: 2500,
            outcome: Outcome::Ok,
            error: None,
            attempts: 1,
            text: Some("hello".into()),
            price_version: "test".into(),
            task: None,
            tags: None,
            signs: None,
            asked: Asked::default(),
            response: None,
        }
    }

    #[test]
    fn the_text_stays_only_where_it_is_asked_for() {
        for (keep, features, text) in
            [(Keep::None, false, None), (Keep::Features, true, None), (Keep::Text, true, Some("hello"))]
        {
            let row = Row::new(1, record("m"), keep);
            assert_eq!(row.features.is_some(), features, "{keep:?}");
            assert_eq!(row.text.as_deref(), text, "{keep:?}");
        }
    }

    #[test]
    fn what_a_store_would_refuse_is_mended() {
        let mut odd = record(&"é\0".repeat(400));
        odd.usage.prompt_tokens = u64::MAX;
        odd.win_rate = Some(f64::NAN);
        odd.text = Some("a\0b".into());
        let row = Row::new(1, odd, Keep::Text);
        assert!(row.model.len() <= LONGEST_NAME && !row.model.contains('\0'));
        assert_eq!((row.prompt_tokens, row.win_rate, row.text.as_deref()), (i64::MAX, None, Some("a\u{fffd}b")));
    }

    #[test]
    fn a_saving_needs_all_three_amounts() {
        let saved = |change: fn(&mut Record)| {
            let mut record = record("m");
            record.router_cost = Some(500_000_000_000);
            change(&mut record);
            Row::new(1, record, Keep::None).saved()
        };
        assert_eq!(saved(|_| ()), Some(1_500_000_000_000));
        assert_eq!(saved(|record| record.cost = Some(5_000_000_000_000)), Some(-2_500_000_000_000));
        assert_eq!(saved(|record| record.cost = None), None);
        assert_eq!(saved(|record| record.baseline = None), None);
        assert_eq!(saved(|record| record.router_cost = None), None);
        let by_name = |record: &mut Record| (record.router, record.router_cost) = (None, None);
        assert_eq!(saved(by_name), Some(2_000_000_000_000));
    }
}
