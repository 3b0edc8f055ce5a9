//! `_core.read_columns`: tables from files.

use std::path::PathBuf;

use numpy::IntoPyArray;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::arguments::List;
use crate::data::columns::{self, Column};

#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]
#[pyo3(signature = (path, columns = None))]
fn read_columns(py: Python<'_>, path: PathBuf, columns: Option<List<String>>) -> PyResult<Bound<'_, PyDict>> {
    let wanted: Option<Vec<&str>> = columns.as_ref().map(|names| names.iter().map(String::as_str).collect());
    let table = py.detach(|| columns::read(&path, wanted.as_deref()))?;
    let found = PyDict::new(py);
    for (name, column) in table {
        match column {
            Column::Text(texts) => found.set_item(name, PyList::new(py, texts)?)?,
            Column::Numbers(numbers) => found.set_item(name, numbers.into_pyarray(py))?,
        }
    }
    Ok(found)
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(read_columns, m)?)
}
