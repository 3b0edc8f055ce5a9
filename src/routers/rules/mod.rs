//! Rules: ordered, read from YAML or from Python, checked when they are loaded.
//!
//! A rule with `use`, `model` or `ask` decides and no rule after it is looked at. One with `floor` or `ceiling` alone
//! bounds whatever is decided later. Where no rule decides, `otherwise` does.

mod condition;
mod facts;
mod range;
mod read;
mod rungs;
mod words;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::data::yaml;
use crate::data::yaml::node::{Data, Key, Node};
use crate::error::{Error, Kind, Result};
use crate::routers::verdict::Verdict;
use crate::text::view::View;
use condition::Condition;
use facts::Facts;
pub use read::PRESETS;
use rungs::Rung;
use words::Words;

/// Bytes of a file of rules.
const MOST_BYTES: usize = 1 << 20;

/// A list of rules. Cheap to clone and to share between threads.
#[derive(Debug, Clone)]
pub struct Rules {
    set: Arc<Set>,
    /// Names of the rungs from the weakest, where they are known.
    ladder: Option<Arc<[String]>>,
}

#[derive(Debug)]
struct Set {
    rules: Vec<Rule>,
    otherwise: Ending,
    words: [Words; 3],
    endpoints: Vec<Endpoint>,
}

/// A model that rules name with settings of its own, which only who calls it can check.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// The model's name.
    pub model: String,
    /// The whole mapping; it may hold a key.
    pub settings: Json,
    /// Where it stands.
    pub place: String,
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    name: String,
    place: String,
    when: Option<Condition>,
    ending: Option<Ending>,
    floor: Option<Rung>,
    ceiling: Option<Rung>,
}

/// What decides.
#[derive(Debug)]
enum Ending {
    Use(Rung),
    Model(String),
    /// A model string, with its place.
    Ask(Rung),
}

impl Rules {
    /// The text of a file of rules, of at most a megabyte.
    ///
    /// # Errors
    /// `Kind::Missing` and `Kind::Io`; `Kind::Value` where it is too long or not UTF-8.
    pub fn text_of(path: &Path) -> Result<String> {
        let shown = path.display();
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::new(Kind::Missing, format!("{shown}: no such file")),
            _ => Error::new(Kind::Io, format!("{shown}: cannot be opened: {error}")),
        })?;
        let mut bytes = Vec::new();
        file.take(MOST_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Error::new(Kind::Io, format!("{shown}: cannot be read: {error}")))?;
        String::from_utf8(bytes).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = before.split(|byte| *byte == b'\n').count();
            Error::value(format!("{shown}:{line}: is not UTF-8"))
        })
    }

    /// Reads YAML; `name` is the file's.
    ///
    /// # Errors
    /// `Kind::Value`, as `name:line:column: what is wrong, and what was expected`.
    pub fn of_yaml(text: &str, name: &str) -> Result<Self> {
        Self::of_node(&Self::tree(text, name)?, name)
    }

    /// As [`Rules::of_yaml`], with another `otherwise`, in JSON.
    ///
    /// # Errors
    /// As [`Rules::of_yaml`].
    pub fn of_yaml_otherwise(text: &str, name: &str, otherwise: &str) -> Result<Self> {
        let mut node = Self::tree(text, name)?;
        let otherwise = Node::of_json(&json(otherwise)?);
        let key = |text: &str| Key { mark: None, text: text.to_owned() };
        match &mut node.data {
            Data::Map(entries) => {
                entries.retain(|(key, _)| key.text != "otherwise");
                entries.push((key("otherwise"), otherwise));
            }
            Data::List(_) => {
                node = Node { mark: None, data: Data::Map(vec![(key("rules"), node), (key("otherwise"), otherwise)]) }
            }
            _ => {}
        }
        Self::of_node(&node, name)
    }

    fn tree(text: &str, name: &str) -> Result<Node> {
        if text.len() > MOST_BYTES {
            return Err(Error::value(format!("{name}: longer than {} KiB", MOST_BYTES >> 10)));
        }
        yaml::read(text, name)
    }

    /// Reads the same tree as JSON, as Python hands it over.
    ///
    /// # Errors
    /// `Kind::Value`, as `rules[2].when.words: what is wrong, and what was expected`.
    pub fn of_json(text: &str) -> Result<Self> {
        Self::of_node(&Node::of_json(&json(text)?), "")
    }

    fn of_node(node: &Node, name: &str) -> Result<Self> {
        let (set, ladder) = read::read(node, name)?;
        let rules = Self { set: Arc::new(set), ladder: None };
        ladder.map_or(Ok(rules.clone()), |ladder| rules.bind(&ladder))
    }

    /// The same rules on a ladder, whose rungs are named from the weakest.
    ///
    /// # Errors
    /// `Kind::Value` at the place of a name that means none of them, or of a floor above its own ceiling.
    pub fn bind(&self, ladder: &[String]) -> Result<Self> {
        rungs::check(self.rungs(), ladder)?;
        for rule in &self.set.rules {
            if let (Some(floor), Some(ceiling)) = (&rule.floor, &rule.ceiling) {
                rungs::in_order(floor, ceiling, Some(ladder))?;
            }
        }
        Ok(Self { set: Arc::clone(&self.set), ladder: Some(ladder.into()) })
    }

    /// Names of the rungs from the weakest, where they are known.
    pub fn ladder(&self) -> Option<&[String]> {
        self.ladder.as_deref()
    }

    fn rungs(&self) -> impl Iterator<Item = &Rung> {
        self.set.rules.iter().flat_map(Rule::rungs).chain(self.set.otherwise.rung())
    }

    /// Names of rungs that rules use, each once, in their order.
    pub fn named_rungs(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for rung in self.rungs() {
            if !names.contains(&rung.name.as_str()) {
                names.push(&rung.name);
            }
        }
        names
    }

    fn endings(&self) -> impl Iterator<Item = &Ending> {
        self.set.rules.iter().filter_map(|rule| rule.ending.as_ref()).chain([&self.set.otherwise])
    }

    /// Model strings of the routers that rules ask, each with its place.
    pub fn asked(&self) -> Vec<(&str, &str)> {
        let mut asked = Vec::new();
        for ending in self.endings() {
            if let Ending::Ask(ask) = ending {
                asked.push((ask.name.as_str(), ask.place.as_str()));
            }
        }
        asked
    }

    /// Models that rules name.
    pub fn models(&self) -> Vec<&str> {
        let mut models = Vec::new();
        for ending in self.endings() {
            if let Ending::Model(model) = ending {
                models.push(model.as_str());
            }
        }
        models
    }

    /// Models that rules name with settings of their own.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.set.endpoints
    }

    /// Name, place, condition and consequence of each rule, in words; the last one is `otherwise`.
    pub fn shown(&self) -> Vec<[String; 4]> {
        let mut rows: Vec<[String; 4]> = self.set.rules.iter().map(Rule::row).collect();
        rows.push(["otherwise".to_owned(), String::new(), String::new(), self.set.otherwise.to_string()]);
        rows
    }

    /// The word of the rules on a request.
    ///
    /// # Errors
    /// Only where the embedded data of the task guess is broken.
    pub fn choose(&self, view: &View) -> Result<Verdict> {
        self.decide(&Facts::new(view, &self.set.words), None)
    }

    /// What would have been decided without each of the rules that fired, where that is something else: one sentence a
    /// rule.
    ///
    /// # Errors
    /// As [`Rules::choose`].
    pub fn without_each(&self, view: &View) -> Result<Vec<String>> {
        let facts = Facts::new(view, &self.set.words);
        let verdict = self.decide(&facts, None)?;
        let mut said = Vec::new();
        for name in &verdict.fired {
            let other = self.decide(&facts, Some(name))?;
            let same = (&other.rung, &other.model, &other.ask, &other.floor, &other.ceiling)
                == (&verdict.rung, &verdict.model, &verdict.ask, &verdict.floor, &verdict.ceiling);
            if !same {
                let target = [&other.rung, &other.model, &other.ask].into_iter().flatten().next();
                let target = target.map_or("", String::as_str);
                said.push(format!("without rule '{name}': {target}, by {}", other.reason));
            }
        }
        Ok(said)
    }

    /// Goes through the rules, passing over the one called `without`.
    fn decide(&self, facts: &Facts, without: Option<&str>) -> Result<Verdict> {
        let mut verdict = Verdict::default();
        let mut bounds = Bounds { ladder: self.ladder.as_deref(), ..Bounds::default() };
        let mut decided = None;
        for rule in self.set.rules.iter().filter(|rule| Some(rule.name.as_str()) != without) {
            if let Some(when) = &rule.when
                && !when.holds(facts)?
            {
                continue;
            }
            verdict.fired.push(rule.name.clone());
            bounds.add(rule, &mut verdict.notes);
            if let Some(ending) = &rule.ending {
                decided = Some((rule, ending));
                break;
            }
        }
        let ending = decided.map_or(&self.set.otherwise, |(_, ending)| ending);
        match ending {
            Ending::Use(rung) => verdict.rung = Some(bounds.within(&rung.name).to_owned()),
            Ending::Model(model) => verdict.model = Some(model.clone()),
            Ending::Ask(asked) => verdict.ask = Some(asked.name.clone()),
        }
        let mut reason = match decided {
            Some((rule, Ending::Ask(asked))) => format!("{} asks {}", rule.because(facts)?, asked.name),
            Some((rule, _)) => rule.because(facts)?,
            None => "`otherwise`, since no rule decided".to_owned(),
        };
        // A model by its name may be on no rung, and then nothing bounds it: only who knows the ladder can tell.
        let bounded = !matches!(ending, Ending::Model(_));
        for (what, bound) in [("at least", bounds.floor), ("at most", bounds.ceiling)] {
            if let Some((rung, rule)) = bound.filter(|_| bounded) {
                let _ = write!(reason, "; {what} {} by {}", rung.name, rule.because(facts)?);
            }
        }
        verdict.floor = bounds.floor.map(|(rung, _)| rung.name.clone());
        verdict.ceiling = bounds.ceiling.map(|(rung, _)| rung.name.clone());
        verdict.reason = reason;
        verdict.label = facts.known_task().map(str::to_owned);
        if let Some(task) = facts.unknown_task() {
            let shown = yaml::node::cut(task);
            verdict
                .notes
                .push(format!("the task '{shown}' is not one that rules know, so it was guessed where asked for"));
        }
        Ok(verdict)
    }
}

fn json(text: &str) -> Result<Json> {
    serde_json::from_str(text).map_err(|error| Error::value(format!("rules: {error}")))
}

/// The tightest floor and ceiling so far, with the rules they are from.
#[derive(Default)]
struct Bounds<'a> {
    ladder: Option<&'a [String]>,
    floor: Option<(&'a Rung, &'a Rule)>,
    ceiling: Option<(&'a Rung, &'a Rule)>,
}

impl<'a> Bounds<'a> {
    /// The rung, or the bound it breaks, as far as their order is known.
    fn within<'b>(&self, rung: &'b str) -> &'b str
    where
        'a: 'b,
    {
        let height = |name: &str| rungs::height(name, self.ladder);
        let Some(own) = height(rung) else { return rung };
        let breaks = |bound: Option<(&'a Rung, &'a Rule)>, breaks: fn(usize, usize) -> bool| {
            bound
                .map(|(bound, _)| bound.name.as_str())
                .filter(|bound| height(bound).is_some_and(|bound| breaks(own, bound)))
        };
        breaks(self.floor, |own, floor| own < floor)
            .or(breaks(self.ceiling, |own, ceiling| own > ceiling))
            .unwrap_or(rung)
    }

    fn add(&mut self, rule: &'a Rule, notes: &mut Vec<String>) {
        let ladder = self.ladder;
        let above = |a: &Rung, b: &Rung| match (rungs::height(&a.name, ladder), rungs::height(&b.name, ladder)) {
            (Some(a), Some(b)) => a > b,
            // Names that only a ladder could compare: the first one said stands.
            _ => false,
        };
        if let Some(floor) = &rule.floor {
            match (self.floor, self.ceiling) {
                (_, Some((ceiling, by))) if above(floor, ceiling) => notes.push(format!(
                    "the floor '{}' of {} lies above the ceiling '{}' of {}, which came first and stands",
                    floor.name,
                    rule.shown(),
                    ceiling.name,
                    by.shown()
                )),
                (Some((known, _)), _) if !above(floor, known) => {}
                _ => self.floor = Some((floor, rule)),
            }
        }
        if let Some(ceiling) = &rule.ceiling {
            match (self.ceiling, self.floor) {
                (_, Some((floor, by))) if above(floor, ceiling) => notes.push(format!(
                    "the ceiling '{}' of {} lies below the floor '{}' of {}, which came first and stands",
                    ceiling.name,
                    rule.shown(),
                    floor.name,
                    by.shown()
                )),
                (Some((known, _)), _) if !above(known, ceiling) => {}
                _ => self.ceiling = Some((ceiling, rule)),
            }
        }
    }
}

impl Rule {
    fn rungs(&self) -> impl Iterator<Item = &Rung> {
        self.ending.iter().filter_map(Ending::rung).chain(&self.floor).chain(&self.ceiling)
    }

    /// Its name, as a sentence has it.
    fn shown(&self) -> String {
        format!("rule '{}'", self.name)
    }

    fn because(&self, facts: &Facts) -> Result<String> {
        let why = self.when.as_ref().map_or(Ok(String::new()), |when| when.why(facts))?;
        Ok(if why.is_empty() { self.shown() } else { format!("{} ({why})", self.shown()) })
    }

    fn row(&self) -> [String; 4] {
        let when = self.when.as_ref().map_or_else(
            || "always".to_owned(),
            |when| {
                let shown = when.to_string();
                shown.strip_prefix('{').and_then(|shown| shown.strip_suffix('}')).unwrap_or(&shown).to_owned()
            },
        );
        let floor = self.floor.as_ref().map(|rung| format!("at least {}", rung.name));
        let ceiling = self.ceiling.as_ref().map(|rung| format!("at most {}", rung.name));
        let parts: Vec<String> =
            [floor, ceiling, self.ending.as_ref().map(ToString::to_string)].into_iter().flatten().collect();
        [self.name.clone(), self.place.clone(), when, parts.join(", ")]
    }
}

impl Ending {
    fn rung(&self) -> Option<&Rung> {
        match self {
            Self::Use(rung) => Some(rung),
            Self::Model(_) | Self::Ask(_) => None,
        }
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Use(rung) => f.write_str(&rung.name),
            Self::Model(model) => write!(f, "the model {model}"),
            Self::Ask(asked) => write!(f, "{} is asked", asked.name),
        }
    }
}

#[cfg(test)]
mod tests;
