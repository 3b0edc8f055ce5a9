"""``ferroute fit``, ``ferroute certify`` and ``ferroute prove``: what they print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ferroute.cli._output import console, json_line, note
from ferroute.cli._run import UsageProblem
from ferroute.errors import InvalidValueError

if TYPE_CHECKING:
    from pathlib import Path


def fit(
    outcomes: Path, out: Path, strong: str | None, weak: str | None, folds: int, seed: int, *, as_json: bool
) -> None:
    """Fits a router, shows its report, and saves it."""
    import ferroute

    prompts, scores, models = _outcomes(outcomes)
    router = ferroute.fit(
        prompts,
        scores,
        models=models,
        strong=strong,
        weak=weak,
        folds=folds,
        seed=seed,
        progress_bar=sys.stderr.isatty(),
    )
    router.save(out)
    if as_json:
        json_line({**router.report.as_dict(), "path": str(out)})
        return
    _print(router.report)
    note(f"saved to {out}; a Controller takes it from its config: mine: {{path: {out}}}")


def certify(
    path: Path,
    router: str,
    logs: str | None,
    out: Path | None,
    max_loss: float,
    confidence: float,
    risk: str,
    judge: str | None,
    seed: int,
    *,
    as_json: bool,
) -> None:
    """Certifies a threshold of a router with labels, and shows the certificate."""
    import numpy as np

    from ferroute import calibrate
    from ferroute.auditing import read_labels

    labels = read_labels(path)
    if logs is not None:
        import ferroute

        inputs = ferroute.audit(logs, router=router, progress_bar=sys.stderr.isatty()).certificate_inputs(labels)
    elif labels.ceiling is not None:
        raise UsageProblem(
            f"--logs: needed, since {path} was drawn from a part of the calls; expected the audited logs"
        )
    else:
        known = np.isfinite(labels.strong + labels.weak)
        prompts = [prompt for prompt, there in zip(labels.prompts, known, strict=True) if there]
        inputs: dict[str, Any] = {
            "win_rates": _win_rates(router, prompts),
            "strong_scores": labels.strong[known],
            "weak_scores": labels.weak[known],
        }
    certificate = calibrate.guarantee(
        **inputs,
        max_quality_loss=max_loss,
        confidence=confidence,
        risk=risk,
        judge=judge,
        seed=seed,
    )
    if out is not None:
        certificate.save(out)
    if as_json:
        json_line(certificate.as_dict())
        return
    _print(certificate)
    if out is not None:
        note(f"saved to {out}")


def prove(logs: str, labels: Path | None, folder: Path, **arguments: Any) -> None:
    """Goes from logs to labels, or from labels to a certificate."""
    import ferroute

    arguments["max_quality_loss"] = arguments.pop("max_loss")
    found = ferroute.prove(logs, labels, folder=folder, progress_bar=sys.stderr.isatty(), **arguments)
    _print(found)
    for name in ("audit.html", "to_label.jsonl") if labels is None else ("router.safetensors", "certificate.json"):
        note(f"{folder / name} is written")


def _print(value: object) -> None:
    console().print(Text(repr(value)), soft_wrap=True)


def _outcomes(path: Path) -> tuple[list[str], Any, list[str]]:
    """Prompts, scores and models of labels that were filled in, or of any table of outcomes."""
    import numpy as np

    from ferroute import evals
    from ferroute.auditing import is_labels, read_labels

    if is_labels(path):
        labels = read_labels(path)
        return list(labels.prompts), np.stack([labels.strong, labels.weak], axis=1), ["strong", "weak"]
    prompts, scores, models = evals.read_outcomes(path).matrix()
    without = [row for row, prompt in enumerate(prompts) if prompt is None]
    if without:
        raise InvalidValueError(f"{path}: expected a prompt in every row, found none in row {without[0]}")
    return [prompt for prompt in prompts if prompt is not None], scores, models


def _win_rates(router: str, prompts: list[str]) -> Any:
    from ferroute._batch import win_rates
    from ferroute.controller import ROUTER_CLS, build_router

    if router in ROUTER_CLS:
        return win_rates(build_router(router, None), prompts, None)
    import ferroute

    return ferroute.load_router(router).win_rates(prompts)
