"""The causal-LLM router behind a server: the golden model's log probabilities over HTTP give the golden win rates."""

from __future__ import annotations

import json
import math
import pickle
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import openai
import pytest

from fakeserver import Answer, FakeServer
from ferroute import _core
from ferroute._notes import collector
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.routers.causal_llm.configs import LabelError
from ferroute.routers.routers import CausalLLMRouter
from llama import BASE, GOLDEN

if TYPE_CHECKING:
    from fakeserver import Request

LABELS = [f"[[{i}]]" for i in range(1, 6)]
IDS = list(range(1010, 1015))
PROMPTS: list[str] = json.loads((GOLDEN / "prompts.json").read_text())
WIN_RATES = [record["win_rate"] for record in json.loads((GOLDEN / "outputs_f32.json").read_text())]
KEY = "sk-very-secret-0123456789"


class LabelServer(FakeServer):
    """Serves a checkpoint as vLLM does: text in, greedy tokens with their most likely alternatives out."""

    def __init__(self, knows_ids: bool = True) -> None:
        super().__init__()
        self.model = _core.CausalModel(GOLDEN / "checkpoint", BASE, labels=LABELS)
        self.knows_ids = knows_ids

    def _usual(self, request: Request, status: int) -> tuple[int, bytes | None, list[bytes] | None]:
        if status != 200 or not request.path.endswith("/v1/completions"):
            return super()._usual(request, status)
        asked = request.json
        assert asked["temperature"] == 0 and asked["max_tokens"] == 6 and asked["skip_special_tokens"] is False
        tokenizer = self.model.tokenizer
        ids, tokens, tops = tokenizer.encode(asked["prompt"]), [], []
        wanted = asked.get("logprob_token_ids") if self.knows_ids else None

        def shown(i: int) -> str:
            return f"token_id:{i}" if asked.get("return_tokens_as_token_ids") else tokenizer.decode([i])

        for _ in range(asked["max_tokens"]):
            logits = self.model.first_logits(ids).astype(float)
            logprobs = logits - logits.max() - math.log(np.exp(logits - logits.max()).sum())
            best = int(logprobs.argmax())
            listed = [best, *wanted] if wanted else np.argsort(-logprobs, kind="stable")[: asked["logprobs"]].tolist()
            tokens.append(shown(best))
            tops.append({shown(i): logprobs[i] for i in listed})
            ids.append(best)
            if best == 1001:
                break
        choice = {
            "index": 0,
            "text": "".join(tokens),
            "finish_reason": "length",
            "logprobs": {"tokens": tokens, "top_logprobs": tops, "token_logprobs": [max(top.values()) for top in tops]},
        }
        body = {"id": "c", "object": "text_completion", "created": 1, "model": asked["model"], "choices": [choice]}
        return 200, json.dumps(body).encode(), None


@pytest.fixture
def server():
    with LabelServer() as running:
        yield running


def router_of(server: FakeServer, **settings: Any) -> CausalLLMRouter:
    endpoint = {"api_base": server.url, "model": "router", "logprobs": 1015, "max_retries": 0} | settings
    return CausalLLMRouter(GOLDEN / "checkpoint", model_id=str(BASE), endpoint=endpoint)


def test_the_golden_win_rates_over_http(server):
    router = router_of(server, api_key=KEY)
    together = router.calculate_strong_win_rates(PROMPTS)
    np.testing.assert_allclose(together, WIN_RATES, atol=5e-5, rtol=0)
    assert together.tolist() == [router.calculate_strong_win_rate(prompt) for prompt in PROMPTS]
    nothing = PROMPTS[WIN_RATES.index(1)]
    assert type(router.calculate_strong_win_rate(nothing)) is int
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    rendered = [record["prompt_text"] for record in json.loads((GOLDEN / "rendered.json").read_text())]
    assert sorted(request.json["prompt"] for request in server.requests[: len(PROMPTS)]) == sorted(rendered)


def test_label_ids_give_exactly_the_labels(server):
    router = router_of(server, logprobs=1, label_token_ids=IDS)
    np.testing.assert_allclose(router.calculate_strong_win_rates(PROMPTS), WIN_RATES, atol=5e-5, rtol=0)

    with LabelServer(knows_ids=False) as older:
        router = router_of(older, label_token_ids=IDS)
        np.testing.assert_allclose(router.calculate_strong_win_rates(PROMPTS[:6]), WIN_RATES[:6], atol=5e-5, rtol=0)


def labels_of(server: LabelServer, text: str, **probabilities: float) -> None:
    """The next answer: one label, with these probabilities of labels 1 to 5 (l1 .. l5) and of others."""
    top = {f"[[{name[1]}]]" if name[0] == "l" else name: math.log(p) for name, p in probabilities.items()}
    logprobs = {"tokens": [text], "top_logprobs": [top], "token_logprobs": [0.0]}
    choice = {"index": 0, "text": text, "finish_reason": "length", "logprobs": logprobs}
    body = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}
    server.then(Answer(body=json.dumps(body).encode()))


def test_labels_that_the_server_left_out(server):
    router = router_of(server, logprobs=3)
    seen: list[str] = []
    collector.set(seen)
    labels_of(server, "[[4]]", l4=0.6, l1=0.3, other=1e-6)
    assert router.calculate_strong_win_rate("a") == pytest.approx(1 / 3, abs=1e-5) and not seen
    labels_of(server, "[[4]]", l4=0.6, l1=0.3, other=1e-3)
    assert router.calculate_strong_win_rate("a") == pytest.approx(1 / 3, abs=1e-2)
    assert len(seen) == 1 and "may be off by 0.0033" in seen[0]
    labels_of(server, "[[4]]", l4=0.4, l1=0.3, other=0.1)
    with pytest.raises(LabelError, match="logprobs"):
        router.calculate_strong_win_rate("a")


def test_answers_that_make_no_sense(server):
    router = router_of(server)
    labels_of(server, "[[4]]", l4=0.3, l1=0.6, l2=0.01, l3=0.01, l5=0.01)
    with pytest.raises(LabelError, match="highest probability is 1"):
        router.calculate_strong_win_rate("a")
    whole = {"id": "c", "object": "text_completion", "created": 1, "model": "m"}
    choice = {"index": 0, "text": "[[4]]", "finish_reason": "length", "logprobs": None}
    empty = {"tokens": ["[[4]]"], "top_logprobs": [], "token_logprobs": []}
    for choices in ([], [choice], [choice | {"logprobs": empty}]):
        server.then(Answer(body=json.dumps(whole | {"choices": choices}).encode()))
        with pytest.raises(LabelError, match="expected"):
            router.calculate_strong_win_rate("a")


def test_failures_are_openai_s_and_show_no_key(server):
    router = router_of(server, api_key=KEY)
    body = json.dumps({"error": {"message": f"bad key {KEY}", "type": "x", "code": 1}}).encode()
    server.then(Answer(status=401, body=body))
    with pytest.raises(openai.AuthenticationError) as caught:
        router.calculate_strong_win_rate("a")
    assert KEY not in str(caught.value) and KEY not in repr(caught.value)
    server.then(Answer(status=503))
    with pytest.raises(openai.InternalServerError):
        router.calculate_strong_win_rates(PROMPTS)
    server.then(Answer(delay=5))
    with pytest.raises(openai.APITimeoutError):
        router_of(server, timeout=0.2).calculate_strong_win_rate("a")
    assert KEY not in repr(router)
    server.then(Answer(status=429))
    assert router_of(server, max_retries=1).calculate_strong_win_rate(PROMPTS[0]) == WIN_RATES[0]


def test_requests_run_side_by_side_within_the_bound(server):
    slow = [Answer(delay=0.15) for _ in range(8)]
    router = router_of(server, concurrency=4)
    router.calculate_strong_win_rate(PROMPTS[0])
    server.then(*slow)
    start = time.monotonic()
    seen: list[int] = []
    router.calculate_strong_win_rates(PROMPTS[:8], seen.append)
    assert sum(seen) == 8
    assert server.connections <= 5
    assert time.monotonic() - start >= 0.3  # two rounds of four at the least


def test_pickles_and_async(server):
    router = pickle.loads(pickle.dumps(router_of(server)))
    assert router.calculate_strong_win_rate(PROMPTS[1]) == pytest.approx(WIN_RATES[1], abs=5e-5)
    assert router.calculate_strong_win_rates(PROMPTS[:3]).tolist() == pytest.approx(WIN_RATES[:3], abs=5e-5)


async def test_async_is_the_same(server):
    assert await router_of(server).acalculate_strong_win_rate(PROMPTS[1]) == pytest.approx(WIN_RATES[1], abs=5e-5)


@pytest.mark.parametrize(
    ("endpoint", "error"),
    [
        ("http://x", InvalidTypeError),
        ({"model": "m"}, InvalidValueError),
        ({"api_base": "http://x"}, InvalidValueError),
        ({"api_base": "http://x", "model": "m", "other": 1}, InvalidValueError),
        ({"api_base": "http://x", "model": "m", "logprobs": 0}, InvalidValueError),
        ({"api_base": "http://x", "model": "m", "concurrency": True}, InvalidValueError),
        ({"api_base": "http://x", "model": "m", "label_token_ids": [1]}, InvalidValueError),
        ({"api_base": "http://x", "model": "m", "api_key": 5}, InvalidTypeError),
    ],
)
def test_settings_are_checked(endpoint, error):
    with pytest.raises(error, match="endpoint"):
        CausalLLMRouter(GOLDEN / "checkpoint", model_id=str(BASE), endpoint=endpoint)


def test_neither_weights_nor_tokenizer_are_needed(tmp_path, server):
    for name in ("system_ft_v5.txt", "classifier_ft_v5.txt"):
        (tmp_path / name).write_bytes((GOLDEN / "checkpoint" / name).read_bytes())
    endpoint = {"api_base": server.url, "model": "router", "logprobs": 1015}
    router = CausalLLMRouter(tmp_path, endpoint=endpoint)
    assert router.calculate_strong_win_rate(PROMPTS[2]) == pytest.approx(WIN_RATES[2], abs=5e-5)
    assert "router" in repr(router) and "127.0.0.1" in repr(router)
