//! Which names a model answers to.

use serde::Deserialize;

/// A condition on a name in lower case.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Pattern {
    /// The whole name, in which `*` is any text and `#` one digit.
    Text(Box<str>),
    /// One of several.
    Any(Vec<Pattern>),
    /// All of several.
    All {
        /// The conditions.
        all: Vec<Pattern>,
    },
    /// Anything but this.
    Not {
        /// The condition.
        not: Box<Pattern>,
    },
}

impl Pattern {
    /// Whether it holds for `name`, which is in lower case.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Text(text) => matches(text.as_bytes(), name.as_bytes()),
            Self::Any(patterns) => patterns.iter().any(|pattern| pattern.matches(name)),
            Self::All { all } => all.iter().all(|pattern| pattern.matches(name)),
            Self::Not { not } => !not.matches(name),
        }
    }
}

/// Wildcards without recursion: on a mismatch, the last `*` takes one byte more.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    let mut star = None;
    while read < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(b'#') if name[read].is_ascii_digit() => {
                at += 1;
                read += 1;
            }
            Some(byte) if *byte == name[read] && *byte != b'#' => {
                at += 1;
                read += 1;
            }
            _ => {
                let Some((after, taken)) = star else { return false };
                at = after + 1;
                read = taken + 1;
                star = Some((after, taken + 1));
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pattern(json: &str) -> Pattern {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn patterns_match_whole_names() {
        for (json, yes, no) in [
            (r#""gpt-5.2""#, "gpt-5.2", "gpt-5.2-pro"),
            (r#""gpt-5*""#, "gpt-5", "a-gpt-5"),
            (r#""*-tts""#, "a-tts-tts", "a-tts-1"),
            (r#""*claude*""#, "my-claude-2", "my-clau"),
            (r#""grok-4.5-########""#, "grok-4.5-20261001", "grok-4.5-2026100x"),
            (r##""#*""##, "1", "a"),
            (r#"["a", "b*"]"#, "bc", "ab"),
            (r#"{"all": ["a*", {"not": ["*b", "*c"]}]}"#, "abd", "ac"),
        ] {
            assert!(pattern(json).matches(yes), "{json} {yes}");
            assert!(!pattern(json).matches(no), "{json} {no}");
        }
    }

    proptest! {
        #[test]
        fn stars_stand_for_any_text(parts in prop::collection::vec("[ab1]{0,3}", 1..5), between in "[ab1]{0,4}") {
            let pattern = Pattern::Text(parts.join("*").into());
            prop_assert!(pattern.matches(&parts.join(&between)));
            if parts.len() == 1 {
                let longer = format!("{}{between}", parts[0]);
                prop_assert_eq!(pattern.matches(&longer), between.is_empty());
            }
        }
    }
}
