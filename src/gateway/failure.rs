//! Errors as answers, in the shape of the caller's protocol.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};

use super::protocol::Protocol;
use crate::error::{Error, Kind};

/// The answer that tells `error`.
pub(super) fn response(protocol: &dyn Protocol, error: &Error) -> Response<Body> {
    let status = match error.kind() {
        // Nobody hears it.
        Kind::Cancelled => 499,
        _ => error.http_status(),
    };
    let mut response = Response::new(Body::from(protocol.failure(status, error)));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after) = error.why_denied().and_then(|denied| denied.retry_after) {
        let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
