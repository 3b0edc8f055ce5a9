//! Functions the model may call, and whether it has to.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use super::super::conversation::{Function, Parameters, Tool, ToolChoice};
use super::super::request::Dropped;

/// The longest name of a function.
const LONGEST: usize = 128;

/// What goes into the request, and what does not.
#[derive(Default)]
pub(super) struct Tools {
    /// `functionDeclarations`.
    pub declarations: Vec<Value>,
    /// `toolConfig`.
    pub config: Option<Value>,
    /// Names as they are sent, and the caller's, where they differ.
    pub renamed: Vec<(String, String)>,
}

/// The tools of a request.
pub(super) fn tools(parameters: &Parameters<'_>, dropped: &mut Vec<Dropped>) -> Tools {
    let allowed: Option<&[&str]> = match &parameters.tool_choice {
        // Only these may be called, none has to: the others are not told of.
        Some(ToolChoice::Allowed { names, required: false }) => Some(names),
        _ => None,
    };
    let mut made = Tools::default();
    let mut seen = HashSet::new();
    for (index, tool) in parameters.tools.iter().enumerate() {
        match tool {
            Tool::Function(function) => {
                let is_allowed = allowed.is_none_or(|names| names.contains(&function.name));
                if is_allowed && seen.insert(function.name) {
                    let name = fitting(function.name);
                    if name != function.name {
                        made.renamed.push((name.to_string(), function.name.to_owned()));
                    }
                    made.declarations.push(declaration(function, &name));
                }
            }
            Tool::Other(tool) => {
                let kind = tool.get("type").and_then(Value::as_str).unwrap_or("?");
                let kind: String = kind.chars().take(40).collect();
                dropped.push(Dropped {
                    parameter: format!("tools[{index}]"),
                    why: format!("Gemini's dialect has functions only; a tool of type `{kind}` is left out"),
                });
            }
        }
    }
    if !made.declarations.is_empty() {
        made.config = parameters.tool_choice.as_ref().map(config);
    }
    made
}

fn declaration(function: &Function<'_>, name: &str) -> Value {
    let mut made = Map::new();
    made.insert("name".into(), name.into());
    if let Some(description) = function.description {
        made.insert("description".into(), description.into());
    }
    if let Some(parameters) = function.parameters {
        made.insert("parametersJsonSchema".into(), of_object(parameters).into());
    }
    made.into()
}

/// A schema of arguments, which has to be one of an object; an empty one says so now.
fn of_object(schema: &Map<String, Value>) -> Map<String, Value> {
    let mut schema = schema.clone();
    let says = ["type", "$ref", "anyOf", "oneOf", "allOf"].iter().any(|name| schema.contains_key(*name));
    if !says {
        schema.insert("type".into(), "object".into());
    }
    schema
}

fn config(choice: &ToolChoice<'_>) -> Value {
    let any = |names: Vec<&str>| {
        let names: Vec<_> = names.into_iter().map(fitting).collect();
        json!({"mode": "ANY", "allowedFunctionNames": names})
    };
    let calling = match choice {
        ToolChoice::Auto | ToolChoice::Allowed { required: false, .. } => json!({"mode": "AUTO"}),
        ToolChoice::None => json!({"mode": "NONE"}),
        ToolChoice::Required => json!({"mode": "ANY"}),
        ToolChoice::Named(name) => any(vec![name]),
        ToolChoice::Allowed { names, required: true } => any(names.clone()),
    };
    json!({ "functionCallingConfig": calling })
}

/// `name`, or what stands for it: letters, digits, `_.:-`, not beginning with a digit or a mark but `_`, at most 128.
/// The same name always becomes the same other name, so that calls of earlier turns keep theirs.
pub(super) fn fitting(name: &str) -> Cow<'_, str> {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let takes = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    if begins && name.len() <= LONGEST && name.chars().all(takes) {
        return Cow::Borrowed(name);
    }
    let plain: String = name.chars().take(64).map(|c| if takes(c) { c } else { '_' }).collect();
    Cow::Owned(format!("_{plain}_{:08x}", xxh3_64(name.as_bytes()) as u32))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_fit_are_left_alone() {
        for name in ["lookup", "_x", "a.b:c-d"] {
            assert_eq!(fitting(name), name);
        }
        assert_ne!(fitting("a b"), fitting("a_b"));
        assert_ne!(fitting("1 a"), fitting("1_a"));
        assert!(fitting("1st").starts_with("_1st_"));
    }

    proptest! {
        #[test]
        fn every_name_fits_afterwards(name in "\\PC{0,200}") {
            let fitted = fitting(&name).into_owned();
            prop_assert!(fitted.len() <= LONGEST && !fitted.is_empty());
            prop_assert_eq!(fitting(&fitted), fitted.as_str());
        }
    }
}
