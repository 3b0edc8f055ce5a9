//! JSON schemas of requests, compiled once.
//!
//! Nothing is fetched: a schema that refers to another place, or that cannot be compiled, says nothing about an answer.
//! Patterns take linear time, so one that needs more (a look-ahead) says nothing either. Nor does a schema that is very
//! large, or that would have a value looked at too often ([`effort`](super::effort)): answers are held against schemas
//! on threads that have other calls to serve.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::effort::is_bounded;
use crate::process::PerProcess;

/// So many are kept; then all are made anew, which takes as long as it took.
const MOST: usize = 256;
/// A larger schema is not looked at, in bytes.
const LARGEST: usize = 1 << 18;
/// Nor one of more schemas and values.
const MOST_PARTS: usize = 10_000;
/// Nor one of more patterns, each of which may take some milliseconds to compile.
const MOST_PATTERNS: usize = 64;
/// What one may come to when it is compiled, in bytes.
const LARGEST_PATTERN: usize = 1 << 20;

type Known = Mutex<HashMap<u128, Option<Arc<Validator>>>>;

static KNOWN: PerProcess<Known> = PerProcess::new();

/// Whether `value` follows `schema`; `None` where that cannot be said.
pub(super) fn follows(schema: &Value, value: &Value) -> Option<bool> {
    // First, since a schema that goes in circles is not compiled.
    if !is_bounded(schema, value) {
        return None;
    }
    Some(compiled(schema)?.is_valid(value))
}

fn compiled(schema: &Value) -> Option<Arc<Validator>> {
    let text = schema.to_string();
    if text.len() > LARGEST {
        return None;
    }
    let key = xxh3_128(text.as_bytes());
    let known = match KNOWN.get_or_try_init(|| Ok::<_, Infallible>(Known::default())) {
        Ok(known) => known,
        Err(never) => match never {},
    };
    let lock = || known.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = lock().get(&key) {
        return found.clone();
    }
    let patterns = PatternOptions::regex().size_limit(LARGEST_PATTERN);
    let options = jsonschema::options().offline().with_pattern_options(patterns);
    let made = if is_small(schema) { options.build(schema).ok().map(Arc::new) } else { None };
    let mut known = lock();
    if known.len() >= MOST {
        known.clear();
    }
    known.insert(key, made.clone());
    made
}

/// Whether compiling it takes a bounded time.
fn is_small(schema: &Value) -> bool {
    let (mut parts, mut patterns) = (0, HashSet::new());
    let mut waiting = vec![schema];
    while let Some(part) = waiting.pop() {
        parts += 1;
        if parts > MOST_PARTS || patterns.len() > MOST_PATTERNS {
            return false;
        }
        match part {
            Value::Object(members) => {
                patterns.extend(members.get("pattern").and_then(Value::as_str));
                let named = members.get("patternProperties").and_then(Value::as_object);
                patterns.extend(named.into_iter().flat_map(|named| named.keys()).map(String::as_str));
                waiting.extend(members.values());
            }
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_is_followed_or_not() {
        let schema =
            json!({"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}, "required": ["n"]});
        for _ in 0..2 {
            assert_eq!(follows(&schema, &json!({"n": 1})), Some(true));
            assert_eq!(follows(&schema, &json!({"n": 0})), Some(false));
            assert_eq!(follows(&schema, &json!([])), Some(false));
        }
        let nested = json!({"$defs": {"node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}},
                            "additionalProperties": false}}, "$ref": "#/$defs/node"});
        assert_eq!(follows(&nested, &json!({"next": {"next": {}}})), Some(true));
        assert_eq!(follows(&nested, &json!({"next": {"last": {}}})), Some(false));
    }

    #[test]
    fn parts_that_nothing_looks_at_cost_nothing() {
        let mut parts = serde_json::Map::new();
        parts.insert("d0".to_owned(), json!({"type": "integer"}));
        for level in 1..=40 {
            let below = json!({"$ref": format!("#/$defs/d{}", level - 1)});
            parts.insert(format!("d{level}"), json!({"allOf": [below, below]}));
        }
        let schema = json!({"$defs": parts, "properties": {"n": {"$ref": "#/$defs/d40"}}});
        assert_eq!(follows(&schema, &json!({"m": 1})), Some(true));
        assert_eq!(follows(&schema, &json!({"n": 1})), None);
    }

    #[test]
    fn what_cannot_be_compiled_is_no_verdict() {
        for schema in [
            json!({"type": "no such type"}),
            json!({"$ref": "http://127.0.0.1:9/schema.json"}),
            json!({"$ref": "file:///etc/hostname"}),
            json!({"pattern": "(?=a)b"}),
            json!(7),
            json!({"allOf": vec![json!({"type": "object"}); 6_000]}),
            json!({"properties": {"m": {"anyOf": (0..70).map(|n| json!({"pattern": format!("^{n}$")})).collect::<Vec<_>>()}}}),
            json!({"properties": {"m": {"pattern": "(a{1000}){1000}"}}}),
        ] {
            assert_eq!(follows(&schema, &json!({"n": 1})), None, "{schema}");
        }
    }
}
