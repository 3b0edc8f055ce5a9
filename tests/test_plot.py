"""The pictures, by their numbers rather than their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from ferroute import plot

SCORES = [0.2, 0.4, 0.4, 0.9]
rates = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def read_off(thresholds, shares, at):
    """The share that steps drawn before their points show at a threshold."""
    return shares[np.searchsorted(thresholds, at, side="left")]


def test_share_curve_is_the_exact_step_function():
    thresholds, shares = plot.share_curve(SCORES)
    for at, share in [(0, 1), (0.2, 1), (0.21, 0.75), (0.4, 0.75), (0.5, 0.25), (0.9, 0.25), (0.91, 0), (1, 0)]:
        assert read_off(thresholds, shares, at) == share == plot.share_at(SCORES, at), at


@given(rates, st.floats(0, 1))
@example([float(np.nextafter(1, 0))], 1.0)
@example([5e-324], 0.0)
def test_share_curve_agrees_with_counting(scores, at):
    thresholds, shares = plot.share_curve(scores)
    assert np.all(np.diff(thresholds) > 0)
    assert np.all(np.diff(shares) <= 0)
    assert read_off(thresholds, shares, at) == pytest.approx(np.mean(np.array(scores) >= at))


@given(rates, st.integers(0, 100))
def test_threshold_for_is_the_highest_that_gives_the_share(scores, percent):
    at = plot.threshold_for(scores, percent / 100)
    assert plot.share_at(scores, at) >= percent / 100 - 1e-9
    assert all(plot.share_at(scores, score) < percent / 100 or score <= at for score in scores)


@pytest.mark.parametrize("bad", [[], [0.5, float("nan")], [-0.1], [1.1], [[2.0]]])
def test_scores_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match=r"win_rates is empty|win rates are between 0 and 1"):
        plot.share_curve(bad)


def test_picture_shows_the_curves_and_is_a_png(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = plot.plot_share({"a": SCORES, "b": [0.1, 0.3, 0.5]}, share=0.5)
    lines = {line.get_label(): line for line in axes.get_lines()}
    for label, scores in [("a", SCORES), ("b", [0.1, 0.3, 0.5])]:
        x, y = lines[label].get_data()
        assert lines[label].get_drawstyle() == "steps-pre"
        for at in [0.15, 0.4, 0.55]:
            assert read_off(x, y, at) == pytest.approx(plot.share_at(scores, at))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a: 50% at 0.400", "b: 50% at 0.300"]
    assert "threshold" in axes.get_xlabel()
    assert axes.get_title(loc="left")
    path = tmp_path / "share.png"
    plot.save_share(path, {"a": SCORES})
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = int.from_bytes(header[16:20], "big"), int.from_bytes(header[20:24], "big")
    assert width >= 1000
    assert height >= 500
    matplotlib.pyplot.close("all")


def drawn(**kwargs):
    console = Console(width=200, no_color=True)
    with console.capture() as capture:
        console.print(plot.share_chart(**kwargs))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_chart_in_characters():
    lines = drawn(win_rates={"a": SCORES, "b": [0.1, 0.3]}, share=0.5, width=60, height=10)
    assert lines[0].startswith("100% ┤")
    assert sum(line.startswith(" 50% ┤") for line in lines) == 1
    assert lines[9].startswith("  0% ┤")
    assert "0.05" in lines[11]
    assert "0.95" in lines[11]
    assert lines[12].endswith("a: 50% strong at 0.400")
    assert lines[13].endswith("b: 50% strong at 0.300")
    assert max(map(len, lines)) <= 60


def test_chart_without_unicode_has_the_right_heights():
    lines = drawn(win_rates=SCORES, share=None, width=66, height=11, ascii_only=True)
    assert all(line.isascii() for line in lines)
    # Columns of the drawing run from 0.15 to 0.95 in 60 steps, its rows from 100 % to 0 % in 10.
    for at, share in [(0.17, 1.0), (0.3, 0.75), (0.6, 0.25), (0.93, 0.0)]:
        column = 6 + int((at - 0.15) / 0.8 * 60)
        marked = [row for row in range(11) if lines[row][column : column + 1] == "*"]
        assert round((1 - share) * 10) in marked, (at, marked)


@given(rates, st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_rung_shares_agree_with_counting(scores, cuts):
    cuts = sorted(cuts)
    shares = plot.rung_shares(scores, cuts)
    rungs = [sum(score >= cut for cut in cuts) for score in scores]
    assert shares == pytest.approx([rungs.count(rung) / len(scores) for rung in range(len(cuts) + 1)])


@pytest.mark.parametrize("bad", [[], [0.5, 0.4], [float("nan")]])
def test_cuts_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="cuts are thresholds that do not fall"):
        plot.rung_shares(SCORES, bad)


def test_the_picture_of_rungs_stands_on_its_curve(tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = plot.plot_rungs(SCORES, [0.3, 0.5], names=["cheap", "mid", "expensive"])
    marks = [text.get_text() for text in axes.get_legend().get_texts()]
    assert marks == ["expensive: 25.0%", "mid: 50.0%", "cheap: 25.0%"]
    points = [line.get_data() for line in axes.get_lines() if line.get_marker() == "o"]
    assert [(float(x[0]), float(y[0])) for x, y in points] == [(0.3, 0.75), (0.5, 0.25)]
    axes.figure.savefig(tmp_path / "rungs.png")
    assert (tmp_path / "rungs.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="names: expected 3, one for each rung, found 1"):
        plot.plot_rungs(SCORES, [0.3, 0.5], names=["cheap"])
