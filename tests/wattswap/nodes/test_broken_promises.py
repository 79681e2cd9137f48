"""A collector that leaves out a message it had promised to include: its batch is refused, or it loses its office."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

import wattswap as ws
from p2p.batches.batch import batches
from p2p.batches.closings import Closing
from p2p.batches.receipts import check_omission
from p2p.blocks.genesis import read_genesis
from p2p.ledger.modules.evidence import NAME, OMISSION
from p2p.roles.collector.intake import Collected
from p2p.roles.household.witnesses import Witnesses
from p2p.wire.messages import OrderMessage
from tests.kits.run_kit import FIRST
from tests.kits.town_kit import playing
from wattswap.nodes.collector import CollectorLoop
from wattswap.nodes.live import Topology, run_live
from wattswap.results import RunResult
from wattswap.runs.chain_reader import open_chain

DAYLIGHT_S = int(FIRST.timestamp()) + 86_400 + 9 * 3_600
VICTIM, INTERVALS = "home-1", 3
ROUNDS = ("market.rounds=2", "market.mechanism=continuous", "homes.strategy=zi_c")


def lived(street: Path, out: Path, *changes: str) -> RunResult:
    return run_live(
        ws.load(street, overrides=changes),
        topology=Topology(gate_s=2.0),
        intervals=INTERVALS,
        start_s=DAYLIGHT_S,
        out=out,
        run_nodes=playing(),
    )


def collectors_of(result: RunResult) -> list[str]:
    """Who settled each interval: "operator" or "validator"."""
    with open_chain(result.path) as store:
        operators = store.genesis.operators
        return [
            "operator" if block.txs[index].sender in operators else "validator"
            for block, _ in store.blocks()
            for index, _ in batches(block.txs)
        ]


def accusations(result: RunResult) -> list[str]:
    """Methods of the module of evidence that were called, in the order of the chain."""
    with open_chain(result.path) as store:
        return [tx.method for block, _ in store.blocks() for tx in block.txs if tx.module == NAME]


def without_victim(collected: Collected[OrderMessage], roster: tuple[str, ...]) -> Collected[OrderMessage]:
    """What was collected, as if the home had been absent."""
    there = [home for home in roster if home not in collected.absent]
    kept = [signed for home, signed in zip(there, collected.signed, strict=True) if home != VICTIM]
    return replace(
        collected,
        messages=tuple(message for message in collected.messages if message.household != VICTIM),
        signed=tuple(kept),
        nothing=tuple(home for home in collected.nothing if home != VICTIM),
        absent=(VICTIM,),
    )


def leave_out(monkeypatch: pytest.MonkeyPatch, slots: Collection[int], *, with_closings: bool) -> None:
    """Let the operator leave out the victim's orders of some rounds."""
    collect, present, needed = CollectorLoop._collect_orders, CollectorLoop._present, CollectorLoop._needed

    def is_operator(loop: CollectorLoop) -> bool:
        return loop._identity.public_key in loop._setup.genesis.operators

    async def collecting(
        loop: CollectorLoop, start_s: int, closings: dict[int, tuple[Closing, ...]]
    ) -> list[Collected[OrderMessage]]:
        found = await collect(loop, start_s, closings)
        if not is_operator(loop):
            return found
        roster = loop._setup.roster
        return [
            without_victim(part, roster) if number in slots and VICTIM not in part.absent else part
            for number, part in enumerate(found)
        ]

    def presenting(loop: CollectorLoop, start_s: int) -> dict[tuple[int, int], int]:
        found, place = present(loop, start_s), loop._setup.roster.index(VICTIM)
        dropped = {(slot, place) for slot in slots} if is_operator(loop) else set()
        return {key: nonce for key, nonce in found.items() if key not in dropped}

    def needing(
        loop: CollectorLoop, start_s: int, closings: dict[int, tuple[Closing, ...]], first: int
    ) -> list[Closing]:
        return needed(loop, start_s, closings, first) if with_closings or not is_operator(loop) else []

    monkeypatch.setattr(CollectorLoop, "_collect_orders", collecting)
    monkeypatch.setattr(CollectorLoop, "_present", presenting)
    monkeypatch.setattr(CollectorLoop, "_needed", needing)


@pytest.mark.parametrize(("changes", "slot"), [((), 0), (ROUNDS, 1)], ids=["one round", "second of two"])
def test_a_batch_without_a_message_and_without_closings_is_refused_and_a_validator_settles_with_it(
    changes: tuple[str, ...], slot: int, street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """f + 1 validators have promised the message: no quorum closes the slot without it, whatever the operator does."""
    leave_out(monkeypatch, [slot], with_closings=False)
    result = lived(street, tmp_path, *changes)
    assert collectors_of(result) == ["validator"] * INTERVALS
    facts = result.manifest["network"]
    assert facts["refused"]["not_closed"] > 0
    assert (facts["silent"], facts["broken_promises"]) == ([], 0)
    assert VICTIM in set(result.table("orders")["household"])
    assert accusations(result) == []
    assert ws.verify(result.path)["ok"]


@pytest.mark.parametrize(
    ("changes", "slot", "late"),
    [((), 0, []), (ROUNDS, 1, ["home-2", "home-3"])],
    ids=["one round", "second of two"],
)
def test_an_operator_that_leaves_out_a_message_that_validators_do_not_have_loses_its_office(
    changes: tuple[str, ...],
    slot: int,
    late: list[str],
    street: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The validators see nothing wrong with its batch, which has honest closings: the receipt is the proof.

    The home gives it to validators, which put it on the chain, and its node keeps it. In the interval after, the others
    ask the convicted one for positions in vain until the gate of the second round has ended; their meters are read.
    """
    show = Witnesses.show

    def secretly(one: Witnesses, home: str, slot_of_it: int, start_s: int, name: bytes, data: bytes) -> None:
        if (home, slot_of_it, start_s) != (VICTIM, slot, DAYLIGHT_S):
            show(one, home, slot_of_it, start_s, name, data)

    monkeypatch.setattr(Witnesses, "show", secretly)
    leave_out(monkeypatch, [slot], with_closings=True)
    result = lived(street, tmp_path, *changes)
    genesis = read_genesis(result.path / "genesis.bin")
    facts = result.manifest["network"]
    second_s = int(result.table("intervals")["interval_start"].iloc[1].timestamp())
    assert facts["silent"] == [f"{DAYLIGHT_S} {VICTIM}", *(f"{second_s} {home}" for home in late)]
    network = pd.read_parquet(result.path / "network.parquet")
    assert set(network.loc[network["what"] == "collected", "readings"]) == {3}
    assert facts["broken_promises"] == 1
    (proof,) = (result.path / "omissions").iterdir()
    assert check_omission(proof.read_bytes(), genesis) == (genesis.operator, DAYLIGHT_S)
    assert accusations(result) == [OMISSION]
    assert collectors_of(result) == ["operator", *["validator"] * (INTERVALS - 1)]
    orders = result.table("orders")
    later = orders.loc[orders["interval_start"] > orders["interval_start"].min()]
    assert VICTIM in set(later["household"])
    assert ws.verify(result.path)["checks"]["messages"]
