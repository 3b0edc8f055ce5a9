"""What somebody tries first: twenty everyday prompts against twenty hard ones, and forty others beside them.

The router was not changed for ``goldens/forty_prompts.json``. Nine of the forty shown ones are in the training data
too, where "Hello!" belongs; nine everyday prompts of the other forty that were as well were replaced after a first run
had shown it, so none of those is. In both, 400 of 400 pairs are in order. Larger sets, in which some pairs are not, are
in `test_local.py` and docs/local-router.md.
"""

from __future__ import annotations

import json

import pytest

from conftest import GOLDENS, ROOT
from ferroute.controller import Controller

PROMPTS = json.loads((GOLDENS / "forty_prompts.json").read_text(encoding="utf-8"))
APART = 0.1
"""Between the highest everyday score and the lowest hard one; less than was found, more than rounding."""


@pytest.fixture(scope="module")
def controller() -> Controller:
    return Controller(["local"], strong_model="gpt-5.5", weak_model="gpt-5.4-mini")


@pytest.mark.parametrize("half", ["shown", "held_out"])
def test_every_everyday_prompt_is_below_every_hard_one(controller: Controller, half: str) -> None:
    score = controller.routers["local"].calculate_strong_win_rate
    everyday, hard = ({text: score(text) for text in PROMPTS[half][kind]} for kind in ("everyday", "hard"))
    assert len(everyday) == len(hard) == 20
    wrong = [(low, high) for low in everyday for high in hard if everyday[low] + APART >= hard[high]]
    assert wrong == []


def test_the_other_forty_are_nowhere_in_the_training_data() -> None:
    def plain(text: str) -> str:
        return "".join(c for c in text.casefold() if c.isalnum())

    lines = (ROOT / "data" / "everyday.jsonl").read_text(encoding="utf-8").splitlines()
    trained = {plain(json.loads(line)["prompt"]) for line in lines}
    assert len(trained) > 1000
    for kind in ("everyday", "hard"):
        assert [text for text in PROMPTS["held_out"][kind] if plain(text) in trained] == []
