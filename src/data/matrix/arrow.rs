//! A column of lists of float numbers in Arrow IPC, batch by batch.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef};
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::{MessageHeader, root_as_message};
use arrow_schema::DataType;

use super::{Layout, choose, most_numbers, opened, wrong_count, wrong_width};
use crate::data::columns::arrow::{END, Messages, damaged, guarded, span};
use crate::data::reading::read_error;
use crate::error::{Error, Result};

/// The batches of a file.
pub(super) struct Batches {
    column: String,
    rows: usize,
    cols: usize,
    /// Bytes that a batch may take unpacked.
    most: usize,
}

impl Batches {
    pub(super) fn open(mut file: File, bytes: u64, column: Option<&str>) -> Result<Self> {
        let most = most_numbers(bytes).saturating_mul(size_of::<f64>());
        let rows = count(&mut file, bytes)?;
        let (mut name, mut cols) = (None, 0);
        let found = Self { column: String::new(), rows, cols: 0, most };
        // The first batch that has rows tells the width.
        found.each(file, bytes, |batch| {
            let column = match &name {
                Some(column) => column,
                None => name.insert(chosen(batch, column)?),
            };
            let Some(array) = batch.column_by_name(column) else { return Ok(true) };
            if array.is_empty() {
                return Ok(true);
            }
            cols = List::of(array).width(0).ok_or_else(|| Error::value("row 1: expected a list, found null"))?;
            Ok(false)
        })?;
        Ok(Self { column: name.unwrap_or_default(), cols, ..found })
    }

    /// Hands out the batches until `take` says no.
    fn each(
        &self,
        mut file: File,
        bytes: u64,
        mut take: impl FnMut(&arrow_array::RecordBatch) -> Result<bool>,
    ) -> Result<()> {
        file.rewind().map_err(|error| read_error(&error))?;
        let (start, end) = span(&mut file, bytes).map_err(|error| read_error(&error))?;
        file.seek(SeekFrom::Start(start)).map_err(|error| read_error(&error))?;
        let mut messages = Messages::new(file, end.saturating_sub(start));
        let mut decoder = StreamDecoder::new();
        loop {
            let message = messages.next(self.most)?;
            let last = message.is_none();
            let mut buffer = message.unwrap_or_else(|| END.to_vec()).into();
            loop {
                if let Some(batch) = guarded(|| decoder.decode(&mut buffer))?
                    && !take(&batch)?
                {
                    return Ok(());
                }
                if buffer.is_empty() {
                    break;
                }
            }
            if last {
                return Ok(());
            }
        }
    }
}

/// The rows that the headers of the batches claim; their bodies are skipped.
fn count(file: &mut File, bytes: u64) -> Result<usize> {
    let (start, end) = span(file, bytes).map_err(|error| read_error(&error))?;
    file.seek(SeekFrom::Start(start)).map_err(|error| read_error(&error))?;
    let mut heads = Heads { file, left: end.saturating_sub(start) };
    let (mut rows, mut schema) = (0_usize, false);
    // A stream may end with its mark or without.
    while heads.left > 0 {
        let mut length = heads.word()?;
        if length == u32::MAX {
            length = heads.word()?;
        }
        if length == 0 {
            break;
        }
        let head = heads.take(u64::from(length))?;
        let message = root_as_message(&head).map_err(|error| damaged(&error.to_string()))?;
        schema |= message.header_type() == MessageHeader::Schema;
        if message.header_type() == MessageHeader::RecordBatch {
            let claimed = message.header_as_record_batch().map_or(0, |batch| batch.length());
            let claimed = usize::try_from(claimed).map_err(|_| damaged("a batch has a negative length"))?;
            rows = rows.checked_add(claimed).ok_or_else(|| damaged("its batches have too many rows"))?;
        }
        heads.skip(message.bodyLength())?;
    }
    if schema { Ok(rows) } else { Err(damaged("it has no schema")) }
}

/// The heads of messages, one after the other.
struct Heads<'a> {
    file: &'a mut File,
    left: u64,
}

impl Heads<'_> {
    fn spend(&mut self, length: u64) -> Result<()> {
        self.left = self.left.checked_sub(length).ok_or_else(|| damaged("it ends in the middle of a message"))?;
        Ok(())
    }

    fn take(&mut self, length: u64) -> Result<Vec<u8>> {
        self.spend(length)?;
        let mut head = Vec::new();
        self.file.take(length).read_to_end(&mut head).map_err(|error| read_error(&error))?;
        Ok(head)
    }

    fn word(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        bytes.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes)).ok_or_else(|| damaged("it was cut"))
    }

    fn skip(&mut self, length: i64) -> Result<()> {
        self.spend(u64::try_from(length).map_err(|_| damaged("a message has a negative length"))?)?;
        self.file.seek_relative(length).map_err(|error| read_error(&error))
    }
}

fn chosen(batch: &arrow_array::RecordBatch, column: Option<&str>) -> Result<String> {
    let schema = batch.schema();
    let all: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let is_list = |kind: &DataType| match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_floating()
        }
        _ => false,
    };
    let lists = schema.fields().iter().filter(|field| is_list(field.data_type())).map(|field| field.name().as_str());
    choose(&lists.collect::<Vec<_>>(), &all, column).map(str::to_owned)
}

/// A list array of any of the three forms.
enum List<'a> {
    Small(&'a arrow_array::ListArray),
    Large(&'a arrow_array::LargeListArray),
    Fixed(&'a arrow_array::FixedSizeListArray),
}

impl<'a> List<'a> {
    fn of(array: &'a ArrayRef) -> Self {
        match array.data_type() {
            DataType::LargeList(_) => Self::Large(array.as_list::<i64>()),
            DataType::FixedSizeList(..) => Self::Fixed(array.as_fixed_size_list()),
            _ => Self::Small(array.as_list::<i32>()),
        }
    }

    /// Numbers in a row; None for null.
    fn width(&self, row: usize) -> Option<usize> {
        match self {
            Self::Small(list) => list.is_valid(row).then(|| list.value_length(row) as usize),
            Self::Large(list) => list.is_valid(row).then(|| list.value_length(row) as usize),
            Self::Fixed(list) => list.is_valid(row).then(|| list.value_length() as usize),
        }
    }

    /// Place of a row's first number among all.
    fn start(&self, row: usize) -> usize {
        match self {
            Self::Small(list) => list.value_offsets()[row] as usize,
            Self::Large(list) => list.value_offsets()[row] as usize,
            Self::Fixed(list) => list.value_offset_at(row),
        }
    }

    fn values(&self) -> &ArrayRef {
        match self {
            Self::Small(list) => list.values(),
            Self::Large(list) => list.values(),
            Self::Fixed(list) => list.values(),
        }
    }
}

/// Copies the rows of one batch; `first` is the number of its first row, for messages.
fn copy(array: &ArrayRef, first: usize, cols: usize, out: &mut [f32]) -> Result<()> {
    let list = List::of(array);
    let values = list.values();
    for (row, out) in out.chunks_exact_mut(cols).enumerate() {
        match list.width(row) {
            Some(width) if width == cols => {}
            Some(width) => return Err(wrong_width(first + row + 1, width, cols)),
            None => return Err(wrong_width(first + row + 1, "null", cols)),
        }
        let (start, end) = (list.start(row), list.start(row) + cols);
        if values.null_count() > 0 && (start..end).any(|at| values.is_null(at)) {
            return Err(wrong_width(first + row + 1, "a null among them", cols));
        }
        match values.data_type() {
            DataType::Float16 => {
                let values = &values.as_primitive::<Float16Type>().values()[start..end];
                out.iter_mut().zip(values).for_each(|(slot, value)| *slot = value.to_f32());
            }
            DataType::Float32 => out.copy_from_slice(&values.as_primitive::<Float32Type>().values()[start..end]),
            DataType::Float64 => {
                let values = &values.as_primitive::<Float64Type>().values()[start..end];
                out.iter_mut().zip(values).for_each(|(slot, &value)| *slot = value as f32);
            }
            other => return Err(Error::value(format!("expected lists of float numbers, found {other}"))),
        }
    }
    Ok(())
}

impl Layout for Batches {
    fn pieces(&self) -> Vec<usize> {
        vec![self.rows]
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn read(&self, path: &Path, _piece: usize, first: usize, cols: usize, out: &mut [f32]) -> Result<()> {
        let read = || {
            let (file, bytes) = opened(path)?;
            let (mut rest, mut row) = (out, first);
            if rest.is_empty() {
                return Ok(());
            }
            self.each(file, bytes, |batch| {
                let array = batch.column_by_name(&self.column).ok_or_else(|| wrong_count(row))?;
                if array.len() * cols > rest.len() {
                    return Err(wrong_count(row));
                }
                let (part, after) = std::mem::take(&mut rest).split_at_mut(array.len() * cols);
                copy(array, row, cols, part)?;
                (rest, row) = (after, row + array.len());
                Ok(true)
            })?;
            if rest.is_empty() { Ok(()) } else { Err(wrong_count(row)) }
        };
        read().map_err(|error: Error| error.context(path.display()))
    }
}
