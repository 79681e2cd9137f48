"""The order book of one interval and how it was cleared."""

from __future__ import annotations

from wattswap.report import figures
from wattswap.report.page import Section, figure, paragraph
from wattswap.report.section import section
from wattswap.report.story import Story
from wattswap.report.words import number
from wattswap.scenario.basis import moment


@section("curve", 40)
def supply_and_demand(story: Story) -> Section:
    """The order book of one interval with its clearing point."""
    curve = story.curve(None)
    start = f"{moment(curve.start.isoformat(), story.zone)} ({story.zone})"
    why = "How a price comes about: bids from the best down, offers from the cheapest up, and where they were cleared."
    if curve.orders.empty:
        return Section("curve", "Supply and demand", why, paragraph(f"There were no orders at {start}."), {})
    agreed = "cleared" if story.metered else "agreed"
    cleared = "nothing was traded, so there is no price"
    if curve.price is not None:
        average = "" if curve.orders["price_per_kwh"].nunique() == 1 else " on average"
        price = f"{number(curve.price, 4)} {story.currency} per kWh{average}"
        cleared = f"{number(curve.traded_kwh, 3)} kWh were {agreed} at {price}"
    bids, offers = ((curve.orders["side"] == s).sum() for s in ("buy", "sell"))
    caption = f"Order book of {start}, {story.focus}: {bids} bids and {offers} offers; {cleared}."
    body = figure("order-book", f"Steps of demand and supply. {caption}", caption, curve.orders)
    drawn = {"order-book": figures.curve_figure(curve, story.currency)}
    return Section("curve", "Supply and demand", why, body, drawn)
