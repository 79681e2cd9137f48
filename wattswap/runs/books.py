"""The book of an interval: orders of homes, placed and in the order of arrival that a public random draw decides."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from agents.bidding import Orders
from agents.errors import InvalidOrders
from market.book import OrderBook
from market.errors import InvalidBook
from market.orders import Terms
from market.random import interval_seed, words_of
from market.rounds import ROUND
from market.units import Int8Array, IntArray

if TYPE_CHECKING:
    from wattswap.runs.prepare import Setup


def limits_as_orders(members: IntArray, buy_limit: IntArray, sell_limit: IntArray) -> Orders:
    """The limits of homes as two orders each, to buy and to sell; their energy of 1 Wh represents any quantity.

    Args:
        members: Index of each home in the roster.
        buy_limit: Per home. [micro-currency/kWh]
        sell_limit: Per home. [micro-currency/kWh]
    """
    homes = len(members)
    return Orders(
        home=np.repeat(members, 2),
        side=np.tile(np.array([1, -1], dtype=np.int8), homes),
        energy_wh=np.ones(2 * homes, dtype=np.int64),
        limit_micro_per_kwh=np.stack([buy_limit, sell_limit], axis=1).ravel(),
    )


def columns_of(orders: Orders) -> tuple[IntArray, Int8Array, IntArray, IntArray]:
    """Participant, side, energy and limit of orders."""
    return orders.home, orders.side, orders.energy_wh, orders.limit_micro_per_kwh


def closed_book(
    setup: Setup,
    i: int,
    participant: IntArray,
    side: Int8Array,
    energy_wh: IntArray,
    limit_micro_per_kwh: IntArray,
    node: IntArray | None = None,
    terms: Mapping[int, Terms] = MappingProxyType({}),
    *,
    net_wh: IntArray | None = None,
    number: int = 0,
) -> OrderBook:
    """The canonical book of the i-th interval.

    Args:
        net_wh: Metered import minus export per home; the quantities, where the market takes them from the meters. [Wh]
        number: Of the round whose orders these are.
    """
    if setup.metered:
        assert net_wh is not None, "no readings before the book of metered quantities"
        energy_wh = metered_wh(participant, side, net_wh)
    start_s, limit = setup.start_of(i), limit_micro_per_kwh
    if setup.nodal is not None:
        participant, side, energy_wh, limit, node = setup.nodal.with_connection(
            setup.prices.at(i), participant, side, energy_wh, limit
        )
    elif setup.zonal is not None:
        node = setup.zonal.zone_of_home[participant]
    try:
        return build_book(
            setup.seed, start_s, participant, side, energy_wh, limit, node, terms, number=number
        )
    except InvalidBook as error:
        names = " and ".join(sorted(set(setup.strategies)))
        raise InvalidOrders(
            f"the orders of {names} are not a valid order book: {error}; correct the bidding strategy"
        ) from None


def metered_wh(participant: IntArray, side: Int8Array, net_wh: IntArray) -> IntArray:
    """The quantity of each limit: what its home's meter shows on its side, for its first limit of that side. [Wh]"""
    energy_wh: IntArray = np.maximum(net_wh[participant] * side, 0)
    key = 2 * participant + (side > 0)
    first = np.zeros(len(key), dtype=np.bool_)
    first[np.unique(key, return_index=True)[1]] = True
    return np.where(first, energy_wh, 0)


def arrival_order(seed: int, start_s: int, participant: IntArray) -> IntArray:
    """Decide the order of arrival at gate closure by a public random draw, so that network delay does not matter.

    Each participant draws a word from seed, interval and its own number; the rank of the draw is its sequence.
    """
    draw = words_of(seed, start_s, participant)
    sequence = np.empty(len(participant), dtype=np.int64)
    sequence[np.argsort(draw, kind="stable")] = np.arange(len(participant))
    return sequence


def build_book(
    seed: int,
    start_s: int,
    participant: IntArray,
    side: Int8Array,
    energy_wh: IntArray,
    limit_micro_per_kwh: IntArray,
    node: IntArray | None = None,
    terms: Mapping[int, Terms] = MappingProxyType({}),
    *,
    number: int = 0,
) -> OrderBook:
    """Close the gate: the canonical book, simple orders of 0 Wh left out; a participant's orders keep their order.

    In a later round, of that number, the order of arrival is drawn again.
    """
    keep = energy_wh != 0
    if terms:
        keep[list(terms)] = True
    rows = np.flatnonzero(keep)
    who = participant[rows]
    return OrderBook.from_columns(
        who,
        side[rows],
        energy_wh[rows],
        limit_micro_per_kwh[rows],
        None if node is None else node[rows],
        sequence=number * ROUND
        + arrival_order(interval_seed(seed, number) if number else seed, start_s, who),
        terms={new: terms[old] for new, old in enumerate(rows.tolist()) if old in terms} if terms else terms,
    )
