//! `_core.ParquetWriter`: tables out, row group by row group.
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use numpy::{PyReadonlyArray1, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::arguments::text;
use crate::data::parquet_writer::{Holds, Values, Writer};
use crate::error::Error;

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

    fn write(&self, py: Python<'_>, values: Vec<Bound<'_, PyAny>>) -> PyResult<()> {
        let (expected, found) = (self.columns.len(), values.len());
        if found != expected {
            return Err(Error::value(format!("expected values for {expected} columns, found {found}")).into());
        }
        let values: Vec<_> = self.columns.iter().zip(&values).map(|(&h, v)| read(h, v)).collect::<PyResult<_>>()?;
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
    let Ok(dtype) = column.getattr("dtype") else { return Ok(Holds::Text) };
    if column.getattr("ndim")?.extract::<usize>()? == 2 {
        return Ok(Holds::Vector);
    }
    let kind: String = dtype.getattr("kind")?.extract()?;
    Ok(if matches!(kind.as_str(), "i" | "u") { Holds::Whole } else { Holds::Number })
}

fn read(holds: Holds, column: &Bound<'_, PyAny>) -> PyResult<Values> {
    let numpy = |kind: &str| column.py().import("numpy")?.call_method1("asarray", (column, kind));
    Ok(match holds {
        Holds::Text => {
            let one = |item: PyResult<Bound<'_, PyAny>>| {
                let item = item?;
                (!item.is_none()).then(|| Ok(text(item.cast::<PyString>()?).into_owned())).transpose()
            };
            Values::Text(column.try_iter()?.map(one).collect::<PyResult<_>>()?)
        }
        Holds::Number => Values::Numbers(numpy("float64")?.extract::<PyReadonlyArray1<'_, f64>>()?.as_array().to_vec()),
        Holds::Whole => Values::Whole(numpy("int64")?.extract::<PyReadonlyArray1<'_, i64>>()?.as_array().to_vec()),
        Holds::Vector => {
            let array = numpy("float32")?;
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
