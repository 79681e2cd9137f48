"""What it is worth that a market places cars and appliances: a week of the bundled street without batteries.

Of thirteen homes, all with PV, four have a car that is at home by day, three one that commutes, and six an appliance.
The week begins and ends at nine in the morning, when every car has left, so that little is in store at either end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import wattswap as ws
from agents.control import CONTROLLERS
from agents.control.plan import PLAN
from market.settlement.accounts import TRADE
from market.units import NANO_PER_UNIT
from wattswap.runs.interval import step
from wattswap.runs.prepare import Setup, prepare

KEPT: Final = "plan_devices_kept"
CAR: Final = (
    "{{capacity_kwh=50,charge_kw=7.4,kwh_per_day=8,departure={away},arrival={back},charge_efficiency=0.9}}"
)
RUN: Final = '{kwh_per_run=1.2,duration_minutes=120,earliest_start="08:00",latest_end="22:00"}'
BY_DAY, COMMUTES = ("01", "04", "09", "12"), ("02", "06", "11")
RUNS: Final = ("03", "05", "07", "08", "10", "13")
DEVICES: Final = (
    *(f"homes.ev.home-{home}=" + CAR.format(away='"07:00"', back='"09:00"') for home in BY_DAY),
    *(f"homes.ev.home-{home}=" + CAR.format(away='"07:00"', back='"17:30"') for home in COMMUTES),
    *(f"homes.appliance.home-{home}={RUN}" for home in RUNS),
)
STREET: Final = (
    "time.interval_minutes=60",
    "time.start=2016-09-19T09:00:00",
    "homes.batteries=none",
    "homes.control=plan",
)
AHEAD: Final = "market.mechanism=multi_interval"
WAYS: Final = {
    "plan, each home alone": ("market.mechanism=retailer_only",),
    "plan, uniform_price, ordered": (),
    "multi_interval, homes keep cars and appliances": (AHEAD, f"homes.control={KEPT}"),
    "multi_interval, cars and appliances as orders": (AHEAD,),
    "the same, perfect foresight": (AHEAD, "homes.forecast=perfect_foresight"),
}


@dataclass(frozen=True, slots=True)
class Week:
    """What a way costs all homes through one meter [EUR], what stayed in cars [kWh], what trips and runs lacked. [kWh]

    Args:
        paid: By the homes, settlement included. [EUR]
        clear_ms: Mean time of the clearings of an interval. [ms]
    """

    netted: float
    paid: float
    left_kwh: float
    unmet_kwh: float
    peak_kw: float
    clear_ms: float


@contextmanager
def kept() -> Iterator[None]:
    """With a controller that plans as `plan` does and submits batteries alone."""
    CONTROLLERS.register(replace(PLAN, name=KEPT, keeps=frozenset({"ev", "appliance"})))
    try:
        yield
    finally:
        CONTROLLERS.forget(KEPT)


def lived(setup: Setup) -> Week:
    """Live a run."""
    community, homes = setup.community(), len(setup.roster)
    netted = paid = unmet = left = peak = clear_ns = 0
    for i in range(setup.intervals):
        record = step(setup, community, i)
        net_wh, prices = int((record.import_wh - record.export_wh).sum()), record.prices.main
        netted += net_wh * (prices.import_micro_per_kwh if net_wh > 0 else prices.feed_in_micro_per_kwh)
        paid -= int(record.settled.postings.lines[:homes, TRADE:].sum())
        unmet += int((record.columns["ev_unmet_wh"] + record.columns["appliance_unmet_wh"]).sum())
        left, peak = int(record.columns["ev_stored_wh"].sum()), max(peak, net_wh)
        clear_ns += record.clear_ns
    return Week(
        netted / NANO_PER_UNIT,
        paid / NANO_PER_UNIT,
        left / 1e3,
        unmet / 1e3,
        peak * 60 / setup.minutes / 1e3,
        clear_ns / 1e6 / setup.intervals,
    )


def week(days: int, *overrides: str) -> Setup:
    """So many days of the street with cars and appliances."""
    return prepare(ws.demo(overrides=[*STREET, *DEVICES, f"time.days={days}", *overrides]))


def table(days: int = 7) -> dict[str, Week]:
    """Print a line for each way, and return them."""
    print(f"\n{days} days of the street with seven cars and six appliances, no batteries", flush=True)
    print(f"{'':<48} {'netted EUR':>10} {'paid':>8} {'left kWh':>8} {'unmet':>6} {'peak kW':>7} {'ms':>6}")
    found = {}
    with kept():
        for label, overrides in WAYS.items():
            one = found[label] = lived(week(days, *overrides))
            print(
                f"{label:<48} {one.netted:>10.2f} {one.paid:>8.2f} {one.left_kwh:>8.1f} {one.unmet_kwh:>6.1f}"
                f" {one.peak_kw:>7.1f} {one.clear_ms:>6.1f}",
                flush=True,
            )
    return found


if __name__ == "__main__":
    table()
