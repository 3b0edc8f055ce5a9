"""What a result was made of: enough to make it again, or to see that something else was."""

from __future__ import annotations

import hashlib
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, cast

from ferroute._core import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Provenance:
    """Where the figures of a comparison come from.

    Attributes:
        data: SHA-256 of the outcomes and costs as they were judged, in float64.
        scores: SHA-256 of the routers' names and scores.
        rows: Prompts judged.
        models: Names of the models, where they have any.
        seed: Of the resamples.
        bootstrap: Number of resamples.
        confidence: Of the intervals.
        ferroute: Version.
        numpy: Version.
        python: Version.
        prices: Date of the price data that came with this version.
    """

    data: str
    scores: str
    rows: int
    models: tuple[str, ...]
    seed: int
    bootstrap: int
    confidence: float
    ferroute: str
    numpy: str
    python: str
    prices: str

    @classmethod
    def of(
        cls, tables: Iterable[Numbers], scores: Mapping[str, Any], rows: int, models: Iterable[str], settings: Any
    ) -> Provenance:
        """That of a comparison of ``scores`` on ``tables`` (outcomes, then costs).

        Args:
            tables: Columns ``[n]`` or tables ``[n, m]`` of numbers.
            scores: Name of a router -> its scores, ``[n]``.
            rows: Number of rows.
            models: Names of the models.
            settings: How figures and intervals are computed.
        """
        import numpy as np

        from ferroute import pricing

        return cls(
            data=sha256((str(i), table) for i, table in enumerate(tables)),
            scores=sha256(scores.items()),
            rows=rows,
            models=tuple(models),
            seed=settings.seed,
            bootstrap=settings.bootstrap,
            confidence=settings.confidence,
            ferroute=__version__,
            numpy=cast("Any", np).__version__,
            python=platform.python_version(),
            prices=str(pricing.as_of()),
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    def line(self) -> str:
        """All of it that fits in a line."""
        draws = f"seed {self.seed}, {self.bootstrap:,} resamples" if self.bootstrap else "no resamples"
        return (
            f"ferroute {self.ferroute}, numpy {self.numpy}, prices of {self.prices}; {draws}; "
            f"data sha256 {self.data[:12]}, scores sha256 {self.scores[:12]}"
        )


def sha256(parts: Iterable[tuple[str, Any]]) -> str:
    """The hash of named arrays: their names, shapes and numbers."""
    import numpy as np

    found = hashlib.sha256()
    for name, values in parts:
        array = np.ascontiguousarray(values, dtype="<f8")
        found.update(f"{name}\0{array.shape}\0".encode("utf-8", "surrogatepass") + array.tobytes())
    return found.hexdigest()
