"""Which model's calls could move, and to which model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferroute.auditing._collect import Collected
    from ferroute.auditing._prices import Prices

# A maker's small model, for logs that know no cheaper one than the model they are about.
_SMALL = (("claude", "claude-haiku-4-5"), ("gemini", "gemini-3.5-flash-lite"), ("mistral", "mistral-small-latest"))
_USUAL = "gpt-5.4-mini"


@dataclass(frozen=True)
class Pair:
    """The models of an audit.

    Attributes:
        strong: The model whose calls could move, as the logs call it; None where the logs name no model.
        to: The model they could move to.
        guessed: Whether `to` is neither asked for nor in the logs.
    """

    strong: str | None
    to: str
    guessed: bool = False


def pair(rows: Collected, prices: Prices, strong: str | None, to: str | None) -> Pair:
    """The models that are asked for, or those that suggest themselves: the one most is spent on, and a cheaper one.

    Raises:
        InvalidValueError: The logs have no calls of ``strong``, or ``to`` is the same model.
        InvalidTypeError: A name is no string.
    """
    for name, value in (("strong", strong), ("to", to)):
        if value is not None and not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"{name}: expected the name of a model, found {value!r:.60}")
    if to is not None:
        to = _same(rows.models, to) or to
    if strong is not None:
        strong = _logged(rows.models, strong)
    elif to is not None:
        strong = _dearest(rows, without=to)
    else:
        strong = _dearest(rows)
    if to is not None:
        same = to == strong or (to not in rows.models and _bare(to) == _bare(strong or ""))
        if same or (strong is None and rows.models):
            raise InvalidValueError(f"to: expected another model than the one whose calls could move, found {to}")
        return Pair(strong, to)
    if strong is None:
        return Pair(None, _USUAL, guessed=True)
    cheaper = _cheaper(rows, prices, strong)
    if cheaper is not None:
        return Pair(strong, cheaper)
    small = next((small for word, small in _SMALL if word in strong.lower() and small not in strong), _USUAL)
    return Pair(strong, small, guessed=True)


def _bare(model: str) -> str:
    """A model's name without its provider."""
    return model.rpartition("/")[2]


def _same(models: Sequence[str], wanted: str) -> str | None:
    """The model as the logs call it, with or without its provider; None where none is, or several are."""
    if wanted in models:
        return wanted
    same = [model for model in models if _bare(model) == _bare(wanted)]
    return same[0] if len(same) == 1 else None


def _logged(models: Sequence[str], wanted: str) -> str:
    found = _same(models, wanted)
    if found is not None:
        return found
    raise InvalidValueError(
        f"strong: the logs have no calls of {wanted}; their models are {', '.join(models) or 'not named'}"
    )


def _dearest(rows: Collected, without: str | None = None) -> str | None:
    counts = _counts(rows)
    names = [at for at, name in enumerate(rows.models) if name != without]
    if not names:
        return None
    return rows.models[max(names, key=lambda at: (rows.spent.get(at, 0), counts[at]))]


def _counts(rows: Collected) -> list[int]:
    import numpy as np

    of_model = rows.of_model()
    return np.bincount(of_model[of_model >= 0], minlength=len(rows.models)).tolist()


def _cheaper(rows: Collected, prices: Prices, strong: str) -> str | None:
    """The model in the logs with most calls among those that an average call of ``strong`` costs less at."""
    import numpy as np

    counts, of_model = _counts(rows), rows.of_model()
    asked, said, costs = (rows.column(name) for name in ("prompt_tokens", "completion_tokens", "cost"))
    own = of_model == rows.models.index(strong)
    prompt, completion = _mean(asked[own]), _mean(said[own])
    logged = rows.is_logged() & np.isfinite(asked) & np.isfinite(said)

    def price(at: int, model: str) -> float | None:
        paid = logged & (of_model == at)
        tokens = float((asked[paid] + said[paid]).sum())
        if tokens > 0:
            return float(costs[paid].sum()) / tokens * (prompt + completion)
        parts = prices.parts(model, prompt, completion, 0)
        return None if parts is None else sum(parts)

    found = {model: price(at, model) for at, model in enumerate(rows.models)}
    usual = found[strong]
    if usual is None:
        return None
    cheaper = [
        (counts[at], model)
        for at, model in enumerate(rows.models)
        if model != strong and (each := found[model]) is not None and each < usual
    ]
    return max(cheaper)[1] if cheaper else None


def _mean(values: object) -> int:
    import numpy as np

    known = np.asarray(values, dtype=np.float64)
    known = known[np.isfinite(known)]
    return round(float(known.mean())) if len(known) else 0
