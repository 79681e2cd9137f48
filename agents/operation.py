"""The devices of all homes and who runs them: planned at the gate, projected through a forecast, lived, remembered."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from agents.clock import seen_row
from agents.control import CONTROLLERS, Controller, Planning, Present, self_consuming
from agents.devices import DEVICES, TAKEN, Fleet, limits_of
from agents.devices.battery import BATTERY, Batteries
from agents.errors import InvalidEnergy, reading_snapshot
from agents.flexibility import Schedule, StorageOrder, Submitted, beyond_all, placed_devices, storage_orders
from agents.forecast import Forecast
from agents.response import Response
from agents.rules import AgentRules, Known, Weather, tariff_rows
from agents.state import State, counted, from_json, is_whole, kept, to_json, whole_from_json
from market.settlement.tariff import OutsidePrices
from market.units import PPM, BoolArray, IntArray

HOUR_MINUTES: Final = 60
States = dict[str, State]
"""State of each device, by its name."""
Errors = Callable[[int, int], IntArray | None]
"""See `Forecasts.errors_wh`."""


@dataclass(slots=True, eq=False)
class _Crew:
    """The homes of one controller, and what it knows; it computes every home, and these follow it.

    Args:
        columns: Names of what it knows before the first interval.
    """

    controller: Controller
    homes: BoolArray
    state: State
    columns: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Projected:
    """The traded interval as it is planned.

    Args:
        steps: Steps of the forecast up to it.
        net_wh: Planned net energy, devices included. [Wh]
        present: The interval.
        states: Of the devices at its start.
        before_wh: By device, the net energy that it finds. [Wh]
        moved_wh: By device, what it takes. [Wh]
    """

    steps: int
    net_wh: IntArray
    present: Present
    states: States
    before_wh: Mapping[str, IntArray]
    moved_wh: Mapping[str, IntArray]


class Operation:
    """Devices that are run by controllers.

    Args:
        devices: By the name of a device, one spec per home or None.
        controllers: Name of each home's controller.
        members: Index of each home in the roster.
        rules: How the agents behave.
        first: Row of the first simulated interval.
        start_s: Start of row 0. [s since 1970 UTC]
        tariff: Outside prices from the first simulated interval on.
        weather: Measured weather, one value per row.
        zone: Time zone of the homes' calendar.
        market: Whether there is the market of the rules, which may schedule batteries.

    Attributes:
        fleets: The devices that some home has, in the order in which they run.
        hours_ahead: Hours beyond the traded interval that a forecast has to reach. [h]
        reacts: Whether what homes do depends on what they have agreed in the market.
        receives: Whether what homes do depends on the prices of earlier intervals.
    """

    def __init__(
        self,
        devices: Mapping[str, Sequence[Any]],
        controllers: Sequence[str],
        members: IntArray,
        rules: AgentRules,
        first: int,
        start_s: int,
        tariff: OutsidePrices,
        weather: Weather,
        zone: str = "UTC",
        *,
        market: bool = True,
    ) -> None:
        self._members, self._rules, self._homes = members, rules, len(members)
        self._first, self._start_s, self._tariff, self._weather = first, start_s, tariff, weather
        self._zone = zone
        self._crews: list[_Crew] = []
        for name in sorted(set(controllers)):
            controller = CONTROLLERS.get(name)
            with CONTROLLERS.held(controller):
                state = kept(controller.start(members, rules), self._homes)
            own = np.array(controllers) == name
            self._crews.append(_Crew(controller, own, state, frozenset(state)))
        self._horizon = rules.horizon_minutes // rules.minutes if market else 0
        ahead = [crew.controller.hours_ahead for crew in self._crews]
        self.hours_ahead = max(*ahead, -(-rules.horizon_minutes // HOUR_MINUTES), 0)
        self.reacts = any(crew.controller.reacts for crew in self._crews)
        self.receives = any(crew.controller.receive is not None for crew in self._crews)
        self._planned = -1
        self._devices = {name: DEVICES.get(name) for name in devices}
        self._all: dict[str, Fleet] = {}
        start: States = {}
        for name, specs in devices.items():
            with DEVICES.held(self._devices[name]):
                self._all[name] = self._devices[name].fleet(specs, rules.minutes)
                start[name] = kept(self._all[name].start(), self._homes)
                own = self._all[name].columns
                if not (
                    isinstance(own, tuple) and all(isinstance(one, str) and one.isidentifier() for one in own)
                ):
                    raise TypeError(f"columns are {own!r} and no tuple of names")
        columns = [column for fleet in self._all.values() for column in fleet.columns]
        twice = {column for column in columns if column in TAKEN or columns.count(column) > 1}
        if twice:
            raise InvalidEnergy(f"device {name!r} has the column {min(twice)!r}, a name that is taken")
        self._owns = {name: np.array([spec is not None for spec in specs]) for name, specs in devices.items()}
        for column in self._owns.values():
            column.flags.writeable = False
        # A device that no home has is never stepped.
        running = [name for name, specs in devices.items() if any(spec is not None for spec in specs)]
        self.fleets = {
            name: self._all[name]
            for name in sorted(running, key=lambda name: (self._devices[name].turn, name))
        }
        self._begun = start
        # After each of the last intervals, oldest first: the oldest states are what is known at gate closure.
        self._states: deque[States] = deque([start] * (rules.lead + 1), maxlen=rules.lead + 1)
        nothing = np.zeros(self._homes, dtype=np.int64)
        self._agreed: deque[IntArray] = deque([nothing] * rules.lead, maxlen=rules.lead)
        self._nothing = self._position = nothing
        self._unscheduled = self._schedule = Schedule.nothing(self._homes)
        self._schedules: deque[Schedule] = deque([self._schedule] * rules.lead, maxlen=rules.lead)

    def snapshot(self) -> dict[str, Any]:
        """Everything that a checkpoint needs to continue, as JSON values."""
        return {
            "devices": [{name: to_json(state) for name, state in states.items()} for states in self._states],
            "agreed": [agreed.tolist() for agreed in self._agreed],
            "control": {crew.controller.name: to_json(crew.state) for crew in self._crews},
            **({"scheduled": [one.to_json() for one in self._schedules]} if self._horizon else {}),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from a snapshot of the same homes under the same rules.

        Raises:
            InvalidSnapshot: It is not of these homes and devices; nothing is changed.
        """
        with reading_snapshot():
            states = [self._states_from(one) for one in counted("devices", saved["devices"], self._states)]
            agreed = [
                whole_from_json("agreed", one, (self._homes,))
                for one in counted("agreed", saved["agreed"], self._agreed)
            ]
            schedules = [
                Schedule.from_json(one, self._homes)
                for one in (
                    counted("scheduled", saved["scheduled"], self._schedules) if self._horizon else ()
                )
            ]
            known = {
                crew.controller.name: from_json(
                    saved["control"][crew.controller.name], self._homes, crew.columns
                )
                for crew in self._crews
            }
        self._planned, self._position, self._schedule = -1, self._nothing, self._unscheduled
        self._states.extend(states)  # as many as are kept: they replace all that were there
        self._agreed.extend(agreed)
        self._schedules.extend(schedules)
        for crew in self._crews:
            crew.state = known[crew.controller.name]

    def _states_from(self, saved: Mapping[str, Any]) -> States:
        """The states of all devices, from JSON."""
        states: States = {}
        for name, fleet in self._all.items():
            states[name] = from_json(saved[name], self._homes, self._begun[name])
            for key, (least, most) in limits_of(self._devices[name], fleet).items():
                column = states[name][key]
                if column.dtype.kind != "i":
                    raise TypeError(f"{key} of device {name!r} is not whole numbers")
                outside = np.flatnonzero((column < least) | (column > most))
                if len(outside):
                    i = int(outside[0])
                    found = f"{key} of device {name!r} is {column[i]} in home {i + 1}"
                    raise ValueError(f"{found}, and can be {least[i]} to {most[i]}")
        return states

    @property
    def state(self) -> State:
        """What the controller of all homes knows; nothing where there are several."""
        return self._crews[0].state if len(self._crews) == 1 else {}

    def notes(self) -> tuple[str, ...]:
        """Sentences for people about what the controllers have done so far."""
        notes: list[str] = []
        for crew in self._crews:
            with CONTROLLERS.held(crew.controller):
                own = {name: column[crew.homes] for name, column in crew.state.items()}
                sentences = crew.controller.notes(own)
                if not all(isinstance(one, str) for one in sentences):
                    raise TypeError("notes are no sentences")
            several = len(self._crews) > 1
            notes += [f"{crew.controller.name}: {one}" if several else one for one in sentences]
        return tuple(notes)

    def plan(self, row: int, known: Known, forecast: Forecast | None, traded: int, errors_wh: Errors) -> None:
        """Let the controllers plan at the gate of a row, once."""
        if self._planned == row:
            return
        self._planned = row
        steps = 0 if forecast is None else len(forecast.median_wh)
        moments = [
            self._present(row - traded + step, len(known.net_wh), self._nothing) for step in range(steps)
        ]
        for crew in self._crews:
            if crew.controller.plan is None:
                continue
            planning = Planning(
                known=known,
                forecast=forecast,
                traded=traded,
                start_s=self._start_s + row * self._rules.minutes * 60,
                moments=moments,
                fleets=MappingProxyType(self.fleets),
                owns=MappingProxyType(self._owns),
                states=MappingProxyType(self._states[-1 - traded]),
                errors_wh=partial(errors_wh, row, steps),
                homes=self._members,
                seed=self._rules.seed,
                scheduled=self._horizon > 0,
            )
            with CONTROLLERS.held(crew.controller):
                crew.state = kept(crew.controller.plan(crew.state, planning), self._homes)

    @property
    def plans(self) -> bool:
        """Whether any controller plans."""
        return any(crew.controller.plan is not None for crew in self._crews)

    def project(self, row: int, known: Known, forecast: Forecast, traded: int) -> Projected:
        """Walk the devices through the forecast to the traded interval.

        Without the readings of the last `lead` intervals their states must be projected through their forecast; with
        perfect foresight the projection starts from the true states, so that it stays perfect.
        """
        states = self._states[-1 - traded]
        for step, net_wh in enumerate(forecast.median_wh[: traded + 1]):
            agreed = self._agreed[step - traded] if step < traded else self._nothing
            schedule = self._schedules[step - traded] if step < traded else self._unscheduled
            present = self._present(row - traded + step, len(known.net_wh), agreed)
            before, at_start = {}, states
            moved: dict[str, IntArray] = {}
            for name in self.fleets:
                before[name] = net_wh
                moved[name], states = self._run(name, net_wh, states, present, schedule)
                net_wh = net_wh + moved[name]
                net_wh.flags.writeable = False
        return Projected(traded + 1, net_wh, present, at_start, before, moved)

    def submit(
        self, row: int, known: Known, forecast: Forecast | None, traded: int, now_wh: IntArray | None
    ) -> Submitted | None:
        """What the homes submit to a market of a horizon from a row on; None where nothing is known of it.

        Devices that they keep walk through the forecast: batteries by the rule of self-consumption, others as planned.

        Args:
            now_wh: What the meters show in the first interval without devices, where they are asked; its forecast
                otherwise. [Wh]
        """
        nets, submitted, states = [] if now_wh is None else [now_wh], self._unscheduled.has, self._states[-1]
        last, reaches = traded + self._horizon, 0 if forecast is None else len(forecast.median_wh)
        if forecast is not None:
            nets += list(forecast.median_wh[traded + len(nets) : last])
            # Devices of homes that want it and have a forecast of every interval.
            submitted = np.logical_or.reduce(
                [submitted, *(c.homes for c in self._crews if c.controller.submits)]
            )
            submitted &= True if forecast.valid is None else forecast.valid[:last].all(axis=0)
            states = states if now_wh is not None else self.project(row, known, forecast, traded).states
        if not nets:
            return None
        at = tariff_rows(self._tariff, row - self._first + np.arange(len(nets)), known.steps_per_day)
        # What is left is exported, or saves an import. Perfect foresight ends with the run, as all worth does.
        ends = self._tariff.feed_in_micro_per_kwh[at].min() + self._tariff.import_micro_per_kwh[at].min()
        left, highest = (
            int(ends) // 2 if reaches > last else 0,
            int(self._tariff.buy_cap_micro_per_kwh[at].max()),
        )
        stores: tuple[StorageOrder, ...] = ()
        if isinstance(fleet := self.fleets.get(BATTERY.name), Batteries):
            stores = storage_orders(fleet, states[BATTERY.name]["stored_uwh"], submitted, len(nets), left)
        moments = [
            self._present(row + step, None if step == 0 and now_wh is not None else len(known.net_wh), agreed)
            for step, agreed in enumerate([self._position, *[self._nothing] * (len(nets) - 1)])
        ]
        willing = {name: submitted & self._submits(name) for name in self.fleets}
        given = placed_devices(self.fleets, self._owns, states, moments, willing, (beyond_all(highest), left))
        idle, ordered = Schedule(self._nothing, submitted), []
        for step, (net_wh, present) in enumerate(zip(nets, moments, strict=True)):
            for name in self.fleets:
                moved_wh, states = self._run(name, net_wh, states, present, idle, later=step > 0)
                if name in given.homes:
                    moved_wh = np.where(given.homes[name], given.fixed_wh[name][step], moved_wh)
                net_wh = net_wh + moved_wh
                net_wh.flags.writeable = False
            ordered.append(net_wh)
        return Submitted(np.stack(ordered), stores, given.flexible, given.homes)

    def _submits(self, name: str) -> BoolArray:
        """Homes whose controllers submit their devices to a market of a horizon, and do not keep this one."""
        found = np.zeros(self._homes, dtype=np.bool_)
        for crew in self._crews:
            found |= crew.homes & (crew.controller.submits and name not in crew.controller.keeps)
        return found

    def stored_ppm(self, projected: Projected | None) -> IntArray | None:
        """What batteries hold when the traded interval begins, or at the last gate, as a share of their capacity.

        None where no home has one. [parts per million]
        """
        fleet = self.fleets.get(BATTERY.name)
        if not isinstance(fleet, Batteries):
            return None
        states = self._states[0] if projected is None else projected.states
        stored_uwh = states[BATTERY.name]["stored_uwh"]
        return stored_uwh // np.maximum(fleet.capacity_uwh // PPM, 1)

    def steer(self, name: str, columns: State) -> None:
        """Give a controller columns of its state, a row per home."""
        for crew in self._crews:
            if crew.controller.name == name:
                crew.state = kept({**crew.state, **columns}, self._homes)

    def respond(self, projected: Projected, prices: IntArray) -> Response:
        """What homes want to take in the traded interval at each of several local prices. [micro-currency/kWh]"""
        answer = np.repeat(projected.net_wh[None], len(prices), axis=0)
        known = np.zeros(self._homes, dtype=np.bool_)
        for name, fleet in self.fleets.items():
            state, before = projected.states[name], projected.before_wh[name]
            for crew in self._crews:
                if crew.controller.respond is None:
                    continue
                with CONTROLLERS.held(crew.controller):
                    wanted, has = crew.controller.respond(
                        crew.state, projected.present, fleet, state, before, prices
                    )
                    if not is_whole(wanted, answer.shape):
                        raise TypeError("respond gives no whole number of Wh per price and home")
                    if not (
                        isinstance(has, np.ndarray) and has.dtype == np.bool_ and has.shape == (self._homes,)
                    ):
                        raise TypeError("respond does not say yes or no for each home")
                has = has & crew.homes
                for level, wanted_wh in enumerate(wanted):
                    with DEVICES.held(self._devices[name]):
                        moved_wh, _ = fleet.step(state, wanted_wh, projected.present)
                    answer[level] += np.where(has, moved_wh - projected.moved_wh[name], 0)
                known |= has
        return Response(answer, known)

    def agree(self, position_wh: IntArray, schedule: Schedule | None) -> None:
        """Say what each home has bought less sold in the market of the next interval [Wh], and what batteries do."""
        self._position, self._schedule = position_wh, schedule or self._unscheduled

    def worth_nano(self) -> IntArray:
        """What their controllers put the contents of all devices at after the last interval. [nano-currency]"""
        worth = self._nothing
        for crew in self._crews:
            if crew.controller.worth is None:
                continue
            for name, fleet in self.fleets.items():
                with CONTROLLERS.held(crew.controller):
                    own = crew.controller.worth(crew.state, fleet, self._states[-1][name])
                    if not is_whole(own, (self._homes,)):
                        raise TypeError("worth gives no whole amount per home")
                worth = worth + np.where(crew.homes, own, 0)
        return worth

    def receive(self, start_s: int, price: int | None) -> None:
        """Give the controllers that want it the one price of an interval that is over. [micro-currency/kWh]"""
        for crew in self._crews:
            if crew.controller.receive is not None:
                with CONTROLLERS.held(crew.controller):
                    crew.state = kept(crew.controller.receive(crew.state, start_s, price), self._homes)

    def live(self, row: int, net_wh: IntArray) -> IntArray:
        """Run every device for the next interval: what all of them take together. [Wh]"""
        states, with_devices_wh = self._states[-1], net_wh
        present = self._present(row, None, self._position)
        for name in self.fleets:
            moved_wh, states = self._run(name, with_devices_wh, states, present, self._schedule)
            with_devices_wh = with_devices_wh + moved_wh
            with_devices_wh.flags.writeable = False  # the next command is given it, and the meter counts it
        self._states.append(states)
        self._agreed.append(self._position)
        self._schedules.append(self._schedule)
        self._position, self._schedule = self._nothing, self._unscheduled
        moved: IntArray = with_devices_wh - net_wh
        return moved

    def read(self) -> dict[str, IntArray]:
        """The columns of all devices after the last interval."""
        columns: dict[str, IntArray] = {}
        for name, fleet in self._all.items():
            with DEVICES.held(self._devices[name]):
                read = fleet.read(self._states[-1][name])
                for column in fleet.columns:
                    if not is_whole(read[column], (self._homes,)):
                        raise InvalidEnergy(
                            f"column {column!r} of device {name!r} is not one whole number per home"
                        )
                    columns[column] = read[column]
        return columns

    def _present(self, row: int, known: int | None, agreed_wh: IntArray) -> Present:
        """The interval of a row, with the weather that is known for it where only `known` rows have been measured."""
        minutes = self._rules.minutes
        seen = row if known is None else seen_row(row, known, minutes)
        weather = {name: float(column[seen]) for name, column in self._weather.items()}
        prices = self._tariff.at(min(max(row - self._first, 0), len(self._tariff) - 1))
        start_s = self._start_s + row * minutes * 60
        return Present(
            start_s,
            minutes,
            weather,
            self._zone,
            self._rules.seed,
            self._members,
            tariff=self._tariff,
            tariff_row=row - self._first,
            prices=prices,
            agreed_wh=agreed_wh,
        )

    def _run(
        self,
        name: str,
        net_wh: IntArray,
        states: States,
        present: Present,
        schedule: Schedule,
        *,
        later: bool = False,
    ) -> tuple[IntArray, States]:
        """Run one device for one interval: what it takes, and the new states. [Wh]

        What batteries do that have a schedule, it says. Later than the traded interval there is no value of what is
        stored: the others follow the rule of self-consumption.
        """
        fleet, wanted = self.fleets[name], self._nothing
        for crew in self._crews:
            if later and (name == BATTERY.name or not crew.controller.submits):
                wanted = np.where(crew.homes, self_consuming(fleet, states[name], present, net_wh), wanted)
                continue
            with CONTROLLERS.held(crew.controller):
                own = crew.controller.command(crew.state, present, fleet, states[name], net_wh)
                if not is_whole(own, (self._homes,)):
                    raise InvalidEnergy(
                        f"controller {crew.controller.name!r} commands what is not one whole number of Wh per home"
                    )
            wanted = np.where(crew.homes, own, wanted)
        if (says := schedule.of(name)) is not None:
            wanted = np.where(says.has, says.energy_wh, wanted)
        with DEVICES.held(self._devices[name]):
            moved_wh, state = fleet.step(states[name], wanted, present)
            state = kept(state, self._homes)
            if not is_whole(moved_wh, (self._homes,)):
                raise InvalidEnergy(
                    f"device {name!r} returns energy that is not one whole number of Wh per home"
                )
            if moved_wh[~self._owns[name]].any():
                raise InvalidEnergy(f"device {name!r} moves energy in homes that have none")
        return moved_wh, states | {name: state}
