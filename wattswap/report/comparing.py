"""The two tables that hold mechanisms against each other, and each against its promises."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from wattswap.report.page import paragraph, table
from wattswap.report.story import UNDEFINED, Outcome, Story
from wattswap.report.words import (
    DASH,
    MEASURES,
    Measure,
    against_best,
    interval,
    needs_money,
    number,
    two_prices,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MONEY = ("cost_with_market", "saving")


def comparison_table(story: Story) -> tuple[str, dict[str, go.Figure]]:
    """All outcomes by all measures, the best marked; and a sentence for each measure that has a gap."""
    import pandas as pd

    measures = [m for m in MEASURES if any(m.metric in o.metrics for o in story.outcomes)]
    best = {m.metric: best_value(story, m) for m in measures}
    frame = pd.DataFrame(
        {
            m.heading.format(money=story.currency): [o.value(m.metric) for o in story.outcomes]
            for m in measures
        },
        index=pd.Index([_name(story, o) for o in story.outcomes], name="mechanism"),
        dtype=object,
    )
    html = {
        (i, j): _cell(story, outcome, measure, best[measure.metric])
        for i, outcome in enumerate(story.outcomes)
        for j, measure in enumerate(measures)
    }
    days = f"{story.intervals} intervals of {story.interval_minutes} min"
    seeds = "" if len(story.seeds) < 2 else f" Mean over {len(story.seeds)} seeds, and its 95 % interval."
    caption = f"{story.homes} homes, {days}, money in {story.currency}.{seeds}{two_prices(story.outcomes)}"
    body = table(caption, frame, html)
    for reason in dict.fromkeys(m.undefined for m in measures):
        gaps = [m for m in measures if m.undefined == reason and _rows_without(story, m)]
        if gaps:
            names = ", ".join(m.heading.split(",")[0] for m in gaps)
            rows = ", ".join(dict.fromkeys(label for m in gaps for label in _rows_without(story, m)))
            body += paragraph(f"{DASH} stands for {names} of {rows}: {reason}.", "note")
    paid = [o for o in story.rivals if _is_paid_for(story, o)]
    if paid:
        added = ", ".join(f"{o.label} {number(-(o.value('operator_surplus') or 0))}" for o in paid)
        what = "what it saves the homes comes partly from outside, and takes no part for best"
        body += paragraph(f"Where the operator adds money ({added} {story.currency}), {what}.", "note")
    if story.kind == "comparison":
        body += paragraph(
            "The homes bid the same under every rule; welfare counts the limits that they state.", "note"
        )
    if story.bound is not None:
        body += paragraph(
            f"{story.bound} is a bound on welfare and no rule: it takes no part for best.", "note"
        )
    return body, {}


def best_value(story: Story, measure: Measure) -> float | None:
    """The best mean of a column among the mechanisms proper; None where there is none to choose from.

    With a single mechanism it is held against no market.
    """
    if measure.better is None:
        return None
    entrants = list(story.rivals) if len(story.rivals) > 1 else [*story.rivals, story.without]
    if measure.metric in _MONEY:
        entrants = [o for o in entrants if not _is_paid_for(story, o)]
    values = [v for o in entrants if (v := o.value(measure.metric)) is not None]
    if len(values) < 2:
        return None
    return max(values) if measure.better == "more" else min(values)


def _name(story: Story, outcome: Outcome) -> str:
    role = {story.reference: " (reference)", story.bound: " (bound)"}.get(outcome.label, "")
    return f"{outcome.label}{role}"


def _is_paid_for(story: Story, outcome: Outcome) -> bool:
    """Whether others could do without money from outside, and this one cannot."""
    return needs_money(outcome) and not all(needs_money(o) for o in story.rivals)


def _rows_without(story: Story, measure: Measure) -> list[str]:
    return [o.label for o in story.outcomes if o.value(measure.metric) is None]


def _cell(story: Story, outcome: Outcome, measure: Measure, best: float | None) -> str:
    found = outcome.metrics.get(measure.metric, UNDEFINED)
    whole = measure.metric == "homes_worse_off" and found.mean is not None and found.mean == int(found.mean)
    decimals = 0 if whole else measure.decimals
    mean = None if found.mean is None else found.mean * measure.factor
    text = escape(number(mean, decimals))
    # An interval around a mean of counts would reach below 0 homes.
    around = "" if measure.metric == "homes_worse_off" else interval(found, decimals, measure.factor)
    text += f"<small>{escape(around)}</small>" if around else ""
    outside = outcome.label == story.bound or (measure.metric in _MONEY and _is_paid_for(story, outcome))
    if found.mean is None or best is None or outside:
        return f'<td class="number">{text}</td>'
    shown, top = (round(v * measure.factor, measure.decimals) for v in (found.mean, best))
    if shown == top:
        return f'<td class="number best">{text}<small>best</small></td>'
    beats_all = (shown > top) == (measure.better == "more")
    if outcome.label == story.reference and (beats_all or (shown == 0 and measure.better == "more")):
        return f'<td class="number">{text}</td>'  # no competitor: it saves and trades nothing by its nature
    beside = against_best(shown, top, decimals, count=measure.metric == "homes_worse_off")
    return f'<td class="number">{text}<small>{escape(beside)}</small></td>'


def properties_table(story: Story) -> str:
    """Promises beside what was observed, one row a mechanism and property."""
    import pandas as pd

    rows: list[tuple[str, str, str, str]] = []
    for o in story.outcomes:
        if o.label != story.reference or len(story.outcomes) == 1:
            rows += _properties(story, o)
    frame = pd.DataFrame([r[1:] for r in rows], columns=["property", "promised", "observed"])
    frame.index = pd.Index([r[0] for r in rows], name="mechanism")
    html = {
        (i, 2): f'<td class="bad">{escape(r[3])}</td>'
        for i, r in enumerate(rows)
        if r[3].startswith("broken")
    }
    note = "Efficiency and volume are held against the largest welfare at the limits that were stated, without a grid."
    return table("Observed over all intervals.", frame, html) + paragraph(note, "note")


def _properties(story: Story, o: Outcome) -> list[tuple[str, str, str, str]]:
    p, seen = o.promises, o.observed
    promised = {
        "budget": "not registered" if p is None else _BUDGET[p.budget_balance],
        "nobody trades worse than the limit": _yes(None if p is None else p.individually_rational),
        "efficiency": "not registered" if p is None else "the optimum" if p.efficient else "no promise",
        "volume": "no promise",
    }
    strong = p is not None and p.budget_balance == "strong"
    rational = p is not None and p.individually_rational
    no_deficit = p is not None and p.budget_balance in ("strong", "weak")
    observed = {
        "budget": _budget(seen.deficit_intervals, seen.surplus_intervals, strong, no_deficit),
        "nobody trades worse than the limit": _rational(seen.worse_than_limit, rational),
        "efficiency": _efficiency(seen.efficiency, p is not None and p.efficient),
        "volume": _share(seen.volume_share, "of the volume of the optimum"),
    }
    return [(o.label, name, promised[name], observed[name]) for name in promised]


_BUDGET = {
    "strong": "buyers pay what sellers get",
    "weak": "the operator never adds money",
    "deficit": "the operator may have to add money",
}


def _yes(promise: bool | None) -> str:
    return "not registered" if promise is None else "yes" if promise else "no"


def _budget(deficits: int | None, surpluses: int | None, strong: bool, no_deficit: bool) -> str:
    if deficits is None or surpluses is None:
        return f"{DASH} not looked at"
    text = f"the operator added money in {deficits} and kept some in {surpluses} intervals"
    if (deficits and no_deficit) or (surpluses and strong):
        return f"broken: {text}"
    return "balanced in every interval" if not deficits and not surpluses else text


def _rational(count: int | None, promised: bool) -> str:
    if count is None:
        return f"{DASH} not looked at"
    if count:
        return f"{'broken: ' if promised else ''}{count} trades worse than the limit, fees included"
    return "held by every trade, fees included"


def _efficiency(share: float | None, promised: bool) -> str:
    text = _share(share, "of the optimum")
    return f"broken: {text}" if share is not None and promised and share < 1 - 1e-9 else text


def _share(share: float | None, of: str) -> str:
    return f"{DASH} no trade was possible" if share is None else f"{number(100 * share, 2)} % {of}"
