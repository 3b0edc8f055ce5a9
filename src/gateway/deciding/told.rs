//! A decision taken apart, as JSON: what `/v1/decision` answers beside the decision.

use serde_json::{Map, Value, json};

use super::{Asked, Decided, Deciding};
use crate::gateway::target::Target;
use crate::pricing::Table;
use crate::routing::explain::{self, Rung, Weighed, Word};
use crate::text::view::View;

/// Tokens of an answer nobody has seen, of a model nobody has asked.
const ASSUMED_ANSWER: f64 = 500.0;

impl Deciding {
    /// What a decision was made of: the rungs with their costs at today's prices, what bars whom, what would have come next,
    /// and what would have changed it. The decision itself is not in it.
    pub fn explained(&self, asked: &Asked, decided: &Decided) -> Map<String, Value> {
        let view = asked.view(self.parts.manner.view, self.parts.manner.join).ok();
        let explained = explain::explain(&self.taken_apart(decided, view.as_ref()), Table::shared());
        let mut told = match serde_json::to_value(&explained) {
            Ok(Value::Object(told)) => told,
            _ => Map::new(),
        };
        let names = self.parts.ladder.names();
        let at = |place: Option<usize>| place.and_then(|place| names.get(place));
        let label = decided.verdicts.iter().find_map(|verdict| verdict.label.as_ref());
        let fired: Vec<&String> = decided.verdicts.iter().flat_map(|verdict| &verdict.fired).collect();
        let own = [
            ("asked", if decided.path.is_empty() { json!(decided.router.as_slice()) } else { json!(decided.path) }),
            ("rank", decided.rank.into()),
            ("limits", json!([at(decided.limits.0), at(decided.limits.1)])),
            ("label", json!(label)),
            ("fired", json!(fired)),
            ("failed", json!(decided.failed)),
            ("stay", json!(decided.stay)),
        ];
        told.extend(own.into_iter().map(|(name, value)| (name.to_owned(), value)));
        told
    }

    fn taken_apart(&self, decided: &Decided, view: Option<&View>) -> explain::Asked {
        let ladder = &self.parts.ladder;
        let most = view.and_then(|view| view.asks.max_tokens).map(|most| most as f64);
        let answer = |target: &Target| {
            let habits = target.plan.ledger.as_ref().and_then(|ledger| ledger.habits(&target.name));
            let tokens = habits.and_then(|habits| habits.mean_completion()).unwrap_or(ASSUMED_ANSWER);
            Some(most.map_or(tokens, |most| tokens.min(most)))
        };
        let priced = |rung: &crate::engine::serving::Rung| rung.names().into_iter().map(str::to_owned).collect();
        let mut rungs: Vec<Rung> = (0..ladder.rungs())
            .map(|at| Rung {
                name: Some(ladder.names()[at].clone()),
                model: Some(ladder.models()[at].clone()),
                priced_as: self.parts.serving.rungs().get(at).map(priced).unwrap_or_default(),
                barred: decided.barred.get(at).cloned().flatten(),
                answer_tokens: self.parts.targets.get(at).and_then(|target| answer(target)),
            })
            .collect();
        let count = rungs.len();
        if decided.rung.is_none() {
            let beyond = self.parts.beyond.iter().find(|beyond| beyond.target.name == decided.target.name);
            let names = beyond.and_then(|beyond| beyond.serving.rungs().first()).map(priced);
            rungs.push(Rung {
                name: None,
                model: Some(decided.target.name.clone()),
                priced_as: names.unwrap_or_else(|| vec![decided.target.name.clone()]),
                barred: None,
                answer_tokens: answer(&decided.target),
            });
        }
        let (word, steps) = self.word(decided);
        let top = count - 1;
        let reach = if steps == 0 {
            Vec::new()
        } else if steps == top {
            (0..=top).collect()
        } else {
            vec![0, top]
        };
        // Limits hold on the ladder alone.
        let (floor, ceiling) = if decided.rung.is_some() { decided.limits } else { (None, None) };
        let lot = if decided.limits.1.is_some() { " allowed" } else { "" };
        let held = if decided.holdout {
            Some(format!("the lot of `holdout` sent it to the strongest model{lot}"))
        } else {
            decided.stay.clone()
        };
        explain::Asked {
            rungs,
            ladder: count,
            reach,
            word,
            wanted: decided.wanted,
            chosen: Some(decided.rung.unwrap_or(count)),
            answered: None,
            held,
            floor,
            ceiling,
            prompt_tokens: view.map(View::prompt_tokens),
            at: None,
        }
    }

    /// The last router's word, as it is measured, and how many steps it speaks of.
    fn word(&self, decided: &Decided) -> (Word, usize) {
        let (cuts, shares) = (&decided.thresholds, &decided.shares);
        match (decided.win_rate, decided.rank, decided.verdicts.last()) {
            _ if decided.rung.is_none() => (Word::Silent, 0),
            (_, Some(value), _) => (Word::Rank { value, shares: shares.clone() }, shares.len()),
            (Some(value), ..) if !cuts.is_empty() => (Word::WinRate { value, cuts: cuts.clone() }, cuts.len()),
            (None, None, Some(verdict)) if decided.failed.is_none() => {
                let rung = |name: &str| self.parts.ladder.find(name).ok();
                let weighed = verdict.scores.iter().map(|(name, score)| Weighed {
                    name: name.clone(),
                    score: *score,
                    threshold: None,
                    rung: rung(name),
                });
                (Word::Named { label: verdict.label.clone(), weighed: weighed.collect() }, 0)
            }
            _ => (Word::Silent, 0),
        }
    }
}
