"""The verdict: what the market did, in three sentences."""

from __future__ import annotations

from wattswap.report import words
from wattswap.report.page import Section, paragraph
from wattswap.report.section import section
from wattswap.report.story import Story


@section("verdict", 10)
def verdict(story: Story) -> Section:
    """Three sentences."""
    body = '<div class="verdict">' + "".join(paragraph(s) for s in words.verdict(story)) + "</div>"
    if because := words.idle(story):
        body += paragraph(because, "note")
    if story.notes:
        body += paragraph(f"About the data: {'; '.join(story.notes)}.", "note")
    return Section("verdict", "Verdict", "What the market did for these homes, in three sentences.", body, {})
