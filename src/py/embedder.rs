//! Embeddings for routers: `_core.Embedder`.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::arguments::List;
use super::awaitable::future_into_py;
use super::calls::Failed;
use super::given::{Where, Whole, options};
use super::money::Amount;
use super::runtime::block_on;
use crate::engine::embed::{Embedder, Embedding, Paid, Settings};
use crate::error::{Error, Result};
use crate::providers::{Endpoint, Http};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyEmbedder>()
}

#[pyclass(name = "Embedder", module = "ferroute._core", frozen)]
pub(super) struct PyEmbedder(pub(super) Arc<Embedder>);

#[pymethods]
impl PyEmbedder {
    #[new]
    #[pyo3(signature = (
        model, *, api_base=None, api_key=None, organization=None, extra_headers=None, extra_query=None,
        api_version=None, base_model=None, dimensions=None, max_tokens=None, cache_size=None, batch_size=None,
        concurrency=None, base64=true, timeout=600.0, max_retries=None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn new(
        model: &str,
        api_base: Option<&Bound<'_, PyAny>>,
        api_key: Option<&Bound<'_, PyAny>>,
        organization: Option<&Bound<'_, PyAny>>,
        extra_headers: Option<&Bound<'_, PyAny>>,
        extra_query: Option<&Bound<'_, PyAny>>,
        api_version: Option<&Bound<'_, PyAny>>,
        base_model: Option<&Bound<'_, PyAny>>,
        dimensions: Option<Whole<'_>>,
        max_tokens: Option<Whole<'_>>,
        cache_size: Option<Whole<'_>>,
        batch_size: Option<Whole<'_>>,
        concurrency: Option<Whole<'_>>,
        base64: bool,
        timeout: f64,
        max_retries: Option<Whole<'_>>,
    ) -> PyResult<Self> {
        let at = Where {
            base: api_base,
            key: api_key,
            organization,
            headers: extra_headers,
            query: extra_query,
            api_version,
            base_model,
        };
        let usual = Settings::default();
        let count = |given, name: &str, usual: usize| {
            Whole::within(given, name, usual as u32, 1..=u32::MAX).map(|count| count as usize)
        };
        let settings = Settings {
            dimensions: dimensions.map(|given| count(Some(given), "dimensions", 0)).transpose()?,
            // As the router's configuration calls it.
            max_tokens: count(max_tokens, "max_input_tokens", usual.max_tokens)?,
            cache: Whole::within(cache_size, "cache_size", usual.cache as u32, 0..=u32::MAX)?.into(),
            batch: count(batch_size, "batch_size", usual.batch)?,
            concurrency: count(concurrency, "concurrency", usual.concurrency)?,
            base64,
            call: options(timeout, max_retries)?,
        };
        Ok(Self(Arc::new(Embedder::new(at.endpoint(model)?, settings)?)))
    }

    #[getter]
    fn provider(&self) -> &'static str {
        self.0.endpoint().provider
    }

    #[getter]
    fn model(&self) -> &str {
        &self.0.endpoint().model
    }

    #[getter]
    fn base_url(&self) -> String {
        self.0.endpoint().shown_base()
    }

    fn embed(&self, py: Python<'_>, text: &Bound<'_, PyAny>) -> PyResult<One> {
        let text = lossy(text)?;
        block_on(py, one(Arc::clone(&self.0), text))
    }

    fn aembed<'py>(&self, py: Python<'py>, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        future_into_py(py, one(Arc::clone(&self.0), lossy(text)?))
    }

    #[pyo3(signature = (texts, progress=None))]
    fn embed_batch(
        &self,
        py: Python<'_>,
        texts: List<Bound<'_, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Many> {
        let texts = texts.into_iter().map(|text| lossy(&text)).collect::<PyResult<_>>()?;
        let told = Arc::new(Progress { callback: progress, raised: Mutex::new(None) });
        let made = block_on(py, many(Arc::clone(&self.0), texts, Arc::clone(&told)));
        told.raise().and(made)
    }

    #[pyo3(signature = (texts, progress=None))]
    fn aembed_batch<'py>(
        &self,
        py: Python<'py>,
        texts: List<Bound<'py, PyAny>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let texts = texts.into_iter().map(|text| lossy(&text)).collect::<PyResult<_>>()?;
        let told = Arc::new(Progress { callback: progress, raised: Mutex::new(None) });
        let embedder = Arc::clone(&self.0);
        future_into_py(py, async move {
            let made = many(embedder, texts, Arc::clone(&told)).await.map_err(PyErr::from);
            told.raise().and(made)
        })
    }

    fn __repr__(&self) -> String {
        let Endpoint { provider, model, .. } = self.0.endpoint();
        format!("Embedder(provider={provider:?}, model={model:?}, base_url={:?})", self.0.endpoint().shown_base())
    }
}

/// A failed request for embeddings, which have one address.
fn failed(embedder: &Embedder) -> impl Fn(Error) -> Failed + use<> {
    let endpoint = embedder.endpoint();
    let url = endpoint.shown_url(&endpoint.dialect.embeddings_path(endpoint));
    move |error| Failed::opening(error.at(|| url.clone()))
}

async fn one(embedder: Arc<Embedder>, text: String) -> Result<One, Failed> {
    let made = async { embedder.embed(Http::shared()?, &text).await };
    made.await.map(|(embedding, paid)| One(embedding, paid)).map_err(failed(&embedder))
}

async fn many(embedder: Arc<Embedder>, texts: Vec<String>, told: Arc<Progress>) -> Result<Many, Failed> {
    let progress = |done| told.call(done, texts.len());
    let made = async { embedder.embed_batch(Http::shared()?, &texts, progress).await };
    made.await.map(Many).map_err(failed(&embedder))
}

/// A Python `str` as UTF-8; lone surrogates, which no provider takes, become U+FFFD.
fn lossy(text: &Bound<'_, PyAny>) -> PyResult<String> {
    match text.cast::<PyString>() {
        Ok(text) => Ok(super::arguments::text(text).into_owned()),
        Err(_) => Err(PyTypeError::new_err(format!("a text to embed must be str, found {}", text.get_type().name()?))),
    }
}

/// The progress callback, and what it raised.
struct Progress {
    callback: Option<Py<PyAny>>,
    raised: Mutex<Option<PyErr>>,
}

impl Progress {
    fn call(&self, done: usize, total: usize) -> ControlFlow<()> {
        let Some(callback) = &self.callback else { return ControlFlow::Continue(()) };
        match Python::attach(|py| callback.call1(py, (done, total)).map(drop)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                *self.raised.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    fn raise(&self) -> PyResult<()> {
        self.raised.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }
}

/// `(float32 [d], note or None, US dollars or None)`.
struct One(Arc<Embedding>, Paid);

impl<'py> IntoPyObject<'py> for One {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let Self(embedding, Paid(cost)) = self;
        let vector = PyArray1::from_slice(py, &embedding.vector);
        Ok((vector, embedding.note(), cost.map(Amount)).into_pyobject(py)?.into_any())
    }
}

/// `float32 [n, d]`; `[0, 0]` for no texts.
struct Many(Vec<Arc<Embedding>>);

impl<'py> IntoPyObject<'py> for Many {
    type Target = PyArray2<f32>;
    type Output = Bound<'py, PyArray2<f32>>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let rows = self.0;
        let columns = rows.first().map_or(0, |row| row.vector.len());
        let mut flat = Vec::with_capacity(rows.len() * columns);
        for row in &rows {
            flat.extend_from_slice(&row.vector);
        }
        PyArray1::from_vec(py, flat).reshape([rows.len(), columns])
    }
}
