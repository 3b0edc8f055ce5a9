//! Long work of the core that signals and a progress callback can end.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

use super::runtime::unless_it_ends;
use crate::error::{Error, Kind, Result};

/// Signals are looked for this often: to take the interpreter's lock may mean to wait for it.
const EVERY: Duration = Duration::from_millis(20);

/// Runs `work` with the interpreter released. It says how it advances: at times signals are handled, and `progress` is
/// called with every number that is not 0. What either raises ends the work and comes out.
pub(super) fn watched<T: Send>(
    py: Python<'_>,
    progress: Option<&Py<PyAny>>,
    work: impl FnOnce(&mut dyn FnMut(usize) -> Result<()>) -> Result<T> + Send,
) -> PyResult<T> {
    let (mut raised, mut looked) = (None, Instant::now());
    let result = py.detach(|| {
        work(&mut |done| {
            let progress = progress.filter(|_| done > 0);
            if progress.is_none() && looked.elapsed() < EVERY {
                return Ok(());
            }
            looked = Instant::now();
            let told = unless_it_ends(|py| {
                py.check_signals()?;
                progress.map_or(Ok(()), |progress| progress.call1(py, (done,)).map(drop))
            });
            told.map_err(|error| {
                raised = Some(error);
                Error::new(Kind::Cancelled, "ended by a signal or by progress")
            })
        })
    });
    match raised {
        Some(error) => Err(error),
        None => Ok(result?),
    }
}
