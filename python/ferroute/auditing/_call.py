"""One logged call, whoever logged it, and how the values of logs are read.

Logs are written by many programs, so a value that is not what its name says counts as missing: it is never guessed,
and never makes the reading fail.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, cast

from ferroute.auditing._words import beginning


class NotACall(Exception):
    """A record that is no call to a language model; the text is the kind it was counted under."""


class BrokenRecord(Exception):
    """A record that cannot be read; the text says why."""


class Dropped(Exception):
    """A part of a file that could not be read, beside records that could; the text says which."""


@dataclass(slots=True)
class Call:
    """What an audit reads of a call. None: the log does not say.

    Attributes:
        model: The model that was asked for.
        messages: The request's messages.
        text: The text that is routed on; of messages the last one's.
        prompt_tokens: The whole prompt.
        completion_tokens: The whole completion, hidden reasoning included.
        cached_tokens: The part of the prompt that came from the provider's cache.
        cost: US dollars, as the log has them.
        unread: A cost that the log has and that cannot be read as US dollars.
        at: When it was, in ISO form.
        answer: The answer's text, where its tokens are not known.
        score: How good the answer was.
        strong_score: How good the strong model's answer to this prompt was.
        weak_score: How good the cheaper model's answer was.
        scored: Scores of answers to this prompt, by the model that gave them.
        win_rate: The router's, where the log has no text.
        estimated: The tokens are an estimate.
    """

    model: str | None = None
    messages: list[Any] | None = None
    text: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    cost: Decimal | None = None
    unread: str | None = None
    at: str | None = None
    answer: str | None = None
    score: float | None = None
    strong_score: float | None = None
    weak_score: float | None = None
    scored: dict[str, float] | None = None
    win_rate: float | None = None
    estimated: bool = False

    def settle(self) -> Call:
        """Takes the text from the messages, and estimates tokens that were not counted."""
        if self.model is not None:
            # Names of models are printed; what is no character of a name is left out.
            self.model = beginning(self.model) or None
        if self.text is None and self.messages:
            self.text = last_text(self.messages)
        if self.text is not None and not self.text.strip():
            self.text = None
        if self.cached_tokens is not None and self.cached_tokens > (self.prompt_tokens or 0):
            self.cached_tokens = None
        if self.prompt_tokens is None and self.completion_tokens is None:
            if self.answer is not None:
                self._estimate_prompt()
                self._estimate_answer(self.answer)
        elif self.completion_tokens is None and self.answer:
            self._estimate_answer(self.answer)
        elif self.prompt_tokens is None and self.text is not None:
            self._estimate_prompt()
        return self

    def pay(self, value: Any, currency: Any = None) -> None:
        """Takes the cost that a log has; one that is no amount of US dollars is kept as unread."""
        self.cost, self.unread = money(value), None
        if self.cost is None and not _blank(value):
            self.unread = repr(value)[:40]
        elif self.cost is not None and text(currency) and str(currency).strip().upper() not in _DOLLARS:
            self.cost, self.unread = None, f"{value} {currency}"[:40]

    def _estimate_prompt(self) -> None:
        # The rule of the core: four characters a token, four tokens for each message.
        texts = [last_text([message]) or "" for message in self.messages or []] or [self.text or ""]
        self.prompt_tokens = sum(4 + -(-len(text) // 4) for text in texts)
        self.estimated = True

    def _estimate_answer(self, answer: str) -> None:
        self.completion_tokens = -(-len(answer) // 4)
        self.estimated = True


def path(record: Any, *steps: str) -> Any:
    """``record[steps[0]][steps[1]]...``; None where a step is missing."""
    for step in steps:
        if not isinstance(record, dict):
            return None
        record = cast("dict[str, Any]", record).get(step)
    return record


def first(record: Any, *names: str) -> Any:
    """The first of the fields that is there and not null."""
    if isinstance(record, dict):
        fields = cast("dict[str, Any]", record)
        for name in names:
            value = fields.get(name)
            if value is not None:
                return value
    return None


def number(value: Any) -> float | None:
    """A finite number, also of a text or a boolean."""
    if value is None:
        return None
    if isinstance(value, str):
        value = {"true": 1.0, "false": 0.0}.get(value.strip().lower(), value)
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def whole(value: Any) -> int | None:
    """A count: a number of at least 0."""
    found = number(value)
    return None if found is None or not 0 <= found < 2**53 else int(found)


_DOLLARS = frozenset({"USD", "US$", "$", "US DOLLAR", "US DOLLARS"})
_AMOUNT = re.compile(
    r"\s*(?:US\$|USD|\$)?\s*(\d{1,3}(?:,\d{3})+\.\d+|\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*(?:USD|US\$|\$)?\s*",
    re.IGNORECASE,
)
_DEAREST = 10**9
"""US dollars that no call costs: what is above is damage."""


def money(value: Any) -> Decimal | None:
    """US dollars, exactly as they are written: ``0.5``, ``"$0.50"``, ``"0.50 USD"``, ``"1,234.50"``.

    None for anything else. A comma alone may mean thousands or cents, so ``"0,03"`` is none either.
    """
    if isinstance(value, bool) or not (found := _AMOUNT.fullmatch(str(value))):
        return None
    try:
        amount = Decimal(found[1].replace(",", ""))
    except InvalidOperation:
        return None
    return amount if amount <= _DEAREST else None


def _blank(value: Any) -> bool:
    """Whether a cell says that there is no value."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or str(value).strip().lower() in {"", "nan", "null", "none", "n/a", "na", "-"}


def believed(value: Any, tokens: int | None) -> Any:
    """A cost of a program that writes 0 where it knows no price: 0 for tokens that were counted is not believed."""
    return None if tokens != 0 and money(value) == 0 else value


def currency_of(record: Any) -> Any:
    """What a record says of the currency of its cost."""
    return first(record, "currency", "cost_currency")


_FAILED = frozenset({"error", "failed", "failure", "cancelled", "canceled", "timeout"})


def failed(record: Any) -> bool:
    """Whether a record says that its call brought no answer."""
    error, status = path(record, "error"), first(record, "status", "status_code", "http_status")
    if error and str(error).strip().lower() not in {"null", "none", "false", "nan", "0"}:
        return True
    if str(path(record, "success")).strip().lower() == "false":
        return True
    code = number(status)
    return (code is not None and 400 <= code < 600) or str(status).strip().lower() in _FAILED


def text(value: Any) -> str | None:
    """A text that is not empty."""
    return value if isinstance(value, str) and value else None


def moment(value: Any) -> str | None:
    """A time in ISO form; of numbers seconds, milliseconds, microseconds or nanoseconds since 1970, by their size."""
    import datetime as dt

    since = number(value)
    if since is not None:
        for unit in (1, 1e3, 1e6, 1e9):
            if 3e8 <= since / unit < 1e10:
                return dt.datetime.fromtimestamp(since / unit, dt.timezone.utc).isoformat(timespec="seconds")
        return None
    if not isinstance(value, str):
        return value.isoformat() if isinstance(value, dt.datetime) else None
    # Python 3.10 reads neither the Z nor fractions of more or fewer than six digits; whole seconds are enough here.
    head, rest = value.strip()[:19].replace(" ", "T"), value.strip()[19:]
    zone = rest[-6:] if rest[-6:-5] in {"+", "-"} and rest[-3:-2] == ":" else "+00:00"
    try:
        return dt.datetime.fromisoformat(head + (zone if "T" in head else "")).isoformat()
    except ValueError:
        return None


def last_text(messages: Any) -> str | None:
    """The text that is routed on, as `ferroute.Controller` takes it: the last message's."""
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, list) or not messages:
        return None
    last: Any = cast("list[Any]", messages)[-1]
    if isinstance(last, str):
        return last
    content = first(last, "content", "parts")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = (_part_text(part) for part in cast("list[Any]", content))
        return "\n".join(found for found in texts if found)
    return None


def _part_text(part: Any) -> str | None:
    return text(part) or text(path(part, "text")) or text(path(part, "content"))


def messages_of(value: Any) -> list[Any] | None:
    """Messages, also those that a table keeps as JSON text; a text that is none is the user's message."""
    if isinstance(value, str):
        found = unpacked(value)
        read = None if isinstance(found, str) else _messages_in(found)
        said = found if isinstance(found, str) else value
        return read or ([{"role": "user", "content": said}] if said.strip() else None)
    return _messages_in(value)


def _messages_in(value: Any) -> list[Any] | None:
    if isinstance(value, list):
        listed = cast("list[Any]", value)
        return listed if listed and all(isinstance(each, (dict, str)) for each in listed) else None
    if not isinstance(value, dict):
        return None
    inner = first(value, "messages", "input", "contents", "prompt", "question", "query", "text")
    if inner is not None:
        return messages_of(inner)
    named = cast("dict[str, Any]", value)
    return [named] if "role" in named or "content" in named else None


def unpacked(value: str) -> Any:
    """What a text holds, where it is JSON of an object, a list or a string."""
    import json

    if value[:1] in {"{", "[", '"'}:
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def held(value: Any) -> Any:
    """A nested value, also where a table keeps it as JSON text."""
    return unpacked(value) if isinstance(value, str) else value


def answer_of(value: Any) -> str | None:
    """The text of an answer: OpenAI's response, its message, a list of them, or the text itself."""
    value = held(value)
    if isinstance(value, str):
        return value
    choices = path(value, "choices")
    if isinstance(choices, list) and choices:
        chosen: Any = cast("list[Any]", choices)[0]
        return text(path(chosen, "message", "content")) or text(path(chosen, "text")) or ""
    if isinstance(value, list) or path(value, "content") is not None:
        return last_text(value if isinstance(value, list) else [value])
    return None


def usage_into(call: Call, usage: Any) -> None:
    """Token counts of OpenAI's usage, of Anthropic's, and of those who shorten the names."""
    cached = path(usage, "prompt_tokens_details", "cached_tokens")
    if cached is None:
        cached = path(usage, "input_tokens_details", "cached_tokens")
    call.prompt_tokens = whole(first(usage, "prompt_tokens", "input_tokens", "promptTokens", "input"))
    call.completion_tokens = whole(first(usage, "completion_tokens", "output_tokens", "completionTokens", "output"))
    call.cached_tokens = whole(cached)
    # Anthropic counts what came from its cache, or went into it, beside the input.
    beside = [whole(path(usage, name)) for name in ("cache_read_input_tokens", "cache_creation_input_tokens")]
    if cached is None and any(beside) and path(usage, "input_tokens") is not None:
        call.cached_tokens = beside[0]
        call.prompt_tokens = (call.prompt_tokens or 0) + sum(count or 0 for count in beside)


SCORES = ("score", "reward", "rating", "feedback", "quality")
"""Names under which logs keep how good an answer was."""


def scores_into(call: Call, record: Any) -> None:
    """How good the answer was, and the answers of both models, under their usual names."""
    call.score = next((found for name in SCORES if (found := number(path(record, name))) is not None), None)
    call.strong_score = number(path(record, "strong_score"))
    call.weak_score = number(path(record, "weak_score"))
