"""The book of calls: what each one cost, how long it took and where it was sent.

A Controller keeps one in memory unless it is given another: ``Controller(..., ledger="sqlite:///calls.db")``. Calls are
written by a thread of their own, at the latest some hundredths of a second after they end; `Ledger.spend` knows them at
once.

Example:
    >>> book = Ledger("memory:")
    >>> book.add("gpt-5.4-mini", prompt_tokens=1000, completion_tokens=500, cost="0.00125")
    >>> book.spend().total
    Decimal('0.00125')
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute.errors import FerrouteError, InvalidTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from typing import TypeAlias

    from typing_extensions import Self

    from ferroute._moments import When
    from ferroute.failures import Failures
    from ferroute.spend import Spend

    Dollars: TypeAlias = Decimal | int | float | str

__all__ = ["Ledger", "open"]

_LAST_WAIT = 2.0
"""Seconds that a program waits for its last calls when it ends."""


class Ledger:
    """A book of calls. Usable from any thread; a forked child writes into the same store on its own.

    It pickles by its URL: what is in memory stays behind.

    Args:
        url: ``memory:`` (all sums and the last 10,000 calls), ``sqlite:///calls.db`` (a relative path; four slashes
            before an absolute one, or three where its folder is there), ``postgresql://user:password@host/database``,
            or the path of an SQLite file as it is (``calls.db``, ``/var/calls.db``). Tables are made where they are
            missing.
        store: What is kept of the text that was routed on: ``"none"``; ``"features"``, 149 bytes of numbers from which
            routers can be fitted, and which are not anonymous; ``"text"``, the features and the text itself.
        create: Whether a missing SQLite file is made.

    Raises:
        InvalidValueError: It has another form; a word without a folder or an ending is not taken for a path.
        MissingFileError: There is no such file, with ``create=False``.
        UnreadableFileError: The store cannot be opened.
    """

    def __init__(
        self, url: str | os.PathLike[str] = "memory:", *, store: str = "features", create: bool = True
    ) -> None:
        _watch()
        url = _url(url)
        self.core = _core.Ledger(url, store, create)
        """What `_core.Client` enters calls in."""
        self._arguments = (url, store, create)

    @property
    def url(self) -> str:
        """Where it is kept, without the password."""
        return self.core.url

    @property
    def in_memory(self) -> bool:
        """Whether it ends with the process."""
        return self.core.in_memory

    @property
    def lost(self) -> int:
        """Calls and outcomes that could not be kept: the store refused them, or too many had to wait for it."""
        return self.core.lost

    def add(
        self,
        model: str,
        *,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        cached_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        estimated: bool = False,
        cost: Dollars | None = None,
        router_cost: Dollars | None = None,
        baseline: Dollars | None = None,
        ttft_ms: float | None = None,
        total_ms: float = 0.0,
        outcome: str = "ok",
        error: str | None = None,
        attempts: int = 1,
        router: str | None = None,
        requested: str | None = None,
        tier: str | None = None,
        win_rate: float | None = None,
        threshold: float | None = None,
        holdout: bool = False,
        session: str | None = None,
        key: str | None = None,
        text: str | None = None,
        at: float | None = None,
        task: str | None = None,
        tags: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        signs: Sequence[str] | None = None,
        response: str | None = None,
    ) -> None:
        """Enters a call that was made elsewhere. Calls of ferroute's own are entered by themselves.

        Args:
            model: The model called.
            prompt_tokens: The whole prompt, cached and written tokens included.
            completion_tokens: The whole completion, reasoning included.
            cached_tokens: Read from the provider's cache.
            cache_write_tokens: Written to it.
            reasoning_tokens: Hidden reasoning.
            estimated: The tokens are an estimate.
            cost: US dollars; None: unpriced.
            router_cost: US dollars that choosing the model cost; None: unknown.
            baseline: US dollars the same call would have cost at the strong model.
            ttft_ms: Milliseconds until the first content.
            total_ms: Milliseconds until the end.
            outcome: ``"ok"``, ``"cancelled"``, ``"failed"``; beside a call ``"hedged"``, ``"escalated"``,
                ``"vain"``, and ``"shadow"`` for an answer to compare with, which is counted apart.
            error: Kind of the error.
            attempts: Requests sent.
            router: The router that chose; None: the model was asked for by name.
            requested: The model string of the request.
            tier: Rung, with more than two models.
            win_rate: The strong model's, as the router saw it, 0..=1.
            threshold: What it was held against.
            holdout: Sent to the strong model by lot.
            session: The caller's session.
            key: Name of the caller's key.
            text: The text routed on, kept as ``store`` says.
            at: When it began, seconds since 1970; None: ``total_ms`` ago.
            task: Kind of task.
            tags: The caller's, name and value.
            signs: Signs of failure that the answer shows (`ferroute.failures.SIGNS`); None: nobody has looked.
            response: The provider's id of the answer, by which `add_outcome` finds the call.

        Raises:
            InvalidValueError: A count, an amount or a time is negative or no number, or there is no such outcome.
            InvalidTypeError: ``tags`` are no names with values.
        """
        self.core.add(
            model,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cached_tokens=cached_tokens,
            cache_write_tokens=cache_write_tokens,
            reasoning_tokens=reasoning_tokens,
            estimated=estimated,
            cost=cost,
            router_cost=router_cost,
            baseline=baseline,
            ttft_ms=ttft_ms,
            total_ms=total_ms,
            outcome=outcome,
            error=error,
            attempts=attempts,
            router=router,
            requested=requested,
            tier=tier,
            win_rate=win_rate,
            threshold=threshold,
            holdout=holdout,
            session=session,
            key=key,
            text=text,
            at=at,
            task=task,
            tags=_tags(tags),
            signs=None if signs is None else list(signs),
            response=response,
        )

    def add_outcome(
        self,
        response_id: str | None = None,
        *,
        score: float,
        source: str,
        model: str | None = None,
        probability: float | None = None,
        at: float | None = None,
        call: int | None = None,
        began_by: float | None = None,
    ) -> None:
        """Enters how good an answer was; with the same guarantees as a call, see ``docs/spend.md``.

        A call may have outcomes of several sources and of several models; of the same call, source and model the latest
        holds, so a user may change their mind and a program may try again.

        Args:
            response_id: The id of the answer (``response.id``, of a stream ``chunk.id``). It is known of calls made
                through ferroute, a moment after they end, and of those entered with ``response=``; a ledger in memory
                knows those of its last 10,000 calls.
            score: From 0 (useless) to 1.
            source: Who says so, such as ``"gold"`` (labels that were checked), ``"user"``, ``"feedback"`` or
                ``"judge:gpt-5.5"``. Sources are never mixed.
            model: Whose answer it was; None: the one that was handed on. With another name it is the score of what that
                model has answered to the same request.
            probability: With which probability the call was drawn to be scored, above 0; None: it was not drawn by lot.
            at: When, seconds since 1970; None: now.
            call: In place of ``response_id``, the call's own id, as ``Spend.columns`` and ``outcomes`` have it.
            began_by: Some servers give the same ids again. Of the calls with this one, the last is meant; with a time
                here (seconds since 1970), the last of those that began by then.

        Raises:
            UnknownNameError: There is no such call.
            InvalidValueError: The score or the probability is outside its range, or both or none of the ids are given.
            UnreadableFileError: The store cannot be read.
        """
        self.core.add_outcome(
            response_id,
            call,
            score=score,
            source=source,
            model=model,
            probability=probability,
            at=at,
            began_by=began_by,
        )

    def outcomes(
        self,
        *,
        since: When | None = None,
        until: When | None = None,
        router: str | None = None,
        model: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> dict[str, list[Any]]:
        """Outcomes with the calls they belong to, those not yet written included: a list for each column.

        There is one entry for each call, source and scored model, the latest, in the order of the calls' times.

        Of the call come ``call`` (its id), ``time`` (microseconds since 1970, UTC), ``router``, ``requested``,
        ``tier``, ``model`` (which answered), ``win_rate``, ``threshold``, ``holdout``, ``cost_usd``, ``features``
        (bytes, see `_core.ledger_features`), ``text``, ``task``, ``tags`` (a JSON object) and ``session``; of the
        outcome ``source``, ``scored`` (the model whose answer the score is of), ``score``, ``probability`` and
        ``scored_time``. What is not known is None.

        Args:
            since: Calls from here on, as for `spend`.
            until: Calls before here.
            router: Calls decided by this router.
            model: Calls answered by this model.
            tags: Calls that have these tags with these values.

        Raises:
            InvalidValueError: A time is none.
            InvalidTypeError: ``tags`` are no names with values.
            UnreadableFileError: The store cannot be read.
        """
        from ferroute._moments import microseconds

        times = microseconds("since", since), microseconds("until", until)
        return self.core.outcomes((*times, router, model), [] if tags is None else _tags(tags))

    def spend(
        self,
        *,
        since: When | None = None,
        until: When | None = None,
        router: str | None = None,
        model: str | None = None,
        strong: str | None = None,
        weak: str | None = None,
        passing: float = 0.5,
    ) -> Spend:
        """What calls came to, those not yet written included; see `ferroute.spend.spend`.

        Args:
            since: From here on, as in `ferroute.spend.spend`; None: from the beginning.
            until: Before here; None: until now.
            router: Calls decided by this router; None: of all.
            model: Calls of this model; None: of all.
            strong: Name of the strong model, for the accuracy of routers, as in `ferroute.spend.spend`; None: not told.
            weak: Name of the weak model, likewise.
            passing: Score from which on an answer counts as good, 0..=1.

        Raises:
            InvalidValueError: A time is none, or ``passing`` is not in 0..1.
            UnreadableFileError: The store cannot be read.
        """
        from ferroute.spend import spend

        return spend(
            self, since=since, until=until, router=router, model=model, strong=strong, weak=weak, passing=passing
        )

    def failures(
        self,
        *,
        since: When | None = None,
        until: When | None = None,
        router: str | None = None,
        model: str | None = None,
    ) -> Failures:
        """Answers that show a sign of failure, by rung and kind of task; see `ferroute.failures.failures`.

        Args:
            since: From here on, as in `ferroute.spend.spend`; None: from the beginning.
            until: Before here; None: until now.
            router: Calls decided by this router; None: of all.
            model: Calls of this model; None: of all.

        Raises:
            InvalidValueError: A time is none.
            UnreadableFileError: The store cannot be read.
        """
        from ferroute.failures import failures

        return failures(self, since=since, until=until, router=router, model=model)

    def flush(self, timeout: float = 10.0) -> None:
        """Waits until everything entered so far is in the store.

        Raises:
            UnreadableFileError: That takes longer than ``timeout`` seconds, or the store refuses.
        """
        self.core.flush(timeout)

    def close(self, timeout: float = 10.0) -> None:
        """As `flush`, then lets go of the store. A call that is entered later opens it again.

        Args:
            timeout: Seconds to wait at most for what is not yet written.

        Raises:
            UnreadableFileError: As for `flush`.
        """
        self.core.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Ledger({self.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, self._arguments


def open(ledger: str | os.PathLike[str] | Ledger | None = None) -> Ledger:  # noqa: A001
    """The ledger that was meant: an open one, a URL, a path of an SQLite file, or None for one in memory.

    Args:
        ledger: An open ledger, a URL, a path, or None.

    Raises:
        InvalidTypeError: It is none of these.
        InvalidValueError: As for `Ledger`.
        UnreadableFileError: As for `Ledger`.
    """
    if ledger is None:
        return Ledger()
    if isinstance(ledger, Ledger):
        return ledger
    # Callers' code is not checked by our types.
    if isinstance(ledger, (str, os.PathLike)):  # pyright: ignore[reportUnnecessaryIsInstance]
        return Ledger(ledger)
    raise InvalidTypeError(f"ledger: expected a URL, a path or a Ledger, found {type(ledger).__name__}")


def _tags(given: Any) -> list[tuple[str, str]]:
    """Names and values.

    Raises:
        InvalidTypeError: It is neither a mapping nor a sequence of pairs.
    """
    kind = type(given).__name__
    said: Any = cast("Mapping[Any, Any]", given).items() if isinstance(given, Mapping) else given
    if isinstance(said, (str, bytes)) or not hasattr(said, "__iter__"):
        raise InvalidTypeError(f"tags: expected a mapping of names to values, found {kind}")
    pairs: list[Any] = list(said)
    for pair in pairs:
        if not isinstance(pair, (tuple, list)) or len(cast("list[Any]", pair)) != 2:
            raise InvalidTypeError(f"tags: expected pairs of a name and a value, found {pair!r:.60}")
    return [(str(name), str(value)) for name, value in pairs]


def _url(place: str | os.PathLike[str]) -> str:
    """The URL of what may be a path."""
    if isinstance(place, str):
        drive = os.path.splitdrive(place)[0]
        name = os.path.basename(place)  # noqa: PTH119 - a path object is not needed
        is_path = ":" not in place[len(drive) :] and (name != place or "." in name)
        if not is_path:
            return place
    # The form that is never taken for a relative path.
    return f"sqlite:{os.fsdecode(place)}"


def _again(url: str, store: str, create: bool) -> Ledger:
    return Ledger(url, store=store, create=create)


_watched: int | None = None
"""The process whose end is waited for."""


def _watch() -> None:
    """Sees to it that calls are written before this process ends, and that a fork finds no open connection."""
    global _watched
    if _watched is None:
        atexit.register(_finish)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_parent=_core.ledger_release_all)
    if _watched != os.getpid():
        _watched = os.getpid()
        _watch_multiprocessing()


_multiprocessing_watched = False


def _watch_multiprocessing() -> None:
    """A child of multiprocessing ends without asking `atexit`."""
    global _multiprocessing_watched
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None and not _multiprocessing_watched:
        _multiprocessing_watched = True
        util.Finalize(None, _finish, exitpriority=10)
        # A forked child forgets the line above, and then asks these.
        util.register_after_fork(_again, _finish_later)


def _finish_later(_: object) -> None:
    import multiprocessing.util as util

    util.Finalize(None, _finish, exitpriority=10)


def _before_fork() -> None:
    _watch_multiprocessing()
    _core.ledger_hold_all(_LAST_WAIT)


def _finish() -> None:
    try:
        _core.ledger_flush_all(_LAST_WAIT)
    except FerrouteError as error:
        sys.stderr.write(f"ferroute: the last calls are not in the {error}\n")
