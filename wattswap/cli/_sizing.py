"""What `wattswap size battery` prints: a table of sizes, one of homes, and what the figures rest on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from wattswap.cli.output import note
from wattswap.cli.tables import Column, fixed, print_columns, wrapped
from wattswap.runs.shown import days_text
from wattswap.scenario.basis import moment

QUIET_S = 2.0
"""Time before the first line of progress, and between two. [s]"""
GOALS = {
    "welfare": "the least cost",
    "peak": "the least peak, then the least cost",
    "self_consumption": "own use, by the rule",
}
RULES = {"price": "price", "shapley": "Shapley", "nucleolus": "nucleolus"}


class StudyProgress:
    """Says on stderr how far a study is, once it takes longer than a moment."""

    def __init__(self, quiet: bool) -> None:
        self._quiet, self._said = quiet, time.monotonic()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Report what is being done, and how much of how much."""
        now = time.monotonic()
        if self._quiet or now - self._said < QUIET_S:
            return
        self._said = now
        note(f"{what}: {done} of {total}")


def print_sizes(found: Mapping[str, Any], *, wide: bool) -> None:
    """Print a study."""
    currency, start = found["currency"], moment(found["start"], found["zone"])
    print(
        wrapped(
            f"{found['title']}: a common battery for {found['homes']} homes, {days_text(found['days'])} from"
            f" {start} ({found['zone']}), run for {GOALS[found['goal']]}. Without it the homes, netted, pay"
            f" {fixed(found['cost_without_battery'])} {currency}."
        )
    )
    _print_table_of_sizes(found, wide)
    answers = _answers(found)
    for line in answers:
        print(wrapped(line, 2))
    if found["shares"] is not None and _has_shares(found["shares"]):
        if answers:
            print()
        _print_table_of_homes(found, wide)
    print("What this rests on")
    for text in found["notes"]:
        print(wrapped(f"  {text}", 4))


def _print_table_of_sizes(found: Mapping[str, Any], wide: bool) -> None:
    sizes, currency = found["sizes"], found["currency"]
    known, for_peak = found["perfect_foresight"], found["goal"] == "peak"
    costs = any(size["battery_cost_per_year"] is not None for size in sizes)
    rule, plans = [size["rule"] for size in sizes], [size["plan"] or {} for size in sizes]
    saved, power = "saving_per_year", "peak_import_kw"
    columns = [
        Column("kW", _cells(sizes, "power_kw", 1)),
        *([Column("saved at this peak" if for_peak else "saved at most", _cells(sizes, saved, 0))] * known),
        Column("saved by rule", _cells(rule, saved, 0)),
        *([Column("saved by plan", _cells(plans, saved, 0))] * any(plans)),
        *([Column("battery costs", _cells(sizes, "battery_cost_per_year", 0))] * costs),
        *([Column("years at least", _cells(sizes, "payback_years", 1))] * (costs and known and not for_peak)),
        *([Column("years by rule", _cells(rule, "payback_years", 1))] * costs),
        Column("peak kW", _cells(sizes, power, 1)),
        *([Column("peak by rule", _cells(rule, power, 1))] * for_peak),
        Column("own use %", _cells(sizes, "self_consumption", 1, 100)),
        Column("cycles a year", _cells(sizes, "cycles_per_year", 0)),
    ]
    keep = [column.head for column in columns[1:]]
    key = Column("kWh", [f"{size['capacity_kwh']:g}" for size in sizes])
    years = "; years until the battery has paid itself back" * costs
    basis = f", extrapolated from {days_text(found['days'])}" * found["year_is_extrapolated"]
    print_columns(f"Amounts in {currency} a year{basis}{years}.", key, columns, keep=keep, wide=wide)


def _cells(rows: Sequence[Mapping[str, Any]], name: str, decimals: int, times: float = 1) -> list[str]:
    """A column of figures; what is undefined is a dash."""
    return ["-" if row.get(name) is None else fixed(row[name] * times, decimals) for row in rows]


def _answers(found: Mapping[str, Any]) -> list[str]:
    """The sizes that save most beyond what they cost."""
    by_size = {size["capacity_kwh"]: size for size in found["sizes"]}
    lines = []
    for words, key, way in (
        ("By rule", "best_capacity_by_rule_kwh", "rule"),
        ("At most", "best_capacity_kwh", None),
    ):
        capacity = found[key]
        if capacity is None or (way is None and found["goal"] != "welfare"):
            continue
        figures = by_size[capacity][way] if way else by_size[capacity]
        basis = ", extrapolated" * found["year_is_extrapolated"]
        most = f"{fixed(figures['net_per_year'], 0)} {found['currency']} a year beyond its cost{basis}"
        lines.append(
            f"{words}, {capacity:g} kWh save most of these: {most}."
            + " It is the largest that was tried." * (capacity == max(by_size))
            if capacity
            else f"{words}, no battery of these sizes saves what it costs."
        )
    return lines


def _has_shares(shares: Mapping[str, Any]) -> bool:
    return any(amount is not None for amount in shares["homes"][0]["saved"].values())


def _print_table_of_homes(found: Mapping[str, Any], wide: bool) -> None:
    shares, currency = found["shares"], found["currency"]
    homes = shares["homes"]
    names = [name for name in RULES if homes[0]["saved"][name] is not None]
    columns = [Column("pays alone", [*_of(homes, lambda home: home["cost_alone"])])]
    columns += [
        Column(f"saves by {RULES[name]}", _of(homes, lambda home, name=name: home["saved"][name]))
        for name in names
    ]
    columns += [
        Column(
            f"of it by {RULES[name]}",
            _of(homes, lambda home, name=name: home["saved"][name] - home["saved_without_battery"][name]),
        )
        for name in names
    ]
    keep = ["pays alone", *(column.head for column in columns[1:])]
    key = Column("home", [*(home["home"] for home in homes), f"all {len(homes)}"], right=False)
    title = (
        f"Who gains how much by {shares['capacity_kwh']:g} kWh over the {days_text(found['days'])}, in {currency},"
        " against being alone; of it: what it gains beyond sharing without a battery. Each home owns an equal part of"
        " the battery; its equal part of the cost is not taken off."
    )
    print_columns(title, key, columns, keep=keep, wide=wide, total=True)


def _of(homes: Sequence[Mapping[str, Any]], value: Any) -> list[str]:
    """A column of amounts that add up to the total below them."""
    from wattswap.runs.shown import adding_up

    shown = adding_up([value(home) for home in homes])
    return [fixed(amount) for amount in (*shown, sum(shown))]
