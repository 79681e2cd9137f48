"""Live runs of a market that clears a horizon: the roots of a run in process, faults, and dishonest nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

import wattswap as ws
from tests.kits.run_kit import FIRST, write_street
from tests.kits.town_kit import playing
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.folder import stored_scenario

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
INTERVALS, STEP_S, HOMES = 3, 3_600, 4
QUICK = Topology()
BATTERY = "homes.battery.home-{}={{capacity_kwh=4.0, charge_kw=1.5, discharge_kw=1.5, initial_share=0.5}}"
AHEAD = (
    "market.mechanism=multi_interval",
    "homes.control=plan",
    'homes.controls={self_consumption=["home-3"]}',
    *(BATTERY.format(home) for home in (1, 2, 3)),
)
METERED = "market.quantities=metered"


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four homes, three of them with a battery, of which two submit it."""
    return write_street(tmp_path_factory.mktemp("street"), homes=HOMES)


def lived(scenario: ws.Scenario, out: Path, topology: Topology = QUICK, **options: object) -> RunResult:
    """Three intervals of daylight, in memory."""
    return run_live(
        scenario,
        topology=topology,
        intervals=INTERVALS,
        start_s=DAYLIGHT_S,
        out=out,
        run_nodes=playing(**options),
    )


def assert_as_in_process(result: RunResult, tmp_path: Path) -> RunResult:
    """Every root of every interval is that of the run in process, and so are the tables."""
    again = engine.run(stored_scenario(result.path), out=tmp_path / "again")
    assert len(compare_runs(result, again)) == INTERVALS
    for name in ("orders", "postings", "bills", "readings"):
        assert (result.path / f"{name}.parquet").read_bytes() == (again.path / f"{name}.parquet").read_bytes()
    assert ws.verify(result.path)["ok"]
    return result


@pytest.mark.parametrize(("more", "gateways"), [((), 0), ((), 2), ((METERED,), 0)])
def test_a_horizon_gives_the_roots_of_a_run_in_process(
    more: tuple[str, ...], gateways: int, street: Path, tmp_path: Path
) -> None:
    scenario = ws.load(street, overrides=[*AHEAD, *more])
    result = assert_as_in_process(lived(scenario, tmp_path, Topology(gateways=gateways)), tmp_path)
    facts, rounds = result.manifest["network"], 1 if more else 2
    assert (facts["signed_receipts"], facts["proofs_checked"]) == (
        (rounds + 1) * HOMES * INTERVALS,
        HOMES * INTERVALS,
    )
    assert facts["broken_promises"] == facts["missed"] == 0
    assert facts["silent"] == []
    assert result.metrics["traded_kwh"] > 0
