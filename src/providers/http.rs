//! The wire: one client for each process, its connections reused by every call.
//!
//! Proxy variables and `SSL_CERT_FILE`/`SSL_CERT_DIR` are honoured. Redirects are not followed, since that would
//! carry the key to another host. Messages name the host at most: never a path, a query or a header.

use std::ops::Deref;
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder};
use tokio::time::Instant;

use super::plain::{AGENT, Plain};
use super::process::PerProcess;
use super::refusal::told;
use super::response::Fault;
pub use super::response::Response;
use super::secrets::Secrets;
use super::types::{Answer, Endpoint, Outgoing};
use crate::error::{Error, Kind, Result};
use crate::text::one_line::one_line;

/// An answer larger than this is refused: a chat answer is a few kilobytes, 256 embeddings are a few megabytes.
const LARGEST_ANSWER: usize = 256 << 20;
/// An error says what it has to say in less.
const LARGEST_ERROR: usize = 1 << 20;
/// How much of a provider's text a message shows.
const SHOWN: usize = 500;

/// How many clients are kept, one for each connect timeout in use.
const CLIENTS: usize = 8;

/// How long the parts of one exchange may take; `None` waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Until a connection stands.
    pub connect: Option<Duration>,
    /// From sending to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// The longest silence of a stream.
    pub silence: Option<Duration>,
    /// All of an exchange that is not streamed.
    pub whole: Option<Duration>,
}

impl Limits {
    /// The time until a connection stands, when the caller says nothing, as in the `openai` client.
    pub const CONNECT: Option<Duration> = Some(Duration::from_secs(5));

    /// One limit for an exchange, for its answer to begin and for each silence of it.
    pub fn of(limit: Option<Duration>) -> Self {
        Self { connect: Self::CONNECT, first_byte: limit, silence: limit, whole: limit }
    }
}

/// Connections and TLS settings.
pub struct Http {
    /// For [`Limits::CONNECT`].
    usual: Clients,
    /// The others, by their connect timeout: it is a property of a client, and connections are not shared among them.
    others: Mutex<Vec<(Option<Duration>, Clients)>>,
    /// Why these clients cannot speak TLS.
    no_tls: Option<String>,
}

/// Who sends, for one connect timeout. Cloning is cheap.
#[derive(Clone)]
struct Clients {
    plain: Plain,
    any: Client,
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
        let (any, no_tls) = match builder(Limits::CONNECT).build() {
            Ok(client) => (client, None),
            // Without any root certificate on the machine the usual client cannot be made; plain http still works.
            Err(error) => (without_tls(Limits::CONNECT)?, Some(Fault::from(error).why)),
        };
        let usual = Clients { plain: Plain::new(Limits::CONNECT), any };
        Ok(Self { usual, others: Mutex::new(Vec::new()), no_tls })
    }

    /// A client for what is no provider, such as a collector of traces; each exchange may take so long.
    ///
    /// # Errors
    /// [`Kind::Io`] when it cannot be made.
    pub fn outside(limit: Duration) -> Result<Client> {
        // It makes sure that TLS has a provider.
        let with_tls = Self::new()?.no_tls.is_none();
        let builder = builder(Some(limit)).timeout(limit);
        let builder = if with_tls { builder } else { builder.tls_certs_only([]) };
        builder.build().map_err(not_made)
    }

    /// The clients whose connections may take so long to be made.
    fn clients(&self, connect: Option<Duration>) -> Result<Clients> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, clients)) = others.iter().find(|(known, _)| *known == connect) {
            return Ok(clients.clone());
        }
        let any = match &self.no_tls {
            None => builder(connect).build().map_err(not_made)?,
            Some(_) => without_tls(connect)?,
        };
        let made = Clients { plain: Plain::new(connect), any };
        if others.len() == CLIENTS {
            others.remove(0);
        }
        others.push((connect, made.clone()));
        Ok(made)
    }

    /// Sends one request and reads its whole answer.
    ///
    /// # Errors
    /// [`Kind::Status`] for anything but 2xx, [`Kind::Timeout`], [`Kind::Connection`].
    pub async fn send(&self, endpoint: &Endpoint, request: &Outgoing, limits: &Limits) -> Result<Answer> {
        let end = limits.whole.map(|limit| (limit, Instant::now() + limit));
        let response = within(sooner(limits), endpoint, self.start(endpoint, request, limits)).await?;
        let body = read(endpoint, response);
        match end {
            None => body.await,
            Some((limit, end)) => {
                tokio::time::timeout_at(end, body).await.unwrap_or_else(|_| Err(late(endpoint, limit)))
            }
        }
    }

    /// Sends one request and hands over its answer as it arrives.
    pub async fn open(&self, endpoint: &Endpoint, request: &Outgoing, limits: &Limits) -> Result<Opened> {
        within(limits.first_byte, endpoint, async {
            let response = self.start(endpoint, request, limits).await?;
            if is_json(response.headers()) {
                // A server that does not stream, or an error it sends with status 200.
                return Ok(Opened::Whole(read(endpoint, response).await?));
            }
            Ok(Opened::Stream(response))
        })
        .await
    }

    async fn start(&self, endpoint: &Endpoint, request: &Outgoing, limits: &Limits) -> Result<Response> {
        if let Some(why) = self.no_tls.as_ref().filter(|_| request.url.scheme() == "https") {
            return Err(Error::new(
                Kind::Missing,
                format!(
                    "https cannot be spoken on this machine ({why}); without root certificates, install `ca-certificates` or set SSL_CERT_FILE"
                ),
            ));
        }
        let other = if limits.connect == Limits::CONNECT { None } else { Some(self.clients(limits.connect)?) };
        let sent = other.as_ref().unwrap_or(&self.usual).post(request).await;
        let response = sent.map_err(|fault| unanswered(endpoint, limits.connect, &fault))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = head(&response);
        // The status says enough when the body breaks.
        let body = read_body(endpoint, response, LARGEST_ERROR).await.unwrap_or_else(|_| Some(Bytes::new()));
        let body = body.unwrap_or_else(|| format!("[an error of more than {LARGEST_ERROR} bytes]").into());
        Err(refused(endpoint, Answer { status, headers, body }))
    }
}

impl Clients {
    async fn post(&self, request: &Outgoing) -> Result<Response, Fault> {
        let (headers, body) = (request.headers.clone(), request.body.clone());
        if let Some(uri) = self.plain.takes(&request.url) {
            return Ok(Response::Plain(self.plain.post(uri, headers, body).await?));
        }
        let sent = self.any.post(request.url.clone()).headers(headers).body(body).send();
        // It is large, and would be in the task of every request to a plain address as well.
        Ok(Response::Any(Box::new(Box::pin(sent).await?)))
    }
}

fn builder(connect: Option<Duration>) -> ClientBuilder {
    let builder = Client::builder().user_agent(AGENT).redirect(Policy::none());
    match connect {
        Some(limit) => builder.connect_timeout(limit),
        None => builder,
    }
}

fn without_tls(connect: Option<Duration>) -> Result<Client> {
    builder(connect).tls_certs_only([]).build().map_err(not_made)
}

fn not_made(error: reqwest::Error) -> Error {
    Error::new(Kind::Io, format!("the HTTP client could not be made: {}", Fault::from(error).why))
}

/// The limit for the answer to begin: nothing waits longer for that than for all of it.
fn sooner(limits: &Limits) -> Option<Duration> {
    limits.first_byte.into_iter().chain(limits.whole).min()
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

/// The body of `response`, piece by piece: each but the first after no more than `silence`. Whoever wants the first by
/// some time has to see to that, since what counts is the first event.
pub fn pieces<E>(
    endpoint: E,
    response: Response,
    silence: Option<Duration>,
) -> impl Stream<Item = Result<Bytes>> + Send + 'static
where
    E: Deref<Target = Endpoint> + Send + Sync + 'static,
{
    futures_util::stream::unfold((endpoint, Some(response), true), move |(endpoint, response, is_first)| async move {
        let mut response = response?;
        let next = async { response.chunk().await.map_err(|fault| broken(&endpoint, None, &fault).lost()) };
        let piece = if is_first { next.await } else { within(silence, &endpoint, next).await };
        match piece {
            Ok(piece) => piece.map(|piece| (Ok(piece), (endpoint, Some(response), false))),
            Err(error) => Some((Err(error), (endpoint, None, false))),
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
    let error = told(body);
    let message = error.as_ref().and_then(|error| error.get("message").unwrap_or(error).as_str());
    let text = message.map_or_else(|| String::from_utf8_lossy(body), Into::into);
    match secrets.hide_text(&text).trim() {
        "" => "no text".to_owned(),
        text => one_line(&text.chars().take(SHOWN).collect::<String>()).into_owned(),
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
    while let Some(piece) = response.chunk().await.map_err(|fault| broken(endpoint, None, &fault).lost())? {
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

/// No answer in time.
pub fn late(endpoint: &Endpoint, limit: Duration) -> Error {
    // It may have been understood and answered, only not in time.
    Error::new(Kind::Timeout, format!("no answer from {} within {} s", endpoint.host(), limit.as_secs_f64())).lost()
}

/// No answer at all: without a connection nothing was sent, else all of it may have been, and be answered unheard.
fn unanswered(endpoint: &Endpoint, connect: Option<Duration>, fault: &Fault) -> Error {
    let error = broken(endpoint, connect, fault);
    if fault.connect || fault.builder { error } else { error.lost() }
}

fn broken(endpoint: &Endpoint, connect: Option<Duration>, fault: &Fault) -> Error {
    let host = endpoint.host();
    // A system's own timeout in the middle of an answer is a connection that broke.
    if fault.timeout && fault.connect {
        let within = connect.map(|limit| format!(" within {} s", limit.as_secs_f64())).unwrap_or_default();
        return Error::new(Kind::Timeout, format!("no connection to {host}{within}"));
    }
    let kind = if fault.builder { Kind::Value } else { Kind::Connection };
    let what = if fault.connect { "no connection to" } else { "the connection broke to" };
    Error::new(kind, format!("{what} {host}: {}", fault.why))
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
