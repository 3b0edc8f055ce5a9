//! `LiteLLM`'s `model_list`, as far as it has a counterpart here; the rest is told of.

use std::time::Duration;

use serde_json::{Map, Value as Json};

use super::mistake::{Mistakes, name};
use super::secret::{self, Secrets};
use super::shape::Shape;
use crate::data::yaml::node::{At, Data};
use crate::policy::rules::{Rate, Rule, Who};

/// What was found.
#[derive(Debug, Default)]
pub struct Imported {
    /// Names and models, each name once.
    pub models: Vec<(String, Json)>,
    /// A model's own name, and what else its name stands for.
    pub fallbacks: Vec<(String, Vec<Json>)>,
    /// Rates of models that stand alone under their name.
    pub rules: Vec<Rule>,
}

const TAKEN: [&str; 6] = ["model", "api_base", "api_key", "api_version", "organization", "base_model"];
const MINUTE: Duration = Duration::from_mins(1);

/// Reads the list, where there is one.
pub fn import(root: &At<'_>, secrets: &Secrets<'_>, mistakes: &mut Mistakes, notes: &mut Vec<String>) -> Imported {
    let mut found = Imported::default();
    for key in ["litellm_settings", "router_settings", "general_settings", "environment_variables"] {
        if let Some(at) = root.member(key) {
            let inside: Vec<&str> = at.members("").into_iter().flatten().map(|(name, _)| name).collect();
            notes.push(format!("{}: not taken over from LiteLLM: {}", at.whole_place(), inside.join(", ")));
        }
    }
    let Some(list) = root.member("model_list") else { return found };
    for at in &list.each() {
        one(at, secrets, mistakes, notes, &mut found);
    }
    for (model, others) in &found.fallbacks {
        if found.rules.iter().any(|rule| rule.who.model.as_ref() == Some(model)) {
            notes.push(format!(
                "{}: rpm and tpm hold for {model} alone, not for the {} others of its name",
                list.whole_place(),
                others.len()
            ));
        }
    }
    found
}

fn one(at: &At<'_>, secrets: &Secrets<'_>, mistakes: &mut Mistakes, notes: &mut Vec<String>, found: &mut Imported) {
    let (Some(called), Some(params)) =
        (at.member("model_name").and_then(|at| text_of(&at)), at.member("litellm_params"))
    else {
        return;
    };
    let mut fields = Map::new();
    let mut rule = Rule { line: at.node.mark.map_or(0, |mark| mark.line), ..Rule::default() };
    let mut left: Vec<String> = Vec::new();
    for (key, member) in params.members("").into_iter().flatten() {
        let per_minute = || {
            let count = member.number().filter(|count| *count >= 1.0 && count.fract() == 0.0)?;
            Some(Rate { count: count as u64, per: MINUTE })
        };
        match (key, &member.node.data) {
            (_, Data::Null) => {}
            ("rpm", _) if per_minute().is_some() => rule.requests = per_minute(),
            ("tpm", _) if per_minute().is_some() => rule.tokens = per_minute(),
            (key, Data::Text(text)) if TAKEN.contains(&key) => {
                let value = if key == "api_key" || text.starts_with("os.environ/") {
                    secret::json(&member, &Shape::Secret, secrets, mistakes)
                } else {
                    Json::String(text.clone())
                };
                fields.insert(key.to_owned(), value);
            }
            _ => left.push(name(key)),
        }
    }
    if let Some(base) = at.member("model_info").and_then(|info| text_of(&info.member("base_model")?)) {
        fields.insert("base_model".to_owned(), base.into());
    }
    let place = at.whole_place();
    if !left.is_empty() {
        notes.push(format!("{place}: not taken over from LiteLLM: {}", left.join(", ")));
    }
    let Some(model) = fields.get("model").and_then(Json::as_str).map(str::to_owned) else {
        return mistakes.wrong(&params, "expected `model`, the provider's name of it, found none");
    };
    if called.contains('*') || model.contains('*') {
        return notes.push(format!("{place}: not taken over: {} stands for many models", name(&called)));
    }
    let described = if fields.len() == 1 { Json::String(model.clone()) } else { Json::Object(fields) };
    match found.models.iter().find(|(name, _)| *name == called) {
        Some((_, first)) => {
            let first = first.as_str().or_else(|| first.get("model")?.as_str()).unwrap_or_default().to_owned();
            match found.fallbacks.iter_mut().find(|(model, _)| *model == first) {
                Some((_, others)) => others.push(described),
                None => found.fallbacks.push((first, vec![described])),
            }
        }
        None => found.models.push((called, described)),
    }
    if rule.requests.is_some() || rule.tokens.is_some() {
        rule.who = Who { model: Some(model), ..Who::default() };
        found.rules.push(rule);
    }
}

fn text_of(at: &At<'_>) -> Option<String> {
    match &at.node.data {
        Data::Text(text) if !text.trim().is_empty() => Some(text.clone()),
        _ => None,
    }
}
