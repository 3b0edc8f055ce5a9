"""Budgets and share caps over HTTP, against a provider on this machine that counts what it is asked for.

    python benches/limits.py [--budget 100] [--requests 10000]

One JSON line for each. `budget`: GPT-5.2 at its prices, 64 requests in flight, none with an output limit, each answered
with 500 tokens or what its limit allows; it goes on until the budget is used up. What was spent is the provider's own
count. `share`: one connection asks `router-random-0.5`, which would send half to the strong model; a policy allows a
fifth. Of the strong calls, the mean win rate is told beside that of a random fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING

from common import emit, text_of
from ferroute import pricing
from gateway import Server, free_port, healthy

if TYPE_CHECKING:
    from typing_extensions import Self

MODEL, WEAK = "gpt-5.2", "gpt-5.4-mini"
IN_FLIGHT = 64
ANSWER = 500
PROMPT = 200
WINDOW = 1_000


@dataclass
class Provider:
    """Answers chat completions, and adds up what they would be billed."""

    spent: Decimal = Decimal(0)
    answers: int = 0
    shortest: int = ANSWER
    prices: dict[int, Decimal] = field(default_factory=dict)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(re.search(r"content-length: (\d+)", head)[1])  # type: ignore[index]
                body = json.loads(await reader.readexactly(length))
                made = min(ANSWER, body.get("max_completion_tokens") or body.get("max_tokens") or ANSWER)
                self.shortest = min(self.shortest, made)
                self.answers += 1
                if made not in self.prices:
                    self.prices[made] = priced(made)
                self.spent += self.prices[made]
                # Answers take a while, so that many are on their way at once.
                await asyncio.sleep(0.005)
                writer.write(answer(body["model"], made))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def priced(made: int) -> Decimal:
    """What a call is billed, in US dollars."""
    cost = pricing.cost(MODEL, PROMPT, made)
    if cost is None:
        raise SystemExit(f"the price of {MODEL} is not known")
    return cost


def answer(model: str, made: int) -> bytes:
    usage = {"prompt_tokens": PROMPT, "completion_tokens": made, "total_tokens": PROMPT + made}
    choice = {"index": 0, "message": {"role": "assistant", "content": "word " * 20}, "finish_reason": "stop"}
    told = {"id": "c", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}
    body = json.dumps(told).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


class Caller:
    """One connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, model: str) -> tuple[int, dict[str, str]]:
        """Status and headers of one completion."""
        body = json.dumps({"model": model, "messages": [{"role": "user", "content": text_of(40)}]}).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        self._writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        first, *rest = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in rest if line)
        await self._reader.readexactly(int(headers["content-length"]))
        return int(first.split(" ")[1]), headers


async def budget(provider: Provider, port: int, limit: int) -> None:
    seen: Counter[int] = Counter()
    early: Counter[int] = Counter()
    over = asyncio.Event()

    async def worker() -> None:
        refused = 0
        async with Caller(port) as caller:
            while not over.is_set():
                status, _ = await caller.ask(MODEL)
                seen[status] += 1
                if provider.spent < limit * Decimal("0.9"):
                    early[status] += 1
                refused = refused + 1 if status == 429 else 0
                if refused == 50:
                    over.set()

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    emit(
        "limits_budget",
        budget_usd=limit,
        in_flight=IN_FLIGHT,
        spent_usd=str(provider.spent),
        never_above=provider.spent <= limit,
        answered=seen[200],
        answers_of_provider=provider.answers,
        shortest_answer=provider.shortest,
        refused_before_90_percent=round(100 * early[429] / max(early.total(), 1), 3),
        other_statuses={str(status): count for status, count in seen.items() if status not in (200, 429)},
    )


async def share(port: int, requests: int) -> None:
    strong: list[bool] = []
    win_rates: list[float] = []
    async with Caller(port) as caller:
        for _ in range(requests):
            status, headers = await caller.ask("router-random-0.5")
            if status != 200:
                raise SystemExit(f"a request was answered with {status}")
            strong.append(headers["x-ferroute-model"] == MODEL)
            win_rates.append(float(headers["x-ferroute-win-rate"]))
    most = max(sum(strong[at : at + WINDOW]) for at in range(max(len(strong) - WINDOW, 0) + 1))
    chance = random.Random(0).sample(win_rates, k=max(sum(strong), 1))
    emit(
        "limits_share",
        requests=requests,
        base_share=round(100 * sum(rate >= 0.5 for rate in win_rates) / requests, 2),
        share_percent=round(100 * sum(strong) / requests, 2),
        most_in_any_1000=most,
        mean_win_rate_of_strong=round(statistics.mean(compress(win_rates, strong)), 3),
        mean_win_rate_of_random=round(statistics.mean(chance), 3),
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=int, default=100, help="US dollars")
    parser.add_argument("--requests", type=int, default=10_000)
    asked = parser.parse_args()
    provider = Provider()
    listening = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1"
    with tempfile.TemporaryDirectory() as folder:
        for part, policy in (
            ("budget", {"budget": f"{asked.budget}/month"}),
            ("share", {"share": {"model": MODEL, "most": "20%"}, "at_limit": "downgrade"}),
        ):
            path = Path(folder, f"{part}.yaml")
            # JSON is YAML.
            path.write_text(json.dumps(config(base, policy)))
            port = free_port()
            command = [sys.executable, "-m", "ferroute", "serve", str(path), "--port", str(port), "--no-reload"]
            server = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
            try:
                await ready(port)
                await (budget(provider, port, asked.budget) if part == "budget" else share(port, asked.requests))
            finally:
                server.terminate()
                await server.wait()
    listening.close()


def config(base: str, policy: dict[str, object]) -> dict[str, object]:
    models = {"strong_model": MODEL, "weak_model": WEAK}
    endpoints = {name: {"model": model, "api_base": base, "api_key": "k"} for name, model in models.items()}
    quiet = {"telemetry": {"logs": "off"}, "ledger": "memory"}
    return {**endpoints, "routers": {"random": None}, "policies": [policy], **quiet}


async def ready(port: int) -> None:
    """Waits until a server answers."""
    for _ in range(500):
        if healthy(Server("ours", [], port)):
            return
        await asyncio.sleep(0.02)
    raise SystemExit("the server did not start")


if __name__ == "__main__":
    asyncio.run(main())
