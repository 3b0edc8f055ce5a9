//! Futures of the runtime as awaitables of a running asyncio loop.
//!
//! A loop is woken once for all the results that are there, not once for each: at thousands of calls a second the
//! waking and the fight for the interpreter's lock are what costs. A finished future puts its result into its loop's
//! queue and, if nobody has rung yet, rings a bell: a byte on a socket pair that the loop watches. So no thread of the
//! runtime waits for the lock, and results become Python objects on the loop's own thread. A loop that cannot watch
//! sockets (Windows' proactor) gets each result as `pyo3-async-runtimes` brings it.

use std::cell::RefCell;
use std::future::Future;
use std::io::{Read, Write};
use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use pyo3::exceptions::{PyNotImplementedError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};
use pyo3::{IntoPyObjectExt, intern};
use tokio::task::AbortHandle;

use super::runtime::{runtime, woken_each_time};

#[cfg(not(unix))]
use std::net::TcpStream as Socket;
#[cfg(unix)]
use std::os::unix::net::UnixStream as Socket;

/// Makes a result into its Python object, under the lock.
type Convert = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

/// Hands `future` to the runtime as an awaitable of the running loop; cancelling one drops the other.
pub(super) fn future_into_py<'py, F, T, E>(py: Python<'py>, future: F) -> PyResult<Bound<'py, PyAny>>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    E: Into<PyErr>,
    T: for<'a> IntoPyObject<'a> + Send + 'static,
{
    let runtime = runtime()?;
    let running = running_loop(py)?;
    let Some(results) = results_of(&running)? else { return woken_each_time(py, future) };
    let awaitable = running.call_method0(intern!(py, "create_future"))?;
    let waiting = awaitable.clone().unbind();
    let task = runtime.spawn(async move {
        let convert: Convert = match AssertUnwindSafe(future).catch_unwind().await {
            Ok(Ok(value)) => Box::new(|py| value.into_py_any(py)),
            Ok(Err(error)) => {
                let error: PyErr = error.into();
                Box::new(move |_| Err(error))
            }
            Err(_) => Box::new(|_| Err(PyRuntimeError::new_err("an internal error of ferroute: please report it"))),
        };
        results.put(waiting, convert);
    });
    awaitable.call_method1(intern!(py, "add_done_callback"), (Cancel(task.abort_handle()),))?;
    Ok(awaitable)
}

fn running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static GET: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    GET.import(py, "asyncio", "get_running_loop")?.call0()
}

/// Called by the loop when an awaitable is done; if that is because it was cancelled, the work ends as well.
#[pyclass(module = "ferroute._core", frozen)]
struct Cancel(AbortHandle);

#[pymethods]
impl Cancel {
    fn __call__(&self, awaitable: &Bound<'_, PyAny>) -> PyResult<()> {
        if awaitable.call_method0(intern!(awaitable.py(), "cancelled"))?.is_truthy()? {
            self.0.abort();
        }
        Ok(())
    }
}

/// The results that wait for one loop.
struct Results {
    waiting: Mutex<Vec<(Py<PyAny>, Convert)>>,
    rung: AtomicBool,
    /// The end that is written to; the loop watches the other one.
    bell: Socket,
    process: u32,
}

impl Results {
    fn put(&self, awaitable: Py<PyAny>, convert: Convert) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).push((awaitable, convert));
        if !self.rung.swap(true, Ordering::AcqRel) {
            // Full, it has rung already; closed, the loop is gone and nobody waits.
            let _ = (&self.bell).write(&[1]);
        }
    }
}

/// Called by the loop when the bell has rung: hands out all the results there are.
#[pyclass(module = "ferroute._core", frozen)]
struct Drain {
    results: Arc<Results>,
    ear: Socket,
}

#[pymethods]
impl Drain {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let _ = (&self.ear).read(&mut [0; 64]);
        // Before the results are taken: one that comes now rings again.
        self.results.rung.store(false, Ordering::Release);
        let waiting = mem::take(&mut *self.results.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        for (awaitable, convert) in waiting {
            let awaitable = awaitable.bind(py);
            if awaitable.call_method0(intern!(py, "done"))?.is_truthy()? {
                continue;
            }
            match convert(py) {
                Ok(value) => awaitable.call_method1(intern!(py, "set_result"), (value,))?,
                Err(error) => awaitable.call_method1(intern!(py, "set_exception"), (error,))?,
            };
        }
        Ok(())
    }
}

thread_local! {
    /// The loops this thread has run, nearly always one.
    static LOOPS: RefCell<Vec<(Py<PyWeakrefReference>, Arc<Results>)>> = const { RefCell::new(Vec::new()) };
}

/// The queue of a loop, made on first use; `None` for a loop that cannot watch a socket.
fn results_of(running: &Bound<'_, PyAny>) -> PyResult<Option<Arc<Results>>> {
    let py = running.py();
    let process = std::process::id();
    let known = LOOPS.with_borrow(|loops| {
        let mine = |known: &&(Py<PyWeakrefReference>, Arc<Results>)| {
            known.1.process == process && known.0.bind(py).upgrade().is_some_and(|known| known.is(running))
        };
        loops.iter().rfind(mine).map(|(_, results)| Arc::clone(results))
    });
    if known.is_some() {
        return Ok(known);
    }
    let Some(results) = watched(running, process)? else { return Ok(None) };
    let weak = PyWeakrefReference::new(running)?.unbind();
    let gone = LOOPS.with_borrow_mut(|loops| {
        let (kept, gone): (Vec<_>, Vec<_>) =
            mem::take(loops).into_iter().partition(|(known, _)| known.bind(py).upgrade().is_some());
        *loops = kept;
        loops.push((weak, Arc::clone(&results)));
        gone
    });
    // Outside the borrow: dropping may run Python code, which may come back here.
    drop(gone);
    Ok(Some(results))
}

#[cfg(unix)]
fn watched(running: &Bound<'_, PyAny>, process: u32) -> PyResult<Option<Arc<Results>>> {
    use std::os::fd::AsRawFd;
    let py = running.py();
    let pair = || {
        let (bell, ear) = Socket::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok::<_, std::io::Error>((bell, ear))
    };
    let (bell, ear) = pair()?;
    let number = ear.as_raw_fd();
    let results = Arc::new(Results { waiting: Mutex::default(), rung: AtomicBool::new(false), bell, process });
    let drain = Drain { results: Arc::clone(&results), ear };
    match running.call_method1(intern!(py, "add_reader"), (number, drain)) {
        Ok(_) => Ok(Some(results)),
        Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(not(unix))]
fn watched(_running: &Bound<'_, PyAny>, _process: u32) -> PyResult<Option<Arc<Results>>> {
    Ok(None)
}
