"""Two configurations on the same requests: who would have answered, and what that would have cost.

No model is called. Costs are estimates, made as an explanation makes them: the prompt's tokens by the rule of the core,
the answer's assumed, at today's prices. Policies, which depend on time and callers, are not played.
"""

from __future__ import annotations

import json
import random
import warnings
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from ferroute._estimates import prompt_tokens
from ferroute._serving_build import controller_of
from ferroute.controller import RoutingError
from ferroute.decision import aside
from ferroute.errors import FerrouteError, InvalidValueError

if TYPE_CHECKING:
    from ferroute._serving_config import Configuration

ANSWER = 500
"""Tokens of an answer, unless the request allows fewer; as `Decision.explain` assumes."""
REFUSED = "(refused)"
"""In the place of a model, where there is none."""
# What of a request is decided on, beside its messages.
_DECIDED_ON = ("tools", "functions", "response_format", "max_tokens", "max_completion_tokens", "metadata", "modalities")


@dataclass
class Request:
    """One line of the file."""

    row: int
    messages: Any
    model: str | None
    keywords: dict[str, Any]
    extras: dict[str, Any] | None

    @property
    def text(self) -> str:
        """What to show of it."""
        if isinstance(self.messages, str):
            return self.messages
        last: Any = self.messages[-1] if self.messages else ""
        content = cast("dict[str, Any]", last).get("content") if isinstance(last, dict) else last
        return content if isinstance(content, str) else json.dumps(content)


def request_of(row: int, line: str) -> Request:
    """A request from a line of JSON: a text, or an object with ``messages`` or ``prompt``.

    Raises:
        InvalidValueError: It is none.
    """
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidValueError(f"not JSON: {error}") from None
    if isinstance(found, str):
        return Request(row, found, None, {}, None)
    if not isinstance(found, dict):
        raise InvalidValueError("expected a JSON text or object")
    fields = cast("dict[str, Any]", found)
    # OpenAI's batch files have the request inside.
    body: Any = fields.get("body")
    if isinstance(body, dict):
        fields = cast("dict[str, Any]", body)
    asked = next((fields[name] for name in ("messages", "prompt", "question", "text") if fields.get(name)), None)
    if not isinstance(asked, (str, list)):
        raise InvalidValueError("expected `messages`, a list, or `prompt`, a text")
    model = fields.get("model")
    if model is not None and not isinstance(model, str):
        raise InvalidValueError("expected a text as `model`")
    keywords = {name: fields[name] for name in _DECIDED_ON if fields.get(name) is not None}
    extras = fields.get("ferroute")
    own = cast("dict[str, Any]", extras) if isinstance(extras, dict) else None
    return Request(row, asked, model, keywords, own)


class Side:
    """One of the two configurations."""

    def __init__(self, config: Configuration) -> None:
        config.plain["ledger"] = "memory"
        self.config = config
        self.controller = controller_of(config)
        self.known = dict(config.models)
        self.known |= {_name(model): model for _, model in (*config.tiers, *config.models)}
        # As the server has it: a tier is asked for by its name, and a provider may be left out where that is clear.
        short = [(name.split("/", 1)[1], name) for name in self.known if "/" in name]
        for bare, name in short:
            if [other for other, _ in short].count(bare) == 1:
                self.known.setdefault(bare, self.known[name])
        for name, model in config.tiers:
            self.known.setdefault(name, model)

    def answer(self, request: Request, default: str | None) -> tuple[str, Decimal | None, str]:
        """Model, estimated dollars and reason; `REFUSED` where no model would answer.

        Raises:
            InvalidValueError: Nothing says who is asked for.
        """
        said = request.model or default
        if said is None:
            raise InvalidValueError("it names no model, and there is no --router for such")
        meant = self.config.aliases.get(said, said)
        if not meant.startswith("router"):
            model = self.known.get(meant)
            if model is None:
                return REFUSED, Decimal(0), f"there is no model {meant!r:.80}"
            return _name(model), self._cost(model, request), "asked for by name"
        # The same lots for both sides: what differs is what was configured.
        random.seed(request.row)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                decision = self.controller.decide(
                    request.messages, model=meant, remember=True, ferroute=request.extras, **request.keywords
                )
        except (RoutingError, FerrouteError) as error:
            return REFUSED, Decimal(0), str(error)
        own = aside(decision).endpoint
        model = own if own is not None else self.known.get(decision.model, decision.model)
        return decision.model, self._cost(model, request), decision.reason

    @staticmethod
    def _cost(model: Any, request: Request) -> Decimal | None:
        from ferroute import pricing

        base = cast("dict[str, Any]", model).get("base_model") if isinstance(model, dict) else None
        messages = request.messages
        asked = [{"role": "user", "content": messages}] if isinstance(messages, str) else messages
        limits = (request.keywords.get(name) for name in ("max_completion_tokens", "max_tokens"))
        most = next((limit for limit in limits if isinstance(limit, int)), ANSWER)
        tokens = prompt_tokens({**request.keywords, "messages": asked})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pricing.PriceWarning)
            return pricing.cost(_name(model), tokens, min(most, ANSWER), base_model=base)


def _name(model: Any) -> str:
    return cast("dict[str, str]", model)["model"] if isinstance(model, dict) else str(model)


@dataclass
class Row:
    """A request under both."""

    request: Request
    before: str
    after: str
    cost_before: Decimal | None
    cost_after: Decimal | None
    reason: str

    @property
    def moved(self) -> bool:
        """Whether another model answers."""
        return self.before != self.after


@dataclass
class Comparison:
    """The sums.

    Attributes:
        prompts: Requests played.
        moved: Those that another model answers.
        models: Requests by model, before and after.
        cost: US dollars before and after, of requests whose both costs are known.
        unpriced: Requests without a known cost.
    """

    prompts: int = 0
    moved: int = 0
    models: tuple[Counter[str], Counter[str]] = field(default_factory=lambda: (Counter(), Counter()))
    cost: tuple[Decimal, Decimal] = (Decimal(0), Decimal(0))
    unpriced: int = 0

    def add(self, row: Row) -> None:
        """Counts a request."""
        self.prompts += 1
        self.moved += row.moved
        self.models[0][row.before] += 1
        self.models[1][row.after] += 1
        if row.cost_before is None or row.cost_after is None:
            self.unpriced += 1
        else:
            self.cost = (self.cost[0] + row.cost_before, self.cost[1] + row.cost_after)

    @property
    def changed(self) -> float:
        """Share of requests that moved."""
        return self.moved / self.prompts if self.prompts else 0.0

    @property
    def increase(self) -> float | None:
        """How much dearer it becomes, 0.05 being 5 %; None where there was no cost before and is one now."""
        before, after = self.cost
        if before:
            return float((after - before) / before)
        return None if after else 0.0

    def to_dict(self) -> dict[str, Any]:
        """For JSON, money as text."""
        return {
            "prompts": self.prompts,
            "moved": self.moved,
            "changed": self.changed,
            "before": {"models": dict(self.models[0]), "cost_usd": f"{self.cost[0]:f}"},
            "after": {"models": dict(self.models[1]), "cost_usd": f"{self.cost[1]:f}"},
            "cost_increase": self.increase,
            "unpriced": self.unpriced,
        }
