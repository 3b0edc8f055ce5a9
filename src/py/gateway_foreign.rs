//! Decisions that are made by the Controller in Python, for the server: on threads of their own, a few at a time.
//!
//! They are not tokio's: what Python calls on them may wait for a runtime itself, which a thread of a runtime must not.

use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::timeout;

use super::calls::PyClient;
use super::money::Amount;
use super::request::PyVerdict;
use crate::error::{Denied, Error, Kind, Result};
use crate::gateway::Target;
use crate::gateway::deciding::{Asked, Broken, Decided, Elsewhere};
use crate::providers::secrets::without_keys;
use crate::text::one_line::one_line;

/// Decisions at the same time: a router may wait for a service of its own, and the interpreter runs one at a time anyway.
const AT_ONCE: usize = 64;
/// So much of an exception's text is told.
const SHOWN: usize = 200;
/// How long a request waits for its turn where all of those are busy.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a decision may take where the policy has no deadline. A router that hangs would hold its callers for ever.
const LONGEST: Duration = Duration::from_mins(1);

type Work = Box<dyn FnOnce() + Send>;

/// Work and its permit, which is the thread's: whoever asked may leave, and the work goes on.
struct Job {
    work: Work,
    permit: OwnedSemaphorePermit,
}

/// The Controller's decisions.
pub(super) struct Foreign {
    /// `decide(model, body, task, session, tags)`, as `ferroute._gateway_deciding` has it.
    decide: Arc<Py<PyAny>>,
    targets: Vec<Arc<Target>>,
    threads: Threads,
}

impl Foreign {
    pub(super) fn new(decide: &Bound<'_, PyAny>, targets: Vec<Arc<Target>>) -> Self {
        Self { decide: Arc::new(decide.clone().unbind()), targets, threads: Threads::default() }
    }
}

impl Elsewhere for Foreign {
    fn decide<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Result<Decided>> {
        let (decide, targets, owned) = (Arc::clone(&self.decide), self.targets.clone(), asked.clone());
        let is_unlimited = targets.first().is_none_or(|target| target.plan.policy.deadline.is_none());
        let work = self.threads.run(move || Python::attach(|py| decided(decide.bind(py), &targets, &owned)));
        if !is_unlimited {
            // Whoever asks for the decision keeps to it.
            return work.boxed();
        }
        let within = async move {
            timeout(LONGEST, work).await.unwrap_or_else(|_| {
                let said = format!("the router has not decided within {} s", LONGEST.as_secs());
                Err(Error::new(Kind::Timeout, said).settled())
            })
        };
        within.boxed()
    }
}

fn decided(decide: &Bound<'_, PyAny>, targets: &[Arc<Target>], asked: &Asked) -> Result<Decided> {
    let py = decide.py();
    let body = PyBytes::new(py, asked.request.bytes());
    let extras = &asked.extras;
    let called = decide.call1((asked.model.as_str(), body, &extras.task, &extras.session, extras.tags.clone()));
    let told = called.map_err(|error| broken(py, &error))?;
    read(&told, targets, asked).map_err(|error| broken(py, &error))?
}

/// What is left of an exception that should not have come this far.
fn broken(py: Python<'_>, error: &PyErr) -> Error {
    let class = error.get_type(py).name().map_or_else(|_| "Exception".to_owned(), |name| name.to_string());
    let said = error.value(py).str().map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned());
    Error::new(Kind::Foreign, format!("the router failed ({class}: {})", first_line(&said)))
}

/// The first line of what an exception says, without what looks like a key: exceptions quote what was sent.
fn first_line(said: &str) -> String {
    let first = said.trim_start().lines().next().unwrap_or_default();
    let clean: String = without_keys(first).chars().take(SHOWN).collect();
    one_line(&clean).into_owned()
}

fn read(told: &Bound<'_, PyAny>, targets: &[Arc<Target>], asked: &Asked) -> PyResult<Result<Decided>> {
    let told = told.cast::<PyDict>()?.as_any();
    let item = |name: &str| told.get_item(name);
    let failed: Option<(String, String)> = item("error")?.extract()?;
    if let Some((kind, message)) = failed {
        let kind = match kind.as_str() {
            "routing" => Kind::Routing,
            "value" => Kind::Value,
            _ => {
                // What the exception says is told apart, since it may hold anything.
                let said: String = item("said")?.extract()?;
                let error = Error::new(Kind::Foreign, format!("{message}: {})", first_line(&said)));
                let raised = told.cast::<PyDict>()?.get_item("raised")?;
                let raised: Option<(String, String)> = raised.map(|it| it.extract()).transpose()?;
                return Ok(Err(match raised {
                    Some((router, class)) => error.with_raised(Broken { router, class }),
                    None => error,
                }));
            }
        };
        return Ok(Err(Error::new(kind, message)));
    }
    let rung: Option<usize> = item("rung")?.extract()?;
    let target = if let Some(target) = rung.and_then(|rung| targets.get(rung)) {
        Arc::clone(target)
    } else {
        let client = item("client")?;
        let plan = client.cast::<PyClient>()?.get().plain();
        Arc::new(Target::new(item("model")?.extract()?, plan))
    };
    let cost: Option<Amount> = item("router_cost")?.extract()?;
    let text = item("text")?;
    let text = text.cast::<PyString>().ok().map(|text| super::arguments::text(text).into_owned().into());
    let mut verdicts = Vec::new();
    for verdict in item("verdicts")?.try_iter()? {
        verdicts.push(verdict?.cast::<PyVerdict>()?.get().0.clone());
    }
    let microseconds: f64 = item("routing_us")?.extract()?;
    Ok(Ok(Decided {
        rung,
        wanted: item("wanted")?.extract()?,
        limits: (item("floor")?.extract()?, item("ceiling")?.extract()?),
        barred: item("barred")?.extract()?,
        tier: item("tier")?.extract()?,
        router: item("router")?.extract()?,
        path: item("path")?.extract()?,
        win_rate: item("win_rate")?.extract()?,
        thresholds: item("thresholds")?.extract()?,
        shares: item("shares")?.extract()?,
        rank: item("rank")?.extract()?,
        verdicts,
        failed: item("failed")?.extract()?,
        stay: item("stay")?.extract()?,
        reason: item("reason")?.extract()?,
        notes: item("notes")?.extract()?,
        warmup: item("warmup")?.extract()?,
        holdout: item("holdout")?.extract()?,
        router_cost: cost.map(|cost| cost.0),
        took: Duration::try_from_secs_f64(microseconds / 1e6).unwrap_or_default(),
        text,
        baseline: item("baseline")?.extract()?,
        ..Decided::by_name(target, asked.model.clone())
    }))
}

/// All threads are in routers that do not come back.
fn busy() -> Error {
    let denied = Denied { status: 503, code: "router_busy", retry_after: Some(PATIENCE) };
    Error::denied(
        denied,
        format!("{AT_ONCE} requests are waiting for their router's decision already; try again later"),
    )
}

/// Threads that wait for work, made when there are too few. They end with this object.
struct Threads {
    idle: Arc<Mutex<Vec<Sender<Job>>>>,
    free: Arc<Semaphore>,
}

impl Default for Threads {
    fn default() -> Self {
        Self { idle: Arc::default(), free: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Threads {
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let stopped = || Error::new(Kind::Foreign, "the router's work has broken off");
        let turn = timeout(PATIENCE, Arc::clone(&self.free).acquire_owned()).await;
        let permit = turn.map_err(|_| busy())?.map_err(|_| stopped())?;
        let (done, result) = oneshot::channel();
        // Whoever asked may have left: then nobody hears it.
        let work = move || drop(done.send(work()));
        let mut job = Job { work: Box::new(work), permit };
        loop {
            let waiting = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(sender) = waiting else { break };
            match sender.send(job) {
                Ok(()) => return result.await.map_err(|_| stopped())?,
                // It has ended: a panic beneath it.
                Err(back) => job = back.0,
            }
        }
        self.start(job)?;
        result.await.map_err(|_| stopped())?
    }

    fn start(&self, first: Job) -> Result<()> {
        let idle = Arc::downgrade(&self.idle);
        let life = move || {
            let Job { mut work, mut permit } = first;
            loop {
                work();
                let (sender, jobs) = mpsc::channel::<Job>();
                // The end of the pool is the end of its senders, and so of this thread.
                let Some(idle) = idle.upgrade() else { return };
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
                drop(idle);
                // Not before it can be found: else the next request would start another thread beside it.
                drop(permit);
                let Ok(next) = jobs.recv() else { return };
                Job { work, permit } = next;
            }
        };
        let started = thread::Builder::new().name("ferroute-router".to_owned()).spawn(life);
        started
            .map(drop)
            .map_err(|error| Error::new(Kind::Io, format!("a router's thread could not be started: {error}")))
    }
}
