"""From logs to a certificate in one call: audit, labels, a router fitted to them, a threshold that is proven.

Without labels `prove` audits the logs and writes down which prompts to label. With them it goes on: one half of the
labels fits a router, the other half, which the router has not seen, certifies a threshold of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ferroute._spend_text import amount
from ferroute.errors import InvalidTypeError, InvalidValueError, UnreadableFileError

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

    from ferroute._certificate import Certificate
    from ferroute.auditing import Audit
    from ferroute.routers.fitted import FittedRouter

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
    router: FittedRouter | None = None
    certificate: Certificate | None = None

    def __repr__(self) -> str:
        if self.router is None or self.certificate is None:
            after = (
                f"Next: fill in strong_score and weak_score (0..1) in {self.folder / 'to_label.jsonl'}, then call "
                "prove again with labels= that file."
            )
            return f"{self.audit!r}\n\n{after}"
        parts = [repr(self.router.report), repr(self.certificate), self.promise(), self.usage()]
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        """The audit and what to do next, or report, certificate, promise and code."""
        from ferroute import _notebook

        if self.router is None or self.certificate is None:
            return _notebook.frame(_notebook.lines(repr(self)))
        shown: tuple[Any, ...] = (self.router.report, self.certificate)
        parts = [each._repr_html_() for each in shown]
        return _notebook.frame(*parts, _notebook.lines(self.promise()), _notebook.lines(self.usage()))

    def promise(self) -> str:
        """What is proven and what that is forecast to save, in a sentence each."""
        certificate, saving = self.certificate, self.audit.saving
        if certificate is None or not certificate.certified:
            return "Nothing is proven: every call stays with the strong model."
        relative = "" if certificate.judge is None else f" by the word of the judge {certificate.judge}"
        proven = (
            f"Proven{relative}: {certificate.weak_share:.1%} of the calls of {self.audit.strong} may go to "
            f"{self.audit.to}, and the mean score falls by at most {certificate.max_quality_loss:g}, with "
            f"{certificate.confidence:.4g} confidence."
        )
        if saving.estimate is None or saving.interval is None:
            why = "a price is not known" if saving.estimate is None else "too few calls would move for an interval"
            return f"{proven}\nForecast: none, since {why}."
        low, high = (amount(end) for end in saving.interval)
        forecast = f"a period like that of the logs then costs {amount(saving.estimate)} less ({low} to {high})"
        return f"{proven}\nForecast: {forecast}."

    def usage(self) -> str:
        """How a Controller takes it, as code.

        Raises:
            InvalidValueError: There is no certificate yet.
        """
        if self.certificate is None:
            raise InvalidValueError("there is no certificate yet: prove needs labels=")
        router, certificate = (str(self.folder / name) for name in ("router.safetensors", "certificate.json"))
        return "\n".join(
            (
                f'client = Controller(["mine"], config={{"mine": {{"path": {router!r}}}}},',
                "                    strong_model=..., weak_model=...)",
                f'client.hold("mine", ferroute.calibrate.Certificate.load({certificate!r}))',
                'client.chat.completions.create(model="router-mine", messages=[...])',
            )
        )


def prove(
    logs: Any,
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
        confidence: That of the certificate, from 0.5 to below 1.
        risk: ``"net"``, ``"regret"`` or ``"weak_routed"``, as for `ferroute.calibrate.guarantee`.
        k: How many prompts to label.
        judge: Name of the model that gave the scores, where no people did: the certificate is then relative to it.
        seed: Of the draw of prompts and of the halves.
        progress_bar: Shows progress.
        audit: Further arguments of `ferroute.audit`: ``format``, ``columns``, ``strong``, ``to``, ``at``.

    Returns:
        What was found, and the certificate where there are labels.

    Raises:
        MissingFileError: There are no such logs or labels.
        UnreadableFileError: A file cannot be read, or the folder not be written to.
        InvalidValueError: There are fewer than 40 labels, they belong to other logs, or a score is outside of 0..1.
        InvalidTypeError: An argument was given that follows from the labels.
    """
    import numpy as np

    import ferroute
    from ferroute import calibrate

    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UnreadableFileError(f"{target}: cannot be made: {error}") from error
    ours = sorted({"confidence", "k", "move", "outcomes", "purpose", "router"} & audit.keys())
    if ours:
        raise InvalidTypeError(f"prove: {', '.join(ours)} cannot be given: it follows from the labels")
    asked: dict[str, Any] = {**audit, "seed": seed, "progress_bar": progress_bar}
    if labels is None:
        found = ferroute.audit(logs, k=k, purpose="fit", **asked)
        found.save_html(target / "audit.html")
        found.save_labels(target / "to_label.jsonl")
        return Proof(found, target)
    known = _known(labels)
    # In halves: a certificate says nothing about labels that the router was fitted to.
    order = np.random.default_rng(seed).permutation(len(known.prompts))
    half = order.size // 2
    fitting: NDArray[np.intp] = order[:half]
    certifying: NDArray[np.intp] = order[half:]
    router = ferroute.fit(
        [known.prompts[int(i)] for i in fitting],
        np.stack([known.strong, known.weak], axis=1)[fitting],
        models=["strong", "weak"],
        seed=seed,
        progress_bar=progress_bar,
    )
    asked |= {"router": router, "k": 0}
    # The outcomes are looked at for one thing here: that they belong to these logs.
    found = ferroute.audit(logs, **asked, outcomes=labels)
    certificate = calibrate.guarantee(
        router.win_rates([known.prompts[int(i)] for i in certifying]),
        known.strong[certifying],
        known.weak[certifying],
        max_quality_loss=max_quality_loss,
        confidence=confidence,
        risk=risk,
        traffic=_others(found, known),
        judge=judge,
        seed=seed,
    )
    # Once more, with what is known now: the share that may move, and the outcomes that fitting has not seen.
    asked |= {"move": certificate.weak_share, "outcomes": _outcomes(found.calls, known, certifying)}
    found = ferroute.audit(logs, **asked)
    found.save_html(target / "audit.html")
    router.save(target / "router.safetensors")
    certificate.save(target / "certificate.json")
    return Proof(found, target, router, certificate)


class _Known(NamedTuple):
    """Prompts with both scores."""

    places: NDArray[np.int64]
    prompts: list[str]
    strong: NDArray[np.float64]
    weak: NDArray[np.float64]


def _known(path: str | os.PathLike[str]) -> _Known:
    import numpy as np

    from ferroute.auditing import read_labels

    labels = read_labels(path)
    if labels.ceiling is not None:
        raise InvalidValueError(
            f"{path}: these prompts were drawn below a ceiling of another router's win rate, so they are no fair "
            "sample for a router that is fitted to them; expected the to_label.jsonl that prove wrote"
        )
    both = np.flatnonzero(np.isfinite(labels.strong) & np.isfinite(labels.weak))
    if both.size < FEWEST:
        raise InvalidValueError(
            f"{path}: expected strong_score and weak_score for at least {FEWEST} prompts, found both for {both.size}"
        )
    prompts = [labels.prompts[i] for i in both]
    return _Known(np.asarray(labels.index)[both], prompts, labels.strong[both], labels.weak[both])


def _outcomes(calls: int, known: _Known, chosen: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Scores of all calls of the logs, NaN beside those chosen."""
    import numpy as np

    out = {"strong": np.full(calls, np.nan), "weak": np.full(calls, np.nan)}
    out["strong"][known.places[chosen]] = known.strong[chosen]
    out["weak"][known.places[chosen]] = known.weak[chosen]
    return out


def _others(found: Audit, known: _Known) -> NDArray[np.float64] | None:
    """Win rates of calls without a label, so that nothing that was judged says how the traffic lies."""
    import numpy as np

    others = found.traffic[~np.isin(found.positions, known.places)]
    return others if others.size else None
