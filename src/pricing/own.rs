//! A user's own prices and aliases, which go before the built-in ones.
//!
//! ```json
//! {"my-deployment": "gpt-5.2",
//!  "our-llama": {"input": 0.2, "output": "0.6", "cache_read": 0.05, "batch": {"input": 0.1, "output": 0.3}},
//!  "long": [{"input": [1.25, [200000, 2.5]], "output": 10}, {"from": "2026-12-01", "input": 1, "output": 8}],
//!  "lab/*": {"input": 0, "output": 0, "facts": {"context": 32768, "images": false}}}
//! ```

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value};

use super::entry::{Dated, Entry, When};
use super::facts::Facts;
use super::moment::day_of;
use super::pattern::Pattern;
use super::rates::{Rate, Rates, Unit};
use super::usage::ServiceTier;
use crate::error::{Error, Kind, Result};

/// The variable that names a file of prices.
const VARIABLE: &str = "FERROUTE_PRICES";
/// An alias may lead to an alias, so many times.
const MOST_ALIASES: usize = 8;
/// A file of prices is small; what is larger is another file.
const MOST_BYTES: u64 = 32 * 1024 * 1024;
const TIERS: [ServiceTier; 4] = [ServiceTier::Batch, ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Fast];

/// What a user says about models.
#[derive(Default)]
pub struct Own {
    entries: HashMap<String, (Entry, Option<Facts>)>,
    /// Names with a `*`, in the order given.
    patterns: Vec<(Pattern, String)>,
    aliases: HashMap<String, String>,
    mark: Option<String>,
}

impl Own {
    /// The prices of the file that `FERROUTE_PRICES` names; none where it names none.
    ///
    /// # Errors
    /// As [`Own::from_json`], and [`Kind::Missing`] or [`Kind::Io`] for the file.
    pub fn from_environment() -> Result<Self> {
        let Some(path) = std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) else { return Ok(Self::default()) };
        let shown = path.to_string_lossy().into_owned();
        let failed = |error: &std::io::Error| {
            let kind = if error.kind() == std::io::ErrorKind::NotFound { Kind::Missing } else { Kind::Io };
            Error::new(kind, format!("{VARIABLE}: the prices in `{shown}` cannot be read: {error}"))
        };
        let size = std::fs::metadata(&path).map_err(|error| failed(&error))?.len();
        if size > MOST_BYTES {
            return Err(Error::value(format!("{VARIABLE}: `{shown}` has {size} bytes, expected at most {MOST_BYTES}")));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| failed(&error))?;
        Self::from_json(&text).map_err(|error| error.context(format!("{VARIABLE}, `{shown}`")))
    }

    /// Reads an object from names to prices (US dollars for a million tokens, as numbers or text), lists of them with
    /// a first day each, or other names.
    ///
    /// # Errors
    /// [`Kind::Value`] naming the model and what was expected of it.
    pub fn from_json(json: &str) -> Result<Self> {
        let value: Value =
            serde_json::from_str(json).map_err(|error| Error::value(format!("own prices: not JSON: {error}")))?;
        let Value::Object(models) = value else {
            return Err(Error::value("own prices: expected an object from names of models to their prices"));
        };
        let mut own = Self::default();
        if !models.is_empty() {
            own.mark = Some(format!("{:08x}", xxhash_rust::xxh3::xxh3_64(json.as_bytes()) as u32));
        }
        for (name, value) in models {
            let key = name.trim().to_lowercase();
            if key.is_empty() {
                return Err(Error::value("own prices: a name is empty"));
            }
            match value {
                Value::String(target) => {
                    own.aliases.insert(key, target);
                }
                value => {
                    let read = entry(&name, value).map_err(|error| error.context(format!("price of `{name}`")))?;
                    if key.contains('*') {
                        own.patterns.push((Pattern::Text(key.as_str().into()), key.clone()));
                    }
                    own.entries.insert(key, read);
                }
            }
        }
        own.check_aliases()?;
        Ok(own)
    }

    fn check_aliases(&self) -> Result<()> {
        let ends = |start: &str| {
            let mut name = start.to_lowercase();
            for _ in 0..MOST_ALIASES {
                let Some(next) = self.aliases.get(&name) else { return true };
                name = next.trim().to_lowercase();
            }
            false
        };
        match self.aliases.keys().find(|name| !ends(name)) {
            Some(name) => Err(Error::value(format!("own prices: the alias `{name}` leads to itself or too far"))),
            None => Ok(()),
        }
    }

    /// Tells apart what was given; `None` where nothing was.
    pub(super) fn mark(&self) -> Option<&str> {
        self.mark.as_deref()
    }

    /// The name behind an alias, or the name itself.
    pub(super) fn resolve<'a>(&'a self, name: &'a str) -> &'a str {
        let mut name = name;
        if self.aliases.is_empty() {
            return name;
        }
        for _ in 0..MOST_ALIASES {
            let Some(next) = self.aliases.get(&name.trim().to_lowercase()) else { break };
            name = next;
        }
        name
    }

    /// The key under which one of `names` (in lower case) was given a price.
    pub(super) fn find(&self, names: &[&str]) -> Option<&str> {
        if self.entries.is_empty() {
            return None;
        }
        let exact = names.iter().find_map(|name| self.entries.get_key_value(*name));
        exact.map(|(key, _)| key.as_str()).or_else(|| {
            let mut patterns = self.patterns.iter();
            patterns.find(|(pattern, _)| names.iter().any(|name| pattern.matches(name))).map(|(_, key)| key.as_str())
        })
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key).map(|(entry, _)| entry)
    }

    pub(super) fn facts(&self, key: &str) -> Option<&Facts> {
        self.entries.get(key)?.1.as_ref()
    }
}

fn entry(name: &str, value: Value) -> Result<(Entry, Option<Facts>)> {
    let periods = match value {
        Value::Object(one) => vec![Value::Object(one)],
        Value::Array(many) if !many.is_empty() => many,
        other => return Err(expected("an object of prices, a list of them, or another name as text", &other)),
    };
    let (mut prices, mut tiers, mut facts) = (Vec::new(), Vec::new(), None);
    for period in periods {
        let Value::Object(mut period) = period else { return Err(expected("an object of prices", &period)) };
        let when = when(&mut period)?;
        if let Some(found) = period.remove("facts") {
            facts = Some(read_facts(found)?);
        }
        for tier in TIERS {
            if let Some(found) = period.remove(tier.name()) {
                let Value::Object(found) = found else { return Err(expected("an object of prices", &found)) };
                tiers.push((tier, Dated { when, rates: rates(found)? }));
            }
        }
        let rates = rates(period)?;
        if rates.is_unpriced() {
            return Err(Error::value("expected `input` or `output`, in US dollars for a million tokens"));
        }
        prices.push(Dated { when, rates });
    }
    // Of tiers the first that holds counts, of prices the last: the newer one in both cases.
    tiers.reverse();
    Ok((Entry::of(name.to_owned(), prices, tiers, usize::MAX), facts))
}

fn when(period: &mut Map<String, Value>) -> Result<When> {
    let from = match period.remove("from") {
        None => None,
        Some(Value::String(day)) if day_of(&day).is_some() => day_of(&day),
        Some(other) => return Err(expected("`from` as YYYY-MM-DD", &other)),
    };
    let hours = match period.remove("hours") {
        None => None,
        Some(Value::Array(ends)) if ends.len() == 2 => Some((clock(&ends[0])?, clock(&ends[1])?)),
        Some(other) => return Err(expected("`hours` as [\"hh:mm\", \"hh:mm\"] in UTC", &other)),
    };
    match (from, hours) {
        (None, None) => Ok(When::Always),
        (Some(day), None) => Ok(When::From(day)),
        (None, Some((start, end))) => Ok(When::Hours(start, end)),
        (Some(_), Some(_)) => Err(Error::value("expected `from` or `hours`, found both")),
    }
}

fn clock(value: &Value) -> Result<u32> {
    let read = |text: &str| {
        let (hour, minute) = text.split_once(':')?;
        let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
        (hour < 24 && minute < 60).then_some(hour * 3600 + minute * 60)
    };
    value.as_str().and_then(read).ok_or_else(|| expected("a time of day as \"hh:mm\"", value))
}

fn rates(prices: Map<String, Value>) -> Result<Rates> {
    let read = |(key, value): (String, Value)| {
        let unit = Unit::ALL.into_iter().find(|unit| unit.name() == key).ok_or_else(|| {
            let units: Vec<_> = Unit::ALL.into_iter().map(Unit::name).collect();
            Error::value(format!(
                "expected {}, batch, flex, priority, fast, from, hours or facts, found `{key}`",
                units.join(", ")
            ))
        })?;
        Ok((unit, rate(&value)?))
    };
    let rates = Rates(prices.into_iter().map(read).collect::<Result<_>>()?);
    for (part, whole) in [
        (Unit::CacheRead, Unit::Input),
        (Unit::CacheWrite, Unit::Input),
        (Unit::CacheWrite1h, Unit::CacheWrite),
        (Unit::InputAudio, Unit::Input),
        (Unit::Reasoning, Unit::Output),
        (Unit::OutputAudio, Unit::Output),
    ] {
        if rates.get(part).is_some() && rates.get(whole).is_none() {
            return Err(Error::value(format!("`{}` is a part of `{}`, which has no price", part.name(), whole.name())));
        }
    }
    Ok(rates)
}

fn rate(value: &Value) -> Result<Rate> {
    let Value::Array(steps) = value else { return Ok(Rate::flat(amount(value)?)) };
    let shape = || expected("an amount, or [amount, [tokens, amount], ...]", value);
    let (base, steps) = steps.split_first().ok_or_else(shape)?;
    let mut above = Vec::new();
    for step in steps {
        let [start, price] = step.as_array().ok_or_else(shape)?.as_slice() else { return Err(shape()) };
        above.push((start.as_u64().ok_or_else(shape)?, amount(price)?));
    }
    above.sort_by_key(|(start, _)| *start);
    Ok(Rate { base: amount(base)?, above: above.into() })
}

/// A number by its shortest text, so that 0.1 is a tenth.
fn amount(value: &Value) -> Result<Decimal> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        other => return Err(expected("US dollars as a number or text", other)),
    };
    let read = Decimal::from_str_exact(&text).or_else(|_| Decimal::from_scientific(&text)).ok();
    read.filter(|amount| amount.is_zero() || amount.is_sign_positive())
        .ok_or_else(|| expected("US dollars of at least 0", value))
}

fn read_facts(value: Value) -> Result<Facts> {
    let Value::Object(given) = value else { return Err(expected("`facts` as an object", &value)) };
    let mut facts = Facts::default();
    for (key, value) in given {
        let number = || value.as_u64().map(Some).ok_or_else(|| expected("a number of tokens", &value));
        let flag = || value.as_bool().map(Some).ok_or_else(|| expected("true or false", &value));
        match key.as_str() {
            "context" => facts.context = number()?,
            "max_output" => facts.max_output = number()?,
            "images" => facts.images = flag()?,
            "tools" => facts.tools = flag()?,
            "audio" => facts.audio = flag()?,
            "schema" => facts.schema = flag()?,
            "reasoning" => facts.reasoning = flag()?,
            "shutdown" => {
                let day = value.as_str().filter(|day| day_of(day).is_some());
                facts.shutdown = Some(day.ok_or_else(|| expected("a day as YYYY-MM-DD", &value))?.to_owned());
            }
            other => {
                return Err(Error::value(format!(
                    "facts: expected context, max_output, images, tools, audio, schema, reasoning or shutdown, found \
                     `{other}`"
                )));
            }
        }
    }
    Ok(facts)
}

fn expected(what: &str, found: &Value) -> Error {
    let text: String = found.to_string().chars().take(60).collect();
    Error::value(format!("expected {what}, found {text}"))
}
