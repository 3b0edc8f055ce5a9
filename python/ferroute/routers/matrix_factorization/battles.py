"""Battles for training: read from a file or from records, filtered as RouteLLM filters, and turned into rows."""

from __future__ import annotations

import operator
import os
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute.errors import CountMismatchError, InvalidTypeError, InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

COLUMNS = ("idx", "model_a", "model_b", "winner", "winner_model_a", "winner_model_b", "prompt")
WINNERS = ("model_a", "model_b")
TIE = "tie"

SHORTEST = 16
"""Prompts of fewer code points have no embedding in RouteLLM's data sets: their battles are left out."""


@dataclass
class BattleTable:
    """Battles between two different models, and what was left out.

    Attributes:
        model_a: Names, one a battle.
        model_b: Names.
        winner: ``"model_a"``, ``"model_b"``, or ``"tie"`` where ties were asked for.
        prompt: Row of each battle's prompt among the embeddings (or among ``texts``), from 0.
        texts: Different prompts, in order of appearance; None where the battles carry row numbers instead.
        read: Battles before filtering.
        dropped: Reason -> number of battles.
        first: With ``texts``, the battle (before filtering) in which each of them appears first.
        by_position: Whether the prompt of a battle is its own position, because it has neither ``idx`` nor ``prompt``.
        long: With ``texts``, whether each battle (before filtering) has a prompt of at least `SHORTEST` code points.
    """

    model_a: list[str]
    model_b: list[str]
    winner: list[str]
    prompt: list[int]
    texts: list[str] | None
    read: int
    dropped: dict[str, int] = field(default_factory=dict[str, int])
    first: list[int] = field(default_factory=list[int])
    long: list[bool] = field(default_factory=list[bool])
    by_position: bool = False

    def __len__(self) -> int:
        return len(self.winner)

    @property
    def names(self) -> list[str]:
        """The models' names, sorted."""
        return sorted({*self.model_a, *self.model_b})

    def rows(self, table: Mapping[str, int]) -> NDArray[np.int64]:
        """Winner, loser and prompt of each battle, int64 ``[n, 3]``; of a tie, the first model as the winner.

        Raises:
            UnknownNameError: A model that is not in ``table``.
        """
        import numpy as np

        unknown = [name for name in self.names if name not in table]
        if unknown:
            raise UnknownNameError(
                f"no model {unknown[0]!r} in the table of {len(table)} models"
                + (f", nor {len(unknown) - 1} others" if len(unknown) > 1 else "")
            )
        first = np.array([table[name] for name in self.model_a], dtype=np.int64)
        second = np.array([table[name] for name in self.model_b], dtype=np.int64)
        won = np.array([winner != "model_b" for winner in self.winner], dtype=bool)
        prompt = np.array(self.prompt, dtype=np.int64)
        return np.stack([np.where(won, first, second), np.where(won, second, first), prompt], axis=1)

    def tied(self) -> NDArray[np.bool_]:
        """Which battles are ties, bool ``[n]``."""
        import numpy as np

        return np.array([winner == TIE for winner in self.winner], dtype=bool)

    def aligned(self, rows: int) -> BattleTable:
        """The same battles with rows of embeddings for texts: of one row a battle, or a row for each long enough one.

        The latter is what ``generate_embeddings`` writes; battles with a shorter prompt are left out then.

        Raises:
            CountMismatchError: ``rows`` is neither number (the first, without ``idx`` and ``prompt``).
        """
        if self.by_position and rows != self.read:
            raise CountMismatchError(
                f"{rows} embeddings for {self.read} battles without 'idx' and 'prompt': expected one for each of them"
            )
        if self.texts is None:
            return self
        long = sum(self.long)
        if rows not in (self.read, long):
            raise CountMismatchError(
                f"{rows} embeddings for {self.read} battles, {long} of them with a prompt of at least {SHORTEST} "
                "characters: expected one for each of the one or of the other, or a column 'idx' in the battles"
            )
        numbers = list(range(self.read))
        if rows != self.read:
            ranks = accumulate(self.long)
            numbers = [rank - 1 if long else -1 for rank, long in zip(ranks, self.long, strict=True)]
        prompt = [numbers[self.first[number]] for number in self.prompt]
        kept = [index for index, row in enumerate(prompt) if row >= 0]
        dropped = dict(self.dropped)
        if len(kept) < len(self):
            dropped["short prompt"] = len(self) - len(kept)
        a, b, winner = ([names[i] for i in kept] for names in (self.model_a, self.model_b, self.winner))
        return BattleTable(a, b, winner, [prompt[i] for i in kept], None, self.read, dropped)


def read(source: Any, ties: bool = False) -> BattleTable:
    """Battles of a file, a folder, a Hub data set, a DataFrame or records.

    A battle has ``model_a``, ``model_b`` and ``winner`` (``"model_a"``, ``"model_b"``, or what begins with ``"tie"``)
    or the arena's ``winner_model_a`` and ``winner_model_b``. Ties are left out unless ``ties`` is true. Its prompt is
    ``idx``, a row of the embeddings; where there is none, ``prompt``, the text (or the arena's JSON list of turns, of
    which the first counts); where there is neither, its own position.

    Args:
        source: A path, a name on the Hugging Face Hub, a DataFrame or records.
        ties: Whether ties are kept; RouteLLM leaves them out.

    Raises:
        InvalidValueError: A column is missing, or a battle makes no sense; the message names it.
        InvalidTypeError: Another kind of object.
        MissingFileError: There is no such file, folder or data set.
    """
    columns, where = _columns(source)
    for name in ("model_a", "model_b"):
        if name not in columns:
            raise InvalidValueError(f"{where}: battles need a column {name!r}; found {', '.join(columns) or 'none'}")
    winners = _winners(columns, where)
    count = len(winners)
    a, b = list(columns["model_a"]), list(columns["model_b"])
    prompts, texts = _prompts(columns, count, where)
    by_position = "idx" not in columns and "prompt" not in columns
    table = BattleTable([], [], [], [], None, read=count, by_position=by_position)
    for row in range(count):
        reason = _reason(a[row], b[row], winners[row], prompts[row], ties)
        if reason is not None:
            table.dropped[reason] = table.dropped.get(reason, 0) + 1
            continue
        table.model_a.append(a[row])
        table.model_b.append(b[row])
        table.winner.append(winners[row])
        table.prompt.append(prompts[row])
    if texts is not None:
        first: dict[int, int] = {}
        for row, number in enumerate(prompts):
            first.setdefault(number, row)
        table.long = [number >= 0 and len(texts[number]) >= SHORTEST for number in prompts]
        used = {old: new for new, old in enumerate(dict.fromkeys(table.prompt))}
        table.first = [first[old] for old in used]
        table.prompt = [used[old] for old in table.prompt]
        table.texts = [texts[old] for old in used]
    return table


def _reason(a: Any, b: Any, winner: str, prompt: int, ties: bool) -> str | None:
    if not isinstance(a, str) or not isinstance(b, str):
        return "no model name"
    if winner == TIE and not ties:
        return "tie"
    if winner not in (*WINNERS, TIE):
        return "no winner"
    if a == b:
        return "same model twice"
    return "no prompt" if prompt < 0 else None


def _winners(columns: Mapping[str, Any], where: str) -> list[str]:
    if "winner" in columns:
        named = (value if isinstance(value, str) else "" for value in columns["winner"])
        return [TIE if value.startswith(TIE) else value for value in named]
    if "winner_model_a" in columns and "winner_model_b" in columns:
        pairs = zip(columns["winner_model_a"], columns["winner_model_b"], strict=True)
        return ["model_a" if a == 1 else "model_b" if b == 1 else TIE for a, b in pairs]
    raise InvalidValueError(
        f"{where}: battles need a column 'winner', or 'winner_model_a' and 'winner_model_b'; found {', '.join(columns)}"
    )


def _prompts(columns: Mapping[str, Any], count: int, where: str) -> tuple[list[int], list[str] | None]:
    """Row of each battle's prompt, -1 where it has none; and the different texts."""
    if "idx" in columns:
        return [_whole(value, row, where) for row, value in enumerate(columns["idx"])], None
    if "prompt" not in columns:
        return list(range(count)), None
    numbers: dict[str, int] = {}
    rows: list[int] = []
    for value in columns["prompt"]:
        text = first_turn(value)
        rows.append(numbers.setdefault(text, len(numbers)) if text else -1)
    return rows, list(numbers)


def _whole(value: Any, row: int, where: str) -> int:
    try:
        number = int(value)
        if number == value and 0 <= number < 2**63:
            return number
    except (TypeError, ValueError, OverflowError):
        pass
    raise InvalidValueError(f"{where}: battle {row}: idx is a row of the embeddings (0, 1, ...); found {value!r}")


def first_turn(prompt: Any) -> str:
    """The first turn of a list of turns, or of the arena's JSON of one; any other text is itself, all else is empty.

    White space around it is cut.

    Args:
        prompt: The prompt of a battle.
    """
    turns: Any = prompt
    if isinstance(prompt, str) and prompt.lstrip().startswith("["):
        import json

        try:
            turns = json.loads(prompt)
        except (ValueError, RecursionError):
            turns = prompt
    if isinstance(turns, (list, tuple)) and turns and isinstance(turns[0], str):
        return turns[0].strip()
    return prompt.strip() if isinstance(prompt, str) else ""


def _columns(source: Any) -> tuple[dict[str, Any], str]:
    if isinstance(source, (str, os.PathLike)):
        return _from_files(cast("str | os.PathLike[str]", source))
    if hasattr(source, "columns") and hasattr(source, "__getitem__"):  # a DataFrame of pandas or polars
        return {name: source[name].to_list() for name in COLUMNS if name in source.columns}, "battles"
    if isinstance(source, (bytes, int, float)) or not hasattr(source, "__iter__"):
        found = type(source).__name__
        raise InvalidTypeError(f"battles are a path, a DataFrame, or a list of mappings; found {found}")
    return _from_records(list(source)), "battles"


def _from_records(records: Sequence[Any]) -> dict[str, Any]:
    for row, record in enumerate(records):
        if not hasattr(record, "keys"):
            raise InvalidTypeError(f"battle {row}: expected a mapping, found {type(record).__name__}")
    names = [name for name in COLUMNS if any(name in record for record in records)]
    if not records:
        names = ["model_a", "model_b", "winner", "idx"]
    return {name: [record.get(name) for record in records] for name in names}


def _from_files(source: str | os.PathLike[str]) -> tuple[dict[str, Any], str]:
    from ferroute._datasets import files

    paths = files(source)
    parts = [_known(_core.read_columns(path)) for path in paths]
    names = list(parts[0])
    for path, part in zip(paths, parts, strict=True):
        if list(part) != names:
            raise InvalidValueError(f"{path}: has the columns {', '.join(part)}; {paths[0]} has {', '.join(names)}")
    return {name: _joined(part[name] for part in parts) for name in names}, os.fspath(source)


def _known(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: columns[name] for name in COLUMNS if name in columns}


def _joined(parts: Iterable[Any]) -> list[Any]:
    return [value for part in parts for value in part]


def checked_count(name: str, value: Any, least: int = 1) -> int:
    """``value`` as a whole number of at least ``least``.

    Args:
        name: What messages call it.
        value: The number.
        least: The least it may be.

    Raises:
        InvalidValueError: A smaller one, or one beyond 64 bits.
        InvalidTypeError: No whole number at all.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidTypeError(f"{name}: expected a whole number, found {type(value).__name__}") from None
    if not least <= number < 2**63:
        raise InvalidValueError(f"{name}: expected a whole number of at least {least}, found {number}")
    return number


def fingerprint(*arrays: Any, names: Sequence[str] = ()) -> str:
    """SHA-256 over names, shapes, types and values: equal for equal data.

    Args:
        names: Texts, in order.
        *arrays: Arrays of any shape and type, in order.
    """
    import hashlib

    import numpy as np

    digest = hashlib.sha256("\0".join(names).encode("utf-8", "replace"))
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        for start in range(0, len(array), 4096):
            digest.update(np.ascontiguousarray(array[start : start + 4096]).tobytes())
    return digest.hexdigest()


def load_embeddings(source: Any) -> NDArray[Any]:
    """Embeddings ``[n, text_dim]``: an array as it is, an ``.npy`` file, which is memory-mapped, or a table.

    Parquet, Arrow and JSONL files have them in a column ``embeddings`` or ``embedding``, or in the only one with lists
    of numbers, and give float32; the others keep their type.

    Args:
        source: An array ``[n, text_dim]``, or the path of an ``.npy`` file or a table.

    Raises:
        InvalidValueError: Not two dimensions, or a file that is none of these.
        MissingFileError: There is no such file.
    """
    import numpy as np

    array: Any = (
        np.asarray(source) if not isinstance(source, (str, os.PathLike)) else _stored(Path(cast("str", source)))
    )
    if array.ndim != 2:
        raise InvalidValueError(f"embeddings: expected an array [n, text_dim], found shape {array.shape}")
    if array.dtype.kind not in "fiu":
        raise InvalidValueError(f"embeddings: expected numbers, found an array of {array.dtype}")
    return array


_TABLES = (".parquet", ".arrow", ".feather", ".ipc", ".jsonl", ".ndjson")


def _stored(path: Path) -> Any:
    import numpy as np

    from ferroute.errors import MissingFileError

    if not path.exists():
        raise MissingFileError(f"there is no file {path}")
    if path.suffix.lower() in _TABLES:
        return _core.read_matrix(path)
    try:
        array: Any = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InvalidValueError(
            f"{path}: expected an array saved by numpy (.npy), or a table ({', '.join(_TABLES)}): {error}"
        ) from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise InvalidValueError(f"{path}: is an archive of arrays (.npz), expected one array (.npy): np.save writes it")
    return cast("Any", array)
