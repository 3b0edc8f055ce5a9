"""The router `semantic`: named routes by example utterances, and "none" where nothing is near."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ferroute import _asks, _core
from ferroute.errors import FerrouteError, InvalidTypeError, InvalidValueError
from ferroute.routers import _semantic_files as files
from ferroute.routers.base import KNOWN_RUNGS, RungRouter, built_in, checked_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Sequence
    from os import PathLike

    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike, NDArray

    from ferroute._core import Request, Verdict
    from ferroute.routers.semantic_report import SemanticReport

__all__ = ["SemanticRouter"]

_BATCH = 8_192
_OF_ITS_OWN = "the routes' utterances and the ordinary texts"


@built_in
class SemanticRouter(RungRouter):
    """Sends a request to the route whose utterances it is nearest to, if it is near enough.

    A text's similarity to a route is the mean of two numbers: its cosine with the route's centre, and the mean of its
    two highest cosines with the route's utterances. What all texts share is taken out before (after Mu and Viswanath
    2018, arXiv:1702.01417), so unrelated texts are near 0. Of the routes whose threshold it reaches, the most similar
    one is taken. ``docs/semantic.md`` has the method and measurements.

    Args:
        routes: Name of each route, and its example utterances; five to twenty a route do well.
        map: Where a route leads: a rung, or a learned router such as ``router-local-60%,15%``. A route that is not in
            it leads to the rung of its own name.
        otherwise: The same for requests that are near no route.
        embedder: None or ``"local"``: the table in this package, offline, a few microseconds. Else as for the router
            `mf`: a mapping of settings for an endpoint, or a callable from a text to a vector (`ferroute.embedding`).
            Its first decision embeds the utterances, with 129 ordinary texts, in one batch.
        thresholds: The similarity each route needs, -1..=1: one number for all, a mapping from routes, or a file that
            `save` has written. Routes without one get theirs from ordinary texts and their own utterances.
        examples: Pairs of a text and its route (None: no route) that the thresholds are fitted to, as by `fit`.

    Raises:
        InvalidTypeError: An argument is of another kind.
        InvalidValueError: A route has no utterance, two routes have the same one, or a name is of no route.
        CheckpointError: The file of thresholds is of other routes or another embedder.
    """

    def __init__(
        self,
        routes: Mapping[str, Iterable[str]],
        map: Mapping[str, str] | None = None,  # noqa: A002 - the setting's name
        otherwise: str = "mid",
        embedder: Mapping[str, Any] | Callable[[str], ArrayLike] | str | None = None,
        thresholds: Mapping[str, float] | float | str | PathLike[str] | None = None,
        examples: Iterable[tuple[str, str | None]] | None = None,
    ) -> None:
        from ferroute.embedding import PromptEmbedder, identity

        self._routes = _checked_routes(routes)
        self._leads = _checked_map(map, self._routes)
        self._otherwise = _checked_target("otherwise", otherwise)
        self.embedding_model = "text-embedding-3-small"
        self.embedder: PromptEmbedder | None = None
        if embedder is not None and embedder != "local":
            self.embedder = PromptEmbedder(self, embedder)
        self._identity = identity(embedder if self.embedder and embedder else "local", self.embedding_model)
        self._is_callable = callable(embedder)
        self._is_async = inspect.iscoroutinefunction(embedder)
        self._examples = _checked_examples(examples)
        self._vectors: tuple[Any, Any] | None = None
        self._lock = threading.Lock()
        self._model: _core.SemanticModel | None = None
        self._given = files.checked(thresholds, self._routes, self._identity)
        if self.embedder is None:
            self._model = self._made(None)

    @property
    def map(self) -> dict[str, str]:
        """Where each route leads."""
        return dict(self._leads)

    @property
    def otherwise(self) -> str:
        """Where requests go that are near no route."""
        return self._otherwise

    @property
    def utterances(self) -> dict[str, list[str]]:
        """The utterances of each route."""
        return {name: list(texts) for name, texts in self._routes.items()}

    @property
    def named_rungs(self) -> list[str]:
        """The rungs this router may name."""
        return sorted({to for to in (*self._leads.values(), self._otherwise) if not _is_router(to)})

    @property
    def names_models(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - it follows from the routes
        """Whether a route leads to another router, which may name a model beyond the ladder."""
        return any(to.startswith("router-") for to in (*self._leads.values(), self._otherwise))

    @property
    def thresholds(self) -> dict[str, float]:
        """The similarity each route needs; assign a number, a mapping from routes, or a file's path.

        Reading them embeds the utterances where that has not been done.
        """
        return dict(zip(self._routes, self._ready().thresholds, strict=True))

    @thresholds.setter
    def thresholds(self, thresholds: Mapping[str, float] | float | str | PathLike[str]) -> None:
        given = files.checked(thresholds, self._routes, self._identity)
        model = self._ready()
        self._model = model.with_thresholds(_over(self._routes, model.thresholds, given))

    def check(self, ladder: Sequence[str], routers: Collection[str]) -> None:
        """Raises `InvalidValueError` where a route leads to no rung that there is, or a router not to be asked so.

        Args:
            ladder: The rungs, weakest first.
            routers: The routers the Controller has, by name.
        """
        for name, target in (*self._leads.items(), ("otherwise", self._otherwise)):
            if _is_router(target):
                if any(f"{target}-".startswith(f"router-{router}-") for router in routers):
                    continue
                expected = f"one of the routers {', '.join(routers)}"
            elif target in ladder or target in KNOWN_RUNGS:
                continue
            else:
                expected = f"one of the rungs {', '.join(dict.fromkeys((*ladder, *KNOWN_RUNGS)))}"
            where = "otherwise" if name == "otherwise" and name not in self._routes else f"route {name!r}"
            hint = "" if name != target else f"; map={{{name!r}: ...}} says where it leads"
            raise InvalidValueError(f"semantic: {where} leads to {target!r}: expected {expected}{hint}")
        _asks.validated(self.asked_routers(), ladder, routers)

    def asked_routers(self) -> Sequence[tuple[str, str]]:
        """The learned routers that routes and ``otherwise`` lead to, each with its place."""
        leads = [(target, f"semantic: route {name!r}") for name, target in self._leads.items()]
        return [(to, place) for to, place in (*leads, (self._otherwise, "semantic: otherwise")) if _is_router(to)]

    def text_is_all(self, request: Request) -> bool:
        """Yes, as long as `choose` is the one of this class.

        Args:
            request: The request: its messages, tools and labels.
        """
        return self._is_own("choose")

    def choose(self, request: Request) -> Verdict | str:
        """The verdict on the text that is routed on.

        Args:
            request: The request: its messages, tools and labels.
        """
        if self.embedder is None:
            return self._ready().choose(request)
        model = self._ready()
        with self._embedding("a prompt"):
            vector = self.embedder.embed(request.text)
        return model.choose_vector(vector)

    async def achoose(self, request: Request) -> Verdict | str:
        """As `choose`; the event loop runs on while embeddings are on their way.

        Args:
            request: The request: its messages, tools and labels.
        """
        if not self._is_own("choose"):
            return await super().achoose(request)
        if self.embedder is None:
            return self.choose(request)
        model = await self._aready()
        with self._embedding("a prompt"):
            vector = await self.embedder.aembed(request.text)
        return model.choose_vector(vector)

    def choose_batch(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> list[Verdict | str]:
        """Verdicts on many prompts: on all cores, or their embeddings in batches; ``progress`` gets the number done.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        if not self._is_own("choose"):
            return super().choose_batch(prompts, progress)
        verdict = self._ready().verdict
        return [verdict(near) for near in self.similarities(prompts, progress).tolist()]

    def similarities(
        self, prompts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float64]:
        """The similarity of each prompt to each route, float64 ``[prompts, routes]``, -1..=1, in the routes' order.

        Args:
            prompts: The texts to route, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.
        """
        import numpy as np

        texts = checked_texts(prompts)
        model = self._ready()
        if not texts:
            return np.empty((0, len(self._routes)))
        if self.embedder is not None:
            with self._embedding(f"{len(texts):,} prompts"):
                vectors = self.embedder.embed_batch(texts, progress)
            return model.similarities_of(vectors)
        parts: list[NDArray[np.float64]] = []
        for start in range(0, len(texts), _BATCH):
            parts.append(model.similarities(texts[start : start + _BATCH]))
            if progress:
                progress(len(parts[-1]))
        return np.concatenate(parts)

    def fit(self, prompts: Sequence[str], labels: Sequence[str | None]) -> SemanticReport:
        """Fits the thresholds to labelled prompts, and says how well they do on them.

        For each route in turn every threshold there is between two scores is tried, until none moves. The best has the
        highest mean F1 over the labelled routes and "none", of all routes' decisions together; of equals it is the one
        nearest to the present threshold. Routes without a label keep theirs. The same examples give the same
        thresholds.

        Args:
            prompts: Texts, ``[n]``.
            labels: The route of each, ``[n]``; None where it belongs to none. Without any of those, nothing speaks
                against low thresholds.

        Returns:
            The report; on the prompts it was fitted to it is too good, so `evaluate` on others tells more.

        Raises:
            InvalidValueError: A label is of no route, or there are not as many labels as prompts.
        """
        near, numbers = self._labelled(prompts, labels)
        self._model = self._ready().fitted(near.ravel().tolist(), numbers)
        return self._report(near, numbers)

    def evaluate(self, prompts: Sequence[str], labels: Sequence[str | None]) -> SemanticReport:
        """Precision, recall and F1 of each route on labelled prompts; see `fit` for the arguments.

        Args:
            prompts: The texts, ``[n]``.
            labels: The route of each, ``[n]``; None: no route.

        Returns:
            The report.

        Raises:
            InvalidValueError: As for `fit`.
        """
        return self._report(*self._labelled(prompts, labels))

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the thresholds as JSON, with what they were fitted for: routes and embedder.

        ``thresholds=path`` of another router of the same routes reads them.

        Args:
            path: The file.

        Raises:
            UnreadableFileError: The file cannot be written.
        """
        files.save(path, self._routes, self._identity, self.thresholds)

    def load(self, path: str | PathLike[str]) -> None:
        """Takes the thresholds that `save` has written.

        Args:
            path: The file.

        Raises:
            MissingFileError: There is no such file.
            CheckpointError: It is of other routes, utterances or another embedder, or damaged.
        """
        self.thresholds = files.read(path, self._routes, self._identity)

    def would_change(self, request: Request, verdict: Verdict) -> list[str]:
        """What would have changed a verdict, in sentences.

        Args:
            request: The request: its messages, tools and labels.
            verdict: What the router chose.
        """
        near = dict(zip(self._routes, self._similarities_of(request), strict=True))
        needed = self.thresholds
        taken = verdict.label
        if taken is None:
            name = min(near, key=lambda name: needed[name] - near[name])
            has = f"{near[name]:.3f}"
            said = f"route {name!r} needs a similarity of {needed[name]:.3f}, and this has {has}"
            return [f"{said}: a threshold of {has} or less would have taken it"]
        others = [name for name in near if name != taken and near[name] >= needed[name]]
        after = max(others, key=near.__getitem__, default=None)
        goes = f"go by otherwise ({self._otherwise})" if after is None else f"take route {after!r}"
        return [f"with a threshold above {near[taken]:.3f} for route {taken!r} this would {goes}"]

    def plot(
        self,
        prompts: str | Sequence[str],
        labels: Sequence[str | None] | None = None,
        *,
        title: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draws similarities beside the thresholds, with matplotlib.

        Args:
            prompts: One text, whose similarity to each route is drawn as a bar; or many, each a dot in every route.
            labels: The right route of each of many, which colours the dots.
            title: Title; None: one that says what is drawn.
            ax: Axes to draw on; None: new ones.

        Returns:
            The axes; ``.figure.savefig(path)`` writes the picture.

        Raises:
            NotBuiltError: matplotlib is not installed.
        """
        from ferroute.routers import _semantic_plot as pictures

        needed = self.thresholds
        if isinstance(prompts, str):
            return pictures.bars(prompts, self.similarities([prompts])[0], needed, title, ax)
        if labels is None:
            return pictures.dots(self.similarities(prompts), None, needed, title, ax)
        return pictures.dots(*self._labelled(prompts, labels), needed, title, ax)

    def _is_own(self, name: str) -> bool:
        """Whether nobody has put another method in the place of `choose`."""
        return getattr(type(self), name) is _OWN[name] and name not in vars(self)

    def _similarities_of(self, request: Request) -> list[float]:
        return cast("list[float]", self.similarities([request.text])[0].tolist())

    def _ready(self) -> _core.SemanticModel:
        model = self._model
        if model is None:
            with self._lock:
                if self._model is None:
                    embedder = cast("Any", self.embedder)
                    with self._embedding(_OF_ITS_OWN):
                        vectors = embedder.embed_batch(self._texts())
                    self._model = self._made(vectors)
                model = self._model
        return model

    async def _aready(self) -> _core.SemanticModel:
        import asyncio

        if self._model is None and self._is_async:
            embedder = cast("Any", self.embedder)
            with self._embedding(_OF_ITS_OWN):
                vectors = [await embedder.aembed(text) for text in self._texts()]
            self._model = self._made(vectors)
        return self._model or await asyncio.to_thread(self._ready)

    @contextlib.contextmanager
    def _embedding(self, what: str) -> Generator[None]:
        """What goes wrong in somebody else's embedder is told with what it was given."""
        try:
            yield
        except FerrouteError:
            raise
        except Exception as error:
            if not self._is_callable:
                raise
            kind = type(error).__name__
            raise FerrouteError(f"semantic: the embedder failed on {what}: {kind}: {str(error)[:200]}") from error

    def _texts(self) -> list[str]:
        return [text for texts in self._routes.values() for text in texts] + _core.semantic_ordinary_texts()

    def _made(self, vectors: Any) -> _core.SemanticModel:
        """The core's model, with the thresholds that were asked for."""
        parts = [(name, self._leads[name], list(texts)) for name, texts in self._routes.items()]
        model = _core.SemanticModel(parts, self._otherwise) if vectors is None else self._model_of(parts, vectors)
        model = model.with_thresholds(_over(self._routes, model.thresholds, self._given))
        if self._examples:
            texts, labels = zip(*self._examples, strict=True)
            numbers = self._numbers(labels, len(texts))
            if self.embedder is None:
                near = model.similarities(list(texts))
            else:
                with self._embedding("its examples"):
                    rows = self.embedder.embed_batch(list(texts))
                near = model.similarities_of(rows)
            model = model.fitted(near.ravel().tolist(), numbers)
        return model

    def _model_of(self, parts: list[tuple[str, str, list[str]]], vectors: Any) -> _core.SemanticModel:
        import numpy as np

        rows = np.asarray(vectors)
        count = sum(len(texts) for _, _, texts in parts)
        self._vectors = rows[:count], rows[count:]
        return _core.SemanticModel(parts, self._otherwise, *self._vectors)

    def _labelled(
        self, prompts: Sequence[str], labels: Sequence[str | None]
    ) -> tuple[NDArray[np.float64], list[int | None]]:
        texts = checked_texts(prompts)
        numbers = self._numbers(labels, len(texts))
        return self.similarities(texts), numbers

    def _numbers(self, labels: Iterable[str | None], count: int) -> list[int | None]:
        """Places of the routes; None, and the NaN a table has for it, is "none"."""
        if isinstance(labels, str):
            raise InvalidTypeError("labels is a list with the route of each prompt, or None; found a single string")
        places = {name: at for at, name in enumerate(self._routes)}
        numbers: list[int | None] = []
        for row, label in enumerate(labels):
            nothing = label is None or label != label  # NaN alone differs from itself
            if not nothing and label not in places:
                raise InvalidValueError(f"label {row} is {label!r}: expected None or one of {', '.join(places)}")
            numbers.append(None if nothing else places[cast("str", label)])
        if len(numbers) != count:
            raise InvalidValueError(f"expected a label for each of {count} prompts, found {len(numbers)}")
        return numbers

    def _report(self, near: NDArray[np.float64], numbers: list[int | None]) -> SemanticReport:
        from ferroute.routers.semantic_report import report

        model = self._ready()
        return report(self._routes, model.thresholds, model.judged(near.ravel().tolist(), numbers))

    def __getstate__(self) -> dict[str, Any]:
        thresholds = None if self._model is None else self._model.thresholds
        return {**vars(self), "_model": None, "_lock": None, "_kept": thresholds}

    def __setstate__(self, state: dict[str, Any]) -> None:
        kept = state.pop("_kept")
        vars(self).update(state)
        self._lock = threading.Lock()
        if kept is not None:
            parts = [(name, self._leads[name], list(texts)) for name, texts in self._routes.items()]
            model = _core.SemanticModel(parts, self._otherwise, *(self._vectors or ()))
            self._model = model.with_thresholds(kept)

    def __repr__(self) -> str:
        needed = [None] * len(self._routes) if self._model is None else self._model.thresholds
        lines = [
            f"  {name} -> {self._leads[name]} ({len(texts)} utterance{'s' * (len(texts) != 1)}"
            + (")" if threshold is None else f", from {threshold:.3f} on)")
            for (name, texts), threshold in zip(self._routes.items(), needed, strict=True)
        ]
        return "\n".join([f"<SemanticRouter {self._identity['model']}", *lines, f"  otherwise {self._otherwise}>"])


_OWN = {"choose": SemanticRouter.choose}


def _is_router(target: str) -> bool:
    return target.startswith("router-")


def _over(routes: Iterable[str], usual: list[float], given: Mapping[str, float]) -> list[float]:
    return [given.get(name, threshold) for name, threshold in zip(routes, usual, strict=True)]


def _checked_routes(routes: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(routes, Mapping):
        found = type(routes).__name__
        raise InvalidTypeError(f"routes is a mapping from a name to a list of example utterances; found {found}")
    if not routes:
        raise InvalidValueError("routes is empty: expected at least one route with an utterance")
    owners: dict[str, str] = {}
    checked: dict[str, tuple[str, ...]] = {}
    for name, given in cast("Mapping[Any, Any]", routes).items():
        if not isinstance(name, str) or not name:
            raise InvalidTypeError(f"the name of a route is a string that is not empty; found {name!r:.60}")
        if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__"):
            found = type(given).__name__
            raise InvalidTypeError(f"route {name!r}: expected a list of example utterances, found {found}")
        texts: dict[str, None] = {}
        for at, text in enumerate(given, 1):
            if not isinstance(text, str):
                found = type(text).__name__
                raise InvalidTypeError(f"route {name!r}, utterance {at}: expected a string, found {found}")
            if not text.strip():
                raise InvalidValueError(f"route {name!r}, utterance {at} is empty")
            owner = owners.setdefault(text.strip().casefold(), name)
            if owner != name:
                raise InvalidValueError(f"utterance {text!r:.80} is in two routes, {owner!r} and {name!r}")
            texts[text.strip()] = None
        if not texts:
            raise InvalidValueError(f"route {name!r} has no utterance: expected at least one")
        checked[name] = tuple(texts)
    return checked


def _checked_map(given: Any, routes: Mapping[str, Any]) -> dict[str, str]:
    if given is not None and not isinstance(given, Mapping):
        found = type(given).__name__
        raise InvalidTypeError(f"map is a mapping from routes to rungs; found {found}")
    leads = cast("Mapping[Any, Any]", given or {})
    for name in leads:
        if name not in routes:
            raise InvalidValueError(f"map has {name!r}, which is no route; there are {', '.join(routes)}")
    return {name: _checked_target(f"map[{name!r}]", leads.get(name, name)) for name in routes}


def _checked_target(what: str, target: Any) -> str:
    if not isinstance(target, str) or not target:
        raise InvalidTypeError(f"{what} is a rung, or a router such as 'router-local-0.5'; found {target!r:.60}")
    return target


def _checked_examples(examples: Any) -> list[tuple[str, str | None]]:
    pairs: list[tuple[str, str | None]] = []
    given: Iterable[Any] = () if examples is None else examples
    for at, pair in enumerate(given):
        if not isinstance(pair, (tuple, list)) or len(cast("Sequence[Any]", pair)) != 2:
            raise InvalidTypeError(f"examples[{at}]: expected a pair of a text and a route or None, found {pair!r:.60}")
        text, label = cast("Sequence[Any]", pair)
        if not isinstance(text, str):
            raise InvalidTypeError(f"examples[{at}]: expected a text, found {type(text).__name__}")
        pairs.append((text, label))
    return pairs
