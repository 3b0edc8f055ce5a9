//! Filters, views and sessions for Python: `_core.Serving`, `_core.Sessions`, `_core.viewed`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use secrecy::SecretString;

use super::arguments::{List, text};
use super::given::Where;
use super::request::PyRequest;
use crate::engine::serving::{Call, Found, Rung, Serving};
use crate::error::Error;
use crate::math::waiting;
use crate::pricing::Table;
use crate::routing::filters::{self, Needs};
use crate::routing::sticky::{self, Rungs, Session};
use crate::routing::views::{self, Part};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(viewed, m)?)?;
    m.add_function(wrap_pyfunction!(only_follows, m)?)?;
    m.add_class::<PyServing>()?;
    m.add_class::<PySessions>()
}

#[pyfunction]
fn viewed(request: &PyRequest, view: &str, join: bool) -> PyResult<String> {
    let part = Part::named(view).ok_or_else(|| Error::value(format!("there is no view `{view}`")))?;
    Ok(part.text(&request.0, join).into_owned())
}

#[pyfunction]
fn only_follows(turn: &Bound<'_, PyString>) -> bool {
    views::only_follows(&text(turn))
}

/// For each rung why it is barred, notes, the places of those that were shut down with what is said of them, and for each
/// rung whether it could answer all the same.
type Told = (Vec<Option<String>>, Vec<String>, Vec<(usize, String)>, Vec<bool>);

#[pyclass(name = "Serving", module = "ferroute._core", frozen)]
pub(super) struct PyServing(pub(super) Arc<Serving>);

#[pymethods]
impl PyServing {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "the list made from Python's is ours")]
    fn new(rungs: List<(Bound<'_, PyString>, Bound<'_, PyDict>)>, skips_retired: bool) -> PyResult<Self> {
        let rungs = rungs.iter().map(|(model, settings)| rung(model, settings)).collect::<PyResult<_>>()?;
        Ok(Self(Arc::new(Serving::new(rungs, skips_retired))))
    }

    #[pyo3(signature = (chars, max_latency_ms=None))]
    fn check_text(&self, chars: usize, max_latency_ms: Option<f64>) -> Option<Told> {
        let call = Call { limit: max_latency_ms.and_then(limit), ..Call::default() };
        self.0.check(&Needs::of_text(chars), &call).map(told)
    }

    #[pyo3(signature = (request, *, max_latency_ms=None, stream=false, api_base=None, api_key=None))]
    fn check(
        &self,
        request: &PyRequest,
        max_latency_ms: Option<f64>,
        stream: bool,
        api_base: Option<&Bound<'_, PyAny>>,
        api_key: Option<&Bound<'_, PyAny>>,
    ) -> Option<Told> {
        // What is no string is for the call to refuse.
        let given = |value: Option<&Bound<'_, PyAny>>| Some(text(value?.cast().ok()?).into_owned());
        let call = Call {
            api_base: given(api_base),
            api_key: given(api_key).map(SecretString::from),
            limit: max_latency_ms.and_then(limit),
            stream,
        };
        self.0.check(&Needs::of(&request.0), &call).map(told)
    }

    #[expect(clippy::needless_pass_by_value, reason = "the list made from Python's is ours")]
    fn in_place_of(&self, model: &str, reason: &str, barred: List<Option<String>>) -> PyResult<usize> {
        Ok(filters::in_place_of(model, reason, &self.models(), &barred)?)
    }
}

impl PyServing {
    fn models(&self) -> Vec<&str> {
        self.0.rungs().iter().map(|rung| rung.model.as_str()).collect()
    }
}

fn rung(model: &Bound<'_, PyString>, settings: &Bound<'_, PyDict>) -> PyResult<Rung> {
    let given = |name: &str| Ok::<_, PyErr>(settings.get_item(name)?.filter(|value| !value.is_none()));
    let asked = Where {
        base: given("api_base")?.as_ref(),
        key: given("api_key")?.as_ref(),
        organization: None,
        headers: None,
        query: given("extra_query")?.as_ref(),
        api_version: given("api_version")?.as_ref(),
        base_model: given("base_model")?.as_ref(),
    }
    .asked()
    .ok();
    Ok(Rung { model: text(model).into_owned(), asked })
}

fn limit(milliseconds: f64) -> Option<Duration> {
    waiting::seconds(milliseconds / 1e3)
}

fn told(found: Found) -> Told {
    (found.barred.reasons, found.barred.notes, found.retired, found.barred.unfit)
}

/// The conversations of one Controller; no text of them is kept.
#[pyclass(name = "Sessions", module = "ferroute._core", frozen)]
pub(super) struct PySessions(pub(super) Arc<Mutex<sticky::Sessions>>);

#[pymethods]
impl PySessions {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    #[pyo3(signature = (serving, request, wanted, *, ceiling=None, barred=List::default()))]
    #[expect(clippy::needless_pass_by_value, reason = "the list made from Python's is ours")]
    fn stay(
        &self,
        serving: &PyServing,
        request: &PyRequest,
        wanted: usize,
        ceiling: Option<usize>,
        barred: List<Option<String>>,
    ) -> Option<(usize, String)> {
        let names: Vec<Vec<&str>> = serving.0.rungs().iter().map(Rung::names).collect();
        let rungs = Rungs { models: &serving.models(), names: &names, barred: &barred, ceiling };
        self.lock().stay(&request.0, wanted, &rungs, Table::shared(), Instant::now())
    }

    fn remember(&self, serving: &PyServing, request: &PyRequest, rung: Option<usize>) {
        let Some(session) = Session::of(&request.0) else { return };
        match rung {
            Some(rung) => {
                let prompt = request.0.prompt_tokens();
                self.lock().remember(session, rung, &serving.models(), prompt, Instant::now());
            }
            None => self.lock().forget(session),
        }
    }

    fn __len__(&self) -> usize {
        self.lock().len()
    }
}

impl PySessions {
    fn lock(&self) -> MutexGuard<'_, sticky::Sessions> {
        // Every method leaves the sessions whole, so a poisoned lock holds nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
