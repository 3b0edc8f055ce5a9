"""Routers fitted on outcomes of your own: what `ferroute.fit` gives, and what ``router-<name>`` loads from its file."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute.errors import CheckpointError, InvalidTypeError, InvalidValueError, NotBuiltError
from ferroute.routers.base import BUILT_IN, ROUTER_CLS, Router, built_in, check_text, checked_texts, scores_itself

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from ferroute._fit_report import FitReport

    Numbers = NDArray[np.float64]

_BATCH = 8_192
_MOST_MARKS = 80_000
"""Texts whose hashes a card holds: 850 kB, of the 1 MiB that a card may have."""


class OutcomeRouter(Router):
    """A router that expects a score of each of several models on a prompt, and routes between two of them.

    Attributes:
        models: Names of the models, in the order of `predict`'s columns.
        strong_model: The strong one of the pair.
        weak_model: The weak one.
        held_out: Its win rates of the prompts it was fitted on, each by a fit without that prompt's fold, ``[n]``; None
            in a router that was read from a file. Good for choosing a threshold; for a certificate take labels that
            were not fitted on, since these win rates come from other fits than the one that routes.
    """

    models: list[str]
    strong_model: str
    weak_model: str
    held_out: Numbers | None = None

    _report: FitReport | None = None
    _marks: str | None = None

    @property
    def report(self) -> FitReport:
        """What the router is worth on prompts it was not fitted on.

        Raises:
            InvalidValueError: There is none.
        """
        if self._report is None:
            raise InvalidValueError("this router has no report of its fit")
        return self._report

    def predict(self, prompts: Sequence[str], embeddings: ArrayLike | None = None) -> Numbers:
        """What each model is expected to score on each prompt.

        Args:
            prompts: ``n`` prompts.
            embeddings: Where the router was fitted with some: those of the prompts, ``[n, d]``.

        Returns:
            float64 ``[n, models]``, 0..=1.

        Raises:
            InvalidTypeError: A prompt is no string.
            InvalidValueError: Embeddings are missing, or not of the width that was fitted.
        """
        return self._scores(checked_texts(prompts), embeddings).clip(0, 1)

    def win_rates(self, prompts: Sequence[str], embeddings: ArrayLike | None = None) -> Numbers:
        """The strong model's win rate of each prompt, float64 ``[n]``: ``(1 + strong - weak) / 2`` of what is expected.

        Args:
            prompts: As for `predict`.
            embeddings: As for `predict`.

        Raises:
            InvalidTypeError: As for `predict`.
            InvalidValueError: As for `predict`.
        """
        scores = self._scores(checked_texts(prompts), embeddings)
        strong, weak = (scores[:, self.models.index(name)] for name in (self.strong_model, self.weak_model))
        return ((1 + (strong - weak)) / 2).clip(0, 1)

    def _scores(self, texts: list[str], embeddings: ArrayLike | None) -> Numbers:
        raise NotImplementedError

    def was_fitted_on(self, prompts: Sequence[str]) -> NDArray[np.bool_]:
        """Which of these prompts the router was fitted on, by 64 bits of each text's hash: bool ``[n]``.

        Labels of prompts that it knows prove nothing: a certificate needs others.

        Args:
            prompts: ``n`` prompts.

        Raises:
            InvalidTypeError: A prompt is no string.
            InvalidValueError: The router's card does not tell (an older file, or more than 80,000 prompts).
            CheckpointError: The router's card is damaged.
        """
        import numpy as np

        asked = _hashes(checked_texts(prompts))
        if self._marks is None:
            raise InvalidValueError("this router's card does not tell which prompts it was fitted on")
        try:
            known = np.frombuffer(base64.b64decode(self._marks, validate=True), dtype="<u8")
        except ValueError:
            raise CheckpointError("the router's card is damaged: its marks of prompts are none") from None
        return np.isin(asked, known)

    def register(self, name: str) -> None:
        """Makes this router the one called ``name``: ``Controller([name])``, ``model="router-<name>-0.5"``.

        A router of your own that has the name gives way; those of this package do not.

        Raises:
            InvalidTypeError: The name is no string.
            InvalidValueError: The name cannot stand in a model string, or is one of this package's.
        """
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"name: expected a string, found {name!r:.60}")
        if not name or name != name.strip() or not name.isprintable():
            raise InvalidValueError(f"name: expected a word that can stand in a model string, found {name!r}")
        if name in BUILT_IN:
            raise InvalidValueError(f"name: {name!r} is a router of this package; taken are {', '.join(BUILT_IN)}")
        ROUTER_CLS[name] = _Same(self)

    def router(self) -> OutcomeRouter:
        """This object: it is a router."""
        return self

    def plot(self, kind: str = "quality", ax: Any = None) -> Any:
        """As `FitReport.plot`.

        Args:
            kind: As in `FitReport.plot`.
            ax: Axes to draw on; None: new ones.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            InvalidValueError: As for `FitReport.plot`.
            NotBuiltError: matplotlib is not installed.
        """
        return self.report.plot(kind, ax)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.models)} models>\n{self.report!r}"

    def _repr_html_(self) -> str:
        return self.report.to_html()


class _Same:
    """A registry's entry that always gives the same router."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def __call__(self) -> Router:
        return self._router


@built_in
class FittedRouter(OutcomeRouter):
    """A router fitted on outcomes, in one safetensors file; made by `ferroute.fit`.

    Args:
        path: The file.
        embedder: Where the router was fitted with embeddings of yours: a callable that takes a list of texts and gives
            their embeddings ``[n, d]``. Only needed for routing; `predict` takes embeddings.

    Attributes:
        card: Where the router comes from: data and their hash, models, date of the prices, recipe, report, versions.

    Raises:
        MissingFileError: There is no such file.
        CheckpointError: It is no fitted router, or damaged.
        InvalidTypeError: The embedder cannot be called.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, embedder: Callable[[list[str]], ArrayLike] | None = None
    ) -> None:
        if embedder is not None and not callable(embedder):
            raise InvalidTypeError(f"embedder: expected a callable of a list of texts, found {embedder!r:.60}")
        self._start(_core.FittedModel.load(os.fspath(path)), embedder)

    @classmethod
    def of(cls, model: _core.FittedModel, report: FitReport | None = None) -> FittedRouter:
        """The router over a model of the core; without ``report`` it is read off the model's card.

        Args:
            model: The core's model.
            report: The report; None: read off the card.
        """
        made = cls.__new__(cls)
        made._start(model, None, report)
        return made

    @classmethod
    def load(
        cls, path: str | os.PathLike[str], *, embedder: Callable[[list[str]], ArrayLike] | None = None
    ) -> FittedRouter:
        """As the constructor.

        Args:
            path: The file.
            embedder: A callable that takes a list of texts and gives their embeddings, ``[n, d]``, since the file holds
                none; None: there is none, and a router that was fitted with embeddings can only `predict` from them.

        Raises:
            MissingFileError: As the constructor.
            CheckpointError: As the constructor.
            InvalidTypeError: As the constructor.
        """
        return cls(path, embedder=embedder)

    def _start(self, model: _core.FittedModel, embedder: Any, report: FitReport | None = None) -> None:
        self._model = model
        self._embedder = embedder
        self.models = model.models
        strong, weak = model.pair
        self.strong_model, self.weak_model = self.models[strong], self.models[weak]
        self.card = cast("dict[str, Any]", json.loads(model.card))
        # Half a megabyte of letters that nobody wants to see with the rest.
        data: Any = self.card.get("data") if hasattr(self.card, "get") else None
        marks: Any = cast("dict[str, Any]", data).pop("marks", None) if isinstance(data, dict) else None
        self._marks = marks if isinstance(marks, str) else None
        self._report = report

    @property
    def report(self) -> FitReport:
        """What the router is worth on prompts it was not fitted on.

        Raises:
            CheckpointError: The router was read from a file whose card holds no sound report.
        """
        if self._report is None:
            # Figures are not needed for routing, and would load what routing does without.
            from ferroute._fit_report import FitReport

            try:
                self._report = FitReport.from_dict(cast("Any", self.card)["report"])
            except (InvalidValueError, KeyError, TypeError) as error:
                raise CheckpointError(f"the router's card holds no report of its fit: {error}") from None
        return self._report

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the router with its card to one safetensors file, whole or not at all.

        Args:
            path: The file.

        Raises:
            UnreadableFileError: It cannot be written.
        """
        self._model.save(os.fspath(path))

    @property
    def score_quantiles(self) -> list[float]:
        """A hundred quantiles, rising, of its held-out win rates of the prompts it was fitted on.

        The share form starts from them.
        """
        return self._model.quantiles

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Win rate of the strong model, 0..=1.

        Args:
            prompt: The text to route.
        """
        check_text(prompt)
        if self._model.embedding_width is None:
            return self._model.win_rate(prompt)
        return self._model.win_rate(prompt, self._embedded([prompt])[0])

    async def acalculate_strong_win_rate(self, prompt: str) -> float:
        """As `calculate_strong_win_rate`; too quick for a thread, unless an embedder is asked.

        Args:
            prompt: The text to route.
        """
        if self._model.embedding_width is not None or not scores_itself(self, FittedRouter):
            return await super().acalculate_strong_win_rate(prompt)
        return self.calculate_strong_win_rate(prompt)

    def calculate_strong_win_rates(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> Numbers:
        """Win rates of many prompts, float64 ``[n]``, on all cores.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        if not scores_itself(self, FittedRouter):
            return super().calculate_strong_win_rates(prompts, progress)
        import numpy as np

        texts = checked_texts(prompts)
        out = np.empty(len(texts), dtype=np.float64)
        for start in range(0, len(texts), _BATCH):
            part = texts[start : start + _BATCH]
            given = None if self._model.embedding_width is None else self._embedded(part)
            out[start : start + len(part)] = self._model.win_rates(part, given)
            if progress:
                progress(len(part))
        return out

    def explain(self, prompt: str) -> list[tuple[str, float]]:
        """What speaks for and against the strong model in a prompt, largest first.

        Args:
            prompt: The text to route.

        Returns:
            ``(name, part)``: lexical features by name, ``wording`` for the embedding, ``router local`` for the shipped
            head; parts in units of the logit around a win rate of one half. Empty for neighbours.
        """
        check_text(prompt)
        given = None if self._model.embedding_width is None else self._embedded([prompt])[0]
        return self._model.explain(prompt, given)

    def _embedded(self, texts: list[str]) -> NDArray[np.float32]:
        if self._embedder is None:
            raise InvalidValueError(
                f"this router was fitted with embeddings of {self._model.embedding_width} numbers: give it the "
                "embedder, FittedRouter(path, embedder=...), or embeddings to `predict`"
            )
        return embeddings_of(self._embedder(texts), len(texts))

    def _scores(self, texts: list[str], embeddings: ArrayLike | None) -> Numbers:
        if embeddings is None and self._model.embedding_width is not None:
            return self._model.scores(texts, self._embedded(texts))
        given = None if embeddings is None else embeddings_of(embeddings, len(texts))
        return self._model.scores(texts, given)

    def add_model(
        self, name: str, prompts: Sequence[str], outcomes: ArrayLike, embeddings: ArrayLike | None = None
    ) -> FittedRouter:
        """Adds a model from outcomes of it alone; a few hundred do, since it is fitted on what the others share.

        The pair that is routed between, the report and the win rates stay as they are.

        Args:
            name: Its name.
            prompts: ``n`` prompts; they need not be those of the fit.
            outcomes: What the model scored on them, ``[n]``, 0..=1; NaN where unknown.
            embeddings: Where the router was fitted with some: those of the prompts, ``[n, d]``.

        Returns:
            This router, which has the model from now on.

        Raises:
            InvalidValueError: The name is taken or empty, lengths differ, an outcome is out of range, or fewer than 2
                are known.
            NotBuiltError: The router keeps neighbours, not heads.
            InvalidTypeError: The name is no string.
        """
        import numpy as np

        from ferroute._fit_inputs import features_of, outcome_column

        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"name: expected a string, found {name!r:.60}")
        if not name.strip():
            raise InvalidValueError(f"name: expected the model's name, found {name!r}")
        texts = checked_texts(prompts)
        if name in self.models:
            raise InvalidValueError(f"name: there is a model {name!r} already")
        labels = outcome_column(name, outcomes, len(texts))
        known = ~np.isnan(labels)
        kept = [text for text, keep in zip(texts, known, strict=True) if keep]
        if len(kept) < 2:
            raise InvalidValueError(f"outcomes: expected at least 2 known ones of {name!r}, found {len(kept)}")
        given = None
        if embeddings is not None:
            given = self._model.project(embeddings_of(embeddings, len(texts))[known])
        elif self._model.embedding_width is not None:
            given = self._model.project(self._embedded(kept))
        features, logits = features_of(kept, given)
        self._start(self._model.with_model(name, features, logits, labels[known]), self._embedder, self._report)
        return self


class EstimatorRouter(OutcomeRouter):
    """A router over estimators of yours, one for each model; made by ``ferroute.fit(estimator=...)``.

    It pickles as its estimators do; a safetensors file cannot hold them.

    Args:
        estimators: Fitted estimators, one for each model.
        models: Names of the models, in the same order.
        pair: Places of the strong and of the weak one.
        report: What it is worth.
        width: Numbers of an embedding that `predict` has to be given; None: the table in this package is used.
        marks: Hashes of the prompts it was fitted on, as `marks_of` gives them; None: not known.
    """

    def __init__(
        self,
        estimators: Sequence[Any],
        models: list[str],
        pair: tuple[int, int],
        report: FitReport,
        width: int | None,
        marks: str | None = None,
    ) -> None:
        self._estimators = list(estimators)
        self._width = width
        self.models = models
        self.strong_model, self.weak_model = models[pair[0]], models[pair[1]]
        self._report = report
        self._marks = marks

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Win rate of the strong model, 0..=1.

        Args:
            prompt: The text to route.
        """
        check_text(prompt)
        return float(self.win_rates([prompt])[0])

    def calculate_strong_win_rates(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> Numbers:
        """Win rates of many prompts, float64 ``[n]``.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        found = self.win_rates(prompts)
        if progress:
            progress(len(found))
        return found

    def _scores(self, texts: list[str], embeddings: ArrayLike | None) -> Numbers:
        import numpy as np

        from ferroute._fit_estimator import expected, matrix

        if (embeddings is None) != (self._width is None):
            wanted = "none" if self._width is None else f"[n, {self._width}]"
            raise InvalidValueError(f"embeddings: this router was fitted with {wanted}")
        given = None if embeddings is None else embeddings_of(embeddings, len(texts))
        rows = matrix(texts, given)
        return np.stack([expected(one, rows) for one in self._estimators], axis=1)

    def add_model(
        self, name: str, prompts: Sequence[str], outcomes: ArrayLike, embeddings: ArrayLike | None = None
    ) -> FittedRouter:
        """Refuses.

        Args:
            name: Not used.
            prompts: Not used.
            outcomes: Not used, ``[n]``.
            embeddings: Not used, ``[n, d]``.

        Raises:
            NotBuiltError: Always.
        """
        raise NotBuiltError(
            f"{name!r} cannot be added to a router over estimators of yours, which share nothing: fit again with the "
            "new model's outcomes, or fit with method='heads'"
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Refuses.

        Args:
            path: Not used.

        Raises:
            NotBuiltError: Always.
        """
        raise NotBuiltError(
            f"{os.fspath(path)}: a router over estimators of yours has no file of its own, since safetensors holds "
            "numbers and no code: pickle the router, or fit with method='heads'"
        )


def marks_of(prompts: Sequence[str]) -> str | None:
    """Hashes of the different texts, sorted, 8 bytes each, in base64; None where they are too many for a card.

    Args:
        prompts: The texts, ``[n]``.
    """
    import numpy as np

    found = np.unique(_hashes(prompts))
    return base64.b64encode(found.astype("<u8").tobytes()).decode("ascii") if len(found) <= _MOST_MARKS else None


def _hashes(prompts: Sequence[str]) -> NDArray[np.uint64]:
    import numpy as np

    found = (hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in prompts)
    return np.frombuffer(b"".join(found), dtype="<u8")


def embeddings_of(embeddings: ArrayLike, rows: int) -> NDArray[np.float32]:
    """Embeddings as float32 ``[rows, d]``.

    Args:
        embeddings: Numbers, ``[rows, d]``.
        rows: How many there have to be.

    Raises:
        InvalidTypeError: They are not numbers.
        InvalidValueError: Their shape is another, or one is not finite.
    """
    import numpy as np

    try:
        found = np.ascontiguousarray(embeddings, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"embeddings: expected numbers [n, d]: {error}") from None
    if found.ndim != 2 or found.shape[0] != rows or not found.shape[1]:
        raise InvalidValueError(f"embeddings: expected [{rows}, d], found {list(found.shape)}")
    bad = ~np.isfinite(found).all(axis=1)
    if bad.any():
        raise InvalidValueError(f"embeddings: expected finite numbers, found others in row {int(bad.argmax())}")
    return found
