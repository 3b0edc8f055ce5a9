"""The causal-LLM router behind a server: the golden model's log probabilities over HTTP give the golden win rates."""

from __future__ import annotations

import json
import math
import os
import pickle
import signal
import subprocess
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any

import numpy as np
import openai
import pytest

from fakeserver import Answer, FakeServer
from ferroute import _core
from ferroute._notes import Remarks, collector
from ferroute.errors import CheckpointError, InvalidTypeError, InvalidValueError
from ferroute.routers.causal_llm.configs import LabelError
from ferroute.routers.routers import CausalLLMRouter
from llama import BASE, GOLDEN

if TYPE_CHECKING:
    from servers.wire import Request

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
    seen = Remarks()
    collector.set(seen)
    labels_of(server, "[[4]]", l4=0.6, l1=0.3, other=1e-6)
    assert router.calculate_strong_win_rate("a") == pytest.approx(1 / 3, abs=1e-5) and not seen
    labels_of(server, "[[4]]", l4=0.6, l1=0.3, other=1e-3)
    assert router.calculate_strong_win_rate("a") == pytest.approx(1 / 3, abs=1e-2)
    assert len(seen) == 1 and "may be off by 0.0033" in seen[0]
    assert seen.unpriced and seen.cost is None  # nobody knows what that server costs
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


def answer_of(tops: Any, tokens: Any = ("[[4]]",), **more: Any) -> Answer:
    logprobs = {"tokens": tokens, "top_logprobs": tops, "token_logprobs": [0.0]}
    choice = {"index": 0, "text": "[[4]]", "finish_reason": "length", "logprobs": logprobs}
    body = {"id": "c", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]} | more
    return Answer(body=json.dumps(body).encode())


GOOD = dict(zip(LABELS, map(math.log, (0.1, 0.1, 0.1, 0.6, 0.1)), strict=True))


@pytest.mark.parametrize(
    "answer",
    [
        *(
            answer_of([GOOD | {"[[5]]": wrong}])
            for wrong in (None, "x", "-1", True, 800, 800.0, math.nan, math.inf, [])
        ),
        *(answer_of([GOOD | {"other": wrong}]) for wrong in (None, 800, 10**400)),
        answer_of([dict.fromkeys(LABELS, -math.inf)]),
        *(answer_of(wrong) for wrong in ([[1, 2]], 5, None, [None], [{}], "ab", {"a": 1})),
        *(answer_of([GOOD], tokens=wrong) for wrong in (None, 5, [5], [{"a": 1}], "[[4]]", [None])),
        *(answer_of([GOOD], choices=wrong) for wrong in (["a"], [], None, 5, "a", [None], {"a": 1}, [{"logprobs": 5}])),
        *(Answer(body=body) for body in (b"", b"null", b"[1]", b"5", b'"a"', b"{", b"\xff\xfe", b"[" * 100_000)),
        Answer(body=b"<html><p>Welcome</p></html>", headers={"content-type": "text/html"}),
        Answer(body=b"<html><p>Welcome</p></html>"),
    ],
)
def test_malformed_answers_are_label_errors(server, answer):
    router = router_of(server)
    server.then(answer)
    with pytest.raises(LabelError, match="expected"):
        router.calculate_strong_win_rate("a")
    server.then(answer)
    with pytest.raises(LabelError, match="expected"):
        router.calculate_strong_win_rates(["a"])


def test_log_probabilities_at_the_edge_are_read(server):
    router = router_of(server)
    server.then(answer_of([dict.fromkeys(LABELS, -math.inf) | {"[[4]]": 1e-7}]))
    assert router.calculate_strong_win_rate("a") == 0
    server.then(answer_of([dict.fromkeys(LABELS, -(10**400)) | {"[[4]]": 0}]))
    assert router.calculate_strong_win_rate("a") == 0


def test_a_lone_surrogate_is_a_replacement_character(server):
    router = router_of(server)
    router.calculate_strong_win_rates(["a\ud800b"])
    router.calculate_strong_win_rate("a\ud800b")
    one, other = (request.json["prompt"] for request in server.requests)
    assert one == other and "a\ufffdb" in one


SECRETS = {
    "api_key": ({"api_key": KEY}, KEY),
    "header": ({"extra_headers": {"X-Api-Key": KEY}}, KEY),
    "scheme": ({"extra_headers": {"Authorization": f"Token {KEY}"}}, KEY),
    "escaped": ({"extra_headers": {"X-Api-Key": 'sk-"quoted"\\0123'}}, "quoted"),
}


@pytest.mark.parametrize(("settings", "secret"), SECRETS.values(), ids=SECRETS)
def test_what_a_server_echoes_is_not_shown(server, settings, secret):
    router = router_of(server, **settings)
    router.calculate_strong_win_rate(PROMPTS[0])
    sent = server.requests[0].headers
    assert secret in str(sent)
    echoes = (
        {"error": {"message": f"no {sent}", "type": str(sent), "param": None, "code": 1}},
        {"detail": [{"headers": sent}]},
        str(sent),
    )
    for echo in echoes:
        body = json.dumps(echo).encode() if isinstance(echo, dict) else echo.encode()
        for status in (401, 500, 200):
            for ask in (router.calculate_strong_win_rate, lambda prompt: router.calculate_strong_win_rates([prompt])):
                server.then(Answer(status=status, body=body, headers={"x-echo": sent.get("authorization", "")}))
                with pytest.raises((openai.APIStatusError, LabelError)) as caught:
                    ask("a")
                error = caught.value
                shown = [*traceback.format_exception(error), repr(error), repr(vars(error))]
                assert error.__cause__ is None and error.__context__ is None
                if isinstance(error, openai.APIStatusError):
                    assert error.status_code == error.response.status_code == status
                    shown += [error.response.text, str(error.response.headers), str(error.response.request.url)]
                    shown += [repr(dict(held.headers)) for held in (error.request, error.response.request)]
                    assert "..." in error.response.text
                assert secret not in "".join(shown)


def test_a_password_in_the_address_is_not_shown(server):
    address = server.url.replace("//", "//someone:pass-0123@")
    router = router_of(server, api_base=address)
    assert router.calculate_strong_win_rate(PROMPTS[1]) == pytest.approx(WIN_RATES[1], abs=5e-5)
    sent = server.requests[0].headers["authorization"]
    assert sent.startswith("Basic ") and "pass" not in repr(router)
    server.then(Answer(status=401, body=f"no {sent} {address}".encode()))
    with pytest.raises(openai.AuthenticationError) as caught:
        router.calculate_strong_win_rate("a")
    shown = str(caught.value) + caught.value.response.text + str(caught.value.request.url)
    assert "pass-0123" not in shown and sent.split()[1] not in shown and "no Basic" in shown


def test_the_first_error_does_not_wait_for_others(server):
    router = router_of(server, concurrency=4, timeout=60, max_retries=2)
    stuck = [Answer(delay=30, status=500) for _ in range(12)]
    server.then(*stuck[:2], Answer(status=401), *stuck[2:])
    start = time.monotonic()
    with pytest.raises(openai.AuthenticationError):
        router.calculate_strong_win_rates(["a"] * 500)
    assert time.monotonic() - start < 10
    # Of the old batch came four, and perhaps one in place of the refused; the router is as good as before.
    server._next.clear()
    assert router.calculate_strong_win_rates(PROMPTS[:3]).tolist() == pytest.approx(WIN_RATES[:3], abs=5e-5)
    assert len(server.requests) <= 5 + 3


def test_texts_are_written_when_their_turn_comes(server):
    class Counted(list[str]):
        read = 0

        def __getitem__(self, place: Any) -> Any:
            self.read += 1
            return super().__getitem__(place)

    questions = Counted([PROMPTS[0]] * 1000)
    server.then(*[Answer() for _ in range(20)], Answer(status=401), *[Answer(delay=30) for _ in range(4)])
    with pytest.raises(openai.AuthenticationError):
        router_of(server, concurrency=3).router_model.scores_of(questions)
    assert questions.read <= 21 + 3


def test_no_questions_ask_nothing(server):
    assert router_of(server).calculate_strong_win_rates([]).shape == (0,)
    assert not server.requests


INTERRUPTED = """
import os, signal, sys, threading, time
from ferroute.routers.routers import CausalLLMRouter

endpoint = {"api_base": sys.argv[1], "model": "m", "timeout": 120, "concurrency": 4}
router = CausalLLMRouter(sys.argv[2], model_id=sys.argv[3], endpoint=endpoint)

def interrupt():
    sys.stdin.readline()
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    router.calculate_strong_win_rates(["a"] * 40)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_waits_for_no_request(server):
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
    server.then(*[Answer(delay=100) for _ in range(40)])
    command = [sys.executable, "-c", INTERRUPTED, server.url, str(GOLDEN / "checkpoint"), str(BASE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        limit = time.monotonic() + 30
        while len(server.requests) < 4 and time.monotonic() < limit:
            time.sleep(0.02)
        try:
            # Neither the call nor the end of the process waits.
            said, _ = process.communicate("now\n", timeout=20)
        finally:
            process.kill()
    assert said == "interrupted\n" and process.returncode == 0
    assert len(server.requests) == 4


def test_failures_are_openai_s_and_show_no_key(server):
    router = router_of(server, api_key=KEY)
    body = json.dumps({"error": {"message": f"bad key {KEY}", "type": "x", "code": 1}}).encode()
    server.then(Answer(status=401, body=body))
    with pytest.raises(openai.AuthenticationError) as caught:
        router.calculate_strong_win_rate("a")
    assert KEY not in str(caught.value) and KEY not in repr(caught.value)
    server.then(Answer(status=503))
    with pytest.raises(openai.InternalServerError):
        router.calculate_strong_win_rates(PROMPTS[:1])  # of more, some would still be on their way
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
        ({"api_base": "http://x", "model": "m", 5: 5, "other": 1}, InvalidValueError),
    ],
)
def test_settings_are_checked(endpoint, error):
    with pytest.raises(error, match="endpoint"):
        CausalLLMRouter(GOLDEN / "checkpoint", model_id=str(BASE), endpoint=endpoint)


WRONG: list[tuple[str, Any, type[Exception]]] = [
    *(("timeout", wrong, InvalidTypeError) for wrong in ("x", "5", True, [5])),
    *(("timeout", wrong, InvalidValueError) for wrong in (0, -1, math.nan, math.inf, 1e9, 10**400)),
    *(("extra_headers", wrong, InvalidTypeError) for wrong in (5, "a: b", [("a", "b")], {"X-Key": 5}, {"X-Key": None})),
    *(
        ("extra_headers", wrong, InvalidValueError)
        for wrong in (
            {5: "a"},
            {"": "a"},
            {"a b": "c"},
            {"X-Key": f"{KEY}\n"},
            {"X-Key": f"{KEY}é"},
            {"X-Key": f" {KEY}"},
        )
    ),
    *(("extra_body", wrong, InvalidTypeError) for wrong in (5, "a", [1], {"a": object()}, {"a": {1, 2}})),
    *(("extra_body", wrong, InvalidValueError) for wrong in ({"a": math.nan}, {"a": "\ud800"})),
    *(("label_token_ids", wrong, InvalidTypeError) for wrong in (5, "12345", iter(IDS), dict.fromkeys(IDS))),
    *(
        ("label_token_ids", wrong, InvalidValueError)
        for wrong in (
            ["a"] * 5,
            [1, 2],
            [*IDS, 1],
            [1.5, 2, 3, 4, 5],
            [1, 1, 2, 3, 4],
            [-1, 2, 3, 4, 5],
            [True, 2, 3, 4, 5],
        )
    ),
    *(
        ("api_base", f"{wrong}", InvalidValueError)
        for wrong in (
            *(
                "",
                "127.0.0.1:1",
                "localhost:8000",
                "ftp://x",
                "http://",
                "http:///v1",
                "x",
                "http://[::1",
                "http://x y",
            ),
            *("http://x:99999", "http://x:0", "http://x:-1", "http://x:a", "http://x/?key=1", "http://x\n", "http://é"),
        )
    ),
    *(("api_key", wrong, InvalidValueError) for wrong in (f"{KEY}é", f"{KEY}\n", f"{KEY} ", f"{KEY}\x00")),
    ("concurrency", 10**9, InvalidValueError),
    ("model", "\ud800", InvalidValueError),
]


@pytest.mark.parametrize(("name", "wrong", "error"), WRONG, ids=[f"{i}-{row[0]}" for i, row in enumerate(WRONG)])
def test_each_setting_is_checked_when_the_router_is_made(name, wrong, error):
    endpoint = {"api_base": "http://127.0.0.1:1", "model": "m"} | {name: wrong}
    with pytest.raises(error, match=f"endpoint: .*{name}") as caught:
        CausalLLMRouter(GOLDEN / "checkpoint", model_id=str(BASE), endpoint=endpoint)
    assert KEY not in "".join(traceback.format_exception(caught.value))


def test_settings_of_other_kinds_that_fit(server):
    headers = {"X-Kind": "a"}
    ids: Any = np.array(IDS)
    router = router_of(server, label_token_ids=ids, timeout=None, api_key="", extra_headers=headers)
    headers["X-Kind"] = "é"
    assert router.calculate_strong_win_rate(PROMPTS[1]) == pytest.approx(WIN_RATES[1], abs=5e-5)
    assert server.requests[0].headers["x-kind"] == "a"
    assert repr(router_of(server, api_base="https://u:p@[::1]:8000/v1/")).endswith("at https://[::1]:8000/v1>>")


@pytest.mark.parametrize("field", ["{question!r}", "{question:>9}", "{question!s:>9}", "{other}"])
def test_the_field_that_is_refused_is_shown(tmp_path, field):
    (tmp_path / "system_ft_v5.txt").write_text("a")
    (tmp_path / "classifier_ft_v5.txt").write_text(f"Rate {field}")
    with pytest.raises(CheckpointError) as caught:
        CausalLLMRouter(tmp_path, endpoint={"api_base": "http://127.0.0.1:1", "model": "m"})
    assert f"found {field};" in str(caught.value)


def test_neither_weights_nor_tokenizer_are_needed(tmp_path, server):
    for name in ("system_ft_v5.txt", "classifier_ft_v5.txt"):
        (tmp_path / name).write_bytes((GOLDEN / "checkpoint" / name).read_bytes())
    endpoint = {"api_base": server.url, "model": "router", "logprobs": 1015}
    router = CausalLLMRouter(tmp_path, endpoint=endpoint)
    assert router.calculate_strong_win_rate(PROMPTS[2]) == pytest.approx(WIN_RATES[2], abs=5e-5)
    assert "router" in repr(router) and "127.0.0.1" in repr(router)
