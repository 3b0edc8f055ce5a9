//! The layout of `data/prices/prices.json`, which `scripts/refresh_prices.py` writes, and of a user's own prices.

use std::collections::HashMap;

use rust_decimal::Decimal;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::pattern::Pattern;
use super::rates::{Rate, Rates, Unit};
use super::usage::ServiceTier;

/// The whole file.
#[derive(Deserialize)]
pub(super) struct File {
    /// Versions of both data sets.
    pub version: String,
    /// The day on which they were read.
    pub as_of: String,
    /// Version of the data of [`providers`](Self::providers).
    pub genai_prices: String,
    /// Version of the data of [`rows`](Self::rows).
    pub litellm: String,
    /// Which prefix means which provider; `None` where only rows know it.
    pub prefixes: HashMap<String, Option<String>>,
    /// Providers, in the order in which they are asked whose a bare name is.
    pub providers: Vec<Provider>,
    /// Web pages that rows refer to by number.
    pub sources: Vec<String>,
    /// Models by `provider/name`: abilities, and a price where no provider above has one.
    pub rows: Vec<Model>,
}

/// One provider and its models, in the order in which they are asked whether a name is theirs.
#[derive(Deserialize)]
pub(super) struct Provider {
    pub id: String,
    pub source: Option<String>,
    /// Bare names that are its.
    pub claims: Option<Pattern>,
    /// Whose models it offers too.
    #[serde(default)]
    pub fallback: Vec<String>,
    pub models: Vec<Model>,
}

/// One model.
#[derive(Deserialize)]
pub(super) struct Model {
    pub id: String,
    /// The names it goes by; by default its id.
    #[serde(rename = "match")]
    pub pattern: Option<Pattern>,
    /// Several where they have a first day or hours: of those that hold, the last one counts.
    #[serde(default)]
    pub prices: OneOrMany,
    /// What other service tiers cost.
    #[serde(default)]
    pub tiers: Vec<Price>,
    pub source: Option<usize>,
    #[serde(flatten)]
    pub able: Able,
}

/// What a model can do, in few signs: there are thousands.
#[derive(Deserialize, Default)]
pub(super) struct Able {
    pub ctx: Option<u64>,
    pub max: Option<u64>,
    /// First letters of images, tools, audio, schema, reasoning.
    #[serde(default)]
    pub can: String,
    #[serde(default)]
    pub cannot: String,
    pub shutdown: Option<String>,
}

/// One price, and when and for whom it holds.
#[derive(Deserialize, Default)]
pub(super) struct Price {
    /// First day.
    pub from: Option<String>,
    /// First second of the day, and the first one after.
    pub hours: Option<(u32, u32)>,
    #[serde(default, deserialize_with = "tier")]
    pub tier: ServiceTier,
    #[serde(rename = "in")]
    input: Option<Step>,
    #[serde(rename = "out")]
    output: Option<Step>,
    read: Option<Step>,
    write: Option<Step>,
    write_1h: Option<Step>,
    in_audio: Option<Step>,
    out_audio: Option<Step>,
    reasoning: Option<Step>,
    request: Option<Step>,
}

impl Price {
    pub(super) fn rates(self) -> Rates {
        let units = [
            (Unit::Input, self.input),
            (Unit::Output, self.output),
            (Unit::CacheRead, self.read),
            (Unit::CacheWrite, self.write),
            (Unit::CacheWrite1h, self.write_1h),
            (Unit::InputAudio, self.in_audio),
            (Unit::OutputAudio, self.out_audio),
            (Unit::Reasoning, self.reasoning),
            (Unit::Request, self.request),
        ];
        Rates(units.into_iter().filter_map(|(unit, step)| Some((unit, step?.0))).collect())
    }
}

fn tier<'de, D: Deserializer<'de>>(from: D) -> Result<ServiceTier, D::Error> {
    let name = String::deserialize(from)?;
    ServiceTier::named(&name).ok_or_else(|| serde::de::Error::custom(format!("unknown service tier `{name}`")))
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(Box<Price>),
    Many(Vec<Price>),
}

impl Default for OneOrMany {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<Price> {
        match self {
            Self::One(price) => vec![*price],
            Self::Many(prices) => prices,
        }
    }
}

/// `"1.25"`, or `["1.25", [200000, "2.5"], ...]`. Amounts are text, so that no binary fraction comes between it and a
/// `Decimal`.
struct Step(Rate);

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Steps;
        impl<'de> Visitor<'de> for Steps {
            type Value = Step;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an amount as text, or an amount and [tokens, amount] pairs")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Step, E> {
                Ok(Step(Rate::flat(amount(text)?)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Step, A::Error> {
                let missing = || serde::de::Error::invalid_length(0, &"an amount");
                let base: String = seq.next_element()?.ok_or_else(missing)?;
                let mut above = Vec::new();
                while let Some((start, price)) = seq.next_element::<(u64, String)>()? {
                    above.push((start, amount(&price)?));
                }
                Ok(Step(Rate { base: amount(&base)?, above: above.into() }))
            }
        }
        from.deserialize_any(Steps)
    }
}

fn amount<E: serde::de::Error>(text: &str) -> Result<Decimal, E> {
    let found = Decimal::from_str_exact(text).ok().filter(|amount| !amount.is_sign_negative());
    found.ok_or_else(|| E::custom(format!("expected dollars of at least 0, found `{text}`")))
}
