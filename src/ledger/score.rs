//! Scores of answers: how they are entered, how they are found again with the call they belong to.
//!
//! A score says how good the answer to a call was, in 0..1: of the answer that was handed on, or of one that another
//! model gave to the same request (`Outcome::Shadow`). A call may have several, from several sources and of several
//! models; of the same source and model the latest holds. So nothing is ever changed in a store, only added, and what is
//! written twice counts once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::row::{Row, name};

/// The source of what is no score: that the call was drawn for a shadow, and with which probability. Whoever scores its
/// answers later, in any process, finds it there.
pub const DRAWN: &str = "ferroute:drawn";

/// How good an answer was: a line of the table `outcomes`.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Id of the call.
    pub call: i64,
    /// When it was given, microseconds since 1970.
    pub ts: i64,
    /// Who says so: `gold`, `user`, `feedback`, `judge:gpt-5.5`.
    pub source: String,
    /// From 0, useless, to 1.
    pub score: f64,
    /// With which probability this call was taken to be scored; `None` where it was not drawn by lot.
    pub probability: Option<f64>,
    /// Whose answer it was, under the caller's name for the model; `None` is the one that was handed on.
    pub model: Option<String>,
}

impl Score {
    /// As a store takes it.
    pub(super) fn mended(self) -> Self {
        Self { source: name(self.source), model: self.model.map(name), ..self }
    }
}

/// Which call is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The last one whose answer has this id of its provider's, of those that began by some time (microseconds since
    /// 1970).
    Response(String, Option<i64>),
    /// The one with this id of ours.
    Call(i64),
}

/// A score with its call. Names that many calls share are held once.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// Id of the call.
    pub call: i64,
    /// When the call began, microseconds since 1970.
    pub ts: i64,
    /// The caller's session.
    pub session: Option<Box<str>>,
    /// Router asked.
    pub router: Option<Arc<str>>,
    /// Model string of the request.
    pub requested: Option<Arc<str>>,
    /// Model whose answer was handed on.
    pub model: Arc<str>,
    /// Its rung.
    pub tier: Option<Arc<str>>,
    /// Win rate of the strong model as the router saw it.
    pub win_rate: Option<f64>,
    /// Threshold it was held against.
    pub threshold: Option<f64>,
    /// Sent to the strong model by lot.
    pub holdout: bool,
    /// Picodollars.
    pub cost: Option<i64>,
    /// As [`features::pack`](super::features::pack) gives them.
    pub features: Option<Box<[u8]>>,
    /// The text routed on, where it was kept.
    pub text: Option<Box<str>>,
    /// Kind of task.
    pub task: Option<Arc<str>>,
    /// A JSON object.
    pub tags: Option<Arc<str>>,
    /// When the score was given, microseconds since 1970.
    pub scored_ts: i64,
    /// Who says so.
    pub source: Arc<str>,
    /// From 0 to 1.
    pub score: f64,
    /// With which probability the call was taken to be scored.
    pub probability: Option<f64>,
    /// Whose answer the score is of.
    pub scored: Arc<str>,
}

impl Scored {
    /// A score of a call.
    pub(super) fn of(row: &Row, score: &Score, names: &mut Names) -> Self {
        let model = names.shared(&row.model);
        let scored = score.model.as_deref().map_or_else(|| Arc::clone(&model), |name| names.shared(name));
        Self {
            call: row.id,
            ts: row.ts,
            session: row.session.as_deref().map(Into::into),
            router: names.maybe(row.router.as_deref()),
            requested: names.maybe(row.requested.as_deref()),
            model,
            tier: names.maybe(row.tier.as_deref()),
            win_rate: row.win_rate,
            threshold: row.threshold,
            holdout: row.holdout,
            cost: row.cost,
            features: row.features.as_deref().map(Into::into),
            text: row.text.as_deref().map(Into::into),
            task: names.maybe(row.task.as_deref()),
            tags: names.maybe(row.tags.as_deref()),
            scored_ts: score.ts,
            source: names.shared(&score.source),
            score: score.score,
            probability: score.probability,
            scored,
        }
    }
}

/// Each name once, however many calls have it.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<Arc<str>>);

impl Names {
    pub(super) fn shared(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = name.into();
        self.0.insert(Arc::clone(&new));
        new
    }

    pub(super) fn maybe(&mut self, name: Option<&str>) -> Option<Arc<str>> {
        name.map(|name| self.shared(name))
    }
}

/// By the time of their calls; of a call by source and model, and of the same ones only the latest. Without what is none.
pub(super) fn latest(mut scores: Vec<Scored>) -> Vec<Scored> {
    scores.retain(|scored| &*scored.source != DRAWN);
    // A stable order: of two scores of the same moment, the one that came later is later.
    scores.sort_by(|a, b| {
        let what = |scored: &Scored| (scored.ts, scored.call);
        what(a)
            .cmp(&what(b))
            .then_with(|| a.source.cmp(&b.source))
            .then_with(|| a.scored.cmp(&b.scored))
            .then_with(|| a.scored_ts.cmp(&b.scored_ts))
    });
    let same = |a: &Scored, b: &Scored| a.call == b.call && a.source == b.source && a.scored == b.scored;
    scores.dedup_by(|later, earlier| {
        let again = same(later, earlier);
        if again {
            std::mem::swap(later, earlier);
        }
        again
    });
    scores
}

/// Which tags a call has to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags(pub Vec<(String, String)>);

impl Tags {
    /// Takes out the scores of calls without them.
    pub(super) fn sift(&self, scores: &mut Vec<Scored>) {
        if self.0.is_empty() {
            return;
        }
        // Many calls have the same tags.
        let mut known = HashMap::<Arc<str>, bool>::new();
        scores.retain(|scored| {
            let Some(tags) = &scored.tags else { return false };
            *known.entry(Arc::clone(tags)).or_insert_with(|| self.are_in(tags))
        });
    }

    fn are_in(&self, tags: &str) -> bool {
        let Ok(found) = serde_json::from_str::<Map<String, Value>>(tags) else { return false };
        self.0.iter().all(|(name, value)| found.get(name).and_then(Value::as_str) == Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::super::row::Keep;
    use super::super::row::tests::record;
    use super::*;

    fn score(source: &str, score: f64, ts: i64, model: Option<&str>) -> Score {
        let (source, model) = (source.to_owned(), model.map(str::to_owned));
        Score { call: 7, ts, source, score, probability: None, model }
    }

    #[test]
    fn the_latest_of_the_same_source_and_model_holds() {
        let row = Row::new(7, record("weak"), Keep::None);
        let given = [
            score("user", 0.0, 5, None),
            score("user", 1.0, 4, None),
            // The one that was handed on, by its name.
            score("user", 0.25, 5, Some("weak")),
            score("user", 0.5, 1, Some("strong")),
            score("gold", 0.75, 1, None),
            score(DRAWN, 0.0, 6, None),
        ];
        let mut names = Names::default();
        let found = latest(given.iter().map(|score| Scored::of(&row, score, &mut names)).collect());
        let shown: Vec<_> = found.iter().map(|each| (&*each.source, &*each.scored, each.score)).collect();
        assert_eq!(shown, [("gold", "weak", 0.75), ("user", "strong", 0.5), ("user", "weak", 0.25)]);
    }

    #[test]
    fn names_are_held_once() {
        let mut names = Names::default();
        assert!(Arc::ptr_eq(&names.shared("a"), &names.shared("a")));
        assert_eq!(names.maybe(None), None);
    }

    #[test]
    fn tags_have_to_be_there_with_their_values() {
        let wanted = Tags(vec![("ab".into(), "new:a".into()), ("team".into(), "é".into())]);
        let taken = |tags: Option<&str>| {
            let row = Row::new(7, Record { tags: tags.map(str::to_owned), ..record("weak") }, Keep::None);
            let mut scores = vec![Scored::of(&row, &score("user", 1.0, 1, None), &mut Names::default())];
            wanted.sift(&mut scores);
            !scores.is_empty()
        };
        assert!(taken(Some(r#"{"team":"é","ab":"new:a","more":"x"}"#)));
        assert!(!taken(Some(r#"{"team":"é","ab":"new:b"}"#)));
        assert!(!taken(Some(r#"{"ab":"new:a"}"#)));
        assert!(!taken(Some("[]")));
        assert!(!taken(None));
    }
}
