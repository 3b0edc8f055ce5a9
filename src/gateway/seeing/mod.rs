//! What is seen of the server from outside: numbers for Prometheus, spans for a collector, lines for a log.
//!
//! One [`Seeing`] lives as long as its server, so that counters outlive a reload. It is told of each request once it is
//! over ([`Observer`]): that adds to atomics and puts into bounded queues, and waits for nobody. What is not counted but
//! read (cooldowns, the ledger's queue, this process) is read when somebody scrapes.
//!
//! Text and JSON are written by hand. There are few families and three spans, and the crates for them would bring a global
//! recorder, which tests and two servers in one process would share, and a second encoder for protobuf.

mod gauges;
mod limits;
mod log;
mod metrics;
pub mod names;
mod otlp;
mod series;
mod sheet;
mod spans;
#[cfg(test)]
mod tests;
pub mod trace;

pub use log::{Form, Level};
pub use metrics::Open;
pub use otlp::Collector;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use self::log::Log;
use self::metrics::Metrics;
use self::otlp::Exporter;
use self::sheet::Sheet;
use self::trace::Context;
use super::event::{Event, Observer};
use super::setup::Setup;
use crate::error::{Error, Kind, Result};

/// What others tell is asked for again after this time.
const FRESH: Duration = Duration::from_secs(5);

/// What is to be seen.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whether there are metrics to scrape.
    pub metrics: bool,
    /// How lines are written.
    pub logs: Form,
    /// In text, requests that went well have lines as well. In JSON they have them anyway.
    pub verbose: bool,
    /// Where traces are sent.
    pub collector: Option<Collector>,
    /// The part of traces that is sent, 0..=1, where the caller does not say by his `traceparent`.
    pub share: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { metrics: true, logs: Form::default(), verbose: false, collector: None, share: 1.0 }
    }
}

/// Somebody who counts for himself, such as a Controller that holds a ramp.
pub trait Told: Send + Sync {
    /// Numbers by names as Prometheus has them: `name{label="value"}`. It may take its time.
    fn told(&self) -> Vec<(String, f64)>;
}

/// Numbers, traces and lines of one server.
pub struct Seeing {
    metrics: Option<Arc<Metrics>>,
    log: Log,
    exporter: Option<Exporter>,
    share: f64,
    others: Option<Arc<dyn Told>>,
    told: Mutex<Option<Heard>>,
}

/// When Python was asked, and its figures.
type Heard = (Instant, Vec<(String, f64)>);

impl Seeing {
    /// Sees what `options` say, and asks `others` when somebody scrapes. Lines go to stderr.
    ///
    /// # Errors
    /// [`Kind::Value`] for a share that is none; [`Kind::Io`] where a thread cannot be started.
    pub fn new(options: Options, others: Option<Arc<dyn Told>>) -> Result<Arc<Self>> {
        if !(0.0..=1.0).contains(&options.share) {
            return Err(Error::value(format!("sample: expected a number from 0 to 1, found {}", options.share)));
        }
        Ok(Arc::new(Self {
            metrics: options.metrics.then(Arc::default),
            log: Log::to(std::io::stderr(), options.logs, options.verbose || options.logs == Form::Json)?,
            exporter: options.collector.map(Exporter::start).transpose()?,
            share: options.share,
            others,
            told: Mutex::new(None),
        }))
    }

    /// A request has come; it is under way until what is given back is dropped.
    pub fn entered(&self) -> Option<Open> {
        self.metrics.as_ref().map(Metrics::entered)
    }

    /// The `traceparent` that a provider is sent, with the request that has this id and came with this header. `None`
    /// where nobody traces: then nothing is added to what the caller has sent.
    pub fn onward(&self, id: &str, traceparent: Option<&str>) -> Option<HeaderValue> {
        if traceparent.is_none() && self.exporter.is_none() {
            return None;
        }
        let context = Context::of(id, traceparent);
        HeaderValue::try_from(context.header(context.is_sampled(self.share))).ok()
    }

    /// A line on what happens to the server itself; `event` is a word such as `reload`.
    pub fn say(&self, level: Level, event: &str, message: &str) {
        self.log.say(level, event, message);
    }

    /// A line on what somebody with the admin key has done to a key.
    pub(in crate::gateway) fn audit(&self, event: &str, key: &str, name: &str, team: Option<&str>) {
        self.log.audit(event, key, name, team);
    }

    /// The answer to `GET /metrics`, with what is read of `setup`; 404 without metrics.
    pub async fn scrape(self: Arc<Self>, setup: Arc<Setup>) -> Response<Body> {
        // Others may take their time, and the process is read from files.
        let written = tokio::task::spawn_blocking(move || self.text(&setup)).await;
        let (status, kind, text) = match written {
            Ok(Some(text)) => (StatusCode::OK, sheet::MEDIA_TYPE, text),
            Ok(None) => (StatusCode::NOT_FOUND, "text/plain", "metrics are switched off\n".to_owned()),
            Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "metrics could not be read\n".to_owned()),
        };
        let mut response = Response::new(Body::from(text));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        response
    }

    /// All metrics as Prometheus reads them; `None` where they are switched off.
    pub fn text(&self, setup: &Setup) -> Option<String> {
        let mut sheet = Sheet::default();
        self.metrics.as_ref()?.write(&mut sheet);
        gauges::of_setup(setup, &mut sheet);
        gauges::of_seeing(self.log.dropped(), self.exporter.as_ref().map(Exporter::counts), &mut sheet);
        gauges::of_process(&mut sheet);
        sheet.told(&self.told());
        Some(sheet.into_text())
    }

    fn told(&self) -> Vec<(String, f64)> {
        let Some(others) = &self.others else { return Vec::new() };
        let mut kept = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some((at, told)) if at.elapsed() < FRESH => told.clone(),
            _ => {
                let told = others.told();
                *kept = Some((Instant::now(), told.clone()));
                told
            }
        }
    }
}

impl Observer for Seeing {
    fn seen(&self, event: &Event<'_>) {
        if let Some(metrics) = &self.metrics {
            metrics.seen(event);
        }
        self.log.seen(event);
        if let Some(exporter) = &self.exporter {
            let context = Context::of(event.id, event.traceparent);
            if context.is_sampled(self.share) {
                exporter.send(spans::of(event, &context));
            }
        }
    }
}

impl std::fmt::Debug for Seeing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seeing").field("log", &self.log).field("exporter", &self.exporter).finish_non_exhaustive()
    }
}

/// Whether it failed on this side of the caller: what he did wrong is no failure of the server's. The status of a stream
/// that broke is that of its beginning.
fn is_failure(event: &Event<'_>) -> bool {
    event.status >= 500 || (event.error.is_some() && event.status < 400)
}

/// A failure's kind in a word: `timeout`, `status_503`, `budget_exceeded`. Not its message, which may hold what a
/// provider repeated of the prompt.
pub(in crate::gateway) fn kind(error: &Error) -> Cow<'static, str> {
    if let Some(denied) = error.why_denied() {
        return denied.code.into();
    }
    if let Some(answer) = error.answer() {
        return format!("status_{}", answer.status).into();
    }
    match error.kind() {
        Kind::Value | Kind::Type => "request",
        Kind::Name => "unknown_model",
        Kind::Missing => "missing",
        Kind::Io => "io",
        Kind::Checkpoint => "checkpoint",
        Kind::Unsupported => "unsupported",
        Kind::Routing => "routing",
        Kind::Connection => "connection",
        Kind::Timeout => "timeout",
        Kind::Status => "status",
        Kind::Protocol => "protocol",
        Kind::Cancelled => "cancelled",
        Kind::Denied => "denied",
        Kind::Foreign => "router",
    }
    .into()
}
