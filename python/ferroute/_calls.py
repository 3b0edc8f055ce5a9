"""From the keywords of a completion to a client and the bytes it sends."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from ferroute import _json
from ferroute.errors import InvalidTypeError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ferroute._core import Client

DEFAULT_TIMEOUT = 600.0
DEFAULT_RETRIES = 2


class Prepared(NamedTuple):
    """A call that is ready to be sent."""

    client: Client
    body: bytes
    stream: bool

    @property
    def url(self) -> str:
        """The address, fit to be shown."""
        return f"{self.client.base_url.rstrip('/')}/chat/completions"


def prepare(model: str, messages: Any, api_base: str | None, api_key: str | None, rest: dict[str, Any]) -> Prepared:
    """Takes out what is meant for the client and makes a body of everything else.

    Raises:
        InvalidTypeError: for a keyword of the wrong type, or something in the body that JSON cannot hold.
        InvalidValueError: for a value outside its range.
    """
    from ferroute._core import Client

    if not isinstance(model, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidTypeError(f"`model` must be str, found {type(model).__name__}")
    if isinstance(messages, (str, bytes, dict)) or not hasattr(messages, "__iter__"):
        found = type(messages).__name__  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        raise InvalidTypeError(f"`messages` must be a list of messages, found {found}")
    base_url = rest.pop("base_url", None)
    query = _strings("extra_query", rest.pop("extra_query", None))
    version = rest.pop("api_version", None)
    if version is not None:
        query.append(("api-version", str(version)))
    client = Client(
        model,
        api_base=_text("api_base", api_base if api_base is not None else base_url),
        api_key=_text("api_key", api_key),
        organization=_text("organization", rest.pop("organization", None)),
        extra_headers=_strings("extra_headers", rest.pop("extra_headers", None)),
        extra_query=query,
        timeout=seconds(rest.pop("timeout", None)),
        max_retries=retries(rest.pop("max_retries", None)),
    )
    extra_body = rest.pop("extra_body", None)
    body: dict[str, Any] = {"model": client.model, "messages": messages}
    body |= {name: value for name, value in rest.items() if value is not None and not _is_unset(value)}
    if extra_body is not None:
        if not hasattr(extra_body, "items"):
            raise InvalidTypeError(f"`extra_body` must be a dict, found {type(extra_body).__name__}")
        body |= extra_body
    return Prepared(client, _json.encode(body), bool(body.get("stream")))


def seconds(timeout: Any) -> float:
    """A time limit: a number of seconds, an `openai.Timeout` (whose read limit counts), None for the default."""
    if timeout is None or _is_unset(timeout):
        return DEFAULT_TIMEOUT
    if hasattr(timeout, "read") and hasattr(timeout, "connect"):
        return math.inf if timeout.read is None else float(timeout.read)
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise InvalidTypeError(f"`timeout` must be a number of seconds, found {type(timeout).__name__}")
    try:
        return float(timeout)
    except OverflowError:
        raise InvalidValueError("`timeout` must be a number of seconds, found one that is far too large") from None


def retries(max_retries: Any) -> int:
    """How often a failed attempt is repeated; None for the default."""
    if max_retries is None or _is_unset(max_retries):
        return DEFAULT_RETRIES
    if isinstance(max_retries, bool) or not isinstance(max_retries, int):
        raise InvalidTypeError(f"`max_retries` must be int, found {type(max_retries).__name__}")
    return max_retries


def _is_unset(value: object) -> bool:
    """`openai.NOT_GIVEN` and `openai.omit`, recognised without importing openai."""
    cls = type(value)
    return cls.__name__ in ("NotGiven", "Omit") and cls.__module__.partition(".")[0] == "openai"


def _text(name: str, value: Any) -> str | None:
    if name == "api_base" and type(value).__name__ == "URL":  # httpx.URL, yarl.URL
        value = str(value)
    if value is None or isinstance(value, str):
        return value if value is None else _unicode(name, value)
    raise InvalidTypeError(f"`{name}` must be str, found {type(value).__name__}")


def _strings(name: str, value: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    if value is None:
        return []
    if not hasattr(value, "items"):
        raise InvalidTypeError(f"`{name}` must be a dict, found {type(value).__name__}")
    kept = ((str(key), str(item)) for key, item in value.items() if item is not None and not _is_unset(item))
    return [(_unicode(name, key), _unicode(name, item)) for key, item in kept]


def _unicode(name: str, text: str) -> str:
    """`text`, unless it holds half of a surrogate pair; the error does not hold it, since it may be a key."""
    with suppress(UnicodeEncodeError):
        text.encode()
        return text
    # Raised out here, the error has no context, which would hold the text.
    raise InvalidValueError(f"`{name}` is not valid Unicode: it holds half of a surrogate pair")
