//! Numbers in the arguments of tool calls, digit by digit.
//!
//! A number longer than a machine's (`12345678901234567890123`, an id perhaps) would come out of [`serde_json::Value`] as
//! another one. So long numbers are read as marked texts, and written as the numbers they were.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;
use std::sync::LazyLock;

use serde_json::Value;

/// Numbers up to this length come through as they are.
const SHORT: usize = 15;

/// What a marked text begins with: nobody who sends texts knows it.
static MARK: LazyLock<String> = LazyLock::new(|| {
    let half = || RandomState::new().build_hasher().finish();
    format!("number {:016x}{:016x} ", half(), half())
});

/// Reads JSON; the long numbers in it are marked texts.
///
/// # Errors
/// As `serde_json`'s.
pub(crate) fn read(json: &str) -> serde_json::Result<Value> {
    serde_json::from_str(&marked(json, None))
}

/// Reads JSON; the long numbers anywhere below a field called `field` are marked texts.
///
/// # Errors
/// As `serde_json`'s.
pub(crate) fn read_within(json: &[u8], field: &str) -> serde_json::Result<Value> {
    match std::str::from_utf8(json) {
        Ok(json) => serde_json::from_str(&marked(json, Some(field))),
        Err(_) => serde_json::from_slice(json),
    }
}

/// Writes JSON, marked texts as the numbers they were.
pub(crate) fn write(value: &Value) -> String {
    let json = value.to_string();
    // Not made before the first long number: then nothing is marked.
    let mark = format!("\"{}", *MARK);
    if !json.contains(&mark) {
        return json;
    }
    let mut written = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some((before, after)) = rest.split_once(&mark) {
        written.push_str(before);
        let end = after.find('"').unwrap_or(after.len());
        written.push_str(&after[..end]);
        rest = after.get(end + 1..).unwrap_or_default();
    }
    written.push_str(rest);
    written
}

/// `json` with its long numbers as marked texts.
fn marked<'a>(json: &'a str, field: Option<&str>) -> Cow<'a, str> {
    let long = long(json, field);
    if long.is_empty() {
        return Cow::Borrowed(json);
    }
    let mut marked = String::with_capacity(json.len() + long.len() * (MARK.len() + 2));
    let mut done = 0;
    for number in long {
        marked.push_str(&json[done..number.start]);
        marked.extend(["\"", &MARK, &json[number.clone()], "\""]);
        done = number.end;
    }
    marked.push_str(&json[done..]);
    Cow::Owned(marked)
}

/// Where the long numbers are, in what is JSON or not.
fn long(json: &str, field: Option<&str>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let bytes = json.as_bytes();
    if field.is_some_and(|field| !json.contains(&format!("\"{field}\""))) {
        return found;
    }
    let (mut at, mut depth) = (0, 0_usize);
    // The last text, and how deep the field is that the numbers must be in, once it has begun.
    let mut name = "";
    let mut within = field.is_none().then_some(0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                let end = end_of_text(bytes, at + 1);
                name = &json[at + 1..end];
                at = end;
            }
            b':' if within.is_none() && field == Some(name) => within = Some(depth),
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' => {
                if field.is_some() && within == Some(depth) {
                    within = None;
                }
                depth = depth.saturating_sub(usize::from(*byte != b','));
            }
            b'-' | b'0'..=b'9' => {
                let inside = |byte: &u8| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let length = bytes[at..].iter().take_while(|byte| inside(byte)).count();
                let number = at..at + length;
                let is_long = length > SHORT || bytes[number.clone()].iter().any(|byte| matches!(byte, b'e' | b'E'));
                if within.is_some() && is_long && is_number(&bytes[number.clone()]) {
                    found.push(number);
                }
                at += length - 1;
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// The index of the quotation mark that ends a text.
fn end_of_text(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Whether it is spelled as JSON has it: what is not must stay the error that it is.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let Some(power) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let power = power.strip_prefix(b"-").or_else(|| power.strip_prefix(b"+")).unwrap_or(power);
        let count = digits(power);
        if count == 0 {
            return false;
        }
        rest = &power[count..];
    }
    rest.is_empty()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn long_numbers_stay_what_they_are() {
        for json in [
            r#"{"a":12345678901234567890123,"b":[-98765432109876543210.5,1e400,{"c":0.12345678901234567890}],"d":7}"#,
            r#"{"12345678901234567890123":"12345678901234567890123","x":"\"12345678901234567890123"}"#,
            "18446744073709551616",
            "[1.5,-3,true,null]",
        ] {
            assert_eq!(write(&read(json).unwrap()), json);
        }
        for broken in
            ["[12345678901234567890123", "{\"a\":01234567890123456789}", "1234567890123456789.", "-", "\"1", "\\"]
        {
            assert!(read(broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn numbers_elsewhere_are_numbers() {
        let json = r#"{"n":12345678901234567890123,"args":{"args":[12345678901234567890123,{"x":1e999}]},"m":0.1234567890123456789,"l":["args",1234567890123456789012]}"#;
        let read = read_within(json.as_bytes(), "args").unwrap();
        assert!(read["n"].is_number() && read["m"].is_number() && read["l"][1].is_number());
        assert_eq!(write(&read["args"]), r#"{"args":[12345678901234567890123,{"x":1e999}]}"#);
        let listed = read_within(br#"[{"args":12345678901234567890123},12345678901234567890123]"#, "args").unwrap();
        assert!(listed[1].is_number() && write(&listed[0]) == r#"{"args":12345678901234567890123}"#);
        assert!(read_within(b"{\"args\":\xff}", "args").is_err());
    }

    proptest! {
        #[test]
        fn json_comes_back(digits in "-?[1-9][0-9]{0,40}(\\.[0-9]{1,30})?", text in "\\PC{0,9}", deep in 0..5_usize) {
            prop_assume!(text != "y");
            let text = Value::from(text).to_string();
            let json = format!("{}{{{text}:{digits},\"y\":{text}}}{}", "[".repeat(deep), "]".repeat(deep));
            let back = write(&read(&json).unwrap());
            prop_assert_eq!(read(&back).unwrap(), read(&json).unwrap());
            prop_assume!(digits.len() > SHORT || !digits.contains('.'));
            prop_assert_eq!(back, json);
        }

        #[test]
        fn whatever_it_is_it_stays(json in "[\\[{\":,0-9a-e.\\\\}\\] -]{0,40}") {
            let plain = serde_json::from_str::<Value>(&json).is_ok();
            // Powers may be too high for a machine's numbers.
            prop_assert!(read(&json).is_ok() == plain || (!plain && json.contains('e')), "{json}");
            let _ = read_within(json.as_bytes(), "a");
        }
    }
}
