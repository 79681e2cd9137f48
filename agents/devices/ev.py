"""An electric car: away from a departure to an arrival of the same day, and ready when it leaves.

On its days it leaves with what the trip needs, and the trip is taken out of the battery at that moment. While it is
plugged in it follows its controller, except that it charges in time: in the last intervals in which full power still
makes it ready it takes that power. What a trip lacks is `ev_unmet_wh`. Only whole intervals at home count. Energy at
the terminals is in Wh, energy stored in uWh; terminals = change of the content + trips + losses, exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from agents.clock import day_of, instant_s, local_minute, weekday
from agents.devices import DEVICES, SHORT_COST, Device, Key, Moment, Window, Windows, column
from agents.errors import Fault, ImpossibleDevice
from agents.rules import DAY_MINUTES
from agents.state import State
from market.orders import Flexible
from market.random import habit_words, whole_between
from market.units import PPM, BoolArray, IntArray
from optimizer.solver.builder import NONE, Columns, ModelBuilder

MAX_CAPACITY_WH: Final = 1_000_000
"""Above 1 MWh a product inside `step` could pass 2^63; no car comes near."""
ALL_DAYS: Final = (0, 1, 2, 3, 4, 5, 6)
_WEEK, _SATURDAY = 7, 5
_PPM2 = PPM * PPM
_NEVER: Final = 2**62
_KEPT: Final = 400


@dataclass(frozen=True, slots=True)
class Car:
    """The parameters of one home's car.

    Args:
        capacity_wh: Usable capacity. [Wh]
        charge_w: Most power it takes, at the terminals. [W]
        trip_wh: Energy of a day's trip. [Wh]
        departure_minute: When it leaves on weekdays, on the local clock. [min]
        arrival_minute: When it is back, on the same day. [min]
        weekend_departure_minute: The same on Saturday and Sunday; as on weekdays where None. [min]
        weekend_arrival_minute: The same. [min]
        days: Weekdays on which it leaves, Monday is 0.
        late_minutes: Most by which an arrival is later, drawn for each home and day. [min]
        discharge_w: Most power it gives; None for a car that only charges. [W]
        charge_efficiency_ppm: Stored per energy taken.
        discharge_efficiency_ppm: Given per energy stored.
        initial_share_ppm: Content at the first interval, as a share of the capacity.
    """

    capacity_wh: int
    charge_w: int
    trip_wh: int
    departure_minute: int
    arrival_minute: int
    weekend_departure_minute: int | None = None
    weekend_arrival_minute: int | None = None
    days: tuple[int, ...] = ALL_DAYS
    late_minutes: int = 0
    discharge_w: int | None = None
    charge_efficiency_ppm: int = PPM
    discharge_efficiency_ppm: int = PPM
    initial_share_ppm: int = 0

    def __post_init__(self) -> None:
        faults = self._faults()
        if faults:
            raise ImpossibleDevice(faults)

    def departure(self, day: int) -> int:
        """When it leaves on a weekday. [min]"""
        own = self.weekend_departure_minute if day >= _SATURDAY else None
        return self.departure_minute if own is None else own

    def arrival(self, day: int) -> int:
        """When it is back at the earliest. [min]"""
        own = self.weekend_arrival_minute if day >= _SATURDAY else None
        return self.arrival_minute if own is None else own

    def _faults(self) -> list[Fault]:
        faults: list[Fault] = []
        kwh = self.capacity_wh / 1_000
        if not 0 < self.capacity_wh <= MAX_CAPACITY_WH:
            cure = f"give a capacity above 0 and at most {MAX_CAPACITY_WH // 1_000} kWh"
            faults.append(("capacity_kwh", f"is {kwh:g}", cure))
        if self.trip_wh > self.capacity_wh:
            wrong = f"is {self.trip_wh / 1_000:g}, more than the battery holds"
            faults.append(("kwh_per_day", wrong, f"give at most its capacity_kwh, {kwh:g}"))
        weekend = (self.weekend_departure_minute, self.weekend_arrival_minute) != (None, None)
        for day, prefix in ((0, ""), (_SATURDAY, "weekend_"))[: 1 + weekend]:
            away = f"{_clock(self.departure(day))} to {_clock(self.arrival(day))}"
            if self.departure(day) >= self.arrival(day):
                cure = "a car is away from the departure to the arrival of the same day: give a later arrival"
                faults.append((f"{prefix}arrival", f"is not after the departure ({away})", cure))
            elif self.arrival(day) + self.late_minutes > DAY_MINUTES:
                latest = DAY_MINUTES - self.arrival(day)
                wrong = f"is {self.late_minutes}, which passes midnight after an arrival at {away[-5:]}"
                faults.append(("late_minutes", wrong, f"give at most {latest}"))
        return faults or self._faults_of_stay()

    def _faults_of_stay(self) -> list[Fault]:
        """Refuse a trip that the shortest stay at home cannot make the car ready for."""
        driven = sorted(set(self.days))
        if not driven:
            return [("days", "names no day", "name the days on which it leaves")]
        after = [*driven[1:], driven[0] + _WEEK]
        stays = [
            (
                (b - a) * DAY_MINUTES + self.departure(b % _WEEK) - self.arrival(a) - self.late_minutes,
                a,
                b % _WEEK,
            )
            for a, b in zip(driven, after, strict=True)
        ]
        shortest, a, b = min(stays)
        most_wh = self.charge_w * self.charge_efficiency_ppm * shortest // (60 * PPM)
        if self.trip_wh <= most_wh:
            return []
        stay = f"{_clock(self.arrival(a) + self.late_minutes)} to {_clock(self.departure(b))}"
        wrong = f"is {self.trip_wh / 1_000:g}, and the shortest stay at home, {stay}, charges less"
        return [("kwh_per_day", wrong, f"give at most {most_wh / 1_000:g}, or a higher charge_kw")]


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _make_room(kept: dict[Any, Any]) -> None:
    """Discard what was computed earliest, where there is much: a plan asks for the same days again and again."""
    if len(kept) > _KEPT:
        del kept[next(iter(kept))]


class Stay(NamedTuple):
    """Where the cars of all homes are in an interval.

    Args:
        home: Whether it is plugged in for the whole interval.
        leaves: Trips that begin in it.
        ahead: Whole intervals at home that follow before the next departure.
    """

    home: BoolArray
    leaves: IntArray
    ahead: IntArray


class Cars:
    """The cars of all homes; a home without one has a battery of nothing that never leaves."""

    columns = ("ev_wh", "ev_stored_wh", "ev_unmet_wh")

    def __init__(self, specs: Sequence[Car | None], minutes: int) -> None:
        self._capacity_uwh = column(specs, "capacity_wh") * PPM
        self._trip_uwh = column(specs, "trip_wh") * PPM
        self._charge_wh = column(specs, "charge_w") * minutes // 60
        gives = [0 if spec is None or spec.discharge_w is None else spec.discharge_w for spec in specs]
        self._discharge_wh = np.array(gives, dtype=np.int64) * minutes // 60
        self._charge_ppm = column(specs, "charge_efficiency_ppm", PPM)
        self._discharge_ppm = column(specs, "discharge_efficiency_ppm", PPM)
        self._initial_uwh = column(specs, "capacity_wh") * column(specs, "initial_share_ppm")
        self._late = column(specs, "late_minutes")

        def by_day(name: str) -> IntArray:
            rows = [[0 if s is None else getattr(s, name)(day) for s in specs] for day in ALL_DAYS]
            return np.array(rows, dtype=np.int64)

        self._departure, self._arrival = by_day("departure"), by_day("arrival")
        self._drives = np.array([[s is not None and day in s.days for s in specs] for day in ALL_DAYS])
        self._trips: dict[tuple[str, int, int], tuple[IntArray, IntArray]] = {}
        self._stays: dict[tuple[str, int, int], Stay] = {}

    def start(self) -> State:
        """The content at the first interval, and nothing moved yet."""
        nothing = np.zeros_like(self._initial_uwh)
        names = ("moved_wh", "used_uwh", "unmet_uwh", "lost_uwh")
        return {"stored_uwh": self._initial_uwh, **dict.fromkeys(names, nothing)}

    def limits(self) -> Mapping[str, tuple[IntArray, IntArray]]:
        """From empty to full. [uWh]"""
        return {"stored_uwh": (np.zeros_like(self._capacity_uwh), self._capacity_uwh)}

    def _trips_around(self, today: int, moment: Moment) -> tuple[IntArray, IntArray]:
        """Departures and arrivals from yesterday to a week ahead, shape (days, homes); never where a car stays. [s]"""
        key = (moment.zone, moment.seed, today)
        if key not in self._trips:
            _make_room(self._trips)
            days = range(today - 1, today + _WEEK + 1)
            trips = [self._trip(day, moment) for day in days]
            self._trips[key] = np.stack([out for out, _ in trips]), np.stack([back for _, back in trips])
        return self._trips[key]

    def _trip(self, day: int, moment: Moment) -> tuple[IntArray, IntArray]:
        """Departure and arrival of a local day. [s since 1970 UTC]"""
        on, late = weekday(day), self._late
        if late.any():
            homes = np.arange(len(late)) if moment.homes is None else moment.homes
            late = whole_between(habit_words(moment.seed, day, homes), np.zeros_like(late), late)
        out = instant_s(moment.zone, day * DAY_MINUTES + self._departure[on])
        back = instant_s(moment.zone, day * DAY_MINUTES + self._arrival[on] + late)
        return np.where(self._drives[on], out, _NEVER), np.where(self._drives[on], back, _NEVER)

    def stay(self, moment: Moment) -> Stay:
        """Where the cars are; one that drives at all leaves again within a week."""
        key = (moment.zone, moment.seed, moment.start_s)
        if key not in self._stays:
            _make_room(self._stays)
            start_s, end_s, step_s = moment.start_s, moment.end_s, moment.minutes * 60
            out, back = self._trips_around(day_of(local_minute(moment.zone, start_s)), moment)
            later = out >= end_s
            ahead = np.where(later, out, _NEVER).min(axis=0) - end_s
            self._stays[key] = Stay(
                home=np.all(later | (back <= start_s), axis=0),
                leaves=((out >= start_s) & ~later).sum(axis=0),
                ahead=np.minimum(ahead // step_s, _WEEK * DAY_MINUTES // moment.minutes),
            )
        return self._stays[key]

    def step(self, state: State, command_wh: IntArray, moment: Moment) -> tuple[IntArray, State]:
        """Leave, or charge and discharge as commanded as far as the car is ready when it leaves next."""
        stay, stored = self.stay(moment), state["stored_uwh"]
        used = np.minimum(stored, self._trip_uwh * stay.leaves)
        unmet = self._trip_uwh * stay.leaves - used
        stored = stored - used
        room_wh = np.minimum(self._charge_wh, (self._capacity_uwh - stored) // self._charge_ppm)
        needed = np.maximum(self._trip_uwh - stay.ahead * self._charge_wh * self._charge_ppm, 0)
        least_wh = -((stored - needed) // self._charge_ppm)
        content_wh = np.maximum(stored - needed, 0) * self._discharge_ppm // _PPM2
        give_most_wh = np.minimum(self._discharge_wh, content_wh)
        wanted = np.where(least_wh > 0, np.maximum(command_wh, least_wh), command_wh)
        wanted = np.where(stay.home, np.clip(wanted, -give_most_wh, room_wh), 0)
        charged, given = np.maximum(wanted, 0), np.maximum(-wanted, 0)
        drawn = -(-given * _PPM2 // self._discharge_ppm)
        return wanted, {
            "stored_uwh": stored + charged * self._charge_ppm - drawn,
            "moved_wh": wanted,
            "used_uwh": used,
            "unmet_uwh": unmet,
            "lost_uwh": charged * (PPM - self._charge_ppm) + drawn - given * PPM,
        }

    def spare_wh(self, state: State, moment: Moment) -> IntArray:
        """What the next trip does not need. [Wh]"""
        spare: IntArray = np.maximum(state["stored_uwh"] - self._trip_uwh, 0) * self._discharge_ppm // _PPM2
        return spare

    def read(self, state: State) -> Mapping[str, IntArray]:
        """Energy at the terminals, content, and energy that a trip of this interval lacked, both rounded down."""
        return {
            "ev_wh": state["moved_wh"],
            "ev_stored_wh": state["stored_uwh"] // PPM,
            "ev_unmet_wh": state["unmet_uwh"] // PPM,
        }

    def windows(self, state: State, moments: Sequence[Moment], homes: BoolArray) -> Windows:
        """A window for each stay at home: what the trip after it lacks, and is charged in time for.

        Where the trip begins after the horizon, all that it lacks waits for a price below what is left is worth, but
        for what could not be charged any more. Cars that give energy too are not known so.
        """
        known, stays = homes & (self._discharge_wh == 0), [self.stay(moment) for moment in moments]
        found: list[Window] = []
        for home in np.flatnonzero(known & (self._charge_wh > 0)).tolist():
            found += self._windows_of(home, int(state["stored_uwh"][home]), stays)
        return Windows(tuple(found), np.zeros((len(moments), len(known)), dtype=np.int64), known)

    def _windows_of(self, home: int, stored_uwh: int, stays: Sequence[Stay]) -> list[Window]:
        """See `windows`, of one car that only charges."""
        trip, power, gain = (int(one[home]) for one in (self._trip_uwh, self._charge_wh, self._charge_ppm))
        capacity, found, first = int(self._capacity_uwh[home]), list[Window](), 0

        def add(end: int, needed_uwh: int, *, needed: bool = True) -> int:
            """The window of intervals from `first` to before `end`; what the car holds at its end. [uWh]"""
            lacking_wh = min(-((stored_uwh - needed_uwh) // gain), (capacity - stored_uwh) // gain)
            energy_wh = min(max(lacking_wh, 0), power * (end - first))
            if energy_wh:
                terms = Flexible(first, end - 1, energy_wh if needed else 0, power, 1)
                found.append(Window(home, energy_wh, needed, terms))
            return stored_uwh + energy_wh * gain

        for t, stay in enumerate(stays):
            if not stay.home[home]:
                stored_uwh = add(t, trip) if stay.leaves[home] else stored_uwh
                stored_uwh = max(stored_uwh - trip * int(stay.leaves[home]), 0)
                first = t + 1
        due = max(trip - int(stays[-1].ahead[home]) * power * gain, 0)
        if self._drives[:, home].any():
            add(len(stays), due if due > stored_uwh else trip, needed=due > stored_uwh)
        return found

    def block(self, model: ModelBuilder, home: int, state: State, moments: Sequence[Moment]) -> list[Columns]:
        """Content s per interval: s[t] = s[t-1] - trip[t] + short[t] + gain x charge[t] - loss x discharge[t].

        At the end there is enough for full power to make the car ready for the first departure after it.
        """
        name, steps = f"ev{home}", len(moments)
        stays = [self.stay(moment) for moment in moments]
        gain, loss = int(self._charge_ppm[home]) / PPM, PPM / int(self._discharge_ppm[home])
        charge_wh, discharge_wh = float(self._charge_wh[home]), float(self._discharge_wh[home])
        trip_wh = int(self._trip_uwh[home]) / PPM
        at_home = np.array([float(stay.home[home]) for stay in stays])
        charge = model.variables(f"{name}.charge_wh", steps, upper=charge_wh * at_home)
        discharge = model.variables(f"{name}.discharge_wh", steps, upper=discharge_wh * at_home)
        stored = model.variables(f"{name}.stored_wh", steps, upper=int(self._capacity_uwh[home]) / PPM)
        trips = trip_wh * np.array([float(stay.leaves[home]) for stay in stays])
        short = model.variables(f"{name}.short_wh", steps, upper=trips, cost=SHORT_COST)
        unready = model.variables(f"{name}.unready_wh", 1, cost=SHORT_COST)
        held = -trips
        held[0] += float(state["stored_uwh"][home]) / PPM
        before = np.append(NONE, stored[:-1])
        terms = [(stored, 1.0), (charge, -gain), (discharge, loss), (short, -1.0), (before, -1.0)]
        model.constraints(f"{name}.content", terms, lower=held, upper=held)
        ready = max(trip_wh - int(stays[-1].ahead[home]) * charge_wh * gain, 0.0)
        model.constraint(f"{name}.ready", [(stored[-1], 1.0), (unready[0], 1.0)], lower=ready)
        return [charge, discharge]


EV = DEVICES.register(
    Device(
        name="ev",
        keys=(
            Key("capacity_kwh", "capacity_wh", "energy", "Usable capacity of its battery, in kWh."),
            Key("charge_kw", "charge_w", "power", "The most it takes in, in kW."),
            Key("kwh_per_day", "trip_wh", "energy", "What it needs when it leaves, and uses, in kWh a day."),
            Key("departure", "departure_minute", "clock", "When it leaves, on the local clock."),
            Key("arrival", "arrival_minute", "clock", "When it is back on the same day."),
            Key(
                "weekend_departure",
                "weekend_departure_minute",
                "clock",
                "When it leaves on Saturday and Sunday; left out: as on other days.",
                optional=True,
            ),
            Key(
                "weekend_arrival",
                "weekend_arrival_minute",
                "clock",
                "When it is back on Saturday and Sunday; left out: as on other days.",
                optional=True,
            ),
            Key("days", "days", "weekdays", "Days on which it leaves; on others it stays.", ALL_DAYS),
            Key(
                "late_minutes",
                "late_minutes",
                "whole",
                "By how many minutes an arrival may be later, drawn for every home and day.",
                0,
            ),
            Key(
                "discharge_kw",
                "discharge_w",
                "power",
                "The most it gives to the home, in kW; left out: it only charges.",
                optional=True,
            ),
            Key(
                "charge_efficiency",
                "charge_efficiency_ppm",
                "efficiency",
                "Share of the charged energy that is stored.",
                PPM,
            ),
            Key(
                "discharge_efficiency",
                "discharge_efficiency_ppm",
                "efficiency",
                "Share of the stored energy that comes out.",
                PPM,
            ),
            Key("initial_share", "initial_share_ppm", "share", "How full it is at the start of the run.", 0),
        ),
        spec=Car,
        fleet=Cars,
        summary="an electric car that is ready when it leaves, and may give energy to the home",
        used="ev_wh",
        unmet="ev_unmet_wh",
        most_w=lambda spec: (spec.charge_w, spec.discharge_w or 0),
    )
)
