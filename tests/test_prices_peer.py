"""Every model of genai-prices at random usages, days, hours and tiers: its own answer is ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from conftest import ROOT
from ferroute import _core

sys.path.insert(0, str(ROOT / "scripts"))
from genai_prices_source import amount
from litellm_source import per_million
from price_patterns import regex
from refresh_prices import GENAI_PRICES

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def peer():
    """Python of a venv with the pinned genai-prices."""
    folder = ROOT / "target" / f"venv-genai-prices-{GENAI_PRICES}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.is_file():
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        steps = [[sys.executable, "-m", "venv", str(folder)], [*pip, f"genai-prices=={GENAI_PRICES}"]]
        for step in steps:
            made = subprocess.run(step, capture_output=True, text=True, check=False)
            if made.returncode:
                reason = f"not run: genai-prices {GENAI_PRICES} needs Python 3.11 and PyPI: {made.stderr[-300:]}"
                (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
        done.touch()
    return python


def ours(name, counts, tier, at):
    found = _core.pricing_cost([name], tuple(counts.values()), tier, at)
    return None if found is None else found[0]


def test_costs_are_those_of_genai_prices(peer):
    run = [str(peer), str(HERE / "genai_prices_expected.py"), "20261126", "5"]
    lines = subprocess.run(run, capture_output=True, text=True, check=True).stdout.splitlines()
    compared, models, tiers, bare, wrong = 0, set(), {}, 0, []
    for provider, name, counts, tier, at, total, without in map(json.loads, lines):
        expected = None if total is None else Decimal(total)
        found = ours(f"{provider}/{name}", counts, tier, at)
        if found != expected and not (expected is None and found is not None):
            wrong.append((provider, name, counts, tier, at, expected, found))
        if expected:
            compared += 1
            models.add((provider, name))
            tiers[tier] = tiers.get(tier, 0) + 1
        if without is not None:
            bare += 1
            found = ours(name, counts, tier, at)
            if found != Decimal(without):
                wrong.append(("", name, counts, tier, at, without, found))
    assert not wrong, f"{len(wrong)} of {compared}, such as {wrong[:5]}"
    assert len(models) > 2000
    assert compared > 8000
    assert bare > 500
    assert min(tiers[tier] for tier in ("default", "batch", "flex", "priority", "fast")) > 500


def test_the_data_are_what_the_script_makes_of_the_wheels(tmp_path):
    """Where the wheels can be had: prices.json was not edited by hand."""
    wheels = os.environ.get("FERROUTE_PRICE_WHEELS")
    if not wheels:
        pytest.skip("not run: FERROUTE_PRICE_WHEELS names no folder with the two wheels (60 MB)")
    out = tmp_path / "prices.json"
    script = [sys.executable, str(ROOT / "scripts" / "refresh_prices.py"), "--wheels", wheels, "--out", str(out)]
    subprocess.run(script, check=True, capture_output=True)
    assert out.read_bytes() == (ROOT / "data" / "prices" / "prices.json").read_bytes()


def test_patterns_stand_for_what_the_expressions_do():
    assert regex(r"^grok-4\.5-\d{8}$") == "grok-4.5-########"
    assert regex(r"^o[134]") == ["o1*", "o3*", "o4*"]
    assert regex(r"^(a/)?b-1(-\d{2})?$") == ["a/b-1", "a/b-1-##", "b-1", "b-1-##"]
    assert regex(r"^(?:(?:mi|mini)stral|open-mistral)") == ["ministral*", "mistral*", "open-mistral*"]
    for unknown in (r"a", r"^a+$", r"^a.*b$", r"^(?<!x)a"):
        with pytest.raises(SystemExit, match="an expression this script does not know"):
            regex(unknown)


def test_amounts_are_exact_text():
    assert amount(Decimal("1E-7")) == "0.0000001"
    assert amount(Decimal("14.0")) == "14"
    assert amount(Decimal(200)) == "200"
    assert per_million(Decimal("1.6000000000000001E-6")) == Decimal("1.6")
