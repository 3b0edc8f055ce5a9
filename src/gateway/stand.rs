//! What stands before all paths: the [`Guard`](super::guard::Guard) of the setup in force.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::middleware::Next;

use super::failure;
use super::guard::{Answer, bindable, spoken};
use super::state::Gateway;
use crate::policy::Scope;

/// How long a browser remembers an answer, in seconds.
const REMEMBERED: &str = "600";

/// What pages may read of an answer beside its body.
const SHOWN: &str = "x-request-id, retry-after, x-ferroute-model, x-ferroute-router, x-ferroute-tier, x-ferroute-win-rate, \
     x-ferroute-threshold, x-ferroute-cost-usd, x-ferroute-saved-usd, x-ferroute-clamp, x-ferroute-note";

/// Stands before all paths.
pub(super) async fn stand(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response<Body> {
    let looked = {
        let setup = gateway.setup();
        let keyless = !setup.auth.is_required();
        setup.guard.before(&request, keyless).and_then(|origin| match request.uri().path() {
            // Figures name teams and models; every other path asks for the key itself.
            "/metrics" if !keyless => match setup.auth.caller(request.headers(), Scope::Metrics) {
                Ok(_) => Ok(origin),
                Err(error) => Err(Answer::Error(error)),
            },
            _ => Ok(origin),
        })
    };
    let origin = match looked {
        Ok(origin) => origin,
        Err(Answer::Error(error)) => return failure::response(spoken(request.uri().path()), &error),
        Err(Answer::Asked(origin)) => return asked(origin.as_ref(), request.headers()),
    };
    let mut response = next.run(request).await;
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// The answer to a browser's question whether a page may ask. Credentials of the browser's own are never allowed.
fn asked(origin: Option<&HeaderValue>, wanted: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = if origin.is_some() { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("origin, access-control-request-headers"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
        // Clients add headers of their own, such as their version.
        if let Some(named) = wanted.get(header::ACCESS_CONTROL_REQUEST_HEADERS).filter(|named| named.len() <= 1_024) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, named.clone());
        }
    }
    response
}

impl Gateway {
    /// Whether it may listen on this name; see [`bindable`].
    ///
    /// # Errors
    /// As there.
    pub fn bindable(&self, host: &str) -> crate::Result<()> {
        let setup = self.setup();
        bindable(host, setup.auth.is_required(), setup.guard.is_public())
    }
}
