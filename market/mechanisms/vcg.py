"""Vickrey-Clarke-Groves: the efficient allocation with Clarke pivot payments."""

from __future__ import annotations

from dataclasses import replace

from market.auctions.clarke_pivot import Members, curve_of, members_of, spread, worth_without_own
from market.auctions.merit_order import row_order
from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import MARGIN, Parameter
from market.rules import MarketRules
from market.units import IntArray

OUTSIDE = Parameter(
    name="outside",
    field="outside",
    kind="nothing",
    default=None,
    summary="Trade with the outside: none, as an empty object says too.",
    case_only=True,
)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Accept the efficient allocation; participant i pays v_i - (W - W_-i), with all its orders taken away in W_-i.

    Every accepted order is priced at its own limit; the contribution W - W_-i is paid back as a rebate.

    Args:
        book: Orders of one interval. Not changed.
        rules: Uses `rationing` and `seed`; any efficient allocation leaves everybody the same gain.
    """
    best = clear_exact(book, rules)
    if best.node_price == (None,):
        return best
    members = members_of(book.participant)
    gain_nano = contributions_nano(book, members, best)
    charge_nano = -spread(gain_nano, best.accepted_wh, members)
    charge_nano.flags.writeable = False
    return replace(
        best,
        price_micro_per_kwh=book.limit_micro_per_kwh,
        node_price=(None,),
        operator_surplus_nano=best.welfare_nano - int(gain_nano.sum()),
        charge_nano=charge_nano,
    )


def contributions_nano(book: OrderBook, members: Members, best: Clearing) -> IntArray:
    """How much less welfare there would be without each participant. [nano]

    A bid is a fixed demand and an offer of the same energy at the same limit, so W = V - C(Q): the value of all bids
    less the cost of serving their total energy Q from the cheapest of all orders. Without participant i that is
    V - V_i less the cost of Q - Q_i from the orders of the others: one query on the cost curve.
    """
    order = row_order(book.limit_micro_per_kwh)
    limit, energy = book.limit_micro_per_kwh, book.energy_wh
    curve = curve_of(members.of_row[order], energy[order], limit[order])
    bids_wh = energy * (book.side > 0)
    demand_wh, value_nano = members.sum(bids_wh), members.sum(bids_wh * limit)
    trades = members.sum(best.accepted_wh) > 0
    left_wh = (int(demand_wh.sum()) - demand_wh) * trades
    cost_nano = worth_without_own(curve, left_wh, single=members.single)
    without = int(value_nano.sum()) - value_nano - cost_nano
    gain_nano: IntArray = (best.welfare_nano - without) * trades
    return gain_nano


VCG = MECHANISMS.register(
    Mechanism(
        "vcg",
        clear,
        Promises(
            source="Vickrey 1961, Clarke 1971, Groves 1973; deficit: Myerson, Satterthwaite,"
            " Journal of Economic Theory 29 (1983), 265-281",
            budget_balance="deficit",
            truthful=True,
            efficient=True,
        ),
        (OUTSIDE, MARGIN),
    )
)
