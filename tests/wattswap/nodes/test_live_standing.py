"""After an outage the intervals that nobody could collect are traded with the limits that homes had stated before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import wattswap as ws
from p2p.roles.validator.config import wall_clock_ms
from tests.kits.run_kit import FIRST, write_street
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import MemoryTown, play_in_memory, settled
from wattswap.nodes.config import NodeConfig
from wattswap.nodes.live import Topology, run_live
from wattswap.runs import engine

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
PACE_S = 60.0
INTERVALS = 7


def lived(street, out):
    async def script(town: MemoryTown) -> None:
        await settled(town, 2)
        down = [name for name, c in town.configs.items() if c.role in ("operator", "validator")]
        for name in down:
            await town.kill(name)
        await time_passes(3 * PACE_S)
        for name in down:
            town.start(name)

    def run_nodes(configs: Sequence[NodeConfig], topology, intervals, on_progress) -> Mapping[str, int]:
        begin = {"begin_unix_ms": wall_clock_ms() + 5_000}
        paced = [c.model_copy(update={"clock": c.clock.model_copy(update=begin)}) for c in configs]
        return play_in_memory(paced, topology, intervals, on_progress, script=script)

    return run_live(
        ws.load(street),
        topology=Topology(gate_s=10.0, pace_s=PACE_S),
        intervals=INTERVALS,
        start_s=DAYLIGHT_S,
        out=out,
        run_nodes=run_nodes,
    )


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp("street"), homes=6, more='quantities = "metered"\n')


def test_x(street, tmp_path):
    result = lived(street, tmp_path)
    print(result.manifest["network"])
    print(result.table("intervals").to_string())
    print(result.table("orders").groupby("interval_start").size())
    from wattswap.runs.prepare import prepare
    from wattswap.runs.folder import stored_scenario
    from p2p.batches.blob import open_blob
    from p2p.roles.replica.blobs import FolderBlobs
    from wattswap.runs.chain_reader import open_chain
    from p2p.batches.batch import batches
    setup = prepare(stored_scenario(result.path))
    blobs = FolderBlobs(result.path / "blobs")
    with open_chain(result.path) as store:
        for block, _ in store.blocks():
            for _, args in batches(block.txs):
                c = open_blob(blobs.get(args.blob_hash), store.genesis, setup.member_list)
                print((c.interval_start-DAYLIGHT_S)/3600, len(c.orders), len(c.nothings), len(c.readings), len(c.closings), len(c.standing), c.standing and (c.standing[0].interval_start-DAYLIGHT_S)/3600)
    print(ws.verify(result.path))
    assert 0
