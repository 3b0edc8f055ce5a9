"""`LLMRouter`: a small model sorts a query by its complexity, and the model of that tier answers it.

The class that articles on routing are written around, in one line, with what they leave out: the classifier's answer is
read with care, its failure is no failure of the application, and calls have limits, retries and an account.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from ferroute._context import Holding
from ferroute._core import Request
from ferroute._trace import Asked
from ferroute.controller import Controller
from ferroute.decision import aside
from ferroute.endpoints import SETTINGS, SYNONYMS
from ferroute.errors import InvalidTypeError, InvalidValueError
from ferroute.routers.llm_classifier import LLMClassifierRouter

if TYPE_CHECKING:
    from ferroute._core import Verdict
    from ferroute.policy import CallPolicy

MODELS = {"cheap": "gpt-5.4-mini", "mid": "gpt-5.4", "expensive": "gpt-5.5"}
"""The models of the usual tiers."""
CLASSIFIER = "gpt-5.4-mini"
"""The model that sorts."""
_NAME = "llm_classifier"

# What is sorted, where that is not the last message.
_query: ContextVar[str | None] = ContextVar("ferroute_query", default=None)


class _OfTheQuery(LLMClassifierRouter):
    """Sorts the query that `LLMRouter.route` was given, whatever messages go with it."""

    def choose(self, request: Request) -> Verdict:
        return super().choose(_asked(request))

    async def achoose(self, request: Request) -> Verdict | str:
        return await self.aclassified(_asked(request))


def _asked(request: Request) -> Request:
    query = _query.get()
    return request if query is None else Request(query)


class LLMRouter:
    """Routes by complexity: ``LLMRouter().route("What is 2+2?")["model_used"]``.

    Args:
        models: Tier -> model, weakest first: names, or mappings with settings of their own (see `ferroute.endpoints`).
        classifier: The model that sorts, likewise; or a mapping of `LLMClassifierRouter`'s arguments. Without ``model``
            it is the usual one.
        api_base: Base URL for all models, the classifier's too; None: the provider's own.
        api_key: Key for all of them; None: from the environment.
        policy: How calls behave; a `ferroute.CallPolicy` or a mapping of its attributes.

    Raises:
        InvalidTypeError: An argument is of the wrong type.
        InvalidValueError: A value is outside its range, there are fewer than two models, or a key is unknown.

    Attributes:
        models: Tier -> name of its model.
        controller: The `Controller` behind it, with its ledger: ``router.controller.spend()``.

    Example:
        >>> router = LLMRouter(api_base="http://localhost:8000/v1", api_key="none")
        >>> router.models["expensive"]
        'gpt-5.5'
    """

    def __init__(
        self,
        models: Mapping[str, str | Mapping[str, Any]] | None = None,
        classifier: str | Mapping[str, Any] = CLASSIFIER,
        api_base: str | None = None,
        api_key: str | None = None,
        policy: CallPolicy | Mapping[str, Any] | None = None,
    ) -> None:
        if models is None:
            models = MODELS
        elif not isinstance(models, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"`models` maps tiers to models, weakest first; found {type(models).__name__}")
        router = _OfTheQuery(**_settings(classifier))
        self.controller = Controller(routers=[], tiers=models, api_base=api_base, api_key=api_key, policy=policy)
        self.models = {name: str(model) for name, model in self.controller.tiers.items()}
        router.check(list(self.models), ())
        router.lend(api_base, api_key, list(self.controller.tiers.values()))
        self.controller.routers[_NAME] = router

    def classify_complexity(self, query: str) -> str:
        """The tier that a query belongs to: ``"cheap"``, ``"mid"`` or ``"expensive"`` with the usual models.

        Args:
            query: The text to classify.

        Raises:
            InvalidTypeError: The query is no string.
        """
        return cast("str", self.controller.decide(_text(query), router=_NAME).tier)

    async def aclassify_complexity(self, query: str) -> str:
        """As `classify_complexity`, without blocking the event loop; cancelling closes the connection.

        Args:
            query: The text to classify.
        """
        controller = self.controller
        asked = Asked(_text(query), controller.policy)
        decision = await controller._adecide(asked, _NAME, None)  # pyright: ignore[reportPrivateUsage]
        return cast("str", decision.tier)

    def route(self, query: str, messages: list[Any] | None = None) -> dict[str, Any]:
        """The answer of the model that a query is routed to.

        Args:
            query: What is sorted.
            messages: What is sent to the model, in OpenAI's form; None: the query alone.

        Returns:
            ``response`` (the text), ``model_used`` (the one that answered, be it a fallback or a rung further up),
            ``complexity`` (the tier of the query), ``input_tokens``, ``output_tokens`` (None where the provider does
            not tell).

        Raises:
            InvalidTypeError: The query is no string.
            openai.OpenAIError: The call failed. A classifier that fails leads to the middle tier instead.
        """
        with Holding(_query, _text(query)):
            answer = self.controller.completion(model=f"router-{_NAME}", messages=_messages(query, messages))
        return _told(answer)

    async def aroute(self, query: str, messages: list[Any] | None = None) -> dict[str, Any]:
        """As `route`, without blocking the event loop.

        Args:
            query: As for `route`.
            messages: As for `route`.

        Returns:
            As for `route`.

        Raises:
            InvalidTypeError: As for `route`.
            openai.OpenAIError: As for `route`.
        """
        with Holding(_query, _text(query)):
            answer = await self.controller.acompletion(model=f"router-{_NAME}", messages=_messages(query, messages))
        return _told(answer)

    def __repr__(self) -> str:
        return f"LLMRouter(models={self.models}, classifier={self.controller.routers[_NAME].model!r})"


# Arguments of `LLMClassifierRouter` that say nothing of its model.
_OWN = ("preset", "labels", "map", "fallback", "timeout", "cache", "instructions", "max_retries")


def _settings(classifier: Any) -> dict[str, Any]:
    """The arguments of the classifier, among which all settings of its model may be."""
    if isinstance(classifier, str):
        return {"model": classifier}
    if not isinstance(classifier, Mapping):
        raise InvalidTypeError(
            f"`classifier` is a model's name or a mapping of settings, found {type(classifier).__name__}"
        )
    given = dict(cast("Mapping[str, Any]", classifier))
    own = {name: given.pop(name) for name in _OWN if name in given}
    model = given.pop("model", CLASSIFIER)
    unknown = [name for name in given if name not in SETTINGS and name not in SYNONYMS]
    if unknown:
        known = ", ".join(("model", *_OWN, *SETTINGS))
        raise InvalidValueError(f"classifier: unknown setting {unknown[0]!r:.60}; known are {known}")
    named: dict[str, Any] = dict(cast("Mapping[str, Any]", model)) if isinstance(model, Mapping) else {"model": model}
    return {"model": {**named, **given}, **own}


def _text(query: Any) -> str:
    if not isinstance(query, str):
        raise InvalidTypeError(f"`query` must be str, found {type(query).__name__}")
    return query


def _messages(query: str, messages: list[Any] | None) -> list[Any]:
    return [{"role": "user", "content": query}] if messages is None else messages


def _told(answer: Any) -> dict[str, Any]:
    """The five things that the article's router returns."""
    decision, usage = answer.routing, answer.usage
    instead = aside(decision).answered
    return {
        "response": answer.choices[0].message.content,
        "model_used": decision.model if instead is None else instead.model,
        "complexity": decision.tier,
        "input_tokens": None if usage is None else usage.prompt_tokens,
        "output_tokens": None if usage is None else usage.completion_tokens,
    }
