"""How well semantic routes do on labelled prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ferroute.errors import UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True)
class RouteReport:
    """One route, or "none".

    Attributes:
        route: Its name; None for "none".
        threshold: The similarity it needs; None for "none".
        n: Prompts labelled with it.
        precision: Of the prompts sent there the part that belongs there, 0..=1; None where none was sent.
        recall: Of its prompts the part that was sent there, 0..=1; None where it has none.
        f1: Harmonic mean of the two, 0..=1; None where it has neither.
    """

    route: str | None
    threshold: float | None
    n: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, repr=False)
class SemanticReport:
    """Each route, then "none".

    Attributes:
        routes: One entry a route, in their order, and "none" last.
        n: Prompts.
        accuracy: The part that was sent where it belongs, or nowhere where it belongs nowhere, 0..=1; None without
            prompts.
        mean_f1: Mean F1 over the routes that have prompts, and "none".
    """

    routes: tuple[RouteReport, ...]
    n: int
    accuracy: float | None
    mean_f1: float | None

    def __getitem__(self, route: str | None) -> RouteReport:
        for entry in self.routes:
            if entry.route == route:
                return entry
        known = ", ".join(str(entry.route) for entry in self.routes)
        raise UnknownNameError(f"no route {route!r}; there are {known}")

    def __repr__(self) -> str:
        rows = [_HEAD, *map(_cells, self.routes)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) if at else cell.ljust(width) for at, (cell, width) in enumerate(pairs))
            for pairs in (list(zip(row, widths, strict=True)) for row in rows)
        ]
        return "\n".join([*lines, self._summary()])

    def _summary(self) -> str:
        return f"{self.n} prompts, accuracy {_shown(self.accuracy)}, mean F1 {_shown(self.mean_f1)}"

    def _repr_html_(self) -> str:
        from ferroute import _notebook

        rows = [_cells(entry) for entry in self.routes]
        return _notebook.frame(_notebook.table(_HEAD, rows), _notebook.note(self._summary()))


_HEAD = ["route", "threshold", "n", "precision", "recall", "F1"]


def _shown(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"


def _cells(entry: RouteReport) -> list[str]:
    name = "(none)" if entry.route is None else entry.route
    return [name, _shown(entry.threshold), str(entry.n), *map(_shown, (entry.precision, entry.recall, entry.f1))]


def report(
    routes: Iterable[str], thresholds: Sequence[float], judged: Sequence[tuple[int, int, int]]
) -> SemanticReport:
    """From the core's counts: examples, prompts sent there, right ones.

    Args:
        routes: Names of the routes.
        thresholds: That of each route.
        judged: Of each route, and of none: examples, prompts sent there, right ones.
    """
    entries = [
        RouteReport(
            route,
            threshold,
            examples,
            right / sent if sent else None,
            right / examples if examples else None,
            2 * right / (examples + sent) if examples + sent else None,
        )
        for (route, threshold), (examples, sent, right) in zip(
            (*zip(routes, thresholds, strict=True), (None, None)), judged, strict=True
        )
    ]
    n = sum(examples for examples, _, _ in judged)
    labelled = [entry.f1 for entry in entries if entry.n and entry.f1 is not None]
    return SemanticReport(
        tuple(entries),
        n,
        sum(right for _, _, right in judged) / n if n else None,
        sum(labelled) / len(labelled) if labelled else None,
    )
