"""Mechanisms that are broken on purpose, each with the property that has to find it out."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import numpy as np

from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.certificate import MilpGap
from market.clearing import Clearing, PriceInterval, Trades, no_trade, of_trades
from market.mechanism import Mechanism, Promises
from market.rules import MarketRules

Change = Callable[[OrderBook, Clearing], Clearing]


@dataclass(frozen=True)
class Mutant:
    """A broken mechanism, the property that kills it, and the most orders that its counterexample may need.

    Args:
        mechanism: The broken one.
        killed_by: Name of the property.
        orders: Orders of a smallest counterexample.
        says: What the sentence about it has to contain.
    """

    mechanism: Mechanism
    killed_by: str
    orders: int
    says: str


ALL: list[Mutant] = []


def kills(name: str, orders: int, says: str, **promises: Any) -> Callable[[Any], Any]:
    """Make a mutant of a function (book, rules) -> Clearing."""

    def make(clear: Callable[[OrderBook, MarketRules], Any]) -> Any:
        mechanism = Mechanism(clear.__name__, clear, Promises(source="broken on purpose", **promises))
        ALL.append(Mutant(mechanism, name, orders, says))
        return clear

    return make


def auction(book: OrderBook, rules: MarketRules) -> Clearing:
    """The right clearing, without its certificate."""
    return replace(clear_exact(book, rules), certificate=None)


def at_price(clearing: Clearing, price: Any, **changes: Any) -> Clearing:
    return replace(clearing, price_micro_per_kwh=np.asarray(price, dtype=np.int64), **changes)


# ---- what no mechanism may do


@kills("sound", 0, "raises ValueError")
def trips_over_an_empty_book(book: OrderBook, rules: MarketRules) -> Clearing:
    book.limit_micro_per_kwh.max()
    return auction(book, rules)


@kills("sound", 2, "raises KeyError")
def raises_when_it_trades(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    if clearing.welfare_nano:
        raise KeyError("lost")
    return clearing


@kills("sound", 0, "writes into the book")
def writes_into_the_book(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    book.energy_wh[:] = 0
    return clearing


@kills("sound", 0, "writes into the book")
def forces_its_way_into_the_book(book: OrderBook, rules: MarketRules) -> Clearing:
    column = book.energy_wh
    column.flags.writeable = True
    column += 1
    column.flags.writeable = False
    return no_trade(book)


@kills("sound", 1, "changes the book: energy_wh")
def puts_other_columns_into_the_book(book: OrderBook, rules: MarketRules) -> Clearing:
    object.__setattr__(book, "energy_wh", book.energy_wh + 1)
    return no_trade(book)


@kills("sound", 0, "raises SystemExit")
def ends_the_process(book: OrderBook, rules: MarketRules) -> Clearing:
    raise SystemExit(0)


class Unusual(BaseException):
    """An error that is not an `Exception`."""


@kills("sound", 0, "raises Unusual")
def raises_what_is_no_exception(book: OrderBook, rules: MarketRules) -> Clearing:
    raise Unusual("stop")


@kills("sound", 0, "node_price must be a tuple")
def prices_in_an_array(book: OrderBook, rules: MarketRules) -> Clearing:
    return replace(auction(book, rules), node_price=np.zeros(2))


@kills("sound", 0, "global random numbers of numpy")
def draws_from_numpy(book: OrderBook, rules: MarketRules) -> Clearing:
    np.random.random()  # noqa: NPY002
    return auction(book, rules)


@kills("sound", 0, "Python's global random numbers")
def draws_from_python(book: OrderBook, rules: MarketRules) -> Clearing:
    random.random()
    return auction(book, rules)


@kills("sound", 0, "float64; it must be an array of int64")
def returns_floats(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    return replace(clearing, accepted_wh=clearing.accepted_wh.astype(float))


@kills("sound", 0, "it must be an int")
def returns_a_numpy_welfare(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    return replace(clearing, welfare_nano=np.int64(clearing.welfare_nano))


@kills("sound", 1, "for a book of 1 orders")
def forgets_the_last_order(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    return replace(clearing, accepted_wh=clearing.accepted_wh[:-1])


@kills("sound", 0, "returns a NoneType")
def returns_nothing(book: OrderBook, rules: MarketRules) -> Any:
    auction(book, rules)


@kills("sound", 2, "raises OverflowError: beyond")
def trips_over_a_lie(book: OrderBook, rules: MarketRules) -> Clearing:
    """Only a limit that no random book has: just above another one."""
    if (np.diff(np.unique(book.limit_micro_per_kwh)) == 1).any() and book.energy_wh.max() > 4_000:
        raise OverflowError("beyond")
    return auction(book, rules)


@kills("feasible", 2, "but 2000 Wh are accepted")
def accepts_more_than_ordered(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    return replace(clearing, accepted_wh=2 * clearing.accepted_wh, welfare_nano=2 * clearing.welfare_nano)


@kills("feasible", 1, "bought minus sold is 1000 Wh")
def serves_every_bid(book: OrderBook, rules: MarketRules) -> Clearing:
    accepted = book.energy_wh * (book.side > 0)
    welfare = int((accepted * book.limit_micro_per_kwh).sum())
    paid = int((accepted * book.limit_micro_per_kwh).sum())
    return Clearing(accepted, book.limit_micro_per_kwh, (None,), paid, welfare)


@kills("surplus_stated", 2, "but a surplus of 0 is declared", budget_balance="weak")
def hides_its_surplus(book: OrderBook, rules: MarketRules) -> Clearing:
    return at_price(auction(book, rules), book.limit_micro_per_kwh)


@kills("welfare_stated", 0, "is declared")
def boasts_of_welfare(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    return replace(clearing, welfare_nano=clearing.welfare_nano + 1)


@kills("price_stated", 0, "nothing trades, but there is a price")
def invents_a_price(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    return clearing if clearing.traded_wh(book) else replace(clearing, node_price=(PriceInterval(0, 0, 0),))


@kills("pairs", 2, "the trades of order a1 add up to 999 Wh")
def loses_a_watt_hour_in_its_pairs(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    rows = [np.flatnonzero((book.side == side) & (clearing.accepted_wh > 0)) for side in (1, -1)]
    if len(rows[0]) != 1 or len(rows[1]) != 1:
        return clearing
    energy = clearing.accepted_wh[rows[0]] - 1
    return replace(clearing, trades=Trades(*rows, energy, clearing.price_micro_per_kwh[rows[0]]))


@kills("certificate", 0, "recomputed it is")
def forges_a_certificate(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = clear_exact(book, rules)
    assert clearing.certificate is not None
    return replace(clearing, certificate=replace(clearing.certificate, gap_nano=-1))


class _Sure(MilpGap):
    """Says that it holds, whatever its numbers are."""

    holds = True


@kills("certificate", 2, "but 0.09 more welfare is possible")
def calls_nothing_the_optimum(book: OrderBook, rules: MarketRules) -> Clearing:
    return replace(no_trade(book), certificate=_Sure(0, 1))


@kills("certificate", 0, "which proves nothing")
def states_a_certificate_of_its_own(book: OrderBook, rules: MarketRules) -> Clearing:
    return replace(clear_exact(book, rules), certificate=SimpleNamespace(holds=True))


_calls = count()


@kills("repeatable", 2, "give another price_micro_per_kwh the next time", uniform_price=True)
def changes_its_mind(book: OrderBook, rules: MarketRules) -> Clearing:
    return auction(book, replace(rules, k_ppm=[0, 1_000_000][next(_calls) % 2]))


_last: list[Any] = [None, 0]


@kills("repeatable", 2, "the same book and rules give another price_micro_per_kwh")
def remembers_the_last_book(book: OrderBook, rules: MarketRules) -> Clearing:
    if _last[0] != book.limit_micro_per_kwh.tolist():
        _last[:] = [book.limit_micro_per_kwh.tolist(), (_last[1] + 500_000) % 1_500_000]
    return auction(book, replace(rules, k_ppm=_last[1]))


@kills("listing", 3, "under other ids gives another accepted_wh")
def serves_by_id(book: OrderBook, rules: MarketRules) -> Clearing:
    return in_turn(book, np.array([str(i) for i in book.ids]))


@kills("arrival", 3, "another order of arrival gives another accepted_wh")
def serves_by_arrival(book: OrderBook, rules: MarketRules) -> Clearing:
    return in_turn(book, book.sequence)


def in_turn(book: OrderBook, key: Any) -> Clearing:
    """The first bid with the first offer that fits, at the offer's limit, whole orders as far as they go."""
    turn = np.argsort(key, kind="stable").tolist()
    left, found = book.energy_wh.copy(), []
    for b in (row for row in turn if book.side[row] > 0):
        for s in (row for row in turn if book.side[row] < 0):
            energy = int(min(left[b], left[s]))
            if energy and book.limit_micro_per_kwh[b] >= book.limit_micro_per_kwh[s]:
                found.append((b, s, energy, int(book.limit_micro_per_kwh[s])))
                left[[b, s]] -= energy
    if not found:
        return no_trade(book)
    return of_trades(book, Trades(*np.array(found, dtype=np.int64).T))


# ---- broken promises


@kills("individually_rational", 2, "its limit is")
def pays_beyond_the_limit(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    one = clearing.node_price[0]
    return clearing if one is None else at_price(clearing, np.full(len(book), one.hi + 1), node_price=(None,))


@kills("individually_rational", 2, "its energy is worth", budget_balance="weak", no_worse_than_retailer=False)
def takes_a_fee_beyond_the_value(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    gain = book.side * clearing.accepted_wh * (book.limit_micro_per_kwh - clearing.price_micro_per_kwh)
    charge = (gain + 1) * (clearing.accepted_wh > 0)
    return replace(clearing, charge_nano=charge, operator_surplus_nano=int(charge.sum()))


@kills("no_worse_than_retailer", 2, "the retailer's terms make it", individually_rational=False)
def asks_more_than_the_retailer(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    if rules.retail_micro_per_kwh is None or not clearing.traded_wh(book):
        return clearing
    return at_price(clearing, np.full(len(book), rules.retail_micro_per_kwh + 1), node_price=(None,))


@kills("budget_balance", 2, "the operator keeps")
def keeps_the_spread(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = at_price(auction(book, rules), book.limit_micro_per_kwh, node_price=(None,))
    return replace(clearing, operator_surplus_nano=int(clearing.payment_nano(book).sum()))


@kills("budget_balance", 2, "the operator adds", budget_balance="weak")
def gives_a_rebate(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    charge = -1 * (clearing.accepted_wh > 0).astype(np.int64)
    return replace(clearing, charge_nano=charge, operator_surplus_nano=int(charge.sum()))


@kills("uniform_price", 2, "is stated as the one price", uniform_price=True, budget_balance="weak")
def pays_as_bid_and_calls_it_uniform(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = at_price(auction(book, rules), book.limit_micro_per_kwh)
    return replace(clearing, operator_surplus_nano=int(clearing.payment_nano(book).sum()))


@kills("efficient", 2, "is possible", efficient=True)
def trades_half(book: OrderBook, rules: MarketRules) -> Clearing:
    clearing = auction(book, rules)
    half = clearing.accepted_wh // 2
    if int((book.side * half).sum()) or not half.any():
        return no_trade(book)
    return replace(
        clearing, accepted_wh=half, welfare_nano=int((book.side * half * book.limit_micro_per_kwh).sum())
    )


@kills("local_market", 2, "trade between members", local_market=False)
def trades_though_there_is_no_market(book: OrderBook, rules: MarketRules) -> Clearing:
    return auction(book, rules)


@kills("truthful", 2, "participant a gains", truthful=True)
def calls_an_auction_truthful(book: OrderBook, rules: MarketRules) -> Clearing:
    return auction(book, rules)


@kills("truthful", 2, "gains", truthful=True, truthful_for="unit_orders")
def calls_it_truthful_for_units(book: OrderBook, rules: MarketRules) -> Clearing:
    return auction(book, rules)


def by_name(name: str) -> Mechanism:
    """The mutant of this name."""
    return next(mutant.mechanism for mutant in ALL if mutant.mechanism.name == name)
