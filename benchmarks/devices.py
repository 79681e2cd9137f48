"""All devices: the plan of one home with every kind of device, and a step of every kind for many homes.

A plan is the linear program of a day ahead, written, compiled and solved from nothing, as an interval's plan has to be
where trips, windows and draws move; the solver alone is given the same program ready made. pv is measured where pvlib
is installed.

Usage: python -m benchmarks.devices
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from agents.day_plan import Day, DayPlan
from agents.devices import DEVICES, Fleet, Moment
from agents.devices.appliance import Appliance
from agents.devices.battery import Battery
from agents.devices.ev import Car
from agents.devices.flexible_load import FlexibleLoad
from agents.devices.heat_pump import HeatPump
from agents.devices.hot_water import Tank
from market.settlement.tariff import OutsidePrices
from optimizer.solver.builder import ModelBuilder
from optimizer.solver.compile import CompiledModel
from optimizer.solver.session import Session

START_S = 1_475_280_000
WEATHER = {"temp_c": 4.0, "ghi": 300.0, "dni": 250.0, "dhi": 120.0}
TARIFF = OutsidePrices(
    np.tile(np.repeat([240_000, 480_000, 240_000], [68, 16, 12]), 9), np.full(9 * 96, 60_000)
)
"""A tariff with an evening peak, by quarter hours."""
HOMES = 1_000
ROUNDS = 40
SPECS: dict[str, Any] = {
    "appliance": Appliance(1_200, 120, 20 * 60, 6 * 60),
    "battery": Battery(6_400, 5_000, 5_000, 949_000, 949_000),
    "ev": Car(58_000, 11_000, 7_500, 450, 1_050, charge_efficiency_ppm=920_000, late_minutes=60),
    "flexible_load": FlexibleLoad(5_000, 2_000, 200),
    "heat_pump": HeatPump(2_500, 160, 9_000, 3_400, 70),
    "hot_water": Tank(
        200, 2_000, (0,) * 6 + (30_000, 25_000) + (0,) * 10 + (15_000, 20_000, 10_000, 5_000, 0, 0)
    ),
}
if find_spec("pvlib"):
    from agents.devices.pv import Generator

    SPECS["pv"] = Generator(6_000, 35_000_000, 180_000_000, 48_100_000, 11_600_000)


def moments(first: int, steps: int, minutes: int) -> list[Moment]:
    """The intervals of a horizon."""
    starts = [START_S + (first + t) * minutes * 60 for t in range(steps)]
    return [
        Moment(
            start_s, minutes, WEATHER, "Europe/Berlin", tariff=TARIFF, tariff_row=(start_s - START_S) // 900
        )
        for start_s in starts
    ]


def program(
    fleets: dict[str, Fleet], states: dict[str, Any], horizon: list[Moment], home: int
) -> CompiledModel:
    """The plan of one home: every device, a meter, and two prices."""
    model, steps = ModelBuilder(), len(horizon)
    taken: list[list[tuple[int, float]]] = [[] for _ in range(steps)]
    for name, fleet in fleets.items():
        takes, gives = fleet.block(model, home, states[name], horizon)
        for t in range(steps):
            taken[t] += [(int(takes[t]), -1.0), (int(gives[t]), 1.0)]
    imported = model.variables("import_wh", steps)
    exported = model.variables("export_wh", steps)
    for t in range(steps):
        load = 300.0 + 200.0 * (t % 7)
        model.constraint(f"meter[{t}]", [(imported[t], 1.0), (exported[t], -1.0), *taken[t]], load, load)
    model.add_cost(imported, 300_000.0 - 50.0 * np.arange(steps))
    model.add_cost(exported, -80_000.0 - 50.0 * np.arange(steps))
    return model.compile()


def solve(compiled: CompiledModel) -> None:
    """Solve it from nothing."""
    Session(compiled).resolve(compiled.cost, compiled.lower, compiled.upper)


def thinking_home(steps: int, minutes: int) -> tuple[float, float]:
    """The plan of a home with a battery, a car and a heat pump, and the bare `run()` of its program. [ms]

    The plan is that of `control = "plan"`: written, compared with the last one, and solved in the session that is kept.
    The yardstick is HiGHS alone on the same program, without a basis as there, with only `run()` timed.
    """
    fleets = {
        name: DEVICES.get(name).fleet([SPECS[name]], minutes) for name in ("battery", "ev", "heat_pump")
    }
    states = {name: fleet.start() for name, fleet in fleets.items()}
    load, plan = 300 + 200 * (np.arange(steps) % 7), DayPlan()
    bought, sold = 300_000.0 - 50.0 * np.arange(steps), 80_000.0 + 0.0 * np.arange(steps)
    whole_ms, bare_ms = [], []
    for i in range(ROUNDS):
        day = Day(
            moments=moments(i, steps, minutes),
            net_wh=load + 10 * i,
            bought=bought + i,
            sold=sold,
            left=80_000.0,
        )
        begun = time.process_time()
        plan.solve(fleets, 0, states, day)
        whole_ms.append((time.process_time() - begun) * 1_000)
        session, model = plan._session, plan._model
        assert session is not None
        assert model is not None
        highs = session._highs
        session.forget_basis()
        begun = time.process_time()
        highs.run()
        bare_ms.append((time.process_time() - begun) * 1_000)
    return statistics.median(whole_ms), statistics.median(bare_ms)


def cpu_ms(run: Callable[[int], object]) -> float:
    """Median CPU time of a call. [ms]"""
    times = []
    for i in range(ROUNDS):
        before = time.process_time()
        run(i)
        times.append((time.process_time() - before) * 1_000)
    return statistics.median(times)


def main() -> None:
    """Print both tables."""
    print("plan of one home with all devices, CPU of one core, medians")
    print("steps  written and compiled  solved    whole  target")
    for steps, minutes, target in ((24, 60, "5 ms"), (96, 15, "")):
        fleets = {name: DEVICES.get(name).fleet([spec], minutes) for name, spec in SPECS.items()}
        states = {name: fleet.start() for name, fleet in fleets.items()}

        def written(
            i: int, fleets: Any = fleets, states: Any = states, of: Any = (steps, minutes)
        ) -> CompiledModel:
            return program(fleets, states, moments(i, *of), 0)

        ready = written(0)
        write, solved = cpu_ms(written), cpu_ms(lambda i, ready=ready: solve(ready))
        whole = cpu_ms(lambda i, written=written: solve(written(i)))
        print(f"{steps:>5} {write:>18.2f} ms {solved:>4.2f} ms {whole:>5.2f} ms  {target}")
    print('\nplan of one home with battery, car and heat pump under control = "plan"')
    print("steps    whole    run()  ratio  target")
    for steps, minutes in ((24, 60), (96, 15)):
        whole, bare = thinking_home(steps, minutes)
        print(f"{steps:>5} {whole:>5.2f} ms {bare:>5.2f} ms {whole / bare:>6.2f}  1.5")
    print(f"\none step of {HOMES:,} homes, 15 minutes, CPU of one core, medians")
    for name, spec in SPECS.items():
        fleet = DEVICES.get(name).fleet([spec] * HOMES, 15)
        state, asked = fleet.start(), np.zeros(HOMES, dtype=np.int64)
        now = moments(0, ROUNDS, 15)
        ms = cpu_ms(
            lambda i, fleet=fleet, state=state, asked=asked, now=now: fleet.step(state, asked, now[i])
        )
        print(f"{name:<13} {ms:>6.3f} ms")


if __name__ == "__main__":
    main()
