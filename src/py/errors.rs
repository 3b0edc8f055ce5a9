//! The whole mapping from the core's error to Python's exceptions.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rust_decimal::Decimal;

use super::money::Amount;
use crate::error::{Error, Kind};

mod raised {
    use pyo3::import_exception;

    import_exception!(ferroute.errors, InvalidValueError);
    import_exception!(ferroute.errors, InvalidTypeError);
    import_exception!(ferroute.errors, UnknownNameError);
    import_exception!(ferroute.errors, MissingFileError);
    import_exception!(ferroute.errors, UnreadableFileError);
    import_exception!(ferroute.errors, CheckpointError);
    import_exception!(ferroute.errors, NotBuiltError);
    import_exception!(ferroute.errors, ProviderFailure);
    import_exception!(ferroute.errors, DeniedError);
    import_exception!(ferroute.controller, RoutingError);
}

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        if let Some(raised) = error.raised::<Self>() {
            return Python::attach(|py| raised.clone_ref(py));
        }
        let text = error.message().to_owned();
        match error.kind() {
            Kind::Value => raised::InvalidValueError::new_err(text),
            Kind::Type => raised::InvalidTypeError::new_err(text),
            Kind::Name => raised::UnknownNameError::new_err(text),
            Kind::Missing => raised::MissingFileError::new_err(text),
            Kind::Io => raised::UnreadableFileError::new_err(text),
            Kind::Checkpoint => raised::CheckpointError::new_err(text),
            Kind::Denied => raised::DeniedError::new_err(text),
            Kind::Unsupported => raised::NotBuiltError::new_err(text),
            Kind::Routing => raised::RoutingError::new_err(text),
            Kind::Foreign => PyRuntimeError::new_err(text),
            kind @ (Kind::Connection | Kind::Timeout | Kind::Status | Kind::Protocol | Kind::Cancelled) => {
                Python::attach(|py| failure(py, kind, &error).unwrap_or_else(|_| PyRuntimeError::new_err(text)))
            }
        }
    }
}

/// A failed call, as data: `ferroute.errors` turns it into the class of `openai` that callers already catch.
fn failure(py: Python<'_>, kind: Kind, error: &Error) -> PyResult<PyErr> {
    let details = PyDict::new(py);
    details.set_item("kind", format!("{kind:?}").to_lowercase())?;
    details.set_item("message", error.message())?;
    if let Some(answer) = error.answer() {
        details.set_item("status", answer.status)?;
        details.set_item("headers", answer.headers.clone())?;
        details.set_item("body", PyBytes::new(py, &answer.body))?;
    }
    if let Some(partial) = error.partial() {
        details.set_item("partial_text", &partial.text)?;
        details.set_item("partial_tokens", partial.tokens)?;
        details.set_item("estimated", partial.estimated)?;
    }
    if let Some(spent) = error.spent() {
        let money = |amount: Option<Decimal>| amount.map(Amount);
        let told = (money(spent.cost), money(spent.router_cost), money(spent.saved), spent.attempts, &spent.notes);
        details.set_item("account", told)?;
    }
    Ok(raised::ProviderFailure::new_err(details.unbind()))
}
