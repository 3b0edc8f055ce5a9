//! Token counts in every shape that compatible servers give them.

use std::fmt;

use rust_decimal::Decimal;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Number, Value};

use crate::providers::types::Usage;

/// `usage`, as far as it is understood.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct RawUsage {
    prompt_tokens: Count,
    completion_tokens: Count,
    total_tokens: Count,
    prompt_tokens_details: Option<PromptDetails>,
    completion_tokens_details: Option<CompletionDetails>,
    /// `DeepSeek`.
    prompt_cache_hit_tokens: Count,
    /// Moonshot, Together.
    cached_tokens: Count,
    /// `OpenRouter`: dollars. Perplexity: an object with `total_cost`.
    cost: Option<Value>,
    cost_details: Option<Value>,
    is_byok: Option<Value>,
    /// `DeepInfra`: dollars.
    estimated_cost: Option<Value>,
}

/// Counts that belong elsewhere in `usage`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mended {
    /// `prompt_tokens_details.cached_tokens`.
    pub cached: Option<u64>,
    /// `completion_tokens`.
    pub completion: Option<u64>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "they are the names on the wire")]
struct PromptDetails {
    audio_tokens: Count,
    cached_tokens: Count,
    cache_write_tokens: Count,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct CompletionDetails {
    audio_tokens: Count,
    reasoning_tokens: Count,
}

impl RawUsage {
    /// As much of a usage of unexpected shape as can be understood.
    pub fn of(mut usage: Value) -> Option<Self> {
        usage.as_object_mut()?.retain(|name, part| part.is_object() || !name.ends_with("_details"));
        serde_json::from_value(usage).ok()
    }

    /// In our counting; `None` where not even the prompt is told.
    pub fn read(&self, provider: &str) -> Option<Usage> {
        let told = self.completion_tokens.0.unwrap_or(0);
        // Some embedding servers tell the total alone.
        let prompt_tokens = self.prompt_tokens.0.or_else(|| self.total_tokens.0?.checked_sub(told))?;
        let prompt = self.prompt_tokens_details.as_ref();
        let details = self.completion_tokens_details.as_ref();
        let cached = prompt.and_then(|details| details.cached_tokens.0);
        // Some of xAI's models count their reasoning beside the completion.
        let beside =
            self.total_tokens.0.and_then(|total| total.checked_sub(prompt_tokens)).filter(|_| provider == "xai");
        let usage = Usage {
            prompt_tokens,
            completion_tokens: beside.map_or(told, |made| made.max(told)),
            cached_tokens: cached.or(self.prompt_cache_hit_tokens.0).or(self.cached_tokens.0).unwrap_or(0),
            cache_write_tokens: prompt.and_then(|details| details.cache_write_tokens.0).unwrap_or(0),
            reasoning_tokens: details.and_then(|details| details.reasoning_tokens.0).unwrap_or(0),
            prompt_audio_tokens: prompt.and_then(|details| details.audio_tokens.0).unwrap_or(0),
            completion_audio_tokens: details.and_then(|details| details.audio_tokens.0).unwrap_or(0),
            billed: self.billed(provider),
            ..Usage::default()
        };
        Some(usage.bounded())
    }

    /// What the caller would not find where `OpenAI` puts it: cached tokens, and the whole completion.
    pub fn odd(&self, provider: &str) -> Option<Mended> {
        let usage = self.read(provider)?;
        let told = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens.0).is_some();
        let elsewhere = self.prompt_cache_hit_tokens.0.or(self.cached_tokens.0).is_some();
        let cached = (!told && elsewhere).then_some(usage.cached_tokens);
        let made = usage.completion_tokens;
        let completion = self.completion_tokens.0.filter(|told| *told != made).map(|_| made);
        (cached.is_some() || completion.is_some()).then_some(Mended { cached, completion })
    }

    /// What the provider itself says the call cost. Others may count in any unit under that name.
    fn billed(&self, provider: &str) -> Option<Decimal> {
        match provider {
            "openrouter" => {
                let cost = dollars(self.cost.as_ref()?)?;
                let own_key = self.is_byok == Some(Value::Bool(true));
                let upstream = self.cost_details.as_ref().and_then(|details| details.get("upstream_inference_cost"));
                // With a key of the caller's own, the maker of the model bills apart.
                match upstream.filter(|_| own_key) {
                    Some(upstream) => cost.checked_add(dollars(upstream)?),
                    None => Some(cost),
                }
            }
            "perplexity" => {
                let cost = self.cost.as_ref()?;
                dollars(cost.get("total_cost").unwrap_or(cost))
            }
            "deepinfra" => dollars(self.estimated_cost.as_ref()?),
            _ => None,
        }
    }
}

/// A JSON number as it was written, as far as a double can say.
fn dollars(value: &Value) -> Option<Decimal> {
    let text = value.as_number().map(Number::to_string)?;
    let exact = text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok());
    exact.filter(|amount: &Decimal| !amount.is_sign_negative() || amount.is_zero())
}

/// A number of at least zero, however it is spelled, as a whole one; anything else is nothing.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Count(Option<u64>);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a count")
            }

            fn visit_u64<E>(self, count: u64) -> Result<Count, E> {
                Ok(Count(Some(count).filter(|count| *count <= Usage::MOST)))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_f64<E>(self, count: f64) -> Result<Count, E> {
                // A fraction of a token is an estimate of the server's, and better than nothing.
                let told = count >= 0.0 && count < 2_f64.powi(53);
                Ok(Count(told.then_some(count.ceil() as u64)))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_str<E>(self, count: &str) -> Result<Count, E> {
                Ok(Count(count.trim().parse().ok().filter(|count| *count < 1 << 53)))
            }

            fn visit_unit<E>(self) -> Result<Count, E> {
                Ok(Count(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Count, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Count(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Count(None))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
