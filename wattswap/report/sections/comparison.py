"""All mechanisms side by side, and who gets how much of the welfare."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from market.metrics.table import Metric
from wattswap.report import figures
from wattswap.report.page import FITS, Section, figure, paragraph, table
from wattswap.report.section import section
from wattswap.report.story import Outcome, Spread, Story
from wattswap.report.words import (
    DASH,
    added_by,
    against_best,
    columns,
    interval,
    needs_money,
    number,
    shown_merit,
    two_prices,
)
from wattswap.runs.shown import rounded
from wattswap.scenario.basis import OWN_RULE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import plotly.graph_objects as go


@section("comparison", 20)
def comparison(story: Story) -> Section:
    """All outcomes side by side."""
    why = "Which mechanism does best at what; the best value of each column is marked, the others are relative to it."
    body, drawn = comparison_table(story)
    split = surplus_split(story)
    if not split.empty and not split.fillna(0.0).to_numpy().any():
        body += paragraph("Nobody gained from trade at the stated limits: there is nothing to draw.", "note")
    elif not split.empty:
        name = "welfare-split"
        drawn = {name: figures.surplus_figure(split, story.currency)}
        caption = f"Gain from trade at stated limits, by who gets it, in {story.currency}."
        body += figure(name, f"Bars of welfare by mechanism: {_in_words(story, split)}.", caption, split)
    return Section("comparison", "Comparison", why, body, drawn)


def surplus_split(story: Story) -> pd.DataFrame:
    """Welfare of buyers, sellers and operator by mechanism, where it is known."""
    import pandas as pd

    names = ["buyer_surplus", "seller_surplus", "operator_surplus"]
    rows = {
        o.label: [o.value(n) for n in names]
        for o in story.outcomes
        if o.label != story.reference and o.value("buyer_surplus") is not None
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names).astype(float)
    frame.index.name = "mechanism"
    return frame


_MONEY = ("cost_with_market", "saving", "saving_by_mechanism")


def comparison_table(story: Story) -> tuple[str, dict[str, go.Figure]]:
    """All outcomes by all measures, the best marked; and a sentence for each measure that has a gap."""
    import pandas as pd

    measures = [m for m in columns() if any(m.name in o.metrics for o in story.outcomes)]
    best = {m.name: best_value(story, m) for m in measures}
    frame = pd.DataFrame(
        {
            m.heading.format(money=story.currency): [_found(o, m).mean for o in story.outcomes]
            for m in measures
        },
        index=pd.Index([_name(story, o) for o in story.outcomes], name="mechanism"),
        dtype=object,
    )
    html = {
        (i, j): _cell(story, outcome, measure, best[measure.name])
        for i, outcome in enumerate(story.outcomes)
        for j, measure in enumerate(measures)
    }
    days = f"{story.intervals} intervals of {story.interval_minutes} min"
    seeds = "" if len(story.seeds) < 2 else f" Mean over {len(story.seeds)} seeds, and its 95 % interval."
    caption = f"{story.homes} homes, {days}, money in {story.currency}.{seeds}{two_prices(story.outcomes)}"
    body = _folded(caption, frame, html)
    for reason in dict.fromkeys(_reason(m) for m in measures):
        gaps = [m for m in measures if _reason(m) == reason and _rows_without(story, m)]
        if gaps:
            names = ", ".join(m.heading.split(",")[0] for m in gaps)
            rows = ", ".join(dict.fromkeys(label for m in gaps for label in _rows_without(story, m)))
            body += paragraph(f"{DASH} stands for {names} of {rows}: {reason}.", "note")
    paid = [o for o in story.rivals if _is_paid_for(story, o)]
    if paid:
        added = ", ".join(f"{o.label} {number(added_by(o))}" for o in paid)
        what = "what it saves the homes comes partly from outside, and does not count for best"
        body += paragraph(f"Where the operator adds money ({added} {story.currency}), {what}.", "note")
    own = [label for label, rule in story.rationing.items() if rule == OWN_RULE]
    if own:
        what = "ration by their own rule" if len(own) > 1 else "rations by its own rule"
        body += paragraph(f"{', '.join(own)} {what}; market.rationing does not reach it.", "note")
    if story.kind == "comparison":
        body += paragraph(
            "The homes bid the same under every mechanism; welfare counts the limits that they state.", "note"
        )
    if story.bound is not None:
        body += paragraph(
            f"{story.bound} is an upper bound on welfare and no mechanism: it does not count for best.",
            "note",
        )
    return body, {}


def _folded(caption: str, frame: pd.DataFrame, html: Mapping[tuple[int, int], str]) -> str:
    """The first columns, of which a narrow page shows the first few, and all that it leaves out in a part to unfold."""
    parts = []
    for start in range(0, len(frame.columns), FITS):
        cells = {(i, j - start): cell for (i, j), cell in html.items() if j >= start}
        parts.append((frame.iloc[:, start : start + FITS], cells))
    (first, cells), *rest = parts
    more = f'<div class="narrow">{table("The same measures, all of them.", first, cells)}</div>'
    more += "".join(table("Further measures.", part, own) for part, own in rest)
    css = "" if rest else " narrow"
    body = table(caption, first, cells, css="first")
    return f'{body}<details class="more{css}"><summary>More measures</summary>\n{more}</details>'


def best_value(story: Story, measure: Metric) -> float | None:
    """The best mean of a column among the mechanisms proper; None where there is none to choose from.

    With a single mechanism it is held against no market.
    """
    if measure.better == "neither":
        return None
    entrants = list(story.rivals) if len(story.rivals) > 1 else [*story.rivals, story.without]
    if measure.name in _MONEY:
        entrants = [o for o in entrants if not _is_paid_for(story, o)]
    values = [v for o in entrants if (v := o.shown(measure.name).mean) is not None]
    if len(values) < 2:
        return None
    return max(values) if measure.better == "higher" else min(values)


def _name(story: Story, outcome: Outcome) -> str:
    role = {story.reference: " (reference)", story.bound: " (bound)"}.get(outcome.label, "")
    return f"{outcome.label}{role}"


def _is_paid_for(story: Story, outcome: Outcome) -> bool:
    """Whether others could do without money from outside, and this one cannot."""
    return needs_money(outcome) and not all(needs_money(o) for o in story.rivals)


def _found(outcome: Outcome, measure: Metric) -> Spread:
    """A figure of a mechanism; what it saves by itself is without the money that its operator adds."""
    if measure.name == "saving_by_mechanism" and needs_money(outcome):
        return Spread(shown_merit(outcome))
    return outcome.shown(measure.name)


def _reason(measure: Metric) -> str:
    return measure.undefined_because or "it was not measured"


def _rows_without(story: Story, measure: Metric) -> list[str]:
    return [o.label for o in story.outcomes if o.value(measure.name) is None]


def _cell(story: Story, outcome: Outcome, measure: Metric, best: float | None) -> str:
    found = _found(outcome, measure)
    whole = measure.name == "homes_worse_off" and found.mean is not None and found.mean == int(found.mean)
    decimals = 0 if whole else measure.decimals
    mean = None if found.mean is None else found.mean * measure.factor
    text = escape(number(mean, decimals))
    # An interval around a mean of counts would reach below 0 homes.
    around = "" if measure.name == "homes_worse_off" else interval(found, decimals, measure.factor)
    text += f"<small>{escape(around)}</small>" if around else ""
    outside = outcome.label == story.bound or (measure.name in _MONEY and _is_paid_for(story, outcome))
    if found.mean is None or best is None or outside:
        return f'<td class="number">{text}</td>'
    shown, top = (rounded(v * measure.factor, measure.decimals) for v in (found.mean, best))
    if shown == top:
        return f'<td class="number best">{text}<small>best</small></td>'
    beats_all = (shown > top) == (measure.better == "higher")
    if outcome.label == story.reference and (beats_all or (shown == 0 and measure.better == "higher")):
        return f'<td class="number">{text}</td>'  # no competitor: it never saves or trades anything
    beside = against_best(shown, top, decimals, count=measure.name == "homes_worse_off")
    return f'<td class="number">{text}<small>{escape(beside)}</small></td>'


def _in_words(story: Story, split: pd.DataFrame) -> str:
    shown = {label: story.outcome(label).shown for label in map(str, split.index)}
    return "; ".join(
        f"{label}: " + ", ".join(f"{name.split('_')[0]} {number(of(name).mean)}" for name in map(str, split))
        for label, of in shown.items()
    )
