//! Prices of models: dated, with their source, exact.

use std::collections::HashMap;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::Deserialize;

use crate::error::{Error, Kind, Result};

/// The price data in the package.
const BUILTIN: &str = include_str!("../../python/ferroute/pricing/prices.json");

/// What one model costs from a date on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// US dollars for a million prompt tokens.
    pub input: Decimal,
    /// US dollars for a million completion tokens.
    pub output: Decimal,
    /// The day on which the source said so, `YYYY-MM-DD`.
    pub date: String,
    /// Where the price was read.
    pub source: String,
}

/// Prices by model name. A model may have several, each valid from its date to the next one's.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Each model's prices, oldest first.
    prices: HashMap<String, Vec<Price>>,
    /// Other spellings of a model's name.
    aliases: HashMap<String, String>,
}

/// The layout of the data file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    prices: Vec<Entry>,
    #[serde(default)]
    aliases: HashMap<String, String>,
}

/// Amounts are strings in the file, so that no binary fraction comes between it and a `Decimal`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    model: String,
    input: String,
    output: String,
    date: String,
    source: String,
}

impl Table {
    /// The prices that come with the package.
    pub fn builtin() -> Result<Self> {
        Self::from_json(BUILTIN)
    }

    /// Reads `{"prices": [{"model", "input", "output", "date", "source"}, ...], "aliases": {"other": "model"}}`, with
    /// amounts as strings of US dollars per million tokens.
    ///
    /// # Errors
    /// [`Kind::Value`] for another layout, an amount that is not a decimal of at least zero, a malformed date, or an
    /// alias of a model that has no price.
    pub fn from_json(json: &str) -> Result<Self> {
        let file: File =
            serde_json::from_str(json).map_err(|error| Error::value(format!("not a table of prices: {error}")))?;
        let mut table = Self { prices: HashMap::new(), aliases: file.aliases };
        for entry in file.prices {
            let amount = |name: &str, text: &str| {
                Decimal::from_str(text).ok().filter(|amount| !amount.is_sign_negative()).ok_or_else(|| {
                    Error::value(format!(
                        "{name} price of `{}`: expected dollars per million tokens, found `{text}`",
                        entry.model
                    ))
                })
            };
            check_date(&entry.date).map_err(|error| error.context(format!("price of `{}`", entry.model)))?;
            let price = Price {
                input: amount("input", &entry.input)?,
                output: amount("output", &entry.output)?,
                date: entry.date,
                source: entry.source,
            };
            table.prices.entry(entry.model).or_default().push(price);
        }
        for prices in table.prices.values_mut() {
            prices.sort_by(|a, b| a.date.cmp(&b.date));
        }
        if let Some((alias, model)) = table.aliases.iter().find(|(_, model)| !table.prices.contains_key(*model)) {
            return Err(Error::value(format!("`{alias}` is an alias of `{model}`, which has no price")));
        }
        Ok(table)
    }

    /// The price of `model` on the day `at` (`YYYY-MM-DD`; by default the newest), or `None` where it is not known.
    ///
    /// A provider in front of the name is looked past: `openai/gpt-5.2` costs what `gpt-5.2` does.
    pub fn price(&self, model: &str, at: Option<&str>) -> Result<Option<&Price>> {
        if let Some(at) = at {
            check_date(at)?;
        }
        let Some(prices) = self.lookup(model).or_else(|| self.lookup(model.split_once('/')?.1)) else {
            return Ok(None);
        };
        Ok(prices.iter().rev().find(|price| at.is_none_or(|at| price.date.as_str() <= at)))
    }

    /// As [`Table::price`], where going on without a price would be wrong.
    ///
    /// # Errors
    /// [`Kind::Name`] where the price is not known.
    pub fn require(&self, model: &str, at: Option<&str>) -> Result<&Price> {
        self.price(model, at)?.ok_or_else(|| {
            let when = at.map(|at| format!(" on {at}")).unwrap_or_default();
            let mut known: Vec<_> = self.prices.keys().map(String::as_str).collect();
            known.sort_unstable();
            Error::new(
                Kind::Name,
                format!("no price is known for the model `{model}`{when}; known are {}", known.join(", ")),
            )
        })
    }

    fn lookup(&self, model: &str) -> Option<&[Price]> {
        let model = self.aliases.get(model).map_or(model, String::as_str);
        self.prices.get(model).map(Vec::as_slice)
    }
}

/// Days are compared as text, which is right for one fixed form only.
fn check_date(date: &str) -> Result<()> {
    let form = |(index, byte): (usize, u8)| if matches!(index, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    if date.len() == 10 && date.bytes().enumerate().all(form) {
        return Ok(());
    }
    Err(Error::value(format!("expected a date as YYYY-MM-DD, found `{date}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{"prices": [
        {"model": "m", "input": "2", "output": "4", "date": "2026-02-01", "source": "b"},
        {"model": "m", "input": "1", "output": "3", "date": "2026-01-01", "source": "a"}],
        "aliases": {"n": "m"}}"#;

    #[test]
    fn the_price_of_a_day_is_the_newest_one_before_it() {
        let table = Table::from_json(TWO).unwrap();
        let source = |model, at| table.price(model, at).unwrap().map(|price| price.source.as_str());
        assert_eq!(source("m", None), Some("b"));
        assert_eq!(source("m", Some("2026-01-31")), Some("a"));
        assert_eq!(source("openai/n", Some("2026-02-01")), Some("b"));
        assert_eq!(source("m", Some("2025-12-31")), None);
        assert_eq!(source("other", None), None);
        assert!(table.price("m", Some("12 January")).is_err());
    }

    #[test]
    fn an_unknown_price_is_an_error_with_the_known_names() {
        let error = Table::from_json(TWO).unwrap().require("other", Some("2026-01-12")).unwrap_err();
        assert_eq!(error.kind(), Kind::Name);
        assert_eq!(error.message(), "no price is known for the model `other` on 2026-01-12; known are m");
    }

    #[test]
    fn tables_that_do_not_fit_are_refused() {
        for (from, to, expected) in [
            (
                r#""input": "2""#,
                r#""input": "-2""#,
                "input price of `m`: expected dollars per million tokens, found `-2`",
            ),
            (r#""output": "4""#, r#""output": "free""#, "output price of `m`"),
            ("2026-02-01", "2026-2-1", "price of `m`: expected a date as YYYY-MM-DD, found `2026-2-1`"),
            (r#""n": "m""#, r#""n": "x""#, "`n` is an alias of `x`, which has no price"),
            (r#""input": "2""#, r#""input": 2"#, "not a table of prices"),
        ] {
            let error = Table::from_json(&TWO.replace(from, to)).unwrap_err();
            assert!(error.message().starts_with(expected), "{error}");
        }
    }
}
