//! Calls to providers and embeddings: `_core.Client`, `_core.EventStream`, `_core.Embedder`.

use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyMapping, PyString};

use super::awaitable::future_into_py;
use super::driver::drive;
use super::runtime::block_on;
use crate::engine::call::{self, Answered, Options, time_limit};
use crate::engine::embed::{Embedder, Embedding, Settings};
use crate::engine::plan::{Plan, Policy};
use crate::engine::stream::Stream;
use crate::error::{Error, Kind, Result};
use crate::providers::retry::DEFAULT_RETRIES;
use crate::providers::{Asked, ChatRequest, Endpoint, Http, resolve};

/// More of them would only hide a failure for hours.
const MOST_RETRIES: u32 = 1000;

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
    fn at(endpoint: &Endpoint, path: &str) -> impl Fn(Error) -> Self + use<> {
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

/// Keyword arguments that say where to call. They are read here and not by pyo3, whose errors would hold a key.
struct Where<'a, 'py> {
    base: Option<&'a Bound<'py, PyAny>>,
    key: Option<&'a Bound<'py, PyAny>>,
    organization: Option<&'a Bound<'py, PyAny>>,
    headers: Option<&'a Bound<'py, PyAny>>,
    query: Option<&'a Bound<'py, PyAny>>,
}

impl Where<'_, '_> {
    /// The endpoint of `model`; the environment is read now, at call time.
    fn endpoint(&self, model: &str) -> PyResult<Endpoint> {
        let given = |name: &str, value: Option<&Bound<'_, PyAny>>| value.map(|value| text(name, value)).transpose();
        let asked = Asked {
            api_base: given("api_base", self.base)?,
            api_key: given("api_key", self.key)?.map(Into::into),
            organization: given("organization", self.organization)?,
            headers: self.headers.map_or(Ok(Vec::new()), |value| pairs("extra_headers", value))?,
            query: self.query.map_or(Ok(Vec::new()), |value| pairs("extra_query", value))?,
            ..Asked::default()
        };
        Ok(resolve(model, &asked, &|name| std::env::var(name).ok())?)
    }
}

/// A keyword's text; neither error shows it.
fn text(name: &str, value: &Bound<'_, PyAny>) -> PyResult<String> {
    let Ok(text) = value.cast::<PyString>() else {
        let found = value.get_type().name()?;
        return Err(Error::new(Kind::Type, format!("`{name}` must be str, found {found}")).into());
    };
    match text.to_cow() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err(Error::value(format!("`{name}` is not valid Unicode: it holds half of a surrogate pair")).into()),
    }
}

/// Names and values, as a mapping or a list of pairs.
fn pairs(name: &str, value: &Bound<'_, PyAny>) -> PyResult<Vec<(String, String)>> {
    let listed = match value.cast::<PyMapping>() {
        Ok(mapping) => mapping.items()?.into_any(),
        Err(_) => value.clone(),
    };
    let wrong = || Error::new(Kind::Type, format!("`{name}` must be a dict, or a list of pairs, of str"));
    let Ok(listed) = listed.extract::<Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)>>() else { return Err(wrong().into()) };
    listed.iter().map(|(key, item)| Ok((text(name, key)?, text(name, item)?))).collect()
}

/// A whole number as Python has it: too large and negative ones are told as what they are, not as an overflow.
struct Whole<'py>(Bound<'py, PyAny>);

impl<'py> FromPyObject<'_, 'py> for Whole<'py> {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        // An `int`, or what stands for one: numpy's scalars.
        let index = value.call_method0("__index__");
        index.map(Self).map_err(|_| PyTypeError::new_err("expected int"))
    }
}

impl Whole<'_> {
    fn within(given: Option<Self>, name: &str, default: u32, allowed: RangeInclusive<u32>) -> PyResult<u32> {
        let Some(Self(value)) = given else { return Ok(default) };
        let number = value.extract::<u32>().ok().filter(|number| allowed.contains(number));
        Ok(number.ok_or_else(|| {
            let (least, most) = (allowed.start(), allowed.end());
            // Python refuses to write thousands of digits.
            let found = value.repr().map_or_else(|_| "a far larger one".to_owned(), |found| found.to_string());
            Error::value(format!("`{name}` must be a whole number from {least} to {most}, found {found}"))
        })?)
    }
}

fn options(timeout: f64, max_retries: Option<Whole<'_>>) -> PyResult<Options> {
    let retries = Whole::within(max_retries, "max_retries", DEFAULT_RETRIES, 0..=MOST_RETRIES)?;
    Ok(Options { timeout: time_limit(timeout)?, retries })
}

#[pyclass(name = "Client", module = "ferroute._core", frozen)]
struct PyClient {
    endpoint: Arc<Endpoint>,
    options: Options,
}

#[pymethods]
impl PyClient {
    #[new]
    #[pyo3(signature = (model, *, api_base=None, api_key=None, organization=None, extra_headers=None, extra_query=None, timeout=600.0, max_retries=None))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn new(
        model: &str,
        api_base: Option<&Bound<'_, PyAny>>,
        api_key: Option<&Bound<'_, PyAny>>,
        organization: Option<&Bound<'_, PyAny>>,
        extra_headers: Option<&Bound<'_, PyAny>>,
        extra_query: Option<&Bound<'_, PyAny>>,
        timeout: f64,
        max_retries: Option<Whole<'_>>,
    ) -> PyResult<Self> {
        let at = Where { base: api_base, key: api_key, organization, headers: extra_headers, query: extra_query };
        Ok(Self { endpoint: Arc::new(at.endpoint(model)?), options: options(timeout, max_retries)? })
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
        drive(py, async |http: &Http| chat(http, Arc::clone(&self.endpoint), body, self.options).await)
    }

    fn achat<'py>(&self, py: Python<'py>, body: PyBackedBytes) -> PyResult<Bound<'py, PyAny>> {
        let (endpoint, options) = (Arc::clone(&self.endpoint), self.options);
        future_into_py(py, async move { chat(Http::shared().map_err(Failed::at(&endpoint, ""))?, endpoint, body, options).await })
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

fn plan(endpoint: &Endpoint, options: Options) -> Plan {
    let (limit, retries) = (options.timeout, options.retries);
    let policy = Policy {
        first_byte_timeout: limit,
        between_chunks_timeout: limit,
        attempt_timeout: limit,
        retries,
        ..Policy::default()
    };
    Plan::to(endpoint.clone(), policy)
}

async fn chat(http: &Http, endpoint: Arc<Endpoint>, body: PyBackedBytes, options: Options) -> Result<Reply, Failed> {
    let request = Arc::new(ChatRequest::new(body.to_vec()));
    let answer = call::chat(http, plan(&endpoint, options), request);
    answer.await.map(Reply).map_err(Failed::at(&endpoint, &endpoint.dialect.chat_path(&endpoint, false)))
}

async fn open(endpoint: Arc<Endpoint>, body: PyBackedBytes, options: Options) -> Result<PyEventStream, Failed> {
    let request = Arc::new(ChatRequest::new(body.to_vec()));
    let stream = async { call::stream(Http::shared()?, plan(&endpoint, options), request).await };
    let stream = Arc::new(stream.await.map_err(Failed::at(&endpoint, &endpoint.dialect.chat_path(&endpoint, false)))?);
    Ok(PyEventStream { stream, url: endpoint.shown_url(&endpoint.dialect.chat_path(&endpoint, true)) })
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
        max_tokens=None, cache_size=None, batch_size=None, concurrency=None, base64=true, timeout=600.0,
        max_retries=None,
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn new(
        model: &str,
        api_base: Option<&Bound<'_, PyAny>>,
        api_key: Option<&Bound<'_, PyAny>>,
        organization: Option<&Bound<'_, PyAny>>,
        extra_headers: Option<&Bound<'_, PyAny>>,
        extra_query: Option<&Bound<'_, PyAny>>,
        dimensions: Option<Whole<'_>>,
        max_tokens: Option<Whole<'_>>,
        cache_size: Option<Whole<'_>>,
        batch_size: Option<Whole<'_>>,
        concurrency: Option<Whole<'_>>,
        base64: bool,
        timeout: f64,
        max_retries: Option<Whole<'_>>,
    ) -> PyResult<Self> {
        let at = Where { base: api_base, key: api_key, organization, headers: extra_headers, query: extra_query };
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

fn failed(embedder: &Embedder) -> impl Fn(Error) -> Failed + use<> {
    let endpoint = embedder.endpoint();
    Failed::at(endpoint, &endpoint.dialect.embeddings_path(endpoint))
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
