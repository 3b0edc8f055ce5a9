//! `_core.Ledger`: a book of calls; sums and rows as plain Python values, named by `ferroute.spend`.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use super::arguments::List;
use super::money::Amount;
use crate::error::{Error, Kind, Result};
use crate::ledger::{
    self, Asked, DRAWN, Filter, Keep, Ledger, Outcome, Percentiles, Rate, Record, Row, Score, Scored, Signs, Sums,
    Tags, Wanted,
};
use crate::math::waiting;
use crate::pricing::{Table, Usage, pico};

/// A book of calls.
#[pyclass(frozen, module = "ferroute._core", name = "Ledger")]
pub(super) struct PyLedger(pub(super) Arc<Ledger>);

/// A number that cannot be negative, in the range of a database's.
#[derive(Debug, Clone, Copy)]
struct Count(i64);

impl<'py> FromPyObject<'_, 'py> for Count {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<i64>() {
            Ok(count) if count >= 0 => Ok(Self(count)),
            Err(error) if !error.is_instance_of::<PyOverflowError>(value.py()) => Err(error),
            _ => Err(Error::value(format!("expected a count from 0 to {}, found {}", i64::MAX, value.repr()?)).into()),
        }
    }
}

impl Count {
    fn tokens(self) -> u64 {
        self.0 as u64
    }
}

/// A year is 3.2e13 microseconds: times beyond some ten thousand years are none.
const LATEST_US: f64 = 1e18;

/// A number of `unit` as microseconds, none of them negative.
fn microseconds(name: &str, number: f64, in_one: f64, unit: &str) -> Result<i64> {
    let found = (number * in_one).round();
    if (0.0..LATEST_US).contains(&found) {
        return Ok(found as i64);
    }
    Err(Error::value(format!("{name}: expected {unit} of at least 0, found {number}")))
}

fn finite(name: &str, number: Option<f64>) -> Result<Option<f64>> {
    match number {
        Some(number) if !number.is_finite() => {
            Err(Error::value(format!("{name}: expected a finite number, found {number}")))
        }
        _ => Ok(number),
    }
}

/// Since and until in microseconds, router, model.
type FilterTuple = (Option<i64>, Option<i64>, Option<String>, Option<String>);

fn filter((since_us, until_us, router, model): FilterTuple) -> Filter {
    Filter { since_us, until_us, router, model, bare: false }
}

/// The filter of who needs neither features nor texts.
fn bare_filter(wanted: FilterTuple) -> Filter {
    Filter { bare: true, ..filter(wanted) }
}

/// A time to wait, in seconds.
fn wait(seconds: f64) -> Result<Duration> {
    waiting::seconds(seconds)
        .ok_or_else(|| Error::value(format!("timeout: expected seconds of at least 0, found {seconds}")))
}

fn picodollars(name: &str, amount: Option<Amount>) -> Result<Option<i64>> {
    let Some(Amount(dollars)) = amount else { return Ok(None) };
    if dollars.is_sign_negative() && !dollars.is_zero() {
        return Err(Error::value(format!("{name}: expected an amount of at least 0, found {dollars}")));
    }
    pico(dollars)
        .map(Some)
        .ok_or_else(|| Error::value(format!("{name}: expected at most 9.2 million dollars, found {dollars}")))
}

#[pymethods]
impl PyLedger {
    #[new]
    #[pyo3(signature = (url, store="features", create=true))]
    fn new(py: Python<'_>, url: &str, store: &str, create: bool) -> PyResult<Self> {
        let keep = match store {
            "none" => Keep::None,
            "features" => Keep::Features,
            "text" => Keep::Text,
            _ => return Err(Error::value(format!("store: expected none, features or text, found `{store}`")).into()),
        };
        Ok(Self(py.detach(|| Ledger::open_with(url, keep, create))?))
    }

    #[getter]
    fn url(&self) -> String {
        self.0.shown_url()
    }

    #[getter]
    fn in_memory(&self) -> bool {
        self.0.is_in_memory()
    }

    #[getter]
    fn lost(&self) -> u64 {
        self.0.lost()
    }

    fn answer_tokens(&self, model: &str) -> Option<f64> {
        self.0.habits(model)?.mean_completion()
    }

    #[expect(clippy::too_many_arguments, reason = "a call has that many properties; Python gives them by name")]
    #[expect(clippy::needless_pass_by_value, reason = "the lists made from Python's are ours")]
    #[pyo3(signature = (
        model, *, prompt_tokens, completion_tokens, cached_tokens, cache_write_tokens, reasoning_tokens, estimated,
        cost, router_cost, baseline, ttft_ms, total_ms, outcome, error, attempts, router, requested, tier, win_rate,
        threshold, holdout, session, key, text, at, task, tags, signs, response
    ))]
    fn add(
        &self,
        py: Python<'_>,
        model: String,
        prompt_tokens: Count,
        completion_tokens: Count,
        cached_tokens: Count,
        cache_write_tokens: Count,
        reasoning_tokens: Count,
        estimated: bool,
        cost: Option<Amount>,
        router_cost: Option<Amount>,
        baseline: Option<Amount>,
        ttft_ms: Option<f64>,
        total_ms: f64,
        outcome: &str,
        error: Option<String>,
        attempts: Count,
        router: Option<String>,
        requested: Option<String>,
        tier: Option<String>,
        win_rate: Option<f64>,
        threshold: Option<f64>,
        holdout: bool,
        session: Option<String>,
        key: Option<String>,
        text: Option<String>,
        at: Option<f64>,
        task: Option<String>,
        tags: List<(Bound<'_, PyString>, Bound<'_, PyString>)>,
        signs: Option<List<String>>,
        response: Option<String>,
    ) -> PyResult<()> {
        let ended = match outcome {
            "ok" | "cancelled" | "failed" | "hedged" | "escalated" | "vain" | "shadow" => Outcome::named(outcome),
            _ => {
                let text = format!(
                    "outcome: expected ok, cancelled, failed, hedged, escalated, vain or shadow, found `{outcome}`"
                );
                return Err(Error::value(text).into());
            }
        };
        let took = microseconds("total_ms", total_ms, 1000.0, "milliseconds")?;
        let late = self.0.enter(Record {
            // The call is over: it began as long ago as it took.
            ts_us: match at {
                Some(at) => microseconds("at", at, 1e6, "seconds since 1970")?,
                None => now_us() - took,
            },
            key,
            session,
            router,
            requested,
            model,
            tier,
            win_rate: finite("win_rate", win_rate)?,
            threshold: finite("threshold", threshold)?,
            holdout,
            usage: Usage {
                prompt_tokens: prompt_tokens.tokens(),
                completion_tokens: completion_tokens.tokens(),
                cached_tokens: cached_tokens.tokens(),
                cache_write_tokens: cache_write_tokens.tokens(),
                reasoning_tokens: reasoning_tokens.tokens(),
                ..Usage::default()
            },
            estimated,
            cost: picodollars("cost", cost)?,
            router_cost: picodollars("router_cost", router_cost)?,
            baseline: picodollars("baseline", baseline)?,
            ttft_us: ttft_ms.map(|ms| microseconds("ttft_ms", ms, 1000.0, "milliseconds")).transpose()?,
            total_us: took,
            outcome: ended,
            error,
            attempts: u32::try_from(attempts.0).unwrap_or(u32::MAX),
            text: text.map(Into::into),
            price_version: Table::shared().version().to_owned(),
            task,
            tags: super::account::tags(&tags),
            signs: signs.as_deref().map(signs_of).transpose()?,
            asked: Asked::default(),
            response,
        });
        if late {
            // Other threads of Python's go on meanwhile.
            py.detach(|| self.0.give_way());
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "as for `add`")]
    #[pyo3(signature = (response, call, *, score, source, model, probability, at, began_by))]
    fn add_outcome(
        &self,
        py: Python<'_>,
        response: Option<String>,
        call: Option<i64>,
        score: f64,
        source: String,
        model: Option<String>,
        probability: Option<f64>,
        at: Option<f64>,
        began_by: Option<f64>,
    ) -> PyResult<()> {
        let by = began_by.map(|at| microseconds("began_by", at, 1e6, "seconds since 1970")).transpose()?;
        let wanted = match (response, call) {
            (Some(response), None) => Wanted::Response(response, by),
            (None, Some(id)) => Wanted::Call(id),
            _ => return Err(Error::value("expected either the id of a response or `call=`").into()),
        };
        if !(0.0..=1.0).contains(&score) {
            return Err(Error::value(format!("score: expected a number from 0 to 1, found {score}")).into());
        }
        if let Some(odd) = probability.filter(|share| !(*share > 0.0 && *share <= 1.0)) {
            return Err(Error::value(format!("probability: expected above 0 and at most 1, found {odd}")).into());
        }
        if source.is_empty() {
            return Err(Error::value("source: expected a word such as gold, user, feedback or judge:model").into());
        }
        if source == DRAWN {
            return Err(Error::value(format!("source: {DRAWN:?} is kept for calls that were drawn")).into());
        }
        let ts = match at {
            Some(at) => microseconds("at", at, 1e6, "seconds since 1970")?,
            None => now_us(),
        };
        Ok(py.detach(|| {
            let call = self.0.find(&wanted)?;
            self.0.score(Score { call, ts, source, score, probability, model })
        })?)
    }

    /// Notes that a call was drawn for a shadow, for those who score its answers later.
    fn mark_drawn(&self, py: Python<'_>, response: String, probability: f64, began_by: f64) -> PyResult<()> {
        let by = microseconds("began_by", began_by, 1e6, "seconds since 1970")?;
        Ok(py.detach(|| {
            let call = self.0.find(&Wanted::Response(response, Some(by)))?;
            let (source, probability) = (DRAWN.to_owned(), Some(probability));
            self.0.score(Score { call, ts: now_us(), source, score: 0.0, probability, model: None })
        })?)
    }

    /// With which probability the last call with a response's id was drawn for a shadow.
    fn drawn(&self, py: Python<'_>, response: String) -> PyResult<Option<f64>> {
        Ok(py.detach(|| self.0.drawn(&Wanted::Response(response, None)))?)
    }

    /// Scores with their calls: a list for each column.
    fn outcomes<'py>(
        &self,
        py: Python<'py>,
        wanted: FilterTuple,
        tags: List<(String, String)>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let (wanted, tags) = (filter(wanted), Tags(tags.0));
        let scores = py.detach(|| self.0.scored(&wanted, &tags))?;
        scored_columns(py, &scores)
    }

    /// What each source says of the router, as `ferroute.spend` reads it.
    #[pyo3(signature = (wanted, *, passing, strong, weak))]
    fn accuracy(
        &self,
        py: Python<'_>,
        wanted: FilterTuple,
        passing: f64,
        strong: Option<&str>,
        weak: Option<&str>,
    ) -> PyResult<Vec<AccuracyTuple>> {
        if !(0.0..=1.0).contains(&passing) {
            return Err(Error::value(format!("passing: expected a number from 0 to 1, found {passing}")).into());
        }
        let wanted = bare_filter(wanted);
        let found = py.detach(|| {
            let scores = self.0.scored(&wanted, &Tags::default())?;
            Ok::<_, Error>(ledger::measure(&scores, passing, strong, weak))
        })?;
        let rate = |rate: Rate| (rate.n, rate.effective, rate.share, rate.interval.0, rate.interval.1);
        let line = |of: ledger::Accuracy| (of.source, of.weak.map(rate), of.strong.map(rate), of.unplaced);
        Ok(found.into_iter().map(line).collect())
    }

    fn flush(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        let limit = wait(timeout)?;
        Ok(py.detach(|| self.0.flush(limit)).map_err(unwritten)?)
    }

    fn close(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        let limit = wait(timeout)?;
        Ok(py.detach(|| self.0.close(limit)).map_err(unwritten)?)
    }

    /// Sums, as `ferroute.spend` reads them.
    fn spend<'py>(&self, py: Python<'py>, wanted: FilterTuple) -> PyResult<Bound<'py, PyDict>> {
        let wanted = bare_filter(wanted);
        let summary = py.detach(|| self.0.spend(&wanted))?;
        let models = summary.models.iter().map(|of_model| {
            let line = sums(py, &of_model.sums)?;
            line.set_item("model", &of_model.model)?;
            line.set_item("first_ms", percentiles(of_model.first_ms))?;
            line.set_item("total_ms", percentiles(of_model.total_ms))?;
            Ok(line)
        });
        let routers = summary.routers.iter().map(|(router, of_router)| {
            let line = sums(py, of_router)?;
            line.set_item("router", router)?;
            Ok(line)
        });
        let out = PyDict::new(py);
        out.set_item("models", models.collect::<PyResult<Vec<_>>>()?)?;
        out.set_item("routers", routers.collect::<PyResult<Vec<_>>>()?)?;
        out.set_item("all", sums(py, &summary.all)?)?;
        out.set_item("first_ms", percentiles(summary.first_ms))?;
        out.set_item("total_ms", percentiles(summary.total_ms))?;
        let measured = summary
            .measured
            .map(|found| (found.saved, found.interval.0, found.interval.1, found.baseline, found.held, found.routed));
        out.set_item("measured", measured)?;
        out.set_item("lost", summary.lost)?;
        out.set_item("forgotten", summary.forgotten)?;
        Ok(out)
    }

    /// Answers with signs of failure, as `ferroute.failures` reads them: tier, model, task, calls, failed, low, high,
    /// escalated, errors and the counts of signs; then how many calls memory has forgotten.
    fn failures<'py>(&self, py: Python<'py>, wanted: FilterTuple) -> PyResult<(Vec<Bound<'py, PyDict>>, u64)> {
        let wanted = bare_filter(wanted);
        let found = py.detach(|| self.0.failures(&wanted))?;
        let lines = found.groups.iter().map(|group| {
            let (line, counts) = (PyDict::new(py), &group.counts);
            line.set_item("tier", group.tier.as_deref())?;
            line.set_item("model", &group.model)?;
            line.set_item("task", group.task.as_deref())?;
            line.set_item("calls", counts.calls)?;
            line.set_item("failed", counts.failed)?;
            line.set_item("interval", counts.interval())?;
            line.set_item("escalated", counts.escalated)?;
            line.set_item("errors", counts.errors)?;
            let signs = PyDict::new(py);
            for ((name, _), count) in Signs::NAMES.iter().zip(counts.signs) {
                signs.set_item(name, count)?;
            }
            line.set_item("signs", signs)?;
            Ok(line)
        });
        Ok((lines.collect::<PyResult<Vec<_>>>()?, found.forgotten))
    }

    /// The calls themselves: a list for each column.
    #[pyo3(signature = (wanted, most=None))]
    fn calls<'py>(&self, py: Python<'py>, wanted: FilterTuple, most: Option<usize>) -> PyResult<Bound<'py, PyDict>> {
        let wanted = filter(wanted);
        let rows = py.detach(|| self.0.calls(&wanted, most))?;
        columns(py, &rows)
    }

    fn __repr__(&self) -> String {
        format!("Ledger({:?})", self.0.shown_url())
    }
}

/// A store that is too slow is one that cannot be written; a provider's timeout is another thing.
fn unwritten(error: Error) -> Error {
    if error.kind() == Kind::Timeout { Error::new(Kind::Io, error.message()) } else { error }
}

fn signs_of(names: &[String]) -> Result<Signs> {
    names.iter().try_fold(Signs::NONE, |signs, name| {
        let unknown = || Error::value(format!("signs: there is no sign {name:?}"));
        Signs::named(name).map(|sign| signs.and(sign)).ok_or_else(unknown)
    })
}

fn now_us() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_micros() as i64)
}

/// Calls, their effective number, the share that passes, and its interval.
type RateTuple = (u64, f64, f64, f64, f64);

/// Source, weak-routed calls, strong-routed calls, and those of which is not known where they were routed.
type AccuracyTuple = (String, Option<RateTuple>, Option<RateTuple>, u64);

type PercentilesTuple = Option<(u64, f64, f64, f64)>;

fn percentiles(found: Option<Percentiles>) -> PercentilesTuple {
    found.map(|found| (found.n, found.p50, found.p95, found.p99))
}

fn sums<'py>(py: Python<'py>, sums: &Sums) -> PyResult<Bound<'py, PyDict>> {
    let line = PyDict::new(py);
    for (name, count) in [
        ("calls", sums.calls),
        ("ok", sums.ok),
        ("cancelled", sums.cancelled),
        ("failed", sums.failed),
        ("hedged", sums.hedged),
        ("escalated", sums.escalated),
        ("holdout", sums.holdout),
        ("shadows", sums.shadows),
        ("unpriced_shadows", sums.unpriced_shadows),
        ("attempts", sums.attempts),
        ("estimated", sums.estimated),
        ("unpriced", sums.unpriced),
        ("unpriced_hedged", sums.unpriced_hedged),
        ("unpriced_routing", sums.unpriced_routing),
        ("compared", sums.compared),
    ] {
        line.set_item(name, count)?;
    }
    for (name, tokens) in [
        ("prompt_tokens", sums.prompt_tokens),
        ("completion_tokens", sums.completion_tokens),
        ("cached_tokens", sums.cached_tokens),
        ("cache_write_tokens", sums.cache_write_tokens),
        ("reasoning_tokens", sums.reasoning_tokens),
    ] {
        line.set_item(name, tokens)?;
    }
    for (name, picodollars) in [
        ("cost", sums.cost),
        ("router_cost", sums.router_cost),
        ("shadow_cost", sums.shadow_cost),
        ("baseline", sums.baseline),
        ("saved", sums.saved),
    ] {
        line.set_item(name, picodollars)?;
    }
    Ok(line)
}

/// Puts a list for each column into a dict.
macro_rules! put_columns {
    ($out:ident, $rows:ident, $($name:literal: $value:expr),+ $(,)?) => {
        $($out.set_item($name, PyList::new($out.py(), $rows.iter().map($value))?)?;)+
    };
}

fn columns<'py>(py: Python<'py>, rows: &[Row]) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    put_columns! {
        out, rows,
        "id": |row| row.id,
        "ts": |row| row.ts,
        "key": |row| row.key.as_deref(),
        "session": |row| row.session.as_deref(),
        "router": |row| row.router.as_deref(),
        "requested": |row| row.requested.as_deref(),
        "model": |row| row.model.as_str(),
        "tier": |row| row.tier.as_deref(),
        "win_rate": |row| row.win_rate,
        "threshold": |row| row.threshold,
        "holdout": |row| row.holdout,
        "prompt_tokens": |row| row.prompt_tokens,
        "completion_tokens": |row| row.completion_tokens,
        "cached_tokens": |row| row.cached_tokens,
        "cache_write_tokens": |row| row.cache_write_tokens,
        "reasoning_tokens": |row| row.reasoning_tokens,
        "estimated": |row| row.estimated,
        "cost": |row| row.cost,
        "router_cost": |row| row.router_cost,
        "baseline": |row| row.baseline,
        "saved": Row::saved,
        "ttft_ms": |row| row.ttft_ms,
        "total_ms": |row| row.total_ms,
        "outcome": |row| row.outcome.name(),
        "error": |row| row.error.as_deref(),
        "attempts": |row| row.attempts,
        "features": |row| row.features.as_deref().map(|bytes| PyBytes::new(py, bytes)),
        "text": |row| row.text.as_deref(),
        "price_version": |row| row.price_version.as_str(),
        "task": |row| row.task.as_deref(),
        "tags": |row| row.tags.as_deref(),
        "signs": |row| row.signs.as_deref(),
        "response": |row| row.response.as_deref(),
    }
    Ok(out)
}

fn scored_columns<'py>(py: Python<'py>, rows: &[Scored]) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    // A name that many calls share is one text in Python, too.
    let texts = RefCell::new(HashMap::<*const u8, Bound<'py, PyString>>::new());
    let shared =
        |name: &Arc<str>| texts.borrow_mut().entry(name.as_ptr()).or_insert_with(|| PyString::new(py, name)).clone();
    let maybe = |name: &Option<Arc<str>>| name.as_ref().map(shared);
    put_columns! {
        out, rows,
        "call": |row| row.call,
        "time": |row| row.ts,
        "router": |row| maybe(&row.router),
        "requested": |row| maybe(&row.requested),
        "tier": |row| maybe(&row.tier),
        "model": |row| shared(&row.model),
        "win_rate": |row| row.win_rate,
        "threshold": |row| row.threshold,
        "holdout": |row| row.holdout,
        "cost_usd": |row| row.cost.map(|cost| cost as f64 / 1e12),
        "features": |row| row.features.as_deref().map(|bytes| PyBytes::new(py, bytes)),
        "text": |row| row.text.as_deref(),
        "task": |row| maybe(&row.task),
        "tags": |row| maybe(&row.tags),
        "session": |row| row.session.as_deref(),
        "source": |row| shared(&row.source),
        "scored": |row| shared(&row.scored),
        "score": |row| row.score,
        "probability": |row| row.probability,
        "scored_time": |row| row.scored_ts,
    }
    Ok(out)
}

#[pyfunction]
fn ledger_flush_all(py: Python<'_>, timeout: f64) -> PyResult<()> {
    let limit = wait(timeout)?;
    Ok(py.detach(|| ledger::flush_all(limit)).map_err(unwritten)?)
}

#[pyfunction]
fn ledger_hold_all(py: Python<'_>, timeout: f64) -> PyResult<()> {
    let limit = wait(timeout)?;
    py.detach(|| ledger::hold_all(limit));
    Ok(())
}

#[pyfunction]
fn ledger_release_all() {
    ledger::release_all();
}

#[pyfunction]
fn ledger_features<'py>(py: Python<'py>, packed: &[u8]) -> PyResult<Option<(Bound<'py, PyList>, Bound<'py, PyList>)>> {
    let Some(features) = ledger::features::unpack(packed) else { return Ok(None) };
    Ok(Some((PyList::new(py, features.embedding)?, PyList::new(py, features.lexical)?)))
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyLedger>()?;
    m.add_function(wrap_pyfunction!(ledger_flush_all, m)?)?;
    m.add_function(wrap_pyfunction!(ledger_hold_all, m)?)?;
    m.add_function(wrap_pyfunction!(ledger_release_all, m)?)?;
    m.add_function(wrap_pyfunction!(ledger_features, m)?)
}
