"""The model string, its messages and the choice of side, against what the original returned."""

from __future__ import annotations

import json
import math
import struct
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import GOLDENS
from ferroute import _core
from ferroute.controller import Controller, ModelPair, RoutingError
from ferroute.routers.routers import Router

NAMES = json.loads((GOLDENS / "names" / "model_names.json").read_text())
ROUTING = json.loads((GOLDENS / "names" / "routing.json").read_text())
ERRORS = {"RoutingError": RoutingError, "ValueError": ValueError, "TypeError": TypeError}


class Fixed(Router):
    """Remembers what it was asked, answers with one number."""

    def __init__(self, win_rate=0.5):
        self.win_rate = win_rate
        self.seen = []

    def calculate_strong_win_rate(self, prompt):
        self.seen.append(prompt)
        return self.win_rate


def controller(*names):
    made = Controller([], "strong", "weak")
    made.routers.update({name: Fixed() for name in names})
    return made


CONTROLLERS = {name: controller(*routers) for name, routers in NAMES["controllers"].items()}


def number(value):
    return float(value) if isinstance(value, str) else value


@pytest.mark.parametrize("row", NAMES["rows"], ids=lambda row: f"{row['controller']}:{row['model']!a}")
def test_model_string(row):
    c = CONTROLLERS[row["controller"]]
    if row.get("stage") == "parse":
        with pytest.raises(ERRORS[row["error"]]) as caught:
            c._parse_model_name(row["model"])
        assert str(caught.value) == row["message"]
        assert row["error"] != "ValueError" or not isinstance(caught.value, RoutingError)
        return
    router, threshold = c._parse_model_name(row["model"])
    assert router == row["parsed"]["router"]
    assert repr(threshold) == row["parsed"]["threshold_repr"]
    if row.get("ok"):
        c._validate_router_threshold(router, threshold)
    else:
        with pytest.raises(ERRORS[row["error"]]) as caught:
            c._validate_router_threshold(router, threshold)
        assert str(caught.value) == row["message"]


@pytest.mark.parametrize("row", NAMES["validate_direct"], ids=str)
def test_validation_of_given_values(row):
    c = CONTROLLERS["five"]
    threshold = number(row["threshold"])
    if row.get("ok"):
        c._validate_router_threshold(row["router"], threshold)
        return
    with pytest.raises(ERRORS[row["error"]]) as caught:
        c._validate_router_threshold(row["router"], threshold)
    assert str(caught.value) == row["message"]


@pytest.mark.parametrize("row", ROUTING["routes"], ids=str)
def test_side(row):
    router = Fixed(number(row["win_rate"]))
    assert router.route("x", row["threshold"], ModelPair("strong", "weak")) == row["routed_to"]
    c = controller()
    c.routers["fixed"] = router
    assert c.route("x", "fixed", row["threshold"]) == row["routed_to"]
    assert c.decide("x", "fixed", row["threshold"]).model == row["routed_to"]


def test_text_routed_on():
    c = controller("fixed")
    c.decide(ROUTING["conversation"], "fixed", 0.5)
    assert c.routers["fixed"].seen == [ROUTING["text_given_to_router"]]


def same_float(a, b):
    return struct.pack("d", a) == struct.pack("d", b) or (math.isnan(a) and math.isnan(b))


def known(text):
    """Digits newer than this Python's Unicode tables are ours alone."""
    return all(unicodedata.category(c) != "Cn" for c in text)


NUMBERISH = st.text(st.sampled_from("0123456789.eE+-_ \t\n\x0b\x1c\x1f\x85\xa0٠٥９infatyINFATY"), max_size=12)


@given(st.one_of(NUMBERISH, st.text(max_size=8), st.floats().map(repr), st.floats().map(lambda x: f" {x:_.3f}\u2003")))
def test_floats_are_read_as_python_reads_them(text):
    if not known(text) or any(0xD800 <= ord(c) <= 0xDFFF for c in text):
        return
    try:
        expected = float(text)
    except ValueError:
        expected = None
    found = _core.parse_float(text)
    assert (found is None) == (expected is None)
    assert expected is None or same_float(found, expected)


@given(st.floats())
def test_floats_are_written_as_python_writes_them(value):
    assert _core.float_repr(value) == repr(value)


def test_every_decimal_digit_python_knows():
    for code in range(0x110000):
        digit = unicodedata.decimal(chr(code), None)
        if digit is not None:
            assert _core.parse_float(chr(code)) == digit, hex(code)


@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_no_model_string_panics(model):
    c = CONTROLLERS["five"]
    try:
        router, threshold = c._parse_model_name(model)
        c._validate_router_threshold(router, threshold)
    except (RoutingError, ValueError):
        pass
    except BaseException as e:  # a panic would arrive as PanicException, which is no Exception
        pytest.fail(f"{model!r}: {e!r}")
