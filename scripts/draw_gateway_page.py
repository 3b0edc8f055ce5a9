"""Take the pictures of `docs/gateway-page.md`: the server's page over a made-up month of calls, in a real Chromium.

    python scripts/draw_gateway_page.py        # writes docs/images/gateway-page.png and gateway-page-dark.png

The calls are those of `tests/demo_ledger.py`, the same every time; models and prices in it are nobody's bill.
"""

from __future__ import annotations

import time

from ferroute.controller import Controller
from ferroute.gateway import Gateway
from ferroute.ledger import Ledger
from page_pictures import pictures

NOWHERE = "http://127.0.0.1:9/v1"


def main() -> None:
    import demo_ledger  # of the tests, whose folder `page_pictures` knows

    with Ledger("memory:") as ledger:
        demo_ledger.fill(ledger, time.time() - 120)
        client = Controller(
            ["random"],
            strong_model=demo_ledger.STRONG,
            weak_model=demo_ledger.WEAK,
            ledger=ledger,
            api_base=NOWHERE,
            api_key="none",
        )
        with Gateway(client, port=0) as gateway, pictures() as taken:
            ready = "document.body.classList.contains('ready')"
            taken(f"{gateway.url}/ui#30d", "gateway-page", width=1280, height=1240, ready=ready)


if __name__ == "__main__":
    main()
