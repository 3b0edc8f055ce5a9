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
    """A response that knows the decision behind it."""

    @property
    def routing(self) -> Any:
        """The `ferroute.decision.Decision` that chose the model; None for a call that was not routed."""
        return getattr(self, "_routing", None)
