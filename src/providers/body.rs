//! Changes to a caller's request body that leave every other byte as it came in.
//!
//! The body is not parsed and written again, because that would reorder nothing today and something tomorrow
//! (number spellings, duplicate keys, escapes). The top-level members are found; those that change are written anew, all
//! else is copied.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memchr2;

use crate::error::{Error, Result};

/// The top-level members of a body, unread.
pub(crate) struct Fields<'a> {
    body: &'a [u8],
    members: Vec<Member<'a>>,
    /// Just behind the opening bracket.
    inside: usize,
}

struct Member<'a> {
    name: Cow<'a, str>,
    /// Where its key begins.
    start: usize,
    /// Where its value begins and ends.
    value: (usize, usize),
}

impl<'a> Fields<'a> {
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) when `body` is not one JSON object. What its members hold is not looked at.
    pub fn read(body: &'a [u8]) -> Result<Self> {
        let mut scan = Scanner { body, at: 0 };
        scan.space();
        scan.expect(b'{')?;
        let mut fields = Self { body, members: Vec::with_capacity(16), inside: scan.at };
        scan.space();
        if scan.peek() == Some(b'}') {
            scan.at += 1;
        } else {
            loop {
                scan.space();
                let start = scan.at;
                let name = name_of(scan.string()?).ok_or_else(|| scan.broken())?;
                scan.space();
                scan.expect(b':')?;
                scan.space();
                let from = scan.at;
                scan.value()?;
                fields.members.push(Member { name, start, value: (from, scan.at) });
                scan.space();
                match scan.next()? {
                    b',' => {}
                    b'}' => break,
                    _ => return Err(scan.broken()),
                }
            }
        }
        scan.space();
        if scan.at == body.len() { Ok(fields) } else { Err(scan.broken()) }
    }

    /// The JSON of `name`; the last one where there are several. A null is no value.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        let member = self.members.iter().rev().find(|member| member.name == name)?;
        Some(self.body[member.value.0..member.value.1].trim_ascii_end()).filter(|value| *value != b"null")
    }

    /// Whether `name` is there, be it null.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|member| member.name == name)
    }

    /// Every name, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.members.iter().map(|member| &*member.name)
    }

    /// The body without the members of which `leave` says so, given name and JSON; every other one is copied as it is.
    pub fn without(&self, leave: impl Fn(&str, &[u8]) -> bool) -> Bytes {
        let mut out = Vec::with_capacity(self.body.len());
        out.extend_from_slice(&self.body[..self.inside]);
        let mut separator = false;
        for member in &self.members {
            let value = self.body[member.value.0..member.value.1].trim_ascii_end();
            if leave(&member.name, value) {
                continue;
            }
            if separator {
                out.push(b',');
            }
            separator = true;
            out.extend_from_slice(&self.body[member.start..member.value.0]);
            out.extend_from_slice(value);
        }
        let last = self.members.last().map_or(self.inside, |member| member.value.1);
        out.extend_from_slice(&self.body[last..]);
        Bytes::from(out)
    }

    /// The body with `changes`: a value takes the old one's place, or the first place where there is none; `None` takes
    /// the member out.
    pub fn write(&self, changes: &[Change]) -> Bytes {
        let added: usize =
            changes.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + 4).sum();
        let mut out = Vec::with_capacity(self.body.len() + added);
        out.extend_from_slice(&self.body[..self.inside]);
        let mut separator = false;
        for (name, value) in changes {
            if let Some(value) = value
                && !self.has(name)
            {
                if separator {
                    out.push(b',');
                }
                out.extend([b"\"", name.as_bytes(), b"\":", value].concat());
                separator = true;
            }
        }
        let mut from = self.inside;
        for (at, member) in self.members.iter().enumerate() {
            let end = self.members.get(at + 1).map(|next| next.start);
            let change = changes.iter().rev().find(|(name, _)| member.name == *name).map(|(_, value)| value);
            if let Some(None) = change {
                from = end.unwrap_or(member.value.1);
                continue;
            }
            // The space before a key stays with it, the comma after a value is written here.
            let key = &self.body[from..member.value.0];
            if separator {
                out.push(b',');
            }
            out.extend_from_slice(key);
            match change {
                Some(Some(value)) => out.extend_from_slice(value),
                _ => out.extend_from_slice(&self.body[member.value.0..member.value.1]),
            }
            separator = true;
            let after = &self.body[member.value.1..end.unwrap_or(member.value.1)];
            let comma = after.iter().position(|&byte| byte == b',').unwrap_or(after.len());
            out.extend_from_slice(&after[..comma]);
            from = (member.value.1 + comma + 1).min(end.unwrap_or(member.value.1));
        }
        let last = self.members.last().map_or(self.inside, |member| member.value.1);
        out.extend_from_slice(&self.body[last..]);
        Bytes::from(out)
    }
}

/// A top-level member's new JSON; `None` takes it out.
pub(crate) type Change = (&'static str, Option<Vec<u8>>);

/// `body` with its top-level `model` set; put in front where there is none.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) when `body` is not one JSON object.
#[cfg(test)]
fn set_model(body: &[u8], model: &str) -> Result<Bytes> {
    Ok(Fields::read(body)?.write(&[("model", Some(quoted(model)))]))
}

/// A text as JSON.
pub(super) fn quoted(text: &str) -> Vec<u8> {
    serde_json::Value::from(text).to_string().into_bytes()
}

/// What a quoted key says, escapes read.
fn name_of(key: &[u8]) -> Option<Cow<'_, str>> {
    if key.contains(&b'\\') {
        return serde_json::from_slice::<String>(key).ok().map(Cow::Owned);
    }
    std::str::from_utf8(&key[1..key.len() - 1]).ok().map(Cow::Borrowed)
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
            let rest = self.body.get(self.at..).unwrap_or_default();
            self.at += memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
            match self.next()? {
                b'"' => return Ok(&self.body[start..self.at]),
                // Whatever it is that follows.
                _ => self.at += 1,
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
    fn members_are_left_out() {
        let left = |body: &str| {
            let fields = Fields::read(body.as_bytes()).unwrap();
            let out = fields.without(|name, value| name == "x" || value == b"null");
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!(left(r#"{"a":1.50, "x": {"y": [1, 2]}, "b": null , "c" : [null]}"#), r#"{"a":1.50,"c" : [null]}"#);
        assert_eq!(left(r#"{ "x" : 1 }"#), "{}");
        assert_eq!(left(r#"{"\u0078":"}","x":2,"b":"n\"ull"}"#), r#"{"b":"n\"ull"}"#);
        assert_eq!(left("{}"), "{}");
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
