"""All providers in one process, each below its own first path segment.

with StrictServer() as server:
    server.base("anthropic"), server.base("mistral"), ...   # what a caller passes as api_base
    server.script(Script(text="Owl"))                       # the next answer; else `script.usual` decides
    server.then(fault, None, fault)                         # what happens to the next answers; None lets one pass
    server.refused                                          # every request that broke a rule, with the reason
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from servers import anthropic, gemini, openai, openai_says
from servers.compatible import PREFIXES, RULES
from servers.rules import Refused, refuse, require
from servers.script import Asked, Script, event, usual
from servers.wire import Reply, Request, WireServer

if TYPE_CHECKING:
    from servers.faults import Fault

LARGEST = 32 << 20
# Azure deployments, and the models behind them.
DEPLOYMENTS = {"my-chat": "gpt-4o", "my-reasoner": "gpt-5", "my-embedder": "text-embedding-3-small"}
LIMITS = {
    "openai": {"x-ratelimit-remaining-requests": "99", "x-ratelimit-reset-requests": "6m0s", "x-request-id": "req_1"},
    "anthropic": {"anthropic-ratelimit-requests-remaining": "99", "request-id": "req_1"},
}  # fmt: skip


class StrictServer(WireServer):
    """See the module."""

    def __init__(self, snake_case: bool = False) -> None:
        super().__init__(self._reply)
        self._snake_case = snake_case  # Gemini's fields in either spelling, as google-genai sends them
        self._lock = threading.Lock()
        self._faults: deque[Fault | None] = deque()
        self._scripts: deque[Script] = deque()
        self._serial = 0
        self.answered = 0
        self.tokens = [0, 0]  # prompt and completion tokens of all answers, as a bill would have them

    def base(self, provider: str) -> str:
        """The base URL a caller would pass for `provider`."""
        if provider in RULES:
            return f"{self.url}/{provider}{PREFIXES[provider][1]}"
        return f"{self.url}/{provider}"

    def then(self, *faults: Fault | None) -> None:
        self._faults.extend(faults)

    def script(self, *scripts: Script) -> None:
        self._scripts.extend(scripts)

    @property
    def refused(self) -> list[str]:
        return [f"{request.provider} {request.path}: {request.refused}" for request in self.requests if request.refused]

    def forget(self) -> None:
        self.requests.clear()
        self._faults.clear()
        self._scripts.clear()

    def _reply(self, request: Request) -> Reply:
        _, request.provider, *rest = request.path.split("/", 2)
        fault = self._faults.popleft() if self._faults else None
        try:
            reply = self._answer(request, "/" + "".join(rest))
        except Refused as refused:
            request.refused = str(refused)
            reply = self.error(request.provider, refused)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            # A body so odd that a check fell over it is as good as refused.
            request.refused = f"{type(error).__name__}: {error}"
            reply = self.error(request.provider, Refused(request.refused))
        return fault(self, request, reply) if fault is not None else reply

    def error(self, provider: str, refused: Refused) -> Reply:
        """`refused` as the provider would put it."""
        if provider == "anthropic":
            return Reply.of_json(anthropic.error(refused), refused.status, {"request-id": "req_1", **refused.headers})
        if provider == "gemini":
            return Reply.of_json(gemini.error(refused), refused.status, refused.headers)
        if provider == "mistral":
            kind = refused.kind or "invalid_request_error"
            told: Any = {"object": "error", "message": refused.message, "type": kind, "code": refused.code}
            if refused.status == 422:
                told = {"detail": [{"type": "extra_forbidden", "loc": ["body", refused.param], "msg": refused.message}]}
            return Reply.of_json(told, refused.status, refused.headers)
        return Reply.of_json(openai_says.error(refused), refused.status, {"x-request-id": "req_1", **refused.headers})

    def _answer(self, request: Request, path: str) -> Reply:
        provider = request.provider
        require(request.method == "POST", "method not allowed", 405)
        require(len(request.body) <= LARGEST, "the request is too large", 413)
        body = json.loads(request.body, parse_constant=_no_constant)
        if provider == "anthropic":
            require(path == "/v1/messages" and not request.query, f"no such path: {request.target}", 404)
            return self._anthropic(request, body)
        if provider == "gemini":
            return self._gemini(request, path, body)
        if provider == "azure":
            return self._azure(request, path, body)
        require(provider in RULES, f"no such provider: {provider}", 404)
        bearer = request.headers.get("authorization", "").startswith("Bearer ")
        require(bearer or provider in ("ollama", "vllm"), "Missing bearer token", 401)
        base = PREFIXES[provider][1]
        if path == f"{base}/embeddings":
            return Reply.of_json(openai_says.embeddings(body))
        require(path == f"{base}/chat/completions", f"no such path: {request.target}", 404)
        return self._openai(body, RULES[provider])

    def _openai(self, body: Any, rules: openai.Rules, model: str | None = None, first: tuple[bytes, ...] = ()) -> Reply:
        asked = openai.check_chat(body if model is None else {**body, "model": model}, rules)
        script, serial = self._say(asked)
        if body.get("stream"):
            return Reply.of_events([*first, *openai_says.events(script, asked, rules, serial, body)], LIMITS["openai"])
        return Reply.of_json(openai_says.answer(script, asked, rules, serial), headers=LIMITS["openai"])

    def _azure(self, request: Request, path: str, body: Any) -> Reply:
        headers = request.headers
        keyed = headers.get("api-key") or headers.get("authorization", "").startswith("Bearer ")
        require(keyed, "Access denied due to invalid subscription key", 401, code="401")
        old = re.fullmatch(r"/openai/deployments/([^/]+)/(chat/completions|embeddings)", path)
        if old:
            dated = re.fullmatch(r"api-version=[\w.-]+", request.query)
            require(dated, f"Resource not found: api-version, {request.query!r}", 404, code="404")
            deployment, what = old[1], old[2]
        else:
            known = path in ("/openai/v1/chat/completions", "/openai/v1/embeddings")
            require(known, f"Resource not found: {path}", 404, code="404")
            require("api-version=20" not in request.query, "a dated api-version is not taken here")
            deployment, what = body.get("model"), path.removeprefix("/openai/v1/")
        require(
            deployment in DEPLOYMENTS,
            f"The API deployment {deployment!r} does not exist",
            404,
            code="DeploymentNotFound",
        )
        if what == "embeddings":
            return Reply.of_json(openai_says.embeddings({**body, "model": deployment}))
        if "[filtered]" in request.body.decode(errors="replace"):
            refuse("The prompt was filtered by the content management policy", code="content_filter", param="prompt")
        told = {"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}
        opening = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": [told]}
        return self._openai(body, RULES["openai"], DEPLOYMENTS[deployment], (event(opening),))

    def _anthropic(self, request: Request, body: Any) -> Reply:
        asked = anthropic.check(request.headers, body)
        script, serial = self._say(asked)
        if body.get("stream"):
            return Reply.of_events(anthropic.events(script, asked, serial), LIMITS["anthropic"])
        return Reply.of_json(anthropic.answer(script, asked, serial), headers=LIMITS["anthropic"])

    def _gemini(self, request: Request, path: str, body: Any) -> Reply:
        found = re.fullmatch(r"/v1beta/models/([^/:]+):(\w+)", path)
        if found is None:
            refuse(f"no such path: {request.target}", 404)
        model, method = found[1], found[2]
        if method in ("embedContent", "batchEmbedContents"):
            many = method == "batchEmbedContents"
            return Reply.of_json(gemini.check_embeddings(request.headers, request.query, model, body, many=many))
        require(method in ("generateContent", "streamGenerateContent"), f"no such method: {method}", 404)
        if self._snake_case:
            body = gemini.spelled(body)
        streamed = method == "streamGenerateContent"
        asked = gemini.check(request.headers, request.query, model, body, streamed=streamed)
        script, serial = self._say(asked)
        if streamed:
            return Reply.of_events(gemini.events(script, asked, serial))
        return Reply.of_json(gemini.answer(script, asked, serial))

    def _say(self, asked: Asked) -> tuple[Script, int]:
        with self._lock:
            self._serial += 1
            script = self._scripts.popleft() if self._scripts else usual(asked)
            # A call without a name is one of the tool that is forced.
            script = replace(script, calls=[(name or asked.choice, arguments) for name, arguments in script.calls])
            self.answered += 1
            self.tokens[0] += script.tokens.prompt
            self.tokens[1] += script.tokens.made * asked.count
            return script, self._serial


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
