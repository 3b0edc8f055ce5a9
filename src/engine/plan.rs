//! What one call is to do: whom it may ask, how it behaves, and what was decided before it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use rust_decimal::Decimal;

pub use super::account::{Account, Instead};
use super::purse::Purse;
use crate::error::Error;
use crate::ledger::{Ledger, Signs};
use crate::providers::{Answer, Endpoint, Limits};

/// How calls behave; `None` waits for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Until a connection stands.
    pub connect_timeout: Option<Duration>,
    /// From sending to the first byte of the answer, of a stream to its first event: keep-alives are none.
    pub first_byte_timeout: Option<Duration>,
    /// The longest silence of a stream; keep-alives break it.
    pub between_chunks_timeout: Option<Duration>,
    /// One attempt in all, of an answer that is not streamed.
    pub attempt_timeout: Option<Duration>,
    /// All attempts, waits and fallbacks together; a stream has to have begun by then, and does not
    /// outlive it on keep-alives alone.
    pub deadline: Option<Duration>,
    /// How often a failed attempt at one endpoint is repeated.
    pub retries: u32,
    /// After this many failures in a row an endpoint rests for [`cooldown`](Self::cooldown), if there is another.
    pub failures_before_cooldown: u32,
    /// How long it rests.
    pub cooldown: Duration,
    /// Sends a second request when the first has not begun to answer after the 95th percentile of the model's times.
    pub hedge: bool,
    /// A parameter the endpoint does not take is an error instead of being left out.
    pub strict: bool,
    /// When the next rung is asked.
    pub escalate_on: Escalation,
}

/// What of an answer leads to the next rung.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Escalation {
    /// Any of these signs.
    pub signs: Signs,
    /// The caller's own judgement, where no sign is shown.
    pub judge: Option<Judge>,
}

/// Says of a whole answer whether it failed. It is asked on a thread of its own, so it may take its time and make calls.
#[derive(Clone)]
pub struct Judge(pub Arc<Judging>);

/// Whether an answer has failed.
pub type Judging = dyn Fn(&Answer) -> Result<bool, Unsaid> + Send + Sync;

/// Why there is no judgement.
#[derive(Debug, Clone)]
pub enum Unsaid {
    /// Nobody knows, which counts as no.
    Unknown(String),
    /// The call has to end with this.
    Stop(Error),
}

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Judge")
    }
}

impl PartialEq for Judge {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            connect_timeout: Some(Duration::from_secs(5)),
            first_byte_timeout: Some(Duration::from_mins(10)),
            between_chunks_timeout: Some(Duration::from_mins(10)),
            attempt_timeout: Some(Duration::from_mins(10)),
            deadline: None,
            retries: 2,
            failures_before_cooldown: 3,
            cooldown: Duration::from_secs(30),
            hedge: false,
            strict: false,
            escalate_on: Escalation::default(),
        }
    }
}

/// What was decided before the call, for the book and the estimate of the saving.
#[derive(Debug, Clone, Default)]
pub struct Routed {
    /// Router asked; `None` for a model asked for by name.
    pub router: Option<String>,
    /// The model string of the request.
    pub requested: Option<String>,
    /// Rung, with more than two models.
    pub tier: Option<String>,
    /// Win rate of the strong model.
    pub win_rate: Option<f64>,
    /// Threshold it was held against.
    pub threshold: Option<f64>,
    /// The caller's session.
    pub session: Option<String>,
    /// Name of the caller's key.
    pub key: Option<String>,
    /// Sent to the strong model by lot.
    pub holdout: bool,
    /// The model every call would have gone to without routing, as its price is known (the base model of an Azure
    /// deployment, else the name): what the saving is measured against.
    pub baseline: Option<String>,
    /// Asked beside another call, to compare its answer: it is entered as [`Outcome::Shadow`](crate::ledger::Outcome).
    pub shadow: bool,
    /// What choosing cost, in US dollars; `None` is unpriced. Zero for routers that ask nobody.
    pub router_cost: Option<Decimal>,
    /// The text routed on, for its features.
    pub text: Option<Arc<str>>,
    /// Kind of task, where the caller says it.
    pub task: Option<String>,
    /// The caller's tags as a JSON object.
    pub tags: Option<String>,
    /// The `traceparent` header of its requests, where somebody traces them.
    pub trace: Option<HeaderValue>,
}

impl Policy {
    /// The limits of one exchange.
    pub fn limits(&self) -> Limits {
        Limits {
            connect: self.connect_timeout,
            first_byte: self.first_byte_timeout,
            silence: self.between_chunks_timeout,
            whole: self.attempt_timeout,
        }
    }
}

/// The rungs of a call beside the chosen one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Climb {
    /// Names of the rungs above it, from the next to the last, whose endpoints come last.
    pub rungs: Vec<Option<String>>,
    /// Names of the rungs that its fallbacks are, in their order; `None` and those not told count as the chosen one.
    pub fallbacks: Vec<Option<String>>,
    /// What is said of rungs above it that are not asked, where an answer leads to them.
    pub left_out: Vec<String>,
}

/// One call: the endpoints in the order they are tried, and everything that goes with it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The chosen model first, then its fallbacks, then the rungs above it ([`Climb::rungs`]); never empty.
    pub endpoints: Arc<[Endpoint]>,
    /// On which rungs they are, and who is asked when an answer shows a sign of failure.
    pub climb: Arc<Climb>,
    /// How it behaves.
    pub policy: Arc<Policy>,
    /// The book it is entered in.
    pub ledger: Option<Arc<Ledger>>,
    /// Who pays for it, where somebody counts.
    pub purse: Option<Arc<dyn Purse>>,
    /// What was decided before it.
    pub routed: Routed,
}

impl Plan {
    /// A call of one endpoint that is entered nowhere.
    pub fn to(endpoint: Endpoint, policy: Policy) -> Self {
        Self {
            endpoints: [endpoint].into(),
            climb: Arc::default(),
            policy: Arc::new(policy),
            ledger: None,
            purse: None,
            routed: Routed::default(),
        }
    }
}
