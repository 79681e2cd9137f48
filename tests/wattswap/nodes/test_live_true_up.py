"""A live run in which the node of one home is down while two are settled: its bills, tables and proofs are trued up."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import wattswap as ws
from p2p.batches.batch import versions_in
from tests.kits.run_kit import FIRST, write_street
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import MemoryTown, settled
from tests.wattswap.nodes.test_live_standing import by_the_clock
from wattswap.errors import VerificationFailed
from wattswap.nodes.live import Topology, run_live
from wattswap.runs import engine
from wattswap.runs.chain_reader import find_batch, find_newest, genesis_of, open_chain, prove_line, stamp
from wattswap.runs.folder import RunFolder, stored_scenario
from wattswap.runs.layout import BLOBS

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
STEP_S, PACE_S, INTERVALS, DOWN = 3_600, 60.0, 9, "home-2"
PACED = Topology(gate_s=10.0, pace_s=PACE_S)


async def outage(town: MemoryTown) -> None:
    """The node of a home is killed after the second interval, and started again while the sixth is open."""
    await settled(town, 2)
    await town.kill(DOWN)
    await time_passes(3.3 * PACE_S)
    town.start(DOWN)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Homes that trade nothing with each other, so that no order is missing: their deviations are pooled."""
    street = write_street(tmp_path_factory.mktemp("street"), homes=4)
    return run_live(
        ws.load(street, overrides=["market.mechanism=retailer_only"]),
        topology=PACED,
        intervals=INTERVALS,
        start_s=DAYLIGHT_S,
        out=tmp_path_factory.mktemp("live"),
        run_nodes=by_the_clock(outage),
    )


def again_in(run: RunFolder) -> list[int]:
    """Starts of the intervals that were settled again."""
    with open_chain(run.path) as store:
        return [
            later.batch.interval_start for block, _ in store.blocks() for _, later in versions_in(block.txs)
        ]


def test_the_bills_are_those_of_a_run_in_which_nobody_was_down(run: RunFolder, tmp_path: Path) -> None:
    assert len(set(again_in(run))) >= 2
    whole = engine.run(stored_scenario(run.path), out=tmp_path)
    for name in ("postings", "bills", "readings"):
        assert run.table(name).equals(whole.table(name)), name


def test_the_run_verifies_with_all_its_versions(run: RunFolder) -> None:
    assert ws.verify(run.path)["ok"]


def test_the_line_of_a_home_is_proven_by_the_newest_version(run: RunFolder) -> None:
    start_s = again_in(run)[0]
    with open_chain(run.path) as store:
        first, newest = find_batch(store, start_s), find_newest(store, start_s)
        untouched = find_newest(store, DAYLIGHT_S)
        assert untouched == find_batch(store, DAYLIGHT_S)
    assert first is not None
    assert newest is not None
    assert first.args.postings_root != newest.args.postings_root
    assert f'"height": {newest.block.header.height}' in prove_line(run.path, DOWN, stamp(start_s))
    assert genesis_of(run.path).members == 4


def test_a_version_whose_messages_are_missing_does_not_verify(run: RunFolder, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    start_s = again_in(run)[0]
    with open_chain(copy) as store:
        newest = find_newest(store, start_s)
    assert newest is not None
    (copy / BLOBS / f"{start_s}-{newest.args.blob_hash.hex()}.blob").unlink()
    with pytest.raises(VerificationFailed, match="is missing or damaged"):
        ws.verify(copy)
