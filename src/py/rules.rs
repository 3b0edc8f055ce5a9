//! `_core.Rules`: ordered rules, read from YAML or from Python's own lists and mappings.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple, PyType};

use super::arguments::{List, text};
use super::request::{PyRequest, PyVerdict};
use crate::error::{Error, Kind};
use crate::routers::rules::{PRESETS, Rules};
use crate::text::view::View;

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(read_rules, m)?)?;
    m.add_function(wrap_pyfunction!(rules_preset, m)?)?;
    m.add("RULE_PRESETS", PyTuple::new(m.py(), PRESETS.iter().map(|(name, _)| *name))?)?;
    m.add_class::<PyRules>()
}

/// The text of a file of rules.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 extracts an owned path")]
fn read_rules(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    Ok(py.detach(|| Rules::text_of(&path))?)
}

/// The YAML of a preset.
#[pyfunction]
fn rules_preset(name: &str) -> PyResult<&'static str> {
    let found = PRESETS.iter().find(|(known, _)| *known == name);
    Ok(found.map(|(_, text)| *text).ok_or_else(|| {
        let known: Vec<&str> = PRESETS.iter().map(|(known, _)| *known).collect();
        Error::new(Kind::Name, format!("unknown preset '{name}'; there are {}", known.join(", ")))
    })?)
}

#[pyclass(name = "Rules", module = "ferroute._core", frozen)]
pub(super) struct PyRules {
    pub(super) rules: Rules,
    /// What it is made of, for pickles.
    source: (String, Option<String>, Option<String>),
    ladder: Option<Vec<String>>,
}

#[pymethods]
impl PyRules {
    #[new]
    #[pyo3(signature = (source, name=None, otherwise=None, ladder=None))]
    fn new(
        py: Python<'_>,
        source: &Bound<'_, PyString>,
        name: Option<String>,
        otherwise: Option<String>,
        ladder: Option<List<String>>,
    ) -> PyResult<Self> {
        let source = text(source).into_owned();
        let read = || {
            let rules = match (&name, &otherwise) {
                (Some(name), Some(otherwise)) => Rules::of_yaml_otherwise(&source, name, otherwise),
                (Some(name), None) => Rules::of_yaml(&source, name),
                (None, _) => Rules::of_json(&source),
            }?;
            ladder.as_deref().map_or(Ok(rules.clone()), |ladder| rules.bind(ladder))
        };
        let rules = py.detach(read)?;
        Ok(Self { rules, source: (source, name, otherwise), ladder: ladder.map(|ladder| ladder.0) })
    }

    fn choose(&self, request: &PyRequest) -> PyResult<PyVerdict> {
        Ok(PyVerdict(self.rules.choose(&request.0)?))
    }

    fn choose_text(&self, prompt: &Bound<'_, PyString>) -> PyResult<PyVerdict> {
        Ok(PyVerdict(self.rules.choose(&View::of_text(text(prompt)))?))
    }

    fn without_each(&self, request: &PyRequest) -> PyResult<Vec<String>> {
        Ok(self.rules.without_each(&request.0)?)
    }

    fn bind(&self, ladder: List<String>) -> PyResult<Self> {
        let rules = self.rules.bind(&ladder)?;
        Ok(Self { rules, source: self.source.clone(), ladder: Some(ladder.0) })
    }

    #[getter]
    fn rows(&self) -> Vec<(String, String, String, String)> {
        self.rules.shown().into_iter().map(|[name, place, when, then]| (name, place, when, then)).collect()
    }

    #[getter]
    fn ladder(&self) -> Option<&[String]> {
        self.rules.ladder()
    }

    #[getter]
    fn named_rungs(&self) -> Vec<&str> {
        self.rules.named_rungs()
    }

    #[getter]
    fn models(&self) -> Vec<&str> {
        self.rules.models()
    }

    #[getter]
    fn asked(&self) -> Vec<(&str, &str)> {
        self.rules.asked()
    }

    #[getter]
    fn endpoints(&self) -> Vec<(String, String)> {
        self.rules.endpoints().iter().map(|endpoint| (endpoint.settings.to_string(), endpoint.place.clone())).collect()
    }

    #[expect(clippy::type_complexity, reason = "what pickle wants: a class and its arguments")]
    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> (Bound<'py, PyType>, (String, Option<String>, Option<String>, Option<Vec<String>>)) {
        let this = slf.get();
        let (source, name, otherwise) = this.source.clone();
        (slf.get_type(), (source, name, otherwise, this.ladder.clone()))
    }
}
