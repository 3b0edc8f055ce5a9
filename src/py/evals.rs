//! Evaluation for Python: columns are copied once, everything else happens in the core with the lock released.
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;

use super::arguments::{Array1, Array2, List, count};
use super::watched::watched;
use crate::error::Error;
use crate::evals::bootstrap::{Plan, check, resample};
use crate::evals::curve::{Outcomes, Pair, Ranked, checked_results};
use crate::evals::interp;
use crate::evals::metrics::Points;
use crate::evals::optimum::Optimum;

/// Resamples between two looks for a signal.
const PART: usize = 64;

type Column<'py> = Array1<'py, f64>;
type Table<'py> = Array2<'py, f64>;
type Columns<'py> = Bound<'py, PyArray1<f64>>;

fn column(values: &Column<'_>) -> Vec<f64> {
    values.as_array().to_vec()
}

fn outcomes(pairs: &[(Column<'_>, Column<'_>)]) -> PyResult<Outcomes> {
    let pairs = pairs.iter().map(|(strong, weak)| Pair { strong: column(strong), weak: column(weak) }).collect();
    Ok(Outcomes::new(pairs)?)
}

#[pyfunction]
fn eval_curve<'py>(
    py: Python<'py>,
    win_rates: Column<'py>,
    pairs: List<(Column<'py>, Column<'py>)>,
    num_results: usize,
    merge: bool,
) -> PyResult<(Columns<'py>, Bound<'py, PyArray1<u64>>, Vec<Columns<'py>>)> {
    let (rates, outcomes) = (column(&win_rates), outcomes(&pairs)?);
    let curve = py.detach(|| Ranked::new(&rates, &outcomes)?.curve(&outcomes, num_results))?;
    if !merge {
        curve.distinct()?;
    }
    let means = curve.means.into_iter().map(|mean| mean.into_pyarray(py)).collect();
    Ok((curve.thresholds.into_pyarray(py), curve.strong.into_pyarray(py), means))
}

#[pyfunction]
#[pyo3(signature = (win_rates, pairs, num_results, resamples, seed, optimum, threads=None))]
#[expect(clippy::too_many_arguments, reason = "one call from one place")]
fn eval_resample<'py>(
    py: Python<'py>,
    win_rates: List<Column<'py>>,
    pairs: List<(Column<'py>, Column<'py>)>,
    num_results: usize,
    resamples: usize,
    seed: u64,
    optimum: bool,
    threads: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    let outcomes = outcomes(&pairs)?;
    let rates: Vec<_> = win_rates.iter().map(column).collect();
    let threads = count("threads", threads)?.unwrap_or(usize::MAX);
    let plan = Plan { results: num_results, times: resamples, first: 0, seed, threads, optimum };
    let (values, width) = watched(py, None, |advanced| {
        let ranked = rates.iter().map(|rates| Ranked::new(rates, &outcomes)).collect::<crate::Result<Vec<_>>>()?;
        // None are drawn: whether all of them fit is found before.
        let (mut values, width) = (Vec::new(), check(&ranked, &outcomes, plan)?);
        while values.len() < width * resamples {
            let first = values.len() / width;
            let part = Plan { first, times: PART.min(resamples - first), ..plan };
            values.extend(resample(&ranked, &outcomes, part)?.values);
            advanced(0)?;
        }
        Ok((values, width))
    })?;
    values.into_pyarray(py).reshape([resamples, width])
}

/// The same rows in every table, the same points in both curves.
fn checked(percent: &Table<'_>, quality: &Table<'_>, others: &[&Column<'_>]) -> PyResult<()> {
    let rows = percent.shape()[0];
    if percent.shape() != quality.shape() || others.iter().any(|other| other.len() != rows) {
        let others: Vec<_> = others.iter().map(|other| other.len()).collect();
        let message = format!(
            "expected points of the same shape and one number for each curve, found {:?}, {:?} and {others:?}",
            percent.shape(),
            quality.shape()
        );
        return Err(Error::value(message).into());
    }
    Ok(())
}

/// Each row's curve.
fn curves<'a>(percent: &'a Table<'_>, quality: &'a Table<'_>) -> impl Iterator<Item = Points> + use<'a> {
    let (percent, quality) = (percent.as_array(), quality.as_array());
    (0..percent.shape()[0]).map(move |row| Points::new(&percent.row(row).to_vec(), &quality.row(row).to_vec()))
}

#[pyfunction]
fn eval_figures<'py>(
    py: Python<'py>,
    percent: Table<'py>,
    quality: Table<'py>,
    weak: Column<'py>,
    strong: Column<'py>,
    fractions: List<f64>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    checked(&percent, &quality, &[&weak, &strong])?;
    let mut out = Vec::new();
    for ((points, weak), strong) in curves(&percent, &quality).zip(column(&weak)).zip(column(&strong)) {
        let figures = points.figures(weak, strong, &fractions);
        out.extend([figures.auc, figures.apgr]);
        out.extend(figures.cpt);
    }
    out.into_pyarray(py).reshape([percent.shape()[0], 2 + fractions.len()])
}

#[pyfunction]
fn eval_percent_at<'py>(
    py: Python<'py>,
    percent: Table<'py>,
    quality: Table<'py>,
    wanted: Column<'py>,
) -> PyResult<Columns<'py>> {
    checked(&percent, &quality, &[&wanted])?;
    let found: Vec<_> =
        curves(&percent, &quality).zip(column(&wanted)).map(|(points, wanted)| points.percent_at(wanted)).collect();
    Ok(found.into_pyarray(py))
}

#[pyfunction]
fn eval_value_at<'py>(
    py: Python<'py>,
    percent: Table<'py>,
    values: Table<'py>,
    at: Table<'py>,
) -> PyResult<Bound<'py, PyArray2<f64>>> {
    checked(&percent, &values, &[])?;
    let [rows, wide] = [at.shape()[0], at.shape()[1]];
    if rows != percent.shape()[0] {
        let message = format!("expected percentages for {} curves, found {rows}", percent.shape()[0]);
        return Err(Error::value(message).into());
    }
    let at = at.as_array();
    let found: Vec<f64> = curves(&percent, &values)
        .enumerate()
        .flat_map(|(row, points)| at.row(row).iter().map(|&at| points.quality_at(at)).collect::<Vec<_>>())
        .collect();
    found.into_pyarray(py).reshape([rows, wide])
}

#[pyfunction]
fn eval_optimum<'py>(
    py: Python<'py>,
    strong: Column<'py>,
    weak: Column<'py>,
    fractions: List<f64>,
) -> PyResult<Columns<'py>> {
    let outcomes = outcomes(&[(strong, weak)])?;
    let quality = Optimum::new(&outcomes.pairs()[0]).quality(outcomes.sums()[0][1], &fractions);
    Ok(quality.into_pyarray(py))
}

#[pyfunction]
fn eval_optimum_curve<'py>(
    py: Python<'py>,
    strong: Column<'py>,
    weak: Column<'py>,
    num_results: usize,
) -> PyResult<(Columns<'py>, Columns<'py>)> {
    let outcomes = outcomes(&[(strong, weak)])?;
    checked_results(num_results)?;
    let (fractions, quality) = Optimum::new(&outcomes.pairs()[0]).curve(outcomes.sums()[0][1], num_results);
    Ok((fractions.into_pyarray(py), quality.into_pyarray(py)))
}

#[pyfunction]
fn eval_interp<'py>(py: Python<'py>, x: Column<'py>, xp: Column<'py>, fp: Column<'py>) -> Columns<'py> {
    let (xp, fp) = (column(&xp), column(&fp));
    let found: Vec<_> = column(&x).into_iter().map(|x| interp::interp(x, &xp, &fp)).collect();
    found.into_pyarray(py)
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(eval_curve, m)?)?;
    m.add_function(wrap_pyfunction!(eval_resample, m)?)?;
    m.add_function(wrap_pyfunction!(eval_figures, m)?)?;
    m.add_function(wrap_pyfunction!(eval_percent_at, m)?)?;
    m.add_function(wrap_pyfunction!(eval_value_at, m)?)?;
    m.add_function(wrap_pyfunction!(eval_optimum, m)?)?;
    m.add_function(wrap_pyfunction!(eval_optimum_curve, m)?)?;
    m.add_function(wrap_pyfunction!(eval_interp, m)?)
}
