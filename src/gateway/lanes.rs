//! The threads that serve: each has a runtime of its own, and connections to callers and providers that no other touches.
//!
//! A request that stays on one thread wakes no other. On a runtime that shares its work among threads nearly every one
//! does, which costs more than everything the server does with it.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{Builder as Thread, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::error::{Error, Kind, Result};

/// More threads than this only wait for each other.
pub const MOST: usize = 256;
/// What is left at the very end is waited for no longer than this.
const LAST_WAIT: Duration = Duration::from_secs(1);

thread_local! {
    static LANE: Cell<usize> = const { Cell::new(0) };
}

/// Which of the lanes this thread is; 0 for a thread that is none.
pub(super) fn here() -> usize {
    LANE.get()
}

/// Threads that serve until this is dropped, which must not be on one of them.
#[derive(Debug)]
pub struct Lanes {
    spread: Spread,
    threads: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Lanes {
    /// Starts so many, 1 at least.
    ///
    /// # Errors
    /// [`Kind::Io`] when the system gives no thread or no descriptor.
    pub fn start(count: usize) -> Result<Self> {
        let (mut lanes, mut threads) = (Vec::new(), Vec::new());
        for at in 0..count.clamp(1, MOST) {
            let (lane, end, thread) = start(at)?;
            lanes.push(lane);
            threads.push((end, thread));
        }
        Ok(Self { spread: Spread(lanes.into()), threads })
    }

    /// For who gives them connections.
    pub fn spread(&self) -> Spread {
        self.spread.clone()
    }

    /// The first, on which connections are accepted.
    pub fn first(&self) -> &Handle {
        &self.spread.0[0].handle
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        let threads: Vec<JoinHandle<()>> = self.threads.drain(..).map(|(_end, thread)| thread).collect();
        for thread in threads {
            // It has said why, if it has panicked.
            _ = thread.join();
        }
    }
}

/// Gives connections to lanes.
#[derive(Debug, Clone)]
pub struct Spread(Arc<[Lane]>);

#[derive(Debug)]
struct Lane {
    handle: Handle,
    /// Connections it has.
    open: Arc<AtomicUsize>,
}

impl Spread {
    /// The lane with the fewest connections, and one connection more on it.
    pub(super) fn next(&self) -> (&Handle, Place) {
        let lane = self.0.iter().min_by_key(|lane| lane.open.load(Ordering::Relaxed)).unwrap_or(&self.0[0]);
        (&lane.handle, Place::new(&lane.open))
    }
}

/// One connection of a lane, until it is dropped.
pub(super) struct Place(Arc<AtomicUsize>);

impl Place {
    fn new(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn start(at: usize) -> Result<(Lane, oneshot::Sender<()>, JoinHandle<()>)> {
    let (end, ended) = oneshot::channel::<()>();
    let (tell, told) = mpsc::channel();
    let run = move || {
        LANE.set(at);
        let runtime = match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return drop(tell.send(Err(error))),
        };
        _ = tell.send(Ok(runtime.handle().clone()));
        // Whatever is spawned runs meanwhile.
        _ = runtime.block_on(ended);
        runtime.shutdown_timeout(LAST_WAIT);
    };
    let failed = |error: io::Error| Error::new(Kind::Io, format!("the server's threads could not be started: {error}"));
    let thread = Thread::new().name(format!("ferroute-serve-{at}")).spawn(run).map_err(failed)?;
    let handle = told.recv().unwrap_or_else(|_| Err(io::Error::other("a thread ended at once"))).map_err(failed)?;
    Ok((Lane { handle, open: Arc::default() }, end, thread))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn connections_are_spread_evenly() {
        let lanes = Lanes::start(3).unwrap();
        let spread = lanes.spread();
        let places: Vec<Place> = (0..7).map(|_| spread.next().1).collect();
        let open = || -> Vec<usize> { spread.0.iter().map(|lane| lane.open.load(Ordering::Relaxed)).collect() };
        assert_eq!(open(), [3, 2, 2]);
        drop(places);
        assert_eq!(open(), [0, 0, 0]);
    }

    #[test]
    fn each_is_a_thread_of_its_own() {
        let lanes = Lanes::start(2).unwrap();
        let ran = lanes.spread.0.iter().map(|lane| {
            let (tell, told) = mpsc::channel();
            lane.handle.spawn(async move { tell.send(here()) });
            told.recv().unwrap()
        });
        assert_eq!(ran.collect::<Vec<usize>>(), [0, 1]);
    }
}
