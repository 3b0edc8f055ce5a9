"""Prices and bills; `src/pricing` tests the arithmetic."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ferroute import errors, pricing
from ferroute.pricing import Part

DAY = "2026-01-12"


def test_the_articles_table_but_for_its_slip():
    def total(**mix):
        return pricing.bill(
            1_000_000, [Part(model.replace("_", "-"), share, 1000, 500) for model, share in mix.items()], DAY
        )

    all_strong = total(gpt_5_2=1)
    assert all_strong.total == 8750
    basic = total(gpt_5_2="0.3", gpt_5_mini="0.7")
    assert basic.total == 3500
    aggressive = total(gpt_5_2=0.15, gpt_5_mini=Decimal("0.5"), gpt_5_nano=0.35)
    assert [line.cost for line in aggressive.lines] == [Decimal("1312.5"), 625, Decimal("87.5")]
    assert aggressive.total == 2025  # the article adds up to 1,925
    assert round(aggressive.saving_against(all_strong), 3) == Decimal("0.769")


def test_prices_name_their_date_and_source():
    found = pricing.price("openai/gpt-5-2", at=DAY)
    assert (found.input, found.output, found.date) == (Decimal("1.75"), 14, DAY)
    assert found.source
    assert pricing.price("claude-haiku-4.5") == pricing.price("anthropic/claude-haiku-4-5")
    assert pricing.price("gpt-5.2", at="2026-01-11") is None


def test_an_unknown_price_is_none_or_an_error_and_never_zero():
    assert pricing.price("gpt-99") is None
    with pytest.raises(KeyError, match="no price is known for the model `gpt-99`") as caught:
        pricing.bill(1, [Part("gpt-99", 1, 1, 1)])
    assert isinstance(caught.value, errors.UnknownNameError)
    with pytest.raises(ValueError, match=r"add up to 0.5, expected 1"):
        pricing.bill(1, [Part("gpt-5.2", 0.5, 1, 1)])
    with pytest.raises(ValueError, match="expected a decimal number, found `much`"):
        pricing.bill(1, [Part("gpt-5.2", 1, "much", 1)])
