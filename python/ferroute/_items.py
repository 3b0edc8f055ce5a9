"""What ferroute adds to the response types of `openai`: reading them like dicts, and the decision behind them."""

from __future__ import annotations

from typing import Any


class Items:
    """Reading a model like the JSON object it came from."""

    def __getitem__(self, name: str) -> Any:
        """The field `name`; None for one the type knows but the provider left out."""
        if name in type(self).model_fields or name in (self.model_extra or ()):  # type: ignore[attr-defined]
            return getattr(self, name, None)
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        """Whether the provider sent the field `name`."""
        return name in self.model_fields_set or name in (self.model_extra or ())  # type: ignore[attr-defined]

    def get(self, name: str, default: Any = None) -> Any:
        """The field `name`, or `default` where the provider did not send it."""
        return self[name] if name in self else default  # noqa: SIM401 - this is the `get` it means


class Routed:
    """A response that knows the decision behind it.

    What is not part of the provider's JSON lies where pydantic keeps private attributes, so that copies and pickles
    have it and ``model_dump()`` does not. They are not declared, which would cost every answer a call into Python.
    """

    @property
    def routing(self) -> Any:
        """The `ferroute.decision.Decision` behind it; of a stream, the last chunk's knows the costs.

        Where the provider told its tokens only later than that chunk, it knows them once the stream has ended.
        """
        return (self.__pydantic_private__ or _NOTHING).get("routing")  # type: ignore[attr-defined]

    @property
    def _request_id(self) -> Any:
        # As in the `openai` package: the id that a provider's support asks for.
        return (self.__pydantic_private__ or _NOTHING).get("request_id")  # type: ignore[attr-defined]


_NOTHING: dict[str, Any] = {}


def put(response: Any, private: dict[str, Any]) -> None:
    """Sets what goes with a response of ours; `private` may be shared between responses."""
    object.__setattr__(response, "__pydantic_private__", private)
