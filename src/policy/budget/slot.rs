//! The money of one budget in one period, as this process knows it.
//!
//! What is set aside is an [`Aside`], which gives it back when it is dropped, so nothing can be forgotten. Several budgets
//! are asked at once, under their locks, so a call that one of them cannot pay is never in the way of another at the others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// One budget in one period.
#[derive(Debug)]
pub(super) struct Slot {
    /// Which budget.
    pub id: Arc<str>,
    /// First second of the period and the first after it.
    pub span: (i64, i64),
    /// The order in which locks are taken.
    pub order: u64,
    money: Mutex<Money>,
    /// Calls that wait for money of it.
    pub waiting: AtomicUsize,
    /// Little is left of what was lent, and there may be more.
    pub low: AtomicBool,
    /// Whether its money is lent by a database.
    lent: bool,
}

/// In picodollars.
#[derive(Debug, Clone)]
pub(super) struct Money {
    /// The budget.
    pub limit: i64,
    /// What may be spent here: the limit, or what the database has lent in all.
    pub granted: i64,
    /// What calls have come to.
    pub spent: i64,
    /// What calls under way may come to.
    pub reserved: i64,
    /// When something was last set aside.
    pub used: Instant,
    pub lease: Lease,
}

/// What the database knows, or is to be told. Only the desk changes it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lease {
    /// There is a row of ours.
    pub is_there: bool,
    /// Of what was granted: lent by leases that are closed. The database has all of that as spent.
    pub closed: i64,
    /// Given back, where it is not known whether the database has heard of it.
    pub limbo: i64,
    /// Of what was spent: the database has heard of it.
    pub reported: i64,
    /// What all replicas have spent, as the database said last.
    pub spent: i64,
    /// What is lent to others, as it said last.
    pub others: i64,
    /// Of whom lacks money since then, all of these others have heard: by the database's clock, in microseconds since 1970.
    pub others_heard: i64,
    /// Of whom lacks money since then, we have heard, and have given back what is not used.
    pub answered: i64,
    /// What it could still lend, as it said last.
    pub left: i64,
    /// When that was, by its clock.
    pub at: i64,
    /// When it was asked last.
    pub asked: Option<Instant>,
}

impl Money {
    /// Neither spent nor set aside; negative where calls cost more than they could.
    pub(super) fn idle(&self) -> i64 {
        self.granted.saturating_sub(self.spent).saturating_sub(self.reserved)
    }

    /// As far as is known, what all replicas have spent.
    pub(super) fn all_spent(&self) -> i64 {
        // Of closed leases the database has everything as spent already.
        let of_lease = |spent: i64| spent.saturating_sub(self.lease.closed).max(0);
        self.lease.spent.saturating_add(of_lease(self.spent).saturating_sub(of_lease(self.lease.reported)))
    }

    /// Whether so much could be had if nobody else had set anything aside. What is known of others may be old, but what
    /// they have spent never gets less.
    pub(super) fn could(&self, amount: i64) -> bool {
        let of_closed = self.lease.closed.saturating_sub(self.spent).max(0);
        let unspent = self.limit.saturating_sub(self.all_spent()).saturating_add(of_closed);
        amount <= unspent.max(self.idle())
    }
}

/// Why money could not be set aside.
#[derive(Debug, Clone)]
pub(super) struct Short {
    /// The budget that lacks it.
    pub slot: Arc<Slot>,
    /// How it stood.
    pub money: Money,
    /// How much was asked for.
    pub needed: i64,
    /// The database cannot be had, so nobody knows whether there is more.
    pub unknown: bool,
}

impl Slot {
    /// Of a budget that is all ours.
    pub(super) fn alone(id: Arc<str>, span: (i64, i64), order: u64, limit: i64) -> Self {
        Self::new(id, span, order, limit, false)
    }

    /// Of a budget that a database lends.
    pub(super) fn lent(id: Arc<str>, span: (i64, i64), order: u64, limit: i64) -> Self {
        Self::new(id, span, order, limit, true)
    }

    fn new(id: Arc<str>, span: (i64, i64), order: u64, limit: i64, lent: bool) -> Self {
        let granted = if lent { 0 } else { limit };
        // Until the database has been asked, all of it may be there.
        let lease = Lease { left: if lent { limit } else { 0 }, ..Lease::default() };
        let money = Money { limit, granted, spent: 0, reserved: 0, used: Instant::now(), lease };
        let (waiting, low) = (AtomicUsize::new(0), AtomicBool::new(false));
        Self { id, span, order, money: Mutex::new(money), waiting, low, lent }
    }

    /// Its money, for as long as nobody else looks.
    pub(super) fn money(&self) -> MutexGuard<'_, Money> {
        self.money.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells it from other budgets and periods.
    pub(super) fn key(&self) -> (u64, i64) {
        (self.order, self.span.0)
    }

    /// Gives it another limit.
    pub(super) fn limit(&self, limit: i64) {
        let mut money = self.money();
        money.limit = limit;
        if !self.lent {
            money.granted = limit;
        }
    }

    /// Whether little is left, so that more should be asked for before somebody has to wait. Said once.
    fn runs_low(&self, money: &Money) -> bool {
        self.lent && money.lease.left > 0 && money.idle() < money.limit / 200 && !self.low.swap(true, Ordering::Relaxed)
    }
}

/// Budgets in the order in which their locks are taken, none of them twice.
pub(super) fn in_order(mut slots: Vec<Arc<Slot>>) -> Arc<[Arc<Slot>]> {
    slots.sort_by_key(|slot| slot.order);
    slots.dedup_by_key(|slot| slot.order);
    slots.into()
}

/// Money set aside in some budgets, the same amount in each. Dropped, it is free again.
#[derive(Debug)]
pub(super) struct Aside {
    slots: Arc<[Arc<Slot>]>,
    amount: i64,
}

/// Money that was set aside, and whether a budget should be lent more.
#[derive(Debug)]
pub(super) struct Taken {
    pub aside: Aside,
    pub low: bool,
}

impl Aside {
    /// Sets `amount` aside in all of `slots` (see [`in_order`]), or in none.
    pub(super) fn take(slots: &Arc<[Arc<Slot>]>, amount: i64) -> Result<Taken, Box<Short>> {
        let amount = amount.max(0);
        let mut all: Vec<MutexGuard<'_, Money>> = slots.iter().map(|slot| slot.money()).collect();
        // What costs nothing needs nothing, also where more was spent than there was.
        let lacks = |money: &MutexGuard<'_, Money>| amount > 0 && money.idle() < amount;
        if let Some(at) = all.iter().position(lacks) {
            let (slot, money) = (Arc::clone(&slots[at]), all[at].clone());
            return Err(Box::new(Short { slot, money, needed: amount, unknown: false }));
        }
        let now = Instant::now();
        let mut low = false;
        for (slot, money) in slots.iter().zip(&mut all) {
            money.reserved = money.reserved.saturating_add(amount);
            money.used = now;
            low |= slot.runs_low(money);
        }
        Ok(Taken { aside: Self { slots: Arc::clone(slots), amount }, low })
    }

    /// How much it is.
    pub(super) fn amount(&self) -> i64 {
        self.amount
    }

    /// Of which budgets.
    pub(super) fn slots(&self) -> &Arc<[Arc<Slot>]> {
        &self.slots
    }

    /// Makes it smaller.
    pub(super) fn shrink(&mut self, to: i64) {
        let more = self.amount - to.clamp(0, self.amount);
        self.free(more);
    }

    /// Makes it larger, if there is enough.
    pub(super) fn grow(&mut self, to: i64) -> Result<(), Box<Short>> {
        let more = Self::take(&self.slots, to.saturating_sub(self.amount))?;
        // The two are one now.
        let added = more.aside.keep();
        self.amount = self.amount.saturating_add(added);
        Ok(())
    }

    /// Forgets it without giving it back.
    fn keep(mut self) -> i64 {
        std::mem::take(&mut self.amount)
    }

    /// It is over: of the budget at `at`, `cost` was spent; what was not is free again.
    pub(super) fn settle(mut self, cost: impl Fn(&Slot) -> i64) {
        let amount = std::mem::take(&mut self.amount);
        for slot in &*self.slots {
            let cost = cost(slot).max(0);
            let mut money = slot.money();
            money.reserved = money.reserved.saturating_sub(amount);
            money.spent = money.spent.saturating_add(cost);
        }
    }

    fn free(&mut self, part: i64) {
        if part > 0 {
            self.amount -= part;
            for slot in &*self.slots {
                let mut money = slot.money();
                money.reserved = money.reserved.saturating_sub(part);
            }
        }
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        self.free(self.amount);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn slot(order: u64, limit: i64) -> Arc<Slot> {
        Arc::new(Slot::alone(format!("b{order}").into(), (0, 86_400), order, limit))
    }

    #[test]
    fn all_or_none() {
        let (rich, poor) = (slot(0, 100), slot(1, 10));
        let both = in_order(vec![Arc::clone(&poor), Arc::clone(&rich), Arc::clone(&poor)]);
        assert_eq!(both.len(), 2);
        let short = Aside::take(&both, 11).unwrap_err();
        assert_eq!((&*short.slot.id, short.needed, rich.money().reserved), ("b1", 11, 0));
        let aside = Aside::take(&both, 10).unwrap().aside;
        assert!(Aside::take(&both, 1).is_err() && Aside::take(&both, 0).is_ok());
        drop(aside);
        Aside::take(&both, 10).unwrap().aside.settle(|slot| if &*slot.id == "b1" { 4 } else { 7 });
        assert_eq!(rich.money().idle(), 93);
        assert_eq!(poor.money().idle(), 6);
    }

    #[test]
    fn an_aside_grows_while_there_is_enough() {
        let one = in_order(vec![slot(0, 10)]);
        let mut aside = Aside::take(&one, 4).unwrap().aside;
        aside.grow(9).unwrap();
        assert!(aside.grow(11).is_err());
        assert_eq!((aside.amount(), one[0].money().reserved), (9, 9));
        aside.shrink(2);
        assert_eq!((aside.amount(), one[0].money().idle()), (2, 8));
        drop(aside);
        assert_eq!(one[0].money().reserved, 0);
    }

    #[derive(Debug, Clone)]
    enum Move {
        Take(Vec<bool>, i64),
        Drop(usize),
        Settle(usize, i64),
        Grow(usize, i64),
    }

    fn moves() -> impl Strategy<Value = Vec<Move>> {
        let one = prop_oneof![
            (prop::collection::vec(any::<bool>(), 3), 0_i64..40).prop_map(|(which, amount)| Move::Take(which, amount)),
            any::<usize>().prop_map(Move::Drop),
            (any::<usize>(), 0_i64..=100).prop_map(|(at, percent)| Move::Settle(at, percent)),
            (any::<usize>(), 0_i64..60).prop_map(|(at, to)| Move::Grow(at, to)),
        ];
        prop::collection::vec(one, 0..120)
    }

    proptest! {
        /// Whatever is done in whatever order: spent + reserved stays within the limit, a call is refused only where
        /// the rest does not cover it, and at the end nothing is set aside.
        #[test]
        fn no_interleaving_passes_a_limit(limits in prop::array::uniform3(0_i64..100), moves in moves()) {
            let slots: Vec<_> = limits.iter().enumerate().map(|(at, limit)| slot(at as u64, *limit)).collect();
            let mut open: Vec<Aside> = Vec::new();
            let mut spent = [0; 3];
            for step in moves {
                match step {
                    Move::Take(which, amount) => {
                        let chosen = slots.iter().zip(which).filter(|(_, is)| *is).map(|(slot, _)| Arc::clone(slot));
                        let chosen = in_order(chosen.collect());
                        let covered = amount == 0 || chosen.iter().all(|slot| slot.money().idle() >= amount);
                        let taken = Aside::take(&chosen, amount);
                        prop_assert_eq!(taken.is_ok(), covered);
                        open.extend(taken.map(|taken| taken.aside));
                    }
                    Move::Drop(at) if !open.is_empty() => drop(open.swap_remove(at % open.len())),
                    Move::Settle(at, percent) if !open.is_empty() => {
                        let aside = open.swap_remove(at % open.len());
                        let cost = aside.amount() * percent / 100;
                        aside.slots().iter().for_each(|slot| spent[slot.order as usize] += cost);
                        aside.settle(|_| cost);
                    }
                    Move::Grow(at, to) if !open.is_empty() => {
                        let at = at % open.len();
                        let to = to.max(open[at].amount());
                        let _ = open[at].grow(to);
                    }
                    _ => {}
                }
                for (slot, limit) in slots.iter().zip(limits) {
                    let money = slot.money();
                    prop_assert!(money.spent + money.reserved <= limit, "{:?}", money);
                    prop_assert!(money.reserved >= 0);
                }
            }
            drop(open);
            for (slot, spent) in slots.iter().zip(spent) {
                let money = slot.money();
                prop_assert_eq!((money.spent, money.reserved), (spent, 0));
            }
        }
    }

    #[test]
    fn threads_take_exactly_what_there_is() {
        let shared = in_order(vec![slot(0, 500), slot(1, 1000)]);
        let served: usize = std::thread::scope(|scope| {
            let work = || {
                let take = |_: &usize| match Aside::take(&shared, 1) {
                    Ok(taken) => {
                        taken.aside.settle(|_| 1);
                        true
                    }
                    Err(_) => false,
                };
                (0..125).filter(take).count()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((served, shared[0].money().spent, shared[1].money().spent), (500, 500, 500));
    }
}
