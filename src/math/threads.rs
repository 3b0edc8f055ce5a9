//! Work shared with helpers that may or may not come.

use std::num::NonZero;
use std::sync::LazyLock;
use std::thread;

/// Processors this process may use. Asked once: the answer is read from files, which takes longer than a small batch.
static PROCESSORS: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get));

/// See [`super::settle`].
#[cfg(feature = "python")]
pub(super) fn settle() {
    LazyLock::force(&PROCESSORS);
}

/// Processors this process may use.
pub(crate) fn processors() -> usize {
    *PROCESSORS
}

/// Runs `work` on this thread and on helpers beside it, `threads` in all but no more than there are processors.
///
/// `work` takes its share from a common store until that is empty, so a helper that the system refuses to start leaves
/// its share to the others.
pub(crate) fn share(threads: usize, work: impl Fn() + Sync) {
    // Small work does not even ask for the number of processors.
    let helpers = if threads > 1 { threads.min(*PROCESSORS).saturating_sub(1) } else { 0 };
    share_with(helpers, thread::Builder::new, work);
}

fn share_with(helpers: usize, builder: impl Fn() -> thread::Builder, work: impl Fn() + Sync) {
    if helpers == 0 {
        return work();
    }
    thread::scope(|scope| {
        for _ in 0..helpers {
            let _ = builder().name("ferroute-batch".into()).spawn_scoped(scope, &work);
        }
        work();
    });
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn no_more_threads_than_processors() {
        let runs = AtomicUsize::new(0);
        share(100_000, || {
            runs.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(runs.into_inner(), *PROCESSORS);
    }

    #[test]
    fn the_work_is_done_though_no_thread_can_be_started() {
        let left = AtomicUsize::new(10);
        // No system gives a stack of that size.
        let refused = || thread::Builder::new().stack_size(isize::MAX as usize / 2);
        let take = |left: usize| left.checked_sub(1);
        share_with(3, refused, || while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {});
        assert_eq!(left.into_inner(), 0);
    }
}
