"""An explanation as HTML for a notebook: one self-contained block, without scripts, in light and dark themes alike.

Colours are the page's own, with tints that are transparent, so the block looks right wherever it is shown.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from ferroute._explain_text import borders, prices, printable, remark, sections, short, title
from ferroute._notebook import DRAWN, NO_MATH, drawn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferroute._explained import Candidate, Explained

_STYLE = """
.fr-explain{max-width:860px;font:13px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:inherit;
 border:1px solid rgba(128,128,128,.35);border-radius:8px;padding:14px 18px;text-align:left}
.fr-explain *{box-sizing:border-box}
.fr-explain .fr-head{font-size:16px;font-weight:650;overflow-wrap:anywhere}
.fr-explain .fr-dim{opacity:.72}
.fr-explain table{border-collapse:collapse;width:100%;table-layout:auto;margin:10px 0 4px;font-size:13px;
 font-variant-numeric:tabular-nums}
.fr-explain table tr:nth-child(n){background:none}
.fr-explain table th,.fr-explain table td{text-align:left!important;padding:4px 10px 4px 6px;
 vertical-align:top;background:none;color:inherit;
 border:0;border-top:1px solid rgba(128,128,128,.22);overflow-wrap:anywhere}
.fr-explain table thead th{border-top:0;font-weight:500;opacity:.72}
.fr-explain table td:first-child{overflow-wrap:break-word}
.fr-explain table .fr-num{white-space:nowrap;overflow-wrap:normal}
.fr-explain table .fr-chosen td{background:rgba(38,132,222,.16);font-weight:600}
.fr-explain table .fr-chosen td:first-child{box-shadow:inset 3px 0 #2684de}
.fr-explain table .fr-answered td{background:rgba(224,102,42,.16);font-weight:600}
.fr-explain .fr-skipped td{opacity:.62}
.fr-explain .fr-cost{display:block;height:4px;border-radius:2px;background:#2684de;margin-top:3px;min-width:2px}
.fr-explain .fr-line{position:relative;height:64px;margin:14px 4px 6px}
.fr-explain .fr-line>*{position:absolute}
.fr-explain .fr-part{top:22px;height:20px;overflow:hidden;text-align:center;font-size:12px;line-height:20px;
 border-left:2px solid rgba(128,128,128,.9)}
.fr-explain .fr-here{top:17px;height:30px;width:3px;margin-left:-1.5px;background:#e0662a;border-radius:2px}
.fr-explain .fr-tag{transform:translateX(-50%);white-space:nowrap;font-size:12px;font-variant-numeric:tabular-nums}
.fr-explain dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 16px;margin:8px 0 0}
.fr-explain dl dt{opacity:.72;font-weight:500;float:none;width:auto;margin:0}
.fr-explain dl dd{float:none;width:auto;margin:0;padding:0;overflow-wrap:anywhere}
""".replace("\n", "")

_STRENGTHS = (0.08, 0.45)


def html(shown: Explained) -> str:
    """The block."""
    shown = printable(shown)
    parts = [
        f'<div class="fr-head">{escape(title(shown))}</div>',
        f'<div class="fr-dim">{escape(shown.reason)}</div>',
        _table(shown),
        _line(shown),
        _rest(shown),
    ]
    return f'<div class="fr-explain {NO_MATH}"><style>{_STYLE}{DRAWN}</style>{"".join(parts)}</div>'


def _table(shown: Explained) -> str:
    dearest = max((float(each.expected_cost_usd or 0) for each in shown.candidates), default=0.0)
    rows = "".join(_row(each, dearest) for each in shown.candidates)
    heads = "".join(f"<th>{name}</th>" for name in ("rung", "model", "in / out per 1M", "this request", ""))
    note = ""
    if shown.prompt_tokens is not None and shown.tokens_from is not None:
        answer = next((each.answer_tokens for each in shown.candidates if each.mark == "chosen"), None)
        of_answer = "" if answer is None else f", {answer:,.0f} of answer"
        said = f"this request: {shown.prompt_tokens:,} tokens of prompt{of_answer} ({shown.tokens_from})"
        note = f'<div class="fr-dim">{escape(said)}</div>'
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{note}"


def _row(candidate: Candidate, dearest: float) -> str:
    cost = candidate.expected_cost_usd
    bar = ""
    if cost is not None and dearest > 0:
        bar = f'<span class="fr-cost" style="width:{100 * float(cost) / dearest:.1f}%"></span>'
    cells = (
        f"<td>{escape(candidate.rung or '-')}</td>",
        f"<td>{escape(candidate.model or 'unknown')}</td>",
        f'<td class="fr-num">{escape(prices(candidate))}</td>',
        f'<td class="fr-num" style="min-width:110px">{escape(short(cost))}{bar}</td>',
        f"<td>{escape(remark(candidate))}</td>",
    )
    return f'<tr class="fr-{candidate.mark}">{"".join(cells)}</tr>'


def _line(shown: Explained) -> str:
    found = borders(shown)
    if found is None:
        return ""
    what, value, cuts, names = found
    edges = [0.0, *(cut for cut, _ in cuts), 1.0]
    weak, strong = _STRENGTHS
    parts: list[str] = []
    for index, (left, right, name) in enumerate(zip(edges[:-1], edges[1:], names, strict=True)):
        tint = weak + (strong - weak) * index / max(len(names) - 1, 1)
        place = f"left:{100 * left:.2f}%;width:{100 * (right - left):.2f}%"
        style = f"{place};background:rgba(38,132,222,{tint:.2f}){'' if index else ';border-left:0'}"
        parts.append(f'<div class="fr-part" title="{escape(name)}" style="{style}">{escape(name)}</div>')
    tags = [_tag(value, f"{what} {value:.4f}", "0"), *(_tag(cut, label, "45px") for cut, label in _apart(cuts))]
    here = f'<div class="fr-here" style="left:{100 * value:.2f}%"></div>'
    return drawn(f'<div class="fr-line">{"".join(parts)}{here}{"".join(tags)}</div>')


def _apart(cuts: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Borders with their labels; those too near to each other share one."""
    apart: list[tuple[float, str]] = []
    for cut, label in cuts:
        if apart and cut - apart[-1][0] < 0.06:
            before, said = apart.pop()
            apart.append(((before + cut) / 2, f"{said}, {label}"))
        else:
            apart.append((cut, label))
    return apart


def _tag(place: float, label: str, top: str) -> str:
    # Its middle stays far enough from the ends for the text to be inside.
    room = 0.6 * len(label)
    left = f"clamp({room / 2:.1f}em,{100 * place:.2f}%,calc(100% - {room / 2:.1f}em))"
    return f'<div class="fr-tag" style="left:{left};top:{top}">{escape(label)}</div>'


def _rest(shown: Explained) -> str:
    rows = (
        f"<dt>{escape(name)}</dt><dd>{'<br>'.join(escape(line) for line in lines)}</dd>"
        for name, lines in sections(shown)
    )
    return f"<dl>{''.join(rows)}</dl>"
