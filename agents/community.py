"""The homes of a neighbourhood, vectorised: forecast, plan, bid, then simulate the interval and read the meters.

A community of one home gives the same numbers as that home in a community of a thousand; a live home's node is a
community of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from agents.bidders import Bidders, Round, grouped, joined, view_of
from agents.bidding import (
    STRATEGIES,
    Limits,
    Orders,
    Outcome,
    OwnResults,
    Quotes,
    View,
    refuse_without_limits,
)
from agents.energy_rows import net_of
from agents.errors import reading_snapshot
from agents.flexibility import Otherwise, Schedule, Submitted
from agents.forecast import PERFECT_FORESIGHT, Forecast
from agents.forecasts import Forecasts
from agents.meters import ALONE, Meters, registers
from agents.mixed import MixedForecasts, forecasts_of
from agents.operation import Operation, Projected
from agents.readings import Readings
from agents.residuals import Spread
from agents.response import Response
from agents.rules import AgentRules, Known, Weather
from agents.state import State, from_json, to_json
from market.book import OrderBook
from market.clearing import Clearing
from market.random import random_words
from market.settlement.tariff import AnyPrices, OutsidePrices
from market.units import BoolArray, IntArray

Ahead = tuple[Known, Forecast | None, int]
"""What is known at a gate, the forecast from there on, and which of its steps is the traded interval."""


class Community:
    """Homes with meters and devices, walking forward through time.

    Args:
        import_wh: Register without simulated devices, shape (intervals, homes), history included. [Wh]
        export_wh: The same for exports. [Wh]
        devices: By the name of a device, one spec per home or None.
        first: Row of the first simulated interval; earlier rows are history.
        rules: How the agents behave.
        tariff: Outside prices from the first simulated interval on.
        members: Index of each home in the roster; 0, 1, .. when left out.
        start_s: Start of row 0, which distinguishes the random draws of intervals. [s since 1970 UTC]
        strategies: Name of each home's strategy; that of the rules when left out.
        controllers: Name of each home's controller; that of the rules when left out.
        forecasters: Name of each home's forecaster of consumption; that of the rules when left out.
        zone: Time zone of the homes' calendar.
        weather: Measured weather, one value per row.
        valid: Which readings exist, of the shape of the registers; None if all do.
        pv_wh: Production behind the registers, where there are meters of it. [Wh]
        alone: Whether to run the devices of homes that react to the market a second time, without it.
        beyond: What homes pay for energy of neighbours beyond the outside price, and ask beyond the feed-in price; None
            where nobody prefers anything. [micro-currency/kWh]

    Attributes:
        homes: Number of homes.
    """

    def __init__(
        self,
        import_wh: IntArray,
        export_wh: IntArray,
        devices: Mapping[str, Sequence[Any]],
        first: int,
        rules: AgentRules,
        tariff: OutsidePrices,
        *,
        members: IntArray | None = None,
        start_s: int = 0,
        strategies: Sequence[str] | None = None,
        controllers: Sequence[str] | None = None,
        forecasters: Sequence[str] | None = None,
        zone: str = "UTC",
        weather: Weather | None = None,
        valid: BoolArray | None = None,
        pv_wh: IntArray | None = None,
        alone: bool = False,
        beyond: Limits | None = None,
    ) -> None:
        self._import_wh, self._export_wh = import_wh, export_wh
        self.homes: int = import_wh.shape[1]
        self._rules, self._first, self._next = rules, first, first
        self._beyond = beyond
        self.members: IntArray = np.arange(self.homes, dtype=np.int64) if members is None else members.copy()
        self.members.flags.writeable = False
        self._new_operation = partial(
            Operation,
            devices,
            controllers or [rules.control] * self.homes,
            self.members,
            rules,
            first,
            start_s,
            tariff,
            weather or {},
            zone,
        )
        self._operation = self._new_operation()
        self._alone = self._new_operation(market=False) if alone and self._operation.reacts else None
        self._readings = Readings(
            net_of(import_wh, export_wh),
            pv_wh,
            valid,
            first,
            rules,
            tariff,
            start_s,
            zone,
            weather or {},
            ahead=rules.lead + 2 + self._operation.hours_ahead * 60 // rules.minutes,
        )
        self._forecasters = forecasters or [rules.forecaster] * self.homes
        self._forecasts = self._forecasts_from(first)
        self._ahead: tuple[int, Ahead] | None = None
        self._strategies = strategies or [rules.strategy] * self.homes
        self._groups = grouped(self._strategies, self.members, rules)
        self._without: dict[str, int] = {}
        self._otherwise: Otherwise | None = None

    def again(self, otherwise: Otherwise | None = None) -> Community:
        """The same homes before the first interval, as if they had never a market to react to beside this one.

        Readings and forecasts are those of these homes. To a market of a horizon they may submit `otherwise`.
        """
        other = copy(self)
        other._next, other._operation, other._alone = self._first, self._new_operation(), None
        other._ahead, other._otherwise = None, otherwise
        other._groups = grouped(self._strategies, self.members, self._rules)
        return other

    def _forecasts_from(self, first: int) -> Forecasts | MixedForecasts:
        """The forecasts of the homes, whose times of refitting count from a row."""
        known_at, rows = self._readings.known_at, len(self._import_wh)
        return forecasts_of(self._forecasters, self._rules, first, known_at, rows)

    def snapshot(self) -> dict[str, Any]:
        """Everything that a checkpoint needs to continue, as JSON values."""
        return {
            "row": self._next,
            **self._operation.snapshot(),
            "alone": None if self._alone is None else self._alone.snapshot(),
            "strategies": {group.strategy.name: to_json(group.state) for group in self._groups},
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from a snapshot of the same homes under the same rules.

        Raises:
            InvalidSnapshot: It is not of these homes.
        """
        with reading_snapshot():
            row, alone = saved["row"], saved["alone"]
            if type(row) is not int or not self._first <= row <= len(self._import_wh):
                raise ValueError(f"row is {row}, and can be {self._first} to {len(self._import_wh)}")
            if (alone is None) != (self._alone is None):
                raise ValueError("alone is not of homes that react as these do")
            states = [
                from_json(saved["strategies"][group.strategy.name], len(group.homes), group.columns)
                for group in self._groups
            ]
            self._operation.restore(saved)
            if self._alone is not None:
                self._alone.restore(alone)
        for group, state in zip(self._groups, states, strict=True):
            group.state = state
        self._next, self._ahead = row, None
        self._forecasts = self._forecasts_from(self._first)

    @property
    def lived(self) -> int:
        """Number of intervals that have been simulated."""
        return self._next - self._first

    def _look_ahead(self) -> Ahead:
        """What is known at the next gate, the forecast from there on, and which of its steps is the traded interval."""
        if self._ahead is not None and self._ahead[0] == self._next:
            return self._ahead[1]
        rules, known = self._rules, self._readings.known_at(self._next)
        ahead = 1 + self._operation.hours_ahead * 60 // rules.minutes
        forecast: Forecast | None = None
        if self._forecasts.forecaster is PERFECT_FORESIGHT:
            forecast, traded = Forecast.point(self._readings.net_wh[self._next : self._next + ahead]), 0
        else:
            forecast, traded = self._forecasts.at(self._next, known, rules.lead + ahead), rules.lead
        for operation in (self._operation, self._alone):
            if operation is not None:
                operation.plan(self._next, known, forecast, traded, self._forecasts.errors_wh)
        self._ahead = self._next, (known, forecast, traded)
        return self._ahead[1]

    def expected_net_wh(self) -> IntArray | None:
        """Net energy that each home plans for the next interval, devices included; None without history. [Wh]"""
        known, forecast, traded = self._look_ahead()
        if forecast is None:
            return None
        return _without_gaps(self._operation.project(self._next, known, forecast, traded), forecast)

    def bids(self, prices: AnyPrices) -> Orders:
        """Orders of all homes for the next interval, decided with what is known at gate closure.

        Returns:
            Any number per home, by the homes' indices in the roster.

        Raises:
            InvalidOrders: A strategy returns what is no orders of its homes.
        """
        views = self._views_at_gate(prices)
        return joined(
            [
                group.order(self._with_quantiles(view, group))
                for group, view in zip(self._groups, views, strict=True)
            ]
        )

    def seen_by(self, strategy: str, prices: AnyPrices) -> tuple[State, View]:
        """What the homes of a strategy remember and see at the next gate, before they order."""
        views = self._views_at_gate(prices)
        found = [
            (group.state, view)
            for group, view in zip(self._groups, views, strict=True)
            if group.strategy.name == strategy
        ]
        return found[0]

    def steer(self, name: str, columns: State) -> None:
        """Give the homes of the strategy and of the controller of this name columns of their states.

        So somebody outside decides for them, before they order.

        Args:
            columns: By name, a row for each home of the community.
        """
        for group in self._groups:
            if group.strategy.name == name:
                group.keep({**group.state, **{key: column[group.places] for key, column in columns.items()}})
        self._operation.steer(name, columns)

    def _views_at_gate(self, prices: AnyPrices) -> list[View]:
        """What each group of homes sees at the next gate."""
        known, forecast, traded = self._look_ahead()
        net_wh, projected, planned_at = np.zeros(self.homes, dtype=np.int64), None, None
        if forecast is not None:  # without enough history there are no orders; the retailer settles
            projected = self._operation.project(self._next, known, forecast, traded)
            net_wh = _without_gaps(projected, forecast)
            planned_at = partial(self._operation.respond, projected)
        stored_ppm = self._operation.stored_ppm(projected)
        return self._views(known, prices, net_wh, forecast, traded, planned_at, stored_ppm)

    def bids_again(self, opened: Round) -> Orders:
        """Orders of a later round of the same interval, for what is left of each home's plan; as `bids` otherwise."""
        return joined([group.order_again(opened) for group in self._groups])

    def end_rounds(self, over: Round) -> None:
        """Show strategies that remember what they see the last round."""
        for group in self._groups:
            group.see_the_end(over)

    def _with_quantiles(self, view: View, group: Bidders) -> View:
        """A group's view with the quantiles that its strategy needs."""
        levels_ppm, (_, forecast, _) = group.strategy.quantiles_ppm, self._look_ahead()
        if not levels_ppm or forecast is None:
            return view
        spread = self._forecasts.spread_wh(self._next, forecast, view.traded, levels_ppm, group.places)
        if self._next == self._first:
            self._without[group.strategy.name] = _without_quantiles(group, spread)
        if spread is None:
            return view
        return replace(view, quantiles_wh=view.net_wh + spread[0], has_quantiles=spread[1])

    def notes(self) -> tuple[str, ...]:
        """What people should know of how homes bid at the start of the run; the same at any time of it."""
        groups = [group for group in self._groups if group.strategy.quantiles_ppm]
        if not groups or self._forecasts.forecaster is PERFECT_FORESIGHT:
            return ()
        notes = []
        for group in groups:
            without, homes = self._without_at_the_start(group), len(group.homes)
            if without:
                notes.append(
                    f"{without} of {homes} homes that bid by {group.strategy.name!r} have forecasts of less than two"
                    " weeks behind them at the start; until they have more, each orders its mean forecast at one limit"
                )
        return tuple(notes)

    def _without_at_the_start(self, group: Bidders) -> int:
        """Homes of a group that have no quantiles in the first interval; a resumed run has not seen it."""
        if group.strategy.name not in self._without:
            row, lead = self._first, self._rules.lead
            forecasts = self._forecasts_from(row)
            forecast = forecasts.at(row, self._readings.known_at(row), lead + 1)
            spread = None
            if forecast is not None:
                spread = forecasts.spread_wh(row, forecast, lead, group.strategy.quantiles_ppm, group.places)
            self._without[group.strategy.name] = _without_quantiles(group, spread)
        return self._without[group.strategy.name]

    def limits(self, prices: AnyPrices) -> Limits:
        """The limits of all homes for the next interval, where quantities come from the meters.

        Raises:
            NoLimits: Strategies that state none.
            InvalidOrders: A strategy returns what is no limits of its homes.
        """
        refuse_without_limits(group.strategy.name for group in self._groups)
        buy, sell = np.zeros((2, self.homes), dtype=np.int64)
        nothing = np.zeros(self.homes, dtype=np.int64)
        views = self._views(self._readings.known_at(self._next), prices, nothing, None, 0)
        for group, view in zip(self._groups, views, strict=True):
            buy[group.places], sell[group.places] = group.limits(view)
        return (buy, sell) if self._otherwise is None else self._otherwise.limits((buy, sell))

    def _views(
        self,
        known: Known,
        prices: AnyPrices,
        net_wh: IntArray,
        forecast: Forecast | None,
        traded: int,
        planned_at: Callable[[IntArray], Response] | None = None,
        stored_ppm: IntArray | None = None,
    ) -> list[View]:
        """What each group of homes sees, and nothing of the other homes."""
        words = random_words(self._rules.seed, self._readings.start_of(self._next), self.members)
        for column in (net_wh, words, stored_ppm):  # strategies see them one after the other
            if column is not None:
                column.flags.writeable = False
        view = View(
            known=known,
            prices=prices.of(int(self.members[0])) if self.homes else prices.main,
            net_wh=net_wh,
            forecast=forecast,
            traded=traded,
            plan=self._operation.state,
            words=words,
            homes=self.members,
            planned_at=planned_at,
            rounds=self._rules.rounds,
            start_s=self._readings.start_of(self._next),
            stored_ppm=stored_ppm,
        )
        if self._beyond is not None:
            values = tuple(limit + more for limit, more in zip(view.worth, self._beyond, strict=True))
            view = replace(view, values=(values[0], values[1]))
        if len(self._groups) == 1:
            return [view]
        return [view_of(view, group.places) for group in self._groups]

    @property
    def learns(self) -> bool:
        """Whether what homes do depends on the results of earlier orders: they learn, or hold to what was agreed."""
        return self._operation.reacts or self.remembers

    @property
    def remembers(self) -> bool:
        """Whether strategies or controllers learn from what they saw or received of the market."""
        return self._operation.receives or any(group.strategy.learns for group in self._groups)

    def learn(self, book: OrderBook, clearing: Clearing) -> None:
        """Give strategies that learn from the whole market its result for their orders of the last interval."""
        if all(group.strategy.learn is None for group in self._groups):
            return
        payment_nano = clearing.payment_nano(book)
        quotes = Quotes(book.side, book.energy_wh, book.limit_micro_per_kwh, clearing.accepted_wh)
        for group in self._groups:
            if group.strategy.learn is None:
                continue
            order = np.argsort(group.homes, kind="stable")
            at = np.searchsorted(group.homes, book.participant, sorter=order).clip(max=len(order) - 1)
            home = order[at]
            rows = np.flatnonzero(group.homes[home] == book.participant)
            outcome = Outcome(
                start_s=self._readings.start_of(self._next - 1),
                orders=Orders(home, book.side, book.energy_wh, book.limit_micro_per_kwh).of_rows(rows),
                accepted_wh=clearing.accepted_wh[rows],
                payment_nano=payment_nano[rows],
                price=clearing.node_price[0],
                quotes=quotes,
            )
            with STRATEGIES.held(group.strategy):
                group.keep(group.strategy.learn(group.state, outcome))

    def learn_own(self, results: OwnResults) -> None:
        """Give strategies that learn from their homes' own results those of the last interval, a row per home.

        Controllers that want it receive the price.
        """
        self._operation.receive(results.start_s, None if results.price is None else results.price.price)
        for group in self._groups:
            if group.strategy.learn_own is not None:
                with STRATEGIES.held(group.strategy):
                    own = results.of_homes(group.places)
                    group.keep(group.strategy.learn_own(group.state, own))

    def submit(self, *, measured: bool) -> Submitted | None:
        """What homes submit to a market of a horizon, which begins with what meters show if measured."""
        known, forecast, traded = self._look_ahead()
        now_wh = self._readings.net_wh[self._next] if measured else None
        found = self._operation.submit(self._next, known, forecast, traded, now_wh)
        return (
            found if found is None or self._otherwise is None else self._otherwise.submitted(found, measured)
        )

    def agree(self, position_wh: IntArray, schedule: Schedule | None = None) -> None:
        """Say what has been agreed in the market of the next interval, before it is lived.

        Args:
            position_wh: Bought less sold, of each of these homes. [Wh]
            schedule: What the market has batteries do beside that, where it schedules them.
        """
        self._operation.agree(position_wh, schedule)

    @property
    def reacts(self) -> bool:
        """Whether what homes do in an interval depends on what they have agreed in its market."""
        return self._operation.reacts

    def worth_nano(self) -> IntArray:
        """What the contents of each home's devices are worth to it after the last interval. [nano-currency]"""
        return self._operation.worth_nano()

    def control_notes(self) -> tuple[str, ...]:
        """What people should know of how homes were controlled so far."""
        return self._operation.notes()

    def live(self) -> Meters:
        """Simulate the next interval and read the meters."""
        row = self._next
        if self._operation.plans:
            self._look_ahead()
        shown = self._registers(row, self._operation)
        columns = self._operation.read()
        if self._alone is not None:
            imported, exported = self._registers(row, self._alone)
            alone = {"import_wh": imported, "export_wh": exported, **self._alone.read()}
            columns |= {ALONE + name: column for name, column in alone.items()}
        self._next = row + 1
        return Meters(*shown, columns)

    def _registers(self, row: int, operation: Operation) -> tuple[IntArray, IntArray]:
        """Run the devices for an interval: both registers with them. [Wh]"""
        net_wh = self._readings.net_wh[row]
        imported, exported = (wh[row].astype(np.int64) for wh in (self._import_wh, self._export_wh))
        return registers(imported, exported, net_wh, operation.live(row, net_wh))


def _without_gaps(projected: Projected, forecast: Forecast) -> IntArray:
    """What each home plans; 0 for one without a forecast of all steps up to the traded interval. [Wh]"""
    if forecast.valid is None:
        return projected.net_wh
    return np.where(forecast.valid[: projected.steps].all(axis=0), projected.net_wh, 0)


def _without_quantiles(group: Bidders, spread: Spread | None) -> int:
    """Homes of a group that have no quantiles of their forecast."""
    return len(group.homes) - (0 if spread is None else int(spread[1].sum()))
