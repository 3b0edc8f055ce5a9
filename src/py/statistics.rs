//! `_core.quantiles` and `_core.binomial_interval`.

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use super::arguments::{Array1, List};
use crate::error::Error;
use crate::math::{binomial, quantile as by};

#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]
#[pyo3(signature = (values, at, *, percent = true))]
fn quantiles<'py>(
    py: Python<'py>,
    values: Array1<'py, f64>,
    at: List<f64>,
    percent: bool,
) -> PyResult<Bound<'py, PyArray1<f64>>> {
    let mut sorted = values.as_array().to_vec();
    if sorted.is_empty() || sorted.iter().any(|value| value.is_nan()) || at.iter().any(|q| !(0.0..=1.0).contains(q)) {
        return Err(Error::value("expected at least one value, none of them NaN, and quantiles between 0 and 1").into());
    }
    let out: Vec<f64> = py.detach(|| {
        sorted.sort_unstable_by(f64::total_cmp);
        let one = if percent { by::pandas2 } else { by::linear };
        at.iter().map(|&q| one(&sorted, q)).collect()
    });
    Ok(out.into_pyarray(py))
}

#[pyfunction]
fn quantile(values: List<f64>, at: f64) -> PyResult<f64> {
    let List(mut values) = values;
    if values.is_empty() || values.iter().any(|value| value.is_nan()) || !(0.0..=1.0).contains(&at) {
        return Err(
            Error::value("expected at least one value, none of them NaN, and a quantile between 0 and 1").into()
        );
    }
    values.sort_unstable_by(f64::total_cmp);
    Ok(by::pandas2(&values, at))
}

#[pyfunction]
fn binomial_interval(successes: u64, trials: u64, confidence: f64) -> PyResult<(f64, f64)> {
    if successes > trials || !(0.0..1.0).contains(&confidence) {
        return Err(Error::value(format!(
            "expected at most {trials} successes and a confidence of 0 to below 1, found {successes} and {confidence}"
        ))
        .into());
    }
    Ok(binomial::interval(successes, trials, confidence))
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(quantiles, m)?)?;
    m.add_function(wrap_pyfunction!(quantile, m)?)?;
    m.add_function(wrap_pyfunction!(binomial_interval, m)?)
}
