"""The Controller: chat completions that go to the cheapest of two or more models that is good enough.

A drop-in for ``routellm.controller``. Names that existing code and tests patch (`completion`, `acompletion`,
`ROUTER_CLS`) are looked up in this module when they are used.

Higher threshold = fewer strong calls: the strong model answers when the win rate is at least the threshold.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import defaultdict
from contextvars import ContextVar
from functools import partial
from random import SystemRandom
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from ferroute import _asks, _calls, _core, _lifecycle, _tables, responses
from ferroute._calibrated import calibrated
from ferroute._context import Holding
from ferroute._deciding import name_of, policy_of_call
from ferroute._deciding_many import DecidingMany
from ferroute._escalating import Above, rungs_above
from ferroute._extras import NONE, extras_of, extras_of_many, taken
from ferroute._given import check_spelling, given
from ferroute._ladder import cuts_of, model_string, tiers_of
from ferroute._refusals import MissingMessages, RoutingError
from ferroute._shadowing import Shadows
from ferroute._trace import Asked
from ferroute.decision import Aside, Decision, ModelPair, aside, make
from ferroute.endpoints import carrying, settings_of, shown_url, with_settings
from ferroute.errors import InvalidTypeError, UnknownNameError
from ferroute.policy import CallPolicy
from ferroute.routers.base import Router, RungRouter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ferroute.failures import Failures
    from ferroute.ledger import Ledger
    from ferroute.shadow import Shadow
    from ferroute.spend import Spend

__all__ = [
    "GPT_4_AUGMENTED_CONFIG",
    "ROUTER_CLS",
    "Controller",
    "ModelPair",
    "RoutingError",
    "acompletion",
    "completion",
]


def _registry() -> dict[str, Callable[..., Any]]:
    # Tests put a stub under the old name that has nothing but ROUTER_CLS: take nothing else from that module.
    stub = sys.modules.get("routellm.routers.routers")
    if stub is None:
        import ferroute.routers.routers as stub
    return cast("dict[str, Callable[..., Any]]", stub.ROUTER_CLS)


ROUTER_CLS = _registry()

GPT_4_AUGMENTED_CONFIG: dict[str, dict[str, Any]] = {
    "sw_ranking": {
        "arena_battle_datasets": ["lmsys/lmsys-arena-human-preference-55k", "routellm/gpt4_judge_battles"],
        "arena_embedding_datasets": ["routellm/arena_battles_embeddings", "routellm/gpt4_judge_battles_embeddings"],
    },
    "causal_llm": {"checkpoint_path": "routellm/causal_llm_gpt4_augmented"},
    "bert": {"checkpoint_path": "routellm/bert_gpt4_augmented"},
    "mf": {"checkpoint_path": "routellm/mf_gpt4_augmented"},
}
"""The routers trained on GPT-4-judged data, by their Hub names: the default configuration."""


def completion(**kwargs: Any) -> Any:
    """The call to the model: `ferroute.completions.completion`. Existing tests patch this name.

    Args:
        **kwargs: Parameters of `ferroute.completions.completion`.
    """
    from ferroute.completions import complete

    return complete(_prepared(kwargs))


async def acompletion(**kwargs: Any) -> Any:
    """The asynchronous call to the model: `ferroute.completions.acompletion`.

    Args:
        **kwargs: Parameters of `ferroute.completions.acompletion`.
    """
    from ferroute.completions import acomplete

    return await acomplete(_prepared(kwargs))


def _prepared(kwargs: dict[str, Any]) -> _calls.Prepared:
    """The call with what the Controller that makes it, if one does, has to say beside RouteLLM's keywords."""
    missing = [name for name in ("model", "messages") if name not in kwargs]
    if missing:
        raise InvalidTypeError(f"completion() needs {' and '.join(missing)}")
    model, messages = kwargs.pop("model"), kwargs.pop("messages")
    base, key = kwargs.pop("api_base", None), kwargs.pop("api_key", None)
    return _calls.prepare(model, messages, base, key, kwargs, _calls.context_of(model, messages))


# An overriding `_get_routed_model_for_completion` is given messages and returns a name, no more: here are the request
# and the decisions made beneath it.
_made: ContextVar[tuple[Asked, list[Decision]] | None] = ContextVar("ferroute_made", default=None)
# Not the generator that `random.seed` sets, which the random router draws from; and of its own after a fork.
_lot = SystemRandom().random
# What the ledger calls the model where none was chosen.
_NO_MODEL = "(none)"
# What `decide` takes beside the keywords of a completion.
_OF_DECIDE = ("router", "threshold", "model", "remember", "ferroute", "policy")


def _counts() -> defaultdict[str, defaultdict[str, int]]:
    # A partial, not a lambda, so that what users keep of it pickles.
    return defaultdict(cast("Callable[[], defaultdict[str, int]]", partial(defaultdict, int)))


class Controller(DecidingMany, Shadows):
    """Routes between a strong and a weak model, or a ladder of several, and calls the one chosen.

    It may be used from any thread and event loop; counts are kept under a lock. It pickles, with counts and score
    windows empty.

    Args:
        routers: Names in `ROUTER_CLS`. Each is built with the arguments of ``config[name]``.
        strong_model: Model for prompts with a win rate of at least the threshold, such as ``"gpt-5.5"`` or
            ``"anthropic/claude-opus-4-5"``; or a mapping with settings of its own, ``{"model": ..., "api_base": ...,
            "api_key": ...}`` (see `ferroute.endpoints`). What it leaves out comes from ``api_base`` and ``api_key``.
        weak_model: Model for all others, likewise.
        config: Router name -> keyword arguments; `GPT_4_AUGMENTED_CONFIG` if None. A null entry is an empty one. The
            key ``calibration`` of an entry is the path of a table for the share form (see `ferroute.calibrate`);
            without it the calibration folder is looked in; False: the router follows no table.
        api_base: Base URL for completions of both models; None: the provider's own.
        api_key: Key for completions of both models; None: from the environment.
        progress_bar: Shows progress while routers load and batches are scored.
        tiers: In the place of the two models a ladder, weakest first: ``{"cheap": "gpt-5.4-mini", "mid": "gpt-5.4",
            "expensive": "gpt-5.5"}``, or a list of such pairs. A model is given as above. Then a threshold may be a
            list with one for each step (``router-local-0.3,0.7``); a single one chooses between the first and the last.
        policy: How calls behave: time limits, retries, fallbacks, ``on_router_error``, ``holdout`` and the like; a
            `CallPolicy`, or a mapping of its attributes. May be assigned later.
        ledger: Where calls are entered: ``"sqlite:///calls.db"`` or the path alone, ``"postgresql://..."``, or a
            `ferroute.ledger.Ledger` that several share; None: in memory, the sums and the last 10,000.
        shadow: Share of the calls that the other model is asked as well, behind the caller's back, so that what routing
            costs in quality can be measured: ``0.02`` alone keeps both answers for people (``shadow.pairs()``); or a
            `ferroute.Shadow` with a judge and a budget, or a mapping of its attributes. May be assigned later.

    Raises:
        KeyError: A router's name is unknown.
        TypeError: A router misses an argument in ``config``; or there are neither two models nor tiers, or both; or an
            argument is of another kind.
        InvalidValueError: A setting is out of its range, or rungs, rules or a calibration table do not fit.
        UnreadableFileError: The ledger's store, or the file that ``FERROUTE_PRICES`` names, cannot be read.

    Warns:
        RetiringModelWarning: A model was shut down, or will be within six months; once for a name and process.

    Example:
        >>> c = Controller(["local"], strong_model="gpt-5.5", weak_model="gpt-5.4-mini")
        >>> c.decide("hello", router="local", threshold=0.9).model
        'gpt-5.4-mini'
    """

    def __init__(
        self,
        routers: Sequence[str],
        strong_model: str | Mapping[str, Any] | None = None,
        weak_model: str | Mapping[str, Any] | None = None,
        config: Mapping[str, Mapping[str, Any] | None] | None = None,
        api_base: str | None = None,
        api_key: str | None = None,
        progress_bar: bool = False,
        *,
        tiers: Mapping[str, str | Mapping[str, Any]] | Sequence[tuple[str, Any]] | None = None,
        policy: CallPolicy | Mapping[str, Any] | None = None,
        ledger: str | os.PathLike[str] | Ledger | None = None,
        shadow: Shadow | Mapping[str, Any] | float | None = None,
    ) -> None:
        _warn_if_shadowed()
        if isinstance(routers, str):
            raise InvalidTypeError(f"routers is a list of names, such as [{routers!r}]; found the string {routers!r}")
        self._tiers = tiers_of(tiers, strong_model, weak_model)
        if self._tiers:
            weak_model, strong_model = self._tiers[0][1], self._tiers[-1][1]
        self.model_pair = ModelPair(strong=cast("str", strong_model), weak=cast("str", weak_model))
        self._seen = None
        self.routers: dict[str, Any] = {}
        self.api_base = api_base
        self.api_key = api_key
        self.model_counts = _counts()
        self.progress_bar = progress_bar
        if config is None:
            config = GPT_4_AUGMENTED_CONFIG
        if not hasattr(config, "get"):
            raise InvalidTypeError(f"config maps router names to their arguments; found {type(config).__name__}")
        self._tables: dict[str, tuple[Any, Any]] = {}
        for name in _with_progress(routers, "Loading routers") if progress_bar else routers:
            entry = config.get(name)
            router = self.routers[name] = self._built(name, entry)
            table = calibrated(name, entry, router)
            if table is not None:
                self._tables[name] = router, table
        naming = [router for router in self.routers.values() if isinstance(router, RungRouter)]
        for router in naming:
            router.check(self._rungs().names, self.routers)
            router.lend(api_base, api_key, self._rungs().models)
        if naming:
            _asks.refuse_circles(self.routers, self._rungs().names)
        self._policy = CallPolicy.of(policy)
        self._check_policy(self._policy)
        if "FERROUTE_PRICES" in os.environ:
            # A file that cannot be read is told of now, not as a price that is not known.
            _core.pricing_check()
        self._ledger = ledger if ledger is None else _calls.opened(ledger)
        self._start()
        # The first decision does not wait until the price data are read.
        self._serving(self._rungs())
        self._tell_of_endings()
        if shadow is not None:
            self.shadow = shadow

    def _tell_of_endings(self) -> None:
        """Warns of models that are shut down soon; a server has a log of its own for that."""
        _lifecycle.warn(self._rungs().models, self.api_base)

    def _built(self, name: str, entry: Any) -> Any:
        """A router with its arguments; a server that reloads has some of them already."""
        return build_router(name, entry)

    @property
    def tiers(self) -> dict[str, Any]:
        """Names and models of the rungs, weakest first; empty with a strong and a weak model."""
        rungs = self._rungs()
        return {} if rungs.plain else dict(zip(rungs.names, rungs.models, strict=True))

    @property
    def ledger(self) -> Ledger:
        """Where calls are entered."""
        if self._ledger is None:
            with self._lock:
                if self._ledger is None:
                    from ferroute import ledger

                    self._ledger = ledger.open(None)
        return self._ledger

    def failures(self, **filters: Any) -> Failures:
        """Answers that show a sign of failure, by rung and kind of task; see `ferroute.failures.failures`.

        Args:
            **filters: Arguments of `ferroute.failures.failures`: ``since``, ``until``, ``router``, ``model``.
        """
        return self.ledger.failures(**filters)

    def spend(self, **filters: Any) -> Spend:
        """What calls have cost and routing has saved, by model; see `ferroute.spend.spend` for the filters.

        Args:
            **filters: Arguments of `ferroute.spend.spend`: ``since``, ``until``, ``router``, ``model``, ``strong``,
                ``weak``, ``passing``.
        """
        pair = self.model_pair
        asked: dict[str, Any] = {"strong": str(pair.strong), "weak": str(pair.weak), **filters}
        return self.ledger.spend(**asked)

    def _start(self) -> None:
        """Everything that is not kept by pickle."""
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[Any, Any]] = {}
        self._served = None
        self._sessions = _core.Sessions()
        # OpenAI's shape: client.chat.completions.create(...)
        self.chat = SimpleNamespace(completions=SimpleNamespace(create=self.completion, acreate=self.acompletion))

    def __getstate__(self) -> dict[str, Any]:
        dropped = ("_lock", "_seen", "_served", "_sessions", "_shadow", "_windows", "chat", "model_counts")
        return {name: value for name, value in vars(self).items() if name not in dropped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        # Pickles of earlier versions have less.
        self.__dict__.setdefault("_tables", {})
        self.__dict__.setdefault("_policy", CallPolicy.of(None))
        self.__dict__.setdefault("_ledger", None)
        self.__dict__.setdefault("_tiers", ())
        self._seen = None
        self.model_counts = _counts()
        self._start()
        self._begin_shadow()

    def __repr__(self) -> str:
        where = f", api_base={shown_url(self.api_base)!r}" if self.api_base else ""
        pair = self.model_pair
        models = f"tiers={self.tiers}" if self._tiers else f"strong_model={pair.strong!r}, weak_model={pair.weak!r}"
        return f"Controller(routers={list(self.routers)}, {models}{where})"

    # Private in RouteLLM too, but visible in subclasses and tests: completions go through it, so overriding it works.

    def _get_routed_model_for_completion(self, messages: Any, router: str, threshold: Any) -> str:
        made = _made.get()
        asked = Asked(messages, self._policy_in_force()) if made is None else made[0].of(messages)
        decision = self._decide_for_completion(asked, router, cuts_of(threshold, len(self._tiers) or 2))
        if made is not None:
            made[1].append(decision)
        return decision.model

    def _elsewhere(self, asked: Asked, router: str, threshold: Any) -> Decision:
        """The choice of an overriding `_get_routed_model_for_completion`, with what it learned by calling ours."""
        made: list[Decision] = []
        with Holding(_made, (asked, made)):
            model = self._get_routed_model_for_completion(asked.messages, router, threshold)
        own = with_settings(model)
        if made and made[-1].model == model:
            decision = made[-1]
            return decision if own is None else make(decision.__dict__, aside(decision)._replace(endpoint=own))
        rungs = self._rungs()
        tier = rungs.tier(rungs.place_of(model))
        fields = {"model": name_of(model), "router": router, "reason": "an overriding method chose it", "tier": tier}
        return make(fields, Aside(endpoint=own))

    def _decide_for_completion(self, asked: Asked, router: str, threshold: Any) -> Decision:
        return self._counted(self._decide(asked, router, threshold, enters_window=True))

    def _counted(self, decision: Decision) -> Decision:
        """A completion's decision, once the lot has been drawn, entered in `model_counts`."""
        share = self._policy_in_force().holdout
        if share and _lot() < share:
            decision = self._held_out(decision)
        facts = aside(decision)
        if facts.trace is not None and facts.trace.asked.policy.sticky and not facts.held_out:
            self._remember(facts.trace, facts.rung)
        with self._lock:
            self.model_counts[cast("str", decision.router)][decision.model] += 1
        return decision

    def decide(
        self,
        prompt_or_messages: Any,
        router: str | None = None,
        threshold: Any = None,
        *,
        model: str | None = None,
        remember: bool = False,
        ferroute: Mapping[str, Any] | None = None,
        **request: Any,
    ) -> Decision:
        """Which model a prompt or conversation would go to, and why. Calls no model and counts nothing.

        Args:
            prompt_or_messages: A prompt, or a list of messages, of which the last one's text is routed on.
            router: Name of a loaded router; or a model string, where no threshold is given.
            threshold: Win rate from which on the strong model answers, 0..=1, or a `Share`. With ``tiers`` also a list
                with one for each step, weakest first, or `Shares`. Routers that name a rung need none.
            model: A model string such as ``"router-local-30%"``, in the place of the two.
            remember: Whether the score enters the window that the share form ranks among, as a completion's does.
            ferroute: ``task``, ``session`` and ``tags`` of the request, as for `completion`.
            **request: The completion's other keywords, as far as they are decided on: ``tools``, ``response_format``,
                ``max_tokens``, ``metadata``; and ``policy``.

        Raises:
            RoutingError: As for `completion`.
            InvalidTypeError: A keyword is one of the above, misspelt.
        """
        if request:
            check_spelling(request, _OF_DECIDE, "decide()")
        name, threshold = self._asked_how(router, threshold, model)
        if not request:
            extras = NONE if ferroute is None else extras_of(ferroute)
            asked = Asked(prompt_or_messages, self._policy_in_force(), None, extras)
            return self._decide(asked, name, threshold, enters_window=remember)
        with self._under(request):
            asked = Asked(prompt_or_messages, self._policy_in_force(), request, extras_of(ferroute))
            return self._decide(asked, name, threshold, enters_window=remember)

    def decide_batch(
        self,
        prompts: Any,
        router: str | None = None,
        threshold: Any = None,
        *,
        model: str | None = None,
        ferroute: Mapping[str, Any] | Sequence[Mapping[str, Any] | None] | None = None,
        **request: Any,
    ) -> list[Decision]:
        """`decide` for each of many prompts, scored together, which is faster; the choices are the same.

        Args:
            prompts: A pandas or polars Series, a numpy array, a list or a tuple of strings; or of lists of messages.
            router: As for `decide`.
            threshold: As for `decide`.
            model: As for `decide`.
            ferroute: ``task``, ``session`` and ``tags`` of all requests, or a list with a mapping (or None) for each.
            **request: As for `decide`, for all requests.

        Raises:
            RoutingError: As for `completion`.
            InvalidTypeError: ``prompts`` is a single one, or ``ferroute`` is none of the above.
            InvalidValueError: There are not as many mappings in ``ferroute`` as prompts.
        """
        name, threshold = self._asked_how(router, threshold, model)
        from ferroute._batch import conversations, progress

        rows = conversations(prompts)
        extras = extras_of_many(ferroute, len(rows))
        with (
            self._under(request),
            progress(len(rows), f"Deciding with {name}" if self.progress_bar else None) as advance,
        ):
            policy, keywords = self._policy_in_force(), request or None
            asked = [Asked(row, policy, keywords, extra) for row, extra in zip(rows, extras, strict=True)]
            return self._decide_many(asked, name, threshold, advance)

    def route(self, prompt: str, router: str, threshold: Any = None) -> str:
        """Name of the model that ``prompt`` goes to.

        Args:
            prompt: A text, or messages in OpenAI's form.
            router: Name of the router; or a model string, where no threshold is given.
            threshold: Strong if the win rate is at least this, 0..=1; or what else `decide` takes.

        Raises:
            RoutingError: As for `completion`.
        """
        router, threshold = self._asked_how(router, threshold, None)
        return self._decide(Asked(prompt, self._policy_in_force()), router, threshold, enters_window=True).model

    def completion(self, *, router: str | None = None, threshold: Any = None, **kwargs: Any) -> Any:
        """A chat completion by the routed model, with the decision under ``.routing``.

        Arguments and answer have the shape of OpenAI's API reference, "Chat Completions"; the model string and the rule
        "strong if the win rate is at least the threshold" are RouteLLM's.

        Args:
            router: Name of a loaded router.
            threshold: Win rate from which on the strong model answers, 0..=1: higher = fewer strong calls. Or what
                else `decide` takes.
            **kwargs: OpenAI's arguments. ``model="router-mf-0.5"`` (or ``"router-local-30%"`` for a share of strong
                calls, ``"router-rules"`` for a router that names a rung) takes the place of ``router`` and
                ``threshold``. What is given here beats the Controller's ``api_base``, ``api_key``, ``policy`` and
                ``ledger``; None is not given. ``ferroute={"task": ..., "session": ..., "tags": [...]}`` is for routers
                and the ledger. Everything else goes to the provider untouched.

        Returns:
            A chat completion, or a stream of chunks with ``stream=True``. Its ``model`` is what the provider says.

        Raises:
            RoutingError: Unknown router, bad threshold or model string, no messages, no model that can serve this. Its
                ``router_cost_usd`` is what had been paid for routing by then, which the ledger has too.
            openai.OpenAIError: The call failed.
        """
        extras, said = taken(kwargs), kwargs.get("model")
        with self._under(kwargs):
            router, threshold = self._requested(router, threshold, kwargs)
            asked = Asked(kwargs["messages"], self._policy_in_force(), kwargs, extras)
            try:
                if _chosen_elsewhere(self):
                    decision = self._elsewhere(asked, router, threshold)
                else:
                    decision = self._decide_for_completion(asked, router, threshold)
            except Exception as error:
                self._paid_in_vain(error, asked, router, said or model_string(router, threshold))
                raise
            keywords, context = self._call(kwargs, decision, said or model_string(router, threshold), asked)
        with Holding(_calls.routed, context):
            response = completion(**keywords)
        response = _attached(response, decision, context)
        return response if self._shadow is None else self._shadowed(response, decision, context, kwargs, asked)

    async def acompletion(self, *, router: str | None = None, threshold: Any = None, **kwargs: Any) -> Any:
        """As `completion`, asynchronously; routing does not block the event loop either.

        Args:
            router: Name of the router; None: it is in ``model``.
            threshold: Strong if the win rate is at least this, 0..=1; None: it is in ``model``.
            **kwargs: Parameters of a chat completion, ``messages`` and ``model`` among them.

        Returns:
            A chat completion, or an asynchronous stream of chunks with ``stream=True``.

        Raises:
            RoutingError: As for `completion`.
            openai.OpenAIError: As for `completion`.
        """
        extras, said = taken(kwargs), kwargs.get("model")
        with self._under(kwargs):
            router, threshold = self._requested(router, threshold, kwargs)
            asked = Asked(kwargs["messages"], self._policy_in_force(), kwargs, extras)
            try:
                if _chosen_elsewhere(self):
                    import asyncio

                    decision = await asyncio.to_thread(self._elsewhere, asked, router, threshold)
                elif isinstance(self.routers[router], Router):
                    decision = self._counted(await self._adecide(asked, router, threshold))
                else:
                    import asyncio

                    decision = await asyncio.to_thread(self._decide_for_completion, asked, router, threshold)
            except Exception as error:
                self._paid_in_vain(error, asked, router, said or model_string(router, threshold))
                raise
            keywords, context = self._call(kwargs, decision, said or model_string(router, threshold), asked)
        with Holding(_calls.routed, context):
            response = await acompletion(**keywords)
        response = _attached(response, decision, context)
        return response if self._shadow is None else self._shadowed(response, decision, context, kwargs, asked)

    def _paid_in_vain(self, error: Exception, asked: Asked, router: str, requested: str) -> None:
        """Enters what was paid for a choice that has failed, of which no call will tell."""
        told: dict[str, Any] = getattr(error, "__dict__", {})
        if "router_cost_usd" not in told:
            return
        own = given((asked.keywords or {}).get("ledger"))
        book = self.ledger if own is None else _calls.opened(own)
        book.add(
            _NO_MODEL,
            cost=0,
            router_cost=told["router_cost_usd"],
            baseline=0,
            outcome="failed",
            error=type(error).__name__,
            attempts=0,
            router=router,
            requested=requested,
            session=asked.extras.session,
            task=asked.extras.task,
            tags=asked.extras.tags,
        )

    @staticmethod
    def _under(kwargs: dict[str, Any]) -> Holding[CallPolicy | None]:
        """The policy that a call brings takes the place of the Controller's while it is decided on."""
        said = given(kwargs.pop("policy", None))
        return Holding(policy_of_call, policy_of_call.get() if said is None else CallPolicy.of(said))

    def _requested(self, router: str | None, threshold: Any, kwargs: dict[str, Any]) -> tuple[str, Any]:
        if "model" in kwargs:
            router, threshold = self._parse_model_name(kwargs["model"])
        else:
            threshold = cuts_of(threshold, len(self._tiers) or 2)
        if threshold is None:
            threshold = self._held_threshold(router)
        self._validate_router_threshold(router, threshold)
        if "messages" not in kwargs:
            raise MissingMessages("messages is missing: a list of {'role': ..., 'content': ...}.")
        return cast("str", router), threshold

    def _call(
        self, kwargs: dict[str, Any], decision: Decision, requested: str, asked: Asked
    ) -> tuple[dict[str, Any], _calls.Routed]:
        """The keywords of the original's call, no more and no less; and what our own call knows beside them."""
        strongest = self.model_pair.strong
        model = self._endpoint(decision)
        own = settings_of(model)
        base, key = own.get("api_base"), own.get("api_key")
        keywords = {
            "api_base": self.api_base if base is None else base,
            "api_key": self.api_key if key is None else key,
            **kwargs,
        }
        facts = aside(decision)
        policy, rungs = self._policy_in_force(), self._rungs()
        context = _calls.Routed(
            decision=decision,
            policy=policy,
            ledger=self._ledger or self.ledger,
            baseline=settings_of(strongest).get("base_model") or name_of(strongest),
            requested=requested,
            holdout=facts.held_out,
            router_cost=None if facts.unpriced else decision.router_cost_usd or 0,
            session=asked.extras.session,
            text=asked.text_or_none(),
            where=(self.api_base, self.api_key),
            own=(base, key),
            messages=kwargs["messages"],
            task=asked.extras.task,
            tags=asked.extras.tags,
            climb=rungs_above(decision, rungs) if policy.escalate_on else Above(),
            rungs=rungs,
        )
        keywords["model"] = carrying(model, context) if isinstance(model, str) else model
        return keywords, context

    def _endpoint(self, decision: Decision) -> Any:
        """The chosen model with the settings that travel with its name."""
        facts = aside(decision)
        if facts.endpoint is not None:
            return facts.endpoint
        models = self._rungs().models
        if facts.rung is not None:
            return models[facts.rung]
        return next((each for each in reversed(models) if each == decision.model), decision.model)

    def batch_calculate_win_rate(self, prompts: Any, router: str) -> Any:
        """Win rates of many prompts, in the kind they came in.

        Args:
            prompts: A pandas or polars Series (index and name are kept), a numpy array, a list or a tuple of strings.
            router: Name of a loaded router.

        Returns:
            A Series, an array (float64) or a list of floats, ``[n]``, each in 0..=1, element by element; of a router
            that names a rung, where that stands between the first, 0, and the last, 1.

        Raises:
            RoutingError: There is no such router.
            InvalidTypeError: ``prompts`` is a single string, or of another kind.
        """
        self._validate_router_threshold(router, 0)
        from ferroute._batch import win_rates

        text = f"Scoring with {router}" if self.progress_bar else None
        return win_rates(self.routers[router], prompts, text, self._rungs().core)


def _lookup(name: str) -> Callable[..., Any]:
    try:
        return ROUTER_CLS[name]
    except KeyError:
        raise UnknownNameError(f"unknown router {name!r}; ROUTER_CLS has {', '.join(map(repr, ROUTER_CLS))}") from None


def _maker(name: str, arguments: Any) -> Callable[..., Any]:
    """What makes the router called ``name``; a file that `ferroute.fit` has written may have any name."""
    if name not in ROUTER_CLS and hasattr(arguments, "keys") and "path" in arguments:
        return _lookup("fitted")
    return _lookup(name)


def build_router(name: str, entry: Mapping[str, Any] | None) -> Any:
    """The router called ``name`` with the arguments of its config entry.

    Raises:
        UnknownNameError: There is no such router.
        TypeError: It misses an argument, or has another one.
        InvalidTypeError: The entry is no mapping, or a built-in router does not know one of its arguments.
    """
    arguments = entry or {}
    make_one = _maker(name, arguments)
    if not hasattr(arguments, "keys"):
        found = type(arguments).__name__
        raise InvalidTypeError(f"config[{name!r}] maps the router's arguments to their values; found {found}")
    if _tables.KEY in arguments:
        arguments = {key: value for key, value in arguments.items() if key != _tables.KEY}
    try:
        return make_one(**arguments)
    except TypeError as error:
        if (wrong := _unknown_arguments(make_one, arguments)) is None:
            raise
        unknown, known = wrong
        raise InvalidTypeError(
            f"config[{name!r}]: unknown argument {unknown!r:.60}; known are {', '.join((*known, _tables.KEY))}"
        ) from error


def _unknown_arguments(make_one: Callable[..., Any], arguments: Mapping[str, Any]) -> tuple[Any, list[str]] | None:
    """An argument that there is not, and those that there are; None where all are known, or any name will do."""
    import inspect

    try:
        parameters = inspect.signature(make_one).parameters.values()
    except (TypeError, ValueError):  # of a callable without one
        return None
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return None
    known = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    unknown = [name for name in arguments if name not in known]
    return (unknown[0], known) if unknown else None


def _attached(response: Any, decision: Decision, context: _calls.Routed) -> Any:
    # Our own call has put the decision there by itself, with what it cost.
    if context.used and getattr(response, "routing", None) is not None:
        return response
    return responses.attach(response, decision)


_CHOOSE = Controller._get_routed_model_for_completion  # pyright: ignore[reportPrivateUsage]


def _chosen_elsewhere(controller: Controller) -> bool:
    """Whether a subclass or a patch has its own `_get_routed_model_for_completion`."""
    name = "_get_routed_model_for_completion"
    return getattr(type(controller), name) is not _CHOOSE or name in vars(controller)


def _with_progress(names: Sequence[str], text: str) -> Any:
    from ferroute._progress import bar_class

    return bar_class()(names, desc=text)


_shadow_checked = False


def _warn_if_shadowed() -> None:
    """Once a process: says how to repair an installation in which the original's files hide the alias."""
    global _shadow_checked
    if not _shadow_checked:
        _shadow_checked = True
        from ferroute._installation import warn_if_shadowed

        warn_if_shadowed(stacklevel=4)
