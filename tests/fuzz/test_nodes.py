"""Nodes among hostile peers: what is wrong is refused and counted, nobody stops, and the honest work gets done."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import trio
import trio.testing

from p2p.consensus.evidence import make_evidence
from p2p.consensus.types import Status
from p2p.errors import P2PError
from p2p.ledger.store import ChainStore
from p2p.roles.collector.operator import Operator
from p2p.roles.exchange.wire import BATCH_PROTOCOL, LINES_PROTOCOL, RESULT_PROTOCOL, HandIn, HandInReply, ask
from p2p.roles.household.carrier import NotTaken
from p2p.roles.household.collectors import Collectors, Sets
from p2p.roles.household.gateway import Gateway
from p2p.roles.replica.blobs import BLOB_PROTOCOL, BlobQuery
from p2p.roles.replica.ledger import Ledger
from p2p.roles.replica.observer import Observer
from p2p.roles.replica.peers import CONSENSUS_PROTOCOL, EVIDENCE, TX, ConsensusFrame, pack
from p2p.roles.replica.snapshot import SNAPSHOT_PROTOCOL, SnapshotQuery
from p2p.roles.replica.sync import SYNC_PROTOCOL, SyncQuery, SyncReply
from p2p.roles.validator.mempool import TX_PROTOCOL
from p2p.transports.base import peer_id_of
from p2p.transports.memory import Faults, MemoryEndpoint, MemoryNetwork
from p2p.wire.codec import decode, encode
from p2p.wire.frames import FRAME_MAX_BYTES
from p2p.wire.messages import (
    VERSION,
    Kind,
    OrderMessage,
    ReceiptCode,
    ReceiptMessage,
    lasting,
    open_message,
    order_line,
    sign_message,
)
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import HOMES, KEYS, ROSTER
from tests.kits.chain_kit import OPERATOR, START, authorities, make_genesis
from tests.kits.evidence_kit import proposal, vote
from tests.kits.keys_kit import home_keys
from tests.kits.settled_kit import OpenGates, proof_of, settled
from tests.kits.time_kit import time_passes
from tests.kits.validator_kit import STRANGER, Town, in_town, make_tx

SEED = 7
GENESIS = make_genesis(4, len(ROSTER))
CHAIN = GENESIS.chain_id


GATES = OpenGates(
    early={(START + 900 * n, slot) for n in range(3, 40) for slot in (0, 1)}, ended={(START - 900, 0)}
)
"""Gates as a schedule has them: of few intervals."""


async def throw(
    endpoint: MemoryEndpoint, peer: str, protocol: str, frame: bytes, codes: set[str] | None = None
) -> bytes | None:
    """Send a frame; a refusal or a broken stream is what a hostile peer expects."""
    try:
        with trio.fail_after(60):
            return await endpoint.request(peer, protocol, frame[:FRAME_MAX_BYTES])
    except P2PError as error:
        if codes is not None:
            codes.add(getattr(error, "code", type(error).__name__))
        return None


def containers(value: object, depth: int = 3) -> int:
    """How many things the collections inside an object hold, a few attributes deep."""
    if isinstance(value, dict | list | set | tuple) or hasattr(value, "popleft"):
        return len(value)  # type: ignore[arg-type]
    fields = getattr(value, "__dict__", {})
    inner = (part for name, part in fields.items() if name not in {"_transport", "transport"})
    return sum(containers(part, depth - 1) for part in inner) if depth else 0


# --- validators ---------------------------------------------------------------------------------------------


def consensus_messages(town: Town) -> list[bytes]:
    """Right in form; signed by the byzantine node, a stranger, or for another chain; stale, of now, of the future."""
    byzantine, chain = town.keys[3], town.genesis.chain_id
    made = []
    for height in (0, 1, 2, 3, 99, 2**62):
        for key, name in ((byzantine, chain), (STRANGER, chain), (byzantine, CHAIN)):
            made.append(pack(vote(key, 3, name, height, 0, b"a" * 32)))
            made.append(pack(vote(key, 1, name, height, 2, None)))
            made.append(pack(proposal(key, 3, name, height, 0, b"a" * 32)))
        made.append(pack(Status(height, 0, 0, 0, 0, False)))
    pair = vote(byzantine, 2, chain, 1, 0, b"a" * 32), vote(byzantine, 2, chain, 1, 0, b"b" * 32)
    made.append(bytes((EVIDENCE,)) + make_evidence(*pair))
    made.append(bytes((TX,)) + make_tx(town.genesis, 5, good=False)[0].raw)
    return made


def test_validators_decide_blocks_among_mutated_frames_of_a_byzantine_node_and_a_stranger(
    tmp_path: Path,
) -> None:
    sent = 0

    async def attack(town: Town, endpoint: MemoryEndpoint, seed: int) -> None:
        nonlocal sent
        rng, chain = random.Random(seed), town.genesis.chain_id
        messages = consensus_messages(town)
        others = {
            TX_PROTOCOL: make_tx(town.genesis, 0)[0].raw,
            BLOB_PROTOCOL: encode(BlobQuery(VERSION, chain, b"h" * 32, 0)),
            SYNC_PROTOCOL: encode(SyncQuery(VERSION, chain, 1, 10, 0)),
            SNAPSHOT_PROTOCOL: encode(SnapshotQuery(VERSION, chain, 0, 0)),
        }
        while True:
            chosen = tuple(
                mutated(rng, rng.choice(messages), rng.choice(messages))
                for _ in range(rng.choice((1, 1, 2, 9)))
            )
            frame = encode(ConsensusFrame(VERSION, rng.choice((chain, chain, chain, CHAIN)), chosen))
            protocol, right = rng.choice((*others.items(), *[(CONSENSUS_PROTOCOL, frame)] * 6))
            data = mutated(rng, right, frame) if rng.random() < 0.5 else right
            await throw(endpoint, town.endpoints[rng.randrange(3)].peer_id, protocol, data)
            sent += 1
            await time_passes(rng.choice((0, 0.005, 0.02)))

    async def body(town: Town) -> None:
        await town.stop(3)
        async with (
            town.network.endpoint(town.keys[3]) as byzantine,
            town.network.endpoint(STRANGER) as stranger,
            trio.open_nursery() as nursery,
        ):
            for number, endpoint in enumerate((byzantine, byzantine, stranger)):
                nursery.start_soon(attack, town, endpoint, SEED + number)
            for index in range(3):
                await town.settle(index, to=(0, 1, 2))
                await town.reach(index + 1, 0, 1, 2)
            before = [containers(town.validators[index]) for index in range(3)]
            limit = sent + 600
            while sent < limit:
                await time_passes(0.5)
            await town.settle(3, to=(0, 1, 2))
            await town.reach(4, 0, 1, 2)
            nursery.cancel_scope.cancel()
            after = [containers(town.validators[index]) for index in range(3)]
            town.agree(0, 1, 2)
            assert town.failures == {}
            assert all(now < then + 300 for now, then in zip(after, before, strict=True))
            counts = town.endpoints[0].stats.refused
            assert counts.by_peer(byzantine.peer_id) > 20
            assert counts.by_peer(stranger.peer_id) > 5
            assert all(counts.by_peer(town.endpoints[index].peer_id) == 0 for index in (1, 2))

    in_town(tmp_path, body)


# --- operator -----------------------------------------------------------------------------------------------


def in_memory(body: Callable[[MemoryNetwork], Awaitable[None]]) -> None:
    async def main() -> None:
        await body(MemoryNetwork(Faults()))

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def order(name: str, nonce: int = 1, **changes: object) -> OrderMessage:
    made = OrderMessage(VERSION, CHAIN, START, 15, name, nonce, 0, (order_line(1, 250, 200_000),))
    return msgspec.structs.replace(made, **changes)


def hostile_orders() -> list[bytes]:
    """Wrong keys, chains, households and times, each with a signature that verifies."""
    own = HOMES[ROSTER[0]]
    return [
        sign_message(STRANGER, order(ROSTER[1])),
        sign_message(own, order(ROSTER[1])),
        sign_message(own, order("nobody")),
        sign_message(own, order(ROSTER[0], chain_id=b"x" * 32)),
        sign_message(own, order(ROSTER[0], interval_start=START - 900)),
        *(sign_message(own, order(ROSTER[0], n, interval_start=START + 900 * n)) for n in range(2, 40)),
        sign_message(own, order(ROSTER[0], minutes=30, interval_start=START // 1800 * 1800)),
        sign_message(
            OPERATOR, ReceiptMessage(VERSION, CHAIN, START, ROSTER[0], b"i" * 32, ReceiptCode.ACCEPTED)
        ),
    ]


def test_an_interval_is_collected_while_peers_hand_in_rubbish() -> None:
    sent, codes = 0, set[str]()

    async def attack(endpoint: MemoryEndpoint, peer: str, seed: int) -> None:
        nonlocal sent
        rng, hostile = random.Random(seed), hostile_orders()
        while True:
            chosen = [rng.choice(hostile) for _ in range(rng.choice((1, 3, 30)))]
            chosen = [mutated(rng, data, hostile[0]) if rng.random() < 0.5 else data for data in chosen]
            frame = encode(HandIn(VERSION, CHAIN, tuple(chosen)))
            if rng.random() < 0.3:
                frame = mutated(rng, frame)
            protocol = rng.choice((BATCH_PROTOCOL, BATCH_PROTOCOL, LINES_PROTOCOL))
            await throw(endpoint, peer, protocol, rng.choice((frame, frame, ask(CHAIN, START), b"")), codes)
            sent += len(chosen)
            await time_passes(rng.choice((0, 0.001, 0.01)))

    async def body(network: MemoryNetwork) -> None:
        async with (
            network.endpoint(OPERATOR) as node,
            network.endpoint(STRANGER) as stranger,
            network.endpoint(authorities(1)[0]) as other,
            network.endpoint(HOMES[ROSTER[1]]) as honest,
            trio.open_nursery() as nursery,
        ):
            operator = Operator(node, OPERATOR, CHAIN, ROSTER, home_keys(KEYS), 15, GATES)
            for number, endpoint in enumerate((stranger, other)):
                nursery.start_soon(attack, endpoint, node.peer_id, SEED + number)
            receipts: list[bytes] = []

            async def hand_in() -> None:
                signed = tuple(sign_message(HOMES[name], order(name)) for name in ROSTER[1:])
                await time_passes(4)
                data = await honest.request(
                    node.peer_id, BATCH_PROTOCOL, encode(HandIn(VERSION, CHAIN, signed))
                )
                receipts.extend(decode(HandInReply, data, max_bytes=FRAME_MAX_BYTES).entries)

            nursery.start_soon(hand_in)
            collected = await operator.collect(START, 8)
            while sent < 2_000:
                await time_passes(1)
            nursery.cancel_scope.cancel()
        assert {message.household for message in collected.messages} == set(ROSTER[1:])
        for receipt in receipts:
            said = open_message(
                receipt,
                chain_id=CHAIN,
                kinds=(Kind.RECEIPT,),
                key_of=lasting(KEYS),
                collector_keys=(OPERATOR.public_key,),
            )
            assert isinstance(said, ReceiptMessage)
            assert said.code == ReceiptCode.ACCEPTED
        refused = node.stats.refused
        for peer in (stranger.peer_id, other.peer_id):
            assert {"malformed", "wrong_signature", "wrong_chain", "unknown_household", "wrong_kind"} <= {
                code for who, code in refused.counts if who == peer
            }
        assert refused.by_peer(honest.peer_id) == 0
        assert containers(operator) < 1_000

    in_memory(body)


# --- observer -----------------------------------------------------------------------------------------------


def test_an_observer_follows_an_honest_validator_past_one_that_sends_rubbish(tmp_path: Path) -> None:
    served = 0

    async def body(town: Town) -> None:
        for index in range(3):
            await town.settle(index)
            await town.reach(index + 1)
        rng = random.Random(SEED)
        right = tuple(
            (encode(block), encode(cert)) for block, cert in town.validators[0].ledger.store.blocks()
        )

        async def lie(_peer: str, _data: bytes) -> bytes:
            nonlocal served
            served += 1
            pairs = [
                (mutated(rng, block, right[0][0]), cert)
                if rng.random() < 0.5
                else (block, mutated(rng, cert))
                for block, cert in right
            ]
            query = right[rng.randrange(3) :] if rng.random() < 0.2 else tuple(pairs)
            reply = encode((town.height(0), query))
            return mutated(rng, reply) if rng.random() < 0.5 else reply

        decode_reply = decode(SyncReply, encode((3, right)), max_bytes=FRAME_MAX_BYTES)
        assert len(decode_reply.blocks) == 3
        async with (
            town.network.endpoint(STRANGER) as byzantine,
            town.network.endpoint(authorities(9)[8]) as endpoint,
            trio.open_nursery() as nursery,
        ):
            byzantine.serve(SYNC_PROTOCOL, lie)
            with ChainStore.create(tmp_path / "observer.db", town.genesis) as store:
                observer = Observer(endpoint, Ledger(store, town.genesis), [byzantine.address])
                nursery.start_soon(observer.run)
                while served < 40:
                    await time_passes(0.5)
                observer._addresses[peer_id_of(town.keys[0].public_key)] = town.endpoints[0].address
                with trio.fail_after(600):
                    await observer.wait_for(lambda tip: tip.height >= 3)
                assert [block for block, _ in store.blocks()] == [
                    block for block, _ in town.validators[0].ledger.store.blocks()
                ]
                nursery.cancel_scope.cancel()
            assert endpoint.stats.refused.by_peer(byzantine.peer_id) > 10

    in_town(tmp_path, body)


# --- gateway ------------------------------------------------------------------------------------------------


def test_a_gateway_gets_receipts_and_results_from_a_collector_that_mostly_sends_rubbish() -> None:
    """Found here: a malformed result, or one of another interval, came out of `result` as if it was asked for."""
    rng = random.Random(SEED)
    of = {start: proof_of(GENESIS, start) for start in (START, START + 900)}

    async def body(network: MemoryNetwork) -> None:
        async with network.endpoint(OPERATOR) as node, network.endpoint(STRANGER) as endpoint:
            operator = Operator(node, OPERATOR, CHAIN, ROSTER, home_keys(KEYS), 15, GATES)
            asked = 0

            def spoiled(right: bytes) -> bytes:
                nonlocal asked
                asked += 1
                return right if asked % 9 == 0 else mutated(rng, right, of[START + 900])

            async def batch(peer: str, data: bytes) -> bytes:
                return spoiled(await operator._take_batch(peer, data))

            async def result(_peer: str, _data: bytes) -> bytes:
                return spoiled(of[START]) if rng.random() < 0.5 else of[START + 900]

            node.serve(BATCH_PROTOCOL, batch)
            node.serve(RESULT_PROTOCOL, result)
            sets = Sets((OPERATOR.public_key,), ())
            collectors = Collectors(endpoint, {OPERATOR.public_key: node.address}, lambda: sets)
            read = lambda data: settled(GENESIS, data)  # noqa: E731
            gateway = Gateway(endpoint, HOMES, CHAIN, collectors, 15, read)
            outcome = Counter[str]()

            async def speak(name: str) -> None:
                try:
                    receipt = await gateway.submit(order(name))
                    outcome[ReceiptCode(receipt.code).name] += 1
                except NotTaken:  # a spoiled entry may begin with the mark of a refusal
                    outcome["not taken"] += 1

            async with trio.open_nursery() as nursery:
                nursery.start_soon(gateway.run)
                nursery.start_soon(operator.collect, START, 600)
                with trio.fail_after(3_000):
                    async with trio.open_nursery() as homes:
                        for name in ROSTER:
                            homes.start_soon(speak, name)
                    for _ in range(5):
                        assert (await gateway.result(START)).interval_start == START
                nursery.cancel_scope.cancel()
            assert outcome["ACCEPTED"] + outcome["not taken"] == len(ROSTER)
            assert outcome["ACCEPTED"] >= len(ROSTER) - 1
            counts = endpoint.stats.refused
            assert counts.total("malformed") > 5
            assert counts.total("wrong_kind") > 0
            assert containers(gateway) < 100

    in_memory(body)
