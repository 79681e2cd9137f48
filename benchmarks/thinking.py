"""What thinking is worth: plans of ten Californian homes with batteries over two windows of 28 days, and their speed.

Costs are what all homes would pay the retailer one by one (alone) and through one meter (netted). Windows begin and
end at local midnight, when little is in store: never compare plans over a window that ends with full batteries.

Usage: python -m benchmarks.thinking [--homes FOLDER] [--quick] [--horizons] [--flexible]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np

import wattswap as ws
from agents.bidding import STRATEGIES, Strategy, one_order_a_home
from agents.control import CONTROLLERS
from agents.control.plan import Ties, planner
from agents.day_plan import Day, DayPlan
from agents.devices import DEVICES, Moment
from agents.devices.battery import Batteries, Battery
from benchmarks import flexible
from benchmarks.market_game import CALIFORNIA, HEAD
from market.settlement.accounts import TRADE
from market.units import MICRO_PER_UNIT, NANO_PER_UNIT, PPM, FloatArray, IntArray
from optimizer.solver.builder import ModelBuilder
from optimizer.solver.session import Session
from wattswap.runs.interval import step
from wattswap.runs.prepare import Setup, prepare

SEPTEMBER, APRIL = "2016-09-01T07:00:00Z", "2017-04-01T07:00:00Z"
ALONE: Final = "market.mechanism=retailer_only"
FLAT: Final = ("tariff.time_of_use=[]", "tariff.import_per_kwh=0.30", ALONE)
TIES: Final = {
    "no_ties": Ties(0, 0, 0, 0),
    "early": Ties(spread_ppm=0, gently_ppm=0),
    "early_and_spread": Ties(spread_ppm=7_000, gently_ppm=0),
}
"""Other ways to decide ties than that of `plan`, by the name of a controller."""
NEVER: Final = "never"
HOMES: Final = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way over one window; `again` is what is netted, computed from readings and contents. [currency, kW, kWh]"""

    alone: float
    netted: float
    peak_kw: float
    traded_kwh: float
    left_kwh: float
    paid: tuple[float, ...]
    notes: tuple[str, ...]
    again: float


@contextmanager
def registered() -> Iterator[None]:
    """With the controllers and the strategy that only this benchmark needs."""
    for name, ties in TIES.items():
        CONTROLLERS.register(planner(name, "a benchmark", ties))
    STRATEGIES.register(
        Strategy(NEVER, lambda state, view: one_order_a_home(view.net_wh * 0, 0, 0), "a benchmark"),
        contract=2,
    )
    try:
        yield
    finally:
        for name in TIES:
            CONTROLLERS.forget(name)
        STRATEGIES.forget(NEVER)


def window(folder: Path, homes: Path, start: str, *overrides: str) -> Setup:
    """A window of the Californian homes."""
    path = folder / "window.toml"
    text = HEAD.format(currency="USD", start=start) + CALIFORNIA.format(path=homes.resolve())
    path.write_text(text, encoding="utf-8")
    return prepare(ws.load(path, overrides=list(overrides)))


def lived(setup: Setup) -> Outcome:
    """Live a window."""
    community = setup.community()
    alone = netted = traded = peak = 0
    paid, again = np.zeros(len(setup.roster), dtype=np.int64), 0.0
    stored: IntArray = paid
    before = paid
    for i in range(setup.intervals):
        record = step(setup, community, i)
        net_wh = int((record.import_wh - record.export_wh).sum())
        prices = record.prices
        alone -= int(record.settled.baseline_nano.sum())
        netted += net_wh * (prices.import_micro_per_kwh if net_wh > 0 else prices.feed_in_micro_per_kwh)
        peak, traded = max(peak, net_wh), traded + record.traded_wh
        postings = record.settled.postings
        paid = paid - postings.lines[: postings.members, TRADE:].sum(axis=1)
        stored = record.columns.get("stored_wh", stored)
        row = setup.first_row + i
        read_wh = setup.meter.import_wh[row] - setup.meter.export_wh[row]
        by_contents = float((read_wh + taken_wh(setup, (stored - before).astype(np.float64))).sum())
        again += by_contents * (
            prices.import_micro_per_kwh if by_contents > 0 else prices.feed_in_micro_per_kwh
        )
        before = stored
    return Outcome(
        alone / NANO_PER_UNIT,
        netted / NANO_PER_UNIT,
        peak * 60 / setup.minutes / 1e3,
        traded / 1e3,
        int(stored.sum()) / 1e3,
        tuple((paid / NANO_PER_UNIT).tolist()),
        community.control_notes(),
        again / NANO_PER_UNIT,
    )


def optimum(setup: Setup) -> float:
    """The least that homes pay alone with the true future of the whole window: one linear program a home."""
    fleet = DEVICES.get("battery").fleet(setup.devices["battery"], setup.minutes)
    rows = slice(setup.first_row, setup.first_row + setup.intervals)
    net_wh = (setup.meter.import_wh - setup.meter.export_wh)[rows]
    moments = [Moment(setup.start_of(i), setup.minutes, {}) for i in range(setup.intervals)]
    bought = setup.prices.import_micro_per_kwh.astype(np.float64)
    sold = setup.prices.feed_in_micro_per_kwh.astype(np.float64)
    total = 0.0
    for home in range(len(setup.roster)):
        day = Day(moments=moments, net_wh=net_wh[:, home], bought=bought, sold=sold, left=0.0)
        total += DayPlan().solve({"battery": fleet}, home, {"battery": fleet.start()}, day)[1]
    return total / NANO_PER_UNIT


def printed(label: str, outcome: Outcome, more: str = "") -> None:
    """One line of the table."""
    print(
        f"{label:<52} {outcome.alone:>9,.1f} {outcome.netted:>9,.1f} {outcome.peak_kw:>6.1f}"
        f" {outcome.traded_kwh:>7,.0f} {outcome.left_kwh:>6.1f}  {more}",
        flush=True,
    )


def of_window(folder: Path, homes: Path, start: str) -> None:
    """The table of one window."""
    print(f"\n{start}: {'cost alone, netted [USD], peak [kW], traded, left in store [kWh]':>60}")

    def go(label: str, *overrides: str, share: bool = False) -> Outcome:
        outcome = lived(window(folder, homes, start, *overrides))
        kept = f"{100 * (rule.alone - outcome.alone) / (rule.alone - best):.0f} % kept" if share else ""
        printed(label, outcome, "; ".join((*([kept] if kept else []), *outcome.notes)))
        return outcome

    best = optimum(window(folder, homes, start))
    rule = lived(window(folder, homes, start, ALONE))
    go("no battery", "homes.batteries=none", ALONE)
    printed("rule of self-consumption", rule)
    print(f"{'optimum over the window, each home alone':<52} {best:>9,.1f}")
    perfect = "homes.forecast=perfect_foresight"
    go("plan, perfect foresight of a day", "homes.control=plan", perfect, ALONE, share=True)
    for forecast in ("same_hour_mean", "ridge"):
        for control in (*TIES, "plan"):
            ways = f"homes.control={control}", f"homes.forecast={forecast}"
            if forecast == "ridge" or control in ("no_ties", "plan"):
                go(f"{control}, {forecast}", *ways, ALONE, share=True)
    go("plan_by_scenarios, ridge", "homes.control=plan_by_scenarios", ALONE, share=True)
    go("rule, market")
    for control in ("no_ties", "early", "plan", "plan_by_scenarios"):
        go(f"{control}, market, orders an hour ahead", f"homes.control={control}")
    go("plan, market, perfect foresight", "homes.control=plan", perfect)
    horizons(folder, homes, start)


def horizons(folder: Path, homes: Path, start: str) -> None:
    """A market that clears a day at once, beside the plan alone, an interval auction and the optimum."""
    print(f"\n{start}: one horizon for all batteries")
    plan, ahead = "homes.control=plan", "market.mechanism=multi_interval"
    perfect, metered = "homes.forecast=perfect_foresight", "market.quantities=metered"
    for label, overrides in {
        "plan alone, ridge": (plan, ALONE),
        "plan, uniform_price, ordered an hour ahead": (plan,),
        "plan, uniform_price, metered": (plan, metered),
        "multi_interval, ordered an hour ahead": (plan, ahead),
        "multi_interval, metered": (plan, ahead, metered),
        "multi_interval, metered, perfect foresight": (plan, ahead, metered, perfect),
    }.items():
        outcome = lived(window(folder, homes, start, *overrides))
        printed(label, outcome, f"netted, from readings and contents {outcome.again:,.1f}")
    least = community_optimum(window(folder, homes, start))
    print(f"{'optimum over the window, all homes together':<52} {'':>9} {least:>9,.1f}", flush=True)


def taken_wh(setup: Setup, change_wh: FloatArray) -> FloatArray:
    """What batteries must have taken for a change of their contents. [Wh]"""
    specs = [spec or Battery(1, 1, 1, PPM, PPM) for spec in setup.devices["battery"]]
    into = np.array([spec.charge_efficiency_ppm for spec in specs]) / PPM
    out = np.array([spec.discharge_efficiency_ppm for spec in specs]) / PPM
    taken: FloatArray = np.where(change_wh > 0, change_wh / into, change_wh * out)
    return taken


def community_optimum(setup: Setup) -> float:
    """The least that one meter of all homes pays with the true future of the whole window: one linear program."""
    builder, steps = ModelBuilder(), setup.intervals
    rows = slice(setup.first_row, setup.first_row + steps)
    net_wh = (setup.meter.import_wh - setup.meter.export_wh)[rows].sum(axis=1).astype(np.float64)
    bought = setup.prices.import_micro_per_kwh.astype(np.float64)
    sold = setup.prices.feed_in_micro_per_kwh.astype(np.float64)
    imported, exported = (
        builder.variables("in", steps, cost=bought),
        builder.variables("out", steps, cost=-sold),
    )
    terms = [(imported, 1.0), (exported, -1.0)]
    fleet = DEVICES.get("battery").fleet(setup.devices["battery"], setup.minutes)
    moments = [Moment(setup.start_of(i), setup.minutes, {}) for i in range(steps)]
    for home in range(len(setup.roster)):
        charge, discharge = fleet.block(builder, home, fleet.start(), moments)
        terms += [(charge, -1.0), (discharge, 1.0)]
    builder.constraints("balance", terms, lower=net_wh, upper=net_wh)
    model = builder.compile()
    x = Session(model).answer(model.cost, model.lower, model.upper, model.row_lower, model.row_upper)
    return float(model.cost @ x) / NANO_PER_UNIT


def studies(folder: Path, homes: Path) -> None:
    """The flat tariff, herding, and what never trading costs each home."""
    print("\nflat tariff, .30 and .05")
    for label, control in (("rule", "self_consumption"), ("plan", "plan")):
        printed(label, lived(window(folder, homes, SEPTEMBER, *FLAT, f"homes.control={control}")))
    print("\nhomes that plan by the local prices of last week")
    for share in (0, 0.2, 0.3, 1):
        ways = f"homes.control=plan homes.controls={{plan_by_local_prices={share}}}".split()
        printed(f"{10 * share:.0f} of 10", lived(window(folder, homes, SEPTEMBER, *ways)))
    setup = window(folder, homes, SEPTEMBER, "homes.control=plan")
    everybody = lived(setup)
    print("\nwhat it costs a home never to trade, in % of its bill", end=": ", flush=True)
    for home, name in enumerate(setup.roster):
        own = f'homes.strategies={{{NEVER}=["{name}"]}}'
        without = lived(window(folder, homes, SEPTEMBER, "homes.control=plan", own))
        more = without.paid[home] - everybody.paid[home]
        print(f"{100 * more / abs(everybody.paid[home]):.1f}", end=" ", flush=True)
    print()


def speed(folder: Path, homes: Path) -> None:
    """CPU time of the plans of many homes, and of the linear program of one. [s]"""
    setup = window(folder, homes, SEPTEMBER, "homes.control=plan", ALONE)
    copies = HOMES // len(setup.roster)
    meter = setup.meter
    many = replace(
        setup,
        meter=replace(
            meter,
            households=tuple(f"h{i:03}" for i in range(HOMES)),
            import_wh=np.tile(meter.import_wh, copies),
            export_wh=np.tile(meter.export_wh, copies),
            quality=np.tile(meter.quality, copies),
            sub_meters={name: np.tile(column, copies) for name, column in meter.sub_meters.items()},
            batteries=meter.batteries * copies,
        ),
        devices={name: specs * copies for name, specs in setup.devices.items()},
        strategies=setup.strategies * copies,
        controllers=setup.controllers * copies,
        forecasters=setup.forecasters * copies,
        tariffs=replace(setup.tariffs, of_home=np.tile(setup.tariffs.of_home, copies)),
    )
    community, begun = many.community(), time.process_time()
    for i in range(96):
        community.bids(many.prices.at(i))
        community.live()
    print(
        f"\n{HOMES} homes x 96 plans, forecasts and orders included: {time.process_time() - begun:.1f} s of CPU"
    )
    whole, bare = hot_plans()
    print(
        f"linear program of a home, 24 steps: {1e3 * whole:.2f} ms of CPU, bare HiGHS run {1e3 * bare:.2f} ms,"
        f" ratio {whole / bare:.2f}"
    )


def hot_plans() -> tuple[float, float]:
    """Median CPU time of a plan of a day with a battery, and of the bare solve of the same program in turn. [s]"""
    import highspy

    spec = Battery(6_400, 5_000, 5_000, 948_683, 948_683)
    fleet: Any = Batteries.from_specs([spec], 60)
    solver, draw = DayPlan(), np.random.default_rng(0)
    moments = [Moment(hour * 3_600, 60, {}) for hour in range(24)]
    ahead, whole, bare = np.arange(24), [], []
    for k in range(300):
        bought = np.where((ahead + k) % 24 > 18, 0.54, 0.22) * MICRO_PER_UNIT * (1 - 0.0005 * ahead)
        sold = np.full(24, 0.05) * MICRO_PER_UNIT * (1 + 0.0005 * ahead)
        day = Day(
            moments=moments, net_wh=draw.integers(-3_000, 3_000, 24), bought=bought, sold=sold, left=2e5
        )
        state = {"battery": {"stored_uwh": np.array([draw.integers(0, 6_400_000_000)])}}
        begun = time.process_time()
        solver.solve({"battery": fleet}, 0, state, day)
        whole.append(time.process_time() - begun)
        model, session = solver._model, solver._session
        assert model is not None
        assert session is not None
        highs: highspy.Highs = session._highs
        columns = np.arange(len(model.cost), dtype=np.int32)
        session.forget_basis()
        begun = time.process_time()
        highs.changeColsCost(len(columns), columns, model.cost)
        highs.changeColsBounds(len(columns), columns, model.lower, model.upper)
        highs.run()
        np.array(highs.getSolution().col_value)
        bare.append(time.process_time() - begun)
    return median(whole), median(bare)


def main(argv: list[str]) -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.thinking")
    parser.add_argument("--homes", type=Path, default=Path("../shared/data/homes_fontana_ca"))
    parser.add_argument("--quick", action="store_true", help="the speed alone")
    parser.add_argument("--horizons", action="store_true", help="the markets that clear a day at once alone")
    parser.add_argument(
        "--flexible", action="store_true", help="cars and appliances as orders alone, bundled data"
    )
    given = parser.parse_args(argv)
    if given.flexible:
        flexible.table()
        return
    if not given.homes.exists():
        print(f"left out: no data at {given.homes}")
        return
    with registered(), tempfile.TemporaryDirectory() as folder:
        if given.horizons:
            horizons(Path(folder), given.homes, SEPTEMBER)
            return
        speed(Path(folder), given.homes)
        if not given.quick:
            of_window(Path(folder), given.homes, SEPTEMBER)
            of_window(Path(folder), given.homes, APRIL)
            studies(Path(folder), given.homes)


if __name__ == "__main__":
    main(sys.argv[1:])
