"""What the numbers were made of."""

from __future__ import annotations

from html import escape

from wattswap.report.page import Section, data_beside, json_uri, table
from wattswap.report.section import section
from wattswap.report.story import Story
from wattswap.runs.layout import SCENARIO


@section("provenance", 120)
def provenance(story: Story) -> Section:
    """What the numbers were made of."""
    import pandas as pd

    why = "The same scenario, data, versions and seed reproduce the same numbers."
    seeds = ", ".join(map(str, story.seeds))
    rows = {**story.provenance, "seed" if len(story.seeds) == 1 else "seeds": seeds}
    frame = pd.DataFrame({"value": rows}, dtype=object)
    frame.index.name = "what"
    body = f"<p>To repeat it: <code>{escape(story.repeat)}</code></p>" + table(
        "What this was made of.", frame
    )
    link = f'<a download="{SCENARIO}" href="{json_uri(story.scenario)}">Download {SCENARIO}</a>'
    body += f"<p>{link}, the scenario with every default filled in.</p>"
    body += data_beside("provenance", "What this was made of.", frame)
    return Section("provenance", "Provenance", why, body, {})
