"""Live runs of homes that plan: they receive what they have agreed before they live the interval."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import FIRST, write_street
from tests.kits.sample_kit import sample_of
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import MemoryTown, playing, settled
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.folder import stored_scenario

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
BATTERY = "homes.battery.home-{}={{capacity_kwh=4.0, charge_kw=1.5, discharge_kw=1.5, initial_share=0.5}}"
PLANNED = ["homes.control=plan", *(BATTERY.format(home) for home in range(1, 5))]
TABLES = ("orders", "postings", "bills", "readings")


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six homes, four of them with a battery."""
    return write_street(tmp_path_factory.mktemp("street"), homes=6)


def lived(street: Path, out: Path, topology: Topology, **options: object) -> RunResult:
    """Four intervals of daylight, in memory, that give the roots and tables of a run in process."""
    result = run_live(
        ws.load(street, overrides=PLANNED),
        topology=topology,
        intervals=4,
        start_s=DAYLIGHT_S,
        out=out / "live",
        run_nodes=playing(**options),
    )
    again = engine.run(stored_scenario(result.path), out=out / "again")
    assert len(compare_runs(result, again)) == 4
    for name in TABLES:
        assert (result.path / f"{name}.parquet").read_bytes() == (again.path / f"{name}.parquet").read_bytes()
    assert ws.verify(result.path)["ok"]
    return result


@pytest.mark.parametrize("gateways", sample_of([0, 2], [2]))
def test_homes_that_plan_give_the_roots_of_a_run_in_process(
    gateways: int, street: Path, tmp_path: Path
) -> None:
    result = lived(street, tmp_path, Topology(gateways=gateways))
    facts = result.manifest["network"]
    assert facts["broken_promises"] == facts["missed"] == 0
    assert result.metrics["traded_kwh"] > 0
    stored = result.table("readings").pivot(index="interval_start", columns="household", values="stored_wh")
    alone = engine.run(
        ws.load(street, overrides=[*PLANNED, "market.mechanism=retailer_only", "time.intervals=4"]),
        out=tmp_path / "alone",
    )
    assert stored["home-1"].tolist() != alone.table("readings")["stored_wh"].tolist(), "they react to trades"


def test_a_home_that_plans_and_is_started_again_continues_with_its_battery(
    street: Path, tmp_path: Path
) -> None:
    async def script(town: MemoryTown) -> None:
        await settled(town, 2)
        await town.kill("home-2")
        await time_passes(1)
        town.start("home-2")

    lived(street, tmp_path, Topology(pace_s=2.0), script=script)
