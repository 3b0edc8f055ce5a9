//! `_core.guess_task` and the names of tasks; `_core.guess_language`.

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::arguments::text as read;
use crate::routers::task;
use crate::text::language::language;

#[pyfunction]
fn guess_task(text: &Bound<'_, PyString>) -> PyResult<Option<(&'static str, &'static str, f64)>> {
    Ok(task::guess(&read(text))?.map(|guess| (guess.task, guess.tier, guess.confidence)))
}

#[pyfunction]
fn task_names() -> Vec<(&'static str, &'static str)> {
    task::TASKS.to_vec()
}

#[pyfunction]
fn task_aliases() -> Vec<(&'static str, &'static str)> {
    task::ALIASES.to_vec()
}

#[pyfunction]
fn task_alias(name: &Bound<'_, PyString>) -> Option<&'static str> {
    task::canonical(&read(name))
}

#[pyfunction]
fn task_cues(text: &Bound<'_, PyString>) -> PyResult<[Option<task::Cues>; 2]> {
    Ok(task::cues(&read(text))?)
}

#[pyfunction]
fn guess_language(text: &Bound<'_, PyString>) -> Option<&'static str> {
    language(&read(text))
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(guess_task, m)?)?;
    m.add_function(wrap_pyfunction!(task_names, m)?)?;
    m.add_function(wrap_pyfunction!(task_aliases, m)?)?;
    m.add_function(wrap_pyfunction!(task_alias, m)?)?;
    m.add_function(wrap_pyfunction!(task_cues, m)?)?;
    m.add_function(wrap_pyfunction!(guess_language, m)?)
}
