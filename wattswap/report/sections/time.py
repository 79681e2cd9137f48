"""How long it took."""

from __future__ import annotations

from wattswap.report import figures
from wattswap.report.page import Section, figure, paragraph
from wattswap.report.section import section
from wattswap.report.story import Story
from wattswap.report.words import number


@section("time", 100)
def compute_time(story: Story) -> Section:
    """How long it took."""
    import pandas as pd

    why = "A mechanism has to clear within the time between gate closure and delivery."
    total = (
        f"All of it took {number(story.seconds, 1)} s."
        if story.seconds is not None
        else "The time was not measured."
    )
    if story.kind == "run" and story.seconds:
        each = 1e3 * story.seconds / story.intervals
        total += f" That is {number(each, 1)} ms an interval with orders, settlement, chain and storage."
    clear_ms = {o.label: v for o in story.outcomes if (v := o.value("clear_ms")) is not None}
    if not clear_ms:
        return Section("time", "Computing time", why, paragraph(total), {})
    data = pd.DataFrame({"clear_ms": clear_ms})
    data.index.name = "mechanism"
    text = ", ".join(f"{label} {number(ms, 2)} ms" for label, ms in clear_ms.items())
    body = paragraph(total) + figure(
        "clearing-time",
        f"Bars of the time to clear one interval: {text}.",
        "Time to clear one interval, median, in milliseconds.",
        data,
    )
    return Section("time", "Computing time", why, body, {"clearing-time": figures.time_figure(clear_ms)})
