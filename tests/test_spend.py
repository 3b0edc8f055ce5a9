"""Sums of the ledger as people see them: numbers, tables, frames, pictures, the command."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from ferroute.errors import InvalidValueError
from ferroute.ledger import Ledger
from ferroute.spend import Latency

AT = datetime(2026, 1, 12, 12, tzinfo=timezone.utc).timestamp()


def fill(book):
    """Ten routed calls, one of them unpriced, and one of a model by its name."""
    for n in range(7):
        book.add("weak", prompt_tokens=100, completion_tokens=10, cost="0.001", router_cost="0.0001", baseline="0.005",
                 router="mf", total_ms=100 + n, ttft_ms=10 + n, at=AT + n)  # fmt: skip
    book.add("strong", prompt_tokens=100, cost="0.005", router_cost="0.0001", baseline="0.005", router="mf",
             total_ms=2000, at=AT + 7)  # fmt: skip
    book.add("weak", outcome="cancelled", estimated=True, cost="0.0005", router="mf", router_cost=0, baseline="0.001",
             at=AT + 8)  # fmt: skip
    book.add("mystery", prompt_tokens=100, router="mf", router_cost=0, at=AT + 9)
    book.add("strong", cost="0.01", at=AT + 100_000)
    return book


@pytest.fixture
def book(tmp_path):
    with Ledger(f"sqlite:///{tmp_path}/calls.db") as opened:
        yield fill(opened)


def test_sums_are_exact(book):
    spend = book.spend()
    assert (spend.queries, spend.unpriced, spend.cancelled, spend.estimated) == (11, 1, 1, 1)
    assert spend.cost == Decimal("0.0225")
    assert spend.router_cost == Decimal("0.0008")
    assert spend.total == Decimal("0.0233")
    assert spend.cost_per_query == Decimal("0.00233")
    # Seven save 0.0039 each, the strong one loses its routing, the cancelled one saves 0.0005; no baseline by name.
    assert (spend.compared, spend.saved, spend.baseline) == (9, Decimal("0.0277"), Decimal("0.041"))
    assert spend.saved_share == pytest.approx(0.0277 / 0.041)
    assert [(model.model, model.queries) for model in spend.models] == [("weak", 8), ("strong", 2), ("mystery", 1)]
    assert spend.models[0].latency == Latency(7, 103, pytest.approx(105.7), pytest.approx(105.94))
    assert spend.models[0].first_token.p50 == 13
    assert spend.routers[None].cost == Decimal("0.01")
    assert spend.saving is None
    assert spend.lost == 0


def test_filters(book):
    def queries(**filters):
        return book.spend(**filters).queries

    assert queries(router="mf") == 10
    assert queries(model="strong") == 2
    assert queries(model="strong", router="mf") == 1
    assert queries(since="2026-01-13") == 1
    assert queries(until=date(2026, 1, 13)) == 10
    assert queries(since="2026-01-12T12:00:05Z", until=datetime.fromtimestamp(AT + 7, timezone.utc)) == 2
    assert queries(since="2026-01-12T13:00:05+01:00", until="2026-01-12T12:00:07") == 2
    assert queries(until=timedelta(days=1)) == 11
    assert queries(since="24h") == 0
    with pytest.raises(InvalidValueError, match="since: expected a time such as 7d"):
        queries(since="yesterday")
    with pytest.raises(InvalidValueError, match="until: expected a date, a datetime"):
        queries(until=7)


def test_a_dear_router_a_cold_cache_and_longer_answers_are_a_loss():
    book = Ledger()
    # The engine has put retries and the cold cache into the cost, and the forecast into the baseline.
    book.add("weak", cost="0.006", router_cost="0.002", baseline="0.005", router="mf")
    assert book.spend().saved == Decimal("-0.003")
    assert "-$0.00300" in repr(book.spend())


def test_the_measured_saving_needs_calls_by_lot():
    book = Ledger()
    for n in range(20):
        book.add("strong", cost="0.01" if n % 2 else "0.012", router="mf", router_cost="0.001", holdout=True)
    for n in range(100):
        book.add("weak", cost="0.002" if n % 2 else "0.003", router="mf", router_cost="0.001")
    saving = book.spend().saving
    # Without a router, its cost falls away: 100 * (0.011 - 0.0035).
    assert saving.usd == pytest.approx(0.75)
    assert (saving.holdout, saving.routed, saving.baseline_usd) == (20, 100, pytest.approx(1.1))
    assert saving.share == pytest.approx(0.75 / 1.1)
    # Deviations 0.001026 and 0.000503: 100 * sqrt(0.001026^2 / 20 + 0.000503^2 / 100) = 0.02349, t of 21.7 = 2.076.
    assert saving.high - saving.usd == pytest.approx(0.02349 * 2.076, rel=0.01)
    assert saving.usd - saving.low == pytest.approx(saving.high - saving.usd)
    assert "measured $0.750" in repr(book.spend())


def test_frames_have_a_row_a_model(book):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    spend = book.spend()
    frame = spend.to_pandas()
    assert list(frame["model"]) == ["weak", "strong", "mystery"]
    assert frame["share"].sum() == pytest.approx(1)
    assert frame["cost_usd"].sum() == pytest.approx(0.0225)
    assert pandas.isna(frame["cost_usd"][2])
    assert spend.to_polars()["total_ms_p50"].to_list() == [103.0, 2000.0 / 2, 0.0]
    assert isinstance(spend.to_polars(), polars.DataFrame)
    empty = Ledger().spend()
    assert len(empty.to_pandas()) == len(empty.to_polars()) == 0
    assert list(empty.to_pandas().columns) == list(frame.columns) == empty.to_polars().columns


def test_calls_are_the_raw_records(book):
    pytest.importorskip("pandas")
    pytest.importorskip("polars")
    calls = book.spend(router="mf").calls()
    assert len(calls) == 10
    assert calls["time"][0] == datetime(2026, 1, 12, 12, tzinfo=timezone.utc)
    assert calls["saved_usd"][0] == pytest.approx(0.0039)
    assert list(book.spend().calls(2)["model"]) == ["mystery", "strong"]
    polars = book.spend(router="mf").calls(frame="polars")
    assert polars["time"].to_list() == list(calls["time"])
    assert polars["cost_usd"].null_count() == 1
    with pytest.raises(InvalidValueError, match="frame: expected pandas or polars"):
        book.spend().calls(frame="arrow")


def test_texts_say_what_matters(book):
    spend = book.spend()
    text = repr(spend)
    assert text.splitlines()[0] == (
        "Spend: 11 queries, $0.0233; estimated saving $0.0277, 67.6%; quality: not measured"
    )
    assert "unpriced" in text
    assert "1 of 11 queries have no price" in text
    html = spend._repr_html_()
    assert html.count("<tr>") == 4
    assert "&lt;" not in html
    odd = Ledger()
    odd.add("<b>model</b>")
    assert "<b>model" not in odd.spend()._repr_html_()
    assert repr(Ledger().spend()) == "Spend: 0 queries, $0.00"


def test_the_picture_shows_both_shares(book, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = book.spend().plot()
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert widths[0] == pytest.approx([1 / 11, 2 / 11, 8 / 11])
    assert widths[1] == pytest.approx([0, 0.0151 / 0.0233, 0.0082 / 0.0233])
    texts = [text.get_text() for text in axes.texts]
    assert "unpriced" in texts
    assert "8 (73%)" in texts
    book.spend().save_plot(tmp_path / "spend.png")
    assert (tmp_path / "spend.png").read_bytes().startswith(b"\x89PNG")
    Ledger().spend().plot()
    matplotlib.pyplot.close("all")


def ferroute(*arguments, **environment):
    command = [sys.executable, "-m", "ferroute", "spend", *map(str, arguments)]
    import os

    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "120", **environment}
    )


def test_the_command(book, tmp_path):
    path = tmp_path / "calls.db"
    book.close()
    shown = ferroute("--ledger", path)
    assert shown.returncode == 0, shown.stderr
    assert "11 queries cost $0.0233, $0.000800 of it for routing; $0.00233 each" in shown.stdout
    assert "estimated saving against the strong model alone: $0.0277 (67.6%)" in shown.stdout
    assert "quality: not measured" in shown.stdout
    assert "unpriced" in shown.stdout
    assert "note: 1 of 11 queries have no price" in shown.stderr
    found = json.loads(ferroute("--json", "--router", "mf", FERROUTE_LEDGER=f"sqlite:///{path}").stdout)
    assert (found["queries"], found["total"], found["saved"]) == (10, "0.0133", "0.0277")
    assert found["models"][0]["latency"]["p50"] == 103
    lines = ferroute("--csv", "--ledger", path, "--since", "2026-01-13").stdout.splitlines()
    assert [line.split(",")[0] for line in lines] == ["model", "strong"]
    narrow = ferroute("--ledger", path, COLUMNS="60")
    assert max(map(len, narrow.stdout.splitlines())) < 140


def test_the_command_refuses_what_it_does_not_understand(tmp_path):
    for arguments, code, text in [
        (["--ledger", tmp_path / "none.db"], 1, "there is no file"),
        (["--ledger", "memory:"], 2, "belongs to the process that fills it"),
        (["--ledger", "mysql://host"], 2, "expected `memory:`"),
        ([], 2, "--ledger"),
    ]:
        ended = ferroute(*arguments)
        assert (ended.returncode, text in ended.stderr) == (code, True), ended.stderr
    assert not (tmp_path / "none.db").exists()


def test_importing_is_free():
    heavy = "numpy, pandas, polars, matplotlib, multiprocessing, openai, rich, sqlite3"
    code = f"import sys, ferroute.ledger, ferroute.spend\nprint([m for m in '{heavy}'.split(', ') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
