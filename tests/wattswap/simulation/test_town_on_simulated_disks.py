"""A neighbourhood on simulated disks: its nodes write through them alone, and go on after each of them has crashed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

import pytest

import wattswap as ws
from p2p.consensus.sign_state import LOCK_NAME
from p2p.wire.identity import Identity
from tests.kits.run_kit import FIRST, write_street
from tests.kits.town_kit import play_in_memory
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.live import Topology, run_live
from wattswap.nodes.roles import run_node
from wattswap.nodes.world import World
from wattswap.results import RunResult
from wattswap.simulation.disk import Crashed, SimulatedDisk

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
INTERVALS, HOMES = 2, 2
NOT_TOLD = {LOCK_NAME}


@dataclass
class Lives:
    """Runs nodes on simulated disks, each again after a crash; every second one is a loss of power.

    Args:
        crash_at: By node, the numbers of the writes before which it crashes.
    """

    crash_at: Mapping[str, frozenset[int]] = field(default_factory=dict)
    disks: dict[str, SimulatedDisk] = field(default_factory=dict)
    told: dict[str, list[str]] = field(default_factory=dict)
    held: dict[str, set[str]] = field(default_factory=dict)
    crashes: dict[str, int] = field(default_factory=dict)

    async def run_node(self, config: NodeConfig, keys: Mapping[str, Identity], world: World) -> None:
        """In place of `roles.run_node`."""
        name, told = config.name, self.told.setdefault(config.name, [])

        def before_write(number: int, what: str) -> None:
            told.append(what)
            if number in self.crash_at.get(name, ()):
                raise Crashed(what)

        disk = self.disks[name] = SimulatedDisk(config.folder, before_write)
        is_over = False
        try:
            while not is_over:
                is_over = True
                try:
                    await run_node(config, keys, replace(world, disk=disk))
                except* Crashed:
                    is_over = False
                    self.crashes[name] = self.crashes.get(name, 0) + 1
                if not is_over:
                    if self.crashes[name] % 2 == 0:
                        disk.lose_power(Random(name))
                    disk.restart()
        finally:
            self.held[name] = {path.name for path in config.data_path.rglob("*") if path.is_file()}


def lived(tmp_path: Path, lives: Lives, monkeypatch: pytest.MonkeyPatch) -> RunResult:
    monkeypatch.setattr("tests.kits.town_kit.run_node", lives.run_node)
    return run_live(
        ws.load(write_street(tmp_path, homes=HOMES), overrides=("homes.strategy=roth_erev",)),
        topology=Topology(gate_s=20.0),
        intervals=INTERVALS,
        start_s=DAYLIGHT_S,
        out=tmp_path / "runs",
        run_nodes=play_in_memory,
    )


def test_nodes_write_through_their_disk_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Lives()
    result = lived(tmp_path, lives, monkeypatch)
    assert result.manifest["network"]["silent"] == []
    assert len(lives.held) == HOMES + 5
    for name, held in lives.held.items():
        told = {what.rpartition(" ")[2].rpartition("/")[2] for what in lives.told[name]}
        assert held - told == NOT_TOLD, name
        assert {"stats.jsonl", "learned-0.json"} & held or not name.startswith("home"), name


def test_nodes_crash_and_lose_power_and_the_intervals_are_settled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Lives({name: frozenset({9, 30}) for name in ("home-1", "operator-0", "validator-2")})
    result = lived(tmp_path, lives, monkeypatch)
    assert lives.crashes == dict.fromkeys(lives.crash_at, 2)
    assert result.manifest["intervals"] == INTERVALS
    assert ws.verify(result.path)["ok"]
