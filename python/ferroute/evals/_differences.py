"""All differences at once, with intervals that hold together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute._grid import AsText, Shown
from ferroute.evals._figures import Estimate
from ferroute.evals._simultaneous import bands

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


class Differences(Shown):
    """Differences between pairs of results: first minus second.

    Iterate over it, or index it by ``(first, second)``.

    Attributes:
        figure: What was compared.
        confidence: That all intervals hold together, between 0 and 1.
        values: ``(first, second)`` -> difference, in the figure's unit; ``.interval`` is simultaneous (max-t bootstrap:
            Romano and Wolf 2005), None without resamples.
    """

    def __init__(self, figure: str, confidence: float, values: dict[tuple[str, str], Estimate]) -> None:
        self.figure, self.confidence, self.values = figure, confidence, values

    @classmethod
    def of(
        cls,
        figure: str,
        values: dict[tuple[str, str], float],
        draws: dict[tuple[str, str], Numbers] | None,
        confidence: float,
        rows: int,
    ) -> Differences:
        """Differences as observed, with the intervals that their resamples give together.

        Args:
            figure: What was compared.
            values: ``(first, second)`` -> difference.
            draws: ``(first, second)`` -> its difference in each resample, float64 ``[b]``, all from the same draws;
                None: no intervals.
            confidence: That all intervals hold together, between 0 and 1.
            rows: Prompts behind the figures.
        """
        import numpy as np

        if draws is None:
            return cls(figure, confidence, {pair: Estimate(value) for pair, value in values.items()})
        ends = bands(
            [np.array([value]) for value in values.values()], [d[:, None] for d in _in(values, draws)], confidence, rows
        )
        found: dict[tuple[str, str], Estimate] = {}
        for (pair, value), end in zip(values.items(), ends, strict=True):
            low, high = (float(part) for part in end[0])
            found[pair] = Estimate(value) if np.isnan(low) else Estimate(value, low, high)
        return cls(figure, confidence, found)

    def __getitem__(self, pair: tuple[str, str]) -> Estimate:
        return self.values[pair]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.values)

    def __len__(self) -> int:
        return len(self.values)

    def records(self) -> list[dict[str, Any]]:
        """A mapping a pair: ``first``, ``second``, ``difference``, and its ends ``low`` and ``high`` (None: none)."""
        return [
            {"first": first, "second": second, "difference": float(value), "low": value.low, "high": value.high}
            for (first, second), value in self.values.items()
        ]

    def to_pandas(self) -> pd.DataFrame:
        """The records as a frame."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        return pd.DataFrame(self.records())

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]], str]:
        rows = [[f"{first} - {second}", value.show(".4g")] for (first, second), value in self.values.items()]
        together = f"in brackets intervals that hold together with {self.confidence:.0%} confidence"
        return ["", self.figure], rows, together


def _in(values: dict[tuple[str, str], float], draws: dict[tuple[str, str], Numbers]) -> list[Numbers]:
    return [draws[pair] for pair in values]


class DifferenceCurve(AsText):
    """How far one result is ahead of another all along: at each share of strong calls, or at each mean cost.

    Attributes:
        first: Name of the one.
        second: Name of the other.
        at: Percentage of strong calls, or mean dollars of a call, float64 ``[k]``.
        difference: Mean score of the first minus that of the second, float64 ``[k]``.
        bands: Ends that hold over the whole curve (and over all curves asked for together), float64 ``[k, 2]``; None
            without resamples. Max-t bootstrap: Romano and Wolf 2005.
    """

    def __init__(self, first: str, second: str, at: Numbers, difference: Numbers, bands: Numbers | None) -> None:
        self.first, self.second, self.at = first, second, at
        self.difference, self.bands = difference, bands

    @property
    def ahead(self) -> NDArray[np.bool_]:
        """Where the first is better beyond chance, ``[k]`` booleans; with all bands together this may be read off."""
        import numpy as np

        return np.zeros(self.at.shape, dtype=bool) if self.bands is None else self.bands[:, 0] > 0

    def to_pandas(self) -> pd.DataFrame:
        """Columns ``at``, ``difference`` and, with resamples, ``low`` and ``high``."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        frame = pd.DataFrame({"at": self.at, "difference": self.difference})
        if self.bands is not None:
            frame["low"], frame["high"] = self.bands[:, 0], self.bands[:, 1]
        return frame

    def __repr__(self) -> str:
        if self.bands is None:
            return f"<{self.first} - {self.second}: {len(self.at)} points, no resamples>"
        return (
            f"<{self.first} - {self.second}: ahead beyond chance at {int(self.ahead.sum())} of {len(self.at)} points>"
        )
