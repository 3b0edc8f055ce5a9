//! Words and phrases in a text: whole words, whatever their case, all rules at once in one pass.

use aho_corasick::{AhoCorasick, MatchKind};
use unicode_categories::UnicodeCategories;
use unicode_normalization_alignments::UnicodeNormalization;

use crate::error::{Error, Result};

/// Phrases of rules while these are read: each with the list it belongs to.
#[derive(Debug, Default)]
pub struct Builder {
    phrases: Vec<String>,
    lists: Vec<u32>,
    count: u32,
}

impl Builder {
    /// Adds a list; returns its number.
    pub fn add<'a>(&mut self, phrases: impl IntoIterator<Item = &'a str>) -> usize {
        // An empty one would be found inside characters.
        for phrase in phrases.into_iter().map(normalised).filter(|phrase| !phrase.is_empty()) {
            self.phrases.push(phrase);
            self.lists.push(self.count);
        }
        self.count += 1;
        self.count as usize - 1
    }

    /// The finished lists.
    ///
    /// # Errors
    /// They do not fit.
    pub fn build(self) -> Result<Words> {
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .build(&self.phrases)
            .map_err(|error| Error::value(format!("words: {error}")))?;
        Ok(Words { automaton, phrases: self.phrases, lists: self.lists, count: self.count as usize })
    }
}

/// Lists of phrases, to be looked for together.
#[derive(Debug)]
pub struct Words {
    automaton: AhoCorasick,
    phrases: Vec<String>,
    lists: Vec<u32>,
    count: usize,
}

impl Words {
    /// Of each list the first phrase that is in the text, if one is.
    pub fn find(&self, text: &str) -> Vec<Option<&str>> {
        let mut found = vec![None; self.count];
        let mut missing = self.count;
        if missing == 0 {
            return found;
        }
        let text = normalised(text);
        for hit in self.automaton.find_overlapping_iter(&text) {
            let phrase = hit.pattern().as_usize();
            let slot = &mut found[self.lists[phrase] as usize];
            if slot.is_none() && stands_alone(&text, hit.start(), hit.end()) {
                *slot = Some(self.phrases[phrase].as_str());
                missing -= 1;
                if missing == 0 {
                    break;
                }
            }
        }
        found
    }
}

/// Lower case, composed (NFC), blanks as one space, one kind of apostrophe.
pub fn normalised(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    if text.is_ascii() {
        push(&mut out, text.chars());
    } else {
        push(&mut out, text.chars().nfc().map(|(c, _)| c));
    }
    if out.ends_with(' ') {
        out.pop();
    }
    out
}

fn push(out: &mut String, text: impl Iterator<Item = char>) {
    let mut blank = true;
    for c in text {
        if c.is_whitespace() {
            if !blank {
                out.push(' ');
            }
            blank = true;
            continue;
        }
        blank = false;
        match c {
            _ if c.is_ascii() => out.push(c.to_ascii_lowercase()),
            // The end of a Greek word has a form of its own.
            'ς' => out.push('σ'),
            '’' | 'ʼ' => out.push('\''),
            _ => out.extend(c.to_lowercase()),
        }
    }
}

/// Whether no letter or digit goes on before or after.
fn stands_alone(text: &str, start: usize, end: usize) -> bool {
    let (before, after) = (text[..start].chars().next_back(), text[end..].chars().next());
    let (first, last) = (text[start..end].chars().next(), text[start..end].chars().next_back());
    let apart = |a: Option<char>, b: Option<char>| !(a.is_some_and(joins) && b.is_some_and(joins));
    apart(before, first) && apart(last, after)
}

/// Whether a character makes one word with its neighbours; in scripts without blanks between words none does.
fn joins(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    let spaceless = matches!(c as u32,
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x31f0..=0x31ff
        | 0x3400..=0x4dbf | 0x4e00..=0x9fff | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff);
    !spaceless && (c.is_alphanumeric() || c.is_mark_nonspacing() || c.is_mark_spacing_combining())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finds(phrases: &[&str], text: &str) -> bool {
        let mut builder = Builder::default();
        builder.add(phrases.iter().copied());
        builder.build().unwrap().find(text)[0].is_some()
    }

    #[test]
    fn whole_words_are_found_whatever_their_case() {
        for (phrase, text) in [
            ("quantum", "What is QUANTUM entanglement?"),
            ("quantum", "quantum-mechanical"),
            ("quantum physics", "of quantum \n physics."),
            ("Größe", "DIE GRÖSSE? Nein, die GRÖßE"),
            ("größe", "gro\u{308}ße"),
            ("σοφός", "ΣΟΦΌΣ"),
            ("c++", "in C++, please"),
            ("c#", "C#"),
            (".net", "the .NET runtime"),
            ("don't", "I don’t know"),
            ("量子", "量子力学とは何ですか"),
            ("क्वांटम", "यह क्वांटम है"),
            ("24/7", "open 24/7!"),
        ] {
            assert!(finds(&[phrase], text), "{phrase} in {text}");
        }
    }

    #[test]
    fn parts_of_words_are_not() {
        for (phrase, text) in [
            ("quantum", "quantums and Xquantum, quantum_1"),
            ("cat", "concatenate"),
            ("c", "abc"),
            ("größe", "größer"),
            ("क्वा", "क्वांटम"),
            ("24/7", "124/7 24/72"),
            ("quantum physics", "quantum astrophysics"),
            ("a", ""),
        ] {
            assert!(!finds(&[phrase], text), "{phrase} in {text}");
        }
    }

    #[test]
    fn lists_are_told_apart() {
        let mut builder = Builder::default();
        let first = builder.add(["tax", "income tax"]);
        let second = builder.add(["Income"]);
        let third = builder.add(["law"]);
        let words = builder.build().unwrap();
        let found = words.find("the income tax");
        assert_eq!(found[second], Some("income"));
        assert!(found[first].is_some() && found[third].is_none());
        assert!(Builder::default().build().unwrap().find("x").is_empty());
    }

    proptest! {
        #[test]
        fn a_word_is_found_where_it_stands_alone(before in "[ -~]{0,20}", word in "[a-z]{1,8}", after in "[ -~]{0,20}") {
            let text = format!("{before} {word} {after}");
            prop_assert!(finds(&[&word], &text), "{text:?}");
        }

        #[test]
        fn ascii_words_are_those_of_a_regex(text in "[a-cA-C_ .,0-1]{0,30}", word in "[a-c]{1,3}") {
            let by_regex = regex::Regex::new(&format!(r"(?i-u)\b{word}\b")).unwrap().is_match(&text);
            prop_assert_eq!(finds(&[&word], &text), by_regex);
        }

        #[test]
        fn nothing_panics(text in any::<String>(), phrase in "\\PC{1,6}") {
            let _ = finds(&[&phrase], &text);
        }
    }
}
