//! Thresholds with a bound, for Python: columns are copied once, the search happens with the lock released.
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]

use pyo3::prelude::*;

use super::arguments::Array1;
use crate::error::Error;
use crate::learn::guarantee::{Prices, Risk, Rows, Terms, afford, certify, first_share};

type Column<'py> = Array1<'py, f64>;

fn column(values: &Column<'_>) -> Vec<f64> {
    values.as_array().to_vec()
}

/// `threshold, loss, bound, n, judged, below, failed`.
type Certified = (Option<f64>, f64, f64, usize, usize, usize, Option<f64>);

#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "one call from one place")]
fn certify_threshold(
    py: Python<'_>,
    win_rates: Column<'_>,
    strong: Column<'_>,
    weak: Column<'_>,
    gold: Option<(Column<'_>, Column<'_>)>,
    risk: &str,
    most: f64,
    delta: f64,
    start: Option<f64>,
    ceiling: f64,
    seed: u64,
) -> PyResult<Certified> {
    let (win_rates, strong, weak) = (column(&win_rates), column(&strong), column(&weak));
    let gold = gold.map(|(strong, weak)| (column(&strong), column(&weak)));
    let terms = Terms { risk: named(risk)?, most, delta, start, ceiling, seed };
    let found = py.detach(|| {
        let gold = gold.as_ref().map(|(strong, weak)| (strong.as_slice(), weak.as_slice()));
        certify(&Rows { win_rates: &win_rates, strong: &strong, weak: &weak, gold }, &terms)
    })?;
    Ok((found.threshold, found.loss, found.bound, found.n, found.judged, found.below, found.failed))
}

fn named(risk: &str) -> PyResult<Risk> {
    match risk {
        "net" => Ok(Risk::Net),
        "regret" => Ok(Risk::Regret),
        "weak_routed" => Ok(Risk::WeakRouted),
        _ => Err(Error::value(format!("risk: expected 'net', 'regret' or 'weak_routed', found {risk:?}")).into()),
    }
}

#[pyfunction]
fn first_weak_share(rows: usize, most: f64, delta: f64) -> f64 {
    first_share(rows, most, delta)
}

#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "one call from one place")]
fn afford_threshold(
    py: Python<'_>,
    win_rates: Column<'_>,
    scores: (Column<'_>, Column<'_>),
    costs: (Column<'_>, Column<'_>),
    cap: f64,
    weak_is_dearer: bool,
    budget: f64,
    delta: f64,
    seed: u64,
) -> PyResult<(Option<f64>, f64, f64, usize)> {
    let win_rates = column(&win_rates);
    let (scores, costs) = ((column(&scores.0), column(&scores.1)), (column(&costs.0), column(&costs.1)));
    let found = py.detach(|| {
        let prices = Prices { strong: &costs.0, weak: &costs.1, cap, weak_is_dearer };
        afford(&win_rates, (&scores.0, &scores.1), &prices, budget, delta, seed)
    })?;
    Ok((found.threshold, found.cost, found.score, found.below))
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(certify_threshold, m)?)?;
    m.add_function(wrap_pyfunction!(first_weak_share, m)?)?;
    m.add_function(wrap_pyfunction!(afford_threshold, m)?)
}
