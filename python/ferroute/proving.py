"""From logs to a certificate in one call: audit, labels, a router fitted to them, a threshold that is proven.

Without labels `prove` audits the logs and writes down which prompts to label. With them it goes on: one half of the
labels fits a router, the other half, which the router has not seen, certifies a threshold of it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferroute.errors import InvalidValueError, UnreadableFileError

if TYPE_CHECKING:
    from ferroute._certificate import Certificate
    from ferroute.auditing import Audit, Labels
    from ferroute.fitting import Fitted

__all__ = ["Proof", "prove"]

FEWEST = 40
"""Labels below which there is nothing to fit and to certify."""


@dataclass(frozen=True, repr=False)
class Proof:
    """What `prove` found, and the files it wrote.

    Attributes:
        audit: What the logs say.
        folder: Where the files are: ``audit.html`` and ``to_label.jsonl``; with labels ``router.safetensors`` and
            ``certificate.json`` as well.
        router: The fitted router, with its report; None without labels.
        certificate: What is certified of it; None without labels.
    """

    audit: Audit
    folder: Path
    router: Fitted | None = None
    certificate: Certificate | None = None

    def __repr__(self) -> str:
        lines = [repr(self.audit)]
        if self.router is None or self.certificate is None:
            lines.append(
                f"Next: fill in strong_score and weak_score (0..1) in {self.folder / 'to_label.jsonl'}, then call "
                "prove again with labels= that file."
            )
        else:
            lines += [repr(self.router.report), repr(self.certificate), self.usage()]
        return "\n\n".join(lines)

    def usage(self) -> str:
        """How a Controller takes it, as code."""
        if self.certificate is None:
            raise InvalidValueError("there is no certificate yet: prove needs labels=")
        return "\n".join((
            f'client = Controller(["mine"], config={{"mine": {{"path": {str(self.folder / "router.safetensors")!r}}}}},',
            "                    strong_model=..., weak_model=...)",
            f'client.hold("mine", ferroute.calibrate.Certificate.load({str(self.folder / "certificate.json")!r}))',
            'client.chat.completions.create(model="router-mine", messages=[...])',
        ))


def prove(
    logs: str | os.PathLike[str],
    labels: str | os.PathLike[str] | None = None,
    *,
    folder: str | os.PathLike[str] = "proof",
    max_quality_loss: float = 0.05,
    confidence: float = 0.95,
    risk: str = "net",
    k: int = 1000,
    judge: str | None = None,
    seed: int = 0,
    progress_bar: bool = False,
    **audit: Any,
) -> Proof:
    """Audits logs; with labels, fits a router to them and certifies a threshold of it. Nothing leaves the machine.

    Args:
        logs: As for `ferroute.audit`.
        labels: The file ``to_label.jsonl`` of an earlier call with its scores filled in; None: audit only.
        folder: Where the files go; made where it is missing.
        max_quality_loss: How much lower the mean score may be than with the strong model alone, 0..1.
        confidence: That of the certificate.
        risk: ``"net"``, ``"regret"`` or ``"weak_routed"``, as for `ferroute.calibrate.guarantee`.
        k: How many prompts to label.
        judge: Name of the model that gave the scores, where no people did: the certificate is then relative to it.
        seed: Of the draw of prompts and of the halves.
        progress_bar: Shows progress.
        audit: Further arguments of `ferroute.audit`, such as ``format``, ``columns`` or ``to``.

    Raises:
        MissingFileError: There are no such logs or labels.
        UnreadableFileError: A file cannot be read, or the folder not be written to.
        InvalidValueError: There are fewer than 40 labels, or a score is outside of 0..1.
    """
    import ferroute

    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnreadableFileError(f"{target}: cannot be made: {error}") from error
    found = ferroute.audit(logs, k=k, seed=seed, purpose="fit", progress_bar=progress_bar, **audit)
    found.save_html(target / "audit.html")
    if labels is None:
        found.save_labels(target / "to_label.jsonl")
        return Proof(found, target)
    router, certificate = _proven(found, labels, max_quality_loss, confidence, risk, judge, seed, progress_bar)
    router.save(target / "router.safetensors")
    certificate.save(target / "certificate.json")
    return Proof(found, target, router, certificate)


def _proven(
    found: Audit,
    path: str | os.PathLike[str],
    max_quality_loss: float,
    confidence: float,
    risk: str,
    judge: str | None,
    seed: int,
    progress_bar: bool,
) -> tuple[Fitted, Certificate]:
    import numpy as np

    import ferroute
    from ferroute import calibrate
    from ferroute.auditing import read_labels

    labels: Labels = read_labels(path)
    if labels.ceiling is not None:
        raise InvalidValueError(
            f"{path}: these prompts were drawn below a ceiling of another router's win rate, so a fitted router "
            "cannot be certified with them; expected the to_label.jsonl that prove wrote"
        )
    known = np.flatnonzero(np.isfinite(labels.strong) & np.isfinite(labels.weak))
    if known.size < FEWEST:
        raise InvalidValueError(
            f"{path}: expected strong_score and weak_score for at least {FEWEST} prompts, found both for {known.size}"
        )
    order = np.random.default_rng(seed).permutation(known)
    fitting, certifying = order[: known.size // 2], order[known.size // 2 :]
    outcomes = np.stack([labels.strong, labels.weak], axis=1)
    router = ferroute.fit(
        [labels.prompts[i] for i in fitting],
        outcomes[fitting],
        models=["strong", "weak"],
        seed=seed,
        progress_bar=progress_bar,
    )
    # Thresholds come from traffic without labels, so that nothing that was looked at chooses them.
    chosen = set(labels.rows[known].tolist())
    others = [prompt for row, prompt in zip(found.prompt_rows, found.prompts, strict=True) if row not in chosen]
    traffic = router.win_rates(others) if others else None
    certificate = calibrate.guarantee(
        router.win_rates([labels.prompts[i] for i in certifying]),
        labels.strong[certifying],
        labels.weak[certifying],
        max_quality_loss=max_quality_loss,
        confidence=confidence,
        risk=risk,
        traffic=traffic,
        judge=judge,
        seed=seed,
    )
    return router, certificate
