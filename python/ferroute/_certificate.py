"""What `ferroute.calibrate.guarantee` returns: a threshold, what is promised of it, and under which assumption."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute._whole_file import write_whole
from ferroute.errors import InvalidValueError, MissingFileError, UnreadableFileError

if TYPE_CHECKING:
    from os import PathLike

RISKS = {
    "net": "on average over all traffic, where prompts the weak model does better offset others",
    "regret": "on average over all traffic, without credit where the weak model does better",
    "weak_routed": "on average over the prompts that the weak model answers",
}
"""What each risk is a mean of, in words."""

_MOST = 1 << 20


@dataclass(frozen=True, repr=False)
class Certificate:
    """A threshold at which quality provably falls by no more than was asked, or the word that there is none.

    Attributes:
        threshold: Strong if the win rate is at least this. 0, which is always strong, where nothing could be certified.
        certified: Whether the weak model may answer anything.
        weak_share: The share of the traffic below the threshold, 0..=1.
        risk_bound: With probability `confidence` the true risk is at most this: `max_quality_loss`, or less where every
            threshold could be certified; 0 where all is strong.
        n: Labelled prompts it rests on: those whose true scores are known.
        risk: What is bounded, ``"net"``, ``"regret"`` or ``"weak_routed"``.
        loss: The risk at the threshold as the labels show it, an estimate.
        labels: Where the labels come from, in words.
        max_quality_loss: What was asked for, in units of the scores.
        confidence: With which probability the promise holds, before the labels are drawn.
        grid: Which thresholds were tested.
        judge: The judge that quality is relative to; None where it is what the user's own or true labels say.
        judged: Prompts of which a judge's opinion alone was used.
        traffic: How many win rates `weak_share` is a share of.
        ceiling: No threshold above it was considered; None: no such limit.
        seed: Of the order in which labels were bet on.
        data: Hash of the win rates and labels.
        created: When, in ISO form and UTC.
        notes: What the reader should know besides.
    """

    threshold: float
    certified: bool
    weak_share: float
    risk_bound: float
    n: int
    risk: str
    loss: float
    labels: str
    max_quality_loss: float
    confidence: float
    grid: str
    judge: str | None
    judged: int
    traffic: int
    ceiling: float | None
    seed: int
    data: str
    created: str
    notes: tuple[str, ...] = ()

    @property
    def bound(self) -> float:
        """`risk_bound` by its short name."""
        return self.risk_bound

    @property
    def assumption(self) -> str:
        """What must be true for the promise to hold, in words."""
        drawn = "the labelled sample"
        if self.ceiling is not None:
            drawn += f", which was drawn by lot among prompts with a win rate below {self.ceiling:.5g}"
        text = (
            f"holds while traffic is exchangeable with {drawn}: the same kinds of prompts in the same mix, the same "
            "router, both models unchanged, answers graded in the same way"
        )
        return text if self.judge is None else f"{text}; quality is what the judge {self.judge} says it is"

    @property
    def scope(self) -> str:
        """What the promise is about, in words."""
        return "covers this one threshold, not the running share form (router-<name>-<pct>%)"

    @property
    def note(self) -> str | None:
        """The notes in one text; None without any."""
        return "; ".join(self.notes) or None

    def save(self, path: str | PathLike[str]) -> Path:
        """Writes the certificate as a JSON file, whole or not at all.

        Raises:
            UnreadableFileError: It cannot be written.
        """
        return write_whole(path, json.dumps(self.as_dict(), allow_nan=False, indent=1) + "\n")

    def as_dict(self) -> dict[str, Any]:
        """The certificate as JSON holds it; `from_dict` reads it."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {"ferroute_certificate": 1, **fields, "notes": list(self.notes), "assumption": self.assumption}

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Certificate:
        """Reads a certificate that `save` wrote.

        Raises:
            MissingFileError: There is no such file.
            UnreadableFileError: It cannot be read.
            InvalidValueError: It holds something else.
        """
        try:
            with Path(path).open("rb") as stream:
                text = stream.read(_MOST + 1)
        except FileNotFoundError:
            raise MissingFileError(f"{os.fspath(path)}: there is no such certificate") from None
        except OSError as error:
            raise UnreadableFileError(f"{os.fspath(path)}: cannot be read: {error}") from error
        try:
            if len(text) > _MOST:
                raise ValueError(f"it is larger than {_MOST >> 20} MiB")
            return cls.from_dict(json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise InvalidValueError(f"{os.fspath(path)}: is not a certificate of ferroute: {error}") from None

    @classmethod
    def from_dict(cls, read: Any) -> Certificate:
        """What `as_dict` gave.

        Raises:
            InvalidValueError: It is something else, or contradicts itself.
        """
        if not isinstance(read, dict) or cast("dict[str, Any]", read).get("ferroute_certificate") != 1:
            raise InvalidValueError("expected an object with ferroute_certificate: 1")
        found = cast("dict[str, Any]", read)
        fields: dict[str, Any] = {}
        for field in dataclasses.fields(cls):
            if field.name not in found:
                raise InvalidValueError(f"expected a value of {field.name}, found none")
            fields[field.name] = _read(field.name, str(field.type), found[field.name])
        certificate = cls(**fields)
        certificate._check()
        return certificate

    def _check(self) -> None:
        parts = ("threshold", "weak_share", "confidence", "max_quality_loss")
        bad = [name for name in parts if not 0 <= getattr(self, name) <= 1]
        if bad:
            raise InvalidValueError(f"{bad[0]}: expected a number between 0 and 1, found {getattr(self, bad[0])}")
        if self.risk not in RISKS:
            raise InvalidValueError(f"risk: expected {', '.join(RISKS)}; found {self.risk!r}")
        if not self.certified and self.threshold > 0:
            raise InvalidValueError(f"expected the threshold 0 where nothing is certified, found {self.threshold}")
        if self.risk_bound > self.max_quality_loss:
            raise InvalidValueError(f"expected a bound of {self.max_quality_loss} at most, found {self.risk_bound}")

    def _lines(self) -> list[str]:
        percent = f"{self.confidence * 100:.4g}%"
        if self.certified:
            head = (
                f"Certificate: where the win rate is below {self.threshold:.5g} the weak model may answer; with "
                f"{percent} confidence quality falls by at most {self.risk_bound:.4g} {RISKS[self.risk]} ({self.risk})"
            )
            seen = (
                f"{self.weak_share * 100:.4g}% of {self.traffic:,} prompts are weak; the loss seen was {self.loss:.4g} "
                f"on {self.n:,} labelled prompts (labels: {self.labels})"
            )
        else:
            head = (
                f"No certificate: with {percent} confidence no threshold keeps the loss of quality at or below "
                f"{self.max_quality_loss:.4g} {RISKS[self.risk]} ({self.risk}), so all prompts go to the strong model "
                "(threshold 0)"
            )
            seen = f"{self.n:,} labelled prompts (labels: {self.labels})"
        more = [self.assumption, self.scope] if self.certified else []
        return [head, seen, *more, *self.notes]

    def __repr__(self) -> str:
        head, *rest = self._lines()
        return "\n".join([head, *(f"  - {line}" for line in rest)])

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        from html import escape

        head, *rest = self._lines()
        items = "".join(f"<li>{escape(line)}</li>" for line in rest)
        return f"<div><strong>{escape(head)}</strong><ul>{items}</ul></div>"


def _read(name: str, kind: str, value: Any) -> Any:
    """A field's value, if it is of the field's kind."""
    if kind == "tuple[str, ...]":
        if isinstance(value, list) and all(isinstance(each, str) for each in cast("list[Any]", value)):
            return tuple(cast("list[str]", value))
    elif value is None and kind.endswith("| None"):
        return None
    elif kind.startswith("float"):
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    elif type(value).__name__ == kind.removesuffix(" | None"):
        return value
    raise InvalidValueError(f"{name}: expected {kind}, found {value!r:.60}")
