"""What an audit found, and the ways to look at it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from ferroute._whole_file import write_whole
from ferroute.auditing._findings import Findings
from ferroute.auditing._labels import Labels, inputs, read_labels, save
from ferroute.errors import InvalidValueError, NotBuiltError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

TABLES = ("calls", "models", "mix", "savings", "dearest", "to_label")


@dataclass(frozen=True, repr=False, eq=False)
class Audit(Findings):
    """What logs alone can say about moving calls to a cheaper model; made by `ferroute.audit`.

    Its attributes are those of `Findings`; printed it is the report.
    """

    def rows(self) -> list[dict[str, Any]]:
        """One dict a call: ``index``, ``place``, ``model``, ``win_rate``, ``task``, tokens, ``cost_usd`` and so on.

        ``saved_usd`` is what moving the call takes off by the forecast, None for calls that cannot move. What is not
        known is None.
        """
        names = list(self.columns)
        return [
            {name: None if value != value else value for name, value in zip(names, cells, strict=True)}
            for cells in zip(*self.columns.values(), strict=True)
        ]

    def to_pandas(self, table: str = "calls") -> pd.DataFrame:
        """A table as a data frame; pandas must be installed.

        Args:
            table: ``"calls"`` (as `rows`), ``"models"``, ``"mix"``, ``"savings"``, ``"dearest"`` or ``"to_label"``.
                Money is in US dollars as floats.

        Raises:
            InvalidValueError: There is no such table.
            NotBuiltError: pandas is not installed.
        """
        import dataclasses

        if table not in TABLES:
            raise InvalidValueError(f"table: expected one of {', '.join(TABLES)}, found {table!r:.60}")
        try:
            import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
        except ImportError:
            raise NotBuiltError("this needs pandas, which is not installed: pip install pandas") from None
        if table == "calls":
            return pd.DataFrame(self.columns)
        if table == "to_label":
            return pd.DataFrame(self.to_label)
        rows = [dataclasses.asdict(each) for each in getattr(self, table)]
        plain = ({name: _plain(value) for name, value in row.items()} for row in rows)
        return pd.DataFrame(list(plain))

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON: money that was spent as text, forecasts as numbers."""
        import dataclasses

        names = (
            "source format calls router strong to spend unpriced period verdict ceiling below total unknown broken "
            "problems others confidence seed at prices"
        )
        out: dict[str, Any] = {name: _json(getattr(self, name)) for name in names.split()}
        for name in ("saving", "quality", "habits"):
            out[name] = _json(dataclasses.asdict(getattr(self, name)))
        for name in ("savings", "models", "mix", "dearest"):
            out[name] = [_json(dataclasses.asdict(each)) for each in getattr(self, name)]
        out["to_label"] = self.to_label
        return out

    def save_labels(self, path: str | os.PathLike[str]) -> Path:
        """Writes `to_label` as JSON lines; fill in ``strong_score`` and ``weak_score``, then `read_labels`.

        Args:
            path: The file.

        Returns:
            The file.

        Raises:
            UnreadableFileError: It cannot be written.
        """
        return save(self.to_label, path)

    def certificate_inputs(self, labels: str | os.PathLike[str] | Labels) -> dict[str, Any]:
        """What `ferroute.calibrate.guarantee` takes, of labels that were filled in: ``guarantee(**inputs)``.

        Args:
            labels: The file, or what `read_labels` made of it.

        Returns:
            ``win_rates`` of all the strong model's calls ``[total]``, ``strong_scores`` and ``weak_scores`` with NaN
            where there is no label, and ``ceiling``. Without a ceiling only the calls with labels, and ``traffic``,
            the win rates of all.

        Raises:
            InvalidValueError: The labels belong to other logs; or as `read_labels`.
        """
        found = read_labels(labels) if isinstance(labels, (str, os.PathLike)) else labels
        return inputs(found, self.positions, self.traffic)

    def to_html(self) -> str:
        """The report as one page that needs no other file and no network; texts of the logs are escaped."""
        from ferroute.auditing._html import page

        return page(self)

    def save_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes `to_html` to a file.

        Args:
            path: The file.

        Returns:
            The file.

        Raises:
            UnreadableFileError: It cannot be written.
        """
        return write_whole(path, self.to_html())

    def __repr__(self) -> str:
        from ferroute.auditing._text import report

        return report(self)

    def _repr_html_(self) -> str:
        from ferroute.auditing._html import block

        return block(self)


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


def _json(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dict):
        return {str(name): _json(each) for name, each in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_json(each) for each in cast("list[Any]", value)]
    return value
