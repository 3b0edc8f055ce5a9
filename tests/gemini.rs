//! Gemini over a real socket: streams without an end mark, errors in a list, `n` answers, embeddings.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;

use ferroute::Kind;
use ferroute::engine::call;
use ferroute::engine::embed::{Embedder, Settings};
use ferroute::engine::plan::{Plan, Policy};
use ferroute::providers::{Asked, ChatRequest, Endpoint, Http, resolve};
use serde_json::{Value, json};
use support::{Server, Step, reply, serve, stream_head};

fn endpoint(server: &Server, model: &str) -> Endpoint {
    let asked = Asked {
        api_base: Some(server.url.clone()),
        api_key: Some("AIza-hunter2-hunter2".to_owned().into()),
        ..Asked::default()
    };
    resolve(&format!("gemini/{model}"), &asked, &|_| None).unwrap()
}

fn plan(server: &Server, retries: u32) -> Plan {
    Plan::to(endpoint(server, "gemini-2.5-flash"), Policy { retries, ..Policy::default() })
}

fn request(more: &Value) -> Arc<ChatRequest> {
    let mut body = json!({"model": "x", "messages": [{"role": "user", "content": "hi"}]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Arc::new(ChatRequest::new(body.to_string()))
}

fn says(text: &str, finish: Option<&str>, made: u64) -> Value {
    json!({
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}, "finishReason": finish}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": made, "thoughtsTokenCount": 2},
        "modelVersion": "gemini-2.5-flash", "responseId": "r1"})
}

/// Each event of two `data` lines, in pieces of `size` bytes, with the line ends of another system.
fn events(events: &[Value], size: usize) -> Vec<Step> {
    let lines = |event: &Value| serde_json::to_string_pretty(event).unwrap().replace('\n', "\r\ndata: ");
    let told = |event: &Value| format!(": a comment\r\ndata: {}\r\n\r\n", lines(event));
    let text = events.iter().map(told).collect::<Vec<_>>().concat();
    let pieces = text.as_bytes().chunks(size).map(|piece| Step::Send(piece.to_vec()));
    std::iter::once(stream_head()).chain(pieces).chain([Step::Close]).collect()
}

#[tokio::test]
async fn an_answer_and_its_account() {
    let server = serve(vec![reply(200, &[], &says("é漢🦀", Some("STOP"), 3).to_string())]);
    let done = call::chat(&Http::new().unwrap(), plan(&server, 0), request(&json!({"max_tokens": 9}))).await.unwrap();
    let shown: Value = serde_json::from_slice(&done.answer.body).unwrap();
    assert_eq!(shown["choices"][0]["message"]["content"], "é漢🦀");
    let usage = done.account.usage.unwrap();
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens), (5, 5, 2));
    let sent = server.requests.lock().unwrap()[0].clone();
    assert!(sent.starts_with("POST /v1beta/models/gemini-2.5-flash:generateContent HTTP/1.1\r\n"), "{sent}");
    assert!(
        sent.contains("x-goog-api-key: AIza-hunter2-hunter2\r\n") && !sent.to_lowercase().contains("authorization")
    );
    assert!(sent.ends_with(
        r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":9}}"#
    ));
}

#[tokio::test]
async fn a_stream_cut_anywhere_says_the_same() {
    let whole = [says("é漢", None, 1), says("🦀", None, 2), says(" end", Some("STOP"), 7)];
    for size in [1, 2, 3, 7, 4096] {
        let server = serve(vec![events(&whole, size)]);
        let asked = request(&json!({"stream_options": {"include_usage": true}}));
        let stream = call::stream(&Http::new().unwrap(), plan(&server, 0), asked).await.unwrap();
        let (mut text, mut last) = (String::new(), Value::Null);
        while let Some(chunk) = stream.next().await.unwrap() {
            last = serde_json::from_slice(&chunk).unwrap();
            text.push_str(last["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
        }
        assert_eq!((text.as_str(), &last["usage"]["completion_tokens"]), ("é漢🦀 end", &json!(9)), "{size}");
        assert_eq!(stream.account().unwrap().usage.unwrap().completion_tokens, 9);
        let sent = server.requests.lock().unwrap()[0].clone();
        assert!(sent.starts_with("POST /v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse "), "{sent}");
    }
}

#[tokio::test]
async fn a_stream_without_a_reason_to_end_was_cut() {
    let server = serve(vec![events(&[says("Ow", None, 1), says("l", None, 4)], 4096)]);
    let stream = call::stream(&Http::new().unwrap(), plan(&server, 0), request(&json!({}))).await.unwrap();
    let error = loop {
        match stream.next().await {
            Ok(chunk) => assert!(chunk.is_some(), "it ended as if it were whole"),
            Err(error) => break error,
        }
    };
    let partial = error.partial().unwrap();
    assert_eq!((partial.text.as_str(), partial.tokens), ("Owl", Some((5, 6))));
}

#[tokio::test]
async fn errors_of_a_stream_come_in_a_list() {
    let busy = json!([{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED", "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.01s"}]}}]);
    let busy = || reply(429, &[("content-type", "application/json")], &busy.to_string());
    let server = serve(vec![busy(), events(&[says("x", Some("STOP"), 1)], 4096)]);
    let stream = call::stream(&Http::new().unwrap(), plan(&server, 1), request(&json!({}))).await.unwrap();
    assert_eq!(stream.attempts, 2);
    let server = serve(vec![busy()]);
    let error = call::stream(&Http::new().unwrap(), plan(&server, 0), request(&json!({}))).await.err().unwrap();
    assert_eq!(error.kind(), Kind::Status);
    assert!(error.message().contains("slow down") && !error.message().contains('{'), "{error}");
}

#[tokio::test]
async fn an_error_after_status_200_breaks_the_stream() {
    let broken = json!({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}});
    let server = serve(vec![events(&[says("x", None, 1), broken], 4096)]);
    let stream = call::stream(&Http::new().unwrap(), plan(&server, 3), request(&json!({}))).await.unwrap();
    let error = loop {
        if let Err(error) = stream.next().await {
            break error;
        }
    };
    assert_eq!((error.kind(), error.answer().unwrap().status), (Kind::Status, 503));
    assert_eq!(server.requests.lock().unwrap().len(), 1, "nothing is repeated once content was handed out");
}

#[tokio::test]
async fn n_answers_are_n_calls() {
    let server = serve(["a", "b"].map(|text| reply(200, &[], &says(text, Some("STOP"), 3).to_string())).into());
    let done = call::chat(&Http::new().unwrap(), plan(&server, 0), request(&json!({"n": 2}))).await.unwrap();
    let shown: Value = serde_json::from_slice(&done.answer.body).unwrap();
    let mut texts: Vec<&str> = shown["choices"]
        .as_array()
        .unwrap()
        .iter()
        .map(|choice| choice["message"]["content"].as_str().unwrap())
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, ["a", "b"]);
    assert_eq!(done.account.usage.unwrap().completion_tokens, 10);
}

#[tokio::test]
async fn embeddings() {
    let server = serve(vec![reply(200, &[], r#"{"embedding":{"values":[0.5,-1]}}"#)]);
    let embedder = Embedder::new(endpoint(&server, "gemini-embedding-001"), Settings::default()).unwrap();
    embedder.embed(&Http::new().unwrap(), "a text").await.unwrap();
    let sent = server.requests.lock().unwrap()[0].clone();
    assert!(sent.starts_with("POST /v1beta/models/gemini-embedding-001:embedContent "), "{sent}");
}
