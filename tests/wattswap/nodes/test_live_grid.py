"""Live runs on a grid: nobody sends the orders of the connection, and the roots are those of the run in process."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import FIRST
from tests.kits.sample_kit import sample_of
from tests.kits.town_kit import playing
from tests.wattswap.runs.test_grid_runs import street
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.runs import engine
from wattswap.runs.folder import stored_scenario
from wattswap.runs.grid import CONNECTION

NOON_S = int(FIRST.timestamp()) + 86_400 + 10 * 3_600
TABLES = ("orders", "postings", "bills", "readings")


@pytest.mark.parametrize("rent", sample_of(["grid_operator", "members"], ["members"]))
def test_a_live_run_on_a_grid_gives_the_roots_of_a_run_in_process(rent: str, tmp_path: Path) -> None:
    folder = street(tmp_path, 0.1, f'rent = "{rent}"\n')
    result = run_live(
        ws.load(folder, overrides=["homes.strategy=truthful"]),
        topology=Topology(pace_s=2.0),
        intervals=4,
        start_s=NOON_S,
        out=tmp_path / "live",
        run_nodes=playing(),
    )
    again = engine.run(stored_scenario(result.path), out=tmp_path / "again")
    assert len(compare_runs(result, again)) == 4
    for name in TABLES:
        assert (result.path / f"{name}.parquet").read_bytes() == (again.path / f"{name}.parquet").read_bytes()
    assert ws.verify(result.path)["ok"]
    assert result.metrics["congestion_rent"] == again.metrics["congestion_rent"] > 0
    assert CONNECTION in set(result.table("orders")["household"])
