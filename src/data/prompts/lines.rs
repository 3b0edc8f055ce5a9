//! Lines of a text file, bounded in length, and plain text: one prompt a line.

use std::io::{BufRead, BufReader, Read};

use super::{MAX_ROW_BYTES, Prompt, Row, Rows, not_utf8, read_error, too_long};
use crate::error::{Error, Result};

const BUFFER: usize = 64 << 10;

/// A line, or why it cannot be used.
pub(in crate::data) enum Line<'a> {
    Text(&'a str),
    Bad(Error),
}

/// Numbered lines without their ends, blank ones left out.
pub(in crate::data) struct Lines {
    input: BufReader<Box<dyn Read + Send>>,
    line: Vec<u8>,
    number: u64,
}

impl Lines {
    pub(in crate::data) fn new(read: Box<dyn Read + Send>) -> Self {
        Self { input: BufReader::with_capacity(BUFFER, read), line: Vec::new(), number: 0 }
    }

    /// The next line that is not blank, with its number from 1.
    pub(in crate::data) fn next(&mut self) -> Result<Option<(u64, Line<'_>)>> {
        let start = loop {
            self.line.clear();
            let read = (&mut self.input)
                .take(MAX_ROW_BYTES as u64 + 1)
                .read_until(b'\n', &mut self.line)
                .map_err(|error| read_error(&error))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            if read > MAX_ROW_BYTES && !self.line.ends_with(b"\n") {
                self.skip_to_line_end()?;
                return Ok(Some((self.number, Line::Bad(too_long(&format!("line {}", self.number))))));
            }
            let start = if self.number == 1 { byte_order_mark(&self.line)? } else { 0 };
            if self.line.ends_with(b"\n") {
                self.line.pop();
                if self.line.ends_with(b"\r") {
                    self.line.pop();
                }
            }
            if !self.line[start..].iter().all(u8::is_ascii_whitespace) {
                break start;
            }
        };
        let bytes = &self.line[start..];
        let line = match std::str::from_utf8(bytes) {
            Ok(text) => Line::Text(text),
            Err(error) => Line::Bad(not_utf8(&format!("line {}", self.number), "line", bytes, error)),
        };
        Ok(Some((self.number, line)))
    }

    pub(super) fn would_wait(&self) -> bool {
        self.input.buffer().is_empty()
    }

    fn skip_to_line_end(&mut self) -> Result<()> {
        loop {
            let buffer = self.input.fill_buf().map_err(|error| read_error(&error))?;
            let (used, found) = match buffer.iter().position(|&byte| byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.input.consume(used);
            if found {
                return Ok(());
            }
        }
    }
}

/// How many bytes of byte order mark a file begins with.
///
/// # Errors
/// The mark of UTF-16, which this reader does not take.
pub(in crate::data) fn byte_order_mark(start: &[u8]) -> Result<usize> {
    match start {
        [0xef, 0xbb, 0xbf, ..] => Ok(3),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Err(Error::value("is UTF-16, expected UTF-8: convert it first")),
        _ => Ok(0),
    }
}

/// One prompt a line.
pub(super) struct Text(Lines);

impl Text {
    pub(super) fn new(read: Box<dyn Read + Send>) -> Self {
        Self(Lines::new(read))
    }
}

impl Rows for Text {
    fn next(&mut self) -> Result<Option<Row>> {
        Ok(self.0.next()?.map(|(row, line)| match line {
            Line::Text(text) => Row::Prompt(Prompt { row, text: text.to_owned() }),
            Line::Bad(error) => Row::Bad(error),
        }))
    }

    fn would_wait(&self) -> bool {
        self.0.would_wait()
    }
}
