//! `_core.GatewayConfig`: the server's configuration, read and checked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pyo3::prelude::*;

use crate::gateway::config::{self, Config, Mistake, Surroundings};
use crate::policy::Rule;
use crate::providers::table::{PROVIDERS, Support};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(read_gateway_config, m)?)?;
    m.add_function(wrap_pyfunction!(gateway_schema, m)?)?;
    m.add_function(wrap_pyfunction!(provider_keys, m)?)?;
    m.add_class::<PyConfig>()
}

/// Line and column, the way to it, and what is wrong.
type Told = (Option<usize>, Option<usize>, String, String);

/// The configuration of a file's text, or everything that is wrong with it.
#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 extracts owned texts")]
fn read_gateway_config(py: Python<'_>, text: String, name: String, folder: PathBuf) -> (Option<PyConfig>, Vec<Told>) {
    let read = || {
        let env = |name: &str| std::env::var(name).ok();
        config::read(&text, &name, &Surroundings { env: &env, folder: Path::new(&folder) })
    };
    match py.detach(read) {
        Ok(config) => (Some(PyConfig(Arc::new(config))), Vec::new()),
        Err(mistakes) => (None, mistakes.into_iter().map(told).collect()),
    }
}

fn told(mistake: Mistake) -> Told {
    let mark = mistake.mark;
    (mark.map(|mark| mark.line), mark.map(|mark| mark.column), mistake.path, mistake.what)
}

/// The published schema, as JSON.
#[pyfunction]
fn gateway_schema() -> String {
    config::schema().to_string()
}

/// Providers that are called at an address of their own, in the table's order, with the variables that may hold their key.
#[pyfunction]
fn provider_keys() -> Vec<(&'static str, Vec<&'static str>)> {
    let called = PROVIDERS.iter().filter(|provider| provider.support == Support::Spoken && provider.base.is_some());
    called.map(|provider| (provider.names[0], provider.keys.iter().chain(provider.tokens).copied().collect())).collect()
}

/// A configuration without mistakes.
#[pyclass(name = "GatewayConfig", module = "ferroute._core", frozen)]
pub(super) struct PyConfig(Arc<Config>);

impl PyConfig {
    /// Its policies.
    #[allow(dead_code, reason = "called where setups are made")]
    pub(super) fn rules(&self) -> &[Rule] {
        &self.0.rules
    }
}

#[pymethods]
impl PyConfig {
    /// All of it as JSON, with what secrets stand for.
    fn plain(&self) -> String {
        self.0.plain.to_string()
    }

    /// The same as it may be shown.
    fn shown(&self) -> String {
        self.0.shown.to_string()
    }

    #[getter]
    fn notes(&self) -> &[String] {
        &self.0.notes
    }

    #[getter]
    fn routers_only(&self) -> bool {
        self.0.routers_only
    }

    /// Line and column of a part of the file.
    fn place(&self, way: &str) -> Option<(usize, usize)> {
        self.0.places.get(way).map(|mark| (mark.line, mark.column))
    }

    fn __repr__(&self) -> String {
        format!("GatewayConfig({} policies)", self.0.rules.len())
    }
}
