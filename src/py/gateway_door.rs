//! `_core.Keys` and `_core.GatewayDoor`: who may come in, and what callers may.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

use super::arguments::List;
use super::gateway_config::PyConfig;
use crate::error::{Error, Result};
use crate::gateway::{Auth, Guard, Limits};
use crate::math::waiting;
use crate::policy::keys::NewKey;
use crate::policy::{Bank, Budgets, Keys, Policies, Rule, entry};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyKeys>()?;
    m.add_class::<PyBank>()?;
    m.add_class::<PyDoor>()
}

/// The keys in a ledger's database. What it is told and what it tells is JSON.
#[pyclass(name = "Keys", module = "ferroute._core", frozen)]
pub(super) struct PyKeys(Arc<Keys>);

#[pymethods]
impl PyKeys {
    #[new]
    #[pyo3(signature = (url, create=true))]
    fn new(py: Python<'_>, url: &str, create: bool) -> PyResult<Self> {
        Ok(Self(py.detach(|| Keys::open(url, create))?))
    }

    /// Whether a key like this can be made.
    #[staticmethod]
    fn check(new: &str) -> PyResult<()> {
        Ok(NewKey::read(new.as_bytes()).map(drop)?)
    }

    /// Makes a key; gives its secret, the only time, and what is known of it.
    fn create(&self, py: Python<'_>, new: &str) -> PyResult<(String, String)> {
        let made = py.detach(|| {
            let (secret, shown) = self.0.create(NewKey::read(new.as_bytes())?)?;
            Ok::<_, Error>((secret, json(&shown)?))
        });
        Ok(made?)
    }

    fn list(&self, py: Python<'_>) -> PyResult<String> {
        Ok(py.detach(|| json(&self.0.list()?))?)
    }

    fn show(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        Ok(py.detach(|| json(&self.0.show(name)?))?)
    }

    fn revoke(&self, py: Python<'_>, name: &str) -> PyResult<String> {
        Ok(py.detach(|| json(&self.0.revoke(name)?))?)
    }

    #[getter]
    fn url(&self) -> &str {
        self.0.shown_url()
    }

    fn __repr__(&self) -> String {
        format!("Keys({:?})", self.0.shown_url())
    }
}

fn json(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::value(error.to_string()))
}

/// What stands before the models: keys, names, limits, policies. Usable for any number of setups.
#[pyclass(name = "GatewayDoor", module = "ferroute._core", frozen)]
pub(super) struct PyDoor {
    pub(super) auth: Auth,
    pub(super) guard: Guard,
    pub(super) limits: Limits,
    rules: Vec<Rule>,
    bank: Option<Arc<Bank>>,
}

impl PyDoor {
    /// The policies, with nothing spent, and the budgets as they stand.
    pub(super) fn policies(&self) -> Result<(Policies, Option<Budgets>)> {
        let budgets = self.bank.as_ref().map(|bank| Budgets::new(Arc::clone(bank), &self.rules)).transpose()?;
        Ok((Policies::new(&self.rules), budgets))
    }
}

/// The money of budgets, in a ledger's database. One for all setups of a server.
#[pyclass(name = "Bank", module = "ferroute._core", frozen)]
pub(super) struct PyBank(Arc<Bank>);

#[pymethods]
impl PyBank {
    #[new]
    fn new(py: Python<'_>, url: &str) -> PyResult<Self> {
        Ok(Self(py.detach(|| Bank::open(url))?))
    }

    /// Gives back what is lent, after the last call; waits so many seconds at most.
    #[pyo3(signature = (limit=5.0))]
    fn close(&self, py: Python<'_>, limit: f64) {
        py.detach(|| self.0.close(waiting::seconds(limit).unwrap_or_default()));
    }

    #[expect(clippy::unused_self, reason = "Python calls it on one")]
    fn __repr__(&self) -> &'static str {
        "Bank()"
    }
}

#[pymethods]
impl PyDoor {
    #[new]
    #[pyo3(signature = (
        policies="[]", *, config=None, bank=None, keys=None, required=false, admin=None, hosts=List::default(), cors=List::default(), public=false, max_body=None,
        max_connections=None, header_timeout=None, body_timeout=None, idle_timeout=None, write_timeout=None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "they have names where they are called")]
    fn new(
        policies: &str,
        config: Option<&PyConfig>,
        bank: Option<&PyBank>,
        keys: Option<&PyKeys>,
        required: bool,
        admin: Option<&str>,
        hosts: List<String>,
        cors: List<String>,
        public: bool,
        max_body: Option<f64>,
        max_connections: Option<usize>,
        header_timeout: Option<f64>,
        body_timeout: Option<f64>,
        idle_timeout: Option<f64>,
        write_timeout: Option<f64>,
    ) -> PyResult<Self> {
        let usual = Limits::default();
        let limits = Limits {
            max_body: most(max_body, usual.max_body)?,
            max_connections: at_least_one("max_connections", max_connections.unwrap_or(usual.max_connections))?,
            header_timeout: seconds("header_timeout_s", header_timeout, usual.header_timeout)?,
            body_timeout: seconds("body_timeout_s", body_timeout, usual.body_timeout)?,
            idle_timeout: seconds("idle_timeout_s", idle_timeout, usual.idle_timeout)?,
            write_timeout: seconds("write_timeout_s", write_timeout, usual.write_timeout)?,
        };
        let auth = Auth::new(required, admin, keys.map(|keys| Arc::clone(&keys.0)))?;
        let mut rules = entry::rules(policies)?;
        rules.extend(config.into_iter().flat_map(|config| config.rules().iter().cloned()));
        let bank = bank.map(|bank| Arc::clone(&bank.0));
        let door = Self { auth, guard: Guard::new(hosts.0, cors.0)?.public(public), limits, rules, bank };
        // What makes no sense is told here, not when a server is to serve with it.
        door.policies()?;
        Ok(door)
    }
}

/// Megabytes as bytes.
fn most(megabytes: Option<f64>, usual: usize) -> Result<usize> {
    let Some(megabytes) = megabytes else { return Ok(usual) };
    if !(megabytes > 0.0 && megabytes <= 4_096.0) {
        return Err(Error::value(format!("max_body_mb: expected more than 0, 4096 at most, found {megabytes}")));
    }
    Ok((megabytes * 1_048_576.0) as usize)
}

fn at_least_one(what: &str, number: usize) -> Result<usize> {
    // More than a semaphore holds is no limit either.
    if number == 0 || number > 1_000_000 {
        return Err(Error::value(format!("{what}: expected 1 to 1000000, found {number}")));
    }
    Ok(number)
}

fn seconds(what: &str, seconds: Option<f64>, usual: Duration) -> Result<Duration> {
    let Some(seconds) = seconds else { return Ok(usual) };
    if !(seconds > 0.0 && seconds <= 86_400.0) {
        return Err(Error::value(format!("{what}: expected seconds above 0, a day at most, found {seconds}")));
    }
    Ok(Duration::from_secs_f64(seconds))
}
