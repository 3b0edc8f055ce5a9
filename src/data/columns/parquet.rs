//! Parquet, leaf by leaf and without arrow.

use std::fs::File;

use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::schema::types::{ColumnDescriptor, Type};

use super::{Budget, Column, json_list, no_column, other_kind};
use crate::data::pages::{Source, guarded};
use crate::data::reading::{MAX_ROW_BYTES, not_utf8, too_long};
use crate::error::{Error, Result};

/// Rows decoded at a time.
const STEP: usize = 4096;

/// What an element of a list takes while it is decoded: its bytes' handle, and two levels.
const ELEMENT: usize = 64;

pub(super) fn read(file: File, wanted: Option<&[&str]>, budget: &mut Budget) -> Result<Vec<(String, Column)>> {
    let source = Source::open(file)?;
    let fields = source.schema().root_schema().get_fields();
    let mut columns = Vec::new();
    match wanted {
        Some(wanted) => {
            for &name in wanted {
                let field = fields.iter().find(|field| field.name() == name);
                let field = field.ok_or_else(|| no_column(name, fields.iter().map(|field| field.name())))?;
                columns.push(Leaf::of(&source, field).map_err(|found| other_kind(name, &found))?);
            }
        }
        // Columns of other kinds were not asked for.
        None => columns.extend(fields.iter().filter_map(|field| Leaf::of(&source, field).ok())),
    }
    columns
        .into_iter()
        .map(|leaf| {
            let column = leaf.read(&source, budget);
            column.map_err(|error| error.context(format!("column `{}`", leaf.name))).map(|column| (leaf.name, column))
        })
        .collect()
}

/// What the values of a leaf are.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// A list of texts: the definition level from which on the list itself is not null.
    Texts(i16),
    Number,
    /// Integers whose sign bit counts.
    Unsigned,
    Half,
}

struct Leaf {
    name: String,
    index: usize,
    kind: Kind,
    /// The definition level of a value that is not null.
    full: i16,
}

impl Leaf {
    /// The leaf of a column, or what the column holds instead of texts and numbers.
    fn of(source: &Source, field: &Type) -> Result<Self, String> {
        let schema = source.schema();
        let mut leaves =
            (0..schema.num_columns()).filter(|&index| schema.column(index).path().parts()[0] == field.name());
        let (Some(index), None) = (leaves.next(), leaves.next()) else {
            return Err("nested values (a map or a struct)".to_owned());
        };
        let leaf = schema.column(index);
        let kind = match (leaf.max_rep_level(), leaf.path().parts().len()) {
            (0, 1) => flat(&leaf)?,
            (1, ..=3) if is_list(field) => match flat(&leaf)? {
                Kind::Text => Kind::Texts(i16::from(optional(field))),
                _ => return Err("a list of numbers".to_owned()),
            },
            _ => return Err("nested values".to_owned()),
        };
        Ok(Self { name: field.name().to_owned(), index, kind, full: leaf.max_def_level() })
    }

    fn read(&self, source: &Source, budget: &mut Budget) -> Result<Column> {
        let (mut texts, mut numbers) = (Vec::new(), Vec::new());
        for group in 0..source.groups() {
            let most = match self.kind {
                Kind::Texts(_) => budget.left / ELEMENT,
                _ => usize::MAX,
            };
            let reader = source.column(group, self.index, most)?;
            match (reader, self.kind) {
                (ColumnReader::ByteArrayColumnReader(reader), Kind::Text) => self.texts(reader, &mut texts, budget)?,
                (ColumnReader::ByteArrayColumnReader(reader), Kind::Texts(list)) => {
                    self.lists(reader, list, &mut texts, budget)?;
                }
                (ColumnReader::BoolColumnReader(reader), _) => {
                    self.numbers(reader, |&x| f64::from(u8::from(x)), &mut numbers, budget)?;
                }
                (ColumnReader::Int32ColumnReader(reader), Kind::Unsigned) => {
                    self.numbers(reader, |&x| f64::from(x.cast_unsigned()), &mut numbers, budget)?;
                }
                (ColumnReader::Int32ColumnReader(reader), _) => {
                    self.numbers(reader, |&x| f64::from(x), &mut numbers, budget)?;
                }
                (ColumnReader::Int64ColumnReader(reader), Kind::Unsigned) => {
                    self.numbers(reader, |&x| x.cast_unsigned() as f64, &mut numbers, budget)?;
                }
                (ColumnReader::Int64ColumnReader(reader), _) => {
                    self.numbers(reader, |&x| x as f64, &mut numbers, budget)?;
                }
                (ColumnReader::FloatColumnReader(reader), _) => {
                    self.numbers(reader, |&x| f64::from(x), &mut numbers, budget)?;
                }
                (ColumnReader::DoubleColumnReader(reader), _) => {
                    self.numbers(reader, |&x| x, &mut numbers, budget)?;
                }
                (ColumnReader::FixedLenByteArrayColumnReader(reader), Kind::Half) => {
                    let half = |value: &parquet::data_type::FixedLenByteArray| {
                        let bytes = value.data().try_into().unwrap_or([0, 0x7e]);
                        half::f16::from_le_bytes(bytes).to_f64()
                    };
                    self.numbers(reader, half, &mut numbers, budget)?;
                }
                _ => return Err(Error::value("is not of one kind in every row group")),
            }
        }
        Ok(match self.kind {
            Kind::Text | Kind::Texts(_) => Column::Text(texts),
            _ => Column::Numbers(numbers),
        })
    }

    fn texts(
        &self,
        mut reader: ColumnReaderImpl<parquet::data_type::ByteArrayType>,
        out: &mut Vec<Option<String>>,
        budget: &mut Budget,
    ) -> Result<()> {
        while let Some((levels, values)) = self.step(&mut reader)? {
            let mut values = values.iter();
            let Some(levels) = levels else {
                budget.take_rows(values.len())?;
                for value in values {
                    out.push(text(Some(value), out.len(), budget)?);
                }
                continue;
            };
            budget.take_rows(levels.len())?;
            for level in levels {
                let value = if level == self.full { values.next() } else { None };
                out.push(text(value, out.len(), budget)?);
            }
        }
        Ok(())
    }

    fn numbers<T: DataType>(
        &self,
        mut reader: ColumnReaderImpl<T>,
        number: impl Fn(&T::T) -> f64,
        out: &mut Vec<f64>,
        budget: &mut Budget,
    ) -> Result<()> {
        while let Some((levels, values)) = self.step(&mut reader)? {
            let mut values = values.iter().map(&number);
            let Some(levels) = levels else {
                budget.take(size_of::<f64>() * values.len())?;
                out.extend(values);
                continue;
            };
            budget.take(size_of::<f64>() * levels.len())?;
            out.extend(levels.iter().map(|&level| {
                let value = if level == self.full { values.next() } else { None };
                value.unwrap_or(f64::NAN)
            }));
        }
        Ok(())
    }

    /// The next rows of a flat column: the levels that tell nulls, where there can be some, and the values.
    #[expect(clippy::type_complexity, reason = "read in two places, side by side")]
    fn step<T: DataType>(&self, reader: &mut ColumnReaderImpl<T>) -> Result<Option<(Option<Vec<i16>>, Vec<T::T>)>> {
        let (mut levels, mut values) = (Vec::new(), Vec::with_capacity(STEP));
        let nullable = self.full > 0;
        let (rows, ..) = guarded(|| reader.read_records(STEP, nullable.then_some(&mut levels), None, &mut values))?;
        Ok((rows > 0).then_some((nullable.then_some(levels), values)))
    }

    fn lists(
        &self,
        mut reader: ColumnReaderImpl<parquet::data_type::ByteArrayType>,
        list: i16,
        out: &mut Vec<Option<String>>,
        budget: &mut Budget,
    ) -> Result<()> {
        loop {
            let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
            let (rows, ..) =
                guarded(|| reader.read_records(STEP, Some(&mut defined), Some(&mut repeated), &mut values))?;
            if rows == 0 {
                return Ok(());
            }
            budget.take_rows(rows)?;
            let mut values = values.iter();
            let mut levels = repeated.iter().zip(&defined).peekable();
            while let Some((_, &first)) = levels.next() {
                let row = out.len();
                let mut items = Vec::new();
                let mut level = first;
                loop {
                    // Beyond the list's own level there is an element; at the leaf's, one that is not null.
                    if level > list {
                        let value = if level == self.full { values.next() } else { None };
                        items.push(value.map(|value| utf8(value, row)).transpose()?);
                    }
                    match levels.next_if(|(repeated, _)| **repeated > 0) {
                        Some((_, &next)) => level = next,
                        None => break,
                    }
                }
                let text = if first < list { None } else { Some(json_list(&items)?) };
                budget.take(text.as_ref().map_or(0, String::len))?;
                out.push(text);
            }
        }
    }
}

fn text(value: Option<&ByteArray>, rows: usize, budget: &mut Budget) -> Result<Option<String>> {
    let Some(value) = value else { return Ok(None) };
    let text = utf8(value, rows)?;
    budget.take(text.len())?;
    Ok(Some(text.to_owned()))
}

fn utf8(value: &ByteArray, rows: usize) -> Result<&str> {
    let place = || format!("row {}", rows + 1);
    if value.len() > MAX_ROW_BYTES {
        return Err(too_long(&place()));
    }
    std::str::from_utf8(value.data()).map_err(|error| not_utf8(&place(), "value", value.data(), error))
}

/// What the values of a leaf are, or what else they are.
fn flat(leaf: &ColumnDescriptor) -> Result<Kind, String> {
    match (leaf.physical_type(), leaf.converted_type(), leaf.logical_type_ref()) {
        (_, ConvertedType::DECIMAL, _) | (_, _, Some(LogicalType::Decimal { .. })) => Err("decimals".to_owned()),
        (Physical::BYTE_ARRAY, ..) => Ok(Kind::Text),
        (
            Physical::INT32 | Physical::INT64,
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64,
            _,
        ) => Ok(Kind::Unsigned),
        (Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE, ..)
        | (
            Physical::INT32 | Physical::INT64,
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64,
            None | Some(LogicalType::Integer { .. } | LogicalType::Unknown),
        ) => Ok(Kind::Number),
        (Physical::INT32 | Physical::INT64 | Physical::INT96, ..) => Err("dates or times".to_owned()),
        (Physical::FIXED_LEN_BYTE_ARRAY, _, Some(LogicalType::Float16)) => Ok(Kind::Half),
        (Physical::FIXED_LEN_BYTE_ARRAY, ..) => Err("bytes of fixed length".to_owned()),
    }
}

fn optional(field: &Type) -> bool {
    let info = field.get_basic_info();
    info.has_repetition() && info.repetition() == Repetition::OPTIONAL
}

/// Whether a column is a list: annotated as one, or a repeated primitive.
fn is_list(field: &Type) -> bool {
    let info = field.get_basic_info();
    let annotated = info.converted_type() == ConvertedType::LIST || info.logical_type_ref() == Some(&LogicalType::List);
    annotated || (field.is_primitive() && info.has_repetition() && info.repetition() == Repetition::REPEATED)
}
