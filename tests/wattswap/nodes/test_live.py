"""Runs with real nodes: neighbourhoods in memory, with nodes that die or misbehave, and (marked `live`) processes."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from pathlib import Path

import pandas as pd
import pytest

import wattswap as ws
from p2p.batches.batch import batches
from p2p.blocks.block import signers
from p2p.ledger.light import BatchProof, make_proof
from p2p.ledger.store import ChainStore
from tests.kits.run_kit import FIRST, MONEY, call, files_below, readings
from tests.kits.time_kit import time_passes
from tests.kits.town_kit import MemoryTown, playing, settled
from wattswap.errors import RunNotFound, UsageError, VerificationFailed
from wattswap.nodes.announcer import Announcer, ByHome
from wattswap.nodes.interval import Recomputed
from wattswap.nodes.live import LiveFailed, Topology, compare_runs, run_live
from wattswap.results import RunResult
from wattswap.runs import engine
from wattswap.runs.chain_reader import open_chain, verified_chain
from wattswap.runs.folder import stored_scenario
from wattswap.runs.layout import TABLE_FILES

INTERVALS = 6
DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
ROOTS = ("book_root", "clearing_root", "postings_root")
QUICK = Topology()
PACED = Topology(pace_s=2.0)
"""Without a pace all intervals pass in one moment of the jumping clock, and nobody can be killed between them."""


def lived(
    street: Path, out: Path, intervals: int = INTERVALS, topology: Topology = QUICK, **options: object
) -> RunResult:
    """A live run in memory, in daylight."""
    return run_live(
        ws.load(street),
        topology=topology,
        intervals=intervals,
        start_s=DAYLIGHT_S,
        out=out,
        run_nodes=playing(**options),
    )


def assert_as_in_process(result: RunResult, tmp_path: Path) -> None:
    """Every root of every interval is that of the run in process."""
    again = engine.run(stored_scenario(result.path), out=tmp_path / "again")
    assert len(compare_runs(result, again)) == len(again.table("intervals"))


def collectors_of(result: RunResult) -> list[str]:
    """Who settled each interval: "operator", or the number of the authority."""
    with open_chain(result.path) as store:
        genesis = store.genesis
        names = {key: str(i) for i, key in enumerate(genesis.authorities)} | {genesis.operator: "operator"}
        return [
            names[block.txs[index].sender] for block, _ in store.blocks() for index, _ in batches(block.txs)
        ]


@pytest.fixture(scope="module")
def networked(street: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Six intervals of daylight, one node per home, an operator and four authorities."""
    return lived(street, tmp_path_factory.mktemp("live"))


@pytest.fixture(scope="module")
def in_process(networked: RunResult, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """The same scenario in process."""
    return engine.run(stored_scenario(networked.path), out=tmp_path_factory.mktemp("local"))


def test_a_live_run_writes_the_same_tables_as_one_in_process(
    networked: RunResult, in_process: RunResult
) -> None:
    """All bytes but the chain's own: when authorities vote over a network, blocks have other times."""
    same = {*TABLE_FILES, "metrics.json", "genesis.bin", "scenario.json"} - {"intervals.parquet"}
    for name in sorted(same):
        assert (networked.path / name).read_bytes() == (in_process.path / name).read_bytes(), name
    own = ["height", "block_hash"]
    a, b = (run.table("intervals").drop(columns=own) for run in (networked, in_process))
    pd.testing.assert_frame_equal(a, b)
    for name in ("replay_sha256", "data", "scenario_sha256"):
        assert networked.manifest[name] == in_process.manifest[name]
    assert networked.metrics["traded_kwh"] > 0


def test_a_live_run_of_homes_with_meters_behind_their_batteries_is_verified(tmp_path: Path) -> None:
    """Columns of devices and of what is behind the meters come in the order of a run in process."""
    scenario = ws.demo(overrides=["homes.sample_homes=2", "homes.strategy=truthful"])
    result = run_live(scenario, intervals=1, out=tmp_path, run_nodes=playing())
    assert {"load_wh", "pv_wh", "stored_wh"} <= set(result.table("readings"))
    assert ws.verify(result.path)["ok"]


def test_every_root_of_every_interval_is_compared(networked: RunResult, in_process: RunResult) -> None:
    rows = compare_runs(networked, in_process)
    stored = in_process.table("intervals")
    expected = [tuple(getattr(row, name).hex() for name in ROOTS) for row in stored.itertuples()]
    assert [tuple(row[name] for name in ROOTS) for row in rows] == expected
    assert len(rows) == INTERVALS


def test_a_run_that_differs_is_named_by_its_first_interval(
    networked: RunResult, street: Path, tmp_path: Path
) -> None:
    scenario = stored_scenario(networked.path)
    other = engine.run(scenario.model_copy(update={"seed": 8}), out=tmp_path)
    with pytest.raises(VerificationFailed, match=r"2026-06-02T09:00Z: (book|clearing|postings) root: "):
        compare_runs(networked, other)


def test_a_live_run_says_how_it_was_made(networked: RunResult) -> None:
    facts = networked.manifest["network"]
    assert (networked.manifest["driver"], networked.manifest["signed"]) == ("live", True)
    assert (facts["nodes"], facts["roles"]) == (8, {"household": 3, "operator": 1, "validator": 4})
    assert facts["signed_receipts"] == 3 * 2 * INTERVALS
    assert facts["proofs_checked"] == 3 * INTERVALS
    assert facts["results_by_gossip"] + facts["results_by_request"] == 3 * INTERVALS
    assert (facts["silent"], facts["late"], facts["restarts"]) == ([], 0, {})


def test_a_live_run_is_verified_from_its_messages_and_by_running_it_in_process(networked: RunResult) -> None:
    checks = ws.verify(networked.path)["checks"]
    names = ["files", "chain", "tables", "blobs", "omissions", "messages", "statistics", "again"]
    assert list(checks) == names
    assert checks["again"].startswith("a second run gives the same")


def test_a_changed_blob_is_found(networked: RunResult, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(networked.path, copy)
    blob = sorted((copy / "blobs").iterdir())[2]
    data = bytearray(blob.read_bytes())
    data[len(data) // 2] ^= 1
    blob.write_bytes(data)
    with pytest.raises(VerificationFailed, match="blob"):
        ws.verify(copy)


def test_show_network_prints_the_figures(networked: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    out = call(capsys, "show", networked.path, "network").out
    assert "proofs checked" in out
    assert "2026-06-02 09:00" in out  # the first interval
    outcome = call(capsys, "show", networked.path, "network", "--json")
    assert json.loads(outcome.out)["nodes"] == 8


def test_homes_behind_gateways_give_the_same_hashes(street: Path, tmp_path: Path) -> None:
    result = lived(street, tmp_path, topology=Topology(gateways=2))
    assert result.manifest["network"]["roles"] == {"gateway": 2, "operator": 1, "validator": 4}
    assert result.manifest["network"]["proofs_checked"] == 3 * INTERVALS
    assert_as_in_process(result, tmp_path)


def test_a_single_validator_settles_too(street: Path, tmp_path: Path) -> None:
    result = lived(street, tmp_path, intervals=2, topology=Topology(validators=1))
    assert_as_in_process(result, tmp_path)


def test_numbers_that_do_not_fit_are_told_at_once_and_nothing_is_written(
    street: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        lived(street, tmp_path, topology=Topology(validators=3, gateways=9))
    assert [problem.where for problem in caught.value.problems] == ["--validators", "--gateways"]
    assert list(tmp_path.iterdir()) == []


def test_authorities_collect_when_there_is_no_operator(street: Path, tmp_path: Path) -> None:
    result = lived(street, tmp_path, absent=["operator-0"])
    assert "operator" not in collectors_of(result)
    assert_as_in_process(result, tmp_path)


def test_an_operator_that_dies_is_stood_in_for_and_gets_its_work_back(street: Path, tmp_path: Path) -> None:
    async def script(town: MemoryTown) -> None:
        await settled(town, 2)
        await town.kill("operator-0")
        await settled(town, 4)
        town.start("operator-0")

    result = lived(street, tmp_path, intervals=10, topology=PACED, script=script)
    who = collectors_of(result)
    assert (who[0], who[-1]) == ("operator", "operator")
    assert {"0", "1", "2", "3"} & set(who)
    assert_as_in_process(result, tmp_path)


def test_a_validator_that_lost_its_chain_begins_at_a_snapshot_and_votes_again(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wattswap.nodes.node.CHECKPOINT_EVERY", 2)
    begun: list[int] = []

    async def script(town: MemoryTown) -> None:
        await settled(town, 5)
        await town.kill("validator-2")
        config = town.configs["validator-2"]
        for path in config.data_path.glob("chain.db*"):
            path.unlink()
        town.configs["validator-2"] = config.model_copy(update={"snapshot": True}).in_folder(config.folder)
        await settled(town, 6)
        town.start("validator-2")
        await settled(town, 10)
        await town.kill("validator-2")
        with ChainStore.open(config.data_path / "chain.db") as store:
            begun.append(store.base)
            votes = [2 in signers(cert) for block, cert in store.blocks(store.base + 3)]
        assert any(votes)
        town.start("validator-2")

    result = lived(street, tmp_path, intervals=12, topology=PACED, script=script)
    assert begun
    assert begun[0] >= 2
    assert_as_in_process(result, tmp_path)


@pytest.mark.parametrize("victim", ["validator-1", "home-2"])
def test_a_node_that_is_killed_and_started_again_loses_nothing(
    victim: str, street: Path, tmp_path: Path
) -> None:
    async def script(town: MemoryTown) -> None:
        for intervals in (1, 3):
            await settled(town, intervals)
            await town.kill(victim)
            await time_passes(1)
            town.start(victim)

    result = lived(street, tmp_path, topology=PACED, script=script)
    assert result.manifest["network"]["restarts"] == {victim: 2}
    assert result.manifest["network"]["silent"] == []
    assert_as_in_process(result, tmp_path)
    with open_chain(result.path) as store:
        assert not any(block.evidence for block, _ in store.blocks())


def test_a_home_that_stays_away_is_settled_with_its_deemed_use(street: Path, tmp_path: Path) -> None:
    """It trades nothing, and pays its retailer for what its connection carries: 43 kWh an hour at 0.32 and 0.03."""
    result = lived(street, tmp_path, intervals=4, topology=Topology(gate_s=2.0), absent=["home-2"])
    facts = result.manifest["network"]
    assert Counter(line.split()[1] for line in facts["silent"]) == {"home-2": 4}
    orders = pd.read_parquet(result.path / "orders.parquet")
    assert set(orders["household"]) == {"home-1", "home-3"}
    bills = pd.read_parquet(result.path / "bills.parquet").set_index("household")
    known = bills.drop(columns=["load_wh", "pv_wh"])
    away = known.loc["home-2"]
    assert away["import_wh"] == away["retail_import_wh"] == 4 * 43_000
    assert away["retail_nano"] == -4 * 43_000 * 320_000
    assert away["grid_fee_nano"] == -4 * 43_000 * 30_000
    for name in (
        "export_wh",
        "bought_wh",
        "sold_wh",
        "local_wh",
        "trade_nano",
        "imbalance_nano",
        "netting_nano",
    ):
        assert away[name] == 0, name
    given = readings(3, 3, 60)
    day = FIRST + pd.Timedelta(days=1, hours=9).to_pytimedelta()
    hours = [given[day + pd.Timedelta(hours=i).to_pytimedelta(), "home-3"] for i in range(4)]
    assert known.loc["home-3", ["import_wh", "export_wh"]].tolist() == [
        sum(c) for c in zip(*hours, strict=True)
    ]
    sums = pd.read_parquet(result.path / "postings.parquet").groupby("interval_start")[MONEY].sum()
    assert (sums == 0).all(axis=None)
    assert verified_chain(result.path)["blocks"] == 4
    assert "left out" in ws.verify(result.path)["checks"]["again"]


def test_a_home_whose_proof_does_not_hold_asks_another_collector(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong answer is no answer: nobody ends a home or a run by giving one."""
    provide, wrong = Announcer._provide, list[str]()

    class Others(ByHome):
        """The line of another home for each."""

        def __getitem__(self, household: str) -> bytes:
            names = list(self)
            wrong.append(household)
            return super().__getitem__(names[(names.index(household) + 1) % len(names)])

    def provided(announcer: Announcer, start_s: int, recomputed: Recomputed, proof: BatchProof) -> None:
        provide(announcer, start_s, recomputed, proof)
        if announcer._own_key in announcer._setup.genesis.operators:
            lines = Others(announcer._setup.roster, partial(make_proof_of, recomputed, proof))
            announcer._operator.answers.provide_lines(start_s, lines)

    monkeypatch.setattr(Announcer, "_provide", provided)
    result = lived(street, tmp_path, intervals=2)
    facts = result.manifest["network"]
    assert set(wrong) == {"home-1", "home-2", "home-3"}
    assert (facts["proofs_checked"], facts["missed"]) == (6, 0)
    assert facts["refused"]["bad_proof"] == len(wrong)
    assert_as_in_process(result, tmp_path)


def make_proof_of(recomputed: Recomputed, proof: BatchProof, home: int) -> bytes:
    """The proof of a home's line."""
    return make_proof(recomputed.batch, home, proof)


def test_a_live_run_that_was_killed_is_not_resumed(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    monkeypatch.setattr("wattswap.nodes.live.shutil.rmtree", lambda *_args, **_options: None)  # nor tidies up
    with pytest.raises(Killed):
        run_live(ws.load(street), intervals=2, out=tmp_path, run_nodes=die)  # type: ignore[arg-type]
    (partial,) = tmp_path.iterdir()
    before = files_below(partial)
    with pytest.raises(RunNotFound, match="is a live run, which cannot be continued"):
        engine.resume(partial)
    assert files_below(partial) == before


@pytest.mark.live
def test_three_homes_over_libp2p_give_the_hashes_of_a_run_in_process(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(
        capsys, "live", street, "-n", 3, "--at", "2026-06-02T09:00Z", "--out", tmp_path, "--json", "-q"
    )
    assert outcome.code == 0, outcome.err
    facts = json.loads(outcome.out)
    assert [row["interval"] for row in facts["equal"]] == [
        f"2026-06-02T{hour:02}:00Z" for hour in (9, 10, 11)
    ]
    assert facts["network"]["nodes"] == 8
    assert facts["network"]["proofs_checked"] == 9
    stored = pd.read_parquet(Path(facts["run"]) / "intervals.parquet")
    assert [row["book_root"] for row in facts["equal"]] == [value.hex() for value in stored["book_root"]]


@pytest.mark.live
def test_the_live_command_prints_the_comparison(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--validators", 1, "--processes", 1]
    outcome = call(capsys, "live", street, "-n", 2, *few, "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    assert "Equal in all 2 intervals: order-book roots, clearings and postings." in outcome.out
    assert "live: 2/2 intervals" in outcome.err


def test_homes_that_were_late_are_named_and_not_a_difference(
    networked: RunResult, street: Path, tmp_path: Path
) -> None:
    """The difference follows from their absence, which the manifest says; without it the root is named."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(networked.path, copy)
    manifest = json.loads((copy / "manifest.json").read_text(encoding="utf-8"))
    start_s = int(networked.table("intervals")["interval_start"].iloc[0].timestamp())
    manifest["network"]["silent"] = [f"{start_s} home-2", f"{start_s + 900} home-1"]
    (copy / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    other = engine.run(stored_scenario(networked.path).model_copy(update={"seed": 8}), out=tmp_path)
    with pytest.raises(
        LiveFailed, match=r"09:00Z: 1 of 3 homes sent nothing before the gate closed \(home-2\)"
    ):
        compare_runs(RunResult(copy), other)
