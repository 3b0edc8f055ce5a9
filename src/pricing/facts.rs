//! What a model can do, as far as the price data tell.

use super::file::Able;

/// A model's limits and abilities; `None` where nobody says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The longest prompt, in tokens.
    pub context: Option<u64>,
    /// The longest completion, in tokens.
    pub max_output: Option<u64>,
    /// Takes images.
    pub images: Option<bool>,
    /// Takes tools.
    pub tools: Option<bool>,
    /// Takes sound.
    pub audio: Option<bool>,
    /// Holds itself to a JSON schema.
    pub schema: Option<bool>,
    /// Reasons before it answers.
    pub reasoning: Option<bool>,
    /// The day from which the provider does not serve it any more, `YYYY-MM-DD`.
    pub shutdown: Option<String>,
}

impl From<Able> for Facts {
    fn from(able: Able) -> Self {
        let flag = |letter: char| {
            let (can, cannot) = (able.can.contains(letter), able.cannot.contains(letter));
            (can || cannot).then_some(can)
        };
        Self {
            context: able.ctx,
            max_output: able.max,
            images: flag('i'),
            tools: flag('t'),
            audio: flag('a'),
            schema: flag('s'),
            reasoning: flag('r'),
            shutdown: able.shutdown,
        }
    }
}
