//! Conditions: what `when` may say, read, asked, and said again in words.

use std::fmt::{self, Write as _};

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};

use super::facts::{Facts, Scope};
use super::range::Range;
use super::words::Builder;
use crate::data::yaml::node::{At, Data, choices, cut};
use crate::error::Result;
use crate::routers::task;
use crate::text::language;

/// `any`, `all` and `not` within each other.
const DEPTH: usize = 16;
/// Bytes of a compiled pattern.
const PATTERN_BYTES: usize = 1 << 20;
/// How often the counted repeats of a pattern may say that something comes, those within each other multiplied: bounds
/// the time for each character of a text, which `(?:a{1,100}){1,50}b` makes a thousand times as long.
const REPEATS: u64 = 500;
/// What is known to `when`.
const KNOWN: [&str; 16] = [
    "task",
    "words",
    "pattern",
    "in",
    "language",
    "prompt_tokens",
    "turns",
    "tools",
    "images",
    "audio",
    "json_schema",
    "metadata",
    "tags",
    "any",
    "all",
    "not",
];

/// All of its tests have to hold.
#[derive(Debug)]
pub struct Condition(Vec<Test>);

#[derive(Debug)]
enum Test {
    Flag(Flag, bool),
    Turns(Range),
    Tokens(Range),
    Labels(Vec<Label>),
    Words {
        scope: Scope,
        list: usize,
        shown: Vec<String>,
    },
    Pattern {
        scope: Scope,
        patterns: Vec<Regex>,
    },
    Language(Vec<&'static str>),
    /// `None` stands for "nobody knows".
    Task(Vec<Option<&'static str>>),
    Any(Vec<Condition>),
    All(Vec<Condition>),
    Not(Box<Condition>),
}

#[derive(Debug, Clone, Copy)]
enum Flag {
    Tools,
    Images,
    JsonSchema,
    Audio,
}

/// A tag or an entry of the metadata, and what its value may be.
#[derive(Debug)]
struct Label {
    name: String,
    wanted: Wanted,
}

#[derive(Debug)]
enum Wanted {
    /// It is there, and not `false`.
    There,
    /// It is not there, or is `false`.
    Absent,
    OneOf(Vec<String>),
}

/// Words of all conditions, by scope.
pub type Lists = [Builder; 3];

impl Condition {
    /// Reads one; its words are added to `lists`.
    ///
    /// # Errors
    /// With the place of what is wrong, and what was expected there.
    pub fn read(at: &At, lists: &mut Lists) -> Result<Self> {
        Self::read_at(at, lists, 0)
    }

    fn read_at(at: &At, lists: &mut Lists, depth: usize) -> Result<Self> {
        if depth > DEPTH {
            return Err(at.wrong(&format!("conditions within each other, more than {DEPTH} deep")));
        }
        let members: Vec<(&str, At)> = at.members("conditions, such as {task: translation}")?.collect();
        if members.is_empty() {
            return Err(at.wrong("says nothing; leave `when` out for a rule that always holds"));
        }
        let member = |name: &str| members.iter().find(|(key, _)| *key == name).map(|(_, at)| at);
        let mut scope = Scope::default();
        if let Some(given) = member("in") {
            let what = "last, user or conversation";
            let name = given.text(what)?;
            scope = Scope::named(name).ok_or_else(|| given.expected(what))?;
            if member("words").is_none() && member("pattern").is_none() {
                return Err(given.wrong("`in` says where words or a pattern are looked for, and there are none"));
            }
        }
        let several = |at: &At, lists: &mut Lists| -> Result<Vec<Self>> {
            at.items("conditions")?.iter().map(|item| Self::read_at(item, lists, depth + 1)).collect()
        };
        let mut tests = Vec::with_capacity(members.len());
        for (name, at) in &members {
            tests.push(match *name {
                "in" => continue,
                "tools" => Test::Flag(Flag::Tools, at.flag()?),
                "images" => Test::Flag(Flag::Images, at.flag()?),
                "json_schema" => Test::Flag(Flag::JsonSchema, at.flag()?),
                "audio" => Test::Flag(Flag::Audio, at.flag()?),
                "turns" => Test::Turns(Range::read(at)?),
                "prompt_tokens" => Test::Tokens(Range::read(at)?),
                "metadata" | "tags" => Test::Labels(labels(at)?),
                "words" => words(at, scope, lists)?,
                "pattern" => Test::Pattern { scope, patterns: patterns(at)? },
                "language" => Test::Language(languages(at)?),
                "task" => Test::Task(tasks(at)?),
                "any" => Test::Any(several(at, lists)?),
                "all" => Test::All(several(at, lists)?),
                "not" => Test::Not(Box::new(Self::read_at(at, lists, depth + 1)?)),
                _ => return Err(at.unknown("condition", &KNOWN)),
            });
        }
        tests.sort_by_key(Test::cost);
        Ok(Self(tests))
    }

    /// Whether it holds; what is cheap to find out is asked first.
    pub fn holds(&self, facts: &Facts) -> Result<bool> {
        for test in &self.0 {
            if !test.holds(facts)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Why it holds.
    pub fn why(&self, facts: &Facts) -> Result<String> {
        let parts = self.0.iter().map(|test| test.why(facts)).collect::<Result<Vec<_>>>()?;
        Ok(parts.join(", "))
    }

    fn cost(&self) -> u8 {
        self.0.iter().map(Test::cost).max().unwrap_or(0)
    }
}

impl Test {
    fn cost(&self) -> u8 {
        match self {
            Self::Flag(..) | Self::Turns(_) => 0,
            Self::Labels(_) => 1,
            Self::Tokens(_) => 2,
            Self::Words { .. } => 3,
            Self::Pattern { .. } => 4,
            Self::Task(_) => 5,
            Self::Language(_) => 6,
            Self::Any(parts) | Self::All(parts) => parts.iter().map(Condition::cost).max().unwrap_or(0),
            Self::Not(part) => part.cost(),
        }
    }

    fn holds(&self, facts: &Facts) -> Result<bool> {
        Ok(match self {
            Self::Flag(flag, wanted) => flag.of(facts) == *wanted,
            Self::Turns(range) => range.holds(facts.view().user_turns() as u64),
            Self::Tokens(range) => range.holds(facts.prompt_tokens()),
            Self::Labels(labels) => labels.iter().all(|label| label.holds(facts)),
            Self::Words { scope, list, .. } => facts.word(*scope, *list).is_some(),
            Self::Pattern { scope, patterns } => patterns.iter().any(|pattern| pattern.is_match(facts.text(*scope))),
            Self::Language(codes) => facts.language().is_some_and(|found| codes.contains(&found)),
            Self::Task(names) => names.contains(&facts.task()?.name),
            Self::Any(parts) => {
                for part in parts {
                    if part.holds(facts)? {
                        return Ok(true);
                    }
                }
                false
            }
            Self::All(parts) => {
                for part in parts {
                    if !part.holds(facts)? {
                        return Ok(false);
                    }
                }
                true
            }
            Self::Not(part) => !part.holds(facts)?,
        })
    }

    /// Why it holds, in a few words.
    fn why(&self, facts: &Facts) -> Result<String> {
        Ok(match self {
            Self::Flag(flag, true) => flag.name().to_owned(),
            Self::Flag(flag, false) => format!("no {}", flag.name()),
            Self::Turns(_) => match facts.view().user_turns() {
                1 => "1 turn of the user".to_owned(),
                turns => format!("{turns} turns of the user"),
            },
            Self::Tokens(_) => format!("about {} prompt tokens", facts.prompt_tokens()),
            Self::Labels(labels) => labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            Self::Words { scope, list, .. } => {
                format!("word '{}'", facts.word(*scope, *list).unwrap_or_default())
            }
            Self::Pattern { scope, patterns } => {
                let text = facts.text(*scope);
                let found = patterns.iter().find(|pattern| pattern.is_match(text));
                format!("pattern '{}'", found.map_or("", Regex::as_str))
            }
            Self::Language(_) => format!("language is {}", facts.language().unwrap_or("unknown")),
            Self::Task(_) => {
                let task = facts.task()?;
                match task.name {
                    Some(name) if task.given => format!("task is {name}"),
                    Some(name) => format!("task looks like {name}"),
                    None => "no task is known".to_owned(),
                }
            }
            Self::Any(parts) => {
                for part in parts {
                    if part.holds(facts)? {
                        return part.why(facts);
                    }
                }
                String::new()
            }
            Self::All(parts) => parts.iter().map(|part| part.why(facts)).collect::<Result<Vec<_>>>()?.join(", "),
            Self::Not(part) => format!("not {part}"),
        })
    }
}

impl Flag {
    fn of(self, facts: &Facts) -> bool {
        let view = facts.view();
        match self {
            Self::Tools => view.asks.tools,
            Self::Images => view.images() > 0,
            Self::JsonSchema => view.asks.schema,
            Self::Audio => view.audio(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Images => "images",
            Self::JsonSchema => "json_schema",
            Self::Audio => "audio",
        }
    }
}

impl Label {
    fn holds(&self, facts: &Facts) -> bool {
        let view = facts.view();
        let mut values =
            view.tags.iter().chain(&view.metadata).filter(|(name, _)| *name == self.name).map(|(_, value)| value);
        match &self.wanted {
            // Python writes it with a capital.
            Wanted::There => values.any(|value| !value.eq_ignore_ascii_case("false")),
            Wanted::Absent => values.all(|value| value.eq_ignore_ascii_case("false")),
            Wanted::OneOf(wanted) => values.any(|value| wanted.contains(value)),
        }
    }
}

fn labels(at: &At) -> Result<Vec<Label>> {
    let what = "names and values, such as {team: legal}, or names";
    let Data::Map(entries) = &at.node.data else {
        // Several bare names would leave open whether one or all of them are wanted.
        let names = at.one_or_more();
        let [name] = names.as_slice() else {
            return Err(at.wrong("expected names and values, such as {urgent: true, beta: true}, or one name"));
        };
        return Ok(vec![Label { name: name.text(what)?.to_owned(), wanted: Wanted::There }]);
    };
    if entries.is_empty() {
        return Err(at.expected(what));
    }
    let label = |(name, at): (&str, At)| {
        let wanted = match &at.node.data {
            Data::Bool(true) => Wanted::There,
            Data::Bool(false) => Wanted::Absent,
            Data::List(items) if items.is_empty() => return Err(at.expected("a value, or a list of values")),
            _ => Wanted::OneOf(at.one_or_more().iter().map(value).collect::<Result<_>>()?),
        };
        Ok(Label { name: name.to_owned(), wanted })
    };
    at.members(what)?.map(label).collect()
}

fn value(at: &At) -> Result<String> {
    match &at.node.data {
        Data::Text(text) | Data::Number(text) => Ok(text.clone()),
        _ => Err(at.expected("a text or a number")),
    }
}

/// Texts, or numbers as they were written; at least one.
fn texts<'a>(at: &'a At<'a>, what: &str) -> Result<Vec<(&'a str, At<'a>)>> {
    let items = at.one_or_more();
    if items.is_empty() {
        return Err(at.expected(what));
    }
    let text = |at: At<'a>| match &at.node.data {
        Data::Text(text) | Data::Number(text) if !text.trim().is_empty() => Ok((text.as_str(), at)),
        Data::Bool(flag) => Err(at.wrong(&format!("expected {what}, found {flag}; put a text into quotes"))),
        _ => Err(at.expected(what)),
    };
    items.into_iter().map(text).collect()
}

fn words(at: &At, scope: Scope, lists: &mut Lists) -> Result<Test> {
    let phrases: Vec<&str> = texts(at, "a word or a list of words")?.into_iter().map(|(text, _)| text).collect();
    let shown = phrases.iter().map(|phrase| (*phrase).to_owned()).collect();
    Ok(Test::Words { scope, list: lists[scope as usize].add(phrases), shown })
}

fn patterns(at: &At) -> Result<Vec<Regex>> {
    let compiled = |(text, at): (&str, At)| {
        let wrong = |said: &str| at.wrong(&format!("the pattern '{}': {said}", cut(text)));
        let most = regex_syntax::parse(text).map_or(0, |hir| repeats(&hir));
        if most > REPEATS {
            return Err(wrong(&format!("its repeats come to {most}; at most {REPEATS} are allowed")));
        }
        RegexBuilder::new(text).size_limit(PATTERN_BYTES).build().map_err(|error| {
            let said = error.to_string();
            let last = said.lines().next_back().unwrap_or_default();
            wrong(last.strip_prefix("error: ").unwrap_or(last))
        })
    };
    texts(at, "a regular expression or a list of them")?.into_iter().map(compiled).collect()
}

/// The counts of repeats, added up, and multiplied where one is within another. Those without an end cost no more than
/// what has to come at least.
fn repeats(hir: &Hir) -> u64 {
    match hir.kind() {
        HirKind::Repetition(one) => match one.max.unwrap_or(one.min) {
            0 | 1 => repeats(&one.sub),
            count => repeats(&one.sub).max(1).saturating_mul(count.into()),
        },
        HirKind::Capture(one) => repeats(&one.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => parts.iter().map(repeats).fold(0, u64::saturating_add),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => 0,
    }
}

fn languages(at: &At) -> Result<Vec<&'static str>> {
    let codes = language::codes();
    let known = |(code, at): (&str, At)| {
        let lower = code.to_lowercase();
        let found = codes.iter().find(|known| **known == lower).copied();
        found.ok_or_else(|| at.expected(&format!("a language by its code in ISO 639-1, one of {}", codes.join(", "))))
    };
    texts(at, "the code of a language, such as de, or a list of them")?.into_iter().map(known).collect()
}

fn tasks(at: &At) -> Result<Vec<Option<&'static str>>> {
    let known = |(name, at): (&str, At)| {
        if name == "none" {
            return Ok(None);
        }
        let names: Vec<&str> = task::TASKS.iter().map(|(name, _)| *name).chain(["none"]).collect();
        task::canonical(name)
            .map(Some)
            .ok_or_else(|| at.wrong(&format!("unknown task '{}'{}", cut(name), choices(name, &names))))
    };
    texts(at, "a task or a list of tasks")?.into_iter().map(known).collect()
}

/// Names one after the other, cut after a few.
fn few<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    const MOST: usize = 5;
    let count = names.len();
    let mut shown = names.take(MOST).collect::<Vec<_>>().join(", ");
    if count > MOST {
        let _ = write!(shown, " and {} more", count - MOST);
    }
    shown
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        write!(f, "{{{}}}", parts.join("; "))
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = |scope: Scope| match scope {
            Scope::Last => String::new(),
            _ => format!(" in {}", scope.name()),
        };
        let joined = |parts: &[Condition]| parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Flag(flag, wanted) => write!(f, "{}: {wanted}", flag.name()),
            Self::Turns(range) => write!(f, "turns: {range}"),
            Self::Tokens(range) => write!(f, "prompt_tokens: {range}"),
            Self::Labels(labels) => {
                write!(f, "metadata: {}", labels.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
            Self::Words { scope, shown, .. } => {
                write!(f, "words{}: {}", within(*scope), few(shown.iter().map(String::as_str)))
            }
            Self::Pattern { scope, patterns } => {
                write!(f, "pattern{}: {}", within(*scope), few(patterns.iter().map(Regex::as_str)))
            }
            Self::Language(codes) => write!(f, "language: {}", few(codes.iter().copied())),
            Self::Task(names) => write!(f, "task: {}", few(names.iter().map(|name| name.unwrap_or("none")))),
            Self::Any(parts) => write!(f, "any of {}", joined(parts)),
            Self::All(parts) => write!(f, "all of {}", joined(parts)),
            Self::Not(part) => write!(f, "not {part}"),
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.wanted {
            Wanted::There => f.write_str(&self.name),
            Wanted::Absent => write!(f, "no {}", self.name),
            Wanted::OneOf(values) => write!(f, "{} is {}", self.name, values.join(" or ")),
        }
    }
}
