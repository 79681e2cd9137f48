"""The sections of a report, in order; each knows the story only."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wattswap.report import figures, words
from wattswap.report.page import Section, data_beside, figure, json_uri, paragraph, table
from wattswap.report.story import Curve, Outcome, Story
from wattswap.report.words import DASH, number

if TYPE_CHECKING:
    import pandas as pd

_KWH = ("traded_kwh", "local_kwh", "retail_import_kwh", "retail_export_kwh")


def sections(story: Story, curve: Curve) -> list[Section]:
    """All sections; those without meaning say so in a sentence and draw nothing."""
    builders: tuple[Callable[[Story], Section], ...] = (
        *(verdict, comparison, price, lambda s: supply_and_demand(s, curve), flows, bills, fairness, grid),
        *(properties, compute_time, chain, provenance),
    )
    return [*([swept(story)] if story.sweep is not None else []), *(build(story) for build in builders)]


def swept(story: Story) -> Section:
    """All points of a sweep."""
    from wattswap.report.sweeping import sweep_section

    return sweep_section(story)


def verdict(story: Story) -> Section:
    """Three sentences."""
    body = '<div class="verdict">' + "".join(paragraph(s) for s in words.verdict(story)) + "</div>"
    if because := words.idle(story):
        body += paragraph(because, "note")
    if story.notes:
        body += paragraph(f"About the data: {'; '.join(story.notes)}.", "note")
    return Section("verdict", "Verdict", "What the market did for these homes, in three sentences.", body, {})


def comparison(story: Story) -> Section:
    """All outcomes side by side."""
    from wattswap.report.comparing import comparison_table

    why = "Which rule does best at what; the best value of each column is marked, the others stand beside it."
    body, drawn = comparison_table(story)
    split = surplus_split(story)
    if not split.empty:
        name = "welfare-split"
        drawn = {name: figures.surplus_figure(split, story.currency)}
        caption = f"Gain from trade at stated limits, by who gets it, in {story.currency}."
        body += figure(name, f"Bars of welfare by mechanism: {_told(split)}.", caption, split)
    return Section("comparison", "Comparison", why, body, drawn)


def surplus_split(story: Story) -> pd.DataFrame:
    """Welfare of buyers, sellers and operator by mechanism, where it is known."""
    import pandas as pd

    names = ["buyer_surplus", "seller_surplus", "operator_surplus"]
    rows = {
        o.label: [o.value(n) for n in names]
        for o in story.outcomes
        if o.label != story.reference and o.value("buyer_surplus") is not None
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=names).astype(float)
    frame.index.name = "mechanism"
    return frame


def price(story: Story) -> Section:
    """Price per interval of every mechanism, between the retailer's two prices."""
    import pandas as pd

    why = "A price between tariff and feed-in is good for both sides; a line has a gap where nothing was traded."
    shown = [o for o in story.outcomes if o.label != story.reference] or [story.focused]
    frames = {o.label: figures.coarse(o.intervals) for o in shown}
    first = next(iter(frames.values()))
    data = pd.DataFrame({"tariff": first["import_per_kwh"], "feed-in": first["feed_in_per_kwh"]})
    for label, frame in frames.items():
        data[label] = frame["price_per_kwh"]
        data[f"{label}, kWh traded"] = frame["traded_kwh"]
    data.index.name = "interval_start"
    alt = "Lines of the price over time. " + _energy_prices(shown, story.currency)
    caption = (
        f"Price of each {_step(story, first)} in {story.currency} per kWh, weighted by energy; times are UTC."
    )
    if len(story.seeds) > 1:
        caption += " Means over the seeds."
    caption += words.two_prices(shown)
    body = figure("prices", alt, caption, data)
    fees = story.focused.value("grid_fee_remote_per_kwh") or 0.0
    if fees:
        body += paragraph(
            f"Who buys from the retailer pays a grid fee of {number(fees, 4)} {story.currency} per kWh on top of the"
            " tariff drawn here, so prices between neighbours may lie above it.",
            "note",
        )
    return Section("price", "Price", why, body, {"prices": figures.price_figure(frames, story.currency)})


def supply_and_demand(story: Story, curve: Curve) -> Section:
    """The order book of one interval with its clearing point."""
    moment = curve.start.strftime("%Y-%m-%dT%H:%MZ")
    why = "How a price comes about: bids from the best down, offers from the cheapest up, and where they were cleared."
    if curve.orders.empty:
        return Section("curve", "Supply and demand", why, paragraph(f"There were no orders at {moment}."), {})
    cleared = "nothing was traded, so there is no price"
    if curve.price is not None:
        average = "" if curve.orders["price_per_kwh"].nunique() == 1 else " on average"
        price = f"{number(curve.price, 4)} {story.currency} per kWh{average}"
        cleared = f"{number(curve.traded_kwh, 3)} kWh were traded at {price}"
    bids, offers = ((curve.orders["side"] == s).sum() for s in ("buy", "sell"))
    caption = f"Order book of {moment}, {story.focus}: {bids} bids and {offers} offers; {cleared}."
    body = figure("order-book", f"Steps of demand and supply. {caption}", caption, curve.orders)
    drawn = {"order-book": figures.curve_figure(curve, story.currency)}
    return Section("curve", "Supply and demand", why, body, drawn)


def flows(story: Story) -> Section:
    """Energy between sources and uses."""
    why = "Where the energy came from and where it went; " + (
        "neighbours are served before the retailer."
        if story.shares_imbalance
        else "what was not traded is settled with the retailer."
    )
    if story.flows.empty:
        body = paragraph("No flows are shown: the meters moved no energy.")
        return Section("flows", "Energy flows", why, body, {})
    caption = f"Energy of all homes in {words.duration(story.length)}, {story.focus}, in kWh."
    if "PV" not in set(story.flows["source"]):
        caption += " What happens behind the meters is not in the data."
    told = "; ".join(
        f"{a} to {b} {number(e, 1)} kWh" for a, b, e in story.flows.itertuples(index=False, name=None)
    )
    body = figure("energy-flows", f"Bands of energy: {told}.", caption, story.flows, wide=True)
    return Section("flows", "Energy flows", why, body, {"energy-flows": figures.flows_figure(story.flows)})


def bills(story: Story) -> Section:
    """What each home pays, before and after."""
    import pandas as pd

    why = "Welfare is no money in the pocket: this is what each home pays, without the market and with it."
    shown = story.rivals or (story.focused,)
    frames = {o.label: o.bills for o in shown}
    order = story.focused.bills.sort_values("cost_without_market", ascending=False, kind="stable").index
    if len(frames) == 1:
        data = story.focused.bills.loc[order]
    else:
        data = pd.DataFrame({"cost_without_market": story.focused.bills["cost_without_market"]}).loc[order]
        for label, frame in frames.items():
            data[f"{label}, cost"] = frame["cost_with_market"]
            data[f"{label}, saving"] = frame["saving"]
    data.index.name = "home"
    caption = f"Bills in {story.currency}, the largest without a market on top; a negative bill is income."
    if len(data) > figures.MAX_HOMES:
        caption += (
            f" Drawn are the {figures.MAX_HOMES} homes that lose or win most; the data have all {len(data)}."
        )
    alt = f"Points of the bills of {len(data)} homes. {words.worst_off(story.focused, story.currency)}"
    body = figure("bills", alt, caption, data)
    return Section("bills", "Bills", why, body, {"bills": figures.bills_figure(frames, story.currency)})


def fairness(story: Story) -> Section:
    """How evenly the gain is spread, and who loses."""
    import pandas as pd

    why = "A market that saves much on the whole may still leave some homes worse off."
    shown = story.rivals or (story.focused,)
    rows, sentences = {}, []
    for o in shown:
        savings = o.bills["saving"]
        losers = savings[savings < -5e-10]
        gini, jain = o.value("gini_saving"), o.value("jain_saving")
        rows[o.label] = [gini, jain, len(losers), str(savings.idxmin()), float(savings.min())]
        if len(shown) <= 3 or len(losers):
            sentences += [f"{o.label}: {words.worst_off(o, story.currency)}"]
        if len(losers) < 2:
            continue
        named = [
            f"{home} by {words.amount(-value, story.currency)}"
            for home, value in losers.nsmallest(10).items()
        ]
        also = f" and {len(losers) - 10} more" if len(losers) > 10 else ""
        sentences += [f"{o.label} leaves worse off: {', '.join(named)}{also}."]
    losing = "homes worse off" if len(story.seeds) < 2 else "homes worse off by their mean bill"
    heads = ["Gini of savings", "Jain of savings", losing, "worst-off home", f"its saving, {story.currency}"]
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=heads)
    frame.index.name = "mechanism"
    body = table("Gini: 0 when all homes save the same. Jain: 1 when all do.", frame)
    if any(row[0] is None or row[0] != row[0] for row in rows.values()):
        body += paragraph(
            f"{DASH} stands where an index is undefined: both need savings of at least 0, not all 0.",
            "note",
        )
    body += "".join(paragraph(s) for s in sentences)
    drawn = {o.label: o.bills["saving"] for o in shown}
    data = pd.DataFrame(drawn)
    data.index.name = "home"
    caption = f"Saving of each home in {story.currency}, from the least to the most; below 0 is a loss."
    body += figure("savings", f"Points of sorted savings. {' '.join(sentences)}", caption, data)
    return Section(
        "fairness", "Fairness", why, body, {"savings": figures.savings_figure(drawn, story.currency)}
    )


def grid(story: Story) -> Section:
    """Power from the retailer over time, against no market."""
    import pandas as pd

    why = "What neighbours give each other need not come from outside; the peak decides how strong a cable must be."
    power = figures.power_of(story)
    data = pd.DataFrame(power)
    data.index.name = "interval_start"
    peaks = {o.label: o.value("peak_import_kw") for o in story.outcomes}
    told = ", ".join(f"{label} {number(kw, 1)} kW" for label, kw in peaks.items())
    caption = "Power that the homes together buy from the retailer, in kW; the peak is marked. Times are UTC."
    step = _step(story, data)
    if step != "interval":
        caption += f" Drawn is the mean of each {step}, so the marked point is below the peak of an interval."
    body = figure("grid-import", f"Lines of power over time. Peaks: {told}.", caption, data)
    body += paragraph(f"Peak: {told}.")
    body += paragraph(
        "This is settled energy: without a market each home buys its own need, with one only what neighbours did not"
        " serve. The power in the cable to the neighbourhood is the same where homes behave the same.",
        "note",
    )
    return Section("grid", "Import from the grid", why, body, {"grid-import": figures.grid_figure(power)})


def properties(story: Story) -> Section:
    """What was promised and what was seen."""
    from wattswap.report.comparing import properties_table

    why = "A rule promises properties on paper; here is what was observed."
    return Section("properties", "Promises and what was observed", why, properties_table(story), {})


def compute_time(story: Story) -> Section:
    """How long it took."""
    import pandas as pd

    why = "A rule that cannot be computed before the gate closes is of no use."
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
    told = ", ".join(f"{label} {number(ms, 2)} ms" for label, ms in clear_ms.items())
    body = paragraph(total) + figure(
        "clearing-time", f"Bars: {told}.", "Time to clear one interval, median, in milliseconds.", data
    )
    return Section("time", "Computing time", why, body, {"clearing-time": figures.time_figure(clear_ms)})


def chain(story: Story) -> Section:
    """The ledger behind the money, or how to get one."""
    import pandas as pd

    why = "What can be proved to others without trust in whoever ran this."
    facts = story.chain
    if facts is None:
        body = paragraph("The cells of a comparison run without a chain. A run of one mechanism has one:")
        body += f"<p><code>wattswap run SCENARIO --mechanism {_code(story.focus)}</code></p>"
        return Section("chain", "Chain", why, body, {})
    names = {
        "chain_id": "chain id",
        "blocks": "blocks",
        "authorities": "authorities",
        "head": "newest block",
    }
    names |= {
        "last_interval": "last settled interval",
        "bytes": "bytes",
        "bytes_per_block": "bytes per block",
    }
    frame = pd.DataFrame({"value": {text: str(facts.get(name)) for name, text in names.items()}})
    frame.index.name = "chain"
    if facts.get("signatures") is None:
        body = paragraph("This chain is long and was not verified for this report. This verifies it:")
        body += f"<p><code>wattswap chain verify {_code(str(facts['folder']))}</code></p>"
    else:
        signed = f"all {facts['blocks']:,} blocks and {facts['signatures']:,} signatures hold"
        body = paragraph(f"Verified when this report was written: {signed}.")
    return Section("chain", "Chain", why, body + table("The chain of the run.", frame), {})


def provenance(story: Story) -> Section:
    """What the numbers were made of."""
    import pandas as pd

    why = "With the same scenario, data, versions and seed the same numbers come out again."
    seeds = ", ".join(map(str, story.seeds))
    rows = {**story.provenance, "seed" if len(story.seeds) == 1 else "seeds": seeds}
    frame = pd.DataFrame({"value": rows}, dtype=object)
    frame.index.name = "what"
    body = f"<p>To repeat it: <code>{_code(story.repeat)}</code></p>" + table("What this was made of.", frame)
    link = f'<a download="scenario.json" href="{json_uri(story.scenario)}">Download scenario.json</a>'
    body += f"<p>{link}, the scenario with every default filled in.</p>"
    body += data_beside("provenance", "What this was made of.", frame)
    return Section("provenance", "Provenance", why, body, {})


def _code(text: str) -> str:
    from html import escape

    return escape(text)


def _told(frame: pd.DataFrame) -> str:
    return "; ".join(
        f"{label}: " + ", ".join(f"{str(c).split('_')[0]} {number(v)}" for c, v in row.items())
        for label, row in frame.iterrows()
    )


def _energy_prices(shown: list[Outcome], currency: str) -> str:
    told = []
    for o in shown:
        mean = o.value("price_per_kwh")
        told.append(
            f"{o.label}: {'no trade' if mean is None else f'{number(mean, 4)} {currency} on average'}."
        )
    return " ".join(told)


def _step(story: Story, drawn: pd.DataFrame) -> str:
    if len(drawn) >= story.intervals:
        return "interval"
    return {"1h": "hour", "1D": "day"}.get(figures.step_of(story.intervals, story.interval_minutes), "week")
