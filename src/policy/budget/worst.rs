//! What a request may cost at worst.
//!
//! All tokens of the prompt at the dearest rate that may apply to any of them (written to a cache, sound, a long context,
//! the class of service asked for or the ordinary one), all answers as long as they may be at the dearest rate of theirs.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::error::{Denied, Error, Result};
use crate::pricing::{Rates, ServiceTier, Table, Unit};
use crate::providers::demand::Demand;
use crate::providers::{Dialect, Endpoint};

/// The longest prompt of a model of which nobody says it.
const CONTEXT: u64 = 1_000_000;
/// Tokens of price tables.
const MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);
/// Picodollars of a dollar.
const PICO: Decimal = Decimal::from_parts(3_567_587_328, 232, 0, false, 0);

/// The dearest prices of a request at one endpoint, in picodollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Worst {
    /// The whole prompt, and the fee for the call.
    pub prompt: Decimal,
    /// One token of each of the answers.
    pub token: Decimal,
    /// The longest answer the model gives; not looked up where the request says how long it may be.
    pub longest: Option<u64>,
}

impl Worst {
    /// Of `demand` at `endpoint`, as `answers` answers to one request.
    ///
    /// # Errors
    /// `unpriced_model` where no price is known.
    pub(super) fn of(endpoint: &Endpoint, demand: &Demand, answers: u64) -> Result<Self> {
        let table = Table::shared();
        let names = [endpoint.base_model.as_deref(), Some(&*endpoint.name)];
        let names: Vec<&str> = names.into_iter().flatten().collect();
        // Only where something is not said.
        let asks = demand.refers || demand.output.is_none();
        let facts = names.iter().filter(|_| asks).find_map(|name| table.facts(name));
        let mut input = demand.input;
        if demand.refers {
            input = input.max(facts.and_then(|facts| facts.context).unwrap_or(CONTEXT));
        }
        let asked = demand.tier.filter(|tier| *tier != ServiceTier::Standard);
        let mut worst: Option<Self> = None;
        for tier in [ServiceTier::Standard].into_iter().chain(asked) {
            let Some(rates) = table.rates(&names, tier, None) else { continue };
            let found = Self::at(&rates, endpoint, demand, input, answers);
            let found = found.ok_or_else(|| Error::value("the call is too large to be priced"))?;
            worst = Some(worst.map_or(found, |worst| worst.or(found)));
        }
        let worst = worst.ok_or_else(|| unpriced(&endpoint.name))?;
        Ok(Self { longest: facts.and_then(|facts| facts.max_output), ..worst })
    }

    fn at(rates: &Rates, endpoint: &Endpoint, demand: &Demand, input: u64, answers: u64) -> Option<Self> {
        let most = |units: &[Unit]| {
            let rates = units.iter().filter_map(|unit| rates.get(*unit));
            rates.map(|rate| rate.most(input)).fold(Decimal::ZERO, Decimal::max)
        };
        // Others write to their caches unasked.
        let written = demand.cached || endpoint.dialect != Dialect::Anthropic;
        let cache: &[Unit] = match (written, endpoint.dialect) {
            (false, _) => &[],
            (true, Dialect::Anthropic) => &[Unit::CacheWrite, Unit::CacheWrite1h],
            (true, _) => &[Unit::CacheWrite],
        };
        let (heard, said): (&[Unit], &[Unit]) =
            if demand.audio { (&[Unit::InputAudio], &[Unit::OutputAudio]) } else { (&[], &[]) };
        let prompt = most(&[Unit::Input]).max(most(cache)).max(most(heard));
        let token = most(&[Unit::Output, Unit::Reasoning]).max(most(said));
        let per_token = PICO.checked_div(MILLION)?;
        let fee = most(&[Unit::Request]).checked_div(Unit::Request.per())?.checked_mul(PICO)?;
        let prompt = prompt.checked_mul(per_token)?.checked_mul(input.into())?.checked_add(fee)?;
        let token = token.checked_mul(per_token)?.checked_mul(answers.into())?;
        Some(Self { prompt, token, longest: None })
    }

    fn or(self, other: Self) -> Self {
        Self { prompt: self.prompt.max(other.prompt), token: self.token.max(other.token), longest: self.longest }
    }

    /// With answers of at most so many tokens, in whole picodollars; what no number holds is more than any budget.
    pub(super) fn with(&self, output: u64) -> i64 {
        let sum = self.token.checked_mul(output.into()).and_then(|answers| answers.checked_add(self.prompt));
        sum.and_then(|sum| sum.ceil().to_i64()).unwrap_or(i64::MAX)
    }

    /// How long the answers may be at this price; `None` where any length costs the same.
    pub(super) fn affordable(&self, pico: i64) -> Option<u64> {
        if self.token.is_zero() {
            return None;
        }
        let left = Decimal::from(pico).checked_sub(self.prompt).unwrap_or_default().max(Decimal::ZERO);
        Some(left.checked_div(self.token)?.floor().to_u64().unwrap_or(u64::MAX))
    }
}

/// That a model whose price nobody knows cannot be called under a budget.
fn unpriced(model: &str) -> Error {
    let denied = Denied { status: 403, code: "unpriced_model", retry_after: None };
    let said = format!(
        "no price is known for `{model}`, so it cannot be called under a budget: give its price in the file that \
         FERROUTE_PRICES names, or its `base_model`"
    );
    Error::denied(denied, said)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::pricing::{Usage, pico};
    use crate::providers::{Asked, ChatRequest, resolve};

    fn endpoint(model: &str) -> Endpoint {
        let asked = Asked { api_base: Some("http://127.0.0.1:9".into()), ..Asked::default() };
        resolve(model, &asked, &|_| None).unwrap()
    }

    fn worst(model: &str, body: &str) -> i64 {
        let demand = Demand::of(&ChatRequest::new(body.to_owned())).unwrap();
        Worst::of(&endpoint(model), &demand, demand.answers).unwrap().with(demand.output.unwrap())
    }

    #[test]
    fn bytes_and_the_longest_answers_are_priced() {
        // 1.75 and 14 dollars a million tokens.
        let body = r#"{"max_tokens":1000,"n":2,"messages":[]}"#;
        assert_eq!(worst("openai/gpt-5.2", body), body.len() as i64 * 1_750_000 + 2 * 1000 * 14_000_000);
        let priority = body.replace("[]", r#"[],"service_tier":"priority""#);
        assert_eq!(worst("openai/gpt-5.2", &priority), priority.len() as i64 * 3_500_000 + 2000 * 28_000_000);
        // What is cheaper than usual may be served as usual.
        let flex = body.replace("[]", r#"[],"service_tier":"flex""#);
        assert_eq!(worst("openai/gpt-5.2", &flex), flex.len() as i64 * 1_750_000 + 2000 * 14_000_000);
        assert_eq!(worst("hosted_vllm/mine", body), 0);
    }

    #[test]
    fn marks_for_a_cache_are_paid_for() {
        let plain = r#"{"max_tokens":1,"messages":[{"role":"user","content":"x"}]}"#;
        let marked =
            r#"{"max_tokens":1,"messages":[{"role":"user","content":"x","cache_control":{"type":"ephemeral"}}]}"#;
        let of = |body: &str| (worst("anthropic/claude-haiku-4-5", body) - 5_000_000) / body.len() as i64;
        assert_eq!((of(plain), of(marked)), (1_000_000, 2_000_000));
    }

    #[test]
    fn an_unknown_price_is_a_refusal() {
        let demand = Demand { output: Some(1), answers: 1, ..Demand::default() };
        let error = Worst::of(&endpoint("openai/who-knows"), &demand, 1).unwrap_err();
        assert_eq!(error.why_denied().unwrap().code, "unpriced_model");
        assert!(error.message().contains("`openai/who-knows`"), "{error}");
    }

    #[test]
    fn lengths_and_money_agree() {
        let demand = Demand { input: 1000, answers: 3, ..Demand::default() };
        let worst = Worst::of(&endpoint("openai/gpt-5.2"), &demand, 3).unwrap();
        for money in [0, 1_750_000_000, 1_792_000_000, 1_791_999_999, 9_999_999_999_999] {
            let length = worst.affordable(money).unwrap();
            assert!(length == 0 || worst.with(length) <= money, "{money}");
            assert!(worst.with(length + 1) > money, "{money}");
        }
        assert_eq!(worst.with(u64::MAX), i64::MAX);
        assert!(worst.longest.unwrap() >= 100_000);
    }

    #[test]
    fn no_answer_within_its_limits_costs_more() {
        for model in ["openai/gpt-5.2", "openai/gpt-5.5", "anthropic/claude-haiku-4-5", "gemini/gemini-2.5-pro"] {
            for (prompt, completion) in [(0, 0), (10, 5), (1000, 1000), (300_000, 50_000)] {
                let demand = Demand { input: prompt, answers: 1, cached: true, ..Demand::default() };
                let most = Worst::of(&endpoint(model), &demand, 1).unwrap().with(completion);
                for (cached, written) in [(0, 0), (prompt, 0), (0, prompt), (prompt / 2, prompt / 3)] {
                    for part in 1..=4 {
                        let usage = Usage {
                            prompt_tokens: prompt / part,
                            completion_tokens: completion / part,
                            cached_tokens: cached / part,
                            cache_write_tokens: written / part,
                            reasoning_tokens: completion / part / 2,
                            ..Usage::default()
                        };
                        let cost = Table::shared().cost(&[model], &usage.bounded(), None).unwrap().total;
                        assert!(pico(cost).unwrap() <= most, "{model} {usage:?}");
                    }
                }
            }
        }
    }
}
