"""Sizes of a common battery: figures that follow from one another, edges, and what is said of them."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from optimizer.storage.whole import whole
from tests.kits.run_kit import write_street
from wattswap.errors import AlreadyExists, InvalidScenario, UsageError
from wattswap.results import BatterySizes
from wattswap.sizing.homes import homes_of
from wattswap.sizing.sizes import planner_of
from wattswap.sizing.walk import walked

COST = "community.battery.cost_per_kwh=400"


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four days of four homes with fees; one has a battery of its own, and the tariff is the one price of a day."""
    return write_street(tmp_path_factory.mktemp("sizes"), homes=4, days=4)


@pytest.fixture(scope="module")
def study(street: Path) -> BatterySizes:
    return ws.size_battery(ws.load(street, overrides=[COST, "community.battery.fixed_cost=100"]), "0:20:5")


def test_no_battery_saves_nothing_and_has_no_payback(study: BatterySizes) -> None:
    none = study.sizes[0]
    assert none.capacity_kwh == none.power_kw == none.cost_per_year == 0
    assert none.best == none.rule
    assert none.best.saving == 0
    assert none.best.payback_years is None
    assert none.best.cycles_per_year is None


def test_the_community_without_a_battery_pays_what_its_netted_meter_and_local_fees_cost(
    study: BatterySizes,
) -> None:
    """Recomputed from the registers: what neighbours give each other costs the local fee alone."""
    homes = study.homes
    net = homes.import_wh - homes.export_wh
    together = net.sum(axis=1)
    inside = np.minimum(np.maximum(net, 0).sum(axis=1), np.maximum(-net, 0).sum(axis=1))
    outside = (np.maximum(together, 0) * 350_000 - np.maximum(-together, 0) * 80_000).sum()
    assert homes.demand.cost_nano() == outside + inside.sum() * 10_000


def test_more_capacity_never_costs_more_and_helps_less_and_less(study: BatterySizes) -> None:
    steps = [larger.best.saving - size.best.saving for size, larger in pairwise(study.sizes)]
    assert min(steps) >= -1e-6
    assert all(later <= step + 1e-4 for step, later in pairwise(steps))


def test_the_rule_never_saves_more_than_the_bound(study: BatterySizes) -> None:
    for size in study.sizes:
        assert size.rule.saving <= size.best.saving
        assert size.rule.cost == pytest.approx(study.homes.demand.cost_nano() / 1e9 - size.rule.saving)


def test_saved_at_most_is_the_bound_of_the_program_which_the_shares_by_price_sum_to(street: Path) -> None:
    """A plan in whole Wh saves less: what it takes is rounded, by watts here, and so is each draw from the store."""
    study = ws.size_battery(ws.load(street, overrides=[COST]), [0.2], share_at=0.2)
    homes, store, best = study.homes, study.asked.store(200, 60), study.sizes[0].best
    plan = planner_of(homes, study.asked).plan(store)
    in_whole_wh = homes.demand.cost_nano(whole(homes.demand, store, plan).taken_wh) / 1e9
    assert best.cost < in_whole_wh - 1e-6
    assert study.shares["saved_by_price"].sum() == pytest.approx(study.shares["cost_alone"].sum() - best.cost)


def test_figures_of_money_follow_from_one_another(study: BatterySizes) -> None:
    for size in study.sizes[1:]:
        purchase = 400 * size.capacity_kwh + 100
        assert size.cost_per_year == pytest.approx(purchase / 15)
        assert size.best.saving_per_year == pytest.approx(size.best.saving * 365 / 4)
        if size.best.payback_years is not None:
            assert size.best.payback_years == pytest.approx(purchase / size.best.saving_per_year)
        assert size.best_net_per_year == pytest.approx(size.best.saving_per_year - purchase / 15)


def test_without_a_cost_there_is_no_payback_and_no_best_size(street: Path) -> None:
    found = ws.size_battery(street, [0, 5]).to_dict()
    assert found["best_capacity_kwh"] is None
    assert [size["battery_cost_per_year"] for size in found["sizes"]] == [None, None]
    assert [size["payback_years"] for size in found["sizes"]] == [None, None]
    assert any("community.battery.cost_per_kwh" in note for note in found["notes"])


def test_the_peak_is_the_least_that_can_be_kept_and_costs_more_than_the_least_cost(street: Path) -> None:
    least, cheap = (ws.size_battery(street, "0:10:5", goal=goal) for goal in ("peak", "welfare"))
    for for_peak, for_cost in zip(least.sizes, cheap.sizes, strict=True):
        assert for_peak.best.peak_import_kw <= for_cost.best.peak_import_kw + 0.02
        assert for_peak.best.cost >= for_cost.best.cost - 1e-6
    assert least.sizes[-1].best.peak_import_kw < least.sizes[0].best.peak_import_kw
    assert least.to_dict()["shares"]["undefined_because"]["shapley"]


def test_the_rule_as_a_goal_is_no_bound(street: Path) -> None:
    found = ws.size_battery(street, "0:10:5", goal="self_consumption")
    assert all(size.best == size.rule for size in found.sizes)
    assert not found.to_dict()["perfect_foresight"]
    assert "no bound" in found.notes()[0]


def test_the_reserve_takes_its_share_of_the_capacity(street: Path) -> None:
    half = ws.load(street, overrides=["community.battery.reserve_share=0.5"])
    reserved = ws.size_battery(half, [10], power_per_kwh=0.5).sizes[0]
    smaller = ws.size_battery(street, [5], power_per_kwh=1).sizes[0]
    assert reserved.best.saving == pytest.approx(smaller.best.saving)
    assert reserved.best.cycles_per_year == pytest.approx(smaller.best.cycles_per_year)


def test_the_scenario_says_capacity_power_and_goal(street: Path) -> None:
    table = ["capacity_kwh=8", "power_kw=2", 'run_for="self_consumption"']
    scenario = ws.load(street, overrides=[f"community.battery.{one}" for one in table])
    found = ws.size_battery(scenario, [0, 4]).to_dict()
    assert [(size["capacity_kwh"], size["power_kw"]) for size in found["sizes"]] == [(0, 0), (4, 1), (8, 2)]
    assert found["goal"] == "self_consumption"
    assert found["shares"]["capacity_kwh"] == 8


def test_a_plan_from_forecasts_keeps_the_limits_and_does_not_depend_on_other_sizes(street: Path) -> None:
    scenario = ws.load(street, overrides=["time.intervals=24"])
    homes, study = homes_of(scenario), ws.size_battery(scenario, [2, 6], plan=True)
    stores = [study.asked.store(capacity, 60) for capacity in (2_000, 6_000)]
    alone = [walked(homes, homes.demand, [store])[0] for store in stores]
    for size, store, done in zip(study.sizes, stores, alone, strict=True):
        assert done.broken(store) == ""
        assert size.planned is not None
        assert size.planned.cost == homes.demand.cost_nano(done.taken_wh) / 1e9
        assert size.planned.saving <= size.best.saving + 1e-6


def test_homes_are_counted_while_they_are_members_only(street: Path) -> None:
    scenario = ws.load(street, overrides=["homes.members.home-2.from=2026-06-03T00:00:00Z"])
    part, whole = homes_of(scenario), homes_of(ws.load(street))
    assert not part.import_wh[:24, 1].any()
    assert part.import_wh[24:].tolist() == whole.import_wh[24:].tolist()


def test_several_retailers_and_a_high_feed_in_price_are_refused(street: Path) -> None:
    other = ["tariff.other.b.import_per_kwh=0.3", "tariff.other.b.feed_in_per_kwh=0.1", "homes.tariffs.b=0.5"]
    imbalance = 'market.imbalance="retailer"'
    with pytest.raises(InvalidScenario, match="several retailers"):
        ws.size_battery(ws.load(street, overrides=[*other, imbalance]), [5])
    with pytest.raises(InvalidScenario, match="above what a neighbour can pay in 96 of 96"):
        ws.size_battery(ws.load(street, overrides=["tariff.feed_in_per_kwh=0.5"]), [5])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"sizes": "5:1:1"}, "has no sizes"),
        ({"sizes": "0:5:0"}, "has no sizes"),
        ({"sizes": "a,5"}, "'a' is no size"),
        ({"sizes": [-1]}, "-1 kWh is no size"),
        ({"sizes": "0.0001"}, "is no size"),
        ({"sizes": "0:1000:1"}, "more than 200"),
        ({"sizes": ""}, "no size"),
        ({"goal": "peek"}, "did you mean 'peak'"),
        ({"power_per_kwh": 0}, "--power-per-kwh: is 0"),
        ({"share_at": 0}, "is no battery"),
    ],
)
def test_a_wrong_argument_is_a_sentence(street: Path, arguments: dict[str, object], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        ws.size_battery(street, **arguments)  # type: ignore[arg-type]


def test_all_wrong_arguments_are_named_at_once(street: Path) -> None:
    with pytest.raises(UsageError) as caught:
        ws.size_battery(street, "x", goal="y", power_per_kwh=-1, share_at=0)
    assert len(caught.value.problems) == 4


def test_prices_below_0_are_searched_and_an_early_end_is_said(
    street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noon = 'tariff.time_of_use=[{ days = "all", from = "10:00", to = "15:00", import_per_kwh = -0.2 }]'
    below = [noon, 'tariff.zone="UTC"', "tariff.feed_in_per_kwh=-0.3", "time.intervals=20"]
    scenario = ws.load(street, overrides=below)
    proven = ws.size_battery(scenario, [4])
    assert proven.sizes[0].unproven == pytest.approx(0, abs=1e-6)
    assert proven.sizes[0].rule.saving <= proven.sizes[0].best.saving
    monkeypatch.setattr("optimizer.storage.plan.BRANCHED_ROWS", 0)
    monkeypatch.setattr("optimizer.storage.plan.LEAST_SOLVED", 1)
    early = ws.size_battery(scenario, [4])
    assert early.sizes[0].best.saving - early.sizes[0].unproven <= proven.sizes[0].best.saving + 1e-3
    assert early.sizes[0].best.saving >= proven.sizes[0].best.saving
    assert early.sizes[0].unproven > 0.005
    assert any("ended early" in note for note in early.notes())


def test_the_frames_have_a_row_a_size_and_a_home(study: BatterySizes) -> None:
    assert study.frame.index.tolist() == [0, 5, 10, 15, 20]
    assert study.frame["rule_saving"].tolist() == [size.rule.saving for size in study.sizes]
    assert study.frame["payback_years"].isna().tolist()[0]
    assert study.shares.index.tolist() == ["home-1", "home-2", "home-3", "home-4"]
    assert study.shares["saved_by_price"].sum() == pytest.approx(study.shares["saved_by_shapley"].sum())


def test_a_window_of_less_than_a_year_is_said_to_be_no_year(study: BatterySizes) -> None:
    assert any("4 days times 91.25" in note for note in study.notes())


def test_the_figure_is_a_drawing_that_names_its_lines(study: BatterySizes, tmp_path: Path) -> None:
    path = study.draw(tmp_path / "sizes.svg")
    root = ET.parse(path).getroot()
    texts = ["".join(one.itertext()) for one in root.iter() if one.tag.endswith("text")]
    assert {"saved at most", "saved by rule", "cost of the battery", "20"} <= set(texts)
    named = [one for one in root.iter() if (one.text or "").startswith(("saved", "cost"))]
    heights = sorted(float(one.get("y", "nan")) for one in named)
    assert min(np.diff(heights)) >= 15
    assert "http" not in path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    with pytest.raises(AlreadyExists):
        study.draw(path)
    with pytest.raises(UsageError, match="no SVG"):
        study.draw(tmp_path / "sizes.png")
    assert study.draw(tmp_path / "folder" / "sizes.svg").is_file()
