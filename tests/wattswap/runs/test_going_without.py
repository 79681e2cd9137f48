"""What homes go without shows in metrics, bills and summary, and so does the wear of batteries."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap
import wattswap as ws
from tests.kits.run_kit import call, write_street
from wattswap.comparison.cells import run_cell
from wattswap.runs import engine
from wattswap.runs.prepare import prepare

TEMPLATE = Path(wattswap.__file__).parent / "scenario" / "templates" / "thinking.toml"
COLD = """
[homes.heat_pump.home-1]
power_kw = 0.5
heat_loss_w_per_k = 160
capacity_kwh_per_k = 7
cop = 3
outdoor_c = -12
[homes.hot_water.home-2]
volume_l = 60
power_kw = 1.5
initial_c = 45
litres_by_hour = [90, 90, 90, 90, 90, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
[homes.ev.home-3]
capacity_kwh = 40
charge_kw = 3
kwh_per_day = 20
departure = "01:30"
arrival = "02:30"
[homes.battery.home-4]
capacity_kwh = 4
charge_kw = 1.5
discharge_kw = 1.5
initial_share = 1
wear_cost_per_kwh = 0.05
"""


@pytest.fixture(scope="module")
def cold(tmp_path_factory: pytest.TempPathFactory) -> ws.RunResult:
    folder = tmp_path_factory.mktemp("cold")
    return ws.run(write_street(folder / "street", homes=4, more=COLD), out=folder / "runs")


def test_what_homes_go_without_is_the_sum_of_the_columns_of_their_devices(cold: ws.RunResult) -> None:
    readings, bills, found = cold.table("readings"), cold.table("bills").set_index("household"), cold.metrics
    unmet = readings["ev_unmet_wh"] + readings["hot_water_unmet_wh"]
    outside = readings["too_cold_millidegree_h"] + readings["too_warm_millidegree_h"]
    for column, name in (
        (unmet, "unmet_wh"),
        (outside, "outside_comfort_millidegree_h"),
        (readings["battery_wear_nano"], "wear_nano"),
    ):
        assert (column.groupby(readings["household"].astype(str)).sum() == bills[name]).all()
        assert bills[name].sum() > 0
        assert (bills[name] == bills[f"alone_{name}"]).all(), "these homes do not react to a market"
    assert found["unmet_kwh"] == found["unmet_alone_kwh"] == bills["unmet_wh"].sum() / 1_000
    assert found["outside_comfort_k_h"] == bills["outside_comfort_millidegree_h"].sum() / 1_000
    assert found["wear_cost"] == bills["wear_nano"].sum() / 10**9
    shown = cold.bills()
    assert shown["unmet_kwh"].sum() == pytest.approx(found["unmet_kwh"])
    assert shown.loc["home-4", "wear_cost"] == pytest.approx(found["wear_cost"])


def test_the_summary_shows_what_no_bill_counts(
    cold: ws.RunResult, capsys: pytest.CaptureFixture[str]
) -> None:
    text, found = call(capsys, "show", cold.path).out, cold.metrics
    assert f"Needed and not there          {found['unmet_kwh']:.1f} kWh" in text
    assert f"Outside the comfort band      {found['outside_comfort_k_h']:.1f} K h" in text
    assert f"Wear of batteries             {found['wear_cost']:.2f}" in text
    assert ws.verify(cold.path)["ok"]


def test_homes_without_such_devices_have_neither_figures_nor_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = ws.run(write_street(tmp_path / "street"), out=tmp_path / "runs")
    assert all(plain.metrics[name] is None for name in ("unmet_kwh", "outside_comfort_k_h", "wear_cost"))
    assert not [name for name in plain.table("bills") if "unmet" in name or "comfort" in name]
    assert "Needed and not there" not in call(capsys, "show", plain.path).out


def test_homes_that_react_are_held_against_themselves_without_a_market(tmp_path: Path) -> None:
    """A run without a market gives what the run with one says of it."""
    wear = ["time.days=1", "homes.battery.home-02.wear_cost_per_kwh=0.02"]
    market, without = (
        engine.run(ws.load(TEMPLATE, overrides=[*wear, *more]), out=tmp_path / name)
        for name, more in (
            ("market", ()),
            ("without", ("market.mechanism=retailer_only", "market.imbalance=retailer")),
        )
    )
    found, alone = market.metrics, without.metrics
    assert found["wear_cost_alone"] == alone["wear_cost"] == alone["wear_cost_alone"] > 0
    assert found["wear_cost"] != found["wear_cost_alone"]
    assert (market.table("bills")["alone_wear_nano"] == without.table("bills")["wear_nano"]).all()


def test_a_home_that_is_no_member_is_not_counted(tmp_path: Path) -> None:
    """Its devices go on, and what they lack then is not the community's."""
    street = write_street(tmp_path / "street", homes=4, more=COLD)
    whole, later = (
        run_cell(prepare(ws.load(street, overrides=list(more)))).totals.bills
        for more in ((), ("homes.members.home-3.from=2026-06-03T00:00:00Z",))
    )
    assert later["unmet_wh"][2] < whole["unmet_wh"][2]
    assert (later["unmet_wh"][[0, 1, 3]] == whole["unmet_wh"][[0, 1, 3]]).all()
