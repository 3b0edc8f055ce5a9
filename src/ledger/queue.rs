//! What waits between those who add calls and the one thread that writes them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};

use super::habits::Learned;
use super::memory::Memory;
use super::record::Record;
use super::row::{Keep, Row};

/// The first call of a batch waits this long for others.
pub(super) const LINGER: Duration = Duration::from_millis(25);
/// A batch of so many does not wait, and none is larger: a transaction is short, however much has come together.
const FULL: usize = 1024;
/// While a store cannot be had, this many calls wait for it; further ones are lost, and counted.
const MOST: usize = 200_000;

/// What one process's callers, readers and writer of a book share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// Tells the writer that there is something to do.
    work: Condvar,
    /// Tells the others that something was done.
    done: Condvar,
    /// What was learned of models.
    pub(super) learned: Learned,
    /// The rows of a book in memory.
    pub(super) memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact, and any of them may hold together")]
struct Queue {
    fresh: Vec<(Record, Keep)>,
    /// When the oldest of `fresh` came.
    since: Option<Instant>,
    /// Rows made of what was fresh, not known to be in the store.
    unwritten: VecDeque<Arc<Vec<Row>>>,
    /// Calls that came, were taken out of `fresh`, and have been written or given up.
    entered: u64,
    taken: u64,
    settled: u64,
    lost: u64,
    /// Attempts to write that failed, and the last one's error.
    failures: u64,
    error: Option<Error>,
    /// Somebody waits: no lingering.
    urgent: bool,
    /// The writer is to end, and by when.
    close_by: Option<Instant>,
    ended: bool,
    /// Nobody may have a connection (see [`Shared::hold`]).
    held: bool,
    /// The writer has one, or may be making one.
    connected: bool,
    readers: usize,
}

/// What the writer does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Writes.
    Write,
    /// Closes its connection for the time being.
    Rest,
    /// Ends.
    End,
}

/// A lock that a panic elsewhere does not spoil: what it guards is whole between any two statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// For a writer that makes its connection first.
    pub(super) fn connecting() -> Self {
        Self { queue: Mutex::new(Queue { connected: true, ..Queue::default() }), ..Self::default() }
    }

    /// Enters a call: a move under a lock, and a wake-up if it is the first of its batch.
    pub(super) fn add(&self, record: Record, keep: Keep) {
        let mut queue = lock(&self.queue);
        if (queue.entered - queue.settled) as usize >= MOST || queue.ended {
            queue.lost += 1;
            return;
        }
        queue.entered += 1;
        queue.fresh.push((record, keep));
        let count = queue.fresh.len();
        if count == 1 {
            queue.since = Some(Instant::now());
        }
        drop(queue);
        if count == 1 || count == FULL {
            self.work.notify_one();
        }
    }

    /// Waits until what was entered so far is in the store.
    pub(super) fn flush(&self, limit: Duration) -> Result<()> {
        let until = Instant::now() + limit;
        let mut queue = lock(&self.queue);
        let (wanted, failures) = (queue.entered, queue.failures);
        queue.urgent = true;
        self.work.notify_one();
        loop {
            if queue.settled >= wanted {
                return Ok(());
            }
            // An attempt that began with all of it failed.
            if (queue.failures > failures && queue.taken >= wanted) || queue.ended {
                let error = queue.error.clone();
                return Err(error.unwrap_or_else(|| Error::new(Kind::Io, "ledger: its writer has ended")));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let open = wanted - queue.settled;
                return Err(Error::new(
                    Kind::Timeout,
                    format!("ledger: {open} calls are not in the store after {:.1} s", limit.as_secs_f64()),
                ));
            }
            queue = self.done.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Rows that are not known to be in the store, and how many calls were lost.
    pub(super) fn unwritten(&self) -> (Vec<Arc<Vec<Row>>>, u64) {
        let queue = lock(&self.queue);
        (queue.unwritten.iter().cloned().collect(), queue.lost)
    }

    /// A place among those who read from the store; given back by dropping it.
    pub(super) fn reader(&self) -> Reader<'_> {
        let mut queue = lock(&self.queue);
        while queue.held {
            queue = self.done.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.readers += 1;
        Reader(self)
    }

    /// Asks for all connections to be closed, and waits until they are.
    pub(super) fn hold(&self, until: Instant) {
        let mut queue = lock(&self.queue);
        queue.held = true;
        self.work.notify_one();
        while (queue.connected || queue.readers > 0) && !queue.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.done.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Lets connections be made again, when they are needed.
    pub(super) fn release(&self) {
        lock(&self.queue).held = false;
        self.work.notify_one();
        self.done.notify_all();
    }

    /// Asks the writer to end, and waits for it.
    pub(super) fn close(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let mut queue = lock(&self.queue);
        queue.close_by = Some(until);
        self.work.notify_one();
        while !queue.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.done.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    // What follows is the writer's side.

    /// Waits for something to do. After a failure nothing is tried before `retry_at`, unless somebody asks.
    pub(super) fn next(&self, connected: bool, retry_at: Option<Instant>) -> Step {
        let mut queue = lock(&self.queue);
        queue.connected = connected;
        if queue.held {
            self.done.notify_all();
        }
        loop {
            let mut due = None;
            if queue.held {
                if connected && queue.readers == 0 {
                    return Step::Rest;
                }
            } else if queue.fresh.is_empty() && queue.unwritten.is_empty() {
                queue.urgent = false;
                if queue.close_by.is_some() {
                    return Step::End;
                }
            } else {
                let now = Instant::now();
                let lingers = queue.since.map(|since| since + LINGER);
                let full = queue.fresh.len() >= FULL;
                let ready = match (retry_at, queue.close_by) {
                    (Some(_), Some(by)) if now >= by => return Step::End,
                    (Some(retry), Some(by)) => retry.min(by),
                    (Some(retry), None) => retry,
                    (None, None) if !full => lingers.unwrap_or(now),
                    (None, _) => now,
                };
                if queue.urgent || now >= ready {
                    queue.urgent = false;
                    queue.connected = true;
                    return Step::Write;
                }
                due = Some(ready - now);
            }
            queue = match due {
                Some(time) => self.work.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner).0,
                None => self.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Takes what is fresh and leaves the rows that `make` makes of it, in the order they came, as unwritten.
    pub(super) fn prepare(&self, mut make: impl FnMut((Record, Keep)) -> Row) {
        let fresh = {
            let mut queue = lock(&self.queue);
            queue.since = None;
            let room = Vec::with_capacity(queue.fresh.len());
            std::mem::replace(&mut queue.fresh, room)
        };
        let mut fresh = fresh.into_iter();
        while fresh.len() > 0 {
            let rows: Vec<_> = fresh.by_ref().take(FULL).map(&mut make).collect();
            let mut queue = lock(&self.queue);
            queue.taken += rows.len() as u64;
            queue.unwritten.push_back(Arc::new(rows));
        }
    }

    /// The rows to be written next; `None`, too, while nothing is to be written (see [`Self::hold`]).
    pub(super) fn first_unwritten(&self) -> Option<Arc<Vec<Row>>> {
        let queue = lock(&self.queue);
        if queue.held { None } else { queue.unwritten.front().cloned() }
    }

    /// The first unwritten rows are in the store, but for `lost` of them, which it will never take.
    pub(super) fn written(&self, lost: u64, error: Option<Error>) {
        let mut queue = lock(&self.queue);
        if let Some(rows) = queue.unwritten.pop_front() {
            queue.settled += rows.len() as u64;
        }
        queue.lost += lost;
        queue.error = error.or(queue.error.take());
        drop(queue);
        self.done.notify_all();
    }

    /// An attempt failed; it will be made again.
    pub(super) fn failed(&self, error: Error) {
        let mut queue = lock(&self.queue);
        queue.failures += 1;
        queue.error = Some(error);
        drop(queue);
        self.done.notify_all();
    }

    /// The writer has ended, for whatever reason.
    pub(super) fn ended(&self) {
        let mut queue = lock(&self.queue);
        queue.ended = true;
        queue.connected = false;
        queue.lost += queue.entered - queue.settled;
        drop(queue);
        self.done.notify_all();
    }
}

/// See [`Shared::reader`].
pub(super) struct Reader<'a>(&'a Shared);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        lock(&self.0.queue).readers -= 1;
        self.0.work.notify_one();
        self.0.done.notify_all();
    }
}
