"""The root of one interval's order book and the hash of its clearing, equal in process and with live nodes.

The book root covers order *content* only: signatures travel beside it. Every number in a leaf is an int64
in big endian, so a leaf has a fixed width and one meaning. The exact layouts are in
docs/reference/protocol/chain-format.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

import numpy as np
import numpy.typing as npt

from market.book import OrderBook
from market.clearing import Clearing
from p2p.blocks import domains, merkle

ByteArray = npt.NDArray[np.uint8]

_INT_BYTES = 8


def household_hash(household: str) -> bytes:
    """Return the 32-byte name of a household in leaves; its id can be guessed, not read."""
    return sha256(domains.HOUSEHOLD + household.encode()).digest()


def roster_root(roster: Sequence[str]) -> bytes:
    """Return the root over the household ids of a run, in roster order."""
    return merkle.root_of(bytes((domains.LEAF_ROSTER,)) + household_hash(household) for household in roster)


def order_leaf(
    interval_start: int,
    household: str,
    sequence: int,
    side: int,
    energy_wh: int,
    limit_micro_per_kwh: int,
    node: int,
) -> bytes:
    """Return the leaf hash of one order, so that a household can prove it is in the book.

    With `merkle.path(book_leaves(...), row)` from the operator, `merkle.root_from_path` must give the book
    root of the interval's batch.
    """
    numbers = (interval_start, sequence, side, energy_wh, limit_micro_per_kwh, node)
    fixed = b"".join(number.to_bytes(_INT_BYTES, "big", signed=True) for number in numbers)
    return merkle.leaf_hash(bytes((domains.LEAF_ORDER,)) + household_hash(household) + fixed)


def book_leaves(book: OrderBook, roster: Sequence[str], interval_start: int) -> list[bytes]:
    """Return the leaf hashes of a book, one a row in canonical order.

    Args:
        book: Sorted by (participant, sequence), as `OrderBook.from_columns` leaves it.
        roster: Household ids that `book.participant` points into.
        interval_start: Start of the interval. [s]
    """
    numbers = _columns(
        np.full(len(book), interval_start, dtype=np.int64),
        book.sequence,
        book.side,
        book.energy_wh,
        book.limit_micro_per_kwh,
        book.node,
    )
    names = _household_hashes(tuple(roster))[book.participant]
    return _leaves(domains.LEAF_ORDER, np.concatenate((names, numbers), axis=1))


def book_root(book: OrderBook, roster: Sequence[str], interval_start: int) -> bytes:
    """Return the root over the orders of one interval; arguments as for `book_leaves`."""
    return merkle.root(book_leaves(book, roster, interval_start))


def clearing_root(book: OrderBook, clearing: Clearing, interval_start: int) -> bytes:
    """Return the hash over a clearing: header, price of each node, what each order got, the trades, the charges.

    One hash and no tree: a household proves its own settlement line, and whoever checks a clearing has all of it.
    The price of an order that was not accepted has no meaning and differs between solvers: it counts as 0.

    Args:
        book: The orders that were cleared.
        clearing: The result, one row per order.
        interval_start: Start of the interval. [s]

    Raises:
        ValueError: The clearing has another number of rows than the book.
    """
    accepted = clearing.accepted_wh
    if len(accepted) != len(book):
        raise ValueError(f"a clearing of {len(accepted)} rows for a book of {len(book)} orders")
    nodes, trades = clearing.node_price, clearing.trades
    # The counts stand in front, so that no two clearings share their bytes.
    header = [
        interval_start,
        len(book),
        len(nodes),
        -1 if trades is None else len(trades.energy_wh),
        clearing.operator_surplus_nano,
        clearing.welfare_nano,
    ]
    for node in nodes:
        header += [0, 0, 0, 0] if node is None else [1, node.lo, node.hi, node.price]
    digest = sha256(domains.CLEARING + np.array(header, dtype=">i8").tobytes())
    digest.update(_columns(accepted, np.where(accepted > 0, clearing.price_micro_per_kwh, 0)).tobytes())
    if trades is not None:
        pairs = _columns(trades.buy, trades.sell, trades.energy_wh, trades.price_micro_per_kwh)
        digest.update(pairs.tobytes())
    if clearing.charge_nano is not None:
        # Only a charge makes the bytes longer than the counts tell, so nothing else can be read as one.
        digest.update(_columns(clearing.charge_nano).tobytes())
    return digest.digest()


@lru_cache(maxsize=4)
def _household_hashes(roster: tuple[str, ...]) -> ByteArray:
    joined = b"".join(household_hash(household) for household in roster)
    hashes = np.frombuffer(joined, dtype=np.uint8).reshape(len(roster), merkle.HASH_BYTES)
    return hashes


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
