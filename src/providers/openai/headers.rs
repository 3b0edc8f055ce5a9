//! Headers of a request, the key among them.

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;

use crate::error::Result;
use crate::providers::Dialect;
use crate::providers::prefix::{bearer, secret_value};
use crate::providers::types::Endpoint;

/// Those for `endpoint`; the caller's own go before them.
pub(super) fn headers(endpoint: &Endpoint, accept: &'static str) -> Result<HeaderMap> {
    let mut headers = HeaderMap::with_capacity(4 + endpoint.headers.len());
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match &endpoint.key {
        Some(key) if endpoint.dialect == Dialect::Azure => {
            headers.insert("api-key", secret_value(key.expose_secret())?);
        }
        Some(key) => {
            headers.insert(AUTHORIZATION, bearer(key)?);
        }
        None => {}
    }
    headers.extend(endpoint.headers.clone());
    Ok(headers)
}
