//! Arguments that pyo3 reads in another way than users should meet.

use std::borrow::Cow;
use std::ops::Deref;

use numpy::ndarray::{Dimension, Ix1, Ix2};
use numpy::{Element, PyReadonlyArray, PyUntypedArrayMethods};
use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

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

/// The items of any sequence, as `Vec` takes them, but with no trust in its length.
///
/// pyo3 makes room for as many items as a sequence says it has, so one that lies, or an array that repeats one number, would
/// end the process.
pub(super) struct List<T>(pub(super) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> List<T> {
    /// A sequence that says it has more is refused.
    const MOST: usize = u32::MAX as usize;
    /// Room for so many is made in advance, whoever asks.
    const AHEAD: usize = 1 << 16;
    /// So many items are read between two looks for a signal.
    const PAUSE: usize = 1 << 16;
}

impl<'a, 'py, T: FromPyObjectOwned<'py>> FromPyObject<'a, 'py> for List<T> {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let honest = value.is_instance_of::<PyList>()
            || value.is_instance_of::<PyTuple>()
            || value.is_instance_of::<PyString>()
            || value.is_instance_of::<PyBytes>();
        let length = value.len().unwrap_or(0);
        if honest || length <= Self::AHEAD {
            return value.extract().map(Self);
        }
        let too_long = || Error::value(format!("expected at most {} items, found {length}", Self::MOST));
        if length > Self::MOST {
            return Err(too_long().into());
        }
        let mut items = Vec::new();
        for item in value.try_iter()? {
            if items.len() % Self::PAUSE == 0 {
                value.py().check_signals()?;
            }
            items.try_reserve(1).map_err(|_| too_long())?;
            items.push(item?.extract().map_err(Into::into)?);
        }
        Ok(Self(items))
    }
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> IntoIterator for List<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// An array of numpy's that is read whole, so that a copy of it has to fit into memory.
///
/// One that repeats its numbers (`numpy.broadcast_to`) can stand for terabytes, and making the copy would end the process.
pub(super) struct Whole<'py, T: Element, D: Dimension>(PyReadonlyArray<'py, T, D>);

pub(super) type Array1<'py, T> = Whole<'py, T, Ix1>;
pub(super) type Array2<'py, T> = Whole<'py, T, Ix2>;

impl<'a, 'py, T: Element + 'a, D: Dimension + 'a> FromPyObject<'a, 'py> for Whole<'py, T, D>
where
    PyReadonlyArray<'py, T, D>: FromPyObject<'a, 'py>,
{
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let array: PyReadonlyArray<'py, T, D> = value.extract().map_err(Into::into)?;
        let fits = |bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok();
        if !array.is_contiguous() && !array.len().checked_mul(size_of::<T>()).is_some_and(fits) {
            return Err(Error::value(format!("there is no memory for an array of {} numbers", array.len())).into());
        }
        Ok(Self(array))
    }
}

impl<'py, T: Element, D: Dimension> Deref for Whole<'py, T, D> {
    type Target = PyReadonlyArray<'py, T, D>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
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
