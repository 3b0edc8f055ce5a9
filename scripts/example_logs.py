"""Write `examples/my_logs.jsonl`: logs of an application, for the audit on the front page.

    python scripts/example_logs.py

400 calls of four days: questions of MMLU and GSM8K, and everyday prompts of ours, as if somebody had asked them, two
thirds of them to the dear model. The prompts are real, the lengths of the answers are drawn. The same every time.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
from pathlib import Path

from ferroute.evals.benchmarks import GSM8K, MMLU

ROOT = Path(__file__).resolve().parent.parent
FIRST = 1_793_491_200  # the first of November 2026


def main() -> None:
    lot = random.Random(0)
    everyday = [json.loads(line)["prompt"] for line in (ROOT / "data/everyday.jsonl").read_text("utf-8").splitlines()]
    with contextlib.redirect_stdout(io.StringIO()):  # they say what they are
        asked = lot.sample(MMLU().prompts(), 110) + lot.sample(GSM8K().prompts(), 90) + lot.sample(everyday, 200)
    lot.shuffle(asked)
    with (ROOT / "examples/my_logs.jsonl").open("w", encoding="utf-8") as file:
        for number, prompt in enumerate(asked):
            model = "gpt-5.5" if lot.random() < 0.68 else "gpt-5.4-mini"
            usage = {"prompt_tokens": 10 + len(prompt) // 4, "completion_tokens": int(lot.lognormvariate(4.6, 0.9))}
            request = {"model": model, "messages": [{"role": "user", "content": prompt}]}
            response = {"created": FIRST + number * 864, "usage": usage}
            file.write(json.dumps({"request": request, "response": response}, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
