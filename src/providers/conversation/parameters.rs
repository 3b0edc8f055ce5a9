//! Everything a request says beside its messages.

use std::fmt;

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// How hard the model is to think, least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all.
    None,
    /// `minimal`
    Minimal,
    /// `low`
    Low,
    /// `medium`
    Medium,
    /// `high`
    High,
    /// `xhigh`
    Xhigh,
    /// `max`
    Max,
}

impl Effort {
    /// The one called `name`.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "none" => Self::None,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" => Self::High,
            "xhigh" => Self::Xhigh,
            "max" => Self::Max,
            _ => return None,
        })
    }
}

/// A tool the model may call.
#[derive(Debug, Clone)]
pub enum Tool<'a> {
    /// A function of the caller's.
    Function(Function<'a>),
    /// Of a type that only some provider knows, as written.
    Other(&'a Value),
}

/// A function of the caller's.
#[derive(Debug, Clone)]
pub struct Function<'a> {
    /// Name.
    pub name: &'a str,
    /// What it does.
    pub description: Option<&'a str>,
    /// JSON Schema of its arguments.
    pub parameters: Option<&'a Map<String, Value>>,
    /// Whether arguments must follow the schema.
    pub strict: Option<bool>,
    /// `cache_control` as the caller wrote it, on the tool or on its function.
    pub cache: Option<&'a Value>,
}

/// Whether and what the model has to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice<'a> {
    /// As it likes.
    Auto,
    /// Nothing.
    None,
    /// At least one.
    Required,
    /// This one.
    Named(&'a str),
    /// One of these, or none of them where it is not required.
    Allowed {
        /// Names of functions.
        names: Vec<&'a str>,
        /// Whether one has to be called.
        required: bool,
    },
}

/// The form of the answer.
#[derive(Debug, Clone, Copy)]
pub enum Format<'a> {
    /// Free.
    Text,
    /// Some JSON object.
    Object,
    /// JSON of a schema.
    Schema(Schema<'a>),
}

/// `response_format.json_schema`.
#[derive(Debug, Clone, Copy)]
pub struct Schema<'a> {
    /// Name.
    pub name: &'a str,
    /// What it is for.
    pub description: Option<&'a str>,
    /// The schema; `None` allows anything.
    pub schema: Option<&'a Map<String, Value>>,
    /// Whether the answer must follow it.
    pub strict: Option<bool>,
}

/// What a request says beside its messages; `null` is the same as nothing.
#[derive(Debug, Clone)]
pub struct Parameters<'a> {
    /// The longest answer: `max_completion_tokens`, else `max_tokens`; at least 1.
    pub max_tokens: Option<u64>,
    /// Which of the two says so, for reports.
    pub length_parameter: &'static str,
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// Where the answer ends.
    pub stop: Vec<&'a str>,
    /// How many answers, at least 1.
    pub n: u32,
    /// For repeatable sampling.
    pub seed: Option<i64>,
    /// Penalties.
    pub presence_penalty: Option<f64>,
    /// Penalties.
    pub frequency_penalty: Option<f64>,
    /// Log probabilities of what was said.
    pub logprobs: bool,
    /// And of how many alternatives.
    pub top_logprobs: Option<u64>,
    /// `reasoning_effort`, or `reasoning.effort`.
    pub effort: Option<Effort>,
    /// Tools; `functions` are among them.
    pub tools: Vec<Tool<'a>>,
    /// `tool_choice`, else `function_call`.
    pub tool_choice: Option<ToolChoice<'a>>,
    /// Whether it may call several at once.
    pub parallel: Option<bool>,
    /// `response_format`.
    pub format: Format<'a>,
    /// `user`, else `safety_identifier`.
    pub user: Option<&'a str>,
    /// `service_tier`.
    pub service_tier: Option<&'a str>,
    /// `stream_options.include_usage`.
    pub include_usage: bool,
    /// The caller speaks `functions` and `function_call`, and is to be answered so.
    pub legacy: bool,
    /// All others that say something, in the caller's order: to be passed on by name or reported as dropped.
    pub others: Vec<(&'a str, &'a Value)>,
}

/// What is read into the fields above, or is no business of a dialect's.
const KNOWN: [&str; 26] = [
    "model",
    "messages",
    "stream",
    "stream_options",
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "top_p",
    "stop",
    "n",
    "seed",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "reasoning_effort",
    "tools",
    "functions",
    "tool_choice",
    "function_call",
    "parallel_tool_calls",
    "response_format",
    "user",
    "safety_identifier",
    "service_tier",
    "ferroute",
];
/// More answers than this to one request are a mistake (`OpenAI`'s own limit).
const MOST_ANSWERS: u64 = 128;

impl<'a> Parameters<'a> {
    /// Reads all of `object` but `messages`.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for what is not in `OpenAI`'s shape.
    pub fn read(object: &'a Map<String, Value>) -> Result<Self> {
        let fields = Fields(object);
        let mut others: Vec<_> = object
            .iter()
            .filter(|(name, value)| !KNOWN.contains(&name.as_str()) && says_something(value))
            .map(|(name, value)| (name.as_str(), value))
            .collect();
        let mut effort = None;
        if let Some(name) = fields.text("reasoning_effort")? {
            effort = Effort::named(name);
            if effort.is_none() {
                others.extend(object.get_key_value("reasoning_effort").map(|(name, value)| (name.as_str(), value)));
            }
        } else if let Some(name) = object.get("reasoning").and_then(|reasoning| reasoning.get("effort")?.as_str()) {
            effort = Effort::named(name);
            others.retain(|(name, _)| *name != "reasoning" || effort.is_none());
        }
        let mut tools = Vec::new();
        for (index, tool) in fields.list("tools")?.iter().enumerate() {
            tools.push(read_tool(index, tool)?);
        }
        let functions = fields.list("functions")?;
        for (index, function) in functions.iter().enumerate() {
            let function =
                read_function(function, None).ok_or_else(|| must_be(&format!("functions[{index}]"), FUNCTION))?;
            tools.push(Tool::Function(function));
        }
        let choice = fields.get("tool_choice").map(|choice| read_choice("tool_choice", choice));
        let choice = choice.or_else(|| fields.get("function_call").map(|choice| read_choice("function_call", choice)));
        let newer = fields.get("max_completion_tokens").is_some();
        Ok(Self {
            length_parameter: if newer { "max_completion_tokens" } else { "max_tokens" },
            max_tokens: match fields.whole("max_completion_tokens")? {
                Some(most) => Some(most),
                None => fields.whole("max_tokens")?,
            },
            temperature: fields.number("temperature")?,
            top_p: fields.number("top_p")?,
            stop: fields.stop()?,
            n: match fields.get("n").map(whole) {
                None => 1,
                Some(Some(n @ 1..=MOST_ANSWERS)) => n as u32,
                Some(_) => return Err(must_be("n", "a whole number from 1 to 128")),
            },
            seed: fields.get("seed").and_then(|seed| seed.as_i64().or_else(|| seed.as_f64().map(|seed| seed as i64))),
            presence_penalty: fields.number("presence_penalty")?,
            frequency_penalty: fields.number("frequency_penalty")?,
            logprobs: fields.flag("logprobs")?.unwrap_or(false),
            top_logprobs: fields.get("top_logprobs").and_then(whole),
            effort,
            tools,
            tool_choice: choice.transpose()?,
            parallel: fields.flag("parallel_tool_calls")?,
            format: fields.format()?,
            user: match fields.text("user")? {
                Some(user) => Some(user),
                None => fields.text("safety_identifier")?,
            },
            service_tier: fields.text("service_tier")?,
            include_usage: fields
                .get("stream_options")
                .and_then(|options| options.get("include_usage")?.as_bool())
                .unwrap_or(false),
            legacy: !functions.is_empty() && fields.list("tools")?.is_empty(),
            others,
        })
    }
}

/// Values that are the same as saying nothing.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(object) => !object.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    }
}

/// A whole number, written as one or as `300.0`.
fn whole(value: &Value) -> Option<u64> {
    let float = || value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0 && *number < 9e15);
    value.as_u64().or_else(|| float().map(|number| number as u64))
}

fn must_be(name: &str, what: impl fmt::Display) -> Error {
    Error::value(format!("`{name}` must be {what}"))
}

const FUNCTION: &str = "an object with `name`, a string, and `parameters`, an object or nothing";

struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>> {
        let text = self.get(name).map(|value| value.as_str().ok_or_else(|| must_be(name, "a string")));
        Ok(text.transpose()?.filter(|text| !text.is_empty()))
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.get(name).map(|value| value.as_bool().ok_or_else(|| must_be(name, "true or false"))).transpose()
    }

    fn number(&self, name: &str) -> Result<Option<f64>> {
        self.get(name).map(|value| value.as_f64().ok_or_else(|| must_be(name, "a number"))).transpose()
    }

    fn whole(&self, name: &str) -> Result<Option<u64>> {
        let least_one = |value| whole(value).filter(|number| *number > 0);
        self.get(name).map(|value| least_one(value).ok_or_else(|| must_be(name, "a whole number above 0"))).transpose()
    }

    fn list(&self, name: &str) -> Result<&'a [Value]> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(must_be(name, "a list")),
        }
    }

    fn stop(&self) -> Result<Vec<&'a str>> {
        let wrong = || must_be("stop", "a string or a list of strings");
        match self.get("stop") {
            None => Ok(Vec::new()),
            Some(Value::String(one)) => Ok(vec![one]),
            Some(Value::Array(many)) => many.iter().map(|one| one.as_str().ok_or_else(wrong)).collect(),
            Some(_) => Err(wrong()),
        }
    }

    fn format(&self) -> Result<Format<'a>> {
        let wrong = || must_be("response_format", "an object of type text, json_object or json_schema");
        let Some(format) = self.get("response_format") else { return Ok(Format::Text) };
        match format.get("type").and_then(Value::as_str) {
            Some("text") => Ok(Format::Text),
            Some("json_object") => Ok(Format::Object),
            Some("json_schema") => {
                let inner = format.get("json_schema").filter(|inner| inner.is_object());
                let inner = inner.ok_or_else(|| must_be("response_format.json_schema", "an object"))?;
                let schema = inner.get("schema").filter(|schema| !schema.is_null()).map(|schema| {
                    schema.as_object().ok_or_else(|| must_be("response_format.json_schema.schema", "an object"))
                });
                Ok(Format::Schema(Schema {
                    name: inner.get("name").and_then(Value::as_str).unwrap_or("answer"),
                    description: inner.get("description").and_then(Value::as_str),
                    schema: schema.transpose()?,
                    strict: inner.get("strict").and_then(Value::as_bool),
                }))
            }
            _ => Err(wrong()),
        }
    }
}

fn read_tool(index: usize, tool: &Value) -> Result<Tool<'_>> {
    let place = format!("tools[{index}]");
    let kind = tool.get("type").map(|kind| kind.as_str().ok_or_else(|| must_be(&format!("{place}.type"), "a string")));
    match kind.transpose()? {
        Some("function") => {
            let function = tool.get("function").and_then(|function| read_function(function, tool.get("cache_control")));
            Ok(Tool::Function(function.ok_or_else(|| must_be(&format!("{place}.function"), FUNCTION))?))
        }
        Some(_) => Ok(Tool::Other(tool)),
        None => Err(must_be(&place, "an object with `type`")),
    }
}

fn read_function<'a>(function: &'a Value, cache: Option<&'a Value>) -> Option<Function<'a>> {
    let given = |name: &str| function.get(name).filter(|value| !value.is_null());
    let parameters = match given("parameters") {
        None => None,
        Some(parameters) => Some(parameters.as_object()?),
    };
    Some(Function {
        name: given("name")?.as_str()?,
        description: given("description").and_then(Value::as_str),
        parameters,
        strict: given("strict").and_then(Value::as_bool),
        cache: cache.or_else(|| given("cache_control")).filter(|mark| mark.is_object()),
    })
}

fn read_choice<'a>(parameter: &str, choice: &'a Value) -> Result<ToolChoice<'a>> {
    let wrong =
        || must_be(parameter, "none, auto, required, the object that names a function, or an allowed_tools object");
    let name = |of: &'a Value| of.get("name").and_then(Value::as_str);
    if let Some(word) = choice.as_str() {
        return match word {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            // `any` is what Mistral and Anthropic call it.
            "required" | "any" => Ok(ToolChoice::Required),
            _ => Err(wrong()),
        };
    }
    match choice.get("type").and_then(Value::as_str) {
        Some("allowed_tools") => {
            let inner = choice.get("allowed_tools").unwrap_or(choice);
            let tools = inner.get("tools").and_then(Value::as_array).ok_or_else(wrong)?;
            let names = tools.iter().map(|tool| name(tool.get("function").unwrap_or(tool)).ok_or_else(wrong));
            Ok(ToolChoice::Allowed {
                names: names.collect::<Result<_>>()?,
                required: inner.get("mode").and_then(Value::as_str) == Some("required"),
            })
        }
        Some("custom") => choice.get("custom").and_then(name).map(ToolChoice::Named).ok_or_else(wrong),
        _ => name(choice.get("function").unwrap_or(choice)).map(ToolChoice::Named).ok_or_else(wrong),
    }
}
