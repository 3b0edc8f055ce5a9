"""What ferroute raises, and what each class also is, so that existing ``except`` clauses keep working.

`RoutingError` lives in `ferroute.controller`, as in RouteLLM, and derives from `Exception` alone. Failed calls to a
provider are the classes of the `openai` package, with the provider's own status and body. Those of a stream that broke
carry what had come until then: ``partial_text`` (of the first choice) and ``partial_usage`` (an OpenAI usage object, or
None). All of them carry ``routing``, the decision behind the call.
"""

from __future__ import annotations


class FerrouteError(Exception):
    """Everything ferroute raises by itself, but for `RoutingError` and the `openai` classes."""


class InvalidValueError(FerrouteError, ValueError):
    """A value outside what was expected; the message says what that was."""


class CountMismatchError(InvalidValueError, AssertionError):
    """Not one embedding for each battle that is kept (RouteLLM asserts it, hence also an `AssertionError`)."""


class InvalidTypeError(FerrouteError, TypeError):
    """A value of the wrong type."""


class UnknownNameError(FerrouteError, KeyError):
    """A name that is in no table: a model id, a router, a provider."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0]) if self.args else ""


class MissingFileError(FerrouteError, FileNotFoundError):
    """A file or folder that is not there."""


class UnreadableFileError(FerrouteError, OSError):
    """A file that could not be read or written."""


class CheckpointError(InvalidValueError):
    """A checkpoint whose tensors do not fit; the message names the tensor."""


class NotBuiltError(FerrouteError, NotImplementedError):
    """Something this version does not have yet; the message says what to use instead."""


class DeniedError(FerrouteError):
    """A policy of the gateway does not allow it: a key, a limit, a budget."""


class ProviderFailure(FerrouteError):  # a carrier, not an error anybody catches
    """A failed call as the core reports it; `ferroute.completions` turns it into the `openai` class callers catch.

    ``args[0]`` is a dict: ``kind``, ``message`` and, where a provider answered, ``status``, ``headers``, ``body``; of a
    stream that broke also ``partial_text`` and ``partial_tokens``; of a call without an answer ``account``, as
    `ferroute.decision.settled` takes it.
    """


class DroppedParameterWarning(UserWarning):
    """A parameter that the model does not take was left out; ``CallPolicy(strict=True)`` makes that an error."""


class RetiringModelWarning(UserWarning):
    """A Controller was made with a model that its provider has shut down, or will within six months.

    Once for a name and process. The message has the day, the source of it and, where one is known, a model that lives
    longer. A model behind a base URL of your own is not spoken of.
    """
