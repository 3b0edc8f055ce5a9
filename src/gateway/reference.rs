//! `/openapi.json` and a page of it: what the server answers to, for people and for generators. Nothing is loaded from elsewhere.

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;

const OPENAPI: &str = include_str!("reference/openapi.json");
const PAGE: &str = include_str!("reference/page.html");
/// Only what is in the page itself, and the document it shows.
const ALLOWED: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-ancestors 'none'";

/// Their paths, as the original's framework has them.
pub(super) fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new()
        .route("/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], OPENAPI)))
        .route("/docs", get(page))
        .route("/redoc", get(async || Redirect::permanent("/docs")))
}

async fn page() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, ALLOWED)];
    (headers, PAGE)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn what_it_refers_to_is_there() {
        let document: Value = serde_json::from_str(OPENAPI).unwrap();
        let mut seen = 0;
        let mut waiting = vec![&document];
        while let Some(value) = waiting.pop() {
            if let Some(target) = value.get("$ref") {
                seen += 1;
                assert!(document.pointer(target.as_str().unwrap().trim_start_matches('#')).is_some(), "{target}");
            }
            match value {
                Value::Object(fields) => waiting.extend(fields.values()),
                Value::Array(list) => waiting.extend(list),
                _ => {}
            }
        }
        assert!(seen > 10);
    }

    #[test]
    fn the_page_loads_nothing_from_elsewhere() {
        for word in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!PAGE.contains(word), "{word}");
        }
    }
}
