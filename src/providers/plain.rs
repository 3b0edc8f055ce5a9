//! Requests to `http://` addresses without a proxy, such as servers in one's own network: hyper's client by itself.
//!
//! What `reqwest` does beyond it (redirects, TLS, proxies, an address parsed again with each answer) is not needed there, and costs
//! processor time at each call.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use reqwest::Url;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue, USER_AGENT};
use tokio::net::TcpStream;
use tower_service::Service;

/// Who asks.
pub(super) const AGENT: &str = concat!("ferroute/", env!("CARGO_PKG_VERSION"));
/// A connection that nobody uses is kept so long, and probed so often, as by `reqwest`.
const IDLE: Duration = Duration::from_secs(90);
const PROBE: Duration = Duration::from_secs(15);

/// The client and its connections.
#[derive(Clone)]
pub(super) struct Plain {
    client: Client<Connector, Full<Bytes>>,
    /// Of the environment or, where that names none, of the system.
    proxies: Arc<Matcher>,
}

impl Plain {
    /// Connections have to stand within `limit`.
    pub(super) fn new(limit: Option<Duration>) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_keepalive(Some(PROBE));
        http.set_keepalive_interval(Some(PROBE));
        http.set_keepalive_retries(Some(3));
        let mut builder = Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        Self { client: builder.build(Connector { http, limit }), proxies: Arc::new(Matcher::from_system()) }
    }

    /// The address, if it is one for this client.
    pub(super) fn takes(&self, url: &Url) -> Option<http::Uri> {
        // A name and a password in an address become a header, which `reqwest` sees to.
        if url.scheme() != "http" || !url.username().is_empty() || url.password().is_some() {
            return None;
        }
        let address = url.as_str().split_once('#').map_or(url.as_str(), |(address, _)| address);
        let uri: http::Uri = address.parse().ok()?;
        self.proxies.intercept(&uri).is_none().then_some(uri)
    }

    /// Posts `body`.
    pub(super) async fn post(
        &self,
        uri: http::Uri,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, Error> {
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let mut request = http::Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        self.client.request(request).await
    }
}

/// Connects within a limit, which holds for the look-up of the name as well.
#[derive(Clone)]
struct Connector {
    http: HttpConnector,
    limit: Option<Duration>,
}

impl Service<http::Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let connected = self.http.call(uri);
        let Some(limit) = self.limit else { return connected.map(|done| done.map_err(Into::into)).boxed() };
        let within = async move {
            match tokio::time::timeout(limit, connected).await {
                Ok(done) => done.map_err(Into::into),
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            }
        };
        within.boxed()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn what_needs_more_is_left_to_others() {
        let mut plain = Plain::new(None);
        plain.proxies =
            Arc::new(Matcher::builder().all("http://proxy.example:3128").no("localhost,10.0.0.0/8").build());
        let takes = |url: &str| plain.takes(&url.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(takes("http://localhost:8000/v1/x?a=1#b"), Some("http://localhost:8000/v1/x?a=1".to_owned()));
        assert_eq!(takes("http://10.1.2.3/v1"), Some("http://10.1.2.3/v1".to_owned()));
        for other in ["https://localhost/v1", "http://a.example/v1", "http://me:secret@localhost/v1"] {
            assert_eq!(takes(other), None, "{other}");
        }
    }
}
