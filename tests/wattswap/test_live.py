"""Runs with real nodes: in memory, with one home that misbehaves, and (marked `live`) over libp2p."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from run_kit import FIRST, MONEY, call, files_below, readings

import wattswap as ws
from p2p import messages
from p2p.memory import MemoryNetwork
from p2p.messages import NothingMessage, sign_message
from p2p.roles.household import Household
from p2p.roles.wire import BID_PROTOCOL
from p2p.transport import RequestRefused
from wattswap import engine, live
from wattswap.commit import ChainWriter, Committed
from wattswap.engine import TABLE_FILES
from wattswap.errors import RunNotFound, VerificationFailed
from wattswap.explorer import verified_chain
from wattswap.hash_by_hash import compare_runs
from wattswap.live import LiveFailed, run_live
from wattswap.results import RunResult

if TYPE_CHECKING:
    from trio import TaskStatus

INTERVALS = 6
DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
BAD, BAD_INTERVALS = "home-2", 4
ROOTS = ("book_root", "clearing_root", "postings_root", "block_hash")


@pytest.fixture(scope="module")
def networked(street: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Six intervals of daylight, one node per home, in memory."""
    return run_live(
        ws.load(street),
        intervals=INTERVALS,
        start_s=DAYLIGHT_S,
        out=tmp_path_factory.mktemp("live"),
        open_transport=MemoryNetwork().endpoint,
    )


@pytest.fixture(scope="module")
def in_process(networked: RunResult, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """The same scenario in process."""
    return engine.run(engine.stored_scenario(networked.path), out=tmp_path_factory.mktemp("local"))


def test_a_live_run_writes_the_same_bytes_as_one_in_process(
    networked: RunResult, in_process: RunResult
) -> None:
    for name in (*TABLE_FILES, "metrics.json", "genesis.bin", "scenario.json"):
        assert (networked.path / name).read_bytes() == (in_process.path / name).read_bytes(), name
    for name in ("replay_sha256", "chain", "data", "scenario_sha256"):
        assert networked.manifest[name] == in_process.manifest[name]
    assert networked.metrics["traded_kwh"] > 0


def test_every_root_of_every_interval_is_compared(networked: RunResult, in_process: RunResult) -> None:
    rows = compare_runs(networked, in_process)
    stored = pd.read_parquet(in_process.path / "intervals.parquet")
    expected = [tuple(getattr(row, name).hex() for name in ROOTS) for row in stored.itertuples()]
    assert [tuple(row[name] for name in ROOTS) for row in rows] == expected
    assert len(rows) == INTERVALS


def test_a_run_that_differs_is_named_by_its_first_interval(
    networked: RunResult, street: Path, tmp_path: Path
) -> None:
    scenario = engine.stored_scenario(networked.path)
    other = engine.run(scenario.model_copy(update={"seed": 8}), out=tmp_path)
    with pytest.raises(VerificationFailed, match=r"2026-06-02T09:00Z: (book|clearing|postings) root: "):
        compare_runs(networked, other)


def test_a_live_run_says_how_it_was_made(networked: RunResult) -> None:
    facts = networked.manifest["network"]
    assert (networked.manifest["driver"], networked.manifest["signed"]) == ("live", True)
    assert facts["nodes"] == 4
    assert facts["signed_receipts"] == 3 * 2 * INTERVALS
    assert facts["proofs_checked"] == 3 * INTERVALS
    assert facts["results_by_gossip"] + facts["results_by_request"] == 3 * INTERVALS
    assert (facts["silent"], facts["refused"]) == ([], {})


def test_a_live_run_is_verified_by_running_it_in_process(networked: RunResult) -> None:
    assert ws.verify(networked.path)["ok"]


def test_show_network_prints_the_figures(networked: RunResult, capsys: pytest.CaptureFixture[str]) -> None:
    assert "proofs checked" in call(capsys, "show", networked.path, "network").out
    outcome = call(capsys, "show", networked.path, "network", "--json")
    assert json.loads(outcome.out)["nodes"] == 4


class OneBadHome(live._Session):
    """home-2 is silent, then sends garbage, an order signed by a stranger, and one in another home's name."""

    async def _home(self, home: int, operator_address: str, task_status: TaskStatus) -> None:
        setup = self.setup
        if setup.roster[home] != BAD:
            await super()._home(home, operator_address, task_status)
            return
        genesis, own = setup.genesis, setup.keys.identity("household", BAD)
        stranger = setup.keys.identity("household", "nobody")
        async with self._node(own) as transport:
            house = Household(
                transport, own, genesis.chain_id, BAD, operator_address, genesis.operator, setup.minutes
            )
            await house.join()
            task_status.started()
            operator = await transport.connect(operator_address)
            for i in range(setup.intervals):
                start_s = setup.start_of(i)
                order = setup.order_message(home, start_s, 1, 5_000, 340_000)
                stolen = NothingMessage(
                    messages.VERSION, genesis.chain_id, start_s, setup.minutes, "home-1", start_s
                )
                frames = (
                    None,
                    b"\x00garbage\xff",
                    sign_message(stranger, order),
                    sign_message(own, stolen),
                )
                if frames[i] is not None:
                    with pytest.raises(RequestRefused):
                        await transport.request(operator, BID_PROTOCOL, frames[i])
                await house.result(start_s)


@pytest.fixture(scope="module")
def with_a_bad_home(street: Path, tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "_Session", OneBadHome)
        patch.setattr(live, "PHASE_DEADLINE_S", 0.5)
        return run_live(
            ws.load(street, overrides=["homes.battery.home-1.capacity_kwh=0"]),
            intervals=BAD_INTERVALS,
            start_s=DAYLIGHT_S,
            out=tmp_path_factory.mktemp("bad"),
            open_transport=MemoryNetwork().endpoint,
        )


def test_a_bad_home_does_not_keep_the_others_from_trading(with_a_bad_home: RunResult) -> None:
    orders = pd.read_parquet(with_a_bad_home.path / "orders.parquet")
    assert set(orders["household"]) == {"home-1", "home-3"}
    assert orders["accepted_wh"].sum() > 0
    assert with_a_bad_home.manifest["network"]["proofs_checked"] == 2 * BAD_INTERVALS


def test_a_bad_home_is_counted_and_named(with_a_bad_home: RunResult) -> None:
    facts = with_a_bad_home.manifest["network"]
    assert sum(line.endswith(BAD) for line in facts["silent"]) == len(facts["silent"]) == 2 * BAD_INTERVALS
    codes = {line.split(": ")[1]: count for line, count in facts["refused"].items()}
    assert codes == {"malformed": 1, "wrong_signature": 2}


def test_a_home_that_is_silent_is_settled_as_if_it_had_used_what_it_traded(
    with_a_bad_home: RunResult,
) -> None:
    bills = pd.read_parquet(with_a_bad_home.path / "bills.parquet").set_index("household")
    known = bills.drop(columns=["load_wh", "pv_wh"])
    assert (known.loc[BAD] == 0).all()
    given = readings(3, 3, 60)
    day = FIRST + timedelta(days=1, hours=9)
    hours = [given[day + timedelta(hours=i), "home-3"] for i in range(BAD_INTERVALS)]
    assert known.loc["home-3", ["import_wh", "export_wh"]].tolist() == [
        sum(c) for c in zip(*hours, strict=True)
    ]


def test_money_and_chain_are_sound_in_spite_of_a_bad_home(with_a_bad_home: RunResult) -> None:
    sums = pd.read_parquet(with_a_bad_home.path / "postings.parquet").groupby("interval_start")[MONEY].sum()
    assert (sums == 0).all(axis=None)
    assert verified_chain(with_a_bad_home.path)["blocks"] == BAD_INTERVALS


def test_a_home_whose_proof_does_not_hold_ends_the_run_and_nothing_stays(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = ChainWriter.proof

    def proof_of_another(self: ChainWriter, committed: Committed, account: int) -> bytes:
        return honest(self, committed, (account + 1) % 3)

    monkeypatch.setattr(ChainWriter, "proof", proof_of_another)
    with pytest.raises(VerificationFailed, match="the proof is not of this home's meter"):
        run_live(ws.load(street), intervals=2, out=tmp_path, open_transport=MemoryNetwork().endpoint)
    assert files_below(tmp_path) == []


def test_an_order_that_is_not_accepted_ends_the_run_and_nothing_stays(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PHASE_DEADLINE_S", 0.0)  # the gate closes before anybody can speak
    with pytest.raises(LiveFailed, match=r"home-[123]: the operator answered its order with LATE"):
        run_live(ws.load(street), intervals=2, out=tmp_path, open_transport=MemoryNetwork().endpoint)
    assert files_below(tmp_path) == []


def test_a_live_run_that_was_killed_is_not_resumed(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(_path: object, **_options: object) -> None:
        raise Killed

    monkeypatch.setattr(live.shutil, "rmtree", die)  # a killed process tidies nothing up
    monkeypatch.setattr(live, "PHASE_DEADLINE_S", 0.0)
    with pytest.raises(Killed):
        run_live(ws.load(street), intervals=2, out=tmp_path, open_transport=MemoryNetwork().endpoint)
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
    assert facts["network"]["nodes"] == 4
    assert facts["network"]["proofs_checked"] == 9
    stored = pd.read_parquet(Path(facts["run"]) / "intervals.parquet")
    assert [row["block_hash"] for row in facts["equal"]] == [value.hex() for value in stored["block_hash"]]


@pytest.mark.live
def test_the_live_command_prints_the_comparison(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = call(capsys, "live", street, "-n", 2, "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    assert "Equal in all 2 intervals: order-book roots, clearings, postings and blocks." in outcome.out
    assert "live: 2/2 intervals" in outcome.err
