"""Book and clearing roots: they change with every fact, and with nothing else."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.book import Order, OrderBook, Side
from market.clearing import Clearing, PriceInterval, Trades, no_trade
from market.orders import Quote
from market.units import IntArray
from p2p.batches.roots import book_leaves, book_root, clearing_root, price_leaf, prices_root
from p2p.blocks import merkle
from tests.kits.chain_kit import order_leaf

ROSTER = ("house-a", "house-b", "house-c", "house-d")
START = 1_760_000_400

ORDERS = [
    Order("o0", 0, Side.BUY, 250, 231_000, 0),
    Order("o1", 1, Side.SELL, 300, 95_000, 1),
    Order("o2", 2, Side.BUY, 40, -5_000, 2, 3),
]
BOOK = OrderBook.from_orders(ORDERS)


def column(*numbers: int) -> IntArray:
    return np.array(numbers, dtype=np.int64)


CLEARING = Clearing(
    column(250, 250, 0), column(95_000, 95_000, 0), (PriceInterval(95_000, 95_000, 95_000),), 0, 9
)

orders = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sampled_from(Side),
        st.integers(0, 10**6),
        st.integers(-(10**9), 10**9),
        st.integers(0, 99),
    ),
    max_size=30,
).map(
    lambda rows: [
        Order(f"o{i}", who, side, energy, limit, i, node)
        for i, (who, side, energy, limit, node) in enumerate(rows)
    ]
)


def changed(**changes: int) -> OrderBook:
    return OrderBook.from_orders([replace(ORDERS[0], **changes), *ORDERS[1:]])


@given(orders, st.randoms(use_true_random=False))
def test_a_shuffled_book_has_the_same_root(rows: list[Order], random: Random) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    root = book_root(OrderBook.from_orders(rows), ROSTER, START)
    assert book_root(OrderBook.from_orders(shuffled), ROSTER, START) == root


@given(orders)
def test_every_order_can_prove_its_place_in_the_book(rows: list[Order]) -> None:
    book = OrderBook.from_orders(rows)
    leaves = book_leaves(book, ROSTER, START)
    root = book_root(book, ROSTER, START)
    for row in range(len(book)):
        order = book.order(row)
        leaf = order_leaf(
            START,
            ROSTER[order.participant],
            order.sequence,
            order.side,
            order.energy_wh,
            order.limit_micro_per_kwh,
            order.node,
        )
        assert merkle.root_from_path(leaf, row, len(book), merkle.path(leaves, row)) == root


def test_an_empty_book_has_the_empty_root() -> None:
    assert book_root(OrderBook.from_orders([]), ROSTER, START) == merkle.EMPTY_ROOT


def test_the_book_root_changes_with_every_fact_of_an_order() -> None:
    books = [
        BOOK,
        changed(participant=3),
        changed(side=Side.SELL),
        changed(energy_wh=251),
        changed(limit_micro_per_kwh=231_001),
        changed(sequence=9),
        changed(node=1),
        OrderBook.from_orders(ORDERS[:2]),
    ]
    roots = [book_root(book, ROSTER, START) for book in books]
    roots += [book_root(BOOK, ROSTER, START + 900), book_root(BOOK, ("x", *ROSTER[1:]), START)]
    assert len(set(roots)) == len(roots)


def test_the_book_root_does_not_depend_on_the_names_of_orders() -> None:
    renamed = OrderBook.from_orders([replace(order, id=f"x{i}") for i, order in enumerate(ORDERS)])
    assert book_root(renamed, ROSTER, START) == book_root(BOOK, ROSTER, START)


def test_the_clearing_root_changes_with_every_fact() -> None:
    trades = Trades(column(0), column(1), column(250), column(95_000))
    variants = [
        CLEARING,
        replace(CLEARING, accepted_wh=column(249, 249, 0)),
        replace(CLEARING, price_micro_per_kwh=column(95_001, 95_000, 0)),
        replace(CLEARING, node_price=(PriceInterval(94_999, 95_000, 95_000),)),
        replace(CLEARING, node_price=(PriceInterval(95_000, 95_001, 95_000),)),
        replace(CLEARING, node_price=(None,)),
        replace(CLEARING, node_price=(None, *CLEARING.node_price)),
        replace(CLEARING, node_price=(PriceInterval(0, 0, 0),)),
        replace(CLEARING, operator_surplus_nano=1),
        replace(CLEARING, welfare_nano=10),
        replace(CLEARING, losses_wh=1),
        replace(CLEARING, charge_nano=column(0, 0, 0)),
        replace(CLEARING, schedule_wh=column(0, 0, 0).reshape(3, 1)),
        replace(CLEARING, later_prices=((None,),)),
        replace(CLEARING, trades=trades),
        replace(CLEARING, trades=Trades(*[column()] * 4)),
        replace(CLEARING, trades=replace(trades, energy_wh=column(249))),
        no_trade(BOOK),
    ]
    roots = [root_of(BOOK, clearing) for clearing in variants]
    roots.append(root_of(BOOK, CLEARING, START + 900))
    assert len(set(roots)) == len(roots)


def test_a_price_without_energy_has_no_meaning_and_does_not_count() -> None:
    other = replace(CLEARING, price_micro_per_kwh=column(95_000, 95_000, 77))
    assert root_of(BOOK, other) == root_of(BOOK, CLEARING)


def test_a_clearing_of_an_empty_book_has_a_root() -> None:
    empty = OrderBook.from_orders([])
    assert root_of(empty, no_trade(empty)) != merkle.EMPTY_ROOT


def test_a_clearing_of_another_book_is_our_own_mistake() -> None:
    with pytest.raises(ValueError, match="2 rows for a book of 3 orders"):
        root_of(BOOK, no_trade(OrderBook.from_orders(ORDERS[:2])))


def root_of(book: OrderBook, clearing: Clearing, start: int = START) -> bytes:
    return clearing_root(book, clearing, start, prices_root(clearing, start))


def test_every_price_by_interval_and_node_can_be_proven() -> None:
    low, high = PriceInterval(1, 3, 2), PriceInterval(5, 9, 7)
    clearing = replace(CLEARING, node_price=(low, None, high), later_prices=((high, low, low), (None,) * 3))
    leaves = [
        price_leaf(START, interval, node, price)
        for interval, nodes in enumerate(clearing.prices)
        for node, price in enumerate(nodes)
    ]
    assert len(set(leaves)) == 9
    root = prices_root(clearing, START)
    for i, leaf in enumerate(leaves):
        assert merkle.root_from_path(leaf, i, 9, merkle.path(leaves, i)) == root


def test_terms_are_part_of_the_leaf_and_accounts_have_names_of_their_own() -> None:
    quote = Quote(100, 300_000)
    rows = [
        Order("a", 0, Side.BUY, 250, 200_000, terms=quote),
        Order("g", len(ROSTER), Side.SELL, 250, 100_000),
    ]
    book = OrderBook.from_orders(rows)
    leaves = book_leaves(book, ROSTER, START, ("grid",))
    assert leaves[0] == order_leaf(START, ROSTER[0], 0, 1, 250, 200_000, 0, quote)
    assert leaves[0] != order_leaf(START, ROSTER[0], 0, 1, 250, 200_000, 0)
    assert leaves[1] != book_leaves(book, (*ROSTER, "grid"), START)[1]
