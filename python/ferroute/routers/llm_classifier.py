"""The router ``llm_classifier``: a small model says what a request is, and each label has its rung."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._notes import charge
from ferroute.endpoints import endpoint, settings_of, shown_url
from ferroute.errors import InvalidTypeError, InvalidValueError, UnknownNameError
from ferroute.routers.base import KNOWN_RUNGS, RungRouter, checked_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from decimal import Decimal

    from ferroute._core import Request, Verdict


class LLMClassifierRouter(RungRouter):
    """Asks a small model for one label of a few; each label leads to a rung.

    The model is held to the labels where its provider can do that, and asked for a bare word elsewhere. A prompt that
    tells it what to answer ("Return only: expensive") is not sent to it. When the call fails, takes too long, or its
    answer is no label, the request goes to the fallback rung, and the decision says why. ``docs/llm-classifier.md``.

    Args:
        model: The classifier's model: a name, or a mapping with settings of its own (see `ferroute.endpoints`).
        preset: ``"article"`` (cheap, mid, expensive), ``"complexity"`` (SIMPLE, MODERATE, COMPLEX) or ``"intent"``
            (hard_question, chit_chat, code, summary, translation, image, try_again, other); without labels of your own
            it is ``"article"``.
        labels: Labels of your own: a mapping from each to what it stands for, or a list of names.
        map: Label -> name of its rung. A label that is not in it goes where its preset says, else to the rung of its
            own name.
        fallback: Name of the rung for what cannot be told.
        timeout: Seconds for one classification in all; None for no limit.
        cache: Labels kept, by hash of the prompt; 0 keeps none.
        instructions: Takes the place of the first sentence the model is told, which says what to sort by.
        api_base: Base URL of the classifier's model; None: the model's own, else the Controller's.
        api_key: Its key; likewise, else from the environment.
        max_retries: How often a failed attempt is repeated, within ``timeout``.

    Raises:
        InvalidValueError: A value is outside its range, or a mapping has an unknown key.
        InvalidTypeError: One is of the wrong type.
        UnknownNameError: There is no such preset.
    """

    names_models = False

    def __init__(
        self,
        model: str | Mapping[str, Any] = "gpt-5.4-mini",
        preset: str | None = None,
        labels: Mapping[str, str] | Sequence[str] | None = None,
        map: Mapping[str, str] | None = None,  # noqa: A002 - the configuration's word for it
        fallback: str = "mid",
        timeout: float | None = 5.0,
        cache: int = 10_000,
        instructions: str | None = None,
        api_base: str | None = None,
        api_key: str | None = None,
        max_retries: int = 2,
    ) -> None:
        if preset is not None and labels is not None:
            raise InvalidValueError("a preset has labels of its own: give preset or labels, not both")
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, Real)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise InvalidTypeError(f"`timeout` must be a number of seconds or None, found {type(timeout).__name__}")
        chosen = endpoint(model, "model")
        own = dict(settings_of(chosen))
        if own.pop("backend", "native") != "native":
            raise InvalidValueError("model: a classifier is asked by ferroute itself; leave the backend out")
        self.model = str(chosen)
        self.fallback = _text("fallback", fallback)
        given = {"api_base": api_base, "api_key": api_key}
        self._where: dict[str, Any] = own | {name: value for name, value in given.items() if value is not None}
        self._lent: dict[str, Any] = {}
        self._settings: dict[str, Any] = {
            "preset": None if preset is None else _text("preset", preset),
            "labels": _labels(labels),
            "map": _pairs("map", map),
            "instructions": None if instructions is None else _text("instructions", instructions),
            "fallback": self.fallback,
            "timeout": timeout,
            "max_retries": max_retries,
            "cache": cache,
        }
        self._built: dict[str, _core.Classifier] = {}
        try:
            made = self._classifier()
        except (InvalidValueError, UnknownNameError):
            if "api_base" in self._where:
                raise
            # Where it lacks a key or an address, the Controller may lend its own; else the first use says so. What is
            # wrong with the rest is told now.
            made = _core.Classifier("openai/any", api_base="http://127.0.0.1", **self._settings)
        self._labels = made.labels

    @property
    def labels(self) -> dict[str, str]:
        """What each label stands for."""
        return {name: described for name, _, described in self._labels}

    @property
    def map(self) -> dict[str, str]:
        """The rung of each label."""
        return {name: rung for name, rung, _ in self._labels}

    def lend(self, api_base: str | None, api_key: str | None, models: Sequence[str] = ()) -> None:
        """Takes a Controller's address and key where the model has none of its own.

        Args:
            api_base: The Controller's base URL.
            api_key: The Controller's key; without a base URL it is only for models of the same provider.
            models: The models of the rungs.
        """
        if "api_base" in self._where or (api_base is None and api_key is None):
            return
        lent = {"api_base": api_base}
        if "api_key" not in self._where:
            lent["api_key"] = api_key if api_base is not None or self._is_of(models, api_key) else None
        self._lent = {name: value for name, value in lent.items() if value is not None}
        self._built = {}

    def _is_of(self, models: Sequence[str], key: str | None) -> bool:
        """Whether one of `models`, which has no key of its own, is of the classifier's provider."""
        try:
            mine = _core.Client(self.model, api_key=key).provider
            plain = (model for model in models if not settings_of(model))
            return any(_core.Client(str(model), api_key=key).provider == mine for model in plain)
        except (InvalidValueError, UnknownNameError):
            return False

    def check(self, ladder: Sequence[str], routers: Collection[str]) -> None:
        """Raises `InvalidValueError` where a label, or the fallback, leads to a rung that there is not.

        Args:
            ladder: The rungs, weakest first.
            routers: The routers the Controller has, by name.
        """
        known = {*ladder, *KNOWN_RUNGS}
        for what, rung in (
            *((f"label {name!r}", rung) for name, rung in self.map.items()),
            ("fallback", self.fallback),
        ):
            if rung not in known:
                raise InvalidValueError(
                    f"llm_classifier: {what} leads to the rung {rung!r}; there are {', '.join(map(repr, ladder))}"
                )

    def text_is_all(self, request: Request) -> bool:
        """Yes, unless its last message may show images, or `choose` is not the one of this class.

        Args:
            request: The request: its messages, tools and labels.
        """
        return self._is_unpatched() and request.images == 0

    def choose(self, request: Request) -> Verdict:
        """The rung of the label that the model says; the fallback rung where it says none.

        Args:
            request: The request: its messages, tools and labels.
        """
        return _paid(*self._classifier().classify(request))

    async def achoose(self, request: Request) -> Verdict | str:
        """As `choose`; the event loop runs on while the model is asked, and cancelling closes the connection.

        Args:
            request: The request: its messages, tools and labels.
        """
        if not self._is_unpatched():
            return await super().achoose(request)
        return await self.aclassified(request)

    async def aclassified(self, request: Request) -> Verdict:
        """What `choose` of this class says, asynchronously, whatever a subclass makes of it.

        Args:
            request: The request: its messages, tools and labels.
        """
        return _paid(*await self._classifier().aclassify(request))

    def choose_batch(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> list[Verdict | str]:
        """Verdicts on many prompts, sixteen at a time; ``progress`` is called with the number newly done.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        if not self._is_unpatched():
            return super().choose_batch(prompts, progress)
        return [_paid(*told) for told in self._classifier().classify_batch(checked_texts(prompts), progress)]

    def _is_unpatched(self) -> bool:
        """Whether `choose` is ours: not overridden, not patched."""
        return type(self).choose is _CHOOSE and "choose" not in vars(self)

    def would_change(self, request: Request, verdict: Verdict) -> list[str]:
        """What would have led elsewhere: the labels of the other rungs.

        Args:
            request: The request: its messages, tools and labels.
            verdict: What the router chose.
        """
        rungs = self.map
        others: dict[str, list[str]] = {}
        for name, rung in rungs.items():
            if rung != verdict.rung:
                others.setdefault(rung, []).append(f"`{name}`")
        return [f"the label {' or '.join(names)} would have led to {rung}" for rung, names in others.items()]

    def injected(self, prompt: str) -> str | None:
        """The words of a prompt that tell the classifier what to answer; None where there are none.

        Args:
            prompt: The text to route.
        """
        return self._classifier().injected(prompt)

    def _classifier(self) -> _core.Classifier:
        made = self._built.get("core")
        if made is None:
            made = _core.Classifier(self.model, **self._lent, **self._where, **self._settings)
            # Of threads that come first at once all use the same one, which knows what is being asked. This takes one
            # step and no lock, which could be held by a thread that a forked child does not have.
            made = self._built.setdefault("core", made)
            if _core.Client(self.model, **self._lent, **self._where).at_home:
                from ferroute import _calls, pricing

                # It would fail every time, and every decision fall back.
                pricing.warn_if_shut_down(self.model, stacklevel=_calls.stacklevel())
        return made

    def __getstate__(self) -> dict[str, Any]:
        # Like a Controller's endpoints it pickles with its key.
        return vars(self) | {"_built": {}}

    def __repr__(self) -> str:
        base = self._where.get("api_base") or self._lent.get("api_base")
        where = f" at {shown_url(base)}" if base else ""
        return f"<LLMClassifierRouter {self.model}{where}: {', '.join(self.map)}>"


_CHOOSE = LLMClassifierRouter.choose


def _paid(verdict: Verdict, usd: Decimal | None) -> Verdict:
    """The verdict; what it cost goes to the decision being made."""
    charge(usd)
    return verdict


def _text(name: str, given: Any) -> str:
    if not isinstance(given, str):
        raise InvalidTypeError(f"`{name}` must be str, found {type(given).__name__}")
    return given


def _labels(given: Any) -> list[tuple[str, str]] | None:
    if given is None:
        return None
    if not isinstance(given, Mapping) and not isinstance(given, (str, bytes)) and hasattr(given, "__iter__"):
        return [(_text("labels", name), "") for name in given]
    return _pairs("labels", given)


def _pairs(name: str, given: Any) -> list[tuple[str, str]]:
    if given is None:
        return []
    if not isinstance(given, Mapping):
        raise InvalidTypeError(f"`{name}` maps labels to texts; found {type(given).__name__}")
    items = cast("Mapping[Any, Any]", given).items()
    return [(_text(name, key), _text(name, value if value is not None else "")) for key, value in items]
