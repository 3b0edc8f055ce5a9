//! Objects: one a line, or all of them in one list. A field that an object leaves out is null.

use std::fmt;
use std::fs::File;
use std::io::Read;

use serde::de::{Deserializer, SeqAccess, Visitor};
use serde_json::Value;

use super::{Budget, Column, Growing, no_column};
use crate::data::prompts::json::{kind, value, without_lone_surrogates};
use crate::data::prompts::lines::{Line, Lines, byte_order_mark};
use crate::data::reading::{not_utf8, read_error};
use crate::error::{Error, Result};

/// One object a line.
pub(super) fn lines(file: File, wanted: Option<&[&str]>, budget: &mut Budget) -> Result<Vec<(String, Column)>> {
    let mut table = Table::new(wanted, budget);
    let mut lines = Lines::new(Box::new(file));
    while let Some((row, line)) = lines.next()? {
        match line {
            Line::Bad(error) => return Err(error),
            Line::Text(line) => value(line)
                .map_err(Error::value)
                .and_then(|value| table.push(value))
                .map_err(|error| error.context(format!("line {row}")))?,
        }
    }
    table.finish()
}

/// A list of objects. The text is held while it is read, the objects one at a time.
pub(super) fn list(mut file: File, wanted: Option<&[&str]>, budget: &mut Budget) -> Result<Vec<(String, Column)>> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(|error| read_error(&error))?;
    let start = byte_order_mark(&bytes)?;
    let text = std::str::from_utf8(&bytes[start..]).map_err(|error| not_utf8("its text", "file", &bytes, error))?;
    let repaired = without_lone_surrogates(text);
    let mut table = Table::new(wanted, budget);
    let mut failed = None;
    let mut read = serde_json::Deserializer::from_str(repaired.as_deref().unwrap_or(text));
    let seen = read.deserialize_seq(Objects { table: &mut table, failed: &mut failed }).and_then(|()| read.end());
    match (failed, seen) {
        (Some(error), _) => Err(error),
        (None, Err(error)) => Err(Error::value(format!("is not JSON: {error}"))),
        (None, Ok(())) => table.finish(),
    }
}

/// Puts the objects of a list into a table; what the table refuses is kept in `failed`.
struct Objects<'a, 'b> {
    table: &'a mut Table<'b>,
    failed: &'a mut Option<Error>,
}

impl<'de> Visitor<'de> for Objects<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut objects: A) -> Result<(), A::Error> {
        while let Some(value) = objects.next_element()? {
            if let Err(error) = self.table.push(value) {
                *self.failed = Some(error.context(format!("row {}", self.table.rows + 1)));
                return Err(serde::de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

/// The columns so far.
struct Table<'a> {
    /// Only the wanted ones, where some are; otherwise in the order in which they were met.
    columns: Vec<(String, Growing)>,
    places: std::collections::HashMap<String, usize>,
    all: bool,
    /// Names that were met and not asked for, to be named where a wanted one is not there.
    others: Vec<String>,
    rows: usize,
    budget: &'a mut Budget,
}

impl<'a> Table<'a> {
    const OTHERS: usize = 64;

    fn new(wanted: Option<&[&str]>, budget: &'a mut Budget) -> Self {
        let names = wanted.unwrap_or_default().iter().map(|&name| name.to_owned());
        let columns: Vec<_> = names.map(|name| (name, Growing::default())).collect();
        let places = columns.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
        Self { columns, places, all: wanted.is_none(), others: Vec::new(), rows: 0, budget }
    }

    fn push(&mut self, value: Value) -> Result<()> {
        let Value::Object(object) = value else {
            return Err(Error::value(format!("expected an object, found {}", kind(&value))));
        };
        for (name, value) in object {
            let at = match self.places.get(&name) {
                Some(&at) => at,
                None if self.all => {
                    self.places.insert(name.clone(), self.columns.len());
                    self.columns.push((name.clone(), Growing::default()));
                    self.columns.len() - 1
                }
                None => {
                    if self.others.len() < Self::OTHERS && !self.others.contains(&name) {
                        self.others.push(name);
                    }
                    continue;
                }
            };
            let column = &mut self.columns[at].1;
            fill(column, self.rows, self.budget)?;
            let pushed = match value {
                Value::Null => column.null(self.budget),
                Value::Bool(truth) => column.number(f64::from(u8::from(truth)), self.budget),
                Value::Number(number) => column.number(number.as_f64().unwrap_or(f64::NAN), self.budget),
                Value::String(text) => column.text(Some(text), self.budget),
                nested => column.text(Some(nested.to_string()), self.budget),
            };
            pushed.map_err(|error| error.context(format!("`{name}`")))?;
        }
        self.rows += 1;
        Ok(())
    }

    fn finish(self) -> Result<Vec<(String, Column)>> {
        let Self { columns, others, rows, budget, .. } = self;
        if let Some((missing, _)) = columns.iter().find(|(_, column)| column.len() == 0) {
            let there = columns.iter().filter(|(_, column)| column.len() > 0).map(|(name, _)| name.as_str());
            return Err(no_column(missing, there.chain(others.iter().map(String::as_str))));
        }
        columns
            .into_iter()
            .map(|(name, mut column)| {
                fill(&mut column, rows, budget)?;
                Ok((name, column.finish()))
            })
            .collect()
    }
}

/// Nulls for the rows that left the field out.
fn fill(column: &mut Growing, rows: usize, budget: &mut Budget) -> Result<()> {
    while column.len() < rows {
        column.null(budget)?;
    }
    Ok(())
}
