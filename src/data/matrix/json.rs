//! A field with a list of numbers, one object a line.

use std::fs::File;
use std::path::Path;

use serde_json::Value;

use super::{COLUMNS, Layout, opened, wrong_count};
use crate::data::prompts::json::value;
use crate::data::prompts::lines::{Line, Lines as Reader};
use crate::error::{Error, Kind, Result};

/// The lines of a file.
pub(super) struct Lines {
    field: String,
    rows: usize,
    cols: usize,
}

impl Lines {
    pub(super) fn open(file: File, column: Option<&str>) -> Result<Self> {
        let mut reader = Reader::new(Box::new(file));
        let mut found = Self { field: String::new(), rows: 0, cols: 0 };
        while let Some((row, line)) = reader.next()? {
            let line = text(line)?;
            if found.rows == 0 {
                let value = value(line).map_err(|error| Error::value(format!("line {row}: {error}")))?;
                found.field = column.map_or_else(|| first(&value), |name| Some(name.to_owned())).ok_or_else(|| {
                    Error::value(format!("line {row}: expected an object with a list of numbers `embeddings`"))
                })?;
                found.cols = numbers(&value, &found.field).map_err(|error| error.context(format!("line {row}")))?.len();
            }
            found.rows += 1;
        }
        Ok(found)
    }
}

fn text(line: Line<'_>) -> Result<&str> {
    match line {
        Line::Text(text) => Ok(text),
        Line::Bad(error) => Err(error),
    }
}

/// The first of [`COLUMNS`] that the object has, else its only list of numbers.
fn first(value: &Value) -> Option<String> {
    if let Some(name) = COLUMNS.into_iter().find(|name| value.get(name).is_some()) {
        return Some(name.to_owned());
    }
    let is_list = |value: &Value| value.as_array().is_some_and(|list| list.iter().all(Value::is_number));
    let mut lists = value.as_object()?.iter().filter(|(_, value)| is_list(value));
    let (name, _) = lists.next()?;
    lists.next().is_none().then(|| name.clone())
}

fn numbers<'a>(value: &'a Value, field: &str) -> Result<&'a Vec<Value>> {
    match value.get(field) {
        Some(Value::Array(numbers)) => Ok(numbers),
        Some(_) => Err(Error::value(format!("`{field}`: expected a list of numbers"))),
        None => Err(Error::new(Kind::Name, format!("expected an object with a list of numbers `{field}`"))),
    }
}

impl Layout for Lines {
    fn pieces(&self) -> Vec<usize> {
        vec![self.rows]
    }

    fn cols(&self) -> usize {
        self.cols
    }

    fn read(&self, path: &Path, _piece: usize, first: usize, cols: usize, out: &mut [f32]) -> Result<()> {
        let mut read = || {
            let mut reader = Reader::new(Box::new(opened(path)?.0));
            let mut rows = out.chunks_exact_mut(cols.max(1));
            while let Some((row, line)) = reader.next()? {
                let at = |error: Error| error.context(format!("line {row}"));
                let value = value(text(line)?).map_err(|error| at(Error::value(error)))?;
                let numbers = numbers(&value, &self.field).map_err(at)?;
                let out = rows.next().ok_or_else(|| wrong_count(first))?;
                if numbers.len() != cols {
                    return Err(at(Error::value(format!("expected {cols} numbers, found {}", numbers.len()))));
                }
                for (slot, number) in out.iter_mut().zip(numbers) {
                    let number = number.as_f64().ok_or_else(|| at(Error::value(format!("found {number:.40}"))))?;
                    *slot = number as f32;
                }
            }
            if rows.next().is_none() { Ok(()) } else { Err(wrong_count(first)) }
        };
        read().map_err(|error: Error| error.context(path.display()))
    }
}
