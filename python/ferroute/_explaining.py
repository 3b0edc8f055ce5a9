"""From what a decision remembers to its explanation; the arithmetic of it is the core's."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._messages import routed_text
from ferroute.endpoints import settings_of
from ferroute.explain import Candidate, Change, Explanation, RunnerUp, Score
from ferroute.pricing import _usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferroute._trace import Trace
    from ferroute.pricing._usage import When

# Tokens of an answer nobody has seen, of a model nobody has asked.
ASSUMED_ANSWER = 500
_COUNTED = "as the provider counted them"
_VIEWS = {
    "last": "the last message",
    "first": "the first message of the user",
    "user_turns": "all turns of the user",
}
_EXCERPT = 80
_WORDS = 8


def explained(decision: Any, facts: Any, at: When = None) -> Explanation:
    """The explanation of `decision`, with the prices of the day `at`; None is now.

    A `Decision` and its `Aside`: not so called here, since the decision's own method is what asks.
    """
    known = _known(decision, facts)
    if facts.trace is None:
        return _alone(decision, facts, known, _usage.when(at))
    return _traced(decision, facts, facts.trace, known, _usage.when(at))


def _known(decision: Any, facts: Any) -> dict[str, Any]:
    """What the decision says by itself."""
    paid = decision.router_cost_usd
    if paid is None and decision.router is not None and not facts.unpriced:
        paid = Decimal(0)
    return {
        "model": str(decision.model),
        "router": decision.router,
        "tier": decision.tier,
        "reason": decision.reason,
        "win_rate": decision.win_rate,
        "thresholds": _numbers(decision.threshold),
        "shares": _numbers(decision.share),
        "notes": decision.notes,
        "routing_us": decision.routing_us,
        "router_cost_usd": paid,
        "cost_usd": decision.cost_usd,
        "saved_usd": decision.saved_usd,
        "attempts": decision.attempts,
        "answered": None if facts.answered is None else facts.answered.model,
    }


def _alone(decision: Any, facts: Any, known: dict[str, Any], at: str | None) -> Explanation:
    """A decision that remembers nothing: asked for by name, or from a pickle, a copy, a router's own hand."""
    usage = facts.usage
    answer = None if usage is None else float(usage[1])
    rungs: list[Any] = [(decision.tier, str(decision.model), _priced_as(decision.model), None, answer)]
    answered = _answered(facts, rungs, answer)
    tokens = None if usage is None else usage[0]
    found = json.loads(_core.explain(rungs, ladder=1, chosen=0, answered=answered, prompt_tokens=tokens, at=at))
    if decision.router is None:
        missing = "the model was asked for by name, so no router was asked"
    else:
        missing = (
            "the other rungs, their costs and what would have changed it: how a decision came about is not kept in "
            "pickles and copies, nor known of one that was not made by a Controller"
        )
    return Explanation(**known, **_read(found), tokens_from=None if usage is None else _COUNTED, missing=missing)


def _traced(decision: Any, facts: Any, trace: Trace, known: dict[str, Any], at: str | None) -> Explanation:
    rungs, path = trace.rungs, _path(trace)
    last = path[-1]
    request = _request(trace)
    usage = facts.usage
    prompt_tokens = usage[0] if usage is not None else None if request is None else request.prompt_tokens
    answers = [float(usage[1]) if usage is not None else _answer_tokens(trace, each, request) for each in rungs.models]
    barred = trace.barred or [None] * len(rungs.names)
    ladder: list[Any] = [
        (name, str(model), _priced_as(model), why, answer)
        for name, model, why, answer in zip(rungs.names, rungs.models, barred, answers, strict=True)
    ]
    chosen = trace.chosen if facts.rung is None else facts.rung
    if chosen is None:
        beside = trace.endpoint or decision.model
        answer = answers[-1] if usage is not None else _answer_tokens(trace, beside, request)
        ladder.append((None, str(decision.model), _priced_as(beside), None, answer))
    answered = _answered(facts, ladder, answers[-1])
    # Bounds hold on the ladder alone.
    floor, ceiling = (None, None) if chosen is None else (trace.floor, trace.ceiling)
    places = {
        "ladder": len(rungs.names),
        "wanted": trace.wanted,
        "chosen": len(rungs.names) if chosen is None else chosen,
        "floor": floor,
        "ceiling": ceiling,
        "answered": answered,
        "held": _held(facts, trace),
    }
    word = {} if chosen is None or last.kind == "failed" else _word(last)
    scores = _scores(path)
    found = json.loads(_core.explain(ladder, **places, **word, prompt_tokens=prompt_tokens, at=at))
    read = _read(found)
    read["changes"] = (*read["changes"], *_told_changes(path, request))
    text = _text(trace)
    known |= {"win_rate": last.win_rate if last.win_rate is not None else known["win_rate"]}
    if last.kind == "threshold":
        known["thresholds"] = _cuts(last)
    return Explanation(
        **known,
        **read,
        asked=tuple(step.name for step in path),
        rank=last.rank,
        scores=scores,
        label=next((step.verdict.label for step in path if step.verdict is not None and step.verdict.label), None),
        fired=tuple(name for step in path if step.verdict is not None for name in step.verdict.fired),
        words=_words(last, text),
        limits=(_named(rungs.names, floor), _named(rungs.names, ceiling)),
        failed=next((step.failed[1] for step in path if step.failed is not None), None),
        view=_view(trace, text),
        excerpt=None if text is None else _excerpt(text),
        tokens_from=_COUNTED if usage is not None else _assumed(trace, request),
        stay=trace.stay,
    )


def _path(trace: Trace) -> list[Trace]:
    """The routers that were asked, each by the one before it."""
    path = [trace]
    while path[-1].other is not None:
        path.append(path[-1].other)
    return path


def _word(trace: Trace) -> dict[str, Any]:
    """A router's word, as the core measures it."""
    steps = len(trace.rungs.names) - 1
    word: dict[str, Any] = {}
    if trace.kind == "threshold" and trace.win_rate is not None:
        cuts = _cuts(trace)
        word["win_rate"] = trace.win_rate, cuts
        given = len(cuts)
    elif trace.kind == "share" and trace.rank is not None:
        shares = _numbers(trace.given)
        word["rank"] = trace.rank, shares
        given = len(shares)
    elif trace.verdict is not None:
        weighed = [(each.name, each.score, each.threshold, _place(trace, each.rung)) for each in _scores([trace])]
        return {"named": (trace.verdict.label, weighed)}
    else:
        return word
    # A single cut on a longer ladder chooses between its ends.
    word["reach"] = list(range(steps + 1)) if given == steps else [0, steps]
    return word


def _cuts(trace: Trace) -> tuple[float, ...]:
    """The thresholds in force; a single one is as it was given."""
    return tuple(trace.cuts) or _numbers(trace.given)


def _held(facts: Any, trace: Trace) -> str | None:
    """What sent the request elsewhere than the router's word and the filters."""
    if facts.held_out:
        allowed = "" if trace.ceiling is None else " allowed"
        return f"the lot of `holdout` sent it to the strongest model{allowed}"
    return trace.stay


def _answered(facts: Any, rungs: list[Any], answer_tokens: float | None) -> int | None:
    """Who answered instead of the chosen model, among `rungs`, which get one more where that is on none of them."""
    by = facts.answered
    if by is None:
        return None
    above = 0 if facts.rung is None or not by.climbed else facts.rung + 1
    for at, (name, model, *_) in enumerate(rungs[above:], above):
        if model == by.model and (by.tier is None or name == by.tier):
            return at
    rungs.append((by.tier, by.model, [name for name in (by.base_model, by.model) if name], None, answer_tokens))
    return len(rungs) - 1


def _scores(path: Sequence[Trace]) -> tuple[Score, ...]:
    """What was weighed, with the borders and rungs that the router tells of."""
    for step in path:
        if step.verdict is None or not step.verdict.scores:
            continue
        thresholds, rungs = _of(step.router, "thresholds"), _of(step.router, "map")

        def border(name: str, of: Any = thresholds) -> float | None:
            return _number(_looked_up(of, name, of, None))

        def rung(name: str, of: Any = rungs, step: Trace = step) -> str | None:
            return _named(step.rungs.names, _place(step, _looked_up(of, name, name, name)))

        return tuple(Score(name, score, border(name), rung(name)) for name, score in step.verdict.scores)
    return ()


def _of(router: Any, name: str) -> Any:
    """What a router has under a name; a property of somebody's own may raise anything."""
    with suppress(Exception):
        return getattr(router, name, None)
    return None


def _looked_up(of: Any, name: str, plain: Any, default: Any) -> Any:
    """`name` in a mapping, `plain` where there is none; it may be of somebody's own making, and raise anything."""
    with suppress(Exception):
        return cast("Mapping[str, Any]", of).get(name, default) if isinstance(of, Mapping) else plain
    return default


def _place(trace: Trace, rung: Any) -> int | None:
    if not isinstance(rung, str):
        return None
    try:
        return trace.rungs.core.find(rung)
    except Exception:
        # A label that stands for no rung, such as a task.
        return None


def _told_changes(path: Sequence[Trace], request: Any) -> list[Change]:
    """What the routers themselves say would have changed their word. They may be anybody's."""
    changes: list[Change] = []
    for step in path:
        tell = _of(step.router, "would_change")
        if step.verdict is None or request is None or not callable(tell):
            continue
        with suppress(Exception):  # an explanation is no reason to fail
            changes += [Change(str(sentence)) for sentence in cast("Sequence[Any]", tell(request, step.verdict))]
    return changes


def _words(trace: Trace, text: str | None) -> tuple[tuple[str, float], ...]:
    """What spoke for and against, where the router can tell: `explain`, as the local one has it."""
    tell = _of(trace.router, "explain")
    if trace.win_rate is None or text is None or not callable(tell):
        return ()
    try:
        terms = [(str(name), float(part)) for name, part in cast("Sequence[Any]", tell(text))]
    except Exception:
        # Somebody else's `explain` may be anything.
        return ()
    # What every prompt has says nothing of this one.
    own = [term for term in terms if term[0] != "base"]
    return tuple(sorted(own, key=lambda term: -abs(term[1]))[:_WORDS])


def _request(trace: Trace) -> Any:
    try:
        return trace.asked.request
    except Exception:
        # What an overriding method takes for messages need not be any.
        return None


def _text(trace: Trace) -> str | None:
    try:
        text = trace.asked.text
    except Exception:
        return None
    return text if isinstance(text, str) else None


def _view(trace: Trace, text: str | None) -> str:
    said, policy = trace.asked.said, trace.asked.policy
    if isinstance(said, str):
        return "the prompt"
    joined = ""
    if policy.join_short_turns and policy.view == "last" and text is not None:
        with suppress(Exception):  # messages of a form that only an overriding method can read
            if text != routed_text(said):
                joined = ", which only goes on, with the turns of the user before it that it follows"
    return _VIEWS[policy.view] + joined


def _excerpt(text: str) -> str:
    words = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _EXCERPT]).split())
    return words if len(words) <= _EXCERPT and len(text) <= 4 * _EXCERPT else f"{words[: _EXCERPT - 1]}…"


def _answer_tokens(trace: Trace, model: Any, request: Any) -> float:
    most = None if request is None else request.max_tokens
    expected = _habit(trace, model)
    tokens = float(ASSUMED_ANSWER) if expected is None else expected
    return tokens if most is None else min(tokens, float(most))


def _habit(trace: Trace, model: Any) -> float | None:
    if trace.ledger is None:
        return None
    return trace.ledger.core.answer_tokens(str(model))


def _assumed(trace: Trace, request: Any) -> str:
    seen = sum(_habit(trace, model) is not None for model in trace.rungs.models)
    most = None if request is None else request.max_tokens
    cap = "" if most is None else f", at most {most:,}"
    if seen == len(trace.rungs.models):
        return f"estimated, the answer's from each model's recent ones{cap}"
    if seen:
        return f"estimated, the answer's from a model's recent ones where known, else assumed{cap}"
    return f"estimated, the answer's assumed{cap}"


def _priced_as(model: Any) -> list[str]:
    base = settings_of(model).get("base_model")
    return [str(model)] if base is None else [str(base), str(model)]


def _named(names: Sequence[str], place: int | None) -> str | None:
    return None if place is None else names[place]


def _numbers(given: Any) -> tuple[float, ...]:
    if given is None:
        return ()
    return tuple(map(float, cast("tuple[float, ...]", given))) if isinstance(given, tuple) else (float(given),)


def _number(value: Any) -> float | None:
    with suppress(Exception):  # an integer may be too large
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None
    return None


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _read(found: dict[str, Any]) -> dict[str, Any]:
    """The core's part, with money as decimals."""

    def read(each: dict[str, Any]) -> dict[str, Any]:
        return {name: _READ[name](value) if name in _READ else value for name, value in each.items()}

    candidates = [Candidate(**read(each)) for each in found["candidates"]]
    changes = [Change(**read(each)) for each in found["changes"]]
    next_one = found["runner_up"]
    return {
        "candidates": tuple(candidates),
        "runner_up": None if next_one is None else RunnerUp(**read(next_one)),
        "changes": tuple(changes),
        "prompt_tokens": found["prompt_tokens"],
        "prices": found["prices"],
    }


_READ: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("input_per_million", "output_per_million", "expected_cost_usd", "dearer_usd"), _money),
    **dict.fromkeys(("thresholds", "shares"), tuple),
}
