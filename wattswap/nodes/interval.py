"""What the messages of one interval come to: book, clearing, settlement, batch.

The collector works it out, every authority works it out again before it votes, and so does whoever reads the chain
later: one pure function of the interval's blob and the scenario's rules.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from market.units import IntArray
from p2p.batches.batch import Batch, BatchArgs, batch_args, salted
from p2p.batches.blob import IntervalContent
from p2p.batches.receipts import Inclusion, include
from p2p.wire.messages import OrderMessage, ReadingMessage, terms_of
from wattswap.runs.interval import Cleared, Settled, build_book, clear_interval, settle_interval
from wattswap.runs.prepare import Setup


@dataclass(frozen=True, slots=True, eq=False)
class Worked:
    """An interval from its messages to its batch.

    Args:
        import_wh: Register of each home, as reported or taken to be as traded. [Wh]
        export_wh: Likewise. [Wh]
        inclusion: What the receipts of the orders promised, kept.
        args: What goes on chain.
    """

    cleared: Cleared
    settled: Settled
    batch: Batch
    import_wh: IntArray
    export_wh: IntArray
    inclusion: Inclusion
    args: BatchArgs


def clear_orders(setup: Setup, start_s: int, orders: tuple[OrderMessage, ...]) -> Cleared:
    """Clear the canonical book of these orders, whatever order they arrived in."""
    index = {name: home for home, name in enumerate(setup.roster)}
    lines = [(index[o.household], line) for o in orders for line in o.orders]
    rows = [(home, o.side, o.energy_wh, o.limit_micro_per_kwh, o.node) for home, o in lines]
    who, side, energy, limit, node = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    terms = {row: found for row, (_, line) in enumerate(lines) if (found := terms_of(line)) is not None}
    book = build_book(setup.seed, start_s, who, side.astype(np.int8), energy, limit, node, terms)
    rules = setup.rules_at(setup.index_of(start_s))
    return clear_interval(setup.mechanism, rules, setup.roster, start_s, book)


def registers(
    setup: Setup, cleared: Cleared, readings: tuple[ReadingMessage, ...]
) -> tuple[IntArray, IntArray]:
    """Registers by home; a home that did not report is taken to have used exactly what it traded. [Wh]"""
    book, accepted = cleared.book, cleared.clearing.accepted_wh
    imported, exported = np.zeros((2, len(setup.roster)), dtype=np.int64)
    np.add.at(imported, book.participant[book.side > 0], accepted[book.side > 0])
    np.add.at(exported, book.participant[book.side < 0], accepted[book.side < 0])
    index = {name: home for home, name in enumerate(setup.roster)}
    for reading in readings:
        home = index[reading.household]
        imported[home], exported[home] = reading.import_wh, reading.export_wh
    return imported, exported


def work_out(setup: Setup, content: IntervalContent, blob_hash: bytes) -> Worked:
    """Work an interval out from its verified messages.

    Args:
        content: As `open_blob` returns it.
        blob_hash: Name of the blob, which the batch carries.

    Raises:
        MarketError: The clearing or the settlement breaks a rule of the market.
        UsageError: The interval is not one of the scenario.
    """
    start_s = content.interval_start
    cleared = clear_orders(setup, start_s, content.orders)
    imported, exported = registers(setup, cleared, content.readings)
    prices = setup.prices.at(setup.index_of(start_s))
    settled = settle_interval(
        setup.mechanism,
        cleared.book,
        cleared.clearing,
        imported,
        exported,
        prices,
        shared=setup.shares_imbalance,
    )
    batch = salted(settled.postings, start_s, content.interval_secret)
    inclusion = include(setup.roster, (*content.orders, *content.nothings), content.interval_secret)
    args = batch_args(
        batch,
        settled.postings,
        **cleared.chain_facts(),
        blob_hash=blob_hash,
        inclusion_root=inclusion.root,
    )
    return Worked(cleared, settled, batch, imported, exported, inclusion, args)
