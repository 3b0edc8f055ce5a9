"""Between a router's word and the choice: rungs that cannot serve a request, conversations that stay where they are.

What is known of models, and which of them rest, is the core's; here is where a Controller asks it. A prompt alone, on
models that are known to take it, costs one call into the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute.endpoints import settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ferroute._ladder import Rungs
    from ferroute._notes import Remarks
    from ferroute._trace import Trace
    from ferroute.policy import CallPolicy

# Settings of an endpoint that say which one it is.
_WHERE = ("api_base", "api_key", "api_version", "base_model", "extra_query")
# Keywords of a call that say what it needs, or where it is made. Without them its one text is all there is.
_TELLING = frozenset(
    (
        "api_base", "api_key", "base_url", "extra_body", "functions", "max_completion_tokens", "max_tokens",
        "modalities", "response_format", "stream", "tools",
    )
)  # fmt: skip
# Models that were said to be skipped because their providers have shut them down.
_told: set[str] = set()


class Serving:
    """What a Controller asks of its rungs before one is chosen; mixed into `ferroute._deciding.Deciding`."""

    api_base: str | None
    api_key: str | None
    # The core's view of the ladder, with the rungs, base URL and key it was made of.
    _served: tuple[Rungs, Any, Any, _core.Serving] | None
    _sessions: _core.Sessions

    def _serving(self, rungs: Rungs) -> _core.Serving:
        held = self._served
        if held is None or held[0] is not rungs or held[1] is not self.api_base or held[2] is not self.api_key:
            made = serving_of(rungs.models, self.api_base, self.api_key, skips_retired=not rungs.plain)
            held = self._served = (rungs, self.api_base, self.api_key, made)
        return held[3]

    def _barred(self, trace: Trace, notes: Remarks) -> list[str | None] | None:
        """For each rung why it cannot serve the request, or None for it; None where nothing is against any."""
        serving, asked = self._serving(trace.rungs), trace.asked
        messages = asked.messages
        text: Any = messages
        if type(messages) is list and len(cast("list[Any]", messages)) == 1:
            only = cast("list[Any]", messages)[0]
            text = cast("dict[str, Any]", only).get("content") if type(only) is dict else None
        if type(text) is str and (not asked.keywords or _TELLING.isdisjoint(asked.keywords)):
            found = serving.check_text(len(text), asked.policy.max_latency_ms)
        elif isinstance(messages, (str, list, tuple)):
            found = serving.check(asked.request, **_call_of(asked.keywords, asked.policy))
        else:
            # A router of the caller's own may be asked about anything.
            return None
        return None if found is None else _told_of(found, trace.rungs, notes)

    def _beyond(self, trace: Trace, model: str, barred: list[str | None] | None, notes: Remarks) -> int | None:
        """The rung that answers in the place of a model beyond the ladder that cannot; None where it can.

        Raises:
            RoutingError: No rung can either.
        """
        asked = trace.asked
        if not isinstance(asked.messages, (str, list, tuple)):
            return None
        own = trace.endpoint if trace.endpoint is not None else model
        alone = serving_of((own,), self.api_base, self.api_key, skips_retired=not trace.rungs.plain)
        found = alone.check(asked.request, **_call_of(asked.keywords, asked.policy))
        if found is None:
            return None
        reasons, _, retired = found
        # It may rest or be slow: who named it wants it.
        reason = reasons[0]
        if reason is None:
            return None
        if retired:
            warn_retired(model, reason)
        index = self._serving(trace.rungs).in_place_of(model, reason, barred or [])
        notes.append(f"{model} is skipped: {reason}")
        return index

    def _stay(self, trace: Trace, index: int) -> tuple[int, str | None]:
        """The rung that a conversation is answered by, where the word is `index`; and why, if it stays on another."""
        asked = trace.asked
        if not asked.policy.sticky or index == trace.rungs.top or not isinstance(asked.messages, (str, list, tuple)):
            return index, None
        stays = self._sessions.stay(
            self._serving(trace.rungs), asked.request, index, ceiling=trace.ceiling, barred=trace.barred or []
        )
        return (index, None) if stays is None else stays

    def _remember(self, trace: Trace, rung: int | None) -> None:
        """Notes where a conversation has gone, for its next turn; None is a model beyond the ladder."""
        if isinstance(trace.asked.messages, (str, list, tuple)):
            self._sessions.remember(self._serving(trace.rungs), trace.asked.request, rung)


def serving_of(
    models: tuple[Any, ...], api_base: str | None, api_key: str | None, *, skips_retired: bool
) -> _core.Serving:
    """The core's view of `models`.

    Args:
        models: Names, or names with settings; weakest first.
        api_base: For those without one of their own.
        api_key: Likewise.
        skips_retired: Whether one that its provider has shut down is barred.
    """
    rungs: list[tuple[str, dict[str, Any]]] = []
    for model in models:
        own = settings_of(model)
        where = {name: own.get(name) for name in _WHERE}
        for name, ours in (("api_base", api_base), ("api_key", api_key)):
            if where[name] is None:
                where[name] = ours
        rungs.append((str(model), where))
    return _core.Serving(rungs, skips_retired)


def _call_of(keywords: Mapping[str, Any] | None, policy: CallPolicy) -> dict[str, Any]:
    """What a call says of how and where it is made."""
    call: dict[str, Any] = {"max_latency_ms": policy.max_latency_ms}
    if keywords:
        base = keywords.get("base_url")
        call["api_base"] = keywords.get("api_base") if base is None else base
        call["api_key"] = keywords.get("api_key")
        call["stream"] = keywords.get("stream") is True
    return call


def _told_of(found: Any, rungs: Rungs, notes: Remarks) -> list[str | None] | None:
    """What the core has found, with what the caller should know said."""
    reasons, said, retired = cast("tuple[list[str | None], list[str], list[tuple[int, str]]]", found)
    notes.extend(said)
    for index, reason in retired:
        warn_retired(str(rungs.models[index]), reason)
    return reasons if any(reasons) else None


def warn_retired(model: str, reason: str) -> None:
    """Warns, once for a model and process, that it is skipped for having been shut down."""
    if model in _told:
        return
    _told.add(model)
    import warnings

    from ferroute._calls import stacklevel
    from ferroute.pricing import PriceWarning

    warnings.warn(f"{model} is skipped: {reason}", PriceWarning, stacklevel=stacklevel())
