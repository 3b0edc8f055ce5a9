"""Where the files of a checkpoint are: a folder, a file, or a repository of the Hugging Face Hub."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ferroute.errors import CheckpointError, InvalidValueError, MissingFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Seconds for the connection, and again for the answer.
_REACHED_WITHIN = 5

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"

# `name` or `owner/name`, as the Hub allows them; anything else can only be a path.
REPOSITORY = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", re.ASCII)


def local(name_or_path: str | os.PathLike[str]) -> Path | None:
    """The file or folder of this name, if there is one.

    A folder in the working directory with a repository's relative name (``routellm/mf_gpt4_augmented``) comes before
    the Hub, as in RouteLLM.
    """
    path = Path(name_or_path).expanduser()
    return path if path.exists() else None


def portable(name_or_path: str | os.PathLike[str]) -> str | os.PathLike[str]:
    """The whole path of what is on this disk, any other name as it is.

    A pickled router may wake up in another folder.
    """
    found = local(name_or_path)
    return name_or_path if found is None else str(found.absolute())


def resolve(
    name_or_path: str | os.PathLike[str],
    filenames: Sequence[str],
    *,
    optional: Sequence[str] = (),
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> Path:
    """Finds a checkpoint, downloading it from the Hub if it is not on this disk.

    Downloads go through `huggingface_hub`: its progress bar, its cache and its variables (``HF_HOME``, ``HF_TOKEN``,
    ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``) apply.

    Args:
        name_or_path: A folder, a file, or a repository such as ``routellm/mf_gpt4_augmented``.
        filenames: Files that must be there, in a repository.
        optional: Files that are taken as well if they are there.
        revision: Branch, tag or commit of the repository.
        token: Access token; by default the login of this machine.
        cache_dir: Where downloads are kept; by default the Hub's cache.
        force_download: Download again even if the cache has it.
        local_files_only: Do not use the network.

    Returns:
        The folder that holds the files; the path itself where it names a file or folder of this disk (what it holds
        is for the reader to check).

    Raises:
        MissingFileError: Neither this disk nor the Hub has it; the message says what was tried.
        InvalidValueError: An empty name.
    """
    name = os.fspath(name_or_path)
    if not name:
        raise InvalidValueError("expected a folder or a repository of the Hugging Face Hub, found an empty name")
    found = local(name)
    if found is not None:
        return found
    tried = f"there is no file or folder {name!r} in {os.getcwd()!r}"  # noqa: PTH109 - shown, not used
    if Path(name).is_absolute() or not REPOSITORY.fullmatch(name):
        raise MissingFileError(f"{tried}, and it is not a name of the Hugging Face Hub")

    import huggingface_hub
    from huggingface_hub import constants
    from huggingface_hub.errors import EntryNotFoundError

    hub: Any = huggingface_hub  # its annotations are not complete

    offline = local_files_only or bool(constants.HF_HUB_OFFLINE)
    cut_off = None if offline else unreachable(str(constants.ENDPOINT))

    def download(filename: str) -> Path:
        return Path(
            hub.hf_hub_download(
                name,
                filename,
                revision=revision,
                token=token,
                cache_dir=cache_dir,
                force_download=force_download,
                local_files_only=local_files_only or cut_off is not None,
            )
        )

    folder: Path | None = None
    for filename in (*filenames, *optional):
        try:
            folder = download(filename).parent
        except Exception as error:  # noqa: PERF203 - a handful of files
            if filename in optional and isinstance(error, EntryNotFoundError):
                continue
            if cut_off is not None:
                raise MissingFileError(
                    f"{tried}, the Hub's cache has no {filename!r} of {name!r}, and {constants.ENDPOINT} cannot be "
                    f"reached ({cut_off}): offline? set HF_HUB_OFFLINE=1 or give a folder"
                ) from error
            raise MissingFileError(_not_found(tried, name, filename, offline, error)) from error
    if folder is None:
        raise InvalidValueError(f"no file of the repository {name!r} was asked for")
    return folder


def resolve_model(
    name_or_path: str | os.PathLike[str],
    filenames: Sequence[str],
    *,
    optional: Sequence[str] = (),
    token: str | bool | None = None,
) -> Path:
    """`resolve` for a checkpoint whose weights are ``model.safetensors``, or the files that its index names.

    Raises:
        CheckpointError: The index is not one.
        MissingFileError, InvalidValueError: As `resolve`; neither weights nor an index.
    """
    folder = resolve(name_or_path, filenames, optional=(*optional, INDEX, WEIGHTS), token=token)
    if local(name_or_path) is None and not (folder / WEIGHTS).is_file():
        shards = _shards(folder / INDEX) if (folder / INDEX).is_file() else [WEIGHTS]
        resolve(name_or_path, shards, token=token)
    return folder


def _shards(index: Path) -> list[str]:
    try:
        found: Any = json.loads(index.read_bytes())
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{index}: {error}") from None
    places: Any = cast("dict[str, Any]", found).get("weight_map") if isinstance(found, dict) else None
    names: set[Any] = set(cast("dict[str, Any]", places).values()) if isinstance(places, dict) else set()
    if not names or any(not isinstance(name, str) or name in {"", ".."} or Path(name).name != name for name in names):
        raise CheckpointError(f"{index}: expected a `weight_map` that gives each tensor a file of the same folder")
    return sorted(names)


def unreachable(endpoint: str) -> str | None:
    """Why the Hub cannot be reached, or None: asked once, because its own client tries again for half a minute."""
    from huggingface_hub.utils import get_session

    session: Any = get_session()
    try:
        session.head(endpoint, timeout=_REACHED_WITHIN)
    except Exception as error:  # of httpx or requests, by the version of huggingface_hub
        return f"{type(error).__name__}: {error}"
    return None


def _not_found(tried: str, name: str, filename: str, offline: bool, error: Exception) -> str:
    # The first line says what happened; the rest of the Hub's message is advice and request ids.
    reason = (str(error).strip().splitlines() or [""])[0]
    how = "the network was not used (HF_HUB_OFFLINE or local_files_only)" if offline else "the network was used"
    return f"{tried}, and the Hub gave no {filename!r} of {name!r} ({how}): {type(error).__name__}: {reason}"
