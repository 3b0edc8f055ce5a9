//! `_core.pricing_*`: prices, costs and scenarios of the table that the process uses, as decimals.

use pyo3::prelude::*;

use super::arguments::List;
use super::money::Amount;
use crate::error::{Error, Result};
use crate::pricing::scenario::{Line, scenario};
use crate::pricing::{self, Amounts, Facts, Moment, Own, Rate, ServiceTier, Table, Unit};

/// Input, output, cached, written, written for an hour, reasoning, input that is sound, output that is sound.
type Tokens = (Amount, Amount, Amount, Amount, Amount, Amount, Amount, Amount);

fn amounts(tokens: Tokens) -> Result<Amounts> {
    let amounts = Amounts {
        prompt: tokens.0.0,
        completion: tokens.1.0,
        cached: tokens.2.0,
        written: tokens.3.0,
        written_1h: tokens.4.0,
        reasoning: tokens.5.0,
        prompt_audio: tokens.6.0,
        completion_audio: tokens.7.0,
    };
    amounts.check().map(|()| amounts)
}

/// The table that the process uses; an error where the user's own prices cannot be read.
fn table() -> Result<&'static Table> {
    pricing::check()?;
    Ok(Table::shared())
}

fn tier_of(name: Option<&str>) -> Result<ServiceTier> {
    let Some(name) = name else { return Ok(ServiceTier::Standard) };
    ServiceTier::named(name).ok_or_else(|| {
        Error::value(format!("service_tier: expected default, batch, flex, priority or fast, found `{name}`"))
    })
}

fn moment(at: Option<&str>) -> Result<Option<Moment>> {
    at.map(str::parse).transpose()
}

/// Unit, how many, US dollars for `per` of them, per, US dollars.
type PartTuple = (&'static str, Amount, Amount, Amount, Amount);

#[pyfunction]
#[pyo3(signature = (models, tokens, tier=None, at=None))]
#[expect(clippy::needless_pass_by_value, reason = "a list of Python's is a vector here")]
fn pricing_cost(
    models: List<String>,
    tokens: Tokens,
    tier: Option<&str>,
    at: Option<&str>,
) -> PyResult<Option<(Amount, Vec<PartTuple>)>> {
    let names: Vec<_> = models.iter().map(String::as_str).collect();
    let cost = table()?.cost_of(&names, &amounts(tokens)?, tier_of(tier)?, moment(at)?);
    Ok(cost.map(|cost| {
        let part = |part: &pricing::CostPart| {
            let numbers = [part.amount, part.rate, part.unit.per(), part.cost].map(|number| Amount(number.normalize()));
            let [amount, rate, per, cost] = numbers;
            (part.unit.name(), amount, rate, per, cost)
        };
        (Amount(cost.total), cost.parts.iter().map(part).collect())
    }))
}

/// Unit, US dollars, per how many, and what it costs above so many tokens of prompt.
type RateTuple = (&'static str, Amount, Amount, Vec<(u64, Amount)>);

fn rate_tuple((unit, rate): (Unit, &Rate)) -> RateTuple {
    let above = rate.above.iter().map(|(start, price)| (*start, Amount(*price))).collect();
    (unit.name(), Amount(rate.base), Amount(unit.per()), above)
}

/// The model's name at the source, its rates, first day, day of reading, source.
type PriceTuple = (String, Vec<RateTuple>, Option<String>, String, String);

#[pyfunction]
#[pyo3(signature = (model, tier=None, at=None))]
fn pricing_price(model: &str, tier: Option<&str>, at: Option<&str>) -> PyResult<Option<PriceTuple>> {
    let price = table()?.price(&[model], tier_of(tier)?, moment(at)?);
    Ok(price.map(|price| {
        let rates = pricing::table::shown(&price.rates).map(rate_tuple).collect();
        (price.model, rates, price.since, price.as_of, price.source)
    }))
}

/// Model, share, requests, US dollars.
type LineTuple = (String, Amount, Amount, Option<Amount>);

fn line_tuple(line: Line) -> LineTuple {
    (line.model, Amount(line.share), Amount(line.requests), line.cost.map(Amount))
}

#[pyfunction]
#[pyo3(signature = (requests, tokens, mix, baseline=None, tier=None, at=None))]
fn pricing_scenario(
    requests: Amount,
    tokens: Tokens,
    mix: List<(String, Amount)>,
    baseline: Option<&str>,
    tier: Option<&str>,
    at: Option<&str>,
) -> PyResult<(Option<Amount>, Vec<LineTuple>, Option<LineTuple>)> {
    let mix: Vec<_> = mix.into_iter().map(|(model, share)| (model, share.0)).collect();
    let (amounts, tier, at) = (amounts(tokens)?, tier_of(tier)?, moment(at)?);
    let found = scenario(table()?, requests.0, &amounts, &mix, baseline, tier, at)?;
    let lines = found.lines.into_iter().map(line_tuple).collect();
    Ok((found.cost.map(Amount), lines, found.baseline.map(line_tuple)))
}

#[pyfunction]
#[pyo3(signature = (strong, weak, tokens, tier=None, at=None))]
fn pricing_ratio(
    strong: &str,
    weak: &str,
    tokens: Tokens,
    tier: Option<&str>,
    at: Option<&str>,
) -> PyResult<Option<Amount>> {
    let ratio = table()?.ratio(strong, weak, &amounts(tokens)?, tier_of(tier)?, moment(at)?);
    Ok(ratio.map(Amount))
}

/// Context, longest output; images, tools, audio, schema, reasoning; day of shutdown.
type FactsTuple = (Option<u64>, Option<u64>, [Option<bool>; 5], Option<String>);

#[pyfunction]
fn pricing_facts(model: &str) -> PyResult<Option<FactsTuple>> {
    let tuple = |facts: &Facts| {
        let able = [facts.images, facts.tools, facts.audio, facts.schema, facts.reasoning];
        (facts.context, facts.max_output, able, facts.shutdown.clone())
    };
    Ok(table()?.facts(model).map(tuple))
}

#[pyfunction]
#[pyo3(signature = (model, at=None))]
fn pricing_shut_down(model: &str, at: Option<&str>) -> PyResult<Option<&'static str>> {
    Ok(table()?.shut_down(model, moment(at)?))
}

#[pyfunction]
fn pricing_version() -> PyResult<(&'static str, &'static str)> {
    let table = table()?;
    Ok((table.version(), table.as_of()))
}

#[pyfunction]
#[pyo3(signature = (json=None))]
fn pricing_override(py: Python<'_>, json: Option<&str>) -> PyResult<()> {
    let own = json.map_or_else(Own::from_environment, Own::from_json)?;
    py.detach(|| Table::shared().under(own).share());
    Ok(())
}

#[pyfunction]
fn pricing_check() -> PyResult<()> {
    Ok(pricing::check()?)
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(pricing_cost, m)?)?;
    m.add_function(wrap_pyfunction!(pricing_price, m)?)?;
    m.add_function(wrap_pyfunction!(pricing_scenario, m)?)?;
    m.add_function(wrap_pyfunction!(pricing_ratio, m)?)?;
    m.add_function(wrap_pyfunction!(pricing_facts, m)?)?;
    m.add_function(wrap_pyfunction!(pricing_shut_down, m)?)?;
    m.add_function(wrap_pyfunction!(pricing_version, m)?)?;
    m.add_function(wrap_pyfunction!(pricing_override, m)?)?;
    m.add_function(wrap_pyfunction!(pricing_check, m)?)
}
