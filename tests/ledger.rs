//! The book of calls in its three stores, alone and with others at the same file.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    missing_docs,
    reason = "a test may panic and say why"
)]

#[path = "support/postgres.rs"]
mod postgres;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use ferroute::ledger::{Asked, Filter, Keep, Ledger, Outcome, Record, Score, Signs, Tags, Wanted};
use ferroute::pricing::Usage;
use postgres::Server;

const DOLLAR: i64 = 1_000_000_000_000;
const LONG: Duration = Duration::from_mins(1);

fn record(n: i64) -> Record {
    Record {
        ts_us: 1_700_000_000_000_000 + n,
        key: Some("team".into()),
        session: Some(format!("s{}", n % 7)),
        router: (n % 3 > 0).then(|| "mf".into()),
        requested: Some("router-mf-0.5".into()),
        model: if n % 2 == 0 { "weak" } else { "strong" }.into(),
        tier: None,
        win_rate: Some(0.25),
        threshold: Some(0.5),
        holdout: n % 11 == 0,
        usage: Usage { prompt_tokens: 100 + n as u64, completion_tokens: 5, cached_tokens: 10, ..Usage::default() },
        estimated: n % 13 == 0,
        cost: (n % 5 > 0).then_some(DOLLAR / 1000 + n),
        router_cost: Some(n % 4),
        baseline: Some(DOLLAR / 100),
        ttft_us: (n % 2 == 0).then_some(1500 + n),
        total_us: 2500 + n,
        outcome: [Outcome::Ok, Outcome::Ok, Outcome::Cancelled, Outcome::Failed, Outcome::Hedged][n as usize % 5],
        error: (n % 5 == 3).then(|| "timeout".into()),
        attempts: 1 + (n % 3) as u32,
        text: Some(format!("prompt {n}: why?").into()),
        price_version: "test".into(),
        task: (n % 2 == 0).then(|| "summarization".into()),
        tags: (n % 3 == 0).then(|| r#"{"team":"legal"}"#.into()),
        signs: (n % 5 < 2).then_some(if n % 4 == 0 { Signs::EMPTY } else { Signs::NONE }),
        asked: Asked::default(),
        response: Some(format!("r{n}")),
    }
}

fn url(path: &Path) -> String {
    format!("sqlite:///{}", path.display())
}

/// Every store, with a name; the server is the last one's.
fn stores(folder: &Path) -> (Vec<(&'static str, Arc<Ledger>)>, Option<Server>) {
    let mut stores = vec![
        ("memory", Ledger::open("memory:").unwrap()),
        ("sqlite", Ledger::open_with(&url(&folder.join("a.db")), Keep::Text, true).unwrap()),
    ];
    let server = Server::start();
    if let Some(server) = &server {
        stores.push(("postgres", Ledger::open_with(&server.url(), Keep::Text, true).unwrap()));
    }
    (stores, server)
}

#[test]
fn all_stores_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, _server) = stores(folder.path());
    let filters = [
        Filter::default(),
        Filter { router: Some("mf".into()), ..Filter::default() },
        Filter { model: Some("weak".into()), ..Filter::default() },
        Filter { since_us: Some(1_700_000_000_000_100), until_us: Some(1_700_000_000_000_200), ..Filter::default() },
        Filter { model: Some("nobody's".into()), ..Filter::default() },
    ];
    for (_, ledger) in &stores {
        (0..1000).for_each(|n| ledger.add(record(n)));
    }
    for filter in filters {
        let expected = stores[0].1.spend(&filter).unwrap();
        let rows = stores[0].1.calls(&filter, None).unwrap();
        for (name, ledger) in &stores[1..] {
            let found = ledger.spend(&filter).unwrap();
            assert_eq!(found.all, expected.all, "{name} {filter:?}");
            assert_eq!(found.total_ms, expected.total_ms, "{name}");
            assert_eq!(found.first_ms, expected.first_ms, "{name}");
            assert_eq!(found.measured, expected.measured, "{name}");
            let mut found = ledger.calls(&filter, None).unwrap();
            assert_eq!(found.len(), rows.len());
            for (row, expected) in found.iter_mut().zip(&rows) {
                assert!(row.text.take().unwrap().starts_with("prompt "), "{name}");
                row.id = expected.id;
                assert_eq!(row, expected, "{name}");
            }
        }
    }
    for (name, ledger) in &stores {
        assert_eq!(ledger.spend(&Filter::default()).unwrap().lost, 0, "{name}");
        assert_eq!(ledger.calls(&Filter::default(), Some(3)).unwrap().len(), 3, "{name}");
        assert_eq!(ledger.habits("weak").unwrap().completion_quantiles[50], 5.0, "{name}");
    }
}

#[test]
fn all_stores_know_the_same_scores() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, _server) = stores(folder.path());
    let mut known = Vec::new();
    for (name, ledger) in &stores {
        (0..100).for_each(|n| ledger.add(record(n)));
        for n in (0..100).filter(|n| n % 5 < 3) {
            let call = ledger.find(&Wanted::Response(format!("r{n}"), None)).unwrap();
            assert_eq!(ledger.find(&Wanted::Call(call)).unwrap(), call, "{name}");
            let of = |model: Option<&str>, score, ts| Score {
                call,
                ts,
                source: "judge:a".into(),
                score,
                probability: Some(0.25),
                model: model.map(Into::into),
            };
            for each in [of(None, 0.5, 2), of(Some("other"), 0.75, 1), of(None, 0.25, 3), of(None, 1.0, 1)] {
                ledger.score(each).unwrap();
            }
        }
        // Failed calls and losers of hedges have no answer that its caller knows.
        for n in [3, 4, 1000] {
            let missing = ledger.find(&Wanted::Response(format!("r{n}"), None)).unwrap_err();
            assert_eq!(missing.kind(), ferroute::Kind::Name, "{name} {n}");
        }
        let filter = Filter { router: Some("mf".into()), ..Filter::default() };
        let tags = Tags(vec![("team".into(), "legal".into())]);
        let all = ledger.scored(&Filter::default(), &Tags::default()).unwrap();
        assert_eq!(all.len(), 2 * 60, "{name}");
        assert!(all.windows(2).all(|pair| pair[0].ts <= pair[1].ts), "{name}");
        assert_eq!(all.iter().map(|each| each.score).sum::<f64>(), 60.0, "{name}");
        let some = ledger.scored(&filter, &Tags::default()).unwrap();
        assert_eq!(some.len(), (0..100).filter(|n| n % 5 < 3 && n % 3 > 0).count() * 2, "{name}");
        let tagged = ledger.scored(&Filter::default(), &tags).unwrap();
        assert_eq!(tagged.len(), (0..100).filter(|n| n % 5 < 3 && n % 3 == 0).count() * 2, "{name}");
        known.push(
            all.into_iter().map(|each| ferroute::ledger::Scored { call: 0, text: None, ..each }).collect::<Vec<_>>(),
        );
    }
    assert!(known.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn scores_that_cannot_be_written_yet_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.db");
    let ledger = Ledger::open(&url(&path)).unwrap();
    ledger.add(record(1));
    ledger.flush(LONG).unwrap();
    let mut other = Command::new("python3")
        .args([
            "-c",
            "import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute('BEGIN IMMEDIATE')
print('locked', flush=True)
sys.stdin.read()
c.execute('COMMIT')",
        ])
        .arg(&path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(other.stdout.take().unwrap()), &mut line).unwrap();
    ledger.add(record(2));
    for n in [1, 2] {
        let call = ledger.find(&Wanted::Response(format!("r{n}"), None)).unwrap();
        ledger.score(score(call, 0.5)).unwrap();
    }
    let known = |ledger: &Ledger| ledger.scored(&Filter::default(), &Tags::default()).unwrap().len();
    assert_eq!(known(&ledger), 2);
    assert_eq!(ledger.flush(Duration::from_millis(50)).unwrap_err().kind(), ferroute::Kind::Timeout);
    drop(other.stdin.take());
    other.wait().unwrap();
    ledger.flush(LONG).unwrap();
    drop(ledger);
    assert_eq!(known(&Ledger::open(&url(&path)).unwrap()), 2);
}

#[test]
fn what_was_added_is_there_after_dropping_and_opening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.db");
    let ledger = Ledger::open(&url(&path)).unwrap();
    (0..200).for_each(|n| ledger.add(record(n)));
    drop(ledger);
    assert!(!path.with_extension("db-wal").exists(), "the last one out folds the log in");
    let again = Ledger::open(&url(&path)).unwrap();
    assert_eq!(again.calls(&Filter::default(), None).unwrap().len(), 200);
    assert_eq!(again.habits("strong").unwrap().completion_quantiles[0], 5.0);
}

#[test]
fn one_file_has_one_writer_in_a_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.db");
    let first = Ledger::open(&url(&path)).unwrap();
    let second = Ledger::open_with(&format!("sqlite:{}", path.display()), Keep::None, true).unwrap();
    (0..100).for_each(|n| first.add(record(n)));
    (100..200).for_each(|n| second.add(record(n)));
    let calls = second.calls(&Filter::default(), None).unwrap();
    assert_eq!(calls.len(), 200, "each sees what the other has not written yet");
    assert_eq!(calls.iter().filter(|call| call.features.is_some()).count(), 100);
}

#[test]
fn threads_lose_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (stores, _server) = stores(folder.path());
    for (name, ledger) in stores {
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let ledger = &ledger;
                scope.spawn(move || (0..1000).for_each(|n| ledger.add(record(1000 * thread + n))));
            }
        });
        let expected: i64 = (0..8000).filter_map(|n| record(n).cost).sum();
        let found = ledger.spend(&Filter::default()).unwrap();
        assert_eq!(found.all.calls + found.all.hedged, 8000, "{name}");
        assert_eq!(found.all.cost, i128::from(expected), "{name}");
    }
}

#[test]
fn a_locked_file_delays_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.db");
    let ledger = Ledger::open(&url(&path)).unwrap();
    ledger.add(record(1));
    ledger.flush(LONG).unwrap();
    // Another process writes for a second.
    let mut other = Command::new("python3")
        .args(["-c", "import sqlite3, sys, time\nc = sqlite3.connect(sys.argv[1], isolation_level=None)\nc.execute('BEGIN IMMEDIATE')\nprint('locked', flush=True)\ntime.sleep(1)\nc.execute('COMMIT')"])
        .arg(&path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(other.stdout.take().unwrap()), &mut line).unwrap();
    (2..100).for_each(|n| ledger.add(record(n)));
    let short = ledger.flush(Duration::from_millis(50)).unwrap_err();
    assert_eq!(short.kind(), ferroute::Kind::Timeout);
    assert_eq!(ledger.spend(&Filter::default()).unwrap().all.calls, (1..100).filter(|n| n % 5 != 4).count() as u64);
    other.wait().unwrap();
    ledger.flush(LONG).unwrap();
}

#[test]
fn rows_that_no_store_takes_do_not_stop_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.db");
    let ledger = Ledger::open(&url(&path)).unwrap();
    ledger.close(LONG).unwrap();
    let run = Command::new("python3")
        .args(["-c", "import sqlite3, sys\nc = sqlite3.connect(sys.argv[1])\nc.execute(\"CREATE TRIGGER no BEFORE INSERT ON calls WHEN NEW.model = 'strong' BEGIN SELECT RAISE(ABORT, 'no strong ones'); END\")\nc.commit()"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(run.success());
    (0..10).for_each(|n| ledger.add(record(n)));
    let found = ledger.spend(&Filter::default()).unwrap();
    assert_eq!((found.all.calls + found.all.hedged, found.lost), (5, 5));
}

#[test]
fn readers_in_other_processes_do_no_harm() {
    // Python's library in the same process is the subject of a Python test.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("calls.db");
    let ledger = Ledger::open(&url(&path)).unwrap();
    for round in 0..5 {
        (0..50).for_each(|n| ledger.add(record(50 * round + n)));
        ledger.flush(LONG).unwrap();
        let count = Command::new("python3")
            .args(["-c", "import sqlite3, sys\nprint(sqlite3.connect(sys.argv[1]).execute('SELECT count(*) FROM calls').fetchone()[0])"])
            .arg(&path)
            .output()
            .unwrap();
        assert_eq!(String::from_utf8(count.stdout).unwrap().trim(), (50 * (round + 1)).to_string());
    }
}

#[test]
fn urls_and_files_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.db");
    std::fs::write(&text, "these are notes, and no database of any kind; they go on for a while".repeat(20)).unwrap();
    let kind = |url: &str, create| Ledger::open_with(url, Keep::None, create).unwrap_err().kind();
    assert_eq!(kind("mysql://host/calls", true), ferroute::Kind::Value);
    assert_eq!(kind(&url(&text), true), ferroute::Kind::Io);
    assert_eq!(kind(&url(&folder.path().join("missing.db")), false), ferroute::Kind::Missing);
    assert!(!folder.path().join("missing.db").exists());
    assert_eq!(kind(&url(&folder.path().join("no/folder.db")), true), ferroute::Kind::Io);
    assert_eq!(kind("postgresql://me@127.0.0.1:1/calls", true), ferroute::Kind::Io);
}

#[test]
fn a_book_can_be_asked_inside_a_runtime() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&url(&folder.path().join("calls.db"))).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        ledger.add(record(1));
        assert_eq!(ledger.spend(&Filter::default()).unwrap().all.calls, 1);
    });
}

/// The tables of the versions before this one, and one call in them.
const OLDER: [[&str; 2]; 2] = [
    [include_str!("goldens/ledger/sqlite_1.sql"), include_str!("goldens/ledger/postgres_1.sql")],
    [
        concat!(include_str!("goldens/ledger/sqlite_2.sql"), ";PRAGMA user_version = 2"),
        concat!(
            include_str!("goldens/ledger/postgres_2.sql"),
            ";COMMENT ON TABLE calls IS 'ferroute ledger, version 2'"
        ),
    ],
];
const OLDER_CALL: &str = "INSERT INTO calls (id, ts, model, holdout, prompt_tokens, completion_tokens, cached_tokens, \
     cache_write_tokens, reasoning_tokens, estimated, total_ms, outcome, attempts, price_version) \
     VALUES (7, 1, 'old', 0, 10, 5, 0, 0, 0, 0, 2.5, 'ok', 1, 'x')";

const OLDER_OUTCOME: &str =
    "INSERT INTO outcomes (call_id, source, score, probability, ts) VALUES (7, 'x', 1, NULL, 1)";

/// Runs statements in a store, past us.
fn run<C: sqlx::Connection>(url: &str, statements: &str)
where
    for<'a> &'a mut C: sqlx::Executor<'a, Database = C::Database>,
{
    use sqlx::Executor;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = C::connect(url).await.unwrap();
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))).await.unwrap();
        connection.close().await.unwrap();
    });
}

/// What an older store is after we have opened it, and what its older writers can still do.
fn check_older(url: &str, write: impl Fn(&str)) {
    for round in 0..2 {
        let ledger = Ledger::open(url).unwrap();
        ledger.add(Record { model: format!("new {round}"), ..record(0) });
        ledger.flush(LONG).unwrap();
        let calls = ledger.calls(&Filter::default(), None).unwrap();
        assert_eq!(calls.len(), 2 + 2 * round, "{url}");
        let (old, new) = (&calls[0], &calls[calls.len() - 1]);
        assert_eq!((old.model.as_str(), &old.task, &old.tags, &old.signs), ("old", &None, &None, &None));
        assert_eq!((new.task.as_deref(), new.signs.as_deref()), (Some("summarization"), Some("empty")));
        assert_eq!(new.tags.as_deref(), Some(r#"{"team":"legal"}"#));
        // Nobody has looked at the older ones.
        let failures = ledger.failures(&Filter::default()).unwrap().groups;
        assert_eq!(failures.iter().map(|group| group.counts.calls).sum::<u64>(), 1 + round as u64);
        assert_eq!((&old.response, new.response.as_deref()), (&None, Some("r0")));
        // An older writer's outcome is of the answer that was handed on.
        let scores = |ledger: &Ledger| -> Vec<(String, f64)> {
            let found = ledger.scored(&Filter::default(), &Tags::default()).unwrap();
            found.iter().map(|each| (each.scored.to_string(), each.score)).collect()
        };
        let call = ledger.find(&Wanted::Response("r0".into(), None)).unwrap();
        ledger.score(score(call, 0.25)).unwrap();
        let found = scores(&ledger);
        assert_eq!(found.len(), 2 + round, "{found:?}");
        assert_eq!((&found[0], found[1 + round].1), (&("old".to_owned(), 1.0), 0.25));
        write(&OLDER_CALL.replace("(7, ", &format!("({}, ", 8 + round)));
    }
}

fn score(call: i64, score: f64) -> Score {
    Score { call, ts: 5, source: "user".into(), score, probability: None, model: None }
}

#[test]
fn an_older_store_gains_the_columns_and_keeps_its_writers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let at = format!("sqlite://{}?mode=rwc", path.display());
    for [sqlite, postgres] in OLDER {
        let there = format!("{OLDER_CALL};{OLDER_OUTCOME}");
        run::<sqlx::SqliteConnection>(&at, &format!("{sqlite};{there}"));
        check_older(&url(&path), |statement| run::<sqlx::SqliteConnection>(&at, statement));
        std::fs::remove_file(&path).unwrap();
        if let Some(server) = Server::start() {
            run::<sqlx::PgConnection>(&server.url(), &format!("{postgres};{there}"));
            check_older(&server.url(), |statement| run::<sqlx::PgConnection>(&server.url(), statement));
        }
    }
}

#[test]
fn a_later_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later.db");
    drop(Ledger::open(&url(&path)).unwrap());
    run::<sqlx::SqliteConnection>(&format!("sqlite://{}", path.display()), "PRAGMA user_version = 4");
    let refused = Ledger::open(&url(&path)).unwrap_err();
    assert!(refused.message().contains("a later version of ferroute made it"), "{refused}");
    if let Some(server) = Server::start() {
        drop(Ledger::open(&server.url()).unwrap());
        run::<sqlx::PgConnection>(&server.url(), "COMMENT ON TABLE calls IS 'ferroute ledger, version 4'");
        let refused = Ledger::open(&server.url()).unwrap_err();
        assert!(refused.message().contains("a later version of ferroute made it"), "{refused}");
        assert!(!refused.message().contains("secret"));
    }
}

#[test]
fn an_answer_after_which_the_user_asks_again_is_marked() {
    const TURN: &str = "What is the capital of Australia?";
    let folder = tempfile::tempdir().unwrap();
    let (stores, _server) = stores(folder.path());
    let turn = |second: i64, session: &str, signs| Record {
        ts_us: second * 1_000_000,
        session: Some(session.into()),
        signs: Some(signs),
        outcome: Outcome::Ok,
        asked: Asked { turn: Some(TURN.into()), ..Asked::default() },
        ..record(second)
    };
    for (name, ledger) in &stores {
        // Far more than one batch at once, and the last in a batch of its own.
        (0..3000).for_each(|n| ledger.add(turn(n, &format!("s{}", n / 2), Signs::NONE)));
        ledger.add(turn(5000, "late", Signs::TRUNCATED));
        ledger.flush(LONG).unwrap();
        ledger.add(turn(5001, "late", Signs::NONE));
        ledger.flush(LONG).unwrap();
        let calls = ledger.calls(&Filter::default(), None).unwrap();
        assert_eq!(calls.len(), 3002, "{name}");
        for (n, call) in calls[..3000].iter().enumerate() {
            assert_eq!(call.signs.as_deref(), Some(if n % 2 == 0 { "asked_again" } else { "" }), "{name} {n}");
        }
        let last: Vec<_> = calls[3000..].iter().map(|call| call.signs.as_deref().unwrap()).collect();
        assert_eq!(last, ["truncated,asked_again", ""], "{name}");
    }
}
