"""Values that nobody should pass, each by a name, made anew for every use."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np


class Lies(Sequence[Any]):
    """A sequence that says it is longer than memory."""

    def __len__(self) -> int:
        return 1 << 60

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, int) and index < 3:
            return 0.5
        raise IndexError(index)


class Raises:
    """Whatever it is asked, it raises."""

    def __getattr__(self, name: str) -> Any:
        raise ValueError("no attribute of it can be read")

    def _raise(self, *args: Any) -> Any:
        raise ValueError("it does not answer")

    __float__ = __index__ = __len__ = __iter__ = __getitem__ = __eq__ = __str__ = __repr__ = __bool__ = __call__ = (
        _raise
    )
    __hash__ = _raise  # type: ignore[assignment]


class Pretends(Mapping[str, Any]):
    """A mapping whose items are no pairs."""

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[str]:
        return iter(("a", "b"))

    def __getitem__(self, key: str) -> Any:
        raise KeyError(key)

    def items(self) -> Any:
        return [1, 2]


class Text(str):
    """Not quite a text."""

    __slots__ = ()

    def encode(self, *args: Any, **kwargs: Any) -> bytes:
        raise ValueError("it cannot be encoded")


class Number(float):
    """Not quite a number."""

    def __float__(self) -> float:
        return float("nan")


def nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


def nested_mapping(depth: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(depth):
        made = {"a": made}
    return made


def itself() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def itself_mapping() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["messages"] = made["a"] = made
    return made


def exclude(*_args: Any, **_kwargs: Any) -> Any:
    raise ArithmeticError("raised by the caller's function")


HOSTILE: dict[str, Callable[[], Any]] = {
    "None": lambda: None,
    "True": lambda: True,
    "-1": lambda: -1,
    "0": lambda: 0,
    "1": lambda: 1,
    "2**31": lambda: 1 << 31,
    "2**63 - 1": lambda: (1 << 63) - 1,
    "2**64": lambda: 1 << 64,
    "10**400": lambda: 10**400,
    "10**5000": lambda: 10**5000,
    "-0.0": lambda: -0.0,
    "nan": lambda: float("nan"),
    "inf": lambda: float("inf"),
    "-inf": lambda: float("-inf"),
    "1e308": lambda: 1e308,
    "5e-324": lambda: 5e-324,
    "1j": lambda: 1j,
    "Decimal nan": lambda: Decimal("NaN"),
    "Decimal snan": lambda: Decimal("sNaN"),
    "Decimal 1e999999": lambda: Decimal("1e999999"),
    "Fraction": lambda: Fraction(1, 3),
    "Number": lambda: Number(0.5),
    "empty text": lambda: "",
    "a text": lambda: "router-local-0.5",
    "nan text": lambda: "nan",
    "lone surrogate": lambda: "a\ud800b",
    "zero byte": lambda: "a\0b",
    "bidi": lambda: "\u202eevil\u202c\u2066\u2069\ufeff",
    "line ends": lambda: "a\r\nHost: b\u2028c",
    "long text": lambda: "a, " * 40_000,
    "long digits": lambda: "9" * 10_000,
    "braces": lambda: "{" * 5_000 + "[" * 5_000,
    "path": lambda: "/nonexistent/\ud800/x",
    "device": lambda: "/dev/null",
    "folder": lambda: Path("/"),
    "Text": lambda: Text("local"),
    "bytes": lambda: b"\xff\xfe\x00",
    "json bytes": lambda: b"[" * 500,
    "bytearray": lambda: bytearray(b"{}"),
    "memoryview": lambda: memoryview(b"abcd"),
    "empty list": list,
    "empty dict": dict,
    "empty tuple": tuple,
    "set": lambda: {1, 2},
    "[None]": lambda: [None],
    "[nan]": lambda: [float("nan")],
    "numbers": lambda: [1e308, -1e308, 1e308],
    "[surrogate]": lambda: ["\ud800"],
    "pairs": lambda: [("a", "b"), ("a", "b")],
    "pair": lambda: (-1, 2**40),
    "texts": lambda: ["a", "b"] * 20,
    "ragged": lambda: [[1.0], [1.0, 2.0]],
    "dict of nan": lambda: {"a": float("nan"), "": None, "\ud800": 1},
    "dict of ints": lambda: {1: 2, None: 3},
    "deep list": lambda: nested(20_000),
    "list 900 deep": lambda: nested(900),
    "deep dict": lambda: nested_mapping(20_000),
    "list in itself": itself,
    "dict in itself": itself_mapping,
    "sequence that lies": Lies,
    "mapping that pretends": Pretends,
    "object": object,
    "class": lambda: dict,
    "raises": Raises,
    "function": lambda: exclude,
    "generator": lambda: (i for i in range(3)),
    "date": lambda: datetime.datetime(9999, 12, 31),
    "0-d": lambda: np.array(0.5),
    "no rows": lambda: np.zeros((0, 4)),
    "no columns": lambda: np.zeros((4, 0)),
    "no numbers": lambda: np.zeros(0),
    "floats": lambda: np.linspace(0, 1, 30),
    "floats with nan": lambda: np.array([0.5] * 29 + [np.nan]),
    "floats with inf": lambda: np.array([0.5] * 29 + [np.inf]),
    "matrix with nan": lambda: np.full((30, 2), np.nan),
    "matrix of float32": lambda: np.full((30, 106), np.float32(3e38)),
    "every other": lambda: np.linspace(0, 1, 60)[::2],
    "backwards": lambda: np.linspace(0, 1, 30)[::-1],
    "transposed": lambda: np.zeros((30, 4)).T,
    "other byte order": lambda: np.zeros(30, dtype=">f8"),
    "bools": lambda: np.ones(30, dtype=bool),
    "int64 extremes": lambda: np.array([[-(1 << 63), (1 << 63) - 1, 0]]),
    "uint64": lambda: np.full(30, (1 << 64) - 1, dtype=np.uint64),
    "uint32": lambda: np.full(30, (1 << 32) - 1, dtype=np.uint32),
    "uint8": lambda: np.full(30, 255, dtype=np.uint8),
    "complex": lambda: np.zeros(30, dtype=complex),
    "objects": lambda: np.array([None, "a", 1] * 10, dtype=object),
    "strings": lambda: np.array(["a", "b"]),
    "structure": lambda: np.zeros(30, dtype=[("a", "f8"), ("b", "i4")]),
    "five dimensions": lambda: np.zeros((1, 2, 3, 4, 5)),
    "terabytes of zeros": lambda: np.broadcast_to(np.float64(0), 1 << 40),
    "matrix of terabytes": lambda: np.broadcast_to(np.float32(0), (1 << 38, 4)),
    "masked": lambda: np.ma.masked_array([1.0, 2.0], mask=[True, False]),
    "numpy float": lambda: np.float16("nan"),
    "numpy int": lambda: np.int8(-128),
    "numpy bool": lambda: np.bool_(True),
    "numpy date": lambda: np.datetime64("NaT"),
}
