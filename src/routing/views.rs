//! What of a conversation is routed on.
//!
//! `RouteLLM` scores the last message alone. Then "yes, go on" after a proof is scored as small talk; the other views, and
//! joining short turns to what they follow, are for that.

use std::borrow::Cow;

use crate::text::view::{Role, Turn, View};

/// More than so many bytes of earlier turns are not scored.
const LONGEST: usize = 16 * 1024;
/// A turn that only follows another has no more words and characters.
const MOST_WORDS: usize = 4;
const MOST_CHARS: usize = 25;

/// The part that is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Part {
    /// The last message, whoever speaks.
    #[default]
    Last,
    /// The user's first.
    First,
    /// All the user has said, a turn a line; of a long conversation the latest of it.
    UserTurns,
}

impl Part {
    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "last" => Self::Last,
            "first" => Self::First,
            "user_turns" => Self::UserTurns,
            _ => return None,
        })
    }

    /// The text that is routed on; with `join`, a last turn that only follows what was said before comes with that.
    ///
    /// Where the user has said nothing it is the last message.
    pub fn text(self, view: &View, join: bool) -> Cow<'_, str> {
        let said = |turn: &&Turn| turn.role == Role::User && !turn.text.is_empty();
        let users = || view.turns.iter().filter(said);
        match self {
            Self::Last if join && view.turns.last().is_some_and(|turn| said(&turn) && only_follows(&turn.text)) => {
                let begins = users().rev().position(|turn| !only_follows(&turn.text));
                latest(users().rev().take(begins.map_or(usize::MAX, |at| at + 1)))
            }
            Self::Last => view.text().into(),
            Self::First => users().next().map_or_else(|| view.text(), |turn| &turn.text).into(),
            Self::UserTurns => match users().next() {
                Some(_) => latest(users().rev()),
                None => view.text().into(),
            },
        }
    }
}

/// The texts of turns, told latest first, in their own order: the latest whole, and of those before as many as fit.
fn latest<'a>(turns: impl Iterator<Item = &'a Turn>) -> Cow<'a, str> {
    let mut length = 0;
    let mut kept: Vec<&str> = Vec::new();
    for turn in turns {
        length += turn.text.len() + 1;
        if length > LONGEST && !kept.is_empty() {
            break;
        }
        kept.push(&turn.text);
    }
    if let [one] = kept[..] {
        return one.into();
    }
    kept.reverse();
    kept.join("\n").into()
}

/// Whether a turn says nothing of its own, but goes on with what was said: "yes", "go on", "and in French?".
///
/// It is short, and made of words that carry no topic, or begins as nobody begins a topic, or points back ("that",
/// "it"). Measured on a list of such turns in `tests/test_views.py`.
pub fn only_follows(text: &str) -> bool {
    let text = text.trim();
    if text.chars().nth(MOST_CHARS).is_some() {
        return false;
    }
    // A colon, a line of code or a formula is content.
    if text.contains([':', '=', '*', '+', '^', '(', '{', '<', '/', '\\', '`', '|', '$']) {
        return false;
    }
    let lower = text.to_lowercase().replace(['\u{2019}', '\''], "");
    let words: Vec<&str> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    match words[..] {
        [] => true,
        [one] if one.chars().count() == 1 => true,
        [one] if one.bytes().all(|byte| byte.is_ascii_digit()) => true,
        [first, ..] if words.len() <= MOST_WORDS => {
            let filler = |word: &&str| FILLERS.binary_search(word).is_ok();
            words.iter().all(filler)
                || OPENERS.binary_search(&first).is_ok()
                || words.len() > 1 && words.iter().any(|word| POINTERS.binary_search(word).is_ok())
                || ABOUT.iter().any(|begin| words.starts_with(begin))
        }
        _ => false,
    }
}

/// Words that carry no topic, of the languages most is written in; sorted.
const FILLERS: [&str; 280] = [
    "a",
    "absolutely",
    "again",
    "ahead",
    "all",
    "alright",
    "also",
    "an",
    "ancora",
    "another",
    "any",
    "anything",
    "are",
    "at",
    "auf",
    "b",
    "better",
    "bit",
    "bitte",
    "breve",
    "c",
    "can",
    "certainly",
    "changes",
    "clear",
    "code",
    "confirm",
    "continua",
    "continuar",
    "continue",
    "continuer",
    "continuez",
    "continúa",
    "cool",
    "correct",
    "corto",
    "could",
    "course",
    "court",
    "curto",
    "d",
    "da",
    "danach",
    "danke",
    "dann",
    "deeper",
    "detail",
    "detailed",
    "details",
    "different",
    "do",
    "doch",
    "does",
    "done",
    "e",
    "elaborate",
    "else",
    "encore",
    "exact",
    "exactly",
    "example",
    "examples",
    "expand",
    "explain",
    "extra",
    "favor",
    "fine",
    "first",
    "following",
    "further",
    "genau",
    "gerade",
    "gern",
    "go",
    "going",
    "good",
    "got",
    "gracias",
    "grazie",
    "great",
    "gut",
    "hm",
    "hmm",
    "how",
    "i",
    "in",
    "indeed",
    "is",
    "ja",
    "jawohl",
    "keep",
    "klar",
    "kürzer",
    "last",
    "less",
    "let",
    "like",
    "little",
    "longer",
    "lot",
    "länger",
    "mach",
    "mas",
    "maybe",
    "mehr",
    "merci",
    "mhm",
    "might",
    "mir",
    "mm",
    "moins",
    "more",
    "my",
    "más",
    "nah",
    "naja",
    "nein",
    "next",
    "nice",
    "no",
    "noch",
    "nochmal",
    "nochmals",
    "non",
    "nope",
    "not",
    "now",
    "obrigada",
    "obrigado",
    "of",
    "oh",
    "ok",
    "okay",
    "on",
    "once",
    "one",
    "ones",
    "only",
    "option",
    "or",
    "other",
    "otra",
    "oui",
    "part",
    "passt",
    "perche",
    "perché",
    "perfect",
    "perfetto",
    "plait",
    "plaît",
    "please",
    "plus",
    "poi",
    "point",
    "por",
    "porque",
    "pourquoi",
    "prima",
    "proceed",
    "que",
    "quite",
    "qué",
    "quê",
    "really",
    "redo",
    "repeat",
    "retry",
    "richtig",
    "right",
    "s",
    "sages",
    "same",
    "say",
    "second",
    "see",
    "seems",
    "short",
    "shorten",
    "shorter",
    "si",
    "sicher",
    "sigue",
    "sil",
    "sim",
    "simple",
    "simpler",
    "simplify",
    "slower",
    "so",
    "sounds",
    "step",
    "steps",
    "still",
    "stimmt",
    "stop",
    "super",
    "sure",
    "sì",
    "sí",
    "te",
    "tell",
    "thank",
    "thanks",
    "the",
    "there",
    "third",
    "too",
    "top",
    "true",
    "try",
    "two",
    "un",
    "und",
    "une",
    "up",
    "us",
    "vale",
    "version",
    "very",
    "vez",
    "vous",
    "vraiment",
    "wait",
    "warum",
    "way",
    "weiter",
    "weitermachen",
    "well",
    "what",
    "when",
    "where",
    "which",
    "who",
    "why",
    "wieso",
    "wow",
    "wrong",
    "yeah",
    "yep",
    "yes",
    "you",
    "your",
    "yup",
    "да",
    "дальше",
    "еще",
    "ещё",
    "нет",
    "пожалуйста",
    "почему",
    "продолжай",
    "продолжи",
    "спасибо",
    "так",
    "хорошо",
    "ありがとう",
    "いいえ",
    "なぜ",
    "はい",
    "もっと",
    "不",
    "不是",
    "为什么",
    "好",
    "好的",
    "是",
    "是的",
    "為什麼",
    "然后呢",
    "続けて",
    "繼續",
    "继续",
    "谢谢",
    "계속",
    "계속해",
    "네",
    "더",
    "아니요",
    "왜",
];
/// Words that tie what follows to what was said, at its beginning; sorted.
const OPENERS: [&str; 51] = [
    "aber",
    "als",
    "also",
    "and",
    "as",
    "auch",
    "auf",
    "aun",
    "avec",
    "but",
    "comme",
    "como",
    "con",
    "dann",
    "e",
    "en",
    "et",
    "for",
    "für",
    "in",
    "instead",
    "ma",
    "mais",
    "mit",
    "o",
    "oder",
    "ohne",
    "or",
    "pero",
    "plus",
    "pour",
    "sans",
    "sin",
    "so",
    "then",
    "to",
    "und",
    "using",
    "with",
    "without",
    "y",
    "а",
    "и",
    "но",
    "じゃあ",
    "なら",
    "而",
    "那",
    "那么",
    "그럼",
    "그리고",
];
/// Words that point at what was said; sorted.
const POINTERS: [&str; 34] = [
    "above", "again", "ceci", "cela", "das", "dem", "der", "dies", "ello", "eso", "esto", "former", "instead", "isso",
    "isto", "it", "its", "latter", "lo", "ones", "previous", "quello", "questo", "same", "that", "thats", "them",
    "these", "they", "this", "those", "ça", "это", "этот",
];
/// Beginnings of two words that do.
const ABOUT: [[&str; 2]; 3] = [["how", "about"], ["same", "for"], ["what", "about"]];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn conversation(turns: &[(Role, &str)]) -> View {
        View { turns: turns.iter().map(|(role, text)| Turn::new(*role, *text)).collect(), ..View::default() }
    }

    #[test]
    fn words_are_found_because_they_are_sorted() {
        for words in [&FILLERS[..], &OPENERS, &POINTERS] {
            assert!(words.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn system_and_tools_are_never_what_the_user_said() {
        let view = conversation(&[
            (Role::System, "be brief"),
            (Role::User, "prove Fermat"),
            (Role::Assistant, "long"),
            (Role::User, "go on"),
            (Role::Tool, "42"),
        ]);
        let text = |part: Part, join| part.text(&view, join).into_owned();
        assert_eq!(text(Part::Last, false), "42");
        assert_eq!(text(Part::Last, true), "42");
        assert_eq!(text(Part::First, false), "prove Fermat");
        assert_eq!(text(Part::UserTurns, true), "prove Fermat\ngo on");
        let nobody = conversation(&[(Role::System, "be brief")]);
        for part in [Part::Last, Part::First, Part::UserTurns] {
            assert_eq!(part.text(&nobody, true), "be brief");
        }
    }

    #[test]
    fn a_short_turn_comes_with_all_it_follows() {
        let turns = [
            (Role::User, "Prove Fermat's theorem"),
            (Role::Assistant, "..."),
            (Role::User, "go on"),
            (Role::Assistant, "..."),
            (Role::User, "why?"),
        ];
        assert_eq!(Part::Last.text(&conversation(&turns), true), "Prove Fermat's theorem\ngo on\nwhy?");
        assert_eq!(Part::Last.text(&conversation(&turns), false), "why?");
        assert_eq!(Part::Last.text(&conversation(&turns[..1]), true), "Prove Fermat's theorem");
        assert_eq!(Part::Last.text(&conversation(&turns[2..3]), true), "go on");
    }

    #[test]
    fn of_a_long_conversation_the_latest_is_kept() {
        let (old, new) = ("o".repeat(LONGEST / 2), "n".repeat(LONGEST / 2));
        let view = conversation(&[(Role::User, &old), (Role::User, "b"), (Role::User, &new)]);
        assert_eq!(Part::UserTurns.text(&view, false), format!("b\n{new}"));
        let whole = "w".repeat(2 * LONGEST);
        let view = conversation(&[(Role::User, &old), (Role::User, &whole)]);
        assert_eq!(Part::UserTurns.text(&view, false), whole);
    }

    proptest! {
        #[test]
        fn any_text_follows_or_not(text in "\\PC{0,30}") {
            prop_assert!(!only_follows(&text) || text.trim().chars().count() <= MOST_CHARS);
        }
    }
}
