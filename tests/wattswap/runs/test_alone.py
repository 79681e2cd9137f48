"""Homes that react to the market are held against what they would have done without one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import wattswap
import wattswap as ws
from market.settlement.accounts import MONEY_COLUMNS
from wattswap.runs import engine

TEMPLATE = Path(wattswap.__file__).parent / "scenario" / "templates" / "thinking.toml"


WITHOUT = "market.mechanism=retailer_only", "market.imbalance=retailer"


def ran(out: Path, *more: str) -> ws.RunResult:
    return engine.run(ws.load(TEMPLATE, overrides=["time.days=1", *more]), out=out)


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> ws.RunResult:
    """The day without a market; look, do not touch."""
    return ran(tmp_path_factory.mktemp("without"), *WITHOUT)


@pytest.fixture(scope="module")
def markets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ws.RunResult]:
    """The day under a mechanism, which is run once; look, do not touch."""
    return cache(lambda mechanism: ran(tmp_path_factory.mktemp(mechanism), f"market.mechanism={mechanism}"))


@pytest.mark.parametrize("mechanism", ["uniform_price", "mid_market_rate", "mcafee"])
def test_the_bill_without_a_market_is_that_of_a_run_without_one(
    mechanism: str, markets: Callable[[str], ws.RunResult], without: ws.RunResult
) -> None:
    market = markets(mechanism)
    readings, alone = market.table("readings"), without.table("readings")
    for register in ("import_wh", "export_wh", "stored_wh"):
        assert (readings[f"alone_{register}"] == alone[register]).all(), register
    bills, their = market.table("bills"), without.table("bills")
    paid = np.sum([their[name] for name in MONEY_COLUMNS], axis=0)
    assert (bills["baseline_nano"] == paid).all()
    assert (readings["import_wh"] != readings["alone_import_wh"]).any(), "they react to trades"
    own = without.metrics["self_sufficiency_alone"]
    assert own is not None
    assert market.metrics["self_sufficiency_alone"] == own
    load_wh, import_wh = (alone[name].sum() for name in ("load_wh", "import_wh"))
    assert own == pytest.approx(1 - import_wh / load_wh)


def test_without_a_market_a_home_with_a_heat_pump_uses_what_it_would_use(tmp_path: Path) -> None:
    """Its consumption reacts as well, so that the share it covers alone is of another load."""
    pump = "homes.heat_pump.home-01={power_kw=3,heat_loss_w_per_k=150,capacity_kwh_per_k=8,cop=3,outdoor_c=2}"
    market = ran(tmp_path / "market", pump)
    without = ran(tmp_path / "without", pump, *WITHOUT)
    assert market.metrics["self_sufficiency_alone"] == without.metrics["self_sufficiency_alone"]


def test_savings_add_up_and_reach_the_bound(markets: Callable[[str], ws.RunResult]) -> None:
    """Under the mechanism of the template."""
    assert ws.load(TEMPLATE).market.mechanism == "uniform_price"
    found = markets("uniform_price").metrics
    parts = [
        found[name] for name in ("saving_by_mechanism", "saving_by_imbalance_rule", "saving_from_outside")
    ]
    assert sum(parts) == pytest.approx(found["saving"], abs=1e-9)
    assert found["saving"] == pytest.approx(found["saving_bound"], abs=1e-9)  # pooled loses nothing of it
    assert found["stored_beyond_alone_kwh"] is not None


def test_nobody_saves_where_nothing_is_traded(without: ws.RunResult) -> None:
    found = without.metrics
    assert found["saving"] == 0
    assert found["stored_beyond_alone_kwh"] == 0


def test_homes_that_do_not_react_have_no_second_registers(tmp_path: Path) -> None:
    result = ran(tmp_path, "homes.control=self_consumption")
    assert not [name for name in result.table("readings") if name.startswith("alone_")]
    assert result.metrics["stored_beyond_alone_kwh"] is None
