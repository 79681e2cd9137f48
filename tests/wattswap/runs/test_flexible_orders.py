"""Runs in which homes submit what cars and appliances need within windows to a market of a horizon."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from agents.community import Community
from agents.control import CONTROLLERS
from agents.control.plan import PLAN
from agents.devices.appliance import Appliances
from agents.flexibility import Moved, Schedule
from market.settlement.accounts import IMBALANCE, TRADE
from market.units import IntArray
from tests.kits.resume_kit import killed
from tests.kits.run_kit import write_street
from wattswap.runs import engine
from wattswap.runs.interval import IntervalRecord, step
from wattswap.runs.prepare import Setup, prepare

AHEAD, METERED = (
    ("market.mechanism=multi_interval", "homes.control=plan"),
    "market.quantities=metered",
)
PERFECT = "homes.forecast=perfect_foresight"
NO_FEES = ("tariff.grid_fee_local_per_kwh=0", "tariff.grid_fee_remote_per_kwh=0")
DEVICES = """
[homes.ev.home-2]
capacity_kwh = 20
charge_kw = 2.3
kwh_per_day = 3
departure = "06:30"
arrival = "10:00"
charge_efficiency = 0.9

[homes.ev.home-3]
capacity_kwh = 6
charge_kw = 1.1
kwh_per_day = 2.5
departure = "14:00"
arrival = "19:00"
days = "tue-sun"

[homes.appliance.home-1]
kwh_per_run = 0.7
duration_minutes = 120
earliest_start = "07:00"
latest_end = "20:00"

[homes.appliance.home-3]
kwh_per_run = 1.001
duration_minutes = 180
earliest_start = "20:00"
latest_end = "13:00"
"""
APPLIANCE = """
[homes.appliance.home-{home}]
kwh_per_run = {kwh}
duration_minutes = {minutes}
earliest_start = "08:00"
latest_end = "20:00"
"""


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("street"), homes=4, days=2, more=DEVICES)


def setup_of(street: Path, *overrides: str) -> Setup:
    return prepare(ws.load(street, overrides=[*AHEAD, *overrides]))


def records(setup: Setup) -> list[IntervalRecord]:
    community = setup.community()
    return [step(setup, community, i) for i in range(setup.intervals)]


@cache
def lived(street: Path, *overrides: str) -> tuple[Setup, list[IntervalRecord]]:
    """A set-up and what it lives through, once for all tests that ask for the same; look, do not touch."""
    setup = setup_of(street, *overrides)
    return setup, records(setup)


def net_of(found: list[IntervalRecord]) -> IntArray:
    """Import less export of each home in each interval. [Wh]"""
    return np.array([record.import_wh - record.export_wh for record in found])


def cost_nano(setup: Setup, net_wh: IntArray) -> int:
    """What a meter of the whole community would pay the retailer. [nano]"""
    bought, sold = setup.prices.import_micro_per_kwh, setup.prices.feed_in_micro_per_kwh
    return int((np.maximum(net_wh, 0) * bought - np.maximum(-net_wh, 0) * sold).sum())


@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), marks=pytest.mark.slow),
        (METERED,),
        (METERED, PERFECT),
        pytest.param(("market.horizon_hours=5",), marks=pytest.mark.slow),
    ],
)
def test_bills_add_up_to_what_meters_and_devices_say(street: Path, more: tuple[str, ...]) -> None:
    setup, found = lived(street, *NO_FEES, *more)
    net_wh, rows = net_of(found), slice(setup.first_row, setup.first_row + setup.intervals)
    lines = [record.settled.postings.lines[: len(setup.roster)] for record in found]
    assert -sum(int(one[:, TRADE:].sum()) for one in lines) == cost_nano(setup, net_wh.sum(axis=1))
    columns = {name: np.array([record.columns[name] for record in found]) for name in found[0].columns}
    moved = net_wh - (setup.meter.import_wh - setup.meter.export_wh)[rows]
    held = np.diff(columns["stored_wh"], axis=0, prepend=0)
    own = columns["ev_wh"] + columns["appliance_wh"]
    assert (moved[:, 1:] == own[:, 1:]).all()  # home-1 has a battery
    assert (np.abs(moved[:, 0] - own[:, 0] - np.where(held > 0, held / 0.95, held * 0.95)[:, 0]) <= 2).all()
    assert not columns["ev_unmet_wh"][4:].any()  # the first trips come before a stay of a night
    assert not columns["appliance_unmet_wh"].any()
    assert columns["ev_wh"].any(axis=0).tolist() == [False, True, True, False]
    if METERED in more:
        assert not any(one[:, IMBALANCE].any() for one in lines)


def test_a_device_does_what_was_cleared_and_its_order_is_in_the_book(street: Path) -> None:
    setup, found = lived(street, METERED)
    for record in found:
        book, moved = record.book, record.columns["ev_wh"] + record.columns["appliance_wh"]
        assert not book.terms
        bought = np.zeros(len(setup.roster), dtype=np.int64)
        np.add.at(bought, book.participant, book.side * book.energy_wh)
        battery = np.array([True, False, False, False])
        net_wh = record.import_wh - record.export_wh
        assert (bought == net_wh)[~battery].all()
        placed = (book.side == 1) & (book.energy_wh > 0)
        for home in np.flatnonzero(moved & ~battery).tolist():
            assert placed[book.participant == home].any()


def test_what_a_home_submits_depends_on_it_alone(street: Path) -> None:
    """A node of a home computes the same as the run of all of them."""
    setup = setup_of(street, "time.days=1")
    together, alone, compared = setup.community(), [setup.community(home) for home in range(4)], 0
    assert isinstance(together, Community)
    for _ in range(setup.intervals):
        for measured in (False, True):
            whole = together.submit(measured=measured)
            for home, community in enumerate(alone):
                assert isinstance(community, Community)
                own = community.submit(measured=measured)
                assert (own is None) == (whole is None)
                if own is None or whole is None:
                    continue
                compared += len(own.flexible)
                assert (own.net_wh[:, 0] == whole.net_wh[:, home]).all()
                assert [replaced._replace(home=home) for replaced in own.flexible] == [
                    one for one in whole.flexible if one.home == home
                ]
                assert [replaced._replace(home=home) for replaced in own.stores] == [
                    one for one in whole.stores if one.home == home
                ]
                assert {name for name, homes in own.placed.items() if homes[0]} == {
                    name for name, homes in whole.placed.items() if homes[home]
                }
        for community in (together, *alone):
            community.live()
    assert compared > 50


@pytest.mark.parametrize("seed", [1, 2])
def test_with_perfect_foresight_runs_are_where_trying_all_starts_puts_them(tmp_path: Path, seed: int) -> None:
    """Two runs of two homes within a day: no pair of starts costs the community less."""
    more = APPLIANCE.format(home=1, kwh=0.9, minutes=120) + APPLIANCE.format(home=3, kwh=0.5, minutes=60)
    street = write_street(tmp_path, homes=3, days=1, more=more)
    peak = 'tariff.time_of_use=[{from="11:00", to="14:00", import_per_kwh=0.7}]', 'tariff.zone="UTC"'
    none, flexible = (
        "homes.battery.home-1.capacity_kwh=0",
        (METERED, PERFECT, *NO_FEES, *peak, f"seed={seed}"),
    )
    setup = setup_of(street, none, *flexible)
    paid = cost_nano(setup, net_of(records(setup)).sum(axis=1))
    rows = slice(setup.first_row, setup.first_row + setup.intervals)
    net_wh = (setup.meter.import_wh - setup.meter.export_wh)[rows].sum(axis=1)
    costs = []
    for first, second in product(range(8, 19), range(8, 20)):
        own = net_wh.copy()
        own[first : first + 2] += 450
        own[second] += 500
        costs.append(cost_nano(setup, own))
    assert paid == min(costs) < max(costs)


def test_cars_and_appliances_of_neighbours_cost_less_placed_together_than_planned_apart(street: Path) -> None:
    kept = replace(PLAN, name="plan_devices_kept", keeps=frozenset({"ev", "appliance"}))
    CONTROLLERS.register(kept)
    try:
        paid = []
        for control in ((), (f"homes.control={kept.name}",)):
            setup, found = lived(street, *NO_FEES, METERED, PERFECT, *control)
            paid.append(cost_nano(setup, net_of(found).sum(axis=1)))
        assert paid[0] < paid[1]
    finally:
        CONTROLLERS.forget(kept.name)


def test_homes_of_another_controller_run_their_devices_themselves(street: Path) -> None:
    ahead = setup_of(street, "homes.control=self_consumption")
    single = prepare(ws.load(street, overrides=["homes.control=self_consumption"]))
    assert (net_of(records(ahead)) == net_of(records(single))).all()


@pytest.mark.slow  # batteries in a horizon are the sample: test_rolling_horizon.py
def test_the_order_of_homes_in_the_data_plays_no_part(street: Path) -> None:
    names = ", ".join(f'"home-{home}"' for home in (3, 1, 4, 2))
    asked = (), (f"data.households=[{names}]",)
    in_order, in_another = (lived(street, METERED, *more) for more in asked)
    assert in_order[0].roster != in_another[0].roster
    net_wh = [
        dict(zip(setup.roster, net_of(found).T.tolist(), strict=True))
        for setup, found in (in_order, in_another)
    ]
    assert net_wh[0] == net_wh[1]


@pytest.mark.slow  # two seeds are tried against all starts above
def test_with_perfect_foresight_a_seed_decides_ties_alone(street: Path) -> None:
    paid = []
    for seed in (1, 2, 3):
        setup = setup_of(street, METERED, PERFECT, *NO_FEES, f"seed={seed}", "time.days=1")
        paid.append(cost_nano(setup, net_of(records(setup)).sum(axis=1)))
    assert max(paid) - min(paid) <= 2_000_000  # .002 EUR: whole Wh, and what is left at the end


def test_a_home_that_is_no_member_runs_its_devices_itself(street: Path) -> None:
    later = 'homes.members={"home-2"={from=2026-06-03T00:00:00Z}}'
    setup = setup_of(street, METERED, later)
    found, place = records(setup), setup.roster.index("home-2")
    before = [record for i, record in enumerate(found) if not setup.takes_part(i)[place]]
    assert len(before) == 24
    assert not any((record.book.participant == place).any() for record in before)
    assert not any(record.columns["ev_unmet_wh"][4:].any() for record in found[4:])


def test_an_order_that_is_not_served_ends_with_the_rule_of_the_device(street: Path) -> None:
    """A market that serves nobody: every trip has its energy, every run ends in time, bought from the retailer."""
    setup = setup_of(street, METERED)
    community = setup.community()
    assert isinstance(community, Community)
    short, late, taken, nothing = 0, 0, np.zeros(4, dtype=np.int64), np.zeros(4, dtype=np.int64)
    for i in range(setup.intervals):
        submitted = community.submit(measured=True)
        assert submitted is not None
        moved = {name: Moved(nothing, homes) for name, homes in submitted.placed.items()}
        community.agree(nothing, Schedule(nothing, nothing > 0, moved))
        meters = community.live()
        short += int(meters.columns["ev_unmet_wh"].sum()) if i > 4 else 0
        late += int(meters.columns["appliance_unmet_wh"].sum())
        taken += meters.columns["ev_wh"] + meters.columns["appliance_wh"]
    assert (short, late) == (0, 0)
    assert (taken[:3] > 0).all()


@pytest.mark.slow  # batteries in a horizon are the sample: test_rolling_horizon.py
def test_a_run_with_cars_is_resumed_to_the_same_hashes(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "CHECKPOINT_S", 0.0)
    scenario = ws.load(street, overrides=[*AHEAD, "time.days=2", "market.gate_closure_minutes=120"])
    whole = ws.run(scenario, out=tmp_path / "whole")
    assert ws.verify(whole.path)["ok"]
    resumed = ws.resume(killed(scenario, tmp_path / "killed", 41))
    for name in ("replay_sha256", "chain"):
        assert resumed.manifest[name] == whole.manifest[name]


def test_a_device_that_describes_homes_it_was_not_asked_for_is_refused(
    street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Appliances.windows
    monkeypatch.setattr(
        Appliances, "windows", lambda *given: real(*given)._replace(known=np.ones(4, dtype=np.bool_))
    )
    with pytest.raises(Exception, match="describes windows of homes that it was not asked for"):
        records(setup_of(street))
