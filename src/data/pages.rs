//! Parquet without surprises, for every reader of the format: pages bounded in size, the crate's own assertions caught.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Type as Physical;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::SchemaDescriptor;

use super::reading::{MAX_ROW_BYTES, read_error};
use crate::error::{Error, Kind, Result};

/// An open Parquet file.
pub(super) struct Source {
    file: SerializedFileReader<File>,
    pages: Arc<Pages>,
}

impl Source {
    /// Reads the footer.
    pub(super) fn open(file: File) -> Result<Self> {
        Self::with_pages_of(file, MAX_PAGE_BYTES)
    }

    /// As [`Source::open`]; pages may take `most` bytes unpacked, where those of rows of [`MAX_ROW_BYTES`] take less.
    pub(super) fn with_pages_of(file: File, most: u64) -> Result<Self> {
        let clone = file.try_clone().map_err(|error| read_error(&error))?;
        let pages = Arc::new(Pages { file: clone, most: most.max(MAX_PAGE_BYTES) });
        Ok(Self { file: guarded(|| SerializedFileReader::new(file))?, pages })
    }

    pub(super) fn schema(&self) -> &SchemaDescriptor {
        self.file.metadata().file_metadata().schema_descr()
    }

    pub(super) fn groups(&self) -> usize {
        self.file.num_row_groups()
    }

    /// Rows of one row group, as the footer claims.
    pub(super) fn rows(&self, group: usize) -> u64 {
        u64::try_from(self.file.metadata().row_group(group).num_rows()).unwrap_or(0)
    }

    /// The reader of leaf `index` in one row group; a page of more than `most` values is an error.
    ///
    /// The number of values in a page is what its header claims: a few bytes of run lengths can stand for billions.
    pub(super) fn column(&self, group: usize, index: usize, most: usize) -> Result<ColumnReader> {
        guarded(|| {
            let group = self.file.metadata().row_group(group);
            let (chunk, rows) = (group.column(index), usize::try_from(group.num_rows())?);
            let pages = SerializedPageReader::new(Arc::clone(&self.pages), chunk, rows, None)?;
            let column = chunk.column_descr_ptr();
            let width = match column.physical_type() {
                Physical::BOOLEAN => 1,
                Physical::INT32 | Physical::FLOAT | Physical::BYTE_ARRAY => 4,
                Physical::INT64 | Physical::DOUBLE => 8,
                Physical::INT96 => 12,
                Physical::FIXED_LEN_BYTE_ARRAY => usize::try_from(column.type_length()).unwrap_or(1).max(1),
            };
            Ok(get_column_reader(column, Box::new(Bounded { pages, next: None, width, most })))
        })
    }
}

/// The pages of one column. The largest that are unpacked are those a writer may make of rows of [`MAX_ROW_BYTES`]: a
/// few kilobytes can hold a page of gigabytes.
struct Pages {
    file: File,
    most: u64,
}

/// Writers close a page of 1 MiB; a row that is larger has a page to itself, with a megabyte at most before it.
const MAX_PAGE_BYTES: u64 = MAX_ROW_BYTES as u64 + (2 << 20);

impl Length for Pages {
    fn len(&self) -> u64 {
        Length::len(&self.file)
    }
}

impl ChunkReader for Pages {
    type T = BufReader<File>;

    /// Is asked for the header of each page, which says first how large the page is.
    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let size = page_size(self.file.get_read(start)?)
            .ok_or_else(|| ParquetError::General("the header of a page is damaged".to_owned()))?;
        if size > self.most {
            let message = format!("a page takes {} MiB unpacked, at most {} are read", size >> 20, self.most >> 20);
            return Err(ParquetError::General(message));
        }
        self.file.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.file.get_bytes(start, length)
    }
}

/// The size of a page once it is unpacked: the second field of its header, after the type. Both are 32-bit numbers of
/// Thrift's compact protocol: a byte of the kind (5) and the step to the field's number (1), then a zigzag varint.
fn page_size(header: impl BufRead) -> Option<u64> {
    const NUMBER: u8 = 0x15;
    let mut bytes = header.bytes().map_while(std::io::Result::ok);
    let mut field = || {
        (bytes.next()? == NUMBER).then_some(())?;
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = bytes.next()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number / 2);
            }
        }
        None
    };
    field()?;
    field()
}

/// Pages whose number of values is looked at before room is made for them.
struct Bounded {
    pages: SerializedPageReader<Pages>,
    /// A page that was asked about before it was asked for: the crate's own way of looking ahead would have [`Pages`]
    /// look for a header where there is none.
    next: Option<Page>,
    /// Bytes that a value of a dictionary takes at least.
    width: usize,
    most: usize,
}

impl PageReader for Bounded {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        if self.next.is_some() {
            return Ok(self.next.take());
        }
        let page = self.pages.get_next_page()?;
        let Some(found) = &page else { return Ok(None) };
        let values = found.num_values() as usize;
        let most = match found {
            Page::DictionaryPage { buf, .. } => buf.len() / self.width,
            _ => self.most,
        };
        if values > most {
            return Err(ParquetError::General(format!("a page claims {values} values, expected at most {most}")));
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.next = self.get_next_page()?;
        Ok(self.next.as_ref().map(|page| PageMetadata {
            num_rows: match page {
                Page::DataPageV2 { num_rows, .. } => Some(*num_rows as usize),
                _ => None,
            },
            num_levels: (!page.is_dictionary_page()).then(|| page.num_values() as usize),
            is_dict: page.is_dictionary_page(),
        }))
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.get_next_page().map(|_| ())
    }

    fn at_record_boundary(&mut self) -> Result<bool, ParquetError> {
        Ok(self.peek_next_page()?.is_none_or(|page| page.num_rows.is_some()))
    }
}

impl Iterator for Bounded {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// Runs a step of the parquet crate, which asserts in places what a damaged file does not keep. After a failure the
/// reader is not used again.
pub(super) fn guarded<T>(step: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => result.map_err(|error| unreadable(&error)),
        Err(_) => Err(Error::value("is not a readable Parquet file: its content is damaged")),
    }
}

fn unreadable(error: &ParquetError) -> Error {
    // The crate's own texts begin with "Parquet error: ".
    let text = error.to_string();
    let text = text.strip_prefix("Parquet error: ").unwrap_or(&text);
    match error {
        ParquetError::External(inner) if inner.is::<std::io::Error>() => {
            Error::new(Kind::Io, format!("cannot be read: {inner}"))
        }
        _ => Error::value(format!("is not a readable Parquet file: {text}")),
    }
}
