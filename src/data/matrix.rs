//! Matrices of embeddings, read as f32 rows from any number of files, on several threads.
//!
//! | format | found by | a row is |
//! |---|---|---|
//! | numpy | `.npy` | a row of a matrix of float16, float32 or float64, C or Fortran order |
//! | Parquet | `.parquet`, `.pq` | a value of a column of lists of float or double |
//! | Arrow IPC | `.arrow`, `.feather`, `.ipc` | a value of a column of lists (of fixed size or not) of float numbers |
//! | JSONL | `.jsonl`, `.ndjson` | a field with a list of numbers, one object a line |
//!
//! A file is read in pieces (row groups, blocks of rows), straight into the matrix. What is held beside it is a page or
//! a batch for each thread.

mod arrow;
mod json;
mod npy;
mod parquet;
mod store;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use store::Numbers;

use super::reading::listed;
use crate::error::{Error, Kind, Result};
use crate::math::threads;

/// The columns that are looked for when none is named; else the only one that holds lists of numbers.
const COLUMNS: [&str; 2] = ["embeddings", "embedding"];

/// The most numbers that a file of this size may hold: embeddings hardly compress, but a toy's may.
fn most_numbers(bytes: u64) -> usize {
    usize::try_from(bytes.saturating_mul(16).saturating_add(1 << 24)).unwrap_or(usize::MAX)
}

/// Rows of f32 with the Euclidean norm of each.
#[derive(Debug)]
pub struct Matrix {
    /// `[rows, cols]`, C order, all finite.
    pub numbers: Numbers,
    /// Norm of each row, computed in f64.
    pub norms: Vec<f64>,
    /// Numbers in a row.
    pub cols: usize,
}

/// Reads files one after the other into one matrix. All must have rows of one width.
///
/// `column` names the list column of Parquet, Arrow and JSONL files; None: `embeddings`, `embedding`, or the only one.
///
/// # Errors
/// `Kind::Missing` and `Kind::Io` where a file cannot be read; `Kind::Value` where it is not of its format, where rows
/// differ in width, and for a null, a NaN or an infinity (file and row are named).
pub fn read(files: &[PathBuf], column: Option<&str>, threads: usize) -> Result<Matrix> {
    let tables = files.iter().map(|path| Table::open(path, column)).collect::<Result<Vec<_>>>()?;
    let cols = width(&tables)?;
    let rows = tables.iter().try_fold(0_usize, |sum, table| sum.checked_add(table.rows()));
    let mut numbers = rows.and_then(|rows| Numbers::zeros(rows.checked_mul(cols)?)).ok_or_else(|| {
        let rows: u128 = tables.iter().map(|table| table.rows() as u128).sum();
        Error::value(format!("a matrix of {rows} x {cols} numbers does not fit into memory"))
    })?;
    let mut norms = vec![0.0; rows.unwrap_or(0)];
    let mut jobs = Vec::new();
    let (mut rest, mut rest_norms) = (numbers.values_mut(), norms.as_mut_slice());
    for table in &tables {
        let mut first = 0;
        for (piece, rows) in table.pieces().into_iter().enumerate() {
            let (out, after) = rest.split_at_mut(rows * cols);
            let (out_norms, after_norms) = rest_norms.split_at_mut(rows);
            (rest, rest_norms) = (after, after_norms);
            jobs.push(Job { table, piece, first, out, norms: out_norms });
            first += rows;
        }
    }
    let count = jobs.len();
    let jobs = Mutex::new(jobs.into_iter().enumerate());
    let failed = Mutex::new(None::<(usize, Error)>);
    threads::share(threads.min(count), || {
        loop {
            let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, job)) = next else { break };
            if let Err(error) = job.run(cols) {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                if failed.as_ref().is_none_or(|(first, _)| index < *first) {
                    *failed = Some((index, error));
                }
                break;
            }
        }
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some((_, error)) => Err(error),
        None => Ok(Matrix { numbers, norms, cols }),
    }
}

fn width(tables: &[Table]) -> Result<usize> {
    let mut known: Option<(&Table, usize)> = None;
    for table in tables.iter().filter(|table| table.rows() > 0) {
        let cols = table.cols();
        match known {
            None => known = Some((table, cols)),
            Some((first, width)) if width != cols => {
                return Err(Error::value(format!(
                    "{}: has rows of {cols} numbers, those of {} have {width}",
                    table.name(),
                    first.name()
                )));
            }
            Some(_) => {}
        }
    }
    match known {
        Some((table, 0)) => Err(Error::value(format!("{}: has rows without numbers", table.name()))),
        known => Ok(known.map_or(0, |(_, cols)| cols)),
    }
}

/// A piece of a file and where it goes.
struct Job<'a> {
    table: &'a Table,
    piece: usize,
    /// Row of the file that the piece begins with.
    first: usize,
    out: &'a mut [f32],
    norms: &'a mut [f64],
}

impl Job<'_> {
    fn run(self, cols: usize) -> Result<()> {
        self.table.layout.read(&self.table.path, self.piece, self.first, cols, self.out)?;
        for (row, (numbers, norm)) in self.out.chunks_exact(cols.max(1)).zip(self.norms).enumerate() {
            *norm = square_sum(numbers).sqrt();
            if !norm.is_finite() {
                let at = numbers.iter().position(|x| !x.is_finite()).unwrap_or(0);
                let what = if numbers[at].is_nan() { "NaN" } else { "an infinity (or a number beyond float32)" };
                let row = self.first + row + 1;
                return Err(Error::value(format!("{}: row {row} holds {what} (in place {at})", self.table.name())));
            }
        }
        Ok(())
    }
}

/// Sum of squares in f64: exact products, in 16 sums side by side so that it runs at the speed of memory.
pub(crate) fn square_sum(numbers: &[f32]) -> f64 {
    let (chunks, rest) = numbers.as_chunks::<16>();
    let mut sums = [0.0_f64; 16];
    for chunk in chunks {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    let rest: f64 = rest.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    sums.iter().sum::<f64>() + rest
}

/// An opened file: its shape is known, its numbers are not read.
struct Table {
    path: PathBuf,
    layout: Box<dyn Layout>,
}

/// One format.
trait Layout: Send + Sync {
    /// Rows of each piece.
    fn pieces(&self) -> Vec<usize>;

    /// Numbers in a row; any, where there is none.
    fn cols(&self) -> usize;

    /// Reads a piece, of which the first row is the file's row `first`, into `out`: as many rows of `cols` numbers.
    fn read(&self, path: &Path, piece: usize, first: usize, cols: usize, out: &mut [f32]) -> Result<()>;
}

impl Table {
    fn open(path: &Path, column: Option<&str>) -> Result<Self> {
        let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
        let (file, bytes) = opened(path)?;
        let layout: Result<Box<dyn Layout>> = match extension.as_deref() {
            Some("npy") => npy::Npy::open(file, bytes).map(boxed),
            Some("parquet" | "pq") => parquet::Lists::open(file, bytes, column).map(boxed),
            Some("arrow" | "feather" | "ipc") => arrow::Batches::open(file, bytes, column).map(boxed),
            Some("jsonl" | "ndjson") => json::Lines::open(file, column).map(boxed),
            _ => Err(Error::value(
                "does not say how its numbers are laid out: expected a name that ends in .npy, .parquet, .arrow or \
                 .jsonl",
            )),
        };
        let layout = layout.map_err(|error| error.context(path.display()))?;
        let table = Self { path: path.to_path_buf(), layout };
        if table.rows().saturating_mul(table.cols()) > most_numbers(bytes) {
            let (rows, cols) = (table.rows(), table.cols());
            return Err(Error::value(format!(
                "{}: claims {rows} rows of {cols} numbers in {bytes} bytes",
                path.display()
            )));
        }
        Ok(table)
    }

    fn name(&self) -> std::path::Display<'_> {
        self.path.display()
    }

    fn pieces(&self) -> Vec<usize> {
        self.layout.pieces()
    }

    fn rows(&self) -> usize {
        self.pieces().iter().fold(0, |sum: usize, &rows| sum.saturating_add(rows))
    }

    fn cols(&self) -> usize {
        self.layout.cols()
    }
}

fn boxed<'a>(layout: impl Layout + 'a) -> Box<dyn Layout + 'a> {
    Box::new(layout)
}

/// A file and its size.
fn opened(path: &Path) -> Result<(File, u64)> {
    let name = path.display();
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::new(Kind::Missing, format!("{name}: no such file")),
        _ => Error::new(Kind::Io, format!("{name}: cannot be opened: {error}")),
    })?;
    let data = file.metadata().map_err(|error| Error::new(Kind::Io, format!("{name}: cannot be read: {error}")))?;
    if data.is_dir() {
        return Err(Error::new(Kind::Io, format!("{name}: is a folder, expected a file of embeddings")));
    }
    Ok((file, data.len()))
}

/// The column asked for among those that hold lists of numbers, else the first of [`COLUMNS`], else the only one.
fn choose<'a>(lists: &[&'a str], all: &[&str], column: Option<&str>) -> Result<&'a str> {
    let find = |name: &str| lists.iter().copied().find(|list| *list == name);
    let there = || listed(lists.iter().copied());
    if let Some(name) = column {
        return find(name).ok_or_else(|| {
            if all.contains(&name) {
                let lists = there();
                return Error::value(format!(
                    "column `{name}`: expected lists of numbers; columns of such are {lists}"
                ));
            }
            Error::new(Kind::Name, format!("has no column `{name}`: its columns of lists of numbers are {}", there()))
        });
    }
    match (COLUMNS.into_iter().find_map(find), lists) {
        (Some(name), _) | (None, &[name]) => Ok(name),
        _ => Err(Error::value(format!(
            "expected a column `embeddings` of lists of numbers; such columns are {}",
            there()
        ))),
    }
}

/// What is said of a row of another width.
fn wrong_width(row: usize, found: impl std::fmt::Display, cols: usize) -> Error {
    Error::value(format!("row {row}: expected a list of {cols} numbers as in the rows before, found {found}"))
}

/// What is said when a file has other rows than its header or its first reading promised.
fn wrong_count(first: usize) -> Error {
    Error::value(format!("the rows from {} on are not as many as the file says", first + 1))
}

#[cfg(test)]
mod tests;
