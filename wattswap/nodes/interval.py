"""Recompute an interval from its messages: book, clearing, settlement, batch.

The collector computes it, every validator recomputes it before it votes, and so does whoever reads the chain later:
one pure function of the interval's blob and the scenario's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from agents.meters import Meters
from market.book import OrderBook
from market.clearing import Clearing
from market.settlement.deemed import Registers, deemed_wh
from market.units import BoolArray, IntArray
from p2p.batches.batch import Batch, BatchArgs, salted
from p2p.batches.blob import IntervalContent
from p2p.batches.receipts import ABSENT, Inclusion, include
from p2p.blocks.members import energy_at
from p2p.roles.exchange.tape import make_pages
from p2p.wire.messages import HandedIn, OrderMessage, ReadingMessage, message_id, terms_of
from wattswap.errors import VerificationFailed
from wattswap.nodes.ahead import Ahead, ahead_of
from wattswap.runs.books import closed_book
from wattswap.runs.chain_writer import args_of
from wattswap.runs.grid import of_homes
from wattswap.runs.interval import IntervalRecord, clear_book, position_wh, settled_interval
from wattswap.runs.prepare import Setup
from wattswap.runs.rounds import Rounds
from wattswap.runs.solutions import Solutions


@dataclass(frozen=True, slots=True, eq=False)
class Recomputed:
    """A recomputed interval.

    Args:
        record: The interval; its registers are as reported, or as deemed where a home did not report.
        inclusion: Commitment to the messages that receipts promised to include.
        args: What goes on chain; the next turn in it is the first operator's, which is for the collector to change.
        ahead: The market, where it clears a horizon.
        opened: Name of what each home has said in its envelope, where homes seal their orders.
    """

    record: IntervalRecord
    batch: Batch
    inclusion: Inclusion
    args: BatchArgs
    ahead: Ahead | None = None
    opened: Mapping[int, bytes] | None = None


def book_of(
    setup: Setup,
    start_s: int,
    orders: tuple[OrderMessage, ...],
    readings: tuple[ReadingMessage, ...] = (),
    number: int = 0,
) -> OrderBook:
    """The canonical book of the messages of a round, whatever order they arrived in."""
    index = {name: home for home, name in enumerate(setup.roster)}
    lines = [(index[o.household], line) for o in orders for line in o.orders]
    rows = [(home, o.side, o.energy_wh, o.limit_micro_per_kwh, o.node) for home, o in lines]
    who, side, energy, limit, node = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    terms = {row: found for row, (_, line) in enumerate(lines) if (found := terms_of(line)) is not None}
    net_wh = np.zeros(len(setup.roster), dtype=np.int64)
    for reading in readings:
        net_wh[index[reading.household]] = reading.import_wh - reading.export_wh
    i = setup.index_of(start_s)
    columns = (who, side.astype(np.int8), energy, limit, node, terms)
    return closed_book(setup, i, *columns, net_wh=net_wh, number=number)


def positions_of(setup: Setup, start_s: int, orders: tuple[OrderMessage, ...]) -> IntArray:
    """What each home has bought less what it has sold, before any meter is read. [Wh]"""
    book = book_of(setup, start_s, orders)
    return position_wh(setup, book, clear_book(setup, setup.index_of(start_s), book)[0])


def cleared(
    setup: Setup, content: IntervalContent, solutions: Solutions, ahead: Ahead | None = None
) -> tuple[OrderBook, Clearing, int]:
    """The book of an interval's messages, its clearing, and the time that clearing took. [ns]

    Args:
        solutions: Of its clearings, given or kept.
        ahead: The market of the same messages and solutions, where it clears a horizon.

    Raises:
        InfeasibleClearing: The mechanism broke a rule of the market.
    """
    if ahead is not None:
        return ahead.result()
    start_s = content.interval_start
    i = setup.index_of(start_s)
    if setup.rounds == 1:
        book = book_of(setup, start_s, content.booked, content.readings)
        return book, *clear_book(setup, i, book, solutions)
    market = Rounds(setup, i, solutions)
    for number in range(setup.rounds):
        orders = tuple(message for message in content.orders if message.round == number)
        market.clear(book_of(setup, start_s, orders, number=number))
    return market.result()


def next_round(
    setup: Setup, start_s: int, market: Rounds, orders: tuple[OrderMessage, ...]
) -> tuple[IntArray, tuple[bytes, ...]]:
    """Clear the next round of a market.

    Returns:
        What each home has bought so far less what it has sold [Wh], and the pages of the tape.

    Raises:
        InfeasibleClearing: The mechanism broke a rule of the market.
    """
    number = market.done
    market.clear(book_of(setup, start_s, orders, number=number))
    return market.bought_wh(), make_pages(setup.genesis.chain_id, start_s, number, market.tape())


class Metered(NamedTuple):
    """The registers with which homes are settled. [Wh]

    Args:
        deemed: Which homes have given no reading, so that theirs are `deemed_wh`.
    """

    import_wh: IntArray
    export_wh: IntArray
    deemed: BoolArray


def registers(
    setup: Setup, i: int, book: OrderBook, clearing: Clearing, readings: tuple[ReadingMessage, ...]
) -> Metered:
    """Registers by home, as reported; a member that did not report counts with its deemed use, see decision 72."""
    homes, takes_part = setup.member_list, setup.takes_part(i)
    book, clearing = of_homes(book, clearing, len(homes))
    traded = np.zeros(len(homes), dtype=np.int64)
    np.add.at(traded, book.participant, book.side * clearing.accepted_wh)
    most = np.array(
        [
            (
                energy_at(home.import_capacity_w, setup.minutes),
                energy_at(home.export_capacity_w, setup.minutes),
            )
            for home in homes.records
        ],
        dtype=np.int64,
    )
    imported, exported = (
        np.where(takes_part, column, 0)
        for column in deemed_wh(traded, Registers(*most.T), setup.tariffs.at(i))
    )
    silent = takes_part.copy()
    index = {name: home for home, name in enumerate(setup.roster)}
    for reading in readings:
        home = index[reading.household]
        imported[home], exported[home], silent[home] = reading.import_wh, reading.export_wh, False
    return Metered(imported, exported, silent)


def recompute(setup: Setup, content: IntervalContent, blob_hash: bytes, solutions: Solutions) -> Recomputed:
    """Recompute an interval from its verified messages.

    Args:
        content: As `open_blob` returns it.
        blob_hash: Name of the blob, which the batch carries.
        solutions: Of its clearings: given, so that they are derived and proven without a solver, or kept.

    Raises:
        MarketError: The clearing or the settlement breaks a rule of the market, or a solution does not prove it.
        UsageError: The interval is not one of the scenario.
    """
    start_s = content.interval_start
    i = setup.index_of(start_s)
    ahead = ahead_of(setup, content, solutions) if setup.looks_ahead else None
    book, clearing, clear_ns = cleared(setup, content, solutions, ahead)
    solutions.refuse_more()
    found = registers(setup, i, book, clearing, content.readings)
    record = settled_interval(
        setup, i, book, clearing, found.import_wh, found.export_wh, {}, clear_ns, deemed=found.deemed
    )
    batch = salted(record.settled.postings, start_s, content.interval_secret)
    inclusion = include(setup.roster, content.messages, content.interval_secret, setup.rounds)
    operator = setup.genesis.operator
    network: dict[str, Any] = {"blob_hash": blob_hash, "inclusion_root": inclusion.root}
    if content.closed is not None:
        network |= {"closed_hash": content.closed.name, "unopened": content.unopened}
    args = args_of(record, batch, operator, **network)
    return Recomputed(record, batch, inclusion, args, ahead, _opened(setup, content))


def _opened(setup: Setup, content: IntervalContent) -> dict[int, bytes] | None:
    if content.closed is None:
        return None
    index = {name: home for home, name in enumerate(setup.roster)}
    found = {index[order.household]: message_id(order) for order in content.orders}
    return found | {index[nothing.household]: message_id(nothing) for nothing in content.nothings}


def check_messages(
    setup: Setup,
    expected: Callable[[int, int], HandedIn],
    meters: Meters,
    recomputed: Recomputed,
    unsure: Sequence[Collection[int]],
) -> set[int]:
    """Check that the messages of every home are those to which its data and strategy lead; a home may be absent.

    Args:
        expected: The simulated message of a home in a round.
        meters: Registers of all homes, simulated.
        unsure: Homes whose orders of each round cannot be simulated.

    Returns:
        Members that sent in some round neither an order nor the message that they have none.

    Raises:
        VerificationFailed: Names the first home with another message.
    """
    record, inclusion = recomputed.record, recomputed.inclusion

    def is_other(home: int, number: int) -> bool:
        nonce, sent = inclusion.of(home, number)
        if nonce == ABSENT or home in unsure[number]:
            return False
        if recomputed.opened is not None:
            sent = recomputed.opened.get(home, b"")
        return sent != message_id(expected(home, number))

    for home, name in enumerate(setup.roster):
        metered = record.import_wh[home], record.export_wh[home]
        is_silent = inclusion.of(home, setup.rounds)[0] == ABSENT
        if not is_silent and metered != (meters.import_wh[home], meters.export_wh[home]):
            what = "reading"
        elif any(is_other(home, number) for number in range(setup.rounds)):
            what = "order"
        else:
            continue
        sentence = f"the {what} of {name} is not the one to which its data lead"
        raise VerificationFailed.of(str(setup.interval(setup.index_of(record.start_s))), sentence)
    part = setup.takes_part(setup.index_of(record.start_s))
    homes = np.flatnonzero(part).tolist()
    numbers = range(setup.rounds)
    return {home for home in homes if any(inclusion.of(home, number)[0] == ABSENT for number in numbers)}
