//! Files that are written completely or not at all: beside their place first, then renamed into it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, Kind, Result};

/// Names that are tried: a killed process may have left files, and in a container its number is always the same.
const TRIES: usize = 1 << 12;

/// A file in the making, called `.partial`; dropped before [`Partial::finish`], it is removed.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    /// None once it has its name.
    beside: Option<PathBuf>,
}

impl Partial {
    /// Makes a new file beside `path`; never one that is there already, which would be somebody else's.
    ///
    /// # Errors
    /// `Kind::Io` when it cannot be made.
    pub(crate) fn create(path: &Path) -> Result<(Self, File)> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let mut tries = 0;
        loop {
            let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
            let beside = path.with_extension(format!("{}-{number}.partial", std::process::id()));
            let error = match File::create_new(&beside) {
                Ok(file) => return Ok((Self { path: path.to_path_buf(), beside: Some(beside) }, file)),
                Err(error) => error,
            };
            tries += 1;
            if error.kind() != io::ErrorKind::AlreadyExists || tries == TRIES {
                return Err(failed(path, Some(&beside), &error));
            }
        }
    }

    /// Writes the file to the disk and gives it its name.
    ///
    /// # Errors
    /// `Kind::Io` when that cannot be done; nothing is left then.
    pub(crate) fn finish(mut self, file: &File) -> Result<()> {
        let Some(beside) = &self.beside else { return Ok(()) };
        if is_special(&self.path) {
            return poured(beside, &self.path).map_err(|error| self.failed(&error));
        }
        file.sync_all().and_then(|()| fs::rename(beside, &self.path)).map_err(|error| self.failed(&error))?;
        self.beside = None;
        Ok(())
    }

    /// What is said when it cannot be written.
    pub(crate) fn failed(&self, error: &io::Error) -> Error {
        failed(&self.path, self.beside.as_deref(), error)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}

/// Whether it is a device or a pipe, such as `/dev/null`: who may put a file in its place takes it from everybody.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn poured(from: &Path, into: &Path) -> io::Result<()> {
    let mut target = File::options().write(true).open(into)?;
    io::copy(&mut File::open(from)?, &mut target).map(drop)
}

fn failed(path: &Path, beside: Option<&Path>, error: &io::Error) -> Error {
    let by_way = beside.and_then(Path::file_name).map(|name| format!(" (by way of {})", name.display()));
    Error::new(Kind::Io, format!("cannot write {}{}: {error}", path.display(), by_way.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.index");
        // Other tests of this process may take numbers, so many are taken.
        for number in 0..2000 {
            fs::write(path.with_extension(format!("{}-{number}.partial", std::process::id())), "left").unwrap();
        }
        let (partial, file) = Partial::create(&path).unwrap();
        partial.finish(&file).unwrap();
        assert!(path.is_file());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2001);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_stays_a_pipe() {
        use std::io::{Read, Write};
        use std::os::unix::fs::FileTypeExt;

        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("a.index");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let taken = pipe.clone();
        let reader = std::thread::spawn(move || {
            let mut read = String::new();
            File::open(taken).unwrap().read_to_string(&mut read).unwrap();
            read
        });
        let (partial, mut file) = Partial::create(&pipe).unwrap();
        file.write_all(b"whole").unwrap();
        partial.finish(&file).unwrap();
        assert_eq!(reader.join().unwrap(), "whole");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_left_when_the_name_cannot_be_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.index");
        fs::create_dir(&path).unwrap();
        let (partial, file) = Partial::create(&path).unwrap();
        let error = partial.finish(&file).unwrap_err();
        assert!(error.message().contains("a.index (by way of a.") && error.message().contains(".partial"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        drop(Partial::create(&path).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(Partial::create(Path::new("/nowhere/at/all")).unwrap_err().kind(), Kind::Io);
    }
}
