//! The bill for a number of requests under a mix of models.

use rust_decimal::Decimal;

use super::table::{Price, Table};
use crate::error::{Error, Result};

/// One model's part of the traffic.
#[derive(Debug, Clone)]
pub struct Part {
    /// Model name, as in the table.
    pub model: String,
    /// Share of the requests, in 0..=1.
    pub share: Decimal,
    /// Prompt tokens of an average request.
    pub prompt_tokens: Decimal,
    /// Completion tokens of an average request.
    pub completion_tokens: Decimal,
}

/// One model's line on the bill.
#[derive(Debug, Clone)]
pub struct Line {
    /// Model name, as it was given.
    pub model: String,
    /// Number of requests; a share of an odd number may leave a fraction.
    pub requests: Decimal,
    /// The price they were charged at.
    pub price: Price,
    /// US dollars, exact.
    pub cost: Decimal,
}

/// What a number of requests cost.
#[derive(Debug, Clone)]
pub struct Bill {
    /// One line for each part of the mix, in its order.
    pub lines: Vec<Line>,
    /// US dollars, exact.
    pub total: Decimal,
}

/// Shares that are counted rather than chosen, such as 1/3, do not add up to exactly one.
const SLACK: Decimal = Decimal::from_parts(1, 0, 0, false, 9);

/// A million, the number of tokens that prices are for.
const MILLION: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// The bill for `requests` requests under `mix`, at the prices of the day `at` (`YYYY-MM-DD`; by default the newest).
///
/// # Errors
/// [`Kind::Name`](crate::Kind::Name) for a model without a known price; [`Kind::Value`](crate::Kind::Value) for
/// negative numbers, shares that do not add up to one, and amounts beyond 28 digits.
pub fn bill(table: &Table, requests: u64, mix: &[Part], at: Option<&str>) -> Result<Bill> {
    for part in mix {
        let negative =
            [part.share, part.prompt_tokens, part.completion_tokens].into_iter().find(|n| *n < Decimal::ZERO);
        if let Some(found) = negative {
            let model = &part.model;
            return Err(Error::value(format!("the part of `{model}`: expected numbers of at least 0, found {found}")));
        }
    }
    let shares = mix.iter().try_fold(Decimal::ZERO, |sum, part| sum.checked_add(part.share)).ok_or_else(too_large)?;
    if (shares - Decimal::ONE).abs() > SLACK {
        return Err(Error::value(format!("the shares of a mix add up to {}, expected 1", shares.normalize())));
    }
    let mut bill = Bill { lines: Vec::with_capacity(mix.len()), total: Decimal::ZERO };
    for part in mix {
        let price = table.require(&part.model, at)?.clone();
        let requests = Decimal::from(requests).checked_mul(part.share).ok_or_else(too_large)?;
        let cost = cost(&price, requests, part).ok_or_else(too_large)?;
        bill.total = bill.total.checked_add(cost).ok_or_else(too_large)?;
        bill.lines.push(Line {
            model: part.model.clone(),
            requests: requests.normalize(),
            price,
            cost: cost.normalize(),
        });
    }
    bill.total = bill.total.normalize();
    Ok(bill)
}

fn cost(price: &Price, requests: Decimal, part: &Part) -> Option<Decimal> {
    let input = part.prompt_tokens.checked_mul(price.input)?;
    let output = part.completion_tokens.checked_mul(price.output)?;
    input.checked_add(output)?.checked_mul(requests)?.checked_div(MILLION)
}

fn too_large() -> Error {
    Error::value("the bill has more digits than 28: expected smaller numbers")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Kind;

    /// The date of the article whose cost calculation is reproduced here.
    const DAY: Option<&str> = Some("2026-01-12");

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn part(model: &str, share: &str) -> Part {
        let (share, prompt_tokens, completion_tokens) = (decimal(share), decimal("1000"), decimal("500"));
        Part { model: model.to_owned(), share, prompt_tokens, completion_tokens }
    }

    #[test]
    fn a_million_requests_cost_what_the_article_says_but_for_its_slip() {
        let table = Table::builtin().unwrap();
        let bill = |mix: &[(&str, &str)]| {
            let mix: Vec<_> = mix.iter().map(|(model, share)| part(model, share)).collect();
            super::bill(&table, 1_000_000, &mix, DAY).unwrap()
        };
        assert_eq!(bill(&[("gpt-5.2", "1")]).total, decimal("8750"));
        assert_eq!(bill(&[("gpt-5-2", "0.3"), ("openai/gpt-5-mini", "0.7")]).total, decimal("3500"));
        // Printed as 1,925; its own parts add up to 2,025.
        let aggressive = bill(&[("gpt-5.2", "0.15"), ("gpt-5-mini", "0.50"), ("gpt-5-nano", "0.35")]);
        let costs: Vec<_> = aggressive.lines.iter().map(|line| line.cost).collect();
        assert_eq!(costs, [decimal("1312.5"), decimal("625"), decimal("87.5")]);
        assert_eq!(aggressive.total, decimal("2025"));
        assert_eq!(aggressive.lines[1].requests, decimal("500000"));
    }

    #[test]
    fn an_unknown_price_is_never_free() {
        let table = Table::builtin().unwrap();
        let error = bill(&table, 1, &[part("gpt-99", "1")], None).unwrap_err();
        assert_eq!(error.kind(), Kind::Name);
        // Before its price was known, a known model is unknown too.
        assert_eq!(bill(&table, 1, &[part("gpt-5.2", "1")], Some("2020-01-01")).unwrap_err().kind(), Kind::Name);
    }

    #[test]
    fn mixes_that_make_no_sense_are_refused() {
        let table = Table::builtin().unwrap();
        let message = |mix: &[Part]| bill(&table, 1000, mix, DAY).unwrap_err().message().to_owned();
        assert_eq!(message(&[]), "the shares of a mix add up to 0, expected 1");
        let mix = [part("gpt-5.2", "0.3"), part("gpt-5-mini", "0.60")];
        assert_eq!(message(&mix), "the shares of a mix add up to 0.9, expected 1");
        let mix = [part("gpt-5.2", "1.5"), part("gpt-5-mini", "-0.5")];
        assert!(message(&mix).contains("expected numbers of at least 0, found -0.5"));
        let least = Part { share: Decimal::MIN, ..part("gpt-5.2", "1") };
        assert!(message(&[least]).contains("expected numbers of at least 0"));
        let huge = Part { prompt_tokens: Decimal::MAX, ..part("gpt-5.2", "1") };
        assert!(message(&[huge]).contains("more digits than 28"));
        let third = Decimal::ONE / Decimal::from(3);
        let thirds = ["gpt-5.2", "gpt-5-mini", "gpt-5-nano"].map(|model| Part { share: third, ..part(model, "0") });
        assert!(bill(&table, 1000, &thirds, DAY).is_ok());
    }

    proptest! {
        #[test]
        fn cost_is_linear_in_requests_and_in_tokens(requests in 0u64..1_000_000, prompt in 0u32..100_000, completion in 0u32..100_000) {
            let table = Table::builtin().unwrap();
            let total = |requests, times: u32| {
                let one = Part {
                    prompt_tokens: Decimal::from(prompt) * Decimal::from(times),
                    completion_tokens: Decimal::from(completion) * Decimal::from(times),
                    ..part("gpt-5-nano", "1")
                };
                bill(&table, requests, &[one], DAY).unwrap().total
            };
            prop_assert_eq!(total(requests, 3), total(requests, 1) * Decimal::from(3));
            prop_assert_eq!(total(requests * 3, 1), total(requests, 3));
        }
    }
}
