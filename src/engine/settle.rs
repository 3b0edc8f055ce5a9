//! What a call came to: usage times prices, the estimate of what routing saved, and the entry in the book.
//!
//! **The saving** is the price of the baseline (the model every call would have gone to) less what was paid: the answer,
//! requests whose answers were lost but may be on the bill, losers of hedges, answers that were escalated, rungs that were
//! asked in vain, and the choice of the model. Nobody knows what the baseline would have answered, so its length is forecast: the answer's length has a rank among the lengths
//! that its own model is known for, and the baseline's length of that rank is taken; where too few are known, the same
//! length is assumed and a note says so. The part of the prompt that the baseline would have found in its cache is its
//! mean share. When the baseline itself answered, nothing was saved, and the extra costs are a loss.
//!
//! Every call is entered, however it ended: an [`Entry`] that is dropped before its end is a call that was cancelled.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rust_decimal::Decimal;

use super::ending::Ending;
use super::forecast::forecast;
use super::plan::{Account, Instead, Plan};
use super::purse::Part;
use super::tally::{Beside, End, Hedged, Rest, Tally};
use super::{asking, estimate};
use crate::error::{Error, Kind};
use crate::ledger::{Asked, Outcome, Record};
use crate::pricing::{Table, Usage, pico};
use crate::providers::{ChatRequest, Endpoint};

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

    pub(super) fn request(&self) -> &Arc<ChatRequest> {
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
        let endpoint = if ending.requests == 0 { self.tally.asked() } else { ending.endpoint };
        self.settle(Outcome::Failed, Some(error), &Ending { endpoint, ..ending.clone() })
    }

    /// The caller left.
    pub(super) fn cancelled(&mut self, ending: &Ending) -> Account {
        self.settle(Outcome::Cancelled, None, ending)
    }

    /// The caller left before there was an answer to hand on; one that he was judging is his.
    pub(super) fn left(&mut self) -> Account {
        let asked = || Ending { endpoint: self.tally.asked(), ..Ending::default() };
        let ending = self.tally.held().unwrap_or_else(asked);
        self.cancelled(&ending)
    }

    fn settle(&mut self, outcome: Outcome, error: Option<&Error>, ending: &Ending) -> Account {
        self.open = false;
        let total_time = self.tally.start().elapsed();
        let mut rest = self.tally.take();
        without_losers(&mut rest);
        let endpoint = &self.plan.endpoints[ending.endpoint];
        let (mut usages, mut estimated) = self.usages(outcome, ending);
        // As the provider has told it, or as far as it came; what is only guessed of other requests is not paid by guesses.
        let answer = Part {
            endpoint,
            cost: sum(usages.iter().map(|usage| price(endpoint, usage))),
            told: !estimated && !rest.untold,
        };
        let told = rest.lost.iter().filter_map(|lost| Some((lost.endpoint, lost.usage?))).collect();
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
        let passed: Vec<Passed> =
            std::mem::take(&mut rest.beside).into_iter().map(|each| self.passed(each, guess)).collect();
        let plain = sum(usages.iter().map(|usage| price(endpoint, usage)));
        let lost_cost = sum(lost.iter().map(|(at, usage)| price(&self.plan.endpoints[*at], usage)));
        let mut usage = total(&usages);
        if usage.is_none() && !lost.is_empty() {
            usage = total(&lost.iter().map(|(_, usage)| *usage).collect::<Vec<_>>());
            estimated = true;
        }
        let cost = plain.zip(lost_cost).and_then(|(plain, lost)| plain.checked_add(lost));
        let count = rest.lost.len() + passed.iter().map(|each| each.lost).sum::<usize>();
        if count > 0 && outcome == Outcome::Ok {
            rest.notes.push(billed_in_vain(count));
        }
        let beside = hedges.iter().map(|(_, _, cost)| *cost).chain(passed.iter().map(|each| each.cost));
        let whole = cost.zip(sum(beside)).and_then(|(a, b)| a.checked_add(b));
        let unpriced =
            whole.is_none().then(|| self.unpriced(ending.endpoint, &usages, &lost, &hedges, &passed)).flatten();
        rest.notes.extend(unpriced.as_deref().map(no_price));
        let (baseline, from) = self.baseline(endpoint, outcome, plain, &usages).unzip();
        if let (Some(from), Some(name), true) = (from.flatten(), &self.plan.routed.baseline, whole.is_some()) {
            rest.notes.push(format!("the saving against `{name}` is an estimate from {from}"));
        }
        let routed = &self.plan.routed;
        let router_cost = routed.router_cost.or_else(|| routed.router.is_none().then_some(Decimal::ZERO));
        let saved = baseline
            .zip(whole)
            .zip(router_cost)
            .and_then(|((baseline, cost), router)| baseline.checked_sub(cost)?.checked_sub(router));
        let attempts = self.tally.attempts();
        let first_content = ending.first_content.map(|at| at.saturating_duration_since(self.tally.start()));
        if self.plan.ledger.is_some() && (attempts > 0 || error.is_none_or(is_of_a_call)) {
            self.enter_hedged(&hedges, baseline);
            let before = self.enter_passed(&passed, baseline);
            let mut record = self.record(ending.endpoint, outcome, &usage.unwrap_or_default(), cost, baseline);
            if outcome == Outcome::Ok {
                record.signs = ending.verdict.signs;
                record.asked = self.asked(ending);
            }
            record.response = ending.id.as_deref().filter(|_| outcome != Outcome::Failed).map(Into::into);
            record.estimated = estimated;
            record.router_cost = router_cost.and_then(pico);
            record.ttft_us = first_content.map(micros);
            record.total_us = micros(total_time);
            record.error = error.map(kind_of);
            record.attempts = attempts.saturating_sub(before);
            self.enter(record);
        }
        let account = Account {
            endpoint: ending.endpoint,
            instead: (outcome != Outcome::Failed).then(|| self.instead(ending.endpoint)).flatten(),
            attempts,
            usage,
            estimated,
            cost: whole,
            unpriced,
            router_cost,
            saved,
            first_content,
            total: total_time,
            notes: rest.notes,
            dropped: rest.dropped,
            response: ending.id.clone().filter(|_| outcome != Outcome::Failed),
        };
        self.pay(&account, answer, told, &passed);
        account
    }

    /// Tells who pays what each request came to. What was set aside for those that were given up or lost without a word is
    /// kept already.
    fn pay(&self, account: &Account, answer: Part<'_>, lost: Vec<(usize, Usage)>, passed: &[Passed]) {
        let Some(purse) = &self.plan.purse else { return };
        let vain = passed.iter().filter_map(|each| match &each.beside.end {
            End::Vain { lost, .. } => Some(lost.iter().filter_map(|lost| Some((lost.endpoint, lost.usage?)))),
            End::Escalated(_) => None,
        });
        let lost = lost.into_iter().chain(vain.flatten()).map(|(at, usage)| {
            let endpoint = &self.plan.endpoints[at];
            Part { endpoint, cost: price(endpoint, &usage), told: true }
        });
        let escalated = passed.iter().filter_map(|each| match &each.beside.end {
            End::Escalated(ending) => {
                let told = !each.estimated && ending.complete;
                Some(Part { endpoint: &self.plan.endpoints[each.endpoint], cost: each.cost, told })
            }
            End::Vain { .. } => None,
        });
        let parts: Vec<Part<'_>> = [answer].into_iter().chain(lost).chain(escalated).collect();
        purse.settle(account, &parts);
    }

    /// Who answered, where that is not the chosen model.
    pub(super) fn instead(&self, at: usize) -> Option<Instead> {
        let endpoint = self.plan.endpoints.get(at).filter(|_| at != 0)?;
        let rung = at.checked_sub(self.plan.base());
        Some(Instead {
            model: endpoint.name.clone(),
            base_model: endpoint.base_model.clone(),
            tier: rung.and_then(|rung| self.plan.climb.rungs.get(rung)?.clone()),
            climbed: rung.is_some(),
        })
    }

    /// What a rung came to whose answer is not handed on.
    fn passed(&self, beside: Beside, guess: impl Fn() -> Usage) -> Passed {
        let (endpoint, lost, (usages, estimated)) = match &beside.end {
            End::Escalated(ending) => (ending.endpoint, 0, self.usages(Outcome::Ok, ending)),
            End::Vain { endpoint, lost, .. } => {
                let usages: Vec<Usage> = lost.iter().map(|lost| lost.usage.unwrap_or_else(&guess)).collect();
                (*endpoint, lost.len(), (usages, !lost.is_empty()))
            }
        };
        let at = &self.plan.endpoints[endpoint];
        let cost = sum(usages.iter().map(|usage| price(at, usage)));
        Passed { beside, endpoint, lost, usage: total(&usages).unwrap_or_default(), estimated, cost }
    }

    fn enter_hedged(&self, hedges: &[(Hedged, Usage, Option<Decimal>)], baseline: Option<Decimal>) {
        for (hedged, usage, cost) in hedges {
            let baseline = baseline.map(|_| Decimal::ZERO);
            let mut record = self.record(hedged.endpoint, Outcome::Hedged, usage, *cost, baseline);
            record.estimated = true;
            record.router_cost = record.router.as_ref().map(|_| 0);
            record.total_us = micros(hedged.took);
            record.attempts = 0;
            record.text = None;
            self.enter(record);
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

    /// The first model of the call whose price is not known.
    fn unpriced(
        &self,
        endpoint: usize,
        usages: &[Usage],
        lost: &[(usize, Usage)],
        hedges: &[(Hedged, Usage, Option<Decimal>)],
        passed: &[Passed],
    ) -> Option<String> {
        let answer = usages.iter().map(|usage| (endpoint, usage));
        let lost = lost.iter().map(|(at, usage)| (*at, usage));
        let hedges = hedges.iter().map(|(hedged, usage, _)| (hedged.endpoint, usage));
        let passed = passed.iter().filter(|each| each.cost.is_none()).map(|each| (each.endpoint, &each.usage));
        let called = |at: usize| &self.plan.endpoints[at];
        let (at, _) =
            answer.chain(lost).chain(hedges).chain(passed).find(|(at, usage)| price(called(*at), usage).is_none())?;
        Some(called(at).name.clone())
    }

    /// What the baseline would have cost and, where that is a guess, what the guess is made from.
    fn baseline(
        &self,
        endpoint: &Endpoint,
        outcome: Outcome,
        plain: Option<Decimal>,
        usages: &[Usage],
    ) -> Option<(Decimal, Option<&'static str>)> {
        let name = self.plan.routed.baseline.as_deref()?;
        if endpoint.name == name || endpoint.base_model.as_deref() == Some(name) {
            return plain.map(|cost| (cost, None));
        }
        if outcome == Outcome::Failed || usages.is_empty() {
            // Nobody got an answer, so there is nothing that could have cost more elsewhere.
            return Some((Decimal::ZERO, None));
        }
        let habits = |model: &str| self.plan.ledger.as_ref().and_then(|ledger| ledger.habits(model));
        let (own, other) = (habits(&endpoint.name), habits(name));
        let mut same_length = false;
        let cost = sum(usages.iter().map(|usage| {
            let (usage, forecast) = forecast(usage, own.as_deref(), other.as_deref(), outcome == Outcome::Ok);
            same_length |= !forecast;
            Table::shared().cost(&[name], &usage, None).map(|cost| cost.total)
        }));
        let from =
            if same_length { "an answer of the same length" } else { "the usual lengths of both models' answers" };
        cost.map(|cost| (cost, Some(from)))
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
            tier: self.plan.tier(endpoint),
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
            outcome: if routed.shadow { Outcome::Shadow } else { outcome },
            error: None,
            attempts: 0,
            text: routed.text.clone(),
            price_version: Table::shared().version().to_owned(),
            task: routed.task.clone(),
            tags: routed.tags.clone(),
            signs: None,
            asked: Asked::default(),
            response: None,
        }
    }

    /// Enters the rungs whose answers are not handed on, each as a call of its own; says how many requests they took.
    fn enter_passed(&self, passed: &[Passed], baseline: Option<Decimal>) -> u32 {
        for each in passed {
            let Beside { end, since, took, attempts } = &each.beside;
            let outcome = match end {
                End::Escalated(_) => Outcome::Escalated,
                End::Vain { .. } => Outcome::Vain,
            };
            let baseline = baseline.map(|_| Decimal::ZERO);
            let mut record = self.record(each.endpoint, outcome, &each.usage, each.cost, baseline);
            record.ts_us += micros(since.saturating_duration_since(self.tally.start()));
            record.estimated = each.estimated;
            record.router_cost = record.router.as_ref().map(|_| 0);
            record.total_us = micros(*took);
            record.attempts = *attempts;
            match end {
                End::Escalated(ending) => {
                    record.ttft_us = ending.first_content.map(|at| micros(at.saturating_duration_since(*since)));
                    record.signs = ending.verdict.signs;
                    record.response = ending.id.as_deref().map(Into::into);
                }
                End::Vain { error, .. } => record.error = Some(kind_of(error)),
            }
            self.enter(record);
        }
        passed.iter().map(|each| each.beside.attempts).sum()
    }

    /// What the next request is held against, to find whether its user asks again.
    fn asked(&self, ending: &Ending) -> Asked {
        asking::asked(&self.request, ending.verdict.answer, self.plan.routed.session.is_some())
    }

    fn enter(&self, record: Record) {
        if let Some(ledger) = &self.plan.ledger {
            ledger.add(record);
        }
    }
}

/// A rung whose answer is not handed on, with what it came to.
struct Passed {
    beside: Beside,
    endpoint: usize,
    /// Requests that gave no answer but may be on the bill.
    lost: usize,
    usage: Usage,
    estimated: bool,
    cost: Option<Decimal>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        if self.open {
            self.left();
        }
    }
}

/// Tokens of several requests; what cannot be added is that of the first.
pub(super) fn total(usages: &[Usage]) -> Option<Usage> {
    let (first, rest) = usages.split_first()?;
    let mut sum = *first;
    for more in rest {
        for (total, part) in [
            (&mut sum.prompt_tokens, more.prompt_tokens),
            (&mut sum.completion_tokens, more.completion_tokens),
            (&mut sum.cached_tokens, more.cached_tokens),
            (&mut sum.cache_write_tokens, more.cache_write_tokens),
            (&mut sum.cache_write_1h_tokens, more.cache_write_1h_tokens),
            (&mut sum.reasoning_tokens, more.reasoning_tokens),
            (&mut sum.prompt_audio_tokens, more.prompt_audio_tokens),
            (&mut sum.completion_audio_tokens, more.completion_audio_tokens),
        ] {
            *total = total.saturating_add(part);
        }
        sum.billed = sum.billed.zip(more.billed).and_then(|(a, b)| a.checked_add(b));
    }
    Some(sum)
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

/// The losers of hedges were dropped, but have records of their own.
fn without_losers(rest: &mut Rest) {
    for hedged in &rest.hedged {
        if let Some(at) = rest.lost.iter().position(|lost| lost.dropped && lost.endpoint == hedged.endpoint) {
            rest.lost.swap_remove(at);
        }
    }
}

fn billed_in_vain(count: usize) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!(
        "{count} request{s} gave no answer that was used but may be on the bill: counted in the cost as if answered alike"
    )
}

fn no_price(model: &str) -> String {
    format!("no price is known for `{model}`: the call counts as unpriced, not as free")
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
