//! From the neutral conversation to `system` and `messages`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::models::{Rules, Thinking};
use super::order::{self, Step};
use super::{FAMILY, thoughts};
use crate::error::{Error, Kind, Result};
use crate::providers::conversation::{
    Call, Content, Conversation, Media, Part, Role, Source, Text, ToolResult, Turn, cut,
};
use crate::providers::ids::{self, Rule};
use crate::providers::signatures::{self, Proof};

/// Stands for a user's message without any text: the protocol takes no empty ones.
const NO_TEXT: &str = "(no text)";
/// What the user says after an assistant's message at the end, for models that want the last word to be his.
pub(super) const GO_ON: &str = "Continue.";

/// `system` and `messages`, and what else has to be known of them.
pub(super) struct Written {
    pub messages: Vec<Value>,
    /// The model is in the middle of a loop of tool calls whose first call has no thinking block although, for all we
    /// know, there was one: models with budgets refuse to think then.
    pub lost_thoughts: bool,
    /// The conversation ends with an assistant's message.
    pub ends_with_assistant: bool,
}

/// The system texts, `None` when there are none: one text where no cache mark needs its own block.
pub(super) fn system(texts: &[Text<'_>], more: Option<&str>) -> Option<Value> {
    let texts: Vec<_> = texts.iter().filter(|text| !text.text.trim().is_empty()).collect();
    let more = more.map(|text| json!({"type": "text", "text": text}));
    if texts.iter().all(|text| text.cache.is_none()) {
        let parts = texts.iter().map(|text| text.text).chain(more.as_ref().and_then(|more| more["text"].as_str()));
        let joined = parts.collect::<Vec<_>>().join("\n\n");
        return (!joined.is_empty()).then_some(Value::String(joined));
    }
    let blocks = texts.iter().map(|text| marked(json!({"type": "text", "text": text.text}), text.cache));
    Some(blocks.chain(more).collect())
}

/// The messages of `conversation`.
pub(super) fn write(conversation: &Conversation<'_>, rules: Rules, model: &str) -> Result<Written> {
    let mut writer = Writer { rules, model, ids: HashMap::new(), used: HashSet::new() };
    let mut messages: Vec<(Role, Vec<Value>)> = Vec::new();
    let (mut lost_thoughts, mut in_loop) = (false, false);
    for (index, turn) in conversation.turns.iter().enumerate() {
        let blocks = match turn.role {
            Role::User => writer.user(turn)?,
            Role::Assistant => {
                let (blocks, begins) = writer.assistant(turn)?;
                // Only the loop that is still going on counts: from the last thing the user said of himself.
                let mut later = conversation.turns[index + 1..].iter().filter(|later| later.role == Role::User);
                if index + 1 < conversation.turns.len() && turn.calls().next().is_some() && later.all(Turn::has_results)
                {
                    lost_thoughts |= begins.breaks(rules.thinking, !in_loop);
                    in_loop = true;
                }
                blocks
            }
        };
        if blocks.is_empty() && turn.role == Role::Assistant {
            // Nothing was said: the neighbours are one turn.
            continue;
        }
        let blocks = if blocks.is_empty() { vec![text(NO_TEXT, None)] } else { blocks };
        match messages.last_mut() {
            Some((role, before)) if *role == turn.role => before.extend(blocks),
            None if turn.role == Role::Assistant => {
                messages.push((Role::User, vec![text(NO_TEXT, None)]));
                messages.push((Role::Assistant, blocks));
            }
            _ => messages.push((turn.role, blocks)),
        }
    }
    if messages.is_empty() {
        messages.push((Role::User, vec![text(NO_TEXT, None)]));
    }
    let ends_with_assistant = messages.last().is_some_and(|(role, _)| *role == Role::Assistant);
    let messages = messages.into_iter().map(|(role, blocks)| message(role, blocks)).collect();
    Ok(Written { messages, lost_thoughts, ends_with_assistant })
}

/// Makes the last message one that the model answers: by going on where it stops, or because the user says so.
pub(super) fn close(messages: &mut Vec<Value>, prefill: bool) {
    if !prefill {
        messages.push(message(Role::User, vec![text(GO_ON, None)]));
        return;
    }
    // White space at the end is refused.
    let Some(content) = messages.last_mut().and_then(|last| last.get_mut("content")) else { return };
    let last = match content {
        Value::Array(blocks) => blocks.last_mut().and_then(|block| block.get_mut("text")),
        text => Some(text),
    };
    if let Some(Value::String(text)) = last {
        text.truncate(text.trim_end().len());
    }
}

fn message(role: Role, mut blocks: Vec<Value>) -> Value {
    let role = if role == Role::User { "user" } else { "assistant" };
    let plain = match &mut blocks[..] {
        [Value::Object(only)] if only.len() == 2 && only.get("type").is_some_and(|kind| kind == "text") => {
            only.get_mut("text").map(Value::take)
        }
        _ => None,
    };
    json!({"role": role, "content": plain.unwrap_or(Value::Array(blocks))})
}

fn text(text: &str, cache: Option<&Value>) -> Value {
    marked(json!({"type": "text", "text": text}), cache)
}

/// `block` with its cache mark.
pub(super) fn marked(mut block: Value, cache: Option<&Value>) -> Value {
    if let (Some(object), Some(mark)) = (block.as_object_mut(), cache) {
        object.insert("cache_control".to_owned(), mark.clone());
    }
    block
}

/// How an assistant's turn with calls begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    /// With its thoughts.
    Thinking,
    /// Without, and that is how this model made it, or another Claude.
    Silent { same_model: bool },
    /// Without; there may have been some, or it is another provider's.
    Unknown,
}

impl Begins {
    /// Whether the model must not be asked to think in a loop with this turn, its `first` or a later one. With a
    /// budget the loop has to begin with thoughts, and goes on without; otherwise the model may think where it likes.
    fn breaks(self, thinking: Thinking, first: bool) -> bool {
        match self {
            Self::Thinking => false,
            Self::Silent { same_model } => thinking == Thinking::Budget && (first || !same_model),
            Self::Unknown => true,
        }
    }
}

struct Writer<'a> {
    rules: Rules,
    model: &'a str,
    /// The id each call of the caller's has here, the last one of that name.
    ids: HashMap<String, String>,
    /// Ids must not come twice, as those of servers that count from zero in every answer do.
    used: HashSet<String>,
}

impl Writer<'_> {
    fn user(&mut self, turn: &Turn<'_>) -> Result<Vec<Value>> {
        let mut blocks = Vec::with_capacity(turn.parts.len());
        for part in &turn.parts {
            match &part.content {
                Content::Result(result) => blocks.push(self.result(part, result)?),
                other => blocks.extend(said(part, other)?),
            }
        }
        Ok(blocks)
    }

    fn assistant(&mut self, turn: &Turn<'_>) -> Result<(Vec<Value>, Begins)> {
        let (thoughts, begins, steps) = self.thoughts(turn);
        if let Some(steps) = steps.filter(|steps| order::fits(steps, turn, thoughts.len()))
            // A loop with a budget has to begin with thoughts.
            && (self.rules.thinking != Thinking::Budget || steps.first() == Some(&Step::Thought))
        {
            return Ok((self.in_order(turn, thoughts, &steps), begins));
        }
        let count = thoughts.len();
        let mut blocks = thoughts;
        for part in &turn.parts {
            match &part.content {
                Content::Call(call) => blocks.push(self.call(part, call)),
                Content::Reasoning(_) => {}
                Content::Text(_) | Content::Refusal(_) => blocks.extend(said(part, &part.content)?),
                _ => return Err(part.place.error("an assistant's message holds text, refusals and tool calls only")),
            }
        }
        // Thoughts without what they led to are refused.
        if blocks.len() == count {
            blocks.clear();
        }
        Ok((blocks, begins))
    }

    fn call(&mut self, part: &Part<'_>, call: &Call<'_>) -> Value {
        let id = self.new_id(&call.id);
        let block = json!({"type": "tool_use", "id": id, "name": *call.name, "input": call.object()});
        marked(block, part.cache)
    }

    /// The blocks in the order the model made them; `steps` fit.
    fn in_order(&mut self, turn: &Turn<'_>, thoughts: Vec<Value>, steps: &[Step]) -> Vec<Value> {
        let mut blocks = Vec::with_capacity(steps.len());
        let mut thoughts = thoughts.into_iter();
        let mut calls = turn.parts.iter().filter_map(|part| match &part.content {
            Content::Call(call) => Some((part, call)),
            _ => None,
        });
        let mut texts = turn.parts.iter().filter_map(|part| match part.content {
            Content::Text(text) => Some((text, part.cache)),
            _ => None,
        });
        let (mut rest, mut cache) = ("", None);
        for step in steps {
            match *step {
                Step::Thought => blocks.extend(thoughts.next()),
                Step::Call => blocks.extend(calls.next().map(|(part, call)| self.call(part, call))),
                Step::Text(mut chars) => {
                    while chars > 0 {
                        if rest.is_empty() {
                            let Some(next) = texts.next() else { break };
                            (rest, cache) = next;
                        }
                        let piece = cut(&mut rest, chars);
                        chars -= piece.chars().count();
                        // One without any letter is refused.
                        if !piece.trim().is_empty() {
                            blocks.push(text(piece, cache.filter(|_| rest.is_empty())));
                        }
                    }
                }
            }
        }
        blocks
    }

    /// The signed thoughts of a turn: those of the message, else those kept for one of its calls. Foreign ones and
    /// those of a model that takes its own only are left out. With the order that they tell.
    fn thoughts(&self, turn: &Turn<'_>) -> (Vec<Value>, Begins, Option<Vec<Step>>) {
        if self.rules.thinking == Thinking::Never {
            return (Vec::new(), Begins::Unknown, None);
        }
        let mut steps = None;
        let mut blocks: Vec<Value> = Vec::new();
        for part in &turn.parts {
            if let Content::Reasoning(reasoning) = &part.content {
                steps = order::told(reasoning.blocks.first().copied());
                blocks.extend(reasoning.blocks.iter().map(|block| thoughts::clean(block)));
            }
        }
        let mut begins = Begins::Unknown;
        if blocks.is_empty()
            && let Some((call, kept)) = turn.calls().find_map(|call| Some((call, kept(call)?)))
        {
            begins = Begins::Silent { same_model: thoughts::is_made_by(call, self.model) };
            steps = order::told(kept.first());
            blocks.extend(kept.iter().map(thoughts::clean));
        }
        if self.rules.own_thoughts && blocks.iter().any(|block| thoughts::is_of_another(block, self.model)) {
            return (Vec::new(), Begins::Unknown, None);
        }
        let begins = if blocks.is_empty() { begins } else { Begins::Thinking };
        (blocks, begins, steps)
    }

    fn new_id(&mut self, id: &str) -> String {
        let mut fitted = ids::fit(id, Rule::Word).into_owned();
        let mut count = 2;
        while !self.used.insert(fitted.clone()) {
            fitted = ids::fit(&format!("{id} #{count}"), Rule::Word).into_owned();
            count += 1;
        }
        self.ids.insert(id.to_owned(), fitted.clone());
        fitted
    }

    fn result(&self, part: &Part<'_>, result: &ToolResult<'_>) -> Result<Value> {
        let id = self.ids.get(&*result.id).cloned().unwrap_or_else(|| ids::fit(&result.id, Rule::Word).into_owned());
        let plain = result.parts.iter().all(|part| matches!(part.content, Content::Text(_) | Content::Refusal(_)));
        let content = if plain {
            Value::from(&*result.text())
        } else {
            let mut blocks = Vec::new();
            for part in &result.parts {
                blocks.extend(said(&Part { cache: None, ..part.clone() }, &part.content)?);
            }
            Value::Array(blocks)
        };
        let cache = part.cache.or_else(|| result.parts.iter().find_map(|part| part.cache));
        Ok(marked(json!({"type": "tool_result", "tool_use_id": id, "content": content}), cache))
    }
}

/// What was kept for a call of ours.
fn kept(call: &Call<'_>) -> Option<Arc<[Value]>> {
    match signatures::kept(signatures::key(FAMILY, &call.id, &call.name, &call.arguments))? {
        Proof::Blocks(blocks) => Some(blocks),
        Proof::Thought(_) => None,
    }
}

/// One block of what anybody says; `None` for a text without any letter, which is refused.
fn said(part: &Part<'_>, content: &Content<'_>) -> Result<Option<Value>> {
    let block = match content {
        Content::Text(said) | Content::Refusal(said) if said.trim().is_empty() => return Ok(None),
        Content::Text(said) | Content::Refusal(said) => json!({"type": "text", "text": said}),
        Content::Image(media) => self::media(part, media, "image")?,
        Content::File(media) => self::media(part, media, "document")?,
        Content::Audio(_) => return Err(unsupported(part, "audio")),
        Content::Reasoning(_) | Content::Call(_) | Content::Result(_) => {
            return Err(part.place.error("it cannot stand here"));
        }
    };
    Ok(Some(marked(block, part.cache)))
}

fn media(part: &Part<'_>, media: &Media<'_>, kind: &str) -> Result<Value> {
    let block = |kind: &str, mime: &str, data: &str| {
        let source = json!({"type": "base64", "media_type": mime, "data": data});
        json!({"type": kind, "source": source})
    };
    match &media.source {
        Source::Url(url) if url.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://")) => {
            Ok(json!({"type": kind, "source": {"type": "url", "url": url}}))
        }
        Source::Url(_) => Err(unsupported(part, "addresses that do not begin with https://")),
        Source::Id(_) => Err(unsupported(part, "a file uploaded to OpenAI: send `file_data`")),
        Source::Data { mime, base64 } => match &**mime {
            "image/png" | "image/jpeg" | "image/gif" | "image/webp" => Ok(block("image", mime, base64)),
            "application/pdf" => Ok(block("document", mime, base64)),
            "application/json" => text_file(part, media, base64),
            mime if mime.starts_with("text/") => text_file(part, media, base64),
            mime => Err(unsupported(part, &format!("data of type `{mime}`"))),
        },
    }
}

/// A file of text is text, under its name.
fn text_file(part: &Part<'_>, media: &Media<'_>, base64: &str) -> Result<Value> {
    let text = decoded(base64).and_then(|bytes| String::from_utf8(bytes).ok());
    let text = text.ok_or_else(|| part.place.error("its data must be base64 of UTF-8 text"))?;
    let name = media.filename.unwrap_or("file");
    Ok(json!({"type": "text", "text": format!("{name}:\n{text}")}))
}

fn unsupported(part: &Part<'_>, what: &str) -> Error {
    Error::new(
        Kind::Unsupported,
        format!(
            "{}: Anthropic's models take text, images (PNG, JPEG, GIF, WebP) and PDF files, not {what}",
            part.place
        ),
    )
}

/// Standard base64, with or without padding; `None` when it is not that.
fn decoded(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'\r' | b'\n' => continue,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    Some(bytes)
}

/// Names of all functions called in `conversation`, in the order of their first call.
pub(super) fn called<'a>(conversation: &'a Conversation<'_>) -> Vec<&'a str> {
    let mut names: Vec<&str> = Vec::new();
    for turn in &conversation.turns {
        let results = turn.parts.iter().filter_map(|part| match &part.content {
            Content::Result(result) => Some(&*result.name),
            _ => None,
        });
        for name in turn.calls().map(|call| &*call.name).chain(results) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    names
}

/// An object with one schema for anything.
pub(super) fn anything() -> Map<String, Value> {
    Map::from_iter([("type".to_owned(), "object".into()), ("properties".to_owned(), json!({}))])
}
