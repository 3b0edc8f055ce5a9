//! `_core.read_prompts`: prompts from files, in batches.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;

use super::runtime::hear_signals;
use crate::data::prompts::{Format, Options, Prompts};
use crate::error::{Error, Kind};

thread_local! {
    /// What a signal handler raised while the core was waiting for input on this thread.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
    /// The readers that this thread is inside of; a signal handler may come back for more.
    static INSIDE: RefCell<Vec<*const PyPrompts>> = const { RefCell::new(Vec::new()) };
}

#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]
#[pyo3(signature = (path, *, format=None, column=None, skip_bad=false, batch_size=1024))]
fn read_prompts(
    py: Python<'_>,
    path: PathBuf,
    format: Option<&str>,
    column: Option<String>,
    skip_bad: bool,
    batch_size: usize,
) -> PyResult<PyPrompts> {
    if batch_size == 0 {
        return Err(Error::value("batch_size: expected at least 1, found 0").into());
    }
    let format = format.map(Format::from_name).transpose()?;
    let options = Options { format, column, skip_bad, on_interrupt: Some(handle_signals) };
    let prompts =
        py.detach(
            || {
                if path.as_os_str() == "-" { Prompts::from_stdin(&options) } else { Prompts::open(&path, &options) }
            },
        );
    Ok(PyPrompts { prompts: Mutex::new(prompts.map_err(raised)?), batch_size })
}

/// The lock lets threads share one reader; it is only ever taken with the interpreter released.
#[pyclass(name = "PromptBatches", module = "ferroute._core", frozen)]
struct PyPrompts {
    prompts: Mutex<Prompts>,
    batch_size: usize,
}

impl PyPrompts {
    /// Waits for other threads; this one would wait for itself.
    fn with<T: Send>(&self, py: Python<'_>, ask: impl FnOnce(&mut Prompts) -> T + Send) -> PyResult<T> {
        if INSIDE.with_borrow(|inside| inside.contains(&std::ptr::from_ref(self))) {
            return Err(
                Error::value("a signal handler cannot use the reader of prompts that it has interrupted").into()
            );
        }
        INSIDE.with_borrow_mut(|inside| inside.push(self));
        let answer = py.detach(|| ask(&mut self.prompts.lock().unwrap_or_else(PoisonError::into_inner)));
        INSIDE.with_borrow_mut(Vec::pop);
        Ok(answer)
    }
}

#[pymethods]
impl PyPrompts {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Vec<(u64, String)>>> {
        let batch = self.with(py, |prompts| prompts.next_batch(self.batch_size))?.map_err(raised)?;
        Ok((!batch.is_empty()).then(|| batch.into_iter().map(|prompt| (prompt.row, prompt.text)).collect()))
    }

    #[getter]
    fn format(&self, py: Python<'_>) -> PyResult<&'static str> {
        self.with(py, |prompts| prompts.format().name())
    }

    #[getter]
    fn skipped(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |prompts| prompts.skipped())
    }

    #[getter]
    fn first_skipped(&self, py: Python<'_>) -> PyResult<Option<String>> {
        self.with(py, |prompts| prompts.first_skipped().map(str::to_owned))
    }
}

/// Runs Python's signal handlers; false if one raised, as Ctrl-C does.
fn handle_signals() -> bool {
    match hear_signals() {
        Ok(()) => true,
        Err(error) => {
            RAISED.set(Some(error));
            false
        }
    }
}

/// What the signal handler raised, where it ended the reading; otherwise the core's error.
fn raised(error: Error) -> PyErr {
    let raised = if error.kind() == Kind::Cancelled { RAISED.take() } else { None };
    raised.unwrap_or_else(|| error.into())
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyPrompts>()?;
    m.add_function(wrap_pyfunction!(read_prompts, m)?)
}
