//! Texts with one named field, as Python's `str.format` reads them.

use crate::error::{Error, Kind, Result};

/// A text whose `{field}` is filled in; `{{` and `}}` are braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// What stands between the fields: one more than there are fields.
    literals: Vec<String>,
}

impl Template {
    /// Reads a text that may hold `{field}` any number of times; `source` is named in errors.
    ///
    /// # Errors
    /// `Kind::Checkpoint` for any other field, a conversion or a format of it, and for a single brace.
    pub fn parse(text: &str, field: &str, source: &str) -> Result<Self> {
        let wrong = |what: String| {
            Error::new(Kind::Checkpoint, format!("{source}: {what}; write {{{{ and }}}} for braces that stay"))
        };
        let (mut literals, mut literal) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
            } else if brace == "}" {
                return Err(wrong("a single '}'".to_owned()));
            } else {
                let Some((name, after)) = rest.split_once('}') else {
                    return Err(wrong("a single '{'".to_owned()));
                };
                if name != field {
                    let shown: String = name.chars().take(40).collect();
                    return Err(wrong(format!("expected the field {{{field}}} and no other, found {{{shown}}}")));
                }
                literals.push(std::mem::take(&mut literal));
                rest = after;
            }
        }
        literal.push_str(rest);
        literals.push(literal);
        Ok(Self { literals })
    }

    /// The text with `value` in place of the field; braces in `value` are left alone.
    pub fn fill(&self, value: &str) -> String {
        self.literals.join(value)
    }
}

/// Line ends as Python reads text files: `\r\n` and `\r` become `\n`.
pub fn universal_newlines(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n")
}

/// Python's `str.strip`: besides Unicode's white space it takes the four separators of ASCII.
pub fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_braces() {
        let read = |text: &str| Template::parse(text, "question", "file");
        for (text, filled) in [
            ("", ""),
            ("no field", "no field"),
            ("{question}", "{a} }{"),
            ("{{question}}", "{question}"),
            ("{{{question}}}", "{{a} }{}"),
            ("a {question} b {question}", "a {a} }{ b {a} }{"),
            ("{{}}{{", "{}{"),
        ] {
            assert_eq!(read(text).unwrap().fill("{a} }{"), filled, "{text}");
        }
        for text in
            ["{", "}", "{}", "{0}", "{other}", "{question!r}", "{question:>9}", "{question.a}", "{question}}", "{{}"]
        {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Checkpoint, "{text}");
            assert!(error.message().starts_with("file: "), "{error}");
        }
    }

    #[test]
    fn white_space_is_python_s() {
        assert_eq!(strip("\u{1c}\u{a0}\u{2003}\n x \u{200b}\u{85}\u{1f}\u{3000}"), "x \u{200b}");
        assert_eq!(strip("\u{feff}"), "\u{feff}");
        assert_eq!(universal_newlines("a\r\nb\rc\n\r\rd"), "a\nb\nc\n\n\nd");
    }
}
