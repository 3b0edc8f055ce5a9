"""An explanation as plain text: a table of the rungs, the score on its line, and what there is beside them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from ferroute._explained import Candidate, Explained

_UNICODE = {"chosen": "●", "runner-up": "○", "skipped": "✗", "open": " "}
_ASCII = {"chosen": "*", "runner-up": "o", "skipped": "x", "open": " "}
_PLAIN = str.maketrans({"µ": "u", "…": "~", "“": '"', "”": '"'})


def text(shown: Explained, width: int, *, ascii_only: bool) -> str:
    """All of it, no line longer than `width`."""
    blocks = [
        _head(shown, width),
        _table(shown, width, _ASCII if ascii_only else _UNICODE),
        _line(shown, width, ascii_only=ascii_only),
        [line for title, lines in sections(shown) for line in _section(title, lines, width)],
    ]
    out = "\n\n".join("\n".join(block) for block in blocks if block)
    return out.translate(_PLAIN).encode("ascii", "replace").decode() if ascii_only else out


def sections(shown: Explained) -> list[tuple[str, list[str]]]:
    """What is said beside the table and the line: titles and their sentences."""
    told = [
        ("next", [] if shown.runner_up is None else [_runner_up(shown)]),
        ("otherwise", [change.sentence for change in shown.changes]),
        ("rules", [", ".join(shown.fired)] if shown.fired else []),
        ("taken for", [shown.label] if shown.label is not None else []),
        ("scores", [_score(score.name, score.score, score.threshold, score.rung) for score in shown.scores]),
        ("for", _terms(shown, 1)),
        ("against", _terms(shown, -1)),
        ("limits", limits(shown)),
        ("routed on", _view(shown)),
        ("stays", [shown.stay] if shown.stay is not None else []),
        ("notes", [note for note in shown.notes if note != shown.stay]),
        ("routing", [routing(shown)]),
        ("call", call(shown)),
        ("not known", [shown.missing] if shown.missing is not None else []),
    ]
    return [(title, lines) for title, lines in told if lines]


def title(shown: Explained) -> str:
    """Model, rung, and who chose it."""
    rung = f", rung {shown.tier}" if shown.tier is not None else ""
    if shown.router is None:
        return f"{shown.model}{rung}"
    return f"{shown.model}{rung}, chosen by {' and then '.join(shown.asked or (shown.router,))}"


def dollars(amount: Decimal | None) -> str:
    """An exact amount, cents at least."""
    if amount is None:
        return "unknown"
    sign, amount = ("-" if amount < 0 else ""), abs(amount)
    whole, _, rest = f"{amount.normalize():f}".partition(".")
    return f"{sign}${int(whole):,}.{rest.ljust(2, '0')}"


def short(amount: Decimal | None) -> str:
    """An amount of three digits that say something."""
    if amount is None or not amount:
        return dollars(amount)
    digits = max(2 - amount.adjusted(), 2)
    return f"{'-' if amount < 0 else ''}${abs(amount):,.{digits}f}"


def routing(shown: Explained) -> str:
    """What the router itself cost, in time and money."""
    if shown.router is None:
        return "none"
    time = f"{shown.routing_us:,.1f} µs" if shown.routing_us < 10_000 else f"{shown.routing_us / 1000:,.0f} ms"
    return f"{time}, {short(shown.router_cost_usd)}"


def call(shown: Explained) -> list[str]:
    """What the call came to, of a response's decision."""
    if shown.attempts is None:
        return []
    requests = f"{shown.attempts} request{'' if shown.attempts == 1 else 's'}"
    saved = "" if shown.saved_usd is None else f", saved {short(shown.saved_usd)} (estimated)"
    return [f"cost {short(shown.cost_usd)}{saved}, {requests}"]


def limits(shown: Explained) -> list[str]:
    """Floor and ceiling."""
    floor, ceiling = shown.limits
    said = [] if floor is None else [f"{floor} or above"]
    return said if ceiling is None else [*said, f"{ceiling} or below"]


def prices(candidate: Candidate) -> str:
    """Input and output per million tokens."""
    if candidate.input_per_million is None and candidate.output_per_million is None:
        return "unknown"
    return f"{dollars(candidate.input_per_million)} / {dollars(candidate.output_per_million)}"


def remark(candidate: Candidate) -> str:
    """What became of it, and why."""
    return f"skipped: {candidate.why}" if candidate.why else "" if candidate.mark == "open" else candidate.mark


def borders(shown: Explained) -> tuple[str, float, list[tuple[float, str]], list[str]] | None:
    """What the score's line shows: its name, the score, borders with their labels, and the rungs between them.

    None where no score in 0..=1 was compared with anything.
    """
    names = [candidate.rung or "" for candidate in shown.candidates if candidate.rung is not None]
    if shown.rank is not None and shown.shares:
        what, value = "rank among recent scores", shown.rank
        cuts = [(1 - share, f"{share * 100:.4g}%") for share in shown.shares]
    elif shown.win_rate is not None and shown.thresholds:
        what, value, cuts = "win rate", shown.win_rate, [(cut, f"{cut:.4g}") for cut in shown.thresholds]
    else:
        return None
    if not 0 <= value <= 1 or any(not 0 <= cut <= 1 for cut, _ in cuts):
        return None
    if len(names) != len(cuts) + 1:
        names = [names[0], names[-1]] if len(cuts) == 1 and len(names) > 1 else [""] * (len(cuts) + 1)
    return what, value, cuts, names


def _head(shown: Explained, width: int) -> list[str]:
    return [*textwrap.wrap(title(shown), width), *textwrap.wrap(shown.reason, width)]


def _table(shown: Explained, width: int, marks: dict[str, str]) -> list[str]:
    head = ("", "rung", "model", "in / out per 1M", "this request", "")
    rows = [
        (
            marks[each.mark],
            each.rung or "-",
            each.model or "unknown",
            prices(each),
            short(each.expected_cost_usd),
            remark(each),
        )
        for each in shown.candidates
    ]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(5)]
    # Names may be as long as they like; the table may not.
    widths[1], widths[3], widths[4] = min(widths[1], 16), min(widths[3], 22), min(widths[4], 12)
    remarks = 24 if any(each.why for each in shown.candidates) else 9
    gaps = 2 * len(widths)
    widths[2] = max(min(widths[2], width - sum(widths) + widths[2] - gaps - remarks), 12)
    left = sum(widths) + gaps
    beside = width - left >= remarks
    out: list[str] = []
    for row in [head, *rows]:
        cells = [_cut(cell, room) for cell, room in zip(row[:5], widths, strict=True)]
        cells = [
            cell.rjust(room) if at == 4 else cell.ljust(room)
            for at, (cell, room) in enumerate(zip(cells, widths, strict=True))
        ]
        line = "  ".join(cells)
        if beside or not row[5]:
            first, *more = textwrap.wrap(row[5], max(width - left, 1)) or [""]
            out += [f"{line}  {first}".rstrip(), *(" " * left + each for each in more)]
        else:
            out += [line.rstrip(), *textwrap.wrap(row[5], width, initial_indent=" " * 6, subsequent_indent=" " * 6)]
    if shown.prompt_tokens is not None and shown.tokens_from is not None:
        count = f"{shown.prompt_tokens:,} tokens of prompt"
        answer = next((each.answer_tokens for each in shown.candidates if each.mark == "chosen"), None)
        count += "" if answer is None else f", {answer:,.0f} of answer"
        out += textwrap.wrap(f"this request: {count} ({shown.tokens_from})", width, subsequent_indent="  ")
    return out


def _line(shown: Explained, width: int, *, ascii_only: bool) -> list[str]:
    found = borders(shown)
    if found is None:
        return []
    what, value, cuts, names = found
    columns = min(width - 4, 72)
    start, end, rule, cross, here = "||-+*" if ascii_only else "├┤─┼●"
    bar = [start, *rule * (columns - 2), end]

    def at(number: float) -> int:
        return round(number * (columns - 1))

    for cut, _ in cuts:
        bar[at(cut)] = cross
    bar[at(value)] = here
    edges = [0, *(at(cut) for cut, _ in cuts), columns - 1]
    parts = zip(edges[:-1], edges[1:], names, strict=True)
    fitting = [((left + right) // 2, name) for left, right, name in parts if right - left > len(name)]
    return [
        what,
        *_labels([(at(value), f"{value:.4f}")], columns),
        "  " + "".join(bar),
        *_labels([(0, "0"), (columns - 1, "1"), *((at(cut), label) for cut, label in cuts)], columns),
        *_labels(fitting, columns),
    ]


def _labels(wanted: Sequence[tuple[int, str]], columns: int) -> list[str]:
    """Texts around their places, on as many lines as they need."""
    lines: list[list[str]] = []
    for place, label in wanted:
        start = min(max(place - len(label) // 2, 0), columns - len(label))
        for line in lines:
            if all(c == " " for c in line[max(start - 1, 0) : start + len(label) + 1]):
                break
        else:
            line = [" "] * columns
            lines.append(line)
        line[start : start + len(label)] = label
    return [("  " + "".join(line)).rstrip() for line in lines]


def _section(title: str, lines: Sequence[str], width: int) -> list[str]:
    out: list[str] = []
    for index, line in enumerate(lines):
        head = title if index == 0 else ""
        out += textwrap.wrap(line, width, initial_indent=f"{head:11}", subsequent_indent=" " * 11) or [head]
    return out


def _runner_up(shown: Explained) -> str:
    following = shown.runner_up
    if following is None:
        return ""
    dearer = following.dearer_usd
    if dearer is None:
        return following.sentence
    side = "dearer" if dearer > 0 else "cheaper"
    money = f"{short(abs(dearer))} {side}" if dearer else "as dear"
    return f"{following.sentence}; there the request would be {money}"


def _score(name: str, score: float, threshold: float | None, rung: str | None) -> str:
    border = "" if threshold is None else f", counts from {threshold:.4g}"
    goes = "" if rung is None or rung == name else f", stands for {rung}"
    return f"{name} {score:.4f}{border}{goes}"


def _terms(shown: Explained, sign: int) -> list[str]:
    terms = [f"{name} {part:+.2f}" for name, part in shown.words if part * sign > 0]
    return [", ".join(terms)] if terms else []


def _view(shown: Explained) -> list[str]:
    if shown.view is None:
        return []
    return [shown.view if shown.excerpt is None else f"{shown.view}: “{shown.excerpt}”"]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"
