"""Prove a clearing on a grid with losses with numpy alone: balances, limits, and that no clearing has more welfare.

For any prices lambda >= 0 of nodes, and mu = max(0, arriving share x lambda of the taking end - lambda of the giving
end) of each way through a line, which must be 0 where the line has no limit, no clearing that balances has more welfare
than

    sum over orders of energy x max(0, side x (limit - lambda)) + sum over ways of mu x limit of the line.

Whole Wh leave less than 1 Wh missing at a node. What is missing is added at lambda, and makes the bound that of the
clearing. Prices in whole micro are moved back, by at most 1, to ones that fit the flows.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any

import numpy as np

from market.auctions.losses import (
    NEAR_SENT_WH,
    Prices,
    at_least_zero,
    carried,
    lost_wh,
    missing_wh,
    of_orders,
    sent_wh,
)
from market.auctions.network import Network
from market.book import OrderBook
from market.certificate import NodalPrices
from market.clearing import Clearing
from market.errors import InfeasibleClearing
from market.units import FloatArray, IntArray

ROUNDED_MICRO = 1.01
"""How far rounding moves a price, and a little for floats. [micro-currency/kWh]"""
NEAR_MICRO = 1e-3
"""How far floats may be from a price. [micro-currency/kWh]"""
NEAR_WH = 1e-3
"""How far floats may be from a balance or a limit. [Wh]"""


def proof(
    network: Network,
    book: OrderBook,
    accepted_wh: IntArray,
    flow_wh: FloatArray,
    price_micro_per_kwh: IntArray,
) -> NodalPrices:
    """The certificate of a clearing at prices of nodes.

    Args:
        network: A tree with losses.
        book: The orders, as stated.
        accepted_wh: Of each. [Wh]
        flow_wh: Energy sent into each line, above 0 by its start and below 0 by its end. [Wh]
        price_micro_per_kwh: Of each node.

    Raises:
        InfeasibleClearing: No prices near these fit the flows.
    """
    taken, sent = at_least_zero(book), sent_wh(flow_wh)
    missing = missing_wh(network, network.load(book, accepted_wh), flow_wh)
    residual = np.where(
        (missing > -NEAR_WH) & (missing < 1.0 + NEAR_WH), 0.0, np.sign(missing) * np.ceil(np.abs(missing))
    )
    over = float((sent - network.limit_wh).max(initial=0.0))
    price = _fitting(network, sent, price_micro_per_kwh)
    lines = network.grid.lines
    ends = price[np.stack((lines.start, lines.end))]
    worth = np.maximum(lines.arriving * ends[::-1] - ends, 0.0)
    # Only a way that is full can have a price above 0; the others have the noise of floats.
    full = sent >= network.limit_wh - NEAR_SENT_WH
    gain = np.maximum(taken.side * (taken.limit_micro_per_kwh - price[taken.node]), 0.0)
    bound = float(gain @ taken.energy_wh) + float((worth * sent)[full].sum()) + float(price @ missing)
    gap = bound - float((taken.side * accepted_wh) @ taken.limit_micro_per_kwh)
    near = np.abs(taken.limit_micro_per_kwh - price_micro_per_kwh[taken.node]) <= 2
    apart = np.abs(taken.limit_micro_per_kwh - price[taken.node])
    noise = 1.0 + 1e-9 * (abs(bound) + float(np.abs(price).max(initial=0.0)) * float(taken.energy_wh.sum()))
    return NodalPrices(
        price_micro_per_kwh,
        0 if abs(gap) <= noise else round(gap),
        ceil(float((apart * taken.energy_wh)[near].sum())),
        residual.astype(np.int64),
        0 if over <= NEAR_WH else ceil(over),
    )


def check(
    network: Network, book: OrderBook, clearing: Clearing, price_micro_per_kwh: IntArray
) -> NodalPrices:
    """Recompute the proof of a clearing whose prices are those of its certificate, without a solver.

    Args:
        network: A tree with losses.
        book: The orders.
        clearing: Energy that was bought and lost is what was sold.
        price_micro_per_kwh: Of each node.

    Raises:
        InfeasibleClearing: It states flows, losses, a rent, a welfare or intervals of prices that orders and grid do
            not give.
    """
    flow = _stated(network, clearing)
    welfare = int(np.dot(book.side * clearing.accepted_wh, book.limit_micro_per_kwh))
    if welfare != clearing.welfare_nano:
        raise InfeasibleClearing(f"a welfare of {clearing.welfare_nano} nano; the orders have {welfare}")
    rent = clearing.details.get("congestion_rent_nano", clearing.operator_surplus_nano)
    if rent != clearing.operator_surplus_nano:
        raise InfeasibleClearing(
            f"a rent of {rent} nano; buyers pay {clearing.operator_surplus_nano} more than sellers get"
        )
    taken = at_least_zero(book)
    if ((taken.energy_wh == 0) & (clearing.accepted_wh > 0)).any():
        raise InfeasibleClearing("a bid below 0 is served on a grid with losses")
    found = carried(network, sent_wh(flow), of_orders(network, taken, clearing.accepted_wh))
    for node, stated in enumerate(clearing.node_price):
        # Whole Wh hide whether an order is served in full, so that the recomputed interval may be the wider one.
        least, most = floor(found.lo[node] + NEAR_MICRO), ceil(found.hi[node] - NEAR_MICRO)
        if stated is not None and not least <= stated.lo <= stated.hi <= most:
            raise InfeasibleClearing(
                f"node {network.grid.nodes.names[node]!r} has prices from {stated.lo} to {stated.hi}; orders and lines"
                f" leave {least} to {most}"
            )
    return proof(network, book, clearing.accepted_wh, flow, price_micro_per_kwh)


def _stated(network: Network, clearing: Clearing) -> FloatArray:
    """The flows that a clearing states, with the losses that follow from them."""
    shape = (len(network.grid.lines),)
    details: Any = clearing.details
    flow, lost = (
        np.asarray(details.get(key, []), dtype=np.float64) for key in ("line_flow_wh", "line_loss_wh")
    )
    if flow.shape != shape or lost.shape != shape or not np.isfinite(flow).all():
        raise InfeasibleClearing(
            "no flow and no loss of each line, which a clearing on a grid with losses states"
        )
    if not (np.abs(lost - lost_wh(network, flow)) <= NEAR_WH).all():  # a NaN is not
        raise InfeasibleClearing("a loss of a line is not the stated share of what is sent into it")
    return flow


def _fitting(network: Network, sent: FloatArray, price_micro_per_kwh: IntArray) -> FloatArray:
    """Prices within the rounding of the stated ones that fit the lines, each in the middle of what fits."""
    price = price_micro_per_kwh.astype(np.float64)
    near = Prices(np.maximum(price - ROUNDED_MICRO, 0.0), price + ROUNDED_MICRO)
    found = carried(network, sent, near)
    off = found.lo - found.hi
    worst = int(off.argmax())
    if off[worst] > 0:
        raise InfeasibleClearing(
            "prices of nodes that neither losses nor a full line explain; that of node"
            f" {network.grid.nodes.names[worst]!r} is furthest off"
        )
    middle: FloatArray = (found.lo + found.hi) / 2
    return middle
