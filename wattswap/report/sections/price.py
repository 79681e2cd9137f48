"""The price of every interval between the prices of the retailer."""

from __future__ import annotations

from wattswap.report import figures, words
from wattswap.report.page import Section, figure, paragraph
from wattswap.report.section import section
from wattswap.report.story import Outcome, Story
from wattswap.report.words import number
from wattswap.scenario.basis import fee_words, vat_words


@section("price", 30)
def price(story: Story) -> Section:
    """Price per interval of every mechanism, between the retailer's two prices."""
    import pandas as pd

    why = "A price between import and feed-in price benefits both sides; a line has a gap where nothing was traded."
    shown = [o for o in story.outcomes if o.label != story.reference] or [story.focused]
    frames = {o.label: figures.coarse(o.intervals) for o in shown}
    first = next(iter(frames.values()))
    data = pd.DataFrame({"tariff": first["import_per_kwh"], "feed-in": first["feed_in_per_kwh"]})
    agreed = "cleared" if story.metered else "agreed ahead"
    for label, frame in frames.items():
        data[label] = frame["price_per_kwh"]
        data[f"{label}, kWh {agreed}"] = frame["traded_kwh"]
    data.index.name = "interval_start"
    alt = "Lines of the price over time. " + _energy_prices(shown, story.currency)
    step = figures.step_name(story, first)
    caption = f"Price of each {step} in {story.currency} per kWh, weighted by energy; times are those of {story.zone}."
    if len(story.seeds) > 1:
        caption += " Means over the seeds."
    caption += words.two_prices(shown)
    if vat_words(story.scenario):
        caption += " The tariff is drawn with VAT, which homes pay on what they buy from the retailer."
    body = figure("prices", alt, caption, data)
    fees = story.focused.value("grid_fee_remote_per_kwh") or 0.0
    if fees:
        added = fee_words(story.scenario)
        added = f", {added} included," if added else ""
        body += paragraph(
            f"Who buys from the retailer pays a grid fee of {number(fees, 4)} {story.currency} per kWh{added} on top of"
            " the import price drawn here, so prices between neighbours may lie above it.",
            "note",
        )
    return Section("price", "Price", why, body, {"prices": figures.price_figure(frames, story.currency)})


def _energy_prices(shown: list[Outcome], currency: str) -> str:
    parts = []
    for o in shown:
        mean = o.value("price_per_kwh")
        parts.append(
            f"{o.label}: {'no trade' if mean is None else f'{number(mean, 4)} {currency} on average'}."
        )
    return " ".join(parts)
