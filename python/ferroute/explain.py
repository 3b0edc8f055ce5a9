"""A decision taken apart: what `ferroute.decision.Decision.explain` returns.

An `Explanation` is text (``print``), a table and pictures in a notebook, and plain JSON (`Explanation.to_dict`). It is
made when it is asked for, from what the decision remembers, and calls no model and no network.
"""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from ferroute._explained import Candidate, Change, Explained, RunnerUp, Score

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Candidate", "Change", "Explanation", "RunnerUp", "Score"]


class Explanation(Explained):
    """Why a request goes where it goes, and what would have sent it elsewhere.

    Its attributes are those of `ferroute._explained.Explained`: among them ``candidates``, ``runner_up``, ``changes``,
    ``win_rate``, ``scores``, ``fired``, ``limits``, ``notes``, ``routing_us`` and ``router_cost_usd``.
    """

    def to_dict(self) -> dict[str, Any]:
        """All of it for JSON: money as decimal text, a number that is none as None."""
        return cast("dict[str, Any]", _plain(dataclasses.asdict(self)))

    def text(self, width: int = 100, *, ascii_only: bool = False) -> str:
        """As plain text.

        Args:
            width: Columns to fit in, at least 72.
            ascii_only: Draw without Unicode.
        """
        from ferroute._explain_text import text

        return text(self, max(width, 72), ascii_only=ascii_only)

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return self.text()

    def _repr_html_(self) -> str:
        from ferroute._explain_html import html

        return html(self)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in cast("list[Any]", value)]
    if isinstance(value, Decimal):
        return f"{value:f}"
    return None if isinstance(value, float) and not math.isfinite(value) else value
