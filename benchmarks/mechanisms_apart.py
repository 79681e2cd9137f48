"""Whether mechanisms differ for real: thinking homes under seven of them, in the same weeks, paired by week.

Each week of seven local days is a point of one sweep: all mechanisms begin it with the same homes and empty batteries.
Figures are differences from `uniform_price`, week by week, with the 95 % interval of their mean (Student's t).

    meter   what the meter of the community costs at the outside prices: import less export, netted in each interval
    bills   what all homes pay; the meter's cost less what the market operator loses, or with what it keeps
    spread  standard deviation over homes of what each saves against itself without a market
    stored  what batteries hold at the end beyond what they would hold without a market; no bill counts it

Usage: python -m benchmarks.mechanisms_apart [--homes FOLDER] [--only STUDY ...] [--weeks N] [--out FOLDER]
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

import wattswap as ws
from benchmarks.market_game import BUNDLED, CALIFORNIA, HEAD
from wattswap.comparison.statistics import mean_interval, paired_difference
from wattswap.runs.homes import load_meter

REFERENCE: Final = "uniform_price"
MECHANISMS: Final = (
    REFERENCE,
    "pay_as_bid",
    "mid_market_rate",
    "mcafee",
    "huang",
    "muda_vickrey",
    "vcg",
)
ALONE: Final = "retailer_only"
PLAN: Final = 'control = "plan"\n'
KNOWN: Final = 'forecast = "perfect_foresight"\n'
PEAK_TARIFF: Final = """\
time_of_use = [{ days = "all", from = "17:00", to = "21:00", import_per_kwh = 0.48 }]
[homes.population.battery]
share = 0.6
capacity_kwh = 10
charge_kw = 5
discharge_kw = 5
charge_efficiency = 0.95
discharge_efficiency = 0.95
[homes.population.ev]
share = 0.3
capacity_kwh = 58
charge_kw = 11
kwh_per_day = 7.5
departure = "07:30"
arrival = "17:30"
charge_efficiency = 0.92
"""
"""Batteries of the data stay; with them 60 % of the homes have one. Cars charge at home only."""
STUDIES: Final = {
    "California, orders an hour ahead": ("", ""),
    "California, the hour known (a bound)": ("", KNOWN),
    "street, batteries and cars": ("street", ""),
    "village, batteries and cars": ("village", ""),
}
"""By name the bundled data, if any, and what is said of the homes beside their control."""
WEEKS: Final = {"": 12, "street": 8, "village": 5}
EVERY_DAYS: Final = 28
"""Days from one measured week to the next."""
FIGURES: Final = {
    "meter": "cost at the community's meter",
    "bills": "sum of all bills",
    "import_kwh": "grid import",
    "peak_kw": "peak",
    "co2_kg": "CO2",
    "operator": "operator keeps",
    "spread": "spread between homes",
    "worse_off": "homes worse off",
    "traded_kwh": "traded",
    "stored_kwh": "stored",
}


def scenario(folder: Path, sample: str, homes: Path, said: str, days: Sequence[date]) -> Path:
    """The scenario of a study, with a case for each week that begins on one of some days."""
    text = HEAD.format(currency="EUR" if sample else "USD", start=f"{days[0]}T00:00:00")
    if sample:
        text += (
            'zone = "Europe/Berlin"\ninterval_minutes = 60\n' + BUNDLED.format(sample=sample) + PEAK_TARIFF
        )
        text = text.replace("import_per_kwh = 0.32", "import_per_kwh = 0.24").replace("= 0.08", "= 0.06")
    else:
        text += CALIFORNIA.format(path=homes.resolve())
    text = text.replace("days = 28", "days = 7").replace("[homes]\n", f"[homes]\n{PLAN}{said}")
    text += "".join(f"\n[case.{day}]\ntime.start = {day}T00:00:00\n" for day in days)
    path = folder / "apart.toml"
    path.write_text(text, encoding="utf-8")
    return path


def first_days(sample: str, weeks: int) -> list[date]:
    """The days at whose midnights the measured weeks begin; before each is a month of data or more."""
    first = date(2016, 3, 7) if sample else date(2016, 9, 1)
    return [first + timedelta(days=EVERY_DAYS * week) for week in range(weeks)]


def emissions(homes: Path, scenario: ws.Scenario) -> pd.Series | None:
    """Emissions of a kWh from outside by hour, where the data have them. [kg/kWh]"""
    path = homes / "carbon_intensity.csv"
    if scenario.data.sample or not path.exists():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        values = [float(row["carbon_intensity"]) for row in csv.DictReader(file)]
    start = pd.Timestamp(load_meter(scenario).start_s, unit="s", tz="UTC")
    return pd.Series(values, index=pd.date_range(start, periods=len(values), freq="h"))


def figures(
    found: ws.Comparison, mechanism: str, point: str, cell: pd.Series, emitted: pd.Series | None
) -> dict[str, float | None]:
    """The figures of one week under one mechanism, from the cells of the comparison."""
    hours = found.intervals(mechanism, point=point).astype(float)
    net_kwh = hours["import_kwh"] - hours["export_kwh"]
    drawn_kwh = net_kwh.clip(lower=0)
    cost = drawn_kwh * hours["import_per_kwh"] - (-net_kwh).clip(lower=0) * hours["feed_in_per_kwh"]
    bills = found.bills(mechanism, point=point)
    co2 = None if emitted is None else float((drawn_kwh * emitted.reindex(hours.index)).sum())
    stored = cell["stored_beyond_alone_kwh"]
    return {
        "meter": float(cost.sum()),
        "bills": float(cell["cost_with_market"]),
        "import_kwh": float(drawn_kwh.sum()),
        "peak_kw": float(cell["peak_import_kw"]),
        "co2_kg": co2,
        "operator": float(cell["market_operator_income"]),
        "spread": float(np.std(bills["saving"])),
        "worse_off": float(cell["homes_worse_off"]),
        "traded_kwh": float(cell["traded_kwh"]),
        "stored_kwh": None if np.isnan(stored) else float(stored),
        **ends(hours),
    }


def ends(hours: pd.DataFrame) -> dict[str, float]:
    """Intervals with a price, and those whose price is one of the two outside prices."""
    price = hours["price_per_kwh"].dropna()
    outside = hours.loc[price.index, ["import_per_kwh", "feed_in_per_kwh"]]
    return {"priced": float(len(price)), "at_end": float(outside.eq(price, axis=0).any(axis=1).sum())}


def measured(
    path: Path, days: Sequence[date], homes: Path, out: Path
) -> dict[str, list[dict[str, float | None]]]:
    """The figures of each week by mechanism."""
    found = ws.sweep(path, {"case": [str(day) for day in days]}, list(MECHANISMS), out=out)
    cells = found.cells().set_index(["mechanism", "point"])
    emitted = emissions(homes, ws.load(path))
    return {
        label: [figures(found, label, point, cells.loc[label, point], emitted) for point in found.points]
        for label in found.mechanisms
        if label != found.bound
    }


def printed(name: str, weeks: Mapping[str, list[dict[str, float | None]]], currency: str) -> None:
    """The table of one study: the mean week of `uniform_price`, and how the others differ from it."""
    number = len(weeks[REFERENCE])
    print(f"\n{name}: {number} weeks, {currency} and kWh a week; difference from {REFERENCE} +- 95 %")
    print(f"{'':<16}" + "".join(f"{figure:>20}" for figure in FIGURES))
    for label in weeks:
        shown = []
        for figure in FIGURES:
            own, others = ([row[figure] for row in weeks[one]] for one in (label, REFERENCE))
            if label == REFERENCE:
                mean = mean_interval([value for value in own if value is not None]).mean
                shown.append("" if mean is None else f"{mean:.2f}")
                continue
            by = paired_difference(own, others)
            if by.mean is None or by.high is None or by.low is None:
                shown.append("")
                continue
            apart = "*" if by.low > 0 or by.high < 0 else " "
            shown.append(f"{by.mean:+.2f} +- {by.high - by.mean:.2f}{apart}")
        print(f"{label:<16}" + "".join(f"{text:>20}" for text in shown), flush=True)
    _print_shares(weeks)
    _print_ends(weeks)


def _print_shares(weeks: Mapping[str, list[dict[str, float | None]]]) -> None:
    """How much of what the market adds to the plan each mechanism loses, at the community's meter."""
    mean = {label: float(np.mean([row["meter"] for row in rows])) for label, rows in weeks.items()}
    added = mean[ALONE] - mean[REFERENCE]
    lost = {label: 100 * (cost - mean[REFERENCE]) / added for label, cost in mean.items() if label != ALONE}
    print(f"share of the {added:.2f} that {REFERENCE} adds which is lost, %:", end=" ")
    print(", ".join(f"{label} {share:.0f}" for label, share in lost.items()))


def _print_ends(weeks: Mapping[str, list[dict[str, float | None]]]) -> None:
    """In how many weeks all prices lie at the ends, and how many prices do."""
    for label, rows in weeks.items():
        priced, at_end = ([row[name] or 0 for row in rows] for name in ("priced", "at_end"))
        only = sum(a == p and p > 0 for a, p in zip(at_end, priced, strict=True))
        if sum(priced):
            print(
                f"{label}: {sum(at_end):.0f} of {sum(priced):.0f} prices at an end; weeks with no other: {only}"
            )


def main(argv: list[str]) -> None:
    """Print the table of every study."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mechanisms_apart")
    parser.add_argument("--homes", type=Path, default=Path("../shared/data/homes_fontana_ca"))
    parser.add_argument("--only", nargs="*", default=list(STUDIES), choices=list(STUDIES))
    parser.add_argument("--weeks", type=int, help="fewer weeks than usual")
    parser.add_argument("--out", type=Path, help="where comparisons are kept; a second call goes on there")
    given = parser.parse_args(argv)
    for name in given.only:
        sample, said = STUDIES[name]
        if not sample and not given.homes.exists():
            print(f"left out: {name}, no data at {given.homes}")
            continue
        begun = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            out = given.out or Path(folder)
            days = first_days(sample, given.weeks or WEEKS[sample])
            path = scenario(Path(folder), sample, given.homes, said, days)
            weeks = measured(path, days, given.homes, out)
        printed(name, weeks, "EUR" if sample else "USD")
        print(f"{time.process_time() - begun:.0f} s of CPU")


if __name__ == "__main__":
    main(sys.argv[1:])
