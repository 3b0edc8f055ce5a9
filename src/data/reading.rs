//! What every reader shares: waits that a signal may end, the longest row, and the words for what is wrong with one.

use std::io::{self, Read};

use crate::error::{Error, Kind};

/// The longest line or record in bytes; a longer one is a bad row, so a wrong file cannot fill the memory.
pub const MAX_ROW_BYTES: usize = 64 << 20;

/// Lets a signal end a wait that the standard library would simply take up again.
pub(super) struct Interruptible {
    pub(super) read: Box<dyn Read + Send>,
    /// Asked when a signal interrupts; `false` ends the read.
    pub(super) on_interrupt: Option<fn() -> bool>,
    /// Bytes since it was asked last: a file that never ends is not interrupted by signals.
    pub(super) unasked: usize,
}

/// So many bytes are read between two looks for a signal.
const PAUSE: usize = 16 << 20;

/// Marks the I/O error by which [`Interruptible`] ends a read.
#[derive(Debug, thiserror::Error)]
#[error("reading was interrupted")]
struct Interrupted;

impl Read for Interruptible {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.read.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if self.on_interrupt.is_some_and(|go_on| !go_on()) {
                        return Err(io::Error::other(Interrupted));
                    }
                }
                Ok(read) if self.unasked + read >= PAUSE => {
                    self.unasked = 0;
                    if self.on_interrupt.is_some_and(|go_on| !go_on()) {
                        return Err(io::Error::other(Interrupted));
                    }
                    return Ok(read);
                }
                Ok(read) => {
                    self.unasked += read;
                    return Ok(read);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// A failed read, told apart from one that a signal ended.
pub(super) fn read_error(error: &io::Error) -> Error {
    if error.get_ref().and_then(|inner| inner.downcast_ref::<Interrupted>()).is_some() {
        return Error::new(Kind::Cancelled, "reading was interrupted");
    }
    Error::new(Kind::Io, format!("cannot be read: {error}"))
}

/// What is said of a row of more than [`MAX_ROW_BYTES`].
pub(super) fn too_long(place: &str) -> Error {
    Error::value(format!("{place}: is longer than {} MiB", MAX_ROW_BYTES >> 20))
}

/// Says where the first byte that is not UTF-8 stands; `what` is "line" or "field", `place` its row.
pub(super) fn not_utf8(place: &str, what: &str, bytes: &[u8], error: std::str::Utf8Error) -> Error {
    let at = error.valid_up_to();
    let byte = bytes.get(at).copied().unwrap_or_default();
    Error::value(format!("{place}: byte {} of the {what} (0x{byte:02x}) is not UTF-8", at + 1))
}

/// "`a`, `b` and `c`", cut after a dozen.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const MOST: usize = 12;
    let names: Vec<_> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        [first @ .., last] if names.len() <= MOST => format!("{} and {last}", first.join(", ")),
        _ => format!("{} and {} more", names[..MOST].join(", "), names.len() - MOST),
    }
}
