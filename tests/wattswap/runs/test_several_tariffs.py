"""Homes with retailers of their own: each is billed, and acts, by its own prices; what takes one price is refused."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import wattswap as ws
from market.settlement.baseline import bound_nano
from market.settlement.tariff import HomePrices, IntervalPrices
from tests.kits.resume_kit import interrupted, same_files
from tests.kits.run_kit import FIRST, call, refused, write_street
from tests.kits.sample_kit import sample_of
from tests.kits.town_kit import playing
from tests.wattswap.runs.test_devices_in_runs import DEVICES
from wattswap.errors import InvalidScenario, UsageError
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.runs import engine
from wattswap.runs.folder import stored_scenario
from wattswap.runs.prepare import prepare
from wattswap.runs.shares import shares_of

RETAILER = "market.imbalance=retailer"
NIGHT = """
[homes.tariffs]
night = ["home-1", "home-3"]
[tariff.other.night]
import_per_kwh = 0.4
feed_in_per_kwh = 0.05
time_of_use = [{ from = "22:00", to = "06:00", import_per_kwh = 0.12 }]
"""
FEES = {"local": 10_000, "remote": 30_000}


def street(folder: Path, *overrides: str, more: str = NIGHT, devices: str = "") -> ws.Scenario:
    path = write_street(folder, homes=4, more=more + devices)
    return ws.load(path, overrides=["tariff.zone=UTC", RETAILER, *overrides])


def test_a_tariff_of_the_same_prices_changes_nothing_but_its_name(tmp_path: Path) -> None:
    same = (
        "[homes.tariffs]\nother = 0.5\n[tariff.other.other]\nimport_per_kwh = 0.32\nfeed_in_per_kwh = 0.08\n"
    )
    plain, named = (
        ws.run(street(tmp_path / name, more=f"\n{more}", devices=DEVICES), out=tmp_path / "runs")
        for name, more in (("plain", ""), ("named", same))
    )
    assert named.manifest["replay_sha256"] == plain.manifest["replay_sha256"]
    for name in ("orders", "readings", "postings", "bills"):
        assert named.table(name).equals(plain.table(name)), name
    assert named.metrics == plain.metrics


@pytest.mark.parametrize("mechanism", ["uniform_price", "retailer_only"])
def test_every_home_is_billed_by_its_own_prices(mechanism: str, tmp_path: Path) -> None:
    """Recomputed from the postings and the readings, without the code of the product."""
    run = ws.run(street(tmp_path / "street", f"market.mechanism={mechanism}"), out=tmp_path / "runs")
    postings, readings = (
        run.table("postings"),
        run.table("readings").set_index(["interval_start", "household"]),
    )
    homes = postings[postings["account_kind"] == "home"]
    paid = dict.fromkeys(("home-1", "home-2", "home-3", "home-4"), 0)
    for row in homes.itertuples():
        hour, name = row.interval_start.hour, str(row.account)
        bought, sold = 320_000, 80_000
        if name in ("home-1", "home-3"):
            bought, sold = (120_000 if hour >= 22 or hour < 6 else 400_000), 50_000
        assert row.retail_nano == row.retail_export_wh * sold - row.retail_import_wh * bought
        meter = readings.loc[(row.interval_start, name)]
        paid[name] += int(meter["export_wh"]) * sold - int(meter["import_wh"]) * (bought + FEES["remote"])
    assert run.table("bills").set_index("household")["baseline_nano"].to_dict() == paid
    assert run.metrics["saving"] <= run.metrics["saving_bound"] + 1e-9
    assert (run.metrics["traded_kwh"] > 0) is (mechanism == "uniform_price")
    assert ws.verify(run.path)["ok"]


@pytest.mark.parametrize("control", sample_of(["self_consumption", "plan"], ["self_consumption"]))
def test_without_a_market_a_home_lives_as_where_all_have_its_retailer(control: str, tmp_path: Path) -> None:
    given = (f"homes.control={control}", "market.mechanism=retailer_only", "time.intervals=30")
    mixed = ws.run(street(tmp_path / "mixed", *given, devices=DEVICES), out=tmp_path / "runs")
    night = NIGHT.replace('["home-1", "home-3"]', "1")
    whole = ws.run(street(tmp_path / "whole", *given, more=night, devices=DEVICES), out=tmp_path / "runs")
    tables = [run.table("readings") for run in (mixed, whole)]
    own = tables[0]["household"].isin(["home-1", "home-3"])
    for column in ("import_wh", "export_wh", "stored_wh", "ev_wh", "appliance_wh"):
        assert (tables[0][own][column] == tables[1][own][column]).all(), column
    if control == "plan":
        assert (tables[0][~own]["import_wh"] != tables[1][~own]["import_wh"]).any(), "plans go by prices"


def test_a_run_with_homes_that_react_goes_on_after_an_interruption_as_if_there_were_none(
    tmp_path: Path,
) -> None:
    """One of the parts plans and reacts, the other does not: their meters without a market are their meters."""
    own = 'homes.controls={plan=["home-1", "home-3"]}', "time.intervals=30"
    scenario = street(tmp_path / "street", *own, devices=DEVICES)
    whole = ws.run(scenario, out=tmp_path / "runs")
    resumed = engine.resume(interrupted(scenario, tmp_path / "stopped", 26))
    assert resumed.manifest["replay_sha256"] == whole.manifest["replay_sha256"]
    assert same_files(resumed.path, whole.path)
    readings = whole.table("readings")
    still = ~readings["household"].isin(["home-1", "home-3"])
    assert (readings[still]["alone_import_wh"] == readings[still]["import_wh"]).all()
    assert (readings["alone_import_wh"] != readings["import_wh"]).any()


@pytest.mark.parametrize("quantities", ["ordered", "metered"])
def test_a_live_run_gives_the_roots_of_a_run_in_process(quantities: str, tmp_path: Path) -> None:
    path = write_street(tmp_path / "street", homes=4, more=NIGHT)
    given = [RETAILER] if quantities == "ordered" else ["market.quantities=metered"]
    start_s = int(FIRST.timestamp()) + 86_400 + 11 * 3_600
    live = run_live(
        ws.load(path, overrides=["tariff.zone=UTC", *given]),
        topology=Topology(pace_s=2.0),
        intervals=3,
        start_s=start_s,
        out=tmp_path / "live",
        run_nodes=playing(),
    )
    again = engine.run(stored_scenario(live.path), out=tmp_path / "again")
    assert len(compare_runs(live, again)) == 3
    for name in ("orders", "readings", "postings", "bills"):
        assert live.table(name).equals(again.table(name)), name


amounts = st.lists(st.integers(-3, 3), min_size=3, max_size=3)
prices = st.lists(st.integers(0, 9), min_size=3, max_size=3)


@given(amounts, prices, prices)
def test_the_bound_is_the_best_of_all_ways_to_pair_needs_and_offers(
    net: list[int], bought: list[int], sold: list[int]
) -> None:
    """Whole Wh, paired one by one in every order."""
    found = bound_nano(
        np.maximum(net, 0),
        np.maximum(-np.array(net), 0),
        HomePrices(IntervalPrices(0, 0), np.array(bought), np.array(sold)),
    )
    needs = [bought[home] for home in range(3) for _ in range(max(net[home], 0))]
    offers = [sold[home] for home in range(3) for _ in range(max(-net[home], 0))]
    if len(needs) > len(offers):
        ways = (zip(way, offers, strict=False) for way in permutations(needs, len(offers)))
    else:
        ways = (zip(needs, way, strict=False) for way in permutations(offers, len(needs)))
    assert found == max(sum(max(cap - feed_in, 0) for cap, feed_in in way) for way in ways)


def test_a_share_follows_the_neighbourhood_and_not_the_seed_of_the_market(tmp_path: Path) -> None:
    share = "homes.tariffs={night=0.5}"
    given = [
        "tariff.other.night.import_per_kwh=0.2",
        "tariff.other.night.feed_in_per_kwh=0.1",
        share,
        RETAILER,
    ]
    chosen = [prepare(ws.demo([*given, more])).tariffs.of_home.tolist() for more in ("seed=1", "seed=2")]
    other = prepare(ws.demo([*given, "homes.population_seed=5"])).tariffs.of_home.tolist()
    assert chosen[0] == chosen[1] != other
    assert sum(chosen[0]) == 7


def test_vat_of_a_bill_is_that_of_its_own_retailer(tmp_path: Path) -> None:
    scenario = street(tmp_path / "street", "tariff.vat_percent=20", "market.mechanism=retailer_only")
    bills = ws.run(scenario, out=tmp_path / "runs").bills()
    # All of a bill but the feed-in is what is bought with VAT: a sixth of it.
    sold = bills["export_kwh"] * np.array([0.05, 0.08, 0.05, 0.08])
    assert bills["vat"].to_numpy() == pytest.approx(((bills["cost_with_market"] + sold) / 6).to_numpy())


def test_mechanisms_are_compared_where_they_go_by_limits(tmp_path: Path) -> None:
    scenario = street(tmp_path / "street")
    compared = ws.compare(scenario, ["uniform_price", "mcafee"], out=tmp_path / "comparisons")
    assert set(compared.mechanisms) >= {"retailer_only", "uniform_price", "mcafee"}
    with pytest.raises(InvalidScenario, match="'mid_market_rate' takes its price from those of one retailer"):
        ws.compare(scenario, ["mid_market_rate"], out=tmp_path / "comparisons")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "market.imbalance=pooled",
            "market.imbalance: 'pooled' nets what orders missed at the prices of one retailer",
        ),
        ("market.imbalance=middle", "homes.tariffs gives homes several"),
        ("market.mechanism=supply_demand_ratio", "choose one that goes by limits, such as uniform_price"),
        ("homes.forecast=shared_ridge", "learns from homes that share one retailer"),
        ("homes.forecasters={shared_ridge=0.5}", "learns from homes that share one retailer"),
        ('homes.tariffs={nihgt=["home-2"]}', "did you mean 'night'"),
        ('homes.tariffs={night=["home-9"]}', "the data have no home 'home-9'"),
        ("tariff.other.more.import_per_kwh=0.2", "feed-in"),
    ],
)
def test_what_goes_by_one_price_is_refused_with_the_pair_and_the_cure(
    given: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidScenario) as caught:
        prepare(street(tmp_path, given))
    assert said in str(caught.value)


def test_a_tariff_of_no_home_and_windows_without_a_zone_are_refused(tmp_path: Path) -> None:
    path = write_street(
        tmp_path, homes=4, more=NIGHT.replace("[homes.tariffs]\nnight", "[homes.strategies]\nzi_c")
    )
    with pytest.raises(InvalidScenario) as caught:
        ws.load(path)
    said = str(caught.value)
    assert "tariff.other.night: is the tariff of no home" in said
    assert "windows on the local clock need a time zone" in said


def test_the_game_and_the_sharing_rules_say_that_they_go_by_one_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = street(tmp_path / "street")
    run = ws.run(scenario, out=tmp_path / "runs")
    with pytest.raises(UsageError, match="homes with several retailers"):
        shares_of(run)
    words = ("--set", "tariff.zone=UTC", "--set", RETAILER)
    refused(call(capsys, "check", "market", tmp_path / "street", *words), 2, "prices of one", "homes.tariffs")
    assert "2 homes with night" in run.rests_on["retailers"]
