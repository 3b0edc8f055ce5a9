//! Threads that go through one forward pass together.
//!
//! A pass is hundreds of short products. Starting threads for each costs more than some of them take, and a pool that
//! outlives the pass would be half alive after a fork. So helpers live as long as [`Crew::with`] and wait between two
//! pieces of work by spinning for a few microseconds, then by sleeping.
//!
//! A piece of work is handed out task by task from one atomic word that holds the number of the piece and the tasks
//! left. A helper that the system has put aside therefore never delays the others by more than the task it holds. The
//! word alone says whether there is a task, so one that comes late, between two pieces, finds that none is left.

use std::any::Any;
use std::cell::Cell;
use std::hint;
use std::marker::PhantomData;
use std::panic::{self, AssertUnwindSafe};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Thread};

use crate::math::threads::processors;

/// More threads than this are never started, whoever asks.
const MOST: usize = 256;

/// Rounds of spinning before a waiting helper sleeps: some 50 microseconds, longer than the gaps inside a layer.
const SPINS: u32 = 4_000;

/// A few threads, alive for one piece of work; nothing outlives it, so a fork finds no half-alive pool.
///
/// It stays with the thread that made it: a task cannot hand out tasks of its own.
#[derive(Debug)]
pub struct Crew<'a> {
    shared: Option<&'a Shared>,
    helpers: Vec<Thread>,
    /// The number of the last piece of work.
    piece: Cell<u32>,
    not_sync: PhantomData<*mut ()>,
}

/// What leader and helpers share.
#[derive(Debug, Default)]
struct Shared {
    /// Number of the piece of work (upper half) and how many of its tasks nobody has taken (lower half).
    word: AtomicU64,
    /// The piece: how many tasks, the function that runs one, and its closure. Only who has taken a task may read them.
    tasks: AtomicUsize,
    call: AtomicPtr<()>,
    closure: AtomicPtr<()>,
    /// Tasks that have been run.
    done: AtomicUsize,
    over: AtomicBool,
    sleepers: AtomicUsize,
    panicked: Mutex<Option<Box<dyn Any + Send>>>,
}

type Call = unsafe fn(*const (), usize);

/// Runs one task of a closure.
///
/// # Safety
/// `closure` points to a live `F`.
unsafe fn call<F: Fn(usize)>(closure: *const (), index: usize) {
    // SAFETY: the caller's promise.
    unsafe { (*closure.cast::<F>())(index) }
}

impl Crew<'_> {
    /// Runs `work` with a crew of `threads` members, the caller's thread among them; `None`: one for each processor.
    ///
    /// A helper that the system refuses to start leaves its share to the others. A panic of a task goes on in this
    /// thread when the piece of work it belongs to is done.
    pub fn with<T>(threads: Option<usize>, work: impl FnOnce(&Crew) -> T) -> T {
        let members = threads.unwrap_or_else(processors).clamp(1, MOST);
        let alone = |shared, helpers| Crew { shared, helpers, piece: Cell::new(0), not_sync: PhantomData };
        if members == 1 {
            return work(&alone(None, Vec::new()));
        }
        let shared = Shared::default();
        thread::scope(|scope| {
            let start = |_| {
                let builder = thread::Builder::new().name("ferroute-neural".into());
                builder.spawn_scoped(scope, || shared.help()).ok().map(|handle| handle.thread().clone())
            };
            let helpers: Vec<Thread> = (1..members).filter_map(start).collect();
            let crew = alone(Some(&shared), helpers);
            // Helpers go home when this is dropped, also when `work` panics.
            let _dismissal = Dismissal(&crew, &shared);
            work(&crew)
        })
    }

    /// Members, at least one.
    pub fn threads(&self) -> usize {
        self.helpers.len() + 1
    }

    /// Calls `task(0..tasks)`, each once, on any member, and returns when all are done.
    pub fn run<F: Fn(usize) + Sync>(&self, tasks: usize, task: F) {
        let shared = self.shared.filter(|_| tasks > 1 && !self.helpers.is_empty());
        // The lower half of the word counts the tasks.
        let (Some(shared), Ok(left)) = (shared, u32::try_from(tasks)) else {
            (0..tasks).for_each(task);
            return;
        };
        let piece = self.piece.get().wrapping_add(1);
        self.piece.set(piece);
        shared.prepare(tasks, &task);
        shared.word.store(u64::from(piece) << 32 | u64::from(left), Ordering::SeqCst);
        if shared.sleepers.load(Ordering::SeqCst) > 0 {
            self.helpers.iter().for_each(Thread::unpark);
        }
        shared.work();
        let mut spins = 0;
        while shared.done.load(Ordering::Acquire) < tasks {
            pause(&mut spins);
        }
        let panicked = shared.panicked.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(payload) = panicked {
            panic::resume_unwind(payload);
        }
    }

    /// Calls `task` once for each item.
    pub fn each<T: Send>(&self, items: &mut [T], task: impl Fn(usize, &mut T) + Sync) {
        let start = Pointer(items.as_mut_ptr());
        self.run(items.len(), |index| {
            // SAFETY: every index is handed out once, so no two tasks have the same item.
            task(index, unsafe { &mut *start.at(index) });
        });
    }

    /// Cuts `items` into chunks of `size` (the last may be shorter) and calls `task(index of the first item, chunk)`.
    pub fn chunks<T: Send>(&self, items: &mut [T], size: usize, task: impl Fn(usize, &mut [T]) + Sync) {
        let (size, len) = (size.max(1), items.len());
        let start = Pointer(items.as_mut_ptr());
        self.run(len.div_ceil(size), |index| {
            let first = index * size;
            // SAFETY: chunks lie within `items` and do not overlap; every index is handed out once.
            task(first, unsafe { std::slice::from_raw_parts_mut(start.at(first), size.min(len - first)) });
        });
    }
}

/// A pointer whose places are given to one task each.
pub(super) struct Pointer<T>(pub(super) *mut T);

// SAFETY: whoever uses it sees to it that no two threads touch the same place.
unsafe impl<T: Send> Sync for Pointer<T> {}

impl<T> Pointer<T> {
    /// The place `index`.
    ///
    /// # Safety
    /// It lies within the memory the pointer was made of.
    pub(super) unsafe fn at(&self, index: usize) -> *mut T {
        // SAFETY: the caller's promise.
        unsafe { self.0.add(index) }
    }
}

struct Dismissal<'a, 'b>(&'a Crew<'b>, &'b Shared);

impl Drop for Dismissal<'_, '_> {
    fn drop(&mut self) {
        self.1.over.store(true, Ordering::SeqCst);
        self.0.helpers.iter().for_each(Thread::unpark);
    }
}

impl Shared {
    /// A helper's life.
    fn help(&self) {
        let (mut seen, mut spins) = (0, 0);
        while !self.over.load(Ordering::Relaxed) {
            // Should the numbers have come round to the same one, this helper misses a piece, and the others do it.
            let piece = (self.word.load(Ordering::Relaxed) >> 32) as u32;
            if piece != seen {
                self.work();
                (seen, spins) = (piece, 0);
            } else if spins < SPINS {
                pause(&mut spins);
            } else {
                // Announced before looking again: a leader that has not seen the sleeper has been seen by it.
                self.sleepers.fetch_add(1, Ordering::SeqCst);
                let news =
                    || (self.word.load(Ordering::SeqCst) >> 32) as u32 != seen || self.over.load(Ordering::SeqCst);
                while !news() {
                    thread::park();
                }
                self.sleepers.fetch_sub(1, Ordering::SeqCst);
                spins = 0;
            }
        }
    }

    /// Writes down a piece of work; its tasks can be taken once the word says how many there are.
    fn prepare<F: Fn(usize) + Sync>(&self, tasks: usize, task: &F) {
        self.done.store(0, Ordering::Relaxed);
        self.tasks.store(tasks, Ordering::Relaxed);
        self.call.store(call::<F> as Call as *mut (), Ordering::Relaxed);
        self.closure.store(ptr::from_ref(task).cast_mut().cast(), Ordering::Relaxed);
    }

    /// Takes tasks until none is left.
    ///
    /// A task is taken by counting the word down. That is right whatever happened since the word was read, even if the
    /// numbers of pieces have come round: it succeeds only while the word says that a task is left, and then one of the
    /// piece that is being done at that moment is taken.
    ///
    /// What is read after that belongs to this piece. Its values were stored before its word, and the word, stored
    /// once and then only counted down, hands them over (release and acquire). The values of the next piece are stored
    /// after `done` has reached the number of tasks, which it cannot before this one is run.
    fn work(&self) {
        loop {
            let word = self.word.load(Ordering::Relaxed);
            let left = word as u32;
            if left == 0 {
                return;
            }
            if self.word.compare_exchange_weak(word, word - 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
                hint::spin_loop();
                continue;
            }
            let index = self.tasks.load(Ordering::Relaxed) - left as usize;
            let (call, closure) = (self.call.load(Ordering::Relaxed), self.closure.load(Ordering::Relaxed));
            // SAFETY: a task was taken, so this is the `Call` that `prepare` stored for its piece.
            let call: Call = unsafe { std::mem::transmute::<*mut (), Call>(call) };
            // SAFETY: the closure is that of the same piece and of the type `call` was made for; `run` keeps it until
            // `done` has counted this task.
            let result = panic::catch_unwind(AssertUnwindSafe(|| unsafe { call(closure, index) }));
            if let Err(payload) = result {
                self.panicked.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(payload);
            }
            self.done.fetch_add(1, Ordering::Release);
        }
    }
}

/// Waits a little, and lets others have the processor now and then: they may be the ones waited for.
fn pause(spins: &mut u32) {
    *spins += 1;
    if spins.is_multiple_of(512) { thread::yield_now() } else { hint::spin_loop() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    use super::*;

    #[test]
    fn every_task_is_run_once_however_many_members() {
        for threads in [1, 2, 3, 7] {
            Crew::with(Some(threads), |crew| {
                assert_eq!(crew.threads(), threads);
                for tasks in (0..40).chain([1_000, 10_000]) {
                    let runs: Vec<AtomicU32> = (0..tasks).map(|_| AtomicU32::new(0)).collect();
                    crew.run(tasks, |index| {
                        runs[index].fetch_add(1, Ordering::Relaxed);
                    });
                    assert!(runs.into_iter().all(|count| count.into_inner() == 1));
                }
            });
        }
    }

    /// The moment in which a helper that comes late could take a task that does not exist: the next piece, a larger one,
    /// is written down, and the word is still that of the piece before.
    #[test]
    fn a_piece_that_is_not_begun_has_no_tasks() {
        let (shared, runs) = (Shared::default(), AtomicUsize::new(0));
        let task = |_| {
            runs.fetch_add(1, Ordering::Relaxed);
        };
        shared.prepare(2, &task);
        shared.word.store(1 << 32 | 2, Ordering::SeqCst);
        shared.work();
        assert_eq!(runs.load(Ordering::Relaxed), 2);
        shared.prepare(64, &task);
        shared.work();
        assert_eq!(runs.load(Ordering::Relaxed), 2, "a task of the next piece");
        shared.word.store(2 << 32 | 64, Ordering::SeqCst);
        shared.work();
        assert_eq!((runs.into_inner(), shared.done.into_inner()), (66, 64));
    }

    /// Small pieces after large ones, and more members than processors, so that many come late. The moment itself is met
    /// too seldom to be waited for; the test above makes it.
    #[test]
    fn late_helpers_do_no_harm() {
        // Longer than the tasks, so that one that does not exist is counted instead of written elsewhere.
        let runs: Vec<AtomicU32> = (0..128).map(|_| AtomicU32::new(0)).collect();
        Crew::with(Some(8), |crew| {
            for round in 0..if cfg!(miri) { 20 } else { 30_000 } {
                let tasks = [2, 64, 3, 80, 5, 8, 70][round % 7];
                crew.run(tasks, |index| {
                    runs[index].fetch_add(1, Ordering::Relaxed);
                });
                for (index, count) in runs.iter().enumerate() {
                    assert_eq!(count.swap(0, Ordering::Relaxed), u32::from(index < tasks), "{index} of {tasks}");
                }
            }
        });
    }

    #[test]
    fn sleeping_helpers_are_woken_and_sent_home() {
        Crew::with(Some(3), |crew| {
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(5));
                let ids = Mutex::new(std::collections::HashSet::new());
                // With this many tasks that wait, a member that never came would show.
                crew.run(300, |_| {
                    ids.lock().unwrap().insert(thread::current().id());
                    thread::sleep(Duration::from_micros(100));
                });
                assert_eq!(ids.into_inner().unwrap().len(), 3);
            }
        });
    }

    #[test]
    fn items_and_chunks_are_disjoint_and_complete() {
        Crew::with(Some(4), |crew| {
            let mut items: Vec<usize> = vec![0; 1_003];
            crew.each(&mut items, |index, item| *item += index);
            assert!(items.iter().enumerate().all(|(index, &item)| index == item));
            for size in [0, 1, 10, 1_003, 5_000] {
                crew.chunks(&mut items, size, |first, chunk| {
                    assert_eq!(chunk[0] % 10_000, first);
                    for item in chunk {
                        *item += 10_000;
                    }
                });
            }
            assert!(items.iter().enumerate().all(|(index, &item)| index + 50_000 == item));
            crew.chunks(&mut items[..0], 3, |_, _| panic!("no chunk"));
        });
    }

    #[test]
    fn a_panic_of_a_task_goes_on_in_the_caller_when_the_others_are_done() {
        let done = AtomicUsize::new(0);
        let caught = panic::catch_unwind(AssertUnwindSafe(|| {
            Crew::with(Some(3), |crew| {
                crew.run(100, |index| {
                    assert!(index != 57, "number 57");
                    done.fetch_add(1, Ordering::Relaxed);
                });
            });
        }));
        assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "number 57");
        assert_eq!(done.into_inner(), 99);
    }

    #[test]
    fn a_panic_of_the_leader_sends_the_helpers_home() {
        let caught = panic::catch_unwind(|| Crew::with(Some(3), |_| panic!("leader")));
        assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "leader");
    }

    #[test]
    fn the_crew_can_be_used_after_a_caught_panic() {
        Crew::with(Some(2), |crew| {
            let caught = panic::catch_unwind(AssertUnwindSafe(|| crew.run(10, |_| panic!("all"))));
            assert!(caught.is_err());
            let count = AtomicUsize::new(0);
            crew.run(10, |_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), 10);
        });
    }
}
