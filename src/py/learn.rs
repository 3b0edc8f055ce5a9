//! `_core.MfTrainer`: training of the matrix factorisation.
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard};

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::arguments::{Array2, count};
use super::mf::{MfModel, as_array, matrix_view};
use super::watched::watched;
use crate::data::matrix;
use crate::error::{Error, Kind};
use crate::learn::battles::{Battle, Battles, split};
use crate::learn::mf::{Epoch, Evaluation, Settings, Trainer};

/// A model in training. The lock is only ever tried: whoever finds it taken is told so.
#[pyclass(frozen, module = "ferroute._core")]
struct MfTrainer(Mutex<Trainer>);

type Judged = (f64, usize, usize);

/// Battles for Python, `[n, 3]`.
type Table<'py> = Bound<'py, PyArray2<i64>>;

#[pymethods]
impl MfTrainer {
    #[new]
    #[pyo3(signature = (dim, num_models, text_dim, use_proj=true, seed=42))]
    fn new(
        dim: &Bound<'_, PyAny>,
        num_models: &Bound<'_, PyAny>,
        text_dim: &Bound<'_, PyAny>,
        use_proj: bool,
        seed: u64,
    ) -> PyResult<Self> {
        let size = |name: &str, value| Ok::<_, PyErr>(count(name, Some(value))?.unwrap_or(0));
        let (dim, models, text) = (size("dim", dim)?, size("num_models", num_models)?, size("text_dim", text_dim)?);
        Ok(Self(Mutex::new(Trainer::new(dim, models, text, use_proj, seed)?)))
    }

    #[staticmethod]
    fn of(model: &MfModel) -> PyResult<Self> {
        Ok(Self(Mutex::new(Trainer::of(&model.0)?)))
    }

    fn restart(&self) -> PyResult<()> {
        self.free()?.restart();
        Ok(())
    }

    fn model(&self) -> PyResult<MfModel> {
        Ok(MfModel(self.free()?.model()?))
    }

    #[pyo3(signature = (x, train, held_out, *, epochs, patience=None, batch_size=64, lr=3e-4, weight_decay=1e-5,
                        alpha=0.1, shuffle=true, seed=42, threads=None, on_epoch=None))]
    #[expect(clippy::too_many_arguments, reason = "the settings of training have names in Python")]
    fn fit<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        train: Array2<'py, i64>,
        held_out: Array2<'py, i64>,
        epochs: usize,
        patience: Option<usize>,
        batch_size: usize,
        lr: f64,
        weight_decay: f64,
        alpha: f64,
        shuffle: bool,
        seed: u64,
        threads: Option<&Bound<'py, PyAny>>,
        on_epoch: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyTuple>> {
        let threads = count("threads", threads)?;
        let settings = Settings { batch_size, lr, weight_decay, alpha, shuffle, seed, threads };
        let array = as_array(x)?;
        let rows = matrix_view(&array, "embeddings")?;
        let mut trainer = self.free()?;
        let (train, held_out) = (battles(&train)?, battles(&held_out)?);
        let models = trainer.num_models();
        let mut raised = None;
        let trainer = &mut *trainer;
        let fit = watched(py, None, |watch| {
            let train = Battles::new(train, models, &rows, watch)?;
            let held_out = Battles::new(held_out, models, &rows, watch)?;
            trainer.fit(&rows, (&train, &held_out), &settings, (epochs, patience), watch, |epoch| {
                let Some(on_epoch) = &on_epoch else { return Ok(()) };
                Python::attach(|py| told(py, on_epoch, epoch)).map_err(|error| {
                    raised = Some(error);
                    Error::new(Kind::Cancelled, "training was ended by its caller")
                })
            })
        });
        let fit = match raised {
            Some(raised) => return Err(raised),
            None => fit?,
        };
        let epochs: Vec<_> = fit.epochs.iter().map(|e| (e.number, e.train_loss, e.held_out.map(judged))).collect();
        (epochs, fit.best, fit.baseline.map(judged)).into_pyobject(py)
    }

    #[pyo3(signature = (x, battles, *, batch_size=64, lr=3e-4, weight_decay=1e-5, alpha=0.1, shuffle=true, seed=42,
                        threads=None))]
    #[expect(clippy::too_many_arguments, reason = "as above")]
    fn epoch<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        battles: Array2<'py, i64>,
        batch_size: usize,
        lr: f64,
        weight_decay: f64,
        alpha: f64,
        shuffle: bool,
        seed: u64,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<f64> {
        let threads = count("threads", threads)?;
        let settings = Settings { batch_size, lr, weight_decay, alpha, shuffle, seed, threads };
        let array = as_array(x)?;
        let rows = matrix_view(&array, "embeddings")?;
        let mut trainer = self.free()?;
        let battles = self::battles(&battles)?;
        let trainer = &mut *trainer;
        watched(py, None, |watch| {
            let battles = Battles::new(battles, trainer.num_models(), &rows, watch)?;
            trainer.epoch(&rows, &battles, &settings, watch)
        })
    }

    #[pyo3(signature = (x, battles, threads=None))]
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        x: &Bound<'py, PyAny>,
        battles: Array2<'py, i64>,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Judged> {
        let threads = count("threads", threads)?;
        let array = as_array(x)?;
        let rows = matrix_view(&array, "embeddings")?;
        let trainer = self.free()?;
        let battles = self::battles(&battles)?;
        let trainer = &*trainer;
        let found = watched(py, None, |watch| {
            let battles = Battles::new(battles, trainer.num_models(), &rows, watch)?;
            trainer.evaluate(&rows, &battles, threads, watch)
        })?;
        Ok(judged(found))
    }
}

impl MfTrainer {
    fn free(&self) -> PyResult<MutexGuard<'_, Trainer>> {
        self.0.try_lock().map_err(|_| Error::value("this model is in training; wait until that has ended").into())
    }
}

#[pyfunction]
#[pyo3(signature = (battles, share, seed=42))]
fn split_battles<'py>(
    py: Python<'py>,
    battles: Array2<'py, i64>,
    share: f64,
    seed: u64,
) -> PyResult<(Table<'py>, Table<'py>)> {
    let battles = self::battles(&battles)?;
    let (train, held_out) = py.detach(|| split(&battles, share, seed))?;
    Ok((to_array(py, &train)?, to_array(py, &held_out)?))
}

#[pyfunction]
#[pyo3(signature = (path, column=None))]
fn read_matrix(py: Python<'_>, path: PathBuf, column: Option<String>) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let read = py.detach(|| matrix::read(&[path], column.as_deref(), usize::MAX))?;
    let values = read.numbers.values();
    PyArray1::from_slice(py, values).reshape([values.len().checked_div(read.cols).unwrap_or(0), read.cols])
}

/// Rows of winner, loser, prompt.
fn battles(array: &Array2<'_, i64>) -> PyResult<Vec<Battle>> {
    let view = array.as_array();
    if view.ncols() != 3 {
        let found = view.shape();
        let what = format!("battles: expected an array [n, 3] of winner, loser and prompt, found {found:?}");
        return Err(Error::value(what).into());
    }
    let row = |(index, row): (usize, numpy::ndarray::ArrayView1<'_, i64>)| {
        let number = |value: i64| {
            let name = || Error::new(Kind::Name, format!("battle {index}: no row has the number {value}"));
            usize::try_from(value).map_err(|_| name())
        };
        Ok(Battle { winner: number(row[0])?, loser: number(row[1])?, prompt: number(row[2])? })
    };
    Ok(view.outer_iter().enumerate().map(row).collect::<crate::Result<_>>()?)
}

fn to_array<'py>(py: Python<'py>, battles: &[Battle]) -> PyResult<Table<'py>> {
    let numbers = battles.iter().flat_map(|b| [b.winner as i64, b.loser as i64, b.prompt as i64]).collect();
    PyArray1::from_vec(py, numbers).reshape([battles.len(), 3])
}

fn judged(found: Evaluation) -> Judged {
    (found.loss, found.right, found.battles)
}

fn told(py: Python<'_>, on_epoch: &Py<PyAny>, epoch: &Epoch) -> PyResult<()> {
    on_epoch.call1(py, (epoch.number, epoch.train_loss, epoch.held_out.map(judged))).map(drop)
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<MfTrainer>()?;
    m.add_function(wrap_pyfunction!(split_battles, m)?)?;
    m.add_function(wrap_pyfunction!(read_matrix, m)?)
}
