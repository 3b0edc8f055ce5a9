//! Requests that somebody else's server has read (ASGI), answered by the core.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request};
use bytes::Bytes;
use http_body_util::BodyExt;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use tokio::sync::Mutex;

use super::arguments::List;
use super::awaitable::future_into_py;
use crate::error::{Error, Kind, Result};
use crate::gateway::inside::Inside;

/// Name and value of headers, as they are given.
pub(super) type Headers = List<(PyBackedBytes, PyBackedBytes)>;

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyBody>()
}

/// The answer as an awaitable of status, headers and body.
pub(super) fn answer<'py>(
    py: Python<'py>,
    inside: Inside,
    method: &str,
    target: &str,
    headers: Headers,
    body: &[u8],
) -> PyResult<Bound<'py, PyAny>> {
    let request = request(method, target, headers, body)?;
    future_into_py(py, async move {
        let (head, body) = inside.answer(request).await.into_parts();
        let told =
            |(name, value): (&HeaderName, &HeaderValue)| (name.as_str().as_bytes().to_vec(), value.as_bytes().to_vec());
        let headers: Vec<(Vec<u8>, Vec<u8>)> = head.headers.iter().map(told).collect();
        Ok::<_, Error>((head.status.as_u16(), headers, PyBody(Arc::new(Mutex::new(Some(body))))))
    })
}

fn request(method: &str, target: &str, headers: Headers, body: &[u8]) -> Result<Request<Body>> {
    let wrong = |what: &str| Error::value(format!("this is no {what} of an HTTP request"));
    let mut request = Request::builder()
        .method(method)
        .uri(target)
        .body(Body::from(body.to_vec()))
        .map_err(|_| wrong("method or target"))?;
    let mut made = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(&name).map_err(|_| wrong("header's name"))?;
        made.append(name, HeaderValue::from_bytes(&value).map_err(|_| wrong("header"))?);
    }
    *request.headers_mut() = made;
    Ok(request)
}

/// The body of an answer, piece by piece.
#[pyclass(name = "GatewayBody", module = "ferroute._core", frozen)]
struct PyBody(Arc<Mutex<Option<Body>>>);

#[pymethods]
impl PyBody {
    /// The next piece, `None` at the end. Cancelling it ends what the answer is made of.
    fn next<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let body = Arc::clone(&self.0);
        future_into_py(py, async move { piece(&body).await.map(Piece) })
    }

    /// Ends what the answer is made of; a piece that is being waited for has to be cancelled before.
    fn close(&self) {
        if let Ok(mut body) = self.0.try_lock() {
            *body = None;
        }
    }
}

async fn piece(body: &Mutex<Option<Body>>) -> Result<Option<Bytes>> {
    let mut held = body.lock().await;
    // Taken out, so that it is gone with this future.
    let Some(mut whole) = held.take() else { return Ok(None) };
    loop {
        match whole.frame().await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    *held = Some(whole);
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => return Err(Error::new(Kind::Io, "the answer broke off")),
        }
    }
}

struct Piece(Option<Bytes>);

impl<'py> IntoPyObject<'py> for Piece {
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
