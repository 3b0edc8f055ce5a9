"""What every comparison can do, whatever its curves run over: look up, subtract, write down."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ferroute.errors import InvalidValueError, UnknownNameError
from ferroute.evals._differences import DifferenceCurve, Differences
from ferroute.evals._figures import Estimate, estimate
from ferroute.evals._simultaneous import bands

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from numpy.typing import NDArray

    from ferroute.evals._provenance import Provenance

    Numbers = NDArray[np.float64]


class Judged(Protocol):
    """What a comparison needs of a result."""

    name: str
    settings: Any

    @property
    def spread(self) -> float:
        """What one row may change: about the range of the scores."""
        ...

    def value(self, figure: str) -> float:
        """A figure as observed."""
        ...

    def draws(self, figure: str) -> Numbers | None:
        """The figure in each resample, ``[b]``."""
        ...

    def along(self, at: Numbers | None = None) -> tuple[Numbers, Numbers, Numbers | None]:
        """Where (``[k]``, or its own points), the mean score there, and that of each resample ``[b, k]``."""
        ...

    def around(self) -> tuple[Numbers, Numbers | None]:
        """The score at its points, ``[k]``, and where resamples would have put it, ``[b, k]``."""
        ...

    def share_at_quality(self, quality: float = 0.95) -> Estimate:
        """Least share of strong calls."""
        ...

    def cost_at_quality(self, quality: float = 0.95) -> Estimate:
        """Mean dollars of a call."""
        ...


One = TypeVar("One", bound=Judged)


class SideBySide(Generic[One]):
    """Results by name; see the classes that derive from it.

    Attributes:
        routers: Name -> result of the routers that were asked about.
        baselines: Name -> result of what they are compared with.
        notes: What was left out or could not be known, in words.
        provenance: Seed, hashes of the data, versions.
    """

    routers: dict[str, One]
    baselines: dict[str, One]
    settings: Any
    notes: tuple[str, ...]
    provenance: Provenance | None
    _rows: int

    def __getitem__(self, name: str) -> One:
        for results in (self.routers, self.baselines):
            if name in results:
                return results[name]
        raise UnknownNameError(f"no result named {name!r}; there are {', '.join(self)}")

    def __iter__(self) -> Iterator[str]:
        yield from self.routers
        yield from self.baselines

    def __len__(self) -> int:
        return len(self.routers) + len(self.baselines)

    def share_at_quality(self, quality: float = 0.95) -> dict[str, Estimate]:
        """The least share of strong calls, 0..=1, that keeps a part of the strong model's score, of each by name.

        NaN where a result never gets there.

        Args:
            quality: The part of the strong model's score that is kept, above 0; 0.95 is 95 %.

        Raises:
            InvalidTypeError: ``quality`` is no number.
            InvalidValueError: It is not above 0.
        """
        return {name: self[name].share_at_quality(quality) for name in self}

    def cost_at_quality(self, quality: float = 0.95) -> dict[str, Estimate]:
        """Mean dollars of a call that keeps a part of the strong model's score, of each result with dollars, by name.

        NaN where a result never gets there.

        Args:
            quality: The part of the strong model's score that is kept, above 0; 0.95 is 95 %.

        Raises:
            InvalidTypeError: ``quality`` is no number.
            InvalidValueError: It is not above 0, or there are no costs at all.
        """
        return {name: self[name].cost_at_quality(quality) for name in self if _priced(self[name])} or {
            name: self[name].cost_at_quality(quality) for name in self
        }

    def difference(self, first: str, second: str, figure: str = "apgr") -> Estimate:
        """How much ``first`` is ahead of ``second`` in a figure: the first's minus the second's, in the figure's unit.

        Both are resampled with the same rows (a paired bootstrap, percentile method: Efron and Tibshirani 1993), so the
        interval is that of the difference: it is often much narrower than the two intervals side by side suggest. For
        several differences at once see `differences`.

        Args:
            first: Name of a router or baseline.
            second: Name of another.
            figure: One that the results' ``value`` takes: ``apgr``, ``auc``, ``share95``, ``cost95``; with two models
                also ``cpt20``, ``cpt50`` and ``cpt80``, with several ``score``.

        Raises:
            InvalidValueError: There is no such figure, or there are no costs for one of dollars.
            UnknownNameError: There is no result with that name.
        """
        values, drawn = self._minus([(first, second)], figure)
        draws = None if drawn is None else drawn[first, second]
        return estimate(values[first, second], draws, self.settings.confidence)

    def differences(self, figure: str = "apgr", pairs: Sequence[tuple[str, str]] | None = None) -> Differences:
        """Differences of all pairs, with intervals that hold together: whoever looks at many finds something by chance.

        Max-t bootstrap (Romano and Wolf 2005; Montiel Olea and Plagborg-Moller 2019).

        Args:
            figure: As for `difference`.
            pairs: ``(first, second)``; None: each router against each other one and against each baseline.

        Raises:
            InvalidValueError: There is no such figure, or there are no costs for one of dollars.
            UnknownNameError: There is no result with one of the names.
        """
        wanted = self._pairs() if pairs is None else [(str(first), str(second)) for first, second in pairs]
        values, drawn = self._minus(wanted, figure)
        return Differences.of(figure, values, drawn, self.settings.confidence, self._rows)

    def difference_curve(self, first: str, second: str) -> DifferenceCurve:
        """How far ``first`` is ahead of ``second`` all along, with a band that holds over the whole curve.

        Args:
            first: Name of a router or baseline.
            second: Name of another.

        Raises:
            UnknownNameError: There is no result with that name.
        """
        return self.difference_curves([(first, second)])[first, second]

    def difference_curves(
        self, pairs: Sequence[tuple[str, str]] | None = None
    ) -> dict[tuple[str, str], DifferenceCurve]:
        """Curves of differences of several pairs, with bands that hold for all of them together.

        Max-t bootstrap (Romano and Wolf 2005; Montiel Olea and Plagborg-Moller 2019).

        Args:
            pairs: ``(first, second)``; None: each router against each other one and against each baseline.

        Raises:
            UnknownNameError: There is no result with one of the names.
        """
        wanted = self._pairs() if pairs is None else [(str(first), str(second)) for first, second in pairs]
        at = self._grid()
        found: dict[tuple[str, str], tuple[Numbers, Numbers | None]] = {}
        for first, second in wanted:
            _, a, drawn_a = self[first].along(at)
            _, b, drawn_b = self[second].along(at)
            found[first, second] = a - b, None if drawn_a is None or drawn_b is None else drawn_a - drawn_b
        drawn = [draws for _, draws in found.values() if draws is not None]
        ends: list[Any] = [None] * len(found)
        if len(drawn) == len(found):
            ends = list(self._bands([value for value, _ in found.values()], drawn))
        return {
            pair: DifferenceCurve(*pair, at, value, end)
            for (pair, (value, _)), end in zip(found.items(), ends, strict=True)
        }

    def simultaneous_bands(self, names: Sequence[str] | None = None) -> dict[str, Numbers]:
        """Bands of several curves, ``[points, 2]`` each, that hold everywhere at once.

        They lie over the points of each result; a result's own ``bands`` hold at each point alone. Max-t bootstrap
        (Romano and Wolf 2005; Montiel Olea and Plagborg-Moller 2019).

        Args:
            names: Names of results; None: all routers.

        Raises:
            InvalidValueError: Nothing was resampled.
            UnknownNameError: There is no result with one of the names.
        """
        curves = {name: self[name].around() for name in (list(self.routers) if names is None else names)}
        drawn = [draws for _, draws in curves.values() if draws is not None]
        if len(drawn) < len(curves):
            raise InvalidValueError("bands need resamples: expected bootstrap=1000, found 0")
        return dict(zip(curves, self._bands([value for value, _ in curves.values()], drawn), strict=True))

    def _bands(self, values: Sequence[Numbers], drawn: Sequence[Numbers]) -> list[Numbers]:
        least = max((self[name].spread for name in self), default=0.0) / self._rows
        return bands(values, drawn, self.settings.confidence, self._rows, least)

    def to_pandas(self) -> pd.DataFrame:
        """One row a router or baseline, figures as numbers with ``_low`` and ``_high`` beside them.

        ``attrs["provenance"]`` of the frame says where they come from.
        """
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        frame = pd.DataFrame(self.records())
        if self.provenance is not None:
            frame.attrs["provenance"] = self.provenance.to_dict()
        return frame

    def to_latex(
        self, *, caption: str | None = None, label: str | None = None, columns: Sequence[str] | None = None
    ) -> str:
        r"""The table for a paper: booktabs' rules, intervals in brackets, provenance as comments above it.

        Args:
            caption: Above the table; None: what was compared.
            label: For ``\ref``.
            columns: Figures to keep, by their titles; None: all.

        Raises:
            UnknownNameError: There is no such column.
        """
        from ferroute.evals._latex import latex_table
        from ferroute.evals._tables import kept

        head, rows, title, note = self._on_paper()
        head, rows = kept(head, rows, columns)
        return latex_table(
            head,
            rows,
            caption=caption or title,
            note=note,
            label=label,
            provenance=self.provenance,
            rule_before=len(self.routers),
        )

    def records(self) -> list[dict[str, Any]]:
        """The table as plain numbers."""
        raise NotImplementedError

    def _on_paper(self) -> tuple[list[str], list[list[str]], str, str]:
        """Titles and rows of the table, what it shows, and the note under it."""
        raise NotImplementedError

    def _grid(self) -> Numbers:
        """Where difference curves are looked at."""
        raise NotImplementedError

    def _pairs(self) -> list[tuple[str, str]]:
        names = list(self.routers)
        against = [(router, base) for router in names for base in self.baselines]
        return [*combinations(names, 2), *against]

    def _minus(
        self, pairs: Sequence[tuple[str, str]], figure: str
    ) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], Numbers] | None]:
        import numpy as np

        values: dict[tuple[str, str], float] = {}
        drawn: dict[tuple[str, str], Numbers] = {}
        for first, second in pairs:
            a, b = self[first], self[second]
            values[first, second] = a.value(figure) - b.value(figure)
            one, other = a.draws(figure), b.draws(figure)
            if one is not None and other is not None:
                with np.errstate(invalid="ignore"):  # both infinite: left out
                    drawn[first, second] = one - other
        return values, drawn if len(drawn) == len(values) else None


def by_apgr(results: dict[str, Any]) -> list[Any]:
    """Results by falling APGR, those without one last."""
    return sorted(results.values(), key=lambda one: math.inf if math.isnan(one.apgr) else -one.apgr)


def _priced(result: Any) -> bool:
    return bool(result.has_costs)
