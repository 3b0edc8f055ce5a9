"""One shadowed call: the request as it was, the answer as the caller has read it, and the two models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ferroute import _json
from ferroute._calls import _OURS  # pyright: ignore[reportPrivateUsage]
from ferroute._estimates import read
from ferroute._given import given, is_unset
from ferroute.judge import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ferroute.policy import CallPolicy

# What of a call is for the client, and holds for the other model too. How long the caller waits, and what is tried
# instead, does not.
_KEPT = ("api_version", "extra_headers", "extra_query", "organization")
_NOT_SENT = ("n", "stream", "stream_options")
_NOT_A_BODY = frozenset(("api_base", "api_key", "model"))


class Snapshot(NamedTuple):
    """A request as it was when it was sent, whatever the caller does to its messages later.

    Attributes:
        body: JSON of what goes to a model, without the model.
        kept: What of it is for the client.
    """

    body: bytes
    kept: dict[str, Any]


def snapshot(kwargs: Mapping[str, Any]) -> Snapshot:
    """The request of a completion's keywords."""
    body = {
        name: value
        for name, value in kwargs.items()
        if name not in _OURS and name not in _NOT_A_BODY and value is not None and not is_unset(value)
    }
    extra = given(kwargs.get("extra_body"))
    if extra is not None:
        body |= dict(extra)
    for name in (*_NOT_SENT, "model", "ferroute"):
        body.pop(name, None)
    kept = {name: value for name in _KEPT if (value := given(kwargs.get(name))) is not None}
    headers = kept.get("extra_headers")
    if headers is not None:
        # The key of one request is not for another.
        kept["extra_headers"] = {name: each for name, each in headers.items() if name.lower() != "idempotency-key"}
    return Snapshot(_json.encode(body), kept)


class Pair(NamedTuple):
    """What is known of a shadowed call.

    Attributes:
        response: The provider's id of the caller's answer.
        router: The router that chose.
        win_rate: Its win rate; None where it has none.
        threshold: What that was held against.
        answered: Name of the model that gave it.
        said: What the provider calls that; None where it was streamed.
        other: The model that is asked beside it, with its settings.
        other_is_strong: Whether that one is the stronger of the two.
        of_ends: Whether the two are the ends of the ladder, so that the scores say something of a threshold.
        probability: That the call was drawn with.
        came: When the answer came, seconds since 1970: some servers give later calls the same id.
    """

    response: str
    router: str
    win_rate: float | None
    threshold: Any
    answered: str
    said: str | None
    other: Any
    other_is_strong: bool
    of_ends: bool
    probability: float
    came: float


class Where(NamedTuple):
    """Where the other model is asked, and how.

    Attributes:
        base: Base URL.
        key: Key.
        shared: The Controller's own base URL and key.
        own: Those of the model.
        policy: The call's policy.
        ledger: The call's ledger.
        requested: The model string of the request.
        session, task, tags: As the caller said them.
    """

    base: Any
    key: Any
    shared: tuple[str | None, str | None]
    own: tuple[str | None, str | None]
    policy: CallPolicy
    ledger: Any
    requested: str | None
    session: str | None
    task: str | None
    tags: Any


def answer_of(response: Any, model: str) -> Answer | None:
    """The first choice of a whole answer; None where it has none."""
    choices = read(response, "choices")
    if not choices:
        return None
    message: Any = read(choices[0], "message")
    if message is None:
        return None
    plain: dict[str, Any] = message.model_dump(mode="json", exclude_unset=True)
    content = plain.get("content")
    if isinstance(content, list):
        parts = [read(part, "text") for part in cast("list[Any]", content)]
        content = "".join(part for part in parts if isinstance(part, str))
    text = content if isinstance(content, str) else plain.get("refusal") or ""
    return Answer(text, plain, read(choices[0], "finish_reason"), model)


class Collected:
    """A streamed answer, put together from its chunks as the caller reads them.

    Args:
        then: Called with the id and the answer, once the caller has read it to its end; with None and None where it
            was cut before.
        failed: Called with what goes wrong, which is not the caller's.
    """

    def __init__(
        self, then: Callable[[str | None, Answer | None], object], failed: Callable[[Exception], object]
    ) -> None:
        self._then, self._failed = then, failed
        self._id: str | None = None
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: dict[int, dict[str, Any]] = {}
        self._finish: str | None = None

    def saw(self, chunk: Any) -> None:
        """One chunk more."""
        try:
            self._saw(chunk)
        except Exception as error:
            self._failed(error)

    def _saw(self, chunk: Any) -> None:
        self._id = self._id or read(chunk, "id")
        for choice in read(chunk, "choices") or ():
            if read(choice, "index"):
                continue
            self._finish = read(choice, "finish_reason") or self._finish
            delta = read(choice, "delta")
            for name, texts in (("content", self._texts), ("refusal", self._refusals)):
                text = read(delta, name)
                if isinstance(text, str):
                    texts.append(text)
            for call in read(delta, "tool_calls") or ():
                self._saw_call(call)

    def _saw_call(self, call: Any) -> None:
        empty: dict[str, Any] = {"id": None, "type": "function", "function": {"name": "", "arguments": ""}}
        made = self._calls.setdefault(read(call, "index") or 0, empty)
        made["id"] = made["id"] or read(call, "id")
        function = read(call, "function")
        for name in ("name", "arguments"):
            made["function"][name] += read(function, name) or ""

    def ended(self) -> None:
        """The caller has read on to the end."""
        try:
            self._ended()
        except Exception as error:
            self._failed(error)

    def _ended(self) -> None:
        if self._finish is None:  # it was closed, or broke off
            self._then(None, None)
            return
        text = "".join(self._texts)
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if self._refusals:
            message["refusal"] = "".join(self._refusals)
        if self._calls:
            message["tool_calls"] = [self._calls[at] for at in sorted(self._calls)]
        self._then(self._id, Answer(text or message.get("refusal") or "", message, self._finish))
