//! The paths, and what they lead to; no socket is opened here.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};

use super::protocol::openai::OpenAi;
use super::refusing::refuse;
use super::state::Gateway;
use super::{admin, chat, counting, decision, embeddings, feedback, models, ready, reference, stand, ui};
use crate::policy::Scope;

/// The service over `gateway`.
pub fn app(gateway: Arc<Gateway>) -> Router {
    let page = gateway.page().cloned().map(ui::routes).unwrap_or_default();
    Router::new()
        .merge(page)
        .merge(reference::routes())
        .route("/health", get(async || json(StatusCode::OK, r#"{"status":"online"}"#)))
        .route("/metrics", get(metrics))
        .route("/ready", get(ready::ready))
        .route("/v1/chat/completions", post(chat::openai))
        .route("/v1/messages", post(chat::anthropic))
        .route("/v1/messages/count_tokens", post(counting::count))
        .route("/v1/responses", post(chat::responses))
        .route("/v1/decision", post(decision::decision))
        .route("/v1/embeddings", post(embeddings::embed))
        .route("/v1/feedback", post(feedback::feedback))
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/admin/keys", get(admin::list).post(admin::create))
        .route("/admin/keys/{id}", get(admin::show).delete(admin::revoke))
        // As the original's framework says it.
        .fallback(async || json(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#))
        .method_not_allowed_fallback(async || {
            json(StatusCode::METHOD_NOT_ALLOWED, r#"{"detail":"Method Not Allowed"}"#)
        })
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&gateway), stand::stand))
        .with_state(gateway)
}

async fn metrics(State(gateway): State<Arc<Gateway>>, headers: HeaderMap) -> Response<Body> {
    let setup = gateway.setup();
    if let Err(error) = setup.auth.caller(&headers, Scope::Metrics) {
        return refuse(&OpenAi, &error);
    }
    match gateway.seeing() {
        Some(seeing) => Arc::clone(seeing).scrape(setup).await,
        None => json(StatusCode::NOT_FOUND, r#"{"detail":"Not Found"}"#).into_response(),
    }
}

fn json(status: StatusCode, text: &'static str) -> impl IntoResponse {
    (status, [(header::CONTENT_TYPE, "application/json")], text)
}
