//! The messages of a request, changed to what one endpoint takes.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::capabilities::Capabilities;
use super::ids;
use super::request::Dropped;

/// Fields with reasoning and signatures; a provider takes back its own at most.
const REASONING: [&str; 6] = [
    "reasoning_content",
    "reasoning",
    "reasoning_details",
    "thinking_blocks",
    "extra_content",
    "provider_specific_fields",
];
/// The fields that every server knows.
const KNOWN: [&str; 5] = ["role", "content", "tool_calls", "tool_call_id", "prefix"];

/// Said in a user's place where a server wants one before or after the assistant.
const GO_ON: &str = "Continue.";

/// Changes `messages` in place; what a server does not know and the model would have read is told in `dropped`.
pub(super) fn adapt(messages: &mut Vec<Value>, caps: &Capabilities, dropped: &mut Vec<Dropped>) {
    let has_developer = messages.iter().any(|message| role(message) == "developer");
    let mut ids = Ids::default();
    let mut open = Vec::new();
    for (index, message) in messages.iter_mut().enumerate() {
        let Value::Object(fields) = message else { continue };
        match fields.get("role").and_then(Value::as_str) {
            Some("developer") if !caps.developer => set(fields, "role", "system"),
            // The two cannot stand side by side.
            Some("system") if caps.developer && has_developer && caps.family.reasons() => {
                set(fields, "role", "developer");
            }
            _ => {}
        }
        if !caps.functions {
            modern(fields, index, &mut open);
        }
        reasoning(fields, caps);
        content(fields, caps);
        calls(fields, caps);
        if let Some(rule) = caps.ids {
            ids.fit(fields, rule);
        }
        if caps.strict_messages {
            strict(fields, dropped);
        }
        let is_assistant = fields.get("role").and_then(Value::as_str) == Some("assistant");
        let speaks = ["content", "tool_calls", "function_call", "refusal", "audio"];
        if is_assistant && speaks.iter().all(|name| fields.get(*name).is_none_or(Value::is_null)) {
            set(fields, "content", "");
        }
    }
    if messages.iter().any(|message| role(message) == "tool" && shows(message)) {
        *messages = images_apart(std::mem::take(messages));
    }
    if caps.alternates {
        *messages = alternating(std::mem::take(messages));
    }
}

fn shows(message: &Value) -> bool {
    message.get("content").and_then(Value::as_array).is_some_and(|parts| parts.iter().any(|part| kind(part) != "text"))
}

/// Images that tools have answered with, in a message of the user's behind their texts: a tool's own holds text only.
fn images_apart(messages: Vec<Value>) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::with_capacity(messages.len() + 1);
    let mut images: Vec<Value> = Vec::new();
    let said = |images: &mut Vec<Value>| {
        let lead = json!({"type": "text", "text": "What the tools have shown:"});
        let parts: Vec<Value> = std::iter::once(lead).chain(images.drain(..)).collect();
        json!({"role": "user", "content": parts})
    };
    for mut message in messages {
        if role(&message) != "tool" {
            if !images.is_empty() {
                out.push(said(&mut images));
            }
            out.push(message);
            continue;
        }
        if let Some(Value::Array(parts)) = message.get_mut("content") {
            images.extend(parts.extract_if(.., |part| kind(part) != "text"));
            if parts.is_empty() {
                message["content"] = "(shown below)".into();
            }
        }
        out.push(message);
    }
    if !images.is_empty() {
        out.push(said(&mut images));
    }
    out
}

/// Tells the model in words what it cannot be told by a parameter.
pub(super) fn instruct(messages: &mut Vec<Value>, words: &str) {
    let first = messages.first_mut().filter(|message| matches!(role(message), "system" | "developer"));
    match first.and_then(|message| message.get_mut("content")) {
        Some(Value::String(text)) => *text = format!("{text}\n\n{words}"),
        Some(Value::Array(parts)) => parts.push(json!({"type": "text", "text": words})),
        _ => messages.insert(0, json!({"role": "system", "content": words})),
    }
}

fn role(message: &Value) -> &str {
    message.get("role").and_then(Value::as_str).unwrap_or_default()
}

fn set(fields: &mut Map<String, Value>, name: &str, value: &str) {
    fields.insert(name.to_owned(), value.into());
}

/// `function_call` and the role `function` in the form that took their place.
fn modern(fields: &mut Map<String, Value>, index: usize, open: &mut Vec<(String, String)>) {
    if let Some(call) = fields.remove("function_call").filter(Value::is_object) {
        let id = format!("call_{index}");
        let name = call.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        fields.insert("tool_calls".into(), json!([{"id": id, "type": "function", "function": call}]));
        open.push((name, id));
    }
    if fields.get("role").and_then(Value::as_str) == Some("function") {
        let name = fields.remove("name");
        let name = name.as_ref().and_then(Value::as_str).unwrap_or_default();
        let at = open.iter().position(|(known, _)| known == name).unwrap_or(0);
        if at < open.len() {
            set(fields, "tool_call_id", &open.remove(at).1);
        }
        set(fields, "role", "tool");
    }
}

/// Takes out the reasoning of others.
fn reasoning(fields: &mut Map<String, Value>, caps: &Capabilities) {
    let takes = |name: &str| caps.reasoning.contains(&name);
    // Reasoning beside another protocol's proofs is of that protocol, whatever its field.
    let signed = |value: &Value| value.as_array().is_none_or(|blocks| !blocks.is_empty()) && !value.is_null();
    let in_calls = |value: &Value| {
        value.as_array().is_some_and(|calls| calls.iter().any(|call| call.get("extra_content").is_some()))
    };
    let foreign = !takes("thinking_blocks") && fields.get("thinking_blocks").is_some_and(signed)
        || !takes("extra_content")
            && (fields.contains_key("extra_content") || fields.get("tool_calls").is_some_and(in_calls));
    for name in REASONING {
        let plain = matches!(name, "reasoning_content" | "reasoning");
        if !takes(name) || foreign && plain {
            fields.shift_remove(name);
        }
    }
    // Of our own, for the dialects that made them.
    if let Some(Value::Object(block)) = fields.get_mut("thinking_blocks").and_then(|blocks| blocks.get_mut(0)) {
        block.shift_remove("order");
    }
    if let Some(Value::Object(google)) = fields.get_mut("extra_content").and_then(|extra| extra.get_mut("google")) {
        google.shift_remove("parts");
    }
    if !caps.cache_marks {
        fields.shift_remove("cache_control");
    }
}

/// Takes out of a list of parts what this server does not know; a list of texts becomes one where only that is taken.
fn content(fields: &mut Map<String, Value>, caps: &Capabilities) {
    let Some(Value::Array(parts)) = fields.get_mut("content") else { return };
    let count = parts.len();
    parts.retain(|part| !matches!(kind(part), "thinking" | "redacted_thinking" | "reasoning"));
    for part in parts.iter_mut() {
        let refusal = if caps.ids == Some(ids::Rule::Forty) { None } else { part.get("refusal").cloned() };
        let Value::Object(part) = part else { continue };
        if !caps.cache_marks {
            part.shift_remove("cache_control");
        }
        if let Some(refusal) = refusal {
            part.shift_remove("refusal");
            set(part, "type", "text");
            part.insert("text".into(), refusal);
        }
    }
    if count > 0 && parts.is_empty() {
        fields.insert("content".into(), Value::Null);
    } else if caps.plain_texts && parts.iter().all(|part| kind(part) == "text") {
        let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
        let joined = texts.join("\n");
        set(fields, "content", &joined);
    }
}

fn kind(part: &Value) -> &str {
    part.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// Calls with the fields that are known, or none at all.
fn calls(fields: &mut Map<String, Value>, caps: &Capabilities) {
    match fields.get_mut("tool_calls") {
        Some(Value::Array(calls)) if !calls.is_empty() => {
            for call in calls.iter_mut().filter_map(Value::as_object_mut) {
                for name in ["extra_content", "provider_specific_fields", "index"] {
                    let takes = caps.reasoning.contains(&name);
                    if !takes {
                        call.shift_remove(name);
                    }
                }
                if caps.strict_messages {
                    call.retain(|name, _| matches!(name.as_str(), "id" | "type" | "function"));
                }
            }
        }
        Some(_) => {
            fields.shift_remove("tool_calls");
        }
        None => {}
    }
}

/// Leaves the fields that strict servers know.
fn strict(fields: &mut Map<String, Value>, dropped: &mut Vec<Dropped>) {
    let role = fields.get("role").and_then(Value::as_str).unwrap_or_default().to_owned();
    if fields.get("content").is_none_or(Value::is_null)
        && let Some(refusal) = fields.get("refusal").filter(|refusal| refusal.is_string()).cloned()
    {
        fields.insert("content".into(), refusal);
    }
    let named = fields.get("name").is_some_and(Value::is_string);
    if named && role != "tool" && !dropped.iter().any(|known| known.parameter == NAME) {
        dropped.push(Dropped {
            parameter: NAME.to_owned(),
            why: "the provider knows no names of speakers; they are left out".to_owned(),
        });
    }
    fields.retain(|name, _| KNOWN.contains(&name.as_str()) || role == "tool" && name == "name");
}

const NAME: &str = "messages[].name";

/// Ids of tool calls as they are sent.
#[derive(Default)]
struct Ids {
    /// Those of the latest calls.
    sent: HashMap<String, String>,
    used: HashSet<String>,
}

impl Ids {
    fn fit(&mut self, fields: &mut Map<String, Value>, rule: ids::Rule) {
        let list = fields.get_mut("tool_calls").and_then(Value::as_array_mut);
        for call in list.into_iter().flatten().filter_map(Value::as_object_mut) {
            let Some(Value::String(id)) = call.get_mut("id") else { continue };
            // Servers that number their calls from 0 use one id again and again.
            let mut fits = ids::fit(id, rule).into_owned();
            let mut again = 1;
            while !self.used.insert(fits.clone()) {
                again += 1;
                fits = ids::fit(&format!("{id}\u{1f}{again:035}"), rule).into_owned();
            }
            self.sent.insert(std::mem::replace(id, fits.clone()), fits);
        }
        if let Some(Value::String(id)) = fields.get_mut("tool_call_id") {
            let fits = self.sent.get(id).cloned().unwrap_or_else(|| ids::fit(id, rule).into_owned());
            *id = fits;
        }
    }
}

/// One system message, then user and assistant by turns, the user first and last. Tools are told in words.
fn alternating(messages: Vec<Value>) -> Vec<Value> {
    let mut system: Option<Value> = None;
    let mut turns: Vec<Value> = Vec::with_capacity(messages.len());
    for mut message in messages {
        let who = match role(&message) {
            "system" | "developer" => {
                system = Some(match system.take() {
                    None => message,
                    Some(before) => joined(before, &message),
                });
                continue;
            }
            "assistant" => "assistant",
            _ => "user",
        };
        in_words(&mut message);
        if let Value::Object(fields) = &mut message {
            set(fields, "role", who);
        }
        match turns.pop() {
            Some(before) if role(&before) == who => turns.push(joined(before, &message)),
            before => {
                turns.extend(before);
                turns.push(message);
            }
        }
    }
    if turns.first().is_none_or(|message| role(message) == "assistant") {
        turns.insert(0, json!({"role": "user", "content": GO_ON}));
    }
    if turns.last().is_some_and(|message| role(message) == "assistant") {
        turns.push(json!({"role": "user", "content": GO_ON}));
    }
    system.into_iter().chain(turns).collect()
}

/// Calls as text, and no trace of their ids.
fn in_words(message: &mut Value) {
    let Value::Object(fields) = message else { return };
    fields.shift_remove("tool_call_id");
    fields.shift_remove("name");
    let Some(Value::Array(calls)) = fields.shift_remove("tool_calls") else { return };
    let text = |call: &Value, name: &str| call.pointer(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let words =
        calls.iter().map(|call| format!("[{}({})]", text(call, "/function/name"), text(call, "/function/arguments")));
    let words = json!({"content": words.collect::<Vec<_>>().join("\n")});
    let content = joined(json!({"content": fields.get("content")}), &words);
    fields.insert("content".into(), content.get("content").cloned().unwrap_or_default());
}

/// `before` with the content of `after` behind its own.
fn joined(mut before: Value, after: &Value) -> Value {
    let parts = |content: Option<&Value>| match content {
        Some(Value::Array(parts)) => parts.clone(),
        Some(Value::String(text)) if !text.is_empty() => vec![json!({"type": "text", "text": text})],
        _ => Vec::new(),
    };
    let (first, second) = (before.get("content"), after.get("content"));
    let content = match (first, second) {
        (Some(Value::String(first)), Some(Value::String(second))) if !first.is_empty() && !second.is_empty() => {
            format!("{first}\n\n{second}").into()
        }
        (Some(Value::String(first)), Some(Value::String(second))) => format!("{first}{second}").into(),
        (None | Some(Value::Null), Some(Value::String(only)))
        | (Some(Value::String(only)), None | Some(Value::Null)) => only.clone().into(),
        (first, second) => Value::Array([parts(first), parts(second)].concat()),
    };
    if let Value::Object(fields) = &mut before {
        fields.insert("content".into(), content);
    }
    before
}
