//! Tables out, as Parquet: row groups are written as they fill, so memory stays bounded however many rows come.
//!
//! A file gets its name only when it is complete; before that it is a `.partial` file beside it.

use std::fs::File;
use std::io::BufWriter;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, FloatType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{Type, TypePtr};

use super::partial::Partial;
use crate::error::{Error, Kind, Result};

/// A row group ends when it holds about this many bytes...
const GROUP_BYTES: usize = 32 << 20;
/// ...or this many rows.
const GROUP_ROWS: usize = 1 << 18;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// UTF-8 text, or null.
    Text,
    /// An f64.
    Number,
    /// An i64.
    Whole,
    /// A list of f32, of one length in all rows.
    Vector,
}

impl Holds {
    /// By the name Python users give: `text`, `number`, `whole`, `vector`.
    ///
    /// # Errors
    /// `Kind::Value` for any other.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "text" => Ok(Self::Text),
            "number" => Ok(Self::Number),
            "whole" => Ok(Self::Whole),
            "vector" => Ok(Self::Vector),
            _ => Err(Error::value(format!("expected a column of text, number, whole or vector, found {name}"))),
        }
    }
}

/// Values of one column, for some rows.
#[derive(Debug)]
pub enum Values {
    /// For [`Holds::Text`].
    Text(Vec<Option<String>>),
    /// For [`Holds::Number`].
    Numbers(Vec<f64>),
    /// For [`Holds::Whole`].
    Whole(Vec<i64>),
    /// For [`Holds::Vector`]: row after row, each of this width.
    Vectors(Vec<f32>, usize),
}

impl Values {
    fn rows(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Numbers(values) => values.len(),
            Self::Whole(values) => values.len(),
            Self::Vectors(values, width) => values.len().checked_div(*width).unwrap_or(0),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Text(values) => values.iter().map(|text| 16 + text.as_ref().map_or(0, String::len)).sum(),
            Self::Numbers(values) => values.len() * 8,
            Self::Whole(values) => values.len() * 8,
            Self::Vectors(values, _) => values.len() * 4,
        }
    }

    fn empty(holds: Holds) -> Self {
        match holds {
            Holds::Text => Self::Text(Vec::new()),
            Holds::Number => Self::Numbers(Vec::new()),
            Holds::Whole => Self::Whole(Vec::new()),
            Holds::Vector => Self::Vectors(Vec::new(), 0),
        }
    }

    /// Whether `more` is of the same kind and width.
    fn takes(&self, more: &Self) -> bool {
        match (self, more) {
            (Self::Vectors(_, width), Self::Vectors(more, found)) => *width == 0 || width == found || more.is_empty(),
            _ => std::mem::discriminant(self) == std::mem::discriminant(more),
        }
    }

    /// Takes the values of `more`, if it is of the same kind.
    fn append(&mut self, more: Self) {
        match (self, more) {
            (Self::Text(values), Self::Text(mut more)) => values.append(&mut more),
            (Self::Numbers(values), Self::Numbers(mut more)) => values.append(&mut more),
            (Self::Whole(values), Self::Whole(mut more)) => values.append(&mut more),
            (Self::Vectors(values, width), Self::Vectors(mut more, found)) => {
                if !more.is_empty() {
                    *width = found;
                }
                values.append(&mut more);
            }
            _ => {}
        }
    }

    /// Some of the rows, texts taken out of their places.
    fn take(&mut self, rows: Range<usize>) -> Self {
        match self {
            Self::Text(values) => Self::Text(values[rows].iter_mut().map(Option::take).collect()),
            Self::Numbers(values) => Self::Numbers(values[rows].to_vec()),
            Self::Whole(values) => Self::Whole(values[rows].to_vec()),
            Self::Vectors(values, width) => {
                Self::Vectors(values[rows.start * *width..rows.end * *width].to_vec(), *width)
            }
        }
    }

    /// Forgets the rows, and keeps a vector's width.
    fn clear(&mut self) {
        match self {
            Self::Text(values) => values.clear(),
            Self::Numbers(values) => values.clear(),
            Self::Whole(values) => values.clear(),
            Self::Vectors(values, _) => values.clear(),
        }
    }
}

/// A Parquet file in the making; dropped before [`Writer::finish`], it leaves nothing behind.
pub struct Writer {
    path: PathBuf,
    /// None once finished.
    inner: Option<(SerializedFileWriter<BufWriter<File>>, Partial)>,
    names: Vec<String>,
    waiting: Vec<Values>,
    /// Bytes of all that is waiting.
    bytes: usize,
    rows: u64,
}

impl Writer {
    /// Begins a file with these columns.
    ///
    /// # Errors
    /// `Kind::Value` for no columns or equal names; `Kind::Io` when the file cannot be made.
    pub fn create(path: &Path, columns: &[(String, Holds)]) -> Result<Self> {
        if columns.is_empty() {
            return Err(Error::value("a table needs at least one column"));
        }
        if let Some(name) = twice(columns) {
            return Err(Error::value(format!("two columns are called {name}")));
        }
        let schema = schema(columns).map_err(|e| failed(path, &e))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by("ferroute".to_owned())
            .build();
        let (partial, file) = Partial::create(path)?;
        let made = SerializedFileWriter::new(BufWriter::new(file), schema, Arc::new(properties));
        let inner = Some((made.map_err(|e| failed(path, &e))?, partial));
        let names = columns.iter().map(|(name, _)| name.clone()).collect();
        let waiting = columns.iter().map(|&(_, holds)| Values::empty(holds)).collect();
        Ok(Self { path: path.to_path_buf(), inner, names, waiting, bytes: 0, rows: 0 })
    }

    /// Adds rows; one value for each column, all of one length.
    ///
    /// # Errors
    /// `Kind::Value` when they do not fit the columns; `Kind::Io` when they cannot be written.
    pub fn write(&mut self, values: Vec<Values>) -> Result<()> {
        if self.inner.is_none() {
            return Err(Error::value("this table is finished"));
        }
        if values.len() != self.waiting.len() {
            let (expected, found) = (self.waiting.len(), values.len());
            return Err(Error::value(format!("expected values for {expected} columns, found {found}")));
        }
        let rows = values.first().map_or(0, Values::rows);
        if let Some((name, found)) = self.names.iter().zip(&values).find(|(_, values)| values.rows() != rows) {
            return Err(Error::value(format!("column {name} has {} rows, the first one {rows}", found.rows())));
        }
        // All of them first: rows that do not fit leave the table as it was.
        let mut sides = self.waiting.iter().zip(&values).zip(&self.names);
        if let Some((_, name)) = sides.find(|((waiting, values), _)| !waiting.takes(values)) {
            return Err(Error::value(format!("column {name} got values of another kind or width")));
        }
        let bytes: usize = values.iter().map(Values::bytes).sum();
        let step = GROUP_BYTES.checked_div(bytes.div_ceil(rows.max(1))).unwrap_or(GROUP_ROWS).clamp(1, GROUP_ROWS);
        if rows <= step {
            return self.add(values, rows);
        }
        // More than a group: cut, so that a reader need not hold all of it.
        let mut values = values;
        for from in (0..rows).step_by(step) {
            let range = from..rows.min(from + step);
            let count = range.len();
            self.add(values.iter_mut().map(|values| values.take(range.clone())).collect(), count)?;
        }
        Ok(())
    }

    fn add(&mut self, values: Vec<Values>, rows: usize) -> Result<()> {
        self.bytes += values.iter().map(Values::bytes).sum::<usize>();
        self.waiting.iter_mut().zip(values).for_each(|(waiting, values)| waiting.append(values));
        self.rows += rows as u64;
        if self.bytes >= GROUP_BYTES || self.waiting.first().is_some_and(|values| values.rows() >= GROUP_ROWS) {
            self.flush()?;
        }
        Ok(())
    }

    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Completes the file and gives it its name.
    ///
    /// # Errors
    /// `Kind::Io` when that cannot be done; `Kind::Value` when it was done before.
    pub fn finish(&mut self) -> Result<()> {
        self.flush()?;
        let Some((inner, partial)) = self.inner.take() else {
            return Err(Error::value("this table is finished"));
        };
        let buffer = inner.into_inner().map_err(|e| failed(&self.path, &e))?;
        let file = buffer.into_inner().map_err(|e| partial.failed(e.error()))?;
        partial.finish(&file)
    }

    fn flush(&mut self) -> Result<()> {
        let Some((inner, _)) = &mut self.inner else {
            return Err(Error::value("this table is finished"));
        };
        if self.waiting.first().is_none_or(|values| values.rows() == 0) {
            return Ok(());
        }
        let written = inner.next_row_group().and_then(|mut group| {
            self.waiting.iter().try_for_each(|values| column(&mut group, values))?;
            group.close().map(|_| ())
        });
        self.waiting.iter_mut().for_each(Values::clear);
        self.bytes = 0;
        written.map_err(|e| failed(&self.path, &e))
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({}, {} rows)", self.path.display(), self.rows)
    }
}

fn failed(path: &Path, error: &ParquetError) -> Error {
    Error::new(Kind::Io, format!("cannot write {}: {error}", path.display()))
}

fn twice(columns: &[(String, Holds)]) -> Option<&str> {
    let mut names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
}

fn schema(columns: &[(String, Holds)]) -> Result<TypePtr, ParquetError> {
    let fields = columns.iter().map(|(name, holds)| field(name, *holds).map(Arc::new));
    Type::group_type_builder("schema").with_fields(fields.collect::<Result<_, _>>()?).build().map(Arc::new)
}

fn field(name: &str, holds: Holds) -> Result<Type, ParquetError> {
    let plain = |kind| Type::primitive_type_builder(name, kind).with_repetition(Repetition::REQUIRED).build();
    match holds {
        Holds::Text => Type::primitive_type_builder(name, Physical::BYTE_ARRAY)
            .with_logical_type(Some(LogicalType::String))
            .with_repetition(Repetition::OPTIONAL)
            .build(),
        Holds::Number => plain(Physical::DOUBLE),
        Holds::Whole => plain(Physical::INT64),
        Holds::Vector => {
            let element = Type::primitive_type_builder("element", Physical::FLOAT)
                .with_repetition(Repetition::REQUIRED)
                .build()?;
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![Arc::new(element)])
                .build()?;
            Type::group_type_builder(name)
                .with_logical_type(Some(LogicalType::List))
                .with_repetition(Repetition::REQUIRED)
                .with_fields(vec![Arc::new(list)])
                .build()
        }
    }
}

fn column(group: &mut SerializedRowGroupWriter<'_, BufWriter<File>>, values: &Values) -> Result<(), ParquetError> {
    let Some(mut writer) = group.next_column()? else {
        return Err(ParquetError::General("a column too many".to_owned()));
    };
    match values {
        Values::Text(texts) => {
            let present: Vec<ByteArray> = texts.iter().flatten().map(|text| text.as_str().into()).collect();
            let levels: Vec<i16> = texts.iter().map(|text| i16::from(text.is_some())).collect();
            writer.typed::<ByteArrayType>().write_batch(&present, Some(&levels), None)?;
        }
        Values::Numbers(numbers) => {
            writer.typed::<DoubleType>().write_batch(numbers, None, None)?;
        }
        Values::Whole(numbers) => {
            writer.typed::<Int64Type>().write_batch(numbers, None, None)?;
        }
        Values::Vectors(numbers, width) => {
            let there = vec![1; numbers.len()];
            let begins: Vec<i16> = (0..numbers.len()).map(|i| i16::from(i % width.max(&1) != 0)).collect();
            writer.typed::<FloatType>().write_batch(numbers, Some(&there), Some(&begins))?;
        }
    }
    writer.close()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::data::columns::{self, Column};

    fn columns() -> Vec<(String, Holds)> {
        [("text", Holds::Text), ("number", Holds::Number), ("row", Holds::Whole)]
            .map(|(name, holds)| (name.to_owned(), holds))
            .to_vec()
    }

    fn rows(from: i64, count: i64) -> Vec<Values> {
        let numbers = from..from + count;
        vec![
            Values::Text(numbers.clone().map(|i| (i % 3 != 0).then(|| format!("t{i}"))).collect()),
            Values::Numbers(numbers.clone().map(|i| i as f64 / 8.0).collect()),
            Values::Whole(numbers.collect()),
        ]
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let mut writer = Writer::create(&path, &columns()).unwrap();
        writer.write(rows(0, 5)).unwrap();
        writer.write(rows(5, 0)).unwrap();
        // More than one row group.
        writer.write(rows(5, GROUP_ROWS as i64)).unwrap();
        writer.write(rows(5 + GROUP_ROWS as i64, 2)).unwrap();
        assert!(!path.exists());
        assert_eq!(writer.rows(), GROUP_ROWS as u64 + 7);
        writer.finish().unwrap();
        assert!(writer.finish().is_err() && writer.write(rows(0, 1)).is_err());
        let found = columns::read(&path, None).unwrap();
        let (Column::Text(texts), Column::Numbers(numbers), Column::Numbers(whole)) =
            (&found[0].1, &found[1].1, &found[2].1)
        else {
            panic!("other kinds of columns");
        };
        assert_eq!(texts.len(), GROUP_ROWS + 7);
        assert_eq!((texts[0].as_deref(), texts[7].as_deref()), (None, Some("t7")));
        assert!(numbers.iter().zip(whole).enumerate().all(|(i, (n, w))| *w == i as f64 && *n == w / 8.0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_large_write_is_cut_into_groups() {
        use parquet::file::reader::{FileReader, SerializedFileReader};
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let named = [("v".to_owned(), Holds::Vector), ("t".to_owned(), Holds::Text)];
        let mut writer = Writer::create(&path, &named).unwrap();
        let (rows, width) = (GROUP_BYTES / 1024 * 2 + 3, 256);
        let numbers = (0..rows * width).map(|i| (i / width) as f32).collect();
        let texts = (0..rows).map(|row| Some(row.to_string())).collect();
        writer.write(vec![Values::Vectors(numbers, width), Values::Text(texts)]).unwrap();
        assert_eq!(writer.rows(), rows as u64);
        writer.finish().unwrap();
        assert_eq!(SerializedFileReader::new(File::open(&path).unwrap()).unwrap().num_row_groups(), 3);
        let found = crate::data::matrix::read(std::slice::from_ref(&path), None, 1).unwrap();
        assert!(found.numbers.values().iter().enumerate().all(|(i, &n)| n == (i / width) as f32));
        let Column::Text(texts) = &columns::read(&path, Some(&["t"])).unwrap()[0].1 else { panic!("no texts") };
        assert!(texts.iter().enumerate().all(|(row, text)| text.as_deref() == Some(row.to_string().as_str())));
        assert_eq!(texts.len(), rows);
    }

    #[test]
    fn a_table_that_is_not_finished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let mut writer = Writer::create(&path, &columns()).unwrap();
        writer.write(rows(0, 5)).unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(Writer::create(&folder.path().join("no/such/a.parquet"), &columns()).is_err());
        fs::create_dir(&path).unwrap();
        let mut writer = Writer::create(&path, &columns()).unwrap();
        assert!(writer.finish().unwrap_err().message().contains("cannot write"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        assert!(Writer::create(&path, &[]).is_err());
        let double = [("a".to_owned(), Holds::Text), ("a".to_owned(), Holds::Number)];
        assert!(Writer::create(&path, &double).is_err());
        let mut writer = Writer::create(&path, &[("v".to_owned(), Holds::Vector)]).unwrap();
        assert!(writer.write(vec![]).is_err());
        assert!(writer.write(vec![Values::Numbers(vec![1.0])]).is_err());
        writer.write(vec![Values::Vectors(vec![1.0, 2.0], 2)]).unwrap();
        assert!(writer.write(vec![Values::Vectors(vec![1.0, 2.0, 3.0], 3)]).is_err());
        let two = [("t".to_owned(), Holds::Number), ("v".to_owned(), Holds::Vector)];
        let path = folder.path().join("two.parquet");
        let mut writer = Writer::create(&path, &two).unwrap();
        let row = |width: usize| vec![Values::Numbers(vec![1.0]), Values::Vectors(vec![1.0; width], width)];
        writer.write(row(2)).unwrap();
        assert!(writer.write(row(3)).unwrap_err().message().contains("column v got values of another kind or width"));
        // What did not fit left nothing behind.
        writer.write(row(2)).unwrap();
        writer.finish().unwrap();
        assert_eq!(columns::read(&path, Some(&["t"])).unwrap()[0].1, Column::Numbers(vec![1.0; 2]));
        let mut writer = Writer::create(&folder.path().join("b"), &columns()).unwrap();
        let mut uneven = rows(0, 5);
        uneven[2] = Values::Whole(vec![1]);
        assert!(writer.write(uneven).unwrap_err().message().contains("column row has 1 rows"));
    }
}
