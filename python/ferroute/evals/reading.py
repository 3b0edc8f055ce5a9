"""Outcomes from local files: published benchmarks of routers in their own layouts, and plain tables.

The layout is found out from the file itself; nothing is downloaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ferroute.errors import InvalidValueError, MissingFileError, UnknownNameError
from ferroute.evals._readers import embedllm, llmrouterbench, plain, routerarena, routerbench
from ferroute.evals._readers._source import Source, readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from ferroute.evals.outcome_table import OutcomeTable

__all__ = ["LAYOUTS", "read_outcomes"]


class Reader(Protocol):
    """A layout: a module with these two functions."""

    def detects(self, source: Source) -> bool:
        """Whether a file or folder looks like this layout."""
        ...

    def read(self, source: Source) -> OutcomeTable:
        """The table in it."""
        ...


# The plain table comes last: it is what a file is taken for when it is nothing else.
_READERS: dict[str, Reader] = {
    "routerbench": routerbench,
    "llmrouterbench": llmrouterbench,
    "embedllm": embedllm,
    "routerarena": routerarena,
    "plain": plain,
}
LAYOUTS = tuple(_READERS)
"""Names of the layouts."""


def read_outcomes(
    path: str | PathLike[str],
    layout: str | None = None,
    *,
    models: Sequence[str] | None = None,
    columns: Mapping[str, str] | None = None,
    allow_pickle: bool = False,
) -> OutcomeTable:
    """Reads outcomes of prompts under models from a local file or folder.

    Layouts:
        - ``"routerbench"``: RouterBench (Hu et al. 2024, arXiv:2403.12031), the wide table of ``routerbench_0shot.pkl``
          and its kin as pickle, CSV or Parquet: ``sample_id``, ``prompt``, ``eval_name``, and for each model its score
          under its name and ``<model>|total_cost``.
        - ``"llmrouterbench"``: LLMRouterBench (arXiv:2601.07206), a folder ``<data set>/<split>/<model>/*.json`` (or
          one of these files) with ``records`` of ``prompt``, ``score``, ``cost``, ``prompt_tokens``,
          ``completion_tokens``; of several runs the last one counts, trial runs (``demo``) do not.
        - ``"embedllm"``: EmbedLLM (Zhuang et al. 2024, arXiv:2410.02223), ``train.csv``, ``val.csv``, ``test.csv`` or
          their folder, with ``prompt_id``, ``model_name`` (else ``model_id``), ``prompt``, ``label``, ``category``.
        - ``"routerarena"``: RouterArena (Lu et al. 2025, arXiv:2510.00202), ``cached_results/*.jsonl`` or their folder
          (``global_index``, ``question``, ``llm_selected``, ``evaluation_result``), or a router's predictions
          (``global index``, ``prompt``, ``prediction``, ``accuracy``, ``cost``).
        - ``"plain"``: a row for each call (`OutcomeTable.from_columns`); or what ``ferroute collect`` writes; or a row
          for each prompt with scores under the names that ``models`` says (and dollars under ``<model>|cost``).

    Scores and costs that a layout does not know are NaN, never 0. A model that costs exactly 0 in every call counts
    as one whose price is unknown, and the table's notes say so.

    Args:
        path: The file or folder.
        layout: One of these; None: found out.
        models: Only these columns, in this order.
        columns: For ``"plain"``: other names of columns, ``{"score": "accuracy"}``.
        allow_pickle: Read a ``.pkl`` with pandas. Unpickling runs whatever code the file holds: only for files whose
            origin you trust.

    Returns:
        The outcomes, one row a prompt, one column a model.

    Raises:
        MissingFileError: There is nothing at ``path``.
        UnknownNameError: A column is missing (the message names it), or there is no such layout or model.
        InvalidValueError: The layout cannot be found out, a row is bad, or a pickle is not allowed.
    """
    place = Path(path)
    if not place.exists():
        raise MissingFileError(f"{place}: there is no such file or folder")
    if place.is_file() and _is_empty(place):
        raise InvalidValueError(f"{place}: the file is empty")
    source = Source(place, allow_pickle=allow_pickle, columns=columns, models=models)
    if layout is None:
        layout = next((name for name, reader in _READERS.items() if reader.detects(source)), None)
        if layout is None:
            raise InvalidValueError(
                f"{place}: no layout recognised: expected {', '.join(LAYOUTS)} (layout= says which){source.seen()}"
            )
    elif layout not in _READERS:
        raise UnknownNameError(f"no layout named {layout!r}; there are {', '.join(LAYOUTS)}")
    table = _READERS[layout].read(source)
    return table if models is None else table.filter(models)


def _is_empty(path: Path) -> bool:
    """Whether there is nothing in a file but white space."""
    with readable(path), path.open("rb") as file:
        return not file.read(1 << 10).strip() and path.stat().st_size <= 1 << 10
