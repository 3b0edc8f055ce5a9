"""`fit`: a router from outcomes of your own prompts, with an honest account of what it is worth."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
from typing import TYPE_CHECKING, Any, overload

from ferroute import _core
from ferroute._batch import listed, progress
from ferroute._fit_inputs import costs_of, features_of, from_preferences, groups_of, outcome_table, pair_of, units_of
from ferroute._fit_judging import Judged, judge
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.evals._figures import whole
from ferroute.routers.base import checked_texts
from ferroute.routers.fitted import EstimatorRouter, FittedRouter, OutcomeRouter, embeddings_of, marks_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Numbers = NDArray[np.float64]

_FEWEST = 10
"""Prompts below which cross-validation says nothing."""

_WIDEST = 128
"""Numbers of an embedding that heads take; wider ones are projected to their principal directions first."""

_PERMUTATIONS = 199
"""Shuffles of the labels behind the verdict."""

GUARD = 1.0
"""Standard errors that neighbours must be away from the mean to count."""


@overload
def fit(
    prompts: Sequence[str],
    outcomes: Any = None,
    models: Sequence[str] | None = None,
    *,
    preferences: Any = None,
    groups: Any = None,
    costs: Any = None,
    embeddings: ArrayLike | None = None,
    estimator: None = None,
    method: str = "heads",
    folds: int = 5,
    bootstrap: int = 1000,
    seed: int = 0,
    name: str = "fitted",
    progress_bar: bool = False,
    strong: str | None = None,
    weak: str | None = None,
    zero_shot: bool = True,
) -> FittedRouter: ...
@overload
def fit(
    prompts: Sequence[str],
    outcomes: Any = None,
    models: Sequence[str] | None = None,
    *,
    preferences: Any = None,
    groups: Any = None,
    costs: Any = None,
    embeddings: ArrayLike | None = None,
    estimator: Any,
    method: str = "heads",
    folds: int = 5,
    bootstrap: int = 1000,
    seed: int = 0,
    name: str = "fitted",
    progress_bar: bool = False,
    strong: str | None = None,
    weak: str | None = None,
    zero_shot: bool = True,
) -> EstimatorRouter: ...
def fit(
    prompts: Sequence[str],
    outcomes: Any = None,
    models: Sequence[str] | None = None,
    *,
    preferences: Any = None,
    groups: Any = None,
    costs: Any = None,
    embeddings: ArrayLike | None = None,
    estimator: Any = None,
    method: str = "heads",
    folds: int = 5,
    bootstrap: int = 1000,
    seed: int = 0,
    name: str = "fitted",
    progress_bar: bool = False,
    strong: str | None = None,
    weak: str | None = None,
    zero_shot: bool = True,
) -> OutcomeRouter:
    """Fits a router on what models scored on prompts of your own.

    The result routes between a strong and a weak model, expects a score of every model (`predict`), carries a report
    of what it is worth on prompts it was not fitted on, and is a file that a Controller loads under any name.

    With few labels it stays close to the router ``local``; with many it is what the labels say. The heads are Bayesian
    linear regressions, averaged over their penalties by the evidence (MacKay 1992, "Bayesian Interpolation");
    ``docs/fit.md`` has the method and the measurements.

    Args:
        prompts: ``n`` prompts, as the router will be asked about them.
        outcomes: What each model scored on each prompt, ``[n, m]``, 0..=1 (right or wrong, or anything between), NaN or
            None where unknown; an array, lists, or a table whose columns name the models.
        models: Names of the ``m`` models. Of two the first is the strong one.
        preferences: In the place of outcomes: ``(prompt, winner, loser)`` for each comparison, or ``(prompt, a, b,
            "tie")``; the prompt as its text or its place in ``prompts``, models by name or place.
        groups: A group for each prompt (a user, a conversation, a document): prompts of a group are held out together.
            Equal prompts always are. A prompt without one (None, NaN) stands alone.
        costs: Dollars of a call by model, ``[m]``, a mapping, or ``[n, m]``; None or NaN where not known. For figures
            in dollars, and for choosing the weak model.
        embeddings: Embeddings of the prompts, ``[n, d]``, in the place of the table in this package. `predict` then
            takes them too.
        estimator: A regressor or classifier in the manner of scikit-learn in the place of our heads; a copy is fitted
            for each model.
        method: ``"heads"``, or ``"neighbours"``: scores of the most similar prompts.
        folds: Parts of the cross-validation, at least 2.
        bootstrap: Resamples for the intervals; 0: none. Fewer than 20 give no intervals.
        seed: Of folds, shuffles and resamples. The same data and seed give the same router, on any number of threads.
        name: What the router is called in its report.
        progress_bar: Whether progress is shown.
        strong: Which model is the strong one.
        weak: Which is the weak one. Without: see ``models``; of more than two the best mean, and the cheapest other.
        zero_shot: Whether the router ``local`` has a say. Without, labels alone count.

    Returns:
        A `FittedRouter`; with ``estimator`` an `EstimatorRouter`, which has no file.

    Raises:
        InvalidValueError: Fewer than 10 prompts, an outcome out of range, or sizes that do not fit; row and model are
            told.
        InvalidTypeError: Something is of another type, or there are both outcomes and preferences, or none of them.
        UnknownNameError: ``strong``, ``weak``, ``costs`` or a preference names no model.

    Example:
        >>> prompts = [f"What is {i} plus {i}?" if i % 2 else f"Prove lemma {i} by induction." for i in range(60)]
        >>> m = fit(prompts, [[1, i % 2] for i in range(60)], models=["large", "small"], bootstrap=0)
        >>> m.win_rates(["Prove it by induction."]) > m.win_rates(["What is 7 plus 7?"])
        array([ True])
    """
    if method not in {"heads", "neighbours"}:
        raise InvalidValueError(f"method: expected 'heads' or 'neighbours', found {method!r:.40}")
    if estimator is not None and method != "heads":
        raise InvalidValueError(f"estimator: it takes the place of a method, so method={method!r} has no say: drop one")
    texts = checked_texts(listed(prompts))
    places = None
    if (outcomes is None) == (preferences is None):
        raise InvalidTypeError("expected either outcomes or preferences")
    if preferences is None:
        table, names = outcome_table(outcomes, models, len(texts))
    else:
        texts, table, names, places = from_preferences(texts, preferences, models)
    if len(texts) < _FEWEST:
        raise InvalidValueError(f"prompts: expected at least {_FEWEST}, found {len(texts)}")
    if places is not None:
        given_groups = None if groups is None else groups_of(groups, _count(prompts))
        groups = places if given_groups is None else [given_groups[place] for place in places]
    dollars = costs_of(costs, names, len(texts))
    pair = pair_of(names, table, dollars, strong, weak)
    units, count = units_of(texts, groups)
    seed, times = whole("seed", seed), whole("bootstrap", bootstrap)
    if not 0 <= seed < 2**64:
        raise InvalidValueError(f"seed: expected 0 to 2**64 - 1, found {seed}")
    parts = _core.Fitting.folds(units, _folds(folds, int(units.max()) + 1), seed)
    given = None
    if embeddings is not None:
        given = embeddings_of(embeddings, len(texts) if places is None else _count(prompts))
        given = given if places is None else given[places]
    judged = Judged(name, texts, table, names, pair, parts, units, None if places is not None else count, dollars)
    if estimator is not None:
        return _with_estimator(estimator, judged, given, times, seed, progress_bar)
    return _with_core(judged, given, method, times, seed, progress_bar, zero_shot)


def load_router(
    path: str | os.PathLike[str], *, embedder: Callable[[list[str]], ArrayLike] | None = None
) -> FittedRouter:
    """Reads a router that `fit` made and `FittedRouter.save` wrote.

    Args:
        path: The file.
        embedder: As for `FittedRouter`.

    Returns:
        The router.

    Raises:
        MissingFileError: There is no such file.
        CheckpointError: It is no fitted router, or damaged.
        InvalidTypeError: The embedder cannot be called.
    """
    return FittedRouter(path, embedder=embedder)


def _with_core(
    data: Judged, embeddings: Any, method: str, times: int, seed: int, progress_bar: bool, zero_shot: bool
) -> FittedRouter:
    projection = None
    width, taken = 64, embeddings
    if embeddings is not None:
        projection = _projection(embeddings)
        if projection is not None:
            rows: Any
            centre, rows = projection
            taken = (embeddings - centre) @ rows.T
        width = taken.shape[1]
    features, logits = features_of(data.prompts, taken)
    fitting = _core.Fitting(features, width, logits, data.table)
    near = None
    if method == "neighbours":
        near = max(10, min(100, round(1.5 * math.sqrt(len(data.prompts))))), GUARD
    folds = int(data.folds.max()) + 1
    each = 1 if near else _core.Fitting.steps(len(data.names))
    work = folds * each + (0 if near else _PERMUTATIONS + each)
    with progress(work, f"Fitting {data.name}" if progress_bar else None, "step") as advance:
        told = advance if progress_bar else None
        ways: dict[str, Any] = {"neighbours": near, "zero_shot": zero_shot, "progress": told}
        scores = fitting.cross_validated(data.pair, data.folds, **ways)
        chance = None
        if near is None:
            chance = fitting.chance(
                data.pair,
                data.folds,
                data.units,
                times=_PERMUTATIONS,
                seed=seed,
                zero_shot=zero_shot,
                progress=told,
            )
        held_out, report = judge(data, scores, chance, times, seed)
        model = fitting.model(
            data.pair,
            data.names,
            win_rates=held_out,
            embedding=None if embeddings is None else embeddings.shape[1],
            projection=projection,
            **ways,
        )
    recipe: dict[str, Any] = {"method": method, "zero_shot": zero_shot, "folds": folds, "seed": seed, "width": width}
    if near:
        recipe |= {"neighbours": near[0], "guard": near[1]}
    router = FittedRouter.of(
        model.with_card(json.dumps(_card(data, recipe, report.as_dict()), allow_nan=False)), report
    )
    router.held_out = held_out
    return router


def _with_estimator(
    estimator: Any, data: Judged, embeddings: Any, times: int, seed: int, progress_bar: bool
) -> EstimatorRouter:
    from ferroute import _fit_estimator

    _fit_estimator.check(estimator)
    rows = _fit_estimator.matrix(data.prompts, embeddings)
    each = len(data.names) + 1
    folds = int(data.folds.max()) + 1
    with progress((folds + 1) * each, f"Fitting {data.name}" if progress_bar else None, "step") as advance:
        scores = _fit_estimator.cross_validated(estimator, rows, data.table, data.folds, advance)
        held_out, report = judge(data, scores, None, times, seed)
        made = _fit_estimator.fitted(estimator, rows, data.table)
        advance(each)
    width = None if embeddings is None else int(embeddings.shape[1])
    router = EstimatorRouter(made, data.names, data.pair, report, width, marks_of(data.prompts))
    router.held_out = held_out
    return router


def _projection(embeddings: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Mean and principal directions ``[width, d]`` of embeddings that are too wide; None for others."""
    import numpy as np

    wide = embeddings.shape[1]
    if wide <= _WIDEST:
        return None
    centre = embeddings.mean(axis=0, dtype=np.float64)
    left: Any = embeddings.astype(np.float64) - centre
    directions: Any = np.linalg.eigh(left.T @ left)[1]
    rows = directions[:, ::-1].T[: min(_WIDEST, len(embeddings))]
    # Of a direction and its opposite the one whose largest number is positive, whatever the library gives.
    largest = rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)]
    rows = rows * np.sign(largest)[:, None]
    return centre.astype(np.float32), np.ascontiguousarray(rows, dtype=np.float32)


def _card(data: Judged, recipe: dict[str, Any], report: dict[str, Any]) -> dict[str, Any]:
    """What people should know who find the file."""
    from ferroute import pricing

    told = hashlib.sha256()
    for text in data.prompts:
        told.update(text.encode("utf-8", "surrogatepass") + b"\0")
    told.update(data.table.tobytes())
    return {
        "name": data.name,
        "created": dt.datetime.now(dt.timezone.utc).date().isoformat(),
        "ferroute": _core.__version__,
        "models": data.names,
        "strong": data.names[data.pair[0]],
        "weak": data.names[data.pair[1]],
        "data": {"prompts": len(data.prompts), "sha256": told.hexdigest(), "marks": marks_of(data.prompts)},
        "prices": pricing.as_of().isoformat(),
        "recipe": recipe,
        "report": report,
    }


def _folds(folds: int, units: int) -> int:
    asked = whole("folds", folds)
    if asked < 2:
        raise InvalidValueError(f"folds: expected at least 2, found {asked}")
    if units < 2:
        raise InvalidValueError("groups: all prompts are of one group (or equal), so none can be held out")
    return min(asked, units)


def _count(prompts: Any) -> int:
    return len(listed(prompts))
