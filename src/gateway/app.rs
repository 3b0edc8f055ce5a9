//! The paths, and what they lead to; no socket is opened here.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Response, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Map, Value};

use super::guard::spoken;
use super::protocol::openai::OpenAi;
use super::refusing::refuse;
use super::state::Gateway;
use super::{admin, chat, counting, decision, embeddings, failure, feedback, models, ready, reference, stand, ui};
use crate::error::{Denied, Error};
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
        .fallback(async |path: Uri| nothing(&path, 404, "Not Found"))
        .method_not_allowed_fallback(async |path: Uri| nothing(&path, 405, "Method Not Allowed"))
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

/// There is nothing there: as the original's framework says it and, where clients of a protocol ask, as that says it too.
fn nothing(path: &Uri, status: u16, detail: &'static str) -> Response<Body> {
    let (code, text) = match status {
        404 => ("not_found", "there is no such path here"),
        _ => ("method_not_allowed", "this path takes another method"),
    };
    let error = Error::denied(Denied { status, code, retry_after: None }, text);
    let mut response = failure::response(&OpenAi, &error);
    let mut told = Map::new();
    if path.path().starts_with("/v1/") {
        let body = spoken(path.path()).failure(status, &error);
        told = serde_json::from_slice(&body).unwrap_or_default();
    }
    told.insert("detail".to_owned(), detail.into());
    *response.body_mut() = Body::from(Value::Object(told).to_string());
    response
}

fn json(status: StatusCode, text: &'static str) -> impl IntoResponse {
    (status, [(header::CONTENT_TYPE, "application/json")], text)
}
