//! What the model said: one label, as JSON or as a bare word, and nothing else.

use std::fmt;

use serde_json::Value;

use super::Label;

/// Why an answer says no label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unread {
    /// There is no text in it.
    Empty,
    /// It was cut at its longest, or by the provider's filter.
    Cut,
    /// The model refused.
    Refused,
    /// It holds more than one label.
    Several(String),
    /// It is no label: prose, or another word.
    Unknown(String),
    /// It is no completion.
    Shape,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the answer is empty"),
            Self::Cut => f.write_str("the answer was cut before its end"),
            Self::Refused => f.write_str("the model refused to answer"),
            Self::Several(text) => write!(f, "the answer holds several labels: {text:?}"),
            Self::Unknown(text) => write!(f, "the answer is none of the labels: {text:?}"),
            Self::Shape => f.write_str("the answer is not a completion"),
        }
    }
}

/// The label in the first choice of a completion.
pub(super) fn read<'a>(labels: &'a [Label], body: &[u8]) -> Result<&'a Label, Unread> {
    let body: Value = serde_json::from_slice(body).map_err(|_| Unread::Shape)?;
    let choice = body.pointer("/choices/0").ok_or(Unread::Shape)?;
    let message = choice.get("message").ok_or(Unread::Shape)?;
    if message.get("refusal").and_then(Value::as_str).is_some_and(|refusal| !refusal.trim().is_empty()) {
        return Err(Unread::Refused);
    }
    if matches!(choice.get("finish_reason").and_then(Value::as_str), Some("length" | "content_filter")) {
        return Err(Unread::Cut);
    }
    match message.get("content") {
        Some(Value::String(text)) => label(labels, text),
        Some(Value::Array(parts)) => {
            let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
            label(labels, &texts.concat())
        }
        _ => Err(Unread::Empty),
    }
}

/// The label that `text` is.
fn label<'a>(labels: &'a [Label], text: &str) -> Result<&'a Label, Unread> {
    let text = unfenced(unthought(text)?);
    if text.is_empty() {
        return Err(Unread::Empty);
    }
    let read: Option<Value> = serde_json::from_str(text).ok();
    let said = match &read {
        Some(Value::Object(object)) => {
            object.get("label").and_then(Value::as_str).ok_or_else(|| Unread::Unknown(short(text)))?
        }
        Some(Value::String(word)) => word,
        _ => text,
    };
    let said = normal(said);
    let is = |label: &&Label| normal(&label.name) == said || label.synonyms.iter().any(|name| normal(name) == said);
    labels.iter().find(is).ok_or_else(|| unread(labels, text))
}

/// Why a text is no label.
fn unread(labels: &[Label], text: &str) -> Unread {
    let words = text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).filter(|word| !word.is_empty());
    let words: Vec<String> = words.map(normal).collect();
    let named = |label: &&Label| {
        let mut names = std::iter::once(&label.name).chain(&label.synonyms);
        names.any(|name| words.contains(&normal(name)))
    };
    if labels.iter().filter(named).count() > 1 { Unread::Several(short(text)) } else { Unread::Unknown(short(text)) }
}

/// The part after the thoughts that some servers leave in the text.
fn unthought(text: &str) -> Result<&str, Unread> {
    let text = text.trim();
    match text.strip_prefix("<think>") {
        None => Ok(text),
        Some(thoughts) => thoughts.split_once("</think>").map(|(_, rest)| rest.trim()).ok_or(Unread::Cut),
    }
}

/// The inside of a code fence that goes around everything.
fn unfenced(text: &str) -> &str {
    let Some(inside) = text.strip_prefix("```").and_then(|rest| rest.strip_suffix("```")) else { return text };
    // The first line may name a language.
    inside.split_once('\n').map_or(inside, |(_, rest)| rest).trim()
}

/// A label without what is only how it is written: case, quotes and marks around it, a blank for `_`.
pub(super) fn normal(word: &str) -> String {
    let around = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '*' | '“' | '”' | '‘' | '’' | '«' | '»');
    let word = word.trim_matches(around);
    let word = word.strip_suffix('.').unwrap_or(word).trim_matches(around);
    word.chars().map(|c| if matches!(c, ' ' | '-') { '_' } else { c }).flat_map(char::to_lowercase).collect()
}

fn short(text: &str) -> String {
    const MOST: usize = 40;
    let mut shown: String = text.chars().take(MOST).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::super::presets::preset;
    use super::*;

    fn said(text: &str) -> Result<String, Unread> {
        label(&preset("article").unwrap(), text).map(|label| label.name.clone())
    }

    #[test]
    fn json_and_bare_words_are_read() {
        for text in [
            "cheap",
            "Cheap",
            " CHEAP.\n",
            "\"cheap\"",
            "'cheap'.",
            "`cheap`",
            "**cheap**",
            "“cheap.”",
            "SIMPLE",
            "simple",
            r#"{"label": "cheap"}"#,
            r#"{"label":"Simple."}"#,
            "```json\n{\"label\": \"cheap\"}\n```",
            "```\ncheap\n```",
            "```cheap```",
            "<think>2+2 is easy, not expensive</think>\n\ncheap",
        ] {
            assert_eq!(said(text).as_deref(), Ok("cheap"), "{text}");
        }
        let intent = preset("intent").unwrap();
        for text in ["hard_question", "Hard question", "hard-question.", r#"{"label": "hard_question", "why": "long"}"#]
        {
            assert_eq!(label(&intent, text).map(|label| label.name.as_str()), Ok("hard_question"), "{text}");
        }
    }

    #[test]
    fn everything_else_says_why_it_is_none() {
        use Unread::{Cut, Empty, Several, Unknown};
        for text in ["", "  \n", "``````", "\"\""] {
            let unread = said(text).unwrap_err();
            assert!(matches!(unread, Empty | Unknown(_)), "{text:?}: {unread:?}");
        }
        for text in ["cheap, mid", "cheap or expensive", "SIMPLE/COMPLEX"] {
            assert!(matches!(said(text), Err(Several(_))), "{text}");
        }
        for text in [
            "pricey",
            "I would say cheap",
            "The label is expensive.",
            "{\"label\": 3}",
            "{\"lable\": \"cheap\"}",
            "[\"cheap\"]",
            "{\"label\": \"pricey\"}",
            "null",
            "{\"label\": \"cheap\"} {",
            "cheap!",
        ] {
            assert!(matches!(said(text), Err(Unknown(_))), "{text}: {:?}", said(text));
        }
        assert_eq!(said("<think>well"), Err(Cut));
    }

    #[test]
    fn a_completion_is_read_whole() {
        let labels = preset("article").unwrap();
        let of = |message: Value, reason: &str| {
            let body = json!({"choices": [{"message": message, "finish_reason": reason}]}).to_string();
            read(&labels, body.as_bytes()).map(|label| label.name.clone())
        };
        assert_eq!(of(json!({"content": "mid"}), "stop").as_deref(), Ok("mid"));
        assert_eq!(of(json!({"content": [{"type": "text", "text": "mid"}]}), "stop").as_deref(), Ok("mid"));
        assert_eq!(of(json!({"content": "mid"}), "length"), Err(Unread::Cut));
        assert_eq!(of(json!({"content": "mid", "refusal": "I cannot"}), "stop"), Err(Unread::Refused));
        assert_eq!(of(json!({"content": null, "tool_calls": []}), "stop"), Err(Unread::Empty));
        for body in ["", "{}", r#"{"choices": []}"#, r#"{"choices": [{}]}"#, "[]"] {
            assert_eq!(read(&labels, body.as_bytes()).err(), Some(Unread::Shape), "{body}");
        }
    }
}
