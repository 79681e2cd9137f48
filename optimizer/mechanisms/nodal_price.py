"""Locational marginal prices: maximum welfare within the limits of lines and voltages, one price at each node.

The book is first cleared at one price as if the grid had no limits. If the grid carries that, it is the answer: no
clearing within the limits can have more welfare. Else a linear program finds an optimal allocation, of which only the
orders and limits that bind are read; prices and quantities follow from the book by rules of their own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from market.auctions.network import Network, State, network_of, traded_nodes
from market.auctions.nodal_proof import proof, proof_at_one_price
from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.certificate import DualPrice
from market.clearing import Clearing, PriceInterval
from market.errors import InvalidBook, InvalidRules
from market.mechanism import MECHANISMS, Mechanism, Promises
from market.parameters import RATIONING, SEED, K, Parameter
from market.rules import MarketRules
from market.units import PPM, FloatArray, IntArray
from optimizer.errors import SolverFailed, Unproven
from optimizer.nodal.losses import clear_with_losses
from optimizer.nodal.no_solution import why_nothing_fits
from optimizer.nodal.prices import Zones, zones_of
from optimizer.nodal.program import slots_for
from optimizer.nodal.quantities import accepted_wh
from optimizer.solver.rounding import EXACT_WH

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
    if rules.grid is None:
        raise InvalidRules("nodal_price needs a grid, and the market has none")
    network = network_of(rules.grid)
    _refuse_strange_nodes(book, network)
    if not network.rests:
        raise why_nothing_fits(network)
    if rules.grid.lines.lose:
        _refuse_inexact(book)
        return clear_with_losses(network, book, rules)
    unlimited = clear_exact(book, rules)
    state = network.state(network.load(book, unlimited.accepted_wh))
    if network.fits(state):
        return _at_one_price(network, book, unlimited, state)
    _refuse_inexact(book)
    slots = slots_for(network, book)
    reference = unlimited.node_price[0]
    assert reference is not None  # else nothing would flow, and the grid would carry it
    try:
        return _by_node(network, book, slots.solve(book), reference.price, rules)
    except Unproven:
        slots.session.forget_basis()
        return _by_node(network, book, slots.solve(book), reference.price, rules)


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
    )
)


def _refuse_inexact(book: OrderBook) -> None:
    if int(book.energy_wh.sum()) >= EXACT_WH:
        raise SolverFailed(
            "energies beyond 2^53 Wh are not exact in a float, and the grid does not carry them"
        )


def _refuse_strange_nodes(book: OrderBook, network: Network) -> None:
    count = len(network.grid.nodes)
    if len(book) and int(book.node.max()) >= count:
        rows = np.flatnonzero(book.node >= count)[:5].tolist()
        raise InvalidBook([f"a node that the grid of {count} nodes does not have in rows {rows}"])


def _at_one_price(network: Network, book: OrderBook, unlimited: Clearing, state: State) -> Clearing:
    """The clearing without limits, which the grid carries: the same price at every node."""
    count = len(network.grid.nodes)
    found = unlimited.node_price[0]
    stated = unlimited.certificate
    assert isinstance(stated, DualPrice)
    price = stated.dual_price_micro_per_kwh if found is None else found.price
    traded = None if found is None else traded_nodes(network, book, unlimited.accepted_wh)
    of_node = (found,) * count if traded is None else tuple(found if t else None for t in traded.tolist())
    return Clearing(
        unlimited.accepted_wh,
        unlimited.price_micro_per_kwh,
        of_node,
        0,
        unlimited.welfare_nano,
        None,
        proof_at_one_price(book, count, price, unlimited.welfare_nano),
        None,
        _details(state, 0),
    )


class _Prices(NamedTuple):
    """Whole prices of the zones: the chosen ones, and the ends of their intervals. [micro-currency/kWh]"""

    price: IntArray
    lo: IntArray
    hi: IntArray


def _by_node(
    network: Network, book: OrderBook, energy_wh: FloatArray, reference: int, rules: MarketRules
) -> Clearing:
    """Make the clearing of an optimal allocation, and prove it.

    Raises:
        Unproven: The allocation is not optimal.
    """
    if not np.isfinite(energy_wh).all() or (energy_wh > book.energy_wh + 1e-3).any():
        raise Unproven("the solver accepts more than was ordered")
    solved = network.state(network.load(book, energy_wh))
    zones = zones_of(network, book, energy_wh, solved, rules.k_ppm, reference)
    accepted, state = accepted_wh(network, book, energy_wh, zones, rules)
    found = _whole_prices(zones, state, INTERVALS.of(rules) == "exact")
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
    of_node: tuple[PriceInterval | None, ...] = tuple(of_zone[zone] for zone in zones.of_node.tolist())
    if not accepted.any():
        of_node = (None,) * len(of_node)
    elif traded is not None:
        of_node = tuple(one if t else None for one, t in zip(of_node, traded.tolist(), strict=True))
    accepted.setflags(write=False)
    paid.setflags(write=False)
    return Clearing(accepted, paid, of_node, rent, welfare, None, certificate, None, _details(state, rent))


def _whole_prices(zones: Zones, state: State, exact: bool) -> _Prices:
    """Prices in whole micro: the nearest; where the operator would then have to add money, in its favour.

    Bounds of orders are whole, so that rounding to whole micro never leaves them.
    """
    price = np.rint(zones.price).astype(np.int64)
    if zones.support is None:
        return _Prices(price, zones.lo.astype(np.int64), zones.hi.astype(np.int64))
    if float(price[zones.of_node] @ state.load_wh) < 0:
        takes = np.bincount(zones.of_node, state.load_wh, len(price)) > 0
        price = np.where(takes, np.ceil(zones.price), np.floor(zones.price)).astype(np.int64)
    if not exact:
        return _Prices(price, price, price)
    return _Prices(price, *zones.support.intervals(price))


def _details(state: State, rent_nano: int) -> dict[str, FloatArray | int]:
    voltages = {} if state.v_ppm is None else {"v_squared": state.v_ppm / PPM}
    return {"line_flow_wh": state.flow_wh, **voltages, "congestion_rent_nano": rent_nano}
