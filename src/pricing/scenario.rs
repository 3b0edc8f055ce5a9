//! What a number of requests under a mix of models costs, and what that saves.

use rust_decimal::Decimal;

use super::moment::Moment;
use super::rates::Amounts;
use super::table::Table;
use super::usage::ServiceTier;
use crate::error::{Error, Result};

/// One model's part of the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Model, as it was named.
    pub model: String,
    /// Its share of the requests, in 0..=1.
    pub share: Decimal,
    /// Number of requests; a share of an odd number may leave a fraction.
    pub requests: Decimal,
    /// US dollars; `None` where its price is not known.
    pub cost: Option<Decimal>,
}

/// What a number of requests costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scenario {
    /// One line for each model, in the order of the mix.
    pub lines: Vec<Line>,
    /// The sum; `None` where a model that is used has no price, since the rest is not what it costs.
    pub cost: Option<Decimal>,
    /// The same requests at the baseline model.
    pub baseline: Option<Line>,
}

/// Shares that are counted rather than chosen, such as 1/3, do not add up to exactly one.
const SLACK: Decimal = Decimal::from_parts(1, 0, 0, false, 9);

/// What `requests` of `amounts` tokens each cost under `mix` (model and share), and at `baseline`.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) for negative numbers, shares that do not add up to one, parts of the tokens
/// that are larger than their whole, and sums beyond 28 digits.
pub fn scenario(
    table: &Table,
    requests: Decimal,
    amounts: &Amounts,
    mix: &[(String, Decimal)],
    baseline: Option<&str>,
    tier: ServiceTier,
    at: Option<Moment>,
) -> Result<Scenario> {
    amounts.check()?;
    if requests < Decimal::ZERO {
        return Err(Error::value(format!("requests: expected at least 0, found {requests}")));
    }
    if let Some((model, share)) = mix.iter().find(|(_, share)| *share < Decimal::ZERO) {
        return Err(Error::value(format!("the share of `{model}`: expected at least 0, found {share}")));
    }
    let shares = mix.iter().try_fold(Decimal::ZERO, |sum, (_, share)| sum.checked_add(*share)).ok_or_else(too_large)?;
    if (shares - Decimal::ONE).abs() > SLACK {
        return Err(Error::value(format!("the shares of a mix add up to {}, expected 1", shares.normalize())));
    }
    let at = Some(at.unwrap_or_else(Moment::now));
    let line = |model: &str, share: Decimal| {
        let requests = requests.checked_mul(share).ok_or_else(too_large)?.normalize();
        let cost = if table.price(&[model], tier, at).is_some() {
            let each = table.cost_of(&[model], amounts, tier, at).ok_or_else(too_large)?;
            Some(each.total.checked_mul(requests).ok_or_else(too_large)?.normalize())
        } else {
            None
        };
        Ok::<_, Error>(Line { model: model.to_owned(), share, requests, cost })
    };
    let lines = mix.iter().map(|(model, share)| line(model, *share)).collect::<Result<Vec<_>>>()?;
    let mut cost = Some(Decimal::ZERO);
    for line in lines.iter().filter(|line| !line.requests.is_zero()) {
        cost = match (cost, line.cost) {
            (Some(sum), Some(cost)) => Some(sum.checked_add(cost).ok_or_else(too_large)?.normalize()),
            _ => None,
        };
    }
    let baseline = baseline.map(|model| line(model, Decimal::ONE)).transpose()?;
    Ok(Scenario { lines, cost, baseline })
}

fn too_large() -> Error {
    Error::value("the sum has more digits than 28: expected smaller numbers")
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

    /// The date of the article whose cost calculation is reproduced here.
    fn day() -> Option<Moment> {
        "2026-01-12".parse().ok()
    }

    fn amounts(prompt: u64, completion: u64) -> Amounts {
        Amounts { prompt: prompt.into(), completion: completion.into(), ..Amounts::default() }
    }

    fn of(requests: u64, amounts: &Amounts, mix: &[(&str, &str)]) -> Result<Scenario> {
        let mix: Vec<_> = mix.iter().map(|(model, share)| ((*model).to_owned(), decimal(share))).collect();
        scenario(&TABLE, requests.into(), amounts, &mix, Some("gpt-5.2"), ServiceTier::Standard, day())
    }

    #[test]
    fn a_million_requests_cost_what_the_article_says_but_for_its_slip() {
        let cost = |mix: &[(&str, &str)]| of(1_000_000, &amounts(1000, 500), mix).unwrap();
        assert_eq!(cost(&[("gpt-5.2", "1")]).cost, Some(decimal("8750")));
        let basic = cost(&[("gpt-5-2", "0.3"), ("openai/gpt-5-mini", "0.7")]);
        assert_eq!(basic.cost, Some(decimal("3500")));
        assert_eq!(basic.baseline.unwrap().cost, Some(decimal("8750")));
        // Printed as 1,925; its own parts add up to 2,025.
        let aggressive = cost(&[("gpt-5.2", "0.15"), ("gpt-5-mini", "0.50"), ("gpt-5-nano", "0.35")]);
        let costs: Vec<_> = aggressive.lines.iter().map(|line| line.cost.unwrap()).collect();
        assert_eq!(costs, [decimal("1312.5"), decimal("625"), decimal("87.5")]);
        assert_eq!(aggressive.cost, Some(decimal("2025")));
        assert_eq!(aggressive.lines[1].requests, decimal("500000"));
        // 70 % of the calls at a seventh of the price of input.
        let input = of(1, &amounts(1000, 0), &[("gpt-5.2", "0.3"), ("gpt-5-mini", "0.7")]).unwrap();
        let (cost, all) = (input.cost.unwrap(), input.baseline.unwrap().cost.unwrap());
        assert_eq!(Decimal::ONE - cost / all, decimal("0.6"));
    }

    #[test]
    fn an_unknown_price_is_never_free() {
        let found = of(10, &amounts(1, 1), &[("gpt-99", "0.5"), ("gpt-5.2", "0.5")]).unwrap();
        assert_eq!((found.cost, found.lines[0].cost), (None, None));
        assert!(found.lines[1].cost.is_some());
        let unused = of(10, &amounts(1, 1), &[("gpt-99", "0"), ("gpt-5.2", "1")]).unwrap();
        assert!(unused.cost.is_some());
    }

    #[test]
    fn mixes_that_make_no_sense_are_refused() {
        let message = |requests, amounts: &Amounts, mix: &[(&str, &str)]| {
            of(requests, amounts, mix).unwrap_err().message().to_owned()
        };
        let few = amounts(1, 1);
        assert_eq!(message(1, &few, &[]), "the shares of a mix add up to 0, expected 1");
        assert_eq!(
            message(1, &few, &[("gpt-5.2", "0.3"), ("gpt-5-mini", "0.60")]),
            "the shares of a mix add up to 0.9, expected 1"
        );
        assert!(
            message(1, &few, &[("gpt-5.2", "1.5"), ("gpt-5-mini", "-0.5")]).contains("expected at least 0, found -0.5")
        );
        let most = Amounts { prompt: Decimal::MAX, ..Amounts::default() };
        assert!(message(u64::MAX, &most, &[("gpt-5.2", "1")]).contains("more digits than 28"));
        let parts = Amounts { cached: 2.into(), ..few };
        assert!(message(1, &parts, &[("gpt-5.2", "1")]).contains("cached_tokens"));
        let third = (Decimal::ONE / Decimal::from(3)).to_string();
        assert!(of(1, &few, &[("gpt-5.2", &third), ("gpt-5-mini", &third), ("gpt-5-nano", &third)]).is_ok());
    }

    proptest! {
        #[test]
        fn cost_is_linear_in_requests_and_in_tokens(requests in 0u64..1_000_000, prompt in 0u64..100_000, completion in 0u64..100_000) {
            let total = |requests, times: u64| of(requests, &amounts(prompt * times, completion * times), &[("gpt-5-nano", "1")]).unwrap().cost.unwrap();
            prop_assert_eq!(total(requests, 3), total(requests, 1) * Decimal::from(3));
            prop_assert_eq!(total(requests * 3, 1), total(requests, 3));
        }
    }
}
