//! JSON Schema as `output_config.format` takes it.
//!
//! A strict schema of `OpenAI`'s already has the form wanted here and is left as it is. Of others, objects are closed,
//! which this protocol demands, and bounds it does not know are moved into the description, where the model reads them.

use serde_json::{Map, Value, json};

use super::messages::anything;
use crate::providers::conversation::Schema;

/// Deeper schemas are handed on as they are.
const DEEPEST: usize = 64;
const UNKNOWN: [&str; 11] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

/// `output_config.format`.
pub(super) fn format(schema: Schema<'_>) -> Value {
    let given = schema.schema.filter(|given| !given.is_empty()).cloned().unwrap_or_else(anything);
    let mut given = Value::Object(given);
    if schema.strict != Some(true) {
        close(&mut given, 0);
    }
    json!({"type": "json_schema", "schema": given})
}

fn close(schema: &mut Value, depth: usize) {
    let Some(object) = schema.as_object_mut().filter(|_| depth < DEEPEST) else { return };
    describe_bounds(object);
    if object.contains_key("properties") {
        object.insert("additionalProperties".to_owned(), false.into());
    }
    for (name, inner) in object.iter_mut() {
        match (name.as_str(), inner) {
            ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                for inner in named.values_mut() {
                    close(inner, depth + 1);
                }
            }
            ("anyOf" | "allOf" | "oneOf" | "prefixItems", Value::Array(list)) => {
                for inner in list {
                    close(inner, depth + 1);
                }
            }
            ("items", inner) => close(inner, depth + 1),
            _ => {}
        }
    }
}

fn describe_bounds(object: &mut Map<String, Value>) {
    let bounds: Vec<String> =
        UNKNOWN.iter().filter_map(|name| object.shift_remove(*name).map(|bound| format!("{name}: {bound}"))).collect();
    if bounds.is_empty() {
        return;
    }
    let before = object.get("description").and_then(Value::as_str).map_or(String::new(), |text| format!("{text} "));
    object.insert("description".to_owned(), format!("{before}({})", bounds.join(", ")).into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shaped(schema: &Value, strict: Option<bool>) -> Value {
        let schema = Schema { name: "n", description: None, schema: schema.as_object(), strict };
        format(schema)["schema"].clone()
    }

    #[test]
    fn strict_schemas_are_left_alone() {
        let schema = json!({"type": "object", "properties": {"a": {"type": "integer", "minimum": 1}}});
        assert_eq!(shaped(&schema, Some(true)), schema);
        assert_eq!(shaped(&json!({"type": "object"}), None), json!({"type": "object"}));
    }

    #[test]
    fn others_are_closed() {
        let schema = json!({"type": "object", "properties": {
            "a": {"type": "integer", "minimum": 1, "description": "how many"},
            "minimum": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"b": {"type": "string"}}}]},
            "c": {"type": "array", "items": {"type": "string", "maxLength": 3}}}});
        let expected = json!({"type": "object", "properties": {
            "a": {"type": "integer", "description": "how many (minimum: 1)"},
            "minimum": {"anyOf": [{"type": "null"}, {"type": "object", "properties": {"b": {"type": "string"}},
                "additionalProperties": false}]},
            "c": {"type": "array", "items": {"type": "string", "description": "(maxLength: 3)"}}}, "additionalProperties": false});
        assert_eq!(shaped(&schema, None), expected);
    }
}
