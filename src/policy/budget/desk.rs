//! Where calls wait for money that has to be asked for: one thread with the database's connection.
//!
//! Calls are served in the order in which they came. One is refused only when the database has been asked after it came
//! and has no more; where other replicas hold some, they are given a moment to return what they do not use. What could not
//! be had even if everybody else returned everything is asked for nowhere: no other call shall feel it.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(test)]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::database::Database;
use super::lease::{self, Ask, Need, SLICES, Standing, Told};
use super::slot::{Aside, Money, Short, Slot};
use crate::error::{Error, Kind, Result};
use crate::ledger::place::Place;

/// How often it is looked whether something is to be told or asked.
const TICK: Duration = Duration::from_millis(250);
/// What is spent is told after this time.
const REPORT: Duration = Duration::from_secs(1);
/// What is not used for this long is given back.
const IDLE: Duration = Duration::from_secs(1);
/// What others do is looked at so often, for those who ask how budgets stand.
const LOOK: Duration = Duration::from_secs(5);
/// A lease is renewed after this time, which is well before it ends.
const RENEW: Duration = Duration::from_secs(8);
/// A call that was asked for in vain waits for what other replicas do not use until all of them have told what that is, but
/// no longer than this; it is asked for so often.
const GRACE: Duration = Duration::from_secs(2);
const ASK_AGAIN: Duration = Duration::from_millis(100);
/// Pauses after the database failed.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// More calls do not wait at a time.
const MOST: usize = 20_000;

/// The money that was waited for, or why there is none.
pub(super) type Answer = Result<Aside, Box<Short>>;

/// The counter, and the thread behind it.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    work: Condvar,
    done: Condvar,
    /// The next turn is to fail as no turn should.
    #[cfg(test)]
    pub(super) falls: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Waiting>,
    /// How many of them no question has been asked for.
    fresh: usize,
    slots: Vec<Arc<Slot>>,
    /// There is something to do before the next tick.
    nudged: bool,
    closing: bool,
    ended: bool,
    trouble: Option<Error>,
}

#[derive(Debug)]
struct Waiting {
    slots: Arc<[Arc<Slot>]>,
    amount: i64,
    /// When it was first asked for in vain, by our clock and by the database's.
    denied: Option<(Instant, i64)>,
    tell: Option<oneshot::Sender<Answer>>,
}

impl Desk {
    /// Connects and starts.
    ///
    /// # Errors
    /// [`Kind::Io`] where the database cannot be had.
    pub(super) fn open(place: &Place) -> Result<Arc<Self>> {
        let (state, work, done) = (Mutex::default(), Condvar::new(), Condvar::new());
        let desk = Arc::new(Self {
            state,
            work,
            done,
            #[cfg(test)]
            falls: AtomicBool::new(false),
        });
        let number = getrandom::u64().map_err(|error| Error::new(Kind::Io, format!("no random number: {error}")))?;
        let (opened, heard) = mpsc::channel();
        let (mine, place) = (Arc::clone(&desk), place.clone());
        std::thread::Builder::new()
            .name("ferroute-budgets".into())
            .spawn(move || {
                let ending = Ending(&mine);
                let database = Database::open(&place);
                let failed = database.is_err();
                let (database, told) = database.map_or_else(|error| (None, Err(error)), |open| (Some(open), Ok(())));
                if opened.send(told).is_ok() && !failed {
                    let replica = format!("{number:016x}");
                    let clerk = Clerk {
                        desk: ending.0,
                        place,
                        replica,
                        database,
                        pause: FIRST_PAUSE,
                        again_at: None,
                        looked: Instant::now(),
                    };
                    clerk.run();
                }
            })
            .map_err(|error| Error::new(Kind::Io, format!("the budgets' thread could not be started: {error}")))?;
        heard.recv().map_err(|_| Error::new(Kind::Io, "the budgets' thread ended while it started"))??;
        Ok(desk)
    }

    /// Takes a budget under its care.
    pub(super) fn add(&self, slot: Arc<Slot>) {
        let mut state = self.state();
        state.slots.push(slot);
        state.nudged = true;
        drop(state);
        self.work.notify_one();
    }

    /// Waits in the queue; `None` where it is too long, or closed.
    pub(super) fn wait(&self, slots: &Arc<[Arc<Slot>]>, amount: i64) -> Option<oneshot::Receiver<Answer>> {
        let (tell, told) = oneshot::channel();
        let mut state = self.state();
        if state.ended || state.queue.len() >= MOST {
            return None;
        }
        for slot in &**slots {
            slot.waiting.fetch_add(1, Ordering::Relaxed);
        }
        state.queue.push_back(Waiting { slots: Arc::clone(slots), amount, denied: None, tell: Some(tell) });
        state.fresh += 1;
        drop(state);
        self.work.notify_one();
        Some(told)
    }

    /// Something is to be done before the next tick: somebody gave money back, or little is left.
    pub(super) fn nudge(&self) {
        self.state().nudged = true;
        self.work.notify_one();
    }

    /// Why the database cannot be had, where it cannot.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.state().trouble.clone()
    }

    /// Whether nobody is there any more: whatever is not lent already cannot be had.
    pub(super) fn has_ended(&self) -> bool {
        self.state().ended
    }

    /// Gives back what is lent but for what calls under way may come to, tells what was spent, and ends.
    pub(super) fn close(&self, limit: Duration) {
        let mut state = self.state();
        state.closing = true;
        self.work.notify_one();
        let by = Instant::now() + limit;
        while !state.ended {
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Says that the thread has ended, even when it panics: nobody shall wait for it.
struct Ending<'a>(&'a Desk);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.ended = true;
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        drop(queue);
        self.0.done.notify_all();
    }
}

impl Waiting {
    /// Its answer; what nobody takes any more is free again.
    fn answer(mut self, answer: Answer) {
        if let Some(tell) = self.tell.take() {
            // It waits no longer when it hears of it.
            drop(self);
            drop(tell.send(answer));
        }
    }

    /// Whether nobody wants the answer any more.
    fn is_left(&self) -> bool {
        self.tell.as_ref().is_none_or(oneshot::Sender::is_closed)
    }

    /// Whether its budgets could pay for it at all, as far as is known.
    fn could(&self) -> bool {
        self.slots.iter().all(|slot| slot.money().could(self.amount))
    }

    /// The budget that does not pay for it, after it was asked for, and whether others may yet return enough; `None` where
    /// there is enough, or was before somebody else took it.
    fn lack(&self, asked: &Asked) -> Option<(bool, Box<Short>)> {
        let mut found: Option<(bool, Box<Short>)> = None;
        for slot in &*self.slots {
            let money = slot.money().clone();
            let (idle, lease, could) = (money.idle(), &money.lease, money.could(self.amount));
            let is_there = idle.saturating_add(lease.left.max(0)) >= self.amount;
            if idle >= self.amount || could && (is_there || !asked.contains(&slot.key())) {
                continue;
            }
            let all = idle.saturating_add(lease.left).saturating_add(lease.others);
            let others = could && lease.others > 0 && all >= self.amount;
            // One that never can decides.
            if found.as_ref().is_none_or(|(before, _)| *before && !others) {
                found = Some((others, self.short(slot, money)));
            }
        }
        found
    }

    fn short(&self, slot: &Arc<Slot>, money: Money) -> Box<Short> {
        Box::new(Short { slot: Arc::clone(slot), money, needed: self.amount, unknown: false })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        for slot in &*self.slots {
            slot.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The one behind the counter.
struct Clerk<'a> {
    desk: &'a Desk,
    place: Place,
    replica: String,
    database: Option<Database>,
    pause: Duration,
    again_at: Option<Instant>,
    /// When it was last looked at what others do.
    looked: Instant,
}

/// The budgets of which more was asked for.
type Asked = HashSet<(u64, i64)>;

/// What is to be done now.
struct Turn {
    slots: Vec<Arc<Slot>>,
    /// What the queue needs of them.
    waits: HashMap<(u64, i64), Waits>,
    /// Those of the queue that could be served, in their order: what they need of which budgets.
    queue: Vec<(Arc<[Arc<Slot>]>, i64)>,
    /// How many of the queue this turn is for.
    waiting: usize,
    closing: bool,
}

/// What calls need of one budget.
#[derive(Debug, Default)]
struct Waits {
    /// All of them together.
    all: i64,
    /// Each of those that have not been asked for in vain yet.
    fresh: Vec<i64>,
}

impl Clerk<'_> {
    fn run(mut self) {
        loop {
            // Whatever goes wrong in one turn: without this thread no call would ever be paid for again.
            let closing = catch_unwind(AssertUnwindSafe(|| self.turn())).unwrap_or_else(|_| self.fallen());
            if closing {
                break;
            }
        }
        if let Some(database) = self.database.take() {
            database.close();
        }
    }

    /// One round; whether it was the last.
    fn turn(&mut self) -> bool {
        let turn = self.next();
        #[cfg(test)]
        if self.desk.falls.swap(false, Ordering::Relaxed) {
            std::panic::resume_unwind(Box::new("a turn that fails"));
        }
        let asked = self.ask(&turn);
        self.desk.state().trouble = asked.as_ref().err().cloned();
        self.serve(turn.waiting, asked.ok().as_ref());
        self.forget();
        turn.closing
    }

    /// After a turn that went wrong: who waits is told that nobody knows, and the next one begins with a new connection.
    fn fallen(&mut self) -> bool {
        self.database = None;
        let mut state = self.desk.state();
        state.trouble = Some(Error::new(Kind::Io, "the budgets' thread has met a mistake of its own"));
        let queue = std::mem::take(&mut state.queue);
        let closing = state.closing;
        drop(state);
        drop(queue);
        std::thread::sleep(FIRST_PAUSE);
        closing
    }

    /// Waits until something is to be done.
    fn next(&self) -> Turn {
        let mut state = self.desk.state();
        while !state.closing && state.fresh == 0 && !state.nudged {
            // Somebody who waits for others asks more often.
            let limit = if state.queue.is_empty() { TICK } else { ASK_AGAIN };
            let limit = if state.slots.is_empty() { Duration::from_hours(1) } else { limit };
            let (back, waited) = self.desk.work.wait_timeout(state, limit).unwrap_or_else(PoisonError::into_inner);
            state = back;
            if waited.timed_out() {
                break;
            }
        }
        (state.fresh, state.nudged) = (0, false);
        let (mut waits, mut queue) = (HashMap::<(u64, i64), Waits>::new(), Vec::new());
        for waiting in state.queue.iter().filter(|waiting| !waiting.is_left() && waiting.could()) {
            for slot in &*waiting.slots {
                let waits = waits.entry(slot.key()).or_default();
                waits.all = waits.all.saturating_add(waiting.amount);
                if waiting.denied.is_none() {
                    waits.fresh.push(waiting.amount);
                }
            }
            queue.push((Arc::clone(&waiting.slots), waiting.amount));
        }
        Turn { slots: state.slots.clone(), waits, queue, waiting: state.queue.len(), closing: state.closing }
    }

    /// Tells the database what there is to tell, and asks for what is needed.
    fn ask(&mut self, turn: &Turn) -> Result<Asked> {
        if self.again_at.is_some_and(|at| Instant::now() < at) && !turn.closing {
            return Err(self.desk.trouble().unwrap_or_else(|| Error::new(Kind::Io, "the database cannot be had")));
        }
        match self.asked(turn) {
            Ok(asked) => {
                (self.again_at, self.pause) = (None, FIRST_PAUSE);
                Ok(asked)
            }
            Err(error) => {
                // Who knows what state it is in.
                self.database = None;
                self.again_at = Some(Instant::now() + self.pause);
                self.pause = (2 * self.pause).min(LONGEST_PAUSE);
                Err(error)
            }
        }
    }

    fn asked(&mut self, turn: &Turn) -> Result<Asked> {
        let database = match &mut self.database {
            Some(database) => database,
            none => none.insert(Database::open(&self.place)?),
        };
        let holds = |slot: &Arc<Slot>| slot.money().lease.is_there;
        if self.looked.elapsed() >= LOOK {
            self.looked = Instant::now();
            let now = lease::now(database)?;
            look(&turn.slots, &lease::standing(database, &self.replica, now)?);
        }
        let wanted = if turn.slots.iter().any(holds) {
            let now = lease::now(database)?;
            lease::wanted(database, now.saturating_sub(lease::WANTED))?
        } else {
            Vec::new()
        };
        let wanted_of = |slot: &Slot| {
            let mut found = wanted.iter().filter(|(id, starts, _)| **id == *slot.id && *starts == slot.span.0);
            found.next().map(|(.., at)| *at)
        };
        let asks: Vec<Ask<'_>> = turn
            .slots
            .iter()
            .filter_map(|slot| question(slot, turn.waits.get(&slot.key()), wanted_of(slot), turn.closing))
            .collect();
        if asks.is_empty() {
            return Ok(Asked::new());
        }
        let places: HashMap<(u64, i64), usize> =
            asks.iter().enumerate().map(|(at, ask)| (ask.slot.key(), at)).collect();
        let need = |(slots, amount): &(Arc<[Arc<Slot>]>, i64)| Need {
            amount: *amount,
            // What is not asked for is there.
            of: slots.iter().filter_map(|slot| places.get(&slot.key()).copied()).collect(),
        };
        let needs: Vec<Need> = turn.queue.iter().map(need).collect();
        let replica = &*self.replica;
        let answers = database.transaction(|database| {
            let now = lease::now(database)?;
            lease::tell(database, replica, &asks, &needs, now)
        })?;
        for (ask, told) in asks.iter().zip(answers) {
            heard(ask.slot, told);
        }
        Ok(asks.iter().filter(|ask| ask.waits).map(|ask| ask.slot.key()).collect())
    }

    /// Serves those for whom it was asked, in their order; `asked`: where more was asked for, if anybody could be.
    fn serve(&self, count: usize, asked: Option<&Asked>) {
        let mut state = self.desk.state();
        let count = count.min(state.queue.len());
        let later = state.queue.split_off(count);
        let now = std::mem::replace(&mut state.queue, later);
        drop(state);
        let (mut still, mut again) = (VecDeque::new(), false);
        for mut waiting in now {
            if waiting.is_left() {
                continue;
            }
            let mut short = match Aside::take(&waiting.slots, waiting.amount) {
                Ok(taken) => {
                    waiting.answer(Ok(taken.aside));
                    continue;
                }
                Err(short) => short,
            };
            let Some(asked) = asked else {
                short.unknown = waiting.could();
                waiting.answer(Err(short));
                continue;
            };
            let Some((others, short)) = waiting.lack(asked) else {
                // Somebody else took what was meant for it, and there is more.
                again = true;
                still.push_back(waiting);
                continue;
            };
            let lease = &short.money.lease;
            let (since, at) = *waiting.denied.get_or_insert_with(|| (Instant::now(), lease.at));
            let waits = others && lease.others_heard < at && since.elapsed() < GRACE;
            if waits { still.push_back(waiting) } else { waiting.answer(Err(short)) }
        }
        if !still.is_empty() {
            let mut state = self.desk.state();
            still.append(&mut state.queue);
            state.queue = still;
            state.nudged |= again;
        }
    }

    /// Lets go of periods that are over and have nothing left to tell.
    fn forget(&self) {
        let now = super::period::now();
        self.desk.state().slots.retain(|slot| {
            let money = slot.money();
            now < slot.span.1
                || money.reserved > 0
                || money.lease.is_there
                || money.lease.limbo > 0
                || money.spent != money.lease.reported
                || slot.waiting.load(Ordering::Relaxed) > 0
        });
    }
}

/// What a budget is to be asked now, if anything. What it gives back is nobody's from here on.
fn question<'a>(slot: &'a Slot, waits: Option<&Waits>, wanted: Option<i64>, closing: bool) -> Option<Ask<'a>> {
    let mut money = slot.money();
    let idle = money.idle();
    let more = slot.low.swap(false, Ordering::Relaxed);
    let over = super::period::now() >= slot.span.1;
    let slice = money.limit / SLICES;
    // Those who wait get what suffices for them of it. For others it is no reason to keep it: they would have it from
    // the database in the same moment.
    let kept = waits.map_or(0, |waits| {
        let fits = |kept: i64, more: &i64| kept.checked_add(*more).filter(|sum| *sum <= idle).unwrap_or(kept);
        waits.fresh.iter().fold(0, fits)
    });
    let spare = idle.saturating_sub(kept);
    if spare > 0 {
        // Where nothing is left, somebody else needs it.
        let all = closing || over || wanted.is_some() || money.lease.left <= 0 || money.used.elapsed() >= IDLE;
        let back = if all { spare } else { spare.saturating_sub(slice).max(0) };
        // What expired leases had is counted as spent already.
        let back = back.min(money.granted.saturating_sub(money.lease.closed)).max(0);
        money.granted = money.granted.saturating_sub(back);
        money.lease.limbo = money.lease.limbo.saturating_add(back);
    }
    let waits = waits.is_some_and(|waits| waits.all > money.idle());
    // Somebody waits to hear that we have nothing to spare.
    let unheard = wanted.is_some_and(|at| at > money.lease.answered);
    money.lease.answered = money.lease.answered.max(wanted.unwrap_or(0));
    let since = money.lease.asked.map(|asked| asked.elapsed());
    let due = |limit: Duration| since.is_none_or(|since| since >= limit);
    let asks = waits
        || more
        || money.lease.limbo > 0
        || money.lease.asked.is_none()
        || money.spent != money.lease.reported && (due(REPORT) || closing)
        || money.lease.is_there && (due(RENEW) || closing || unheard);
    asks.then(|| Ask { slot, money: money.clone(), waits, more: more && idle < slice })
}

/// Enters what others have spent and hold.
fn look(slots: &[Arc<Slot>], found: &[Standing]) {
    let found: HashMap<(&str, i64), &Standing> =
        found.iter().map(|standing| ((&*standing.of.0, standing.of.1), standing)).collect();
    for slot in slots {
        let Some(standing) = found.get(&(&*slot.id, slot.span.0)) else { continue };
        let mut money = slot.money();
        let lease = &money.lease;
        let given = money.granted.saturating_sub(lease.closed).saturating_add(lease.limbo);
        let ours = given.saturating_sub(lease.reported.saturating_sub(lease.closed).max(0));
        let rest = money.limit.saturating_sub(standing.spent).saturating_sub(standing.others).saturating_sub(ours);
        (money.lease.spent, money.lease.others, money.lease.left) = (standing.spent, standing.others, rest);
    }
}

/// Enters what the database said.
fn heard(slot: &Slot, told: Told) {
    let mut money = slot.money();
    money.granted = money.granted.saturating_add(told.added);
    money.lease = told.lease;
    money.lease.asked = Some(Instant::now());
}
