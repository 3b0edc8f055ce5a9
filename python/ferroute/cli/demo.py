"""``ferroute demo``: real prompts routed offline, the mix, the bill and a picture."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ferroute import _core, _lifecycle, pricing
from ferroute.cli._output import STRONG, WEAK, ascii_only, console, fitted, json_line, note, one_line, percent
from ferroute.controller import Controller
from ferroute.errors import MissingFileError, UnknownNameError
from ferroute.plot import save_share, share_at, share_chart, threshold_for
from ferroute.prompts import read_texts
from ferroute.routers._rules import NAME as RULES
from ferroute.routers._rules import RulesRouter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from decimal import Decimal

    from rich.console import Console

    from ferroute.decision import Decision

BENCHMARKS = {"GSM8K": "gsm8k.parquet", "MT-Bench": "mt_bench.parquet"}
OTHER, OTHER_FILE = "MMLU", "mmlu.parquet"
SHOWN = 12


@dataclass
class Routed:
    """One prompt with what became of it."""

    benchmark: str
    prompt: str
    tokens: int
    decision: Decision
    by_rules: Decision

    @property
    def win_rate(self) -> float:
        """The score of `local`, which always has one."""
        return self.decision.win_rate or 0.0


@dataclass
class BillLine:
    """One model's line: how many requests, what they cost, and at which price."""

    model: str
    requests: Decimal
    cost: Decimal
    price: pricing.Price


@dataclass
class Bill:
    """What a number of requests costs, in US dollars; prompts of each model have a length of their own."""

    lines: list[BillLine]

    @property
    def total(self) -> Decimal:
        """The sum of the lines."""
        return sum((line.cost for line in self.lines[1:]), start=self.lines[0].cost)

    def saving_against(self, other: Bill) -> Decimal | None:
        """The part of ``other``'s total that this bill saves; negative if it is dearer, None if the other is 0."""
        return 1 - self.total / other.total if other.total else None


@dataclass
class Report:
    """Everything the demo shows."""

    share: float
    strong: str
    weak: str
    requests: int
    output_tokens: int
    routed: list[Routed]
    bill: Bill
    all_strong: Bill
    other_traffic: list[float]

    def curves(self) -> dict[str, list[float]]:
        """The scores of each benchmark, and of one more to see that a threshold does not travel."""
        return {**self.win_rates(), OTHER: self.other_traffic}

    def win_rates(self) -> dict[str, list[float]]:
        """The scores of each benchmark that was routed."""
        return {name: [one.win_rate for one in self.routed if one.benchmark == name] for name in BENCHMARKS}

    def strong_calls(self, benchmark: str | None = None, by_rules: bool = False) -> tuple[int, int]:
        """Calls to the strong model, and all calls, of one benchmark or of all."""
        chosen = [one for one in self.routed if benchmark in {None, one.benchmark}]
        decisions = (one.by_rules if by_rules else one.decision for one in chosen)
        return sum(decision.model == self.strong for decision in decisions), len(chosen)


def run(*, share: float, strong: str, weak: str, prompts: int | None, requests: int, output_tokens: int) -> Report:
    """Routes the benchmarks' prompts in one shuffled stream, always the same one."""
    texts = [(name, text) for name, file in BENCHMARKS.items() for text in read_texts(_benchmark(file))]
    random.Random(0).shuffle(texts)
    with _lifecycle.told_to(note):
        # A table that this user has saved would be followed, and is not what the demo speaks of.
        config = {"local": {"calibration": False}}
        controller = Controller(["local"], strong_model=strong, weak_model=weak, config=config)
    controller.routers[RULES] = RulesRouter()

    def decide(text: str, router: str) -> Decision:
        return controller.decide(text, router, share, remember=True)

    tokenize = _core.LocalModel().tokenize
    routed = [
        Routed(name, text, len(tokenize(text)), decide(text, "local"), decide(text, RULES))
        for name, text in texts[:prompts]
    ]
    sides = {model: [one for one in routed if one.decision.model == model] for model in dict.fromkeys((strong, weak))}

    def line(model: str, side: list[Routed]) -> BillLine:
        return _line(model, side, requests, len(routed), output_tokens)

    bill = Bill([line(model, side) for model, side in sides.items() if side])
    all_strong = Bill([line(strong, routed)])
    other: list[float] = controller.batch_calculate_win_rate(read_texts(_benchmark(OTHER_FILE)), "local")
    return Report(float(share), strong, weak, requests, output_tokens, routed, bill, all_strong, other)


def write_png(report: Report, path: Path) -> Path:
    """Draws the picture into a file.

    Raises:
        NotBuiltError: matplotlib is not installed.
    """
    title = "The same threshold is another share on other traffic (router local)"
    save_share(path, report.curves(), share=report.share, title=title)
    return path


def show(report: Report, png: Path | None, *, as_json: bool) -> None:
    """Prints the report, for people or for programs."""
    if as_json:
        json_line(_record(report, png))
        return
    out = console()
    name = f"router-local-{report.share:.0%}"
    _intro(out, report, name)
    _heading(out, f"Where prompts go: {SHOWN} of {len(report.routed):,}")
    _sample(out, report)
    _heading(out, "The mix: calls to the strong model")
    out.print(_mix(report))
    _paragraph(
        out,
        f"Asked for {report.share:.0%}: each score is ranked among the last 1,000. At the start 100 reference scores "
        "stand in for them, so on traffic unlike those the share comes out after some hundred prompts.",
    )
    _heading(out, f"The bill for {report.requests:,} such requests")
    _bill(out, report)
    _heading(out, "Share of strong calls at each threshold")
    chart = share_chart(report.curves(), share=report.share, width=min(out.width - 2, 100), ascii_only=ascii_only(out))
    out.print(Padding(chart, (0, 0, 0, 2), expand=False))
    # Cut at the number that is printed, so that whoever tries it finds these shares.
    cut = round(threshold_for(report.other_traffic, report.share), 3)
    here = share_at(report.other_traffic, cut)
    elsewhere = " and ".join(f"{share_at(rates, cut):.0%} of {name}" for name, rates in report.win_rates().items())
    _paragraph(out, f"A threshold of {cut:.3f} sends {here:.0%} of {OTHER} to the strong model, but {elsewhere}.")
    if png is not None:
        out.print(f"\n  Picture: {png}")
    _closing(out, name)


def _benchmark(file: str) -> Path:
    path = Path(__file__).parents[1] / "data" / "benchmarks" / file
    if not path.is_file():
        raise MissingFileError(f"{path}: the package's benchmark prompts are missing; reinstall ferroute")
    return path


def _line(model: str, side: Sequence[Routed], requests: int, routed: int, output_tokens: int) -> BillLine:
    from decimal import Decimal

    price = pricing.price(model)
    if price is None:
        raise UnknownNameError(
            f"no price is known for the model `{model}`: expected one as a call names it, or a price of your own "
            "in the file that FERROUTE_PRICES names"
        )
    average = Decimal(sum(one.tokens for one in side)) / len(side)
    part = Decimal(requests) * len(side) / routed
    cost = pricing.cost(model, average, output_tokens)
    return BillLine(model, part, (cost or 0) * part, price)


def _intro(out: Console, report: Report, name: str) -> None:
    counts = Counter(one.benchmark for one in report.routed)
    sets = " and ".join(f"{count:,} of {benchmark}" for benchmark, count in counts.items())
    slowest = sorted(one.decision.routing_us for one in report.routed)
    median = slowest[len(slowest) // 2]
    unit = "us" if ascii_only(out) else "µs"
    text = Text.assemble(
        (name, "bold"),
        f" on {sets}: real prompts, offline, no model is called.\n",
        "Strong model ",
        (report.strong, STRONG),
        ", weak model ",
        (report.weak, WEAK),
        f". A decision takes {median:.0f} {unit} (median).",
    )
    out.print(text)


def _heading(out: Console, text: str) -> None:
    out.print(Text(f"\n{text}", style="bold underline"))


def _spread(report: Report) -> list[Routed]:
    """Prompts of each benchmark over its whole range of scores, highest first."""
    chosen: list[Routed] = []
    for name in BENCHMARKS:
        ranked = sorted((one for one in report.routed if one.benchmark == name), key=lambda one: one.win_rate)
        n = min(SHOWN // len(BENCHMARKS), len(ranked))
        chosen += [ranked[round((i + 0.5) * len(ranked) / n - 0.5)] for i in range(n)]
    return sorted(chosen, key=lambda one: -one.win_rate)


def _sample(out: Console, report: Report) -> None:
    model = max(len(report.strong), len(report.weak))
    plain = ascii_only(out)
    for one in _spread(report):
        style = STRONG if one.decision.model == report.strong else WEAK
        head = Text(f"  {one.win_rate:.3f}  ")
        head.append(fitted(one.decision.model, model), style).append(f"  {one.benchmark:9} ", "dim")
        head.append(fitted(one_line(one.prompt), max(out.width - head.cell_len, 5), pad=False, ascii_only=plain))
        out.print(head, no_wrap=True, overflow="ignore", crop=False)
        reason = one.decision.reason.removeprefix(f"win rate {one.win_rate:.4f} ")
        out.print(Padding(Text(reason, style="dim"), (0, 0, 0, 9), expand=False))


def _mix(report: Report) -> Padding:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("prompts of")
    for title in ("number", "local", RULES, f"threshold for {report.share:.0%}"):
        table.add_column(title, justify="right")
    rates = report.win_rates()
    for name in [*BENCHMARKS, None]:
        strong, total = report.strong_calls(name)
        by_rules, _ = report.strong_calls(name, by_rules=True)
        scores = [one.win_rate for one in report.routed] if name is None else rates[name]
        cut = f"{threshold_for(scores, report.share):.3f}" if scores else "-"
        style = "" if name else "bold"
        table.add_row(name or "all", f"{total:,}", percent(strong, total), percent(by_rules, total), cut, style=style)
    return Padding(table, (0, 0, 0, 2), expand=False)


def _bill(out: Console, report: Report) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("model")
    for title in ("requests", "prompt tokens", "in / out per M", "cost"):
        table.add_column(title, justify="right")
    averages = {
        model: _average([one.tokens for one in report.routed if one.decision.model == model])
        for model in (report.strong, report.weak)
    }
    for line in report.bill.lines:
        style = STRONG if line.model == report.strong else WEAK
        price = f"${line.price.input} / ${line.price.output}"
        table.add_row(
            Text(line.model, style=style), f"{line.requests:,.0f}", averages[line.model], price, _usd(line.cost)
        )
    table.add_row("routed", f"{report.requests:,}", "", "", _usd(report.bill.total), style="bold")
    everything = _average([one.tokens for one in report.routed])
    table.add_row(f"all to {report.strong}", f"{report.requests:,}", everything, "", _usd(report.all_strong.total))
    out.print(Padding(table, (0, 0, 0, 2), expand=False))
    saving = report.bill.saving_against(report.all_strong)
    if saving is not None:
        word = "saves" if saving >= 0 else "adds"
        amount = abs(report.all_strong.total - report.bill.total)
        out.print(Text(f"\n  Routing {word} {_usd(amount)}, {abs(saving):.1%} of the all-strong bill.", style="bold"))
    dated = {line.price.date for line in report.bill.lines} | {line.price.date for line in report.all_strong.lines}
    sources = {line.price.source for line in report.bill.lines}
    _paragraph(
        out,
        f"Assumed: {report.output_tokens:,} tokens an answer from either model. Prompt tokens (average) are counted "
        "with the router's own WordPiece, which only approximates the models' tokenizers. Prices in US dollars per "
        f"million tokens, {', '.join(sorted(dated))}: {'; '.join(sorted(sources))}. Quality is not on this bill.",
    )


def _paragraph(out: Console, text: str) -> None:
    out.print(Padding(Text(text, style="dim"), (0, 2, 0, 2), expand=False))


def _closing(out: Console, name: str) -> None:
    _heading(out, "How to read it")
    out.print(
        Padding(
            Text.assemble(
                "The router ",
                ("local", "bold"),
                " tells kinds of tasks apart: maths, code and exam questions from chat and trivia. Inside one task "
                "it has not seen it is no better than random. Its scores are a ranking, not probabilities, and a "
                "threshold that is right for one kind of traffic is wrong for another, as the picture shows. So ask it "
                "for a share of your own traffic:\n\n",
                (f'  client.chat.completions.create(model="{name}", messages=...)', "bold"),
            ),
            (0, 2, 0, 2),
            expand=False,
        )
    )


def _average(tokens: Iterable[int]) -> str:
    values = list(tokens)
    return f"{sum(values) / len(values):,.1f}" if values else "-"


def _usd(amount: Decimal) -> str:
    return f"${amount:,.2f}"


def _record(report: Report, png: Path | None) -> dict[str, Any]:
    rates = report.win_rates()

    def bill(of: Bill) -> dict[str, Any]:
        lines = [
            {
                "model": line.model,
                "requests": float(line.requests),
                "cost_usd": float(line.cost),
                "input_usd_per_million": float(line.price.input),
                "output_usd_per_million": float(line.price.output),
                "price_date": line.price.date,
                "price_source": line.price.source,
            }
            for line in of.lines
        ]
        return {"total_usd": float(of.total), "lines": lines}

    def mix(name: str | None) -> dict[str, Any]:
        strong, total = report.strong_calls(name)
        scores = [one.win_rate for one in report.routed] if name is None else rates[name]
        return {
            "benchmark": name or "all",
            "prompts": total,
            "strong_calls": {"local": strong, RULES: report.strong_calls(name, by_rules=True)[0]},
            "threshold_for_share": threshold_for(scores, report.share) if scores else None,
        }

    saving = report.bill.saving_against(report.all_strong)
    return {
        "model": f"router-local-{report.share:.0%}",
        "strong_model": report.strong,
        "weak_model": report.weak,
        "share": float(report.share),
        "requests": report.requests,
        "output_tokens": report.output_tokens,
        "sample": [
            {
                "benchmark": one.benchmark,
                "prompt": one.prompt,
                "model": one.decision.model,
                "win_rate": one.win_rate,
                "reason": one.decision.reason,
            }
            for one in _spread(report)
        ],
        "mix": [mix(name) for name in [*BENCHMARKS, None]],
        "bill": bill(report.bill),
        "all_strong": bill(report.all_strong),
        "saving": None if saving is None else float(saving),
        "png": None if png is None else str(png),
    }
