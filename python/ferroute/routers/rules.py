"""The router ``rules``: ordered rules, in Python or in a YAML file, checked when it is built.

``docs/rules.md`` has the conditions and what a rule may say.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ferroute import _asks, _core
from ferroute.endpoints import Endpoint, endpoint
from ferroute.errors import FerrouteError, InvalidTypeError, InvalidValueError
from ferroute.routers.base import KNOWN_RUNGS, RungRouter, check_text, place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_DEEPEST = 64
# Flags that a pattern sets by itself, for all of it.
_OWN_FLAGS = re.compile(r"\(\?([imsxu]+)\)")


class RulesRouter(RungRouter):
    """Names a rung by the first rule that decides.

    Args:
        rules: The rules, as in a file: a list of mappings.
        file: Or a YAML file with them. It is read once, now.
        preset: Rules that come with the package, looked at after ``rules``: ``"article"``. A file names it by itself.
        otherwise: Where a request goes that no rule decides on: a rung, a router such as ``"router-local-60%,15%"``, or
            ``{"model": ...}``. None: as the file or the preset says, else ``"mid"``.

    Attributes:
        endpoints: Model name -> `Endpoint`, of the models that rules name with settings of their own.

    Raises:
        InvalidValueError: A rule is wrong; the message has its place (``rules.yaml:7:12: rules[2].when: ...``) and what
            was expected there.
        MissingFileError: There is no such file.

    Example:
        >>> router = RulesRouter([{"when": {"words": "urgent"}, "use": "expensive"}], otherwise="cheap")
        >>> router.choose(_core.Request("An urgent question")).rung
        'expensive'
    """

    def __init__(
        self,
        rules: Sequence[Mapping[str, Any]] | None = None,
        *,
        file: str | os.PathLike[str] | None = None,
        preset: str | None = None,
        otherwise: str | Mapping[str, Any] | None = None,
    ) -> None:
        if file is not None:
            if rules is not None:
                raise InvalidValueError("rules come from `rules` or from `file`; both were given")
            if preset is not None:
                raise InvalidValueError(f"a file names its preset by itself: write `preset: {preset}` into it")
            self._name = os.fspath(file)
            source = _core.read_rules(self._name)
            self._rules = _core.Rules(source, self._name, None if otherwise is None else _json(otherwise, "otherwise"))
        else:
            given = {"rules": rules, "preset": preset, "otherwise": otherwise}
            tree = {name: value for name, value in given.items() if value is not None}
            if rules is None and preset is None:
                raise InvalidValueError(
                    "the router 'rules' needs rules: config={'rules': {'preset': 'article'}}, or file= or rules="
                )
            self._name = "rules" if rules is not None else f"preset {preset}"
            self._rules = _core.Rules(_json(tree, ""))
        self._ladder: tuple[str, ...] | None = None
        endpoints: dict[str, Endpoint] = {}
        for settings, place in self._rules.endpoints:
            try:
                made = endpoint(json.loads(settings), place)
            except FerrouteError as error:
                # Built elsewhere, the values, among them a key, would be in the traceback.
                raise error.with_traceback(None) from None
            if isinstance(made, Endpoint):
                endpoints[str(made)] = made
        self.endpoints = endpoints

    @property
    def named_rungs(self) -> list[str]:
        """Names of the rungs that rules use."""
        return self._rules.named_rungs

    @property
    def ends(self) -> list[str]:
        """What a request may come to: rungs, models and routers to ask, by their names."""
        rules = self._rules
        rungs = (*rules.named_rungs, *(rules.ladder or ()), *KNOWN_RUNGS)
        return list(dict.fromkeys((*rungs, *rules.models, *(asked for asked, _ in rules.asked))))

    def check(self, ladder: Sequence[str], routers: Collection[str] | None = None) -> None:
        """Holds the rules against a Controller: its rungs from the weakest to the strongest, and its routers.

        From then on the order of the rungs is known, by which the tightest of several floors is found.

        Args:
            ladder: The rungs, weakest first.
            routers: The routers the Controller has, by name.

        Raises:
            InvalidValueError: A rule names a rung or asks a router that is not there, or not so; the message has its
                place.
        """
        bound = self._rules.bind(list(ladder))
        if routers is not None:
            _asks.validated(bound.asked, ladder, routers)
        self._rules, self._ladder = bound, tuple(ladder)

    def asked_routers(self) -> Sequence[tuple[str, str]]:
        """What rules and ``otherwise`` ask, with the places."""
        return self._rules.asked

    def check_alone(self) -> None:
        """`check`, as far as it can be done without a Controller.

        Raises:
            InvalidValueError: A rule asks a router in a way that no Controller can follow; the message has its place.
        """
        _asks.validated_alone(self._rules.asked, self._rules.ladder)

    def choose(self, request: _core.Request) -> _core.Verdict:
        """The verdict on a request; the names of the rules that fired are in ``fired``.

        Args:
            request: The request: its messages, tools and labels.
        """
        return self._rules.choose(request)

    async def achoose(self, request: _core.Request) -> _core.Verdict | str:
        """As `choose`; it is too quick for a thread, unless a subclass has another `choose`.

        Args:
            request: The request: its messages, tools and labels.
        """
        if type(self).choose is not RulesRouter.choose:
            return await super().achoose(request)
        return self.choose(request)

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Where the named rung stands between the cheapest, 0, and the dearest, 1; 0.5 where none is named.

        Args:
            prompt: The text to route.
        """
        check_text(prompt)
        verdict = cast("_core.Verdict | str", self.choose(_core.Request(prompt)))
        rung = verdict if isinstance(verdict, str) else verdict.rung
        if rung is not None and self._ladder and rung in self._ladder:
            return self._ladder.index(rung) / max(len(self._ladder) - 1, 1)
        return place_of(verdict)

    def would_change(self, request: _core.Request, verdict: _core.Verdict) -> list[str]:
        """What would have been decided without each of the rules that fired, where that is something else.

        Args:
            request: The request: its messages, tools and labels.
            verdict: What the router chose.
        """
        return self._rules.without_each(request)

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """Name, place, condition and consequence of each rule, in words; the last one is ``otherwise``."""
        return self._rules.rows

    def __repr__(self) -> str:
        *rules, last = (tuple(map(visible, row)) for row in self.rows)
        lines = [f"  {name}: {when} -> {then}" for name, _place, when, then in rules]
        return "\n".join([f"RulesRouter({self._name!r}, {len(rules)} rules)", *lines, f"  otherwise -> {last[3]}"])

    def _repr_html_(self) -> str:
        from ferroute import _notebook

        rows = [[visible(cell) for cell in row] for row in self.rows]
        return _notebook.frame(_notebook.table(("rule", "where", "when", "then"), rows, left=4))


def visible(text: str) -> str:
    """A text on one line; what a terminal would obey is shown as Python writes it.

    Args:
        text: The text.
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _json(tree: Any, place: str) -> str:
    return json.dumps(_plain(tree, place, 0), allow_nan=False)


def _plain(value: Any, place: str, depth: int) -> Any:
    """A tree of dicts, lists and scalars; an endpoint as its mapping, a compiled pattern as its text."""
    if depth > _DEEPEST:
        raise InvalidValueError(f"{place}: nested deeper than {_DEEPEST}")
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidValueError(f"{place or 'rules'}: a number that is not finite: {value}")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise InvalidValueError(f"{place or 'rules'}: a lone surrogate is no character: {value!r:.60}")
        if isinstance(value, Endpoint) and value.settings:
            return {"model": str(value), **_plain(value.settings, place, depth + 1)}
        return str(value)
    if isinstance(value, Mapping):
        entries: dict[str, Any] = {}
        for key, member in cast("Mapping[Any, Any]", value).items():
            if not isinstance(key, str):
                raise InvalidTypeError(f"{place or 'rules'}: keys are strings, found {key!r:.60}")
            entries[key] = _plain(member, f"{place}.{key}" if place else key, depth + 1)
        return entries
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        return [_plain(item, f"{place}[{index}]", depth + 1) for index, item in enumerate(items)]
    if isinstance(value, re.Pattern):
        return _pattern(cast("re.Pattern[Any]", value), place)
    if hasattr(value, "tolist"):
        # numpy's scalars and arrays.
        return _plain(value.tolist(), place, depth + 1)
    raise InvalidTypeError(
        f"{place or 'rules'}: expected text, a number, a list or a mapping, found {type(value).__name__}"
    )


def _pattern(compiled: re.Pattern[Any], place: str) -> str:
    """The text of a pattern, with the flags that it was compiled with and does not begin with by itself."""
    text = compiled.pattern
    if not isinstance(text, str):
        raise InvalidTypeError(f"{place}: a pattern is of text; found one of bytes: {text!r:.60}")
    if compiled.flags & re.ASCII:
        raise InvalidValueError(f"{place}: the flag re.ASCII does not exist here; write [0-9A-Za-z_] for {chr(92)}w")
    signs = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x"}
    own = _OWN_FLAGS.match(text)
    held = own[1] if own else ""
    flags = "".join(sign for flag, sign in signs.items() if compiled.flags & flag and sign not in held)
    return f"(?{flags}){text}" if flags else text
