//! Who asks, and whether he may: every question to `policy` is asked from here, in the order of its room.

use std::sync::Arc;

use axum::http::HeaderMap;
use serde_json::{Map, Value};

use super::deciding::{Decided, Extras};
use super::setup::{Setup, Target};
use crate::engine::plan::{Climb, Plan, Routed};
use crate::error::Result;
use crate::policy::{Caller, Pass, Rung, Scope};
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
pub(super) fn caller(setup: &Setup, headers: &HeaderMap, scope: Scope) -> Result<Caller> {
    setup.auth.caller(headers, scope)
}

/// What is decided, if policies allow it, as a call.
///
/// # Errors
/// [`Kind::Denied`](crate::Kind::Denied) with 403 or 429 for what they do not.
#[expect(clippy::unused_async, reason = "budgets may have to be waited for")]
pub(super) async fn admitted(
    setup: &Setup,
    caller: &Caller,
    pass: &mut Pass,
    decided: Decided,
    extras: &Extras,
    _request: &Arc<ChatRequest>,
) -> Result<Admitted> {
    let rungs = rungs(setup, &decided);
    let chosen = decided.rung.unwrap_or(0).min(rungs.len().saturating_sub(1));
    let mut choice = setup.policies.choose(caller, &rungs, chosen, decided.win_rate)?.for_pass(pass);
    // Budgets are asked for each rung that this gives, and tell `choice` where they refuse.
    let rung = choice.next()?;
    let note = choice.accept(pass);
    drop(rungs);
    let decided = match note {
        Some(note) => moved(setup, decided, rung, note),
        None => decided,
    };
    let plan = Plan { routed: routed(caller, &decided, extras), ..fitting(setup, &decided) };
    Ok(Admitted { decided, plan })
}

/// The rungs that the call may be moved to; for a model that was asked for by name that model alone.
fn rungs<'a>(setup: &'a Setup, decided: &'a Decided) -> Vec<Rung<'a>> {
    let names = setup.deciding.ladder().names();
    let targets = setup.deciding.targets();
    let tier = |at: usize| names.get(at).map(String::as_str);
    if decided.rung.is_none() {
        let at = targets.iter().position(|target| target.name == decided.target.name);
        return vec![Rung { model: &decided.target.name, tier: at.and_then(tier), open: true }];
    }
    let (low, high) = (decided.limits.0.unwrap_or(0), decided.limits.1.unwrap_or(usize::MAX));
    let open = |at: usize| (low..=high).contains(&at) && decided.barred.get(at).is_none_or(Option::is_none);
    let rung = |(at, target): (usize, &'a Arc<Target>)| Rung { model: &target.name, tier: tier(at), open: open(at) };
    targets.iter().enumerate().map(rung).collect()
}

/// The decision for another rung.
fn moved(setup: &Setup, decided: Decided, rung: usize, note: String) -> Decided {
    let Some(target) = setup.deciding.targets().get(rung) else { return decided };
    let tier = decided.tier.as_ref().and_then(|_| setup.deciding.ladder().names().get(rung).cloned());
    let mut notes = decided.notes.clone();
    notes.insert(0, note);
    Decided { rung: Some(rung), tier, target: Arc::clone(target), notes, ..decided }
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
