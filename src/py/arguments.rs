//! Arguments that pyo3 reads in another way than users should meet.

use std::borrow::Cow;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::error::{Error, Kind};

/// A text as UTF-8; each lone surrogate, which UTF-8 cannot hold, becomes U+FFFD.
pub(super) fn text<'a>(text: &'a Bound<'_, PyString>) -> Cow<'a, str> {
    text.to_cow().unwrap_or_else(|_| {
        // By way of UTF-16: a surrogate is one unit there, and would be three bad bytes in UTF-8.
        let bytes = text.call_method1("encode", ("utf-16-le", "surrogatepass"));
        let units = bytes.and_then(|bytes| bytes.extract::<Vec<u8>>()).unwrap_or_default();
        let units: Vec<u16> = units.as_chunks::<2>().0.iter().map(|&unit| u16::from_le_bytes(unit)).collect();
        Cow::Owned(String::from_utf16_lossy(&units))
    })
}

/// The number of at least one that was given as `name`.
pub(super) fn count(name: &str, value: Option<&Bound<'_, PyAny>>) -> PyResult<Option<usize>> {
    let Some(value) = value else { return Ok(None) };
    match value.extract::<usize>() {
        Ok(number) if number > 0 => Ok(Some(number)),
        Err(error) if !error.is_instance_of::<PyOverflowError>(value.py()) => {
            let found = value.get_type().name()?;
            Err(Error::new(Kind::Type, format!("{name}: expected a whole number, found {found}")).into())
        }
        _ => Err(Error::value(format!("{name}: expected a whole number of at least 1, found {}", value.str()?)).into()),
    }
}

/// A row of the table of models, as far as any table could have it.
#[derive(Clone, Copy)]
pub(super) struct Row(pub(super) usize);

impl<'a, 'py> FromPyObject<'a, 'py> for Row {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        value.extract::<usize>().map(Self).map_err(|error| {
            if error.is_instance_of::<PyOverflowError>(value.py()) {
                return Error::new(Kind::Name, format!("no model has row {}", *value)).into();
            }
            error
        })
    }
}
