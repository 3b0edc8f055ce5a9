//! Arrow IPC, message by message: the stream form, and the file form, which is a stream between two marks.
//!
//! The lengths that messages claim are compared with the file before room is made for them.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::{MessageHeader, root_as_message};
use arrow_schema::{ArrowError, DataType, SchemaRef};

use super::{Budget, Column, Growing, json_list, no_column, other_kind};
use crate::data::reading::{MAX_ROW_BYTES, listed, read_error, too_long};
use crate::error::{Error, Result};

const MAGIC: &[u8] = b"ARROW1";

/// Ends a stream.
pub(in crate::data) const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

pub(super) fn read(
    mut file: File,
    bytes: u64,
    wanted: Option<&[&str]>,
    budget: &mut Budget,
) -> Result<Vec<(String, Column)>> {
    let (start, end) = span(&mut file, bytes).map_err(|error| read_error(&error))?;
    file.seek(SeekFrom::Start(start)).map_err(|error| read_error(&error))?;
    let mut messages = Messages::new(file, end.saturating_sub(start));
    let mut decoder = StreamDecoder::new();
    let mut columns: Option<Vec<(usize, String, Growing)>> = None;
    let mut rows = 0;
    loop {
        let message = messages.next(budget.most)?;
        let last = message.is_none();
        let mut buffer = message.unwrap_or_else(|| END.to_vec()).into();
        // One message may complete the one before it, whose body is empty, and a batch ends the decoder's turn.
        loop {
            let batch = guarded(|| decoder.decode(&mut buffer))?;
            if columns.is_none()
                && let Some(schema) = decoder.schema()
            {
                columns = Some(chosen(&schema, wanted)?);
            }
            if let (Some(batch), Some(columns)) = (&batch, &mut columns) {
                for (at, name, column) in columns {
                    push(batch.column(*at), column, budget)
                        .map_err(|(row, error)| place(error, name, row.map(|row| rows + row)))?;
                }
                rows += batch.num_rows();
            }
            if buffer.is_empty() {
                break;
            }
        }
        if last {
            break;
        }
    }
    let Some(columns) = columns else {
        return Err(damaged("it has no schema"));
    };
    Ok(columns.into_iter().map(|(_, name, column)| (name, column.finish())).collect())
}

/// Where the messages lie: the whole of a stream, and between the marks of a file, without its footer.
pub(in crate::data) fn span(file: &mut File, bytes: u64) -> std::io::Result<(u64, u64)> {
    let mut start = [0; 6];
    if bytes < 18 || file.read_exact(&mut start).is_err() || start != MAGIC {
        return Ok((0, bytes));
    }
    let mut tail = [0; 10];
    file.seek(SeekFrom::Start(bytes - 10))?;
    file.read_exact(&mut tail)?;
    let footer = u64::from(u32::from_le_bytes([tail[0], tail[1], tail[2], tail[3]]));
    // Without its closing mark the file was cut off; its messages are read as far as they go, and the cut is found.
    let end = if &tail[4..] == MAGIC { (bytes - 10).saturating_sub(footer) } else { bytes };
    // Writers fill up to their own alignment with zeros, with which no message begins.
    let mut at = 8;
    let mut word = [0; 8];
    file.seek(SeekFrom::Start(at))?;
    while at + 8 <= end && file.read_exact(&mut word).is_ok() && word == [0; 8] {
        at += 8;
    }
    Ok((at, end))
}

/// Cuts a stream into messages, each with its metadata and body.
pub(in crate::data) struct Messages {
    file: BufReader<File>,
    left: u64,
    /// Bytes of dictionaries so far, unpacked: they are kept until the end.
    kept: u64,
}

impl Messages {
    /// Reads `left` bytes of a file from where it stands.
    pub(in crate::data) fn new(file: File, left: u64) -> Self {
        Self { file: BufReader::new(file), left, kept: 0 }
    }

    pub(in crate::data) fn next(&mut self, most: usize) -> Result<Option<Vec<u8>>> {
        let mut message = Vec::new();
        if self.left == 0 {
            return Ok(None);
        }
        self.take(&mut message, 4)?;
        if message == [0xff; 4] {
            self.take(&mut message, 4)?;
        }
        let length = &message[message.len() - 4..];
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        if length == 0 {
            return Ok(None);
        }
        let head = message.len();
        self.take(&mut message, u64::from(length))?;
        let parsed = root_as_message(&message[head..]).map_err(|error| damaged(&error.to_string()))?;
        let body = u64::try_from(parsed.bodyLength()).map_err(|_| damaged("a message has a negative length"))?;
        let (lengths, stays) = (compressed(&parsed), parsed.header_type() == MessageHeader::DictionaryBatch);
        let start = message.len();
        self.take(&mut message, body)?;
        let mut unpacked = self.kept;
        for at in lengths {
            let prefix = usize::try_from(at).ok().and_then(|at| message.get(start + at..)?.first_chunk::<8>());
            let claimed = prefix.map_or(0, |bytes| i64::from_le_bytes(*bytes));
            unpacked = unpacked.saturating_add(u64::try_from(claimed).unwrap_or(0));
        }
        if unpacked > most as u64 {
            return Err(Error::value(format!(
                "a batch takes {} MiB unpacked, at most {} are read",
                unpacked >> 20,
                most >> 20
            )));
        }
        if stays {
            self.kept = unpacked;
        }
        Ok(Some(message))
    }

    fn take(&mut self, out: &mut Vec<u8>, bytes: u64) -> Result<()> {
        if bytes > self.left {
            return Err(damaged("it ends in the middle of a message"));
        }
        let read = (&mut self.file).take(bytes).read_to_end(out).map_err(|error| read_error(&error))?;
        if (read as u64) < bytes {
            return Err(damaged("it ends in the middle of a message"));
        }
        self.left -= bytes;
        Ok(())
    }
}

/// Where in the body the compressed buffers begin, with their unpacked lengths.
fn compressed(message: &arrow_ipc::Message<'_>) -> Vec<i64> {
    let batch = match message.header_type() {
        MessageHeader::RecordBatch => message.header_as_record_batch(),
        MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data()),
        _ => None,
    };
    let Some(batch) = batch.filter(|batch| batch.compression().is_some()) else { return Vec::new() };
    let buffers = batch.buffers().into_iter().flatten();
    buffers.filter(|buffer| buffer.length() > 0).map(arrow_ipc::Buffer::offset).collect()
}

/// The places, names and beginnings of the columns to read.
fn chosen(schema: &SchemaRef, wanted: Option<&[&str]>) -> Result<Vec<(usize, String, Growing)>> {
    let fields = schema.fields();
    let places: Vec<usize> = match wanted {
        Some(wanted) => {
            let place = |name: &&str| {
                let at = fields.iter().position(|field| field.name() == name);
                let at = at.ok_or_else(|| no_column(name, fields.iter().map(|field| field.name().as_str())))?;
                let kind = fields[at].data_type();
                if readable(kind) { Ok(at) } else { Err(other_kind(name, &format!("{kind:?}"))) }
            };
            wanted.iter().map(place).collect::<Result<_>>()?
        }
        None => (0..fields.len()).filter(|&at| readable(fields[at].data_type())).collect(),
    };
    let start = |at: usize| match fields[at].data_type() {
        kind if is_text(kind) => Growing::Text(Vec::new()),
        _ => Growing::Numbers(Vec::new()),
    };
    Ok(places.into_iter().map(|at| (at, fields[at].name().clone(), start(at))).collect())
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_text(item.data_type())
        }
        _ => false,
    }
}

fn readable(kind: &DataType) -> bool {
    match kind {
        DataType::Null | DataType::Boolean => true,
        DataType::Dictionary(_, values) => readable(values) && !values.is_nested(),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            is_text(item.data_type()) && !item.data_type().is_nested()
        }
        _ => is_text(kind) || kind.is_integer() || kind.is_floating(),
    }
}

/// A failure, and the row of the batch it belongs to.
type Failed = (Option<usize>, Error);

fn push(array: &ArrayRef, out: &mut Growing, budget: &mut Budget) -> Result<(), Failed> {
    match array.data_type() {
        DataType::Null => rows(array.len(), |_| out.null(budget)),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            rows(array.len(), |row| text_list(lists.is_valid(row).then(|| lists.value(row)), out, budget))
        }
        DataType::LargeList(_) => {
            let lists = array.as_list::<i64>();
            rows(array.len(), |row| text_list(lists.is_valid(row).then(|| lists.value(row)), out, budget))
        }
        DataType::FixedSizeList(..) => {
            let lists = array.as_fixed_size_list();
            rows(array.len(), |row| text_list(lists.is_valid(row).then(|| lists.value(row)), out, budget))
        }
        kind if is_text(kind) => {
            // Before there are keys: a dictionary's can be a run of billions.
            budget.fits_rows(array.len()).map_err(|error| (None, error))?;
            let texts = Texts::of(array);
            rows(array.len(), |row| out.text(checked(texts.get(row))?.map(str::to_owned), budget))
        }
        _ => {
            budget.fits_rows(array.len()).map_err(|error| (None, error))?;
            budget.take(array.len() * size_of::<f64>()).map_err(|error| (None, error))?;
            if let Growing::Numbers(out) = out {
                numbers(array, out);
            }
            Ok(())
        }
    }
}

fn rows(n: usize, mut each: impl FnMut(usize) -> Result<()>) -> Result<(), Failed> {
    (0..n).try_for_each(|row| each(row).map_err(|error| (Some(row), error)))
}

fn checked(text: Option<&str>) -> Result<Option<&str>> {
    match text {
        Some(text) if text.len() > MAX_ROW_BYTES => Err(too_long("its text")),
        _ => Ok(text),
    }
}

fn text_list(list: Option<ArrayRef>, out: &mut Growing, budget: &mut Budget) -> Result<()> {
    let Some(list) = list else { return out.null(budget) };
    let texts = Texts::of(&list);
    let bytes = (0..list.len()).map(|at| 4 + texts.get(at).map_or(0, str::len)).sum();
    if bytes > budget.left {
        return budget.take(bytes);
    }
    let items: Vec<_> = (0..list.len()).map(|at| texts.get(at)).collect();
    out.text(checked(Some(&json_list(&items)?))?.map(str::to_owned), budget)
}

/// An array of texts in any of Arrow's forms.
struct Texts<'a> {
    values: &'a ArrayRef,
    /// Where in `values` each row lies, for a dictionary.
    keys: Option<Vec<Option<usize>>>,
}

impl<'a> Texts<'a> {
    fn of(array: &'a ArrayRef) -> Self {
        match array.data_type() {
            DataType::Dictionary(..) => {
                let dictionary = array.as_any_dictionary();
                let keys = dictionary_keys(array);
                Self { values: dictionary.values(), keys: Some(keys) }
            }
            _ => Self { values: array, keys: None },
        }
    }

    fn get(&self, row: usize) -> Option<&'a str> {
        let row = match &self.keys {
            Some(keys) => (*keys.get(row)?)?,
            None => row,
        };
        let values: &'a ArrayRef = self.values;
        if row >= values.len() || values.is_null(row) {
            return None;
        }
        match values.data_type() {
            DataType::Utf8 => Some(values.as_string::<i32>().value(row)),
            DataType::LargeUtf8 => Some(values.as_string::<i64>().value(row)),
            DataType::Utf8View => Some(values.as_string_view().value(row)),
            _ => None,
        }
    }
}

fn numbers(array: &ArrayRef, out: &mut Vec<f64>) {
    fn all<T: ArrowPrimitiveType>(array: &ArrayRef, out: &mut Vec<f64>, number: impl Fn(T::Native) -> f64) {
        out.extend(array.as_primitive::<T>().iter().map(|value| value.map_or(f64::NAN, &number)));
    }
    match array.data_type() {
        DataType::Boolean => out
            .extend(array.as_boolean().iter().map(|value| value.map_or(f64::NAN, |value| f64::from(u8::from(value))))),
        DataType::Int8 => all::<Int8Type>(array, out, f64::from),
        DataType::Int16 => all::<Int16Type>(array, out, f64::from),
        DataType::Int32 => all::<Int32Type>(array, out, f64::from),
        DataType::Int64 => all::<Int64Type>(array, out, |value| value as f64),
        DataType::UInt8 => all::<UInt8Type>(array, out, f64::from),
        DataType::UInt16 => all::<UInt16Type>(array, out, f64::from),
        DataType::UInt32 => all::<UInt32Type>(array, out, f64::from),
        DataType::UInt64 => all::<UInt64Type>(array, out, |value| value as f64),
        DataType::Float16 => all::<Float16Type>(array, out, f64::from),
        DataType::Float32 => all::<Float32Type>(array, out, f64::from),
        DataType::Float64 => all::<Float64Type>(array, out, |value| value),
        DataType::Dictionary(..) => {
            let mut values = Vec::new();
            numbers(array.as_any_dictionary().values(), &mut values);
            let number = |key: Option<usize>| key.and_then(|key| values.get(key).copied()).unwrap_or(f64::NAN);
            out.extend(dictionary_keys(array).into_iter().map(number));
        }
        _ => out.extend(std::iter::repeat_n(f64::NAN, array.len())),
    }
}

/// The key of each row of a dictionary array; `None` is null.
fn dictionary_keys(array: &ArrayRef) -> Vec<Option<usize>> {
    fn keys<K: ArrowDictionaryKeyType>(array: &ArrayRef) -> Vec<Option<usize>>
    where
        K::Native: TryInto<usize>,
    {
        array.as_dictionary::<K>().keys().iter().map(|key| key.and_then(|key| key.try_into().ok())).collect()
    }
    match array.data_type() {
        DataType::Dictionary(key, _) => match **key {
            DataType::Int8 => keys::<Int8Type>(array),
            DataType::Int16 => keys::<Int16Type>(array),
            DataType::Int32 => keys::<Int32Type>(array),
            DataType::Int64 => keys::<Int64Type>(array),
            DataType::UInt8 => keys::<UInt8Type>(array),
            DataType::UInt16 => keys::<UInt16Type>(array),
            DataType::UInt32 => keys::<UInt32Type>(array),
            DataType::UInt64 => keys::<UInt64Type>(array),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn place(error: Error, name: &str, row: Option<usize>) -> Error {
    let error = match row {
        Some(row) => error.context(format!("row {}", row + 1)),
        None => error,
    };
    error.context(format!("column {}", listed([name])))
}

pub(in crate::data) fn damaged(why: &str) -> Error {
    Error::value(format!("is not a readable Arrow file: {why}"))
}

/// Runs a step of the arrow crates, which assert in places what a damaged file does not keep.
pub(in crate::data) fn guarded<T>(step: impl FnOnce() -> Result<T, ArrowError>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => result.map_err(|error| damaged(&error.to_string())),
        Err(_) => Err(damaged("its content is damaged")),
    }
}
