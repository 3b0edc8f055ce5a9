//! `_core.Ramp`, `_core.Trial` and what goes with them.
//!
//! The interpreter's lock is kept while a ramp's own lock is held: a fork cannot come in between, and nothing here takes
//! long but a rehearsal, which needs neither.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;

use super::arguments::{Array1, List};
use crate::error::{Error, Result};
use crate::learn::ab::{self, Arm};
use crate::learn::ramp::kept::{Kept, rehearse};
use crate::learn::ramp::moves::Move;
use crate::learn::ramp::plan::{Plan, Promise, Stage, stages_of};
use crate::learn::ramp::{Audit, Ramp as Machine};

/// Stages, audited or not, and the moves.
type Rehearsed<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<bool>>, Vec<Told>);

/// Kind, time, stage before and after, audits, evidence, why, and all of it in a sentence.
type Told = (&'static str, Option<u64>, usize, usize, u64, f64, String, String);

/// Weak share and threshold.
type Pair = (f64, f64);

fn told(one: &Move, stages: &[Stage]) -> Told {
    (one.kind.name(), one.at, one.from, one.to, one.n, one.evidence, one.why.clone(), one.sentence(stages))
}

fn audits(win_rates: &Array1<'_, f64>, strong: &Array1<'_, f64>, weak: &Array1<'_, f64>) -> Result<Vec<Audit>> {
    let (win_rates, strong, weak) = (win_rates.as_array(), strong.as_array(), weak.as_array());
    if win_rates.len() != strong.len() || win_rates.len() != weak.len() {
        return Err(Error::value(format!(
            "expected as many win rates as strong and weak scores, found {}, {} and {}",
            win_rates.len(),
            strong.len(),
            weak.len()
        )));
    }
    let rows = win_rates.iter().zip(strong).zip(weak).enumerate();
    rows.map(|(row, ((&win_rate, &strong), &weak))| {
        Audit::new(win_rate, strong, weak).map_err(|error| error.context(format!("row {row}")))
    })
    .collect()
}

/// A plan, checked.
#[pyclass(frozen, module = "ferroute._core")]
struct RampPlan(Plan);

#[pymethods]
impl RampPlan {
    #[new]
    #[pyo3(signature = (stages, start, certified, reference, max_quality_loss, confidence, horizon, rates, revert_on_drift,
                        regret=false))]
    #[expect(clippy::too_many_arguments, reason = "the settings have names in Python")]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]
    fn new(
        stages: List<Pair>,
        start: usize,
        certified: bool,
        reference: Array1<'_, f64>,
        max_quality_loss: f64,
        confidence: f64,
        horizon: Option<u64>,
        rates: (f64, f64),
        revert_on_drift: bool,
        regret: bool,
    ) -> PyResult<Self> {
        let stages: Vec<Stage> =
            stages.into_iter().map(|(weak_share, threshold)| Stage { weak_share, threshold }).collect();
        let promise = Promise { max_quality_loss, confidence, horizon, rates, revert_on_drift, regret };
        let reference: Vec<f64> = reference.as_array().to_vec();
        Ok(Self(Plan::new(&stages, start, certified, &reference, promise)?))
    }

    /// The stage in force for each request, which of them were audited, and the moves, with requests in the place of times.
    #[pyo3(signature = (win_rates, strong, weak, rate=None, seed=0))]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]
    fn rehearse<'py>(
        &self,
        py: Python<'py>,
        win_rates: Array1<'py, f64>,
        strong: Array1<'py, f64>,
        weak: Array1<'py, f64>,
        rate: Option<f64>,
        seed: u64,
    ) -> PyResult<Rehearsed<'py>> {
        let requests = audits(&win_rates, &strong, &weak)?;
        let done = py.detach(|| rehearse(self.0.clone(), &requests, rate, seed))?;
        // The numbers of requests, in the place of times, are not to be shown as days.
        let undated = |one: &Move| {
            let mut told = told(&Move { at: None, ..one.clone() }, &self.0.stages);
            told.1 = one.at;
            told
        };
        let moves = done.moves.iter().map(undated).collect();
        Ok((done.stages.into_pyarray(py), done.audited.into_pyarray(py), moves))
    }

    #[getter]
    fn stages(&self) -> Vec<Pair> {
        self.0.stages.iter().map(|stage| (stage.weak_share, stage.threshold)).collect()
    }

    /// The stage it begins with, horizon, rates, and whether other traffic leads back to always strong.
    #[getter]
    fn settings(&self) -> (usize, u64, Pair, bool) {
        (self.0.start, self.0.horizon, self.0.rates, self.0.revert_on_drift)
    }
}

/// A ramp with its memory.
#[pyclass(frozen, module = "ferroute._core")]
struct Ramp(Mutex<Kept>);

impl Ramp {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        // What a panic may have left undone is in the file, or was not taken in at all.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self) -> PyResult<MutexGuard<'_, Kept>> {
        let mut kept = self.lock();
        kept.refresh()?;
        Ok(kept)
    }

    fn with<T>(&self, tell: impl FnOnce(&Machine) -> T) -> PyResult<T> {
        Ok(tell(self.fresh()?.ramp()))
    }
}

#[pymethods]
impl Ramp {
    #[new]
    #[pyo3(signature = (path=None, plan=None))]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]
    fn new(path: Option<PathBuf>, plan: Option<&RampPlan>) -> PyResult<Self> {
        Ok(Self(Mutex::new(Kept::open(path.as_deref(), plan.map(|plan| plan.0.clone()))?)))
    }

    #[staticmethod]
    fn of_lines(text: &str) -> PyResult<Self> {
        Ok(Self(Mutex::new(Kept::of_lines(text)?)))
    }

    fn lines(&self) -> PyResult<String> {
        Ok(self.lock().lines()?)
    }

    #[getter]
    fn path(&self) -> Option<PathBuf> {
        self.lock().path().map(ToOwned::to_owned)
    }

    fn keeps(&self, plan: &RampPlan) -> PyResult<()> {
        Ok(self.lock().keeps(&plan.0)?)
    }

    #[pyo3(signature = (win_rate, strong, weak, probability=1.0, threshold=None))]
    fn observe(&self, win_rate: f64, strong: f64, weak: f64, probability: f64, threshold: Option<f64>) -> PyResult<()> {
        Ok(self.lock().observe(&[Audit::new(win_rate, strong, weak)?], probability, threshold)?)
    }

    #[pyo3(signature = (win_rates, strong, weak, probability=1.0, threshold=None))]
    #[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]
    fn observe_many(
        &self,
        win_rates: Array1<'_, f64>,
        strong: Array1<'_, f64>,
        weak: Array1<'_, f64>,
        probability: f64,
        threshold: Option<f64>,
    ) -> PyResult<()> {
        Ok(self.lock().observe(&audits(&win_rates, &strong, &weak)?, probability, threshold)?)
    }

    /// Threshold and weak share in force, whether there are moves that [`Ramp::news`] has not told of, and what a caller
    /// should know. Requests are routed by it, so a file that cannot be read is a remark and no error.
    fn held(&self) -> (f64, f64, bool, Option<String>) {
        let mut kept = self.lock();
        let trouble = kept.refresh().err().map(|error| format!("what others have written is not known: {error}"));
        let stage = kept.ramp().plan().stages[kept.ramp().in_force()];
        (stage.threshold, stage.weak_share, kept.has_news(), trouble.or_else(|| kept.note()))
    }

    /// The moves since it was opened that were not told of yet; each is told once.
    fn news(&self) -> Vec<Told> {
        let mut kept = self.lock();
        let stages = kept.ramp().plan().stages.clone();
        kept.news().iter().map(|one| told(one, &stages)).collect()
    }

    #[getter]
    fn plan(&self) -> RampPlan {
        RampPlan(self.lock().ramp().plan().clone())
    }

    /// The moves from one on.
    #[pyo3(signature = (start=0))]
    fn moves(&self, start: usize) -> PyResult<Vec<Told>> {
        let kept = self.fresh()?;
        let stages = &kept.ramp().plan().stages;
        Ok(kept.moves().iter().skip(start).map(|one| told(one, stages)).collect())
    }

    #[getter]
    fn state(&self) -> PyResult<&'static str> {
        self.with(Machine::state)
    }

    #[getter]
    fn rate(&self) -> PyResult<f64> {
        self.with(Machine::rate)
    }

    #[getter]
    fn n(&self) -> PyResult<u64> {
        self.with(Machine::n)
    }

    #[getter]
    fn mean_loss(&self) -> PyResult<f64> {
        self.with(Machine::mean_loss)
    }

    #[getter]
    fn alarms(&self) -> PyResult<Pair> {
        self.with(Machine::alarms)
    }

    /// Of each stage weak share, threshold, ln of the evidence that it is good, and its mean loss.
    #[getter]
    fn stages(&self) -> PyResult<Vec<(f64, f64, f64, f64)>> {
        self.with(|ramp| {
            let known = ramp.plan().stages.iter().zip(ramp.evidence());
            known.map(|(stage, (log_e, loss))| (stage.weak_share, stage.threshold, log_e, loss)).collect()
        })
    }

    /// Bound, confidence, horizon, and whether weak wins count for nothing.
    #[getter]
    fn promise(&self) -> (f64, f64, u64, bool) {
        let kept = self.lock();
        let plan = kept.ramp().plan();
        (plan.max_quality_loss, plan.confidence, plan.horizon, plan.regret)
    }
}

#[pyfunction]
#[expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]
fn ramp_stages(win_rates: Array1<'_, f64>, shares: List<f64>) -> Vec<Pair> {
    let scores: Vec<f64> = win_rates.as_array().to_vec();
    stages_of(&scores, &shares).into_iter().map(|stage| (stage.weak_share, stage.threshold)).collect()
}

/// A test of two arms; `True` is the second.
#[pyclass(frozen, module = "ferroute._core")]
struct Trial(Mutex<ab::Trial>);

impl Trial {
    fn lock(&self) -> MutexGuard<'_, ab::Trial> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn arm(second: bool) -> Arm {
    if second { Arm::B } else { Arm::A }
}

#[pymethods]
impl Trial {
    #[new]
    #[pyo3(signature = (split=0.5, confidence=0.95))]
    fn new(split: f64, confidence: f64) -> PyResult<Self> {
        Ok(Self(Mutex::new(ab::Trial::new(split, confidence)?)))
    }

    #[pyo3(signature = (second, score, key=None))]
    fn observe(&self, second: bool, score: f64, key: Option<&str>) -> PyResult<bool> {
        Ok(self.lock().observe(arm(second), score, key)?)
    }

    /// Scores of each arm, their means, ln of the evidence that they differ, the interval of the difference, and the winner
    /// with the number of scores that it took.
    #[expect(clippy::type_complexity, reason = "read in one place")]
    fn told(&self) -> ([u64; 2], [f64; 2], f64, Pair, Option<(bool, u64)>) {
        let trial = self.lock();
        let winner = trial.winner().map(|(arm, n)| (arm == Arm::B, n));
        (trial.n(), trial.means(), trial.log_e(), trial.interval(), winner)
    }

    /// Whether scores certainly do not come at the split.
    #[getter]
    fn skewed(&self) -> bool {
        self.lock().is_skewed()
    }
}

#[pyfunction]
fn ab_arm(salt: &str, key: &str, split: f64) -> bool {
    ab::arm(salt, key, split) == Arm::B
}

#[pyfunction]
fn ab_required_n(effect: f64, baseline: f64, power: f64, split: f64, confidence: f64) -> PyResult<u64> {
    Ok(ab::required_n(effect, baseline, power, split, confidence)?)
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<RampPlan>()?;
    m.add_class::<Ramp>()?;
    m.add_class::<Trial>()?;
    m.add_function(wrap_pyfunction!(ramp_stages, m)?)?;
    m.add_function(wrap_pyfunction!(ab_arm, m)?)?;
    m.add_function(wrap_pyfunction!(ab_required_n, m)?)
}
