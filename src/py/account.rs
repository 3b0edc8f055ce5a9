//! What goes with a call: what was decided before it, on the way in, and what it came to, on the way out.

use pyo3::prelude::*;
use pyo3::types::PyString;
use serde_json::{Map, Value};

use super::money::Amount;
use crate::engine::plan::{Account, Instead, Routed};
use crate::pricing::Usage;
use crate::providers::Dropped;

/// A [`Routed`] as Python writes it: router, requested, win rate, threshold, session, (holdout, shadow), baseline, router
/// cost, text, tier, task, tags. A plain tuple, since one is made for every call.
pub(super) struct Decided(pub(super) Routed);

type Text<'py> = Option<Bound<'py, PyString>>;
type Fields<'py> = (
    Text<'py>,
    Text<'py>,
    Option<f64>,
    Option<f64>,
    Text<'py>,
    (bool, bool),
    Text<'py>,
    Option<Amount>,
    Text<'py>,
    Text<'py>,
    Text<'py>,
    Vec<(Bound<'py, PyString>, Bound<'py, PyString>)>,
);

/// Tags as they are kept: a JSON object.
pub(super) fn tags(tags: &[(Bound<'_, PyString>, Bound<'_, PyString>)]) -> Option<String> {
    let text = |text| super::arguments::text(text).into_owned();
    let object: Map<String, Value> = tags.iter().map(|(name, value)| (text(name), text(value).into())).collect();
    (!object.is_empty()).then(|| Value::Object(object).to_string())
}

impl<'a, 'py> FromPyObject<'a, 'py> for Decided {
    type Error = PyErr;

    fn extract(value: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let (
            router,
            requested,
            win_rate,
            threshold,
            session,
            (holdout, shadow),
            baseline,
            router_cost,
            text,
            tier,
            task,
            of_caller,
        ) = value.extract::<Fields<'py>>()?;
        let owned = |text: Text<'py>| text.map(|text| super::arguments::text(&text).into_owned());
        Ok(Self(Routed {
            router: owned(router),
            requested: owned(requested),
            win_rate,
            threshold,
            session: owned(session),
            holdout,
            shadow,
            baseline: owned(baseline),
            router_cost: router_cost.map(|cost| cost.0),
            text: text.map(|text| super::arguments::text(&text).into()),
            tier: owned(tier),
            task: owned(task),
            tags: tags(&of_caller),
            ..Routed::default()
        }))
    }
}

/// An [`Account`] as Python reads it, see `_core.Account`.
pub(super) fn told<'py>(py: Python<'py>, account: &Account) -> PyResult<Bound<'py, PyAny>> {
    let values = (
        account.cost.map(Amount),
        account.router_cost.map(Amount),
        account.saved.map(Amount),
        account.attempts,
        account.notes.as_slice(),
        dropped(&account.dropped),
        account.usage.as_ref().map(usage),
        account.estimated,
        account.first_content.map(|time| time.as_secs_f64()),
        account.total.as_secs_f64(),
        account.unpriced.as_deref(),
        account.instead.as_ref().map(instead),
    );
    values.into_pyobject(py).map(Bound::into_any)
}

/// Parameters left out, and why.
pub(super) fn dropped(dropped: &[Dropped]) -> Vec<(&str, &str)> {
    dropped.iter().map(|each| (each.parameter.as_str(), each.why.as_str())).collect()
}

/// Model, the model it is priced as, rung, and whether an answer was escalated to it.
fn instead(instead: &Instead) -> (&str, Option<&str>, Option<&str>, bool) {
    (&instead.model, instead.base_model.as_deref(), instead.tier.as_deref(), instead.climbed)
}

/// Prompt, completion, cached, written and reasoning tokens.
fn usage(usage: &Usage) -> (u64, u64, u64, u64, u64) {
    let Usage { prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, .. } = *usage;
    (prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens)
}
