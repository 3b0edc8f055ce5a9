"""Embeds the prompts of battles, for the routers ``sw_ranking`` and ``mf``.

As a program::

    python -m ferroute.routers.similarity_weighted.generate_embeddings \
        --battles-dataset lmsys/lmsys-arena-human-preference-55k --output-dataset arena_embeddings.npy

Finished batches are written down as they come: a run that was stopped goes on where it was when it is started again
with the same arguments.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ferroute._signals import program
from ferroute._whole_file import put
from ferroute.errors import InvalidValueError, UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

__all__ = ["get_embeddings", "main"]

EMBEDDING_MODEL = "text-embedding-3-small"
BATCH = 2000


def get_embeddings(
    battles_df: Any,
    *,
    embedder: Mapping[str, Any] | Callable[[str], ArrayLike] | str | None = None,
    batch_size: int = BATCH,
    partial: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> NDArray[np.float32]:
    """Embeddings of the battles that are kept, in order: the rows that `SWRankingRouter` expects.

    Prints ``Battles after preprocessing: N``.

    Args:
        battles_df: A DataFrame or mapping with a column ``prompt`` (a JSON list of turns each), or a list of such
            texts. It is not changed.
        embedder: As for `MatrixFactorizationRouter`: ``"local"``, settings of an OpenAI-compatible endpoint, or a
            callable; None: ``text-embedding-3-small`` of OpenAI's endpoint.
        batch_size: Prompts between two writes to ``partial``.
        partial: File in which finished batches are kept until the end; a call that finds it there, of the same prompts
            and embedder, goes on from it. Only one run at a time may write to it.
        progress: Show a bar on standard error.

    Returns:
        float32 ``[kept battles, d]``.

    Raises:
        InvalidValueError: There is no column ``prompt``, ``partial`` is of other prompts or another embedder, or the
            embedder gave NaN or vectors of several lengths.
        UnreadableFileError: Another run is writing ``partial``.
    """
    texts = kept_prompts(battles_df)
    print(f"Battles after preprocessing: {len(texts)}")  # noqa: T201 - as in RouteLLM
    from ferroute._batch import progress as counting
    from ferroute.embedding import PromptEmbedder, identity

    class _Named:
        embedding_model = EMBEDDING_MODEL

    if isinstance(embedder, str) and embedder != "local":
        embedder = {"model": embedder}
    source = PromptEmbedder(_Named(), embedder)
    who = identity(embedder, EMBEDDING_MODEL) if embedder is not None else {"model": EMBEDDING_MODEL}
    with (
        _Partial(Path(partial) if partial is not None else None, texts, who) as store,
        counting(len(texts), "embedding" if progress else None) as advance,
    ):
        advance(store.done)
        while store.done < len(texts):
            part = texts[store.done : store.done + batch_size]
            store.add(source.embed_batch(part, advance))
        return store.all()


def kept_prompts(battles: Any) -> list[str]:
    """First turns of the battles that are kept: stripped, of at least 16 code points.

    Raises:
        InvalidValueError: The battles have no column ``prompt``.
    """
    from ferroute.routers.matrix_factorization.battles import SHORTEST, first_turn

    column: Any = battles
    if not isinstance(battles, list):
        if "prompt" not in battles:
            raise InvalidValueError("battles need a column 'prompt'")
        column = battles["prompt"]
    texts = map(first_turn, column)
    return [text for text in texts if len(text) >= SHORTEST]


class _Partial:
    """Finished batches, in memory or in a file that outlives the program.

    The file has one line of JSON that says what it is, then rows of float32. It is locked while it is open.
    """

    def __init__(self, path: Path | None, texts: list[str], embedder: Mapping[str, Any]) -> None:
        import hashlib
        import json

        digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
        self._head = {"prompts": digest, "embedder": dict(embedder)}
        self._json = json
        self._path = path
        self._file: BinaryIO | None = None
        self._parts: list[Any] = []
        self._width: int | None = None
        self.done = 0
        if path is not None:
            self._file = _locked(path)
            try:
                self._go_on(path, self._file, len(texts))
            except BaseException:
                self._file.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        if self._file is None or self._path is None:
            return
        if self._width is None:  # nothing is in it
            self._path.unlink(missing_ok=True)
        self._file.close()

    def _go_on(self, path: Path, file: BinaryIO, count: int) -> None:
        import numpy as np

        file.seek(0)
        first = file.readline()
        if not first:
            return
        try:
            head: Any = self._json.loads(first)
            width = int(head.pop("width"))
            fits = head == self._head and width > 0
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            fits, width = False, 0
        if not fits:
            raise InvalidValueError(
                f"{path} holds batches of other prompts or of another embedder: finish that run, or delete the file"
            )
        start = file.tell()
        rows: Any = np.frombuffer(bytearray(file.read()[: count * width * 4]), dtype=np.uint8)
        whole = len(rows) // (width * 4)
        self._width, self.done = width, whole
        if whole:
            self._parts.append(rows[: whole * width * 4].view("<f4").reshape(whole, width))
        # A batch that was cut off in the middle of a row is forgotten.
        file.truncate(start + whole * width * 4)

    def add(self, rows: Any) -> None:
        import numpy as np

        part = np.ascontiguousarray(rows, dtype="<f4")
        if self._width is not None and part.shape[1] != self._width:
            raise InvalidValueError(f"embeddings of {part.shape[1]} numbers after such of {self._width}")
        if not np.isfinite(part).all():
            raise InvalidValueError("the embedder gave NaN or an infinity")
        if self._width is None:
            self._width = part.shape[1]
            self._write(self._json.dumps({**self._head, "width": self._width}).encode() + b"\n")
        self._parts.append(part)
        self.done += len(part)
        self._write(part.tobytes())

    def _write(self, content: bytes) -> None:
        if self._file is not None:
            self._file.write(content)
            self._file.flush()
            os.fsync(self._file.fileno())

    def all(self) -> NDArray[np.float32]:
        import numpy as np

        return np.concatenate(self._parts) if self._parts else np.empty((0, self._width or 0), dtype=np.float32)


def _locked(path: Path) -> BinaryIO:
    """The file, opened to read and to append to, that nobody else has open for it (where the system has locks)."""
    file = path.open("a+b")
    try:
        import fcntl
    except ImportError:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The other run may have ended, and removed the file, in between.
        if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except OSError:
        pass
    file.close()
    raise UnreadableFileError(f"another run is writing {path}: wait for its end, or give another --output-dataset")


def parser() -> argparse.ArgumentParser:
    """The flags of the program."""
    flags = argparse.ArgumentParser(
        prog="python -m routellm.routers.similarity_weighted.generate_embeddings",
        description="Embed the prompts of battles that are long enough, in their order.",
    )
    add = flags.add_argument
    add("--battles-dataset", required=True, metavar="NAME", help="a file, a folder or a data set of the Hub")
    add(
        "--output-dataset",
        required=True,
        metavar="NAME",
        help="a path that ends in .npy or .parquet, or a Hub data set",
    )
    add("--embedder", metavar="NAME", help="'local' or an embedding model (default: text-embedding-3-small)")
    add("--api-base", metavar="URL", help="OpenAI-compatible endpoint (default: OPENAI_BASE_URL, else OpenAI's)")
    add("--dimensions", type=int, metavar="N", help="width the endpoint is asked for")
    add("--instruction", metavar="TEXT", help="put before every prompt")
    add("--batch-size", type=int, default=BATCH, help="prompts between two writes to disk (%(default)s)")
    add("--private", action="store_true", help="make the Hub data set a private one")
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
    from ferroute import _core
    from ferroute._datasets import files

    output = Path(given.output_dataset)
    is_file = output.suffix in {".npy", ".parquet"}
    if not is_file and (output.suffix or output.exists() or given.output_dataset.count("/") != 1):
        raise InvalidValueError(
            "--output-dataset: expected a path that ends in .npy or .parquet, or owner/name for the Hub; found "
            f"{output}"
        )
    if is_file and not output.parent.is_dir():
        raise InvalidValueError(f"--output-dataset: there is no folder {output.parent}")
    if is_file and output.is_dir():
        raise InvalidValueError(f"--output-dataset: {output} is a folder, expected a file")
    partial = output.with_name(output.name + ".partial") if is_file else Path(f"{output.name}.embeddings.partial")
    prompts: list[str | None] = []
    for path in files(given.battles_dataset):
        column: Any = _core.read_columns(path, ["prompt"])["prompt"]
        prompts += column
    embeddings = get_embeddings(
        prompts, embedder=_embedder(given), batch_size=max(given.batch_size, 1), partial=partial
    )
    if is_file:
        _write(output, embeddings)
    else:
        _push(given.output_dataset, embeddings, given.private)
    partial.unlink(missing_ok=True)
    print(f"{len(embeddings)} embeddings of {embeddings.shape[1]} numbers in {given.output_dataset}")  # noqa: T201


def _embedder(given: argparse.Namespace) -> Mapping[str, Any] | str | None:
    if given.embedder == "local":
        return "local"
    asked = {"api_base": given.api_base, "dimensions": given.dimensions, "instruction": given.instruction}
    asked = {key: value for key, value in asked.items() if value is not None}
    if not asked and given.embedder is None:
        return None
    return {"model": given.embedder or EMBEDDING_MODEL, **asked}


def _write(path: Path, embeddings: NDArray[np.float32]) -> None:
    """Writes the file completely or not at all."""
    import numpy as np

    from ferroute import _core

    if path.suffix == ".parquet":
        _core.write_columns(path, {"embeddings": embeddings})
        return
    beside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            np.save(file, embeddings)
        put(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _push(repository: str, embeddings: NDArray[np.float32], private: bool) -> None:
    """Uploads them as the column ``embeddings`` of the train split."""
    import tempfile

    from huggingface_hub import HfApi

    api = HfApi()
    api.create_repo(repository, repo_type="dataset", private=private, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "embeddings.parquet")
        _write(file, embeddings)
        api.upload_file(
            path_or_fileobj=file,
            path_in_repo="data/train-00000-of-00001.parquet",
            repo_id=repository,
            repo_type="dataset",
            commit_message="Embeddings of battles",
        )


if __name__ == "__main__":
    main()
