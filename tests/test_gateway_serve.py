"""`ferroute serve`, `ferroute check` and `python -m routellm.openai_server`, as processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from fakeserver import Answer, FakeServer, chunk
from serving import Served, ended

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVE = ("-m", "ferroute", "serve")
ORIGINAL = ("-m", "routellm.openai_server")
PAIR = "weak_model: a\nstrong_model: b\n"
HELLO = [{"role": "user", "content": "Say hello"}]


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def config_at(upstream: FakeServer, folder: Path, rest: str = "") -> Path:
    path = folder / "gateway.yaml"
    path.write_text(
        f'tiers:\n  cheap: {{model: openai/small, api_base: "{upstream.url}", api_key: env:HOUSE_KEY}}\n'
        f'  expensive: {{model: openai/big, api_base: "{upstream.url}", api_key: env:HOUSE_KEY}}\n'
        f"routers: {{random: {{}}}}\naliases: {{fast: router-random-1}}\n{rest}"
    )
    return path


def chat(server: Served, model: str) -> httpx.Response:
    return server.post("/v1/chat/completions", {"model": model, "messages": HELLO})


KEY = {"HOUSE_KEY": "s3cret-house"}


def test_a_configuration_is_served(upstream: FakeServer, tmp_path: Path) -> None:
    path = config_at(upstream, tmp_path)
    with Served(*SERVE, str(path), "--port", "0", env=KEY) as server:
        assert server.out == ["Launching server with routers: ['random']\n"]
        assert "this machine only" in server.err[-1] and server.url.startswith("http://127.0.0.1:")
        assert server.get("/health").json() == {"status": "online"}
        assert chat(server, "router-random-0").status_code == 200
        assert chat(server, "fast").headers["x-ferroute-model"] == "openai/small"
        assert [request.json["model"] for request in upstream.requests] == ["big", "small"]
        assert upstream.requests[0].headers["authorization"] == "Bearer s3cret-house"
        assert server.stop() == 0
    assert "s3cret" not in "".join(server.out + server.err)
    with sqlite3.connect(tmp_path / "ferroute.db") as book:
        assert book.execute("select count(*) from calls").fetchone() == (2,)


def test_the_command_line_goes_before_the_file(upstream: FakeServer, tmp_path: Path) -> None:
    path = config_at(upstream, tmp_path, "port: 1\n")
    book = tmp_path / "other.db"
    with Served(*SERVE, str(path), "--port", "0", "--ledger", str(book), "--workers", "2", env=KEY) as server:
        assert chat(server, "fast").status_code == 200
        assert server.stop() == 0
    assert book.exists() and not (tmp_path / "ferroute.db").exists()


def test_without_a_file_the_key_says_which_models(upstream: FakeServer, tmp_path: Path) -> None:
    env = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": upstream.url}
    with Served(*SERVE, "--port", "0", env=env, cwd=tmp_path) as server:
        assert server.out == ["Launching server with routers: ['local', 'random']\n"]
        assert any("tiers of openai, whose key is in the environment" in line for line in server.err)
        assert chat(server, "router-random-0").headers["x-ferroute-model"] == "openai/gpt-6.1-sol"
        # Any model of a provider whose key is there.
        assert chat(server, "gpt-5.4-mini").status_code == 200
        assert server.stop() == 0
    assert not list(tmp_path.iterdir())


def test_two_models_need_no_file(upstream: FakeServer, tmp_path: Path) -> None:
    words = ("--weak-model", "openai/small", "--strong-model", "openai/big", "--base-url", upstream.url)
    with Served(*SERVE, "--port", "0", *words, "--api-key", "env:HOUSE_KEY", env=KEY, cwd=tmp_path) as server:
        assert chat(server, "router-random-1").headers["x-ferroute-model"] == "openai/small"
        assert upstream.requests[0].headers["authorization"] == "Bearer s3cret-house"


@pytest.mark.parametrize(
    ("words", "text", "code", "told"),
    [
        ((), None, 1, "set one of OPENAI_API_KEY"),
        (("none.yaml",), None, 1, "none.yaml: there is no such configuration file"),
        (("g.yaml",), "tiers: {a: b}\nprot: 1\n", 1, "unknown key 'prot'; did you mean 'port'"),
        (("g.yaml", "--host", "0.0.0.0"), "weak_model: a\nstrong_model: b\n", 1, "0.0.0.0 can be reached by others"),
        (("--weak-model", "x"), None, 2, "go together"),
        (("--base-url", "http://127.0.0.1:9"), None, 2, "of which none is given"),
        (("--port", "70000"), None, 2, "expected a whole number from 0 to 65535, found '70000'"),
        (("--port", "abc"), None, 2, "argument --port: expected a whole number from 0 to 65535, found 'abc'"),
        (("g.yaml", "--host", "name.invalid"), "weak_model: a\nstrong_model: b\n", 1, "no name that has one"),
        (("g.yaml",), "routers: {}\naliases: {}\n", 1, "g.yaml: it names no models"),
        (("g.yaml", "--import", "no_such"), "weak_model: a\nstrong_model: b\n", 1, "--import: No module named"),
        (("g.yaml",), f"{PAIR}imports: [no_such]\n", 1, "g.yaml:3:11: imports[0]: cannot be imported"),
        (("g.yaml",), f"{PAIR}aliases: {{x: router-mf-1}}\n", 1, "g.yaml:3:14: aliases.x: 'router-mf-1' cannot be"),
        (("--no-such-option",), None, 2, "unrecognized arguments"),
        (
            ("--weak-model", "x", "--strong-model", "y", "--api-key", "env:NOT_THERE"),
            None,
            2,
            "--api-key: the environment",
        ),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(
    words: tuple[str, ...], text: str | None, code: int, told: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "g.yaml").write_text(text)
    done = ended(*SERVE, *words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert told in done.stderr and "Traceback" not in done.stderr


def test_tiers_and_names_without_a_provider_are_asked_for(upstream: FakeServer, tmp_path: Path) -> None:
    rest = "policies: [{models: [router-random, cheap, fast, big]}]\n"
    path = config_at(upstream, tmp_path, rest)
    path.write_text(path.read_text().replace("{fast: router-random-1}", "{fast: expensive}"))
    with Served(*SERVE, str(path), "--port", "0", env=KEY) as server:
        for asked in ("cheap", "fast", "big", "openai/small", "router-random-0"):
            assert chat(server, asked).status_code == 200, chat(server, asked).text
        assert [request.json["model"] for request in upstream.requests] == ["small", "big", "big", "small", "big"]
        listed = {each["id"]: each["ferroute"] for each in server.get("/v1/models").json()["data"]}
        assert listed["cheap"]["kind"] == "alias" and listed["cheap"]["stands_for"] == "openai/small"
        assert listed["fast"]["stands_for"] == "openai/big"
        path.write_text(path.read_text().replace(rest, ""))
        server.process.send_signal(signal.SIGHUP)
        server.said(r": reloaded \(")
        answer = chat(server, "groq/small")
        assert answer.status_code == 404
        assert "did you mean `openai/small`?" in answer.json()["error"]["message"]


def test_a_reload_that_cannot_work_changes_nothing(upstream: FakeServer, tmp_path: Path) -> None:
    path = config_at(upstream, tmp_path)
    with Served(*SERVE, str(path), "--port", "0", env=KEY) as server:
        before = path.read_text()
        for target in ("router-random-7", "router-mf-0.5"):
            path.write_text(before.replace("router-random-1", target))
            server.process.send_signal(signal.SIGHUP)
            server.said(rf"gateway.yaml:5:17: aliases.fast: '{target}' cannot be asked for")
            assert chat(server, "fast").headers["x-ferroute-model"] == "openai/small"


def test_requests_are_logged_when_asked_for(upstream: FakeServer, tmp_path: Path) -> None:
    with Served(*SERVE, str(config_at(upstream, tmp_path)), "--port", "0", "--verbose", env=KEY) as server:
        assert chat(server, "fast").status_code == 200
        server.said("openai/small")


def test_a_port_that_is_taken_is_said(upstream: FakeServer, tmp_path: Path) -> None:
    port = upstream.url.rsplit(":", 1)[1].split("/")[0]
    done = ended(*SERVE, str(config_at(upstream, tmp_path)), "--port", port, env=KEY)
    assert done.returncode == 1 and f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_it_starts_without_what_other_commands_load(upstream: FakeServer, tmp_path: Path) -> None:
    with Served("-X", "importtime", *SERVE, str(config_at(upstream, tmp_path)), "--port", "0", env=KEY) as server:
        assert server.get("/health").status_code == 200
        server.stop()
    loaded = {line.rsplit("|", 1)[1].strip() for line in server.err if line.startswith("import time:")}
    assert "ferroute.controller" in loaded
    heavy = {"typer", "rich", "click", "numpy", "openai", "httpx", "pydantic", "yaml", "pandas", "huggingface_hub"}
    assert not loaded & heavy


def test_help_names_the_server() -> None:
    done = ended("-m", "ferroute", "--help")
    assert "serve" in done.stdout and "check" in done.stdout
    for words in (("serve", "--help"), ("--debug", "serve", "--help")):
        done = ended("-m", "ferroute", *words)
        assert done.returncode == 0 and "--allow-public-without-key" in done.stdout, done.stderr


def test_a_reload_under_load_loses_no_request(upstream: FakeServer, tmp_path: Path) -> None:
    path = config_at(upstream, tmp_path)
    before = path.read_text()
    statuses: list[Any] = []
    over = threading.Event()

    def one(client: httpx.Client) -> tuple[Any, Any]:
        try:
            done = client.post("/v1/chat/completions", json={"model": "fast", "messages": HELLO})
        except httpx.HTTPError as error:
            return repr(error), None
        return done.status_code, done.headers.get("x-ferroute-model")

    def ask(server: Served) -> None:
        with httpx.Client(base_url=server.url, timeout=20) as client:
            while not over.is_set():
                statuses.append(one(client))

    with Served(*SERVE, str(path), "--port", "0", env=KEY) as server:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        # As an editor saves: another file takes the place of the old one.
        fresh = tmp_path / "fresh"
        fresh.write_text(before.replace("router-random-1", "router-random-0"))
        fresh.replace(path)
        server.said(r"gateway.yaml: reloaded \(it has changed\)")
        time.sleep(0.2)
        seen = len(server.err)
        path.write_text(before + "polices: []\n")
        server.said("not reloaded", after=seen)
        server.said("unknown key 'polices'; did you mean 'policies'", after=seen)
        time.sleep(0.2)
        assert server.process.poll() is None
        path.write_text(before)
        os.kill(server.process.pid, signal.SIGHUP)
        server.said(r"reloaded \(SIGHUP\)", after=seen)
        time.sleep(0.2)
        over.set()
        for thread in threads:
            thread.join()
        assert chat(server, "fast").headers["x-ferroute-model"] == "openai/small"
        assert server.stop() == 0
    assert {status for status in statuses if status[0] != 200} == set()
    models = [model for _, model in statuses]
    assert {"openai/big", "openai/small"} == set(models) and len(models) == len(upstream.requests) - 1
    with sqlite3.connect(tmp_path / "ferroute.db") as book:
        assert book.execute("select count(*) from calls").fetchone() == (len(upstream.requests),)


def test_policies_of_the_file_hold_and_survive_a_reload(upstream: FakeServer, tmp_path: Path) -> None:
    path = config_at(upstream, tmp_path, "policies:\n  - {requests: 3/day}\n  - {model: expensive, budget: 5/day}\n")
    with Served(*SERVE, str(path), "--port", "0", env=KEY) as server:
        # openai/big has no price: where a budget holds, nobody can say what it would spend.
        unpriced = chat(server, "openai/big")
        assert (unpriced.status_code, unpriced.json()["error"]["code"]) == (403, "unpriced_model")
        assert [chat(server, "fast").status_code for _ in range(2)] == [200, 200]
        path.write_text(path.read_text() + "models: [other]\n")
        server.said("reloaded")
        # What was refused has given its place back; what was counted before stays counted.
        assert chat(server, "fast").status_code == 200
        limited = chat(server, "fast")
        assert (limited.status_code, limited.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(limited.headers["retry-after"]) > 60
        seen = len(server.err)
        path.write_text(path.read_text().replace("3/day", "1000/day"))
        server.said("reloaded", after=seen)
        assert chat(server, "fast").status_code == 200
        assert len(upstream.requests) == 4


def test_keys_are_asked_for_and_made(upstream: FakeServer, tmp_path: Path) -> None:
    path = config_at(upstream, tmp_path, "keys: {required: true, admin: env:ADMIN}\n")
    env = KEY | {"ADMIN": "s3cret-admin-of-the-house"}
    made = ended("-m", "ferroute", "keys", "create", "--config", str(path), "--team", "t", "--json", env=env)
    assert made.returncode == 0, made.stderr
    (secret,) = re.findall(r"frk_[\w-]+", made.stdout)[:1]
    with Served(*SERVE, str(path), "--port", "0", "--host", "127.0.0.1", env=env) as server:
        assert chat(server, "fast").status_code == 401
        headers = {"authorization": f"Bearer {secret}"}
        asked = {"model": "fast", "messages": HELLO}
        assert httpx.post(f"{server.url}/v1/chat/completions", json=asked, headers=headers).status_code == 200
        assert server.stop() == 0
    assert "s3cret" not in "".join(server.out + server.err)


@pytest.mark.parametrize(
    ("rest", "page", "data"),
    [("", 200, 200), ("server: {page: false}\n", 404, 404), ("keys: {required: true}\n", 200, 401)],
)
def test_the_page_is_there_where_it_may_be(
    upstream: FakeServer, tmp_path: Path, rest: str, page: int, data: int
) -> None:
    with Served(*SERVE, str(config_at(upstream, tmp_path, rest)), "--port", "0", env=KEY) as server:
        assert (server.get("/ui").status_code, server.get("/ui/data/overview").status_code) == (page, data)


def test_logs_may_be_json(upstream: FakeServer, tmp_path: Path) -> None:
    path = config_at(upstream, tmp_path, "telemetry: {logs: json, metrics: false}\n")
    with Served(*SERVE, str(path), "--port", "0", env=KEY) as server:
        assert chat(server, "fast").status_code == 200
        assert server.get("/metrics").status_code == 404
        assert server.stop() == 0
    lines = [json.loads(line) for line in server.err]
    assert "listening on" in json.dumps(lines[0]) and "Say hello" not in "".join(server.err)


def test_a_file_that_is_only_touched_is_not_reloaded(upstream: FakeServer, tmp_path: Path) -> None:
    path = config_at(upstream, tmp_path)
    with Served(*SERVE, str(path), "--port", "0", env=KEY) as server:
        os.utime(path, (1, 1))
        time.sleep(1.5)
        path.write_text(path.read_text() + "models: [other]\n")
        server.said("cannot be|not reloaded|reloaded")
        assert sum("reloaded" in line for line in server.err) == 1


def test_the_originals_command_line_works(upstream: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("random:\nsomething_else: 3\n")
    words = ("--routers", "random", "local", "--port", "0", "--base-url", upstream.url, "--api-key", "s3cret")
    models = (
        "--strong-model",
        "openai/big",
        "--weak-model",
        "openai/small",
        "--config",
        "config.yaml",
        "--workers",
        "2",
    )
    with Served(*ORIGINAL, *words, *models, cwd=tmp_path) as server:
        assert server.out == ["Launching server with routers: ['random', 'local']\n"]
        assert any("one process with so many threads" in line for line in server.err)
        assert "this machine only; RouteLLM's server listens on every address" in server.err[-1]
        assert server.get("/health").json() == {"status": "online"}
        assert chat(server, "router-random-0").json()["model"] == "big"
        assert chat(server, "router-random-1").json()["model"] == "small"
        bad = chat(server, "router-mf-0.5")
        assert bad.status_code == 400 and bad.json()["object"] == "error"
        assert upstream.requests[0].headers["authorization"] == "Bearer s3cret"
        assert server.stop() == 0
    assert "s3cret" not in "".join(server.out + server.err)
    # In memory: nothing is left behind.
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals")
@pytest.mark.parametrize("words", [SERVE, ORIGINAL])
def test_a_hangup_without_a_file_ends_nothing(words: tuple[str, ...], upstream: FakeServer, tmp_path: Path) -> None:
    models = (
        "--strong-model",
        "openai/big",
        "--weak-model",
        "openai/small",
        "--base-url",
        upstream.url,
        "--api-key",
        "k",
    )
    with Served(*words, *models, "--routers", "random", "--port", "0", cwd=tmp_path) as server:
        for _ in range(2):
            after = len(server.err)
            os.kill(server.process.pid, signal.SIGHUP)
            server.said("no file to read again", after=after)
        assert chat(server, "router-random-0").json()["model"] == "big"
        assert server.stop() == 0


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="signals")
def test_a_hangup_reads_the_originals_config_again(upstream: FakeServer, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("random: {}\n")
    models = (
        "--strong-model",
        "openai/big",
        "--weak-model",
        "openai/small",
        "--base-url",
        upstream.url,
        "--api-key",
        "k",
    )
    words = (*models, "--routers", "random", "--config", str(config), "--port", "0")
    with Served(*ORIGINAL, *words, cwd=tmp_path) as server:
        os.kill(server.process.pid, signal.SIGHUP)
        server.said(r"config.yaml: reloaded \(SIGHUP\)")
        config.write_text("random: {nonsense: 1}\n")
        os.kill(server.process.pid, signal.SIGHUP)
        server.said("config.yaml: not reloaded")
        assert chat(server, "router-random-0").json()["model"] == "big"
        assert server.stop() == 0


def test_what_is_cut_at_the_stop_was_not_left_by_its_caller(upstream: FakeServer, tmp_path: Path) -> None:
    upstream.then(Answer(chunks=[chunk({"content": f"w{i} "}) for i in range(2000)], chunk_delay=0.05))
    rest = "server: {drain_s: 0.5}\ntelemetry: {logs: json}\n"
    path = config_at(upstream, tmp_path, rest)
    with Served(*SERVE, str(path), "--port", "0", "--host", "127.0.0.1", env=KEY) as server:
        asked = {"model": "fast", "messages": HELLO, "stream": True}
        with (
            httpx.stream("POST", f"{server.url}/v1/chat/completions", json=asked, timeout=20) as answer,
            contextlib.suppress(httpx.HTTPError),
        ):
            told = False
            for _ in answer.iter_lines():
                if not told:
                    server.process.send_signal(signal.SIGTERM)
                    told = True
        server.said('"error":"server_stopp(ed|ing)"')
        (line,) = [json.loads(line) for line in server.err if '"event":"request"' in line]
        assert "cancelled" not in line and line["stream"] is True
        assert server.process.wait(10) == 0


def test_the_originals_defaults_start(tmp_path: Path) -> None:
    with Served(*ORIGINAL, "--port", "0", cwd=tmp_path) as server:
        assert server.out == ["Launching server with routers: ['random']\n"]
        assert server.get("/health").json() == {"status": "online"}
        # Its weak model's service is closed: that is said of the request.
        answer = chat(server, "router-random-1")
        assert answer.status_code >= 400 and "anyscale" in answer.json()["error"]["message"].lower()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--routers", "nobody"), 2, "invalid choice: 'nobody'"),
        (("--config", "none.yaml"), 1, "none.yaml: there is no such configuration file"),
        (("--host", "0.0.0.0", "--port", "0"), 1, "--allow-public-without-key"),
        (("--import", "no_such_module_of_ours"), 2, "no_such_module_of_ours"),
    ],
)
def test_what_the_originals_program_refuses(words: tuple[str, ...], code: int, told: str, tmp_path: Path) -> None:
    done = ended(*ORIGINAL, *words, cwd=tmp_path)
    assert done.returncode == code and told in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_importing_the_program_reads_no_arguments() -> None:
    done = ended("-c", "import routellm.openai_server", "--no-such-flag")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_routers_of_the_users_own_are_served(upstream: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from ferroute.routers.routers import ROUTER_CLS, Router\n\n"
        "class Mine(Router):\n"
        "    def calculate_strong_win_rate(self, prompt):\n        return float('hard' in prompt)\n\n"
        "ROUTER_CLS['mine'] = Mine\n"
    )
    words = ("--routers", "mine", "--import", "mine", "--strong-model", "openai/big", "--weak-model", "openai/small")
    with Served(*ORIGINAL, *words, "--port", "0", "--base-url", upstream.url, cwd=tmp_path) as server:
        assert server.out == ["Launching server with routers: ['mine']\n"]


CHECK = ("-m", "ferroute", "check")


def test_check_shows_a_configuration_and_all_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "g.yaml"
    path.write_text("weak_model: gpt-5.4-mini\nstrong_model: gpt-5.5\npolicies: [{budget: 5/day}]\n")
    done = ended(*CHECK, str(path))
    assert done.returncode == 0, done.stderr
    assert "no mistakes" in done.stdout and "strong: gpt-5.5  $5 in, $30 out per 1M tokens" in done.stdout
    assert "everybody together: $5/day" in done.stdout
    told = json.loads(ended(*CHECK, str(path), "--json").stdout)
    assert told["ok"] and told["tiers"][1]["output_per_million"] == "30"
    path.write_text("weak_model: a\npolicies: [{budget: 5}]\nprot: 1\n")
    done = ended(*CHECK, str(path))
    assert done.returncode == 1 and done.stdout.endswith("2 mistakes\n"), done.stdout
    assert "g.yaml:2:21: policies[0].budget: expected US dollars and a period, such as 5/day" in done.stdout
    told = json.loads(ended(*CHECK, str(path), "--json").stdout)
    assert [(each["line"], each["path"]) for each in told["mistakes"]] == [(2, "policies[0].budget"), (3, "")]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "name a configuration"),
        (("none.yaml",), "no such configuration file"),
        (("g.yaml", "--replay", "p.jsonl"), "go together"),
        (("g.yaml", "--max-changed", "5%"), "is for --replay"),
        (("g.yaml", "--replay", "p", "--against", "g.yaml", "--max-changed", "5"), "expected a percentage"),
    ],
)
def test_check_says_what_it_did_not_understand(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text("weak_model: a\nstrong_model: b\n")
    done = ended(*CHECK, *words, cwd=tmp_path)
    assert done.returncode == 2 and told in done.stderr, done.stderr


def test_a_file_without_models_says_so_and_is_checked_with_two(tmp_path: Path) -> None:
    for text in ("", "random: {}\nlocal: {}\n"):
        (tmp_path / "rl.yaml").write_text(text)
        done = ended(*CHECK, "rl.yaml", cwd=tmp_path)
        assert done.returncode == 1 and "rl.yaml: it names no models" in done.stdout, done.stdout
        done = ended(*CHECK, "rl.yaml", "--weak-model", "gpt-5.4-mini", "--strong-model", "gpt-5.5", cwd=tmp_path)
        assert done.returncode == 0 and "strong: gpt-5.5" in done.stdout, done.stdout
    done = ended(*CHECK, "rl.yaml", "--weak-model", "gpt-5.4-mini", cwd=tmp_path)
    assert done.returncode == 2 and "go together" in done.stderr


def test_a_ledgers_path_is_shown(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(f"{PAIR}ledger: calls.db\n")
    assert "ledger calls.db" in ended(*CHECK, "g.yaml", cwd=tmp_path).stdout
    assert json.loads(ended(*CHECK, "g.yaml", "--json", cwd=tmp_path).stdout)["config"]["ledger"] == "calls.db"


def test_a_limit_of_nothing_is_no_pass(replayed: Path) -> None:
    (replayed / "empty.jsonl").write_text("\n")
    words = ("new.yaml", "--replay", "empty.jsonl", "--against", "old.yaml")
    assert ended(*CHECK, *words, cwd=replayed).returncode == 0
    done = ended(*CHECK, *words, "--max-changed", "5%", cwd=replayed)
    assert done.returncode == 3 and "no request to play" in done.stderr


def test_the_schema_is_printed() -> None:
    assert json.loads(ended(*CHECK, "--schema").stdout)["properties"]["port"]["maximum"] == 65535


@pytest.fixture
def replayed(tmp_path: Path) -> Path:
    both = "weak_model: gpt-5.4-mini\nstrong_model: gpt-5.5\n"
    (tmp_path / "old.yaml").write_text(f"{both}aliases: {{fast: router-local-1}}\n")
    (tmp_path / "new.yaml").write_text(f"{both}aliases: {{fast: router-local-0}}\n")
    lines: list[Any] = [
        {"model": "fast", "messages": HELLO},
        {"model": "gpt-5.5", "prompt": "What is 2+2?", "max_tokens": 10},
        "Prove that there is no largest prime.",
        {"body": {"model": "nothing", "messages": HELLO}},
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def test_requests_are_played_through_both(replayed: Path) -> None:
    words = ("new.yaml", "--replay", "p.jsonl", "--against", "old.yaml", "--router", "local-0")
    done = ended(*CHECK, *words, cwd=replayed)
    assert done.returncode == 0, done.stderr
    assert "4 requests, 1 (25.0%) go elsewhere" in done.stdout
    told = [json.loads(line) for line in ended(*CHECK, *words, "--json", cwd=replayed).stdout.splitlines()]
    (moved,) = told[:-1]
    assert (moved["row"], moved["before"], moved["after"]) == (1, "gpt-5.4-mini", "gpt-5.5")
    # 4 tokens for a message and 3 for its nine characters; an answer of 500.
    assert moved["cost_before_usd"] == "0.00225525" and moved["cost_after_usd"] == "0.015035"
    sums = told[-1]["summary"]
    assert sums["before"]["models"] == {"gpt-5.4-mini": 1, "gpt-5.5": 2, "(refused)": 1}
    assert sums["changed"] == 0.25 and sums["exceeded"] == []


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (("--max-changed", "25%"), 0),
        (("--max-changed", "24%"), 1),
        (("--max-cost-increase", "5%"), 1),
        (("--max-cost-increase", "500%"), 0),
    ],
)
def test_limits_make_the_exit_code(replayed: Path, limits: tuple[str, ...], code: int) -> None:
    words = ("new.yaml", "--replay", "p.jsonl", "--against", "old.yaml", "--router", "router-local-0")
    done = ended(*CHECK, *words, *limits, cwd=replayed)
    assert done.returncode == code, done.stdout + done.stderr


def test_a_prompt_that_names_no_model_needs_a_router(replayed: Path) -> None:
    done = ended(*CHECK, "new.yaml", "--replay", "p.jsonl", "--against", "old.yaml", cwd=replayed)
    assert done.returncode == 3 and "p.jsonl, line 3: it names no model" in done.stderr
    (replayed / "bad.jsonl").write_text("{\n")
    done = ended(*CHECK, "new.yaml", "--replay", "bad.jsonl", "--against", "old.yaml", cwd=replayed)
    assert done.returncode == 3 and "bad.jsonl, line 1: not JSON" in done.stderr
