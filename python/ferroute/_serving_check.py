"""What can be said of a configuration before it is served: a summary, and what its owner may not have meant."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ferroute import _lifecycle
from ferroute._serving_build import Served, arguments_of, controller_of, price_of
from ferroute._serving_config import ConfigMistakes, Mistake
from ferroute._serving_lines import LOCAL
from ferroute._serving_names import imported, raise_any, unanswerable
from ferroute.controller import ROUTER_CLS, RoutingError
from ferroute.endpoints import endpoint
from ferroute.errors import FerrouteError, UnknownNameError
from ferroute.routers.base import Router, RungRouter

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable
    from decimal import Decimal

    from ferroute._serving_config import Configuration

# Of the admin key; the server refuses a shorter one.
_SHORTEST_KEY = 16
# Routers that are built in no time, from this package or a file of their own.
_LIGHT = frozenset(("local", "random", "rules"))


class ModelLine(NamedTuple):
    """A model of the configuration.

    Attributes:
        name: Of its tier, or what callers ask for.
        model: The provider's name of it.
        input: US dollars for a million tokens of prompt; None: not known.
        output: Likewise of answers.
        shutdown: The day from which its provider does not serve it, where that is known.
    """

    name: str
    model: str
    input: Decimal | None
    output: Decimal | None
    shutdown: str | None


class Findings(NamedTuple):
    """A configuration without mistakes, as it may be shown."""

    tiers: list[ModelLine]
    models: list[ModelLine]
    routers: list[str]
    policies: list[str]
    notes: list[str]
    warnings: list[str]


class _NotLoaded(Router):
    """Stands where a router would that takes long to load, or a download."""

    def calculate_strong_win_rate(self, prompt: str) -> float:
        raise NotImplementedError


class _NotLoadedRungs(RungRouter):
    """Likewise, of a router that names a rung, and so needs no threshold."""

    def choose(self, request: Any) -> Any:
        raise NotImplementedError


def _stub(make_one: Any) -> Router:
    names = isinstance(make_one, type) and issubclass(make_one, RungRouter)
    return _NotLoadedRungs() if names else _NotLoaded()


class _Checked(Served):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.wrong: list[tuple[str, str]] = []
        super().__init__(*args, **kwargs)

    def _built(self, name: str, entry: Any) -> Any:
        try:
            return self._looked_at(name, entry)
        except (FerrouteError, RoutingError, TypeError, KeyError) as error:
            # The others are looked at all the same.
            self.wrong.append((name, str(error)))
            return _stub(ROUTER_CLS.get(name))

    def _looked_at(self, name: str, entry: Any) -> Any:
        from ferroute.controller import _maker, _unknown_arguments  # pyright: ignore[reportPrivateUsage]

        if name in _LIGHT:
            return super()._built(name, entry)
        given: dict[str, Any] = entry or {}
        make_one = _maker(name, given)
        arguments = {key: value for key, value in given.items() if key != "calibration"}
        if (wrong := _unknown_arguments(make_one, arguments)) is not None:
            from ferroute.errors import InvalidTypeError

            unknown, known = wrong
            raise InvalidTypeError(f"unknown argument {unknown!r:.60}; known are {', '.join(known)}")
        return _stub(make_one)


def look(config: Configuration, today: dt.date | None = None) -> Findings:
    """Builds what can be built without a download, a key or a call, and looks at the rest.

    Args:
        config: With its tiers (see `ferroute._serving_build.with_tiers`).
        today: The day that shutdowns are held against; None: today.

    Raises:
        ConfigMistakes: It cannot be served.
    """
    day = _lifecycle.today() if today is None else today
    said: list[str] = []
    wrong: list[Mistake] = []
    admin = config.keys.get("admin")
    if admin is not None and (len(admin) < _SHORTEST_KEY or len(admin.split()) != 1):
        wrong.append(config.mistake("keys.admin", f"expected {_SHORTEST_KEY} characters or more, without spaces"))
    config.plain["ledger"] = "memory"
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _build(config, wrong)
        said += [str(warning.message) for warning in caught]
    except ConfigMistakes as error:
        wrong += error.mistakes
    except (FerrouteError, RoutingError, TypeError, KeyError) as error:
        wrong.append(Mistake(config.name or "", None, None, "", str(error)))
    raise_any(wrong)
    tiers = [_line(name, model) for name, model in config.tiers]
    models = [_line(name, model) for name, model in config.models]
    said += _of_models(config, [*tiers, *models], day)
    said += _of_calls(config)
    said += _of_budgets(config.plain.get("policies", ()))
    said += _of_secrets(config.shown, "")
    if config.host not in LOCAL and not config.keys.get("required"):
        said.append(f"host {config.host}: others can reach it, and keys are not required")
    if config.keys.get("required") and not config.keys.get("admin"):
        said.append("keys.required without keys.admin: keys can be made with `ferroute keys` only, not over HTTP")
    policies = [policy_text(policy) for policy in config.shown.get("policies", ())]
    notes = [*config.said, *config.notes]
    return Findings(tiers, models, list(arguments_of(config)), policies, notes, list(dict.fromkeys(said)))


def _build(config: Configuration, wrong: list[Mistake]) -> None:
    """Builds it; what is wrong with a line of its own is added to `wrong`.

    Raises:
        FerrouteError: More is wrong.
    """
    wrong += imported(config)
    controller = controller_of(config, made=_Checked)
    if isinstance(controller, _Checked):
        wrong += [config.mistake(f"routers.{name}", why) for name, why in controller.wrong]
    wrong += unanswerable(config, controller)


def _line(name: str, model: Any) -> ModelLine:
    from ferroute import pricing

    called = model if isinstance(model, str) else model["model"]
    base = None if isinstance(model, str) else model.get("base_model")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pricing.PriceWarning)
        # A tenth of a million, since long prompts may cost more.
        each = [
            pricing.cost(called, tokens, answer, base_model=base) for tokens, answer in ((100_000, 0), (0, 100_000))
        ]
        facts = pricing.facts(base or called)
    tokens_in, tokens_out = (None if cost is None else (cost * 10).normalize() for cost in each)
    return ModelLine(name, called, tokens_in, tokens_out, None if facts is None else facts.shutdown)


def _of_models(config: Configuration, lines: list[ModelLine], day: dt.date) -> list[str]:
    said: list[str] = []
    budgets = any("budget" in policy for policy in config.plain.get("policies", ()))
    for line in dict.fromkeys((line.model, line.input, line.shutdown) for line in lines):
        model, price, shutdown = line
        if price is None and budgets:
            said.append(f"{model}: its price is not known, so calls are refused where a budget holds")
        elif price is None:
            said.append(f"{model}: its price is not known; what it costs is left out of sums")
        if shutdown is not None and (found := _lifecycle.ending(model, shutdown, day)) is not None:
            said.append(found.text)
    prices = [price_of(model) for _, model in config.tiers]
    for (low, below), (high, above) in zip(
        zip(config.tiers, prices, strict=True), list(zip(config.tiers, prices, strict=True))[1:], strict=False
    ):
        if below is not None and above is not None and below > above:
            said.append(f"tiers: {low[0]} is dearer than {high[0]}, which stands above it")
    return said


def _of_budgets(policies: Iterable[dict[str, Any]]) -> list[str]:
    """Budgets for the same callers and period, of which only the smallest can hold."""
    counts = Counter(
        (tuple(policy.get(name) for name in ("key", "team", "model")), policy["budget"].rpartition("/")[2].strip())
        for policy in policies
        if "budget" in policy
    )
    said: list[str] = []
    for (who, period), count in counts.items():
        if count > 1:
            named = [f"{what} {name}" for what, name in zip(("key", "team", "model"), who, strict=True) if name]
            whom = " and ".join(named) or "everybody together"
            said.append(f"policies: {count} budgets a {period} for {whom}; the smallest holds")
    return said


def _of_calls(config: Configuration) -> list[str]:
    """Models that cannot be called from here, such as for want of a key."""
    from ferroute import _core

    said: list[str] = []
    for place, model in (*config.tiers, *config.models):
        meant = endpoint(model, place)
        own = dict(getattr(meant, "settings", {}))
        try:
            _core.Client(str(meant), api_base=own.get("api_base"), api_key=own.get("api_key"))
        except UnknownNameError as error:
            said.append(f"{place}: {error}")
        except FerrouteError as error:
            said.append(f"{place}: cannot be called from here: {error}")
    return said


def _of_secrets(shown: Any, path: str) -> list[str]:
    if isinstance(shown, dict):
        items = cast("dict[Any, Any]", shown).items()
        return [text for name, value in items for text in _of_secrets(value, f"{path}.{name}" if path else str(name))]
    if isinstance(shown, list):
        listed = cast("list[Any]", shown)
        if path in ("tiers", "models"):
            return [text for name, value in listed for text in _of_secrets(value, f"{path}.{name}")]
        return [text for index, value in enumerate(listed) for text in _of_secrets(value, f"{path}[{index}]")]
    if shown == "(hidden)" and path != "ledger":
        return [f"{path}: a secret is written in the file; env:NAME or file:PATH keep it out"]
    return []


def policy_text(policy: dict[str, Any]) -> str:
    """A policy in a sentence."""
    whom = [f"{name} {policy[name]}" for name in ("key", "team") if name in policy]
    parts: list[str] = [f"${policy['budget'].removeprefix('$')}"] if "budget" in policy else []
    parts += [f"{policy[name]} {name}" for name in ("requests", "tokens") if name in policy]
    if "concurrency" in policy:
        parts.append(f"{policy['concurrency']} at the same time")
    if "share" in policy:
        most: Any = policy["share"]["most"]
        shown = most if isinstance(most, str) else f"{most:.4g}"
        parts.append(f"at most {shown} of decisions to {policy['share']['model']}")
    if "models" in policy:
        parts.append(f"only {', '.join(policy['models'])}")
    on = f" on {policy['model']}" if "model" in policy else ""
    tail = "; then the next weaker rung" if policy.get("at_limit") == "downgrade" else ""
    tail += "; without an output limit refused" if policy.get("clamp") in ("off", False) else ""
    return f"{' and '.join(whom) or 'everybody together'}{on}: {', '.join(parts)}{tail}"
