//! The thread that writes calls down, in batches, and learns from them.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Kind, Result};

use super::connect;
use super::habits::Learner;
use super::place::Place;
use super::queue::{Shared, Step, lock};
use super::recall::Recall;
use super::record::Outcome;
use super::row::{Row, features_of};
use super::store::{self, Refusal, Store};

/// The first pause after a failure; each further one is twice as long, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many of the last answers in a store tell the habits of models.
const LEARNED_FROM: u32 = 5000;
/// How long a program that ends waits for its last calls to be written.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(2);
/// Of calls that came this long ago, features are filled in later.
const FEATURES_BY: Duration = Duration::from_millis(40);
/// As long as nothing else is to do, features are filled in for about this long at a time, of so many texts at most.
const FILLING: Duration = Duration::from_millis(5);
const FILLED: usize = 64;
/// Between two transactions on a file, others have this long to begin theirs.
const OTHERS: Duration = Duration::from_millis(3);

/// A running writer; dropping it lets it finish.
#[derive(Debug)]
pub(super) struct Running(pub(super) Arc<Shared>);

impl Running {
    /// Starts a writer. `opened` hears whether its first connection stands; without it, that is made when needed.
    pub(super) fn start(place: Place, create: bool, opened: Option<Sender<Result<()>>>) -> Result<Self> {
        let lasting = !matches!(place, Place::Memory);
        let shared = Arc::new(Shared::new(lasting, opened.is_some()));
        let mine = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("ferroute-ledger".into())
            .spawn(move || {
                let ending = Ending(&mine);
                if lasting {
                    go_first();
                }
                Writer::new(ending.0, place, create).run(opened);
            })
            .map_err(|error| Error::new(Kind::Io, format!("ledger: its thread could not be started: {error}")))?;
        Ok(Self(shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.close(LAST_WAIT);
    }
}

/// Says that the writer has ended, even when it panics: nobody shall wait for it.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.ended();
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    place: Place,
    create: bool,
    store: Option<Box<dyn Store>>,
    learner: Learner,
    /// Upper half of the ids, once it is known to be free.
    node: Option<u32>,
    count: u32,
    recall: Recall,
    /// Answers after which their users asked again, to be marked.
    marks: Vec<i64>,
    pause: Duration,
    retry_at: Option<Instant>,
}

impl<'a> Writer<'a> {
    fn new(shared: &'a Shared, place: Place, create: bool) -> Self {
        Self {
            shared,
            place,
            create,
            store: None,
            learner: Learner::default(),
            node: None,
            count: 0,
            recall: Recall::default(),
            marks: Vec::new(),
            pause: FIRST_PAUSE,
            retry_at: None,
        }
    }

    fn run(mut self, opened: Option<Sender<Result<()>>>) {
        if let Some(opened) = opened {
            let result = self.connect();
            let failed = result.is_err();
            // Nobody waits any more: then it is of no use either way.
            if opened.send(result).is_err() || failed {
                return;
            }
        }
        loop {
            match self.shared.next(self.store.is_some(), self.retry_at) {
                Step::Write => self.turn(Self::write),
                Step::Fill => self.turn(Self::fill),
                Step::Rest => self.disconnect(),
                Step::End => break,
            }
        }
        self.disconnect();
    }

    fn turn(&mut self, work: fn(&mut Self) -> std::result::Result<(), Refusal>) {
        match work(self) {
            Ok(()) => (self.retry_at, self.pause) = (None, FIRST_PAUSE),
            Err(Refusal::Busy(error)) => {
                // It has waited already.
                self.retry_at = Some(Instant::now());
                self.shared.failed(error, true);
            }
            Err(Refusal::Unavailable(error) | Refusal::Rows(error)) => {
                self.retry_at = Some(Instant::now() + self.pause);
                self.pause = (2 * self.pause).min(LONGEST_PAUSE);
                self.shared.failed(error, false);
            }
        }
    }

    /// Writes everything there is.
    fn write(&mut self) -> std::result::Result<(), Refusal> {
        if self.node.is_none() {
            self.connect().map_err(Refusal::Unavailable)?;
        }
        let (node, count) = (self.node.unwrap_or_default(), &mut self.count);
        let (recall, marks) = (&mut self.recall, &mut self.marks);
        let mut answered = Vec::new();
        let may_owe = matches!(self.place, Place::Sqlite(_));
        self.shared.prepare(|(record, keep), since| {
            let id = store::ids_of(node).0 | i64::from(*count);
            *count = count.wrapping_add(1);
            marks.extend(recall.seen(id, &record));
            let (mut row, text) = Row::without_features(id, record, keep);
            if let (Some(response), Outcome::Ok | Outcome::Cancelled) = (&row.response, row.outcome) {
                answered.push((response.clone(), row.ts, id));
            }
            if may_owe && since.elapsed() > FEATURES_BY {
                return (row, text);
            }
            row.features = text.and_then(|text| features_of(&text));
            (row, None)
        });
        let mut known = lock(&self.shared.answered);
        for (response, ts, id) in answered {
            known.keep(&response, ts, id);
        }
        drop(known);
        if let Place::Memory = self.place {
            self.remember();
            return Ok(());
        }
        while let Some(rows) = self.shared.first_unwritten() {
            let (lost, error) = self.one_by_one(&rows, |store, rows| store.write(rows))?;
            self.learner.learn(&rows, &self.shared.learned);
            self.mark(&rows)?;
            self.shared.written(lost, error);
            self.let_others();
        }
        // After the calls they belong to.
        while let Some(scores) = self.shared.first_scores() {
            let (lost, error) = self.one_by_one(&scores, |store, scores| store.score(scores))?;
            self.shared.scored(scores.len(), lost, error);
            self.let_others();
        }
        Ok(())
    }

    /// Writes everything there is into memory.
    fn remember(&mut self) {
        while let Some(rows) = self.shared.first_unwritten() {
            self.learner.learn(&rows, &self.shared.learned);
            let marks = self.due(&rows);
            let mut memory = lock(&self.shared.memory);
            memory.add(rows.iter().cloned());
            memory.mark(&marks);
            drop(memory);
            self.shared.written(0, None);
        }
        while let Some(scores) = self.shared.first_scores() {
            lock(&self.shared.memory).score(&scores);
            self.shared.scored(scores.len(), 0, None);
        }
    }

    /// Marks the answers after which their users asked again, once `rows` are written.
    fn mark(&mut self, rows: &[Row]) -> std::result::Result<(), Refusal> {
        let marks = self.due(rows);
        if marks.is_empty() {
            return Ok(());
        }
        match self.tried(|store| store.mark(&marks)) {
            // What cannot be marked stays unmarked.
            Ok(()) | Err(Refusal::Rows(_)) => Ok(()),
            Err(refusal) => {
                self.marks.extend(marks);
                Err(refusal)
            }
        }
    }

    /// Of the answers to be marked, those up to these rows; the others are not written yet.
    fn due(&mut self, rows: &[Row]) -> Vec<i64> {
        let last = rows.last().map_or(i64::MAX, |row| row.id);
        let (due, later) = self.marks.drain(..).partition(|id| *id <= last);
        self.marks = later;
        due
    }

    /// Fills in features that are owed, some of them.
    fn fill(&mut self) -> std::result::Result<(), Refusal> {
        let begun = Instant::now();
        let texts = self.shared.owed(FILLED);
        let in_time = texts.iter().take_while(|_| begun.elapsed() < FILLING);
        let features: Vec<_> = in_time.map(|(id, text)| (*id, features_of(text).unwrap_or_default())).collect();
        match self.tried(|store| store.fill(&features)) {
            // A row that does not take its features stays without.
            Ok(()) | Err(Refusal::Rows(_)) => self.shared.filled(features.len()),
            Err(refusal) => return Err(refusal),
        }
        self.let_others();
        Ok(())
    }

    /// Who waits for a file looks from time to time: there has to be a moment when nobody holds it.
    fn let_others(&self) {
        if matches!(self.place, Place::Sqlite(_)) && self.shared.has_more() {
            std::thread::sleep(OTHERS);
        }
    }

    /// Writes lines together; where the store refuses them, one by one, so that only those are lost that it will never
    /// take.
    fn one_by_one<T>(
        &mut self,
        lines: &[T],
        write: impl Fn(&mut dyn Store, &[T]) -> std::result::Result<(), Refusal>,
    ) -> std::result::Result<(u64, Option<Error>), Refusal> {
        match self.tried(|store| write(store, lines)) {
            Ok(()) => return Ok((0, None)),
            Err(Refusal::Rows(_)) => {}
            Err(refusal) => return Err(refusal),
        }
        let (mut lost, mut refusal) = (0, None);
        for line in lines {
            match self.tried(|store| write(store, std::slice::from_ref(line))) {
                Ok(()) => {}
                Err(Refusal::Rows(error)) => (lost, refusal) = (lost + 1, Some(error)),
                Err(refusal) => return Err(refusal),
            }
        }
        Ok((lost, refusal))
    }

    /// Does something by a connection, which is not used again when it failed: who knows what state it is in. One to
    /// a file that was deleted or replaced would write to nowhere.
    fn tried(
        &mut self,
        work: impl FnOnce(&mut dyn Store) -> std::result::Result<(), Refusal>,
    ) -> std::result::Result<(), Refusal> {
        if self.store.as_ref().is_some_and(|store| store.is_gone()) {
            self.disconnect();
        }
        self.connect().map_err(Refusal::Unavailable)?;
        let Some(store) = &mut self.store else { return Ok(()) };
        let done = work(store.as_mut());
        if matches!(done, Err(Refusal::Unavailable(_))) {
            self.disconnect();
        }
        done
    }

    /// Makes a connection where there is none; the first time, finds a free number and learns what is there.
    fn connect(&mut self) -> Result<()> {
        if let Place::Memory = self.place {
            self.node.get_or_insert(0);
            return Ok(());
        }
        if self.store.is_some() {
            return Ok(());
        }
        let mut store = connect::connect(&self.place, self.create, true)?;
        if self.node.is_none() {
            let node = free_number(store.as_mut())?;
            self.learner.learn(&store.last(LEARNED_FROM)?, &self.shared.learned);
            self.node = Some(node);
        }
        self.store = Some(store);
        Ok(())
    }

    fn disconnect(&mut self) {
        if let Some(store) = self.store.take() {
            store.close();
        }
    }
}

/// Where this process may: its thread is served before others that are always busy. It has little to do, and soon.
#[cfg(target_os = "linux")]
fn go_first() {
    // SAFETY: plain numbers; 0 is the calling thread, and a refusal changes nothing.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -5) };
}

#[cfg(not(target_os = "linux"))]
fn go_first() {}

/// A number of 31 bits that no process has used in this store.
fn free_number(store: &mut dyn Store) -> Result<u32> {
    loop {
        // The seed is the system's, taken anew in each thread; a copy of a machine still differs in time and process.
        let drawn = RandomState::new().hash_one((std::process::id(), SystemTime::now()));
        let node = (drawn >> 33) as u32;
        if !store.used(node)? {
            return Ok(node);
        }
    }
}
