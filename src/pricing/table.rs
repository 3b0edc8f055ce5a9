//! The price table: from a model's name to what it costs and what it can do.

use std::collections::HashMap;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, RwLock};

use rust_decimal::Decimal;

use super::catalogue::{Catalogue, Place};
use super::entry::Entry;
use super::facts::Facts;
use super::moment::Moment;
use super::names;
use super::own::Own;
use super::rates::{Amounts, Cost, Rates, Unit, charge};
use super::usage::{ServiceTier, Usage};
use crate::error::Result;

/// Names looked up before are remembered, up to so many.
const REMEMBERED: usize = 4096;
/// No model's name has so many bytes.
const LONGEST_REMEMBERED: usize = 512;

/// Models by name, with prices and abilities. A user's own prices go before the built-in ones.
pub struct Table {
    catalogue: Arc<Catalogue>,
    version: String,
    own: Own,
    /// Only ever tried, never waited for: it may have been locked when the process forked.
    remembered: RwLock<HashMap<String, Option<Place>>>,
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

    /// As [`price`](Self::price), without what is only shown: for every call.
    pub fn rates(&self, names: &[&str], tier: ServiceTier, at: Option<Moment>) -> Option<Rates> {
        self.first_rates(names, tier, at.unwrap_or_else(Moment::now)).map(|(rates, ..)| rates)
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
        if name.len() <= LONGEST_REMEMBERED
            && let Ok(mut remembered) = self.remembered.try_write()
        {
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

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Units in a price that is shown, with what they are per.
pub fn shown(rates: &Rates) -> impl Iterator<Item = (Unit, &super::rates::Rate)> {
    Unit::ALL.into_iter().filter_map(|unit| Some((unit, rates.get(unit)?)))
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::builtin().unwrap());

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn at(text: &str) -> Option<Moment> {
        text.parse().ok()
    }

    fn usage(prompt_tokens: u64, completion_tokens: u64) -> Usage {
        Usage { prompt_tokens, completion_tokens, ..Usage::default() }
    }

    fn total(names: &[&str], usage: &Usage) -> Option<Decimal> {
        TABLE.cost(names, usage, at("2026-11-20")).map(|cost| cost.total)
    }

    #[test]
    fn names_of_one_model_cost_the_same() {
        let of = |name: &str| total(&[name], &usage(1000, 500));
        assert_eq!(of("gpt-5.2"), Some(decimal("0.00875")));
        for same in [
            "gpt-5-2",
            "openai/gpt-5.2",
            "GPT-5.2 ",
            "gpt-5.2-2025-12-11",
            "gpt-5.2-20251211",
            "azure/gpt-5.2",
            "openrouter/openai/gpt-5.2",
            "litellm_proxy/openai/gpt-5.2",
            "custom_openai/gpt-5.2",
        ] {
            assert_eq!(of(same), of("gpt-5.2"), "{same}");
        }
        for unknown in
            ["gpt-99", "gpt-5.2-2025-13-11", "my-server/gpt-5.2-x", "openai/", "/", "", "ollama/x:cloud", "deployment"]
        {
            assert_eq!(of(unknown), None, "{unknown}");
        }
        assert_eq!(of("hosted_vllm/anything/at-all"), Some(Decimal::ZERO));
        assert_eq!(of("fireworks_ai/gpt-oss-120b"), of("fireworks_ai/accounts/fireworks/models/gpt-oss-120b"));
        assert!(of("fireworks_ai/gpt-oss-120b").is_some());
    }

    #[test]
    fn a_name_as_long_as_a_book_is_a_name() {
        for part in ["litellm_proxy/", "openrouter/", "a/", "-20251211"] {
            let name = part.repeat(100_000);
            assert_eq!(total(&[&name], &usage(1, 1)), None);
            assert!(TABLE.facts(&name).is_none());
        }
    }

    #[test]
    fn a_base_model_goes_before_the_name_of_a_deployment() {
        assert_eq!(total(&["azure/chat-eu"], &usage(1000, 500)), None);
        assert_eq!(total(&["gpt-5.2", "azure/chat-eu"], &usage(1000, 500)), Some(decimal("0.00875")));
        assert_eq!(total(&["who-knows", "azure/gpt-5.2"], &usage(1000, 500)), Some(decimal("0.00875")));
    }

    #[test]
    fn what_the_provider_says_it_cost_goes_first() {
        let billed = Usage { billed: Some(decimal("0.5")), ..usage(1000, 500) };
        assert_eq!(total(&["who-knows"], &billed), Some(decimal("0.5")));
        let absurd = Usage { billed: Some(decimal("-0.5")), ..usage(1000, 500) };
        assert_eq!(total(&["gpt-5.2"], &absurd), Some(decimal("0.00875")));
        assert_eq!(total(&["who-knows"], &absurd), None);
    }

    #[test]
    fn tiers_and_their_absence() {
        let of = |name: &str, tier| total(&[name], &Usage { tier, ..usage(1_000_000, 0) });
        assert_eq!(of("gpt-5.2", ServiceTier::Batch), Some(decimal("0.875")));
        assert_eq!(of("gpt-5.2", ServiceTier::Fast), Some(decimal("3.5")));
        // No tier of its own: the standard price; so too where another provider offers the model.
        assert_eq!(of("gpt-5.2-pro", ServiceTier::Flex), Some(decimal("21")));
        assert_eq!(of("azure/gpt-5.2", ServiceTier::Priority), Some(decimal("1.75")));
    }

    #[test]
    fn facts_and_shutdown() {
        let facts = TABLE.facts("azure/gpt-5.2-2025-12-11").unwrap();
        assert_eq!((facts.context, facts.images, facts.audio), (Some(272_000), Some(true), Some(false)));
        assert!(TABLE.facts("who-knows").is_none());
        let gone = TABLE.facts("gemini/gemini-2.5-pro").unwrap().shutdown.clone().unwrap();
        assert_eq!(TABLE.shut_down("gemini-2.5-pro", gone.parse().ok()), Some(gone.as_str()));
        assert_eq!(TABLE.shut_down("gemini-2.5-pro", at("2026-01-01")), None);
    }

    #[test]
    fn own_prices_are_a_layer_with_a_version_of_its_own() {
        let own = |json| TABLE.under(Own::from_json(json).unwrap());
        let cost = |table: &Table, name| table.cost(&[name], &usage(1_000_000, 0), None).map(|cost| cost.total);
        let first = own(r#"{"gpt-5.2": {"input": 0.1, "output": 1e-7}, "a": "b", "b": "openai/gpt-5.2"}"#);
        for name in ["gpt-5.2", "openai/gpt-5.2", "a", "B", "litellm_proxy/gpt-5.2"] {
            assert_eq!(cost(&first, name), Some(decimal("0.1")), "{name}");
        }
        assert_eq!(cost(&first, "azure/gpt-5.2"), Some(decimal("1.75")));
        let second = own(r#"{"gpt-5.2": {"input": 0.2, "output": 1}}"#);
        assert_eq!(cost(&second, "gpt-5.2"), Some(decimal("0.2")));
        assert_ne!(first.version(), second.version());
        assert!(first.version().starts_with(TABLE.version()));
    }

    proptest! {
        #[test]
        fn any_name_and_usage_is_priced_or_not(name in "\\PC{0,40}", numbers in prop::array::uniform7(any::<u64>())) {
            let usage = Usage {
                prompt_tokens: numbers[0], completion_tokens: numbers[1], cached_tokens: numbers[2],
                cache_write_tokens: numbers[3], cache_write_1h_tokens: numbers[4], reasoning_tokens: numbers[5],
                prompt_audio_tokens: numbers[6], ..Usage::default()
            };
            for name in [name.as_str(), "gpt-5.2", "claude-haiku-4-5", "gemini-2.5-pro"] {
                if let Some(cost) = total(&[name], &usage) {
                    prop_assert!(!cost.is_sign_negative());
                }
            }
            let _ = TABLE.facts(&name);
        }

        #[test]
        fn any_text_is_refused_or_is_a_layer_of_prices(json in "\\PC{0,60}") {
            let _ = Own::from_json(&json);
        }

        #[test]
        fn linear_in_the_completion(prompt in 0u64..400_000, completion in 0u64..100_000, times in 1u64..20) {
            let cost = |completion| total(&["gemini-2.5-pro"], &usage(prompt, completion)).unwrap();
            prop_assert_eq!(cost(completion * times) - cost(0), (cost(completion) - cost(0)) * Decimal::from(times));
        }
    }
}
