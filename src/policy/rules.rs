//! Policies as they are declared, for a key, a team, a model, or everybody. Only data: who keeps to them is elsewhere.

use std::time::Duration;

use rust_decimal::Decimal;

/// Whom a rule is for; what is `None` is anybody. A rule without a key or team is one for all callers together, not for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Who {
    /// A key's id or name.
    pub key: Option<String>,
    /// A team.
    pub team: Option<String>,
    /// A model, as the ledger names it: the rule counts the calls of that model alone.
    pub model: Option<String>,
}

/// The span of a budget; both are of the calendar, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From the first to the last.
    Month,
}

/// Money for a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// US dollars.
    pub limit: Decimal,
    /// The span.
    pub period: Period,
}

/// At most this part of any 1,000 consecutive decisions goes to a model.
#[derive(Debug, Clone, PartialEq)]
pub struct ShareCap {
    /// The model, or the rung, that is capped.
    pub model: String,
    /// 0..=1.
    pub most: f64,
}

/// So many in a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub count: u64,
    /// In which time.
    pub per: Duration,
}

/// What happens at a limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AtLimit {
    /// An answer with status 429 (403 for a model that is not allowed).
    #[default]
    Refuse,
    /// The next weaker rung that is within its limits; where there is none, as [`Refuse`](Self::Refuse).
    Downgrade,
}

/// One entry of `policies`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rule {
    /// Whom it is for.
    pub who: Who,
    /// Money.
    pub budget: Option<Budget>,
    /// Share of a model.
    pub share: Option<ShareCap>,
    /// Requests.
    pub requests: Option<Rate>,
    /// Tokens of prompt and answer.
    pub tokens: Option<Rate>,
    /// Requests at the same time.
    pub concurrency: Option<u32>,
    /// The only models and routers that may be asked for; a router's name stands for all its thresholds.
    pub models: Option<Vec<String>>,
    /// What happens at a limit of this rule.
    pub at_limit: AtLimit,
    /// `clamp: off`: a request without an output limit is refused under a budget, instead of being given one.
    pub no_clamp: bool,
    /// The line of the configuration it begins at.
    pub line: usize,
}
