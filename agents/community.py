"""The homes of a neighbourhood, vectorised: forecast, plan, bid, then simulate the interval and read the meters.

A community of one home gives the same numbers as that home in a community of a thousand; a live home's node is a
community of one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.bidders import Bidders, Round, grouped, is_whole, joined
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
from agents.control import CONTROLLERS, Planning
from agents.devices import DEVICES, TAKEN, Fleet, Moment
from agents.errors import InvalidEnergy
from agents.forecast import PERFECT_FORESIGHT, Forecast
from agents.forecasts import Forecasts
from agents.rules import AgentRules, Known, Weather, local_minutes
from agents.state import State, from_json, kept, to_json
from market.book import OrderBook
from market.clearing import Clearing
from market.random import random_words
from market.settlement.tariff import IntervalPrices, OutsidePrices
from market.units import BoolArray, IntArray

States = dict[str, State]
"""State of each device, by its name."""


@dataclass(frozen=True, slots=True, eq=False)
class Meters:
    """What the meters of all homes show after an interval.

    Args:
        import_wh: Import register, simulated devices included. [Wh]
        export_wh: Export register, simulated devices included. [Wh]
        columns: Further values of the devices, such as "stored_wh".
    """

    import_wh: IntArray
    export_wh: IntArray
    columns: Mapping[str, IntArray]


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
        zone: Time zone of the homes' calendar.
        weather: Measured weather, one value per row.
        valid: Which readings exist, of the shape of the registers; None if all do.

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
        zone: str = "UTC",
        weather: Weather | None = None,
        valid: BoolArray | None = None,
    ) -> None:
        self._import_wh, self._export_wh, self._valid = import_wh, export_wh, valid
        self._net_wh = import_wh - export_wh
        self.homes: int = import_wh.shape[1]
        if valid is not None:
            self._net_wh[~valid] = 0
        self._rules, self._tariff, self._zone, self._weather = rules, tariff, zone, weather or {}
        self.members: IntArray = np.arange(self.homes, dtype=np.int64) if members is None else members.copy()
        # Plug-ins see these arrays, and must not change what they are judged by.
        for column in (self._net_wh, self.members, *self._weather.values()):
            column.flags.writeable = False
        self._start_s, self._first, self._next = start_s, first, first
        self._forecasts = Forecasts(rules, first, self._known_at)
        self._controller = CONTROLLERS.get(rules.control)
        with CONTROLLERS.held(self._controller):
            self._control = kept(self._controller.start(self.members, rules), self.homes)
        self._planned = -1
        self._groups = grouped(strategies or [rules.strategy] * self.homes, self.members, rules)
        ahead = rules.lead + 2 + self._controller.hours_ahead * 60 // rules.minutes
        self._local_minute = local_minutes(start_s, rules.minutes, len(import_wh) + ahead, zone)
        self._devices = {name: DEVICES.get(name) for name in devices}
        self._fleets: dict[str, Fleet] = {}
        start: States = {}
        for name, specs in devices.items():
            with DEVICES.held(self._devices[name]):
                self._fleets[name] = self._devices[name].fleet(specs, rules.minutes)
                start[name] = kept(self._fleets[name].start(), self.homes)
                own = self._fleets[name].columns
                if not (
                    isinstance(own, tuple) and all(isinstance(one, str) and one.isidentifier() for one in own)
                ):
                    raise TypeError(f"columns are {own!r} and no tuple of names")
            columns = [column for fleet in self._fleets.values() for column in fleet.columns]
            twice = {column for column in columns if column in TAKEN or columns.count(column) > 1}
            if twice:
                raise InvalidEnergy(f"device {name!r} has the column {min(twice)!r}, a name that is taken")
        # A device that no home has is never stepped.
        self._running = [name for name, specs in devices.items() if any(spec is not None for spec in specs)]
        # States after each of the last intervals, oldest first: the oldest is what is known at gate closure.
        self._states: deque[States] = deque([start] * (rules.lead + 1), maxlen=rules.lead + 1)

    def snapshot(self) -> dict[str, Any]:
        """Everything that a checkpoint needs to continue, as JSON values."""
        return {
            "row": self._next,
            "devices": [{name: to_json(state) for name, state in states.items()} for states in self._states],
            "control": to_json(self._control),
            "strategies": {group.strategy.name: to_json(group.state) for group in self._groups},
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from a snapshot of the same homes under the same rules."""
        self._next, self._planned = saved["row"], -1
        self._forecasts = Forecasts(self._rules, self._first, self._known_at)
        for states in saved["devices"]:  # as many as are kept: they replace all that were there
            self._states.append({name: from_json(state, self.homes) for name, state in states.items()})
        self._control = from_json(saved["control"], self.homes)
        for group in self._groups:
            group.state = from_json(saved["strategies"][group.strategy.name], len(group.homes))

    def _moment(self, row: int, known: int | None = None) -> Moment:
        """The interval of a row; weather from the last of `known` rows where they are given and end before it."""
        seen = row if known is None else min(row, known - 1)
        weather = {name: float(column[max(seen, 0)]) for name, column in self._weather.items()}
        return Moment(self._start_of(row), self._rules.minutes, weather)

    def _start_of(self, row: int) -> int:
        return self._start_s + row * self._rules.minutes * 60

    def _known_at(self, row: int) -> Known:
        """What is known when the gate of this row's interval closes."""
        known = max(row - self._rules.lead, 0)
        return Known(
            knowledge_s=self._start_of(row) - self._rules.gate_closure_minutes * 60,
            start_s=self._start_s,
            minutes=self._rules.minutes,
            days=self._rules.forecast_days,
            net_wh=self._net_wh[:known],
            zone=self._zone,
            local_minute=self._local_minute,
            tariff=self._tariff,
            tariff_row=row - self._first,
            weather={name: column[:known] for name, column in self._weather.items()},
            valid=None if self._valid is None else self._valid[:known],
        )

    def _look_ahead(self) -> tuple[Known, Forecast | None, int]:
        """What is known at the next gate, the forecast from there on, and which of its steps is the traded interval."""
        rules, known = self._rules, self._known_at(self._next)
        ahead = 1 + self._controller.hours_ahead * 60 // rules.minutes
        forecast: Forecast | None = None
        if self._forecasts.forecaster is PERFECT_FORESIGHT:
            forecast, traded = Forecast.point(self._net_wh[self._next : self._next + ahead]), 0
        else:
            forecast, traded = self._forecasts.at(self._next, known, rules.lead + ahead), rules.lead
        if self._controller.plan is not None and self._planned != self._next:
            self._planned = self._next
            planning = Planning(
                known=known,
                forecast=forecast,
                traded=traded,
                fleets={name: self._fleets[name] for name in self._running},
                states=self._states[-1 - traded],
                homes=self.members,
            )
            with CONTROLLERS.held(self._controller):
                self._control = kept(self._controller.plan(self._control, planning), self.homes)
        return known, forecast, traded

    def _run_devices(self, net_wh: IntArray, states: States, moment: Moment) -> tuple[IntArray, States]:
        """Run every device for one interval: the net energy with all of them, and their new states. [Wh]"""
        after = dict(states)
        for name in self._running:
            fleet = self._fleets[name]
            with CONTROLLERS.held(self._controller):
                wanted = self._controller.command(self._control, moment, fleet, after[name], net_wh)
                if not is_whole(wanted, (self.homes,)):
                    raise InvalidEnergy(
                        f"controller {self._controller.name!r} commands what is not one whole number of Wh per home"
                    )
            with DEVICES.held(self._devices[name]):
                device_wh, state = fleet.step(after[name], wanted, moment)
                after[name] = kept(state, self.homes)
                if not is_whole(device_wh, (self.homes,)):
                    raise InvalidEnergy(
                        f"device {name!r} returns energy that is not one whole number of Wh per home"
                    )
            net_wh = net_wh + device_wh
            net_wh.flags.writeable = False  # the next command is given it, and the meter counts it
        return net_wh, after

    def expected_net_wh(self) -> IntArray | None:
        """Net energy that each home plans for the next interval, devices included; None without history. [Wh]"""
        return self._planned_net_wh(*self._look_ahead())

    def _planned_net_wh(self, known: Known, forecast: Forecast | None, traded: int) -> IntArray | None:
        """Walk the devices through the forecast to the traded interval; 0 for a home without a forecast of all steps.

        Without the readings of the last `lead` intervals their states must be projected through their forecast; with
        perfect foresight the projection starts from the true states, so that it stays perfect.
        """
        if forecast is None:
            return None
        planned: IntArray = forecast.median_wh[traded]
        if self._running:
            states = self._states[-1 - traded]
            for step, net_wh in enumerate(forecast.median_wh[: traded + 1]):
                moment = self._moment(self._next - traded + step, len(known.net_wh))
                planned, states = self._run_devices(net_wh, states, moment)
        if forecast.valid is not None:
            planned = np.where(forecast.valid[: traded + 1].all(axis=0), planned, 0)
        return planned

    def bids(self, prices: IntervalPrices) -> Orders:
        """Orders of all homes for the next interval, decided with what is known at gate closure.

        Returns:
            Any number per home, by the homes' indices in the roster.

        Raises:
            InvalidOrders: A strategy returns what is no orders of its homes.
        """
        known, forecast, traded = self._look_ahead()
        net_wh = self._planned_net_wh(known, forecast, traded)
        if net_wh is None:  # not enough history yet: no orders; the retailer settles
            net_wh = np.zeros(self.homes, dtype=np.int64)
        views = self._views(known, prices, net_wh, forecast, traded)
        return joined(
            [
                group.order(self._with_quantiles(view, group, forecast))
                for group, view in zip(self._groups, views, strict=True)
            ]
        )

    def bids_again(self, opened: Round) -> Orders:
        """Orders of a later round of the same interval, for what is left of each home's plan; as `bids` otherwise."""
        return joined([group.order_again(opened) for group in self._groups])

    def end_rounds(self, over: Round) -> None:
        """Show strategies that remember what they see the last round."""
        for group in self._groups:
            group.see_the_end(over)

    def _with_quantiles(self, view: View, group: Bidders, forecast: Forecast | None) -> View:
        """A group's view with the quantiles that its strategy needs."""
        levels_ppm = group.strategy.quantiles_ppm
        if not levels_ppm or forecast is None:
            return view
        spread = self._forecasts.spread_wh(self._next, forecast, view.traded, levels_ppm, group.places)
        if spread is None:
            return view
        return replace(view, quantiles_wh=view.net_wh + spread[0], has_quantiles=spread[1])

    def notes(self) -> tuple[str, ...]:
        """What people should know of how homes bid at the start of the run; the same at any time of it."""
        groups = [group for group in self._groups if group.strategy.quantiles_ppm]
        if not groups or self._forecasts.forecaster is PERFECT_FORESIGHT:
            return ()
        row, lead, notes = self._first, self._rules.lead, []
        forecasts = Forecasts(self._rules, row, self._known_at)
        forecast = forecasts.at(row, self._known_at(row), lead + 1)
        for group in groups:
            levels_ppm, homes = group.strategy.quantiles_ppm, len(group.homes)
            spread = None
            if forecast is not None:
                spread = forecasts.spread_wh(row, forecast, lead, levels_ppm, group.places)
            without = homes if spread is None else homes - int(spread[1].sum())
            if without:
                notes.append(
                    f"{without} of {homes} homes that bid by {group.strategy.name!r} have forecasts of less than two"
                    " weeks behind them at the start; until they have more, each orders its mean forecast at one limit"
                )
        return tuple(notes)

    def limits(self, prices: IntervalPrices) -> Limits:
        """The limits of all homes for the next interval, where quantities come from the meters.

        Raises:
            NoLimits: Strategies that state none.
            InvalidOrders: A strategy returns what is no limits of its homes.
        """
        refuse_without_limits(group.strategy.name for group in self._groups)
        buy, sell = np.zeros((2, self.homes), dtype=np.int64)
        nothing = np.zeros(self.homes, dtype=np.int64)
        views = self._views(self._known_at(self._next), prices, nothing, None, 0)
        for group, view in zip(self._groups, views, strict=True):
            buy[group.places], sell[group.places] = group.limits(view)
        return buy, sell

    def _views(
        self, known: Known, prices: IntervalPrices, net_wh: IntArray, forecast: Forecast | None, traded: int
    ) -> list[View]:
        """What each group of homes sees, and nothing of the other homes."""
        words = random_words(self._rules.seed, self._start_of(self._next), self.members)
        net_wh.flags.writeable = words.flags.writeable = False  # strategies see them one after the other
        view = View(
            known=known,
            prices=prices,
            net_wh=net_wh,
            forecast=forecast,
            traded=traded,
            plan=self._control,
            words=words,
            homes=self.members,
            rounds=self._rules.rounds,
            start_s=self._start_of(self._next),
        )
        if len(self._groups) == 1:
            return [view]
        return [_of_homes(view, group.places) for group in self._groups]

    @property
    def learns(self) -> bool:
        """Whether any strategy learns from the results of earlier orders."""
        return any(group.strategy.learns for group in self._groups)

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
                start_s=self._start_of(self._next - 1),
                orders=Orders(home, book.side, book.energy_wh, book.limit_micro_per_kwh).of_rows(rows),
                accepted_wh=clearing.accepted_wh[rows],
                payment_nano=payment_nano[rows],
                price=clearing.node_price[0],
                quotes=quotes,
            )
            with STRATEGIES.held(group.strategy):
                group.keep(group.strategy.learn(group.state, outcome))

    def learn_own(self, results: OwnResults) -> None:
        """Give strategies that learn from their homes' own results those of the last interval, a row per home."""
        for group in self._groups:
            if group.strategy.learn_own is not None:
                with STRATEGIES.held(group.strategy):
                    own = results.of_homes(group.places)
                    group.keep(group.strategy.learn_own(group.state, own))

    def live(self) -> Meters:
        """Simulate the next interval and read the meters."""
        row = self._next
        if self._controller.plan is not None and self._planned != row:
            self._look_ahead()
        imported, exported = self._import_wh[row], self._export_wh[row]
        states = self._states[-1]
        if self._running:
            # A device that takes energy first uses what the home exported beyond its import, one that gives first
            # covers the reverse, so both registers stay at or above 0, and where both moved, the devices of a home
            # touch only the difference.
            net_wh = self._net_wh[row]
            with_devices_wh, states = self._run_devices(net_wh, states, self._moment(row))
            moved_wh = with_devices_wh - net_wh
            taken, given = np.maximum(moved_wh, 0), np.maximum(-moved_wh, 0)
            less_export = np.minimum(taken, np.maximum(-net_wh, 0))
            less_import = np.minimum(given, np.maximum(net_wh, 0))
            imported = imported - less_import + (taken - less_export)
            exported = exported - less_export + (given - less_import)
        self._states.append(states)
        self._next = row + 1
        columns: dict[str, IntArray] = {}
        for name, fleet in self._fleets.items():
            with DEVICES.held(self._devices[name]):
                read = fleet.read(states[name])
                for column in fleet.columns:
                    if not is_whole(read[column], (self.homes,)):
                        raise InvalidEnergy(
                            f"column {column!r} of device {name!r} is not one whole number per home"
                        )
                    columns[column] = read[column]
        return Meters(imported, exported, columns)


def _of_homes(view: View, places: IntArray) -> View:
    """The same view for some of its homes: nothing of the others is in it."""
    return replace(
        view,
        known=view.known.of_homes(places),
        net_wh=view.net_wh[places],
        forecast=None if view.forecast is None else view.forecast.of_homes(places),
        plan={name: column[places] for name, column in view.plan.items()},
        words=view.words[places],
        homes=view.homes[places],
    )
