"""Batches that are wrong, too early or without their blob get no vote and stop nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from p2p.batches.batch import BatchArgs, batch_tx
from p2p.roles.replica.blobs import BLOB_PROTOCOL
from p2p.roles.replica.peers import (
    TX,
    pack,
)
from p2p.roles.validator.batch_check import PATIENCE_S, Closed
from p2p.transports.base import peer_id_of
from p2p.wire.codec import decode, encode
from tests.kits.chain_kit import OPERATOR, START
from tests.kits.hostile_kit import BYZANTINE, byzantine, goes_on, offer, proposal
from tests.kits.time_kit import time_passes
from tests.kits.validator_kit import Town, check_batch, in_town, make_tx


@pytest.mark.parametrize(("good", "blob"), [(False, True), (True, False)])
def test_a_batch_with_a_bad_or_missing_blob_is_not_voted_for(tmp_path: Path, good: bool, blob: bool) -> None:
    """The byzantine validator proposes a batch whose transaction is right and whose blob is not, or is nowhere."""

    async def body(town: Town) -> None:
        for index in range(2):
            await town.settle(index)
            await town.reach(index + 1)
        async with byzantine(town) as endpoint:
            tx, data = make_tx(town.genesis, 2, good=good)
            if blob:
                town.operator_blobs.put(data, START)
            bad = proposal(town, height=3, txs=(tx,))
            await offer(town, endpoint, bad)
            if good:
                await goes_on(town, 2)
                await town.validators[0].ledger.wait_for(lambda tip: tip.state.settled.batches == 3)

    in_town(tmp_path, body)


def test_a_batch_that_lacks_messages_without_closings_is_neither_kept_nor_voted_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blob is right, and nobody has closed the slot in which a message is missing."""

    def lacking(args: BatchArgs, blob: bytes, before: bytes | None) -> Closed:
        return (frozenset(),) if args.interval_start == START + 2 * 900 else check_batch(args, blob, before)

    monkeypatch.setattr("tests.kits.validator_kit.check_batch", lacking)

    async def body(town: Town) -> None:
        for index in range(2):
            await town.settle(index)
            await town.reach(index + 1)
        async with byzantine(town) as endpoint:
            tx, data = make_tx(town.genesis, 2)
            town.operator_blobs.put(data, START + 2 * 900)
            bad = proposal(town, height=3, txs=(tx,))
            await offer(town, endpoint, bad)
            await town.hand_in(tx.raw, 0)
            await time_passes(1)
            assert len(town.validators[0].mempool) == 0
            assert town.refused(0, "not_closed") >= 2
            assert town.validators[0].ledger.tip.state.settled.batches == 2

    in_town(tmp_path, body)


def test_a_block_is_not_right_because_its_blob_is_nowhere(tmp_path: Path) -> None:
    """Whoever proposes it waits until nobody asks any longer; two of four are not there, so the height lasts."""

    async def body(town: Town) -> None:
        for index in range(2):
            await town.settle(index)
            await town.reach(index + 1)
        async with byzantine(town) as endpoint:
            await town.stop(1, 2)
            bad = proposal(town, height=3, txs=(make_tx(town.genesis, 2)[0],))
            await town.send(endpoint, 0, pack(bad))
            for _ in range(3):
                await time_passes(PATIENCE_S)
                core = town.validators[0]._core
                assert (core.height, core.validity[bad.block_hash]) == (3, None)

    in_town(tmp_path, body)


@pytest.mark.parametrize("later", [3, 96, 20_000])
def test_a_batch_that_passes_over_intervals_is_neither_kept_nor_voted_for(tmp_path: Path, later: int) -> None:
    """Its blob is right. Once settled, it would keep everybody from all intervals before it, for ever."""

    async def body(town: Town) -> None:
        for index in range(2):
            await town.settle(index)
            await town.reach(index + 1)
        tx, data = make_tx(town.genesis, later)
        skipping = batch_tx(town.keys[BYZANTINE], town.genesis.chain_id, 1, 1_000, decode(BatchArgs, tx.args))
        town.operator_blobs.put(data, START + later * 900)
        await town.hand_in(skipping.raw, 0)
        async with byzantine(town) as endpoint:
            bad = proposal(town, height=3, txs=(skipping,))
            for index in (0, 1, 2):
                await town.send(endpoint, index, pack(bad))
            await time_passes(1)
            assert len(town.validators[0].mempool) == 0
            assert town.refused(0, "not_in_turn") >= 1
            await goes_on(town, 2)
            tip = await town.validators[0].ledger.wait_for(lambda tip: tip.state.settled.batches == 3)
            assert tip.state.settled.last_interval_start == START + 2 * 900

    in_town(tmp_path, body)


def test_a_batch_that_names_no_blob_is_refused(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await town.settle(0, blob_hash=bytes(32))
        await time_passes(5)
        assert town.height(0) == 0
        assert town.refused(0, "blob_unnamed") >= 1
        assert len(town.validators[0].mempool) == 0

    in_town(tmp_path, body)


def test_a_blob_that_comes_later_lets_the_batch_in(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        tx, blob = make_tx(town.genesis, 0)
        await town.hand_in(tx.raw, 0)
        await time_passes(20)
        assert town.height(0) == 0
        town.operator_blobs.put(blob, START)
        await town.reach(1)

    in_town(tmp_path, body)


def test_a_peer_that_serves_another_blob_is_passed_over(tmp_path: Path) -> None:
    """Validators ask each other too: one that lies about a blob costs a question."""

    async def body(town: Town) -> None:
        async with byzantine(town) as endpoint:

            async def wrong(_peer: str, _data: bytes) -> bytes:
                return encode((5, b"wrong"))

            endpoint.serve(BLOB_PROTOCOL, wrong)
            tx, blob = make_tx(town.genesis, 0)
            peer = peer_id_of(OPERATOR.public_key)
            town.operator_blobs.put(blob, START)
            await town.send(endpoint, 0, bytes((TX,)) + tx.raw)
            await town.reach(1, 0)
            assert town.endpoints[0].stats.refused.counts[endpoint.peer_id, "wrong_blob"] >= 1
            assert town.endpoints[0].stats.refused.by_peer(peer) == 0

    in_town(tmp_path, body)
