//! How a blocking call runs: on the thread that waits for it.
//!
//! Handed to the shared runtime, a call would wake one of its threads to send, be woken to receive, and wait for both:
//! on a virtual machine that is most of what a call to a fast server costs. So a thread takes a driver, a little runtime
//! with connections of its own, and drives its call itself; the next call, from whatever thread, takes the same driver
//! with its connections still open. There are as many drivers as there have been blocking calls at one time.
//!
//! Nobody listens to a driver's connections between two calls. So each call first hears what has come meanwhile, which
//! is how a connection that the server has closed is noticed before a request is lost on it.

use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::yield_now;

use crate::error::{Error, Kind, Result};
use crate::providers::Http;
use crate::providers::process::PerProcess;

/// How often a blocked call looks for Ctrl-C.
const SIGNAL_POLL: Duration = Duration::from_millis(50);
/// Drivers kept for later; more calls than that at one time make new ones.
const KEPT: usize = 64;
/// A look at the sockets, then a turn for whoever was waiting for them, and for whom those wake.
const TURNS: usize = 3;

/// Its connections are served by its runtime, and by nothing else.
struct Driver {
    // In this order they are dropped: what is still being sent ends with the runtime.
    runtime: Runtime,
    http: Http,
}

static IDLE: PerProcess<Mutex<Vec<Driver>>> = PerProcess::new();

fn idle() -> Result<&'static Mutex<Vec<Driver>>> {
    IDLE.get_or_try_init(|| Ok(Mutex::default()))
}

impl Driver {
    fn take() -> Result<Self> {
        let known = idle()?.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(driver) = known {
            driver.listen();
            return Ok(driver);
        }
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Error::new(Kind::Io, format!("a call could not be started: {e}")))?;
        Ok(Self { runtime, http: Http::new()? })
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
        if let Ok(idle) = idle() {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(self);
            }
        }
    }
}

/// Drives a call to its end with the interpreter released; Ctrl-C drops it and raises at once.
///
/// Signal handlers run between two slices of the work, outside the runtime, so that they may make calls themselves.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not general enough in its lifetime")]
pub(super) fn drive<T, E>(py: Python<'_>, call: impl AsyncFnOnce(&Http) -> Result<T, E> + Send) -> PyResult<T>
where
    T: Send,
    E: Into<PyErr>,
{
    if Handle::try_current().is_ok() {
        return Err(Error::value("a blocking call cannot be made from the progress callback of another call").into());
    }
    py.detach(|| {
        let driver = Driver::take()?;
        let result = {
            let mut call = pin!(call(&driver.http));
            loop {
                match driver.runtime.block_on(async { tokio::time::timeout(SIGNAL_POLL, call.as_mut()).await }) {
                    Ok(result) => break result.map_err(Into::into),
                    Err(_) => {
                        if let Err(signal) = Python::attach(|py| py.check_signals()) {
                            break Err(signal);
                        }
                    }
                }
            }
        };
        if result.is_err() {
            // What was given up has to be hung up on now: the next call may be long in coming.
            driver.listen();
        }
        driver.give_back();
        result
    })
}
