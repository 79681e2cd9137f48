"""Live runs of homes with several orders an interval: the roots of a run in process, and what breaks the rules."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest

import wattswap as ws
from p2p.batches.batch import batches
from p2p.batches.blob import open_blob
from p2p.roles.replica.blobs import FolderBlobs
from tests.kits.plugin_kit import own_registries, written
from tests.kits.run_kit import FIRST, call, write_street
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import MemoryTown, playing, settled
from wattswap.nodes.live import Topology, compare_runs, run_live
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.chain_reader import open_chain
from wattswap.runs.folder import stored_scenario
from wattswap.runs.prepare import prepare

QUICK = Topology()
DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
STAIRCASE = '''
"""Three orders a home, level by level: two steps of what it needs or has over, and one on the other side."""

import numpy as np

from agents.bidding import STRATEGIES, Orders, Strategy


def bid(state, view):
    homes = np.arange(len(view.net_wh))
    side = np.where(view.net_wh > 0, 1, -1).astype(np.int8)
    low, high = view.prices.feed_in_micro_per_kwh, view.prices.buy_cap_micro_per_kwh
    first, second = abs(view.net_wh) * 2 // 3, abs(view.net_wh) - abs(view.net_wh) * 2 // 3
    eager = np.where(side > 0, high, low)
    shy = np.where(side > 0, high - (high - low) // 3, low + (high - low) // 3)
    other = (low + high) // 2 + view.homes % 5 * 1_000 * -side
    return Orders(
        np.tile(homes, 3),
        np.concatenate([side, side, -side]),
        np.concatenate([first, second, np.full(len(homes), 40)]),
        np.concatenate([eager, shy, other]),
    )


STRATEGIES.register(Strategy("staircase", bid, "a test", several_orders=True), contract=2)
'''


@pytest.fixture(scope="module")
def staircase(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file with a strategy of three orders a home, imported, and forgotten afterwards."""
    file = written(tmp_path_factory.mktemp("theirs"), "staircase.py", STAIRCASE)
    with pytest.MonkeyPatch.context() as patch, own_registries(patch):
        sys.path.insert(0, str(file.parent))
        import_module("staircase")
        yield file
    sys.modules.pop("staircase", None)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six homes."""
    return write_street(tmp_path_factory.mktemp("street"), homes=6)


def lived(scenario: ws.Scenario, out: Path, topology: Topology = QUICK, **options: object) -> RunResult:
    """Four intervals of daylight, in memory."""
    return run_live(
        scenario,
        topology=topology,
        intervals=4,
        start_s=DAYLIGHT_S,
        out=out,
        run_nodes=playing(**options),
    )


def assert_as_in_process(result: RunResult, tmp_path: Path) -> RunResult:
    """Every root of every interval is that of the run in process, and so are the tables."""
    again = engine.run(stored_scenario(result.path), out=tmp_path / "again")
    assert len(compare_runs(result, again)) == 4
    for name in ("orders", "postings", "bills", "readings"):
        assert (result.path / f"{name}.parquet").read_bytes() == (again.path / f"{name}.parquet").read_bytes()
    assert ws.verify(result.path)["ok"]
    return result


def orders_a_home(result: RunResult) -> list[int]:
    """How many orders each home placed in each interval in which it placed any."""
    return result.table("orders").groupby(["interval_start", "household"]).size().tolist()


@pytest.mark.usefixtures("staircase")
@pytest.mark.parametrize("gateways", [0, 2])
def test_homes_with_three_orders_each_give_the_roots_of_a_run_in_process(
    gateways: int, street: Path, tmp_path: Path
) -> None:
    scenario = ws.load(street, overrides=["homes.strategy=staircase"])
    result = assert_as_in_process(lived(scenario, tmp_path, Topology(gateways=gateways)), tmp_path)
    assert Counter(orders_a_home(result)) == {3: 21, 1: 3}, "a battery covers home-1: one order is left"
    assert result.metrics["traded_kwh"] > 0
    facts = result.manifest["network"]
    assert (facts["signed_receipts"], facts["proofs_checked"]) == (2 * 6 * 4, 6 * 4)
    assert facts["broken_promises"] == facts["missed"] == 0


@pytest.mark.usefixtures("staircase")
def test_all_orders_of_a_home_stand_in_the_one_message_that_it_signed(street: Path, tmp_path: Path) -> None:
    scenario = ws.load(street, overrides=["homes.strategy=staircase"])
    result = lived(scenario, tmp_path)
    members = prepare(stored_scenario(result.path)).member_list
    blobs = FolderBlobs(result.path / "blobs")
    with open_chain(result.path) as store:
        content = [
            open_blob(blobs.get(args.blob_hash) or b"", store.genesis, members)
            for block, _ in store.blocks()
            for _, args in batches(block.txs)
        ]
    table = result.table("orders")
    for interval in content:
        assert [len(message.orders) for message in interval.orders][1:] == [3] * 5
        rows = table[table["interval_start"] == pd.Timestamp(interval.interval_start, unit="s", tz="UTC")]
        for message in interval.orders:
            mine = rows[rows["household"] == message.household]
            said = [(line.side, line.energy_wh, line.limit_micro_per_kwh) for line in message.orders]
            booked = mine[["side", "energy_wh", "limit_micro_per_kwh"]].itertuples(index=False, name=None)
            assert said == list(booked)


@pytest.mark.usefixtures("staircase")
def test_homes_of_several_strategies_give_the_roots_of_a_run_in_process(street: Path, tmp_path: Path) -> None:
    shares = 'homes.strategies={staircase=0.5, zi_c=["home-1", "home-4"]}'
    result = assert_as_in_process(lived(ws.load(street, overrides=[shares]), tmp_path), tmp_path)
    assert Counter(orders_a_home(result)) == {3: 2 * 4, 1: 13}


@pytest.mark.usefixtures("staircase")
def test_a_home_with_three_orders_that_is_killed_and_started_again_loses_none(
    street: Path, tmp_path: Path
) -> None:
    async def script(town: MemoryTown) -> None:
        await settled(town, 1)
        await town.kill("home-2")
        await time_passes(1)
        town.start("home-2")

    scenario = ws.load(street, overrides=["homes.strategy=staircase"])
    result = lived(scenario, tmp_path, Topology(pace_s=2.0), script=script)
    assert result.manifest["network"]["restarts"] == {"home-2": 1}
    assert result.manifest["network"]["silent"] == []
    assert_as_in_process(result, tmp_path)


@pytest.mark.live
def test_several_orders_over_libp2p_give_the_hashes_of_a_run_in_process(
    staircase: Path, street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strategy = ["--module", staircase, "--set", "homes.strategy=staircase"]
    time = ["-n", 2, "--at", "2026-06-02T09:00Z"]
    outcome = call(capsys, "live", street, *strategy, *time, "--out", tmp_path, "--json", "-q")
    assert outcome.code == 0, outcome.err
    facts = json.loads(outcome.out)
    assert len(facts["equal"]) == 2
    assert [row["orders"] for row in facts["equal"]] == [18, 16]
    assert facts["network"]["proofs_checked"] == 12
