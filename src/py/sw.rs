//! Similarity-weighted ranking for Python.
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]

use std::collections::HashMap;
use std::path::PathBuf;

use numpy::ndarray::ArrayView2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;

use super::arguments::{Array1, List, count};
use super::mf::{as_array, matrix_view, with_vector};
use crate::data::matrix;
use crate::error::Error;
use crate::math::newton::{Comparisons, Winner};
use crate::routers::sw_ranking::{Battles, SwRanking as Core, descending, hash_of_file, tiers, weightings};

mod raised {
    use pyo3::import_exception;

    import_exception!(ferroute.errors, CountMismatchError);
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<SwRanking>()?;
    m.add_function(wrap_pyfunction!(bradley_terry, m)?)?;
    m.add_function(wrap_pyfunction!(cut_tiers, m)?)?;
    m.add_function(wrap_pyfunction!(hash_of_file_, m)?)?;
    m.add_function(wrap_pyfunction!(sw_weightings, m)?)
}

#[pyfunction]
#[pyo3(signature = (a, b, winners, labels, weights=None))]
fn bradley_terry<'py>(
    py: Python<'py>,
    a: Array1<'py, u32>,
    b: Array1<'py, u32>,
    winners: Array1<'py, u8>,
    labels: usize,
    weights: Option<Array1<'py, f64>>,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let (a, b, winners) = (a.as_slice()?, b.as_slice()?, winners.as_slice()?);
    let ones = if weights.is_none() { vec![1.0; a.len()] } else { Vec::new() };
    let weights = match &weights {
        Some(weights) => weights.as_slice()?,
        None => &ones,
    };
    if [b.len(), winners.len(), weights.len()].iter().any(|&len| len != a.len()) {
        let found = [a.len(), b.len(), winners.len(), weights.len()];
        return Err(Error::value(format!("expected as many sides, winners and weights, found {found:?}")).into());
    }
    let mut comparisons = Comparisons::new(labels)?;
    for (((&a, &b), &winner), &weight) in a.iter().zip(b).zip(winners).zip(weights) {
        let winner = Winner::from_code(winner);
        let (Some(winner), true) = (winner, (a.max(b) as usize) < labels) else {
            return Err(Error::value("expected labels below their number, and winners of 0, 1 or 2").into());
        };
        if !(weight.is_finite() && weight >= 0.0) {
            return Err(Error::value(format!("weights must be finite and not negative, found {weight}")).into());
        }
        comparisons.battle(a as usize, b as usize, winner, weight);
    }
    Ok(comparisons.fit(None)?.into_pyarray(py))
}

#[pyfunction]
fn cut_tiers(ratings: List<f64>, num_tiers: &Bound<'_, PyAny>) -> PyResult<Vec<usize>> {
    let num_tiers = count("num_tiers", Some(num_tiers))?.unwrap_or(1);
    Ok(tiers(&ratings, num_tiers)?)
}

#[pyfunction]
#[pyo3(name = "hash_of_file")]
fn hash_of_file_(py: Python<'_>, path: PathBuf) -> PyResult<String> {
    Ok(py.detach(|| hash_of_file(&path)).map(|hash| format!("{hash:032x}"))?)
}

#[pyfunction]
fn sw_weightings<'py>(py: Python<'py>, similarities: Array1<'py, f64>) -> PyResult<Bound<'py, PyArray1<f64>>> {
    Ok(weightings(similarities.as_slice()?).into_pyarray(py))
}

#[pyclass(frozen, module = "ferroute._core")]
pub(super) struct SwRanking(pub(super) Core);

#[pymethods]
impl SwRanking {
    #[new]
    #[pyo3(signature = (battles, embeddings, num_tiers, *, column=None, model2tier=None, threads=None))]
    fn new(
        py: Python<'_>,
        battles: List<PathBuf>,
        embeddings: List<PathBuf>,
        num_tiers: &Bound<'_, PyAny>,
        column: Option<String>,
        model2tier: Option<HashMap<String, u32>>,
        threads: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let num_tiers = count("num_tiers", Some(num_tiers))?.unwrap_or(1);
        let threads = count("threads", threads)?.unwrap_or(usize::MAX);
        let read = || {
            let battles = Battles::read(&battles)?;
            Ok((battles, matrix::read(&embeddings, column.as_deref(), threads)?))
        };
        let (battles, matrix) = py.detach(read).map_err(|error: Error| PyErr::from(error))?;
        if let Some(error) = Core::mismatch(&battles, &matrix) {
            return Err(raised::CountMismatchError::new_err(error.message().to_owned()));
        }
        Ok(Self(py.detach(|| Core::new(battles, matrix, num_tiers, model2tier.as_ref()))?))
    }

    #[staticmethod]
    fn open(py: Python<'_>, path: PathBuf) -> PyResult<(Self, String)> {
        let (core, sources) = py.detach(|| Core::open(&path))?;
        Ok((Self(core), sources))
    }

    fn save(&self, py: Python<'_>, path: PathBuf, sources: &str) -> PyResult<()> {
        Ok(py.detach(|| self.0.save(&path, sources))?)
    }

    #[getter]
    fn digest(&self, py: Python<'_>) -> String {
        py.detach(|| format!("{:016x}", self.0.digest()))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    #[getter]
    fn dim(&self) -> usize {
        self.0.dim()
    }

    #[getter]
    fn total(&self) -> usize {
        self.0.battles().total
    }

    #[getter]
    fn num_tiers(&self) -> usize {
        self.0.num_tiers()
    }

    #[getter]
    fn used_tiers(&self) -> Vec<u32> {
        self.0.used_tiers().to_vec()
    }

    fn models(&self) -> Vec<(String, f64, u32)> {
        let order = descending(self.0.ratings()).into_iter();
        order.map(|i| (self.0.battles().labels[i].clone(), self.0.ratings()[i], self.0.tiers()[i])).collect()
    }

    #[expect(clippy::type_complexity, reason = "four columns")]
    fn arena<'py>(
        &self,
        py: Python<'py>,
    ) -> (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<u32>>)
    {
        let battles = self.0.battles();
        let winners = battles.winners.iter().map(|winner| winner.code()).collect::<Vec<_>>();
        let side = |labels: &[u32]| {
            let tiers = labels.iter().map(|&label| self.0.tiers()[label as usize]).collect();
            PyArray1::from_vec(py, tiers)
        };
        let rows = PyArray1::from_slice(py, &battles.rows);
        (side(&battles.a), side(&battles.b), PyArray1::from_vec(py, winners), rows)
    }

    #[getter]
    fn embeddings<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let core = &slf.get().0;
        let view = ArrayView2::from_shape((core.len(), core.dim()), core.embeddings())
            .map_err(|error| Error::value(error.to_string()))?;
        // SAFETY: the array keeps `slf` alive, which never moves or changes its numbers; nobody can write to them.
        let array = unsafe { PyArray2::borrow_from_array(&view, slf.clone().into_any()) };
        array.readwrite().make_nonwriteable();
        Ok(array)
    }

    #[pyo3(signature = (vector, threads=None))]
    fn similarities<'py>(
        &self,
        vector: &Bound<'py, PyAny>,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let (py, threads) = (vector.py(), count("threads", threads)?.unwrap_or(usize::MAX));
        let found = with_vector(vector, |rows| py.detach(|| self.0.similarities(rows, 0, threads)))?;
        Ok(found.into_pyarray(py))
    }

    #[pyo3(signature = (x, row, threads=None))]
    fn similarities_of_row<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        row: usize,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let threads = count("threads", threads)?.unwrap_or(usize::MAX);
        let array = as_array(x)?;
        let rows = matrix_view(&array, "embeddings")?;
        Ok(x.py().detach(|| self.0.similarities(&rows, row, threads))?.into_pyarray(x.py()))
    }

    #[pyo3(signature = (vector, threads=None))]
    fn tier_ratings<'py>(
        &self,
        vector: &Bound<'py, PyAny>,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let (py, threads) = (vector.py(), count("threads", threads)?.unwrap_or(usize::MAX));
        let found = with_vector(vector, |rows| py.detach(|| self.0.tier_ratings(rows, 0, threads)))?;
        Ok(found.into_pyarray(py))
    }

    fn tier_ratings_of_weights<'py>(&self, weights: Array1<'py, f64>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(self.0.tier_ratings_of_weights(weights.as_slice()?)?.into_pyarray(weights.py()))
    }

    #[pyo3(signature = (vector, strong, weak, threads=None))]
    fn win_rate(
        &self,
        vector: &Bound<'_, PyAny>,
        strong: u32,
        weak: u32,
        threads: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<f64> {
        let (py, threads) = (vector.py(), count("threads", threads)?.unwrap_or(usize::MAX));
        with_vector(vector, |rows| py.detach(|| self.0.win_rate(rows, 0, (strong, weak), threads)))
    }

    fn win_rate_of_weights(&self, weights: Array1<'_, f64>, strong: u32, weak: u32) -> PyResult<f64> {
        Ok(self.0.win_rate_of_weights(weights.as_slice()?, (strong, weak))?)
    }

    #[pyo3(signature = (x, strong, weak, threads=None))]
    fn win_rates<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        strong: u32,
        weak: u32,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let threads = count("threads", threads)?.unwrap_or(usize::MAX);
        let array = as_array(x)?;
        let rows = matrix_view(&array, "embeddings")?;
        let rates = x.py().detach(|| self.0.win_rates(&rows, (strong, weak), threads))?;
        Ok(rates.into_pyarray(x.py()))
    }
}
