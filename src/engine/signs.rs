//! By what an answer can be seen to have failed: its bytes in `OpenAI`'s shape, held against the request.
//!
//! Every answer is looked at, so it is done in one pass that borrows from the bytes; the request is read only where the
//! answer can break a promise of its (JSON asked for, tools called). An answer of several choices has failed when each of
//! them has: its signs are those of all.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::lenient::is_json;
use super::schemas;
use crate::ledger::{Signs, recall};
use crate::providers::{ChatRequest, Text};
use crate::text::declines;

/// What the format asked for can show.
const FORMAT: Signs = Signs::INVALID_JSON.and(Signs::INVALID_SCHEMA);
/// Characters that take no room: joiners, marks of direction, soft hyphens, byte order marks.
const WITHOUT_WIDTH: [char; 11] = [
    '\u{ad}', '\u{180e}', '\u{200b}', '\u{200c}', '\u{200d}', '\u{200e}', '\u{200f}', '\u{2060}', '\u{2061}',
    '\u{2063}', '\u{feff}',
];

/// What an answer comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Verdict {
    /// `None` where it could not be read.
    pub signs: Option<Signs>,
    /// What identifies it, by the text of its first choice.
    pub answer: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Body<'a> {
    choices: Option<Vec<Choice<'a>>>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Choice<'a> {
    index: Option<u64>,
    finish_reason: Text<'a>,
    message: Option<Said<'a>>,
    delta: Option<Said<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Said<'a> {
    content: Text<'a>,
    refusal: Text<'a>,
    tool_calls: Option<Vec<Call<'a>>>,
    function_call: Option<Function<'a>>,
    audio: Option<IgnoredAny>,
    images: Option<IgnoredAny>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Call<'a> {
    index: Option<u64>,
    /// `custom` tools take text.
    #[serde(rename = "type")]
    kind: Text<'a>,
    function: Option<Function<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(default, bound(deserialize = "'de: 'a"))]
struct Function<'a> {
    name: Text<'a>,
    arguments: Text<'a>,
}

/// One choice, as far as it is judged.
#[derive(Default)]
struct Told<'a> {
    finish: Option<Cow<'a, str>>,
    text: Cow<'a, str>,
    /// It holds something beside text: parts, sound, pictures.
    other: bool,
    refused: bool,
    calls: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

/// The verdict on a whole answer. `looks`: what somebody wants to know; of the rest only what costs nothing is looked at.
pub(super) fn of_answer(request: &ChatRequest, body: &[u8], looks: Signs) -> Verdict {
    let Ok(body) = serde_json::from_slice::<Body<'_>>(body) else { return Verdict::default() };
    let choices = body.choices.unwrap_or_default();
    let told: Vec<Told<'_>> =
        choices.iter().filter_map(|choice| Some(whole(choice, choice.message.as_ref()?))).collect();
    judged(request, &told, looks)
}

fn whole<'a>(choice: &'a Choice<'_>, said: &'a Said<'_>) -> Told<'a> {
    fn text<'a>(text: &'a Text<'_>) -> Cow<'a, str> {
        Cow::Borrowed(text.get().unwrap_or_default())
    }
    let functions = said.tool_calls.iter().flatten().filter(|call| call.kind.get() != Some("custom"));
    let functions = functions.filter_map(|call| call.function.as_ref()).chain(&said.function_call);
    let calls: Vec<_> = functions.map(|function| (text(&function.name), text(&function.arguments))).collect();
    let custom = calls.is_empty() && said.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty());
    Told {
        finish: choice.finish_reason.get().map(Cow::Borrowed),
        text: text(&said.content),
        other: custom || said.content.is_list() || said.audio.is_some() || said.images.is_some(),
        refused: said.refusal.get().is_some_and(|refusal| !refusal.is_empty()),
        calls,
    }
}

fn judged(request: &ChatRequest, choices: &[Told<'_>], looks: Signs) -> Verdict {
    let Some(first) = choices.first() else { return Verdict::default() };
    let signs: Vec<Signs> = choices.iter().map(|told| of_choice(request, told, looks)).collect();
    let all = if signs.iter().any(|signs| signs.is_none()) {
        Signs::NONE
    } else {
        signs.into_iter().fold(Signs::NONE, Signs::and)
    };
    Verdict { signs: Some(all), answer: Some(recall::answer(&first.text)) }
}

fn of_choice(request: &ChatRequest, told: &Told<'_>, looks: Signs) -> Signs {
    let mut signs = Signs::NONE;
    let text = told.text.trim();
    let finish = told.finish.as_deref().unwrap_or_default();
    if finish == "length" {
        signs = signs.and(Signs::TRUNCATED);
    }
    let calls = !told.calls.is_empty();
    if told.refused || finish == "content_filter" || !calls && declines::refuses(text) {
        return signs.and(Signs::REFUSAL);
    }
    if says_nothing(text) && !calls && !told.other {
        return signs.and(Signs::EMPTY);
    }
    if calls && looks.has(Signs::BAD_TOOL_ARGUMENTS) {
        let object = request.object().ok();
        let bad = |(name, arguments): &(Cow<'_, str>, Cow<'_, str>)| {
            object.is_some_and(|object| breaks(object, name, arguments))
        };
        if told.calls.iter().any(bad) {
            signs = signs.and(Signs::BAD_TOOL_ARGUMENTS);
        }
    } else if !calls && !told.other && looks.has(FORMAT) && mentions(request, "\"response_format\"") {
        signs = signs.and(of_format(request, text, looks));
    }
    signs
}

/// Whether there is nothing to see in a text: white space, marks without width, thoughts with nothing after them.
fn says_nothing(text: &str) -> bool {
    let is_blank = |text: &str| text.chars().all(|c| c.is_whitespace() || WITHOUT_WIDTH.contains(&c));
    let after_thoughts = || text.strip_prefix("<think>")?.split_once("</think>").map(|(_, after)| after);
    is_blank(text) || after_thoughts().is_some_and(is_blank)
}

/// Whether a word is anywhere in the request; nearly always it is not.
fn mentions(request: &ChatRequest, word: &str) -> bool {
    std::str::from_utf8(request.bytes()).is_ok_and(|text| text.contains(word))
}

/// Whether a text is the JSON that was asked for.
fn of_format(request: &ChatRequest, text: &str, looks: Signs) -> Signs {
    let Some(format) = request.object().ok().and_then(|object| object.get("response_format")) else {
        return Signs::NONE;
    };
    let schema = match format.get("type").and_then(Value::as_str) {
        Some("json_object") => None,
        Some("json_schema") => format.get("json_schema").and_then(|format| format.get("schema")),
        _ => return Signs::NONE,
    };
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return if is_json(text) { Signs::NONE } else { Signs::INVALID_JSON };
    };
    match schema.filter(|_| looks.has(Signs::INVALID_SCHEMA)).and_then(|schema| schemas::follows(schema, &value)) {
        Some(false) => Signs::INVALID_SCHEMA,
        _ => Signs::NONE,
    }
}

/// Whether the arguments of a call are no JSON object, or do not follow the parameters that its tool has. No text at all
/// stands for no arguments.
fn breaks(request: &Map<String, Value>, name: &str, arguments: &str) -> bool {
    let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
    let value = match serde_json::from_str::<Value>(arguments) {
        Ok(value @ Value::Object(_)) => value,
        Ok(_) => return true,
        // What cannot be held cannot be held against the parameters.
        Err(_) => return !(arguments.trim_start().starts_with('{') && is_json(arguments)),
    };
    let list = |name: &str| request.get(name).and_then(Value::as_array).into_iter().flatten();
    let functions = list("tools").filter_map(|tool| tool.get("function")).chain(list("functions"));
    let mut named = functions.filter(|function| function.get("name").and_then(Value::as_str) == Some(name));
    let parameters = named.next().and_then(|function| function.get("parameters")).filter(|schema| schema.is_object());
    parameters.and_then(|schema| schemas::follows(schema, &value)) == Some(false)
}

/// What is kept of a stream until it is judged; its first text is in the hands of its reader.
#[derive(Debug, Default)]
pub(super) struct Collected(BTreeMap<u64, Kept>);

#[derive(Debug, Default)]
struct Kept {
    finish: Option<String>,
    /// Of a choice that no reader keeps.
    text: String,
    other: bool,
    refused: bool,
    calls: BTreeMap<u64, (String, String)>,
}

impl Collected {
    /// Takes down what one chunk says. `ends`: whether it says why a choice ended.
    pub(super) fn add(&mut self, data: &Bytes, ends: bool) {
        // Of most chunks nothing but the text of the first choice counts, and that is kept already.
        const TELLING: [&str; 5] =
            ["\"tool_calls\":", "\"function_call\":", "\"refusal\":\"", "\"audio\":", "\"images\":"];
        let Ok(text) = std::str::from_utf8(data) else { return };
        let first = text.contains("\"index\":0") || text.contains("\"index\": 0") || !text.contains("\"index\":");
        if !ends && first && !TELLING.iter().any(|word| text.contains(word)) && !text.contains("\"refusal\": \"") {
            return;
        }
        let Ok(body) = serde_json::from_str::<Body<'_>>(text) else { return };
        for choice in body.choices.iter().flatten() {
            let index = choice.index.unwrap_or(0);
            let kept = self.0.entry(index).or_default();
            if let Some(reason) = choice.finish_reason.get().filter(|reason| !reason.is_empty()) {
                kept.finish = Some(reason.to_owned());
            }
            if let Some(said) = choice.delta.as_ref().or(choice.message.as_ref()) {
                kept.add(said, index != 0);
            }
        }
    }

    /// Whether nothing was said but refusals.
    pub(super) fn only_refuses(&self) -> bool {
        let refuses = |kept: &Kept| kept.refused && !kept.other && kept.calls.is_empty() && kept.text.is_empty();
        !self.0.is_empty() && self.0.values().all(refuses)
    }

    /// The verdict, once all is there. `texts`: of the first choices, as far as readers keep them.
    pub(super) fn judged(&self, request: &ChatRequest, texts: &[&str], looks: Signs) -> Verdict {
        let last = self.0.keys().next_back().map_or(0, |last| last + 1);
        let nothing = Kept::default();
        let told: Vec<Told<'_>> = (0..last.max(texts.len() as u64))
            .map(|index| {
                let kept = self.0.get(&index).unwrap_or(&nothing);
                let text = texts.get(index as usize).copied().unwrap_or(&kept.text);
                Told {
                    finish: kept.finish.as_deref().map(Cow::Borrowed),
                    text: Cow::Borrowed(text),
                    other: kept.other,
                    refused: kept.refused,
                    calls: kept.calls.values().map(|(name, arguments)| (name.into(), arguments.into())).collect(),
                }
            })
            .collect();
        judged(request, &told, looks)
    }
}

impl Kept {
    fn add(&mut self, said: &Said<'_>, with_text: bool) {
        if with_text {
            self.text.push_str(said.content.get().unwrap_or_default());
        }
        self.other |= said.content.is_list() || said.audio.is_some() || said.images.is_some();
        self.refused |= said.refusal.get().is_some_and(|refusal| !refusal.is_empty());
        for call in said.tool_calls.iter().flatten() {
            let Some(function) = &call.function else {
                self.other |= call.kind.get() == Some("custom");
                continue;
            };
            self.call(call.index.unwrap_or(0), function);
        }
        if let Some(function) = &said.function_call {
            self.call(0, function);
        }
    }

    fn call(&mut self, index: u64, function: &Function<'_>) {
        let (name, arguments) = self.calls.entry(index).or_default();
        name.push_str(function.name.get().unwrap_or_default());
        arguments.push_str(function.arguments.get().unwrap_or_default());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn body(choices: &Value) -> String {
        json!({"id": "c", "object": "chat.completion", "choices": choices}).to_string()
    }

    fn one(message: &Value, finish: &str) -> String {
        body(&json!([{"index": 0, "message": message, "finish_reason": finish}]))
    }

    fn shown(request: &Value, answer: &str) -> String {
        let request = ChatRequest::new(request.to_string());
        of_answer(&request, answer.as_bytes(), Signs::ALL).signs.map_or("?".into(), Signs::list)
    }

    fn says(content: &str) -> String {
        one(&json!({"role": "assistant", "content": content}), "stop")
    }

    fn calls(name: &str, arguments: &str) -> String {
        let call = json!({"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}});
        one(&json!({"content": null, "tool_calls": [call]}), "tool_calls")
    }

    #[test]
    fn plain_answers() {
        let plain = json!({"messages": []});
        let said = |message: Value, finish: &str| shown(&plain, &one(&message, finish));
        assert_eq!(said(json!({"content": "An owl"}), "stop"), "");
        assert_eq!(said(json!({"content": ""}), "stop"), "empty");
        assert_eq!(said(json!({"content": " \n"}), "stop"), "empty");
        assert_eq!(said(json!({"content": null, "reasoning_content": "hm"}), "stop"), "empty");
        for nothing in ["\u{200b}", "\u{a0}\u{feff}", "<think>An owl?</think>", "<think>\n</think>\n \u{200d}"] {
            assert_eq!(said(json!({"content": nothing}), "stop"), "empty", "{nothing:?}");
        }
        for something in ["<think>An owl?</think>An owl", "<think> is a tag", "\u{200b}owl", "</think>"] {
            assert_eq!(said(json!({"content": something}), "stop"), "", "{something:?}");
        }
        assert_eq!(said(json!({"content": null}), "length"), "empty,truncated");
        assert_eq!(said(json!({"content": "An ow"}), "length"), "truncated");
        assert_eq!(said(json!({"content": null, "refusal": "no"}), "stop"), "refusal");
        assert_eq!(said(json!({"content": ""}), "content_filter"), "refusal");
        assert_eq!(said(json!({"content": "I'm sorry, but I can't help with that."}), "stop"), "refusal");
        assert_eq!(said(json!({"content": null, "audio": {"id": "a"}}), "stop"), "");
        assert_eq!(said(json!({"content": [{"type": "image"}]}), "stop"), "");
        assert_eq!(said(json!({"content": null, "tool_calls": []}), "stop"), "empty");
        // What is no answer is not judged.
        for odd in ["", "[]", "{}", r#"{"choices":[]}"#, r#"{"choices":[{}]}"#, r#"{"choices":7}"#] {
            assert_eq!(shown(&plain, odd), "?", "{odd}");
        }
    }

    #[test]
    fn of_several_choices_all_have_to_fail() {
        let plain = json!({"messages": []});
        let choice = |content: &str, finish: &str| json!({"message": {"content": content}, "finish_reason": finish});
        assert_eq!(shown(&plain, &body(&json!([choice("", "stop"), choice("An owl", "stop")]))), "");
        assert_eq!(shown(&plain, &body(&json!([choice("", "stop"), choice("An ow", "length")]))), "empty,truncated");
    }

    #[test]
    fn json_that_was_asked_for() {
        let object = json!({"messages": [], "response_format": {"type": "json_object"}});
        assert_eq!(shown(&object, &says(r#"{"a": 1}"#)), "");
        assert_eq!(shown(&object, &says(" [1] ")), "");
        assert_eq!(shown(&object, &says("```json\n{}\n```")), "invalid_json");
        let deep = format!("{}{}", "[".repeat(130), "]".repeat(130));
        for odd in [&*deep, r#"{"a":1e400}"#, &"9".repeat(330), r#"{"a":"\ud83d"}"#] {
            assert_eq!(shown(&object, &says(odd)), "", "Python's `json` takes {odd}");
        }
        assert_eq!(shown(&object, &one(&json!({"content": r#"{"a": "#}), "length")), "truncated,invalid_json");
        assert_eq!(shown(&object, &says("I can't help with that.")), "refusal");
        assert_eq!(shown(&object, &calls("f", "{}")), "", "it calls a tool first");
        let schema = json!({"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]});
        let with = |schema: Value| json!({"messages": [], "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}});
        let strict = with(schema);
        assert_eq!(shown(&strict, &says(r#"{"n": 1}"#)), "");
        assert_eq!(shown(&strict, &says(r#"{"n": "1"}"#)), "invalid_schema");
        assert_eq!(shown(&strict, &says("{n: 1}")), "invalid_json");
        assert_eq!(shown(&with(json!({"type": 7})), &says("{}")), "", "nobody can say");
        assert_eq!(shown(&with(Value::Null), &says("{}")), "");
        // The word alone promises nothing.
        assert_eq!(shown(&json!({"messages": [{"content": "\"response_format\""}]}), &says("An owl")), "");
    }

    #[test]
    fn arguments_of_tools() {
        let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        let tool = json!({"type": "function", "function": {"name": "weather", "parameters": parameters}});
        let bare = json!({"type": "function", "function": {"name": "now"}});
        let request = json!({"messages": [], "tools": [tool, bare]});
        for (name, arguments, signs) in [
            ("weather", r#"{"city": "Rome"}"#, ""),
            ("weather", r#"{"city": 1}"#, "bad_tool_arguments"),
            ("weather", "{}", "bad_tool_arguments"),
            ("weather", "", "bad_tool_arguments"),
            ("weather", r#"{"city": "Ro"#, "bad_tool_arguments"),
            ("weather", r#"["Rome"]"#, "bad_tool_arguments"),
            ("weather", r#"{"city": "\ud83d"}"#, ""),
            ("weather", r#"["\ud83d"]"#, "bad_tool_arguments"),
            ("now", "", ""),
            ("now", r#"{"anything": 1}"#, ""),
            ("unheard_of", "{}", ""),
            ("unheard_of", "7", "bad_tool_arguments"),
        ] {
            assert_eq!(shown(&request, &calls(name, arguments)), signs, "{name} {arguments}");
        }
        let custom =
            json!({"content": null, "tool_calls": [{"type": "custom", "custom": {"name": "sql", "input": "x"}}]});
        assert_eq!(shown(&request, &one(&custom, "tool_calls")), "");
        let older = json!({"messages": [], "functions": [{"name": "f", "parameters": {"required": ["x"]}}]});
        let call = json!({"content": null, "function_call": {"name": "f", "arguments": "{}"}});
        assert_eq!(shown(&older, &one(&call, "function_call")), "bad_tool_arguments");
    }

    /// A stream of chunks, each one's delta of a choice with its reason to stop, and the texts that a reader keeps.
    fn streamed(request: &Value, deltas: &[(u64, Value, Option<&str>)], text: &str) -> String {
        let mut collected = Collected::default();
        for (index, delta, finish) in deltas {
            let choices = json!([{"index": index, "delta": delta, "finish_reason": finish}]);
            let data = Bytes::from(json!({"choices": choices}).to_string());
            collected.add(&data, finish.is_some());
        }
        let request = ChatRequest::new(request.to_string());
        collected.judged(&request, &[text], Signs::ALL).signs.map_or("?".into(), Signs::list)
    }

    #[test]
    fn streams_show_what_whole_answers_show() {
        let plain = json!({"messages": []});
        let end = |finish| (0, json!({}), Some(finish));
        assert_eq!(streamed(&plain, &[(0, json!({"content": "An owl"}), None), end("stop")], "An owl"), "");
        assert_eq!(streamed(&plain, &[(0, json!({"role": "assistant"}), None), end("stop")], ""), "empty");
        assert_eq!(streamed(&plain, &[end("length")], "An ow"), "truncated");
        assert_eq!(streamed(&plain, &[end("content_filter")], ""), "refusal");
        assert_eq!(streamed(&plain, &[(0, json!({"refusal": "no"}), None), end("stop")], ""), "refusal");
        assert_eq!(streamed(&plain, &[end("stop")], "I can't help with that."), "refusal");
        let other = (1, json!({"content": "An owl"}), None);
        assert_eq!(streamed(&plain, &[end("stop"), other, (1, json!({}), Some("stop"))], ""), "");
        let tools = json!({"messages": [], "tools": [{"function": {"name": "f", "parameters": {"required": ["x"]}}}]});
        let call = |name: Option<&str>, arguments: &str| {
            let function = json!({"name": name, "arguments": arguments});
            (0, json!({"tool_calls": [{"index": 0, "function": function}]}), None)
        };
        let fine = [call(Some("f"), ""), call(None, r#"{"x""#), call(None, ": 1}"), end("tool_calls")];
        assert_eq!(streamed(&tools, &fine, ""), "");
        let bad = [call(Some("f"), ""), call(None, r#"{"y": 1}"#), end("tool_calls")];
        assert_eq!(streamed(&tools, &bad, ""), "bad_tool_arguments");
    }

    proptest! {
        #[test]
        fn any_bytes_are_no_answer_or_one(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,60}") {
            let request = ChatRequest::new("{}");
            let _ = of_answer(&request, &bytes, Signs::ALL);
            let mut collected = Collected::default();
            collected.add(&Bytes::from(bytes), true);
            let _ = collected.judged(&request, &[&text], Signs::ALL);
            let expected = if text.trim().is_empty() { Signs::EMPTY } else { Signs::NONE };
            let found = of_answer(&request, says(&text).as_bytes(), Signs::ALL).signs.unwrap();
            prop_assert!(found == expected || declines::refuses(&text));
        }
    }
}
