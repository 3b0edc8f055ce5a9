//! One string column of a Parquet file, read row group by row group without arrow.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};
use parquet::file::serialized_reader::SerializedPageReader;
use parquet::schema::types::Type;

use super::{COLUMNS, FIELDS, MAX_ROW_BYTES, Prompt, Row, Rows, listed, not_utf8, read_error, too_long};
use crate::error::{Error, Kind, Result};

/// Rows decoded at a time. Their bytes stay in the decompressed page, of which one is held.
const STEP: usize = 1024;

/// The rows of one string column.
pub(super) struct Column {
    file: SerializedFileReader<File>,
    pages: Arc<Pages>,
    index: usize,
    nullable: bool,
    group: usize,
    reader: Option<ColumnReaderImpl<ByteArrayType>>,
    /// Decoded rows that were not handed out yet; `None` is null.
    rows: vec::IntoIter<Option<ByteArray>>,
    row: u64,
}

impl Column {
    pub(super) fn open(file: File, column: Option<&str>) -> Result<Self> {
        let pages = file.try_clone().map_err(|error| read_error(&error))?;
        let file = guarded(|| SerializedFileReader::new(file))?;
        let schema = file.metadata().file_metadata().schema_descr();
        let name = choose(schema.root_schema().get_fields(), column)?;
        let leaf = (0..schema.num_columns()).find(|&index| schema.column(index).path().parts() == [name.as_str()]);
        let Some(index) = leaf else {
            return Err(Error::value(format!("has no column `{name}`")));
        };
        let nullable = schema.column(index).max_def_level() > 0;
        let pages = Arc::new(Pages(pages));
        Ok(Self { file, pages, index, nullable, group: 0, reader: None, rows: Vec::new().into_iter(), row: 0 })
    }

    /// Decodes the next rows; false at the end of the file.
    fn fill(&mut self) -> Result<bool> {
        loop {
            if self.reader.is_none() {
                if self.group == self.file.num_row_groups() {
                    return Ok(false);
                }
                let reader = guarded(|| {
                    let group = self.file.metadata().row_group(self.group);
                    let (chunk, rows) = (group.column(self.index), usize::try_from(group.num_rows())?);
                    let pages = SerializedPageReader::new(Arc::clone(&self.pages), chunk, rows, None)?;
                    Ok(get_column_reader(chunk.column_descr_ptr(), Box::new(pages)))
                })?;
                self.group += 1;
                match reader {
                    ColumnReader::ByteArrayColumnReader(reader) => self.reader = Some(reader),
                    _ => return Err(Error::value("the column is not one of strings in every row group")),
                }
            }
            let Some(reader) = self.reader.as_mut() else { return Ok(false) };
            let (mut levels, mut values) = (Vec::new(), Vec::with_capacity(STEP));
            let levels_out = self.nullable.then_some(&mut levels);
            let (read, ..) = guarded(|| reader.read_records(STEP, levels_out, None, &mut values))?;
            if read == 0 {
                self.reader = None;
                continue;
            }
            let mut values = values.into_iter();
            let rows: Vec<_> = if self.nullable {
                levels.iter().map(|&level| if level > 0 { values.next() } else { None }).collect()
            } else {
                values.map(Some).collect()
            };
            self.rows = rows.into_iter();
            return Ok(true);
        }
    }
}

impl Rows for Column {
    fn next(&mut self) -> Result<Option<Row>> {
        loop {
            let Some(value) = self.rows.next() else {
                if self.fill()? {
                    continue;
                }
                return Ok(None);
            };
            self.row += 1;
            let place = format!("row {}", self.row);
            let Some(value) = value else {
                return Ok(Some(Row::Bad(Error::value(format!("{place}: expected a string, found null")))));
            };
            if value.len() > MAX_ROW_BYTES {
                return Ok(Some(Row::Bad(too_long(&place))));
            }
            return Ok(Some(match std::str::from_utf8(value.data()) {
                Ok(text) => Row::Prompt(Prompt { row: self.row, text: text.to_owned() }),
                Err(error) => Row::Bad(not_utf8(&place, "value", value.data(), error)),
            }));
        }
    }
}

/// The pages of one column. The largest that are unpacked are those a writer may make of rows of [`MAX_ROW_BYTES`]: a
/// few kilobytes can hold a page of gigabytes.
struct Pages(File);

/// Writers close a page of 1 MiB; a row that is larger has a page to itself, with a megabyte at most before it.
const MAX_PAGE_BYTES: u64 = MAX_ROW_BYTES as u64 + (2 << 20);

impl Length for Pages {
    fn len(&self) -> u64 {
        Length::len(&self.0)
    }
}

impl ChunkReader for Pages {
    type T = BufReader<File>;

    /// Is asked for the header of each page, which says first how large the page is.
    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        let size = page_size(self.0.get_read(start)?)
            .ok_or_else(|| ParquetError::General("the header of a page is damaged".to_owned()))?;
        if size > MAX_PAGE_BYTES {
            let message =
                format!("a page takes {} MiB unpacked, at most {} are read", size >> 20, MAX_PAGE_BYTES >> 20);
            return Err(ParquetError::General(message));
        }
        self.0.get_read(start)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0.get_bytes(start, length)
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

/// The name of the column asked for, or of the first known one that holds strings.
fn choose(fields: &[std::sync::Arc<Type>], column: Option<&str>) -> Result<String> {
    let find = |name: &str| fields.iter().find(|field| field.name() == name);
    let strings = || listed(fields.iter().filter(|field| found(field).is_none()).map(|field| field.name()));
    if let Some(name) = column {
        let Some(field) = find(name) else {
            return Err(Error::value(format!("has no column `{name}`: its columns of strings are {}", strings())));
        };
        return match found(field) {
            None => Ok(name.to_owned()),
            Some(what) => Err(Error::value(format!(
                "column `{name}`: expected strings, found {what}; the columns of strings are {}",
                strings()
            ))),
        };
    }
    if let Some(name) = COLUMNS.into_iter().find(|&name| find(name).is_some_and(|field| found(field).is_none())) {
        return Ok(name.to_owned());
    }
    // A conversation is the likely reason, so it is named rather than called absent.
    let why = match FIELDS.into_iter().find_map(|name| Some((name, found(find(name)?)?))) {
        Some((name, what)) => format!("column `{name}`: expected strings, found {what}"),
        None => format!("has none of the columns {}", listed(COLUMNS)),
    };
    Err(Error::value(format!("{why}; its columns of strings are {}: name the one that holds the prompt", strings())))
}

/// What a column holds instead of strings, or `None`.
fn found(field: &Type) -> Option<String> {
    if !field.is_primitive() {
        return Some("nested values (a list, map or struct)".to_owned());
    }
    let info = field.get_basic_info();
    if info.has_repetition() && info.repetition() == Repetition::REPEATED {
        return Some("a repeated value (a list)".to_owned());
    }
    match (field.get_physical_type(), info.converted_type()) {
        (Physical::BYTE_ARRAY, ConvertedType::DECIMAL) => Some("decimals".to_owned()),
        (Physical::BYTE_ARRAY, _) => None,
        (other, _) => Some(other.to_string()),
    }
}

/// Runs a step of the parquet crate, which asserts in places what a damaged file does not keep. After a failure the
/// reader is not used again.
fn guarded<T>(step: impl FnOnce() -> Result<T, ParquetError>) -> Result<T> {
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
