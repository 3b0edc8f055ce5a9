//! Errors as answers, in the shape of the caller's protocol.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

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
    of_request(protocol, error, None)
}

/// The same for the request with this id.
pub(super) fn of_request(protocol: &dyn Protocol, error: &Error, id: Option<&str>) -> Response<Body> {
    let status = status(error);
    let mut response = Response::new(Body::from(protocol.failure_of(status.as_u16(), error, id)));
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
    let is_tried =
        error.spent().is_some_and(|spent| spent.attempts > 1) && !(status.as_u16() == 429 && is_soon(headers));
    if is_repeated && error.why_denied().is_none() && (is_tried || !matches!(verdict(error), Verdict::Again(_))) {
        headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
    }
    response
}

/// Whether the provider has said when to ask again, and that is not long.
fn is_soon(headers: &HeaderMap) -> bool {
    let said = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let wait = said("retry-after-ms").map(|wait| wait / 1_000.0).or_else(|| said("retry-after"));
    wait.is_some_and(|wait| (0.0..=LONGEST_WAIT.as_secs_f64()).contains(&wait))
}

/// The answer where something of ours has broken; what it was is for the log.
pub(super) fn broken(protocol: &dyn Protocol) -> Response<Body> {
    response(protocol, &Error::new(Kind::Io, "the server has failed to handle this request"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;

    use super::super::protocol::openai::OpenAi;
    use super::*;
    use crate::error::{Answer, Spent};

    fn told(error: Error, attempts: u32) -> Option<String> {
        let error = error.with_spent(Spent { attempts, ..Spent::default() });
        let said = response(&OpenAi, &error).headers().get(SHOULD_RETRY).cloned();
        said.map(|said| said.to_str().unwrap().to_owned())
    }

    fn status(status: u16, header: Option<(&str, &str)>) -> Error {
        let headers = header.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().collect();
        Error::status("no", Answer { status, headers, body: Bytes::new() })
    }

    #[test]
    fn what_was_tried_again_here_is_not_tried_again_by_clients() {
        let no = Some("false".to_owned());
        for error in
            [status(503, None), status(429, None), Error::new(Kind::Connection, ""), Error::new(Kind::Timeout, "")]
        {
            assert_eq!((told(error.clone(), 1), told(error, 3)), (None, no.clone()));
        }
        assert_eq!(told(status(500, Some(("x-should-retry", "true"))), 3), no);
        assert_eq!(told(status(429, Some(("retry-after", "2"))), 3), None);
        assert_eq!(told(status(429, Some(("retry-after-ms", "200"))), 3), None);
        assert_eq!(told(status(429, Some(("retry-after", "90"))), 3), no);
        assert_eq!(told(status(503, Some(("retry-after", "2"))), 3), no);
        assert_eq!(told(status(400, None), 3), None);
    }
}
