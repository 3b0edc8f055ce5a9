//! Calls to models: `_core.Client`, `_core.Reply`, `_core.EventStream`.

use std::sync::Arc;

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::account::{self, Decided};
use super::arguments::List;
use super::awaitable::future_into_py;
use super::driver::drive;
use super::given::{MOST_RETRIES, Where, Whole};
use super::ledger::PyLedger;
use super::policy::{PyPolicy, limit};
use super::runtime::block_on;
use crate::engine::call::{self, Answered};
use crate::engine::plan::{Climb, Plan, Policy, Routed};
use crate::engine::stream::Stream;
use crate::error::{Error, Kind, Result};
use crate::providers::{ChatRequest, Endpoint, Http};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyClient>()?;
    m.add_class::<PyReply>()?;
    m.add_class::<PyEventStream>()
}

/// A failed call; in Python, the class of `openai` that callers already catch.
pub(super) struct Failed {
    error: Error,
    streaming: bool,
}

impl Failed {
    /// Of a call that was not streamed, or a stream that could not be opened.
    pub(super) fn opening(error: Error) -> Self {
        Self { error, streaming: false }
    }

    fn reading(error: Error) -> Self {
        Self { error, streaming: true }
    }
}

impl From<Failed> for PyErr {
    fn from(failed: Failed) -> Self {
        let Failed { error, streaming } = failed;
        let (kind, url) = (error.kind(), error.url().unwrap_or("http://unknown").to_owned());
        let is_raised = error.raised::<Self>().is_some();
        let plain = PyErr::from(error);
        if is_raised
            || !matches!(kind, Kind::Connection | Kind::Timeout | Kind::Status | Kind::Protocol | Kind::Cancelled)
        {
            return plain;
        }
        let translate = |py: Python<'_>| {
            let arguments = (plain.value(py), url, streaming);
            let made = py.import("ferroute._failures")?.call_method1("openai_error", arguments)?;
            Ok(PyErr::from_value(made))
        };
        Python::attach(translate).unwrap_or_else(|error: PyErr| error)
    }
}

#[pyclass(name = "Client", module = "ferroute._core", frozen)]
pub(super) struct PyClient(Plan);

#[pymethods]
impl PyClient {
    #[new]
    #[pyo3(signature = (
        model, *, api_base=None, api_key=None, organization=None, extra_headers=None, extra_query=None,
        api_version=None, base_model=None, policy=None, timeout=None, connect_timeout=None, max_retries=None,
        fallbacks=None, climb=None, left_out=None, ledger=None,
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
        policy: Option<&PyPolicy>,
        timeout: Option<f64>,
        connect_timeout: Option<f64>,
        max_retries: Option<Whole<'_>>,
        fallbacks: Option<List<(Option<String>, PyRef<'_, Self>)>>,
        climb: Option<List<(Option<String>, PyRef<'_, Self>)>>,
        left_out: Option<List<String>>,
        ledger: Option<&PyLedger>,
    ) -> PyResult<Self> {
        crate::pricing::check()?;
        let at = Where {
            base: api_base,
            key: api_key,
            organization,
            headers: extra_headers,
            query: extra_query,
            api_version,
            base_model,
        };
        let mut endpoints = vec![at.endpoint(model)?];
        let mut rungs = Climb { left_out: left_out.unwrap_or_default().0, ..Climb::default() };
        for (tier, fallback) in fallbacks.into_iter().flatten() {
            endpoints.push(fallback.first().clone());
            rungs.fallbacks.push(tier);
        }
        for (tier, rung) in climb.into_iter().flatten() {
            endpoints.push(rung.first().clone());
            rungs.rungs.push(tier);
        }
        let mut policy = policy.map_or_else(Arc::default, |policy| Arc::clone(&policy.0));
        if timeout.is_some() || connect_timeout.is_some() || max_retries.is_some() {
            policy = Arc::new(adjusted(&policy, timeout, connect_timeout, max_retries)?);
        }
        let ledger = ledger.map(|ledger| Arc::clone(&ledger.0));
        Ok(Self(Plan {
            endpoints: endpoints.into(),
            climb: Arc::new(rungs),
            policy,
            ledger,
            purse: None,
            routed: Routed::default(),
        }))
    }

    #[getter]
    fn provider(&self) -> &'static str {
        self.first().provider
    }

    #[getter]
    fn model(&self) -> &str {
        &self.first().model
    }

    #[getter]
    fn at_home(&self) -> bool {
        self.first().at_home()
    }

    #[getter]
    fn base_url(&self) -> String {
        self.first().shown_base()
    }

    #[pyo3(signature = (body, decided=None))]
    fn chat(&self, py: Python<'_>, body: &[u8], decided: Option<Decided>) -> PyResult<PyReply> {
        let (plan, body) = (self.plan(decided), Bytes::copy_from_slice(body));
        drive(py, async |http: &Http| chat(http, plan, body).await)
    }

    #[pyo3(signature = (body, decided=None))]
    fn achat<'py>(&self, py: Python<'py>, body: &[u8], decided: Option<Decided>) -> PyResult<Bound<'py, PyAny>> {
        let (plan, body) = (self.plan(decided), Bytes::copy_from_slice(body));
        future_into_py(py, chat(Http::shared()?, plan, body))
    }

    #[pyo3(signature = (body, decided=None))]
    fn chat_stream(&self, py: Python<'_>, body: &[u8], decided: Option<Decided>) -> PyResult<PyEventStream> {
        block_on(py, open(Http::shared()?, self.plan(decided), Bytes::copy_from_slice(body)))
    }

    #[pyo3(signature = (body, decided=None))]
    fn achat_stream<'py>(&self, py: Python<'py>, body: &[u8], decided: Option<Decided>) -> PyResult<Bound<'py, PyAny>> {
        future_into_py(py, open(Http::shared()?, self.plan(decided), Bytes::copy_from_slice(body)))
    }

    fn __repr__(&self) -> String {
        let Endpoint { provider, model, .. } = self.first();
        format!("Client(provider={provider:?}, model={model:?}, base_url={:?})", self.first().shown_base())
    }
}

impl PyClient {
    fn first(&self) -> &Endpoint {
        &self.0.endpoints[0]
    }

    /// The plan of a call that nothing was decided before.
    pub(super) fn plain(&self) -> Plan {
        self.0.clone()
    }

    fn plan(&self, decided: Option<Decided>) -> Plan {
        Plan { routed: decided.map(|decided| decided.0).unwrap_or_default(), ..self.0.clone() }
    }
}

/// The policy with what one call says of its own: `timeout` is for an attempt, for a stream until it begins and for
/// each of its silences.
fn adjusted(
    policy: &Policy,
    timeout: Option<f64>,
    connect_timeout: Option<f64>,
    max_retries: Option<Whole<'_>>,
) -> PyResult<Policy> {
    let mut policy = policy.clone();
    if timeout.is_some() {
        let limit = limit("timeout", timeout)?;
        policy.attempt_timeout = limit;
        policy.first_byte_timeout = limit;
        policy.between_chunks_timeout = limit;
    }
    if connect_timeout.is_some() {
        policy.connect_timeout = limit("timeout", connect_timeout)?;
    }
    policy.retries = Whole::within(max_retries, "max_retries", policy.retries, 0..=MOST_RETRIES)?;
    Ok(policy)
}

fn chat(http: &Http, plan: Plan, body: Bytes) -> impl Future<Output = Result<PyReply, Failed>> + Send {
    let endpoints = Arc::clone(&plan.endpoints);
    let answered = call::chat(http, plan, Arc::new(ChatRequest::new(body)));
    async { Ok(PyReply { answered: answered.await.map_err(Failed::opening)?, endpoints }) }
}

fn open(http: &Http, plan: Plan, body: Bytes) -> impl Future<Output = Result<PyEventStream, Failed>> + Send {
    let stream = call::stream(http, plan, Arc::new(ChatRequest::new(body)));
    async { Ok(PyEventStream(Arc::new(stream.await.map_err(Failed::opening)?))) }
}

/// A completion; what it holds becomes Python's when somebody looks.
#[pyclass(name = "Reply", module = "ferroute._core", frozen)]
struct PyReply {
    answered: Answered,
    endpoints: Arc<[Endpoint]>,
}

#[pymethods]
impl PyReply {
    #[getter]
    fn status(&self) -> u16 {
        self.answered.answer.status
    }

    #[getter]
    fn headers(&self) -> Vec<(String, String)> {
        self.answered.answer.headers.clone()
    }

    #[getter]
    fn url(&self) -> String {
        let endpoint = &self.endpoints[self.answered.account.endpoint];
        endpoint.shown_url(&endpoint.dialect.chat_path(endpoint, false))
    }

    #[getter]
    fn request_id(&self) -> Option<&str> {
        // OpenAI's name and that of nearly everybody else; Anthropic's.
        let header = |name: &str| self.answered.answer.headers.iter().find(|(known, _)| known == name);
        header("x-request-id").or_else(|| header("request-id")).map(|(_, value)| value.as_str())
    }

    #[getter]
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.answered.answer.body)
    }

    #[getter]
    fn account<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        account::told(py, &self.answered.account)
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
struct PyEventStream(Arc<Stream>);

#[pymethods]
impl PyEventStream {
    #[getter]
    fn status(&self) -> u16 {
        self.0.status
    }

    #[getter]
    fn headers(&self) -> Vec<(String, String)> {
        self.0.headers.clone()
    }

    #[getter]
    fn url(&self) -> &str {
        &self.0.url
    }

    #[getter]
    fn dropped(&self) -> Vec<(&str, &str)> {
        account::dropped(&self.0.dropped)
    }

    fn account<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.account().map(|account| account::told(py, &account)).transpose()
    }

    fn ready(&self) -> Chunk {
        Chunk(self.0.ready())
    }

    fn next(&self, py: Python<'_>) -> PyResult<Chunk> {
        if let Some(data) = self.0.ready() {
            return Ok(Chunk(Some(data)));
        }
        block_on(py, async { self.0.next().await.map(Chunk).map_err(Failed::reading) })
    }

    fn anext<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let stream = Arc::clone(&self.0);
        future_into_py(py, async move { stream.next().await.map(Chunk).map_err(Failed::reading) })
    }

    fn close(&self) {
        self.0.close();
    }
}

impl Drop for PyEventStream {
    fn drop(&mut self) {
        // A pending `anext` shares the stream; without a Python owner nobody will read what it gets.
        self.0.close();
    }
}
