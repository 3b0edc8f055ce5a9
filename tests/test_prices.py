"""Prices, costs and scenarios; `src/pricing` tests the arithmetic, `test_prices_peer.py` compares with genai-prices."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
import types
import warnings
from decimal import Decimal

import pytest

from ferroute import errors, pricing

DAY = "2026-01-12"
LATER = "2026-11-20"


@pytest.fixture
def own_prices():
    yield pricing.override
    pricing.override(None)


def scenario(mix, **more):
    given = {"requests": 1_000_000, "input_tokens": 1000, "output_tokens": 500, "baseline": "gpt-5.2", "at": DAY}
    return pricing.scenario(**{**given, "mix": mix, **more})


def test_the_articles_table_but_for_its_slip():
    assert scenario({"gpt-5.2": 1}).cost == 8750
    basic = scenario({"gpt-5.2": 0.3, "gpt-5-mini": 0.7})
    assert (basic.cost, basic.baseline_cost, basic.saved, basic.saved_share) == (3500, 8750, 5250, Decimal("0.6"))
    aggressive = scenario({"gpt-5-2": 0.15, "openai/gpt-5-mini": Decimal("0.5"), "gpt-5-nano": "0.35"})
    assert [line.cost for line in aggressive.lines] == [Decimal("1312.5"), 625, Decimal("87.5")]
    assert aggressive.cost == 2025  # the article adds up to 1,925
    assert round(aggressive.saved_share, 3) == Decimal("0.769")
    # 70 % x (1 - 0.25 / 1.75), on input alone
    assert scenario({"gpt-5.2": 0.3, "gpt-5-mini": 0.7}, output_tokens=0).saved_share == Decimal("0.6")


@pytest.mark.parametrize(
    ("strong", "weak", "prices", "times"),
    [
        ("gpt-5.2", "gpt-5-mini", ("1.75", "14", "0.25", "2"), 7),
        ("claude-opus-4-5", "claude-haiku-4-5", ("5", "25", "1", "5"), 5),
    ],
)
def test_the_articles_provider_table(strong, weak, prices, times):
    found = [pricing.price(model, DAY) for model in (strong, weak)]
    assert [amount for one in found for amount in (one.input, one.output)] == [Decimal(text) for text in prices]
    assert pricing.ratio(strong, weak, at=DAY) == times
    assert pricing.ratio(weak, strong, at=DAY) == 1 / Decimal(times) or times == 7


def test_where_todays_data_disagree_with_the_article():
    flash = pricing.price("gemini/gemini-2.0-flash", DAY)
    assert (flash.input, flash.output) == (Decimal("0.1"), Decimal("0.4"))  # printed as 0.075 and 0.30
    assert pricing.price("gemini/gemini-2.0-pro", DAY) is None  # printed as 1.25 and 5


def test_cost_by_kind_of_token():
    def cost(model, **more):
        return pricing.cost(model, at=LATER, **more)

    assert cost("gpt-5.2", input_tokens=1000, output_tokens=500) == Decimal("0.00875")
    assert cost("gpt-5.2", input_tokens=1000, cached_tokens=1000) == Decimal("0.000175")
    claude = {"input_tokens": 1_000_000, "cache_write_tokens": 1_000_000}
    assert cost("claude-haiku-4-5", **claude) == Decimal("1.25")
    assert cost("claude-haiku-4-5", **claude, cache_write_1h_tokens=400_000) == Decimal("1.55")
    # Reasoning is in the completion unless it has a price of its own.
    tokens = {"output_tokens": 1_000_000, "reasoning_tokens": 1_000_000}
    assert cost("gpt-5.2", **tokens) == 14
    assert cost("openrouter/perplexity/sonar-deep-research", **tokens) == 3
    assert cost("perplexity/sonar", input_tokens=0) == Decimal("0.012")  # a fee for each call
    # The whole prompt decides, cached tokens included.
    assert cost("gemini/gemini-2.5-pro", input_tokens=200_000) == Decimal("0.25")
    assert cost("gemini/gemini-2.5-pro", input_tokens=200_001, cached_tokens=200_001) == Decimal("0.05000025")
    assert cost("gpt-5.2", input_tokens=1_000_000, service_tier="batch") == Decimal("0.875")
    assert cost("gpt-5.2", input_tokens=1_000_000, service_tier="priority") == Decimal("3.5")
    assert cost("gpt-5.2", input_tokens=1_000_000, service_tier="auto") == Decimal("1.75")


def test_prices_change_with_the_day_and_the_hour():
    def price(at):
        return pricing.cost("deepseek-v4-pro", input_tokens=1_000_000, at=at)

    assert price("2026-08-16T12:00") == Decimal("0.435")
    assert price("2026-08-17T12:00") == Decimal("0.66")
    assert price("2026-11-20T02:00Z") == Decimal("1.32")
    zone = dt.timezone(dt.timedelta(hours=8))
    assert price(dt.datetime(2026, 11, 20, 10, tzinfo=zone)) == Decimal("1.32")  # two o'clock in UTC
    assert price(dt.datetime(2026, 11, 20, 5)) == Decimal("0.66")
    assert price(dt.date(2026, 11, 20)) == price("2026-11-20T00:00:00")


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("gpt-5-2", "gpt-5.2"),
        ("openai/gpt-5.2", "gpt-5.2"),
        ("GPT-5.2", "gpt-5.2"),
        ("gpt-5.2-2025-12-11", "gpt-5.2"),
        ("gpt-5.2-20251211", "gpt-5.2"),
        ("azure/gpt-5.2", "gpt-5.2"),
        ("litellm_proxy/gpt-5.2", "gpt-5.2"),
        ("anthropic/claude-haiku-4-5", "claude-haiku-4-5"),
        ("claude-haiku-4.5", "claude-haiku-4-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("openrouter/anthropic/claude-haiku-4.5", "claude-haiku-4-5"),
        ("vertex_ai/claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("bedrock/global.anthropic.claude-haiku-4-5-20251001-v1:0", "claude-haiku-4-5"),
        ("gemini-2.5-flash", "gemini/gemini-2.5-flash"),
    ],
)
def test_names_of_one_model(name, same):
    cost = [pricing.cost(one, 1000, 500, at=DAY) for one in (name, same)]
    assert cost[0] == cost[1] is not None


def test_a_deployment_is_priced_by_its_base_model():
    with pytest.warns(pricing.PriceWarning, match="no price is known for azure/chat-eu"):
        assert pricing.cost("azure/chat-eu", 1000, 500) is None
    assert pricing.cost("azure/chat-eu", 1000, 500, base_model="gpt-5.2", at=LATER) == Decimal("0.00875")


@pytest.mark.parametrize("name", ["ollama/llama3", "hosted_vllm/my-model", "lm_studio/x", "llamafile/y"])
def test_local_models_are_free_which_is_not_unpriced(name):
    assert pricing.cost(name, 1000, 500) == 0
    assert pricing.ratio("gpt-5.2", name, at=LATER) is None


@pytest.mark.parametrize(
    "name", ["gpt-99", "openai/claude-haiku-4-5", "ollama/gpt-oss:120b-cloud", "", "/", "who/knows"]
)
def test_an_unknown_price_is_none_with_a_warning_and_never_zero(name):
    assert pricing.price(name) is None
    with pytest.warns(pricing.PriceWarning, match="counts as unpriced, not as free"):
        assert pricing.cost(name, 1000, 500) is None
    with pytest.warns(pricing.PriceWarning):
        found = scenario({name: 0.5, "gpt-5.2": 0.5})
    assert (found.cost, found.saved, found.saved_share, found.unpriced) == (None, None, None, (name,))
    assert found.lines[1].cost == 4375
    assert "unpriced" in repr(found)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: pricing.cost("gpt-99", 1),
        lambda: pricing.breakdown("gpt-99", input_tokens=1),
        lambda: pricing.compare(["gpt-99"], {"input_tokens": 1}),
        lambda: pricing.ratio("gpt-5.2", "gpt-99", at=DAY),
        lambda: scenario({"gpt-99": 1}),
    ],
)
def test_the_warning_points_at_the_caller(ask):
    with pytest.warns(pricing.PriceWarning) as caught:
        ask()
    assert [one.filename for one in caught] == [__file__]


def test_a_model_that_was_shut_down_warns_once():
    day = dt.date.fromisoformat(pricing.facts("gemini/gemini-2.5-pro").shutdown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pricing.cost("gemini/gemini-2.5-pro", 1, at=day - dt.timedelta(days=1))
    with pytest.warns(pricing.PriceWarning, match=f"its provider shuts it down, {day}"):
        assert pricing.cost("gemini/gemini-2.5-pro", 1, at=day)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pricing.cost("gemini/gemini-2.5-pro", 1, at=day)


def test_numbers_that_cannot_be_are_refused():
    for wrong, text in (
        ({"input_tokens": -1}, "input_tokens: expected at least 0, found -1"),
        ({"input_tokens": 10, "cached_tokens": 11}, "expected at most 10, found 11"),
        ({"output_tokens": 10, "reasoning_tokens": 11}, "reasoning_tokens"),
        ({"input_tokens": "much"}, "expected a decimal number, found `much`"),
        ({"input_tokens": float("nan")}, "expected a decimal number, found `nan`"),
        ({"service_tier": "gold"}, "expected default, batch, flex, priority or fast, found `gold`"),
        ({"at": "12 January"}, "expected a date as YYYY-MM-DD"),
    ):
        with pytest.raises(ValueError, match=text) as caught:
            pricing.cost("gpt-5.2", **wrong)
        assert isinstance(caught.value, errors.InvalidValueError)
    with pytest.raises(TypeError, match="expected a date"):
        pricing.cost("gpt-5.2", at=20260112)
    with pytest.raises(TypeError, match="found input_token"):
        scenario({"gpt-5.2": 1}, input_token=3)
    for mix in ({"gpt-5.2": 0.5}, {}, {"gpt-5.2": 1.5, "gpt-5-mini": -0.5}):
        with pytest.raises(ValueError, match="share"):
            scenario(mix)


def test_a_breakdown_adds_up_and_reads_usage():
    details = types.SimpleNamespace(cached_tokens=64, audio_tokens=0, cache_write_tokens=None)
    usage = types.SimpleNamespace(
        prompt_tokens=120, completion_tokens=45, prompt_tokens_details=details, completion_tokens_details=None
    )
    found = pricing.breakdown("gpt-5.2", usage, at=LATER)
    assert (
        found.total
        == sum(part.cost for part in found.parts)
        == pricing.cost("gpt-5.2", 120, 45, cached_tokens=64, at=LATER)
    )
    assert [part.unit for part in found.parts] == ["input", "output", "cache_read"]
    as_dict = {"prompt_tokens": 120, "completion_tokens": 45, "prompt_tokens_details": {"cached_tokens": 64}}
    assert pricing.breakdown("gpt-5.2", as_dict, at=LATER) == found
    assert "cache_read" in repr(found)
    assert "<td" in found._repr_html_()
    with pytest.raises(TypeError, match="OpenAI's usage"):
        pricing.breakdown("gpt-5.2", 3)
    with pytest.raises(ValueError, match="found tokens"):
        pricing.breakdown("gpt-5.2", {"tokens": 3})


def test_a_comparison_is_a_mapping_with_the_cheapest_first():
    with pytest.warns(pricing.PriceWarning):
        found = pricing.compare(
            ["gpt-5.2", "gpt-99", "gpt-5-mini", "ollama/x"], {"input_tokens": 1000, "output_tokens": 500}, at=DAY
        )
    assert list(found.items()) == [
        ("ollama/x", 0), ("gpt-5-mini", Decimal("0.00125")), ("gpt-5.2", Decimal("0.00875")), ("gpt-99", None),
    ]  # fmt: skip
    assert "7.0" in repr(found)
    assert "<table" in found._repr_html_()
    with pytest.raises(TypeError, match="one string"):
        pricing.compare("gpt-5.2", input_tokens=1)


def test_results_escape_html(own_prices):
    own_prices({"<b>": {"input": 1, "output": 1}})
    assert "<b>" not in pricing.compare(["<b>"], input_tokens=1)._repr_html_()
    assert "<b>" not in pricing.price("<b>")._repr_html_()


def test_prices_name_their_date_and_source():
    found = pricing.price("openai/gpt-5-2", at=DAY)
    assert found.source.startswith("genai-prices 0.2.3, https://")
    assert found.date == str(pricing.as_of()) == found.as_of
    assert pricing.price("deepseek-v4-pro", "2026-08-17T12:00").since == "2026-08-17"
    assert pricing.price("sambanova/DeepSeek-V3.1", DAY).source.startswith("LiteLLM 1.110.2")
    assert "genai-prices 0.2.3" in pricing.version()


def test_facts():
    found = pricing.facts("gpt-5.2-2025-12-11")
    assert (found.context, found.max_output, found.images, found.tools) == (272_000, 128_000, True, True)
    assert pricing.facts("openai/gpt-4").images is False
    assert pricing.facts("openrouter/anthropic/claude-haiku-4.5").tools is True
    assert pricing.facts("azure/gpt-5.2").images is True
    assert pricing.facts("gpt-99") is None


def test_own_prices_go_first(own_prices, tmp_path):
    before = pricing.version()
    own_prices(
        {
            "our-llama": {"input": 0.2, "output": "0.6", "cache_read": Decimal("0.05"), "batch": {"input": 0.1}},
            "azure/chat-eu": "gpt-5.2",
            "gpt-5-mini": {"input": 1, "output": 1, "facts": {"images": False}},
            "lab/*": {"input": 0, "output": 0},
            "long": [{"input": [1, [1000, 2]], "output": 3}, {"from": "2026-12-01", "input": 5, "output": 5}],
        }
    )
    million = {"input_tokens": 1_000_000}
    assert pricing.version() != before
    assert pricing.cost("our-llama", 1_000_000, cached_tokens=500_000) == Decimal("0.125")
    assert pricing.cost("our-llama", **million, service_tier="batch") == Decimal("0.1")
    assert pricing.cost("azure/chat-eu", 1000, 500, at=LATER) == Decimal("0.00875")
    assert pricing.cost("openai/GPT-5-mini", **million) == 1
    assert pricing.facts("gpt-5-mini").images is False
    assert pricing.cost("lab/anything", **million) == 0
    assert pricing.cost("long", 1000, at="2026-11-30") == Decimal("0.001")
    assert pricing.cost("long", 1001, at="2026-11-30") == Decimal("0.002002")
    assert pricing.cost("long", **million, at="2026-12-01") == 5
    assert pricing.cost("gpt-5.2", **million, at=LATER) == Decimal("1.75")
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"gpt-5.2": {"input": 9, "output": 9}}))
    own_prices(path)
    assert pricing.cost("gpt-5.2", **million) == 9
    assert pricing.price("our-llama") is None  # the earlier ones are gone
    assert pricing.price("gpt-5.2").source == "your own prices"
    own_prices(None)
    assert pricing.version() == before


@pytest.mark.parametrize(
    ("prices", "text"),
    [
        ({"m": {"input": -1, "output": 1}}, "price of `m`: expected US dollars of at least 0, found -1"),
        ({"m": {"inptu": 1}}, "found `inptu`"),
        ({"m": {"cache_read": 1, "output": 1}}, "`cache_read` is a part of `input`"),
        ({"m": {}}, "expected `input` or `output`"),
        ({"m": 3}, "expected an object of prices"),
        ({"m": {"input": 1, "from": "soon"}}, "expected `from` as YYYY-MM-DD"),
        ({"a": "b", "b": "A"}, "leads to itself"),
        ({"m": {"input": 1, "facts": {"colour": 1}}}, "found `colour`"),
    ],
)
def test_own_prices_that_make_no_sense_are_refused(own_prices, prices, text):
    version = pricing.version()
    with pytest.raises(ValueError, match=text):
        own_prices(prices)
    assert pricing.version() == version


def test_a_file_of_prices_from_the_environment(tmp_path):
    path = tmp_path / "prices.json"

    def run(code):
        env = {"FERROUTE_PRICES": str(path), "PATH": "/usr/bin"}
        return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)

    code = "from ferroute import pricing; print(pricing.cost('my-model', 1_000_000)); pricing.check()"
    assert "MissingFileError" in run(code).stderr
    # A call with the built-in prices alone would go into the books with the wrong cost.
    call = (
        "import ferroute; ferroute.completion(model='gpt-5.2', messages=[], api_base='http://127.0.0.1:9', api_key='k')"
    )
    assert "MissingFileError" in run(call).stderr
    path.write_text('{"my-model": {"input": 3, "output": 4}}')
    done = run(code)
    assert (done.stdout.strip(), done.stderr) == ("3", "")
    path.write_text('{"my-model": {"input": "free"}}')
    failed = run(code)
    assert "FERROUTE_PRICES" in failed.stderr
    assert "expected US dollars" in failed.stderr
