//! The classifier behind the router `llm_classifier`: `_core.Classifier`.

#![expect(clippy::needless_pass_by_value, reason = "pyo3 extracts a list into an owned vector")]

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyString;

use super::arguments::List;
use super::arguments::text as read;
use super::awaitable::future_into_py;
use super::driver::drive;
use super::given::{MOST_RETRIES, Where, Whole};
use super::money::Amount;
use super::policy::limit;
use super::request::{PyRequest, PyVerdict};
use super::runtime::block_on;
use crate::engine::classify::{Classified, Classifier, Settings};
use crate::error::Error;
use crate::providers::{Endpoint, Http};
use crate::routers::classifier::presets::preset;
use crate::routers::classifier::{Form, Label, Sorter};
use crate::text::view::View;

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyClassifier>()
}

/// Names and what they stand for.
type Pairs = List<(String, String)>;

#[pyclass(name = "Classifier", module = "ferroute._core", frozen)]
pub(super) struct PyClassifier(pub(super) Arc<Classifier>);

#[pymethods]
impl PyClassifier {
    #[new]
    #[pyo3(signature = (
        model, *, preset=None, labels=None, map=List::default(), instructions=None, fallback="mid", timeout=None, max_retries=None,
        cache=None, api_base=None, api_key=None, organization=None, extra_headers=None, extra_query=None,
        api_version=None, base_model=None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn new(
        model: &str,
        preset: Option<&str>,
        labels: Option<Pairs>,
        map: Pairs,
        instructions: Option<&str>,
        fallback: &str,
        timeout: Option<f64>,
        max_retries: Option<Whole<'_>>,
        cache: Option<Whole<'_>>,
        api_base: Option<&Bound<'_, PyAny>>,
        api_key: Option<&Bound<'_, PyAny>>,
        organization: Option<&Bound<'_, PyAny>>,
        extra_headers: Option<&Bound<'_, PyAny>>,
        extra_query: Option<&Bound<'_, PyAny>>,
        api_version: Option<&Bound<'_, PyAny>>,
        base_model: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let sorter = Sorter::new(sorts(preset, labels, map)?, instructions)?;
        let usual = Settings::default();
        let settings = Settings {
            timeout: limit("timeout", timeout)?,
            retries: Whole::within(max_retries, "max_retries", usual.retries, 0..=MOST_RETRIES)?,
            cache: Whole::within(cache, "cache", usual.cache as u32, 0..=u32::MAX)?.into(),
            ..usual
        };
        let at = Where {
            base: api_base,
            key: api_key,
            organization,
            headers: extra_headers,
            query: extra_query,
            api_version,
            base_model,
        };
        Ok(Self(Arc::new(Classifier::new(at.endpoint(model)?, sorter, fallback, settings))))
    }

    #[getter]
    fn provider(&self) -> &'static str {
        self.0.endpoint().provider
    }

    #[getter]
    fn model(&self) -> &str {
        &self.0.endpoint().model
    }

    #[getter]
    fn base_url(&self) -> String {
        self.0.endpoint().shown_base()
    }

    #[getter]
    fn labels(&self) -> Vec<(&str, &str, &str)> {
        let labels = self.0.sorter().labels().iter();
        labels.map(|label| (label.name.as_str(), label.rung.as_str(), label.description.as_str())).collect()
    }

    fn injected(&self, text: &Bound<'_, PyString>) -> Option<String> {
        self.0.sorter().injected(&read(text))
    }

    fn messages(&self, text: &Bound<'_, PyString>) -> (String, String) {
        let question = self.0.sorter().question(&read(text), 0, Form::Word);
        (question.system, question.user)
    }

    fn classify(&self, py: Python<'_>, request: &PyRequest) -> PyResult<Told> {
        let (classifier, view) = (Arc::clone(&self.0), Arc::clone(&request.0));
        drive(py, async |http: &Http| classifier.classify(http, view.text(), shown(&view)).await.map(Told))
    }

    fn aclassify<'py>(&self, py: Python<'py>, request: &PyRequest) -> PyResult<Bound<'py, PyAny>> {
        let (classifier, view) = (Arc::clone(&self.0), Arc::clone(&request.0));
        future_into_py(
            py,
            async move { classifier.classify(Http::shared()?, view.text(), shown(&view)).await.map(Told) },
        )
    }

    #[pyo3(signature = (texts, progress=None))]
    fn classify_batch(
        &self,
        py: Python<'_>,
        texts: List<Bound<'_, PyString>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Told>> {
        let texts: Vec<String> = texts.iter().map(|text| read(text).into_owned()).collect();
        let raised = Mutex::new(None);
        let told = |_| {
            let Some(progress) = &progress else { return ControlFlow::Continue(()) };
            match Python::attach(|py| progress.call1(py, (1,)).map(drop)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    *raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    ControlFlow::Break(())
                }
            }
        };
        let made = block_on(py, async { self.0.classify_batch(Http::shared()?, &texts, told).await });
        if let Some(error) = raised.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        Ok(made?.into_iter().map(Told).collect())
    }

    fn __repr__(&self) -> String {
        let Endpoint { provider, model, .. } = self.0.endpoint();
        format!("Classifier(provider={provider:?}, model={model:?}, base_url={:?})", self.0.endpoint().shown_base())
    }
}

/// Images of the message that is classified.
fn shown(view: &View) -> u32 {
    view.turns.last().map_or(0, |turn| turn.images)
}

/// The labels asked for; a label that `map` does not name goes to its preset's rung, else to the rung of its own name.
fn sorts(name: Option<&str>, labels: Option<Pairs>, map: Pairs) -> PyResult<Vec<Label>> {
    let mut sorts: Vec<Label> = match labels {
        None => preset(name.unwrap_or("article"))?,
        Some(labels) => labels
            .into_iter()
            .map(|(name, description)| Label { rung: name.clone(), name, description, ..Label::default() })
            .collect(),
    };
    for (name, rung) in map {
        let Some(label) = sorts.iter_mut().find(|label| label.name == name) else {
            let known: Vec<&str> = sorts.iter().map(|label| label.name.as_str()).collect();
            return Err(Error::value(format!("map: there is no label {name:?}; there are {}", known.join(", "))).into());
        };
        label.rung = rung;
    }
    Ok(sorts)
}

/// `(Verdict, US dollars or None)`.
struct Told(Classified);

impl<'py> IntoPyObject<'py> for Told {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let Classified { verdict, cost } = self.0;
        Ok((PyVerdict(verdict), cost.map(Amount)).into_pyobject(py)?.into_any())
    }
}
