//! What is told of requests, whatever becomes of them; the service is called without a socket of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::app::app;
use super::chat;
use super::deciding::Deciding;
use super::event::{Event, Observer};
use super::limits::Limits;
use super::protocol::{Inbound, Protocol, Reply};
use super::setup::{Models, Setup};
use super::state::Gateway;
use super::target::Target;
use crate::Kind;
use crate::engine::plan::{Plan, Policy};
use crate::error::{Error, Result};
use crate::providers::{Asked, resolve};
use crate::routing::Ladder;

const ANSWER: &str = r#"{"id":"c1","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500}}"#;
const BODY: &str = r#"{"model":"gpt-5.4-nano","messages":[{"role":"user","content":"hi"}]}"#;
const STREAMED: &str = r#"{"model":"gpt-5.4-nano","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

/// What was told, in words.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>, Notify);

impl Observer for Heard {
    fn seen(&self, event: &Event<'_>) {
        let words = format!(
            "{} {} {} model={} cost={} error={} cancelled={}",
            event.path,
            event.protocol,
            event.status,
            event.decided.map_or("-", |decided| &decided.target.name),
            event.account.and_then(|account| account.cost).map_or("-".to_owned(), |cost| cost.normalize().to_string()),
            event.error.map_or("-".to_owned(), |error| format!("{:?}", error.kind())),
            event.cancelled,
        );
        assert!(event.overhead <= event.total && event.id.starts_with("req_"));
        self.0.lock().unwrap().push(words);
        self.1.notify_one();
    }
}

impl Heard {
    async fn one(&self) -> String {
        tokio::time::timeout(Duration::from_secs(10), self.1.notified()).await.unwrap();
        self.0.lock().unwrap().pop().unwrap()
    }
}

/// A server that answers every connection's request with `answer` and then leaves it open.
async fn answering(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut read = vec![0; 65536];
                while socket.read(&mut read).await.is_ok_and(|count| count > 0) {
                    let _ = socket.write_all(answer.as_bytes()).await;
                }
            });
        }
    });
    format!("http://{address}/v1")
}

fn whole(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn gateway(base: &str) -> (Arc<Gateway>, Arc<Heard>) {
    let asked = Asked { api_base: Some(base.to_owned()), api_key: Some("secret".into()), ..Asked::default() };
    let target = |model: &str| {
        let endpoint = resolve(model, &asked, &|_| None).unwrap();
        let plan = Plan::to(endpoint, Policy { retries: 0, ..Policy::default() });
        Arc::new(Target::new(model.to_owned(), plan))
    };
    let targets = vec![target("gpt-5.4-nano"), target("gpt-5.5")];
    let models = Models::new(targets.iter().cloned(), Vec::new());
    let ladder = Ladder::pair("gpt-5.4-nano".to_owned(), "gpt-5.5".to_owned());
    let deciding = Deciding::new(ladder, targets, Vec::new(), None);
    let heard = Arc::<Heard>::default();
    let server = Limits { max_body: 1000, ..Limits::default() };
    let setup = Setup { server, ..Setup::plain(deciding, models) };
    (Gateway::with(setup, vec![Arc::clone(&heard) as Arc<dyn Observer>], None, None).unwrap(), heard)
}

async fn ask(gateway: &Arc<Gateway>, path: &str, body: impl Into<Body>) -> Response<Body> {
    let request = Request::post(path).body(body.into()).unwrap();
    TowerToHyperService::new(app(Arc::clone(gateway))).call(request).await.unwrap()
}

async fn text(response: Response<Body>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn a_whole_answer_is_told_with_its_cost() {
    let (gateway, heard) = gateway(&answering(whole("200 OK", ANSWER)).await);
    let response = ask(&gateway, "/v1/chat/completions", BODY).await;
    assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, ANSWER));
    let told = heard.one().await;
    assert_eq!(told, "/v1/chat/completions openai 200 model=gpt-5.4-nano cost=0.000825 error=- cancelled=false");
}

#[tokio::test]
async fn failures_are_told() {
    let (gateway, heard) = gateway(&answering(whole("503 No", r#"{"error":{"message":"busy"}}"#)).await);
    assert_eq!(ask(&gateway, "/v1/chat/completions", BODY).await.status(), 503);
    let told = heard.one().await;
    assert_eq!(told, "/v1/chat/completions openai 503 model=gpt-5.4-nano cost=- error=Status cancelled=false");
    assert_eq!(ask(&gateway, "/v1/chat/completions", "{").await.status(), 400);
    assert_eq!(heard.one().await, "/v1/chat/completions openai 400 model=- cost=- error=Value cancelled=false");
    let response = ask(&gateway, "/v1/chat/completions", "x".repeat(1001)).await;
    assert_eq!(response.status(), 413);
    assert!(text(response).await.contains("1000 bytes"));
    assert_eq!(heard.one().await, "/v1/chat/completions openai 413 model=- cost=- error=Denied cancelled=false");
}

#[tokio::test]
async fn a_body_without_a_length_has_its_limit_too() {
    let (gateway, heard) = gateway("http://127.0.0.1:9/v1");
    let pieces = (0..20).map(|_| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 100])));
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    assert_eq!(ask(&gateway, "/v1/chat/completions", body).await.status(), 413);
    assert!(heard.one().await.contains(" 413 "));
}

#[tokio::test]
async fn who_leaves_is_told_with_what_had_come() {
    let events = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi there\"}}]}\n\n";
    let start = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let (gateway, heard) = gateway(&answering(format!("{start}{events}")).await);
    let response = ask(&gateway, "/v1/chat/completions", STREAMED).await;
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, events);
    drop(body);
    let told = heard.one().await;
    assert!(told.starts_with("/v1/chat/completions openai 200 model=gpt-5.4-nano cost=0.0000"), "{told}");
    assert!(told.ends_with("error=- cancelled=true"), "{told}");
}

#[tokio::test]
async fn who_leaves_before_an_answer_is_told_as_well() {
    let (gateway, heard) = gateway(&answering(String::new()).await);
    let waiting = ask(&gateway, "/v1/chat/completions", BODY);
    assert!(tokio::time::timeout(Duration::from_millis(200), waiting).await.is_err());
    assert_eq!(heard.one().await, "/v1/chat/completions openai 499 model=gpt-5.4-nano cost=- error=- cancelled=true");
}

/// A protocol that has a mistake of its own.
struct Mistaken;

impl Protocol for Mistaken {
    fn name(&self) -> &'static str {
        "mistaken"
    }

    fn read(&self, _body: Bytes) -> Result<Inbound> {
        panic!("on purpose")
    }

    fn failure(&self, status: u16, error: &Error) -> Bytes {
        format!("{status} {error}").into()
    }
}

#[tokio::test]
async fn a_panic_of_ours_is_an_answer() {
    let (gateway, heard) = gateway("http://127.0.0.1:9/v1");
    let request = Request::post("/").body(Body::from(BODY)).unwrap();
    let response = chat::answer(gateway, &Mistaken, "/mistaken", request).await;
    assert_eq!(response.status(), 500);
    assert_eq!(text(response).await, "500 the server has failed to handle this request");
    assert_eq!(heard.one().await, "/mistaken mistaken 500 model=- cost=- error=- cancelled=false");
}

/// Each protocol says how a stream of its has broken.
struct Words;

impl Reply for Words {
    fn whole(&mut self, answer: Bytes) -> Result<Bytes> {
        Ok(answer)
    }

    fn chunk(&mut self, _chunk: &[u8], out: &mut BytesMut) {
        out.extend_from_slice(b"chunk ");
    }

    fn end(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(b"end");
    }

    fn broken(&mut self, error: &Error, out: &mut BytesMut) {
        out.extend_from_slice(format!("broken: {:?}", error.kind()).as_bytes());
    }
}

struct Wordy;

impl Protocol for Wordy {
    fn name(&self) -> &'static str {
        "wordy"
    }

    fn read(&self, body: Bytes) -> Result<Inbound> {
        let inbound = super::protocol::openai::OpenAi.read(body)?;
        Ok(Inbound { reply: Box::new(Words), ..inbound })
    }

    fn failure(&self, _status: u16, error: &Error) -> Bytes {
        error.message().to_owned().into()
    }
}

#[tokio::test]
async fn a_stream_that_breaks_says_so_in_its_protocol() {
    let events = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    let start =
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n", events.len());
    let (gateway, heard) = gateway(&answering(format!("{start}{events}")).await);
    let request = Request::post("/").body(Body::from(STREAMED)).unwrap();
    let response = chat::answer(gateway, &Wordy, "/wordy", request).await;
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "chunk broken: Protocol");
    let told = heard.one().await;
    assert!(told.ends_with("error=Protocol cancelled=false"), "{told}");
    assert_eq!(Error::new(Kind::Protocol, "").http_status(), 502);
}
