"""Zones of a cleared grid: nodes that lines with room connect at one price, in which deviations may be netted."""

from __future__ import annotations

import numpy as np

from market.auctions.network import NOISE, Network
from market.book import OrderBook
from market.clearing import Clearing
from market.errors import InfeasibleClearing
from market.settlement.zones import GridTerms, Rent
from market.units import BoolArray, FloatArray, IntArray


def zones_of(network: Network, carries: BoolArray) -> IntArray:
    """Zone of each node, where only some lines connect nodes; numbered by their first node.

    Args:
        carries: Which lines connect their ends, shape (lines,).
    """
    zone = np.arange(len(network.grid.nodes))
    lines = network.grid.lines
    start, end = lines.start[carries], lines.end[carries]
    while True:
        before = zone.copy()
        least = np.minimum(zone[start], zone[end])
        np.minimum.at(zone, start, least)
        np.minimum.at(zone, end, least)
        if (zone == before).all():
            return np.unique(zone, return_inverse=True)[1].astype(np.int64)


def grid_terms(
    network: Network, book: OrderBook, clearing: Clearing, node_of_home: IntArray, rent: Rent
) -> GridTerms:
    """Zones and prices by which an interval on a grid is settled.

    A line separates two zones where no whole Wh more fits through it in the direction of its flow, and where the prices
    at its ends differ. So a zone has one price, and what is netted inside of it passes no full line.

    Args:
        network: The grid.
        book: The orders of the interval.
        clearing: With a price for each node, or one for all.
        node_of_home: Node of each member.
        rent: Who gets the congestion rent.

    Raises:
        InfeasibleClearing: Prices of another number of nodes.
    """
    lines, nodes = network.grid.lines, len(network.grid.nodes)
    flow = network.state(network.load(book, clearing.accepted_wh)).flow_wh
    full = (network.limit_wh - np.abs(flow) < 1.0 - NOISE) | (network.limit_wh == 0)
    if len(clearing.node_price) not in (1, nodes):
        raise InfeasibleClearing(f"prices of {len(clearing.node_price)} nodes on a grid of {nodes}")
    found = clearing.node_price * (nodes if len(clearing.node_price) == 1 else 1)
    price = np.array([0 if one is None else one.price for one in found], dtype=np.int64)
    known = np.array([one is not None for one in found])
    carries = ~full
    carries &= (price[lines.start] == price[lines.end]) & (known[lines.start] == known[lines.end])
    if carries.all():
        first, zone = [0], np.zeros(nodes, dtype=np.int64)
        up = down = np.ones(nodes, dtype=np.bool_)
    else:
        zone = zones_of(network, carries)
        first = np.unique(zone, return_index=True)[1].tolist()
        up, down = _ways(network, flow, full, carries, np.where(known, price, 0), zone)
    of_zone = tuple(None if (one := found[node]) is None else one.price for node in first)
    return GridTerms(zone[node_of_home], of_zone, up[node_of_home], down[node_of_home], rent)


def _ways(
    network: Network,
    flow_wh: FloatArray,
    full: BoolArray,
    carries: BoolArray,
    price: IntArray,
    zone: IntArray,
) -> tuple[BoolArray, BoolArray]:
    """From which nodes more can flow to the root, and to which from it.

    Against the flow of a full line, which relieves it: then the price behind it is not lower on the way of the flow. On
    a mesh there is no one way: only within the zone of the root.
    """
    tree, lines = network.tree, network.grid.lines
    if tree is None:
        inside: BoolArray = zone == zone[network.grid.root]
        return inside, inside
    deeper = network.deeper
    nearer = lines.start + lines.end - deeper
    downwards = flow_wh * tree.towards[network.line_place]
    relieved_by_up = full & (downwards > 0) & (price[deeper] >= price[nearer])
    relieved_by_down = full & (downwards < 0) & (price[deeper] <= price[nearer])

    def free(open_: BoolArray) -> BoolArray:
        barred = np.zeros(len(tree.order))
        barred[network.line_place] = ~open_
        found = np.empty(len(tree.order), dtype=np.bool_)
        found[tree.order] = tree.paths(barred) < 0.5
        return found

    return free(carries | relieved_by_up), free(carries | relieved_by_down)
