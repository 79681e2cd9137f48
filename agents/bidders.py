"""The homes of one strategy: what they see, their state, and what they order, which is checked here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.bidding import STRATEGIES, Limits, Orders, Strategy, View
from agents.errors import InvalidOrders
from agents.rules import AgentRules
from agents.state import State, is_whole, kept
from market.orders import MAX_ORDERS
from market.random import splitmix64
from market.rounds import Tape
from market.units import IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Round:
    """What homes know when a later round of an interval's market opens, or after the last.

    Args:
        number: Of the round that opens, from 1; the number of rounds after the last.
        tape: All orders of the earlier rounds.
        bought_wh: Bought less sold in them, per home of the community. [Wh]
    """

    number: int
    tape: Tape
    bought_wh: IntArray


@dataclass(slots=True, eq=False)
class Bidders:
    """The homes of one strategy.

    Args:
        places: Their rows in the community.
        homes: Their indices in the roster.
        columns: Names of what they remember before the first interval.
        view: What they saw last.
    """

    strategy: Strategy
    places: IntArray
    homes: IntArray
    state: State
    columns: frozenset[str]
    view: View | None = None

    def keep(self, state: Any) -> None:
        """Take over a state that the strategy returned, in a `held` block."""
        self.state = kept(state, len(self.homes))

    def order(self, view: View) -> Orders:
        """The homes' orders, with their indices in the roster in place of their rows.

        Raises:
            InvalidOrders: The strategy returns what is no orders of its homes.
        """
        self._see(view)
        with STRATEGIES.held(self.strategy):
            orders = self.strategy.bid(self.state, view)
            self._check_columns(orders)
        self._check_homes(orders)
        columns = orders.side, orders.energy_wh, orders.limit_micro_per_kwh
        return Orders(self.homes[orders.home], *columns)

    def limits(self, view: View) -> Limits:
        """The homes' limits, where quantities come from the meters."""
        name, limits = self.strategy.name, self.strategy.limits
        assert limits is not None, "refused before"
        self._see(view)
        with STRATEGIES.held(self.strategy):
            buy, sell = limits(self.state, view)
            if not all(is_whole(side, (len(self.homes),)) for side in (buy, sell)):
                raise InvalidOrders(
                    f"bidding strategy {name!r} states limits that are not one whole number per home"
                )
        return buy, sell

    def order_again(self, opened: Round) -> Orders:
        """The homes' orders of a later round."""
        return self.order(self._later_view(opened))

    def see_the_end(self, over: Round) -> None:
        """Show the homes the last round."""
        if self.strategy.look is not None:
            self._see(self._later_view(over))

    def _see(self, view: View) -> None:
        self.view = view
        if self.strategy.look is not None:
            with STRATEGIES.held(self.strategy):
                self.keep(self.strategy.look(self.state, view))

    def _later_view(self, opened: Round) -> View:
        """The view of the interval in a later round: what is left of the plan, and other random words."""
        view = self.view
        assert view is not None, "the first round comes first"
        bought_wh = opened.bought_wh[self.places]
        more_wh = bought_wh if view.bought_wh is None else bought_wh - view.bought_wh
        rest_wh, words = view.net_wh - more_wh, splitmix64(view.words + np.uint64(opened.number))
        quantiles_wh = None if view.quantiles_wh is None else view.quantiles_wh - more_wh
        planned_at = view.planned_at
        for column in (bought_wh, rest_wh, words):
            column.flags.writeable = False
        return replace(
            view,
            net_wh=rest_wh,
            quantiles_wh=quantiles_wh,
            planned_at=None if planned_at is None else lambda prices: planned_at(prices).less(more_wh),
            words=words,
            round=opened.number,
            bought_wh=bought_wh,
            tape=opened.tape,
        )

    def _check_columns(self, orders: Orders) -> None:
        name = self.strategy.name
        columns = (orders.home, orders.side, orders.energy_wh, orders.limit_micro_per_kwh)
        if not all(is_whole(column, (column.size,)) for column in columns):
            raise InvalidOrders(
                f"bidding strategy {name!r} returns columns that are not whole numbers in one row"
            )
        if not np.isin(orders.side, (1, -1)).all():
            raise InvalidOrders(
                f"bidding strategy {name!r} returns a side that is neither 1 (buy) nor -1 (sell)"
            )
        if len({len(column) for column in columns}) > 1:
            lengths = ", ".join(str(len(column)) for column in columns)
            raise InvalidOrders(
                f"bidding strategy {name!r} returns columns of {lengths} rows; give each order one row in all four"
            )

    def _check_homes(self, orders: Orders) -> None:
        name, home, homes = self.strategy.name, orders.home, len(self.homes)
        rising = bool((home[1:] > home[:-1]).all())  # as one order a home comes, which needs no search
        low, high = (0, 0) if not len(home) else (home[0], home[-1]) if rising else (home.min(), home.max())
        if len(home) and not 0 <= low <= high < homes:
            raise InvalidOrders(f"bidding strategy {name!r} orders for homes that are not 0 to {homes - 1}")
        most = 1 if rising else int(np.bincount(home, orders.energy_wh > 0).max(initial=0))
        if most > 1 and not self.strategy.several_orders:
            raise InvalidOrders(
                f"bidding strategy {name!r} places several orders for one home; register it with several_orders=True"
            )
        if most > MAX_ORDERS:
            raise InvalidOrders(
                f"bidding strategy {name!r} places {most} orders for one home; an interval takes at most {MAX_ORDERS}"
            )


def grouped(strategies: Sequence[str], members: IntArray, rules: AgentRules) -> list[Bidders]:
    """The homes of each strategy, before the first interval.

    Args:
        strategies: Name of each home's strategy.
        members: Index of each home in the roster.
    """
    names = np.array(strategies)
    groups = []
    for name in sorted(set(strategies)):
        places = np.flatnonzero(names == name)
        strategy, homes = STRATEGIES.get(name), members[places]
        with STRATEGIES.held(strategy):
            state = kept(strategy.start(homes, rules), len(homes))
        groups.append(Bidders(strategy, places, homes, state, frozenset(state)))
    return groups


def view_of(view: View, places: IntArray) -> View:
    """The same view for some of its homes: nothing of the others is in it."""
    planned_at = view.planned_at
    return replace(
        view,
        known=view.known.of_homes(places),
        net_wh=view.net_wh[places],
        forecast=None if view.forecast is None else view.forecast.of_homes(places),
        plan={name: column[places] for name, column in view.plan.items()},
        words=view.words[places],
        homes=view.homes[places],
        stored_ppm=None if view.stored_ppm is None else view.stored_ppm[places],
        planned_at=None if planned_at is None else lambda prices: planned_at(prices).of_homes(places),
        values=None if view.values is None else (view.values[0][places], view.values[1][places]),
    )


def joined(parts: Sequence[Orders]) -> Orders:
    """All orders, by home; those of one home stay in their order."""
    if len(parts) == 1:
        return parts[0]
    home = np.concatenate([part.home for part in parts])
    rows = np.argsort(home, kind="stable")
    return Orders(
        home[rows],
        np.concatenate([part.side for part in parts])[rows],
        np.concatenate([part.energy_wh for part in parts])[rows],
        np.concatenate([part.limit_micro_per_kwh for part in parts])[rows],
    )
