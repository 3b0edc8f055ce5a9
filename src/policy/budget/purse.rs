//! What one call has set aside, and its end.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt;
use rust_decimal::Decimal;

use super::bank::{Bank, Got};
use super::period::now;
use super::refusal;
use super::slot::{Aside, Short, Slot};
use super::worst::Worst;
use super::{Concern, slots_of};
use crate::engine::plan::Account;
use crate::engine::purse::{Leave, Part, Pledge, Purse, Sending};
use crate::error::{Error, Result};
use crate::pricing::pico;
use crate::providers::Endpoint;
use crate::providers::demand::Demand;

/// Pays for one call from all the budgets it concerns.
pub(super) struct Call {
    pub bank: Arc<Bank>,
    /// The budgets that any request of the call may concern.
    pub concerns: Vec<Concern>,
    /// What the request may use, with the limit it was given.
    pub demand: Demand,
    /// Of embeddings: there is no answer to be paid for by its length.
    pub embeds: bool,
    pub state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Set aside before the call began, for its first request.
    ready: Option<Aside>,
    /// Of requests that were sent; `None` where that turned out to be on no bill.
    sent: Vec<Option<Held>>,
    settled: bool,
}

#[derive(Debug)]
struct Held {
    aside: Aside,
    /// Nobody will say what the request came to: all of it is spent.
    whole: bool,
}

impl Call {
    /// What `times` requests to an endpoint may cost; `one`: each gives one of the answers.
    pub(super) fn needs(&self, endpoint: &Endpoint, times: u32, one: bool) -> Result<i64> {
        let answers = if self.embeds { 0 } else { self.demand.answers };
        let times = i64::from(times.max(1));
        let answers = if one { answers.min(1) } else { answers };
        let worst = Worst::of(endpoint, &self.demand, answers)?;
        let output = match (self.embeds, self.demand.output) {
            (true, _) => 0,
            (false, Some(output)) => output,
            (false, None) => worst.longest.ok_or_else(|| self.no_limit())?,
        };
        Ok(worst.with(output).saturating_mul(times))
    }

    fn no_limit(&self) -> Error {
        self.concerns
            .first()
            .map_or_else(|| Error::value("no budget"), |concern| refusal::no_limit(&concern.account.who))
    }

    /// The first reservation, to be made before the call.
    pub(super) fn begin(&self, slots: &Arc<[Arc<Slot>]>, needed: i64) -> Got {
        self.bank.set_aside(slots, needed)
    }

    /// In words why `short` does not pay.
    pub(super) fn refused(&self, short: &Short) -> (Error, Option<&Concern>) {
        let concern = self.concerns.iter().find(|concern| concern.account.order() == short.slot.order);
        let error = concern.map_or_else(
            || Error::value("no budget"),
            |concern| refusal::denied(short, &concern.account.who, concern.account.period, now()),
        );
        (error, concern)
    }

    /// Keeps what was set aside for the first request.
    pub(super) fn keep(&self, aside: Aside) {
        self.state().ready = Some(aside);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sent(&self, aside: Option<Aside>) -> Pledge {
        let mut state = self.state();
        state.sent.push(aside.map(|aside| Held { aside, whole: false }));
        Pledge(state.sent.len() - 1)
    }

    /// What was set aside before the call, made as large as is needed now, where it is of the same budgets.
    fn ready(&self, slots: &Arc<[Arc<Slot>]>, needed: i64) -> Option<Aside> {
        let mut aside = self.state().ready.take()?;
        let same = aside.slots().iter().map(|slot| slot.order).eq(slots.iter().map(|slot| slot.order));
        if !same || aside.amount() < needed && aside.grow(needed).is_err() {
            return None;
        }
        aside.shrink(needed);
        Some(aside)
    }
}

impl Purse for Call {
    fn reserve<'a>(&'a self, sending: Sending<'a>) -> Leave<'a> {
        let slots = slots_of(&self.bank, &self.concerns, sending.endpoint);
        if slots.is_empty() {
            return Leave::Now(Ok(self.sent(None)));
        }
        let needed = match self.needs(sending.endpoint, sending.times, sending.one) {
            Ok(needed) => needed,
            Err(error) => return Leave::Now(Err(error)),
        };
        if let Some(aside) = self.ready(&slots, needed) {
            return Leave::Now(Ok(self.sent(Some(aside))));
        }
        match self.bank.set_aside(&slots, needed) {
            Got::Now(Ok(aside)) => Leave::Now(Ok(self.sent(Some(aside)))),
            Got::Now(Err(short)) => Leave::Now(Err(self.refused(&short).0)),
            later @ Got::Later(..) => Leave::Later(
                async move {
                    match later.answer().await {
                        Ok(aside) => Ok(self.sent(Some(aside))),
                        Err(short) => Err(self.refused(&short).0),
                    }
                }
                .boxed(),
            ),
        }
    }

    fn free(&self, pledge: Pledge) {
        let held = self.state().sent.get_mut(pledge.0).and_then(Option::take);
        self.give_back(held.map(|held| held.aside));
    }

    fn keep(&self, pledge: Pledge) {
        if let Some(Some(held)) = self.state().sent.get_mut(pledge.0) {
            held.whole = true;
        }
    }

    fn settle(&self, account: &Account, parts: &[Part<'_>]) {
        let (sent, ready) = {
            let mut state = self.state();
            state.settled = true;
            (std::mem::take(&mut state.sent), state.ready.take())
        };
        self.give_back(ready);
        // An answer whose tokens were not told may be any of those that are not kept yet.
        let untold = parts.iter().any(|part| !part.told);
        let (kept, told): (Vec<Held>, Vec<Held>) = sent.into_iter().flatten().partition(|held| held.whole || untold);
        let asides: Vec<Aside> = told.into_iter().map(|held| held.aside).collect();
        for held in kept {
            self.spend(held.aside);
        }
        let of = |concern: &Concern| {
            if concern.account.who.model.is_none() {
                // Nothing is known of the whole where one part is unpriced.
                account.cost?;
            }
            let own = parts.iter().filter(|part| concern.is_about(part.endpoint));
            let sum = own.map(|part| part.cost).try_fold(Decimal::ZERO, |sum, cost| sum.checked_add(cost?))?;
            pico(sum)
        };
        // What each budget has to pay.
        let mut owed: Vec<(u64, Option<i64>)> =
            self.concerns.iter().map(|concern| (concern.account.order(), of(concern))).collect();
        let last = |order: u64, from: usize| {
            !asides[from + 1..].iter().any(|aside| aside.slots().iter().any(|slot| slot.order == order))
        };
        let shares: Vec<Vec<i64>> = asides
            .iter()
            .enumerate()
            .map(|(at, aside)| {
                let share = |slot: &Arc<Slot>| {
                    let owed = owed.iter_mut().find(|owed| owed.0 == slot.order)?.1.as_mut()?;
                    // Each pays up to what was set aside for it; the last one all that is left.
                    let share = if last(slot.order, at) { *owed } else { aside.amount().min(*owed) };
                    *owed -= share;
                    Some(share)
                };
                // Without a known cost all that was set aside is spent.
                aside.slots().iter().map(share).map(|share| share.unwrap_or(aside.amount())).collect()
            })
            .collect();
        for (aside, shares) in asides.into_iter().zip(shares) {
            let slots = Arc::clone(aside.slots());
            let share = |slot: &Slot| {
                let at = slots.iter().position(|own| own.order == slot.order);
                at.map_or(0, |at| shares[at])
            };
            aside.settle(share);
            self.bank.freed(&slots);
        }
    }
}

impl Call {
    /// All of it is spent.
    fn spend(&self, aside: Aside) {
        let (slots, amount) = (Arc::clone(aside.slots()), aside.amount());
        aside.settle(|_| amount);
        self.bank.freed(&slots);
    }

    fn give_back(&self, aside: Option<Aside>) {
        if let Some(aside) = aside {
            let slots = Arc::clone(aside.slots());
            drop(aside);
            self.bank.freed(&slots);
        }
    }
}

impl Drop for Call {
    /// What was sent and never settled may be on a bill.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if !state.settled {
            for held in std::mem::take(&mut state.sent).into_iter().flatten() {
                let amount = held.aside.amount();
                held.aside.settle(|_| amount);
            }
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("demand", &self.demand).finish_non_exhaustive()
    }
}
