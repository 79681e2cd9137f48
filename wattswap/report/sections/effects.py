"""What each mechanism saves more than one of them, taken apart."""

from __future__ import annotations

from wattswap.comparison.effects import in_cents
from wattswap.report.page import Section, number_cells, paragraph, table
from wattswap.report.section import section
from wattswap.report.story import Story

HEADS = {
    "by_mechanism": "by the mechanism",
    "price_effect": "of that, price effect",
    "rationing_effect": "of that, rationing effect",
    "from_outside": "from outside",
    "imbalance_rule": "by the imbalance rule",
    "saving": "sum",
}


@section("effects", 20)
def effects(story: Story) -> Section | None:
    """Price effect and rationing effect against one mechanism."""
    if story.effects is None:
        return None
    against = story.effects.attrs["reference"]
    frame = in_cents(story.effects.drop(index=against), story.figures).sort_values(
        "by_mechanism", ascending=False
    )
    shown = frame[list(HEADS)].rename(columns=HEADS)
    shown.index.name = "mechanism"
    cells = number_cells(shown)
    body = table(f"All homes together, saved more than by {against}, in {story.currency}.", shown, cells)
    body += paragraph(
        "The price effect is what other prices bring for the energy that homes trade, the rationing effect what it"
        " brings that other homes are served, or with other energies. Money that an operator adds from outside is no"
        " merit of a mechanism, and what the imbalance rule saves depends on what was left for it.",
        "note",
    )
    why = f"Why each mechanism saves more or less than {against}: by its prices, or by whom it serves."
    return Section("effects", f"Against {against}", why, body, {})
