"""What each home pays, without the market and with it."""

from __future__ import annotations

from wattswap.report import figures, words
from wattswap.report.page import MAX_ROWS, Section, figure, number_cells, table
from wattswap.report.section import section
from wattswap.report.story import Story
from wattswap.runs.shown import PART_HEADS, bills_with_total


@section("bills", 60)
def bills(story: Story) -> Section:
    """What each home pays, before and after."""
    import pandas as pd

    why = "What each home pays, without the market and with it; welfare is not a payment."
    frames = {o.label: o.bills for o in story.shown}
    order = story.focused.bills.sort_values("cost_without_market", ascending=False, kind="stable").index
    if len(frames) == 1:
        data = story.focused.bills.loc[order]
    else:
        data = pd.DataFrame({"cost_without_market": story.focused.bills["cost_without_market"]}).loc[order]
        for label, frame in frames.items():
            data[f"{label}, cost"] = frame["cost_with_market"]
            data[f"{label}, saving"] = frame["saving"]
    data.index.name = "home"
    caption = f"Bills in {story.currency}, the largest without a market on top; a negative bill is income."
    if len(data) > figures.MAX_HOMES:
        caption += (
            f" Drawn are the {figures.MAX_HOMES} homes that lose or win most; the data have all {len(data)}."
        )
    alt = f"Points of the bills of {len(data)} homes. {words.worst_off(story.focused, story.currency)}"
    body = figure("bills", alt, caption, data)
    if len(order) <= MAX_ROWS:
        body += _table(story, list(order))
    return Section("bills", "Bills", why, body, {"bills": figures.bills_figure(frames, story.currency)})


def _table(story: Story, homes: list[str]) -> str:
    """The bills of the mechanism in focus, in cents that add up to the last line."""
    names = ["cost_without_market", "cost_with_market", "saving"]
    names += [name for name in PART_HEADS if name in story.focused.bills]
    order = {str(home): row for row, home in enumerate(story.focused.bills.index)}
    shown = bills_with_total(story.focused.bills[names], "all homes").iloc[
        [*map(order.__getitem__, homes), -1]
    ]
    shown = shown.rename(columns=PART_HEADS)
    shown.index.name = "home"
    caption = f"Bills with {story.focus}, in {story.currency}; the lines add up."
    return table(caption, shown, number_cells(shown), total=True)
