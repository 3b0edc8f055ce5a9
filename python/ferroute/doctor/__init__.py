"""What stands between a project and ferroute: old models, patched names, thresholds, clashes, missing keys.

`examine` reads a project's files and this installation. It is offline, imports and runs nothing of the project, and
never shows the value of a variable.

Example:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as project:
    ...     report = examine(project, installation=False)
    >>> report.count("error")
    0
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ferroute import _lifecycle
from ferroute.doctor._files import Walk, documents
from ferroute.doctor._findings import Finding, Report, Severity
from ferroute.doctor._installed import of_installation
from ferroute.doctor._keys import KeysNeeded
from ferroute.doctor._models import of_models
from ferroute.doctor._pins import of_pins
from ferroute.doctor._routellm import of_code
from ferroute.doctor._thresholds import of_thresholds

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

__all__ = ["Finding", "Report", "Severity", "examine"]

SECONDS = 30.0
"""So long a project is read at most; what was not reached is counted."""


def examine(
    project: str | os.PathLike[str] = ".",
    *,
    today: dt.date | None = None,
    environ: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    installation: bool = True,
) -> Report:
    """Looks at a project and at this installation.

    Args:
        project: A folder, or one file. Read are ``.py``, ``.ipynb``, ``.yaml``, ``.yml``, ``.md``, ``.toml``,
            ``requirements*.txt``, and names in ``.env`` files; not ``.git``, virtual environments, ``node_modules``,
            what links lead to, and files over 2 MB.
        today: The day that ends of models are held against; None: today, UTC.
        environ: Where keys are looked for; None: this process's environment.
        seconds: The longest time for reading the project, in seconds.
        installation: Whether the installed packages are looked at too.

    Returns:
        A `Report`; printed, it says what, where, why and what to do. ``report.ok``: nothing is an error.

    Raises:
        MissingFileError: There is no such file or folder.
    """
    from ferroute.errors import MissingFileError

    root = Path(project)
    if not root.exists():
        raise MissingFileError(f"{root}: there is no such file or folder")
    day = _lifecycle.today() if today is None else today
    walk, found = Walk(), list[Finding]()
    keys = KeysNeeded(os.environ if environ is None else environ)
    for document in documents(root, walk, seconds):
        keys.see(document)
        if document.is_environment:
            continue
        found += of_pins(document)
        found += of_code(document)
        found += of_models(document, day)
        found += of_thresholds(document)
    found += keys.findings()
    if installation:
        found += of_installation()
    return Report(str(root), tuple(sorted(set(found), key=Finding.order)), walk.seen(), installation, day)
