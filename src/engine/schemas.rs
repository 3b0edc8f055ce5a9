//! JSON schemas of requests, compiled once.
//!
//! Nothing is fetched: a schema that refers to another place, or that cannot be compiled, says nothing about an answer.
//! Patterns take linear time, so one that needs more (a look-ahead) says nothing either.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::{PatternOptions, Validator};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use crate::process::PerProcess;

/// So many are kept; then all are made anew, which takes as long as it took.
const MOST: usize = 256;
/// A larger schema is not looked at, in bytes.
const LARGEST: usize = 1 << 20;

type Known = Mutex<HashMap<u128, Option<Arc<Validator>>>>;

static KNOWN: PerProcess<Known> = PerProcess::new();

/// Whether `value` follows `schema`; `None` where that cannot be said.
pub(super) fn follows(schema: &Value, value: &Value) -> Option<bool> {
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
    let options = jsonschema::options().offline().with_pattern_options(PatternOptions::regex());
    let made = options.build(schema).ok().map(Arc::new);
    let mut known = lock();
    if known.len() >= MOST {
        known.clear();
    }
    known.insert(key, made.clone());
    made
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
    fn what_cannot_be_compiled_is_no_verdict() {
        for schema in [
            json!({"type": "no such type"}),
            json!({"$ref": "http://127.0.0.1:9/schema.json"}),
            json!({"$ref": "file:///etc/hostname"}),
            json!({"pattern": "(?=a)b"}),
            json!(7),
        ] {
            assert_eq!(follows(&schema, &json!({"n": 1})), None, "{schema}");
        }
    }
}
