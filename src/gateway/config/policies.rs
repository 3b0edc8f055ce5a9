//! The entries of `policies` as rules, their models named as the ledger does.

use rust_decimal::Decimal;

use super::meaning::{Meaning, share_of};
use super::mistake::{Mistakes, name};
use crate::data::yaml::node::{At, Data};
use crate::policy::notation;
use crate::policy::rules::{AtLimit, Rule, ShareCap};

const LIMITS: [&str; 6] = ["budget", "share", "requests", "tokens", "concurrency", "models"];

/// The rules of a file whose shape is right.
pub fn rules(root: &At<'_>, meaning: &Meaning, mistakes: &mut Mistakes) -> Vec<Rule> {
    let Some(policies) = root.member("policies") else { return Vec::new() };
    policies.each().iter().map(|at| rule(at, meaning, mistakes)).collect()
}

fn rule(at: &At<'_>, meaning: &Meaning, mistakes: &mut Mistakes) -> Rule {
    let mut rule = Rule { line: at.node.mark.map_or(0, |mark| mark.line), ..Rule::default() };
    let members: Vec<(&str, At<'_>)> = at.members("").into_iter().flatten().collect();
    if !members.iter().any(|(key, _)| LIMITS.contains(key)) {
        mistakes.wrong(at, format!("sets no limit: expected one of {}", LIMITS.join(", ")));
    }
    for (key, at) in &members {
        let text = text_of(at);
        match *key {
            "key" => rule.who.key = text,
            "team" => rule.who.team = text,
            "model" => rule.who.model = model(at, meaning, mistakes),
            "budget" => {
                rule.budget = text.as_deref().and_then(notation::budget);
                if rule.budget.is_some_and(|budget| budget.limit == Decimal::ZERO) {
                    mistakes.wrong(at, "a budget of 0 lets nothing through: expected US dollars above 0");
                }
            }
            "requests" => rule.requests = text.as_deref().and_then(notation::rate),
            "tokens" => rule.tokens = text.as_deref().and_then(notation::rate),
            "concurrency" => rule.concurrency = at.number().map(|number| number as u32),
            "at_limit" if text.as_deref() == Some("downgrade") => rule.at_limit = AtLimit::Downgrade,
            "clamp" => rule.no_clamp = at.node.data == Data::Bool(false) || text.as_deref() == Some("off"),
            "share" => {
                let capped = at.member("model").and_then(|model_at| model(&model_at, meaning, mistakes));
                let most = at.member("most").and_then(|most| share_of(&most.node.to_json()));
                rule.share = capped.zip(most).map(|(model, most)| ShareCap { model, most });
            }
            "models" => {
                let allowed = at.each().iter().filter_map(|each| allowed(each, meaning, mistakes)).collect();
                rule.models = Some(allowed);
            }
            _ => {}
        }
    }
    rule
}

fn text_of(at: &At<'_>) -> Option<String> {
    match &at.node.data {
        Data::Text(text) => Some(text.clone()),
        _ => None,
    }
}

fn model(at: &At<'_>, meaning: &Meaning, mistakes: &mut Mistakes) -> Option<String> {
    let found = text_of(at)?;
    let own = meaning.model(&found).or_else(|| meaning.model(meaning.alias(&found)?));
    if own.is_none() {
        mistakes.wrong(at, meaning.not_there(&found));
    }
    own.map(str::to_owned)
}

/// What may be asked for: a router, for all its thresholds, or a model.
fn allowed(at: &At<'_>, meaning: &Meaning, mistakes: &mut Mistakes) -> Option<String> {
    let found = text_of(at)?;
    let meant = meaning.alias(&found).unwrap_or(&found);
    if let Some(router) = meant.strip_prefix("router-") {
        if router.is_empty() {
            mistakes.wrong(at, format!("expected a router, such as router-local, found '{}'", name(&found)));
        }
        return Some(meant.to_owned());
    }
    model(at, meaning, mistakes)
}
