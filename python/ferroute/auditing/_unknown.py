"""What cannot be known from logs: the sentences that stand beside every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ferroute._one_line import one_line
from ferroute.auditing._quality import NOT_PROVEN
from ferroute.auditing._words import several

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ferroute.auditing._choose import Pair
    from ferroute.auditing._collect import Collected
    from ferroute.auditing._formats import Source
    from ferroute.auditing._habits import Habits
    from ferroute.auditing._population import Population
    from ferroute.auditing._quality import Quality
    from ferroute.auditing._saving import Saving


def sentences(
    rows: Collected,
    source: Source,
    pair: Pair,
    population: Population,
    saving: Saving,
    habits: Habits,
    quality: Quality,
    unpriced: Sequence[str],
) -> tuple[str, ...]:
    """What these logs do not say, the weightiest first."""
    n, out = len(rows), list[str]()
    if quality.verdict == NOT_PROVEN:
        what = "too few outcomes" if quality.n else "no outcomes"
        out.append(f"{what}: {quality.why}. Whether {pair.to} would have answered well enough is not known")
    blank = rows.missing("win_rate")
    if blank:
        out.append(
            f"no prompts: {blank:,} of {n:,} calls have no text, so how hard they were, their task, and whether they "
            "could move is not known"
        )
    if unpriced:
        out.append(
            f"no prices of {', '.join(unpriced)}: those calls are counted as unpriced, not as free "
            "(ferroute.pricing.override takes prices of your own)"
        )
    if rows.unread:
        out.append(
            f"the logged costs of {several(rows.unread, 'call')} cannot be read as US dollars, the first is "
            f"{one_line(rows.an_unread)}: they are counted as unpriced"
        )
    uncounted = rows.missing("completion_tokens")
    if uncounted:
        out.append(
            f"no tokens: {uncounted:,} of {n:,} calls do not say how long the answer was; without a cost of their own "
            "they are unpriced"
        )
    unasked = rows.missing("prompt_tokens")
    if unasked:
        out.append(f"no tokens: {unasked:,} of {n:,} calls do not say how long the prompt was")
    left = population.own - len(population.calls)
    if left and len(population.calls):
        out.append(
            f"{left:,} of {population.own:,} calls of {pair.strong} lack a prompt or a cost: no saving counts them"
        )
    if saving.estimate is None:
        out.append(f"no saving: {saving.why}")
    elif habits.source != "paired":
        out.append(habits.note)
    if pair.guessed:
        out.append(f"{pair.to} is a guess: the logs have no cheaper model (`to` names another)")
    if rows.estimated:
        out.append(f"the tokens of {rows.estimated:,} calls are an estimate, four characters each")
    out += source.dropped
    if source.broken:
        out.append(f"{several(source.broken, 'record')} could not be read: {'; '.join(source.problems)}")
    return tuple(out)
