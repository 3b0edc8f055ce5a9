"""A model with settings of its own: ``strong_model={"model": "openai/gpt-5.2", "api_base": ..., "api_key": ...}``.

An `Endpoint` is the model's name, a `str` in every respect, so it goes wherever a name goes: into a `ModelPair`, to
routers, into messages. Its settings travel with it and are used when the call is made. It never shows a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from typing_extensions import Self

BACKENDS = ("native", "litellm")
SETTINGS = (
    "api_base",
    "api_key",
    "api_version",
    "base_model",
    "organization",
    "extra_headers",
    "extra_query",
    "backend",
)
SYNONYMS = {"base_url": "api_base"}


class Endpoint(str):
    """A model's name that carries how to reach it. Equal to its name; pickles with its settings, the key included.

    Attributes:
        settings: What was given beside the name; see `endpoint`. Not to be changed.
        routed: What a Controller knows of the call it makes with this name; see `carrying`. Not pickled.
    """

    __slots__ = ("routed", "settings")

    routed: Any
    settings: Mapping[str, Any]

    def __new__(cls, model: str, settings: Mapping[str, Any] | None = None) -> Self:
        """A name with `settings`; `endpoint` checks them first."""
        made = super().__new__(cls, model)
        made.settings = dict(settings or {})
        made.routed = None
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        # Unlike `__getnewargs__`, this serves every protocol.
        return type(self), (str(self), self.settings)


def endpoint(given: Any, where: str) -> Endpoint | str:
    """A model as it is given: a name as it is, a mapping as an `Endpoint`.

    Args:
        given: A name, an `Endpoint`, or a mapping with ``model`` and any of ``api_base`` (or ``base_url``),
            ``api_key``, ``api_version``, ``base_model`` (the model behind a name that says nothing, such as an Azure
            deployment, for prices), ``organization``, ``extra_headers``, ``extra_query`` and ``backend``. One that is
            None counts as not given.
        where: Name of the argument, for the error.

    Raises:
        InvalidTypeError: It is something else.
        InvalidValueError: The mapping has no model, or a key that does not exist. No error shows a value.
    """
    if isinstance(given, str):
        return given
    if not isinstance(given, Mapping):
        raise InvalidTypeError(f"{where} is a model's name or a mapping with 'model', found {type(given).__name__}")
    given = cast("Mapping[str, Any]", given)
    model = given.get("model")
    if not isinstance(model, str) or not model:
        found = "an empty one" if model == "" else "none" if model is None else type(model).__name__
        raise InvalidValueError(f"{where}: a mapping needs a 'model' that is a name, found {found}")
    settings: dict[str, Any] = dict(getattr(model, "settings", ()))
    for name, value in given.items():
        if name == "model":
            continue
        key = SYNONYMS.get(name, name)
        if key not in SETTINGS:
            raise InvalidValueError(f"{where}: unknown setting {name!r}; known are model, {', '.join(SETTINGS)}")
        if value is not None:
            settings[key] = dict(cast("Mapping[str, Any]", value)) if isinstance(value, Mapping) else value
    if "backend" in settings:
        check_backend(settings["backend"])
    return Endpoint(model, settings) if settings else str(model)


def check_backend(backend: Any) -> str:
    """`backend`, if there is one of that name.

    Raises:
        InvalidValueError: There is none.
    """
    if backend not in BACKENDS:
        raise InvalidValueError(f"`backend` is one of {', '.join(map(repr, BACKENDS))}; found {backend!r:.60}")
    return backend


def shown_url(url: Any) -> str:
    """A base URL as it may be shown: without user, password and query, which can hold a key.

    Args:
        url: The address.
    """
    from urllib.parse import urlsplit

    text = str(url)
    try:
        parts = urlsplit(text if "://" in text else f"//{text}")
        # Half of a password with a slash in it looks like a host with a wrong port.
        _ = parts.port
    except ValueError:
        return "..."
    return f"{f'{parts.scheme}://' if parts.scheme else ''}{parts.netloc.rpartition('@')[2]}{parts.path}"


def carrying(model: str, routed: Any) -> Endpoint:
    """`model` with its settings, for one call: wherever that is made, in another thread too, `routed` is at hand."""
    made = Endpoint(model, settings_of(model))
    made.routed = routed
    return made


def routed_of(model: Any) -> Any:
    """What `carrying` gave `model` to carry; None for every other name."""
    return model.routed if type(model) is Endpoint else None


def settings_of(model: str) -> Mapping[str, Any]:
    """The settings that travel with a model's name; none for a plain one.

    Args:
        model: A model's name, plain or with settings.
    """
    return model.settings if type(model) is Endpoint else {}


def with_settings(model: Any) -> Endpoint | None:
    """`model`, which a caller's code has chosen, if it says by itself how it is reached."""
    return model if type(model) is Endpoint and model.settings else None
