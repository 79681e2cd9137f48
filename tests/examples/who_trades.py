"""A section that names what is compared."""

from wattswap.report.page import Section, paragraph
from wattswap.report.section import section


@section("who_trades", 45)
def who_trades(story):
    """The mechanisms of the report."""
    names = ", ".join(outcome.label for outcome in story.rivals)
    return Section("who-trades", "Who trades", "An example.", paragraph(names), {})
