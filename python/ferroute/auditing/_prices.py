"""What logged calls cost, and what they would cost at another model.

The log's own figure goes first. A price that is not known is None, and said so at the end; it is never 0.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute.errors import FerrouteError
from ferroute.pricing import _usage

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ferroute.auditing._call import Call
    from ferroute.pricing._usage import When

    Numbers = NDArray[np.float64]

_FEWEST = 20
"""Calls from whose logged costs a model's price a token is read."""


class Prices:
    """Prices of the day of a call, and of the day that forecasts are made for.

    Args:
        at: The day or time for which savings are forecast, and the one of calls without a time; None: now.
    """

    def __init__(self, at: When = None) -> None:
        self.at = _usage.when(at)
        # A wrong time is the caller's mistake, and said at once.
        _core.pricing_price("gpt-5.2", None, self.at)

    def known(self, model: str) -> bool:
        """Whether the model has a price on the day of the forecast."""
        return _core.pricing_price(model, None, self.at) is not None

    def of(self, call: Call) -> Decimal | None:
        """US dollars of a call; None where the log has none and no price is known, or not both counts of tokens.

        A logged cost that cannot be read is not replaced by a list price: what was paid is then not known.
        """
        if call.cost is not None or call.unread is not None:
            return call.cost
        if call.model is None or call.prompt_tokens is None or call.completion_tokens is None:
            return None
        counts = (call.prompt_tokens, call.completion_tokens, call.cached_tokens or 0)
        return self._ask(call.model, counts, call.at or self.at)

    def parts(self, model: str, prompt: int, completion: int, cached: int) -> tuple[float, float] | None:
        """US dollars of the prompt and of the answer at ``model``, on the day of the forecast; None: unknown."""
        whole = self._ask(model, (prompt, completion, cached), self.at)
        if whole is None:
            return None
        asked = self._ask(model, (prompt, 0, cached), self.at) or Decimal(0)
        return float(asked), float(whole - asked)

    def _ask(self, model: str, counts: tuple[int, int, int], at: str | None) -> Decimal | None:
        try:
            found = _core.pricing_cost([model], (*counts, 0, 0, 0, 0, 0), None, at)
        except FerrouteError:  # counts that contradict each other: no cost can be made of them
            return None
        return None if found is None else found[0]


def logged_rates(prompts: Numbers, completions: Numbers, costs: Numbers) -> tuple[float, float] | None:
    """US dollars a token of prompt and of answer that a model's logged costs amount to, by least squares.

    Whoever logs what was paid has the discounts in it that no price list has. None with fewer than 20 calls.

    Args:
        prompts: Prompt tokens ``[n]``.
        completions: Answer tokens ``[n]``.
        costs: US dollars ``[n]``.
    """
    import numpy as np

    if len(costs) < _FEWEST:
        return None
    tokens: Any = np.stack([prompts, completions], axis=1)
    found = cast("Any", np.linalg).lstsq(tokens, costs, rcond=None)[0]
    if (found >= 0).all():
        return float(found[0]), float(found[1])
    # Lengths that go together leave the split open; then one price for both kinds says what is known.
    total = float(tokens.sum())
    each = float(costs.sum()) / total if total else 0.0
    return each, each
