//! The sockets: accepts connections and serves them until it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::app::app;
use super::lanes::Spread;
use super::state::Gateway;
use super::wire::{Answer, Phase, Wire};

/// Fields in the head of a request.
const MOST_HEADERS: usize = 100;
/// Bytes of the head of a request.
const LARGEST_HEAD: usize = 32 << 10;
/// How long its end waits for the ledger. Where it cannot be written, who has started the server hears of it.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// How long before the end streams are told.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What a server is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Serve.
    Run,
    /// Take no new requests, and let what runs end.
    Drain,
    /// End at once.
    End,
}

/// Serves `gateway` on `listener` until `wanted` says otherwise; what runs then has `drain` to end. While it does, whoever
/// connects is answered still, but only how the server is: a balancer that asks is told so, and not left without a word.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    lanes: Spread,
    mut wanted: watch::Receiver<Wanted>,
    drain: Duration,
) {
    let places = Arc::new(Semaphore::new(gateway.setup().server.max_connections));
    let service = TowerToHyperService::new(app(Arc::clone(&gateway)));
    let front = Front { listener, gateway, lanes, service, places, crowded: Arc::default() };
    let graceful = GracefulShutdown::new();
    tokio::select! {
        () = front.take(Some(&graceful)) => {}
        () = reached(&mut wanted, Wanted::Drain) => {}
    }
    front.gateway.stopping();
    tokio::select! {
        () = graceful.shutdown() => {}
        () = over(&front.gateway, drain) => {}
        () = front.take(None) => {}
        () = reached(&mut wanted, Wanted::End) => {}
    }
    front.gateway.cut();
    // Python writes it, too, but may have to wait for a router that holds the interpreter, and be killed meanwhile.
    if let Some(ledger) = front.gateway.setup().ledger() {
        _ = tokio::task::spawn_blocking(move || ledger.flush(LAST_WRITE)).await;
    }
}

/// What takes connections in.
struct Front {
    listener: TcpListener,
    gateway: Arc<Gateway>,
    lanes: Spread,
    service: TowerToHyperService<Router>,
    places: Arc<Semaphore>,
    crowded: Arc<AtomicBool>,
}

impl Front {
    /// Takes connections for ever; `watched` waits for those that it has taken, and for no others.
    async fn take(&self, watched: Option<&GracefulShutdown>) {
        loop {
            let Ok((socket, place)) = accept(&self.listener, &self.places, &self.crowded).await else {
                // Out of descriptors: connections that end give some back.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            self.begin(socket, place, watched);
        }
    }

    fn begin(&self, socket: TcpStream, place: Option<OwnedSemaphorePermit>, watched: Option<&GracefulShutdown>) {
        let _ = socket.set_nodelay(true);
        let (lane, open) = self.lanes.next();
        let Ok(socket) = moved(socket, lane) else { return };
        // The timers of a connection are those of its lane.
        let _inside = lane.enter();
        let phase = Arc::new(Phase::default());
        let limits = self.gateway.setup().server;
        let wire = Wire::new(socket, Arc::clone(&phase), limits, Arc::clone(&self.crowded));
        let service = self.service.clone();
        let service = service_fn(move |request| {
            phase.busy();
            let (answer, phase) = (service.call(request), Arc::clone(&phase));
            async move { answer.await.map(|response| response.map(|body| Answer::new(body, phase))) }
        });
        let mut builder = http1::Builder::new();
        // The time of a head is looked after by the wire.
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_headers(MOST_HEADERS)
            .max_header_size(LARGEST_HEAD);
        let connection = builder.serve_connection(TokioIo::new(wire), service);
        if let Some(graceful) = watched {
            let watched = graceful.watch(connection);
            lane.spawn(async move {
                let _ = watched.await;
                drop((place, open));
            });
        } else {
            lane.spawn(async move {
                let _ = connection.await;
                drop((place, open));
            });
        }
    }
}

/// The time that what runs has to end; streams are told shortly before that it is up.
async fn over(gateway: &Gateway, drain: Duration) {
    let last = LAST_WORDS.min(drain / 4);
    tokio::time::sleep(drain.saturating_sub(last)).await;
    gateway.cut();
    tokio::time::sleep(last).await;
}

/// A socket in the hands of another lane's runtime.
fn moved(socket: TcpStream, lane: &Handle) -> std::io::Result<TcpStream> {
    let socket = socket.into_std()?;
    let _inside = lane.enter();
    TcpStream::from_std(socket)
}

/// The next connection, once there is a place for it. Who finds none waits with the system, and those that are idle give theirs.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    crowded: &AtomicBool,
) -> std::io::Result<(TcpStream, Option<OwnedSemaphorePermit>)> {
    crowded.store(places.available_permits() == 0, Ordering::Relaxed);
    // Nobody closes it, so it always gives one.
    let place = Arc::clone(places).acquire_owned().await.ok();
    crowded.store(false, Ordering::Relaxed);
    let (socket, _) = listener.accept().await?;
    Ok((socket, place))
}

/// Waits until at least this is wanted; with nobody left to want it, for ever.
async fn reached(wanted: &mut watch::Receiver<Wanted>, least: Wanted) {
    if wanted.wait_for(|now| *now >= least).await.is_err() {
        std::future::pending::<()>().await;
    }
}
