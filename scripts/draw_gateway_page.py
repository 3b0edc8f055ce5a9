"""Take the pictures of `docs/gateway-page.md`: the server's page over a made-up month of calls, in a real Chromium.

    python scripts/draw_gateway_page.py        # writes docs/images/gateway-page.png and gateway-page-dark.png

The calls are those of `tests/demo_ledger.py`, the same every time; models and prices in it are nobody's bill.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

from ferroute.controller import Controller
from ferroute.gateway import Gateway
from ferroute.ledger import Ledger

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import demo_ledger  # noqa: E402 - of the tests, as is the browser
from browser import chromium  # noqa: E402

IMAGES = ROOT / "docs" / "images"
NOWHERE = "http://127.0.0.1:9/v1"
WIDTH, HEIGHT = 1280, 1240


def main() -> None:
    with tempfile.TemporaryDirectory() as name, Ledger(f"sqlite:///{name}/calls.db") as ledger:
        demo_ledger.fill(ledger, time.time() - 120)
        client = Controller(
            ["random"],
            strong_model=demo_ledger.STRONG,
            weak_model=demo_ledger.WEAK,
            ledger=ledger,
            api_base=NOWHERE,
            api_key="none",
        )
        with Gateway(client, port=0) as gateway, chromium(Path(name)) as browser:
            for dark in (False, True):
                page = browser.open(f"{gateway.url}/ui#30d", width=WIDTH, height=HEIGHT, dark=dark, still=True)
                page.wait("document.body.classList.contains('ready')")
                whole = Path(name) / "page.png"
                page.picture(whole)
                small(whole, IMAGES / f"gateway-page{'-dark' if dark else ''}.png")


def small(source: Path, target: Path) -> None:
    """The top of a picture in 128 colours: a page has few, and the file is a quarter of the size."""
    image = Image.open(io.BytesIO(source.read_bytes())).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, HEIGHT)))
    image.quantize(128, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(target, optimize=True)


if __name__ == "__main__":
    main()
