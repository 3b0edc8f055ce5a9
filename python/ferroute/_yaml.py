"""YAML files in Python, with the bounds that `src/data/yaml.rs` has: no file can fill the memory or the stack.

PyYAML alone follows aliases without counting, so a kilobyte of text can stand for more values than there is memory
("billion laughs"), and it nests as deep as Python's stack goes.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    import os

DEPTH = 40
"""Lists and mappings within each other."""
MOST_VALUES = 100_000
"""Values, those that aliases repeat included. A long text counts as one for each 64 characters."""


def read(path: str | os.PathLike[str]) -> Any:
    """What a file says.

    Raises:
        OSError: It cannot be read.
        InvalidValueError: It is not UTF-8, no YAML, or holds more than the bounds allow.
    """
    import yaml

    class Bounded(yaml.SafeLoader):
        """Counts before anything is built, since merges (``<<``) are copied then."""

        def __init__(self, text: str) -> None:
            super().__init__(text)
            self.depth = self.values = 0
            self.sizes: dict[int, int] = {}

        def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
            before = self.values
            alias = bool(cast("Any", self).check_event(yaml.AliasEvent))
            self.depth += 1
            if self.depth > DEPTH + 1:  # a value within 40 of them
                raise InvalidValueError(f"nested deeper than {DEPTH} lists and mappings")
            node = super().compose_node(parent, index)  # pyright: ignore[reportUnknownMemberType]
            self.depth -= 1
            if alias:
                if id(node) not in self.sizes:
                    raise InvalidValueError("an alias for what it is a part of")
                self.values += self.sizes[id(node)]
            else:
                self.values += 1 + (len(node.value) // 64 if isinstance(node, yaml.ScalarNode) else 0)
                self.sizes[id(node)] = self.values - before
            if self.values > MOST_VALUES:
                raise InvalidValueError(f"more than {MOST_VALUES} values, repeated ones included")
            return node

    try:
        # The loader is a SafeLoader: it makes plain values and nothing else.
        return yaml.load(Path(path).read_text(encoding="utf-8"), Loader=Bounded)  # noqa: S506
    except (ValueError, yaml.YAMLError) as error:
        told = " ".join(str(error).split())  # the parser points at the place on lines of their own
        raise InvalidValueError(f"not readable as YAML: {told}") from None
