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

from agents.bidding import (
    STRATEGIES,
    Limits,
    Orders,
    Outcome,
    OwnResults,
    Quotes,
    Strategy,
    View,
    refuse_without_limits,
)
from agents.control import CONTROLLERS, Planning
from agents.devices import DEVICES, TAKEN, Fleet, Moment
from agents.errors import InvalidEnergy, InvalidOrders
from agents.forecast import PERFECT_FORESIGHT, Forecast
from agents.forecasts import Forecasts
from agents.readings import Readings
from agents.rules import AgentRules, Known, Weather
from agents.state import State, from_json, kept, to_json
from market.book import OrderBook
from market.clearing import Clearing
from market.orders import MAX_ORDERS
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


@dataclass(slots=True, eq=False)
class _Group:
    """The homes of one strategy: their rows in the community, their indices in the roster, their state."""

    strategy: Strategy
    places: IntArray
    homes: IntArray
    state: State


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
        pv_wh: Production behind the registers, where there are meters of it. [Wh]

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
        pv_wh: IntArray | None = None,
    ) -> None:
        self._import_wh, self._export_wh = import_wh, export_wh
        self.homes: int = import_wh.shape[1]
        self._rules, self._first, self._next = rules, first, first
        self.members: IntArray = np.arange(self.homes, dtype=np.int64) if members is None else members.copy()
        self.members.flags.writeable = False
        self._controller = CONTROLLERS.get(rules.control)
        self._readings = Readings(
            import_wh - export_wh,
            pv_wh,
            valid,
            first,
            rules,
            tariff,
            start_s,
            zone,
            weather or {},
            ahead=rules.lead + 2 + self._controller.hours_ahead * 60 // rules.minutes,
        )
        self._forecasts = Forecasts(rules, first, self._readings.known_at)
        with CONTROLLERS.held(self._controller):
            self._control = kept(self._controller.start(self.members, rules), self.homes)
        self._planned = -1
        self._groups = self._grouped(strategies or [rules.strategy] * self.homes)
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

    def _grouped(self, strategies: Sequence[str]) -> list[_Group]:
        names = np.array(strategies)
        groups = []
        for name in sorted(set(strategies)):
            places = np.flatnonzero(names == name)
            strategy, homes = STRATEGIES.get(name), self.members[places]
            with STRATEGIES.held(strategy):
                state = kept(strategy.start(homes, self._rules), len(homes))
            groups.append(_Group(strategy, places, homes, state))
        return groups

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
        self._forecasts = Forecasts(self._rules, self._first, self._readings.known_at)
        for states in saved["devices"]:  # as many as are kept: they replace all that were there
            self._states.append({name: from_json(state, self.homes) for name, state in states.items()})
        self._control = from_json(saved["control"], self.homes)
        for group in self._groups:
            group.state = from_json(saved["strategies"][group.strategy.name], len(group.homes))

    def _moment(self, row: int, known: int | None = None) -> Moment:
        """The interval of a row; weather from the last of `known` rows where they are given and end before it."""
        seen = row if known is None else min(row, known - 1)
        weather = {name: float(column[max(seen, 0)]) for name, column in self._readings.weather.items()}
        return Moment(self._readings.start_of(row), self._rules.minutes, weather)

    def _look_ahead(self) -> tuple[Known, Forecast | None, int]:
        """What is known at the next gate, the forecast from there on, and which of its steps is the traded interval."""
        rules, known = self._rules, self._readings.known_at(self._next)
        ahead = 1 + self._controller.hours_ahead * 60 // rules.minutes
        forecast: Forecast | None = None
        if self._forecasts.forecaster is PERFECT_FORESIGHT:
            forecast, traded = Forecast.point(self._readings.net_wh[self._next : self._next + ahead]), 0
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
                if not _is_whole(wanted, (self.homes,)):
                    raise InvalidEnergy(
                        f"controller {self._controller.name!r} commands what is not one whole number of Wh per home"
                    )
            with DEVICES.held(self._devices[name]):
                device_wh, state = fleet.step(after[name], wanted, moment)
                after[name] = kept(state, self.homes)
                if not _is_whole(device_wh, (self.homes,)):
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
        orders = [
            _orders_of(group, self._with_quantiles(view, group, forecast))
            for group, view in zip(self._groups, views, strict=True)
        ]
        return orders[0] if len(orders) == 1 else _joined(orders)

    def _with_quantiles(self, view: View, group: _Group, forecast: Forecast | None) -> View:
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
        forecasts = Forecasts(self._rules, row, self._readings.known_at)
        forecast = forecasts.at(row, self._readings.known_at(row), lead + 1)
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
        views = self._views(self._readings.known_at(self._next), prices, nothing, None, 0)
        for group, view in zip(self._groups, views, strict=True):
            buy[group.places], sell[group.places] = _limits_of(group, view)
        return buy, sell

    def _views(
        self, known: Known, prices: IntervalPrices, net_wh: IntArray, forecast: Forecast | None, traded: int
    ) -> list[View]:
        """What each group of homes sees, and nothing of the other homes."""
        words = random_words(self._rules.seed, self._readings.start_of(self._next), self.members)
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
                start_s=self._readings.start_of(self._next - 1),
                orders=Orders(home, book.side, book.energy_wh, book.limit_micro_per_kwh).of_rows(rows),
                accepted_wh=clearing.accepted_wh[rows],
                payment_nano=payment_nano[rows],
                price=clearing.node_price[0],
                quotes=quotes,
            )
            with STRATEGIES.held(group.strategy):
                group.state = kept(group.strategy.learn(group.state, outcome), len(group.homes))

    def learn_own(self, results: OwnResults) -> None:
        """Give strategies that learn from their homes' own results those of the last interval, a row per home."""
        for group in self._groups:
            if group.strategy.learn_own is not None:
                with STRATEGIES.held(group.strategy):
                    own = results.of_homes(group.places)
                    group.state = kept(group.strategy.learn_own(group.state, own), len(group.homes))

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
            net_wh = self._readings.net_wh[row]
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
                    if not _is_whole(read[column], (self.homes,)):
                        raise InvalidEnergy(
                            f"column {column!r} of device {name!r} is not one whole number per home"
                        )
                    columns[column] = read[column]
        return Meters(imported, exported, columns)


def _orders_of(group: _Group, view: View) -> Orders:
    """Ask a strategy for orders and put the homes' indices in the roster in place of their rows."""
    name = group.strategy.name
    with STRATEGIES.held(group.strategy):
        orders = group.strategy.bid(group.state, view)
        columns = (orders.home, orders.side, orders.energy_wh, orders.limit_micro_per_kwh)
        if not all(_is_whole(column, (column.size,)) for column in columns):
            raise InvalidOrders(
                f"bidding strategy {name!r} returns columns that are not whole numbers in one row"
            )
    if len({len(column) for column in columns}) > 1:
        lengths = ", ".join(str(len(column)) for column in columns)
        raise InvalidOrders(
            f"bidding strategy {name!r} returns columns of {lengths} rows; give each order one row in all four"
        )
    home, homes = orders.home, len(group.homes)
    rising = bool((home[1:] > home[:-1]).all())  # as one order a home comes, which needs no search
    low, high = (0, 0) if not len(home) else (home[0], home[-1]) if rising else (home.min(), home.max())
    if len(home) and not 0 <= low <= high < homes:
        raise InvalidOrders(f"bidding strategy {name!r} orders for homes that are not 0 to {homes - 1}")
    most = 1 if rising else int(np.bincount(home, orders.energy_wh > 0).max(initial=0))
    if most > 1 and not group.strategy.several_orders:
        raise InvalidOrders(
            f"bidding strategy {name!r} places several orders for one home; register it with several_orders=True"
        )
    if most > MAX_ORDERS:
        raise InvalidOrders(
            f"bidding strategy {name!r} places {most} orders for one home; an interval takes at most {MAX_ORDERS}"
        )
    return Orders(group.homes[home], *columns[1:])


def _limits_of(group: _Group, view: View) -> Limits:
    """Ask a strategy for the limits of its homes."""
    name, limits = group.strategy.name, group.strategy.limits
    assert limits is not None, "refused before"
    with STRATEGIES.held(group.strategy):
        buy, sell = limits(group.state, view)
        if not all(_is_whole(side, (len(group.homes),)) for side in (buy, sell)):
            raise InvalidOrders(
                f"bidding strategy {name!r} states limits that are not one whole number per home"
            )
    return buy, sell


def _is_whole(values: Any, shape: tuple[int, ...]) -> bool:
    return isinstance(values, np.ndarray) and values.dtype.kind == "i" and values.shape == shape


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


def _joined(parts: Sequence[Orders]) -> Orders:
    """All orders, by home; those of one home stay in their order."""
    home = np.concatenate([part.home for part in parts])
    rows = np.argsort(home, kind="stable")
    return Orders(
        home[rows],
        np.concatenate([part.side for part in parts])[rows],
        np.concatenate([part.energy_wh for part in parts])[rows],
        np.concatenate([part.limit_micro_per_kwh for part in parts])[rows],
    )
