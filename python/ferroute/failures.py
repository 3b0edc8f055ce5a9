"""Answers that can be seen to have failed, without labels: by rung and kind of task.

Every answer that is entered in a ledger is looked at: whether it is empty, refuses, was cut, breaks the JSON or the
schema that was asked for, or calls a tool with bad arguments; and whether its user then asked nearly the same again.
What a call was about is known where the caller says so (``ferroute={"task": ...}``).

Example:
    >>> from ferroute.ledger import Ledger
    >>> book = Ledger()
    >>> book.add("gpt-5.4-mini", tier="cheap", task="coding", signs=["truncated"])
    >>> book.add("gpt-5.4-mini", tier="cheap", task="coding", signs=[])
    >>> book.failures().rate
    0.5
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ferroute._grid import text_table
from ferroute._moments import microseconds
from ferroute.errors import InvalidValueError, NotBuiltError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from matplotlib.axes import Axes

    from ferroute._moments import When
    from ferroute.spend import Ledger

__all__ = ["SIGNS", "Failures", "Group", "failures"]

SIGNS = ("empty", "refusal", "truncated", "invalid_json", "invalid_schema", "bad_tool_arguments", "asked_again")
"""By what an answer can be seen to have failed."""
UNKNOWN = "unknown"
"""The kind of task where no caller has told it."""

_TITLES = ("rung", "task", "calls", "failed", "rate", "95 %")
_COLUMNS = ("rung", "model", "task", "calls", "failed", "rate", "low", "high", "escalated", "errors", *SIGNS)


@dataclass(frozen=True)
class Group:
    """The answers of one rung, or one model where there are no rungs, to one kind of task.

    Attributes:
        tier: Name of the rung; None where the Controller has two models.
        model: The model; of a rung, the one called most.
        task: Kind of task, ``"unknown"`` where no caller has told it.
        calls: Answers that were looked at.
        failed: Of these, with a sign of failure; those that a callable of ``escalate_on`` did not take are among them.
        low: Lower end of the rate's 95 % interval (Clopper and Pearson 1934), 0..=1.
        high: Upper end.
        escalated: Of ``failed``, those after which the next rung was asked.
        errors: Calls without an answer from the provider, which are not among ``calls``.
        signs: Answers by sign; one answer may show several.
    """

    tier: str | None
    model: str
    task: str
    calls: int
    failed: int
    low: float
    high: float
    escalated: int
    errors: int
    signs: Mapping[str, int]

    @property
    def rung(self) -> str:
        """What it is called: the rung, else the model."""
        return self.model if self.tier is None else self.tier

    @property
    def rate(self) -> float | None:
        """The part of ``calls`` that failed, 0..=1; None without any."""
        return self.failed / self.calls if self.calls else None


@dataclass(frozen=True, repr=False)
class Failures:
    """What failed; made by `failures`, `Ledger.failures` and ``Controller.failures``.

    Attributes:
        groups: One for each rung and kind of task, those with most failures first.
        forgotten: Calls that are no longer in memory, and were not looked at.
    """

    groups: tuple[Group, ...] = ()
    forgotten: int = 0

    @property
    def calls(self) -> int:
        """Answers that were looked at."""
        return sum(group.calls for group in self.groups)

    @property
    def failed(self) -> int:
        """Of these, with a sign of failure."""
        return sum(group.failed for group in self.groups)

    @property
    def rate(self) -> float | None:
        """The part that failed, 0..=1; None without any answers."""
        return self.failed / self.calls if self.calls else None

    @property
    def signs(self) -> dict[str, int]:
        """Answers by sign, those that were seen."""
        sums = {sign: sum(group.signs[sign] for group in self.groups) for sign in SIGNS}
        return {sign: count for sign, count in sums.items() if count}

    def rows(self) -> list[dict[str, Any]]:
        """One dict a group: names, counts, ``rate`` with its interval, and a count for each sign."""
        return [
            {
                "rung": group.rung,
                **{name: getattr(group, name) for name in _COLUMNS[1:10]},
                **{sign: group.signs[sign] for sign in SIGNS},
            }
            for group in self.groups
        ]

    def to_dataframe(self, *, frame: str = "pandas") -> Any:
        """One row a group, as `rows` gives them.

        Args:
            frame: ``"pandas"`` or ``"polars"``, which must be installed.

        Raises:
            InvalidValueError: It is another kind of frame.
            NotBuiltError: That package is not installed.
        """
        if frame not in {"pandas", "polars"}:
            raise InvalidValueError(f"frame: expected pandas or polars, found {frame}")
        import importlib

        try:
            library = importlib.import_module(frame)
        except ImportError:
            raise NotBuiltError(f"this needs {frame}, which is not installed: pip install {frame}") from None
        rows = self.rows()
        return library.DataFrame({name: [row[name] for row in rows] for name in _COLUMNS})

    def as_dict(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        sums = {"calls": self.calls, "failed": self.failed, "rate": self.rate, "signs": self.signs}
        return {**sums, "groups": self.rows(), "forgotten": self.forgotten}

    def plot(self, *, ax: Axes | None = None, title: str | None = None) -> Axes:
        """Draws each group's rate of failures as a bar with its interval.

        Args:
            ax: Axes to draw on; None: new ones.
            title: Title; None: one with the number of answers and failures.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute import _failures_picture

        return _failures_picture.draw(self.groups, title or self._headline(), ax)

    def save_plot(self, path: str | PathLike[str], *, title: str | None = None) -> None:
        """Writes the picture of `plot` to a file, whose extension says the format; needs no display.

        Args:
            path: The file, such as ``picture.png``.
            title: Title; None: one that says what is drawn.

        Raises:
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute import _failures_picture

        _failures_picture.save(path, self.groups, title or self._headline())

    def notes(self) -> list[str]:
        """What a reader of the numbers should know."""
        out: list[str] = []
        if errors := sum(group.errors for group in self.groups):
            out.append(f"{errors:,} calls got no answer at all, and are not counted here")
        if self.forgotten:
            out.append(f"memory keeps the last calls only: {self.forgotten:,} older ones were not looked at")
        return out

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Titles and lines as a reader wants them; of the signs, those that were seen."""
        seen = tuple(self.signs)
        escalated = any(group.escalated for group in self.groups)
        lines = [
            (
                group.rung,
                group.task,
                f"{group.calls:,}",
                f"{group.failed:,}",
                "-" if group.rate is None else f"{group.rate:.1%}",
                "-" if group.rate is None else f"{group.low:.1%} to {group.high:.1%}",
                *((f"{group.escalated:,}",) if escalated else ()),
                *(f"{group.signs[sign]:,}" for sign in seen),
            )
            for group in self.groups
        ]
        return (*_TITLES, *(("escalated",) if escalated else ()), *seen), lines

    def _headline(self) -> str:
        rate = "" if self.rate is None else f" ({self.rate:.1%})"
        return f"Failures: {self.failed:,} of {self.calls:,} answers{rate}"

    def __repr__(self) -> str:
        if not self.groups:
            return self._headline()
        return "\n".join([self._headline(), text_table(*self.table()), *(f"note: {text}" for text in self.notes())])

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        from ferroute import _notebook

        table = _notebook.table(*self.table()) if self.groups else ""
        notes = (_notebook.note(f"note: {text}") for text in self.notes())
        return _notebook.frame(_notebook.head(self._headline()), table, *notes)


def failures(
    ledger: Ledger,
    *,
    since: When | None = None,
    until: When | None = None,
    router: str | None = None,
    model: str | None = None,
) -> Failures:
    """The answers of a ledger that show a sign of failure, those not yet written included.

    Args:
        ledger: An open `ferroute.ledger.Ledger`. One in memory knows the last 10,000 calls.
        since: From here on, as in `ferroute.spend.spend`.
        until: Before here.
        router: Calls decided by this router.
        model: Calls of this model, under the caller's name for it.

    Raises:
        InvalidValueError: A time is none.
        UnreadableFileError: The store cannot be read.
    """
    wanted = microseconds("since", since), microseconds("until", until), router, model
    found, forgotten = ledger.core.failures(wanted)
    return Failures(tuple(map(_group, found)), forgotten)


def _group(line: Mapping[str, Any]) -> Group:
    low, high = line["interval"]
    counts = {name: line[name] for name in ("tier", "model", "calls", "failed", "escalated", "errors")}
    signs = MappingProxyType(dict(line["signs"]))
    return Group(**counts, task=line["task"] or UNKNOWN, low=low, high=high, signs=signs)
