"""Models that end: the warning at construction, its words, and what readers are shown."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING

import pytest

from conftest import ROOT
from ferroute import _lifecycle, pricing
from ferroute.controller import Controller
from ferroute.errors import RetiringModelWarning

if TYPE_CHECKING:
    from pathlib import Path

DAY = dt.date(2026, 11, 27)
# The test session ignores the warning (pyproject.toml); this file is where it counts.
pytestmark = pytest.mark.filterwarnings("error::ferroute.errors.RetiringModelWarning")


@pytest.fixture(autouse=True)
def _on_that_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lifecycle, "today", lambda: DAY)
    monkeypatch.setattr(_lifecycle, "_looked", set())
    monkeypatch.setattr(pricing, "_said", set())


def said_of(*models: object, **kwargs: object) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Controller(["random"], *models, **kwargs)  # type: ignore[arg-type]
    assert all(warning.category is RetiringModelWarning for warning in caught)
    # In the name of who made the Controller.
    assert {warning.filename for warning in caught} <= {__file__}
    return [str(warning.message) for warning in caught]


def test_a_model_that_ends_soon_is_told_of_once_with_date_source_and_suggestion() -> None:
    told = said_of("gpt-5.5", "gpt-5-mini")
    assert len(told) == 1
    assert told[0].startswith("gpt-5-mini: its provider shuts it down on 2026-12-11, in 14 days (")
    assert pricing.version() in told[0]
    assert f"read on {pricing.as_of()}" in told[0]
    assert "; consider openai/" in told[0]
    assert said_of("gpt-5.5", "gpt-5-mini") == []


def test_one_that_has_ended_is_told_of_and_not_a_second_time_by_a_call() -> None:
    told = said_of("gpt-4-1106-preview", "gpt-5.4-mini")
    assert len(told) == 1
    assert told[0].startswith("gpt-4-1106-preview: its provider has shut it down on 2026-10-23 (")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pricing.warn_if_shut_down("gpt-4-1106-preview", at="2026-11-27")


def test_a_ladder_is_told_of_too() -> None:
    tiers = {"cheap": "gpt-5-nano", "mid": "gpt-5.4-mini", "expensive": "gpt-5.5"}
    assert [text.partition(":")[0] for text in said_of(tiers=tiers)] == ["gpt-5-nano"]


@pytest.mark.parametrize(("before", "told"), [(181, False), (180, True), (1, True), (0, True)])
def test_six_months_are_180_days(before: int, told: bool) -> None:
    day = dt.date(2026, 12, 11) - dt.timedelta(days=before)
    found = _lifecycle.ending("gpt-5-mini", day=day)
    assert (found is not None) is told
    if found is not None:
        assert found.left == before
        assert found.gone is (before == 0)
        assert ("in 1 day (" in found.text) is (before == 1)


@pytest.mark.parametrize(
    ("strong", "kwargs"),
    [
        ({"model": "gpt-5-mini", "api_base": "http://localhost:1"}, {}),
        ("gpt-5-mini", {"api_base": "http://localhost:1"}),
        ("gpt-5.5", {}),
        ("a-name-nobody-knows", {}),
    ],
)
def test_nothing_is_said_of_other_hosts_and_of_models_that_go_on(strong: object, kwargs: dict[str, object]) -> None:
    assert said_of(strong, "gpt-5.4-mini", **kwargs) == []


def test_a_base_url_in_the_environment_is_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1/v1")
    assert said_of("gpt-5.5", "gpt-5-mini") == []


def test_the_model_behind_a_name_counts() -> None:
    told = said_of("gpt-5.5", {"model": "openai/ours", "base_model": "gpt-5-mini"})
    assert told[0].startswith("openai/ours: gpt-5-mini: its provider shuts it down")


def test_the_suggestion_costs_no_more_where_that_is_possible() -> None:
    for model in ("gpt-5-mini", "gpt-4o", "gpt-4-1106-preview", "anthropic/claude-sonnet-4-5"):
        found = _lifecycle.ending(model, day=DAY)
        assert found is not None
        assert found.instead is not None
        ratio = pricing.ratio(found.instead, model, at="2026-10-01")
        assert ratio is not None
        assert ratio <= 1, found
        assert _lifecycle.ending(found.instead, day=DAY) is None
    # Nothing of the provider's is as cheap as that one: the cheapest.
    found = _lifecycle.ending("gpt-5-nano", day=DAY)
    assert found is not None
    assert found.instead == "openai/gpt-6-luna"
    unknown = _lifecycle.ending("bedrock/anthropic.claude-v2", "2026-12-01", DAY)
    assert unknown is not None
    assert unknown.instead is None
    assert unknown.text.endswith(f"read on {pricing.as_of()})")


def test_looking_again_costs_next_to_nothing() -> None:
    controller = Controller(["random"], "gpt-5.5", "gpt-5.4-mini")
    least = min(_seconds(controller) for _ in range(5))
    assert least < 20e-6


def _seconds(controller: Controller) -> float:
    start = time.perf_counter()
    for _ in range(1000):
        controller._tell_of_endings()
    return (time.perf_counter() - start) / 1000


def test_the_command_line_says_it_in_a_note() -> None:
    words = ["route", "hi", "--strong", "gpt-5.5", "--weak", "gpt-4-1106-preview"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "ferroute", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("note: gpt-4-1106-preview: its provider has shut it down on 2026-10-23")
    assert done.stderr.count("shut it down") == 1


# --- what readers are shown ---

# Pages and files whose subject is a model of the past, with what they may name.
PAIR = "the pair that RouteLLM's checkpoints were trained with and its benchmarks measured"
TRAINED_WITH = {"gpt-4-1106-preview"}
ABOUT_THE_PAST = {
    "README.md": ({"gpt-5-mini", *TRAINED_WITH}, f"the article's scenario, at prices of 2026-01-12; {PAIR}"),
    "docs/pricing.md": (
        {"gpt-5-mini", "gpt-5-nano", "gemini-2.5-pro", "deepseek-chat"},
        "the article's scenario, prices at a past day, and how names of a family are read",
    ),
    "docs/doctor.md": ({"gpt-5-mini", *TRAINED_WITH}, "what the doctor finds"),
    "docs/llm-classifier.md": (
        {"gpt-5-nano", "gpt-5-mini", "gpt-4o-mini", "gemini-2.5-flash"},
        "what the article names, and how each kind of model is asked, the ones that end too",
    ),
    "docs/providers.md": ({"o1", "o3"}, "which names are OpenAI's"),
    "docs/sw-ranking.md": ({"gpt-4", *TRAINED_WITH}, PAIR),
    "docs/evaluation.md": (TRAINED_WITH, PAIR),
    "docs/local-router.md": (TRAINED_WITH, PAIR),
    "docs/training.md": (TRAINED_WITH, PAIR),
    "examples/quickstart.ipynb": ({"gpt-5-mini"}, "the article's scenario, at prices of 2026-01-12"),
    "examples/thresholds.ipynb": (TRAINED_WITH, PAIR),
    "python/ferroute/_server_program.py": (TRAINED_WITH, "RouteLLM's default, which its flags keep"),
    "python/ferroute/doctor/_thresholds.py": (TRAINED_WITH, PAIR),
    "python/ferroute/evals/benchmarks.py": (TRAINED_WITH, PAIR),
    "python/ferroute/pricing/__init__.py": ({"gpt-5-mini"}, "the price ratio of the article, at 2026-01-12"),
    "python/ferroute/routers/matrix_factorization/model.py": (
        {f"gpt-{each}" for each in ("3.5-turbo-0125", "3.5-turbo-1106", "4-0125-preview", "4-0314", "4-0613")}
        | TRAINED_WITH,
        "the 64 models of RouteLLM's checkpoints",
    ),
    "python/ferroute/routers/routers.py": (TRAINED_WITH, PAIR),
    "python/ferroute/routers/similarity_weighted/router.py": (TRAINED_WITH, PAIR),
    "python/ferroute/tests/test_openai_client.py": (TRAINED_WITH, "RouteLLM's own script"),
    "src/providers/family.rs": (
        {"o1", "o3", "o4-mini", "gpt-5", "gpt-5-chat-latest", "gpt-4.1", "gpt-4", "gpt-4o", "gpt-4-turbo"},
        "which names take which parameters",
    ),
}
SHOWN = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*.*")),
    *sorted((ROOT / "packaging").glob("*.*")),
    *sorted((ROOT / "python" / "ferroute").rglob("*.py")),
    *sorted((ROOT / "python" / "ferroute" / "data").glob("*.json")),
    *sorted((ROOT / "src").rglob("*.rs")),
]
NAME = re.compile(
    r"(?:[a-z_]+/)?(?:gpt|claude|gemini|mistral|deepseek|grok|o\d)[a-z0-9.-]*[a-z0-9]|\bo[134](?:-[a-z0-9-]+)?\b"
)
SAID_IN_RUST = re.compile(r"^ *//[/!].*$|Error::.*$", re.MULTILINE)


def test_readers_are_shown_models_that_live_six_months_more() -> None:
    """By the day on which the data were read: a refresh of the data asks for new pages, not a day that passes."""
    ends: dict[str, set[str]] = {}
    for path in SHOWN:
        name = path.relative_to(ROOT).as_posix()
        found = {each for each in NAME.findall(_shown(path)) if _ends(each)}
        allowed = ABOUT_THE_PAST.get(name, (set(), ""))[0]
        # An exception that nothing needs is one too many.
        assert allowed <= found, (name, allowed - found)
        if found - allowed:
            ends[name] = found - allowed
    assert not ends, (
        f"models that end within {_lifecycle.SOON_DAYS} days of {pricing.as_of()}, when the prices were read: {ends}. "
        "Name models that live longer (data/tiers.json has some), or enter the page in ABOUT_THE_PAST with its reason"
    )


def _shown(path: Path) -> str:
    """The text of a file; of Rust only what is documentation or an error, without the tests."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".rs":
        return text
    text = text.partition("#[cfg(test)]\nmod tests {")[0]
    return "" if "tests" in path.name or "tests" in path.parts else "\n".join(SAID_IN_RUST.findall(text))


def _ends(name: str) -> bool:
    return _lifecycle.ending(name, day=pricing.as_of()) is not None


def test_the_test_above_can_fail() -> None:
    assert _ends("gpt-5-mini")
    assert NAME.findall('Controller(["local"], "gpt-5-mini", weak="openai/gpt-4")') == ["gpt-5-mini", "openai/gpt-4"]
    assert len(SHOWN) > 500
    assert "openai/gpt-5.4-mini" in NAME.findall(_shown(ROOT / "src" / "providers" / "prefix.rs"))


def test_programs_are_told_in_their_own_way() -> None:
    told: list[str] = []
    with _lifecycle.told_to(told.append):
        Controller(["random"], "gpt-5.5", "gpt-5-mini")
    assert [text.partition(":")[0] for text in told] == ["gpt-5-mini"]
    with pytest.warns(RetiringModelWarning, match="gpt-5-nano"):
        Controller(["random"], "gpt-5.5", "gpt-5-nano")
