//! The one change made to a caller's request body: which model it names.
//!
//! The body is not parsed and written again, because that would reorder nothing today and something tomorrow
//! (number spellings, duplicate keys, escapes). The value of the top-level `model` is found and replaced; every other
//! byte goes out as it came in.

use bytes::Bytes;

use crate::error::{Error, Result};

/// `body` with its top-level `model` set; put in front where there is none.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) when `body` is not one JSON object.
pub fn set_model(body: &[u8], model: &str) -> Result<Bytes> {
    let model = serde_json::to_string(model).map_err(|e| Error::value(format!("the model name: {e}")))?;
    let mut scan = Scanner { body, at: 0 };
    scan.space();
    scan.expect(b'{')?;
    let inside = scan.at;
    scan.space();
    let mut out = Vec::with_capacity(body.len() + model.len() + 16);
    let mut copied = 0;
    let mut found = false;
    let empty = scan.peek() == Some(b'}');
    if empty {
        scan.at += 1;
    } else {
        loop {
            scan.space();
            let key = scan.string()?;
            scan.space();
            scan.expect(b':')?;
            scan.space();
            let start = scan.at;
            scan.value()?;
            if is_model(key) {
                out.extend_from_slice(&body[copied..start]);
                out.extend_from_slice(model.as_bytes());
                copied = scan.at;
                found = true;
            }
            scan.space();
            match scan.next()? {
                b',' => {}
                b'}' => break,
                _ => return Err(scan.broken()),
            }
        }
    }
    scan.space();
    if scan.at != body.len() {
        return Err(scan.broken());
    }
    if !found {
        out.extend_from_slice(&body[..inside]);
        out.extend_from_slice(b"\"model\":");
        out.extend_from_slice(model.as_bytes());
        if !empty {
            out.push(b',');
        }
        copied = inside;
    }
    out.extend_from_slice(&body[copied..]);
    Ok(Bytes::from(out))
}

/// Whether a quoted key says `model`, escapes read.
fn is_model(key: &[u8]) -> bool {
    key == b"\"model\""
        || (key.contains(&b'\\') && serde_json::from_slice::<String>(key).is_ok_and(|key| key == "model"))
}

/// Walks over JSON without reading it; strings and brackets are all it has to understand.
struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8> {
        let byte = self.peek().ok_or_else(|| self.broken())?;
        self.at += 1;
        Ok(byte)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.next()? == byte { Ok(()) } else { Err(self.broken()) }
    }

    /// The quoted string here, quotes included.
    fn string(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        self.expect(b'"')?;
        loop {
            match self.next()? {
                b'"' => return Ok(&self.body[start..self.at]),
                b'\\' => self.at += 1,
                _ => {}
            }
        }
    }

    /// Steps over one value of any kind.
    fn value(&mut self) -> Result<()> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.string()?;
                }
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b'}') if depth == 0 && self.at > start => return Ok(()),
                Some(b',' | b'}' | b']') if depth == 0 => return Err(self.broken()),
                Some(_) => self.at += 1,
                None => return Err(self.broken()),
            }
            if depth == 0 && matches!(self.body[self.at - 1], b'"' | b'}' | b']') {
                return Ok(());
            }
        }
    }

    fn broken(&self) -> Error {
        Error::value(format!("the request body must be one JSON object; it is not at byte {}", self.at))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(body: &str, model: &str) -> String {
        String::from_utf8(set_model(body.as_bytes(), model).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn only_the_model_changes() {
        assert_eq!(
            set(r#"{"a": 1.50,"model": "x" ,"b":[{"model":"y"}]}"#, "m"),
            r#"{"a": 1.50,"model": "m" ,"b":[{"model":"y"}]}"#
        );
        assert_eq!(set(r#"{"messages":"say \"model\": {"}"#, "m"), r#"{"model":"m","messages":"say \"model\": {"}"#);
        assert_eq!(set("{}", "m"), r#"{"model":"m"}"#);
        assert_eq!(set(r#" { "mod\u0065l" : {"a":[1]} } "#, "a\"b"), r#" { "mod\u0065l" : "a\"b" } "#);
        assert_eq!(set(r#"{"model":null,"n":1}"#, "m"), r#"{"model":"m","n":1}"#);
    }

    #[test]
    fn what_is_not_an_object_is_refused() {
        for body in
            ["", "[]", "{", r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1"#, r#"{"a":"x}"#, "{} {}", r#"{"a":1,}"#, r#"{"a":"\"#]
        {
            assert!(set_model(body.as_bytes(), "m").is_err(), "{body}");
        }
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::vec((prop_oneof![Just("model".to_owned()), any::<String>()], inner), 0..4)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn agrees_with_a_real_parser(pairs in prop::collection::vec((any::<String>(), json()), 0..5), with in any::<bool>(), pretty in any::<bool>()) {
            let mut object: serde_json::Map<_, _> = pairs.into_iter().collect();
            if with {
                object.insert("model".into(), "old".into());
            }
            let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) }.unwrap();
            let read: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&set_model(text.as_bytes(), "new").unwrap()).unwrap();
            object.insert("model".into(), "new".into());
            prop_assert_eq!(read, object);
        }

        #[test]
        fn never_panics(body in prop::collection::vec(prop_oneof![Just(b'"'), Just(b'{'), Just(b'}'), Just(b'['), Just(b']'), Just(b','), Just(b':'), Just(b'\\'), any::<u8>()], 0..40)) {
            let _ = set_model(&body, "m");
        }
    }
}
