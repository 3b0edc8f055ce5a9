"""Keys and what they may, over HTTP: asked for as callers ask, made and revoked as administrators do."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anthropic
import httpx
import openai
import pytest

import postgres
from fakeserver import Answer, FakeServer, chunk, completion
from ferroute._core import Keys
from ferroute.controller import Controller
from ferroute.errors import InvalidValueError, UnknownNameError
from ferroute.gateway import Gateway
from ferroute.policy import CallPolicy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = [{"role": "user", "content": "Say hello"}]
STRONG, WEAK = "gpt-5.5", "gpt-5.4-nano"
ALWAYS_STRONG, ALWAYS_WEAK = "router-random-0", "router-random-1"
ADMIN = "the-admin-key-of-the-tests"
REQUIRED = {"required": True, "admin": ADMIN}


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@contextmanager
def served(upstream: FakeServer, ledger: str = "memory:", **door: Any) -> Iterator[Gateway]:
    controller = Controller(
        ["random"], strong_model=STRONG, weak_model=WEAK, api_base=upstream.url, api_key="upstream-key", ledger=ledger
    )
    with Gateway(controller, port=0, door={"keys": REQUIRED, **door}) as gateway:
        yield gateway


def admin(gateway: Gateway, method: str, path: str = "", key: str = ADMIN, **kwargs: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {key}".strip()}
    return httpx.request(method, f"{gateway.url}/admin/keys{path}", headers=headers, timeout=20, **kwargs)


def made(gateway: Gateway, **wanted: Any) -> tuple[str, str]:
    answer = admin(gateway, "POST", json=wanted)
    assert answer.status_code == 201, answer.text
    return answer.json()["key"], answer.json()["id"]


def client_of(gateway: Gateway, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)


def ask(gateway: Gateway, key: str | None, model: str = ALWAYS_WEAK, **more: Any) -> httpx.Response:
    headers = {} if key is None else {"authorization": f"Bearer {key}".strip()}
    body = {"model": model, "messages": HELLO, **more}
    return httpx.post(f"{gateway.url}/v1/chat/completions", headers=headers, json=body, timeout=20)


def test_a_key_opens_and_its_revoking_closes_at_once(upstream: FakeServer) -> None:
    with served(upstream) as gateway:
        secret, key = made(gateway, name="ci", team="search")
        assert secret.startswith("frk_") and len(secret) == 47
        with client_of(gateway, secret) as client:
            assert client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO).choices[0].message.content
            assert admin(gateway, "DELETE", f"/{key}").json()["revoked"] is not None
            with pytest.raises(openai.AuthenticationError) as caught:
                client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO)
        assert caught.value.code == "invalid_api_key" and "revoked" in caught.value.message
        assert len(upstream.requests) == 1
        listed = admin(gateway, "GET").json()["data"]
        assert [(one["id"], one["name"], one["team"], "key" in one) for one in listed] == [(key, "ci", "search", False)]
        assert admin(gateway, "GET", f"/{key}").json() == listed[0]
        assert admin(gateway, "GET", "/key_none").json()["error"]["code"] == "key_not_found"


@pytest.mark.parametrize("key", [None, "", "sk-something", "frk_" + "A" * 43, ADMIN])
def test_without_a_valid_key_nothing_is_asked(upstream: FakeServer, key: str | None) -> None:
    with served(upstream) as gateway:
        answer = ask(gateway, key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
        assert not key or key not in answer.text
        for path in ("embeddings", "decision", "feedback", "messages", "responses"):
            headers = {} if key is None else {"x-api-key": key}
            # The admin key may say what it likes of answers.
            expected = 400 if (path, key) == ("feedback", ADMIN) else 401
            status = httpx.post(f"{gateway.url}/v1/{path}", headers=headers, json={}, timeout=20).status_code
            assert status == expected, path
        assert httpx.get(f"{gateway.url}/v1/models", timeout=20).status_code == 401
        assert httpx.get(f"{gateway.url}/health", timeout=20).json() == {"status": "online"}
        assert not upstream.requests


def test_a_key_is_looked_at_before_the_body(upstream: FakeServer) -> None:
    with served(upstream) as gateway:
        answer = httpx.post(f"{gateway.url}/v1/chat/completions", content=b"{" * 1000, timeout=20)
        assert answer.status_code == 401


def test_other_protocols_say_it_in_their_words(upstream: FakeServer) -> None:
    with (
        served(upstream) as gateway,
        anthropic.Anthropic(base_url=gateway.url, api_key="frk_wrong", max_retries=0) as client,
        pytest.raises(anthropic.AuthenticationError) as caught,
    ):
        client.messages.create(model=WEAK, max_tokens=10, messages=[{"role": "user", "content": "Say hello"}])
    assert caught.value.body["error"]["type"] == "authentication_error"


def test_anthropics_clients_show_their_key_elsewhere(upstream: FakeServer) -> None:
    with served(upstream) as gateway:
        secret, _ = made(gateway)
        with anthropic.Anthropic(base_url=gateway.url, api_key=secret, max_retries=0) as client:
            answer = client.messages.create(
                model=ALWAYS_WEAK, max_tokens=10, messages=[{"role": "user", "content": "Say hello"}]
            )
        assert answer.content[0].text == "Hello"


def test_scopes_are_kept_to(upstream: FakeServer) -> None:
    with served(upstream) as gateway:
        secret, _ = made(gateway, scopes=["metrics"])
        answer = ask(gateway, secret)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")


def test_what_is_no_key_is_told(upstream: FakeServer) -> None:
    with served(upstream) as gateway:
        for wanted, word in [({"requests": "5"}, "requests"), ({"nmae": "x"}, "nmae"), ({"expires": "soon"}, "90d")]:
            answer = admin(gateway, "POST", json=wanted)
            assert answer.status_code == 400 and word in answer.json()["error"]["message"]
        assert admin(gateway, "POST", content=b"[").status_code == 400
        for key in ("", "frk_x", ADMIN + "x"):
            assert admin(gateway, "GET", key=key).status_code == 401
            assert admin(gateway, "POST", key=key, json={}).status_code == 401
            assert admin(gateway, "DELETE", "/key_x", key=key).status_code == 401


def test_there_is_no_administration_without_an_admin_key(upstream: FakeServer) -> None:
    with served(upstream, keys={"required": True}) as gateway:
        assert admin(gateway, "GET").json()["error"]["code"] == "no_admin_key"


def test_a_server_without_keys_ignores_what_callers_say_of_themselves(upstream: FakeServer) -> None:
    with served(upstream, keys={}) as gateway:
        for key in (None, "sk-anything", "frk_of-another-server"):
            assert ask(gateway, key).status_code == 200


def test_a_rate_of_a_key_is_its_own(upstream: FakeServer) -> None:
    with served(upstream) as gateway:
        first, _ = made(gateway, requests="2/hour")
        second, _ = made(gateway)
        answers = [ask(gateway, first) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].headers["x-ratelimit-limit-requests"] == "2"
        assert [answer.headers["x-ratelimit-remaining-requests"] for answer in answers[:2]] == ["1", "0"]
        assert answers[2].json()["error"]["code"] == "rate_limit_exceeded"
        assert 1700 < int(answers[2].headers["retry-after"]) <= 1800
        assert ask(gateway, second).status_code == 200
        # Another key makes the table anew; what was spent stays spent.
        made(gateway)
        assert ask(gateway, first).status_code == 429
        with client_of(gateway, first) as client, pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO)


def test_tokens_are_counted_when_they_are_known(upstream: FakeServer) -> None:
    usage = {"prompt_tokens": 600, "completion_tokens": 600, "total_tokens": 1200}
    with served(upstream, policies=[{"team": "t", "tokens": "1000/hour"}]) as gateway:
        secret, _ = made(gateway, team="t")
        upstream.then(Answer(body=json.dumps(completion(WEAK) | {"usage": usage}).encode()))
        assert ask(gateway, secret).status_code == 200
        refused = ask(gateway, secret)
        assert refused.status_code == 429 and "1000/hour tokens for team t" in refused.json()["error"]["message"]
        other, _ = made(gateway, team="u")
        assert ask(gateway, other).status_code == 200


def test_a_failed_call_gives_its_tokens_back(upstream: FakeServer) -> None:
    with served(upstream, policies=[{"tokens": "200/hour"}]) as gateway:
        secret, _ = made(gateway)
        for _ in range(5):
            upstream.then(Answer(status=400, body=b'{"error":{"message":"no"}}'))
            assert ask(gateway, secret, messages=[{"role": "user", "content": "x" * 400}]).status_code == 400
        assert ask(gateway, secret).status_code == 200


def test_places_are_held_to_the_end_of_a_stream(upstream: FakeServer) -> None:
    chunks = [chunk({"role": "assistant", "content": "a"}), *[chunk({"content": "b"})] * 3, chunk({}, "stop")]
    with served(upstream, policies=[{"concurrency": 1}]) as gateway:
        secret, _ = made(gateway)
        upstream.then(Answer(chunks=[*chunks, b"data: [DONE]\n\n"], chunk_delay=0.3))
        with client_of(gateway, secret) as client:
            stream = client.chat.completions.create(model=ALWAYS_WEAK, messages=HELLO, stream=True)
            next(stream)
            refused = ask(gateway, secret)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "concurrency_limit_exceeded")
            assert refused.headers["retry-after"] == "1"
            assert len(list(stream)) >= 3
            assert _until(lambda: ask(gateway, secret).status_code == 200)


def test_a_caller_who_leaves_gives_his_place_back(upstream: FakeServer) -> None:
    with served(upstream, policies=[{"concurrency": 1}]) as gateway:
        secret, _ = made(gateway)
        upstream.then(Answer(delay=5))
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{gateway.url}/v1/chat/completions",
                headers={"x-api-key": secret},
                json={"model": ALWAYS_WEAK, "messages": HELLO},
                timeout=0.3,
            )
        assert _until(lambda: ask(gateway, secret).status_code == 200, seconds=4)


def test_models_that_are_not_allowed_are_not_asked(upstream: FakeServer) -> None:
    with served(upstream) as gateway:
        named, _ = made(gateway, models=[WEAK, "router-random"])
        assert ask(gateway, named, STRONG).json()["error"]["code"] == "model_not_allowed"
        assert ask(gateway, named, STRONG).status_code == 403
        assert ask(gateway, named, WEAK).status_code == 200
        moved = ask(gateway, named, ALWAYS_STRONG)
        assert moved.status_code == 200 and moved.headers["x-ferroute-model"] == WEAK
        assert "not allowed" in moved.headers["x-ferroute-note"]
        router, _ = made(gateway, models=["router-random"])
        assert ask(gateway, router, ALWAYS_STRONG).headers["x-ferroute-model"] == STRONG
        assert ask(gateway, router, WEAK).status_code == 403
        assert [request.json["model"] for request in upstream.requests] == [WEAK, WEAK, STRONG]


ITS_OWN = "its share is capped", "it has limits of its own", "it is not allowed for this caller"


@pytest.mark.parametrize(
    ("policies", "asked", "why"),
    [
        ([{"models": [WEAK]}], WEAK, ITS_OWN[2]),
        ([{"models": [WEAK, "router-random"]}], ALWAYS_WEAK, ITS_OWN[2]),
        ([{"models": ["small"]}], "small", ITS_OWN[2]),
        ([{"model": STRONG, "requests": "1/hour"}], WEAK, ITS_OWN[1]),
        ([{"model": "large", "tokens": "1/hour"}], ALWAYS_WEAK, ITS_OWN[1]),
        ([{"model": STRONG, "concurrency": 1}], WEAK, ITS_OWN[1]),
        ([{"share": {"model": STRONG, "most": 0}}], WEAK, ITS_OWN[0]),
        ([{"share": {"model": STRONG, "most": "50%"}, "at_limit": "downgrade"}], ALWAYS_WEAK, ITS_OWN[0]),
        ([], WEAK, None),
        ([{"models": [WEAK, STRONG]}], WEAK, None),
        ([{"models": [WEAK, "large"]}], WEAK, None),
        ([{"models": ["router-random"]}], ALWAYS_WEAK, None),
        ([{"model": WEAK, "requests": "1/hour"}], WEAK, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_is_held_to_the_policies(
    upstream: FakeServer, policies: list[dict[str, Any]], asked: str, why: str | None, stream: bool
) -> None:
    where = {"api_base": upstream.url, "api_key": "upstream-key"}
    policy = CallPolicy(retries=0, fallbacks={WEAK: [STRONG]})
    controller = Controller(["random"], strong_model=STRONG, weak_model=WEAK, policy=policy, ledger="memory:", **where)
    aliases = {"small": WEAK, "large": STRONG}
    with Gateway(controller, port=0, door={"policies": policies}, aliases=aliases) as gateway:
        upstream.then(Answer(status=500))
        answer = ask(gateway, None, asked, stream=stream)
    models = [request.json["model"] for request in upstream.requests]
    if why is None:
        assert (answer.status_code, models) == (200, [WEAK, STRONG])
    else:
        assert answer.status_code >= 500 and models == [WEAK], answer.text
        assert answer.headers["x-ferroute-note"] == f"the fallback `{STRONG}` was not asked: {why}"


def test_a_keys_own_list_holds_for_fallbacks(upstream: FakeServer) -> None:
    policy = CallPolicy(retries=0, fallbacks={WEAK: [STRONG]})
    controller = Controller(
        ["random"], STRONG, WEAK, policy=policy, api_base=upstream.url, api_key="upstream-key", ledger="memory:"
    )
    with Gateway(controller, port=0, door={"keys": REQUIRED}) as gateway:
        narrow, wide = made(gateway, models=[WEAK])[0], made(gateway)[0]
        upstream.then(Answer(status=500), Answer(status=500))
        assert ask(gateway, narrow, WEAK).status_code >= 500
        assert ask(gateway, wide, WEAK).headers["x-ferroute-model"] == STRONG
    assert [request.json["model"] for request in upstream.requests] == [WEAK, WEAK, STRONG]


def test_a_model_that_one_of_two_limits_refuses_takes_nothing_of_the_other(upstream: FakeServer) -> None:
    limit = {"model": STRONG, "at_limit": "downgrade"}
    policies = [{**limit, "requests": "10/hour"}, {**limit, "requests": "1/hour"}]
    with served(upstream, policies=policies, keys={}) as gateway:
        first, second = ask(gateway, None, ALWAYS_STRONG), ask(gateway, None, ALWAYS_STRONG)
        assert (first.headers["x-ferroute-model"], second.headers["x-ferroute-model"]) == (STRONG, WEAK)
        assert first.headers["x-ratelimit-limit-requests"] == "1"
        assert "x-ratelimit-limit-requests" not in second.headers


def test_a_share_cap_holds_under_concurrency(upstream: FakeServer) -> None:
    policies = [{"share": {"model": STRONG, "most": "10%"}, "at_limit": "downgrade"}]
    with served(upstream, policies=policies, keys={}) as gateway:
        counts = {STRONG: 0, WEAK: 0}
        lock = threading.Lock()

        def many() -> None:
            with httpx.Client(base_url=gateway.url, timeout=30) as client:
                for _ in range(60):
                    body = {"model": "router-random-0.5", "messages": HELLO}
                    answer = client.post("/v1/chat/completions", json=body)
                    assert answer.status_code == 200, answer.text
                    with lock:
                        counts[answer.headers["x-ferroute-model"]] += 1

        threads = [threading.Thread(target=many) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(counts.values()) == 480
        # 100 of any 1,000; of the first 480 those who come first may have somewhat more than their part.
        assert 30 <= counts[STRONG] <= 100


def test_a_share_cap_may_refuse(upstream: FakeServer) -> None:
    with served(upstream, policies=[{"share": {"model": STRONG, "most": 0}}], keys={}) as gateway:
        answer = ask(gateway, None, STRONG)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "share_cap_reached")
        assert ask(gateway, None, ALWAYS_STRONG).status_code == 429
        assert ask(gateway, None, WEAK).status_code == 200


def test_a_reload_forgets_neither_keys_nor_what_was_spent(upstream: FakeServer) -> None:
    with served(upstream, policies=[{"requests": "3/hour"}]) as gateway:
        secret, _ = made(gateway)
        assert [ask(gateway, secret).status_code for _ in range(2)] == [200, 200]
        gateway.replace(gateway.controller)
        assert [ask(gateway, secret).status_code for _ in range(2)] == [200, 429]
        gateway.replace(gateway.controller, door={"keys": REQUIRED})
        assert ask(gateway, secret).status_code == 200


def test_a_key_pays_from_its_own_budget(upstream: FakeServer) -> None:
    with served(upstream) as gateway:
        secret, _ = made(gateway, budget="0.000001/day")
        refused = ask(gateway, secret, max_tokens=1000)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "budget_exceeded")
        rich, _ = made(gateway, budget="5/day")
        answer = ask(gateway, rich)
        assert answer.status_code == 200 and int(answer.headers["x-ferroute-clamp"]) >= 1


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "postgres":
        with postgres.cluster() as url:
            yield url
    else:
        yield f"sqlite:///{tmp_path}/ferroute.db"


def command(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "ferroute", "keys", *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=check, timeout=60)


def test_the_command_makes_and_revokes_while_the_server_runs(upstream: FakeServer, store: str) -> None:
    with served(upstream, store) as gateway:
        done = command("create", "--team", "t", "--budget-usd", "5/day", "--store", store)
        secret = done.stdout.strip()
        assert secret.startswith("frk_") and "team t" in done.stderr and "$5/day" in done.stderr
        assert secret not in done.stderr
        assert _until(lambda: ask(gateway, secret).status_code == 200)
        key = json.loads(command("list", "--json", "--store", store).stdout)
        assert (key["team"], key["budget"]) == ("t", "5/day") and secret not in json.dumps(key)
        revoked = time.monotonic()
        command("revoke", key["id"], "--store", store)
        assert _until(lambda: ask(gateway, secret).status_code == 401)
        # The command itself takes some of it.
        assert time.monotonic() - revoked < 10
        assert "revoked" in command("show", key["id"], "--store", store).stdout


def test_the_command_says_what_it_did_not_understand(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/ferroute.db"
    for arguments, word in [
        (["create", "--budget-usd", "5"], "US dollars"),
        (["create", "--requests", "many"], "such as 100/minute"),
        (["create", "--scopes", "admin"], "scopes"),
        (["create", "--expires", "soon"], "90d"),
        (["show", "nobody"], "no file"),
        (["list"], "no file"),
    ]:
        done = command(*arguments, "--store", store, check=False)
        assert done.returncode in (1, 2) and word in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
    command("create", "--name", "twice", "--store", store)
    command("create", "--name", "twice", "--store", store)
    done = command("revoke", "twice", "--store", store, check=False)
    assert done.returncode == 2 and "say which" in done.stderr
    done = command("revoke", "nobody", "--store", store, check=False)
    assert done.returncode == 2 and "no key" in done.stderr
    assert command("list", "--store", "memory:", check=False).returncode == 2


def test_keys_from_python(tmp_path: Path) -> None:
    keys = Keys(f"sqlite:///{tmp_path}/keys.db")
    secret, told = keys.create('{"name":"ci"}')
    assert secret not in told and secret not in repr(keys) and json.loads(keys.show("ci")) == json.loads(told)
    with pytest.raises(UnknownNameError):
        keys.revoke("other")
    with pytest.raises(InvalidValueError):
        keys.create("[]")


@pytest.mark.parametrize(
    "door",
    [
        {"keys": {"requird": True}},
        {"keys": {"required": True, "admin": "short"}},
        {"server": {"cors": ["a.example"]}},
        {"server": {"max_body_mb": 0}},
        {"server": {"header_timeout_s": -1}},
        {"server": {"timeout": 1}},
        {"policies": [{"requests": "5"}]},
        {"policies": [{"teem": "t"}]},
    ],
)
def test_what_makes_no_sense_is_told_before_it_serves(upstream: FakeServer, door: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=r"expected|unknown"), served(upstream, **door):
        pass


def test_no_secret_is_written_anywhere(upstream: FakeServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    store = f"sqlite:///{tmp_path}/ferroute.db"
    prompt = "a very private question"
    with served(upstream, store) as gateway:
        secret, key = made(gateway)
        for one in (secret, secret + "x", ADMIN):
            ask(gateway, one, messages=[{"role": "user", "content": prompt}])
            ask(gateway, one, "no-such-model", messages=[{"role": "user", "content": prompt}])
        text = repr(gateway) + repr(gateway._door.core)
    out, err = capfd.readouterr()
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for hidden in (secret[4:], ADMIN, prompt, "upstream-key"):
        assert hidden not in out + err + text
        assert hidden.encode() not in files
    assert key.encode() in files


def _until(wanted: Any, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if wanted():
            return True
        time.sleep(0.05)
    return False


def test_what_a_key_cannot_be_is_told_when_it_is_made(upstream: FakeServer) -> None:
    with served(upstream) as gateway:
        for wanted in ({"budget": "10000000/day"}, {"name": "key_0123456789abcdef"}):
            assert admin(gateway, "POST", json=wanted).status_code == 400
        keys = [made(gateway, name="twice")[1] for _ in range(2)]
        answer = admin(gateway, "DELETE", "/twice")
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "ambiguous_key_name")
        assert all(key in answer.text for key in keys)
        assert admin(gateway, "DELETE", "/nobody").status_code == 404


def test_a_keys_own_budget_does_not_loosen_the_rules(upstream: FakeServer, tmp_path: Path) -> None:
    ledger = f"sqlite:{tmp_path / 'calls.db'}"
    with served(upstream, ledger) as gateway:
        secret, key = made(gateway, budget="5/day")
        assert ask(gateway, secret, max_tokens=1000).status_code == 200
    with served(upstream, ledger, policies=[{"key": key, "budget": "0.0000001/day"}]) as gateway:
        for _ in range(2):
            answer = ask(gateway, secret, max_tokens=1000)
            assert (answer.status_code, answer.json()["error"]["code"]) == (429, "budget_exceeded")
