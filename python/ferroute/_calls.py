"""From the keywords of a completion to a client and the bytes it sends."""

from __future__ import annotations

import math
import os
import threading
from contextlib import suppress
from contextvars import ContextVar
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from ferroute import _json
from ferroute._escalating import Above, rung_of
from ferroute._extras import extras_of
from ferroute._given import given, is_unset
from ferroute.decision import by_name, remarked
from ferroute.endpoints import check_backend, endpoint, routed_of, settings_of
from ferroute.errors import FerrouteError, InvalidTypeError, InvalidValueError
from ferroute.policy import CallPolicy, going_with, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from decimal import Decimal

    from ferroute._core import Client
    from ferroute._ladder import Rungs
    from ferroute.decision import Decision

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
        shadow: Whether it is made beside another call, to compare its answer: the ledger counts it apart.
        router_cost: US dollars; None is unpriced.
        session: The caller's session.
        task: Kind of task, as the caller or the router's guess has it.
        tags: The caller's tags, name and value.
        climb: The rungs above the chosen one, which are asked when an answer shows a sign that the policy's
            ``escalate_on`` names.
        rungs: The ladder; None where there is none.
        text: The text routed on.
        where: Base URL and key of the Controller's own, with which a fallback's plain name is asked.
        own: Base URL and key of the chosen model's own, which are for nobody else.
        messages: The messages routed.
        used: Whether our own `completion` has made the call.
    """

    __slots__ = (
        "_due", "baseline", "climb", "decision", "holdout", "ledger", "messages", "own", "policy", "requested",
        "router_cost", "rungs", "session", "shadow", "tags", "task", "text", "used", "where",
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
        own: tuple[str | None, str | None] = (None, None),
        messages: Any = None,
        task: str | None = None,
        tags: Sequence[tuple[str, str]] = (),
        climb: Above = Above(),  # noqa: B008 - a tuple
        rungs: Rungs | None = None,
        shadow: bool = False,
    ) -> None:
        self.climb = climb
        self.shadow = shadow
        self.rungs = rungs
        self.task = task
        self.tags = tags
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
        self.own = own
        self.messages = messages
        self.used = False
        self._due = [router_cost]

    def take_router_cost(self) -> Decimal | int | None:
        """What routing has cost, for the first call that asks: it was paid once, however often a model is called."""
        self.used = True
        try:
            return self._due.pop()
        except IndexError:
            return 0

    def beside(self, model: str) -> Routed:
        """For another call that is made on the way: same policy and ledger, but nobody has routed it.

        It may be for another provider, so the Controller's address and key are not for it.
        """
        return Routed(
            by_name(str(model)), self.policy, self.ledger, None, str(model), False, 0, self.session, None,
            (None, None), self.own,
        )  # fmt: skip


def context_of(model: Any, messages: Any) -> Routed | None:
    """What the Controller that makes this call, if one does, says of it.

    Whoever patches `ferroute.controller.completion` may call the original when, where and as often as they like. A
    call with the model they were given, or with the messages, is the routed one; any other is one beside it.
    """
    context: Routed | None = routed_of(model)
    if context is not None:
        return context
    context = routed.get()
    if context is None or model == context.decision.model or _same(messages, context.messages):
        return context
    return context.beside(model) if isinstance(model, str) else None


def _same(messages: Any, others: Any) -> bool:
    if messages is others:
        return True
    try:
        return bool(messages == others)
    except Exception:
        # Comparing is up to what a caller has put into a message.
        return False


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
        api_base: Beats the endpoint's own and the Controller's; None, as for every keyword, is not given.
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
    ours = {name: value for name in _OURS.intersection(rest) if (value := given(rest.pop(name))) is not None}
    own = settings_of(model)
    made = Prepared()
    body: dict[str, Any] = {"model": model, "messages": messages}
    body |= {
        name: value
        for name, value in rest.items()
        if value is not None and (type(value) in _PLAIN or not is_unset(value))
    }
    extras, named = None, body
    if ours:
        extras = ours.get("ferroute")
        extra_body = ours.get("extra_body")
        if extra_body is not None:
            if not hasattr(extra_body, "items"):
                raise InvalidTypeError(f"`extra_body` must be a dict, found {type(extra_body).__name__}")
            body = body | dict(extra_body)
            extras = body.pop("ferroute", extras)
    context = context or routed_of(model)
    made.stream = bool(body.get("stream"))
    policy = CallPolicy.of(ours.get("policy")) if context is None or "policy" in ours else context.policy
    others = (None, None) if context is None else context.where
    ledger = context.ledger if context is not None else None
    if "ledger" in ours:
        ledger = opened(ours["ledger"])
    task, session, tags = _said(extras)
    climb = Above()
    if context is None:
        made.decision = by_name(str(model))
        made.decided = (None, str(model), None, None, session, (False, False), None, 0, None, None, task, tags)
    else:
        decision = context.decision
        if model == decision.model:
            climb = context.climb if policy.escalate_on else climb
        else:
            decision = remarked(decision, f"the call was made to {model}, not to the model that was chosen")
        made.decision = decision
        made.decided = (
            decision.router,
            context.requested,
            decision.win_rate,
            # With a threshold for each step, `requested` has them.
            None if isinstance(decision.threshold, tuple) else decision.threshold,
            context.session or session,
            (context.holdout, context.shadow),
            context.baseline,
            context.take_router_cost(),
            context.text,
            decision.tier if model == decision.model else None,
            context.task or task,
            context.tags or tags,
        )
    own_base, own_key = own.get("api_base"), own.get("api_key")
    # The Controller's are for the model it has chosen, and not for one that was put in its place.
    else_base, else_key = others if context is not None and model == context.decision.model else (None, None)
    # What the call says goes before all. As with litellm, `base_url` goes before `api_base`, which is the Controller's
    # where the call says nothing.
    base = _text("api_base", _first(ours.get("base_url"), api_base, own_base, else_base))
    key = _text("api_key", _first(api_key, own_key, else_key))
    backend = check_backend(ours.get("backend") or own.get("backend") or policy.backend)
    if "fallbacks" in ours:
        fallbacks = going_with(listed("fallbacks", ours["fallbacks"]), backend)
    else:
        fallbacks = policy.fallbacks_of(model)
    # What an endpoint says of itself is for itself alone.
    alone = (own_base, own_key) if context is None else context.own
    made.shared = (
        others[0] if base == _text("api_base", alone[0]) else base,
        others[1] if key == _text("api_key", alone[1]) else key,
    )
    if backend == "litellm":
        if any(climb):
            made.decision = remarked(made.decision, "`escalate_on` is not followed where litellm makes the call")
        made.litellm = _litellm_keywords(model, named, own, base, key, ours)
        made.stream = bool(named.get("stream"))
        made.fallbacks, made.ledger, made.policy = fallbacks, ledger, policy
        return made
    made.litellm = None
    core: Any = None if ledger is None else ledger.core
    if not ours and not own and not fallbacks and not any(climb):
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
            fallbacks=_fallbacks(fallbacks, model, context, *made.shared),
            climb=_climb(climb.rungs, model, backend, *made.shared),
            left_out=[*climb.left_out, *_made_elsewhere(climb.rungs, backend)],
            ledger=core,
        )
    if model not in _asked:
        _look_at(model, made.client)
    made.body = _json.encode(body)
    return made


def _fallbacks(
    fallbacks: Sequence[str], model: str, context: Routed | None, base: str | None, key: str | None
) -> list[tuple[str | None, Client]]:
    """Whom to ask when `model` fails, each with the rung it is on, if it is on one."""
    rungs = None if context is None else context.rungs
    made = [(each, _fallback(each, model, base, key)) for each in fallbacks]
    return [(None if rungs is None else rung_of(each, rungs), client) for each, client in made if client is not None]


def _made_elsewhere(rungs: Sequence[tuple[str | None, Any]], backend: str) -> list[str]:
    """What is said of rungs whose calls another backend makes."""
    others = [(rung, settings_of(rung).get("backend", backend)) for _, rung in rungs]
    return [f"`{rung}` was not asked: its calls are made by {other}" for rung, other in others if other != backend]


def _climb(
    rungs: Sequence[tuple[str | None, Any]], model: str, backend: str, base: str | None, key: str | None
) -> list[tuple[str | None, Client]]:
    """Whom to ask when an answer has failed; a rung that cannot be asked is passed over, with a warning."""
    made: list[tuple[str | None, Client]] = []
    for tier, rung in rungs:
        if settings_of(rung).get("backend", backend) == backend:
            client = _fallback(rung, model, base, key, "rung")
            if client is not None:
                made.append((tier, client))
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

    if pricing.said_unpriced(model):
        return
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
        return _first(ours.get(name), own.get(name))

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


def _fallback(fallback: str, model: str, base: str | None, key: str | None, what: str = "fallback") -> Client | None:
    """Whom to ask when `model` has failed; None, with a warning, where that cannot be asked, as without its key.

    A call that needs no fallback does not fail for one.
    """
    try:
        return _standing_in(fallback, model, base, key)
    except FerrouteError as error:
        if (why := (str(fallback), str(error))) not in _passed_over:
            _passed_over.add(why)
            import warnings

            text = f"the {what} {str(fallback)!r} is passed over: {error}"
            warnings.warn(text, RuntimeWarning, stacklevel=stacklevel())
        return None


_passed_over: set[tuple[str, str]] = set()


def _standing_in(fallback: str, model: str, base: str | None, key: str | None) -> Client:
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
    named: dict[str, Any],
    own: Mapping[str, Any],
    base: str | None,
    key: str | None,
    ours: Mapping[str, Any],
) -> dict[str, Any]:
    """The caller's keywords as they are, with those of the endpoint under the names that litellm has for them."""
    keywords = {**named, "model": str(model), "api_base": base or own.get("api_base")}
    keywords["api_key"] = key or own.get("api_key")
    names = ("api_version", "organization", "extra_headers", "extra_query", "timeout", "max_retries", "num_retries")
    for name in names:
        value = ours.get(name, own.get(name))
        if value is not None:
            keywords[name] = value
    # Not for litellm: what the call costs is found by it.
    keywords["base_model"] = ours.get("base_model") or own.get("base_model")
    extra = ours.get("extra_body")
    if extra is not None:
        keywords["extra_body"] = {name: value for name, value in extra.items() if name != "ferroute"}
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


def _said(extras: Any) -> tuple[str | None, str | None, tuple[tuple[str, str], ...]]:
    """Task, session and tags of the reserved object ``ferroute``, which is checked."""
    return (None, None, ()) if extras is None else extras_of(extras)


def limits(timeout: Any) -> tuple[float | None, float | None]:
    """The time limits of one call: of an attempt, and of connecting; None is the policy's.

    Args:
        timeout: Seconds, or an `openai.Timeout`, whose limits on reading and connecting count.
    """
    if timeout is None or is_unset(timeout):
        return None, None
    if hasattr(timeout, "read") and hasattr(timeout, "connect"):
        read, connect = (math.inf if each is None else float(each) for each in (timeout.read, timeout.connect))
        return read, connect
    # numpy's scalars are real numbers in this sense.
    if isinstance(timeout, bool) or not isinstance(timeout, Real):
        raise InvalidTypeError(f"`timeout` must be a number of seconds, found {type(timeout).__name__}")
    try:
        return float(timeout), None
    except OverflowError:
        raise InvalidValueError("`timeout` must be a number of seconds, found one that is far too large") from None


def retries(max_retries: Any) -> int | None:
    """How often a failed attempt is repeated; None for the policy's."""
    if max_retries is None or is_unset(max_retries):
        return None
    if isinstance(max_retries, bool) or not isinstance(max_retries, Integral):
        raise InvalidTypeError(f"`max_retries` must be int, found {type(max_retries).__name__}")
    return int(max_retries)


def _first(*values: Any) -> Any:
    """The first that is given."""
    return next((value for value in values if given(value) is not None), None)


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
    kept = ((str(key), str(item)) for key, item in value.items() if item is not None and not is_unset(item))
    return [(_unicode(name, key), _unicode(name, item)) for key, item in kept]


def _unicode(name: str, text: str) -> str:
    """`text`, unless it holds half of a surrogate pair; the error does not hold it, since it may be a key."""
    with suppress(UnicodeEncodeError):
        text.encode()
        return text
    # Raised out here, the error has no context, which would hold the text.
    raise InvalidValueError(f"`{name}` is not valid Unicode: it holds half of a surrogate pair")
