//! Sets of labels that come with the router, each label with its rung.

use super::Label;
use crate::error::{Error, Kind, Result};

/// Names of the presets.
pub const NAMES: [&str; 3] = ["article", "complexity", "intent"];

const CHEAP: &str = "one plain step: sorting texts into classes or by mood, finding names and keywords in a text, \
                     changing a format or a wording, a fact or a sum that everybody knows, small talk";
const MID: &str = "some work: summaries, translations, questions answered in a paragraph, checking texts against rules, \
                   saying what a short piece of code does";
const EXPENSIVE: &str = "thought in several steps: proofs and mathematics, writing or repairing code, algorithms, stories \
                         and other creative writing, strategy and plans, expert knowledge";

/// Label, rung, description.
type Row = (&'static str, &'static str, &'static str);

/// In the manner of intent routers: what somebody wants says how good a model has to be.
const INTENT: [Row; 8] = [
    ("hard_question", "expensive", "a question that takes reasoning, mathematics, planning or expert knowledge"),
    ("chit_chat", "cheap", "greetings, thanks, small talk, an opinion on nothing much"),
    ("code", "expensive", "writing, changing, explaining or repairing code, queries, commands or configuration"),
    ("summary", "mid", "making a given text shorter, or pulling out its main points"),
    ("translation", "mid", "putting a text into another language"),
    ("image", "expensive", "a picture that goes with the request, or one that is to be drawn or described"),
    (
        "try_again",
        "expensive",
        "the answer before was wrong, missed something or did not please, and another is wanted",
    ),
    ("other", "mid", "anything that fits none of these, and plain questions of fact"),
];

/// The labels of a preset.
///
/// # Errors
/// [`Kind::Name`] for one that does not exist.
pub fn preset(name: &str) -> Result<Vec<Label>> {
    let tiers: [Row; 3] = [("cheap", "cheap", CHEAP), ("mid", "mid", MID), ("expensive", "expensive", EXPENSIVE)];
    let words = ["SIMPLE", "MODERATE", "COMPLEX"];
    match name {
        // The article has both sets of words for the same three.
        "article" => Ok(tiers
            .into_iter()
            .zip(words)
            .map(|(row, word)| Label { synonyms: vec![word.to_owned()], ..label(row) })
            .collect()),
        "complexity" => Ok(tiers
            .into_iter()
            .zip(words)
            .map(|((tier, rung, what), word)| Label { synonyms: vec![tier.to_owned()], ..label((word, rung, what)) })
            .collect()),
        "intent" => Ok(INTENT.into_iter().map(label).collect()),
        _ => Err(Error::new(
            Kind::Name,
            format!(
                "preset: expected one of {}, found `{}`",
                NAMES.join(", "),
                name.chars().take(60).collect::<String>()
            ),
        )),
    }
}

fn label((name, rung, description): Row) -> Label {
    Label { name: name.to_owned(), description: description.to_owned(), rung: rung.to_owned(), synonyms: Vec::new() }
}
