"""How calls behave: time limits, retries, fallbacks, and what happens when a router fails.

One frozen `CallPolicy` for a Controller (``Controller(..., policy=CallPolicy(...))``) or for one call
(``ferroute.completion(..., policy=...)``). Make a changed copy with `dataclasses.replace`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._grid import Fields
from ferroute.endpoints import Endpoint, check_backend, endpoint, settings_of
from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

VIEWS = ("last", "first", "user_turns")
"""What of a conversation can be routed on."""
SIGNS = ("empty", "refusal", "truncated", "invalid_json", "invalid_schema", "bad_tool_arguments")
"""What an answer can be seen to have failed by, without labels."""
_LIMITS = ("connect_timeout", "first_byte_timeout", "between_chunks_timeout", "timeout", "deadline")


@dataclasses.dataclass(frozen=True, repr=False)
class CallPolicy(Fields):
    """How calls behave. Times are in seconds; None is no limit.

    Attributes:
        connect_timeout: Until a connection stands.
        first_byte_timeout: From sending a request to the first byte of its answer, of a stream to its first event:
            comments and pings that keep the connection alive are none.
        between_chunks_timeout: The longest silence of a stream; what keeps the connection alive breaks it.
        timeout: One attempt in all, of an answer that is not streamed. The keyword ``timeout`` of a call takes the
            place of this and the two above.
        deadline: All attempts, waits and fallbacks of a call together; a stream has to have begun by
            then, and one that only keeps the connection alive ends.
        retries: How often a failed attempt is repeated, where that can help; ``max_retries`` of a call goes before it.
        fallbacks: What is asked when a model has failed for good: names or endpoint mappings, in order; or a mapping
            from a model's name to such a list, with ``"*"`` for all others. They go the way of the call (``backend``).
        failures_before_cooldown: After so many failures in a row a model rests, if there is another one to ask.
        cooldown: How long it rests.
        hedge: Sends a second request when the first has not begun to answer within the 95th percentile of the model's
            times. The first answer wins; both are paid for.
        on_router_error: What happens when a router fails: ``"raise"``, or the call goes to the ``"strong"`` or the
            ``"weak"`` model (the rung of that name, else the last or the first) or to another rung, or another router,
            given by name, is asked. The decision says so.
        strict: A parameter that the model does not take is an error, instead of being left out with a warning.
        backend: ``"native"``, or ``"litellm"`` to hand calls to the litellm that is installed.
        holdout: Share of the completions that go to the strong model whatever the router says, by lot, so that
            ``spend().saving`` is measured instead of estimated. A ceiling that a verdict sets holds for them too.
        view: What of a conversation is routed on: ``"last"`` message, as in RouteLLM; the ``"first"`` one of the user;
            or all ``"user_turns"``.
        join_short_turns: With the view ``"last"``, scores a last turn of the user that only goes on ("yes", "go on")
            together with the user's turns before it, back to the latest that says something of its own.
        sticky: A conversation stays on its model unless going elsewhere pays for the lost prompt cache.
        max_latency_ms: A model whose answers are expected to take longer (95th percentile of its recent calls, in
            milliseconds; of streams until the first content) is skipped.
        escalate_on: When an answer is taken to have failed, so that the next rung is asked: names among
            ``"empty"``, ``"refusal"``, ``"truncated"``, ``"invalid_json"``, ``"invalid_schema"`` and
            ``"bad_tool_arguments"``; or a callable from a whole answer (a `ferroute.responses.ChatCompletion`) to True
            or False. Both calls are paid for, and accounted. Of a stream only what comes before its first content
            counts (see ``docs/failures.md``).

    Raises:
        InvalidValueError: A value is outside its range.
        InvalidTypeError: It is of the wrong type.
    """

    connect_timeout: float | None = 5.0
    first_byte_timeout: float | None = 600.0
    between_chunks_timeout: float | None = 600.0
    timeout: float | None = 600.0
    deadline: float | None = None
    retries: int = 2
    fallbacks: Sequence[Any] | Mapping[str, Sequence[Any]] = ()
    failures_before_cooldown: int = 3
    cooldown: float = 30.0
    hedge: bool = False
    on_router_error: str = "raise"
    strict: bool = False
    backend: str = "native"
    holdout: float = 0.0
    view: str = "last"
    join_short_turns: bool = False
    sticky: bool = False
    max_latency_ms: float | None = None
    escalate_on: Sequence[str] | Callable[[Any], Any] = ()

    def __post_init__(self) -> None:
        for name in _LIMITS:
            value = getattr(self, name)
            if value is not None:
                self._keep(name, _number(name, value))
        self._keep("cooldown", _number("cooldown", self.cooldown))
        for name in ("retries", "failures_before_cooldown"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Integral):
                raise InvalidTypeError(f"`{name}` must be int, found {type(value).__name__}")
            self._keep(name, int(value))
        for name in ("hedge", "strict", "join_short_turns", "sticky"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidTypeError(f"`{name}` must be True or False, found {getattr(self, name)!r:.60}")
        share = _number("holdout", self.holdout)
        if not 0 <= share <= 1:
            raise InvalidValueError(f"`holdout` is a share from 0 to 1, found {self.holdout!r}")
        self._keep("holdout", share)
        if not isinstance(self.on_router_error, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"`on_router_error` must be str, found {type(self.on_router_error).__name__}")
        check_backend(self.backend)
        if self.view not in VIEWS:
            raise InvalidValueError(f"`view` is one of {', '.join(map(repr, VIEWS))}; found {self.view!r:.60}")
        if self.max_latency_ms is not None:
            self._keep("max_latency_ms", _number("max_latency_ms", self.max_latency_ms))
            if self.max_latency_ms <= 0:
                raise InvalidValueError(f"`max_latency_ms` must be above 0, found {self.max_latency_ms!r}")
        object.__setattr__(self, "escalate_on", _signs(self.escalate_on))
        # Lists become tuples and mappings endpoints, so that nobody changes a policy that is in use.
        object.__setattr__(self, "fallbacks", _frozen(self.fallbacks, self.backend))
        object.__setattr__(self, "_made", self._make())

    def _keep(self, name: str, number: float) -> None:
        """Puts a plain number in the place of numpy's, which print and pickle as such."""
        if type(getattr(self, name)) not in (int, float):
            object.__setattr__(self, name, number)

    def __hash__(self) -> int:
        # A mapping of fallbacks has no hash; equal policies have equal times all the same.
        return hash(tuple(getattr(self, name) for name in (*_LIMITS, "retries", "on_router_error", "backend")))

    @property
    def core(self) -> _core.Policy:
        """The part of it that the core follows."""
        return vars(self)["_made"]

    def _make(self) -> _core.Policy:
        return _core.Policy(
            connect_timeout=self.connect_timeout,
            first_byte_timeout=self.first_byte_timeout,
            between_chunks_timeout=self.between_chunks_timeout,
            timeout=self.timeout,
            deadline=self.deadline,
            retries=self.retries,
            failures_before_cooldown=self.failures_before_cooldown,
            cooldown=self.cooldown,
            hedge=self.hedge,
            strict=self.strict,
            escalate_on=self.escalate_on if callable(self.escalate_on) else list(self.escalate_on),
        )

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_made"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        object.__setattr__(self, "_made", self._make())

    def fallbacks_of(self, model: str) -> Sequence[Endpoint | str]:
        """What is asked, in order, when `model` has failed for good."""
        if isinstance(self.fallbacks, Mapping):
            return self.fallbacks.get(model, self.fallbacks.get("*", ()))
        return self.fallbacks

    @classmethod
    def of(cls, given: CallPolicy | Mapping[str, Any] | None) -> Self:
        """`given`; a mapping of attributes is made one, None is the usual policy.

        Raises:
            InvalidTypeError: It is something else, or has an attribute that does not exist.
        """
        if given is None:
            return cast("Self", USUAL)
        if isinstance(given, cls):
            return given
        if isinstance(given, Mapping):
            unknown = [name for name in given if name not in cls.__dataclass_fields__]
            if unknown:
                known = ", ".join(cls.__dataclass_fields__)
                raise InvalidTypeError(f"policy: unknown {', '.join(map(repr, unknown))}; there are {known}")
            return cls(**given)
        raise InvalidTypeError(f"policy is a CallPolicy or a mapping of its attributes, found {type(given).__name__}")


def listed(name: str, given: Any) -> tuple[Endpoint | str, ...]:
    """A list of models as names and endpoints; one alone may come without its list.

    Args:
        name: What messages call it.
        given: A name or an endpoint, or a list of them.

    Raises:
        InvalidTypeError: It holds something that is no model.
    """
    if given is None:
        return ()
    if isinstance(given, (str, Mapping)):
        given = (given,)
    if not hasattr(given, "__iter__"):
        raise InvalidTypeError(f"`{name}` must be a list of models, found {type(given).__name__}")
    return tuple(endpoint(each, name) for each in given)


def _signs(given: Any) -> Any:
    """What an answer is escalated on, checked: a tuple of names, or a callable."""
    if callable(given):
        return given
    if isinstance(given, str):
        given = (given,)
    if not hasattr(given, "__iter__"):
        raise InvalidTypeError(f"`escalate_on` is a list of names or a callable, found {type(given).__name__}")
    names = tuple(given)
    for name in names:
        if name not in SIGNS:
            raise InvalidValueError(f"`escalate_on` knows {', '.join(map(repr, SIGNS))}; found {name!r:.60}")
    return names


def going_with(fallbacks: Sequence[Endpoint | str], backend: str) -> Sequence[Endpoint | str]:
    """`fallbacks` for calls by way of `backend`.

    Raises:
        InvalidValueError: One of them asks for another way.
    """
    for fallback in fallbacks:
        own = settings_of(fallback).get("backend", backend)
        if own != backend:
            raise InvalidValueError(
                f"`fallbacks`: {str(fallback)!r} has backend {own!r}, but a fallback goes the way of the call that it "
                f"stands in for, here {backend!r}: leave its backend out, or give both the same"
            )
    return fallbacks


def _frozen(given: Any, backend: str) -> Any:
    # `{"model": ...}` is an endpoint; any other mapping is from a model's name to what stands in for it.
    if isinstance(given, Mapping) and "model" not in given:
        mapping = cast("Mapping[str, Any]", given)
        return {str(name): going_with(listed("fallbacks", models), backend) for name, models in mapping.items()}
    return going_with(listed("fallbacks", given), backend)


def _number(name: str, value: Any) -> float:
    # numpy's scalars are real numbers in this sense.
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidTypeError(f"`{name}` must be a number, found {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        raise InvalidValueError(f"`{name}` must be a number, found one that is far too large") from None
    if math.isnan(number):
        raise InvalidValueError(f"`{name}` must be a number, found nan")
    return number


USUAL = CallPolicy()
