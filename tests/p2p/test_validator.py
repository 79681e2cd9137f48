"""Four validators over the in-memory network decide blocks, whatever one of them does."""

from __future__ import annotations

from pathlib import Path

import trio
from validator_kit import Town, in_town


def test_four_validators_decide_the_batches_of_an_operator(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        for index in range(5):
            reply = await town.settle(index)
            assert (reply.code, reply.detail) == ("", "")
            await town.reach(index + 1)
        town.agree()
        assert {v.ledger.tip.state.settlement.batches for v in town.validators.values()} == {5}
        assert all(set(v.rounds) == {0} for v in town.validators.values())

    in_town(tmp_path, body)


def test_an_idle_chain_makes_no_blocks(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await trio.sleep(3_600)
        assert {town.height(i) for i in range(4)} == {0}

    in_town(tmp_path, body)
