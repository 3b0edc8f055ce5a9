//! The sockets: accepts connections and serves them until it is told to stop.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::app::{Gateway, app};

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
pub async fn serve(listener: TcpListener, gateway: Arc<Gateway>, mut wanted: watch::Receiver<Wanted>, drain: Duration) {
    let service = app(Arc::clone(&gateway));
    let graceful = GracefulShutdown::new();
    let mut stop = wanted.clone();
    let mut stopped = std::pin::pin!(reached(&mut stop, Wanted::Drain));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stopped => break,
        };
        let Ok((socket, _)) = accepted else {
            // Out of descriptors: connections that end give some back.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = socket.set_nodelay(true);
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(30));
        let connection = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service.clone()));
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            let _ = watched.await;
        });
    }
    drop(listener);
    gateway.stopping();
    tokio::select! {
        _ = tokio::time::timeout(drain, graceful.shutdown()) => {}
        () = reached(&mut wanted, Wanted::End) => {}
    }
}

/// Waits until at least this is wanted; with nobody left to want it, for ever.
async fn reached(wanted: &mut watch::Receiver<Wanted>, least: Wanted) {
    if wanted.wait_for(|now| *now >= least).await.is_err() {
        std::future::pending::<()>().await;
    }
}
