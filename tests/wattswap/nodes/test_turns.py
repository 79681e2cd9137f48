"""Whose turn it is: an operator that dies within the gate, and one that is up and settles nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import trio

import wattswap as ws
from p2p.batches.batch import BatchArgs, batches
from p2p.blocks.block import Tx
from p2p.roles.household.member import Member
from p2p.roles.household.witnesses import Promise
from tests.kits.run_kit import FIRST
from tests.kits.time_kit import eventually_trio, time_passes
from tests.kits.town_kit import MemoryTown, assert_as_in_process, lived_in_memory, settled
from wattswap.nodes.collector import CollectorLoop
from wattswap.nodes.live import Topology
from wattswap.nodes.roles import SHOW_SHARE
from wattswap.results import RunResult
from wattswap.runs.chain_reader import open_chain

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
STEP_S, GATE_S, PACE_S = 3_600, 10.0, 60.0
TAKEOVER_S = 4.0
"""What the configuration of nodes with such gates says."""
PACED = Topology(gate_s=GATE_S, pace_s=PACE_S)
WITNESSES = 2
"""f + 1 of four validators."""


def settlements(result: RunResult) -> list[tuple[Tx, BatchArgs, int]]:
    """The batches of a run, each with the time of its block. [ms since 1970, UTC]"""
    with open_chain(result.path) as store:
        return [
            (block.txs[index], args, block.header.time_ms)
            for block, _ in store.blocks()
            for index, args in batches(block.txs)
        ]


def senders(result: RunResult) -> list[str]:
    """Who settled each interval: "operator", or the number of the validator."""
    with open_chain(result.path) as store:
        genesis = store.genesis
    names = {key: str(i) for i, key in enumerate(genesis.authorities)} | {genesis.operator: "operator"}
    return [names[tx.sender] for tx, _, _ in settlements(result)]


def test_an_operator_that_dies_within_the_gate_loses_no_order_that_validators_have(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two homes have the promises of f + 1 validators when it dies, the third orders later: all are in the book."""
    submit, third_s = Member.submit, DAYLIGHT_S + 2 * STEP_S
    given: dict[str, dict[bytes, Promise]] = {}

    async def submitting(home: Member, message: Any) -> Any:
        if message.interval_start != third_s or hasattr(message, "import_wh"):
            return await submit(home, message)
        if home.id == "home-3":
            await time_passes(GATE_S / 2)
        receipt = await submit(home, message)
        await time_passes(SHOW_SHARE * GATE_S + 1)
        given[home.id] = home.promises(third_s, 0)
        return receipt

    async def script(town: MemoryTown) -> None:
        await settled(town, 2)
        await eventually_trio(lambda: len(given) == 2, "two homes have ordered", 3_600)
        assert "home-3" not in given
        await town.kill("operator-0")
        await settled(town, 4)
        town.start("operator-0")

    monkeypatch.setattr(Member, "submit", submitting)
    result = lived_in_memory(ws.load(street), tmp_path, 9, DAYLIGHT_S, PACED, script=script)
    with open_chain(result.path) as store:
        validators = set(store.genesis.authorities)
    assert all(len(validators & set(promises)) >= WITNESSES for promises in given.values()), given
    who = senders(result)
    assert who[:2] == ["operator"] * 2
    assert who[2] != "operator"
    assert who[-1] == "operator", who
    assert result.manifest["network"]["silent"] == []
    assert result.manifest["network"]["broken_promises"] == 0
    assert_as_in_process(result, tmp_path, 9)


def test_a_validator_keeps_the_turn_of_an_operator_that_is_up_and_settles_nothing(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in from its turn on, and begins at once from the next interval on: nobody waits for gates again."""
    submit = CollectorLoop._submit

    async def submitting(loop: CollectorLoop, args: BatchArgs) -> None:
        if loop._identity.public_key not in loop._setup.genesis.operators:
            await submit(loop, args)

    monkeypatch.setattr(CollectorLoop, "_submit", submitting)
    begun: list[int] = []

    async def script(town: MemoryTown) -> None:
        begun.append(town.now_ms())
        await trio.lowlevel.checkpoint()

    result = lived_in_memory(ws.load(street), tmp_path, 5, DAYLIGHT_S, PACED, script=script)
    who, times = senders(result), [time_ms for _, _, time_ms in settlements(result)]
    assert len(set(who)) == 1, who
    assert who[0] != "operator"
    turn_ms = round(1_000 * (2 * GATE_S + TAKEOVER_S))
    assert turn_ms <= times[0] - begun[0] < turn_ms + 10_000
    later_ms = [times[i] - begun[0] - round(1_000 * i * PACE_S) for i in range(1, 5)]
    assert all(0 <= late_ms < 1_000 * GATE_S for late_ms in later_ms), later_ms
    assert result.manifest["network"]["silent"] == []
    assert_as_in_process(result, tmp_path, 5)
