"""Locational marginal prices: maximum welfare within the limits of lines and voltages, one price at each node.

The book is first cleared at one price as if the grid had no limits. If the grid carries that, it is the answer: no
clearing within the limits can have more welfare. Else a linear program finds an optimal allocation, of which only the
orders and limits that bind are read; prices and quantities follow from the book by rules of their own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from market.auctions import nodal_proof
from market.auctions.network import Network, State, network_of, traded_nodes
from market.auctions.nodal_proof import proof, proof_at_one_price
from market.auctions.uniform import Allocation, best_allocation, nothing_trades
from market.book import OrderBook
from market.certificate import DualPrice, NodalPrices
from market.clearing import Clearing, PriceInterval, check_feasible
from market.errors import InfeasibleClearing, InvalidBook, InvalidRules
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import RATIONING, SEED, K, Parameter
from market.rules import MarketRules
from market.units import PPM, FloatArray, IntArray
from market.witness import Reader, Witness, numbers, refuse
from optimizer.errors import OptimizerError, SolverFailed, Unproven
from optimizer.nodal.losses import clear_with_losses
from optimizer.nodal.no_solution import why_nothing_fits
from optimizer.nodal.prices import NEAR_WH, Zones, zones_of
from optimizer.nodal.program import slots_for
from optimizer.nodal.quantities import accepted_wh
from optimizer.solver.asked import Asked
from optimizer.solver.rounding import EXACT_WH

NO_GRID = "nodal_price needs a grid, and the market has none"
INTERVALS = Parameter(
    name="intervals",
    field="intervals",
    kind="choice",
    default="exact",
    summary="Price intervals of nodes where a mesh or a voltage binds: computed, or left at the price.",
    choices=("exact", "price"),
    in_run="price",
)


def clear(book: OrderBook, rules: MarketRules) -> Clearing:
    """Clear at the price of each node.

    Args:
        book: Orders of one interval, `node` an index into the nodes of the grid. Not changed.
        rules: Uses `grid`, `k_ppm`, `rationing`, `seed` and the parameter `intervals`.

    Raises:
        InvalidRules: The market has no grid.
        InvalidBook: An order is at no node of the grid.
        Infeasible: The limits do not hold even without a trade; the sentence names an irreducible set.
        SolverFailed: The solver gave no answer, or twice one that is not the optimum.
    """
    if rules.grid is not None and rules.grid.lines.lose:
        _refuse_inexact(book)
        return clear_with_losses(_network_of(book, rules), book, rules)
    case = _case_of(book, rules)
    if isinstance(case, Clearing):
        return case
    _refuse_inexact(book)
    slots = slots_for(case.network, book)
    try:
        return _by_node(case, book, slots.solve(book), rules, Asked())
    except Unproven:
        slots.session.forget_basis()
        return _by_node(case, book, slots.solve(book), rules, Asked())


def derive(book: OrderBook, rules: MarketRules, data: bytes) -> Clearing:
    """The clearing of a book to which what a solver found leads, proven with numpy alone.

    Prices and quantities are the same for every optimal allocation, so that nobody chooses them by choosing one.

    Args:
        book: As in `clear`.
        rules: As in `clear`.
        data: As `to_bytes` wrote them, or anything.

    Raises:
        InvalidRules: As in `clear`.
        InvalidBook: As in `clear`.
        Infeasible: As in `clear`.
        InfeasibleClearing: They prove no clearing of this book.
    """
    if rules.grid is not None and rules.grid.lines.lose:
        refuse("is none of a grid with losses, whose clearings are computed again")
    case, reader = _case_of(book, rules), Reader(data)
    if isinstance(case, Clearing):
        reader.end()
        return case
    energy_wh = reader.numbers(len(book))
    if (energy_wh < 0).any() or abs(float(book.side @ energy_wh)) > NEAR_WH:
        refuse("accepts energy below 0, or more than is sold")
    try:
        with np.errstate(all="ignore"):
            clearing = _by_node(case, book, energy_wh, rules, Asked(reader))
    except OptimizerError as error:
        refuse(f"leads to no clearing: {error}")
    reader.end()
    check_feasible(book, clearing)
    assert isinstance(clearing.certificate, NodalPrices)
    return replace(clearing, certificate=replace(clearing.certificate, solution=data))


def to_bytes(clearing: Clearing) -> bytes | None:
    """What the solver found for a clearing; nothing where the grid carries the clearing without limits."""
    return clearing.certificate.solution if isinstance(clearing.certificate, NodalPrices) else b""


def check(book: OrderBook, clearing: Clearing, rules: MarketRules) -> None:
    """Check a clearing and its proof with numpy alone, whoever made it; see `market.auctions.nodal_proof.check`.

    Raises:
        InvalidRules: The market has no grid.
        InfeasibleClearing: A quantity, price, flow or rent is wrong, or a clearing with more welfare may exist.
    """
    if rules.grid is None:
        raise InvalidRules(NO_GRID)
    found = nodal_proof.check(book, rules.grid, clearing)
    if not found.holds:
        raise InfeasibleClearing(
            f"the clearing is not proven: gap {found.gap_nano} nano, {found.allowed_gap_nano} are explained by rounding"
        )


NODAL_PRICE = MECHANISMS.register(
    Mechanism(
        "nodal_price",
        clear,
        Promises(
            source="locational marginal pricing: Schweppe, Caramanis, Tabors, Bohn, Spot Pricing of Electricity, 1988;"
            " voltages: Baran, Wu, IEEE Trans. Power Delivery 4 (1989), 725-734",
            budget_balance="weak",
            efficient=True,
            needs_grid=True,
            takes_losses=True,
        ),
        (K, RATIONING, SEED, INTERVALS),
        check=check,
        witness=Witness(to_bytes, derive),
    )
)


class _Case(NamedTuple):
    """A book that the grid does not carry at one price.

    Args:
        reference: The price without limits. [micro-currency/kWh]
    """

    network: Network
    reference: int


def _case_of(book: OrderBook, rules: MarketRules) -> Clearing | _Case:
    """The clearing without limits where the grid carries it, else what is to be solved."""
    network = _network_of(book, rules)
    unlimited = best_allocation(book, rules)
    if unlimited is None:
        return _without_trade(network, book)
    price = PriceInterval.at(unlimited.lo, unlimited.hi, rules.k_ppm)
    state = network.state(network.load(book, unlimited.accepted_wh))
    if network.fits(state):
        return _at_one_price(network, book, unlimited, price, state)
    return _Case(network, price.price)


def _network_of(book: OrderBook, rules: MarketRules) -> Network:
    """The grid of the market, to which a book belongs and whose limits hold without a trade."""
    if rules.grid is None:
        raise InvalidRules(NO_GRID)
    network = network_of(rules.grid)
    _refuse_strange_nodes(book, network)
    if not network.rests:
        raise why_nothing_fits(network)
    return network


def _refuse_inexact(book: OrderBook) -> None:
    if int(book.energy_wh.sum()) >= EXACT_WH:
        raise SolverFailed(
            "energies beyond 2^53 Wh are not exact in a float, and the grid does not carry them"
        )


def _refuse_strange_nodes(book: OrderBook, network: Network) -> None:
    count = len(network.grid.nodes)
    if len(book) and book.node[book.node.argmax()] >= count:
        rows = np.flatnonzero(book.node >= count)[:5].tolist()
        raise InvalidBook([f"a node that the grid of {count} nodes does not have in rows {rows}"])


def _without_trade(network: Network, book: OrderBook) -> Clearing:
    """The clearing in which nothing is accepted, which a grid that `rests` carries."""
    count, nothing = len(network.grid.nodes), nothing_trades(book)
    assert isinstance(nothing.certificate, DualPrice)
    certificate = proof_at_one_price(book, count, nothing.certificate.dual_price_micro_per_kwh, 0)
    details = _details(network.state(np.zeros(count)), 0)
    return replace(nothing, node_price=(None,) * count, certificate=certificate, details=details)


def _at_one_price(
    network: Network, book: OrderBook, unlimited: Allocation, price: PriceInterval, state: State
) -> Clearing:
    """The clearing without limits, which the grid carries: the same price at every node."""
    accepted, welfare, count = unlimited.accepted_wh, unlimited.welfare_nano, len(network.grid.nodes)
    traded = traded_nodes(network, book, accepted)
    of_node: tuple[PriceInterval | None, ...] = (price,) * count
    if traded is not None:
        of_node = tuple(price if there else None for there in traded.tolist())
    paid = np.empty_like(accepted)
    paid.fill(price.price)
    accepted.setflags(write=False)
    paid.setflags(write=False)
    certificate = proof_at_one_price(book, count, price.price, welfare)
    return Clearing(accepted, paid, of_node, 0, welfare, None, certificate, None, _details(state, 0))


class _Prices(NamedTuple):
    """Whole prices of the zones: the chosen ones, and the ends of their intervals. [micro-currency/kWh]"""

    price: IntArray
    lo: IntArray
    hi: IntArray


def _by_node(
    case: _Case, book: OrderBook, energy_wh: FloatArray, rules: MarketRules, asked: Asked
) -> Clearing:
    """Make the clearing of an optimal allocation, and prove it.

    Raises:
        Unproven: The allocation is not optimal.
    """
    network = case.network
    asked.keep(numbers(energy_wh))
    if not (energy_wh <= book.energy_wh + 1e-3).all():  # a NaN is not
        raise Unproven("the solver accepts more than was ordered")
    solved = network.state(network.load(book, energy_wh))
    zones = zones_of(network, book, energy_wh, solved, rules.k_ppm, case.reference, asked)
    accepted, state = accepted_wh(network, book, energy_wh, zones, rules, asked)
    found = _whole_prices(zones, state, asked if INTERVALS.of(rules) == "exact" else None)
    prices = found.price[zones.of_node]
    paid = prices[book.node]
    signed = book.side * accepted
    welfare, rent = int(signed.dot(book.limit_micro_per_kwh)), int(signed.dot(paid))
    certificate = proof(network, book, state, welfare, prices, zones.duals, fits=True)
    if not certificate.holds or rent < 0:
        raise Unproven(
            f"the solver's allocation is not proven: gap {certificate.gap_nano} nano, overload"
            f" {certificate.overload_wh} Wh, rent {rent} nano"
        )
    of_zone = [
        PriceInterval(*ends)
        for ends in zip(found.lo.tolist(), found.hi.tolist(), found.price.tolist(), strict=True)
    ]
    traded = traded_nodes(network, book, accepted)
    of_node: tuple[PriceInterval | None, ...] = tuple(map(of_zone.__getitem__, zones.of_node.tolist()))
    if not accepted.any():
        of_node = (None,) * len(of_node)
    elif traded is not None:
        of_node = tuple(one if t else None for one, t in zip(of_node, traded.tolist(), strict=True))
    certificate = replace(certificate, solution=asked.written)
    accepted.setflags(write=False)
    paid.setflags(write=False)
    return Clearing(accepted, paid, of_node, rent, welfare, None, certificate, None, _details(state, rent))


def _whole_prices(zones: Zones, state: State, asked: Asked | None) -> _Prices:
    """Prices in whole micro, and the ends of their intervals.

    Args:
        zones: Before rounding.
        state: The grid under what is accepted.
        asked: Answers to the programs of exact intervals; None to leave intervals at the price.
    """
    price = zones.whole(state.load_wh)
    if zones.support is None:
        return _Prices(price, zones.lo.astype(np.int64), zones.hi.astype(np.int64))
    if asked is None:
        return _Prices(price, price, price)
    return _Prices(price, *zones.support.intervals(price, asked))


def _details(state: State, rent_nano: int) -> dict[str, FloatArray | int]:
    voltages = {} if state.v_ppm is None else {"v_squared": state.v_ppm / PPM}
    return {"line_flow_wh": state.flow_wh, **voltages, "congestion_rent_nano": rent_nano}
