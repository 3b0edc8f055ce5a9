"""``ferroute fit``, ``ferroute certify`` and ``ferroute prove``: what they print."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.text import Text

from ferroute.cli._output import console, json_line, note
from ferroute.cli._run import UsageProblem
from ferroute.cli.audit import columns_of
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


def of_logs(
    format: str | None,  # noqa: A002
    column: list[str] | None,
    strong: str | None,
    to: str | None = None,
    at: str | None = None,
) -> dict[str, Any]:
    """What an audit is told of the logs, as far as it is given."""
    given = {"format": format, "columns": columns_of(column or []), "strong": strong, "to": to, "at": at}
    return {name: value for name, value in given.items() if value}


def certify(
    path: Path, name: str, out: Path | None, *, logs: list[str], of_logs: dict[str, Any], as_json: bool, **wanted: Any
) -> None:
    """Certifies a threshold of a router with labels, and shows the certificate."""
    import numpy as np

    from ferroute import calibrate
    from ferroute.auditing import read_labels

    labels, router = read_labels(path), _router(name)
    known = np.isfinite(labels.strong + labels.weak)
    prompts = [prompt for prompt, there in zip(labels.prompts, known, strict=True) if there]
    _refuse_fitted(router, prompts, path)
    if logs:
        import ferroute

        audit = ferroute.audit(one_or_all(logs), router=router, progress_bar=sys.stderr.isatty(), **of_logs)
        inputs = audit.certificate_inputs(labels)
    elif labels.ceiling is not None:
        raise UsageProblem(
            f"--logs: needed, since {path} was drawn from a part of the calls; expected the audited logs"
        )
    else:
        inputs = {
            "win_rates": _win_rates(router, prompts),
            "strong_scores": labels.strong[known],
            "weak_scores": labels.weak[known],
        }
    certificate = calibrate.guarantee(**inputs, **wanted)
    if out is not None:
        certificate.save(out)
    if as_json:
        json_line(certificate.as_dict())
        return
    _print(certificate)
    if out is not None:
        note(f"saved to {out}")


def _refuse_fitted(router: Any, prompts: list[str], path: Path) -> None:
    """Raises where a fitted router has seen labels that are to certify it."""
    seen = getattr(router, "was_fitted_on", None)
    if seen is None or not prompts:
        return
    try:
        count = int(seen(prompts).sum())
    except InvalidValueError as error:
        note(f"whether the router was fitted to these labels is not known: {error}")
        return
    # A text that comes again in the traffic may be in both halves; a file of labels used twice is in both whole.
    if count > len(prompts) // 2:
        raise UsageProblem(
            f"{path}: the router was fitted to {count:,} of these {len(prompts):,} prompts, so they cannot certify it; "
            "expected labels that it has not seen (ferroute prove keeps one half of them apart)"
        )


def prove(logs: list[str], labels: Path | None, folder: Path, **arguments: Any) -> None:
    """Goes from logs to labels, or from labels to a certificate."""
    import ferroute

    found = ferroute.prove(one_or_all(logs), labels, folder=folder, progress_bar=sys.stderr.isatty(), **arguments)
    _print(found)
    for name in ("audit.html", "to_label.jsonl") if labels is None else ("router.safetensors", "certificate.json"):
        note(f"{folder / name} is written")


def one_or_all(logs: list[str]) -> str | list[str]:
    """A single log as it is."""
    return logs[0] if len(logs) == 1 else logs


def _print(value: object) -> None:
    console().print(Text(repr(value)), soft_wrap=True)


def _outcomes(path: Path) -> tuple[list[str], Any, list[str]]:
    """Prompts, scores and models of labels that were filled in, or of any table of outcomes."""
    import numpy as np

    from ferroute import evals
    from ferroute.auditing import is_labels, read_labels

    if is_labels(path):
        labels = read_labels(path)
        if labels.ceiling is not None:
            note(
                f"{path} was drawn below a win rate of {labels.ceiling:.4f}: the router, and what is said of it, "
                "are for such prompts; ferroute audit --purpose fit draws from all of them"
            )
        return list(labels.prompts), np.stack([labels.strong, labels.weak], axis=1), ["strong", "weak"]
    prompts, scores, models = evals.read_outcomes(path).matrix()
    without = [row for row, prompt in enumerate(prompts) if prompt is None]
    if without:
        raise InvalidValueError(f"{path}: expected a prompt in every row, found none in row {without[0]}")
    return [prompt for prompt in prompts if prompt is not None], scores, models


def _router(name: str) -> Any:
    """The router of a name, or of the file of a fitted one."""
    import ferroute
    from ferroute.controller import ROUTER_CLS, build_router

    return build_router(name, None) if name in ROUTER_CLS else ferroute.load_router(name)


def _win_rates(router: Any, prompts: list[str]) -> Any:
    from ferroute._batch import win_rates

    return win_rates(router, prompts, None)
