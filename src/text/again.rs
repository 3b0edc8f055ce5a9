//! Whether a user asks nearly the same again: the same words, mistypings and small additions apart.
//!
//! Made to be precise: two requests of one pattern ("translate cat", "translate dog") are two requests, and a turn of a few
//! words ("try again") says too little. Scripts without spaces between words are never taken for the same.

use std::iter::once;

/// A turn with fewer words, or fewer that say something, says too little.
const FEWEST_WORDS: usize = 3;
/// A longer turn is only compared as a whole.
const MOST_WORDS: usize = 200;
/// Mistypings are looked for in words of at least so many characters.
const TYPED: usize = 5;
/// Nothing longer is worth being remembered.
pub const LONGEST: usize = 4000;

/// Words that carry no question: articles and auxiliaries, and what people say when they ask again.
const EMPTY: [&str; 79] = [
    "a",
    "an",
    "the",
    "of",
    "to",
    "in",
    "on",
    "at",
    "for",
    "is",
    "are",
    "was",
    "were",
    "be",
    "do",
    "does",
    "did",
    "can",
    "could",
    "would",
    "will",
    "should",
    "you",
    "i",
    "me",
    "my",
    "it",
    "this",
    "that",
    "and",
    "or",
    "with",
    "please",
    "no",
    "not",
    "but",
    "again",
    "asked",
    "ask",
    "said",
    "say",
    "mean",
    "meant",
    "just",
    "still",
    "really",
    "actually",
    "wrong",
    "answer",
    "question",
    "correct",
    "correctly",
    "try",
    "ok",
    "okay",
    "hey",
    "hello",
    "so",
    "want",
    "wanted",
    "need",
    "what's",
    "der",
    "die",
    "das",
    "ein",
    "eine",
    "ist",
    "bitte",
    "nochmal",
    "noch",
    "einmal",
    "nein",
    "le",
    "la",
    "les",
    "el",
    "por",
    "favor",
];

/// Words that ask for something further, so that the same words are another request.
const FURTHER: [&str; 12] = [
    "another",
    "more",
    "next",
    "continue",
    "different",
    "else",
    "other",
    "further",
    "weiter",
    "andere",
    "autre",
    "otro",
];

/// Whether `later` asks nearly what `earlier` asked.
pub fn nearly_same(earlier: &str, later: &str) -> bool {
    if earlier.len() > 4 * LONGEST || later.len() > 4 * LONGEST {
        return earlier.trim() == later.trim();
    }
    let (earlier, later) = (words(earlier), words(later));
    if earlier.len() < FEWEST_WORDS || later.len() < FEWEST_WORDS {
        return false;
    }
    if later.iter().any(|word| FURTHER.contains(&word.as_str())) {
        return false;
    }
    if earlier != later && earlier.len().max(later.len()) > MOST_WORDS {
        return false;
    }
    let (earlier, later) = (full(earlier), full(later));
    let (shorter, longer) = if earlier.len() > later.len() { (&later, &earlier) } else { (&earlier, &later) };
    if shorter.len() < FEWEST_WORDS {
        return false;
    }
    // Words in the place of others make another question, as does another order: "a into b" is not "b into a".
    if earlier != later && in_order(shorter, longer) < shorter.len() {
        return false;
    }
    let new = unmatched(longer, shorter);
    new.len() <= (shorter.len() / 4).max(1) && !new.iter().any(|word| word.chars().any(char::is_numeric))
}

/// The words that say something.
fn full(mut words: Vec<String>) -> Vec<String> {
    words.retain(|word| !EMPTY.contains(&word.as_str()));
    words
}

/// The words of a text in lower case; what stands between letters and digits in a formula belongs to the word.
fn words(text: &str) -> Vec<String> {
    let text = text.to_lowercase().replace('\u{2019}', "'");
    let inner =
        |c: char| c.is_alphanumeric() || matches!(c, '\'' | '+' | '*' | '/' | '=' | '^' | '-' | '%' | '.' | '_');
    let pieces = text.split(|c: char| !inner(c));
    let trimmed = pieces.map(|word| word.trim_matches(|c: char| matches!(c, '\'' | '-' | '.' | '_')));
    trimmed.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Words of `these` that are not among `others`, each of which counts once.
fn unmatched<'a>(these: &'a [String], others: &[String]) -> Vec<&'a String> {
    let mut left: Vec<&String> = others.iter().collect();
    let mut alone = Vec::new();
    for word in these {
        match left.iter().position(|other| same(word, other)) {
            Some(at) => drop(left.swap_remove(at)),
            None => alone.push(word),
        }
    }
    alone
}

/// How many words of both come in the same order.
fn in_order(these: &[String], others: &[String]) -> usize {
    let mut row = vec![0_usize; others.len() + 1];
    for word in these {
        let mut corner = 0;
        for (at, other) in others.iter().enumerate() {
            let above = row[at + 1];
            row[at + 1] = if same(word, other) { corner + 1 } else { above.max(row[at]) };
            corner = above;
        }
    }
    row[others.len()]
}

/// Whether two words are the same, or one is the other mistyped: one letter more, fewer, another, or two changed places.
/// The first letter is hardly ever mistyped, and a digit never.
fn same(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().min(b.len()) < TYPED || a.len().abs_diff(b.len()) > 1 || a[0] != b[0] {
        return false;
    }
    if a.iter().chain(&b).any(|c| !c.is_alphabetic()) {
        return false;
    }
    let start = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let (a, b) = (&a[start..], &b[start..]);
    let rest = |skip_a: usize, skip_b: usize| a.get(skip_a..) == b.get(skip_b..) && a.get(skip_a..).is_some();
    let swapped = a.len() > 1 && b.len() > 1 && a[0] == b[1] && a[1] == b[0] && rest(2, 2);
    once(rest(1, 1)).chain([rest(1, 0), rest(0, 1), swapped]).any(|is| is)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(serde::Deserialize)]
    struct Pair {
        earlier: String,
        later: String,
        again: bool,
    }

    #[test]
    fn pairs_of_turns() {
        let pairs: Vec<Pair> = serde_json::from_str(include_str!("../../tests/goldens/asked_again.json")).unwrap();
        let (mut found, mut wrong, mut missed) = (0, Vec::new(), Vec::new());
        for pair in &pairs {
            match (nearly_same(&pair.earlier, &pair.later), pair.again) {
                (true, true) => found += 1,
                (true, false) => wrong.push((&pair.earlier, &pair.later)),
                (false, true) => missed.push((&pair.earlier, &pair.later)),
                (false, false) => {}
            }
        }
        // A wrong sign is worse than a missing one.
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert!(found * 10 >= 7 * (found + missed.len()), "{found} found, missed {missed:#?}");
    }

    #[test]
    fn what_is_too_long_is_compared_whole() {
        let long = "word ".repeat(5000);
        assert!(nearly_same(&long, &format!("{long} ")));
        assert!(!nearly_same(&long, &format!("{long}x")));
    }

    proptest! {
        #[test]
        fn it_never_panics_and_finds_the_very_same(text in "\\PC{0,200}", other in "\\PC{0,200}") {
            let _ = nearly_same(&text, &other);
            let says = words(&text);
            let further = says.iter().any(|word| FURTHER.contains(&word.as_str()));
            prop_assert_eq!(nearly_same(&text, &text), full(says).len() >= FEWEST_WORDS && !further);
        }

        #[test]
        fn another_number_is_another_question(a in 0..1000u32, b in 0..1000u32) {
            let ask = |n: u32| format!("How many days have passed since day {n} of the project?");
            prop_assert_eq!(nearly_same(&ask(a), &ask(b)), a == b);
        }
    }
}
