"""A node that holds readings of its own homes has the same homes, devices, prices and places as a run with all data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wattswap as ws
from data.readings import MISSING
from p2p.blocks.genesis import read_genesis
from wattswap.nodes.bundle import setup_of
from wattswap.nodes.provision import KeyPlan, NetworkSpec, init_nodes
from wattswap.runs.prepare import Setup, prepare

SAME = (
    "roster",
    "devices",
    "strategies",
    "controllers",
    "forecasters",
    "dropped_homes",
    "undrawn_homes",
    "start_s",
    "minutes",
    "intervals",
    "accounts",
    "rules",
    "agents",
    "facts",
)
CASES = {
    "as it is": (),
    "coarser intervals": ("time.interval_minutes=60", "time.intervals=5"),
    "a drawn sample": ("homes.sample_homes=6", "homes.battery_kwh=5"),
    "shares": (
        "homes.pv_scale=2",
        "homes.pv_share=0.7",
        *(
            f"homes.population.battery.{key}"
            for key in ("share=0.4", "capacity_kwh=5", "charge_kw=2", "discharge_kw=2")
        ),
        "homes.strategies.truthful=0.5",
    ),
    "equal shares of the pool": ("market.imbalance_shares=equal",),
}


def made(scenario: ws.Scenario, folder: Path) -> tuple[Setup, dict[str, Setup]]:
    """The setup with all data, and that of each node of homes, and of one of each other role."""
    configs = init_nodes(scenario, folder, NetworkSpec(0, gateways=2, observers=1), KeyPlan(derived=True))
    names = ("validator-0", "operator-0", "observer-0", "gateway-0", "gateway-1")
    nodes = {c.name: setup_of(c, read_genesis(c.genesis_path)) for c in configs if c.name in names}
    return prepare(scenario), nodes


@pytest.mark.parametrize("case", CASES)
def test_a_node_has_the_same_setup_as_a_run(case: str, tmp_path: Path) -> None:
    whole, nodes = made(ws.demo(["time.intervals=8", *CASES[case]]), tmp_path / "nodes")
    for name, own in nodes.items():
        for field in SAME:
            assert getattr(own, field) == getattr(whole, field), (name, field)
        assert own.membership.terms == whole.membership.terms
        assert own.genesis == whole.genesis
        for i in range(whole.intervals):
            assert own.rules_at(i) == whole.rules_at(i)


@pytest.mark.parametrize("case", CASES)
def test_a_node_has_the_readings_of_its_own_homes_and_misses_all_others(case: str, tmp_path: Path) -> None:
    whole, nodes = made(ws.demo(["time.intervals=8", *CASES[case]]), tmp_path / "nodes")
    held = set[int]()
    for name, own in nodes.items():
        has = np.flatnonzero((own.meter.quality != MISSING).any(axis=0)).tolist()
        assert bool(has) == name.startswith("gateway"), name
        assert not held & set(has)
        held |= set(has)
        for mine, all_homes in (
            (own.meter.import_wh, whole.meter.import_wh),
            (own.meter.export_wh, whole.meter.export_wh),
            *((own.meter.sub_meters[key], wh) for key, wh in whole.meter.sub_meters.items()),
        ):
            rows = all_homes[len(all_homes) - len(mine) :]
            assert (mine[:, has] == rows[:, has]).all()
            others = [home for home in range(len(whole.roster)) if home not in has]
            assert not mine[:, others].any()
    assert held == set(range(len(whole.roster)))


def test_what_nothing_is_shared_by_is_not_written(tmp_path: Path) -> None:
    for shares, there in (("equal", False), ("throughput", True)):
        scenario = ws.demo(["time.intervals=8", f"market.imbalance_shares={shares}"])
        configs = init_nodes(scenario, tmp_path / shares, NetworkSpec(0, gateways=1), KeyPlan())
        for config in configs:
            settles = config.role in ("operator", "validator")
            assert config.scenario_path.with_name("weights.json").exists() == (there and settles)


def test_more_history_that_a_study_reads_changes_no_commitment() -> None:
    scenario = ws.demo(["time.intervals=8"])
    assert prepare(scenario, least_history_days=60).facts == prepare(scenario).facts
