//! `_core.SemanticModel`: semantic routes.

#![expect(clippy::needless_pass_by_value, reason = "pyo3 extracts a list into an owned vector")]

use std::sync::Arc;

use numpy::PyArray2;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::arguments::List;
use super::arguments::text as read;
use super::mf::{as_array, matrix, matrix_view, with_vector};
use super::request::{PyRequest, PyVerdict};
use crate::error::{Error, Result};
use crate::math::rows::Rows;
use crate::routers::semantic::fit::{fit, judge};
use crate::routers::semantic::space::{Space, ordinary_texts};
use crate::routers::semantic::{Route, SemanticModel as Model, Target};

/// Numbers of all utterances together; a matrix with more repeats itself.
const MOST_NUMBERS: usize = 1 << 30;

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<SemanticModel>()?;
    m.add_function(wrap_pyfunction!(semantic_ordinary_texts, m)?)?;
    Ok(())
}

#[pyclass(frozen, module = "ferroute._core")]
pub(super) struct SemanticModel(pub(super) Model);

#[pymethods]
impl SemanticModel {
    /// `routes`: name, target and utterances of each. Without vectors the embedded table is used.
    #[new]
    #[pyo3(signature = (routes, otherwise, vectors=None, ordinary=None))]
    fn new(
        py: Python<'_>,
        routes: List<(String, String, List<Bound<'_, PyString>>)>,
        otherwise: String,
        vectors: Option<&Bound<'_, PyAny>>,
        ordinary: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let texts: Vec<_> = routes.iter().flat_map(|(_, _, utterances)| utterances.iter()).map(read).collect();
        let named = routes.iter().map(|(name, target, utterances)| Route {
            name: name.clone(),
            target: Target::named(target.as_str()),
            utterances: utterances.len(),
        });
        let (named, otherwise) = (named.collect(), Target::named(otherwise));
        let (Some(vectors), Some(ordinary)) = (vectors, ordinary) else {
            return Ok(Self(py.detach(|| Model::local(named, otherwise, &texts))?));
        };
        let (vectors, width) = numbers(vectors)?;
        let (ordinary, others) = numbers(ordinary)?;
        if width != others {
            let said = format!("expected vectors of one width, found {width} numbers and {others}");
            return Err(Error::value(said).into());
        }
        let made = || Model::new(Arc::new(Space::new(&ordinary, others)?), named, otherwise, &vectors);
        Ok(Self(py.detach(made)?))
    }

    fn choose(&self, request: &PyRequest) -> PyResult<PyVerdict> {
        let near = self.0.similarities_of_text(request.0.text())?;
        Ok(PyVerdict(self.0.verdict(&near)))
    }

    fn choose_vector(&self, vector: &Bound<'_, PyAny>) -> PyResult<PyVerdict> {
        let near = with_vector(vector, |rows| match rows.cols() {
            too_many if too_many > MOST_NUMBERS => {
                Err(Error::value(format!("found an embedding of {too_many} numbers")))
            }
            _ => self.0.similarities(&row(rows, 0)),
        })?;
        Ok(PyVerdict(self.0.verdict(&near)))
    }

    fn verdict(&self, similarities: List<f64>) -> PyResult<PyVerdict> {
        self.check(similarities.len(), 1)?;
        Ok(PyVerdict(self.0.verdict(&similarities)))
    }

    fn similarities<'py>(
        &self,
        py: Python<'py>,
        texts: List<Bound<'py, PyString>>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let texts = texts.iter().map(read).collect::<Vec<_>>();
        let near = py.detach(|| self.0.similarities_of_texts(&texts, usize::MAX))?;
        matrix(py, near, [texts.len(), self.0.routes().len()])
    }

    fn similarities_of<'py>(&self, vectors: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let array = as_array(vectors)?;
        let rows = matrix_view(&array, "embeddings")?;
        let mut near = Vec::with_capacity(rows.len() * self.0.routes().len());
        for at in 0..rows.len() {
            let found = self.0.similarities(&row(&rows, at));
            near.extend(found.map_err(|error| error.context(format!("prompt {at}")))?);
        }
        matrix(vectors.py(), near, [rows.len(), self.0.routes().len()])
    }

    #[getter]
    fn thresholds(&self) -> Vec<f64> {
        self.0.thresholds().to_vec()
    }

    #[getter]
    fn width(&self) -> usize {
        self.0.width()
    }

    fn with_thresholds(&self, thresholds: List<f64>) -> PyResult<Self> {
        Ok(Self(self.0.with_thresholds(thresholds.0)?))
    }

    /// The same routes with thresholds fitted to labelled similarities.
    fn fitted(&self, py: Python<'_>, similarities: List<f64>, labels: List<Option<usize>>) -> PyResult<Self> {
        self.check_labels(similarities.len(), &labels)?;
        let mut thresholds = self.0.thresholds().to_vec();
        py.detach(|| fit(&similarities, &labels, &mut thresholds));
        Ok(Self(self.0.with_thresholds(thresholds)?))
    }

    /// Examples, texts sent there and right ones of each route, then of "none".
    fn judged(&self, similarities: List<f64>, labels: List<Option<usize>>) -> PyResult<Vec<(usize, usize, usize)>> {
        self.check_labels(similarities.len(), &labels)?;
        let judged = judge(&similarities, &labels, self.0.thresholds());
        Ok(judged.into_iter().map(|of| (of.examples, of.sent, of.right)).collect())
    }
}

impl SemanticModel {
    fn check(&self, found: usize, rows: usize) -> Result<()> {
        let expected = rows * self.0.routes().len();
        if found == expected {
            return Ok(());
        }
        Err(Error::value(format!("expected {expected} similarities, found {found}")))
    }

    fn check_labels(&self, found: usize, labels: &[Option<usize>]) -> Result<()> {
        self.check(found, labels.len())?;
        let routes = self.0.routes().len();
        match labels.iter().flatten().find(|&&label| label >= routes) {
            Some(label) => Err(Error::value(format!("expected labels below {routes}, found {label}"))),
            None => Ok(()),
        }
    }
}

/// Texts that belong to no route, for embedders that have to be asked.
#[pyfunction]
fn semantic_ordinary_texts() -> PyResult<Vec<String>> {
    Ok(ordinary_texts()?)
}

fn row(rows: &Rows, at: usize) -> Vec<f64> {
    (0..rows.cols()).map(|col| rows.value(at, col)).collect()
}

fn numbers(vectors: &Bound<'_, PyAny>) -> PyResult<(Vec<f64>, usize)> {
    let array = as_array(vectors)?;
    let rows = matrix_view(&array, "embeddings")?;
    let count = rows.len().saturating_mul(rows.cols());
    if count > MOST_NUMBERS {
        return Err(Error::value(format!("expected embeddings of utterances, found {count} numbers")).into());
    }
    Ok(((0..rows.len()).flat_map(|at| row(&rows, at)).collect(), rows.cols()))
}
