"""The grants of the page on operating are enough for a server that keeps its book, its keys and its budgets."""

from __future__ import annotations

import re
import subprocess

import httpx

import postgres
from conftest import ROOT
from fakeserver import FakeServer
from ferroute.controller import Controller
from ferroute.gateway import Gateway

ADMIN = "the-admin-key-of-the-tests"
DOOR = {"keys": {"required": True, "admin": ADMIN}, "policies": [{"budget": "5/day"}]}


def sql(url: str, text: str) -> None:
    command = [str(postgres.programs() / "psql"), url, "-v", "ON_ERROR_STOP=1", "-c", text]
    subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")


def serve_once(url: str, upstream: FakeServer) -> None:
    """A key is made and used under a budget; the call is in the book."""
    controller = Controller(["random"], "gpt-5.5", "gpt-5.4-nano", api_base=upstream.url, api_key="k", ledger=url)
    with Gateway(controller, port=0, door=DOOR) as gateway, httpx.Client(base_url=gateway.url, timeout=20) as client:
        admin = {"authorization": f"Bearer {ADMIN}"}
        made = client.post("/admin/keys", json={"team": "red"}, headers=admin)
        assert made.status_code == 201, made.text
        key = {"authorization": f"Bearer {made.json()['key']}"}
        body = {"model": "router-random-0.5", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 10}
        answer = client.post("/v1/chat/completions", json=body, headers=key)
        assert answer.status_code == 200, answer.text
        assert client.delete(f"/admin/keys/{made.json()['id']}", headers=admin).status_code < 300
        assert client.post("/v1/chat/completions", json=body, headers=key).status_code == 401
        controller.ledger.flush()
        assert controller.spend().queries >= 1


def test_the_grants_are_enough() -> None:
    (grants,) = re.findall(
        r"^```sql\n(.*?)^```", (ROOT / "docs" / "operating.md").read_text(), re.MULTILINE | re.DOTALL
    )
    with postgres.cluster() as owner, FakeServer() as upstream:
        # Once with the role that owns the tables, which makes them.
        serve_once(owner, upstream)
        sql(owner, "CREATE ROLE ferroute LOGIN PASSWORD 'secret'; REVOKE CREATE ON SCHEMA public FROM PUBLIC;")
        sql(owner, grants)
        serve_once(owner.replace("tester:", "ferroute:"), upstream)
