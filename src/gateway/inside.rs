//! The server without sockets: for a process whose connections somebody else accepts, such as an ASGI server's.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::app::app;
use super::state::Gateway;

/// Answers requests that have been read elsewhere.
#[derive(Clone)]
pub struct Inside(TowerToHyperService<Router>);

impl Inside {
    /// With what `gateway` serves, reloads included.
    pub fn new(gateway: Arc<Gateway>) -> Self {
        Self(TowerToHyperService::new(app(gateway)))
    }

    /// The answer to `request`, errors included. Whoever drops its body ends what it is made of.
    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        match self.0.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

impl fmt::Debug for Inside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inside")
    }
}
