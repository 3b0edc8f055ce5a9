//! A request in `OpenAI`'s shape, changed to what one endpoint takes: nothing where nothing has to change.
//!
//! What keeps its meaning under another name is renamed. What cannot be passed on is left out and told
//! ([`Dropped`]), unless it says what holds anyway (`temperature` 1, `logprobs` false).

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::Endpoint;
use super::body::{Change, Fields, quoted};
use super::capabilities::{Capabilities, Json, Length, Must};
use super::family::Family;
use super::marks::Marks;
use super::request::{Dropped, Reading};
use super::{messages, needs};
use crate::error::{Error, Result};

/// Answers to one request that are asked for side by side at most; `OpenAI` allows as many.
const MOST_ANSWERS: u64 = 128;
/// What a model refuses while it thinks.
const SAMPLING: [&str; 7] =
    ["temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias"];
/// In rising order.
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
/// `OpenAI`'s parameters: what else a caller sends is meant for this server.
const PARAMETERS: [&str; 34] = [
    "max_completion_tokens",
    "max_tokens",
    "reasoning_effort",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "verbosity",
    "response_format",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "stream",
    "stream_options",
    "n",
    "seed",
    "stop",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "service_tier",
    "store",
    "metadata",
    "modalities",
    "audio",
    "prediction",
    "web_search_options",
    "functions",
    "function_call",
];

/// `Anthropic`'s own parameters, which `OpenAI` refuses: callers of the gateway write before the model is known.
const ANTHROPIC: [&str; 9] = [
    "thinking",
    "output_config",
    "top_k",
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "mcp_servers",
    "speed",
];

/// A request as one endpoint takes it.
#[derive(Debug)]
pub(super) struct Adapted {
    pub body: Bytes,
    pub reading: Reading,
    pub dropped: Vec<Dropped>,
    pub times: u32,
}

/// Changes `body` to what `endpoint` takes.
pub(super) fn adapt(endpoint: &Endpoint, caps: &Capabilities, body: &[u8], stream: bool) -> Result<Adapted> {
    let mut adapter = Adapter {
        fields: Fields::read(body)?,
        caps,
        endpoint,
        changes: vec![("model", Some(quoted(&endpoint.model)))],
        dropped: Vec::new(),
        reading: Reading::default(),
    };
    let marks = Marks::of(body);
    adapter.length();
    adapter.tools(marks)?;
    let effort = adapter.effort()?;
    adapter.sampling(effort.as_deref());
    adapter.seed();
    let times = adapter.answers()?;
    let words = adapter.format();
    adapter.streaming(stream)?;
    for &name in caps.refused {
        adapter.leave_out(name, "the model does not take it");
    }
    adapter.tier();
    adapter.unknown();
    adapter.messages(marks, words)?;
    let Adapter { fields, changes, dropped, reading, .. } = adapter;
    Ok(Adapted { body: fields.write(&changes), reading, dropped, times })
}

struct Adapter<'a> {
    fields: Fields<'a>,
    caps: &'a Capabilities,
    endpoint: &'a Endpoint,
    changes: Vec<Change>,
    dropped: Vec<Dropped>,
    reading: Reading,
}

impl Adapter<'_> {
    /// The JSON of a member as it stands now.
    fn get(&self, name: &str) -> Option<&[u8]> {
        match self.changes.iter().rev().find(|(known, _)| *known == name) {
            Some((_, value)) => value.as_deref(),
            None => self.fields.get(name),
        }
    }

    fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_slice(self.get(name)?).ok()
    }

    fn set(&mut self, name: &'static str, value: &Value) {
        self.changes.push((name, Some(value.to_string().into_bytes())));
    }

    fn remove(&mut self, name: &'static str) {
        if self.fields.has(name) || self.get(name).is_some() {
            self.changes.push((name, None));
        }
    }

    /// Leaves `name` out, and tells it unless that changes nothing.
    fn leave_out(&mut self, name: &'static str, why: &str) {
        let matters = self.value(name).is_some_and(|value| !is_default(name, &value));
        if matters {
            self.tell(name, why);
        }
        self.remove(name);
    }

    fn tell(&mut self, name: &str, why: &str) {
        self.dropped.push(Dropped { parameter: name.to_owned(), why: why.to_owned() });
    }

    fn length(&mut self) {
        let (old, new) = (self.fields.get("max_tokens"), self.fields.get("max_completion_tokens"));
        let given = new.or(old).map(<[u8]>::to_vec);
        let (keep, leave) = match self.caps.length {
            Length::New => ("max_completion_tokens", "max_tokens"),
            Length::Old => ("max_tokens", "max_completion_tokens"),
            Length::Either if new.is_some() => ("max_completion_tokens", "max_tokens"),
            Length::Either => return,
        };
        if self.fields.has(leave) {
            self.remove(leave);
            if let Some(given) = given {
                self.changes.push((keep, Some(given)));
            }
        }
    }

    fn tools(&mut self, marks: Marks) -> Result<()> {
        if !self.caps.functions && marks.any(Marks::FUNCTIONS) {
            self.modern();
        }
        let none = self.get("tools").is_none_or(|tools| matches!(tools, b"[]"));
        if none {
            for name in ["tools", "tool_choice", "parallel_tool_calls"] {
                self.remove(name);
            }
            return Ok(());
        }
        if marks.any(Marks::CACHE) && !self.caps.cache_marks {
            let mut tools = self.list("tools")?;
            for tool in tools.iter_mut().filter_map(Value::as_object_mut) {
                tool.shift_remove("cache_control");
                if let Some(Value::Object(function)) = tool.get_mut("function") {
                    function.shift_remove("cache_control");
                }
            }
            self.set("tools", &Value::Array(tools));
        }
        self.choice()
    }

    fn choice(&mut self) -> Result<()> {
        let Some(choice) = self.value("tool_choice") else { return Ok(()) };
        let mut choice = choice;
        if !self.caps.allowed_tools && choice.get("type").and_then(Value::as_str) == Some("allowed_tools") {
            choice = self.only_allowed(&choice)?;
            self.set("tool_choice", &choice);
        }
        if choice.as_str() == Some("required") {
            match self.caps.must {
                Must::Required => {}
                Must::Any => self.set("tool_choice", &"any".into()),
                Must::No => {
                    self.tell("tool_choice", "a call cannot be required of the model; `auto` is sent");
                    self.set("tool_choice", &"auto".into());
                }
            }
        }
        Ok(())
    }

    /// The tools that are allowed, for servers that know no such list, and the mode in its place.
    fn only_allowed(&mut self, choice: &Value) -> Result<Value> {
        let inner = choice.get("allowed_tools").unwrap_or(choice);
        let name = |tool: &Value| tool.pointer("/function/name").or_else(|| tool.get("name")).cloned();
        let names: Vec<Value> =
            inner.get("tools").and_then(Value::as_array).into_iter().flatten().filter_map(name).collect();
        let mut tools = self.list("tools")?;
        tools.retain(|tool| name(tool).is_some_and(|name| names.contains(&name)));
        if !tools.is_empty() {
            self.set("tools", &Value::Array(tools));
        }
        Ok(inner.get("mode").cloned().unwrap_or_else(|| "auto".into()))
    }

    /// `functions` and `function_call` under their newer names.
    fn modern(&mut self) {
        let Some(Value::Array(functions)) = self.value("functions") else { return };
        let tool = |function: Value| json!({"type": "function", "function": function});
        self.set("tools", &functions.into_iter().map(tool).collect());
        match self.value("function_call") {
            Some(Value::Object(call)) => self.set("tool_choice", &tool(Value::Object(call))),
            Some(mode) => self.set("tool_choice", &mode),
            None => {}
        }
        self.remove("functions");
        self.remove("function_call");
        self.reading.legacy_functions = true;
    }

    /// Sets the effort to one that is known; returns it.
    fn effort(&mut self) -> Result<Option<String>> {
        let Some(wanted) = self.value("reasoning_effort") else { return Ok(None) };
        let Value::String(wanted) = wanted else {
            return Err(Error::value(format!(
                "`reasoning_effort` must be one of {}, found {wanted}",
                EFFORTS.join(", ")
            )));
        };
        let reasons = || needs::facts(self.endpoint).and_then(|facts| facts.reasoning) != Some(false);
        let Some(known) = self.caps.efforts.or_else(|| if reasons() { None } else { Some(&[]) }) else {
            return Ok(Some(wanted));
        };
        if known.is_empty() {
            self.leave_out("reasoning_effort", "the model does not take it");
            return Ok(None);
        }
        let mut sent = nearest(&wanted, known);
        if self.caps.tools_or_effort && sent != "none" && self.get("tools").is_some() {
            self.tell("reasoning_effort", "the model takes no effort together with tools; `none` is sent");
            sent = "none";
        } else if sent != wanted {
            self.tell("reasoning_effort", &format!("the model does not know `{wanted}`; `{sent}` is sent"));
        }
        if sent != wanted {
            self.set("reasoning_effort", &sent.into());
        }
        Ok(Some(sent.to_owned()))
    }

    fn sampling(&mut self, effort: Option<&str>) {
        if self.caps.family.reasons() && effort != Some("none") {
            for name in SAMPLING {
                self.leave_out(name, "the model takes no sampling parameters while it reasons");
            }
        }
        let warmest = self.caps.warmest;
        if self.value("temperature").and_then(|value| value.as_f64()).is_some_and(|given| given > warmest)
            && warmest < 2.0
        {
            self.tell("temperature", &format!("the model takes {warmest} at most, which is sent"));
            self.set("temperature", &warmest.into());
        }
    }

    fn seed(&mut self) {
        let name = self.caps.seed;
        if name != "seed"
            && let Some(seed) = self.get("seed").map(<[u8]>::to_vec)
        {
            self.changes.push((name, Some(seed)));
        }
        if name != "seed" {
            self.remove("seed");
        }
    }

    fn tier(&mut self) {
        let known = self.caps.tiers;
        let given = self.value("service_tier");
        if !known.is_empty() && !given.is_some_and(|tier| tier.as_str().is_some_and(|tier| known.contains(&tier))) {
            self.leave_out("service_tier", "the provider has no class of service of that name");
        }
    }

    /// How often the request is sent.
    fn answers(&mut self) -> Result<u32> {
        if self.caps.many {
            return Ok(1);
        }
        let Some(given) = self.value("n") else { return Ok(1) };
        let times = given.as_u64().filter(|times| (1..=MOST_ANSWERS).contains(times));
        let times = times.ok_or_else(|| {
            Error::value(format!("`n` must be a whole number from 1 to {MOST_ANSWERS}, found {given}"))
        })?;
        self.remove("n");
        Ok(times as u32)
    }

    /// Words for the model where the form of its answer cannot be told otherwise.
    fn format(&mut self) -> Option<String> {
        let form = self.value("response_format")?;
        let kind = form.get("type").and_then(Value::as_str).unwrap_or_default();
        // Of others' models the price data tell it.
        let known = || {
            self.caps.family != Family::Unknown
                || needs::facts(self.endpoint).and_then(|facts| facts.schema) != Some(false)
        };
        let json = match self.caps.json {
            Json::Schema if kind == "json_schema" && !known() => Json::Object,
            json => json,
        };
        let schema = match (kind, json) {
            ("json_schema", Json::Object | Json::Words) => form.pointer("/json_schema/schema"),
            ("json_object", Json::Words) => None,
            _ => return None,
        };
        let why = if json == Json::Object {
            self.set("response_format", &json!({"type": "json_object"}));
            "the model takes no schema; JSON is asked for, and the schema told in words"
        } else {
            self.remove("response_format");
            "the model does not take it; the form of the answer is told in words"
        };
        self.tell("response_format", why);
        Some(match schema {
            Some(schema) => {
                format!("Answer with one JSON value that fits this JSON Schema, and with nothing else: {schema}")
            }
            None => "Answer with one JSON object, and with nothing else.".to_owned(),
        })
    }

    /// Asks for the usage of a stream, which the account needs; the caller sees it if it was his wish.
    fn streaming(&mut self, stream: bool) -> Result<()> {
        if self.get("stream") != Some(if stream { b"true" } else { b"false" })
            && (stream || self.get("stream").is_some())
        {
            self.set("stream", &stream.into());
        }
        if !stream {
            self.remove("stream_options");
            return Ok(());
        }
        let options = match self.value("stream_options") {
            None => Map::new(),
            Some(Value::Object(options)) => options,
            Some(other) => {
                return Err(Error::value(format!("`stream_options` must be an object, found {other}")));
            }
        };
        let asked = options.get("include_usage").and_then(Value::as_bool) == Some(true);
        self.reading.usage_asked = asked;
        if self.caps.known.is_some() || self.caps.alternates {
            // These tell it unasked.
            self.remove("stream_options");
        } else if !self.caps.stream_usage {
            let mut options = options;
            options.shift_remove("include_usage");
            if asked {
                self.tell("stream_options", "this version of the interface tells no usage of a stream");
            }
            self.remove("stream_options");
        } else if !asked {
            let mut options = options;
            options.insert("include_usage".into(), true.into());
            self.set("stream_options", &Value::Object(options));
        }
        Ok(())
    }

    /// Leaves out what a server with a closed list of parameters would refuse.
    fn unknown(&mut self) {
        if matches!(self.endpoint.provider, "openai" | "azure") {
            for name in ANTHROPIC.into_iter().filter(|name| self.fields.has(name)).collect::<Vec<_>>() {
                self.leave_out(name, "it is a parameter of Anthropic's alone");
            }
        }
        let Some(known) = self.caps.known else { return };
        let names: Vec<&'static str> = PARAMETERS
            .into_iter()
            .filter(|name| !known.contains(name) && self.fields.names().any(|given| given == *name))
            .collect();
        for name in names {
            self.leave_out(name, "the model does not take it");
        }
    }

    fn messages(&mut self, marks: Marks, words: Option<String>) -> Result<()> {
        let caps = self.caps;
        let touched = caps.strict_messages
            || caps.alternates
            || caps.plain_texts
            || words.is_some()
            || marks.any(Marks::DEVELOPER)
            || marks.any(Marks::REASONING)
            || marks.any(Marks::CACHE) && !caps.cache_marks
            || marks.any(Marks::CALLS) && (caps.ids.is_some() || marks.any(Marks::IMAGES))
            || marks.any(Marks::FUNCTIONS) && !caps.functions;
        if !touched || self.fields.get("messages").is_none() {
            return Ok(());
        }
        let before = self.list("messages")?;
        let mut after = before.clone();
        messages::adapt(&mut after, caps, &mut self.dropped);
        if let Some(words) = words {
            messages::instruct(&mut after, &words);
        }
        if after != before {
            self.set("messages", &Value::Array(after));
        }
        Ok(())
    }

    fn list(&self, name: &str) -> Result<Vec<Value>> {
        let json = self.get(name).unwrap_or(b"[]");
        serde_json::from_slice(json).map_err(|e| Error::value(format!("`{name}` must be a list in JSON: {e}")))
    }
}

/// The effort that is known and nearest to `wanted`, the next higher one first; an unknown word stays.
fn nearest<'a>(wanted: &'a str, known: &'static [&'static str]) -> &'a str {
    let rank = |effort: &str| EFFORTS.iter().position(|known| *known == effort);
    let Some(at) = rank(wanted) else { return wanted };
    if known.contains(&wanted) {
        return wanted;
    }
    // Not to think at all is another thing than to think a little.
    let mut thinking = known.iter().filter(|effort| **effort != "none");
    thinking
        .clone()
        .find(|effort| rank(effort).is_some_and(|rank| rank >= at))
        .or_else(|| thinking.next_back())
        .unwrap_or(&wanted)
}

/// Whether leaving `name` out is the same as sending this value.
fn is_default(name: &str, value: &Value) -> bool {
    let number = |default: f64| value.as_f64() == Some(default);
    match name {
        "temperature" | "top_p" => number(1.0),
        "presence_penalty" | "frequency_penalty" | "top_logprobs" => number(0.0),
        "logprobs" | "store" => *value == Value::Bool(false),
        "logit_bias" => value.as_object().is_some_and(Map::is_empty),
        "stop" => value.as_array().is_some_and(Vec::is_empty),
        "parallel_tool_calls" => *value == Value::Bool(true),
        "reasoning_effort" => value.as_str() == Some("none"),
        "verbosity" => value.as_str() == Some("medium"),
        "service_tier" => matches!(value.as_str(), Some("auto" | "default")),
        "modalities" => *value == json!(["text"]),
        // Told unasked, or of no use to the model.
        "stream_options" => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
