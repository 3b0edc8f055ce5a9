//! Texts of others in a sentence of ours: a provider's refusal, a file's label.

use std::borrow::Cow;

/// `text` on one line, without what would move the cursor or turn the direction of what follows: each control character,
/// line separator and override of the direction is a space.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unsafe) {
        text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect::<String>().into()
    } else {
        text.into()
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_overrides_become_spaces() {
        assert_eq!(one_line("a\x1b[2Jb\r\nc\u{202e}d\u{2066}e\u{2028}f\u{9b}g\x7f"), "a [2Jb  c d e f g ");
    }

    #[test]
    fn what_is_harmless_stays_as_it_is() {
        for text in ["", "größer, “so” — 是的 👩\u{200d}💻", "עברית\u{200f}!"] {
            assert!(matches!(one_line(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
