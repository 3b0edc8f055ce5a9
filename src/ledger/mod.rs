//! The book of calls: one record each, written behind the caller's back, summed when somebody asks.
//!
//! [`Ledger::add`] moves a record into a queue. One thread a book and process takes what has come, makes rows of it
//! (features instead of the text) and writes them in one transaction: to `SQLite`, to `PostgreSQL`, or to memory.
//! Whoever asks waits until everything entered before is written, and reads by a connection of its own.

mod accuracy;
mod connect;
mod failures;
pub mod features;
mod guard;
mod habits;
mod memory;
mod moments;
mod pen;
pub mod picture;
pub(crate) mod place;
mod postgres;
mod queue;
pub mod recall;
mod record;
mod row;
mod score;
mod signs;
mod spend;
mod sqlite;
mod store;
mod writer;

pub use accuracy::{Accuracy, Rate, measure, rank};
pub use failures::{Counts, Failures, OfRung};
pub use habits::Habits;
pub use memory::REMEMBERED;
pub use moments::{FEWEST_HELD, Measured};
pub use record::{Asked, Outcome, Record};
pub use row::{Keep, Row};
pub use score::{DRAWN, Score, Scored, Tags, Wanted};
pub use signs::Signs;
pub use spend::{Filter, OfModel, Percentiles, Summary, Sums};

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak, mpsc};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};
use crate::process::PerProcess;

use place::Place;
use queue::{Shared, lock};
use score::Names;
use store::Store;
use writer::Running;

/// Whoever asks waits this long for what is still to be written, which a database that is there takes at most.
const ASKING: Duration = Duration::from_secs(12);

/// Another process may have made a call that is looked for, and takes this long at most to write it.
const ELSEWHERE: Duration = Duration::from_millis(150);

/// The writers of this process, for those who end or fork it.
static WRITERS: PerProcess<Mutex<Vec<Weak<Shared>>>> = PerProcess::new();
/// The books that are open in this process, by the place they are kept in: one place has one writer.
static BOOKS: PerProcess<Mutex<HashMap<String, Weak<Book>>>> = PerProcess::new();

/// A book of calls. Usable from any thread, and by the child after a fork.
#[derive(Debug)]
pub struct Ledger {
    book: Arc<Book>,
    keep: Keep,
}

#[derive(Debug)]
struct Book {
    place: Place,
    create: bool,
    /// A child has none of its parent's threads, and must not touch its connections.
    running: PerProcess<Running>,
    /// Calls that came when no writer could be started.
    lost: AtomicU64,
}

impl Ledger {
    /// Opens `memory:`, `sqlite:///path` or `postgresql://...`, and makes its tables where they are missing.
    ///
    /// # Errors
    /// [`Kind::Value`] for another form of URL; [`Kind::Io`] when the store cannot be opened.
    pub fn open(url: &str) -> Result<Arc<Self>> {
        Self::open_with(url, Keep::default(), true)
    }

    /// As [`open`](Self::open): what is kept of texts, and whether a missing file is made.
    ///
    /// # Errors
    /// As there; [`Kind::Missing`] for a file that is not there and not to be made.
    pub fn open_with(url: &str, keep: Keep, create: bool) -> Result<Arc<Self>> {
        let place = Place::parse(url)?;
        let new =
            || Arc::new(Book { place: place.clone(), create, running: PerProcess::new(), lost: AtomicU64::new(0) });
        let Some(identity) = place.identity() else {
            return Ok(Arc::new(Self { book: new(), keep }));
        };
        let book = {
            let mut books = lock(per_process(&BOOKS));
            books.retain(|_, book| book.strong_count() > 0);
            books.get(&identity).and_then(Weak::upgrade).unwrap_or_else(|| {
                let book = new();
                books.insert(identity, Arc::downgrade(&book));
                book
            })
        };
        book.start()?;
        Ok(Arc::new(Self { book, keep }))
    }

    /// Where it is kept, without a password.
    pub fn shown_url(&self) -> String {
        self.book.place.shown()
    }

    /// Whether it lives in this process only.
    pub fn is_in_memory(&self) -> bool {
        matches!(self.book.place, Place::Memory)
    }

    /// Whether it keeps the texts of calls.
    pub fn keeps_texts(&self) -> bool {
        self.keep == Keep::Text
    }

    /// Enters a call. Never waits for the store, but some milliseconds for the writer's thread where that gets no
    /// processor for want of a pause between calls.
    pub fn add(&self, record: Record) {
        if self.enter(record) {
            self.give_way();
        }
    }

    /// As [`add`](Self::add) without waiting; says whether one should [give way](Self::give_way), holding no lock.
    #[must_use]
    pub fn enter(&self, record: Record) -> bool {
        if let Ok(shared) = self.book.shared() {
            return shared.add(record, self.keep);
        }
        self.book.lost.fetch_add(1, Ordering::Relaxed);
        false
    }

    /// The other half of [`add`](Self::add).
    pub fn give_way(&self) {
        if let Ok(shared) = self.book.shared() {
            shared.give_way();
        }
    }

    /// Waits until everything entered so far is in the store.
    ///
    /// # Errors
    /// [`Kind::Timeout`] when that takes longer than `limit`; [`Kind::Io`] when the store refuses.
    pub fn flush(&self, limit: Duration) -> Result<()> {
        self.book.shared()?.flush(limit, true)
    }

    /// As [`flush`](Self::flush); then lets go of the store. A call that is entered later opens it again.
    ///
    /// # Errors
    /// As for [`flush`](Self::flush).
    pub fn close(&self, limit: Duration) -> Result<()> {
        let shared = self.book.shared()?;
        let until = Instant::now() + limit;
        let flushed = shared.flush(limit, true);
        shared.hold(until);
        shared.release();
        flushed
    }

    /// What is known of a model's answers, from this process and from the store when it was opened.
    pub fn habits(&self, model: &str) -> Option<Arc<Habits>> {
        self.book.shared().ok()?.learned.get(model)
    }

    /// What the calls a filter takes came to, those not yet written included.
    ///
    /// # Errors
    /// [`Kind::Io`] when the store cannot be read.
    pub fn spend(&self, filter: &Filter) -> Result<Summary> {
        let shared = self.book.shared()?;
        if self.is_in_memory() {
            // Memory takes everything.
            shared.flush(ASKING, false)?;
            let (groups, forgotten) = lock(&shared.memory).groups(filter);
            return Ok(Summary { lost: self.lost(), forgotten, ..groups.summary() });
        }
        let mut groups = spend::Groups::default();
        self.read(filter, &mut |row| groups.add(&row))?;
        Ok(Summary { lost: self.lost(), ..groups.summary() })
    }

    /// The calls a filter takes, by their time: the last `most` of them. A book in memory has the last
    /// [`REMEMBERED`] only.
    ///
    /// # Errors
    /// As for [`spend`](Self::spend).
    pub fn calls(&self, filter: &Filter, most: Option<usize>) -> Result<Vec<Row>> {
        let shared = self.book.shared()?;
        let mut rows = Vec::new();
        if self.is_in_memory() {
            shared.flush(ASKING, false)?;
            rows = lock(&shared.memory).rows(filter);
        } else {
            self.read(filter, &mut |row| rows.push(row))?;
            rows.sort_by_key(|row| (row.ts, row.id));
        }
        let too_many = rows.len().saturating_sub(most.unwrap_or(usize::MAX));
        rows.drain(..too_many);
        Ok(rows)
    }

    /// Answers that show a sign of failure, of the calls a filter takes. A book in memory has the last [`REMEMBERED`] only.
    ///
    /// # Errors
    /// As for [`spend`](Self::spend).
    pub fn failures(&self, filter: &Filter) -> Result<Failures> {
        let shared = self.book.shared()?;
        let mut groups = failures::Groups::default();
        let mut forgotten = 0;
        if self.is_in_memory() {
            shared.flush(ASKING, false)?;
            let memory = lock(&shared.memory);
            memory.rows(filter).iter().for_each(|row| groups.add(row));
            forgotten = memory.forgotten();
        } else {
            self.read(filter, &mut |row| groups.add(&row))?;
        }
        Ok(Failures { groups: groups.groups(), forgotten })
    }

    /// Enters the score of an answer, with the call's id in [`Score::call`] as [`find`](Self::find) gives it.
    ///
    /// # Errors
    /// [`Kind::Io`] when too many wait for a store that cannot be had.
    pub fn score(&self, score: Score) -> Result<()> {
        if self.book.shared()?.add_score(score.mended()) {
            return Ok(());
        }
        Err(Error::new(Kind::Io, format!("ledger {}: too many outcomes wait to be written", self.shown_url())))
    }

    /// The id of a call: one that was just entered, or one of any process that is in the store.
    ///
    /// # Errors
    /// [`Kind::Name`] where there is no such call; [`Kind::Io`] when the store cannot be read.
    pub fn find(&self, wanted: &Wanted) -> Result<i64> {
        let shared = self.book.shared()?;
        let wanted = match wanted {
            Wanted::Response(response, by) => Wanted::Response(row::name(response.clone()), *by),
            Wanted::Call(id) => Wanted::Call(*id),
        };
        let fresh = matches!(&wanted, Wanted::Response(response, _) if shared.may_hold(response));
        if let Some(id) = self.at_hand(shared, &wanted).filter(|_| !fresh) {
            return Ok(id);
        }
        // It may have been entered a moment ago; where it cannot be written, it is still made a row of.
        _ = shared.flush(ASKING, false);
        if let Some(id) = self.at_hand(shared, &wanted) {
            return Ok(id);
        }
        if self.is_in_memory() {
            return Err(self.unknown(&wanted));
        }
        let mut found = self.ask(|store| store.find(&wanted))?;
        if found.is_none() && matches!(wanted, Wanted::Response(..)) {
            std::thread::sleep(ELSEWHERE);
            found = self.ask(|store| store.find(&wanted))?;
        }
        found.ok_or_else(|| self.unknown(&wanted))
    }

    /// With which probability a call was drawn for a shadow; `None` where it was not.
    ///
    /// # Errors
    /// As for [`find`](Self::find).
    pub fn drawn(&self, wanted: &Wanted) -> Result<Option<f64>> {
        let call = self.find(wanted)?;
        let shared = self.book.shared()?;
        let waiting = shared.unwritten_scores();
        let found = waiting.iter().rev().find(|score| score.call == call && score.source == DRAWN);
        match found {
            Some(score) => Ok(score.probability),
            None if self.is_in_memory() => Ok(lock(&shared.memory).drawn(call)),
            None => self.ask(|store| store.drawn(call)),
        }
    }

    /// The id of the key that a call was made with, as [`find`](Self::find) gives the call; `None` for one made without a key.
    ///
    /// # Errors
    /// As for [`find`](Self::find).
    pub fn key_of(&self, call: i64) -> Result<Option<String>> {
        let shared = self.book.shared()?;
        // It may have been entered a moment ago; where it cannot be written, it is still made a row of.
        _ = shared.flush(ASKING, false);
        if self.is_in_memory() {
            return lock(&shared.memory).key(call).ok_or_else(|| self.unknown(&Wanted::Call(call)));
        }
        let (batches, _) = shared.unwritten();
        if let Some(row) = batches.iter().flat_map(|rows| rows.iter()).find(|row| row.id == call) {
            return Ok(row.key.clone());
        }
        self.ask(|store| store.key(call))?.ok_or_else(|| self.unknown(&Wanted::Call(call)))
    }

    /// The call, where it needs no store to be found.
    fn at_hand(&self, shared: &Shared, wanted: &Wanted) -> Option<i64> {
        match wanted {
            Wanted::Response(response, by) => {
                let id = lock(&shared.answered).find(response, *by)?;
                (!self.is_in_memory() || lock(&shared.memory).has(id)).then_some(id)
            }
            Wanted::Call(id) if self.is_in_memory() => lock(&shared.memory).has(*id).then_some(*id),
            Wanted::Call(id) => {
                let (batches, _) = shared.unwritten();
                batches.iter().any(|rows| rows.iter().any(|row| row.id == *id)).then_some(*id)
            }
        }
    }

    fn unknown(&self, wanted: &Wanted) -> Error {
        let place = self.shown_url();
        let text = match wanted {
            Wanted::Call(id) => format!("ledger {place}: there is no call with the id {id}"),
            Wanted::Response(response, _) => format!(
                "ledger {place}: there is no call whose response has the id {response:?}; ids are kept of calls made \
                 through ferroute and of those entered with `response=`"
            ),
        };
        let kept =
            if self.is_in_memory() { format!("; memory knows the last {REMEMBERED} calls") } else { String::new() };
        let text = text + &kept;
        Error::new(Kind::Name, text)
    }

    /// The scores of the calls a filter takes, those not yet written included: by the time of the calls; of the same
    /// call, source and model the latest. A book in memory has those of the last [`REMEMBERED`] calls only.
    ///
    /// # Errors
    /// As for [`spend`](Self::spend).
    pub fn scored(&self, filter: &Filter, tags: &Tags) -> Result<Vec<Scored>> {
        let shared = self.book.shared()?;
        // Where it fails, what is not written is taken from here.
        let flushed = shared.flush(ASKING, false);
        let mut found = Vec::new();
        if self.is_in_memory() {
            flushed?;
            found = lock(&shared.memory).scored(filter);
        } else {
            let mut names = Names::default();
            let (batches, _) = shared.unwritten();
            let waiting = shared.unwritten_scores();
            let ids: HashSet<i64> = waiting.iter().map(|score| score.call).collect();
            let ids: Vec<i64> = ids.into_iter().collect();
            let (visited, known) = (&mut found, &mut names);
            let calls = self.ask(move |store| store.scored(filter, &ids, known, &mut |scored| visited.push(scored)))?;
            let rows = batches.iter().flat_map(|rows| rows.iter()).chain(&calls);
            let rows: HashMap<i64, &Row> = rows.filter(|row| filter.takes(row)).map(|row| (row.id, row)).collect();
            let late = waiting.iter().filter_map(|score| Some(Scored::of(rows.get(&score.call)?, score, &mut names)));
            found.extend(late);
        }
        tags.sift(&mut found);
        Ok(score::latest(found))
    }

    /// Asks the store by a connection of its own.
    fn ask<T: Send>(&self, question: impl FnOnce(&mut dyn Store) -> Result<T> + Send) -> Result<T> {
        let _reader = self.book.shared()?.reader();
        // A thread without a runtime around it, since the store brings its own.
        let answer = std::thread::scope(|scope| {
            let work = || {
                let mut store = connect::connect(&self.book.place, false, false)?;
                let answer = question(store.as_mut());
                store.close();
                answer
            };
            scope.spawn(work).join()
        });
        answer.unwrap_or_else(|_| Err(Error::new(Kind::Io, "ledger: reading it failed")))
    }

    /// Calls that are entered and not yet in the store.
    pub fn waiting(&self) -> u64 {
        self.book.shared().map_or(0, |shared| shared.open().0)
    }

    /// Calls and scores that could not be kept.
    pub fn lost(&self) -> u64 {
        let queued = self.book.shared().map_or(0, |shared| shared.unwritten().1);
        queued + self.book.lost.load(Ordering::Relaxed)
    }

    /// Shows every row a filter takes, each once.
    fn read(&self, filter: &Filter, visit: &mut (dyn FnMut(Row) + Send)) -> Result<()> {
        let shared = self.book.shared()?;
        // Where it fails, the rows are here, and shown from here.
        _ = shared.flush(ASKING, false);
        let (batches, _) = shared.unwritten();
        let waiting = || batches.iter().flat_map(|rows| rows.iter());
        let ids: Vec<i64> = waiting().map(|row| row.id).collect();
        let there: HashSet<i64> = self.ask(|store| store.read(filter, &ids, visit))?.into_iter().collect();
        for row in waiting().filter(|row| !there.contains(&row.id) && filter.takes(row)) {
            visit(row.clone());
        }
        Ok(())
    }
}

impl Book {
    /// Starts the writer and waits for its connection.
    fn start(&self) -> Result<()> {
        let failure = Mutex::new(None);
        let running = self.running.get_or_try_init(|| {
            let (opened, heard) = mpsc::channel();
            let running = Running::start(self.place.clone(), self.create, Some(opened))?;
            match heard.recv() {
                Ok(Ok(())) => Ok(registered(running)),
                Ok(Err(error)) => {
                    *lock(&failure) = Some(error.clone());
                    Err(error)
                }
                Err(_) => Err(Error::new(Kind::Io, "ledger: its writer ended while it opened")),
            }
        });
        running.map(|_| ())
    }

    /// This process's side of the book; a child opens its own when it first needs it.
    fn shared(&self) -> Result<&Shared> {
        let start = || Running::start(self.place.clone(), self.create, None).map(registered);
        Ok(self.running.get_or_try_init(start)?.0.as_ref())
    }
}

fn registered(running: Running) -> Running {
    let mut writers = lock(per_process(&WRITERS));
    writers.retain(|writer| writer.strong_count() > 0);
    writers.push(Arc::downgrade(&running.0));
    running
}

fn per_process<T: Default + Send + Sync>(value: &PerProcess<T>) -> &T {
    match value.get_or_try_init(|| Ok::<_, Infallible>(T::default())) {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

fn writers() -> Vec<Arc<Shared>> {
    lock(per_process(&WRITERS)).iter().filter_map(Weak::upgrade).collect()
}

/// Waits until every book of this process has what was entered so far; for the end of a program.
///
/// # Errors
/// As for [`Ledger::flush`], after all had their chance within `limit`: how many calls are missing in all of them, and
/// what the first one said that failed. They are not waited for again.
pub fn flush_all(limit: Duration) -> Result<()> {
    let begun = Instant::now();
    let writers = writers();
    let flush = |shared: &Arc<Shared>| shared.flush(limit.saturating_sub(begun.elapsed()), true);
    let Err(error) = writers.iter().map(flush).fold(Ok(()), Result::and) else { return Ok(()) };
    for shared in &writers {
        shared.waited();
    }
    let add = |(calls, scores): (u64, u64), shared: &Arc<Shared>| {
        let open = shared.open();
        (calls + open.0, scores + open.1)
    };
    let open = match writers.iter().fold((0, 0), add) {
        (0, 0) => None,
        (calls, 0) => Some(format!("{calls} calls")),
        (0, scores) => Some(format!("{scores} outcomes")),
        (calls, scores) => Some(format!("{calls} calls and {scores} outcomes")),
    };
    let Some(open) = open else {
        // Features are missing, or what was missing came in time.
        return if error.kind() == Kind::Timeout { Ok(()) } else { Err(error) };
    };
    let seconds = begun.elapsed().as_secs_f64();
    let mut text = format!("ledger: {open} are not in the store after {seconds:.1} s");
    if error.kind() != Kind::Timeout {
        text = format!("{text}: {}", error.message());
    }
    Err(Error::new(error.kind(), text))
}

/// Closes the connections of every book, to be called before a fork: a child must not have its parent's. Calls go on
/// being entered; they are written after [`release_all`].
pub fn hold_all(limit: Duration) {
    let until = Instant::now() + limit;
    for shared in writers() {
        shared.hold(until);
    }
}

/// Ends [`hold_all`], in the parent; the child has nothing to end.
pub fn release_all() {
    for shared in writers() {
        shared.release();
    }
}
