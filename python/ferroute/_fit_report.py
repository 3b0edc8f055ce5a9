"""What a fit is worth: figures on held-out prompts, baselines beside them, and a verdict in words."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from ferroute._grid import text_table
from ferroute.errors import InvalidValueError
from ferroute.evals._figures import Estimate

if TYPE_CHECKING:
    from collections.abc import Mapping

LEVEL = 0.02
"""Shuffled labels are called better than random this often."""

SURE = 4.0
"""Standard errors that a router needs which cannot be fitted again on shuffled labels.

Held-out scores of different folds depend on each other: by chance alone their covariance with the labels has twice the
variance that the folds by themselves suggest, and a long upper tail. Four of those errors leave under 3 % in the worst
case, one direction of the features that carries everything.
"""


_NOTHING = Estimate(math.nan)


@dataclass(frozen=True, repr=False)
class Row:
    """A line of the report's table.

    Attributes:
        name: The router, or what it is compared with.
        apgr: Average performance gap recovered; 0.5 is random mixing. NaN where the strong model is not ahead: there is
            no gap.
        ahead: By how much the fitted router's APGR is ahead, on the same resamples (its ``auc`` where there is no
            gap); None for itself.
        share_at_95: Share of strong calls, 0..=1, at which 95 % of the strong model's score are reached.
        auc: Mean score over all shares of strong calls.
    """

    name: str
    apgr: Estimate
    ahead: Estimate | None
    share_at_95: Estimate
    auc: Estimate = _NOTHING


@dataclass(frozen=True, repr=False)
class FitReport:
    """Figures of a fitted router on prompts it was not fitted on (cross-validation), with intervals.

    Attributes:
        router: Its name.
        strong: The strong model of the pair that is routed between.
        weak: The weak model.
        n: Prompts that were fitted on.
        judged: Prompts with outcomes of both models of the pair: those the figures are of.
        folds: Parts of the cross-validation.
        groups: Groups of prompts that were held out together; None where none were given (equal prompts always are).
        means: Model -> mean of its known outcomes.
        apgr: Average performance gap recovered (Ong et al. 2024, arXiv:2406.18665) on held-out prompts, with ``.low``
            and ``.high``; NaN where no prompt has both outcomes, or the strong model is not ahead (there is no gap).
        gap: Mean outcome of the strong model less that of the weak one, on the prompts with both, with an interval.
        better_than_random: Whether the router tells prompts apart beyond chance, and scores more than random mixing of
            the same cost does: True for shuffled labels in about 2 % of cases at most.
        p_value: Share of 199 shuffles of the labels and the labels themselves that are predicted as well, each fitted
            and cross-validated again, the larger one of two ways to shuffle (``docs/fit.md``); None where that is not
            done (neighbours, an estimator of yours).
        z: Where there is no ``p_value``: standard errors of the held-out covariance; `SURE` of them are asked for.
        confidence: Of the intervals, inside of 0..1.
        table: The router, what it is compared with, and the paired differences.
        notes: What else should be known, in words.
        comparison: The curves behind the figures (`ferroute.evals`), for `plot`; None in a router read from a file.
    """

    router: str
    strong: str
    weak: str
    n: int
    judged: int
    folds: int
    groups: int | None
    means: Mapping[str, float]
    apgr: Estimate
    better_than_random: bool
    p_value: float | None
    z: float | None
    confidence: float
    table: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    comparison: Any = field(default=None, compare=False)
    gap: Estimate = _NOTHING

    @property
    def interval(self) -> tuple[float, float] | None:
        """Paired bootstrap interval of `apgr`; None without resamples."""
        return self.apgr.interval

    @property
    def best_single(self) -> tuple[str, float]:
        """The model with the highest mean outcome, and that mean."""
        best = max(self.means, key=lambda name: self.means[name])
        return best, self.means[best]

    @property
    def verdict(self) -> str:
        """Whether the router is worth its place, in one sentence."""
        chance = "" if self.p_value is None else f" (p = {self.p_value:.3g})"
        if not self.judged:
            return "Not judged: no prompt has outcomes of both models, so nothing can be held against random mixing."
        if not self.better_than_random:
            said = f"No better than random mixing on held-out prompts{chance}: more or other labels are needed."
        else:
            said = f"Better than random mixing on held-out prompts{chance}."
        if self.gap <= 0:
            return f"{self.weak} scores at least as well as {self.strong} on average: send everything there. {said}"
        return said

    def rows(self) -> list[dict[str, Any]]:
        """The table as plain numbers: ``name``; ``apgr``, ``ahead``, ``share_at_95``, ``auc``, each with its ends.

        ``ahead`` is the fitted router's lead over the row, in the outcomes' unit or APGR; ``share_at_95`` the share of
        strong calls, 0..=1, at 95 % of the strong model's mean. What is not finite is None.
        """
        found: list[dict[str, Any]] = []
        for row in self.table:
            record: dict[str, Any] = {"name": row.name}
            for name in ("apgr", "ahead", "share_at_95", "auc"):
                value: Estimate | None = getattr(row, name)
                record |= {name: _plain(value), f"{name}_interval": None if value is None else _plain_ends(value)}
            found.append(record)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Everything but the curves, as JSON can hold it; the router's card has it."""
        return {
            "router": self.router,
            "strong": self.strong,
            "weak": self.weak,
            "n": self.n,
            "judged": self.judged,
            "folds": self.folds,
            "groups": self.groups,
            "means": dict(self.means),
            "apgr": _plain(self.apgr),
            "interval": _plain_ends(self.apgr),
            "gap": _plain(self.gap),
            "gap_interval": _plain_ends(self.gap),
            "better_than_random": self.better_than_random,
            "p_value": self.p_value,
            "z": None if self.z is None or not math.isfinite(self.z) else self.z,
            "confidence": self.confidence,
            "table": self.rows(),
            "notes": list(self.notes),
            "verdict": self.verdict,
        }

    @classmethod
    def from_dict(cls, found: Any) -> FitReport:
        """The opposite of `as_dict`; the curves are not in it.

        Args:
            found: What `as_dict` gave, or JSON that holds the same.

        Raises:
            InvalidValueError: It is something else.
        """
        try:
            rows = tuple(_row(record) for record in found["table"])
            means = {str(name): float(mean) for name, mean in found["means"].items()}
            return cls(
                router=str(found["router"]),
                strong=str(found["strong"]),
                weak=str(found["weak"]),
                n=int(found["n"]),
                judged=int(found["judged"]),
                folds=int(found["folds"]),
                groups=None if found["groups"] is None else int(found["groups"]),
                means=means,
                apgr=_estimate(found["apgr"], found["interval"]),
                gap=_estimate(found.get("gap"), found.get("gap_interval")),
                better_than_random=bool(found["better_than_random"]),
                p_value=_number(found["p_value"]),
                z=_number(found["z"]),
                confidence=float(found["confidence"]),
                table=rows,
                notes=tuple(str(note) for note in found["notes"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidValueError(f"the card's report is damaged: {error!r:.120}") from None

    def plot(self, kind: str = "quality", ax: Any = None) -> Any:
        """Draws the mean score against the share of strong calls (``"quality"``), or against dollars (``"cost"``).

        Args:
            kind: ``"quality"`` or ``"cost"``.
            ax: Axes to draw on; None: a figure of its own.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            InvalidValueError: There is no such picture, or there are no costs; or the router was read from a file,
                which keeps figures and no curves.
            NotBuiltError: matplotlib is not installed.
        """
        if self.comparison is None:
            raise InvalidValueError("a report read from a file has figures and no curves: plot after fitting")
        return self.comparison.plot(kind, ax)

    def _grid(self) -> tuple[list[str], list[list[str]]]:
        has_gap = not self.gap <= 0
        head = ["", "APGR" if has_gap else "mean score", "fitted router ahead by", "strong calls for 95 %"]
        body: list[list[str]] = []
        for row in self.table:
            share = Estimate(
                100 * row.share_at_95, *(None if end is None else 100 * end for end in _ends(row.share_at_95))
            )
            ahead = "" if row.ahead is None else _signed(row.ahead)
            body.append([row.name, (row.apgr if has_gap else row.auc).show(".3f"), ahead, share.show(".0f", "%")])
        return head, body

    def _about(self) -> str:
        means = ", ".join(f"{name} {mean:.3g}" for name, mean in list(self.means.items())[:6])
        more = f" and {len(self.means) - 6} more" if len(self.means) > 6 else ""
        grouped = "" if self.groups is None else f" by {self.groups:,} groups"
        return (
            f"{self.n:,} prompts, {self.judged:,} with both outcomes; {self.folds}-fold cross-validation{grouped}; "
            f"in brackets {self.confidence:.0%} intervals; mean outcomes: {means}{more}"
        )

    def __repr__(self) -> str:
        head, body = self._grid()
        lines = [f"Fit of {self.router!r}: {self.strong} (strong) and {self.weak} (weak)", self.verdict, ""]
        lines += [text_table(head, body), "", self._about(), *(f"Note: {note}" for note in self.notes)]
        return "\n".join(lines)

    def to_html(self) -> str:
        """The report as a piece of HTML, without scripts, as a notebook shows it."""
        from ferroute import _notebook

        titles, rows = self._grid()
        return _notebook.frame(
            _notebook.head(f"{self.router}: {self.strong} (strong) and {self.weak} (weak)"),
            f"<div>{html.escape(self.verdict)}</div>",
            _notebook.table(titles, rows),
            _notebook.note(self._about()),
            _notebook.items(self.notes),
        )

    def _repr_html_(self) -> str:
        return self.to_html()


def _plain(value: float | None) -> float | None:
    """A number as JSON can hold it: where there is no gap between the models, figures are infinite or none."""
    return None if value is None or not math.isfinite(value) else float(value)


def _plain_ends(value: Estimate) -> tuple[float, float] | None:
    ends = value.interval
    return ends if ends is not None and all(math.isfinite(end) for end in ends) else None


def _signed(value: Estimate) -> str:
    """A difference with its interval; " to " between the ends, since both have signs."""
    if not math.isfinite(value):
        return "-"
    return f"{float(value):+.3f}" + ("" if value.interval is None else " ({:+.3f} to {:+.3f})".format(*value.interval))


def _ends(value: Estimate) -> tuple[float | None, float | None]:
    return value.low, value.high


def _row(record: Any) -> Row:
    def one(name: str) -> Estimate:
        return _estimate(record[name], record[f"{name}_interval"])

    ahead = None if record["ahead"] is None else one("ahead")
    auc = _estimate(record.get("auc"), record.get("auc_interval"))
    return Row(str(record["name"]), one("apgr"), ahead, one("share_at_95"), auc)


def _estimate(value: Any, interval: Any) -> Estimate:
    if value is None:
        return Estimate(math.nan)
    if interval is None:
        return Estimate(float(value))
    low, high = cast("tuple[Any, Any]", interval)
    return Estimate(float(value), float(low), float(high))


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
