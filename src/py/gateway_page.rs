//! `_core.GatewayPage`: what the server's page is about.

use std::sync::Arc;

use super::arguments::List;
use super::ledger::PyLedger;
use crate::error::{Error, Kind};
use crate::gateway::ui::{About, Page, Rung};
use pyo3::prelude::*;

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
    #[pyo3(signature = (ledger=None, *, rungs=List::default(), routers=List::default(), models=List::default(), config=None, keys=false, experiments=None))]
    fn new(
        ledger: Option<&PyLedger>,
        rungs: List<(Option<String>, String)>,
        routers: List<String>,
        models: List<String>,
        config: Option<String>,
        keys: bool,
        experiments: Option<Py<PyAny>>,
    ) -> Self {
        Self(Page::new(about(ledger, rungs.0, routers.0, models.0, config, keys, experiments)))
    }

    /// The configuration was loaded again.
    #[pyo3(signature = (ledger=None, *, rungs=List::default(), routers=List::default(), models=List::default(), config=None, keys=false, experiments=None))]
    #[expect(clippy::too_many_arguments, reason = "as for `new`")]
    fn renew(
        &self,
        ledger: Option<&PyLedger>,
        rungs: List<(Option<String>, String)>,
        routers: List<String>,
        models: List<String>,
        config: Option<String>,
        keys: bool,
        experiments: Option<Py<PyAny>>,
    ) {
        self.0.renew(about(ledger, rungs.0, routers.0, models.0, config, keys, experiments));
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
