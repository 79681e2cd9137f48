"""Following a chain: by range, from a snapshot, and from peers that lie, stall or die."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio
from test_validator import settle

from p2p.blocks.block import Block, block_hash, decode_block, validators_hash
from p2p.consensus.sign_state import FILE_NAME
from p2p.errors import BadProof, RemoteError, StoreDamaged
from p2p.ledger.checkpoint import load_tip
from p2p.ledger.store import ChainStore
from p2p.ledger.verify import verify_chain
from p2p.roles.replica.ledger import ChainForked, Ledger
from p2p.roles.replica.observer import Observer
from p2p.roles.replica.peers import pack
from p2p.roles.replica.snapshot import Snapshot, fetch_snapshot, make_snapshot, open_snapshot
from p2p.roles.replica.status import ask_status
from p2p.roles.replica.sync import SYNC_PROTOCOL, SyncQuery, SyncReply, ask_range
from p2p.transports.base import RequestRefused, peer_id_of
from p2p.wire.codec import decode, encode
from p2p.wire.identity import Identity
from p2p.wire.messages import VERSION
from tests.kits.chain_kit import certify, make_genesis
from tests.kits.hostile_kit import vote
from tests.kits.time_kit import time_passes
from tests.kits.validator_kit import STRANGER, Town, address, in_town

WATCHER = Identity.from_seed(b"w" * 32)


@asynccontextmanager
async def observer(town: Town, *addresses: str, name: str = "watch.db") -> AsyncIterator[Observer]:
    with ChainStore.create(town.folder / name, town.genesis) as store:
        async with town.network.endpoint(WATCHER) as endpoint, trio.open_nursery() as nursery:
            made = Observer(endpoint, Ledger(store, town.genesis), addresses)
            nursery.start_soon(made.run)
            yield made
            nursery.cancel_scope.cancel()


def everybody(town: Town) -> list[str]:
    return [address(key) for key in town.keys]


def test_an_observer_follows_and_stores_a_chain_that_verifies(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 2)
        async with observer(town, *everybody(town)) as watch:
            await settle(town, 2, 5)
            with trio.fail_after(1):
                tip = await watch.wait_for(lambda tip: tip.state.settled.batches == 5)
            assert tip == town.validators[0].ledger.tip
            report = verify_chain(watch.ledger.store, town.genesis)
            assert (report.ok, report.height) == (True, 5)

    in_town(tmp_path, body)


def test_a_block_reaches_an_observer_by_long_poll_at_once(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        async with observer(town, *everybody(town)) as watch:
            await time_passes(100)
            frames = watch._transport.stats.frames_sent
            begun = trio.current_time()
            await settle(town, 0, 1)
            await watch.wait_for(lambda tip: tip.height == 1)
            assert trio.current_time() - begun < 0.5
            assert frames < 50  # a question each three seconds, not a busy loop

    in_town(tmp_path, body)


async def _silent(_peer: str, _data: bytes) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


def _stuck_at_nothing(town: Town) -> Callable[[str, bytes], Awaitable[bytes]]:
    async def handle(_peer: str, _data: bytes) -> bytes:
        await time_passes(3)
        return encode(SyncReply(0, ()))

    return handle


def _garbage(town: Town) -> Callable[[str, bytes], Awaitable[bytes]]:
    async def handle(_peer: str, _data: bytes) -> bytes:
        return b"garbage"

    return handle


def _forged(town: Town) -> Callable[[str, bytes], Awaitable[bytes]]:
    """Blocks with a wrong content, signed by three of four in their name, but with a flipped bit."""

    async def handle(_peer: str, data: bytes) -> bytes:
        height = decode(SyncQuery, data).from_height
        ledger = town.validators[0].ledger
        if height > ledger.height:
            return encode(SyncReply(ledger.height, ()))
        block, cert = ledger.store.block(height)
        signatures = bytes((cert.signatures[0] ^ 1,)) + cert.signatures[1:]
        forged = msgspec.structs.replace(cert, signatures=signatures)
        return encode(SyncReply(ledger.height, ((encode(block), encode(forged)),)))

    return handle


def _other_body(town: Town) -> Callable[[str, bytes], Awaitable[bytes]]:
    async def handle(_peer: str, data: bytes) -> bytes:
        height = decode(SyncQuery, data).from_height
        ledger = town.validators[0].ledger
        if height > ledger.height:
            return encode(SyncReply(ledger.height, ()))
        block, cert = ledger.store.block(height)
        emptied = Block(block.header, (), ())
        return encode(SyncReply(ledger.height, ((encode(emptied), encode(cert)),)))

    return handle


def _far_ahead(town: Town) -> Callable[[str, bytes], Awaitable[bytes]]:
    async def handle(_peer: str, _data: bytes) -> bytes:
        return encode(SyncReply(10**9, ()))

    return handle


@pytest.mark.parametrize("lie", [_stuck_at_nothing, _garbage, _forged, _other_body, _far_ahead])
def test_an_observer_leaves_a_lying_peer_for_an_honest_one(
    tmp_path: Path, lie: Callable[[Town], Callable[[str, bytes], Awaitable[bytes]]]
) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 3)
        async with town.network.endpoint(STRANGER) as byzantine:
            byzantine.serve(SYNC_PROTOCOL, lie(town))
            async with observer(town, address(STRANGER), address(town.keys[0])) as watch:
                with trio.fail_after(20):
                    await watch.wait_for(lambda tip: tip.height == 3)
                assert watch.tip == town.validators[0].ledger.tip

    in_town(tmp_path, body)


def test_an_observer_leaves_silent_and_dead_peers(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 1)
        nobody = address(Identity.from_seed(b"n" * 32))
        async with town.network.endpoint(STRANGER) as mute:
            mute.serve(SYNC_PROTOCOL, _silent)
            async with observer(town, nobody, address(STRANGER), *everybody(town)[:2]) as watch:
                with trio.fail_after(20):
                    await watch.wait_for(lambda tip: tip.height == 1)
                await town.stop(0)
                await settle(town, 1, 2, 1, 2, 3)
                with trio.fail_after(60):
                    await watch.wait_for(lambda tip: tip.height == 2)

    in_town(tmp_path, body)


def test_a_certified_block_that_the_state_refuses_stops_the_observer_with_a_clear_error(
    tmp_path: Path,
) -> None:
    """More than f authorities sign a lie: no node may follow, and none may hide it."""

    async def body(town: Town) -> None:
        await settle(town, 0, 1)
        block, _ = town.validators[0].ledger.store.block(1)
        header = msgspec.structs.replace(block.header, state_root=b"s" * 32)
        wrong = encode(Block(header, block.txs, ())), encode(certify(header, 4))

        async def handle(_peer: str, _data: bytes) -> bytes:
            return encode(SyncReply(1, (wrong,)))

        async with town.network.endpoint(STRANGER) as byzantine, town.network.endpoint(WATCHER) as endpoint:
            byzantine.serve(SYNC_PROTOCOL, handle)
            with ChainStore.create(tmp_path / "watch.db", town.genesis) as store:
                watch = Observer(endpoint, Ledger(store, town.genesis), [address(STRANGER)])
                with pytest.raises(ChainForked, match="state_root"):
                    await watch.run()
                assert store.height == 0

    in_town(tmp_path, body)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (SyncQuery(VERSION, b"x" * 32, 1, 1, 0), "wrong_chain"),
        (SyncQuery(9, bytes(32), 1, 1, 0), "wrong_version"),
        (SyncQuery(VERSION, bytes(32), 0, 1, 0), "out_of_range"),
        (SyncQuery(VERSION, bytes(32), 1, 257, 0), "out_of_range"),
        (SyncQuery(VERSION, bytes(32), 1, 1, 3_001), "out_of_range"),
    ],
)
def test_a_wrong_question_is_refused(tmp_path: Path, query: SyncQuery, code: str) -> None:
    async def body(town: Town) -> None:
        asked = query
        if not any(query.chain_id):
            asked = msgspec.structs.replace(query, chain_id=town.genesis.chain_id)
        async with town.network.endpoint(WATCHER) as endpoint:
            with pytest.raises(RequestRefused, match=code):
                await endpoint.request(town.endpoints[0].peer_id, SYNC_PROTOCOL, encode(asked))

    in_town(tmp_path, body)


def test_a_reply_holds_as_many_blocks_as_were_asked_for(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 6)
        async with town.network.endpoint(WATCHER) as endpoint:
            peer, chain_id = town.endpoints[0].peer_id, town.genesis.chain_id
            reply = await ask_range(endpoint, peer, chain_id, 2, max_blocks=3)
            heights = [decode_block(block, chain_id).header.height for block, _ in reply.blocks]
            assert (reply.height, heights) == (6, [2, 3, 4])
            assert (await ask_range(endpoint, peer, chain_id, 7)).blocks == ()

    in_town(tmp_path, body)


def test_a_validator_that_slept_catches_up_by_range_and_signs_again(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 1)
        await town.stop(2)
        await settle(town, 1, 30, 0, 1, 3)
        await town.start(2)
        await town.reach(30, 2, within_s=10)
        await settle(town, 30, 33)
        assert any(who == 2 and height > 30 for who, height, _, _ in town.wire.signed)
        town.agree()

    in_town(tmp_path, body)


def test_a_restart_executes_only_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 7)
        tip = town.validators[0].ledger.tip
        await town.stop(0)
        path = town.path(0) / "chain.db"
        with ChainStore.open(path) as store:
            found = store.checkpoint()
            assert found is not None
            assert found[0] == 6
            assert load_tip(store, town.genesis) == tip
            store._connection.execute("DELETE FROM blocks WHERE height <= 6")  # not needed for it
            assert load_tip(store, town.genesis) == tip
            store._connection.execute("UPDATE checkpoints SET data = x'00'")
            with pytest.raises(StoreDamaged, match="checksum"):
                load_tip(store, town.genesis)

    in_town(tmp_path, body, checkpoint_every=3)


async def join_from_snapshot(town: Town, index: int) -> int:
    """Give an empty folder a chain that begins at a snapshot; return its height."""
    for file in town.path(index).iterdir():
        if file.is_file():
            file.unlink()
    async with town.network.endpoint(WATCHER) as endpoint:
        peers = [peer_id_of(key.public_key) for i, key in enumerate(town.keys) if i != index]
        base = await fetch_snapshot(endpoint, town.genesis, peers)
    assert base is not None
    ChainStore.create(town.path(index) / "chain.db", town.genesis, base).close()
    return base.height


def test_a_new_validator_begins_at_a_snapshot_and_signs_after_one_decided_height(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 11)
        await town.stop(2)
        await settle(town, 11, 12, 0, 1, 3)
        signed_before = set(town.wire.signed)
        height = await join_from_snapshot(town, 2)
        assert height == 10
        await town.start(2, min_safe_height=14)
        await town.reach(12, 2)
        await settle(town, 12, 16)
        fresh = {height for who, height, _, _ in set(town.wire.signed) - signed_before if who == 2}
        assert fresh
        assert min(fresh) >= 14
        assert town.validators[2].ledger.store.base == 10
        assert town.validators[2].ledger.tip == town.validators[0].ledger.tip

    in_town(tmp_path, body, checkpoint_every=5)


def test_the_height_above_a_snapshot_is_seen_decided_before_anything_is_signed(tmp_path: Path) -> None:
    """Alone with work to do, right above the snapshot: it waits and signs nothing, not even nil."""

    async def body(town: Town) -> None:
        await settle(town, 0, 6)
        await town.stop(2)
        assert await join_from_snapshot(town, 2) == 5
        await town.stop(0, 1, 3)
        signed_before = set(town.wire.signed)
        await town.start(2, min_safe_height=1)
        await town.settle(5, to=(2,))
        await time_passes(60)
        assert town.validators[2]._signs.last is None
        await town.start(0, 1, 3)
        await town.reach(6, 2)
        await time_passes(5)  # who was away is tried again within two seconds
        await settle(town, 6, 9)
        assert 2 in {who for who, _, _, _ in set(town.wire.signed) - signed_before}

    in_town(tmp_path, body, checkpoint_every=5)


def test_without_a_word_about_its_key_a_validator_does_not_begin_at_a_snapshot(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 7)
        await town.stop(2)
        await join_from_snapshot(town, 2)
        await town.start(2)
        assert FILE_NAME in str(town.failures[2])

    in_town(tmp_path, body, checkpoint_every=5)


def test_a_chain_that_begins_at_a_snapshot_says_so_to_whom_it_cannot_help(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 7)
        await town.stop(2)
        await join_from_snapshot(town, 2)
        await town.start(2, min_safe_height=9)
        async with town.network.endpoint(WATCHER) as endpoint:
            with pytest.raises(RequestRefused, match="pruned"):
                await ask_range(endpoint, town.endpoints[2].peer_id, town.genesis.chain_id, 3)

    in_town(tmp_path, body, checkpoint_every=5)


def test_every_changed_byte_of_a_snapshot_is_refused_or_means_nothing_else(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 4)
        made = make_snapshot(town.validators[0].ledger)
        assert made is not None
        height, data = made
        base = open_snapshot(data, town.genesis)
        assert (height, base.height) == (3, 3)
        for place in range(0, len(data), 7):
            changed = data[:place] + bytes((data[place] ^ 0x01,)) + data[place + 1 :]
            with pytest.raises(RemoteError):
                open_snapshot(changed, town.genesis)

    in_town(tmp_path, body, checkpoint_every=3)


def test_a_snapshot_of_another_chain_or_signed_by_others_is_refused(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 4)
        made = make_snapshot(town.validators[0].ledger)
        assert made is not None
        with pytest.raises(RemoteError):
            open_snapshot(made[1], make_genesis(name="other"))
        snapshot = decode(Snapshot, made[1], max_bytes=2**20)
        few = certify(snapshot.next_header, 2)
        with pytest.raises(RemoteError, match=r"bitmap|signed"):
            open_snapshot(encode(msgspec.structs.replace(snapshot, next_cert=few)), town.genesis)
        other = msgspec.structs.replace(snapshot.header, time_ms=snapshot.header.time_ms + 1)
        with pytest.raises(RemoteError, match="follow"):
            open_snapshot(encode(msgspec.structs.replace(snapshot, header=other)), town.genesis)
        assert block_hash(other) != snapshot.next_header.parent_hash

    in_town(tmp_path, body, checkpoint_every=3)


def test_a_node_says_where_it_is(tmp_path: Path) -> None:
    async def body(town: Town) -> None:
        await settle(town, 0, 2)
        async with town.network.endpoint(WATCHER) as endpoint:
            said = await ask_status(endpoint, town.endpoints[1].peer_id, town.genesis.chain_id)
            assert (said.role, said.height, said.ready) == ("validator", 2, 1)
            assert said.head_hash == town.validators[1].ledger.tip.block_hash
            assert dict(said.counters)["decided"] == 2
            with pytest.raises(RequestRefused, match="wrong_chain"):
                await ask_status(endpoint, town.endpoints[1].peer_id, b"x" * 32)

    in_town(tmp_path, body)


def taken_over(data: bytes) -> bytes:
    """A snapshot in which strangers put themselves in the place of the set that a header announces."""
    snapshot = decode(Snapshot, data, max_bytes=2**20)
    strangers = [Identity.from_seed(bytes((i,)) * 32) for i in range(4)]
    keys = tuple(stranger.public_key for stranger in strangers)
    change = msgspec.structs.replace(snapshot.changes[0], validators=keys)
    above = msgspec.structs.replace(snapshot.next_header, validators_hash=validators_hash(keys))
    cert = certify(above, 4, keys=strangers)
    return encode(msgspec.structs.replace(snapshot, changes=(change,), next_header=above, next_cert=cert))


def test_an_equivocator_is_excluded_and_everybody_follows_the_change_of_the_set(tmp_path: Path) -> None:
    """Five authorities, one votes twice: validators, observers and snapshots go on with the set of four."""

    async def body(town: Town) -> None:
        byzantine = 4
        await town.stop(byzantine)
        async with town.network.endpoint(town.keys[byzantine]) as endpoint:
            votes = [
                pack(vote(town, byzantine, key=town.keys[byzantine], block_hash=bytes((i,)) * 32))
                for i in (1, 2)
            ]
            await town.send(endpoint, 0, *votes)
            await settle(town, 0, 8, 0, 1, 2, 3)
        await town.reach(8, 0, 1, 2, 3)
        honest = tuple(key.public_key for key in town.keys[:4])
        assert town.validators[0].ledger.validators == honest
        async with observer(town, *everybody(town)[:4]) as watch:
            with trio.fail_after(5):
                await watch.wait_for(lambda tip: tip == town.validators[1].ledger.tip)
            made = make_snapshot(watch.ledger) or make_snapshot(town.validators[0].ledger)
        assert made is not None
        base = open_snapshot(made[1], town.genesis)
        assert [change.validators for change in base.changes] == [honest]
        with pytest.raises(BadProof, match="another set"):
            open_snapshot(taken_over(made[1]), town.genesis)
        town.agree(0, 1, 2, 3)

    in_town(tmp_path, body, n=5, checkpoint_every=6)
