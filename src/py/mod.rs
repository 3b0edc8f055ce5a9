//! The Python face: convert, call, map the error. Anything longer belongs in the core.

mod account;
mod arguments;
mod awaitable;
mod bert;
mod calls;
mod causal;
mod classifier;
mod columns;
mod driver;
mod embedder;
mod errors;
mod evals;
mod explain;
mod filters;
mod fitted;
mod gateway;
mod gateway_config;
mod gateway_door;
mod gateway_foreign;
mod gateway_page;
mod gateway_routers;
mod given;
mod guarantee;
mod learn;
mod ledger;
mod local;
mod mf;
mod money;
mod parquet_writer;
mod policy;
mod pricing;
mod prompts;
mod request;
mod rollout;
mod routing;
mod rules;
mod runtime;
mod seeing;
mod semantic;
mod statistics;
mod sw;
mod task;
mod watched;
mod within;

use pyo3::prelude::*;

// `gil_used`: lists of floats are read by borrowed references, which are only sound under the lock.
#[pymodule(gil_used = true)]
#[pyo3(name = "_core")]
fn core(m: &Bound<'_, PyModule>) -> PyResult<()> {
    crate::math::settle();
    crate::neural::settle();
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("DEBUG_BUILD", cfg!(debug_assertions))?;
    routing::register(m)?;
    rollout::register(m)?;
    request::register(m)?;
    explain::register(m)?;
    filters::register(m)?;
    fitted::register(m)?;
    gateway::register(m)?;
    gateway_door::register(m)?;
    gateway_config::register(m)?;
    gateway_page::register(m)?;
    within::register(m)?;
    rules::register(m)?;
    mf::register(m)?;
    learn::register(m)?;
    local::register(m)?;
    bert::register(m)?;
    evals::register(m)?;
    calls::register(m)?;
    embedder::register(m)?;
    policy::register(m)?;
    causal::register(m)?;
    classifier::register(m)?;
    pricing::register(m)?;
    ledger::register(m)?;
    parquet_writer::register(m)?;
    prompts::register(m)?;
    columns::register(m)?;
    statistics::register(m)?;
    guarantee::register(m)?;
    seeing::register(m)?;
    semantic::register(m)?;
    sw::register(m)?;
    task::register(m)?;
    Ok(())
}
