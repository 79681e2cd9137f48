"""Live runs of homes with cars, heat pumps, tanks and appliances: hash by hash the run in process."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import FIRST, write_street
from tests.kits.sample_kit import sample_of
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import MemoryTown, playing, settled
from tests.wattswap.runs.test_devices_in_runs import DEVICES
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.folder import stored_scenario

EVENING_S = int(FIRST.timestamp()) + 86_400 + 17 * 3_600
TABLES = ("orders", "postings", "bills", "readings")


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five homes, four of them with a device."""
    return write_street(tmp_path_factory.mktemp("street"), homes=5, more=DEVICES)


def lived(street: Path, out: Path, control: str, **options: object) -> RunResult:
    """Four intervals of an evening, in memory, that give the roots and tables of a run in process."""
    result = run_live(
        ws.load(street, overrides=[f"homes.control={control}"]),
        topology=Topology(pace_s=2.0),
        intervals=4,
        start_s=EVENING_S,
        out=out / "live",
        run_nodes=playing(**options),
    )
    again = engine.run(stored_scenario(result.path), out=out / "again")
    assert len(compare_runs(result, again)) == 4
    for name in TABLES:
        assert (result.path / f"{name}.parquet").read_bytes() == (again.path / f"{name}.parquet").read_bytes()
    assert ws.verify(result.path)["ok"]
    return result


@pytest.mark.parametrize("control", sample_of(["self_consumption", "plan"], ["self_consumption"]))
def test_homes_with_devices_give_the_roots_of_a_run_in_process(
    control: str, street: Path, tmp_path: Path
) -> None:
    readings = lived(street, tmp_path, control).table("readings")
    assert readings["heat_pump_wh"].sum() > 0
    assert readings["hot_water_wh"].sum() > 0


def test_a_home_that_is_started_again_goes_on_with_its_car(street: Path, tmp_path: Path) -> None:
    async def script(town: MemoryTown) -> None:
        await settled(town, 2)
        await town.kill("home-1")
        await time_passes(1)
        town.start("home-1")

    lived(street, tmp_path, "self_consumption", script=script)
