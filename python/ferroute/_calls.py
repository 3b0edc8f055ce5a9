"""From the keywords of a completion to a client and the bytes it sends."""

from __future__ import annotations

import math
import os
import threading
from contextlib import suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ferroute import _json
from ferroute.decision import by_name
from ferroute.endpoints import check_backend, endpoint, settings_of
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.policy import CallPolicy, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from ferroute._core import Client
    from ferroute.decision import Decision

EXTRAS = ("session", "task", "tags")
# Keywords of `completion` that are for us and not for the model.
_OURS = frozenset(
    (
        "api_version",
        "backend",
        "base_model",
        "base_url",
        "extra_body",
        "extra_headers",
        "extra_query",
        "fallbacks",
        "ferroute",
        "ledger",
        "max_retries",
        "num_retries",
        "organization",
        "policy",
        "timeout",
    )
)
# Values of these types are never one of openai's "not given" marks.
_PLAIN = frozenset({str, int, float, bool, list, dict, tuple})


class Routed:
    """What a Controller says of the call it is about to make, beside the keywords that RouteLLM has.

    Attributes:
        decision: Which model, and why.
        policy: How the call behaves.
        ledger: Where it is entered; None: nowhere.
        baseline: Name of the model that the saving is measured against.
        requested: The model string of the request.
        holdout: Whether it was sent to the strong model by lot.
        router_cost: US dollars; None is unpriced.
        session: The caller's session.
        text: The text routed on.
        where: Base URL and key of the Controller's own, with which a fallback's plain name is asked.
        used: Whether our own `completion` has made the call.
    """

    __slots__ = (
        "baseline", "decision", "holdout", "ledger", "policy", "requested", "router_cost", "session", "text", "used",
        "where",
    )  # fmt: skip

    def __init__(
        self,
        decision: Decision,
        policy: CallPolicy,
        ledger: Any,
        baseline: str | None,
        requested: str | None,
        holdout: bool,
        router_cost: Decimal | int | None,
        session: str | None,
        text: str | None,
        where: tuple[str | None, str | None],
    ) -> None:
        self.decision = decision
        self.policy = policy
        self.ledger = ledger
        self.baseline = baseline
        self.requested = requested
        self.holdout = holdout
        self.router_cost = router_cost
        self.session = session
        self.text = text
        self.where = where
        self.used = False


routed: ContextVar[Routed | None] = ContextVar("ferroute_routed", default=None)


class Prepared:
    """A call that is ready to be sent.

    Attributes:
        decision: Why this model.
        stream: Whether a stream is asked for.
        client: Whom to ask, where the call is ours.
        body: What it is sent.
        decided: The decision as the core takes it, for the ledger.
        litellm: The keywords of litellm's `completion`, where that makes the call; else None.
        fallbacks: Whom to ask next, where litellm makes the call.
        ledger: Where it is entered, where litellm makes the call.
        policy: How it behaves, where litellm makes the call.
        shared: Base URL and key for the plain names among the fallbacks.
    """

    __slots__ = (
        "body",
        "client",
        "decided",
        "decision",
        "fallbacks",
        "ledger",
        "litellm",
        "policy",
        "shared",
        "stream",
    )

    body: bytes
    client: Client
    decided: tuple[Any, ...]
    decision: Decision
    fallbacks: Sequence[str]
    ledger: Any
    litellm: dict[str, Any] | None
    policy: CallPolicy
    shared: tuple[str | None, str | None]
    stream: bool


def prepare(
    model: Any,
    messages: Any,
    api_base: str | None,
    api_key: str | None,
    rest: dict[str, Any],
    context: Routed | None = None,
) -> Prepared:
    """Takes out what is meant for the client and makes a body of everything else.

    Args:
        model: A name, an `Endpoint`, or a mapping such as those.
        messages: Messages in OpenAI's form.
        api_base: Beats the endpoint's own.
        api_key: Likewise.
        rest: All other keywords; emptied of what is meant for the client.
        context: What the Controller that makes the call says of it.

    Raises:
        InvalidTypeError: for a keyword of the wrong type, or something in the body that JSON cannot hold.
        InvalidValueError: for a value outside its range.
    """
    from ferroute._core import Client

    if not isinstance(model, str):
        if not hasattr(model, "items"):
            raise InvalidTypeError(f"`model` must be str, found {type(model).__name__}")
        model = endpoint(model, "model")
    if isinstance(messages, (str, bytes, dict)) or not hasattr(messages, "__iter__"):
        found = type(messages).__name__  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        raise InvalidTypeError(f"`messages` must be a list of messages, found {found}")
    ours = {name: rest.pop(name) for name in _OURS.intersection(rest)}
    own = settings_of(model)
    made = Prepared()
    body: dict[str, Any] = {"model": model, "messages": messages}
    body |= {
        name: value
        for name, value in rest.items()
        if value is not None and (type(value) in _PLAIN or not _is_unset(value))
    }
    extras = None
    if ours:
        extras = ours.get("ferroute")
        extra_body = ours.get("extra_body")
        if extra_body is not None:
            if not hasattr(extra_body, "items"):
                raise InvalidTypeError(f"`extra_body` must be a dict, found {type(extra_body).__name__}")
            body |= extra_body
            extras = body.pop("ferroute", extras)
    made.stream = bool(body.get("stream"))
    policy = CallPolicy.of(ours.get("policy")) if context is None or "policy" in ours else context.policy
    ledger = context.ledger if context is not None else None
    if "ledger" in ours:
        ledger = opened(ours["ledger"])
    session = session_of(extras)
    if context is None:
        made.decision = by_name(str(model))
        made.decided = (None, str(model), None, None, session, False, None, 0, None)
    else:
        made.decision = decision = context.decision
        made.decided = (
            decision.router,
            context.requested,
            decision.win_rate,
            decision.threshold,
            context.session or session,
            context.holdout,
            context.baseline,
            context.router_cost,
            context.text,
        )
    base = _text("api_base", api_base if api_base is not None else ours.get("base_url"))
    key = _text("api_key", api_key)
    fallbacks = listed("fallbacks", ours["fallbacks"]) if "fallbacks" in ours else policy.fallbacks_of(model)
    made.shared = base, key
    if own:
        # What the endpoint says of itself is for itself alone.
        others = (None, None) if context is None else context.where
        made.shared = (
            others[0] if base == own.get("api_base") else base,
            others[1] if key == own.get("api_key") else key,
        )
    if check_backend(ours.get("backend") or own.get("backend") or policy.backend) == "litellm":
        made.litellm = _litellm_keywords(model, body, own, base, key, ours)
        made.fallbacks, made.ledger, made.policy = fallbacks, ledger, policy
        return made
    made.litellm = None
    core: Any = None if ledger is None else ledger.core
    if not ours and not own and not fallbacks:
        # Nearly every call.
        made.client = Client(model, api_base=base, api_key=key, policy=policy.core, ledger=core)
    else:
        timeout, connect = limits(ours.get("timeout"))
        again = ours.get("max_retries")
        made.client = Client(
            model,
            **_where(own, base, key, ours),
            policy=policy.core,
            timeout=timeout,
            connect_timeout=connect,
            max_retries=retries(ours.get("num_retries") if again is None else again),
            fallbacks=[_fallback(each, model, *made.shared) for each in fallbacks],
            ledger=core,
        )
    if model not in _asked:
        _look_at(model, made.client)
    made.body = _json.encode(body)
    return made


_asked: set[str] = set()


def _look_at(model: str, client: Client) -> None:
    """Warns, on the first call of a model at its provider's own host, where it is known not to be served any more."""
    _asked.add(str(model))
    if client.at_home:
        from ferroute import pricing

        pricing.warn_if_shut_down(model, stacklevel=stacklevel())


def warn_unpriced(model: str) -> None:
    """Warns, on its first answer, of a model whose price is not known."""
    from ferroute import pricing

    # An answer that is paid for is not thrown away by a filter that makes errors of warnings.
    with suppress(pricing.PriceWarning):
        pricing.warn_if_unpriced(model, stacklevel=stacklevel())


def stacklevel() -> int:
    """How many frames up the first one is that is not of ferroute, as the caller counts."""
    import inspect

    level, frame = 0, inspect.currentframe()
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == "ferroute":
        level, frame = level + 1, frame.f_back
    return level


def _where(own: Mapping[str, Any], base: str | None, key: str | None, ours: Mapping[str, Any]) -> dict[str, Any]:
    """Where to call: what the call says goes before what the endpoint says."""

    def either(name: str) -> Any:
        given = ours.get(name)
        return own.get(name) if given is None or _is_unset(given) else given

    version = either("api_version")
    return {
        "api_base": base if base is not None else _text("api_base", own.get("api_base")),
        "api_key": key if key is not None else _text("api_key", own.get("api_key")),
        "api_version": None if version is None else str(version),
        "base_model": _text("base_model", either("base_model")),
        "organization": _text("organization", either("organization")),
        "extra_headers": _strings("extra_headers", either("extra_headers")),
        "extra_query": _strings("extra_query", either("extra_query")),
    }


def _fallback(fallback: str, model: str, base: str | None, key: str | None) -> Client:
    """Whom to ask when `model` has failed.

    One without a base URL of its own is asked where the call was, if that has one; else the call's key is only for
    models of the same provider.
    """
    from ferroute._core import Client

    own = settings_of(fallback)
    if "api_base" in own:
        base = key = None
    elif "api_key" in own:
        key = None
    elif base is None and key is not None:
        key = key if Client(fallback, api_key=key).provider == Client(model, api_key=key).provider else None
    return Client(fallback, **_where(own, base, key, {}))


def _litellm_keywords(
    model: str,
    body: dict[str, Any],
    own: Mapping[str, Any],
    base: str | None,
    key: str | None,
    ours: Mapping[str, Any],
) -> dict[str, Any]:
    """The caller's keywords as they are, with those of the endpoint under the names that litellm has for them."""
    keywords = {**body, "model": str(model), "api_base": base or own.get("api_base")}
    keywords["api_key"] = key or own.get("api_key")
    for name in ("api_version", "organization", "extra_headers", "timeout", "max_retries", "num_retries"):
        value = ours.get(name, own.get(name))
        if value is not None and not _is_unset(value):
            keywords[name] = value
    return keywords


_books: dict[tuple[str, str], Any] = {}
_opening = threading.Lock()


def opened(ledger: Any) -> Any:
    """The ledger at a URL or path, or the one that is given; None is none.

    A store is opened once in a process, however many calls name it; each ``memory:`` is one of its own.
    """
    if ledger is None:
        return None
    from ferroute import ledger as ledgers

    if isinstance(ledger, ledgers.Ledger) or ledger == "memory:":
        return ledgers.open(ledger)
    # A relative path is another file in another folder.
    name = os.getcwd(), str(ledger)  # noqa: PTH109 - a path object is not needed
    with _opening:
        found = _books.get(name)
        if found is None:
            found = _books[name] = ledgers.open(ledger)
        return found


def session_of(extras: Any) -> str | None:
    """The session of the reserved object ``ferroute``, which is checked.

    Raises:
        InvalidTypeError: It is no mapping.
        InvalidValueError: It has a key that does not exist.
    """
    if extras is None:
        return None
    if not hasattr(extras, "items"):
        raise InvalidTypeError(f"`ferroute` must be a dict, found {type(extras).__name__}")
    unknown = [name for name in extras if name not in EXTRAS]
    if unknown:
        raise InvalidValueError(f"`ferroute`: unknown {unknown[0]!r:.60}; known are {', '.join(EXTRAS)}")
    session = extras.get("session")
    return None if session is None else str(session)


def limits(timeout: Any) -> tuple[float | None, float | None]:
    """The time limits of one call: of an attempt, and of connecting; None is the policy's.

    Args:
        timeout: Seconds, or an `openai.Timeout`, whose limits on reading and connecting count.
    """
    if timeout is None or _is_unset(timeout):
        return None, None
    if hasattr(timeout, "read") and hasattr(timeout, "connect"):
        read, connect = (math.inf if each is None else float(each) for each in (timeout.read, timeout.connect))
        return read, connect
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise InvalidTypeError(f"`timeout` must be a number of seconds, found {type(timeout).__name__}")
    try:
        return float(timeout), None
    except OverflowError:
        raise InvalidValueError("`timeout` must be a number of seconds, found one that is far too large") from None


def retries(max_retries: Any) -> int | None:
    """How often a failed attempt is repeated; None for the policy's."""
    if max_retries is None or _is_unset(max_retries):
        return None
    if isinstance(max_retries, bool) or not isinstance(max_retries, int):
        raise InvalidTypeError(f"`max_retries` must be int, found {type(max_retries).__name__}")
    return max_retries


def _is_unset(value: object) -> bool:
    """`openai.NOT_GIVEN` and `openai.omit`, recognised without importing openai."""
    cls = type(value)
    return cls.__name__ in ("NotGiven", "Omit") and cls.__module__.partition(".")[0] == "openai"


def _text(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if name == "api_base" and type(value).__name__ == "URL":  # httpx.URL, yarl.URL
        value = str(value)
    if isinstance(value, str):
        return _unicode(name, value)
    raise InvalidTypeError(f"`{name}` must be str, found {type(value).__name__}")


def _strings(name: str, value: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not hasattr(value, "items"):
        raise InvalidTypeError(f"`{name}` must be a dict, found {type(value).__name__}")
    kept = ((str(key), str(item)) for key, item in value.items() if item is not None and not _is_unset(item))
    return [(_unicode(name, key), _unicode(name, item)) for key, item in kept]


def _unicode(name: str, text: str) -> str:
    """`text`, unless it holds half of a surrogate pair; the error does not hold it, since it may be a key."""
    with suppress(UnicodeEncodeError):
        text.encode()
        return text
    # Raised out here, the error has no context, which would hold the text.
    raise InvalidValueError(f"`{name}` is not valid Unicode: it holds half of a surrogate pair")
