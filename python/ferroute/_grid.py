"""What results are made of that show themselves: a table, or text; in a terminal, and by `_notebook` in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class Shown:
    """A result that shows itself as the table that its ``_table`` gives: header, rows, and a line below them."""

    def _table(self) -> tuple[Sequence[str], Sequence[Sequence[str]], str]:
        raise NotImplementedError

    def __repr__(self) -> str:
        return text_table(*self._table())

    def _repr_html_(self) -> str:
        from ferroute import _notebook

        titles, rows, caption = self._table()
        return _notebook.frame(_notebook.table(titles, rows), _notebook.note(caption))


class AsText:
    """What shows itself as text: in a notebook its first line stands out, and the rest is laid out as in a terminal."""

    def _repr_html_(self) -> str:
        from ferroute import _notebook

        return _notebook.frame(_notebook.lines(str(self)))


class Fields:
    """A dataclass that says what differs from its defaults, as it would be written, and in a notebook all there is.

    The class needs ``@dataclass(repr=False)`` and a default for each field.
    """

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def _fields(self) -> list[tuple[str, object, object]]:
        return [(name, getattr(self, name), field.default) for name, field in self.__dataclass_fields__.items()]

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value, default in self._fields() if value != default)
        return f"{type(self).__name__}({said})"

    def _repr_html_(self) -> str:
        from ferroute import _notebook

        rows = [
            (name, repr(value), "" if value == default else f"not {default!r}")
            for name, value, default in self._fields()
        ]
        return _notebook.frame(_notebook.head(type(self).__name__), _notebook.table((), rows, left=3))


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """The first column to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    ]
    return "\n".join([*lines, caption] if caption else lines)
