//! `_core.Fitting` and `_core.FittedModel`: fitting a router on outcomes, and what comes of it.
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]

use std::path::PathBuf;

use numpy::{IntoPyArray, PyArray1, PyArray2, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};

use super::arguments::{Array1, Array2, List, count, text as read};
use super::watched::watched;
use crate::error::{Error, Kind};
use crate::learn::fit::{Design, Outcomes, Pair, added, crossfit, folds, heads};
use crate::math::quantile::linear;
use crate::routers::fitted::{About, Fitted, Projection, Scorer};

type Numbers<'py> = Array1<'py, f64>;
type Whole<'py> = Array1<'py, u32>;
type Single<'py> = Array2<'py, f32>;
type Double<'py> = Array2<'py, f64>;

/// How many quantiles a router keeps of its win rates.
const QUANTILES: usize = 100;

/// Prompts and outcomes, ready to be fitted on.
#[pyclass(frozen, module = "ferroute._core")]
struct Fitting {
    design: Design,
    outcomes: Outcomes,
}

impl Fitting {
    fn checked(&self, (strong, weak): (usize, usize), per_row: &[&[u32]]) -> PyResult<Pair> {
        let pair = Pair { strong, weak };
        crossfit::check(&self.design, &self.outcomes, pair, per_row)?;
        Ok(pair)
    }

    fn all(&self) -> Vec<u32> {
        (0..self.design.count() as u32).collect()
    }

    fn table<'py>(&self, py: Python<'py>, values: Vec<f64>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        values.into_pyarray(py).reshape([self.outcomes.count(), self.outcomes.models()])
    }
}

#[pymethods]
impl Fitting {
    #[new]
    #[pyo3(signature = (features, width, logits, outcomes, threads=None))]
    fn new(
        py: Python<'_>,
        features: Single<'_>,
        width: usize,
        logits: Numbers<'_>,
        outcomes: Double<'_>,
        threads: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let threads = count("threads", threads)?.unwrap_or(usize::MAX);
        let (features, logits) = (flat(&features), logits.as_array().to_vec());
        let (models, outcomes) = (outcomes.shape()[1], flat(&outcomes));
        Ok(py.detach(|| {
            let design = Design::new(&features, width, &logits, threads)?;
            Ok::<_, Error>(Self { design, outcomes: Outcomes::new(outcomes, models)? })
        })?)
    }

    #[staticmethod]
    fn folds(py: Python<'_>, units: Whole<'_>, folds: usize, seed: u64) -> PyResult<Py<PyArray1<u32>>> {
        let units = units.as_array().to_vec();
        Ok(folds::assign(&units, folds, seed)?.into_pyarray(py).unbind())
    }

    #[staticmethod]
    fn steps(models: usize) -> usize {
        heads::steps(models)
    }

    #[pyo3(signature = (pair, models, *, win_rates, embedding=None, projection=None, zero_shot=true, neighbours=None,
                        progress=None))]
    #[expect(clippy::too_many_arguments, reason = "one call from one place")]
    fn model(
        &self,
        py: Python<'_>,
        pair: (usize, usize),
        models: List<String>,
        win_rates: Numbers<'_>,
        embedding: Option<usize>,
        projection: Option<(Array1<'_, f32>, Single<'_>)>,
        zero_shot: bool,
        neighbours: Option<(usize, f64)>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<FittedModel> {
        let pair = self.checked(pair, &[])?;
        let about = About::new(models.0, pair.strong, pair.weak, embedding);
        let projection =
            projection.map(|(centre, rows)| Projection { centre: centre.as_array().to_vec(), rows: flat(&rows) });
        let mut rates = win_rates.as_array().to_vec();
        rates.retain(|rate| rate.is_finite());
        rates.sort_by(f64::total_cmp);
        let at = |i: usize| linear(&rates, (i as f64 + 0.5) / QUANTILES as f64).clamp(0.0, 1.0);
        let quantiles = if rates.is_empty() { Vec::new() } else { (0..QUANTILES).map(at).collect() };
        let rows = self.all();
        let scorer = watched(py, progress.as_ref(), |watch| {
            if let Some((k, guard)) = neighbours {
                return Ok(Scorer::Neighbours(crossfit::store(&self.design, &self.outcomes, &rows, k, guard)));
            }
            let found = heads::fit(&self.design, &self.outcomes, pair, &rows, zero_shot, watch)?;
            Ok(Scorer::Heads { lines: found.lines, latents: found.latents })
        })?;
        Ok(FittedModel(Fitted::new(about, self.design.recipe().clone(), projection, scorer, quantiles)?))
    }

    #[pyo3(signature = (pair, folds, *, zero_shot=true, neighbours=None, progress=None))]
    fn cross_validated<'py>(
        &self,
        py: Python<'py>,
        pair: (usize, usize),
        folds: Whole<'py>,
        zero_shot: bool,
        neighbours: Option<(usize, f64)>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let folds = folds.as_array().to_vec();
        let pair = self.checked(pair, &[&folds])?;
        let scores = watched(py, progress.as_ref(), |watch| match neighbours {
            None => crossfit::heads(&self.design, &self.outcomes, pair, &folds, zero_shot, watch),
            Some(ways) => crossfit::neighbours(&self.design, &self.outcomes, &folds, ways, watch),
        })?;
        self.table(py, scores)
    }

    #[pyo3(signature = (pair, folds, units, *, times, seed, zero_shot=true, progress=None))]
    #[expect(clippy::too_many_arguments, reason = "one call from one place")]
    fn chance(
        &self,
        py: Python<'_>,
        pair: (usize, usize),
        folds: Whole<'_>,
        units: Whole<'_>,
        times: usize,
        seed: u64,
        zero_shot: bool,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<(f64, f64)> {
        let (folds, units) = (folds.as_array().to_vec(), units.as_array().to_vec());
        let pair = self.checked(pair, &[&folds, &units])?;
        let found = watched(py, progress.as_ref(), |watch| {
            let (rows, ways) = ((&*folds, &*units), (times, seed));
            crossfit::chance(&self.design, &self.outcomes, pair, rows, ways, zero_shot, watch)
        })?;
        Ok((found.statistic, found.p_value))
    }
}

/// A router fitted on outcomes.
#[pyclass(frozen, module = "ferroute._core")]
pub(super) struct FittedModel(pub(super) Fitted);

#[pymethods]
impl FittedModel {
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        Ok(Self(py.detach(|| Fitted::load(&path))?))
    }

    #[staticmethod]
    fn from_bytes(content: &[u8]) -> PyResult<Self> {
        Ok(Self(Fitted::from_bytes(content, "these bytes")?))
    }

    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0.to_bytes()?))
    }

    fn save(&self, py: Python<'_>, path: PathBuf) -> PyResult<()> {
        Ok(py.detach(|| self.0.save(&path))?)
    }

    #[getter]
    fn models(&self) -> Vec<String> {
        self.0.models().to_vec()
    }

    #[getter]
    fn pair(&self) -> (usize, usize) {
        (self.0.strong(), self.0.weak())
    }

    #[getter]
    fn embedding_width(&self) -> Option<usize> {
        self.0.embedding_width()
    }

    #[getter]
    fn width(&self) -> usize {
        self.0.recipe().width()
    }

    #[getter]
    fn quantiles(&self) -> Vec<f64> {
        self.0.quantiles().to_vec()
    }

    #[getter]
    fn card(&self) -> String {
        self.0.about().card.to_string()
    }

    fn with_card(&self, card: &str) -> PyResult<Self> {
        let card = serde_json::from_str(card).map_err(|e| Error::value(format!("the card is no JSON: {e}")))?;
        Ok(Self(self.0.clone().with_card(card)))
    }

    #[pyo3(signature = (text, embedding=None))]
    fn win_rate(&self, text: &Bound<'_, PyString>, embedding: Option<Array1<'_, f32>>) -> PyResult<f64> {
        let embedding = embedding.map(|numbers| numbers.as_array().to_vec());
        Ok(self.0.win_rate_of(&read(text), embedding.as_deref())?)
    }

    #[pyo3(signature = (text, embedding=None, limit=10))]
    fn explain(
        &self,
        text: &Bound<'_, PyString>,
        embedding: Option<Array1<'_, f32>>,
        limit: usize,
    ) -> PyResult<Vec<(&'static str, f64)>> {
        let embedding = embedding.map(|numbers| numbers.as_array().to_vec());
        let terms = self.0.explain(&read(text), embedding.as_deref())?;
        Ok(terms.into_iter().take(limit).map(|term| (term.name, term.part)).collect())
    }

    #[pyo3(signature = (texts, embeddings=None, threads=None))]
    fn scores<'py>(
        &self,
        py: Python<'py>,
        texts: List<Bound<'py, PyString>>,
        embeddings: Option<Single<'py>>,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let scores = self.scored(py, &texts, embeddings.as_ref(), threads)?;
        scores.into_pyarray(py).reshape([texts.len(), self.0.models().len()])
    }

    #[pyo3(signature = (texts, embeddings=None, threads=None))]
    fn win_rates<'py>(
        &self,
        py: Python<'py>,
        texts: List<Bound<'py, PyString>>,
        embeddings: Option<Single<'py>>,
        threads: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let scores = self.scored(py, &texts, embeddings.as_ref(), threads)?;
        let rates: Vec<f64> = scores.chunks_exact(self.0.models().len()).map(|row| self.0.win_rate(row)).collect();
        Ok(rates.into_pyarray(py))
    }

    fn with_model(
        &self,
        py: Python<'_>,
        name: String,
        features: Single<'_>,
        logits: Numbers<'_>,
        outcomes: Numbers<'_>,
    ) -> PyResult<Self> {
        let (features, logits, outcomes) = (flat(&features), logits.as_array().to_vec(), outcomes.as_array().to_vec());
        let Scorer::Heads { lines, latents } = self.0.scorer() else {
            let what = "a router of neighbours knows no more than its rows: fit it again with the new model's outcomes";
            return Err(Error::new(Kind::Unsupported, what).into());
        };
        let found = py.detach(|| {
            let design = Design::with(self.0.recipe().clone(), &features, &logits, usize::MAX)?;
            let mut lines = lines.clone();
            lines.push(added::line(&design, latents, &outcomes)?);
            let old = self.0.about();
            let mut names = old.models.clone();
            names.push(name);
            let mut about = About::new(names, old.strong, old.weak, old.embedding);
            about.card = old.card.clone();
            let scorer = Scorer::Heads { lines, latents: latents.clone() };
            let (recipe, projection) = (self.0.recipe().clone(), self.0.projection().cloned());
            Fitted::new(about, recipe, projection, scorer, self.0.quantiles().to_vec())
        });
        Ok(Self(found?))
    }

    fn project<'py>(&self, py: Python<'py>, embeddings: Single<'py>) -> PyResult<Bound<'py, PyArray2<f32>>> {
        let (n, given) = (embeddings.shape()[0], embeddings.shape()[1]);
        let found = self.0.projected(&flat(&embeddings), given)?;
        found.into_pyarray(py).reshape([n, self.0.recipe().width()])
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let py = slf.py();
        Ok((PyType::new::<Self>(py).getattr("from_bytes")?, (slf.get().to_bytes(py)?,)))
    }
}

impl FittedModel {
    fn scored(
        &self,
        py: Python<'_>,
        texts: &[Bound<'_, PyString>],
        embeddings: Option<&Single<'_>>,
        threads: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<f64>> {
        let texts = texts.iter().map(read).collect::<Vec<_>>();
        let threads = count("threads", threads)?.unwrap_or(usize::MAX);
        let embeddings = embeddings.map(flat);
        Ok(py.detach(|| self.0.scores_batch(&texts, embeddings.as_deref(), threads))?)
    }
}

/// The numbers of an array of any layout, in C order.
fn flat<T: numpy::Element + Copy>(array: &Array2<'_, T>) -> Vec<T> {
    array.as_array().iter().copied().collect()
}

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<Fitting>()?;
    m.add_class::<FittedModel>()
}
