//! CSV with a header line. A column is one of numbers if every field that is not empty is a number, or `true`/`false`.

use std::fs::File;

use super::{Budget, Column, no_column};
use crate::data::prompts::csv::Records;
use crate::data::reading::{listed, not_utf8};
use crate::error::{Error, Result};

pub(super) fn read(
    file: File,
    wanted: Option<&[&str]>,
    texts: &[&str],
    budget: &mut Budget,
) -> Result<Vec<(String, Column)>> {
    let mut records = Records::new(Box::new(file))?;
    let names = records.header()?.unwrap_or_default();
    if let Some(name) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name)) {
        return Err(Error::value(format!("has several columns called {}", listed([name.as_str()]))));
    }
    let place = |name: &&str| {
        names.iter().position(|have| have == name).ok_or_else(|| no_column(name, names.iter().map(String::as_str)))
    };
    let places: Vec<usize> = match wanted {
        Some(wanted) => wanted.iter().map(place).collect::<Result<_>>()?,
        None => (0..names.len()).collect(),
    };
    let mut columns = vec![Vec::new(); places.len()];
    while let Some(found) = records.next()?.map(csv::ByteRecord::len) {
        if found != names.len() {
            let (place, expected) = (records.place(), names.len());
            return Err(Error::value(format!("{place}: expected {expected} fields as in the header, found {found}")));
        }
        for (&at, column) in places.iter().zip(&mut columns) {
            let field = &records.record()[at];
            let text = std::str::from_utf8(field).map_err(|error| not_utf8(&records.place(), "field", field, error))?;
            budget.take_rows(1)?;
            budget.take(text.len())?;
            column.push(Some(text.to_owned()));
        }
    }
    let typed = |(at, fields): (usize, Vec<Option<String>>)| {
        let name = &names[at];
        let column = if texts.contains(&name.as_str()) { Column::Text(fields) } else { typed(fields) };
        (name.clone(), column)
    };
    Ok(places.into_iter().zip(columns).map(typed).collect())
}

/// The numbers that the fields stand for, or the fields.
fn typed(fields: Vec<Option<String>>) -> Column {
    let texts = || fields.iter().map(|field| field.as_deref().unwrap_or_default().trim());
    if texts().all(str::is_empty) {
        return Column::Text(fields);
    }
    match texts().map(number).collect() {
        Some(numbers) => Column::Numbers(numbers),
        None => Column::Text(fields),
    }
}

fn number(text: &str) -> Option<f64> {
    match text {
        "" => Some(f64::NAN),
        _ if text.eq_ignore_ascii_case("true") => Some(1.0),
        _ if text.eq_ignore_ascii_case("false") => Some(0.0),
        _ => text.parse().ok(),
    }
}
