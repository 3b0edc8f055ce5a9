//! Calls over a real socket, without Python.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ferroute::Kind;
use ferroute::engine::call::{self, Answered};
use ferroute::engine::embed::{Embedder, Settings};
use ferroute::engine::plan::{Plan, Policy};
use ferroute::engine::stream::Stream;
use ferroute::providers::{Asked, ChatRequest, Endpoint, Http, resolve};
use support::{Server, Step, reply, serve, stream_head};

const FINE: &str = r#"{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;

const WORD: &str = r#"{"choices":[{"index":0,"delta":{"content":"a"}}]}"#;

fn endpoint(server: &Server) -> Endpoint {
    let asked = Asked {
        api_base: Some(server.url.clone()),
        api_key: Some("sk-hunter2-hunter2".to_owned().into()),
        ..Asked::default()
    };
    resolve("openai/big", &asked, &|_| None).unwrap()
}

fn options(retries: u32) -> Policy {
    within(Duration::from_secs(5), retries)
}

fn within(limit: Duration, retries: u32) -> Policy {
    let limit = Some(limit);
    Policy {
        first_byte_timeout: limit,
        between_chunks_timeout: limit,
        attempt_timeout: limit,
        retries,
        ..Policy::default()
    }
}

fn plan(endpoint: &Endpoint, policy: Policy) -> Plan {
    Plan::to(endpoint.clone(), policy)
}

async fn chat(http: &Http, endpoint: &Endpoint, body: &'static [u8], policy: Policy) -> ferroute::Result<Answered> {
    call::chat(http, plan(endpoint, policy), Arc::new(ChatRequest::new(body))).await
}

async fn stream(http: &Http, endpoint: &Endpoint, body: &'static [u8], policy: Policy) -> ferroute::Result<Stream> {
    call::stream(http, plan(endpoint, policy), Arc::new(ChatRequest::new(body))).await
}

#[tokio::test]
async fn an_answer_comes_back_unchanged() {
    let server = serve(vec![reply(201, &[("X-Thing", "a")], FINE)]);
    let done = chat(&Http::new().unwrap(), &endpoint(&server), br#"{"z":1,"model":"x"}"#, options(0)).await.unwrap();
    assert_eq!((done.answer.status, &done.answer.body[..], done.account.attempts), (201, FINE.as_bytes(), 1));
    assert_eq!(done.account.usage.unwrap().prompt_tokens, 3);
    assert!(done.answer.headers.contains(&("x-thing".into(), "a".into())));
    let request = server.requests.lock().unwrap()[0].clone();
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"));
    assert!(request.ends_with(r#"{"z":1,"model":"big"}"#));
}

#[tokio::test]
async fn one_connection_serves_many_calls() {
    let server = serve((0..10).map(|_| reply(200, &[], FINE)).collect());
    let http = Http::new().unwrap();
    for _ in 0..10 {
        chat(&http, &endpoint(&server), b"{}", options(0)).await.unwrap();
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn attempts_are_counted_and_bounded() {
    let busy = || reply(503, &[("retry-after-ms", "1")], "");
    let http = Http::new().unwrap();
    let server = serve(vec![busy(), vec![Step::Close], reply(200, &[], FINE)]);
    assert_eq!(chat(&http, &endpoint(&server), b"{}", options(2)).await.unwrap().account.attempts, 3);
    let server = serve(vec![busy(), busy(), busy()]);
    assert_eq!(chat(&http, &endpoint(&server), b"{}", options(1)).await.unwrap_err().answer().unwrap().status, 503);
    assert_eq!(server.requests.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = serve(vec![reply(200, &[], FINE)]);
    let server = serve(vec![reply(307, &[("location", &elsewhere.url)], "")]);
    let error = chat(&Http::new().unwrap(), &endpoint(&server), b"{}", options(0)).await.unwrap_err();
    assert!(error.kind() == Kind::Status && error.message().contains("redirect"));
    assert!(elsewhere.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn errors_say_what_happened_and_hold_no_key() {
    let http = Http::new().unwrap();
    let slow = || within(Duration::from_millis(100), 0);
    for (steps, kind, says) in [
        (reply(401, &[], r#"{"error":{"message":"bad key sk-hunter2-hunter2"}}"#), Kind::Status, "bad key [key]"),
        (reply(200, &[], "<html>"), Kind::Protocol, "not a JSON object"),
        (vec![Step::Close], Kind::Connection, "127.0.0.1"),
        (vec![Step::Wait(Duration::from_secs(1))], Kind::Timeout, "0.1 s"),
        (
            vec![Step::Send(b"HTTP/1.1 200 X\r\ncontent-length: 9\r\n\r\n{".to_vec()), Step::Close],
            Kind::Connection,
            "broke",
        ),
        (vec![Step::Send(b"nonsense\r\n\r\n".to_vec()), Step::Close], Kind::Connection, "127.0.0.1"),
    ] {
        let server = serve(vec![steps]);
        let error = chat(&http, &endpoint(&server), b"{}", slow()).await.unwrap_err();
        assert!(error.kind() == kind && error.message().contains(says), "{error:?}, expected {says}");
        assert!(!format!("{error:?} {:?}", error.answer()).contains("hunter2"));
    }
}

#[tokio::test]
async fn a_stream_until_its_end_mark() {
    let events =
        "data: {\"choices\":[{}]}\n\n: x\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":7}}\n\ndata: [DONE]\n\n";
    let pieces = events.as_bytes().chunks(3).map(|piece| Step::Send(piece.to_vec()));
    let server = serve(vec![std::iter::once(stream_head()).chain(pieces).chain([Step::Close]).collect()]);
    let stream =
        stream(&Http::new().unwrap(), &endpoint(&server), br#"{"stream_options":{"include_usage":true}}"#, options(0))
            .await
            .unwrap();
    let mut count = 0;
    while stream.next().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, stream.usage().unwrap().prompt_tokens), (2, 7));
    assert!(stream.next().await.unwrap().is_none() && stream.ready().is_none());
}

#[tokio::test]
async fn a_cut_stream_is_an_error_once() {
    let server = serve(vec![vec![stream_head(), Step::Send(format!("data: {WORD}\n\ndata: {{").into()), Step::Close]]);
    let stream = stream(&Http::new().unwrap(), &endpoint(&server), b"{}", options(3)).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), WORD);
    let error = stream.next().await.unwrap_err();
    assert!(error.kind() == Kind::Protocol && error.message().contains("cut"), "{error:?}");
    assert!(stream.next().await.unwrap().is_none());
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_leaves_a_stream_closes_its_connection() {
    let http = Http::new().unwrap();
    for way in ["drop", "close", "cancel"] {
        let server = serve(vec![vec![stream_head(), Step::Send(format!("data: {WORD}\n\n").into()), Step::Watch]]);
        let stream = stream(&http, &endpoint(&server), b"{}", options(0)).await.unwrap();
        stream.next().await.unwrap().unwrap();
        match way {
            "drop" => drop(stream),
            "close" => stream.close(),
            _ => {
                tokio::time::timeout(Duration::from_millis(50), stream.next()).await.unwrap_err();
                assert!(stream.next().await.unwrap().is_none());
            }
        }
        let gone = tokio::task::block_in_place(|| server.gone.recv_timeout(Duration::from_secs(1)));
        assert!(gone.is_ok(), "{way}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_closes_its_connection() {
    let server = serve(vec![vec![Step::Watch]]);
    let http = Http::new().unwrap();
    let (endpoint, start) = (endpoint(&server), Instant::now());
    tokio::time::timeout(Duration::from_millis(100), chat(&http, &endpoint, b"{}", options(0))).await.unwrap_err();
    tokio::task::block_in_place(|| server.gone.recv_timeout(Duration::from_secs(1))).unwrap();
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn embeddings_are_shared_and_batched() {
    let rows = |count: usize| {
        let data: Vec<String> =
            (0..count).map(|index| format!(r#"{{"index":{index},"embedding":[{index},1]}}"#)).collect();
        reply(200, &[], &format!(r#"{{"data":[{}]}}"#, data.join(",")))
    };
    let server = serve(vec![rows(1), rows(2), rows(1)]);
    let http = Http::new().unwrap();
    let embedder =
        Embedder::new(endpoint(&server), Settings { batch: 2, concurrency: 1, ..Settings::default() }).unwrap();
    let (one, two) = tokio::join!(embedder.embed(&http, "a"), embedder.embed(&http, "a"));
    let ((one, first), (two, second)) = (one.unwrap(), two.unwrap());
    assert_eq!(one.vector, two.vector);
    // Whoever sent the request pays for it, a price that nobody knows; the other one pays nothing.
    assert_eq!([first.0, second.0].iter().filter(|paid| paid.is_none()).count(), 1);
    let mut seen = Vec::new();
    let progress = |done| {
        seen.push(done);
        ControlFlow::Continue(())
    };
    let made = embedder.embed_batch(&http, &["a", "b", "b", "c", "d"], progress).await.unwrap();
    let first: Vec<f32> = made.iter().map(|row| row.vector[0]).collect();
    assert_eq!((first, seen), (vec![0.0, 0.0, 0.0, 1.0, 0.0], vec![1, 4, 5]));
    assert_eq!(server.requests.lock().unwrap().len(), 3);
}

fn chunked(text: &str) -> Step {
    Step::Send(format!("{:x}\r\n{text}\r\n", text.len()).into())
}

fn chunked_head() -> Step {
    Step::Send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec())
}

#[tokio::test]
async fn a_connection_is_used_again_after_a_stream_whose_last_bytes_come_late() {
    let streamed = || {
        let end = Step::Send(b"0\r\n\r\n".to_vec());
        vec![
            chunked_head(),
            chunked("data: {\"choices\":[{}]}\n\ndata: [DONE]\n\n"),
            Step::Wait(Duration::from_millis(50)),
            end,
        ]
    };
    let server = serve(vec![streamed(), streamed()]);
    let http = Http::new().unwrap();
    for _ in 0..2 {
        let stream = stream(&http, &endpoint(&server), b"{}", options(0)).await.unwrap();
        while stream.next().await.unwrap().is_some() {}
        drop(stream);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn comments_are_a_sign_of_life_and_silence_after_the_last_choice_is_an_end() {
    let wait = || Step::Wait(Duration::from_millis(150));
    let mut steps = vec![stream_head(), Step::Send(b"data: {\"choices\":[{\"index\":0}]}\n\n".to_vec())];
    for _ in 0..4 {
        steps.extend([wait(), Step::Send(b": keep\n\n".to_vec())]);
    }
    steps.push(Step::Send(b"data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\n".to_vec()));
    steps.push(Step::Wait(Duration::from_secs(3)));
    let server = serve(vec![steps]);
    let limit = within(Duration::from_millis(400), 0);
    let stream = stream(&Http::new().unwrap(), &endpoint(&server), b"{}", limit).await.unwrap();
    assert!(stream.next().await.unwrap().is_some() && stream.next().await.unwrap().is_some());
    let start = Instant::now();
    assert!(stream.next().await.unwrap().is_none());
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_cut_is_noticed_while_another_choice_is_open() {
    let events = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}},{\"index\":1}]}\n\ndata: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\n";
    let server = serve(vec![vec![stream_head(), Step::Send(events.into()), Step::Close]]);
    let stream = stream(&Http::new().unwrap(), &endpoint(&server), b"{}", options(0)).await.unwrap();
    assert!(stream.next().await.unwrap().is_some() && stream.next().await.unwrap().is_some());
    assert_eq!(stream.next().await.unwrap_err().kind(), Kind::Protocol);
}

#[tokio::test]
async fn no_more_than_a_few_megabytes_are_read_ahead() {
    let sent = Arc::new(AtomicUsize::new(0));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::clone(&sent);
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let _ = client.read(&mut [0; 4096]);
        let _ = client.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
        let event = format!("data: {{\"x\":\"{}\"}}\n\n", "x".repeat(1 << 20));
        while count.load(Ordering::SeqCst) < 200 << 20 && client.write_all(event.as_bytes()).is_ok() {
            count.fetch_add(event.len(), Ordering::SeqCst);
        }
    });
    let asked = Asked { api_base: Some(url), ..Asked::default() };
    let endpoint = resolve("openai/big", &asked, &|_| None).unwrap();
    let stream = stream(&Http::new().unwrap(), &endpoint, b"{}", options(0)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // What the sockets hold comes on top.
    assert!(sent.load(Ordering::SeqCst) < 40 << 20, "{}", sent.load(Ordering::SeqCst));
    for _ in 0..20 {
        assert!(stream.next().await.unwrap().is_some());
    }
}

#[tokio::test]
async fn an_endless_error_is_not_read_to_its_end() {
    let server = serve(vec![reply(500, &[], &"x".repeat(3 << 20))]);
    let error = chat(&Http::new().unwrap(), &endpoint(&server), b"{}", options(0)).await.unwrap_err();
    let answer = error.answer().unwrap();
    assert!(answer.status == 500 && answer.body.len() < 100 && error.message().contains("more than 1048576 bytes"));
}

#[tokio::test]
async fn keys_are_blanked_in_every_part_of_an_error() {
    let headers = [("x-echo", "Bearer sk-hunter2-hunter2"), ("location", "http://x/?k=sk-hunter2-hunter2")];
    let long = format!(r#"{{"error":{{"message":"{}sk-hunter2-hunter2"}}}}"#, "x".repeat(490));
    for body in [long.as_str(), r#"{"error":{"message":"sk\u002dhunter2-hunter2"}}"#, "\u{0}sk-hunter2-hunter2"] {
        let server = serve(vec![reply(401, &headers, body)]);
        let error = chat(&Http::new().unwrap(), &endpoint(&server), b"{}", options(0)).await.unwrap_err();
        let answer = error.answer().unwrap();
        let shown = format!("{error:?} {:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
        assert!(!shown.contains("hunter2") && !error.message().contains("sk-"), "{shown}");
    }
}
