//! `/ready`: whether requests should be sent here. `/health` says only that somebody is there.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;

use super::state::Gateway;
use crate::policy::Budgets;

/// How long the ledger may take to write what it has.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn ready(State(gateway): State<Arc<Gateway>>) -> impl IntoResponse {
    let why = if gateway.is_stopping() {
        Some("stopping")
    } else if gateway.setup().budgets.as_ref().is_some_and(Budgets::has_ended) {
        Some("the budgets cannot be kept")
    } else {
        ledger(&gateway).await
    };
    let (status, body) = match why {
        None => (StatusCode::OK, r#"{"status":"ready"}"#.to_owned()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!(r#"{{"status":"{why}"}}"#)),
    };
    (status, [(header::CONTENT_TYPE, "application/json")], body)
}

/// What is wrong with the ledger.
async fn ledger(gateway: &Gateway) -> Option<&'static str> {
    let ledger = gateway.setup().ledger()?;
    let written = tokio::task::spawn_blocking(move || ledger.flush(PATIENCE)).await;
    match written {
        Ok(Ok(())) => None,
        _ => Some("the ledger cannot be written"),
    }
}
