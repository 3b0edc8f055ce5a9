"""What models cost, in exact decimals of US dollars.

Prices are dated, name their source, and differ by length of prompt, cache, hour and service tier where the provider's
do. An unknown price is None with a warning, never zero. Models are named as in a call: ``gpt-5.2``,
``anthropic/claude-haiku-4-5``, ``openrouter/openai/gpt-5.4-mini``. Prices of your own go first: `override`, or a file
that the variable ``FERROUTE_PRICES`` names.

Example:
    >>> cost("gpt-5.2", input_tokens=1000, output_tokens=500, at="2026-01-12")
    Decimal('0.00875')
    >>> ratio("gpt-5.2", "gpt-5-mini", at="2026-01-12")
    Decimal('7')
"""

from __future__ import annotations

import datetime as dt
import warnings
from typing import TYPE_CHECKING, cast

from ferroute import _core
from ferroute.errors import InvalidTypeError, InvalidValueError, MissingFileError, UnreadableFileError
from ferroute.pricing import _usage
from ferroute.pricing._results import Comparison, Cost, CostPart, Facts, Line, Price, Rate, Scenario

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence
    from decimal import Decimal
    from typing import Any

    from ferroute.pricing._usage import Amount, When

__all__ = [
    "Comparison",
    "Cost",
    "CostPart",
    "Facts",
    "Line",
    "Price",
    "PriceWarning",
    "Rate",
    "Scenario",
    "as_of",
    "breakdown",
    "check",
    "compare",
    "cost",
    "facts",
    "override",
    "price",
    "ratio",
    "scenario",
    "version",
    "warn_if_shut_down",
    "warn_if_unpriced",
]


class PriceWarning(UserWarning):
    """A price is not known, or a model is no longer served."""


def cost(
    model: str,
    input_tokens: Amount = 0,
    output_tokens: Amount = 0,
    *,
    cached_tokens: Amount = 0,
    cache_write_tokens: Amount = 0,
    cache_write_1h_tokens: Amount = 0,
    reasoning_tokens: Amount = 0,
    input_audio_tokens: Amount = 0,
    output_audio_tokens: Amount = 0,
    service_tier: str | None = None,
    at: When = None,
    base_model: str | None = None,
) -> Decimal | None:
    """What one call costs, in US dollars.

    Args:
        model: A model as a call names it.
        input_tokens: The whole prompt.
        output_tokens: The whole completion, hidden reasoning included.
        cached_tokens: The part of the prompt that was read from the provider's cache.
        cache_write_tokens: The part of the prompt that was written to it.
        cache_write_1h_tokens: The part of `cache_write_tokens` that is kept for an hour.
        reasoning_tokens: The part of the completion that is hidden reasoning.
        input_audio_tokens: The part of the prompt that is sound.
        output_audio_tokens: The part of the completion that is sound.
        service_tier: ``batch``, ``flex``, ``priority``, ``fast``, or ``default`` (also None, and ``scale``, paid
            in advance). A tier that the model has no price for costs what the default one does.
        at: The day or time whose prices count: a date (its first second, UTC), a datetime or an ISO string; None: now.
        base_model: The model behind a deployment whose name says nothing (``azure/my-deployment``).

    Returns:
        An exact decimal; None, with a `PriceWarning`, where the price is not known.

    Raises:
        InvalidValueError: A number is negative, a part is larger than its whole, or the time or tier is none.
    """
    tokens = (
        input_tokens,
        output_tokens,
        cached_tokens,
        cache_write_tokens,
        cache_write_1h_tokens,
        reasoning_tokens,
        input_audio_tokens,
        output_audio_tokens,
    )
    found = _core.pricing_cost(_names(model, base_model), tokens, service_tier, _usage.when(at))
    _warn(base_model or _base(model) or model, found is None, at)
    return None if found is None else found[0]


def breakdown(
    model: str,
    usage: object = None,
    *,
    service_tier: str | None = None,
    at: When = None,
    base_model: str | None = None,
    **tokens: Amount,
) -> Cost | None:
    """What one call costs and what that is made of; None, with a warning, where the price is not known.

    Args:
        model: A model as a call names it.
        usage: ``response.usage``, or a mapping with the token counts of `cost`.
        service_tier: As in `cost`.
        at: As in `cost`.
        base_model: As in `cost`.
        tokens: Token counts as in `cost`; they go before those in `usage`.

    Returns:
        The cost, whose ``total`` is US dollars; None where the price is not known.

    Raises:
        InvalidValueError: As in `cost`, or ``usage`` has counts of another name.
        InvalidTypeError: There is no count of such a name, or ``usage`` is none.
    """
    counts = _usage.tokens(usage, tokens)
    found = _core.pricing_cost(_names(model, base_model), counts, service_tier, _usage.when(at))
    _warn(base_model or _base(model) or model, found is None, at)
    if found is None:
        return None
    total, parts = found
    return Cost(str(model), total, tuple(CostPart(unit, n, usd, int(per), part) for unit, n, usd, per, part in parts))


def price(model: str, at: When = None, *, service_tier: str | None = None) -> Price | None:
    """What a model costs per million tokens, since when and according to whom; None where that is not known.

    Args:
        model: Name of a model, with its provider's prefix or without.
        at: Day of the prices: a date, or ISO text; None: now.
        service_tier: The provider's tier, such as ``"flex"`` or ``"priority"``; None: the usual one.

    Returns:
        The price in US dollars, with its source.

    Raises:
        InvalidValueError: The time or the tier is none.
    """
    found = _core.pricing_price(_base(model) or model, service_tier, _usage.when(at))
    if found is None:
        return None
    name, rates, since, read, source = found
    by_unit = {unit: Rate(usd, int(per), tuple(above)) for unit, usd, per, above in rates}
    return Price(name, by_unit, since, read, source)


def compare(
    models: Iterable[str],
    usage: object = None,
    *,
    service_tier: str | None = None,
    at: When = None,
    **tokens: Amount,
) -> Comparison:
    """What the same usage costs at several models, cheapest first.

    Args:
        models: Models as a call names them.
        usage: ``response.usage``, or a mapping with the token counts of `cost`.
        service_tier: As in `cost`.
        at: As in `cost`.
        tokens: Token counts as in `cost`; they go before those in `usage`.

    Returns:
        A mapping from model to US dollars (None: not known, with a warning).

    Raises:
        InvalidTypeError: ``models`` is one string, or as in `breakdown`.
        InvalidValueError: As in `breakdown`.
    """
    if isinstance(models, str):
        raise InvalidTypeError("models: expected several names, found one string")
    counts = _usage.tokens(usage, tokens)
    found: dict[str, Decimal | None] = {}
    for model in models:
        one = _core.pricing_cost(_names(model, None), counts, service_tier, _usage.when(at))
        _warn(model, one is None, at)
        found[model] = None if one is None else one[0]
    ordered = sorted(found.items(), key=lambda item: (item[1] is None, item[1] or 0))
    shown = [f"{n:,} {name}" for name, n in zip(_usage.NAMES, counts, strict=True) if n]
    return Comparison(dict(ordered), _caption([", ".join(shown).replace("_", " ")], at))


def ratio(
    strong: str,
    weak: str,
    input_tokens: Amount = 1000,
    output_tokens: Amount = 500,
    *,
    service_tier: str | None = None,
    at: When = None,
    **tokens: Amount,
) -> Decimal | None:
    """How many times dearer `strong` is than `weak` for the same call.

    Args:
        strong: The dearer model.
        weak: The cheaper one.
        input_tokens: Prompt of the call; the default is an average question.
        output_tokens: Completion of the call.
        service_tier: As in `cost`.
        at: As in `cost`.
        tokens: Other token counts as in `cost`.

    Returns:
        7 where the weak one costs a seventh; None where a price is not known (with a warning) or the weak one is free.

    Raises:
        InvalidValueError: As in `cost`.
        InvalidTypeError: There is no count of such a name.
    """
    counts = _usage.tokens(None, {"input_tokens": input_tokens, "output_tokens": output_tokens, **tokens})
    for model in (strong, weak):
        _warn(model, _core.pricing_price(model, service_tier, _usage.when(at)) is None, at)
    return _core.pricing_ratio(strong, weak, counts, service_tier, _usage.when(at))


def scenario(
    *,
    requests: Amount,
    input_tokens: Amount,
    output_tokens: Amount,
    mix: Mapping[str, Amount] | Sequence[tuple[str, Amount]],
    baseline: str | None = None,
    service_tier: str | None = None,
    at: When = None,
    **tokens: Amount,
) -> Scenario:
    """What a number of requests costs when models share them, and what that saves.

    Args:
        requests: Number of requests.
        input_tokens: Prompt of an average request.
        output_tokens: Completion of an average request.
        mix: Share of the requests by model; the shares add up to 1.
        baseline: The model that would answer everything without routing.
        service_tier: As in `cost`.
        at: As in `cost`.
        tokens: Other token counts of an average request, as in `cost`.

    Returns:
        ``cost``, ``baseline_cost``, ``saved``, ``saved_share``, and ``lines`` for each model. A cost of which a part is
        not known is None, with a warning.

    Raises:
        InvalidValueError: The shares do not add up to 1, or as in `cost`.
    """
    counts = _usage.tokens(None, {"input_tokens": input_tokens, "output_tokens": output_tokens, **tokens})
    parts: list[tuple[str, Amount]] = list(cast("Any", mix).items() if hasattr(mix, "items") else cast("Any", mix))
    total, lines, base = _core.pricing_scenario(requests, counts, parts, baseline, service_tier, _usage.when(at))
    made = tuple(Line(*line) for line in lines)
    for line in (*made, *([Line(*base)] if base else [])):
        _warn(line.model, line.cost is None and bool(line.requests), at)
    whole = sum((line.requests for line in made), start=made[0].requests * 0) if made else cast("Any", requests)
    if base:
        whole = base[2]
    caption = _caption([f"{input_tokens:,} input and {output_tokens:,} output tokens each"], at)
    return Scenario(whole, made, total, baseline, base[3] if base else None, caption)


def facts(model: str) -> Facts | None:
    """What is known about a model beside its price; None for one nobody has heard of.

    Args:
        model: Name of a model, with its provider's prefix or without.
    """
    found = _core.pricing_facts(model)
    if found is None:
        return None
    context, most, (images, tools, audio, schema, reasoning), shutdown = found
    return Facts(context, most, images, tools, audio, schema, reasoning, shutdown)


def override(prices: Mapping[str, Any] | str | os.PathLike[str] | None) -> None:
    """Puts prices of your own before the built-in ones, for this process; they replace those of an earlier call.

    Args:
        prices: A mapping, or the path of a JSON file that holds one, from models to prices; None: back to the file that
            ``FERROUTE_PRICES`` names, if any. Prices are US dollars for a million tokens: ``{"input": 0.2, "output":
            0.6, "cache_read": 0.05}``, in a list with a first day each (``"from": "2026-12-01"``) where they change,
            with ``"batch": {"input": ...}`` and so on for service tiers, ``[1.25, [200000, 2.5]]`` where long prompts
            cost more. Another model's name instead makes an alias: ``{"azure/my-deployment": "gpt-5.2"}``. A ``*``
            in a name stands for any text.

    Raises:
        InvalidValueError: The prices have another layout; the message names the model.
        MissingFileError: There is no such file.
        UnreadableFileError: The file cannot be read.
    """
    if prices is None:
        _core.pricing_override(None)
        return
    import json
    from pathlib import Path

    if hasattr(prices, "keys"):
        _core.pricing_override(json.dumps(dict(cast("Any", prices)), default=str, allow_nan=False))
        return
    path = Path(cast("Any", prices))
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: there is no such file of prices") from error
    except UnicodeDecodeError as error:
        raise InvalidValueError(f"{path}: expected JSON in UTF-8") from error
    except OSError as error:
        raise UnreadableFileError(f"{path}: {error}") from error
    _core.pricing_override(text)


def as_of() -> dt.date:
    """The day on which the built-in prices were read at their sources."""
    return dt.date.fromisoformat(_core.pricing_version()[1])


def version() -> str:
    """Versions of the price data, and a mark of your own prices where there are any; the ledger keeps it."""
    return _core.pricing_version()[0]


def check() -> None:
    """Raises what is wrong with the file that ``FERROUTE_PRICES`` names, if anything is.

    Raises:
        InvalidValueError: Its prices have another layout.
        MissingFileError: There is no such file.
        UnreadableFileError: It cannot be read.
    """
    _core.pricing_check()


def warn_if_shut_down(model: str, at: When = None, stacklevel: int = 2) -> None:
    """Warns, once for a model and process, if its provider has shut it down.

    Args:
        model: Name of a model, with its provider's prefix or without.
        at: Day of the prices: a date, or ISO text; None: now.
        stacklevel: Frames between the warning and the line it is about, as in `warnings.warn`.
    """
    day = _core.pricing_shut_down(model, _usage.when(at))
    if day is not None and model not in _said:
        _said.add(model)
        text = f"{model} is past the day on which its provider shuts it down, {day}; its price is the last one known"
        warnings.warn(text, PriceWarning, stacklevel=stacklevel + 1)


def warn_if_unpriced(model: str, at: When = None, stacklevel: int = 2) -> None:
    """Warns, once for a model and process, if its price is not known.

    Args:
        model: Name of a model, with its provider's prefix or without.
        at: Day of the prices: a date, or ISO text; None: now.
        stacklevel: Frames between the warning and the line it is about, as in `warnings.warn`.
    """
    if model not in _missed:
        _missed.add(model)
        if _core.pricing_price(model, None, _usage.when(at)) is None:
            warnings.warn(_unknown(model), PriceWarning, stacklevel=stacklevel + 1)


def said_shut_down(model: str) -> None:
    """Notes that somebody else has told of it, so that `warn_if_shut_down` has nothing left to say of a model."""
    _said.add(model)


def said_unpriced(model: str) -> bool:
    """Whether `warn_if_unpriced` has nothing left to say of a model."""
    return model in _missed


_said: set[str] = set()
_missed: set[str] = set()


def _unknown(model: str) -> str:
    return (
        f"no price is known for {model} (data of {as_of()}): it counts as unpriced, not as free; "
        "`ferroute.pricing.override` takes prices of your own"
    )


def _names(model: str, base_model: str | None) -> list[str]:
    base = base_model or _base(model)
    return [model] if base is None else [base, model]


def _base(model: str) -> str | None:
    """The base model that an endpoint's settings name."""
    settings = getattr(model, "settings", None)
    return settings.get("base_model") if settings else None


def _warn(model: str, unpriced: bool, at: When) -> None:
    """On behalf of the caller of the public function that calls it."""
    if unpriced:
        warnings.warn(_unknown(model), PriceWarning, stacklevel=3)
    else:
        warn_if_shut_down(model, at, stacklevel=3)


def _caption(parts: list[str], at: When) -> str:
    day = "today" if at is None else str(at)
    return "; ".join([*(part for part in parts if part), f"prices of {day}, data {version()}"])
