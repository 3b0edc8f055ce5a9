"""The explorer's HTML: style, picture, table and the script that moves a line along the picture.

Everything that is said is made here, in Python: the script only picks the words of a place. So what a notebook shows
without scripts (GitHub, an untrusted file) are the same numbers, in a table.
"""

from __future__ import annotations

import json
import math
from html import escape
from typing import TYPE_CHECKING

from ferroute._notebook import NO_MATH, drawn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferroute._sweep import Sweep

SHOWN = (0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05)
"""Shares of strong calls whose rows the table has."""

WIDTH, LEFT, RIGHT = 720, 58, 704
_TALL = {"share": (14, 130), "quality": (168, 312)}
_SMALL = 1e-9
"""What a product may lose by rounding."""

_FEW = 30

# JupyterLab hears arrow keys before the page does, and would leave the cell. Lumino, its toolkit, leaves them to an
# element that has this attribute itself.
_OWN_KEYS = 'data-lm-suppress-shortcuts="true"'

_UNTRUSTED = (
    "Slider and picture appear when the cell is run again, or the notebook is trusted (in JupyterLab: Trust Notebook)."
)
"""Shown where a viewer takes scripts and styles away."""

_STYLE = """
.fr-explore{max-width:760px;font:13px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif;color:inherit;text-align:left;
 border:1px solid rgba(128,128,128,.35);border-radius:8px;padding:14px 18px}
.fr-explore *{box-sizing:border-box}
.fr-explore .fr-head{font-size:16px;font-weight:650;overflow-wrap:anywhere}
.fr-explore .fr-dim{opacity:.78}
.fr-explore [hidden]{display:none!important}
.fr-explore .fr-drawn[hidden]{display:block!important}
.fr-explore .fr-unstyled{display:none}
.fr-explore .fr-tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:12px 0 10px}
.fr-explore .fr-tiles>div{border-left:3px solid rgba(128,128,128,.4);padding:0 0 0 10px}
.fr-explore .fr-tiles>.fr-a{border-color:#2684de}.fr-explore .fr-tiles>.fr-b{border-color:#e0662a}
.fr-explore .fr-title{display:block;font-weight:500;opacity:.78}
.fr-explore .fr-figure{display:block;font-size:20px;font-weight:650;font-variant-numeric:tabular-nums;line-height:1.3}
.fr-explore .fr-fine{display:block;font-size:12px;opacity:.78}
.fr-explore label{display:block;font-weight:600}
.fr-explore input[type=range]{display:block;width:100%;margin:6px 0 2px;padding:0;height:22px;accent-color:#2684de;
 cursor:pointer}
.fr-explore input:focus-visible,.fr-explore select:focus-visible{outline:2px solid #2684de;outline-offset:2px}
.fr-explore select{font:inherit;margin-left:8px;padding:2px 6px}
.fr-explore .fr-ends{display:flex;justify-content:space-between;gap:16px;font-size:12px;opacity:.78}
.fr-explore svg{display:block;width:100%;height:auto;margin:6px 0;overflow:visible}
.fr-explore svg text{fill:currentColor;font-size:12px;font-variant-numeric:tabular-nums}
.fr-explore table{border-collapse:collapse;margin:8px 0 4px;font-variant-numeric:tabular-nums}
.fr-explore table tr:nth-child(n){background:none}
.fr-explore table th,.fr-explore table td{text-align:right;padding:3px 12px 3px 0;background:none;color:inherit;
 border:0;border-top:1px solid rgba(128,128,128,.25)}
.fr-explore table thead th{border-top:0;font-weight:500;opacity:.78}
.fr-explore summary{cursor:pointer}
.fr-explore code{font-size:12px}
""".replace("\n", "")

# Keys with Ctrl and the like stay JupyterLab's, such as Ctrl+S: the modifier is a key of its own, which comes before.
# It takes every copy of the block that it has not yet taken: a notebook may show one output twice.
_SCRIPT = """
(() => {
  const sweeps = DATA;
  for (const root of document.querySelectorAll('[data-fr-explore="MARK"]:not([data-live])')) {
    root.dataset.live = "";
    const one = (name) => root.querySelector(`[data-part="${name}"]`);
    const slider = one("slider"), choice = one("choice");
    let at = 0;
    const say = () => {
      const place = sweeps[at].places[Number(slider.value)];
      for (const name of ["threshold", "share", "cost", "quality"]) {
        one(name).textContent = place[name][0];
        one(`${name}-fine`).textContent = place[name][1];
      }
      one("call").textContent = place.call;
      one("call-line").hidden = !place.call;
      slider.setAttribute("aria-valuetext", place.spoken);
      const picture = root.querySelectorAll("[data-sweep]")[at];
      const line = picture.querySelector("[data-line]");
      line.setAttribute("x1", place.x);
      line.setAttribute("x2", place.x);
      for (const dot of picture.querySelectorAll("[data-dot]")) {
        dot.setAttribute("cx", place.x);
        dot.setAttribute("cy", place[dot.dataset.dot]);
      }
    };
    const begin = () => {
      at = choice ? choice.selectedIndex : 0;
      root.querySelectorAll("[data-sweep], [data-rows]").forEach((each) => {
        each.hidden = Number(each.dataset.sweep ?? each.dataset.rows) !== at;
        each.style.display = each.hidden ? "none" : "";
      });
      slider.max = sweeps[at].places.length - 1;
      slider.value = sweeps[at].start;
      say();
    };
    slider.addEventListener("input", say);
    const keys = (event) => {
      const whose = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
      event.currentTarget.toggleAttribute("data-lm-suppress-shortcuts", !whose);
    };
    for (const each of [slider, choice]) {
      for (const kind of ["focus", "keydown", "keyup"]) each?.addEventListener(kind, keys);
    }
    if (choice) choice.addEventListener("change", begin);
    one("live").hidden = false;
    one("table").open = false;
    begin();
  }
})();
"""


def block(sweeps: Sequence[Sweep], share: float, mark: str) -> str:
    """The block for a notebook.

    Args:
        sweeps: What is shown, one a router.
        share: Share of strong calls where the slider begins, 0..=1.
        mark: Tells this block apart from others on the page; letters and digits.
    """
    data = json.dumps([_spoken(sweep, share) for sweep in sweeps], ensure_ascii=True).replace("<", "\\u003c")
    script = _SCRIPT.replace("MARK", mark).replace("DATA", data)
    pictures = "".join(_picture(sweep, at, share) for at, sweep in enumerate(sweeps))
    tables = "".join(_table(sweep, at, len(sweeps) > 1) for at, sweep in enumerate(sweeps))
    return (
        f'<div class="fr-explore {NO_MATH}" data-fr-explore="{mark}"><style>{_STYLE}</style>'
        '<div class="fr-head">Which threshold?</div>'
        '<div class="fr-dim">The strong model answers when the win rate is at least the threshold: '
        "<strong>higher threshold = fewer strong calls</strong>.</div>"
        f'<div class="fr-unstyled">{_UNTRUSTED}</div>{_live(sweeps)}{drawn(pictures)}'
        f'<details open data-part="table"><summary>As a table</summary>{tables}</details>'
        f'<div class="fr-dim">{escape(_about(sweeps))}</div><script>{script}</script></div>'
    )


def page(sweeps: Sequence[Sweep], share: float, title: str) -> str:
    """The same as a file of its own."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><title>{escape(title)}</title><style>:root{{color-scheme:light dark}}'
        "body{margin:24px;background:Canvas;color:CanvasText}.fr-explore{margin:0 auto}</style></head>"
        f"<body>{block(sweeps, share, 'page')}</body></html>\n"
    )


def _live(sweeps: Sequence[Sweep]) -> str:
    """What only works with the script, hidden until it runs."""
    names = "".join(f"<option>{escape(sweep.name)}</option>" for sweep in sweeps)
    choice = f'<label>Router <select data-part="choice" {_OWN_KEYS}>{names}</select></label>' if len(sweeps) > 1 else ""
    tiles = "".join(
        f'<div class="{kind}"><span class="fr-title">{title}</span><span class="fr-figure" data-part="{name}"></span>'
        f'<span class="fr-fine" data-part="{name}-fine"></span></div>'
        for name, title, kind in (
            ("threshold", "Threshold", ""),
            ("share", "Strong calls", "fr-a"),
            ("cost", "1,000 calls", ""),
            ("quality", "Expected quality", "fr-b"),
        )
    )
    return (
        f'<div data-part="live" hidden="hidden" style="margin-top:10px">{choice}<div class="fr-tiles">{tiles}</div>'
        f'<label>Threshold<input type="range" data-part="slider" {_OWN_KEYS} min="0" max="1" value="0" step="1">'
        "</label>"
        '<div class="fr-ends"><span>&larr; lower: more strong calls</span>'
        "<span>higher: fewer strong calls &rarr;</span></div>"
        '<div class="fr-dim" data-part="call-line">In a call: <code data-part="call"></code></div></div>'
    )


def begin(sweep: Sweep, share: float) -> int:
    """The place whose share of strong calls is nearest to the one asked for."""
    return min(range(len(sweep.shares)), key=lambda at: (abs(sweep.shares[at] - share), at))


def _spoken(sweep: Sweep, share: float) -> dict[str, object]:
    return {"start": begin(sweep, share), "places": [_place(sweep, at) for at in range(len(sweep.shares))]}


def _place(sweep: Sweep, at: int) -> dict[str, object]:
    """The words and positions of one place of the slider."""
    share, cost, quality = sweep.shares[at], _cost(sweep, at), _quality(sweep, at)
    x, y_share, y_quality = _where(sweep, at)
    low, high = sweep.share_ends[at]
    of_share = f"{_percent(low)} to {_percent(high)} on more such prompts"
    name = threshold(sweep, at)
    return {
        "x": x,
        "y-share": y_share,
        "y-quality": y_quality,
        "threshold": [name, f"strong from this win rate on, of {sweep.n:,} prompts"],
        "share": [_percent(share), of_share],
        "cost": list(cost),
        "quality": list(quality),
        "call": f'model="router-{sweep.name}-{name}"' if sweep.callable and name != "above 1" else "",
        "spoken": f"threshold {name}: {_percent(share)} strong calls, "
        f"{'cost not known' if sweep.costs is None else cost[0] + ' for 1,000 calls'}, quality {quality[0]}",
    }


def threshold(sweep: Sweep, at: int) -> str:
    """A threshold as it is written in a model's name; rounded down, so that who is at it stays strong."""
    value = sweep.thresholds[at] * 1e5
    if sweep.shares[at] == 0:
        # The next one that nobody reaches.
        value = math.floor(value + _SMALL) + 1
        return f"{value / 1e5:.5f}" if value <= 1e5 else "above 1"
    return f"{math.floor(value + _SMALL) / 1e5:.5f}"


def _cost(sweep: Sweep, at: int) -> tuple[str, str]:
    if sweep.costs is None or sweep.cost_ends is None:
        return "not known", "no costs were given"
    weak, strong = sweep.cost_ends
    return money(sweep.costs[at]), f"all strong {money(strong)}, all weak {money(weak)}"


def _quality(sweep: Sweep, at: int) -> tuple[str, str]:
    if sweep.qualities is None or sweep.quality_ends is None:
        return "not measured", "needs scores of both models' answers to these prompts"
    weak, strong = sweep.quality_ends
    mixing = weak + sweep.shares[at] * (strong - weak)
    bottom, top = _heights(sweep)
    digits = max(0, 2 - math.floor(math.log10(top - bottom)))
    beside = f"random mixing: {mixing:.{digits}f}"
    if sweep.bands is None:
        return f"{sweep.qualities[at]:.{digits}f}", beside
    low, high = sweep.bands[at]
    return f"{sweep.qualities[at]:.{digits}f}", f"{low:.{digits}f} to {high:.{digits}f}; {beside}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def money(each: float) -> str:
    """US dollars of a thousand calls that cost ``each``."""
    amount = 1000 * each
    return f"${amount:,.2f}" if abs(amount) >= 0.1 or amount == 0 else f"${amount:.2g}"


def _about(sweeps: Sequence[Sweep]) -> str:
    one = sweeps[0]
    parts = [f"Intervals and bands: {one.confidence:.0%}, each place alone"]
    if one.qualities is not None:
        parts.append("quality is the mean score of whoever would have answered; dashed: random mixing of the models")
    else:
        parts.append("quality: not measured")
    parts.append("cost in US dollars" if one.costs is not None else "cost: not known")
    parts.append("a threshold means this share only on traffic like these prompts")
    return "; ".join(parts) + "."


def _table(sweep: Sweep, at: int, named: bool) -> str:
    wanted = sorted({begin(sweep, share) for share in SHOWN})
    head = ("threshold", "strong calls", "cost of 1,000 calls", "expected quality")
    rows: list[str] = []
    for place in wanted:
        low, high = sweep.share_ends[place]
        quality, fine = _quality(sweep, place)
        if sweep.qualities is not None:
            quality += f" ({fine})"
        cells = (
            threshold(sweep, place),
            f"{_percent(sweep.shares[place])} ({_percent(low)} to {_percent(high)})",
            _cost(sweep, place)[0],
            quality,
        )
        rows.append(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    caption = f"<caption>{escape(sweep.name)}</caption>" if named else ""
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    return f'<table data-rows="{at}">{caption}<thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _window(sweep: Sweep) -> tuple[float, float]:
    """The thresholds that are drawn: without a few far ones at either end, which would squeeze the rest."""
    cut = 1 if len(sweep.thresholds) > 20 else 0
    low, high = sweep.thresholds[cut], sweep.thresholds[-1 - cut]
    return (low, high) if high > low else (low - 0.05, high + 0.05)


def _heights(sweep: Sweep) -> tuple[float, float]:
    values = [
        *(sweep.qualities or ()),
        *(sweep.quality_ends or ()),
        *(end for band in sweep.bands or () for end in band),
    ]
    low, high = min(values), max(values)
    room = 0.06 * (high - low) or 0.05
    return low - room, high + room


def _x(sweep: Sweep, value: float) -> float:
    low, high = _window(sweep)
    return round(LEFT + (RIGHT - LEFT) * min(1.0, max(0.0, (value - low) / (high - low))), 1)


def _y(panel: str, low: float, high: float, value: float) -> float:
    top, bottom = _TALL[panel]
    return round(bottom - (bottom - top) * (value - low) / (high - low), 1)


def _where(sweep: Sweep, at: int) -> tuple[float, float, float | None]:
    quality = None
    if sweep.qualities is not None:
        quality = _y("quality", *_heights(sweep), sweep.qualities[at])
    return _x(sweep, sweep.thresholds[at]), _y("share", 0, 1, sweep.shares[at]), quality


def _ticks(low: float, high: float) -> list[float]:
    """About five round numbers."""
    step = 10 ** math.floor(math.log10(high - low))
    step = next((step * part for part in (0.1, 0.2, 0.5, 1) if (high - low) / (step * part) <= 6), step)
    return [step * k for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _digits(ticks: Sequence[float]) -> int:
    """Decimals that tell ticks exactly, six at most."""
    return next((d for d in range(6) if all(abs(t - round(t, d)) < 1e-9 for t in ticks)), 6)


def _picture(sweep: Sweep, at: int, share: float) -> str:
    places = range(len(sweep.shares))
    bottom = _TALL["quality" if sweep.qualities is not None else "share"][1]
    parts = [_panel("share", 0, 1, [0, 0.25, 0.5, 0.75, 1], "strong calls", percent=True)]
    # A step lies before its threshold: whoever is between two of them is judged by the right one. Few points are read
    # off a curve that goes on between them.
    xs, ys = zip(*(_where(sweep, place)[:2] for place in places), strict=True)
    step = "V{1}H{0}" if len(xs) > _FEW else "L{0} {1}"
    path = f"M{xs[0]} {ys[0]}" + "".join(step.format(x, y) for x, y in zip(xs[1:], ys[1:], strict=True))
    parts.append(_line(path, "#2684de"))
    if sweep.qualities is not None:
        low, high = _heights(sweep)
        parts.append(_panel("quality", low, high, _ticks(low, high), "expected quality"))
        if sweep.bands is not None:
            there = [f"{_x(sweep, sweep.thresholds[p])} {_y('quality', low, high, sweep.bands[p][1])}" for p in places]
            back = [f"{_x(sweep, sweep.thresholds[p])} {_y('quality', low, high, sweep.bands[p][0])}" for p in places]
            parts.append(f'<path d="M{"L".join([*there, *back[::-1]])}Z" fill="#e0662a" fill-opacity=".2"/>')
        if sweep.quality_ends is not None:
            weak, strong = sweep.quality_ends
            mixed = (weak + share * (strong - weak) for share in sweep.shares)
            points = "L".join(f"{x} {_y('quality', low, high, value)}" for x, value in zip(xs, mixed, strict=True))
            parts.append(
                f'<path d="M{points}" fill="none" stroke="currentColor" stroke-opacity=".6" stroke-dasharray="4 4"/>'
            )
        points = "L".join(f"{x} {_where(sweep, place)[2]}" for x, place in zip(xs, places, strict=True))
        parts.append(_line(f"M{points}", "#e0662a"))
    ticks = _ticks(*_window(sweep))
    digits = _digits(ticks)
    parts += [
        f'<text x="{_x(sweep, tick)}" y="{bottom + 17}" text-anchor="middle">{tick:.{digits}f}</text>' for tick in ticks
    ]
    parts.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{bottom + 36}" text-anchor="middle">threshold</text>')
    x, y_share, y_quality = _where(sweep, begin(sweep, share))
    parts.append(
        f'<line data-line x1="{x}" x2="{x}" y1="{_TALL["share"][0]}" y2="{bottom}" stroke="currentColor" '
        'stroke-opacity=".75"/>'
    )
    parts.append(_dot("y-share", x, y_share, "#2684de"))
    if y_quality is not None:
        parts.append(_dot("y-quality", x, y_quality, "#e0662a"))
    said = f"Share of strong calls{' and expected quality' if sweep.qualities is not None else ''} at each threshold"
    label = escape(f"{said}, {sweep.name}: the higher the threshold, the fewer strong calls.", quote=True)
    hidden = ' style="display:none"' if at else ""
    return (
        f'<svg data-sweep="{at}" viewBox="0 0 {WIDTH} {bottom + 42}" role="img" aria-label="{label}"{hidden}>'
        f"{''.join(parts)}</svg>"
    )


def _panel(name: str, low: float, high: float, ticks: Sequence[float], title: str, percent: bool = False) -> str:
    top, _ = _TALL[name]
    digits = _digits(ticks)
    out: list[str] = []
    for tick in ticks:
        y = _y(name, low, high, tick)
        text = f"{tick:.0%}" if percent else f"{tick:.{digits}f}"
        out.append(
            f'<path d="M{LEFT} {y}H{RIGHT}" stroke="currentColor" stroke-opacity=".16"/>'
            f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{text}</text>'
        )
    out.append(f'<text x="{RIGHT}" y="{top - 3}" text-anchor="end" font-weight="600">{title}</text>')
    return "".join(out)


def _line(path: str, colour: str) -> str:
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2.2" stroke-linejoin="round"/>'


def _dot(name: str, x: float, y: float, colour: str) -> str:
    return f'<circle data-dot="{name}" cx="{x}" cy="{y}" r="5" fill="{colour}" stroke="white" stroke-width="1.5"/>'
