"""From a prompt to a decision: the router's win rate, the threshold or share, and what happens if a router fails."""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from ferroute import _core, _notes
from ferroute._refusals import RoutingError
from ferroute.decision import Aside, Decision, ModelPair, Share, aside, make
from ferroute.endpoints import with_settings
from ferroute.errors import InvalidTypeError, UnknownNameError
from ferroute.policy import CallPolicy
from ferroute.routers.base import routes_by_itself

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

# The policy of one call that has its own.
policy_of_call: ContextVar[CallPolicy | None] = ContextVar("ferroute_policy", default=None)
# What `on_router_error` can be beside a router's name.
_INSTEAD = ("raise", "strong", "weak")


class Deciding:
    """Decides between the two models; the `Controller` adds the calls."""

    model_pair: ModelPair
    routers: dict[str, Any]
    _policy: CallPolicy
    _lock: threading.Lock
    # Router name -> the router and its calibration table, and the router and the window of its scores.
    _tables: dict[str, tuple[Any, Any]]
    _windows: dict[str, tuple[Any, Any]]

    @property
    def policy(self) -> CallPolicy:
        """How calls behave."""
        return self._policy

    @policy.setter
    def policy(self, policy: CallPolicy | Mapping[str, Any] | None) -> None:
        made = CallPolicy.of(policy)
        self._check_policy(made)
        self._policy = made

    def _check_policy(self, policy: CallPolicy) -> None:
        other = policy.on_router_error
        if other not in _INSTEAD and other not in self.routers:
            known = ", ".join(map(repr, (*_INSTEAD, *self.routers)))
            raise UnknownNameError(f"on_router_error: expected one of {known}; found {other!r}")

    def _policy_in_force(self) -> CallPolicy:
        return policy_of_call.get() or self._policy

    def _decide(
        self, prompt: Any, name: str, threshold: float, *, enters_window: bool, after: Exception | None = None
    ) -> Decision:
        start = perf_counter_ns()
        router = self.routers[name]
        notes = _notes.Remarks()
        token = _notes.collector.set(notes)
        try:
            if routes_by_itself(router):
                return self._foreign(router, name, prompt, threshold, notes, start)
            win_rate = _number(router.calculate_strong_win_rate(prompt))
        except RoutingError:
            raise
        except Exception as error:
            if after is not None or self._policy_in_force().on_router_error == "raise":
                raise
            return self._instead(error, prompt, name, threshold, notes, start, enters_window)
        finally:
            _notes.collector.reset(token)
        return self._settle(name, router, prompt, win_rate, threshold, notes, start, enters_window)

    async def _adecide(self, prompt: Any, name: str, threshold: float) -> Decision:
        """As `_decide` for a completion, without blocking the event loop."""
        start = perf_counter_ns()
        router = self.routers[name]
        notes = _notes.Remarks()
        token = _notes.collector.set(notes)
        try:
            if routes_by_itself(router):
                import asyncio

                return await asyncio.to_thread(self._foreign, router, name, prompt, threshold, notes, start)
            win_rate = _number(await router.acalculate_strong_win_rate(prompt))
        except RoutingError:
            raise
        except Exception as error:
            if self._policy_in_force().on_router_error == "raise":
                raise
            import asyncio

            return await asyncio.to_thread(self._instead, error, prompt, name, threshold, notes, start, True)
        finally:
            _notes.collector.reset(token)
        return self._settle(name, router, prompt, win_rate, threshold, notes, start, True)

    def _instead(
        self,
        error: Exception,
        prompt: Any,
        name: str,
        threshold: float,
        notes: _notes.Remarks,
        start: int,
        enters_window: bool,
    ) -> Decision:
        """What the policy says where a router has failed: a side, or another router's word."""
        other = self._policy_in_force().on_router_error
        what = f"router {name!r} failed ({type(error).__name__}: {str(error)[:200]})"
        if other in _INSTEAD:
            strong = other == "strong"
            fields: dict[str, Any] = {
                "router": name,
                "model": name_of(self.model_pair.strong if strong else self.model_pair.weak),
                "reason": f"the {other} model, because {what}",
                "share" if isinstance(threshold, Share) else "threshold": float(threshold),
            }
            return self._finished(fields, strong, notes, start)
        if other == name or other not in self.routers:
            raise error
        made = self._decide(prompt, other, threshold, enters_window=enters_window, after=error)
        fields = made.__dict__ | {"notes": (f"{what}, so {other!r} was asked", *notes, *made.notes)}
        if notes.cost is not None:
            fields["router_cost_usd"] = notes.cost + (made.router_cost_usd or 0)
        fields["routing_us"] = (perf_counter_ns() - start) / 1000
        return make(fields, aside(made)._replace(unpriced=notes.unpriced or aside(made).unpriced))

    def _settle(
        self,
        name: str,
        router: Any,
        prompt: Any,
        win_rate: float,
        threshold: float,
        notes: _notes.Remarks,
        start: int,
        enters_window: bool,
    ) -> Decision:
        fields: dict[str, Any] = {"router": name, "win_rate": win_rate}
        window = None
        if isinstance(threshold, Share) and (fixed := self._fixed(name, router, threshold)) is not None:
            strong, reason = _core.decide(win_rate, fixed.threshold)
            reason = f"{reason}; the threshold for {threshold} of {fixed.n:,} calibration prompts"
            fields["share"], fields["threshold"] = float(threshold), fixed.threshold
            if fixed.note:
                notes.append(fixed.note)
        elif isinstance(threshold, Share):
            window = self._window(name, router)
            strong, reason, warmup = window.decide(
                win_rate, threshold, prompt if isinstance(prompt, str) else str(prompt)
            )
            fields["share"], fields["warmup"] = float(threshold), warmup
        else:
            strong, reason = _core.decide(win_rate, threshold)
            fields["threshold"] = float(threshold)
            window = self._window(name, router) if enters_window else None
        if enters_window and window is not None:
            window.push(win_rate)
        fields["model"] = name_of(self.model_pair.strong if strong else self.model_pair.weak)
        fields["reason"] = reason
        if not 0 <= win_rate <= 1:
            notes.append(f"the router's win rate {win_rate} is not in 0..1")
        return self._finished(fields, strong, notes, start)

    def _finished(
        self,
        fields: dict[str, Any],
        strong: bool | None,
        notes: _notes.Remarks,
        start: int,
        endpoint: str | None = None,
    ) -> Decision:
        if notes:
            fields["notes"] = tuple(notes)
        if notes.cost is not None and not notes.unpriced:
            fields["router_cost_usd"] = notes.cost
        fields["routing_us"] = (perf_counter_ns() - start) / 1000
        return make(fields, Aside(strong, False, notes.unpriced, endpoint))

    def _foreign(
        self, router: Any, name: str, prompt: Any, threshold: float, notes: _notes.Remarks, start: int
    ) -> Decision:
        """A router whose `route` is not ours: any object with that method will do, and its answer stands."""
        if isinstance(threshold, Share):
            raise RoutingError(
                f"Router {name} decides by itself (its class has a route method of its own), so a share cannot be "
                "asked of it; give a threshold."
            )
        pair = self.model_pair
        model = router.route(prompt, threshold, pair)
        fields: dict[str, Any] = {
            "router": name,
            "model": name_of(model),
            "threshold": float(threshold),
            "reason": f"{type(router).__name__}.route chose it",
        }
        strong = True if model is pair.strong else False if model is pair.weak else None
        return self._finished(fields, strong, notes, start, with_settings(model))

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

    def _fixed(self, name: str, router: Any, share: Share) -> Any:
        """The threshold that a calibration table has for a share, or None: all and nothing need no table."""
        held = self._tables.get(name)
        if held is None or held[0] is not router or not 0 < share < 1:
            return None
        return held[1].threshold(share)


def _number(win_rate: Any) -> float:
    if isinstance(win_rate, str):
        raise InvalidTypeError(f"a router's win rate is a number; found the string {win_rate!r}")
    return float(win_rate)


def name_of(model: Any) -> Any:
    """A model's name alone, without the settings that may travel with it."""
    return str(model) if isinstance(model, str) else model
