//! The sockets: accepts connections and serves them until it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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

/// What a server is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// Serve.
    Run,
    /// Take no new connections, and let what runs end.
    Drain,
    /// End at once.
    End,
}

/// Serves `gateway` on `listener` until `wanted` says otherwise; what runs then has `drain` to end.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    lanes: Spread,
    mut wanted: watch::Receiver<Wanted>,
    drain: Duration,
) {
    let service = app(Arc::clone(&gateway));
    let places = Arc::new(Semaphore::new(gateway.setup().server.max_connections));
    let crowded = Arc::new(AtomicBool::new(false));
    let graceful = GracefulShutdown::new();
    let mut stop = wanted.clone();
    let mut stopped = std::pin::pin!(reached(&mut stop, Wanted::Drain));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places, &crowded) => accepted,
            () = &mut stopped => break,
        };
        let Ok((socket, place)) = accepted else {
            // Out of descriptors: connections that end give some back.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = socket.set_nodelay(true);
        let (lane, open) = lanes.next();
        let Ok(socket) = moved(socket, lane) else { continue };
        // The timers of a connection are those of its lane.
        let _inside = lane.enter();
        let phase = Arc::new(Phase::default());
        let wire = Wire::new(socket, Arc::clone(&phase), gateway.setup().server, Arc::clone(&crowded));
        let service = TowerToHyperService::new(service.clone());
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
        let watched = graceful.watch(builder.serve_connection(TokioIo::new(wire), service));
        lane.spawn(async move {
            let _ = watched.await;
            drop((place, open));
        });
    }
    drop(listener);
    gateway.stopping();
    tokio::select! {
        _ = tokio::time::timeout(drain, graceful.shutdown()) => {}
        () = reached(&mut wanted, Wanted::End) => {}
    }
    // Python writes it, too, but may have to wait for a router that holds the interpreter, and be killed meanwhile.
    if let Some(ledger) = gateway.setup().ledger() {
        _ = tokio::task::spawn_blocking(move || ledger.flush(LAST_WRITE)).await;
    }
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
