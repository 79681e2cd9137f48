"""Lines and nodes of the grid, where a run has one: what was overloaded, and what a kWh cost where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wattswap.report import figures
from wattswap.report.page import Section, figure, paragraph, table
from wattswap.report.section import section
from wattswap.report.story import Story
from wattswap.report.words import number

if TYPE_CHECKING:
    import pandas as pd


@section("nodes", 85)
def nodes(story: Story) -> Section | None:
    """Load of lines by the meters, and prices of nodes over the day."""
    if story.grid is None:
        return None
    why = "A line carries what its homes take together; where it is full, a kWh is worth something else behind it."
    value = story.focused.value
    hours, kw = number(value("overload_hours"), 2), number(value("overload_kw"), 1)
    body = paragraph(
        f"By the meters a line or transformer carries more than its limit for {hours} h, by at most {kw} kW."
    )
    lines = story.grid.lines
    body += _by_load(lines)
    of_day = story.grid.of_day
    if of_day is None:
        body += paragraph("This mechanism does not clear on the grid, so all nodes have one price.", "note")
        return Section("nodes", "Lines and nodes", why, body, {})
    share, rent = value("binding_share") or 0.0, number(value("congestion_rent"), 2)
    body += paragraph(
        f"A limit binds in {number(100 * share, 1)} % of the clearings; the congestion rent is {rent} {story.currency}."
    )
    caption = f"Mean price of each node by time of day ({story.zone}), {story.currency} per kWh. Nodes that always have"
    caption += " the same price have one line."
    alt = f"Lines of the price over the day, one for each of {len(figures.apart(of_day))} groups of nodes."
    body += figure("node-prices", alt, caption, of_day)
    return Section(
        "nodes", "Lines and nodes", why, body, {"node-prices": figures.node_figure(of_day, story.currency)}
    )


def _by_load(lines: pd.DataFrame) -> str:
    """The table of lines, with the decimals of `wattswap show RUN grid`."""
    shown = lines.assign(loading=100 * lines["loading"])
    shown.columns = ["limit kW", "highest kW", "load %", "over limit h"]
    cells = {
        (i, j): f'<td class="number">{number(value, 2 if j == 3 else 1)}</td>'
        for i, row in enumerate(shown.to_numpy().tolist())
        for j, value in enumerate(row)
    }
    return table("Lines, the most loaded first.", shown, cells)
