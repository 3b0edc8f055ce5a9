"""How the figures of an audit are written, in the terminal, the page and `repr` alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ferroute._one_line import one_line

if TYPE_CHECKING:
    from decimal import Decimal

    class Forecast(Protocol):
        """What is said of a saving."""

        @property
        def move(self) -> float: ...
        @property
        def estimate(self) -> float | None: ...
        @property
        def interval(self) -> tuple[float, float] | None: ...
        @property
        def confidence(self) -> float: ...
        @property
        def why(self) -> str | None: ...


def dollars(value: Decimal | float | None) -> str:
    """Dollars with cents, or with three digits that say something where that is less."""
    if value is None:
        return "unknown"
    from ferroute._spend_text import amount

    return amount(value)


def range_of(ends: tuple[float, float] | None) -> str:
    """An interval of dollars."""
    return "-" if ends is None else f"{dollars(ends[0])} to {dollars(ends[1])}"


def several(count: int, word: str) -> str:
    """A count with its word, in the plural but for one."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def percent(value: float | None) -> str:
    """A share, with one digit below 10 %."""
    if value is None:
        return "-"
    return f"{value:.1%}" if abs(value) < 0.0995 else f"{value:.0%}"


def percents(ends: tuple[float, float] | None) -> str:
    """An interval of shares."""
    return "-" if ends is None else f"{percent(ends[0])} to {percent(ends[1])}"


def beginning(text: str, most: int = 240) -> str:
    """The beginning of a text on one line, without control characters that a terminal would obey."""
    return " ".join(one_line(text[: most * 4]).split())[:most]


def saving_line(saving: Forecast) -> str:
    """A saving in a line."""
    if saving.estimate is None:
        return f"not known: {saving.why}"
    text = f"{dollars(saving.estimate)} less spent with {percent(saving.move)} moved"
    if saving.interval is None:
        return f"{text} ({saving.why})"
    return f"{text} ({percent(saving.confidence)} interval {range_of(saving.interval)})"
