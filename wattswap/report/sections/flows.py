"""Energy from its sources to its uses."""

from __future__ import annotations

from wattswap.report import figures, words
from wattswap.report.page import Section, figure, paragraph
from wattswap.report.section import section
from wattswap.report.story import IN_COMMON, KEPT, RELEASED, Story
from wattswap.report.words import number


@section("flows", 50)
def flows(story: Story) -> Section:
    """Energy between sources and uses."""
    why = "Where the energy came from and where it went; " + (
        "neighbours are served before the retailer."
        if story.nets_imbalance
        else "what was not traded is settled with the retailer."
    )
    if story.flows.empty:
        body = paragraph("No flows are shown: the meters moved no energy.")
        return Section("flows", "Energy flows", why, body, {})
    caption = f"Energy of all homes in {words.duration(story.length)}, {story.focus}, in kWh."
    if "PV" not in set(story.flows["source"]):
        caption += " What happens behind the meters is not in the data."
    elif {KEPT, RELEASED} & {*story.flows["source"], *story.flows["target"]}:
        caption += " Of batteries the net is shown: what went through them counts as used from PV."
    if IN_COMMON in {*story.flows["source"], *story.flows["target"]}:
        caption += (
            " Of the battery in common the net is shown: what it kept or lost, or gave beyond what it took."
        )
    text = "; ".join(
        f"{a} to {b} {number(e, 1)} kWh" for a, b, e in story.flows.itertuples(index=False, name=None)
    )
    body = figure("energy-flows", f"Bands of energy: {text}.", caption, story.flows)
    return Section("flows", "Energy flows", why, body, {"energy-flows": figures.flows_figure(story.flows)})
