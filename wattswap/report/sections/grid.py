"""Power that the community draws from outside, over time."""

from __future__ import annotations

from wattswap.report import figures
from wattswap.report.page import Section, figure, paragraph
from wattswap.report.section import section
from wattswap.report.story import Story
from wattswap.report.words import number


@section("grid", 80)
def grid(story: Story) -> Section:
    """Power that the community draws from outside, over time."""
    why = "What neighbours give each other need not come from outside; the peak decides how strong a cable must be."
    power = figures.power_of(story)
    data = power.rename("power_kw").rename_axis("interval_start").to_frame()
    peak = number(story.focused.value("peak_import_kw"), 1)
    caption = "Power that all meters together draw from outside, in kW; the peak is marked. "
    caption += f"Times are those of {story.zone}."
    step = figures.step_name(story, data)
    if step != "interval":
        caption += f" Drawn is the mean of each {step}, so the marked point is below the peak of an interval."
    body = figure(
        "grid-import", f"A line of power over time, of all homes together. Peak: {peak} kW.", caption, data
    )
    body += paragraph(f"Peak: {peak} kW.")
    body += paragraph(
        "It is what the meters show, netted over all homes in each interval. No mechanism and no imbalance rule"
        " changes it, as the homes of this simulation do not react to prices.",
        "note",
    )
    return Section("grid", "Import from the grid", why, body, {"grid-import": figures.grid_figure(power)})
