"""Numbers and sentences of a report: number formats, reasons for missing values, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from agents.bidding import STRATEGIES
from agents.rules import AgentRules
from market.metrics.table import METRICS, Metric
from wattswap.report.story import Outcome, Spread, Story
from wattswap.runs.shown import Saving, adding_up, not_billed, rounded, saving_of
from wattswap.scenario.basis import vat_words

DASH = "–"
FIRST: Final = (
    *("saving_by_mechanism", "cost_with_market", "saving", "homes_worse_off", "welfare"),
    *("allocative_efficiency", "traded_kwh"),
    *(
        "traded_share",
        "price_per_kwh",
        "operator_surplus",
        "self_sufficiency",
        "peak_import_kw",
        "gini_saving",
    ),
    *("jain_saving", "clear_ms"),
)
"""The first columns of a comparison; other metrics with a heading follow."""


def columns() -> list[Metric]:
    """The metrics that a comparison shows, in order."""
    shown = {name: metric for name, metric in METRICS.all().items() if metric.heading}
    return [*(shown[name] for name in FIRST), *(m for name, m in shown.items() if name not in FIRST)]


def measure_of(name: str) -> Metric:
    """How a metric is written: as its table says, or by its name where it has no heading."""
    metric = METRICS.get(name)
    if metric.heading:
        return metric
    return replace(metric, heading=name.replace("_", " "), decimals=4, percent=False, better="neither")


def missing(value: Any) -> bool:
    """Whether a value does not exist, in any of the ways a frame says so."""
    import pandas as pd

    return value is None or bool(pd.isna(value))


def number(value: float | None, decimals: int = 2) -> str:
    """A number with thousands and fixed decimals; a dash where there is none, and no sign before a zero."""
    if value is None or missing(value):
        return DASH
    return f"{rounded(value, decimals):,.{decimals}f}"


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
    """What the market saved, who did worst by it, and what neighbours did for each other, one paragraph each."""
    losers = worst_off(story.focused, story.currency, mean=len(story.seeds) > 1)
    paragraphs = [_money(story), losers + _harmless(story), _energy(story)]
    if did := _in_common(story):
        paragraphs.append(did)
    beside = not_billed({name: spread.mean for name, spread in story.focused.metrics.items()}, story.currency)
    if beside:
        paragraphs.append(
            f"No bill counts: {'; '.join(f'{label.lower()} {text}' for label, text in beside)}."
        )
    return paragraphs


def idle(story: Story) -> str:
    """Why mechanisms trade nothing among homes that all state the same two limits; empty if none is affected."""
    names = [o.label for o in story.rivals if o.observed.volume_share == 0]
    homes, strategies = story.scenario.get("homes", {}), STRATEGIES.all()
    alike = {name for name, strategy in strategies.items() if strategy.identical_limits}
    used = {homes.get("strategy"), *homes.get("strategies", {})}
    if not names or len(used) > 1 or not used <= alike:
        return ""
    other = AgentRules().strategy
    last = f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else names[0]
    return (
        f"{last} {'trade' if len(names) > 1 else 'trades'} nothing because all homes state the same two limits, one"
        f' to buy and one to sell; homes.strategy = "{other}" gives them different ones.'
    )


def two_prices(outcomes: Sequence[Outcome]) -> str:
    """What a price means if buyers pay another one than sellers get; empty if no mechanism does that."""
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
    parts = saving_of({name: spread.mean for name, spread in o.metrics.items()})
    if parts is not None:
        return f"{_first(story)} the {story.homes} homes {_parts(parts, story)}"
    before, after = (o.shown(name).mean for name in ("cost_without_market", "cost_with_market"))
    saving = o.shown("saving")
    if before is None or after is None or saving.mean is None:
        return f"What {o.label} saved is not known."
    percent = (
        f" ({abs(100 * saving.mean / before):.1f} %)" if before and abs(before) >= abs(saving.mean) else ""
    )
    change = "which changes nothing"
    if number(saving.mean) != number(0.0):
        change = f"{number(abs(saving.mean))} {money}{percent} {'better' if saving.mean > 0 else 'worse'}"
    text = f"{_first(story)} the {story.homes} homes {_pays(after, before, money, story)}, {change}"
    if len(story.seeds) > 1:
        around = interval(saving, 2)
        found = f"95 % interval {around} {money}" if around else "the same to the cent"
        text += f" ({found} over {len(story.seeds)} seeds)"
    return text + "."


def _parts(found: Saving, story: Story) -> str:
    """What the homes pay, and what of the saving is the mechanism's, the imbalance rule's and from outside."""
    money = story.currency
    percent = ""
    if abs(found.without) >= abs(found.by_mechanism) and found.without:
        percent = f" ({100 * found.by_mechanism / abs(found.without):.1f} %)"
    text = (
        f"{_pays(found.paid, found.without, money, story)}. The mechanism saves {number(found.by_mechanism)}"
        f" {money}{percent} of at most {number(found.bound)}{_around(story)}"
    )
    if found.by_imbalance_rule:
        text += f"; the imbalance rule saves {number(found.by_imbalance_rule)} {money} of what orders missed"
    if found.from_outside:
        text += (
            f". {number(found.from_outside)} {money} come from outside: the market operator adds them, and they are no"
            " saving"
        )
    return text + "."


def _around(story: Story) -> str:
    """The interval of the mechanism's part over the seeds."""
    if len(story.seeds) < 2:
        return ""
    around = interval(story.focused.metrics["saving_by_mechanism"], 2)
    found = f"95 % interval {around} {story.currency}" if around else "the same to the cent"
    return f" ({found} over {len(story.seeds)} seeds)"


def shown_merit(outcome: Outcome) -> float:
    """What a mechanism saves the homes by itself, as tables show it."""
    return outcome.cents.get("saving_by_mechanism", rounded(merit(outcome)))


def merit(outcome: Outcome) -> float:
    """What a mechanism saves the homes by itself: neither by the imbalance rule nor with money from outside."""
    own = outcome.value("saving_by_mechanism")
    return (outcome.value("saving") or 0.0) - _added(outcome) if own is None else own


def added_by(outcome: Outcome) -> float:
    """What the operator of a mechanism adds from outside, as tables show it."""
    return outcome.cents.get("saving_from_outside", rounded(_added(outcome)))


def _added(outcome: Outcome) -> float:
    """What the operator of a mechanism adds from outside."""
    added = outcome.value("saving_from_outside")
    # Comparisons of earlier versions do not have the figure.
    return max(-(outcome.value("operator_surplus") or 0.0), 0.0) if added is None else added


def _first(story: Story) -> str:
    rivals, label = story.rivals, story.focus
    if len(rivals) < 2:
        return f"With {label}"
    paid = [r for r in rivals if needs_money(r)]
    which = f"{len(rivals)} mechanisms"
    if paid and not needs_money(story.focused):
        needs = ", ".join(f"{o.label} needs {amount(added_by(o), story.currency)}" for o in paid)
        which = f"{len(rivals) - len(paid)} mechanisms that need no money from outside ({needs})"
    most = shown_merit(story.focused)
    equal = sum(shown_merit(r) == most and not needs_money(r) for r in rivals) - 1
    others = "1 other does" if equal == 1 else f"{equal} others do"
    added = f" by itself, as {others} to the cent" if equal > 0 else " by itself"
    if needs_money(story.focused):
        added = " although its operator must add money"
    return f"Of {which} {label} saves the homes most{added}: with it"


def needs_money(outcome: Outcome) -> bool:
    """Whether the operator of a mechanism adds money, all intervals together."""
    return _added(outcome) > 0.005


def _pays(after: float, before: float, money: str, story: Story) -> str:
    earns, earned = rounded(after) < 0, rounded(before) < 0
    verb = "together earn" if earns else "together pay"
    other = "" if earns == earned else " earning" if earned else " paying"
    return (
        f"{verb} {number(abs(after))} {money} in {duration(story.length)}"
        f" instead of{other} {number(abs(before))} {money} without a market"
    )


def worst_off(outcome: Outcome, money: str, *, mean: bool = False) -> str:
    """Name the home that loses most, or gains least, and how many lose; by mean bills over several seeds."""
    savings = outcome.bills["saving"]
    row = int(savings.argmin())
    home, least = str(savings.index[row]), float(savings.iloc[row])
    shown = adding_up(savings.tolist())[row]
    losers = int((savings < -5e-10).sum())
    if losers:
        are = f"{'is' if losers == 1 else 'are'}{', by the mean of the seeds,' if mean else ''}"
        share = f"{losers} of {len(savings)} homes {are} worse off than without a market"
        return f"{share}; {home} loses most, {amount(-shown, money, least)}."
    if abs(least) < 5e-10:
        return f"No home is worse off than without a market; {home} gains nothing."
    if shown == 0:
        return (
            f"No home is worse off than without a market; {home} gains least, {amount(shown, money, least)}."
        )
    return f"No home is worse off than without a market; even {home}, which gains least, saves {amount(shown, money)}."


def _harmless(story: Story) -> str:
    """The mechanism that saves most of those under which nobody loses, if the one in focus has losers."""
    nobody = [r for r in story.rivals if r.value("homes_worse_off") == 0 and not needs_money(r)]
    if not story.focused.value("homes_worse_off") or not nobody:
        return ""
    best = max(nobody, key=merit)
    saved = amount(shown_merit(best), story.currency)
    return f" Of the mechanisms under which nobody loses {best.label} saves most, {saved}."


def amount(value: float, money: str, exact: float = 0.0) -> str:
    """Money with two decimals, in cents as tables show it; one that is shown as 0 and is none is less than 0.01."""
    if (value or exact) and not rounded(value):
        return f"less than 0.01 {money}"
    return f"{number(value)} {money}"


def _in_common(story: Story) -> str:
    """What the battery in common did, gained and costs; nothing without one."""
    o, money = story.focused, story.currency
    gained, took, gave = (o.value(f"battery_{name}") for name in ("gain", "taken_kwh", "given_kwh"))
    if gained is None or took is None or gave is None:
        return ""
    text = (
        f"The battery in common took {number(took, 1)} kWh and gave {number(gave, 1)}; its account"
        f" {'gained' if gained >= 0 else 'lost'} {amount(abs(gained), money)}, which is part of the bills"
    )
    if (cost := o.value("battery_cost")) is None:
        return f"{text}. What it costs is not known."
    return f"{text}. Its purchase costs {amount(cost, money)} in this time, which no bill counts."


def _energy(story: Story) -> str:
    o = story.focused
    traded, price = o.value("traded_kwh"), o.value("price_per_kwh")
    if not traded:
        return f"Nothing was traded with {o.label}, so there is no price between neighbours."
    how = "cleared from the meters" if story.metered else "agreed ahead"
    text = f"{number(traded, 1)} kWh were {how}"
    if price is not None:
        low, high = o.intervals["feed_in_per_kwh"].mean(), o.intervals["import_per_kwh"].mean()
        text += (
            f" at {number(price, 4)} {story.currency} per kWh on average, where the retailer pays"
            f" {number(float(low), 4)} and charges {number(float(high), 4)}{vat_words(story.scenario)}"
        )
    delivered = o.value("delivered_kwh")
    if delivered is not None and not story.metered:
        among = (
            "from home to home"
            if o.value("battery_gain") is None
            else "among homes and their battery in common"
        )
        text += f". By the meters {number(delivered, 1)} kWh were delivered {among}"
    share, alone = o.value("self_sufficiency"), o.value("self_sufficiency_alone")
    if share is not None and alone is not None:
        text += (
            f". Together the homes cover {100 * share:.1f} % of their consumption themselves,"
            f" where each home alone covers {100 * alone:.1f} %"
        )
    return text + "."
