//! Thinking: asking for it, and keeping what proves it.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::FAMILY;
use super::models::{Off, Rules, Thinking};
use crate::providers::conversation::{Call, Effort};
use crate::providers::request::Dropped;
use crate::providers::signatures::{self, Proof};

/// The least budget there is.
const LEAST_BUDGET: u64 = 1024;

/// Why the model must not be asked to think this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Barred {
    /// It has to call a tool.
    Forced,
    /// It is in a loop of tool calls whose first thoughts are lost, or were another provider's.
    Lost,
}

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// `thinking`.
    pub thinking: Option<Value>,
    /// `output_config.effort`.
    pub effort: Option<&'static str>,
    /// Whether it will think: sampling, prefilled answers and forced tools do not go with that.
    pub on: bool,
}

/// What to ask of a model with `rules`; `native` is Anthropic's own `thinking` of the caller's, which goes before the
/// effort, `room` the longest answer.
pub(super) fn ask(
    rules: Rules,
    effort: Option<Effort>,
    native: Option<&Map<String, Value>>,
    barred: Option<Barred>,
    room: u64,
    dropped: &mut Vec<Dropped>,
) -> Asked {
    let kind = native.and_then(|native| native.get("type")?.as_str());
    let wanted = match (kind, effort) {
        (Some("disabled"), _) | (None, Some(Effort::None)) => Some(false),
        (Some(_), _) | (None, Some(_)) => Some(true),
        (None, None) => None,
    };
    let parameter = if kind.is_some() { "thinking" } else { "reasoning_effort" };
    let mut drop = |why: &str| dropped.push(Dropped { parameter: parameter.to_owned(), why: why.to_owned() });
    match (wanted, rules.thinking) {
        (Some(true), Thinking::Never) => {
            drop("this model does not think");
            Asked::default()
        }
        (Some(true), Thinking::Budget) => {
            if let Some(barred) = barred {
                drop(barred.why());
                return Asked::default();
            }
            let own = native.and_then(|native| native.get("budget_tokens")?.as_u64());
            let wanted = own.unwrap_or_else(|| tokens(effort));
            let Some(budget) = budget(wanted, room) else {
                drop("thinking takes at least 1024 tokens, and more than the longest answer allowed");
                return Asked::default();
            };
            // The most is as much as there is room for.
            if budget != wanted && (own.is_some() || effort != Some(Effort::Max)) {
                drop(&format!("{budget} tokens for thinking instead of {wanted}, since the longest answer has {room}"));
            }
            let thinking = json!({"type": "enabled", "budget_tokens": budget});
            Asked { thinking: Some(thinking), effort: None, on: true }
        }
        (Some(true), Thinking::Adaptive) => {
            let asked = adaptive(rules, effort, native, barred);
            if let Some(barred) = barred.filter(|_| !asked.on) {
                drop(barred.why());
            }
            if native.is_some_and(|native| native.contains_key("budget_tokens")) {
                drop("this model decides itself how many tokens it thinks");
            }
            if effort == Some(Effort::Xhigh) && asked.on && asked.effort == Some("high") {
                let why = "this model knows no effort xhigh; high is asked for".to_owned();
                dropped.push(Dropped { parameter: "reasoning_effort".to_owned(), why });
            }
            asked
        }
        (Some(false), Thinking::Never) => Asked::default(),
        (Some(false), _) => match rules.off {
            Off::Unasked => Asked::default(),
            Off::Disabled => Asked { thinking: Some(json!({"type": "disabled"})), ..Asked::default() },
            Off::Never => {
                drop("this model always thinks; the least effort is asked for");
                Asked { effort: Some("low"), on: true, ..Asked::default() }
            }
        },
        (None, _) => unasked(rules, barred),
    }
}

fn adaptive(
    rules: Rules,
    effort: Option<Effort>,
    native: Option<&Map<String, Value>>,
    barred: Option<Barred>,
) -> Asked {
    let level = effort.filter(|effort| *effort != Effort::None);
    if let Some(barred) = barred {
        // The effort counts without thoughts as well.
        let less = barred == Barred::Forced && rules.off == Off::Disabled;
        let level = level.map(|level| if less { level.min(Effort::High) } else { level });
        let effort = level.map(|level| named(level, rules));
        return Asked { effort, ..unasked(rules, Some(barred)) };
    }
    let mut thinking = json!({"type": "adaptive"});
    if let (Some(object), Some(display)) = (thinking.as_object_mut(), native.and_then(|native| native.get("display"))) {
        object.insert("display".to_owned(), display.clone());
    }
    Asked { thinking: Some(thinking), effort: level.map(|level| named(level, rules)), on: true }
}

/// When nothing is said about thinking.
fn unasked(rules: Rules, barred: Option<Barred>) -> Asked {
    let off = rules.thinks_unasked && rules.off == Off::Disabled && barred == Some(Barred::Forced);
    Asked { thinking: off.then(|| json!({"type": "disabled"})), effort: None, on: rules.thinks_unasked && !off }
}

impl Barred {
    fn why(self) -> &'static str {
        match self {
            Self::Forced => "this model does not think when it has to call a tool",
            Self::Lost => "this model does not begin to think in the middle of a loop of tool calls",
        }
    }
}

fn named(effort: Effort, rules: Rules) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::Xhigh if rules.xhigh => "xhigh",
        Effort::High | Effort::Xhigh => "high",
        Effort::Max => "max",
    }
}

/// The budget that stands for an effort.
fn tokens(effort: Option<Effort>) -> u64 {
    match effort {
        Some(Effort::None | Effort::Minimal) => LEAST_BUDGET,
        Some(Effort::Low) => 2048,
        Some(Effort::Medium) => 8192,
        Some(Effort::High) | None => 16_384,
        Some(Effort::Xhigh) => 32_768,
        Some(Effort::Max) => 65_536,
    }
}

/// `wanted` where the longest answer is longer; else half of that, so that there is an answer, or the least.
fn budget(wanted: u64, room: u64) -> Option<u64> {
    let fitting = if wanted < room { wanted } else { room / 2 };
    (room > LEAST_BUDGET).then(|| fitting.max(LEAST_BUDGET))
}

/// How many tokens an answer needs beside its text when its length is not given.
pub(super) fn allowance(effort: Option<Effort>) -> u64 {
    2 * tokens(effort)
}

/// A block with the fields it has to have, as they were received.
pub(super) fn clean(block: &Value) -> Value {
    let names: &[&str] =
        if block["type"] == "thinking" { &["type", "thinking", "signature"] } else { &["type", "data"] };
    let fields = names.iter().filter_map(|name| Some(((*name).to_owned(), block.get(*name)?.clone())));
    Value::Object(fields.collect())
}

/// The proof in a block.
fn proof(block: &Value) -> Option<&str> {
    block.get("signature").or_else(|| block.get("data"))?.as_str()
}

/// Who made the call, or the block with a proof for an id, and nothing else.
fn maker(id: &str, name: &str, arguments: &str) -> signatures::Key {
    signatures::key("anthropic maker", id, name, arguments)
}

/// Whether a call is known to be made by `model`.
pub(super) fn is_made_by(call: &Call<'_>, model: &str) -> bool {
    signatures::kept(maker(&call.id, &call.name, &call.arguments)) == Some(Proof::Thought(model.into()))
}

/// Whether a block is known to be of another model than `model`.
pub(super) fn is_of_another(block: &Value, model: &str) -> bool {
    let kept = proof(block).and_then(|proof| signatures::kept(maker(proof, "", "")));
    kept.is_some_and(|kept| kept != Proof::Thought(model.into()))
}

/// Remembers the thoughts of an answer of `model` for each of its calls: id, name and arguments as handed out. Those
/// of an answer without thoughts are remembered as none.
pub(super) fn keep<'a>(blocks: &[Value], calls: impl Iterator<Item = (&'a str, &'a str, &'a str)>, model: &str) {
    let all: Arc<[Value]> = blocks.into();
    let made_by: Arc<str> = model.into();
    for (id, name, arguments) in calls {
        signatures::keep(signatures::key(FAMILY, id, name, arguments), Proof::Blocks(Arc::clone(&all)));
        signatures::keep(maker(id, name, arguments), Proof::Thought(Arc::clone(&made_by)));
    }
    for proof in blocks.iter().filter_map(proof) {
        signatures::keep(maker(proof, "", ""), Proof::Thought(Arc::clone(&made_by)));
    }
}
