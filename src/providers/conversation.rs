//! The neutral view of a request in `OpenAI`'s shape, from which the dialects of other protocols are made.
//!
//! [`Conversation`] is the messages: system texts apart, neighbours of one role joined, every tool result with the name
//! of the call it answers. [`Parameters`] is all the rest. Both borrow from the caller's object and refuse what no
//! provider could understand, naming the place: `messages[3].content[1]`.

mod parameters;
mod parts;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use serde_json::{Map, Value};

use super::request::ChatRequest;
use crate::error::{Error, Result};

pub use parameters::{Effort, Format, Function, Parameters, Schema, Tool, ToolChoice};
pub use parts::{Call, Content, Media, Part, Reasoning, Source, ToolResult};

/// Where something stands in the request, for messages: `messages[3].content[1]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index in `messages`.
    pub message: usize,
    /// Index in the message's `content`, where that is a list.
    pub part: Option<usize>,
}

impl Place {
    /// An error about what stands here.
    pub fn error(self, what: impl fmt::Display) -> Error {
        Error::value(format!("{self}: {what}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "messages[{}]", self.message)?;
        self.part.map_or(Ok(()), |part| write!(f, ".content[{part}]"))
    }
}

/// Who speaks; tool results are the user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The user and the tools.
    User,
    /// The model.
    Assistant,
}

/// What one side says before the other answers: neighbouring messages of one role are one turn.
#[derive(Debug, Clone)]
pub struct Turn<'a> {
    /// Whose it is.
    pub role: Role,
    /// In the order they were said, but tool results first; the reasoning of an assistant's message is before its
    /// text, its calls after it. May be empty: of a message that says nothing.
    pub parts: Vec<Part<'a>>,
}

impl<'a> Turn<'a> {
    /// The tool calls in it.
    pub fn calls(&self) -> impl Iterator<Item = &Call<'a>> {
        self.parts.iter().filter_map(|part| match &part.content {
            Content::Call(call) => Some(call),
            _ => None,
        })
    }

    /// Whether it answers tool calls.
    pub fn has_results(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.content, Content::Result(_)))
    }
}

/// A text with its cache mark.
#[derive(Debug, Clone)]
pub struct Text<'a> {
    /// Never empty.
    pub text: &'a str,
    /// `cache_control` as the caller wrote it.
    pub cache: Option<&'a Value>,
}

/// The messages of a request.
#[derive(Debug, Clone)]
pub struct Conversation<'a> {
    /// Texts of system and developer messages, wherever they stood.
    pub system: Vec<Text<'a>>,
    /// Roles alternate; never empty. Of a request with nothing but system texts, those are the user's one turn.
    pub turns: Vec<Turn<'a>>,
}

impl<'a> Conversation<'a> {
    /// Reads the messages of `request`.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for what is not in `OpenAI`'s shape.
    pub fn of(request: &'a ChatRequest) -> Result<Self> {
        Self::read(request.object()?)
    }

    /// Reads `messages`.
    pub fn read(object: &'a Map<String, Value>) -> Result<Self> {
        let messages = object
            .get("messages")
            .and_then(Value::as_array)
            .filter(|messages| !messages.is_empty())
            .ok_or_else(|| Error::value("`messages` must be a list with at least one message"))?;
        let mut reader = Reader { system: Vec::new(), turns: Vec::new(), names: HashMap::new(), open: Vec::new() };
        for (index, message) in messages.iter().enumerate() {
            reader.message(Place { message: index, part: None }, message)?;
        }
        Ok(reader.finish())
    }
}

struct Reader<'a> {
    system: Vec<Text<'a>>,
    turns: Vec<Turn<'a>>,
    /// Name of the last call with an id.
    names: HashMap<Cow<'a, str>, Cow<'a, str>>,
    /// Calls of the form before `tools`, which have no id of their own: made id and name, not answered yet.
    open: Vec<(String, &'a str)>,
}

impl<'a> Reader<'a> {
    fn message(&mut self, place: Place, message: &'a Value) -> Result<()> {
        let fields = message.as_object().ok_or_else(|| place.error("expected an object with `role` and `content`"))?;
        let role = fields.get("role").and_then(Value::as_str);
        let content = fields.get("content");
        let cache = fields.get("cache_control").filter(|mark| mark.is_object());
        match role {
            Some("system" | "developer") => self.system(place, content, cache),
            Some("user") => {
                let parts = parts::read(place, content, cache)?;
                self.add(Role::User, parts);
                Ok(())
            }
            Some("assistant") => self.assistant(place, fields, cache),
            Some("tool") => {
                let id = fields.get("tool_call_id").and_then(Value::as_str);
                let id = id.ok_or_else(|| place.error("a tool message needs `tool_call_id`, a string"))?;
                self.result(place, fields, Cow::Borrowed(id), cache)
            }
            Some("function") => {
                let name = fields.get("name").and_then(Value::as_str);
                let name = name.ok_or_else(|| place.error("a function message needs `name`, a string"))?;
                let at = self.open.iter().position(|(_, known)| *known == name);
                let id = at.map(|at| self.open.remove(at).0);
                let id = id.ok_or_else(|| place.error(format!("no call of function `{name}` comes before it")))?;
                self.result(place, fields, Cow::Owned(id), cache)
            }
            Some(role) => Err(place.error(format!(
                "role must be developer, system, user, assistant, tool or function, found `{}`",
                parts::shortened(role)
            ))),
            None => Err(place.error("`role` must be a string")),
        }
    }

    fn system(&mut self, place: Place, content: Option<&'a Value>, cache: Option<&'a Value>) -> Result<()> {
        for part in parts::read(place, content, cache)? {
            match part.content {
                Content::Text(text) if !text.is_empty() => self.system.push(Text { text, cache: part.cache }),
                Content::Text(_) => {}
                _ => return Err(part.place.error("a system or developer message holds text only")),
            }
        }
        Ok(())
    }

    fn assistant(&mut self, place: Place, fields: &'a Map<String, Value>, cache: Option<&'a Value>) -> Result<()> {
        let part = |content| Part { place, cache: None, content };
        let mut said: Vec<Part<'a>> = Reasoning::of(fields).map(Content::Reasoning).map(part).into_iter().collect();
        let content = parts::read(place, fields.get("content"), cache)?;
        said.extend(content);
        if let Some(refusal) = fields.get("refusal").and_then(Value::as_str).filter(|text| !text.is_empty()) {
            said.push(part(Content::Refusal(refusal)));
        }
        for (index, call) in listed(place, fields, "tool_calls")?.iter().enumerate() {
            let call = Call::read(call).ok_or_else(|| {
                place.error(format!(
                    "tool_calls[{index}] must be an object with `id` and `function`, which has `name` and `arguments`"
                ))
            })?;
            self.names.insert(call.id.clone(), call.name.clone());
            said.push(part(Content::Call(call)));
        }
        if let Some(legacy) = fields.get("function_call").filter(|call| !call.is_null()) {
            let made = format!("call_{}", place.message);
            let call = Call::legacy(legacy, made.clone())
                .ok_or_else(|| place.error("`function_call` must be an object with `name` and `arguments`"))?;
            if let Cow::Borrowed(name) = call.name {
                self.open.push((made, name));
            }
            self.names.insert(call.id.clone(), call.name.clone());
            said.push(part(Content::Call(call)));
        }
        self.add(Role::Assistant, said);
        Ok(())
    }

    fn result(
        &mut self,
        place: Place,
        fields: &'a Map<String, Value>,
        id: Cow<'a, str>,
        cache: Option<&'a Value>,
    ) -> Result<()> {
        let named = || fields.get("name").and_then(Value::as_str).map(Cow::Borrowed);
        let name = self.names.get(&id).cloned().or_else(named).ok_or_else(|| {
            place.error(format!("it answers call `{}`, which no message before it makes", parts::shortened(&id)))
        })?;
        let parts = parts::read(place, fields.get("content"), None)?;
        let result = Part { place, cache, content: Content::Result(ToolResult { id, name, parts }) };
        self.add(Role::User, vec![result]);
        Ok(())
    }

    /// Adds to the last turn where that is of the same role.
    fn add(&mut self, role: Role, parts: Vec<Part<'a>>) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == role => turn.parts.extend(parts),
            _ => self.turns.push(Turn { role, parts }),
        }
    }

    fn finish(mut self) -> Conversation<'a> {
        for turn in &mut self.turns {
            // Stable: results keep their order, and so does the rest.
            turn.parts.sort_by_key(|part| !matches!(part.content, Content::Result(_)));
        }
        if self.turns.is_empty() {
            let place = Place { message: 0, part: None };
            let parts = std::mem::take(&mut self.system).into_iter();
            let parts = parts.map(|Text { text, cache }| Part { place, cache, content: Content::Text(text) }).collect();
            self.turns.push(Turn { role: Role::User, parts });
        }
        Conversation { system: self.system, turns: self.turns }
    }
}

/// Takes the first `chars` characters off `text`, all where it has fewer.
pub(super) fn cut<'t>(text: &mut &'t str, chars: usize) -> &'t str {
    let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    let (piece, rest) = text.split_at(end);
    *text = rest;
    piece
}

/// The list under `name`, empty when there is none.
fn listed<'a>(place: Place, fields: &'a Map<String, Value>, name: &str) -> Result<&'a [Value]> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(_) => Err(place.error(format!("`{name}` must be a list"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests;
