"""Who gains by a battery that is run for the peak: games recomputed group by group with whole numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from market.cooperative.shapley import shapley
from optimizer.cooperative import nucleolus
from optimizer.storage.rules import least_peak_wh
from optimizer.storage.store import Demand, Store
from tests.kits.run_kit import call, write_street
from wattswap.errors import UsageError
from wattswap.results import BatterySizes
from wattswap.sizing.peak import PeakGame, least_peaks_wh

HOMES, DAYS, CAPACITY_WH, POWER_WH = 4, 3, 8_000, 2_000
PEAK = ["community.battery.run_for=peak", "tariff.peak_per_kw_month=9", "tariff.vat_percent=20"]
ALL = (1 << HOMES) - 1


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("peaks"), homes=HOMES, days=DAYS)


@pytest.fixture(scope="module")
def study(street: Path) -> BatterySizes:
    size = f"{CAPACITY_WH // 1_000}"
    return ws.size_battery(ws.load(street, overrides=PEAK), size, power_per_kwh=0.25)


def store_of(size: int) -> Store:
    """The part of a group of so many homes."""
    return Store(CAPACITY_WH * size // HOMES, POWER_WH * size // HOMES, 950_000, 950_000)


def peak_of(study: BatterySizes, mask: int, *, battery: bool = True) -> int:
    """The least peak of a group, in whole Wh and micro-Wh."""
    homes = [i for i in range(HOMES) if mask >> i & 1]
    net = (study.homes.import_wh - study.homes.export_wh)[:, homes].sum(axis=1)
    nothing = np.zeros_like(net)
    demand = Demand(np.maximum(net, 0), np.maximum(-net, 0), nothing, nothing)
    return least_peak_wh(demand, store_of(len(homes) if battery else 0))


def test_the_peak_of_every_group_is_that_of_whole_numbers_but_for_rounding(study: BatterySizes) -> None:
    masks = np.arange(1, 1 << HOMES)
    member = masks >> np.arange(HOMES)[:, None] & 1
    part = member.sum(axis=0) / HOMES
    net = (study.homes.import_wh - study.homes.export_wh) @ member
    found = least_peaks_wh(net, part * CAPACITY_WH, part * POWER_WH, store_of(HOMES))
    expected = [peak_of(study, mask) for mask in masks.tolist()]
    assert np.abs(found - expected).max() <= 2  # whole Wh that are taken lose up to one each
    assert (found <= expected).all()
    assert min(expected) < max(np.maximum(net.max(axis=0), 0))


@pytest.mark.parametrize("battery", [True, False])
def test_groups_are_worth_what_their_charge_for_the_peak_falls_by(study: BatterySizes, battery: bool) -> None:
    """9 a kW and month with 20 % of VAT, for 3 days of June; hours, so that a Wh is a W."""
    game = PeakGame(study.homes, store_of(HOMES if battery else 0))
    masks = np.arange(1 << HOMES)
    value = game.values(masks)
    charge_nano = 9_000_000 * 1.2 * DAYS / 30
    alone = np.maximum(study.homes.import_wh - study.homes.export_wh, 0).max(axis=0)
    for mask in masks[1:].tolist():
        own = sum(int(alone[i]) for i in range(HOMES) if mask >> i & 1)
        expected = (own - peak_of(study, mask, battery=battery)) * charge_nano
        assert value[mask] == pytest.approx(expected, abs=2 * charge_nano + HOMES)
    assert value[0] == 0
    for mask in masks.tolist():
        apart = value[mask] + value[ALL & ~mask]
        assert apart <= value[ALL] + 2 * charge_nano
    sharing = study.sharing
    assert sharing is not None
    shares = sharing.with_battery if battery else sharing.without_battery
    assert shares.by_price is None
    assert shares.by_shapley is not None
    assert shares.by_shapley.tolist() == shapley(value).tolist()
    assert shares.by_nucleolus is not None
    assert shares.by_nucleolus.tolist() == nucleolus(value).tolist()
    assert sharing.reasons == {"price": "the least peak follows no price of an interval"}


def test_each_month_has_its_own_peak_and_begins_empty(tmp_path: Path) -> None:
    scenario = ws.load(write_street(tmp_path, homes=2, days=32), overrides=PEAK)
    study = ws.size_battery(scenario, "4")
    homes = study.homes
    net = (homes.import_wh - homes.export_wh).sum(axis=1)
    hours = 29 * 24  # from 2 June on
    expected = 0.0
    alone = np.maximum(homes.import_wh - homes.export_wh, 0)
    for rows, days in ((slice(0, hours), 29 / 30), (slice(hours, None), 3 / 31)):
        part, nothing = net[rows], np.zeros_like(net[rows])
        demand = Demand(np.maximum(part, 0), np.maximum(-part, 0), nothing, nothing)
        peak = least_peak_wh(demand, Store(4_000, 2_000, 950_000, 950_000))
        expected += (alone[rows].max(axis=0).sum() - peak) * 9_000_000 * 1.2 * days
    assert study.sharing is not None
    assert study.sharing.with_battery.by_shapley is not None
    found = study.sharing.with_battery.by_shapley.sum()
    assert found == pytest.approx(expected, abs=3 * 2 * 9_000_000 * 1.2)


def test_without_a_charge_for_the_peak_nothing_is_shared_and_asking_for_it_is_refused(
    street: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = ws.load(street, overrides=PEAK[:1])
    study = ws.size_battery(scenario, "8")
    saved = [one["saved"] for one in study.to_dict()["shares"]["homes"]]
    assert saved == [{"price": None, "shapley": None, "nucleolus": None}] * HOMES
    with pytest.raises(UsageError, match=r"nothing to share.*tariff\.peak_per_kw_month"):
        ws.size_battery(scenario, "8", share_at=8)
    done = call(capsys, "size", "battery", street, "--set", PEAK[0], "--share-at", 8)
    assert done.code == 2
    assert "nothing to share" in done.err
