//! `_core.GatewaySeeing`: metrics, traces and logs of a server, and what Python tells beside.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::prelude::*;

use crate::error::{Error, Result};
use crate::gateway::seeing::{Collector, Form, Level, Options, Seeing, Told};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PySeeing>()
}

/// What is seen of a server; outlives its reloads.
#[pyclass(name = "GatewaySeeing", module = "ferroute._core", frozen)]
pub(super) struct PySeeing(pub(super) Arc<Seeing>);

/// A callable that gives numbers by their names.
struct Callable(Py<PyAny>);

impl Told for Callable {
    fn told(&self) -> Vec<(String, f64)> {
        // Whoever cannot tell has nothing to tell: a scrape does not fail for it.
        let told: PyResult<HashMap<String, f64>> = Python::attach(|py| self.0.call0(py)?.extract(py));
        let mut told: Vec<(String, f64)> = told.unwrap_or_default().into_iter().collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        told
    }
}

#[pymethods]
impl PySeeing {
    #[new]
    #[pyo3(signature = (*, metrics=true, logs="off", verbose=false, otlp=None, otlp_headers=None, sample=1.0, told=None))]
    fn new(
        metrics: bool,
        logs: &str,
        verbose: bool,
        otlp: Option<&str>,
        otlp_headers: Option<HashMap<String, String>>,
        sample: f64,
        told: Option<Py<PyAny>>,
    ) -> Result<Self> {
        let headers = otlp_headers.unwrap_or_default();
        let collector = otlp.map(|url| Collector::at(url, &headers)).transpose()?;
        let options = Options { metrics, logs: Form::named(logs)?, verbose, collector, share: sample };
        let told = told.map(|told| Arc::new(Callable(told)) as Arc<dyn Told>);
        Seeing::new(options, told).map(Self)
    }

    /// A line on what happens to the server.
    fn say(&self, level: &str, event: &str, message: &str) -> Result<()> {
        let known = [Level::Info, Level::Warning, Level::Error];
        let level = known.into_iter().find(|known| known.name() == level);
        let wrong = || Error::value("level: expected info, warning or error");
        self.0.say(level.ok_or_else(wrong)?, event, message);
        Ok(())
    }
}
