"""The kit can fail: every mechanism broken on purpose is found out by the property meant for it."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from market.book import Order, OrderBook, Side
from market.checking.check import Verdict, check_mechanism
from market.checking.misreports import best_misreport
from market.checking.random_books import UNIT_WH, named, random_case
from market.checking.shrink import shrink
from market.clearing import Clearing, no_trade
from market.errors import InvalidRules
from market.mechanism import MECHANISMS, Mechanism, Promises, TruthfulFor
from market.parameters import GENERAL, Parameter
from market.rules import MarketRules
from tests.kits.sample_kit import sample_of
from tests.market import mutants
from wattswap.cases.book import clear_book_case
from wattswap.check.verdicts import as_case

BOOKS = 80
UNIFORM_PRICE = MECHANISMS.get("uniform_price")

# One parameter of each kind that is not among the general ones.
UNIT = Parameter(name="unit_kwh", field="unit_wh", kind="energy", default=1_000, in_run=1, summary="")
PRICE = Parameter(name="price", field="price_micro_per_kwh", kind="price", default=None, summary="")
HALVES = Parameter(name="partition", field="partition", kind="halves", default=None, summary="")
ROUNDS = Parameter(name="rounds", field="rounds", kind="whole", default=5, least=2, summary="")


def finding(verdict: Verdict, name: str):  # type: ignore[no-untyped-def]
    return next(one for one in verdict.findings if one.name == name)


def ruling(name: str, clear, parameters=GENERAL, **promises) -> Mechanism:  # type: ignore[no-untyped-def]
    return Mechanism(name, clear, Promises(source="a test", **promises), parameters)


@pytest.mark.parametrize("mutant", sample_of(mutants.ALL, mutants.ALL[::3]), ids=lambda m: m.mechanism.name)
def test_a_broken_mechanism_is_found_out_with_a_smallest_book(mutant: mutants.Mutant) -> None:
    verdict = check_mechanism(mutant.mechanism, BOOKS)
    assert not verdict.holds
    found = finding(verdict, mutant.killed_by)
    assert found.promised
    assert 0 < found.broken <= found.books
    assert found.counterexample is not None
    book = found.counterexample.book
    assert len(book) == mutant.orders, [book.order(row) for row in range(len(book))]
    assert mutant.says in found.counterexample.fault
    # Nothing is left in it that need not be there.
    assert not any(book.requirements)
    assert book.sequence.tolist() == list(range(len(book)))


def test_there_is_a_mutant_for_every_property_that_can_be_promised() -> None:
    verdict = check_mechanism(UNIFORM_PRICE, 1)
    observed = {"anonymous", "scales_with_prices", "scales_with_energy"}
    names = {one.name for one in verdict.findings} | {"local_market"}
    assert {mutant.killed_by for mutant in mutants.ALL} == names - observed


def test_a_counterexample_is_written_in_plain_numbers() -> None:
    found = finding(
        check_mechanism(mutants.by_name("calls_an_auction_truthful"), BOOKS), "truthful"
    ).counterexample
    assert found is not None
    assert set(found.book.energy_wh.tolist()) <= {UNIT_WH, 2 * UNIT_WH}
    assert not (found.book.limit_micro_per_kwh % 100_000).any()
    assert found.rules == MarketRules()


def test_what_is_not_promised_is_reported_and_breaks_nothing() -> None:
    verdict = check_mechanism(UNIFORM_PRICE, BOOKS)
    assert verdict.holds
    truthful = finding(verdict, "truthful")
    assert not truthful.promised
    assert truthful.broken > 0
    assert truthful.counterexample is None
    assert verdict.largest_gain_nano is not None
    assert verdict.largest_gain_nano > 0
    assert finding(check_mechanism(MECHANISMS.get("retailer_only"), BOOKS), "efficient").broken > BOOKS // 3


# ---- misreports


def test_the_best_misreport_of_a_bilateral_trade_is_the_one_by_hand() -> None:
    """1 kWh, worth 0.3 to a and 0.1 to b, at 0.2: a gains 0.1 by stating 0.1, and b as much by stating 0.3."""
    book = named([Order("", 0, Side.BUY, 1_000, 300_000), Order("", 1, Side.SELL, 1_000, 100_000)])
    best = best_misreport(UNIFORM_PRICE, book, MarketRules())
    assert best is not None
    assert (best.rows, best.stated_micro_per_kwh, best.gain_nano) == ((0,), 100_000, 100_000_000)
    seller_sets_it = best_misreport(UNIFORM_PRICE, book, MarketRules(k_ppm=0))
    assert seller_sets_it is not None
    assert (seller_sets_it.rows, seller_sets_it.stated_micro_per_kwh) == ((1,), 300_000)
    assert seller_sets_it.gain_nano == 200_000_000


def test_where_everything_is_refused_whatever_is_said_nobody_gains() -> None:
    book = named([Order("", 0, Side.BUY, 1_000, 300_000), Order("", 1, Side.SELL, 1_000, 100_000)])
    best = best_misreport(MECHANISMS.get("retailer_only"), book, MarketRules())
    assert best is not None
    assert best.gain_nano == 0
    assert best_misreport(MECHANISMS.get("retailer_only"), named([]), MarketRules()) is None


def charged_by(rows_of):  # type: ignore[no-untyped-def]
    """1 Wh for nothing to every participant whose own limits say so: a gift that some can earn by misreporting."""

    def clear(book: OrderBook, rules: MarketRules) -> Clearing:
        gifts = np.zeros(len(book), dtype=np.int64)
        for row in rows_of(book):
            gifts[row] = -1
        return replace(no_trade(book), charge_nano=gifts, operator_surplus_nano=int(gifts.sum()))

    return clear


def second_order_is_dear(book: OrderBook) -> list[int]:
    live = np.flatnonzero(book.energy_wh > 0).tolist()
    again = [row for before, row in pairwise(live) if book.participant[before] == book.participant[row]]
    return [row for row in again if book.limit_micro_per_kwh[row] > 0]


def large_order_is_dear(book: OrderBook) -> list[int]:
    return np.flatnonzero((book.energy_wh > UNIT_WH) & (book.limit_micro_per_kwh > 0)).tolist()


@pytest.mark.parametrize(
    ("rows_of", "scope", "holds"),
    [
        (second_order_is_dear, "participants", False),
        (second_order_is_dear, "single_orders", True),
        (large_order_is_dear, "single_orders", False),
        (large_order_is_dear, "unit_orders", True),
    ],
)
def test_truthfulness_is_held_to_those_whom_it_is_promised(rows_of, scope: TruthfulFor, holds: bool) -> None:  # type: ignore[no-untyped-def]
    gifts = ruling("gifts", charged_by(rows_of), truthful=True, truthful_for=scope, budget_balance="deficit")
    assert (finding(check_mechanism(gifts, 5 * BOOKS), "truthful").broken == 0) == holds


# ---- rules that are nearly right


def vcg_without_one_order(book: OrderBook, rules: MarketRules) -> Clearing:
    """Trap: what an order is worth to others is reckoned without the order, not without its participant."""
    alone = replace(book, participant=np.arange(len(book)))
    return MECHANISMS.get("vcg").clear(alone, rules)


def halves_at_their_own_price(book: OrderBook, rules: MarketRules) -> Clearing:
    """MUDA in which a half trades at its own price, which its participants then set."""
    left = book.participant % 2 == 0
    parts = [np.flatnonzero(left), np.flatnonzero(~left)]
    accepted, price = np.zeros(len(book), dtype=np.int64), book.limit_micro_per_kwh.copy()
    for rows in parts:
        half = OrderBook(*(getattr(book, name)[rows] for name in ORDER_COLUMNS))
        cleared = mutants.auction(half, rules)
        accepted[rows] = cleared.accepted_wh
        price[rows] = cleared.price_micro_per_kwh
    welfare = int((book.side * accepted * book.limit_micro_per_kwh).sum())
    return Clearing(accepted, price, (None,), 0, welfare)


ORDER_COLUMNS = ("participant", "side", "energy_wh", "limit_micro_per_kwh", "node", "sequence")


@pytest.mark.parametrize(
    ("rule", "orders"),
    [
        (ruling("vcg_by_order", vcg_without_one_order, (), truthful=True, budget_balance="deficit"), 2),
        (
            ruling("own_price", halves_at_their_own_price, truthful=True, truthful_for="single_orders"),
            3,
        ),
        (
            replace(
                MECHANISMS.get("posted_price"),
                promises=replace(MECHANISMS.get("posted_price").promises, truthful_for="participants"),
            ),
            3,
        ),
        (
            replace(
                MECHANISMS.get("huang"),
                promises=replace(MECHANISMS.get("huang").promises, truthful_for="participants"),
            ),
            4,
        ),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_a_rule_that_is_nearly_truthful_is_found_out(rule: Mechanism, orders: int) -> None:
    verdict = check_mechanism(rule, 200)
    assert {one.name for one in verdict.findings if one.promised and one.broken} == {"truthful"}
    found = finding(verdict, "truthful").counterexample
    assert found is not None
    assert len(found.book) == orders, [found.book.order(row) for row in range(len(found.book))]


# ---- random books


def test_random_books_hold_all_the_trouble_they_promise() -> None:
    books = [random_case(UNIFORM_PRICE, 0, number) for number in range(300)]
    seen: dict[str, int] = {}

    def count(what: str, holds: object) -> None:
        seen[what] = seen.get(what, 0) + bool(holds)

    for book, rules in books:
        live = book.energy_wh > 0
        bids, asks = (book.limit_micro_per_kwh[live & (book.side == side)] for side in (1, -1))
        who = book.participant.tolist()
        sides = {(p, s) for p, s in zip(who, book.side.tolist(), strict=True)}
        count("empty", not len(book))
        count("forty orders or nearly", len(book) > 35)
        count("one side only", len(book) and not (len(bids) and len(asks)))
        count("ties on one side", len(set(bids.tolist())) < len(bids))
        count("touching", set(bids.tolist()) & set(asks.tolist()))
        count("no ties at all", len(book) > 5 and len(set(book.limit_micro_per_kwh.tolist())) == len(book))
        count("several orders a participant", len(set(who)) < len(who))
        count("both sides of a participant", len(sides) > len(set(who)))
        count("zero quantities", not live.all())
        count("negative prices", (book.limit_micro_per_kwh < 0).any())
        count("thousands of Wh", book.energy_wh.max(initial=0) > 4_000)
        count("a few Wh", 0 < book.energy_wh.max(initial=0) < 5)
        count("requirements", any(book.requirements))
        count("k at an end", rules.k_ppm in (0, 1_000_000))
        count("rationing by time", rules.rationing == "time")
        retail, feed_in = rules.retail_micro_per_kwh, rules.feed_in_micro_per_kwh
        assert retail is not None
        assert feed_in is not None
        count("a limit above retail", (book.limit_micro_per_kwh > retail).any())
        count("all limits within", len(book) and (bids <= retail).all() and (asks >= feed_in).all())
    assert min(seen.values()) >= 5, seen


def test_a_random_case_can_be_drawn_again() -> None:
    (a, rules), (b, same) = (random_case(UNIFORM_PRICE, 3, 17) for _ in range(2))
    other, _ = random_case(UNIFORM_PRICE, 4, 17)
    assert rules == same
    assert [a.order(i) for i in range(len(a))] == [b.order(i) for i in range(len(b))]
    assert [a.order(i) for i in range(len(a))] != [other.order(i) for i in range(len(other))]


def test_parameters_are_drawn_in_their_range_and_the_unit_fits_the_book() -> None:
    rule = ruling("any", mutants.auction, (UNIT, PRICE, HALVES, ROUNDS))
    units, prices, rounds, halves = set(), set(), set(), 0
    for number in range(200):
        book, rules = random_case(rule, 0, number)
        unit = UNIT.of(rules)
        assert not (book.energy_wh % unit).any()
        units.add(unit)
        prices.add(PRICE.of(rules) is None)
        rounds.add(ROUNDS.of(rules))
        parts = HALVES.of(rules)
        if parts is not None:
            halves += 1
            assert sorted(parts[0] + parts[1]) == sorted(set(book.participant.tolist()))
    assert units == {1, 1_000}
    assert prices == {True, False}
    assert min(rounds) == 2
    assert len(rounds) > 10
    assert halves > 30


def test_books_of_units_hold_whole_units_only() -> None:
    books = [random_case(UNIFORM_PRICE, 0, number, 6, units=True)[0] for number in range(100)]
    assert not any((book.energy_wh % UNIT_WH).any() for book in books)
    assert sum(int((book.energy_wh == UNIT_WH).sum()) for book in books) > 100


# ---- refusals


def refusing(book: OrderBook, rules: MarketRules) -> Clearing:
    if len(book) > 10:
        raise InvalidRules("no more than 10 orders")
    return mutants.auction(book, rules)


def test_a_book_that_a_mechanism_refuses_is_counted_and_no_fault() -> None:
    verdict = check_mechanism(ruling("small", refusing), BOOKS)
    assert verdict.holds
    assert 0 < len(verdict.refused) < BOOKS
    assert set(verdict.refused) == {"no more than 10 orders"}
    assert finding(verdict, "feasible").books == BOOKS - len(verdict.refused)


def test_a_mechanism_that_refuses_every_book_is_not_sound() -> None:
    def never(book: OrderBook, rules: MarketRules) -> Clearing:
        raise InvalidRules("give a price")

    verdict = check_mechanism(ruling("never", never), 10)
    found = finding(verdict, "sound").counterexample
    assert not verdict.holds
    assert found.fault == "refuses every book: give a price"


# ---- shrinking, and cases for the command line


def test_shrinking_stops_at_what_still_fails() -> None:
    rule = ruling("any", mutants.auction, (HALVES,))
    book, rules = next(
        case for case in (random_case(rule, 0, number) for number in range(400)) if len(case[0]) > 30
    )
    rules = replace(rules, params={"partition": ((0, 2), (1,))})

    def fails(smaller: OrderBook, plainer: MarketRules) -> bool:
        parts = HALVES.of(plainer)
        return (
            len(smaller) >= 3 and parts is not None and len(parts[0]) >= 1 and int(smaller.energy_wh[0]) > 0
        )

    small, plain = shrink(rule, book, rules, fails)
    assert len(small) == 3
    assert set(small.energy_wh.tolist()) == {UNIT_WH}
    assert set(small.limit_micro_per_kwh.tolist()) == {0}
    assert plain.retail_micro_per_kwh is None
    assert max(plain.params["partition"][0]) <= max(small.participant)  # type: ignore[index, arg-type]


@pytest.mark.parametrize("parameters", [GENERAL, (UNIT, PRICE, HALVES, ROUNDS)], ids=["general", "own"])
def test_a_case_at_the_edge_is_read_as_the_same_book_and_rules(parameters: tuple[Parameter, ...]) -> None:
    read: list[tuple[OrderBook, MarketRules]] = []

    def spy(book: OrderBook, rules: MarketRules) -> Clearing:
        read.append((book, rules))
        return no_trade(book)

    rule = ruling("spy", spy, parameters)
    for number in range(150):
        book, rules = random_case(rule, 1, number)
        clear_book_case(json.loads(json.dumps(as_case(rule, book, rules))), rule)
        seen, stated = read.pop()
        for row in range(len(book)):
            assert replace(seen.order(row), id="") == replace(book.order(row), id="")
        for parameter in parameters:
            assert parameter.of(stated) == parameter.of(rules)
