"""What is handed to operators agrees with the server: the dashboard's metrics exist, the unit and the recipe work."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import exposition
from conftest import ROOT
from fakeserver import FakeServer
from ferroute.controller import Controller
from ferroute.gateway import Gateway

if TYPE_CHECKING:
    from pathlib import Path

if TYPE_CHECKING:
    from pathlib import Path

PACKAGING = ROOT / "packaging"
OPERATING = ROOT / "docs" / "operating.md"
METRIC = re.compile(r"\b(?:ferroute|process)_[a-z0-9_]+")
STRONG, WEAK = "gpt-5.5", "gpt-5.4-nano"


@pytest.fixture(scope="module")
def gateway() -> Any:
    with (
        FakeServer() as upstream,
        Gateway(Controller(["random"], STRONG, WEAK, api_base=upstream.url, api_key="k"), port=0) as gateway,
    ):
        yield gateway


@pytest.fixture(scope="module")
def exported(gateway: Gateway) -> dict[str, exposition.Family]:
    """Every family, each with at least one sample where a request can make one."""
    with httpx.Client(base_url=gateway.url) as client:
        body = {"model": "router-random-0.5", "messages": [{"role": "user", "content": "Hello"}]}
        assert client.post("/v1/chat/completions", json=body).status_code == 200
        return exposition.read(client.get("/metrics").text)


def base(metric: str) -> str:
    return re.sub("_(bucket|sum|count)$", "", metric)


def test_the_dashboard_asks_for_what_there_is(exported: dict[str, exposition.Family]) -> None:
    dashboard = json.loads((PACKAGING / "grafana.json").read_text())
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    asked = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(panels) > 12
    for expression in asked:
        names = METRIC.findall(expression)
        assert names, expression
        for name in names:
            family = exported[base(name)]
            labels = {label for _, has in family.samples for label, _ in has}
            # What is summed by is a label of it, where there are samples to see.
            for grouped in re.findall(r"by \(([a-z, ]+)\)", expression):
                wanted = set(grouped.replace(" ", "").split(",")) - {"instance"}
                assert wanted <= labels or not family.samples, (expression, name)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]


def test_the_page_names_every_metric_and_no_other(exported: dict[str, exposition.Family]) -> None:
    page = OPERATING.read_text()
    ours = {name for name in exported if name.startswith("ferroute_")}
    named = {base(name) for name in METRIC.findall(page) if name.startswith("ferroute_") and not name.endswith("_")}
    groups = [name for name in METRIC.findall(page) if name.endswith("_")]
    missing = {name for name in ours - named if not any(name.startswith(group) for group in groups)}
    assert not missing
    # These are of thresholds that are held, and of tracing, which this server does not do.
    others = {name for name in named - ours if not name.startswith(("ferroute_held_", "ferroute_spans_"))}
    assert not others


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
def test_the_unit_is_one(tmp_path: Path) -> None:
    unit = (PACKAGING / "ferroute.service").read_text().replace("/opt/ferroute/bin/ferroute", "/bin/true")
    (tmp_path / "ferroute.service").write_text(unit)
    command = ["systemd-analyze", "verify", "--recursive-errors=no", str(tmp_path / "ferroute.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_unit_and_container_say_what_the_command_takes() -> None:
    command = [sys.executable, "-m", "ferroute", "serve", "--help"]
    told = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"COLUMNS": "200"}
    ).stdout
    dockerfile = (PACKAGING / "Dockerfile").read_text()
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", dockerfile, re.MULTILINE)
    # The health check's CMD stands on a line of its own, indented.
    (arguments,) = re.findall(r"^CMD (.*)$", dockerfile, re.MULTILINE)
    assert json.loads(entry) == ["ferroute", "serve"]
    flags = [word for word in json.loads(arguments) if word.startswith("-")]
    assert flags == ["--host", "--port"] and all(flag in told for flag in flags)
    assert "USER 10001" in dockerfile and "HEALTHCHECK" in dockerfile
    assert (
        "/opt/ferroute/bin/ferroute serve /etc/ferroute/ferroute.yaml" in (PACKAGING / "ferroute.service").read_text()
    )


def recipe() -> type:
    (block,) = re.findall(r"^```python\n(.*?)^```", OPERATING.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)
    return names["FerrouteDecides"]


def ask(plugin: Any, *candidates: str) -> list[str]:
    """What is left of LiteLLM's candidates; its context is an object with these attributes."""
    messages = [{"role": "user", "content": "Hello"}]
    context = SimpleNamespace(structured_messages=messages, candidate_models=list(candidates), signals={}, metadata={})

    async def asked() -> Any:
        try:
            return await plugin.run(context)
        finally:
            await plugin._client.aclose()

    return asyncio.run(asked()).candidate_models


def test_litellm_is_told_which_model(gateway: Gateway) -> None:
    decides = recipe()
    assert ask(decides(gateway.url, "router-random-0"), WEAK, STRONG) == [STRONG]
    assert ask(decides(gateway.url, "router-random-1"), WEAK, STRONG) == [WEAK]
    # A model that is none of LiteLLM's, a model string that means nothing, nobody there: it chooses itself.
    assert ask(decides(gateway.url, "router-random-0"), "a", "b") == ["a", "b"]
    assert ask(decides(gateway.url, "router-nobody-0"), "a", "b") == ["a", "b"]
    assert ask(decides("http://127.0.0.1:9", "router-random-0"), "a", "b") == ["a", "b"]
