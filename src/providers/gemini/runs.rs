//! How a message was made of parts, where one text, one list of calls and one signature do not tell it.
//!
//! A signature has to come back on the part it came with: not on another, and not on two joined to one. So a message
//! with more signatures than one beside its calls', or with parts in an unusual order, carries its runs in
//! `extra_content.google.parts`: characters of the text or of the thoughts, and calls, each in the order they came.

use serde_json::{Map, Value, json};

use super::super::conversation::{Content, Part, cut};
use super::fields::text;

const SIGNATURE: &str = "thought_signature";

/// What a run is of; in the usual order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Thought,
    Text,
    Call,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Thought, Self::Text, Self::Call];

    fn name(self) -> &'static str {
        match self {
            Self::Thought => "thought",
            Self::Text => "text",
            Self::Call => "calls",
        }
    }
}

/// Neighbouring parts of one kind without a signature, or one with it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Run {
    pub kind: Kind,
    /// Characters; calls of calls.
    pub count: usize,
    /// Not of calls, which carry their own.
    pub signature: Option<String>,
}

/// The parts of a message.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Runs {
    runs: Vec<Run>,
    /// The signature of the first call.
    of_call: Option<String>,
}

impl Runs {
    pub(super) fn add(&mut self, kind: Kind, count: usize, signature: Option<String>) {
        match self.runs.last_mut().filter(|last| last.kind == kind && last.signature.is_none()) {
            _ if count == 0 && signature.is_none() => {}
            // A signature that comes behind, on an empty part.
            Some(last) if count == 0 => last.signature = signature,
            Some(last) if signature.is_none() => last.count += count,
            _ => self.runs.push(Run { kind, count, signature }),
        }
    }

    pub(super) fn call(&mut self, signature: Option<&str>) {
        if self.runs.iter().all(|run| run.kind != Kind::Call) {
            self.of_call = signature.map(str::to_owned);
        }
        self.add(Kind::Call, 1, None);
    }

    /// `extra_content` of the message; `legacy`: its call has no place for a signature.
    pub(super) fn extra(&self, legacy: bool) -> Option<Value> {
        let mut google = Map::new();
        let mut signed = self.runs.iter().filter_map(|run| run.signature.as_deref());
        let of_call = self.of_call.as_deref();
        let signature = of_call.filter(|_| legacy).or_else(|| signed.next_back());
        google.extend(signature.map(|signature| (SIGNATURE.to_owned(), signature.into())));
        if !self.is_usual() && !legacy && (signature.is_some() || of_call.is_some()) {
            google.insert("parts".into(), self.runs.iter().map(shown).collect());
        }
        (!google.is_empty()).then(|| json!({ "google": google }))
    }

    /// Whether all is known without: thoughts that are not signed, one text, calls.
    fn is_usual(&self) -> bool {
        let of = |kind: Kind| self.runs.iter().filter(move |run| run.kind == kind);
        self.runs.is_sorted_by_key(|run| run.kind)
            && of(Kind::Text).count() < 2
            && of(Kind::Thought).all(|run| run.signature.is_none())
    }
}

fn shown(run: &Run) -> Value {
    let mut shown = Map::new();
    shown.insert(run.kind.name().into(), run.count.into());
    shown.extend(run.signature.as_ref().map(|signature| (SIGNATURE.to_owned(), signature.as_str().into())));
    shown.into()
}

/// A run that came back; `None` for what is none.
fn read(told: &Value) -> Option<Run> {
    let count = |kind: Kind| Some((kind, usize::try_from(told.get(kind.name())?.as_u64()?).ok()?));
    let (kind, count) = Kind::ALL.into_iter().find_map(count)?;
    let signature = text(told, SIGNATURE).filter(|signature| !signature.is_empty());
    Some(Run { kind, count, signature: signature.map(str::to_owned) })
}

/// The runs that `told` tells of one message of the model's, with the text of each; `None` where it is no longer what
/// they were made of.
pub(super) fn of(told: &[Value], message: &[Part<'_>], thoughts: &str) -> Option<Vec<(Run, String)>> {
    let (mut said, mut calls) = (String::new(), 0);
    for part in message {
        match &part.content {
            Content::Text(text) => said.push_str(text),
            Content::Call(_) => calls += 1,
            Content::Reasoning(_) => {}
            _ => return None,
        }
    }
    let runs: Vec<Run> = told.iter().map(read).collect::<Option<_>>()?;
    let sum = |kind: Kind| {
        runs.iter().filter(|run| run.kind == kind).fold(0, |sum: usize, run| sum.saturating_add(run.count))
    };
    // Thoughts without a signature do not go back.
    let proven = runs.iter().any(|run| run.kind == Kind::Thought && run.signature.is_some());
    let fits = sum(Kind::Text) == said.chars().count()
        && sum(Kind::Call) == calls
        && (!proven || sum(Kind::Thought) == thoughts.chars().count());
    let (mut said, mut thoughts) = (said.as_str(), thoughts);
    let piece = |run: Run| {
        let of = match run.kind {
            Kind::Thought => cut(&mut thoughts, run.count),
            Kind::Text => cut(&mut said, run.count),
            Kind::Call => "",
        };
        let of = of.to_owned();
        (run, of)
    };
    fits.then(|| runs.into_iter().map(piece).collect())
}
