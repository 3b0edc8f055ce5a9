//! Requests as they are told of, and what is seen of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::SystemTime;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::*;
use crate::engine::plan::{Account, Instead, Plan, Policy};
use crate::error::{Denied, Spent};
use crate::gateway::deciding::{Decided, Deciding};
use crate::gateway::setup::Models;
use crate::gateway::target::Target;
use crate::policy::rules::{Budget, Period, Rate, ShareCap};
use crate::policy::{Bank, Budgets, Caller, Key, Policies, Rule, Who};
use crate::pricing::Usage;
use crate::providers::{Asked, resolve};
use crate::routing::Ladder;

const PROMPT: &str = "the caller's secret words";

fn target(name: &str) -> Arc<Target> {
    let asked = Asked { api_base: Some("http://127.0.0.1:9/v1".to_owned()), ..Asked::default() };
    let endpoint = resolve(name, &asked, &|_| Some("k".to_owned())).unwrap();
    Arc::new(Target::new(name.to_owned(), Plan::to(endpoint, Policy::default())))
}

fn setup() -> Setup {
    let targets = vec![target("openai/gpt-5.4-nano"), target("openai/gpt-5.5")];
    let ladder = Ladder::pair(targets[0].name.clone(), targets[1].name.clone());
    let models = Models::new(targets.clone(), Vec::new());
    let rule = Rule { requests: Some(Rate { count: 10, per: Duration::from_mins(1) }), ..Rule::default() };
    let share = ShareCap { model: "openai/gpt-5.5".to_owned(), most: 0.2 };
    let capped =
        Rule { who: Who { team: Some("red".to_owned()), ..Who::default() }, share: Some(share), ..Rule::default() };
    let budget = Budget { limit: Decimal::new(55, 1), period: Period::Day };
    let paid = Rule { budget: Some(budget), ..Rule::default() };
    let budgets = Budgets::new(Bank::open("memory:").unwrap(), std::slice::from_ref(&paid)).unwrap();
    let policies = Policies::new(&[rule, capped]);
    let plain = Setup::plain(Deciding::new(ladder, targets, Vec::new(), None), models);
    Setup { policies, budgets: Some(budgets), ..plain }
}

fn decided() -> Decided {
    Decided {
        router: Some("local".to_owned()),
        win_rate: Some(0.61),
        thresholds: vec![0.5],
        tier: Some("strong".to_owned()),
        took: Duration::from_micros(120),
        text: Some(PROMPT.into()),
        reason: PROMPT.to_owned(),
        ..Decided::by_name(target("openai/gpt-5.5"), "router-local-0.5".to_owned())
    }
}

fn account() -> Account {
    let usage = Usage { prompt_tokens: 100, completion_tokens: 20, cached_tokens: 40, ..Usage::default() };
    Account {
        attempts: 2,
        usage: Some(usage),
        cost: Some(Decimal::new(25, 4)),
        router_cost: Some(Decimal::new(1, 4)),
        saved: Some(Decimal::new(-5, 4)),
        first_content: Some(Duration::from_millis(300)),
        total: Duration::from_millis(800),
        ..Account::default()
    }
}

fn caller() -> Caller {
    let mut key = Key::default();
    (key.id, key.name, key.team) = ("key_1".to_owned(), "n".to_owned(), Some("red".to_owned()));
    Caller { key: Some(Arc::new(key)) }
}

fn event<'a>(caller: &'a Caller, decided: Option<&'a Decided>, account: Option<&'a Account>) -> Event<'a> {
    Event {
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1000),
        id: "req-1",
        protocol: "openai",
        path: "/v1/chat/completions",
        caller,
        decided,
        account,
        error: None,
        status: 200,
        stream: false,
        cancelled: false,
        overhead: Duration::from_micros(150),
        total: Duration::from_millis(801),
        traceparent: None,
    }
}

fn quiet() -> Options {
    Options { logs: Form::Off, ..Options::default() }
}

fn value(text: &str, line: &str) -> Option<f64> {
    let rest = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '))?;
    rest.parse().ok()
}

#[test]
fn a_request_is_counted_once_in_each_family() {
    let seeing = Seeing::new(quiet(), None).unwrap();
    let (caller, decided, account) = (caller(), decided(), account());
    let open = seeing.entered();
    seeing.seen(&event(&caller, Some(&decided), Some(&account)));
    let text = seeing.text(&setup()).unwrap();
    let expected = [
        ("ferroute_requests_total{protocol=\"openai\",path=\"/v1/chat/completions\",status=\"200\"}", 1.0),
        ("ferroute_requests_in_flight", 1.0),
        ("ferroute_decisions_total{router=\"local\",model=\"openai/gpt-5.5\",tier=\"strong\"}", 1.0),
        ("ferroute_win_rate_bucket{router=\"local\",le=\"0.6\"}", 0.0),
        ("ferroute_win_rate_bucket{router=\"local\",le=\"0.65\"}", 1.0),
        ("ferroute_decision_duration_seconds_sum{router=\"local\"}", 0.000_12),
        ("ferroute_router_cost_usd_total{router=\"local\"}", 0.0),
        ("ferroute_calls_total{model=\"openai/gpt-5.5\",team=\"red\",outcome=\"ok\"}", 1.0),
        ("ferroute_tokens_total{model=\"openai/gpt-5.5\",team=\"red\",kind=\"prompt\"}", 100.0),
        ("ferroute_tokens_total{model=\"openai/gpt-5.5\",team=\"red\",kind=\"cached\"}", 40.0),
        ("ferroute_tokens_total{model=\"openai/gpt-5.5\",team=\"red\",kind=\"completion\"}", 20.0),
        ("ferroute_cost_usd_total{model=\"openai/gpt-5.5\",team=\"red\"}", 0.0025),
        // Cost and choosing together, and what was lost beside.
        ("ferroute_baseline_usd_total{model=\"openai/gpt-5.5\",team=\"red\"}", 0.0021),
        ("ferroute_saved_usd{model=\"openai/gpt-5.5\",team=\"red\"}", -0.0005),
        ("ferroute_attempts_total{model=\"openai/gpt-5.5\"}", 2.0),
        ("ferroute_unpriced_calls_total{model=\"openai/gpt-5.5\"}", 0.0),
        ("ferroute_first_content_seconds_bucket{model=\"openai/gpt-5.5\",le=\"0.25\"}", 0.0),
        ("ferroute_first_content_seconds_bucket{model=\"openai/gpt-5.5\",le=\"0.5\"}", 1.0),
        ("ferroute_request_duration_seconds_count{protocol=\"openai\"}", 1.0),
        ("ferroute_overhead_seconds_bucket{protocol=\"openai\",le=\"0.0001\"}", 0.0),
        ("ferroute_overhead_seconds_bucket{protocol=\"openai\",le=\"0.0002\"}", 1.0),
        ("ferroute_cooldown_seconds{model=\"openai/gpt-5.5\",provider=\"openai\"}", 0.0),
    ];
    for (line, number) in expected {
        assert_eq!(value(&text, line), Some(number), "{line}\n{text}");
    }
    assert!(!text.contains(PROMPT) && !text.contains("key_1"));
    drop(open);
    assert_eq!(value(&seeing.text(&setup()).unwrap(), "ferroute_requests_in_flight"), Some(0.0));
}

#[test]
fn policies_are_seen_as_they_stand() {
    let text = Seeing::new(quiet(), None).unwrap().text(&setup()).unwrap();
    let everybody = "{key=\"all\",team=\"all\",model=\"all\"";
    let red = "{key=\"all\",team=\"red\",model=\"openai/gpt-5.5\"}";
    let expected = [
        (format!("ferroute_budget_limit_usd{everybody},period=\"day\"}}"), 5.5),
        (format!("ferroute_budget_spent_usd{everybody},period=\"day\"}}"), 0.0),
        (format!("ferroute_budget_left_usd{everybody},period=\"day\"}}"), 5.5),
        (format!("ferroute_limit_allowed{everybody},kind=\"requests\",seconds=\"60\"}}"), 10.0),
        (format!("ferroute_limit_remaining{everybody},kind=\"requests\",seconds=\"60\"}}"), 10.0),
        (format!("ferroute_share_cap_ratio{red}"), 0.2),
        (format!("ferroute_share_seen_decisions{red}"), 0.0),
    ];
    for (line, number) in expected {
        assert_eq!(value(&text, &line), Some(number), "{line}\n{text}");
    }
}

#[test]
fn an_unpriced_call_is_not_free() {
    let seeing = Seeing::new(quiet(), None).unwrap();
    let (caller, decided) = (Caller::default(), decided());
    let account = Account { cost: None, saved: None, unpriced: Some("openai/gpt-5.5".to_owned()), ..account() };
    seeing.seen(&event(&caller, Some(&decided), Some(&account)));
    let text = seeing.text(&setup()).unwrap();
    assert_eq!(value(&text, "ferroute_unpriced_calls_total{model=\"openai/gpt-5.5\"}"), Some(1.0));
    assert_eq!(value(&text, "ferroute_compared_calls_total{model=\"openai/gpt-5.5\",team=\"none\"}"), Some(0.0));
}

#[test]
fn failures_count_what_they_cost_and_refusals_why() {
    let seeing = Seeing::new(quiet(), None).unwrap();
    let (caller, decided) = (caller(), decided());
    let spent = Spent { attempts: 3, cost: Some(Decimal::new(1, 2)), ..Spent::default() };
    let error = Error::new(Kind::Timeout, PROMPT).with_spent(spent);
    seeing.seen(&Event { error: Some(&error), status: 504, ..event(&caller, Some(&decided), None) });
    let denied = Denied { status: 429, code: "budget_exceeded", retry_after: None };
    let denied = Error::denied(denied, "no");
    seeing.seen(&Event { error: Some(&denied), status: 429, ..event(&caller, None, None) });
    let text = seeing.text(&setup()).unwrap();
    let expected = [
        ("ferroute_errors_total{model=\"openai/gpt-5.5\",kind=\"timeout\"}", 1.0),
        ("ferroute_denied_total{code=\"budget_exceeded\",team=\"red\"}", 1.0),
        ("ferroute_calls_total{model=\"openai/gpt-5.5\",team=\"red\",outcome=\"failed\"}", 1.0),
        ("ferroute_attempts_total{model=\"openai/gpt-5.5\"}", 3.0),
        ("ferroute_cost_usd_total{model=\"openai/gpt-5.5\",team=\"red\"}", 0.01),
    ];
    for (line, number) in expected {
        assert_eq!(value(&text, line), Some(number), "{line}\n{text}");
    }
    assert!(!text.contains(PROMPT));
}

#[test]
fn money_is_counted_where_the_answer_came_from() {
    let seeing = Seeing::new(quiet(), None).unwrap();
    let (caller, decided) = (Caller::default(), decided());
    let instead = Instead { model: "openai/gpt-5.4-mini".to_owned(), base_model: None, tier: None, climbed: false };
    let account = Account { instead: Some(instead), ..account() };
    seeing.seen(&event(&caller, Some(&decided), Some(&account)));
    let text = seeing.text(&setup()).unwrap();
    let taken = "{chosen=\"openai/gpt-5.5\",model=\"openai/gpt-5.4-mini\",why=\"fallback\"}";
    assert_eq!(value(&text, &format!("ferroute_instead_total{taken}")), Some(1.0));
    assert_eq!(value(&text, "ferroute_cost_usd_total{model=\"openai/gpt-5.4-mini\",team=\"none\"}"), Some(0.0025));
    assert!(!text.contains("ferroute_cost_usd_total{model=\"openai/gpt-5.5\""));
}

struct Counting(AtomicUsize);

impl Told for Counting {
    fn told(&self) -> Vec<(String, f64)> {
        let asked = self.0.fetch_add(1, Ordering::Relaxed);
        vec![("ferroute_held_threshold{router=\"mine\"}".to_owned(), 0.25), ("ferroute_asked".to_owned(), asked as f64)]
    }
}

#[test]
fn others_are_asked_at_a_scrape_and_not_at_each() {
    let others = Arc::new(Counting(AtomicUsize::new(0)));
    let seeing = Seeing::new(quiet(), Some(others.clone())).unwrap();
    for _ in 0..3 {
        let text = seeing.text(&setup()).unwrap();
        assert_eq!(value(&text, "ferroute_held_threshold{router=\"mine\"}"), Some(0.25));
    }
    assert_eq!(others.0.load(Ordering::Relaxed), 1);
    let off = Seeing::new(Options { metrics: false, ..quiet() }, None).unwrap();
    assert!(off.text(&setup()).is_none() && off.entered().is_none());
}

/// A collector that answers the first `fails` requests with 503; gives what came, heads and bodies.
fn collector(fails: usize) -> (String, mpsc::Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for (count, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = stream;
            let mut bytes = Vec::new();
            let mut part = [0; 4096];
            let (head, body) = loop {
                let read = stream.read(&mut part).unwrap_or(0);
                bytes.extend_from_slice(&part[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                if read == 0 || length.and_then(|length| length.parse().ok()) == Some(body.len()) {
                    break (head.to_owned(), body.to_owned());
                }
            };
            let status = if count < fails { "503 X" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
            let _ = stream.write_all(answer.as_bytes());
            if count >= fails && tell.send((head, serde_json::from_str(&body).unwrap())).is_err() {
                break;
            }
        }
    });
    (url, told)
}

fn tracing(url: &str) -> Arc<Seeing> {
    let headers = HashMap::from([("x-key".to_owned(), "collector-key".to_owned())]);
    let collector = Collector::at(url, &headers).unwrap();
    Seeing::new(Options { collector: Some(collector), ..quiet() }, None).unwrap()
}

fn attribute<'a>(span: &'a Value, name: &str) -> Option<&'a Value> {
    let found = span["attributes"].as_array()?.iter().find(|each| each["key"] == name)?;
    found["value"].as_object()?.values().next()
}

#[test]
fn a_request_is_three_spans_of_the_callers_trace() {
    let (url, told) = collector(1);
    let seeing = tracing(&url);
    let (caller, decided, account) = (caller(), decided(), account());
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    seeing.seen(&Event { traceparent: Some(traceparent), ..event(&caller, Some(&decided), Some(&account)) });
    let (head, body) = told.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1"), "{head}");
    assert!(head.contains("content-type: application/json") && head.contains("x-key: collector-key"), "{head}");
    assert!(!body.to_string().contains(PROMPT));
    let scope = &body["resourceSpans"][0]["scopeSpans"][0];
    assert_eq!(scope["schemaUrl"], names::SCHEMA);
    let spans = scope["spans"].as_array().unwrap();
    let all: Vec<(&str, u64)> =
        spans.iter().map(|span| (span["name"].as_str().unwrap(), span["kind"].as_u64().unwrap())).collect();
    assert_eq!(all, [("POST /v1/chat/completions", 2), ("route local", 1), ("chat openai/gpt-5.5", 3)]);
    assert!(spans.iter().all(|span| span["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736"));
    assert_eq!(spans[0]["parentSpanId"], "00f067aa0ba902b7");
    assert!(spans[1..].iter().all(|span| span["parentSpanId"] == spans[0]["spanId"]));
    // What the provider was sent is the call's span.
    let onward = seeing.onward("req-1", Some(traceparent)).unwrap();
    let call = spans[2]["spanId"].as_str().unwrap();
    assert_eq!(onward.to_str().unwrap(), format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{call}-01"));
    let of_call = [
        (names::OPERATION, json!("chat")),
        (names::PROVIDER, json!("openai")),
        (names::REQUEST_MODEL, json!("openai/gpt-5.5")),
        (names::INPUT_TOKENS, json!("100")),
        (names::OUTPUT_TOKENS, json!("20")),
        (names::COST, json!(0.0025)),
    ];
    for (name, expected) in &of_call {
        assert_eq!(attribute(&spans[2], name), Some(expected), "{name}");
    }
    assert_eq!(attribute(&spans[1], names::WIN_RATE), Some(&json!(0.61)));
    assert_eq!(attribute(&spans[0], names::TEAM), Some(&json!("red")));
    assert_eq!(spans[0]["startTimeUnixNano"], "1000000000000");
    assert_eq!(spans[0]["endTimeUnixNano"], "1000801000000");
    assert_eq!(spans[2]["startTimeUnixNano"], "1000001000000");
    drop(seeing);
}

#[test]
fn a_collector_that_is_away_holds_nobody_up() {
    let seeing = tracing("http://127.0.0.1:9");
    let (caller, decided, account) = (caller(), decided(), account());
    for _ in 0..5000 {
        seeing.seen(&event(&caller, Some(&decided), Some(&account)));
    }
    let text = seeing.text(&setup()).unwrap();
    let dropped = value(&text, "ferroute_spans_dropped_total").unwrap();
    // Three spans each; what does not fit the queue and the batch in hand is given up.
    assert!(dropped >= 3.0 * (5000.0 - 2048.0 - 2.0 * 256.0), "{dropped}");
    assert_eq!(value(&text, "ferroute_spans_exported_total"), Some(0.0));
    let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let handed_on = seeing.onward("req-1", Some(unsampled)).unwrap();
    assert!(handed_on.to_str().unwrap().ends_with("-00"));
}

#[test]
fn without_a_trace_nothing_is_added_for_the_provider() {
    let seeing = Seeing::new(quiet(), None).unwrap();
    assert!(seeing.onward("req-1", None).is_none());
    let wrong = Seeing::new(Options { share: 1.5, ..quiet() }, None);
    assert_eq!(wrong.map(|_| ()).unwrap_err().kind(), Kind::Value);
}
