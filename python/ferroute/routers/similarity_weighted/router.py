"""RouteLLM's similarity-weighted ranking."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute.errors import InvalidValueError, UnknownNameError
from ferroute.routers.base import Router, built_in, check_text, checked_texts, scores_itself
from ferroute.routers.similarity_weighted.utils import WINNERS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray
    from typing_extensions import Self

STRONG, WEAK = "gpt-4-1106-preview", "mixtral-8x7b-instruct-v0.1"

_EMBEDDING_KINDS = (".parquet", ".arrow", ".npy", ".jsonl")

# Bytes at both ends of a file that stand for its content.
_ENDS = 1 << 16


@built_in
class SWRankingRouter(Router):
    """RouteLLM's similarity-weighted ranking (Ong et al. 2024, arXiv:2406.18665, section 4.1), in Rust.

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
        model_ratings: Model -> rating, the best first.

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
            "num_tiers": num_tiers,
            "model2tier": None if model2tier is None else dict(model2tier),
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

        Raises:
            CheckpointError: The file is no index, of another version, or damaged.
        """
        router = cls.__new__(cls)
        router._start({"index": os.path.abspath(path)}, threads)  # noqa: PTH100 - as text
        router._set_up(strong_model, weak_model, embedder)
        return router

    def save_index(self, path: str | os.PathLike[str]) -> None:
        """Writes battles, ratings, tiers and embeddings to one file, completely or not at all.

        A pickled router is loaded from it afterwards, as long as it is there.
        """
        self._core.save(path, self._made_of)
        self._sources["index"] = os.path.abspath(path)  # noqa: PTH100 - as text

    def _start(self, sources: dict[str, Any], threads: int | None) -> None:
        self._sources, self._threads = sources, threads
        index = sources.get("index")
        if index is not None and (Path(index).exists() or "battles" not in sources):
            self._core, self._made_of = _core.SwRanking.open(index)
            if "battles" in sources:
                _compare(index, self._made_of, _fingerprint(sources))
            return
        self._made_of = _fingerprint(sources)
        self._core = _core.SwRanking(
            sources["battles"],
            sources["embeddings"],
            sources["num_tiers"],
            model2tier=sources["model2tier"],
            threads=threads,
        )
        if index is not None:
            self._core.save(index, self._made_of)

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
        """Win rate of the strong model for a prompt, 0..=1; asks for its embedding."""
        check_text(prompt)
        return self._win_rate(self.embedder.embed(prompt))

    async def acalculate_strong_win_rate(self, prompt: str) -> float:
        """As `calculate_strong_win_rate`; the event loop runs on while the embedding is on its way."""
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
        """Win rates of many prompts, float64 ``[n]``; embeddings are asked for in batches, side by side."""
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
            float64 ``[n]``, within 1e-7 of the same embeddings one by one.

        Raises:
            ValueError: Wrong width, a NaN or infinity, or a row of zeros; the message names the first bad row.
        """
        threads = threads or self._threads
        if self._weighs_itself():
            return self._core.win_rates(embeddings, *self._tiers(), threads=threads)
        import numpy as np

        rows = np.asarray(embeddings)
        if rows.ndim != 2:
            raise InvalidValueError(f"expected embeddings of two dimensions, found an array of shape {rows.shape}")
        return np.array([self._win_rate(row) for row in rows], dtype=np.float64)

    def get_weightings(self, similarities: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight of each battle, ``10 * 10 ** (s / max s)``; override it for a law of your own.

        Args:
            similarities: Cosine similarity of the prompt with each battle, float64 ``[battles]``.

        Returns:
            float64 ``[battles]``, not negative; only ratios count.
        """
        import numpy as np

        return _core.sw_weightings(np.ascontiguousarray(similarities, dtype=np.float64))

    def tier_ratings(self, embedding: ArrayLike) -> dict[int, float]:
        """Elo of each tier, with the battles weighed for this embedding."""
        if self._weighs_itself():
            ratings = self._core.tier_ratings(embedding, self._threads)
        else:
            ratings = self._core.tier_ratings_of_weights(self._weights(embedding))
        return dict(zip(self._core.used_tiers, ratings.tolist(), strict=True))

    def _win_rate(self, vector: Any) -> float:
        if self._weighs_itself():
            return self._core.win_rate(vector, *self._tiers(), threads=self._threads)
        return self._core.win_rate_of_weights(self._weights(vector), *self._tiers())

    def _weighs_itself(self) -> bool:
        """Whether nobody has overridden or patched `get_weightings`."""
        return getattr(type(self), "get_weightings", None) is _GET_WEIGHTINGS and "get_weightings" not in vars(self)

    def _weights(self, vector: Any) -> NDArray[np.float64]:
        import numpy as np

        weights = self.get_weightings(self._core.similarities(vector, self._threads))
        return np.ascontiguousarray(weights, dtype=np.float64)

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
        return {name: value for name, value in vars(self).items() if name not in {"_core", "_arena_df"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        self._start(self._sources, self._threads)

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


def _fingerprint(sources: Mapping[str, Any]) -> str:
    """What an index is made of: size and a hash of both ends of each file, in order, and the tiers asked for."""
    made_of: dict[str, Any] = {
        kind: [_ends(Path(file)) for file in sources[kind]] for kind in ("battles", "embeddings")
    }
    return json.dumps(made_of | {name: sources[name] for name in ("num_tiers", "model2tier")}, sort_keys=True)


def _ends(file: Path) -> list[Any]:
    size = file.stat().st_size
    digest = hashlib.blake2b(digest_size=16)
    with file.open("rb") as content:
        digest.update(content.read(_ENDS))
        content.seek(max(size - _ENDS, 0))
        digest.update(content.read(_ENDS))
    return [file.name, size, digest.hexdigest()]


def _compare(index: str, found: str, expected: str) -> None:
    """Raises unless an index was made of what it is asked to stand for."""
    if found == expected:
        return
    wanted, there = _parsed(expected), _parsed(found)
    differ = [name for name in wanted if there.get(name) != wanted[name]]
    raise InvalidValueError(
        f"{index} was made of other {', '.join(differ)}: expected {_shown(wanted, differ)}, found "
        f"{_shown(there, differ)}; remove the file to have it written anew"
    )


def _parsed(made_of: str) -> dict[str, Any]:
    try:
        found = json.loads(made_of)
    except ValueError:
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _shown(made_of: dict[str, Any], names: list[str]) -> str:
    return f"{json.dumps({name: made_of.get(name) for name in names}):.300}"
