"""The ten homes of Fontana, California, with one battery of 64 kWh in common: four weeks of September 2016."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from benchmarks.market_game import CALIFORNIA, HEAD, WINDOWS
from optimizer.solver.builder import NONE, ModelBuilder
from optimizer.solver.session import Session
from optimizer.storage.plan import Planner
from optimizer.storage.rules import self_consuming
from optimizer.storage.store import Demand, Store
from optimizer.storage.whole import whole
from wattswap.results import BatterySizes
from wattswap.scenario.load import Scenario
from wattswap.sizing.homes import Homes, homes_of

DATA = Path(__file__).parents[3] / ".." / "shared" / "data" / "homes_fontana_ca"
COMMON = """\
[community.battery]
charge_efficiency = 0.949
discharge_efficiency = 0.949
"""
POOLED = Store(64_000, 50_000, 949_000, 949_000)

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data of the Fontana homes are not here")


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    file = tmp_path_factory.mktemp("fontana") / "scenario.toml"
    head = HEAD.format(currency="USD", start=WINDOWS["California, September"][1])
    file.write_text(head + CALIFORNIA.format(path=DATA.resolve()) + COMMON, encoding="utf-8")
    return ws.load(file, overrides=['homes.batteries="none"'])


@pytest.fixture(scope="module")
def homes(scenario: Scenario) -> Homes:
    return homes_of(scenario)


def ten_batteries(demand: Demand, homes: int) -> float:
    """Least cost on one meter with a battery of a tenth of the size in each home. [nano-currency]"""
    steps, model = len(demand.need_wh), ModelBuilder()
    net = demand.net_wh.astype(np.float64)
    imported = model.variables("imported", steps, cost=demand.bought.astype(np.float64))
    exported = model.variables("exported", steps, cost=-demand.sold.astype(np.float64))
    terms = [(imported, 1.0), (exported, -1.0)]
    for home in range(homes):
        charged = model.variables(f"charged{home}", steps, upper=POOLED.power_wh / homes)
        discharged = model.variables(f"discharged{home}", steps, upper=POOLED.power_wh / homes)
        stored = model.variables(f"stored{home}", steps, upper=POOLED.capacity_wh / homes)
        before = np.append(NONE, stored[:-1]).astype(np.int32)
        content = [(stored, 1.0), (charged, -POOLED.gain), (discharged, 1 / POOLED.yields), (before, -1.0)]
        model.constraints(f"content{home}", content, 0.0, 0.0)
        terms += [(charged, -1.0), (discharged, 1.0)]
    model.constraints("balance", terms, net, net)
    built = model.compile()
    return float(built.cost @ Session(built).resolve(built.cost, built.lower, built.upper).x)


def test_the_homes_without_a_battery_pay_what_their_netted_meter_costs(homes: Homes) -> None:
    assert homes.demand.cost_nano() / 1e9 == pytest.approx(1_435.18, abs=0.005)


def test_the_battery_in_common_reaches_the_optimum_of_the_community(homes: Homes) -> None:
    """751.7 USD: the optimum of ten batteries of 6.4 kWh and 5 kW behind one meter."""
    demand = homes.demand
    plan = Planner(demand, POOLED).plan(POOLED)
    assert plan.cost_nano / 1e9 == pytest.approx(751.735, abs=0.001)
    done = whole(demand, POOLED, plan)
    assert done.broken(POOLED) == ""
    assert demand.cost_nano(done.taken_wh) / 1e9 == pytest.approx(751.735, abs=0.02)


def test_ten_equal_batteries_behind_one_meter_cost_the_same(homes: Homes) -> None:
    """A tenth of the plan of the pool is a plan of each, and ten plans summed are one of the pool."""
    demand = homes.demand
    pooled = Planner(demand, POOLED).plan(POOLED).cost_nano
    assert ten_batteries(demand, 10) == pytest.approx(pooled, rel=1e-9)


def test_the_rule_keeps_four_fifths_of_what_the_bound_saves(homes: Homes) -> None:
    demand = homes.demand
    done = self_consuming(demand, POOLED)
    saved = demand.cost_nano() - demand.cost_nano(done.taken_wh)
    most = demand.cost_nano() - Planner(demand, POOLED).plan(POOLED).cost_nano
    assert saved / most == pytest.approx(0.80, abs=0.01)


def test_the_study_shares_what_the_battery_saves_exactly(scenario: Scenario) -> None:
    study: BatterySizes = ws.size_battery(scenario, [0, 64], power_per_kwh=50 / 64, share_at=64)
    assert study.sizes[1].power_kw == pytest.approx(50)
    found = study.to_dict()["shares"]
    assert found["method"] == "exact"
    for rule in ("price", "shapley", "nucleolus"):
        gain = sum(home["saved"][rule] - home["saved_without_battery"][rule] for home in found["homes"])
        assert gain == pytest.approx(study.sizes[1].best.saving, abs=0.02)
