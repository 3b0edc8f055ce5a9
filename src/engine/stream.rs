//! A stream of chunks that is read ahead on the runtime and closed as soon as nobody wants it.
//!
//! A task of its own reads the connection, so that chunks which arrive together cost one wake-up of the caller.
//! Whoever drops the stream, closes it or is cancelled while waiting for a chunk ends that task, and with it the
//! connection.

use std::mem;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use reqwest::Response;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;

use crate::error::{Error, Kind, Result};
use crate::providers::sse::Events;
use crate::providers::{Chunk, Endpoint, Reading, Usage, http};

/// How many chunks are read ahead before the provider has to wait.
const READ_AHEAD: usize = 256;
/// How many bytes of chunks are read ahead; a chunk that is larger is read alone.
const READ_AHEAD_BYTES: usize = 4 << 20;
/// How long a connection may take to end its answer after the end mark, before it is given up.
const LAST_BYTES: Duration = Duration::from_secs(1);

/// The chunks of one completion.
pub struct Stream {
    state: Mutex<State>,
    reader: AbortHandle,
    /// The process whose runtime reads it; a forked child has a copy that nobody feeds.
    process: u32,
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: Vec<(String, String)>,
    /// How many requests were sent until it opened.
    pub attempts: u32,
}

struct State {
    phase: Phase,
    usage: Option<Usage>,
}

enum Phase {
    /// Chunks to come, and the error that was found while looking whether one is there.
    Open(mpsc::Receiver<Result<Item>>, Option<Error>),
    /// Somebody is waiting for the next chunk and holds the receiver.
    Waiting,
    Closed,
}

struct Item {
    chunk: Chunk,
    /// The last usage told.
    usage: Option<Usage>,
    /// Its share of the bytes that are read ahead, given back with it.
    _room: Option<OwnedSemaphorePermit>,
}

impl Stream {
    /// Starts reading `response`; `limit` is the longest silence of the connection.
    pub(super) fn start(
        endpoint: Endpoint,
        reading: Reading,
        response: Response,
        limit: Option<Duration>,
        attempts: u32,
    ) -> Self {
        let (status, headers) = http::head(&response);
        let (chunks, receiver) = mpsc::channel(READ_AHEAD);
        let reader = tokio::spawn(read(endpoint, reading, response, limit, chunks)).abort_handle();
        let state = State { phase: Phase::Open(receiver, None), usage: None };
        Self { state: Mutex::new(state), reader, process: std::process::id(), status, headers, attempts }
    }

    /// The next chunk's JSON; `None` at the end or once closed. Dropping the future closes the stream.
    ///
    /// # Errors
    /// What broke it, once: [`Kind::Protocol`] when it ended too early, [`Kind::Status`] for an error event,
    /// [`Kind::Timeout`], [`Kind::Connection`]; [`Kind::Value`] when another caller is already waiting, and in a child
    /// forked since the stream was opened.
    pub async fn next(&self) -> Result<Option<Bytes>> {
        if self.is_foreign() {
            return Err(Error::value("a stream can be read only by the process that opened it"));
        }
        let mut held = {
            let mut state = self.state();
            match mem::replace(&mut state.phase, Phase::Waiting) {
                Phase::Open(_, Some(error)) => {
                    state.phase = Phase::Closed;
                    return Err(error);
                }
                Phase::Open(receiver, None) => Held { stream: self, receiver: Some(receiver) },
                Phase::Waiting => {
                    return Err(Error::value(
                        "another thread or task is already waiting for the next chunk of this stream",
                    ));
                }
                Phase::Closed => {
                    state.phase = Phase::Closed;
                    return Ok(None);
                }
            }
        };
        let Some(receiver) = &mut held.receiver else { return Ok(None) };
        match receiver.recv().await {
            Some(Ok(item)) => {
                held.give_back();
                Ok(Some(self.take(item)))
            }
            Some(Err(error)) => Err(error),
            None => Ok(None),
        }
    }

    /// A chunk that has already arrived; `None` when the caller would have to wait, and at the end.
    pub fn ready(&self) -> Option<Bytes> {
        if self.is_foreign() {
            return None;
        }
        let mut state = self.state();
        let Phase::Open(receiver, failed) = &mut state.phase else { return None };
        if failed.is_some() {
            return None;
        }
        match receiver.try_recv() {
            Ok(Ok(item)) => {
                drop(state);
                Some(self.take(item))
            }
            Ok(Err(error)) => {
                *failed = Some(error);
                None
            }
            Err(_) => None,
        }
    }

    /// Stops reading and closes the connection; whoever waits for a chunk gets the end.
    pub fn close(&self) {
        if !self.is_foreign() {
            self.state().phase = Phase::Closed;
            self.reader.abort();
        }
    }

    /// The last usage a chunk has told.
    pub fn usage(&self) -> Option<Usage> {
        self.state().usage
    }

    fn is_foreign(&self) -> bool {
        self.process != std::process::id()
    }

    fn take(&self, item: Item) -> Bytes {
        if item.usage.is_some() {
            self.state().usage = item.usage;
        }
        item.chunk.data
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.is_foreign() {
            // Dropping the receiver would wake the reader in a runtime whose threads are not here.
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            mem::forget(mem::replace(&mut state.phase, Phase::Closed));
        } else {
            self.reader.abort();
        }
    }
}

/// The receiver in the hands of whoever waits; dropped with it, the stream is closed.
struct Held<'a> {
    stream: &'a Stream,
    receiver: Option<mpsc::Receiver<Result<Item>>>,
}

impl Held<'_> {
    fn give_back(&mut self) {
        let mut state = self.stream.state();
        if matches!(state.phase, Phase::Waiting)
            && let Some(receiver) = self.receiver.take()
        {
            state.phase = Phase::Open(receiver, None);
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if self.receiver.take().is_some() {
            self.stream.close();
        }
    }
}

/// Reads events until the end mark, an error, or until nobody listens any more.
async fn read(
    endpoint: Endpoint,
    reading: Reading,
    response: Response,
    limit: Option<Duration>,
    chunks: mpsc::Sender<Result<Item>>,
) {
    let mut events = Events::new(http::pieces(endpoint.clone(), response, limit));
    let mut reader = endpoint.dialect.reader(&reading);
    let budget = Arc::new(Semaphore::new(READ_AHEAD_BYTES));
    let mut found = Vec::new();
    loop {
        let next = tokio::select! {
            biased;
            () = chunks.closed() => return,
            next = events.next() => next,
        };
        let failed = match next {
            Ok(Some(data)) => match reader.read(&endpoint, data, &mut found) {
                Ok(ControlFlow::Continue(())) => None,
                Ok(ControlFlow::Break(())) => {
                    // Read to its last byte, the connection can be used again; nobody has to wait for that.
                    tokio::spawn(tokio::time::timeout(LAST_BYTES, async move {
                        while let Ok(Some(_)) = events.next().await {}
                    }));
                    return;
                }
                Err(error) => Some(error),
            },
            // Some servers go without the end mark; reasons to stop say as well that nothing is missing.
            Ok(None) if reader.is_complete() => return,
            Err(error) if reader.is_complete() && matches!(error.kind(), Kind::Connection | Kind::Timeout) => return,
            Ok(None) => {
                Some(Error::new(Kind::Protocol, format!("the stream from {} was cut before its end", endpoint.host())))
            }
            Err(error) if error.kind() == Kind::Connection => Some(error.context("the stream was cut before its end")),
            Err(error) => Some(error),
        };
        for chunk in found.drain(..) {
            let size = chunk.data.len().min(READ_AHEAD_BYTES) as u32;
            let room = tokio::select! {
                () = chunks.closed() => return,
                room = Arc::clone(&budget).acquire_many_owned(size) => room.ok(),
            };
            if chunks.send(Ok(Item { chunk, usage: reader.usage(), _room: room })).await.is_err() {
                return;
            }
        }
        if let Some(error) = failed {
            // Nobody may be left to hear it.
            let _ = chunks.send(Err(error)).await;
            return;
        }
    }
}
