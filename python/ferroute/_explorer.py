"""The explorer itself; `ferroute.explore` makes one, and so do results, comparisons and calibration tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute._columns_of import fraction
from ferroute._whole_file import write_whole
from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from ferroute._sweep import Sweep


class Explorer:
    """Thresholds of one or several routers, to look through in a notebook or in a file; made by `explore`.

    Attributes:
        sweeps: What is shown, one a router.
        share: Share of strong calls where the slider begins, 0..=1.
    """

    def __init__(self, sweeps: Iterable[Sweep], share: float = 0.3) -> None:
        self.sweeps = tuple(sweeps)
        self.share = fraction("share", share)
        if not self.sweeps:
            raise InvalidValueError("win_rates: expected the scores of at least one router, found none")

    def to_html(self) -> str:
        """All of it as one page that needs no other file and no network; names are escaped."""
        from ferroute._explorer_page import page

        whole: Any = self.sweeps
        return page(whole, self.share, f"Thresholds of {', '.join(sweep.name for sweep in self.sweeps)}")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes `to_html` to a file, whole or not at all.

        Args:
            path: The file, such as ``"explorer.html"``.

        Returns:
            The file.

        Raises:
            UnreadableFileError: It cannot be written.
        """
        return write_whole(path, self.to_html())

    def __repr__(self) -> str:
        one = self.sweeps[0]
        names = ", ".join(repr(sweep.name) for sweep in self.sweeps)
        cost = "cost not known" if one.costs is None else "cost"
        quality = "quality not measured" if one.qualities is None else "quality"
        return f"<explorer of {names} ({one.n:,} prompts): {len(one.shares):,} thresholds, {cost}, {quality}>"

    def _repr_html_(self) -> str:
        import secrets

        from ferroute._explorer_page import block

        whole: Any = self.sweeps
        return block(whole, self.share, secrets.token_hex(6))
