//! `_core.ParquetWriter`: tables out, row group by row group.
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::arguments::{List, text};
use crate::data::parquet_writer::{Holds, Values, Writer};
use crate::error::{Error, Kind};

/// The lock is only taken with the interpreter released.
#[pyclass(frozen, module = "ferroute._core")]
struct ParquetWriter {
    /// None once closed.
    writer: Mutex<Option<Writer>>,
    columns: Vec<Holds>,
}

#[pymethods]
impl ParquetWriter {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, columns: &Bound<'_, PyDict>) -> PyResult<Self> {
        let mut named = Vec::new();
        for (name, holds) in columns {
            named.push((name.extract::<String>()?, Holds::from_name(&holds.extract::<String>()?)?));
        }
        let writer = py.detach(|| Writer::create(&path, &named))?;
        Ok(Self { writer: Mutex::new(Some(writer)), columns: named.into_iter().map(|(_, holds)| holds).collect() })
    }

    fn write(&self, py: Python<'_>, values: List<Bound<'_, PyAny>>) -> PyResult<()> {
        let (expected, found) = (self.columns.len(), values.len());
        if found != expected {
            return Err(Error::value(format!("expected values for {expected} columns, found {found}")).into());
        }
        let values: Vec<_> =
            self.columns.iter().zip(values.iter()).map(|(&h, v)| read(h, v)).collect::<PyResult<_>>()?;
        self.with(py, |writer| writer.write(values))
    }

    #[getter]
    fn rows(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |writer| Ok(writer.rows()))
    }

    fn finish(&self, py: Python<'_>) -> PyResult<()> {
        self.with(py, Writer::finish)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| drop(self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()));
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// Completes the table, or forgets it when the block raised.
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let finished = if kind.is_none() { self.finish(py) } else { Ok(()) };
        self.close(py);
        finished
    }
}

impl ParquetWriter {
    fn with<T: Send>(&self, py: Python<'_>, ask: impl FnOnce(&mut Writer) -> crate::Result<T> + Send) -> PyResult<T> {
        Ok(py.detach(|| match &mut *self.writer.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(writer) => ask(writer),
            None => Err(Error::value("this table is closed")),
        })?)
    }
}

#[pyfunction]
fn write_columns(py: Python<'_>, path: PathBuf, columns: &Bound<'_, PyDict>) -> PyResult<()> {
    let mut named = Vec::new();
    let mut values = Vec::new();
    for (name, column) in columns {
        let holds = holds_of(&column)?;
        named.push((name.extract::<String>()?, holds));
        values.push(read(holds, &column)?);
    }
    py.detach(|| {
        let mut writer = Writer::create(&path, &named)?;
        writer.write(values)?;
        writer.finish()
    })?;
    Ok(())
}

/// Arrays say what they hold; all else is text.
fn holds_of(column: &Bound<'_, PyAny>) -> PyResult<Holds> {
    let Some(kind) = kind_of(column) else { return Ok(Holds::Text) };
    if column.getattr("ndim")?.extract::<usize>()? == 2 {
        return Ok(Holds::Vector);
    }
    Ok(match kind.as_str() {
        "i" | "u" => Holds::Whole,
        "O" | "U" | "S" | "T" => Holds::Text,
        _ => Holds::Number,
    })
}

/// The letter by which numpy calls the kind of an array's numbers.
fn kind_of(column: &Bound<'_, PyAny>) -> Option<String> {
    column.getattr("dtype").and_then(|dtype| dtype.getattr("kind")?.extract()).ok()
}

/// The text of a cell; bytes, of which numpy's arrays of kind `S` are made, are UTF-8.
fn cell(row: usize, item: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
    if item.is_none() {
        return Ok(None);
    }
    if let Ok(item) = item.cast::<PyString>() {
        return Ok(Some(text(item).into_owned()));
    }
    let bytes = item.cast::<PyBytes>().ok().and_then(|bytes| std::str::from_utf8(bytes.as_bytes()).ok());
    if let Some(text) = bytes {
        return Ok(Some(text.to_owned()));
    }
    let found = item.get_type().name()?;
    Err(Error::new(Kind::Type, format!("row {}: expected a text or None, found {found}", row + 1)).into())
}

/// A column as an array of `kind`, of one dimension or (vectors) two; what numpy would turn into other values is an error.
fn numbers<'py>(column: &Bound<'py, PyAny>, kind: &str, dimensions: usize) -> PyResult<Bound<'py, PyAny>> {
    let numpy = column.py().import("numpy")?;
    let array = numpy.call_method1("asarray", (column,))?;
    let (found, empty) = (kind_of(&array).unwrap_or_default(), array.getattr("size")?.extract::<usize>()? == 0);
    let whole = kind == "int64";
    let fits = match found.as_str() {
        "b" | "i" | "O" => true,
        "u" => {
            let beyond = |most: Bound<'py, PyAny>| Ok(most.extract::<u64>()? > i64::MAX as u64);
            !whole || empty || !array.call_method0("max").and_then(beyond)?
        }
        "f" => !whole || empty,
        _ => false,
    };
    let wanted = if whole { "whole numbers below 2^63" } else { "numbers" };
    if !fits {
        let dtype = array.getattr("dtype")?;
        return Err(Error::new(Kind::Type, format!("expected a column of {wanted}, found an array of {dtype}")).into());
    }
    let shape = array.getattr("shape")?;
    if shape.len()? != dimensions {
        return Err(Error::value(format!("expected a column of {dimensions} dimensions, found shape {shape}")).into());
    }
    if found != "O" {
        return numpy.call_method1("asarray", (array, kind));
    }
    let converted = numpy.call_method1("asarray", (&array, kind)).ok();
    let equal = |made: &Bound<'py, PyAny>| numpy.call_method1("array_equal", (made, &array))?.extract::<bool>();
    match converted {
        Some(made) if !whole || equal(&made)? => Ok(made),
        _ => Err(Error::new(Kind::Type, format!("expected a column of {wanted}, found other objects")).into()),
    }
}

fn read(holds: Holds, column: &Bound<'_, PyAny>) -> PyResult<Values> {
    Ok(match holds {
        Holds::Text => {
            let cells = column.try_iter()?.enumerate().map(|(row, item)| cell(row, &item?));
            Values::Text(cells.collect::<PyResult<_>>()?)
        }
        Holds::Number => {
            Values::Numbers(numbers(column, "float64", 1)?.extract::<PyReadonlyArray1<'_, f64>>()?.as_array().to_vec())
        }
        Holds::Whole => {
            Values::Whole(numbers(column, "int64", 1)?.extract::<PyReadonlyArray1<'_, i64>>()?.as_array().to_vec())
        }
        Holds::Vector => {
            let array = numbers(column, "float32", 2)?;
            let array = array.extract::<PyReadonlyArray2<'_, f32>>()?;
            let width = array.shape()[1];
            if width == 0 {
                return Err(Error::value("vectors of at least one number were expected, found none").into());
            }
            Values::Vectors(array.as_array().iter().copied().collect(), width)
        }
    })
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<ParquetWriter>()?;
    m.add_function(wrap_pyfunction!(write_columns, m)?)
}
