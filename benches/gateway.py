"""What the server costs beside a bare proxy, and other gateways in the same minutes.

    python benches/gateway.py --peers FOLDER --floor PROGRAM [--peer-python PATH] [--litellm-python PATH]
                              [--portkey FOLDER] [--rounds 5] [--seconds 4]

All stand before one stub (`stub.py` in FOLDER) and are asked in turns within each round, by `wrk` with one thread, 1
and 64 connections and a body of 1 KB: so all of them see the same load of the machine. `--floor` is a proxy that
does nothing but put another model's name into the body, called with `proxy URL PORT`.

Two rows are ours: `ours_random` is the router `random` with sums in memory and no features of prompts, `ours_full`
has a key, budgets, the ledger with features on disk, and metrics. One JSON line a row and number of connections: the
median round's requests a second and times; the CPU time of a request, least and median over the rounds; and both as
multiples of the bare proxy's in one round, median. Then a line a server: from exec to the first 200 of its health
path, and its memory before and after.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from common import emit, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = text_of(180)[:900]
TICKS = os.sysconf("SC_CLK_TCK")
CHAT = "/v1/chat/completions"
READY = 180.0
# Nothing here is sent anywhere but to the stub.
KEY = "sk-of-nobody"


def body(model: str) -> str:
    """A request of about 1 KB."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": TEXT}], "max_tokens": 200})


@dataclass
class Server:
    """A program that answers chat completions."""

    name: str
    command: list[str]
    port: int
    model: str = "stub"
    path: str = CHAT
    health: str | None = "/health"
    headers: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    up_ms: float = 0.0
    idle_mib: float = 0.0
    pid: int = 0


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{found[-1]}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its descendants."""
    ticks = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def memory_mib(pid: int) -> float:
    """Resident memory of a process and its descendants."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
            total += int(found.group(1)) if found else 0
    return round(total / 1024, 1)


def healthy(server: Server) -> bool:
    """Whether the server answers: with 200 on its health path, or by accepting where it has none."""
    try:
        if server.health is None:
            with socket.create_connection(("127.0.0.1", server.port), 1):
                return True
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("GET", server.health, headers=server.headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """Runs a server to the end of the block, and says how long it took to answer."""
    with tempfile.TemporaryFile("w+") as log:
        begun = time.perf_counter()
        child = subprocess.Popen(server.command, stdout=log, stderr=log, env={**os.environ, **server.env})
        try:
            while not healthy(server):
                if child.poll() is not None or time.perf_counter() - begun > READY:
                    log.seek(0)
                    raise SystemExit(f"{server.name} did not come up:\n{log.read()[-2000:]}")
                time.sleep(0.002)
            server.up_ms = round((time.perf_counter() - begun) * 1e3, 1)
            server.pid = child.pid
            time.sleep(1)
            server.idle_mib = memory_mib(child.pid)
            yield server
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(15)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def loaded(server: Server, connections: int, seconds: int) -> dict[str, float]:
    """One round of `wrk`: requests a second, times in milliseconds, CPU time of a request in microseconds."""
    headers = {"content-type": "application/json", "authorization": "Bearer x", **server.headers}
    script = ['wrk.method = "POST"', f"wrk.body = [==[{body(server.model)}]==]"]
    script += [f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items()]
    script.append(
        "done = function(all, latency) io.write(string.format('@@ %d %d %d %d %d %d\\n', all.requests, all.duration, "
        "latency:percentile(50), latency:percentile(99), all.errors.status, all.errors.connect + all.errors.read + "
        "all.errors.write + all.errors.timeout)) end"
    )
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write("\n".join(script))
        file.flush()
        url = f"http://127.0.0.1:{server.port}{server.path}"
        before = cpu_seconds(server.pid)
        options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", file.name]
        done = subprocess.run(["wrk", *options, url], capture_output=True, text=True, check=True).stdout
        spent = cpu_seconds(server.pid) - before
    found = re.search(r"@@ ([\d ]+)", done)
    if found is None:
        raise SystemExit(f"{server.name}: wrk says {done!r}")
    requests, duration, p50, p99, refused, failed = map(int, found.group(1).split())
    if refused or failed or not requests:
        raise SystemExit(f"{server.name}: of {requests} requests {refused} were refused and {failed} failed")
    return {
        "rps": requests / (duration / 1e6),
        "p50_ms": p50 / 1e3,
        "p99_ms": p99 / 1e3,
        "cpu_us": spent * 1e6 / requests,
    }


def ours(python: str, base: str, folder: Path, full: bool) -> Server:
    """Our server over a configuration of its own."""
    port = free_port()
    models = {"strong_model": "gpt-5.5", "weak_model": "gpt-5.4-nano"}
    told: dict[str, object] = {
        name: {"model": model, "api_base": base, "api_key": KEY} for name, model in models.items()
    }
    told |= {
        "routers": {"random": None},
        "ledger": "memory",
        "store": "none",
        "telemetry": {"metrics": full, "logs": "off"},
    }
    headers: dict[str, str] = {}
    if full:
        told |= {"ledger": "sqlite:full.db", "store": "features", "keys": {"required": True}}
        told["policies"] = [{"team": "bench", "budget": "1000000/month"}, {"requests": "100000000/day"}]
    path = folder / f"{'full' if full else 'random'}.yaml"
    # JSON is YAML.
    path.write_text(json.dumps(told))
    if full:
        words = ["keys", "create", "--team", "bench", "--config", str(path)]
        made = subprocess.run([python, "-m", "ferroute", *words], capture_output=True, text=True, check=True)
        headers = {"authorization": f"Bearer {made.stdout.split()[0]}"}
    command = [python, "-m", "ferroute", "serve", str(path), "--port", str(port), "--no-reload"]
    return Server(f"ours_{'full' if full else 'random'}", command, port, "router-random-0.5", headers=headers)


def peers(args: argparse.Namespace, base: str, folder: Path) -> list[Server]:
    """The others, as far as they are given."""
    made: list[Server] = []
    if args.peer_python:
        port = free_port()
        words = ["--routers", "random", "--base-url", base, "--api-key", KEY, "--port", str(port)]
        words += ["--strong-model", "openai/big", "--weak-model", "openai/small"]
        command = [args.peer_python, "-m", "routellm.openai_server", *words]
        env = {"OPENAI_API_KEY": KEY, "HF_HUB_OFFLINE": "1"}
        # 0.2.0 as it is on PyPI has no /health.
        made.append(Server("routellm", command, port, "router-random-0.5", health="/openapi.json", env=env))
    if args.litellm_python:
        port = free_port()
        path = folder / "litellm.yaml"
        settings = {"model": "openai/stub", "api_base": base, "api_key": KEY}
        path.write_text(json.dumps({"model_list": [{"model_name": "stub", "litellm_params": settings}]}))
        program = str(Path(args.litellm_python).parent / "litellm")
        command = [program, "--config", str(path), "--port", str(port), "--host", "127.0.0.1"]
        env = {"LITELLM_MASTER_KEY": KEY, "LITELLM_LOG": "ERROR"}
        headers = {"authorization": f"Bearer {KEY}"}
        made.append(Server("litellm", command, port, health="/health/liveliness", headers=headers, env=env))
    if args.portkey:
        port = free_port()
        program = Path(args.portkey, "node_modules/@portkey-ai/gateway/build/start-server.js")
        headers = {"x-portkey-provider": "openai", "x-portkey-custom-host": base}
        env = {"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost", "NODE_ENV": "production"}
        command = ["node", str(program), f"--port={port}", "--headless"]
        made.append(Server("portkey", command, port, health="/", headers=headers, env=env))
    return made


def main() -> None:
    """Measures all that are given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", required=True, help="folder with stub.py")
    parser.add_argument("--floor", required=True, help="the bare proxy")
    parser.add_argument("--python", default=sys.executable, help="interpreter that has ferroute")
    parser.add_argument("--peer-python", help="interpreter of an environment with routellm[serve]==0.2.0")
    parser.add_argument("--litellm-python", help="interpreter of an environment with litellm[proxy]")
    parser.add_argument("--portkey", help="folder whose node_modules have @portkey-ai/gateway")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        script = str(Path(args.peers, "stub.py"))
        stub = Server("stub", [sys.executable, script, "--port", str(port)], port, health="/v1/models")
        base = f"http://127.0.0.1:{port}/v1"
        stack.enter_context(running(stub))
        port = free_port()
        floor = Server("floor", [args.floor, "proxy", base + "/chat/completions", str(port)], port, health=None)
        servers = [floor, ours(args.python, base, folder, False), ours(args.python, base, folder, True)]
        servers = [stub, *(stack.enter_context(running(each)) for each in (*servers, *peers(args, base, folder)))]
        rounds: dict[tuple[str, int], list[dict[str, float]]] = {}
        for server in servers:
            loaded(server, 8, 2)
        for _ in range(args.rounds):
            for connections in (1, 64):
                for server in servers:
                    rounds.setdefault((server.name, connections), []).append(loaded(server, connections, args.seconds))
        for (name, connections), runs in rounds.items():
            bare, direct = rounds["floor", connections], rounds["stub", connections]
            figures = {
                key: round(statistics.median(run[key] for run in runs), 3)
                for key in ("rps", "p50_ms", "p99_ms", "cpu_us")
            }
            emit(
                f"gateway_{name}",
                connections=connections,
                **figures,
                cpu_us_least=round(min(run["cpu_us"] for run in runs), 1),
                cpu_of_floor=_ratio(runs, bare, "cpu_us"),
                rps_of_floor=_ratio(runs, bare, "rps"),
                added_p50_ms=round(
                    statistics.median(a["p50_ms"] - b["p50_ms"] for a, b in zip(runs, direct, strict=True)), 3
                ),
                added_to_floor_ms=round(
                    statistics.median(a["p50_ms"] - b["p50_ms"] for a, b in zip(runs, bare, strict=True)), 3
                ),
            )
        for server in servers:
            emit(
                f"gateway_{server.name}_start",
                ready_ms=server.up_ms,
                idle_mib=server.idle_mib,
                after_load_mib=memory_mib(server.pid),
            )


def _ratio(runs: list[dict[str, float]], bare: list[dict[str, float]], key: str) -> float:
    return round(statistics.median(a[key] / b[key] for a, b in zip(runs, bare, strict=True)), 2)


if __name__ == "__main__":
    main()
