//! Who asks, and whether he may: every question to `policy` is asked from here, in the order of its room.

use std::sync::Arc;

use axum::http::HeaderMap;
use serde_json::{Map, Value};

use super::deciding::{Asked, Decided, Extras};
use super::setup::Setup;
use super::target::Target;
use crate::engine::plan::{Climb, Plan, Routed};
use crate::error::{Error, Result};
use crate::policy::{Caller, Pass, Rung, Scope, budget};
use crate::providers::{ChatRequest, Endpoint};

/// A request that may go.
pub(super) struct Admitted {
    /// The decision, moved to another rung where a policy says so.
    pub decided: Decided,
    /// Its call.
    pub plan: Plan,
    /// What is asked, with a limit on its answer where a budget needs one.
    pub request: Arc<ChatRequest>,
    /// That limit, in tokens.
    pub clamp: Option<u64>,
    /// The fallbacks that may not be asked for this caller, and why, for a call that fails.
    pub left_out: Vec<String>,
}

/// Who asks for what.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    pub caller: &'a Caller,
    pub extras: &'a Extras,
    pub request: &'a Arc<ChatRequest>,
    /// For embeddings.
    pub embeds: bool,
}

/// Who asks.
///
/// # Errors
/// [`Kind::Denied`](crate::Kind::Denied) with 401 for a key that is missing or not valid.
pub(super) fn caller(setup: &Setup, headers: &HeaderMap, scope: Scope) -> Result<Caller> {
    setup.auth.caller(headers, scope)
}

/// Whether a router, as it is asked for, may be asked for this caller: choosing may cost money.
///
/// # Errors
/// [`Kind::Denied`](crate::Kind::Denied) with 429 where a budget that would have to pay is spent.
pub(super) fn may_choose(setup: &Setup, caller: &Caller, asked: &str) -> Result<()> {
    setup.budgets.as_ref().map_or(Ok(()), |budgets| budgets.may_choose(caller, asked))
}

/// Enters what choosing a model has cost into the caller's budgets, also where nothing was chosen.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) for a key whose budget cannot be.
pub(super) async fn chosen(setup: &Setup, caller: &Caller, asked: &str, came: &Result<Decided, Error>) -> Result<()> {
    let Some(budgets) = &setup.budgets else { return Ok(()) };
    let cost = match came {
        Ok(decided) => decided.router_cost,
        Err(error) => error.spent().and_then(|spent| spent.router_cost),
    };
    let Some(cost) = cost.filter(|cost| !cost.is_zero()) else { return Ok(()) };
    let target = came.as_ref().ok().map(|decided| &decided.target);
    let to = target.and_then(|target| Some((&*target.name, target.plan.endpoints.first()?)));
    budgets.chosen(caller, asked, to, cost).await
}

/// What is decided, if policies allow it, as a call.
///
/// # Errors
/// [`Kind::Denied`](crate::Kind::Denied) with 403 or 429 for what they do not.
pub(super) async fn admitted(setup: &Setup, asked: Asking<'_>, pass: &mut Pass, decided: Decided) -> Result<Admitted> {
    let rungs = rungs(setup, &decided);
    let chosen = decided.rung.unwrap_or(0).min(rungs.len().saturating_sub(1));
    let mut choice = setup.policies.choose(asked.caller, &rungs, chosen, decided.win_rate)?.for_pass(pass);
    let (rung, plan, left_out, paid) = loop {
        let rung = choice.next()?;
        let target = setup.deciding.targets().get(rung).filter(|_| decided.rung.is_some()).unwrap_or(&decided.target);
        let (plan, left_out) = fitting(setup, asked.caller, target, &decided);
        match paid(setup, asked, target, &plan).await {
            Ok(paid) => break (rung, plan, left_out, paid),
            Err(refused) => choice.refused(refused.error, refused.at_limit)?,
        }
    };
    let note = choice.accept(pass);
    drop(rungs);
    let decided = match note {
        Some(note) => moved(setup, asked, decided, rung, note),
        None => decided,
    };
    let routed = routed(asked.caller, &decided, asked.extras);
    let plan = Plan { routed, purse: paid.purse, ..plan };
    Ok(Admitted { decided, plan, request: paid.request, clamp: paid.clamp, left_out })
}

/// The call as its budgets pay for it.
async fn paid(
    setup: &Setup,
    asked: Asking<'_>,
    target: &Target,
    plan: &Plan,
) -> Result<budget::Admitted, budget::Refused> {
    let Some(budgets) = &setup.budgets else {
        return Ok(budget::Admitted { request: Arc::clone(asked.request), purse: None, clamp: None });
    };
    let Asking { caller, request, embeds, .. } = asked;
    budgets.admit(budget::Call { caller, model: &target.name, plan, request, embeds }).await
}

/// The rungs that the call may be moved to; for a model that was asked for by name that model alone.
fn rungs<'a>(setup: &'a Setup, decided: &'a Decided) -> Vec<Rung<'a>> {
    if decided.rung.is_none() {
        let model = &decided.target.name;
        return vec![Rung { model, tier: tier_of(setup, model), open: true }];
    }
    let names = setup.deciding.ladder().names();
    let targets = setup.deciding.targets();
    let tier = |at: usize| names.get(at).map(String::as_str);
    let (low, high) = (decided.limits.0.unwrap_or(0), decided.limits.1.unwrap_or(usize::MAX));
    let open = |at: usize| (low..=high).contains(&at) && decided.barred.get(at).is_none_or(Option::is_none);
    let rung = |(at, target): (usize, &'a Arc<Target>)| Rung { model: &target.name, tier: tier(at), open: open(at) };
    targets.iter().enumerate().map(rung).collect()
}

/// The decision for another rung.
fn moved(setup: &Setup, asked: Asking<'_>, decided: Decided, rung: usize, note: String) -> Decided {
    let (request, extras) = (Arc::clone(asked.request), asked.extras.clone());
    let asked = Asked { model: setup.models.meant(&decided.requested).to_owned(), request, extras };
    let mut decided = setup.deciding.moved(decided, rung, &note, &asked);
    decided.notes.insert(0, note);
    decided
}

/// What the book says of the call beside its costs.
pub(super) fn routed(caller: &Caller, decided: &Decided, extras: &Extras) -> Routed {
    Routed { key: caller.key.as_ref().map(|key| key.id.clone()), tags: tags(&extras.tags), ..decided.routed(extras) }
}

/// The plan of a model, without the rungs above that cannot serve this request, that the router does not allow, or that the caller's
/// policies keep an answer from climbing to; and without the fallbacks that they keep from answering, of which it says why.
fn fitting(setup: &Setup, caller: &Caller, target: &Target, decided: &Decided) -> (Plan, Vec<String>) {
    let plan = &target.plan;
    let top = decided.limits.1;
    let climbs = !plan.climb.rungs.is_empty();
    let limited = top.is_some() || decided.barred.iter().any(Option::is_some);
    let free = !(setup.policies.concern(caller) || climbs && limited);
    if plan.endpoints.len() == 1 || free {
        return (plan.clone(), Vec::new());
    }
    let base = plan.endpoints.len() - plan.climb.rungs.len();
    let instead = Instead::of(setup, caller, target, decided);
    let mut endpoints: Vec<Endpoint> = plan.endpoints.iter().take(1).cloned().collect();
    let mut climb = Climb { rungs: Vec::new(), fallbacks: Vec::new(), ..Climb::clone(&plan.climb) };
    let mut left_out = Vec::new();
    for (at, endpoint) in plan.endpoints[..base].iter().skip(1).enumerate() {
        let tier = plan.climb.fallbacks.get(at).cloned().flatten();
        if let Some(why) = instead.bars(endpoint, tier.as_deref()) {
            left_out.push(format!("the fallback `{}` was not asked: {why}", endpoint.name));
        } else {
            endpoints.push(endpoint.clone());
            climb.fallbacks.push(tier);
        }
    }
    for (endpoint, tier) in plan.endpoints[base..].iter().zip(&plan.climb.rungs) {
        let at = setup.deciding.targets().iter().position(|target| target.name == endpoint.name);
        let why = at.and_then(|at| decided.barred.get(at)?.as_deref());
        let why = why.or_else(|| instead.bars(endpoint, tier.as_deref()));
        if at.zip(top).is_some_and(|(at, top)| at > top) {
            continue;
        }
        if let Some(why) = why {
            climb.left_out.push(format!("`{}` was not asked: {why}", endpoint.name));
        } else {
            endpoints.push(endpoint.clone());
            climb.rungs.push(tier.clone());
        }
    }
    (Plan { endpoints: endpoints.into(), climb: Arc::new(climb), ..plan.clone() }, left_out)
}

/// Who may answer in the place of a chosen model, without a decision that would be counted.
struct Instead<'a> {
    setup: &'a Setup,
    caller: &'a Caller,
    /// The rungs of the router that was asked for.
    all: Vec<Rung<'a>>,
    chosen: Rung<'a>,
}

impl<'a> Instead<'a> {
    fn of(setup: &'a Setup, caller: &'a Caller, target: &'a Target, decided: &'a Decided) -> Self {
        let all = if decided.rung.is_some() { rungs(setup, decided) } else { Vec::new() };
        let chosen = Rung { model: &target.name, tier: tier_of(setup, &target.name), open: true };
        Self { setup, caller, all, chosen }
    }

    /// Why not. What is allowed or limited under any name by which it can be asked for is so here.
    fn bars(&self, endpoint: &Endpoint, tier: Option<&str>) -> Option<&'static str> {
        let policies = &self.setup.policies;
        let names = self.names(&endpoint.name);
        let rung = |&model: &&'a str| Rung { model, tier: tier_of(self.setup, model), open: true };
        let told = Rung { model: &endpoint.name, tier, open: true };
        let may = |rung: &Rung<'_>| policies.may_answer(self.caller, rung, &self.all);
        if !may(&told) && !names.iter().any(|name| may(&rung(name))) {
            return Some("it is not allowed for this caller");
        }
        let why = |rung: &Rung<'_>| policies.bars_instead(self.caller, rung, &self.chosen);
        why(&told).or_else(|| names.iter().find_map(|name| why(&rung(name))))
    }

    /// Other names of a model: those of configured ones that are the same, and aliases of all of them.
    fn names(&self, model: &str) -> Vec<&'a str> {
        let models = &self.setup.models;
        let same = |target: &&Arc<Target>| target.plan.endpoints.first().is_some_and(|first| first.name == model);
        let mut names: Vec<&str> = models.targets().filter(same).map(|target| target.name.as_str()).collect();
        let meant = |(_, meant): &&(String, String)| meant == model || names.contains(&meant.as_str());
        let aliases: Vec<&str> = models.aliases().iter().filter(meant).map(|(alias, _)| alias.as_str()).collect();
        names.extend(aliases);
        names
    }
}

/// The name of the rung that a model is.
fn tier_of<'a>(setup: &'a Setup, model: &str) -> Option<&'a str> {
    let at = setup.deciding.targets().iter().position(|target| target.name == model)?;
    setup.deciding.ladder().names().get(at).map(String::as_str)
}

/// The caller's tags as the book keeps them.
fn tags(said: &[(String, String)]) -> Option<String> {
    let tags: Map<String, Value> = said.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    (!tags.is_empty()).then(|| Value::Object(tags).to_string())
}
