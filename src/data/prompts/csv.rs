//! CSV with a header line; quoted fields may hold commas and line breaks.

use std::io::{self, Cursor, Read};

use csv::{ByteRecord, Reader, ReaderBuilder};

use super::lines::byte_order_mark;
use super::{COLUMNS, MAX_ROW_BYTES, Prompt, Row, Rows, listed, not_utf8, read_error};
use crate::error::{Error, Result};

/// Put after the last byte: it comes out as a record of its own unless a quoted field was left open, which the `csv`
/// crate would otherwise take as ending with the file, and the rest of the file would be one prompt.
const END: &[u8] = b"\n\x1cend of the file\x1c\n";

/// The records of a CSV file, its header the first; numbered from 1 after it.
pub(in crate::data) struct Records {
    reader: Reader<Bounded>,
    record: ByteRecord,
    row: u64,
}

impl Records {
    pub(in crate::data) fn new(mut read: Box<dyn Read + Send>) -> Result<Self> {
        let mut start = Vec::new();
        (&mut read).take(3).read_to_end(&mut start).map_err(|error| read_error(&error))?;
        let mark = byte_order_mark(&start)?;
        let input: Box<dyn Read + Send> = Box::new(Cursor::new(start.split_off(mark)).chain(read).chain(END));
        // The header is read as any other record, and lengths are compared by users, to say what was expected.
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(Bounded {
            read: input,
            left: MAX_ROW_BYTES,
            given: 0,
        });
        Ok(Self { reader, record: ByteRecord::new(), row: 0 })
    }

    /// The names of the columns, from the first record; none for an empty file.
    pub(in crate::data) fn header(&mut self) -> Result<Option<Vec<String>>> {
        Ok(self
            .advance()?
            .then(|| self.record.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned()).collect()))
    }

    /// The next record after the header.
    pub(in crate::data) fn next(&mut self) -> Result<Option<&ByteRecord>> {
        if !self.advance()? {
            return Ok(None);
        }
        self.row += 1;
        Ok(Some(&self.record))
    }

    /// The record read last.
    pub(in crate::data) fn record(&self) -> &ByteRecord {
        &self.record
    }

    /// Where the record read last stands, for messages.
    pub(in crate::data) fn place(&self) -> String {
        format!("row {} (line {})", self.row, self.line())
    }

    /// Reads one record; false at the end.
    fn advance(&mut self) -> Result<bool> {
        self.reader.get_mut().left = MAX_ROW_BYTES;
        let read = self.reader.read_byte_record(&mut self.record).map_err(|error| match error.kind() {
            csv::ErrorKind::Io(error) => read_error(error).context(format!("after row {}", self.row)),
            _ => Error::value(format!("after row {}: {error}", self.row)),
        })?;
        let marker = END.trim_ascii();
        if read && self.record.len() == 1 && &self.record[0] == marker {
            return Ok(false);
        }
        if !read || self.record.iter().any(|field| contains(field, marker)) {
            return Err(Error::value(format!(
                "row {} (line {}): a quoted field is never closed",
                self.row + 1,
                self.line()
            )));
        }
        Ok(true)
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    fn would_wait(&self) -> bool {
        // After "\r" the line feed is left for the next record; a single byte is no record anyway.
        self.reader.get_ref().given <= self.reader.position().byte() + 1
    }
}

/// The prompts of a CSV file.
pub(super) struct Csv {
    records: Records,
    /// Index of the prompt's column, and how many columns the header has; absent for an empty file.
    layout: Option<(usize, usize)>,
}

impl Csv {
    pub(super) fn new(read: Box<dyn Read + Send>, column: Option<&str>) -> Result<Self> {
        let mut records = Records::new(read)?;
        let layout = match records.header()? {
            Some(names) => Some((find(&names, column)?, names.len())),
            None => None,
        };
        Ok(Self { records, layout })
    }
}

impl Rows for Csv {
    fn next(&mut self) -> Result<Option<Row>> {
        let Some((index, columns)) = self.layout else { return Ok(None) };
        if self.records.next()?.is_none() {
            return Ok(None);
        }
        let (records, record) = (&self.records, self.records.record());
        let found = record.len();
        let Some(field) = record.get(index).filter(|_| found == columns) else {
            let place = records.place();
            let message = format!("{place}: expected {columns} fields as in the header, found {found}");
            return Ok(Some(Row::Bad(Error::value(message))));
        };
        Ok(Some(match std::str::from_utf8(field) {
            Ok(text) => Row::Prompt(Prompt { row: records.row, text: text.to_owned() }),
            Err(error) => Row::Bad(not_utf8(&records.place(), "field", field, error)),
        }))
    }

    fn would_wait(&self) -> bool {
        self.records.would_wait()
    }
}

/// Index of the column called `column`, or of the first known name.
fn find(names: &[String], column: Option<&str>) -> Result<usize> {
    let wanted = column.as_slice();
    let wanted = if wanted.is_empty() { &COLUMNS[..] } else { wanted };
    let Some(name) = wanted.iter().find(|name| names.iter().any(|have| have == *name)) else {
        let have = listed(names.iter().map(String::as_str));
        return Err(Error::value(match column {
            Some(name) => format!("has no column `{name}`: its header has {have}"),
            None => format!(
                "has none of the columns {}: its header has {have}; name the column that holds the prompt",
                listed(COLUMNS)
            ),
        }));
    };
    let mut places = names.iter().enumerate().filter(|(_, have)| have == name).map(|(index, _)| index);
    match (places.next(), places.next()) {
        (Some(index), None) => Ok(index),
        _ => Err(Error::value(format!("has several columns called `{name}`"))),
    }
}

fn contains(field: &[u8], marker: &[u8]) -> bool {
    // A field left open swallows the marker as its last bytes, before the final line break at most.
    field.trim_ascii_end().ends_with(marker)
}

/// Fails once a record has used up its allowance, so a quote that is never closed cannot fill the memory.
struct Bounded {
    read: Box<dyn Read + Send>,
    left: usize,
    /// Bytes handed out since the beginning.
    given: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let message = format!("a row is longer than {} MiB; is a quoted field never closed?", MAX_ROW_BYTES >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let most = buffer.len().min(self.left);
        let read = self.read.read(&mut buffer[..most])?;
        self.left -= read;
        self.given += read as u64;
        Ok(read)
    }
}
