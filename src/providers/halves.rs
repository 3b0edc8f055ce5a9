//! Half characters: `"cut \ud83e"` is what a server sends that cuts text in the middle of a surrogate pair. It is no
//! text, and readers refuse all of its JSON. Halves that follow each other in two events are joined again, any other
//! becomes U+FFFD.

use std::mem;

use bytes::Bytes;
use memchr::memchr;

/// A character nobody knows.
const UNKNOWN: &[u8] = br"\ufffd";
/// `\uXXXX`.
const ESCAPE: usize = 6;

/// `json` without lone halves; `None` when there are none.
pub fn mended(json: &[u8]) -> Option<Bytes> {
    rewritten(json, |_, _| None)
}

/// Joins the halves of one stream's events.
#[derive(Debug, Default)]
pub struct Halves {
    /// The first half, as it was written at the end of a text.
    first: Vec<u8>,
}

impl Halves {
    /// One event. A first half at the end of a text is kept for the text whose beginning is the second half, in a
    /// later event.
    pub fn joined(&mut self, json: Bytes) -> Bytes {
        let first = &mut self.first;
        let joined = rewritten(&json, |half, place| match (half, place) {
            (Half::First(written), Place { ends: true, .. }) => {
                first.clear();
                first.extend_from_slice(written);
                Some(Vec::new())
            }
            (Half::Second(written), Place { begins: true, .. }) if !first.is_empty() => {
                let mut whole = mem::take(first);
                whole.extend_from_slice(written);
                Some(whole)
            }
            _ => None,
        });
        joined.unwrap_or(json)
    }
}

/// A lone half, as it is written.
enum Half<'a> {
    First(&'a [u8]),
    Second(&'a [u8]),
}

/// Where a half stands in its text.
struct Place {
    begins: bool,
    ends: bool,
}

/// `json` with each lone half as `instead` says, else as a character nobody knows; `None` when there are none.
fn rewritten(json: &[u8], mut instead: impl FnMut(&Half<'_>, &Place) -> Option<Vec<u8>>) -> Option<Bytes> {
    let mut made: Vec<u8> = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = memchr(b'\\', &json[at..]) {
        at += found;
        let unit = unit(&json[at..]);
        let half = match unit {
            // Another escape, which may be one of a backslash.
            None => {
                at = json.len().min(at + 2);
                continue;
            }
            Some(0xd800..=0xdbff) => {
                if matches!(json.get(at + ESCAPE..).and_then(self::unit), Some(0xdc00..=0xdfff)) {
                    at += 2 * ESCAPE;
                    continue;
                }
                Half::First(&json[at..at + ESCAPE])
            }
            Some(0xdc00..=0xdfff) => Half::Second(&json[at..at + ESCAPE]),
            Some(_) => {
                at += ESCAPE;
                continue;
            }
        };
        let place = Place { begins: at > 0 && json[at - 1] == b'"', ends: json.get(at + ESCAPE) == Some(&b'"') };
        made.extend_from_slice(&json[copied..at]);
        made.extend_from_slice(&instead(&half, &place).unwrap_or_else(|| UNKNOWN.to_vec()));
        at += ESCAPE;
        copied = at;
    }
    if copied == 0 {
        return None;
    }
    made.extend_from_slice(&json[copied..]);
    Some(made.into())
}

/// The UTF-16 unit of the escape that `text` begins with.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn lone_halves_become_unknown_characters() {
        for (json, text) in [
            (r#""cut \ud83e""#, "cut \u{fffd}"),
            (r#""\udd89 cut""#, "\u{fffd} cut"),
            (r#""\ud83e\ud83e\udd89\udd89""#, "\u{fffd}\u{1f989}\u{fffd}"),
            (r#""\ud83e\n\\\ud83e""#, "\u{fffd}\n\\\u{fffd}"),
        ] {
            let mended = mended(json.as_bytes()).unwrap();
            assert_eq!(serde_json::from_slice::<Value>(&mended).unwrap(), text, "{json}");
        }
        for whole in
            [r#""\ud83e\udd89""#, r#""\\ud83e \\\\ud83e""#, r#""\u00e4 \n""#, "\"\\", r#""\ud8"#, r#""\ud8+1""#]
        {
            assert_eq!(mended(whole.as_bytes()), None, "{whole}");
        }
    }

    #[test]
    fn halves_of_two_events_are_joined() {
        let mut halves = Halves::default();
        let mut read = |json: &'static str| {
            let joined = halves.joined(Bytes::from_static(json.as_bytes()));
            serde_json::from_slice::<Value>(&joined).unwrap()["content"].as_str().unwrap().to_owned()
        };
        assert_eq!(read(r#"{"content":"an owl \ud83e"}"#), "an owl ");
        assert_eq!(read(r#"{"content":"","index":3}"#), "");
        assert_eq!(read(r#"{"content":"\udd89!"}"#), "\u{1f989}!");
        assert_eq!(read(r#"{"content":"\udd89!"}"#), "\u{fffd}!");
        assert_eq!(read(r#"{"content":"\ud83e\udd89"}"#), "\u{1f989}");
    }

    proptest! {
        /// What is left can be read, and text without halves is left alone.
        #[test]
        fn any_text_of_escapes_can_be_read(units in prop::collection::vec(any::<u16>(), 0..20)) {
            let text: Vec<String> = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = format!("\"{}\"", text.concat());
            let read = mended(json.as_bytes()).unwrap_or_else(|| json.clone().into());
            prop_assert_eq!(serde_json::from_slice::<String>(&read).unwrap(), String::from_utf16_lossy(&units));
        }

        #[test]
        fn never_panics(json in prop::collection::vec(prop_oneof![Just(b'\\'), Just(b'u'), Just(b'd'), Just(b'8'), Just(b'"'), any::<u8>()], 0..40)) {
            let _ = mended(&json);
            let _ = Halves::default().joined(json.into());
        }
    }
}
