//! What kind of task a prompt is: fifteen names, the tier each belongs to, and a guess from the prompt alone.

mod cues;
mod words;

use std::sync::OnceLock;

use crate::error::Result;
use crate::text::featuriser::{Featuriser, kept};

use cues::Lexicon;

/// Cues of a text, for `scripts/train_tasks.py`: keys of its words and pairs, and the numbers beside them (none for a
/// text that is never guessed).
pub fn cues(text: &str) -> Result<(Vec<u32>, Vec<f32>)> {
    static LEXICON: OnceLock<Result<Lexicon>> = OnceLock::new();
    let featuriser = Featuriser::shared()?;
    let lexicon = kept(LEXICON.get_or_init(|| Ok(Lexicon::new(featuriser))))?;
    cues::all(featuriser, lexicon, text)
}
