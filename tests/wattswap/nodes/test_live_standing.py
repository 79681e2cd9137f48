"""After an outage the intervals that nobody could collect are traded with the limits that homes stated before it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import wattswap as ws
from p2p.batches.batch import batches
from p2p.batches.blob import IntervalContent, open_blob
from p2p.batches.standing import standing_in, with_standing
from p2p.roles.replica.blobs import FolderBlobs
from p2p.roles.validator.config import wall_clock_ms
from tests.kits.run_kit import FIRST, write_street
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import MemoryTown, Script, play_in_memory, settled
from wattswap.errors import VerificationFailed
from wattswap.nodes.batch_checker import BatchChecker
from wattswap.nodes.collector import CollectorLoop
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.live import NodeRunner, Topology, run_live
from wattswap.runs import engine
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.folder import RunFolder, stored_scenario
from wattswap.runs.layout import BLOBS
from wattswap.runs.prepare import prepare

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
STEP_S, GATE_S, PACE_S = 3_600, 10.0, 60.0
PACED = Topology(gate_s=GATE_S, pace_s=PACE_S)
INTERVALS, HOMES, STATED = 8, 6, 2
OUT_FOR_S = 4.3 * PACE_S
"""How long nobody collects or votes, from the settlement of the second interval on: four more open meanwhile."""
AHEAD_MS = 5_000


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes whose meters give the quantities, and whose limits differ in each interval."""
    folder = tmp_path_factory.mktemp("street")
    return write_street(folder, homes=HOMES, more='quantities = "metered"\n')


def outage(lost: Sequence[str] = ()) -> Script:
    """All who collect or vote are killed after the second interval, and started again later.

    Args:
        lost: Those whose blobs are lost meanwhile.
    """

    async def script(town: MemoryTown) -> None:
        await settled(town, STATED)
        down = [name for name, config in town.configs.items() if config.role in ("operator", "validator")]
        for name in down:
            await town.kill(name)
        for name in lost:
            shutil.rmtree(town.configs[name].data_path / BLOBS)
        await time_passes(OUT_FOR_S)
        for name in down:
            town.start(name)

    return script


def by_the_clock(script: Script) -> NodeRunner:
    """Runs nodes in memory whose intervals open at fixed times, as those of a neighbourhood do."""

    def run_nodes(
        configs: Sequence[NodeConfig],
        topology: Topology,
        intervals: int,
        on_progress: engine.OnProgress | None,
    ) -> Mapping[str, int]:
        begin = {"begin_unix_ms": wall_clock_ms() + AHEAD_MS}
        paced = [one.model_copy(update={"clock": one.clock.model_copy(update=begin)}) for one in configs]
        return play_in_memory(paced, topology, intervals, on_progress, script=script)

    return run_nodes


def lived(street: Path, out: Path, run_nodes: NodeRunner) -> RunFolder:
    """Eight intervals of daylight."""
    scenario = ws.load(street, overrides=["homes.strategy=zi_c"])
    return run_live(
        scenario, topology=PACED, intervals=INTERVALS, start_s=DAYLIGHT_S, out=out, run_nodes=run_nodes
    )


def contents(result: RunFolder) -> list[IntervalContent]:
    """What each interval was settled with."""
    setup, blobs = prepare(stored_scenario(result.path)), FolderBlobs(result.path / BLOBS)
    with open_chain(result.path) as store:
        names = [args.blob_hash for block, _ in store.blocks() for _, args in batches(block.txs)]
    return [open_blob(blobs.get(name) or b"", setup.genesis, setup.member_list) for name in names]


@pytest.mark.parametrize("lost", [pytest.param((), marks=pytest.mark.slow), ("operator-0", "validator-1")])
def test_missed_intervals_are_traded_with_the_limits_from_before_the_outage(
    lost: Sequence[str], street: Path, tmp_path: Path
) -> None:
    """Also by those who have lost their blobs: they fetch that of the interval before."""
    result = lived(street, tmp_path, by_the_clock(outage(lost)))
    found = contents(result)
    missed = [i for i, content in enumerate(found) if not content.orders]
    assert missed[0] == STATED
    assert 3 <= len(missed) < INTERVALS - STATED
    assert missed == list(range(STATED, STATED + len(missed)))
    stated = found[STATED - 1].orders
    assert len(stated) == HOMES
    assert [content.standing for content in found] == [
        stated if i in missed else () for i in range(INTERVALS)
    ]
    orders, intervals = result.table("orders"), result.table("intervals")
    limits = {one.household: {line.limit_micro_per_kwh for line in one.orders} for one in stated}
    traded_wh = 0
    for i in missed:
        rows = orders[orders["interval_start"] == intervals["interval_start"][i]]
        assert set(rows["household"]) <= {one.household for one in found[i].readings}
        for household, limit in zip(rows["household"], rows["limit_micro_per_kwh"], strict=True):
            assert limit in limits[household]
        traded_wh += int(intervals["traded_wh"][i])
    assert traded_wh > 0, "who gave a reading has traded"
    assert ws.verify(result.path)["ok"]


def test_a_run_with_other_limits_in_a_missed_interval_is_refused_by_who_verifies_it(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All nodes together leave out a home: then nobody refuses it while they run."""
    take = CollectorLoop._with_standing

    async def without_one(loop: CollectorLoop, blob: bytes, start_s: int) -> bytes:
        blob = await take(loop, blob, start_s)
        stands = standing_in(blob)
        if len(stands.lines) < HOMES:
            return blob
        return with_standing(blob, stands._replace(lines=stands.lines[1:]))

    def run_nodes(
        configs: Sequence[NodeConfig],
        topology: Topology,
        intervals: int,
        on_progress: engine.OnProgress | None,
    ) -> Mapping[str, int]:
        with monkeypatch.context() as patch:
            patch.setattr(CollectorLoop, "_with_standing", without_one)
            patch.setattr(BatchChecker, "_check_standing", lambda *_: None)
            return by_the_clock(outage())(configs, topology, intervals, on_progress)

    with pytest.raises(VerificationFailed, match="the limits that stand are not those") as refusal:
        lived(street, tmp_path, run_nodes)
    assert f"interval {DAYLIGHT_S + STATED * STEP_S}" in str(refusal.value)
