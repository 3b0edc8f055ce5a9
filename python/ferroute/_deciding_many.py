"""Decisions on many prompts: each router scores all of its prompts together; the choices are those of one by one."""

from __future__ import annotations

from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from ferroute import _notes
from ferroute._deciding import Deciding, number_of, verdict_of
from ferroute._extras import NONE
from ferroute._grammar import names_rung
from ferroute._refusals import RoutingError
from ferroute._trace import Asked, Trace
from ferroute.errors import FerrouteError
from ferroute.routers.base import Router, RungRouter, check_text, routes_by_itself

if TYPE_CHECKING:
    from collections.abc import Callable

    from ferroute.decision import Decision


class _OneByOne(Exception):
    """The prompts have to be decided one by one."""


class _Row:
    """One prompt on its way.

    Attributes:
        index: Its place among the prompts.
        trace: Of the decision.
        at: The part of it that the router in turn fills: its own, or that of the router it was left to.
        notes: Remarks and costs.
        fields: What the decision says, once the router in turn has spoken.
    """

    __slots__ = ("at", "fields", "index", "notes", "trace")

    def __init__(self, index: int, trace: Trace) -> None:
        self.index = index
        self.trace = self.at = trace
        self.notes = _notes.Remarks()
        self.fields: dict[str, Any] = {}

    def __enter__(self) -> None:
        """Errors of ours that come up from here on say which prompt it is."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (RoutingError, FerrouteError)) and error.args and type(error.args[0]) is str:
            said, here = error.args[0], f"prompt {self.index}"
            if not said.startswith(here):
                error.args = (f"{here}: {said}", *error.args[1:])


class DecidingMany(Deciding):
    """`Deciding`, for many prompts too."""

    def _decide_many(
        self, requests: list[Asked], name: str, threshold: Any, advance: Callable[[int], object]
    ) -> list[Decision]:
        start = perf_counter_ns()
        rungs = self._rungs()
        rows = [_Row(index, Trace(asked, rungs)) for index, asked in enumerate(requests)]
        try:
            return self._all_made(rows, name, threshold, advance, start)
        except Exception as error:
            _notes.paid_on(error, *(row.notes for row in rows))
            raise

    def _all_made(
        self, rows: list[_Row], name: str, threshold: Any, advance: Callable[[int], object], start: int
    ) -> list[Decision]:
        made: list[Decision] = []
        try:
            for row in rows:
                row.trace.found = self._found(row.trace)
            self._words(rows, name, threshold, advance)
        except _OneByOne:
            for row in rows:
                # What was paid in vain counts on.
                row.notes = row.notes.only_paid()
            for row in rows:
                with row:
                    asked, notes = row.trace.asked, row.notes
                    made.append(self._decide(asked, name, threshold, enters_window=False, notes=notes))
                advance(1)
            return made
        # Each took its part of the time.
        each = (perf_counter_ns() - start) // max(len(rows), 1)
        for row in rows:
            with row:
                made.append(self._made(row.trace, row.fields, row.notes, perf_counter_ns() - each))
        return made

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
            with row:
                if isinstance(said, Exception):
                    row.fields = self._stood_in(row, said, name, threshold, trail)
                    continue
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
        """Win rates or verdicts, with what was remarked and paid on the way shared among the rows.

        A router without a way for many is asked one by one; where it fails, the error takes the place of its word.
        """
        if routes_by_itself(router):
            raise _OneByOne
        if not (naming and router.names_models):
            for row in rows:
                with row:
                    self._refuse(row.at)
        # `choose_batch` is given texts alone.
        asked = [row.trace.asked for row in rows]
        is_more = naming and any(_has_more(one) and not router.text_is_all(one.request) for one in asked)
        if is_more or _has_no_way_for_many(router, naming):
            return [self._said_of(row, router, name, naming, advance) for row in rows]
        from ferroute._batch import score_texts

        remarks = _notes.Remarks()
        token = _notes.collector.set(remarks)
        try:
            texts = [_last_text(one) if naming else one.text for one in asked]
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

    def _said_of(self, row: _Row, router: Any, name: str, naming: bool, advance: Callable[[int], object]) -> Any:
        said: Any
        token = _notes.collector.set(row.notes)
        asked = row.trace.asked
        try:
            with row:
                if naming:
                    if not isinstance(asked.messages, (list, tuple)):
                        check_text(asked.messages, row.index)
                    said = verdict_of(router.choose(asked.request), name)
                else:
                    said = number_of(router.calculate_strong_win_rate(asked.text))
        except RoutingError:
            raise
        except Exception as error:
            if row.at.failed is not None or self._policy_in_force().on_router_error == "raise":
                raise
            said = error
        finally:
            _notes.collector.reset(token)
        advance(1)
        return said

    def _stood_in(
        self, row: _Row, error: Exception, name: str, threshold: Any, trail: tuple[str, ...]
    ) -> dict[str, Any]:
        """As `_instead`, with what that costs."""
        token = _notes.collector.set(row.notes)
        try:
            return self._instead(error, row.at, name, threshold, row.notes, False, trail)
        finally:
            _notes.collector.reset(token)


def _has_no_way_for_many(router: Any, naming: bool) -> bool:
    if naming:
        own, base = getattr(router, "choose_batch", None), RungRouter.choose_batch
    else:
        own, base = getattr(router, "calculate_strong_win_rates", None), Router.calculate_strong_win_rates
    return own is None or getattr(own, "__func__", None) is base


def _has_more(asked: Asked) -> bool:
    """Whether a request is more than a prompt."""
    return asked.keywords is not None or asked.extras != NONE or not isinstance(asked.messages, str)


def _last_text(asked: Asked) -> Any:
    """The text that a router which names a rung reads; what is no request is told by the router itself."""
    return asked.request.text if isinstance(asked.messages, (list, tuple)) else asked.text
