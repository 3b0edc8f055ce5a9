"""What is seen of a server: scraped as Prometheus does, collected as a collector of traces does, read from stderr."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import exposition
from fakeserver import Answer, FakeServer, chunk, completion, event
from ferroute.controller import Controller
from ferroute.errors import InvalidValueError
from ferroute.gateway import Gateway

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Self

SECRET = "the prompt nobody may see"
STRONG, WEAK = "gpt-5.5", "gpt-5.4-nano"
USAGE = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
PACKAGING = Path(__file__).parents[1] / "packaging"


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


def controller_at(upstream: FakeServer, **more: Any) -> Controller:
    return Controller(
        ["random"], strong_model=STRONG, weak_model=WEAK, api_base=upstream.url, api_key="upstream-key", **more
    )


@contextmanager
def served(upstream: FakeServer, **more: Any) -> Iterator[tuple[Gateway, httpx.Client]]:
    with (
        Gateway(controller_at(upstream), port=0, **more) as gateway,
        httpx.Client(base_url=gateway.url, timeout=30) as client,
    ):
        yield gateway, client


def ask(client: httpx.Client, model: str = "router-random-0", **more: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": SECRET}], **more}
    headers = more.pop("headers", {})
    return client.post("/v1/chat/completions", json=body, headers={"authorization": "Bearer callers-secret"} | headers)


def scraped(client: httpx.Client) -> dict[str, exposition.Family]:
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert SECRET not in answer.text and "secret" not in answer.text and "upstream-key" not in answer.text
    return exposition.read(answer.text)


def eventually(look: Any, seconds: float = 10) -> Any:
    """What `look` gives, once it gives something: a request is told of just after its answer."""
    until = time.monotonic() + seconds
    while not (found := look()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def test_metrics_are_what_happened(upstream: FakeServer) -> None:
    with served(upstream) as (_, client):
        whole = json.dumps(completion(STRONG) | {"usage": USAGE}).encode()
        upstream.then(Answer(body=whole), Answer(body=whole))
        assert ask(client).status_code == 200
        assert ask(client).status_code == 200
        upstream.then(Answer(chunks=[event(chunk_of("a")), event(chunk_of("b", "stop")), b"data: [DONE]\n\n"]))
        with client.stream("POST", "/v1/chat/completions", json=body_of(WEAK, stream=True)) as stream:
            assert b"[DONE]" in stream.read()
        assert ask(client, "nobody").status_code in (400, 404)
        upstream.then(Answer(status=401))
        assert ask(client, STRONG).status_code == 401
        families = eventually(lambda: told(client, 5))
        find = exposition.value
        path = "/v1/chat/completions"
        assert find(families, "ferroute_requests_total", protocol="openai", path=path, status="200") == 3
        assert find(families, "ferroute_requests_total", protocol="openai", path=path, status="401") == 1
        assert find(families, "ferroute_decisions_total", router="random", model=STRONG, tier="none") == 2
        assert find(families, "ferroute_decisions_total", router="none", model=WEAK, tier="none") == 1
        assert find(families, "ferroute_win_rate_count", router="random") == 2
        # gpt-5.5: 5 and 30 dollars a million.
        assert find(families, "ferroute_cost_usd_total", model=STRONG, team="none") == pytest.approx(0.04)
        assert find(families, "ferroute_saved_usd", model=STRONG, team="none") == 0
        assert find(families, "ferroute_tokens_total", model=STRONG, team="none", kind="completion") == 1000
        assert find(families, "ferroute_calls_total", model=STRONG, team="none", outcome="ok") == 2
        assert find(families, "ferroute_calls_total", model=WEAK, team="none", outcome="ok") == 1
        assert find(families, "ferroute_errors_total", model=STRONG, kind="status_401") == 1
        assert find(families, "ferroute_attempts_total", model=STRONG) == 3
        assert find(families, "ferroute_requests_in_flight") == 0
        assert find(families, "ferroute_ledger_lost_total") == 0
        assert find(families, "process_open_fds") > 3 and find(families, "process_resident_memory_bytes") > 1e6


def chunk_of(text: str, finish: str | None = None) -> dict[str, Any]:
    return json.loads(chunk({"content": text}, finish).removeprefix(b"data: "))


def body_of(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": SECRET}], **more}


def told(client: httpx.Client, requests: int) -> dict[str, exposition.Family] | None:
    families = scraped(client)
    return families if exposition.total(families, "ferroute_requests_total") >= requests else None


def test_who_leaves_is_seen(upstream: FakeServer) -> None:
    with served(upstream) as (_, client):
        upstream.then(Answer(chunks=[chunk({"content": f"w{i} "}) for i in range(1000)], chunk_delay=0.02))
        with client.stream("POST", "/v1/chat/completions", json=body_of(STRONG, stream=True)) as stream:
            pieces = stream.iter_lines()
            assert next(pieces)
            assert exposition.value(scraped(client), "ferroute_requests_in_flight") == 1
        families = eventually(lambda: told(client, 1))
        assert exposition.value(families, "ferroute_requests_cancelled_total", protocol="openai") == 1
        assert exposition.value(families, "ferroute_calls_total", model=STRONG, team="none", outcome="cancelled") == 1
        assert exposition.value(families, "ferroute_estimated_calls_total", model=STRONG) == 1
        assert exposition.value(families, "ferroute_requests_in_flight") == 0


def test_counters_outlive_a_reload_and_thresholds_are_told(upstream: FakeServer) -> None:
    with served(upstream) as (gateway, client):
        ask(client)
        other = controller_at(upstream)

        class Holder:
            rate = 0.1

            def held(self) -> tuple[float, None]:
                return 0.25, None

        other.hold("random", Holder())
        gateway.replace(other)
        ask(client)
        families = eventually(lambda: told(client, 2))
        assert exposition.total(families, "ferroute_requests_total", status="200") == 2
        assert exposition.value(families, "ferroute_held_threshold", router="random") == 0.25


def test_a_cooldown_is_seen(upstream: FakeServer) -> None:
    from ferroute.policy import CallPolicy

    policy = CallPolicy(retries=0, fallbacks={STRONG: [WEAK]})
    with (
        Gateway(controller_at(upstream, policy=policy), port=0) as gateway,
        httpx.Client(base_url=gateway.url) as client,
    ):
        for _ in range(3):
            upstream.then(Answer(status=503), Answer())
            assert ask(client).status_code == 200
        families = eventually(lambda: told(client, 3))
        taken = exposition.value(families, "ferroute_instead_total", chosen=STRONG, model=WEAK, why="fallback")
        assert taken == 3
        rests = exposition.value(families, "ferroute_cooldown_seconds", model=STRONG, provider="openai")
        assert 0 < rests <= 30
        assert exposition.value(families, "ferroute_cooldown_seconds", model=WEAK, provider="openai") == 0


def test_policies_are_seen_by_who_has_a_key_for_it(upstream: FakeServer) -> None:
    admin = "the-admin-key-of-the-tests"
    policies = [{"team": "red", "budget": "5/day"}, {"requests": "100/minute"}]
    door = {"keys": {"required": True, "admin": admin}, "policies": policies}
    with served(upstream, door=door) as (_, client):
        keys = {}
        for scope in ("chat", "metrics"):
            made = client.post(
                "/admin/keys",
                json={"team": "red", "scopes": [scope]},
                headers={"authorization": f"Bearer {admin}"},
            )
            assert made.status_code == 201, made.text
            keys[scope] = {"authorization": f"Bearer {made.json()['key']}"}
        upstream.then(Answer(body=json.dumps(completion(STRONG) | {"usage": USAGE}).encode()))
        assert client.post("/v1/chat/completions", json=body_of(STRONG), headers=keys["chat"]).status_code == 200
        assert client.post("/v1/chat/completions", json=body_of(STRONG)).status_code == 401
        assert [client.get("/metrics", headers=headers).status_code for headers in ({}, keys["chat"])] == [401, 403]

        def spent() -> dict[str, exposition.Family] | None:
            families = exposition.read(client.get("/metrics", headers=keys["metrics"]).text)
            red = {"key": "all", "team": "red", "model": "all", "period": "day"}
            return families if exposition.value(families, "ferroute_budget_spent_usd", **red) else None

        families = eventually(spent)
        budget = {"key": "all", "team": "red", "model": "all", "period": "day"}
        assert exposition.value(families, "ferroute_budget_limit_usd", **budget) == 5
        assert exposition.value(families, "ferroute_budget_spent_usd", **budget) == pytest.approx(0.02)
        assert exposition.value(families, "ferroute_budget_left_usd", **budget) == pytest.approx(4.98)
        limit = {"key": "all", "team": "all", "model": "all", "kind": "requests", "seconds": "60"}
        assert exposition.value(families, "ferroute_limit_allowed", **limit) == 100
        assert exposition.value(families, "ferroute_calls_total", model=STRONG, team="red", outcome="ok") == 1
        # The call without a key, and the scrape without one.
        assert exposition.value(families, "ferroute_denied_total", code="invalid_api_key", team="none") == 2
        assert not any(key["authorization"].removeprefix("Bearer ") in repr(families) for key in keys.values())


def test_metrics_may_be_switched_off(upstream: FakeServer) -> None:
    with served(upstream, telemetry={"metrics": False}) as (_, client):
        assert client.get("/metrics").status_code == 404
    with pytest.raises(InvalidValueError, match="unknown option 'metric'"):
        Gateway(controller_at(upstream), port=0, telemetry={"metric": True})
    with pytest.raises(InvalidValueError, match="expected text, json or off"):
        Gateway(controller_at(upstream), port=0, telemetry={"logs": "loud"})


class Collector(ThreadingHTTPServer):
    """Takes spans as a collector does: flattened, with attributes as Python's values."""

    daemon_threads = True

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        self.headers: list[Any] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                assert self.path == "/v1/traces" and self.headers["content-type"] == "application/json"
                collector.headers.append(self.headers)
                for resource in body["resourceSpans"]:
                    names = plain(resource["resource"]["attributes"])
                    assert names["service.name"] == "ferroute"
                    for scope in resource["scopeSpans"]:
                        collector.spans += [span | {"attributes": plain(span["attributes"])} for span in scope["spans"]]
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    read = {"stringValue": str, "intValue": int, "doubleValue": float, "boolValue": bool}
    values = {}
    for attribute in attributes:
        ((kind, value),) = attribute["value"].items()
        assert attribute["key"] not in values
        values[attribute["key"]] = read[kind](value)
    return values


def test_a_trace_goes_through_the_server(upstream: FakeServer) -> None:
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    with Collector() as collector:
        telemetry = {"otlp": collector.url, "otlp_headers": {"x-key": "k"}}
        with served(upstream, telemetry=telemetry) as (_, client):
            upstream.then(Answer(body=json.dumps(completion(STRONG) | {"usage": USAGE}).encode()))
            answer = ask(client, headers={"traceparent": f"00-{trace}-{parent}-01"})
            assert answer.status_code == 200
            spans = eventually(lambda: collector.spans)
        whole, decision, call = spans
        assert {span["traceId"] for span in spans} == {trace}
        assert whole["parentSpanId"] == parent and whole["kind"] == 2
        assert decision["parentSpanId"] == call["parentSpanId"] == whole["spanId"]
        assert whole["attributes"]["ferroute.request.id"] == answer.headers["x-request-id"]
        assert whole["attributes"]["http.response.status_code"] == 200
        assert decision["attributes"]["ferroute.router"] == "random"
        found = call["attributes"]
        assert found["gen_ai.operation.name"] == "chat" and found["gen_ai.request.model"] == STRONG
        assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (1000, 500)
        assert found["ferroute.cost_usd"] == pytest.approx(0.02)
        assert upstream.requests[0].headers["traceparent"] == f"00-{trace}-{call['spanId']}-01"
        begins, ends = (int(whole[name]) for name in ("startTimeUnixNano", "endTimeUnixNano"))
        for span in (decision, call):
            assert begins <= int(span["startTimeUnixNano"]) <= int(span["endTimeUnixNano"]) <= ends + 1_000_000
        assert collector.headers[0]["x-key"] == "k"
        assert SECRET not in json.dumps(collector.spans)


def test_without_tracing_providers_are_sent_nothing_more(upstream: FakeServer) -> None:
    with served(upstream) as (_, client):
        ask(client)
        assert "traceparent" not in upstream.requests[0].headers


def test_a_collector_that_is_away_is_no_trouble(upstream: FakeServer) -> None:
    with served(upstream, telemetry={"otlp": "http://127.0.0.1:9"}) as (_, client):
        for _ in range(20):
            assert ask(client).status_code == 200
        families = eventually(lambda: failing(client), 20)
        assert exposition.value(families, "ferroute_spans_exported_total") == 0


def failing(client: httpx.Client) -> dict[str, exposition.Family] | None:
    families = scraped(client)
    return families if exposition.value(families, "ferroute_span_export_failures_total") else None


PROGRAM = """
import sys
from ferroute.controller import Controller
from ferroute.gateway import Gateway
controller = Controller(["random"], "gpt-5.5", "gpt-5.4-nano", api_base=sys.argv[1], api_key="upstream-key")
gateway = Gateway(controller, port=0, telemetry={"logs": sys.argv[2], "verbose": sys.argv[3] == "1"})
gateway.say("start", "it begins")
print(gateway.url, flush=True)
gateway.run()
"""


def lines(upstream: FakeServer, form: str, verbose: bool) -> list[str]:
    """Stderr of a server that has answered one request well and one badly."""
    command = [sys.executable, "-c", PROGRAM, upstream.url, form, str(int(verbose))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=process.stdout.readline().strip()) as client:
            upstream.then(Answer(body=json.dumps(completion(STRONG) | {"usage": USAGE}).encode()))
            assert ask(client).status_code == 200
            body = json.dumps({"error": {"message": f"cannot read {SECRET}", "type": "server_error"}}).encode()
            upstream.then(*[Answer(status=500, body=body)] * 3)
            assert ask(client).status_code == 500
        process.terminate()
        _, errors = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert SECRET not in errors and "secret" not in errors and "upstream-key" not in errors
    return errors.splitlines()


def test_lines_as_json(upstream: FakeServer) -> None:
    start, well, badly = map(json.loads, lines(upstream, "json", verbose=False))
    assert (start["event"], start["level"], start["message"]) == ("start", "info", "it begins")
    assert well["event"] == "request" and well["status"] == 200 and well["model"] == STRONG
    assert (well["prompt_tokens"], well["completion_tokens"], well["cost_usd"]) == (1000, 500, 0.02)
    assert well["router"] == "random" and 0 <= well["win_rate"] <= 1 and well["ms"] >= well["overhead_ms"] > 0
    assert (badly["status"], badly["level"], badly["error"]) == (500, "warning", "status_500")
    assert well["id"].startswith("req_") and well["id"] != badly["id"]


def told_in_json(upstream: FakeServer, door: dict[str, Any], work: Any) -> list[dict[str, Any]]:
    """Lines of a server of which `work` has asked something."""
    command = [sys.executable, "-c", GUARDED, upstream.url, json.dumps(door)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        # A refused body is not read, so its connection is not used again.
        once = httpx.Limits(max_keepalive_connections=0)
        with httpx.Client(base_url=process.stdout.readline().strip(), limits=once) as client:
            work(client)
        process.terminate()
        _, errors = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert SECRET not in errors and "s3cret" not in errors and "frk_" not in errors
    return [json.loads(line) for line in errors.splitlines()]


GUARDED = """
import json, sys
from ferroute.controller import ROUTER_CLS, Controller
from ferroute.gateway import Gateway
from ferroute.routers.base import Router

class Mine(Router):
    def calculate_strong_win_rate(self, prompt):
        raise KeyError(prompt)

ROUTER_CLS["mine"] = Mine
controller = Controller(
    ["random", "mine"], strong_model="gpt-5.5", weak_model="gpt-5.4-nano", api_base=sys.argv[1], api_key="upstream-key"
)
gateway = Gateway(controller, port=0, telemetry={"logs": "json"}, door=json.loads(sys.argv[2]))
print(gateway.url, flush=True)
gateway.run()
"""


def test_what_comes_to_no_handler_is_counted_and_logged(upstream: FakeServer) -> None:
    counted: dict[tuple[str, str], float] = {}

    def work(client: httpx.Client) -> None:
        assert client.get("/nothing/of/ours").status_code == 404
        assert client.get("/another").status_code == 404
        assert client.get("/v1/chat/completions").status_code == 405
        assert client.get("/v1/models", headers={"host": "evil.example"}).status_code == 421
        assert client.post("/v1/messages", headers={"origin": "https://evil.example"}).status_code == 403
        assert client.get("/v1/models").status_code == client.get("/health").status_code == 200
        assert ask(client, "router-mine-0.5").status_code == 500
        for (_, labels), value in scraped(client)["ferroute_requests_total"].samples.items():
            named = dict(labels)
            counted[named["path"], named["status"]] = value

    lines = told_in_json(upstream, {}, work)
    expected = {
        ("other", "404"): 2,
        ("/v1/chat/completions", "405"): 1,
        ("/v1/models", "421"): 1,
        ("/v1/messages", "403"): 1,
        ("/v1/models", "200"): 1,
        ("/v1/chat/completions", "500"): 1,
    }
    assert counted == expected
    found = [(line["path"], line["status"], line.get("error")) for line in lines]
    assert found == [
        ("other", 404, None),
        ("other", 404, None),
        ("/v1/chat/completions", 405, None),
        ("/v1/models", 421, "host_not_allowed"),
        ("/v1/messages", 403, "origin_not_allowed"),
        ("/v1/models", 200, None),
        ("/v1/chat/completions", 500, "router"),
    ]
    assert (lines[-1]["router"], lines[-1]["exception"]) == ("mine", "KeyError")


def test_what_is_done_to_keys_is_logged(upstream: FakeServer) -> None:
    admin = {"authorization": "Bearer s3cret-admin-of-the-house"}
    made: dict[str, Any] = {}

    def work(client: httpx.Client) -> None:
        assert client.get("/metrics").status_code == client.get("/ui/data/recent").status_code == 401
        assert client.post("/admin/keys", json={}, headers={"authorization": "Bearer wrong"}).status_code == 401
        made.update(client.post("/admin/keys", json={"name": "of ours", "team": "red"}, headers=admin).json())
        assert client.delete(f"/admin/keys/{made['id']}", headers=admin).status_code == 200

    keys = {"required": True, "admin": "s3cret-admin-of-the-house"}
    lines = told_in_json(upstream, {"keys": keys}, work)
    audited = [line for line in lines if line["event"] != "request"]
    assert [(line["event"], line["key"], line["name"], line["team"]) for line in audited] == [
        ("key_created", made["id"], "of ours", "red"),
        ("key_revoked", made["id"], "of ours", "red"),
    ]
    requests = [(line["path"], line["status"]) for line in lines if line["event"] == "request"]
    assert requests == [
        ("/metrics", 401),
        ("/ui/data/{what}", 401),
        ("/admin/keys", 401),
        ("/admin/keys", 201),
        ("/admin/keys/{id}", 200),
    ]


def test_lines_as_text(upstream: FakeServer) -> None:
    start, badly = lines(upstream, "text", verbose=False)
    assert start.endswith(' info start message="it begins"') and " warning request id=req_" in badly
    assert " status=500 " in badly and badly.endswith(" error=status_500")
    _, well, _ = lines(upstream, "text", verbose=True)
    assert f" model={STRONG} " in well and " cost_usd=0.02" in well
    assert lines(upstream, "off", verbose=True) == []
