"""Clear metered quantities by a sharing mechanism: decimal numbers outside, integers inside."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any, NamedTuple

from market.auctions.local_price import split_nano, together
from market.errors import InvalidRules
from market.mechanism import MECHANISMS, Mechanism
from market.mechanisms.supply_demand_ratio import SUPPLY_DEMAND_RATIO
from market.parameters import FEED_IN, RETAIL
from market.units import INT64_SAFE, MICRO_PER_UNIT, money
from wattswap.inputs.collector import CaseReader, shown
from wattswap.inputs.parameters import read_parameters

Quantities = dict[str | None, list[int]]
"""Energy per interval of each participant; of the key None where only a total is given. [Wh]"""

_CALLED = {RETAIL: "retail", FEED_IN: "feed_in"}
"""How a `share` calls the outside prices; its own parameters it calls by their names."""


class _Metered(NamedTuple):
    """One side of a case: its quantities, and whether they were given as lists over intervals."""

    energy_wh: Quantities
    lists: bool


def clear_sharing_case(case: Mapping[str, Any], mechanism: Mechanism) -> dict[str, Any]:
    """Settle metered quantities at the prices of a sharing mechanism.

    Args:
        case: {"supply_kwh", "demand_kwh", "params"}, as read from JSON. A quantity is a number, a list with one number
            per interval, or an object of either per participant. Not changed.
        mechanism: One with a `share`.

    Returns:
        {"mechanism", "buy_price", "sell_price", "sdr"?, "participants"}: prices and ratio are lists where quantities
        are and prices hold per interval. What is paid, less what the retailer gets, is exactly 0.

    Raises:
        InvalidCase: Lists everything that is wrong with the case.
    """
    read = CaseReader()
    top = read.mapping(case, "case", {"supply_kwh", "demand_kwh", "params"}, set())
    supply, demand = (_metered(read, top.get(key, 0), key) for key in ("supply_kwh", "demand_kwh"))
    params = _params(read, top.get("params", {}), mechanism)
    lengths = {len(series) for side in (supply, demand) for series in side.energy_wh.values()}
    if len(lengths) > 1:
        read.note("case", f"the quantities have {sorted(lengths)} intervals", "give all the same number")
    total_wh = sum(sum(series) for side in (supply, demand) for series in side.energy_wh.values())
    prices = (abs(value) for value in params.values() if isinstance(value, int))
    if total_wh * max((1, *prices)) >= INT64_SAFE:
        read.note("case", "energy times price passes what 64 bits hold", "use a larger currency unit")
    read.refuse()
    lists = supply.lists or demand.lists
    intervals = range(max(lengths, default=1) if lists else 1)
    bills = [[t] for t in intervals]
    if params.pop("horizon", None) == "sum":
        bills, lists = [list(intervals)], False
    try:
        with MECHANISMS.held(mechanism):
            return _result(supply.energy_wh, demand.energy_wh, bills, lists, params, mechanism)
    except InvalidRules as unfit:
        read.note("params", str(unfit))
        read.refuse()
        raise


def _result(
    supply: Quantities,
    demand: Quantities,
    bills: list[list[int]],
    lists: bool,
    params: dict[str, int],
    mechanism: Mechanism,
) -> dict[str, Any]:
    """Settle interval by interval, split the sums of each bill's intervals, and add up what each participant pays."""
    assert mechanism.share is not None
    members = [name for name in {**supply, **demand} if name is not None]
    payment = dict.fromkeys(members, 0)
    buy: list[float | None] = []
    sell: list[float | None] = []
    ratio: list[float | None] = []
    for intervals in bills:
        supplied = {who: sum(series[t] for t in intervals) for who, series in supply.items()}
        drawn = {who: sum(series[t] for t in intervals) for who, series in demand.items()}
        supply_wh, demand_wh = sum(supplied.values()), sum(drawn.values())
        quantities = ((_at(supply, t), _at(demand, t)) for t in intervals)
        shared = together([(*pair, mechanism.share(*pair, **params)) for pair in quantities])
        for energy, amount in ((drawn, shared.demand_nano), (supplied, -shared.supply_nano)):
            rows = sorted(energy, key=str)
            for who, part in zip(rows, split_nano(amount, [energy[row] for row in rows]), strict=True):
                if who is not None:
                    payment[who] += part
        buy.append(_price(shared.buy_price))
        sell.append(_price(shared.sell_price))
        ratio.append(supply_wh / demand_wh if demand_wh else None)
    result: dict[str, Any] = {
        "mechanism": mechanism.name,
        "buy_price": buy if lists else buy[0],
        "sell_price": sell if lists else sell[0],
    }
    if mechanism is SUPPLY_DEMAND_RATIO:
        result["sdr"] = ratio if lists else ratio[0]
    result["participants"] = [{"participant": who, "payment": money(payment[who])} for who in members]
    return result


def _price(micro_per_kwh: Fraction | None) -> float | None:
    return None if micro_per_kwh is None else float(micro_per_kwh / MICRO_PER_UNIT)


def _metered(read: CaseReader, value: Any, where: str) -> _Metered:
    """Read a quantity or a list of them, of all members together or of each."""
    named = value if isinstance(value, Mapping) else {None: value}
    lists = {isinstance(quantity, list | tuple) for quantity in named.values()}
    if len(lists) > 1:
        read.note(where, "some quantities are lists and some are numbers", "give all of one kind")
    found: Quantities = {}
    for name, quantity in named.items():
        at = where if name is None else f"{where}.{name}"
        who = None if name is None else read.name(name, where)
        if isinstance(quantity, list | tuple):
            found[who] = [read.energy_wh(x, f"{at}[{t}]") for t, x in enumerate(quantity)]
        elif isinstance(quantity, Mapping):
            read.note(at, f"must be a number or a list of numbers, not {shown(quantity)}")
        else:
            found[who] = [read.energy_wh(quantity, at)]
    return _Metered(found, True in lists)


def _at(side: Quantities, t: int) -> int:
    return sum(series[t] for series in side.values())


def _params(read: CaseReader, given: Any, mechanism: Mechanism) -> dict[str, Any]:
    """Read the mechanism's parameters, by their names in its `share`."""
    values = read_parameters(read, given, mechanism.parameters)
    found: dict[str, Any] = {}
    for parameter in mechanism.parameters:
        value = values.get(parameter.field)
        if value is not None:
            found[_CALLED.get(parameter, parameter.name)] = value
        elif parameter in _CALLED:
            read.note("params", f"{parameter.name!r} is missing")
    return found
