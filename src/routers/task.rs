//! What kind of task a prompt is: fifteen names, the tier each belongs to, and a guess from the prompt alone.
//!
//! The instruction is looked for at both ends ([`parts`]). The guess reads its words, alone and in pairs, and the shape of
//! what comes with it ([`cues`]); one softmax regression over them knows the tasks and "none of them", which is also what
//! a line of a letter or a program is. The surest reading answers, and only where it is sure enough.
//! `scripts/train_tasks.py` trains it, `docs/tasks.md` has its figures.

mod cues;
mod head;
mod parts;
mod words;

use std::sync::OnceLock;

use crate::error::Result;
use crate::text::featuriser::{Featuriser, kept};

use cues::{Cue, Lexicon};
use head::{Head, Sum};

static HEAD_FILE: &[u8] = include_bytes!("../../data/local/tasks.bin");

/// Every task with its tier, cheap ones first: what each needs, by the table "what goes where" of the article that the
/// preset `article` of the rules follows.
pub const TASKS: [(&str, &str); 15] = [
    ("classification_sentiment", "cheap"),
    ("entity_extraction", "cheap"),
    ("format_conversion", "cheap"),
    ("keyword_extraction", "cheap"),
    ("text_reformatting", "cheap"),
    ("summarization", "mid"),
    ("translation", "mid"),
    ("simple_qa", "mid"),
    ("content_moderation", "mid"),
    ("code_explanation", "mid"),
    ("complex_reasoning", "expensive"),
    ("code_generation_debugging", "expensive"),
    ("creative_writing", "expensive"),
    ("math_problem_solving", "expensive"),
    ("strategy_planning", "expensive"),
];

/// Short names, and what each stands for.
pub const ALIASES: [(&str, &str); 6] = [
    ("classification", "classification_sentiment"),
    ("extraction", "entity_extraction"),
    ("formatting", "text_reformatting"),
    ("reasoning", "complex_reasoning"),
    ("coding", "code_generation_debugging"),
    ("creative", "creative_writing"),
];

/// A guess: a task, its tier, and how probable the task is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Guess {
    /// One of [`TASKS`].
    pub task: &'static str,
    /// `cheap`, `mid` or `expensive`.
    pub tier: &'static str,
    /// Probability of the task, in 0..=1, as held-out prompts of training bore it out.
    pub confidence: f64,
}

/// The full name of a task given by its full or short name in any case; `None` for any other.
pub fn canonical(name: &str) -> Option<&'static str> {
    let full = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(name)).map_or(name, |(_, task)| task);
    TASKS.iter().map(|&(task, _)| task).find(|task| task.eq_ignore_ascii_case(full))
}

/// The tier of a task given by its full or short name; `None` for any other.
pub fn tier_of(task: &str) -> Option<&'static str> {
    let task = canonical(task)?;
    TASKS.iter().find(|(name, _)| *name == task).map(|&(_, tier)| tier)
}

struct Guesser {
    featuriser: &'static Featuriser<'static>,
    lexicon: Lexicon,
    head: Head,
}

impl Guesser {
    fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Guesser>> = OnceLock::new();
        kept(SHARED.get_or_init(|| {
            let featuriser = Featuriser::shared()?;
            Ok(Self { featuriser, lexicon: Lexicon::new(featuriser), head: Head::from_bytes(HEAD_FILE)? })
        }))
    }

    fn guess(&self, text: &str) -> Option<Guess> {
        parts::readings(text)
            .filter_map(|reading| self.judge(reading))
            .max_by(|a, b| a.confidence.total_cmp(&b.confidence))
            .filter(|guess| guess.confidence >= self.head.threshold)
    }

    /// The likeliest task of a reading.
    fn judge(&self, reading: parts::Reading<'_>) -> Option<Guess> {
        let mut sum = Sum::default();
        let beside = cues::read(self.featuriser, &self.lexicon, reading, |cue| match cue {
            Cue::Instruction(key) => self.head.add(key, &mut sum),
            Cue::Material(key) => self.head.add_beside(key, &mut sum),
        })?;
        let probabilities = self.head.probabilities(&sum, &beside);
        let tasks = TASKS.iter().zip(probabilities).map(|(&(task, tier), confidence)| Guess { task, tier, confidence });
        tasks.max_by(|a, b| a.confidence.total_cmp(&b.confidence))
    }
}

/// The task of a prompt; `None` when that is not sure enough, when there is nothing to read, when a few words come again
/// and again, and when the instruction is in a script other than Latin. Only the text's beginning and end are read.
///
/// # Errors
/// [`Kind::Checkpoint`](crate::Kind::Checkpoint) when what is compiled in is damaged.
pub fn guess(text: &str) -> Result<Option<Guess>> {
    Ok(Guesser::shared()?.guess(text))
}

/// Cues of one reading of a text: keys of the instruction, keys of the material, the numbers beside them.
pub type Cues = (Vec<u32>, Vec<u32>, Vec<f32>);

/// Cues of a text for `scripts/train_tasks.py`, read with the instruction at its beginning and at its end; `None` where
/// none can be.
pub fn cues(text: &str) -> Result<[Option<Cues>; 2]> {
    static LEXICON: OnceLock<Lexicon> = OnceLock::new();
    // Not those of the guess: a head that is about to be replaced need not load.
    let featuriser = Featuriser::shared()?;
    let lexicon = LEXICON.get_or_init(|| Lexicon::new(featuriser));
    let mut found = [None, None];
    for reading in parts::readings(text) {
        let (mut keys, mut beside_keys) = (Vec::new(), Vec::new());
        let beside = cues::read(featuriser, lexicon, reading, |cue| match cue {
            Cue::Instruction(key) => keys.push(key),
            Cue::Material(key) => beside_keys.push(key),
        });
        found[usize::from(reading.place == parts::Place::Last)] = beside.map(|row| (keys, beside_keys, Vec::from(row)));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn task_of(text: &str) -> Option<&'static str> {
        guess(text).unwrap_or_else(|error| unreachable!("{error}")).map(|guess| guess.task)
    }

    #[test]
    fn names_and_aliases_agree() {
        for (task, tier) in TASKS {
            assert_eq!((canonical(task), tier_of(task)), (Some(task), Some(tier)));
        }
        for (alias, task) in ALIASES {
            assert_eq!(canonical(alias), Some(task));
            assert_eq!(canonical(&alias.to_uppercase()), Some(task));
            assert_eq!(tier_of(alias), tier_of(task));
        }
        for strange in ["", "none", "coding ", "image"] {
            assert_eq!((canonical(strange), tier_of(strange)), (None, None), "{strange:?}");
        }
    }

    #[test]
    fn what_the_material_is_about_does_not_decide() {
        let story = "Once upon a time a poet wrote a poem about a function that could not be translated.";
        for (request, task) in [
            ("Summarize the following text in one sentence.", "summarization"),
            ("Translate the following text into German.", "translation"),
            ("Extract the most important keywords from the following text.", "keyword_extraction"),
        ] {
            for text in [format!("{request}\n\n{story}"), format!("{request} \"{story}\"")] {
                assert_eq!(task_of(&text), Some(task), "{text}");
            }
        }
    }

    #[test]
    fn unsure_is_none() {
        for text in ["", " \n\t", "...", "hello", "thanks a lot!", "lkjhg fdsa", "\u{0}", "你好，请问你叫什么名字？"]
        {
            assert_eq!(task_of(text), None, "{text:?}");
        }
    }

    #[test]
    fn what_says_nothing_is_none_at_any_length() {
        for word in ["x ", "a ", "word ", "write code ", "x", "sum\n", "translate "] {
            for times in [30, 1000, 100_000] {
                assert_eq!(task_of(&word.repeat(times)), None, "{word:?} {times} times");
            }
        }
    }

    #[test]
    fn a_long_text_is_read_at_its_ends() {
        let report = "The harbour was closed again. ".repeat(40_000);
        for text in [format!("Summarize this report:\n{report}"), format!("{report}\n\nSummarize this report.")] {
            assert_eq!(task_of(&text), Some("summarization"));
        }
    }

    proptest! {
        #[test]
        fn any_text_has_a_sound_answer(text in "\\PC{0,200}|[\\x00-\\x7f]{0,200}|(?s).{0,60}") {
            let guessed = guess(&text);
            prop_assert!(guessed.is_ok());
            if let Ok(Some(Guess { task, tier, confidence })) = guessed {
                prop_assert_eq!(tier_of(task), Some(tier));
                prop_assert!((0.0..=1.0).contains(&confidence));
            }
        }
    }
}
