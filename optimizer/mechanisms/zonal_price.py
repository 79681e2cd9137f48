"""Prices by zone: maximum welfare after a grid fee for every kWh between zones, which the match itself sees."""

from __future__ import annotations

from typing import Any

import numpy as np

from market.auctions.zonal import SidePrices, by_zone, intervals, price_range, proof
from market.book import OrderBook
from market.clearing import Clearing
from market.errors import InvalidBook, InvalidRules
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import RATIONING, SEED, K
from market.rules import MarketRules
from market.units import IntArray
from market.zones import Zones
from optimizer.errors import SolverFailed, Unproven
from optimizer.models.zonal_price import compiled
from optimizer.solver.rounding import EXACT_WH
from optimizer.solver.session import Session
from optimizer.zonal import quantities


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Clear between the zones of the market.

    Args:
        book: Orders of one interval, `node` an index into the zones. Not changed.
        rules: Uses `zones`, `k_ppm`, `rationing` and `seed`.

    Raises:
        InvalidRules: The market has no zones.
        InvalidBook: An order is in no zone of the market.
        SolverFailed: The solver gave no answer, or one that is not the optimum.
    """
    zones = rules.zones
    if zones is None:
        raise InvalidRules("zonal_price needs zones, and the market has none")
    strange = np.flatnonzero(book.node >= len(zones))[:5].tolist()
    if strange:
        raise InvalidBook([f"a zone that the {len(zones)} zones do not have in rows {strange}"])
    if int(book.energy_wh.sum()) >= EXACT_WH:
        raise SolverFailed("energies beyond 2^53 Wh are not exact in a float")
    if not len(book):
        return _clearing(
            book, zones, rules, np.zeros(0, dtype=np.int64), np.zeros((len(zones),) * 2, dtype=np.int64)
        )
    model = compiled(book, zones)
    solved = np.rint(Session(model).answer(model.cost, model.lower, model.upper)).astype(np.int64)
    return _clearing(book, zones, rules, solved[: len(book)], solved[len(book) :].reshape(len(zones), -1))


ZONAL_PRICE = MECHANISMS.register(
    Mechanism(
        "zonal_price",
        clear,
        Promises(
            source="spatial price equilibrium: Samuelson, American Economic Review 42 (1952), 283-303",
            budget_balance="weak",
            needs_zones=True,
        ),
        (K, RATIONING, SEED),
    )
)


def _clearing(
    book: OrderBook, zones: Zones, rules: MarketRules, solved_wh: IntArray, solved_flow_wh: IntArray
) -> Clearing:
    """Make the clearing of an optimal allocation, and prove it.

    Raises:
        Unproven: The allocation is not optimal.
    """
    if not len(book):
        nothing = np.zeros(len(zones), dtype=np.int64)
        prices = SidePrices(nothing, nothing)
        certificate = proof(book, zones, solved_wh, prices, solved_flow_wh)
        return Clearing(solved_wh, solved_wh, (None,) * len(zones), 0, 0, None, certificate)
    found = price_range(book, zones, solved_wh, solved_flow_wh > 0)
    if found is None:
        raise Unproven("no prices support the solver's allocation between zones")
    prices = found.at(rules.k_ppm)
    accepted, flow = quantities(book, zones, prices, rules)
    certificate = proof(book, zones, accepted, prices, flow)
    if not certificate.holds:
        raise Unproven(f"the clearing between zones is not proven: gap {certificate.gap_nano} nano")
    paid = np.where(book.side > 0, prices.buy[book.node], prices.sell[book.node])
    signed = book.side * accepted
    welfare, fees = int(signed.dot(book.limit_micro_per_kwh)), int(signed.dot(paid))
    accepted.setflags(write=False)
    paid.setflags(write=False)
    sold, bought = by_zone(book, accepted, len(zones))
    of_zone = intervals(found, prices, sold)
    details = _details(zones, prices, sold, bought, flow)
    return Clearing(
        accepted, paid, of_zone, fees, welfare, None, certificate, None, {**details, "fees_nano": fees}
    )


def _details(
    zones: Zones, prices: SidePrices, sold: IntArray, bought: IntArray, flow: IntArray
) -> dict[str, Any]:
    rows = zip(
        zones.names, prices.sell.tolist(), prices.buy.tolist(), sold.tolist(), bought.tolist(), strict=True
    )
    return {
        "zones": [
            {
                "zone": name,
                "sell_micro_per_kwh": sell if sold_wh else None,
                "buy_micro_per_kwh": buy if bought_wh else None,
                "sold_wh": sold_wh,
                "bought_wh": bought_wh,
            }
            for name, sell, buy, sold_wh, bought_wh in rows
        ],
        "flows": [
            {"from": zones.names[a], "to": zones.names[b], "energy_wh": int(flow[a, b])}
            for a, b in np.argwhere(flow > 0).tolist()
        ],
    }
