"""The market as a game: what a home would have gained by other orders than its own.

An interval is cleared and settled again with the deviating orders. Where homes react to what they trade, or the market
clears a horizon, whatever one of them orders changes what all do from then on, so the whole run is lived again;
otherwise meters do not change.
Deviations are a short list, so every gain is a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agents.bidding import Orders
from agents.community import Community
from agents.neighbourhood import Neighbourhood
from market.book import OrderBook
from market.clearing import Clearing
from market.settlement.accounts import TRADE
from market.settlement.baseline import baseline_nano
from market.settlement.imbalance import ImbalanceRule
from market.settlement.tariff import IntervalPrices
from market.units import BoolArray, IntArray
from wattswap.check.ahead import Ahead
from wattswap.check.deviations import Deviation, joined, of_home, same
from wattswap.errors import UsageError
from wattswap.runs.books import closed_book, columns_of
from wattswap.runs.interval import clear_book, posted, read_meters, sent_orders, step
from wattswap.runs.prepare import Setup

Chosen = Mapping[int, Deviation]
"""Deviating homes by their index in the roster."""
Credited = list[IntArray]
"""What each home is credited in each interval, and at the end for what it has stored. [nano-currency]"""


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """One interval of the game: outside prices, the orders of all homes sorted by home, the meters, who takes part."""

    prices: IntervalPrices
    orders: Orders
    import_wh: IntArray
    export_wh: IntArray
    takes_part: BoolArray

    def deviating(self, chosen: Chosen) -> list[Orders]:
        """The orders of the deviating homes; one that is no member has none, whatever it would do."""
        return [
            d.of(home, own, self.prices) if self.takes_part[home] else own
            for home, d in chosen.items()
            for own in (of_home(self.orders, home),)
        ]

    @property
    def turnover_nano(self) -> IntArray:
        """Import, with its grid fee, and export of each home at the outside prices, without signs. [nano-currency]"""
        prices = self.prices
        bought = abs(prices.import_micro_per_kwh + prices.grid_fee_remote_micro_per_kwh)
        return self.import_wh * bought + self.export_wh * abs(prices.feed_in_micro_per_kwh)


class Game:
    """A scenario as a game between its homes, each of which may replace its own orders.

    Args:
        setup: The prepared scenario, of homes that do not react to what they trade.

    Attributes:
        moments: The intervals with the homes' own orders.

    Raises:
        UsageError: See `homes_of`.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup, community = setup, homes_of(setup)
        self.moments: list[Moment] = []
        for i in range(setup.intervals):
            orders, meters = joined(sent_orders(setup, community, i)), read_meters(setup, community, i)
            part = setup.takes_part(i)
            self.moments.append(Moment(setup.prices.at(i), orders, meters.import_wh, meters.export_wh, part))

    @cached_property
    def turnover_nano(self) -> IntArray:
        """Import, with its grid fee, and export of each home at the outside prices, without signs. [nano-currency]"""
        return turnover_of(self.moments)

    def baseline_nano(self, i: int) -> IntArray:
        """What each home would be credited without a market in the i-th interval. [nano-currency]"""
        moment = self.moments[i]
        return baseline_nano(moment.import_wh, moment.export_wh, moment.prices)

    def credited_nano(self, i: int, orders: Orders, rule: ImbalanceRule | None = None) -> IntArray:
        """What each home is credited in the i-th interval with these orders. [nano-currency]"""
        setup, moment = self.setup, self.moments[i]
        net_wh = moment.import_wh - moment.export_wh
        book = closed_book(setup, i, *columns_of(orders), net_wh=net_wh)
        return settled_nano(setup, i, book, clear_book(setup, i, book)[0], moment, rule)

    def honest(self, rule: ImbalanceRule | None = None) -> Credited:
        """What each home is credited in each interval with its own orders. [nano-currency]"""
        return [self.credited_nano(i, moment.orders, rule) for i, moment in enumerate(self.moments)]

    def ordered_wh(self, chosen: Chosen) -> int:
        """All energy that is ordered when some homes deviate. [Wh]"""
        total = sum(int(moment.orders.energy_wh.sum()) for moment in self.moments)
        for moment in self.moments:
            for home, new in zip(chosen, moment.deviating(chosen), strict=True):
                total += int(new.energy_wh.sum()) - int(of_home(moment.orders, home).energy_wh.sum())
        return total

    def plays(
        self, before: Credited, others: Chosen, each: Sequence[Chosen], rule: ImbalanceRule | None = None
    ) -> Iterator[Credited]:
        """What each home is credited in each interval by each of several choices, one after the other.

        Args:
            before: The same with `others` alone, from which intervals that do not change are taken. [nano-currency]
            others: Homes that deviate in all of them.
            each: Homes that deviate beside them, or instead of what they chose among them.
            rule: How imbalances are settled; as the scenario says when left out.
        """
        for chosen in each:
            yield self.credited_by_interval(before, others, chosen, rule)

    def credited_by_interval(
        self, before: Credited, others: Chosen, chosen: Chosen, rule: ImbalanceRule | None = None
    ) -> Credited:
        """What each home is credited in each interval by one choice; see `plays`."""
        credited = list(before)
        for i, moment in enumerate(self.moments):
            new = moment.deviating(chosen)
            old = [
                moment.deviating({home: others[home]})[0] if home in others else of_home(moment.orders, home)
                for home in chosen
            ]
            if all(map(same, new, old)):
                continue
            still = {home: d for home, d in others.items() if home not in chosen}
            credited[i] = self.credited_nano(i, _with(moment, {**still, **chosen}), rule)
        return credited


class LivedGame:
    """The same game between homes that react to what they trade: each choice is a whole run of its own.

    The contents of devices differ from the first deviation on, and so do later orders and meters, also those of
    homes that do not deviate. What a home has stored at the end counts at the value that its plan puts on it: a home
    that has bought less would otherwise seem to gain by an empty battery.

    Args:
        setup: The prepared scenario.

    Attributes:
        moments: The intervals of the run in which nobody deviates.

    Raises:
        UsageError: See `homes_of`.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup, self._community = setup, homes_of(setup)
        (own,) = self._lived([{}], None)
        self.moments, self._own = own.moments, own.credited

    @cached_property
    def turnover_nano(self) -> IntArray:
        """Import, with its grid fee, and export of each home at the outside prices, without signs. [nano-currency]"""
        return turnover_of(self.moments)

    def honest(self, rule: ImbalanceRule | None = None) -> Credited:
        """What each home is credited with its own orders. [nano-currency]"""
        return self._own if rule is None else self._lived([{}], rule)[0].credited

    def ordered_wh(self, chosen: Chosen) -> int:
        """All energy that is ordered when some homes deviate. [Wh]"""
        (life,) = self._lived([chosen], None)
        return sum(int(moment.orders.energy_wh.sum()) for moment in life.moments)

    def plays(
        self, before: Credited, others: Chosen, each: Sequence[Chosen], rule: ImbalanceRule | None = None
    ) -> Iterator[Credited]:
        """See `Game.plays`; nothing is taken from before."""
        for life in self._lived([{**others, **chosen} for chosen in each], rule):
            yield life.credited

    def _lived(self, each: Sequence[Chosen], rule: ImbalanceRule | None) -> list[_Life]:
        """Live the run by each of several choices, side by side: what their plans have in common is computed once."""
        lives = [_Life(self.setup, self._community, chosen, rule) for chosen in each]
        for i in range(self.setup.intervals):
            for life in lives:
                life.live(i)
        for life in lives:
            life.credited.append(life.community.worth_nano())
        return lives


class _Life:
    """A run in which some homes deviate."""

    def __init__(
        self, setup: Setup, community: Community, chosen: Chosen, rule: ImbalanceRule | None
    ) -> None:
        self.setup, self.chosen, self.rule = setup, chosen, rule
        self._ahead = Ahead(setup, chosen) if setup.looks_ahead else None
        self.community = community.again(None if self._ahead is None else self._ahead.otherwise)
        self.moments: list[Moment] = []
        self.credited: Credited = []

    def live(self, i: int) -> None:
        """Live the i-th interval."""
        nothing = np.zeros(len(self.setup.roster), dtype=np.int64)
        sent: list[Orders] = []

        def instead(orders: Orders) -> Orders:
            own = Moment(self.setup.prices.at(i), joined(orders), nothing, nothing, self.setup.takes_part(i))
            sent.append(_with(own, self.chosen))
            return sent[0]

        if self._ahead is None:
            record = step(self.setup, self.community, i, instead=instead)
        else:
            self._ahead.begin(i)
            record = step(self.setup, self.community, i)
            sent.append(self._ahead.sent)
        part = self.setup.takes_part(i)
        moment = Moment(record.prices.main, sent[0], record.import_wh, record.export_wh, part)
        self.moments.append(moment)
        self.credited.append(settled_nano(self.setup, i, record.book, record.clearing, moment, self.rule))


def game_of(setup: Setup) -> Game | LivedGame:
    """The game that a scenario is.

    Raises:
        UsageError: See `homes_of`.
    """
    return LivedGame(setup) if setup.reacts or setup.looks_ahead else Game(setup)


def homes_of(setup: Setup) -> Community:
    """The homes, whose later orders may not follow from what the market showed them, which a deviation would change.

    Raises:
        UsageError: Strategies or controllers learn from results, the market has several rounds, or homes have several
            retailers or a battery in common.
    """
    if setup.store is not None:
        what = "moves with the needs of all homes, and deviations are tried in one interval by itself"
        raise UsageError.of("community.battery", what, "check the market without it")
    community = setup.community()
    if isinstance(community, Neighbourhood):
        what = "gives homes several retailers, and deviations are tried at the prices of one"
        raise UsageError.of("homes.tariffs", what, "check the market with one tariff")
    if setup.scenario.market.rounds > 1:
        what = f"is {setup.rounds}: homes order again after what a deviation would change"
        raise UsageError.of("market.rounds", what, "check the market with one round")
    if community.remembers:
        cure = "choose a strategy and a controller that do not learn"
        raise UsageError.of("homes.strategy", "learns from results, which a deviation would change", cure)
    return community


def turnover_of(moments: Sequence[Moment]) -> IntArray:
    """Import, with its grid fee, and export of each home over some intervals, without signs. [nano-currency]"""
    total: IntArray = np.sum([moment.turnover_nano for moment in moments], axis=0)
    return total


def settled_nano(
    setup: Setup, i: int, book: OrderBook, clearing: Clearing, moment: Moment, rule: ImbalanceRule | None
) -> IntArray:
    """What each home is credited for a clearing of the i-th interval and its meters. [nano-currency]"""
    postings = posted(setup, i, book, clearing, moment.import_wh, moment.export_wh, rule)
    credited: IntArray = postings.lines[: postings.members, TRADE:].sum(axis=1)
    return credited


def _with(moment: Moment, chosen: Chosen) -> Orders:
    """The orders of all homes of which some deviate."""
    away = np.isin(moment.orders.home, [*chosen])
    return joined(moment.orders.of_rows(~away), *moment.deviating(chosen))
