"""The ledger from Python: what it keeps, how a program ends, forks, and others who look into the file."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path

import pytest

import postgres
from ferroute import _core, ledger
from ferroute.errors import InvalidTypeError, InvalidValueError, MissingFileError, UnreadableFileError
from ferroute.ledger import Ledger


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def book(request, tmp_path):
    if request.param == "postgres":
        with postgres.cluster() as url, Ledger(url) as opened:
            yield opened
    else:
        with Ledger("memory:" if request.param == "memory" else f"sqlite:///{tmp_path}/calls.db") as opened:
            yield opened


def count(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM calls").fetchone()[0]


def run(code, *arguments, check=True):
    script = textwrap.dedent(code)
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=check, timeout=60)


def test_a_call_is_known_at_once_with_everything(book):
    book.add(
        "gpt-5-mini",
        prompt_tokens=1000,
        completion_tokens=500,
        cached_tokens=100,
        cache_write_tokens=50,
        reasoning_tokens=20,
        estimated=True,
        cost=Decimal("0.001250000001"),
        router_cost=0.1,
        baseline="0.01",
        ttft_ms=12.5,
        total_ms=100.25,
        outcome="cancelled",
        error="timeout",
        attempts=2,
        router="mf",
        requested="router-mf-0.5",
        tier="low",
        win_rate=0.25,
        threshold=0.5,
        holdout=True,
        session="s",
        key="team",
        text="Why?",
        at=1_700_000_000.5,
        task="coding",
        tags={"team": "legal"},
        signs=["truncated", "empty"],
        response="chatcmpl-1",
    )
    [row] = [dict(zip(columns, values, strict=True)) for columns, values in [_first(book)]]
    features = row.pop("features")
    assert row.pop("price_version")
    assert row.pop("id") >= 0
    assert row == {
        "task": "coding",
        "tags": '{"team":"legal"}',
        "signs": "empty,truncated",
        "response": "chatcmpl-1",
        "ts": 1_700_000_000_500_000,
        "key": "team",
        "session": "s",
        "router": "mf",
        "requested": "router-mf-0.5",
        "model": "gpt-5-mini",
        "tier": "low",
        "win_rate": 0.25,
        "threshold": 0.5,
        "holdout": True,
        "prompt_tokens": 1000,
        "completion_tokens": 500,
        "cached_tokens": 100,
        "cache_write_tokens": 50,
        "reasoning_tokens": 20,
        "estimated": True,
        "cost": 1_250_000_001,
        "router_cost": 100_000_000_000,
        "baseline": 10_000_000_000,
        "saved": 10_000_000_000 - 1_250_000_001 - 100_000_000_000,
        "ttft_ms": 12.5,
        "total_ms": 100.25,
        "outcome": "cancelled",
        "error": "timeout",
        "attempts": 2,
        "text": None,
    }
    embedding, lexical = _core.ledger_features(features)
    whole = _core.LocalModel.features(["Why?"])[0]
    assert len(features) < 200
    assert [*embedding, *lexical] == pytest.approx(list(whole), abs=0.005, rel=0.002)


def _first(book):
    columns = book.core.calls((None, None, None, None))
    assert all(len(values) == 1 for values in columns.values())
    return list(columns), [values[0] for values in columns.values()]


@pytest.mark.parametrize(("store", "features", "text"), [("none", False, None), ("text", True, "Why?")])
def test_what_is_kept_of_prompts_is_chosen(store, features, text):
    book = Ledger(store=store)
    book.add("m", text="Why?")
    columns = book.core.calls((None, None, None, None))
    assert (columns["features"] != [None], columns["text"]) == (features, [text])
    with pytest.raises(InvalidValueError, match="expected none, features or text, found `all`"):
        Ledger(store="all")


def test_prompts_are_not_in_the_file(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/calls.db") as book:
        for _ in range(100):
            book.add("m", text="a-very-peculiar-secret")
    assert b"a-very-peculiar-secret" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_amounts_that_are_none_are_refused():
    book = Ledger()
    with pytest.raises(InvalidValueError, match="expected a decimal number"):
        book.add("m", cost="free")
    with pytest.raises(InvalidValueError, match=r"cost: expected at most 9\.2 million dollars"):
        book.add("m", cost=10_000_000)
    words = "ok, cancelled, failed, hedged, escalated, vain or shadow"
    with pytest.raises(InvalidValueError, match=f"expected {words}, found `fine`"):
        book.add("m", outcome="fine")
    assert book.spend().queries == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cost", -1),
        ("router_cost", "-0.1"),
        ("baseline", Decimal(-1)),
        ("total_ms", float("nan")),
        ("total_ms", float("inf")),
        ("ttft_ms", -1.0),
        ("at", float("nan")),
        ("at", float("-inf")),
        ("win_rate", float("nan")),
        ("threshold", float("inf")),
        ("prompt_tokens", -1),
        ("completion_tokens", 2**70),
        ("attempts", -1),
    ],
)
def test_numbers_that_cannot_be_are_refused(name, value):
    book = Ledger()
    with pytest.raises(InvalidValueError, match=r"expected .* found"):
        book.add("m", **{name: value})
    assert book.spend().queries == 0


def test_features_of_many_long_texts_are_filled_in(tmp_path):
    """There are more than can be read before the calls have to be written."""
    path = tmp_path / "calls.db"
    texts = [f"{n} " + "The quick brown fox jumps over the lazy dog. " * 400 for n in range(500)]
    with Ledger(f"sqlite:///{path}") as book:
        for n, text in enumerate(texts):
            book.add("m", session=str(n), text=text)
        book.flush(60)
        with closing(sqlite3.connect(path)) as connection:
            found = dict(connection.execute("SELECT CAST(session AS INTEGER), features FROM calls"))
    assert sorted(found) == list(range(500))
    for n in (0, 250, 499):
        embedding, lexical = _core.ledger_features(found[n])
        whole = _core.LocalModel.features([texts[n]])[0]
        assert [*embedding, *lexical] == pytest.approx(list(whole), abs=0.005, rel=0.002)


def test_what_is_meant_by_an_argument(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert ledger.open(None).in_memory
    book = ledger.open("sqlite:///calls.db")
    assert ledger.open(book) is book
    assert ledger.open(tmp_path / "calls.db").url == f"sqlite:///{tmp_path}/calls.db"
    assert (tmp_path / "calls.db").exists()
    with pytest.raises(InvalidTypeError, match="expected a URL, a path or a Ledger, found int"):
        ledger.open(3)
    with pytest.raises(InvalidValueError, match="expected `memory:`, `sqlite:"):
        ledger.open("mysql://me:hunter2@host/calls")
    with pytest.raises(MissingFileError):
        Ledger("sqlite:///none.db", create=False)
    (tmp_path / "logs").mkdir()
    for path in ("more.db", "./logs/calls", f"{tmp_path}/absolute.db", Path("logs") / "path.db"):
        with Ledger(path) as book:
            book.add("m")
        assert book.url.startswith("sqlite:///") and count(path) == 1
        assert ledger.open(path).spend().queries == pickle.loads(pickle.dumps(book)).spend().queries == 1
    for word in ("memory", "sqlite", "calls"):
        with pytest.raises(InvalidValueError, match="expected `memory:`, `sqlite:"):
            Ledger(word)
    with pytest.raises(UnreadableFileError):
        Ledger(f"sqlite:///{tmp_path}/no/folder.db")


def test_pickles_open_the_same_store(tmp_path):
    book = Ledger(f"sqlite:///{tmp_path}/calls.db", store="none")
    book.add("m")
    again = pickle.loads(pickle.dumps(book))
    again.add("m", text="not kept")
    assert book.spend().queries == 2
    assert book.core.calls((None, None, None, None))["features"] == [None, None]
    assert pickle.loads(pickle.dumps(Ledger())).spend().queries == 0


def test_the_end_of_a_program_loses_nothing(tmp_path):
    path = tmp_path / "calls.db"
    run(
        """
        import sys
        from ferroute.ledger import Ledger
        book = Ledger(f"sqlite:///{sys.argv[1]}")
        for n in range(1000):
            book.add(f"m{n % 3}", text="a prompt")
        """,
        path,
    )
    assert count(path) == 1000


def test_the_end_of_a_program_says_what_was_lost(tmp_path):
    path = tmp_path / "calls.db"
    Ledger(f"sqlite:///{path}").close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ended = run(
            """
            import sys
            from ferroute.ledger import Ledger
            Ledger(f"sqlite:///{sys.argv[1]}").add("m")
            """,
            path,
        )
    assert "the last calls are not in the ledger: 1 calls are not in the store after" in ended.stderr


def test_the_end_of_a_program_counts_what_was_lost_of_all(tmp_path):
    paths = [tmp_path / "a.db", tmp_path / "b.db"]
    for path in paths:
        Ledger(f"sqlite:///{path}").close()
    with ExitStack() as others:
        for path in paths:
            other = others.enter_context(closing(sqlite3.connect(path, isolation_level=None)))
            other.execute("BEGIN IMMEDIATE")
        ended = run(
            """
            import sys
            from ferroute.ledger import Ledger
            books = [Ledger(f"sqlite:///{path}") for path in sys.argv[1:]]
            for book in books:
                for _ in range(3):
                    book.add("m")
            """,
            *paths,
        )
    assert "the last calls are not in the ledger: 6 calls are not in the store after" in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="not run: there are no limits of this kind")
def test_a_full_disk_is_survived(tmp_path):
    path = tmp_path / "calls.db"
    ended = run(
        """
        import resource, sys
        from ferroute.errors import UnreadableFileError
        from ferroute.ledger import Ledger
        book = Ledger(f"sqlite:///{sys.argv[1]}")
        book.add("m")
        book.flush()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, limits[1]))
        for _ in range(500):
            book.add("m", text="a prompt")
        for _ in range(3):
            try:
                book.flush()
            except UnreadableFileError as error:
                print(error)
        assert book.spend().queries == 501
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        book.flush(30)
        """,
        path,
    )
    assert len(ended.stdout.splitlines()) == 3
    assert all("disk" in line for line in ended.stdout.splitlines())
    assert count(path) == 501


@pytest.mark.skipif(sys.platform == "win32", reason="not run: an open file cannot be deleted")
def test_a_file_deleted_under_way_is_made_anew(tmp_path):
    path = tmp_path / "calls.db"
    with Ledger(f"sqlite:///{path}") as book:
        book.add("m")
        book.flush()
        for file in tmp_path.iterdir():
            file.unlink()
        book.add("m")
        book.add("m")
        book.flush()
        assert book.spend().queries == 2
    assert count(path) == 2


def test_killed_programs_keep_what_is_older_than_a_tenth_of_a_second(tmp_path):
    path = tmp_path / "calls.db"
    code = """
        import sys, time
        from ferroute.ledger import Ledger
        book = Ledger(f"sqlite:///{sys.argv[1]}")
        n = 0
        while True:
            book.add("m", cost="0.001", at=time.time())
            n += 1
            if n % 10 == 0:
                print(n, time.time(), flush=True)
                time.sleep(0.001)
        """
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code), str(path)], stdout=subprocess.PIPE)
    told = [child.stdout.readline() for _ in range(1000)]
    os.kill(child.pid, signal.SIGKILL)
    told += child.stdout.readlines()
    child.wait()
    child.stdout.close()
    marks = [(int(line.split()[0]), float(line.split()[1])) for line in told if line.endswith(b"\n")]
    # The kill came after the last mark, so what is a tenth of a second older than that has to be there.
    sure = max((n for n, at in marks if at <= marks[-1][1] - 0.1), default=0)
    assert sure > 0
    assert count(path) >= sure


def _add_in_child(book, n):
    for _ in range(n):
        book.add("child", text="from the child")


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_writes_into_the_same_file(tmp_path):
    path = tmp_path / "calls.db"
    with Ledger(f"sqlite:///{path}") as book:
        book.add("parent")
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=_add_in_child, args=(book, 50)) for _ in range(4)]
        for child in children:
            child.start()
            book.add("parent")
        for child in children:
            child.join()
            assert child.exitcode == 0
        spend = book.spend()
        assert {model.model: model.queries for model in spend.models} == {"child": 200, "parent": 5}
    assert count(path) == 205


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_forking_while_others_add(tmp_path):
    path = tmp_path / "calls.db"
    stop, added = threading.Event(), []

    def add():
        n = 0
        while not stop.is_set():
            book.add("thread")
            n += 1
            stop.wait(0.0002)
        added.append(n)

    with Ledger(f"sqlite:///{path}") as book:
        threads = [threading.Thread(target=add) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            pid = os.fork()
            if pid == 0:
                try:
                    book.add("child")
                    book.flush(30)
                finally:
                    os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        stop.set()
        for thread in threads:
            thread.join()
        found = {model.model: model.queries for model in book.spend().models}
    assert found == {"thread": sum(added), "child": 5}


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_children_of_other_kinds(tmp_path, method):
    path = tmp_path / "calls.db"
    with Ledger(f"sqlite:///{path}") as book:
        child = multiprocessing.get_context(method).Process(target=_add_in_child, args=(book, 50))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert book.spend().queries == 50


def test_processes_share_a_file(tmp_path):
    path = tmp_path / "calls.db"
    code = """
        import sys
        from ferroute.ledger import Ledger
        book = Ledger(f"sqlite:///{sys.argv[1]}")
        for n in range(1000):
            book.add("m", cost="0.001")
            if n % 100 == 0:
                book.flush(60)
        """
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    children = [subprocess.Popen(command) for _ in range(4)]
    assert [child.wait() for child in children] == [0] * 4
    book = Ledger(f"sqlite:///{path}")
    assert book.spend().queries == 4000
    assert book.spend().total == 4


@pytest.mark.skipif(sys.platform != "linux", reason="not run: the locks this rests on are Linux's")
def test_the_files_sqlite_of_this_process_reads_stay_whole(tmp_path):
    """Python's library is not ours: without our guard, closing it deletes the log we write to."""
    path = tmp_path / "calls.db"
    book = Ledger(f"sqlite:///{path}")
    for times in range(1, 11):
        for _ in range(20):
            book.add("m")
        book.flush()
        assert count(path) == 20 * times
        assert Path(f"{path}-wal").exists()
    book.close()
    assert not Path(f"{path}-wal").exists()
    assert count(path) == 200


def test_a_closed_ledger_opens_again(book):
    book.add("m")
    book.close()
    book.add("m")
    assert book.spend().queries == 2


def test_passwords_are_never_shown():
    with pytest.raises(UnreadableFileError) as caught:
        Ledger("postgresql://me:hunter2@127.0.0.1:1/calls")
    assert "hunter2" not in str(caught.value)
    assert "postgresql://me@127.0.0.1:1/calls" in str(caught.value)


def test_a_server_that_goes_away_and_comes_back(tmp_path):
    with postgres.cluster() as url:
        book = Ledger(url)
        book.add("m")
        book.flush()
        # Every session is ended by the server, as a restart or a failover does.
        name = url.rsplit("/", 1)[0].rsplit(":", 1)[1]
        ended = subprocess.run(
            [postgres.programs() / "psql", "-h", "127.0.0.1", "-p", name, "-U", "tester", "postgres", "-c",
             "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'ferroute'"],
            check=True, capture_output=True, text=True, cwd="/",
        )  # fmt: skip
        assert "t" in ended.stdout
        for _ in range(10):
            book.add("m")
        assert book.spend().queries == 11
        assert book.lost == 0
        book.close()
