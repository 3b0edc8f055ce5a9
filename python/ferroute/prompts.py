r"""Prompts from text, JSONL, CSV and Parquet files.

Example:
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "prompts.jsonl")
    >>> _ = path.write_text('{"prompt": "hi"}\n{"messages": [{"role": "user", "content": "2+2?"}]}\n')
    >>> read_texts(path)
    ['hi', '2+2?']
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ferroute._core import PromptBatches, read_prompts

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["PromptBatches", "read_prompts", "read_texts"]


def read_texts(
    path: str | PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 - the name that file readers use
    column: str | None = None,
    skip_bad: bool = False,
) -> list[str]:
    """All prompts of a file, in its order; for files that do not fit in memory iterate over `read_prompts`.

    Args:
        path: The file, or ``"-"`` for standard input.
        format: ``"text"``, ``"jsonl"``, ``"csv"`` or ``"parquet"``; None: by the extension.
        column: Field or column with the prompt; None: ``prompt``, ``messages``, ``question`` or ``text``.
        skip_bad: Leave bad rows out; otherwise the first one raises.

    Returns:
        The texts, ``[n]``.

    Raises:
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
        InvalidValueError: A row is bad, or there is no such column; the message names file and row.
        NotBuiltError: Parquet from standard input.
    """
    batches = read_prompts(path, format=format, column=column, skip_bad=skip_bad)
    return [text for batch in batches for _row, text in batch]
