//! `_core.GatewayPage`: what the server's page is about.

use std::sync::Arc;

use pyo3::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::ledger::PyLedger;
use crate::error::{Denied, Error, Kind, Result};
use crate::gateway::ui::{About, Page, Rung};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyPage>()
}

/// The page of a server. Given to one [`PyGateway`](super::gateway).
#[pyclass(name = "GatewayPage", module = "ferroute._core", frozen)]
pub(super) struct PyPage(pub(super) Arc<Page>);

type Rungs = Vec<(Option<String>, String)>;

#[pymethods]
impl PyPage {
    #[new]
    #[pyo3(signature = (ledger=None, *, rungs=vec![], routers=vec![], models=vec![], config=None, keys=false, experiments=None, key=None))]
    #[expect(clippy::too_many_arguments, reason = "Python gives them by name")]
    fn new(
        ledger: Option<&PyLedger>,
        rungs: Rungs,
        routers: Vec<String>,
        models: Vec<String>,
        config: Option<String>,
        keys: bool,
        experiments: Option<Py<PyAny>>,
        key: Option<String>,
    ) -> Self {
        let page = Page::new(about(ledger, rungs, routers, models, config, keys, experiments));
        if let Some(key) = key {
            let key = SecretString::from(key);
            page.guard(Box::new(move |headers| open(&key, headers)));
        }
        Self(page)
    }

    /// The configuration was loaded again.
    #[pyo3(signature = (ledger=None, *, rungs=vec![], routers=vec![], models=vec![], config=None, keys=false, experiments=None))]
    #[expect(clippy::too_many_arguments, reason = "as for `new`")]
    fn renew(
        &self,
        ledger: Option<&PyLedger>,
        rungs: Rungs,
        routers: Vec<String>,
        models: Vec<String>,
        config: Option<String>,
        keys: bool,
        experiments: Option<Py<PyAny>>,
    ) {
        self.0.renew(about(ledger, rungs, routers, models, config, keys, experiments));
    }

    /// A changed configuration was not taken.
    fn refused(&self, why: &str) {
        self.0.refused(why);
    }
}

fn about(
    ledger: Option<&PyLedger>,
    rungs: Rungs,
    routers: Vec<String>,
    models: Vec<String>,
    config: Option<String>,
    keys: bool,
    experiments: Option<Py<PyAny>>,
) -> About {
    let asked = |callable: Py<PyAny>| {
        let ask = move || {
            let answer = Python::attach(|py| callable.call0(py)?.extract::<String>(py));
            // What Python says may have anything in it.
            answer.map_err(|_| Error::new(Kind::Io, "Python could not tell what is being tried out"))
        };
        Arc::new(ask) as Arc<crate::gateway::ui::Experiments>
    };
    About {
        ledger: ledger.map(|ledger| Arc::clone(&ledger.0)),
        rungs: rungs.into_iter().map(|(tier, model)| Rung { tier, model }).collect(),
        routers,
        models,
        config,
        keys,
        experiments: experiments.map(asked),
    }
}

/// Whether the key was shown. Hashes are compared, so that the time it takes tells nothing of the key.
fn open(key: &SecretString, headers: &axum::http::HeaderMap) -> Result<()> {
    let shown = headers.get("authorization").and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let same = Sha256::digest(shown.trim()) == Sha256::digest(key.expose_secret());
    if same && !shown.is_empty() {
        return Ok(());
    }
    let denied = Denied { status: 401, code: "invalid_api_key", retry_after: None };
    let text = if shown.is_empty() { "this page needs a key" } else { "this key does not open the page" };
    Err(Error::denied(denied, text))
}
