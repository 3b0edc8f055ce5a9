//! `_core.Policy`: how calls behave, checked once and used by every call.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::arguments::List;
use super::given::{MOST_RETRIES, Whole};
use crate::engine::plan::{Escalation, Judge, Policy, Unsaid};
use crate::error::{Error, Kind, Result};
use crate::ledger::Signs;
use crate::math::waiting;
use crate::providers::Answer;

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
        escalate_on=None,
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
        escalate_on: Option<&Bound<'_, PyAny>>,
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
            escalate_on: escalate_on.map(escalation).transpose()?.unwrap_or_default(),
        })))
    }
}

/// Names of signs, or a callable that judges an answer.
fn escalation(given: &Bound<'_, PyAny>) -> PyResult<Escalation> {
    if given.is_callable() {
        let callable = given.clone().unbind();
        let judge = Judge(Arc::new(move |answer| asked(&callable, answer)));
        return Ok(Escalation { signs: Signs::NONE, judge: Some(judge) });
    }
    let mut signs = Signs::NONE;
    for name in given.extract::<List<String>>()? {
        let unknown = || Error::value(format!("`escalate_on`: unknown sign {name:?}"));
        signs = signs.and(Signs::named(&name).filter(|sign| *sign != Signs::ASKED_AGAIN).ok_or_else(unknown)?);
    }
    Ok(Escalation { signs, judge: None })
}

/// What a callable says of an answer.
fn asked(callable: &Py<PyAny>, answer: &Answer) -> Result<bool, Unsaid> {
    let said = Python::try_attach(|py| {
        let body = PyBytes::new(py, &answer.body);
        let judged = py.import("ferroute._judged")?.call_method1("judged", (callable, body))?;
        judged.extract::<(Option<bool>, String)>()
    });
    match said {
        Some(Ok((Some(failed), _))) => Ok(failed),
        Some(Ok((None, why))) => Err(Unsaid::Unknown(why)),
        // An interrupt, an exit: nothing that a verdict could be made of.
        Some(Err(error)) => {
            let stop = Error::new(Kind::Cancelled, "`escalate_on` has ended the call");
            Err(Unsaid::Stop(stop.with_raised(error)))
        }
        None => Err(Unsaid::Unknown("the interpreter is shutting down".into())),
    }
}

/// A time limit in seconds; `None` and infinity are none.
pub(super) fn limit(name: &str, seconds: Option<f64>) -> Result<Option<Duration>> {
    let Some(seconds) = seconds.filter(|&seconds| seconds != f64::INFINITY) else { return Ok(None) };
    let positive = seconds > 0.0;
    match waiting::seconds(seconds) {
        Some(limit) if positive => Ok(Some(limit)),
        _ => Err(Error::value(format!("`{name}` must be a number of seconds above 0, found {seconds}"))),
    }
}

fn cooldown_of(seconds: f64) -> Result<Duration> {
    waiting::seconds(seconds)
        .ok_or_else(|| Error::value(format!("`cooldown` must be a number of seconds, at least 0, found {seconds}")))
}
