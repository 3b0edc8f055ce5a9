//! Columns of a table as texts or numbers: Parquet, Arrow IPC (stream and file), JSON and CSV.
//!
//! | format | found by | columns |
//! |---|---|---|
//! | Parquet | `.parquet`, `.pq`, or its first bytes | strings, numbers, booleans, lists of strings |
//! | Arrow IPC | `.arrow`, `.feather`, `.ipc`, or its first bytes | the same |
//! | JSONL | `.jsonl`, `.ndjson`, `.json` | fields of one object a line |
//! | JSON | `.json` that begins with `[` | fields of the objects of one list |
//! | CSV | `.csv` | named by the header; numbers where every field that is not empty is one |
//!
//! Lists come as their JSON text, so a prompt of several turns reads alike whether a file holds a list or its text.
//! Rows are numbered from 1 in messages, as [`super::prompts`] does.

pub(super) mod arrow;
mod csv;
mod json;
mod parquet;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::path::Path;

use super::reading::listed;
use crate::error::{Error, Kind, Result};

/// One column, a value for each row.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Texts, or the JSON texts of lists; `None` is null.
    Text(Vec<Option<String>>),
    /// Numbers; null is NaN, booleans are 0 and 1, integers are exact below 2^53.
    Numbers(Vec<f64>),
}

impl Column {
    /// How many rows it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(texts) => texts.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }

    /// Whether it has no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads the columns called `wanted`, in that order, each once; by default all that hold texts or numbers, in the file's order.
///
/// What is read may take 64 times the file's size in memory, at least 256 MiB: a small file can unpack to anything.
///
/// # Errors
/// [`Kind::Missing`] or [`Kind::Io`] where the file cannot be read, [`Kind::Name`] for a column it does not have (those
/// it has are named), [`Kind::Value`] for a column of another kind, a bad row (its number is named) and a damaged file.
pub fn read(path: &Path, wanted: Option<&[&str]>) -> Result<Vec<(String, Column)>> {
    read_with_texts(path, wanted, &[])
}

/// As [`read`]; of CSV, where a field may be meant as either, columns called as in `texts` are never numbers.
pub fn read_with_texts(path: &Path, wanted: Option<&[&str]>, texts: &[&str]) -> Result<Vec<(String, Column)>> {
    let once = wanted.map(|wanted| {
        let first = |&(at, name): &(usize, &&str)| !wanted[..at].contains(name);
        wanted.iter().enumerate().filter(first).map(|(_, &name)| name).collect::<Vec<_>>()
    });
    let wanted = once.as_deref();
    let name = path.display();
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::new(Kind::Missing, format!("{name}: no such file")),
        _ => Error::new(Kind::Io, format!("{name}: cannot be opened: {error}")),
    })?;
    let unreadable = |error: io::Error| Error::new(Kind::Io, format!("{name}: cannot be read: {error}"));
    let data = file.metadata().map_err(unreadable)?;
    if data.is_dir() {
        return Err(Error::new(Kind::Io, format!("{name}: is a folder, expected a table")));
    }
    let mut start = Vec::new();
    (&mut file).take(8).read_to_end(&mut start).map_err(unreadable)?;
    let layout = Layout::of(path, &start)?;
    file.rewind().map_err(unreadable)?;
    let mut budget = Budget::new(data.len());
    match layout {
        Layout::Parquet => parquet::read(file, wanted, &mut budget),
        Layout::Arrow => arrow::read(file, data.len(), wanted, &mut budget),
        Layout::Csv => csv::read(file, wanted, texts, &mut budget),
        Layout::Lines => json::lines(file, wanted, &mut budget),
        Layout::List => json::list(file, wanted, &mut budget),
    }
    .map_err(|error| error.context(name))
}

/// How a table is laid out in a file.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Layout {
    Parquet,
    Arrow,
    Csv,
    Lines,
    List,
}

impl Layout {
    /// By the extension; where that says nothing, by the file's first bytes.
    fn of(path: &Path, start: &[u8]) -> Result<Self> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        Ok(match extension.as_deref() {
            Some("parquet" | "pq") => Self::Parquet,
            Some("arrow" | "feather" | "ipc") => Self::Arrow,
            Some("csv") => Self::Csv,
            Some("json") if start.trim_ascii_start().starts_with(b"[") => Self::List,
            Some("json" | "jsonl" | "ndjson") => Self::Lines,
            _ if start.starts_with(b"PAR1") => Self::Parquet,
            _ if start.starts_with(b"ARROW1") || start.starts_with(&[0xff; 4]) => Self::Arrow,
            _ => {
                return Err(Error::value(format!(
                    "{}: does not say how its table is laid out: expected a name that ends in .parquet, .arrow, .csv, \
                     .jsonl or .json",
                    path.display()
                )));
            }
        })
    }
}

/// How much memory the values of a file may take.
struct Budget {
    left: usize,
    most: usize,
}

impl Budget {
    /// What any file may take: a column of one repeated value is honest at a thousandth of its size.
    const LEAST: usize = 256 << 20;

    fn new(bytes: u64) -> Self {
        let most = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_mul(64).max(Self::LEAST);
        Self { left: most, most }
    }

    fn take(&mut self, bytes: usize) -> Result<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Error::value(format!("its columns take more than {} MiB unpacked", self.most >> 20))),
        }
    }

    /// Fails where there is no room for `rows` more values, and takes nothing.
    fn fits_rows(&mut self, rows: usize) -> Result<()> {
        let left = self.left;
        self.take_rows(rows)?;
        self.left = left;
        Ok(())
    }

    /// Takes what `rows` texts or nulls occupy, without their bytes.
    fn take_rows(&mut self, rows: usize) -> Result<()> {
        self.take(rows.saturating_mul(size_of::<Option<String>>()))
    }
}

/// A column as it grows: its kind is that of its first value.
#[derive(Default)]
enum Growing {
    #[default]
    Unknown,
    /// So many nulls, and nothing else yet.
    Nulls(usize),
    Text(Vec<Option<String>>),
    Numbers(Vec<f64>),
}

impl Growing {
    fn len(&self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::Nulls(nulls) => *nulls,
            Self::Text(texts) => texts.len(),
            Self::Numbers(numbers) => numbers.len(),
        }
    }

    fn text(&mut self, text: Option<String>, budget: &mut Budget) -> Result<()> {
        budget.take_rows(1)?;
        budget.take(text.as_ref().map_or(0, String::len))?;
        match self {
            Self::Text(texts) => texts.push(text),
            Self::Numbers(_) => return Err(Error::value("expected a number as in the rows before, found a text")),
            Self::Unknown | Self::Nulls(_) => {
                let mut texts = vec![None; self.len()];
                texts.push(text);
                *self = Self::Text(texts);
            }
        }
        Ok(())
    }

    fn number(&mut self, number: f64, budget: &mut Budget) -> Result<()> {
        budget.take(size_of::<f64>())?;
        match self {
            Self::Numbers(numbers) => numbers.push(number),
            Self::Text(_) => return Err(Error::value("expected a text as in the rows before, found a number")),
            Self::Unknown | Self::Nulls(_) => {
                let mut numbers = vec![f64::NAN; self.len()];
                numbers.push(number);
                *self = Self::Numbers(numbers);
            }
        }
        Ok(())
    }

    fn null(&mut self, budget: &mut Budget) -> Result<()> {
        budget.take_rows(1)?;
        match self {
            Self::Text(texts) => texts.push(None),
            Self::Numbers(numbers) => numbers.push(f64::NAN),
            Self::Unknown => *self = Self::Nulls(1),
            Self::Nulls(nulls) => *nulls += 1,
        }
        Ok(())
    }

    /// The column; one that never had a value is one of null texts.
    fn finish(self) -> Column {
        match self {
            Self::Unknown => Column::Text(Vec::new()),
            Self::Nulls(nulls) => Column::Text(vec![None; nulls]),
            Self::Text(texts) => Column::Text(texts),
            Self::Numbers(numbers) => Column::Numbers(numbers),
        }
    }
}

/// The JSON text of a list of strings.
fn json_list(items: &[Option<&str>]) -> Result<String> {
    serde_json::to_string(items).map_err(|error| Error::value(error.to_string()))
}

/// What is said of a column that a file does not have.
fn no_column<'a>(name: &str, there: impl IntoIterator<Item = &'a str>) -> Error {
    Error::new(Kind::Name, format!("has no column `{name}`: its columns are {}", listed(there)))
}

/// What is said of a column whose values are neither texts nor numbers.
fn other_kind(name: &str, found: &str) -> Error {
    Error::value(format!("column `{name}`: expected texts or numbers, found {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn text(values: &[Option<&str>]) -> Column {
        Column::Text(values.iter().map(|value| value.map(str::to_owned)).collect())
    }

    #[test]
    fn jsonl_has_fields_nulls_lists_and_lone_surrogates() {
        let (_folder, path) = file(
            "a.jsonl",
            b"{\"a\": 1, \"b\": [\"x\", \"\\ud800\"]}\n\n{\"b\": null, \"a\": true, \"c\": \"y\"}\n{\"a\": null}\n",
        );
        let columns = read(&path, None).unwrap();
        let names: Vec<_> = columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        let Column::Numbers(a) = &columns[0].1 else { panic!("numbers expected") };
        assert!(a[0] == 1.0 && a[1] == 1.0 && a[2].is_nan());
        assert_eq!(columns[1].1, text(&[Some("[\"x\",\"\u{fffd}\"]"), None, None]));
        assert_eq!(columns[2].1, text(&[None, Some("y"), None]));
    }

    #[test]
    fn a_json_list_reads_as_its_lines_do() {
        let (_one, lines) = file("a.json", b"{\"a\": 1.5}\n{\"a\": 2}\n");
        let (_two, list) = file("b.json", b" [\n{\"a\": 1.5},\n{\"a\": 2} ]\n");
        assert_eq!(read(&lines, None).unwrap(), read(&list, None).unwrap());
        let (_three, bad) = file("c.json", b"[{\"a\": 1}, {\"a\": \"x\"}]");
        let error = read(&bad, None).unwrap_err();
        assert!(error.message().contains("c.json: row 2: `a`: expected a number"), "{error}");
        let (_four, cut) = file("d.json", b"[{\"a\": 1}, {\"a\"");
        assert!(read(&cut, None).unwrap_err().message().contains("is not JSON"));
    }

    #[test]
    fn csv_columns_are_numbers_only_if_all_fields_are() {
        let (_folder, path) = file("a.csv", b"a,b,c,d\n1,x,True,\n,2,false,\n1e-3,\"y,\n\",TRUE,\n");
        let columns = read(&path, None).unwrap();
        let Column::Numbers(a) = &columns[0].1 else { panic!("numbers expected") };
        assert!(a[0] == 1.0 && a[1].is_nan() && a[2] == 0.001);
        assert_eq!(columns[1].1, text(&[Some("x"), Some("2"), Some("y,\n")]));
        assert_eq!(columns[2].1, Column::Numbers(vec![1.0, 0.0, 1.0]));
        assert_eq!(columns[3].1, text(&[Some(""), Some(""), Some("")]));
    }

    #[test]
    fn texts_of_a_csv_may_look_like_numbers() {
        let (_folder, path) = file("a.csv", b"model,n\n1,2\n007,3\n");
        let columns = read_with_texts(&path, None, &["model"]).unwrap();
        assert_eq!(columns[0].1, text(&[Some("1"), Some("007")]));
        assert_eq!(columns[1].1, Column::Numbers(vec![2.0, 3.0]));
    }

    #[test]
    fn a_column_that_is_asked_for_twice_comes_once() {
        for (name, content) in
            [("a.csv", &b"a,b\n1,2\n"[..]), ("a.jsonl", b"{\"a\": 1, \"b\": 2}"), ("a.json", b"[{\"a\": 1}]")]
        {
            let (_folder, path) = file(name, content);
            let columns = read(&path, Some(&["a", "a"])).unwrap();
            assert_eq!(columns, [("a".to_owned(), Column::Numbers(vec![1.0]))], "{name}");
        }
    }

    #[test]
    fn errors_name_file_row_and_columns() {
        let (_folder, path) = file("a.csv", b"a,b\n1,2\n3\n");
        let error = read(&path, None).unwrap_err();
        assert!(error.message().contains("a.csv: row 2 (line 3): expected 2 fields"), "{error}");
        let error = read(&path, Some(&["mf"])).unwrap_err();
        assert_eq!(error.kind(), Kind::Name);
        assert!(error.message().ends_with("has no column `mf`: its columns are `a` and `b`"), "{error}");
        let (_other, path) = file("a.jsonl", b"{\"a\": 1}\n[1]\n");
        let error = read(&path, None).unwrap_err();
        assert!(error.message().contains("line 2: expected an object, found a list"), "{error}");
        assert_eq!(read(Path::new("/nowhere/x.csv"), None).unwrap_err().kind(), Kind::Missing);
        let (_third, path) = file("notes", b"hello");
        assert!(read(&path, None).unwrap_err().message().contains("does not say how"));
    }

    #[test]
    fn damaged_files_are_errors() {
        for name in ["a.parquet", "a.arrow", "a.feather"] {
            for content in
                [&b""[..], b"PAR1", b"PAR1\x04\0\0\0PAR1", b"ARROW1\0\0", b"\xff\xff\xff\xff\xff\xff\xff\x7f"]
            {
                let (_folder, path) = file(name, content);
                let error = read(&path, None).unwrap_err();
                assert_eq!(error.kind(), Kind::Value, "{name}: {error}");
            }
        }
    }

    #[test]
    fn the_budget_ends_the_reading() {
        let mut budget = Budget { left: 100, most: 100 };
        let mut column = Growing::default();
        column.null(&mut budget).unwrap();
        column.text(Some("x".repeat(40)), &mut budget).unwrap();
        assert!(column.text(Some(String::new()), &mut budget).is_err());
    }
}
