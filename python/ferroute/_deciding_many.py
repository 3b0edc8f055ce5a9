"""Decisions on many prompts: each router scores all of its prompts together; the choices are those of one by one."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from ferroute import _notes
from ferroute._deciding import Deciding, number_of, verdict_of
from ferroute._grammar import names_rung
from ferroute._trace import Asked, Trace
from ferroute.routers.base import routes_by_itself

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferroute.decision import Decision


class _OneByOne(Exception):
    """The prompts have to be decided one by one."""


class _Row:
    """One prompt on its way.

    Attributes:
        trace: Of the decision.
        at: The part of it that the router in turn fills: its own, or that of the router it was left to.
        notes: Remarks and costs.
        fields: What the decision says, once the router in turn has spoken.
    """

    __slots__ = ("at", "fields", "notes", "trace")

    def __init__(self, trace: Trace) -> None:
        self.trace = self.at = trace
        self.notes = _notes.Remarks()
        self.fields: dict[str, Any] = {}


class DecidingMany(Deciding):
    """`Deciding`, for many prompts too."""

    def _decide_many(
        self, prompts: list[Any], name: str, threshold: Any, advance: Callable[[int], object]
    ) -> list[Decision]:
        start = perf_counter_ns()
        policy, rungs = self._policy_in_force(), self._rungs()
        rows = [_Row(Trace(Asked(prompt, policy), rungs)) for prompt in prompts]
        try:
            self._words(rows, name, threshold, advance)
        except _OneByOne:
            made: list[Decision] = []
            for row in rows:
                made.append(self._decide(row.trace.asked, name, threshold, enters_window=False))
                advance(1)
            return made
        # Each took its part of the time.
        each = (perf_counter_ns() - start) // max(len(rows), 1)
        return [self._made(row.trace, row.fields, row.notes, perf_counter_ns() - each) for row in rows]

    def _words(
        self,
        rows: list[_Row],
        name: str,
        threshold: Any,
        advance: Callable[[int], object],
        trail: tuple[str, ...] = (),
    ) -> None:
        """As `_word`, for all rows."""
        router = self.routers[name]
        naming = names_rung(router)
        for row in rows:
            row.at.router, row.at.name, row.at.given = router, name, threshold
        left: dict[tuple[str, Any], list[_Row]] = {}
        for row, said in zip(rows, self._said(rows, router, name, naming, advance), strict=True):
            if not naming:
                row.fields = self._placed(row.at, said, threshold, row.notes, False)
                continue
            fields = self._named(row.at, said, row.notes)
            if fields is not None:
                row.fields = fields
                continue
            left.setdefault(self._other(row.at, threshold, (*trail, name)), []).append(row)
        for (other, asked_of), group in left.items():
            outer = [row.at for row in group]
            for row, trace in zip(group, outer, strict=True):
                row.at = trace.other = trace.of_another()
            self._words(group, other, asked_of, lambda _: None, (*trail, name))
            for row, trace in zip(group, outer, strict=True):
                self._joined(trace, row.at, row.fields)
                row.at = trace

    def _said(
        self, rows: list[_Row], router: Any, name: str, naming: bool, advance: Callable[[int], object]
    ) -> list[Any]:
        """Win rates or verdicts, with what was remarked and paid on the way shared among the rows."""
        if routes_by_itself(router):
            raise _OneByOne
        from ferroute._batch import score_texts

        remarks = _notes.Remarks()
        token = _notes.collector.set(remarks)
        texts = [row.trace.asked.text for row in rows]
        try:
            if naming:
                said: list[Any] = [verdict_of(one, name) for one in router.choose_batch(texts, advance)]
            else:
                said = [number_of(rate) for rate in score_texts(router, texts, advance).tolist()]
        except Exception:
            if self._policy_in_force().on_router_error == "raise":
                raise
            raise _OneByOne from None
        finally:
            _notes.collector.reset(token)
        for row in rows:
            row.notes.extend(remarks)
            row.notes.unpriced |= remarks.unpriced
            if remarks.cost is not None:
                row.notes.cost = remarks.cost / len(rows) + (row.notes.cost or 0)
        return said
