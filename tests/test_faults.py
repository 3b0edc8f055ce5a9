"""Faults of the machine: a full disk, no descriptors, no names, a clock that goes back, a signal in the middle."""

from __future__ import annotations

import os
import signal
import sqlite3
from pathlib import Path

import pytest

from fakeserver import Answer, FakeServer, chunk
from ferroute._whole_file import write_whole
from hostile.limits import child, posix

pytestmark = posix

# --- a disk that is full ---

FULL = """
import os, pathlib, numpy as np, ferroute
from ferroute import _core
from ferroute.errors import FerrouteError, UnreadableFileError
folder = pathlib.Path(sys.argv[1])
os.chdir(folder)
rng = np.random.default_rng(0)
prompts = [f"what is {i} and {'why' * (i % 5)}?" for i in range(400)]
outcomes = (rng.random((400, 2)) < 0.7).astype(float)
fitted = ferroute.fit(prompts, outcomes, ["big", "small"], bootstrap=50)
table = ferroute.calibrate.calibrate(rng.random(400))
logs = [{"model": "gpt-5.5", "prompt": p, "prompt_tokens": 9, "completion_tokens": 99} for p in prompts]
found = ferroute.audit(logs, to="gpt-5.4-mini")
model = _core.MfModel.from_arrays(np.ones((64, 64)), np.ones((1, 64)), np.ones((64, 64)))
big = {"a": ["text " * 20] * 5000, "b": rng.random(5000)}
"""

SAVES = {
    "fitted": ("fitted.save('saved.fit')", "saved.fit"),
    "thresholds": ("table.save('table.json')", "table.json"),
    "report": ("found.save_html('report.html')", "report.html"),
    "labels": ("found.save_labels('labels.jsonl')", "labels.jsonl"),
    "weights": ("model.save('weights')", "weights/model.safetensors"),
    "columns": ("_core.write_columns('columns.parquet', big)", "columns.parquet"),
}


def test_a_full_disk_leaves_the_old_file_or_none(tmp_path: Path) -> None:
    """Each file is written whole or not at all: what was there before stays, and nothing half made is left."""
    calls = "".join(f"    {name!r}: ({name!r}, lambda: {call}, {file!r}),\n" for name, (call, file) in SAVES.items())
    ended = child(
        FULL
        + f"""
saves = {{
{calls}}}
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
for name, save, file in saves.values():
    for before in (None, b"what was there before"):
        if before is not None:
            pathlib.Path(file).parent.mkdir(exist_ok=True)
            pathlib.Path(file).write_bytes(before)
        listed = sorted(str(path) for path in folder.rglob("*") if path.is_file())
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
        try:
            save()
        except UnreadableFileError as error:
            print(name, "refused:", error)
        except BaseException as error:
            print(name, "WRONG:", type(error).__name__, error)
        else:
            print(name, "WRONG: saved")
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        left = sorted(str(path) for path in folder.rglob("*") if path.is_file())
        if left != listed:
            print(name, "WRONG: left", set(left) ^ set(listed))
        if before is not None and pathlib.Path(file).read_bytes() != before:
            print(name, "WRONG: the old file is gone")
    save()
    if pathlib.Path(file).read_bytes() == b"what was there before":
        print(name, "WRONG: not written with room")
""",
        tmp_path,
        seconds=40,
    )
    lines = ended.stdout.splitlines()
    assert not [line for line in lines if "WRONG" in line], ended.stdout
    assert len(lines) == 2 * len(SAVES)


# How each is read again; what is not whole raises.
READS = {
    "fitted": "_core.FittedModel.load",
    "thresholds": "lambda path: json.loads(pathlib.Path(path).read_text())",
    "report": "lambda path: pathlib.Path(path).read_text().rstrip().endswith('</html>') or 1 / 0",
    "labels": "lambda path: [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]",
    "weights": "lambda path: MFModel.from_pretrained(pathlib.Path(path).parent)",
    "columns": "_core.read_columns",
}


def test_a_process_that_sigterm_ends_leaves_files_that_are_whole(tmp_path: Path) -> None:
    """By default nothing of the process runs any more: no half of a file may ever have had its name."""
    saves = "".join(
        f"    {name!r}: (lambda: {call}, {file!r}, {READS[name]}),\n" for name, (call, file) in SAVES.items()
    )
    ended = child(
        FULL
        + f"""
import json, signal, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, from Python 3.12 on
from ferroute.routers.matrix_factorization.model import MFModel
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
saves = {{
{saves}}}
def clear():
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
for name, (save, file, read) in saves.items():
    save()
    before = os.stat(file).st_ino
    save()
    assert os.stat(file).st_ino != before, f"{{name}} is written over, not put in its place"
    for wait in (0, 2, 5):
        clear()
        saver = os.fork()
        if saver == 0:
            while True:
                save()
        begun = folder.iterdir if wait == 0 else lambda: folder.glob(file)
        end = time.monotonic() + 10
        while not any(begun()) and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(wait / 1000)
        os.kill(saver, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(saver, 0)[1]) == -signal.SIGTERM
        assert wait == 0 or pathlib.Path(file).exists()
        if pathlib.Path(file).exists():
            read(file)
            print("whole:", name)
    clear()
""",
        tmp_path,
        seconds=40,
    )
    assert all(ended.stdout.count(f"whole: {name}\n") >= 2 for name in SAVES), ended.stdout


def test_what_a_signal_raises_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(part: Path, _text: str, **_: object) -> None:
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    (tmp_path / "report.html").write_text("old")
    monkeypatch.setattr(Path, "write_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "report.html", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_a_ledger_that_cannot_be_made_says_so() -> None:
    ended = child(
        """
        from ferroute.controller import Controller
        from ferroute.errors import FerrouteError
        from ferroute.ledger import Ledger
        for place in ("/proc/calls.db", "/dev/null/calls.db", "/dev/full", "/proc/self/mem", "/"):
            try:
                with Ledger(f"sqlite:///{place}") as book:
                    book.add("m")
                    book.flush(3)
                print("WRONG", place)
            except FerrouteError as error:
                print(type(error).__name__, error)
        """
    )
    assert len(ended.stdout.splitlines()) == 5
    assert "WRONG" not in ended.stdout, ended.stdout


# --- no descriptors, no names ---


def test_without_descriptors_calls_fail_and_come_back(tmp_path: Path) -> None:
    with FakeServer() as server:
        ended = child(
            """
            import os, warnings, openai
            from ferroute import _core
            from ferroute.controller import Controller
            from ferroute.errors import FerrouteError
            from ferroute.ledger import Ledger
            from ferroute.policy import CallPolicy
            warnings.simplefilter("ignore")
            url, path = sys.argv[1:]
            c = Controller(["local"], "openai/big", "openai/small", api_base=url, api_key="k", ledger=f"sqlite:///{path}",
                           policy=CallPolicy(retries=0, timeout=5))
            ask = lambda **more: c.chat.completions.create(
                model="router-local-0.5", messages=[{"role": "user", "content": "hi"}], **more)
            assert ask().model
            limit = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (200, limit[1]))
            held = []
            while True:
                try:
                    held.append(os.open("/dev/null", os.O_RDONLY))
                except OSError:
                    break
            fresh = Controller(["local"], "openai/big", "openai/small", api_base=url.replace("127.0.0.1", "localhost"),
                               api_key="k", policy=CallPolicy(retries=0, timeout=5))
            for what in (
                lambda: fresh.chat.completions.create(
                    model="router-local-0.5", messages=[{"role": "user", "content": "hi"}]),
                lambda: Ledger(f"sqlite:///{path}-2").flush(),
                lambda: list(_core.read_prompts(path)),
                lambda: _core.read_columns(path),
                lambda: _core.FittedModel.load(path),
                lambda: _core.BertModel("goldens/bert/wordpiece/checkpoint"),
            ):
                try:
                    what()
                    print("WRONG")
                except (FerrouteError, openai.APIConnectionError) as error:
                    print(type(error).__name__)
            assert c.decide("hi", "local", 0.5).model
            for each in held:
                os.close(each)
            assert ask().model and [chunk for chunk in ask(stream=True)]
            assert fresh.chat.completions.create(
                model="router-local-0.5", messages=[{"role": "user", "content": "hi"}]).model
            c.ledger.flush(20)
            assert c.spend().queries == 3, c.spend().queries
            """,
            server.url,
            tmp_path / "calls.db",
        )
    assert "WRONG" not in ended.stdout, ended.stdout
    assert ended.stdout.splitlines()[0] == "APIConnectionError"


def test_a_name_that_nobody_knows_is_a_connection_error() -> None:
    ended = child(
        """
        import time, openai
        from ferroute.controller import Controller
        from ferroute.policy import CallPolicy
        c = Controller(["local"], "openai/big", "openai/small", api_base="http://no-such-host.invalid/v1", api_key="k",
                       policy=CallPolicy(retries=1, connect_timeout=5))
        start = time.monotonic()
        for more in ({}, {"stream": True}):
            try:
                answer = c.chat.completions.create(
                    model="router-local-0.5", messages=[{"role": "user", "content": "hi"}], **more)
                print("WRONG", list(answer))
            except openai.APIConnectionError as error:
                print(error)
        assert time.monotonic() - start < 15
        """
    )
    assert ended.stdout.count("no-such-host.invalid") == 2, ended.stdout


# --- a clock that goes back ---


FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


@pytest.mark.skipif(FAKETIME is None, reason="not run: no faketime (apt-get install faketime)")
def test_a_clock_that_goes_back_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """Wall-clock time jumps by days in both directions; what counts calls, budgets and conversations goes on."""
    stamp = tmp_path / "now"
    stamp.write_text("@2026-11-20 12:00:00\n")
    with FakeServer() as server:
        ended = child(
            """
            import pathlib, time, datetime, httpx, os
            from ferroute.controller import Controller
            from ferroute.gateway import Gateway
            from ferroute.policy import CallPolicy
            url, path, stamp = sys.argv[1:]
            def at(text):
                pathlib.Path(stamp).write_text(f"@{text}\\n")
                end = time.monotonic() + 0.05  # not sleep: with a clock that is moved, it fails
                while time.monotonic() < end:
                    pass
            prices = {"openai/big": {"input": 0, "output": 0, "request": 10}}
            import ferroute.pricing
            ferroute.pricing.override({"openai/big": prices["openai/big"], "openai/small": prices["openai/big"]})
            c = Controller(["random"], "openai/big", "openai/small", api_base=url, api_key="k",
                           ledger=f"sqlite:///{path}", policy=CallPolicy(retries=0, timeout=10))
            assert datetime.datetime.now().day == 20, datetime.datetime.now()
            ask = lambda: c.chat.completions.create(
                model="router-random-0.5", messages=[{"role": "user", "content": "hi"}])
            ask()
            with Gateway(c, port=0, door={"policies": [{"budget": "0.03/day"}]}) as gateway:
                def post():
                    return httpx.post(f"{gateway.url}/v1/chat/completions", timeout=10, json={
                        "model": "router-random-0.5", "messages": [{"role": "user", "content": "hi"}]}).status_code
                told = [post() for _ in range(5)]
                print("first day", told)
                at("2026-11-19 12:00:00")
                assert datetime.datetime.now().day == 19
                told = [post() for _ in range(5)]
                print("day before", told)
                at("2026-11-20 13:00:00")
                told = [post() for _ in range(5)]
                print("again", told)
                at("2026-11-21 13:00:00")
                print("next day", [post() for _ in range(5)])
                at("2026-11-10 13:00:00")
                ask()
            c.ledger.flush(20)
            print("calls", c.spend().queries)
            """,
            server.url,
            tmp_path / "calls.db",
            stamp,
            env={
                **os.environ,
                "LD_PRELOAD": str(FAKETIME),
                "FAKETIME_TIMESTAMP_FILE": str(stamp),
                "FAKETIME_NO_CACHE": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            },
        )
    print(ended.stdout)
    told = dict(line.rsplit(" [", 1) for line in ended.stdout.splitlines() if " [" in line)
    counted = {day: codes.count("200") for day, codes in told.items()}
    assert counted["first day"] == 3
    assert counted["again"] == 0  # a day that is over, or begun, does not begin once more
    assert counted["day before"] <= 3
    assert counted["next day"] == 3
    with sqlite3.connect(tmp_path / "calls.db") as database:
        (rows,) = database.execute("select count(*) from calls").fetchone()
    assert rows == 2 + sum(counted.values())


# --- a signal in the middle of work ---

WORK = {
    "scoring": "_core.LocalModel().win_rates(['what is this? ' * 2000] * 40_000)",
    "features": "_core.LocalModel.features(['what is this? ' * 2000] * 40_000)",
    "deciding": "Controller(['local'], 'openai/a', 'openai/b').decide_batch(['why? ' * 1000] * 60_000, 'local', 0.5)",
    "fitting": "ferroute.fit(prompts, outcomes, ['big', 'small'], bootstrap=200_000)",
    "auditing": "ferroute.audit(logs, to='gpt-5.4-mini')",
    "training": "_core.MfTrainer(16, 64, 64).fit(np.ones((64, 64)), battles, battles, epochs=10**6)",
    "one epoch": "trainer.fit(wide, many, many[:0], epochs=1)",
    "one step": "trainer.fit(wide, many, many[:0], epochs=9, batch_size=len(many), threads=1)",
    "judging": "trainer.evaluate(wide, many)",
    "matrices": "[mf.win_rates(0, 1, x) for _ in range(500)]",
    "resampling": "_core.eval_resample([rates], [(rates, rates)], 100, 100_000, 0, True)",
    "certifying": "[guarantee(rates, rates, rates, max_quality_loss=0.1) for _ in range(10**6)]",
    "reading": "[batch for batch in _core.read_prompts('/dev/zero', format='text')]",
    "completing": "ask()",
    "streaming": "list(ask(stream=True))",
}
# A handler of the user's own is asked as Ctrl-C's is, so not all kinds have to be tried twice.
ENDED_BY = [
    *((what, signal.SIGINT) for what in WORK if what not in {"completing", "streaming"}),  # those: test_calls.py
    *((what, signal.SIGTERM) for what in ("scoring", "fitting", "auditing", "one epoch", "completing", "streaming")),
]
# Training may take so many seconds of the processor more, far less than the epoch or step it is in the middle of.
MOMENT = {"one epoch": 0.3, "one step": 0.3, "judging": 0.3}


@pytest.mark.parametrize(
    ("what", "number"), ENDED_BY, ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else value.name
)
def test_ctrl_c_and_a_handler_of_sigterm_end_work_within_a_moment(what: str, number: signal.Signals) -> None:
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    with FakeServer() as server:
        if what == "streaming":
            server.then(Answer(chunks=[chunk({"content": "a"})] * 2, chunk_delay=30))
        else:
            server.then(Answer(delay=30))
        ended = child(
            f"""
            import os, signal, threading, time
            import numpy as np
            import ferroute
            from ferroute import _core
            from ferroute.controller import Controller
            from ferroute.routers.matrix_factorization.model import MFModel
            rng = np.random.default_rng(0)
            prompts = [f"what is {{i}}?" for i in range(2000)]
            outcomes = rng.random((2000, 2))
            rates = rng.random(200_000)
            battles = np.stack([np.arange(200) % 32, 32 + np.arange(200) % 32, np.arange(200) % 64], axis=1)
            if {what in MOMENT}:
                wide, trainer = np.ones((64, 1536), dtype=np.float32), _core.MfTrainer(256, 64, 1536)
                many = np.tile(battles, (200 if {what == "one step"} else 5000, 1))
            x = rng.random((40_000, 1536), dtype=np.float32) if {what == "matrices"} else None
            mf, guarantee = MFModel(128, 64, 1536, 1, True), ferroute.calibrate.guarantee
            logs = ({{"model": "gpt-5.5", "prompt": f"what is {{i}}?" * 50, "prompt_tokens": 9}} for i in range(10**9))
            def ask(**more):
                return ferroute.completion(model="openai/m", messages=[{{"role": "user", "content": "hi"}}],
                                           api_base=sys.argv[1], api_key="k", **more)
            sent = []
            def interrupt():
                sent.append((time.monotonic(), time.process_time()))
                os.kill(os.getpid(), {number:d})
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
            threading.Timer(0.5, interrupt).start()
            try:
                {WORK[what]}
                print("WRONG: it ended by itself", time.monotonic(), sent)
            except {"KeyboardInterrupt" if number == signal.SIGINT else "SystemExit"}:
                print("stopped after", time.monotonic() - sent[0][0], time.process_time() - sent[0][1])
            except MemoryError:
                print("WRONG: no memory")
            """,
            server.url,
            seconds=30,
        )
    assert ended.stdout.startswith("stopped after"), (ended.stdout, ended.stderr)
    seconds, busy = map(float, ended.stdout.split()[2:])
    assert seconds < 2, ended.stdout
    assert what not in MOMENT or busy < MOMENT[what], ended.stdout
