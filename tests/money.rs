//! What calls are entered with: tokens, cost, baseline and saving of answers, failures, cancelled calls and hedges.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use ferroute::Error;
use ferroute::engine::call::{self, Answered};
use ferroute::engine::plan::{Plan, Policy, Routed};
use ferroute::engine::stream::Stream;
use ferroute::ledger::{Filter, Ledger, Outcome, Record, Row};
use ferroute::pricing::{Table, Usage, from_pico};
use ferroute::providers::{Asked, ChatRequest, Endpoint, Http, resolve};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use support::{Server, Step, reply, serve, stream_head};

const WEAK: &str = "openai/gpt-5-mini";
const STRONG: &str = "openai/gpt-5.2";
const BODY: &str = r#"{"messages":[{"role":"user","content":"Which animal hunts at night?"}]}"#;

fn answer(prompt: u64, completion: u64, cached: u64) -> String {
    format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"An owl"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":{cached}}}}}}}"#,
        prompt + completion
    )
}

fn at(server: &Server, model: &str) -> Endpoint {
    let key = Some("k".to_owned().into());
    let asked = Asked { api_base: Some(server.url.clone()), api_key: key, ..Asked::default() };
    resolve(model, &asked, &|_| None).unwrap()
}

fn policy() -> Policy {
    let limit = Some(Duration::from_secs(5));
    Policy {
        first_byte_timeout: limit,
        between_chunks_timeout: limit,
        attempt_timeout: limit,
        retries: 1,
        ..Policy::default()
    }
}

fn routed() -> Routed {
    Routed {
        router: Some("mf".into()),
        requested: Some("router-mf-0.5".into()),
        win_rate: Some(0.25),
        baseline: Some(STRONG.into()),
        router_cost: Some(Decimal::new(2, 6)),
        ..Routed::default()
    }
}

struct Book(Arc<Ledger>);

impl Book {
    fn new() -> Self {
        Self(Ledger::open("memory:").unwrap())
    }

    fn plan(&self, endpoints: &[Endpoint], routed: Routed, policy: Policy) -> Plan {
        Plan {
            endpoints: endpoints.into(),
            climb: Arc::default(),
            policy: Arc::new(policy),
            ledger: Some(Arc::clone(&self.0)),
            purse: None,
            routed,
        }
    }

    /// The calls entered, oldest first.
    fn calls(&self) -> Vec<Row> {
        self.0.flush(Duration::from_secs(10)).unwrap();
        let mut calls = self.0.calls(&Filter::default(), None).unwrap();
        calls.sort_by_key(|call| call.id);
        calls
    }

    fn one(&self) -> Row {
        let mut calls = self.calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        calls.remove(0)
    }

    /// Thirty earlier answers of a model.
    fn habit(&self, model: &str, completion: u64, cached: u64) {
        for _ in 0..30 {
            let usage =
                Usage { prompt_tokens: 1000, completion_tokens: completion, cached_tokens: cached, ..Usage::default() };
            self.0.add(Record {
                ts_us: 1,
                key: None,
                session: None,
                router: None,
                requested: None,
                model: model.into(),
                tier: None,
                win_rate: None,
                threshold: None,
                holdout: false,
                usage,
                estimated: false,
                cost: Some(1),
                router_cost: None,
                baseline: None,
                ttft_us: None,
                total_us: 1,
                outcome: Outcome::Ok,
                error: None,
                attempts: 1,
                text: None,
                price_version: String::new(),
                task: None,
                tags: None,
                signs: None,
                response: None,
                asked: ferroute::ledger::Asked::default(),
            });
        }
        self.0.flush(Duration::from_secs(10)).unwrap();
    }
}

async fn chat(plan: Plan) -> Result<Answered, Error> {
    call::chat(&Http::new().unwrap(), plan, Arc::new(ChatRequest::new(BODY))).await
}

async fn stream(plan: Plan) -> Result<Stream, Error> {
    call::stream(&Http::new().unwrap(), plan, Arc::new(ChatRequest::new(BODY))).await
}

fn price(model: &str, prompt_tokens: u64, completion_tokens: u64, cached_tokens: u64) -> Decimal {
    let usage = Usage { prompt_tokens, completion_tokens, cached_tokens, ..Usage::default() };
    Table::shared().cost(&[model], &usage, None).unwrap().total
}

fn dollars(pico: Option<i64>) -> Decimal {
    from_pico(pico.unwrap())
}

#[tokio::test]
async fn an_answer_is_entered_with_what_it_cost_and_saved() {
    let (book, server) = (Book::new(), serve(vec![reply(200, &[], &answer(1000, 500, 200))]));
    let account = chat(book.plan(&[at(&server, WEAK)], routed(), policy())).await.unwrap().account;
    let (cost, baseline) = (price(WEAK, 1000, 500, 200), price(STRONG, 1000, 500, 200));
    let router = Decimal::new(2, 6);
    assert_eq!(
        (account.cost, account.router_cost, account.saved),
        (Some(cost), Some(router), Some(baseline - cost - router))
    );
    assert!(account.saved.unwrap().is_sign_positive() && account.notes[0].contains("same length"), "{account:?}");
    let call = book.one();
    assert_eq!((dollars(call.cost), dollars(call.baseline), dollars(call.router_cost)), (cost, baseline, router));
    assert_eq!((call.model.as_str(), call.router.as_deref(), call.win_rate), (WEAK, Some("mf"), Some(0.25)));
    assert_eq!((call.prompt_tokens, call.completion_tokens, call.cached_tokens), (1000, 500, 200));
    assert_eq!((call.outcome, call.estimated, call.attempts), (Outcome::Ok, false, 1));
    assert!(call.ttft_ms.is_some() && call.total_ms > 0.0);
}

#[tokio::test]
async fn a_dearer_router_a_cold_cache_and_longer_answers_are_a_loss() {
    let book = Book::new();
    book.habit(STRONG, 10, 950);
    book.habit(WEAK, 2000, 0);
    let server = serve(vec![reply(200, &[], &answer(1000, 2000, 0))]);
    let routed = Routed { router_cost: Some(Decimal::new(1, 2)), ..routed() };
    let account = chat(book.plan(&[at(&server, WEAK)], routed, policy())).await.unwrap().account;
    let expected = price(STRONG, 1000, 10, 950) - price(WEAK, 1000, 2000, 0) - Decimal::new(1, 2);
    assert!(account.saved == Some(expected) && expected.is_sign_negative(), "{account:?} {expected}");
    assert!(account.notes[0].contains("usual lengths"), "{:?}", account.notes);
    let call = book.calls().pop().unwrap();
    assert_eq!(dollars(call.baseline) - dollars(call.cost) - dollars(call.router_cost), expected);
}

#[tokio::test]
async fn when_the_baseline_answers_the_extra_costs_are_a_loss() {
    let (book, server) = (Book::new(), serve(vec![reply(200, &[], &answer(1000, 500, 0))]));
    let account = chat(book.plan(&[at(&server, STRONG)], routed(), policy())).await.unwrap().account;
    assert_eq!(account.saved, Some(Decimal::new(-2, 6)));
    assert_eq!(book.one().baseline, book.one().cost);
}

#[tokio::test]
async fn what_has_no_price_has_no_cost_and_no_saving() {
    let book = Book::new();
    let server = serve((0..3).map(|_| reply(200, &[], &answer(10, 5, 0))).collect());
    let account = chat(book.plan(&[at(&server, "openai/nobody-knows-it")], routed(), policy())).await.unwrap().account;
    assert_eq!((account.cost, account.saved), (None, None));
    assert_eq!(account.unpriced.as_deref(), Some("openai/nobody-knows-it"));
    // And nothing is said of how a saving was estimated.
    assert_eq!(
        account.notes,
        ["no price is known for `openai/nobody-knows-it`: the call counts as unpriced, not as free"]
    );
    let unpriced = Routed { router_cost: None, ..routed() };
    let account = chat(book.plan(&[at(&server, WEAK)], unpriced, policy())).await.unwrap().account;
    assert!(account.cost.is_some() && account.saved.is_none());
    let account = chat(book.plan(&[at(&server, WEAK)], Routed::default(), policy())).await.unwrap().account;
    assert!(account.cost.is_some() && account.saved.is_none() && account.notes.is_empty());
    let costs: Vec<_> = book.calls().iter().map(|call| call.cost.is_some()).collect();
    assert_eq!(costs, [false, true, true]);
}

#[tokio::test]
async fn a_failure_is_entered_and_costs_nothing_unless_its_answer_was_lost() {
    let book = Book::new();
    let server = serve(vec![reply(401, &[], "{}")]);
    chat(book.plan(&[at(&server, WEAK)], routed(), policy())).await.unwrap_err();
    let call = book.one();
    assert_eq!(
        (call.outcome, call.error.as_deref(), call.cost, call.prompt_tokens),
        (Outcome::Failed, Some("status 401"), Some(0), 0)
    );
    assert_eq!(call.baseline, Some(0));
    // The answer came too late to be heard.
    let book = Book::new();
    let server = serve(vec![vec![Step::Wait(Duration::from_secs(2))]]);
    let policy = Policy { attempt_timeout: Some(Duration::from_millis(100)), retries: 0, ..policy() };
    let error = chat(book.plan(&[at(&server, WEAK)], routed(), policy)).await.unwrap_err();
    let call = book.one();
    let spent = error.spent().unwrap();
    assert_eq!(
        (spent.attempts, spent.cost, spent.router_cost),
        (1, Some(dollars(call.cost)), Some(Decimal::new(2, 6)))
    );
    assert_eq!(spent.saved, Some(-dollars(call.cost) - Decimal::new(2, 6)));
    assert!(call.error.as_deref() == Some("timeout") && call.estimated && call.prompt_tokens > 3, "{call:?}");
    assert_eq!(dollars(call.cost), price(WEAK, call.prompt_tokens as u64, 0, 0));
}

#[tokio::test]
async fn a_request_that_could_not_be_made_is_no_call() {
    let book = Book::new();
    let server = serve(Vec::new());
    let plan = book.plan(&[at(&server, WEAK)], routed(), policy());
    call::chat(&Http::new().unwrap(), plan, Arc::new(ChatRequest::new("[]"))).await.unwrap_err();
    assert!(book.calls().is_empty());
}

#[tokio::test]
async fn a_retry_whose_first_answer_was_lost_is_counted() {
    let book = Book::new();
    let cut = vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_vec()), Step::Close];
    let server = serve(vec![cut, reply(200, &[], &answer(1000, 500, 0))]);
    let account = chat(book.plan(&[at(&server, WEAK)], routed(), policy())).await.unwrap().account;
    let once = price(WEAK, 1000, 500, 0);
    assert_eq!((account.attempts, account.cost), (2, Some(once + once)));
    assert!(account.notes.iter().any(|note| note.contains("may be on the bill")), "{:?}", account.notes);
    // A refusal is not billed.
    let book = Book::new();
    let server = serve(vec![reply(503, &[("retry-after-ms", "1")], ""), reply(200, &[], &answer(1000, 500, 0))]);
    let account = chat(book.plan(&[at(&server, WEAK)], routed(), policy())).await.unwrap().account;
    assert_eq!((account.attempts, account.cost), (2, Some(once)));
}

#[tokio::test]
async fn a_dropped_call_is_entered_as_cancelled() {
    let (book, server) = (Book::new(), serve(vec![vec![Step::Watch]]));
    let call = chat(book.plan(&[at(&server, WEAK)], routed(), policy()));
    tokio::time::timeout(Duration::from_millis(200), call).await.unwrap_err();
    let call = book.one();
    assert_eq!((call.outcome, call.estimated, call.attempts, call.completion_tokens), (Outcome::Cancelled, true, 1, 0));
    assert_eq!(dollars(call.cost), price(WEAK, call.prompt_tokens as u64, 0, 0));
    assert_eq!(dollars(call.baseline), price(STRONG, call.prompt_tokens as u64, 0, 0));
}

fn event(json: &str) -> Step {
    Step::Send(format!("data: {json}\n\n").into_bytes())
}

fn word(text: &str) -> Step {
    event(&format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#))
}

fn stop() -> Step {
    event(r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#)
}

fn usage(prompt: u64, completion: u64) -> Step {
    event(&format!(
        r#"{{"id":"c","choices":[],"usage":{{"prompt_tokens":{prompt},"completion_tokens":{completion}}}}}"#
    ))
}

fn done() -> Step {
    Step::Send(b"data: [DONE]\n\n".to_vec())
}

#[tokio::test]
async fn a_stream_is_entered_once_however_it_ends() {
    for way in ["read", "close", "drop", "break", "silent about tokens"] {
        let book = Book::new();
        let mut steps = vec![stream_head(), word("An o"), word("wl")];
        match way {
            "read" => steps.extend([stop(), usage(1000, 500), done()]),
            "break" => steps.push(Step::Close),
            "silent about tokens" => steps.extend([stop(), done()]),
            _ => steps.push(Step::Watch),
        }
        let server = serve(vec![steps]);
        let stream = stream(book.plan(&[at(&server, WEAK)], routed(), policy())).await.unwrap();
        assert!(stream.next().await.unwrap().is_some() && stream.next().await.unwrap().is_some());
        match way {
            "close" => stream.close(),
            "drop" => {}
            "break" => drop(stream.next().await.unwrap_err()),
            _ => while stream.next().await.unwrap().is_some() {},
        }
        drop(stream);
        let call = book.one();
        let outcome = match way {
            "read" | "silent about tokens" => Outcome::Ok,
            "break" => Outcome::Failed,
            _ => Outcome::Cancelled,
        };
        assert_eq!((call.outcome, call.estimated), (outcome, way != "read"), "{way}");
        let tokens = (call.prompt_tokens as u64, call.completion_tokens as u64);
        assert_eq!(tokens.1, if way == "read" { 500 } else { 2 }, "{way}");
        assert_eq!(dollars(call.cost), price(WEAK, tokens.0, tokens.1, 0), "{way}");
        assert!(call.ttft_ms.is_some(), "{way}");
    }
}

/// The chunks of a stream.
async fn chunks_of(book: &Book, server: &Server, body: &str) -> (Vec<Value>, Stream) {
    let plan = book.plan(&[at(server, WEAK)], routed(), policy());
    let request = Arc::new(ChatRequest::new(body.to_owned()));
    let stream = call::stream(&Http::new().unwrap(), plan, request).await.unwrap();
    let mut chunks = Vec::new();
    while let Some(data) = stream.next().await.unwrap() {
        chunks.push(serde_json::from_slice(&data).unwrap());
    }
    (chunks, stream)
}

#[tokio::test]
async fn a_whole_answer_where_a_stream_was_asked_for_is_handed_on_as_one() {
    let form = [("content-type", "application/json")];
    let (book, server) = (Book::new(), serve(vec![reply(200, &form, &answer(1000, 500, 0))]));
    let (chunks, read) = chunks_of(&book, &server, BODY).await;
    let chunk =
        |choice: Value| json!({"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[choice]});
    let says = json!({"index":0,"delta":{"role":"assistant","content":"An owl"},"logprobs":null,"finish_reason":null});
    assert_eq!(chunks, [chunk(says), chunk(json!({"index":0,"delta":{},"finish_reason":"stop"}))]);
    let account = read.account().unwrap();
    assert_eq!((account.cost, account.estimated), (Some(price(WEAK, 1000, 500, 0)), false));
    let call = book.one();
    assert_eq!((call.outcome, call.prompt_tokens, dollars(call.cost)), (Outcome::Ok, 1000, price(WEAK, 1000, 500, 0)));

    // Several choices, calls, which get an index, and the usage for whoever asks for it.
    let called = |id: &str| json!({"id":id,"type":"function","function":{"name":"f","arguments":"{}"}});
    let more = json!({"choices":[
        {"message":{"content":null,"tool_calls":[called("a"),called("b")]},"finish_reason":"tool_calls"},
        {"index":1,"message":{"content":"x"},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":3,"completion_tokens":2}});
    let asked = BODY.replacen('{', r#"{"stream":true,"stream_options":{"include_usage":true},"#, 1);
    let (book, server) = (Book::new(), serve(vec![reply(200, &form, &more.to_string())]));
    let (chunks, _) = chunks_of(&book, &server, &asked).await;
    assert_eq!(chunks.len(), 5, "{chunks:?}");
    let calls = &chunks[0]["choices"][0]["delta"]["tool_calls"];
    assert_eq!((&calls[0]["index"], &calls[1]["index"], &calls[1]["id"]), (&json!(0), &json!(1), &json!("b")));
    assert_eq!((&chunks[3]["choices"][0]["index"], &chunks[4]["usage"]), (&json!(1), &more["usage"]));

    // What holds no answer is an error, and its tokens are on the bill.
    let nothing = json!({"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":500}}).to_string();
    let (book, server) = (Book::new(), serve(vec![reply(200, &form, &nothing)]));
    // A second try would find a server that has nothing more to say, and count as sent.
    let once = Policy { retries: 0, ..policy() };
    let error = stream(book.plan(&[at(&server, WEAK)], routed(), once)).await.map(drop).unwrap_err();
    let spent = error.spent().unwrap();
    assert_eq!((spent.attempts, spent.cost), (1, Some(price(WEAK, 1000, 500, 0))));
    let call = book.one();
    assert_eq!((call.outcome, dollars(call.cost)), (Outcome::Failed, price(WEAK, 1000, 500, 0)));
}

#[tokio::test]
async fn a_stream_left_with_everything_made_costs_what_the_provider_says() {
    let book = Book::new();
    let server = serve(vec![vec![stream_head(), word("a"), word("b"), stop(), usage(1000, 500), done()]]);
    let stream = stream(book.plan(&[at(&server, WEAK)], routed(), policy())).await.unwrap();
    stream.next().await.unwrap().unwrap();
    while stream.usage().is_none() {
        tokio::task::yield_now().await;
    }
    stream.close();
    let call = book.one();
    assert_eq!((call.outcome, call.estimated, call.completion_tokens), (Outcome::Cancelled, false, 500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_requests_of_a_hedge_are_entered() {
    let fine = || reply(200, &[], &answer(1000, 500, 0));
    let mut answers: Vec<Vec<Step>> = (0..10).map(|_| fine()).collect();
    answers.extend([vec![Step::Watch], fine()]);
    let (book, server) = (Book::new(), serve(answers));
    let policy = Policy { hedge: true, ..policy() };
    let endpoint = at(&server, WEAK);
    let mut account = None;
    for _ in 0..11 {
        let plan = book.plan(std::slice::from_ref(&endpoint), routed(), policy.clone());
        account = Some(chat(plan).await.unwrap().account);
    }
    let (account, once) = (account.unwrap(), price(WEAK, 1000, 500, 0));
    // The call has cost both, whichever of them is whose record.
    assert_eq!((account.attempts, account.cost), (2, Some(once + once)));
    let calls = book.calls();
    let losers: Vec<_> = calls.iter().filter(|call| call.outcome == Outcome::Hedged).collect();
    assert!(calls.len() == 12 && losers.len() == 1 && losers[0].estimated, "{calls:?}");
    assert_eq!((dollars(losers[0].cost), losers[0].baseline), (once, Some(0)));
    let summary = book.0.spend(&Filter::default()).unwrap();
    assert_eq!(summary.all.attempts, 12);
    let alone = price(STRONG, 1000, 500, 0) - once - Decimal::new(2, 6);
    assert_eq!(account.saved, Some(alone - once));
    assert_eq!(from_pico(summary.all.saved as i64), alone * Decimal::from(11) - once);
}

#[tokio::test]
async fn several_answers_of_a_model_that_gives_one_are_merged_and_all_paid() {
    let three = r#"{"n":3,"messages":[{"role":"user","content":"x"}]}"#;
    let (book, server) = (Book::new(), serve((0..3).map(|_| reply(200, &[], &answer(100, 50, 10))).collect()));
    let endpoint = at(&server, "groq/llama-3.3-70b-versatile");
    let plan = book.plan(std::slice::from_ref(&endpoint), routed(), policy());
    let done = call::chat(&Http::new().unwrap(), plan, Arc::new(ChatRequest::new(three))).await.unwrap();
    let body: serde_json::Value = serde_json::from_slice(&done.answer.body).unwrap();
    let indexes: Vec<_> =
        body["choices"].as_array().unwrap().iter().map(|choice| choice["index"].as_u64().unwrap()).collect();
    assert_eq!((indexes, done.account.attempts), (vec![0, 1, 2], 3));
    assert_eq!((&body["usage"]["prompt_tokens"], &body["usage"]["total_tokens"]), (&300.into(), &450.into()));
    let call = book.one();
    assert_eq!((call.prompt_tokens, call.completion_tokens, call.cached_tokens, call.attempts), (300, 150, 30, 3));
    assert!(server.requests.lock().unwrap().iter().all(|request| !request.contains(r#""n":3"#)));
}

#[tokio::test]
async fn several_streams_of_a_model_that_gives_one_are_merged() {
    let two =
        r#"{"n":2,"stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"x"}]}"#;
    let one = |name: &str| vec![stream_head(), word(name), word("!"), stop(), usage(100, 7), done(), Step::Close];
    let (book, server) = (Book::new(), serve(vec![one("A"), one("A")]));
    let plan = book.plan(&[at(&server, "groq/llama-3.3-70b-versatile")], routed(), policy());
    let stream = call::stream(&Http::new().unwrap(), plan, Arc::new(ChatRequest::new(two))).await.unwrap();
    let mut texts = [String::new(), String::new()];
    let mut told = Vec::new();
    let mut ends = 0;
    while let Some(data) = stream.next().await.unwrap() {
        let chunk: serde_json::Value = serde_json::from_slice(&data).unwrap();
        for choice in chunk["choices"].as_array().unwrap() {
            texts[choice["index"].as_u64().unwrap() as usize] +=
                choice["delta"]["content"].as_str().unwrap_or_default();
            ends += usize::from(choice["finish_reason"].is_string());
        }
        if chunk["usage"].is_object() {
            told.push((chunk["usage"]["prompt_tokens"].clone(), stream.account().is_some()));
        }
    }
    assert_eq!((texts, ends, told), (["A!".to_owned(), "A!".to_owned()], 2, vec![(200.into(), true)]));
    let call = book.one();
    assert_eq!((call.prompt_tokens, call.completion_tokens, call.outcome), (200, 14, Outcome::Ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_entered_once_whenever_it_is_left() {
    const CALLS: u64 = 300;
    let (book, server) = (Book::new(), serve((0..CALLS).map(|_| reply(200, &[], &answer(1000, 500, 0))).collect()));
    let http = Arc::new(Http::new().unwrap());
    let endpoint = at(&server, WEAK);
    let calls: Vec<_> = (0..CALLS)
        .map(|number| {
            let (http, plan) = (Arc::clone(&http), book.plan(std::slice::from_ref(&endpoint), routed(), policy()));
            // Some are left at once, some after their answer, most somewhere between.
            let patience = Duration::from_micros(number % 13 * 400);
            tokio::spawn(async move {
                let call = call::chat(&http, plan, Arc::new(ChatRequest::new(BODY)));
                tokio::time::timeout(patience, call).await.is_ok_and(|answered| answered.is_ok())
            })
        })
        .collect();
    let mut answered = 0;
    for call in calls {
        answered += u64::from(call.await.unwrap());
    }
    book.0.flush(Duration::from_secs(10)).unwrap();
    let all = book.0.spend(&Filter::default()).unwrap().all;
    assert_eq!((all.calls, all.ok, all.cancelled, all.failed), (CALLS, answered, CALLS - answered, 0));
    assert!(all.completion_tokens == u128::from(answered) * 500 && all.unpriced == 0);
}
