//! The task that reads a stream ahead of its caller.
//!
//! Once every choice has said why it ended, the last visible chunk is held back until the usage or the end arrives, so
//! that the account is complete when the last chunk is handed out.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

use super::ending::Ending;
use super::many::Sides;
use super::signs::Collected;
use super::source::Source;
use crate::error::{Error, Partial, Result};
use crate::ledger::Signs;
use crate::providers::{ChatRequest, Chunk, ReadStream};

/// How many bytes of chunks are read ahead; a chunk that is larger is read alone.
pub(super) const READ_AHEAD_BYTES: usize = 4 << 20;
/// How long a connection may take to end its answer after the end mark, before it is given up.
const LAST_BYTES: Duration = Duration::from_secs(1);
/// How long the last visible chunk is held back for the usage that may follow it.
const HELD_BACK: Duration = Duration::from_secs(1);

/// A chunk on its way to the caller.
pub(super) struct Item {
    pub data: Bytes,
    /// Nothing comes after it.
    pub is_last: bool,
    /// Its share of the bytes that are read ahead, given back with it.
    _room: Option<OwnedSemaphorePermit>,
}

/// How far the reader has come, for whoever settles the account.
#[derive(Default)]
pub(super) struct Progress(Mutex<Ending>);

impl Progress {
    pub(super) fn new(ending: Ending) -> Self {
        Self(Mutex::new(ending))
    }

    pub(super) fn ending(&self) -> MutexGuard<'_, Ending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the chunks come from.
pub(super) enum Feed {
    One(Box<Source>),
    Many(Box<Sides>),
}

impl Feed {
    async fn next(&mut self, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        match self {
            Self::One(source) if source.is_over() => Ok(ControlFlow::Break(())),
            Self::One(source) => source.next(out).await,
            Self::Many(sides) => sides.next(out).await,
        }
    }

    fn readers(&self) -> impl Iterator<Item = &dyn ReadStream> {
        let (one, many) = match self {
            Self::One(source) => (Some(&**source), None),
            Self::Many(sides) => (None, Some(sides.sources())),
        };
        one.into_iter().chain(many.into_iter().flatten()).map(Source::reader)
    }

    /// The id that all chunks have which are handed on.
    fn id(&self) -> Option<&str> {
        match self {
            Self::One(source) => source.reader().id(),
            Self::Many(sides) => sides.id(),
        }
    }

    /// The texts of the first choices, as far as they are kept.
    pub(super) fn texts(&self) -> Vec<&str> {
        self.readers().map(ReadStream::text).collect()
    }

    /// Whether every choice has said why it ended.
    pub(super) fn is_complete(&self) -> bool {
        self.readers().all(ReadStream::is_complete)
    }

    /// How far it has come.
    pub(super) fn ending(&self) -> Ending {
        let progress = Progress::default();
        self.tell(&progress);
        std::mem::take(&mut *progress.ending())
    }

    /// Notes how far it has come.
    pub(super) fn tell(&self, progress: &Progress) {
        let mut ending = progress.ending();
        ending.usages.clear();
        ending.made_chars = 0;
        let mut readers = 0;
        for reader in self.readers() {
            readers += 1;
            ending.usages.extend(reader.usage());
            ending.made_chars += reader.made_chars();
        }
        if ending.id.is_none() {
            ending.id = self.id().map(Into::into);
        }
        ending.requests = readers;
        ending.complete = self.is_complete() && ending.usages.len() == readers as usize;
    }

    pub(super) fn into_sources(self) -> Vec<Source> {
        match self {
            Self::One(source) => vec![*source],
            Self::Many(_) => Vec::new(),
        }
    }

    /// Reads what is left after the end mark, so that the connection can be used again; nobody has to wait for that.
    fn drain(self) {
        for source in self.into_sources() {
            tokio::spawn(tokio::time::timeout(LAST_BYTES, source.drain()));
        }
    }
}

/// What of a stream is kept to judge it by at its end.
pub(super) struct Judging {
    request: Arc<ChatRequest>,
    collected: Collected,
}

impl Judging {
    pub(super) fn of(request: Arc<ChatRequest>) -> Self {
        Self { request, collected: Collected::default() }
    }
}

/// Reads events until the end mark, an error, or until nobody listens any more.
pub(super) async fn read(
    mut feed: Feed,
    mut found: Vec<Chunk>,
    chunks: mpsc::Sender<Result<Item>>,
    progress: Arc<Progress>,
    mut judge: Option<Judging>,
) {
    let out = Out { chunks, budget: Arc::new(Semaphore::new(READ_AHEAD_BYTES)) };
    let mut held: Option<(Bytes, Instant)> = None;
    let mut next = Ok(ControlFlow::Continue(()));
    loop {
        feed.tell(&progress);
        let complete = feed.is_complete();
        for chunk in found.drain(..) {
            if chunk.content {
                progress.ending().first_content.get_or_insert_with(Instant::now);
            }
            if let Some(judge) = &mut judge {
                judge.collected.add(&chunk.data, chunk.ends);
            }
            if chunk.hidden {
                continue;
            }
            if let Some((data, _)) = held.take()
                && !out.send(data, false).await
            {
                return;
            }
            // One that has content and does not end anything is not the last.
            if complete && (chunk.ends || !chunk.content) {
                held = Some((chunk.data, Instant::now() + HELD_BACK));
            } else if !out.send(chunk.data, false).await {
                return;
            }
        }
        match next {
            Ok(ControlFlow::Continue(())) => {}
            Ok(ControlFlow::Break(())) => {
                if let Some(judge) = judge {
                    let verdict = judge.collected.judged(&judge.request, &feed.texts(), Signs::ALL);
                    progress.ending().verdict = verdict;
                }
                if let Some((data, _)) = held {
                    out.send(data, true).await;
                }
                feed.drain();
                return;
            }
            Err(error) => {
                if let Some((data, _)) = held
                    && !out.send(data, false).await
                {
                    return;
                }
                let text = feed.readers().next().map(|reader| reader.text().to_owned()).unwrap_or_default();
                let error = Error::with_partial(error, Partial { text, ..Partial::default() });
                // Nobody may be left to hear it.
                let _ = out.chunks.send(Err(error)).await;
                return;
            }
        }
        let until = held.as_ref().map(|(_, until)| *until);
        let event = async {
            match until {
                None => Some(feed.next(&mut found).await),
                Some(until) => timeout_at(until, feed.next(&mut found)).await.ok(),
            }
        };
        let event = tokio::select! {
            biased;
            () = out.chunks.closed() => return,
            event = event => event,
        };
        next = event.unwrap_or_else(|| {
            // The usage takes too long; whoever reads should not have to wait for it.
            Ok(ControlFlow::Continue(()))
        });
        if until.is_some_and(|until| Instant::now() >= until)
            && let Some((data, _)) = held.take()
            && !out.send(data, false).await
        {
            return;
        }
    }
}

/// Where the reader puts the chunks.
struct Out {
    chunks: mpsc::Sender<Result<Item>>,
    budget: Arc<Semaphore>,
}

impl Out {
    /// Whether anybody still listens.
    async fn send(&self, data: Bytes, is_last: bool) -> bool {
        let size = data.len().min(READ_AHEAD_BYTES) as u32;
        let room = tokio::select! {
            () = self.chunks.closed() => return false,
            room = Arc::clone(&self.budget).acquire_many_owned(size) => room.ok(),
        };
        self.chunks.send(Ok(Item { data, is_last, _room: room })).await.is_ok()
    }
}
