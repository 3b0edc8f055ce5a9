"""What the doctor says: findings, and the report that holds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    import datetime as dt

Severity = Literal["error", "warning", "note"]
ORDER: tuple[Severity, ...] = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing to know.

    Attributes:
        severity: ``error``: it does not work, or not for long; ``warning``: it may not do what is meant; ``note``:
            worth knowing.
        kind: ``model``, ``routellm``, ``patch``, ``threshold``, ``installation``, ``key`` or ``file``.
        what: What was found.
        why: Why it matters.
        todo: What to do; empty where there is nothing.
        path: The file; empty for the installation.
        line: Its line, from 1; in a notebook the line of the cell. None: the file as a whole.
        cell: In a notebook the cell, from 1.
    """

    severity: Severity
    kind: str
    what: str
    why: str
    todo: str = ""
    path: str = ""
    line: int | None = None
    cell: int | None = None

    @property
    def where(self) -> str:
        """``file:line``, for notebooks ``file:cell N:line``."""
        if not self.path:
            return "this installation"
        parts = [self.path, *([f"cell {self.cell}"] if self.cell else []), *([str(self.line)] if self.line else [])]
        return ":".join(parts)

    def order(self) -> tuple[Any, ...]:
        """Errors first, then by place."""
        return ORDER.index(self.severity), self.path, self.cell or 0, self.line or 0, self.kind, self.what

    def __str__(self) -> str:
        todo = f" {self.todo}." if self.todo else ""
        return f"{self.where}: {self.severity}: {self.what}. {self.why}.{todo}"


class Seen(NamedTuple):
    """What was looked at.

    Attributes:
        files: Number of files read, by ending.
        left_out: Number of files that were not, by reason.
        complete: False where the time was over, or there were too many files.
    """

    files: dict[str, int]
    left_out: dict[str, int]
    complete: bool

    def __str__(self) -> str:
        count = sum(self.files.values())
        kinds = ", ".join(f"{n} {kind}" for kind, n in sorted(self.files.items(), key=lambda each: (-each[1], each[0])))
        text = f"{count} file{'s'[: count != 1]}" + (f" ({kinds})" if kinds else "")
        if self.left_out:
            text += "; left out: " + ", ".join(f"{n} {why}" for why, n in sorted(self.left_out.items()))
        return text if self.complete else f"{text}; stopped early, so there may be more"


@dataclass(frozen=True)
class Report:
    """All of it.

    Attributes:
        project: The folder or file.
        findings: Errors first.
        seen: What was looked at.
        installation: Whether the installed packages were.
        day: The day that ends of models were held against.
    """

    project: str
    findings: tuple[Finding, ...]
    seen: Seen
    installation: bool
    day: dt.date

    @property
    def ok(self) -> bool:
        """Whether nothing is an error."""
        return self.count("error") == 0

    def count(self, severity: Severity) -> int:
        """Number of findings of a severity.

        Args:
            severity: ``error``, ``warning`` or ``note``.

        Returns:
            How many there are, 0 or more.
        """
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def summary(self) -> str:
        """One line: how the patient is."""
        errors, warnings, notes = (self.count(severity) for severity in ORDER)
        parts = [
            f"{n} {word}{'s'[: n != 1]}" for n, word in ((errors, "error"), (warnings, "warning"), (notes, "note")) if n
        ]
        if errors:
            return f"{', '.join(parts)}. Treat the errors first; the rest can wait."
        if warnings:
            return f"{', '.join(parts)}. Nothing broken; worth a look."
        if notes:
            return f"{', '.join(parts)}. Fit for work."
        return "Nothing found. In good health."

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "ok": self.ok,
            "project": self.project,
            "today": str(self.day),
            "counts": {severity: self.count(severity) for severity in ORDER},
            "looked_at": {**self.seen._asdict(), "installation": self.installation},
            "findings": [{"where": finding.where, **asdict(finding)} for finding in self.findings],
        }

    def __str__(self) -> str:
        looked = f"looked at {self.project}: {self.seen}" + ("; this installation" if self.installation else "")
        return "\n".join([*map(str, self.findings), looked, self.summary])
