//! The price table: from a model's name to what it costs and what it can do.

use std::collections::HashMap;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, RwLock};

use rust_decimal::Decimal;

use super::entry::Entry;
use super::facts::Facts;
use super::file::File;
use super::moment::Moment;
use super::names::{self, Providers};
use super::own::Own;
use super::rates::{Amounts, Cost, Rates, Unit, charge};
use super::usage::{ServiceTier, Usage};
use crate::error::{Error, Kind, Result};

/// The price data that come with the package.
const BUILTIN: &str = include_str!("../../data/prices/prices.json");

/// Names looked up before are remembered, up to so many.
const REMEMBERED: usize = 4096;

/// Models by name, with prices and abilities. A user's own prices go before the built-in ones.
pub struct Table {
    catalogue: Arc<Catalogue>,
    version: String,
    own: Own,
    /// Only ever tried, never waited for: it may have been locked when the process forked.
    remembered: RwLock<HashMap<String, Option<Place>>>,
}

/// The built-in data, which tables with different own prices share.
#[derive(Default)]
pub(super) struct Catalogue {
    version: String,
    as_of: String,
    /// Where prices were read, for people.
    sources: Vec<String>,
    pub providers: Providers,
    /// Prices by `provider/name` that no provider above has.
    pub rows: HashMap<String, Entry>,
    facts: HashMap<String, Facts>,
    /// Models that cost nothing.
    free: Entry,
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

/// What one model costs at one time in one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// The model's name at the source.
    pub model: String,
    /// Each unit's price.
    pub rates: Rates,
    /// The first day of this price, `YYYY-MM-DD`, where one is known.
    pub since: Option<String>,
    /// The day on which the source was read.
    pub as_of: String,
    /// Where it was read.
    pub source: String,
}

static SHARED: AtomicPtr<Table> = AtomicPtr::new(ptr::null_mut());

impl Table {
    /// The table that the process uses: the built-in one, under the prices in the file that `FERROUTE_PRICES` names,
    /// or those of [`Table::share`].
    ///
    /// Never waits, so a process that forked at any moment can use it. A file that cannot be read is left out here;
    /// [`check`](super::check) says so.
    pub fn shared() -> &'static Self {
        // SAFETY: the pointer is null or comes from `Box::leak` in `share_first`, so it is valid for ever.
        if let Some(table) = unsafe { SHARED.load(Ordering::Acquire).as_ref() } {
            return table;
        }
        let own = Own::from_environment().unwrap_or_default();
        // The data are compiled in and tested: that they cannot be read does not happen; no price is the safe answer.
        let table = Self::of(Arc::new(Catalogue::builtin().unwrap_or_default()), own);
        let fresh = Box::into_raw(Box::new(table));
        match SHARED.compare_exchange(ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it came from `Box::into_raw` and is shared now, so it is never freed.
            Ok(_) => unsafe { &*fresh },
            Err(other) => {
                // SAFETY: another thread was first; `fresh` was never shared.
                drop(unsafe { Box::from_raw(fresh) });
                // SAFETY: what another thread shared is never freed.
                unsafe { &*other }
            }
        }
    }

    /// Makes this the table that the process uses from now on. The one before stays in memory, since calls may be
    /// using it: not for every request.
    pub fn share(self) {
        SHARED.store(Box::into_raw(Box::new(self)), Ordering::Release);
    }

    /// The prices that come with the package.
    pub fn builtin() -> Result<Self> {
        Ok(Self::of(Arc::new(Catalogue::builtin()?), Own::default()))
    }

    /// The same data under other prices of the user's own.
    #[must_use]
    pub fn under(&self, own: Own) -> Self {
        Self::of(Arc::clone(&self.catalogue), own)
    }

    fn of(catalogue: Arc<Catalogue>, own: Own) -> Self {
        let version = match own.mark() {
            Some(mark) => format!("{}, own {mark}", catalogue.version),
            None => catalogue.version.clone(),
        };
        Self { catalogue, version, own, remembered: RwLock::default() }
    }

    /// Versions of the data, and a mark of the user's own prices where there are any.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The day on which the built-in data were read, `YYYY-MM-DD`.
    pub fn as_of(&self) -> &str {
        &self.catalogue.as_of
    }

    /// What a call costs: at the provider's own word where it gives one, else by the first of `names` whose price is
    /// known (a base model before the name of its deployment). `None` is unpriced, which is not free.
    pub fn cost(&self, names: &[&str], usage: &Usage, at: Option<Moment>) -> Option<Cost> {
        if let Some(total) = usage.billed.filter(|billed| !billed.is_sign_negative()) {
            return Some(Cost { total, parts: Vec::new() });
        }
        self.cost_of(names, &usage.into(), usage.tier, at)
    }

    /// [`Table::cost`] of amounts that may be averages.
    pub fn cost_of(&self, names: &[&str], amounts: &Amounts, tier: ServiceTier, at: Option<Moment>) -> Option<Cost> {
        let at = at.unwrap_or_else(Moment::now);
        let (rates, ..) = self.first_rates(names, tier, at)?;
        charge(&rates, amounts)
    }

    /// What each unit costs, by the first of `names` whose price is known.
    pub fn price(&self, names: &[&str], tier: ServiceTier, at: Option<Moment>) -> Option<Price> {
        let (rates, since, entry) = self.first_rates(names, tier, at.unwrap_or_else(Moment::now))?;
        let source = match self.catalogue.sources.get(entry.source) {
            Some(source) => source.clone(),
            None if ptr::eq(entry, &raw const self.catalogue.free) => "runs on a machine of your own".to_owned(),
            None => "your own prices".to_owned(),
        };
        let since = since.map(|day| Moment::from_seconds(day * 86_400).to_string());
        Some(Price { model: entry.id.clone(), rates, since, as_of: self.catalogue.as_of.clone(), source })
    }

    /// As [`Table::price`] in the standard tier, where going on without a price would be wrong.
    ///
    /// # Errors
    /// [`Kind::Name`] where the price is not known.
    pub fn require(&self, model: &str, at: Option<Moment>) -> Result<Price> {
        self.price(&[model], ServiceTier::Standard, at).ok_or_else(|| {
            Error::new(
                Kind::Name,
                format!(
                    "no price is known for the model `{model}` (data of {}): expected a name such as `gpt-5-mini` or \
                     `openrouter/...`, or a price of your own (`ferroute.pricing.override`, FERROUTE_PRICES)",
                    self.catalogue.as_of
                ),
            )
        })
    }

    fn first_rates(&self, names: &[&str], tier: ServiceTier, at: Moment) -> Option<(Rates, Option<i64>, &Entry)> {
        names::in_order(names).iter().find_map(|name| {
            let (entry, borrowed) = self.entry(&self.place(name)?)?;
            let (rates, since) = entry.rates(at, if borrowed { ServiceTier::Standard } else { tier })?;
            Some((rates, since, entry))
        })
    }

    fn entry(&self, place: &Place) -> Option<(&Entry, bool)> {
        Some(match place {
            Place::Free => (&self.catalogue.free, false),
            Place::Own(name) => (self.own.entry(name)?, false),
            Place::Model { provider, model, borrowed } => {
                (self.catalogue.providers.entry(*provider, *model)?, *borrowed)
            }
            Place::Row(name) => (self.catalogue.rows.get(name)?, false),
        })
    }

    /// Where a name's prices are, remembered.
    fn place(&self, name: &str) -> Option<Place> {
        if let Ok(remembered) = self.remembered.try_read()
            && let Some(place) = remembered.get(name)
        {
            return place.clone();
        }
        let place = names::find(&self.catalogue, &self.own, name);
        if let Ok(mut remembered) = self.remembered.try_write() {
            if remembered.len() >= REMEMBERED {
                remembered.clear();
            }
            remembered.insert(name.to_owned(), place.clone());
        }
        place
    }

    /// What is known about a model; `None` for one nobody has heard of.
    pub fn facts(&self, name: &str) -> Option<&Facts> {
        if let Some(Place::Own(key)) = self.place(name)
            && let Some(facts) = self.own.facts(&key)
        {
            return Some(facts);
        }
        names::rows(&self.catalogue, &self.own, name).iter().find_map(|row| self.catalogue.facts.get(row)).or_else(
            || {
                let Place::Model { provider, model, .. } = self.place(name)? else { return None };
                self.catalogue.providers.facts(provider, model)
            },
        )
    }

    /// The day a model's provider shut it down, if that has passed.
    pub fn shut_down(&self, name: &str, at: Option<Moment>) -> Option<&str> {
        let day = self.facts(name)?.shutdown.as_deref()?;
        let shutdown: Moment = day.parse().ok()?;
        (at.unwrap_or_else(Moment::now) >= shutdown).then_some(day)
    }

    /// How many times dearer `strong` is than `weak` for these amounts; `None` where a price is not known or the weak
    /// one costs nothing.
    pub fn ratio(
        &self,
        strong: &str,
        weak: &str,
        amounts: &Amounts,
        tier: ServiceTier,
        at: Option<Moment>,
    ) -> Option<Decimal> {
        let cost = |model| self.cost_of(&[model], amounts, tier, at).map(|cost| cost.total);
        Some(cost(strong)?.checked_div(cost(weak)?)?.normalize())
    }
}

impl Catalogue {
    fn builtin() -> Result<Self> {
        Self::from_json(BUILTIN)
    }

    fn from_json(json: &str) -> Result<Self> {
        let file: File =
            serde_json::from_str(json).map_err(|error| Error::value(format!("not a table of prices: {error}")))?;
        let page = |data: &str, version: &str, page: Option<&String>| {
            let page = page.map(|page| format!(", {page}")).unwrap_or_default();
            format!("{data} {version}{page}")
        };
        let genai_prices =
            |each: &super::file::Provider| page("genai-prices", &file.genai_prices, each.source.as_ref());
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

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Units in a price that is shown, with what they are per.
pub fn shown(rates: &Rates) -> impl Iterator<Item = (Unit, &super::rates::Rate)> {
    Unit::ALL.into_iter().filter_map(|unit| Some((unit, rates.get(unit)?)))
}
