//! What is kept of one call.

use std::sync::Arc;

use crate::pricing::Usage;

use super::signs::Signs;

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
    /// An answer with a sign of failure, after which the next rung was asked.
    Escalated,
    /// A rung that was asked after such an answer and gave none.
    Vain,
    /// Asked beside an answer that was handed on, to compare it with: nobody waited for it.
    Shadow,
}

impl Outcome {
    /// The name it is stored under.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Hedged => "hedged",
            Self::Escalated => "escalated",
            Self::Vain => "vain",
            Self::Shadow => "shadow",
        }
    }

    /// The outcome of a stored name; one of a later version counts as a failure.
    pub fn named(name: &str) -> Self {
        match name {
            "ok" => Self::Ok,
            "cancelled" => Self::Cancelled,
            "hedged" => Self::Hedged,
            "escalated" => Self::Escalated,
            "vain" => Self::Vain,
            "shadow" => Self::Shadow,
            _ => Self::Failed,
        }
    }

    /// Whether it is a part of another call, with no life of its own: its cost counts, it does not. Of
    /// [`Shadow`](Self::Shadow), which is counted apart, not even the cost is the caller's.
    pub fn is_beside(self) -> bool {
        matches!(self, Self::Hedged | Self::Escalated | Self::Vain)
    }
}

/// What tells whether a user asks again what was asked before.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The user's last turn and the answer to it, as [`recall::exchange`](super::recall::exchange) has them: by these the next request of
    /// the conversation finds this call.
    pub exchange: Option<u64>,
    /// The user asks nearly what he asked the turn before, in that exchange.
    pub again: Option<u64>,
    /// The user's last turn, where it is new and the caller names a session.
    pub turn: Option<Arc<str>>,
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
    /// Kind of the error, for [`Outcome::Failed`] and [`Outcome::Vain`].
    pub error: Option<String>,
    /// Requests sent.
    pub attempts: u32,
    /// The text routed on, from which the writer computes features (or keeps it, where asked); never stored otherwise.
    pub text: Option<Arc<str>>,
    /// Version of the price table.
    pub price_version: String,
    /// Kind of task, where the caller says it.
    pub task: Option<String>,
    /// The caller's tags as a JSON object.
    pub tags: Option<String>,
    /// Signs of failure the answer shows; `None` where nobody has looked.
    pub signs: Option<Signs>,
    /// By which it is found that its user asks again.
    pub asked: Asked,
    /// The provider's id of the answer, by which its score finds the call.
    pub response: Option<String>,
}
