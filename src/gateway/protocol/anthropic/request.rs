//! From a request for a message to one for a chat completion.

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_128;

use super::super::extras;
use super::super::failing::bad;
use super::super::json::{must_be, need_text, take, take_flag, take_list, take_object, take_text};
use super::content;
use crate::error::Result;

/// `OpenAI` takes no longer name of a user.
const LONGEST_USER: usize = 64;

/// A request that is understood.
pub(super) struct Read {
    /// In `OpenAI`'s shape; inputs of tools may hold marked numbers.
    pub body: Map<String, Value>,
    pub model: String,
    pub stream: bool,
    pub said: extras::Said,
    /// The caller wants to see what the model thinks.
    pub thinks: bool,
}

/// Reads a request; `limited` says whether it must have `max_tokens`.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) for what the protocol does not know, naming the place.
pub(super) fn read(mut given: Map<String, Value>, limited: bool) -> Result<Read> {
    let said = extras::taken(&mut given)?;
    let model = need_text(&mut given, "model", "")?;
    let stream = take_flag(&mut given, "stream")?.unwrap_or(false);
    let most = take(&mut given, "max_tokens");
    let whole = |most: &Value| most.as_u64().is_some_and(|most| most > 0);
    if most.as_ref().map_or(limited, |most| !whole(most)) {
        return Err(must_be("max_tokens", "", "a whole number above 0: the longest answer, in tokens"));
    }
    let mut messages = Vec::new();
    if let Some(system) = take(&mut given, "system") {
        messages.push(content::system(system)?);
    }
    let list = take_list(&mut given, "messages", "")?;
    if list.is_empty() {
        return Err(must_be("messages", "", "a list with at least one message"));
    }
    for (index, message) in list.into_iter().enumerate() {
        content::message(index, message, &mut messages)?;
    }
    let mut body = Map::new();
    body.insert("model".to_owned(), model.as_str().into());
    body.insert("messages".to_owned(), Value::Array(messages));
    let mut set = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    set("max_tokens", most);
    for name in ["temperature", "top_p"] {
        set(name, take(&mut given, name));
    }
    set("stop", take(&mut given, "stop_sequences").filter(|stop| stop.as_array().is_none_or(|list| !list.is_empty())));
    let tools = take_list(&mut given, "tools", "")?;
    if !tools.is_empty() {
        let tools = tools.into_iter().enumerate().map(|(index, tool)| self::tool(index, tool));
        set("tools", Some(Value::Array(tools.collect::<Result<_>>()?)));
    }
    let (choice, parallel) = choice(take_object(&mut given, "tool_choice", "")?)?;
    set("tool_choice", choice);
    set("parallel_tool_calls", parallel);
    let user = take_object(&mut given, "metadata", "")?;
    set("user", user.get("user_id").and_then(Value::as_str).map(|user| self::user(user).into()));
    set(
        "service_tier",
        take_text(&mut given, "service_tier", "")?
            .map(|tier| if tier == "standard_only" { "default".into() } else { tier.into() }),
    );
    let Thinking { thinking, effort, format, config, shown } = thinking(&mut given)?;
    set("thinking", thinking);
    set("reasoning_effort", effort);
    set("response_format", format);
    set("output_config", (!config.is_empty()).then_some(Value::Object(config)));
    if stream {
        set("stream", Some(true.into()));
        // Told at the end of every stream of this protocol.
        set("stream_options", Some(json!({"include_usage": true})));
    }
    // Of theirs alone, or newer than this.
    for (name, value) in given {
        if !value.is_null() {
            body.entry(name).or_insert(value);
        }
    }
    Ok(Read { body, model, stream, said, thinks: shown })
}

/// A name of a user as every provider takes it: a long one becomes another, always the same.
fn user(user: &str) -> String {
    if user.len() <= LONGEST_USER { user.to_owned() } else { format!("{:032x}", xxh3_128(user.as_bytes())) }
}

/// A tool of the caller's is a function; Anthropic's own go on as they are.
fn tool(index: usize, tool: Value) -> Result<Value> {
    let place = format!("tools[{index}]");
    let Value::Object(mut tool) = tool else { return Err(bad(&place, format!("`{place}` must be an object"))) };
    if tool.get("type").and_then(Value::as_str).is_some_and(|kind| kind != "custom") {
        return Ok(Value::Object(tool));
    }
    let mut function = Map::new();
    function.insert("name".to_owned(), need_text(&mut tool, "name", &place)?.into());
    if let Some(description) = take_text(&mut tool, "description", &place)? {
        function.insert("description".to_owned(), description.into());
    }
    let Some(schema @ Value::Object(_)) = take(&mut tool, "input_schema") else {
        return Err(must_be("input_schema", &place, "an object"));
    };
    function.insert("parameters".to_owned(), schema);
    if let Some(strict) = take(&mut tool, "strict") {
        function.insert("strict".to_owned(), strict);
    }
    let mut made = Map::new();
    made.insert("type".to_owned(), "function".into());
    made.insert("function".to_owned(), Value::Object(function));
    if let Some(mark) = take(&mut tool, "cache_control") {
        made.insert("cache_control".to_owned(), mark);
    }
    Ok(Value::Object(made))
}

/// `tool_choice` and `parallel_tool_calls`.
fn choice(mut given: Map<String, Value>) -> Result<(Option<Value>, Option<Value>)> {
    if given.is_empty() {
        return Ok((None, None));
    }
    let choice = match need_text(&mut given, "type", "tool_choice")?.as_str() {
        "auto" => "auto".into(),
        "any" => "required".into(),
        "none" => "none".into(),
        "tool" => {
            let name = need_text(&mut given, "name", "tool_choice")?;
            json!({"type": "function", "function": {"name": name}})
        }
        _ => return Err(must_be("type", "tool_choice", "auto, any, tool or none")),
    };
    let alone = given.get("disable_parallel_tool_use") == Some(&Value::Bool(true));
    Ok((Some(choice), alone.then_some(false.into())))
}

/// What is said of thinking and of the answer's form.
#[expect(clippy::struct_field_names, reason = "the names of the file and the wire")]
struct Thinking {
    thinking: Option<Value>,
    effort: Option<Value>,
    format: Option<Value>,
    /// The rest of `output_config`.
    config: Map<String, Value>,
    shown: bool,
}

fn thinking(given: &mut Map<String, Value>) -> Result<Thinking> {
    let thinking = take_object(given, "thinking", "")?;
    let kind = thinking.get("type").and_then(Value::as_str);
    // For models that know an effort and no budget.
    let mut effort: Option<Value> = match kind {
        Some("disabled") => Some("none".into()),
        Some("enabled") => thinking.get("budget_tokens").and_then(Value::as_u64).map(|budget| match budget {
            0..=4096 => "low".into(),
            4097..=12_288 => "medium".into(),
            _ => "high".into(),
        }),
        _ => None,
    };
    let shown = matches!(kind, Some("enabled" | "adaptive"));
    let mut config = take_object(given, "output_config", "")?;
    if let Some(named) = take_text(&mut config, "effort", "output_config")?.filter(|_| kind != Some("disabled")) {
        effort = Some(named.into());
    }
    let format = take(&mut config, "format").or_else(|| take(given, "output_format"));
    let format = format.map(self::format).transpose()?;
    let thinking = (!thinking.is_empty()).then_some(Value::Object(thinking));
    Ok(Thinking { thinking, effort, format, config, shown })
}

/// `response_format`. Strict only where `OpenAI` would take the schema as strict.
fn format(given: Value) -> Result<Value> {
    let wrong = || must_be("output_config.format", "", "an object of type json_schema with `schema`, an object");
    let Value::Object(mut given) = given else { return Err(wrong()) };
    if given.get("type").and_then(Value::as_str) != Some("json_schema") {
        return Err(wrong());
    }
    let Some(schema @ Value::Object(_)) = take(&mut given, "schema") else { return Err(wrong()) };
    let mut inner = Map::new();
    inner.insert("name".to_owned(), "answer".into());
    if is_strict(&schema, 0) {
        inner.insert("strict".to_owned(), true.into());
    }
    inner.insert("schema".to_owned(), schema);
    Ok(json!({"type": "json_schema", "json_schema": inner}))
}

/// Deeper schemas are taken for strict as far as they were looked at.
const DEEPEST: usize = 64;

/// Whether every object in a schema is closed and has no property that may be missing.
fn is_strict(schema: &Value, depth: usize) -> bool {
    if depth > DEEPEST {
        return true;
    }
    match schema {
        Value::Array(list) => list.iter().all(|inner| is_strict(inner, depth + 1)),
        Value::Object(fields) => {
            if let Some(properties) = fields.get("properties").and_then(Value::as_object) {
                let required = fields.get("required").and_then(Value::as_array);
                let needed = |name: &String| required.is_some_and(|list| list.iter().any(|one| one == name.as_str()));
                if fields.get("additionalProperties") != Some(&Value::Bool(false)) || !properties.keys().all(needed) {
                    return false;
                }
            }
            fields.iter().all(|(name, inner)| {
                matches!(name.as_str(), "enum" | "const" | "default" | "examples") || is_strict(inner, depth + 1)
            })
        }
        _ => true,
    }
}
