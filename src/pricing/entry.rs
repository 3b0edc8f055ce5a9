//! The prices of one model: by day, by hour, by service tier.

use rust_decimal::Decimal;

use super::file::{self, OneOrMany};
use super::moment::{Moment, day_of};
use super::rates::{Rates, Unit};
use super::usage::ServiceTier;
use crate::error::{Error, Result};

/// When a price holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// From this day on, counted from 1970.
    From(i64),
    /// Every day from this second of the day until before that one; over midnight where the second is smaller.
    Hours(u32, u32),
}

impl When {
    fn holds(self, at: Moment) -> bool {
        match self {
            Self::Always => true,
            Self::From(day) => at.day() >= day,
            Self::Hours(start, end) => {
                let now = at.second_of_day();
                if end < start { now >= start || now < end } else { start <= now && now < end }
            }
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Dated {
    pub when: When,
    pub rates: Rates,
}

/// All prices of one model.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    /// The model, as its provider calls it.
    pub id: String,
    /// In ascending precedence.
    prices: Vec<Dated>,
    /// What other service tiers cost, in descending precedence, unit by unit.
    tiers: Vec<(ServiceTier, Dated)>,
    /// Where they were read; a number in [`Table`](super::Table)'s list.
    pub source: usize,
}

impl Entry {
    /// Makes one of what the file says.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for a day that is none, and hours beyond the day.
    pub(super) fn new(id: String, prices: OneOrMany, tiers: Vec<file::Price>, source: usize) -> Result<Self> {
        let dated = |price: file::Price| Ok(Dated { when: when(&id, &price)?, rates: price.rates() });
        let prices = prices.into_vec().into_iter().map(dated).collect::<Result<_>>()?;
        let tiers = tiers.into_iter().map(|price| Ok((price.tier, dated(price)?))).collect::<Result<_>>()?;
        Ok(Self { id, prices, tiers, source })
    }

    /// Makes one of its parts: prices in ascending precedence, tiers in descending.
    pub(super) fn of(id: String, prices: Vec<Dated>, tiers: Vec<(ServiceTier, Dated)>, source: usize) -> Self {
        Self { id, prices, tiers, source }
    }

    /// Whether nothing is known about what it costs.
    pub(super) fn is_unpriced(&self) -> bool {
        self.prices.iter().all(|dated| dated.rates.is_unpriced())
    }

    /// The prices at some time in some tier, and the first day of the one that holds. A tier without prices of its own
    /// costs what the standard one does. Before the first day that is known, the first price counts.
    pub(super) fn rates(&self, at: Moment, tier: ServiceTier) -> Option<(Rates, Option<i64>)> {
        let holding = self.prices.iter().rev().find(|dated| dated.when.holds(at)).or(self.prices.first())?;
        if holding.rates.is_unpriced() {
            return None;
        }
        let since = if let When::From(day) = holding.when { Some(day) } else { None };
        let variants = self.tiers.iter().filter(|(own, dated)| *own == tier && dated.when.holds(at));
        let mut merged: Vec<_> = Vec::new();
        for (unit, rate) in variants.flat_map(|(_, dated)| dated.rates.0.iter()).chain(holding.rates.0.iter()) {
            if !merged.iter().any(|(own, _)| own == unit) {
                merged.push((*unit, rate.clone()));
            }
        }
        Some((Rates(merged.into()), since))
    }

    /// A model that costs nothing.
    pub(super) fn free(id: String, source: usize) -> Self {
        let zero = |unit| (unit, super::rates::Rate::flat(Decimal::ZERO));
        let rates = Rates(Box::new([zero(Unit::Input), zero(Unit::Output)]));
        Self { id, prices: vec![Dated { when: When::Always, rates }], tiers: Vec::new(), source }
    }
}

fn when(id: &str, price: &file::Price) -> Result<When> {
    let refused = |what: &str| Error::value(format!("price of `{id}`: {what}"));
    match (&price.from, price.hours) {
        (None, None) => Ok(When::Always),
        (Some(from), None) => day_of(from)
            .map(When::From)
            .ok_or_else(|| refused(&format!("expected a first day as YYYY-MM-DD, found `{from}`"))),
        (None, Some((start, end))) if start < 86_400 && end < 86_400 => Ok(When::Hours(start, end)),
        (_, Some((start, end))) => {
            Err(refused(&format!("expected hours as seconds of the day, without a first day, found {start} to {end}")))
        }
    }
}
