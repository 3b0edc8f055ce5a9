//! A request as rules, filters and routers see it: who said what, what is shown, and what the answer has to be.
//!
//! It is made once for a request, from Python's messages or from a JSON body, and borrows nothing.

mod body;

use serde_json::{Map, Value};

use super::tokens::{PER_IMAGE, PER_MESSAGE, of_chars};

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `system` or `developer`.
    System,
    /// `user`, and every role nobody knows.
    User,
    /// `assistant`.
    Assistant,
    /// `tool` or `function`: a result.
    Tool,
}

impl Role {
    /// The role of that name.
    pub fn named(name: &str) -> Self {
        match name {
            "system" | "developer" => Self::System,
            "assistant" => Self::Assistant,
            "tool" | "function" => Self::Tool,
            _ => Self::User,
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said; the texts of a list of parts, one a line.
    pub text: String,
    /// Images shown.
    pub images: u32,
    /// Sounds played.
    pub sounds: u32,
}

impl Turn {
    /// A message of text alone.
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into(), images: 0, sounds: 0 }
    }
}

/// What the request asks for beside the conversation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub struct Asks {
    /// Tools are offered.
    pub tools: bool,
    /// The answer has to be JSON of any form.
    pub json: bool,
    /// The answer has to follow a JSON schema.
    pub schema: bool,
    /// The answer is to be spoken.
    pub audio: bool,
    /// The longest answer in tokens, where the caller sets one.
    pub max_tokens: Option<u64>,
    /// Characters of the tools' descriptions.
    pub tool_chars: usize,
}

/// A request as it is decided on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// The conversation, oldest message first.
    pub turns: Vec<Turn>,
    /// What it asks for.
    pub asks: Asks,
    /// Kind of task, where the caller says it.
    pub task: Option<String>,
    /// The caller's session.
    pub session: Option<String>,
    /// The caller's tags, by name; a bare tag has an empty value.
    pub tags: Vec<(String, String)>,
    /// The request's `metadata`.
    pub metadata: Vec<(String, String)>,
    /// The text that is routed on, where that is not the last message's.
    pub routed: Option<String>,
}

impl View {
    /// A single prompt.
    pub fn of_text(text: impl Into<String>) -> Self {
        Self { turns: vec![Turn::new(Role::User, text)], ..Self::default() }
    }

    /// A request's body in `OpenAI`'s shape; what has another form than expected counts as not there.
    pub fn of_body(body: &Map<String, Value>) -> Self {
        let messages = body.get("messages").and_then(Value::as_array).into_iter().flatten();
        Self {
            turns: messages.map(turn).collect(),
            asks: asks(body),
            metadata: body.get("metadata").and_then(Value::as_object).map(texts).unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The text that is routed on: that of the last message, as in `RouteLLM`, unless another was given.
    pub fn text(&self) -> &str {
        self.routed.as_deref().unwrap_or_else(|| self.turns.last().map_or("", |turn| &turn.text))
    }

    /// How often the user has spoken.
    pub fn user_turns(&self) -> usize {
        self.turns.iter().filter(|turn| turn.role == Role::User).count()
    }

    /// Images in the whole conversation.
    pub fn images(&self) -> u32 {
        self.turns.iter().fold(0, |sum, turn| sum.saturating_add(turn.images))
    }

    /// Whether it listens or speaks.
    pub fn audio(&self) -> bool {
        self.asks.audio || self.turns.iter().any(|turn| turn.sounds > 0)
    }

    /// Tokens of messages, images and tools, as an estimate.
    pub fn prompt_tokens(&self) -> u64 {
        let turns = self
            .turns
            .iter()
            .map(|turn| PER_MESSAGE + of_chars(bytecount(&turn.text)) + PER_IMAGE * u64::from(turn.images));
        turns.sum::<u64>() + of_chars(self.asks.tool_chars)
    }
}

/// Characters of a text: bytes that begin one.
fn bytecount(text: &str) -> usize {
    text.bytes().filter(|byte| (*byte as i8) >= -0x40).count()
}

fn turn(message: &Value) -> Turn {
    let role = message.get("role").and_then(Value::as_str).map_or(Role::User, Role::named);
    let mut turn = Turn::new(role, "");
    match message.get("content") {
        Some(Value::String(text)) => turn.text.clone_from(text),
        Some(Value::Array(parts)) => {
            for part in parts {
                match part.get("type").and_then(Value::as_str) {
                    Some("image_url") => turn.images += 1,
                    Some("input_audio") => turn.sounds += 1,
                    _ => {}
                }
                if let Some(text) = part.as_str().or_else(|| part.get("text")?.as_str()).filter(|text| !text.is_empty())
                {
                    if !turn.text.is_empty() {
                        turn.text.push('\n');
                    }
                    turn.text.push_str(text);
                }
            }
        }
        _ => {}
    }
    turn
}

fn asks(body: &Map<String, Value>) -> Asks {
    let filled = |name: &str| body.get(name).and_then(Value::as_array).filter(|list| !list.is_empty());
    let tools = filled("tools").or_else(|| filled("functions"));
    let format = body.get("response_format").and_then(|format| format.get("type")).and_then(Value::as_str);
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    Asks {
        tools: tools.is_some(),
        json: matches!(format, Some("json_object" | "json_schema")),
        schema: format == Some("json_schema"),
        audio: filled("modalities").is_some_and(|list| list.contains(&"audio".into())),
        max_tokens: number("max_completion_tokens").or_else(|| number("max_tokens")),
        tool_chars: tools.map_or(0, |tools| tools.iter().map(chars_in).sum()),
    }
}

/// Characters of all texts in a value.
pub fn chars_in(value: &Value) -> usize {
    match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.iter().map(chars_in).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| name.chars().count() + chars_in(value)).sum(),
        _ => 1,
    }
}

fn texts(object: &Map<String, Value>) -> Vec<(String, String)> {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    object.iter().map(|(name, value)| (name.clone(), shown(value))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read() {
        let body: Value = serde_json::json!({
            "messages": [
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "what"}, {"type": "image_url", "image_url": {}}, "is it?"]},
                {"role": "assistant", "content": null, "tool_calls": []},
                {"role": "tool", "content": "42"},
                {"role": "user", "content": "go on"},
            ],
            "tools": [{"type": "function", "function": {"name": "f"}}],
            "response_format": {"type": "json_schema", "json_schema": {}},
            "max_tokens": 7,
            "metadata": {"team": "legal", "n": 3},
        });
        let view = View::of_body(body.as_object().unwrap());
        let roles: Vec<Role> = view.turns.iter().map(|turn| turn.role).collect();
        assert_eq!(roles, [Role::System, Role::User, Role::Assistant, Role::Tool, Role::User]);
        assert_eq!(view.turns[1].text, "what\nis it?");
        assert_eq!((view.text(), view.user_turns(), view.images()), ("go on", 2, 1));
        assert!(view.asks.tools && view.asks.schema && view.asks.json && !view.audio());
        assert_eq!((view.asks.max_tokens, view.asks.tool_chars), (Some(7), 4 + 8 + 8 + 4 + 1));
        assert_eq!(view.metadata, [("team".into(), "legal".into()), ("n".into(), "3".into())]);
        // Five messages; 8, 10, 0, 2 and 5 characters; an image; 25 characters of tools.
        assert_eq!(view.prompt_tokens(), 5 * 4 + 2 + 3 + 1 + 2 + 765 + 7);
    }

    #[test]
    fn a_text_is_one_turn_of_the_user() {
        let view = View::of_text("größer");
        assert_eq!((view.text(), view.user_turns(), view.prompt_tokens()), ("größer", 1, 4 + 2));
        assert_eq!(View::default().text(), "");
    }

    #[test]
    fn another_text_may_be_routed_on() {
        let view = View { routed: Some("prove it".into()), ..View::of_text("go on") };
        assert_eq!((view.text(), view.turns[0].text.as_str(), view.prompt_tokens()), ("prove it", "go on", 4 + 2));
    }
}
