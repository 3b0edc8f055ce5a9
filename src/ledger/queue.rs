//! What waits between those who add calls and the one thread that writes them.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Kind, Result};

use super::habits::Learned;
use super::memory::Memory;
use super::recall::Answered;
use super::record::Record;
use super::row::{Keep, Row};
use super::score::Score;

/// The first call of a batch waits this long for others.
pub(super) const LINGER: Duration = Duration::from_millis(25);
/// A batch of so many does not wait, and none is larger: a transaction is short, however much has come together.
const FULL: usize = 1024;
/// While a store cannot be had, this many calls wait for it; further ones are lost, and counted.
const MOST: usize = 200_000;
/// Texts that wait take up this many bytes; further calls are entered without theirs.
const MOST_TEXT: usize = 32 << 20;
/// When a call has waited this long, those who add others give way to the writer: what is older than 100 ms shall be in
/// the store whatever happens to the process.
const LATE: Duration = Duration::from_millis(60);
/// How long one of them gives way.
const GIVEN: Duration = Duration::from_millis(10);
/// When it has waited this long, it is not for want of a processor, and nobody waits for it.
const HOPELESS: Duration = Duration::from_millis(500);

/// What one process's callers, readers and writer of a book share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// The store outlives the process, so that calls have to get there soon.
    lasting: bool,
    queue: Mutex<Queue>,
    /// Tells the writer that there is something to do.
    work: Condvar,
    /// Tells the others that something was done.
    done: Condvar,
    /// What was learned of models.
    pub(super) learned: Learned,
    /// The rows of a book in memory.
    pub(super) memory: Mutex<Memory>,
    /// The calls that were made rows of last, by the ids of their answers.
    pub(super) answered: Mutex<Answered>,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one fact, and any of them may hold together")]
struct Queue {
    fresh: Vec<(Record, Keep)>,
    /// When the oldest of `fresh` came.
    since: Option<Instant>,
    /// When the oldest came of what is being made into rows.
    making: Option<Instant>,
    /// Rows made of what was fresh, not known to be in the store, and when the oldest of them came.
    unwritten: VecDeque<(Instant, Arc<Vec<Row>>)>,
    /// Rows written or to be written without features, and the texts to read those from.
    owed: VecDeque<(i64, Arc<str>)>,
    /// Scores that are not in the store.
    scores: VecDeque<Score>,
    /// Scores that came, and that have been written or given up.
    scores_entered: u64,
    scores_settled: u64,
    /// Bytes of all the texts here.
    texts: usize,
    /// Calls that came, were taken out of `fresh`, and have been written or given up.
    entered: u64,
    taken: u64,
    settled: u64,
    lost: u64,
    /// Features that were owed, and those that no longer are.
    promised: u64,
    filled: u64,
    /// Attempts to write that failed because others were writing, or for another reason, and the last one's error.
    busy: u64,
    failures: u64,
    error: Option<Error>,
    /// The last attempt was one of them.
    failing: bool,
    /// At its end the program has waited until then, and does not wait again.
    waited: Option<Instant>,
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
    /// Writes calls.
    Write,
    /// Fills in features.
    Fill,
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
    /// For a store that outlives the process (`lasting`), for a writer that makes its connection first (`connected`).
    pub(super) fn new(lasting: bool, connected: bool) -> Self {
        Self { lasting, queue: Mutex::new(Queue { connected, ..Queue::default() }), ..Self::default() }
    }

    /// Enters a call: a move under a lock, and a wake-up if it is the first of its batch. Says whether the writer is
    /// behind, so that one should [give way](Self::give_way).
    #[must_use]
    pub(super) fn add(&self, mut record: Record, keep: Keep) -> bool {
        let mut queue = lock(&self.queue);
        if (queue.entered - queue.settled) as usize >= MOST || queue.ended {
            queue.lost += 1;
            return false;
        }
        queue.entered += 1;
        if keep == Keep::None || queue.texts + text_of(&record) > MOST_TEXT {
            record.text = None;
        }
        queue.texts += text_of(&record);
        queue.fresh.push((record, keep));
        let count = queue.fresh.len();
        if count == 1 {
            queue.since = Some(Instant::now());
        }
        let late = self.lasting && queue.is_late();
        drop(queue);
        if count == 1 || count == FULL {
            self.work.notify_one();
        }
        late
    }

    /// Enters a score; says whether there was room for it.
    #[must_use]
    pub(super) fn add_score(&self, score: Score) -> bool {
        let mut queue = lock(&self.queue);
        if queue.scores.len() >= MOST || queue.ended {
            queue.lost += 1;
            return false;
        }
        queue.scores_entered += 1;
        queue.scores.push_back(score);
        let first = queue.scores.len() == 1 && queue.fresh.is_empty();
        if first {
            queue.since.get_or_insert_with(Instant::now);
        }
        drop(queue);
        if first {
            self.work.notify_one();
        }
        true
    }

    /// Lets the writer have the processor for a moment, until it has written something.
    pub(super) fn give_way(&self) {
        let queue = lock(&self.queue);
        if queue.is_late() {
            drop(self.done.wait_timeout(queue, GIVEN));
        }
    }

    /// Waits until what was entered so far is in the store. As long as only others' writing stands in the way, all of
    /// the time is waited (`patient`), or one attempt.
    pub(super) fn flush(&self, limit: Duration, patient: bool) -> Result<()> {
        let until = Instant::now() + limit;
        let mut queue = lock(&self.queue);
        let failures = |queue: &Queue| queue.failures + if patient { 0 } else { queue.busy };
        let (wanted, mut promised, before) = (queue.entered, None, failures(&queue));
        let scores = queue.scores_entered;
        queue.urgent = true;
        self.work.notify_one();
        loop {
            if queue.settled >= wanted && queue.scores_settled >= scores {
                let promised = *promised.get_or_insert(queue.promised);
                if queue.filled >= promised {
                    return Ok(());
                }
            }
            // An attempt that began with all of it failed.
            if (failures(&queue) > before && queue.taken >= wanted) || queue.ended {
                let error = queue.error.clone();
                return Err(error.unwrap_or_else(|| Error::new(Kind::Io, "ledger: its writer has ended")));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let (open, features) = (wanted.saturating_sub(queue.settled), queue.promised - queue.filled);
                let scores = scores.saturating_sub(queue.scores_settled);
                let what = match (open, scores) {
                    (0, 0) => format!("features of {features} calls"),
                    (0, _) => format!("{scores} outcomes"),
                    (..) => format!("{open} calls"),
                };
                return Err(Error::new(
                    Kind::Timeout,
                    format!("ledger: {what} are not in the store after {:.1} s", limit.as_secs_f64()),
                ));
            }
            queue = self.done.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Calls and scores that are not in the store, nor given up.
    pub(super) fn open(&self) -> (u64, u64) {
        let queue = lock(&self.queue);
        (queue.entered - queue.settled, queue.scores.len() as u64)
    }

    /// The program has waited for its end until now: it shall not wait again when it drops the book.
    pub(super) fn waited(&self) {
        lock(&self.queue).waited = Some(Instant::now());
    }

    /// Whether a call whose answer has that id may have come and not been made a row of.
    pub(super) fn may_hold(&self, response: &str) -> bool {
        let queue = lock(&self.queue);
        queue.making.is_some() || queue.fresh.iter().any(|(record, _)| record.response.as_deref() == Some(response))
    }

    /// Rows that are not known to be in the store, and how many calls were lost.
    pub(super) fn unwritten(&self) -> (Vec<Arc<Vec<Row>>>, u64) {
        let queue = lock(&self.queue);
        (queue.unwritten.iter().map(|(_, rows)| Arc::clone(rows)).collect(), queue.lost)
    }

    /// Scores that are not known to be in the store.
    pub(super) fn unwritten_scores(&self) -> Vec<Score> {
        lock(&self.queue).scores.iter().cloned().collect()
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
        let mut queue = lock(&self.queue);
        let until = queue.waited.unwrap_or_else(|| Instant::now() + limit);
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
            } else if queue.is_empty() && queue.owed.is_empty() {
                queue.urgent = false;
                if queue.close_by.is_some() {
                    return Step::End;
                }
            } else {
                let now = Instant::now();
                let lingers = queue.since.map(|since| since + LINGER);
                let full = queue.fresh.len() >= FULL || !queue.unwritten.is_empty();
                let ready = match (retry_at, queue.close_by) {
                    (Some(_), Some(by)) if now >= by => return Step::End,
                    (Some(retry), Some(by)) => retry.min(by),
                    (Some(retry), None) => retry,
                    (None, None) if !full => lingers.unwrap_or(now),
                    (None, _) => now,
                };
                let only_owed = queue.is_empty();
                if queue.urgent || now >= ready {
                    queue.urgent = false;
                    queue.connected = true;
                    return if only_owed { Step::Fill } else { Step::Write };
                }
                if !queue.owed.is_empty() && queue.unwritten.is_empty() && retry_at.is_none() {
                    // While a batch gathers.
                    queue.connected = true;
                    return Step::Fill;
                }
                due = Some(ready - now);
            }
            queue = match due {
                Some(time) => self.work.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner).0,
                None => self.work.wait(queue).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Takes what is fresh and leaves the rows that `make` makes of it, in the order they came, as unwritten. It is told
    /// when the oldest came, and may leave a text whose features are to be filled in later.
    pub(super) fn prepare(&self, mut make: impl FnMut((Record, Keep), Instant) -> (Row, Option<Arc<str>>)) {
        let (fresh, since) = {
            let mut queue = lock(&self.queue);
            let since = queue.since.take().unwrap_or_else(Instant::now);
            queue.making = Some(since);
            let room = Vec::with_capacity(queue.fresh.len());
            (std::mem::replace(&mut queue.fresh, room), since)
        };
        let mut fresh = fresh.into_iter();
        while fresh.len() > 0 {
            let (mut rows, mut owed) = (Vec::with_capacity(fresh.len().min(FULL)), Vec::new());
            let (mut came, mut kept) = (0, 0);
            for (record, keep) in fresh.by_ref().take(FULL) {
                came += text_of(&record);
                let (row, text) = make((record, keep), since);
                kept += row.text.as_ref().map_or(0, String::len);
                if let Some(text) = text {
                    kept += text.len();
                    owed.push((row.id, text));
                }
                rows.push(row);
            }
            let mut queue = lock(&self.queue);
            queue.taken += rows.len() as u64;
            queue.promised += owed.len() as u64;
            queue.texts = queue.texts.saturating_sub(came) + kept;
            queue.owed.extend(owed);
            queue.unwritten.push_back((since, Arc::new(rows)));
        }
        lock(&self.queue).making = None;
    }

    /// The first texts whose features are owed.
    pub(super) fn owed(&self, most: usize) -> Vec<(i64, Arc<str>)> {
        lock(&self.queue).owed.iter().take(most).cloned().collect()
    }

    /// So many of them are no longer owed.
    pub(super) fn filled(&self, count: usize) {
        let mut queue = lock(&self.queue);
        let settled: usize = queue.owed.drain(..count).map(|(_, text)| text.len()).sum();
        queue.texts = queue.texts.saturating_sub(settled);
        queue.filled += count as u64;
        queue.failing = false;
        drop(queue);
        self.done.notify_all();
    }

    /// The rows to be written next; `None`, too, while nothing is to be written (see [`Self::hold`]).
    pub(super) fn first_unwritten(&self) -> Option<Arc<Vec<Row>>> {
        let queue = lock(&self.queue);
        if queue.held { None } else { queue.unwritten.front().map(|(_, rows)| Arc::clone(rows)) }
    }

    /// The scores to be written next, at most a full batch; `None`, too, while nothing is to be written.
    pub(super) fn first_scores(&self) -> Option<Vec<Score>> {
        let queue = lock(&self.queue);
        let some = !queue.held && !queue.scores.is_empty();
        some.then(|| queue.scores.iter().take(FULL).cloned().collect())
    }

    /// The first scores are in the store, but for `lost` of them, which it will never take.
    pub(super) fn scored(&self, count: usize, lost: u64, error: Option<Error>) {
        let mut queue = lock(&self.queue);
        queue.scores.drain(..count);
        queue.scores_settled += count as u64;
        queue.failing = false;
        queue.lost += lost;
        queue.error = error.or(queue.error.take());
        drop(queue);
        self.done.notify_all();
    }

    /// Whether there is more to write.
    pub(super) fn has_more(&self) -> bool {
        let queue = lock(&self.queue);
        !queue.unwritten.is_empty() || !queue.owed.is_empty() || !queue.scores.is_empty()
    }

    /// The first unwritten rows are in the store, but for `lost` of them, which it will never take.
    pub(super) fn written(&self, lost: u64, error: Option<Error>) {
        let mut queue = lock(&self.queue);
        if let Some((_, rows)) = queue.unwritten.pop_front() {
            queue.settled += rows.len() as u64;
            let texts: usize = rows.iter().filter_map(|row| row.text.as_ref().map(String::len)).sum();
            queue.texts = queue.texts.saturating_sub(texts);
        }
        queue.failing = false;
        queue.lost += lost;
        queue.error = error.or(queue.error.take());
        drop(queue);
        self.done.notify_all();
    }

    /// An attempt failed, perhaps only because others were writing; it will be made again.
    pub(super) fn failed(&self, error: Error, busy: bool) {
        let mut queue = lock(&self.queue);
        *(if busy { &mut queue.busy } else { &mut queue.failures }) += 1;
        queue.failing = true;
        queue.error = Some(error);
        drop(queue);
        self.done.notify_all();
    }

    /// The writer has ended, for whatever reason.
    pub(super) fn ended(&self) {
        let mut queue = lock(&self.queue);
        queue.ended = true;
        queue.connected = false;
        queue.lost += queue.entered - queue.settled + queue.scores.len() as u64;
        drop(queue);
        self.done.notify_all();
    }
}

impl Queue {
    /// Whether nothing is to be written but features.
    fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.unwritten.is_empty() && self.scores.is_empty()
    }

    /// Whether a call has waited too long for a processor.
    fn is_late(&self) -> bool {
        let oldest = self.unwritten.front().map(|&(since, _)| since).or(self.making).or(self.since);
        !self.failing && !self.ended && oldest.is_some_and(|since| (LATE..HOPELESS).contains(&since.elapsed()))
    }
}

fn text_of(record: &Record) -> usize {
    record.text.as_ref().map_or(0, |text| text.len())
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

#[cfg(test)]
mod tests {
    use super::super::row::tests::record;
    use super::*;

    fn with_text(text: &Arc<str>) -> Record {
        Record { text: Some(Arc::clone(text)), ..record("m") }
    }

    #[test]
    fn texts_that_wait_are_bounded_and_their_calls_are_kept() {
        let shared = Shared::new(true, false);
        let half: Arc<str> = "x".repeat(MOST_TEXT / 2).into();
        let rows = |shared: &Shared| {
            shared.prepare(|(record, keep), _| Row::without_features(0, record, keep));
            let (count, owed) = (shared.first_unwritten().unwrap().len(), shared.owed(10).len());
            shared.written(0, None);
            (count, owed)
        };
        for _ in 0..3 {
            _ = shared.add(with_text(&half), Keep::Features);
        }
        assert_eq!(rows(&shared), (3, 2));
        _ = shared.add(with_text(&half), Keep::Features);
        assert_eq!(rows(&shared), (1, 2), "what is owed waits, too");
        shared.filled(2);
        // The text of a row waits twice: in it, and for its features.
        _ = shared.add(with_text(&half), Keep::Text);
        _ = shared.add(with_text(&half), Keep::None);
        assert_eq!((rows(&shared), lock(&shared.queue).texts), ((2, 1), MOST_TEXT / 2));
        shared.filled(1);
        assert_eq!((shared.open(), lock(&shared.queue).texts), ((0, 0), 0));
    }

    #[test]
    fn a_writer_that_is_behind_is_given_way() {
        let shared = Shared::new(true, false);
        assert!(!shared.add(record("m"), Keep::None));
        std::thread::sleep(LATE);
        assert!(shared.add(record("m"), Keep::None));
        shared.prepare(|(record, keep), _| Row::without_features(0, record, keep));
        assert!(shared.add(record("m"), Keep::None), "what was taken is not yet written");
        shared.failed(Error::value("full"), false);
        assert!(!shared.add(record("m"), Keep::None), "a store that refuses is not waited for");
        let memory = Shared::new(false, false);
        _ = memory.add(record("m"), Keep::None);
        std::thread::sleep(LATE);
        assert!(!memory.add(record("m"), Keep::None));
    }
}
