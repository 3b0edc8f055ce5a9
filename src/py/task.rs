//! `_core.guess_task` and the names of tasks.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::arguments::text as read;
use crate::routers::task;

#[pyfunction]
fn task_cues(text: &Bound<'_, PyString>) -> PyResult<(Vec<u32>, Vec<f32>)> {
    Ok(task::cues(&read(text))?)
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(task_cues, m)?)?;
    Ok(())
}
