"""What the grid carries in some intervals, by the meters, and what binds in their clearings: columns of intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from market.auctions.network import NOISE, Network
from market.units import PPM, FloatArray, IntArray

if TYPE_CHECKING:
    from wattswap.runs.grid import RunGrid
    from wattswap.runs.interval import IntervalRecord

FLOW, VOLTAGE, NODE_PRICE = "line_flow_wh", "v_squared_ppm", "node_price_micro_per_kwh"
"""Columns that hold a list in each interval: a value of each line or node."""

NAMES = "grid"
"""Key of the metadata of the table of intervals under which the grid is named."""


def named(grid: RunGrid) -> str:
    """Names, limits [Wh] and voltage band of a grid, as the metadata of a table hold them."""
    lines, nodes = grid.grid.lines, grid.grid.nodes
    return json.dumps(
        {
            "lines": list(lines.names),
            "limit_wh": lines.limit_wh.tolist(),
            "nodes": list(nodes.names),
            "band": [grid.grid.vmin, grid.grid.vmax],
        }
    )


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """Flows and voltages of several intervals.

    Args:
        flow_wh: From start to end of each line, shape (T, lines). [Wh]
        v_ppm: Squared voltages, shape (T, nodes), parts per million; None for a grid without voltages.
    """

    flow_wh: FloatArray
    v_ppm: FloatArray | None

    def beyond_wh(self, network: Network) -> FloatArray:
        """Energy of each line beyond its limit, shape (T, lines); 0 where it holds. [Wh]"""
        over = np.abs(self.flow_wh) - network.limit_wh
        found: FloatArray = np.where(over > network.noise[: len(network.limit_wh)], over, 0.0)
        return found

    def most_beyond_wh(self, network: Network) -> IntArray:
        """The most energy beyond a limit in each interval, what is more than the noise of floats rounded up. [Wh]"""
        most: FloatArray = self.beyond_wh(network).max(axis=1, initial=0.0)
        return np.ceil(most - NOISE).astype(np.int64)

    def outside_band(self, network: Network) -> IntArray:
        """Number of nodes whose voltage leaves the band, in each interval."""
        assert self.v_ppm is not None
        grid = network.grid
        low, high = grid.vmin * PPM - NOISE, grid.vmax * PPM + NOISE
        count: IntArray = ((self.v_ppm < low) | (self.v_ppm > high)).sum(axis=1)
        return count


def carried(network: Network, load_wh: FloatArray) -> Carried:
    """Flows and voltages of several intervals.

    Args:
        load_wh: Net consumption of each node, shape (T, nodes); the root delivers the rest. [Wh]
    """
    lines, nodes = len(network.grid.lines), len(network.grid.nodes)
    flow = load_wh @ network.rows(np.arange(lines)).T
    if not network.has_voltages:
        return Carried(flow, None)
    fall = load_wh @ network.rows(np.arange(2 * lines, 2 * lines + nodes)).T
    return Carried(flow, network.v_at_rest_ppm - fall)


def metered(records: Sequence[IntervalRecord]) -> Carried:
    """What the grid carried by the meters of the members."""
    grid = records[0].grid
    assert grid is not None
    network = grid.network
    nodes = len(network.grid.nodes)
    net_wh = np.stack([record.import_wh - record.export_wh for record in records])
    at_node = np.zeros((nodes, net_wh.shape[1]))
    at_node[grid.node_of_home, np.arange(net_wh.shape[1])] = 1.0
    return carried(network, net_wh @ at_node.T)


def grid_columns(records: Sequence[IntervalRecord]) -> dict[str, list[int | None]]:
    """Whole numbers of each interval; empty where the records have no grid.

    By the meters: `overloaded_lines` counts lines that carry more than their limit, `overload_wh` is the most beyond a
    limit, `loading_ppm` the highest flow of a line as a share of its limit, and `nodes_out_of_band` counts voltages
    outside of the band. Of clearings on the grid: `binding_limits` counts limits with no room for another Wh,
    `lowest_node_micro_per_kwh` and `highest_node_micro_per_kwh` are prices of nodes, and `rent_nano` is the congestion
    rent.
    """
    first = records[0]
    if first.grid is None:
        return {}
    network, found = first.grid.network, metered(records)
    beyond = found.beyond_wh(network)
    limited = np.isfinite(network.limit_wh) & (network.limit_wh > 0)
    share = np.abs(found.flow_wh[:, limited]) / network.limit_wh[limited]
    columns: dict[str, list[int | None]] = {
        "overloaded_lines": (beyond > 0).sum(axis=1).tolist(),
        "overload_wh": found.most_beyond_wh(network).tolist(),
        "loading_ppm": np.rint(share.max(axis=1, initial=0.0) * PPM).astype(np.int64).tolist(),
    }
    if found.v_ppm is not None:
        columns["nodes_out_of_band"] = found.outside_band(network).tolist()
    return columns | (_cleared(records, network) if first.accounts else {})


def _cleared(records: Sequence[IntervalRecord], network: Network) -> dict[str, list[int | None]]:
    binding, lowest, highest = list[int | None](), list[int | None](), list[int | None]()
    for record in records:
        state = network.state(network.load(record.book, record.clearing.accepted_wh))
        room = network.room(state)
        binding.append(int((room < np.maximum(network.per_wh, NOISE) - network.noise).sum()))
        prices = [one.price for one in record.clearing.node_price if one is not None]
        lowest.append(min(prices, default=None))
        highest.append(max(prices, default=None))
    return {
        "binding_limits": binding,
        "lowest_node_micro_per_kwh": lowest,
        "highest_node_micro_per_kwh": highest,
        "rent_nano": [record.clearing.operator_surplus_nano for record in records],
    }


def grid_lists(records: Sequence[IntervalRecord]) -> Mapping[str, list[list[int | None]]]:
    """Values of each line and node in each interval: metered flows and voltages, and the prices of nodes."""
    first = records[0]
    if first.grid is None:
        return {}
    found = metered(records)
    lists: dict[str, list[list[int | None]]] = {FLOW: np.rint(found.flow_wh).astype(np.int64).tolist()}
    if found.v_ppm is not None:
        lists[VOLTAGE] = np.rint(found.v_ppm).astype(np.int64).tolist()
    if first.accounts:
        nodes = len(first.grid.grid.nodes)
        lists[NODE_PRICE] = [
            [None if one is None else one.price for one in prices * (nodes if len(prices) == 1 else 1)]
            for prices in (record.clearing.node_price for record in records)
        ]
    return lists
