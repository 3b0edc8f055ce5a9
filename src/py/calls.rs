//! Calls to providers and embeddings: `_core.Client`, `_core.EventStream`, `_core.Embedder`.

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyString};

use super::runtime::{block_on, future_into_py};
use crate::engine::call::{self, Answered, Options, time_limit};
use crate::engine::embed::{Embedder, Embedding, Settings};
use crate::engine::stream::Stream;
use crate::error::{Error, Kind, Result};
use crate::providers::{Asked, Endpoint, Http, resolve};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyClient>()?;
    m.add_class::<PyEventStream>()?;
    m.add_class::<PyEmbedder>()
}

/// A failed call and where it went; in Python, the class of `openai` that callers already catch.
struct Failed {
    error: Error,
    url: String,
    streaming: bool,
}

impl Failed {
    fn at(endpoint: &Endpoint, path: &str) -> impl Fn(Error) -> Self {
        let url = endpoint.shown_url(path);
        move |error| Self { error, url: url.clone(), streaming: false }
    }
}

impl From<Failed> for PyErr {
    fn from(failed: Failed) -> Self {
        let kind = failed.error.kind();
        let plain = PyErr::from(failed.error);
        if !matches!(kind, Kind::Connection | Kind::Timeout | Kind::Status | Kind::Protocol | Kind::Cancelled) {
            return plain;
        }
        let translate = |py: Python<'_>| {
            let arguments = (plain.value(py), &failed.url, failed.streaming);
            let made = py.import("ferroute._failures")?.call_method1("openai_error", arguments)?;
            Ok(PyErr::from_value(made))
        };
        Python::attach(translate).unwrap_or_else(|error: PyErr| error)
    }
}

/// Keyword arguments that say where to call; the environment is read here, at call time.
fn endpoint(model: &str, at: Where) -> Result<Endpoint> {
    let asked = Asked {
        api_base: at.api_base,
        api_key: at.api_key.map(Into::into),
        organization: at.organization,
        headers: at.headers.unwrap_or_default(),
        query: at.query.unwrap_or_default(),
    };
    resolve(model, &asked, &|name| std::env::var(name).ok())
}

/// Deliberately without `Debug`: it holds the key.
#[derive(Default)]
struct Where {
    api_base: Option<String>,
    api_key: Option<String>,
    organization: Option<String>,
    headers: Option<Vec<(String, String)>>,
    query: Option<Vec<(String, String)>>,
}

#[pyclass(name = "Client", module = "ferroute._core", frozen)]
struct PyClient {
    endpoint: Arc<Endpoint>,
    options: Options,
}

#[pymethods]
impl PyClient {
    #[new]
    #[pyo3(signature = (model, *, api_base=None, api_key=None, organization=None, extra_headers=None, extra_query=None, timeout=600.0, max_retries=2))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn new(
        model: &str,
        api_base: Option<String>,
        api_key: Option<String>,
        organization: Option<String>,
        extra_headers: Option<Vec<(String, String)>>,
        extra_query: Option<Vec<(String, String)>>,
        timeout: f64,
        max_retries: u32,
    ) -> PyResult<Self> {
        let at = Where { api_base, api_key, organization, headers: extra_headers, query: extra_query };
        let endpoint = Arc::new(endpoint(model, at)?);
        Ok(Self { endpoint, options: Options { timeout: time_limit(timeout)?, retries: max_retries } })
    }

    #[getter]
    fn provider(&self) -> &'static str {
        self.endpoint.provider
    }

    #[getter]
    fn model(&self) -> &str {
        &self.endpoint.model
    }

    #[getter]
    fn base_url(&self) -> String {
        self.endpoint.shown_base()
    }

    fn chat(&self, py: Python<'_>, body: PyBackedBytes) -> PyResult<Reply> {
        block_on(py, chat(Arc::clone(&self.endpoint), body, self.options))
    }

    fn achat<'py>(&self, py: Python<'py>, body: PyBackedBytes) -> PyResult<Bound<'py, PyAny>> {
        future_into_py(py, chat(Arc::clone(&self.endpoint), body, self.options))
    }

    fn chat_stream(&self, py: Python<'_>, body: PyBackedBytes) -> PyResult<PyEventStream> {
        block_on(py, open(Arc::clone(&self.endpoint), body, self.options))
    }

    fn achat_stream<'py>(&self, py: Python<'py>, body: PyBackedBytes) -> PyResult<Bound<'py, PyAny>> {
        future_into_py(py, open(Arc::clone(&self.endpoint), body, self.options))
    }

    fn __repr__(&self) -> String {
        let Endpoint { provider, model, .. } = &*self.endpoint;
        format!("Client(provider={provider:?}, model={model:?}, base_url={:?})", self.endpoint.shown_base())
    }
}

async fn chat(endpoint: Arc<Endpoint>, body: PyBackedBytes, options: Options) -> Result<Reply, Failed> {
    let answer = async { call::chat(Http::shared()?, &endpoint, &body, options).await };
    answer.await.map(Reply).map_err(Failed::at(&endpoint, endpoint.dialect.chat_path()))
}

async fn open(endpoint: Arc<Endpoint>, body: PyBackedBytes, options: Options) -> Result<PyEventStream, Failed> {
    let stream = async { call::stream(Http::shared()?, &endpoint, &body, options).await };
    let stream = Arc::new(stream.await.map_err(Failed::at(&endpoint, endpoint.dialect.chat_path()))?);
    Ok(PyEventStream { stream, url: endpoint.shown_url(endpoint.dialect.chat_path()) })
}

/// `(status, headers, body)`.
struct Reply(Answered);

impl<'py> IntoPyObject<'py> for Reply {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        let answer = self.0.answer;
        Ok((answer.status, answer.headers, PyBytes::new(py, &answer.body)).into_pyobject(py)?.into_any())
    }
}

/// One event's JSON as `bytes`, or `None` at the end.
struct Chunk(Option<Bytes>);

impl<'py> IntoPyObject<'py> for Chunk {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        Ok(match self.0 {
            Some(data) => PyBytes::new(py, &data).into_any(),
            None => py.None().into_bound(py),
        })
    }
}

#[pyclass(name = "EventStream", module = "ferroute._core", frozen)]
struct PyEventStream {
    stream: Arc<Stream>,
    url: String,
}

impl PyEventStream {
    fn failed(&self) -> impl Fn(Error) -> Failed + use<> {
        let url = self.url.clone();
        move |error| Failed { error, url: url.clone(), streaming: true }
    }
}

#[pymethods]
impl PyEventStream {
    #[getter]
    fn status(&self) -> u16 {
        self.stream.status
    }

    #[getter]
    fn headers(&self) -> Vec<(String, String)> {
        self.stream.headers.clone()
    }

    fn ready(&self) -> Chunk {
        Chunk(self.stream.ready())
    }

    fn next(&self, py: Python<'_>) -> PyResult<Chunk> {
        if let Some(data) = self.stream.ready() {
            return Ok(Chunk(Some(data)));
        }
        block_on(py, async { self.stream.next().await.map(Chunk).map_err(self.failed()) })
    }

    fn anext<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (stream, failed) = (Arc::clone(&self.stream), self.failed());
        future_into_py(py, async move { stream.next().await.map(Chunk).map_err(failed) })
    }

    fn close(&self) {
        self.stream.close();
    }
}

impl Drop for PyEventStream {
    fn drop(&mut self) {
        // A pending `anext` shares the stream; without a Python owner nobody will read what it gets.
        self.stream.close();
    }
}

#[pyclass(name = "Embedder", module = "ferroute._core", frozen)]
struct PyEmbedder(Arc<Embedder>);

#[pymethods]
impl PyEmbedder {
    #[new]
    #[pyo3(signature = (
        model, *, api_base=None, api_key=None, organization=None, extra_headers=None, extra_query=None, dimensions=None,
        max_tokens=8192, cache_size=10_000, batch_size=256, concurrency=8, base64=true, timeout=600.0, max_retries=2,
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn new(
        model: &str,
        api_base: Option<String>,
        api_key: Option<String>,
        organization: Option<String>,
        extra_headers: Option<Vec<(String, String)>>,
        extra_query: Option<Vec<(String, String)>>,
        dimensions: Option<usize>,
        max_tokens: usize,
        cache_size: u64,
        batch_size: usize,
        concurrency: usize,
        base64: bool,
        timeout: f64,
        max_retries: u32,
    ) -> PyResult<Self> {
        let at = Where { api_base, api_key, organization, headers: extra_headers, query: extra_query };
        let call = Options { timeout: time_limit(timeout)?, retries: max_retries };
        let settings =
            Settings { dimensions, max_tokens, cache: cache_size, batch: batch_size, concurrency, base64, call };
        Ok(Self(Arc::new(Embedder::new(endpoint(model, at)?, settings)?)))
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
    fn embed_batch(&self, py: Python<'_>, texts: Vec<Bound<'_, PyAny>>, progress: Option<Py<PyAny>>) -> PyResult<Many> {
        let texts = texts.into_iter().map(|text| lossy(&text)).collect::<PyResult<_>>()?;
        let told = Arc::new(Progress { callback: progress, raised: Mutex::new(None) });
        let made = block_on(py, many(Arc::clone(&self.0), texts, Arc::clone(&told)));
        told.raise().and(made)
    }

    #[pyo3(signature = (texts, progress=None))]
    fn aembed_batch<'py>(
        &self,
        py: Python<'py>,
        texts: Vec<Bound<'py, PyAny>>,
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

fn failed(embedder: &Embedder) -> impl Fn(Error) -> Failed {
    let endpoint = embedder.endpoint();
    Failed::at(endpoint, endpoint.dialect.embeddings_path())
}

async fn one(embedder: Arc<Embedder>, text: String) -> Result<One, Failed> {
    let made = async { embedder.embed(Http::shared()?, &text).await };
    made.await.map(One).map_err(failed(&embedder))
}

async fn many(embedder: Arc<Embedder>, texts: Vec<String>, told: Arc<Progress>) -> Result<Many, Failed> {
    let progress = |done| told.call(done, texts.len());
    let made = async { embedder.embed_batch(Http::shared()?, &texts, progress).await };
    made.await.map(Many).map_err(failed(&embedder))
}

/// A Python `str` as UTF-8; lone surrogates, which no provider takes, become U+FFFD.
fn lossy(text: &Bound<'_, PyAny>) -> PyResult<String> {
    match text.cast::<PyString>() {
        Ok(text) => Ok(text.to_string_lossy().into_owned()),
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

/// `(float32 [d], note or None)`.
struct One(Arc<Embedding>);

impl<'py> IntoPyObject<'py> for One {
    type Target = PyAny;
    type Output = Bound<'py, PyAny>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        Ok((PyArray1::from_slice(py, &self.0.vector), self.0.note()).into_pyobject(py)?.into_any())
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
