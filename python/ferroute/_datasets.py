"""Where the files of a data set are: a file, a folder, or a data set of the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ferroute._hub import REPOSITORY, local, unreachable
from ferroute.errors import InvalidValueError, MissingFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TABLES = (".parquet", ".arrow", ".jsonl", ".csv", ".json")
"""What `ferroute._core.read_columns` reads, by extension; of several kinds side by side the first counts that has a
file of the train split."""

# Beside the data in a folder: what `datasets` writes about them, and the Hub's own.
_ABOUT = {
    "dataset_info.json",
    "dataset_infos.json",
    "state.json",
    "dataset_dict.json",
    "config.json",
    "metadata.json",
    "metadata.jsonl",
}

# What `map` and `filter` of `datasets` leave beside the data they were asked about.
_CACHE = re.compile(r"(^|/)(cache|tmp)-[^/]*\.arrow$")

_OTHER_SPLIT = re.compile(r"(^|[-_./])(test|validation|valid|val|dev|eval)([-_./]|$)", re.IGNORECASE)
_TRAIN = re.compile(r"(^|[-_./])train(ing)?([-_./]|$)", re.IGNORECASE)


def files(
    name_or_path: str | os.PathLike[str], *, token: str | bool | None = None, kinds: Sequence[str] = TABLES
) -> list[Path]:
    """The files of a data set's train split, downloading them from the Hub if they are not on this disk.

    A folder in the working directory with the data set's relative name (``lmsys/lmsys-arena-human-preference-55k``)
    comes before the Hub, as in RouteLLM.

    Args:
        name_or_path: A file; a folder with data files, in itself, in ``data/`` or in ``train/`` (what
            ``Dataset.save_to_disk`` and a clone of the Hub leave); or a data set of the Hub.
        token: Access token for the Hub; by default the login of this machine.
        kinds: Extensions to look for.

    Returns:
        The files of one kind in the order of their names, numbers by value. With files for several splits, those of
        ``train``.

    Raises:
        MissingFileError: Neither this disk nor the Hub has it; the message says what was tried.
        InvalidValueError: An empty name, or a folder without data files.
    """
    name = os.fspath(name_or_path)
    if not name:
        raise InvalidValueError("expected a file, a folder or a data set of the Hugging Face Hub, found an empty name")
    found = local(name)
    if found is None:
        return _from_hub(name, token, kinds)
    if found.is_file():
        return [found]
    inside = [
        path.relative_to(found).as_posix()
        for path in found.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(found).parts)
    ]
    chosen = choose(inside, kinds)
    if not chosen:
        raise InvalidValueError(f"{found}: expected a folder with data files ({', '.join(kinds)}), found none")
    return [found / path for path in chosen]


def choose(paths: Iterable[str], kinds: Sequence[str] = TABLES) -> list[str]:
    """Those of ``paths`` (relative, with ``/``) that are the train split: of one kind, sorted."""
    paths = [path for path in paths if path.rpartition("/")[2] not in _ABOUT and not _CACHE.search(path)]
    train = [path for path in paths if _TRAIN.search(path)]
    rest = [path for path in paths if not _OTHER_SPLIT.search(path)]
    # JSON may hold anything about the data, or about a model: it counts where there is nothing else.
    for among in ([kind for kind in kinds if kind != ".json"], [kind for kind in kinds if kind == ".json"]):
        # What is left when a folder holds nothing but other splits is what the user asked for.
        for some in (train, rest, paths):
            for kind in among:
                found = [path for path in some if path.lower().endswith(kind)]
                if found:
                    return sorted(found, key=_by_number)
    return []


def _by_number(path: str) -> list[tuple[int, int | str]]:
    """A key by which ``part_2`` comes before ``part_10``."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", path)]


def _from_hub(name: str, token: str | bool | None, kinds: Sequence[str]) -> list[Path]:
    tried = f"there is no file or folder {name!r} in {os.getcwd()!r}"  # noqa: PTH109 - shown, not used
    if Path(name).is_absolute() or not REPOSITORY.fullmatch(name):
        raise MissingFileError(f"{tried}, and it is not a name of the Hugging Face Hub")

    import huggingface_hub
    from huggingface_hub import constants

    hub: Any = huggingface_hub  # its annotations are not complete
    if constants.HF_HUB_OFFLINE:
        why: str | None = "the network was not used: HF_HUB_OFFLINE is set"
    else:
        why = unreachable(str(constants.ENDPOINT))
        why = why and f"{constants.ENDPOINT} cannot be reached: {why}"
    if why is not None:
        cached = _cached(hub, name, kinds)
        if cached:
            return cached
        raise MissingFileError(
            f"{tried}, the Hub's cache has no data set {name!r}, and {why}. Offline, a folder of that name in the "
            "working directory with its files takes its place"
        )
    try:
        chosen = choose(hub.list_repo_files(name, repo_type="dataset", token=token), kinds)
        if not chosen:
            raise InvalidValueError(f"the data set {name!r} of the Hub has no data files ({', '.join(kinds)})")
        return [Path(hub.hf_hub_download(name, path, repo_type="dataset", token=token)) for path in chosen]
    except InvalidValueError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0]
        raise MissingFileError(
            f"{tried}, and the Hub gave no data set {name!r}: {type(error).__name__}: {reason}"
        ) from error


def _cached(hub: Any, name: str, kinds: Sequence[str]) -> list[Path]:
    """The files that an earlier download has left in the Hub's cache."""
    try:
        folder = Path(hub.snapshot_download(name, repo_type="dataset", local_files_only=True))
    except Exception:  # not there: whichever class says so in this version of huggingface_hub
        return []
    inside = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    return [folder / path for path in choose(inside, kinds)]
