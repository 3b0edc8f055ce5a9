//! `_core.explain`: a decision taken apart, as JSON.

use pyo3::prelude::*;

use super::arguments::List;
use crate::error::{Error, Kind};
use crate::pricing::{self, Table};
use crate::routing::explain::{self, Asked, Rung, Weighed, Word};

/// Name, model, names of its price, why it is barred, tokens of its answer.
type RungTuple = (Option<String>, Option<String>, Vec<String>, Option<String>, Option<f64>);
/// Label, and what was weighed: name, score, threshold, rung.
type NamedTuple = (Option<String>, Vec<(String, f64, Option<f64>, Option<usize>)>);

#[pyfunction(name = "explain")]
#[pyo3(signature = (
    rungs, *, ladder, reach=List::default(), wanted=None, chosen=None, answered=None, held=None, floor=None, ceiling=None, win_rate=None,
    rank=None, named=None, prompt_tokens=None, at=None,
))]
#[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
fn explain_decision(
    rungs: List<RungTuple>,
    ladder: usize,
    reach: List<usize>,
    wanted: Option<usize>,
    chosen: Option<usize>,
    answered: Option<usize>,
    held: Option<String>,
    floor: Option<usize>,
    ceiling: Option<usize>,
    win_rate: Option<(f64, Vec<f64>)>,
    rank: Option<(f64, Vec<f64>)>,
    named: Option<NamedTuple>,
    prompt_tokens: Option<u64>,
    at: Option<&str>,
) -> PyResult<String> {
    let most = [wanted, chosen, answered, floor, ceiling].into_iter().flatten().chain(reach.iter().copied()).max();
    if ladder > rungs.len() || most.is_some_and(|most| most >= rungs.len()) {
        return Err(Error::value(format!("expected places among {} rungs", rungs.len())).into());
    }
    let rung = |(name, model, priced_as, barred, answer_tokens): RungTuple| Rung {
        name,
        model,
        priced_as,
        barred,
        answer_tokens: answer_tokens.filter(|tokens| tokens.is_finite()),
    };
    let word = match (win_rate, rank, named) {
        (Some((value, cuts)), ..) => Word::WinRate { value, cuts },
        (_, Some((value, shares)), _) => Word::Rank { value, shares },
        (.., Some((label, weighed))) => {
            let weighed = weighed.into_iter();
            let weighed = weighed.map(|(name, score, threshold, rung)| Weighed { name, score, threshold, rung });
            Word::Named { label, weighed: weighed.collect() }
        }
        _ => Word::Silent,
    };
    let rungs = rungs.into_iter().map(rung).collect();
    let at = at.map(str::parse).transpose()?;
    let asked = Asked {
        rungs,
        ladder,
        reach: reach.0,
        word,
        wanted,
        chosen,
        answered,
        held,
        floor,
        ceiling,
        prompt_tokens,
        at,
    };
    pricing::check()?;
    let explained = explain::explain(&asked, Table::shared());
    let json = serde_json::to_string(&explained);
    Ok(json.map_err(|error| Error::new(Kind::Value, error.to_string()))?)
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(explain_decision, m)?)
}
