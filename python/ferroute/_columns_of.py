"""Columns that users hand over (lists, arrays, Series), as float64, with the row of what is wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def numbers(what: str, values: Any, n: int | None = None, kind: str = "numbers") -> NDArray[np.float64]:
    """``values`` as float64 ``[n]``; messages call them ``kind``.

    Raises:
        InvalidTypeError: They are not numbers, or not in one row.
        InvalidValueError: They are not ``n``.
    """
    import numpy as np

    if isinstance(values, (str, bytes)) or values is None:
        found = "a string" if isinstance(values, (str, bytes)) else "None"
        raise InvalidTypeError(f"{what}: expected {kind} in one row, found {found}")
    if np.ma.isMaskedArray(values) or np.iscomplexobj(values):
        found = "a masked array" if np.ma.isMaskedArray(values) else "complex numbers"
        raise InvalidTypeError(f"{what}: expected {kind} in one row, found {found}")
    try:
        _no_text(what, np.asarray(values), kind)
        column: NDArray[np.float64] = np.ascontiguousarray(values, dtype=np.float64)
        dimensions = np.ndim(values)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"{what}: expected {kind} in one row: {error}") from None
    if dimensions != 1:
        raise InvalidTypeError(f"{what}: expected {kind} in one row, found {dimensions} dimensions")
    if n is not None and column.size != n:
        raise InvalidValueError(f"{what}: expected {n} numbers, one for each win rate; found {column.size}")
    return column


def _no_text(what: str, column: NDArray[Any], kind: str) -> None:
    """Refuses what numpy would read as numbers: "0.5", and a date as its nanoseconds."""
    found = None
    if column.dtype.kind not in "biufO":
        found = "strings" if column.dtype.kind in "SU" else f"{column.dtype}"
    elif column.dtype.kind == "O" and column.ndim == 1:
        each: list[object] = column.tolist()
        row = next((row for row, value in enumerate(each) if isinstance(value, (str, bytes))), None)
        found = None if row is None else f"the string {each[row]!r:.60} in row {row}"
    if found is not None:
        raise InvalidTypeError(f"{what}: expected {kind} in one row, found {found}")


def scores(what: str, values: Any, n: int, *, unknown: bool = False) -> NDArray[np.float64]:
    """Scores in 0..=1 ``[n]``; with ``unknown`` NaN stands for one that nobody knows.

    Raises:
        InvalidTypeError: As `numbers`.
        InvalidValueError: As `numbers`, or one is outside of 0..=1; the message names its row.
    """
    import numpy as np

    column = numbers(what, values, n)
    bad = ~((column >= 0) & (column <= 1))
    if unknown:
        bad &= ~np.isnan(column)
    if bad.any():
        row = int(bad.argmax())
        raise InvalidValueError(f"{what}: expected scores between 0 and 1, found {column[row]} in row {row}")
    return column


def fraction(what: str, value: Any, least: float = 0.0, *, below: bool = False) -> float:
    """A number from ``least`` to 1, or to ``below`` it.

    Raises:
        InvalidTypeError: It is no number.
        InvalidValueError: It is another one.
    """
    if isinstance(value, (str, bytes)):
        raise InvalidTypeError(f"{what}: expected a number between {least:g} and 1, found the string {value!r:.60}")
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidTypeError(f"{what}: expected a number between {least:g} and 1, found {value!r:.60}") from None
    if not least <= number <= 1 or (below and number == 1):
        raise InvalidValueError(f"{what}: expected a number between {least:g} and 1, found {number}")
    return number


def whole_seed(seed: Any) -> int:
    """A seed from 0 to 2**64 - 1.

    Raises:
        InvalidTypeError: It is no whole number.
        InvalidValueError: It is another one.
    """
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise InvalidTypeError(f"seed: expected a whole number, found {seed!r:.60}")
    number = int(seed)
    if not 0 <= number < 2**64:
        raise InvalidValueError(f"seed: expected 0 to 2**64 - 1, found {number}")
    return number


def digest_of(*columns: NDArray[np.float64]) -> str:
    """A short hash of columns, so that two results can be told to be of the same data."""
    import hashlib

    digest = hashlib.sha256()
    for column in columns:
        digest.update(column.tobytes())
    return digest.hexdigest()[:16]
