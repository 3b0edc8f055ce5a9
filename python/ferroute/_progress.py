"""Progress bars: in a notebook with ipywidgets as a widget, everywhere else as text on standard error."""

from __future__ import annotations

import importlib.util
from typing import Any


def bar_class() -> Any:
    """The tqdm that fits.

    ``tqdm.auto`` warns in a notebook without ipywidgets, which nobody who asked for a bar can do anything about.
    """
    if importlib.util.find_spec("ipywidgets") is None:
        from tqdm import tqdm

        return tqdm
    from tqdm.auto import tqdm as fitting

    return fitting
