"""What one call says to the code beneath it, in context variables that follow `asyncio.to_thread` and tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from contextvars import ContextVar, Token

T = TypeVar("T")


class Holding(Generic[T]):
    """``with Holding(variable, value):`` the variable has that value as long as the block runs.

    A class, since a generator's context manager would cost a decision a microsecond more.
    """

    __slots__ = ("_token", "_value", "_variable")

    def __init__(self, variable: ContextVar[T], value: T) -> None:
        self._variable = variable
        self._value = value

    def __enter__(self) -> T:
        self._token: Token[T] = self._variable.set(self._value)
        return self._value

    def __exit__(self, *_: object) -> None:
        self._variable.reset(self._token)
