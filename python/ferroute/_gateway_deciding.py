"""A Controller's routers for the server: which of them the Rust core asks by itself, and decisions for the others.

The core takes a router over only where it is exactly one of ours, with nothing overridden or patched on the way from
the request to the decision. Everything else is decided here, by the Controller, as a completion is.
"""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ferroute._core import ShareWindow
from ferroute._deciding import name_of
from ferroute._extras import Extras
from ferroute._grammar import names_rung
from ferroute._one_line import one_line
from ferroute._refusals import RoutingError
from ferroute._serving import serving_of, warn_retired
from ferroute._trace import Asked
from ferroute.decision import aside
from ferroute.endpoints import settings_of
from ferroute.errors import FerrouteError
from ferroute.routers.base import is_built_in, routes_by_itself

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ferroute._core import Client
    from ferroute._trace import Trace
    from ferroute.controller import Controller
    from ferroute.decision import Decision

_log = logging.getLogger("ferroute")

# The Controller's methods between a request and its decision. One that is somebody else's is asked.
_STEPS = (
    "_adecide", "_beyond", "_counted", "_decide", "_decide_for_completion", "_fixed", "_found",
    "_get_routed_model_for_completion", "_held_out", "_instead", "_joined", "_made", "_named", "_other",
    "_parse_model_name", "_placed", "_policy_in_force", "_refuse", "_remember", "_requested", "_rungs", "_serving",
    "_shared", "_stay", "_validate_router_threshold", "_window", "_word",
)  # fmt: skip
_TOLD = 10_000


def described(controller: Controller, client_of: Callable[[Any], Client]) -> dict[str, Any]:
    """What the core needs to know to decide as the Controller does. Windows and conversations are shared with it.

    Args:
        controller: As it is now.
        client_of: What calls a model that is on no rung.

    """
    held = cast("Any", controller)
    rungs, policy = held._rungs(), controller.policy
    instead, rung, router = policy.on_router_error, None, None
    if instead in controller.routers and instead not in {"raise", "strong", "weak"}:
        router = instead
    elif instead in rungs.names:
        rung = rungs.core.find(instead)
    elif instead != "raise":
        rung = rungs.top if instead == "strong" else 0
    strongest, serving = controller.model_pair.strong, held._serving(rungs)
    # The core skips models that were shut down without a word; who starts a server should hear of it.
    for place, reason in (serving.check_text(1) or ((), (), (), ()))[2]:
        warn_retired(str(rungs.models[place]), reason)
    return {
        "ladder": rungs.core,
        "serving": serving,
        "sessions": held._sessions,
        "view": policy.view,
        "join": policy.join_short_turns,
        "max_latency_ms": policy.max_latency_ms,
        "sticky": policy.sticky,
        "holdout": policy.holdout,
        "error_rung": rung,
        "error_router": router,
        "baseline": settings_of(strongest).get("base_model") or name_of(strongest),
        "all_elsewhere": not all(_is_ours(controller, name) for name in _STEPS),
        "routers": [_described(held, name, router, client_of) for name, router in controller.routers.items()],
        "decide": partial(decided, controller, client_of),
    }


def carry_over(old: Controller, new: Controller) -> None:
    """Lets what has been learned of the traffic go on in another Controller.

    That is the scores of routers which both have, being the very same object, and where conversations are.
    """
    before, after = cast("Any", old), cast("Any", new)
    for name, (router, window) in before._windows.items():
        if after.routers.get(name) is router:
            after._windows[name] = router, window
    after._sessions = before._sessions


def _described(controller: Any, name: str, router: Any, client_of: Callable[[Any], Client]) -> dict[str, Any]:
    kind, parts = native(router)
    naming = names_rung(router)
    table = controller._tables.get(name)
    models: list[Any] = []
    asks: list[str] = []
    if kind and naming:
        asks = [_router_of(controller, model) for model, _ in router.asked_routers()]
        try:
            models = list(_models(controller, router, client_of))
        except FerrouteError as error:
            # A server starts all the same: who is led there is told then.
            _log.warning("router %r names a model that cannot be called: %s", name, error)
            kind, parts = _ELSEWHERE
    # Of a router that decides by itself nobody asks for a score.
    window = ShareWindow() if routes_by_itself(router) else controller._window(name, router)
    return {
        "name": name,
        "kind": kind,
        "parts": parts,
        "window": window,
        "table": table[1] if table is not None and table[0] is router else None,
        "naming": naming,
        "names_models": naming and bool(router.names_models),
        "held": name in controller._held,
        "asks": asks,
        "models": models,
    }


def _router_of(controller: Any, model: str) -> str:
    """The router that a verdict's ``ask`` means; the text itself where that cannot be told."""
    for name in (model, model.removeprefix("router-")):
        if name in controller.routers:
            return name
    try:
        return controller._parse_model_name(model)[0]
    except (RoutingError, ValueError):
        return model


def _models(controller: Any, router: Any, client_of: Callable[[Any], Client]) -> Iterator[Any]:
    """The models that rules name: with their rung, or with what calls them and knows whether they can serve."""
    rules = getattr(router, "_rules", None)
    if rules is None:
        return
    rungs = controller._rungs()
    for model in dict.fromkeys(rules.models):
        own = router.endpoints.get(model, model)
        place = rungs.place_of(own)
        if place is not None:
            yield model, place
            continue
        alone = serving_of((own,), controller.api_base, controller.api_key, skips_retired=not rungs.plain)
        yield model, None, name_of(own), client_of(_reached(controller, own)), alone


def _reached(controller: Any, model: Any) -> Any:
    """A model that a router has named, with the Controller's address and key where it has none of its own."""
    own = {"api_base": controller.api_base, "api_key": controller.api_key, **settings_of(model)}
    return {"model": str(model), **own} if any(value is not None for value in own.values()) else model


def _is_ours(controller: Any, name: str) -> bool:
    method = getattr(cast("type[Any]", type(controller)), name, None)
    return name not in vars(controller) and str(getattr(method, "__module__", "")).startswith("ferroute.")


def native(router: Any) -> tuple[str, tuple[Any, ...]]:
    """What the core knows a router as, and the parts it takes; an empty name where it is asked in Python."""
    if routes_by_itself(router):
        return _ELSEWHERE
    cls = cast("type[Any]", type(router))
    find = _KINDS.get(f"{cls.__module__}.{cls.__qualname__}")
    if find is None:
        return _ELSEWHERE
    try:
        return find(router) or _ELSEWHERE
    except (AttributeError, FerrouteError):
        # Somebody has put something else into it, or it lacks a key: it will say so when it is asked.
        return _ELSEWHERE


_ELSEWHERE: tuple[str, tuple[Any, ...]] = ("", ())


def _random(router: Any) -> Any:
    return ("random", ()) if is_built_in(router) else None


def _local(router: Any) -> Any:
    return ("local", (router._model,)) if is_built_in(router) else None


def _fitted(router: Any) -> Any:
    own = is_built_in(router) and router._model.embedding_width is None
    return ("fitted", (router._model,)) if own else None


def _bert(router: Any) -> Any:
    return ("bert", (router._core, router.threads)) if is_built_in(router) else None


def _mf(router: Any) -> Any:
    vectors = _vectors(router.embedder)
    if vectors is None or not router._unpatched():
        return None
    return "mf", (router.model._core, router.strong_model_id, router.weak_model_id, vectors)


def _sw(router: Any) -> Any:
    vectors = _vectors(router.embedder)
    if vectors is None or not (is_built_in(router) and router._weighs_itself()):
        return None
    return "sw", (router._core, router._tiers(), router._threads, vectors)


def _rules(router: Any) -> Any:
    return ("rules", (router._rules,)) if _chooses_itself(router) else None


def _semantic(router: Any) -> Any:
    # With an embedder of its own the routes are embedded at the first decision.
    return ("semantic", (router._model,)) if router.embedder is None and _chooses_itself(router) else None


def _classifier(router: Any) -> Any:
    return ("classifier", (router._classifier(),)) if _chooses_itself(router) else None


def _chooses_itself(router: Any) -> bool:
    cls = cast("Any", type(router))
    choose = cls.choose
    own = choose.__module__ == cls.__module__ and choose.__qualname__ == f"{cls.__qualname__}.choose"
    return own and "choose" not in vars(router)


def _vectors(embedder: Any) -> tuple[Any, str] | None:
    """The core's embedder and its instruction; None and nothing for the local one; None where a callable is asked."""
    from ferroute._openai_client import assigned
    from ferroute.embedding import LocalEmbedder, PromptEmbedder

    if type(embedder) is not PromptEmbedder or not {"embed", "aembed"}.isdisjoint(vars(embedder)):
        return None
    held = cast("Any", embedder)
    if held._call is not None:
        return (None, "") if type(held._call) is LocalEmbedder else None
    if not held._own and assigned() is not None:
        return None
    return held._embedder(), held._instruction


_KINDS: dict[str, Callable[[Any], Any]] = {
    "ferroute.routers.routers.RandomRouter": _random,
    "ferroute.routers.routers.LocalRouter": _local,
    "ferroute.routers.routers.MatrixFactorizationRouter": _mf,
    "ferroute.routers.similarity_weighted.router.SWRankingRouter": _sw,
    "ferroute.routers.bert.BERTRouter": _bert,
    "ferroute.routers.fitted.FittedRouter": _fitted,
    "ferroute.routers.rules.RulesRouter": _rules,
    "ferroute.routers.semantic.SemanticRouter": _semantic,
    "ferroute.routers.llm_classifier.LLMClassifierRouter": _classifier,
}


def decided(
    controller: Controller,
    client_of: Callable[[Any], Client],
    model: str,
    body: bytes,
    task: str | None,
    session: str | None,
    tags: list[tuple[str, str]],
) -> dict[str, Any]:
    """The Controller's decision for a completion, as the core reads it; or, under ``error``, why there is none.

    Args:
        controller: Who decides.
        client_of: What calls a model that is on no rung.
        model: The model string.
        body: The request in OpenAI's shape.
        task: As the caller says it.
        session: Likewise.
        tags: Likewise.
    """
    from ferroute.controller import _chosen_elsewhere  # pyright: ignore[reportPrivateUsage]

    held = cast("Any", controller)
    extras = Extras(task, session, tuple(tags))
    try:
        keywords: dict[str, Any] = {**json.loads(body), "model": model}
        router, threshold = held._requested(None, None, keywords)
    except RoutingError as error:
        return {"error": ("routing", str(error))}
    except ValueError as error:
        return {"error": ("value", str(error))}
    # Null is not given, as for a completion.
    keywords = {name: value for name, value in keywords.items() if value is not None}
    asked = Asked(keywords["messages"], controller.policy, keywords, extras)
    try:
        if _chosen_elsewhere(controller):
            decision = held._elsewhere(asked, router, threshold)
        else:
            decision = held._decide_for_completion(asked, router, threshold)
        return _told(controller, client_of, asked, decision)
    except Exception as error:
        held._paid_in_vain(error, asked, router, model)
        if isinstance(error, RoutingError):
            return {"error": ("routing", str(error))}
        _log.debug("router %r failed", router, exc_info=error)
        first = str(error).strip().partition("\n")[0]
        # The core cuts it, once what looks like a key is out of it.
        return {
            "error": ("foreign", f"router {router!r} failed ({type(error).__name__}"),
            "said": one_line(first[:_TOLD]),
            "raised": (str(router), type(error).__name__),
        }


def _told(
    controller: Controller, client_of: Callable[[Any], Client], asked: Asked, decision: Decision
) -> dict[str, Any]:
    facts = aside(decision)
    strongest = controller.model_pair.strong
    rung: int | None = facts.rung
    endpoint = cast("Any", controller)._endpoint(decision)
    if rung is None:
        rung = cast("Any", controller)._rungs().place_of(endpoint)
    told: dict[str, Any] = {
        "error": None,
        "rung": rung,
        "model": str(decision.model),
        "client": client_of(_reached(controller, endpoint)) if rung is None else None,
        "tier": decision.tier,
        "router": decision.router,
        "win_rate": decision.win_rate,
        "thresholds": _numbers(decision.threshold),
        "shares": _numbers(decision.share),
        "reason": decision.reason,
        "notes": list(decision.notes),
        "warmup": decision.warmup,
        "holdout": facts.held_out,
        "router_cost": None if facts.unpriced else decision.router_cost_usd or 0,
        "routing_us": decision.routing_us,
        "text": asked.text_or_none(),
        "baseline": settings_of(strongest).get("base_model") or name_of(strongest),
    }
    return told | _traced(facts.trace)


def _traced(trace: Trace | None) -> dict[str, Any]:
    """How it came about; a decision of somebody's own method does not say."""
    if trace is None:
        return {
            "wanted": None, "floor": None, "ceiling": None, "barred": [], "path": [], "rank": None, "verdicts": [],
            "failed": None, "stay": None,
        }  # fmt: skip
    steps = [trace]
    while steps[-1].other is not None:
        steps.append(steps[-1].other)
    return {
        "wanted": trace.wanted,
        "floor": trace.floor,
        "ceiling": trace.ceiling,
        "barred": trace.barred or [],
        "path": [step.name for step in steps] if len(steps) > 1 else [],
        "rank": steps[-1].rank,
        "verdicts": [step.verdict for step in steps if step.verdict is not None],
        "failed": next((step.failed[1] for step in steps if step.failed is not None), None),
        "stay": trace.stay,
    }


def _numbers(given: Any) -> list[float]:
    if given is None:
        return []
    return list(map(float, cast("tuple[Any, ...]", given))) if isinstance(given, tuple) else [float(given)]
