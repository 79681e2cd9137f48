"""Validators over the in-memory network: what they decide, and that they come back from whatever stops them.

`in_town` fails a story in which somebody's key signed two things for one height, round and kind.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio

from p2p.consensus.sign_state import FILE_NAME, ConsensusStore, SignStateError
from p2p.consensus.types import SignState
from p2p.consensus.votes import LastSigned, SignGuard
from p2p.errors import LocalError, StoreError
from p2p.roles.replica.peers import STATUS, ConsensusFrame
from p2p.roles.validator.config import ValidatorConfig
from p2p.roles.validator.validator import Validator
from p2p.transports.memory import Faults
from p2p.wire.codec import decode
from tests.kits.sample_kit import sampled, some
from tests.kits.time_kit import time_passes
from tests.kits.validator_kit import CONFIG, Town, in_town, make_tx


class Killed(LocalError):
    """Represents a process that ends here."""


async def settle(town: Town, first: int, last: int, *alive: int) -> None:
    for index in range(first, last):
        await town.settle(index, to=alive or (0, 1, 2, 3))
        await town.reach(index + 1, *alive)


def test_four_validators_decide_the_batches_of_an_operator(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        for index in range(5):
            reply = await town.settle(index)
            assert (reply.code, reply.detail) == ("", "")
            await town.reach(index + 1)
        town.agree()
        assert {v.ledger.tip.state.settled.batches for v in town.validators.values()} == {5}
        assert all(set(v.rounds) == {0} for v in town.validators.values())

    in_town(tmp_path, body)


def test_one_validator_that_knows_a_batch_is_enough_because_it_tells_the_others(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await town.settle(0, to=(2,))
        await town.reach(1, within_s=2)

    in_town(tmp_path, body)


@sampled
def test_an_idle_chain_makes_no_blocks(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await time_passes(some(300, 40))
        assert {town.height(i) for i in range(4)} == {0}

    in_town(tmp_path, body)


@sampled
def test_a_heartbeat_makes_blocks_of_an_idle_chain(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await time_passes(some(105, 45))
        assert {town.height(i) for i in range(4)} == {some(5, 2)}

    config = ValidatorConfig(timeouts=CONFIG.timeouts, resend_ms=200, heartbeat_ms=20_000)
    in_town(tmp_path, body, config=config)


def test_three_of_four_go_on_when_one_is_dead_also_in_its_turns(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await town.stop(2)
        await settle(town, 0, 6, 0, 1, 3)
        town.agree(0, 1, 3)
        assert any(round_ > 0 for round_ in town.validators[0].rounds)

    in_town(tmp_path, body)


@sampled
def test_two_of_four_decide_nothing_and_go_on_when_a_third_returns(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 1)
        await town.stop(1, 2)
        await town.settle(1, to=(0, 3))
        await time_passes(some(600, 200))
        assert (town.height(0), town.height(3)) == (1, 1)
        await town.start(1)
        await town.reach(2, 0, 1, 3, within_s=30)
        await town.start(2)
        await town.reach(2, within_s=30)
        town.agree()

    in_town(tmp_path, body)


def test_all_of_them_restart_from_their_files(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 3)
        await town.stop(0, 1, 2, 3)
        await town.start(0, 1, 2, 3)
        assert [town.height(i) for i in range(4)] == [3, 3, 3, 3]
        await settle(town, 3, 6)
        town.agree()

    in_town(tmp_path, body)


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_a_crash_between_writing_and_sending_signs_nothing_twice(tmp_path: Path, writes: int) -> None:
    """The validator dies after its n-th durable write and before anything of it is sent, again and again."""

    def dies(validator: Validator) -> None:
        signs, left = validator._signs, [writes]
        write = signs.write

        def deadly(record: SignState, last: LastSigned | None) -> None:
            write(record, last)
            left[0] -= 1
            if not left[0]:
                raise Killed("here")

        signs.write = deadly  # type: ignore[method-assign]

    async def body(town: Town) -> None:
        deaths = 0
        await town.stop(1)
        await town.start(1, wrap=dies)
        for index in range(6):
            await town.settle(index, to=(0, 2, 3))
            await town.reach(index + 1, 0, 2, 3)
            if town.stopped[1].is_set():
                assert isinstance(town.failures[1], Killed)
                deaths += 1
                await town.start(1, wrap=dies)
        await town.stop(1)
        await town.start(1)
        await town.reach(6)
        assert deaths
        town.agree()

    in_town(tmp_path, body)


def test_lost_late_and_doubled_frames_cost_time_only(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        for index in range(4):
            tx, blob = make_tx(town.genesis, index)
            town.operator_blobs.put(blob, index)
            for validator in town.validators.values():
                validator._take_tx(town.operator.peer_id, tx.raw)  # type: ignore[union-attr]
            await town.reach(index + 1, within_s=300)
        town.agree()

    in_town(tmp_path, body, faults=Faults(7, 0.0, 0.2, 0.1, 0.05))


def test_a_key_that_refuses_stops_the_validator_and_nobody_else(tmp_path: Path) -> None:
    """An old record under a guard that knows more, as after a copied folder."""

    async def body(town: Town) -> None:
        await settle(town, 0, 2)
        await town.stop(3)

        def forgets(validator: Validator) -> None:
            guard = validator._guard
            assert isinstance(guard, SignGuard)
            assert guard.last is not None
            height = (99).to_bytes(8, "big")
            guard.last = LastSigned(guard.last.data[:33] + height + guard.last.data[41:], bytes(64))

        await town.start(3, wrap=forgets)
        await settle(town, 2, 4, 0, 1, 2)
        await town.stopped[3].wait()
        assert "was to be signed after" in str(town.failures[3])
        assert not town.validators[3].is_running

    in_town(tmp_path, body)


def test_a_validator_whose_sign_state_is_lost_does_not_start(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 2)
        await town.stop(1)
        (town.path(1) / FILE_NAME).unlink()
        await town.start(1)
        assert isinstance(town.failures[1], SignStateError)
        assert "consensus.db" in str(town.failures[1])
        await settle(town, 2, 4, 0, 2, 3)

    in_town(tmp_path, body)


def test_a_restored_validator_signs_from_the_height_it_was_told_on(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 2)
        await town.stop(1)
        for file in town.path(1).glob("consensus*"):
            file.unlink()
        await town.start(1, min_safe_height=5)
        await settle(town, 2, 7)
        signed = {height for who, height, _, _ in town.wire.signed if who == 1}
        assert not signed & {3, 4}
        assert {5, 6, 7} & signed

    in_town(tmp_path, body)


def test_a_folder_copied_back_from_a_backup_is_caught_by_min_safe_height(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 1)
        await town.stop(1)
        backup = tmp_path / "backup"
        shutil.copytree(town.path(1), backup)
        await town.start(1)
        await settle(town, 1, 4)
        await town.stop(1)
        shutil.rmtree(town.path(1))
        shutil.copytree(backup, town.path(1), dirs_exist_ok=True)
        await town.start(1, min_safe_height=6)
        await town.reach(4, 1)
        await settle(town, 4, 7)
        town.agree()

    in_town(tmp_path, body)


@pytest.mark.parametrize(("file", "says"), [("chain", "full"), ("signs", "readonly")])
def test_a_disk_that_takes_no_more_stops_the_validator_and_what_was_stored_is_whole(
    tmp_path: Path, file: str, says: str
) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 2)
        validator = town.validators[0]
        if file == "chain":
            connection = validator.ledger.store._connection
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA max_page_count={pages}")
        else:
            validator._signs._connection.execute("PRAGMA query_only=1")
        with trio.move_on_after(600):
            for index in range(2, 60):
                await settle(town, index, index + 1, 1, 2, 3)
                if town.stopped[0].is_set():
                    break
        assert town.stopped[0].is_set()
        assert isinstance(town.failures[0], StoreError | SignStateError)
        assert says in str(town.failures[0])
        await town.start(0)
        await town.reach(town.height(1))
        town.agree()

    in_town(tmp_path, body)


def test_two_processes_do_not_run_with_one_folder(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await town.start(0)
        assert "is in use by process" in str(town.failures[0])

    in_town(tmp_path, body)


def test_validators_with_nothing_to_decide_ask_at_each_fifth_tick(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        heard = []
        town.wire.hear = heard.append  # type: ignore[method-assign]
        await time_passes(20 * CONFIG.resend_ms / 1_000)
        messages = [one for data in heard for one in decode(ConsensusFrame, data).messages]
        assert {one[0] for one in messages} == {STATUS}
        validators = len(town.validators)
        assert len(messages) == 4 * validators * (validators - 1)

    in_town(tmp_path, body)


def test_the_sign_state_on_disk_is_never_behind_the_wire(tmp_path: Path) -> None:
    """At every frame that leaves, what it says is in consensus.db already, as a second reader sees it."""

    async def body(town: Town) -> None:
        behind = []
        hear = town.wire.hear

        def check(data: bytes) -> None:
            hear(data)
            for who, height, round_, _kind in list(town.wire.signed):
                if who == 2 and height == town.height(2) + 1:
                    chain_id, key = town.genesis.chain_id, town.keys[2].public_key
                    store = ConsensusStore.open(town.path(2), chain_id, key, chain_height=1)
                    if store.record is None or (store.record.height, store.record.round) < (height, round_):
                        behind.append((height, round_))
                    store.close()

        town.wire.hear = check  # type: ignore[method-assign]
        await settle(town, 0, 3)
        assert behind == []

    in_town(tmp_path, body)
