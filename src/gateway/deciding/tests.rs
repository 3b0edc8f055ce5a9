use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;

use super::*;
use crate::engine::plan::{Plan, Policy};
use crate::providers::{self, ChatRequest};
use crate::routers::verdict::Verdict;

/// Says always the same.
struct Says(Result<Word>);

impl Router for Says {
    fn word<'a>(&'a self, _view: &'a View, remarks: &'a Remarks) -> Said<'a> {
        remarks.note("a note");
        let word = self.0.clone();
        Said::Later(async move { word }.boxed())
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a loaded router has")]
fn rate(rate: f64) -> Option<Arc<dyn Router>> {
    Some(Arc::new(Says(Ok(Word::WinRate(rate)))))
}

#[expect(clippy::unnecessary_wraps, reason = "what a loaded router has")]
fn verdict(verdict: Verdict) -> Option<Arc<dyn Router>> {
    Some(Arc::new(Says(Ok(Word::Verdict(Box::new(verdict))))))
}

#[expect(clippy::unnecessary_wraps, reason = "what a loaded router has")]
fn fails(kind: Kind) -> Option<Arc<dyn Router>> {
    Some(Arc::new(Says(Err(Error::new(kind, "no\nway")))))
}

fn target(name: &str) -> Arc<Target> {
    let asked = providers::Asked {
        api_base: Some("http://127.0.0.1:9/v1".into()),
        api_key: None,
        ..providers::Asked::default()
    };
    let endpoint = providers::resolve(&format!("openai/{name}"), &asked, &|_| Some("k".into())).unwrap();
    Arc::new(Target::new(name.to_owned(), Plan::to(endpoint, Policy::default())))
}

fn parts(routers: Vec<Loaded>) -> Parts {
    let names = ["cheap", "mid", "expensive"];
    let ladder = Ladder::new(names.map(|name| (name.to_owned(), format!("m-{name}")))).unwrap();
    let rungs = ladder.models().iter().map(|model| Rung { model: model.clone(), asked: None }).collect();
    Parts {
        targets: ladder.models().iter().map(|model| target(model)).collect(),
        ladder,
        serving: Arc::new(Serving::new(rungs, false)),
        sessions: Arc::default(),
        routers,
        beyond: Vec::new(),
        manner: Manner::default(),
        baseline: Some("m-expensive".to_owned()),
        elsewhere: None,
        all_elsewhere: false,
    }
}

fn naming(name: &str, said: Verdict, asks: &[&str]) -> Loaded {
    let asks = asks.iter().map(|&name| name.to_owned()).collect();
    Loaded { naming: true, names_models: true, asks, ..Loaded::new(name.to_owned(), verdict(said)) }
}

fn asked(model: &str, text: &str) -> Asked {
    let body = json!({"messages": [{"role": "user", "content": text}]}).to_string();
    Asked { model: model.to_owned(), request: Arc::new(ChatRequest::new(body)), extras: Extras::default() }
}

fn decide(parts: Parts, model: &str) -> Result<Decided> {
    Deciding::of(parts).decide(&asked(model, "hello")).now_or_never().unwrap()
}

fn fixed(rate_of: f64) -> Loaded {
    Loaded::new("fixed".to_owned(), rate(rate_of))
}

#[test]
fn a_win_rate_is_held_against_thresholds() {
    let decided = decide(parts(vec![fixed(0.6)]), "router-fixed-0.3,0.7").unwrap();
    assert_eq!((decided.rung, decided.tier.as_deref(), decided.win_rate), (Some(1), Some("mid"), Some(0.6)));
    assert_eq!((decided.target.name.as_str(), decided.thresholds.as_slice()), ("m-mid", &[0.3, 0.7][..]));
    assert_eq!(decided.reason, "win rate 0.6000 >= 0.3 and < 0.7: mid");
    assert_eq!(
        (decided.notes.as_slice(), decided.requested.as_str()),
        (&["a note".to_owned()][..], "router-fixed-0.3,0.7")
    );
    assert_eq!(decided.text.as_deref(), Some("hello"));
    assert_eq!(decided.router_cost, Some(Decimal::ZERO));
    let decided = decide(parts(vec![fixed(1.5)]), "router-fixed-0.5").unwrap();
    assert_eq!((decided.rung, decided.notes[1].as_str()), (Some(2), "the router's win rate 1.5 is not in 0..1"));
}

#[test]
fn model_strings_are_refused_in_the_originals_words() {
    for (model, kind, says) in [
        ("router-other-0.5", Kind::Routing, "Invalid router other. Available routers are ['fixed', 'mine']."),
        ("router-fixed-1.5", Kind::Routing, "Invalid threshold 1.5. Threshold must be a float between 0.0 and 1.0."),
        ("router-fixed-x", Kind::Routing, "Threshold x must be a float."),
        ("router-fixed", Kind::Value, "not enough values to unpack (expected 3, got 2)"),
        (
            "router-fixed-130%",
            Kind::Routing,
            "Invalid share 130%. A share of strong calls must be between 0% and 100%.",
        ),
        (
            "router-fixed-0.7,0.3",
            Kind::Routing,
            "Thresholds must not fall, found 0.7,0.3. The rungs run from the weakest",
        ),
    ] {
        let mine = naming("mine", Verdict::default(), &[]);
        let error = decide(parts(vec![fixed(0.5), mine]), model).unwrap_err();
        assert_eq!(error.kind(), kind, "{model}");
        assert!(error.message().starts_with(says), "{model}: {error}");
    }
}

#[test]
fn shares_fill_the_window() {
    let deciding = Deciding::of(parts(vec![fixed(0.5)]));
    let decided = |model: &str| deciding.decide(&asked(model, "hello")).now_or_never().unwrap().unwrap();
    let first = decided("router-fixed-50%");
    assert_eq!((first.rank, first.warmup, first.rung), (Some(0.5), true, Some(2)));
    for _ in 0..99 {
        assert!(decided("router-fixed-60%,10%").warmup);
    }
    // A threshold's scores enter it too.
    decided("router-fixed-0.5");
    let last = decided("router-fixed-50%");
    assert!(!last.warmup && last.reason.contains("among the last 101 scores"), "{}", last.reason);
}

struct Calibration(AtomicUsize);

impl Table for Calibration {
    fn fixed(&self, share: f64) -> Result<Fixed> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(Fixed { threshold: 1.0 - share, n: 12_000, note: Some(format!("of {share}")) })
    }
}

#[test]
fn a_calibration_fixes_the_threshold() {
    let with_table = || {
        let table: Arc<dyn Table> = Arc::new(Calibration(AtomicUsize::new(0)));
        parts(vec![Loaded { table: Some(table), ..fixed(0.6) }])
    };
    let decided = decide(with_table(), "router-fixed-50%").unwrap();
    assert_eq!(
        (decided.rung, decided.thresholds.as_slice(), decided.shares.as_slice()),
        (Some(2), &[0.5][..], &[0.5][..])
    );
    assert!(decided.reason.ends_with("; the threshold for 50% of 12,000 calibration prompts"), "{}", decided.reason);
    assert_eq!(decided.notes, ["a note", "of 0.5"]);
    let decided = decide(with_table(), "router-fixed-60%,0%").unwrap();
    assert_eq!((decided.rung, decided.thresholds.as_slice()), (Some(1), &[0.4, f64::INFINITY][..]));
    assert!(
        decided.reason.ends_with("; the thresholds for 60%,0% of 12,000 calibration prompts"),
        "{}",
        decided.reason
    );
    // All and nothing need no table.
    assert_eq!(decide(with_table(), "router-fixed-100%").unwrap().rank, Some(0.5));
}

#[test]
fn a_verdict_names_a_rung_or_limits() {
    let said = Verdict {
        rung: Some("expensive".into()),
        ceiling: Some("mid".into()),
        reason: "it is\nso".into(),
        ..Verdict::default()
    };
    let decided = decide(parts(vec![naming("mine", said, &[])]), "router-mine").unwrap();
    assert_eq!((decided.rung, decided.wanted, decided.limits), (Some(1), Some(2), (None, Some(1))));
    assert_eq!(decided.reason, "it is so: expensive; moved to mid");
    assert_eq!(decided.notes, ["a note", "lowered from expensive to mid, the highest allowed"]);
    let said = Verdict { floor: Some("mid".into()), ..Verdict::default() };
    assert_eq!(decide(parts(vec![naming("mine", said, &[])]), "router-mine").unwrap().reason, "mine chose it: mid");
    let error = decide(parts(vec![naming("mine", Verdict::default(), &[])]), "router-mine").unwrap_err();
    assert_eq!(error.message(), "Router mine names neither a rung nor a model, nor a router to ask.");
    let said = Verdict { rung: Some("best".into()), ..Verdict::default() };
    assert_eq!(decide(parts(vec![naming("mine", said, &[])]), "router-mine").unwrap_err().kind(), Kind::Routing);
}

#[test]
fn a_verdict_leaves_the_choice_to_another_router() {
    let said = |ask: &str| Verdict {
        ask: Some(ask.into()),
        floor: Some("mid".into()),
        reason: "long".into(),
        ..Verdict::default()
    };
    let with = |ask: &str| parts(vec![naming("mine", said(ask), &["fixed"]), fixed(0.2)]);
    let decided = decide(with("router-fixed-0.3,0.7"), "router-mine").unwrap();
    assert_eq!((decided.rung, decided.router.as_deref(), decided.win_rate), (Some(1), Some("mine"), Some(0.2)));
    assert_eq!(decided.reason, "long; fixed: win rate 0.2000 < threshold 0.3: cheap; moved to mid");
    assert_eq!(decided.path, ["mine", "fixed"]);
    // What the caller says goes before what the verdict says.
    let decided = decide(with("router-fixed-0.3,0.7"), "router-mine-0.1").unwrap();
    assert_eq!((decided.rung, decided.thresholds.as_slice()), (Some(2), &[0.1][..]));
    assert_eq!(decide(with("fixed"), "router-mine-0.1").unwrap().rung, Some(2));
    let error = decide(with("fixed"), "router-mine").unwrap_err();
    assert_eq!(
        error.message(),
        "Router 'mine' leaves the choice to 'fixed'; expected a loaded router with its thresholds, such as \
         'router-local-0.3,0.7'. Router or threshold unspecified."
    );
    let circle = parts(vec![naming("a", said("router-b"), &["b"]), naming("b", said("a"), &["a"])]);
    assert_eq!(decide(circle, "router-a").unwrap_err().message(), "Routers ask each other in a circle: a -> b -> a.");
}

#[test]
fn a_model_beyond_the_ladder_answers_where_it_can() {
    let with = |needs_tools: bool| {
        let said = Verdict { model: Some("far".into()), floor: Some("mid".into()), ..Verdict::default() };
        let name = if needs_tools { "gpt-4-1106-preview" } else { "far" };
        let rung = Rung { model: name.to_owned(), asked: None };
        let beyond = Beyond { target: target(name), serving: Arc::new(Serving::new(vec![rung], false)) };
        let mine = Loaded { models: vec![("far".to_owned(), Named::Beyond(0))], ..naming("mine", said, &[]) };
        Deciding::of(Parts { beyond: vec![beyond], ..parts(vec![mine]) })
    };
    let decided = with(false).decide(&asked("router-mine", "hello")).now_or_never().unwrap().unwrap();
    assert_eq!((decided.rung, decided.tier.as_deref(), decided.target.name.as_str()), (None, None, "far"));
    assert_eq!(decided.notes, ["a note", "far is on no rung, so the floor mid cannot hold"]);
    let body = json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]});
    let image = Asked { request: Arc::new(ChatRequest::new(body.to_string())), ..asked("router-mine", "") };
    let decided = with(true).decide(&image).now_or_never().unwrap().unwrap();
    assert_eq!((decided.rung, decided.reason.as_str()), (Some(2), "mine chose it: far; moved to expensive"));
    assert_eq!(decided.notes[1], "gpt-4-1106-preview is skipped: takes no images");
}

#[test]
fn where_a_router_fails_the_policy_says_what_is_done() {
    let with = |on_error: OnError, kind: Kind| {
        let routers = vec![Loaded::new("bad".to_owned(), fails(kind)), fixed(0.9)];
        Parts { manner: Manner { on_error, ..Manner::default() }, ..parts(routers) }
    };
    let error = decide(with(OnError::Raise, Kind::Value), "router-bad-0.5").unwrap_err();
    assert_eq!((error.kind(), error.http_status()), (Kind::Foreign, 500));
    assert_eq!(error.message(), "router 'bad' failed (InvalidValueError: no way)");
    assert_eq!(decide(with(OnError::Raise, Kind::Timeout), "router-bad-0.5").unwrap_err().http_status(), 504);
    let decided = decide(with(OnError::Rung(1), Kind::Io), "router-bad-0.5").unwrap();
    assert_eq!(
        (decided.rung, decided.router.as_deref(), decided.thresholds.as_slice()),
        (Some(1), Some("bad"), &[0.5][..])
    );
    assert_eq!(decided.reason, "mid, because router 'bad' failed (UnreadableFileError: no way)");
    let decided = decide(with(OnError::Router("fixed".into()), Kind::Connection), "router-bad-0.5").unwrap();
    assert_eq!((decided.rung, decided.router.as_deref(), decided.win_rate), (Some(2), Some("fixed"), Some(0.9)));
    let said = "router 'bad' failed (APIConnectionError: no way), so 'fixed' was asked";
    assert_eq!(decided.notes, [said, "a note"]);
    // Nobody stands in for the one that stands in.
    let again = Parts {
        manner: Manner { on_error: OnError::Router("bad".into()), ..Manner::default() },
        ..with(OnError::Raise, Kind::Io)
    };
    assert_eq!(decide(again, "router-bad-0.5").unwrap_err().kind(), Kind::Foreign);
}

struct Pays;

impl Router for Pays {
    fn word<'a>(&'a self, _view: &'a View, remarks: &'a Remarks) -> Said<'a> {
        remarks.charge(Some(Decimal::new(25, 7)));
        remarks.charge(Some(Decimal::new(25, 7)));
        Said::Now(Err(Error::value("too late")))
    }
}

#[test]
fn what_was_paid_for_a_choice_that_failed_is_in_the_book() {
    let ledger = crate::ledger::Ledger::open("memory:").or_else(|_| crate::ledger::Ledger::open("")).unwrap();
    let mut made = parts(vec![Loaded::new("pays".to_owned(), Some(Arc::new(Pays)))]);
    for target in &mut made.targets {
        let plan = Plan { ledger: Some(Arc::clone(&ledger)), ..target.plan.clone() };
        *target = Arc::new(Target { plan, ..Target::clone(target) });
    }
    assert!(decide(made, "router-pays-0.5").is_err());
    let rows = ledger.calls(&crate::ledger::Filter::default(), None).unwrap();
    let [row] = rows.as_slice() else { panic!("one row, found {rows:?}") };
    assert_eq!((row.router_cost, row.model.as_str()), (Some(5_000_000), NO_MODEL));
    assert_eq!(row.requested.as_deref(), Some("router-pays-0.5"));
}

#[test]
fn a_lot_sends_to_the_strongest_allowed() {
    let with = |said: Verdict| {
        let manner = Manner { holdout: 1.0, ..Manner::default() };
        decide(Parts { manner, ..parts(vec![naming("mine", said, &[])]) }, "router-mine").unwrap()
    };
    let decided = with(Verdict { rung: Some("cheap".into()), ..Verdict::default() });
    assert_eq!((decided.rung, decided.holdout, decided.wanted), (Some(2), true, Some(0)));
    assert_eq!(decided.reason, "held out: sent to expensive by lot; the router's word was: mine chose it: cheap");
    let decided = with(Verdict { rung: Some("cheap".into()), ceiling: Some("mid".into()), ..Verdict::default() });
    assert_eq!((decided.rung, decided.target.name.as_str()), (Some(1), "m-mid"));
}

#[test]
fn a_policy_may_move_it() {
    let deciding = Deciding::of(parts(vec![fixed(0.9)]));
    let request = asked("router-fixed-0.5", "hello");
    let decided = deciding.decide(&request).now_or_never().unwrap().unwrap();
    let moved = deciding.moved(decided, 0, "the budget is spent", &request);
    assert_eq!((moved.rung, moved.tier.as_deref(), moved.target.name.as_str()), (Some(0), Some("cheap"), "m-cheap"));
    assert!(moved.reason.ends_with(": expensive; the budget is spent: moved to cheap"), "{}", moved.reason);
}

#[test]
fn it_can_be_taken_apart() {
    let deciding = Deciding::of(parts(vec![fixed(0.6)]));
    let request = asked("router-fixed-0.3,0.7", "hello");
    let decided = deciding.decide(&request).now_or_never().unwrap().unwrap();
    let told = deciding.explained(&request, &decided);
    let marks: Vec<&str> =
        told["candidates"].as_array().unwrap().iter().filter_map(|rung| rung["mark"].as_str()).collect();
    assert_eq!(marks, ["open", "chosen", "runner-up"]);
    assert_eq!(told["asked"], json!(["fixed"]));
}

struct There;

impl Elsewhere for There {
    fn decide<'a>(&'a self, asked: &'a Asked) -> BoxFuture<'a, Result<Decided>> {
        async { Ok(Decided::by_name(target("there"), asked.model.clone())) }.boxed()
    }
}

#[test]
fn what_leads_to_a_foreign_router_is_decided_elsewhere() {
    let said = Verdict { ask: Some("router-b-0.5".into()), ..Verdict::default() };
    let made = |manner: Manner| {
        let foreign = Loaded::new("foreign".to_owned(), None);
        let held = Loaded { held: true, ..Loaded::new("held".to_owned(), rate(0.5)) };
        let routers =
            vec![naming("a", said.clone(), &["b"]), naming("b", said.clone(), &["foreign"]), foreign, fixed(0.1), held];
        Deciding::of(Parts { elsewhere: Some(Arc::new(There)), manner, ..parts(routers) })
    };
    let of = |deciding: &Deciding| -> HashSet<String> {
        let routers: Vec<String> = deciding.routers().map(str::to_owned).collect();
        routers.into_iter().filter(|name| deciding.goes_elsewhere(name) == Some(true)).collect()
    };
    let plain = made(Manner::default());
    assert_eq!(of(&plain), ["a", "b", "foreign"].map(str::to_owned).into());
    let decided =
        |model: &str| plain.decide(&asked(model, "x")).now_or_never().unwrap().map(|it| it.target.name.clone());
    assert_eq!(decided("router-a").unwrap(), "there");
    assert_eq!(decided("router-foreign-0.5").unwrap(), "there");
    assert_eq!(decided("router-held").unwrap(), "there", "a threshold that is held is Python's");
    assert_eq!(decided("router-held-0.4").unwrap(), "m-expensive");
    assert_eq!(decided("router-fixed-0.5").unwrap(), "m-cheap");
    assert_eq!(decided("router-foreign-7").unwrap_err().kind(), Kind::Routing);
    let instead = made(Manner { on_error: OnError::Router("foreign".into()), ..Manner::default() });
    assert_eq!(of(&instead).len(), 5);
}

#[test]
fn conversations_are_remembered() {
    let manner = Manner { sticky: true, ..Manner::default() };
    let made = Parts { manner, ..parts(vec![fixed(0.6)]) };
    let sessions = Arc::clone(&made.sessions);
    decide(made, "router-fixed-0.5").unwrap();
    assert_eq!(sessions.lock().unwrap().len(), 1);
}

proptest! {
    #[test]
    fn any_model_string_is_decided_or_refused(model in "router-?(fixed|mine|nobody)?-?[0-9.,%a-z-]{0,12}|.{0,20}") {
        let mine = naming("mine", Verdict { rung: Some("cheap".into()), ..Verdict::default() }, &[]);
        match decide(parts(vec![fixed(0.5), mine]), &model) {
            Ok(decided) => prop_assert!(decided.rung.is_some() && !decided.reason.is_empty()),
            Err(error) => prop_assert_eq!(error.http_status(), 400),
        }
    }

    #[test]
    fn the_lot_is_fair(seed in 0_u8..4) {
        let _ = seed;
        let mean = (0..10_000).map(|_| Lot::drawn()).sum::<f64>() / 1e4;
        // The deviation of the mean is 0.0029: seven of them.
        prop_assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}
