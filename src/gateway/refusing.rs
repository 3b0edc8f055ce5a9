//! Refusals that no handler tells anybody of: the answer keeps why, so that who stands before all paths can.

use axum::body::Body;
use axum::http::Response;

use super::failure;
use super::protocol::Protocol;
use crate::error::Error;

/// Why an answer is a refusal. It is not sent.
#[derive(Debug, Clone)]
pub(super) struct Why(pub(super) Error);

/// The answer that tells `error`, and remembers it.
pub(super) fn refuse(protocol: &dyn Protocol, error: &Error) -> Response<Body> {
    let mut response = failure::response(protocol, error);
    response.extensions_mut().insert(Why(error.clone()));
    response
}
