//! Matrix factorisation for Python: numpy arrays are read where they lie, of any layout, with the lock released.
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]

use std::path::PathBuf;

use numpy::{
    PyArray1, PyArray2, PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyFloat, PyList, PyTuple};

use super::arguments::{List, Row, count};
use crate::data::tensors::{Tensor, conversion_command};
use crate::error::{Error, Kind};
use crate::math::dot::kernels;
use crate::math::rows::{Number, Rows};
use crate::routers::mf::{MfModel as Core, Sizes};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<MfModel>()?;
    m.add_function(wrap_pyfunction!(torch_conversion_command, m)?)?;
    m.add_function(wrap_pyfunction!(dot_kernels, m)?)
}

#[pyfunction]
fn torch_conversion_command(path: PathBuf) -> String {
    conversion_command(&path)
}

#[pyfunction]
fn dot_kernels() -> &'static str {
    kernels()
}

#[pyclass(frozen, module = "ferroute._core")]
pub(super) struct MfModel(pub(super) Core);

#[pymethods]
impl MfModel {
    #[new]
    #[pyo3(signature = (path, *, dim=None, num_models=None, text_dim=None, num_classes=None, use_proj=None))]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        dim: Option<&Bound<'_, PyAny>>,
        num_models: Option<&Bound<'_, PyAny>>,
        text_dim: Option<&Bound<'_, PyAny>>,
        num_classes: Option<&Bound<'_, PyAny>>,
        use_proj: Option<bool>,
    ) -> PyResult<Self> {
        let sizes = Sizes {
            dim: count("dim", dim)?,
            num_models: count("num_models", num_models)?,
            text_dim: count("text_dim", text_dim)?,
            num_classes: count("num_classes", num_classes)?,
            use_proj,
        };
        Ok(Self(py.detach(|| Core::load(&path, sizes))?))
    }

    #[staticmethod]
    #[pyo3(signature = (models, classifier, projection=None))]
    fn from_arrays(
        models: &Bound<'_, PyAny>,
        classifier: &Bound<'_, PyAny>,
        projection: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let projection = projection.map(tensor).transpose()?;
        Ok(Self(Core::new(tensor(models)?, projection, tensor(classifier)?, Sizes::default())?))
    }

    #[getter]
    fn dim(&self) -> usize {
        self.0.dim()
    }

    #[getter]
    fn num_models(&self) -> usize {
        self.0.num_models()
    }

    #[getter]
    fn text_dim(&self) -> usize {
        self.0.text_dim()
    }

    #[getter]
    fn num_classes(&self) -> usize {
        self.0.num_classes()
    }

    #[getter]
    fn use_proj(&self) -> bool {
        self.0.sizes().use_proj == Some(true)
    }

    fn tensors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let tensors = PyDict::new(py);
        for (name, tensor) in self.0.named() {
            tensors.set_item(name, matrix(py, tensor.values.clone(), [tensor.shape[0], tensor.shape[1]])?)?;
        }
        Ok(tensors)
    }

    #[pyo3(signature = (folder, config=None))]
    fn save(&self, py: Python<'_>, folder: PathBuf, config: Option<&str>) -> PyResult<()> {
        Ok(py.detach(|| self.0.save(&folder, config))?)
    }

    fn win_rate(&self, vector: &Bound<'_, PyAny>, strong: Row, weak: Row) -> PyResult<f64> {
        with_vector(vector, |rows| self.0.win_rate(rows, 0, strong.0, weak.0))
    }

    #[pyo3(signature = (x, strong, weak, threads=None))]
    fn win_rates<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        strong: Row,
        weak: Row,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let array = as_array(x)?;
        let rows = matrix_view(&array, "embeddings")?;
        let rates = self.rates(x.py(), &rows, &[(strong, weak)], threads)?;
        Ok(PyArray1::from_vec(x.py(), rates))
    }

    #[pyo3(signature = (x, pairs, threads=None))]
    fn win_rates_pairs<'py>(
        &self,
        x: &Bound<'py, PyAny>,
        pairs: List<(Row, Row)>,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let array = as_array(x)?;
        let rows = matrix_view(&array, "embeddings")?;
        let rates = self.rates(x.py(), &rows, &pairs, threads)?;
        matrix(x.py(), rates, [pairs.len(), rows.len()])
    }

    fn logits<'py>(&self, vector: &Bound<'py, PyAny>, models: List<Row>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let models: Vec<usize> = models.into_iter().map(|row| row.0).collect();
        let logits = with_vector(vector, |rows| self.0.logits(rows, &models))?;
        matrix(vector.py(), logits, [models.len(), self.0.num_classes()])
    }
}

impl MfModel {
    fn rates(
        &self,
        py: Python<'_>,
        rows: &Rows,
        pairs: &[(Row, Row)],
        threads: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<f64>> {
        let threads = count("threads", threads)?;
        let pairs: Vec<_> = pairs.iter().map(|(strong, weak)| (strong.0, weak.0)).collect();
        // Folding takes a lock, and nobody forks while this thread has the interpreter.
        let pairs = self.0.pairs(&pairs)?;
        Ok(py.detach(|| self.0.win_rates_of(rows, &pairs, threads))?)
    }
}

pub(super) fn matrix<T: numpy::Element>(
    py: Python<'_>,
    values: Vec<T>,
    shape: [usize; 2],
) -> PyResult<Bound<'_, PyArray2<T>>> {
    PyArray1::from_vec(py, values).reshape(shape)
}

/// One weight matrix as the core holds it.
fn tensor(any: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    let array = as_array(any)?;
    let rows = matrix_view(&array, "weights")?;
    Ok(Tensor { shape: vec![rows.len(), rows.cols()], values: rows.to_f32()? })
}

/// Runs `work` on one embedding: a list or tuple of floats is read item by item, an array where it lies, all else through
/// numpy.
pub(super) fn with_vector<T>(any: &Bound<'_, PyAny>, work: impl FnOnce(&Rows) -> crate::Result<T>) -> PyResult<T> {
    let list = any.cast::<PyList>().cloned().or_else(|_| any.cast::<PyTuple>().map(PyTupleMethods::to_list));
    if let Ok(list) = list {
        let numbers = floats(&list)?;
        return Ok(work(&Rows::of_f64(&numbers, numbers.len()))?);
    }
    let array = as_array(any)?;
    let (&[cols], &[step]) = (array.shape(), array.strides()) else {
        let shape = array.shape();
        let message = format!("expected one embedding (one dimension), found an array of shape {shape:?}");
        return Err(Error::value(message).into());
    };
    Ok(work(&view(&array, (1, cols), (0, step))?)?)
}

/// The numbers of a list. This is called for every request, so a plain float costs two calls and nothing else.
fn floats(list: &Bound<'_, PyList>) -> PyResult<Vec<f64>> {
    let mut numbers = Vec::with_capacity(list.len());
    for index in 0..list.len() {
        // SAFETY: `list` is a list; the index is checked (the list may shrink while a foreign `__float__` runs).
        let item = unsafe { ffi::PyList_GetItem(list.as_ptr(), index as ffi::Py_ssize_t) };
        if item.is_null() {
            return Err(PyErr::fetch(list.py()));
        }
        // SAFETY: a plain float is read with the list untouched, so the borrowed reference holds: the module
        // asks free-threaded Python for its lock.
        if unsafe { ffi::PyFloat_CheckExact(item) } != 0 {
            // SAFETY: as above.
            numbers.push(unsafe { ffi::PyFloat_AsDouble(item) });
            continue;
        }
        // SAFETY: `item` is alive here; the reference taken keeps it so.
        let item = unsafe { Bound::from_borrowed_ptr(list.py(), item) };
        numbers.push(item.extract().map_err(|_| not_a_number(&item, index))?);
    }
    Ok(numbers)
}

fn not_a_number(item: &Bound<'_, PyAny>, index: usize) -> PyErr {
    let kind = item.get_type().name().map_or_else(|_| "object".to_owned(), |name| name.to_string());
    Error::new(Kind::Type, format!("expected an embedding made of floats, found {kind} at position {index}")).into()
}

/// The array itself, or what `numpy.asarray` makes of another object.
pub(super) fn as_array<'py>(any: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    static AS_ARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    if any.is_instance_of::<PyFloat>() || any.is_none() {
        let found = any.get_type();
        return Err(Error::new(Kind::Type, format!("expected an array of numbers, found {found}")).into());
    }
    if let Ok(array) = any.cast::<PyUntypedArray>() {
        return Ok(array.clone());
    }
    let py = any.py();
    let as_array = AS_ARRAY.import(py, "numpy", "asarray")?;
    Ok(as_array.call1((any,))?.cast_into()?)
}

pub(super) fn matrix_view<'a>(array: &'a Bound<'_, PyUntypedArray>, what: &str) -> PyResult<Rows<'a>> {
    let (&[rows, cols], &[row_step, col_step]) = (array.shape(), array.strides()) else {
        let shape = array.shape();
        return Err(
            Error::value(format!("expected {what} of two dimensions, found an array of shape {shape:?}")).into()
        );
    };
    view(array, (rows, cols), (row_step, col_step))
}

fn view<'a>(array: &'a Bound<'_, PyUntypedArray>, shape: (usize, usize), steps: (isize, isize)) -> PyResult<Rows<'a>> {
    let dtype = array.dtype();
    let number = match (dtype.kind(), dtype.itemsize()) {
        (b'f', 2) => Some(Number::F16),
        (b'f', 4) => Some(Number::F32),
        (b'f', 8) => Some(Number::F64),
        (b'i', 1) => Some(Number::I8),
        (b'i', 2) => Some(Number::I16),
        (b'i', 4) => Some(Number::I32),
        (b'i', 8) => Some(Number::I64),
        (b'u' | b'b', 1) => Some(Number::U8),
        (b'u', 2) => Some(Number::U16),
        (b'u', 4) => Some(Number::U32),
        (b'u', 8) => Some(Number::U64),
        _ => None,
    };
    let Some(number) = number.filter(|_| dtype.is_native_byteorder() != Some(false)) else {
        let message = format!(
            "expected float32, float64, float16 or whole numbers in this machine's byte order, found {dtype}; \
             convert with .astype(\"float32\")"
        );
        return Err(Error::new(Kind::Type, message).into());
    };
    // SAFETY: only the address is taken; its type is of no concern.
    let start = unsafe { array.cast_unchecked::<PyArrayDyn<u8>>() }.data();
    // SAFETY: numpy keeps shape and steps within the array's memory, which the reference held for `'a` keeps alive.
    Ok(unsafe { Rows::from_raw(start, number, shape, steps) })
}
