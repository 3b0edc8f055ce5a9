//! Which endpoints keep failing, and rest for a while where there is another.
//!
//! Kept for the whole process, since every Controller that calls an endpoint learns the same about it. Nothing is kept
//! of an endpoint that works, so a call to one costs a look at one number.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use super::plan::{Plan, Policy};
use crate::error::Result;
use crate::pricing::Table;
use crate::providers::Endpoint;
use crate::providers::process::PerProcess;

/// More than this many endpoints that fail are not kept apart.
const MOST: usize = 4096;
/// Nobody is left alone for longer, whatever it asks for.
const LONGEST_REST: Duration = Duration::from_mins(10);

#[derive(Default)]
struct Health {
    /// How many are in `known`.
    count: AtomicUsize,
    known: Mutex<HashMap<u128, Failing>>,
}

#[derive(Default)]
struct Failing {
    in_a_row: u32,
    rests_until: Option<Instant>,
}

static HEALTH: PerProcess<Health> = PerProcess::new();

fn health() -> Result<&'static Health> {
    HEALTH.get_or_try_init(|| Ok(Health::default()))
}

/// Identifies model, address and key: what one key may do says nothing about another.
pub(super) fn identity(endpoint: &Endpoint) -> u128 {
    let mut hash = Xxh3::new();
    for part in [endpoint.base.as_str(), &endpoint.model, endpoint.key.as_ref().map_or("", |key| key.expose_secret())] {
        hash.update(part.as_bytes());
        hash.update(&[0xff]);
    }
    hash.digest128()
}

/// The chosen model and its fallbacks in the order they are tried: those that rest come last.
pub(super) fn order(plan: &Plan) -> Result<Vec<usize>> {
    let mut order: Vec<usize> = (0..plan.base()).collect();
    let health = health()?;
    if order.len() > 1 && health.count.load(Ordering::Relaxed) > 0 {
        let now = Instant::now();
        let known = health.known.lock().unwrap_or_else(PoisonError::into_inner);
        let rests = |index: &usize| {
            let failing = known.get(&identity(&plan.endpoints[*index]));
            failing.and_then(|failing| failing.rests_until).is_some_and(|until| now < until)
        };
        order.sort_by_key(rests);
    }
    Ok(order)
}

/// Whether any endpoint of this process rests: a look at one number while none fails.
pub(crate) fn anything_rests() -> bool {
    let Ok(health) = health() else { return false };
    if health.count.load(Ordering::Relaxed) == 0 {
        return false;
    }
    let now = Instant::now();
    let known = health.known.lock().unwrap_or_else(PoisonError::into_inner);
    known.values().any(|failing| failing.rests_until.is_some_and(|until| now < until))
}

/// How much longer an endpoint rests.
pub(crate) fn rests(endpoint: &Endpoint) -> Option<Duration> {
    let health = health().ok()?;
    let known = health.known.lock().unwrap_or_else(PoisonError::into_inner);
    let until = known.get(&identity(endpoint))?.rests_until?;
    until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
}

/// Counts a failure; whether the endpoint rests from now on.
pub(super) fn failed(endpoint: &Endpoint, policy: &Policy) -> bool {
    let Ok(health) = health() else { return false };
    let now = Instant::now();
    let mut known = health.known.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= MOST {
        known.retain(|_, failing| failing.rests_until.is_some_and(|until| now < until));
        if known.len() >= MOST {
            known.clear();
        }
    }
    let failing = known.entry(identity(endpoint)).or_default();
    failing.in_a_row = failing.in_a_row.saturating_add(1);
    let rests = failing.in_a_row >= policy.failures_before_cooldown.max(1);
    if rests {
        failing.rests_until = now.checked_add(policy.cooldown);
    }
    health.count.store(known.len(), Ordering::Relaxed);
    rests
}

/// Forgets the failures of an endpoint that has answered.
pub(super) fn succeeded(endpoint: &Endpoint) {
    let Ok(health) = health() else { return };
    if health.count.load(Ordering::Relaxed) == 0 {
        return;
    }
    let mut known = health.known.lock().unwrap_or_else(PoisonError::into_inner);
    known.remove(&identity(endpoint));
    health.count.store(known.len(), Ordering::Relaxed);
}

/// Lets an endpoint rest for as long as it asked to be left alone.
pub(super) fn rest(endpoint: &Endpoint, wait: Duration) {
    let Ok(health) = health() else { return };
    let mut known = health.known.lock().unwrap_or_else(PoisonError::into_inner);
    let until = Instant::now().checked_add(wait.min(LONGEST_REST));
    let failing = known.entry(identity(endpoint)).or_default();
    failing.rests_until = failing.rests_until.max(until);
    health.count.store(known.len(), Ordering::Relaxed);
}

/// Whether `other` may take a prompt that was too long for `refused`: unless it is known to take no more.
pub(super) fn takes_more(other: &Endpoint, refused: &Endpoint) -> bool {
    let context = |endpoint: &Endpoint| {
        let names = endpoint.base_model.iter().chain([&endpoint.name, &endpoint.model]);
        names.filter_map(|name| Table::shared().facts(name)).find_map(|facts| facts.context)
    };
    match (context(other), context(refused)) {
        (Some(other), Some(refused)) => other > refused,
        _ => true,
    }
}
