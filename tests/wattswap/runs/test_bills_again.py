"""Bills, parts of the saving and figures of runs, recomputed in pandas from readings, orders and tariff alone."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import wattswap as ws
from data import samples
from data.formats import load as load_meter
from data.readings import MeterData
from tests.kits.sample_kit import sample_of
from tests.oracles.bills import BILLS, MONEY, Terms, bills, figures, settled, windows
from wattswap.results import RunResult

HOMES = Path(__file__).parents[3] / ".." / "shared" / "data" / "homes_fontana_ca"
FEES = (20_000, 50_000)
RULES = (
    "pooled/throughput", "pooled/equal", "pooled/leave_one_out", "pooled/delivered",
    "middle", "clearing_price", "retailer", "metered",
)  # fmt: skip
MECHANISMS = (
    ("pay_as_bid:params.price_rule=both_as_bid", "pooled/throughput"),
    ("pay_as_bid:params.price_rule=both_as_bid", "clearing_price"),
    ("vcg", "pooled/throughput"),
    ("vcg", "metered"),
    ("huang", "metered"),
    ("mid_market_rate", "clearing_price"),
    ("retailer_only", "pooled/throughput"),
)
PLACES = ("street", "village", "california")
TABLE = {
    "street": 'sample = "street"\n',
    "village": 'sample = "village"\n',
    "california": 'path = "{path}"\nzone = "America/Los_Angeles"\n',
}
START = {
    "street": "2016-09-20T20:00:00Z",
    "village": "2016-06-08T09:00:00Z",
    "california": "2016-09-09T01:00:00Z",
}
SCENARIO = """\
schema = 1
name = "{place}"
currency = "EUR"
seed = 3

[time]
start = {start}
intervals = {intervals}

[data]
{data}
[homes]
strategy = "{strategy}"

[tariff]
import_per_kwh = {base}
feed_in_per_kwh = {feed_in}
grid_fee_local_per_kwh = 0.02
grid_fee_remote_per_kwh = 0.05
emission_g_per_kwh = 400
zone = "{zone}"
"""
PEAK = '[[tariff.time_of_use]]\nfrom = "16:00"\nto = "21:00"\nimport_per_kwh = 0.54\n'
ZONES = {"street": "Europe/Berlin", "village": "Europe/Berlin", "california": "America/Los_Angeles"}


def ran(
    place: str, rule: str, mechanism: str, intervals: int, folder: Path, strategy: str = "zi_c"
) -> RunResult:
    """A run of a place from somewhere within a local day, of homes whose limits are drawn unless said otherwise."""
    rich = place == "california"
    text = SCENARIO.format(
        place=place, start=START[place], intervals=intervals, zone=ZONES[place],
        data=TABLE[place].format(path=HOMES.resolve()), strategy=strategy,
        base=0.22 if rich else 0.32, feed_in=0.05 if rich else 0.08,
    )  # fmt: skip
    (folder / "scenario.toml").write_text(text + PEAK * rich, encoding="utf-8")
    name, _, parameter = mechanism.partition(":")
    changes = [f"market.mechanism={name}"] + [f"market.{parameter}"] * bool(parameter)
    imbalance, _, shares = rule.partition("/")
    if rule == "metered":
        changes.append("market.quantities=metered")
    else:
        changes += [f"market.imbalance={imbalance}"] + [f"market.imbalance_shares={shares}"] * bool(shares)
    return ws.run(ws.load(folder / "scenario.toml", overrides=changes), out=folder)


@cache
def meter_of(place: str) -> MeterData:
    """The data set as its file has it."""
    return load_meter(HOMES, zone=ZONES[place]) if place == "california" else samples.load(place)


def flow_of(meter: MeterData) -> pd.DataFrame:
    """Import plus export by time and home. [Wh]"""
    step = pd.Timedelta(minutes=meter.minutes)
    begin = pd.Timestamp(meter.start_s, unit="s", tz="UTC")
    index = pd.date_range(begin, periods=len(meter.import_wh), freq=step)
    return pd.DataFrame(meter.import_wh + meter.export_wh, index=index, columns=list(meter.households))


def recomputed(run: RunResult, place: str, rule: str) -> tuple[pd.DataFrame, dict[str, float | None]]:
    """The bills and figures of a run by the second implementation."""
    readings, orders, meter = run.table("readings"), run.table("orders"), meter_of(place)
    starts = readings["interval_start"]
    if place == "california":
        price, feed_in = windows(starts, ZONES[place], 220_000, 540_000, (16, 21)), 50_000
    else:
        price, feed_in = pd.Series(320_000, index=pd.DatetimeIndex(starts.unique())), 80_000
    imbalance, _, shares = rule.partition("/")
    if rule == "metered" or run.manifest["mechanism"] == "retailer_only":
        imbalance = "retailer"
    terms = Terms(price, feed_in, FEES, imbalance, shares or "throughput", ZONES[place], 1, meter.minutes, 3)
    lines = settled(readings, orders, flow_of(meter), terms)
    return bills(lines), figures(lines, readings, orders, meter.minutes, 400)


def assert_equal(run: RunResult, place: str, rule: str) -> None:
    """Each figure is that of the product: money to the nano, energy to the Wh, ratios as far as floats go."""
    lines, found = recomputed(run, place, rule)
    theirs = run.table("bills").set_index("household")
    for name in BILLS:
        different = lines.index[(lines[name] != theirs[name]).to_numpy()].tolist()
        assert not different, f"{name} of {different}: {lines[name][different]} and {theirs[name][different]}"
    for name, value in found.items():
        metric = run.metrics[name]
        if name in MONEY:
            assert round(metric * 1e9) == value, name
        elif value is None or metric is None:
            assert value is metric, name
        else:
            assert metric == pytest.approx(value, rel=1e-11, abs=1e-12), name


def needs(place: str) -> None:
    if place == "california" and not HOMES.is_dir():
        pytest.skip("the shared data of the Fontana homes are not here")


SAMPLE = {
    *(("street", rule) for rule in ("pooled/equal", "pooled/delivered", "middle", "retailer")),
    *(("village", "pooled/throughput"), ("california", "pooled/leave_one_out"), ("california", "metered")),
}
"""Places and rules of `make test`, which has clearing_price by other mechanisms below."""


@pytest.mark.parametrize(
    ("place", "rule"),
    sample_of([(place, rule) for place in PLACES for rule in RULES], SAMPLE),
)
def test_hours_of_two_days_under_every_imbalance_rule(place: str, rule: str, tmp_path: Path) -> None:
    needs(place)
    intervals = {"street": 60, "village": 16, "california": 48}[place]
    run = ran(place, rule, "uniform_price", intervals, tmp_path)
    assert run.metrics["traded_kwh"] > 0
    assert_equal(run, place, rule)


@pytest.mark.parametrize(("mechanism", "rule"), sample_of(MECHANISMS, MECHANISMS[1:6:2]))
def test_mechanisms_with_two_prices_charges_or_no_trade(mechanism: str, rule: str, tmp_path: Path) -> None:
    assert_equal(ran("street", rule, mechanism, 50, tmp_path), "street", rule)


@pytest.mark.slow  # the hours above are the sample in `make test`
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("place", PLACES)
def test_28_days_under_every_imbalance_rule(place: str, rule: str, tmp_path: Path) -> None:
    needs(place)
    intervals = 28 * 24 * (1 if place == "california" else 4)
    run = ran(place, rule, "uniform_price", intervals, tmp_path, "staircase")
    assert_equal(run, place, rule)


def test_a_difference_of_one_nano_is_found(tmp_path: Path) -> None:
    run = ran("street", "pooled/throughput", "uniform_price", 60, tmp_path)
    lines, _ = recomputed(run, "street", "pooled/equal")
    assert np.any(lines["imbalance_nano"] != run.table("bills").set_index("household")["imbalance_nano"])
