"""The limit order book against a list that is searched anew for every event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from market.auctions.limit_order_book import Event, Execution, Kind, Resting, Streamed, clear_events
from market.book import Order, OrderBook
from market.clearing import check_feasible
from tests.kits.pairs_kit import cleared, orders, row, trades

OPEN_ENDED = (Kind.LIMIT, Kind.IOC, Kind.FOK, Kind.MARKET)


def by_search(events: list[Event], skip: bool) -> tuple[list[Execution], list[Resting], list[Resting]]:
    """A book as a list of [event, energy left, arrival]; the best counterpart is looked for again and again."""
    book: list[list[Any]] = []
    done: list[Execution] = []
    for arrival, event in enumerate(events):
        if event.kind is Kind.CANCEL:
            book = [entry for entry in book if entry[0].id != event.id]
            continue

        def suits(entry: list[Any], event: Event = event) -> bool:
            other = entry[0]
            if other.side == event.side or (skip and other.participant == event.participant):
                return False
            return (
                event.kind is Kind.MARKET
                or event.side * (event.limit_micro_per_kwh - other.limit_micro_per_kwh) >= 0
            )

        need = event.energy_wh
        if event.kind is Kind.FOK and sum(entry[1] for entry in book if suits(entry)) < need:
            continue
        while need:
            there = [entry for entry in book if suits(entry)]
            if not there:
                break
            best = min(there, key=lambda e: (-e[0].side * e[0].limit_micro_per_kwh, e[2]))
            energy = min(need, best[1])
            done.append(Execution(best[0].id, event.id, energy, best[0].limit_micro_per_kwh))
            need -= energy
            best[1] -= energy
            book = [entry for entry in book if entry[1]]
        if need and event.kind is Kind.LIMIT:
            book.append([event, need, arrival])

    def left(side: int) -> list[Resting]:
        of_side = [entry for entry in book if entry[0].side == side]
        of_side.sort(key=lambda e: (-side * e[0].limit_micro_per_kwh, e[2]))
        return [Resting(e.id, e.limit_micro_per_kwh, energy) for e, energy, _ in of_side]

    return Streamed(done, left(1), left(-1), [])


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Up to 25 events of four participants at five limits."""
    events: list[Event] = []
    for i in range(draw(st.integers(0, 25))):
        known = [event.id for event in events if event.kind is not Kind.CANCEL]
        if known and draw(st.integers(0, 4)) == 0:
            events.append(Event(Kind.CANCEL, draw(st.sampled_from(known))))
            continue
        events.append(
            Event(
                draw(st.sampled_from((*OPEN_ENDED, Kind.LIMIT, Kind.LIMIT))),
                i,
                draw(st.integers(0, 3)),
                draw(st.sampled_from((1, -1))),
                draw(st.integers(0, 5)),
                draw(st.integers(-1, 3)),
            )
        )
    return events


@given(streams(), st.booleans())
def test_a_stream_does_what_a_search_of_the_whole_book_does(events: list[Event], skip: bool) -> None:
    assert clear_events(events, "skip" if skip else "allow") == by_search(events, skip)


@given(orders(), st.booleans())
def test_a_book_arrives_by_sequence(listed: list[Order], skip: bool) -> None:
    book = OrderBook.from_orders(listed)
    turn = sorted(range(len(book)), key=lambda i: (book.sequence[i], i))
    events = [
        Event(Kind.LIMIT, i, o.participant, int(o.side), o.energy_wh, o.limit_micro_per_kwh)
        for i, o in ((i, book.order(i)) for i in turn)
    ]
    clearing = cleared("continuous", book, self_trade="skip" if skip else "allow")
    expected = [
        (t.aggressor, t.resting, t.energy_wh, t.price_micro_per_kwh)
        if book.side[t.aggressor] > 0  # type: ignore[index]
        else (t.resting, t.aggressor, t.energy_wh, t.price_micro_per_kwh)
        for t in by_search(events, skip)[0]
    ]
    assert trades(clearing) == expected
    check_feasible(book, clearing)


def test_the_resting_order_sets_the_price_and_keeps_its_place() -> None:
    events = [
        Event(Kind.LIMIT, "s1", "a", -1, 4, 10),
        Event(Kind.LIMIT, "s2", "b", -1, 4, 10),
        Event(Kind.LIMIT, "b1", "c", 1, 3, 15),
        Event(Kind.LIMIT, "b2", "c", 1, 3, 12),
    ]
    assert clear_events(events).trades == [
        Execution("s1", "b1", 3, 10),
        Execution("s1", "b2", 1, 10),
        Execution("s2", "b2", 2, 10),
    ]
    assert clear_events(events).offers == [Resting("s2", 10, 2)]


@pytest.mark.parametrize("kind", [Kind.IOC, Kind.MARKET, Kind.LIMIT])
def test_a_book_crossed_by_own_orders_comes_to_an_end(kind: Kind) -> None:
    events = [
        Event(Kind.LIMIT, "mine", "a", -1, 5, 10),
        Event(Kind.LIMIT, "higher", "b", -1, 5, 20),
        Event(kind, "bid", "a", 1, 7, 20),
    ]
    done = clear_events(events, "skip")
    assert done.trades == [Execution("higher", "bid", 5, 20)]
    assert done.offers == [Resting("mine", 10, 5)]
    assert done.bids == ([Resting("bid", 20, 2)] if kind is Kind.LIMIT else [])


def test_a_cancelled_order_does_not_fill_a_fill_or_kill_order() -> None:
    events = [
        Event(Kind.LIMIT, "s1", "a", -1, 5, 10),
        Event(Kind.CANCEL, "s1"),
        Event(Kind.FOK, "b1", "b", 1, 5, 10),
    ]
    assert clear_events(events) == ([], [], [], [])


def test_the_order_of_arrival_decides() -> None:
    """First a cheap offer, then a dear one; the bid that comes between them gets the cheap one, or else the dear."""
    early = [row("sell", 0, 1, 10, 1), row("buy", 1, 1, 30, 2), row("buy", 2, 1, 20, 3)]
    late = [row("sell", 0, 1, 10, 1), row("buy", 1, 1, 30, 3), row("buy", 2, 1, 20, 2)]
    assert cleared("continuous", OrderBook.from_orders(early)).accepted_wh.tolist() == [1, 1, 0]
    assert cleared("continuous", OrderBook.from_orders(late)).accepted_wh.tolist() == [1, 0, 1]
