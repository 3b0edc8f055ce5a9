use super::*;
use proptest::prelude::*;

const CODE: [&str; 4] =
    ["Write a Python function", "Why does my loop never end?", "Fix this compiler error", "Explain this SQL query"];
const COOKING: [&str; 4] =
    ["A recipe for lentil soup", "How long do I boil potatoes?", "What goes with roast chicken?", "Bake a cake"];

fn route(name: &str, target: &str, utterances: usize) -> Route {
    Route { name: name.to_owned(), target: Target::named(target), utterances }
}

fn model() -> SemanticModel {
    let routes = vec![route("code", "expensive", 4), route("cooking", "router-local-0.5", 4)];
    SemanticModel::local(routes, Target::named("mid"), &[CODE, COOKING].concat()).unwrap()
}

fn verdict(text: &str) -> Verdict {
    let model = model();
    model.verdict(&model.similarities_of_text(text).unwrap())
}

#[test]
fn a_near_text_takes_its_route_and_another_none() {
    let code = verdict("my python function never returns");
    assert_eq!((code.rung.as_deref(), code.label.as_deref()), (Some("expensive"), Some("code")));
    assert_eq!(code.scores[0].0, "code");
    let cooking = verdict("how do I cook potato soup");
    assert_eq!((cooking.rung, cooking.ask.as_deref()), (None, Some("router-local-0.5")));
    let none = verdict("Who won the election in 1932?");
    assert_eq!((none.rung.as_deref(), none.label), (Some("mid"), None));
    assert!(none.reason.contains("needed"), "{}", none.reason);
    assert_eq!(verdict("").reason, "no route: nothing to compare");
}

#[test]
fn many_are_as_one_by_one() {
    let model = model();
    let texts: Vec<String> = (0..200).map(|i| format!("{} {i}", CODE[i % 4])).collect();
    let many = model.similarities_of_texts(&texts, 3).unwrap();
    let single: Vec<f64> = texts.iter().flat_map(|text| model.similarities_of_text(text).unwrap()).collect();
    assert_eq!(many, single);
}

#[test]
fn what_does_not_fit_is_named() {
    let space = Arc::new(Space::new(&[1.0, 0.0, 0.0, 1.0, 0.5, 0.1], 2).unwrap());
    let made = |routes, vectors: &[f64]| {
        SemanticModel::new(Arc::clone(&space), routes, Target::named("mid"), vectors).unwrap_err().message().to_owned()
    };
    assert!(made(vec![], &[]).contains("at least one route"));
    assert!(made(vec![route("a", "x", 0)], &[]).contains("'a' has no utterance"));
    assert!(made(vec![route("a", "x", 1)], &[1.0]).contains("1 vectors of 2 numbers"));
    assert!(made(vec![route("a", "x", 2)], &[1.0, 0.0, f64::NAN, 0.0]).contains("'a', utterance 2: expected"));
    assert!(made(vec![route("a", "x", 1)], &[0.0, 0.0]).contains("'a', utterance 1: nothing to compare by"));
    assert!(model().similarities(&[1.0]).unwrap_err().message().contains("64 numbers"));
    assert!(model().similarities(&[f64::INFINITY; 64]).unwrap_err().message().contains("finite"));
    assert!(model().with_thresholds(vec![0.5]).is_err() && model().with_thresholds(vec![0.5, f64::NAN]).is_err());
}

#[test]
fn one_utterance_is_a_route() {
    let model = SemanticModel::local(vec![route("a", "x", 1)], Target::named("mid"), &CODE[..1]).unwrap();
    assert!(model.thresholds()[0] > 0.1 && model.thresholds()[0] < 0.9, "{:?}", model.thresholds());
    let near = model.similarities_of_text(CODE[0]).unwrap();
    assert!((near[0] - 1.0).abs() < 1e-6);
}

#[test]
fn the_two_nearest_count() {
    assert_eq!(nearest_two([0.1, 0.9, 0.5].into_iter()), 0.7);
    assert_eq!(nearest_two([0.9, 0.9].into_iter()), 0.9);
    assert_eq!(nearest_two([0.3].into_iter()), 0.3);
}

proptest! {
    // A higher threshold never sends a route more, and any text has a verdict.
    #[test]
    fn thresholds_are_monotone(text in ".{0,60}", low in -1.0..1.0f64, more in 0.0..1.0f64) {
        let model = model();
        let near = model.similarities_of_text(&text).unwrap();
        let taken = |first: f64| winner(&near, &[first, 2.0]).is_some();
        prop_assert!(taken(low) || !taken(low + more));
        prop_assert!(near.iter().all(|near| (-1.0..=1.0 + 1e-6).contains(near)));
        let verdict = model.verdict(&near);
        prop_assert!(verdict.rung.is_some() != verdict.ask.is_some());
    }
}
