//! What a request passes, from its key to its rung.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::rules::{Rate, ShareCap};
use super::*;
use crate::error::Error;

const HOUR: Duration = Duration::from_hours(1);
const LADDER: [Rung<'static>; 3] = [rung("nano", "cheap"), rung("mini", "mid"), rung("openai/big", "expensive")];

const fn rung(model: &'static str, tier: &'static str) -> Rung<'static> {
    Rung { model, tier: Some(tier), open: true }
}

fn who(key: Option<&str>, team: Option<&str>, model: Option<&str>) -> Who {
    Who { key: key.map(Into::into), team: team.map(Into::into), model: model.map(Into::into) }
}

fn caller(name: &str, team: Option<&str>) -> Caller {
    let key = Key { id: format!("key_{name}"), name: name.into(), team: team.map(Into::into), ..Key::default() };
    Caller { key: Some(Arc::new(key)) }
}

fn requests(who: Who, count: u64) -> Rule {
    Rule { who, requests: Some(Rate { count, per: HOUR }), ..Rule::default() }
}

fn code(error: &Error) -> (u16, &'static str) {
    let denied = error.why_denied().unwrap();
    (denied.status, denied.code)
}

/// A request for a router's choice, as the server makes it; gives the rung.
fn ask(policies: &Policies, caller: &Caller, chosen: usize, win_rate: f64) -> Result<(usize, Pass), Error> {
    let mut pass = policies.enter(caller, "router-x-0.5", "router-x-0.5", 400)?;
    let mut choice = policies.choose(caller, &LADDER, chosen, Some(win_rate))?.for_pass(&pass);
    let rung = choice.next()?;
    choice.accept(&mut pass);
    Ok((rung, pass))
}

#[test]
fn a_rule_is_for_those_it_names() {
    let rules = [
        requests(who(Some("a"), None, None), 1),
        requests(who(None, Some("t"), None), 2),
        requests(who(Some("key_b"), Some("other"), None), 0),
        requests(Who::default(), 4),
    ];
    let policies = Policies::new(&rules);
    let served = |caller: &Caller| ask(&policies, caller, 0, 0.5).map(|_| ()).map_err(|error| code(&error));
    let limit = Err((429, "rate_limit_exceeded"));
    assert_eq!(served(&caller("a", None)), Ok(()));
    assert_eq!(served(&caller("a", None)), limit, "one for the key");
    assert_eq!([(); 3].map(|()| served(&caller("b", Some("t")))), [Ok(()), Ok(()), limit], "two for the team");
    assert_eq!(served(&Caller::default()), Ok(()), "what was refused before is not counted");
    assert_eq!(served(&Caller::default()), limit, "four for all");
}

#[test]
fn a_limit_says_when_to_come_again() {
    let policies = Policies::new(&[requests(Who::default(), 2)]);
    let (_, pass) = ask(&policies, &Caller::default(), 0, 0.5).unwrap();
    let headers = pass.headers();
    assert_eq!(headers[0], ("x-ratelimit-limit-requests", "2".to_owned()));
    assert_eq!(headers[1], ("x-ratelimit-remaining-requests", "1".to_owned()));
    assert!(headers[2].1 == "30m" || headers[2].1.starts_with("29m"), "{headers:?}");
    ask(&policies, &Caller::default(), 0, 0.5).unwrap();
    let error = ask(&policies, &Caller::default(), 0, 0.5).unwrap_err();
    let after = error.why_denied().unwrap().retry_after.unwrap();
    assert!(after + Duration::from_mins(1) > HOUR / 2 && after <= HOUR / 2, "{after:?}");
    assert!(error.message().contains("2/hour requests for all callers together"), "{error}");
}

#[test]
fn places_are_held_to_the_end_and_a_reload_keeps_them() {
    let rule = |most| Rule { concurrency: Some(most), ..Rule::default() };
    let policies = Policies::new(&[rule(2)]);
    let first = ask(&policies, &Caller::default(), 0, 0.5).unwrap();
    let second = ask(&policies, &Caller::default(), 0, 0.5).unwrap();
    assert_eq!(code(&ask(&policies, &Caller::default(), 0, 0.5).unwrap_err()), (429, "concurrency_limit_exceeded"));
    let mut reloaded = Policies::new(&[rule(3)]);
    reloaded.inherit(&policies);
    let third = ask(&reloaded, &Caller::default(), 0, 0.5).unwrap();
    assert!(ask(&reloaded, &Caller::default(), 0, 0.5).is_err());
    drop((first, second, third));
    assert_eq!(reloaded.limits()[0].remaining, 3);
    assert!(ask(&policies, &Caller::default(), 0, 0.5).is_ok());
}

#[test]
fn never_more_at_once_than_there_are_places() {
    let policies = Policies::new(&[Rule { concurrency: Some(5), ..Rule::default() }]);
    let (now, most) = (AtomicU32::new(0), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..500 {
                    if let Ok(held) = ask(&policies, &Caller::default(), 0, 0.5) {
                        most.fetch_max(now.fetch_add(1, Ordering::AcqRel) + 1, Ordering::AcqRel);
                        now.fetch_sub(1, Ordering::AcqRel);
                        drop(held);
                    }
                }
            });
        }
    });
    assert!((1..=5).contains(&most.load(Ordering::Acquire)));
}

#[test]
fn a_model_at_its_limit_is_refused_or_goes_to_the_next_rung() {
    let rule = |at_limit| Rule { at_limit, ..requests(who(None, None, Some("big")), 1) };
    let strict = Policies::new(&[rule(AtLimit::Refuse)]);
    assert_eq!(ask(&strict, &Caller::default(), 2, 0.5).unwrap().0, 2);
    assert_eq!(code(&ask(&strict, &Caller::default(), 2, 0.5).unwrap_err()), (429, "rate_limit_exceeded"));
    assert_eq!(ask(&strict, &Caller::default(), 1, 0.5).unwrap().0, 1, "other models have no limit");
    let mild = Policies::new(&[rule(AtLimit::Downgrade)]);
    let mut pass = mild.enter(&Caller::default(), "router-x-0.5", "router-x-0.5", 10).unwrap();
    assert_eq!(ask(&mild, &Caller::default(), 2, 0.5).unwrap().0, 2);
    let nobody = Caller::default();
    let mut choice = mild.choose(&nobody, &LADDER, 2, Some(0.5)).unwrap();
    assert_eq!(choice.next().unwrap(), 1);
    let note = choice.accept(&mut pass).unwrap();
    assert!(note.starts_with("not answered by `openai/big`: Rate limit reached"), "{note}");
}

#[test]
fn what_somebody_else_refuses_is_given_back() {
    let rules = [
        requests(Who::default(), 10),
        Rule { at_limit: AtLimit::Downgrade, ..requests(who(None, None, Some("big")), 1) },
    ];
    let policies = Policies::new(&rules);
    let nobody = Caller::default();
    let budget =
        || Error::denied(crate::error::Denied { status: 429, code: "budget_exceeded", retry_after: None }, "no money");
    for _ in 0..5 {
        let mut pass = policies.enter(&nobody, "router-x-0.5", "router-x-0.5", 10).unwrap();
        let mut choice = policies.choose(&nobody, &LADDER, 2, None).unwrap().for_pass(&pass);
        assert_eq!(choice.next().unwrap(), 2);
        choice.refused(budget(), AtLimit::Downgrade).unwrap();
        assert_eq!(choice.next().unwrap(), 1);
        assert_eq!(code(&choice.refused(budget(), AtLimit::Refuse).unwrap_err()).1, "budget_exceeded");
        drop(choice);
        pass.spent(0);
    }
    assert_eq!(policies.limits().iter().map(|limit| limit.remaining).collect::<Vec<_>>(), [10, 1]);
}

#[test]
fn the_last_word_is_why_the_best_rung_is_not_to_be_had() {
    let down = |model, count| Rule { at_limit: AtLimit::Downgrade, ..requests(who(None, None, Some(model)), count) };
    let policies = Policies::new(&[down("big", 1), down("mini", 1), down("nano", 1)]);
    let rungs: Vec<usize> = (0..3).map(|_| ask(&policies, &Caller::default(), 2, 0.5).unwrap().0).collect();
    assert_eq!(rungs, [2, 1, 0]);
    let error = ask(&policies, &Caller::default(), 2, 0.5).unwrap_err();
    assert!(error.message().contains("model big"), "{error}");
}

#[test]
fn models_that_are_not_allowed_are_not_asked() {
    let rule = |who, models: &[&str]| Rule {
        who,
        models: Some(models.iter().map(|&model| model.to_owned()).collect()),
        ..Rule::default()
    };
    let policies = Policies::new(&[rule(who(None, Some("t"), None), &["router-x", "nano", "mini"])]);
    let team = caller("a", Some("t"));
    assert_eq!(ask(&policies, &team, 2, 0.5).unwrap().0, 1, "the nearest rung that is allowed");
    assert_eq!(ask(&policies, &caller("b", None), 2, 0.5).unwrap().0, 2, "others may");
    let named = |asked: &str| policies.enter(&team, asked, asked, 1).map(|_| ()).map_err(|error| code(&error));
    assert_eq!(named("nano"), Ok(()));
    assert_eq!(named("openai/big"), Err((403, "model_not_allowed")));
    assert_eq!(named("router-y-0.5"), Err((403, "model_not_allowed")));
    let up = Policies::new(&[rule(Who::default(), &["router-x", "big"])]);
    assert_eq!(ask(&up, &team, 0, 0.5).unwrap().0, 2, "or above");
    let mut closed = LADDER;
    closed[2].open = false;
    assert_eq!(code(&up.choose(&team, &closed, 0, None).unwrap_err()), (403, "model_not_allowed"));
    let error = policies.enter(&team, &format!("x\n{}", "y".repeat(5_000)), "x", 1).unwrap_err();
    assert!(error.message().len() < 300 && !error.message().contains('\n'));
}

#[test]
fn an_answer_climbs_neither_to_what_is_not_allowed_nor_to_what_is_capped() {
    let list = Some(vec!["router-x".to_owned(), "nano".to_owned(), "mini".to_owned()]);
    let named = Policies::new(&[Rule { models: list, ..Rule::default() }]);
    let may = |at: usize| named.may_answer(&Caller::default(), &LADDER[at], &LADDER);
    assert_eq!((may(1), may(2)), (true, false));
    let bars = |policies: &Policies, at: usize| policies.bars_instead(&Caller::default(), &LADDER[at], &LADDER[0]);
    let capped = Policies::new(&[cap(Who::default(), "mini", 0.5, AtLimit::Refuse)]);
    assert_eq!((bars(&capped, 1), bars(&capped, 2)), (Some("its share is capped"), None));
    assert_eq!(bars(&Policies::default(), 2), None);
}

#[test]
fn what_answers_instead_is_allowed_itself_and_has_no_limits_that_would_not_count_it() {
    let nobody = Caller::default();
    let open = Policies::new(&[Rule { models: Some(vec!["router-x".to_owned()]), ..Rule::default() }]);
    assert!(open.may_answer(&nobody, &LADDER[2], &LADDER), "the choice was left to the router");
    assert!(!open.may_answer(&nobody, &LADDER[2], &[]), "nobody was left a choice by a model's own name");
    let limited = Policies::new(&[requests(who(None, None, Some("mini")), 5)]);
    let bars = |at: usize, chosen: usize| limited.bars_instead(&nobody, &LADDER[at], &LADDER[chosen]);
    assert_eq!((bars(1, 0), bars(2, 0)), (Some("it has limits of its own"), None));
    assert_eq!(bars(1, 1), None, "the chosen one was counted under the same limit");
}

#[test]
fn a_rung_that_one_of_two_limits_refuses_takes_nothing_of_the_other() {
    let down = |count| Rule { at_limit: AtLimit::Downgrade, ..requests(who(None, None, Some("big")), count) };
    let policies = Policies::new(&[down(10), Rule { concurrency: Some(3), ..down(1) }]);
    let asked: Vec<_> = (0..3).map(|_| ask(&policies, &Caller::default(), 2, 0.5).unwrap()).collect();
    assert_eq!(asked.iter().map(|(rung, _)| *rung).collect::<Vec<_>>(), [2, 1, 1]);
    assert_eq!(policies.limits().iter().map(|limit| limit.remaining).collect::<Vec<_>>(), [9, 0, 2]);
}

fn cap(who: Who, model: &str, most: f64, at_limit: AtLimit) -> Rule {
    Rule { who, share: Some(ShareCap { model: model.into(), most }), at_limit, ..Rule::default() }
}

#[test]
fn a_share_cap_moves_what_is_above_it_to_the_next_rung() {
    let policies = Policies::new(&[cap(Who::default(), "expensive", 0.2, AtLimit::Downgrade)]);
    let mut rungs = Vec::new();
    for at in 0..5_000_u64 {
        // Half of the traffic would go to the expensive rung.
        let score = (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 11) as f64 / (1_u64 << 53) as f64;
        rungs.push(ask(&policies, &Caller::default(), if score > 0.5 { 2 } else { 0 }, score).unwrap().0);
    }
    let strong = rungs.iter().filter(|&&rung| rung == 2).count();
    assert!((950..=1_000).contains(&strong), "{strong}");
    assert!(rungs.windows(1_000).all(|window| window.iter().filter(|&&rung| rung == 2).count() <= 200));
    assert!(rungs.iter().filter(|&&rung| rung == 1).count() > 1_000, "the others are moved");
    let state = &policies.caps()[0];
    assert_eq!((state.seen, state.model.as_str()), (999, "expensive"));
    assert!(state.strong <= 200);
}

#[test]
fn a_share_cap_that_refuses_says_so() {
    let policies = Policies::new(&[cap(Who::default(), "big", 0.0, AtLimit::Refuse)]);
    let error = ask(&policies, &Caller::default(), 2, 0.9).unwrap_err();
    assert_eq!(code(&error), (429, "share_cap_reached"));
    assert!(error.message().contains("share of 0%"), "{error}");
    assert_eq!(policies.caps()[0].seen, 1, "a refusal is a decision");
}

#[test]
fn a_share_cap_counts_the_decisions_of_those_it_is_for() {
    let policies = Policies::new(&[cap(who(None, Some("t"), None), "big", 0.5, AtLimit::Downgrade)]);
    for _ in 0..10 {
        assert_eq!(ask(&policies, &caller("x", None), 2, 0.5).unwrap().0, 2);
    }
    assert_eq!(policies.caps()[0].seen, 0);
    ask(&policies, &caller("y", Some("t")), 2, 0.5).unwrap();
    assert_eq!((policies.caps()[0].seen, policies.caps()[0].strong), (1, 1));
    let mut reloaded = Policies::new(&[cap(who(None, Some("t"), None), "big", 0.1, AtLimit::Downgrade)]);
    reloaded.inherit(&policies);
    assert_eq!((reloaded.caps()[0].seen, reloaded.caps()[0].most), (1, 0.1), "a reload forgets no decision");
}

#[test]
fn no_window_exceeds_a_cap_however_many_ask_and_others_refuse() {
    let rules =
        [cap(Who::default(), "big", 0.05, AtLimit::Downgrade), cap(Who::default(), "mini", 0.1, AtLimit::Downgrade)];
    let policies = Policies::new(&rules);
    // Decisions in the order in which the ring has them, by the only thread that may enter at a time.
    let order = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (policies, order) = (&policies, &order);
            scope.spawn(move || {
                let nobody = Caller::default();
                for at in 0..1_000_u64 {
                    let lot = (at * 4 + thread).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                    let mut pass = Pass::default();
                    let (place, choice) = {
                        let mut order = order.lock().unwrap();
                        let choice = policies.choose(&nobody, &LADDER, 2, Some((lot % 997) as f64 / 997.0)).unwrap();
                        order.push(0);
                        (order.len() - 1, choice)
                    };
                    let mut choice = choice;
                    let mut rung = choice.next().unwrap();
                    if lot % 3 == 0 && rung > 0 {
                        let no = Error::denied(
                            crate::error::Denied { status: 429, code: "budget_exceeded", retry_after: None },
                            "",
                        );
                        choice.refused(no, AtLimit::Downgrade).unwrap();
                        rung = choice.next().unwrap();
                    }
                    choice.accept(&mut pass);
                    order.lock().unwrap()[place] = rung;
                }
            });
        }
    });
    let order = order.into_inner().unwrap();
    let most = |rung: usize| order.windows(1_000).map(|window| window.iter().filter(|&&at| at == rung).count()).max();
    assert!(most(2) <= Some(50) && most(1) <= Some(100), "{:?} {:?}", most(2), most(1));
    assert!(order.contains(&2) && order.contains(&1));
    let caps = policies.caps();
    let last = |rung: usize| order[order.len() - 999..].iter().filter(|&&at| at == rung).count();
    assert_eq!((caps[0].strong, caps[1].strong), (last(2), last(1)), "the rings have what was done");
}
