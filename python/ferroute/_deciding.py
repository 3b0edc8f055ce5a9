"""From a request to a decision: the router's word, the rung it leads to, and what happens if a router fails.

A router's word is a win rate, which thresholds or shares place on the ladder, or a verdict that names a rung. What
comes after it is the same for both: rungs that cannot serve the request are passed over, and a conversation may stay
where it is.
"""

from __future__ import annotations

import math
from contextvars import ContextVar
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core, _notes
from ferroute._grammar import Grammar, names_rung
from ferroute._one_line import one_line
from ferroute._refusals import RoutingError
from ferroute._serving import Serving, told_of
from ferroute._trace import Asked, Trace
from ferroute._wanted import Held
from ferroute.decision import Aside, Decision, Share, Shares, aside, make
from ferroute.endpoints import with_settings
from ferroute.errors import InvalidTypeError, UnknownNameError
from ferroute.policy import CallPolicy
from ferroute.routers.base import RungRouter, routes_by_itself

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

# The policy of one call that has its own.
policy_of_call: ContextVar[CallPolicy | None] = ContextVar("ferroute_policy", default=None)
# What `on_router_error` can be beside the name of a router or a rung.
_INSTEAD = ("raise", "strong", "weak")


class Deciding(Grammar, Serving):
    """Decides between the models; the `Controller` adds the calls."""

    _ledger: Any
    _lock: threading.Lock
    _policy: CallPolicy
    # Router name -> the router and its calibration table, and the router and the window of its scores.
    _tables: dict[str, tuple[Any, Any]]
    _windows: dict[str, tuple[Any, Any]]

    @property
    def policy(self) -> CallPolicy:
        """How calls behave: time limits, retries, fallbacks.

        A `CallPolicy`, a mapping of its attributes, or None (the defaults) may be assigned.

        Raises:
            InvalidTypeError: What is assigned is none of these, or has an unknown attribute.
            UnknownNameError: ``on_router_error`` names neither a router nor a model of this Controller.
        """
        return self._policy

    @policy.setter
    def policy(self, policy: CallPolicy | Mapping[str, Any] | None) -> None:
        made = CallPolicy.of(policy)
        self._check_policy(made)
        self._policy = made

    def _check_policy(self, policy: CallPolicy) -> None:
        other = policy.on_router_error
        if other in _INSTEAD or other in self.routers:
            return
        rungs = self._rungs()
        if other not in rungs.names:
            known = ", ".join(map(repr, (*_INSTEAD, *self.routers, *(() if rungs.plain else rungs.names))))
            raise UnknownNameError(f"on_router_error: expected one of {known}; found {other!r}")

    def _policy_in_force(self) -> CallPolicy:
        return policy_of_call.get() or self._policy

    # The word of a router. `trail` holds the routers that have left the choice to this one.

    def _decide(
        self,
        asked: Asked,
        name: str,
        threshold: Any,
        *,
        enters_window: bool,
        notes: _notes.Remarks | None = None,
    ) -> Decision:
        start = perf_counter_ns()
        if notes is None:
            notes = _notes.Remarks()
        trace = Trace(asked, self._rungs())
        token = _notes.collector.set(notes)
        try:
            trace.found = self._found(trace)
            fields = self._word(trace, name, threshold, notes, enters_window)
            return self._made(trace, fields, notes, start)
        except Exception as error:
            _notes.paid_on(error, notes)
            raise
        finally:
            _notes.collector.reset(token)

    async def _adecide(self, asked: Asked, name: str, threshold: Any) -> Decision:
        """As `_decide` for a completion, without blocking the event loop."""
        start = perf_counter_ns()
        notes = _notes.Remarks()
        trace = Trace(asked, self._rungs())
        token = _notes.collector.set(notes)
        try:
            trace.found = self._found(trace)
            fields = await self._aword(trace, name, threshold, notes)
            return self._made(trace, fields, notes, start)
        except Exception as error:
            _notes.paid_on(error, notes)
            raise
        finally:
            _notes.collector.reset(token)

    def _word(
        self,
        trace: Trace,
        name: str,
        threshold: Any,
        notes: _notes.Remarks,
        enters_window: bool,
        trail: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Fills `trace` with a router's word, and returns what a decision says of it."""
        router = trace.router = self.routers[name]
        trace.name, trace.given = name, threshold
        naming = False
        try:
            if routes_by_itself(router):
                return self._foreign(trace, threshold)
            naming = RungRouter in type(router).__mro__
            if trace.found is not None and not (naming and router.names_models):
                self._refuse(trace)
            if naming:
                said: Any = verdict_of(router.choose(trace.asked.request), name)
            else:
                said = number_of(router.calculate_strong_win_rate(trace.asked.text))
        except RoutingError:
            raise
        except Exception as error:
            if trace.failed is not None or self._policy_in_force().on_router_error == "raise":
                raise
            return self._instead(error, trace, name, threshold, notes, enters_window, trail)
        if not naming:
            return self._placed(trace, said, threshold, notes, enters_window)
        fields = self._named(trace, said, notes)
        if fields is None:
            other, asked_of = self._other(trace, threshold, (*trail, name))
            trace.other = trace.of_another()
            fields = self._word(trace.other, other, asked_of, notes, enters_window, (*trail, name))
            self._joined(trace, trace.other, fields)
        return fields

    async def _aword(
        self, trace: Trace, name: str, threshold: Any, notes: _notes.Remarks, trail: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """As `_word` for a completion, without blocking the event loop."""
        router = trace.router = self.routers[name]
        trace.name, trace.given = name, threshold
        naming = False
        try:
            if routes_by_itself(router):
                import asyncio

                return await asyncio.to_thread(self._foreign, trace, threshold)
            naming = RungRouter in type(router).__mro__
            if trace.found is not None and not (naming and router.names_models):
                self._refuse(trace)
            if naming:
                said: Any = verdict_of(await router.achoose(trace.asked.request), name)
            else:
                said = number_of(await router.acalculate_strong_win_rate(trace.asked.text))
        except RoutingError:
            raise
        except Exception as error:
            if trace.failed is not None or self._policy_in_force().on_router_error == "raise":
                raise
            import asyncio

            return await asyncio.to_thread(self._instead, error, trace, name, threshold, notes, True, trail)
        if not naming:
            return self._placed(trace, said, threshold, notes, True)
        fields = self._named(trace, said, notes)
        if fields is None:
            other, asked_of = self._other(trace, threshold, (*trail, name))
            trace.other = trace.of_another()
            fields = await self._aword(trace.other, other, asked_of, notes, (*trail, name))
            self._joined(trace, trace.other, fields)
        return fields

    def _instead(
        self,
        error: Exception,
        trace: Trace,
        name: str,
        threshold: Any,
        notes: _notes.Remarks,
        enters_window: bool,
        trail: tuple[str, ...],
    ) -> dict[str, Any]:
        """What the policy says where a router has failed: a rung, or another router's word."""
        other, rungs = self._policy_in_force().on_router_error, trace.rungs
        what = f"router {name!r} failed ({type(error).__name__}: {one_line(str(error)[:200])})"
        trace.failed = name, what
        if other in self.routers and other not in _INSTEAD:
            if other == name:
                raise error
            notes.insert(0, f"{what}, so {other!r} was asked")
            if threshold is None or type(threshold) is Held:
                # A threshold that is held is of one router's scores.
                threshold = self._held_threshold(other)
            if threshold is None and not names_rung(self.routers[other]):
                raise RoutingError(
                    f"{what}, and {other!r}, which is to be asked instead, needs a threshold: give one, or let "
                    "on_router_error name a rung."
                ) from error
            return self._word(trace, other, threshold, notes, enters_window, trail)
        if other not in _INSTEAD and other not in rungs.names:
            raise error
        trace.kind = "failed"
        trace.wanted = rungs.core.find(other) if other in rungs.names else rungs.top if other == "strong" else 0
        return {"router": name, "reason": f"{rungs.side(trace.wanted)}, because {what}", **_given(threshold)}

    def _placed(
        self, trace: Trace, win_rate: float, threshold: Any, notes: _notes.Remarks, enters_window: bool
    ) -> dict[str, Any]:
        """Where a win rate leads."""
        fields: dict[str, Any] = {"router": trace.name, "win_rate": win_rate}
        trace.win_rate = win_rate
        if isinstance(threshold, (Share, Shares)):
            window = self._shared(trace, win_rate, threshold, notes, fields)
        else:
            ladder = trace.rungs.core
            if type(threshold) is tuple:
                trace.cuts = fields["threshold"] = cast("tuple[float, ...]", threshold)
                trace.wanted, fields["reason"] = ladder.by_thresholds(win_rate, trace.cuts)
            else:
                number = fields["threshold"] = float(threshold)
                trace.cuts = (number,)
                if type(threshold) is Held:
                    # Always strong means always, though rounding leaves some win rates just below 0.
                    trace.wanted, reason = ladder.by_threshold(max(win_rate, 0.0) if number == 0 else win_rate, number)
                    fields["reason"] = f"{reason}; held by {threshold.by}"
                    if threshold.note is not None:
                        notes.append(f"held by {threshold.by}: {threshold.note}")
                else:
                    trace.wanted, fields["reason"] = ladder.by_threshold(win_rate, number)
            window = self._window(trace.name, trace.router) if enters_window else None
        if enters_window and window is not None:
            window.push(win_rate)
        if not 0 <= win_rate <= 1:
            notes.append(f"the router's win rate {win_rate} is not in 0..1")
        return fields

    def _shared(
        self, trace: Trace, win_rate: float, share: Share | Shares, notes: _notes.Remarks, fields: dict[str, Any]
    ) -> Any:
        """The same where shares of the traffic are asked for; returns the window that it was ranked in, if it was."""
        ladder, several = trace.rungs.core, isinstance(share, Shares)
        shares: tuple[float, ...] = share if isinstance(share, Shares) else (share,)
        fields |= _given(share)
        fixed = self._fixed(trace.name, trace.router, shares)
        if fixed is not None:
            trace.cuts, tables = fixed
            fields["threshold"] = trace.cuts if several else trace.cuts[0]
            trace.wanted, reason = ladder.by_thresholds(win_rate, trace.cuts)
            thresholds = "thresholds" if several else "threshold"
            fields["reason"] = f"{reason}; the {thresholds} for {share} of {tables[0].n:,} calibration prompts"
            notes.extend(table.note for table in tables if table.note)
            return None
        trace.kind = "share"
        window, prompt = self._window(trace.name, trace.router), trace.asked.text
        trace.wanted, fields["reason"], fields["warmup"], trace.rank = ladder.by_shares(
            window, win_rate, shares, prompt if isinstance(prompt, str) else str(prompt)
        )
        return window

    def _named(self, trace: Trace, verdict: _core.Verdict, notes: _notes.Remarks) -> dict[str, Any] | None:
        """Where a verdict leads; None where it leaves the choice to another router."""
        rungs, name = trace.rungs, trace.name
        find = rungs.core.find
        trace.kind, trace.verdict = "verdict", verdict
        notes.extend(map(one_line, verdict.notes))
        floor, ceiling, model, rung = verdict.floor, verdict.ceiling, verdict.model, verdict.rung
        if floor is not None:
            trace.floor = find(floor)
        if ceiling is not None:
            trace.ceiling = find(ceiling)
        why = one_line(verdict.reason) or f"{name} chose it"
        if model is not None:
            own = getattr(trace.router, "endpoints", {}).get(model, model)
            trace.wanted = rungs.place_of(own)
            if trace.wanted is None:
                trace.endpoint = with_settings(own)
                return {"router": name, "model": name_of(own), "reason": f"{why}: {one_line(model)}"}
            return {"router": name, "reason": f"{why}: {rungs.side(trace.wanted)}"}
        if rung is not None:
            trace.wanted = find(rung)
        elif verdict.ask is None:
            trace.wanted = trace.floor if trace.floor is not None else trace.ceiling
            if trace.wanted is None:
                raise RoutingError(f"Router {name} names neither a rung nor a model, nor a router to ask.")
        else:
            return None
        return {"router": name, "reason": f"{why}: {rungs.side(trace.wanted)}"}

    def _other(self, trace: Trace, threshold: Any, trail: tuple[str, ...]) -> tuple[str, Any]:
        """The router that a verdict leaves the choice to, and what it is asked with."""
        ask = cast("str", cast("_core.Verdict", trace.verdict).ask)
        # A name alone is enough where the caller says the rest.
        other = next((name for name in (ask, ask.removeprefix("router-")) if name in self.routers), None)
        own = None
        try:
            if other is None:
                other, own = self._parse_model_name(ask)
            asked_of = own if threshold is None else threshold
            if asked_of is None:
                asked_of = self._held_threshold(other)
            if other not in trail:
                self._validate_router_threshold(other, asked_of)
        except (RoutingError, ValueError) as error:
            raise RoutingError(
                f"Router {trace.name!r} leaves the choice to {ask!r}; expected a loaded router with its thresholds, "
                f"such as 'router-local-0.3,0.7'. {error}"
            ) from error
        if other in trail:
            raise RoutingError(f"Routers ask each other in a circle: {' -> '.join((*trail, other))}.")
        return other, asked_of

    def _joined(self, trace: Trace, other: Trace, fields: dict[str, Any]) -> None:
        """Puts the verdict that left the choice and the other router's word together: the tighter limits hold."""
        trace.wanted, trace.endpoint = other.wanted, other.endpoint
        trace.floor = _tighter(max, trace.floor, other.floor)
        trace.ceiling = _tighter(min, trace.ceiling, other.ceiling)
        why = one_line(cast("_core.Verdict", trace.verdict).reason) or f"{trace.name} leaves it to {other.name}"
        fields["router"], fields["reason"] = trace.name, f"{why}; {other.name}: {fields['reason']}"

    def _foreign(self, trace: Trace, threshold: Any) -> dict[str, Any]:
        """A router whose `route` is not ours: any object with that method will do, and its answer stands."""
        several = type(threshold) is tuple
        if isinstance(threshold, (Share, tuple)):
            what = "a threshold for each step" if several else "a share"
            raise RoutingError(
                f"Router {trace.name} decides by itself (its class has a route method of its own), so {what} cannot "
                "be asked of it; give a threshold."
            )
        router = trace.router
        model = router.route(trace.asked.text, threshold, self.model_pair)
        trace.kind, trace.wanted = "route", trace.rungs.place_of(model)
        fields = {"router": trace.name, "reason": f"{type(router).__name__}.route chose it", **_given(threshold)}
        if trace.wanted is None:
            trace.endpoint = with_settings(model)
            fields["model"] = name_of(model)
        return fields

    # What comes after the word.

    def _made(self, trace: Trace, fields: dict[str, Any], notes: _notes.Remarks, start: int) -> Decision:
        rungs, wanted = trace.rungs, trace.wanted
        trace.ledger = self._ledger
        barred = None
        if trace.found is not None:
            barred = trace.barred = told_of(trace.found, rungs, notes)
            trace.unfit = trace.found[3]
        index = wanted
        if index is None and (index := self._beyond(trace, fields["model"], barred, notes)) is not None:
            trace.endpoint = None
        if index is None and (trace.floor is not None or trace.ceiling is not None):
            bounds = (("floor", trace.floor), ("ceiling", trace.ceiling))
            said = " and ".join(f"the {what} {rungs.names[at]}" for what, at in bounds if at is not None)
            notes.append(f"{fields['model']} is on no rung, so {said} cannot hold")
        if index is not None:
            if barred is not None or trace.floor is not None or trace.ceiling is not None:
                index, said = rungs.core.settle(index, trace.floor, trace.ceiling, barred)
                notes.extend(said)
            if trace.asked.policy.sticky:
                index, trace.stay = self._stay(trace, index)
                if trace.stay is not None:
                    notes.append(trace.stay)
            if index != wanted:
                fields["reason"] += f"; moved to {rungs.side(index)}"
            trace.chosen = index
            fields["model"] = name_of(rungs.models[index])
            if not rungs.plain:
                fields["tier"] = rungs.names[index]
        if notes:
            fields["notes"] = tuple(notes)
        if notes.cost is not None and not notes.unpriced:
            fields["router_cost_usd"] = notes.cost
        fields["routing_us"] = (perf_counter_ns() - start) / 1000
        return make(fields, Aside(trace.chosen, False, notes.unpriced, trace.endpoint, trace))

    def _held_out(self, decision: Decision) -> Decision:
        """The decision for a call that goes by lot to the strongest model allowed, if that can serve it."""
        rungs, facts = self._rungs(), aside(decision)
        trace, top = facts.trace, rungs.top
        if trace is not None:
            if trace.ceiling is not None:
                # A ceiling may be more than a matter of money. Where it contradicts a floor, that counts.
                top = min(top, max(trace.ceiling, trace.floor or 0))
            if trace.barred is not None and trace.barred[top] is not None:
                return decision
        reason = f"held out: sent to {rungs.side(top)} by lot; the router's word was: {decision.reason}"
        fields = {"model": name_of(rungs.models[top]), "tier": rungs.tier(top), "reason": reason}
        return make(decision.__dict__ | fields, facts._replace(rung=top, held_out=True, endpoint=None))

    def _window(self, name: str, router: Any) -> Any:
        """The score window of a router; a router put in the other's place starts a new one."""
        held = self._windows.get(name)
        if held is None or held[0] is not router:
            with self._lock:
                held = self._windows.get(name)
                if held is None or held[0] is not router:
                    quantiles = getattr(router, "score_quantiles", ())
                    held = self._windows[name] = (router, _core.ShareWindow([float(q) for q in quantiles]))
        return held[1]

    def _fixed(self, name: str, router: Any, shares: tuple[float, ...]) -> tuple[tuple[float, ...], list[Any]] | None:
        """The thresholds that a calibration table has for shares, or None: all and nothing need no table."""
        held = self._tables.get(name)
        if held is None or held[0] is not router:
            return None
        found = [held[1].threshold(share) if 0 < share < 1 else None for share in shares]
        tables = [table for table in found if table is not None]
        if not tables:
            return None
        ends = (math.inf if share <= 0 else -math.inf for share in shares)
        cuts = tuple(end if table is None else table.threshold for table, end in zip(found, ends, strict=True))
        return cuts, tables


def _given(threshold: Any) -> dict[str, Any]:
    """What a decision says of a threshold or share that it was asked with."""
    if threshold is None:
        return {}
    if isinstance(threshold, tuple):
        numbers = tuple(cast("tuple[float, ...]", threshold))
        return {"share" if isinstance(threshold, Shares) else "threshold": numbers}
    return {"share" if isinstance(threshold, Share) else "threshold": float(threshold)}


def _tighter(of: Any, a: int | None, b: int | None) -> int | None:
    limits = [limit for limit in (a, b) if limit is not None]
    return of(limits) if limits else None


def verdict_of(said: Any, name: str) -> _core.Verdict:
    """What a router said, as a verdict."""
    if type(said) is _core.Verdict:
        return said
    if isinstance(said, str):
        return _core.Verdict(said)
    raise InvalidTypeError(f"router {name!r} names a rung by a Verdict or a string; found {type(said).__name__}")


def number_of(win_rate: Any) -> float:
    """What a router said, as a number."""
    if isinstance(win_rate, str):
        raise InvalidTypeError(f"a router's win rate is a number; found the string {win_rate!r}")
    return float(win_rate)


def name_of(model: Any) -> Any:
    """A model's name alone, without the settings that may travel with it."""
    return str(model) if isinstance(model, str) else model
