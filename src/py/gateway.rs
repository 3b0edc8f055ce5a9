//! `_core.Gateway`: the server, made of what Python has built.

use std::io;
use std::net::ToSocketAddrs;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::available_parallelism;

use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyDict;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Builder;
use tokio::sync::watch;

use super::arguments::List;
use super::calls::PyClient;
use super::gateway_door::PyDoor;
use super::gateway_page::PyPage;
use super::gateway_routers;
use super::routing::Ladder;
use super::runtime::wait;
use super::seeing::PySeeing;
use super::within;
use crate::error::{Error, Kind, Result};
use crate::gateway::deciding::{Deciding, Lot};
use crate::gateway::inside::Inside;
use crate::gateway::lanes::Lanes;
use crate::gateway::serve::{self, Wanted};
use crate::gateway::{Gateway, Limits, Models, Setup, Target};
use crate::math::waiting;

/// Connections that wait to be accepted: a thousand clients may come at once.
const BACKLOG: u32 = 4096;

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PySetup>()?;
    m.add_class::<PyGateway>()
}

/// What a server serves with. Given once, to a [`PyGateway`].
#[pyclass(name = "GatewaySetup", module = "ferroute._core")]
struct PySetup(Option<Setup>);

/// What calls a model, or why nothing can.
#[derive(FromPyObject)]
enum Called<'py> {
    By(PyRef<'py, PyClient>),
    Broken(String),
}

#[pymethods]
impl PySetup {
    #[new]
    #[expect(clippy::needless_pass_by_value, reason = "what pyo3 makes of Python's arguments is ours")]
    #[expect(clippy::too_many_arguments, reason = "they have names where they are called")]
    #[pyo3(signature = (
        ladder, clients, *, like, deciding=None, models=List::default(), aliases=List::default(), open_models=false, door=None
    ))]
    fn new(
        ladder: &Ladder,
        clients: List<(String, Called<'_>)>,
        like: PyRef<'_, PyClient>,
        deciding: Option<&Bound<'_, PyDict>>,
        models: List<(String, Called<'_>)>,
        aliases: List<(String, String)>,
        open_models: bool,
        door: Option<&PyDoor>,
    ) -> PyResult<Self> {
        let target = |(name, called): (String, Called<'_>)| {
            Arc::new(match called {
                Called::By(client) => Target::new(name, client.plain()),
                Called::Broken(why) => Target::broken(name, why, &like.plain()),
            })
        };
        let targets: Vec<Arc<Target>> = clients.into_iter().map(target).collect();
        let named = targets.iter().cloned().chain(models.into_iter().map(target));
        let models = Models::new(named.collect::<Vec<_>>(), aliases.0);
        let rungs = targets.iter().map(|target| target.name.as_str());
        let mut models = models.tiers(ladder.0.names().iter().map(String::as_str).zip(rungs));
        if open_models {
            models = models.open(like.plain());
        }
        let deciding = match deciding {
            Some(told) => gateway_routers::deciding(told, targets)?,
            None => Deciding::new(ladder.0.clone(), targets, vec![("random".to_owned(), Arc::new(Lot))], None),
        };
        let (policies, budgets) = door.map(PyDoor::policies).transpose()?.unwrap_or_default();
        let (auth, guard) = door.map(|door| (door.auth.clone(), door.guard.clone())).unwrap_or_default();
        let server = door.map_or_else(Limits::default, |door| door.limits);
        Ok(Self(Some(Setup { deciding, models, server, auth, guard, policies, budgets })))
    }
}

/// The server.
#[pyclass(name = "Gateway", module = "ferroute._core", frozen)]
struct PyGateway {
    gateway: Arc<Gateway>,
    wanted: watch::Sender<Wanted>,
    bound: Mutex<Option<Held>>,
    /// For requests that another server reads; made with the first of them.
    inside: OnceLock<Inside>,
}

/// A port that is held, and the threads that serve it.
struct Held {
    lanes: Lanes,
    listener: TcpListener,
}

#[pymethods]
impl PyGateway {
    #[new]
    #[pyo3(signature = (setup, *, page=None, seeing=None))]
    fn new(setup: &Bound<'_, PySetup>, page: Option<&PyPage>, seeing: Option<&PySeeing>) -> PyResult<Self> {
        let wanted = watch::Sender::new(Wanted::Run);
        let page = page.map(|page| Arc::clone(&page.0));
        let seeing = seeing.map(|seeing| Arc::clone(&seeing.0));
        Ok(Self {
            gateway: Gateway::with(taken(setup)?, Vec::new(), page, seeing)?,
            wanted,
            bound: Mutex::default(),
            inside: OnceLock::new(),
        })
    }

    fn swap(&self, setup: &Bound<'_, PySetup>) -> PyResult<()> {
        self.gateway.swap(taken(setup)?);
        Ok(())
    }

    /// Answers a request that another server has read: an awaitable of status, headers and body.
    #[expect(clippy::needless_pass_by_value, reason = "what pyo3 makes of Python's arguments is ours")]
    fn handle<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        target: &str,
        headers: within::Headers,
        body: PyBackedBytes,
    ) -> PyResult<Bound<'py, PyAny>> {
        let inside = self.inside.get_or_init(|| Inside::new(Arc::clone(&self.gateway)));
        within::answer(py, inside.clone(), method, target, headers, &body)
    }

    /// Takes the port, and says which it is; 0 is any that is free. Callers are kept waiting until `serve`.
    #[pyo3(signature = (host, port, workers=None))]
    fn bind(&self, py: Python<'_>, host: &str, port: u16, workers: Option<usize>) -> PyResult<(String, u16)> {
        let bound = py.detach(|| {
            self.gateway.bindable(host)?;
            bind(host, port, workers)
        })?;
        let address = bound.listener.local_addr().map_err(|error| cannot(host, port, &error))?;
        *self.bound() = Some(bound);
        Ok((address.ip().to_string(), address.port()))
    }

    /// Serves until `stop`, or until a signal handler raises; what runs then has `drain` seconds to end.
    #[pyo3(signature = (drain=30.0))]
    fn serve(&self, py: Python<'_>, drain: f64) -> PyResult<()> {
        let drain = waiting::seconds(drain)
            .ok_or_else(|| Error::value(format!("drain: expected seconds of at least 0, found {drain}")))?;
        let Some(Held { lanes, listener }) = self.bound().take() else {
            return Err(Error::value("there is no port to serve: call bind() first, once for each serve()").into());
        };
        let gateway = Arc::clone(&self.gateway);
        let wanted = self.wanted.subscribe();
        py.detach(|| {
            // This thread only waits, and looks for signals.
            let here = Builder::new_current_thread().enable_time().build().map_err(|error| unstarted(&error))?;
            let running = lanes.first().spawn(serve::serve(listener, gateway, lanes.spread(), wanted, drain));
            let served = async { running.await.map_err(|_| Error::new(Kind::Io, "the server has broken")) };
            wait(&here, served)
        })
    }

    /// Takes no new connections and lets what runs end; with `now`, ends at once.
    #[pyo3(signature = (now=false))]
    fn stop(&self, now: bool) {
        let least = if now { Wanted::End } else { Wanted::Drain };
        self.wanted.send_if_modified(|wanted| {
            let changes = *wanted < least;
            *wanted = least.max(*wanted);
            changes
        });
    }
}

impl PyGateway {
    fn bound(&self) -> MutexGuard<'_, Option<Held>> {
        self.bound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bind(host: &str, port: u16, workers: Option<usize>) -> Result<Held> {
    let count = workers.or_else(|| available_parallelism().ok().map(Into::into)).unwrap_or(1);
    let lanes = Lanes::start(count)?;
    let listener = {
        let _inside = lanes.first().enter();
        (host, port).to_socket_addrs().and_then(|mut addresses| {
            let address = addresses.next().ok_or_else(|| io::Error::other("the name has no address"))?;
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(BACKLOG)
        })
    };
    Ok(Held { listener: listener.map_err(|error| cannot(host, port, &error))?, lanes })
}

fn unstarted(error: &io::Error) -> Error {
    Error::new(Kind::Io, format!("the server could not be started: {error}"))
}

fn cannot(host: &str, port: u16, error: &io::Error) -> Error {
    Error::new(Kind::Io, format!("cannot listen on {host}:{port}: {error}"))
}

fn taken(setup: &Bound<'_, PySetup>) -> PyResult<Setup> {
    let setup = setup.borrow_mut().0.take();
    Ok(setup.ok_or_else(|| Error::value("a setup is given to one server, once"))?)
}
