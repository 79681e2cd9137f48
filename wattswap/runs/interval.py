"""One interval, from bids to a block: the pure steps that `run` and `live` share, so that both give the same hashes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.book import OrderBook
from market.clearing import Clearing, check_feasible
from market.mechanism import Mechanism
from market.random import words_of
from market.rules import MarketRules
from market.settlement.accounts import Postings
from market.settlement.imbalance import baseline_nano, imbalance_cost_nano
from market.settlement.settle import settle
from market.settlement.tariff import IntervalPrices
from market.units import MICRO_PER_UNIT, Int8Array, IntArray
from p2p.batches.roots import book_root, clearing_root
from p2p.wire.messages import PriceLine


@dataclass(frozen=True, slots=True, eq=False)
class Cleared:
    """A cleared book with the two roots that stand for it on the chain."""

    book: OrderBook
    clearing: Clearing
    book_root: bytes
    clearing_root: bytes
    traded_wh: int

    @property
    def price(self) -> PriceLine | None:
        """The price interval as messages and blocks carry it; None where nothing traded at one price."""
        node = self.clearing.node_price[0]
        return None if node is None else PriceLine(node.lo, node.hi, node.price)

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
) -> OrderBook:
    """Close the gate: the canonical book of one order per participant, orders of 0 Wh left out."""
    rows = np.flatnonzero(energy_wh)
    who = participant[rows]
    return OrderBook.from_columns(
        who,
        side[rows],
        energy_wh[rows],
        limit_micro_per_kwh[rows],
        sequence=arrival_lottery(seed, start_s, who),
    )


def clear_interval(
    mechanism: Mechanism, rules: MarketRules, roster: tuple[str, ...], start_s: int, book: OrderBook
) -> Cleared:
    """Clear a book, check that the result is feasible, and take the roots."""
    clearing = mechanism.clear(book, rules)
    check_feasible(book, clearing, limits=mechanism.promises.individually_rational)
    return Cleared(
        book,
        clearing,
        book_root(book, roster, start_s),
        clearing_root(book, clearing, start_s),
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
) -> Settled:
    """Settle a cleared interval against the meters.

    Args:
        mechanism: The rule that cleared it; the baseline without a market shares nothing.
        book: The orders.
        clearing: What it made of them.
        import_wh: Metered import per member. [Wh]
        export_wh: Metered export per member. [Wh]
        prices: Outside prices and grid fees.
        shared: Whether members settle among each other, before the retailer, what was not traded.
    """
    local = shared and mechanism.promises.local_market
    postings = settle(book, clearing, import_wh, export_wh, prices, local_market=local)
    return Settled(
        postings,
        baseline_nano(import_wh, export_wh, prices),
        imbalance_cost_nano(postings, prices),
    )
