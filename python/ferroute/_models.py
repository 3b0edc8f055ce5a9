"""Subclasses of the `openai` response types that can be read like dicts at every level.

Importing this module imports `openai`; only `ferroute.responses` does so, on the first call.
"""

from __future__ import annotations

import types
from copy import copy
from typing import Annotated, Any, Union, cast, get_args, get_origin

from openai import BaseModel
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from ferroute._items import Items, Routed

_HOME = "ferroute.responses"


class _Maker:
    def __init__(self) -> None:
        self.made: dict[type[BaseModel], type[BaseModel]] = {}

    def subclass(self, cls: type[BaseModel], *extra: type, **namespace: Any) -> type[BaseModel]:
        """The subclass of `cls` whose fields hold such subclasses too."""
        if cls in self.made:
            return self.made[cls]
        annotations: dict[str, Any] = {}
        for name, field in cls.model_fields.items():
            annotation = self.annotation(field.annotation)
            if annotation is not field.annotation:
                annotations[name] = annotation
                namespace[name] = changed = copy(field)
                changed.annotation = annotation
        # A chunk's `Choice` is not an answer's: names have to be unique for pickle to find them.
        is_chunk = cls.__module__.endswith("_chunk") and not cls.__name__.startswith("ChatCompletion")
        name = f"Chunk{cls.__name__}" if is_chunk else cls.__name__
        namespace |= {"__annotations__": annotations, "__module__": _HOME, "__qualname__": name, "__doc__": cls.__doc__}
        bases = (Items, *extra, cls)
        made: Any = types.new_class(name, bases, {}, lambda body: body.update(namespace))
        self.made[cls] = made
        return made

    def annotation(self, annotation: Any) -> Any:
        """`annotation` with every response type replaced by its subclass; the same object if there is none."""
        if isinstance(annotation, type) and get_origin(annotation) is None:
            return self.subclass(annotation) if issubclass(annotation, BaseModel) else annotation  # pyright: ignore[reportUnknownVariableType]
        old = get_args(annotation)
        new = tuple(self.annotation(part) for part in old)
        if all(a is b for a, b in zip(old, new, strict=True)):
            return annotation
        origin = get_origin(annotation)
        if origin is Annotated:
            return Annotated[new]  # pyright: ignore[reportInvalidTypeForm]
        if origin in (Union, types.UnionType):
            return Union[new]  # noqa: UP007 - a tuple of types
        return cast("Any", origin)[new]


def _make() -> dict[str, type[BaseModel]]:
    maker = _Maker()
    for made in (maker.subclass(ChatCompletion, Routed), maker.subclass(ChatCompletionChunk, Routed)):
        # openai puts this off until the first answer, where it would hold up an event loop.
        made.model_rebuild()
    return {made.__name__: made for made in maker.made.values()}


MADE = _make()
