"""Estimators of the user's in the place of our heads: anything with scikit-learn's ``fit`` and ``predict``."""

from __future__ import annotations

import copy
import inspect
from typing import TYPE_CHECKING, Any

from ferroute._fit_inputs import features_of
from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def check(estimator: Any) -> None:
    """Raises `InvalidTypeError` unless there are ``fit`` and ``predict`` or ``predict_proba``."""
    can = callable(getattr(estimator, "fit", None))
    can = can and any(callable(getattr(estimator, name, None)) for name in ("predict", "predict_proba"))
    if not can or isinstance(estimator, type):
        raise InvalidTypeError(
            "estimator: expected an object with fit(X, y) and predict(X) or predict_proba(X), such as a regressor or "
            f"classifier of scikit-learn, found {estimator!r:.80}"
        )


def matrix(prompts: list[str], embeddings: NDArray[np.float32] | None) -> Numbers:
    """What estimators see: embedding, lexical features, the embedded router's logit, float64 ``[n, d]``."""
    import numpy as np

    features, logits = features_of(prompts, embeddings)
    return np.column_stack([features.astype(np.float64), logits])


def fitted(estimator: Any, rows: Numbers, outcomes: Numbers) -> list[Any]:
    """A copy of the estimator for each model, fitted on the rows with a known outcome."""
    import numpy as np

    made: list[Any] = []
    for model in range(outcomes.shape[1]):
        known = ~np.isnan(outcomes[:, model])
        labels = outcomes[known, model]
        if not known.any() or bool((labels == labels[0]).all()):
            # Nothing to learn, and classifiers refuse a single class.
            made.append(Constant(float(labels[0]) if labels.size else 0.5))
            continue
        one = _copy(estimator)
        if hasattr(one, "predict_proba"):
            if not np.isin(labels, (0.0, 1.0)).all():
                raise InvalidValueError(
                    "estimator: a classifier needs outcomes that are 0 or 1; take a regressor for outcomes in between"
                )
            labels = labels.astype(np.int64)
        one.fit(rows[known], labels)
        made.append(one)
    return made


def expected(one: Any, rows: Numbers) -> Numbers:
    """What a fitted estimator expects of its model, float64 ``[n]``.

    Raises:
        InvalidValueError: It gives something else.
        InvalidTypeError: It gives no numbers.
    """
    import numpy as np

    if hasattr(one, "predict_proba"):
        chances = _numbers(one, "predict_proba", one.predict_proba(rows))
        if chances.shape != (len(rows), 2):
            # Both classes were in the labels, else `Constant` stands here.
            raise InvalidValueError(
                f"estimator: expected predict_proba of {type(one).__name__} to give the chances of wrong and right, "
                f"[{len(rows)}, 2], found {list(chances.shape)}"
            )
        found = chances[:, _right(one)]
    else:
        found = _numbers(one, "predict", one.predict(rows))
    if found.shape != (len(rows),) or not np.isfinite(found).all():
        raise InvalidValueError(
            f"estimator: expected {len(rows)} finite predictions, found an array {list(found.shape)} of "
            f"{type(one).__name__}"
        )
    return found


def _numbers(one: Any, call: str, given: Any) -> Numbers:
    import numpy as np

    try:
        return np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidTypeError(
            f"estimator: expected {call} of {type(one).__name__} to give numbers, found {given!r:.60}"
        ) from None


def _right(one: Any) -> int:
    """Column of the label 1; without ``classes_`` the second, as classes are sorted."""
    classes = getattr(one, "classes_", None)
    if classes is None:
        return 1
    try:
        return [float(label) for label in classes].index(1.0)
    except (TypeError, ValueError):
        raise InvalidValueError(
            f"estimator: expected classes_ of {type(one).__name__} to be the labels 0 and 1 it was fitted on, found "
            f"{classes!r:.60}"
        ) from None


def cross_validated(
    estimator: Any, rows: Numbers, outcomes: Numbers, folds: NDArray[np.uint32], advance: Callable[[int], object]
) -> Numbers:
    """Expected scores of each row by estimators that were fitted without its fold, float64 ``[n, m]``."""
    import numpy as np

    found = np.empty_like(outcomes)
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        for model, one in enumerate(fitted(estimator, rows[~held], outcomes[~held])):
            found[held, model] = expected(one, rows[held])
        advance(outcomes.shape[1] + 1)
    return found


class Constant:
    """In the place of an estimator where all outcomes are the same."""

    def __init__(self, value: float) -> None:
        self._value = value

    def predict(self, rows: Numbers) -> Numbers:
        """The value, for each row."""
        import numpy as np

        return np.full(len(rows), self._value)


def _copy(estimator: Any) -> Any:
    """An unfitted copy, as scikit-learn's ``clone`` makes it, without that package."""
    settings = getattr(estimator, "get_params", None)
    if not callable(settings):
        return copy.deepcopy(estimator)
    given: Any = settings(deep=False) if _takes(settings, "deep") else settings()
    try:
        return type(estimator)(**{name: copy.deepcopy(value) for name, value in given.items()})
    except (TypeError, AttributeError) as error:
        raise InvalidTypeError(
            f"estimator: {type(estimator).__name__} cannot be made again of its get_params(): {error}"
        ) from None


def _takes(call: Any, name: str) -> bool:
    try:
        asked = inspect.signature(call).parameters
    except (TypeError, ValueError):
        return True
    return name in asked or any(one.kind is one.VAR_KEYWORD for one in asked.values())
