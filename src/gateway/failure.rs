//! Errors as answers, in the shape of the caller's protocol.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::protocol::Protocol;
use crate::error::{Error, Kind};
use crate::providers::failures::{Verdict, verdict};

/// Whether an `openai` or `anthropic` client should try again by itself.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// Clients that wait for longer than this wait for nothing.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The HTTP status that tells `error`.
pub(super) fn status(error: &Error) -> StatusCode {
    let status = match error.kind() {
        // Nobody hears it.
        Kind::Cancelled => 499,
        // It is the request that does not fit the model, and clients repeat a 501.
        Kind::Unsupported => 400,
        _ => error.http_status(),
    };
    // A provider's 1xx to 3xx would be no error, and no answer either.
    StatusCode::from_u16(status).ok().filter(|status| status.as_u16() >= 400).unwrap_or(StatusCode::BAD_GATEWAY)
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
    // What was tried as often as it is worth is not tried again by every caller.
    let is_repeated = matches!(status.as_u16(), 408 | 409 | 429 | 500..);
    if is_repeated && error.why_denied().is_none() && !matches!(verdict(error), Verdict::Again(_)) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

/// The answer where something of ours has broken; what it was is for the log.
pub(super) fn broken(protocol: &dyn Protocol) -> Response<Body> {
    response(protocol, &Error::new(Kind::Io, "the server has failed to handle this request"))
}
