//! Who asks, and whether he may: every question to `policy` is asked from here, in the order of its room.

use std::sync::Arc;

use axum::http::HeaderMap;
use serde_json::{Map, Value};

use super::deciding::{Decided, Extras};
use super::setup::Setup;
use crate::engine::plan::{Climb, Plan, Routed};
use crate::error::Result;
use crate::policy::Caller;
use crate::providers::ChatRequest;

/// A request that may go.
pub(super) struct Admitted {
    /// The decision, moved to a lower rung where a limit says so.
    pub decided: Decided,
    /// Its call.
    pub plan: Plan,
}

/// Who asks.
///
/// # Errors
/// [`Kind::Denied`](crate::Kind::Denied) with 401 for a key that is missing or not valid.
#[expect(clippy::unnecessary_wraps, reason = "keys are looked up here")]
pub(super) fn caller(_setup: &Setup, _headers: &HeaderMap) -> Result<Caller> {
    Ok(Caller::default())
}

/// What is decided, if policies allow it, as a call.
///
/// # Errors
/// [`Kind::Denied`](crate::Kind::Denied) with 403 or 429 for what they do not.
#[expect(clippy::unnecessary_wraps, reason = "policies are asked here")]
pub(super) fn admitted(
    setup: &Setup,
    caller: &Caller,
    decided: Decided,
    extras: &Extras,
    _request: &Arc<ChatRequest>,
) -> Result<Admitted> {
    let plan = Plan { routed: routed(caller, &decided, extras), ..fitting(setup, &decided) };
    Ok(Admitted { decided, plan })
}

/// What the book says of the call beside its costs.
pub(super) fn routed(caller: &Caller, decided: &Decided, extras: &Extras) -> Routed {
    Routed { key: caller.key.as_ref().map(|key| key.id.clone()), tags: tags(&extras.tags), ..decided.routed(extras) }
}

/// The plan of the decision, without the rungs above that cannot serve this request or that the router does not allow.
fn fitting(setup: &Setup, decided: &Decided) -> Plan {
    let plan = &decided.target.plan;
    let top = decided.limits.1;
    if plan.climb.rungs.is_empty() || decided.barred.iter().all(Option::is_none) && top.is_none() {
        return plan.clone();
    }
    let base = plan.endpoints.len() - plan.climb.rungs.len();
    let mut endpoints = plan.endpoints[..base].to_vec();
    let mut climb = Climb { rungs: Vec::new(), ..Climb::clone(&plan.climb) };
    for (endpoint, tier) in plan.endpoints[base..].iter().zip(&plan.climb.rungs) {
        let at = setup.deciding.targets().iter().position(|target| target.name == endpoint.name);
        let why = at.and_then(|at| decided.barred.get(at)?.as_deref());
        if at.zip(top).is_some_and(|(at, top)| at > top) {
            continue;
        }
        match why {
            Some(why) => climb.left_out.push(format!("`{}` was not asked: {why}", endpoint.name)),
            None => {
                endpoints.push(endpoint.clone());
                climb.rungs.push(tier.clone());
            }
        }
    }
    Plan { endpoints: endpoints.into(), climb: Arc::new(climb), ..plan.clone() }
}

/// The caller's tags as the book keeps them.
fn tags(said: &[(String, String)]) -> Option<String> {
    let tags: Map<String, Value> = said.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    (!tags.is_empty()).then(|| Value::Object(tags).to_string())
}
