//! What stands before all paths: the [`Guard`](super::guard::Guard) of the setup in force, and the one who tells of requests
//! that no handler tells of.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;

use super::guard::{Answer, bindable, spoken};
use super::refusing::{Why, refuse};
use super::state::Gateway;
use super::told::Told;
use crate::error::{Denied, Error};
use crate::policy::Scope;

/// How long a browser remembers an answer, in seconds.
const REMEMBERED: &str = "600";

/// What pages may read of an answer beside its body.
const SHOWN: &str = "x-request-id, retry-after, x-ferroute-model, x-ferroute-router, x-ferroute-tier, x-ferroute-win-rate, \
     x-ferroute-threshold, x-ferroute-cost-usd, x-ferroute-saved-usd, x-ferroute-clamp, x-ferroute-note";

/// Stands before all paths.
pub(super) async fn stand(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response<Body> {
    let begun = (SystemTime::now(), Instant::now());
    let (path, headers) = (request.uri().path(), request.headers());
    let (pattern, protocol) = (pattern(path), spoken(path));
    let handled = tells(request.method(), path);
    let tell = |response: &Response<Body>, headers: &HeaderMap| {
        let mut told = Told::begin(&gateway, protocol.name(), pattern, headers).since(begun);
        match response.extensions().get::<Why>() {
            Some(Why(error)) => told.failed(response.status().as_u16(), error),
            None => told.over(response.status().as_u16()),
        }
    };
    let stopping = gateway.is_stopping();
    if stopping && !matches!(path, "/health" | "/ready" | "/metrics") {
        let mut response = refuse(protocol, &leaving());
        close(&mut response);
        tell(&response, headers);
        return response;
    }
    let looked = {
        let setup = gateway.setup();
        let keyless = !setup.auth.is_required();
        setup.guard.before(&request, keyless).and_then(|origin| match request.uri().path() {
            // Figures name teams and models; every other path asks for the key itself.
            "/metrics" if !keyless => match setup.auth.caller(request.headers(), Scope::Metrics) {
                Ok(_) => Ok(origin),
                Err(error) => Err(Answer::Error(error)),
            },
            _ => Ok(origin),
        })
    };
    let origin = match looked {
        Ok(origin) => origin,
        Err(answer) => {
            let response = match answer {
                Answer::Error(error) => refuse(protocol, &error),
                Answer::Asked(origin) => asked(origin.as_ref(), headers),
            };
            if response.status().as_u16() >= 400 {
                tell(&response, headers);
            }
            return response;
        }
    };
    // Only of what no handler tells of are the headers needed again.
    let kept = (!handled).then(|| headers.clone());
    let mut response = next.run(request).await;
    if let Some(headers) = kept
        && (response.status().as_u16() >= 400 || pattern.starts_with("/admin/"))
    {
        tell(&response, &headers);
    }
    if stopping {
        close(&mut response);
    }
    if let Some(origin) = origin {
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
        headers.append(header::VARY, HeaderValue::from_static("origin"));
    }
    response
}

/// Whether a handler tells of the request itself, with all that it comes to know of it.
fn tells(method: &Method, path: &str) -> bool {
    match path {
        "/v1/chat/completions"
        | "/v1/messages"
        | "/v1/messages/count_tokens"
        | "/v1/responses"
        | "/v1/decision"
        | "/v1/embeddings"
        | "/v1/feedback" => method == Method::POST,
        _ => {
            let of_one = path.strip_prefix("/v1/models/").is_some_and(|id| !id.is_empty());
            (of_one || path == "/v1/models") && (method == Method::GET || method == Method::HEAD)
        }
    }
}

/// The pattern of a path. Callers write what they like: what is none of ours is `other`, so that there are few.
fn pattern(path: &str) -> &'static str {
    const WHOLE: [&str; 17] = [
        "/v1/chat/completions",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/responses",
        "/v1/decision",
        "/v1/embeddings",
        "/v1/feedback",
        "/v1/models",
        "/admin/keys",
        "/health",
        "/ready",
        "/metrics",
        "/docs",
        "/openapi.json",
        "/ui",
        "/ui/",
        "/",
    ];
    const BEGUN: [(&str, &str); 4] = [
        ("/v1/models/", "/v1/models/{id}"),
        ("/admin/keys/", "/admin/keys/{id}"),
        ("/ui/data/", "/ui/data/{what}"),
        ("/ui/", "/ui/{file}"),
    ];
    if let Some(whole) = WHOLE.into_iter().find(|whole| *whole == path) {
        return whole;
    }
    BEGUN.into_iter().find(|(begin, _)| path.starts_with(begin)).map_or("other", |(_, pattern)| pattern)
}

/// The answer to new requests while the server drains: the next one may be answered by another.
fn leaving() -> Error {
    let denied = Denied { status: 503, code: "server_stopping", retry_after: Some(Duration::from_secs(1)) };
    Error::denied(denied, "the server is stopping and takes no new requests")
}

fn close(response: &mut Response<Body>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// The answer to a browser's question whether a page may ask. Credentials of the browser's own are never allowed.
fn asked(origin: Option<&HeaderValue>, wanted: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = if origin.is_some() { StatusCode::NO_CONTENT } else { StatusCode::FORBIDDEN };
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("origin, access-control-request-headers"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, DELETE, OPTIONS"));
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED));
        // Clients add headers of their own, such as their version.
        if let Some(named) = wanted.get(header::ACCESS_CONTROL_REQUEST_HEADERS).filter(|named| named.len() <= 1_024) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, named.clone());
        }
    }
    response
}

impl Gateway {
    /// Whether it may listen on this name; see [`bindable`].
    ///
    /// # Errors
    /// As there.
    pub fn bindable(&self, host: &str) -> crate::Result<()> {
        let setup = self.setup();
        bindable(host, setup.auth.is_required(), setup.guard.is_public())
    }
}

#[cfg(test)]
mod tests {
    use super::super::guard::Guard;
    use super::*;

    #[test]
    fn paths_are_told_by_few_patterns() {
        let found =
            ["/v1/models/a/b", "/admin/keys/key_1", "/ui/data/recent", "/ui/app.js", "/metrics", "/v1/chat", "/x"];
        let patterns =
            ["/v1/models/{id}", "/admin/keys/{id}", "/ui/data/{what}", "/ui/{file}", "/metrics", "other", "other"];
        assert_eq!(found.map(pattern), patterns);
    }

    #[test]
    fn a_request_is_told_of_once() {
        assert!(tells(&Method::POST, "/v1/messages") && tells(&Method::GET, "/v1/models/a"));
        assert!(!tells(&Method::GET, "/v1/messages"), "a 405 comes to no handler");
        assert!(
            !tells(&Method::GET, "/v1/models/")
                && !tells(&Method::POST, "/v1/models")
                && !tells(&Method::POST, "/v1/x")
        );
    }

    #[test]
    fn a_browser_that_asks_beforehand_is_answered() {
        let guard = Guard::new(vec![], vec!["https://a.example".into()]).unwrap();
        let ask = |origin| {
            let headers = [
                ("host", "localhost"),
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization, x-stainless-os"),
            ];
            let mut request = Request::builder().method("OPTIONS").uri("/v1/chat/completions");
            for (name, value) in headers {
                request = request.header(name, value);
            }
            let request = request.body(Body::empty()).unwrap();
            match guard.before(&request, true) {
                Err(Answer::Asked(origin)) => asked(origin.as_ref(), request.headers()),
                _ => panic!("it is asked"),
            }
        };
        let yes = ask("https://a.example");
        assert_eq!(yes.status(), 204);
        assert_eq!(yes.headers()["access-control-allow-origin"], "https://a.example");
        assert_eq!(yes.headers()["access-control-allow-headers"], "authorization, x-stainless-os");
        assert!(!yes.headers().contains_key("access-control-allow-credentials"));
        let no = ask("https://evil.example");
        assert_eq!(no.status(), 403);
        assert!(!no.headers().contains_key("access-control-allow-origin"));
    }
}
