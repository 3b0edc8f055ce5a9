//! How much longer the rules of a `tokenizer.json` can make a text.
//!
//! A file may ask for a page in the place of every letter, or for two letters in the place of each, thirty times over:
//! a text of a few words would fill the memory, and the process would end without an error.

use serde_json::{Map, Value};

/// Most bytes that are put in one place; the longest published ones have a few.
const LONGEST: usize = 64;

/// How many times longer a text may become; the published ones stay below 10.
const MOST: usize = 256;

/// Checks normalizer and pre-tokenizer, as the tokenizers crate writes them.
pub(super) fn check(rules: &Value) -> Result<(), String> {
    let times = times(rules)?;
    if times > MOST {
        return Err(format!("its rules can make a text {times} times longer; expected at most {MOST}"));
    }
    Ok(())
}

/// The product over all rules, at whatever depth they stand.
fn times(rules: &Value) -> Result<usize, String> {
    let inner: Box<dyn Iterator<Item = &Value>> = match rules {
        Value::Array(list) => Box::new(list.iter()),
        Value::Object(rule) => Box::new(rule.values()),
        _ => return Ok(1),
    };
    let own = rules.as_object().map_or(Ok(1), rule);
    inner.map(times).fold(own, |product, times| Ok(product?.saturating_mul(times?)))
}

fn rule(rule: &Map<String, Value>) -> Result<usize, String> {
    let text = |name: &str| rule.get(name).and_then(Value::as_str).map(str::len);
    match rule.get("type").and_then(Value::as_str) {
        Some("Replace") => {
            let content = text("content").filter(|&length| length <= LONGEST);
            let content = content.ok_or(format!("Replace: expected a content of at most {LONGEST} bytes"))?;
            let pattern = |kind: &str| rule.get("pattern")?.get(kind)?.as_str();
            match (pattern("String"), pattern("Regex")) {
                (Some(""), _) | (_, Some("")) => Err("Replace: expected a pattern, found an empty text".to_owned()),
                (Some(pattern), _) => Ok(content.div_ceil(pattern.len()).max(1)),
                // It may match between two letters.
                _ => Ok(content + 1),
            }
        }
        Some("Prepend") if text("prepend").is_none_or(|length| length > LONGEST) => {
            Err(format!("Prepend: expected a text of at most {LONGEST} bytes"))
        }
        // Writes a letter for each byte.
        Some("ByteLevel") => Ok(2),
        _ => Ok(1),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn replace(pattern: &Value, content: &str) -> Value {
        json!({"type": "Replace", "pattern": pattern, "content": content})
    }

    #[test]
    fn published_rules_are_followed() {
        let spaces = replace(&json!({"Regex": " {2,}"}), " ");
        for rules in [
            json!(null),
            json!([null, {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}]),
            json!({"type": "Sequence", "normalizers": [
                {"type": "Prepend", "prepend": "\u{2581}"}, replace(&json!({"String": " "}), "\u{2581}"),
            ]}),
            json!({"type": "Sequence", "normalizers": [
                replace(&json!({"String": "``"}), "\""), {"type": "Lowercase"}, spaces, replace(&json!({"Regex": "\n"}), ""),
            ]}),
        ] {
            assert_eq!(check(&rules), Ok(()), "{rules}");
        }
    }

    #[test]
    fn rules_that_fill_the_memory_are_not() {
        let double = replace(&json!({"String": "a"}), "aa");
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        for (rules, named) in [
            (replace(&json!({"String": ""}), "x"), "expected a pattern"),
            (replace(&json!({"Regex": ""}), "x"), "expected a pattern"),
            (replace(&json!({"String": "a"}), &"a".repeat(65)), "at most 64 bytes"),
            (json!({"type": "Prepend", "prepend": "a".repeat(65)}), "at most 64 bytes"),
            (json!({"type": "Sequence", "normalizers": vec![double; 30]}), "1073741824 times longer"),
            (json!([null, {"type": "Sequence", "pretokenizers": vec![bytes; 70]}]), "times longer"),
            (json!(vec![replace(&json!({"Regex": "(?=.)"}), "x"); 9]), "512 times longer"),
        ] {
            let error = check(&json!([rules, null])).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
