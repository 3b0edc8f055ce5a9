//! How a blocking call runs: on the thread that waits for it.
//!
//! Handed to the shared runtime, a call would wake one of its threads to send, be woken to receive, and wait for both:
//! on a virtual machine that is most of what a call to a fast server costs. So a thread takes a driver, a little runtime
//! with connections of its own, and drives its call itself; the next call, from whatever thread, takes the same driver
//! with its connections still open. There are as many drivers as there have been blocking calls at one time, up to
//! [`MOST`]; calls beyond that, which are slow for other reasons, wait on the shared runtime.
//!
//! Nobody listens to a driver's connections between two calls. So each call first hears what has come meanwhile, which
//! is how a connection that the server has closed is noticed before a request is lost on it; and it hears once more at
//! its end, so that what it gave up (the loser of a hedge, a call that was interrupted) is hung up on at once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::yield_now;

use super::runtime::{runtime, wait};
use crate::error::{Error, Result};
use crate::providers::Http;
use crate::providers::process::PerProcess;

/// Each holds a handful of open files, of which a process may have no more than a thousand.
const MOST: usize = 32;
/// A look at the sockets, then a turn for whoever was waiting for them, and for whom those wake.
const TURNS: usize = 3;

/// Its connections are served by its runtime, and by nothing else.
struct Driver {
    // In this order they are dropped: what is still being sent ends with the runtime.
    runtime: Runtime,
    http: Http,
}

/// Those that wait for a call, and how many there are in all.
#[derive(Default)]
struct Drivers {
    idle: Vec<Driver>,
    made: usize,
}

static DRIVERS: PerProcess<Mutex<Drivers>> = PerProcess::new();

fn drivers() -> Result<MutexGuard<'static, Drivers>> {
    let drivers = DRIVERS.get_or_try_init(|| Ok::<_, Error>(Mutex::default()))?;
    Ok(drivers.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Driver {
    /// A driver for one call; `None` when there are enough of them, or the system refuses another.
    fn take() -> Result<Option<Self>> {
        {
            let mut drivers = drivers()?;
            if let Some(driver) = drivers.idle.pop() {
                drop(drivers);
                driver.listen();
                return Ok(Some(driver));
            }
            if drivers.made >= MOST {
                return Ok(None);
            }
            drivers.made += 1;
        }
        let made = Self::new();
        if made.is_none() {
            drivers()?.made -= 1;
        }
        Ok(made)
    }

    fn new() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_io().enable_time().build().ok()?;
        Some(Self { runtime, http: Http::new().ok()? })
    }

    /// Hears what has come in, without waiting for anything.
    fn listen(&self) {
        self.runtime.block_on(async {
            for _ in 0..TURNS {
                yield_now().await;
            }
        });
    }

    fn give_back(self) {
        self.listen();
        if let Ok(mut drivers) = drivers() {
            drivers.idle.push(self);
        }
    }
}

/// Drives a call to its end with the interpreter released; Ctrl-C drops it and raises at once.
pub(super) fn drive<T, E>(py: Python<'_>, call: impl AsyncFnOnce(&Http) -> Result<T, E> + Send) -> PyResult<T>
where
    T: Send,
    E: Into<PyErr>,
{
    if Handle::try_current().is_ok() {
        return Err(Error::value("a blocking call cannot be made from the progress callback of another call").into());
    }
    py.detach(|| {
        let Some(driver) = Driver::take()? else {
            return wait(runtime()?, call(Http::shared()?));
        };
        let result = wait(&driver.runtime, call(&driver.http));
        driver.give_back();
        result
    })
}
