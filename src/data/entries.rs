//! The entries of a JSON object, such as a `config.json`.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Reads an object whose entries may all be absent; the message of an error names the entry that is wrong.
///
/// serde says what is wrong with a value and in which column, but not whose value it is.
pub fn read<T: DeserializeOwned>(text: &[u8]) -> std::result::Result<T, String> {
    let object: Map<String, Value> = serde_json::from_slice(text).map_err(|e| e.to_string())?;
    let alone = |(name, value): (&String, &Value)| {
        let object = Map::from_iter([(name.clone(), value.clone())]);
        serde_json::from_value::<T>(Value::Object(object)).err().map(|e| format!("{name}: {e}"))
    };
    // Nearly always there is nothing to look for.
    let wrong = |e: serde_json::Error| object.iter().find_map(alone).unwrap_or_else(|| e.to_string());
    serde_json::from_value(Value::Object(object.clone())).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Sizes {
        wide: Option<usize>,
        #[serde(default)]
        eps: f32,
    }

    #[test]
    fn a_wrong_entry_is_named() {
        assert_eq!(read::<Sizes>(br#"{"eps": 0.5, "other": []}"#), Ok(Sizes { wide: None, eps: 0.5 }));
        for (text, named) in [
            (r#"{"eps": 1, "wide": -1}"#, "wide: invalid value: integer `-1`"),
            (r#"{"eps": null, "wide": 1}"#, "eps: invalid type: null"),
            (r#"{"wide": 1e30}"#, "wide: invalid type: floating point"),
            ("[1]", "invalid type: sequence, expected a map"),
            ("", "EOF"),
        ] {
            let error = read::<Sizes>(text.as_bytes()).unwrap_err();
            assert!(error.contains(named), "{text}: {error}");
        }
    }
}
