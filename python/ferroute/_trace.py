"""What a decision is made of: the request, and each step on the way, for `Decision.explain` and for filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._extras import NONE, Extras
from ferroute._messages import viewed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ferroute._ladder import Rungs
    from ferroute.policy import CallPolicy


class Asked:
    """A request as the Controller gets it.

    Attributes:
        messages: A prompt, or messages in OpenAI's form.
        policy: The policy it is decided under.
        keywords: The completion's other keywords.
        extras: Task, session and tags.
        said: The messages as they were, should the caller append to the list later.
    """

    __slots__ = ("_request", "_text", "extras", "keywords", "messages", "policy", "said")

    def __init__(
        self, messages: Any, policy: CallPolicy, keywords: Mapping[str, Any] | None = None, extras: Extras = NONE
    ) -> None:
        self.messages = messages
        self.policy = policy
        self.keywords = keywords
        self.extras = extras
        self._request: _core.Request | None = None
        self._text: Any = None
        self.said = messages
        if type(messages) is str:
            self._text = messages
        elif isinstance(messages, list):
            self.said = tuple(cast("list[Any]", messages))

    @property
    def text(self) -> Any:
        """What is routed on: the prompt, or the conversation as the policy views it."""
        if self._text is None:
            conversation = isinstance(self.messages, (list, tuple))
            self._text = viewed(self.said, self.policy) if conversation else self.messages
        return self._text

    def text_or_none(self) -> str | None:
        """The text routed on, for the ledger's features; None where there is none."""
        try:
            text = self.text
        except Exception:
            # An overriding method has made something of messages that have no text.
            return None
        return text if isinstance(text, str) else None

    @property
    def request(self) -> _core.Request:
        """The whole of it for routers, rules and filters; made when first asked for."""
        if self._request is None:
            keywords: dict[str, Any] | None = None
            if self.keywords is not None:
                body = self.keywords.get("extra_body")
                keywords = {**self.keywords, **(cast("dict[str, Any]", body) if isinstance(body, dict) else {})}
            task, session, tags = self.extras
            self._request = _core.Request(self.said, keywords, task=task, session=session, tags=tags)
        return self._request

    def of(self, messages: Any) -> Asked:
        """The same request with other messages, if they are others."""
        return self if messages is self.messages else Asked(messages, self.policy, self.keywords, self.extras)


class Trace:
    """How a decision came about. An attribute that a decision has no use for is at its default.

    Not slots but a plain class with defaults: what is set costs a decision time, what is not costs none.

    Attributes:
        asked: The request.
        rungs: The ladder.
        ledger: The Controller's, if it is open.
        name: The router whose word counts: after a failure, the one that was asked instead.
        router: That router.
        given: Threshold, share or several of them, as asked of it; None where there was none.
        kind: ``"threshold"`` (a calibrated share too), ``"share"``, ``"verdict"``, ``"route"`` (the router's own
            method) or ``"failed"``.
        win_rate: The router's.
        rank: Where it ranks in the window, in the share form.
        cuts: The thresholds in force, where thresholds decided.
        wanted: The rung that is the router's word; None where that is no rung.
        chosen: The rung that it came to.
        floor, ceiling: Rungs that a verdict sets as limits.
        verdict: That of a router that names a rung.
        other: The trace of the router that a verdict left the choice to.
        failed: The router that failed first, and how.
        barred: For each rung why it cannot serve the request; None where nothing is against any.
        stay: Why the conversation stays where it is.
        endpoint: The model with its settings, where a router has chosen one beyond the ladder.
    """

    asked: Asked
    rungs: Rungs
    name: str
    router: Any
    ledger: Any = None
    given: Any = None
    kind: str = "threshold"
    win_rate: float | None = None
    rank: float | None = None
    cuts: tuple[float, ...] = ()
    wanted: int | None = None
    chosen: int | None = None
    floor: int | None = None
    ceiling: int | None = None
    verdict: _core.Verdict | None = None
    other: Trace | None = None
    failed: tuple[str, str] | None = None
    barred: list[str | None] | None = None
    stay: str | None = None
    endpoint: Any = None

    def __init__(self, asked: Asked, rungs: Rungs) -> None:
        self.asked = asked
        self.rungs = rungs

    def of_another(self) -> Trace:
        """A trace for the router that a verdict leaves the choice to. A failure counts on: one is stood in for."""
        made = Trace(self.asked, self.rungs)
        made.failed = self.failed
        return made
