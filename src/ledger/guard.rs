//! Keeps a second copy of `SQLite` in this process away from our files.
//!
//! `SQLite`'s locks are of the kind that one process never refuses itself, and that is lost when any descriptor of the
//! file is closed. So a Python program that looks into the book with its own `sqlite3` would take itself for the only
//! one: on opening it cuts the index (`-shm`) our connection has mapped, on closing it deletes the log (`-wal`) we are
//! writing to (sqlite.org/howtocorrupt.html, 2.2.1). Locks of an open file description are refused to everybody: we
//! hold two, on the bytes that `SQLite` asks before it does the one or the other (constants of `os_unix.c` and
//! sqlite.org/fileformat2.html).

use std::fs::File;
use std::path::Path;

/// The locks, held until [`release`](Self::release).
#[derive(Debug, Default)]
pub(super) struct Guard {
    database: Option<File>,
    index: Option<File>,
}

/// The bytes of the database that a reader shares, and the last one to leave wants for itself.
const SHARED: (i64, i64) = (0x4000_0002, 510);
/// The byte of the index that says somebody is there.
const DEAD_MAN: (i64, i64) = (128, 1);

impl Guard {
    /// Takes the locks on an open database, whose path has no links in it. Where there are no such locks, or the files
    /// cannot be opened, there is no guard.
    pub(super) fn take(path: &Path) -> Self {
        let mut index = path.as_os_str().to_owned();
        index.push("-shm");
        Self { database: locked(path, SHARED), index: locked(Path::new(&index), DEAD_MAN) }
    }

    /// Lets go, before the connection is closed: the last one to leave shall find nobody.
    ///
    /// The files themselves have to outlive the connection: closing them would take its own locks away.
    pub(super) fn release(&self) {
        for (file, range) in [(&self.database, SHARED), (&self.index, DEAD_MAN)] {
            if let Some(file) = file {
                lock(file, Want::Nothing, range);
            }
        }
    }
}

fn locked(path: &Path, range: (i64, i64)) -> Option<File> {
    let file = File::open(path).ok()?;
    lock(&file, Want::Shared, range);
    // Closing a file that could not be locked would do harm, keeping it does not.
    Some(file)
}

#[derive(Debug, Clone, Copy)]
enum Want {
    Shared,
    Nothing,
}

#[cfg(target_os = "linux")]
fn lock(file: &File, want: Want, (start, length): (i64, i64)) -> bool {
    use std::os::fd::AsRawFd;

    let kind = match want {
        Want::Shared => libc::F_RDLCK,
        Want::Nothing => libc::F_UNLCK,
    };
    // SAFETY: the structure is plain numbers, for which zeros are valid.
    let mut wanted: libc::flock64 = unsafe { std::mem::zeroed() };
    wanted.l_type = kind as libc::c_short;
    wanted.l_whence = libc::SEEK_SET as libc::c_short;
    wanted.l_start = start;
    wanted.l_len = length;
    // SAFETY: the descriptor is open for as long as `file` is borrowed, and `wanted` is a `flock64` as the command asks.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const wanted) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn lock(_file: &File, _want: Want, _range: (i64, i64)) -> bool {
    false
}
