//! `_core.Policy`: how calls behave, checked once and used by every call.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

use super::given::{MOST_RETRIES, Whole};
use crate::engine::plan::Policy;
use crate::error::{Error, Result};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyPolicy>()
}

#[pyclass(name = "Policy", module = "ferroute._core", frozen)]
pub(super) struct PyPolicy(pub(super) Arc<Policy>);

#[pymethods]
impl PyPolicy {
    #[new]
    #[pyo3(signature = (
        *, connect_timeout=None, first_byte_timeout=None, between_chunks_timeout=None, timeout=None, deadline=None,
        retries=None, failures_before_cooldown=None, cooldown=30.0, hedge=false, strict=false,
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn new(
        connect_timeout: Option<f64>,
        first_byte_timeout: Option<f64>,
        between_chunks_timeout: Option<f64>,
        timeout: Option<f64>,
        deadline: Option<f64>,
        retries: Option<Whole<'_>>,
        failures_before_cooldown: Option<Whole<'_>>,
        cooldown: f64,
        hedge: bool,
        strict: bool,
    ) -> PyResult<Self> {
        let usual = Policy::default();
        Ok(Self(Arc::new(Policy {
            connect_timeout: limit("connect_timeout", connect_timeout)?,
            first_byte_timeout: limit("first_byte_timeout", first_byte_timeout)?,
            between_chunks_timeout: limit("between_chunks_timeout", between_chunks_timeout)?,
            attempt_timeout: limit("timeout", timeout)?,
            deadline: limit("deadline", deadline)?,
            retries: Whole::within(retries, "retries", usual.retries, 0..=MOST_RETRIES)?,
            failures_before_cooldown: Whole::within(
                failures_before_cooldown,
                "failures_before_cooldown",
                usual.failures_before_cooldown,
                1..=u32::MAX,
            )?,
            cooldown: cooldown_of(cooldown)?,
            hedge,
            strict,
        })))
    }
}

/// A time limit in seconds; `None` and infinity are none.
pub(super) fn limit(name: &str, seconds: Option<f64>) -> Result<Option<Duration>> {
    let Some(seconds) = seconds.filter(|&seconds| seconds != f64::INFINITY) else { return Ok(None) };
    let positive = seconds > 0.0;
    match Duration::try_from_secs_f64(seconds) {
        Ok(limit) if positive => Ok(Some(limit)),
        _ => Err(Error::value(format!("`{name}` must be a number of seconds above 0, found {seconds}"))),
    }
}

fn cooldown_of(seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| Error::value(format!("`cooldown` must be a number of seconds, at least 0, found {seconds}")))
}
