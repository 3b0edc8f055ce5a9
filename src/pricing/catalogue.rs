//! The built-in data: providers with their models, in the order in which names are held against them, and single rows.

use std::collections::HashMap;

use super::entry::Entry;
use super::facts::Facts;
use super::file::{self, File};
use super::pattern::Pattern;
use crate::error::{Error, Result};

/// The price data that come with the package.
const BUILTIN: &str = include_str!("../../data/prices/prices.json");

/// The built-in data, which tables with different own prices share.
#[derive(Default)]
pub(super) struct Catalogue {
    pub version: String,
    pub as_of: String,
    /// Where prices were read, for people.
    pub sources: Vec<String>,
    pub providers: Providers,
    /// Prices by `provider/name` that no provider above has.
    pub rows: HashMap<String, Entry>,
    pub facts: HashMap<String, Facts>,
    /// Models that cost nothing.
    pub free: Entry,
}

/// Where the prices of a name are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Runs on a machine of the caller's.
    Free,
    /// The user's own price, by the name it was given under.
    Own(String),
    /// A provider's model, and whether it is offered by another provider, whose tiers are not known.
    Model { provider: usize, model: usize, borrowed: bool },
    /// A row, by `provider/name`.
    Row(String),
}

/// One of them.
pub(super) struct Provider {
    pub id: String,
    claims: Option<Pattern>,
    fallback: Vec<usize>,
    models: Vec<Model>,
}

/// One of its models.
pub(super) struct Model {
    pattern: Pattern,
    entry: Entry,
    facts: Facts,
}

/// Providers and their models.
#[derive(Default)]
pub(super) struct Providers {
    pub prefixes: HashMap<String, Option<usize>>,
    pub providers: Vec<Provider>,
}

impl Providers {
    pub(super) fn new(prefixes: HashMap<String, Option<String>>, files: Vec<file::Provider>) -> Result<Self> {
        let index: HashMap<String, usize> =
            files.iter().enumerate().map(|(index, each)| (each.id.clone(), index)).collect();
        let mut providers = Vec::with_capacity(files.len());
        for (source, each) in files.into_iter().enumerate() {
            let models = each.models.into_iter().map(|model| {
                let pattern = model.pattern.unwrap_or_else(|| Pattern::Text(model.id.to_lowercase().into()));
                let entry = Entry::new(model.id, model.prices, model.tiers, source)?;
                Ok(Model { pattern, entry, facts: model.able.into() })
            });
            providers.push(Provider {
                id: each.id,
                claims: each.claims,
                fallback: each.fallback.iter().filter_map(|id| index.get(id).copied()).collect(),
                models: models.collect::<Result<_>>()?,
            });
        }
        let prefixes = prefixes.into_iter().map(|(prefix, id)| (prefix, id.and_then(|id| index.get(&id).copied())));
        Ok(Self { prefixes: prefixes.collect(), providers })
    }

    pub(super) fn entry(&self, provider: usize, model: usize) -> Option<&Entry> {
        Some(&self.model(provider, model)?.entry)
    }

    pub(super) fn facts(&self, provider: usize, model: usize) -> Option<&Facts> {
        Some(&self.model(provider, model)?.facts)
    }

    fn model(&self, provider: usize, model: usize) -> Option<&Model> {
        self.providers.get(provider)?.models.get(model)
    }

    /// The provider a prefix names: as people write it, or as genai-prices does.
    pub(super) fn of_prefix(&self, prefix: &str) -> Option<usize> {
        match self.prefixes.get(prefix) {
            Some(known) => *known,
            None => self.providers.iter().position(|each| each.id == prefix),
        }
    }

    pub(super) fn is_prefix(&self, prefix: &str) -> bool {
        self.prefixes.contains_key(prefix) || self.providers.iter().any(|each| each.id == prefix)
    }

    /// The provider that claims a bare name.
    pub(super) fn claiming(&self, name: &str) -> Option<usize> {
        self.providers.iter().position(|each| each.claims.as_ref().is_some_and(|claims| claims.matches(name)))
    }

    /// A model by the name its provider is sent, with the provider's fallbacks.
    pub(super) fn find(&self, provider: usize, name: &str) -> Option<Place> {
        let dashed = with_dashed_date(name);
        [Some(name), dashed.as_deref()].into_iter().flatten().find_map(|name| self.find_exactly(provider, name))
    }

    fn find_exactly(&self, provider: usize, name: &str) -> Option<Place> {
        let own = self.providers.get(provider)?;
        std::iter::once(&provider).chain(&own.fallback).find_map(|&searched| {
            let models = &self.providers.get(searched)?.models;
            let model = models.iter().position(|model| model.pattern.matches(name))?;
            Some(Place::Model { provider: searched, model, borrowed: searched != provider })
        })
    }
}

impl Catalogue {
    pub(super) fn builtin() -> Result<Self> {
        Self::from_json(BUILTIN)
    }

    fn from_json(json: &str) -> Result<Self> {
        let file: File =
            serde_json::from_str(json).map_err(|error| Error::value(format!("not a table of prices: {error}")))?;
        let page = |data: &str, version: &str, page: Option<&String>| {
            let page = page.map(|page| format!(", {page}")).unwrap_or_default();
            format!("{data} {version}{page}")
        };
        let genai_prices = |each: &file::Provider| page("genai-prices", &file.genai_prices, each.source.as_ref());
        let mut sources: Vec<_> = file.providers.iter().map(genai_prices).collect();
        let first = sources.len();
        sources.push(page("LiteLLM", &file.litellm, None));
        sources.extend(file.sources.iter().map(|source| page("LiteLLM", &file.litellm, Some(source))));
        let (mut rows, mut facts) = (HashMap::new(), HashMap::new());
        for row in file.rows {
            let source = row.source.map_or(first, |index| (first + 1 + index).min(sources.len() - 1));
            let entry = Entry::new(row.id.clone(), row.prices, row.tiers, source)?;
            if !entry.is_unpriced() {
                rows.insert(row.id.clone(), entry);
            }
            facts.insert(row.id, row.able.into());
        }
        let providers = Providers::new(file.prefixes, file.providers)?;
        let free = Entry::free("local".to_owned(), usize::MAX);
        Ok(Self { version: file.version, as_of: file.as_of, sources, providers, rows, facts, free })
    }
}

/// `gpt-5.2-20251211` as `gpt-5.2-2025-12-11`; `None` where there is no such date to rewrite.
fn with_dashed_date(name: &str) -> Option<String> {
    let mut result = String::with_capacity(name.len() + 4);
    let mut rest = name;
    let mut found = false;
    while let Some(dash) = rest.find('-') {
        let (before, after) = rest.split_at(dash + 1);
        result.push_str(before);
        rest = after;
        let Some(digits) = after.get(..8).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) else {
            continue;
        };
        let dashed = format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..]);
        let ends = matches!(after.as_bytes().get(8), None | Some(b'-' | b':'));
        if ends && digits.starts_with("20") && super::moment::day_of(&dashed).is_some() {
            result.push_str(&dashed);
            rest = &after[8..];
            found = true;
        }
    }
    result.push_str(rest);
    found.then_some(result)
}
