//! A value that each process makes for itself.
//!
//! Connections and locks do not survive a fork: the child has the sockets but none of the threads that serve them,
//! and a lock held by a thread that no longer exists stays locked. So the child starts afresh and leaves the
//! parent's value alone.

use std::ptr;
#[cfg(target_os = "linux")]
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// The id of this process, without asking the system each time: a fork forgets it.
pub fn id() -> u32 {
    static KNOWN: AtomicU32 = AtomicU32::new(0);
    let known = KNOWN.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let id = std::process::id();
    #[cfg(target_os = "linux")]
    {
        static WATCHED: AtomicBool = AtomicBool::new(false);
        extern "C" fn forget() {
            KNOWN.store(0, Ordering::Relaxed);
        }
        // Two threads that do this at once do it twice, which is as good; a lock might be held over a fork.
        // SAFETY: what the child runs after a fork stores one number.
        let watched = WATCHED.load(Ordering::Relaxed) || unsafe { libc::pthread_atfork(None, None, Some(forget)) } == 0;
        if watched {
            WATCHED.store(true, Ordering::Relaxed);
            KNOWN.store(id, Ordering::Relaxed);
        }
    }
    id
}

struct Owned<T> {
    pid: u32,
    value: T,
}

/// A lazily made value that a forked child makes again.
pub struct PerProcess<T> {
    current: AtomicPtr<Owned<T>>,
}

impl<T> std::fmt::Debug for PerProcess<T> {
    /// Nothing of the value: it may be the parent's.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PerProcess")
    }
}

impl<T: Send + Sync> PerProcess<T> {
    /// Nothing made yet.
    pub const fn new() -> Self {
        Self { current: AtomicPtr::new(ptr::null_mut()) }
    }

    /// This process's value. When two threads make it at once, the first one made is kept.
    pub fn get_or_try_init<E>(&self, make: impl Fn() -> Result<T, E>) -> Result<&T, E> {
        let pid = id();
        loop {
            let current = self.current.load(Ordering::Acquire);
            // SAFETY: the pointer is null or comes from `Box::into_raw` below, and is freed only by `drop`, which
            // needs `&mut self`.
            if let Some(owned) = unsafe { current.as_ref() }
                && owned.pid == pid
            {
                return Ok(&owned.value);
            }
            let fresh = Box::into_raw(Box::new(Owned { pid, value: make()? }));
            if self.current.compare_exchange(current, fresh, Ordering::AcqRel, Ordering::Acquire).is_err() {
                // SAFETY: `fresh` was never shared.
                drop(unsafe { Box::from_raw(fresh) });
            }
        }
    }
}

impl<T: Send + Sync> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let current = *self.current.get_mut();
        // SAFETY: as above; nobody else holds a reference while we have `&mut self`.
        let owned = unsafe { current.as_ref() };
        // A parent's value is left alone: dropping it could wait for threads that are not here.
        if owned.is_some_and(|owned| owned.pid == id()) {
            // SAFETY: the pointer comes from `Box::into_raw` and is not used again.
            drop(unsafe { Box::from_raw(current) });
        }
    }
}

// SAFETY: it owns a `T` behind a pointer; sharing it shares `&T`, moving it moves the `T`.
unsafe impl<T: Send> Send for PerProcess<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for PerProcess<T> {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn one_value_for_all_threads() {
        let made = PerProcess::new();
        let addresses: Vec<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| ptr::from_ref(made.get_or_try_init(|| Ok::<_, ()>(vec![1, 2])).unwrap()) as usize)
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(addresses.iter().all(|&address| address == addresses[0]));
    }

    #[test]
    fn failure_is_not_kept() {
        let made = PerProcess::new();
        assert_eq!(made.get_or_try_init(|| Err::<u8, _>("no")), Err("no"));
        assert_eq!(made.get_or_try_init(|| Ok::<_, &str>(7)), Ok(&7));
    }
}
