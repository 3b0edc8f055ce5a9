//! Sends spans to a collector (OTLP over HTTP, in JSON), on a thread of its own.
//!
//! The queue is bounded: when a collector is slow or away, spans are dropped and counted, and no request ever waits.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Url};
use serde_json::Value;

use super::spans;
use crate::error::{Error, Kind, Result};
use crate::providers::Http;

/// Requests whose spans wait; each has three of them at most.
const WAITING: usize = 2048;
/// Requests of one batch.
const BATCH: usize = 256;
/// The first of a batch waits so long for others.
const LINGER: Duration = Duration::from_secs(1);
/// Until a collector has answered.
const PATIENCE: Duration = Duration::from_secs(10);
/// Waits between attempts at a batch.
const PAUSES: [Duration; 3] = [Duration::from_millis(500), Duration::from_secs(2), Duration::from_secs(5)];
/// How long the end of the server waits for what is still to be sent.
const LAST: Duration = Duration::from_secs(2);

/// Where traces are sent.
#[derive(Clone)]
pub struct Collector {
    url: Url,
    headers: HeaderMap,
}

impl std::fmt::Debug for Collector {
    /// Nothing of the headers, which hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collector").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Collector {
    /// The collector at a base URL such as `http://127.0.0.1:4318` (the path `/v1/traces` is added where it is missing),
    /// which is sent these headers.
    ///
    /// # Errors
    /// [`Kind::Value`] for a URL or a header that is none; neither is repeated in it, since both may hold a key.
    pub fn at(url: &str, headers: &HashMap<String, String>) -> Result<Self> {
        let wrong = || Error::value("otlp: expected the URL of a collector, such as http://127.0.0.1:4318");
        let mut url = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        if !url.path().ends_with("/v1/traces") {
            let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
            url.set_path(&path);
        }
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName =
                name.parse().map_err(|_| Error::value("otlp_headers: a name that no header can have"))?;
            let mut value: HeaderValue = value
                .parse()
                .map_err(|_| Error::value(format!("otlp_headers: {name} has a value that no header can have")))?;
            value.set_sensitive(true);
            map.insert(name, value);
        }
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Self { url, headers: map })
    }
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Spans a collector has taken.
    pub(super) exported: AtomicU64,
    /// Spans that were given up.
    pub(super) dropped: AtomicU64,
    /// Attempts to send that failed.
    pub(super) failures: AtomicU64,
}

/// Sends spans until it is dropped.
#[derive(Debug)]
pub(super) struct Exporter {
    queue: Option<SyncSender<Vec<Value>>>,
    counts: Arc<Counts>,
    ended: Mutex<Receiver<()>>,
}

impl Exporter {
    pub(super) fn start(collector: Collector) -> Result<Self> {
        let (queue, coming) = sync_channel(WAITING);
        let (end, ended) = sync_channel::<()>(1);
        let counts = Arc::new(Counts::default());
        let sending = Sending { client: Http::outside(PATIENCE)?, collector, counts: Arc::clone(&counts) };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::new(Kind::Io, format!("the thread for traces could not be started: {error}")))?;
        std::thread::Builder::new()
            .name("ferroute-otlp".to_owned())
            .spawn(move || {
                runtime.block_on(async { sending.run(&coming).await });
                drop(end);
            })
            .map_err(|error| Error::new(Kind::Io, format!("the thread for traces could not be started: {error}")))?;
        Ok(Self { queue: Some(queue), counts, ended: Mutex::new(ended) })
    }

    /// Sends these spans some time, or drops them.
    pub(super) fn send(&self, spans: Vec<Value>) {
        let count = spans.len() as u64;
        if self.queue.as_ref().is_none_or(|queue| queue.try_send(spans).is_err()) {
            self.counts.dropped.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Drop for Exporter {
    /// What waits has a moment to get out.
    fn drop(&mut self) {
        self.queue = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // An error says that the thread has ended, or that it takes too long: both are the end.
        let _ = ended.recv_timeout(LAST);
    }
}

struct Sending {
    client: Client,
    collector: Collector,
    counts: Arc<Counts>,
}

impl Sending {
    // The thread has nothing else to do, so it may wait for the queue without the runtime.
    async fn run(&self, coming: &Receiver<Vec<Value>>) {
        while let Ok(first) = coming.recv() {
            let mut spans = first;
            let until = Instant::now() + LINGER;
            let mut requests = 1;
            let mut last = false;
            while requests < BATCH && !last {
                match coming.recv_timeout(until.saturating_duration_since(Instant::now())) {
                    Ok(more) => spans.extend(more),
                    Err(RecvTimeoutError::Timeout) => break,
                    Err(RecvTimeoutError::Disconnected) => last = true,
                }
                requests += 1;
            }
            let count = spans.len() as u64;
            let sent = self.sent(&spans::batch(&spans), last).await;
            let counter = if sent { &self.counts.exported } else { &self.counts.dropped };
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Whether a collector has taken the batch; at the end it is tried once.
    async fn sent(&self, batch: &Value, last: bool) -> bool {
        let body = batch.to_string();
        for pause in PAUSES.iter().map(Some).chain([None]) {
            let (url, headers) = (self.collector.url.clone(), self.collector.headers.clone());
            let answer = self.client.post(url).headers(headers).body(body.clone()).send().await;
            let status = answer.map(|answer| answer.status());
            if status.as_ref().is_ok_and(reqwest::StatusCode::is_success) {
                return true;
            }
            self.counts.failures.fetch_add(1, Ordering::Relaxed);
            let again = status.as_ref().map_or(true, |status| matches!(status.as_u16(), 429 | 502..=504));
            match pause.filter(|_| again && !last) {
                Some(pause) => tokio::time::sleep(*pause).await,
                None => break,
            }
        }
        false
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_gets_the_path_of_traces() {
        let url = |given| Collector::at(given, &HashMap::new()).unwrap().url.to_string();
        assert_eq!(url("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces");
        assert_eq!(url("https://a.example/otlp/"), "https://a.example/otlp/v1/traces");
        assert_eq!(url("https://a.example/x/v1/traces"), "https://a.example/x/v1/traces");
    }

    #[test]
    fn what_is_wrong_is_not_repeated() {
        for wrong in ["secret", "file:///secret", "http://"] {
            let error = Collector::at(wrong, &HashMap::new()).unwrap_err();
            assert!(error.kind() == Kind::Value && !error.message().contains("secret"), "{error}");
        }
        let headers = HashMap::from([("authorization".to_owned(), "secret\n".to_owned())]);
        let error = Collector::at("http://a.example", &headers).unwrap_err();
        assert!(error.message().contains("authorization") && !error.message().contains("secret"), "{error}");
        let headers = HashMap::from([("authorization".to_owned(), "secret".to_owned())]);
        let collector = Collector::at("http://a.example", &headers).unwrap();
        assert!(!format!("{collector:?}").contains("secret"));
    }
}
