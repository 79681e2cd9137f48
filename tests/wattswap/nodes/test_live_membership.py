"""Homes that join or leave a network: the roots of a run in process, and nobody waits for who is no member."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

import wattswap as ws
from p2p.blocks.genesis import read_genesis
from p2p.blocks.members import ALWAYS, read_member_file
from tests.kits.plugin_kit import own_registries, written
from tests.kits.run_kit import FIRST, write_street
from tests.kits.sample_kit import sample_of
from tests.kits.town_kit import playing
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.folder import stored_scenario
from wattswap.runs.layout import GENESIS, MEMBERS, TABLE_FILES

HOUR_S = 3_600
DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * HOUR_S
INTERVALS = 6
JOINS_S, LEAVES_S = DAYLIGHT_S + 2 * HOUR_S, DAYLIGHT_S + 4 * HOUR_S
GATE_S = 20.0
TERMS = (
    "\n[homes.members.home-2]\nfrom = 2026-06-02T11:00:00Z\n"
    "[homes.members.home-3]\nto = 2026-06-02T13:00:00Z\n"
    "[homes.members.home-4]\nfrom = 2026-06-02T10:00:00Z\nto = 2026-06-02T14:00:00Z\n"
)
LEARNER = '''
"""Limits that move with the number of results that a home has seen."""

from dataclasses import replace

from agents.bidding import STRATEGIES, Strategy, truthful


def bid(state, view):
    orders = truthful.bid(state, view)
    return replace(orders, limit_micro_per_kwh=orders.limit_micro_per_kwh - 1_000 * state["seen"][orders.home])


STRATEGIES.register(
    Strategy(
        "counting",
        bid,
        "a test",
        start=lambda homes, rules: {"seen": 0 * homes},
        learn_own=lambda state, results: {"seen": state["seen"] + 1},
    ),
    contract=2,
)
'''


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six homes, three of which are members for a part of the time."""
    return write_street(tmp_path_factory.mktemp("street"), homes=6, more=TERMS)


def lived(street: Path, out: Path, topology: Topology, *settings: str, **options: object) -> RunResult:
    """Six intervals of daylight, in memory."""
    return run_live(
        ws.load(street, overrides=settings),
        topology=topology,
        intervals=INTERVALS,
        start_s=DAYLIGHT_S,
        out=out,
        run_nodes=playing(**options),
    )


@pytest.mark.parametrize("gateways", sample_of([0, 2], [2]))
def test_homes_that_join_and_leave_give_the_roots_of_a_run_in_process(
    gateways: int, street: Path, tmp_path: Path
) -> None:
    result = lived(street, tmp_path, Topology(gateways=gateways))
    again = engine.run(stored_scenario(result.path), out=tmp_path / "again")
    assert len(compare_runs(result, again)) == INTERVALS
    for name in sorted({*TABLE_FILES, "metrics.json", GENESIS} - {"intervals.parquet"}):
        assert (result.path / name).read_bytes() == (again.path / name).read_bytes(), name
    assert ws.verify(result.path)["ok"]
    assert result.metrics["traded_kwh"] > 0
    network = result.manifest["network"]
    assert network["silent"] == []
    assert "not_a_member" not in network["refused"], "who is no member hands nothing in"
    assert network["proofs_checked"] == 6 * INTERVALS, "and still checks that its line is empty"
    assert network["signed_receipts"] == 2 * (6 * INTERVALS - 2 - 2 - 2)


def test_the_list_of_the_chain_holds_the_terms(street: Path, tmp_path: Path) -> None:
    result = lived(street, tmp_path, Topology())
    found = read_member_file(result.path / MEMBERS, read_genesis(result.path / GENESIS).members_root)
    assert [(member.from_s, member.to_s) for member in found] == [
        ALWAYS,
        (JOINS_S, ALWAYS[1]),
        (ALWAYS[0], LEAVES_S),
        (DAYLIGHT_S + HOUR_S, DAYLIGHT_S + 5 * HOUR_S),
        ALWAYS,
        ALWAYS,
    ]


def test_no_gate_stays_open_for_a_home_that_is_no_member(street: Path, tmp_path: Path) -> None:
    """Every gate closes once the members have answered, long before it would for a home that is silent."""
    gate = lived(street, tmp_path / "members", Topology(gate_s=GATE_S)).manifest["network"]["gate_s"]
    assert gate["max"] < GATE_S / 2
    silent = lived(street, tmp_path / "silent", Topology(gate_s=GATE_S), absent=["home-5"])
    assert silent.manifest["network"]["gate_s"]["max"] >= GATE_S
    assert {line.split()[1] for line in silent.manifest["network"]["silent"]} == {"home-5"}


def test_an_interval_without_any_member_is_settled_at_once(tmp_path: Path) -> None:
    joins = "".join(f"\n[homes.members.home-{n}]\nfrom = 2026-06-02T11:00:00Z" for n in range(1, 4))
    street = write_street(tmp_path / "street", more=joins + "\n")
    result = lived(street, tmp_path, Topology(gate_s=GATE_S))
    assert result.table("intervals")["import_wh"].iloc[:2].tolist() == [0, 0]
    assert result.manifest["network"]["gate_s"]["max"] < GATE_S / 2
    assert ws.verify(result.path)["ok"]


def test_a_home_that_joins_learns_from_its_empty_lines_as_in_process(
    tmp_path: Path, street: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_registries(monkeypatch):
        monkeypatch.syspath_prepend(str(written(tmp_path, "counting.py", LEARNER).parent))
        import_module("counting")
        result = lived(street, tmp_path, Topology(), "homes.strategy=counting")
        again = engine.run(stored_scenario(result.path), out=tmp_path / "again")
        assert len(compare_runs(result, again)) == INTERVALS
