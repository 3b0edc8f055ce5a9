//! A Controller's routers for the server: those of the core are taken out of their Python objects, so that they are asked
//! without the interpreter. `ferroute._gateway_deciding` says which those are, and describes the rest.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::bert::BertModel;
use super::calls::PyClient;
use super::classifier::PyClassifier;
use super::embedder::PyEmbedder;
use super::filters::{PyServing, PySessions};
use super::fitted::FittedModel;
use super::gateway_foreign::Foreign;
use super::local::LocalModel;
use super::mf::MfModel;
use super::routing::{Ladder, ShareWindow};
use super::rules::PyRules;
use super::semantic::SemanticModel;
use super::sw::SwRanking;
use crate::error::{Error, Kind, Result};
use crate::gateway::Target;
use crate::gateway::deciding::{
    Beyond, Deciding, Elsewhere, Fixed, Loaded, Lot, Manner, Named, OnError, Parts, Remarks, Router, Said, Table, Word,
};
use crate::math::rows::Rows;
use crate::math::waiting;
use crate::providers::Http;
use crate::routers::local::LocalModel as Local;
use crate::routing::views::Part;
use crate::text::view::View;

/// Decisions that take all processors for a while, at the same time: more would only slow each other down.
const HEAVY: usize = 2;
/// As `ferroute.embedding.LocalEmbedder` makes a vector of the features: a factor for the lexical ones, and a constant.
const LEXICAL: f32 = 0.1;
const CONSTANT: f32 = 0.3;

static HEAVY_WORK: Semaphore = Semaphore::const_new(HEAVY);

/// The deciding that a description is of, between `targets`, weakest first.
pub(super) fn deciding(told: &Bound<'_, PyDict>, targets: Vec<Arc<Target>>) -> PyResult<Deciding> {
    let told = told.as_any();
    let ladder = told.get_item("ladder")?.cast::<Ladder>()?.get().0.clone();
    if ladder.rungs() != targets.len() {
        return Err(Error::value("expected a client for each rung").into());
    }
    let mut beyond = Vec::new();
    let mut routers = Vec::new();
    for router in told.get_item("routers")?.try_iter()? {
        routers.push(loaded(&router?, &mut beyond)?);
    }
    let elsewhere: Arc<dyn Elsewhere> = Arc::new(Foreign::new(&told.get_item("decide")?, targets.clone()));
    Ok(Deciding::of(Parts {
        ladder,
        targets,
        serving: Arc::clone(&told.get_item("serving")?.cast::<PyServing>()?.get().0),
        sessions: Arc::clone(&told.get_item("sessions")?.cast::<PySessions>()?.get().0),
        routers,
        beyond,
        manner: manner(told)?,
        baseline: told.get_item("baseline")?.extract()?,
        elsewhere: Some(elsewhere),
        all_elsewhere: told.get_item("all_elsewhere")?.extract()?,
    }))
}

fn manner(told: &Bound<'_, PyAny>) -> PyResult<Manner> {
    let view: String = told.get_item("view")?.extract()?;
    let milliseconds: Option<f64> = told.get_item("max_latency_ms")?.extract()?;
    let rung: Option<usize> = told.get_item("error_rung")?.extract()?;
    let router: Option<String> = told.get_item("error_router")?.extract()?;
    Ok(Manner {
        view: Part::named(&view).ok_or_else(|| Error::value(format!("there is no view `{view}`")))?,
        join: told.get_item("join")?.extract()?,
        limit: milliseconds.and_then(|time| waiting::seconds(time / 1e3)),
        sticky: told.get_item("sticky")?.extract()?,
        holdout: told.get_item("holdout")?.extract()?,
        on_error: match (rung, router) {
            (Some(rung), _) => OnError::Rung(rung),
            (None, Some(router)) => OnError::Router(router),
            (None, None) => OnError::Raise,
        },
    })
}

fn loaded(told: &Bound<'_, PyAny>, beyond: &mut Vec<Beyond>) -> PyResult<Loaded> {
    let item = |name: &str| told.get_item(name);
    let name: String = item("name")?.extract()?;
    let kind: String = item("kind")?.extract()?;
    let table = item("table")?;
    let mut models = Vec::new();
    for model in item("models")?.try_iter()? {
        let model = model?;
        let (said, rung): (String, Option<usize>) = (model.get_item(0)?.extract()?, model.get_item(1)?.extract()?);
        let named = if let Some(rung) = rung {
            Named::Rung(rung)
        } else {
            let name: String = model.get_item(2)?.extract()?;
            let client = model.get_item(3)?;
            let plan = client.cast::<PyClient>()?.get().plain();
            let serving = model.get_item(4)?;
            let serving = Arc::clone(&serving.cast::<PyServing>()?.get().0);
            beyond.push(Beyond { target: Arc::new(Target::new(name, plan)), serving });
            Named::Beyond(beyond.len() - 1)
        };
        models.push((said, named));
    }
    Ok(Loaded {
        router: router(&kind, &item("parts")?)?,
        window: Arc::clone(&item("window")?.cast::<ShareWindow>()?.get().0),
        table: if table.is_none() { None } else { Some(Arc::new(Calibrated::of(&table))) },
        naming: item("naming")?.extract()?,
        names_models: item("names_models")?.extract()?,
        held: item("held")?.extract()?,
        asks: item("asks")?.extract()?,
        models,
        ..Loaded::new(name, None)
    })
}

/// The router of the core that a Python object holds; `None` for one that is asked in Python.
fn router(kind: &str, parts: &Bound<'_, PyAny>) -> PyResult<Option<Arc<dyn Router>>> {
    let part = |at: usize| parts.get_item(at);
    Ok(Some(match kind {
        "random" => Arc::new(Lot),
        "local" => Arc::new(OfText::Local(part(0)?.cast::<LocalModel>()?.get().0)),
        "fitted" => Arc::new(OfText::Fitted(part(0)?.cast::<FittedModel>()?.clone().unbind())),
        "rules" => Arc::new(OfText::Rules(part(0)?.cast::<PyRules>()?.clone().unbind())),
        "semantic" => Arc::new(OfText::Semantic(part(0)?.cast::<SemanticModel>()?.clone().unbind())),
        "classifier" => Arc::new(Asks(part(0)?.cast::<PyClassifier>()?.clone().unbind())),
        "bert" => {
            let model = Arc::new(part(0)?.cast::<BertModel>()?.clone().unbind());
            Arc::new(Bert { model, threads: part(1)?.extract()? })
        }
        "mf" => {
            let model = part(0)?.cast::<MfModel>()?.clone();
            let pair: (usize, usize) = (part(1)?.extract()?, part(2)?.extract()?);
            // Folded now, so that the first request does not wait for it.
            model.get().0.pair(pair.0, pair.1)?;
            Arc::new(Mf { model: model.unbind(), pair, vectors: vectors(&part(3)?)? })
        }
        "sw" => Arc::new(Sw {
            model: Arc::new(part(0)?.cast::<SwRanking>()?.clone().unbind()),
            tiers: part(1)?.extract()?,
            threads: part(2)?.extract::<Option<usize>>()?.unwrap_or(usize::MAX),
            vectors: vectors(&part(3)?)?,
        }),
        _ => return Ok(None),
    }))
}

/// Where embeddings come from: `(embedder, instruction)`, without an embedder the local one.
fn vectors(told: &Bound<'_, PyAny>) -> PyResult<Vectors> {
    let embedder = told.get_item(0)?;
    if embedder.is_none() {
        return Ok(Vectors::Local(Local::shared()?));
    }
    let embedder = embedder.cast::<PyEmbedder>()?.clone().unbind();
    Ok(Vectors::Asked(embedder, told.get_item(1)?.extract()?))
}

// What is frozen can be looked at without the interpreter's lock: `Py::get`.

/// Routers that know at once.
enum OfText {
    Local(&'static Local<'static>),
    Fitted(Py<FittedModel>),
    Rules(Py<PyRules>),
    Semantic(Py<SemanticModel>),
}

impl Router for OfText {
    fn word<'a>(&'a self, view: &'a View, _remarks: &'a Remarks) -> Said<'a> {
        Said::Now(match self {
            Self::Local(model) => Ok(Word::WinRate(model.score(view.text()))),
            Self::Fitted(model) => model.get().0.win_rate_of(view.text(), None).map(Word::WinRate),
            Self::Rules(rules) => rules.get().rules.choose(view).map(|verdict| Word::Verdict(Box::new(verdict))),
            Self::Semantic(model) => {
                let near = model.get().0.similarities_of_text(view.text());
                near.map(|near| Word::Verdict(Box::new(model.get().0.verdict(&near))))
            }
        })
    }
}

/// A small model that is asked what a request is.
struct Asks(Py<PyClassifier>);

impl Router for Asks {
    fn word<'a>(&'a self, view: &'a View, remarks: &'a Remarks) -> Said<'a> {
        let images = view.turns.last().map_or(0, |turn| turn.images);
        let classify = async move {
            let told = self.0.get().0.classify(Http::shared()?, view.text(), images).await?;
            remarks.charge(told.cost);
            Ok(Word::Verdict(Box::new(told.verdict)))
        };
        Said::Later(classify.boxed())
    }
}

/// Where embeddings come from.
enum Vectors {
    Local(&'static Local<'static>),
    /// An endpoint, and what is put before every text.
    Asked(Py<PyEmbedder>, String),
}

impl Vectors {
    async fn of(&self, text: &str, remarks: &Remarks) -> Result<Vec<f32>> {
        match self {
            Self::Local(model) => {
                let features = model.featuriser().features(text);
                let lexical = features.lexical.iter().map(|feature| feature * LEXICAL);
                Ok(features.embedding.iter().copied().chain(lexical).chain([CONSTANT]).collect())
            }
            Self::Asked(embedder, instruction) => {
                let embedder = &embedder.get().0;
                let asked = format!("{instruction}{text}");
                let (found, paid) = embedder.embed(Http::shared()?, &asked).await?;
                found.note().into_iter().for_each(|note| remarks.note(note));
                if paid.0.is_none_or(|dollars| !dollars.is_zero()) {
                    remarks.charge(paid.0);
                }
                Ok(found.vector.clone())
            }
        }
    }
}

struct Mf {
    model: Py<MfModel>,
    pair: (usize, usize),
    vectors: Vectors,
}

impl Router for Mf {
    fn word<'a>(&'a self, view: &'a View, remarks: &'a Remarks) -> Said<'a> {
        let score = async move {
            let vector = self.vectors.of(view.text(), remarks).await?;
            let rows = Rows::of_f32(&vector, vector.len());
            let (strong, weak) = self.pair;
            self.model.get().0.win_rate(&rows, 0, strong, weak).map(Word::WinRate)
        };
        Said::Later(score.boxed())
    }
}

struct Sw {
    model: Arc<Py<SwRanking>>,
    tiers: (u32, u32),
    threads: usize,
    vectors: Vectors,
}

impl Router for Sw {
    fn word<'a>(&'a self, view: &'a View, remarks: &'a Remarks) -> Said<'a> {
        let score = async move {
            let vector = self.vectors.of(view.text(), remarks).await?;
            let (model, tiers, threads) = (Arc::clone(&self.model), self.tiers, self.threads);
            heavy(move || {
                let rows = Rows::of_f32(&vector, vector.len());
                model.get().0.win_rate(&rows, 0, tiers, threads).map(Word::WinRate)
            })
            .await
        };
        Said::Later(score.boxed())
    }
}

struct Bert {
    model: Arc<Py<BertModel>>,
    threads: Option<usize>,
}

impl Router for Bert {
    fn word<'a>(&'a self, view: &'a View, _remarks: &'a Remarks) -> Said<'a> {
        let (model, text, threads) = (Arc::clone(&self.model), view.text().to_owned(), self.threads);
        let work = heavy(move || {
            let rates = model.get().0.win_rates(&[text], threads, |_| Ok(()))?;
            Ok(Word::WinRate(rates.first().copied().unwrap_or(f64::NAN)))
        });
        Said::Later(work)
    }
}

/// Work that takes processors, off the threads that serve sockets.
fn heavy(work: impl FnOnce() -> Result<Word> + Send + 'static) -> BoxFuture<'static, Result<Word>> {
    async move {
        let permit = HEAVY_WORK.acquire().await;
        let done = spawn_blocking(work).await;
        drop(permit);
        done.unwrap_or_else(|_| Err(Error::new(Kind::Foreign, "the router's work has broken off")))
    }
    .boxed()
}

/// A calibration table of Python's; each share is asked for once.
struct Calibrated {
    table: Py<PyAny>,
    known: Mutex<Vec<(u64, Fixed)>>,
}

/// Shares that are kept: callers choose them, so there is an end to it.
const MOST_SHARES: usize = 1_000;

impl Calibrated {
    fn of(table: &Bound<'_, PyAny>) -> Self {
        Self { table: table.clone().unbind(), known: Mutex::default() }
    }
}

impl Table for Calibrated {
    fn fixed(&self, share: f64) -> Result<Fixed> {
        let lock = || self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, fixed)) = lock().iter().find(|(bits, _)| *bits == share.to_bits()) {
            return Ok(fixed.clone());
        }
        let asked = Python::attach(|py| {
            let found = self.table.bind(py).call_method1("threshold", (share,))?;
            let item = |name: &str| found.getattr(name);
            Ok::<_, PyErr>(Fixed {
                threshold: item("threshold")?.extract()?,
                n: item("n")?.extract()?,
                note: item("note")?.extract::<Option<String>>()?.filter(|note| !note.is_empty()),
            })
        });
        let fixed = asked
            .map_err(|error| Error::new(Kind::Foreign, format!("the calibration table cannot be read: {error}")))?;
        let mut known = lock();
        if known.len() >= MOST_SHARES {
            known.clear();
        }
        known.push((share.to_bits(), fixed.clone()));
        Ok(fixed)
    }
}
