"""The market as a game: what a home would have gained by other orders than its own, everything else unchanged.

An interval is cleared and settled again with the deviating orders. Meters do not change: homes that order something
else still use what they use. Deviations are a short list, so every gain is a lower bound.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from agents.bidding import Orders
from market.settlement.accounts import TRADE
from market.settlement.baseline import baseline_nano
from market.settlement.imbalance import ImbalanceRule
from market.settlement.settle import settle
from market.settlement.tariff import IntervalPrices
from market.units import BoolArray, IntArray
from wattswap.check.deviations import Deviation, joined, of_home, same
from wattswap.errors import UsageError
from wattswap.runs.interval import (
    arrival_order,
    clear_book,
    closed_book,
    columns_of,
    read_meters,
    sent_orders,
)
from wattswap.runs.prepare import Setup

Chosen = Mapping[int, Deviation]
"""Deviating homes by their index in the roster."""


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


class Game:
    """A scenario as a game between its homes, each of which may replace its own orders.

    Args:
        setup: The prepared scenario.

    Raises:
        UsageError: A strategy learns from results, or a controller reacts to them, which a deviation would change, or
            the market has several rounds, or homes have several retailers.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup, community = setup, setup.community()
        if community.reacts:
            cure = "choose a controller that does not react to what was agreed"
            raise UsageError.of("homes.control", "reacts to results, which a deviation would change", cure)
        if setup.tariffs.several:
            what = "give homes several retailers, and deviations are tried at the prices of one"
            raise UsageError.of("homes.tariffs", what, "check the market with one tariff")
        if setup.rounds > 1:
            what = f"is {setup.rounds}: homes order again after what a deviation would change"
            raise UsageError.of("market.rounds", what, "check the market with one round")
        if community.learns:
            cure = "choose a strategy that does not learn"
            raise UsageError.of("homes.strategy", "learns from results, which a deviation would change", cure)
        self.moments: list[Moment] = []
        for i in range(setup.intervals):
            orders, meters = joined(sent_orders(setup, community, i)), read_meters(setup, community, i)
            part = setup.takes_part(i)
            self.moments.append(Moment(setup.prices.at(i), orders, meters.import_wh, meters.export_wh, part))

    @cached_property
    def turnover_nano(self) -> IntArray:
        """Import, with its grid fee, and export of each home at the outside prices, without signs. [nano-currency]"""
        total = np.zeros(len(self.setup.roster), dtype=np.int64)
        for moment in self.moments:
            prices = moment.prices
            total += moment.import_wh * abs(
                prices.import_micro_per_kwh + prices.grid_fee_remote_micro_per_kwh
            )
            total += moment.export_wh * abs(prices.feed_in_micro_per_kwh)
        return total

    def baseline_nano(self, i: int) -> IntArray:
        """What each home would be credited without a market in the i-th interval. [nano-currency]"""
        moment = self.moments[i]
        return baseline_nano(moment.import_wh, moment.export_wh, moment.prices)

    def credited_nano(self, i: int, orders: Orders, rule: ImbalanceRule | None = None) -> IntArray:
        """What each home is credited in the i-th interval with these orders. [nano-currency]"""
        setup, moment = self.setup, self.moments[i]
        rule = rule or setup.imbalance_rule
        net_wh = moment.import_wh - moment.export_wh
        book = closed_book(setup, i, *columns_of(orders), net_wh=net_wh)
        postings = settle(
            book,
            clear_book(setup, i, book)[0],
            moment.import_wh,
            moment.export_wh,
            moment.prices,
            rule=rule,
            weight_wh=setup.weight_wh(i) if rule.needs_weights else None,
            takes_part=moment.takes_part,
            rank=arrival_order(setup.seed, setup.start_of(i), setup.members) if rule.netted else None,
        )
        credited: IntArray = postings.lines[: postings.members, TRADE:].sum(axis=1)
        return credited

    def honest(self, rule: ImbalanceRule | None = None) -> list[IntArray]:
        """What each home is credited in each interval with its own orders. [nano-currency]"""
        return [self.credited_nano(i, moment.orders, rule) for i, moment in enumerate(self.moments)]

    def credited_by_interval(
        self, before: list[IntArray], others: Chosen, chosen: Chosen, rule: ImbalanceRule | None = None
    ) -> list[IntArray]:
        """What each home is credited in each interval when some homes deviate.

        Args:
            before: The same with `others` alone, from which intervals that do not change are taken. [nano-currency]
            others: Homes that deviate in both.
            chosen: Homes that deviate beside them, or instead of what they chose among them.
        """
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
            away = np.isin(moment.orders.home, [*still, *chosen])
            orders = joined(moment.orders.of_rows(~away), *moment.deviating(still), *new)
            credited[i] = self.credited_nano(i, orders, rule)
        return credited
