"""Models whose providers stop serving them: the day, who says so, and what could stand in their place.

The days are those of the price data (`ferroute.pricing.facts`). `ferroute check`, `ferroute doctor` and the first
Controller say the same of a model, in the words of `ending`.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Generator, Iterable, Iterator
    from decimal import Decimal

SOON_DAYS = 180
"""A model that is shut down within so many days is told of."""
# Names that a Controller has been made with. What was looked at once is not looked at again.
_looked: set[str] = set()
_say: ContextVar[Callable[[str], object] | None] = ContextVar("ferroute_endings", default=None)


def today() -> dt.date:
    """The day it is, UTC. Tests put another one in its place."""
    import datetime as dt

    return dt.datetime.now(dt.timezone.utc).date()


class Ending(NamedTuple):
    """That a model is served no more, or not for long.

    Attributes:
        model: Its name, as it was asked for.
        shutdown: The first day without it.
        left: Days from today until then; 0 or less: it is gone.
        text: All of it in a sentence, with source and a suggestion.
        instead: A model of the same provider that lives longer; None where none is known.
    """

    model: str
    shutdown: dt.date
    left: int
    text: str
    instead: str | None

    @property
    def gone(self) -> bool:
        """Whether the day has come."""
        return self.left <= 0


def ending(model: str, shutdown: str | None = None, day: dt.date | None = None) -> Ending | None:
    """What there is to say of a model's end; None where it is not known to end within six months.

    Args:
        model: As a call names it.
        shutdown: The day, where the caller has looked it up; None: looked up.
        day: Today; None: `today`.
    """
    import datetime as dt

    if shutdown is None:
        from ferroute import _core

        facts = _core.pricing_facts(model)
        shutdown = None if facts is None else facts[3]
        if shutdown is None:
            return None
    day = today() if day is None else day
    last = dt.date.fromisoformat(shutdown)
    left = (last - day).days
    if left > SOON_DAYS:
        return None
    found = _instead(model, day)
    when = f"has shut it down on {last}" if left <= 0 else f"shuts it down on {last}, in {left} day{'s'[: left != 1]}"
    text = f"{model}: its provider {when} ({source()})"
    return Ending(model, last, left, text if found is None else f"{text}; {found[1]}", found and found[0])


def source() -> str:
    """Whose data the days are, and when they were read."""
    from ferroute import pricing

    return f"data of {pricing.version()}, read on {pricing.as_of()}"


def _instead(model: str, day: dt.date) -> tuple[str, str] | None:
    """Of the provider's models in ``data/tiers.json`` the dearest one that costs no more, else the cheapest; in words.

    A suggestion that raises the bill would be one too many; how good the model is, nobody can know from here.
    """
    from ferroute import _serving_preset

    rungs = _serving_preset.presets()["providers"].get(provider_of(model), {})
    priced = sorted((cost, name) for name in rungs.values() if name != model and (cost := _cost(name, day)) is not None)
    priced = [(cost, name) for cost, name in priced if _lives(name, day)]
    if not priced:
        return None
    now = _cost(model, day)
    within = [name for cost, name in priced if now is not None and cost <= now]
    name = within[-1] if within else priced[0][1]
    paid = "" if now is None else f"; now {_rates(model, day)}"
    return name, f"consider {name} ({_rates(name, day)} per 1M tokens{paid})"


def _lives(model: str, day: dt.date) -> bool:
    import datetime as dt

    from ferroute import _core

    facts = _core.pricing_facts(model)
    return facts is None or facts[3] is None or (dt.date.fromisoformat(facts[3]) - day).days > SOON_DAYS


def _cost(model: str, day: dt.date) -> Decimal | None:
    """An average question, as `ferroute.pricing.ratio` has it."""
    from ferroute import _core

    found = _core.pricing_cost([model], (1000, 500, 0, 0, 0, 0, 0, 0), None, str(day))
    return None if found is None else found[0]


def _rates(model: str, day: dt.date) -> str:
    from ferroute import _core

    each: list[str] = []
    for tokens in ((1000, 0, 0, 0, 0, 0, 0, 0), (0, 1000, 0, 0, 0, 0, 0, 0)):
        found = _core.pricing_cost([model], tokens, None, str(day))
        each.append("?" if found is None else f"${(found[0] * 1000).normalize():f}")
    return f"{each[0]} in, {each[1]} out"


def provider_of(model: str) -> str | None:
    """The provider a name leads to, such as ``openai``; None where that is not known."""
    client = _client(model)
    return None if client is None else client.provider


def is_local(model: str) -> bool:
    """Whether a name leads to a server on this machine, which as a rule asks for no key."""
    client = _client(model)
    return client is not None and client.base_url.startswith(("http://localhost", "http://127.0.0.1"))


def _client(model: str) -> Any:
    from ferroute import _core
    from ferroute.errors import FerrouteError

    try:
        # Nothing is called; whether there is a key is another question.
        return _core.Client(model, api_key="none")
    except FerrouteError:
        return None


def endings(models: Iterable[Any], api_base: str | None = None, day: dt.date | None = None) -> Iterator[Ending]:
    """Of models that a Controller is made with those that end, each name once a process.

    Only what is asked at its provider's own host: behind a base URL of the user's the name may stand for anything.
    """
    from ferroute.endpoints import settings_of

    for model in models:
        if model in _looked or not isinstance(model, str):
            continue
        own = settings_of(model)
        if own.get("api_base") or api_base:
            continue
        name = str(model)
        _looked.add(name)
        found = ending(own.get("base_model") or name, day=day)
        if found is None:
            continue
        client = _client(name)
        if client is None or client.at_home:
            yield found if found.model == name else found._replace(model=name, text=f"{name}: {found.text}")


@contextlib.contextmanager
def told_to(say: Callable[[str], object]) -> Generator[None]:
    """Within it `say` is told what would be warned of: programs have a place of their own for it."""
    held = _say.set(say)
    try:
        yield
    finally:
        _say.reset(held)


def warn(models: Iterable[Any], api_base: str | None = None) -> None:
    """Warns of each of `endings`, in the name of who called ferroute."""
    say = _say.get()
    for found in endings(models, api_base):
        if say is not None:
            say(found.text)
            continue
        import warnings

        from ferroute import _calls, pricing
        from ferroute.errors import RetiringModelWarning

        if found.gone:
            # Calls would say it a second time.
            pricing.said_shut_down(found.model)
        warnings.warn(found.text, RetiringModelWarning, stacklevel=_calls.stacklevel())
