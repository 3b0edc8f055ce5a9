//! The body of a request, whole, within its limits.

use axum::body::Body;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use http_body::Body as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::limits::Limits;
use crate::error::{Denied, Error, Result};

/// All of `body`.
///
/// # Errors
/// [`Kind::Denied`](crate::Kind::Denied) with 413 for one that is too large, 408 for one that takes too long, 415 for one
/// that is compressed; [`Kind::Value`](crate::Kind::Value) for one whose framing is wrong;
/// [`Kind::Cancelled`](crate::Kind::Cancelled) where the caller leaves in the middle of it.
pub(super) async fn whole(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Bytes> {
    if let Some(coding) = headers.get(header::CONTENT_ENCODING)
        && coding != "identity"
    {
        return Err(no(
            415,
            "unsupported_encoding",
            "the body is compressed, which is not understood: send it as it is",
        ));
    }
    if body.size_hint().lower() > limits.max_body as u64 {
        return Err(too_large(limits));
    }
    let read = Limited::new(body, limits.max_body).collect();
    match tokio::time::timeout(limits.body_timeout, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large(limits)),
        Ok(Err(error)) if is_malformed(&*error) => {
            Err(Error::value("the request body is cut into chunks that cannot be understood"))
        }
        Ok(Err(_)) => Err(Error::new(crate::Kind::Cancelled, "the body broke off")),
        Err(_) => {
            let seconds = limits.body_timeout.as_secs();
            Err(no(408, "request_timeout", format!("the body took more than {seconds} s to come")))
        }
    }
}

/// Whether the caller has sent something wrong, and has not just left.
fn is_malformed(error: &(dyn std::error::Error + 'static)) -> bool {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .any(|error| matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData))
}

fn too_large(limits: &Limits) -> Error {
    let most = limits.max_body;
    no(413, "request_too_large", format!("the body is larger than {most} bytes, the limit of this server"))
}

fn no(status: u16, code: &'static str, message: impl Into<String>) -> Error {
    Error::denied(Denied { status, code, retry_after: None }, message)
}
