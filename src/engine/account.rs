//! What a call came to.

use std::time::Duration;

use rust_decimal::Decimal;

/// A model that answered in the place of the chosen one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instead {
    /// Its name.
    pub model: String,
    /// The model that it is priced as, where that has another name.
    pub base_model: Option<String>,
    /// Its rung, where an answer was escalated to it; `None` in a pair.
    pub tier: Option<String>,
    /// Whether an answer was escalated to it; else it stands in for one that failed.
    pub climbed: bool,
}

/// What a call came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Account {
    /// Index in [`Plan::endpoints`](super::plan::Plan::endpoints) of the one that answered.
    pub endpoint: usize,
    /// Who answered, where that is not the chosen model.
    pub instead: Option<Instead>,
    /// Requests sent, to all endpoints.
    pub attempts: u32,
    /// Tokens, where known or estimated.
    pub usage: Option<crate::pricing::Usage>,
    /// The tokens are our estimate.
    pub estimated: bool,
    /// US dollars for all requests of the call, losers of hedges and escalated answers included; `None` is unpriced.
    pub cost: Option<Decimal>,
    /// The model whose price is not known, where that is why there is no cost.
    pub unpriced: Option<String>,
    /// What choosing cost.
    pub router_cost: Option<Decimal>,
    /// Estimated saving against the baseline; negative is a loss, `None` without a price or a baseline.
    pub saved: Option<Decimal>,
    /// Until the first content; for an answer that is not streamed, until it was there.
    pub first_content: Option<Duration>,
    /// Until the end.
    pub total: Duration,
    /// What the caller should know: dropped parameters, fallbacks taken, how the saving was estimated.
    pub notes: Vec<String>,
    /// Parameters left out, for a warning once.
    pub dropped: Vec<crate::providers::Dropped>,
    /// The answer's id as its provider gave it, which is the one in the book.
    pub response: Option<Box<str>>,
}
