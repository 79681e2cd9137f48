"""Three small runs whose copies are edited: live, live with a home that is absent at first, and in process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import FIRST
from tests.kits.town_kit import MemoryTown, playing, settled
from wattswap.nodes.live import Topology, run_live
from wattswap.runs import engine
from wattswap.runs.folder import stored_scenario

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
INTERVALS = 3


def _lived(street: Path, out: Path, topology: Topology, **options: object) -> Path:
    scenario = ws.load(street)
    return run_live(
        scenario,
        topology=topology,
        intervals=INTERVALS,
        start_s=DAYLIGHT_S,
        out=out,
        run_nodes=playing(**options),
    ).path


@pytest.fixture(scope="session")
def runs(street: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run folders by name; look, do not touch."""
    out = tmp_path_factory.mktemp("verified")

    async def late(town: MemoryTown) -> None:
        await settled(town, 1)
        town.start("home-2")

    live = _lived(street, out / "live", Topology())
    absent = _lived(street, out / "absent", Topology(gate_s=2.0), absent=["home-2"], script=late)
    process = engine.run(stored_scenario(live), out=out / "process").path
    return {"live": live, "absent": absent, "process": process}


@pytest.fixture
def copied(runs: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of one of them, to be edited."""

    def copy(name: str) -> Path:
        return shutil.copytree(runs[name], tmp_path / "copy")

    return copy
