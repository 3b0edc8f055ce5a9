//! From tokens and prices to money.

use rust_decimal::Decimal;

use super::usage::Usage;
use crate::error::{Error, Result};

const MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);
const THOUSAND: Decimal = Decimal::from_parts(1_000, 0, 0, false, 0);

/// What a price is for. All but the last are tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// The prompt, and every part of it without a price of its own.
    Input,
    /// The completion, and every part of it without a price of its own.
    Output,
    /// Prompt tokens read from the cache.
    CacheRead,
    /// Prompt tokens written to the cache, for five minutes or an unnamed time.
    CacheWrite,
    /// Prompt tokens written to the cache for an hour.
    CacheWrite1h,
    /// Prompt tokens that are sound.
    InputAudio,
    /// Completion tokens that are sound.
    OutputAudio,
    /// Completion tokens of hidden reasoning.
    Reasoning,
    /// The call itself.
    Request,
}

impl Unit {
    /// All of them; a part comes after what it is a part of.
    pub const ALL: [Self; 9] = [
        Self::Input,
        Self::Output,
        Self::CacheRead,
        Self::CacheWrite,
        Self::CacheWrite1h,
        Self::InputAudio,
        Self::OutputAudio,
        Self::Reasoning,
        Self::Request,
    ];

    /// What it is called where people see it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::CacheRead => "cache_read",
            Self::CacheWrite => "cache_write",
            Self::CacheWrite1h => "cache_write_1h",
            Self::InputAudio => "input_audio",
            Self::OutputAudio => "output_audio",
            Self::Reasoning => "reasoning",
            Self::Request => "request",
        }
    }

    /// How many of it the price is for.
    pub fn per(self) -> Decimal {
        if self == Self::Request { THOUSAND } else { MILLION }
    }
}

/// US dollars for [`Unit::per`] of a unit, dearer (or cheaper) from some length of the whole prompt on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rate {
    /// Up to the first step.
    pub base: Decimal,
    /// For prompts of more than so many tokens, this price for all tokens; ascending.
    pub above: Box<[(u64, Decimal)]>,
}

impl Rate {
    /// The same whatever the length.
    pub fn flat(base: Decimal) -> Self {
        Self { base, above: Box::default() }
    }

    /// The price for a prompt of so many tokens.
    pub fn at(&self, prompt: Decimal) -> Decimal {
        self.above.iter().rev().find(|(start, _)| prompt > Decimal::from(*start)).map_or(self.base, |(_, price)| *price)
    }

    /// The highest price for any prompt up to so many tokens.
    pub fn most(&self, prompt: u64) -> Decimal {
        let steps = self.above.iter().filter(|(start, _)| prompt > *start).map(|(_, price)| *price);
        steps.fold(self.base, Decimal::max)
    }
}

/// What each unit costs. A unit without a price is paid for as part of what it belongs to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rates(pub(super) Box<[(Unit, Rate)]>);

impl Rates {
    /// The price of a unit, where it has one of its own.
    pub fn get(&self, unit: Unit) -> Option<&Rate> {
        self.0.iter().find(|(own, _)| *own == unit).map(|(_, rate)| rate)
    }

    /// Whether nothing about it can be paid for in tokens: then the price is not known.
    pub(super) fn is_unpriced(&self) -> bool {
        self.get(Unit::Input).is_none() && self.get(Unit::Output).is_none()
    }
}

/// Tokens of one call, or of an average call, hence with fractions. Counted as [`Usage`] counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    /// The whole prompt.
    pub prompt: Decimal,
    /// The whole completion.
    pub completion: Decimal,
    /// Prompt tokens read from the cache.
    pub cached: Decimal,
    /// Prompt tokens written to the cache, for any time.
    pub written: Decimal,
    /// The part of them that is kept for an hour.
    pub written_1h: Decimal,
    /// Completion tokens of hidden reasoning.
    pub reasoning: Decimal,
    /// Prompt tokens that are sound.
    pub prompt_audio: Decimal,
    /// Completion tokens that are sound.
    pub completion_audio: Decimal,
}

impl From<&Usage> for Amounts {
    fn from(usage: &Usage) -> Self {
        Self {
            prompt: usage.prompt_tokens.into(),
            completion: usage.completion_tokens.into(),
            cached: usage.cached_tokens.into(),
            written: usage.cache_write_tokens.into(),
            written_1h: usage.cache_write_1h_tokens.into(),
            reasoning: usage.reasoning_tokens.into(),
            prompt_audio: usage.prompt_audio_tokens.into(),
            completion_audio: usage.completion_audio_tokens.into(),
        }
    }
}

impl Amounts {
    /// Refuses numbers that cannot be: parts larger than their whole, and less than nothing.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value), naming both numbers.
    pub fn check(&self) -> Result<()> {
        let named = [
            ("input_tokens", self.prompt),
            ("output_tokens", self.completion),
            ("cached_tokens", self.cached),
            ("cache_write_tokens", self.written),
            ("cache_write_1h_tokens", self.written_1h),
            ("reasoning_tokens", self.reasoning),
            ("input_audio_tokens", self.prompt_audio),
            ("output_audio_tokens", self.completion_audio),
        ];
        if let Some((name, found)) = named.iter().find(|(_, amount)| amount.is_sign_negative() && !amount.is_zero()) {
            return Err(Error::value(format!("{name}: expected at least 0, found {found}")));
        }
        let sum = |parts: &[Decimal]| parts.iter().try_fold(Decimal::ZERO, |sum, part| sum.checked_add(*part));
        for (whole, limit, names, parts) in [
            ("input_tokens", self.prompt, "cached_tokens + cache_write_tokens", sum(&[self.cached, self.written])),
            ("cache_write_tokens", self.written, "cache_write_1h_tokens", Some(self.written_1h)),
            ("input_tokens", self.prompt, "input_audio_tokens", Some(self.prompt_audio)),
            (
                "output_tokens",
                self.completion,
                "reasoning_tokens + output_audio_tokens",
                sum(&[self.reasoning, self.completion_audio]),
            ),
        ] {
            let parts = parts.ok_or_else(|| Error::value(format!("{names}: more digits than 28")))?;
            if parts > limit {
                return Err(Error::value(format!(
                    "{names} are a part of {whole}: expected at most {limit}, found {parts}"
                )));
            }
        }
        Ok(())
    }

    /// How much of each unit is paid for at its own price: parts with a price are taken out of their whole. Nothing is
    /// ever less than zero, whatever a provider said.
    fn priced(&self, rates: &Rates, unit: Unit) -> Option<Decimal> {
        let own = |part: Unit, amount: Decimal| if rates.get(part).is_some() { amount } else { Decimal::ZERO };
        // Providers do not say how much of the cached prompt is sound: as little as the numbers allow.
        let uncached = || {
            let cached = own(Unit::CacheRead, self.cached);
            self.prompt.checked_sub(cached)?.checked_sub(own(Unit::CacheWrite, self.written))
        };
        let heard = |uncached: Decimal| self.prompt_audio.min(uncached.max(Decimal::ZERO));
        let left = match unit {
            Unit::Input => {
                let uncached = uncached()?;
                uncached.checked_sub(own(Unit::InputAudio, heard(uncached)))?
            }
            Unit::Output => {
                let reasoning = own(Unit::Reasoning, self.reasoning);
                self.completion.checked_sub(reasoning)?.checked_sub(own(Unit::OutputAudio, self.completion_audio))?
            }
            Unit::CacheRead => self.cached,
            Unit::CacheWrite => self.written.checked_sub(own(Unit::CacheWrite1h, self.written_1h))?,
            Unit::CacheWrite1h => self.written_1h,
            Unit::InputAudio => heard(uncached()?),
            Unit::OutputAudio => self.completion_audio,
            Unit::Reasoning => self.reasoning,
            Unit::Request => Decimal::ONE,
        };
        Some(left.max(Decimal::ZERO))
    }
}

/// One line of a cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CostPart {
    /// What is paid for.
    pub unit: Unit,
    /// How many tokens; 1 for [`Unit::Request`].
    pub amount: Decimal,
    /// US dollars for [`Unit::per`] of them.
    pub rate: Decimal,
    /// US dollars.
    pub cost: Decimal,
}

/// What one call costs, in US dollars.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cost {
    /// The sum of the parts.
    pub total: Decimal,
    /// What it is made of, without what costs nothing for want of tokens. Empty where the provider itself told the sum.
    pub parts: Vec<CostPart>,
}

/// What `amounts` cost at `rates`; `None` beyond 28 digits.
pub(super) fn charge(rates: &Rates, amounts: &Amounts) -> Option<Cost> {
    let mut cost = Cost::default();
    for unit in Unit::ALL {
        let Some(rate) = rates.get(unit) else { continue };
        let amount = amounts.priced(rates, unit)?;
        if amount.is_zero() {
            continue;
        }
        let rate = rate.at(amounts.prompt);
        let part = rate.checked_mul(amount)?.checked_div(unit.per())?.normalize();
        cost.total = cost.total.checked_add(part)?;
        cost.parts.push(CostPart { unit, amount, rate, cost: part });
    }
    cost.total = cost.total.normalize();
    Some(cost)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn rates(pairs: &[(Unit, &str)]) -> Rates {
        Rates(pairs.iter().map(|(unit, price)| (*unit, Rate::flat(decimal(price)))).collect())
    }

    fn total(rates: &Rates, amounts: &Amounts) -> Decimal {
        charge(rates, amounts).unwrap().total
    }

    #[test]
    fn parts_are_paid_at_their_own_price_or_with_their_whole() {
        let of = |cached: u64, written: u64, hour: u64| Amounts {
            prompt: 1_000_000.into(),
            completion: 1_000_000.into(),
            cached: cached.into(),
            written: written.into(),
            written_1h: hour.into(),
            reasoning: 400_000.into(),
            ..Amounts::default()
        };
        let plain = rates(&[(Unit::Input, "3"), (Unit::Output, "15")]);
        assert_eq!(total(&plain, &of(500_000, 200_000, 100_000)), decimal("18"));
        let full = rates(&[
            (Unit::Input, "3"),
            (Unit::Output, "15"),
            (Unit::CacheRead, "0.3"),
            (Unit::CacheWrite, "3.75"),
            (Unit::CacheWrite1h, "6"),
            (Unit::Reasoning, "5"),
        ]);
        // 0.3 M at 3, 0.5 M at 0.3, 0.1 M at 3.75, 0.1 M at 6; 0.6 M at 15, 0.4 M at 5.
        assert_eq!(total(&full, &of(500_000, 200_000, 100_000)), decimal("13.025"));
    }

    #[test]
    fn a_provider_that_contradicts_itself_never_earns_us_money() {
        let all = rates(&[(Unit::Input, "3"), (Unit::CacheRead, "0.3"), (Unit::CacheWrite, "4")]);
        let amounts = Amounts { prompt: 10.into(), cached: 1_000_000.into(), ..Amounts::default() };
        assert_eq!(total(&all, &amounts), decimal("0.3"));
        let error = amounts.check().unwrap_err();
        assert!(error.message().contains("expected at most 10, found 1000000"), "{error}");
        let hour = Amounts { prompt: 10.into(), written: 5.into(), written_1h: 9.into(), ..Amounts::default() };
        assert!(hour.check().is_err());
    }

    #[test]
    fn a_fee_for_the_call_is_paid_once() {
        let fee = rates(&[(Unit::Input, "1"), (Unit::Request, "12")]);
        let cost = charge(&fee, &Amounts { prompt: 1_000.into(), ..Amounts::default() }).unwrap();
        assert_eq!(cost.total, decimal("0.013"));
        assert_eq!(
            cost.parts[1],
            CostPart { unit: Unit::Request, amount: 1.into(), rate: 12.into(), cost: decimal("0.012") }
        );
    }

    prop_compose! {
        fn any_amounts()(whole in 0u64..2_000_000, out in 0u64..200_000, split in prop::collection::vec(0u64..=100, 5)) -> Amounts {
            let share = |of: u64, percent: u64| Decimal::from(of * percent / 100);
            let cached = share(whole, split[0] / 2);
            let written = share(whole, split[1] / 2);
            Amounts {
                prompt: whole.into(), completion: out.into(), cached, written,
                written_1h: (written * Decimal::from(split[2]) / Decimal::ONE_HUNDRED).floor(),
                reasoning: share(out, split[3] / 2), completion_audio: share(out, split[4] / 2), prompt_audio: share(whole, split[4]),
            }
        }
    }

    fn any_rates() -> impl Strategy<Value = Rates> {
        let price = (0i64..100_000_000, 0u32..8).prop_map(|(digits, scale)| Decimal::new(digits, scale));
        let steps = prop::collection::btree_map(0u64..2_000_000, price.clone(), 0..3);
        let rate = (price, steps).prop_map(|(base, above)| Rate { base, above: above.into_iter().collect() });
        (prop::collection::vec(rate, 9), prop::collection::vec(any::<bool>(), 9)).prop_map(|(rates, has)| {
            let kept = Unit::ALL.into_iter().zip(rates).zip(has);
            // A part is priced only where its whole is.
            Rates(
                kept.filter(|((unit, _), has)| *has || matches!(unit, Unit::Input | Unit::Output | Unit::CacheWrite))
                    .map(|(pair, _)| pair)
                    .collect(),
            )
        })
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_total_and_to_all_tokens(rates in any_rates(), amounts in any_amounts()) {
            prop_assert!(amounts.check().is_ok());
            let cost = charge(&rates, &amounts).unwrap();
            prop_assert_eq!(cost.parts.iter().map(|part| part.cost).sum::<Decimal>(), cost.total);
            let tokens: Decimal = cost.parts.iter().filter(|part| part.unit != Unit::Request).map(|part| part.amount).sum();
            prop_assert_eq!(tokens, amounts.prompt + amounts.completion);
        }

        #[test]
        fn at_one_length_of_prompt_cost_is_linear_in_the_completion(rates in any_rates(), amounts in any_amounts(), times in 0u64..50) {
            let with = |times: u64| {
                let times = Decimal::from(times);
                let (completion, reasoning) = (amounts.completion * times, amounts.reasoning * times);
                total(&rates, &Amounts { completion, reasoning, completion_audio: amounts.completion_audio * times, ..amounts })
            };
            prop_assert_eq!(with(times) - with(0), (with(1) - with(0)) * Decimal::from(times));
        }

        #[test]
        fn without_steps_cost_is_linear_in_all_tokens(rates in any_rates(), amounts in any_amounts(), times in 0u64..50) {
            let flat = Rates(rates.0.iter().filter(|(unit, _)| *unit != Unit::Request).map(|(unit, rate)| (*unit, Rate::flat(rate.base))).collect());
            let times = Decimal::from(times);
            let many = Amounts {
                prompt: amounts.prompt * times, completion: amounts.completion * times, cached: amounts.cached * times,
                written: amounts.written * times, written_1h: amounts.written_1h * times, reasoning: amounts.reasoning * times,
                prompt_audio: amounts.prompt_audio * times, completion_audio: amounts.completion_audio * times,
            };
            prop_assert_eq!(total(&flat, &many), total(&flat, &amounts) * times);
        }

        #[test]
        fn with_rising_steps_a_longer_prompt_never_costs_less(mut prices in prop::collection::vec(0i64..1_000_000, 3), a in 0u64..2_000_000, b in 0u64..2_000_000) {
            prices.sort_unstable();
            let prices: Vec<_> = prices.into_iter().map(|digits| Decimal::new(digits, 4)).collect();
            let rate = Rate { base: prices[0], above: Box::new([(100_000, prices[1]), (500_000, prices[2])]) };
            let rates = Rates(Box::new([(Unit::Input, rate)]));
            let of = |prompt: u64| total(&rates, &Amounts { prompt: prompt.into(), ..Amounts::default() });
            prop_assert!(of(a.min(b)) <= of(a.max(b)));
        }

        #[test]
        fn the_step_is_chosen_by_the_whole_prompt(prompt in 0u64..400_000, cached in 0u64..400_000) {
            let step = |base: &str, dear: &str| Rate { base: decimal(base), above: Box::new([(200_000, decimal(dear))]) };
            let rates = Rates(Box::new([(Unit::Input, step("1", "2")), (Unit::Output, step("10", "15")), (Unit::CacheRead, step("0.1", "0.2"))]));
            let cached = cached.min(prompt);
            let amounts = Amounts { prompt: prompt.into(), cached: cached.into(), completion: 1_000_000.into(), ..Amounts::default() };
            let (input, output, read) = if prompt > 200_000 { (2, 15, "0.2") } else { (1, 10, "0.1") };
            let million = Decimal::from(1_000_000);
            let expected = Decimal::from((prompt - cached) * input) / million + Decimal::from(output) + Decimal::from(cached) * decimal(read) / million;
            prop_assert_eq!(total(&rates, &amounts), expected);
        }

        #[test]
        fn no_amount_panics(digits in prop::collection::vec(any::<i128>(), 8), rates in any_rates()) {
            let value = |index: usize| Decimal::try_from_i128_with_scale(digits[index] >> 32, 3).unwrap();
            let amounts = Amounts {
                prompt: value(0), completion: value(1), cached: value(2), written: value(3), written_1h: value(4),
                reasoning: value(5), prompt_audio: value(6), completion_audio: value(7),
            };
            let _ = amounts.check();
            let _ = charge(&rates, &amounts);
        }
    }
}
