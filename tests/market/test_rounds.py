"""Sessions of several rounds: what stands, what is withdrawn, and that the book of all rounds has one clearing."""

from __future__ import annotations

import numpy as np
import pytest

from market.book import OrderBook
from market.clearing import Clearing, check_feasible
from market.mechanism import MECHANISMS
from market.rounds import MAX_ROUNDS, ROUND, Session, clear_rounds, offered_wh, rounds_of, withdrawal
from market.rules import MarketRules

Row = tuple[int, int, int, int, int]
"""Participant, side, energy, limit, arrival."""


def book_of(rows: list[Row], number: int) -> OrderBook:
    """The orders of one round."""
    who, side, energy, limit, arrival = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    return OrderBook.from_columns(who, side.astype(np.int8), energy, limit, sequence=number * ROUND + arrival)


def session_of(rounds: list[list[Row]], mechanism: str = "continuous", seed: int = 0) -> Session:
    """A session that has cleared these rounds."""
    session = Session(MECHANISMS.get(mechanism), MarketRules(seed=seed))
    for number, rows in enumerate(rounds):
        session.clear(book_of(rows, number))
    return session


def random_rounds(seed: int, rounds: int = 4, homes: int = 9) -> list[list[Row]]:
    """Random orders; some homes order several times a round, some not at all."""
    draw = np.random.default_rng(seed)
    found = []
    for _ in range(rounds):
        who = draw.integers(0, homes, draw.integers(0, 2 * homes))
        rows = [
            (int(w), 1 if w % 2 else -1, int(draw.integers(1, 900)), int(draw.integers(80, 320)) * 1_000, a)
            for a, w in enumerate(who)
        ]
        found.append(rows)
    return found


def accepted(session: Session) -> list[int]:
    done: list[int] = session.clearing().accepted_wh.tolist()
    return done


def test_an_order_stands_for_the_rounds_to_come_unless_its_home_orders_again() -> None:
    # Home 1 offers 500 Wh in the first round and stays; home 0 bids too low first and then enough.
    first = [(0, 1, 300, 100_000, 0), (1, -1, 500, 200_000, 1)]
    session = session_of([first, [(0, 1, 300, 250_000, 0)]])
    assert accepted(session) == [0, 300, 300]  # by participant: the old bid, the new one, the offer
    clearing = session.clearing()
    assert clearing.price_micro_per_kwh[1:].tolist() == [200_000, 200_000]  # the offer rested
    assert session.bought_wh(2).tolist() == [300, -300]
    # A third round finds what is left of the offer.
    again = session_of([first, [(0, 1, 300, 250_000, 0)], [(0, 1, 400, 250_000, 0)]])
    assert accepted(again) == [0, 300, 200, 500]


def test_a_home_that_orders_again_has_nothing_left_of_its_older_orders() -> None:
    first = [(0, -1, 500, 100_000, 0), (0, -1, 500, 110_000, 1)]
    session = session_of([first, [(0, -1, 200, 300_000, 0), (1, 1, 900, 150_000, 1)]])
    assert accepted(session) == [0, 0, 0, 0]  # withdrawn: the bid finds the new offer only, which is too dear


def test_the_public_record_turns_an_order_to_taken_when_it_is_hit_later() -> None:
    session = session_of([[(0, -1, 500, 200_000, 0)]])
    assert session.tape().accepted_wh.tolist() == [0]
    session.clear(book_of([(1, 1, 500, 210_000, 0)], 1))
    tape = session.tape()
    assert tape.round_of.tolist() == [0, 1]
    assert tape.accepted_wh.tolist() == [500, 500]
    assert tape.price_micro_per_kwh.tolist() == [200_000, 200_000]
    assert tape.took.tolist() == [False, True]  # only the bid found a counterpart when it came


@pytest.mark.parametrize(
    "mechanism", ["continuous", "uniform_price", "pay_as_bid", "vcg", "muda_lottery", "huang"]
)
@pytest.mark.parametrize("seed", range(6))
def test_the_book_of_all_rounds_gives_the_clearing_of_the_session(mechanism: str, seed: int) -> None:
    """Whoever has the recorded book computes the same clearing from it, and it is feasible as a whole."""
    rounds = random_rounds(seed)
    session = session_of(rounds, mechanism, seed)
    book, clearing = session.book, session.clearing()
    again = clear_rounds(MECHANISMS.get(mechanism), book, MarketRules(seed=seed), len(rounds))
    check_feasible(book, clearing)
    for name in ("accepted_wh", "price_micro_per_kwh", "charges_nano"):
        assert getattr(again, name).tolist() == getattr(clearing, name).tolist()
    assert again.operator_surplus_nano == clearing.operator_surplus_nano
    assert again.welfare_nano == clearing.welfare_nano
    assert clearing.accepted_wh.any(), "nothing trades here, so the test shows nothing"


def test_one_round_is_the_clearing_of_the_mechanism() -> None:
    for name in ("continuous", "pay_as_bid"):
        (rows,) = random_rounds(5, rounds=1)
        book = book_of(rows, 0)
        alone: Clearing = MECHANISMS.get(name).clear(book, MarketRules())
        once = session_of([rows], name).clearing()
        assert once.accepted_wh.tolist() == alone.accepted_wh.tolist()
        assert once.payment_nano(book).tolist() == alone.payment_nano(book).tolist()
        assert once.trades is not None
        assert alone.trades is not None
        assert sorted(once.trades.buy.tolist()) == sorted(alone.trades.buy.tolist())


def test_an_order_that_is_served_in_two_rounds_pays_its_trades_to_the_nano() -> None:
    # Home 0 takes 3 Wh from an offer at 100,001 and rests with 4 Wh at 200,000, which home 2 hits later.
    first = [(1, -1, 3, 100_001, 0), (0, 1, 7, 200_000, 1)]
    session = session_of([first, [(2, -1, 4, 150_000, 0)]])
    clearing, book = session.clearing(), session.book
    check_feasible(book, clearing)
    assert clearing.payment_nano(book).tolist() == [1_100_003, -300_003, -800_000]


def test_no_energy_counts_in_two_rounds() -> None:
    for seed in range(6):
        session = session_of(random_rounds(seed))
        book, clearing = session.book, session.clearing()
        last = {int(p): int(r) for p, r in zip(book.participant, rounds_of(book), strict=True)}
        stands = [last[int(p)] == r for p, r in zip(book.participant, rounds_of(book), strict=True)]
        offered = offered_wh(book, clearing)
        assert (offered[stands] == book.energy_wh[stands]).all()
        assert (offered[np.invert(stands)] == clearing.accepted_wh[np.invert(stands)]).all()
    (rows,) = random_rounds(1, rounds=1)
    alone = session_of([rows])
    assert offered_wh(alone.book, alone.clearing()).tolist() == alone.book.energy_wh.tolist()


def test_orders_are_withdrawn_in_the_next_round_in_which_their_home_orders() -> None:
    who, number = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 3, 1, 0, 2])
    assert withdrawal(who, number).tolist() == [3, 3, MAX_ROUNDS, MAX_ROUNDS, 2, MAX_ROUNDS]
