//! The reserved object `ferroute`: what a caller says beside his protocol's own fields.

use std::fmt;

use serde_json::{Map, Value};

use super::failing::bad;
use crate::error::{Error, Result};
use crate::gateway::deciding::Extras;

/// The name of the object.
pub(super) const NAME: &str = "ferroute";
const KNOWN: &str = "session, task, tags, explain";

/// The object, checked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub extras: Extras,
    /// The answer is to tell the decision.
    pub explain: bool,
}

/// Takes the object out of a request.
pub(super) fn taken(request: &mut Map<String, Value>) -> Result<Said> {
    request.shift_remove(NAME).map_or_else(|| Ok(Said::default()), |said| read(&said))
}

/// The object as it is given; null says nothing.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) for what it cannot hold. The rules are those of the Python Controller.
pub(super) fn read(said: &Value) -> Result<Said> {
    let object = match said {
        Value::Null => return Ok(Said::default()),
        Value::Object(object) => object,
        _ => return Err(wrong("it must be an object")),
    };
    let mut made = Said::default();
    for (name, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        match name.as_str() {
            "task" => {
                let task = value.as_str().ok_or_else(|| wrong("`task` must be a string"))?;
                made.extras.task = Some(task.to_owned());
            }
            "session" => {
                made.extras.session = Some(match value {
                    Value::String(session) => session.clone(),
                    Value::Number(number) => number.to_string(),
                    _ => return Err(wrong("`session` must be a string")),
                });
            }
            "tags" => made.extras.tags = tags(value).ok_or_else(|| wrong(TAGS))?,
            "explain" => made.explain = value.as_bool().ok_or_else(|| wrong("`explain` must be true or false"))?,
            _ => {
                let shown: String = name.chars().take(60).collect();
                return Err(wrong(format!("unknown `{shown}`; known are {KNOWN}")));
            }
        }
    }
    // A null is no reason to let an unknown name pass.
    if let Some(name) = object.keys().find(|name| !KNOWN.split(", ").any(|known| known == *name)) {
        let shown: String = name.chars().take(60).collect();
        return Err(wrong(format!("unknown `{shown}`; known are {KNOWN}")));
    }
    Ok(made)
}

const TAGS: &str = "`tags` must be a list of strings or an object of them";

/// Name and value; the value of a bare tag is empty.
fn tags(given: &Value) -> Option<Vec<(String, String)>> {
    match given {
        Value::Array(names) => names.iter().map(|name| Some((name.as_str()?.to_owned(), String::new()))).collect(),
        Value::Object(pairs) => {
            pairs.iter().map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
        }
        _ => None,
    }
}

fn wrong(what: impl fmt::Display) -> Error {
    bad(NAME, format!("`ferroute`: {what}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said() {
        let said = read(&json!({"session": 7, "task": "code", "tags": {"team": "x"}, "explain": true})).unwrap();
        assert_eq!((said.extras.session.as_deref(), said.extras.task.as_deref()), (Some("7"), Some("code")));
        assert_eq!((said.extras.tags, said.explain), (vec![("team".into(), "x".into())], true));
        let bare = read(&json!({"tags": ["a", "b"], "task": null})).unwrap();
        assert_eq!(bare.extras.tags, [("a".into(), String::new()), ("b".into(), String::new())]);
        assert_eq!(read(&Value::Null).unwrap(), Said::default());
    }

    #[test]
    fn what_it_cannot_hold() {
        for wrong in [
            json!([]),
            json!({"sesion": "x"}),
            json!({"sesion": null}),
            json!({"task": 1}),
            json!({"session": {}}),
            json!({"tags": [1]}),
            json!({"tags": {"a": 1}}),
            json!({"tags": "a"}),
            json!({"explain": "yes"}),
        ] {
            let error = read(&wrong).unwrap_err();
            assert!(error.message().starts_with("`ferroute`: "), "{wrong}: {error}");
        }
    }
}
