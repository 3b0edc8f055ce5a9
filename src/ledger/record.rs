//! What is kept of one call.

use crate::pricing::Usage;

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A whole answer.
    Ok,
    /// The caller closed or dropped it.
    Cancelled,
    /// It failed for good.
    Failed,
    /// The second request of a hedge, cancelled because the other one was faster.
    Hedged,
}

impl Outcome {
    /// The name it is stored under.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Hedged => "hedged",
        }
    }

    /// The outcome of a stored name; one of a later version counts as a failure.
    pub fn named(name: &str) -> Self {
        match name {
            "ok" => Self::Ok,
            "cancelled" => Self::Cancelled,
            "hedged" => Self::Hedged,
            _ => Self::Failed,
        }
    }
}

/// One call. Money is in picodollars (1e-12 US dollars); `None` is unpriced, never zero.
#[derive(Debug, Clone)]
pub struct Record {
    /// Begin of the call, microseconds since 1970 (UTC).
    pub ts_us: i64,
    /// Name of the caller's key, where a gateway knows it; never the key itself.
    pub key: Option<String>,
    /// The caller's session, where it says one.
    pub session: Option<String>,
    /// Router asked; `None` for a model asked for by name.
    pub router: Option<String>,
    /// Model string of the request, e.g. `router-mf-0.5`.
    pub requested: Option<String>,
    /// Model that was called, as the caller names it.
    pub model: String,
    /// Rung, with more than two models.
    pub tier: Option<String>,
    /// Win rate of the strong model as the router saw it.
    pub win_rate: Option<f64>,
    /// Threshold it was held against.
    pub threshold: Option<f64>,
    /// Sent to the strong model by lot, to measure the saving.
    pub holdout: bool,
    /// Tokens; all zero where none are known and none could be estimated.
    pub usage: Usage,
    /// The tokens are our estimate.
    pub estimated: bool,
    /// Cost of the call, retries that may have been billed included.
    pub cost: Option<i64>,
    /// Cost of choosing the model.
    pub router_cost: Option<i64>,
    /// Estimated cost of the same call at the baseline model.
    pub baseline: Option<i64>,
    /// Until the first content, microseconds.
    pub ttft_us: Option<i64>,
    /// Until the end, microseconds.
    pub total_us: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Kind of the error, for [`Outcome::Failed`].
    pub error: Option<String>,
    /// Requests sent.
    pub attempts: u32,
    /// The text routed on, from which the writer computes features (or keeps it, where asked); never stored otherwise.
    pub text: Option<std::sync::Arc<str>>,
    /// Version of the price table.
    pub price_version: String,
}
