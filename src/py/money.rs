//! Exact amounts, of money and of tokens, between Python and the core.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyString, PyType};
use rust_decimal::Decimal;

use crate::error::{Error, Kind};

/// A `decimal.Decimal`, an int or a float on the way in (by its text, so 0.1 is a tenth); on the way out a
/// `decimal.Decimal` without zeros that say nothing.
#[derive(Clone, Copy)]
pub(super) struct Amount(pub(super) Decimal);

impl<'a, 'py> FromPyObject<'a, 'py> for Amount {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        // What raises when it is shown (a list nested too deep, say) is named by its type.
        let text = value.str().and_then(|text| Ok(text.to_str()?.to_owned()));
        let Ok(text) = text else {
            let found = value.get_type().name()?;
            return Err(Error::new(Kind::Type, format!("expected a decimal number, found {found}")).into());
        };
        let text = text.as_str();
        let amount = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
        amount.map(Self).map_err(|_| Error::value(format!("expected a decimal number, found `{text:.60}`")).into())
    }
}

impl<'py> IntoPyObject<'py> for Amount {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        static DECIMAL: PyOnceLock<Py<PyType>> = PyOnceLock::new();
        let text = PyString::new(py, &self.0.normalize().to_string());
        DECIMAL.import(py, "decimal", "Decimal")?.call1((text,))
    }
}
