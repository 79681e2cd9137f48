"""One interval, from bids to a block: the pure steps that `run` and `live` share, so that both give the same hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing, check_feasible
from market.mechanism import Mechanism, refuse_unused
from market.orders import Terms
from market.random import words_of
from market.rules import MarketRules
from market.settlement.accounts import Postings
from market.settlement.imbalance import baseline_nano, imbalance_cost_nano
from market.settlement.settle import settle
from market.settlement.tariff import IntervalPrices
from market.units import MICRO_PER_UNIT, Int8Array, IntArray
from p2p.batches.roots import book_root, clearing_root, prices_root
from p2p.wire.messages import PriceLine


@dataclass(frozen=True, slots=True, eq=False)
class Cleared:
    """A cleared book with the two roots that stand for it on the chain."""

    book: OrderBook
    clearing: Clearing
    book_root: bytes
    clearing_root: bytes
    prices_root: bytes
    traded_wh: int

    @property
    def price(self) -> PriceLine | None:
        """The price interval as messages and blocks carry it; None where nodes differ or nothing has one price."""
        node, *others = self.clearing.node_price
        if node is None or any(other != node for other in others):
            return None
        return PriceLine(node.lo, node.hi, node.price)

    @property
    def node_price_per_kwh(self) -> list[float | None]:
        """The price of each node for people; None where nothing traded. [currency/kWh]"""
        return [None if node is None else node.price / MICRO_PER_UNIT for node in self.clearing.node_price]

    def chain_facts(self) -> dict[str, Any]:
        """What a batch says of the clearing: arguments of `batch_args`."""
        return {
            "orders": len(self.book),
            "book_root": self.book_root,
            "clearing_root": self.clearing_root,
            "prices_root": self.prices_root,
            "prices": len(self.clearing.prices) * len(self.clearing.node_price),
            "price": self.price,
            "traded_wh": self.traded_wh,
        }

    @property
    def price_per_kwh(self) -> float | None:
        """The price for people, an average where the rule has no single price. [currency/kWh]"""
        average = self.clearing.average_price_micro_per_kwh(self.book)
        return None if average is None else average / MICRO_PER_UNIT


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """An interval's postings with what each member would have been credited without a market."""

    postings: Postings
    baseline_nano: IntArray
    imbalance_cost_nano: IntArray


def arrival_lottery(seed: int, start_s: int, participant: IntArray) -> IntArray:
    """Decide the order of arrival at gate closure by a public lottery, so that no network delay decides it.

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
) -> OrderBook:
    """Close the gate: the canonical book, simple orders of 0 Wh left out; a participant's orders keep their order."""
    keep = energy_wh != 0
    keep[list(terms)] = True
    rows = np.flatnonzero(keep)
    who = participant[rows]
    return OrderBook.from_columns(
        who,
        side[rows],
        energy_wh[rows],
        limit_micro_per_kwh[rows],
        None if node is None else node[rows],
        sequence=arrival_lottery(seed, start_s, who),
        terms={new: terms[old] for new, old in enumerate(rows.tolist()) if old in terms} if terms else terms,
    )


def clear_interval(
    mechanism: Mechanism,
    rules: MarketRules,
    roster: tuple[str, ...],
    start_s: int,
    book: OrderBook,
    accounts: tuple[str, ...] = (),
) -> Cleared:
    """Clear a book, check that the result is feasible, and take the roots.

    Args:
        accounts: Names of the external accounts, whose participants count on behind the roster.

    Raises:
        NotTaken: The book or the rules hold what the mechanism does not use.
        InfeasibleClearing: The mechanism breaks a rule of every clearing.
    """
    refuse_unused(mechanism, book, rules)
    clearing = mechanism.clear(book, rules)
    check_feasible(book, clearing, limits=mechanism.promises.individually_rational)
    prices = prices_root(clearing, start_s)
    return Cleared(
        book,
        clearing,
        book_root(book, roster, start_s, accounts),
        clearing_root(book, clearing, start_s, prices),
        prices,
        clearing.traded_wh(book),
    )


def settle_interval(
    mechanism: Mechanism,
    book: OrderBook,
    clearing: Clearing,
    import_wh: IntArray,
    export_wh: IntArray,
    prices: IntervalPrices,
    *,
    shared: bool,
    external: int = 0,
) -> Settled:
    """Settle a cleared interval against the meters.

    Args:
        mechanism: The rule that cleared it; the baseline without a market shares nothing.
        book: The orders.
        clearing: What it made of them.
        import_wh: Metered import per member. [Wh]
        export_wh: Metered export per member. [Wh]
        prices: Outside prices and grid fees.
        external: Number of external accounts.
        shared: Whether members settle among each other, before the retailer, what was not traded.
    """
    local = shared and mechanism.promises.local_market
    postings = settle(book, clearing, import_wh, export_wh, prices, local_market=local, external=external)
    return Settled(
        postings,
        baseline_nano(import_wh, export_wh, prices),
        imbalance_cost_nano(postings, prices),
    )
