//! The innermost step of a call: one request at one endpoint, for a whole answer or a stream.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::Instant;

use super::ending::Ending;
use super::plan::Plan;
use super::purse::{Pledge, Sending};
use super::settle::Entry;
use super::tally::Tally;
use crate::error::Result;
use crate::ledger::Signs;
use crate::providers::{Answer, ChatRequest, Endpoint, Limits, Prepared, Usage};

/// One request at one endpoint.
pub(super) struct Place<'a> {
    pub plan: &'a Plan,
    /// Which of the plan's endpoints.
    pub index: usize,
    pub prepared: &'a Prepared,
    /// The caller's request.
    pub request: &'a ChatRequest,
    pub tally: &'a Tally,
    /// When the whole call has to be over.
    pub deadline: Option<Instant>,
    /// Whether another endpoint may be asked after this one.
    pub others: bool,
    /// Requests that are paid for already, but not sent yet.
    pub paid: AtomicU32,
    /// What was set aside for all of those.
    pub side: OnceLock<Pledge>,
}

impl Place<'_> {
    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.plan.endpoints[self.index]
    }

    /// Whether an answer without content leads to another rung.
    pub(super) fn may_climb(&self) -> bool {
        let on = self.plan.policy.escalate_on.signs;
        let before_content = Signs::EMPTY.and(Signs::REFUSAL).and(Signs::TRUNCATED);
        self.plan.escalates() && on.has(before_content) && self.plan.above(self.index) < self.plan.endpoints.len()
    }

    /// Asks for leave to send the request so often.
    pub(super) async fn pay(&self, times: u32) -> Result<Option<Pledge>> {
        let Some(purse) = &self.plan.purse else { return Ok(None) };
        let one = self.prepared.times > 1;
        let sending = Sending { endpoint: self.endpoint(), request: self.request, times, one };
        purse.reserve(sending).given().await.map(Some)
    }

    /// Whether the next request is paid for already; said of each once.
    pub(super) fn is_paid(&self) -> bool {
        let one_less = |paid: u32| paid.checked_sub(1);
        self.paid.load(Ordering::Relaxed) > 0
            && self.paid.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok()
    }

    /// Whether the call's time is over.
    pub(super) fn is_over(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// The policy's limits, cut to what is left until the deadline.
    pub(super) fn limits(&self) -> Limits {
        let mut limits = self.plan.policy.limits();
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            limits.whole = Some(limits.whole.map_or(left, |whole| whole.min(left)));
            limits.first_byte = Some(limits.first_byte.map_or(left, |first| first.min(left)));
        }
        limits
    }
}

/// What differs between a whole answer and a stream.
pub(super) trait Ask: Sync {
    /// What a request comes to.
    type Done: Send;
    /// Whether the answer is asked for as a stream.
    const STREAM: bool;

    /// Sends one request.
    fn ask(&self, place: &Place<'_>) -> impl Future<Output = Result<Self::Done>> + Send;

    /// The tokens of one that is done with.
    fn usage(done: &Self::Done) -> Option<Usage>;

    /// Looks for signs of failure in what came.
    fn judge(&self, entry: &Entry, done: &mut Self::Done);

    /// How far it has come, and what it shows; all but the endpoint.
    fn ending(done: &Self::Done) -> Ending;

    /// The answer, where there is a whole one.
    fn answer(done: &Self::Done) -> Option<&Answer>;

    /// Several answers of one choice each as one answer of several.
    fn merge(&self, place: &Place<'_>, parts: Vec<Self::Done>) -> Result<Self::Done>;
}
