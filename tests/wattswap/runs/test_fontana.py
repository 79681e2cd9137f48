"""The ten homes of Fontana, California: bills against no market, sums, and a second run.

A week in `make test`, the whole year in `make slow`.
"""

from __future__ import annotations

import sqlite3
from fractions import Fraction
from pathlib import Path

import pandas as pd
import pytest

import wattswap as ws
from tests.kits.run_kit import MONEY, SYSTEM
from wattswap.results import RunResult

HOMES = Path(__file__).parents[3] / ".." / "shared" / "data" / "homes_fontana_ca"
SCENARIO = """\
schema = 1
name = "fontana"
currency = "USD"
seed = 1

[data]
path = "{path}"
zone = "America/Los_Angeles"

[tariff]
import_per_kwh = 0.22
feed_in_per_kwh = 0.05
zone = "America/Los_Angeles"

[[tariff.time_of_use]]
from = "16:00"
to = "21:00"
import_per_kwh = 0.54
"""

pytestmark = pytest.mark.skipif(
    not HOMES.is_dir(), reason="the shared data of the Fontana homes are not here"
)


@pytest.fixture(scope="module", params=[7 * 24, pytest.param(8_760, marks=pytest.mark.slow)])
def hours(request: pytest.FixtureRequest) -> int:
    """Length of the runs; the year is all that the data hold."""
    return int(request.param)


def ran(folder: Path, mechanism: str, hours: int) -> RunResult:
    file = folder / "fontana.toml"
    file.write_text(SCENARIO.format(path=HOMES.resolve()), encoding="utf-8")
    changes = [f"market.mechanism={mechanism}"] + [f"time.intervals={hours}"] * (hours < 8_760)
    return ws.run(ws.load(file, overrides=changes), out=folder)


@pytest.fixture(scope="module")
def traded(hours: int, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return ran(tmp_path_factory.mktemp("fontana"), "uniform_price", hours)


@pytest.fixture(scope="module")
def alone(hours: int, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return ran(tmp_path_factory.mktemp("alone"), "retailer_only", hours)


def frame(run: RunResult, name: str) -> pd.DataFrame:
    return pd.read_parquet(run.path / f"{name}.parquet")


def test_all_ten_homes_run_for_every_hour(traded: RunResult, hours: int) -> None:
    assert traded.manifest["homes"] == 10
    assert traded.manifest["intervals"] == hours
    assert len(frame(traded, "readings")) == 10 * hours
    assert traded.metrics["traded_kwh"] > 0.0115 * hours  # of the year: 100 kWh


def test_no_home_pays_more_than_without_a_market_plus_its_own_imbalance(
    traded: RunResult, alone: RunResult
) -> None:
    bills, without = (
        frame(traded, "bills").set_index("household"),
        frame(alone, "bills").set_index("household"),
    )
    loss = without[MONEY].sum(axis=1) - bills[MONEY].sum(axis=1)
    assert (loss <= bills["imbalance_cost_nano"]).all()
    assert (bills["baseline_nano"] == without[MONEY].sum(axis=1)).all()


def test_without_a_market_a_bill_is_the_readings_times_the_tariff(alone: RunResult) -> None:
    """The clock of the tariff, computed by pandas, and whole-number money."""
    readings = frame(alone, "readings")
    hour = readings["interval_start"].dt.tz_convert("America/Los_Angeles").dt.hour
    price = hour.between(16, 20).map({True: 540_000, False: 220_000}).astype("int64")
    cost = (
        (readings["import_wh"] * price - readings["export_wh"] * 50_000).groupby(readings["household"]).sum()
    )
    bills = frame(alone, "bills").set_index("household")
    assert (-bills[MONEY].sum(axis=1)).to_dict() == cost.to_dict()


def test_money_and_energy_sum_to_exactly_zero(traded: RunResult, hours: int) -> None:
    sums = frame(traded, "postings").groupby("interval_start").sum(numeric_only=True)
    assert len(sums) == hours
    assert (sums[MONEY] == 0).all(axis=None)
    assert (sums["bought_wh"] == sums["sold_wh"]).all()
    assert (sums["local_wh"] == 0).all()
    net = sums["import_wh"] - sums["export_wh"]
    assert (net == sums["retail_import_wh"] - sums["retail_export_wh"]).all()


def test_the_bills_are_the_sums_of_all_postings(traded: RunResult) -> None:
    postings = frame(traded, "postings")
    members = postings[~postings["account"].isin(SYSTEM)].astype({"account": str})
    sums = members.groupby("account").sum(numeric_only=True)
    assert not sums.pop("loss_wh").any()  # losses are the grid operator's, and no column of a bill
    assert sums.to_dict() == frame(traded, "bills").set_index("household")[sums.columns].to_dict()


def test_a_second_run_gives_identical_hashes(traded: RunResult, hours: int) -> None:
    report = ws.verify(traded.path)
    assert report["checks"]["chain"].startswith(f"{hours} blocks")


def test_the_chain_stays_small(traded: RunResult, hours: int) -> None:
    path = traded.path / "chain.db"
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        (blocks,) = connection.execute("SELECT count(*) FROM blocks").fetchone()
    finally:
        connection.close()
    assert blocks == hours
    assert Fraction(path.stat().st_size, blocks) < 2_000
