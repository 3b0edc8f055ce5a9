//! Whether a text is JSON as Python's `json` takes it, also where it holds what no number or string of ours can.
//!
//! `serde_json` refuses numbers beyond a double, half of a surrogate pair and what is nested more than 127 deep. Nearly
//! every caller's parser takes them, so an answer does not fail for one. Nothing here calls itself.

/// Whether `text` is one JSON value, with `NaN` and the infinities; however deep it is nested.
pub(super) fn is_json(text: &str) -> bool {
    let mut rest = Rest(text.as_bytes());
    let mut open = Vec::new();
    loop {
        // A value, or the beginning of one.
        rest.space();
        match rest.next() {
            Some(b'{') => {
                rest.space();
                if !rest.skip(b"}") {
                    if !rest.name() {
                        return false;
                    }
                    open.push(b'}');
                    continue;
                }
            }
            Some(b'[') => {
                rest.space();
                if !rest.skip(b"]") {
                    open.push(b']');
                    continue;
                }
            }
            Some(b'"') if rest.string() => {}
            Some(b't') if rest.skip(b"rue") => {}
            Some(b'f') if rest.skip(b"alse") => {}
            Some(b'n') if rest.skip(b"ull") => {}
            Some(b'N') if rest.skip(b"aN") => {}
            Some(b'I') if rest.skip(b"nfinity") => {}
            Some(b'-') if rest.skip(b"Infinity") => {}
            Some(first @ (b'-' | b'0'..=b'9')) if rest.number(first) => {}
            _ => return false,
        }
        // What may follow it, until another value has to come.
        loop {
            rest.space();
            let Some(&end) = open.last() else { return rest.0.is_empty() };
            match rest.next() {
                Some(b',') => {
                    rest.space();
                    if end == b'}' && !rest.name() {
                        return false;
                    }
                    break;
                }
                Some(found) if found == end => drop(open.pop()),
                _ => return false,
            }
        }
    }
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip(&mut self, word: &[u8]) -> bool {
        let rest = self.0.strip_prefix(word);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    fn skip_all(&mut self, of: impl Fn(u8) -> bool) -> usize {
        let count = self.0.iter().take_while(|byte| of(**byte)).count();
        self.0 = &self.0[count..];
        count
    }

    fn space(&mut self) {
        self.skip_all(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// A member's name and the colon after it.
    fn name(&mut self) -> bool {
        self.skip(b"\"") && self.string() && {
            self.space();
            self.skip(b":")
        }
    }

    /// What is left of a string, with its end.
    fn string(&mut self) -> bool {
        loop {
            self.skip_all(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f));
            match self.next() {
                Some(b'"') => return true,
                Some(b'\\') => match self.next() {
                    Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {}
                    Some(b'u') if self.0.len() >= 4 && self.0[..4].iter().all(u8::is_ascii_hexdigit) => {
                        self.0 = &self.0[4..];
                    }
                    _ => return false,
                },
                _ => return false,
            }
        }
    }

    /// What is left of a number.
    fn number(&mut self, first: u8) -> bool {
        let is_digit = |byte: u8| byte.is_ascii_digit();
        match if first == b'-' { self.next() } else { Some(first) } {
            Some(b'0') => {}
            Some(b'1'..=b'9') => drop(self.skip_all(is_digit)),
            _ => return false,
        }
        if self.skip(b".") && self.skip_all(is_digit) == 0 {
            return false;
        }
        if self.skip(b"e") || self.skip(b"E") {
            let _ = self.skip(b"+") || self.skip(b"-");
            return self.skip_all(is_digit) > 0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_serde_cannot_hold_is_json_all_the_same() {
        let (deep, long) = (format!("{}{}", "[".repeat(5000), "]".repeat(5000)), "9".repeat(330));
        for text in [&*deep, &*long, r#"{"a":1e400}"#, r#""\ud83d""#, "NaN", "[-Infinity, Infinity]", " {} "] {
            assert!(is_json(text), "{text}");
        }
        for text in [
            "",
            "{",
            "[1,]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{1:2}",
            "01",
            "1.",
            "1e",
            "-",
            "\"\\ud8\"",
            "{}}",
            "[}",
        ] {
            assert!(!is_json(text), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_serde_takes_is_taken_and_little_else(text in "[\\[\\]{}:,\"\\\\0-9a-fnultrs.eE+ -]{0,12}") {
            let is_known = serde_json::from_str::<Value>(&text).is_ok();
            // With so few letters, beyond what serde takes, only numbers too large and halves of pairs are left.
            let may_be_more = text.contains(['e', 'E']) || text.contains("\\u");
            prop_assert!(is_json(&text) == is_known || !is_known && may_be_more, "{text}");
        }
    }
}
