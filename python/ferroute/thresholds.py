"""A threshold read off scores, and the table of a router's scores from which thresholds for any share come."""

from __future__ import annotations

import bisect
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core, _tables
from ferroute._columns_of import fraction, numbers
from ferroute._grid import AsText
from ferroute._whole_file import write_whole
from ferroute.errors import InvalidValueError, MissingFileError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from ferroute._explorer import Explorer

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
"""The shares that a table shows."""

_KEPT = 10_000
"""Scores that a table keeps: of more, as many at even distances, which moves a share by 0.0001 at most."""


_ROUNDING = 1e-6
"""How far a win rate may lie outside of 0..1: routers subtract float32 sums from 1."""


@dataclass(frozen=True, repr=False)
class Threshold(AsText):
    """A threshold, and what it does to the scores it was read off.

    Attributes:
        threshold: Strong if the win rate is at least this; not rounded.
        share: The share of the scores at or above it, 0..=1. Equal scores go together, so it can differ from `asked`.
        interval: Exact binomial interval (Clopper and Pearson 1934) of the share on traffic of the same kind, 0..=1.
        n: How many scores it was read off.
        asked: The share that was asked for.
        confidence: That of `interval`, in 0..1.
    """

    threshold: float
    share: float
    interval: tuple[float, float]
    n: int
    asked: float
    confidence: float

    @property
    def tolerance(self) -> float:
        """How far a share may be from another one without a word: a tenth or 0.01, and two scores at least."""
        return max(2 / self.n, min(0.01, self.asked / 10))

    @property
    def note(self) -> str | None:
        """What is wrong, in words, where equal scores keep the share far from the one asked for."""
        if abs(self.share - self.asked) <= self.tolerance:
            return None
        return (
            f"many scores are equal to {self.threshold!r}, and they go together: {_percent(self.share)} of the calls "
            f"are strong at this threshold, where {_percent(self.asked)} were asked for"
        )

    def __float__(self) -> float:
        return self.threshold

    def __repr__(self) -> str:
        low, high = self.interval
        interval = f"{_percent(self.confidence)} interval {_percent(low)} to {_percent(high)}"
        text = (
            f"<threshold {self.threshold!r} for a share of {_percent(self.asked)}: {_percent(self.share)} of "
            f"{self.n:,} scores are at or above it ({interval})"
        )
        return f"{text}; {self.note}>" if self.note else f"{text}>"


def threshold_for_share(scores: ArrayLike, share: float, confidence: float = 0.95) -> Threshold:
    """The threshold at which the highest ``share`` of the scores goes to the strong model.

    It is the quantile of the scores at ``1 - share``, interpolated linearly, as RouteLLM's calibration has it from
    pandas 2, and not rounded. A share of 0 gives the highest score, which itself still goes to the strong model.

    Args:
        scores: Win rates ``[n]`` of one router on traffic like yours, each in 0..=1 (up to a millionth, which rounding
            in float32 leaves): a list, an array or a Series.
        share: Wanted share of strong calls, 0..=1.
        confidence: Of the interval, in 0..1.

    Returns:
        The threshold, with the share it has on these scores.

    Raises:
        InvalidValueError: There is no score, one is NaN or outside of 0..=1 (the message says which), or the share or
            the confidence is out of range.
        InvalidTypeError: The scores are not numbers.
    """
    share, confidence = fraction("share", share), fraction("confidence", confidence, below=True)
    values = checked_scores(scores)
    threshold = float(_core.quantiles(values, [1 - share])[0])
    return _threshold(threshold, int((values >= threshold).sum()), values.size, share, confidence)


def _threshold(threshold: float, above: int, n: int, share: float, confidence: float) -> Threshold:
    interval = _core.binomial_interval(above, n, confidence)
    return Threshold(threshold, above / n, interval, n, share, confidence)


def checked_scores(scores: ArrayLike, what: str = "scores") -> NDArray[np.float64]:
    """Win rates as float64 ``[n]``.

    Args:
        scores: Win rates, ``[n]``, each in 0..=1 (up to a millionth).
        what: What messages call them.

    Raises:
        InvalidValueError: There is none, or one is NaN or outside of 0..=1.
        InvalidTypeError: They are not numbers, or not in one row.
    """
    values = numbers(what, scores, kind="win rates")
    if not values.size:
        raise InvalidValueError(f"{what}: expected at least one win rate, found none")
    bad = ~((values >= -_ROUNDING) & (values <= 1 + _ROUNDING))
    if bad.any():
        row = int(bad.argmax())
        raise InvalidValueError(f"{what}: expected win rates between 0 and 1, found {values[row]} at index {row}")
    return values


def _percent(share: float) -> str:
    return f"{share * 100:.4g}%"


@dataclass(frozen=True, repr=False)
class CalibrationTable:
    """The scores of one router in one configuration on one set of prompts; thresholds for any share come from it.

    Made by `calibrate`. Saved in the calibration folder, it turns ``router-<name>-<pct>%`` of every later Controller
    with that router and configuration into a fixed threshold.

    Attributes:
        router: The router's name.
        fingerprint: Tells configurations apart (see `ferroute._tables.fingerprint`); None: not known.
        n: How many prompts were scored.
        created: When, in ISO form and UTC.
        source: Where the scores come from, in a few words.
        scores: Ascending; all of them up to 10,000, else as many at even distances.
    """

    router: str
    fingerprint: str | None
    n: int
    created: str
    source: str
    scores: tuple[float, ...]
    _found: dict[tuple[float, float], Threshold] = field(default_factory=dict[Any, Any], compare=False)

    def threshold(self, share: float, confidence: float = 0.95) -> Threshold:
        """As `threshold_for_share` on the table's scores.

        Args:
            share: Wanted share of strong calls, 0..=1.
            confidence: Of the interval, in 0..1.

        Raises:
            InvalidValueError: The share or the confidence is out of range.
        """
        share, confidence = fraction("share", share), fraction("confidence", confidence, below=True)
        found = self._found.get((share, confidence))
        if found is None:
            scores = self.scores
            threshold = _core.quantile(list(scores), 1 - share)
            above = len(scores) - bisect.bisect_left(scores, threshold)
            # Of a table that keeps a part of the scores, the share stands for all of them.
            found = _threshold(threshold, round(above / len(scores) * self.n), self.n, share, confidence)
            if len(self._found) >= 1_000:
                self._found.clear()
            self._found[share, confidence] = found
        return found

    def save(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Writes the table as a JSON file, whole or not at all.

        Args:
            path: The file; None: the calibration folder (``FERROUTE_CALIBRATION``, or a folder of this user's data),
                where the next Controller with this router and configuration finds it.

        Returns:
            The file.

        Raises:
            InvalidValueError: Without ``path``, for a table whose configuration is not known.
            UnreadableFileError: It cannot be written.
        """
        if path is None:
            if self.fingerprint is None:
                raise InvalidValueError(
                    f"the configuration of the router {self.router!r} is not known to this table, so no Controller "
                    "could be given it by itself: give a path, and name it in the config: "
                    f"{self.router}: {{calibration: path}}"
                )
            target = _tables.folder() / _tables.file_name(self.router, self.fingerprint)
        else:
            target = Path(path)
        text = json.dumps(self._json(), allow_nan=False) + "\n"
        if path is None:
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UnreadableFileError(f"{target}: cannot be written: {error}") from error
        return write_whole(target, text)

    def _json(self) -> dict[str, Any]:
        return {
            "ferroute_calibration": 1,
            "router": self.router,
            "fingerprint": self.fingerprint,
            "n": self.n,
            "created": self.created,
            "source": self.source,
            "thresholds": {_percent(share): self.threshold(share).threshold for share in SHARES},
            "scores": _packed(self.scores),
        }

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> CalibrationTable:
        """Reads a table that `save` wrote.

        Args:
            path: The file.

        Raises:
            MissingFileError: There is no such file.
            UnreadableFileError: It cannot be read.
            InvalidValueError: It holds something else.
        """
        try:
            with Path(path).open("rb") as stream:
                text = stream.read(_MOST + 1)
        except FileNotFoundError:
            raise MissingFileError(f"{os.fspath(path)}: there is no such calibration table") from None
        except OSError as error:
            raise UnreadableFileError(f"{os.fspath(path)}: cannot be read: {error}") from error
        try:
            return cls._from_json(text)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InvalidValueError(f"{os.fspath(path)}: is not a calibration table of ferroute: {error}") from None

    @classmethod
    def _from_json(cls, text: bytes) -> CalibrationTable:
        if len(text) > _MOST:
            raise ValueError(f"it is larger than {_MOST >> 20} MiB")
        read = json.loads(text)
        if not isinstance(read, dict) or cast("dict[str, Any]", read).get("ferroute_calibration") != 1:
            raise ValueError("expected an object with ferroute_calibration: 1")
        found = cast("dict[str, Any]", read)
        texts = [found[name] for name in ("router", "created", "source")]
        fingerprint, n = found["fingerprint"], found["n"]
        if not all(isinstance(text, str) for text in texts) or not isinstance(fingerprint, (str, type(None))):
            raise TypeError("expected texts for router, fingerprint, created and source")
        scores = _unpacked(found["scores"])
        if not isinstance(n, int) or not 0 < len(scores) <= n <= 2**53:
            raise ValueError(f"expected at least as many prompts as scores ({len(scores)}), found {n!r:.40}")
        if not all(-_ROUNDING <= score <= 1 + _ROUNDING for score in scores) or list(scores) != sorted(scores):
            raise ValueError("expected scores between 0 and 1 that rise")
        router, created, source = texts
        return cls(router, fingerprint, n, created, source, scores)

    def plot(self, shares: Sequence[float] = (0.1, 0.3, 0.5), ax: Any = None) -> Any:
        """A histogram of the scores with the thresholds of some shares; needs matplotlib (extra ``eval``).

        Args:
            shares: Shares of strong calls to mark, 0..=1 each.
            ax: Axes to draw on; None: new ones.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            InvalidValueError: A share is not in 0..=1.
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute.plot import plot_scores

        title = f"Scores of {self.router} on {self.n:,} prompts"
        return plot_scores([min(max(score, 0.0), 1.0) for score in self.scores], shares=shares, title=title, ax=ax)

    def explore(self, costs: Any = None, share: float = 0.3) -> Explorer:
        """A slider over the threshold, for a notebook: share of strong calls, and the cost where it is known.

        A table has no outcomes, so quality is shown as not measured.

        Args:
            costs: Mean US dollars of a call, ``(strong, weak)`` or ``{"strong": ..., "weak": ...}``; None: not known.
            share: Share of strong calls where it begins, 0..=1.

        Returns:
            The explorer; ``.save("explorer.html")`` writes it to a file.
        """
        from ferroute._explorer import Explorer
        from ferroute._sweep import unmeasured

        return Explorer([unmeasured(self.router, self.scores, costs, 0.95)], share)

    def __repr__(self) -> str:
        shown = ", ".join(f"{_percent(share)}: {self.threshold(share).threshold:.5g}" for share in (0.1, 0.3, 0.5))
        return f"<CalibrationTable of {self.router!r}, {self.n:,} prompts ({self.source}); thresholds {shown}>"

    def _repr_html_(self) -> str:
        """The thresholds of common shares, for notebooks."""
        from ferroute import _notebook

        rows: list[tuple[str, ...]] = []
        for share in SHARES:
            found = self.threshold(share)
            low, high = found.interval
            shown = f"{_percent(low)} to {_percent(high)}"
            rows.append((_percent(share), f"{found.threshold:.5f}", _percent(found.share), shown))
        titles = ("share asked", "threshold", "share achieved", "95% interval")
        about = f"{self.router}: {self.n:,} prompts ({self.source}), {self.created}"
        return _notebook.frame(_notebook.head(about), _notebook.table(titles, rows))


_MOST = 16 << 20


def _packed(scores: Sequence[float]) -> str:
    """Numbers as text, a fifth of what JSON needs: float64, little endian, zlib, base64."""
    import base64
    import struct
    import zlib

    return base64.b64encode(zlib.compress(struct.pack(f"<{len(scores)}d", *scores), 9)).decode()


def _unpacked(text: Any) -> tuple[float, ...]:
    import base64
    import struct
    import zlib

    if not isinstance(text, str):
        raise TypeError("expected scores as text")
    most = _KEPT * 8
    try:
        unpack = zlib.decompressobj()
        # One byte too many is asked for, so that more is noticed and not unpacked.
        data = unpack.decompress(base64.b64decode(text, validate=True), most + 1)
    except zlib.error as error:
        raise ValueError(f"its scores are damaged: {error}") from None
    if not unpack.eof or len(data) > most or len(data) % 8:
        raise ValueError("its scores are damaged")
    return struct.unpack(f"<{len(data) // 8}d", data)


def make_table(
    router: str, scores: ArrayLike, *, fingerprint: str | None = None, source: str = "win rates"
) -> CalibrationTable:
    """A table of scores that are at hand.

    Args:
        router: The router's name.
        scores: Win rates, ``[n]``, each in 0..=1.
        fingerprint: Tells configurations apart; None: not known.
        source: Where the scores come from, in a few words.

    Raises:
        InvalidValueError: There is no score, or one is NaN or outside of 0..=1.
        InvalidTypeError: They are not numbers.
    """
    import datetime

    import numpy as np

    values = np.sort(checked_scores(scores, f"win rates of {router}"))
    n = values.size
    if n > _KEPT:
        values = values[np.round(np.linspace(0, n - 1, _KEPT)).astype(np.int64)]
    created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return CalibrationTable(router, fingerprint, n, created, source, tuple(values.tolist()))


def rounded(threshold: float) -> float:
    """To five places as RouteLLM prints it: the product is rounded to even, and divided again.

    Args:
        threshold: The threshold, 0..=1.
    """
    product = threshold * 1e5
    return round(product) / 1e5 if math.isfinite(product) else threshold
