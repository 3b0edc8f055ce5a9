"""What a ramp and a watch have in common: the state machine of the core, asked and told from Python."""

from __future__ import annotations

import logging
import math
import os
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ferroute import _core
from ferroute._grid import AsText
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.rollout._checked import number_of, pair_of, whole_of
from ferroute.rollout.moves import Move, Rehearsal, Stage, moves_of
from ferroute.thresholds import CalibrationTable, checked_scores

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

_log = logging.getLogger("ferroute")

# How far from the share that was asked for a stage may be: equal scores go together.
_NEAR = 0.01

# What is worth a warning; the other moves are what was hoped for.
_TROUBLE = ("paused", "reverted", "drifted")


class Kept(AsText):
    """A threshold that is held by evidence; see `Ramp` and `Watch`."""

    _core: _core.Ramp

    # What a Controller asks.

    def held(self) -> tuple[float, str | None]:
        """The threshold in force (0 always strong, infinity always weak), and a note where it is not as planned."""
        threshold, _, news, note = self._core.held()
        if news:
            self._tell()
        return threshold, note

    def observe(
        self,
        win_rate: float,
        strong_score: float,
        weak_score: float,
        probability: float = 1.0,
        threshold: float | None = None,
    ) -> None:
        """Takes in an audited request: both models' scores, whichever of them had answered.

        Args:
            win_rate: The router's score of it, 0..=1.
            strong_score: Quality of the strong model's answer, 0..=1.
            weak_score: Quality of the weak model's answer, 0..=1.
            probability: The chance that it had of being audited. It is written down, and weighs nothing: audits must be
                drawn by lot with one chance for all requests of a time.
            threshold: The one that the request was routed by, for the running loss: judgements come later than answers,
                and the threshold in force may be another by then. None: the one in force now.

        Raises:
            InvalidTypeError: Something is no number.
            InvalidValueError: A score is not in 0..=1, or the probability not above 0 and at most 1.
            UnreadableFileError: The file cannot be written.
        """
        self._core.observe(
            number_of("win_rate", win_rate),
            number_of("strong_score", strong_score),
            number_of("weak_score", weak_score),
            number_of("probability", probability),
            None if threshold is None else number_of("threshold", threshold),
        )
        self._tell()

    def observe_many(
        self,
        win_rates: ArrayLike,
        strong_scores: ArrayLike,
        weak_scores: ArrayLike,
        probability: float = 1.0,
        threshold: float | None = None,
    ) -> None:
        """As `observe`, for many audited requests in their order. All are taken in, or where one is wrong none.

        Args:
            win_rates: The router's scores, 0..=1, ``[n]``.
            strong_scores: Quality of the strong model's answers, 0..=1, ``[n]``.
            weak_scores: Quality of the weak model's answers, 0..=1, ``[n]``.
            probability: The chance that each of them had of being audited, as for `observe`.
            threshold: The one that all of them were routed by, as for `observe`.

        Raises:
            InvalidTypeError: Something is no number, or not in one row.
            InvalidValueError: Lengths differ, a score is not in 0..=1, or the probability not above 0 and at most 1;
                the message names the row.
            UnreadableFileError: The file cannot be written.
        """
        self._core.observe_many(
            *_rows(win_rates, strong_scores, weak_scores),
            number_of("probability", probability),
            None if threshold is None else number_of("threshold", threshold),
        )
        self._tell()

    def _tell(self) -> None:
        """Logs each move once, whichever process has made it."""
        told = self._core.news()
        if not told:
            return
        for move in moves_of(told, self._pairs()):
            level = logging.WARNING if move.kind in _TROUBLE else logging.INFO
            _log.log(level, "%s: %s", self._name(), move.sentence)

    @property
    def label(self) -> str:
        """What decisions call it."""
        path, kind = self._core.path, type(self).__name__.lower()
        return f"a {kind}" if path is None else f"the {kind} {os.path.basename(path)}"  # noqa: PTH119 - asked often

    # What people ask.

    @property
    def threshold(self) -> float:
        """Strong from this win rate on; 0 is always strong, infinity always weak."""
        return self.held()[0]

    @property
    def weak_share(self) -> float:
        """The part of the traffic, 0..=1, that is weak at this threshold, as it was when the plan was made."""
        return self._core.held()[1]

    @property
    def state(self) -> str:
        """What it is doing.

        ``"starting"``: at its first stage, which is not proven yet. ``"growing"``: proving the next one. ``"holding"``:
        at the last, or the next has been tried long enough. ``"paused"``: always strong until the running loss leaves
        room. ``"reverted"``: went back, and proves its way again.
        """
        return self._core.state

    @property
    def rate(self) -> float:
        """The part of the traffic to audit now, 0..=1: more while it grows, pauses or doubts, little while it holds.

        Where nothing has moved for 2,000 audits, though it would grow, it falls with one over the audits since, as far
        as a change would still be found before it has used up what the bound has left.
        """
        return self._core.rate

    @property
    def n(self) -> int:
        """Audited requests so far."""
        return self._core.n

    @property
    def loss(self) -> float:
        """Mean loss (strong score - weak score where the weak model was chosen, else 0) of the audited requests.

        -1..=1, as they were routed; NaN before the first.
        """
        return self._core.mean_loss

    @property
    def max_quality_loss(self) -> float:
        """The bound of the mean loss, in the unit of the scores."""
        return self._core.promise[0]

    @property
    def confidence(self) -> float:
        """How sure the promise is, between 0 and 1: it is broken with probability ``1 - confidence`` at most."""
        return self._core.promise[1]

    @property
    def horizon(self) -> int:
        """The running loss is averaged over at least so many audited requests."""
        return self._core.promise[2]

    @property
    def evidence(self) -> float:
        """How much speaks for the loss where it stands being above the bound, as "so much to 1".

        An e-process, the wealth of who bets against the promise (Waudby-Smith and Ramdas, arXiv:2010.09686). It goes
        back at ``1 / (1 - confidence)``.
        """
        return _odds(self._core.alarms[0])

    @property
    def drift(self) -> float:
        """How much speaks for win rates coming from other traffic than before, as "so much to 1"."""
        return _odds(self._core.alarms[1])

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages, always strong first, with what is known of each."""
        return tuple(Stage(share, threshold, _odds(log), loss) for share, threshold, log, loss in self._core.stages)

    @property
    def history(self) -> tuple[Move, ...]:
        """All moves so far, of all processes that share the file."""
        return moves_of(self._core.moves(), self._pairs())

    @property
    def note(self) -> str | None:
        """How it went back, or why it is paused; None where all is as planned."""
        return self.held()[1]

    @property
    def path(self) -> Path | None:
        """Its file; None where it lives in this process alone."""
        from pathlib import Path

        path = self._core.path
        return None if path is None else Path(path)

    def rehearse(
        self,
        win_rates: ArrayLike,
        strong_scores: ArrayLike,
        weak_scores: ArrayLike,
        rate: float | None = None,
        seed: int = 0,
    ) -> Rehearsal:
        """What one like this would have done, from its beginning, on requests of which both scores are known.

        Args:
            win_rates: The router's scores in the order of the requests, ``[n]``.
            strong_scores: Quality of the strong model's answers, 0..=1, ``[n]``.
            weak_scores: Quality of the weak model's answers, 0..=1, ``[n]``.
            rate: Part of the requests to audit, above 0 and at most 1; None: as its own `rate` asks for.
            seed: Of the lot that draws the audits, 0 or more.

        Raises:
            InvalidTypeError: Something is no number, ``seed`` no whole one of 0 or more, or scores not in one row.
            InvalidValueError: Lengths differ, or a score or ``rate`` is out of its range; the message names the row.
        """
        import numpy as np

        rate, seed = None if rate is None else number_of("rate", rate), whole_of("seed", seed)
        if rate is not None and not 0 < rate <= 1:
            raise InvalidValueError(f"rate: expected a part above 0 and at most 1, found {rate}")
        rows = _rows(win_rates, strong_scores, weak_scores)
        places, audited, told = self._core.plan.rehearse(*rows, rate, seed)
        pairs = self._pairs()
        stages: Any = np.array(pairs, dtype=np.float64)
        shares, thresholds = stages.T[:, places]
        loss = np.where(rows[0] < thresholds, rows[1] - rows[2], 0.0)
        return Rehearsal(thresholds, shares, loss, audited, moves_of(told, pairs, True), self.max_quality_loss)

    def as_dict(self) -> dict[str, Any]:
        """What it is and has done, as plain values that JSON holds; ``threshold`` is None for always weak."""
        threshold, note = self.held()
        return {
            "state": self.state,
            "threshold": None if math.isinf(threshold) else threshold,
            "weak_share": self.weak_share,
            "max_quality_loss": self.max_quality_loss,
            "confidence": self.confidence,
            "audits": self.n,
            "loss": self.loss if self.n else None,
            "evidence": self.evidence,
            "drift": self.drift,
            "rate": self.rate,
            "note": note,
            "moves": [move.sentence for move in self.history],
        }

    def to_pandas(self) -> pd.DataFrame:
        """The history, a row for each move."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        names = ("at", "kind", "before", "after", "weak_share", "n", "evidence", "reason")
        return pd.DataFrame([{name: getattr(move, name) for name in names} for move in self.history], columns=names)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draws the weak share over the audited requests, with what each move was.

        Args:
            ax: Where to draw; None: a figure of its own.

        Returns:
            Where it was drawn.

        Raises:
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute.rollout._pictures import history_plot

        return history_plot(self, ax)

    def _pairs(self) -> list[tuple[float, float]]:
        return self._core.plan.stages

    def _name(self) -> str:
        path = self._core.path
        return type(self).__name__.lower() if path is None else f"{type(self).__name__.lower()} {path}"

    def __repr__(self) -> str:
        threshold, share, _, note = self._core.held()
        n, loss = self.n, self.loss
        seen = f"{loss:.4f} over {n:,} audited requests" if n else "no audited requests yet"
        promise = (
            f"  promise: mean loss at most {self.max_quality_loss:g} with {self.confidence:.0%} confidence, "
            f"over {self.horizon:,} audited requests or more; observed: {seen}"
        )
        doubts = (
            f"  evidence against the stage it stands at: {self.evidence:.3g} to 1 (goes back at "
            f"{1 / (1 - self.confidence):.3g}); of other traffic: {self.drift:.3g} to 1; asks to audit {self.rate:.1%}"
        )
        lines = [f"<{self._name()}, {self.state}: {share:.0%} weak ({in_words(threshold)})", promise, doubts]
        return "\n".join(lines if note is None else [*lines, f"  {note}"]) + ">"

    def __getstate__(self) -> dict[str, Any]:
        # A file is shared; without one the audits travel along.
        path = self._core.path
        return {"path": path, "lines": self._core.lines() if path is None else None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        path, lines = state["path"], state["lines"]
        self._core = _core.Ramp.of_lines(lines) if path is None else _core.Ramp(path)


def in_words(threshold: float) -> str:
    """A threshold as sentences write it."""
    if threshold <= 0:
        return "always strong"
    return "always weak" if math.isinf(threshold) else f"threshold {threshold:.4g}"


def scores_of(win_rates: ArrayLike | CalibrationTable | None) -> NDArray[np.float64]:
    """Win rates of traffic like the one to come; none where none are given."""
    import numpy as np

    if win_rates is None:
        return np.empty(0)
    if isinstance(win_rates, CalibrationTable):
        return np.array(win_rates.scores, dtype=np.float64)
    return checked_scores(win_rates, "win_rates")


def _rows(win_rates: ArrayLike, strong: ArrayLike, weak: ArrayLike) -> tuple[Numbers, Numbers, Numbers]:
    import numpy as np

    rows: list[Numbers] = []
    for name, values in (("win_rates", win_rates), ("strong_scores", strong), ("weak_scores", weak)):
        try:
            row = np.ascontiguousarray(values, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidTypeError(f"{name}: expected numbers in one row: {error}") from None
        if row.ndim != 1:
            raise InvalidTypeError(f"{name}: expected numbers in one row, found {row.ndim} dimensions")
        rows.append(row)
    return rows[0], rows[1], rows[2]


def shares_of(stages: Sequence[float], name: str = "stages") -> list[float]:
    """Weak shares, checked: rising, above 0, at most 1."""
    try:
        given = list(stages)
    except TypeError:
        found = type(stages).__name__
        raise InvalidTypeError(f"{name}: expected a sequence of weak shares, found {found}") from None
    shares = [number_of(name, share) for share in given]
    rising = all(a < b for a, b in pairwise(shares))
    if not shares or not rising or shares[0] <= 0 or shares[-1] > 1:
        raise InvalidValueError(f"{name}: expected rising weak shares above 0 and at most 1, found {shares}")
    return shares


def settings_of(
    rates: tuple[float, float] | None, horizon: int | None, on_drift: str | None
) -> tuple[tuple[float, float] | None, int | None, bool | None]:
    """The settings that a ramp and a watch share, checked; what was not given stays None."""
    if on_drift not in (None, "audit", "revert"):
        raise InvalidValueError(f"on_drift: expected 'audit' or 'revert', found {on_drift!r}")
    return (
        None if rates is None else pair_of("rates", rates),
        None if horizon is None else whole_of("horizon", horizon),
        None if on_drift is None else on_drift == "revert",
    )


def same_settings(
    core: _core.Ramp,
    start: float | None,
    rates: tuple[float, float] | None,
    horizon: int | None,
    revert_on_drift: bool | None,
) -> None:
    """Refuses settings that were given and are not those the ramp in a file was begun with.

    Raises:
        InvalidValueError: One differs; the message has both.
    """
    begun, kept_horizon, kept_rates, kept_revert = core.plan.settings
    share = core.plan.stages[begun][0]
    drift = ("audit", "revert")
    for name, given, kept, differs in (
        ("start", start, share, start is not None and abs(start - share) > _NEAR),
        ("rates", rates, kept_rates, rates is not None and rates != kept_rates),
        ("horizon", horizon, kept_horizon, horizon is not None and horizon != kept_horizon),
        (
            "on_drift",
            None if revert_on_drift is None else drift[revert_on_drift],
            drift[kept_revert],
            revert_on_drift is not None and revert_on_drift != kept_revert,
        ),
    ):
        if differs:
            raise InvalidValueError(
                f"{name}: the ramp in {core.path} was begun with {kept}, found {given}; leave it out to go on with "
                "that, or use another file"
            )


def _odds(log: float) -> float:
    return math.exp(min(log, 690.0))
