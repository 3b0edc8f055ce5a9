//! JSONL: a prompt is a string, a field of an object, or the last message of a conversation.

use std::io::Read;

use serde_json::Value;

use super::lines::{Line, Lines};
use super::{FIELDS, Prompt, Row, Rows, listed};
use crate::error::{Error, Result};

/// One JSON value a line.
pub(super) struct Jsonl {
    lines: Lines,
    column: Option<String>,
}

impl Jsonl {
    pub(super) fn new(read: Box<dyn Read + Send>, column: Option<&str>) -> Self {
        Self { lines: Lines::new(read), column: column.map(str::to_owned) }
    }
}

impl Rows for Jsonl {
    fn next(&mut self) -> Result<Option<Row>> {
        let Some((row, line)) = self.lines.next()? else { return Ok(None) };
        Ok(Some(match line {
            Line::Bad(error) => Row::Bad(error),
            Line::Text(line) => match prompt(line, self.column.as_deref()) {
                Ok(text) => Row::Prompt(Prompt { row, text }),
                Err(why) => Row::Bad(Error::value(format!("line {row}: {why}"))),
            },
        }))
    }

    fn would_wait(&self) -> bool {
        self.lines.would_wait()
    }
}

/// The prompt of one line, or what was expected and found instead.
fn prompt(line: &str, column: Option<&str>) -> Result<String, String> {
    let value = value(line)?;
    match (value, column) {
        (Value::String(text), None) => Ok(text),
        (Value::Object(mut object), Some(name)) => match object.get_mut(name) {
            Some(value) => text_of(name, value.take()),
            None => Err(format!("expected a field `{name}`, found {}", fields(object.keys()))),
        },
        (Value::Object(mut object), None) => {
            let known = FIELDS.into_iter().find(|&name| object.get(name).is_some_and(|value| !value.is_null()));
            match known.and_then(|name| Some((name, object.get_mut(name)?.take()))) {
                Some((name, value)) => text_of(name, value),
                None => Err(format!(
                    "expected one of the fields {}, found {}; name the field that holds the prompt",
                    listed(FIELDS),
                    fields(object.keys())
                )),
            }
        }
        (other, None) => Err(format!("expected a JSON string or object, found {}", kind(&other))),
        (other, Some(name)) => Err(format!("expected an object with a field `{name}`, found {}", kind(&other))),
    }
}

/// The JSON value of one line, each escape of a lone surrogate taken as U+FFFD.
pub(in crate::data) fn value(line: &str) -> Result<Value, String> {
    // Only the escape of a lone surrogate makes a line worth a second look.
    let read = serde_json::from_str(line).or_else(|error| match without_lone_surrogates(line) {
        Some(line) => serde_json::from_str(&line),
        None => Err(error),
    });
    read.map_err(|error| {
        let (text, column) = (error.to_string(), error.column());
        let what = text.strip_suffix(&format!(" at line 1 column {column}")).unwrap_or(&text);
        format!("is not JSON: {what} at column {column}")
    })
}

/// The line with `\ufffd` for each escape of a lone surrogate, which Python writes and UTF-8 cannot hold; `None` if
/// there is none.
pub(in crate::data) fn without_lone_surrogates(line: &str) -> Option<String> {
    let unit = |at: usize| {
        let digits = line.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut repaired = line.as_bytes().to_vec();
    let mut at = 0;
    while let Some(found) = line.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        at += match (unit(at), unit(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                repaired[at..at + 6].copy_from_slice(b"\\ufffd");
                6
            }
            // Two bytes, so that an escaped backslash does not begin another escape.
            _ => 2,
        };
    }
    String::from_utf8(repaired).ok().filter(|repaired| repaired != line)
}

/// A field's text: a string, or the content of the last of a list of messages.
fn text_of(name: &str, value: Value) -> Result<String, String> {
    let mut messages = match value {
        Value::String(text) => return Ok(text),
        Value::Array(messages) => messages,
        other => return Err(format!("expected a string or a list of messages in `{name}`, found {}", kind(&other))),
    };
    let Some(last) = messages.pop() else { return Err(format!("`{name}` is an empty list of messages")) };
    let Value::Object(mut message) = last else {
        return Err(format!("expected messages (objects with `content`) in `{name}`, found {}", kind(&last)));
    };
    match message.get_mut("content").map(Value::take) {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Null) => Ok(String::new()),
        Some(Value::Array(parts)) => {
            let texts: Vec<_> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            Ok(texts.join("\n"))
        }
        Some(other) => {
            Err(format!("expected a string or a list of parts as `content` of a message, found {}", kind(&other)))
        }
        None => Err(format!("the last message in `{name}` has no `content`")),
    }
}

fn fields<'a>(keys: impl Iterator<Item = &'a String>) -> String {
    listed(keys.map(String::as_str))
}

/// What kind of JSON value was found; its content may be private and stays out of messages.
pub(in crate::data) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
