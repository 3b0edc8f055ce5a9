"""What promises about a threshold have in common: they are text that explains itself, and files that cannot be edited.

A file carries a digest of its fields. That is against slips, such as a threshold changed by hand, and not against
forgers: nothing in it is secret.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from ferroute._whole_file import write_whole
from ferroute.errors import InvalidValueError, MissingFileError, UnreadableFileError

if TYPE_CHECKING:
    from os import PathLike

    from typing_extensions import Self

_MOST = 1 << 20
_WIDTH = 88


@dataclass(frozen=True, repr=False)
class Promised:
    """A dataclass of plain values whose text is `_lines` and whose contradictions `_check` knows."""

    _KIND: ClassVar[str] = "promise"

    def _lines(self) -> list[str]:
        """A heading, and what there is to say below it."""
        raise NotImplementedError

    def _check(self) -> None:
        """Raises InvalidValueError where a field is out of its range or contradicts another."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON holds them; `from_dict` reads them."""
        return {f"ferroute_{self._KIND}": 1, **self._plain()}

    def _plain(self) -> dict[str, Any]:
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    def _digest(self) -> str:
        import hashlib

        text = json.dumps(self._plain(), allow_nan=False, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def save(self, path: str | PathLike[str]) -> Path:
        """Writes a JSON file, whole or not at all, with a digest (SHA-256) of the fields.

        Args:
            path: The file; one that is there already is replaced.

        Returns:
            The path.

        Raises:
            UnreadableFileError: It cannot be written.
        """
        held = {**self.as_dict(), "digest": self._digest()}
        return write_whole(path, json.dumps(held, allow_nan=False, indent=1) + "\n")

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Reads what `save` wrote.

        Args:
            path: The file, at most 1 MiB.

        Raises:
            MissingFileError: There is no such file.
            UnreadableFileError: It cannot be read.
            InvalidValueError: It holds something else, or was changed after it was saved.
        """
        name = os.fspath(path)
        try:
            with Path(path).open("rb") as stream:
                text = stream.read(_MOST + 1)
        except FileNotFoundError:
            raise MissingFileError(f"{name}: there is no such {cls._KIND}") from None
        except OSError as error:
            raise UnreadableFileError(f"{name}: cannot be read: {error}") from error
        try:
            if len(text) > _MOST:
                raise InvalidValueError(f"it is larger than {_MOST >> 20} MiB")
            held: Any = json.loads(text)
            made = cls.from_dict(held)
            if "digest" not in held:
                raise InvalidValueError("expected a digest of its fields, found none")
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InvalidValueError(f"{name}: is not a {cls._KIND} of ferroute: {error}") from None
        return made

    @classmethod
    def from_dict(cls, read: Any) -> Self:
        """The opposite of `as_dict`.

        Args:
            read: What `as_dict` gave, or JSON that holds the same.

        Raises:
            InvalidValueError: It is something else, contradicts itself, or does not fit the digest beside it.
        """
        if not isinstance(read, dict) or cast("dict[str, Any]", read).get(f"ferroute_{cls._KIND}") != 1:
            raise InvalidValueError(f"expected an object with ferroute_{cls._KIND}: 1")
        found = cast("dict[str, Any]", read)
        fields: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name not in found:
                raise InvalidValueError(f"expected a value of {field.name}, found none")
            fields[field.name] = _read(field.name, str(field.type), found[field.name])
        made = cls(**fields)
        made._check()
        if "digest" in found and found["digest"] != made._digest():
            raise InvalidValueError("its fields do not fit its digest, so it was changed after it was saved")
        return made

    def __repr__(self) -> str:
        import textwrap

        def filled(line: str, first: str, others: str) -> str:
            return textwrap.fill(
                line,
                _WIDTH,
                initial_indent=first,
                subsequent_indent=others,
                break_long_words=False,
                break_on_hyphens=False,
            )

        head, *rest = self._lines()
        return "\n".join([filled(head, "", ""), *(filled(line, "  - ", "    ") for line in rest)])

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        from ferroute import _notebook

        first, *rest = self._lines()
        return _notebook.frame(_notebook.head(first), _notebook.items(rest))


def within(promise: object, low: float, high: float, *names: str) -> None:
    """Each of these fields is a number from ``low`` to ``high``.

    Raises:
        InvalidValueError: One is not; the message names it.
    """
    for name in names:
        value = getattr(promise, name)
        if not low <= value <= high:
            most = f"between {low:g} and {high:g}" if math.isfinite(high) else f"of at least {low:g}"
            raise InvalidValueError(f"{name}: expected a number {most}, found {value}")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(cast("tuple[str, ...]", value))
    return str(value) if isinstance(value, Decimal) else value


def _read(name: str, kind: str, value: Any) -> Any:
    """A field's value, if it is of the field's kind."""
    if kind == "tuple[str, ...]":
        if isinstance(value, list) and all(isinstance(each, str) for each in cast("list[Any]", value)):
            return tuple(cast("list[str]", value))
    elif value is None and kind.endswith("| None"):
        return None
    elif kind.startswith("float"):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif kind == "Decimal":
        dollars = _decimal(value)
        if dollars is not None:
            return dollars
    elif type(value).__name__ == kind.removesuffix(" | None"):
        return value
    raise InvalidValueError(f"{name}: expected {kind}, found {value!r:.60}")


def _decimal(value: Any) -> Decimal | None:
    try:
        amount = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        return None
    return amount if amount is not None and amount.is_finite() else None
