"""Our own ledger as a log."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ferroute.auditing._call import Call, NotACall, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferroute.ledger import Ledger


def records(url: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The ledger's calls, from 1, as dicts of its columns; money in picodollars.

    Raises:
        MissingFileError: There is no such store.
        UnreadableFileError: It cannot be read.
    """
    from ferroute.ledger import Ledger

    with Ledger(url, create=False) as book:
        columns = book.core.calls((None, None, None, None), None)
        scores = _scores(book)
    names = list(columns)
    for row, values in enumerate(zip(*columns.values(), strict=True), start=1):
        record = dict(zip(names, values, strict=True))
        record["scored"] = scores.get(record["id"])
        yield row, record


def _scores(book: Ledger) -> dict[int, dict[str, float]]:
    """Scores of answers by the call's id and the model that gave them; of several sources their mean."""
    found = book.outcomes()
    listed: dict[int, dict[str, list[float]]] = {}
    for call, model, scored, score in zip(*(found[name] for name in ("call", "model", "scored", "score")), strict=True):
        listed.setdefault(call, {}).setdefault(scored or model, []).append(score)
    return {call: {model: sum(all_) / len(all_) for model, all_ in of.items()} for call, of in listed.items()}


def call(record: Any) -> Call:
    """The call of a row.

    Raises:
        NotACall: It brought no answer, or was made beside the caller's own.
    """
    if record["outcome"] in {"failed", "cancelled"}:
        raise NotACall("failed")
    if record["outcome"] != "ok" or record.get("shadow") or str(record["requested"] or "").startswith("judge:"):
        raise NotACall("beside")
    known = bool(record["prompt_tokens"] or record["completion_tokens"])
    local, scored = record["router"] == "local", record["scored"]
    return Call(
        model=record["model"],
        text=record["text"],
        prompt_tokens=record["prompt_tokens"] if known else None,
        completion_tokens=record["completion_tokens"] if known else None,
        cached_tokens=record["cached_tokens"] or None,
        cost=None if record["cost"] is None else Decimal(record["cost"]) / 10**12,
        at=moment(record["ts"]),
        score=None if scored is None else scored.get(record["model"]),
        scored=scored,
        # By default the ledger keeps numbers of the text and not the text; the score of the time then serves.
        win_rate=record["win_rate"] if local else None,
        estimated=bool(record["estimated"]),
    )
