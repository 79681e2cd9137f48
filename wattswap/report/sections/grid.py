"""Power from the retailer over time."""

from __future__ import annotations

from wattswap.report import figures
from wattswap.report.page import Section, figure, paragraph
from wattswap.report.section import section
from wattswap.report.story import Story
from wattswap.report.words import number


@section("grid", 80)
def grid(story: Story) -> Section:
    """Power from the retailer over time, against no market."""
    import pandas as pd

    why = "What neighbours give each other need not come from outside; the peak decides how strong a cable must be."
    power = figures.power_of(story)
    data = pd.DataFrame(power)
    data.index.name = "interval_start"
    peaks = {o.label: o.value("peak_import_kw") for o in story.outcomes}
    text = ", ".join(f"{label} {number(kw, 1)} kW" for label, kw in peaks.items())
    caption = "Power that the homes together buy from the retailer, in kW; the peak is marked. "
    caption += f"Times are those of {story.zone}."
    step = figures.step_name(story, data)
    if step != "interval":
        caption += f" Drawn is the mean of each {step}, so the marked point is below the peak of an interval."
    body = figure("grid-import", f"Lines of power over time. Peaks: {text}.", caption, data)
    body += paragraph(f"Peak: {text}.")
    body += paragraph(
        "This is settled energy: without a market each home buys its own need, with one only what neighbours did not"
        " serve. The power in the cable to the neighbourhood is the same where homes behave the same.",
        "note",
    )
    return Section("grid", "Import from the grid", why, body, {"grid-import": figures.grid_figure(power)})
