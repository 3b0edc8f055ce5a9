//! All budgets of a server, from one reload of its configuration to the next.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::desk::{Answer, Desk};
use super::period;
use super::slot::{Aside, Short, Slot};
use crate::error::{Error, Result};
use crate::ledger::place::Place;
use crate::policy::rules::{Budget, Period, Who};
use crate::pricing::pico;

/// The money of all budgets: in this process alone, or lent by a database that other processes use as well.
///
/// One lives as long as its server. Budgets are found again by whom they are for and their period, so a reload that changes
/// a limit keeps what was spent.
pub struct Bank {
    accounts: RwLock<HashMap<String, Arc<Account>>>,
    orders: AtomicU64,
    desk: Option<Arc<Desk>>,
}

/// One budget, period after period.
#[derive(Debug)]
pub(super) struct Account {
    id: Arc<str>,
    /// For whom it is.
    pub who: Who,
    /// How long it lasts.
    pub period: Period,
    order: u64,
    limit: AtomicI64,
    current: ArcSwap<Slot>,
    turn: Mutex<()>,
}

/// What came of setting money aside.
pub(super) enum Got {
    /// It is known at once.
    Now(Answer),
    /// The database is asked.
    Later(oneshot::Receiver<Answer>, Arc<[Arc<Slot>]>, i64),
}

impl Bank {
    /// Of the ledger's URL: `memory:` is this process's own and forgotten with it; in `sqlite:` and `postgresql:` budgets
    /// outlive it and hold for all processes together.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for another form; [`Kind::Io`](crate::Kind::Io) when the database cannot be had.
    pub fn open(url: &str) -> Result<Arc<Self>> {
        let place = Place::parse(url)?;
        let desk = if matches!(place, Place::Memory) { None } else { Some(Desk::open(&place)?) };
        Ok(Arc::new(Self { accounts: RwLock::default(), orders: AtomicU64::new(0), desk }))
    }

    /// Gives back what is lent, but for what calls under way may come to, and tells what was spent: for the end of a server,
    /// after the last call. What cannot be told within `limit` counts as spent when the lease ends.
    pub fn close(&self, limit: Duration) {
        if let Some(desk) = &self.desk {
            desk.close(limit);
        }
    }

    /// Why the database cannot be had, where it cannot: calls are then paid from what is lent already.
    pub fn trouble(&self) -> Option<Error> {
        self.desk.as_ref()?.trouble()
    }

    /// Whether whoever keeps the budgets at the database is gone for good.
    pub fn has_ended(&self) -> bool {
        self.desk.as_ref().is_some_and(|desk| desk.has_ended())
    }

    /// The account of a budget, which gets this limit.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for a limit below 0 or above 9 million dollars.
    pub(super) fn account(&self, who: &Who, budget: &Budget) -> Result<Arc<Account>> {
        let limit = limit_of(budget)?;
        let id = id(who, budget.period);
        if let Some(account) = self.accounts.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            account.set(limit);
            return Ok(Arc::clone(account));
        }
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(id).or_insert_with_key(|id| {
            let (id, order) = (Arc::from(id.as_str()), self.orders.fetch_add(1, Ordering::Relaxed));
            let span = period::around(budget.period, period::now());
            let slot = self.slot(Arc::clone(&id), span, order, limit);
            let current = ArcSwap::new(slot);
            let (who, limit, turn) = (who.clone(), AtomicI64::new(limit), Mutex::new(()));
            Arc::new(Account { id, who, period: budget.period, order, limit, current, turn })
        });
        account.set(limit);
        Ok(Arc::clone(account))
    }

    fn slot(&self, id: Arc<str>, span: (i64, i64), order: u64, limit: i64) -> Arc<Slot> {
        let Some(desk) = &self.desk else { return Arc::new(Slot::alone(id, span, order, limit)) };
        let slot = Arc::new(Slot::lent(id, span, order, limit));
        desk.add(Arc::clone(&slot));
        slot
    }

    /// An account's money in the present period.
    pub(super) fn current(&self, account: &Account, now: i64) -> Arc<Slot> {
        let slot = account.current.load_full();
        // A clock that goes back does not bring a period back.
        if now < slot.span.1 {
            return slot;
        }
        let _turn = account.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = account.current.load_full();
        if now < slot.span.1 {
            return slot;
        }
        let span = period::around(account.period, now);
        let limit = account.limit.load(Ordering::Relaxed);
        let next = self.slot(Arc::clone(&account.id), span, account.order, limit);
        account.current.store(Arc::clone(&next));
        next
    }

    /// Sets `amount` aside in all of `slots`, or in none.
    pub(super) fn set_aside(&self, slots: &Arc<[Arc<Slot>]>, amount: i64) -> Got {
        let Some(desk) = &self.desk else { return Got::Now(Aside::take(slots, amount).map(|taken| taken.aside)) };
        // What can never be had is nobody's to wait for, least of all at the cost of others.
        if let Some(short) = never(slots, amount) {
            return Got::Now(Err(short));
        }
        // Who came before is served before.
        let queue = amount > 0 && slots.iter().any(|slot| slot.waiting.load(Ordering::Relaxed) > 0);
        if !queue && let Ok(taken) = Aside::take(slots, amount) {
            if taken.low {
                desk.nudge();
            }
            return Got::Now(Ok(taken.aside));
        }
        match desk.wait(slots, amount) {
            Some(told) => Got::Later(told, Arc::clone(slots), amount),
            None => Got::Now(Err(unknown(slots, amount))),
        }
    }

    /// Somebody has given money back: whoever waits for some of it may have it.
    pub(super) fn freed(&self, slots: &[Arc<Slot>]) {
        if let Some(desk) = &self.desk
            && slots.iter().any(|slot| slot.waiting.load(Ordering::Relaxed) > 0)
        {
            desk.nudge();
        }
    }
}

impl Got {
    /// The answer, when it is there.
    pub(super) async fn answer(self) -> Answer {
        match self {
            Self::Now(answer) => answer,
            // Whoever was to tell it is gone.
            Self::Later(told, slots, amount) => told.await.unwrap_or_else(|_| Err(unknown(&slots, amount))),
        }
    }
}

/// The limit in picodollars.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) for one below 0 or above 9 million dollars.
pub(crate) fn limit_of(budget: &Budget) -> Result<i64> {
    pico(budget.limit).filter(|limit| *limit >= 0).ok_or_else(|| {
        let found = budget.limit.normalize();
        Error::value(format!("a budget must be from 0 to 9000000 US dollars, found {found}"))
    })
}

/// Why an amount could not be had even if nobody else had set anything aside.
fn never(slots: &[Arc<Slot>], needed: i64) -> Option<Box<Short>> {
    let (slot, money) = slots.iter().find_map(|slot| {
        let money = slot.money();
        (needed > 0 && !money.could(needed)).then(|| (Arc::clone(slot), money.clone()))
    })?;
    Some(Box::new(Short { slot, money, needed, unknown: false }))
}

/// That nobody can say whether there is money.
fn unknown(slots: &[Arc<Slot>], needed: i64) -> Box<Short> {
    let lacking = slots.iter().find(|slot| slot.money().idle() < needed).unwrap_or(&slots[0]);
    Box::new(Short { slot: Arc::clone(lacking), money: lacking.money().clone(), needed, unknown: true })
}

impl Account {
    fn set(&self, limit: i64) {
        if self.limit.swap(limit, Ordering::Relaxed) != limit {
            self.current.load().limit(limit);
        }
    }

    /// Which lock of its is taken before which others.
    pub(super) fn order(&self) -> u64 {
        self.order
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.close(Duration::from_secs(2));
    }
}

impl fmt::Debug for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bank").field("lent", &self.desk.is_some()).finish_non_exhaustive()
    }
}

/// The name by which a budget is found again.
fn id(who: &Who, period: Period) -> String {
    let mut id = match period {
        Period::Day => "day",
        Period::Month => "month",
    }
    .to_owned();
    for (name, value) in [("key", &who.key), ("team", &who.team), ("model", &who.model)] {
        if let Some(value) = value {
            _ = write!(id, " {name}={value:?}");
        }
    }
    id
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::OnceLock;

    use rust_decimal::Decimal;

    use super::super::slot::in_order;
    use super::*;

    fn dollars(limit: i64) -> Budget {
        Budget { limit: limit.into(), period: Period::Day }
    }

    #[test]
    fn a_changed_limit_keeps_what_was_spent() {
        let bank = Bank::open("memory:").unwrap();
        let who = Who { team: Some("t".into()), ..Who::default() };
        let account = bank.account(&who, &dollars(5)).unwrap();
        let slots = in_order(vec![bank.current(&account, period::now())]);
        let five = pico(Decimal::from(5)).unwrap();
        let Got::Now(Ok(aside)) = bank.set_aside(&slots, five) else { unreachable!() };
        assert!(matches!(bank.set_aside(&slots, 1), Got::Now(Err(_))));
        let same = bank.account(&who, &dollars(6)).unwrap();
        assert!(Arc::ptr_eq(&account, &same));
        assert!(matches!(bank.set_aside(&slots, five / 5), Got::Now(Ok(_))));
        drop(aside);
        let other = bank.account(&who, &Budget { period: Period::Month, ..dollars(5) }).unwrap();
        assert!(!Arc::ptr_eq(&account, &other) && other.order() != account.order());
    }

    #[test]
    fn a_new_period_begins_afresh_and_none_comes_back() {
        let bank = Bank::open("memory:").unwrap();
        let account = bank.account(&Who::default(), &dollars(5)).unwrap();
        let today = bank.current(&account, period::now());
        let tomorrow = bank.current(&account, today.span.1);
        assert_eq!((tomorrow.span.0, tomorrow.money().idle()), (today.span.1, today.money().limit));
        assert!(Arc::ptr_eq(&bank.current(&account, period::now()), &tomorrow));
        // What was set aside yesterday is settled there.
        let Got::Now(Ok(aside)) = bank.set_aside(&in_order(vec![Arc::clone(&today)]), 7) else { unreachable!() };
        aside.settle(|_| 5);
        assert_eq!((today.money().spent, tomorrow.money().spent), (5, 0));
    }

    #[test]
    fn budgets_that_cannot_be_are_refused() {
        let bank = Bank::open("memory:").unwrap();
        for limit in [-1, 10_000_000] {
            let error = bank.account(&Who::default(), &dollars(limit)).unwrap_err();
            assert!(error.message().contains("9000000 US dollars"), "{error}");
        }
        let odd = Who { key: Some("a\" team=\"b".into()), ..Who::default() };
        let plain = Who { key: Some("a".into()), team: Some("b".into()), model: None };
        assert_ne!(id(&odd, Period::Day), id(&plain, Period::Day));
    }

    /// A bank at a file, the account of everybody with so many dollars, and its money.
    fn at(folder: &std::path::Path, limit: i64) -> (Arc<Bank>, Arc<[Arc<Slot>]>) {
        let bank = Bank::open(&format!("sqlite:///{}/a.db", folder.display())).unwrap();
        let account = bank.account(&Who::default(), &dollars(limit)).unwrap();
        let slots = in_order(vec![bank.current(&account, period::now())]);
        (bank, slots)
    }

    async fn take(bank: &Bank, slots: &Arc<[Arc<Slot>]>, amount: i64) -> Answer {
        bank.set_aside(slots, amount).answer().await
    }

    /// What its own row says is lent, by a connection of its own.
    fn lent(folder: &std::path::Path) -> i64 {
        let place = Place::parse(&format!("sqlite:///{}/a.db", folder.display())).unwrap();
        let look = move || {
            let mut database = super::super::database::Database::open(&place).unwrap();
            let rows = database.rows("SELECT amount FROM leases", &[]).unwrap();
            let sum = rows.iter().map(|row| row.number(0)).sum();
            database.close();
            sum
        };
        // It has a runtime of its own, which cannot be driven inside another.
        std::thread::spawn(look).join().unwrap()
    }

    const DOLLAR: i64 = 1_000_000_000_000;

    /// Where those stay that give nothing back; forgotten ones would be leaks to whoever looks for them.
    static KILLED: OnceLock<[Arc<Bank>; 2]> = OnceLock::new();

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_impossible_takes_nothing_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let ((first, of_first), (second, of_second)) = (at(folder.path(), 10), at(folder.path(), 10));
        // More than the limit, and more than what is left while others use the rest; all of the two at once.
        let used = take(&second, &of_second, 6 * DOLLAR).await.unwrap();
        for _ in 0..3 {
            let (never, not_now) = (take(&first, &of_first, i64::MAX), take(&first, &of_first, 9 * DOLLAR));
            let small = take(&first, &of_first, DOLLAR / 100);
            let (never, not_now, small) = tokio::join!(never, not_now, small);
            assert!(!never.unwrap_err().unknown && !not_now.unwrap_err().unknown);
            drop(small.unwrap());
            // A hundredth of the budget is all that may lie here, and nothing was taken from the other one.
            assert!(lent(folder.path()) <= 6 * DOLLAR + 2 * DOLLAR / 10, "{}", lent(folder.path()));
        }
        let rest = take(&second, &of_second, 3 * DOLLAR).await.unwrap();
        drop((used, rest));
        // Killed now: neither has given anything back, or ever will.
        KILLED.set([first, second]).unwrap();
        assert!(lent(folder.path()) <= 9 * DOLLAR + 2 * DOLLAR / 10);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_largest_amount_under_a_lowered_limit() {
        let folder = tempfile::tempdir().unwrap();
        let (bank, slots) = at(folder.path(), 10);
        take(&bank, &slots, 8 * DOLLAR).await.unwrap().settle(|_| 9 * DOLLAR);
        bank.close(Duration::from_secs(5));
        let (bank, slots) = at(folder.path(), 1);
        for amount in [1, i64::MAX, i64::MAX - 1] {
            assert!(!take(&bank, &slots, amount).await.unwrap_err().unknown);
        }
        assert!(take(&bank, &slots, 0).await.is_ok() && !bank.has_ended());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_turn_that_fails_is_not_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let (bank, slots) = at(folder.path(), 10);
        let desk = bank.desk.as_ref().unwrap();
        desk.falls.store(true, Ordering::Relaxed);
        // Whoever waits just then is told that nobody knows; a moment later all is well.
        let first = take(&bank, &slots, DOLLAR).await;
        assert!(first.is_ok() || first.unwrap_err().unknown);
        assert!(take(&bank, &slots, DOLLAR).await.is_ok());
        assert!(!bank.has_ended() && !desk.falls.load(Ordering::Relaxed));
        bank.close(Duration::from_secs(5));
        assert!(bank.has_ended());
    }
}
