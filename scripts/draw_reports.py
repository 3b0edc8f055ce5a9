"""Take the pictures of `docs/audit.md` and `docs/explain.md`: reports that are HTML, in a real Chromium.

    python scripts/draw_reports.py        # writes docs/images/audit.png and explain.png, each also -dark

The audited logs are the questions of GSM8K and MMLU as if somebody had asked them, the same every time.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import tempfile
from pathlib import Path

import ferroute
from ferroute import Controller, Shares
from ferroute.evals.benchmarks import GSM8K, MMLU
from page_pictures import pictures

DAY = "2026-11-01"
TIERS = {"cheap": "gpt-5.4-mini", "mid": "gpt-5.4", "expensive": "gpt-5.5"}


def main() -> None:
    with tempfile.TemporaryDirectory() as name, pictures() as taken:
        folder = Path(name)
        os.environ["FERROUTE_CALIBRATION"] = name  # no table of the user's own
        os.chdir(folder)
        audited(Path("logs.jsonl")).save_html(folder / "audit.html")
        (folder / "explain.html").write_text(explained(), encoding="utf-8")
        taken((folder / "audit.html").as_uri(), "audit", width=985, height=1180)
        taken((folder / "explain.html").as_uri(), "explain", width=940, height=1030)


def audited(logs: Path) -> ferroute.Audit:
    """The audit of 3,000 calls of four days, two thirds of them to the dear model."""
    lot = random.Random(0)
    with contextlib.redirect_stdout(io.StringIO()):  # they say what they are
        prompts = lot.sample(MMLU().prompts(), 1_700) + lot.sample(GSM8K().prompts(), 1_300)
    lot.shuffle(prompts)
    with logs.open("w", encoding="utf-8") as file:
        for number, prompt in enumerate(prompts):
            usage = {"prompt_tokens": 10 + len(prompt) // 4, "completion_tokens": int(lot.lognormvariate(4.2, 0.8))}
            model = "gpt-5.5" if lot.random() < 0.68 else "gpt-5.4-mini"
            request = {"model": model, "messages": [{"role": "user", "content": prompt}]}
            created = 1_793_491_200 + number * 100  # the first of November 2026
            file.write(json.dumps({"request": request, "response": {"created": created, "usage": usage}}) + "\n")
    return ferroute.audit(str(logs), to="gpt-5.4-mini", at=DAY)


def explained() -> str:
    """Two decisions as a notebook shows them, one by thresholds and one by shares."""
    client = Controller(["local"], tiers=TIERS)
    proof = client.decide("Prove that the square root of 2 is irrational.", router="local", threshold=[0.55, 0.8])
    greeting = client.decide("hi there", router="local", threshold=Shares(0.6, 0.15))
    shown = "".join(f"<div>{decision.explain()._repr_html_()}</div>" for decision in (proof, greeting))
    style = ":root { color-scheme: light dark } body { margin: 20px } body > div + div { margin-top: 20px }"
    return f"<!doctype html><meta charset=utf-8><style>{style}</style>{shown}"


if __name__ == "__main__":
    main()
