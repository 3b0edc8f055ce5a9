"""An audit as one page that needs no other file, no script and no network, in light and dark alike.

Every text that comes from a log is escaped. No colour means good or bad: what is shown is money, and of quality the
page says only what is proven.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ferroute._notebook import DRAWN, NO_MATH
from ferroute.auditing._bars import Bar, Span, bars, spans
from ferroute.auditing._text import headline
from ferroute.auditing._words import beginning, dollars, percent, percents, range_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ferroute.auditing._findings import Findings

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
"""What the page may load: nothing."""

_PAGE = """
:root{color-scheme:light dark}
body{margin:0;background:#fbfbfa;color:#1d2126}
@media (prefers-color-scheme:dark){body{background:#15181c;color:#e4e6e9}}
""".replace("\n", "")

_STYLE = """
.fr-audit{max-width:980px;margin:0 auto;padding:28px 24px 48px;color:inherit;text-align:left;
 font:14px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
.fr-audit *{box-sizing:border-box}
.fr-audit h1{font-size:22px;line-height:1.3;margin:0 0 4px;font-weight:650;overflow-wrap:anywhere}
.fr-audit h2{font-size:16px;margin:34px 0 8px;font-weight:650;overflow-wrap:anywhere}
.fr-audit p{margin:6px 0}
.fr-audit .dim{opacity:.72}
.fr-audit .verdict{border-left:4px solid #8a8f98;background:rgba(128,128,128,.12);padding:10px 14px;margin:16px 0;
 border-radius:0 6px 6px 0}
.fr-audit .verdict b{display:block;font-size:16px}
.fr-audit .tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(170px,1fr));gap:12px;margin:18px 0}
.fr-audit .tile{border:1px solid rgba(128,128,128,.3);border-radius:8px;padding:10px 14px}
.fr-audit .tile span{display:block;opacity:.72}
.fr-audit .tile b{font-size:20px;font-weight:650;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.fr-audit .wide{overflow-x:auto}
.fr-audit table{border-collapse:collapse;width:100%;table-layout:auto;font-variant-numeric:tabular-nums}
.fr-audit table tr:nth-child(n){background:none}
.fr-audit table th,.fr-audit table td{font-size:inherit;padding:5px 10px 5px 0;text-align:right;
 vertical-align:top;border:0;background:none;
 border-top:1px solid rgba(128,128,128,.22);white-space:nowrap;color:inherit}
.fr-audit table thead th{border-top:0;font-weight:500;opacity:.72}
.fr-audit table .text{text-align:left;white-space:normal;overflow-wrap:anywhere;min-width:120px}
.fr-audit svg{display:block;width:100%;height:auto;margin:8px 0 2px}
.fr-audit svg text{fill:currentColor;font:12px system-ui,-apple-system,"Segoe UI",sans-serif}
.fr-audit ul{margin:6px 0;padding-left:20px}
.fr-audit li{overflow-wrap:anywhere;margin:3px 0}
""".replace("\n", "")

_TEXT = ' class="text" style="text-align:left"'


def page(audit: Findings) -> str:
    """The whole page."""
    title = escape(headline(audit))
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title>'
    )
    return (
        f'<!doctype html><html lang="en"><head>{head}<style>{_PAGE}</style></head><body>{block(audit)}</body></html>\n'
    )


def block(audit: Findings) -> str:
    """The report without a page around it, for a notebook."""
    parts = (
        _head(audit),
        _savings(audit),
        _models(audit),
        _mix(audit),
        _dearest(audit),
        _labels(audit),
        _list("What these logs cannot tell", audit.unknown),
        _method(audit),
    )
    return f'<div class="fr-audit {NO_MATH}"><style>{_STYLE}{DRAWN}</style>{"".join(parts)}</div>'


def _head(audit: Findings) -> str:
    saving = audit.saving
    tiles = [
        ("calls read", f"{audit.calls:,}"),
        ("spent, as far as it is priced", dollars(audit.spend)),
        (f"calls of {audit.strong or 'the model'} with a prompt", f"{audit.total:,}"),
        (f"less spent with {percent(saving.move)} of them moved", dollars(saving.estimate)),
    ]
    made = "".join(
        f'<div class="tile"><span>{escape(name)}</span><b>{escape(value)}</b></div>' for name, value in tiles
    )
    about = f"{audit.source}, read as {audit.format}; router {audit.router}"
    return (
        f'<h1>{escape(headline(audit))}</h1><p class="dim">{escape(about)}</p>'
        f'<div class="verdict"><b>{escape(audit.verdict)}</b>{escape(audit.quality.why)}</div>'
        f'<div class="tiles">{made}</div>'
    )


def _savings(audit: Findings) -> str:
    title = f"If calls of {audit.strong or 'the model'} moved to {audit.to}"
    if audit.saving.estimate is None:
        return f"<h2>{escape(title)}</h2><p>not known: {escape(audit.saving.why or '')}</p>"
    shown = audit.savings if audit.saving in audit.savings else (audit.saving, *audit.savings)
    shown = tuple(sorted(shown, key=lambda each: each.move))
    picture = spans(
        [
            Span(f"{percent(each.move)} moved", each.estimate or 0.0, each.interval, range_of(each.interval))
            for each in shown
        ],
        "US dollars less spent, with their intervals",
    )
    rows = [
        (
            percent(each.move),
            f"{each.calls:,}",
            f"{each.threshold:.4f}",
            dollars(each.estimate),
            range_of(each.interval) if each.interval else "too few calls",
            percents(each.of_spend_interval) if each.of_spend_interval else percent(each.of_spend),
        )
        for each in shown
    ]
    confidence = f"{percent(audit.confidence)} interval"
    head = ("moved", "calls", "win rate below", "less spent", confidence, "of all spend")
    note = (
        "The interval is to cover what the same rule takes off the bill in the next period of as many calls of the "
        f"same traffic. It says nothing of how good the answers of {audit.to} are."
    )
    return f'<h2>{escape(title)}</h2>{picture}{_table(head, rows, ())}<p class="dim">{escape(note)}</p>'


def _models(audit: Findings) -> str:
    picture = bars(
        [
            Bar(beginning(each.model or "not named", 60), each.share, each.spend_share, dollars(each.spend))
            for each in audit.models[:12]
        ],
        ("share of calls", "share of spend"),
    )
    rows = [
        (
            each.model or "not named",
            f"{each.calls:,}",
            dollars(each.spend),
            f"{each.unpriced:,}",
            "-" if each.prompt_tokens is None else f"{each.prompt_tokens:,.0f}",
            "-" if each.completion_tokens is None else f"{each.completion_tokens:,.0f}",
            "-" if each.win_rate is None else f"{each.win_rate:.3f}",
        )
        for each in audit.models
    ]
    head = ("model", "calls", "spend", "unpriced calls", "prompt tokens", "answer tokens", "win rate")
    return f"<h2>Spend by model</h2>{picture}{_table(head, rows, (0,))}"


def _mix(audit: Findings) -> str:
    out = ""
    for by, title in (("complexity", "Mix by complexity"), ("task", "Mix by kind of task")):
        parts = [part for part in audit.mix if part.by == by]
        picture = bars(
            [Bar(part.name.replace("_", " "), part.share, part.spend_share, dollars(part.spend)) for part in parts],
            ("share of calls", "share of spend"),
        )
        rows = [
            (part.name.replace("_", " "), f"{part.calls:,}", dollars(part.spend), percent(part.strong_share))
            for part in parts
        ]
        head = (by if by == "task" else "prompts", "calls", "spend", "at the strong model")
        out += f"<h2>{title}</h2>{picture}{_table(head, rows, (0,))}"
    return out


def _dearest(audit: Findings) -> str:
    if not audit.dearest:
        return ""
    rows = [
        (dollars(each.cost), dollars(each.cost_at), f"{each.win_rate:.4f}", each.place, each.prompt)
        for each in audit.dearest
    ]
    title = f"Dearest calls that {audit.router} finds easy"
    head = ("cost", f"at {audit.to}", "win rate", "place", "prompt")
    return f"<h2>{escape(title)}</h2>{_table(head, rows, (3, 4))}"


def _labels(audit: Findings) -> str:
    from ferroute.auditing._text import labels

    rows = [(f"{row['win_rate']:.4f}", row["place"], beginning(row["prompt"])) for row in audit.to_label[:10]]
    shown = _table(("win rate", "place", "prompt"), rows, (1, 2)) if rows else ""
    more = len(audit.to_label) - len(rows)
    rest = f'<p class="dim">and {more:,} more: save_labels writes them all</p>' if more else ""
    return f"<h2>Prompts to label next</h2><p>{escape(labels(audit))}</p>{shown}{rest}"


def _method(audit: Findings) -> str:
    others = ", ".join(f"{count:,} {kind}" for kind, count in audit.others.items())
    when = "of the day it was made" if audit.at is None else f"of {audit.at}"
    lines = [
        f"Forecasts use prices {when}, data {audit.prices}; costs in the logs go before prices.",
        f"Answer lengths: {audit.habits.note}.",
        "Calls are taken to be alike and independent from period to period.",
        f"Seed of the draws: {audit.seed}.",
        *([f"Records that are no successful chat call: {others}."] if others else []),
    ]
    return _list("How it was made", lines)


def _list(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(beginning(line, 1000))}</li>" for line in lines)
    return f"<h2>{escape(title)}</h2><ul>{items}</ul>" if lines else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], texts: Sequence[int]) -> str:
    def line(tag: str, cells: Sequence[str]) -> str:
        made = (
            f"<{tag}{_TEXT if at in texts else ''}>{escape(beginning(cell))}</{tag}>" for at, cell in enumerate(cells)
        )
        return f"<tr>{''.join(made)}</tr>"

    body = "".join(line("td", row) for row in rows)
    return f'<div class="wide"><table><thead>{line("th", head)}</thead><tbody>{body}</tbody></table></div>'
