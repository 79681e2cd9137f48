"""Whether a result of `clear_case` agrees with itself and with what an oracle says."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from typing import Any

from tests.oracles.books import Outcome

Case = dict[str, Any]

RELATIVE = 1e-9
MICRO, WH, NANO = 1e-6, 1e-3, 1e-9


def near(found: float | None, wanted: Fraction | float | None, unit: float) -> bool:
    """Within 1e-9 and one unit of rounding; None only equals None."""
    if found is None or wanted is None:
        return found is wanted
    return abs(found - float(wanted)) <= RELATIVE * max(1.0, abs(float(wanted))) + unit


def exact(found: float | None, wanted: Fraction | float | None) -> bool:
    return near(found, wanted, 0.0)


def check_amounts(case: Case, result: Case) -> None:
    """The amounts of a result follow from its orders and fees, and the trades from its orders."""
    given, orders = case["orders"], result["orders"]
    assert [order["id"] for order in orders] == [order["id"] for order in given]
    traded: dict[str, float] = {"buy": 0.0, "sell": 0.0}
    surplus: dict[str, float] = {"buy": 0.0, "sell": 0.0}
    paid: dict[str, float] = dict.fromkeys((order["participant"] for order in given), 0.0)
    welfare = 0.0
    for order, found in zip(given, orders, strict=True):
        sign, wh = (1 if order["side"] == "buy" else -1), found["accepted_kwh"]
        assert 0 <= wh <= order["quantity_kwh"] + 1e-12
        traded[order["side"]] += wh
        value = sign * wh * order["price_per_kwh"]
        surplus[order["side"]] += value - found["payment"]
        welfare += value
        paid[order["participant"]] += found["payment"]
        assert (found["price_per_kwh"] is None) == (wh == 0)
        if wh:
            assert exact(found["price_per_kwh"] * sign * wh, found["payment"])
    fees = {row["participant"]: row["fee"] for row in result["participants"]}
    assert list(fees) == list(paid)
    assert all(exact(row["payment"], paid[row["participant"]]) for row in result["participants"])
    operator = sum(paid.values()) + sum(fees.values())
    assert exact(result["traded_kwh"], traded["buy"])
    assert exact(result["traded_kwh"], traded["sell"])
    assert result["status"] == ("cleared" if result["traded_kwh"] else "no_trade")
    assert (result["price"] is None) == (result["traded_kwh"] == 0)
    assert exact(result["welfare"], welfare)
    assert exact(result["operator_surplus"], operator)
    if not any(fees.values()):
        assert exact(result["buyer_surplus"], surplus["buy"])
        assert exact(result["seller_surplus"], surplus["sell"])
    both = result["buyer_surplus"] + result["seller_surplus"]
    assert exact(both, surplus["buy"] + surplus["sell"] - sum(fees.values()))
    assert exact(both + result["operator_surplus"], welfare)
    _check_trades(case, result)


def _check_trades(case: Case, result: Case) -> None:
    side = {order["id"]: order["side"] for order in case["orders"]}
    sums: dict[str, float] = defaultdict(float)
    for trade in result["trades"]:
        assert trade["quantity_kwh"] > 0
        for key in ("buy", "sell"):
            assert side[trade[key]] == key
            sums[trade[key]] += trade["quantity_kwh"]
    assert all(exact(order["accepted_kwh"], sums[order["id"]]) for order in result["orders"])


def within_limits(case: Case, result: Case) -> None:
    """No order is paid for at worse than its limit."""
    for order, found in zip(case["orders"], result["orders"], strict=True):
        sign = 1 if order["side"] == "buy" else -1
        value = sign * found["accepted_kwh"] * order["price_per_kwh"]
        assert found["payment"] <= value + NANO


def compare(case: Case, result: Case, wanted: Outcome) -> None:
    """Every order within a Wh, the volume to the Wh, prices within a micro, and payments accordingly."""
    check_amounts(case, result)
    within_limits(case, result)
    highest = max((abs(order["price_per_kwh"]) for order in case["orders"]), default=0) + 1
    paid: dict[str, Fraction] = defaultdict(Fraction)
    for order, found in zip(case["orders"], result["orders"], strict=True):
        wh = wanted.accepted.get(order["id"], Fraction(0))
        nano = wanted.paid.get(order["id"], Fraction(0))
        unit = WH * 0.9999 if wh.denominator > 1 else 0.0
        assert near(found["accepted_kwh"], wh / 1000, unit), order["id"]
        slack = unit * highest + float(wh) / 1000 * MICRO
        assert near(found["payment"], nano / 10**9, slack), order["id"]
        paid[order["participant"]] += nano
    volume = sum(
        wanted.accepted.get(order["id"], Fraction(0)) for order in case["orders"] if order["side"] == "buy"
    )
    assert exact(result["traded_kwh"], Fraction(volume) / 1000)
    slack = highest * WH * len(case["orders"]) + result["traded_kwh"] * MICRO
    for row in result["participants"]:
        assert near(row["payment"], paid[row["participant"]] / 10**9, slack)
        assert near(row["fee"], wanted.fee.get(row["participant"], Fraction(0)) / 10**9, NANO)
    if wanted.price is not None:
        assert near(result["price"], wanted.price / 10**6, MICRO)
    if wanted.interval is not None:
        assert all(
            exact(a, b / 10**6) for a, b in zip(result["price_interval"], wanted.interval, strict=True)
        )
    if "trades" in wanted.more:
        _compare_trades(result, wanted.more["trades"])


def _compare_trades(result: Case, wanted: list[tuple[str, str, int, Fraction]]) -> None:
    """The same pairs at the same prices; several trades of a pair at one price count as one."""
    theirs: dict[tuple[str, str, Fraction], int] = defaultdict(int)
    for buy, sell, wh, micro_per_kwh in wanted:
        theirs[buy, sell, micro_per_kwh] += wh
    ours: dict[tuple[str, str, float], float] = defaultdict(float)
    for trade in result["trades"]:
        ours[trade["buy"], trade["sell"], trade["price_per_kwh"]] += trade["quantity_kwh"]
    assert len(ours) == len(theirs)
    for (mine, kwh), (right, wh) in zip(sorted(ours.items()), sorted(theirs.items()), strict=True):
        assert mine[:2] == right[:2]
        assert exact(kwh, Fraction(wh, 1000))
        assert near(mine[2], right[2] / 10**6, MICRO)
