//! `_core.LocalModel`: the embedded router.

#![expect(clippy::needless_pass_by_value, reason = "pyo3 extracts a list into an owned vector")]

use std::borrow::Cow;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use super::arguments::{List, count, text as read};
use super::watched::watched;
use crate::routers::local::LocalModel as Model;
use crate::text::featuriser::{FEATURES, Featuriser, feature_names};

#[pyclass(frozen, module = "ferroute._core")]
pub(super) struct LocalModel(pub(super) &'static Model<'static>);

#[pymethods]
impl LocalModel {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(Model::shared()?))
    }

    fn win_rate(&self, text: &Bound<'_, PyString>) -> f64 {
        self.0.score(&read(text))
    }

    #[pyo3(signature = (texts, threads=None))]
    fn win_rates<'py>(
        &self,
        py: Python<'py>,
        texts: List<Bound<'py, PyString>>,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let texts = texts.iter().map(read).collect::<Vec<_>>();
        let threads = count("threads", threads)?.unwrap_or(usize::MAX);
        let rates = in_parts(py, &texts, |part| self.0.score_batch(part, threads))?;
        Ok(rates.into_pyarray(py))
    }

    #[staticmethod]
    #[pyo3(signature = (texts, threads=None))]
    fn features<'py>(
        py: Python<'py>,
        texts: List<Bound<'py, PyString>>,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let texts = texts.iter().map(read).collect::<Vec<_>>();
        let threads = count("threads", threads)?.unwrap_or(usize::MAX);
        let featuriser = Featuriser::shared()?;
        let rows = in_parts(py, &texts, |part| featuriser.features_batch(part, threads))?;
        rows.into_pyarray(py).reshape([texts.len(), FEATURES])
    }

    #[staticmethod]
    fn tokenize(text: &Bound<'_, PyString>) -> PyResult<Vec<u16>> {
        Ok(Featuriser::shared()?.tokenize(&read(text)))
    }

    #[classattr]
    fn feature_names() -> Vec<String> {
        feature_names().collect()
    }

    #[getter]
    fn quantiles(&self) -> Vec<f64> {
        // A list: the share form reads it on the routing path, where numpy need not be loaded.
        self.0.quantiles().to_vec()
    }

    #[getter]
    fn card<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import("json")?.call_method1("loads", (self.0.card(),))
    }

    #[pyo3(signature = (text, limit=10))]
    fn explain(&self, text: &Bound<'_, PyString>, limit: usize) -> Vec<(String, f64)> {
        let terms = self.0.explain(&read(text)).into_iter().take(limit);
        terms.map(|term| (term.name, term.logit)).collect()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> (Bound<'py, PyType>, ()) {
        (slf.get_type(), ())
    }
}

/// Bytes of texts between two looks for a signal; texts longer than 16 KiB are read at both ends only.
const PART: usize = 8 << 20;

/// What `work` makes of all texts, a part at a time, so that Ctrl-C ends it. Each text's result depends on nothing else.
fn in_parts<T: Send>(
    py: Python<'_>,
    texts: &[Cow<'_, str>],
    work: impl Fn(&[Cow<'_, str>]) -> Vec<T> + Send + Sync,
) -> PyResult<Vec<T>> {
    watched(py, None, |advanced| {
        let (mut made, mut left) = (Vec::new(), texts);
        while !left.is_empty() {
            let mut bytes = 0;
            let ends = left.iter().take_while(|text| {
                bytes += text.len();
                bytes < PART
            });
            let (part, rest) = left.split_at(ends.count().max(1));
            made.extend(work(part));
            left = rest;
            advanced(0)?;
        }
        Ok(made)
    })
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<LocalModel>()
}
