//! The files of the page, in the program itself.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use xxhash_rust::xxh3::xxh3_64;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

macro_rules! page {
    ($($name:literal: $kind:expr),* $(,)?) => {
        [$(($name, $kind, include_bytes!(concat!("page/", $name)).as_slice())),*]
    };
}

/// Name, type and content.
const FILES: [(&str, &str, &[u8]); 12] = page![
    "index.html": HTML,
    "icon.svg": "image/svg+xml",
    "style.css": "text/css; charset=utf-8",
    "app.js": SCRIPT,
    "charts.js": SCRIPT,
    "decisions.js": SCRIPT,
    "dom.js": SCRIPT,
    "format.js": SCRIPT,
    "limits.js": SCRIPT,
    "money.js": SCRIPT,
    "quality.js": SCRIPT,
    "threshold.js": SCRIPT,
];

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The file of that name, or that it is unchanged, or that there is none.
pub(super) fn file(name: &str, headers: &HeaderMap) -> Response<Body> {
    let Some((_, kind, content)) = FILES.iter().find(|(known, ..)| *known == name) else {
        let mut response = Response::new(Body::from(r#"{"detail":"Not Found"}"#));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        return response;
    };
    let tag = format!("\"{:016x}\"", xxh3_64(content));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = Response::new(if known { Body::empty() } else { Body::from(*content) });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Asked for each time, so that a new version shows at once.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    protect(headers);
    response
}

/// Adds what tells a browser to be careful.
pub(super) fn protect(headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_names_only_files_that_are_there() {
        let all: String = FILES.iter().map(|(.., content)| String::from_utf8_lossy(content)).collect();
        // Outside of comments, an address is one to be fetched. The two are names of languages, not places.
        let spaces = ["http://www.w3.org/2000/svg", "http://127.0.0.1:6060"];
        let elsewhere = all.matches("http://").count() + all.matches("https://").count();
        let names = spaces.iter().map(|name| all.matches(name).count()).sum::<usize>();
        assert_eq!(elsewhere, names, "nothing from elsewhere");
        for (name, ..) in &FILES[1..] {
            assert!(all.contains(&format!("/{name}\"")), "{name} is of no use");
        }
    }

    #[test]
    fn a_known_file_is_not_sent_again() {
        let first = file("app.js", &HeaderMap::new());
        let mut headers = HeaderMap::new();
        headers.insert(header::IF_NONE_MATCH, first.headers()[header::ETAG].clone());
        assert_eq!((first.status(), file("app.js", &headers).status()), (StatusCode::OK, StatusCode::NOT_MODIFIED));
        assert_eq!(file("style.css", &headers).status(), StatusCode::OK);
        assert_eq!(file("../Cargo.toml", &HeaderMap::new()).status(), StatusCode::NOT_FOUND);
    }
}
