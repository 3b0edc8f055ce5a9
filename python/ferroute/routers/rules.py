"""The router ``rules``: ordered rules, in Python or in a YAML file, checked when it is built.

``docs/rules.md`` has the conditions and what a rule may say.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute.endpoints import Endpoint, endpoint
from ferroute.errors import FerrouteError, InvalidTypeError, InvalidValueError
from ferroute.routers.base import RungRouter, check_text, place_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

_DEEPEST = 64


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

    def check(self, ladder: Sequence[str], routers: Collection[str] | None = None) -> None:
        """Holds the rules against a Controller: its rungs from the weakest to the strongest, and its routers.

        From then on the order of the rungs is known, by which the tightest of several floors is found.

        Raises:
            InvalidValueError: A rule names a rung or asks a router that is not there; the message has its place.
        """
        bound = self._rules.bind(list(ladder))
        for asked, place in bound.asked if routers is not None else ():
            rest = asked.removeprefix("router-")
            if not any(rest == name or rest.startswith(f"{name}-") for name in routers or ()):
                known = ", ".join(map(repr, routers or ()))
                raise InvalidValueError(f"{place}: {asked!r} asks a router that is not loaded; there are {known}")
        self._rules, self._ladder = bound, tuple(ladder)

    def choose(self, request: _core.Request) -> _core.Verdict:
        """The verdict on a request; the names of the rules that fired are in ``fired``."""
        return self._rules.choose(request)

    async def achoose(self, request: _core.Request) -> _core.Verdict | str:
        """As `choose`; it is too quick for a thread, unless a subclass has another `choose`."""
        if type(self).choose is not RulesRouter.choose:
            return await super().achoose(request)
        return self.choose(request)

    def calculate_strong_win_rate(self, prompt: str) -> float:
        """Where the named rung stands between the cheapest, 0, and the dearest, 1; 0.5 where none is named."""
        check_text(prompt)
        verdict = cast("_core.Verdict | str", self.choose(_core.Request(prompt)))
        rung = verdict if isinstance(verdict, str) else verdict.rung
        if rung is not None and self._ladder and rung in self._ladder:
            return self._ladder.index(rung) / max(len(self._ladder) - 1, 1)
        return place_of(verdict)

    def would_change(self, request: _core.Request, verdict: _core.Verdict) -> list[str]:
        """What would have been decided without each of the rules that fired, where that is something else."""
        return self._rules.without_each(request)

    @property
    def rows(self) -> list[tuple[str, str, str, str]]:
        """Name, place, condition and consequence of each rule, in words; the last one is ``otherwise``."""
        return self._rules.rows

    def __repr__(self) -> str:
        *rules, last = self.rows
        lines = [f"  {name}: {when} -> {then}" for name, _place, when, then in rules]
        return "\n".join([f"RulesRouter({self._name!r}, {len(rules)} rules)", *lines, f"  otherwise -> {last[3]}"])

    def _repr_html_(self) -> str:
        from html import escape

        head = "".join(f"<th>{title}</th>" for title in ("rule", "where", "when", "then"))
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _json(tree: Any, place: str) -> str:
    plain = _plain(tree, place, 0)
    try:
        return json.dumps(plain, allow_nan=False)
    except ValueError:
        raise InvalidValueError("rules hold a number that is not finite") from None


def _plain(value: Any, place: str, depth: int) -> Any:
    """A tree of dicts, lists and scalars; an endpoint as its mapping, a compiled pattern as its text."""
    if depth > _DEEPEST:
        raise InvalidValueError(f"{place}: nested deeper than {_DEEPEST}")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
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
        pattern = cast("re.Pattern[Any]", value)
        signs = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s", re.VERBOSE: "x"}
        flags = "".join(sign for flag, sign in signs.items() if pattern.flags & flag)
        return f"(?{flags}){pattern.pattern}" if flags else pattern.pattern
    if hasattr(value, "tolist"):
        # numpy's scalars and arrays.
        return _plain(value.tolist(), place, depth + 1)
    raise InvalidTypeError(
        f"{place or 'rules'}: expected text, a number, a list or a mapping, found {type(value).__name__}"
    )
