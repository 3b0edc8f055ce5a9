"""What a request is routed with: a pair of models, and shares in the place of thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute.endpoints import endpoint

if TYPE_CHECKING:
    from typing_extensions import Self


@dataclass
class ModelPair:
    """The two models routed between: names, or mappings such as ``{"model": ..., "api_base": ..., "api_key": ...}``.

    A mapping becomes an `ferroute.endpoints.Endpoint`, a name that carries its settings. Both may be assigned at any
    time.
    """

    strong: str
    weak: str

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, endpoint(value, name) if isinstance(value, Mapping) else value)


class Share(float):
    """A share of strong calls, 0..=1, in the place of a threshold: ``Share(0.3)`` is ``router-...-30%``.

    The router's score is ranked among the last 1,000 of the same Controller, and the highest 30 % go to the strong
    model, whatever the scores look like. Use it where a fixed threshold cannot know the traffic. With a calibration
    table for the router (see `ferroute.calibrate`) it stands for the table's fixed threshold instead.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return f"Share({float(self)!r})"

    def __str__(self) -> str:
        return _core.percent(self)

    __format__ = object.__format__  # f"{share}" shows 30%, as the model string does


class Held(float):
    """A threshold that is held by a ramp, a watch or a certificate (see `ferroute.rollout`).

    Attributes:
        by: Who holds it, in a few words.
        note: What a caller should know where it is not as planned.
    """

    __slots__ = ("by", "note")

    by: str
    note: str | None

    def __new__(cls, threshold: float, by: str, note: str | None = None) -> Self:
        """The threshold in force; 0 is always strong, infinity always weak."""
        made = super().__new__(cls, threshold)
        made.by, made.note = by, note
        return made


class Shares(tuple[float, ...]):
    """Shares of the traffic for the steps of a ladder: ``Shares(0.6, 0.15)`` is ``router-...-60%,15%``.

    The first is the part of the calls above the lowest rung, the last the part on the top, so they do not rise. Each
    follows the rule of `Share`.
    """

    __slots__ = ()

    def __new__(cls, *shares: float) -> Self:
        """One share for each step, 0..=1."""
        return super().__new__(cls, map(float, shares))

    def __getnewargs__(self) -> tuple[float, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return f"Shares({', '.join(map(repr, self))})"

    def __str__(self) -> str:
        return _core.percents(list(self))


# Where everybody imports them from, and where pickles look.
for _cls in (ModelPair, Share, Shares):
    _cls.__module__ = "ferroute.decision"
