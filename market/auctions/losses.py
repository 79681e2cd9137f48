"""A radial grid that loses energy: what arrives, which prices fit together, and of what a price is made.

Of what is sent into a line the stated share is lost, whichever way it goes. A line that carries thus ties the prices
at its ends: the price of the giving end is that of the taking end times the share that arrives. One that could carry
more keeps the price of the giving end from falling below that. Both say that one price is at least a multiple of
another. If two sets of prices keep all of this, the higher of both at every node keep it too, and so do the lower and
any mean. So the lowest and the highest price of each node are found by carrying bounds along the tree, once to the root
and once back, and lo + k (hi - lo) at all nodes with one k is a set of prices that fits.

Source: Schweppe, Caramanis, Tabors, Bohn, Spot Pricing of Electricity, 1988, with losses that are a share of the flow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from market.auctions.network import Network
from market.book import OrderBook
from market.units import PPM, FloatArray, IntArray

NEAR_SENT_WH: Final = 1e-5
"""Up to here a line carries nothing, or all it can, or an order has all or nothing. [Wh]"""


class Prices(NamedTuple):
    """Lowest and highest price of each node. [micro-currency/kWh]"""

    lo: FloatArray
    hi: FloatArray


class Parts(NamedTuple):
    """What the price of each node is made of; they add up to it. [micro-currency/kWh]

    Args:
        energy: The price at the root.
        losses: What the lines between root and node lose of it.
        congestion: What their limits add to it, or take from it.
    """

    energy: IntArray
    losses: IntArray
    congestion: IntArray


def at_least_zero(book: OrderBook) -> OrderBook:
    """The orders as a grid with losses takes them: an offer below 0 as one at 0, a bid below 0 without energy.

    At prices below 0 it would pay to send energy back and forth and lose it.
    """
    limit = book.limit_micro_per_kwh
    if not len(limit) or int(limit.min()) >= 0:
        return book
    energy, raised = np.where((limit < 0) & (book.side > 0), 0, book.energy_wh), np.maximum(limit, 0)
    energy.flags.writeable = raised.flags.writeable = False
    return replace(book, energy_wh=energy, limit_micro_per_kwh=raised)


def flows(network: Network, load_wh: FloatArray) -> tuple[FloatArray, float]:
    """What a load sends into each line of a tree, and what is then missing at the root.

    Args:
        network: Its lines form a tree.
        load_wh: Net consumption of each node. [Wh]

    Returns:
        Energy sent in, above 0 by the start of a line and below 0 by its end, shape (lines,); what the root lacks,
        below 0 what it has left. [Wh]
    """
    tree = network.tree
    assert tree is not None
    arriving, lines, sign, parent = network.grid.lines.arriving, tree.line, tree.towards, tree.parent
    need, flow = load_wh[tree.order].astype(np.float64), np.zeros(len(arriving))
    for place in range(len(need) - 1, 0, -1):
        line, own = int(lines[place]), float(need[place])
        flow[line] = float(sign[place]) * (own / arriving[line] if own > 0 else own)
        need[parent[place]] += own / arriving[line] if own > 0 else own * arriving[line]
    return flow, float(need[0])


def missing_wh(network: Network, load_wh: FloatArray, flow_wh: FloatArray) -> FloatArray:
    """What each node takes beyond what the lines bring it; below 0 what is left there. [Wh]

    Args:
        network: The grid.
        load_wh: Net consumption of each node. [Wh]
        flow_wh: Energy sent into each line, as of `flows`. [Wh]
    """
    lines, nodes = network.grid.lines, len(network.grid.nodes)
    sent = sent_wh(flow_wh)
    arrives = sent * lines.arriving
    came = np.bincount(lines.end, arrives[0] - sent[1], nodes) + np.bincount(
        lines.start, arrives[1] - sent[0], nodes
    )
    rest: FloatArray = load_wh - came
    return rest


def sent_wh(flow_wh: FloatArray) -> FloatArray:
    """What is sent into each line by its start and by its end, shape (2, lines). [Wh]"""
    return np.stack((np.maximum(flow_wh, 0.0), np.maximum(-flow_wh, 0.0)))


def lost_wh(network: Network, flow_wh: FloatArray) -> FloatArray:
    """What each line loses of the energy sent into it. [Wh]"""
    ppm = network.grid.lines.loss_ppm
    lost: FloatArray = np.zeros_like(flow_wh) if ppm is None else np.abs(flow_wh) * ppm / PPM
    return lost


def of_orders(network: Network, book: OrderBook, accepted_wh: FloatArray | IntArray) -> Prices:
    """Bounds that the orders of each node set: all want what they got. Nowhere outside of the limits of all orders.

    Args:
        network: The grid.
        book: With limits of at least 0.
        accepted_wh: Of each order. [Wh]
    """
    some, not_all = accepted_wh > NEAR_SENT_WH, accepted_wh < book.energy_wh - NEAR_SENT_WH
    is_buy, limit = book.side > 0, book.limit_micro_per_kwh
    live, nodes = limit[book.energy_wh > 0], len(network.grid.nodes)
    lo = np.full(nodes, live.min() if len(live) else 0, dtype=np.float64)
    hi = np.full(nodes, live.max() if len(live) else 0, dtype=np.float64)
    raises, lowers = np.where(is_buy, not_all, some), np.where(is_buy, some, not_all)
    np.maximum.at(lo, book.node[raises], limit[raises])
    np.minimum.at(hi, book.node[lowers], limit[lowers])
    return Prices(lo, hi)


def carried(network: Network, sent: FloatArray, bounds: Prices) -> Prices:
    """Bounds of prices carried along the lines of a tree: the lowest and the highest price of each node that fit.

    Args:
        network: The grid.
        sent: Into each line by its start and by its end, shape (2, lines). [Wh]
        bounds: Of each node alone, at least 0.

    Returns:
        Where one is higher than the other, no prices fit.
    """
    tree, lines = network.tree, network.grid.lines
    assert tree is not None
    share, some = lines.arriving.tolist(), (sent > NEAR_SENT_WH).tolist()
    full = (sent >= network.limit_wh - NEAR_SENT_WH).tolist()
    lo, hi = bounds.lo[tree.order].tolist(), bounds.hi[tree.order].tolist()
    line_of, parent_of, towards = tree.line.tolist(), tree.parent.tolist(), tree.towards.tolist()
    for place in [*range(len(lo) - 1, 0, -1), *range(1, len(lo))]:
        line, parent = line_of[place], parent_of[place]
        inwards, arrives = 0 if towards[place] > 0 else 1, share[line]
        for way, giver, taker in ((inwards, parent, place), (1 - inwards, place, parent)):
            if not full[way][line]:
                lo[giver] = max(lo[giver], arrives * lo[taker])
                hi[taker] = min(hi[taker], hi[giver] / arrives)
            if some[way][line]:
                lo[taker] = max(lo[taker], lo[giver] / arrives)
                hi[giver] = min(hi[giver], arrives * hi[taker])
    by_node = np.empty((2, len(lo)))
    by_node[:, tree.order] = lo, hi
    return Prices(by_node[0], by_node[1])


def parts(network: Network, flow_wh: FloatArray, price_micro_per_kwh: IntArray) -> Parts:
    """Of what the prices of nodes are made, from the root outwards.

    Along a line that is not full the whole difference of the prices is losses. A full one adds what its losses say,
    rounded to a whole micro, and the rest is congestion; one with a limit of 0 has congestion alone.

    Args:
        network: The grid.
        flow_wh: Energy sent into each line, as of `flows`. [Wh]
        price_micro_per_kwh: Of each node.
    """
    tree, lines = network.tree, network.grid.lines
    assert tree is not None
    price, losses = price_micro_per_kwh[tree.order], np.zeros(len(tree.order), dtype=np.int64)
    for place in range(1, len(price)):
        line, parent = int(tree.line[place]), int(tree.parent[place])
        arrives, flow = float(lines.arriving[line]), float(flow_wh[line])
        step = int(price[place] - price[parent])
        if network.limit_wh[line] == 0:
            step = 0
        elif abs(flow) >= network.limit_wh[line] - NEAR_SENT_WH:
            outwards = flow * float(tree.towards[place]) > 0
            step = round(float(price[parent]) * ((1 / arrives if outwards else arrives) - 1))
        losses[place] = losses[parent] + step
    of_node = np.empty_like(losses)
    of_node[tree.order] = losses
    energy = np.full_like(losses, price_micro_per_kwh[network.grid.root])
    return Parts(energy, of_node, price_micro_per_kwh - energy - of_node)
