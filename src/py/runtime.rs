//! One lazy tokio runtime for each process, and how a thread of Python's waits on it. How an asyncio loop does is in
//! [`super::awaitable`]; the way for loops that cannot watch a socket is here.
//!
//! A forked child has none of its parent's threads, so it makes a runtime of its own (see [`PerProcess`]).

use std::cell::OnceCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3_async_runtimes::TaskLocals;
use pyo3_async_runtimes::generic::{self, ContextExt, JoinError};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::error::{Error, Kind, Result};
use crate::providers::process::PerProcess;

/// How often a blocked call looks for Ctrl-C.
const SIGNAL_POLL: Duration = Duration::from_millis(50);

static RUNTIME: PerProcess<Runtime> = PerProcess::new();

/// This process's runtime, made on first use.
pub(super) fn runtime() -> Result<&'static Runtime> {
    RUNTIME.get_or_try_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("ferroute-io")
            .enable_all()
            .build()
            .map_err(|e| Error::new(Kind::Io, format!("the I/O threads could not be started: {e}")))
    })
}

/// Drives `future` to its end with the interpreter released; Ctrl-C drops it and raises at once.
pub(super) fn block_on<F, T, E>(py: Python<'_>, future: F) -> PyResult<T>
where
    F: Future<Output = Result<T, E>> + Send,
    T: Send,
    E: Into<PyErr>,
{
    if Handle::try_current().is_ok() {
        return Err(Error::value("a blocking call cannot be made from the progress callback of another call").into());
    }
    let runtime = runtime()?;
    py.detach(|| wait(runtime, future))
}

/// Asks the interpreter, unless it is ending: a daemon thread then has nobody to hear from, and may wait until the process ends.
pub(super) fn unless_it_ends(ask: impl for<'py> FnOnce(Python<'py>) -> PyResult<()>) -> PyResult<()> {
    Python::try_attach(ask).unwrap_or(Ok(()))
}

/// Runs Python's signal handlers; what one raises is the error.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough in its lifetime")]
pub(super) fn hear_signals() -> PyResult<()> {
    unless_it_ends(|py| py.check_signals())
}

/// Waits for `future` without the interpreter, looking for signals in between.
///
/// Signal handlers run between two slices of the work, outside the runtime, so that they may make calls themselves.
pub(super) fn wait<T, E: Into<PyErr>>(runtime: &Runtime, future: impl Future<Output = Result<T, E>>) -> PyResult<T> {
    let mut future = pin!(future);
    loop {
        match runtime.block_on(async { tokio::time::timeout(SIGNAL_POLL, future.as_mut()).await }) {
            Ok(result) => return result.map_err(Into::into),
            Err(_) => hear_signals()?,
        }
    }
}

/// As [`super::awaitable::future_into_py`], for a loop that has to be woken for each result.
pub(super) fn woken_each_time<'py, F, T, E>(py: Python<'py>, future: F) -> PyResult<Bound<'py, PyAny>>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    E: Into<PyErr>,
    T: for<'a> IntoPyObject<'a> + Send + 'static,
{
    runtime()?;
    generic::future_into_py::<Spawner, _, T>(py, async move { future.await.map_err(Into::into) })
}

/// The runtime above, in the shape pyo3-async-runtimes asks for.
struct Spawner;

pub(super) struct Stopped(tokio::task::JoinError);

impl JoinError for Stopped {
    fn is_panic(&self) -> bool {
        self.0.is_panic()
    }

    fn into_panic(self) -> Box<dyn std::any::Any + Send + 'static> {
        self.0.into_panic()
    }
}

pub(super) struct Joined(JoinHandle<()>);

impl Future for Joined {
    type Output = std::result::Result<(), Stopped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map_err(Stopped)
    }
}

tokio::task_local! {
    static LOCALS: OnceCell<TaskLocals>;
}

#[expect(clippy::expect_used, reason = "`future_into_py` has made the runtime before anything is spawned on it")]
fn made() -> &'static Runtime {
    runtime().expect("the runtime exists")
}

impl generic::Runtime for Spawner {
    type JoinError = Stopped;
    type JoinHandle = Joined;

    fn spawn<F>(future: F) -> Self::JoinHandle
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Joined(made().spawn(future))
    }

    fn spawn_blocking<F>(work: F) -> Self::JoinHandle
    where
        F: FnOnce() + Send + 'static,
    {
        Joined(made().spawn_blocking(work))
    }
}

impl ContextExt for Spawner {
    fn scope<F, R>(locals: TaskLocals, future: F) -> Pin<Box<dyn Future<Output = R> + Send>>
    where
        F: Future<Output = R> + Send + 'static,
    {
        Box::pin(LOCALS.scope(OnceCell::from(locals), future))
    }

    fn get_task_locals() -> Option<TaskLocals> {
        LOCALS.try_with(|cell| cell.get().cloned()).ok().flatten()
    }
}
