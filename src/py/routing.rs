//! Routing for Python: the model string, the ladder with its thresholds, the share window.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::arguments::List;
use crate::error::Error;
use crate::routing::model_name::{self, Known, Refused, Rule};
use crate::routing::{self, Choice, python_float};

/// Router, number or numbers (`None` where none follows), and whether they are shares.
type Parsed = (String, Option<Numbers>, bool);

/// One number, or one for each step of a ladder.
#[derive(IntoPyObject)]
enum Numbers {
    One(f64),
    Many(Vec<f64>),
}

#[pyfunction]
#[pyo3(signature = (model, hyphenated, naming=List::default(), rungs=2))]
#[expect(clippy::needless_pass_by_value, reason = "the lists made from Python's are ours")]
fn parse_model_name(model: &str, hyphenated: List<String>, naming: List<String>, rungs: usize) -> PyResult<Parsed> {
    let known = Known { hyphenated: &hyphenated, naming: &naming, rungs };
    match model_name::parse(model, known) {
        Ok(requested) => Ok(match requested.rule {
            Rule::Threshold(threshold) => (requested.router, Some(Numbers::One(threshold)), false),
            Rule::Share(share) => (requested.router, Some(Numbers::One(share)), true),
            Rule::Thresholds(cuts) => (requested.router, Some(Numbers::Many(cuts)), false),
            Rule::Shares(shares) => (requested.router, Some(Numbers::Many(shares)), true),
            Rule::Open => (requested.router, None, false),
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
    let names = names_of(routers)?;
    let shown = shown.str()?.to_string_lossy().into_owned();
    let rule = if is_share { Rule::Share(number) } else { Rule::Threshold(number) };
    Ok(model_name::validate(router, names.iter().map(String::as_str), &rule, &[], || shown)?)
}

#[pyfunction]
fn validate_cuts(
    router: &str,
    routers: &Bound<'_, PyDict>,
    cuts: List<f64>,
    are_shares: bool,
    ladder: &Ladder,
) -> PyResult<()> {
    let names = names_of(routers)?;
    let rule = if are_shares { Rule::Shares(cuts.0) } else { Rule::Thresholds(cuts.0) };
    Ok(model_name::validate(router, names.iter().map(String::as_str), &rule, ladder.0.names(), String::new)?)
}

fn names_of(routers: &Bound<'_, PyDict>) -> PyResult<Vec<String>> {
    routers.keys().iter().map(|name| Ok(name.str()?.to_string_lossy().into_owned())).collect()
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

#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "the list made from Python's is ours")]
fn percents(shares: List<f64>) -> String {
    model_name::percents(&shares)
}

/// The last scores of a router; a server shares them with its Controller.
#[pyclass(frozen, module = "ferroute._core")]
pub(super) struct ShareWindow(pub(super) Arc<Mutex<routing::ShareWindow>>);

#[pymethods]
impl ShareWindow {
    #[new]
    #[pyo3(signature = (pseudo_scores = List::default()))]
    fn new(pseudo_scores: List<f64>) -> Self {
        Self(Arc::new(Mutex::new(routing::ShareWindow::new(pseudo_scores.0))))
    }

    fn push(&self, win_rate: f64) {
        self.lock().push(win_rate);
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

/// The rungs of a Controller.
#[pyclass(frozen, module = "ferroute._core")]
pub(super) struct Ladder(pub(super) routing::Ladder);

#[pymethods]
impl Ladder {
    #[new]
    fn new(rungs: List<(String, String)>) -> PyResult<Self> {
        Ok(Self(routing::Ladder::new(rungs)?))
    }

    #[staticmethod]
    fn pair(weak: &Bound<'_, PyString>, strong: &Bound<'_, PyString>) -> Self {
        let owned = |name| super::arguments::text(name).into_owned();
        Self(routing::Ladder::pair(owned(weak), owned(strong)))
    }

    #[getter]
    fn names(&self) -> Vec<&str> {
        self.0.names().iter().map(String::as_str).collect()
    }

    #[getter]
    fn models(&self) -> Vec<&str> {
        self.0.models().iter().map(String::as_str).collect()
    }

    fn __len__(&self) -> usize {
        self.0.rungs()
    }

    fn find(&self, name: &Bound<'_, PyString>) -> PyResult<usize> {
        Ok(self.0.find(&super::arguments::text(name))?)
    }

    fn by_threshold(&self, win_rate: f64, threshold: f64) -> (usize, String) {
        told(self.0.by_thresholds(win_rate, &[threshold]))
    }

    #[expect(clippy::needless_pass_by_value, reason = "the list made from Python's is ours")]
    fn by_thresholds(&self, win_rate: f64, cuts: List<f64>) -> (usize, String) {
        told(self.0.by_thresholds(win_rate, &cuts))
    }

    #[expect(clippy::needless_pass_by_value, reason = "the list made from Python's is ours")]
    fn by_shares(
        &self,
        window: &ShareWindow,
        win_rate: f64,
        shares: List<f64>,
        prompt: &Bound<'_, PyString>,
    ) -> (usize, String, bool, f64) {
        let prompt = super::arguments::text(prompt);
        let window = window.lock();
        let rank = window.rank_of(win_rate, &prompt);
        let choice = self.0.by_shares(&window, win_rate, rank, &shares);
        (choice.index, choice.reason, window.warmup(), rank)
    }

    #[pyo3(signature = (wanted, floor=None, ceiling=None, barred=None))]
    fn settle(
        &self,
        wanted: usize,
        floor: Option<usize>,
        ceiling: Option<usize>,
        barred: Option<List<Option<String>>>,
    ) -> PyResult<(usize, Vec<String>)> {
        let settled = self.0.settle(wanted, floor, ceiling, &barred.unwrap_or_default())?;
        Ok((settled.index, settled.notes))
    }

    fn __repr__(&self) -> String {
        let rungs: Vec<String> =
            self.0.names().iter().zip(self.0.models()).map(|(name, model)| format!("{name}: {model}")).collect();
        format!("<ladder {}>", rungs.join(", "))
    }
}

fn told(choice: Choice) -> (usize, String) {
    (choice.index, choice.reason)
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(parse_model_name, m)?)?;
    m.add_function(wrap_pyfunction!(validate, m)?)?;
    m.add_function(wrap_pyfunction!(validate_cuts, m)?)?;
    m.add_function(wrap_pyfunction!(parse_float, m)?)?;
    m.add_function(wrap_pyfunction!(float_repr, m)?)?;
    m.add_function(wrap_pyfunction!(percent, m)?)?;
    m.add_function(wrap_pyfunction!(percents, m)?)?;
    m.add_class::<ShareWindow>()?;
    m.add_class::<Ladder>()
}
