//! The configuration of the server: one file of YAML, read with the line of everything, all mistakes told at once.
//!
//! ```text
//! data::yaml (tree) -> check (against `described`, which `schema` publishes) -> secret (env:, file:) -> meaning (names that
//! have to exist, policies) -> Config
//! ```
//!
//! `RouteLLM`'s own file, with the names of routers at its top, is one too; and so is one with `LiteLLM`'s `model_list`.

mod check;
mod described;
mod litellm;
mod meaning;
mod mistake;
mod policies;
mod schema;
mod secret;
mod shape;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde_json::{Map, Value as Json};

use crate::data::yaml;
use crate::data::yaml::node::{At, Data, Mark, Node, choices};
use crate::policy::Rule;
use described::TOP;
pub use mistake::Mistake;
use mistake::Mistakes;
pub use schema::schema;
use secret::Secrets;
pub use secret::Surroundings;
use shape::Shape;

/// Bytes of a configuration.
pub const MOST_BYTES: usize = 1 << 20;

/// Routers that come with the package: a file whose top has nothing but such names is `RouteLLM`'s.
const ROUTERS: [&str; 10] =
    ["random", "mf", "causal_llm", "bert", "sw_ranking", "local", "rules", "semantic", "llm_classifier", "fitted"];

/// A configuration without mistakes.
///
/// As JSON it has every key of the file that was given, and beside them:
/// `tiers` a list of names and models (also where the file has `strong_model` and `weak_model`, then `pair` is true);
/// `models` a list of names and models; a model is a name, or a mapping with how it is reached.
#[derive(Debug, Clone)]
pub struct Config {
    /// All of it, with what secrets stand for. Not to be shown.
    pub plain: Json,
    /// The same as it may be shown.
    pub shown: Json,
    /// The policies; models are named as the ledger does.
    pub rules: Vec<Rule>,
    /// What whoever wrote it should know.
    pub notes: Vec<String>,
    /// `RouteLLM`'s own: arguments of routers and nothing else.
    pub routers_only: bool,
    /// Where each part of the file begins, by the way to it, for what only those know who build of it.
    pub places: HashMap<String, Mark>,
}

/// Notes where the parts of `at` begin; one that has parts itself begins with its name.
fn places(at: &At<'_>, way: &str, found: &mut HashMap<String, Mark>) {
    for (index, item) in at.each().iter().enumerate() {
        let way = format!("{way}[{index}]");
        found.extend(item.node.mark.map(|mark| (way.clone(), mark)));
        places(item, &way, found);
    }
    for (name, member) in at.members("").into_iter().flatten() {
        let way = if way.is_empty() { name.to_owned() } else { format!("{way}.{name}") };
        let whole = matches!(member.node.data, Data::Map(_) | Data::List(_) | Data::Null);
        let named = member.key().and_then(|key| key.mark).filter(|_| whole);
        found.extend(named.or(member.node.mark).map(|mark| (way.clone(), mark)));
        places(&member, &way, found);
    }
}

/// Reads the text of a file called `name`.
///
/// # Errors
/// All mistakes, in the order of the file.
pub fn read(text: &str, name: &str, around: &Surroundings<'_>) -> Result<Config, Vec<Mistake>> {
    let alone = |what: String| Mistake { file: name.to_owned(), mark: None, path: String::new(), what };
    if text.len() > MOST_BYTES {
        return Err(vec![alone(format!("longer than {} KiB", MOST_BYTES >> 10))]);
    }
    let node = yaml::read(text, name).map_err(|error| vec![mistake::of_yaml(error.message(), name)])?;
    of_tree(&node, name, around)
}

fn of_tree(node: &Node, name: &str, around: &Surroundings<'_>) -> Result<Config, Vec<Mistake>> {
    let root = At::root(node, name);
    let mut mistakes = Mistakes::of(name);
    let routers_only = is_of_routers(&root);
    if routers_only {
        let config = of_routers(&root, around, &mut mistakes);
        return if mistakes.any() { Err(mistakes.sorted()) } else { Ok(config) };
    }
    let whole = Shape::Fields(&TOP);
    check::check(&root, &whole, &mut mistakes);
    let plain = secret::json(&root, &whole, &Secrets::Found(around), &mut mistakes);
    let shown = secret::json(&root, &whole, &Secrets::Hidden, &mut Mistakes::default());
    if mistakes.any() {
        return Err(mistakes.sorted());
    }
    let mut notes = Vec::new();
    let imported = litellm::import(&root, &Secrets::Found(around), &mut mistakes, &mut notes);
    let imported_shown = litellm::import(&root, &Secrets::Hidden, &mut Mistakes::default(), &mut Vec::new());
    let meaning = meaning::Meaning::of(&root, &imported, &mut mistakes);
    let mut rules = policies::rules(&root, &meaning, &mut mistakes);
    if mistakes.any() {
        return Err(mistakes.sorted());
    }
    rules.extend(imported.rules.iter().cloned());
    let plain = meaning.resolved(meaning::whole(plain, &imported));
    let shown = meaning::whole(shown, &imported_shown);
    let mut marks = HashMap::new();
    places(&root, "", &mut marks);
    Ok(Config { plain, shown, rules, notes, routers_only, places: marks })
}

/// Whether it is a mapping from names of routers to their arguments, or empty, which both mean `RouteLLM`'s own.
fn is_of_routers(root: &At<'_>) -> bool {
    let entries = match &root.node.data {
        Data::Null => return true,
        Data::Map(entries) => entries,
        _ => return false,
    };
    let known: Vec<&str> = TOP.fields.iter().map(|field| field.name).collect();
    entries.iter().all(|(key, value)| {
        let name = key.text.as_str();
        let near = choices(name, &known).starts_with("; did you mean");
        let arguments = matches!(value.data, Data::Map(_) | Data::Null);
        arguments && !known.contains(&name) && (ROUTERS.contains(&name) || !near)
    })
}

fn of_routers(root: &At<'_>, around: &Surroundings<'_>, mistakes: &mut Mistakes) -> Config {
    let shape = Shape::Names(&Shape::OrNothing(&Shape::Names(&Shape::Any, "", 0)), "", 0);
    let with = |found: Json| match found {
        Json::Object(routers) if !routers.is_empty() => {
            Json::Object(Map::from_iter([("routers".to_owned(), routers.into())]))
        }
        _ => Json::Object(Map::new()),
    };
    let plain = with(secret::json(root, &shape, &Secrets::Found(around), mistakes));
    let shown = with(secret::json(root, &shape, &Secrets::Hidden, &mut Mistakes::default()));
    let mut marks = HashMap::new();
    places(root, "routers", &mut marks);
    Config { plain, shown, rules: Vec::new(), notes: Vec::new(), routers_only: true, places: marks }
}
