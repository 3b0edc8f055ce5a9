//! `_core.Gateway`: the server, made of what Python has built.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pyo3::prelude::*;
use tokio::sync::Notify;

use super::calls::PyClient;
use super::routing::Ladder;
use super::runtime::block_on;
use crate::error::{Error, Kind, Result};
use crate::gateway::deciding::{Asked, Deciding, Router};
use crate::gateway::{Gateway, Models, Setup, Target, serve};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PySetup>()?;
    m.add_class::<PyGateway>()
}

/// What a server serves with. Given once, to a [`PyGateway`].
#[pyclass(name = "GatewaySetup", module = "ferroute._core")]
struct PySetup(Option<Setup>);

struct Lot;

impl Router for Lot {
    fn win_rate<'a>(&'a self, _asked: &'a Asked) -> BoxFuture<'a, Result<f64>> {
        let number = getrandom::u64().unwrap_or_default() >> 11;
        async move { Ok(number as f64 / (1_u64 << 53) as f64) }.boxed()
    }
}

#[pymethods]
impl PySetup {
    #[new]
    #[pyo3(signature = (ladder, clients, *, models=vec![], aliases=vec![]))]
    fn new(
        ladder: &Ladder,
        clients: Vec<(String, PyRef<'_, PyClient>)>,
        models: Vec<(String, PyRef<'_, PyClient>)>,
        aliases: Vec<(String, String)>,
    ) -> Self {
        let target = |(name, client): (String, PyRef<'_, PyClient>)| Arc::new(Target { name, plan: client.plain() });
        let targets: Vec<Arc<Target>> = clients.into_iter().map(target).collect();
        let named = targets.iter().cloned().chain(models.into_iter().map(target));
        let models = Models::new(named.collect::<Vec<_>>(), aliases.into_iter().collect());
        let routers: Vec<(String, Arc<dyn Router>)> = vec![("random".to_owned(), Arc::new(Lot))];
        let deciding = Deciding::new(ladder.0.clone(), targets, routers, None);
        Self(Some(Setup { deciding, models }))
    }
}

/// The server.
#[pyclass(name = "Gateway", module = "ferroute._core", frozen)]
struct PyGateway {
    gateway: Arc<Gateway>,
    stop: Arc<Notify>,
}

#[pymethods]
impl PyGateway {
    #[new]
    fn new(setup: &Bound<'_, PySetup>) -> PyResult<Self> {
        Ok(Self { gateway: Gateway::new(taken(setup)?)?, stop: Arc::default() })
    }

    fn swap(&self, setup: &Bound<'_, PySetup>) -> PyResult<()> {
        self.gateway.swap(taken(setup)?);
        Ok(())
    }

    /// Serves until `stop` is called or a signal handler raises; what runs then has `drain` seconds.
    fn serve(&self, py: Python<'_>, host: &str, port: u16, drain: f64) -> PyResult<()> {
        let listener = TcpListener::bind((host, port))
            .and_then(|listener| listener.set_nonblocking(true).map(|()| listener))
            .map_err(|error| Error::new(Kind::Io, format!("cannot listen on {host}:{port}: {error}")))?;
        let (gateway, stop) = (Arc::clone(&self.gateway), Arc::clone(&self.stop));
        block_on(py, async move {
            let listener = tokio::net::TcpListener::from_std(listener)
                .map_err(|error| Error::new(Kind::Io, format!("cannot listen: {error}")))?;
            serve::serve(listener, gateway, async move { stop.notified().await }, Duration::from_secs_f64(drain)).await;
            Ok::<_, Error>(())
        })
    }

    fn stop(&self) {
        self.stop.notify_one();
    }
}

fn taken(setup: &Bound<'_, PySetup>) -> PyResult<Setup> {
    let setup = setup.borrow_mut().0.take();
    Ok(setup.ok_or_else(|| Error::value("a setup is given to one server, once"))?)
}
