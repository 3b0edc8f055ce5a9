"""Pictures of pages for the documentation: a real Chromium, light and dark, in few colours so that files are small."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from browser import chromium  # noqa: E402 - the tests' browser

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGES = ROOT / "docs" / "images"


@contextlib.contextmanager
def pictures() -> Iterator[Any]:
    """Yields a function that takes the picture of an address: ``taken(url, name, width=, height=, ready=)``.

    It writes ``docs/images/<name>.png`` and ``<name>-dark.png``, the top ``height`` pixels of the page. ``ready`` is a
    condition in JavaScript to be waited for.
    """
    with tempfile.TemporaryDirectory() as name, chromium(Path(name)) as browser:

        def taken(url: str, picture: str, *, width: int, height: int, ready: str = "true") -> None:
            for dark in (False, True):
                page = browser.open(url, width=width, height=height, dark=dark, still=True)
                page.wait(f"document.readyState == 'complete' && ({ready})")
                whole = Path(name) / "page.png"
                page.picture(whole)
                _small(whole, IMAGES / f"{picture}{'-dark' if dark else ''}.png", height)

        yield taken


def _small(source: Path, target: Path, height: int) -> None:
    """128 colours are enough for a page, and a quarter of the size."""
    image = Image.open(source).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, height)))
    image.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(target, optimize=True)
