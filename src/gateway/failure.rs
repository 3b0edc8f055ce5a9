//! Errors as answers, in the shape of the caller's protocol.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::protocol::Protocol;
use crate::error::{Error, Kind};

/// Whether an `openai` or `anthropic` client should try again by itself.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// Clients that wait for longer than this wait for nothing.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The HTTP status that tells `error`.
pub(super) fn status(error: &Error) -> StatusCode {
    let status = match error.kind() {
        // Nobody hears it.
        Kind::Cancelled => 499,
        _ => error.http_status(),
    };
    // An answer of 1xx would be no answer.
    StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The answer that tells `error`.
pub(super) fn response(protocol: &dyn Protocol, error: &Error) -> Response<Body> {
    let status = status(error);
    let mut response = Response::new(Body::from(protocol.failure(status.as_u16(), error)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(denied) = error.why_denied() {
        if let Some(after) = denied.retry_after {
            let seconds = after.as_secs_f64().ceil().max(1.0) as u64;
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if denied.retry_after.is_none_or(|after| after > LONGEST_WAIT) {
            // Clients repeat a 429 after a second or two, which no budget is full again by.
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
    } else if let Some(answer) = error.answer() {
        // When the provider wants to be asked again is as true of us.
        for (name, value) in &answer.headers {
            let kept = match name.as_str() {
                "retry-after" => header::RETRY_AFTER,
                "retry-after-ms" => HeaderName::from_static("retry-after-ms"),
                "x-should-retry" => SHOULD_RETRY,
                _ => continue,
            };
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(kept, value);
            }
        }
    }
    response
}

/// The answer where something of ours has broken; what it was is for the log.
pub(super) fn broken(protocol: &dyn Protocol) -> Response<Body> {
    response(protocol, &Error::new(Kind::Io, "the server has failed to handle this request"))
}
