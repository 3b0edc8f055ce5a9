"""``python -m ferroute.calibrate_threshold``: RouteLLM's program, with its flags and its line, on your own data too.

    python -m ferroute.calibrate_threshold --routers mf --strong-model-pct 0.5

prints ``For 50.0% strong model calls for mf, threshold = ...`` from the win rates that RouteLLM published,
``--win-rates`` from a table of yours, and ``--prompts`` from prompts of yours, which also saves a calibration table.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferroute._imports import import_modules
from ferroute._whole_file import put
from ferroute.errors import FerrouteError, InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ferroute._scores import Scores
    from ferroute.thresholds import Threshold

BATTLES = "lmsys/lmsys-arena-human-preference-55k"
"""The data set of battles that RouteLLM's win rates were computed on."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the program; ``arguments`` are those of this process if None.

    Raises:
        SystemExit: With code 2 where the command was not understood, with a text where it failed.
    """
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.task == "calibrate" and args.strong_model_pct is None:
        parser.error("--strong-model-pct is needed to calibrate: the share of strong calls, such as 0.5")
    if args.strong_model_pct is not None and not 0 <= args.strong_model_pct <= 1:
        parser.error(f"--strong-model-pct: expected a share between 0 and 1, found {args.strong_model_pct}")
    if args.task == "generate" and args.output is None:
        parser.error("--output is needed to generate: a .parquet, .csv or .jsonl file, or owner/name of a Hub data set")
    if args.win_rates is not None and args.prompts is not None:
        parser.error("--win-rates and --prompts contradict each other")
    try:
        import_modules(args.imports)
        if args.task == "generate":
            _generate(args)
        else:
            _calibrate(args)
    except FerrouteError as error:
        sys.stderr.write(f"calibrate_threshold: {error}\n")
        raise SystemExit(1) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m ferroute.calibrate_threshold",
        description="Find the threshold that sends a share of the calls to the strong model. "
        "Higher threshold = fewer strong calls.",
    )
    add = parser.add_argument
    add(
        "--battles_dataset",
        "--battles-dataset",
        default=BATTLES,
        metavar="NAME",
        help="task generate: data set, folder or file whose column `prompt` is scored (%(default)s)",
    )
    add("--config", metavar="YAML", help="arguments of each router, by name")
    add("--routers", nargs="+", default=["random"], metavar="NAME", help="routers to calibrate (random)")
    add("--strong-model-pct", type=float, metavar="SHARE", help="share of strong calls, between 0 and 1")
    add(
        "--task",
        choices=["generate", "calibrate"],
        default="calibrate",
        help="score a data set, or calibrate (default)",
    )
    add(
        "--win-rates",
        metavar="TABLE",
        help="calibrate on this table, a column for each router (.parquet, .arrow, .csv, .jsonl, or a folder of them)",
    )
    add("--prompts", metavar="FILE", help="calibrate on these prompts (.jsonl, .csv, .parquet, .txt)")
    add("--column", metavar="NAME", help="field or column of --prompts that holds the prompt")
    add(
        "--save",
        metavar="PATH",
        help="save the calibration table here, a file or (several routers) a folder; with --prompts it is otherwise "
        "saved where Controllers find it",
    )
    add(
        "--output",
        metavar="PATH",
        help="task generate: write here, .parquet, .csv or .jsonl, or push to this data set of the Hub (owner/name)",
    )
    add(
        "--import",
        dest="imports",
        action="append",
        default=[],
        metavar="MODULE",
        help="import this module first: yours, that adds to ROUTER_CLS",
    )
    return parser


def _note(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _calibrate(args: argparse.Namespace) -> None:
    for scores in _scores(args):
        name = scores.router
        found = scores.threshold(args.strong_model_pct)
        sys.stdout.write(line(name, args.strong_model_pct, found.threshold) + "\n")
        sys.stdout.flush()
        if not scores.sample:
            _note(f"{name}: from {scores.source}")
        elif remark := _remark(scores, found):
            _note(f"{name}: {remark}")
        if args.save is not None or args.prompts is not None:
            _note(f"{name}: calibration table saved to {scores.table().save(_target(args, name))}")


def _remark(scores: Scores, found: Threshold) -> str | None:
    """What is wrong with the threshold as it is printed: rounding may carry it past a score that many prompts have."""
    from ferroute.thresholds import rounded

    shown = rounded(found.threshold)
    share = scores.share(shown)
    if abs(share - found.share) <= found.tolerance:
        return found.note
    return (
        f"many scores are close to {found.threshold!r}, which is printed rounded: at {shown!r} {share:.2%} of the "
        f"calls are strong, where {found.asked:.2%} were asked for; unrounded it is {found.share:.2%}"
    )


def _scores(args: argparse.Namespace) -> Iterator[Scores]:
    """The win rates of each router, one after the other, since each may take long."""
    from ferroute import _scores as sources
    from ferroute._config import read_config

    config = read_config(args.config)
    if args.win_rates is not None:
        yield from sources.of_table(args.win_rates, args.routers).values()
        return
    for name in args.routers:
        if args.prompts is None:
            yield sources.published(name)
            continue
        from ferroute._batch import progress

        with progress(None, f"Scoring with {name}") as advance:
            source = f"prompts of {Path(args.prompts).name}"
            scores = sources.of_prompts(name, _texts(args.prompts, args.column), config, source, advance)
        yield scores


def _texts(path: str, column: str | None) -> Iterator[list[str]]:
    from ferroute.prompts import read_prompts

    for batch in read_prompts(path, column=column):
        yield [text for _row, text in batch]


def _target(args: argparse.Namespace, name: str) -> Path | None:
    """Where the table of a router goes; None: where Controllers find it."""
    if args.save is None:
        return None
    path = Path(args.save)
    if len(args.routers) == 1 and not path.is_dir():
        return path
    if path.suffix:
        raise InvalidValueError(f"--save {path}: expected a folder for the tables of several routers")
    path.mkdir(parents=True, exist_ok=True)
    return path / f"{name}.json"


def line(router: str, share: float, threshold: float) -> str:
    """What RouteLLM prints: Python's own form of both numbers, the threshold to five places.

    Args:
        router: The router's name.
        share: Share of strong calls, 0..=1.
        threshold: The threshold.
    """
    from ferroute.thresholds import rounded

    return f"For {share * 100}% strong model calls for {router}, threshold = {rounded(threshold)}"


def _generate(args: argparse.Namespace) -> None:
    """Scores the first turn of each prompt of a data set of battles, and writes a column for each router."""
    from ferroute import _core, _datasets
    from ferroute import _scores as sources
    from ferroute._batch import progress
    from ferroute._config import read_config

    target = _output(args.output)
    config = read_config(args.config)
    texts: list[str] = []
    for path in _datasets.files(args.battles_dataset):
        texts += sources.first_turns(_core.read_columns(path, ["prompt"])["prompt"], path)
    columns: dict[str, Any] = {"prompt": texts}
    for name in args.routers:
        with progress(len(texts), f"Scoring with {name}") as advance:
            batches = (texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH))
            columns[name] = sources.of_prompts(name, batches, config, args.battles_dataset, advance).values
    if isinstance(target, Path):
        _write(target, columns)
        _note(f"{len(texts):,} prompts, win rates of {', '.join(args.routers)}: written to {target}")
    else:
        _push(target, columns)
        _note(f"{len(texts):,} prompts, win rates of {', '.join(args.routers)}: pushed to the data set {target}")


_BATCH = 1_024


def _output(text: str) -> Path | str:
    """A file, or the name of a data set on the Hub."""
    from ferroute._hub import REPOSITORY

    path = Path(text)
    if path.suffix.lower() in {".parquet", ".csv", ".jsonl"}:
        if not path.parent.is_dir():
            raise InvalidValueError(f"--output {text}: there is no folder {path.parent}")
        return path
    if "/" in text and REPOSITORY.fullmatch(text) and not path.exists():
        return text
    raise InvalidValueError(
        f"--output {text}: expected a file that ends in .parquet, .csv or .jsonl, or owner/name of a data set of "
        "the Hub"
    )


def _write(path: Path, columns: dict[str, Any]) -> None:
    """Writes a table whole or not at all."""
    if path.suffix.lower() == ".parquet":
        from ferroute import _core

        _core.write_columns(path, columns)
        return
    part = path.with_name(f"{path.name}.part")
    try:
        _write_rows(part, columns, csv=path.suffix.lower() == ".csv")
        put(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _write_rows(path: Path, columns: dict[str, Any], *, csv: bool) -> None:
    import csv as csv_module
    import json

    lists: list[list[Any]] = [column if isinstance(column, list) else column.tolist() for column in columns.values()]
    rows = zip(*lists, strict=True)
    # A lone surrogate, which a JSON escape can hold, is no character of any file.
    with path.open("w", encoding="utf-8", errors="replace", newline="") as stream:
        if csv:
            writer = csv_module.writer(stream)
            writer.writerow(columns)
            writer.writerows(rows)
        else:
            stream.writelines(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows)


def _push(repository: str, columns: dict[str, Any]) -> None:
    import tempfile

    import huggingface_hub

    hub: Any = huggingface_hub  # its annotations are not complete
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train-00000-of-00001.parquet")
        _write(path, columns)
        try:
            hub.create_repo(repository, repo_type="dataset", exist_ok=True)
            hub.upload_file(
                path_or_fileobj=path,
                path_in_repo=f"data/{path.name}",
                repo_id=repository,
                repo_type="dataset",
                commit_message="Win rates",
            )
        except Exception as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise InvalidValueError(
                f"--output {repository}: the Hub did not take the data set: {type(error).__name__}: {reason}. A file "
                "name that ends in .parquet keeps the win rates on this disk"
            ) from error


if __name__ == "__main__":
    main()
