"""Writes data/prices/prices.json from two pinned wheels, which are read as zip files and never imported.

    python scripts/refresh_prices.py            # pip downloads the wheels
    python scripts/refresh_prices.py --wheels DIR

To refresh: raise the two versions and READ below, run it, look at the difference, run the tests;
`tests/test_prices_peer.py` compares the result with genai-prices itself.

genai-prices (MIT) is the source: every provider with its models in order, the names each model matches, dated, hourly
and tiered prices, and what batch, flex, priority and fast cost. LiteLLM's price file (MIT) completes it with models
that genai-prices does not know, and with what a model can do and when it is shut down.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from genai_prices_source import provider, providers_of
from litellm_source import PREFIXES, completions

GENAI_PRICES = "0.2.3"
LITELLM = "1.110.2"
# The day on which both were read.
READ = "2026-11-26"

TARGET = Path(__file__).resolve().parent.parent / "data" / "prices" / "prices.json"
LITELLM_FILE = "litellm/model_prices_and_context_window_backup.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", type=Path, help="folder that holds the two wheels already")
    parser.add_argument("--out", type=Path, default=TARGET)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = options.wheels or download(Path(made))
        data = member(folder, "genai_prices", GENAI_PRICES, "genai_prices/data.py")
        prices = json.loads(member(folder, "litellm", LITELLM, LITELLM_FILE), parse_float=Decimal, parse_int=int)
    providers = [provider(call) for call in providers_of(data)]
    rows, sources = completions(prices, providers)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(render(providers, rows, sources), encoding="utf-8")
    models = sum(len(each["models"]) for each in providers)
    print(
        f"{options.out}: {models} models of {len(providers)} providers, {len(rows)} rows of LiteLLM, "
        f"{options.out.stat().st_size / 1000:.0f} kB"
    )


def download(folder: Path) -> Path:
    for name in (f"genai-prices=={GENAI_PRICES}", f"litellm=={LITELLM}"):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        subprocess.run([*command, "--dest", str(folder), name], check=True)
    return folder


def member(folder: Path, name: str, version: str, path: str) -> str:
    wheels = sorted(folder.glob(f"{name}-{version}-*.whl"))
    if not wheels:
        raise SystemExit(f"no wheel {name}-{version}-*.whl in {folder}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        return wheel.read(path).decode()


def render(providers: list[dict[str, Any]], rows: list[Any], sources: list[str]) -> str:
    """The file: one line a model, so that a refresh can be read as a difference."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    head = {
        "version": f"genai-prices {GENAI_PRICES}, litellm {LITELLM}",
        "as_of": READ,
        "genai_prices": GENAI_PRICES,
        "litellm": LITELLM,
        "prefixes": PREFIXES,
    }
    parts = ["{", *(f"{line(key)}:{line(value)}," for key, value in head.items()), '"providers":[']
    for index, each in enumerate(providers):
        rest = {key: value for key, value in each.items() if key != "models"}
        parts.append(line(rest)[:-1] + ',"models":[')
        parts += [line(one) + ("," if i + 1 < len(each["models"]) else "") for i, one in enumerate(each["models"])]
        parts.append("]}" + ("," if index + 1 < len(providers) else ""))
    parts += ["],", f'"sources":{line(sources)},', '"rows":[']
    parts += [line(row) + ("," if index + 1 < len(rows) else "") for index, row in enumerate(rows)]
    parts += ["]}", ""]
    return "\n".join(parts)


if __name__ == "__main__":
    main()
