//! A stream of chunks that is read ahead on the runtime and closed as soon as nobody wants it.
//!
//! It is opened in the caller's own task, up to the first content, so that a failure before that can be tried again. Then
//! a task of its own reads the connection, so that chunks which arrive together cost one wake-up of the caller. Whoever
//! drops the stream, closes it or is cancelled while waiting for a chunk ends that task, and with it the connection.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::ask::{Ask, Place};
use super::document;
use super::ending::Ending;
use super::many::Sides;
use super::plan::{Account, Instead};
use super::reading::{Feed, Item, Judging, Progress, READ_AHEAD_BYTES, read};
use super::settle::{Entry, total};
use super::signs::{Collected, Verdict};
use super::source::{Called, Source};
use crate::error::{Again, Error, Kind, Partial, Result};
use crate::ledger::Signs;
use crate::providers::http::Opened;
use crate::providers::sse::Events;
use crate::providers::{Answer, ChatRequest, Chunk, Dropped, Http, Usage, http};

/// How many chunks are read ahead before the provider has to wait.
const READ_AHEAD: usize = 256;
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

impl Stream {
    /// Reads on from `begun`.
    pub(super) fn start(begun: Begun, endpoint: usize, entry: Entry) -> Self {
        let Begun { status, headers, feed, found, first_content, .. } = begun;
        let progress = Arc::new(Progress::new(Ending { endpoint, first_content, ..Ending::default() }));
        feed.tell(&progress);
        let (chunks, receiver) = mpsc::channel(READ_AHEAD);
        let called = &entry.plan().endpoints[endpoint];
        let url = called.shown_url(&called.dialect.chat_path(called, true));
        let (attempts, dropped, notes) = entry.tally().so_far();
        // What nobody keeps is not looked at.
        let judge = entry.plan().ledger.is_some().then(|| Judging::of(Arc::clone(entry.request())));
        let reader = tokio::spawn(read(feed, found, chunks, Arc::clone(&progress), judge)).abort_handle();
        let state = State { phase: Phase::Open(receiver, None), entry: Some(entry), account: None };
        let process = crate::process::id();
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
        total(&self.progress.ending().usages)
    }

    /// What it came to: there once the last chunk is handed out, and after an error or [`close`](Self::close).
    pub fn account(&self) -> Option<Account> {
        self.state().account.clone()
    }

    /// Who answers, where that is not the chosen model.
    pub fn instead(&self) -> Option<Instead> {
        let state = self.state();
        match (&state.entry, &state.account) {
            (Some(entry), _) => entry.instead(self.endpoint),
            (None, Some(account)) => account.instead.clone(),
            (None, None) => None,
        }
    }

    fn is_foreign(&self) -> bool {
        self.process != crate::process::id()
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
    /// What can be seen while nothing of it has been given to anybody.
    verdict: Verdict,
}

impl Begun {
    /// The verdict before any content: on a stream that ended without one, or that begins with a refusal.
    fn seen(&self, request: &ChatRequest, looks: Signs) -> Verdict {
        let texts = self.feed.texts();
        if self.first_content.is_some() && texts.iter().any(|text| !text.is_empty()) {
            return Verdict::default();
        }
        let mut collected = Collected::default();
        for chunk in &self.found {
            collected.add(&chunk.data, true);
        }
        let is_empty = self.first_content.is_none();
        if is_empty && self.feed.is_complete() || collected.only_refuses() {
            return collected.judged(request, &texts, looks);
        }
        Verdict::default()
    }
}

/// Opens one stream and reads it to its first content.
pub(super) struct Opening<'a> {
    pub http: &'a Http,
}

/// The stream that a whole answer would have been.
fn whole(place: &Place<'_>, answer: Answer) -> Result<Begun> {
    let (endpoint, reading) = (place.endpoint(), &place.prepared.reading);
    let read = endpoint.dialect.read_answer(endpoint, reading, answer);
    let completion = read.map_err(|error| error.worth(Again::Once))?;
    let Some((document, found)) = document::chunks(&completion, reading.usage_asked) else {
        place.tally.lost(place.index, completion.usage);
        let said =
            format!("{} answered with a JSON document without choices where a stream was asked for", endpoint.host());
        return Err(Error::new(Kind::Protocol, said).settled());
    };
    let called = Called { plan: Arc::clone(&place.plan.endpoints), index: place.index };
    let source = Source::new(called, Events::new(futures_util::stream::empty()), Box::new(document));
    let Answer { status, headers, .. } = completion.answer;
    let (feed, first_content) = (Feed::One(Box::new(source)), Some(Instant::now()));
    Ok(Begun { status, headers, feed, found, first_content, verdict: Verdict::default() })
}

impl Ask for Opening<'_> {
    type Done = Begun;
    const STREAM: bool = true;

    async fn ask(&self, place: &Place<'_>) -> Result<Begun> {
        let (endpoint, prepared, limits) = (place.endpoint(), place.prepared, place.limits());
        let mut first = limits.first_byte.map(|limit| (limit, Instant::now() + limit));
        let response = match self.http.open(endpoint, &prepared.outgoing, &limits).await? {
            Opened::Stream(response) => response,
            Opened::Whole(answer) => return whole(place, answer),
        };
        let (status, headers) = http::head(&response);
        let called = Called { plan: Arc::clone(&place.plan.endpoints), index: place.index };
        let events = Events::new(http::pieces(called.clone(), response, limits.silence)).until(place.deadline);
        let mut source = Source::new(called, events, endpoint.dialect.reader(&prepared.reading));
        let mut found = Vec::new();
        let mut first_content = None;
        let (mut since, mut patience) = (None, None);
        let mut read = 0;
        while !source.is_over() {
            let before = found.len();
            let next = source.next(&mut found);
            let next = match patience {
                // Nothing that comes before it, such as comments to keep the connection alive, is an answer.
                None => match first {
                    Some((limit, end)) => {
                        timeout_at(end, next).await.unwrap_or_else(|_| Err(http::late(endpoint, limit)))
                    }
                    None => next.await,
                },
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
            first = None;
            // Once it is handed over it stays.
            let end = (!place.may_climb()).then(|| *since.get_or_insert_with(|| Instant::now() + FIRST_CONTENT));
            patience = end.into_iter().chain(place.deadline).min();
        }
        let feed = Feed::One(Box::new(source));
        Ok(Begun { status, headers, feed, found, first_content, verdict: Verdict::default() })
    }

    fn usage(done: &Begun) -> Option<Usage> {
        match &done.feed {
            Feed::One(source) => source.reader().usage(),
            Feed::Many(_) => None,
        }
    }

    fn judge(&self, entry: &Entry, done: &mut Begun) {
        if entry.plan().escalates() {
            done.verdict = done.seen(entry.request(), entry.plan().looks());
        }
    }

    fn ending(done: &Begun) -> Ending {
        let (first_content, verdict) = (done.first_content, done.verdict);
        Ending { first_content, verdict, ..done.feed.ending() }
    }

    fn answer(_: &Begun) -> Option<&Answer> {
        None
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
