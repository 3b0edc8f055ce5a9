//! The order of a message's blocks where it is not the usual one: thoughts, then text, then calls.
//!
//! A model that thinks between its calls gives blocks of each kind by turns, and its signed thoughts have to come back
//! where they stood. `OpenAI`'s shape has one place for the text and one for the calls, so the order travels with the
//! thoughts: as `order` of the first block in `thinking_blocks`, which is taken off before that is sent.

use serde_json::Value;

use crate::providers::conversation::{Content, Turn};

/// The field of a block.
pub(super) const FIELD: &str = "order";
const THOUGHT: &str = "thinking";
const CALL: &str = "tool_use";

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A thinking block, a redacted one perhaps.
    Thought,
    /// So many characters of the text.
    Text(usize),
    /// A call.
    Call,
}

/// What came after what.
#[derive(Debug, Default)]
pub(super) struct Order(Vec<Step>);

impl Order {
    pub(super) fn thought(&mut self) {
        self.0.push(Step::Thought);
    }

    pub(super) fn call(&mut self) {
        self.0.push(Step::Call);
    }

    pub(super) fn text(&mut self, text: &str) {
        let chars = text.chars().count();
        match self.0.last_mut() {
            _ if chars == 0 => {}
            Some(Step::Text(before)) => *before += chars,
            _ => self.0.push(Step::Text(chars)),
        }
    }

    /// As it is handed out; `None` where it is the usual one.
    pub(super) fn shown(&self) -> Option<Value> {
        let step = |step: &Step| -> Value {
            match step {
                Step::Thought => THOUGHT.into(),
                Step::Text(chars) => (*chars).into(),
                Step::Call => CALL.into(),
            }
        };
        (!self.0.is_sorted()).then(|| self.0.iter().map(step).collect())
    }
}

/// The order told by the first of a message's thinking blocks.
pub(super) fn told(block: Option<&Value>) -> Option<Vec<Step>> {
    let step = |step: &Value| match step {
        Value::String(kind) if kind == THOUGHT => Some(Step::Thought),
        Value::String(kind) if kind == CALL => Some(Step::Call),
        chars => Some(Step::Text(usize::try_from(chars.as_u64()?).ok()?)),
    };
    block?.get(FIELD)?.as_array()?.iter().map(step).collect()
}

/// Whether `steps` are those of `turn` with so many thoughts: it is one message, as it was handed out.
pub(super) fn fits(steps: &[Step], turn: &Turn<'_>, thoughts: usize) -> bool {
    let (mut calls, mut chars) = (0, 0);
    for part in &turn.parts {
        match &part.content {
            _ if part.place.message != turn.parts[0].place.message => return false,
            Content::Text(text) => chars += text.chars().count(),
            Content::Call(_) => calls += 1,
            Content::Reasoning(_) => {}
            _ => return false,
        }
    }
    let count = |kind: Step| steps.iter().filter(|step| **step == kind).count();
    let told = steps.iter().map(|step| if let Step::Text(chars) = step { *chars } else { 0 });
    count(Step::Thought) == thoughts
        && count(Step::Call) == calls
        && told.fold(0, usize::saturating_add) == chars
        // Refused at the end of a message, with nothing that they led to.
        && steps.last() != Some(&Step::Thought)
}
