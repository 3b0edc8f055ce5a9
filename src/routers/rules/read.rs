//! Rules from their tree: what each may say, and what contradicts itself.

use std::collections::HashMap;

use super::condition::{Condition, Lists};
use super::rungs::{self, Rung};
use super::{Ending, Endpoint, Rule, Set};
use crate::data::yaml;
use crate::data::yaml::node::{At, Data, Node, choices, cut};
use crate::error::{Error, Result};

/// More rules would not be read by anybody.
const MOST_RULES: usize = 1000;
/// Characters of a rule's name.
const NAME_LENGTH: usize = 100;
/// Where it goes if nobody says: the article's default.
const OTHERWISE: &str = "mid";

/// Rules that come with the package.
pub const PRESETS: [(&str, &str); 1] = [("article", include_str!("article.yaml"))];

const TOP: [&str; 4] = ["rules", "otherwise", "preset", "rungs"];
const RULE: [&str; 7] = ["name", "when", "use", "model", "ask", "floor", "ceiling"];
const ENDINGS: [&str; 3] = ["use", "model", "ask"];

/// What is read so far.
#[derive(Default)]
struct Reading {
    rules: Vec<Rule>,
    lists: Lists,
    names: HashMap<String, String>,
    endpoints: Vec<Endpoint>,
    otherwise: Option<Ending>,
    ladder: Option<Vec<String>>,
    /// The preset whose rules are being read.
    preset: Option<String>,
}

/// The rules of a tree called `name`, then those of the preset it names.
///
/// # Errors
/// `Kind::Value` with the place of what is wrong and what was expected there.
pub fn read(node: &Node, name: &str) -> Result<(Set, Option<Vec<String>>)> {
    let mut reading = Reading::default();
    let root = At::root(node, name);
    reading.top(&root)?;
    if let Some(ladder) = &reading.ladder {
        rungs::check(reading.rungs(), ladder)?;
    }
    reading.finish()
}

impl Reading {
    fn top(&mut self, root: &At) -> Result<()> {
        if let Data::List(_) = root.node.data {
            return self.rules(root);
        }
        let mut preset = None;
        let mut rules = false;
        for (key, at) in root.members("rules: a mapping with `rules`, or a list of them")? {
            match key {
                "rules" => {
                    rules = true;
                    self.rules(&at)?;
                }
                "otherwise" => {
                    let ending = self.otherwise(&at)?;
                    self.otherwise = Some(ending);
                }
                "preset" => preset = Some((at.text("the name of a preset")?, at.whole_place())),
                "rungs" => self.ladder = Some(ladder(&at)?),
                _ => return Err(at.unknown("key", &TOP)),
            }
        }
        match preset {
            Some((name, place)) => self.preset(name, &place),
            None if rules => Ok(()),
            None => Err(root.wrong("expected `rules` or `preset`, found neither")),
        }
    }

    fn preset(&mut self, name: &str, place: &str) -> Result<()> {
        let Some((_, text)) = PRESETS.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = PRESETS.iter().map(|(known, _)| *known).collect();
            let said = format!("unknown preset '{}'{}", cut(name), choices(name, &known));
            return Err(Error::value(format!("{place}: {said}")));
        };
        let node = yaml::read(text, name)?;
        let own = self.otherwise.take();
        let called = format!("preset {name}");
        self.preset = Some(name.to_owned());
        self.top(&At::root(&node, &called))?;
        if own.is_some() {
            self.otherwise = own;
        }
        Ok(())
    }

    fn rules(&mut self, at: &At) -> Result<()> {
        for (index, at) in at.items("rules")?.iter().enumerate() {
            if self.rules.len() >= MOST_RULES {
                return Err(at.wrong(&format!("more than {MOST_RULES} rules")));
            }
            if let Some(last) = self.rules.last().filter(|last| last.when.is_none() && last.ending.is_some()) {
                let what = "is never looked at";
                return Err(at.wrong(&format!("{what}: {} ({}) has no `when` and decides", last.shown(), last.place)));
            }
            let rule = self.rule(at, index + 1)?;
            self.rules.push(rule);
        }
        Ok(())
    }

    fn rule(&mut self, at: &At, number: usize) -> Result<Rule> {
        let members: Vec<(&str, At)> =
            at.members("a rule: a mapping with `when`, and `use`, `floor` or the like")?.collect();
        let mut rule = Rule {
            name: format!("rule {number}"),
            place: at.short_place(),
            when: None,
            ending: None,
            floor: None,
            ceiling: None,
        };
        let mut ended: Option<&str> = None;
        for (key, at) in &members {
            match *key {
                "name" => name_of(at)?.clone_into(&mut rule.name),
                "when" => rule.when = Some(Condition::read(at, &mut self.lists)?),
                "floor" => rule.floor = Some(rung(at)?),
                "ceiling" => rule.ceiling = Some(rung(at)?),
                "use" | "model" | "ask" => {
                    if let Some(other) = ended {
                        return Err(at.wrong(&format!("a rule has one of use, model and ask; there is `{other}`, too")));
                    }
                    ended = Some(key);
                    rule.ending = Some(self.ending(key, at)?);
                }
                _ => return Err(at.unknown("key", &RULE)),
            }
        }
        if let Some(place) = self.names.insert(rule.name.clone(), rule.place.clone()) {
            if let Some(preset) = &self.preset {
                // The preset's rules come last, but who wrote the other rule can change that one only.
                let name = cut(&rule.name);
                return Err(Error::value(format!("{place}: the name '{name}' is taken by a rule of preset {preset}")));
            }
            let named = members.iter().find(|(key, _)| *key == "name").map_or(at, |(_, at)| at);
            return Err(named.wrong(&format!("the name '{}' is taken by another rule ({place})", cut(&rule.name))));
        }
        match (&rule.ending, &rule.floor, &rule.ceiling) {
            (None, None, None) => {
                return Err(at.wrong("says nothing of where to go: expected use, model, ask, floor or ceiling"));
            }
            (Some(Ending::Use(_) | Ending::Model(_)), floor, ceiling) if floor.is_some() || ceiling.is_some() => {
                let bound = if floor.is_some() { "floor" } else { "ceiling" };
                let ended = ended.unwrap_or("use");
                return Err(at.wrong(&format!("`{ended}` decides, so a `{bound}` beside it means nothing")));
            }
            (_, Some(floor), Some(ceiling)) => rungs::in_order(floor, ceiling, None)?,
            _ => {}
        }
        Ok(rule)
    }

    fn ending(&mut self, key: &str, at: &At) -> Result<Ending> {
        match key {
            "use" => Ok(Ending::Use(rung(at)?)),
            "ask" => asked(at),
            _ => self.model(at),
        }
    }

    fn otherwise(&mut self, at: &At) -> Result<Ending> {
        let what = "a rung, a router such as router-local-60%,15%, or {model: ...}";
        match &at.node.data {
            Data::Text(text) if text.starts_with("router-") => asked(at),
            Data::Text(_) => Ok(Ending::Use(rung(at)?)),
            Data::Map(entries) => match entries.as_slice() {
                [(key, _)] if ENDINGS.contains(&key.text.as_str()) => {
                    let mut members = at.members(what)?;
                    let Some((key, member)) = members.next() else { return Err(at.expected(what)) };
                    self.ending(key, &member)
                }
                _ => self.model(at),
            },
            _ => Err(at.expected(what)),
        }
    }

    /// A model's name, or a mapping with `model` and how it is reached, which only who calls it can check.
    fn model(&mut self, at: &At) -> Result<Ending> {
        let what = "a model's name, or a mapping with `model`";
        let Data::Map(_) = at.node.data else { return Ok(Ending::Model(at.text(what)?.to_owned())) };
        let Some((_, name)) = at.members(what)?.find(|(key, _)| *key == "model") else { return Err(at.expected(what)) };
        let name = name.text("a model's name")?.to_owned();
        let settings = at.node.to_json();
        match self.endpoints.iter().find(|known| known.model == name) {
            Some(known) if known.settings != settings => {
                return Err(at.wrong(&format!("{} has other settings in another rule", cut(&name))));
            }
            Some(_) => {}
            None => self.endpoints.push(Endpoint { model: name.clone(), settings, place: at.whole_place() }),
        }
        Ok(Ending::Model(name))
    }

    fn rungs(&self) -> impl Iterator<Item = &Rung> {
        self.rules.iter().flat_map(Rule::rungs).chain(self.otherwise.as_ref().and_then(Ending::rung))
    }

    fn finish(self) -> Result<(Set, Option<Vec<String>>)> {
        let [last, user, all] = self.lists;
        let default = || Ending::Use(Rung { name: OTHERWISE.to_owned(), place: "`otherwise`, by default".to_owned() });
        let set = Set {
            rules: self.rules,
            otherwise: self.otherwise.unwrap_or_else(default),
            words: [last.build()?, user.build()?, all.build()?],
            endpoints: self.endpoints,
        };
        Ok((set, self.ladder))
    }
}

fn name_of<'a>(at: &At<'a>) -> Result<&'a str> {
    let name = at.text("a name")?;
    if name.chars().count() > NAME_LENGTH {
        return Err(at.wrong(&format!("a name has at most {NAME_LENGTH} characters")));
    }
    Ok(name)
}

fn rung(at: &At) -> Result<Rung> {
    let name = at.text("the name of a rung, such as cheap, mid or expensive")?;
    Ok(Rung { name: name.to_owned(), place: at.whole_place() })
}

fn asked(at: &At) -> Result<Ending> {
    let what = "a router, such as router-local-0.3,0.7";
    let text = at.text(what)?;
    if text.strip_prefix("router-").is_none_or(str::is_empty) {
        return Err(at.expected(what));
    }
    Ok(Ending::Ask(Rung { name: text.to_owned(), place: at.whole_place() }))
}

fn ladder(at: &At) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    for item in at.items("names of rungs, the weakest first")? {
        let name = item.text("the name of a rung")?;
        if names.iter().any(|known| known == name) {
            return Err(item.wrong(&format!("the rung '{}' is there twice", cut(name))));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}
