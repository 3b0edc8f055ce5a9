//! A stream of chunks that is read ahead on the runtime and closed as soon as nobody wants it.
//!
//! It is opened in the caller's own task, up to the first content, so that a failure before that can be tried again. Then
//! a task of its own reads the connection, so that chunks which arrive together cost one wake-up of the caller. Whoever
//! drops the stream, closes it or is cancelled while waiting for a chunk ends that task, and with it the connection.
//!
//! Once every choice has said why it ended, the last visible chunk is held back until the usage or the end arrives, so
//! that the account is complete when the last chunk is handed out.

use std::mem;
use std::ops::{ControlFlow, Deref};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::call::{Ask, Place};
use super::many::{self, Sides};
use super::plan::Account;
use super::settle::{Ending, Entry};
use crate::error::{Again, Error, Kind, Partial, Result};
use crate::providers::http::Opened;
use crate::providers::sse::Events;
use crate::providers::{Chunk, Dropped, Endpoint, Http, ReadStream, Usage, http};

/// How many chunks are read ahead before the provider has to wait.
const READ_AHEAD: usize = 256;
/// How many bytes of chunks are read ahead; a chunk that is larger is read alone.
const READ_AHEAD_BYTES: usize = 4 << 20;
/// How long a connection may take to end its answer after the end mark, before it is given up.
const LAST_BYTES: Duration = Duration::from_secs(1);
/// How long the last visible chunk is held back for the usage that may follow it.
const HELD_BACK: Duration = Duration::from_secs(1);
/// How long after its first event a stream is handed over, should it have no content by then.
const FIRST_CONTENT: Duration = Duration::from_secs(1);

/// The chunks of one completion.
pub struct Stream {
    state: Mutex<State>,
    progress: Arc<Progress>,
    reader: AbortHandle,
    /// The process whose runtime reads it; a forked child has a copy that nobody feeds.
    process: u32,
    /// HTTP status.
    pub status: u16,
    /// Response headers.
    pub headers: Vec<(String, String)>,
    /// How many requests were sent until it opened.
    pub attempts: u32,
    /// Index in the plan's endpoints of the one that answers.
    pub endpoint: usize,
    /// Its address, without a query.
    pub url: String,
    /// Parameters left out.
    pub dropped: Vec<Dropped>,
    /// What the caller should know already: fallbacks taken.
    pub notes: Vec<String>,
}

struct State {
    phase: Phase,
    /// Until the call is entered in the book.
    entry: Option<Entry>,
    account: Option<Account>,
}

enum Phase {
    /// Chunks to come, and the error that was found while looking whether one is there.
    Open(mpsc::Receiver<Result<Item>>, Option<Error>),
    /// Somebody is waiting for the next chunk and holds the receiver.
    Waiting,
    Closed,
}

struct Item {
    data: Bytes,
    /// Nothing comes after it.
    is_last: bool,
    /// Its share of the bytes that are read ahead, given back with it.
    _room: Option<OwnedSemaphorePermit>,
}

/// How far the reader has come, for whoever settles the account.
#[derive(Default)]
struct Progress(Mutex<Ending>);

impl Progress {
    fn ending(&self) -> MutexGuard<'_, Ending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    /// Reads on from `begun`.
    pub(super) fn start(begun: Begun, endpoint: usize, entry: Entry) -> Self {
        let Begun { status, headers, feed, found, first_content } = begun;
        let progress = Arc::new(Progress(Mutex::new(Ending { endpoint, first_content, ..Ending::default() })));
        feed.tell(&progress);
        let (chunks, receiver) = mpsc::channel(READ_AHEAD);
        let called = &entry.plan().endpoints[endpoint];
        let url = called.shown_url(&called.dialect.chat_path(called, true));
        let (attempts, dropped, notes) = entry.tally().so_far();
        let reader = tokio::spawn(read(feed, found, chunks, Arc::clone(&progress))).abort_handle();
        let state = State { phase: Phase::Open(receiver, None), entry: Some(entry), account: None };
        let process = std::process::id();
        Self {
            state: Mutex::new(state),
            progress,
            reader,
            process,
            status,
            headers,
            attempts,
            endpoint,
            url,
            dropped,
            notes,
        }
    }

    /// The next chunk's JSON; `None` at the end or once closed. Dropping the future closes the stream.
    ///
    /// # Errors
    /// What broke it, once, with the text and the tokens so far ([`Error::partial`]): [`Kind::Protocol`] when it ended
    /// too early, [`Kind::Status`] for an error event, [`Kind::Timeout`], [`Kind::Connection`]; [`Kind::Value`] when
    /// another caller is already waiting, and in a child forked since the stream was opened.
    pub async fn next(&self) -> Result<Option<Bytes>> {
        if self.is_foreign() {
            return Err(Error::value("a stream can be read only by the process that opened it"));
        }
        let mut held = {
            let mut state = self.state();
            match mem::replace(&mut state.phase, Phase::Waiting) {
                Phase::Open(_, Some(error)) => {
                    state.phase = Phase::Closed;
                    return Err(self.failed(&mut state, error));
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
            Some(Err(error)) => Err(self.failed(&mut self.state(), error)),
            None => {
                self.ended(&mut self.state());
                Ok(None)
            }
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
            let mut state = self.state();
            state.phase = Phase::Closed;
            self.reader.abort();
            self.cancelled(&mut state);
        }
    }

    /// The last usage the provider has told.
    pub fn usage(&self) -> Option<Usage> {
        many::total(&self.progress.ending().usages)
    }

    /// What it came to: there once the last chunk is handed out, and after an error or [`close`](Self::close).
    pub fn account(&self) -> Option<Account> {
        self.state().account.clone()
    }

    fn is_foreign(&self) -> bool {
        self.process != std::process::id()
    }

    fn take(&self, item: Item) -> Bytes {
        if item.is_last {
            self.ended(&mut self.state());
        }
        item.data
    }

    fn ended(&self, state: &mut State) {
        if let Some(mut entry) = state.entry.take() {
            state.account = Some(entry.answered(&self.progress.ending()));
        }
    }

    fn cancelled(&self, state: &mut State) {
        if let Some(mut entry) = state.entry.take() {
            state.account = Some(entry.cancelled(&self.progress.ending()));
        }
    }

    /// Settles the account of a stream that broke, and tells its tokens with the error.
    fn failed(&self, state: &mut State, error: Error) -> Error {
        let error = error.at(|| self.url.clone());
        let Some(mut entry) = state.entry.take() else { return error };
        let account = entry.failed(&error, &self.progress.ending());
        let text = error.partial().map(|partial| partial.text.clone()).unwrap_or_default();
        let tokens = account.usage.map(|usage| (usage.prompt_tokens, usage.completion_tokens));
        let partial = Partial { text, tokens, estimated: account.estimated };
        state.account = Some(account);
        error.with_partial(partial)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.is_foreign() {
            // Dropping the receiver would wake the reader in a runtime whose threads are not here; the parent enters
            // the call in its book.
            let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
            mem::forget(mem::replace(&mut state.phase, Phase::Closed));
            mem::forget(state.entry.take());
        } else {
            self.close();
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

/// A stream that has begun.
pub(super) struct Begun {
    status: u16,
    headers: Vec<(String, String)>,
    feed: Feed,
    /// Chunks read so far.
    found: Vec<Chunk>,
    first_content: Option<Instant>,
}

/// Opens one stream and reads it to its first content.
pub(super) struct Opening<'a> {
    pub http: &'a Http,
}

impl Ask for Opening<'_> {
    type Done = Begun;
    const STREAM: bool = true;

    async fn ask(&self, place: &Place<'_>) -> Result<Begun> {
        let (endpoint, prepared, limits) = (place.endpoint(), place.prepared, place.limits());
        let first = limits.first_byte.map(|limit| (limit, Instant::now() + limit));
        let response = match self.http.open(endpoint, &prepared.outgoing, &limits).await? {
            Opened::Stream(response) => response,
            Opened::Whole(answer) => {
                endpoint
                    .dialect
                    .read_answer(endpoint, &prepared.reading, answer)
                    .map_err(|error| error.worth(Again::Once))?;
                let host = endpoint.host();
                let said = format!("{host} answered with one JSON document where a stream was asked for");
                return Err(Error::new(Kind::Protocol, said).settled().lost());
            }
        };
        let (status, headers) = http::head(&response);
        let called = Called { plan: Arc::clone(&place.plan.endpoints), index: place.index };
        let mut source = Source {
            events: Events::new(http::pieces(called.clone(), response, first, limits.silence)),
            reader: endpoint.dialect.reader(&prepared.reading),
            called,
            told: None,
            events_seen: false,
            is_over: false,
        };
        let mut found = Vec::new();
        let mut first_content = None;
        let mut patience = None;
        let mut read = 0;
        while !source.is_over {
            let before = found.len();
            let next = source.next(&mut found);
            let next = match patience {
                None => next.await,
                Some(end) => match timeout_at(end, next).await {
                    Ok(next) => next,
                    Err(_) => break,
                },
            };
            // Before any content, a stream that ends or says nothing understandable is as good as no answer.
            let flow = next.map_err(|error| match error.kind() {
                Kind::Connection | Kind::Timeout => error,
                _ => error.worth(Again::Once),
            })?;
            if found.iter().any(|chunk| chunk.content) {
                first_content = Some(Instant::now());
                break;
            }
            read += found[before..].iter().map(|chunk| chunk.data.len()).sum::<usize>();
            if flow.is_break() || read > READ_AHEAD_BYTES / 4 {
                break;
            }
            let end = *patience.get_or_insert_with(|| Instant::now() + FIRST_CONTENT);
            patience = Some(place.deadline.map_or(end, |deadline| end.min(deadline)));
        }
        Ok(Begun { status, headers, feed: Feed::One(Box::new(source)), found, first_content })
    }

    fn usage(done: &Begun) -> Option<Usage> {
        match &done.feed {
            Feed::One(source) => source.reader.usage(),
            Feed::Many(_) => None,
        }
    }

    fn merge(&self, place: &Place<'_>, parts: Vec<Begun>) -> Result<Begun> {
        let mut parts = parts.into_iter();
        let mut whole = parts.next().ok_or_else(|| Error::new(Kind::Protocol, "no stream to merge"))?;
        let mut feeds = vec![whole.feed];
        let mut found = vec![mem::take(&mut whole.found)];
        for part in parts {
            feeds.push(part.feed);
            found.push(part.found);
            whole.first_content = whole.first_content.into_iter().chain(part.first_content).min();
        }
        let sources = feeds.into_iter().flat_map(Feed::into_sources).collect();
        let mut sides = Sides::new(sources, place.prepared.reading.usage_asked);
        sides.begin(found, &mut whole.found)?;
        Ok(Begun { feed: Feed::Many(Box::new(sides)), ..whole })
    }
}

/// One of a plan's endpoints.
#[derive(Clone)]
struct Called {
    plan: Arc<[Endpoint]>,
    index: usize,
}

impl Deref for Called {
    type Target = Endpoint;

    fn deref(&self) -> &Endpoint {
        &self.plan[self.index]
    }
}

/// One response and its reader.
pub(super) struct Source {
    called: Called,
    events: Events,
    reader: Box<dyn ReadStream>,
    /// The last usage as the chunks of a merged stream tell it.
    pub(super) told: Option<Value>,
    events_seen: bool,
    is_over: bool,
}

impl Source {
    /// Reads the next event; breaks at the end. Nothing is lost when its future is dropped.
    pub(super) async fn next(&mut self, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        let host = || self.called.host();
        match self.events.next().await {
            Ok(Some(data)) => {
                self.events_seen = true;
                let flow = self.reader.read(&self.called, data, out)?;
                self.is_over = flow.is_break();
                Ok(flow)
            }
            // Some servers go without the end mark; reasons to stop say as well that nothing is missing.
            Ok(None) if self.reader.is_complete() => Ok(self.finish(out)),
            Err(error) if self.reader.is_complete() && matches!(error.kind(), Kind::Connection | Kind::Timeout) => {
                Ok(self.finish(out))
            }
            Ok(None) if !self.events_seen => {
                Err(Error::new(Kind::Protocol, format!("{} sent no event where a stream was asked for", host())))
            }
            Ok(None) => {
                Err(Error::new(Kind::Protocol, format!("the stream from {} was cut before its end", host())).lost())
            }
            Err(error) if error.kind() == Kind::Connection => Err(error.context("the stream was cut before its end")),
            Err(error) => Err(error),
        }
    }

    fn finish(&mut self, out: &mut Vec<Chunk>) -> ControlFlow<()> {
        self.reader.finish(&self.called, out);
        self.is_over = true;
        ControlFlow::Break(())
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }
}

/// Where the chunks come from.
enum Feed {
    One(Box<Source>),
    Many(Box<Sides>),
}

impl Feed {
    async fn next(&mut self, out: &mut Vec<Chunk>) -> Result<ControlFlow<()>> {
        match self {
            Self::One(source) if source.is_over => Ok(ControlFlow::Break(())),
            Self::One(source) => source.next(out).await,
            Self::Many(sides) => sides.next(out).await,
        }
    }

    fn readers(&self) -> impl Iterator<Item = &dyn ReadStream> {
        let (one, many) = match self {
            Self::One(source) => (Some(&**source), None),
            Self::Many(sides) => (None, Some(sides.sources())),
        };
        one.into_iter().chain(many.into_iter().flatten()).map(|source| &*source.reader)
    }

    fn is_complete(&self) -> bool {
        self.readers().all(ReadStream::is_complete)
    }

    /// Notes how far it has come.
    fn tell(&self, progress: &Progress) {
        let mut ending = progress.ending();
        ending.usages.clear();
        ending.made_chars = 0;
        let mut readers = 0;
        for reader in self.readers() {
            readers += 1;
            ending.usages.extend(reader.usage());
            ending.made_chars += reader.made_chars();
        }
        ending.requests = readers;
        ending.complete = self.is_complete() && ending.usages.len() == readers as usize;
    }

    fn into_sources(self) -> Vec<Source> {
        match self {
            Self::One(source) => vec![*source],
            Self::Many(_) => Vec::new(),
        }
    }

    /// Reads what is left after the end mark, so that the connection can be used again; nobody has to wait for that.
    fn drain(self) {
        for mut source in self.into_sources() {
            tokio::spawn(tokio::time::timeout(LAST_BYTES, async move {
                while let Ok(Some(_)) = source.events.next().await {}
            }));
        }
    }
}

/// Reads events until the end mark, an error, or until nobody listens any more.
async fn read(mut feed: Feed, mut found: Vec<Chunk>, chunks: mpsc::Sender<Result<Item>>, progress: Arc<Progress>) {
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
