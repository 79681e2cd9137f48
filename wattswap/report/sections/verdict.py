"""The verdict: what the market did, and what its figures rest on."""

from __future__ import annotations

from html import escape

from wattswap.report import words
from wattswap.report.page import Section, paragraph
from wattswap.report.section import section
from wattswap.report.story import Story


@section("verdict", 10)
def verdict(story: Story) -> Section:
    """What the market did, and what the figures rest on."""
    body = '<div class="verdict">' + "".join(paragraph(s) for s in words.verdict(story)) + "</div>"
    items = "".join(f"<li>{topic}: {escape(text)}</li>" for topic, text in story.basis.items())
    body += f"<p>What these figures rest on:</p><ul>{items}</ul>"
    if because := words.idle(story):
        body += paragraph(because, "note")
    if story.notes:
        body += paragraph(f"About the data: {'; '.join(story.notes)}.", "note")
    return Section(
        "verdict", "Verdict", "What the market did for these homes, and what its figures rest on.", body, {}
    )
