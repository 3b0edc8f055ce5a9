//! What a call came to: usage times prices, the estimate of what routing saved, and the entry in the book.
//!
//! **The saving** is the price of the baseline (the model every call would have gone to) less what was paid: the answer,
//! requests whose answers were lost but may be on the bill, losers of hedges, and the choice of the model. Nobody knows
//! what the baseline would have answered, so its length is forecast: the answer's length has a rank among the lengths
//! that its own model is known for, and the baseline's length of that rank is taken; where too few are known, the same
//! length is assumed and a note says so. The part of the prompt that the baseline would have found in its cache is its
//! mean share. When the baseline itself answered, nothing was saved, and the extra costs are a loss.
//!
//! Every call is entered, however it ended: an [`Entry`] that is dropped before its end is a call that was cancelled.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rust_decimal::Decimal;
use tokio::time::Instant;

use super::estimate;
use super::many::total;
use super::plan::{Account, Plan};
use crate::error::{Error, Kind};
use crate::ledger::{Habits, Outcome, Record};
use crate::pricing::{Table, Usage, pico};
use crate::providers::{ChatRequest, Dropped, Endpoint};

/// What is sent for one call, counted while it runs.
pub(super) struct Tally {
    start: Instant,
    attempts: AtomicU32,
    /// The endpoint asked last.
    asked: AtomicUsize,
    rest: Mutex<Rest>,
}

#[derive(Default)]
struct Rest {
    /// Requests that may be on the bill although they gave no answer, or one that was thrown away.
    lost: Vec<Lost>,
    hedged: Vec<Hedged>,
    notes: Vec<String>,
    dropped: Vec<Dropped>,
}

struct Lost {
    endpoint: usize,
    /// Its tokens, where they are known.
    usage: Option<Usage>,
    /// Given up by us while it ran.
    dropped: bool,
}

/// The loser of a hedge.
struct Hedged {
    endpoint: usize,
    took: Duration,
}

impl Tally {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            attempts: AtomicU32::new(0),
            asked: AtomicUsize::new(0),
            rest: Mutex::new(Rest::default()),
        }
    }

    /// When the call began.
    pub(super) fn start(&self) -> Instant {
        self.start
    }

    /// Counts a request that is sent now.
    pub(super) fn sent(&self, endpoint: usize) -> Sent<'_> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        self.asked.store(endpoint, Ordering::Relaxed);
        Sent { tally: self, endpoint, over: false }
    }

    /// A request that may be on the bill without having served for anything.
    pub(super) fn lost(&self, endpoint: usize, usage: Option<Usage>) {
        self.rest().lost.push(Lost { endpoint, usage, dropped: false });
    }

    /// The loser of a hedge, which is about to be dropped.
    pub(super) fn hedged(&self, endpoint: usize, took: Duration) {
        self.rest().hedged.push(Hedged { endpoint, took });
    }

    pub(super) fn note(&self, note: String) {
        self.rest().notes.push(note);
    }

    /// What the endpoint asked last does not take.
    pub(super) fn dropped(&self, dropped: Vec<Dropped>) {
        self.rest().dropped = dropped;
    }

    /// Requests sent, parameters left out and notes.
    pub(super) fn so_far(&self) -> (u32, Vec<Dropped>, Vec<String>) {
        let rest = self.rest();
        (self.attempts.load(Ordering::Relaxed), rest.dropped.clone(), rest.notes.clone())
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request on its way; dropped before it is over, it is one that was given up.
pub(super) struct Sent<'a> {
    tally: &'a Tally,
    endpoint: usize,
    over: bool,
}

impl Sent<'_> {
    pub(super) fn over(mut self, failed: Option<&Error>) {
        self.over = true;
        if failed.is_some_and(Error::is_lost) {
            self.tally.lost(self.endpoint, None);
        }
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.tally.rest().lost.push(Lost { endpoint: self.endpoint, usage: None, dropped: true });
        }
    }
}

/// How far an answer has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Ending {
    /// Which endpoint answers.
    pub endpoint: usize,
    /// Requests that the answer is made of; none where there is no answer.
    pub requests: u32,
    /// Tokens told, one for each request at most.
    pub usages: Vec<Usage>,
    /// The tokens told are the final ones.
    pub complete: bool,
    /// Characters received.
    pub made_chars: usize,
    pub first_content: Option<Instant>,
}

/// A call from its beginning to its entry in the book.
pub(super) struct Entry {
    plan: Plan,
    request: Arc<ChatRequest>,
    tally: Tally,
    begun: SystemTime,
    open: bool,
}

impl Entry {
    pub(super) fn begin(plan: Plan, request: Arc<ChatRequest>) -> Self {
        Self { plan, request, tally: Tally::new(), begun: SystemTime::now(), open: true }
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn request(&self) -> &ChatRequest {
        &self.request
    }

    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// A whole answer.
    pub(super) fn answered(&mut self, ending: &Ending) -> Account {
        self.settle(Outcome::Ok, None, ending)
    }

    /// It failed for good.
    pub(super) fn failed(&mut self, error: &Error, ending: &Ending) -> Account {
        let endpoint = if ending.requests == 0 { self.tally.asked.load(Ordering::Relaxed) } else { ending.endpoint };
        self.settle(Outcome::Failed, Some(error), &Ending { endpoint, ..ending.clone() })
    }

    /// The caller left.
    pub(super) fn cancelled(&mut self, ending: &Ending) -> Account {
        self.settle(Outcome::Cancelled, None, ending)
    }

    fn settle(&mut self, outcome: Outcome, error: Option<&Error>, ending: &Ending) -> Account {
        self.open = false;
        let total_time = self.tally.start.elapsed();
        let mut rest = std::mem::take(&mut *self.tally.rest());
        // The losers of hedges were dropped, but have records of their own.
        for hedged in &rest.hedged {
            if let Some(at) = rest.lost.iter().position(|lost| lost.dropped && lost.endpoint == hedged.endpoint) {
                rest.lost.swap_remove(at);
            }
        }
        let endpoint = &self.plan.endpoints[ending.endpoint];
        let (mut usages, mut estimated) = self.usages(outcome, ending);
        // What is not known of a request is guessed from the answer there is, else from the prompt.
        let guess = usages.first().copied();
        let guess = || guess.unwrap_or_else(|| self.prompt_only());
        let mut lost: Vec<(usize, Usage)> =
            rest.lost.iter().map(|lost| (lost.endpoint, lost.usage.unwrap_or_else(guess))).collect();
        let hedges: Vec<(Hedged, Usage, Option<Decimal>)> = rest
            .hedged
            .drain(..)
            .map(|hedged| {
                let usage = guess();
                let cost = price(&self.plan.endpoints[hedged.endpoint], &usage);
                (hedged, usage, cost)
            })
            .collect();
        if outcome == Outcome::Cancelled && usages.is_empty() && !lost.is_empty() {
            // What the caller left is his call; its prompt is all that is known of it.
            lost.retain(|(at, usage)| {
                let is_his = *at == ending.endpoint;
                usages.extend(is_his.then_some(*usage));
                !is_his
            });
            estimated = true;
        }
        let plain = sum(usages.iter().map(|usage| price(endpoint, usage)));
        let lost_cost = sum(lost.iter().map(|(at, usage)| price(&self.plan.endpoints[*at], usage)));
        let mut usage = total(&usages);
        if usage.is_none() && !lost.is_empty() {
            usage = total(&lost.iter().map(|(_, usage)| *usage).collect::<Vec<_>>());
            estimated = true;
        }
        let cost = plain.zip(lost_cost).and_then(|(plain, lost)| plain.checked_add(lost));
        if !rest.lost.is_empty() && outcome == Outcome::Ok {
            let count = rest.lost.len();
            rest.notes.push(format!(
                "{count} request{} gave no answer that was used but may be on the bill: counted in the cost as if answered alike",
                if count == 1 { "" } else { "s" }
            ));
        }
        let baseline = self.baseline(endpoint, outcome, plain, &usages, &mut rest.notes);
        let router_cost = self.plan.routed.router_cost.or(match self.plan.routed.router {
            None => Some(Decimal::ZERO),
            Some(_) => None,
        });
        let saved = baseline.zip(cost).zip(router_cost).and_then(|((baseline, cost), router)| {
            let hedges = sum(hedges.iter().map(|(_, _, cost)| *cost))?;
            baseline.checked_sub(cost)?.checked_sub(router)?.checked_sub(hedges)
        });
        let attempts = self.tally.attempts.load(Ordering::Relaxed);
        let first_content = ending.first_content.map(|at| at.saturating_duration_since(self.tally.start));
        if self.plan.ledger.is_some() && (attempts > 0 || error.is_none_or(is_of_a_call)) {
            for (hedged, usage, cost) in &hedges {
                let baseline = baseline.map(|_| Decimal::ZERO);
                let mut record = self.record(hedged.endpoint, Outcome::Hedged, usage, *cost, baseline);
                record.estimated = true;
                record.router_cost = record.router.as_ref().map(|_| 0);
                record.total_us = micros(hedged.took);
                record.attempts = 0;
                record.text = None;
                self.enter(record);
            }
            let mut record = self.record(ending.endpoint, outcome, &usage.unwrap_or_default(), cost, baseline);
            record.estimated = estimated;
            record.router_cost = router_cost.and_then(pico);
            record.ttft_us = first_content.map(micros);
            record.total_us = micros(total_time);
            record.error = error.map(kind_of);
            record.attempts = attempts;
            self.enter(record);
        }
        Account {
            endpoint: ending.endpoint,
            attempts,
            usage,
            estimated,
            cost,
            router_cost,
            saved,
            first_content,
            total: total_time,
            notes: rest.notes,
            dropped: rest.dropped,
        }
    }

    /// The tokens of each request of the answer, and whether they are estimated.
    fn usages(&self, outcome: Outcome, ending: &Ending) -> (Vec<Usage>, bool) {
        if ending.requests == 0 {
            return (Vec::new(), false);
        }
        let all_told = ending.usages.len() == ending.requests as usize;
        if all_told && (outcome == Outcome::Ok || ending.complete) {
            return (ending.usages.clone(), false);
        }
        let chars = ending.made_chars / ending.requests as usize;
        let usages = (0..ending.requests as usize)
            .map(|index| {
                let told = ending.usages.get(index).copied();
                let mut usage = told.unwrap_or_else(|| self.prompt_only());
                usage.completion_tokens = usage.completion_tokens.max(estimate::tokens(chars));
                usage
            })
            .collect();
        (usages, true)
    }

    fn prompt_only(&self) -> Usage {
        Usage { prompt_tokens: estimate::prompt_tokens(&self.request), ..Usage::default() }
    }

    /// What the baseline would have cost.
    fn baseline(
        &self,
        endpoint: &Endpoint,
        outcome: Outcome,
        plain: Option<Decimal>,
        usages: &[Usage],
        notes: &mut Vec<String>,
    ) -> Option<Decimal> {
        let name = self.plan.routed.baseline.as_deref()?;
        if endpoint.name == name || endpoint.base_model.as_deref() == Some(name) {
            return plain;
        }
        if outcome == Outcome::Failed || usages.is_empty() {
            // Nobody got an answer, so there is nothing that could have cost more elsewhere.
            return Some(Decimal::ZERO);
        }
        let habits = |model: &str| self.plan.ledger.as_ref().and_then(|ledger| ledger.habits(model));
        let (own, other) = (habits(&endpoint.name), habits(name));
        let mut same_length = false;
        let cost = sum(usages.iter().map(|usage| {
            let (usage, forecast) = forecast(usage, own.as_deref(), other.as_deref(), outcome == Outcome::Ok);
            same_length |= !forecast;
            Table::shared().cost(&[name], &usage, None).map(|cost| cost.total)
        }));
        if cost.is_some() {
            let from =
                if same_length { "an answer of the same length" } else { "the usual lengths of both models' answers" };
            notes.push(format!("the saving against `{name}` is an estimate from {from}"));
        }
        cost
    }

    fn record(
        &self,
        endpoint: usize,
        outcome: Outcome,
        usage: &Usage,
        cost: Option<Decimal>,
        baseline: Option<Decimal>,
    ) -> Record {
        let routed = &self.plan.routed;
        let since = self.begun.duration_since(UNIX_EPOCH).unwrap_or_default();
        Record {
            ts_us: micros(since),
            key: routed.key.clone(),
            session: routed.session.clone(),
            router: routed.router.clone(),
            requested: routed.requested.clone(),
            model: self.plan.endpoints[endpoint].name.clone(),
            tier: routed.tier.clone(),
            win_rate: routed.win_rate,
            threshold: routed.threshold,
            holdout: routed.holdout,
            usage: *usage,
            estimated: false,
            cost: cost.and_then(pico),
            router_cost: None,
            baseline: baseline.and_then(pico),
            ttft_us: None,
            total_us: 0,
            outcome,
            error: None,
            attempts: 0,
            text: routed.text.clone(),
            price_version: Table::shared().version().to_owned(),
        }
    }

    fn enter(&self, record: Record) {
        if let Some(ledger) = &self.plan.ledger {
            ledger.add(record);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.open {
            let endpoint = self.tally.asked.load(Ordering::Relaxed);
            self.cancelled(&Ending { endpoint, ..Ending::default() });
        }
    }
}

/// What the baseline would have used for the same request, and whether its length is forecast.
fn forecast(usage: &Usage, own: Option<&Habits>, baseline: Option<&Habits>, whole: bool) -> (Usage, bool) {
    let mut made = Usage { billed: None, cache_write_1h_tokens: 0, ..*usage };
    if let Some(share) = baseline.and_then(|habits| habits.cached_share) {
        made.cached_tokens = (usage.prompt_tokens as f64 * share.clamp(0.0, 1.0)).round() as u64;
        made.cache_write_tokens = 0;
    }
    // The rank of an answer that was cut off says nothing.
    let (Some(own), Some(other)) = (own.and_then(lengths), baseline.and_then(lengths)) else { return (made, false) };
    if !whole {
        return (made, false);
    }
    let length = at_rank(other, rank(own, usage.completion_tokens as f64)).max(0.0).round() as u64;
    made.completion_tokens = length;
    made.reasoning_tokens = made.reasoning_tokens.min(length);
    (made, true)
}

/// The quantiles of a model's lengths, where enough answers are known.
fn lengths(habits: &Habits) -> Option<&[f64]> {
    Some(&habits.completion_quantiles[..]).filter(|quantiles| quantiles.len() > 1)
}

/// The rank in 0..=1 of `value` among evenly spaced quantiles; the middle of those that equal it.
fn rank(quantiles: &[f64], value: f64) -> f64 {
    let last = (quantiles.len() - 1) as f64;
    let below = quantiles.partition_point(|&quantile| quantile < value);
    let not_above = quantiles.partition_point(|&quantile| quantile <= value);
    if not_above > below {
        return (below + not_above - 1) as f64 / 2.0 / last;
    }
    let (Some(lower), Some(upper)) = (below.checked_sub(1).and_then(|at| quantiles.get(at)), quantiles.get(below))
    else {
        return if below == 0 { 0.0 } else { 1.0 };
    };
    ((below - 1) as f64 + (value - lower) / (upper - lower)) / last
}

/// The value of a rank in 0..=1 among evenly spaced quantiles.
fn at_rank(quantiles: &[f64], rank: f64) -> f64 {
    let at = rank * (quantiles.len() - 1) as f64;
    let lower = (at.floor() as usize).min(quantiles.len() - 1);
    let upper = (lower + 1).min(quantiles.len() - 1);
    quantiles[lower] + (quantiles[upper] - quantiles[lower]) * (at - lower as f64)
}

/// The price of `usage` at an endpoint; `None` where it is not known.
fn price(endpoint: &Endpoint, usage: &Usage) -> Option<Decimal> {
    let table = Table::shared();
    let cost = match &endpoint.base_model {
        Some(base) => table.cost(&[base, &endpoint.name], usage, None),
        None => table.cost(&[&endpoint.name], usage, None),
    };
    cost.map(|cost| cost.total)
}

/// The sum; unknown as soon as one part is.
fn sum(parts: impl Iterator<Item = Option<Decimal>>) -> Option<Decimal> {
    parts.into_iter().try_fold(Decimal::ZERO, |sum, part| sum.checked_add(part?))
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn is_of_a_call(error: &Error) -> bool {
    matches!(error.kind(), Kind::Connection | Kind::Timeout | Kind::Status | Kind::Protocol | Kind::Cancelled)
}

/// A failure's kind for the book: `timeout`, `status 503`.
fn kind_of(error: &Error) -> String {
    match error.answer() {
        Some(answer) => format!("status {}", answer.status),
        None => format!("{:?}", error.kind()).to_lowercase(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn habits(lengths: &[f64], cached_share: Option<f64>) -> Habits {
        Habits { completion_quantiles: lengths.to_vec(), cached_share, answers: 100 }
    }

    #[test]
    fn lengths_are_mapped_by_rank() {
        let (weak, strong) = (habits(&[10.0, 20.0, 40.0], None), habits(&[100.0, 300.0, 900.0], Some(0.5)));
        let used =
            |completion_tokens| Usage { prompt_tokens: 1000, completion_tokens, cached_tokens: 7, ..Usage::default() };
        let length = |tokens| forecast(&used(tokens), Some(&weak), Some(&strong), true).0.completion_tokens;
        assert_eq!([length(10), length(15), length(20), length(30), length(40)], [100, 200, 300, 600, 900]);
        assert_eq!([length(1), length(1000)], [100, 900]);
        let (made, forecast_made) = forecast(&used(15), Some(&weak), Some(&strong), true);
        assert!(forecast_made && made.cached_tokens == 500);
        // Without the lengths of both, and for what was cut off, the same length.
        for (own, other, whole) in
            [(None, Some(&strong), true), (Some(&weak), None, true), (Some(&weak), Some(&strong), false)]
        {
            let (made, forecast_made) = forecast(&used(15), own, other, whole);
            assert!(!forecast_made && made.completion_tokens == 15);
        }
        assert_eq!(forecast(&used(15), None, None, true).0.cached_tokens, 7);
    }

    proptest! {
        #[test]
        fn ranks_are_ranks(mut quantiles in prop::collection::vec(0.0..1e6_f64, 2..40), value in 0.0..1e6_f64) {
            quantiles.sort_by(f64::total_cmp);
            let found = rank(&quantiles, value);
            prop_assert!((0.0..=1.0).contains(&found));
            let back = at_rank(&quantiles, found);
            let bounded = value.clamp(quantiles[0], quantiles[quantiles.len() - 1]);
            prop_assert!((back - bounded).abs() <= 1e-6 * (1.0 + bounded), "{} {} {}", value, found, back);
        }
    }
}
