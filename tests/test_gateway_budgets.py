"""Budgets over HTTP: held to the call by one server and by three, kept when one dies, told to clients in words."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

import postgres
from countingserver import CountingServer
from fakeserver import Answer, FakeServer, chunk, completion
from ferroute.controller import Controller
from ferroute.gateway import Gateway
from ferroute.policy import CallPolicy
from serving import Served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HELLO = [{"role": "user", "content": "Say hello"}]
COUNTED = [{"role": "user", "content": "call 1 why?"}]
STRONG, WEAK = "gpt-5.5", "gpt-5.4-nano"
VECTORS = {"model": "openai/text-embedding-3-small", "api_key": "k"}
ALWAYS_STRONG, ALWAYS_WEAK = "router-random-0", "router-random-1"
CENT = {
    "openai/small": {"input": 0, "output": 0, "request": 10},
    "openai/big": {"input": 0, "output": 0, "request": 10},
}
"""Ten dollars a thousand calls: what is set aside is what a call costs."""


@pytest.fixture
def upstream() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@contextmanager
def served(upstream: FakeServer, *policies: dict[str, Any], **calls: Any) -> Iterator[openai.OpenAI]:
    controller = Controller(
        ["random"],
        strong_model=STRONG,
        weak_model=WEAK,
        api_base=upstream.url,
        api_key="k",
        policy=CallPolicy(**{"retries": 0, **calls}),
    )
    with (
        Gateway(
            controller, port=0, models=[VECTORS | {"api_base": upstream.url}], door={"policies": policies}
        ) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="the-callers", max_retries=2) as client,
    ):
        yield client


def ask(client: openai.OpenAI, model: str = ALWAYS_WEAK, **more: Any) -> Any:
    return client.chat.completions.with_raw_response.create(model=model, messages=HELLO, **more)


def config_at(upstream: CountingServer, folder: Path, ledger: str, policies: str) -> tuple[Path, dict[str, str]]:
    prices = folder / "prices.json"
    prices.write_text(json.dumps(CENT))
    path = folder / "gateway.yaml"
    path.write_text(
        f'tiers:\n  cheap: {{model: openai/small, api_base: "{upstream.url}", api_key: k}}\n'
        f'  expensive: {{model: openai/big, api_base: "{upstream.url}", api_key: k}}\n'
        f"routers: {{random: {{}}}}\nledger: {ledger}\npolicies: {policies}\n"
    )
    return path, {"FERROUTE_PRICES": str(prices)}


async def calls(urls: list[str], numbers: range, at_once: int = 100, until: Any = None) -> list[tuple[int, str]]:
    """Statuses and codes of calls spread over servers; with ``until``, those that found nobody are left out."""
    found: list[tuple[int, str]] = []
    waiting = iter(numbers)
    # A pool that makes room for another server, or ends what was idle, may close a connection that it has just given
    # to a request (encode/httpcore#1110): each server has a pool of its own here, which never closes one.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(httpx.AsyncClient(timeout=120, limits=limits)) for _ in urls]

        async def worker() -> None:
            for number in waiting:
                body = {"model": "router-random-0.5", "messages": [{"role": "user", "content": f"call {number} why?"}]}
                at = number % len(urls)
                try:
                    answer = await clients[at].post(f"{urls[at]}/v1/chat/completions", json=body)
                except httpx.HTTPError:
                    if until is None:
                        raise
                    continue
                code = "" if answer.status_code == 200 else answer.json()["error"]["code"]
                found.append((answer.status_code, code))
                if until is not None:
                    until(len(found))

        await asyncio.gather(*(worker() for _ in range(at_once)))
    return found


def servers(stack: ExitStack, count: int, path: Path, env: dict[str, str]) -> list[Served]:
    words = ("-m", "ferroute", "serve", str(path), "--port", "0")
    return [stack.enter_context(Served(*words, env=env)) for _ in range(count)]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("replicas", [1, 3])
def test_a_thousand_calls_and_half_the_money(tmp_path: Path, replicas: int) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(CountingServer())
        ledger = f"sqlite:{tmp_path / 'calls.db'}"
        if replicas > 1:
            ledger = stack.enter_context(postgres.cluster())
        path, env = config_at(upstream, tmp_path, ledger, "[{budget: 5/month}]")
        running = servers(stack, replicas, path, env)
        found = asyncio.run(calls([server.url for server in running], range(1000), at_once=300))
        assert Counter(found) == {(200, ""): 500, (429, "budget_exceeded"): 500}
        assert len(upstream.served) == 500
        # A restart forgets nothing.
        assert running[0].stop() == 0
        (again,) = servers(stack, 1, path, env)
        assert asyncio.run(calls([again.url], range(1000, 1010))) == [(429, "budget_exceeded")] * 10
        assert len(upstream.served) == 500


@pytest.mark.timeout(180)
def test_one_of_three_is_killed(tmp_path: Path) -> None:
    at_once = 24
    with postgres.cluster() as ledger, CountingServer() as upstream, ExitStack() as stack:
        path, env = config_at(upstream, tmp_path, ledger, "[{budget: 5/month}]")
        running = servers(stack, 3, path, env)

        def until(ended: int) -> None:
            if ended == 200:
                running[0].process.kill()

        found = asyncio.run(calls([server.url for server in running], range(1200), at_once, until))
        assert (429, "budget_exceeded") in found
        # Never above; at most its slice (five calls), and what it had under way, are unused.
        assert 500 - 5 - at_once <= len(upstream.served) <= 500
        assert 500 - 5 - at_once <= found.count((200, "")) <= 500


def test_clients_are_told_once_and_in_their_words(upstream: FakeServer) -> None:
    with served(upstream, {"budget": "0.01/month"}) as client:
        with pytest.raises(openai.RateLimitError) as raised:
            ask(client, ALWAYS_STRONG, max_tokens=1000)
        assert raised.value.code == "budget_exceeded"
        assert "the budget of everybody ($0.01 a month) cannot pay for this call: $0 are spent" in raised.value.message
        headers = raised.value.response.headers
        assert headers["x-should-retry"] == "false" and 0 < int(headers["retry-after"]) <= 31 * 86_400
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model=STRONG, messages=HELLO, max_tokens=1000, stream=True)
        assert not upstream.requests
        # What the rest pays for is served.
        assert ask(client, ALWAYS_STRONG, max_tokens=100).parse().choices[0].message.content == "Hello"


def test_a_limit_is_given_where_none_is_asked_for(upstream: FakeServer) -> None:
    with served(upstream, {"budget": "0.64/day"}) as client:
        answer = ask(client, ALWAYS_STRONG)
        # A 64th of the budget is a cent, and an output token 0.003 cents; the prompt's bytes are paid for as well.
        clamp = int(answer.headers["x-ferroute-clamp"])
        assert 200 < clamp < 333 and upstream.requests[0].json["max_completion_tokens"] == clamp
        # Whoever says it himself gets what he says.
        assert "x-ferroute-clamp" not in ask(client, ALWAYS_STRONG, max_tokens=77).headers
        assert upstream.requests[1].json["max_completion_tokens"] == 77
        # Of a cheap model the usual length.
        assert ask(client, ALWAYS_WEAK).headers["x-ferroute-clamp"] == "4096"
        stream = ask(client, ALWAYS_WEAK, stream=True)
        assert stream.headers["x-ferroute-clamp"] == "4096"
        assert list(stream.parse())
    with served(upstream, {"budget": "0.64/day", "clamp": "off"}) as client:
        with pytest.raises(openai.BadRequestError) as raised:
            ask(client)
        assert raised.value.code == "output_limit_required"
        assert ask(client, max_completion_tokens=5).status_code == 200


def test_what_nobody_can_price_is_refused(upstream: FakeServer) -> None:
    controller = Controller(
        ["random"], strong_model=STRONG, weak_model="openai/who-knows", api_base=upstream.url, api_key="k"
    )
    door = {"policies": [{"budget": "5/day"}]}
    with (
        Gateway(controller, port=0, door=door) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="the-callers") as client,
    ):
        with pytest.raises(openai.PermissionDeniedError) as raised:
            ask(client, ALWAYS_WEAK)
        assert raised.value.code == "unpriced_model" and not upstream.requests


def test_a_weaker_model_at_the_limit(upstream: FakeServer) -> None:
    policy = {"model": STRONG, "budget": "0.0005/day", "at_limit": "downgrade"}
    with served(upstream, policy) as client:
        models = [ask(client, ALWAYS_STRONG, max_tokens=10).headers["x-ferroute-model"] for _ in range(8)]
        # 9 and 2 tokens cost 0.000105 dollars; at worst a call may cost about 0.0008: none is ever paid for.
        assert models == [WEAK] * 8
    with served(upstream, {**policy, "budget": "0.0015/day"}) as client:
        models = [ask(client, ALWAYS_STRONG, max_tokens=10).headers["x-ferroute-model"] for _ in range(16)]
        assert models[0] == STRONG and models[-1] == WEAK
        assert models == sorted(models, key=[STRONG, WEAK].index)
        # By its name there is nothing weaker.
        with pytest.raises(openai.RateLimitError):
            ask(client, STRONG, max_tokens=40)


def test_tries_that_failed_for_free_are_free(upstream: FakeServer) -> None:
    ill = Answer(status=503, headers={"retry-after-ms": "1"})
    # Enough for one call at a time.
    with served(upstream, {"budget": "0.001/day"}, retries=2) as client:
        upstream.then(ill, ill)
        answer = ask(client, ALWAYS_STRONG, max_tokens=10)
        assert answer.parse().choices and len(upstream.requests) == 3
        upstream.then(ill, ill, ill)
        with pytest.raises(openai.InternalServerError):
            ask(client.with_options(max_retries=0), ALWAYS_STRONG, max_tokens=10)
        assert ask(client, ALWAYS_STRONG, max_tokens=10).status_code == 200


def test_a_stream_that_is_left_is_paid_for(upstream: FakeServer) -> None:
    words = [chunk({"content": "word " * 200}) for _ in range(50)]
    with served(upstream, {"budget": "0.005/day"}) as client:
        upstream.then(Answer(chunks=words, chunk_delay=0.02))
        stream = client.chat.completions.create(model=STRONG, messages=HELLO, stream=True, max_tokens=130)
        next(iter(stream))
        stream.close()
        assert upstream.gone.wait(10)
        # The provider bills the whole answer, whoever reads it: all that was set aside for it is spent.
        until = time.monotonic() + 10
        refused = None
        while refused is None:
            assert time.monotonic() < until
            refused = refusal(client)
        assert "$0 are set aside" in refused and "$0 are spent" not in refused


def test_who_leaves_early_pays_for_the_whole_answer(upstream: FakeServer) -> None:
    with served(upstream, {"budget": "0.01/day"}) as client:
        impatient = client.with_options(timeout=0.1, max_retries=0)
        refused = 0
        for _ in range(6):
            upstream.then(Answer(delay=0.5))
            try:
                # 130 tokens of 30 millionths of a dollar are nearly half the budget, if they are counted.
                ask(impatient, STRONG, max_tokens=130)
            except openai.APITimeoutError:
                time.sleep(0.3)
            except openai.RateLimitError:
                refused += 1
        assert (len(upstream.requests), refused) == (2, 4)


@pytest.mark.parametrize("status", [502, 504])
def test_what_may_be_billed_is_not_free(upstream: FakeServer, status: int) -> None:
    with served(upstream, {"budget": "0.005/day"}) as client:
        upstream.then(Answer(status=status))
        with pytest.raises(openai.InternalServerError):
            ask(client.with_options(max_retries=0), STRONG, max_tokens=130)
        assert refusal(client) is not None


def test_a_field_that_is_there_twice_is_refused(upstream: FakeServer) -> None:
    with served(upstream, {"budget": "1/day"}) as client:
        for name in ("n", "\\u006e"):
            body = f'{{"model": "{WEAK}", "{name}": 1000, "n": 1, "messages": [{{"role": "user", "content": "x"}}]}}'
            answer = httpx.post(f"{client.base_url}chat/completions", content=body)
            assert answer.status_code == 400 and answer.json()["error"]["param"] == "n"
        assert not upstream.requests


def refusal(client: openai.OpenAI) -> str | None:
    try:
        ask(client, STRONG, max_tokens=130)
    except openai.RateLimitError as error:
        return error.message
    return None


def test_embeddings_and_budgets(upstream: FakeServer) -> None:
    with served(upstream, {"budget": "0.000004/day"}) as client:
        # Two cents a million tokens; a token of each byte is set aside: about 110, and then 400.
        embed = client.embeddings.create
        assert embed(model="openai/text-embedding-3-small", input="hi").data
        with pytest.raises(openai.RateLimitError):
            embed(model="openai/text-embedding-3-small", input="hi " * 100)


def test_several_answers_are_paid_for_several_times(upstream: FakeServer) -> None:
    with served(upstream, {"budget": "0.001/day"}) as client:
        with pytest.raises(openai.RateLimitError):
            ask(client, ALWAYS_STRONG, max_tokens=10, n=4)
        upstream.then(Answer(body=json.dumps(completion(STRONG)).encode()))
        assert ask(client, ALWAYS_STRONG, max_tokens=10, n=1).status_code == 200


@pytest.mark.timeout(60)
def test_a_request_that_nothing_can_pay_is_in_nobodys_way(tmp_path: Path) -> None:
    with CountingServer() as upstream, ExitStack() as stack:
        path, env = config_at(upstream, tmp_path, f"sqlite:{tmp_path / 'calls.db'}", "[{budget: 5/month}]")
        prices = {"openai/small": {"input": 1, "output": 10}, "openai/big": {"input": 10, "output": 100}}
        (tmp_path / "prices.json").write_text(json.dumps(prices))
        running = servers(stack, 2, path, env)

        def ask_at(server: Served, limit: int) -> httpx.Response:
            body = {"model": ALWAYS_WEAK, "messages": COUNTED, "max_tokens": limit}
            return httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=20)

        assert ask_at(running[0], 10).status_code == 200
        for limit in (10**6, 10**12, 2**63, 2**64 - 1):
            refused = ask_at(running[0], limit)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "budget_exceeded")
            with sqlite3.connect(tmp_path / "calls.db") as ledger:
                (lent,) = ledger.execute("SELECT coalesce(sum(amount), 0) FROM leases").fetchone()
            # Each of the two has a hundredth at most, and what a call of a cent has just left.
            assert lent <= 2 * 7 * 10**10
            assert [ask_at(server, 1000).status_code for server in running] == [200, 200]
        assert [httpx.get(f"{server.url}/ready", timeout=20).status_code for server in running] == [200, 200]


@pytest.mark.timeout(60)
def test_a_limit_below_what_is_spent_and_the_largest_request(tmp_path: Path) -> None:
    prices = {"openai/small": {"input": 1, "output": 10}, "openai/big": {"input": 10, "output": 100}}
    with CountingServer() as upstream:
        for policies, wanted in (("[{budget: 1/month}]", 200), ("[{budget: 0.000001/month}]", 429)):
            path, env = config_at(upstream, tmp_path, f"sqlite:{tmp_path / 'calls.db'}", policies)
            (tmp_path / "prices.json").write_text(json.dumps(prices))
            with ExitStack() as stack:
                (server,) = servers(stack, 1, path, env)
                for limit, status in ((10, wanted), (2**63, 429), (2**64 - 1, 429), (10, wanted)):
                    body = {"model": ALWAYS_WEAK, "messages": COUNTED, "max_tokens": limit}
                    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=20)
                    assert answer.status_code == status, answer.text
                assert httpx.get(f"{server.url}/ready", timeout=20).status_code == 200
                assert server.stop() == 0


def test_the_smaller_of_two_limits_holds(upstream: FakeServer) -> None:
    two = ({"budget": "0.0000001/day"}, {"budget": "5/day"})
    for policies in (two, two[::-1]):
        with served(upstream, *policies) as client, pytest.raises(openai.RateLimitError):
            ask(client, max_tokens=1000)
