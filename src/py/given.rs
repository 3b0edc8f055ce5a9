//! Keyword arguments of clients and embedders, read so that no error shows a key and every number is told as it is.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::{PyTypeError, PyUserWarning};
use pyo3::prelude::*;
use pyo3::types::{PyMapping, PyString};

use super::arguments::List;
use crate::engine::call::{Options, time_limit};
use crate::error::{Error, Kind};
use crate::providers::retry::DEFAULT_RETRIES;
use crate::providers::{Asked, Endpoint, resolve};

/// More of them would only hide a failure for hours.
pub(super) const MOST_RETRIES: u32 = 1000;

/// Keyword arguments that say where to call. They are read here and not by pyo3, whose errors would hold a key.
pub(super) struct Where<'a, 'py> {
    pub(super) base: Option<&'a Bound<'py, PyAny>>,
    pub(super) key: Option<&'a Bound<'py, PyAny>>,
    pub(super) organization: Option<&'a Bound<'py, PyAny>>,
    pub(super) headers: Option<&'a Bound<'py, PyAny>>,
    pub(super) query: Option<&'a Bound<'py, PyAny>>,
    pub(super) api_version: Option<&'a Bound<'py, PyAny>>,
    pub(super) base_model: Option<&'a Bound<'py, PyAny>>,
}

impl Where<'_, '_> {
    /// The endpoint of `model`; the environment is read now, at call time.
    pub(super) fn endpoint(&self, model: &str) -> PyResult<Endpoint> {
        let endpoint = resolve(model, &self.asked()?, &|name| std::env::var(name).ok())?;
        if endpoint.name != model {
            moved(model, &endpoint.name)?;
        }
        Ok(endpoint)
    }

    /// What the caller says about an endpoint.
    pub(super) fn asked(&self) -> PyResult<Asked> {
        let given = |name: &str, value: Option<&Bound<'_, PyAny>>| value.map(|value| text(name, value)).transpose();
        Ok(Asked {
            api_base: given("api_base", self.base)?,
            api_key: given("api_key", self.key)?.map(Into::into),
            organization: given("organization", self.organization)?,
            headers: self.headers.map_or(Ok(Vec::new()), |value| pairs("extra_headers", value))?,
            query: self.query.map_or(Ok(Vec::new()), |value| pairs("extra_query", value))?,
            api_version: given("api_version", self.api_version)?,
            base_model: given("base_model", self.base_model)?,
        })
    }
}

/// Warns, once for each model, that the environment has it asked elsewhere.
fn moved(model: &str, name: &str) -> PyResult<()> {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if !TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(model.to_owned()) {
        return Ok(());
    }
    let text = format!("`{model}` is asked as `{name}`, as a variable FERROUTE_<PREFIX> says");
    let text = CString::new(text).map_err(|_| Error::value("the name of a model holds a zero byte"))?;
    Python::attach(|py| PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1))
}

/// A keyword's text; neither error shows it.
pub(super) fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let Ok(text) = value.cast::<PyString>() else {
        let found = value.get_type().name()?;
        return Err(Error::new(Kind::Type, format!("`{name}` must be str, found {found}")).into());
    };
    match text.to_cow() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Error::value(format!("`{name}` is not valid Unicode: it holds half of a surrogate pair")).into()),
    }
}

/// Names and values, as a mapping or a list of pairs.
fn pairs(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let listed = match value.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.into_any(),
        Err(_) => value.clone(),
    };
    let wrong = || Error::new(Kind::Type, format!("`{name}` must be a dict, or a list of pairs, of str"));
    let Ok(listed) = listed.extract::<List<(Bound<'_, PyAny>, Bound<'_, PyAny>)>>() else { return Err(wrong().into()) };
    listed.iter().map(|(key, item)| Ok((text(name, key)?, text(name, item)?))).collect()
}

/// A whole number as Python has it: too large and negative ones are told as what they are, not as an overflow.
pub(super) struct Whole<'py>(Bound<'py, PyAny>);

impl<'py> FromPyObject<'_, 'py> for Whole<'py> {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // An `int`, or what stands for one: numpy's scalars.
        let index = value.call_method0("__index__");
        index.map(Self).map_err(|_| PyTypeError::new_err("expected int"))
    }
}

impl Whole<'_> {
    pub(super) fn within(given: Option<Self>, name: &str, default: u32, allowed: RangeInclusive<u32>) -> PyResult<u32> {
        let Some(Self(value)) = given else { return Ok(default) };
        let number = value.extract::<u32>().ok().filter(|number| allowed.contains(number));
        Ok(number.ok_or_else(|| {
            let (least, most) = (allowed.start(), allowed.end());
            // Python refuses to write thousands of digits.
            let found = value.repr().map_or_else(|_| "a far larger one".to_owned(), |found| found.to_string());
            Error::value(format!("`{name}` must be a whole number from {least} to {most}, found {found}"))
        })?)
    }
}

pub(super) fn options(timeout: f64, max_retries: Option<Whole<'_>>) -> PyResult<Options> {
    let retries = Whole::within(max_retries, "max_retries", DEFAULT_RETRIES, 0..=MOST_RETRIES)?;
    Ok(Options { timeout: time_limit(timeout)?, retries })
}
