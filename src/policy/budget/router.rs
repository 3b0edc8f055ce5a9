//! What choosing a model costs, where the router asks a model itself.
//!
//! Nobody can say before what that will be, so it is entered when it is known, whatever becomes of the call. A router that has
//! cost something is not asked again for whom a budget is spent: a budget is passed by one choice at most.

use std::sync::PoisonError;

use rust_decimal::Decimal;

use super::period::now;
use super::slot::{Aside, Short};
use super::{Budgets, Concern, refusal, slots_of};
use crate::error::Result;
use crate::policy::key::Caller;
use crate::pricing::pico;
use crate::providers::Endpoint;

impl Budgets {
    /// Whether a router, as it is asked for, may be asked for this caller.
    ///
    /// # Errors
    /// `budget_exceeded` (429) where it has cost something before and a budget of the caller's for all models is spent.
    pub fn may_choose(&self, caller: &Caller, asked: &str) -> Result<()> {
        if !self.paid.read().unwrap_or_else(PoisonError::into_inner).contains(router_of(asked)) {
            return Ok(());
        }
        for concern in self.concerns_of(caller, "", "")? {
            let slot = self.bank.current(&concern.account, now());
            let money = slot.money().clone();
            if concern.account.who.model.is_none() && money.all_spent() >= money.limit {
                let short = Short { slot, money, needed: 0, unknown: false };
                return Err(refusal::denied(&short, &concern.account.who, concern.account.period, now()));
            }
        }
        Ok(())
    }

    /// Enters what a choice has cost, in US dollars: into the budgets that a request to `endpoint`, which is called `model`
    /// in the configuration, would concern; without one, into those for all models.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for a key whose budget cannot be.
    pub async fn chosen(
        &self,
        caller: &Caller,
        asked: &str,
        to: Option<(&str, &Endpoint)>,
        cost: Decimal,
    ) -> Result<()> {
        let Some(cost) = pico(cost).filter(|cost| *cost > 0) else { return Ok(()) };
        let is_known = self.paid.read().unwrap_or_else(PoisonError::into_inner).contains(router_of(asked));
        if !is_known {
            self.paid.write().unwrap_or_else(PoisonError::into_inner).insert(router_of(asked).to_owned());
        }
        let (model, name) = to.map_or(("", ""), |(model, endpoint)| (model, &endpoint.name));
        let concerns = self.concerns_of(caller, model, name)?;
        let slots = if let Some((_, endpoint)) = to {
            slots_of(&self.bank, &concerns, endpoint)
        } else {
            let all = |concern: &&Concern| concern.account.who.model.is_none();
            let current = |concern: &Concern| self.bank.current(&concern.account, now());
            super::in_order(concerns.iter().filter(all).map(current).collect())
        };
        if slots.is_empty() {
            return Ok(());
        }
        // Lent by a database where there is one; spent in any case, for it is on the bill.
        let aside = match self.bank.set_aside(&slots, cost).answer().await {
            Ok(aside) => Some(aside),
            Err(_) => Aside::take(&slots, 0).ok().map(|taken| taken.aside),
        };
        if let Some(aside) = aside {
            aside.settle(|_| cost);
            self.bank.freed(&slots);
        }
        Ok(())
    }
}

/// `router-name` of `router-name-0.5`: the number says nothing about what a choice costs.
fn router_of(asked: &str) -> &str {
    asked.trim_end_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '-' | ',' | '%'))
}
