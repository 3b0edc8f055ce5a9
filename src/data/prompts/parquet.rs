//! One string column of a Parquet file, read row group by row group without arrow.

use std::fs::File;
use std::vec;

use parquet::basic::{ConvertedType, Repetition, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::schema::types::Type;

use super::{COLUMNS, FIELDS, MAX_ROW_BYTES, Prompt, Row, Rows, listed, not_utf8, too_long};
use crate::data::pages::{Source, guarded};
use crate::error::{Error, Result};

/// Rows decoded at a time. Their bytes stay in the decompressed page, of which one is held.
const STEP: usize = 1024;

/// The rows of one string column.
pub(super) struct Column {
    file: Source,
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
        let file = Source::open(file)?;
        let schema = file.schema();
        let name = choose(schema.root_schema().get_fields(), column)?;
        let leaf = (0..schema.num_columns()).find(|&index| schema.column(index).path().parts() == [name.as_str()]);
        let Some(index) = leaf else {
            return Err(Error::value(format!("has no column `{name}`")));
        };
        let nullable = schema.column(index).max_def_level() > 0;
        Ok(Self { file, index, nullable, group: 0, reader: None, rows: Vec::new().into_iter(), row: 0 })
    }

    /// Decodes the next rows; false at the end of the file.
    fn fill(&mut self) -> Result<bool> {
        loop {
            if self.reader.is_none() {
                if self.group == self.file.groups() {
                    return Ok(false);
                }
                let reader = self.file.column(self.group, self.index, usize::MAX)?;
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
