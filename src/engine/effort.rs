//! How much work it may be to hold a value against a JSON schema, counted before it is done.
//!
//! References let a small schema ask for the same value to be looked at more often than anybody can wait for: twice at
//! each of thirty levels is a billion times. What a validator does cannot be stopped half way, so the looks are counted
//! first, as if none could be spared, and too many of them are none.

use serde_json::{Map, Value};

/// More looks than this are not taken; each is some hundred nanoseconds at most.
const MOST: usize = 100_000;
/// Nested deeper than this, schema and value together, is not looked at.
const DEEPEST: usize = 256;
/// Bytes of a string that are read as fast as anything else is looked at.
const READ: usize = 32;

/// Whether holding `value` against `schema` takes a bounded number of looks.
pub(super) fn is_bounded(schema: &Value, value: &Value) -> bool {
    let mut effort = Effort { root: schema, left: MOST };
    effort.look(schema, value, 0).is_some()
}

struct Effort<'a> {
    root: &'a Value,
    left: usize,
}

impl<'a> Effort<'a> {
    fn take(&mut self, looks: usize) -> Option<()> {
        self.left = self.left.checked_sub(looks)?;
        Some(())
    }

    /// Counts one look of a schema at a value, and all that follow from it; `None` when they are too many, or it
    /// cannot be told what follows.
    fn look(&mut self, schema: &'a Value, value: &Value, depth: usize) -> Option<()> {
        let Some(schema) = schema.as_object() else { return self.take(1) };
        let is_elsewhere = depth > 0 && (schema.contains_key("$id") || schema.get("id").is_some_and(Value::is_string));
        if depth > DEEPEST || is_elsewhere {
            return None;
        }
        let read = if let Value::String(text) = value { text.len() / READ } else { 0 };
        let compared = schema.get("enum").and_then(Value::as_array).map_or(0, Vec::len);
        self.take(1 + schema.len() + compared + read)?;
        let is_twice = schema.contains_key("unevaluatedProperties") || schema.contains_key("unevaluatedItems");
        // What is left over is found by looking again at all that looks at the same value.
        for _ in 0..if is_twice { 3 } else { 1 } {
            self.at_itself(schema, value, depth + 1)?;
        }
        match value {
            Value::Object(members) => self.at_members(schema, members, depth + 1),
            Value::Array(items) => self.at_items(schema, items, depth + 1),
            _ => Some(()),
        }
    }

    /// The looks of those parts of a schema that look at the same value.
    fn at_itself(&mut self, schema: &'a Map<String, Value>, value: &Value, depth: usize) -> Option<()> {
        for name in ["allOf", "anyOf", "oneOf"] {
            for part in schema.get(name).and_then(Value::as_array).into_iter().flatten() {
                self.look(part, value, depth)?;
            }
        }
        for name in ["not", "if", "then", "else"] {
            if let Some(part) = schema.get(name) {
                self.look(part, value, depth)?;
            }
        }
        for name in ["dependentSchemas", "dependencies"] {
            for part in schema.get(name).and_then(Value::as_object).into_iter().flat_map(Map::values) {
                self.look(part, value, depth)?;
            }
        }
        for name in ["$ref", "$dynamicRef", "$recursiveRef"] {
            if let Some(place) = schema.get(name).and_then(Value::as_str) {
                let target = self.root.pointer(place.strip_prefix('#')?)?;
                self.look(target, value, depth)?;
            }
        }
        Some(())
    }

    fn at_members(&mut self, schema: &'a Map<String, Value>, members: &Map<String, Value>, depth: usize) -> Option<()> {
        let properties = schema.get("properties").and_then(Value::as_object);
        let patterns = schema.get("patternProperties").and_then(Value::as_object);
        for (name, member) in members {
            self.take(1)?;
            if let Some(part) = properties.and_then(|properties| properties.get(name)) {
                self.look(part, member, depth)?;
            }
            for part in patterns.into_iter().flat_map(Map::values) {
                self.take(1 + name.len() / READ)?;
                self.look(part, member, depth)?;
            }
            if let Some(part) = schema.get("propertyNames") {
                self.take(name.len() / READ)?;
                self.look(part, &Value::Null, depth)?;
            }
            for rest in ["additionalProperties", "unevaluatedProperties"] {
                if let Some(part) = schema.get(rest) {
                    self.look(part, member, depth)?;
                }
            }
        }
        Some(())
    }

    fn at_items(&mut self, schema: &'a Map<String, Value>, items: &[Value], depth: usize) -> Option<()> {
        if schema.get("uniqueItems") == Some(&Value::Bool(true)) {
            // Few are compared with each other, many by their hashes.
            self.take(items.len().saturating_mul(16))?;
        }
        for (at, item) in items.iter().enumerate() {
            self.take(1)?;
            for name in ["items", "prefixItems"] {
                match schema.get(name) {
                    Some(Value::Array(parts)) => {
                        if let Some(part) = parts.get(at) {
                            self.look(part, item, depth)?;
                        }
                    }
                    Some(part) => self.look(part, item, depth)?,
                    None => {}
                }
            }
            for name in ["additionalItems", "unevaluatedItems", "contains"] {
                if let Some(part) = schema.get(name) {
                    self.look(part, item, depth)?;
                }
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each level refers twice to the one below it.
    fn doubling(levels: usize) -> Value {
        let mut parts = Map::new();
        parts.insert("d0".to_owned(), json!({"type": "integer"}));
        for level in 1..=levels {
            let below = json!({"$ref": format!("#/$defs/d{}", level - 1)});
            parts.insert(format!("d{level}"), json!({"allOf": [below, below]}));
        }
        json!({"$defs": parts, "$ref": format!("#/$defs/d{levels}")})
    }

    #[test]
    fn what_doubles_is_refused_and_what_is_large_is_not() {
        assert!(is_bounded(&doubling(8), &json!(1)));
        for levels in [20, 28, 200] {
            assert!(!is_bounded(&doubling(levels), &json!(1)), "{levels}");
        }
        // Twice at each level of the value.
        let again = json!({"properties": {"next": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}}});
        let nested = |levels| (0..levels).fold(json!({}), |inner, _| json!({"next": inner}));
        assert!(is_bounded(&again, &nested(5)));
        assert!(!is_bounded(&again, &nested(40)));
        let once = json!({"properties": {"next": {"$ref": "#"}}});
        assert!(is_bounded(&once, &nested(40)));
        let person = json!({"properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name"],
                            "additionalProperties": false});
        let people: Vec<Value> = (0..5_000).map(|age| json!({"name": "Ada", "age": age})).collect();
        assert!(is_bounded(&json!({"type": "array", "items": person}), &people.into()));
    }

    #[test]
    fn circles_and_what_is_elsewhere_are_refused() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"not": {"$ref": "#"}}),
            json!({"if": {"$ref": "#"}, "then": {"type": "string"}}),
            json!({"unevaluatedProperties": {"$ref": "#"}, "$ref": "#"}),
            json!({"$ref": "#/$defs/nowhere"}),
            json!({"$ref": "http://127.0.0.1:9/schema.json"}),
            json!({"allOf": [{"$id": "http://example.com/other", "$ref": "#"}]}),
        ] {
            assert!(!is_bounded(&schema, &json!({"a": {"b": 1}})), "{schema}");
        }
    }
}
