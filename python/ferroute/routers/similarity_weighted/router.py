"""RouteLLM's similarity-weighted ranking."""

from __future__ import annotations

import difflib
import json
import operator
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute.errors import CheckpointError, InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.routers.base import Router, built_in, check_text, checked_texts, scores_itself
from ferroute.routers.similarity_weighted.utils import WINNERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

STRONG, WEAK = "gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1"

_EMBEDDING_KINDS = (".parquet", ".arrow", ".npy", ".jsonl")

_MOST_TIERS = 2**32 - 1


@built_in
class SWRankingRouter(Router):
    """RouteLLM's similarity-weighted ranking (Ong et al. 2024, arXiv:2406.18665), in Rust.

    A prompt weighs known battles between models by how similar their prompts are to it; with these weights the tiers
    of models are rated anew, and the win rate follows from the ratings of the two models' tiers. Ratings are those at
    the optimum of the likelihood, which RouteLLM's solver stops short of (by up to two points).

    Args:
        arena_battle_datasets: Files, folders or Hub names of battles (Parquet, JSONL, Arrow, CSV).
        arena_embedding_datasets: The same for the embeddings of the battles that are kept, in the same order (`.npy`,
            or a list column of Parquet, Arrow or JSONL).
        strong_model: The model, among those of the battles, that stands for the strong one.
        weak_model: The same for the weak one.
        num_tiers: How many tiers the models are cut into.
        embedder: Where a prompt's embedding comes from, as in `MatrixFactorizationRouter`.
        index: A file. If it is there, it is mapped instead of reading the data sets, of which it must have been made;
            if not, it is written.
        model2tier: Tier of each model, in place of those that follow from the ratings.
        threads: How many to use; None: one for each processor.

    Attributes:
        strong_model: As given; read at each call.
        weak_model: As given; read at each call.
        embedding_model: Name of the embedding model; read at each call.
        model2tier: Model -> tier; 0 is the best.
        model_ratings: Model -> Elo rating (400 points are a factor of 10 in the odds), the best first.

    Raises:
        ValueError: Files that do not fit, such as another number of embeddings than of battles kept.
        KeyError: ``strong_model`` or ``weak_model`` is not in the battles; near names are suggested.
    """

    def __init__(
        self,
        arena_battle_datasets: Sequence[str | os.PathLike[str]],
        arena_embedding_datasets: Sequence[str | os.PathLike[str]],
        strong_model: str = STRONG,
        weak_model: str = WEAK,
        num_tiers: int = 10,
        embedder: Mapping[str, Any] | Callable[[str], ArrayLike] | None = None,
        *,
        index: str | os.PathLike[str] | None = None,
        model2tier: Mapping[str, int] | None = None,
        threads: int | None = None,
    ) -> None:
        battles, embeddings = _listed(arena_battle_datasets), _listed(arena_embedding_datasets)
        sources = {
            "battles": _files(battles),
            "embeddings": _files(embeddings, _EMBEDDING_KINDS),
            "num_tiers": _whole("num_tiers", num_tiers, 1),
            "model2tier": None if model2tier is None else _tiers_given(model2tier),
            "index": None if index is None else os.path.abspath(index),  # noqa: PTH100 - as text
        }
        self._start(sources, threads)
        self._set_up(strong_model, weak_model, embedder)

    @classmethod
    def from_index(
        cls,
        path: str | os.PathLike[str],
        strong_model: str = STRONG,
        weak_model: str = WEAK,
        embedder: Mapping[str, Any] | Callable[[str], ArrayLike] | None = None,
        *,
        threads: int | None = None,
    ) -> Self:
        """A router from a file that `save_index` wrote; its embeddings are mapped, so it starts at once.

        Args:
            path: The file.
            strong_model: Name of the strong model in the battles.
            weak_model: Name of the weak model in the battles.
            embedder: As for the constructor.
            threads: As for the constructor.

        Raises:
            CheckpointError: The file is no index, of another version, or damaged.
            MissingFileError: There is no such file.
            UnknownNameError: A model is not in the battles.
        """
        router = cls.__new__(cls)
        router._start({"index": os.path.abspath(path)}, threads)  # noqa: PTH100 - as text
        router._set_up(strong_model, weak_model, embedder)
        return router

    def save_index(self, path: str | os.PathLike[str]) -> None:
        """Writes battles, ratings, tiers and embeddings to one file, completely or not at all.

        A pickled router is loaded from it afterwards, as long as it is there; the data sets are then not needed.

        Args:
            path: The file.
        """
        self._made_of = _hashed(self._made_of, self._sources)
        self._core.save(path, json.dumps(self._made_of, sort_keys=True))
        self._sources["index"] = os.path.abspath(path)  # noqa: PTH100 - as text

    def _start(self, sources: dict[str, Any], threads: int | None) -> None:
        self._sources, self._threads = sources, threads
        index = sources.get("index")
        if index is None:
            self._read()
        elif "battles" not in sources or Path(index).exists():
            self._map(index)
            if "battles" in sources:
                _compare(index, self._made_of, sources)
        else:
            self._read()
            self.save_index(index)

    def _map(self, index: str) -> None:
        self._core, made_of = _core.SwRanking.open(index)
        self._made_of = _parsed(made_of)

    def _read(self) -> None:
        sources = self._sources
        # Before the reading: what changes afterwards is not what was read.
        self._made_of = _made_of(sources)
        self._core = _core.SwRanking(
            sources["battles"],
            sources["embeddings"],
            sources["num_tiers"],
            model2tier=sources["model2tier"],
            threads=self._threads,
        )

    def _set_up(self, strong_model: str, weak_model: str, embedder: Any) -> None:
        from ferroute.embedding import PromptEmbedder

        models = self._core.models()
        self.model_ratings = {name: rating for name, rating, _ in models}
        self.model2tier = {name: tier for name, _, tier in models}
        self.strong_model, self.weak_model = strong_model, weak_model
        self.embedding_model = "text-embedding-3-small"
        self._tiers()
        self.embedder = PromptEmbedder(self, embedder)

    # --- scoring

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Win rate of the strong model for a prompt, 0..=1; asks for its embedding.

        Args:
            prompt: The text to route.
        """
        check_text(prompt)
        return self._win_rate(self.embedder.embed(prompt))

    async def acalculate_strong_win_rate(self, prompt: str) -> float:
        """As `calculate_strong_win_rate`; the event loop runs on while the embedding is on its way.

        Args:
            prompt: The text to route.
        """
        if not scores_itself(self, SWRankingRouter):
            return await super().acalculate_strong_win_rate(prompt)
        import asyncio

        check_text(prompt)
        vector = await self.embedder.aembed(prompt)
        # Tens of milliseconds for a large arena.
        return await asyncio.to_thread(self._win_rate, vector)

    def calculate_strong_win_rates(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float64]:
        """Win rates of many prompts, float64 ``[n]``; embeddings are asked for in batches, side by side.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        if not scores_itself(self, SWRankingRouter):
            return super().calculate_strong_win_rates(prompts, progress)
        import numpy as np

        texts = checked_texts(prompts)
        if not texts:
            return np.empty(0, dtype=np.float64)
        return self.score_embeddings(self.embedder.embed_batch(texts, progress))

    def score_embeddings(self, embeddings: ArrayLike, *, threads: int | None = None) -> NDArray[np.float64]:
        """Win rates of prompts whose embeddings are at hand.

        Args:
            embeddings: ``[n, dim]``, float32, float64 or float16, in any memory layout.
            threads: How many to use; None: as at construction.

        Returns:
            Win rates in 0..=1, float64 ``[n]``, within 1e-7 of the same embeddings one by one.

        Raises:
            ValueError: Wrong width, a NaN or infinity, or a row of zeros; the message names the first bad row.
        """
        threads = self._threads if threads is None else threads
        if self._weighs_itself():
            return self._core.win_rates(embeddings, *self._tiers(), threads=threads)
        import numpy as np

        rows = np.asarray(embeddings)
        if rows.ndim != 2:
            raise InvalidValueError(f"expected embeddings of two dimensions, found an array of shape {rows.shape}")
        tiers = self._tiers()
        rates = [
            self._core.win_rate_of_weights(self._weights(self._core.similarities_of_row(rows, row, threads)), *tiers)
            for row in range(len(rows))
        ]
        return np.array(rates, dtype=np.float64)

    def get_weightings(self, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight of each battle, ``10 * 10 ** (s / max s)`` as in RouteLLM; override it for a law of your own.

        Args:
            similarities: Cosine similarity of the prompt with each battle, float64 ``[battles]``.

        Returns:
            float64 ``[battles]``, finite, not negative and not all 0; only ratios count.
        """
        import numpy as np

        return _core.sw_weightings(np.ascontiguousarray(similarities, dtype=np.float64))

    def tier_ratings(self, embedding: ArrayLike) -> dict[int, float]:
        """Elo of each tier, with the battles weighed for this embedding.

        Args:
            embedding: Embedding of the prompt, ``[d]``, float32 or float64.

        Returns:
            Tier -> rating; 400 points are a factor of 10 in the odds.

        Raises:
            ValueError: Wrong width, a NaN or infinity, or a vector of zeros.
        """
        if self._weighs_itself():
            ratings = self._core.tier_ratings(embedding, self._threads)
        else:
            similarities = self._core.similarities(embedding, self._threads)
            ratings = self._core.tier_ratings_of_weights(self._weights(similarities))
        return dict(zip(self._core.used_tiers, ratings.tolist(), strict=True))

    def _win_rate(self, vector: Any) -> float:
        if self._weighs_itself():
            return self._core.win_rate(vector, *self._tiers(), threads=self._threads)
        similarities = self._core.similarities(vector, self._threads)
        return self._core.win_rate_of_weights(self._weights(similarities), *self._tiers())

    def _weighs_itself(self) -> bool:
        """Whether nobody has overridden or patched `get_weightings`."""
        return getattr(type(self), "get_weightings", None) is _GET_WEIGHTINGS and "get_weightings" not in vars(self)

    def _weights(self, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        import numpy as np

        found = np.asarray(self.get_weightings(similarities))
        if found.dtype.kind not in "biuf":
            raise InvalidTypeError(f"get_weightings: expected an array of numbers, found one of {found.dtype}")
        if found.ndim != 1:
            shape = similarities.shape
            raise InvalidValueError(f"get_weightings: expected weights of shape {shape}, found {found.shape}")
        return np.ascontiguousarray(found, dtype=np.float64)

    def _tiers(self) -> tuple[int, int]:
        return self._tier(self.strong_model), self._tier(self.weak_model)

    def _tier(self, model: str) -> int:
        tier = self.model2tier.get(model)
        if tier is None:
            near = difflib.get_close_matches(str(model), self.model2tier, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            known = len(self.model2tier)
            raise UnknownNameError(f"no model {model!r} among the {known} models of the battles{hint}")
        return tier

    # --- what users look at

    @property
    def arena_df(self) -> Any:
        """The battles that are kept, as a pandas frame: ``model_a``, ``model_b`` (tier numbers), ``winner``.

        The index is that of all battles, so it has gaps. Made on first use; changing it does not change scores.
        """
        if self._arena_df is None:
            import numpy as np
            import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

            a, b, winners, rows = self._core.arena()
            self._arena_df = pd.DataFrame(
                {
                    "model_a": a.astype(np.int64),
                    "model_b": b.astype(np.int64),
                    "winner": np.array(WINNERS, dtype=object)[winners],
                },
                index=rows.astype(np.int64),
            )
        return self._arena_df

    @arena_df.setter
    def arena_df(self, frame: Any) -> None:
        self._arena_df = frame

    _arena_df: Any = None

    @property
    def arena_conv_embedding(self) -> NDArray[np.float32]:
        """The embeddings of the battles that are kept, ``[battles, dim]``, read-only, not copied."""
        return self._core.embeddings

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in vars(self).items() if name not in {"_core", "_arena_df"}}
        return {**state, "_digest": self._core.digest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            if name != "_digest":
                setattr(self, name, value)
        sources, index = self._sources, self._sources.get("index")
        if index is not None and ("battles" not in sources or Path(index).exists()):
            expected = self._made_of
            self._map(index)
            differ, whence = _differ(self._made_of, expected), index
        else:
            self._read()
            differ, whence = [], "the data sets"
        # The state holds tiers and ratings: they must not meet other battles.
        if differ or self._core.digest != state["_digest"]:
            raise CheckpointError(
                f"{whence}: expected what the pickled router was made of, found other {', '.join(differ) or 'battles'}"
            )

    def __repr__(self) -> str:
        core = self._core
        tiers, models = len(core.used_tiers), len(self.model2tier)
        return (
            f"<SWRankingRouter {len(core)} battles (of {core.total}) between {models} models in {tiers} tiers, "
            f"embeddings of {core.dim} numbers, {self.strong_model} against {self.weak_model}>"
        )


_GET_WEIGHTINGS = SWRankingRouter.get_weightings


def _listed(datasets: Sequence[str | os.PathLike[str]]) -> list[str]:
    if isinstance(datasets, (str, os.PathLike)):
        return [os.fspath(datasets)]
    return [os.fspath(dataset) for dataset in datasets]


def _files(datasets: list[str], kinds: Sequence[str] | None = None) -> list[str]:
    """All files, with their whole paths: a pickled router may wake up in another folder."""
    from ferroute._datasets import files

    options: dict[str, Any] = {} if kinds is None else {"kinds": kinds}
    return [os.path.abspath(file) for name in datasets for file in files(name, **options)]  # noqa: PTH100 - as text


def _whole(name: str, value: Any, least: int) -> int:
    """A tier, or a number of tiers: any integer, numpy's too."""
    try:
        number = operator.index(value)
    except TypeError:
        raise InvalidTypeError(f"{name}: expected a whole number, found {type(value).__name__}") from None
    if not least <= number <= _MOST_TIERS:
        raise InvalidValueError(f"{name}: expected a whole number from {least} to {_MOST_TIERS}, found {number}")
    return number


def _tiers_given(model2tier: Mapping[str, int]) -> dict[str, int]:
    return {model: _whole(f"model2tier: the tier of {model!r}", tier, 0) for model, tier in model2tier.items()}


# --- what an index is made of: name, size, time and hash of each file, in order, and the tiers asked for


def _made_of(sources: Mapping[str, Any]) -> dict[str, Any]:
    """Without hashes, which would be a second reading of all files."""
    made_of: dict[str, Any] = {kind: [_stamp(file) for file in sources[kind]] for kind in ("battles", "embeddings")}
    return made_of | {name: sources[name] for name in ("num_tiers", "model2tier")}


def _stamp(file: str) -> list[Any]:
    found = Path(file).stat()
    return [Path(file).name, found.st_size, found.st_mtime_ns, None]


def _hashed(made_of: dict[str, Any], sources: Mapping[str, Any]) -> dict[str, Any]:
    """With hashes of the files that are still as they were when they were read."""
    if "battles" not in sources:
        return made_of
    filled = dict(made_of)
    for kind in ("battles", "embeddings"):
        pairs = zip(_stamps(made_of, kind), sources[kind], strict=True)
        filled[kind] = [stamp if stamp[3] else _with_hash(stamp, file) for stamp, file in pairs]
    return filled


def _with_hash(stamp: list[Any], file: str) -> list[Any]:
    try:
        content = _core.hash_of_file(file)
        return [*stamp[:3], content if _stamp(file) == stamp else None]
    except OSError:
        return stamp


def _compare(index: str, found: dict[str, Any], sources: Mapping[str, Any]) -> None:
    """Raises unless an index was made of what it is asked to stand for.

    A file of the same size and time is the same, unless it is as new as the index; the others are hashed.
    """
    expected, written = _made_of(sources), Path(index).stat().st_mtime_ns
    for kind in ("battles", "embeddings"):
        for at, file in enumerate(sources[kind]):
            stamp = expected[kind][at]
            there = next(iter(_stamps(found, kind)[at : at + 1]), None)
            if there is None or there[:2] != stamp[:2]:
                continue
            if there[2] == stamp[2] < written:
                stamp[3] = there[3]
            elif there[3] is not None:
                stamp[3] = _core.hash_of_file(file)
    differ = _differ(found, expected)
    if differ:
        raise InvalidValueError(
            f"{index} was made of other {', '.join(differ)}: expected {_shown(expected, differ)}, found "
            f"{_shown(found, differ)}; remove the file to have it written anew"
        )


def _differ(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """What is not the same. Files are by their hash, where there is one; else by their time."""
    differ = [name for name in ("num_tiers", "model2tier") if found.get(name) != expected.get(name)]
    for kind in ("battles", "embeddings"):
        ours, theirs = _stamps(expected, kind), _stamps(found, kind)
        if len(ours) != len(theirs) or not all(map(_same, ours, theirs)):
            differ.append(kind)
    return sorted(differ)


def _same(one: list[Any], other: list[Any]) -> bool:
    if one[3] is not None and other[3] is not None:
        return [*one[:2], one[3]] == [*other[:2], other[3]]
    return one[:3] == other[:3]


def _stamps(made_of: dict[str, Any], kind: str) -> list[list[Any]]:
    """Those of an index may be anything."""
    found = made_of.get(kind)
    stamps = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("list[Any]", stamp) for stamp in stamps if isinstance(stamp, list) and len(cast("Any", stamp)) == 4]


def _parsed(made_of: str) -> dict[str, Any]:
    try:
        found = json.loads(made_of)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _shown(made_of: dict[str, Any], names: list[str]) -> str:
    return f"{json.dumps({name: made_of.get(name) for name in names}):.300}"
