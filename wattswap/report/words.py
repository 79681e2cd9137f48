"""Numbers and sentences of a report: how a figure is written, why it may be missing, and the verdict in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from agents.bidding import STRATEGIES
from wattswap.report.story import Outcome, Spread, Story

DASH = "–"
Better = Literal["more", "less"]


@dataclass(frozen=True, slots=True)
class Measure:
    """A column of the comparison.

    Args:
        metric: Name of the figure.
        heading: What people call it; {money} stands for the currency.
        decimals: Digits behind the point.
        better: Which direction is better, or None where neither is.
        undefined: Why it may be missing.
        factor: 100 for a share shown in percent.
    """

    metric: str
    heading: str
    decimals: int
    better: Better | None
    undefined: str
    factor: float = 1.0


_NO_TRADE = "nothing was traded"
_NO_LOAD = "the data do not tell the load behind the meter, or there is none"
_NOT_MEASURED = "it was not measured"
_LOSERS = "it is defined only where no home loses and some home gains"
MEASURES: Final = (
    Measure("cost_with_market", "all bills, {money}", 2, "less", _NOT_MEASURED),
    Measure("saving", "saved, {money}", 2, "more", _NOT_MEASURED),
    Measure("homes_worse_off", "homes worse off", 1, "less", _NOT_MEASURED),
    Measure("welfare", "welfare, {money}", 2, "more", _NOT_MEASURED),
    Measure(
        "allocative_efficiency",
        "efficiency at stated limits, %",
        1,
        "more",
        "no trade was possible, so there is no optimum",
        100,
    ),
    Measure("traded_kwh", "traded, kWh", 1, "more", _NOT_MEASURED),
    Measure("traded_share", "traded of possible, %", 1, "more", "no interval had bids and offers", 100),
    Measure("price_per_kwh", "average price, {money}/kWh", 4, None, _NO_TRADE),
    Measure("operator_surplus", "kept by the operator, {money}", 2, None, _NOT_MEASURED),
    Measure("self_sufficiency", "self-sufficiency, %", 1, "more", _NO_LOAD, 100),
    Measure("peak_import_kw", "peak import, kW", 1, "less", _NOT_MEASURED),
    Measure("gini_saving", "Gini of savings", 3, "less", _LOSERS),
    Measure("jain_saving", "Jain of savings", 3, "more", _LOSERS),
    Measure("clear_ms", "clearing, ms", 2, "less", _NOT_MEASURED),
)


def measure_of(metric: str) -> Measure:
    """How a metric is written: as the column of the comparison where it is one, else by its name."""
    own = Measure(metric, metric.replace("_", " "), 4, None, "it does not exist there")
    return next((m for m in MEASURES if m.metric == metric), own)


def missing(value: Any) -> bool:
    """Whether a value does not exist, in any of the ways a frame says so."""
    import pandas as pd

    return value is None or bool(pd.isna(value))


def number(value: float | None, decimals: int = 2) -> str:
    """A number with thousands and fixed decimals; a dash where there is none, and no sign before a zero."""
    if value is None or missing(value):
        return DASH
    return f"{round(value, decimals) + 0.0:,.{decimals}f}"


def interval(figure: Spread, decimals: int, factor: float = 1.0) -> str:
    """The 95 % interval of a mean; empty with one seed, or where rounding leaves only the mean."""
    if figure.mean is None or figure.low is None or figure.high is None:
        return ""
    mean, low, high = (number(v * factor, decimals) for v in (figure.mean, figure.low, figure.high))
    return "" if low == mean == high else f"{low} to {high}"


def against_best(value: float, best: float, decimals: int, *, count: bool = False) -> str:
    """A worse value in percent of the best; as a difference where a percentage would mislead.

    Money may be income here and cost there: no percentage is of any use across zero, and none for a count, where one
    home more may be twice as many.
    """
    if best > 0 and value >= 0 and not count:
        return f"{100 * value / best:.1f} % of best"
    difference = value - best
    return f"{'+' if difference >= 0 else '−'}{number(abs(difference), decimals)}"


def duration(length: timedelta) -> str:
    """A length of time in the largest unit that fits."""
    minutes = int(length.total_seconds() // 60)
    for unit, size in (("day", 1440), ("hour", 60)):
        if minutes % size == 0:
            n = minutes // size
            return f"{n} {unit}{'' if n == 1 else 's'}"
    return f"{minutes} minutes"


def verdict(story: Story) -> list[str]:
    """Three sentences: what the market saved, who did worst by it, and what neighbours did for each other."""
    losers = worst_off(story.focused, story.currency, mean=len(story.seeds) > 1)
    return [_money(story), losers + _harmless(story), _energy(story)]


def idle(story: Story) -> str:
    """Why rules trade nothing among homes that all state the same two limits; empty where none is idle for it."""
    names = [o.label for o in story.rivals if o.observed.volume_share == 0]
    homes, strategies = story.scenario.get("homes", {}), STRATEGIES.all()
    alike = {name for name, strategy in strategies.items() if strategy.identical_limits}
    if not names or not {homes.get("strategy"), *homes.get("strategies", {})} <= alike:
        return ""
    other = next(name for name in strategies if name not in alike)
    last = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    return (
        f"{last} {'trade' if len(names) > 1 else 'trades'} nothing because all homes state the same two limits, one"
        f' to buy and one to sell; homes.strategy = "{other}" gives them different ones.'
    )


def two_prices(outcomes: Sequence[Outcome]) -> str:
    """What a price means where buyers pay another one than sellers get; empty where none of these rules does that."""
    names = []
    for o in outcomes:
        paid, got = o.value("buyer_price_per_kwh"), o.value("seller_price_per_kwh")
        if paid is not None and got is not None and abs(paid - got) > 5e-7:
            names.append(f"{o.label} (buyers {number(paid, 4)}, sellers {number(got, 4)})")
    if not names:
        return ""
    return f" The price is the middle of what buyers pay and sellers get with {', '.join(names)}."


def _money(story: Story) -> str:
    o, money = story.focused, story.currency
    before, after, saving = o.value("cost_without_market"), o.value("cost_with_market"), o.metrics["saving"]
    if before is None or after is None or saving.mean is None:
        return f"What {o.label} saved is not known."
    percent = f" ({abs(100 * saving.mean / before):.1f} %)" if abs(before) >= abs(saving.mean) else ""
    change = "which changes nothing"
    if number(saving.mean) != number(0.0):
        change = f"{number(abs(saving.mean))} {money}{percent} {'better' if saving.mean > 0 else 'worse'}"
    text = f"{_first(story)} the {story.homes} homes {_pays(after, before, money, story)}, {change}"
    if len(story.seeds) > 1:
        around = interval(saving, 2)
        found = f"95 % interval {around} {money}" if around else "the same to the cent"
        text += f" ({found} over {len(story.seeds)} seeds)"
    return text + "."


def _first(story: Story) -> str:
    rivals, label = story.rivals, story.focus
    if len(rivals) < 2:
        return f"With {label}"
    paid = [r for r in rivals if needs_money(r)]
    which = f"{len(rivals)} mechanisms"
    if paid and not needs_money(story.focused):
        more = f"{len(paid)} more {'does' if len(paid) == 1 else 'do'}"
        which = f"{len(rivals) - len(paid)} mechanisms that need no money from outside ({more})"
    most = number(story.focused.value("saving"))
    equal = sum(number(r.value("saving")) == most and not needs_money(r) for r in rivals) - 1
    added = f", as {equal} more do to the cent" if equal > 0 else ""
    if needs_money(story.focused):
        added = " although its operator must add money"
    return f"Of {which} {label} saves the homes most{added}: with it"


def needs_money(outcome: Outcome) -> bool:
    """Whether the operator of a mechanism adds money, all intervals together."""
    return (outcome.value("operator_surplus") or 0.0) < -0.005


def _pays(after: float, before: float, money: str, story: Story) -> str:
    earns, earned = round(after, 2) < 0, round(before, 2) < 0
    verb = "together earn" if earns else "together pay"
    other = "" if earns == earned else " earning" if earned else " paying"
    return (
        f"{verb} {number(abs(after))} {money} in {duration(story.length)}"
        f" instead of{other} {number(abs(before))} {money} without a market"
    )


def worst_off(outcome: Outcome, money: str, *, mean: bool = False) -> str:
    """Name the home that loses most, or gains least, and how many lose; by mean bills where there are several seeds."""
    savings = outcome.bills["saving"]
    home, least = str(savings.idxmin()), float(savings.min())
    losers = int((savings < -5e-10).sum())
    if losers:
        are = f"{'is' if losers == 1 else 'are'}{', by the mean of the seeds,' if mean else ''}"
        share = f"{losers} of {len(savings)} homes {are} worse off than without a market"
        return f"{share}; {home} loses most, {amount(-least, money)}."
    if abs(least) < 5e-10:
        return f"No home is worse off than without a market; {home} gains nothing."
    if round(least, 2) == 0:
        return f"No home is worse off than without a market; {home} gains least, {amount(least, money)}."
    return f"No home is worse off than without a market; even {home}, which gains least, saves {amount(least, money)}."


def _harmless(story: Story) -> str:
    """The rule that saves most of those under which nobody loses, where the one in focus has losers."""
    nobody = [r for r in story.rivals if r.value("homes_worse_off") == 0 and not needs_money(r)]
    if not story.focused.value("homes_worse_off") or not nobody:
        return ""
    best = max(nobody, key=lambda r: r.value("saving") or 0.0)
    saved = amount(best.value("saving") or 0.0, story.currency)
    return f" Of the rules under which nobody loses {best.label} saves most, {saved}."


def amount(value: float, money: str) -> str:
    """Money with two decimals; what is less than a cent and not nothing is called so."""
    if value and abs(value) < 0.005:
        return f"less than 0.01 {money}"
    return f"{number(value)} {money}"


def _energy(story: Story) -> str:
    o = story.focused
    traded, price = o.value("traded_kwh"), o.value("price_per_kwh")
    if not traded:
        return f"Nothing was traded with {o.label}, so there is no price between neighbours."
    text = f"Neighbours traded {number(traded, 1)} kWh"
    if price is not None:
        low, high = o.intervals["feed_in_per_kwh"].mean(), o.intervals["import_per_kwh"].mean()
        text += (
            f" at {number(price, 4)} {story.currency} per kWh on average, where the retailer pays"
            f" {number(float(low), 4)} and charges {number(float(high), 4)}"
        )
    share, alone = o.value("self_sufficiency"), story.without.value("self_sufficiency")
    if share is not None and alone is not None:
        text += (
            f", and cover {100 * share:.1f} % of their consumption themselves,"
            f" where each home alone covers {100 * alone:.1f} %"
        )
    return text + "."
