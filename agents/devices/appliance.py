"""An appliance that can run at another time: once a day within a window, without a break.

It starts when its controller gives it at least half of what its first interval needs, which is also how the relaxed
start of a linear program is rounded, and at the latest when only a start now ends in time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agents.clock import day_of, instant_s, local_minute, weekday
from agents.devices import DEVICES, Device, Key, Moment, Window, Windows, column
from agents.errors import Fault, ImpossibleDevice
from agents.rules import DAY_MINUTES
from agents.state import State
from market.orders import Flexible
from market.units import BoolArray, IntArray
from optimizer.solver.builder import Columns, ModelBuilder

ALL_DAYS = (0, 1, 2, 3, 4, 5, 6)
MOST_ENERGY_WH = 1_000_000
_KEPT = 32


@dataclass(frozen=True, slots=True)
class Appliance:
    """The parameters of one home's appliance.

    Args:
        run_wh: Energy of a run, the same in all of its intervals but for roundings. [Wh]
        duration_minutes: Length of a run, which takes whole intervals. [min]
        earliest_minute: Earliest start on the local clock. [min]
        latest_minute: Latest end; on the next day where it is not after the earliest start. [min]
        days: Weekdays on which its window begins, Monday is 0.
    """

    run_wh: int
    duration_minutes: int
    earliest_minute: int
    latest_minute: int
    days: tuple[int, ...] = ALL_DAYS

    @property
    def window_minutes(self) -> int:
        """Length of the window on a day without a change of the clock. [min]"""
        return (self.latest_minute - self.earliest_minute - 1) % DAY_MINUTES + 1

    def __post_init__(self) -> None:
        faults: list[Fault] = []
        if not 0 < self.run_wh <= MOST_ENERGY_WH:
            cure = f"give an energy above 0 and at most {MOST_ENERGY_WH // 1_000}"
            faults.append(("kwh_per_run", f"is {self.run_wh / 1_000:g}", cure))
        if not 0 < self.duration_minutes <= self.window_minutes:
            wrong = f"is {self.duration_minutes}, and a run has to fit into the window"
            faults.append(("duration_minutes", wrong, f"give 1 to {self.window_minutes}"))
        if not self.days:
            faults.append(("days", "names no day", "name the days on which it runs"))
        if faults:
            raise ImpossibleDevice(faults)


class Appliances:
    """The appliances of all homes; a home without one has one that never runs."""

    columns = ("appliance_wh", "appliance_left", "appliance_unmet_wh")

    def __init__(self, specs: Sequence[Appliance | None], minutes: int) -> None:
        self._run_wh = column(specs, "run_wh")
        self._parts = -(-column(specs, "duration_minutes", 1) // minutes)
        self._earliest = column(specs, "earliest_minute")
        self._window = column(specs, "window_minutes")
        self._opened: dict[tuple[str, int], tuple[IntArray, IntArray]] = {}
        self._on = np.array([[s is not None and day in s.days for s in specs] for day in ALL_DAYS])

    def start(self) -> State:
        """No run has begun."""
        nothing = np.zeros_like(self._run_wh)
        return {"left": nothing, "begun_day": nothing - 1, "moved_wh": nothing, "unmet_wh": nothing}

    def limits(self) -> Mapping[str, tuple[IntArray, IntArray]]:
        """Intervals that a run still has to go."""
        return {"left": (np.zeros_like(self._parts), self._parts)}

    def _windows(self, moment: Moment) -> Iterator[tuple[int, BoolArray, IntArray, IntArray]]:
        """The windows that may hold an interval: local day, the homes that run on it, start and end. [s]"""
        today = day_of(local_minute(moment.zone, moment.start_s))
        for day in (today - 1, today):
            yield day, self._on[weekday(day)], *self._window_of(moment.zone, day)

    def _window_of(self, zone: str, day: int) -> tuple[IntArray, IntArray]:
        """Start and end of the windows of a local day. [s since 1970 UTC]"""
        if (zone, day) not in self._opened:
            if len(self._opened) > _KEPT:
                del self._opened[next(iter(self._opened))]
            first = day * DAY_MINUTES + self._earliest
            self._opened[zone, day] = instant_s(zone, first), instant_s(zone, first + self._window)
        return self._opened[zone, day]

    def _part_wh(self, part: IntArray) -> IntArray:
        """Energy of the n-th interval of a run, of the first one never 0, by which a start is commanded. [Wh]"""
        energy: IntArray = -self._run_wh * part // self._parts - -self._run_wh * (part + 1) // self._parts
        return energy

    def step(self, state: State, command_wh: IntArray, moment: Moment) -> tuple[IntArray, State]:
        """Go on with a run, or start one if commanded or if it is the last moment."""
        left, begun, step_s = state["left"], state["begun_day"], moment.minutes * 60
        asked = 2 * command_wh >= np.maximum(self._part_wh(np.zeros_like(left)), 1)
        for day, on, open_s, close_s in self._windows(moment):
            waits = on & (left == 0) & (begun < day) & (open_s <= moment.start_s)
            fitting = (close_s - moment.start_s) // step_s - self._parts
            # A window that the clock or the length of an interval has made too short: the run ends late.
            too_short = (fitting < 0) & (open_s > moment.start_s - step_s)
            goes = waits & (((fitting >= 0) & asked) | (fitting == 0) | too_short)
            left, begun = np.where(goes, self._parts, left), np.where(goes, day, begun)
        moved = np.where(left > 0, self._part_wh(self._parts - left), 0)
        unmet = self._unmet_wh(begun, moved, moment)
        left = np.maximum(left - 1, 0)
        return moved, {"left": left, "begun_day": begun, "moved_wh": moved, "unmet_wh": unmet}

    def _unmet_wh(self, begun: IntArray, moved: IntArray, moment: Moment) -> IntArray:
        """Energy of an interval that comes after its window, and of a run that none follows because one still went."""
        in_time, missed = np.zeros(len(moved), dtype=np.bool_), np.zeros(len(moved), dtype=np.bool_)
        for day, on, _, close_s in self._windows(moment):
            closes = (moment.start_s < close_s) & (close_s <= moment.end_s)
            missed |= on & closes & (begun >= 0) & (begun < day)
            in_time |= (begun == day) & (moment.end_s <= close_s)
        return np.where(in_time, 0, moved) + np.where(missed, self._run_wh, 0)

    def read(self, state: State) -> Mapping[str, IntArray]:
        """Energy, intervals that a run still has to go, and energy that came late or never."""
        return {
            "appliance_wh": state["moved_wh"],
            "appliance_left": state["left"],
            "appliance_unmet_wh": state["unmet_wh"],
        }

    def windows(self, state: State, moments: Sequence[Moment], homes: BoolArray) -> Windows:
        """A run in one piece for each of its windows that has to be used within the horizon.

        What has begun goes on, and a run that fits into the horizon at its last moment only, if at all, begins then.
        """
        fixed_wh = np.zeros((len(moments), len(homes)), dtype=np.int64)
        found: list[Window] = []
        for home in np.flatnonzero(homes & (self._run_wh > 0)).tolist():
            run, left, steps = self._run_of(home), int(state["left"][home]), len(moments)
            fixed_wh[:left, home] = run[len(run) - left :][:steps]
            free, pieces = left, -(-sum(run) // run[0])
            for _, (starts, must) in sorted(self._starts(home, state, moments).items()):
                if not must:
                    continue
                first, last = max(starts[0], free), min(starts[-1] + pieces, steps) - 1
                if last - first + 1 >= pieces:
                    terms = Flexible(first, last, sum(run), run[0], 0)
                    found.append(Window(home, sum(run), True, terms))
                else:
                    last = min(starts[-1] + len(run), steps) - 1
                    fixed_wh[starts[-1] : last + 1, home] += run[: last + 1 - starts[-1]]
                free = last + 1
        return Windows(tuple(found), fixed_wh, homes)

    def _run_of(self, home: int) -> list[int]:
        """Energy of each interval of a run. [Wh]"""
        parts = range(int(self._parts[home]))
        return [int(self._part_wh(np.full_like(self._parts, part))[home]) for part in parts]

    def block(self, model: ModelBuilder, home: int, state: State, moments: Sequence[Moment]) -> list[Columns]:
        """A share of a run for every start that is possible; the shares of a window sum to one run.

        Without other constraints the best shares are whole. A window that goes on beyond the horizon may wait.
        """
        name, steps, parts = f"appliance{home}", len(moments), int(self._parts[home])
        takes = model.variables(f"{name}.takes_wh", steps)
        gives = model.variables(f"{name}.gives_wh", steps, upper=0.0)
        run = self._run_of(home)
        fixed = [0] * steps
        left = int(state["left"][home])
        fixed[: min(left, steps)] = run[parts - left :][:steps]
        terms: list[list[tuple[int, float]]] = [[(int(takes[t]), 1.0)] for t in range(steps)]
        for day, (starts, must) in self._starts(home, state, moments).items():
            shares = model.variables(f"{name}.starts_of_day_{day}", len(starts))
            for share, first in zip(shares.tolist(), starts, strict=True):
                for part, energy in enumerate(run[: steps - first]):
                    terms[first + part].append((share, -float(energy)))
            lower = 1.0 if must else 0.0
            model.constraint(f"{name}.once[{day}]", [(int(s), 1.0) for s in shares], lower=lower, upper=1.0)
        for t, one in enumerate(terms):
            model.constraint(f"{name}.runs[{t}]", one, lower=float(fixed[t]), upper=float(fixed[t]))
        return [takes, gives]

    def _starts(
        self, home: int, state: State, moments: Sequence[Moment]
    ) -> dict[int, tuple[list[int], bool]]:
        """By local day the intervals in which its run can start, and whether it has to start in one of them."""
        parts, left, begun = int(self._parts[home]), int(state["left"][home]), int(state["begun_day"][home])
        found: dict[int, tuple[list[int], bool]] = {}
        for t, moment in enumerate(moments):
            step_s = moment.minutes * 60
            for day, on, open_s, close_s in self._windows(moment):
                opens, fitting = int(open_s[home]), (int(close_s[home]) - moment.start_s) // step_s - parts
                if not on[home] or day <= begun or t < left or opens > moment.start_s:
                    continue
                if fitting >= 0 or opens > moment.start_s - step_s:
                    starts, must = found.get(day, ([], False))
                    found[day] = [*starts, t], must or fitting <= 0
        return found


APPLIANCE = DEVICES.register(
    Device(
        name="appliance",
        keys=(
            Key("kwh_per_run", "run_wh", "energy", "Energy of a run, in kWh."),
            Key("duration_minutes", "duration_minutes", "whole", "Length of a run, in minutes."),
            Key("earliest_start", "earliest_minute", "clock", "Earliest start on the local clock."),
            Key("latest_end", "latest_minute", "clock", "Latest end; at or before the start: the next day."),
            Key("days", "days", "weekdays", "Days on which it runs, by the start of its window.", ALL_DAYS),
        ),
        spec=Appliance,
        fleet=Appliances,
        summary="an appliance that runs once a day, when there is surplus or at the last moment",
        used="appliance_wh",
        unmet="appliance_unmet_wh",
        most_w=lambda spec: (-(-spec.run_wh * 60 // spec.duration_minutes), 0),
    )
)
