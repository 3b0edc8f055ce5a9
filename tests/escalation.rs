//! Answers that show a sign of failure: who is asked next, what it costs, and what the book says of it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ferroute::engine::call::{self, Answered};
use ferroute::engine::plan::{Climb, Escalation, Judge, Plan, Policy, Routed, Unsaid};
use ferroute::engine::stream::Stream;
use ferroute::ledger::{Filter, Ledger, Outcome, Row, Signs};
use ferroute::pricing::{Table, Usage, from_pico};
use ferroute::providers::{Asked, ChatRequest, Endpoint, Http, resolve};
use ferroute::{Error, Kind};
use rust_decimal::Decimal;
use serde_json::json;
use support::{Server, Step, reply, serve, stream_head};

const CHEAP: &str = "openai/gpt-5-nano";
const MID: &str = "openai/gpt-5-mini";
const DEAR: &str = "openai/gpt-5.2";
const TURN: &str = "Which animal hunts at night?";

fn body() -> String {
    json!({"messages": [{"role": "user", "content": TURN}]}).to_string()
}

fn says(content: &str, finish: &str, completion: u64) -> Vec<Step> {
    let answer = json!({
        "id": "c", "choices": [{"index": 0, "message": {"content": content}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": completion}});
    reply(200, &[], &answer.to_string())
}

fn owl() -> Vec<Step> {
    says("An owl", "stop", 10)
}

fn empty() -> Vec<Step> {
    says("", "stop", 3)
}

fn at(server: &Server, model: &str) -> Endpoint {
    let asked = Asked { api_base: Some(server.url.clone()), api_key: Some("k".to_owned().into()), ..Asked::default() };
    resolve(model, &asked, &|_| None).unwrap()
}

fn on(signs: Signs) -> Policy {
    let limit = Some(Duration::from_secs(5));
    Policy {
        first_byte_timeout: limit,
        between_chunks_timeout: limit,
        attempt_timeout: limit,
        retries: 0,
        escalate_on: Escalation { signs, judge: None },
        ..Policy::default()
    }
}

/// A ladder of servers, one a rung, and its book.
struct Ladder {
    servers: Vec<Server>,
    book: Arc<Ledger>,
}

impl Ladder {
    fn of(rungs: Vec<Vec<Vec<Step>>>) -> Self {
        Self { servers: rungs.into_iter().map(serve).collect(), book: Ledger::open("memory:").unwrap() }
    }

    fn plan(&self, policy: Policy) -> Plan {
        let names = [(CHEAP, "cheap"), (MID, "mid"), (DEAR, "expensive")];
        let endpoints: Vec<_> = self.servers.iter().zip(names).map(|(server, (model, _))| at(server, model)).collect();
        Plan {
            climb: Arc::new(Climb {
                rungs: names[1..endpoints.len()].iter().map(|(_, tier)| Some((*tier).to_owned())).collect(),
                ..Climb::default()
            }),
            endpoints: endpoints.into(),
            policy: Arc::new(policy),
            ledger: Some(Arc::clone(&self.book)),
            purse: None,
            routed: Routed {
                router: Some("rules".into()),
                tier: Some("cheap".into()),
                task: Some("simple_qa".into()),
                baseline: Some(DEAR.into()),
                router_cost: Some(Decimal::ZERO),
                ..Routed::default()
            },
        }
    }

    fn asked(&self) -> Vec<usize> {
        self.servers.iter().map(|server| server.requests.lock().unwrap().len()).collect()
    }

    fn calls(&self) -> Vec<Row> {
        self.book.flush(Duration::from_secs(10)).unwrap();
        let mut calls = self.book.calls(&Filter::default(), None).unwrap();
        calls.sort_by_key(|call| call.id);
        calls
    }

    /// Outcome, rung, signs and requests of each call entered.
    fn told(&self) -> Vec<(Outcome, String, String, i64)> {
        let told = |call: Row| (call.outcome, call.tier.unwrap(), call.signs.unwrap_or("-".into()), call.attempts);
        self.calls().into_iter().map(told).collect()
    }
}

async fn chat(plan: Plan) -> Result<Answered, Error> {
    call::chat(&Http::new().unwrap(), plan, Arc::new(ChatRequest::new(body()))).await
}

async fn stream(plan: Plan) -> Result<Stream, Error> {
    call::stream(&Http::new().unwrap(), plan, Arc::new(ChatRequest::new(body()))).await
}

fn text(answered: &Answered) -> String {
    String::from_utf8_lossy(&answered.answer.body).into_owned()
}

fn price(model: &str, completion_tokens: u64) -> Decimal {
    let usage = Usage { prompt_tokens: 1000, completion_tokens, ..Usage::default() };
    Table::shared().cost(&[model], &usage, None).unwrap().total
}

fn line(outcome: Outcome, tier: &str, signs: &str, attempts: i64) -> (Outcome, String, String, i64) {
    (outcome, tier.into(), signs.into(), attempts)
}

#[tokio::test]
async fn the_next_rung_is_asked_and_both_are_accounted() {
    let ladder = Ladder::of(vec![vec![empty()], vec![owl()], vec![]]);
    let answered = chat(ladder.plan(on(Signs::EMPTY))).await.unwrap();
    assert!(text(&answered).contains("An owl"));
    let account = &answered.account;
    let (first, second, baseline) = (price(CHEAP, 3), price(MID, 10), price(DEAR, 10));
    assert_eq!((account.endpoint, account.attempts), (1, 2));
    assert_eq!(account.cost, Some(first + second));
    assert_eq!(account.saved, Some(baseline - first - second));
    assert!(
        account.notes.contains(&format!("`{CHEAP}` gave an empty answer: `{MID}` was asked")),
        "{:?}",
        account.notes
    );
    assert_eq!(ladder.asked(), [1, 1, 0]);
    assert_eq!(ladder.told(), [line(Outcome::Escalated, "cheap", "empty", 1), line(Outcome::Ok, "mid", "", 1)]);
    let calls = ladder.calls();
    assert_eq!((from_pico(calls[0].cost.unwrap()), from_pico(calls[1].cost.unwrap())), (first, second));
    assert!(calls.iter().all(|call| call.task.as_deref() == Some("simple_qa")));
    let spent = ladder.book.spend(&Filter::default()).unwrap().all;
    assert_eq!((spent.calls, spent.escalated, spent.attempts), (1, 1, 2));
    assert_eq!(Some(Decimal::from(spent.saved) / Decimal::from(1_000_000_000_000_i64)), account.saved);
    let failed = ladder.book.failures(&Filter::default()).unwrap().groups;
    assert_eq!((failed[0].tier.as_deref(), failed[0].counts.failed, failed[0].counts.escalated), (Some("cheap"), 1, 1));
    assert_eq!((failed[1].tier.as_deref(), failed[1].counts.calls, failed[1].counts.failed), (Some("mid"), 1, 0));
}

#[tokio::test]
async fn the_last_answer_is_handed_on_whatever_it_is() {
    let refusal = || says("I'm sorry, but I can't help with that.", "stop", 9);
    let ladder = Ladder::of(vec![vec![empty()], vec![says("An ow", "length", 2)], vec![refusal()]]);
    let all = Signs::EMPTY.and(Signs::REFUSAL).and(Signs::TRUNCATED);
    let answered = chat(ladder.plan(on(all))).await.unwrap();
    assert!(text(&answered).contains("can't help"));
    assert_eq!(answered.account.cost, Some(price(CHEAP, 3) + price(MID, 2) + price(DEAR, 9)));
    assert_eq!(
        ladder.told(),
        [
            line(Outcome::Escalated, "cheap", "empty", 1),
            line(Outcome::Escalated, "mid", "truncated", 1),
            line(Outcome::Ok, "expensive", "refusal", 1)
        ]
    );
    // The strongest model itself answered: the others are a loss.
    assert_eq!(answered.account.saved, Some(-(price(CHEAP, 3) + price(MID, 2))));
}

#[tokio::test]
async fn only_wanted_signs_lead_on() {
    for policy in [on(Signs::TRUNCATED), on(Signs::NONE)] {
        let ladder = Ladder::of(vec![vec![empty()], vec![owl()]]);
        assert_eq!(chat(ladder.plan(policy)).await.unwrap().account.attempts, 1);
        assert_eq!(ladder.told(), [line(Outcome::Ok, "cheap", "empty", 1)]);
    }
    // Asked for by its name, a model has no rung above it.
    let ladder = Ladder::of(vec![vec![empty()]]);
    assert_eq!(chat(ladder.plan(on(Signs::EMPTY))).await.unwrap().account.attempts, 1);
}

#[tokio::test]
async fn rungs_that_do_not_answer_are_passed_and_an_answer_is_never_lost() {
    let down = || reply(503, &[], "{}");
    let ladder = Ladder::of(vec![vec![empty()], vec![down()], vec![owl()]]);
    let answered = chat(ladder.plan(on(Signs::EMPTY))).await.unwrap();
    assert_eq!((answered.account.endpoint, answered.account.attempts), (2, 3));
    let said = answered.account.notes.join("\n");
    assert!(
        said.contains(&format!("`{MID}` was asked in vain")) && said.contains(&format!("`{DEAR}` was asked")),
        "{said}"
    );
    assert_eq!(
        ladder.told(),
        [
            line(Outcome::Escalated, "cheap", "empty", 1),
            line(Outcome::Vain, "mid", "-", 1),
            line(Outcome::Ok, "expensive", "", 1)
        ]
    );
    let vain = &ladder.calls()[1];
    assert_eq!((vain.model.as_str(), vain.error.as_deref(), vain.cost), (MID, Some("status 503"), Some(0)));
    let failures = ladder.book.failures(&Filter::default()).unwrap().groups;
    let mid = failures.iter().find(|group| group.tier.as_deref() == Some("mid")).unwrap();
    assert_eq!((mid.counts.errors, mid.counts.calls), (1, 0));
    let spent = ladder.book.spend(&Filter::default()).unwrap().all;
    assert_eq!((spent.calls, spent.failed, spent.escalated, spent.attempts), (1, 0, 1, 3));

    let ladder = Ladder::of(vec![vec![empty()], vec![down()], vec![down()]]);
    let answered = chat(ladder.plan(on(Signs::EMPTY))).await.unwrap();
    assert_eq!((answered.account.endpoint, answered.account.attempts), (0, 3));
    assert_eq!(answered.account.cost, Some(price(CHEAP, 3)));
    assert_eq!(
        ladder.told(),
        [
            line(Outcome::Vain, "mid", "-", 1),
            line(Outcome::Vain, "expensive", "-", 1),
            line(Outcome::Ok, "cheap", "empty", 1)
        ]
    );
}

#[tokio::test]
async fn a_rung_that_broke_off_is_on_the_bill_under_its_own_name() {
    let cut = vec![Step::Send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec()), Step::Close];
    let ladder = Ladder::of(vec![vec![empty()], vec![cut], vec![owl()]]);
    let answered = chat(ladder.plan(on(Signs::EMPTY))).await.unwrap();
    let guess = price(MID, 10);
    assert_eq!(answered.account.cost, Some(price(CHEAP, 3) + guess + price(DEAR, 10)));
    let calls = ladder.calls();
    let vain = &calls[1];
    assert_eq!((vain.outcome, vain.tier.as_deref(), vain.estimated), (Outcome::Vain, Some("mid"), true));
    assert_eq!(vain.cost.map(from_pico), Some(guess));
    assert_eq!(calls[2].cost.map(from_pico), Some(price(DEAR, 10)));
    assert!(answered.account.notes.iter().any(|note| note.starts_with("1 request gave no answer")));
}

#[tokio::test]
async fn the_deadline_holds() {
    let slow = |answer: Vec<Step>| [vec![Step::Wait(Duration::from_secs(3))], answer].concat_steps();
    let ladder = Ladder::of(vec![vec![empty()], vec![slow(owl())]]);
    let policy = Policy { deadline: Some(Duration::from_millis(300)), ..on(Signs::EMPTY) };
    let begun = Instant::now();
    let answered = chat(ladder.plan(policy)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!((answered.account.endpoint, answered.account.attempts), (0, 2));
}

#[tokio::test]
async fn with_no_time_left_no_other_rung_is_asked_and_none_is_paid_for() {
    let limit = Duration::from_millis(400);
    let policy = || Policy { deadline: Some(limit), ..on(Signs::EMPTY) };
    let silent = || vec![Step::Wait(Duration::from_secs(3))];
    let paid = |ladder: &Ladder| {
        let lines: Vec<_> =
            ladder.told().into_iter().map(|(outcome, tier, _, attempts)| (outcome, tier, attempts)).collect();
        assert_eq!(lines, [(Outcome::Vain, "mid".into(), 1), (Outcome::Ok, "cheap".into(), 1)]);
        assert_eq!(ladder.asked(), [1, 1, 0]);
    };
    let ladder = Ladder::of(vec![vec![empty()], vec![silent()], vec![owl()]]);
    let begun = Instant::now();
    let account = chat(ladder.plan(policy())).await.unwrap().account;
    assert!(begun.elapsed() < 3 * limit);
    assert_eq!((account.endpoint, account.attempts), (0, 2));
    assert_eq!(account.cost, Some(price(CHEAP, 3) + price(MID, 3)), "the one that was asked may be on the bill");
    assert!(account.notes.iter().any(|note| note.contains("no time left to ask another")), "{:?}", account.notes);
    paid(&ladder);

    let nothing = streamed(vec![delta(&json!({}), Some("stop"))]);
    let owl = streamed(vec![delta(&json!({"content": "An owl"}), None), delta(&json!({}), Some("stop"))]);
    let ladder = Ladder::of(vec![vec![nothing], vec![silent()], vec![owl]]);
    let opened = stream(ladder.plan(policy())).await.unwrap();
    assert_eq!((words(&opened).await, opened.attempts), (String::new(), 2));
    assert_eq!(opened.account().unwrap().cost, Some(price(CHEAP, 3) + price(MID, 3)));
    paid(&ladder);
}

#[tokio::test]
async fn rungs_that_are_left_out_are_named_when_an_answer_leads_to_them() {
    let said = "`x` was not asked: takes no images".to_owned();
    let climb =
        |rungs: Vec<Option<String>>| Arc::new(Climb { rungs, left_out: vec![said.clone()], ..Climb::default() });
    for told in [true, false] {
        let answer = || if told { empty() } else { owl() };
        // With nobody above, and with another rung.
        for ladder in [Ladder::of(vec![vec![answer()]]), Ladder::of(vec![vec![answer()], vec![owl()]])] {
            let plan = ladder.plan(on(Signs::EMPTY));
            let plan = Plan { climb: climb(plan.climb.rungs.clone()), ..plan };
            let notes = chat(plan).await.unwrap().account.notes;
            assert_eq!(notes.iter().filter(|note| **note == said).count(), usize::from(told), "{notes:?}");
        }
    }
}

trait ConcatSteps {
    fn concat_steps(self) -> Vec<Step>;
}

impl<const N: usize> ConcatSteps for [Vec<Step>; N] {
    fn concat_steps(self) -> Vec<Step> {
        self.into_iter().flatten().collect()
    }
}

#[tokio::test]
async fn a_caller_who_leaves_has_paid_for_both() {
    let ladder = Ladder::of(vec![vec![empty()], vec![vec![Step::Wait(Duration::from_secs(5))]]]);
    let plan = ladder.plan(on(Signs::EMPTY));
    let left = tokio::time::timeout(Duration::from_millis(500), chat(plan)).await;
    assert!(left.is_err());
    assert_eq!(ladder.told(), [line(Outcome::Escalated, "cheap", "empty", 1), line(Outcome::Cancelled, "mid", "-", 1)]);
}

#[tokio::test]
async fn a_fallback_that_is_a_rung_is_not_asked_twice() {
    let ladder = Ladder::of(vec![vec![reply(503, &[], "{}")], vec![empty()], vec![owl()]]);
    let plan = ladder.plan(on(Signs::EMPTY));
    // The chosen model's fallback is the rung above it.
    let [cheap, mid, dear] = [0, 1, 2].map(|at| plan.endpoints[at].clone());
    let plan = Plan { endpoints: [cheap, mid.clone(), mid, dear].into(), ..plan };
    let answered = chat(plan).await.unwrap();
    assert_eq!((answered.account.endpoint, ladder.asked()), (3, vec![1, 1, 1]));
}

#[tokio::test]
async fn a_fallback_is_entered_under_its_own_rung() {
    let ladder = Ladder::of(vec![vec![reply(503, &[], "{}")], vec![empty()], vec![owl()]]);
    let plan = ladder.plan(on(Signs::EMPTY));
    let [cheap, mid, dear] = [0, 1, 2].map(|at| plan.endpoints[at].clone());
    let climb = Climb { fallbacks: vec![Some("mid".into())], ..(*plan.climb).clone() };
    let plan = Plan { endpoints: [cheap, mid.clone(), mid, dear].into(), climb: Arc::new(climb), ..plan };
    chat(plan).await.unwrap();
    assert_eq!(ladder.told()[0], line(Outcome::Escalated, "mid", "empty", 2));
}

#[tokio::test]
async fn a_callable_has_its_say() {
    let judge = |said: Result<bool, Unsaid>| Policy {
        escalate_on: Escalation { signs: Signs::NONE, judge: Some(Judge(Arc::new(move |_| said.clone()))) },
        ..on(Signs::NONE)
    };
    let ladder = Ladder::of(vec![vec![owl()], vec![owl()]]);
    assert_eq!(chat(ladder.plan(judge(Ok(true)))).await.unwrap().account.endpoint, 1);
    assert_eq!(ladder.told()[0], line(Outcome::Escalated, "cheap", "", 1));
    let failed = ladder.book.failures(&Filter::default()).unwrap().groups;
    assert_eq!((failed[0].counts.calls, failed[0].counts.failed), (1, 1));
    for said in [Ok(false), Err(Unsaid::Unknown("it broke".to_owned()))] {
        let ladder = Ladder::of(vec![vec![owl()], vec![owl()]]);
        let account = chat(ladder.plan(judge(said.clone()))).await.unwrap().account;
        assert_eq!(account.endpoint, 0);
        assert_eq!(account.notes.iter().any(|note| note.contains("it broke")), said.is_err(), "{:?}", account.notes);
    }
}

fn judging(judge: impl Fn() -> Result<bool, Unsaid> + Send + Sync + 'static) -> Policy {
    let judge = Some(Judge(Arc::new(move |_| judge())));
    Policy { escalate_on: Escalation { signs: Signs::NONE, judge }, ..on(Signs::NONE) }
}

#[tokio::test]
async fn a_callable_that_ends_the_call_leaves_an_answer_that_is_paid_for() {
    let ladder = Ladder::of(vec![vec![owl()], vec![owl()]]);
    let stop = || Err(Unsaid::Stop(Error::new(Kind::Cancelled, "interrupted").with_raised(7_u8)));
    let error = chat(ladder.plan(judging(stop))).await.unwrap_err();
    assert_eq!(error.raised::<u8>(), Some(&7));
    assert_eq!(error.spent().unwrap().cost, Some(price(CHEAP, 10)));
    assert_eq!(ladder.told(), [line(Outcome::Cancelled, "cheap", "-", 1)]);
    assert_eq!(ladder.calls()[0].cost.map(from_pico), Some(price(CHEAP, 10)));
}

#[tokio::test]
async fn who_leaves_while_a_callable_judges_has_paid_for_what_it_judges() {
    let slow = || {
        std::thread::sleep(Duration::from_secs(2));
        Ok(true)
    };
    let ladder = Ladder::of(vec![vec![owl()], vec![owl()]]);
    // The runtime's own thread is free meanwhile.
    let left = tokio::time::timeout(Duration::from_millis(400), chat(ladder.plan(judging(slow)))).await;
    assert!(left.is_err());
    assert_eq!(ladder.told(), [line(Outcome::Cancelled, "cheap", "-", 1)]);
    assert_eq!(ladder.calls()[0].cost.map(from_pico), Some(price(CHEAP, 10)));
    // The deadline is for it as well.
    let ladder = Ladder::of(vec![vec![owl()], vec![owl()]]);
    let policy = Policy { deadline: Some(Duration::from_millis(400)), ..judging(slow) };
    let account = chat(ladder.plan(policy)).await.unwrap().account;
    assert_eq!((account.endpoint, account.attempts), (0, 1));
    assert!(account.notes.iter().any(|note| note.contains("no time left for it")), "{:?}", account.notes);
}

fn event(json: &serde_json::Value) -> Step {
    Step::Send(format!("data: {json}\n\n").into_bytes())
}

fn delta(delta: &serde_json::Value, finish: Option<&str>) -> Step {
    event(&json!({"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}))
}

fn streamed(steps: Vec<Step>) -> Vec<Step> {
    let usage = event(&json!({"id": "c", "choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 3}}));
    let ends = vec![usage, Step::Send(b"data: [DONE]\n\n".to_vec()), Step::Close];
    [vec![stream_head(), delta(&json!({"role": "assistant", "content": ""}), None)], steps, ends].concat_steps()
}

async fn words(stream: &Stream) -> String {
    let mut all = String::new();
    while let Some(chunk) = stream.next().await.unwrap() {
        let chunk: serde_json::Value = serde_json::from_slice(&chunk).unwrap();
        all += chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default();
    }
    all
}

#[tokio::test]
async fn a_stream_without_content_leads_on_however_late_it_ends() {
    let late = streamed(vec![Step::Wait(Duration::from_millis(1300)), delta(&json!({}), Some("stop"))]);
    let owl = streamed(vec![delta(&json!({"content": "An owl"}), None), delta(&json!({}), Some("stop"))]);
    let ladder = Ladder::of(vec![vec![late], vec![owl]]);
    let opened = stream(ladder.plan(on(Signs::EMPTY))).await.unwrap();
    assert_eq!((words(&opened).await, opened.endpoint), ("An owl".into(), 1));
    let account = opened.account().unwrap();
    assert_eq!((account.attempts, account.cost), (2, Some(price(CHEAP, 3) + price(MID, 3))));
    assert_eq!(ladder.told(), [line(Outcome::Escalated, "cheap", "empty", 1), line(Outcome::Ok, "mid", "", 1)]);
}

#[tokio::test]
async fn a_stream_that_begins_with_a_refusal_leads_on() {
    for first in [
        vec![delta(&json!({"refusal": "I can't "}), None), delta(&json!({"refusal": "do that."}), Some("stop"))],
        vec![delta(&json!({}), Some("content_filter"))],
    ] {
        let owl = streamed(vec![delta(&json!({"content": "An owl"}), None), delta(&json!({}), Some("stop"))]);
        let ladder = Ladder::of(vec![vec![streamed(first)], vec![owl]]);
        let opened = stream(ladder.plan(on(Signs::REFUSAL))).await.unwrap();
        assert_eq!(words(&opened).await, "An owl");
        assert_eq!(ladder.told()[0].2, "refusal");
    }
}

#[tokio::test]
async fn a_stream_that_has_given_content_stays_and_is_judged_at_its_end() {
    let all = Signs::EMPTY.and(Signs::REFUSAL).and(Signs::TRUNCATED);
    for (content, finish, signs) in [
        ("I'm sorry, but I can't help with that.", "stop", "refusal"),
        ("An ow", "length", "truncated"),
        ("An owl", "stop", ""),
    ] {
        let first = streamed(vec![delta(&json!({"content": content}), None), delta(&json!({}), Some(finish))]);
        let ladder = Ladder::of(vec![vec![first], vec![]]);
        let opened = stream(ladder.plan(on(all))).await.unwrap();
        assert_eq!(words(&opened).await, content);
        assert_eq!(ladder.asked(), [1, 0]);
        assert_eq!(ladder.told(), [line(Outcome::Ok, "cheap", signs, 1)]);
    }
}

#[tokio::test]
async fn the_earlier_answer_is_marked_when_its_user_asks_again() {
    let ladder = Ladder::of(vec![vec![says("A cow", "stop", 2), owl(), owl()]]);
    let http = Http::new().unwrap();
    let ask = async |messages: serde_json::Value| {
        let request = ChatRequest::new(json!({"messages": messages}).to_string());
        call::chat(&http, ladder.plan(on(Signs::NONE)), Arc::new(request)).await.unwrap();
    };
    let user = |text: &str| json!({"role": "user", "content": text});
    ask(json!([user(TURN)])).await;
    let again = user("No! Which animal hunts at night?");
    ask(json!([user(TURN), {"role": "assistant", "content": "A cow"}, again])).await;
    ask(json!([user(TURN), {"role": "assistant", "content": "An owl"}, user("Thanks. And by day?")])).await;
    let signs: Vec<_> = ladder.calls().into_iter().map(|call| call.signs.unwrap()).collect();
    assert_eq!(signs, ["asked_again", "", ""]);
}
