//! What becomes of a call on a bad network: tries, fallbacks, cooldowns, deadlines, hedges, streams that break.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ferroute::engine::call::{self, Answered};
use ferroute::engine::plan::{Plan, Policy, Routed};
use ferroute::engine::stream::Stream;
use ferroute::providers::{Asked, ChatRequest, Endpoint, Http, resolve};
use ferroute::{Error, Kind};
use support::{Server, Step, reply, serve, stream_head};

const FINE: &str = r#"{"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
const BODY: &str = r#"{"messages":[{"role":"user","content":"Which animal hunts at night?"}]}"#;
const QUOTA: &str = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota","code":"insufficient_quota"}}"#;

fn at(server: &Server, model: &str) -> Endpoint {
    let asked = Asked { api_base: Some(server.url.clone()), ..Asked::default() };
    resolve(model, &asked, &|_| None).unwrap()
}

fn policy() -> Policy {
    let limit = Some(Duration::from_secs(5));
    Policy { first_byte_timeout: limit, between_chunks_timeout: limit, attempt_timeout: limit, ..Policy::default() }
}

fn plan(endpoints: &[Endpoint], policy: Policy) -> Plan {
    Plan {
        endpoints: endpoints.into(),
        climb: Arc::default(),
        policy: Arc::new(policy),
        ledger: None,
        purse: None,
        routed: Routed::default(),
    }
}

async fn chat(plan: Plan) -> Result<Answered, Error> {
    call::chat(&Http::new().unwrap(), plan, Arc::new(ChatRequest::new(BODY))).await
}

async fn stream(plan: Plan) -> Result<Stream, Error> {
    call::stream(&Http::new().unwrap(), plan, Arc::new(ChatRequest::new(BODY))).await
}

fn seen(server: &Server) -> usize {
    server.requests.lock().unwrap().len()
}

fn fine() -> Vec<Step> {
    reply(200, &[], FINE)
}

fn again_soon(status: u16, body: &str) -> Vec<Step> {
    reply(status, &[("retry-after-ms", "1")], body)
}

fn event(json: &str) -> Step {
    Step::Send(format!("data: {json}\n\n").into_bytes())
}

fn role() -> Step {
    event(r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#)
}

fn word(text: &str) -> Step {
    event(&format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#))
}

fn stop() -> Step {
    event(r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#)
}

fn usage() -> Step {
    event(r#"{"id":"c","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#)
}

fn done() -> Step {
    Step::Send(b"data: [DONE]\n\n".to_vec())
}

async fn rest_of(stream: &Stream) -> Vec<String> {
    let mut chunks = Vec::new();
    while let Some(data) = stream.next().await.unwrap() {
        chunks.push(String::from_utf8(data.to_vec()).unwrap());
    }
    chunks
}

#[tokio::test]
async fn every_status_is_tried_as_often_as_the_list_says() {
    for status in [408, 409, 425, 429, 498, 500, 502, 503, 504, 520, 524, 529] {
        let server = serve(vec![again_soon(status, "{}"), again_soon(status, ""), fine()]);
        let answered = chat(plan(&[at(&server, "openai/big")], policy())).await.unwrap();
        assert_eq!((answered.account.attempts, seen(&server)), (3, 3), "{status}");
    }
    for status in [400, 401, 402, 403, 404, 405, 413, 415, 422, 501, 505] {
        let server = serve(vec![again_soon(status, "{}"), fine()]);
        let error = chat(plan(&[at(&server, "openai/big")], policy())).await.unwrap_err();
        assert_eq!((error.answer().unwrap().status, seen(&server)), (status, 1));
        assert_eq!(error.url().unwrap(), format!("{}/v1/chat/completions", server.url));
    }
}

#[tokio::test]
async fn what_is_no_answer_under_status_200_is_tried_once_more() {
    let deep = FINE.replace("\"usage\"", &format!("\"more\":{}{},\"usage\"", "[".repeat(2000), "]".repeat(2000)));
    for body in [
        "<html>",
        "",
        r#"{"error":{"message":"odd"}}"#,
        r#"{"error":{"type":"server_error","message":"x"}}"#,
        r#"{"error":{"type":"invalid_request_error","message":"no"}}"#,
        r#"{"error":{"code":404,"message":"no"}}"#,
        "{}",
        r#"{"detail":"warming up"}"#,
        r#"{"choices":null}"#,
        r#"{"choices":[]}"#,
        r#"{"choices":3}"#,
        r#"{"choices":[{}],"usage":{"prompt_tokens":1}}"#,
        &deep,
    ] {
        let server = serve(vec![reply(200, &[], body), reply(200, &[], body), fine()]);
        chat(plan(&[at(&server, "openai/big")], policy())).await.unwrap_err();
        assert_eq!(seen(&server), 2, "{body}");
        let server = serve(vec![reply(200, &[], body), fine()]);
        assert_eq!(chat(plan(&[at(&server, "openai/big")], policy())).await.unwrap().account.attempts, 2, "{body}");
    }
    for body in [r#"{"error":{"type":"authentication_error","message":"no"}}"#, QUOTA] {
        let server = serve(vec![reply(200, &[], body), fine()]);
        chat(plan(&[at(&server, "openai/big")], policy())).await.unwrap_err();
        assert_eq!(seen(&server), 1, "{body}");
    }
    let (ill, well) = (serve(vec![reply(200, &[], "{}"), reply(200, &[], "{}")]), serve(vec![fine()]));
    let answered = chat(plan(&[at(&ill, "openai/big"), at(&well, "openai/other")], policy())).await.unwrap();
    assert_eq!((answered.account.endpoint, seen(&ill)), (1, 2));
}

#[tokio::test]
async fn another_endpoint_is_asked_where_that_can_help() {
    for (status, body, first) in [
        (429, QUOTA, 1),
        (401, "{}", 1),
        (403, "{}", 1),
        (404, "{}", 1),
        (503, "{}", 3),
        (501, "{}", 1),
        (400, r#"{"error":{"code":"context_length_exceeded","message":"maximum context length"}}"#, 1),
    ] {
        let ill = serve((0..4).map(|_| again_soon(status, body)).collect());
        let well = serve(vec![fine()]);
        let answered = chat(plan(&[at(&ill, "openai/big"), at(&well, "openai/other")], policy())).await.unwrap();
        assert_eq!((answered.account.endpoint, seen(&ill), seen(&well)), (1, first, 1), "{status} {body}");
        assert_eq!(answered.account.attempts as usize, first + 1);
        assert!(answered.account.notes[0].contains("`openai/other` answered"), "{:?}", answered.account.notes);
        assert!(well.requests.lock().unwrap()[0].contains(r#""model":"other""#));
    }
    for status in [400, 413, 422] {
        let (ill, well) = (serve(vec![reply(status, &[], "{}")]), serve(vec![fine()]));
        chat(plan(&[at(&ill, "openai/big"), at(&well, "openai/other")], policy())).await.unwrap_err();
        assert_eq!(seen(&well), 0, "{status}");
    }
    // Nobody there.
    let gone = {
        let asked = Asked { api_base: Some("http://127.0.0.1:9".into()), ..Asked::default() };
        resolve("openai/big", &asked, &|_| None).unwrap()
    };
    let well = serve(vec![fine()]);
    let policy = Policy { retries: 0, ..policy() };
    assert_eq!(chat(plan(&[gone, at(&well, "openai/other")], policy)).await.unwrap().account.endpoint, 1);
}

#[tokio::test]
async fn a_prompt_that_is_too_long_goes_only_where_more_fits() {
    let long = r#"{"error":{"code":"context_length_exceeded","message":"maximum context length is 8192 tokens"}}"#;
    let (small, same, large) = (serve(vec![reply(400, &[], long)]), serve(vec![fine()]), serve(vec![fine()]));
    let endpoints = [at(&small, "openai/gpt-4"), at(&same, "openai/gpt-4"), at(&large, "openai/gpt-4.1")];
    let answered = chat(plan(&endpoints, policy())).await.unwrap();
    assert_eq!((answered.account.endpoint, seen(&same)), (2, 0));
}

#[tokio::test]
async fn an_endpoint_that_keeps_failing_rests() {
    let failing = (0..5).map(|_| again_soon(503, "{}"));
    let ill = serve(failing.chain([fine(), fine()]).collect());
    let well = serve((0..9).map(|_| fine()).collect());
    let endpoints = [at(&ill, "openai/big"), at(&well, "openai/other")];
    let long = Policy { retries: 0, cooldown: Duration::from_mins(1), ..policy() };
    for failures in [1, 2, 3, 3, 3] {
        chat(plan(&endpoints, long.clone())).await.unwrap();
        assert_eq!(seen(&ill), failures);
    }
    // Alone it is asked all the same.
    let short = Policy { cooldown: Duration::from_millis(1), ..long.clone() };
    chat(plan(&endpoints[..1], short)).await.unwrap_err();
    assert_eq!(seen(&ill), 4);
    tokio::time::sleep(Duration::from_millis(20)).await;
    // One more failure is enough after the rest.
    for failures in [5, 5] {
        let answered = chat(plan(&endpoints, long.clone())).await.unwrap();
        assert_eq!((seen(&ill), answered.account.endpoint), (failures, 1));
    }
    // An answer makes it well.
    chat(plan(&endpoints[..1], long.clone())).await.unwrap();
    assert_eq!(chat(plan(&endpoints, long)).await.unwrap().account.endpoint, 0);
}

#[tokio::test]
async fn who_asks_for_a_long_wait_is_left_alone_where_there_is_another() {
    let busy = || reply(429, &[("retry-after", "60")], "{}");
    let ill = serve(vec![busy(), busy()]);
    let well = serve(vec![fine(), fine()]);
    let endpoints = [at(&ill, "openai/big"), at(&well, "openai/other")];
    let start = Instant::now();
    for _ in 0..2 {
        assert_eq!(chat(plan(&endpoints, policy())).await.unwrap().account.endpoint, 1);
    }
    assert!(seen(&ill) == 1 && start.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn nobody_sleeps_past_the_deadline() {
    let busy = || reply(429, &[("retry-after", "90")], "{}");
    let deadline = Some(Duration::from_mins(1));
    let server = serve(vec![busy(), fine()]);
    let start = Instant::now();
    let error = chat(plan(&[at(&server, "openai/big")], Policy { deadline, ..policy() })).await.unwrap_err();
    assert_eq!((error.answer().unwrap().status, seen(&server)), (429, 1));
    assert!(start.elapsed() < Duration::from_secs(30));
    // The deadline cuts an answer short, and nothing is tried after it.
    let deadline = Some(Duration::from_millis(200));
    let slow = || vec![Step::Wait(Duration::from_secs(3))];
    let (slow, well) = (serve(vec![slow(), slow()]), serve(vec![fine()]));
    let endpoints = [at(&slow, "openai/big"), at(&well, "openai/other")];
    for streamed in [false, true] {
        let plan = plan(&endpoints, Policy { deadline, ..policy() });
        let error = if streamed { stream(plan).await.err().unwrap() } else { chat(plan).await.unwrap_err() };
        assert!(error.kind() == Kind::Timeout && error.message().contains("deadline of 0.2 s"), "{error:?}");
    }
    assert_eq!(seen(&well), 0);
}

#[tokio::test]
async fn a_first_byte_that_does_not_come_leads_elsewhere() {
    let first_byte_timeout = Some(Duration::from_millis(150));
    let policy = Policy { first_byte_timeout, retries: 0, ..policy() };
    let slow = || vec![Step::Wait(Duration::from_secs(3))];
    // A stream's head is not yet its first byte of content.
    let silent = || vec![stream_head(), Step::Wait(Duration::from_secs(3))];
    let server = serve(vec![slow(), slow(), silent()]);
    let well = serve(vec![
        fine(),
        vec![stream_head(), word("hi"), stop(), done()],
        vec![stream_head(), word("hi"), stop(), done()],
    ]);
    let endpoints = [at(&server, "openai/big"), at(&well, "openai/other")];
    assert_eq!(chat(plan(&endpoints, policy.clone())).await.unwrap().account.endpoint, 1);
    for _ in 0..2 {
        assert_eq!(stream(plan(&endpoints, policy.clone())).await.unwrap().endpoint, 1);
    }
}

/// Comments as some servers send them to keep a connection alive, for ten seconds.
fn pings(comment: &'static str) -> impl Iterator<Item = Step> {
    (0..200).flat_map(move |_| [Step::Send(comment.into()), Step::Wait(Duration::from_millis(50))])
}

#[tokio::test]
async fn keep_alives_are_no_first_byte_of_a_stream() {
    let anthropic = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
    for (model, ping) in [("openai/big", ": ping\n\n"), ("openai/big", "\n"), ("anthropic/claude-x", anthropic)] {
        let limit = Some(Duration::from_millis(300));
        for (policy, deadline) in [
            (Policy { first_byte_timeout: limit, retries: 0, ..policy() }, false),
            (Policy { deadline: limit, ..policy() }, true),
        ] {
            let server = serve(vec![[stream_head()].into_iter().chain(pings(ping)).collect(), fine()]);
            let start = Instant::now();
            let error = stream(plan(&[at(&server, model)], policy)).await.err().unwrap();
            assert_eq!((error.kind(), error.message().contains("deadline")), (Kind::Timeout, deadline), "{error:?}");
            assert!(start.elapsed() < Duration::from_secs(5) && seen(&server) == 1);
        }
    }
}

#[tokio::test]
async fn keep_alives_alone_do_not_outlive_the_deadline() {
    let begun = |model: &str| -> Vec<Step> {
        if model.starts_with("openai") {
            return vec![stream_head(), role(), word("hi")];
        }
        let events = [
            r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":3}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"hi"}}"#,
        ];
        [stream_head(), event(r#"{"type":"content_block_start","index":0,"content_block":{"type":"text"}}"#)]
            .into_iter()
            .chain(events.into_iter().map(event))
            .collect()
    };
    for (model, ping) in [
        ("openai/big", ": ping\n\n"),
        ("openai/big", ":\n"),
        ("anthropic/claude-x", "event: ping\ndata: {\"type\": \"ping\"}\n\n"),
    ] {
        let server = serve(vec![begun(model).into_iter().chain(pings(ping)).collect()]);
        let policy = Policy { deadline: Some(Duration::from_millis(400)), ..policy() };
        let stream = stream(plan(&[at(&server, model)], policy)).await.unwrap();
        let start = Instant::now();
        let error = loop {
            if let Err(error) = stream.next().await {
                break error;
            }
        };
        assert_eq!((error.kind(), error.partial().unwrap().text.as_str()), (Kind::Timeout, "hi"), "{error:?}");
        assert!(error.message().contains("deadline") && start.elapsed() < Duration::from_secs(5), "{error:?}");
    }
    // What says something may go on, also in pieces.
    let mut steps = vec![stream_head(), role(), word("hi"), Step::Wait(Duration::from_millis(300))];
    let said = r#"{"id":"c","choices":[{"index":0,"delta":{"content":" there"},"finish_reason":null}]}"#;
    for piece in ["event: chunk\n", "data: ", said, "\n\n"] {
        steps.extend([Step::Send(piece.into()), Step::Wait(Duration::from_millis(50))]);
    }
    steps.extend([stop(), done()]);
    let server = serve(vec![steps]);
    let policy = Policy { deadline: Some(Duration::from_millis(200)), ..policy() };
    let stream = stream(plan(&[at(&server, "openai/big")], policy)).await.unwrap();
    assert_eq!(rest_of(&stream).await.len(), 4);
}

#[tokio::test]
async fn half_characters_are_no_reason_to_fail() {
    let whole = r#"{"choices":[{"message":{"content":"cut \ud83e"},"finish_reason":"length"}]}"#;
    let server = serve(vec![
        reply(200, &[("content-type", "application/json")], whole),
        vec![stream_head(), role(), word(r"an owl \ud83e"), word(r"\udd89"), stop(), done()],
    ]);
    let answered = chat(plan(&[at(&server, "openai/big")], policy())).await.unwrap();
    assert_eq!(&answered.answer.body[..], whole.replace(r"\ud83e", r"\ufffd").as_bytes());
    let stream = stream(plan(&[at(&server, "openai/big")], policy())).await.unwrap();
    assert!(rest_of(&stream).await[2].contains(r#""content":"\ud83e\udd89""#));
}

#[tokio::test]
async fn a_message_without_its_end_mark_was_cut() {
    let mut steps = vec![stream_head()];
    for json in [
        r#"{"type":"message_start","message":{"id":"m","usage":{"input_tokens":30,"output_tokens":1}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Owls"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#,
    ] {
        steps.push(event(json));
    }
    let mut whole: Vec<Step> = Vec::new();
    for step in &steps {
        if let Step::Send(bytes) = step {
            whole.push(Step::Send(bytes.clone()));
        }
    }
    whole.extend([event(r#"{"type":"message_stop"}"#), Step::Close]);
    steps.push(Step::Close);
    let server = serve(vec![steps, whole]);
    let endpoint = [at(&server, "anthropic/claude-haiku-4-5")];
    let cut = stream(plan(&endpoint, policy())).await.unwrap();
    let error = loop {
        match cut.next().await {
            Ok(chunk) => assert!(!chunk.unwrap().windows(8).any(|part| part == b"end_turn")),
            Err(error) => break error,
        }
    };
    let partial = error.partial().unwrap();
    assert_eq!((partial.text.as_str(), partial.tokens), ("Owls", Some((30, 2))), "{error:?}");
    let whole = stream(plan(&endpoint, policy())).await.unwrap();
    assert!(rest_of(&whole).await.last().unwrap().contains("end_turn"));
    assert!(!whole.account().unwrap().estimated);
}

#[tokio::test]
async fn the_account_comes_with_the_last_chunk() {
    let asks = r#"{"stream_options":{"include_usage":true},"messages":[]}"#;
    // Asked for or not, the usage is known; unasked, its chunk is for our own account.
    for (body, last) in [(BODY, 4), (asks, 5)] {
        for end in [vec![usage(), done()], vec![usage()]] {
            let mut steps = vec![stream_head(), role(), word("O"), word("wl"), stop()];
            steps.extend(end);
            steps.push(Step::Close);
            let server = serve(vec![steps]);
            let plan = plan(&[at(&server, "openai/gpt-5-mini")], policy());
            let request = Arc::new(ChatRequest::new(body));
            let stream = call::stream(&Http::new().unwrap(), plan, request).await.unwrap();
            let mut count = 0;
            while let Some(chunk) = stream.next().await.unwrap() {
                count += 1;
                assert_eq!(stream.account().is_some(), count == last, "{count} {chunk:?}");
            }
            let account = stream.account().unwrap();
            assert_eq!((count, account.usage.unwrap().prompt_tokens), (last, 9));
            assert!(!account.estimated && account.cost.is_some_and(|cost| !cost.is_zero()), "{account:?}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_breaks_before_its_content_is_tried_again() {
    let broken: [fn() -> Vec<Step>; 5] = [
        || vec![stream_head(), done(), Step::Close],
        || vec![stream_head(), role(), Step::Close],
        || vec![stream_head(), event(r#"{"error":{"message":"overloaded","type":"server_error"}}"#), Step::Close],
        || vec![stream_head(), Step::Close],
        || vec![stream_head(), Step::Send(b"data: <html>\n\n".to_vec()), Step::Close],
    ];
    for breaks in broken {
        let server = serve(vec![breaks(), vec![stream_head(), role(), word("hi"), stop(), usage(), done()]]);
        let stream = stream(plan(&[at(&server, "openai/big")], policy())).await.unwrap();
        assert_eq!(stream.attempts, 2);
        assert_eq!(rest_of(&stream).await.iter().filter(|chunk| chunk.contains("hi")).count(), 1);
        assert_eq!(stream.account().unwrap().attempts, 2);
    }
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_content_is_an_error_with_what_came() {
    let breaks: [fn() -> Vec<Step>; 3] = [
        || vec![Step::Close],
        || vec![event(r#"{"error":{"message":"overloaded","type":"server_error"}}"#), Step::Close],
        || vec![Step::Wait(Duration::from_secs(3))],
    ];
    for end in breaks {
        let mut steps = vec![stream_head(), role(), word("Ow"), word("ls hunt")];
        steps.extend(end());
        let server = serve(vec![steps, fine()]);
        let policy = Policy { between_chunks_timeout: Some(Duration::from_millis(200)), ..policy() };
        let stream = stream(plan(&[at(&server, "openai/gpt-5-mini")], policy)).await.unwrap();
        let mut chunks = 0;
        let error = loop {
            match stream.next().await {
                Ok(chunk) => {
                    chunk.unwrap();
                    chunks += 1;
                }
                Err(error) => break error,
            }
        };
        let partial = error.partial().unwrap();
        assert_eq!((chunks, partial.text.as_str(), seen(&server)), (3, "Owls hunt", 1), "{error:?}");
        let (prompt, completion) = partial.tokens.unwrap();
        assert!(partial.estimated && prompt > 3 && completion == 3, "{partial:?}");
        let account = stream.account().unwrap();
        assert!(account.estimated && account.cost.is_some_and(|cost| !cost.is_zero()));
        assert!(stream.next().await.unwrap().is_none());
        assert!(error.url().unwrap().ends_with("/v1/chat/completions"));
    }
}

#[tokio::test]
async fn a_stream_without_content_is_handed_over_after_a_while() {
    let server = serve(vec![vec![stream_head(), role(), Step::Watch]]);
    let stream = stream(plan(&[at(&server, "openai/big")], policy())).await.unwrap();
    assert!(stream.next().await.unwrap().is_some());
}

#[tokio::test]
async fn who_closes_a_stream_pays_for_what_was_made() {
    let server = serve(vec![vec![stream_head(), role(), word("four"), word("more"), Step::Watch]]);
    let stream = stream(plan(&[at(&server, "openai/gpt-5-mini")], policy())).await.unwrap();
    for _ in 0..3 {
        stream.next().await.unwrap().unwrap();
    }
    assert!(stream.account().is_none());
    stream.close();
    let account = stream.account().unwrap();
    assert!(account.estimated && account.usage.unwrap().completion_tokens == 2, "{account:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_request_wins_when_the_first_is_late() {
    let mut answers: Vec<Vec<Step>> = (0..10).map(|_| fine()).collect();
    answers.extend([vec![Step::Watch], fine()]);
    let server = serve(answers);
    let endpoint = at(&server, "openai/gpt-5-mini");
    let policy = Policy { hedge: true, ..policy() };
    for _ in 0..10 {
        assert_eq!(chat(plan(std::slice::from_ref(&endpoint), policy.clone())).await.unwrap().account.attempts, 1);
    }
    let answered = chat(plan(&[endpoint], policy)).await.unwrap();
    assert_eq!((answered.account.attempts, &answered.answer.body[..]), (2, FINE.as_bytes()));
    tokio::task::block_in_place(|| server.gone.recv_timeout(Duration::from_secs(1))).unwrap();
    assert!(server.connections.load(Ordering::SeqCst) >= 2);
}
