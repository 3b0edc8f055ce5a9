//! Budgets under concurrency: of one process, of several at one database, and of one that is killed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    missing_docs,
    reason = "a test may panic and say why"
)]

#[path = "support/postgres.rs"]
mod postgres;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use ferroute::engine::plan::{Account, Plan, Policy};
use ferroute::engine::purse::{Part, Sending};
use ferroute::ledger::{Asked as AskedAgain, Ledger, Outcome, Record};
use ferroute::policy::budget::{Admitted, Bank, BudgetState, Budgets, Call, Refused};
use ferroute::policy::rules::{Budget, Period};
use ferroute::policy::{AtLimit, Caller, Key, Rule, Who};
use ferroute::pricing::{Own, Table, Usage};
use ferroute::providers::{Asked, ChatRequest, Endpoint, resolve};
use postgres::Server;
use rust_decimal::Decimal;
use tokio::task::JoinSet;

/// A call of the model `cent` with this body costs a cent at worst.
const CENT: &str = r#"{"model":"cent","max_tokens":1000,"messages":[{"role":"user","content":"hi"}]}"#;
const OPEN: &str = r#"{"model":"gpt-5.2","messages":[{"role":"user","content":"Which animal hunts at night?"}]}"#;
/// Names a database to a test that runs as a replica of its own.
const REPLICA: &str = "FERROUTE_TEST_REPLICA";

fn prices() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let own = r#"{"openai/cent": {"input": 0, "output": 10}, "openai/dime": {"input": 0, "output": 100}, "openai/free": {"input": 0, "output": 0}}"#;
        Table::builtin().unwrap().under(Own::from_json(own).unwrap()).share();
    });
}

fn endpoint(model: &str) -> Endpoint {
    let asked = Asked { api_base: Some("http://127.0.0.1:9/v1".into()), ..Asked::default() };
    resolve(model, &asked, &|_| None).unwrap()
}

fn plan(model: &str) -> Plan {
    prices();
    Plan::to(endpoint(model), Policy::default())
}

fn dollars(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn budget(limit: &str) -> Budget {
    Budget { limit: dollars(limit), period: Period::Month }
}

fn rule(limit: &str) -> Rule {
    Rule { budget: Some(budget(limit)), ..Rule::default() }
}

fn request(body: &str) -> Arc<ChatRequest> {
    Arc::new(ChatRequest::new(body.to_owned()))
}

fn of(team: &str) -> Caller {
    let mut key = Key::default();
    (key.id, key.name, key.team) = ("k1".into(), "first".into(), Some(team.into()));
    Caller { key: Some(Arc::new(key)) }
}

fn cost(dollars: Option<Decimal>) -> Account {
    Account { cost: dollars, attempts: 1, ..Account::default() }
}

async fn admit(budgets: &Budgets, caller: &Caller, plan: &Plan, body: &str) -> Result<Admitted, Refused> {
    let request = request(body);
    let model = &plan.endpoints[0].name;
    budgets.admit(Call { caller, model, plan, request: &request, embeds: false }).await
}

/// A call that is sent once and costs so much in the end; `false` where it was refused.
async fn called(budgets: &Budgets, caller: &Caller, plan: &Plan, body: &str, dollars: Option<Decimal>) -> bool {
    let Ok(Admitted { purse, request, .. }) = admit(budgets, caller, plan, body).await else { return false };
    let Some(purse) = purse else { return true };
    let endpoint = &plan.endpoints[0];
    if purse.reserve(Sending { endpoint, request: &request, times: 1, one: false }).given().await.is_err() {
        return false;
    }
    tokio::time::sleep(Duration::from_millis(2)).await;
    purse.settle(&cost(dollars), &[Part { endpoint, cost: dollars, told: true }]);
    true
}

/// A thousand calls at once, so many of them at each replica; how many were served.
async fn thousand(replicas: &[Arc<Budgets>], shares: &[usize]) -> usize {
    let (plan, served) = (Arc::new(plan("openai/cent")), Arc::new(AtomicUsize::new(0)));
    let mut calls = JoinSet::new();
    for (budgets, share) in replicas.iter().zip(shares) {
        for _ in 0..*share {
            let (budgets, plan, served) = (Arc::clone(budgets), Arc::clone(&plan), Arc::clone(&served));
            calls.spawn(async move {
                let done = called(&budgets, &Caller::default(), &plan, CENT, Some(dollars("0.01"))).await;
                served.fetch_add(usize::from(done), Ordering::SeqCst);
            });
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    served.load(Ordering::SeqCst)
}

fn replica(url: &str, limit: &str) -> Arc<Budgets> {
    Arc::new(Budgets::new(Bank::open(url).unwrap(), &[rule(limit)]).unwrap())
}

fn one(budgets: &Budgets) -> BudgetState {
    let states = budgets.state();
    assert_eq!(states.len(), 1);
    states.into_iter().next().unwrap()
}

/// What every replica has told, once it has.
fn settled(budgets: &Budgets, spent: &str) -> BudgetState {
    let begun = Instant::now();
    loop {
        let state = one(budgets);
        if (state.spent == dollars(spent) && state.reserved.is_zero()) || begun.elapsed() > Duration::from_secs(20) {
            return state;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_calls_at_once_and_half_the_money() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite:///{}", folder.path().join("a.db").display());
    for url in ["memory:", &file] {
        let budgets = replica(url, "5");
        assert_eq!(thousand(&[Arc::clone(&budgets)], &[1000]).await, 500, "{url}");
        let state = one(&budgets);
        assert_eq!((state.spent, state.reserved, state.left), (dollars("5"), Decimal::ZERO, Decimal::ZERO), "{url}");
    }
    // It outlives the process.
    let again = replica(&file, "5");
    assert_eq!(thousand(&[again], &[10]).await, 0);
    assert_eq!(thousand(&[replica(&file, "5.03")], &[10]).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn three_replicas_serve_exactly_what_one_would() {
    let Some(server) = Server::start() else { return };
    for (round, shares) in [[334, 333, 333], [100, 450, 450], [10, 0, 990], [333, 333, 334]].into_iter().enumerate() {
        // The budget of each round is another one.
        let limit = "5";
        let team = format!("t{round}");
        let another = || {
            let who = Who { team: Some(team.clone()), ..Who::default() };
            let rule = Rule { who, ..rule(limit) };
            Arc::new(Budgets::new(Bank::open(&server.url()).unwrap(), &[rule]).unwrap())
        };
        let replicas: Vec<Arc<Budgets>> = (0..3).map(|_| another()).collect();
        let (plan, answered) = (Arc::new(plan("openai/cent")), Arc::new(AtomicUsize::new(0)));
        let mut calls = JoinSet::new();
        for (budgets, asked) in replicas.iter().zip(shares) {
            for _ in 0..asked {
                let (budgets, plan, answered) = (Arc::clone(budgets), Arc::clone(&plan), Arc::clone(&answered));
                let caller = of(&team);
                calls.spawn(async move {
                    let done = called(&budgets, &caller, &plan, CENT, Some(dollars("0.01"))).await;
                    answered.fetch_add(usize::from(done), Ordering::SeqCst);
                });
            }
        }
        while let Some(done) = calls.join_next().await {
            done.unwrap();
        }
        assert_eq!(answered.load(Ordering::SeqCst), 500, "{shares:?}");
        let state = tokio::task::spawn_blocking(move || settled(&replicas[0], "5")).await.unwrap();
        assert_eq!((state.spent, state.left), (dollars("5"), Decimal::ZERO), "{shares:?}");
    }
}

/// Answers of 500 tokens at the real price of GPT-5.2, 64 calls under way, no limit given: until 90 % of 100 dollars are
/// spent at most one in a hundred is refused, and no more than 100 dollars are ever spent.
async fn hundred_dollars(replicas: Vec<Arc<Budgets>>) {
    let ledger = Ledger::open("memory:").unwrap();
    let plan = Arc::new(Plan { ledger: Some(Arc::clone(&ledger)), ..plan("openai/gpt-5.2") });
    let usage = Usage { prompt_tokens: 20, completion_tokens: 500, ..Usage::default() };
    let cost = Table::shared().cost(&["gpt-5.2"], &usage, None).unwrap().total;
    let pico = ferroute::pricing::pico(cost).unwrap() as usize;
    let limit = 100 * 1_000_000_000_000_usize;
    let (spent, refused, served) = (Arc::default(), Arc::default(), Arc::default());
    let mut calls = JoinSet::new();
    for worker in 0..64 {
        let (budgets, plan, ledger) =
            (Arc::clone(&replicas[worker % replicas.len()]), Arc::clone(&plan), Arc::clone(&ledger));
        let (spent, refused, served): (Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>) =
            (Arc::clone(&spent), Arc::clone(&refused), Arc::clone(&served));
        calls.spawn(async move {
            loop {
                let before = spent.load(Ordering::SeqCst);
                if before > limit * 9 / 10 {
                    break;
                }
                if called(&budgets, &Caller::default(), &plan, OPEN, Some(cost)).await {
                    let after = spent.fetch_add(pico, Ordering::SeqCst) + pico;
                    served.fetch_add(1, Ordering::SeqCst);
                    assert!(after <= limit);
                    ledger.add(record("openai/gpt-5.2", usage));
                } else {
                    refused.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    let (refused, served) = (refused.load(Ordering::SeqCst), served.load(Ordering::SeqCst));
    assert!(served > 12_000 && refused * 100 <= served + refused, "{refused} refused, {served} served");
    // To the end: answers get shorter, and the limit holds.
    let mut calls = JoinSet::new();
    for worker in 0..64 {
        let (budgets, plan, spent) =
            (Arc::clone(&replicas[worker % replicas.len()]), Arc::clone(&plan), Arc::clone(&spent));
        calls.spawn(async move {
            let mut refused = 0;
            while refused < 3 {
                let Ok(admitted) = admit(&budgets, &Caller::default(), &plan, OPEN).await else {
                    refused += 1;
                    continue;
                };
                let (purse, endpoint) = (admitted.purse.unwrap(), &plan.endpoints[0]);
                let sending = Sending { endpoint, request: &admitted.request, times: 1, one: false };
                if purse.reserve(sending).given().await.is_err() {
                    refused += 1;
                    continue;
                }
                let usage = Usage { completion_tokens: admitted.clamp.unwrap().min(500), ..usage };
                let cost = Table::shared().cost(&["gpt-5.2"], &usage, None).unwrap().total;
                let pico = ferroute::pricing::pico(cost).unwrap() as usize;
                assert!(spent.fetch_add(pico, Ordering::SeqCst) + pico <= limit);
                purse.settle(&self::cost(Some(cost)), &[Part { endpoint, cost: Some(cost), told: true }]);
            }
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    let spent = spent.load(Ordering::SeqCst) as f64 / 1e12;
    println!(
        "{} replicas: {served} served and {refused} refused until $90, ${spent:.4} spent in the end",
        replicas.len()
    );
    assert!(spent > 99.9, "{spent}");
}

fn record(model: &str, usage: Usage) -> Record {
    Record {
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
        asked: AskedAgain::default(),
        response: None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_dollars_of_one_replica() {
    prices();
    hundred_dollars(vec![replica("memory:", "100")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_hundred_dollars_of_three_replicas() {
    prices();
    let Some(server) = Server::start() else { return };
    hundred_dollars((0..3).map(|_| replica(&server.url(), "100")).collect()).await;
}

/// Not a test by itself: what [`a_replica_that_is_killed`] runs in another process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_a_replica() {
    let Ok(url) = std::env::var(REPLICA) else { return };
    let (budgets, plan) = (replica(&url, "5"), plan("openai/cent"));
    let mut count = 0;
    while called(&budgets, &Caller::default(), &plan, CENT, Some(dollars("0.01"))).await {
        count += 1;
        // One a line: whoever kills this process counts them.
        println!("served {count}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_replica_that_is_killed() {
    let Some(server) = Server::start() else { return };
    prices();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "as_a_replica", "--nocapture"])
        .env(REPLICA, server.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut killed = 0;
    for line in lines {
        killed += usize::from(line.starts_with("served "));
        if killed == 60 {
            // SIGKILL.
            child.kill().unwrap();
        }
    }
    child.wait().unwrap();
    assert!(killed >= 60);
    let replicas: Vec<Arc<Budgets>> = (0..2).map(|_| replica(&server.url(), "5")).collect();
    let answered = thousand(&replicas, &[500, 500]).await;
    // One call was under way or its line unread; its slice was a hundredth of the budget: five calls.
    let all = killed + answered;
    assert!((493..=500).contains(&all), "{killed} of the killed one, {answered} of the others");
}

#[tokio::test]
async fn whose_budget_counts() {
    let rules = [
        Rule { who: Who { team: Some("legal".into()), ..Who::default() }, ..rule("0.02") },
        Rule { who: Who { key: Some("first".into()), ..Who::default() }, ..rule("0.03") },
        Rule { who: Who { model: Some("openai/dime".into()), ..Who::default() }, ..rule("0.1") },
        Rule { at_limit: AtLimit::Downgrade, ..rule("0.15") },
    ];
    let budgets = Budgets::new(Bank::open("memory:").unwrap(), &rules).unwrap();
    let (cent, dime, cents) = (plan("openai/cent"), plan("openai/dime"), Some(dollars("0.01")));
    for _ in 0..2 {
        assert!(called(&budgets, &of("legal"), &cent, CENT, cents).await);
    }
    let refused = admit(&budgets, &of("legal"), &cent, CENT).await.unwrap_err();
    assert_eq!(refused.at_limit, AtLimit::Refuse);
    let message = refused.error.message();
    assert!(message.starts_with("the budget of team \"legal\" ($0.02 a month) cannot pay"), "{message}");
    // Another team's member with the same key: the key's own budget ends, by its name.
    assert!(called(&budgets, &of("sales"), &cent, CENT, cents).await);
    let refused = admit(&budgets, &of("sales"), &cent, CENT).await.unwrap_err();
    assert!(refused.error.message().contains("key \"first\" ($0.03"), "{}", refused.error);
    // A model's budget is for its calls alone, and everybody's for all.
    assert!(called(&budgets, &Caller::default(), &dime, CENT, Some(dollars("0.1"))).await);
    assert!(!called(&budgets, &Caller::default(), &dime, CENT, None).await);
    assert!(called(&budgets, &Caller::default(), &cent, CENT, cents).await);
    assert!(called(&budgets, &Caller::default(), &cent, CENT, cents).await);
    let refused = admit(&budgets, &Caller::default(), &cent, CENT).await.unwrap_err();
    assert_eq!(refused.at_limit, AtLimit::Downgrade);
    assert!(refused.error.message().contains("the budget of everybody ($0.15"), "{}", refused.error);
    // What costs nothing is always paid for.
    assert!(called(&budgets, &Caller::default(), &plan("openai/free"), CENT, Some(Decimal::ZERO)).await);
    let states = budgets.state();
    let spent: Vec<String> = states.iter().map(|state| state.spent.to_string()).collect();
    assert_eq!(spent, ["0.02", "0.03", "0.1", "0.15"]);
    assert!(states.iter().all(|state| state.left.is_zero() && state.reserved.is_zero()));
}

#[tokio::test]
async fn a_keys_own_budget() {
    let budgets = Budgets::new(Bank::open("memory:").unwrap(), &[]).unwrap();
    let key = |id: &str| {
        let mut key = Key::default();
        (key.id, key.budget, key.at_limit) = (id.into(), Some(budget("0.01")), AtLimit::Downgrade);
        Caller { key: Some(Arc::new(key)) }
    };
    let plan = plan("openai/cent");
    assert!(called(&budgets, &key("a"), &plan, CENT, Some(dollars("0.01"))).await);
    let refused = admit(&budgets, &key("a"), &plan, CENT).await.unwrap_err();
    assert_eq!(refused.at_limit, AtLimit::Downgrade);
    assert!(called(&budgets, &key("b"), &plan, CENT, Some(dollars("0.01"))).await);
    assert!(admit(&budgets, &Caller::default(), &plan, CENT).await.unwrap().purse.is_none());
}

#[tokio::test]
async fn what_is_set_aside_ends_with_its_call() {
    let budgets = Budgets::new(Bank::open("memory:").unwrap(), &[rule("0.03")]).unwrap();
    let plan = plan("openai/cent");
    let caller = Caller::default();
    let endpoint = &plan.endpoints[0];
    let left = || one(&budgets).left;
    // Never called.
    let admitted = admit(&budgets, &caller, &plan, CENT).await.unwrap();
    assert_eq!((left(), admitted.clamp), (dollars("0.02"), None));
    drop(admitted);
    assert_eq!(left(), dollars("0.03"));
    // The first request is the one that is paid for, each further one asks again; one that failed for free is free.
    let Admitted { purse, request, .. } = admit(&budgets, &caller, &plan, CENT).await.unwrap();
    let purse = purse.unwrap();
    let sending = Sending { endpoint, request: &request, times: 1, one: false };
    let first = purse.reserve(sending).given().await.unwrap();
    assert_eq!(left(), dollars("0.02"));
    purse.reserve(sending).given().await.unwrap();
    purse.reserve(sending).given().await.unwrap();
    assert_eq!(purse.reserve(sending).given().await.unwrap_err().why_denied().unwrap().code, "budget_exceeded");
    purse.free(first);
    purse.free(first);
    assert_eq!(left(), dollars("0.01"));
    let amount = Some(dollars("0.004"));
    purse.settle(&cost(amount), &[Part { endpoint, cost: amount, told: true }]);
    drop(purse);
    assert_eq!((one(&budgets).spent, left()), (dollars("0.004"), dollars("0.026")));
    // Several side by side are paid for together, or none is.
    let Admitted { purse, request, .. } = admit(&budgets, &caller, &plan, CENT).await.unwrap();
    let purse = purse.unwrap();
    let sending = Sending { endpoint, request: &request, times: 3, one: true };
    assert!(purse.reserve(sending).given().await.is_err());
    assert_eq!(left(), dollars("0.026"));
    purse.reserve(Sending { times: 2, ..sending }).given().await.unwrap();
    assert_eq!(left(), dollars("0.006"));
    // A cost that nobody knows is all that was set aside; and so is that of a call that was never settled.
    purse.settle(&cost(None), &[]);
    drop(purse);
    assert_eq!(one(&budgets).spent, dollars("0.024"));
    let small = CENT.replace("1000", "600");
    let Admitted { purse, request, .. } = admit(&budgets, &caller, &plan, &small).await.unwrap();
    let purse = purse.unwrap();
    purse.reserve(Sending { endpoint, request: &request, times: 1, one: false }).given().await.unwrap();
    drop(purse);
    assert_eq!((one(&budgets).spent, one(&budgets).reserved), (dollars("0.03"), Decimal::ZERO));
}

#[tokio::test]
async fn one_of_several_answers_is_repeated_at_its_own_price() {
    let budgets = Budgets::new(Bank::open("memory:").unwrap(), &[rule("1")]).unwrap();
    let (plan, body) = (plan("openai/cent"), CENT.replace("{\"model\"", "{\"n\":3,\"model\""));
    let Admitted { purse, request, .. } = admit(&budgets, &Caller::default(), &plan, &body).await.unwrap();
    let (purse, endpoint) = (purse.unwrap(), &plan.endpoints[0]);
    let sending = Sending { endpoint, request: &request, times: 3, one: true };
    purse.reserve(sending).given().await.unwrap();
    assert_eq!(one(&budgets).reserved, dollars("0.03"));
    purse.reserve(Sending { times: 1, ..sending }).given().await.unwrap();
    assert_eq!(one(&budgets).reserved, dollars("0.04"));
}

#[tokio::test]
async fn the_stricter_of_a_keys_budget_and_the_rules_holds() {
    let key = |limit: &str| {
        let mut key = Key::default();
        (key.id, key.name, key.budget) = ("k1".into(), "first".into(), Some(budget(limit)));
        Caller { key: Some(Arc::new(key)) }
    };
    let rule = |limit: &str| Rule { who: Who { key: Some("k1".into()), ..Who::default() }, ..rule(limit) };
    let plan = plan("openai/cent");
    for (rules, own) in
        [(vec![rule("0.02")], "5"), (vec![rule("5")], "0.02"), (vec![rule("0.02"), rule("5")], "9"), (vec![], "0.02")]
    {
        let budgets = Budgets::new(Bank::open("memory:").unwrap(), &rules).unwrap();
        for served in [true, true, false, false] {
            let done = called(&budgets, &key(own), &plan, CENT, Some(dollars("0.01"))).await;
            assert_eq!(done, served, "{rules:?} {own}");
        }
    }
}

#[tokio::test]
async fn what_a_budget_cannot_price_is_refused() {
    let strict = Rule { no_clamp: true, ..rule("1") };
    let budgets = Budgets::new(Bank::open("memory:").unwrap(), &[strict]).unwrap();
    let refusal = async |plan: &Plan, body: &str| {
        let refused = admit(&budgets, &Caller::default(), plan, body).await.unwrap_err();
        let denied = refused.error.why_denied().cloned();
        denied.map_or_else(|| (400, "value"), |denied| (denied.status, denied.code))
    };
    assert_eq!(refusal(&plan("openai/nobody-knows"), CENT).await, (403, "unpriced_model"));
    assert_eq!(refusal(&plan("openai/gpt-5.2"), OPEN).await, (400, "output_limit_required"));
    assert_eq!(refusal(&plan("openai/gpt-5.2"), r#"{"max_tokens":"many"}"#).await, (400, "value"));
    assert_eq!(refusal(&plan("openai/gpt-5.2"), r#"{"max_tokens":1000000}"#).await, (429, "budget_exceeded"));
    // Without a budget nobody asks.
    let none = Budgets::new(Bank::open("memory:").unwrap(), &[]).unwrap();
    let admitted = admit(&none, &Caller::default(), &plan("openai/nobody-knows"), OPEN).await.unwrap();
    assert!(admitted.purse.is_none() && admitted.clamp.is_none());
}

#[tokio::test]
async fn embeddings_pay_for_their_bytes() {
    let budgets = Budgets::new(Bank::open("memory:").unwrap(), &[rule("1")]).unwrap();
    let plan = plan("openai/text-embedding-3-small");
    let body = r#"{"model":"text-embedding-3-small","input":"hello"}"#;
    let (caller, request) = (Caller::default(), request(body));
    let model = "text-embedding-3-small";
    let call = Call { caller: &caller, model, plan: &plan, request: &request, embeds: true };
    let admitted = budgets.admit(call).await.unwrap();
    // Two cents a million tokens.
    assert_eq!(one(&budgets).reserved, dollars("0.00000002") * Decimal::from(body.len()));
    assert_eq!((admitted.clamp, admitted.request.bytes()), (None, request.bytes()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_a_replica_spends_what_it_was_lent() {
    let Some(mut server) = Server::start() else { return };
    let plan = plan("openai/cent");
    let (budgets, caller) = (replica(&server.url(), "5"), Caller::default());
    let call = async || called(&budgets, &caller, &plan, CENT, Some(dollars("0.01"))).await;
    assert!(call().await);
    server.kill();
    // Of its slice of five cents; a sixth one may have been lent as they ran low.
    let mut answered = 1;
    while call().await {
        answered += 1;
        assert!(answered <= 10);
    }
    let refused = admit(&budgets, &caller, &plan, CENT).await.unwrap_err();
    let why = refused.error.why_denied().unwrap();
    assert_eq!((why.status, why.code), (503, "budget_unavailable"), "{}", refused.error);
    assert!(answered >= 5, "{answered}");
    server.start_again();
    // Without hands, and without having lost or doubled anything.
    let begun = Instant::now();
    while !call().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "it did not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let rest = thousand(&[Arc::clone(&budgets)], &[600]).await;
    assert_eq!(answered + 1 + rest, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_that_is_not_used_comes_back() {
    let Some(server) = Server::start() else { return };
    let plan = plan("openai/cent");
    let (first, second) = (replica(&server.url(), "5"), replica(&server.url(), "5"));
    assert!(called(&first, &Caller::default(), &plan, CENT, Some(dollars("0.01"))).await);
    // Four more cents were lent to it; the other one gets all but them at once, and them as soon as they are back.
    let answered = thousand(&[Arc::clone(&second)], &[1000]).await;
    assert_eq!(answered, 499);
    drop(first);
    assert!(!called(&second, &Caller::default(), &plan, CENT, None).await);
}

#[tokio::test]
async fn what_nobody_tells_of_is_spent_whole() {
    for (told, spent) in [(true, "0.014"), (false, "0.02")] {
        let budgets = Budgets::new(Bank::open("memory:").unwrap(), &[rule("0.03")]).unwrap();
        let (plan, caller) = (plan("openai/cent"), Caller::default());
        let endpoint = &plan.endpoints[0];
        let Admitted { purse, request, .. } = admit(&budgets, &caller, &plan, CENT).await.unwrap();
        let purse = purse.unwrap();
        let sending = Sending { endpoint, request: &request, times: 1, one: false };
        let lost = purse.reserve(sending).given().await.unwrap();
        purse.reserve(sending).given().await.unwrap();
        purse.keep(lost);
        let amount = Some(dollars("0.004"));
        purse.settle(&cost(amount), &[Part { endpoint, cost: amount, told }]);
        drop(purse);
        assert_eq!(one(&budgets).spent, dollars(spent), "told: {told}");
    }
}
