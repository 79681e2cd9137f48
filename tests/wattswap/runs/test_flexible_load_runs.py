"""Runs of homes with flexible load: a tariff with a peak moves it, and the bill falls with the elasticity."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import call, write_street

ELASTICITIES = ("0", "0.2", "1", "5")
HOME = "home-3"
"""It only uses energy; the others also produce."""
MORE = """
[[tariff.time_of_use]]
days = "all"
from = "17:00"
to = "21:00"
import_per_kwh = 0.6
[homes.flexible_load.home-3]
daily_kwh = 6
power_kw = 1
elasticity = 0
"""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three homes for two days at a tariff with an evening peak, one of them with flexible load."""
    return write_street(tmp_path_factory.mktemp("street"), more=MORE)


def ran(capsys: pytest.CaptureFixture[str], street: Path, out: Path, *more: str) -> ws.RunResult:
    """A run by the command line."""
    settings = [word for one in ("tariff.zone=UTC", *more) for word in ("--set", one)]
    said = call(capsys, "run", street, *settings, "--out", out, "--quiet", "--json")
    assert said.code == 0, said.err
    return ws.RunResult(json.loads(said.out)["run"])


SAMPLE = (("retailer_only", "self_consumption", ELASTICITIES), ("uniform_price", "plan", ELASTICITIES[::2]))
ALL = [(m, c, ELASTICITIES) for m in ("retailer_only", "uniform_price") for c in ("self_consumption", "plan")]


@pytest.mark.parametrize(
    ("mechanism", "control", "elasticities"),
    [*SAMPLE, *(pytest.param(*one, marks=pytest.mark.slow) for one in ALL if one not in SAMPLE)],
)
def test_the_bill_of_a_home_falls_with_its_elasticity(
    mechanism: str,
    control: str,
    elasticities: tuple[str, ...],
    street: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It uses as much on each day, and less of it in the peak."""
    bills, peaks = [], []
    for elasticity in elasticities:
        result = ran(
            capsys,
            street,
            tmp_path,
            f"homes.flexible_load.{HOME}.elasticity={elasticity}",
            f"market.mechanism={mechanism}",
            f"homes.control={control}",
        )
        readings = result.table("readings")
        own = readings[readings["household"] == HOME].set_index("interval_start")
        assert own["flexible_wh"].groupby(own.index.date).sum().tolist() == [6_000, 6_000]
        assert (own["flexible_left_wh"][own.index.hour == 23] == 0).all()
        assert (readings[readings["household"] != HOME]["flexible_wh"] == 0).all()
        peaks.append(int(own["flexible_wh"][own.index.hour.isin(range(17, 21))].sum()))
        bills.append(float(result.bills().loc[HOME, "cost_with_market"]))
    assert all(before > after for before, after in pairwise(bills)), bills
    assert all(before > after for before, after in pairwise(peaks)), peaks
    assert peaks[0] == 2 * 6_000 * 4 // 24


def test_a_seeded_share_of_homes_has_it(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two of three homes, one of them by its own table."""
    table = "homes.population.flexible_load="
    table += "{share = 0.67, daily_kwh = 3, power_kw = 2, elasticity = 0.14}"
    readings = ran(capsys, street, tmp_path, table, "time.days=1").table("readings")
    energy = readings.groupby(readings["household"].astype(str))["flexible_wh"].sum()
    assert sorted(energy.tolist()) == [0, 3_000, 6_000]
    assert energy[HOME] == 6_000
