"""The modes that behave as gsy-e does, against the nested loops they are described by."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.auctions.uniform import clear_exact
from market.book import Order, OrderBook, Requirement
from market.clearing import check_feasible
from market.rules import MarketRules
from tests.kits.pairs_kit import cleared, orders, row, trades

Pair = tuple[int, int, int]


def rows(book: OrderBook, side: int) -> list[int]:
    """Rows of a side in order of submission."""
    found = [i for i in range(len(book)) if book.side[i] == side and book.energy_wh[i]]
    return sorted(found, key=lambda i: (book.sequence[i], i))


def highest_first(book: OrderBook, side: int) -> list[int]:
    """Sorted ascending and turned round, which turns equal limits round as well."""
    return sorted(rows(book, side), key=lambda i: book.limit_micro_per_kwh[i])[::-1]


def pay_as_bid(book: OrderBook, left: list[int], bids: list[int], asks: list[int]) -> list[Pair]:
    """Every offer asks every bid."""
    found = []
    for ask in asks:
        for bid in bids:
            own = book.participant[bid] == book.participant[ask]
            energy = min(left[bid], left[ask])
            if not own and energy and book.limit_micro_per_kwh[bid] >= book.limit_micro_per_kwh[ask]:
                left[bid] -= energy
                left[ask] -= energy
                found.append((bid, ask, energy))
    return found


def pay_as_clear(book: OrderBook) -> tuple[int, list[Pair]] | None:
    """Cumulated curves as dictionaries, searched level by level."""
    limit, bids = book.limit_micro_per_kwh.tolist(), highest_first(book, 1)
    asks = sorted(rows(book, -1), key=lambda i: limit[i])
    curves: list[dict[int, int]] = [{}, {}]
    for curve, queue in zip(curves, (bids, asks), strict=True):
        total = 0
        for i in queue:
            total += int(book.energy_wh[i])
            curve[limit[i]] = total
    levels = sorted(curves[0].items())
    found = [(b, d) for b, d in levels for o, s in curves[1].items() if o <= b and s >= d][:1]
    if not found:
        found = [(b, s) for b, d in levels for o, s in curves[1].items() if o <= b and s < d][-1:]
    if not found:
        return None
    (rate, energy), left = found[0], book.energy_wh.tolist()
    pairs: list[Pair] = []
    for bid in bids:
        for ask in asks:
            part = min(left[bid], left[ask], energy)
            if part:
                pairs.append((bid, ask, part))
                left[bid] -= part
                left[ask] -= part
                energy -= part
    return rate, pairs


def sums(pairs: list[Pair]) -> Counter[tuple[int, int]]:
    """Energy of each pair; a pair that meets again in a later stretch counts once."""
    total: Counter[tuple[int, int]] = Counter()
    for bid, ask, energy in pairs:
        total[bid, ask] += energy
    return total


@pytest.mark.parametrize("both_sides", [True, False])
@given(data=st.data())
def test_pay_as_bid_is_the_nested_loop(both_sides: bool, data: st.DataObject) -> None:
    """With nobody on both sides it takes a closed form instead."""
    book = OrderBook.from_orders(data.draw(orders(both_sides)))
    clearing = cleared("gsy_pay_as_bid", book)
    check_feasible(book, clearing)
    expected = pay_as_bid(book, book.energy_wh.tolist(), highest_first(book, 1), highest_first(book, -1))
    assert sums([(b, s, e) for b, s, e, _ in trades(clearing)]) == sums(expected)
    assert all(price == book.limit_micro_per_kwh[bid] for bid, _, _, price in trades(clearing))


@given(orders())
def test_pay_as_clear_is_the_search_of_two_curves(listed: list[Order]) -> None:
    book = OrderBook.from_orders(listed)
    clearing = cleared("gsy_pay_as_clear", book)
    check_feasible(book, clearing)
    expected = pay_as_clear(book)
    if expected is None:
        assert clearing.node_price == (None,)
        return
    rate, pairs = expected
    assert [(b, s, e) for b, s, e, _ in trades(clearing)] == pairs
    assert clearing.node_price[0] is not None
    assert clearing.node_price[0].price == rate


def test_the_highest_offer_is_served_first_and_own_orders_are_passed_over() -> None:
    """Bids A 10 at 1, B 15 at 2, C 20 at 3; offers A 25 at 1, B 30 at 5, C 35 at 2.4 (x 10)."""
    book = OrderBook.from_orders(
        [
            *(row("buy", who, energy, 10 * (who + 1)) for who, energy in enumerate((10, 15, 20))),
            *(row("sell", who, e, limit, 1) for who, e, limit in ((0, 25, 10), (1, 30, 50), (2, 35, 24))),
        ]
    )
    names = [(book.ids[b], book.ids[s], e, p) for b, s, e, p in trades(cleared("gsy_pay_as_bid", book))]
    assert names == [("buy2-30-0", "sell0-10-1", 20, 30), ("buy1-20-0", "sell0-10-1", 5, 20)]


def test_equal_rates_are_served_in_reverse_order_of_arrival() -> None:
    book = OrderBook.from_orders([row("buy", 0, 1, 20, 1), row("buy", 1, 1, 20, 2), row("sell", 2, 1, 5, 3)])
    assert cleared("gsy_pay_as_bid", book).accepted_wh.tolist() == [0, 1, 1]
    assert cleared("gsy_pay_as_clear", book).accepted_wh.tolist() == [0, 1, 1]


def test_pay_as_bid_trades_more_and_gains_less() -> None:
    """Best with best: 1 Wh for 25. Highest-priced offer first: 30 with 20 and 15 with 5, 2 Wh for 20."""
    book = OrderBook.from_orders(
        [row("buy", 0, 1, 30), row("buy", 1, 1, 15), row("sell", 2, 1, 5), row("sell", 3, 1, 20)]
    )
    ours, best = cleared("gsy_pay_as_bid", book), clear_exact(book, MarketRules())
    assert (ours.traded_wh(book), ours.welfare_nano) == (2, 20)
    assert (best.traded_wh(book), best.welfare_nano) == (1, 25)


def test_pay_as_clear_trades_less_at_a_higher_price() -> None:
    """S(20) = 3 does not cover D(20) = 4, S(30) = 3 covers D(30) = 2: 2 Wh at 30, where 3 Wh at 20 are possible."""
    book = OrderBook.from_orders([row("buy", 0, 2, 30), row("buy", 1, 2, 20), row("sell", 2, 3, 10)])
    ours, best = cleared("gsy_pay_as_clear", book), clear_exact(book, MarketRules())
    assert (ours.traded_wh(book), ours.price_micro_per_kwh[0]) == (2, 30)
    assert (best.traded_wh(book), best.price_micro_per_kwh[0]) == (3, 20)


# ---- preferred partners


def preferred(book: OrderBook, carry_over: bool) -> list[Pair]:
    """Three nested loops, one per stage; each looks at every bid and every offer."""
    left, found = book.energy_wh.tolist(), []
    orders_ = [book.order(i) for i in range(len(book))]
    bids, asks = highest_first(book, 1), highest_first(book, -1)

    def close(pairs: list[Pair]) -> None:
        found.extend(pairs)
        for bid, ask, _ in pairs if not carry_over else []:
            left[bid] = left[ask] = 0

    def asked_for(bid: Order, ask: Order) -> bool:
        wished = any(
            ask.participant in w.partners and (not w.energy_types or ask.energy_type in w.energy_types)
            for w in bid.requirements
        )
        free = not ask.requirements or any(not w.partners for w in ask.requirements)
        return wished and (free or any(bid.participant in w.partners for w in ask.requirements))

    first: list[Pair] = []
    for bid in bids:
        for ask in asks:
            if asked_for(orders_[bid], orders_[ask]):
                first += pay_as_bid(book, left, [bid], [ask])
    close(first)
    second: list[Pair] = []
    for ask in asks:
        for bid in bids:
            kind = orders_[ask].energy_type
            if kind and any(kind in w.energy_types for w in orders_[bid].requirements):
                second += pay_as_bid(book, left, [bid], [ask])
    close(second)
    return found + pay_as_bid(book, left, bids, asks)


@given(orders(wishes=True), st.booleans())
def test_the_three_stages_are_three_nested_loops(listed: list[Order], carry_over: bool) -> None:
    book = OrderBook.from_orders(listed)
    clearing = cleared("preferred_partners", book, residual="carry_over" if carry_over else "touched_leave")
    check_feasible(book, clearing)
    assert sums([(b, s, e) for b, s, e, _ in trades(clearing)]) == sums(preferred(book, carry_over))


@given(orders())
def test_without_requirements_it_is_pay_as_bid(listed: list[Order]) -> None:
    book = OrderBook.from_orders(listed)
    ours, plain = cleared("preferred_partners", book), cleared("gsy_pay_as_bid", book)
    assert ours.payment_nano(book).tolist() == plain.payment_nano(book).tolist()


def test_a_remainder_leaves_or_goes_on() -> None:
    """Anna wants 5 Wh of PV from 1, who has 3; offer 2 is PV too, offer 3 is anything."""
    book = OrderBook.from_orders(
        [
            row("buy", 0, 9, 30, requirements=(Requirement((1,)), Requirement((), ("PV",)))),
            row("sell", 1, 3, 10),
            row("sell", 2, 2, 10, energy_type="PV"),
            row("sell", 3, 8, 10),
        ]
    )
    leaves = cleared("preferred_partners", book, residual="touched_leave")
    goes_on = cleared("preferred_partners", book, residual="carry_over")
    assert leaves.accepted_wh.tolist() == [3, 3, 0, 0]
    assert goes_on.accepted_wh.tolist() == [9, 3, 2, 4]
