//! Sums for a page are the same whoever makes them, and those that `spend` makes.

#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "a test may panic and say why")]

#[path = "support/postgres.rs"]
mod postgres;

use std::sync::Arc;
use std::time::Duration;

use ferroute::ledger::picture::{self, Picture, Span};
use ferroute::ledger::{Asked, Filter, Keep, Ledger, Outcome, Record, Score};
use ferroute::pricing::Usage;
use postgres::Server;

const BEGIN: i64 = 1_700_000_000_000_000;
const SECOND: i64 = 1_000_000;
const SPAN: Span = Span { since: BEGIN, until: BEGIN + 600 * SECOND, width: 60 * SECOND };

/// A call a second; of all kinds.
fn record(n: i64) -> Record {
    let strong = n % 3 == 0 || n % 20 == 0;
    let routed = n % 7 > 0;
    Record {
        ts_us: BEGIN + n * SECOND,
        key: None,
        session: None,
        router: routed.then(|| if n % 2 == 0 { "mf" } else { "local" }.into()),
        requested: None,
        model: if strong { "strong" } else { "weak" }.into(),
        tier: None,
        win_rate: routed.then(|| (n % 101) as f64 / 100.0),
        threshold: Some(0.5),
        holdout: n % 20 == 0,
        usage: Usage { prompt_tokens: (100 + n) as u64, completion_tokens: 5, ..Usage::default() },
        estimated: false,
        cost: (n % 11 > 0).then_some(if strong { 900_000_000_000 } else { 70_000_000_000 } + n * 1_000_003),
        router_cost: (n % 5 > 0).then_some(n * 1000),
        baseline: (n % 13 > 0).then_some(1_000_000_000_000),
        ttft_us: None,
        total_us: 2500,
        outcome: match n % 17 {
            0 => Outcome::Failed,
            1 => Outcome::Cancelled,
            2 => Outcome::Hedged,
            3 => Outcome::Shadow,
            4 => Outcome::Escalated,
            _ => Outcome::Ok,
        },
        error: None,
        attempts: 1,
        text: Some(format!("prompt {n}").into()),
        price_version: "test".into(),
        task: (n % 2 == 0).then(|| if n % 4 == 0 { "coding" } else { "writing" }.into()),
        tags: None,
        signs: None,
        asked: Asked::default(),
        response: None,
    }
}

fn filled(url: &str) -> Arc<Ledger> {
    let book = Ledger::open_with(url, Keep::Text, true).unwrap();
    for n in -5..610 {
        book.add(record(n));
    }
    book.flush(Duration::from_mins(1)).unwrap();
    let rows = book.calls(&Filter::default(), None).unwrap();
    let score = |call, n: i64, source: &str, model: Option<&str>| Score {
        call,
        ts: BEGIN + n,
        source: source.into(),
        score: (n % 5) as f64 / 4.0,
        probability: (n % 3 == 0).then_some(0.25),
        model: model.map(str::to_owned),
    };
    for (n, row) in (0..).zip(&rows) {
        if n % 4 == 0 {
            book.score(score(row.id, n, "user", None)).unwrap();
            // Said again, later: this one holds, though it comes under the model's own name.
            book.score(score(row.id, n + 1, "user", Some(&row.model))).unwrap();
            book.score(score(row.id, n + 3, "judge:a", Some("weak"))).unwrap();
            book.score(score(row.id, n, "ferroute:drawn", None)).unwrap();
        }
    }
    book.flush(Duration::from_mins(1)).unwrap();
    book
}

fn sorted(mut picture: Picture) -> Picture {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    picture.slices.sort_by_key(|of| (of.index, of.model.clone(), name(&of.router), of.outcome.name(), of.holdout));
    picture.bins.sort_by_key(|of| (of.router.clone(), of.index, of.model.clone()));
    picture
        .judged
        .sort_by_key(|of| (of.source.clone(), of.model.clone(), of.own, name(&of.task), name(&of.router), of.index));
    picture
}

fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-3)
}

fn assert_same(a: &Picture, b: &Picture) {
    assert_eq!(a.slices.len(), b.slices.len());
    for (x, y) in a.slices.iter().zip(&b.slices) {
        let key = |of: &picture::Slice| (of.index, of.model.clone(), of.router.clone(), of.outcome, of.holdout);
        assert_eq!(key(x), key(y));
        let (f, g) = (&x.figures, &y.figures);
        assert_eq!((f.n, f.priced, f.whole, f.compared), (g.n, g.priced, g.whole, g.compared), "{x:?}");
        let numbers = |of: &picture::Figures| {
            [
                of.cost,
                of.router_cost,
                of.whole_cost,
                of.whole_squares,
                of.squares,
                of.baseline,
                of.saved,
                of.prompt_tokens,
                of.completion_tokens,
            ]
        };
        assert!(numbers(f).iter().zip(numbers(g)).all(|(f, g)| near(*f, g)), "{x:?} {y:?}");
    }
    assert_eq!(a.bins.len(), b.bins.len());
    for (x, y) in a.bins.iter().zip(&b.bins) {
        let key = |of: &picture::Bin| (of.router.clone(), of.index, of.model.clone(), of.n, of.priced, of.compared);
        assert_eq!(key(x), key(y));
        assert!(near(x.cost, y.cost) && near(x.compared_cost, y.compared_cost) && near(x.baseline, y.baseline));
    }
    assert_eq!(a.judged.len(), b.judged.len());
    for (x, y) in a.judged.iter().zip(&b.judged) {
        let key = |of: &picture::Judged| {
            let of = of.clone();
            (of.source, of.model, of.own, of.task, of.router, of.index, of.scores.n)
        };
        assert_eq!(key(x), key(y));
        let (s, t) = (&x.scores, &y.scores);
        assert!(near(s.weight, t.weight) && near(s.squares, t.squares) && near(s.score, t.score), "{x:?} {y:?}");
    }
}

fn total(picture: &Picture, which: impl Fn(&picture::Slice) -> bool) -> picture::Figures {
    let mut all = picture::Figures::default();
    picture.slices.iter().filter(|slice| which(slice)).for_each(|slice| all.merge(&slice.figures));
    all
}

/// What the page shows is what `spend` says, of the same calls.
fn assert_as_spend(book: &Ledger, picture: &Picture) {
    let filter = Filter { since_us: Some(SPAN.since), until_us: Some(SPAN.until), ..Filter::default() };
    let spend = book.spend(&filter).unwrap();
    let dollars = |pico: i128| pico as f64 / 1e12;
    let calls = total(picture, |of| of.outcome != Outcome::Shadow && !of.outcome.is_beside());
    let paid = total(picture, |of| of.outcome != Outcome::Shadow);
    let shadows = total(picture, |of| of.outcome == Outcome::Shadow);
    assert_eq!((calls.n as u64, shadows.n as u64), (spend.all.calls, spend.all.shadows));
    assert_eq!((calls.n - calls.priced) as u64, spend.all.unpriced);
    assert!(near(paid.cost, dollars(spend.all.cost)) && near(shadows.cost, dollars(spend.all.shadow_cost)));
    assert!(near(paid.router_cost, dollars(spend.all.router_cost)));
    let beside = total(picture, |of| of.outcome.is_beside());
    assert!(near(calls.saved - beside.cost, dollars(spend.all.saved)), "{} {}", calls.saved, spend.all.saved);
    assert_eq!(calls.compared as u64, spend.all.compared);
    let (found, expected) = (picture::measured(&picture.slices).unwrap(), spend.measured.unwrap());
    assert_eq!((found.held, found.routed), (expected.held, expected.routed));
    let ends = |of: ferroute::ledger::Measured| [of.saved, of.baseline, of.interval.0, of.interval.1];
    assert!(ends(found).iter().zip(ends(expected)).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {expected:?}");
}

#[test]
fn every_store_gives_the_same_sums() {
    let folder = tempfile::tempdir().unwrap();
    let memory = filled("memory:");
    let expected = sorted(memory.picture(SPAN, picture::MOST).unwrap());
    assert_as_spend(&memory, &expected);
    assert_eq!(expected.slices.iter().map(|slice| slice.figures.n).sum::<i64>(), 600, "only the span's");
    assert!(expected.slices.iter().all(|slice| (0..10).contains(&slice.index)));
    let sources: std::collections::BTreeSet<&str> = expected.judged.iter().map(|of| of.source.as_str()).collect();
    assert_eq!(sources.into_iter().collect::<Vec<_>>(), ["judge:a", "user"]);
    let server = Server::start();
    let urls =
        [Some(format!("sqlite:///{}", folder.path().join("calls.db").display())), server.as_ref().map(Server::url)];
    for url in urls.iter().flatten() {
        let book = filled(url);
        let found = sorted(book.picture(SPAN, picture::MOST).unwrap());
        assert_eq!((found.cut, found.forgotten), (None, 0));
        assert_same(&found, &expected);
        assert_as_spend(&book, &found);

        let few = sorted(book.picture(SPAN, 100).unwrap());
        assert_eq!(few.slices.iter().map(|slice| slice.figures.n).sum::<i64>(), 100);
        assert_eq!(few.cut, Some(BEGIN + 499 * SECOND + 1));
        // Slices are counted from the begin of the span all the same.
        let last = |of: &Picture| {
            let slices = of.slices.iter().filter(|of| of.index == 9).cloned().collect();
            Picture { slices, ..Picture::default() }
        };
        assert_same(&last(&few), &last(&found));
    }
}

#[test]
fn the_last_calls_come_without_what_is_long() {
    let folder = tempfile::tempdir().unwrap();
    for url in ["memory:".to_owned(), format!("sqlite:///{}", folder.path().join("calls.db").display())] {
        let book = filled(&url);
        let filter = Filter { until_us: Some(SPAN.until), bare: true, ..Filter::default() };
        let rows = book.recent(&filter, 20).unwrap();
        let times: Vec<i64> = rows.iter().map(|row| (row.ts - BEGIN) / SECOND).collect();
        assert_eq!(times, (580..600).rev().collect::<Vec<_>>());
        assert!(rows.iter().all(|row| row.features.is_none() && row.text.is_none()));
        let told = book.recent(&Filter { bare: false, ..filter }, 1).unwrap();
        assert_eq!((told[0].text.as_deref(), &told[0].features), (Some("prompt 599"), &None));
    }
}
