//! The walk over the endpoints of one model: itself, then its fallbacks, each as often as the policy allows.

use std::sync::OnceLock;
use std::sync::atomic::AtomicU32;

use reqwest::header::HeaderName;
use tokio::time::Instant;

use super::ask::{Ask, Place};
use super::plan::Plan;
use super::settle::Entry;
use super::tries::tries;
use super::{health, many};
use crate::error::{Error, Kind, Result};
use crate::providers::failures::{is_too_long, may_move};

/// Where a request stands in a trace (W3C Trace Context).
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Asks the chosen model and then its fallbacks until one answers; gives back which one did.
pub(super) async fn first<A: Ask>(entry: &Entry, asker: &A) -> Result<(usize, A::Done)> {
    let (plan, tally) = (entry.plan(), entry.tally());
    let deadline = plan.policy.deadline.map(|limit| tally.start() + limit);
    let order = health::order(plan)?;
    let mut failed: Option<Error> = None;
    let mut refused = 0;
    for (rank, &index) in order.iter().enumerate() {
        let endpoint = &plan.endpoints[index];
        if let Some(failure) = &failed
            && is_too_long(failure)
            && !health::takes_more(endpoint, &plan.endpoints[refused])
        {
            continue;
        }
        let others = rank + 1 < order.len();
        let error = match visit(entry, asker, index, deadline, others).await {
            Ok(done) => {
                if rank > 0 || index != 0 {
                    tally.note(&instead(plan, index, failed.as_ref()));
                }
                return Ok((index, done));
            }
            Err(error) => error.at(|| endpoint.shown_url(&endpoint.dialect.chat_path(endpoint, A::STREAM))),
        };
        refused = index;
        let over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        let last = !may_move(&error);
        // A fallback that cannot even be asked says less than the failure that led to it.
        failed = match failed {
            Some(first) if !is_of_a_call(&error) && is_of_a_call(&first) => Some(first),
            _ => Some(error),
        };
        if over || last {
            break;
        }
    }
    Err(failed.unwrap_or_else(|| Error::value("a call needs at least one endpoint")))
}

fn is_of_a_call(error: &Error) -> bool {
    matches!(error.kind(), Kind::Connection | Kind::Timeout | Kind::Status | Kind::Protocol)
}

/// Why another endpoint answered than the first.
fn instead(plan: &Plan, index: usize, failed: Option<&Error>) -> String {
    let (first, used) = (&plan.endpoints[0].name, &plan.endpoints[index].name);
    match failed {
        Some(error) => format!("`{used}` answered after a failure: {}", error.message()),
        None => format!("`{used}` answered, since `{first}` keeps failing and rests"),
    }
}

/// Asks one endpoint, as often as its model has to be asked and as the policy allows.
pub(super) async fn visit<A: Ask>(
    entry: &Entry,
    asker: &A,
    index: usize,
    deadline: Option<Instant>,
    others: bool,
) -> Result<A::Done> {
    let (plan, tally) = (entry.plan(), entry.tally());
    let endpoint = &plan.endpoints[index];
    let mut prepared = endpoint.dialect.chat(endpoint, entry.request(), A::STREAM)?;
    let dropped = std::mem::take(&mut prepared.dropped);
    if let Some(first) = dropped.first().filter(|_| plan.policy.strict) {
        let (parameter, model) = (&first.parameter, &endpoint.name);
        return Err(Error::value(format!("`{parameter}` cannot be passed on to `{model}`: {}", first.why)));
    }
    tally.dropped(dropped);
    if let Some(trace) = &plan.routed.trace {
        // A header that the caller has set himself stays.
        prepared.outgoing.headers.entry(TRACEPARENT).or_insert_with(|| trace.clone());
    }
    let paid = AtomicU32::new(0);
    let (request, side) = (entry.request(), OnceLock::new());
    let place = Place { plan, index, prepared: &prepared, request, tally, deadline, others, paid, side };
    match prepared.times {
        0 | 1 => tries(asker, &place).await,
        times => Box::pin(many::side_by_side(asker, &place, times)).await,
    }
}
