"""Finds prompts of a benchmark that resemble the battles a router was trained on.

As a program::

    python -m ferroute.evals.find_contaminated --benchmark gsm8k --embeddings-path train.npy \
        --battles-path battles.json --output contaminated.jsonl

A prompt counts as contaminated when the cosine similarity of its embedding with that of a training prompt is at least
0.95, RouteLLM's threshold for ``text-embedding-3-small``. Other embedding models need a threshold of their own.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute._signals import program
from ferroute.errors import CountMismatchError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

__all__ = ["THRESHOLD", "check_data_contamination_similarity", "main", "most_similar"]

THRESHOLD = 0.95
EMBEDDING_MODEL = "text-embedding-3-small"

# Rows of the training embeddings and of the benchmark that are multiplied together: 64 MB of similarities at most.
_TRAIN_ROWS, _EVAL_ROWS = 8192, 1024

# Products in float32 this close to the largest are made again in float64, so many pairs at a time; similarities in
# float64 this close count as equal.
_CLOSE, _PAIRS, _EQUAL = 4e-6, 4096, 1e-12


def check_data_contamination_similarity(
    train_embeddings: ArrayLike,
    eval_prompts: Sequence[str],
    *,
    embedder: Mapping[str, Any] | Callable[[str], ArrayLike] | str | None = None,
    threshold: float | None = None,
) -> list[tuple[int, int]]:
    """Prompts of a benchmark that are too similar to a training prompt.

    Args:
        train_embeddings: ``[n, d]`` of the training prompts; memory-mapped arrays may be larger than memory.
        eval_prompts: The benchmark's prompts.
        embedder: As for `MatrixFactorizationRouter`; None: ``text-embedding-3-small`` of OpenAI's endpoint.
        threshold: Similarity from which on a prompt counts; None: `THRESHOLD` as it is now.

    Returns:
        ``(row of the prompt, row of the most similar training prompt)``, the first one of equals.

    Raises:
        InvalidValueError: Widths differ, or an embedding has NaN or length 0.
    """
    from ferroute.embedding import PromptEmbedder

    class _Named:
        embedding_model = EMBEDDING_MODEL

    if isinstance(embedder, str) and embedder != "local":
        embedder = {"model": embedder}
    vectors = PromptEmbedder(_Named(), embedder).embed_batch(list(eval_prompts))
    if not len(eval_prompts):
        return []
    best, row = most_similar(train_embeddings, vectors)
    limit = THRESHOLD if threshold is None else threshold
    return [(index, int(row[index])) for index in range(len(row)) if best[index] >= limit]


def most_similar(
    train_embeddings: ArrayLike, eval_embeddings: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Largest cosine similarity of each row of ``eval_embeddings``, and the first row of the others that has it.

    Products are made block by block in float32, so memory stays bounded; what comes near the largest is computed again
    in float64. A row and its equal have a similarity of exactly 1.

    Args:
        train_embeddings: ``[n, d]``, n at least 1.
        eval_embeddings: ``[m, d]``.

    Returns:
        float64 ``[m]`` and int64 ``[m]``.

    Raises:
        InvalidValueError: The two differ in width, or one is no array ``[n, d]``.
    """
    import numpy as np

    train: Any = train_embeddings if hasattr(train_embeddings, "ndim") else np.asarray(train_embeddings)
    tests: Any = np.asarray(eval_embeddings)
    for name, array in (("train_embeddings", train), ("eval_embeddings", tests)):
        if array.ndim != 2 or not len(array):
            raise InvalidValueError(f"{name}: expected an array [n, d] of at least one row, found {array.shape}")
    if train.shape[1] != tests.shape[1]:
        raise InvalidValueError(
            f"training embeddings have {train.shape[1]} numbers, those of the benchmark {tests.shape[1]}: were they "
            "made by the same embedding model?"
        )
    exact: Any = np.asarray(eval_embeddings, dtype=np.float64)
    tests = _units(exact, "eval_embeddings", 0)
    best: Any = np.full(len(tests), -np.inf)
    row = np.zeros(len(tests), dtype=np.int64)
    for start in range(0, len(train), _TRAIN_ROWS):
        wide: Any = np.asarray(train[start : start + _TRAIN_ROWS], dtype=np.float64)
        block: Any = _units(wide, "train_embeddings", start)
        for first in range(0, len(tests), _EVAL_ROWS):
            part = slice(first, first + _EVAL_ROWS)
            products: Any = tests[part] @ block.T
            floor = np.maximum(products.max(axis=1), best[part]) - _CLOSE
            test, near = np.nonzero(products >= floor[:, None].astype(np.float32))
            if not len(test):
                continue
            found = _cosines(exact[part], wide, test, near)
            each = np.flatnonzero(np.r_[True, test[1:] != test[:-1]])
            most = np.repeat(np.maximum.reduceat(found, each), np.diff(np.r_[each, len(test)]))
            equals = np.flatnonzero(found >= most - _EQUAL)
            which, index = np.unique(test[equals], return_index=True)
            winner = equals[index]
            better = most[winner] > best[part][which] + _EQUAL
            best[first + which[better]] = most[winner][better]
            row[first + which[better]] = near[winner][better] + start
    # A vector and itself, or a multiple of it.
    return np.where(np.abs(best - 1) <= _EQUAL, 1.0, best), row


def _cosines(tests: Any, train: Any, test: Any, near: Any) -> NDArray[np.float64]:
    """Cosine similarity of pairs of rows, float64 ``[pairs]``, from the rows as they are."""
    import numpy as np

    out: Any = np.empty(len(test))
    lengths: Any = [np.linalg.norm(side, axis=1) for side in (tests, train)]
    for start in range(0, len(test), _PAIRS):
        a, b = test[start : start + _PAIRS], near[start : start + _PAIRS]
        # Divided before they are multiplied: lengths may be very large or small.
        one, other = tests[a] / lengths[0][a, None], train[b] / lengths[1][b, None]
        out[start : start + _PAIRS] = np.einsum("ij,ij->i", one, other)
    return out


def _units(rows: Any, name: str, start: int) -> NDArray[np.float32]:
    import numpy as np

    wide = np.asarray(rows, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=1)
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(bad):
        raise InvalidValueError(
            f"{name}: row {start + bad[0]} has the length {norms[bad[0]]}; it must be finite and above 0"
        )
    return (wide / norms[:, None]).astype(np.float32)


def benchmark_prompts(benchmark: str) -> list[str]:
    """The prompts of ``mmlu``, ``gsm8k`` or ``mt-bench`` (all first turns, then all second ones), none left out."""
    from ferroute import _core

    name = benchmark.replace("-", "_")
    path = Path(__file__).parent.parent / "data" / "benchmarks" / f"{name}.parquet"
    wanted = ["prompt", "prompt_2"] if name == "mt_bench" else ["prompt"]
    columns: Any = _core.read_columns(path, wanted)
    return [str(prompt) for name in wanted for prompt in columns[name]]


def _train_prompts(path: str) -> list[str]:
    """First user texts of battles: ``conversation_a`` (turns with ``content``) of JSON, or a column ``prompt``."""
    from ferroute import _core
    from ferroute._datasets import files
    from ferroute.routers.matrix_factorization.battles import first_turn

    found: list[str] = []
    for file in files(path):
        records = _records(file)
        if records and isinstance(records[0], dict) and "conversation_a" in records[0]:
            found += [_first_content(file, number, record) for number, record in enumerate(records)]
        else:
            column: Any = _core.read_columns(file, ["prompt"])["prompt"]
            if not isinstance(column, list):
                raise InvalidValueError(f"{file}: column 'prompt' holds numbers, expected texts")
            found += [first_turn(text or "") for text in cast("list[str | None]", column)]
    return found


def _records(file: Path) -> list[Any]:
    """The list that a ``.json`` file holds; none for all other files."""
    import json

    if file.suffix != ".json":
        return []
    try:
        loaded: Any = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"{file}: expected a JSON list of battles: {error}") from None
    return cast("list[Any]", loaded) if isinstance(loaded, list) else []


def _first_content(file: Path, number: int, record: Any) -> str:
    try:
        content = record["conversation_a"][0]["content"]
    except (LookupError, TypeError):
        content = None
    if not isinstance(content, str):
        raise InvalidValueError(
            f"{file}: record {number}: expected `conversation_a`, a list of turns with a text as `content`, found "
            f"{record!r:.80}"
        )
    return content


def parser() -> argparse.ArgumentParser:
    """The flags of the program."""
    flags = argparse.ArgumentParser(
        prog="python -m routellm.evals.find_contaminated",
        description="Find prompts of a benchmark that resemble training prompts.",
    )
    add = flags.add_argument
    add("--benchmark", required=True, choices=["mt-bench", "mmlu", "gsm8k"], help="whose prompts are checked")
    add("--output", required=True, metavar="FILE.jsonl", help="contaminated pairs, one JSON object a line")
    add("--embeddings-path", required=True, metavar="FILE", help="embeddings of the training prompts")
    add("--battles-path", required=True, metavar="FILE", help="the training prompts, in the same order")
    add("--threshold", type=float, default=THRESHOLD, help="similarity from which on a prompt counts (%(default)s)")
    add("--embedder", metavar="NAME", help="'local' or an embedding model (default: text-embedding-3-small)")
    add("--api-base", metavar="URL", help="OpenAI-compatible endpoint of the embedding model")
    return flags


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program; errors of ferroute end it with one line and exit code 1.

    Args:
        arguments: The command line's words; None: those of the process.
    """
    given = parser().parse_args(arguments)
    with program(parser().prog):
        _run(given)


def _run(given: argparse.Namespace) -> None:
    import json

    from ferroute.routers.matrix_factorization.battles import load_embeddings

    output = Path(given.output)
    if not output.parent.is_dir():
        raise InvalidValueError(f"--output: there is no folder {output.parent}")
    if output.is_dir():
        raise InvalidValueError(f"--output: {output} is a folder, expected a file")

    prompts = benchmark_prompts(given.benchmark)
    print(f"{len(prompts)} prompts for {given.benchmark}")  # noqa: T201
    train = load_embeddings(given.embeddings_path)
    texts = _train_prompts(given.battles_path)
    if len(texts) != len(train):
        raise CountMismatchError(
            f"{len(texts)} battles and {len(train)} embeddings: one embedding a battle is expected"
        )
    embedder: Any = given.embedder
    if given.api_base and embedder != "local":
        embedder = {"model": embedder or EMBEDDING_MODEL, "api_base": given.api_base}
    pairs = check_data_contamination_similarity(train, prompts, embedder=embedder, threshold=given.threshold)
    records = [
        {
            "train_prompt": texts[train_idx],
            "eval_prompt": prompts[eval_idx],
            "train_idx": train_idx,
            "eval_idx": eval_idx,
        }
        for eval_idx, train_idx in pairs
    ]
    for record in records:
        shown = " ".join(str(record["eval_prompt"]).split())[:70]
        print(f"{record['eval_idx']:6}  {record['train_idx']:6}  {shown}")  # noqa: T201
    print(f"{len(records)} contaminated")  # noqa: T201
    lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    output.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
