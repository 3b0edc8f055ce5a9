//! Routing for Python: the model string, the threshold, the share window.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::error::Error;
use crate::routing::model_name::{self, Refused, Rule};
use crate::routing::{self, python_float};

#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "the list made from Python's is ours")]
fn parse_model_name(model: &str, names: Vec<String>) -> PyResult<(String, f64, bool)> {
    match model_name::parse(model, names.iter().map(String::as_str)) {
        Ok(requested) => Ok(match requested.rule {
            Rule::Threshold(threshold) => (requested.router, threshold, false),
            Rule::Share(share) => (requested.router, share, true),
        }),
        // The original's `ValueError`, which no `except RoutingError` catches.
        Err(refused @ Refused::TooFewParts(_)) => Err(PyValueError::new_err(Error::from(refused).message().to_owned())),
        Err(Refused::Routing(error)) => Err(error.into()),
    }
}

#[pyfunction]
fn validate(
    router: &str,
    routers: &Bound<'_, PyDict>,
    number: f64,
    is_share: bool,
    shown: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let number_ok = (0.0..=1.0).contains(&number);
    if number_ok && routers.contains(router)? {
        return Ok(());
    }
    let names = routers
        .keys()
        .iter()
        .map(|name| Ok(name.str()?.to_string_lossy().into_owned()))
        .collect::<PyResult<Vec<_>>>()?;
    let shown = shown.str()?.to_string_lossy().into_owned();
    let rule = if is_share { Rule::Share(number) } else { Rule::Threshold(number) };
    Ok(model_name::validate(router, names.iter().map(String::as_str), rule, || shown)?)
}

#[pyfunction]
fn decide(win_rate: f64, threshold: f64) -> (bool, String) {
    let choice = routing::by_threshold(win_rate, threshold);
    (choice.strong, choice.reason)
}

#[pyfunction]
fn parse_float(text: &str) -> Option<f64> {
    python_float::parse(text)
}

#[pyfunction]
fn float_repr(value: f64) -> String {
    python_float::repr(value)
}

#[pyfunction]
fn percent(share: f64) -> String {
    model_name::percent(share)
}

#[pyclass(frozen, module = "ferroute._core")]
struct ShareWindow(Mutex<routing::ShareWindow>);

#[pymethods]
impl ShareWindow {
    #[new]
    #[pyo3(signature = (pseudo_scores = vec![]))]
    fn new(pseudo_scores: Vec<f64>) -> Self {
        Self(Mutex::new(routing::ShareWindow::new(pseudo_scores)))
    }

    fn push(&self, win_rate: f64) {
        self.lock().push(win_rate);
    }

    fn decide(&self, win_rate: f64, share: f64, prompt: &Bound<'_, PyString>) -> (bool, String, bool) {
        let prompt = super::arguments::text(prompt);
        let window = self.lock();
        let choice = window.decide(win_rate, share, &prompt);
        (choice.strong, choice.reason, window.warmup())
    }

    fn __len__(&self) -> usize {
        self.lock().own()
    }
}

impl ShareWindow {
    fn lock(&self) -> std::sync::MutexGuard<'_, routing::ShareWindow> {
        // Every method leaves the window whole, so a poisoned lock holds nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(parse_model_name, m)?)?;
    m.add_function(wrap_pyfunction!(validate, m)?)?;
    m.add_function(wrap_pyfunction!(decide, m)?)?;
    m.add_function(wrap_pyfunction!(parse_float, m)?)?;
    m.add_function(wrap_pyfunction!(float_repr, m)?)?;
    m.add_function(wrap_pyfunction!(percent, m)?)?;
    m.add_class::<ShareWindow>()
}
