"""The root of one interval's order book and the hash of its clearing, equal in process and with live nodes.

The book root covers order *content* only: signatures travel beside it. Every number in a leaf is an int64
in big endian, so a leaf has a fixed width and one meaning. The exact layouts are in
docs/reference/protocol/chain-format.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from market.book import OrderBook
from market.clearing import Clearing, PriceInterval
from market.orders import Terms, kind_of, numbers_of
from p2p.blocks import domains, merkle
from p2p.blocks.members import household_hash

ByteArray = npt.NDArray[np.uint8]

_INT_BYTES = 8


def account_hash(account: str) -> bytes:
    """Return the 32-byte name of an external account in leaves; no home has it."""
    return sha256(domains.ACCOUNT + account.encode()).digest()


def _leaf_with_terms(content: bytes, terms: Terms) -> bytes:
    # Under a domain of its own, so that the leaf of a simple order keeps its one width.
    numbers = numbers_of(terms)
    more = _ints(kind_of(terms), len(numbers), *numbers)
    return merkle.leaf_hash(bytes((domains.LEAF_TERMS,)) + content + more)


def book_leaves(
    book: OrderBook, roster: Sequence[str], interval_start: int, accounts: Sequence[str] = ()
) -> list[bytes]:
    """Return the leaf hashes of a book, one a row in canonical order.

    Args:
        book: Sorted by (participant, sequence), as `OrderBook.from_columns` leaves it.
        roster: Home ids that `book.participant` points into.
        interval_start: Start of the interval. [s]
        accounts: Names of the external accounts, which `book.participant` counts behind the roster.
    """
    numbers = _columns(
        np.full(len(book), interval_start, dtype=np.int64),
        book.sequence,
        book.side,
        book.energy_wh,
        book.limit_micro_per_kwh,
        book.node,
    )
    names = _name_hashes(tuple(roster), tuple(accounts))[book.participant]
    content = np.concatenate((names, numbers), axis=1)
    leaves = _leaves(domains.LEAF_ORDER, content)
    for row, terms in book.terms.items():
        leaves[row] = _leaf_with_terms(content[row].tobytes(), terms)
    return leaves


def book_root(
    book: OrderBook, roster: Sequence[str], interval_start: int, accounts: Sequence[str] = ()
) -> bytes:
    """Return the root over the orders of one interval; arguments as for `book_leaves`."""
    return merkle.root(book_leaves(book, roster, interval_start, accounts))


def price_leaf(interval_start: int, interval: int, node: int, price: PriceInterval | None) -> bytes:
    """Return the leaf hash of a price.

    Args:
        interval_start: Start of the clearing's first interval. [s]
        interval: Which of its intervals, from 0.
        node: Index into the grid's nodes; 0 without a grid.
        price: Price interval, None where nothing traded.
    """
    found = (0, 0, 0, 0) if price is None else (1, price.lo, price.hi, price.price)
    return merkle.leaf_hash(bytes((domains.LEAF_PRICE,)) + _ints(interval_start, interval, node, *found))


def prices_root(clearing: Clearing, interval_start: int) -> bytes:
    """Return the root over the prices of a clearing, by interval and then by node."""
    return merkle.root(
        [
            price_leaf(interval_start, interval, node, price)
            for interval, nodes in enumerate(clearing.prices)
            for node, price in enumerate(nodes)
        ]
    )


def clearing_root(book: OrderBook, clearing: Clearing, interval_start: int, prices: bytes) -> bytes:
    """Return the hash over a clearing: header, prices, what each order got, trades, charges, schedule.

    One hash and no tree: a home proves its own settlement line, and a checker of a clearing has all of it.
    The price of an order that was not accepted has no meaning and differs between solvers: it counts as 0.

    Args:
        book: The orders that were cleared.
        clearing: The result, one row per order.
        interval_start: Start of the interval. [s]
        prices: `prices_root` of the clearing.

    Raises:
        ValueError: The clearing has another number of rows than the book.
    """
    accepted = clearing.accepted_wh
    if len(accepted) != len(book):
        raise ValueError(f"a clearing of {len(accepted)} rows for a book of {len(book)} orders")
    trades, charges, schedule = clearing.trades, clearing.charge_nano, clearing.schedule_wh
    # The counts come first, so that no two clearings share their bytes.
    header = _ints(
        interval_start,
        len(book),
        len(clearing.prices),
        len(clearing.node_price),
        -1 if trades is None else len(trades.energy_wh),
        int(charges is not None),
        int(schedule is not None),
        clearing.losses_wh,
    )
    sums = (clearing.operator_surplus_nano, clearing.welfare_nano)
    wide = b"".join(number.to_bytes(2 * _INT_BYTES, "big", signed=True) for number in sums)
    digest = sha256(domains.CLEARING + header + wide + prices)
    digest.update(_columns(accepted, np.where(accepted > 0, clearing.price_micro_per_kwh, 0)).tobytes())
    if trades is not None:
        pairs = _columns(trades.buy, trades.sell, trades.energy_wh, trades.price_micro_per_kwh)
        digest.update(pairs.tobytes())
    if charges is not None:
        digest.update(_columns(charges).tobytes())
    if schedule is not None:
        digest.update(schedule.astype(">i8").tobytes())
    return digest.digest()


@lru_cache(maxsize=4)
def _name_hashes(roster: tuple[str, ...], accounts: tuple[str, ...]) -> ByteArray:
    joined = b"".join([*map(household_hash, roster), *map(account_hash, accounts)])
    return np.frombuffer(joined, dtype=np.uint8).reshape(-1, merkle.HASH_BYTES)


def _ints(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}q", *numbers)


def _columns(*columns: npt.NDArray[np.signedinteger]) -> ByteArray:
    """Put int columns side by side as big-endian bytes, one row each."""
    numbers = np.empty((len(columns[0]), len(columns)), dtype=">i8")
    for i, column in enumerate(columns):
        numbers[:, i] = column
    return numbers.view(np.uint8).reshape(len(numbers), _INT_BYTES * len(columns))


def _leaves(domain: int, content: ByteArray) -> list[bytes]:
    """Hash rows of content under the leaf prefix and their domain byte."""
    rows = np.empty((len(content), 2 + content.shape[1]), dtype=np.uint8)
    rows[:, 0] = merkle.LEAF_PREFIX[0]
    rows[:, 1] = domain
    rows[:, 2:] = content
    return merkle.hash_rows(rows.tobytes(), rows.shape[1])
