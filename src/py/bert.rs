//! `_core.BertModel`: a sequence classifier and its tokenizer.

#![expect(clippy::needless_pass_by_value, reason = "pyo3 extracts a list into an owned vector")]

use std::path::PathBuf;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::arguments::{List, count, text as read};
use super::watched::watched;
use crate::error::Error;
use crate::neural::encoder::Sequence;
use crate::routers::bert::BertModel as Model;

#[pyclass(frozen, module = "ferroute._core")]
pub(super) struct BertModel(pub(super) Model);

#[pymethods]
impl BertModel {
    #[new]
    #[pyo3(signature = (path, num_labels=None))]
    fn new(py: Python<'_>, path: PathBuf, num_labels: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let labels = count("num_labels", num_labels)?.unwrap_or(3);
        Ok(Self(py.detach(|| Model::load(&path, labels))?))
    }

    #[pyo3(signature = (text, threads=None))]
    fn win_rate(
        &self,
        py: Python<'_>,
        text: &Bound<'_, PyString>,
        threads: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<f64> {
        let (text, threads) = (read(text), count("threads", threads)?);
        let rates = watched(py, None, |advanced| self.0.win_rates(&[text], threads, advanced))?;
        Ok(rates[0])
    }

    #[pyo3(signature = (texts, threads=None, progress=None))]
    fn win_rates<'py>(
        &self,
        py: Python<'py>,
        texts: List<Bound<'py, PyString>>,
        threads: Option<&Bound<'py, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let texts = texts.iter().map(read).collect::<Vec<_>>();
        let threads = count("threads", threads)?;
        let rates = watched(py, progress.as_ref(), |advanced| self.0.win_rates(&texts, threads, advanced))?;
        Ok(rates.into_pyarray(py))
    }

    #[pyo3(signature = (texts, threads=None, progress=None))]
    fn logits<'py>(
        &self,
        py: Python<'py>,
        texts: List<Bound<'py, PyString>>,
        threads: Option<&Bound<'py, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let texts = texts.iter().map(read).collect::<Vec<_>>();
        let threads = count("threads", threads)?;
        let logits = watched(py, progress.as_ref(), |advanced| self.0.logits(&texts, threads, advanced))?;
        logits.into_pyarray(py).reshape([texts.len(), self.0.encoder().labels()])
    }

    #[pyo3(signature = (ids, types=None, threads=None))]
    fn logits_of_ids<'py>(
        &self,
        py: Python<'py>,
        ids: List<u32>,
        types: Option<List<u32>>,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f32>>> {
        let types = types.unwrap_or_default();
        if !types.is_empty() && types.len() != ids.len() {
            let (types, ids) = (types.len(), ids.len());
            return Err(Error::value(format!("expected one token type for each of {ids} ids, found {types}")).into());
        }
        let threads = count("threads", threads)?;
        let sequence = Sequence { ids: &ids, types: &types };
        Ok(py.detach(|| self.0.encoder().logits(threads, &[sequence]))?.into_pyarray(py))
    }

    fn encode(&self, py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<Vec<u32>> {
        let text = read(text);
        Ok(py.detach(|| self.0.tokenizer().encode(&text))?)
    }

    fn decode(&self, ids: List<u32>) -> PyResult<String> {
        Ok(self.0.tokenizer().decode(&ids)?)
    }

    fn token_to_id(&self, token: &Bound<'_, PyString>) -> Option<u32> {
        self.0.tokenizer().token_to_id(&read(token))
    }

    #[getter]
    fn vocabulary(&self) -> usize {
        self.0.tokenizer().len()
    }

    #[getter]
    fn max_length(&self) -> Option<usize> {
        self.0.tokenizer().max_length()
    }

    #[getter]
    fn most_tokens(&self) -> usize {
        self.0.most_tokens()
    }

    #[getter]
    fn model_type(&self) -> &str {
        &self.0.encoder().config().model_type
    }

    #[getter]
    fn layers(&self) -> usize {
        self.0.encoder().config().layers
    }

    #[getter]
    fn hidden(&self) -> usize {
        self.0.encoder().config().hidden
    }

    #[getter]
    fn heads(&self) -> usize {
        self.0.encoder().config().heads
    }

    #[getter]
    fn num_labels(&self) -> usize {
        self.0.encoder().labels()
    }

    #[getter]
    fn folder(&self) -> PathBuf {
        self.0.folder().to_path_buf()
    }
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<BertModel>()
}
