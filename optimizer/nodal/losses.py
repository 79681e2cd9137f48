"""Clearing on a radial grid that loses energy: an optimal allocation, then prices and quantities by rules.

Of the allocation only this is read: what each order got, which lines carry, and which carry all they can. The prices
are lo + k (hi - lo) at every node, between the lowest and the highest that fit (`market.auctions.losses`). The
quantities follow from the prices: better orders in full, worse ones not at all, and those at the price as `loss_shares`
says.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from market.auctions import loss_proof
from market.auctions.losses import (
    Prices,
    at_least_zero,
    carried,
    lost_wh,
    of_orders,
)
from market.auctions.network import Network, traded_nodes
from market.book import OrderBook
from market.clearing import Clearing, PriceInterval, no_trade
from market.rules import MarketRules
from market.units import PPM, FloatArray, IntArray
from optimizer.errors import Unproven
from optimizer.nodal.loss_shares import NEAR_MICRO, accepted_at
from optimizer.nodal.program import Slots, slots_for


class _Solved(NamedTuple):
    """An optimal allocation: energy of each order, and what each line is sent by its start and its end. [Wh]"""

    energy_wh: FloatArray
    sent_wh: FloatArray


def clear_with_losses(network: Network, book: OrderBook, rules: MarketRules) -> Clearing:
    """Clear at the price of each node of a tree whose lines lose energy.

    Args:
        network: The grid.
        book: Orders at its nodes; those below 0 are taken as `market.auctions.losses.at_least_zero` says.
        rules: Uses `k_ppm`, `rationing` and `seed`.

    Raises:
        SolverFailed: The solver gave no answer, or twice one that is not the optimum.
    """
    taken = at_least_zero(book)
    if not taken.energy_wh.any():
        return _nothing(network, book)
    slots = slots_for(network, taken)
    try:
        return _of(network, book, taken, _solve(slots, taken), rules)
    except Unproven:
        slots.session.forget_basis()
        return _of(network, book, taken, _solve(slots, taken), rules)


def _solve(slots: Slots, book: OrderBook) -> _Solved:
    columns, limit = slots.columns(book), slots.network.limit_wh
    none = np.zeros(2 * len(limit))
    found = slots.session.answer(
        np.concatenate((columns.cost, none)),
        np.concatenate((columns.lower, none)),
        np.concatenate((columns.upper, limit, limit)),
    )
    return _Solved(np.abs(found[columns.slot]), np.maximum(found[slots.size :].reshape(2, len(limit)), 0.0))


def _of(network: Network, book: OrderBook, taken: OrderBook, solved: _Solved, rules: MarketRules) -> Clearing:
    """Make the clearing of an optimal allocation, and prove it.

    Raises:
        Unproven: The allocation is not optimal.
    """
    if not np.isfinite(solved.energy_wh).all() or (solved.energy_wh > taken.energy_wh + 1e-3).any():
        raise Unproven("the solver accepts more than was ordered")
    found = carried(network, solved.sent_wh, of_orders(network, taken, solved.energy_wh))
    if (found.lo > found.hi + NEAR_MICRO).any():
        raise Unproven("the solver's allocation is not optimal: no prices support it")
    hi = np.maximum(found.lo, found.hi)
    exact = found.lo + rules.k_ppm / PPM * (hi - found.lo)
    accepted, flow = accepted_at(network, taken, Prices(found.lo, hi), exact, rules)
    if not accepted.any():
        return _nothing(network, book)
    load = network.load(taken, accepted)
    price = _whole(exact, load)
    paid, signed = price[book.node], book.side * accepted
    rent, welfare = int(signed.dot(paid)), int(signed.dot(book.limit_micro_per_kwh))
    certificate = loss_proof.proof(network, book, accepted, flow, price)
    if not certificate.holds or rent < 0 or int(signed.sum()) > 0:
        raise Unproven(
            f"the solver's allocation is not proven: gap {certificate.gap_nano} nano of {certificate.allowed_gap_nano},"
            f" overload {certificate.overload_wh} Wh, rent {rent} nano, losses {-int(signed.sum())} Wh"
        )
    accepted.setflags(write=False)
    paid.setflags(write=False)
    return Clearing(
        accepted,
        paid,
        _intervals(network, book, accepted, Prices(found.lo, hi), price),
        rent,
        welfare,
        None,
        replace(certificate, solution=None),  # no part of it is written down to be checked without a solver
        None,
        {"line_flow_wh": flow, "line_loss_wh": lost_wh(network, flow), "congestion_rent_nano": rent},
        losses_wh=-int(signed.sum()),
    )


def _whole(exact: FloatArray, load_wh: FloatArray) -> IntArray:
    """Prices in whole micro: the nearest; where the operator would then have to add money, in its favour.

    Bounds of orders are whole, so that rounding to whole micro never leaves them.
    """
    near = np.floor(exact + 0.5 + 1e-9)
    if float(near @ load_wh) < 0:
        whole = np.rint(exact)
        exact = np.where(np.abs(exact - whole) < 1e-6, whole, exact)
        near = np.where(load_wh > 0, np.ceil(exact), np.floor(exact))
    return near.astype(np.int64)


def _intervals(
    network: Network, book: OrderBook, accepted: IntArray, found: Prices, price: IntArray
) -> tuple[PriceInterval | None, ...]:
    """The price of each node in the whole prices that support the clearing; None where an open line leaves no trade."""
    lo = np.minimum(np.ceil(found.lo - NEAR_MICRO), price).astype(np.int64).tolist()
    hi = np.maximum(np.floor(found.hi + NEAR_MICRO), price).astype(np.int64).tolist()
    every = [PriceInterval(*one) for one in zip(lo, hi, price.tolist(), strict=True)]
    traded = traded_nodes(network, book, accepted)
    if traded is None:
        return tuple(every)
    return tuple(one if t else None for one, t in zip(every, traded.tolist(), strict=True))


def _nothing(network: Network, book: OrderBook) -> Clearing:
    """The clearing in which no order is accepted, with prices at which nobody wants to trade."""
    taken, lines = at_least_zero(book), len(network.grid.lines)
    bare = no_trade(book)
    idle = np.zeros(lines)
    found = carried(network, np.zeros((2, lines)), of_orders(network, taken, bare.accepted_wh))
    if (found.lo > found.hi + NEAR_MICRO).any():
        raise Unproven("the solver's allocation is not optimal: orders that fit do not trade")
    price = _whole((found.lo + np.maximum(found.lo, found.hi)) / 2, np.zeros(len(found.lo)))
    proven = replace(loss_proof.proof(network, book, bare.accepted_wh, idle, price), solution=None)
    return Clearing(
        bare.accepted_wh,
        bare.price_micro_per_kwh,
        (None,) * len(network.grid.nodes),
        0,
        0,
        None,
        proven,
        None,
        {"line_flow_wh": idle, "line_loss_wh": idle, "congestion_rent_nano": 0},
    )
