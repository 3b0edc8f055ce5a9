//! The wire: one client for each process, its connections reused by every call.
//!
//! Proxy variables and `SSL_CERT_FILE`/`SSL_CERT_DIR` are honoured. Redirects are not followed, since that would
//! carry the key to another host. Messages name the host at most: never a path, a query or a header.

use std::error::Error as _;
use std::sync::Once;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Response};

use super::process::PerProcess;
use super::secrets::Secrets;
use super::types::{Answer, Endpoint, Outgoing};
use crate::error::{Error, Kind, Result};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// An answer larger than this is refused: a chat answer is a few kilobytes, 256 embeddings are a few megabytes.
const LARGEST_ANSWER: usize = 256 << 20;
/// An error says what it has to say in less.
const LARGEST_ERROR: usize = 1 << 20;
/// How much of a provider's text a message shows.
const SHOWN: usize = 500;

/// Connections and TLS settings.
pub struct Http {
    client: Client,
    /// Why this client cannot speak TLS.
    no_tls: Option<String>,
}

static SHARED: PerProcess<Http> = PerProcess::new();

impl Http {
    /// This process's client; a forked child makes its own.
    pub fn shared() -> Result<&'static Self> {
        SHARED.get_or_try_init(Self::new)
    }

    /// A client with connections of its own.
    pub fn new() -> Result<Self> {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // An error says that somebody else has installed one, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        });
        let builder = || -> ClientBuilder {
            Client::builder()
                .user_agent(concat!("ferroute/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
        };
        let no_tls = match builder().build() {
            Ok(client) => return Ok(Self { client, no_tls: None }),
            Err(e) => chain(e),
        };
        // Without any root certificate on the machine the usual client cannot be made; plain http still works.
        let client = builder()
            .tls_certs_only([])
            .build()
            .map_err(|e| Error::new(Kind::Io, format!("the HTTP client could not be made: {}", chain(e))))?;
        Ok(Self { client, no_tls: Some(no_tls) })
    }

    /// Sends one request and reads its whole answer within `limit`.
    ///
    /// # Errors
    /// [`Kind::Status`] for anything but 2xx, [`Kind::Timeout`], [`Kind::Connection`].
    pub async fn send(&self, endpoint: &Endpoint, request: &Outgoing, limit: Option<Duration>) -> Result<Answer> {
        within(limit, endpoint, async {
            let response = self.start(endpoint, request).await?;
            read(endpoint, response).await
        })
        .await
    }

    /// Sends one request and hands over its answer as it arrives; `limit` is for the answer to begin.
    pub async fn open(&self, endpoint: &Endpoint, request: &Outgoing, limit: Option<Duration>) -> Result<Opened> {
        within(limit, endpoint, async {
            let response = self.start(endpoint, request).await?;
            if is_json(response.headers()) {
                // A server that does not stream, or an error it sends with status 200.
                return Ok(Opened::Whole(read(endpoint, response).await?));
            }
            Ok(Opened::Stream(response))
        })
        .await
    }

    async fn start(&self, endpoint: &Endpoint, request: &Outgoing) -> Result<Response> {
        if let Some(why) = self.no_tls.as_ref().filter(|_| request.url.scheme() == "https") {
            return Err(Error::new(
                Kind::Missing,
                format!(
                    "https cannot be spoken on this machine ({why}); without root certificates, install `ca-certificates` or set SSL_CERT_FILE"
                ),
            ));
        }
        let response = self
            .client
            .post(request.url.clone())
            .headers(request.headers.clone())
            .body(request.body.clone())
            .send()
            .await
            .map_err(|e| broken(endpoint, e))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = head(&response);
        let body = read_body(endpoint, response, LARGEST_ERROR).await?;
        let body = body.unwrap_or_else(|| format!("[an error of more than {LARGEST_ERROR} bytes]").into());
        Err(refused(endpoint, Answer { status, headers, body }))
    }
}

/// An answer that has begun.
pub enum Opened {
    /// It came as one JSON document after all.
    Whole(Answer),
    /// Bytes to come.
    Stream(Response),
}

/// Status and headers of a response that is not read yet.
pub fn head(response: &Response) -> (u16, Vec<(String, String)>) {
    (response.status().as_u16(), listed(response.headers()))
}

/// The body of `response`, piece by piece; `limit` is the longest silence between two of them.
pub fn pieces(
    endpoint: Endpoint,
    response: Response,
    limit: Option<Duration>,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static {
    futures_util::stream::unfold((endpoint, Some(response)), move |(endpoint, response)| async move {
        let mut response = response?;
        let piece = within(limit, &endpoint, async { response.chunk().await.map_err(|e| broken(&endpoint, e)) }).await;
        match piece {
            Ok(piece) => piece.map(|piece| (Ok(piece), (endpoint, Some(response)))),
            Err(error) => Some((Err(error), (endpoint, None))),
        }
    })
}

/// An error answer, told as the provider tells it.
pub fn refused(endpoint: &Endpoint, answer: Answer) -> Error {
    let secrets = Secrets::of(endpoint);
    let answer = secrets.hide(answer);
    let status = answer.status;
    let said = if (300..400).contains(&status) {
        "a redirect, which is not followed because it would carry the key elsewhere: set `api_base` to the final address".to_owned()
    } else {
        said(&answer.body, &secrets)
    };
    let provider = endpoint.provider;
    Error::status(format!("{provider} answered with status {status}: {said}"), answer)
}

/// What an error body says: its `error.message`, else the beginning of its text.
fn said(body: &[u8], secrets: &Secrets) -> String {
    let json: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let message = json.as_ref().and_then(|json| {
        let error = json.get("error").unwrap_or(json);
        error.get("message").unwrap_or(error).as_str()
    });
    let text = message.map_or_else(|| String::from_utf8_lossy(body), Into::into);
    match secrets.hide_text(&text).trim() {
        "" => "no text".to_owned(),
        text => text.chars().take(SHOWN).collect(),
    }
}

async fn read(endpoint: &Endpoint, response: Response) -> Result<Answer> {
    let (status, headers) = head(&response);
    let body = read_body(endpoint, response, LARGEST_ANSWER).await?.ok_or_else(|| {
        Error::new(Kind::Protocol, format!("{} sent more than {LARGEST_ANSWER} bytes in one answer", endpoint.host()))
    })?;
    Ok(Answer { status, headers, body })
}

/// The whole body; `None` when it is larger than `most` bytes.
async fn read_body(endpoint: &Endpoint, mut response: Response, most: usize) -> Result<Option<Bytes>> {
    let mut body = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(piece) = response.chunk().await.map_err(|e| broken(endpoint, e))? {
        if body.len().max(rest.len()) + piece.len() > most {
            return Ok(None);
        }
        if body.is_empty() && rest.is_empty() {
            // Nearly every answer is one piece, which is then not copied.
            body = piece;
            continue;
        }
        if rest.is_empty() {
            rest.extend_from_slice(&body);
        }
        rest.extend_from_slice(&piece);
    }
    Ok(Some(if rest.is_empty() { body } else { rest.freeze() }))
}

async fn within<T>(limit: Option<Duration>, endpoint: &Endpoint, work: impl Future<Output = Result<T>>) -> Result<T> {
    match limit {
        None => work.await,
        Some(limit) => tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(late(endpoint, limit))),
    }
}

fn late(endpoint: &Endpoint, limit: Duration) -> Error {
    Error::new(Kind::Timeout, format!("no answer from {} within {} s", endpoint.host(), limit.as_secs_f64()))
}

fn broken(endpoint: &Endpoint, error: reqwest::Error) -> Error {
    let host = endpoint.host();
    // A system's own timeout in the middle of an answer is a connection that broke.
    if error.is_timeout() && error.is_connect() {
        return Error::new(Kind::Timeout, format!("no connection to {host} within {} s", CONNECT_TIMEOUT.as_secs()));
    }
    let kind = if error.is_builder() { Kind::Value } else { Kind::Connection };
    let what = if error.is_connect() { "no connection to" } else { "the connection broke to" };
    Error::new(kind, format!("{what} {host}: {}", chain(error)))
}

/// The innermost reason, which is the one that helps ("Connection refused"), without any URL.
fn chain(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}
