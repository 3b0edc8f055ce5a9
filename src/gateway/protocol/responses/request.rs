//! From a request for a response to one for a chat completion.

use serde_json::{Map, Value, json};

use super::super::extras;
use super::super::failing::bad;
use super::super::json::{must_be, need_text, shortened, take, take_flag, take_list, take_object, take_text};
use super::{Echo, input};
use crate::error::{Error, Result};

/// What an answer repeats as it was asked for.
const ECHOED: [&str; 14] = [
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "user",
];

/// A request that is understood.
pub(super) struct Read {
    /// In `OpenAI`'s older shape.
    pub body: Map<String, Value>,
    pub model: String,
    pub stream: bool,
    pub said: extras::Said,
    pub echo: Echo,
}

/// Reads a request.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) for what the protocol does not know and for what needs a memory, naming the place.
pub(super) fn read(mut given: Map<String, Value>) -> Result<Read> {
    let said = extras::taken(&mut given)?;
    let echo = ECHOED.iter().filter_map(|name| Some(((*name).to_owned(), given.get(*name)?.clone()))).collect();
    stateless(&mut given)?;
    let model = need_text(&mut given, "model", "")?;
    let stream = take_flag(&mut given, "stream")?.unwrap_or(false);
    let mut messages = Vec::new();
    match take(&mut given, "instructions") {
        None => {}
        Some(Value::String(text)) => messages.push(json!({"role": "system", "content": text})),
        Some(Value::Array(items)) => messages.extend(input::messages(items, "instructions")?),
        Some(_) => return Err(must_be("instructions", "", "a string")),
    }
    match take(&mut given, "input") {
        Some(Value::String(text)) => messages.push(json!({"role": "user", "content": text})),
        Some(Value::Array(items)) if !items.is_empty() => messages.extend(input::messages(items, "input")?),
        _ => return Err(must_be("input", "", "a string or a list with at least one item")),
    }
    let mut body = Map::new();
    body.insert("model".to_owned(), model.as_str().into());
    body.insert("messages".to_owned(), Value::Array(messages));
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    set("max_tokens", take(&mut given, "max_output_tokens"));
    let tools = take_list(&mut given, "tools", "")?;
    if !tools.is_empty() {
        let tools = tools.into_iter().enumerate().map(|(index, tool)| self::tool(index, tool));
        set("tools", Some(Value::Array(tools.collect::<Result<_>>()?)));
    }
    set("tool_choice", take(&mut given, "tool_choice").map(choice).transpose()?);
    let mut text = take_object(&mut given, "text", "")?;
    set("response_format", take(&mut text, "format").map(format).transpose()?.flatten());
    set("verbosity", take(&mut text, "verbosity"));
    let mut reasoning = take_object(&mut given, "reasoning", "")?;
    set("reasoning_effort", take(&mut reasoning, "effort"));
    let top = take(&mut given, "top_logprobs").filter(|top| *top != 0);
    let included = take_list(&mut given, "include", "")?;
    if top.is_some() || included.iter().any(|one| one == "message.output_text.logprobs") {
        set("logprobs", Some(true.into()));
    }
    set("top_logprobs", top);
    if stream {
        set("stream", Some(true.into()));
        // Told at the end of every stream of this protocol.
        set("stream_options", Some(json!({"include_usage": true})));
    }
    // How the answer is cut into events and what is kept of it, which is nothing.
    for name in ["stream_options", "store", "truncation", "max_tool_calls", "context_management"] {
        given.shift_remove(name);
    }
    // Those that both know by one name, and newer ones.
    for (name, value) in given {
        if !value.is_null() {
            body.entry(name).or_insert(value);
        }
    }
    Ok(Read { body, model, stream, said, echo })
}

/// Refuses what would need a memory.
fn stateless(given: &mut Map<String, Value>) -> Result<()> {
    for (name, instead) in [
        ("previous_response_id", "send the earlier items in `input`"),
        ("conversation", "send the earlier items in `input`"),
        ("prompt", "send the text itself in `instructions` and `input`"),
    ] {
        if take(given, name).is_some() {
            return Err(bad(name, format!("`{name}` is not known here, since nothing is stored: {instead}")));
        }
    }
    if take_flag(given, "background")? == Some(true) {
        return Err(bad(
            "background",
            "`background` must be false: nothing is stored here that could be asked for later",
        ));
    }
    Ok(())
}

fn tool(index: usize, tool: Value) -> Result<Value> {
    let place = format!("tools[{index}]");
    let Value::Object(mut tool) = tool else { return Err(bad(&place, format!("`{place}` must be an object"))) };
    let kind = need_text(&mut tool, "type", &place)?;
    let known: &[&str] = match kind.as_str() {
        "function" => &["name", "description", "parameters", "strict"],
        "custom" => &["name", "description", "format"],
        other => return Err(hosted(&place, other)),
    };
    let mut inner = Map::new();
    for &name in known {
        if let Some(value) = take(&mut tool, name) {
            inner.insert(name.to_owned(), value);
        }
    }
    if !inner.get("name").is_some_and(Value::is_string) {
        return Err(must_be("name", &place, "a string"));
    }
    if let Some(Value::Object(format)) = inner.get_mut("format")
        && format.get("type").is_some_and(|kind| kind == "grammar")
    {
        let grammar = ["syntax", "definition"].map(|name| (name.to_owned(), take(format, name).unwrap_or_default()));
        format.insert("grammar".to_owned(), Value::Object(Map::from_iter(grammar)));
    }
    let mut made = Map::new();
    made.insert("type".to_owned(), kind.as_str().into());
    made.insert(kind, Value::Object(inner));
    Ok(Value::Object(made))
}

fn hosted(place: &str, kind: &str) -> Error {
    bad(
        place,
        format!(
            "`{place}`: tools of type function and custom are known here, not `{}`, which runs at OpenAI's",
            shortened(kind)
        ),
    )
}

fn choice(given: Value) -> Result<Value> {
    let wrong = || must_be("tool_choice", "", "none, auto, required, or an object that names a function");
    let mut given = match given {
        Value::String(word) if matches!(word.as_str(), "none" | "auto" | "required") => return Ok(word.into()),
        Value::Object(given) => given,
        _ => return Err(wrong()),
    };
    let kind = need_text(&mut given, "type", "tool_choice")?;
    match kind.as_str() {
        "function" | "custom" => {
            let name = need_text(&mut given, "name", "tool_choice")?;
            let mut made = Map::new();
            made.insert("type".to_owned(), kind.as_str().into());
            made.insert(kind, json!({"name": name}));
            Ok(Value::Object(made))
        }
        "allowed_tools" => {
            let manner = take_text(&mut given, "mode", "tool_choice")?.unwrap_or_else(|| "auto".to_owned());
            let mut tools = Vec::new();
            for tool in take_list(&mut given, "tools", "tool_choice")? {
                let Value::Object(mut tool) = tool else { return Err(wrong()) };
                let kind = need_text(&mut tool, "type", "tool_choice.tools")?;
                if !matches!(kind.as_str(), "function" | "custom") {
                    return Err(hosted("tool_choice.tools", &kind));
                }
                let name = need_text(&mut tool, "name", "tool_choice.tools")?;
                let mut made = Map::new();
                made.insert("type".to_owned(), kind.as_str().into());
                made.insert(kind, json!({"name": name}));
                tools.push(Value::Object(made));
            }
            Ok(json!({"type": "allowed_tools", "allowed_tools": {"mode": manner, "tools": tools}}))
        }
        other => Err(hosted("tool_choice", other)),
    }
}

/// `response_format`; `None` for free text.
fn format(given: Value) -> Result<Option<Value>> {
    let wrong = || must_be("text.format", "", "an object of type text, json_object or json_schema");
    let Value::Object(mut given) = given else { return Err(wrong()) };
    match need_text(&mut given, "type", "text.format")?.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(json!({"type": "json_object"}))),
        "json_schema" => {
            given.retain(|_, value| !value.is_null());
            Ok(Some(json!({"type": "json_schema", "json_schema": given})))
        }
        _ => Err(wrong()),
    }
}
