"""A market of the laboratory: traders of one unit with private values, day after day, through the product's own rounds.

A day is an interval; a unit is 1 kWh. In every round each trader who has not traded orders again, all orders of a round
arrive in random order, and one that is not replaced stands until the day is over.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import market.mechanisms  # noqa: F401  (registers them)
from agents.bidders import Bidders, Round, grouped
from agents.bidding import Orders, OwnResults, View
from agents.rules import AgentRules, Known, local_minutes
from market.auctions.uniform import clear_exact
from market.book import OrderBook
from market.clearing import Clearing
from market.mechanism import MECHANISMS
from market.random import interval_seed, random_words, words_of
from market.rounds import ROUND, Session
from market.rules import MarketRules
from market.settlement.tariff import IntervalPrices, OutsidePrices, flat
from market.units import IntArray

UNIT_WH = 1_000
DAY_S = 86_400


@dataclass(frozen=True, eq=False)
class Traders:
    """Private values of buyers and costs of sellers, and the range of prices that everybody knows. [micro per kWh]"""

    values: IntArray
    costs: IntArray
    lowest: int
    highest: int
    energy_wh: IntArray | None = None

    @property
    def side(self) -> IntArray:
        """+1 of the buyers, who come first, -1 of the sellers."""
        return np.repeat([1, -1], [len(self.values), len(self.costs)])

    @property
    def net_wh(self) -> IntArray:
        """What each would buy (positive) or sell. [Wh]"""
        units = np.full(len(self.side), UNIT_WH) if self.energy_wh is None else self.energy_wh
        return self.side * units

    @property
    def worth(self) -> IntArray:
        """The value or cost of each."""
        return np.concatenate((self.values, self.costs))

    @cached_property
    def most_nano(self) -> int:
        """The most that all can gain together."""
        return clear_exact(self.book(), MarketRules()).welfare_nano

    @property
    def all_nano(self) -> int:
        """What all gain together where every unit trades."""
        return int(self.net_wh @ self.worth)

    def book(self) -> OrderBook:
        """Their orders if all bid their values."""
        who = np.arange(len(self.side))
        return OrderBook.from_columns(who, self.side.astype(np.int8), np.abs(self.net_wh), self.worth)


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """What came of a day: its orders, its clearing, and the gain from trade at true values."""

    traders: Traders
    book: OrderBook
    clearing: Clearing
    gain_nano: int

    @property
    def units(self) -> int:
        """Units that were traded."""
        return self.clearing.traded_wh(self.book) // UNIT_WH

    def alpha(self, equilibrium: float) -> float:
        """Smith's alpha: the standard deviation of trade prices from the equilibrium price, in percent of it."""
        trades = self.clearing.trades
        if trades is None:
            return float("nan")
        prices = trades.price_micro_per_kwh
        return 100 * float(np.sqrt(np.mean((prices - equilibrium) ** 2))) / equilibrium


class Classroom:
    """Traders who all bid by one strategy, day after day.

    Args:
        rounds: Of each day.
        mechanism: That clears them.
    """

    def __init__(
        self, traders: Traders, strategy: str, rounds: int, seed: int, mechanism: str = "continuous"
    ) -> None:
        self.traders, self._seed, self._day, self._mechanism = traders, seed, 0, MECHANISMS.get(mechanism)
        self._members = np.arange(len(traders.side))
        rules = AgentRules(strategy=strategy, rounds=rounds, seed=seed)
        (self._bidders,) = grouped([strategy] * len(self._members), self._members, rules)
        self._rounds = rounds

    @property
    def bidders(self) -> Bidders:
        """The traders as the product sees them."""
        return self._bidders

    def day(self) -> Day:
        """Trade for a day."""
        start_s, traders = self._day * DAY_S, self.traders
        self._day += 1
        session = Session(self._mechanism, MarketRules(seed=interval_seed(self._seed, start_s)))
        orders = self._bidders.order(self.view(start_s))
        for number in range(1, self._rounds + 1):
            session.clear(self.book(orders, start_s, session.rounds))
            opened = Round(number, session.tape(), session.bought_wh(len(self._members)))
            if number < self._rounds:
                orders = self._bidders.order_again(opened)
        self._bidders.see_the_end(opened)
        book, clearing = session.book, session.clearing()
        self._learn(start_s, book, clearing)
        gain_nano = int((book.side * clearing.accepted_wh * traders.worth[book.participant]).sum())
        return Day(traders, book, clearing, gain_nano)

    def days(self, number: int) -> list[Day]:
        """Trade for several days."""
        return [self.day() for _ in range(number)]

    def _learn(self, start_s: int, book: OrderBook, clearing: Clearing) -> None:
        learn = self._bidders.strategy.learn_own
        if learn is None:
            return
        bought, sold, paid = np.zeros((3, len(self._members)), dtype=np.int64)
        buys = book.side > 0
        np.add.at(bought, book.participant[buys], clearing.accepted_wh[buys])
        np.add.at(sold, book.participant[~buys], clearing.accepted_wh[~buys])
        np.add.at(paid, book.participant, clearing.payment_nano(book))
        results = OwnResults(
            start_s=start_s, bought_wh=bought, sold_wh=sold, payment_nano=paid, price=clearing.node_price[0]
        )
        self._bidders.keep(learn(self._bidders.state, results))

    def book(self, orders: Orders, start_s: int, number: int) -> OrderBook:
        """The book of a round, in an order of arrival that is drawn for it."""
        some = orders.of_rows(orders.energy_wh > 0)
        draw = words_of(interval_seed(self._seed, number), start_s, some.home)
        sequence = number * ROUND + np.argsort(np.argsort(draw, kind="stable"), kind="stable")
        columns = some.home, some.side, some.energy_wh, some.limit_micro_per_kwh
        return OrderBook.from_columns(*columns, sequence=sequence)

    def view(self, start_s: int) -> View:
        """What the traders see at the start of a day."""
        traders = self.traders
        nothing = np.zeros((0, len(self._members)), dtype=np.int64)
        prices = IntervalPrices(traders.highest, traders.lowest)
        known = Known(
            knowledge_s=start_s,
            start_s=start_s,
            minutes=24 * 60,
            days=1,
            net_wh=nothing,
            zone="UTC",
            local_minute=local_minutes(start_s, 24 * 60, 1, "UTC"),
            tariff=OutsidePrices(flat(traders.highest, 1), flat(traders.lowest, 1)),
            tariff_row=0,
        )
        return View(
            known=known,
            prices=prices,
            net_wh=traders.net_wh,
            forecast=None,
            traded=0,
            plan={},
            words=random_words(self._seed, start_s, self._members),
            homes=self._members,
            rounds=self._rounds,
            values=(traders.worth, traders.worth),
            start_s=start_s,
        )


def symmetric(traders: int = 11) -> Traders:
    """Values 325, 300, .. 75 and costs 75, 100, .. 325: the equilibrium price is 200."""
    costs = 1_000 * (75 + 250 * np.arange(traders) // (traders - 1))
    return Traders(costs[::-1].copy(), costs, 75_000, 325_000)


def flat_supply(traders: int = 11) -> Traders:
    """The same values, and all costs 200."""
    return Traders(symmetric(traders).values, np.full(traders, 200_000), 75_000, 325_000)


def drawn(seed: int, traders: int = 11) -> Traders:
    """Values and costs drawn evenly from 80 to 320."""
    random = np.random.default_rng(seed)
    values, costs = 1_000 * random.integers(80, 321, (2, traders))
    return Traders(values, costs, 75_000, 325_000)


def equilibrium(traders: Traders) -> float:
    """The middle of the prices that clear the market. [micro per kWh]"""
    price = clear_exact(traders.book(), MarketRules()).node_price[0]
    assert price is not None
    return (price.lo + price.hi) / 2


def share_percent(days: Sequence[Day]) -> float:
    """What was gained of the most that could be gained, over all these days. [percent]"""
    return 100 * sum(day.gain_nano for day in days) / sum(day.traders.most_nano for day in days)


# By relative concentration (sellers over buyers) and relative capacity (of all buyers over that of all sellers).
GRID = {
    (rcon, rcap): (sellers, buyers, sell_wh, buy_wh)
    for rcon, sellers, buyers, capacities in (
        (2, 6, 3, {0.5: (10, 10), 1: (10, 20), 2: (10, 40)}),
        (1, 3, 3, {0.5: (20, 10), 1: (10, 10), 2: (10, 20)}),
        (0.5, 3, 6, {0.5: (40, 10), 1: (20, 10), 2: (10, 10)}),
    )
    for rcap, (sell_wh, buy_wh) in capacities.items()
}


def wholesale(sellers: int, buyers: int, sell: int, buy: int) -> Traders:
    """The electricity market of the grid: buyers worth 37, 17 and 12, sellers that cost 35, 16 and 11, in turn.

    Values, costs, capacities and numbers are those of an independent program that repeats the paper (JASA by S. Phelps,
    `ElectricityAuctionSimulation`), read in its source; the paper itself was not at hand. That prices lie between 0 and
    40 is decided here.
    """
    values, costs = (1_000 * np.resize(of, n) for of, n in (((37, 17, 12), buyers), ((35, 16, 11), sellers)))
    energy = np.repeat([buy * UNIT_WH, sell * UNIT_WH], [buyers, sellers])
    return Traders(values.astype(np.int64), costs.astype(np.int64), 0, 40_000, energy)
