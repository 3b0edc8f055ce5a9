//! Items of the conversation, as messages.

use serde_json::{Map, Value, json};

use super::super::failing::bad;
use super::super::json::{must_be, need_text, shortened, take, take_text};
use crate::error::Result;

/// The messages that `items` are; `list` is what the caller calls them.
pub(super) fn messages(items: Vec<Value>, list: &str) -> Result<Vec<Value>> {
    let mut out: Vec<Value> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let place = format!("{list}[{index}]");
        let Value::Object(item) = item else { return Err(bad(&place, format!("`{place}` must be an object"))) };
        one(&place, item, &mut out)?;
    }
    Ok(out)
}

fn one(place: &str, mut item: Map<String, Value>, out: &mut Vec<Value>) -> Result<()> {
    let kind = take_text(&mut item, "type", place)?;
    match kind.as_deref().unwrap_or("message") {
        "message" => out.push(message(place, item)?),
        "function_call" => {
            let (id, name) = (need_text(&mut item, "call_id", place)?, need_text(&mut item, "name", place)?);
            let arguments = take_text(&mut item, "arguments", place)?.unwrap_or_default();
            let function = json!({"name": name, "arguments": arguments});
            call(json!({"id": id, "type": "function", "function": function}), out);
        }
        "custom_tool_call" => {
            let (id, name) = (need_text(&mut item, "call_id", place)?, need_text(&mut item, "name", place)?);
            let input = take_text(&mut item, "input", place)?.unwrap_or_default();
            call(json!({"id": id, "type": "custom", "custom": {"name": name, "input": input}}), out);
        }
        "function_call_output" | "custom_tool_call_output" => {
            let id = need_text(&mut item, "call_id", place)?;
            let output = take(&mut item, "output").unwrap_or_else(|| "".into());
            let content = content(&format!("{place}.output"), output)?;
            out.push(json!({"role": "tool", "tool_call_id": id, "content": content}));
        }
        // A summary of thoughts; their proofs are kept by the ids of the calls they led to.
        "reasoning" => {}
        "item_reference" => {
            let told =
                format!("`{place}`: there is nothing to refer to, since nothing is stored here: send the item itself");
            return Err(bad(place, told));
        }
        other => {
            let told = format!(
                "`{place}`: items of type message, function_call, function_call_output, custom_tool_call, \
                 custom_tool_call_output and reasoning are known here, found `{}`",
                shortened(other)
            );
            return Err(bad(place, told));
        }
    }
    Ok(())
}

/// Calls that follow each other, and the text before them, are one message.
fn call(call: Value, out: &mut Vec<Value>) {
    if let Some(Value::Object(last)) = out.last_mut()
        && last.get("role").is_some_and(|role| role == "assistant")
    {
        match last.entry("tool_calls").or_insert_with(|| json!([])) {
            Value::Array(calls) => calls.push(call),
            other => *other = json!([call]),
        }
        return;
    }
    out.push(json!({"role": "assistant", "content": null, "tool_calls": [call]}));
}

fn message(place: &str, mut item: Map<String, Value>) -> Result<Value> {
    let role = need_text(&mut item, "role", place)?;
    if !matches!(role.as_str(), "user" | "assistant" | "system" | "developer") {
        return Err(must_be("role", place, "user, assistant, system or developer"));
    }
    let given = take(&mut item, "content");
    let given = given.ok_or_else(|| must_be("content", place, "a string or a list of parts"))?;
    let content = content(&format!("{place}.content"), given)?;
    Ok(json!({"role": role, "content": content}))
}

/// Parts as `OpenAI`'s older shape has them; nothing but texts is one text.
fn content(place: &str, given: Value) -> Result<Value> {
    let parts = match given {
        Value::String(text) => return Ok(text.into()),
        Value::Array(parts) => parts,
        _ => return Err(bad(place, format!("`{place}` must be a string or a list of parts"))),
    };
    let mut made = Vec::with_capacity(parts.len());
    for (index, part) in parts.into_iter().enumerate() {
        let place = format!("{place}[{index}]");
        let Value::Object(part) = part else { return Err(bad(&place, format!("`{place}` must be an object"))) };
        made.push(self::part(&place, part)?);
    }
    let text = |part: &Value| (part["type"] == "text").then(|| part["text"].as_str().map(str::to_owned)).flatten();
    match made.iter().map(text).collect::<Option<Vec<String>>>() {
        Some(texts) => Ok(texts.join("\n").into()),
        None => Ok(Value::Array(made)),
    }
}

fn part(place: &str, mut part: Map<String, Value>) -> Result<Value> {
    let kind = need_text(&mut part, "type", place)?;
    Ok(match kind.as_str() {
        "input_text" | "output_text" | "text" | "summary_text" => {
            json!({"type": "text", "text": need_text(&mut part, "text", place)?})
        }
        "refusal" => json!({"type": "refusal", "refusal": need_text(&mut part, "refusal", place)?}),
        "input_image" => {
            let Some(url) = take_text(&mut part, "image_url", place)? else {
                return Err(must_be("image_url", place, "a URL; uploaded images are not read here"));
            };
            let mut image = Map::new();
            image.insert("url".to_owned(), url.into());
            if let Some(detail) = take(&mut part, "detail") {
                image.insert("detail".to_owned(), detail);
            }
            json!({"type": "image_url", "image_url": image})
        }
        "input_file" => {
            let fields = ["filename", "file_data", "file_id", "file_url"];
            let file = fields.into_iter().filter_map(|name| Some((name.to_owned(), take(&mut part, name)?)));
            json!({"type": "file", "file": file.collect::<Map<_, _>>()})
        }
        "input_audio" => {
            json!({"type": "input_audio", "input_audio": take(&mut part, "input_audio").unwrap_or_default()})
        }
        other => {
            let told = format!(
                "`{place}`: a part must be input_text, input_image, input_file, input_audio, output_text or refusal, found `{}`",
                shortened(other)
            );
            return Err(bad(place, told));
        }
    })
}
