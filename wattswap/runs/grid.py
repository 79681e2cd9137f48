"""The grid of a run: read from its file, put into the units of the interval, and every home at a node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from data.readings import home_id
from market.auctions.network import Network
from market.auctions.zones import grid_terms
from market.book import OrderBook
from market.clearing import Clearing
from market.grid import NO_LIMIT, Grid, Lines, Nodes
from market.mechanism import MECHANISMS
from market.settlement.tariff import IntervalPrices, OutsidePrices
from market.settlement.zones import GridTerms, Rent
from market.units import Int8Array, IntArray
from wattswap.cases.grid import node_names, read_grid
from wattswap.errors import InvalidScenario, Problem
from wattswap.inputs.collector import CaseReader, InvalidCase
from wattswap.inputs.json_text import parsed
from wattswap.runs.places import misplaced, nowhere, place_of_each
from wattswap.scenario.grid import faults_of_grid
from wattswap.scenario.lines import KeyPath

if TYPE_CHECKING:
    from wattswap.scenario.load import Scenario

CONNECTION: Final = "grid connection"
"""Name of the account that trades with the outside at the root of the grid."""
MINUTES_PER_HOUR: Final = 60


@dataclass(frozen=True, eq=False)
class RunGrid:
    """The grid of a run.

    Args:
        grid: In the units of an interval: limits in Wh, r and x on a base of 1 kWh an interval.
        node_of_home: Node of each home of the roster, shape (homes,).
        rent: Who gets the congestion rent.
    """

    grid: Grid
    node_of_home: IntArray
    rent: Rent

    @cached_property
    def network(self) -> Network:
        """The grid, prepared for flows and voltages."""
        return Network(self.grid)

    def terms(self, book: OrderBook, clearing: Clearing) -> GridTerms:
        """Zones and prices by which a cleared interval is settled."""
        return grid_terms(self.network, book, clearing, self.node_of_home, self.rent)

    def with_connection(
        self,
        prices: IntervalPrices,
        participant: IntArray,
        side: Int8Array,
        energy_wh: IntArray,
        limit_micro_per_kwh: IntArray,
    ) -> tuple[IntArray, Int8Array, IntArray, IntArray, IntArray]:
        """The orders of the homes at their nodes, and behind them those of the connection at the root.

        It sells all that is asked for at the buy cap, which is what a home pays the retailer for a kWh, and buys all
        that is offered at the feed-in price. It always has 1 Wh more, so that it is never used up: its price then is
        the one of its order wherever it trades.

        Returns:
            Participant, side, energy, limit and node of each order.
        """
        homes, root = len(self.node_of_home), self.grid.root
        node = self.node_of_home[participant]
        asked, offered = int(energy_wh[side > 0].sum()), int(energy_wh[side < 0].sum())
        rows = [
            (homes, own, wh + 1, limit, root)
            for own, wh, limit in (
                (-1, asked, prices.buy_cap_micro_per_kwh),
                (1, offered, prices.feed_in_micro_per_kwh),
            )
            if wh
        ]
        more = np.array(rows, dtype=np.int64).reshape(-1, 5).T
        return (
            np.concatenate((participant, more[0])),
            np.concatenate((side, more[1].astype(np.int8))),
            np.concatenate((energy_wh, more[2])),
            np.concatenate((limit_micro_per_kwh, more[3])),
            np.concatenate((node, more[4])),
        )


def of_homes(book: OrderBook, clearing: Clearing, homes: int) -> tuple[OrderBook, Clearing]:
    """The orders of homes alone and what the clearing says of them; the price where all nodes have the same.

    Args:
        homes: Number of homes; participants from there on are external accounts.
    """
    own = book.participant < homes
    if own.all() and len(clearing.node_price) == 1:
        return book, clearing
    rows = np.flatnonzero(own)
    orders = replace(
        book,
        participant=book.participant[rows],
        side=book.side[rows],
        energy_wh=book.energy_wh[rows],
        limit_micro_per_kwh=book.limit_micro_per_kwh[rows],
        node=book.node[rows],
        sequence=book.sequence[rows],
    )
    first, *others = clearing.node_price
    cleared = replace(
        clearing,
        accepted_wh=clearing.accepted_wh[rows],
        price_micro_per_kwh=clearing.price_micro_per_kwh[rows],
        charge_nano=None if clearing.charge_nano is None else clearing.charge_nano[rows],
        node_price=(first if all(one == first for one in others) else None,),
    )
    return orders, cleared


def grid_of(scenario: Scenario, homes: Sequence[str], roster: Sequence[str], minutes: int) -> RunGrid | None:
    """Read the grid of a scenario and find the node of each home; None where the scenario has none.

    Args:
        homes: Ids of all homes in the data.
        roster: Ids of those that take part; one that was drawn again, NAME#2, is where NAME is.
        minutes: Length of an interval. [min]

    Raises:
        InvalidScenario: Everything that is wrong with the file, the grid and the nodes of homes.
    """
    if scenario.grid is None:
        return None
    path = scenario.grid.path(scenario.source.base)
    read = CaseReader()
    content = _content(path, read)
    given = {key: value for key, value in content.items() if key != "homes"}
    nodes = node_names(read, given)
    grid = read_grid(read, given, nodes)
    in_file = {
        home_id(name): str(node)
        for name, node in read.anything_named(content.get("homes", {}), "homes").items()
    }
    problems = [Problem(_place(path, one.where), one.message, one.cure) for one in read.problems]
    if grid is not None and grid.lines.lose:
        cure = "remove 'loss', or clear cases with losses by `wattswap clear`"
        problems.append(Problem(_place(path, "lines"), "lose energy, and a run has no losses", cure))
    if nodes:
        of_home, wrong = _nodes_of_homes(scenario, path, in_file, nodes, homes, roster)
        problems += wrong
    if problems or grid is None:
        raise InvalidScenario(*problems)
    return RunGrid(for_interval(grid, minutes), of_home, Rent(scenario.grid.rent))


def for_interval(grid: Grid, minutes: int) -> Grid:
    """A grid that was read in kW, kvar and per unit of 1 kVA, in the units of an interval of some length. [min]

    A limit in kW lets its energy of the interval through, in whole Wh, and at least 1 where it lets through any.
    """
    hours = minutes / MINUTES_PER_HOUR
    lines, limit = grid.lines, grid.lines.limit_wh
    energy = np.maximum(limit * minutes // MINUTES_PER_HOUR, (limit > 0).astype(np.int64))
    return replace(
        grid,
        nodes=Nodes(grid.nodes.names, grid.nodes.reactive_load * hours),
        lines=Lines(
            lines.names,
            lines.start,
            lines.end,
            lines.r / hours,
            lines.x / hours,
            np.where(limit == NO_LIMIT, NO_LIMIT, energy),
        ),
    )


def refuse_off_grid(scenario: Scenario, grid: RunGrid | None, prices: OutsidePrices) -> None:
    """Refuse what a mechanism that clears on a grid cannot use; nothing for another mechanism.

    Raises:
        InvalidScenario: No grid, several rounds, several retailers, or a feed-in price that is not below what a home
            pays for energy from outside.
        optimizer.errors.Infeasible: The reactive loads alone break a voltage limit.
    """
    market = scenario.market
    if not MECHANISMS.get(market.mechanism).promises.needs_grid:
        return
    faults = faults_of_grid(scenario.grid, market.mechanism, market.rounds, bool(scenario.homes.tariffs))
    problems = [one for key, what, cure in faults for one in scenario.invalid(key, what, cure).problems]
    never = np.flatnonzero(prices.buy_cap_micro_per_kwh <= prices.feed_in_micro_per_kwh)
    if len(never):
        what = (
            f"{market.mechanism} sells at the root of the grid at the import price and buys at the feed-in price,"
            f" which is not below it in {len(never)} of {len(prices)} intervals"
        )
        cure = "lower it, or choose another mechanism"
        problems += scenario.invalid("tariff.feed_in_per_kwh", what, cure).problems
    if problems:
        raise InvalidScenario(*problems)
    if grid is not None and not grid.network.rests:
        from optimizer.nodal.no_solution import why_nothing_fits

        raise why_nothing_fits(grid.network)


def _content(path: Path, read: CaseReader) -> Mapping[str, Any]:
    """The object in the file of a grid.

    Raises:
        InvalidScenario: It cannot be read, or is no JSON.
    """
    try:
        content, twice = parsed(path.read_text(encoding="utf-8-sig"), "a grid")
    except OSError as unreadable:
        cure = "name a JSON file"
        raise InvalidScenario.of(path.name, f"cannot be read: {unreadable.strerror}", cure) from None
    except UnicodeDecodeError as unreadable:
        raise InvalidScenario.of(path.name, f"is not UTF-8 text: {unreadable}", "save it as UTF-8") from None
    except InvalidCase as invalid:
        problems = (Problem(_place(path, one.where), one.message, one.cure) for one in invalid.problems)
        raise InvalidScenario(*problems) from None
    read.problems += twice
    return read.anything_named(content, "grid")


def _place(path: Path, where: str) -> str:
    return f"{path.name}: {where}" if where else path.name


def _nodes_of_homes(
    scenario: Scenario,
    path: Path,
    in_file: Mapping[str, str],
    nodes: Mapping[str, int],
    homes: Sequence[str],
    roster: Sequence[str],
) -> tuple[IntArray, list[Problem]]:
    """The node of each home that takes part, and what is wrong: unknown homes, unknown nodes, homes without one."""
    assert scenario.grid is not None
    known, problems = {*homes, *roster}, list[Problem]()

    def refuse(name: str, of_scenario: bool, what: str, cure: str) -> None:
        if of_scenario:
            key: KeyPath = ("grid", "homes", name)
            problems.extend(scenario.invalid(key, what, cure).problems)
        else:
            problems.append(Problem(_place(path, f"homes.{name}"), what, cure))

    for given, of_scenario in ((in_file, False), (scenario.grid.homes, True)):
        for name, what, cure in misplaced(given, known, nodes, "a node of the grid"):
            refuse(name, of_scenario, what, cure)
    found = place_of_each({**in_file, **scenario.grid.homes}, roster)
    first, what = nowhere(roster, found, "node")
    if first:
        cure = f'write grid.homes.{first} = "NODE", or name the node in {path.name} under homes'
        problems += scenario.invalid("grid", what, cure).problems
    return np.array([nodes.get(str(node), 0) for node in found], dtype=np.int64), problems
