//! The paths, and what they lead to; no socket is opened here.

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::{get, post};

use super::chat;
use super::setup::Setup;
use crate::providers::Http;

/// The server's state.
pub struct Gateway {
    setup: ArcSwap<Setup>,
    http: &'static Http,
}

impl Gateway {
    /// Serves with `setup`.
    ///
    /// # Errors
    /// When the HTTP client cannot be made.
    pub fn new(setup: Setup) -> crate::Result<Arc<Self>> {
        Ok(Arc::new(Self { setup: ArcSwap::from_pointee(setup), http: Http::shared()? }))
    }

    /// Replaces everything at once; requests under way go on with what they began with.
    pub fn swap(&self, setup: Setup) {
        self.setup.store(Arc::new(setup));
    }

    pub(super) fn setup(&self) -> Arc<Setup> {
        self.setup.load_full()
    }

    pub(super) fn http(&self) -> &'static Http {
        self.http
    }
}

/// The service over `gateway`.
pub fn app(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/health", get(async || ([("content-type", "application/json")], r#"{"status":"online"}"#)))
        .route("/v1/chat/completions", post(chat::openai))
        .with_state(gateway)
}
