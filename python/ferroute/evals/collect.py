"""Ask two models the same prompts, mark their answers, keep the outcomes: what routers are judged on.

Every row is written as soon as it is done, so an interrupted run goes on where it stopped; a row that failed keeps its
error and is asked again next time. Calls go the Controller's way (``ferroute.controller.acompletion``).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute import _core, controller
from ferroute._grid import AsText
from ferroute._whole_file import put
from ferroute.errors import InvalidTypeError, InvalidValueError, UnreadableFileError
from ferroute.evals import scoring

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
    from os import PathLike

    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
    from typing_extensions import Self

    from ferroute.evals.benchmarks import Table

__all__ = ["Collected", "acollect", "collect"]

SIDES = ("strong", "weak")

TEXTS = (
    "prompt",
    "reference",
    "strong_model",
    "weak_model",
    "strong_answer",
    "weak_answer",
    "score",
    "settings",
    "error",
)
NUMBERS = (
    "row",
    "strong",
    "weak",
    "strong_cost",
    "weak_cost",
    "strong_prompt_tokens",
    "strong_completion_tokens",
    "weak_prompt_tokens",
    "weak_completion_tokens",
)


_NEEDED = {"row", "prompt", "strong_model", "weak_model"}
"""What every row of outcomes has."""

_ASIDE = {"model", "api_key", "api_base", "base_url", "timeout", "max_retries", "extra_headers", "organization"}
"""Options that change no answer, or must not be written down."""


@dataclass
class Collected(AsText):
    """Outcomes of the prompts, in their order.

    Attributes:
        rows: One dict a prompt: ``row``, ``prompt``, ``reference``, ``strong`` and ``weak`` (scores), ``strong_cost``
            and ``weak_cost`` (dollars, None where the price is unknown), ``strong_model`` ..., token counts, the
            answers if they are kept, ``score`` (how they were marked), ``settings`` (a hash of the system message and
            the options), and ``error`` (None where all went well).
    """

    rows: list[dict[str, Any]]

    @property
    def errors(self) -> list[dict[str, Any]]:
        """The rows that failed."""
        return [row for row in self.rows if row["error"] is not None]

    def table(self) -> Table:
        """The outcomes as a benchmark.

        Raises:
            InvalidValueError: No row has both scores.
        """
        from ferroute.decision import ModelPair
        from ferroute.evals.benchmarks import Table

        names = {side: next((r[f"{side}_model"] for r in self.rows), side) for side in SIDES}
        return Table(columns_of(self.rows), ModelPair(**names), name="collected")

    def to_pandas(self) -> pd.DataFrame:
        """The rows as a frame."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        return pd.DataFrame(self.rows)

    def __repr__(self) -> str:
        return f"<{len(self.rows):,} outcomes, {len(self.errors):,} of them failed>"


def collect(
    prompts: Sequence[str],
    strong_model: str | Mapping[str, Any],
    weak_model: str | Mapping[str, Any],
    score: str | scoring.Scorer,
    *,
    references: Sequence[str | None] | None = None,
    output: str | PathLike[str] | None = None,
    concurrency: int = 8,
    keep_answers: bool = False,
    system: str | None = None,
    progress: bool = True,
    **options: Any,
) -> Collected:
    """Asks both models every prompt and marks the answers.

    Args:
        prompts: The prompts.
        strong_model: A name, or a mapping ``{"model": ..., "api_base": ..., "api_key": ...}``.
        weak_model: The same for the weak model.
        score: ``"exact"``, ``"contains"``, ``"choice"``, ``"number"``, ``"regex"``, ``"regex:PATTERN"``,
            ``"judge:MODEL"``, or a function of prompt, answer and reference that returns a number (it may be async).
        references: The right answer of each prompt, where the score needs one.
        output: ``.jsonl`` or ``.parquet``; an earlier run's rows of the same prompts, models, score, references, system
            message and options are kept. Rows beyond these prompts stay in the file.
        concurrency: Calls in flight at most.
        keep_answers: Keep the texts of the answers.
        system: A system message before every prompt.
        progress: Show a progress bar.
        **options: Passed to every call, such as ``temperature=0`` or ``max_tokens=512``.

    Returns:
        The outcomes; ``.table()`` is a benchmark to evaluate routers on.

    Raises:
        InvalidValueError: The output holds something else than outcomes, or those of other prompts, models, scores,
            references, system messages or options; a score without references.
        UnreadableFileError: The output cannot be written.
    """
    work = acollect(
        prompts,
        strong_model,
        weak_model,
        score,
        references=references,
        output=output,
        concurrency=concurrency,
        keep_answers=keep_answers,
        system=system,
        progress=progress,
        **options,
    )
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        # A notebook has a loop of its own, which cannot be entered twice.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, work).result()
    return asyncio.run(work)


async def acollect(
    prompts: Sequence[str],
    strong_model: str | Mapping[str, Any],
    weak_model: str | Mapping[str, Any],
    score: str | scoring.Scorer,
    *,
    references: Sequence[str | None] | None = None,
    output: str | PathLike[str] | None = None,
    concurrency: int = 8,
    keep_answers: bool = False,
    system: str | None = None,
    progress: bool = True,
    **options: Any,
) -> Collected:
    """As `collect`, for asyncio.

    Args:
        prompts: As in `collect`.
        strong_model: As in `collect`.
        weak_model: As in `collect`.
        score: As in `collect`.
        references: As in `collect`.
        output: As in `collect`.
        concurrency: As in `collect`.
        keep_answers: As in `collect`.
        system: As in `collect`.
        progress: As in `collect`.
        **options: As in `collect`.

    Raises:
        InvalidValueError: As in `collect`.
    """
    texts = _checked(prompts, references, score)
    if concurrency < 1:
        raise InvalidValueError(f"concurrency: expected 1 or more, found {concurrency}")
    models = {"strong": _model("strong_model", strong_model), "weak": _model("weak_model", weak_model)}
    run = _Run(models, asyncio.Semaphore(concurrency), system, options, keep_answers)
    run.scorer = _scorer(score, run)
    store = Store(None if output is None else Path(output))
    same = {f"{side}_model": models[side]["model"] for side in SIDES}
    same |= {"score": _name(score), "settings": _settings(system, options, models)}
    run.about = same
    rows = store.earlier(texts, references, same)
    waiting = [row for row in range(len(texts)) if row not in rows]
    queue = iter(waiting)
    with store, _bar(len(texts), len(texts) - len(waiting), progress) as advance:

        async def worker() -> None:
            for row in queue:
                reference = None if references is None else references[row]
                rows[row] = done = await run.row(row, texts[row], reference)
                store.add(done)
                advance(1)

        await _all([worker() for _ in range(min(concurrency, len(waiting)))])
    collected = Collected([rows[row] for row in range(len(texts))])
    store.finish(collected.rows)
    return collected


async def _all(work: list[Awaitable[None]]) -> None:
    """Runs everything; the first failure (a bug, or no room on the disk) ends the rest."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


@dataclass
class _Run:
    """Everything that is the same for all rows."""

    models: dict[str, dict[str, Any]]
    room: asyncio.Semaphore
    system: str | None
    options: dict[str, Any]
    keep_answers: bool
    scorer: Any = None
    about: Mapping[str, str] | None = None

    async def row(self, row: int, prompt: str, reference: str | None) -> dict[str, Any]:
        """Both answers with their marks; whatever goes wrong is part of the row."""
        done: dict[str, Any] = {"row": row, "prompt": prompt, "reference": reference}
        done |= dict.fromkeys(SIDES)
        done |= self.about or {}
        sides = await asyncio.gather(*(self._side(side, prompt, reference) for side in SIDES))
        done["error"] = "; ".join(error for _, error in sides if error) or None
        for found, _ in sides:
            done |= found
        return done

    async def _side(self, side: str, prompt: str, reference: str | None) -> tuple[dict[str, Any], str | None]:
        found: dict[str, Any] = {}
        try:
            answer, usage = await self.ask(self.models[side], prompt, self.system, self.options)
            found |= _spent(side, self.models[side]["model"], usage)
            if self.keep_answers:
                found[f"{side}_answer"] = answer
            mark = self.scorer(prompt, answer, reference)
            mark = float(await mark if inspect.isawaitable(mark) else mark)
            if not math.isfinite(mark):
                raise InvalidValueError(f"the score is {mark}")
            found[side] = mark
        except Exception as error:
            return found, f"{side}: {type(error).__name__}: {error}"
        return found, None

    async def ask(
        self, model: Mapping[str, Any], prompt: str, system: str | None, options: Mapping[str, Any]
    ) -> tuple[str, Any]:
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": prompt})
        async with self.room:
            response = await controller.acompletion(**{**options, **model, "messages": messages})
        return response.choices[0].message.content or "", response.usage


def _spent(side: str, model: str, usage: Any) -> dict[str, Any]:
    """Tokens and dollars of one call; a price that is not known is None."""
    from ferroute import pricing

    found: dict[str, Any] = {f"{side}_cost": None}
    if usage is None:
        return found
    tokens = int(usage.prompt_tokens or 0), int(usage.completion_tokens or 0)
    found |= {f"{side}_prompt_tokens": tokens[0], f"{side}_completion_tokens": tokens[1]}
    if pricing.price(model) is not None:  # without a warning for each call
        try:
            cost = pricing.breakdown(model, usage)
        except InvalidValueError:  # details that contradict the totals
            cost = pricing.breakdown(model, input_tokens=tokens[0], output_tokens=tokens[1])
        found[f"{side}_cost"] = None if cost is None else float(cost.total)
    return found


def _scorer(score: str | scoring.Scorer, run: _Run) -> scoring.Scorer:
    if not isinstance(score, str):
        return score
    if score in scoring.SIMPLE:
        return scoring.SIMPLE[score]
    kind, colon, rest = score.partition(":")
    if kind == "regex" and (rest or not colon):
        return scoring.regex(rest or None)
    if kind == "judge":
        model = _model("judge", rest) if rest else run.models["strong"]

        async def ask(question: str) -> str:
            return (await run.ask(model, question, None, {"temperature": 0}))[0]

        return scoring.judge(ask)
    raise InvalidValueError(f"score: expected one of {', '.join(scoring.NAMES)}, or a function; found {score!r}")


def _name(score: str | scoring.Scorer) -> str:
    """What rows say of how they were marked; of a function also what it was written as."""
    if isinstance(score, str):
        return score
    name = getattr(score, "__qualname__", type(score).__qualname__)
    try:
        source = inspect.getsource(score)
    except (OSError, TypeError):
        source = ""
    return f"{getattr(score, '__module__', '')}.{name} {hashlib.sha256(source.encode()).hexdigest()[:8]}"


def _settings(system: str | None, options: Mapping[str, Any], models: Mapping[str, Mapping[str, Any]]) -> str:
    """A hash of what else answers depend on."""

    def plain(given: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in given.items() if key not in _ASIDE}

    told = [system or None, plain(options), *(plain(models[side]) for side in SIDES)]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=repr).encode()).hexdigest()[:16]


def _checked(prompts: Sequence[str], references: Sequence[str | None] | None, score: Any) -> list[str]:
    if isinstance(prompts, (str, bytes)):
        raise InvalidTypeError("prompts is a list of strings; found a single string")
    texts = list(prompts)
    for row, text in enumerate(texts):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers' code is not checked
            raise InvalidTypeError(f"prompt {row} is a string, found {type(text).__name__}")
    if not texts:
        raise InvalidValueError("there is no prompt to ask")
    if references is not None and len(references) != len(texts):
        raise InvalidValueError(f"expected {len(texts)} references, one for each prompt, found {len(references)}")
    if references is None and scoring.needs_reference(score):
        raise InvalidValueError(f"score {score!r} compares with references: give the right answers")
    if not callable(score) and not isinstance(score, str):
        raise InvalidTypeError(f"score is a name or a function, found {type(score).__name__}")
    return texts


def _model(what: str, model: str | Mapping[str, Any]) -> dict[str, Any]:
    given: dict[str, Any] = {"model": model} if isinstance(model, str) else dict(model)
    if not isinstance(given.get("model"), str) or not given["model"]:
        raise InvalidValueError(f'{what}: expected a name or a mapping with "model", found {model!r:.60}')
    return given


class Store:
    """The file of outcomes: one JSON object a line while the work goes on, its final form at the end."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._file: Any = None
        self._log: Path | None = None
        self._beyond: dict[int, dict[str, Any]] = {}
        if path is None:
            return
        if path.suffix not in {".jsonl", ".ndjson", ".parquet"}:
            raise InvalidValueError(f"{path}: expected a name that ends in .jsonl or .parquet")
        if not path.parent.is_dir():
            raise InvalidValueError(f"{path}: there is no folder {path.parent}")
        if path.is_dir():
            raise InvalidValueError(f"{path}: is a folder, expected a file")
        self._log = path.with_name(path.name + ".rows.jsonl") if path.suffix == ".parquet" else path

    def __enter__(self) -> Self:
        if self._log is not None:
            _end_last_line(self._log)
            try:
                self._file = self._log.open("a", encoding="utf-8")
            except OSError as error:
                raise UnreadableFileError(f"{self._log}: cannot be written: {error}") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def earlier(
        self, texts: Sequence[str], references: Sequence[str | None] | None, same: Mapping[str, str]
    ) -> dict[int, dict[str, Any]]:
        """The rows of earlier runs that went well. Rows beyond ``texts`` are left as they are.

        Raises:
            InvalidValueError: They are of other prompts, references, or of something else than ``same``; or the file
                holds something that is no outcome.
        """
        found: dict[int, dict[str, Any]] = {}
        for kept in self._rows():
            # A column without a value is not in a table.
            row: dict[str, Any] = kept | {name: kept.get(name) for name in ("reference", "error", *SIDES)}
            number: int = row["row"]
            if number < len(texts) and _plain(row["prompt"]) != _plain(texts[number]):
                raise InvalidValueError(
                    f"{self.path} holds outcomes of other prompts (row {number}); name another file"
                )
            failed = row["error"] is not None
            self._compare(row, same, failed)
            if number >= len(texts):
                self._beyond[number] = row
            elif failed:
                found.pop(number, None)
            else:
                reference = None if references is None else references[number]
                if _told(row["reference"]) != _told(reference):
                    raise InvalidValueError(
                        f"{self.path}: row {number} was marked with the reference {row['reference']!r:.60}, not "
                        f"{reference!r:.60}; name another file"
                    )
                found[number] = row
        return found

    def _compare(self, row: Mapping[str, Any], same: Mapping[str, str], failed: bool) -> None:
        for name in (f"{side}_model" for side in SIDES):
            if row[name] != same[name]:
                raise InvalidValueError(
                    f"{self.path} holds outcomes of {row[name]!r}, not {same[name]!r}: name another file"
                )
        if failed:
            return  # it is asked again
        if row.get("score") != same["score"]:
            raise InvalidValueError(
                f"{self.path} holds outcomes marked with {row.get('score')!r}, not {same['score']!r}; name another file"
            )
        if row.get("settings") != same["settings"]:
            raise InvalidValueError(
                f"{self.path} holds answers to another system message or with other options; name another file"
            )

    def _rows(self) -> Iterator[dict[str, Any]]:
        if self.path is not None and self.path.suffix == ".parquet" and self.path.exists():
            columns: dict[str, Any] = _core.read_columns(self.path)
            rows = len(next(iter(columns.values()), ()))
            for i in range(rows):
                yield _outcome({name: _value(values[i]) for name, values in columns.items()}, self.path, i)
            if not rows and not columns.keys() >= _NEEDED:
                raise _no_outcomes(self.path, 0)
        if self._log is not None and self._log.exists():
            with self._log.open(encoding="utf-8", errors="replace") as file:
                for number, line in enumerate(file):
                    if not line.strip():
                        continue
                    try:
                        row = json.loads(line)
                    except (ValueError, RecursionError):
                        # The last line of a run that was killed may be half a line.
                        if line.startswith(_BEGINNING) or _BEGINNING.startswith(line):
                            continue
                        raise _no_outcomes(self._log, number) from None
                    yield _outcome(row, self._log, number)

    def add(self, row: dict[str, Any]) -> None:
        """Keeps a row, now."""
        if self._file is not None:
            self._file.write(json.dumps(row, ensure_ascii=True) + "\n")
            self._file.flush()

    def finish(self, rows: list[dict[str, Any]]) -> None:
        """Puts the rows in order, each once."""
        if self.path is None or self._log is None:
            return
        rows = rows + [self._beyond[number] for number in sorted(self._beyond)]
        part = self.path.with_name(self.path.name + ".part")
        if self.path.suffix == ".parquet":
            _core.write_columns(part, columns_of(rows))
        else:
            with part.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
        put(part, self.path)
        if self._log != self.path:
            self._log.unlink(missing_ok=True)


_BEGINNING = '{"row": '
"""How a line begins, see `_Run.row`."""


def _outcome(row: Any, path: Path, number: int) -> dict[str, Any]:
    """A row that is one of outcomes.

    Raises:
        InvalidValueError: It is not: the file is somebody else's, and stays as it is.
    """
    found = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    if (
        not found.keys() >= _NEEDED
        or type(found["row"]) is not int
        or found["row"] < 0
        or not all(isinstance(found[name], str) for name in _NEEDED - {"row"})
    ):
        raise _no_outcomes(path, number)
    return found


def _no_outcomes(path: Path, number: int) -> InvalidValueError:
    return InvalidValueError(
        f"{path}: row {number + 1} is no outcome of an earlier run; the file was left as it is, name another"
    )


def _plain(text: str) -> str:
    """A text as a table holds it: a lone surrogate is no character there."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


def _told(reference: Any) -> str:
    return _plain(json.dumps(reference, ensure_ascii=False, default=repr))


def _end_last_line(path: Path) -> None:
    """A run that was killed may have left half a line: what comes next begins on a new one."""
    with contextlib.suppress(OSError), path.open("rb+") as file:
        if file.seek(0, 2):
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The rows as columns: texts with None, numbers with NaN; columns without a value are left out."""
    import numpy as np

    columns: dict[str, Any] = {}
    for name in TEXTS:
        values = [row.get(name) for row in rows]
        if any(value is not None for value in values):
            columns[name] = values
    for name in NUMBERS:
        values = [row.get(name) for row in rows]
        if name in SIDES or any(value is not None for value in values):
            columns[name] = np.array([math.nan if v is None else float(v) for v in values], dtype=np.float64)
    return columns


def _value(value: Any) -> Any:
    """A cell as JSON would have it."""
    if value is None or isinstance(value, str):
        return value
    number = float(value)
    if math.isnan(number):
        return None
    return int(number) if number.is_integer() else number


@contextlib.contextmanager
def _bar(total: int, done: int, wanted: bool) -> Generator[Callable[[int], object]]:
    if not wanted:
        yield lambda _done: None
        return
    from ferroute._progress import bar_class

    with bar_class()(total=total, initial=done, desc="Asking both models", unit="prompt") as bar:
        yield bar.update
