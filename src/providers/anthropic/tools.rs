//! Tools, the choice among them, and the form of the answer, which on older models is a tool as well.

use serde_json::{Map, Value, json};

use super::messages::{anything, called, marked};
use super::models::Rules;
use super::schema;
use crate::error::{Error, Kind, Result};
use crate::providers::conversation::{Conversation, Format, Function, Parameters, Schema, Tool, ToolChoice};
use crate::providers::request::Dropped;

/// `tools`, `tool_choice` and what goes with them.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub tools: Vec<Value>,
    /// `tool_choice`.
    pub choice: Option<Value>,
    /// The model has to call a tool.
    pub forced: bool,
    /// The tool that stands for the schema.
    pub schema_tool: Option<String>,
    /// `output_config.format`.
    pub format: Option<Value>,
    /// What has to be said in words.
    pub instruction: Option<String>,
}

/// What `asked` comes to for a model with `rules`.
pub(super) fn write(
    asked: &Parameters<'_>,
    conversation: &Conversation<'_>,
    rules: Rules,
    dropped: &mut Vec<Dropped>,
) -> Result<Written> {
    let mut choice = asked.tool_choice.clone();
    let mut tools = Vec::with_capacity(asked.tools.len());
    for (index, tool) in asked.tools.iter().enumerate() {
        if let (Some(ToolChoice::Allowed { names, .. }), Tool::Function(function)) = (&choice, tool)
            && !names.contains(&function.name)
        {
            continue;
        }
        tools.push(one(index, tool, rules, dropped)?);
    }
    if let Some(ToolChoice::Allowed { required, .. }) = choice {
        choice = Some(if required { ToolChoice::Required } else { ToolChoice::Auto });
    }
    if tools.is_empty() {
        choice = None;
        // A conversation with calls needs their tools, also when none may be called any more.
        tools.extend(called(conversation).into_iter().map(|name| json!({"name": name, "input_schema": anything()})));
        if !tools.is_empty() {
            choice = Some(ToolChoice::None);
        }
    }
    let mut written = Written { tools, ..Written::default() };
    match asked.format {
        Format::Text => {}
        Format::Object => {
            written.instruction = Some("Answer with one JSON object and nothing else.".to_owned());
        }
        Format::Schema(schema) if rules.schema => written.format = Some(schema::format(schema)),
        // The model has to call a tool anyway.
        Format::Schema(_) if matches!(choice, Some(ToolChoice::Required | ToolChoice::Named(_))) => {}
        Format::Schema(schema) => choice = Some(written.add_schema_tool(schema, choice.as_ref())),
    }
    written.forced = matches!(choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
    if written.forced && !rules.forced_tools {
        let which = match &choice {
            Some(ToolChoice::Named(name)) => format!("Answer by calling the tool `{name}`."),
            _ => "Answer by calling one of the tools.".to_owned(),
        };
        dropped.push(Dropped {
            parameter: "tool_choice".to_owned(),
            why: "this model cannot be made to call a tool; it is asked to in words".to_owned(),
        });
        written.instruction = Some(which);
        written.forced = false;
        choice = Some(ToolChoice::Auto);
    }
    // In the form before `tools` an answer holds one call.
    let single = asked.parallel == Some(false) || asked.legacy;
    written.choice = match choice {
        _ if written.tools.is_empty() => None,
        None if single => Some(json!({"type": "auto"})),
        None => None,
        Some(ToolChoice::Auto | ToolChoice::Allowed { .. }) => Some(json!({"type": "auto"})),
        Some(ToolChoice::None) => Some(json!({"type": "none"})),
        Some(ToolChoice::Required) => Some(json!({"type": "any"})),
        Some(ToolChoice::Named(name)) => Some(json!({"type": "tool", "name": name})),
    };
    if let Some(Value::Object(choice)) = &mut written.choice
        && single
        && choice.get("type").is_some_and(|kind| kind != "none")
    {
        choice.insert("disable_parallel_tool_use".to_owned(), true.into());
    }
    Ok(written)
}

impl Written {
    /// Adds the tool that stands for `schema`, and makes the model call it, or one of its real tools if it may.
    fn add_schema_tool<'a>(&mut self, schema: Schema<'a>, choice: Option<&ToolChoice<'a>>) -> ToolChoice<'a> {
        let alone = self.tools.is_empty() || choice == Some(&ToolChoice::None);
        let taken = |name: &str| self.tools.iter().any(|tool| tool["name"] == name);
        let name =
            ["json_answer", "final_json_answer"].into_iter().find(|name| !taken(name)).unwrap_or("the_json_answer");
        let description =
            schema.description.unwrap_or("Give the answer to the user, and nothing else, with this tool.");
        let input = object_schema(schema.schema);
        self.tools.push(json!({"name": name, "description": description, "input_schema": input}));
        self.schema_tool = Some(name.to_owned());
        if alone { ToolChoice::Named(name) } else { ToolChoice::Required }
    }
}

fn one(index: usize, tool: &Tool<'_>, rules: Rules, dropped: &mut Vec<Dropped>) -> Result<Value> {
    match tool {
        Tool::Function(function) => Ok(self::function(function, rules, dropped)),
        // Anthropic's own tools (web search, computer use) have a name beside their type.
        Tool::Other(tool) if tool.get("name").is_some_and(Value::is_string) => Ok((*tool).clone()),
        Tool::Other(tool) => Err(Error::new(
            Kind::Unsupported,
            format!(
                "tools[{index}]: Anthropic's models take tools of type function, not `{}`",
                tool.get("type").and_then(Value::as_str).unwrap_or_default().chars().take(60).collect::<String>()
            ),
        )),
    }
}

fn function(function: &Function<'_>, rules: Rules, dropped: &mut Vec<Dropped>) -> Value {
    let mut tool = Map::new();
    tool.insert("name".to_owned(), function.name.into());
    if let Some(description) = function.description {
        tool.insert("description".to_owned(), description.into());
    }
    tool.insert("input_schema".to_owned(), Value::Object(object_schema(function.parameters)));
    match function.strict {
        Some(strict) if rules.schema => {
            tool.insert("strict".to_owned(), strict.into());
        }
        Some(true) if !dropped.iter().any(|dropped| dropped.parameter == "strict") => dropped.push(Dropped {
            parameter: "strict".to_owned(),
            why: "this model does not promise that arguments follow the schema of a tool".to_owned(),
        }),
        _ => {}
    }
    marked(Value::Object(tool), function.cache)
}

/// The schema of an object, which is what a tool's input always is.
fn object_schema(given: Option<&Map<String, Value>>) -> Map<String, Value> {
    let mut schema = match given {
        Some(given) if !given.is_empty() => given.clone(),
        _ => return anything(),
    };
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        schema.insert("type".to_owned(), "object".into());
    }
    schema
}
