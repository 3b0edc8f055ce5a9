"""Where the embedding of a prompt comes from.

In this order: the ``embedder`` of the router's configuration; a client assigned under one of RouteLLM's names
``OPENAI_CLIENT``; OpenAI's endpoint with the key and base URL of the environment as they are at the call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core
from ferroute._notes import charge, note
from ferroute._openai_client import assigned
from ferroute.endpoints import shown_url
from ferroute.errors import CheckpointError, InvalidTypeError, InvalidValueError, UnknownNameError

if TYPE_CHECKING:
    from decimal import Decimal

    import numpy as np
    from numpy.typing import NDArray

SETTINGS = (
    "model",
    "api_base",
    "api_key",
    "api_version",
    "base_model",
    "dimensions",
    "instruction",
    "max_input_tokens",
    "cache_size",
    "batch_size",
    "concurrency",
    "base64",
    "organization",
    "extra_headers",
    "timeout",
    "max_retries",
)
_BATCH = 256
_TOGETHER = 8_192

_LOCALS = "ferroute/local-"
LOCAL = f"{_LOCALS}1"
"""Name of the embedder ``"local"`` in checkpoints; the number changes whenever its vectors do."""


class LocalEmbedder:
    """The embedder ``"local"``: offline, from the table in the package, a few microseconds a text.

    A vector has 107 numbers: 64 of the mean of the text's token vectors, of length 1, a tenth of each of the 42 lexical
    features of `LocalRouter`, and 0.3 in every vector, which lets a model on top of it have an intercept. Table and
    features are this project's own (``docs/local-router.md``).

    Attributes:
        name: What checkpoints call it; the number in it changes whenever its vectors do.
        width: Numbers in a vector, 107.
    """

    name = LOCAL
    width = 107

    def __repr__(self) -> str:
        return f"<LocalEmbedder: {self.width} numbers a text, offline>"

    def __call__(self, text: str) -> NDArray[np.float32]:
        """The vector of one text, float32 ``[107]``."""
        return self.embed_batch([text])[0]

    def embed_batch(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of many texts, float32 ``[n, 107]``.

        Args:
            texts: The texts, ``[n]``.
        """
        import numpy as np

        features = _core.LocalModel.features(list(texts))
        features[:, 64:] *= np.float32(0.1)
        return np.concatenate([features, np.full((len(features), 1), 0.3, dtype=np.float32)], axis=1)


def identity(settings: Mapping[str, Any] | Callable[[str], Any] | str, model: str) -> dict[str, Any]:
    """What a checkpoint remembers of the embedder it was trained with.

    Args:
        settings: As for `PromptEmbedder`, or the name of an embedding model.
        model: Name of the embedding model where the settings have none.

    Returns:
        ``kind`` (``"local"``, ``"endpoint"`` or ``"callable"``), ``model`` (for a callable its attribute ``name``, else
        its qualified name), ``dimensions``, ``instruction``.
    """
    asked: dict[str, Any] = {"dimensions": None, "instruction": None}
    if isinstance(settings, LocalEmbedder) or settings == "local":
        return {"kind": "local", "model": LOCAL, **asked}
    if isinstance(settings, str):
        return {"kind": "endpoint", "model": settings.removeprefix("openai/"), **asked}
    if isinstance(settings, Mapping):
        given = cast("Mapping[str, Any]", settings)
        name = str(given.get("model") or model)
        asked = {key: given.get(key) or None for key in asked}
        return {"kind": "endpoint", "model": name.removeprefix("openai/"), **asked}
    name = getattr(settings, "name", None) or getattr(settings, "__qualname__", None) or type(settings).__qualname__
    return {"kind": "callable", "model": str(name), **asked}


def check_named(embedder: Any) -> None:
    """Refuses a callable that a checkpoint could not tell from another one.

    Args:
        embedder: The embedder that a checkpoint is to name.

    Raises:
        InvalidValueError: It has no attribute ``name`` and is no function with a name of its own.
    """
    if not callable(embedder) or isinstance(embedder, LocalEmbedder) or getattr(embedder, "name", None):
        return
    name = getattr(embedder, "__qualname__", None)
    if name is None or "<lambda>" in name or hasattr(embedder, "__self__"):
        raise InvalidValueError(
            f"the checkpoint records which embedder it was trained with, and {embedder!r:.80} has no name of its own: "
            "give it an attribute name = '...', or wrap it in a function that is called like the embedding model"
        )


def recorded(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a checkpoint with all fields of `identity`; early ones had no ``kind``.

    Args:
        record: The record as the checkpoint has it.
    """
    name = str(record["model"])
    kind = record.get("kind") or ("local" if name.startswith(_LOCALS) else "endpoint")
    if kind == "endpoint":
        name = name.removeprefix("openai/")
    return {"kind": kind, "model": name, **{key: record.get(key) or None for key in ("dimensions", "instruction")}}


def fitting(
    record: Mapping[str, Any] | None,
    settings: Mapping[str, Any] | Callable[[str], Any] | str | None,
    check: bool = True,
) -> Mapping[str, Any] | Callable[[str], Any] | str | None:
    """The embedder for weights that were trained with the one in ``record``.

    Args:
        record: As from `identity`; None where the checkpoint does not say.
        settings: What the user asks for; None: what the checkpoint says.
        check: Whether another one than the checkpoint's is refused.

    Raises:
        CheckpointError: That is another one, or the checkpoint's cannot be made from its name.
    """
    if record is None:
        return settings
    trained = recorded(record)
    if settings is None and trained["model"] == LOCAL and trained["kind"] == "local":
        return "local"
    if not check:
        return settings
    known = {key: value for key, value in trained.items() if value is not None and key != "kind"}
    if settings is not None:
        wanted = settings
        if trained["kind"] == "endpoint" and not isinstance(settings, str) and hasattr(settings, "keys"):
            wanted = {**known, **cast("Mapping[str, Any]", settings)}
        asked = identity(wanted, str(trained["model"]))
        if asked == trained:
            return wanted
        raise CheckpointError(
            f"these weights were trained on embeddings of {_shown(trained)}, and this router would embed with "
            f"{_shown(asked)}. Use the same embedder (a callable says which it is by its attribute `name`), or pass "
            "check_embedder=False if you know that both give the same vectors"
        )
    if trained["kind"] == "local":
        raise CheckpointError(
            f"these weights were trained on embeddings of {_shown(trained)}, and this version of ferroute has "
            f"{LOCAL!r}: train again, or use the version they were trained with"
        )
    if trained["kind"] != "endpoint":
        raise CheckpointError(
            f"these weights were trained on embeddings of {_shown(trained)}: pass embedder= a callable with the "
            f"attribute name = {trained['model']!r}"
        )
    # A name alone is the model's `embedding_model` already, and leaves OPENAI_CLIENT its turn.
    return known if len(known) > 1 else None


def _shown(record: Mapping[str, Any]) -> str:
    extra = [f"{key} {record[key]!r}" for key in ("dimensions", "instruction") if record[key] is not None]
    extra = ["a callable", *extra] if record["kind"] == "callable" else extra
    return repr(record["model"]) + (f" ({', '.join(extra)})" if extra else "")


class PromptEmbedder:
    """Embeds prompts for a router.

    Args:
        model: Object whose attribute ``embedding_model`` names the embedding model; it is read at each call, so
            assigning it takes effect.
        settings: None, a callable from a text to a vector (its method ``embed_batch``, if it has one, takes a list of
            texts), ``"local"`` for the offline `LocalEmbedder`, or a mapping with any of:

            - ``model``: name of the embedding model, such as ``"text-embedding-3-small"``;
            - ``api_base`` (or ``base_url``), ``api_key``: an OpenAI-compatible endpoint of its own, independent of the
              Controller's;
            - ``api_version``, ``base_model``: for Azure, and the model behind a deployment's name, for its price;
            - ``dimensions``: asks the endpoint for vectors of this width; without, its own;
            - ``instruction``: put before every text, as some embedding models ask for (``"query: "``);
            - ``max_input_tokens``: what the model takes (8192): a prompt that the endpoint refuses as longer is cut,
              with a note in the decision;
            - ``cache_size``: embeddings kept, by hash of model and text (10,000);
            - ``batch_size``, ``concurrency``: texts in one request (256), requests side by side (8), in batches;
            - ``base64``: False for servers that only know numbers in JSON;
            - ``timeout`` in seconds (600), ``max_retries`` (2), ``organization``, ``extra_headers`` (a mapping).

    Raises:
        InvalidTypeError: ``settings`` is of another kind.
        InvalidValueError: It has an unknown key.
    """

    def __init__(self, model: Any, settings: Mapping[str, Any] | Callable[[str], Any] | str | None = None) -> None:
        self._model = model
        self._instruction = ""
        self._call: Callable[[str], Any] | None = None
        self._settings: dict[str, Any] = {}
        self._own = settings is not None
        self._core: tuple[Any, _core.Embedder] | None = None
        if isinstance(settings, Mapping):
            given = dict(cast("Mapping[str, Any]", settings))
            # OpenAI's name for it, as for models.
            base = given.pop("base_url", None)
            if base is not None and given.get("api_base") is None:
                given["api_base"] = base
            unknown = sorted(set(given) - set(SETTINGS))
            if unknown:
                known = ", ".join(SETTINGS)
                raise InvalidValueError(f"unknown embedder settings: {', '.join(unknown)}; known are {known}")
            self._settings = given
            self._instruction = str(self._settings.pop("instruction", None) or "")
            if "max_input_tokens" in self._settings:
                self._settings["max_tokens"] = self._settings.pop("max_input_tokens")
            if "model" in self._settings:
                model.embedding_model = self._settings.pop("model")
        elif settings == "local":
            self._call = LocalEmbedder()
        elif callable(settings):
            self._call = settings
        elif settings is not None:
            found = type(settings).__name__
            raise InvalidTypeError(
                f"embedder is 'local', a mapping of settings or a callable from a text to a vector; found {found}"
            )

    @property
    def width(self) -> int | None:
        """Numbers in a vector, where that is known beforehand: of the embedder ``"local"``."""
        return LocalEmbedder.width if isinstance(self._call, LocalEmbedder) else None

    def embed(self, text: str) -> Any:
        """The embedding of one text: an array or a list of ``text_dim`` numbers.

        Args:
            text: The text.

        Raises:
            InvalidTypeError: The embedder is asynchronous.
            openai.APIError: The endpoint failed.
        """
        if self._call is not None:
            return _vector(_not_awaitable(self._call(text)))
        client = None if self._own else assigned()
        if client is not None:
            answer = client.embeddings.create(input=[text], model=self._model.embedding_model)
            _charge_of(answer, self._model.embedding_model)
            return answer.data[0].embedding
        return _told(*self._embedder().embed(self._instruction + text))

    async def aembed(self, text: str) -> Any:
        """As `embed`, without blocking the event loop.

        Args:
            text: The text.
        """
        if self._call is not None:
            import asyncio
            import inspect

            call = self._call
            found = call(text) if inspect.iscoroutinefunction(call) else await asyncio.to_thread(call, text)
            return _vector(await found if inspect.isawaitable(found) else found)
        if not self._own and assigned() is not None:
            import asyncio

            return await asyncio.to_thread(self.embed, text)
        return _told(*await self._embedder().aembed(self._instruction + text))

    def embed_batch(
        self, texts: Sequence[str], progress: Callable[[int], object] | None = None
    ) -> NDArray[np.float32] | NDArray[np.float64]:
        """The embeddings of many texts, ``[n, text_dim]``, in order; ``progress`` gets the number newly done.

        Args:
            texts: The texts, ``[n]``.
            progress: Called with the number newly done; None: nothing is called.

        Returns:
            float32 of an endpoint and of ``"local"``; float64 of a client and of a callable for one text; what its
            ``embed_batch`` gives of a callable that has one.

        Raises:
            InvalidTypeError: The embedder is asynchronous, or gives something else than numbers.
            InvalidValueError: Vectors differ in length, or ``embed_batch`` gives another number of them.
            openai.APIError: The endpoint failed.
        """
        import numpy as np

        advance = progress or _ignore
        together = getattr(self._call, "embed_batch", None)
        if together is not None:
            return self._together(together, texts, advance)
        if self._call is not None:
            rows: list[Any] = []
            for row, text in enumerate(texts):
                rows.append(_numbers(_vector(_not_awaitable(self._call(text))), row, rows))
                advance(1)
            return np.asarray(rows, dtype=np.float64)
        client = None if self._own else assigned()
        if client is None:
            seen = 0

            def newly(done: int, _total: int) -> None:
                nonlocal seen
                advance(done - seen)
                seen = done

            return self._embedder().embed_batch([self._instruction + text for text in texts], progress=newly)
        rows = []
        for start in range(0, len(texts), _BATCH):
            part = list(texts[start : start + _BATCH])
            rows.extend(self._client_rows(client, part))
            advance(len(part))
        return np.asarray(rows, dtype=np.float64)

    def _together(
        self, embed_batch: Callable[[list[str]], Any], texts: Sequence[str], advance: Callable[[int], object]
    ) -> NDArray[np.float32] | NDArray[np.float64]:
        import numpy as np

        parts: list[Any] = []
        for start in range(0, len(texts), _TOGETHER):
            part = list(texts[start : start + _TOGETHER])
            found = np.asarray(_not_awaitable(embed_batch(part)))
            if found.ndim != 2 or len(found) != len(part):
                raise InvalidValueError(
                    f"embed_batch of {len(part)} texts gives an array [{len(part)}, d], found one of {found.shape}"
                )
            parts.append(found)
            advance(len(part))
        return np.concatenate(parts) if parts else np.empty((0, 0))

    def _client_rows(self, client: Any, texts: list[str]) -> list[Any]:
        create, name = client.embeddings.create, self._model.embedding_model
        data = create(input=texts, model=name).data
        if len(data) == len(texts):
            return [entry.embedding for entry in data]
        # A client that only knows the original's calls, with one text each.
        return [create(input=[text], model=name).data[0].embedding for text in texts]

    def _embedder(self) -> _core.Embedder:
        name = self._model.embedding_model
        # Without settings of its own this is OpenAI's endpoint, whatever the model is called, with the environment as
        # it is now; a new one is made when that changes.
        surroundings = () if self._own else tuple(os.environ.get(n) for n in ("OPENAI_BASE_URL", "OPENAI_API_KEY"))
        held = self._core
        if held is None or held[0] != (name, surroundings):
            held = self._core = ((name, surroundings), self._connect(name))
        return held[1]

    def _connect(self, name: str) -> _core.Embedder:
        prefixed = name if name.startswith("openai/") else f"openai/{name}"
        if not self._own:
            return _core.Embedder(prefixed)
        try:
            return _core.Embedder(name, **self._settings)
        except UnknownNameError:  # no provider goes by such a name: OpenAI's, or the server that stands for it
            return _core.Embedder(prefixed, **self._settings)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_core": None}

    def __repr__(self) -> str:
        if self._call is not None:
            return f"<PromptEmbedder {self._call!r}>"
        base = self._settings.get("api_base")
        where = shown_url(base) if base else "OpenAI's endpoint or OPENAI_CLIENT"
        return f"<PromptEmbedder {self._model.embedding_model} at {where}>"


def _told(vector: Any, remark: str | None, usd: Decimal | None) -> Any:
    """The vector; what there is to say of it goes to the decision being made."""
    if remark:
        note(remark)
    if usd != 0:
        charge(usd)
    return vector


def _charge_of(answer: Any, model: str) -> None:
    """Charges the decision with what a client of the user's says it has used, where it says so."""
    tokens = getattr(getattr(answer, "usage", None), "prompt_tokens", None)
    if not isinstance(tokens, int):
        # A stand-in, or a model on this machine: nobody can say.
        return
    found = _core.pricing_cost([model], (max(tokens, 0), 0, 0, 0, 0, 0, 0, 0))
    charge(None if found is None else found[0])


def _not_awaitable(found: Any) -> Any:
    if hasattr(found, "__await__"):
        if hasattr(found, "close"):
            found.close()
        raise InvalidTypeError(
            "the embedder is asynchronous: use the Controller's acompletion, or give a plain function"
        )
    return found


def _numbers(found: Any, row: int, earlier: list[Any]) -> NDArray[np.float64]:
    import numpy as np

    try:
        numbers = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty((0, 0))
    if numbers.ndim != 1:
        raise InvalidTypeError(f"prompt {row}: the embedder gives a vector of numbers; found {found!r:.60}")
    if earlier and len(earlier[0]) != len(numbers):
        raise InvalidValueError(
            f"prompt {row}: its embedding has {len(numbers)} numbers, those before {len(earlier[0])}"
        )
    return numbers


def _vector(found: Any) -> Any:
    """One row; a callable that answers a text with a batch of one is understood."""
    if getattr(found, "ndim", 1) == 2 and len(found) == 1:
        return found[0]
    if isinstance(found, list):
        rows = cast("list[Any]", found)
        return rows[0] if len(rows) == 1 and isinstance(rows[0], (list, tuple)) else rows  # pyright: ignore[reportUnknownVariableType]
    return found


def _ignore(_done: int) -> None:
    pass
