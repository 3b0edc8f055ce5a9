//! What parts of a configuration say of each other: names that have to exist, and what excludes what.

use std::collections::HashMap;

use serde_json::{Map, Value as Json, json};

use super::litellm::Imported;
use super::mistake::{Mistakes, name};
use crate::data::yaml::node::{At, Data, choices};

/// The names that a configuration gives to models.
#[derive(Debug, Default)]
pub struct Meaning {
    /// A name by which a model is meant (its own, that of its entry, that of its tier), and its own.
    models: HashMap<String, String>,
    /// Aliases and what they stand for.
    aliases: HashMap<String, String>,
    /// What callers may ask for, and the name under which the server has it.
    asked: HashMap<String, String>,
}

impl Meaning {
    /// Of a file whose shape is right.
    pub fn of(root: &At<'_>, imported: &Imported, mistakes: &mut Mistakes) -> Self {
        let mut meaning = Self::default();
        for (name, model) in imported.models.iter().filter_map(|(name, model)| Some((name, model_of(model)?))) {
            meaning.models.insert(name.clone(), model.to_owned());
            meaning.models.insert(model.to_owned(), model.to_owned());
            meaning.asked.insert(name.clone(), name.clone());
        }
        meaning.named(root, imported, mistakes);
        meaning.ladder(root, mistakes);
        if let Some(calls) = root.member("calls") {
            meaning.calls(&calls, mistakes);
        }
        meaning.aliases(root, mistakes);
        meaning
    }

    /// The entries of `models`.
    fn named(&mut self, root: &At<'_>, imported: &Imported, mistakes: &mut Mistakes) {
        let Some(models) = root.member("models") else { return };
        let mut taken: HashMap<String, usize> = HashMap::new();
        for at in &models.each() {
            let Some(model) = model_at(at) else { continue };
            let given = at.member("name");
            let place = given.unwrap_or(*at);
            let called = given.and_then(|given| text_at(&given)).unwrap_or(&model).to_owned();
            if called.starts_with("router-") {
                mistakes.wrong(&place, "a model's name cannot begin with router-, which names routers");
            }
            let line = at.node.mark.map_or(0, |mark| mark.line);
            if let Some(line) = taken.insert(called.clone(), line) {
                mistakes
                    .wrong(&place, format!("the name '{}' is taken by another model, in line {line}", name(&called)));
            } else if imported.models.iter().any(|(other, _)| *other == called) {
                mistakes.wrong(&place, format!("the name '{}' is taken by one of model_list", name(&called)));
            }
            self.asked.insert(called.clone(), called.clone());
            self.models.insert(called, model.clone());
            self.models.insert(model.clone(), model);
        }
    }

    /// The rungs: `tiers`, or `strong_model` and `weak_model`.
    fn ladder(&mut self, root: &At<'_>, mistakes: &mut Mistakes) {
        let pair = [root.member("weak_model"), root.member("strong_model")];
        match (root.member("tiers"), &pair) {
            (Some(_), [one, other]) if one.is_some() || other.is_some() => {
                let at = one.as_ref().or(other.as_ref()).unwrap_or(root);
                mistakes.wrong(at, "expected `tiers`, or `strong_model` and `weak_model`, found both");
            }
            (None, [Some(one), None] | [None, Some(one)]) => {
                mistakes.wrong(one, "expected both `strong_model` and `weak_model`, found one");
            }
            (Some(tiers), _) => {
                let found: Vec<_> = tiers.members("").into_iter().flatten().collect();
                for (tier, at) in &found {
                    self.rung(tier, at);
                }
            }
            (None, [weak, strong]) => {
                for (tier, at) in [("weak", weak), ("strong", strong)] {
                    if let Some(at) = at {
                        self.rung(tier, at);
                    }
                }
            }
        }
    }

    fn rung(&mut self, tier: &str, at: &At<'_>) {
        let Some(model) = model_at(at) else { return };
        let model = self.models.get(&model).cloned().unwrap_or(model);
        self.asked.insert(model.clone(), model.clone());
        self.asked.entry(tier.to_owned()).or_insert_with(|| model.clone());
        self.models.insert(model.clone(), model.clone());
        self.models.entry(tier.to_owned()).or_insert(model);
    }

    fn calls(&mut self, calls: &At<'_>, mistakes: &mut Mistakes) {
        if let (Some(_), Some(at)) = (calls.member("retries"), calls.member("max_retries")) {
            mistakes.wrong(&at, "expected one of `max_retries` and `retries`, which mean the same, found both");
        }
        let Some(fallbacks) = calls.member("fallbacks") else { return };
        let add = |at: &At<'_>, models: &mut HashMap<String, String>| {
            if let Some(model) = model_at(at) {
                models.entry(model.clone()).or_insert(model);
            }
        };
        match &fallbacks.node.data {
            Data::Text(_) => add(&fallbacks, &mut self.models),
            Data::List(_) => fallbacks.each().iter().for_each(|at| add(at, &mut self.models)),
            _ => {
                for (model, list) in fallbacks.members("").into_iter().flatten() {
                    if model != "*" && !self.models.contains_key(model) {
                        mistakes.wrong(&list, self.not_there(model));
                    }
                    list.each().iter().for_each(|at| add(at, &mut self.models));
                }
            }
        }
    }

    fn aliases(&mut self, root: &At<'_>, mistakes: &mut Mistakes) {
        let Some(aliases) = root.member("aliases") else { return };
        let found: Vec<_> = aliases.members("").into_iter().flatten().collect();
        for (alias, at) in &found {
            let Some(target) = text_at(at) else { continue };
            if alias.starts_with("router-") {
                mistakes.wrong(at, "an alias cannot begin with router-, which names routers");
            }
            let meant = if target.starts_with("router-") { Some(target) } else { self.askable(target) };
            match meant {
                None if self.models.contains_key(target) => {
                    let what = format!("'{}' cannot be asked for: it is in neither `tiers` nor `models`", name(target));
                    mistakes.wrong(at, what);
                }
                None => mistakes.wrong(at, self.not_there(target)),
                Some(meant) => {
                    if self.asked.get(*alias).is_some_and(|hidden| hidden != meant) {
                        let what = format!("the alias '{}' would hide the model or tier of that name", name(alias));
                        mistakes.wrong(at, what);
                    }
                }
            }
            self.aliases.insert((*alias).to_owned(), target.to_owned());
        }
    }

    /// The model's own name, where `name` means one; its provider may be left out where that is clear.
    pub fn model(&self, name: &str) -> Option<&str> {
        let found = self.models.get(name).map(String::as_str);
        found.or_else(|| self.models.get(self.askable(name)?).map(String::as_str))
    }

    /// The name under which the server has what is asked for by `name`.
    fn askable(&self, name: &str) -> Option<&str> {
        if let Some(found) = self.asked.get(name) {
            return Some(found);
        }
        let short = |known: &&String| known.split_once('/').is_some_and(|(_, short)| short == name);
        let mut all = self.asked.values().filter(short);
        let found = all.next()?;
        // Two names may lead to the same model.
        all.all(|other| other == found).then_some(found)
    }

    /// A configuration whose aliases stand for names that the server has.
    pub fn resolved(&self, mut config: Json) -> Json {
        if let Some(Json::Object(aliases)) = config.get_mut("aliases") {
            for meant in aliases.values_mut() {
                if let Some(found) = meant.as_str().and_then(|meant| self.askable(meant)) {
                    *meant = found.into();
                }
            }
        }
        config
    }

    /// What an alias stands for.
    pub fn alias(&self, name: &str) -> Option<&str> {
        self.aliases.get(name).map(String::as_str)
    }

    /// That there is no such model.
    pub fn not_there(&self, found: &str) -> String {
        let mut known: Vec<&str> = self.models.keys().map(String::as_str).collect();
        known.sort_unstable();
        if known.is_empty() {
            return format!("there is no model '{}', nor any other", name(found));
        }
        format!("there is no model '{}'{}", name(found), choices(found, &known))
    }
}

fn text_at<'a>(at: &At<'a>) -> Option<&'a str> {
    match &at.node.data {
        Data::Text(text) => Some(text),
        _ => None,
    }
}

/// The model's own name.
fn model_at(at: &At<'_>) -> Option<String> {
    match text_at(at) {
        Some(name) => Some(name.to_owned()),
        None => at.member("model").and_then(|model| text_at(&model).map(str::to_owned)),
    }
}

/// The model's own name.
fn model_of(model: &Json) -> Option<&str> {
    model.as_str().or_else(|| model.get("model")?.as_str())
}

/// A configuration as those need it who build a server of it: lists of names and models, in which a name that `models`
/// gives stands for the whole of its entry; `max_retries` and `clamp` under one name each.
pub fn whole(config: Json, imported: &Imported) -> Json {
    let Json::Object(mut config) = config else { return config };
    let mut models = imported.models.clone();
    if let Some(Json::Array(given)) = config.remove("models") {
        models.extend(given.into_iter().filter_map(named));
    }
    let known: HashMap<String, Json> = models.iter().cloned().collect();
    let meant = |model: Json| match model.as_str().and_then(|name| known.get(name)) {
        Some(model) => model.clone(),
        None => model,
    };
    let pair = config.remove("weak_model").zip(config.remove("strong_model"));
    config.insert("pair".to_owned(), pair.is_some().into());
    let tiers: Vec<(String, Json)> = match (config.remove("tiers"), pair) {
        (Some(Json::Object(tiers)), _) => tiers.into_iter().map(|(name, model)| (name, meant(model))).collect(),
        (_, Some((weak, strong))) => vec![("weak".to_owned(), meant(weak)), ("strong".to_owned(), meant(strong))],
        _ => Vec::new(),
    };
    let mut calls = match config.remove("calls") {
        Some(Json::Object(calls)) => calls,
        _ => Map::new(),
    };
    if let Some(retries) = calls.remove("max_retries") {
        calls.insert("retries".to_owned(), retries);
    }
    let fallbacks = calls.remove("fallbacks").map(|given| fallbacks_of(given, &known));
    if let Some(fallbacks) = with_imported(fallbacks, imported) {
        calls.insert("fallbacks".to_owned(), fallbacks);
    }
    if let Some(share) = config.get("holdout").and_then(share_of) {
        config.insert("holdout".to_owned(), json!(share));
    }
    for litellm in ["model_list", "litellm_settings", "router_settings", "general_settings", "environment_variables"] {
        config.remove(litellm);
    }
    config.insert("calls".to_owned(), calls.into());
    config.insert("tiers".to_owned(), json!(tiers));
    config.insert("models".to_owned(), json!(models));
    Json::Object(config)
}

/// A share, as a number or in percent.
pub fn share_of(given: &Json) -> Option<f64> {
    given.as_f64().or_else(|| crate::policy::notation::percent(given.as_str()?))
}

fn named(model: Json) -> Option<(String, Json)> {
    let Json::Object(mut fields) = model else { return Some((model.as_str()?.to_owned(), model)) };
    let own = fields.get("model")?.as_str()?.to_owned();
    let name = fields.remove("name").and_then(|name| Some(name.as_str()?.to_owned()));
    let model = if fields.len() == 1 { Json::String(own.clone()) } else { Json::Object(fields) };
    Some((name.unwrap_or(own), model))
}

fn fallbacks_of(given: Json, known: &HashMap<String, Json>) -> Json {
    let meant = |model: Json| match model.as_str().and_then(|name| known.get(name)) {
        Some(model) => model.clone(),
        None => model,
    };
    match given {
        Json::Array(models) => Json::Array(models.into_iter().map(meant).collect()),
        Json::Object(lists) => {
            let list = |(name, list): (String, Json)| {
                // A policy looks for the model's own name.
                let own = known.get(&name).and_then(model_of).map_or(name.clone(), str::to_owned);
                (own, fallbacks_of(list, known))
            };
            Json::Object(lists.into_iter().map(list).collect())
        }
        one => Json::Array(vec![meant(one)]),
    }
}

/// Fallbacks with those that stand in for each other under one name in `LiteLLM`'s list.
fn with_imported(given: Option<Json>, imported: &Imported) -> Option<Json> {
    if imported.fallbacks.is_empty() {
        return given;
    }
    let mut lists = match given {
        Some(Json::Object(lists)) => lists,
        Some(list) => Map::from_iter([("*".to_owned(), list)]),
        None => Map::new(),
    };
    for (model, others) in &imported.fallbacks {
        lists.entry(model.clone()).or_insert_with(|| Json::Array(others.clone()));
    }
    Some(Json::Object(lists))
}
