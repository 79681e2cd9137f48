"""The AC check of a run on a grid, and its one-line diagram in the interval that shows the grid's part best."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from market.units import WH_PER_KWH
from wattswap.report.one_line import Drawing, one_line
from wattswap.report.page import Section, paragraph, table
from wattswap.report.section import section
from wattswap.report.story import Story
from wattswap.report.words import number
from wattswap.runs.ac import AcOfRun
from wattswap.runs.ac_facts import facts_of, table_of


@section("ac", 86)
def ac(story: Story) -> Section | None:
    """AC power flow of every interval beside the market's equations, and a one-line diagram."""
    if story.ac is None:
        return None
    title = "The grid in AC"
    why = "The market computes with linear equations, without losses; an AC power flow says how far they are off."
    if isinstance(story.ac, str):
        return Section("ac", title, why, paragraph(f"There is no AC check: {story.ac}.", "note"), {})
    check, facts = story.ac, facts_of(story.ac)
    body = paragraph(_sentence(facts))
    if check.note:
        body += paragraph(check.note, "note")
    phases = "each home on its phases" if check.by_phase else "balanced over three phases"
    equations = facts["equations"]
    cells = {
        (i, j): f'<td class="number">{escape(text)}</td>'
        for i, row in enumerate(table_of(facts).to_numpy().tolist())
        for j, text in enumerate(row)
    }
    caption = f"AC power flow beside {equations}, {phases}: of what the meters read, and of what was cleared."
    body += table(caption, table_of(facts), cells)
    if check.loaded.grid.is_tree:
        body += _picture(story, check)
    return Section("ac", title, why, body, {})


def _sentence(facts: dict[str, Any]) -> str:
    metered, cleared = facts["metered"], facts["cleared"]
    over = metered["intervals_overloaded"]
    found = (
        f"By the meters a line or transformer is over its limit in {over['ac']} of {metered['intervals']} intervals"
        f" by AC, in {over['market']} by the market's equations. Lines lose {number(metered['losses_kwh'], 1)} kWh."
    )
    error = cleared["largest_voltage_error_binding"]
    if error is not None:
        share = number(100 * error, 2)
        found += f" Where a limit binds in what was cleared, the market's voltage is at most {share} % off."
    return found


def drawn_interval(check: AcOfRun) -> int:
    """The interval in which prices of nodes are furthest apart, of equal ones that with the fullest line by AC."""
    loading = check.metered.highest_loading(by_ac=True)
    if check.price is None:
        return int(loading.argmax())
    apart = np.nan_to_num(check.price.max(axis=1) - check.price.min(axis=1))
    return int(np.lexsort((loading, apart))[-1])


def _picture(story: Story, check: AcOfRun) -> str:
    """The diagram of an interval: lines by AC loading of their fullest phase, nodes by price."""
    at, metered = drawn_interval(check), check.metered
    voltage = None if metered.voltage is None else metered.ac_voltage[at].min(axis=1)
    price = None
    if check.price is not None and not np.isnan(check.price[at]).all():
        price = [None if value != value else float(value) for value in check.price[at]]
    start = f"{check.starts[at].tz_convert(story.zone):%Y-%m-%d %H:%M}"
    drawing = Drawing(
        f"{start} ({story.zone})",
        metered.flow_wh[at] / WH_PER_KWH / check.hours,
        np.where(np.isfinite(metered.ac_loading[at]), metered.ac_loading[at], np.nan).max(axis=1),
        voltage,
        price,
        story.currency,
        check.loaded.homes,
        check.loaded.transformers,
    )
    caption = f"The grid at {start}, by the meters: lines by their load in AC, nodes by their price."
    if check.by_phase:
        caption += " Of the three phases the fullest and the lowest voltage count."
    picture = one_line(check.loaded.grid, drawing)
    return (
        f'<figure><div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}">{picture}</div>\n'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )
